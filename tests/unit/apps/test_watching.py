"""Watching: a snapshot, SYNCED, then changes; a slow reader is told, and loses nothing."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from apps_world import KSERVICES, app, in_phase, until

from understudy import assembly
from understudy.apps import client as app_clients, errors, records, settings, watching
from understudy.client import wrapping
from understudy.controllers.knative import installing
from understudy.kapi import views
from understudy.kube import objects, statuses

MERGE = "application/merge-patch+json"


async def next_of(subscription, timeout_s=5.0):
    return await asyncio.wait_for(anext(subscription), timeout_s)


async def up_to_synced(subscription):
    """Read up to the next SYNCED; return what came before it."""
    found = []
    while True:
        one = await next_of(subscription)
        if one.marker is records.Marker.SYNCED:
            return found
        found.append(one)


def told(response):
    """Return (kind, name) of an event."""
    for kind in ("create", "update", "delete"):
        event = getattr(response, f"{kind}_event")
        if event is not None:
            return kind, (event.updated_app if kind == "update" else event.app).id.name
    return "marker", response.marker.value


@pytest.fixture
async def still():
    """A view with Knative's resources and nobody at work: only the test changes anything."""
    view = views.new_view()
    installing.install(view)
    client = app_clients.KnativeAppClient(
        assembly.ViewClient(view), settings.AppSettings(base_domain="apps.test")
    )
    client.view = view
    with contextlib.closing(view):
        yield client
        await client.close()


def touch(view, name, value):
    view.patch(
        KSERVICES, f"{name}-shop-dev", {"status": {"latestCreatedRevisionName": value}}, "default",
        patch_type=MERGE, subresource="status",
    )  # fmt: skip


async def test_a_subscriber_gets_what_is_there_then_synced_then_changes(cluster, apps):
    await apps.deploy(app("a"))
    await in_phase(apps, app("a").id, "ACTIVE")

    async with apps.subscribe() as subscription:
        assert [told(one) for one in await up_to_synced(subscription)] == [("create", "a")]
        await apps.deploy(app("b"))
        seen = []
        while not seen or seen[-1] is not records.DeploymentStatus.ACTIVE:
            event = await next_of(subscription)
            kind, name = told(event)
            assert name == "b"
            if kind == "update":
                assert event.update_event.old_app is not None
                assert event.update_event.old_app != event.update_event.updated_app
                seen.append(event.update_event.updated_app.phase)
            else:
                assert kind == "create"
                seen.append(event.create_event.app.phase)
        await apps.delete(app("b").id)
        while told(event := await next_of(subscription))[0] != "delete":
            pass
        assert event.delete_event.app.id.name == "b"


async def test_a_subscription_is_by_identity_project_or_everything(still):
    for one in (app("a"), app("b"), app("a", project="other")):
        await still.deploy(one)
    assert len(await up_to_synced(still.subscribe())) == 3
    assert len(await up_to_synced(still.subscribe(""))) == 3
    assert len(await up_to_synced(still.subscribe("shop"))) == 2
    assert len(await up_to_synced(still.subscribe("shop/dev"))) == 2
    mine = still.subscribe(app("a").id)
    (only,) = await up_to_synced(mine)
    assert only.create_event.app.id.project == "shop"

    await still.deploy(app("a", project="other", image="dev.local/new:v1"))
    touch(still.view, "a", "mine")
    event = await next_of(mine)
    assert event.update_event.updated_app.id.project == "shop"

    with pytest.raises(errors.AppInvalidError):
        still.subscribe("a//b")


async def test_a_change_that_changes_nothing_of_the_app_is_not_told(still):
    await still.deploy(app("a"))
    subscription = still.subscribe()
    await up_to_synced(subscription)

    still.view.patch(
        KSERVICES, "a-shop-dev", {"metadata": {"annotations": {"noise": "1"}}}, "default",
        patch_type=MERGE,
    )  # fmt: skip
    with pytest.raises(TimeoutError):
        await next_of(subscription, 0.2)


async def test_states_in_between_are_merged_for_a_slow_reader(still):
    await still.deploy(app("a"))
    subscription = still.subscribe()
    await up_to_synced(subscription)
    for turn in range(200):
        touch(still.view, "a", f"turn-{turn}")
        await asyncio.sleep(0)

    event = await next_of(subscription)

    await until(lambda: subscription.depth == 0)
    assert event.update_event.updated_app.metadata.revision >= 1


async def test_a_reader_that_falls_far_behind_is_told_and_brought_up_to_date(still):
    still.settings  # noqa: B018 (documents that the bound is a setting)
    small = app_clients.KnativeAppClient(
        assembly.ViewClient(still.view),
        settings.AppSettings(watch_buffer_size=3),
    )
    names = [f"app-{number}" for number in range(8)]
    for name in names:
        await small.deploy(app(name))
    subscription = small.subscribe()
    assert len(await up_to_synced(subscription)) == 8

    for name in names:
        touch(still.view, name, "changed")
    await small.delete(app("app-7").id)
    await until(lambda: subscription.depth == 8)

    assert told(await next_of(subscription)) == ("marker", "RESYNC")
    rest = await up_to_synced(subscription)
    assert {told(one) for one in rest} == {
        *(("update", name) for name in names[:-1]),
        ("delete", "app-7"),
    }
    assert subscription.depth == 0
    await small.close()


