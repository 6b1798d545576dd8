"""Informers: relists, resyncs, failures waited out, cancellation."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

import pytest

from understudy import assembly
from understudy.aio import clocks
from understudy.client import errors, informers, protocol, wrapping
from understudy.kapi import views
from understudy.kube import objects, statuses


class Patient:
    """A clock that notes how long it was asked to sleep, and hardly does."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self._real = clocks.SystemClock()

    def now(self):
        return self._real.now()

    def monotonic(self) -> float:
        return self._real.monotonic()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0.001)


class Faulty(wrapping.WrappedClient):
    """A client whose first watches fail as told."""

    def __init__(self, inner: protocol.Client, faults: list[Exception | str]) -> None:
        super().__init__(inner)
        self.faults = faults
        self.lists = 0

    async def list(self, resource: str, **options) -> protocol.Listing:
        self.lists += 1
        return await super().list(resource, **options)

    async def watch(self, resource: str, **options) -> AsyncGenerator[protocol.WatchEvent, None]:
        fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, Exception):
            raise fault
        if fault == "expired":
            yield protocol.WatchEvent("ERROR", statuses.ExpiredError("too old").status())
            return
        async with contextlib.aclosing(super().watch(resource, **options)) as events:
            async for event in events:
                yield event


class Told(informers.Handler):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def added(self, obj: objects.Object) -> None:
        self.seen.append(f"+{objects.name_of(obj)}")

    def updated(self, old: objects.Object, new: objects.Object) -> None:
        self.seen.append(f"~{objects.name_of(new)}")

    def deleted(self, obj: objects.Object) -> None:
        self.seen.append(f"-{objects.name_of(obj)}")


def config(name: str) -> objects.Object:
    return {"metadata": {"name": name, "namespace": "default"}}


async def until(condition) -> None:
    async with asyncio.timeout(3):
        while not condition():  # noqa: ASYNC110 (others' state, without an event)
            await asyncio.sleep(0.002)


async def test_after_410_the_difference_is_told() -> None:
    view = views.new_view()
    view.create("configmaps", config("stays"), "default")
    view.create("configmaps", config("goes"), "default")
    client = Faulty(assembly.ViewClient(view), ["expired"])
    informer = informers.Informer(client, "configmaps", namespace="default", clock=Patient())
    told = Told()
    informer.add_handler(told)
    task = asyncio.create_task(informer.run())
    await informer.wait_synced()
    view.delete("configmaps", "goes", "default")
    view.create("configmaps", config("comes"), "default")
    await until(lambda: client.lists == 2 and len(told.seen) == 4)
    assert sorted(told.seen[:2]) == ["+goes", "+stays"]
    assert sorted(told.seen[2:]) == ["+comes", "-goes"]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_failures_are_waited_out_longer_and_longer() -> None:
    view = views.new_view()
    lost = errors.StreamBrokenError("gone")
    client = Faulty(assembly.ViewClient(view), [lost, lost, lost])
    clock = Patient()
    informer = informers.Informer(client, "configmaps", clock=clock)
    task = asyncio.create_task(informer.run())
    await until(lambda: len(clock.slept) == 3)
    assert clock.slept == [0.8, 1.6, 3.2]
    view.create("configmaps", config("a"), "default")
    await until(lambda: informer.get("a", "default") is not None)
    assert client.lists == 1, "a lost watch goes on from the last revision, it does not relist"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_handler_that_comes_late_is_told_what_is_there() -> None:
    view = views.new_view()
    view.create("configmaps", config("a"), "default")
    informer = informers.Informer(assembly.ViewClient(view), "configmaps", namespace="default")
    task = asyncio.create_task(informer.run())
    await informer.wait_synced()
    told = Told()
    informer.add_handler(told)
    assert told.seen == ["+a"]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_resync_tells_of_everything_again() -> None:
    view = views.new_view()
    view.create("configmaps", config("a"), "default")
    clock = Patient()
    informer = informers.Informer(
        assembly.ViewClient(view),
        "configmaps",
        namespace="default",
        settings=informers.InformerSettings(resync_s=5),
        clock=clock,
    )
    told = Told()
    informer.add_handler(told)
    task = asyncio.create_task(informer.run())
    await until(lambda: "~a" in told.seen)
    assert 5 in clock.slept
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_handler_that_fails_ends_the_informer_with_its_error() -> None:
    class Bad(informers.Handler):
        def added(self, obj: objects.Object) -> None:
            raise ZeroDivisionError

    view = views.new_view()
    view.create("configmaps", config("a"), "default")
    informer = informers.Informer(assembly.ViewClient(view), "configmaps", namespace="default")
    informer.add_handler(Bad())
    with pytest.raises(ExceptionGroup) as caught:
        await informer.run()
    assert isinstance(caught.value.exceptions[0], ZeroDivisionError)


async def test_large_collections_come_in_pages() -> None:
    view = views.new_view()
    for number in range(7):
        view.create("configmaps", config(f"c{number}"), "default")
    client = Faulty(assembly.ViewClient(view), [])
    informer = informers.Informer(
        client,
        "configmaps",
        namespace="default",
        settings=informers.InformerSettings(page_items=3),
    )
    task = asyncio.create_task(informer.run())
    await informer.wait_synced()
    assert (len(informer), client.lists) == (7, 3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
