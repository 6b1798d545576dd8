"""HorizontalPodAutoscalers, kept as autoscaling/v2.

Source: pkg/apis/autoscaling/{v2,validation}, pkg/registry/autoscaling @1.36.
"""

from __future__ import annotations

from typing import ClassVar

from understudy.kapi.resources import strategies
from understudy.kapi.resources.kinds import requirements, rules
from understudy.kube import causes, names, objects, statuses

Causes = list[statuses.Cause]

CPU_PERCENT = 80
"""What an autoscaler without metrics aims at."""

ANNOTATIONS = {
    "metrics": "autoscaling.alpha.kubernetes.io/metrics",
    "currentMetrics": "autoscaling.alpha.kubernetes.io/current-metrics",
    "conditions": "autoscaling.alpha.kubernetes.io/conditions",
    "behavior": "autoscaling.alpha.kubernetes.io/behavior",
}
"""Where autoscaling/v1 keeps what it has no fields for."""

_SOURCES = ("object", "external", "pods", "resource", "containerResource")
_TYPES = ("ContainerResource", "External", "Object", "Pods", "Resource")
_TARGETS = ("Utilization", "Value", "AverageValue")
_SELECT = ("Disabled", "Max", "Min")
_POLICIES = ("Percent", "Pods")
_PERIOD_MAX, _WINDOW_MAX = 1800, 3600
_UP = (
    {"type": "Pods", "value": 4, "periodSeconds": 15},
    {"type": "Percent", "value": 100, "periodSeconds": 15},
)
_DOWN = ({"type": "Percent", "value": 100, "periodSeconds": 15},)


def cpu_metric(percent: int) -> objects.Object:
    """Return the metric that aims at a CPU utilisation."""
    target = {"type": "Utilization", "averageUtilization": percent}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


class HorizontalPodAutoscaler(rules.Kind):
    """A HorizontalPodAutoscaler."""

    status_is_separate: ClassVar[bool] = True

    def default(self, obj: objects.Object) -> None:
        spec = obj.get("spec")
        if spec is None:
            spec = obj["spec"] = {"scaleTargetRef": {"kind": "", "name": ""}, "maxReplicas": 0}
        if spec.get("minReplicas") is None:
            spec["minReplicas"] = 1
        if not spec.get("metrics"):
            spec["metrics"] = [cpu_metric(CPU_PERCENT)]
        if (behavior := spec.get("behavior")) is not None:
            _default_rules(behavior, "scaleUp", _UP, 0)
            _default_rules(behavior, "scaleDown", _DOWN, None)
        annotations = objects.metadata(obj).get("annotations")
        if annotations:
            for key in ANNOTATIONS.values():
                annotations.pop(key, None)
            if not annotations:
                del obj["metadata"]["annotations"]

    def initial_status(self, obj: objects.Object) -> objects.Object:
        return {"desiredReplicas": 0, "currentMetrics": None}

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        return _spec(obj["spec"], 1)

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        if context.subresource == "status":
            status = obj.get("status") or {}
            return [
                cause
                for key in ("currentReplicas", "desiredReplicas")
                for cause in rules.nonnegative(status.get(key), f"status.{key}")
            ]
        return _spec(obj["spec"], 0 if old["spec"].get("minReplicas") == 0 else 1)


def _default_rules(
    behavior: objects.Object, key: str, policies: tuple[objects.Object, ...], window: int | None
) -> None:
    found = behavior.get(key) or {}
    if window is not None and found.get("stabilizationWindowSeconds") is None:
        found["stabilizationWindowSeconds"] = window
    if found.get("selectPolicy") is None:
        found["selectPolicy"] = "Max"
    if found.get("policies") is None:
        found["policies"] = [dict(one) for one in policies]
    behavior[key] = found


