"""Properties of deliveries, for random applications and random histories."""

from __future__ import annotations

import asyncio
import copy
import random

import hypothesis
from hypothesis import strategies as st

from understudy import assembly
from understudy.aio import clocks, ids
from understudy.client import protocol
from understudy.controllers import running
from understudy.delivery import (
    adoption,
    deliveries,
    dispatch,
    errors,
    guards,
    manifests,
    ordering,
    refs,
    targets,
    trackers,
)
from understudy.kapi import views
from understudy.kube import objects

OWNER = targets.Owner("shop", "default")
KINDS = (
    ("", "ConfigMap"), ("", "Secret"), ("apps", "Deployment"), ("", "Service"), ("", "Namespace"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"), ("example.com", "Widget"),
)  # fmt: skip

kinds = st.sampled_from(KINDS)
names = st.sampled_from("abcdef")


# ---------------------------------------------------------------------- the order


@st.composite
def graphs(draw: st.DrawFn) -> dict[refs.Ref, objects.Object]:
    """Draw objects whose references (explicit ones only to earlier names) have no circle."""
    chosen = draw(st.lists(st.tuples(kinds, names), min_size=1, max_size=12, unique=True))
    items: dict[refs.Ref, objects.Object] = {}
    for (group, kind), name in chosen:
        namespaced = kind not in ("Namespace", "CustomResourceDefinition")
        space = draw(st.sampled_from("ab")) if namespaced else ""
        obj: objects.Object = {"metadata": {"name": name, "namespace": space}}
        if kind == "Deployment":
            source = [{"configMapRef": {"name": draw(names)}}]
            containers = [{"name": "c", "envFrom": source}]
            obj["spec"] = {"template": {"spec": {"containers": containers}}}
        if kind == "CustomResourceDefinition":
            obj["spec"] = {"group": "example.com", "names": {"kind": "Widget"}}
        earlier = sorted(items)
        if earlier and draw(st.booleans()):
            other = draw(st.sampled_from(earlier))
            text = "/".join(part for part in (other.group, other.kind) if part)
            place = f"{other.namespace}/{other.name}" if other.namespace else other.name
            if kind not in ("Namespace", "CustomResourceDefinition"):
                obj["metadata"]["annotations"] = {
                    "core.understudy.dev/depends-on": f"{text}/{place}"
                }
        items[refs.Ref(group, kind, space, name)] = obj
    return items


def position(order: ordering.Order) -> dict[refs.Ref, int]:
    return {ref: n for n, batch in enumerate(order.batches) for ref in batch.items}


@hypothesis.given(graphs())
def test_every_object_goes_once_and_after_what_it_needs(
    items: dict[refs.Ref, objects.Object],
) -> None:
    order = ordering.arrange(items)
    place = position(order)
    assert sorted(place) == sorted(items)
    assert sum(len(batch.items) for batch in order.batches) == len(items)
    for ref, earlier in order.graph.before.items():
        assert all(place[other] < place[ref] for other in earlier)
    for ref in items:
        space = refs.Ref("", "Namespace", "", ref.namespace)
        if ref.namespace and space in items:
            assert place[space] < place[ref]


@hypothesis.given(graphs(), st.randoms())
def test_the_order_of_the_input_does_not_matter(
    items: dict[refs.Ref, objects.Object], chance: random.Random
) -> None:
    shuffled = list(items.items())
    chance.shuffle(shuffled)
    assert ordering.arrange(dict(shuffled)).batches == ordering.arrange(items).batches


# ---------------------------------------------------------------------- the tracker


def target(ref: refs.Ref, version: str) -> targets.Target:
    resource = protocol.ApiResource(
        group=ref.group, version=version, kind=ref.kind, plural="x", namespaced=True, verbs=()
    )
    return targets.Target(ref, {"metadata": {"name": ref.name}}, resource, manifests.Source("f"))


wanted_sets = st.lists(st.sets(st.tuples(kinds, names), max_size=6), min_size=1, max_size=5)


@hypothesis.given(wanted_sets, st.data())
def test_the_tracker_knows_all_that_was_ever_wanted_and_not_yet_collected(
    history: list[set], data: st.DataObject
) -> None:
    """A model: a dictionary from object to the number of the revision that wanted it last."""
    tracker, model = trackers.Tracker(owner=OWNER), {}
    for number, chosen in enumerate(history, 1):
        revision = f"shop-v{number}"
        wanted = [
            target(refs.Ref(group, kind, "n", name), data.draw(st.sampled_from(["v1", "v2"])))
            for (group, kind), name in sorted(chosen)
        ]
        tracker = tracker.claimed(wanted, revision)
        model |= {item.ref: number for item in wanted}
        applied = data.draw(st.sets(st.sampled_from([w.ref for w in wanted]))) if wanted else set()
        tracker = tracker.learnt({ref: f"uid-{ref.name}" for ref in applied})
        assert set(tracker.entries) == set(model)
        old = {entry.ref for entry in tracker.unwanted(revision)}
        assert old == {ref for ref, last in model.items() if last != number}
        assert not old & {item.ref for item in wanted}
        if data.draw(st.booleans()):  # The delivery came to its end.
            tracker = tracker.without(old).done()
            model = {ref: last for ref, last in model.items() if ref not in old}
        assert trackers.from_object(tracker.as_object()) == tracker


# ---------------------------------------------------------------------- plan and deliver


def placed(kind: str, name: str, namespace: str = "default") -> objects.Object:
    api_version = {"Widget": "example.com/v1", "Deployment": "apps/v1"}.get(kind, "v1")
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": api_version, "kind": kind, "metadata": meta}


def config(name: str, value: str) -> objects.Object:
    return {**placed("ConfigMap", name), "data": {"v": value, value: "extra"}}


def secret(name: str, value: str) -> objects.Object:
    return {**placed("Secret", name), "data": {"v": f"{ord(value):04}"}}


def service(name: str, value: str) -> objects.Object:
    spec = {"selector": {"v": value}, "ports": [{"port": 80 + ord(value)}]}
    return {**placed("Service", name), "spec": spec}


def deployment(name: str, value: str) -> objects.Object:
    labels = {"app": name}
    containers = [{"name": "c", "image": f"i:{value}", "env": [{"name": "A", "value": value}]}]
    template = {"metadata": {"labels": labels}, "spec": {"containers": containers}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    return {**placed("Deployment", name), "spec": spec}


def moving(name: str, value: str) -> objects.Object:
    """A Deployment whose selector, which cannot be changed, follows the value."""
    made = deployment(f"m-{name}", value)
    labels = {"app": f"{name}-{value}"}
    made["spec"]["selector"]["matchLabels"] = labels
    made["spec"]["template"]["metadata"]["labels"] = labels
    return made


def space(name: str, value: str) -> objects.Object:
    meta = {"name": f"space-{name}", "labels": {"v": value}}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": meta}


def inside(name: str, value: str) -> objects.Object:
    return {**placed("ConfigMap", "inside", f"space-{name}"), "data": {"v": value}}


def definition(name: str, value: str) -> objects.Object:
    """The definition of Widgets, whatever the name; the value decides on a default."""
    colour = {"type": "string", "default": value}
    spec = {"type": "object", "properties": {"colour": colour, "size": {"type": "string"}}}
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}
    versions = [{"name": "v1", "served": True, "storage": True, "schema": schema}]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "versions": versions,
            "names": {"kind": "Widget", "plural": "widgets", "singular": "widget"},
        },
    }  # fmt: skip


