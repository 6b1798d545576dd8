"""Events as Kubernetes' recorders write them: counted, collapsed when similar, limited when many.

`Recorder` is the older kind, used by the controllers: core/v1 Events with a `count`. The same event
again raises the count of the first; the tenth similar one (same object and reason, another text)
and those after it share one Event "(combined from similar events): ...". `SeriesRecorder` is the
scheduler's: events.k8s.io Events without a count that grow a `series`.

Source: client-go `tools/record/events_cache.go` and `tools/events/event_broadcaster.go`, and what
the recorded traces show.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Final

from understudy.aio import clocks
from understudy.controllers import clusters
from understudy.kube import objects, statuses

SIMILAR_MAX: Final = 10
SIMILAR_FOR_S: Final = 600.0
BURST_MAX: Final = 25
REFILL_S: Final = 300.0
"""One object may cause 25 events of a type at once, then one every 300 seconds."""
REMEMBERED_MAX: Final = 4096
SERIES_FOR_S: Final = 360.0

_Key = tuple[str, ...]


@dataclass(slots=True)
class _Similar:
    messages: dict[str, None] = field(default_factory=dict)
    last_s: float = 0.0


@dataclass(slots=True)
class _Seen:
    name: str
    count: int


@dataclass(slots=True)
class _Bucket:
    tokens: float
    last_s: float


class Recorder:
    """Writes core/v1 Events in a controller's name.

    Attributes:
        component: source.component and reportingComponent, e.g. `replicaset-controller`.
        host: source.host and reportingInstance, the node a kubelet is on; else empty.
    """

    __slots__ = ("_buckets", "_cluster", "_seen", "_similar", "component", "host")

    def __init__(self, cluster: clusters.Cluster, component: str, host: str = "") -> None:
        self._cluster = cluster
        self.component = component
        self.host = host
        self._similar: dict[_Key, _Similar] = {}
        self._seen: dict[_Key, _Seen] = {}
        self._buckets: dict[_Key, _Bucket] = {}

    def event(
        self, about: objects.Object, type: str, reason: str, message: str, *, field: str = ""
    ) -> None:
        """Record that something happened to an object; `type` is Normal or Warning.

        `field` is the path of the part it happened to, e.g. `spec.containers{app}`. Never raises:
        an event that the API refuses (a terminating namespace) is dropped.
        """
        reference = reference_to(about)
        if field:
            reference["fieldPath"] = field
        group = (reference["kind"], reference.get("namespace", ""), reference["name"],
                 reference.get("uid", ""), type, reason, field)  # fmt: skip
        text, combined = self._aggregate(group, message)
        key = (*group, "" if combined else text)
        seen = self._seen.get(key)
        if seen is not None:
            seen.count += 1
        if not self._allowed(group[:5]):
            return
        try:
            if seen is None or not self._raise_count(reference, seen, text):
                self._create(key, reference, type, reason, text, combined=combined)
        except statuses.ApiError:
            self._seen.pop(key, None)

    def _aggregate(self, group: _Key, message: str) -> tuple[str, bool]:
        now_s = self._cluster.clock.monotonic()
        record = self._similar.get(group)
        if record is None or now_s - record.last_s > SIMILAR_FOR_S:
            record = self._similar[group] = _Similar()
            _trim(self._similar)
        record.last_s = now_s
        record.messages[message] = None
        if len(record.messages) < SIMILAR_MAX:
            return message, False
        del record.messages[next(iter(record.messages))]
        return f"(combined from similar events): {message}", True

    def _allowed(self, about: _Key) -> bool:
        now_s = self._cluster.clock.monotonic()
        bucket = self._buckets.get(about)
        if bucket is None:
            bucket = self._buckets[about] = _Bucket(BURST_MAX, now_s)
            _trim(self._buckets)
        bucket.tokens = min(BURST_MAX, bucket.tokens + (now_s - bucket.last_s) / REFILL_S)
        bucket.last_s = now_s
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True

    def _raise_count(self, reference: objects.Object, seen: _Seen, text: str) -> bool:
        body = {"count": seen.count, "lastTimestamp": self._cluster.stamp(), "message": text}
        try:
            self._cluster.patch("events", _place(reference), seen.name, body)
        except statuses.NotFoundError:
            return False
        return True

    def _create(
        self,
        key: _Key,
        reference: objects.Object,
        type: str,
        reason: str,
        text: str,
        *,
        combined: bool,
    ) -> None:
        stamp = self._cluster.stamp()
        name = event_name(reference["name"], self._cluster.now(), self._cluster.event_number())
        event: objects.Object = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": _place(reference)},
            "involvedObject": reference,
            "reason": reason,
            "message": text,
            "source": {"component": self.component, **({"host": self.host} if self.host else {})},
            "firstTimestamp": stamp,
            "lastTimestamp": stamp,
            "count": 1,
            "type": type,
            "reportingComponent": "" if combined else self.component,
            "reportingInstance": self.host,
        }
        self._seen[key] = _Seen(name, 1)
        _trim(self._seen)
        self._cluster.create("events", event, quiet=True)


class SeriesRecorder:
    """Writes events.k8s.io Events in a component's name (the scheduler's)."""

    __slots__ = ("_cluster", "_seen", "component")

    def __init__(self, cluster: clusters.Cluster, component: str) -> None:
        self._cluster = cluster
        self.component = component
        self._seen: dict[_Key, tuple[str, float, int]] = {}

    def event(
        self,
        about: objects.Object,
        type: str,
        reason: str,
        action: str,
        note: str,
    ) -> None:
        """Record that something happened to an object; refusals of the API are dropped."""
        reference = reference_to(about)
        key = (reference["kind"], reference.get("namespace", ""), reference["name"],
               reference.get("resourceVersion", ""), type, reason, action)  # fmt: skip
        now_s = self._cluster.clock.monotonic()
        name, since_s, count = self._seen.get(key, ("", now_s, 0))
        try:
            if name and now_s - since_s < SERIES_FOR_S:
                self._seen[key] = (name, since_s, count + 1)
                if count == 1:
                    self._begin_series(reference, name)
            else:
                made = self._create(reference, type, reason, action, note)
                self._seen[key] = (made, now_s, 1)
                _trim(self._seen)
        except statuses.ApiError:
            self._seen.pop(key, None)

    def _begin_series(self, reference: objects.Object, name: str) -> None:
        moment = clocks.rfc3339_micro(self._cluster.now())
        body = {"series": {"count": 2, "lastObservedTime": moment}}
        self._cluster.patch("events.events.k8s.io", _place(reference), name, body)

    def _create(
        self,
        reference: objects.Object,
        type: str,
        reason: str,
        action: str,
        note: str,
    ) -> str:
        name = event_name(reference["name"], self._cluster.now(), self._cluster.event_number())
        event: objects.Object = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": _place(reference)},
            "eventTime": clocks.rfc3339_micro(self._cluster.now()),
            "reportingController": self.component,
            "reportingInstance": f"{self.component}-understudy",
            "action": action,
            "reason": reason,
            "regarding": reference,
            "note": note,
            "type": type,
        }
        self._cluster.create("events.events.k8s.io", event, quiet=True)
        return name


def reference_to(about: objects.Object) -> objects.Object:
    """Return a v1.ObjectReference to an object."""
    meta = objects.metadata(about)
    reference: objects.Object = {
        "kind": about.get("kind"),
        "namespace": meta.get("namespace"),
        "name": meta.get("name"),
        "uid": meta.get("uid"),
        "apiVersion": about.get("apiVersion"),
        "resourceVersion": meta.get("resourceVersion"),
    }
    return {key: value for key, value in reference.items() if value}


def event_name(about: str, now: dt.datetime, serial: int) -> str:
    """Return `<object>.<16 hex digits>`: nanoseconds, made unique by a serial number."""
    nanoseconds = int(now.timestamp() * 1_000_000) * 1_000 + serial % 1_000_000_000
    return f"{about[:230]}.{nanoseconds:016x}"


def _place(reference: objects.Object) -> str:
    return str(reference.get("namespace") or "default")


def _trim(
    known: dict[_Key, _Similar]
    | dict[_Key, _Seen]
    | dict[_Key, _Bucket]
    | dict[_Key, tuple[str, float, int]],
) -> None:
    if len(known) > REMEMBERED_MAX:
        del known[next(iter(known))]
