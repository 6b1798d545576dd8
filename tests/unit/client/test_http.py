"""HttpClient towards servers that are slow, strange, strict or gone."""

from __future__ import annotations

import asyncio
import datetime as dt
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from understudy.client import credentials, errors, http, kubeconfig
from understudy.kube import objects, statuses

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

PODS = {
    "kind": "APIResourceList",
    "groupVersion": "v1",
    "resources": [
        {"name": "pods", "kind": "Pod", "namespaced": True, "verbs": ["get", "list"]},
        {"name": "pods/status", "kind": "Pod", "namespaced": True, "verbs": ["get"]},
    ],
}


class Server:
    """A server whose answers a test writes."""

    def __init__(self) -> None:
        self.routes: dict[tuple[str, str], Handler] = {}
        self.seen: list[web.Request] = []
        self.url = ""

    def answer(self, method: str, path: str, *answers: object, status: int = 200) -> None:
        remaining = list(answers)

        async def handle(_request: web.Request) -> web.StreamResponse:
            value = remaining.pop(0) if len(remaining) > 1 else remaining[0]
            if isinstance(value, web.Response):
                return value
            return web.json_response(value, status=status)

        self.routes[method, path] = handle

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request)
        found = self.routes.get((request.method, request.path))
        return await found(request) if found else web.Response(status=404)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    made.answer("GET", "/api", {"kind": "APIVersions", "versions": ["v1"]})
    made.answer("GET", "/apis", {"kind": "APIGroupList", "groups": []})
    made.answer("GET", "/api/v1", PODS)
    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", made.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.05)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
    yield made
    await runner.cleanup()


def client(server: Server, **access: object) -> http.HttpClient:
    return http.HttpClient(
        kubeconfig.Access(server=server.url, origin="test", **access), clock=Hasty()
    )


