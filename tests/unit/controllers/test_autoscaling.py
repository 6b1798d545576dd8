"""What autoscalers make of what pods say they use; what a cluster without metrics shows is recorded.

A rehearsal waits for an autoscaler only as long as it will do something.
"""

from __future__ import annotations

import pytest

from understudy.aio import clocks, ids
from understudy.controllers import running
from understudy.controllers.runtime import settings
from understudy.kapi import views
from understudy.kube import objects

HPA = "horizontalpodautoscalers.autoscaling"
DEPLOYMENTS = "deployments.apps"


class World:
    """A view with controllers in simulated time."""

    def __init__(self) -> None:
        self.view = views.new_view(clock=clocks.ManualClock(), ids=ids.SeededIds(1))
        self.rehearsal = running.Rehearsal(
            self.view, "all", settings.Runtime(leases=False), everything=True
        )
        self.rest()

    def rest(self) -> running.Settled:
        settled = self.rehearsal.rest()
        assert settled.is_settled, settled.waiting
        return settled

    def deploy(
        self, replicas: int, uses: dict[str, str] | None = None, **spec: objects.Json
    ) -> None:
        container = {"name": "c", "image": "run", "resources": {
            "requests": {"cpu": "100m", "memory": "64Mi"}}}  # fmt: skip
        notes = {f"kwok.x-k8s.io/usage-{name}": value for name, value in (uses or {}).items()}
        template = {"metadata": {"labels": {"app": "web"}, "annotations": notes},
                    "spec": {"containers": [container], **spec}}  # fmt: skip
        self.view.create(DEPLOYMENTS, {
            "metadata": {"name": "web"},
            "spec": {"replicas": replicas, "template": template,
                     "selector": {"matchLabels": {"app": "web"}}},
        }, "default")  # fmt: skip
        self.rest()

    def say(self, name: str, resource: str, value: str) -> None:
        note = {f"kwok.x-k8s.io/usage-{resource}": value}
        self.view.patch("pods", name, {"metadata": {"annotations": note}}, "default",
                        patch_type="application/merge-patch+json")  # fmt: skip

    def scale_by(self, *metrics: objects.Object, **spec: objects.Json) -> None:
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
        body = {"scaleTargetRef": target, "maxReplicas": 20, "metrics": list(metrics), **spec}
        self.view.create(HPA, {"metadata": {"name": "web"}, "spec": body}, "default")
        self.rest()

    @property
    def replicas(self) -> int:
        found: int = self.view.get(DEPLOYMENTS, "web", "default")["spec"]["replicas"]
        return found

    @property
    def status(self) -> objects.Object:
        found: objects.Object = self.view.get(HPA, "web", "default")["status"]
        return found

    def condition(self, kind: str) -> tuple[str, str]:
        found = next(one for one in self.status["conditions"] if one["type"] == kind)
        return found["status"], found["reason"]

    def pods(self) -> list[str]:
        return [objects.name_of(one) for one in self.view.each("pods", "default")]


def cpu(percent: int) -> objects.Object:
    target = {"type": "Utilization", "averageUtilization": percent}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


def memory(value: str) -> objects.Object:
    target = {"type": "AverageValue", "averageValue": value}
    return {"type": "Resource", "resource": {"name": "memory", "target": target}}


@pytest.fixture
def world() -> World:
    return World()


def test_a_workload_grows_to_its_ratio_and_no_faster_than_twofold(world: World) -> None:
    world.deploy(2, {"cpu": "200m"})
    world.scale_by(cpu(50), maxReplicas=10)
    # 200 % of what is asked for, whatever the number: 2, 4, 8 and then the most there may be.
    assert world.replicas == 10
    assert world.condition("ScalingActive") == ("True", "ValidMetricFound")
    assert world.condition("ScalingLimited") == ("True", "TooManyReplicas")
    current = {"averageValue": "200m", "averageUtilization": 200}
    assert world.status["currentMetrics"] == [
        {"type": "Resource", "resource": {"name": "cpu", "current": current}}
    ]
    sizes = [one["message"] for one in world.view.each("events", "default")
             if one["reason"] == "SuccessfulRescale"]  # fmt: skip
    why = "reason: cpu resource utilization (percentage of request) above target"
    assert sizes == [f"New size: {size}; {why}" for size in (4, 8, 10)]


