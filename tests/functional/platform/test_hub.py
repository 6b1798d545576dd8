"""The hub's HTTP API: who may ask what, how answers come, what is written down."""

import asyncio

import aiohttp
import pytest

from understudy.aio import clocks, ids
from understudy.client import connections, http
from understudy.kube import statuses
from understudy.platform import agent as agents, errors, kubernetes, links, records, relaying
from understudy.platform.hub import clients, tokens
from understudy.testing import mocks, servers as test_servers


@pytest.fixture(scope="module")
def cluster():
    with test_servers.TestServer() as server:
        yield server.base


@pytest.fixture
def file(tmp_path):
    return tokens.TokenFile(tmp_path / "tokens.json")


@pytest.fixture
async def closing():
    opened = []
    yield opened.append
    for one in opened:
        await one.close()


def kube(url, token="", instance="prod-eu"):
    return http.HttpClient(clients.Place(url=url, token=token).access(instance))


async def test_without_tokens_a_hub_listens_on_loopback_only(world):
    with pytest.raises(errors.InvalidRequestError, match=r"host 0\.0\.0\.0: without tokens"):
        await world.hub(host="0.0.0.0")


async def test_an_agent_needs_the_token_of_its_instance(world, file):
    right, other = file.add_agent("prod-eu"), file.add_agent("prod-us")
    hub = await world.hub(tokens=file.path)
    mock = mocks.MockPlatform()
    for token, why in (("", "does not know"), ("usa_x", "does not know"), (other, "for another")):
        refused = await world.agent(mock, hub.url, wait=False, token=lambda token=token: token)
        await world.until(lambda refused=refused, why=why: why in refused.state)
        refused.stop()
    agent = await world.agent(mock, hub.url, token=lambda: right)
    assert agent.epoch == 1
    agent.stop()
    await world.until(lambda: world.audit[-1]["event"] == "disconnected")
    told = [(one["agent"], one["event"], one["reason"]) for one in world.audit]
    assert ("prod-eu", "refused", "the token is not for instance prod-eu") in told
    assert told[-2:] == [
        ("prod-eu", "connected", "connection 1, agent mock"),
        ("prod-eu", "disconnected", "the agent of instance prod-eu left in order"),
    ]


async def test_a_caller_does_what_its_token_says_and_where(world, file):
    reader = file.add_caller("reader", relaying.Access.READ, ("prod-*",))
    writer = file.add_caller("writer", relaying.Access.WRITE, ("*",))
    agent_token = file.add_agent("prod-eu")
    file.add_agent("stage")
    hub = await world.hub(tokens=file.path)
    await world.agent(mocks.MockPlatform(), hub.url, token=lambda: agent_token)

    nobody = await world.client(hub.url)
    with pytest.raises(errors.PlatformError, match="a caller's token is needed"):
        await nobody.instances()
    with pytest.raises(errors.PlatformError, match="a caller's token is needed"):
        await (await world.client(hub.url, agent_token)).platform("prod-eu").ping()

    asked = await world.client(hub.url, reader)
    assert [one["instance"] for one in await asked.instances()] == ["prod-eu"]
    assert await asked.platform("prod-eu").version() == "mock"
    with pytest.raises(
        errors.PlatformError, match="reader has read access to prod-eu, and sync needs write"
    ):
        await asked.platform("prod-eu").sync(records.SyncDef())
    with pytest.raises(errors.PlatformError, match="reader may not see instance stage"):
        await asked.platform("stage").ping()

    asked = await world.client(hub.url, writer)
    states = [(one["instance"], one["state"]) for one in await asked.instances()]
    assert states == [("prod-eu", "connected"), ("stage", "never_seen")]
    await asked.platform("prod-eu").sync(records.SyncDef())

    file.remove("writer", caller=True)
    with pytest.raises(errors.PlatformError, match="a caller's token is needed"):
        await asked.instances()


