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

_LIMITS = {"reportingInstance": 128, "action": 128, "reason": 128, "message": 1024}
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


class Event(rules.PathNamed):
    """An Event of the core group."""

    metadata_checks: ClassVar[names.MetadataChecks] = names.MetadataChecks()
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
        out = self._legacy(obj)
        if self.is_new_api:
            out += _series(obj) + _strict(obj)
        return out

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        out = self._legacy(obj)
        if not self.is_new_api:
            return out
        if obj.get("series") != old.get("series"):
            out += _series(obj)
        for key in _FROZEN:
            new, before = obj.get(key), old.get(key)
            if not rules.same(new, before):
                kind = _STRUCTS.get(key)
                shown = gotypes.internal(new, kind) if kind and new is not None else new
                out.append(causes.invalid(key, shown, causes.IMMUTABLE))
        if (obj.get("eventTime") or "") != (old.get("eventTime") or ""):
            out.append(causes.invalid("eventTime", obj.get("eventTime"), causes.IMMUTABLE))
        return out

    def _legacy(self, obj: objects.Object) -> Causes:
        """Check what every event must say; the newer ones have an eventTime."""
        reference, own = obj.get("involvedObject") or {}, objects.namespace_of(obj)
        namespace = reference.get("namespace") or ""
        is_new = obj.get("eventTime") is not None
        if not namespace:
            elsewhere = own not in {"default", "kube-system" if is_new else ""}
        else:
            elsewhere = not is_new and namespace != own
        out: Causes = []
        if elsewhere:
            text = "does not match event.namespace"
            out.append(causes.invalid("involvedObject.namespace", namespace, text))
        return out + self._described(obj) if is_new else out

    def _described(self, obj: objects.Object) -> Causes:
        """Check who says what of an event."""
        out: Causes = []
        reporter = obj.get("reportingComponent") or ""
        if not reporter:
            out.append(causes.required(self.reporter))
        out += causes.complaints(self.reporter, reporter, names.qualified_name(reporter))
        for key, limit in _LIMITS.items():
            value = obj.get(key) or ""
            if not value and key != "message":
                out.append(causes.required(key))
            if names.size(value) > limit:
                out.append(causes.invalid(key, "", f"can have at most {limit} characters"))
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

    metadata_checks: ClassVar[names.MetadataChecks] = names.MetadataChecks(0, 1, True)
    is_new_api: ClassVar[bool] = True
    reporter: ClassVar[str] = "reportingController"
    selectable: ClassVar[tuple[str, ...]] = (
        *(f"regarding.{key}" for key in _REFERENCE), "reason", "reportingController", "type",
    )  # fmt: skip


def _series(obj: objects.Object) -> Causes:
    series = obj.get("series")
    if series is None:
        return []
    out: Causes = []
    if (series.get("count") or 0) < 2:
        out.append(causes.invalid("series.count", "", "should be at least 2"))
    if not series.get("lastObservedTime"):
        out.append(causes.required("series.lastObservedTime"))
    return out


def _strict(obj: objects.Object) -> Causes:
    """Check what the newer group asks for, and that nothing else is said."""
    out: Causes = []
    if obj.get("eventTime") is None:
        out.append(causes.required("eventTime"))
    kind = obj.get("type") or ""
    if kind not in {"Normal", "Warning"}:
        out.append(causes.invalid("type", "", f"has invalid value: {kind}"))
    out += [
        causes.invalid(key, "", "needs to be unset")
        for key in ("firstTimestamp", "lastTimestamp", "count")
        if obj.get(key)
    ]
    if any((obj.get("source") or {}).values()):
        out.append(causes.invalid("source", "", "needs to be unset"))
    return out


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
