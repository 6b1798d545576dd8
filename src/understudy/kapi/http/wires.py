"""How lanes look on the wire: channels of a WebSocket, SPDY, SPDY within a WebSocket.

| protocol                       | a message of the WebSocket                                      |
| ------------------------------ | --------------------------------------------------------------- |
| `v4.channel.k8s.io`, none      | the lane's number as a byte, then a piece                       |
| `v5.channel.k8s.io`            | the same; from a client `255, n` ends lane n                    |
| `v4.base64.channel.k8s.io`     | the number as a digit, then a piece in base64                   |
| `SPDY/3.1+portforward.k8s.io`  | any part of a SPDY connection                                   |
"""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from understudy.kapi.http import lanes, spdy, upgrades

if TYPE_CHECKING:
    from understudy.kapi.http import websockets

log = logging.getLogger(__name__)

CLOSE: Final = 255
"""Number of the channel that ends others (v5)."""
TUNNELLED_SPDY: Final = "SPDY/3.1+portforward.k8s.io"
_MESSAGE_BYTES_MAX: Final = 1024 * 1024
"""Largest message in base64, which has to be whole before it is read."""


class ChannelWire:
    """A lane's number before each message."""

    __slots__ = ("_base64", "_closes", "_gathered", "_lanes", "_readable", "_socket", "_to")

    def __init__(
        self, within: lanes.Lanes, protocol: str, readable: Collection[int], count: int
    ) -> None:
        self._lanes = within
        self._socket = _socket(within)
        self._base64 = "base64" in protocol
        self._closes = protocol.startswith("v5.")
        self._readable = frozenset(readable)
        self._to: lanes.Lane | None = None
        self._gathered = b""
        for number in range(count):
            within.add(number)

    def received(self, data: bytes) -> None:
        """Feed the lanes that the messages name; others are dropped."""
        for piece in self._socket.receive(data):
            if self._base64:
                self._gather(piece)
            else:
                self._pass_on(piece)

    def _pass_on(self, piece: websockets.Piece) -> None:
        data = piece.data
        if piece.is_first:
            self._to = None
            self._gathered = b""
        if self._to is None:
            # A message may be cut after its first byte.
            self._gathered += data[:2]
            if not self._gathered:
                return
            if self._closes and self._gathered[0] == CLOSE:
                if len(self._gathered) > 1 and (lane := self._lane(self._gathered[1])):
                    lane.feed_end()
                return
            self._to = self._lane(self._gathered[0])
            data = data[1:]
        if self._to is not None:
            self._to.feed(data)

    def _gather(self, piece: websockets.Piece) -> None:
        self._gathered = piece.data if piece.is_first else self._gathered + piece.data
        if len(self._gathered) > _MESSAGE_BYTES_MAX:
            self._lanes.fail()
        elif piece.is_last and self._gathered:
            lane = self._lane(self._gathered[0] - ord("0"))
            try:
                content = base64.b64decode(self._gathered[1:])
            except (binascii.Error, ValueError):
                self._lanes.fail()
                return
            if lane is not None:
                lane.feed(content)

    def _lane(self, number: int) -> lanes.Lane | None:
        return self._lanes.all.get(number) if number in self._readable else None

    def data(self, number: int, data: bytes) -> None:
        """Send a piece of a lane; an empty one says that the lane is there."""
        if self._base64:
            self._socket.text(f"{number}{base64.b64encode(data).decode()}")
        else:
            self._socket.message(bytes((number,)) + data)

    def end(self, number: int) -> None:
        """Do nothing: only clients end lanes, and only in v5."""

    def goodbye(self) -> None:
        """Close the WebSocket in order."""
        self._socket.close()

    def ping(self) -> None:
        """Ask whether the peer is there."""
        self._socket.ping()


class SpdyWire:
    """SPDY streams as lanes, on the connection itself or within a WebSocket."""

    __slots__ = ("_lanes", "_last", "_reader", "_socket", "_streams_max", "_writer")

    def __init__(self, within: lanes.Lanes, *, websocket: bool, streams_max: int) -> None:
        self._lanes = within
        self._socket = _socket(within) if websocket else None
        self._reader, self._writer = spdy.Reader(), spdy.Writer()
        self._streams_max = streams_max
        self._last = 0

    def received(self, data: bytes) -> None:
        """Open, feed and end lanes as the frames say."""
        pieces = [data]
        if self._socket is not None:
            pieces = [piece.data for piece in self._socket.receive(data)]
        try:
            for piece in pieces:
                for event in self._reader.feed(piece):
                    self._take(event)
        except spdy.SpdyError as error:
            log.debug("a SPDY connection ends: %s", error)
            self._lanes.fail()

    def _take(self, event: spdy.Event) -> None:
        match event:
            case spdy.Opened():
                self._open(event)
            case spdy.Data():
                lane = self._lanes.all.get(event.stream)
                if lane is not None:
                    lane.feed(event.data)
                    if event.is_last:
                        lane.feed_end()
            case spdy.Reset():
                lane = self._lanes.all.get(event.stream)
                if lane is not None:
                    lane.reset()
            case spdy.Ping() if event.number % 2:
                self._send(self._writer.ping(event.number))

    def _open(self, event: spdy.Opened) -> None:
        accept = self._lanes.opened_by_peer
        # Numbers of the peer's streams are odd and grow.
        if not event.stream % 2 or event.stream <= self._last:
            raise spdy.SpdyError(f"stream {event.stream} after {self._last}")
        self._last = event.stream
        if accept is None or len(self._lanes.all) >= self._streams_max:
            self._send(self._writer.refuse(event.stream))
            return
        self._send(self._writer.reply(event.stream))
        lane = self._lanes.add(event.stream, event.headers)
        if event.is_last:
            lane.feed_end()
        accept(lane)

    def data(self, number: int, data: bytes) -> None:
        """Send a piece of a lane."""
        if data:
            self._send(self._writer.data(number, data))

    def end(self, number: int) -> None:
        """Send a lane's end."""
        self._send(self._writer.data(number, b"", is_last=True))

    def goodbye(self) -> None:
        """Announce the end of the connection."""
        self._send(self._writer.go_away(self._last))
        if self._socket is not None:
            self._socket.close()

    def ping(self) -> None:
        """Ask whether the peer is there; a server's numbers are even."""
        self._send(self._writer.ping(2))

    def _send(self, data: bytes) -> None:
        if self._socket is not None:
            self._socket.message(data)
        else:
            self._lanes.send(data)


def is_spdy(upgrade: upgrades.Upgrade) -> bool:
    """Say whether SPDY is spoken, whatever carries it."""
    return upgrade.carrier == "spdy" or upgrade.protocol == TUNNELLED_SPDY


def _socket(within: lanes.Lanes) -> websockets.Socket:
    from understudy.kapi.http import websockets  # noqa: PLC0415 (loads wsproto: few servers need it)

    return websockets.Socket(within)
