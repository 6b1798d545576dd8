"""Whatever is done to workloads, their controllers come to rest, and at rest everything agrees."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from hypothesis import given, settings, strategies as st

from understudy.aio import clocks, ids
from understudy.controllers import running
from understudy.controllers.runtime import settings as runtimes
from understudy.kapi import views
from understudy.kapi.views import options
from understudy.kube import objects, selectors, statuses

RUNTIME = runtimes.Runtime(leases=False)
STEPS_MAX = 4_000
NAMESPACE = "work"
WORKLOADS = (
    "deployments.apps", "statefulsets.apps", "daemonsets.apps", "replicasets.apps", "jobs.batch",
)  # fmt: skip
IMAGES = st.sampled_from(["run:v1", "run:v2", "slow:v1", "unready:v1", "pullfail:v1", "exit-1:v1"])
NAMES = st.sampled_from(["a", "b"])
APPS = st.sampled_from(["x", "y"])


def template(app: str, image: str, **spec: objects.Json) -> objects.Object:
    containers = [{"name": "c", "image": image}]
    return {"metadata": {"labels": {"app": app}}, "spec": {"containers": containers, **spec}}


@st.composite
def workloads(draw: st.DrawFn) -> tuple[str, ...]:
    """Return the creation of a workload."""
    ref, name, app = draw(st.sampled_from(WORKLOADS)), draw(NAMES), draw(APPS)
    image = draw(IMAGES)
    spec: objects.Object = {"template": template(app, image)}
    if ref == "jobs.batch":
        image = draw(st.sampled_from(["exit-0:v1", "exit-1:v1", "run:v1"]))
        spec["template"] = {"spec": template(app, image, restartPolicy="Never")["spec"]}
        spec |= {"backoffLimit": draw(st.integers(0, 1)), "parallelism": draw(st.integers(0, 2))}
    else:
        spec["selector"] = {"matchLabels": {"app": app}}
    if ref not in {"daemonsets.apps", "jobs.batch"}:
        spec["replicas"] = draw(st.integers(0, 3))
    if ref == "statefulsets.apps":
        spec |= {"serviceName": name, "podManagementPolicy": draw(st.sampled_from(
            ["OrderedReady", "Parallel"]
        ))}  # fmt: skip
    if ref == "deployments.apps":
        spec["strategy"] = {"type": draw(st.sampled_from(["RollingUpdate", "Recreate"]))}
    return "create", ref, {"metadata": {"name": name}, "spec": spec}


@st.composite
def others(draw: st.DrawFn) -> tuple[str, ...]:
    """Return the creation of something that follows workloads."""
    name, app = draw(NAMES), draw(APPS)
    selector = {"matchLabels": {"app": app}}
    ref, spec = draw(st.sampled_from([
        ("services", {"selector": {"app": app}, "ports": [{"port": 80}]}),
        ("poddisruptionbudgets.policy", {"selector": selector, "minAvailable": 1}),
        ("resourcequotas", {"hard": {"pods": "4"}}),
        ("pods", template(app, "run:v1")["spec"]),
    ]))  # fmt: skip
    return "create", ref, {"metadata": {"name": name, "labels": {"app": app}}, "spec": spec}


def changes() -> st.SearchStrategy[tuple[str, ...]]:
    """Return something done to what may be there."""
    policies = st.sampled_from(["Background", "Foreground", "Orphan"])
    images = IMAGES.map(
        lambda image: {
            "spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}
        }
    )
    scales = st.integers(0, 3).map(lambda replicas: {"spec": {"replicas": replicas}})
    pauses = st.booleans().map(lambda paused: {"spec": {"paused": paused}})
    return st.one_of(
        st.tuples(st.just("delete"), st.sampled_from(WORKLOADS), NAMES, policies),
        st.tuples(st.just("patch"), st.sampled_from(WORKLOADS), NAMES, images),
        st.tuples(st.just("patch"), st.sampled_from(WORKLOADS), NAMES, scales),
        st.tuples(st.just("patch"), st.just("deployments.apps"), NAMES, pauses),
        st.tuples(st.just("lose"), st.integers(0, 5)),
        st.tuples(st.just("relabel"), st.integers(0, 5), st.sampled_from(["x", "y", "z"])),
        st.tuples(st.just("cordon"), st.sampled_from(["node-1", "node-2"]), st.booleans()),
        st.tuples(st.just("pass"), st.sampled_from([0.3, 1.0, 5.0])),
    )


HISTORIES = st.lists(st.one_of(workloads(), others(), changes()), min_size=1, max_size=10)


class World:
    """A view with all controllers, and a clock that only they move."""

    def __init__(self) -> None:
        self.clock = clocks.ManualClock()
        self.view = views.new_view(clock=self.clock, ids=ids.SeededIds(1))
        self.view.create("namespaces", {"metadata": {"name": NAMESPACE}})
        self.rehearsal = running.Rehearsal(self.view, "all", RUNTIME, self.clock)
        self.rehearsal.rest()

    def do(self, step: tuple[str, ...]) -> None:
        with contextlib.suppress(statuses.ApiError):
            getattr(self, f"_{step[0]}")(*step[1:])

    def rest(self) -> running.Settled:
        return self.rehearsal.rest(steps_max=STEPS_MAX)

    def _create(self, ref: str, obj: objects.Object) -> None:
        self.view.create(ref, objects.copy(obj), NAMESPACE)

    def _delete(self, ref: str, name: str, policy: str) -> None:
        chosen = options.DeleteOptions(propagation_policy=policy)
        self.view.delete(ref, name, NAMESPACE, options=chosen)

    def _patch(self, ref: str, name: str, body: objects.Object) -> None:
        self.view.patch(ref, name, body, NAMESPACE)

    def _pod(self, number: int) -> str:
        found = [objects.name_of(pod) for pod in self.view.each("pods", NAMESPACE)]
        return found[number % len(found)] if found else "none"

    def _lose(self, number: int) -> None:
        self.view.delete("pods", self._pod(number), NAMESPACE)

    def _relabel(self, number: int, app: str) -> None:
        body = {"metadata": {"labels": {"app": app}}}
        self.view.patch("pods", self._pod(number), body, NAMESPACE)

    def _cordon(self, node: str, cordoned: bool) -> None:
        self.view.patch("nodes", node, {"spec": {"unschedulable": cordoned}})

    def _pass(self, seconds: float) -> None:
        self.rehearsal.pass_time(seconds)

    def everything(self) -> Iterator[tuple[str, objects.Object]]:
        for resource in self.view.catalogue.resources:
            if resource.group_resource == resource.storage:
                for entry in self.view.entries(resource):
                    yield str(resource.storage), entry.load()


def play(history: list[tuple[str, ...]]) -> tuple[World, running.Settled]:
    world = World()
    for step in history:
        world.do(step)
    return world, world.rest()


@settings(max_examples=60, deadline=None)
@given(HISTORIES)
def test_controllers_come_to_rest_and_a_restart_finds_nothing_to_do(history) -> None:
    world, settled = play(history)
    assert settled.why == "settled", (settled.why, settled.journal[-20:])
    assert [one for one in settled.failures if not is_in_the_way(one.message)] == []
    again = running.settle(world.view, "all", RUNTIME, world.clock, everything=True)
    writes = [write for write in again.journal if not write.ref.startswith("events")]
    assert writes == [], writes


@settings(max_examples=60, deadline=None)
@given(HISTORIES)
def test_at_rest_every_status_says_what_is_there(history) -> None:
    world, _ = play(history)
    present = list(world.everything())
    uids = {objects.uid_of(obj) for _, obj in present}
    pods = [obj for ref, obj in present if ref == "pods"]
    for ref, obj in present:
        meta = obj["metadata"]
        assert "deletionTimestamp" not in meta, (ref, meta)
        for owner in meta.get("ownerReferences") or ():
            assert owner["uid"] in uids, (ref, meta["name"], owner)
        if ref in WORKLOADS and ref != "jobs.batch":
            assert obj["status"].get("observedGeneration") == meta["generation"], (ref, meta)
        if ref in {"replicasets.apps", "statefulsets.apps"}:
            own = [pod for pod in pods if is_controlled(pod, obj)]
            assert obj["status"]["replicas"] == len(own)
            assert (obj["status"].get("readyReplicas") or 0) == len([*filter(is_ready, own)])
    for ref, obj in present:
        if ref == "endpointslices.discovery.k8s.io" and obj["metadata"].get("ownerReferences"):
            service = world.view.get("services", obj["metadata"]["ownerReferences"][0]["name"],
                                     NAMESPACE)  # fmt: skip
            wanted = selectors.from_label_selector({"matchLabels": service["spec"]["selector"]})
            backends = {
                pod["status"]["podIP"] for pod in pods
                if wanted.matches(objects.labels_of(pod)) and is_ready(pod)
            }  # fmt: skip
            ready = {
                address for end in obj.get("endpoints") or () if end["conditions"]["ready"]
                for address in end["addresses"]
            }  # fmt: skip
            assert ready == backends
        if ref == "resourcequotas":
            running_pods = [pod for pod in pods if not is_over(pod)]
            assert obj["status"]["used"] == {"pods": str(len(running_pods))}


@settings(max_examples=15, deadline=None)
@given(HISTORIES)
def test_the_same_history_gives_the_same_objects(history) -> None:
    once, twice = play(history)[0], play(history)[0]
    assert list(once.everything()) == list(twice.everything())


@settings(max_examples=30, deadline=None)
@given(HISTORIES)
def test_a_namespace_goes_with_everything_in_it(history) -> None:
    world, _ = play(history)
    world.view.delete("namespaces", NAMESPACE)
    assert world.rest().why == "settled"
    assert [obj for _, obj in world.everything() if objects.namespace_of(obj) == NAMESPACE] == []
    assert world.view.find("namespaces", "", NAMESPACE) is None


def is_in_the_way(message: str) -> bool:
    """Whether a set cannot make a pod: its name is taken, or the quota is used up."""
    return any(why in message for why in ("already exists", "is taken", "exceeded quota"))


def is_controlled(pod: objects.Object, owner: objects.Object) -> bool:
    return any(
        reference.get("controller") and reference["uid"] == owner["metadata"]["uid"]
        for reference in pod["metadata"].get("ownerReferences") or ()
    ) and not is_over(pod)


def is_over(pod: objects.Object) -> bool:
    return pod.get("status", {}).get("phase") in {"Succeeded", "Failed"}


def is_ready(pod: objects.Object) -> bool:
    conditions = pod.get("status", {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