class Hasty:
    """A clock that notes how long it was asked to sleep."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def now(self):
        return dt.datetime.now(dt.UTC)

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


def status(code: int, reason: str, message: str, **details: object) -> web.Response:
    body = {"kind": "Status", "code": code, "reason": reason, "message": message}
    headers = {}
    if details:
        body["details"] = details
        headers["Retry-After"] = str(details["retryAfterSeconds"])
    return web.json_response(body, status=code, headers=headers)


async def test_an_older_servers_discovery_is_read(server: Server) -> None:
    async with client(server) as made:
        served = await made.discover()
    found = served.named("pods")
    assert found is not None
    assert (found.kind, found.subresources) == ("Pod", ("status",))


async def test_a_server_that_says_later_is_asked_later(server: Server) -> None:
    busy = status(429, "TooManyRequests", "slow down", retryAfterSeconds=2)
    server.answer("GET", "/api/v1/pods", busy, {"kind": "PodList", "items": []})
    async with client(server) as made:
        assert (await made.list("pods")).items == []
        assert made._clock.slept == [2.0]


async def test_a_disruption_budget_is_an_answer(server: Server) -> None:
    refused = status(429, "TooManyRequests", "budget", retryAfterSeconds=10)
    server.answer("POST", "/api/v1/namespaces/n/pods/p/eviction", refused)
    async with client(server) as made:
        with pytest.raises(statuses.TooManyRequestsError) as caught:
            await made.create("pods", {}, namespace="n", name="p", subresource="eviction")
        assert made._clock.slept == []
    assert caught.value.retry_after_s == 10


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (web.Response(text="<html>hello</html>"), "does not answer as a Kubernetes API server"),
        (web.Response(text="[1]"), "does not answer as a Kubernetes API server"),
        (web.Response(status=302, headers={"Location": "/login"}), "answers 302 and no Kubernetes"),
    ],
)
async def test_what_is_no_api_server_is_told(
    server: Server, answer: web.Response, complaint: str
) -> None:
    server.answer("GET", "/version", answer)
    async with client(server) as made:
        with pytest.raises(errors.NotKubernetesError, match=complaint):
            await made.version()


async def test_a_plain_text_refusal_keeps_its_words(server: Server) -> None:
    server.answer("GET", "/version", web.Response(status=403, text="blocked by the proxy\n"))
    async with client(server) as made:
        with pytest.raises(statuses.ForbiddenError, match="blocked by the proxy"):
            await made.version()


async def test_a_connection_lost_within_an_answer_is_told(server: Server) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Length": "1000"})
        await answer.prepare(request)
        await answer.write(b'{"kind"')
        request.transport.close()
        return answer

    server.routes["GET", "/version"] = cut
    async with client(server) as made:
        with pytest.raises(errors.StreamBrokenError) as caught:
            await made.version()
    assert caught.value.sent


async def test_events_of_any_size_and_cut_anywhere_are_read(server: Server) -> None:
    large = "x" * 300_000

    async def stream(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        for name in ("a", large):
            line = b'{"type":"ADDED","object":{"metadata":{"name":"%s"}}}\n' % name.encode()
            for start in range(0, len(line), 70_001):
                await answer.write(line[start : start + 70_001])
                await asyncio.sleep(0)
        return answer

    server.routes["GET", "/api/v1/pods"] = stream
    async with client(server) as made:
        seen = [objects.name_of(event.object) async for event in made.watch("pods")]
    assert seen == ["a", large]


async def test_an_empty_answer_in_time_is_a_timeout(server: Server) -> None:
    async def hang(_request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(30)
        return web.Response()

    server.routes["GET", "/version"] = hang
    made = http.HttpClient(
        kubeconfig.Access(server=server.url), settings=http.HttpSettings(request_timeout_s=0.1)
    )
    async with made:
        with pytest.raises(errors.RequestTimeoutError, match=r"did not answer within 0\.1 s"):
            await made.version()


async def test_the_token_and_whom_to_impersonate_are_sent(server: Server) -> None:
    server.answer("GET", "/version", {"gitVersion": "v1.36.0"})
    async with client(server, token="t", impersonate="ann", groups=("a", "b")) as made:
        await made.version()
    headers = server.seen[-1].headers
    assert headers["Authorization"] == "Bearer t"
    assert headers["Impersonate-User"] == "ann"
    assert headers.getall("Impersonate-Group") == ["a", "b"]


async def test_a_replaced_token_file_is_read_again_after_401(
    server: Server, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("old")

    async def strict(request: web.Request) -> web.StreamResponse:
        if request.headers["Authorization"] != "Bearer new":
            token.write_text("new")
            return status(401, "Unauthorized", "who?")
        return web.json_response({"gitVersion": "v1"})

    server.routes["GET", "/version"] = strict
    async with client(server, token_file=str(token)) as made:
        assert (await made.version())["gitVersion"] == "v1"


def plugin(path: Path, body: str) -> kubeconfig.ExecPlugin:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return kubeconfig.ExecPlugin(command=str(path))


async def test_an_exec_plugin_gives_a_token_once(server: Server, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    made_by = plugin(
        tmp_path / "get-token",
        f'echo x >> {runs}; echo \'{{"kind":"ExecCredential","status":{{"token":"t"}}}}\'',
    )
    server.answer("GET", "/version", {"gitVersion": "v1"})
    async with client(server, exec_plugin=made_by) as made:
        await made.version()
        await made.version()
    assert server.seen[-1].headers["Authorization"] == "Bearer t"
    assert runs.read_text() == "x\n"


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("echo no such profile >&2; exit 3", "failed with exit code 3: no such profile"),
        ("echo hello", "printed no ExecCredential with a status"),
        ("echo '{\"status\": {}}'", "gave neither a token nor a client certificate"),
    ],
)
async def test_a_plugin_that_fails_says_why(tmp_path: Path, body: str, complaint: str) -> None:
    with pytest.raises(errors.CredentialsError, match=complaint):
        await credentials.run_plugin(
            plugin(tmp_path / "p", body), kubeconfig.Access(server="https://a")
        )


async def test_a_plugin_that_is_not_installed_gives_its_hint() -> None:
    missing = kubeconfig.ExecPlugin(command="/nowhere/plugin", install_hint="brew install it")
    with pytest.raises(errors.CredentialsError, match=r"cannot be run .*: brew install it"):
        await credentials.run_plugin(missing, kubeconfig.Access(server="https://a", origin="file"))
