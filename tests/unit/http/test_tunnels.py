"""Commands and forwarded ports over real sockets, with real processes behind them."""

import asyncio
import base64
import contextlib
import dataclasses
import json
import os
import struct

import pytest
import wsproto
from hypothesis import given, settings as hypothesis_settings, strategies as st
from wsproto import connection as frames, events

from understudy.aio import clocks
from understudy.kapi import settings, views
from understudy.kapi.http import (
    commands,
    exchanges,
    forwards,
    listeners,
    requests,
    spdy,
    subresources,
)

LIMITS = settings.HttpLimits(tunnel_linger_s=0.1)
POD = {
    "metadata": {"name": "p", "namespace": "default"},
    "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]},
}


class Command:
    """A process of this machine, as a runtime's session."""

    def __init__(self, process):
        self.process = process

    async def output(self):
        while data := await self.process.stdout.read(65536):
            yield "stdout", data

    async def write(self, data):
        with contextlib.suppress(ConnectionError):
            self.process.stdin.write(data)
            await self.process.stdin.drain()

    async def close_stdin(self):
        self.process.stdin.close()

    async def resize(self, columns, rows):
        self.size = (columns, rows)

    async def wait(self):
        return await self.process.wait()

    async def close(self):
        if self.process.returncode is None:
            self.process.kill()
        self.process.stdin.close()
        await self.process.stdout.read()  # a full pipe would keep it from ending, to asyncio
        with contextlib.suppress(ConnectionError):
            await self.process.stdin.wait_closed()
        await self.process.wait()


class Runtime:
    """Runs commands here and dials here."""

    def __init__(self):
        self.commands = []

    def log(self, pod, container, options):
        async def pieces():
            number = 0
            while options.follow or number < 3:
                yield b"line %d %b\n" % (number, b"x" * 1000)
                number += 1
                await asyncio.sleep(0)

        return pieces()

    async def execute(self, pod, container, command, *, stdin, tty):
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        self.commands.append(Command(process))
        return self.commands[-1]

    async def attach(self, pod, container, *, stdin, tty):
        return await self.execute(pod, container, ["cat"], stdin=stdin, tty=tty)

    async def dial(self, pod, port):
        return await asyncio.open_connection("127.0.0.1", port)


class Served:
    """A listener that answers with a pod's subresources."""

    def __init__(self, limits=LIMITS):
        self.limits = limits
        self.runtime = Runtime()

    async def __aenter__(self):
        self.view = views.new_view()
        self.view.create("pods", POD, "default")
        self.pods = subresources.Pods(self.limits)
        self.pods.runtime = self.runtime
        self.listener = listeners.Listener(self.answer, self.limits, clocks.SystemClock())
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(self.listener.connect, "127.0.0.1", 0)
        self.listener.start()
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    def answer(self, request):
        raw, _, query = request.target.partition(b"?")
        path = requests.parse_path(raw, "base")
        return self.pods.connect(
            self.view, "pods", path, requests.parse_query(query), request, is_base=True
        )

    async def __aexit__(self, *_):
        self.server.close()
        await self.listener.close(grace_s=0.2)
        await self.server.wait_closed()
        assert self.pods.open == 0
        assert all(one.process.returncode is not None for one in self.runtime.commands)

    async def all_closed(self):
        async with asyncio.timeout(20):
            while self.pods.open:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


