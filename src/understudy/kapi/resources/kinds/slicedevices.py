"""What a ResourceSlice says of its devices: names, attributes, capacities, taints, nodes.

Source: pkg/apis/resource/validation @1.36.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from understudy.kapi.resources.kinds import gotypes, rules, scheduling, sources
from understudy.kube import causes, names, objects, statuses

Causes = list[statuses.Cause]
_DEVICES_MAX, _ADVANCED_MAX, _TAINTS_MAX, _ENTRIES_MAX = 128, 64, 16, 32
_COUNTER_SETS_MAX = 8
_VALUE_BYTES_MAX, _ID_BYTES_MAX = 64, 32
EFFECTS = ("NoExecute", "NoSchedule", "None")
_VALUES = ("bool", "int", "string", "version")
_NUMBER, _PART = r"(0|[1-9]\d*)", r"(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)"
_SEMVER = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(-{_PART}(\.{_PART})*)?"
    r"(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?"
)


def validate(spec: objects.Object) -> Causes:
    """Check the devices of a slice."""
    found, at = spec.get("devices") or [], "spec.devices"
    is_advanced = any(one.get("taints") or one.get("consumesCounters") for one in found)
    limit = _ADVANCED_MAX if is_advanced else _DEVICES_MAX
    if len(found) > limit:
        return [causes.too_many(at, len(found), limit)]
    out: Causes = []
    seen: set[str] = set()
    for index, device in enumerate(found):
        field, name = f"{at}[{index}]", device.get("name") or ""
        out += _device(device, field, per_device=bool(spec.get("perDeviceNodeSelection")))
        if name in seen:
            out.append(causes.duplicate(field, name))
        seen.add(name)
    return out + _counter_sets(spec.get("sharedCounters") or [], "spec.sharedCounters")


def _counter_sets(found: list[objects.Object], at: str) -> Causes:
    out: Causes = []
    if len(found) > _COUNTER_SETS_MAX:
        out.append(causes.too_many(at, len(found), _COUNTER_SETS_MAX))
    seen: set[str] = set()
    for index, one in enumerate(found):
        field, name = f"{at}[{index}]", one.get("name") or ""
        if not name:
            out.append(causes.required(f"{field}.name"))
        else:
            out += rules.checked(name, f"{field}.name", names.dns_label)
        if not one.get("counters"):
            out.append(causes.required(f"{field}.counters"))
        for counter in one.get("counters") or ():
            out += rules.checked(counter, f"{field}.counters", names.dns_label)
        if name in seen:
            out.append(causes.duplicate(field, name))
        seen.add(name)
    return out


def _device(device: objects.Object, field: str, *, per_device: bool) -> Causes:
    name = device.get("name") or ""
    out = rules.checked(name, f"{field}.name", names.dns_label)
    attributes, capacity = device.get("attributes") or {}, device.get("capacity") or {}
    if (count := len(attributes) + len(capacity)) > _ENTRIES_MAX:
        text = f"the total number of attributes and capacities must not exceed {_ENTRIES_MAX}"
        out.append(causes.invalid(field, count, text))
    out += _named(attributes, f"{field}.attributes", _attribute)
    is_shared = bool(device.get("allowMultipleAllocations"))
    out += _named(capacity, f"{field}.capacity", lambda one, at: _capacity(one, at, is_shared))
    taints = device.get("taints") or []
    if len(taints) > _TAINTS_MAX:
        out.append(causes.too_many(f"{field}.taints", len(taints), _TAINTS_MAX))
    else:
        for index, taint in enumerate(taints):
            out += _taint(taint, f"{field}.taints[{index}]")
    return out + _nodes(device, field, per_device=per_device)


def _named(
    values: dict[str, objects.Object],
    field: str,
    check: Callable[[objects.Object, str], Causes],
) -> Causes:
    out: Causes = []
    for name, value in values.items():
        at = f"{field}[{name}]"
        out += qualified_name(name, at) + check(value or {}, at)
    return out


def qualified_name(name: str, field: str) -> Causes:
    """Check `name` or `domain/name`: a C identifier, in a driver's domain if it has one."""
    domain, slash, identifier = name.partition("/")
    if not slash:
        return _identifier(domain, field)
    if "/" in identifier:
        return [causes.invalid(field, name, "must not contain more than one slash")]
    out = (
        sources.csi_driver_name(domain, field)
        if domain
        else [causes.invalid(field, "", "the domain must not be empty")]
    )
    if not identifier:
        return [*out, causes.invalid(field, "", "the name must not be empty")]
    return out + _identifier(identifier, field)


