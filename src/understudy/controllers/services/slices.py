"""EndpointSlices: a Service's endpoints in pieces of at most a hundred.

A service without endpoints keeps one empty slice per address family. Slices that change anyway are
filled up first; what then fits into one that does not goes there; the rest is put into new ones.
Source: k8s.io/endpointslice.
"""

from __future__ import annotations

import contextlib
from typing import Final

from understudy.controllers import changes, clusters, reactor
from understudy.controllers.services import backends, ports
from understudy.controllers.workloads import pods
from understudy.kube import objects, statuses

REF: Final = "endpointslices.discovery.k8s.io"
SERVICE_NAME: Final = "kubernetes.io/service-name"
MANAGED_BY: Final = "endpointslice.kubernetes.io/managed-by"
CONTROLLER: Final = "endpointslice-controller.k8s.io"
ENDPOINTS_MAX: Final = 100
ZONE: Final = "topology.kubernetes.io/zone"
REPAIRED_S: Final = 1.0
"""When a slice that somebody else changed is looked at."""
GONE: Final = -1
"""The revision of a slice that this controller deleted."""
CLOSE: Final = frozenset({"PreferClose", "PreferSameZone", "PreferSameNode"})
"""Values of trafficDistribution that ask for hints."""

Ports = tuple[ports.Port, ...]
"""The ports that all endpoints of a slice answer on, in a slice's order."""


