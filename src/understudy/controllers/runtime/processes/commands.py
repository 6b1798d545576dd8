"""Commands beside a container's process that are over soon: exec probes and hooks."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import Sequence
from typing import Final

from understudy.controllers.runtime.processes import streams, supervisors

OUTPUT_BYTES_MAX: Final = 10 * 1024
"""Kept of what a command says, as kubelets keep it."""


async def run(
    nursery: supervisors.Nursery, beside: supervisors.Launch, argv: Sequence[str], timeout_s: float
) -> tuple[int, str]:
    """Run a command with a container's environment and directory; return exit code and output.

    When the caller is cancelled the command is ended.

    Raises:
        TimeoutError: It took longer; it is ended.
        OSError: It cannot be started.
    """
    reading, writing = os.pipe()
    try:
        os.set_blocking(reading, False)
        try:
            process = supervisors.Process(
                nursery,
                dataclasses.replace(beside, argv=argv, memory_bytes=0),
                on_change=_nothing,
                stdio=supervisors.Stdio(stdout=writing, stderr=writing),
            )
        finally:
            os.close(writing)
        try:
            async with asyncio.timeout(timeout_s):
                output = await _all(reading)
                ended = await process.wait()
        finally:
            process.kill()
            await process.wait()
        if ended.failure:
            raise OSError(ended.failure)
        return ended.exit_code, output.decode(errors="replace")
    finally:
        os.close(reading)


async def _all(descriptor: int) -> bytes:
    """Read to the end, keeping the beginning."""
    kept = b""
    while data := await streams.read(descriptor):
        kept = (kept + data)[:OUTPUT_BYTES_MAX]
    return kept


def _nothing() -> None:
    """Do nothing."""