def test_replicas_are_taken_away_after_five_quiet_minutes(world: World) -> None:
    world.deploy(4, {"cpu": "10m"})
    world.scale_by(cpu(50), minReplicas=2)
    assert world.replicas == 2
    assert world.rehearsal.clock.monotonic() > 300
    assert world.condition("ScalingLimited") == ("True", "TooFewReplicas")


def test_use_near_the_target_changes_nothing(world: World) -> None:
    world.deploy(3, {"cpu": "54m"})
    world.scale_by(cpu(50))
    assert world.replicas == 3
    assert world.condition("AbleToScale") == ("True", "ReadyForNewScale")


def test_of_several_metrics_the_highest_number_counts(world: World) -> None:
    world.deploy(2, {"cpu": "50m", "memory": "96Mi"})
    world.scale_by(cpu(50), memory("64Mi"), maxReplicas=3)
    assert world.replicas == 3
    shown = [one["resource"]["current"]["averageValue"] for one in world.status["currentMetrics"]]
    assert shown == ["50m", "96Mi"]


def test_pods_that_say_nothing_keep_a_workload_from_shrinking_too_far(world: World) -> None:
    world.deploy(4)
    world.say(world.pods()[0], "cpu", "10m")
    world.scale_by(cpu(100))
    # The other three count as fully used: 310 of 400.
    assert world.replicas == 4


def test_a_pod_without_requests_is_told_of(world: World) -> None:
    world.deploy(1, {"cpu": "10m"}, containers=[{"name": "c", "image": "run"}])
    world.scale_by(cpu(50))
    [pod] = world.pods()
    why = f"failed to get cpu utilization: missing request for cpu in container c of Pod {pod}"
    assert [one["message"] for one in world.view.each("events", "default")
            if one["reason"] == "FailedGetResourceMetric"] == [why]  # fmt: skip
    assert world.condition("ScalingActive") == ("False", "FailedGetResourceMetric")


def test_policies_limit_how_fast_replicas_come_and_go(world: World) -> None:
    world.deploy(1, {"cpu": "1"})
    policies = [{"type": "Pods", "value": 2, "periodSeconds": 60}]
    world.scale_by(cpu(50), maxReplicas=6, behavior={"scaleUp": {"policies": policies}})
    events = [one for one in world.view.each("events", "default")
              if one["reason"] == "SuccessfulRescale"]  # fmt: skip
    assert [one["message"].partition(";")[0] for one in events] == [
        "New size: 3", "New size: 5", "New size: 6"
    ]  # fmt: skip
    assert world.rehearsal.clock.monotonic() >= 120


def test_a_direction_that_is_disabled_is_not_waited_for(world: World) -> None:
    world.deploy(4, {"cpu": "10m"})
    world.scale_by(cpu(50), behavior={"scaleDown": {"selectPolicy": "Disabled"}})
    assert world.replicas == 4
    assert world.condition("ScalingLimited") == ("True", "ScaleDownLimit")


def test_who_sets_other_replicas_is_overruled_within_bounds_only(world: World) -> None:
    world.deploy(3)
    world.scale_by(cpu(50), minReplicas=2, maxReplicas=4)
    for asked, left in ((9, 4), (1, 2), (3, 3), (0, 0)):
        world.view.patch(DEPLOYMENTS, "web", {"spec": {"replicas": asked}}, "default",
                         patch_type="application/merge-patch+json")  # fmt: skip
        world.rest()
        assert world.replicas == left
    assert world.condition("ScalingActive") == ("False", "ScalingDisabled")


def test_what_needs_an_autoscaler_no_more_is_left_as_it_is(world: World) -> None:
    world.deploy(3, {"cpu": "200m"})
    world.scale_by(cpu(50), maxReplicas=4)
    world.view.delete(HPA, "web", "default")
    world.rest()
    world.rehearsal.pass_time(60)
    assert world.replicas == 4


def test_a_slow_autoscaler_does_not_hold_a_rehearsal_up(world: World) -> None:
    world.deploy(4, {"cpu": "10m"})
    slow = {"scaleDown": {"stabilizationWindowSeconds": 3600}}
    world.scale_by(cpu(50), behavior=slow)  # comes to rest
    assert world.replicas == 4
    world.rehearsal.pass_time(3600)
    assert world.replicas == 1
