"""Every composition of platforms and buses is held to one behaviour."""

import contextlib

import pytest

from understudy.client import views as view_clients
from understudy.kapi import views
from understudy.platform import kubernetes
from understudy.platform.bus import nats, settings, standalone
from understudy.testing import battery, brokers


@contextlib.asynccontextmanager
async def directly(platform):
    yield platform


@contextlib.asynccontextmanager
async def through_the_bus(platform):
    bus = standalone.StandaloneMessageBus()
    await bus.subscribe("prod-eu", platform)
    yield await bus.connect("prod-eu")
    await bus.close()


@contextlib.asynccontextmanager
async def through_two_buses(platform):
    async with through_the_bus(platform) as inner, through_the_bus(inner) as outer:
        yield outer


@contextlib.asynccontextmanager
async def through_nats(platform):
    async with brokers.NatsServer() as server:
        given = settings.NatsSettings(servers=(server.url,), roll_call_s=5)
        async with nats.NatsMessageBus(given) as far, nats.NatsMessageBus(given) as near:
            await far.subscribe("prod-eu", platform)
            yield await near.connect("prod-eu")


WRAPS = pytest.mark.parametrize(
    "wrap", [directly, through_the_bus, through_two_buses, through_nats]
)


@WRAPS
async def test_calls_arrive_whole(wrap):
    await battery.platform_battery(wrap)


@WRAPS
async def test_a_kubernetes_cluster_behaves(wrap):
    platform = kubernetes.KubernetesPlatform(view_clients.ViewClient(views.new_view()))
    async with wrap(platform) as reached:
        await battery.cluster_battery(reached)


async def test_the_battery_notices_what_is_wrong():
    @contextlib.asynccontextmanager
    async def losing_details(platform):
        class Losing:
            def __getattr__(self, name):
                return getattr(platform, name)

            async def version(self):
                return "another"

        yield Losing()

    with pytest.raises(battery.BatteryError, match="version"):
        await battery.platform_battery(losing_details)
