"""Pipes and terminals as byte streams of the event loop, read and written only on request."""

from __future__ import annotations

import asyncio
import os
from typing import Final

CHUNK_BYTES: Final = 64 * 1024


async def read(descriptor: int) -> bytes:
    """Return the next bytes of a non-blocking descriptor; empty at its end."""
    while True:
        try:
            return os.read(descriptor, CHUNK_BYTES)
        except BlockingIOError:
            await _ready(descriptor, writing=False)
        except OSError:  # a terminal whose last user has gone
            return b""


async def write(descriptor: int, data: bytes) -> None:
    """Write all of it, waiting while nobody reads.

    Raises:
        OSError: Nobody will ever read it.
    """
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            await _ready(descriptor, writing=True)


async def _ready(descriptor: int, *, writing: bool) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def done() -> None:
        if not ready.done():
            ready.set_result(None)

    if writing:
        loop.add_writer(descriptor, done)
    else:
        loop.add_reader(descriptor, done)
    try:
        await ready
    finally:
        if writing:
            loop.remove_writer(descriptor)
        else:
            loop.remove_reader(descriptor)
