"""autoscaling/v1 of HorizontalPodAutoscalers: fewer fields, the rest in annotations.

Of the metrics only the CPU utilisation has a field. The others stand, in v1's own words, as JSON
in annotations (`autoscaling.ANNOTATIONS`); behaviour in those of the internal type. Source:
pkg/apis/autoscaling/v1/conversion.go @1.36.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from understudy.kapi.resources.kinds import autoscaling
from understudy.kube import objects

_KEYS = autoscaling.ANNOTATIONS
_ZERO = "0"


def from_v2(obj: objects.Object) -> objects.Object:
    """Return a stored autoscaler as autoscaling/v1."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    out = {**obj, "apiVersion": "autoscaling/v1"}
    metrics, current = spec.get("metrics") or [], status.get("currentMetrics") or []
    rest = {
        key: spec[key] for key in ("scaleTargetRef", "minReplicas", "maxReplicas") if key in spec
    }
    percents = [
        metric["resource"]["target"]["averageUtilization"] for metric in metrics if _is_cpu(metric)
    ]
    if percents:
        rest["targetCPUUtilizationPercentage"] = percents[0]
    out["spec"] = rest
    kept = {key: status[key] for key in ("observedGeneration", "lastScaleTime") if key in status}
    kept["currentReplicas"] = status.get("currentReplicas") or 0
    kept["desiredReplicas"] = status.get("desiredReplicas") or 0
    for one in current:
        percent = ((one.get("resource") or {}).get("current") or {}).get("averageUtilization")
        if (
            one.get("type") == "Resource"
            and one["resource"]["name"] == "cpu"
            and percent is not None
        ):
            kept["currentCPUUtilizationPercentage"] = percent
    out["status"] = kept
    added: dict[str, str] = {}
    if others := [_metric_to_v1(metric) for metric in metrics if not _is_cpu(metric)]:
        added[_KEYS["metrics"]] = _encode(others)
    if current:
        added[_KEYS["currentMetrics"]] = _encode([_status_to_v1(one) for one in current])
    if conditions := status.get("conditions"):
        added[_KEYS["conditions"]] = _encode([_condition(one) for one in conditions])
    if behavior := spec.get("behavior"):
        added[_KEYS["behavior"]] = _encode(_internal_behavior(behavior))
    if added:
        meta = obj["metadata"]
        annotations = {**(meta.get("annotations") or {}), **added}
        out["metadata"] = {**meta, "annotations": dict(sorted(annotations.items()))}
    return out


def to_v2(obj: objects.Object) -> objects.Object:
    """Return an autoscaler of autoscaling/v1 as it is stored."""
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    meta = dict(obj.get("metadata") or {})
    annotations = dict(meta.get("annotations") or {})
    found = {name: _decoded(annotations.pop(key, "")) for name, key in _KEYS.items()}
    percent = spec.pop("targetCPUUtilizationPercentage", None)
    metrics = [_metric_to_v2(one) for one in found["metrics"] or ()]
    if percent is not None:
        metrics.append(autoscaling.cpu_metric(percent))
    spec["metrics"] = metrics or [autoscaling.cpu_metric(autoscaling.CPU_PERCENT)]
    if found["behavior"]:
        spec["behavior"] = _api_behavior(found["behavior"])
    current = status.pop("currentCPUUtilizationPercentage", None)
    status["currentMetrics"] = None
    if current is not None:
        value = {"averageUtilization": current}
        status["currentMetrics"] = [
            {"type": "Resource", "resource": {"name": "cpu", "current": value}}
        ]
    if found["currentMetrics"]:
        status["currentMetrics"] = [_status_to_v2(one) for one in found["currentMetrics"]]
    if found["conditions"]:
        status["conditions"] = found["conditions"]
    if not status.get("currentReplicas"):
        status.pop("currentReplicas", None)
    status.setdefault("desiredReplicas", 0)
    if annotations:
        meta["annotations"] = annotations
    else:
        meta.pop("annotations", None)
    return {**obj, "apiVersion": "autoscaling/v2", "metadata": meta, "spec": spec, "status": status}


def _is_cpu(metric: objects.Object) -> bool:
    resource = metric.get("resource")
    return (
        metric.get("type") == "Resource"
        and resource is not None
        and resource.get("name") == "cpu"
        and (resource.get("target") or {}).get("averageUtilization") is not None
    )


def _encode(value: objects.Json) -> str:
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _decoded(text: str) -> objects.Json:
    if not text:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None


def _some(pairs: Iterable[tuple[str, objects.Json]]) -> objects.Object:
    return {key: value for key, value in pairs if value is not None}


def _metric_to_v1(metric: objects.Object) -> objects.Object:
    out: objects.Object = {"type": metric.get("type") or ""}
    for key in ("object", "pods", "resource", "containerResource", "external"):
        source = metric.get(key)
        if source is None:
            continue
        target, named = source.get("target") or {}, source.get("metric") or {}
        average, value = target.get("averageValue"), target.get("value")
        percent = target.get("averageUtilization")
        name, selector = named.get("name") or "", named.get("selector")
        if key == "object":
            out[key] = _some((
                ("target", _reference(source.get("describedObject") or {})), ("metricName", name),
                ("targetValue", value or _ZERO), ("selector", selector), ("averageValue", average),
            ))  # fmt: skip
        elif key == "pods":
            out[key] = _some((
                ("metricName", name), ("targetAverageValue", average or _ZERO),
                ("selector", selector),
            ))  # fmt: skip
        elif key == "external":
            out[key] = _some((
                ("metricName", name), ("metricSelector", selector), ("targetValue", value),
                ("targetAverageValue", average),
            ))  # fmt: skip
        else:
            out[key] = _some((
                ("name", source.get("name") or ""), ("targetAverageUtilization", percent),
                ("targetAverageValue", average), ("container", source.get("container")),
            ))  # fmt: skip
    return out


