"""HorizontalPodAutoscalers, kept as autoscaling/v2 and served as v1 too.

What v1 has no fields for (metrics but the one for cpu utilization, behaviour, conditions) it shows
in annotations, and takes back from them.

Source: pkg/apis/autoscaling/{v1,v2,validation} @1.36.
"""

from __future__ import annotations

from typing import ClassVar

import orjson

from understudy.kapi.resources import strategies
from understudy.kapi.resources.kinds import rules
from understudy.kube import causes, names, objects, quantities, selectors, statuses

_PREFIX = "autoscaling.alpha.kubernetes.io/"
METRICS, CURRENT, CONDITIONS, BEHAVIOR = (
    f"{_PREFIX}{name}" for name in ("metrics", "current-metrics", "conditions", "behavior")
)
_SOURCES = {
    "ContainerResource": "containerResource",
    "External": "external",
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
}
_SAME = ("scaleTargetRef", "minReplicas", "maxReplicas")
_TARGETS = ("AverageValue", "Utilization", "Value")
_STABILIZATION_S_MAX, _PERIOD_S_MAX = 3600, 1800
_WORDS = {"averageUtilization": "Utilization", "averageValue": "AverageValue", "value": "Value"}
_CPU_DEFAULT = {
    "type": "Resource",
    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
}


class HorizontalPodAutoscaler(rules.Kind):
    """A HorizontalPodAutoscaler (autoscaling/v2)."""

    status_is_separate: ClassVar[bool] = True

    def initial_status(self, obj: objects.Object) -> objects.Object:
        return {"desiredReplicas": 0, "currentMetrics": None}

    def default(self, obj: objects.Object) -> None:
        spec = obj.setdefault("spec", {})
        if spec.get("minReplicas") is None:
            spec["minReplicas"] = 1
        if not spec.get("metrics"):
            spec["metrics"] = [objects.copy(_CPU_DEFAULT)]
        _default_behavior(spec.get("behavior"))
        status = obj.get("status")
        if status is None:
            status = obj["status"] = {}
        status.setdefault("desiredReplicas", 0)
        status.setdefault("currentMetrics", None)
        if not status.get("currentReplicas"):
            status.pop("currentReplicas", None)

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        spec = obj.get("spec") or {}
        out: list[statuses.Cause] = []
        low, high = spec.get("minReplicas"), spec.get("maxReplicas") or 0
        if low is not None and low < 1:
            text = "must be greater than or equal to 1"
            out.append(causes.invalid("spec.minReplicas", low, text))
        if high < 1:
            out.append(causes.invalid("spec.maxReplicas", high, "must be greater than 0"))
        if low is not None and high < low:
            text = "must be greater than or equal to `minReplicas`"
            out.append(causes.invalid("spec.maxReplicas", high, text))
        out += _target_ref(spec.get("scaleTargetRef") or {}, "spec.scaleTargetRef")
        for index, metric in enumerate(spec.get("metrics") or ()):
            out += _metric(metric, f"spec.metrics[{index}]")
        behavior = spec.get("behavior") or {}
        for key in ("scaleUp", "scaleDown"):
            if behavior.get(key) is not None:
                out += _scaling(behavior[key], f"spec.behavior.{key}")
        return out

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        if context.subresource != "status":
            return self.validate_create(obj, context)
        status = obj.get("status") or {}
        return rules.nonnegative(
            status.get("currentReplicas"), "status.currentReplicas"
        ) + rules.nonnegative(status.get("desiredReplicas"), "status.desiredReplicas")


def _default_behavior(behavior: objects.Object | None) -> None:
    if behavior is None:
        return
    up, down = behavior.get("scaleUp"), behavior.get("scaleDown")
    if up is None:
        up = behavior["scaleUp"] = {}
    if down is None:
        down = behavior["scaleDown"] = {}
    up.setdefault("stabilizationWindowSeconds", 0)
    for half in (up, down):
        half.setdefault("selectPolicy", "Max")
    if not up.get("policies"):
        up["policies"] = [
            {"type": "Pods", "value": 4, "periodSeconds": 15},
            {"type": "Percent", "value": 100, "periodSeconds": 15},
        ]
    if not down.get("policies"):
        down["policies"] = [{"type": "Percent", "value": 100, "periodSeconds": 15}]


