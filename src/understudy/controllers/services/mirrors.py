"""Mirrored EndpointSlices: Endpoints that a user wrote for a Service without a selector.

Source: pkg/controller/endpointslicemirroring.
"""

from __future__ import annotations

import contextlib
from typing import Final

from understudy.controllers import changes, clusters, reactor
from understudy.controllers.services import slices
from understudy.kube import objects, statuses

CONTROLLER: Final = "endpointslicemirroring-controller.k8s.io"
SKIP: Final = "endpointslice.kubernetes.io/skip-mirror"
LEADER: Final = "control-plane.alpha.kubernetes.io/leader"
NOT_COPIED: Final = frozenset({
    "endpoints.kubernetes.io/last-change-trigger-time",
    "kubectl.kubernetes.io/last-applied-configuration",
    "endpoints.kubernetes.io/over-capacity",
})  # fmt: skip


class Mirrors:
    """Reconciles mirrored slices. Keys are namespace and name of the Endpoints."""

    name = "endpointslice-mirroring-controller"
    watched = ("endpoints", "services", slices.REF)

    def __init__(self, shared: clusters.Shared) -> None:
        self.cluster = clusters.Cluster(shared, "endpointslicemirroring-controller")

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        if change.ref != slices.REF:
            queue.add(change.key)
        elif change.entry.labels.get(slices.MANAGED_BY) == CONTROLLER:
            queue.add((change.entry.namespace, change.entry.labels.get(slices.SERVICE_NAME, "")))

    def reconcile(self, key: reactor.Key) -> float | None:
        namespace, name = key
        present = [
            entry.load()
            for entry in self.cluster.labelled(slices.REF, namespace, {slices.SERVICE_NAME: name})
            if entry.labels.get(slices.MANAGED_BY) == CONTROLLER
        ]
        endpoints = self.cluster.peek("endpoints", namespace, name)
        service = self.cluster.peek("services", namespace, name)
        wanted: list[objects.Object] = []
        if endpoints is not None and _is_mirrored(endpoints, service):
            wanted = [
                _slice(endpoints, subset, family)
                for subset in endpoints.get("subsets") or ()
                for family in ("IPv4", "IPv6")
            ]
            wanted = [one for one in wanted if one["endpoints"]]
        self._replace(present, wanted)
        return None

    def _replace(self, present: list[objects.Object], wanted: list[objects.Object]) -> None:
        for one in wanted:
            same = [old for old in present if old["addressType"] == one["addressType"]]
            exact = next((old for old in same if _content(old) == _content(one)), None)
            if exact is not None:
                present.remove(exact)
            elif same:
                present.remove(same[0])
                self.cluster.update(slices.REF, same[0] | {
                    "endpoints": one["endpoints"], "ports": one["ports"],
                })  # fmt: skip
            else:
                self.cluster.create(slices.REF, one)
        for old in present:
            with contextlib.suppress(statuses.NotFoundError):
                self.cluster.delete(slices.REF, objects.namespace_of(old), objects.name_of(old))


def _content(one: objects.Object) -> tuple[objects.Json, ...]:
    return (one.get("endpoints"), one.get("ports"))


def _is_mirrored(endpoints: objects.Object, service: objects.Object | None) -> bool:
    if service is None or (service.get("spec") or {}).get("selector"):
        return False
    if objects.labels_of(endpoints).get(SKIP) == "true":
        return False
    return LEADER not in objects.annotations_of(endpoints)


def _slice(endpoints: objects.Object, subset: objects.Object, family: str) -> objects.Object:
    name = objects.name_of(endpoints)
    meta: objects.Object = {
        "generateName": f"{name}-",
        "namespace": objects.namespace_of(endpoints),
        "labels": {
            **objects.labels_of(endpoints),
            slices.MANAGED_BY: CONTROLLER,
            slices.SERVICE_NAME: name,
        },
        "ownerReferences": [clusters.owner_reference(endpoints)],
    }
    annotations = {
        key: value
        for key, value in objects.annotations_of(endpoints).items()
        if key not in NOT_COPIED
    }
    if annotations:
        meta["annotations"] = annotations
    found = [
        _endpoint(address, ready=ready)
        for field, ready in (("addresses", True), ("notReadyAddresses", False))
        for address in subset.get(field) or ()
        if (":" in str(address.get("ip"))) == (family == "IPv6")
    ]
    ports = [
        {"name": port.get("name") or "", "protocol": port.get("protocol") or "TCP",
         "port": port.get("port"),
         **({"appProtocol": port["appProtocol"]} if port.get("appProtocol") else {})}
        for port in subset.get("ports") or ()
    ]  # fmt: skip
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": meta,
        "addressType": family,
        "endpoints": found,
        "ports": ports or None,
    }


def _endpoint(address: objects.Object, *, ready: bool) -> objects.Object:
    endpoint: objects.Object = {
        "addresses": [address.get("ip")],
        "conditions": {"ready": ready},
    }
    for field in ("hostname", "nodeName", "targetRef"):
        if address.get(field):
            endpoint[field] = address[field]
    return endpoint