def widget(name: str, value: str) -> objects.Object:
    return {**placed("Widget", name), "spec": {"size": value}}


def hook(name: str, value: str) -> objects.Object:
    made = {**config(f"hook-{name}", value)}
    policy = {"x": "hook-succeeded", "y": "before-hook-creation", "z": "hook-failed"}[value]
    notes = {
        "core.understudy.dev/hook": "pre-deliver" if name == "a" else "post-deliver",
        "core.understudy.dev/hook-delete-policy": policy,
    }
    return {**made, "metadata": {**made["metadata"], "annotations": notes}}


def kept(name: str, value: str) -> objects.Object:
    made = config(f"kept-{name}", value)
    notes = {"helm.sh/resource-policy": "keep"}
    return {**made, "metadata": {**made["metadata"], "annotations": notes}}


makers = st.sampled_from(
    [config, secret, service, deployment, moving, space, inside, definition, widget, hook, kept]
)
applications = st.dictionaries(
    st.tuples(makers, st.sampled_from("abc")), st.sampled_from("xyz"), min_size=1, max_size=8
)
RESOURCES = (
    "configmaps", "secrets", "services", "deployments.apps", "namespaces",
    "customresourcedefinitions.apiextensions.k8s.io", "widgets.example.com",
)  # fmt: skip
OPTIONS = deliveries.Options(
    dispatch=dispatch.DispatchSettings(
        recreate=True,
        force_conflicts=True,
        adoption=adoption.Adoption.ALL,
        guards=guards.GuardSettings(allow_crd_prune=True, allow_many=True),
    )
)


def complete(application: dict) -> list[objects.Object]:
    """Return an application's objects, with what they cannot be without, each once."""
    made: dict[tuple, objects.Object] = {}
    for (maker, name), value in application.items():
        needed = {inside: space, widget: definition}.get(maker)
        for one in ([needed(name, value)] if needed else []) + [maker(name, value)]:
            meta = one["metadata"]
            made[one["kind"], meta.get("namespace", ""), meta["name"]] = one
    return list(made.values())


