"""Connections break, agents die, hubs restart: no request runs twice, none hangs, all come back."""

import asyncio

import pytest

from understudy.client import http
from understudy.kube import statuses
from understudy.platform import agent as agents, errors, records
from understudy.platform.bus import standalone
from understudy.platform.hub import clients, tokens
from understudy.testing import mocks


async def state(client, instance="prod-eu"):
    return next(one["state"] for one in await client.instances() if one["instance"] == instance)


async def test_a_cut_of_a_moment_is_not_seen_by_whoever_waits(world):
    hub = await world.hub()
    cable, url = await world.cable(hub.url)
    mock = mocks.MockPlatform()
    mock.on_export.delay_s, mock.on_export.answer = 0.4, "objects"
    agent = await world.agent(mock, url)
    client = await world.client(hub.url)
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(client.platform("prod-eu").export())
        await world.until(lambda: mock.on_export.calls)
        await cable.sever()
        await world.until(lambda: not agent.connected.is_set())
        await asyncio.sleep(0.1)
        await cable.mend()
    assert (asked.result(), mock.on_export.calls) == ("objects", 1)


async def test_a_result_that_was_ready_while_the_network_was_away_is_not_lost(world):
    hub = await world.hub()
    cable, url = await world.cable(hub.url)
    mock = mocks.MockPlatform()
    mock.on_export.delay_s, mock.on_export.answer = 0.1, "objects"
    await world.agent(mock, url)
    client = await world.client(hub.url)
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(client.platform("prod-eu").export())
        await world.until(lambda: mock.on_export.calls)
        cable.cut()  # the answer is sent, and does not arrive
        await world.until(lambda: _is_lost(client), 2 * world.heartbeat_s + 1)
        await cable.sever()
        await cable.mend()
    assert (asked.result(), mock.on_export.calls) == ("objects", 1)


async def _is_lost(client):
    return await state(client) == "lost"


async def test_silence_is_noticed_within_two_heartbeats_and_life_goes_on_after_it(world):
    hub = await world.hub()
    cable, url = await world.cable(hub.url)
    agent = await world.agent(mocks.MockPlatform(), url)
    client = await world.client(hub.url)
    clock = asyncio.get_running_loop().time
    cable.cut()
    start = clock()
    await world.until(lambda: _is_lost(client))
    assert clock() - start < 2 * world.heartbeat_s + 1, "and a second for a busy machine"
    await world.until(lambda: not agent.connected.is_set())
    await cable.sever()
    await cable.mend()
    await world.until(agent.connected.is_set)
    assert await client.platform("prod-eu").version() == "mock"
    assert await state(client) == "connected"


async def test_a_network_that_is_cut_for_good_ends_every_call_by_its_deadline(world):
    bus = standalone.StandaloneMessageBus(deadlines_s={"export": 1.0, "ping": 0.3}, return_s=0.5)
    hub = await world.hub(bus=bus)
    cable, url = await world.cable(hub.url)
    mock = mocks.MockPlatform()
    mock.on_export.delay_s = -1
    await world.agent(mock, url)
    platform = await bus.connect("prod-eu")
    cable.cut()
    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(_ended(call())) for call in (platform.export, platform.ping)]
        async with asyncio.timeout(5):
            ended = [await call for call in calls]
    assert all(isinstance(error, errors.UnavailableError) for error in ended)
    await world.until(lambda: _is_away(bus))
    with pytest.raises(errors.UnavailableError, match="no agent is connected"):
        await platform.ping()
    await bus.close()


async def _ended(call):
    try:
        return await call
    except errors.PlatformError as error:
        return error


async def _is_away(bus):
    return (await bus.presence("prod-eu")).state == "lost"


async def test_a_killed_agent_is_gone_at_once_and_another_takes_over(world):
    hub = await world.hub()
    mock = mocks.MockPlatform()
    mock.on_sync.delay_s = -1
    killed = await world.agent(mock, hub.url)
    client = await world.client(hub.url)
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(_ended(client.platform("prod-eu").export()))
        mock.on_export.delay_s = -1
        await world.until(lambda: mock.on_export.calls)
        killed.running.cancel()
        await world.until(lambda: _is_lost(client))
        (told,) = await client.instances()
        assert told["reason"] == "the agent of instance prod-eu is gone: the connection was closed"
        other = mocks.MockPlatform()
        await world.agent(other, hub.url)
    assert isinstance(asked.result(), errors.UnavailableError)
    assert other.on_export.calls == 0, "it may have been done by the one that died"
    assert await client.platform("prod-eu").version() == "mock"


async def test_agents_come_back_to_a_hub_that_was_restarted(world):
    hub = await world.hub()
    mock = mocks.MockPlatform()
    agent = await world.agent(mock, hub.url)
    await hub.stop()
    await world.until(lambda: not agent.connected.is_set())
    assert "the hub was stopped" in agent.state
    again = await world.hub(port=int(hub.url.rpartition(":")[2]))
    await world.until(agent.connected.is_set)
    client = await world.client(again.url)
    assert await client.platform("prod-eu").version() == "mock"


