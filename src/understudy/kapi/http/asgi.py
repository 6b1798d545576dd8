"""The same handlers as an ASGI application, for servers and test clients that speak ASGI.

`understudy serve` does not use it: its own protocol is several times faster. Limits on time and on
connections are the server's that runs the application; those on bodies and watches hold here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from typing import cast
from urllib import parse

from understudy.aio import tasks
from understudy.kapi import settings
from understudy.kapi.http import exchanges, responses

log = logging.getLogger(__name__)

Message = Mapping[str, object]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Pairs = Sequence[tuple[bytes, bytes]]


class Application:
    """Answers the requests of an ASGI server with a handler of this package."""

    __slots__ = ("_handler", "_limits")

    def __init__(self, handler: exchanges.Handler, limits: settings.HttpLimits) -> None:
        self._handler = handler
        self._limits = limits

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one connection: `http` and `lifespan` are spoken, nothing else."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        if scope["type"] != "http":
            raise ValueError(f"this application does not speak {scope['type']}")
        body = await self._body(receive)
        if body is None:
            await _respond(send, responses.too_large(self._limits.body_bytes_max))
            return
        request = _request(scope, body)
        answer = self._handler(request)
        if not isinstance(answer, (responses.Response, exchanges.Stream)):
            answer = await answer
        if isinstance(answer, exchanges.Stream):
            await self._stream(answer, receive, send)
        else:
            await _respond(send, self._compressed(request, answer), bodiless=_is_head(request))

    async def _body(self, receive: Receive) -> bytes | None:
        """Return the request's body; None where it is larger than allowed."""
        pieces: list[bytes] = []
        size = 0
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                break
            piece = cast("bytes", message.get("body", b""))
            size += len(piece)
            if size > self._limits.body_bytes_max:
                return None
            pieces.append(piece)
            more = bool(message.get("more_body"))
        return b"".join(pieces)

    def _compressed(
        self, request: exchanges.Request, response: responses.Response
    ) -> responses.Response:
        wanted = b"gzip" in request.headers.get(b"accept-encoding", b"")
        if wanted and response.compressible and len(response.body) >= self._limits.gzip_bytes_min:
            return responses.compress(response)
        return response

    async def _stream(self, stream: exchanges.Stream, receive: Receive, send: Send) -> None:
        await _start(send, stream.status, _headers(stream.content_type, stream.headers))
        sink = _Sink(self._limits.write_high_water_bytes)
        gone = asyncio.Event()

        async def wait_for_the_end() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            gone.set()
            sink.changed.set()

        stream.opened(sink)
        try:
            async with asyncio.TaskGroup() as group:
                listening = group.create_task(wait_for_the_end())
                while not gone.is_set():
                    await sink.changed.wait()
                    data = sink.take()
                    if data:
                        sink.sending = True
                        await send({"type": "http.response.body", "body": data, "more_body": True})
                        sink.sending = False
                        stream.resumed()
                    elif sink.ended:
                        break
                listening.cancel()
            if not gone.is_set():
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            stream.closed()
            await sink.stop()


class _Sink:
    """Gathers what a stream sends until the peer takes it."""

    __slots__ = ("_bytes", "_bytes_max", "_pieces", "_tasks", "changed", "ended", "sending")

    def __init__(self, bytes_max: int) -> None:
        self._pieces: list[bytes] = []
        self._bytes = 0
        self._bytes_max = bytes_max
        self._tasks = tasks.TaskSet(_failed)
        self.changed = asyncio.Event()
        self.ended = False
        self.sending = False

    def send(self, data: bytes) -> None:
        """Add a piece of the body."""
        if data and not self.ended:
            self._pieces.append(data)
            self._bytes += len(data)
            self.changed.set()

    def send_framed(self, chunk: bytes) -> None:
        """Add a piece without its framing: the ASGI server makes its own."""
        self.send(chunk[chunk.index(b"\n") + 1 : -2])

    def is_full(self) -> bool:
        """Say whether enough waits for the peer."""
        return self._bytes > self._bytes_max

    def is_blocked(self) -> bool:
        """Say whether the peer is still taking what it was given before."""
        return self.sending

    def finish(self) -> None:
        """End the body after what it holds."""
        self.ended = True
        self.changed.set()

    def run(self, name: str, body: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run what produces the stream as a task."""
        return self._tasks.start(name, body)

    async def stop(self) -> None:
        """Stop what still runs."""
        await self._tasks.stop()

    def take(self) -> bytes:
        """Return and forget what waits."""
        data = b"".join(self._pieces)
        self._pieces = []
        self._bytes = 0
        if not self.ended:
            self.changed.clear()
        return data


def _failed(name: str, failure: BaseException) -> None:
    log.error("%s failed", name, exc_info=failure)


async def _live(receive: Receive, send: Send) -> None:
    for moment in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{moment}.complete"})


def _request(scope: Message, body: bytes) -> exchanges.Request:
    headers: dict[bytes, bytes] = {}
    for sent, value in cast("Pairs", scope["headers"]):
        name = sent.lower()
        headers[name] = b"%b\n%b" % (headers[name], value) if name in headers else value
    raw = scope.get("raw_path") or parse.quote(str(scope["path"])).encode()
    query = cast("bytes", scope.get("query_string") or b"")
    client = cast("Sequence[object] | None", scope.get("client"))
    return exchanges.Request(
        str(scope["method"]),
        cast("bytes", raw) + (b"?" + query if query else b""),
        headers,
        body,
        str(client[0]) if client else "",
    )


def _is_head(request: exchanges.Request) -> bool:
    return request.method == "HEAD"


async def _respond(send: Send, response: responses.Response, *, bodiless: bool = False) -> None:
    headers = [
        *_headers(response.content_type, response.headers),
        (b"content-length", str(len(response.body)).encode()),
    ]
    await _start(send, response.status, headers)
    await send({"type": "http.response.body", "body": b"" if bodiless else response.body})


async def _start(send: Send, status: int, headers: Pairs | Iterator[tuple[bytes, bytes]]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})


def _headers(content_type: str, more: Sequence[responses.Header]) -> Iterator[tuple[bytes, bytes]]:
    yield b"cache-control", b"no-cache, private"
    if content_type:
        yield b"content-type", content_type.encode("latin-1", "replace")
    for name, value in more:
        flat = value.replace("\r", " ").replace("\n", " ")
        yield name.lower().encode("latin-1"), flat.encode("latin-1", "replace")