def _spec(spec: objects.Object, least: int) -> Causes:
    low, high = spec.get("minReplicas"), spec.get("maxReplicas") or 0
    out: Causes = []
    if low is not None and low < least:
        text = f"must be greater than or equal to {least}"
        out.append(causes.invalid("spec.minReplicas", low, text))
    if high == 0:
        out.append(causes.required("spec.maxReplicas", "must be set and greater than 0"))
    elif high < 0:
        text = "must be greater than or equal to 1"
        out.append(causes.invalid("spec.maxReplicas", high, text))
    if low is not None and high < low:
        text = "must be greater than or equal to `minReplicas`"
        out.append(causes.invalid("spec.maxReplicas", high, text))
    target = spec.get("scaleTargetRef") or {}
    is_core = target.get("kind") == "ReplicationController"
    out += _reference(target, "spec.scaleTargetRef", core=is_core)
    metrics = spec.get("metrics") or []
    for index, metric in enumerate(metrics):
        out += _metric(metric, f"spec.metrics[{index}]")
    if low == 0 and not {"Object", "External"} & {metric.get("type") for metric in metrics}:
        text = (
            "must specify at least one Object or External metric to support scaling to zero"
            " replicas"
        )
        out.append(causes.forbidden("spec.metrics", text))
    for key, found in (spec.get("behavior") or {}).items():
        if found is not None:
            out += _rules(found, f"spec.behavior.{key}")
    return out


def _reference(reference: objects.Object, field: str, *, core: bool) -> Causes:
    out: Causes = []
    for key in ("kind", "name"):
        value = reference.get(key) or ""
        if not value:
            out.append(causes.required(f"{field}.{key}"))
        else:
            out += causes.complaints(f"{field}.{key}", value, names.path_segment(value))
    version = reference.get("apiVersion") or ""
    if version.count("/") > 1:
        text = f"unexpected GroupVersion string: {version}"
        out.append(causes.invalid(f"{field}.apiVersion", version, text))
    elif not core and not version.rpartition("/")[0]:
        text = "apiVersion must specify API group"
        out.append(causes.invalid(f"{field}.apiVersion", version, text))
    return out


def _rules(found: objects.Object, field: str) -> Causes:
    out: Causes = []
    window, at = found.get("stabilizationWindowSeconds"), f"{field}.stabilizationWindowSeconds"
    if window is not None and window < 0:
        out.append(causes.invalid(at, window, "must be greater than or equal to zero"))
    if window is not None and window > _WINDOW_MAX:
        text = f"must be less than or equal to {_WINDOW_MAX}"
        out.append(causes.invalid(at, window, text))
    select = found.get("selectPolicy")
    if select is not None and select not in _SELECT:
        out.append(causes.unsupported(f"{field}.selectPolicy", select, _SELECT))
    policies = found.get("policies") or []
    if not policies:
        out.append(causes.required(f"{field}.policies", "must specify at least one Policy"))
    for index, policy in enumerate(policies):
        out += _policy(policy, f"{field}.policies[{index}]")
    tolerance = found.get("tolerance")
    if tolerance is not None and requirements.parse(tolerance).sign < 0:
        out.append(causes.invalid(f"{field}.tolerance", str(tolerance), causes.NEGATIVE))
    return out


def _policy(policy: objects.Object, field: str) -> Causes:
    kind, period = policy.get("type") or "", policy.get("periodSeconds") or 0
    out: Causes = []
    if kind not in _POLICIES:
        out.append(causes.unsupported(f"{field}.type", kind, _POLICIES))
    for key in ("value", "periodSeconds"):
        if (policy.get(key) or 0) <= 0:
            text = "must be greater than zero"
            out.append(causes.invalid(f"{field}.{key}", policy.get(key) or 0, text))
    if period > _PERIOD_MAX:
        text = f"must be less than or equal to {_PERIOD_MAX}"
        out.append(causes.invalid(f"{field}.periodSeconds", period, text))
    return out


