"""Dynamic resource allocation: claims, claim templates, device classes, resource slices.

Source: pkg/apis/resource/{v1,validation}, pkg/registry/resource @1.36.
"""

from __future__ import annotations

from typing import ClassVar

from understudy.kapi.resources import strategies
from understudy.kapi.resources.kinds import rules
from understudy.kube import causes, names, objects, statuses

_DEVICES_MAX = 32
_ALLOCATION_MODES = ("All", "ExactCount")


def default_devices(devices: objects.Object | None) -> None:
    """Fill in what a request for devices leaves out."""
    for request in (devices or {}).get("requests") or ():
        for one in (request.get("exactly"), *(request.get("firstAvailable") or ())):
            if one is None:
                continue
            if not one.get("allocationMode"):
                one["allocationMode"] = "ExactCount"
            if one["allocationMode"] == "ExactCount" and not one.get("count"):
                one["count"] = 1


class ResourceClaim(rules.Kind):
    """A ResourceClaim: its spec never changes."""

    returns_object_on_delete: ClassVar[bool] = True
    status_is_separate: ClassVar[bool] = True
    unconditional_update: ClassVar[bool] = True

    def default(self, obj: objects.Object) -> None:
        default_devices((obj.get("spec") or {}).get("devices"))

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        return claim_spec(obj.get("spec") or {}, "spec")

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        return rules.immutable(obj.get("spec"), old.get("spec"), "spec")


class ResourceClaimTemplate(rules.Kind):
    """A ResourceClaimTemplate: it never changes."""

    returns_object_on_delete: ClassVar[bool] = True

    def default(self, obj: objects.Object) -> None:
        default_devices(objects.lookup(obj, ("spec", "spec", "devices")))

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        return claim_spec(objects.lookup(obj, ("spec", "spec")) or {}, "spec.spec")

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        return rules.immutable(obj.get("spec"), old.get("spec"), "spec")


class DeviceClass(rules.Kind):
    """A DeviceClass."""

    returns_object_on_delete: ClassVar[bool] = True
    has_generation: ClassVar[bool] = True

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        return _selectors((obj.get("spec") or {}).get("selectors"), "spec.selectors")

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        return self.validate_create(obj, context)


class ResourceSlice(rules.Kind):
    """A ResourceSlice."""

    returns_object_on_delete: ClassVar[bool] = True
    has_generation: ClassVar[bool] = True
    selectable: ClassVar[tuple[str, ...]] = ("spec.nodeName", "spec.driver")

    def selectable_fields(self, obj: objects.Object) -> dict[str, str]:
        spec = obj.get("spec") or {}
        return {
            "spec.nodeName": spec.get("nodeName") or "",
            "spec.driver": spec.get("driver") or "",
        }

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        spec = obj.get("spec") or {}
        out: list[statuses.Cause] = []
        chosen = [
            key
            for key in ("nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection")
            if spec.get(key)
        ]
        text = (
            "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is "
            "required"
        )
        if not chosen and not spec.get("sharedCounters"):
            out.append(causes.required("spec", text))
        elif len(chosen) > 1:
            shown = "{" + ", ".join(f"`{key}`" for key in chosen) + "}"
            out.append(causes.invalid("spec", shown, text))
        driver = spec.get("driver") or ""
        if not driver:
            out.append(causes.required("spec.driver"))
        else:
            out += rules.checked(driver, "spec.driver", names.dns_subdomain)
        pool = spec.get("pool") or {}
        if not pool.get("name"):
            out.append(causes.required("spec.pool.name"))
        if (pool.get("resourceSliceCount") or 0) <= 0:
            out.append(
                causes.invalid(
                    "spec.pool.resourceSliceCount",
                    pool.get("resourceSliceCount") or 0,
                    "must be greater than zero",
                )
            )
        out += rules.nonnegative(pool.get("generation"), "spec.pool.generation")
        seen: set[str] = set()
        for index, device in enumerate(spec.get("devices") or ()):
            name, field = device.get("name") or "", f"spec.devices[{index}]"
            out += (
                rules.checked(name, f"{field}.name", names.dns_label)
                if name
                else [causes.required(f"{field}.name")]
            )
            if name in seen:
                out.append(causes.duplicate(field, name))
            seen.add(name)
        return out

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        out = self.validate_create(obj, context)
        spec, before = obj.get("spec") or {}, old.get("spec") or {}
        for key in ("nodeName", "driver"):
            out += rules.immutable(spec.get(key), before.get(key), f"spec.{key}")
        pools = [(one.get("pool") or {}).get("name") for one in (spec, before)]
        return out + rules.immutable(pools[0], pools[1], "spec.pool.name")


