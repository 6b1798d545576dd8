"""One WebSocket between an agent and a hub: messages of any size, heartbeats, an orderly end.

A message is cut into frames, each one binary WebSocket message, and the frames of several messages
take turns: a large answer holds up neither a small one nor the heartbeat.

    frame   = number (4 bytes, big endian) flags (1 byte) data
    flags   = 1 last frame of its message, 2 the message is compressed (zlib)

Beside the bus' messages (`bus.wire`) there are

    {"type": "hello", "protocol": [1, 1], "agent": "5f1c...", "version": "0.1.0",
     "methods": ["ping", ...], "cluster": {"uid": "...", "version": "v1.33.1"}}     the agent, first
    {"type": "welcome", "protocol": 1, "epoch": 7, "heartbeat_s": 10.0}             the hub's answer
    {"type": "bye", "error": {"code": "kicked", ...}}                               either, last
    {"type": "beat"}                                                                either

Whoever hears nothing for one and a half heartbeats takes the link for dead.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import struct
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import aiohttp
import orjson
from aiohttp import web

from understudy.aio import clocks
from understudy.platform import errors, records
from understudy.platform.bus import wire

PROTOCOL = 1
"""The newest version of this protocol; `OLDEST` is the oldest that is still spoken."""
OLDEST = 1
FRAME_BYTES = 64 << 10
MESSAGE_BYTES_MAX = 256 << 20
"""Longest message; an answer of more is an error, before it is sent."""
COMPRESSED_FROM_BYTES = 4 << 10
SILENCE_BEATS = 1.5
"""So many heartbeats without a word, and the other side is gone."""
CLOSE_S = 1.0
_HEAD = struct.Struct(">IB")
_LAST, _COMPRESSED = 1, 2
_ENDS = frozenset(
    [
        aiohttp.WSMsgType.CLOSE,
        aiohttp.WSMsgType.CLOSING,
        aiohttp.WSMsgType.CLOSED,
        aiohttp.WSMsgType.ERROR,
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """Who an agent is.

    Attributes:
        protocol: Oldest and newest version of the protocol that it speaks.
        agent: Its process: the same as long as it runs, whatever becomes of its connections.
        methods: What it can do.
        cluster: What is known of its cluster: `uid`, `version`.
    """

    agent: str
    version: str
    methods: tuple[str, ...]
    protocol: tuple[int, ...] = (OLDEST, PROTOCOL)
    cluster: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Welcome:
    """The hub takes the agent in; `epoch` is the number of this connection of its instance."""

    protocol: int
    epoch: int
    heartbeat_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bye:
    """The sender goes; with an error, that is why, and the connection is of no more use."""

    error: errors.PlatformError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """The sender is alive."""


Message: TypeAlias = Hello | Welcome | Bye | Beat | wire.Message
_BEAT = orjson.dumps({"type": "beat"})


def encode(message: Message) -> bytes:
    """Encode a message of either kind."""
    match message:
        case Hello() | Welcome():
            return orjson.dumps(
                {"type": type(message).__name__.lower(), **records.to_json(message)}
            )
        case Bye():
            error = message.error.to_json() if message.error else None
            return orjson.dumps({"type": "bye", "error": error})
        case Beat():
            return _BEAT
        case _:
            return wire.encode(message)


def decode(data: bytes) -> Message:
    """Read what `encode` writes.

    Raises:
        InvalidRequestError: It is no message that is known here.
    """
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError:
        return wire.decode(data)
    match found.get("type") if isinstance(found, dict) else None:
        case "hello":
            return records.from_json(Hello, found)
        case "welcome":
            return records.from_json(Welcome, found)
        case "bye":
            error = found.get("error")
            return Bye(error=errors.from_json(error) if isinstance(error, dict) else None)
        case "beat":
            return Beat()
        case _:
            return wire.from_json(found)


def frames(number: int, data: bytes) -> Iterator[bytes]:
    """Yield the frames of one message."""
    flags = 0
    if len(data) >= COMPRESSED_FROM_BYTES:
        data, flags = zlib.compress(data, 1), _COMPRESSED
    view = memoryview(data)
    for start in range(0, max(1, len(data)), FRAME_BYTES):
        last = _LAST if start + FRAME_BYTES >= len(data) else 0
        yield _HEAD.pack(number, flags | last) + view[start : start + FRAME_BYTES]


class Assembly:
    """Puts frames together again."""

    __slots__ = ("_parts", "_size")

    def __init__(self) -> None:
        self._parts: dict[int, list[bytes]] = {}
        self._size = 0

    def add(self, frame: bytes) -> bytes | None:
        """Take a frame; return the message if it was its last.

        Raises:
            FatalError: It is none, or what is being put together is too long.
        """
        if len(frame) < _HEAD.size:
            raise errors.FatalError("a frame is too short to be one")
        number, flags = _HEAD.unpack_from(frame)
        parts = self._parts.setdefault(number, [])
        parts.append(frame[_HEAD.size :])
        self._size += len(frame)
        if self._size > MESSAGE_BYTES_MAX:
            raise errors.FatalError(f"messages of more than {MESSAGE_BYTES_MAX >> 20} MiB came")
        if not flags & _LAST:
            return None
        del self._parts[number]
        self._size -= sum(map(len, parts)) + len(parts) * _HEAD.size
        data = b"".join(parts)
        return _inflated(data) if flags & _COMPRESSED else data


def _inflated(data: bytes) -> bytes:
    inflater = zlib.decompressobj()
    try:
        out = inflater.decompress(data, MESSAGE_BYTES_MAX)
    except zlib.error as error:
        raise errors.FatalError(f"a message is damaged: {error}") from error
    if not inflater.eof:
        raise errors.FatalError("a message is damaged, or too long once inflated")
    return out


Socket: TypeAlias = web.WebSocketResponse | aiohttp.ClientWebSocketResponse


class Link:
    """A connection in use. `send` never waits; what it sends is lost if the connection breaks.

    Attributes:
        heard: When something came last, on the clock's monotonic scale.
    """

    def __init__(self, socket: Socket, clock: clocks.Clock, heartbeat_s: float) -> None:
        self._socket = socket
        self._clock = clock
        self.heartbeat_s = heartbeat_s
        self.heard = clock.monotonic()
        self._outgoing: deque[Iterator[bytes]] = deque()
        self._number = 0
        self._waiting = asyncio.Event()
        self._ending = False

    def send(self, data: bytes) -> None:
        """Put an encoded message on its way; one that is too long is not sent.

        Raises:
            InvalidRequestError: It is longer than `MESSAGE_BYTES_MAX`.
        """
        if len(data) > MESSAGE_BYTES_MAX:
            raise errors.InvalidRequestError(
                f"{len(data) >> 20} MiB are more than one message may have "
                f"({MESSAGE_BYTES_MAX >> 20} MiB)"
            )
        self._number = (self._number + 1) & 0xFFFFFFFF
        self._outgoing.append(frames(self._number, data))
        self._waiting.set()

    def end(self, message: Message) -> None:
        """Send a last message, after what is on its way, and close."""
        self.send(encode(message))
        self._ending = True

    async def run(self, take: Callable[[Message], None]) -> str:
        """Hand what comes to `take` until the connection ends; return why it did.

        Messages of a type that is not known here are passed over: the other side may be newer.
        """
        async with asyncio.TaskGroup() as group:
            helpers = [group.create_task(self._write()), group.create_task(self._beat())]
            try:
                return await self._read(take)
            finally:
                for helper in helpers:
                    helper.cancel()

    async def close(self) -> None:
        """Close the socket; harmless when repeated."""
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(CLOSE_S):
                await self._socket.close()

    async def _read(self, take: Callable[[Message], None]) -> str:
        assembly = Assembly()
        try:
            while (frame := await _frame(self._socket)) is not None:
                self.heard = self._clock.monotonic()
                data = assembly.add(frame)
                if data is not None:
                    with contextlib.suppress(errors.InvalidRequestError):
                        take(decode(data))
        except errors.FatalError as error:
            await self.close()
            return error.message
        if self._clock.monotonic() - self.heard >= SILENCE_BEATS * self.heartbeat_s:
            return f"nothing was heard for {SILENCE_BEATS:g} heartbeats of {self.heartbeat_s:g} s"
        return "the connection was closed"

    async def _write(self) -> None:
        try:
            while True:
                await self._waiting.wait()
                while self._outgoing:
                    # In turns, so that a long message lets the short ones pass.
                    message = self._outgoing.popleft()
                    frame = next(message, None)
                    if frame is not None:
                        await self._socket.send_bytes(frame)
                        self._outgoing.append(message)
                self._waiting.clear()
                if self._ending:
                    await self.close()
                    return
        except (OSError, RuntimeError, aiohttp.ClientError):
            # The socket is closed or broken: the reader finds the same, and says so.
            await self.close()

    async def _beat(self) -> None:
        step_s = self.heartbeat_s / 4
        for tick in itertools.count():
            await self._clock.sleep(step_s)
            if self._clock.monotonic() - self.heard >= SILENCE_BEATS * self.heartbeat_s:
                await self.close()
                return
            if tick % 2 == 0:
                self.send(_BEAT)


async def greet(
    socket: aiohttp.ClientWebSocketResponse, hello: Hello, clock: clocks.Clock
) -> tuple[Link, Welcome]:
    """Say hello to a hub; return the connection and the hub's answer.

    Raises:
        PlatformError: The hub does not take the agent in, and this is why.
    """
    for frame in frames(0, encode(hello)):
        await socket.send_bytes(frame)
    answer = await first(socket)
    if isinstance(answer, Welcome):
        return Link(socket, clock, answer.heartbeat_s), answer
    if isinstance(answer, Bye) and answer.error is not None:
        raise answer.error
    raise errors.UnavailableError("the hub closed the connection without a word")


async def first(socket: Socket) -> Message | None:
    """Return the first message that comes; None where the socket was closed instead.

    Raises:
        InvalidRequestError: It is none that is known here.
    """
    assembly = Assembly()
    while (frame := await _frame(socket)) is not None:
        data = assembly.add(frame)
        if data is not None:
            return decode(data)
    return None


async def _frame(socket: Socket) -> bytes | None:
    while True:
        message = await socket.receive()
        if message.type is aiohttp.WSMsgType.BINARY:
            return bytes(message.data)
        if message.type in _ENDS:
            return None
