"""ResourceQuotas, LimitRanges and PriorityClasses.

Source: pkg/apis/core, pkg/apis/scheduling, their registries @1.36.
"""

from __future__ import annotations

from typing import ClassVar

from understudy.kapi.resources import strategies
from understudy.kapi.resources.kinds import requirements, rules
from understudy.kube import causes, names, objects, quantities, statuses

Causes = list[statuses.Cause]

_SCOPES = frozenset({
    "Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "PriorityClass",
    "CrossNamespacePodAffinity", "VolumeAttributesClass",
})  # fmt: skip
_EXISTS_ONLY = _SCOPES - {"PriorityClass", "VolumeAttributesClass"}
_POD_OBJECTS = frozenset({"pods"})
_POD_RESOURCES = frozenset({
    "pods", "cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory",
})  # fmt: skip
_CONFLICTS = ({"BestEffort", "NotBestEffort"}, {"Terminating", "NotTerminating"})
_SYSTEM_PRIORITIES = {"system-node-critical": 2000001000, "system-cluster-critical": 2000000000}
_PRIORITY_MAX = 1_000_000_000


class ResourceQuota(rules.Kind):
    """A ResourceQuota."""

    status_is_separate: ClassVar[bool] = True
    returns_object_on_delete: ClassVar[bool] = True

    def default(self, obj: objects.Object) -> None:
        for part in ("spec", "status"):
            if obj.get(part) is None:
                obj[part] = {}
            for key in ("hard", "used"):
                if amounts := obj[part].get(key):
                    requirements.round_up_millis(amounts)

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        return _quota_spec(obj["spec"])

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        if context.subresource == "status":
            status = obj.get("status") or {}
            return _amounts(status, "hard", "status") + _amounts(status, "used", "status")
        out = _quota_spec(obj["spec"])
        scopes, before = obj["spec"].get("scopes") or [], old["spec"].get("scopes") or []
        if set(scopes) != set(before):
            out.append(causes.invalid("spec.scopes", scopes, causes.IMMUTABLE))
        return out


def _amounts(holder: objects.Object, key: str, part: str) -> Causes:
    out: Causes = []
    for name, value in (holder.get(key) or {}).items():
        at = f"{part}.{key}[{name}]"
        out += requirements.quota_resource_name(name, at)
        out += requirements.amount(name, value, at)
    return out


def _quota_spec(spec: objects.Object) -> Causes:
    out = _amounts(spec, "hard", "spec")
    hard = spec.get("hard") or {}
    scopes = spec.get("scopes") or []
    for scope in scopes:
        if scope not in _SCOPES:
            out.append(causes.invalid("spec.scopes", scopes, "unsupported scope"))
        for name in sorted(hard):
            if requirements.is_quota_name(name) and not _scope_fits(scope, name):
                text = "unsupported scope applied to resource"
                out.append(causes.invalid("spec.scopes", scopes, text))
    out += [
        causes.invalid("spec.scopes", scopes, "conflicting scopes")
        for pair in _CONFLICTS
        if pair <= set(scopes)
    ]
    if (selector := spec.get("scopeSelector")) is not None:
        out += _scope_selector(selector, hard, scopes)
    return out


def _scope_fits(scope: str, name: str) -> bool:
    match scope:
        case "Terminating" | "NotTerminating" | "NotBestEffort" | "PriorityClass":
            return name in _POD_RESOURCES or name.endswith("ephemeral-storage")
        case "CrossNamespacePodAffinity":
            return name in _POD_RESOURCES or name.endswith("ephemeral-storage")
        case "BestEffort":
            return name in _POD_OBJECTS
        case "VolumeAttributesClass":
            return name in {"persistentvolumeclaims", "requests.storage"}
    return True


