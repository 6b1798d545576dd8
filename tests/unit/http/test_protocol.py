"""The HTTP/1.1 protocol over real sockets on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import socket
import ssl

import pytest

from understudy.aio import clocks
from understudy.kapi import settings
from understudy.kapi.http import certificates, exchanges, listeners, responses

LIMITS = settings.HttpLimits()


class Served:
    """A listener with a handler of the test's own."""

    def __init__(self, handler, limits=LIMITS, tls=None):
        self.handler = handler
        self.limits = limits
        self.tls = tls

    async def __aenter__(self):
        self.listener = listeners.Listener(self.handler, self.limits, clocks.SystemClock())
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(self.listener.connect, "127.0.0.1", 0, ssl=self.tls)
        self.listener.start()
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self.server.close()
        await self.listener.close(grace_s=0.2)
        await self.server.wait_closed()

    async def connect(self):
        return await asyncio.open_connection("127.0.0.1", self.port)


@contextlib.asynccontextmanager
async def talking_to(served):
    reader, writer = await served.connect()
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def echo(request):
    text = f"{request.method} {request.target.decode()} {request.body.decode()}"
    return responses.text_response(text)


async def read_answer(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return lines[0], headers, body


async def test_pipelined_requests_are_answered_in_their_order():
    async with Served(echo) as served, talking_to(served) as (reader, writer):
        writer.write(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % n for n in range(50)))
        for n in range(50):
            status, _, body = await read_answer(reader)
            assert (status, body) == ("HTTP/1.1 200 OK", f"GET /{n} ".encode())


async def test_a_request_may_arrive_byte_by_byte():
    async with Served(echo) as served, talking_to(served) as (reader, writer):
        for byte in b"POST /a%20b?c=d HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody":
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        assert (await read_answer(reader))[2] == b"POST /a%20b?c=d body"


async def test_a_chunked_body_is_read_whole():
    async with Served(echo) as served, talking_to(served) as (reader, writer):
        writer.write(
            b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n"
        )
        assert (await read_answer(reader))[2] == b"PUT / abcde"


async def test_expect_continue_is_answered_before_the_body_comes():
    async with Served(echo) as served, talking_to(served) as (reader, writer):
        writer.write(
            b"PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        )
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"ok")
        assert (await read_answer(reader))[2] == b"PUT / ok"


