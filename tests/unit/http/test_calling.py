"""Webhooks called over HTTPS, by a server that is asked over HTTP; and how failures are told."""

import asyncio
import base64
import contextlib
import datetime as dt
import socket

import aiohttp
import pytest
from aiohttp import web

from understudy.kapi import server, settings
from understudy.kapi.http import calling, certificates
from understudy.kapi.resources import calls

NOW = dt.datetime.now(dt.UTC)
CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return certificates.Authority(tmp_path_factory.mktemp("ca"), NOW)


@contextlib.asynccontextmanager
async def listening(handler, tls=None):
    """Serve every path; yields `host:port`."""
    runner = web.ServerRunner(web.Server(handler), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    try:
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def webhook(authority, handler=None, hosts=("127.0.0.1",)):
    """Serve a webhook over TLS; yields `host:port`."""
    async with listening(handler or allow, authority.context(list(hosts), NOW)) as address:
        yield address


async def allow(request):
    review = await request.json()
    review["response"] = {"uid": review["request"]["uid"], "allowed": True}
    return web.json_response(review)


def call_of(url, ca="", **target):
    return calls.question(
        "test",
        calls.Target(url=url, ca=ca, **target),
        {},
        kind="Review",
        api_version="v1",
        timeout_s=2,
    )


@pytest.fixture
async def caller():
    found = calling.Caller()
    yield found
    await found.close()
    await asyncio.sleep(0.01)  # TLS transports close in the loop's next turns


async def failure(caller, call):
    (answer,) = await caller([call])
    head = f'Post "{call.target.url}?timeout=2s": '
    assert answer.failure.startswith(head), answer.failure
    return answer.failure.removeprefix(head)


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


# ---------------------------------------------------------------------- calls


async def test_answers_come_in_the_order_of_their_calls(authority, caller):
    async def echo(request):
        if request.path == "/slow":
            await asyncio.sleep(0.02)
        return web.json_response({"path": request.path, "timeout": request.query["timeout"]})

    async with webhook(authority, echo) as address:
        ca = authority.pem.decode()
        wanted = [call_of(f"https://{address}/{name}", ca) for name in ("slow", "fast")]
        answers = await caller(wanted)
    assert [answer.value["path"] for answer in answers] == ["/slow", "/fast"]
    assert answers[0].value["timeout"] == "2s"


async def test_who_cannot_be_reached_is_told_as_go_tells_it(caller):
    port = free_port()
    text = await failure(caller, call_of(f"https://127.0.0.1:{port}/x"))
    assert text == f"dial tcp 127.0.0.1:{port}: connect: connection refused"
    text = await failure(caller, call_of("https://nowhere.invalid:1/x"))
    assert text == "dial tcp: lookup nowhere.invalid: no such host"
    text = await failure(caller, call_of("https://a.b.svc:443/", failure='service "a" not found'))
    assert text == 'service "a" not found'


async def test_a_webhook_of_an_unknown_authority_is_not_believed(authority, caller, tmp_path):
    other = certificates.Authority(tmp_path, NOW).pem.decode()
    async with webhook(authority) as address:
        text = await failure(caller, call_of(f"https://{address}/", other))
    assert text == (
        "tls: failed to verify certificate: x509: certificate signed by unknown authority"
    )


@pytest.mark.parametrize(
    ("ca", "why"),
    [
        ("nonsense", "unable to parse bytes as PEM block"),
        (
            "-----BEGIN KEY-----\nAAAA\n-----END KEY-----\n",
            "no valid certificate authority data seen",
        ),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "failed to parse certificate: x509: malformed certificate",
        ),
    ],
)
async def test_a_ca_that_is_none_keeps_the_call_from_being_made(caller, ca, why):
    (answer,) = await caller([call_of("https://127.0.0.1:1/", ca)])
    assert answer.failure == f"unable to load root certificates: {why}"
    assert answer.unsent