async def test_every_request_leaves_one_record(world, file, cluster, closing):
    token = file.add_caller("ci", relaying.Access.READ, ("*",))
    agent_token = file.add_agent("prod-eu")
    hub = await world.hub(tokens=file.path)
    real = connections.connect(kubeconfig=cluster.kubeconfig)
    client = kube(hub.url, token)
    closing(real)
    closing(client)
    platform = kubernetes.KubernetesPlatform(real, relay=real.relay)
    await world.agent(platform, hub.url, token=lambda: agent_token)
    await client.get("namespaces", "default")
    with pytest.raises(
        statuses.ForbiddenError, match="and POST /api/v1/namespaces/default/configmaps needs write"
    ):
        await client.create("configmaps", {"metadata": {"name": "a"}}, namespace="default")
    with pytest.raises(statuses.ForbiddenError, match="GET /api/v1/secrets needs secrets"):
        await client.list("secrets")
    told = [(one["caller"], one["request"], one["result"]) for one in world.audit[-3:]]
    assert told == [
        ("ci", "GET /api/v1/namespaces/default", "ok"),
        ("ci", "POST /api/v1/namespaces/default/configmaps", "forbidden"),
        ("ci", "GET /api/v1/secrets", "forbidden"),
    ]
    assert all(one["instance"] == "prod-eu" and one["ms"] >= 0 for one in world.audit[-3:])


async def test_a_client_cannot_tell_the_hub_from_the_cluster(world, cluster, closing):
    hub = await world.hub()
    real = connections.connect(kubeconfig=cluster.kubeconfig)
    client = kube(hub.url)
    closing(real)
    closing(client)
    await world.agent(kubernetes.KubernetesPlatform(real, relay=real.relay), hub.url)

    words = {"metadata": {"name": "words"}, "data": {"a": "ü"}}
    made = await client.create("configmaps", words, namespace="default")
    assert made == await real.get("configmaps", "words", namespace="default")
    with pytest.raises(statuses.AlreadyExistsError):
        await client.create("configmaps", {"metadata": {"name": "words"}}, namespace="default")
    with pytest.raises(statuses.NotFoundError):
        await client.get("configmaps", "none", namespace="default")
    listing = await client.list(
        "configmaps", namespace="default", label_selector="a!=b,c notin (d)"
    )
    assert "words" in {one["metadata"]["name"] for one in listing.items}
    patched = await client.patch("configmaps", "words", {"data": {"a": "b"}}, namespace="default")
    assert patched["data"] == {"a": "b"}


async def test_a_watch_comes_in_pieces(world, cluster, closing):
    hub = await world.hub()
    real = connections.connect(kubeconfig=cluster.kubeconfig)
    client = kube(hub.url)
    closing(real)
    closing(client)
    await world.agent(kubernetes.KubernetesPlatform(real, relay=real.relay), hub.url)
    since = (await client.list("configmaps", namespace="default")).resource_version
    for name in ("w1", "w2"):
        await real.create("configmaps", {"metadata": {"name": name}}, namespace="default")
    events = [
        event.object["metadata"]["name"]
        async for event in client.watch("configmaps", namespace="default", resource_version=since)
    ]
    assert events == ["w1", "w2"], "and then the watch ended, as a server may end it"


async def test_without_an_agent_the_answer_is_a_status_at_once(world, closing):
    hub = await world.hub()
    client = kube(hub.url)
    closing(client)
    with pytest.raises(statuses.ServiceUnavailableError, match="no agent is connected"):
        await client.get("namespaces", "default")
    with pytest.raises(errors.InvalidRequestError, match="must be a DNS label"):
        kube(hub.url, instance="../x")


