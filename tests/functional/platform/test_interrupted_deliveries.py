"""A delivery through a hub meets what networks do: it goes on, or the next run converges."""

import asyncio
import contextlib

import pytest

from understudy import assembly
from understudy.aio import clocks
from understudy.client import connections, errors as client_errors, http
from understudy.delivery import deliveries, manifests, targets
from understudy.kube import statuses
from understudy.platform import kubernetes
from understudy.platform.hub import clients
from understudy.testing import servers

OWNER = targets.Owner("shop", "default")
OBJECTS = 200
FAILURES = (statuses.ApiError, client_errors.TransportError, deliveries.errors.DeliveryError)


@pytest.fixture
def cluster():
    with servers.TestServer() as server:
        yield server.base


def manifest(n, value):
    obj = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"map-{n}", "namespace": "default"},
        "data": {"v": value},
    }
    return manifests.Manifest(obj, manifests.Source("test", n + 1))


def application(value):
    return [manifest(n, value) for n in range(OBJECTS)]


def delivered(cluster):
    found = cluster.wait_for(lambda view: list(view.each("configmaps", "default")) or [{}])
    return sorted(
        (one["metadata"]["name"], one["data"]["v"])
        for one in found
        if one.get("metadata", {}).get("name", "").startswith("map-")
    )


def wanted(value):
    return sorted((f"map-{n}", value) for n in range(OBJECTS))


class Hurried(clocks.SystemClock):
    """A clock by which waiting between two attempts takes a tenth of the time."""

    async def sleep(self, seconds):
        await super().sleep(seconds / 10)


class Site:
    """A cluster behind a hub, and a delivery that something happens to in the middle."""

    def __init__(self, world, hub, client):
        self.world, self.hub, self.client = world, hub, client

    async def reached(self, count):
        """Wait until so many objects were written."""
        await self.world.until(lambda: self._written() >= count)

    def _written(self):
        return sum("PATCH" in one["request"] for one in self.world.requests)

    async def deliver(self, value, clock=None):
        made = deliveries.Deliveries(
            self.client, assembly.LoadingStages(), holder="test", clock=clock
        )
        options = deliveries.Options(force_unlock=True)
        return await made.deliver(OWNER, application(value), options)


@contextlib.asynccontextmanager
async def site_of(world, cluster, hub, url):
    real = connections.connect(kubeconfig=cluster.kubeconfig)
    client = http.HttpClient(clients.Place(url=hub.url).access("prod-eu"))
    site = Site(world, hub, client)
    site.agent = await world.agent(
        kubernetes.KubernetesPlatform(real, relay=real.relay), url, kicked_first_s=30.0
    )
    site.real = real
    try:
        yield site
    finally:
        await client.close()
        site.agent.stop()
        await asyncio.wait([site.agent.running])
        await real.close()


async def test_a_delivery_goes_on_over_cuts_of_a_moment(world, cluster):
    hub = await world.hub(heartbeat_s=5.0)
    cable, url = await world.cable(hub.url)
    async with site_of(world, cluster, hub, url) as site:
        async with asyncio.TaskGroup() as group:
            delivering = group.create_task(site.deliver("1"))
            for count in (20, 60, 100):
                await site.reached(count)
                await cable.sever()
                await asyncio.sleep(0.1)
                await cable.mend()
        assert delivering.result().changed
    assert delivered(cluster) == wanted("1")


async def test_a_delivery_whose_hub_dies_ends_and_the_next_one_converges(world, cluster):
    hub = await world.hub()
    async with site_of(world, cluster, hub, hub.url) as site:
        async with asyncio.TaskGroup() as group:
            delivering = group.create_task(_ended(site.deliver("1", Hurried())))
            await site.reached(30)
            await hub.stop()
            async with asyncio.timeout(30):
                assert isinstance(await delivering, FAILURES)
        assert 0 < len(delivered(cluster)) < OBJECTS
        again = await world.hub(port=int(hub.url.rpartition(":")[2]))
        await world.until(site.agent.connected.is_set)
        assert again.url == hub.url
        assert (await site.deliver("1")).changed
    assert delivered(cluster) == wanted("1")


async def test_a_delivery_whose_agent_dies_ends_and_the_next_one_converges(world, cluster):
    hub = await world.hub()
    async with site_of(world, cluster, hub, hub.url) as site:
        async with asyncio.TaskGroup() as group:
            delivering = group.create_task(_ended(site.deliver("1", Hurried())))
            await site.reached(30)
            site.agent.running.cancel()
            async with asyncio.timeout(30):
                assert isinstance(await delivering, FAILURES)
        await world.agent(kubernetes.KubernetesPlatform(site.real, relay=site.real.relay), hub.url)
        assert (await site.deliver("1")).changed
    assert delivered(cluster) == wanted("1")


async def _ended(call):
    try:
        return await call
    except FAILURES as error:
        return error