class Socket:
    """A WebSocket client that says and hears exactly what a test wants."""

    def __init__(self, reader, writer, part=b""):
        self.reader, self.writer = reader, writer
        self.frames = frames.Connection(frames.ConnectionType.CLIENT)
        self.heard = []
        self.part = part

    @classmethod
    async def open(cls, served, path, *protocols):
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [f"GET /api/v1/namespaces/default/pods/p/{path} HTTP/1.1", "Host: x",
                 "Connection: keep-alive, Upgrade", "Upgrade: websocket",
                 "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}"]  # fmt: skip
        if protocols:
            lines.append(f"Sec-WebSocket-Protocol: {', '.join(protocols)}")
        writer.write("\r\n".join([*lines, "", ""]).encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        assert head.startswith("HTTP/1.1 101 Switching Protocols\r\n")
        if protocols:
            assert f"Sec-WebSocket-Protocol: {protocols[0]}\r\n" in head
        is_text = any("base64" in one for one in protocols)
        return cls(reader, writer, "" if is_text else b"")

    def say(self, data):
        event = events.TextMessage(data) if isinstance(data, str) else events.BytesMessage(data)
        self.writer.write(self.frames.send(event))

    async def hear(self):
        """Return the next message, None at the end."""
        while not self.heard:
            data = await self.reader.read(65536)
            if not data:
                return None
            self.frames.receive_data(data)
            for event in self.frames.events():
                if isinstance(event, events.CloseConnection):
                    self.heard.append(None)
                elif isinstance(event, events.Message):
                    self.part += event.data
                    if event.message_finished:
                        self.heard.append(self.part)
                        self.part = self.part[:0]
        return self.heard.pop(0)

    async def all(self):
        found = []
        while (message := await self.hear()) is not None:
            found.append(message)
        return found

    async def close(self):
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


RUN = "exec?stdin=true&stdout=true&command=sh&command=-c&command="


@pytest.mark.parametrize("carrier", commands.WEBSOCKET)
async def test_a_command_speaks_every_protocol(carrier):
    async with Served() as served:
        socket = await Socket.open(served, RUN + "read+a;echo+$a;exit+3", carrier)
        is_base64 = "base64" in carrier
        socket.say("0" + base64.b64encode(b"hi\n").decode() if is_base64 else b"\0hi\n")
        by_channel = {}
        for message in await socket.all():
            channel = int(message[0]) if is_base64 else message[0]
            data = base64.b64decode(message[1:]) if is_base64 else bytes(message[1:])
            by_channel[channel] = by_channel.get(channel, b"") + data
        assert by_channel[1] == b"hi\n"
        if carrier.startswith("v"):
            assert json.loads(by_channel[3])["details"]["causes"][0]["message"] == "3"
        else:
            assert b"non-zero exit code" in by_channel[3]
        await socket.close()
        await served.all_closed()


async def test_only_v5_ends_the_input():
    async with Served() as served:
        socket = await Socket.open(served, RUN + "cat;echo+end", "v5.channel.k8s.io")
        socket.say(b"\0abc")
        socket.say(b"\xff\0")
        assert b"".join(m[1:] for m in await socket.all() if m[0] == 1) == b"abcend\n"
        await socket.close()
        await served.all_closed()


async def test_bytes_right_behind_the_request_are_not_lost():
    async with Served() as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        said = frames.Connection(frames.ConnectionType.CLIENT)
        early = said.send(events.BytesMessage(b"\0early\n"))
        writer.write(
            f"GET /api/v1/namespaces/default/pods/p/{RUN}head+-1 HTTP/1.1\r\nHost: x\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
            + early
        )
        answer = await reader.read()
        # The example of RFC 6455, section 1.3.
        assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in answer
        assert b"\x01early\n" in answer
        writer.close()
        await writer.wait_closed()
        await served.all_closed()


async def test_a_client_that_goes_ends_its_command():
    async with Served() as served:
        socket = await Socket.open(served, RUN + "echo+on;exec+sleep+1000", "v4.channel.k8s.io")
        while (await socket.hear()) != b"\x01on\n":
            pass
        await socket.close()
        await served.all_closed()
        assert served.runtime.commands[0].process.returncode == -9


async def test_a_client_that_does_not_read_stops_the_command_only():
    async with Served() as served:
        socket = await Socket.open(served, RUN + "exec+yes", "v4.channel.k8s.io")
        await asyncio.sleep(0.5)
        (connection,) = served.listener.connections
        assert connection.is_blocked()
        async with asyncio.timeout(10):
            for _ in range(50):
                assert await socket.hear()
        await socket.close()
        await served.all_closed()


async def test_a_command_that_does_not_read_stops_the_client_only():
    limits = dataclasses.replace(LIMITS, tunnel_buffer_bytes_max=10_000, tunnel_silence_s=0.1)
    async with Served(limits) as served:
        socket = await Socket.open(served, RUN + "echo+on;exec+sleep+1000", "v4.channel.k8s.io")
        for _ in range(64):
            socket.say(b"\0" + b"x" * 10_000)
        await asyncio.sleep(0.3)
        (connection,) = served.listener.connections
        assert not connection._transport.is_reading()
        # Gone without a word while nobody reads: that shows when it is asked.
        socket.writer.transport.abort()
        await served.all_closed()


async def test_input_that_nobody_asked_for_is_dropped():
    limits = dataclasses.replace(LIMITS, tunnel_buffer_bytes_max=10_000)
    async with Served(limits) as served:
        path = "exec?stdout=true&command=sh&command=-c&command=echo+on;exec+sleep+1000"
        socket = await Socket.open(served, path, "v4.channel.k8s.io")
        while (await socket.hear()) != b"\x01on\n":
            pass
        for _ in range(64):
            socket.say(b"\0" + b"x" * 10_000)
        await asyncio.sleep(0.3)
        (connection,) = served.listener.connections
        assert connection._transport.is_reading()
        await socket.close()
        await served.all_closed()


async def test_a_log_waits_for_its_reader_and_ends_with_it():
    async with Served() as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        path = "/api/v1/namespaces/default/pods/p/log?follow=true"
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert b"Content-Type: text/plain\r\n" in await reader.readuntil(b"\r\n\r\n")
        (connection,) = served.listener.connections
        async with asyncio.timeout(10):
            while not connection.is_blocked():  # noqa: ASYNC110 (the kernel fills up unseen)
                await asyncio.sleep(0.01)
        assert (await reader.readexactly(1_000_000)).count(b"line ") > 900
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        await served.all_closed()


async def test_as_many_tunnels_as_allowed():
    from understudy.kube import statuses

    limits = dataclasses.replace(LIMITS, tunnels_max=1)
    async with Served(limits) as served:
        socket = await Socket.open(served, RUN + "cat", "v4.channel.k8s.io")
        request = exchanges.Request("GET", b"/api/v1/namespaces/default/pods/p/log", {})
        with pytest.raises(statuses.TooManyRequestsError):
            served.answer(request)
        await socket.close()
        await served.all_closed()


async def test_the_server_ends_what_is_open():
    async with Served() as served:
        socket = await Socket.open(served, RUN + "echo+on;exec+sleep+1000", "v4.channel.k8s.io")
        await socket.hear()
    # __aexit__ has checked that nothing is left.
    await socket.close()


# -- ports


@contextlib.asynccontextmanager
async def echoing():
    async def echo(reader, writer):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


async def test_ports_are_forwarded_by_channels():
    async with Served() as served, echoing() as port:
        socket = await Socket.open(served, f"portforward?ports={port}&ports=1", "v4.channel.k8s.io")
        first = sorted([await socket.hear() for _ in range(4)])
        assert first == [b"\x00" + struct.pack("<H", port), b"\x01" + struct.pack("<H", port),
                         b"\x02\x01\x00", b"\x03\x01\x00"]  # fmt: skip
        assert b"error forwarding port 1 to pod p" in await socket.hear()
        socket.say(b"\0to and fro")
        assert await socket.hear() == b"\0to and fro"
        await socket.close()
        await served.all_closed()


@pytest.mark.parametrize("within", ["websocket", "spdy"])
async def test_ports_are_forwarded_by_streams(within):
    async with Served() as served, echoing() as port:
        writer, reader = spdy.Writer(), spdy.Reader()
        if within == "websocket":
            socket = await Socket.open(served, "portforward", forwards.WEBSOCKET[0])
            say, hear = socket.say, socket.hear
        else:
            socket = None
            source, sink = await asyncio.open_connection("127.0.0.1", served.port)
            sink.write(
                b"POST /api/v1/namespaces/default/pods/p/portforward HTTP/1.1\r\nHost: x\r\n"
                b"Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nContent-Length: 0\r\n"
                b"X-Stream-Protocol-Version: portforward.k8s.io\r\n\r\n"
            )
            assert b" 101 " in await source.readuntil(b"\r\n\r\n")

            def say(data):
                sink.write(data)

            async def hear():
                return await source.read(65536)

        for number, name in enumerate((port, 1)):
            common = {"port": str(name), "requestID": str(number)}
            say(writer.open(4 * number + 1, {"streamtype": "error", **common}))
            say(writer.open(4 * number + 3, {"streamtype": "data", **common}))
        say(writer.data(3, b"to and fro"))
        say(writer.data(3, b"", is_last=True))
        got = {}
        ended = set()
        while not {1, 3, 5, 7} <= ended:
            for event in reader.feed(await hear()):
                if isinstance(event, spdy.Data):
                    got[event.stream] = got.get(event.stream, b"") + event.data
                    ended |= {event.stream} if event.is_last else set()
        assert got[3] == b"to and fro"
        assert got[1] == b""
        assert b"error forwarding port 1 to pod p" in got[5]
        if socket is not None:
            await socket.close()
        else:
            sink.close()
            await sink.wait_closed()
        await served.all_closed()


# -- whatever a peer says


PIECES = st.lists(
    st.one_of(
        st.binary(max_size=80),
        st.binary(max_size=80).map(events.BytesMessage),
        st.text(max_size=40).map(events.TextMessage),
        st.just(events.Ping(b"?")),
        st.integers(0, 255).map(lambda n: events.BytesMessage(bytes((255, n)))),
        st.binary(max_size=40).map(lambda d: events.BytesMessage(b"\x04" + d)),
    ),
    max_size=12,
)


@hypothesis_settings(max_examples=30, deadline=None)
@given(PIECES, st.sampled_from([*commands.WEBSOCKET, forwards.WEBSOCKET[0], "", "SPDY"]))
def test_nothing_a_peer_says_stops_the_server(pieces, carrier):
    async def run():
        async with Served() as served:
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            path = "portforward" if "SPDY" in carrier else RUN + "cat"
            lines = [f"GET /api/v1/namespaces/default/pods/p/{path} HTTP/1.1", "Host: x",
                     "Connection: Upgrade"]  # fmt: skip
            if carrier == "SPDY":
                lines += ["Upgrade: SPDY/3.1", "X-Stream-Protocol-Version: portforward.k8s.io"]
            else:
                lines += ["Upgrade: websocket", "Sec-WebSocket-Version: 13",
                          f"Sec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}"]  # fmt: skip
                lines += [f"Sec-WebSocket-Protocol: {carrier}"] if carrier else []
            writer.write("\r\n".join([*lines, "", ""]).encode())
            client = frames.Connection(frames.ConnectionType.CLIENT)
            for piece in pieces:
                with contextlib.suppress(wsproto.utilities.LocalProtocolError):
                    writer.write(piece if isinstance(piece, bytes) else client.send(piece))
            writer.write_eof()
            async with asyncio.timeout(20):
                with contextlib.suppress(ConnectionError):
                    assert b" 101 " in await reader.read()
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            await served.all_closed()

    asyncio.run(run())
