"""Plays a recorded scenario against a view of ours and writes down what happened, as a trace.

The recording's own rules make both comparable: `normalise.Symbols` (copied with the traces) gives
stable names to whatever a cluster makes up.
"""

from __future__ import annotations

import fnmatch
import importlib.util
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from understudy.aio import clocks, ids
from understudy.controllers import garbage, quotas, reactor as reactors, registry, running
from understudy.controllers.namespaces import deletion
from understudy.controllers.nodes import lifecycle
from understudy.controllers.runtime import reports, settings, simulated
from understudy.controllers.storage import binder
from understudy.controllers.workloads import replicasets
from understudy.kapi import views
from understudy.kapi.store import logs
from understudy.kapi.views import options
from understudy.kube import objects, statuses

RECORDINGS = Path(__file__).parents[2] / "conformance" / "controllers"
OWN = Path(__file__).parents[2] / "conformance" / "more_controllers"
"""Recordings of our own; each holds its whole scenario besides what happened."""
SHARED = Path(__file__).parents[4] / "shared" / "controllers"
Part = TypeVar("Part")
UNWATCHED = {"Lease"}
QUIET_S = 1.5
ROOT_CA = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n" * 2
SETTLE_MAX_S = 40.0
SYSTEM_PRIORITIES = {
    "system-cluster-critical": 2_000_000_000,
    "system-node-critical": 2_000_001_000,
}
CLAIM_SYNC_S, QUOTA_SYNC_S = 3.0, 10.0
"""As the recorded controller manager was told."""