def _target_ref(ref: objects.Object, field: str) -> list[statuses.Cause]:
    out: list[statuses.Cause] = []
    for key in ("kind", "name"):
        value = ref.get(key) or ""
        if not value:
            out.append(causes.required(f"{field}.{key}"))
        else:
            out += rules.checked(value, f"{field}.{key}", names.path_segment)
    version = ref.get("apiVersion") or ""
    if "/" not in version and ref.get("kind") != "ReplicationController":
        text = "apiVersion must specify API group"
        out.append(causes.invalid(f"{field}.apiVersion", version, text))
    return out


def _metric(metric: objects.Object, field: str) -> list[statuses.Cause]:
    kind = metric.get("type") or ""
    if not kind:
        return [causes.required(f"{field}.type", "must specify a metric source type")]
    if kind not in _SOURCES:
        return [causes.unsupported(f"{field}.type", kind, sorted(_SOURCES))]
    given = [key for key in _SOURCES.values() if metric.get(key) is not None]
    expected = _SOURCES[kind]
    out: list[statuses.Cause] = []
    if expected not in given:
        text = "must populate information for the given metric source"
        return [causes.required(f"{field}.{expected}", text)]
    out += [
        causes.forbidden(f"{field}.{key}", "must populate the given metric source only")
        for key in given
        if key != expected
    ]
    source, at = metric[expected], f"{field}.{expected}"
    if expected in {"resource", "containerResource"}:
        if not source.get("name"):
            out.append(causes.required(f"{at}.name", "must specify a resource name"))
        if expected == "containerResource" and not source.get("container"):
            out.append(causes.required(f"{at}.container", "must specify a container"))
    else:
        out += _identifier(source.get("metric") or {}, f"{at}.metric")
        if expected == "object":
            out += _target_ref(source.get("describedObject") or {}, f"{at}.describedObject")
    return out + _target(source.get("target") or {}, f"{at}.target", expected)


def _identifier(metric: objects.Object, field: str) -> list[statuses.Cause]:
    name = metric.get("name") or ""
    out: list[statuses.Cause] = []
    if not name:
        out.append(causes.required(f"{field}.name", "must specify a metric name"))
    else:
        out += rules.checked(name, f"{field}.name", names.path_segment)
    if metric.get("selector") is not None:
        out += selectors.validate_label_selector(metric["selector"], f"{field}.selector")
    return out


def _target(target: objects.Object, field: str, source: str) -> list[statuses.Cause]:
    kind = target.get("type") or ""
    out: list[statuses.Cause] = []
    if not kind:
        out.append(causes.required(f"{field}.type", "must specify a metric target type"))
    elif kind not in _TARGETS:
        text = "must be either Utilization, Value, or AverageValue"
        out.append(causes.invalid(f"{field}.type", kind, text))
    used, average, value = (
        target.get(key) for key in ("averageUtilization", "averageValue", "value")
    )
    for key, amount in (("value", value), ("averageValue", average)):
        if amount is not None and quantities.parse(str(amount)) <= quantities.of(0):
            out.append(causes.invalid(f"{field}.{key}", amount, "must be positive"))
    if used is not None and used < 1:
        text = "must be greater than 0"
        out.append(causes.invalid(f"{field}.averageUtilization", used, text))
    if source in {"resource", "containerResource"}:
        if used is None and average is None:
            text = "must set either a target raw value or a target utilization"
            out.append(causes.required(f"{field}.averageUtilization", text))
        if used is not None and average is not None:
            text = "may not set both a target raw value and a target utilization"
            out.append(causes.forbidden(f"{field}.averageValue", text))
    elif source == "pods":
        if average is None:
            text = "must specify a positive target averageValue"
            out.append(causes.required(f"{field}.averageValue", text))
    elif value is None and average is None:
        key = "averageValue" if source == "object" else "value"
        text = "must set either a target value for metric or a per-pod target"
        if source == "object":
            text = "must set either a target value or averageValue"
        out.append(causes.required(f"{field}.{key}", text))
    return out


