"""Every composition of platforms and buses is held to one behaviour."""

import asyncio
import contextlib
from dataclasses import replace

import pytest

from understudy.client import views as view_clients
from understudy.kapi import views
from understudy.platform import errors, kubernetes
from understudy.platform.bus import nats, settings, standalone
from understudy.testing import battery, brokers

DEADLINES_S = {"some_services": 0.3, "all_services": 0.3}


@contextlib.asynccontextmanager
async def directly(platform):
    yield platform


@contextlib.asynccontextmanager
async def through_the_bus(platform):
    bus = standalone.StandaloneMessageBus(deadlines_s=DEADLINES_S)
    yield await reach(platform, near=bus, far=bus)
    await bus.close()


@contextlib.asynccontextmanager
async def through_two_buses(platform):
    async with through_the_bus(platform) as inner, through_the_bus(inner.platform) as outer:
        yield in_a_row(inner, outer)


@contextlib.asynccontextmanager
async def through_nats(platform):
    async with brokers.NatsServer() as server:
        given = settings.NatsSettings(servers=(server.url,), deadlines_s=DEADLINES_S)
        async with nats.NatsMessageBus(given) as far, nats.NatsMessageBus(given) as near:
            yield await reach(platform, near=near, far=far)


@contextlib.asynccontextmanager
async def through_nats_and_back(platform):
    """As between three hubs: the one in the middle relays what it gets."""
    async with (
        through_nats(platform) as inner,
        through_nats(inner.platform) as outer,
    ):
        yield in_a_row(inner, outer)


def in_a_row(inner, outer):
    async def reconnect():
        await inner.reconnect()
        await outer.reconnect()

    return replace(outer, reconnect=reconnect)


async def reach(platform, *, near, far):
    """Have `platform` answer for an instance at the far bus, and reach it from the near one."""
    answering = [await far.subscribe("prod-eu", platform)]

    async def take_over(newer):
        answering.append(await far.subscribe("prod-eu", newer))
        # Until it is heard of; the test's own time is the bound.
        while (await near.presence("prod-eu")).epoch != answering[-1].epoch:  # noqa: ASYNC110
            await asyncio.sleep(0.002)

    async def reconnect():
        answering[-1].end(errors.FatalError("the connection broke"))
        await take_over(platform)

    return battery.Reach(
        platform=await near.connect("prod-eu"),
        reconnect=reconnect,
        replace=take_over,
        deadlines_s=DEADLINES_S,
    )


WRAPS = pytest.mark.parametrize(
    "wrap", [directly, through_the_bus, through_two_buses, through_nats, through_nats_and_back]
)


@WRAPS
async def test_calls_arrive_whole(wrap):
    await battery.platform_battery(wrap)


@WRAPS
async def test_a_kubernetes_cluster_behaves(wrap):
    platform = kubernetes.KubernetesPlatform(view_clients.ViewClient(views.new_view()))
    async with wrap(platform) as given:
        reached = given.platform if isinstance(given, battery.Reach) else given
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