async def test_a_name_that_lives_twice_is_told_as_two_lives(still):
    await still.deploy(app("a"))
    subscription = still.subscribe()
    await up_to_synced(subscription)

    await still.delete(app("a").id)
    await still.deploy(app("a", image="dev.local/other:v1"))

    assert told(await next_of(subscription)) == ("delete", "a")
    again = await next_of(subscription)
    assert told(again) == ("create", "a")
    assert again.create_event.app.spec.container.image == "dev.local/other:v1"


async def test_a_service_that_is_no_longer_managed_is_told_as_deleted(still):
    await still.deploy(app("a"))
    subscription = still.subscribe()
    await up_to_synced(subscription)
    still.view.patch(
        KSERVICES, "a-shop-dev", {"metadata": {"labels": {"flyte.org/app-managed": None}}},
        "default", patch_type=MERGE,
    )  # fmt: skip
    assert told(await next_of(subscription)) == ("delete", "a")


async def test_a_pod_in_trouble_is_told_though_the_service_says_nothing_new(cluster, apps):
    await apps.deploy(app())
    await in_phase(apps, app().id, "ACTIVE")
    subscription = apps.subscribe(app().id)
    await up_to_synced(subscription)
    pod = cluster.pods("hello-shop-dev")[0]
    state = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}
    pod["status"]["conditions"] = [
        one | {"status": "False"} if one["type"] in ("Ready", "ContainersReady") else one
        for one in pod["status"]["conditions"]
    ]
    for container in pod["status"]["containerStatuses"]:
        container |= {"ready": False, "state": state}
    cluster.view.update("pods", pod, "default", subresource="status")

    event = await next_of(subscription)

    verdict = event.update_event.updated_app.status.verdict
    assert verdict.deployment_status is records.DeploymentStatus.FAILED
    assert verdict.substate is records.Substate.CRASH_LOOP


async def test_unsubscribing_twice_and_stopping_twice_is_harmless(still):
    await still.deploy(app("a"))
    first, second = still.subscribe(), still.subscribe()
    await up_to_synced(first)
    await up_to_synced(second)

    still.unsubscribe(first)
    still.unsubscribe(first)
    with pytest.raises(StopAsyncIteration):
        await anext(first)
    touch(still.view, "a", "x")
    assert told(await next_of(second)) == ("update", "a")

    await still.stop_watching()
    await still.stop_watching()
    with pytest.raises(StopAsyncIteration):
        await next_of(second)

    await still.start_watching()
    await still.start_watching()
    again = still.subscribe()
    assert [told(one) for one in await up_to_synced(again)] == [("create", "a")]
    touch(still.view, "a", "y")
    assert told(await next_of(again)) == ("update", "a")
    with pytest.raises(TimeoutError):
        await next_of(again, 0.2)


async def test_two_readers_hear_the_same(still):
    first, second = still.subscribe(), still.subscribe()
    await up_to_synced(first)
    await up_to_synced(second)
    await still.deploy(app("a"))
    assert told(await next_of(first)) == told(await next_of(second)) == ("create", "a")


async def test_who_may_not_watch_is_told_so(still):
    class Forbidding(wrapping.WrappedClient):
        async def list(self, resource, **rest):
            raise statuses.ForbiddenError(f"{resource} is forbidden: no")

    client = app_clients.KnativeAppClient(Forbidding(assembly.ViewClient(still.view)))
    with pytest.raises(errors.AppPermissionDeniedError):
        await next_of(client.subscribe())
    await client.close()


async def test_a_thousand_apps_and_a_reader_that_sleeps_lose_nothing(still):
    """Memory is bounded by the number of apps, whatever the rate of their changes."""
    names = [f"app-{number}" for number in range(200)]
    for name in names:
        await still.deploy(app(name))
    subscription = still.subscribe()
    assert len(await up_to_synced(subscription)) == 200
    for turn in range(5):
        for name in names:
            touch(still.view, name, f"turn-{turn}")
        await asyncio.sleep(0.01)
    last = app("app-3", image="dev.local/last:v1")
    await still.deploy(last)
    await until(lambda: subscription.depth == 200)

    assert told(await next_of(subscription)) == ("marker", "RESYNC")
    events = await up_to_synced(subscription)

    assert sorted(told(one)[1] for one in events) == sorted(names)
    latest = {told(one)[1]: one.update_event.updated_app for one in events}
    assert latest["app-3"].spec.container.image == "dev.local/last:v1"
    assert isinstance(subscription, watching.Subscription)
    assert objects.name_of(still.view.get(KSERVICES, "app-3-shop-dev", "default"))