def written(application: dict) -> list[manifests.Manifest]:
    return [
        manifests.Manifest(copy.deepcopy(obj), manifests.Source("f"))
        for obj in complete(application)
    ]


ALLOTTED = ("clusterIP", "clusterIPs")


def content(view: views.View) -> dict[str, objects.Json]:
    """Return what there is, without what differs in every cluster and the records."""
    found = {}
    for resource in RESOURCES:
        for obj in view.each(resource) if view.catalogue.named(resource) else ():
            meta = obj["metadata"]
            name = f"{obj['kind']} {meta.get('namespace', '')}/{meta['name']}"
            if "shop-v" in name or "core.understudy.dev" in name:
                continue
            body = {k: v for k, v in obj.items() if k not in ("metadata", "status", "spec")}
            spec = {k: v for k, v in (obj.get("spec") or {}).items() if k not in ALLOTTED}
            owned = {
                (entry["manager"], entry["operation"]): entry["fieldsV1"]
                for entry in meta.get("managedFields") or ()
                if not entry.get("subresource")
            }
            marks = meta.get("labels"), meta.get("annotations"), meta.get("finalizers")
            found[name] = [body, spec, marks, owned, bool(meta.get("deletionTimestamp"))]
    return found


class Living(clocks.ManualClock):
    """The time of a cluster that lives while somebody waits: its controllers run, then it passes."""

    def __init__(self, view: views.View) -> None:
        super().__init__(view.now())
        self.rehearsal = running.Rehearsal(view, "all", assembly.REHEARSED, self)
        self.rehearsal.rest()

    async def sleep(self, seconds: float) -> None:
        self.rehearsal.rest()
        await super().sleep(seconds)


class Keeping(assembly.ForkingStages):
    """Keeps the last stage's content, to be compared with what was really delivered."""

    def __init__(self, view: views.View) -> None:
        super().__init__(view)
        self.rehearsed: dict[str, objects.Json] = {}

    async def __call__(self, read) -> assembly.ForkStage:
        stage = await super().__call__(read)
        closing = stage.close

        async def close() -> None:
            self.rehearsed = content(stage._view)
            await closing()

        stage.close = close
        return stage


foreigners = st.sets(st.tuples(st.sampled_from([config, secret, deployment]), names), max_size=4)
meddling = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")), max_size=2)


@hypothesis.settings(max_examples=30, deadline=None)
@hypothesis.given(st.lists(applications, min_size=1, max_size=3), foreigners, meddling)
def test_what_is_delivered_is_what_was_rehearsed(
    history: list[dict], foreign: set, meddled: list
) -> None:
    """For random applications over random earlier ones and among others' objects.

    Definitions and their objects, namespaces and what is in them, hooks, re-creations, adoption,
    objects that are to be kept, and fields that somebody changed in between.
    """

    async def run() -> None:
        view = views.new_view()
        for maker, name in sorted(foreign, key=str):
            view.create(RESOURCE_OF[maker], maker(name, "f"), "default")
        stages, clock = Keeping(view), Living(view)
        face = deliveries.Deliveries(
            assembly.ViewClient(view), stages, clock=clock, idents=ids.SeededIds(1)
        )
        for application in history:
            plan = await face.plan(OWNER, written(application), OPTIONS)
            again = await face.plan(OWNER, written(application), OPTIONS)
            assert plan.digest == again.digest
            rehearsed = stages.rehearsed
            if plan.blocked:
                before = content(view)
                try:
                    await face.deliver(OWNER, written(application), OPTIONS)
                except errors.BlockedError:
                    assert content(view) == before
                    continue
                raise AssertionError("what is blocked is not delivered")
            await face.deliver(OWNER, written(application), OPTIONS)
            clock.rehearsal.rest()
            assert content(view) == rehearsed
            after = await face.plan(OWNER, written(application), OPTIONS)
            assert not after.has_changes
            for name, value in meddled:
                if view.find("configmaps", "default", name) is not None:
                    view.patch("configmaps", name, {"data": {"v": value}}, "default")
            clock.rehearsal.rest()
        plan = await face.plan_removal(OWNER, OPTIONS) if tracked(view) else None
        if plan is not None:
            rehearsed = stages.rehearsed
            await face.remove(OWNER, OPTIONS)
            clock.rehearsal.rest()
            assert content(view) == rehearsed
            assert not tracked(view)
        clock.rehearsal.close()

    asyncio.run(run())


RESOURCE_OF = {config: "configmaps", secret: "secrets", deployment: "deployments.apps"}


def tracked(view: views.View) -> bool:
    """Whether the application is known."""
    kind = "resourcetrackers.core.understudy.dev"
    return view.catalogue.named(kind) is not None and any(view.each(kind))
