"""HTTP/1.1 on an asyncio Protocol: bytes in, requests to one synchronous handler, bytes out.

A `Connection` parses with httptools, calls the handler for each complete request in order, and
writes head and body as one buffer. Requests that arrive behind an unfinished answer wait in a
bounded queue. What connections share is their `listeners.Listener`'s.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from collections.abc import Awaitable, Coroutine
from typing import TYPE_CHECKING, NoReturn, cast

import httptools

from understudy.kapi.http import exchanges, responses

if TYPE_CHECKING:
    from understudy.kapi.http import listeners

log = logging.getLogger(__name__)

_NEVER = float("inf")
_FLUSH_BYTES = 64 * 1024
"""Answers of one read are gathered up to this size before they are written."""


class Connection(asyncio.Protocol):
    """One client's connection."""

    __slots__ = (
        "_body", "_body_bytes", "_busy", "_certificate", "_chunked", "_closing", "_frames",
        "_frames_bytes", "_header_bytes", "_headers", "_held", "_in_request", "_is_half_closed",
        "_keep_alive", "_limits", "_listener", "_out", "_out_bytes", "_parser", "_paused", "_peer",
        "_queue", "_refusal", "_stream", "_target", "_transport", "_tunnel", "deadline_s",
    )  # fmt: skip

    def __init__(self, listener: listeners.Listener) -> None:
        self._listener = listener
        self._limits = listener.limits
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._peer = ""
        self._certificate: exchanges.PeerCertificate | None = None
        self._queue: deque[exchanges.Request] = deque()
        self._busy = False
        self._paused = False
        self._closing = False
        self._stream: exchanges.Stream | None = None
        self._tunnel: exchanges.Tunnel | None = None
        self._held: bytearray | None = None
        self._chunked = True
        self._keep_alive = True
        self._frames: list[bytes] = []
        self._frames_bytes = 0
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._in_request = False
        self._is_half_closed = False
        self._refusal: responses.Response | None = None
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._header_bytes = 0
        self._body: list[bytes] = []
        self._body_bytes = 0
        self.deadline_s = _NEVER

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport over, or refuse the connection when there are too many."""
        self._transport = cast("asyncio.Transport", transport)
        if len(self._listener.connections) >= self._limits.connections_max:
            self._listener.refused_connections += 1
            self._transport.abort()
            return
        self._listener.connections.add(self)
        self._transport.set_write_buffer_limits(high=self._limits.write_high_water_bytes)
        address = transport.get_extra_info("peername")
        self._peer = str(address[0]) if isinstance(address, tuple) and address else ""
        tls = transport.get_extra_info("ssl_object")
        if isinstance(tls, (ssl.SSLObject, ssl.SSLSocket)):
            self._certificate = cast("exchanges.PeerCertificate | None", tls.getpeercert() or None)
        self.deadline_s = self._listener.now_s + self._limits.request_timeout_s

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget everything; a stream learns that its peer has gone."""
        self._listener.connections.discard(self)
        self._queue.clear()
        self._frames.clear()
        self._closing = True
        self._end_stream()

    def data_received(self, data: bytes) -> None:
        """Parse, and answer every request that is complete."""
        if self._tunnel is not None:
            self._rest()
            self._tunnel.received(data)
        elif self._held is not None:
            self._hold(data)
        else:
            self._parse(data)

    def _parse(self, data: bytes) -> None:
        while data and not self._closing:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
                if self._tunnel is not None:
                    self._tunnel.received(data)
                    break
                self._parser = httptools.HttpRequestParser(self)
                if self._busy or self._queue:
                    # What follows is in the new protocol or in HTTP: the answer decides.
                    self._held = bytearray()
                    self._hold(data)
                    break
                continue
            except httptools.HttpParserError as error:
                self._refuse_input(error)
            break
        self._flush()

    def _hold(self, data: bytes) -> None:
        assert self._held is not None, "an upgrade is being decided"
        self._held += data
        if len(self._held) > self._limits.header_bytes_max and self._transport is not None:
            self._transport.pause_reading()

    def _release(self) -> None:
        """Pass on what came behind a request to change protocols, now that it is answered."""
        held, self._held = self._held, None
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
        if held:
            self.data_received(bytes(held))

    def eof_received(self) -> bool:
        """Keep the transport open while an answer is under way (half-closed clients)."""
        self._is_half_closed = True
        return (self._busy and self._stream is None) or bool(self._queue)

    def pause_writing(self) -> None:
        """The peer reads too slowly: stop answering, and start the stall timer."""
        self._paused = True
        if self._stream is not None and self._stream.is_patient:
            self.deadline_s = _NEVER
        else:
            self.deadline_s = self._listener.now_s + self._limits.write_stall_timeout_s

    def resume_writing(self) -> None:
        """The peer reads again: go on with what waits."""
        self._paused = False
        self._rest()
        if self._stream is not None:
            self._stream.resumed()
        self._serve_queue()
        self._flush()

    # -- httptools callbacks

    def on_message_begin(self) -> None:
        """Begin a request; from here it has `request_timeout_s` to arrive."""
        self._in_request = True
        self._target = b""
        self._headers = {}
        self._header_bytes = 0
        self._body = []
        self._body_bytes = 0
        if not self._busy and not self._paused:
            self.deadline_s = self._listener.now_s + self._limits.request_timeout_s + 1.0

    def on_url(self, url: bytes) -> None:
        """Take (a part of) the request target."""
        self._target += url
        self._header_bytes += len(url)
        if self._header_bytes > self._limits.header_bytes_max:
            self._refuse_headers()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header."""
        name = name.lower()
        headers = self._headers
        headers[name] = b"%b\n%b" % (headers[name], value) if name in headers else value
        self._header_bytes += len(name) + len(value) + 4
        if self._header_bytes > self._limits.header_bytes_max:
            self._refuse_headers()

    def on_headers_complete(self) -> None:
        """Refuse a body that says it is too large, and answer `Expect: 100-continue`."""
        length = self._headers.get(b"content-length")
        if length is not None and length.isdigit() and int(length) > self._limits.body_bytes_max:
            self._refusal = responses.too_large(self._limits.body_bytes_max)
            raise _RefusedError
        if self._headers.get(b"expect", b"").lower() == b"100-continue":
            self._put(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._flush()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._body.append(body)
        self._body_bytes += len(body)
        if self._body_bytes > self._limits.body_bytes_max:
            self._refusal = responses.too_large(self._limits.body_bytes_max)
            raise _RefusedError

    def on_message_complete(self) -> None:
        """Answer the request, or put it behind those that wait."""
        self._in_request = False
        if self._closing:
            return
        parts = self._body
        request = exchanges.Request(
            self._parser.get_method().decode("latin-1"),
            self._target,
            self._headers,
            (parts[0] if len(parts) == 1 else b"".join(parts)) if parts else b"",
            self._peer,
            self._certificate,
            keep_alive=self._parser.should_keep_alive(),
            chunked=self._parser.get_http_version() != "1.0",
            upgradable=self._parser.should_upgrade(),
        )
        if self._busy or self._paused or self._queue:
            self._queue.append(request)
            if len(self._queue) >= self._limits.pipelined_requests_max and self._transport:
                self._transport.pause_reading()
        else:
            self._serve(request)

    def _refuse_headers(self) -> NoReturn:
        self._refusal = responses.text_response("431 Request Header Fields Too Large\n", 431)
        raise _RefusedError

    def _refuse_input(self, error: Exception) -> None:
        if self._closing:
            return
        refusal = self._refusal or responses.text_response("400 Bad Request\n", 400)
        if self._refusal is None:
            log.debug("malformed request from %s: %s", self._peer, error)
        if self._busy:
            # An answer is under way: what follows it cannot be trusted, so nothing follows.
            self._queue.clear()
            self._keep_alive = False
            return
        self._keep_alive = False
        self._put_response(refusal, head_only=False)
        self._close()

    # -- answering

    def _serve(self, request: exchanges.Request) -> None:
        self._keep_alive = request.keep_alive
        self._chunked = request.chunked
        self._listener.requests += 1
        try:
            answer = self._listener.handler(request)
        except Exception:
            # The top of a request: whatever failed, the peer gets an answer.
            log.exception("request failed: %s %r", request.method, request.target)
            answer = responses.failure()
        if type(answer) is responses.Response:
            self._answer(request, answer)
        elif isinstance(answer, exchanges.Stream):
            self._begin_stream(answer)
        else:
            self._busy = True
            self.deadline_s = _NEVER
            self._listener.run(
                f"answer {request.method} {request.target.decode('latin-1')}",
                self._answer_later(request, cast("Awaitable[exchanges.Answer]", answer)),
            )

    async def _answer_later(
        self, request: exchanges.Request, waiting: Awaitable[exchanges.Answer]
    ) -> None:
        try:
            answer = await waiting
        except Exception:
            log.exception("request failed: %s %r", request.method, request.target)
            answer = responses.failure()
        if self._closing:
            if isinstance(answer, exchanges.Tunnel):
                # It has begun something already: its own coroutine puts an end to that.
                answer.begun(self)
            if isinstance(answer, exchanges.Stream):
                answer.closed()
            return
        self._busy = False
        if isinstance(answer, exchanges.Stream):
            self._begin_stream(answer)
        else:
            self._answer(request, answer)
        self._serve_queue()
        self._flush()

    def _answer(self, request: exchanges.Request, response: responses.Response) -> None:
        if (
            len(response.body) >= self._limits.gzip_bytes_min
            and response.compressible
            and b"gzip" in request.headers.get(b"accept-encoding", b"")
        ):
            response = responses.compress(response)
        self._put_response(response, head_only=request.method == "HEAD")
        if self._keep_alive:
            if not self._paused:
                self.deadline_s = self._listener.now_s + self._limits.idle_timeout_s
        else:
            self._close()

    def _put_response(self, response: responses.Response, *, head_only: bool) -> None:
        body = response.body
        head = self._listener.heads.head(response, length=len(body), close=not self._keep_alive)
        if body and not head_only:
            self._out.append(head)
            self._out_bytes += len(head)
            self._put(body)
        else:
            self._put(head)

    def _serve_queue(self) -> None:
        while self._queue and not self._busy and not self._paused and not self._closing:
            self._serve(self._queue.popleft())
            self._flush()
        if self._held is not None and not self._queue and (self._tunnel or not self._busy):
            self._release()
            return
        if self._transport is None or self._closing or self._transport.is_reading():
            return
        if len(self._queue) < self._limits.pipelined_requests_max:
            self._transport.resume_reading()

    def _put(self, data: bytes) -> None:
        self._out.append(data)
        self._out_bytes += len(data)
        if self._out_bytes >= _FLUSH_BYTES:
            self._flush()

    def _flush(self) -> None:
        out = self._out
        if not out or self._transport is None:
            return
        if len(out) == 1:
            self._transport.write(out[0])
        elif self._out_bytes < 2 * _FLUSH_BYTES:
            self._transport.write(b"".join(out))
        else:
            for piece in out:
                self._transport.write(piece)
        self._out = []
        self._out_bytes = 0
        if self._closing:
            self._close_transport()

    def _close(self) -> None:
        """Close once everything written so far is out."""
        self._closing = True
        self._queue.clear()
        self.deadline_s = self._listener.now_s + self._limits.write_stall_timeout_s
        if not self._out:
            self._close_transport()

    def _close_transport(self) -> None:
        # Once: closed twice, asyncio's TLS transport can no longer be aborted.
        if self._transport is not None and not self._transport.is_closing():
            self._transport.close()

    def _rest(self) -> None:
        """Set the deadline that fits the present state."""
        if self._tunnel is not None:
            self.deadline_s = self._listener.now_s + self._limits.tunnel_silence_s
        elif self._busy:
            self.deadline_s = _NEVER
        elif self._in_request:
            self.deadline_s = self._listener.now_s + self._limits.request_timeout_s
        else:
            self.deadline_s = self._listener.now_s + self._limits.idle_timeout_s

    # -- streams

    def _begin_stream(self, stream: exchanges.Stream) -> None:
        if isinstance(stream, exchanges.HangUp):
            self.abort()
            return
        self._busy = True
        self._stream = stream
        self.deadline_s = _NEVER
        if isinstance(stream, exchanges.Tunnel):
            self._begin_tunnel(stream)
            return
        if not self._chunked:
            self._keep_alive = False
        self._put(
            self._listener.heads.stream_head(
                stream.status, stream.content_type, stream.headers, chunked=self._chunked
            )
        )
        # The head goes first: whatever the stream sends is written after this read.
        self._flush()
        stream.opened(self)

    def _begin_tunnel(self, tunnel: exchanges.Tunnel) -> None:
        self._keep_alive = False
        self._tunnel = tunnel
        self._put(self._listener.heads.switching_head(tunnel.headers))
        self._flush()
        self._rest()
        tunnel.begun(self)
        if self._is_half_closed:
            self._leave()
            self._close_transport()

    def run(self, name: str, body: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run what produces a stream as a task."""
        return self._listener.run(name, body)

    def write(self, data: bytes) -> None:
        """Write a tunnel's bytes as they are."""
        if data and self._transport is not None and not self._closing:
            self._transport.write(data)

    def pause_reading(self) -> None:
        """Take no more bytes from a tunnel's peer for now."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take bytes of a tunnel's peer again."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def send(self, data: bytes) -> None:
        """Add a piece of the stream's body."""
        if data:
            self.send_framed(exchanges.frame(data))

    def send_framed(self, chunk: bytes) -> None:
        """Add a framed piece, shared with other connections; a slow peer's stream ends here."""
        if self._stream is None or self._transport is None:
            return
        if not self._chunked:
            chunk = chunk[chunk.index(b"\n") + 1 : -2]
        if not self._frames:
            self._listener.write_later(self)
        self._frames.append(chunk)
        self._frames_bytes += len(chunk)
        waiting = self._frames_bytes + self._transport.get_write_buffer_size()
        if waiting > self._limits.watch_buffer_bytes_max:
            # Ended in order, so that the peer may come back from the last version it has read.
            self._listener.slow_watches += 1
            self._keep_alive = False
            self.finish()

    def is_full(self) -> bool:
        """Say whether enough is gathered for one turn of the loop."""
        return self._paused or self._frames_bytes > self._limits.write_high_water_bytes

    def is_blocked(self) -> bool:
        """Say whether the transport takes nothing more for now."""
        return self._paused

    def write_frames(self) -> None:
        """Write what the stream has sent in this turn of the loop."""
        frames = self._frames
        if not frames or self._transport is None:
            return
        self._transport.write(frames[0] if len(frames) == 1 else b"".join(frames))
        self._frames = []
        self._frames_bytes = 0

    def finish(self) -> None:
        """End the stream's body and go on with the next request."""
        if self._stream is None or self._transport is None:
            return
        if self._tunnel is not None:
            self._leave()
            return
        if self._chunked:
            self._frames.append(b"0\r\n\r\n")
        self.write_frames()
        self._end_stream()
        self._busy = False
        if self._keep_alive:
            self._rest()
            self._serve_queue()
            self._flush()
        else:
            self._close()

    def _leave(self) -> None:
        """Let a tunnel's peer read to the end and close; what it still says is dropped."""
        self._end_stream()
        self._busy = False
        self._closing = True
        self.resume_reading()
        self.deadline_s = self._listener.now_s + self._limits.tunnel_linger_s

    def _end_stream(self) -> None:
        stream, self._stream = self._stream, None
        self._tunnel = None
        if stream is not None:
            stream.closed()

    # -- endings

    def expire(self) -> None:
        """End a connection whose deadline has passed."""
        if self._in_request and not self._busy and not self._paused and not self._closing:
            self._keep_alive = False
            self._put_response(
                responses.text_response("408 Request Timeout\n", 408), head_only=False
            )
            self._close()
            self._flush()
        elif self._tunnel is not None and not self._paused:
            self._rest()
            self._tunnel.idled()
        else:
            self.abort()

    def shut_down(self) -> None:
        """End a stream in order, close an idle connection, let an answer finish."""
        self._keep_alive = False
        if self._tunnel is not None:
            self._leave()
            self._close_transport()
        elif self._stream is not None:
            self.finish()
        elif not self._busy:
            self._close()
            self._close_transport()

    def abort(self) -> None:
        """Cut the connection."""
        self._closing = True
        if self._transport is not None:
            self._transport.abort()


class _RefusedError(Exception):
    """Raised inside a parser callback; `Connection._refusal` says why."""
