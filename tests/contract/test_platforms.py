"""Every composition of platforms and buses is held to one behaviour."""

import asyncio
import contextlib
import functools
from dataclasses import replace

import prometheus_client
import pytest

from understudy.aio import ids
from understudy.client import views as view_clients
from understudy.kapi import views
from understudy.platform import errors, instrument, kubernetes
from understudy.platform.bus import nats, settings, standalone, wire
from understudy.testing import battery, brokers

DEADLINES_S = {"some_services": 0.3, "all_services": 0.3}


@contextlib.asynccontextmanager
async def directly(platform):
    yield platform


@contextlib.asynccontextmanager
async def measured(platform):
    durations = instrument.durations(prometheus_client.CollectorRegistry())
    yield instrument.Instrument(platform, durations)


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
    "wrap",
    [directly, measured, through_the_bus, through_two_buses, through_nats, through_nats_and_back],
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


# ---------------------------------------------------------------------- the battery itself


def carrying(carry):
    """Return a wrap whose calls are carried by a function of the platform and the request."""

    @contextlib.asynccontextmanager
    async def wrap(platform):
        yield wire.CarriedPlatform(
            functools.partial(carry, platform), name="instance a", ids=ids.SeededIds()
        )

    return wrap


async def another_version(platform, request):
    response = await wire.perform(platform, request)
    return replace(response, result="another") if request.method == "version" else response


async def twice(platform, request):
    await wire.perform(platform, request)
    return await wire.perform(platform, request)


async def without_help(platform, request):
    response = await wire.perform(platform, request)
    if response.error is None:
        return response
    return replace(response, error=errors.from_json(response.error.to_json() | {"help": ""}))


async def cut_short(platform, request):
    response = await wire.perform(platform, request)
    if not isinstance(response.result, str):
        return response
    return replace(response, result=response.result[: 1 << 20])


async def deaf_to_cancellation(platform, request):
    return await asyncio.shield(asyncio.create_task(wire.perform(platform, request)))


async def as_if_it_knew(platform, request):
    response = await wire.perform(platform, request)
    if response.error is not None and "does not know" in response.error.message:
        return wire.Response(id=request.id, result=[])
    return response


@contextlib.asynccontextmanager
async def past_deadlines(platform):
    yield battery.Reach(platform=platform, deadlines_s={"some_services": 0.05})


@contextlib.asynccontextmanager
async def kicked_without_a_word(platform):
    state = [platform]

    async def carry(request):
        return await wire.perform(state[0], request)

    async def take_over(newer):
        state[0] = newer

    reached = wire.CarriedPlatform(carry, name="instance a", ids=ids.SeededIds())
    yield battery.Reach(platform=reached, replace=take_over)


@pytest.mark.parametrize(
    ("wrap", "said"),
    [
        (carrying(another_version), "version: found 'another'"),
        (carrying(twice), "all_services arguments"),
        (carrying(without_help), "error: error"),
        (carrying(cut_short), "large export"),
        (carrying(deaf_to_cancellation), "cancellation at the far end"),
        (carrying(as_if_it_knew), "older agent"),
        (past_deadlines, "the call hangs past it"),
        (kicked_without_a_word, "kick during a call: the call hangs"),
    ],
)
async def test_the_battery_notices_what_is_wrong(wrap, said, monkeypatch):
    monkeypatch.setattr(battery, "ARRIVES_S", 0.3)
    with pytest.raises(battery.BatteryError, match=said):
        await battery.platform_battery(wrap)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
