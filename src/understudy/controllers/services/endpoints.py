"""Endpoints: the older list of a Service's ready and not ready addresses.

Source: pkg/controller/endpoint.
"""

from __future__ import annotations

import contextlib
import math
from typing import Final

from understudy.controllers import changes, clusters, reactor
from understudy.controllers.services import backends, ports
from understudy.controllers.workloads import pods
from understudy.kube import objects, statuses

MANAGED_BY: Final = "endpoints.kubernetes.io/managed-by"
OVER_CAPACITY: Final = "endpoints.kubernetes.io/over-capacity"
ADDRESSES_MAX: Final = 1000
"""Of all addresses together; an object must not become too large."""


class Endpoints:
    """Reconciles the Endpoints of Services with a selector."""

    name = "endpoints-controller"
    watched = ("services", "endpoints", "pods")

    def __init__(self, shared: clusters.Shared) -> None:
        self.cluster = clusters.Cluster(shared, "endpoint-controller")
        self._triggers = backends.Triggers()

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        if change.ref == "pods":
            backends.observe_pod(self.cluster, change, queue)
        elif change.ref == "services" or change.deleted:
            queue.add(change.key)

    def reconcile(self, key: reactor.Key) -> float | None:
        namespace, name = key
        service = self.cluster.peek("services", namespace, name)
        if service is None:
            self._triggers.forget(key)
            if self.cluster.entry("endpoints", namespace, name) is not None:
                with contextlib.suppress(statuses.NotFoundError):
                    self.cluster.delete("endpoints", namespace, name)
            return None
        spec = service.get("spec") or {}
        if not spec.get("selector") or spec.get("type") == "ExternalName":
            return None
        found = backends.matching(self.cluster, service)
        trigger = self._triggers.take(service, found)
        subsets = _subsets(service, found)
        over = sum(len(listed) for one in subsets for listed in _lists(one)) > ADDRESSES_MAX
        self._write(service, _truncated(subsets) if over else subsets, trigger, over=over)
        return None

    def _write(
        self,
        service: objects.Object,
        subsets: list[objects.Object],
        trigger: str,
        *,
        over: bool,
    ) -> None:
        namespace, name = objects.namespace_of(service), objects.name_of(service)
        labels = {**objects.labels_of(service), MANAGED_BY: "endpoint-controller"}
        labels.pop(backends.HEADLESS, None)
        if backends.is_headless(service):
            labels[backends.HEADLESS] = ""
        present = self.cluster.draft("endpoints", namespace, name)
        if present is not None and present["metadata"].get("deletionTimestamp"):
            return
        if (
            present is not None
            and objects.labels_of(present) == labels
            and (present.get("subsets") or []) == subsets
            and (OVER_CAPACITY in objects.annotations_of(present)) == over
        ):
            return
        wanted: objects.Object = present or {
            "apiVersion": "v1",
            "kind": "Endpoints",
            "metadata": {"name": name, "namespace": namespace},
        }
        wanted["metadata"]["labels"] = labels
        annotations = backends.annotated(objects.annotations_of(wanted), trigger)
        annotations.pop(OVER_CAPACITY, None)
        annotations |= {OVER_CAPACITY: "truncated"} if over else {}
        if annotations:
            wanted["metadata"]["annotations"] = annotations
        else:
            wanted["metadata"].pop("annotations", None)
        if subsets:
            wanted["subsets"] = subsets
        else:
            wanted.pop("subsets", None)
        if present is None:
            self.cluster.create("endpoints", wanted, quiet=True)
        else:
            self.cluster.update("endpoints", wanted, quiet=True)


def _lists(subset: objects.Object) -> tuple[list[objects.Object], list[objects.Object]]:
    return subset.get("addresses") or [], subset.get("notReadyAddresses") or []


def _truncated(subsets: list[objects.Object]) -> list[objects.Object]:
    """Leave a thousand addresses, of each subset its share; ready ones before others."""
    ready = sum(len(_lists(one)[0]) for one in subsets)
    by_ready = ready > ADDRESSES_MAX
    field = "addresses" if by_ready else "notReadyAddresses"
    total = sum(len(one.get(field) or ()) for one in subsets)
    room = ADDRESSES_MAX if by_ready else ADDRESSES_MAX - ready
    left, kept = room, []
    for one in subsets:
        listed = one.get(field) or []
        share = min(left, math.ceil(len(listed) / total * room))
        left -= min(share, len(listed))
        cut = {key: value for key, value in one.items() if key != field}
        if by_ready:
            cut.pop("notReadyAddresses", None)
        kept.append(cut | ({field: listed[:share]} if listed[:share] else {}))
    return kept


def _subsets(service: objects.Object, found: list[objects.Object]) -> list[objects.Object]:
    """Group the ports by the pods that answer on them, and who is ready among those."""
    spec = service["spec"]
    unready_too = backends.publishes_unready(service)
    family = (spec.get("ipFamilies") or ["IPv4"])[0]
    answers: dict[ports.Port | None, dict[str, bool]] = {}
    addresses: dict[str, objects.Object] = {}
    for pod in found:
        ips = backends.addresses_of(pod, family)
        if not ips or not backends.belongs(pod, terminating=unready_too):
            continue
        name = objects.name_of(pod)
        addresses[name] = _address(service, pod, ips[0])
        is_up = unready_too or pods.is_ready(pod)
        answered = ports.answered(service, pod) if spec.get("ports") else _portless(service)
        for port in answered:
            answers.setdefault(port, {})[name] = is_up
    return [_subset(key, members, addresses) for key, members in ports.grouped(answers)]


def _portless(service: objects.Object) -> list[None]:
    """Return that a headless service may do without ports."""
    return [None] if backends.is_headless(service) else []


def _address(service: objects.Object, pod: objects.Object, ip: str) -> objects.Object:
    address: objects.Object = {"ip": ip, "nodeName": pod["spec"].get("nodeName")}
    address["targetRef"] = backends.target_of(pod)
    hostname = backends.hostname_of(pod, service)
    if hostname:
        address["hostname"] = hostname
    return address


def _subset(
    key: tuple[ports.Port, ...],
    members: dict[str, bool],
    addresses: dict[str, objects.Object],
) -> objects.Object:
    subset: objects.Object = {}
    for field, is_up in (("addresses", True), ("notReadyAddresses", False)):
        listed = [addresses[name] for name, value in members.items() if value == is_up]
        if listed:
            subset[field] = sorted(listed, key=lambda one: str(one["ip"]))
    if key:
        subset["ports"] = [ports.in_subset(port) for port in key]
    return subset
