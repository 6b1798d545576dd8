"""Properties of deliveries, for random applications and random histories."""

from __future__ import annotations

import asyncio
import random

import hypothesis
import shops
from hypothesis import strategies as st

from understudy.client import protocol
from understudy.delivery import errors, manifests, ordering, refs, targets, trackers
from understudy.kube import objects

OWNER = shops.OWNER
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

applications = st.dictionaries(
    st.tuples(st.sampled_from(shops.MAKERS), st.sampled_from("abc")),
    st.sampled_from("xyz"),
    min_size=1,
    max_size=8,
)
foreigners = st.sets(st.tuples(st.sampled_from(shops.FOREIGN), names), max_size=4)
drifts = st.lists(
    st.tuples(st.sampled_from(shops.DRIFTS), st.sampled_from("abc"), st.sampled_from("xyz")),
    max_size=3,
)
histories = st.lists(st.tuples(applications, drifts), min_size=1, max_size=3)
LAWS = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])


async def live(shop: shops.Shop, history: list[tuple[dict, list]], foreign: set) -> None:
    """Let an application live in a cluster, and hold every delivery of it to the laws."""
    shop.settle(foreign)
    delivered: list[dict] = []
    for application, drift in history:
        if await change(shop, application):
            delivered.append(application)
        shop.meddle(drift)
    if delivered:
        await go_back(shop, delivered)
    if shop.is_known:
        await remove(shop)


async def change(shop: shops.Shop, application: dict) -> bool:
    """Deliver; returns whether it could be. Twice the same is once, and told alike twice."""
    given = shops.written(application)
    plan = await shop.face.plan(OWNER, given, shops.OPTIONS)
    rehearsed = shop.rehearsed
    if plan.blocked:
        before = shop.everything()
        try:
            await shop.face.deliver(OWNER, given, shops.OPTIONS)
        except errors.BlockedError:
            assert shop.everything() == before, "what is blocked writes nothing"
            return False
        raise AssertionError("what is blocked is not delivered")
    done = await shop.face.deliver(OWNER, given, shops.OPTIONS)
    assert done.plan.digest == plan.digest
    shop.rest()
    assert shop.content() == rehearsed, "what is delivered is what was rehearsed"
    count, revisions = shop.view.change_count, shop.revisions()
    again = await shop.face.deliver(OWNER, given, shops.OPTIONS)
    assert not again.changed
    assert not again.plan.has_changes
    assert (shop.view.change_count, shop.revisions()) == (count, revisions)
    return True


async def go_back(shop: shops.Shop, delivered: list[dict]) -> None:
    """Roll back: what was delivered before is what there is again."""
    newest = shops.told(delivered[-1])
    earlier = [one for one in delivered if shops.told(one) != newest]
    try:
        plan = await shop.face.plan_rollback(OWNER, "", shops.OPTIONS)
    except errors.NoSuchRevisionError:
        assert not earlier
        return
    rehearsed = shop.rehearsed
    if plan.blocked:
        return
    await shop.face.rollback(OWNER, "", shops.OPTIONS)
    shop.rest()
    assert shop.content() == rehearsed
    after = await shop.face.plan(OWNER, shops.written(earlier[-1]), shops.OPTIONS)
    assert not after.has_changes
    assert not after.is_new, "it is a revision like the one that was"


async def remove(shop: shops.Shop) -> None:
    """Delete the application: all that is its own goes, and nothing else."""
    others = shop.strangers()
    plan = await shop.face.plan_removal(OWNER, shops.OPTIONS)
    rehearsed = shop.rehearsed
    assert not plan.blocked
    await shop.face.remove(OWNER, shops.OPTIONS)
    shop.rest()
    assert shop.content() == rehearsed
    assert not shop.is_known
    assert not shop.own(), "nothing of it is left"
    left = shop.strangers()
    assert {name: left.get(name) for name in others} == others, "nothing else has gone"


@hypothesis.settings(LAWS, max_examples=14)
@hypothesis.given(histories, foreigners)
def test_deliveries_keep_their_laws(history: list, foreign: set) -> None:
    """For random applications over random earlier ones, among others' objects, and with drift."""

    async def run() -> None:
        async with shops.in_process() as shop:
            await live(shop, history, foreign)

    asyncio.run(run())


@hypothesis.settings(LAWS, max_examples=4)
@hypothesis.given(histories, foreigners)
def test_deliveries_over_http_keep_their_laws(history: list, foreign: set) -> None:
    """The same with a server, whose state is read over HTTP for each rehearsal."""

    async def run() -> None:
        async with shops.over_http() as shop:
            await live(shop, history, foreign)

    asyncio.run(run())


@hypothesis.settings(LAWS, max_examples=2)
@hypothesis.given(
    st.lists(
        st.dictionaries(
            st.tuples(st.sampled_from([shops.kservice, shops.config]), st.sampled_from("ab")),
            st.sampled_from("xyz"),
            min_size=1,
        ),
        min_size=2,
        max_size=2,
    )
)
def test_deliveries_of_knative_services_keep_their_laws(history: list) -> None:
    async def run() -> None:
        async with shops.in_process(knative=True) as shop:
            await live(shop, [(application, []) for application in history], set())

    asyncio.run(run())


@hypothesis.settings(LAWS, max_examples=6)
@hypothesis.given(histories, foreigners)
def test_a_fork_and_a_copy_tell_the_same(history: list, foreign: set) -> None:
    """Whether a cluster is forked or read from afar, its plans have the same digest."""

    async def run() -> None:
        async with shops.in_process() as shop:
            shop.settle(foreign)
            for application, drift in history:
                given = shops.written(application)
                near = await shop.face.plan(OWNER, given, shops.OPTIONS)
                far = await shop.from_afar().plan(OWNER, given, shops.OPTIONS)
                assert near.body() == far.body()
                if not near.blocked:
                    await shop.face.deliver(OWNER, given, shops.OPTIONS)
                shop.meddle(drift)

    asyncio.run(run())