def _scope_selector(selector: objects.Object, hard: objects.Object, scopes: list[str]) -> Causes:
    at = "spec.scopeSelector.matchExpressions"
    out: Causes = []
    seen: set[str] = set()
    for one in selector.get("matchExpressions") or ():
        scope, operator = one.get("scopeName") or "", one.get("operator") or ""
        values = one.get("values") or []
        if scope not in _SCOPES:
            out.append(causes.invalid(f"{at}.scopeName", scope, "unsupported scope"))
        for name in sorted(hard):
            if requirements.is_quota_name(name) and not _scope_fits(scope, name):
                text = "unsupported scope applied to resource"
                out.append(causes.invalid(at, {"MatchExpressions": []}, text))
        if scope in _EXISTS_ONLY and operator != "Exists":
            text = (
                "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating,"
                " ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort,"
                " ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
            )
            out.append(causes.invalid(f"{at}.operator", operator, text))
        if operator in {"In", "NotIn"}:
            if not values:
                text = (
                    "must be at least one value when `operator` is 'In' or 'NotIn' for scope"
                    " selector"
                )
                out.append(causes.required(f"{at}.values", text))
        elif operator in {"Exists", "DoesNotExist"}:
            if values:
                text = (
                    "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope"
                    " selector"
                )
                out.append(causes.invalid(f"{at}.values", values, text))
        else:
            text = "not a valid selector operator"
            out.append(causes.invalid(f"{at}.operator", operator, text))
        seen.add(scope)
    out += [
        causes.invalid(at, scopes or None, "conflicting scopes")
        for pair in _CONFLICTS
        if pair <= seen
    ]
    return out


_LIMIT_TYPES = frozenset({"Pod", "Container", "PersistentVolumeClaim"})
_LIMIT_KEYS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")


class LimitRange(rules.Listing):
    """A LimitRange."""

    metadata_checks: ClassVar[names.MetadataChecks] = names.MetadataChecks(1, 0, True)
    lists: ClassVar[tuple[tuple[str, ...], ...]] = (("spec", "limits"),)

    def default(self, obj: objects.Object) -> None:
        for limit in (obj.get("spec") or {}).get("limits") or ():
            for key in _LIMIT_KEYS:
                if amounts := limit.get(key):
                    requirements.round_up_millis(amounts)
            if limit.get("type") != "Container":
                continue
            default = {**(limit.get("max") or {}), **(limit.get("default") or {})}
            requests = {**default, **(limit.get("defaultRequest") or {})}
            requests = {**(limit.get("min") or {}), **requests}
            for key, amounts in (("default", default), ("defaultRequest", requests)):
                if amounts:
                    limit[key] = amounts

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        return self._validate(obj)

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        return self._validate(obj)

    def _validate(self, obj: objects.Object) -> Causes:
        out: Causes = []
        seen: set[str] = set()
        for index, limit in enumerate((obj.get("spec") or {}).get("limits") or ()):
            at, kind = f"spec.limits[{index}]", limit.get("type") or ""
            complaints = names.qualified_name(kind)
            out += causes.complaints(f"{at}.type", kind, complaints)
            if not complaints and "/" not in kind and kind not in _LIMIT_TYPES:
                text = "must be a standard limit type or fully qualified"
                out.append(causes.invalid(f"{at}.type", kind, text))
            if kind in seen:
                out.append(causes.duplicate(f"{at}.type", kind))
            seen.add(kind)
            out += _limit(limit, kind, at)
        return out


def _limit(limit: objects.Object, kind: str, at: str) -> Causes:
    out: Causes = []
    pods = kind in {"Pod", "Container"}
    check = requirements.container_resource_name if pods else requirements.resource_name
    found: dict[str, dict[str, quantities.Quantity]] = {}
    for key in _LIMIT_KEYS:
        amounts = limit.get(key) or {}
        if kind == "Pod" and key in {"default", "defaultRequest"}:
            if amounts:
                text = "may not be specified when `type` is 'Pod'"
                out.append(causes.forbidden(f"{at}.{key}", text))
            amounts = {}
        for name in amounts:
            out += check(name, f"{at}.{key}[{name}]")
        found[key] = {name: requirements.parse(value) for name, value in amounts.items()}
    storage = (limit.get("max") or {}).get("storage") or (limit.get("min") or {}).get("storage")
    if kind == "PersistentVolumeClaim" and storage is None:
        text = "either minimum or maximum storage value is required, but neither was provided"
        out.append(causes.required(f"{at}.limits", text))
    for name in dict.fromkeys(name for key in _LIMIT_KEYS for name in found[key]):
        out += _limit_order(name, found, at)
    return out


