"""Properties of deliveries, for random applications and random histories."""

from __future__ import annotations

import asyncio
import copy
import random

import hypothesis
from hypothesis import strategies as st

from understudy import assembly
from understudy.aio import ids
from understudy.client import protocol
from understudy.delivery import deliveries, dispatch, manifests, ordering, refs, targets, trackers
from understudy.kapi import views
from understudy.kube import objects

OWNER = targets.Owner("shop", "default")
KINDS = (
    ("", "ConfigMap"), ("", "Secret"), ("apps", "Deployment"), ("", "Service"), ("", "Namespace"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"), ("example.com", "Widget"),
)  # fmt: skip
SETTINGS = deliveries.Options(dispatch=dispatch.DispatchSettings(wait=False))

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


def config(name: str, value: str) -> objects.Object:
    meta: objects.Object = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"v": value}}


def secret(name: str, value: str) -> objects.Object:
    return {**config(name, value), "kind": "Secret", "data": {"v": f"{ord(value):04}"}}


def service(name: str, value: str) -> objects.Object:
    meta: objects.Object = {"name": name, "namespace": "default"}
    spec = {"selector": {"v": value}, "ports": [{"port": 80 + ord(value)}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}


def deployment(name: str, value: str) -> objects.Object:
    meta: objects.Object = {"name": name, "namespace": "default"}
    labels = {"app": name}
    containers = [{"name": "c", "image": f"i:{value}", "env": [{"name": "A", "value": value}]}]
    template = {"metadata": {"labels": labels}, "spec": {"containers": containers}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}


makers = st.sampled_from([config, secret, service, deployment])
applications = st.dictionaries(
    st.tuples(makers, st.sampled_from("abc")), st.sampled_from("xyz"), min_size=1, max_size=6
)


def written(application: dict) -> list[manifests.Manifest]:
    made = [maker(name, value) for (maker, name), value in application.items()]
    return [manifests.Manifest(copy.deepcopy(obj), manifests.Source("f")) for obj in made]


def content(view: views.View) -> dict[str, objects.Json]:
    """Return what an application owns, without what differs in every cluster."""
    found = {}
    for resource in ("configmaps", "secrets", "services", "deployments.apps"):
        for obj in view.each(resource, "default"):
            name = objects.name_of(obj)
            if name.startswith("shop-v"):
                continue
            spec = obj.get("spec") or {}
            kept = {k: v for k, v in spec.items() if k not in ("clusterIP", "clusterIPs")}
            labels = objects.labels_of(obj)
            found[f"{obj['kind']}/{name}"] = [obj.get("data"), kept, labels]
    return found


class Keeping(assembly.ForkingStages):
    """Keeps the last stage's content, to be compared with what was really delivered."""

    def __init__(self, view: views.View) -> None:
        super().__init__(view, controllers="none")
        self.rehearsed: dict[str, objects.Json] = {}

    async def __call__(self, read) -> assembly.ForkStage:
        stage = await super().__call__(read)
        closing = stage.close

        async def close() -> None:
            self.rehearsed = content(stage._view)
            await closing()

        stage.close = close
        return stage


@hypothesis.settings(max_examples=25, deadline=None)
@hypothesis.given(
    st.lists(applications, min_size=1, max_size=3), st.sets(st.sampled_from("abc"), max_size=2)
)
def test_what_is_delivered_is_what_was_rehearsed(history: list[dict], foreign: set[str]) -> None:
    """For random applications, over random earlier ones, beside strangers of other names."""

    async def run() -> None:
        view = views.new_view()
        for name in foreign:
            view.create("configmaps", config(f"foreign-{name}", "f"), "default")
        stages = Keeping(view)
        face = deliveries.Deliveries(assembly.ViewClient(view), stages, idents=ids.SeededIds(1))
        for application in history:
            plan = await face.plan(OWNER, written(application), SETTINGS)
            again = await face.plan(OWNER, written(application), SETTINGS)
            assert plan.digest == again.digest
            rehearsed = stages.rehearsed
            await face.deliver(OWNER, written(application), SETTINGS)
            assert content(view) == rehearsed
            after = await face.plan(OWNER, written(application), SETTINGS)
            assert not after.has_changes
        mine = {
            f"{maker(name, value)['kind']}/{name}" for (maker, name), value in application.items()
        }
        strangers = {f"ConfigMap/foreign-{name}" for name in foreign}
        assert set(content(view)) == mine | strangers | {"Service/kubernetes"} & set(
            content(view)
        ) | ({"ConfigMap/kube-root-ca.crt"} & set(content(view)))
        await face.remove(OWNER, SETTINGS)
        assert {k for k in content(view) if k not in strangers} <= {
            "Service/kubernetes", "ConfigMap/kube-root-ca.crt",
        }  # fmt: skip

    asyncio.run(run())