class Slices:
    """Reconciles the EndpointSlices of Services with a selector."""

    name = "endpointslice-controller"
    retry_base_s = 1.0
    retry_max_s = 1000.0
    watched = ("services", REF, "pods")

    def __init__(self, shared: clusters.Shared) -> None:
        self.cluster = clusters.Cluster(shared, "endpointslice-controller")
        self._triggers = backends.Triggers()
        self._written: dict[reactor.Key, int] = {}

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        if change.ref == "pods":
            backends.observe_pod(self.cluster, change, queue)
        elif change.ref == "services":
            queue.add(change.key)
        elif change.entry.labels.get(MANAGED_BY) == CONTROLLER and not self._is_own(change):
            key = (change.entry.namespace, change.entry.labels.get(SERVICE_NAME, ""))
            queue.add_after(key, REPAIRED_S)

    def _is_own(self, change: changes.Change) -> bool:
        """Whether a slice's change is what this controller wrote last."""
        if change.deleted:
            return self._written.pop(change.key, 0) == GONE
        return change.entry.revision <= self._written.get(change.key, 0)

    def reconcile(self, key: reactor.Key) -> float | None:
        namespace, name = key
        service = self.cluster.peek("services", namespace, name)
        if service is None:
            self._triggers.forget(key)
            return None
        spec = service.get("spec") or {}
        if not spec.get("selector") or spec.get("type") == "ExternalName":
            return None
        found = backends.matching(self.cluster, service)
        slices = [
            one
            for entry in self.cluster.labelled(REF, namespace, {SERVICE_NAME: name})
            if entry.labels.get(MANAGED_BY) == CONTROLLER
            and (one := self.cluster.draft(REF, namespace, entry.name)) is not None
            and not one["metadata"].get("deletionTimestamp")
        ]
        trigger = self._triggers.take(service, found)
        families = spec.get("ipFamilies") or ["IPv4"]
        for family in families:
            present = [one for one in slices if one.get("addressType") == family]
            self._reconcile_family(service, found, present, family, trigger)
        for one in slices:
            if one.get("addressType") not in families:
                self._delete(one)
        return None

    def _reconcile_family(
        self,
        service: objects.Object,
        found: list[objects.Object],
        present: list[objects.Object],
        family: str,
        trigger: str,
    ) -> None:
        wanted = self._wanted(service, found, family)
        labels = _labels(service)
        spare = [one for one in present if not _is_owned(one, service)]
        foreign = len(spare)
        changed: list[objects.Object] = []
        fresh: list[tuple[Ports, list[objects.Object]]] = []
        for key in sorted({*wanted, *(_ports_of(one) for one in present)}):
            same = [one for one in present if _is_owned(one, service) and _ports_of(one) == key]
            if key not in wanted:
                spare += same
                continue
            filled = _Filled(same, wanted[key], labels)
            changed += filled.changed
            spare += filled.emptied
            fresh += [(key, endpoints) for endpoints in filled.fresh]
        if not fresh and len(spare) == len(present):
            if len(spare) == 1 and not foreign and _is_placeholder(spare[0], labels):
                spare.clear()
            else:
                fresh.append(((), []))
        # Emptied slices are used again for the last of the new ones.
        reusable = spare[foreign:]
        reused = fresh[max(0, len(fresh) - len(reusable)) :]
        if not objects.metadata(service).get("deletionTimestamp"):
            for key, endpoints in fresh[: len(fresh) - len(reused)]:
                self._put(_new(service, family), key, endpoints, trigger)
        for one in changed:
            one["metadata"]["labels"] = labels
            self._put(one, _ports_of(one), one.get("endpoints") or [], trigger)
        for old, (key, endpoints) in zip(reusable, reversed(reused), strict=False):
            one = _new(service, family)
            one["metadata"]["name"] = objects.name_of(old)
            self._put(one, key, endpoints, trigger)
        for one in (*spare[:foreign], *reusable[len(reused) :]):
            self._delete(one)

    def _wanted(
        self, service: objects.Object, found: list[objects.Object], family: str
    ) -> dict[Ports, list[objects.Object]]:
        groups: dict[Ports, list[objects.Object]] = {}
        for pod in found:
            ips = backends.addresses_of(pod, family)
            if ips and backends.belongs(pod, terminating=True):
                endpoint = self._endpoint(service, pod, ips)
                key = ports.of_slice(ports.answered(service, pod))
                groups.setdefault(key, []).append(endpoint)
        return groups

    def _endpoint(
        self, service: objects.Object, pod: objects.Object, ips: list[str]
    ) -> objects.Object:
        serving, leaving = pods.is_ready(pod), pods.is_terminating(pod)
        ready = backends.publishes_unready(service) or (serving and not leaving)
        endpoint: objects.Object = {
            "addresses": ips,
            "conditions": {"ready": ready, "serving": serving, "terminating": leaving},
            "targetRef": backends.target_of(pod),
        }
        hostname = backends.hostname_of(pod, service)
        if hostname:
            endpoint["hostname"] = hostname
        node = str(pod["spec"].get("nodeName") or "")
        if node:
            endpoint["nodeName"] = node
            place = self.cluster.peek("nodes", "", node) or {}
            zone = objects.labels_of(place).get(ZONE)
            if zone:
                endpoint["zone"] = zone
        hints = _hints(service, endpoint) if ready else {}
        return endpoint | ({"hints": hints} if hints else {})

    def _put(
        self, one: objects.Object, key: Ports, endpoints: list[objects.Object], trigger: str
    ) -> None:
        annotations = backends.annotated(objects.annotations_of(one), trigger)
        one["metadata"]["annotations"] = annotations
        if not annotations:
            del one["metadata"]["annotations"]
        one["endpoints"] = endpoints or None
        one["ports"] = [ports.in_slice(port) for port in key] or None
        if objects.name_of(one):
            self.cluster.update(REF, one, quiet=True)
            place = clusters.key_of(one)
        else:
            place = clusters.key_of(self.cluster.create(REF, one))
        entry = self.cluster.entry(REF, *place)
        self._written[place] = entry.revision if entry is not None else 0

    def _delete(self, one: objects.Object) -> None:
        place = clusters.key_of(one)
        self._written[place] = GONE
        with contextlib.suppress(statuses.NotFoundError):
            self.cluster.delete(REF, *place)


def _new(service: objects.Object, family: str) -> objects.Object:
    """Return a slice of a service, without a name and empty."""
    meta: objects.Object = {
        "generateName": f"{objects.name_of(service)}-",
        "namespace": objects.namespace_of(service),
        "ownerReferences": [clusters.owner_reference(service)],
        "labels": _labels(service),
    }
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": meta,
        "addressType": family,
    }


