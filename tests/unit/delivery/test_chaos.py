"""Dying, rehearsed: what the next run makes of what a killed delivery left."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
from tests.unit.delivery import conftest as c, crashes

from understudy.client import protocol
from understudy.delivery import chaos, courses, plans, render, stage as stages
from understudy.kube import objects

pytestmark = pytest.mark.timeout(300)  # A test is of many deliveries; the machine may be busy.


def wrong(plan: plans.Plan) -> dict[int, tuple[str, ...]]:
    assert plan.chaos is not None
    return {death.writes: death.wrong for death in plan.chaos.deaths if death.wrong}


@pytest.mark.parametrize("setting", ["http", "following"])
async def test_every_death_of_a_delivery_is_put_right(cluster: c.Cluster) -> None:
    await cluster.begin(*crashes.small("1")[1:])  # No hook: nothing runs it in a parent.
    plan = await cluster.plan(*crashes.small("2"), chaos=True, recreate=True)
    assert wrong(plan) == {}
    assert not plan.is_stopped
    assert plan.chaos is not None
    written = [line for line in plan.journal if line.cause in ("you", "hook", "records")]
    assert len(plan.chaos.deaths) == len(written) + 1
    assert plan.chaos.deaths[0].last == ""
    assert plan.digest == (await cluster.plan(*crashes.small("2"), recreate=True)).digest
    assert cluster.names("configmaps")[:1] == ["adopted"], "nothing was done to the cluster"


async def test_every_death_of_a_larger_delivery_a_rollback_and_a_removal_is_put_right(
    cluster: c.Cluster,
) -> None:
    one = (*crashes.large("1"), c.deployment("web", "shop"), c.service("web", "shop"))
    two = (*one[:-2], c.deployment("web", "shop", image="web:2"), c.service("api", "shop"))
    dying = c.options(chaos=True, recreate=True)
    face = cluster.deliveries()
    await cluster.deliver(*one, wait=False)
    assert wrong(await face.plan(c.OWNER, c.written(*two), dying)) == {}
    await cluster.deliver(*two, wait=False, recreate=True)
    assert wrong(await face.plan_rollback(c.OWNER, "", dying)) == {}
    assert wrong(await face.plan_removal(c.OWNER, dying)) == {}


async def died(cluster: c.Cluster, run: chaos.Run) -> chaos.Chaos:
    stage = await cluster.make_stage(_unread)
    try:
        await stage.begin()
        return await chaos.rehearse(c.OWNER, stage, run)
    finally:
        await stage.close()


async def _unread() -> stages.LiveCopy:
    raise AssertionError("a fork reads nothing")


async def test_what_a_course_leaves_behind_is_told(still: c.Cluster) -> None:
    """A course that forgets what it made: each run makes another."""
    serial = itertools.count(1)

    async def run(_stage: stages.Stage, client: protocol.Client) -> courses.Course:
        marked = c.OWNER.marked(c.config(f"made-{next(serial)}"))
        await client.create("configmaps", marked)
        return courses.Course()

    found = await died(still, run)
    assert not found.converges
    assert [(death.writes, death.last) for death in found.deaths] == [
        (0, ""), (1, "create configmaps default/made-2"),
    ]  # fmt: skip
    assert "ConfigMap default/made-3 is left behind" in found.deaths[1].wrong


async def test_what_a_course_takes_from_others_is_told(still: c.Cluster) -> None:
    """A course that deletes whatever is there before it makes its own, and its own another time."""
    await still.client.create("configmaps", c.config("theirs"))

    async def run(_stage: stages.Stage, client: protocol.Client) -> courses.Course:
        found = await client.list("configmaps", namespace="default")
        for obj in found.items:
            if objects.name_of(obj) == "ours":
                await client.delete("configmaps", "theirs", namespace="default")
        await client.apply(
            "configmaps", c.OWNER.marked(c.config("ours")), field_manager=c.OWNER.manager
        )
        return courses.Course()

    found = await died(still, run)
    assert [death.wrong for death in found.deaths] == [
        (), ("ConfigMap default/theirs was deleted",),
    ]  # fmt: skip


async def test_deaths_are_shown_as_a_table_and_as_data(still: c.Cluster) -> None:
    plan = await still.plan(c.config("a"), chaos=True)
    assert plan.chaos is not None
    lines = list(render.plan(plan, still.view.now()))
    head = next(number for number, line in enumerate(lines) if line.startswith("Killed after"))
    assert lines[head].split("  ")[0] == "Killed after"
    assert lines[head + 1].split() == ["0", "converges", "-"]
    assert lines[-5].split()[1:] == ["converges", "patch", "applicationrevisions.core.understudy.dev",
                                     "default/shop-v1"]  # fmt: skip
    assert "Deaths: all converge" in lines
    assert plan.as_dict()["chaos"]["converges"] is True
    death = chaos.Death(writes=0, last="", wrong=("x is left behind", "y was deleted"))
    bad = chaos.Chaos(deaths=(death,))
    worse = dataclasses.replace(plan, chaos=bad)
    assert worse.is_stopped
    shown = "\n".join(render.plan(worse, still.view.now()))
    assert "0             x is left behind  -" in shown
    assert "^             y was deleted     ^" in shown
    assert "Deaths: 1 of 1 do not converge" in shown
