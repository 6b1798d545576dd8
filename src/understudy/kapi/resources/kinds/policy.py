"""PodDisruptionBudgets. Source: pkg/apis/policy/{v1,validation}, pkg/registry/policy @1.36."""

from __future__ import annotations

from typing import ClassVar

from understudy.kapi.resources import strategies
from understudy.kapi.resources.kinds import gotypes, intstrs, rules
from understudy.kube import causes, objects, selectors, statuses

_COUNTS = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")
_UNHEALTHY = ("AlwaysAllow", "IfHealthyBudget")


class PodDisruptionBudget(rules.Kind):
    """A PodDisruptionBudget; its status always says all four counts."""

    status_is_separate: ClassVar[bool] = True
    has_generation: ClassVar[bool] = True
    unconditional_update: ClassVar[bool] = False

    def initial_status(self, obj: objects.Object) -> objects.Object:
        return dict.fromkeys(_COUNTS, 0)

    def default(self, obj: objects.Object) -> None:
        status = obj.get("status")
        if status is None:
            status = obj["status"] = {}
        for count in _COUNTS:
            if status.get(count) is None:
                status[count] = 0

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        spec = obj.get("spec") or {}
        out: list[statuses.Cause] = []
        available, unavailable = spec.get("minAvailable"), spec.get("maxUnavailable")
        if available is not None and unavailable is not None:
            out.append(
                causes.invalid(
                    "spec",
                    gotypes.internal(spec, "io.k8s.api.policy.v1.PodDisruptionBudgetSpec"),
                    "minAvailable and maxUnavailable cannot be both set",
                )
            )
        for key, value in (("minAvailable", available), ("maxUnavailable", unavailable)):
            if value is not None:
                out += intstrs.nonnegative(value, f"spec.{key}")
                out += intstrs.at_most_100_percent(value, f"spec.{key}")
        if spec.get("selector") is not None:
            out += selectors.validate_label_selector(spec["selector"], "spec.selector")
        policy = spec.get("unhealthyPodEvictionPolicy")
        if policy is not None and policy not in _UNHEALTHY:
            out.append(causes.unsupported("spec.unhealthyPodEvictionPolicy", policy, _UNHEALTHY))
        return out

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        if context.subresource != "status":
            return self.validate_create(obj, context)
        status = obj.get("status") or {}
        out: list[statuses.Cause] = []
        for count in _COUNTS:
            out += rules.nonnegative(status.get(count), f"status.{count}")
        return out