def _labels(service: objects.Object) -> dict[str, str]:
    labels = {
        key: value
        for key, value in objects.labels_of(service).items()
        if key not in {SERVICE_NAME, MANAGED_BY, backends.HEADLESS}
    }
    labels |= {MANAGED_BY: CONTROLLER, SERVICE_NAME: objects.name_of(service)}
    if backends.is_headless(service):
        labels[backends.HEADLESS] = ""
    return labels


def _hints(service: objects.Object, endpoint: objects.Object) -> objects.Object:
    """Return from where a ready endpoint is to be reached, as the service's distribution says."""
    asked = service["spec"].get("trafficDistribution")
    hints: objects.Object = {}
    if asked in CLOSE and endpoint.get("zone"):
        hints["forZones"] = [{"name": endpoint["zone"]}]
    if asked == "PreferSameNode" and endpoint.get("nodeName"):
        hints["forNodes"] = [{"name": endpoint["nodeName"]}]
    return hints


def _ports_of(one: objects.Object) -> Ports:
    return ports.of_slice(ports.parse(port) for port in one.get("ports") or ())


def _is_owned(one: objects.Object, service: objects.Object) -> bool:
    owners = objects.metadata(one).get("ownerReferences") or ()
    return any(owner.get("uid") == objects.uid_of(service) for owner in owners)


def _is_placeholder(one: objects.Object, labels: dict[str, str]) -> bool:
    """Whether a slice says that there are no endpoints."""
    return not one.get("endpoints") and not one.get("ports") and objects.labels_of(one) == labels


class _Filled:
    """Slices of the same ports, brought up to date.

    Attributes:
        changed: Those that have to be written.
        emptied: Those without an endpoint left.
        fresh: Endpoints for new slices.
    """

    def __init__(
        self,
        slices: list[objects.Object],
        wanted: list[objects.Object],
        labels: dict[str, str],
    ) -> None:
        self.changed: list[objects.Object] = []
        self.emptied: list[objects.Object] = []
        self.fresh: list[list[objects.Object]] = []
        self._same: list[objects.Object] = []
        rest = self._keep(slices, wanted, labels)
        for one in sorted(self.changed, key=_size, reverse=True):
            rest = _add(one, rest)
        while rest:
            fitting = [one for one in self._same if ENDPOINTS_MAX - _size(one) - len(rest) >= 0]
            if not fitting or len(rest) >= ENDPOINTS_MAX:
                self.fresh.append(rest[:ENDPOINTS_MAX])
                rest = rest[ENDPOINTS_MAX:]
                continue
            fullest = max(fitting, key=_size)
            rest = _add(fullest, rest)
            self.changed.append(fullest)

    def _keep(
        self,
        slices: list[objects.Object],
        wanted: list[objects.Object],
        labels: dict[str, str],
    ) -> list[objects.Object]:
        """Leave every endpoint in its slice; return those that are in none yet."""
        left = {str(one["targetRef"]["uid"]): one for one in wanted}
        for one in slices:
            listed = one.get("endpoints") or []
            stay: list[objects.Object] = []
            for endpoint in listed:
                uid = str((endpoint.get("targetRef") or {}).get("uid") or "")
                newest = left.pop(uid, None)
                if newest is not None:
                    stay.append(newest)
            if listed and not stay:
                self.emptied.append(one)
            elif stay != listed or objects.labels_of(one) != labels:
                one["endpoints"] = stay
                self.changed.append(one)
            else:
                self._same.append(one)
        return list(left.values())


def _size(one: objects.Object) -> int:
    return len(one.get("endpoints") or ())


def _add(one: objects.Object, rest: list[objects.Object]) -> list[objects.Object]:
    """Fill a slice; return what found no room."""
    room = ENDPOINTS_MAX - _size(one)
    one["endpoints"] = [*(one.get("endpoints") or ()), *rest[:room]]
    return rest[room:]