async def test_head_has_the_length_but_no_body():
    async with Served(echo) as served, talking_to(served) as (reader, writer):
        writer.write(b"HEAD /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b"Content-Length: 8" in head
        assert body == b""


async def test_connection_close_and_http_1_0_end_the_connection():
    async with Served(echo) as served:
        for request in (
            b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            b"GET / HTTP/1.0\r\n\r\n",
        ):
            async with talking_to(served) as (reader, writer):
                writer.write(request)
                answer = await reader.read()
                assert answer.endswith(b"GET / ")
                assert b"Connection: close" in answer


async def test_a_body_over_the_limit_is_refused_before_it_is_read():
    limits = dataclasses.replace(LIMITS, body_bytes_max=10)
    async with Served(echo, limits) as served, talking_to(served) as (reader, writer):
        writer.write(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n")
        status, _, body = await read_answer(reader)
        assert status == "HTTP/1.1 413 Request Entity Too Large"
        assert b"limit is 10" in body
        assert await reader.read() == b""


async def test_a_chunked_body_over_the_limit_is_refused_while_it_comes():
    limits = dataclasses.replace(LIMITS, body_bytes_max=10)
    async with Served(echo, limits) as served, talking_to(served) as (reader, writer):
        writer.write(b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        writer.write(b"b\r\n01234567890\r\n")
        assert (await read_answer(reader))[0].startswith("HTTP/1.1 413 ")


async def test_headers_over_the_limit_are_refused():
    limits = dataclasses.replace(LIMITS, header_bytes_max=1000)
    async with Served(echo, limits) as served, talking_to(served) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 2000 + b"\r\n\r\n")
        assert (await read_answer(reader))[0].startswith("HTTP/1.1 431 ")


async def test_what_is_no_http_gets_400_and_the_end():
    async with Served(echo) as served, talking_to(served) as (reader, writer):
        writer.write(b"\x16\x03\x01\x02\x00 tls hello\r\n\r\n")
        assert (await read_answer(reader))[0].startswith("HTTP/1.1 400 ")
        assert await reader.read() == b""


async def test_an_offer_of_http_2_over_cleartext_is_ignored():
    async with Served(echo) as served, talking_to(served) as (reader, writer):
        writer.write(
            b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\n"
            b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n"
        )
        assert (await read_answer(reader))[2] == b"GET /a "
        writer.write(b"GET /b HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await read_answer(reader))[2] == b"GET /b "


async def test_a_handler_that_fails_answers_500_and_the_connection_lives(caplog):
    def failing(request):
        if request.target == b"/bad":
            raise RuntimeError("broken on purpose")
        return echo(request)

    async with Served(failing) as served, talking_to(served) as (reader, writer):
        writer.write(b"GET /bad HTTP/1.1\r\nHost: x\r\n\r\nGET /good HTTP/1.1\r\nHost: x\r\n\r\n")
        status, _, body = await read_answer(reader)
        assert status == "HTTP/1.1 500 Internal Server Error"
        assert b"broken" not in body
        assert (await read_answer(reader))[2] == b"GET /good "
    assert "broken on purpose" in caplog.text


async def test_large_answers_are_compressed_for_who_accepts_it():
    import gzip

    body = b"x" * 200_000

    def large(request):
        return responses.Response(200, body)

    async with Served(large) as served, talking_to(served) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n")
        _, headers, answer = await read_answer(reader)
        assert headers["content-encoding"] == "gzip"
        assert gzip.decompress(answer) == body
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        _, headers, answer = await read_answer(reader)
        assert "content-encoding" not in headers
        assert answer == body


async def test_an_answer_that_waits_keeps_later_requests_in_order():
    release = asyncio.Event()

    def handler(request):
        if request.target != b"/slow":
            return echo(request)

        async def later():
            await release.wait()
            return echo(request)

        return later()

    async with Served(handler) as served, talking_to(served) as (reader, writer):
        writer.write(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\nGET /fast HTTP/1.1\r\nHost: x\r\n\r\n")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.05)
        release.set()
        assert (await read_answer(reader))[2] == b"GET /slow "
        assert (await read_answer(reader))[2] == b"GET /fast "


class Ticker(exchanges.Stream):
    """A stream the test writes to."""

    def __init__(self):
        self.sink = None
        self.ended = asyncio.Event()

    def opened(self, sink):
        self.sink = sink

    def closed(self):
        self.ended.set()


async def until(condition, timeout_s=2.0):
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 (the condition belongs to another side)
            await asyncio.sleep(0.005)


async def test_a_stream_is_chunked_and_the_connection_goes_on_after_it():
    ticker = Ticker()

    def handler(request):
        return ticker if request.target == b"/stream" else echo(request)

    async with Served(handler) as served, talking_to(served) as (reader, writer):
        writer.write(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\nGET /n HTTP/1.1\r\nHost: x\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"Transfer-Encoding: chunked" in head
        ticker.sink.send(b"one\n")
        ticker.sink.send(b"two\n")
        assert await reader.readexactly(18) == b"4\r\none\n\r\n4\r\ntwo\n\r\n"
        ticker.sink.finish()
        assert await reader.readexactly(5) == b"0\r\n\r\n"
        assert ticker.ended.is_set()
        assert (await read_answer(reader))[2] == b"GET /n "


async def test_http_1_0_gets_a_stream_without_chunks():
    ticker = Ticker()
    async with Served(lambda _: ticker) as served, talking_to(served) as (reader, writer):
        writer.write(b"GET /stream HTTP/1.0\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        ticker.sink.send(b"one\n")
        ticker.sink.finish()
        assert await reader.read() == b"one\n"


async def test_a_stream_learns_that_its_peer_has_gone():
    ticker = Ticker()
    async with Served(lambda _: ticker) as served:
        async with talking_to(served) as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
        await asyncio.wait_for(ticker.ended.wait(), 2)


async def test_a_slow_reader_is_ended_and_delays_nobody():
    limits = dataclasses.replace(LIMITS, watch_buffer_bytes_max=1_000_000)
    slow, quick = Ticker(), Ticker()
    tickers = {b"/slow": slow, b"/quick": quick}
    async with (
        Served(lambda request: tickers[request.target], limits) as served,
        talking_to(served) as (slow_reader, slow_writer),
        talking_to(served) as (reader, writer),
    ):
        slow_writer.write(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        writer.write(b"GET /quick HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(lambda: slow.sink and quick.sink)
        await reader.readuntil(b"\r\n\r\n")
        # The slow side's reader stops at its own limit: nothing more is taken from the socket.
        slow_reader._transport.pause_reading()
        chunk = exchanges.frame(b"x" * 100_000)
        for _ in range(200):
            if not slow.ended.is_set():
                slow.sink.send_framed(chunk)
            quick.sink.send_framed(chunk)
            assert await reader.readexactly(len(chunk)) == chunk
        assert slow.ended.is_set()
        assert not quick.ended.is_set()
        assert served.listener.slow_watches == 1


async def test_a_silent_peer_is_cut_off_and_a_half_sent_request_gets_408():
    limits = dataclasses.replace(LIMITS, request_timeout_s=0.1, idle_timeout_s=0.1)
    async with Served(echo, limits) as served:
        async with talking_to(served) as (reader, _):
            assert await asyncio.wait_for(reader.read(), 4) == b""
        async with talking_to(served) as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\nHost:")
            answer = await asyncio.wait_for(reader.read(), 5)
            assert answer.startswith(b"HTTP/1.1 408 ")


async def test_more_connections_than_allowed_are_refused():
    limits = dataclasses.replace(LIMITS, connections_max=1)
    async with Served(echo, limits) as served, talking_to(served) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await read_answer(reader)
        other, other_writer = await served.connect()
        with contextlib.suppress(ConnectionError):
            assert await other.read() == b""
        other_writer.close()
        assert served.listener.refused_connections == 1


async def test_closing_ends_streams_in_order():
    ticker = Ticker()
    async with Served(lambda _: ticker) as served:
        reader, writer = await served.connect()
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        ticker.sink.send(b"last\n")
        await served.listener.close()
        assert await reader.read() == b"5\r\nlast\n\r\n0\r\n\r\n"
        assert not served.listener.connections
        writer.close()


async def test_over_tls_a_silent_peer_is_cut_off_at_the_end(tmp_path):
    now = clocks.SystemClock().now()
    tls = certificates.Authority(tmp_path, now).context(["127.0.0.1"], now)
    trusting = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))

    def shake_hands(port):
        plain = socket.create_connection(("127.0.0.1", port), timeout=10)
        return trusting.wrap_socket(plain, server_hostname="127.0.0.1")

    async with Served(echo, tls=tls) as served:
        silent = await asyncio.to_thread(shake_hands, served.port)
        await until(lambda: served.listener.connections)
    # It neither reads nor answers the server's farewell; its socket learns of the end alone.
    with silent, socket.socket(fileno=os.dup(silent.fileno())) as below:
        below.settimeout(10)
        with contextlib.suppress(ConnectionResetError):
            while below.recv(65536):
                pass
    assert not served.listener.connections


async def test_reading_stops_while_too_many_requests_wait():
    limits = dataclasses.replace(LIMITS, pipelined_requests_max=4)
    release = asyncio.Event()

    def handler(request):
        async def later():
            await release.wait()
            return echo(request)

        return later()

    async with Served(handler, limits) as served, talking_to(served) as (reader, writer):
        writer.write(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % n for n in range(20)))
        await until(lambda: served.listener.requests == 1)
        release.set()
        for n in range(20):
            assert (await read_answer(reader))[2] == f"GET /{n} ".encode()


@pytest.mark.parametrize(
    "begun",
    [
        b"GET /",
        b"GET / HTTP/1.1\r\nX: ",
        b"POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\n",
    ],
)
async def test_a_request_that_trickles_in_is_cut_off_at_its_time(begun):
    limits = dataclasses.replace(LIMITS, request_timeout_s=0.3)
    async with Served(echo, limits) as served, talking_to(served) as (reader, writer):
        began = asyncio.get_running_loop().time()
        writer.write(begun)

        async def trickle():
            with contextlib.suppress(ConnectionError):
                while True:
                    await asyncio.sleep(0.1)
                    writer.write(b"a")

        trickling = asyncio.create_task(trickle())
        answer = await asyncio.wait_for(reader.readline(), 10)
        trickling.cancel()
        assert answer == b"HTTP/1.1 408 Request Timeout\r\n"
        assert asyncio.get_running_loop().time() - began < 5
        async with talking_to(served) as (other_reader, other_writer):
            other_writer.write(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await read_answer(other_reader))[0].startswith("HTTP/1.1 200")