def _metric(metric: objects.Object, field: str) -> Causes:
    kind = metric.get("type") or ""
    out: Causes = []
    if not kind:
        out.append(causes.required(f"{field}.type", "must specify a metric source type"))
    if kind not in _TYPES:
        # Twice: Kubernetes looks at the type before and after the sources.
        out += [causes.unsupported(f"{field}.type", kind, _TYPES)] * 2
    present = [key for key in _SOURCES if metric.get(key) is not None]
    if present:
        out += _source(present[0], metric[present[0]], f"{field}.{present[0]}")
    expected = kind[:1].lower() + kind[1:] if kind in _TYPES else ""
    if expected and expected not in present:
        text = "must populate information for the given metric source"
        out.append(causes.required(f"{field}.{expected}", text))
    if len(present) != 1:
        text = "must populate the given metric source only"
        out += [causes.forbidden(f"{field}.{key}", text) for key in present if key != expected]
    return out


def _source(key: str, source: objects.Object, field: str) -> Causes:
    target, at = source.get("target") or {}, f"{field}.target"
    value, average = target.get("value"), target.get("averageValue")
    out: Causes = []
    if key == "object":
        described = source.get("describedObject") or {}
        out += _reference(described, f"{field}.describedObject", core=True)
    if key in {"object", "external", "pods"}:
        out += _identifier(source.get("metric") or {}, f"{field}.metric")
        out += _target(target, at)
        if key == "pods" and average is None:
            text = "must specify a positive target averageValue"
            out.append(causes.required(f"{at}.averageValue", text))
        elif key != "pods" and value is None and average is None:
            text = (
                "must set either a target value or averageValue" if key == "object"
                else "must set either a target value for metric or a per-pod target"
            )  # fmt: skip
            out.append(causes.required(f"{at}.averageValue", text))
        if key == "external" and value is not None and average is not None:
            text = "may not set both a target value for metric and a per-pod target"
            out.append(causes.forbidden(f"{at}.value", text))
        return out
    out += _resource(source, field, contained=key == "containerResource")
    out += _target(target, at)
    percent = target.get("averageUtilization")
    if percent is None and average is None:
        text = "must set either a target raw value or a target utilization"
        out.append(causes.required(f"{at}.averageUtilization", text))
    if percent is not None and average is not None:
        text = "may not set both a target raw value and a target utilization"
        out.append(causes.forbidden(f"{at}.averageValue", text))
    return out


def _resource(source: objects.Object, field: str, *, contained: bool) -> Causes:
    name, container = source.get("name") or "", source.get("container") or ""
    out: Causes = []
    if not name:
        out.append(causes.required(f"{field}.name", "must specify a resource name"))
    elif contained:
        out += requirements.container_resource_name(name, f"{field}.name")
    if contained and not container:
        out.append(causes.required(f"{field}.container", "must specify a container"))
    elif contained:
        out += causes.complaints(f"{field}.container", container, names.dns_label(container))
    return out


def _identifier(metric: objects.Object, field: str) -> Causes:
    name = metric.get("name") or ""
    if not name:
        return [causes.required(f"{field}.name", "must specify a metric name")]
    return causes.complaints(f"{field}.name", name, names.path_segment(name))


def _target(target: objects.Object, field: str) -> Causes:
    kind = target.get("type") or ""
    out: Causes = []
    if not kind:
        out.append(causes.required(f"{field}.type", "must specify a metric target type"))
    if kind not in _TARGETS:
        text = "must be either Utilization, Value, or AverageValue"
        out.append(causes.invalid(f"{field}.type", kind, text))
    for key in ("value", "averageValue"):
        amount = target.get(key)
        if amount is not None and requirements.parse(amount).sign <= 0:
            out.append(causes.invalid(f"{field}.{key}", str(amount), "must be positive"))
    percent = target.get("averageUtilization")
    if percent is not None and percent < 1:
        out.append(causes.invalid(f"{field}.averageUtilization", percent, "must be greater than 0"))
    return out
