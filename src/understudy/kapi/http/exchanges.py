"""What a connection and a handler pass each other: a request, and an answer at once or bit by bit.

A `Stream` is an answer that is written while it comes to be (a watch, a log); a `Tunnel` speaks
another protocol on a connection that was upgraded. Both write to what the connection is for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Protocol

from understudy.kapi.http import responses


class Request:
    """One parsed request.

    Attributes:
        target: Path and query as sent.
        headers: Lower-case names; the values of a repeated header are joined by a newline, which
            cannot occur in a value.
        peer: Address of the client, e.g. `127.0.0.1`.
        certificate: Verified client certificate as `ssl.SSLObject.getpeercert` gives it, or None.
        keep_alive: The client wants the connection to stay open.
        chunked: The client understands chunked framing (HTTP/1.1).
        upgradable: The client asks for another protocol (header Upgrade) on a connection that can
            change to one: a `Tunnel` may be the answer.
    """

    __slots__ = (
        "body",
        "certificate",
        "chunked",
        "headers",
        "keep_alive",
        "method",
        "peer",
        "target",
        "upgradable",
    )

    def __init__(
        self,
        method: str,
        target: bytes,
        headers: dict[bytes, bytes],
        body: bytes = b"",
        peer: str = "",
        certificate: PeerCertificate | None = None,
        *,
        keep_alive: bool = True,
        chunked: bool = True,
        upgradable: bool = False,
    ) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body
        self.peer = peer
        self.certificate = certificate
        self.keep_alive = keep_alive
        self.chunked = chunked
        self.upgradable = upgradable

    def header(self, name: bytes) -> str:
        """Return a header's value, empty where it was not sent."""
        value = self.headers.get(name)
        return value.decode("latin-1") if value is not None else ""


PeerCertificate = dict[str, object]


class Sink(Protocol):
    """Where a stream writes to."""

    def send(self, data: bytes) -> None:
        """Add a piece of the body; it goes out at the end of this turn of the loop."""
        ...

    def send_framed(self, chunk: bytes) -> None:
        """Add a piece that is already in chunked framing (`frame`), shared with others."""
        ...

    def is_full(self) -> bool:
        """Say whether enough waits to be written: better go on later."""
        ...

    def is_blocked(self) -> bool:
        """Say whether the peer reads too slowly; `Stream.resumed` tells when it goes on."""
        ...

    def finish(self) -> None:
        """End the body; the connection may be used for further requests."""
        ...

    def run(self, name: str, body: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run what produces the stream as a task, which ends with the server at the latest."""
        ...


class Pipe(Sink, Protocol):
    """Where a tunnel reads from and writes to; `finish` ends the connection."""

    def write(self, data: bytes) -> None:
        """Write bytes as they are."""
        ...

    def pause_reading(self) -> None:
        """Take no more bytes from the peer for now."""
        ...

    def resume_reading(self) -> None:
        """Take bytes again."""
        ...


class Stream:
    """An answer written bit by bit; subclasses produce it.

    The connection calls `opened` once the head is out and `closed` exactly once: after `finish`,
    or when the peer has gone or was too slow.

    Attributes:
        is_patient: It stops while the peer does not read, however long: people page through logs.
    """

    __slots__ = ()
    is_patient = False
    status = 200
    content_type = responses.JSON
    headers: tuple[responses.Header, ...] = ()

    def opened(self, sink: Sink) -> None:
        """Start to write."""
        raise NotImplementedError

    def resumed(self) -> None:
        """Go on: the peer, which read too slowly, has caught up."""

    def closed(self) -> None:
        """Let go of everything; `sink` may no longer be used."""


class Tunnel(Stream):
    """What speaks another protocol on a connection once it is upgraded; subclasses speak it."""

    __slots__ = ()
    status = 101
    content_type = ""

    def begun(self, pipe: Pipe) -> None:
        """Start to speak: the peer has been told that the protocol changes."""
        raise NotImplementedError

    def received(self, data: bytes) -> None:
        """Take what the peer says."""
        raise NotImplementedError

    def idled(self) -> None:
        """Do something that shows whether the peer is there: it has been silent for a while."""


class HangUp(Stream):
    """No answer at all: the connection is cut, as by a failing network. For fault injection."""

    __slots__ = ()

    def opened(self, sink: Sink) -> None:
        """Never called: nothing is written."""


Answer = responses.Response | Stream
Handler = Callable[[Request], Answer | Awaitable[Answer]]


def frame(data: bytes) -> bytes:
    """Put data into chunked framing: size, data."""
    return b"%x\r\n%b\r\n" % (len(data), data)
