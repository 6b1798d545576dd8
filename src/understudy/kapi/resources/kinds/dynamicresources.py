"""Dynamic resource allocation: claims, claim templates, device classes, resource slices.

Source: pkg/apis/resource/{v1,validation}, pkg/registry/resource @1.36.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from understudy.aio import clocks
from understudy.kapi.resources import strategies
from understudy.kapi.resources.kinds import (
    deviceselectors,
    gotypes,
    requirements,
    rules,
    scheduling,
    slicedevices,
    sources,
)
from understudy.kube import causes, names, objects, statuses

_TYPES = "io.k8s.api.resource.v1."
_DEVICES_MAX, _FIRST_MAX, _PARAMETER_BYTES_MAX = 32, 8, 10 * 1024
_PARAMETERS = ("config", "*", "opaque", "parameters")
_RESERVED_MAX = 256
_ADMIN = "resource.kubernetes.io/admin-access"
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
            for toleration in one.get("tolerations") or ():
                if not toleration.get("operator"):
                    toleration["operator"] = "Equal"


class ResourceClaim(rules.Kind):
    """A ResourceClaim: its spec never changes."""

    metadata_checks: ClassVar[names.MetadataChecks] = names.MetadataChecks(1, 1, True)
    raw_fields: ClassVar[tuple[tuple[str, ...], ...]] = (("spec", "devices", *_PARAMETERS),)
    returns_object_on_delete: ClassVar[bool] = True
    status_is_separate: ClassVar[bool] = True
    resets_metadata: ClassVar[bool] = True

    def default(self, obj: objects.Object) -> None:
        default_devices((obj.get("spec") or {}).get("devices"))

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        spec = obj.get("spec") or {}
        return claim_spec(spec, "spec") + _admin_access(spec, obj, context)

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        if context.subresource == "status":
            return _claim_status(obj, old)
        if rules.same(obj.get("spec"), old.get("spec")):
            return []
        shown = gotypes.internal(obj.get("spec") or {}, f"{_TYPES}ResourceClaimSpec")
        return [causes.invalid("spec", shown, causes.IMMUTABLE)]


class ResourceClaimTemplate(rules.Kind):
    """A ResourceClaimTemplate: it never changes."""

    metadata_checks: ClassVar[names.MetadataChecks] = names.MetadataChecks(1, 1, True)
    raw_fields: ClassVar[tuple[tuple[str, ...], ...]] = (("spec", "spec", "devices", *_PARAMETERS),)
    returns_object_on_delete: ClassVar[bool] = True

    def default(self, obj: objects.Object) -> None:
        default_devices(objects.lookup(obj, ("spec", "spec", "devices")))

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        spec = obj.get("spec") or {}
        meta, inner = spec.get("metadata") or {}, spec.get("spec") or {}
        out = names.validate_annotations(meta.get("annotations") or {}, "spec.metadata.annotations")
        out += names.validate_labels(meta.get("labels") or {}, "spec.metadata.labels")
        return out + claim_spec(inner, "spec.spec") + _admin_access(inner, obj, context)

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        out = self.validate_create(obj, context)
        if rules.same(obj.get("spec"), old.get("spec")):
            return out
        spec = obj.get("spec") or {}
        inner = gotypes.internal(spec.get("spec") or {}, f"{_TYPES}ResourceClaimSpec")
        shown = {**(spec.get("metadata") or {}), "Spec": inner}
        return [*out, causes.invalid("spec", shown, causes.IMMUTABLE)]


class DeviceClass(rules.Kind):
    """A DeviceClass."""

    metadata_checks: ClassVar[names.MetadataChecks] = names.MetadataChecks(1, 1, True)
    raw_fields: ClassVar[tuple[tuple[str, ...], ...]] = (("spec", *_PARAMETERS),)
    returns_object_on_delete: ClassVar[bool] = True
    has_generation: ClassVar[bool] = True

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        spec = obj.get("spec") or {}
        out = _selectors(spec.get("selectors"), "spec.selectors")
        for index, config in enumerate(spec.get("config") or ()):
            out += _configuration(config, f"spec.config[{index}]")
        name = spec.get("extendedResourceName")
        if name is not None and not requirements.is_extended(name):
            text = "must be a valid extended resource name"
            out.append(causes.invalid("spec.extendedResourceName", name, text))
        return out

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        return self.validate_create(obj, context)


def _stamp_taints(resource_slice: objects.Object, context: strategies.WriteContext) -> None:
    """Say of taints that do not when they were added."""
    for device in (resource_slice.get("spec") or {}).get("devices") or ():
        for taint in device.get("taints") or ():
            if taint.get("timeAdded") is None:
                taint["timeAdded"] = clocks.rfc3339(context.now)


class ResourceSlice(rules.Kind):
    """A ResourceSlice."""

    returns_object_on_delete: ClassVar[bool] = True
    has_generation: ClassVar[bool] = True
    selectable: ClassVar[tuple[str, ...]] = ("spec.nodeName", "spec.driver")
    selectable_refusal: ClassVar[str] = (
        "field label not supported for resource.k8s.io/v1, Kind=ResourceSlice: {}"
    )

    def prepare_create(self, obj: objects.Object, context: strategies.WriteContext) -> None:
        super().prepare_create(obj, context)
        _stamp_taints(obj, context)

    def prepare_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> None:
        super().prepare_update(obj, old, context)
        _stamp_taints(obj, context)

    def warnings(self, obj: objects.Object, old: objects.Object | None) -> list[str]:
        driver = str((obj.get("spec") or {}).get("driver") or "")
        if driver == driver.lower():
            return []
        return [
            "spec.driver: driver names should be lowercase; "
            f"{causes.quoted(driver)} contains uppercase characters"
        ]

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
        out = sources.csi_driver_name(spec.get("driver") or "", "spec.driver")
        out += _nodes(spec)
        pool = spec.get("pool") or {}
        out += _pool_name(pool.get("name") or "", "spec.pool.name")
        if (pool.get("resourceSliceCount") or 0) <= 0:
            out.append(
                causes.invalid(
                    "spec.pool.resourceSliceCount",
                    pool.get("resourceSliceCount") or 0,
                    "must be greater than zero",
                )
            )
        if (pool.get("generation") or 0) < 0:
            text = "must be greater than or equal to zero"
            out.append(causes.invalid("spec.pool.generation", pool["generation"], text))
        return out + slicedevices.validate(spec)

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        out = self.validate_create(obj, context)
        spec, before = obj.get("spec") or {}, old.get("spec") or {}
        for key in ("nodeName", "driver"):
            out += rules.immutable(spec.get(key), before.get(key), f"spec.{key}")
        pools = [(one.get("pool") or {}).get("name") for one in (spec, before)]
        return out + rules.immutable(pools[0], pools[1], "spec.pool.name")


def _pool_name(name: str, field: str) -> list[statuses.Cause]:
    if not name:
        return [causes.required(field)]
    out = [causes.too_long(field, 253)] if names.size(name) > 253 else []
    for part in name.split("/"):
        out += causes.complaints(field, part, names.dns_subdomain(part))
    return out


def _nodes(spec: objects.Object) -> list[statuses.Cause]:
    """Check that a slice says in exactly one way which nodes have its devices."""
    out: list[statuses.Cause] = []
    chosen: list[str] = []
    name, selector = spec.get("nodeName"), spec.get("nodeSelector")
    if name:
        chosen.append("`nodeName`")
        out += causes.complaints("spec.nodeName", name, names.dns_subdomain(name))
    elif name is not None:
        text = "must be either unset or set to a non-empty string"
        out.append(causes.invalid("spec.nodeName", name, text))
    if selector is not None:
        chosen.append("`nodeSelector`")
        out += scheduling.node_selector(selector, "spec.nodeSelector")
        terms = selector.get("nodeSelectorTerms")
        if len(terms or ()) != 1:
            text = "must have exactly one node selector term"
            out.append(causes.invalid("spec.nodeSelector.nodeSelectorTerms", terms, text))
    for key in ("allNodes", "perDeviceNodeSelection"):
        if spec.get(key):
            chosen.append(f"`{key}`")
        elif spec.get(key) is not None:
            text = "must be either unset or set to true"
            out.append(causes.invalid(f"spec.{key}", spec[key], text))
    text = (
        "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is "
        "required"
    )
    if not chosen:
        out.append(causes.required("spec", text))
    elif len(chosen) > 1:
        shown = "{" + ", ".join(chosen) + "}"
        out.append(causes.invalid("spec", shown, f"{text}, but multiple fields are set"))
    return out


def claim_spec(spec: objects.Object, field: str) -> list[statuses.Cause]:
    """Check the devices that a claim asks for."""
    devices, at = spec.get("devices") or {}, f"{field}.devices"
    requests, constraints, configs = (
        devices.get(key) or [] for key in ("requests", "constraints", "config")
    )
    out = _named(requests, f"{at}.requests", _DEVICES_MAX, _request)
    known = _request_names(spec)
    if len(constraints) > _DEVICES_MAX:
        out.append(causes.too_many(f"{at}.constraints", len(constraints), _DEVICES_MAX))
    for index, constraint in enumerate(constraints):
        where = f"{at}.constraints[{index}]"
        out += _references(constraint.get("requests") or [], f"{where}.requests", known)
        out += _attribute(constraint, where)
    if len(configs) > _DEVICES_MAX:
        out.append(causes.too_many(f"{at}.config", len(configs), _DEVICES_MAX))
    for index, config in enumerate(configs):
        where = f"{at}.config[{index}]"
        out += _references(config.get("requests") or [], f"{where}.requests", known)
        out += _configuration(config, where)
    return out


def _named(
    values: list[objects.Object],
    field: str,
    limit: int,
    check: Callable[[objects.Object, str], list[statuses.Cause]],
) -> list[statuses.Cause]:
    """Check a list whose items have names of their own."""
    out: list[statuses.Cause] = []
    if len(values) > limit:
        out.append(causes.too_many(field, len(values), limit))
    seen: set[str] = set()
    for index, one in enumerate(values):
        at, name = f"{field}[{index}]", one.get("name") or ""
        out += causes.complaints(f"{at}.name", name, names.dns_label(name))
        out += check(one, at)
        if name in seen:
            out.append(causes.duplicate(at, name))
        seen.add(name)
    return out


def _attribute(constraint: objects.Object, field: str) -> list[statuses.Cause]:
    for key in ("matchAttribute", "distinctAttribute"):
        name = constraint.get(key)
        if name is None:
            continue
        domain, slash, identifier = name.rpartition("/")
        text = "a fully qualified name must be a domain and a name separated by a slash"
        out = [] if slash else [causes.invalid(f"{field}.{key}", name, text)]
        if slash:
            out += causes.complaints(f"{field}.{key}", domain, names.dns_subdomain(domain))
        return out + causes.complaints(f"{field}.{key}", identifier, names.c_identifier(identifier))
    text = (
        'exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields'
        " are set"
    )
    return [causes.required(field, text)]


def _configuration(config: objects.Object, field: str) -> list[statuses.Cause]:
    opaque, at = config.get("opaque"), f"{field}.opaque"
    if opaque is None:
        return [causes.required(at)]
    out = sources.csi_driver_name(opaque.get("driver") or "", f"{at}.driver")
    parameters = opaque.get("parameters")
    if parameters is None:
        out.append(causes.required(f"{at}.parameters"))
    elif not isinstance(parameters, dict):
        text = "must be a valid JSON object"
        out.append(causes.invalid(f"{at}.parameters", "<value omitted>", text))
    elif names.size(causes.printed(parameters)) > _PARAMETER_BYTES_MAX:
        out.append(causes.too_long(f"{at}.parameters", _PARAMETER_BYTES_MAX))
    return out


def _request(request: objects.Object, field: str) -> list[statuses.Cause]:
    exactly, first = request.get("exactly"), request.get("firstAvailable")
    text = "exactly one of `exactly` or `firstAvailable` is required"
    if exactly is None and not first:
        return [causes.required(field, text)]
    if exactly is not None and first:
        return [causes.invalid(field, None, f"{text}, but multiple fields are set")]
    if exactly is not None:
        return _wanted(exactly, f"{field}.exactly")
    return _named(first or [], f"{field}.firstAvailable", _FIRST_MAX, _wanted)


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
    for index, toleration in enumerate(one.get("tolerations") or ()):
        out += _toleration(toleration, f"{field}.tolerations[{index}]")
    return out


def _toleration(toleration: objects.Object, field: str) -> list[statuses.Cause]:
    key, value = toleration.get("key") or "", toleration.get("value") or ""
    out = causes.complaints(f"{field}.key", key, names.label_key(key)) if key else []
    operator = toleration.get("operator")
    if operator == "Equal":
        out += causes.complaints(f"{field}.value", value, names.label_value(value))
    elif operator == "Exists":
        if value:
            text = "must be empty for operator `Exists`"
            out.append(causes.invalid(f"{field}.value", value, text))
    else:
        out.append(causes.unsupported(f"{field}.operator", operator, ("Equal", "Exists")))
    effect = toleration.get("effect")
    return out + rules.one_of(effect, f"{field}.effect", slicedevices.EFFECTS, required=False)


def _selectors(selectors: list[objects.Object] | None, field: str) -> list[statuses.Cause]:
    out: list[statuses.Cause] = []
    for index, selector in enumerate(selectors or ()):
        cel = selector.get("cel")
        if cel is None:
            out.append(causes.required(f"{field}[{index}].cel"))
        else:
            at = f"{field}[{index}].cel.expression"
            out += deviceselectors.validate(cel.get("expression") or "", at)
    return out


def _request_names(spec: objects.Object) -> set[str]:
    """Return what requests are called, and their alternatives: `r`, `r/s`."""
    known: set[str] = set()
    for request in (spec.get("devices") or {}).get("requests") or ():
        name = request.get("name") or ""
        subs = {f"{name}/{one.get('name')}" for one in request.get("firstAvailable") or ()}
        known |= {name, *subs}
    return known


def _admin_access(
    spec: objects.Object, obj: objects.Object, context: strategies.WriteContext
) -> list[statuses.Cause]:
    """Complain about access for administrators outside the namespaces that allow it."""
    requests = (spec.get("devices") or {}).get("requests") or ()
    for index, request in enumerate(requests):
        if not (request.get("exactly") or {}).get("adminAccess"):
            continue
        if context.reader.labels("namespaces", "", objects.namespace_of(obj)).get(_ADMIN) == "true":
            return []
        text = (
            f"admin access to devices requires the `{_ADMIN}: true` label on the containing"
            " namespace"
        )
        return [causes.forbidden(f"spec.devices.requests[{index}].adminAccess", text)]
    return []


def _references(requests: list[str], field: str, known: set[str]) -> list[statuses.Cause]:
    out: list[statuses.Cause] = []
    for index, name in enumerate(requests):
        at = f"{field}[{index}]"
        out += _reference(name, at, known)
        if name in requests[:index]:
            out.append(causes.duplicate(at, name))
    return out


def _reference(name: str, field: str, known: set[str]) -> list[statuses.Cause]:
    text = (
        "must be the name of a request in the claim or the name of a request and a subrequest "
        "separated by '/'"
    )
    parts = name.split("/")
    out: list[statuses.Cause] = []
    if len(parts) <= 2:
        for part in parts:
            out += causes.complaints(field, part, names.dns_label(part))
    if name not in known:
        out.append(causes.invalid(field, name, text))
    return out


def _claim_status(obj: objects.Object, old: objects.Object) -> list[statuses.Cause]:
    """Check who uses a claim, and what it was given, which never changes then."""
    status, before = obj.get("status") or {}, old.get("status") or {}
    allocation, at = status.get("allocation"), "status.reservedFor"
    out: list[statuses.Cause] = []
    reserved = status.get("reservedFor") or []
    if len(reserved) > _RESERVED_MAX:
        out.append(causes.too_many(at, len(reserved), _RESERVED_MAX))
    for index, one in enumerate(reserved):
        keys = ("resource", "name", "uid")
        out += [causes.required(f"{at}[{index}].{key}") for key in keys if not one.get(key)]
        if one.get("uid") in [other.get("uid") for other in reserved[:index]]:
            out.append(causes.duplicate(f"{at}[{index}]", one.get("uid") or ""))
    if reserved and allocation is None:
        text = "may not be specified when `allocated` is not set"
        out.append(causes.forbidden(at, text))
    elif obj["metadata"].get("deletionTimestamp") and any(
        one not in (before.get("reservedFor") or []) for one in reserved
    ):
        text = (
            "new entries may not be added while `deallocationRequested` or `deletionTimestamp`"
            " are set"
        )
        out.append(causes.forbidden(at, text))
    if allocation is None:
        return out
    if (given := before.get("allocation")) is not None:
        if not rules.same(allocation, given):
            shown = gotypes.internal(allocation, f"{_TYPES}AllocationResult")
            out.append(causes.invalid("status.allocation", shown, causes.IMMUTABLE))
        return out
    return out + _allocation(allocation, _request_names(obj.get("spec") or {}))


def _allocation(allocation: objects.Object, known: set[str]) -> list[statuses.Cause]:
    devices, field = allocation.get("devices") or {}, "status.allocation.devices"
    out: list[statuses.Cause] = []
    for index, one in enumerate(devices.get("results") or ()):
        at = f"{field}.results[{index}]"
        out += _reference(one.get("request") or "", f"{at}.request", known)
        out += sources.csi_driver_name(one.get("driver") or "", f"{at}.driver")
        out += _pool_name(one.get("pool") or "", f"{at}.pool")
        out += rules.checked(one.get("device") or "", f"{at}.device", names.dns_label)
    for index, config in enumerate(devices.get("config") or ()):
        at = f"{field}.config[{index}]"
        source = config.get("source")
        out += rules.one_of(source, f"{at}.source", ("FromClaim", "FromClass"))
        out += _references(config.get("requests") or [], f"{at}.requests", known)
        out += _configuration(config, at)
    if (selector := allocation.get("nodeSelector")) is not None:
        out += scheduling.node_selector(selector, "status.allocation.nodeSelector")
    return out