def _metric_to_v2(metric: objects.Object) -> objects.Object:
    out: objects.Object = {"type": metric.get("type") or ""}
    for key in ("object", "pods", "resource", "containerResource", "external"):
        source = metric.get(key)
        if source is None:
            continue
        value, average = source.get("targetValue"), source.get("targetAverageValue")
        if key == "object":
            average = source.get("averageValue")
            kind = "Value" if average is None else "AverageValue"
            target = {"type": kind, "value": value or _ZERO, "averageValue": average}
            out[key] = {"describedObject": source.get("target") or {}}
        elif key == "pods":
            target = {"type": "AverageValue", "averageValue": average or _ZERO}
            out[key] = {}
        elif key == "external":
            kind = "AverageValue" if value is None else "Value"
            target = {"type": kind, "value": value, "averageValue": average}
            out[key] = {}
        else:
            percent = source.get("targetAverageUtilization")
            kind = "AverageValue" if percent is None else "Utilization"
            target = {"type": kind, "averageValue": average, "averageUtilization": percent}
            out[key] = _some((("name", source.get("name")), ("container", source.get("container"))))
        if key in {"object", "pods", "external"}:
            selector = source.get("metricSelector" if key == "external" else "selector")
            named = (("name", source.get("metricName") or ""), ("selector", selector))
            out[key]["metric"] = _some(named)
        out[key]["target"] = _some(target.items())
    return out


def _status_to_v1(one: objects.Object) -> objects.Object:
    out: objects.Object = {"type": one.get("type") or ""}
    for key in ("object", "pods", "resource", "containerResource", "external"):
        source = one.get(key)
        if source is None:
            continue
        current, named = source.get("current") or {}, source.get("metric") or {}
        value, average = current.get("value"), current.get("averageValue")
        name, selector = named.get("name") or "", named.get("selector")
        if key == "object":
            out[key] = _some((
                ("target", _reference(source.get("describedObject") or {})), ("metricName", name),
                ("currentValue", value or _ZERO), ("selector", selector),
                ("averageValue", average),
            ))  # fmt: skip
        elif key == "pods":
            out[key] = _some((
                ("metricName", name), ("currentAverageValue", average or _ZERO),
                ("selector", selector),
            ))  # fmt: skip
        elif key == "external":
            out[key] = _some((
                ("metricName", name), ("metricSelector", selector),
                ("currentValue", value or _ZERO), ("currentAverageValue", average),
            ))  # fmt: skip
        else:
            out[key] = _some((
                ("name", source.get("name") or ""),
                ("currentAverageUtilization", current.get("averageUtilization")),
                ("currentAverageValue", average or _ZERO), ("container", source.get("container")),
            ))  # fmt: skip
    return out


def _status_to_v2(one: objects.Object) -> objects.Object:
    out: objects.Object = {"type": one.get("type") or ""}
    for key in ("object", "pods", "resource", "containerResource", "external"):
        source = one.get(key)
        if source is None:
            continue
        current = {
            "value": source.get("currentValue"),
            "averageValue": source.get(
                "averageValue" if key == "object" else "currentAverageValue"
            ),
            "averageUtilization": source.get("currentAverageUtilization"),
        }
        out[key] = {"current": _some(current.items())}
        if key in {"object", "pods", "external"}:
            selector = source.get("metricSelector" if key == "external" else "selector")
            named = (("name", source.get("metricName") or ""), ("selector", selector))
            out[key]["metric"] = _some(named)
            if key == "object":
                out[key]["describedObject"] = source.get("target") or {}
        else:
            out[key]["name"] = source.get("name") or ""
            if key == "containerResource":
                out[key]["container"] = source.get("container") or ""
    return out


def _reference(described: objects.Object) -> objects.Object:
    keys = ("kind", "name", "apiVersion")
    found = {key: described.get(key) or "" for key in keys}
    return {key: value for key, value in found.items() if value or key != "apiVersion"}


def _condition(one: objects.Object) -> objects.Object:
    out = {"type": one.get("type"), "status": one.get("status")}
    out["lastTransitionTime"] = one.get("lastTransitionTime")
    for key in ("reason", "message"):
        if one.get(key):
            out[key] = one[key]
    return out


_RULES = ("stabilizationWindowSeconds", "selectPolicy", "policies", "tolerance")
_POLICY = ("type", "value", "periodSeconds")


def _capital(key: str) -> str:
    return key[:1].upper() + key[1:]


def _internal_behavior(behavior: objects.Object) -> objects.Object:
    out: objects.Object = {}
    for key in ("scaleUp", "scaleDown"):
        found = behavior.get(key)
        if found is None:
            out[_capital(key)] = None
            continue
        inner = {_capital(name): found.get(name) for name in _RULES}
        inner["Policies"] = [
            {_capital(name): policy.get(name) for name in _POLICY}
            for policy in found.get("policies") or ()
        ]
        out[_capital(key)] = inner
    return out


def _api_behavior(value: objects.Object) -> objects.Object:
    """Return an internal behaviour in the API's form; Go reads keys in any case."""
    known = {name.lower(): name for name in ("scaleUp", "scaleDown", *_RULES, *_POLICY)}

    def converted(one: objects.Json) -> objects.Json:
        if isinstance(one, dict):
            return {
                known[key.lower()]: converted(item)
                for key, item in one.items()
                if key.lower() in known and item is not None
            }
        if isinstance(one, list):
            return [converted(item) for item in one]
        return one

    out: objects.Object = converted(value)
    return out