async def test_bad_requests_get_one_sentence(world):
    hub = await world.hub()
    await world.agent(mocks.MockPlatform(), hub.url)
    one = "/v1/instances/prod-eu"
    async with aiohttp.ClientSession(hub.url) as session:
        for method, path, options, status, said in [
            ("POST", one + "/calls/reboot", {}, 501, "the hub does not know reboot"),
            ("POST", one + "/calls/sync", {"data": b"{"}, 400, "the body is no JSON"),
            ("POST", one + "/calls/sync", {"data": b"[]"}, 400, "the body must be an object"),
            ("POST", one + "/calls/sync", {"json": {"definition": 1}}, 400, "SyncDef: must be an"),
            ("POST", "/v1/instances/NO/calls/ping", {}, 400, "must be a DNS label"),
            ("POST", one + "/calls/ping", {"headers": {clients.TIMEOUT: "soon"}}, 400, "seconds"),
            (
                "POST",
                one + "/calls/ping",
                {"headers": {clients.REQUEST_ID: "a b"}},
                400,
                "64 letters",
            ),
            ("GET", one + "/kubernetes/metrics", {}, 400, "none of the Kubernetes API"),
            ("GET", one + "/kubernetes/api/v1/namespaces/d/pods/p/exec", {}, 400, "needs a stream"),
        ]:
            async with session.request(method, path, **options) as answer:
                assert (answer.status, said in await answer.text()) == (status, True), path


async def test_a_request_that_a_caller_repeats_runs_once(world):
    hub = await world.hub()
    mock = mocks.MockPlatform()
    mock.on_version.delay_s = 0.2
    await world.agent(mock, hub.url)
    async with aiohttp.ClientSession(hub.url) as session:
        before = mock.on_version.calls
        path, same = "/v1/instances/prod-eu/calls/version", {clients.REQUEST_ID: "mine"}
        with pytest.raises(TimeoutError):
            async with session.post(path, headers=same, timeout=aiohttp.ClientTimeout(0.1)):
                pass
        async with session.post(path, headers=same) as answer:
            assert answer.status in {200, 404, 503}
    assert mock.on_version.calls == before + 1


async def test_metrics_and_health(world, file):
    token = file.add_caller("prometheus", relaying.Access.READ, ())
    hub = await world.hub(tokens=file.path)
    async with aiohttp.ClientSession(hub.url) as session:
        async with session.get("/healthz") as answer:
            assert (answer.status, await answer.text()) == (200, "ok\n")
        async with session.get("/metrics") as answer:
            assert answer.status == 401
        headers = {"Authorization": f"Bearer {token}"}
        async with session.get("/metrics", headers=headers) as answer:
            assert "understudy_hub_requests_total" in await answer.text()


async def test_an_agent_that_does_less_says_so_before_it_is_asked(world):
    class Older:
        methods = ("ping", "version")

        def __getattr__(self, name):
            return getattr(mocks.MockPlatform(), name)

    hub = await world.hub()
    await world.agent(Older(), hub.url)
    client = await world.client(hub.url)
    (told,) = await client.instances()
    assert told["methods"] == ["ping", "version"]
    with pytest.raises(errors.UpgradeNeededError, match="does not know sync"):
        await client.platform("prod-eu").sync(records.SyncDef())


@pytest.mark.parametrize(
    ("spoken", "advice"), [((7, 9), "Upgrade the hub"), ((0, 0), "Upgrade the agent")]
)
async def test_an_agent_of_another_protocol_is_told_who_must_upgrade(world, spoken, advice):
    hub = await world.hub()
    hello = links.Hello(agent="a", version="9", methods=("ping",), protocol=spoken)
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(hub.url + "/v1/agents/prod-eu") as socket,
    ):
        with pytest.raises(errors.UpgradeNeededError) as caught:
            await links.greet(socket, hello, clocks.SystemClock())
    assert caught.value.help.startswith(advice)


async def test_a_read_only_agent_changes_nothing_whoever_asks(world, cluster, closing):
    hub = await world.hub()
    real = connections.connect(kubeconfig=cluster.kubeconfig)
    client = kube(hub.url)
    closing(real)
    closing(client)
    settings = kubernetes.Settings(read_only=True)
    platform = kubernetes.KubernetesPlatform(real, settings, relay=real.relay)
    await world.agent(platform, hub.url)
    await client.get("namespaces", "default")
    with pytest.raises(statuses.BadRequestError, match="told to change nothing"):
        await client.delete("namespaces", "default")
    asked = await world.client(hub.url)
    with pytest.raises(errors.InvalidRequestError, match="told to change nothing"):
        await asked.platform("prod-eu").sync(records.SyncDef())