async def test_a_certificate_for_somebody_else_is_not_believed(authority, caller):
    async with webhook(authority, hosts=["other.example.com"]) as address:
        text = await failure(caller, call_of(f"https://{address}/", authority.pem.decode()))
    assert text == (
        "tls: failed to verify certificate: x509: cannot validate certificate for 127.0.0.1 "
        "because it doesn't contain any IP SANs"
    )


async def test_a_webhook_without_tls_is_found_out(caller):
    async with listening(allow) as address:
        text = await failure(caller, call_of(f"https://{address}/"))
    assert text == "http: server gave HTTP response to HTTPS client"


async def test_a_webhook_that_takes_too_long_is_given_up(authority, caller):
    async def never(request):
        await asyncio.sleep(30)

    async with webhook(authority, never) as address:
        call = calls.question(
            "test",
            calls.Target(url=f"https://{address}/", ca=authority.pem.decode()),
            {},
            kind="Review",
            api_version="v1",
            timeout_s=1,
        )
        (answer,) = await caller([call])
    assert answer.failure == f'Post "https://{address}/?timeout=1s": context deadline exceeded'


@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        (404, "", "the server could not find the requested resource"),
        (500, "oops", 'an error on the server ("oops") has prevented the request from succeeding'),
        (503, "", "the server is currently unable to handle the request"),
        (200, "", "unexpected end of JSON input"),
        (
            200,
            "<html>",
            "couldn't get version/kind; json parse error: invalid character '<' looking for "
            "beginning of value",
        ),
        (400, '{"kind": "Status", "message": "so it is"}', "so it is"),
    ],
)
async def test_an_answer_that_is_none_is_told_as_client_go_tells_it(
    authority, caller, status, body, text
):
    async def answer(request):
        return web.Response(status=status, text=body)

    async with webhook(authority, answer) as address:
        call = call_of(f"https://{address}/", authority.pem.decode())
        assert await caller([call]) == [calls.Answer(failure=text)]


# ---------------------------------------------------------------------- through a server


@contextlib.asynccontextmanager
async def serving(**chosen):
    embedded = server.Server(settings.ServerSettings(port=0, **chosen))
    await embedded.start()
    try:
        async with aiohttp.ClientSession(embedded.url) as session:
            yield embedded, session
    finally:
        await embedded.stop()
        await asyncio.sleep(0.01)


def configuration(client, authority, **hook):
    client["caBundle"] = base64.b64encode(authority.pem).decode()
    rule = {
        "apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"],
    }  # fmt: skip
    hook = {
        "name": "w.example.com",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "clientConfig": client,
        "rules": [rule],
    } | hook
    return {"metadata": {"name": "w"}, "webhooks": [hook]}


async def test_a_request_waits_for_its_webhook_and_others_do_not(authority):
    asked, released = asyncio.Event(), asyncio.Event()

    async def slow(request):
        asked.set()
        await released.wait()
        return await allow(request)

    async with webhook(authority, slow) as address, serving() as (_, session):
        made = configuration({"url": f"https://{address}/"}, authority)
        assert (await session.post(CONFIGURATIONS, json=made)).status == 201
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(session.post(CONFIG_MAPS, json={"metadata": {"name": "a"}}))
            await asked.wait()
            assert (await session.get(f"{CONFIG_MAPS}/a")).status == 404
            released.set()
        assert waiting.result().status == 201
        assert (await session.get(f"{CONFIG_MAPS}/a")).status == 200


async def test_refusals_and_warnings_reach_the_client(authority):
    async def refuse(request):
        review = await request.json()
        review["response"] = {
            "uid": review["request"]["uid"],
            "allowed": False,
            "status": {"message": "not today", "code": 403},
            "warnings": ["be warned"],
        }
        return web.json_response(review)

    async with webhook(authority, refuse) as address, serving() as (_, session):
        await session.post(
            CONFIGURATIONS, json=configuration({"url": f"https://{address}/"}, authority)
        )
        answer = await session.post(CONFIG_MAPS, json={"metadata": {"name": "a"}})
        body = await answer.json()
        assert (answer.status, answer.headers["Warning"]) == (403, '299 - "be warned"')
    assert body["message"] == 'admission webhook "w.example.com" denied the request: not today'


