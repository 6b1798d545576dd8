"""Two hubs over NATS are one: agents move between them, and calls go on."""

import asyncio

import pytest

from understudy.platform import errors
from understudy.platform.bus import nats, settings
from understudy.platform.hub import clients
from understudy.testing import brokers, mocks

QUICK = {"heartbeat_s": 0.2, "roll_call_s": 2, "resend_s": 0.2, "patience_s": 3}


@pytest.fixture
async def replicas(world):
    """A NATS server and two hubs that share it; each hub has a bus of its own."""
    async with brokers.NatsServer() as server:
        given = settings.NatsSettings(servers=(server.url,), **QUICK)
        async with nats.NatsMessageBus(given) as one, nats.NatsMessageBus(given) as other:
            found = [await world.hub(bus=one), await world.hub(bus=other)]
            yield server, *found
            for hub in found:
                await hub.stop()


def port(hub):
    return int(hub.url.rpartition(":")[2])


async def test_an_agent_is_reached_and_listed_through_either(world, replicas):
    _, ours, theirs = replicas
    await world.agent(mocks.MockPlatform(), theirs.url)
    for hub in (ours, theirs):
        client = await world.client(hub.url)
        await world.until(lambda client=client: _is(client, "connected"))
        (told,) = await client.instances()
        assert (told["instance"], told["version"]) == ("prod-eu", "mock")
        assert "call_api" in told["methods"]
        assert await client.platform("prod-eu").version() == "mock"


async def _is(client, state):
    found = await client.instances()
    return bool(found) and found[0]["state"] == state


async def test_a_call_goes_on_when_its_agent_moves_to_another_hub(world, replicas):
    _, ours, theirs = replicas
    cable, url = await world.cable(theirs.url)
    mock = mocks.MockPlatform()
    mock.on_export.delay_s, mock.on_export.answer = 0.5, "objects"
    agent = await world.agent(mock, url)
    client = await world.client(ours.url)
    await world.until(lambda: _is(client, "connected"))
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(client.platform("prod-eu").export())
        await world.until(lambda: mock.on_export.calls)
        cable._target = port(ours)  # as an address in front of both would lead it
        await theirs.stop()
    assert (asked.result(), mock.on_export.calls) == ("objects", 1)
    assert agent.connected.is_set()


async def test_the_newest_agent_counts_whichever_hub_it_comes_to(world, replicas):
    _, ours, theirs = replicas
    older, newer = mocks.MockPlatform(), mocks.MockPlatform()
    newer.on_version.answer = "newer"
    first = await world.agent(older, theirs.url, kicked_first_s=30.0)
    client = await world.client(ours.url)
    await world.until(lambda: _is(client, "connected"))
    await world.agent(newer, ours.url)
    await world.until(lambda: "was replaced by connection" in first.state)
    for hub in (ours, theirs):
        asked = await world.client(hub.url)
        assert await asked.platform("prod-eu").version() == "newer"


async def test_without_nats_a_hub_still_reaches_its_own_agents_and_all_comes_back(world, replicas):
    server, ours, theirs = replicas
    await world.agent(mocks.MockPlatform(), theirs.url)
    near, far = await world.client(theirs.url), await world.client(ours.url)
    await world.until(lambda: _is(far, "connected"))
    await server.kill()
    assert await near.platform("prod-eu").version() == "mock"
    hurried = clients.HubClient(clients.Place(url=ours.url), deadlines_s={"version": 0.5})
    async with hurried, asyncio.timeout(10):
        with pytest.raises(errors.UnavailableError):
            await hurried.platform("prod-eu").version()
    await server.start()
    await world.until(lambda: _is(far, "connected"))
    assert await far.platform("prod-eu").version() == "mock"
