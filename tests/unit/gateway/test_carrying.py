"""One request on its way: headers, bodies, streams, time limits, failures."""

from __future__ import annotations

import asyncio
import gzip
import io
import json

import aiohttp
import pytest
from aiohttp import web
from gateway_world import says, until


async def echo(request):
    body = await request.read()
    shown = {"method": request.method, "path": request.raw_path, "body": body.decode()}
    return web.json_response(shown | {"headers": dict(request.headers)})


async def json_of(world, *args, **options):
    return json.loads((await world.ask(*args, **options)).body)


async def test_method_path_query_and_body_arrive_as_they_were_sent(world):
    await world.app(echo)
    seen = await json_of(world, "PUT", "app.test", "/a%2Fb/./c%20d?x=1&x=%26&y", data=b"body")
    assert (seen["method"], seen["body"]) == ("PUT", "body")
    reader, writer = await asyncio.open_connection("127.0.0.1", world.gateway.port)
    writer.write(b"GET /a%2Fb//c%7e?x=%26&&y= HTTP/1.1\r\nHost: app.test\r\n\r\n")
    answer = await reader.readuntil(b'"body"')
    assert b'"path": "/a%2Fb//c%7e?x=%26&&y="' in answer
    writer.close()


async def test_the_app_learns_who_asked_and_sees_no_header_of_the_connection(world):
    await world.app(echo)
    sent = {
        "X-Forwarded-For": "192.0.2.1",
        "Connection": "keep-alive, X-Mine",
        "X-Mine": "1",
        "TE": "trailers",
        "Authorization": "Bearer x",
    }
    headers = (await json_of(world, "GET", "app.test", headers=sent))["headers"]
    assert headers["Host"] == "app.test"
    assert headers["X-Forwarded-For"] == "192.0.2.1, 127.0.0.1"
    assert headers["X-Forwarded-Proto"] == "http"
    assert headers["X-Forwarded-Host"] == "app.test"
    assert headers["Authorization"] == "Bearer x"
    assert headers["Knative-Serving-Revision"] == "app-1"
    assert not {"X-Mine", "TE"} & set(headers)


async def test_what_the_app_answers_arrives_as_it_is(world):
    async def handle(request):
        response = web.Response(status=418, reason="Teapot", body=gzip.compress(b"tea"))
        response.headers["Content-Encoding"] = "gzip"
        response.headers.add("Set-Cookie", "a=1")
        response.headers.add("Set-Cookie", "b=2")
        return response

    await world.app(handle)
    answer = await world.get()
    assert answer.status == 418
    assert gzip.decompress(answer.body) == b"tea"
    assert answer.headers.getall("Set-Cookie") == ["a=1", "b=2"]


async def test_redirects_are_the_clients_business(world):
    async def handle(request):
        return web.Response(status=302, headers={"Location": "http://elsewhere.test/"})

    await world.app(handle)
    answer = await world.get()
    assert (answer.status, answer.headers["Location"]) == (302, "http://elsewhere.test/")


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
async def test_answers_without_a_body_leave_the_connection_usable(world, method, status):
    async def handle(request):
        return web.Response(status=status, headers={"ETag": '"1"'}, body=b"")

    await world.app(handle)
    for _ in range(3):
        answer = await world.ask(method, "app.test")
        assert (answer.status, answer.body) == (status, b"")
        assert answer.headers["ETag"] == '"1"'


async def test_a_head_keeps_the_length_of_what_it_stands_for(world):
    await world.app(says("twelve bytes"))
    assert (await world.ask("HEAD", "app.test")).headers["Content-Length"] == "12"


async def test_large_bodies_go_through_both_ways(world):
    async def handle(request):
        total = 0
        async for chunk in request.content.iter_any():
            total += len(chunk)
        return web.Response(body=io.BytesIO(b"x" * total))

    await world.app(handle)
    answer = await world.ask("POST", "app.test", data=io.BytesIO(b"y" * 3_000_000))
    assert answer.body == b"x" * 3_000_000


async def test_events_arrive_while_the_app_still_sends(world):
    go_on = asyncio.Event()

    async def handle(request):
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: 1\n\n")
        await go_on.wait()
        await response.write(b"data: 2\n\n")
        return response

    await world.app(handle)
    async with world.session.get(world.url, headers={"Host": "app.test"}) as response:
        assert await response.content.readuntil(b"\n\n") == b"data: 1\n\n"
        go_on.set()
        assert await response.content.read() == b"data: 2\n\n"


async def test_an_upload_and_its_answer_flow_at_the_same_time(world):
    async def handle(request):
        response = web.StreamResponse()
        await response.prepare(request)
        async for chunk in request.content.iter_any():
            await response.write(chunk.upper())
        return response

    await world.app(handle)
    queue: asyncio.Queue[bytes] = asyncio.Queue()

    async def upload():
        while chunk := await queue.get():
            yield chunk

    queue.put_nowait(b"one")
    async with world.session.post(
        world.url, headers={"Host": "app.test"}, data=upload()
    ) as response:
        assert await response.content.readany() == b"ONE"
        queue.put_nowait(b"two")
        assert await response.content.readany() == b"TWO"
        queue.put_nowait(b"")
        assert await response.content.read() == b""


