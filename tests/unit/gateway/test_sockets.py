"""WebSockets through the gateway."""

from __future__ import annotations

import aiohttp
import pytest
from aiohttp import web
from gateway_world import says, until


async def shout(request):
    socket = web.WebSocketResponse(protocols=("loud",))
    await socket.prepare(request)
    async for message in socket:
        if message.type is aiohttp.WSMsgType.BINARY:
            await socket.send_bytes(message.data[::-1])
        elif message.data == "leave":
            await socket.close(code=4001, message=b"as you like")
        else:
            await socket.send_str(message.data.upper())
    return socket


def connect(world, **options):
    return world.session.ws_connect(world.url + "/ws?x=1", headers={"Host": "app.test"}, **options)


async def test_messages_go_both_ways(world):
    await world.app(shout)
    async with connect(world, protocols=("quiet", "loud")) as socket:
        assert socket.protocol == "loud"
        await socket.send_str("hello")
        assert (await socket.receive()).data == "HELLO"
        await socket.send_bytes(b"\x00\x01")
        assert (await socket.receive()).data == b"\x01\x00"
        await socket.send_str("x" * 300_000)
        assert (await socket.receive()).data == "X" * 300_000


async def test_each_end_learns_how_the_other_closed(world):
    codes = []

    async def handle(request):
        socket = await shout(request)
        codes.append(socket.close_code)
        return socket

    await world.app(handle)
    async with connect(world) as socket:
        await socket.send_str("leave")
        message = await socket.receive()
        assert (message.type, message.data, message.extra) == (
            aiohttp.WSMsgType.CLOSE, 4001, "as you like",
        )  # fmt: skip
    async with connect(world) as socket:
        await socket.close(code=4002)
    await until(lambda: len(codes) == 2)
    assert codes[1] == 4002


async def test_an_app_that_wants_no_socket_refuses_with_its_code(world):
    await world.app(says("no"))
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with connect(world):
            pass
    assert refused.value.status == 502


async def test_a_lost_app_closes_the_clients_socket(world):
    async def handle(request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.receive()
        request.transport.abort()
        return socket

    await world.app(handle)
    async with connect(world) as socket:
        await socket.send_str("x")
        message = await socket.receive()
        assert message.type is aiohttp.WSMsgType.CLOSE
        assert message.data == 1001


async def test_a_drain_does_not_wait_for_sockets(world):
    """The app is told to stop, and closes its sockets itself."""
    name = await world.app(shout)
    async with connect(world) as socket:
        await socket.send_str("a")
        await socket.receive()
        await world.drained(world.find_pod(name))
        await socket.send_str("b")
        assert (await socket.receive()).data == "B"