async def test_a_service_is_reached_through_its_endpoints(authority):
    async with (
        webhook(authority, hosts=["hook.default.svc"]) as address,
        serving() as (embedded, session),
    ):
        client = {"service": {"namespace": "default", "name": "hook", "path": "/v"}}
        await session.post(CONFIGURATIONS, json=configuration(client, authority))
        refused = await session.post(CONFIG_MAPS, json={"metadata": {"name": "a"}})
        url = "https://hook.default.svc:443/v?timeout=10s"
        assert f'Post \\"{url}\\": service \\"hook\\" not found' in await refused.text()

        service = {"metadata": {"name": "hook"}, "spec": {"ports": [{"port": 443}]}}
        await session.post("/api/v1/namespaces/default/services", json=service)
        refused = await session.post(CONFIG_MAPS, json={"metadata": {"name": "a"}})
        assert 'no endpoints available for service \\"hook\\"' in await refused.text()

        host, _, port = address.rpartition(":")
        # Loopback addresses are refused at the API; where pods are processes, they are real.
        embedded.base.load(
            [
                {
                    "apiVersion": "discovery.k8s.io/v1",
                    "kind": "EndpointSlice",
                    "metadata": {
                        "name": "hook-1",
                        "namespace": "default",
                        "labels": {"kubernetes.io/service-name": "hook"},
                    },
                    "addressType": "IPv4",
                    "ports": [{"name": "", "port": int(port), "protocol": "TCP"}],
                    "endpoints": [{"addresses": [host], "conditions": {"ready": True}}],
                }
            ]
        )
        made = await session.post(CONFIG_MAPS, json={"metadata": {"name": "a"}})
        assert made.status == 201


async def test_a_service_is_where_the_settings_say(authority):
    async with (
        webhook(authority, hosts=["hook.shop.svc"]) as address,
        serving(service_addresses={"shop/hook": address}) as (_, session),
    ):
        client = {"service": {"namespace": "shop", "name": "hook"}}
        await session.post(CONFIGURATIONS, json=configuration(client, authority))
        made = await session.post(CONFIG_MAPS, json={"metadata": {"name": "a"}})
        assert made.status == 201

        client["service"]["name"] = "other"
        other = configuration(client, authority) | {"metadata": {"name": "x"}}
        await session.post(CONFIGURATIONS, json=other)
        refused = await session.post(CONFIG_MAPS, json={"metadata": {"name": "b"}})
        assert 'service \\"other\\" not found' in await refused.text()


@pytest.mark.parametrize(
    ("service", "address"),
    [("hook", "127.0.0.1:1"), ("shop/hook", "127.0.0.1"), ("shop/hook", ":1"), ("shop/hook", "")],
)
def test_where_a_service_is_must_be_said_in_full(service, address):
    chosen = settings.ServerSettings(service_addresses={service: address})
    with pytest.raises(settings.SettingsError, match=r"service-address: .* such as shop/hook=127"):
        server.Server(chosen)


async def test_a_sandbox_s_webhooks_are_called_too(authority):
    asked = []

    async def note(request):
        asked.append((await request.json())["request"]["name"])
        return await allow(request)

    async with webhook(authority, note) as address, serving() as (embedded, session):
        embedded.views.create("trial")
        made = configuration({"url": f"https://{address}/"}, authority)
        await session.post(f"/trial{CONFIGURATIONS}", json=made)
        await session.post(f"/trial{CONFIG_MAPS}", json={"metadata": {"name": "there"}})
        await session.post(CONFIG_MAPS, json={"metadata": {"name": "here"}})
    assert asked == ["there"]