def test_waits_grow_to_a_limit_and_are_not_the_same():
    backoff = agents.Backoff(1.0, 8.0, ids.SeededIds())
    waits = [backoff.next_s() for _ in range(6)]
    assert all(
        full / 2 <= wait <= full for wait, full in zip(waits, [1, 2, 4, 8, 8, 8], strict=True)
    )
    assert len(set(waits)) == 6
    backoff.reset()
    assert backoff.next_s() <= 1


async def test_whoever_hangs_up_leaves_a_record_too(world):
    hub = await world.hub()
    mock = mocks.MockPlatform()
    mock.on_sync.delay_s = -1
    await world.agent(mock, hub.url)
    path, limit = "/v1/instances/prod-eu/calls/sync", aiohttp.ClientTimeout(0.2)
    async with aiohttp.ClientSession(hub.url) as session:
        with pytest.raises(TimeoutError):
            await session.post(path, json={"definition": {}}, timeout=limit)
    await world.until(lambda: world.requests)
    (told,) = world.requests
    assert (told["request"], told["result"]) == ("sync", "cancelled")


@pytest.mark.parametrize("path", ["calls/sync", "kubernetes/api/v1/pods"])
async def test_nobodys_body_is_read_before_they_are_known(world, file, path):
    file.add_caller("ci", relaying.Access.READ, ("*",))
    hub = await world.hub(tokens=file.path)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(hub.url.rpartition(":")[2]))
    head = f"POST /v1/instances/prod-eu/{path} HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n"
    writer.write(head.encode())
    assert b" 401 " in await reader.readline(), "although the body never comes"
    writer.close()
    await writer.wait_closed()


async def test_a_file_of_tokens_that_was_spoilt_lets_nobody_in(world, file):
    token = file.add_caller("ci", relaying.Access.READ, ("*",))
    agent_token = file.add_agent("prod-eu")
    hub = await world.hub(tokens=file.path)
    file.path.write_text("nonsense")
    asked = await world.client(hub.url, token)
    with pytest.raises(errors.UnavailableError, match="file of tokens cannot be used"):
        await asked.instances()
    mock = mocks.MockPlatform()
    agent = await world.agent(mock, hub.url, wait=False, token=lambda: agent_token)
    await world.until(lambda: "the hub answered 503" in agent.state)


async def test_an_agent_whose_token_is_taken_back_is_sent_away(world, file):
    token = file.add_agent("prod-eu")
    hub = await world.hub(tokens=file.path)
    agent = await world.agent(mocks.MockPlatform(), hub.url, token=lambda: token)
    file.add_agent("prod-eu")
    await asyncio.sleep(2 * world.heartbeat_s)
    assert agent.connected.is_set(), "another token changes nothing"
    file.remove("prod-eu")
    await world.until(lambda: "does not know the agent's token" in agent.state)
    assert "the agent's token was taken back" in {one.get("reason") for one in world.audit}


async def test_many_watches_do_not_keep_other_requests_waiting(world, cluster, closing):
    hub = await world.hub()
    real = connections.connect(kubeconfig=cluster.kubeconfig)
    client = kube(hub.url)
    closing(real)
    closing(client)
    await world.agent(kubernetes.KubernetesPlatform(real, relay=real.relay), hub.url)
    since = (await client.list("secrets", namespace="default")).resource_version
    busy = [kube(hub.url) for _ in range(3)]
    for one in busy:
        closing(one)

    async def watch(one):
        async for _ in one.watch("secrets", namespace="default", resource_version=since):
            pass

    async with asyncio.TaskGroup() as group:
        watches = [group.create_task(watch(busy[n % 3])) for n in range(60)]
        await asyncio.sleep(0.2)
        async with asyncio.timeout(relaying.WATCH_S / 2):
            await client.get("namespaces", "default")
        assert not all(one.done() for one in watches), "some still wait for news"
        for one in watches:
            one.cancel()
