"""PodDisruptionBudgets. Source: pkg/apis/policy/validation, pkg/registry/policy @1.36."""

from __future__ import annotations

from typing import ClassVar

from understudy.kapi.resources import strategies
from understudy.kapi.resources.kinds import conditions, intstrs, rules
from understudy.kube import causes, names, objects, selectors, statuses

_EVICTION = ("AlwaysAllow", "IfHealthyBudget")
_COUNTS = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")


class PodDisruptionBudget(rules.Kind):
    """A PodDisruptionBudget."""

    metadata_checks: ClassVar[names.MetadataChecks] = names.MetadataChecks()
    status_is_separate: ClassVar[bool] = True
    has_generation: ClassVar[bool] = True
    unconditional_update: ClassVar[bool] = False

    def default(self, obj: objects.Object) -> None:
        if obj.get("spec") is None:
            obj["spec"] = {}

    def initial_status(self, obj: objects.Object) -> objects.Object:
        return dict.fromkeys(sorted(_COUNTS), 0)

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        return _spec(obj["spec"])

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        if context.subresource != "status":
            return _spec(obj["spec"])
        status = obj.get("status") or {}
        out = conditions.validate(status.get("conditions") or [], "status.conditions")
        for key in _COUNTS:
            out += rules.nonnegative(status.get(key), f"status.{key}")
        return out


def _spec(spec: objects.Object) -> list[statuses.Cause]:
    least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
    policy = spec.get("unhealthyPodEvictionPolicy")
    out: list[statuses.Cause] = []
    if least is not None and most is not None:
        shown = {
            "MinAvailable": least,
            "Selector": spec.get("selector"),
            "MaxUnavailable": most,
            "UnhealthyPodEvictionPolicy": policy,
        }
        text = "minAvailable and maxUnavailable cannot be both set"
        out.append(causes.invalid("spec", shown, text))
    for key, value in (("minAvailable", least), ("maxUnavailable", most)):
        if value is not None:
            out += intstrs.nonnegative(value, f"spec.{key}")
            out += intstrs.at_most_100_percent(value, f"spec.{key}")
    out += selectors.validate_label_selector(spec.get("selector"), "spec.selector")
    if policy is not None and policy not in _EVICTION:
        out.append(causes.unsupported("spec.unhealthyPodEvictionPolicy", policy, _EVICTION))
    return out
