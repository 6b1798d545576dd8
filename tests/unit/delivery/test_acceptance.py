"""The twenty scenarios of the delivery charter; each breaks at least one tool in use today."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from tests.unit.delivery import conftest as c

from understudy import assembly
from understudy.aio import clocks
from understudy.client import protocol, wrapping
from understudy.controllers.knative import installing
from understudy.delivery import (
    errors,
    leases,
    marks,
    outcomes,
    plans,
    refs,
    stamping,
    targets,
    trackers,
)
from understudy.kapi.views import options as view_options
from understudy.kube import health, objects, statuses


@pytest.fixture(params=c.SETTINGS)
def setting(request: pytest.FixtureRequest) -> str:
    """Every scenario in process, over HTTP as the command line does it, and in both sandboxes."""
    return str(request.param)


def ops(plan: plans.Plan) -> dict[str, str]:
    return {
        f"{o.ref.kind}/{o.ref.name}": str(o.op)
        for o in plan.operations
        if not o.record and o.op is not outcomes.Op.UNCHANGED
    }


def effects(plan: plans.Plan, kind: str) -> list[str]:
    return [effect.text for effect in plan.effects if effect.type == kind]


@contextlib.contextmanager
def untouched(cluster: c.Cluster) -> Iterator[None]:
    """Make sure that nothing is written to a cluster that has no controllers."""
    before = cluster.view.revision
    changes = cluster.view.change_count
    yield
    assert cluster.view.change_count == changes
    assert cluster.view.revision >= before


# 1 ------------------------------------------------------------------------------------------


async def test_01_an_invalid_object_of_a_new_kind_in_a_new_namespace_is_blocked(
    still: c.Cluster,
) -> None:
    given = (c.namespace("new"), c.definition(maximum=9), c.widget("w", "new", size=10))
    with untouched(still):
        plan = await still.plan(*given)
        with pytest.raises(errors.BlockedError):
            await still.deliver(*given)
    assert [b.obstacle.field for b in plan.blocked] == ["spec.size"]
    assert "should be less than or equal to 9" in str(plan.blocked[0])
    assert ops(plan) == {
        "Namespace/new": "create",
        "CustomResourceDefinition/widgets.example.com": "create",
    }


# 2: test_crash_safety ----------------------------------------------------------------------


# 3 ------------------------------------------------------------------------------------------


async def test_03_back_and_forth_and_twice_the_same_deletes_nothing_wanted(
    still: c.Cluster,
) -> None:
    a, b = c.config("x", v="a"), c.config("x", v="b")
    for given, other in ((a, "a-only"), (b, "b-only"), (a, "a-only"), (a, "a-only")):
        done = await still.deliver(given, c.config(other))
        assert "ConfigMap/x" not in [
            f"{o.ref.kind}/{o.ref.name}" for o in done.outcomes if o.op is outcomes.Op.DELETE
        ]
    assert still.names("configmaps") == ["a-only", "x"]
    assert still.find("configmaps", "x")["data"] == {"v": "a"}
    history = await still.deliveries().history(c.OWNER)
    assert [record["spec"]["number"] for record in history] == [1, 2, 3]
    digests = [record["spec"]["digest"] for record in history]
    assert digests[0] == digests[2] != digests[1]


# 4 ------------------------------------------------------------------------------------------


async def test_04_another_version_of_a_kind_is_an_update(still: c.Cluster) -> None:
    def scaler(version: str) -> objects.Object:
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
        return {
            "apiVersion": f"autoscaling/{version}",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"maxReplicas": 3, "scaleTargetRef": target},
        }

    await still.begin(scaler("v1"), wait=False)
    uid = still.find("horizontalpodautoscalers.autoscaling", "web")["metadata"]["uid"]
    done = await still.deliver(scaler("v2"), wait=False)
    assert outcomes.Op.DELETE not in [outcome.op for outcome in done.outcomes]
    live = still.find("horizontalpodautoscalers.autoscaling", "web")
    assert live["metadata"]["uid"] == uid


# 5 ------------------------------------------------------------------------------------------


async def test_05_an_owner_label_that_changed_since_the_plan_makes_it_stale(
    still: c.Cluster, tmp_path: Path
) -> None:
    await still.begin(c.config("a"), c.config("b"))
    plan = await still.plan(c.config("a"))
    saved = plans.from_file(orjson.dumps(plan.as_file()), "plan.json")
    foreign = {"metadata": {"labels": {marks.PART_OF: "applyset-other-v1"}}}
    still.view.patch("configmaps", "b", foreign, "default")
    with pytest.raises(errors.StalePlanError) as caught:
        await still.deliveries().deliver(
            c.OWNER, c.written(c.config("a")), c.options(), saved=saved
        )
    assert caught.value.exit_code == 4
    assert still.names("configmaps") == ["a", "b"]


async def test_05_an_object_whose_label_is_anothers_is_abandoned(still: c.Cluster) -> None:
    await still.begin(c.config("a"), c.config("b"))
    foreign = {
        "metadata": {
            "labels": {marks.PART_OF: "applyset-other-v1"},
            "annotations": {marks.APPLICATION: "default/other"},
        }
    }
    still.view.patch("configmaps", "b", foreign, "default")
    done = await still.deliver(c.config("a"))
    told = {o.ref.name: (str(o.op), o.note) for o in done.outcomes}
    assert told["b"][0] == "abandon"
    assert "it belongs to the application default/other" in told["b"][1]
    assert still.names("configmaps") == ["a", "b"]
    assert still.tracked() == {"ConfigMap/a"}


# 6 ------------------------------------------------------------------------------------------


async def test_06_what_somebody_made_anew_is_kept_and_reported(still: c.Cluster) -> None:
    await still.begin(c.config("a"), c.config("b"))
    stranger = still.view.get("configmaps", "b", "default")
    still.view.delete("configmaps", "b", "default")
    meta = {k: stranger["metadata"][k] for k in ("name", "namespace", "labels", "annotations")}
    still.view.create("configmaps", {"metadata": meta}, "default")
    done = await still.deliver(c.config("a"))
    told = {o.ref.name: (str(o.op), o.note) for o in done.outcomes}
    assert told["b"][0] == "abandon"
    assert "somebody made it anew" in told["b"][1]
    assert still.names("configmaps") == ["a", "b"]


async def test_06_a_new_uid_between_look_and_delete_is_kept(still: c.Cluster) -> None:
    """The uid is a precondition of the request itself, not only of the look before it."""
    await still.begin(c.config("a"), c.config("b"))

    class Meddler(wrapping.WrappedClient):
        async def write(self, write: wrapping.Write, send: wrapping.Send) -> objects.Object:
            if (write.verb, write.name) == ("delete", "b"):
                obj = still.view.get("configmaps", "b", "default")
                still.view.delete("configmaps", "b", "default")
                meta = {k: obj["metadata"][k] for k in ("name", "namespace", "labels")}
                still.view.create("configmaps", {"metadata": meta}, "default")
            return await send()

    done = await still.deliver(c.config("a"), client=Meddler(still.client))
    assert {o.ref.name: str(o.op) for o in done.outcomes}["b"] == "abandon"
    assert "b" in still.names("configmaps")


# 7 ------------------------------------------------------------------------------------------


async def test_07_of_two_deliverers_one_waits_or_leaves(still: c.Cluster) -> None:
    await still.begin(c.config("a", v="0"))
    gate, left = asyncio.Event(), asyncio.Event()

    class Slow(wrapping.WrappedClient):
        async def write(self, write: wrapping.Write, send: wrapping.Send) -> objects.Object:
            if (write.verb, write.name) == ("apply", "a"):
                gate.set()
                await left.wait()
            return await send()

    async def second() -> None:
        await gate.wait()
        with pytest.raises(errors.LockHeldError) as caught:
            await still.deliver(c.config("a", v="2"), holder="second")
        assert caught.value.exit_code == 5
        assert "is being delivered by first" in str(caught.value)
        left.set()

    async with c.soon(), asyncio.TaskGroup() as group:
        group.create_task(
            still.deliver(c.config("a", v="1"), client=Slow(still.client), holder="first")
        )
        group.create_task(second())
    assert still.find("configmaps", "a")["data"] == {"v": "1"}
    history = await still.deliveries().history(c.OWNER)
    assert [record["status"]["phase"] for record in history] == ["Delivered", "Delivered"]


async def test_07_of_two_first_deliveries_one_wins_and_nothing_is_mixed(still: c.Cluster) -> None:
    results, lost = [], []

    async def one(value: str) -> None:
        try:
            await still.deliver(c.config("a", v=value), c.config(value), holder=value)
            results.append(value)
        except (errors.StalePlanError, errors.LockHeldError, errors.FencedError):
            lost.append(value)

    async with asyncio.TaskGroup() as group:
        group.create_task(one("x"))
        group.create_task(one("y"))
    assert len(results) + len(lost) == 2
    assert results
    assert still.find("configmaps", "a")["data"] == {"v": results[-1]}
    assert still.names("configmaps") == ["a", results[-1]]


# 8 ------------------------------------------------------------------------------------------


class FrozenClock:
    """Wall time that a test moves; sleeping really sleeps, a little."""

    def __init__(self) -> None:
        self.moment = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)

    def now(self) -> dt.datetime:
        return self.moment

    def monotonic(self) -> float:
        return self.moment.timestamp()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.01))


async def test_08_a_dead_holders_lock_is_taken_over_and_its_late_write_refused(
    still: c.Cluster,
) -> None:
    await still.begin(c.config("a"))
    zombie_store = trackers.TrackerStore(still.client)
    zombie = await zombie_store.load(c.OWNER)
    stuck = still.find("leases.coordination.k8s.io", "deliver-shop")
    stuck["spec"] |= {
        "holderIdentity": "zombie",
        "renewTime": clocks.rfc3339_micro(dt.datetime.now(dt.UTC) - dt.timedelta(seconds=31)),
    }
    still.view.update("leases.coordination.k8s.io", stuck, "default")
    await still.deliver(c.config("a", v="2"), holder="new")
    now = still.find("resourcetrackers.core.understudy.dev", "shop.default", "")
    assert now["spec"]["fence"] == 1
    with pytest.raises(errors.FencedError):
        await zombie_store.save(zombie.claimed([], "shop-v9"))


class Frozen(wrapping.WrappedClient):
    """A deliverer that stands still once something was written, until it is woken."""

    def __init__(self, inner: protocol.Client, clock: FrozenClock, verb: str, name: str) -> None:
        super().__init__(inner)
        self.clock = clock
        self.at = (verb, name)
        self.stands, self.woken = asyncio.Event(), asyncio.Event()
        self.late: list[str] = []

    async def write(self, write: wrapping.Write, send: wrapping.Send) -> objects.Object:
        if self.woken.is_set():
            self.late.append(f"{write.verb} {write.resource} {write.name}")
        answer = await send()
        if (write.verb, write.name) == self.at and not write.dry_run:
            self.stands.set()
            await self.woken.wait()
        return answer

    def wake(self) -> None:
        self.clock.moment += dt.timedelta(seconds=31)
        self.woken.set()


class Later(clocks.SystemClock):
    """The time when a lock that was just taken has expired."""

    def now(self) -> dt.datetime:
        return super().now() + dt.timedelta(seconds=31)


@pytest.mark.parametrize(("verb", "name"), [("apply", "a"), ("delete", "x")])
async def test_08_a_frozen_deliverer_that_wakes_writes_nothing_more(
    still: c.Cluster, verb: str, name: str
) -> None:
    """In the middle of applying, or of deleting what the next one wants to keep."""
    old = (c.config("a", v="0"), c.config("b", v="0"), c.config("x"), c.config("y"))
    await still.begin(*old)
    frozen = FrozenClock()
    frozen.moment = dt.datetime.now(dt.UTC)
    zombie = Frozen(still.client, frozen, verb, name)
    face = still.deliveries(zombie, "zombie", clock=frozen)

    async def first() -> None:
        wanted = c.written(c.config("a", v="1"), c.config("b", v="1"))
        with pytest.raises(errors.FencedError, match="run it again to go on"):
            await face.deliver(c.OWNER, wanted, c.options(parallel=1))

    async def second() -> None:
        await zombie.stands.wait()
        with pytest.raises(errors.LockHeldError, match="by zombie"):
            await still.deliver(*old, holder="second")
        later = still.deliveries(holder="second", clock=Later())
        await later.deliver(c.OWNER, c.written(*old), c.options())
        zombie.wake()

    async with c.soon(10), asyncio.TaskGroup() as group:
        group.create_task(first())
        group.create_task(second())
    assert zombie.late == []
    assert still.names("configmaps") == ["a", "b", "x", "y"]
    assert {still.find("configmaps", at)["data"]["v"] for at in "ab"} == {"0"}
    assert not (await still.plan(*old)).has_changes
    tracker = still.find("resourcetrackers.core.understudy.dev", "shop.default", "")
    assert (tracker["spec"]["phase"], tracker["spec"]["fence"]) == ("Done", 1)


async def test_08_a_holder_that_cannot_renew_stops_by_itself(still: c.Cluster) -> None:
    clock = FrozenClock()
    lock = leases.Lock(still.client, c.OWNER, "me", clock=clock)
    await lock.acquire()
    lock.check()
    clock.moment += dt.timedelta(seconds=31)
    with pytest.raises(errors.FencedError, match="was not renewed for 31 s"):
        lock.check()
    await lock.release()


async def test_08_a_lock_taken_by_force_tells_its_old_holder(still: c.Cluster) -> None:
    first = leases.Lock(
        still.client, c.OWNER, "first", clock=clocks.SystemClock(),
        settings=leases.LeaseSettings(renew_s=0.01),
    )  # fmt: skip
    second = leases.Lock(still.client, c.OWNER, "second", clock=clocks.SystemClock())
    await first.acquire()
    with pytest.raises(errors.LockHeldError, match="--force-unlock"):
        await second.acquire()
    await second.acquire(force=True)
    assert second.was_taken_over
    await asyncio.sleep(0.05)
    with pytest.raises(errors.FencedError, match="its lock was taken over"):
        first.check()
    await first.release()
    await second.release()


# 9 ------------------------------------------------------------------------------------------


async def test_09_the_original_survives_an_invalid_replacement(still: c.Cluster) -> None:
    await still.begin(c.deployment("web"), wait=False)
    uid = still.find("deployments.apps", "web")["metadata"]["uid"]
    other = c.deployment("web")
    other["spec"]["selector"]["matchLabels"] = {"app": "other"}
    with pytest.raises(errors.BlockedError) as caught:
        await still.deliver(other, recreate=True, wait=False)
    assert "selector" in str(caught.value)
    assert still.find("deployments.apps", "web")["metadata"]["uid"] == uid


async def test_09_a_valid_replacement_is_planned_and_done_on_request(cluster: c.Cluster) -> None:
    await cluster.begin(c.deployment("web"), wait=False)
    uid = cluster.find("deployments.apps", "web")["metadata"]["uid"]
    other = c.deployment("web")
    for labels in (
        other["spec"]["selector"]["matchLabels"],
        other["spec"]["template"]["metadata"]["labels"],
    ):
        labels["app"] = "other"
    with pytest.raises(errors.BlockedError) as caught:
        await cluster.deliver(other, wait=False)
    assert "field is immutable" in str(caught.value)
    assert "give --recreate" in str(caught.value)
    plan = await cluster.plan(other, recreate=True)
    assert ops(plan) == {"Deployment/web": "recreate"}
    assert plan.operations[-1].why == "spec.selector forces replacement"
    await cluster.deliver(other, recreate=True, wait=False)
    live = cluster.find("deployments.apps", "web")
    assert live["metadata"]["uid"] != uid
    assert live["spec"]["selector"]["matchLabels"] == {"app": "other"}
    owners = {pod["metadata"]["ownerReferences"][0]["name"] for pod in cluster.view.each("pods")}
    assert len(owners) <= 1, "the old pods go before the new ones come"


# 10 -----------------------------------------------------------------------------------------


async def test_10_a_namespace_that_others_use_is_kept(still: c.Cluster) -> None:
    await still.begin(c.namespace("team"), c.config("ours", "team"), c.config("here"))
    still.view.create("configmaps", c.config("theirs", "team"), "team")
    done = await still.deliver(c.config("here"))
    told = {o.ref.name: (str(o.op), o.note) for o in done.outcomes}
    assert told["team"] == ("keep", "is used by others: ConfigMap theirs")
    assert told["ours"][0] == "delete"
    assert still.names("configmaps", "team") == ["theirs"]
    assert still.find("namespaces", "team", "") is not None
    assert "Namespace/team" in still.tracked(), "it is looked at again next time"


async def test_10_what_every_namespace_is_given_keeps_none(still: c.Cluster) -> None:
    await still.begin(c.namespace("team"), c.config("ours", "team"), c.config("here"))
    for space in ("default", "team"):
        still.view.create("configmaps", c.config("mesh-ca", space, ca="PEM"), space)
    plan = await still.plan(c.config("here"))
    assert ops(plan)["Namespace/team"] == "delete"


async def test_10_a_namespace_whose_content_is_still_wanted_is_kept(still: c.Cluster) -> None:
    await still.begin(c.namespace("team"), c.config("ours", "team"))
    done = await still.deliver(c.config("ours", "team"))
    assert {o.ref.name: str(o.op) for o in done.outcomes}["team"] == "keep"
    assert still.names("configmaps", "team") == ["ours"]


# 11 -----------------------------------------------------------------------------------------


async def test_11_a_definition_with_objects_of_others_is_not_deleted(still: c.Cluster) -> None:
    await still.begin(c.definition(), c.widget("ours"), c.config("here"))
    still.view.create("widgets.example.com", c.widget("theirs"), "default")
    plan = await still.plan(c.config("here"))
    assert len(plan.blocked) == 1
    assert "1 other objects of kind Widget would be deleted with it: default/theirs" in str(
        plan.blocked[0]
    )
    assert "--allow-crd-prune" in str(plan.blocked[0])
    with pytest.raises(errors.BlockedError):
        await still.deliver(c.config("here"))
    assert still.names("widgets.example.com") == ["ours", "theirs"]
    await still.deliver(c.config("here"), allow_crd_prune=True)
    assert "widgets.example.com" not in still.names(
        "customresourcedefinitions.apiextensions.k8s.io", ""
    )


# 12 -----------------------------------------------------------------------------------------


async def test_12_an_empty_wanted_set_is_refused(still: c.Cluster) -> None:
    await still.begin(c.config("a"))
    with pytest.raises(errors.BlockedError, match="give --allow-empty if that is meant"):
        await still.deliver()
    assert still.names("configmaps") == ["a"]
    await still.deliver(allow_empty=True)
    assert still.names("configmaps") == []


async def test_12_many_deletions_are_refused(still: c.Cluster) -> None:
    many = [c.config(f"c{n:02}") for n in range(20)]
    await still.begin(*many)
    with pytest.raises(errors.BlockedError, match="11 of 20 objects would be deleted, more than"):
        await still.deliver(*many[:9])
    assert len(still.names("configmaps")) == 20
    await still.deliver(*many[:10])
    assert len(still.names("configmaps")) == 10


# 13 -----------------------------------------------------------------------------------------


async def test_13_a_claim_is_not_waited_for(still: c.Cluster) -> None:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "namespace": "default"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": "wait-for-first-consumer",
        },
    }
    async with c.soon():
        done = await still.deliver(claim, c.config("after"))
    assert {o.ref.name: str(o.op) for o in done.outcomes} == {"data": "create", "after": "create"}


# 14 -----------------------------------------------------------------------------------------


def test_14_a_knative_service_is_judged_by_generation_and_window() -> None:
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)

    def judged(observed: int | None, ready: str, reason: str, age_s: int) -> str:
        since = clocks.rfc3339(now - dt.timedelta(seconds=age_s))
        condition = {
            "type": "Ready", "status": ready, "reason": reason, "lastTransitionTime": since,
        }  # fmt: skip
        status: objects.Object = {"conditions": [condition]}
        if observed is not None:
            status["observedGeneration"] = observed
        obj = {
            "apiVersion": "serving.knative.dev/v1",
            "kind": "Service",
            "metadata": {"name": "s", "generation": 2},
            "status": status,
        }
        return str(health.assess(obj, health.Facts(now=now)).state)

    assert judged(None, "True", "", 0) == "InProgress"
    assert judged(1, "True", "", 0) == "InProgress"
    assert judged(2, "False", "RevisionMissing", 1) == "InProgress"
    assert judged(2, "False", "RevisionMissing", 3) == "Failed"
    assert judged(2, "False", "ContainerMissing", 0) == "Failed"
    assert judged(2, "True", "", 0) == "Current"


class Controller:
    """Writes the status of a Knative Service, as Knative would."""

    def __init__(self, cluster: c.Cluster) -> None:
        self.view = cluster.view

    def says(self, ready: str, reason: str = "", *, behind: int = 0, age_s: float = 0.0) -> None:
        live = self.view.get("services.serving.knative.dev", "web", "default")
        since = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=age_s)
        live["status"] = {
            "observedGeneration": live["metadata"]["generation"] - behind,
            "conditions": [
                {"type": "Ready", "status": ready, "reason": reason, "message": f"it is {reason}",
                 "lastTransitionTime": clocks.rfc3339(since)}
            ],
        }  # fmt: skip
        self.view.update("services.serving.knative.dev", live, "default", subresource="status")


def knative_service(image: str) -> objects.Object:
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"template": {"spec": {"containers": [{"image": image}]}}},
    }


async def test_14_a_delivery_waits_for_a_knative_service_as_long_as_there_is_hope(
    still: c.Cluster,
) -> None:
    installing.install(still.view)
    async with c.soon(20), asyncio.TaskGroup() as group:
        first = group.create_task(still.deliver(knative_service("web:1")))
        knative = Controller(still)

        async def still_waits(words: str) -> None:
            """Wait until this was told; nothing has ended by then."""
            while words not in [news.message for news in still.told]:
                await asyncio.sleep(0.005)
                assert not first.done(), first

        await still_waits("is not observed yet")
        knative.says("True", behind=1)
        await still_waits("generation 1 is not observed yet (seen: 0)")
        knative.says("False", "RevisionMissing")
        await still_waits("it is RevisionMissing")
        knative.says("Unknown", "Deploying")
        await still_waits("it is Deploying")
        knative.says("True")
    assert first.result().changed


@pytest.mark.parametrize(("reason", "age_s"), [("ContainerMissing", 0), ("RevisionFailed", 3)])
async def test_14_a_knative_service_without_hope_ends_the_delivery(
    still: c.Cluster, reason: str, age_s: float
) -> None:
    installing.install(still.view)

    async def fail() -> None:
        while "is not observed yet" not in [n.message for n in still.told]:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        Controller(still).says("False", reason, age_s=age_s)

    async with c.soon(20), asyncio.TaskGroup() as group:
        group.create_task(fail())
        with pytest.raises(errors.UnhealthyError, match=f"it is {reason}") as caught:
            await still.deliver(knative_service("web:1"))
    assert caught.value.exit_code == 6


# 15 -----------------------------------------------------------------------------------------


async def test_15_a_restart_that_does_not_happen_is_told(cluster: c.Cluster) -> None:
    source = {"envFrom": [{"configMapRef": {"name": "settings"}}]}
    await cluster.begin(c.config("settings", v="1"), c.deployment("web", **source))
    plan = await cluster.plan(c.config("settings", v="2"), c.deployment("web", **source))
    assert effects(plan, "no-restart") == [
        "Deployment default/web reads ConfigMap settings when it starts and is not restarted"
    ]
    assert effects(plan, "restart") == []


async def test_15_a_restart_on_request_is_listed(cluster: c.Cluster) -> None:
    def shop(value: str) -> tuple[objects.Object, ...]:
        source = {"envFrom": [{"configMapRef": {"name": "settings"}}]}
        web = c.deployment("web", replicas=2, **source)
        web["metadata"]["annotations"] = {stamping.RESTART: "true"}
        return c.config("settings", v=value), c.config("unread", v=value), web

    await cluster.begin(*shop("1"))
    plan = await cluster.plan(*shop("2"))
    assert effects(plan, "restart") == ["Deployment default/web restarts 2 pods"]
    assert effects(plan, "no-restart") == []
    assert not (await cluster.plan(*shop("1"))).has_changes
    unread = (shop("1")[0], shop("2")[1], shop("1")[2])
    assert effects(await cluster.plan(*unread), "restart") == []
    wrong = shop("1")[2]
    wrong["metadata"]["annotations"][stamping.RESTART] = "yes"
    with pytest.raises(errors.ManifestError, match="restart-on-change'] is 'yes': use true"):
        await cluster.plan(wrong)


async def test_15_a_restart_that_happens_is_counted(cluster: c.Cluster) -> None:
    await cluster.begin(c.deployment("web", replicas=3))
    plan = await cluster.plan(c.deployment("web", replicas=3, image="web:2"))
    assert effects(plan, "restart") == ["Deployment default/web restarts 3 pods"]


# 16 -----------------------------------------------------------------------------------------


async def test_16_a_quota_is_used_up_within_one_change(still: c.Cluster) -> None:
    quota = {
        "metadata": {"name": "few"},
        "spec": {"hard": {"configmaps": "2"}},
    }
    still.view.create("resourcequotas", quota, "default")
    still.view.update(
        "resourcequotas",
        still.find("resourcequotas", "few")
        | {"status": {"hard": {"configmaps": "2"}, "used": {"configmaps": "0"}}},
        "default",
        subresource="status",
    )
    plan = await still.plan(c.config("a"), c.config("b"), c.config("c"))
    assert [str(b.ref) for b in plan.blocked] == ["ConfigMap default/c"]
    assert "exceeded quota: few" in str(plan.blocked[0])
    assert "raise the ResourceQuota" in str(plan.blocked[0])


async def test_16_two_services_cannot_have_one_node_port(still: c.Cluster) -> None:
    port = [{"port": 80, "nodePort": 30123}]
    plan = await still.plan(
        c.service("a", type="NodePort", ports=port), c.service("b", type="NodePort", ports=port)
    )
    assert [str(b.ref) for b in plan.blocked] == ["Service default/b"]
    assert "provided port is already allocated" in str(plan.blocked[0])


async def test_16_a_policy_is_asked_in_the_rehearsal(still: c.Cluster) -> None:
    group = "admissionregistration.k8s.io"
    policy = {
        "metadata": {"name": "named"},
        "spec": {
            "matchConstraints": {
                "resourceRules": [
                    {
                        "apiGroups": [""],
                        "apiVersions": ["v1"],
                        "operations": ["CREATE", "UPDATE"],
                        "resources": ["configmaps"],
                    }
                ]
            },
            "validations": [
                {"expression": "object.metadata.name.startsWith('ok')", "message": "call it ok"}
            ],
        },
    }
    binding = {
        "metadata": {"name": "named"},
        "spec": {"policyName": "named", "validationActions": ["Deny"]},
    }
    still.view.create(f"validatingadmissionpolicies.{group}", policy)
    still.view.create(f"validatingadmissionpolicybindings.{group}", binding)
    plan = await still.plan(c.config("ok-1"), c.config("bad"))
    assert [str(b.ref) for b in plan.blocked] == ["ConfigMap default/bad"]
    assert "call it ok" in str(plan.blocked[0])


# 17 -----------------------------------------------------------------------------------------


class ReadOnly(wrapping.WrappedClient):
    """A user who may get and list."""

    async def write(self, write: wrapping.Write, send: wrapping.Send) -> objects.Object:
        raise statuses.ForbiddenError(f"{write.verb} {write.resource}: not for you")


async def test_17_a_rehearsal_needs_only_get_and_list(still: c.Cluster) -> None:
    await still.begin(c.config("a"), c.deployment("web"), wait=False)
    face = still.deliveries(ReadOnly(still.client), make_stage=assembly.LoadingStages())
    given = c.written(c.config("a", v="2"), c.definition(), c.widget("w"))
    plan = await face.plan(c.OWNER, given, c.options())
    assert ops(plan) == {
        "ConfigMap/a": "change",
        "Deployment/web": "delete",
        "CustomResourceDefinition/widgets.example.com": "create",
        "Widget/w": "create",
    }


async def test_17_a_loaded_stage_and_a_fork_tell_the_same(cluster: c.Cluster) -> None:
    given = (c.config("a"), c.deployment("web", replicas=2), c.definition(), c.widget("w"))
    await cluster.begin(*given)
    changed = (c.config("a", v="2"), c.deployment("web", replicas=2, image="web:2"))
    forked = await cluster.plan(*changed)
    face = cluster.deliveries(make_stage=assembly.LoadingStages())
    loaded = await face.plan(c.OWNER, c.written(*changed), c.options())
    assert [o.as_dict() for o in loaded.operations] == [o.as_dict() for o in forked.operations]
    assert effects(loaded, "restart") == effects(forked, "restart")


# 18 -----------------------------------------------------------------------------------------


async def test_18_secret_values_appear_nowhere(still: c.Cluster) -> None:
    first = (c.secret("one", p="hunter2"), c.secret("two", p="hunter2"))
    await still.begin(*first)
    rotated = (c.secret("one", p="correct-horse"), c.secret("two", p="correct-horse"))
    plan = await still.plan(*rotated)
    shown = orjson.dumps(plan.as_file()).decode()
    for value in ("hunter2", "correct-horse", "aHVudGVyMg", "Y29ycmVjdC1ob3JzZQ"):
        assert value not in shown
    found = {
        (o.ref.name, d.before, d.after)
        for o in plan.operations
        for d in o.diffs
        if d.path == "data.p"
    }
    assert found == {
        ("one", "<secret #1>", "<secret #2>"),
        ("two", "<secret #1>", "<secret #2>"),
    }
    record = still.find("applicationrevisions.core.understudy.dev", "shop-v1")
    assert "hunter2" not in orjson.dumps(record).decode()


# 19 -----------------------------------------------------------------------------------------


async def test_19_one_mistake_in_two_hundred_hides_nothing(still: c.Cluster) -> None:
    many = [c.config(f"c{n:03}") for n in range(198)]
    wrong = c.config("Wrong_Name")
    misspelt = c.deployment("web")
    misspelt["spec"]["replcas"] = 3
    plan = await still.plan(*many, wrong, misspelt)
    assert len(plan.blocked) == 2
    assert {b.obstacle.field for b in plan.blocked} == {"metadata.name", "spec.replcas"}
    assert list(ops(plan).values()) == ["create"] * 198


async def test_19_what_depends_on_a_mistake_is_told_with_its_cause(still: c.Cluster) -> None:
    wrong = c.namespace("bad")
    wrong["metadata"]["labels"] = {"a": "not a label"}
    plan = await still.plan(wrong, c.config("inside", "bad"))
    assert [str(b.ref) for b in plan.blocked] == ["Namespace bad", "ConfigMap bad/inside"]
    assert plan.blocked[1].obstacle.blocked_by == refs.Ref("", "Namespace", "", "bad")


# 20 -----------------------------------------------------------------------------------------


async def test_20_names_that_could_be_confused_are_two_applications(still: c.Cluster) -> None:
    still.view.create("namespaces", {"metadata": {"name": "c"}})
    still.view.create("namespaces", {"metadata": {"name": "b-c"}})
    one, other = targets.Owner("a-b", "c"), targets.Owner("a", "b-c")
    await still.deliver(c.config("x", "c"), owner=one)
    await still.deliver(c.config("y", "b-c"), owner=other)
    trackers_now = still.names("resourcetrackers.core.understudy.dev", "")
    assert len({*trackers_now} - {"other.elsewhere"}) == 2
    await still.remove(one)
    assert still.names("configmaps", "b-c") == ["y"]
    assert still.names("configmaps", "c") == []


def test_view_options_are_what_the_client_makes() -> None:
    """The scenarios above write through the view; its options must stay constructible."""
    assert view_options.WriteOptions(field_manager="x").manager == "x"
