"""Messages that are too large for one letter: kept until they are fetched, fetched in pieces.

Both ends are bounded: what is kept, and what is being fetched, waits for room. A few pieces are
under way at a time; one that does not come is asked for again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from understudy.platform import errors
from understudy.platform.bus import letters

WINDOW = 8
"""Pieces under way at a time, for one parcel."""


class Room:
    """So many bytes; who takes more than are free waits, in order."""

    def __init__(self, bytes_max: int) -> None:
        self._free = bytes_max
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, size: int) -> None:
        """Take room, or wait until there is some; `size` is at most what there is in all."""
        if not self._waiting and size <= self._free:
            self._free -= size
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give(size)
            self._serve()
            raise

    def give(self, size: int) -> None:
        """Give room back."""
        self._free += size
        self._serve()

    def _serve(self) -> None:
        while self._waiting:
            size, turn = self._waiting[0]
            if not turn.done():
                if size > self._free:
                    return
                self._free -= size
                turn.set_result(None)
            self._waiting.popleft()


class Outbox:
    """Parcels that wait to be fetched."""

    def __init__(self, bytes_max: int) -> None:
        self._room = Room(bytes_max)
        self._parcels: dict[str, bytes] = {}

    async def put(self, name: str, body: bytes) -> None:
        """Keep a parcel, when there is room, until it is dropped; again: it is kept already."""
        if name in self._parcels:
            return
        await self._room.take(len(body))
        self._parcels[name] = body

    def size_of(self, name: str) -> int:
        """Return how long a parcel is, 0 where it is not kept."""
        return len(self._parcels.get(name, b""))

    def drop(self, name: str) -> None:
        """Keep a parcel no longer; harmless when repeated."""
        body = self._parcels.pop(name, None)
        if body is not None:
            self._room.give(len(body))

    def piece(self, letter: letters.Letter, longest: int) -> bytes:
        """Return what a letter wants; nothing where the parcel is gone."""
        body = self._parcels.get(letter.want, b"")
        return body[letter.start : min(letter.stop, letter.start + longest)]


@dataclass(slots=True)
class _Fetch:
    """A parcel under way: what has come, which pieces (start and stop) are asked for, which not."""

    body: bytearray
    missing: deque[tuple[int, int]]
    asked: dict[int, int] = field(default_factory=dict)
    came: asyncio.Event = field(default_factory=asyncio.Event)
    is_gone: bool = False


class Inbox:
    """Parcels that are being fetched.

    Args:
        bytes_max: Room for all of them together.
        ask: Sends a letter to a bus; it may be lost.
        again_s: After how many seconds a piece is asked for again.
    """

    def __init__(
        self,
        bytes_max: int,
        *,
        ask: Callable[[str, letters.Letter], None],
        again_s: float,
    ) -> None:
        self._room = Room(bytes_max)
        self._ask = ask
        self._again_s = again_s
        self._fetches: dict[str, _Fetch] = {}

    def is_fetching(self, name: str) -> bool:
        """Say whether a parcel is under way."""
        return name in self._fetches

    async def fetch(self, me: str, letter: letters.Letter, piece_bytes: int) -> bytes:
        """Fetch the parcel that a letter tells of.

        Raises:
            UnavailableError: Its sender keeps it no longer.
        """
        spans = ((at, at + piece_bytes) for at in range(0, letter.size, piece_bytes))
        missing = deque((start, min(stop, letter.size)) for start, stop in spans)
        fetch = self._fetches[letter.parcel] = _Fetch(bytearray(), missing)
        try:
            await self._room.take(letter.size)
            try:
                fetch.body = bytearray(letter.size)
                await self._fill(me, letter, fetch)
                return bytes(fetch.body)
            finally:
                self._room.give(letter.size)
        finally:
            del self._fetches[letter.parcel]

    def take(self, letter: letters.Letter, body: bytes) -> None:
        """Take a piece that has come."""
        fetch = self._fetches.get(letter.piece)
        stop = fetch.asked.pop(letter.start, 0) if fetch is not None else 0
        if fetch is None or not stop:
            return
        came = letter.start + len(body)
        fetch.is_gone = fetch.is_gone or not body or came > stop
        if not fetch.is_gone:
            fetch.body[letter.start : came] = body
            if came < stop:
                # The sender's server takes less in one message than ours.
                fetch.missing.appendleft((came, stop))
        fetch.came.set()

    async def _fill(self, me: str, letter: letters.Letter, fetch: _Fetch) -> None:
        while fetch.missing or fetch.asked:
            while fetch.missing and len(fetch.asked) < WINDOW:
                start, stop = fetch.missing.popleft()
                fetch.asked[start] = stop
                self._want(me, letter, start, stop)
            fetch.came.clear()
            try:
                async with asyncio.timeout(self._again_s):
                    await fetch.came.wait()
            except TimeoutError:
                for start, stop in fetch.asked.items():
                    self._want(me, letter, start, stop)
            if fetch.is_gone:
                raise errors.UnavailableError("the rest of a message is not kept any more")

    def _want(self, me: str, letter: letters.Letter, start: int, stop: int) -> None:
        wanted = letters.Letter(sender=me, want=letter.parcel, start=start, stop=stop)
        self._ask(letter.sender, wanted)