async def test_of_two_agents_with_one_identity_the_newest_wins_and_both_slow_down(world):
    hub = await world.hub()
    mocked = mocks.MockPlatform(), mocks.MockPlatform()
    first = await world.agent(mocked[0], hub.url, kicked_first_s=0.1)
    second = await world.agent(mocked[1], hub.url, kicked_first_s=0.1)
    await world.until(lambda: "was replaced by connection" in first.state)
    client = await world.client(hub.url)
    assert await client.platform("prod-eu").version() == "mock"
    await world.until(lambda: max(first.epoch, second.epoch) >= 4, 20)
    (told,) = await client.instances()
    assert "two agents use this identity" in told["note"]
    calls = sum(one.on_version.calls for one in mocked)
    await client.platform("prod-eu").export()
    assert sum(one.on_export.calls for one in mocked) == 1
    assert calls >= 1


async def test_a_call_under_way_at_a_kicked_agent_says_so_and_does_not_move(world):
    hub = await world.hub()
    first, second = mocks.MockPlatform(), mocks.MockPlatform()
    first.on_sync.delay_s = -1
    await world.agent(first, hub.url, kicked_first_s=30.0)
    client = await world.client(hub.url)
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(_ended(client.platform("prod-eu").sync(records.SyncDef())))
        await world.until(lambda: first.on_sync.calls)
        await world.agent(second, hub.url)
    assert isinstance(asked.result(), errors.KickedError)
    assert (first.on_sync.calls, second.on_sync.calls) == (1, 0)


async def test_whoever_gives_up_stops_the_work_at_the_far_end(world):
    hub = await world.hub()
    mock = mocks.MockPlatform()
    stopped = asyncio.Event()

    class Watched:
        methods = ("export", "version")

        def __getattr__(self, name):
            return getattr(mock, name)

        async def export(self):
            try:
                await asyncio.Event().wait()
            finally:
                stopped.set()

    await world.agent(Watched(), hub.url)
    client = await world.client(hub.url)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await client.platform("prod-eu").export()
    async with asyncio.timeout(5):
        await stopped.wait()


async def test_an_agent_that_is_stopped_finishes_what_it_has_begun(world):
    hub = await world.hub()
    mock = mocks.MockPlatform()
    mock.on_export.delay_s, mock.on_export.answer = 0.3, "objects"
    agent = await world.agent(mock, hub.url)
    client = await world.client(hub.url)
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(client.platform("prod-eu").export())
        await world.until(lambda: mock.on_export.calls)
        agent.stop()
    assert asked.result() == "objects"
    await world.until(lambda: _is_lost(client))
    (told,) = await client.instances()
    assert told["reason"].endswith("left in order")


async def test_a_client_rides_over_the_moment_in_which_an_agent_is_away(world):
    hub = await world.hub(heartbeat_s=5.0)
    cable, url = await world.cable(hub.url)
    mock = mocks.MockPlatform()
    mock.on_call_api.answer = records.ApiAnswer(status=200, body='{"gitVersion": "v1"}')
    agent = await world.agent(mock, url)
    async with http.HttpClient(clients.Place(url=hub.url).access("prod-eu")) as client:
        await cable.sever()
        await world.until(lambda: not agent.connected.is_set())
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(client.version())
            await world.until(lambda: world.requests)
            assert world.requests[-1]["result"] == "unavailable"
            await cable.mend()
        assert asked.result() == {"gitVersion": "v1"}
        agent.stop()
        await world.until(lambda: "stopped" in agent.state)
        before = len(world.requests)
        with pytest.raises(statuses.ServiceUnavailableError):
            await client.version()
        assert len(world.requests) == before + 1, "who has left is not waited for"


async def test_an_agent_connects_although_its_cluster_does_not_answer(world, monkeypatch):
    monkeypatch.setattr(agents, "DESCRIBE_S", 0.05)
    hub = await world.hub()

    async def silent():
        await asyncio.Event().wait()

    await world.agent(mocks.MockPlatform(), hub.url, describe=silent)
    client = await world.client(hub.url)
    (told,) = await client.instances()
    assert (told["state"], told["cluster"]) == ("connected", {})


async def test_an_agent_waits_for_a_token_that_is_not_there_just_now(world, tmp_path):
    file = tokens.TokenFile(tmp_path / "tokens.json")
    found = []

    def token():
        if not found:
            raise errors.UnavailableError("token file t: No such file or directory")
        return found[0]

    file.add_agent("prod-eu")
    hub = await world.hub(tokens=file.path)
    agent = await world.agent(mocks.MockPlatform(), hub.url, wait=False, token=token)
    await world.until(lambda: "No such file" in agent.state)
    found.append(file.add_agent("prod-eu"))
    await world.until(agent.connected.is_set)


async def test_an_agent_can_be_stopped_while_it_connects(world):
    came, release = asyncio.Event(), asyncio.Event()

    async def silent(_reader, writer):
        came.set()
        await release.wait()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    agent = await world.agent(mocks.MockPlatform(), f"http://127.0.0.1:{port}", wait=False)
    await came.wait()
    agent.stop()
    async with asyncio.timeout(2):
        await agent.running
    assert agent.state == "stopped"
    release.set()
    server.close()
    await server.wait_closed()