def _scaling(scaling: objects.Object, field: str) -> list[statuses.Cause]:
    out: list[statuses.Cause] = []
    window = scaling.get("stabilizationWindowSeconds")
    if window is not None and window < 0:
        text = "must be greater than or equal to zero"
        out.append(causes.invalid(f"{field}.stabilizationWindowSeconds", window, text))
    if window is not None and window > _STABILIZATION_S_MAX:
        text = f"must be less than or equal to {_STABILIZATION_S_MAX}"
        out.append(causes.invalid(f"{field}.stabilizationWindowSeconds", window, text))
    choice = scaling.get("selectPolicy")
    if choice is not None and choice not in {"Disabled", "Max", "Min"}:
        out.append(causes.unsupported(f"{field}.selectPolicy", choice, ("Disabled", "Max", "Min")))
    policies = scaling.get("policies") or []
    if not policies:
        out.append(causes.required(f"{field}.policies", "must specify at least one Policy"))
    for index, policy in enumerate(policies):
        at = f"{field}.policies[{index}]"
        if policy.get("type") not in {"Percent", "Pods"}:
            out.append(
                causes.unsupported(f"{at}.type", policy.get("type") or "", ("Percent", "Pods"))
            )
        if (policy.get("value") or 0) <= 0:
            text = "must be greater than zero"
            out.append(causes.invalid(f"{at}.value", policy.get("value") or 0, text))
        period = policy.get("periodSeconds") or 0
        if period <= 0:
            text = "must be greater than zero"
            out.append(causes.invalid(f"{at}.periodSeconds", period, text))
        elif period > _PERIOD_S_MAX:
            text = f"must be less than or equal to {_PERIOD_S_MAX}"
            out.append(causes.invalid(f"{at}.periodSeconds", period, text))
    return out


# ---------------------------------------------------------------------- v1


def to_v1(obj: objects.Object) -> objects.Object:
    """Convert autoscaling/v2 to v1; `obj` is the caller's own and may be reused."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    annotations: dict[str, str] = {}
    new_spec = {key: spec[key] for key in _SAME if key in spec}
    others: list[objects.Object] = []
    for metric in spec.get("metrics") or ():
        used = _cpu(metric, "target")
        if used is not None and "targetCPUUtilizationPercentage" not in new_spec:
            new_spec["targetCPUUtilizationPercentage"] = used
        else:
            others.append(_metric_to_v1(metric, "target"))
    if others:
        annotations[METRICS] = _text(others)
    if spec.get("behavior"):
        annotations[BEHAVIOR] = _text(spec["behavior"])
    new_status: objects.Object = {
        "currentReplicas": status.get("currentReplicas") or 0,
        "desiredReplicas": status.get("desiredReplicas") or 0,
    }
    for key in ("observedGeneration", "lastScaleTime"):
        if key in status:
            new_status[key] = status[key]
    current: list[objects.Object] = []
    for metric in status.get("currentMetrics") or ():
        used = _cpu(metric, "current")
        if used is not None:
            new_status["currentCPUUtilizationPercentage"] = used
        current.append(_metric_to_v1(metric, "current"))
    if current:
        annotations[CURRENT] = _text(current)
    if status.get("conditions"):
        annotations[CONDITIONS] = _text(status["conditions"])
    if annotations:
        meta = obj["metadata"]
        meta["annotations"] = (meta.get("annotations") or {}) | annotations
    obj["spec"], obj["status"], obj["apiVersion"] = new_spec, new_status, "autoscaling/v1"
    return obj


def to_v2(obj: objects.Object) -> objects.Object:
    """Convert autoscaling/v1 to v2; `obj` is the caller's own and may be reused."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    meta = obj["metadata"]
    annotations = dict(meta.get("annotations") or {})
    taken = {
        key: _parsed(annotations.pop(key))
        for key in (METRICS, CURRENT, CONDITIONS, BEHAVIOR)
        if key in annotations
    }
    new_spec = {key: spec[key] for key in _SAME if key in spec}
    metrics = [_metric_to_v2(metric, "target") for metric in taken.get(METRICS) or ()]
    used = spec.get("targetCPUUtilizationPercentage")
    if used is not None:
        target = {"type": "Utilization", "averageUtilization": used}
        metrics.append({"type": "Resource", "resource": {"name": "cpu", "target": target}})
    if metrics:
        new_spec["metrics"] = metrics
    if taken.get(BEHAVIOR):
        new_spec["behavior"] = taken[BEHAVIOR]
    new_status = {
        key: status[key]
        for key in ("observedGeneration", "lastScaleTime", "currentReplicas", "desiredReplicas")
        if key in status
    }
    if taken.get(CURRENT):
        new_status["currentMetrics"] = [
            _metric_to_v2(metric, "current") for metric in taken[CURRENT]
        ]
    elif status.get("currentCPUUtilizationPercentage") is not None:
        reading = {"averageUtilization": status["currentCPUUtilizationPercentage"]}
        new_status["currentMetrics"] = [
            {"type": "Resource", "resource": {"name": "cpu", "current": reading}}
        ]
    if taken.get(CONDITIONS):
        new_status["conditions"] = taken[CONDITIONS]
    if taken:
        rules.put(meta, "annotations", annotations or None)
    obj["spec"], obj["apiVersion"] = new_spec, "autoscaling/v2"
    if new_status or "status" in obj:
        obj["status"] = new_status
    return obj


