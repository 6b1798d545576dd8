"""A platform through agent, WebSocket, hub, bus and HTTP behaves as the platform itself."""

import asyncio
import contextlib

from understudy.client import views as view_clients
from understudy.kapi import views
from understudy.platform import agent, kubernetes
from understudy.platform.bus import standalone
from understudy.platform.hub import clients, servers
from understudy.testing import battery


@contextlib.asynccontextmanager
async def hub_running(**settings):
    """A hub on a free port, with what it said of its requests."""
    bus, told = standalone.StandaloneMessageBus(), []
    hub = servers.Hub(bus, servers.Settings(port=0, **settings), audit=told.append)
    hub.told = told
    await hub.start()
    try:
        yield hub
    finally:
        await hub.stop()
        await bus.close()


@contextlib.asynccontextmanager
async def agent_running(platform, url, instance="prod-eu", **settings):
    made = agent.Agent(platform, agent.Settings(hub=url, instance=instance, **settings))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(made.run())
        async with asyncio.timeout(10):
            await made.connected.wait()
        try:
            yield made
        finally:
            made.stop()
            await running


@contextlib.asynccontextmanager
async def through_a_hub(platform):
    async with (
        hub_running() as hub,
        agent_running(platform, hub.url),
        clients.HubClient(clients.Place(url=hub.url)) as asked,
    ):
        yield asked.platform("prod-eu")


async def test_calls_arrive_whole():
    await battery.platform_battery(through_a_hub)


async def test_a_kubernetes_cluster_behaves():
    platform = kubernetes.KubernetesPlatform(view_clients.ViewClient(views.new_view()))
    async with through_a_hub(platform) as reached:
        await battery.cluster_battery(reached)
