"""Several byte streams in one connection: what a command or a forwarded port talks through.

A `Lane` is one of them, read and written by coroutines. `Lanes` is the tunnel they run in; its two
sorts (`channels`: WebSocket messages with a channel's number; `spdy_lanes`: SPDY) say how they look
on the wire. What waits to be read is bounded for all lanes together: beyond that nothing more is
taken from the peer. Writing waits while the peer does not read.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

from understudy.kapi import settings
from understudy.kapi.http import exchanges, responses

PIECE_BYTES: Final = 32 * 1024
"""Largest piece written at once, so that lanes take turns."""


Serve = Callable[["Lanes"], Awaitable[None]]
"""What talks through the lanes of a tunnel; it has ended, or is cancelled, when the peer goes."""


class GoneError(ConnectionError):
    """The peer has gone, or wants no more of a lane."""


class Lane:
    """One byte stream in both directions.

    Attributes:
        number: Its number on the wire.
        headers: What the peer said about it, names in lower case (SPDY).
    """

    __slots__ = ("_ended", "_lanes", "_pieces", "_reader", "headers", "is_closed", "number")

    def __init__(self, lanes: Lanes, number: int, headers: Mapping[str, str]) -> None:
        self.number = number
        self.headers = headers
        self.is_closed = False
        self._lanes = lanes
        self._pieces: deque[bytes] = deque()
        self._ended = False
        self._reader: asyncio.Future[None] | None = None

    async def read(self) -> bytes:
        """Return what has come, at least one byte; empty once the peer has nothing more to say."""
        while not self._pieces:
            if self._ended:
                return b""
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        piece = self._pieces.popleft()
        self._lanes.taken(len(piece))
        return piece

    async def write(self, data: bytes) -> None:
        """Send bytes; waits while the peer reads too slowly.

        Raises:
            GoneError: Nobody will read them.
        """
        for start in range(0, len(data), PIECE_BYTES):
            if self.is_closed:
                raise GoneError("the peer wants no more")
            self._lanes.wire.data(self.number, data[start : start + PIECE_BYTES])
            await self._lanes.drained()

    def end(self) -> None:
        """Say that nothing more comes from here; idempotent."""
        if not self.is_closed:
            self.is_closed = True
            self._lanes.wire.end(self.number)

    # -- for the wire

    def feed(self, data: bytes) -> None:
        """Take what the peer sent."""
        if data and not self._ended:
            self._pieces.append(data)
            self._lanes.waits(len(data))
            self._wake()

    def feed_end(self) -> None:
        """Note that the peer has nothing more to say."""
        self._ended = True
        self._wake()

    def reset(self) -> None:
        """Note that the peer wants nothing more, either way."""
        self.is_closed = True
        self.feed_end()

    def forget(self) -> None:
        """Drop what nobody will read, now and later."""
        self._lanes.taken(sum(map(len, self._pieces)))
        self._pieces.clear()
        self._ended = True

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)


class Wire(Protocol):
    """How lanes look on the wire."""

    def received(self, data: bytes) -> None:
        """Take bytes apart and feed the lanes."""
        ...

    def data(self, number: int, data: bytes) -> None:
        """Send a piece of a lane."""
        ...

    def end(self, number: int) -> None:
        """Send a lane's end, where there is such a thing."""
        ...

    def goodbye(self) -> None:
        """Send what a peer expects before the connection closes."""
        ...

    def ping(self) -> None:
        """Send something that a peer which is there answers."""
        ...


class Lanes(exchanges.Tunnel):
    """A tunnel with lanes in it, and the coroutine that talks through them.

    Attributes:
        wire: Set by whoever makes it, before it begins.
        all: The lanes by their numbers.
        opened_by_peer: Called with each lane that the peer opens.
    """

    __slots__ = (
        "_bytes_max", "_full", "_is_closed", "_is_talking", "_name", "_on_closed", "_pipe",
        "_serve", "_task", "_waiting_bytes", "_writable", "all", "headers", "opened_by_peer",
        "wire",
    )  # fmt: skip

    is_patient = True
    wire: Wire

    def __init__(
        self,
        name: str,
        serve: Serve,
        headers: tuple[responses.Header, ...],
        limits: settings.HttpLimits,
        on_closed: Callable[[], None],
    ) -> None:
        self.headers = headers
        self.all: dict[int, Lane] = {}
        self.opened_by_peer: Callable[[Lane], None] | None = None
        self._name = name
        self._serve = serve
        self._bytes_max = limits.tunnel_buffer_bytes_max
        self._on_closed = on_closed
        self._pipe: exchanges.Pipe | None = None
        self._task: asyncio.Task[None] | None = None
        self._waiting_bytes = 0
        self._full = False
        self._is_talking = False
        self._is_closed = False
        self._writable = asyncio.Event()
        self._writable.set()

    def add(self, number: int, headers: Mapping[str, str] | None = None) -> Lane:
        """Make a lane."""
        lane = self.all[number] = Lane(self, number, headers or {})
        return lane

    def remove(self, lane: Lane) -> None:
        """Forget a lane and what it still holds."""
        lane.forget()
        self.all.pop(lane.number, None)

    # -- exchanges.Tunnel

    def begun(self, pipe: exchanges.Pipe) -> None:
        """Begin to talk."""
        self._pipe = pipe
        self._task = pipe.run(self._name, self._talk())

    async def _talk(self) -> None:
        self._is_talking = True
        try:
            await self._serve(self)
        except* GoneError:
            pass
        finally:
            if self._pipe is not None:
                self.wire.goodbye()
                self._pipe.finish()

    def received(self, data: bytes) -> None:
        """Take what the peer sent."""
        self.wire.received(data)

    def resumed(self) -> None:
        """Go on writing."""
        self._writable.set()

    def idled(self) -> None:
        """Ask whether the peer is there: the answer, or its absence, shows on the connection."""
        self.wire.ping()

    def closed(self) -> None:
        """Let go: whoever reads or writes learns that the peer has gone."""
        if self._is_closed:
            return
        self._is_closed = True
        self._pipe = None
        self._writable.set()
        for lane in self.all.values():
            lane.reset()
        task, self._task = self._task, None
        if task is None:
            self._on_closed()
            return
        if self._is_talking and task is not asyncio.current_task():
            # One that has not yet begun finds out by itself, and puts an end to what it was given.
            task.cancel()
        task.add_done_callback(lambda _: self._on_closed())

    # -- for lanes and wires

    def send(self, data: bytes) -> None:
        """Write bytes of the wire."""
        if self._pipe is not None:
            self._pipe.write(data)

    def fail(self) -> None:
        """End the connection: what the peer sent makes no sense."""
        if self._task is not None:
            self._task.cancel()

    async def drained(self) -> None:
        """Wait while the peer reads too slowly.

        Raises:
            GoneError: It has gone.
        """
        while self._pipe is not None and self._pipe.is_blocked():
            self._writable.clear()
            await self._writable.wait()
        if self._pipe is None:
            raise GoneError("the peer has gone")

    def waits(self, size: int) -> None:
        """Count bytes that wait to be read."""
        self._waiting_bytes += size
        if not self._full and self._waiting_bytes > self._bytes_max and self._pipe is not None:
            self._full = True
            self._pipe.pause_reading()

    def taken(self, size: int) -> None:
        """Count bytes that have been read."""
        self._waiting_bytes -= size
        if self._full and self._waiting_bytes <= self._bytes_max // 2:
            self._full = False
            if self._pipe is not None:
                self._pipe.resume_reading()