async def test_a_client_that_waits_to_be_told_to_continue_is_told(world):
    await world.app(echo)
    answer = await world.ask("POST", "app.test", data=b"body", expect100=True)
    assert (answer.status, b'"body": "body"' in answer.body) == (200, True)


async def test_an_app_that_answers_too_late_gives_504(world):
    async def handle(request):
        await asyncio.sleep(5)
        return web.Response()

    await world.app(handle, timeoutSeconds=1)
    answer = await world.get()
    assert answer.status == 504
    assert answer.text == "app did not answer in 1 s (timeoutSeconds of its revision)\n"


async def test_an_answer_cut_off_by_time_is_not_taken_for_a_whole_one(world):
    async def handle(request):
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"x")
        await asyncio.sleep(5)
        return response

    await world.app(handle, timeoutSeconds=1)
    with pytest.raises(aiohttp.ClientError):
        await world.get()


async def test_an_app_that_begins_or_goes_on_too_late_is_cut_off_too(world):
    async def handle(request):
        response = web.StreamResponse()
        if request.path == "/begins":
            await asyncio.sleep(5)
        await response.prepare(request)
        await response.write(b"x")
        await asyncio.sleep(5)
        return response

    await world.app(handle, timeoutSeconds=3, responseStartTimeoutSeconds=1, idleTimeoutSeconds=1)
    answer = await world.get(path="/begins")
    assert (answer.status, answer.text) == (504, "app did not begin to answer in 1 s\n")
    with pytest.raises(aiohttp.ClientError):
        await world.get()


@pytest.mark.parametrize(("method", "times"), [("GET", 2), ("POST", 1)])
async def test_an_app_that_hangs_up_gives_502(world, method, times):
    asked = []

    async def handle(request):
        asked.append(request.method)
        request.transport.abort()
        return web.Response()

    await world.app(handle)
    answer = await world.ask(method, "app.test")
    assert answer.status == 502
    assert answer.text.startswith("app ended the connection without an answer")
    assert asked == [method] * times, "what may be repeated is, once"


async def test_a_replica_that_dies_over_a_request_is_replaced_by_another(world):
    async def handle(request):
        request.transport.abort()
        return web.Response()

    await world.app(handle)
    await world.pod("app-1", says("alive"))
    assert {(await world.get()).text for _ in range(4)} == {"alive"}


async def test_an_app_that_speaks_no_http_gives_502(world):
    async def serve(reader, writer):
        await reader.readline()
        writer.write(b"SSH-2.0-x\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    await world.app(says("x"))
    world.view.delete("pods", "app-1-0", "default")
    world.put_pod("app-1", "odd", server.sockets[0].getsockname()[1])
    answer = await world.get()
    assert answer.status == 502
    assert "not HTTP" in answer.text
    server.close()
    await server.wait_closed()


async def test_an_answer_that_breaks_off_breaks_the_clients(world):
    async def handle(request):
        response = web.StreamResponse(headers={"Content-Length": "1000000"})
        await response.prepare(request)
        await response.write(b"x" * 1000)
        request.transport.abort()
        return response

    await world.app(handle)
    with pytest.raises(aiohttp.ClientError):
        await world.get()


async def test_a_client_that_leaves_is_noticed_by_the_app(world):
    left = asyncio.Event()

    async def handle(request):
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 1000)
                await asyncio.sleep(0.01)
        except ConnectionError:
            left.set()
            raise

    await world.app(handle)
    async with world.session.get(world.url, headers={"Host": "app.test"}) as response:
        await response.content.readany()
        response.close()
    await asyncio.wait_for(left.wait(), 5)


async def test_too_many_requests_at_once_are_refused(world):
    async def handle(request):
        await asyncio.sleep(5)
        return web.Response()

    await world.app(handle)
    object.__setattr__(world.gateway._config, "requests_max", 1)
    first = asyncio.ensure_future(world.get())
    await until(lambda: world.gateway._requests)
    answer = await world.get()
    assert (answer.status, answer.text) == (503, "too many requests are in progress\n")
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first


@pytest.mark.parametrize(
    ("target", "code", "told"),
    [
        (b"OPTIONS *", 400, b"'OPTIONS *' asks for no path of an app"),
        (b"CONNECT app.test:443", 400, b"asks for no path of an app"),
        (b"GET http://app.test/x?y=1", 200, b'"path": "/x?y=1"'),
        (b"GET /%zz%f", 200, b'"path": "/%zz%f"'),
        (b"PURGE /x", 200, b'"method": "PURGE"'),
        (b"GET /\xc3\xa4", 400, b"Invalid char"),
    ],
)
async def test_odd_targets_are_carried_or_refused(world, caplog, target, code, told):
    await world.app(echo)
    reader, writer = await asyncio.open_connection("127.0.0.1", world.gateway.port)
    writer.write(target + b" HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    assert int(answer[9:12]) == code, answer
    assert told in answer
    assert not caplog.records, "a client's mistake is no news for the log"
    writer.close()
    await writer.wait_closed()


async def test_half_a_handshake_is_refused(world):
    async def handle(request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.receive()
        return socket

    await world.app(handle)
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket"}
    answer = await world.get(headers=upgrade)
    assert answer.status == 400
    assert (await world.get("nowhere.test")).status == 404
