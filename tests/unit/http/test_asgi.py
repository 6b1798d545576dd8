"""The ASGI face answers as the protocol does."""

import asyncio

import httpx
import pytest

from understudy.kapi import server, settings
from understudy.kapi.http import asgi

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
LIMITS = settings.HttpLimits(body_bytes_max=300_000)


@pytest.fixture
def embedded():
    return server.Server(settings.ServerSettings(limits=LIMITS))


@pytest.fixture
async def client(embedded):
    transport = httpx.ASGITransport(asgi.Application(embedded.api, LIMITS))
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as found:
        yield found


async def test_requests_are_answered(client):
    made = await client.post(CONFIG_MAPS, json={"metadata": {"name": "a"}})
    assert (made.status_code, made.headers["content-type"]) == (201, "application/json")
    listed = await client.get(f"{CONFIG_MAPS}?labelSelector=x%3Dy")
    assert listed.json()["items"] == []
    assert (await client.get("/nowhere")).text == "404 page not found\n"
    head = await client.head("/version")
    assert head.content == b""


async def test_bodies_have_their_limit_and_answers_are_compressed(client):
    assert (await client.post(CONFIG_MAPS, content=b"x" * 400_000)).status_code == 413
    body = {"metadata": {"name": "a"}, "data": {"x": "x" * 200_000}}
    made = await client.post(CONFIG_MAPS, json=body)
    assert made.headers["content-encoding"] == "gzip"
    assert made.json()["metadata"]["name"] == "a"


class Peer:
    """The server's side of one ASGI connection."""

    def __init__(self, application, path, query=b""):
        self.scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "query_string": query,
            "headers": [],
        }
        self.application = application
        self.sent: asyncio.Queue = asyncio.Queue()
        self.received: asyncio.Queue = asyncio.Queue()
        self.received.put_nowait({"type": "http.request", "body": b"", "more_body": False})

    async def run(self):
        await self.application(self.scope, self.received.get, self.sent.put)


async def test_watches_are_streamed_until_their_end(embedded):
    peer = Peer(asgi.Application(embedded.api, LIMITS), CONFIG_MAPS, b"watch=1&timeoutSeconds=1")
    async with asyncio.TaskGroup() as group:
        group.create_task(peer.run())
        assert (await peer.sent.get())["status"] == 200
        embedded.base.create("configmaps", {"metadata": {"name": "a"}}, "default")
        event = await peer.sent.get()
        assert event["body"].startswith(b'{"type":"ADDED"')
        assert event["body"].endswith(b"}\n")
        assert (await peer.sent.get()) == {
            "type": "http.response.body",
            "body": b"",
            "more_body": False,
        }
    assert embedded.api.open_watches == 0


async def test_a_peer_that_goes_ends_its_watch(embedded):
    peer = Peer(asgi.Application(embedded.api, LIMITS), CONFIG_MAPS, b"watch=1")
    async with asyncio.TaskGroup() as group:
        group.create_task(peer.run())
        await peer.sent.get()
        assert embedded.api.open_watches == 1
        peer.received.put_nowait({"type": "http.disconnect"})
    assert embedded.api.open_watches == 0


async def test_a_large_state_is_streamed_whole(embedded):
    for n in range(100):
        body = {"metadata": {"name": f"a{n}"}, "data": {"x": "x" * 10_000}}
        embedded.base.create("configmaps", body, "default")
    peer = Peer(asgi.Application(embedded.api, LIMITS), CONFIG_MAPS, b"watch=1&timeoutSeconds=1")
    async with asyncio.TaskGroup() as group:
        group.create_task(peer.run())
    pieces = []
    while not peer.sent.empty():
        pieces.append(peer.sent.get_nowait().get("body", b""))
    assert len(pieces) > 3
    assert b"".join(pieces).count(b'"type":"ADDED"') == 100


async def test_other_protocols_are_refused_and_lifespans_followed(embedded):
    application = asgi.Application(embedded.api, LIMITS)
    peer = Peer(application, "/")
    with pytest.raises(ValueError, match="does not speak websocket"):
        await application({"type": "websocket"}, peer.received.get, peer.sent.put)
    peer.received.put_nowait({"type": "lifespan.shutdown"})
    await application({"type": "lifespan"}, peer.received.get, peer.sent.put)
    assert peer.sent.get_nowait() == {"type": "lifespan.startup.complete"}
