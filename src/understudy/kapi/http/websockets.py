"""The frames of WebSockets, by wsproto: messages in parts as they come, pings, farewells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from wsproto import connection as frames, events

from understudy.kapi.http import lanes

_NORMAL: Final = 1000


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a message."""

    data: bytes
    is_first: bool
    is_last: bool


class Socket:
    """The frames of one WebSocket, on the server's side, once hands are shaken."""

    __slots__ = ("_frames", "_is_first", "_lanes")

    def __init__(self, within: lanes.Lanes) -> None:
        self._lanes = within
        self._frames = frames.Connection(frames.ConnectionType.SERVER)
        self._is_first = True

    def receive(self, data: bytes) -> Iterator[Piece]:
        """Yield the parts of messages; pings are answered, a farewell ends the lanes."""
        if self._frames.state not in (
            frames.ConnectionState.OPEN,
            frames.ConnectionState.LOCAL_CLOSING,
        ):
            return
        self._frames.receive_data(data)
        for event in self._frames.events():
            match event:
                case events.Ping():
                    self._send(event.response())
                case events.CloseConnection():
                    self.close(int(event.code))
                    self._lanes.fail()
                    return
                case events.TextMessage() | events.BytesMessage():
                    text = event.data
                    content = text.encode() if isinstance(text, str) else bytes(text)
                    yield Piece(content, self._is_first, event.message_finished)
                    self._is_first = event.message_finished

    def message(self, data: bytes) -> None:
        """Send a message."""
        self._send(events.BytesMessage(data=data))

    def text(self, data: str) -> None:
        """Send a message that is text."""
        self._send(events.TextMessage(data=data))

    def ping(self) -> None:
        """Ask whether the peer is there."""
        self._send(events.Ping())

    def close(self, code: int = _NORMAL) -> None:
        """Say goodbye, or answer the peer's."""
        if code in (1005, 1006):  # never sent: there was no code, or no farewell
            code = _NORMAL
        self._send(events.CloseConnection(code=code))

    def _send(self, event: events.Event) -> None:
        open_ones = (frames.ConnectionState.OPEN, frames.ConnectionState.REMOTE_CLOSING)
        if self._frames.state in open_ones:
            self._lanes.send(self._frames.send(event))
