"""Kill a delivery after any write: the next one converges, and nothing is left behind."""

from __future__ import annotations

import asyncio

import pytest
from tests.unit.delivery import conftest as c

from understudy.delivery import deliveries
from understudy.kube import objects

V1 = (
    c.namespace("shop"),
    c.definition(),
    c.widget("w1", "shop"),
    c.config("keep", "shop", a="1"),
    c.config("gone", "shop", a="1"),
    c.secret("s", "shop", password="one"),
    c.deployment("web", "shop"),
)
V2 = (
    c.namespace("shop"),
    c.definition(),
    c.widget("w1", "shop", size=3),
    c.config("keep", "shop", a="2"),
    c.config("new", "shop", a="1"),
    c.secret("s", "shop", password="two"),
    c.deployment("web", "shop", image="web:2"),
)
HERE = (
    c.definition(),
    c.widget("w1"),
    c.config("keep", a="1"),
    c.secret("s", password="one"),
    c.deployment("web"),
)
FOREIGN = c.config("not-ours", "default", a="b")


def state(cluster: c.Cluster) -> dict[str, objects.Json]:
    """Return all that a person would compare: what is there, of which content."""
    found = {}
    for resource in (
        "configmaps", "secrets", "deployments.apps", "namespaces", "widgets.example.com",
        "customresourcedefinitions.apiextensions.k8s.io",
    ):  # fmt: skip
        for obj in cluster.view.each(resource):
            name = objects.name_of(obj)
            if name.startswith("shop-v") or name == "kube-root-ca.crt":
                continue
            content = obj.get("spec") or obj.get("data")
            found[f"{obj['kind']} {objects.namespace_of(obj)}/{name}"] = content
    return found


def records(cluster: c.Cluster) -> dict[str, list[str]]:
    return {
        resource: [
            objects.name_of(obj)
            for obj in cluster.view.each(resource)
            if not objects.name_of(obj).startswith(("node-", "kube-"))
        ]
        for resource in (
            "applications.core.understudy.dev", "resourcetrackers.core.understudy.dev",
            "leases.coordination.k8s.io",
        )
    }  # fmt: skip


async def killed(
    cluster: c.Cluster, given: tuple[objects.Object, ...], after: int, *, before: bool = False
) -> c.Mortal:
    """Deliver with a process that dies after (or before) a write."""
    client = c.Mortal(cluster.client, after, before=before)
    try:
        await cluster.deliver(*given, client=client, wait=False)
    except c.DiedError:
        assert client.dead
    return client


async def writes_of(given: tuple[objects.Object, ...], *first: objects.Object) -> int:
    cluster = c.Cluster(c.views.new_view(), None)
    if first:
        await cluster.deliver(*first, wait=False)
    client = await killed(cluster, given, 10_000)
    return len(client.writes)


async def fresh() -> c.Cluster:
    view = c.views.new_view()
    cluster = c.Cluster(view, c.running.start(view, "all", c.QUICK))
    await cluster.client.create("configmaps", FOREIGN)
    return cluster


@pytest.fixture(scope="module")
def clean() -> dict[str, objects.Json]:
    """What undisturbed deliveries of V1 and then V2 leave."""

    async def run() -> dict[str, objects.Json]:
        cluster = await fresh()
        await cluster.deliver(*V1, wait=False)
        await cluster.deliver(*V2, wait=False)
        assert cluster.running is not None
        await cluster.running.stop()
        return state(cluster)

    return asyncio.run(run())


@pytest.mark.parametrize("before", [False, True], ids=["after", "before"])
async def test_a_first_delivery_killed_anywhere_is_completed_by_the_next(
    clean: dict[str, objects.Json], before: bool
) -> None:
    total = await writes_of(V1)
    assert total > 15
    for n in range(total):
        cluster = await fresh()
        client = await killed(cluster, V1, n + (0 if before else 1), before=before)
        assert client.dead, f"nothing died at write {n + 1} of {total}: {client.writes}"
        await cluster.deliver(*V2, wait=False, force_unlock=True)
        assert state(cluster) == clean, f"killed {'before' if before else 'after'} write {n + 1}"
        assert cluster.running is not None
        await cluster.running.stop()


@pytest.mark.parametrize("before", [False, True], ids=["after", "before"])
async def test_an_upgrade_killed_anywhere_is_completed_by_the_next(
    clean: dict[str, objects.Json], before: bool
) -> None:
    total = await writes_of(V2, *V1)
    assert total > 10
    for n in range(total):
        cluster = await fresh()
        await cluster.deliver(*V1, wait=False)
        await killed(cluster, V2, n + (0 if before else 1), before=before)
        await cluster.deliver(*V2, wait=False, force_unlock=True)
        assert state(cluster) == clean, f"killed {'before' if before else 'after'} write {n + 1}"
        assert cluster.running is not None
        await cluster.running.stop()


async def test_an_upgrade_killed_anywhere_can_be_undone_by_the_old_input() -> None:
    """A half-delivered B, then A again: B's objects go, A's stay."""
    total = await writes_of(V2, *V1)
    for n in range(total):
        cluster = await fresh()
        await cluster.deliver(*V1, wait=False)
        wanted = state(cluster)
        await killed(cluster, V2, n + 1)
        await cluster.deliver(*V1, wait=False, force_unlock=True)
        assert state(cluster) == wanted, f"killed after write {n + 1}"
        assert cluster.running is not None
        await cluster.running.stop()


async def test_a_removal_killed_anywhere_is_completed_by_the_next() -> None:
    counting = await fresh()
    await counting.deliver(*HERE, wait=False)
    client = c.Mortal(counting.client, 10_000)
    await counting.deliveries(client).remove(c.OWNER, c.options())
    assert counting.running is not None
    await counting.running.stop()
    for n in range(len(client.writes)):
        cluster = await fresh()
        empty = state(cluster)
        await cluster.deliver(*HERE, wait=False)
        mortal = c.Mortal(cluster.client, n + 1)
        try:
            await cluster.deliveries(mortal).remove(c.OWNER, c.options())
        except c.DiedError:
            assert mortal.dead
        try:
            await cluster.remove(force_unlock=True)
        except deliveries.errors.NoSuchRevisionError:
            assert n + 1 >= len(client.writes) - 1
        ours = {k: v for k, v in state(cluster).items() if "understudy.dev" not in k}
        assert ours == empty, f"killed after write {n + 1}: {client.writes[n]}"
        assert not any(records(cluster).values()), f"killed after write {n + 1}"
        assert cluster.running is not None
        await cluster.running.stop()


async def test_a_delivery_into_a_namespace_of_its_own_killed_anywhere_is_completed() -> None:
    """The namespace comes before lock and records, because they live in it."""
    own = c.targets.Owner("shop", "shop")
    counting = await fresh()
    client = c.Mortal(counting.client, 10_000)
    await counting.deliver(*V1, owner=own, client=client, wait=False)
    wanted = state(counting)
    assert counting.running is not None
    await counting.running.stop()
    for n in range(len(client.writes)):
        cluster = await fresh()
        mortal = c.Mortal(cluster.client, n + 1)
        try:
            await cluster.deliver(*V1, owner=own, client=mortal, wait=False)
        except c.DiedError:
            assert mortal.dead
        await cluster.deliver(*V1, owner=own, wait=False, force_unlock=True)
        assert state(cluster) == wanted, f"killed after write {n + 1}: {client.writes[n]}"
        assert cluster.running is not None
        await cluster.running.stop()
