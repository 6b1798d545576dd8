"""How long a delivery will take, from what earlier ones waited for."""

from __future__ import annotations

import datetime as dt

from tests.unit.delivery import conftest as c

from understudy import assembly
from understudy.aio import clocks, ids
from understudy.controllers import running
from understudy.delivery import deliveries, estimates, leases, outcomes, refs, render
from understudy.kapi import views
from understudy.kube import health

DB, WEB, API = (refs.Ref("apps", "Deployment", "default", name) for name in ("db", "web", "api"))
OPTIONS = deliveries.Options(lease=leases.LeaseSettings(duration_s=10**6, renew_s=10**6))


def changed(ref: refs.Ref, step: int, op: outcomes.Op = outcomes.Op.CHANGE) -> outcomes.Outcome:
    current = health.Health(health.State.CURRENT, "", "")
    return outcomes.Outcome(ref=ref, op=op, api_version="apps/v1", step=step, health=current)


def record(**seconds: float) -> dict:
    names = {"db": DB, "web": WEB, "api": API}
    waits = [names[name].as_dict() | {"seconds": value} for name, value in seconds.items()]
    return {"status": {"waits": waits}}


def test_batches_add_up_and_the_slowest_of_each_is_the_critical_path() -> None:
    done = [changed(DB, 1), changed(WEB, 2), changed(API, 2)]
    found = estimates.of(done, [record(db=25.0, web=9.0, api=15.2)])
    assert found is not None
    assert found.path == ((DB, 25.0), (API, 15.2))
    assert str(found) == (
        "about 40 s; critical path: Deployment default/db 25 s -> Deployment default/api 15 s"
    )


def test_the_newest_record_of_an_object_counts() -> None:
    found = estimates.of([changed(DB, 1)], [record(db=100.0), record(web=1.0), record(db=30.0)])
    assert found is not None
    assert found.seconds == 30.0


def test_what_does_not_change_is_not_waited_for() -> None:
    done = [changed(DB, 1, outcomes.Op.UNCHANGED), changed(WEB, 2)]
    found = estimates.of(done, [record(db=100.0, web=300.0)])
    assert str(found) == "about 5 min; critical path: Deployment default/web 5 min"


def test_what_was_never_waited_for_is_counted() -> None:
    found = estimates.of([changed(DB, 1), changed(WEB, 2)], [record(db=3.0)])
    assert str(found).endswith("; 1 object was never waited for before")
    assert estimates.of([changed(WEB, 1)], [record(db=3.0)]) is None
    assert estimates.of([changed(DB, 1)], [record(db=0.2)]) is None, "nothing worth telling"


def test_only_the_longest_waits_are_recorded() -> None:
    waits = estimates.Waits(clocks.ManualClock())
    waits.seconds = {DB._replace(name=f"d{n}"): float(n) for n in range(600)}
    listed = waits.as_list()
    assert len(listed) == estimates.RECORDED_MAX
    assert (listed[0]["name"], listed[0]["seconds"]) == ("d599", 599.0)


class Slow(clocks.ManualClock):
    """The time of a cluster whose controllers run while somebody waits."""

    def __init__(self, view: views.View) -> None:
        super().__init__(view.now())
        self.rehearsal = running.Rehearsal(view, "all", assembly.REHEARSED, self)

    async def sleep(self, seconds: float) -> None:
        await super().sleep(20.0 if seconds < 10 else 0.0)
        if seconds < 10:
            self.rehearsal.rest()


async def test_a_plan_tells_what_earlier_deliveries_took() -> None:
    view = views.new_view()
    clock = Slow(view)
    face = deliveries.Deliveries(
        assembly.ViewClient(view),
        assembly.ForkingStages(view),
        clock=clock,
        idents=ids.SeededIds(1),
    )
    web = c.written(c.deployment("web", image="web:1"), c.config("a"))
    first = await face.plan(c.OWNER, web, OPTIONS)
    assert first.estimate is None, "nobody knows yet"
    await face.deliver(c.OWNER, web, OPTIONS)
    (recorded,) = view.each("applicationrevisions.core.understudy.dev")
    (wait,) = recorded["status"]["waits"]
    assert refs.from_dict(wait) == WEB
    newer = c.written(c.deployment("web", image="web:2"), c.config("a"))
    plan = await face.plan(c.OWNER, newer, OPTIONS)
    assert plan.estimate == estimates.Estimate(path=((WEB, wait["seconds"]),))
    told = list(render.plan(plan, dt.datetime.now(dt.UTC)))
    assert any(line.startswith(f"Takes about {wait['seconds']:.0f} s; critical") for line in told)
    assert plan.as_dict()["estimate"]["seconds"] == wait["seconds"]
    assert "estimate" not in plan.body(), "two people compare what would happen"
    unchanged = await face.plan(c.OWNER, web, OPTIONS)
    assert unchanged.estimate is None
    clock.rehearsal.close()
    view.close()