def _cpu(metric: objects.Object, role: str) -> int | None:
    """Return the cpu utilization that v1 has a field for, or None."""
    source = metric.get("resource") or {}
    if metric.get("type") != "Resource" or source.get("name") != "cpu":
        return None
    used = (source.get(role) or {}).get("averageUtilization")
    return int(used) if used is not None else None


# v1's annotation flattens each source; the names depend on source and role.
_FLAT = {
    "resource": {"averageUtilization": "AverageUtilization", "averageValue": "AverageValue"},
    "containerResource": {
        "averageUtilization": "AverageUtilization",
        "averageValue": "AverageValue",
    },
    "pods": {"averageValue": "AverageValue"},
    "object": {"value": "Value"},
    "external": {"value": "Value", "averageValue": "AverageValue"},
}


def _metric_to_v1(metric: objects.Object, role: str) -> objects.Object:
    kind = metric.get("type") or ""
    key = _SOURCES.get(kind, "")
    source = metric.get(key) or {}
    amounts = source.get(role) or {}
    flat: objects.Object = {}
    if key == "object":
        flat["target"] = source.get("describedObject") or {}
    if key in {"resource", "containerResource"}:
        flat["name"] = source.get("name")
    elif source.get("metric"):
        flat["metricName"] = source["metric"].get("name")
        if source["metric"].get("selector") is not None:
            name = "metricSelector" if key == "external" else "selector"
            flat[name] = source["metric"]["selector"]
    for name, suffix in _FLAT.get(key, {}).items():
        if amounts.get(name) is not None:
            flat[f"{role}{suffix}"] = amounts[name]
    if key == "object" and amounts.get("averageValue") is not None:
        flat["averageValue"] = amounts["averageValue"]
    if key == "containerResource":
        flat["container"] = source.get("container")
    return {"type": kind, key: flat}


def _metric_to_v2(metric: objects.Object, role: str) -> objects.Object:
    kind = metric.get("type") or ""
    key = _SOURCES.get(kind, "")
    flat = metric.get(key) or {}
    amounts: objects.Object = {}
    for name, suffix in _FLAT.get(key, {}).items():
        value = flat.get(f"{role}{suffix}")
        if value is not None:
            amounts[name] = value
    if key == "object" and flat.get("averageValue") is not None:
        amounts["averageValue"] = flat["averageValue"]
    if role == "target":
        known = [name for name in _WORDS if name in amounts]
        amounts["type"] = _WORDS[known[0]] if known else "Value"
    source: objects.Object = {role: amounts}
    if key in {"resource", "containerResource"}:
        source["name"] = flat.get("name")
        if key == "containerResource":
            source["container"] = flat.get("container")
    else:
        source["metric"] = {"name": flat.get("metricName")}
        selector = flat.get("metricSelector" if key == "external" else "selector")
        if selector is not None:
            source["metric"]["selector"] = selector
    if key == "object":
        source["describedObject"] = flat.get("target") or {}
    return {"type": kind, key: source}


def _text(value: objects.Json) -> str:
    return orjson.dumps(value).decode()


def _parsed(text: str) -> objects.Json:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        # What cannot be read back is dropped, as the real conversion does.
        return None