def claim_spec(spec: objects.Object, field: str) -> list[statuses.Cause]:
    """Check the devices that a claim asks for."""
    devices, at = spec.get("devices") or {}, f"{field}.devices"
    out: list[statuses.Cause] = []
    requests = devices.get("requests") or []
    if len(requests) > _DEVICES_MAX:
        out.append(causes.too_many(f"{at}.requests", len(requests), _DEVICES_MAX))
    seen: set[str] = set()
    for index, request in enumerate(requests):
        out += _request(request, f"{at}.requests[{index}]", seen)
    for index, constraint in enumerate(devices.get("constraints") or ()):
        where = f"{at}.constraints[{index}]"
        out += _references(constraint.get("requests"), f"{where}.requests", seen)
        if not constraint.get("matchAttribute") and not constraint.get("distinctAttribute"):
            text = "exactly one of `matchAttribute` or `distinctAttribute` is required"
            out.append(causes.required(where, text))
    for index, config in enumerate(devices.get("config") or ()):
        where = f"{at}.config[{index}]"
        out += _references(config.get("requests"), f"{where}.requests", seen)
        opaque = config.get("opaque")
        if opaque is None:
            out.append(causes.required(f"{where}.opaque", "exactly one of `opaque` is required"))
        elif not opaque.get("driver"):
            out.append(causes.required(f"{where}.opaque.driver"))
    return out


def _request(request: objects.Object, field: str, seen: set[str]) -> list[statuses.Cause]:
    out: list[statuses.Cause] = []
    name = request.get("name") or ""
    if not name:
        out.append(causes.required(f"{field}.name"))
    else:
        out += rules.checked(name, f"{field}.name", names.dns_label)
    exactly, first = request.get("exactly"), request.get("firstAvailable")
    text = "exactly one of `exactly` or `firstAvailable` is required"
    if exactly is None and not first:
        out.append(causes.required(field, text))
    elif exactly is not None and first:
        out.append(causes.invalid(field, "{`exactly`, `firstAvailable`}", text))
    elif exactly is not None:
        out += _wanted(exactly, f"{field}.exactly")
    else:
        known: set[str] = set()
        for index, one in enumerate(first or ()):
            at = f"{field}.firstAvailable[{index}]"
            sub = one.get("name") or ""
            out += (
                rules.checked(sub, f"{at}.name", names.dns_label)
                if sub
                else [causes.required(f"{at}.name")]
            )
            out += _wanted(one, at)
            if sub in known:
                out.append(causes.duplicate(at, sub))
            known.add(sub)
    if name in seen:
        out.append(causes.duplicate(field, name))
    seen.add(name)
    return out


def _wanted(one: objects.Object, field: str) -> list[statuses.Cause]:
    out: list[statuses.Cause] = []
    device_class = one.get("deviceClassName") or ""
    if not device_class:
        out.append(causes.required(f"{field}.deviceClassName"))
    else:
        out += rules.checked(device_class, f"{field}.deviceClassName", names.dns_subdomain)
    out += _selectors(one.get("selectors"), f"{field}.selectors")
    mode, count = one.get("allocationMode") or "", one.get("count") or 0
    if mode == "All" and count:
        text = "must not be specified when allocationMode is 'All'"
        out.append(causes.invalid(f"{field}.count", count, text))
    elif mode == "ExactCount" and count <= 0:
        out.append(causes.invalid(f"{field}.count", count, "must be greater than zero"))
    elif mode not in _ALLOCATION_MODES:
        out.append(causes.unsupported(f"{field}.allocationMode", mode, _ALLOCATION_MODES))
    return out


def _selectors(selectors: list[objects.Object] | None, field: str) -> list[statuses.Cause]:
    out: list[statuses.Cause] = []
    for index, selector in enumerate(selectors or ()):
        cel = selector.get("cel")
        if cel is None:
            out.append(causes.required(f"{field}[{index}].cel"))
        elif not cel.get("expression"):
            out.append(causes.required(f"{field}[{index}].cel.expression"))
    return out


def _references(requests: list[str] | None, field: str, known: set[str]) -> list[statuses.Cause]:
    text = (
        "must be the name of a request in the claim or the name of a request and a subrequest "
        "separated by '/'"
    )
    return [
        causes.invalid(f"{field}[{index}]", name, text)
        for index, name in enumerate(requests or ())
        if name.partition("/")[0] not in known
    ]
