"""Events: two API groups over one store, and old clients who send less than new ones.

Objects are kept in the core form; `to_core` and `from_core` convert. Source:
pkg/apis/core/validation/events.go, pkg/apis/events/v1/conversion.go @1.36.
"""

from __future__ import annotations

from typing import ClassVar

from understudy.kapi.resources import strategies
from understudy.kapi.resources.kinds import gotypes, rules
from understudy.kube import causes, names, objects, statuses

Causes = list[statuses.Cause]

_REASON_MAX, _ACTION_MAX, _INSTANCE_MAX, _NOTE_MAX = 128, 128, 128, 1024
_RENAMED = (
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
)
_REFERENCE = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
_FROZEN = (
    "involvedObject", "reason", "message", "source", "firstTimestamp", "lastTimestamp", "count",
    "reportingComponent", "reportingInstance", "action", "related", "type",
)  # fmt: skip
_STRUCTS = {
    "involvedObject": "ObjectReference", "related": "ObjectReference", "source": "EventSource",
}  # fmt: skip
_CLUSTER_NAMESPACES = frozenset({"", "default", "kube-system"})


class Event(rules.PathNamed):
    """An Event of the core group."""

    creates_on_update: ClassVar[bool] = True
    reference: ClassVar[str] = "involvedObject"
    reporter: ClassVar[str] = "reportingComponent"
    is_new_api: ClassVar[bool] = False
    selectable: ClassVar[tuple[str, ...]] = (
        *(f"involvedObject.{key}" for key in _REFERENCE),
        "reason", "reportingComponent", "source", "type",
    )  # fmt: skip

    def validate_name(self, name: str) -> list[str]:
        return names.dns_subdomain(name)

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        out = _legacy(obj)
        if self.is_new_api or not _is_old(obj):
            out += _strict(obj)
        return out

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        out = _legacy(obj)
        if not self.is_new_api and _is_old(obj):
            return out
        out += _strict(obj)
        for key in _FROZEN:
            new, before = obj.get(key), old.get(key)
            if not rules.same(new, before):
                kind = _STRUCTS.get(key)
                shown = gotypes.internal(new, kind) if kind and new is not None else new
                out.append(causes.invalid(key, shown, causes.IMMUTABLE))
        if not _same_micros(obj.get("eventTime"), old.get("eventTime")):
            out.append(causes.invalid("eventTime", obj.get("eventTime"), causes.IMMUTABLE))
        return out

    def selectable_fields(self, obj: objects.Object) -> dict[str, str]:
        reference = obj.get("involvedObject") or {}
        reporter = obj.get("reportingComponent") or ""
        source = (obj.get("source") or {}).get("component") or reporter
        fields = {
            "reason": obj.get("reason") or "",
            "reportingComponent": reporter,
            "reportingController": reporter,
            "source": source,
            "type": obj.get("type") or "",
        }
        for key in _REFERENCE:
            value = str(reference.get(key) or "")
            fields[f"involvedObject.{key}"] = fields[f"regarding.{key}"] = value
        return fields


class EventsEvent(Event):
    """The same Event in its own group, which asks for more."""

    is_new_api: ClassVar[bool] = True
    selectable: ClassVar[tuple[str, ...]] = (
        *(f"regarding.{key}" for key in _REFERENCE), "reason", "reportingController", "type",
    )  # fmt: skip


def _is_old(obj: objects.Object) -> bool:
    return obj.get("eventTime") is None


def _same_micros(new: str | None, old: str | None) -> bool:
    return (new or "") == (old or "")


def _legacy(obj: objects.Object) -> Causes:
    """Check where the event lies, and its count."""
    reference = obj.get("involvedObject") or {}
    namespace, own = reference.get("namespace") or "", objects.namespace_of(obj)
    at, text = "involvedObject.namespace", "does not match event.namespace"
    if not namespace:
        if own not in _CLUSTER_NAMESPACES:
            return [causes.invalid(at, namespace, text)]
    elif namespace != own:
        return [causes.invalid(at, namespace, text)]
    return []


def _strict(obj: objects.Object) -> Causes:
    """Check what the newer group asks for."""
    out: Causes = []
    if obj.get("eventTime") is None:
        out.append(causes.required("eventTime"))
        out += _type(obj)
        return out
    controller = obj.get("reportingComponent") or ""
    if not controller:
        out.append(causes.required("reportingController"))
    elif complaints := names.qualified_name(controller):
        out += causes.complaints("reportingController", controller, complaints)
    instance = obj.get("reportingInstance") or ""
    if not instance:
        out.append(causes.required("reportingInstance"))
    if len(instance) > _INSTANCE_MAX:
        text = f"can have at most {_INSTANCE_MAX} characters"
        out.append(causes.invalid("reportingInstance", "", text))
    for key, limit in (("action", _ACTION_MAX), ("reason", _REASON_MAX)):
        value = obj.get(key) or ""
        if not value:
            out.append(causes.required(key))
        if len(value) > limit:
            text = f"can have at most {limit} characters"
            out.append(causes.invalid(key, "", text))
    if len(obj.get("message") or "") > _NOTE_MAX:
        text = f"can have at most {_NOTE_MAX} characters"
        out.append(causes.invalid("note", "", text))
    return out + _type(obj)


def _type(obj: objects.Object) -> Causes:
    kind = obj.get("type") or ""
    if kind in {"Normal", "Warning"}:
        return []
    return [causes.invalid("type", "", f"has invalid value: {kind}")]


def to_core(obj: objects.Object) -> objects.Object:
    """Return an events.k8s.io Event in the core form."""
    out = dict(obj)
    out["apiVersion"] = "v1"
    for core, new in _RENAMED:
        if new in out:
            out[core] = out.pop(new)
    out.setdefault("involvedObject", {})
    out.setdefault("source", {})
    for key in ("firstTimestamp", "lastTimestamp", "eventTime"):
        out.setdefault(key, None)
    for key in ("reportingComponent", "reportingInstance"):
        out.setdefault(key, "")
    return out


def from_core(obj: objects.Object) -> objects.Object:
    """Return a core Event in the form of events.k8s.io."""
    out = dict(obj)
    out["apiVersion"] = "events.k8s.io/v1"
    for core, new in _RENAMED:
        if core in out:
            out[new] = out.pop(core)
    for key in ("note", "reportingController", "reportingInstance", "deprecatedCount"):
        if not out.get(key):
            out.pop(key, None)
    out.setdefault("regarding", {})
    out.setdefault("deprecatedSource", {})
    for key in ("deprecatedFirstTimestamp", "deprecatedLastTimestamp", "eventTime"):
        out.setdefault(key, None)
    return out