def _limit_order(name: str, found: dict[str, dict[str, quantities.Quantity]], at: str) -> Causes:
    high, low, default, request, ratio = (found[key].get(name) for key in _LIMIT_KEYS)
    out: Causes = []

    def ordered(
        less: quantities.Quantity | None,
        more: quantities.Quantity | None,
        key: str,
        shown: quantities.Quantity | None,
        words: tuple[str, str],
    ) -> None:
        if less is not None and more is not None and less > more:
            text = f"{words[0]} value {less} is greater than {words[1]} value {more}"
            out.append(causes.invalid(f"{at}.{key}[{name}]", str(shown), text))

    ordered(low, high, "min", low, ("min", "max"))
    ordered(low, request, "defaultRequest", request, ("min", "default request"))
    ordered(request, high, "defaultRequest", request, ("default request", "max"))
    ordered(request, default, "defaultRequest", request, ("default request", "default limit"))
    ordered(low, default, "default", low, ("min", "default"))
    ordered(default, high, "default", high, ("default", "max"))
    if ratio is not None:
        where = f"{at}.maxLimitRequestRatio[{name}]"
        if ratio < quantities.of(1):
            out.append(causes.invalid(where, str(ratio), f"ratio {ratio} is less than 1"))
        if low is not None and high is not None and low.sign > 0:
            bound = high.milli_value / low.milli_value
            if ratio.milli_value / 1000 > bound:
                text = f"ratio {ratio} is greater than max/min = {bound:f}"
                out.append(causes.invalid(where, str(ratio), text))
    if (
        not requirements.may_overcommit(name)
        and default is not None
        and request is not None
        and default != request
    ):
        text = f"default value {default} must equal to defaultRequest value {request} in {name}"
        out.append(causes.invalid(f"{at}.defaultRequest[{name}]", str(request), text))
    return out


class PriorityClass(rules.Kind):
    """A PriorityClass, whose value never changes."""

    has_generation: ClassVar[bool] = True

    def default(self, obj: objects.Object) -> None:
        if obj.get("preemptionPolicy") is None:
            obj["preemptionPolicy"] = "PreemptLowerPriority"

    def advances_generation(
        self, obj: objects.Object, old: objects.Object, subresource: str
    ) -> bool:
        return False

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        name, value = objects.name_of(obj), obj.get("value") or 0
        out: Causes = []
        if name.startswith("system-"):
            if name not in _SYSTEM_PRIORITIES:
                why = f"{name} is not a known system priority class"
            elif value != _SYSTEM_PRIORITIES[name]:
                why = f"value of {name} PriorityClass must be {_SYSTEM_PRIORITIES[name]}"
            elif obj.get("globalDefault"):
                why = f"globalDefault of {name} PriorityClass must be false"
            else:
                why = ""
            if why:
                text = (
                    "priority class names with 'system-' prefix are reserved for system use only."
                    f" error: {why}"
                )
                out.append(causes.forbidden("metadata.name", text))
        elif value > _PRIORITY_MAX:
            text = f"maximum allowed value of a user defined priority is {_PRIORITY_MAX}"
            out.append(causes.forbidden("value", text))
        policy = obj.get("preemptionPolicy")
        if policy is not None:
            known = ("PreemptLowerPriority", "Never")
            out += rules.one_of(policy, "preemptionPolicy", known)
        return out

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        out: Causes = []
        if (obj.get("value") or 0) != (old.get("value") or 0):
            out.append(causes.forbidden("value", "may not be changed in an update."))
        out += rules.immutable(
            obj.get("preemptionPolicy"), old.get("preemptionPolicy"), "preemptionPolicy"
        )
        return out