def load(name: str) -> ModuleType:
    """Import a module that was copied with the recordings; they import each other by name."""
    known = sys.modules.get(name)
    if known is not None:
        return known
    spec = importlib.util.spec_from_file_location(name, RECORDINGS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Plain:
    """What `normalise` needs of `api`, without the HTTP client that api.py imports."""


def kinds() -> dict[str, objects.Json]:
    """Return the kinds that traces tell of."""
    api = load("api")
    for kind in (
        api.Kind("HorizontalPodAutoscaler", "autoscaling/v2", "horizontalpodautoscalers"),
    ):
        api.KINDS.setdefault(kind.name, kind)
    found: dict[str, objects.Json] = api.KINDS
    return found


def names() -> list[str]:
    """Return the names of all recorded traces."""
    return sorted(
        path.stem for root in (RECORDINGS / "traces", OWN) for path in root.glob("*.json")
    )


def scenario_of(name: str) -> objects.Object:
    """Return a scenario: a table, or what a trace of our own says."""
    path = OWN / f"{name}.json"
    if path.exists():
        own: objects.Object = json.loads(path.read_text())
        return own
    found: objects.Object = next(one for one in load("scenarios").SCENARIOS if one["name"] == name)
    return found


@dataclass(frozen=True, slots=True)
class Chance:
    """What was chance when a scenario was recorded, and is not told in its trace.

    Attributes:
        phase_s: The part of a second at which it began. Times are written in whole seconds, so
            that half a second later may or may not seem to be the same time.
        pace: How long the kubelet took for everything, 1 being what it meant to take. It decides
            who comes first of a container that ends and a controller that looks a second later.
        each_seen: Whether others saw each pod of a batch before the next was made or deleted.
        sync_s: How long before that the binder had last looked at all claims. It decides how often
            in a step a claim is told why it waits.
        seen_apart: How many of several that are deleted were seen to go before the rest was.
        marked_early: Whether controllers marked a new node before its kubelet said how it is.
        ttl_late: Whether the least of these marks came after the first other.
        kubelet_s: How long such a kubelet took longer than that.
    """

    phase_s: float = 0.0
    pace: float = 1.0
    each_seen: bool = False
    sync_s: float = 0.0
    seen_apart: int = garbage.SEEN_APART
    marked_early: bool = False
    ttl_late: bool = False
    kubelet_s: float = 0.0


CHANCES = (
    Chance(),
    *(Chance(phase_s=phase) for phase in (0.25, 0.5, 0.75)),
    *(Chance(pace=pace) for pace in (0.9, 1.2)),
    Chance(each_seen=True),
    *(Chance(seen_apart=some) for some in (0, 9)),
    *(Chance(sync_s=passed) for passed in (1.0, 2.0)),
    *(Chance(marked_early=True, ttl_late=late, kubelet_s=after)
      for late in (False, True) for after in (0.0, 0.1)),
)  # fmt: skip


def chances_of(name: str) -> Iterator[Chance]:
    """Yield the chances that may matter for a scenario."""
    steps = json.dumps(scenario_of(name)["steps"])
    for chance in CHANCES:
        if chance.marked_early and '"node-add"' not in steps:
            continue
        if chance.seen_apart != garbage.SEEN_APART and '"delete"' not in steps:
            continue
        if chance.sync_s and '"PersistentVolumeClaim"' not in steps:
            continue
        yield chance


class ForgetfulReporter(reports.Reporter):
    """Reports as the recorded kubelet did, which forgets restarts when it reports anything else."""

    def write(self, pod: objects.Object, *report: objects.Json, **more: objects.Json) -> None:
        super().write(pod, *report, **{"restarts": 0, "last": {}, **more})


class Player:
    """One scenario on one view, with simulated nodes and a clock that the player moves."""

    def __init__(
        self, scenario: objects.Object, kinds: dict[str, objects.Json], chance: Chance
    ) -> None:
        self.scenario = scenario
        self.kinds = kinds
        self.plurals = {kind.plural: name for name, kind in kinds.items()}
        self.clock = clocks.ManualClock()
        self.clock.advance(chance.phase_s)
        self.view = views.new_view(clock=self.clock, ids=ids.SeededIds(1))
        for name, value in SYSTEM_PRIORITIES.items():
            wanted = {"metadata": {"name": name}, "value": value}
            self.view.create("priorityclasses.scheduling.k8s.io", wanted)
        # Neither a cloud nor a provisioner was there when the scenarios were recorded.
        usual = settings.Runtime(volumes=False, load_balancers=False, ends_by_itself=False)
        self.runtime = replace(
            usual,
            start_delay_s=usual.start_delay_s * chance.pace,
            exit_delay_s=usual.exit_delay_s * chance.pace,
            stop_delay_s=usual.stop_delay_s * chance.pace,
        )
        self.writes = []
        names, more = ("*,-ttl-controller", [lifecycle.NodeTtl]) if chance.ttl_late else ("all", [])
        self.reactor = registry.assemble(
            self.view, names, self.runtime, self.clock, self.writes.append, more=more,
            root_ca=ROOT_CA,
        )  # fmt: skip
        for controller in self.reactor.controllers:
            if isinstance(controller, binder.Binder):
                controller.sync_period_s = CLAIM_SYNC_S
                controller.synced_s -= chance.sync_s
            if isinstance(controller, quotas.QuotaUsage):
                controller.resync_s = QUOTA_SYNC_S
            if isinstance(controller, replicasets.ReplicaSets):
                controller.seen_apart = chance.each_seen
        for controller in self.reactor.controllers:
            if isinstance(controller, garbage.GarbageCollector | deletion.NamespaceDeletion):
                controller.seen_apart = chance.seen_apart
        if chance.marked_early:
            self._controller(lifecycle.NodeLifecycle).patience_s = 0.0
            self._controller(simulated.SimulatedNodes).report_s = chance.kubelet_s
        kubelet = self._controller(simulated.SimulatedKubelet)
        kubelet.reporter = ForgetfulReporter(kubelet.cluster, init_containers=False)
        self.seen: list[tuple[float, logs.Event]] = []
        self.marks: list[tuple[int, objects.Object]] = []
        self.namespace = scenario["name"]
        self.namespaces = {self.namespace, f"{self.namespace}-other"}
        self.objects = {f"Node/{name}" for name in scenario.get("nodes", [])}
        self.last_s = 0.0
        self.start_s = 0.0

    # ------------------------------------------------------------------ playing

    def play(self) -> objects.Object:
        """Play every step and return the trace: stream, final, events."""
        self.reactor.attach()
        self.reactor.load_present()
        running.advance(self.reactor, self.clock, 5.75)
        self.view.subscribe(None, self._saw)
        if not self.scenario.get("bare"):
            self._make_namespaces()
        self.start_s = self.clock.monotonic()
        first = len(self.seen)
        for number, step in enumerate(self.scenario["steps"]):
            mark: objects.Object = {"step": number}
            self.marks.append((len(self.seen), mark))
            try:
                self._do(step)
            except statuses.ApiError as error:
                mark |= {"code": error.code, "message": error.message}
            self._quiet(step.get("quiet", QUIET_S))
        self.reactor.detach()
        return self._trace(first)

    def _make_namespaces(self) -> None:
        wanted = [self.namespace]
        if any(step.get("namespace") == "other" for step in self.scenario["steps"]):
            wanted.append(f"{self.namespace}-other")
        for name in wanted:
            self.view.create("namespaces", {"metadata": {"name": name}})
        self._quiet(0.5)

    def _saw(self, event: logs.Event) -> None:
        self.seen.append((self.clock.monotonic(), event))
        if self._is_mine(event):
            self.last_s = self.clock.monotonic()

    def _is_mine(self, event: logs.Event) -> bool:
        kind = self.plurals.get(event.storage.resource)
        if kind is None or kind in UNWATCHED:
            return False
        entry = event.entry
        if kind == "Event":
            about = entry.load().get("involvedObject") or {"kind": "", "name": ""}
            return (
                entry.namespace in self.namespaces
                or f"{about['kind']}/{about['name']}" in self.objects
            )
        if kind == "Namespace":
            return bool(self.scenario.get("bare")) and entry.name in self.namespaces
        return entry.namespace in self.namespaces or f"{kind}/{entry.name}" in self.objects

    def _quiet(self, quiet_s: float) -> None:
        begun = self.clock.monotonic()
        self.last_s = max(self.last_s, begun)
        running.advance(self.reactor, self.clock, 0.0)
        while True:
            now = self.clock.monotonic()
            if now - self.last_s >= quiet_s - 1e-9 or now - begun >= SETTLE_MAX_S:
                return
            running.advance(self.reactor, self.clock, min(0.1, self.last_s + quiet_s - now))

    def _ref(self, kind: str) -> str:
        group = self.kinds[kind].group_version.rpartition("/")[0]
        return f"{self.kinds[kind].plural}.{group}" if group else self.kinds[kind].plural

    def _place(self, kind: str, step: objects.Object) -> str:
        if not self.kinds[kind].namespaced:
            return ""
        return f"{self.namespace}-other" if step.get("namespace") == "other" else self.namespace

    def _do(self, step: objects.Object) -> None:
        step = self._picked(step)
        kind, name = step.get("kind", ""), step.get("name", "")
        match step["op"]:
            case "create":
                self._create(step)
            case "patch":
                self._patch(step)
            case "delete":
                raw = step.get("options") or {}
                asked = options.DeleteOptions(
                    propagation_policy=raw.get("propagationPolicy", ""),
                    grace_period_s=raw.get("gracePeriodSeconds"),
                )
                self.view.delete(self._ref(kind), name, self._place(kind, step), options=asked)
            case "evict":
                body = {"kind": "Eviction", "apiVersion": "policy/v1", "metadata": {"name": name}}
                self.view.create("pods", body, self.namespace, name=name, subresource="eviction")
            case "undo":
                self._undo(name, step["revision"])
            case "node-add":
                self._add_node(step)
            case "node-lost":
                self._lose_node(name)
            case "until":
                self._until(step)

    def _picked(self, step: objects.Object) -> objects.Object:
        """Put a name where a step has a pattern (`web-*`): of the first that is still alive."""
        name: str = step.get("name", "")
        if "*" not in name:
            return step
        kind = step["kind"]
        found = min(
            objects.name_of(one)
            for one in self.view.each(self._ref(kind), self._place(kind, step))
            if fnmatch.fnmatch(objects.name_of(one), name)
            and not objects.metadata(one).get("deletionTimestamp")
            and (one.get("status") or {}).get("phase") not in {"Succeeded", "Failed"}
        )
        return {**step, "name": found}

    def _create(self, step: objects.Object) -> None:
        obj = objects.copy(step["object"])
        kind = obj["kind"]
        if not self.kinds[kind].namespaced:
            self.objects.add(f"{kind}/{obj['metadata']['name']}")
        if kind == "Namespace":
            self.namespaces.add(obj["metadata"]["name"])
        self._add_owners(obj, step)
        self.view.create(self._ref(kind), obj, self._place(kind, step))

    def _patch(self, step: objects.Object) -> None:
        kind, patch = step["kind"], objects.copy(step["patch"])
        if step.get("owners"):
            self._add_owners(patch, step)
        form = options.JSON_PATCH if isinstance(patch, list) else options.MERGE_PATCH
        self.view.patch(
            self._ref(kind), step["name"], patch, self._place(kind, step),
            patch_type=form, subresource=step.get("subresource", ""),
        )  # fmt: skip

    def _add_owners(self, obj: objects.Object, step: objects.Object) -> None:
        for owner in step.get("owners", []):
            place = f"{self.namespace}-other" if owner.get("namespace") else self.namespace
            if not self.kinds[owner["kind"]].namespaced:
                place = ""
            found = self.view.find(self._ref(owner["kind"]), place, owner["name"])
            absent = owner.get("uid", "00000000-0000-0000-0000-000000000000")
            reference = {
                "apiVersion": self.kinds[owner["kind"]].group_version,
                "kind": owner["kind"],
                "name": owner["name"],
                "uid": objects.uid_of(found) if found else absent,
            }
            keys = ("controller", "blockOwnerDeletion")
            reference |= {key: owner[key] for key in keys if key in owner}
            meta = obj.setdefault("metadata", {})
            meta.setdefault("ownerReferences", []).append(reference)

    def _undo(self, name: str, revision: str) -> None:
        for found in self.view.each("replicasets.apps", self.namespace):
            noted = objects.annotations_of(found).get("deployment.kubernetes.io/revision")
            if noted == revision:
                template = found["spec"]["template"]
                template["metadata"]["labels"].pop("pod-template-hash")
                patch = [{"op": "replace", "path": "/spec/template", "value": template}]
                self.view.patch(
                    "deployments.apps", name, patch, self.namespace, patch_type=options.JSON_PATCH
                )
                return

    def _controller(self, kind: type[Part]) -> Part:
        return next(one for one in self.reactor.controllers if isinstance(one, kind))

    def _add_node(self, step: objects.Object) -> None:
        self._controller(simulated.SimulatedNodes).add(step["name"], step.get("labels"))

    def _lose_node(self, name: str) -> None:
        self._controller(simulated.SimulatedNodes).forget(name)

    def _until(self, step: objects.Object) -> None:
        ends = self.clock.monotonic() + step.get("timeout", 60)
        while self.clock.monotonic() < ends:
            obj = self.view.find(
                self._ref(step["kind"]), self._place(step["kind"], step), step["name"]
            )
            if step.get("gone"):
                if obj is None:
                    return
            elif obj is not None and holds(obj, step["path"], step["value"]):
                return
            running.advance(self.reactor, self.clock, 0.2)
        raise AssertionError(f"never came: {step}")

    # ------------------------------------------------------------------ the trace

    def _trace(self, first: int) -> objects.Object:
        normalise = load("normalise")
        symbols = normalise.Symbols()
        mine = [
            (place, at, event)
            for place, (at, event) in enumerate(self.seen)
            if place >= first and self._is_mine(event)
        ]
        loaded = [(place, at, event, event.entry.load()) for place, at, event in mine]
        for _, _, event, obj in loaded:
            symbols.learn(obj, self.plurals[event.storage.resource])
        final = list(self._final())
        for obj in final:
            symbols.learn(obj, obj["kind"])
        stream: list[objects.Object] = []
        marks = list(self.marks)
        latest: dict[str, objects.Object] = {}
        for place, at, event, obj in loaded:
            while marks and marks[0][0] <= place:
                stream.append(marks.pop(0)[1])
            kind = self.plurals[event.storage.resource]
            short = normalise.short_event(obj) if kind == "Event" else None
            stream.append({
                "t": round(at - self.start_s, 1), "type": event.type, "kind": kind,
                "name": symbols.text(event.entry.name),
                "object": symbols.apply(short or normalise.clean_object(obj, kind)),
            })  # fmt: skip
            if kind == "Event" and event.type != "DELETED":
                latest[event.entry.uid] = symbols.apply(short)
        stream.extend(mark for _, mark in marks)
        kept = [obj for obj in final if not normalise.default_object(obj, self.scenario)]
        return {
            "name": self.scenario["name"],
            "stream": stream,
            "final": [symbols.apply(normalise.clean_object(obj, obj["kind"])) for obj in kept],
            "events": list(latest.values()),
        }

    def _final(self) -> Iterator[objects.Object]:
        for kind in sorted(self.kinds.keys() - UNWATCHED - {"Event", "Node"}):
            for obj in self.view.each(self._ref(kind)):
                meta = obj["metadata"]
                named = f"{kind}/{meta['name']}" in self.objects
                if meta.get("namespace") in self.namespaces or named:
                    yield {"kind": kind, "apiVersion": self.kinds[kind].group_version} | obj


def holds(obj: objects.Object, path: str, value: objects.Json) -> bool:
    """Read `status.conditions[Ready].reason`: the condition of that type."""
    here: objects.Json = obj
    for part in path.split("."):
        if here is None:
            return False
        name, _, pick = part.partition("[")
        here = here.get(name)
        if pick and here is not None:
            here = next((one for one in here if one.get("type") == pick.rstrip("]")), None)
    return bool(here == value) if value is not None else here is not None


def recorded(name: str) -> objects.Object:
    """Return a recorded trace."""
    own = OWN / f"{name}.json"
    path = own if own.exists() else RECORDINGS / "traces" / f"{name}.json"
    loaded: objects.Object = json.loads(path.read_text())
    return loaded


def play(name: str, chance: Chance = CHANCES[0]) -> objects.Object:
    """Play a scenario by name and return our trace of it."""
    return play_scenario(scenario_of(name), chance)


def play_scenario(scenario: objects.Object, chance: Chance = CHANCES[0]) -> objects.Object:
    """Play a scenario and return our trace of it."""
    known = kinds()
    load("normalise")
    return Player(scenario, known, chance).play()


_ = reactors  # the reactor's types appear in annotations of callers
