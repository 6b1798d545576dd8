"""The reactor: one queue, timers, failures; live and to quiescence."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from understudy.aio import clocks, ids
from understudy.controllers import changes, reactor, registry, running
from understudy.controllers.runtime import settings
from understudy.kapi import views
from understudy.kube import objects, statuses

SIMULATED = settings.Runtime(leases=False)


class Counting:
    """Reconciles ConfigMaps by writing down their keys; does what `answers` say."""

    watched = ("configmaps",)

    def __init__(self, name: str = "counting", answers=()) -> None:
        self.name = name
        self.seen: list[reactor.Key] = []
        self.answers = list(answers)

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        queue.add(change.key)

    def reconcile(self, key: reactor.Key):
        self.seen.append(key)
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def clock() -> clocks.ManualClock:
    return clocks.ManualClock()


@pytest.fixture
def view(clock):
    return views.new_view(clock=clock, ids=ids.SeededIds(1))


def made(view, clock, *controllers):
    built = reactor.Reactor(view, clock, lambda write: None)
    for controller in controllers:
        built.add(controller)
    built.attach()
    return built


def config(name: str, **data: str) -> objects.Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def test_a_key_is_reconciled_once_however_often_it_changed(view, clock) -> None:
    counting = Counting()
    built = made(view, clock, counting)
    view.create("configmaps", config("a"), "default")
    for number in range(5):
        view.patch("configmaps", "a", {"data": {"n": str(number)}}, "default")
    built.run_ready(100)
    assert counting.seen == [("default", "a")]


def test_controllers_take_turns_in_the_order_of_events(view, clock) -> None:
    order = []

    class Noting(Counting):
        def reconcile(self, key):
            order.append((self.name, key[1]))

    built = made(view, clock, Noting("one"), Noting("two"))
    view.create("configmaps", config("b"), "default")
    view.create("configmaps", config("a"), "default")
    built.run_ready(100)
    assert order == [("one", "b"), ("two", "b"), ("one", "a"), ("two", "a")]


def test_a_refusal_is_tried_again_later_and_later_and_reported_meanwhile(view, clock) -> None:
    refusal = statuses.ConflictError("the object has been modified")
    counting = Counting(answers=[refusal, refusal])
    built = made(view, clock, counting)
    view.create("configmaps", config("a"), "default")
    built.run_ready(100)
    assert [(one.retries, one.message) for one in built.failures] == [(1, refusal.message)]
    assert built.next_due_s(idle=False) == pytest.approx(0.005)
    assert running.rest(built, clock, limit_s=10, steps_max=100) == "settled"
    assert len(counting.seen) == 3
    assert built.failures == []
    assert clock.monotonic() == pytest.approx(0.015)


def test_a_defect_in_a_controller_does_not_end_the_reactor(view, clock, caplog) -> None:
    broken, sound = Counting("broken", [ZeroDivisionError("boom")] * 99), Counting("sound")
    built = made(view, clock, broken, sound)
    view.create("configmaps", config("a"), "default")
    assert running.rest(built, clock, limit_s=60, steps_max=1000) == "settled"
    assert sound.seen == [("default", "a")]
    assert [one.controller for one in built.failures] == ["broken"]
    assert "boom" in caplog.text


def test_what_fails_for_good_does_not_hold_up_a_rehearsal(view, clock) -> None:
    counting = Counting(answers=[statuses.ForbiddenError("no")] * 1000)
    built = made(view, clock, counting)
    view.create("configmaps", config("a"), "default")
    assert running.rest(built, clock, limit_s=900, steps_max=1000) == "settled"
    assert clock.monotonic() < 2
    assert built.failures[0].message == "no"


def test_idle_work_is_not_waited_for(view, clock) -> None:
    counting = Counting(answers=[reactor.Idle(30.0)] * 100)
    built = made(view, clock, counting)
    view.create("configmaps", config("a"), "default")
    assert running.rest(built, clock, limit_s=900, steps_max=100) == "settled"
    assert clock.monotonic() == 0
    running.advance(built, clock, 100.0)
    assert len(counting.seen) == 4


def test_a_rehearsal_gives_up_at_its_limits_and_says_which(view, clock) -> None:
    slow = made(view, clock, Counting(answers=[100.0] * 50))
    view.create("configmaps", config("a"), "default")
    assert running.rest(slow, clock, limit_s=500, steps_max=1000) == "time limit"
    assert slow.waiting()[0][:2] == ("counting", ("default", "a"))
    busy = made(view, clock, Counting(answers=[0.001] * 5000))
    view.create("configmaps", config("b"), "default")
    assert running.rest(busy, clock, limit_s=500, steps_max=50) == "step limit"


def test_the_latest_answer_decides_when_to_look_again(view, clock) -> None:
    counting = Counting(answers=[600.0, None])
    built = made(view, clock, counting)
    view.create("configmaps", config("a"), "default")
    built.run_ready(10)
    view.patch("configmaps", "a", {"data": {"x": "y"}}, "default")
    built.run_ready(10)
    assert built.next_due_s(idle=True) is None


def test_timers_due_together_go_off_one_by_one(view, clock) -> None:
    order: list[str] = []

    class Waking(Counting):
        def observe(self, change, queue):
            if change.type == "ADDED":
                queue.add_after(change.key, 5.0)

        def reconcile(self, key):
            order.append(f"wake {key[1]}")
            view.patch("configmaps", key[1], {"data": {"woken": "yes"}}, key[0])

    class Following(Counting):
        def observe(self, change, queue):
            if change.type == "MODIFIED":
                queue.add(("all", ""))

        def reconcile(self, key):
            order.append("follow")

    built = made(view, clock, Waking("waking"), Following("following"))
    for name in ("a", "b"):
        view.create("configmaps", config(name), "default")
    running.rest(built, clock, limit_s=10, steps_max=100)
    assert order == ["wake a", "follow", "wake b", "follow"]


def test_a_fork_is_settled_by_what_was_changed_in_it(view, clock) -> None:
    view.create("configmaps", config("old"), "default")
    view.create("configmaps", config("gone"), "default")
    fork = view.fork("trial")
    fork.create("configmaps", config("new"), "default")
    fork.delete("configmaps", "gone", "default")
    counting = Counting()
    built = made(fork, clock, counting)
    built.load_changes()
    built.run_ready(100)
    assert counting.seen == [("default", "new"), ("default", "gone")]


def test_an_object_replaced_in_a_fork_is_seen_to_go_and_to_come(view, clock) -> None:
    view.create("configmaps", config("a"), "default")
    fork = view.fork("trial")
    fork.delete("configmaps", "a", "default")
    fork.create("configmaps", config("a"), "default")
    seen = []

    class Watching(Counting):
        def observe(self, change, queue):
            seen.append(change.type)

    made(fork, clock, Watching()).load_changes()
    assert seen == ["DELETED", "ADDED"]


def test_settling_a_fork_leaves_its_parent_alone_and_stamps_simulated_time(view, clock) -> None:
    running.settle(view, "all", SIMULATED, clock)
    fork = view.fork("trial")
    fork.create("deployments.apps", deployment(2), "default")
    before = view.change_count
    later = clocks.ManualClock(view.now())
    settled = running.settle(fork, "all", SIMULATED, later)
    assert settled.is_settled
    assert settled.simulated_s == pytest.approx(0.5)
    assert view.change_count == before
    pod = next(fork.each("pods", "default"))
    assert pod["status"]["phase"] == "Running"
    assert fork.get("deployments.apps", "web", "default")["status"]["availableReplicas"] == 2
    assert fork.clock is clock


def test_the_same_history_gives_the_same_writes() -> None:
    def journal():
        clock = clocks.ManualClock()
        view = views.new_view(clock=clock, ids=ids.SeededIds(7))
        view.create("deployments.apps", deployment(3), "default")
        return running.settle(view, "all", SIMULATED, clock).journal

    assert journal() == journal()


def test_a_rehearsal_goes_on_where_it_rested(view, clock) -> None:
    running.settle(view, "all", SIMULATED, clock)
    fork = view.fork("trial")
    rehearsal = running.Rehearsal(fork, "all", SIMULATED, clock)
    fork.create("deployments.apps", deployment(1), "default")
    first = rehearsal.rest()
    assert first.is_settled
    assert rehearsal.rest().steps == 0
    fork.patch("deployments.apps", "web", {"spec": {"replicas": 2}}, "default")
    second = rehearsal.rest()
    assert {write.ref for write in second.journal} >= {"replicasets.apps", "pods"}
    assert fork.get("deployments.apps", "web", "default")["status"]["readyReplicas"] == 2
    rehearsal.close()
    fork.patch("deployments.apps", "web", {"spec": {"replicas": 1}}, "default")
    assert rehearsal.rest().steps == 0


def test_nothing_changed_costs_nothing(view, clock) -> None:
    running.settle(view, "all", SIMULATED, clock)
    settled = running.settle(view.fork("trial"), "all", SIMULATED, clock)
    assert (settled.steps, settled.journal, settled.simulated_s) == (0, (), 0.0)


def deployment(replicas: int) -> objects.Object:
    template = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "c", "image": "run:v1"}]},
    }
    spec = {
        "replicas": replicas,
        "selector": {"matchLabels": {"app": "web"}},
        "template": template,
    }
    meta = {"name": "web"}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("none", []),
        ("deployment-controller,job-controller", ["deployment-controller", "job-controller"]),
        (["job-controller"], ["job-controller"]),
        ("none,job-controller", []),
        ("cronjob,podgc", ["cronjob-controller", "pod-garbage-collector-controller"]),
    ],
)
def test_controllers_are_chosen_by_kubernetes_names(choice, expected) -> None:
    assert registry.choose(choice) == expected


def test_all_but_one_can_be_chosen() -> None:
    everyone = registry.choose("all")
    assert "kube-scheduler" in everyone
    assert registry.choose("*,-kube-scheduler") == [n for n in everyone if n != "kube-scheduler"]
    assert registry.choose("-kube-scheduler") == registry.choose("*,-kube-scheduler")
    assert registry.choose("*,-nodeipam,-csrsigning") == everyone


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown name .deploy..*deployment-controller"):
        registry.choose("deploy")


async def test_live_controllers_follow_writes_and_stop() -> None:
    view = views.new_view()
    quick = settings.Runtime(start_delay_s=0.01, leases=False)
    running_now = running.start(view, "all", quick)
    try:
        view.create("deployments.apps", deployment(2), "default")
        async with asyncio.timeout(10):
            while True:
                found = view.get("deployments.apps", "web", "default")
                if (found.get("status") or {}).get("availableReplicas") == 2:
                    break
                await asyncio.sleep(0.01)
    finally:
        await running_now.stop()
    await running_now.stop()
    steps = running_now.reactor.steps
    view.create("deployments.apps", deployment(1) | {"metadata": {"name": "b"}}, "default")
    await asyncio.sleep(0.02)
    assert running_now.reactor.steps == steps
    assert {write.controller for write in running_now.journal} >= {"deployment-controller"}


def test_others_go_on_while_a_reconcile_waits_for_its_write(view, clock) -> None:
    order = []

    class Slow(Counting):
        def reconcile(self, key):
            for turn in range(2):
                order.append((self.name, turn))
                yield

    class Quick(Counting):
        def reconcile(self, key):
            order.append((self.name, 0))

    built = made(view, clock, Slow("slow"), Quick("quick"))
    view.create("configmaps", config("a"), "default")
    built.run_ready(100)
    assert order == [("slow", 0), ("quick", 0), ("slow", 1)]


def test_what_comes_in_the_turns_of_a_reconcile_is_looked_at_after_it(view, clock) -> None:
    begun = []

    class Writing(Counting):
        def reconcile(self, key):
            begun.append(key)
            if len(begun) == 1:
                for number in range(3):
                    view.patch("configmaps", "a", {"data": {"n": str(number)}}, "default")
                    yield
            return None

    built = made(view, clock, Writing())
    view.create("configmaps", config("a"), "default")
    built.run_ready(100)
    assert len(begun) == 2
    assert not built.busy


def test_a_refusal_in_a_later_turn_is_tried_again_from_the_start(view, clock) -> None:
    class Refused(Counting):
        def reconcile(self, key):
            self.seen.append(key)
            yield
            if len(self.seen) == 1:
                raise statuses.ConflictError("the object has been modified")

    refused = Refused()
    built = made(view, clock, refused)
    view.create("configmaps", config("a"), "default")
    assert running.rest(built, clock, limit_s=10, steps_max=100) == "settled"
    assert len(refused.seen) == 2
    assert built.failures == []


def test_the_reference_names_every_controller() -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference" / "controllers.md").read_text()
    named = set(re.findall(r"`([a-z-]+-controller|kube-scheduler)`", page))
    assert named - registry.NOT_HERE == set(registry.FACTORIES)
