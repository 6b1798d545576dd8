"""A platform through agent, WebSocket, hub, bus and HTTP behaves as the platform itself."""

import asyncio
import contextlib

import pytest

from understudy.client import views as view_clients
from understudy.kapi import views
from understudy.platform import agent, kubernetes
from understudy.platform.bus import nats, settings, standalone
from understudy.platform.hub import clients, servers
from understudy.testing import battery, brokers

DEADLINES_S = {"some_services": 1.0, "all_services": 1.0}
QUICK = {"retry_first_s": 0.02, "retry_max_s": 0.1, "kicked_first_s": 60.0}


@contextlib.asynccontextmanager
async def hub_on(bus):
    hub = servers.Hub(bus, servers.Settings(port=0), audit=lambda _record: None)
    await hub.start()
    try:
        yield hub
    finally:
        await hub.stop()


class Agents:
    """The agents of one instance, which come one after another over a cable."""

    def __init__(self, group, cable):
        self._group, self._cable = group, cable
        self._url = f"http://127.0.0.1:{cable.port}"
        self._running = []

    async def come(self, platform):
        made = agent.Agent(platform, agent.Settings(hub=self._url, instance="prod-eu", **QUICK))
        self._running.append(made)
        self._group.create_task(made.run())
        await made.connected.wait()

    async def reconnect(self):
        newest = self._running[-1]
        await self._cable.sever()
        while newest.connected.is_set():  # noqa: ASYNC110
            await asyncio.sleep(0.002)
        await self._cable.mend()
        await newest.connected.wait()

    def stop(self):
        for one in self._running:
            one.stop()


@contextlib.asynccontextmanager
async def agents_at(hub, platform):
    port = int(hub.url.rpartition(":")[2])
    async with brokers.Cable(port) as cable, asyncio.TaskGroup() as group:
        made = Agents(group, cable)
        try:
            await made.come(platform)
            yield made
        finally:
            made.stop()


def reach(platform, agents):
    return battery.Reach(
        platform=platform,
        reconnect=agents.reconnect,
        replace=agents.come,
        deadlines_s=DEADLINES_S,
    )


@contextlib.asynccontextmanager
async def through_an_agent(platform):
    """The hub asks, through its bus and the agent's WebSocket."""
    bus = standalone.StandaloneMessageBus(deadlines_s=DEADLINES_S)
    async with hub_on(bus) as hub, agents_at(hub, platform) as agents:
        yield reach(await bus.connect("prod-eu"), agents)
    await bus.close()


@contextlib.asynccontextmanager
async def through_a_hub(platform):
    """A caller asks over HTTP."""
    bus = standalone.StandaloneMessageBus()
    async with (
        hub_on(bus) as hub,
        agents_at(hub, platform) as agents,
        clients.HubClient(clients.Place(url=hub.url), deadlines_s=DEADLINES_S) as client,
    ):
        yield reach(client.platform("prod-eu"), agents)
    await bus.close()


@contextlib.asynccontextmanager
async def through_two_replicas(platform):
    """A caller asks one hub, the agent is connected to another, NATS is between."""
    async with brokers.NatsServer() as server:
        given = settings.NatsSettings(servers=(server.url,))
        async with (
            nats.NatsMessageBus(given) as far,
            nats.NatsMessageBus(given) as near,
            hub_on(far) as theirs,
            hub_on(near) as ours,
            agents_at(theirs, platform) as agents,
            clients.HubClient(clients.Place(url=ours.url), deadlines_s=DEADLINES_S) as client,
        ):

            async def settled():
                epoch = (await far.presence("prod-eu")).epoch
                while (await near.presence("prod-eu")).epoch != epoch:  # noqa: ASYNC110
                    await asyncio.sleep(0.002)

            async def replace(newer):
                await agents.come(newer)
                await settled()

            async def reconnect():
                await agents.reconnect()
                await settled()

            await settled()
            yield battery.Reach(
                platform=client.platform("prod-eu"),
                reconnect=reconnect,
                replace=replace,
                deadlines_s=DEADLINES_S,
            )


WRAPS = pytest.mark.parametrize("wrap", [through_an_agent, through_a_hub, through_two_replicas])


@WRAPS
async def test_calls_arrive_whole(wrap):
    await battery.platform_battery(wrap)


@WRAPS
async def test_a_kubernetes_cluster_behaves(wrap):
    platform = kubernetes.KubernetesPlatform(view_clients.ViewClient(views.new_view()))
    async with wrap(platform) as reached:
        await battery.cluster_battery(reached.platform)