def _identifier(name: str, field: str) -> Causes:
    out = [causes.too_long(field, _ID_BYTES_MAX)] if names.size(name) > _ID_BYTES_MAX else []
    return out + causes.complaints(field, name, names.c_identifier(name))


def _attribute(attribute: objects.Object, field: str) -> Causes:
    out: Causes = []
    given = [key for key in _VALUES if attribute.get(key) is not None]
    for key in ("string", "version"):
        value = attribute.get(key)
        if value is None:
            continue
        if key == "version" and not _SEMVER.fullmatch(value):
            text = "must be a string compatible with semver.org spec 2.0.0"
            out.append(causes.invalid(f"{field}.{key}", value, text))
        if names.size(value) > _VALUE_BYTES_MAX:
            out.append(causes.too_long(f"{field}.{key}", _VALUE_BYTES_MAX))
    if len(given) != 1:
        shown = gotypes.internal(attribute, "io.k8s.api.resource.v1.DeviceAttribute")
        text = "exactly one value must be specified"
        out.append(causes.invalid(field, shown if given else "", text))
    return out


def _capacity(capacity: objects.Object, field: str, is_shared: bool) -> Causes:
    if capacity.get("requestPolicy") is None or is_shared:
        return []
    text = "allowMultipleAllocations must be true"
    return [causes.forbidden(f"{field}.requestPolicy", text)]


def _taint(taint: objects.Object, field: str) -> Causes:
    key, value = taint.get("key") or "", taint.get("value") or ""
    out = causes.complaints(f"{field}.key", key, names.qualified_name(key))
    out += causes.complaints(f"{field}.value", value, names.label_value(value))
    return out + rules.one_of(taint.get("effect"), f"{field}.effect", EFFECTS)


def _nodes(device: objects.Object, field: str, *, per_device: bool) -> Causes:
    name, selector = device.get("nodeName"), device.get("nodeSelector")
    everywhere = device.get("allNodes")
    if not per_device:
        if name is None and selector is None and everywhere is None:
            return []
        text = (
            "`nodeName`, `nodeSelector` and `allNodes` can only be set if "
            "`perDeviceNodeSelection` is set to true in the ResourceSlice spec"
        )
        return [causes.invalid(field, None, text)]
    out: Causes = []
    chosen: list[str] = []
    if name:
        chosen.append("`nodeName`")
        out += causes.complaints(f"{field}.nodeName", name, names.dns_subdomain(name))
    elif name is not None:
        out.append(causes.invalid(f"{field}.nodeName", name, "must not be empty"))
    if selector is not None:
        chosen.append("`nodeSelector`")
        out += scheduling.node_selector(selector, f"{field}.nodeSelector")
    if everywhere:
        chosen.append("`allNodes`")
    elif everywhere is not None:
        text = "must be either unset or set to true"
        out.append(causes.invalid(f"{field}.allNodes", everywhere, text))
    text = (
        "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when "
        "`perDeviceNodeSelection` is set to true in the ResourceSlice spec"
    )
    if not chosen:
        out.append(causes.required(field, text))
    elif len(chosen) > 1:
        out.append(causes.invalid(field, "{" + ", ".join(chosen) + "}", text))
    return out
