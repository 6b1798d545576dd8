"""Mirrored EndpointSlices: Endpoints that a user wrote for a Service without a selector.

Source: pkg/controller/endpointslicemirroring.
"""

from __future__ import annotations

import contextlib
from typing import Final

from understudy.controllers import changes, clusters, reactor, recorders
from understudy.controllers.services import ports, slices
from understudy.kube import objects, statuses

CONTROLLER: Final = "endpointslicemirroring-controller.k8s.io"
SKIP: Final = "endpointslice.kubernetes.io/skip-mirror"
LEADER: Final = "control-plane.alpha.kubernetes.io/leader"
NOT_COPIED: Final = frozenset({
    "endpoints.kubernetes.io/last-change-trigger-time",
    "kubectl.kubernetes.io/last-applied-configuration",
})  # fmt: skip
SUBSET_MAX: Final = 1000
"""Addresses of a subset that are mirrored."""


class Mirrors:
    """Reconciles mirrored slices. Keys are namespace and name of the Endpoints."""

    name = "endpointslice-mirroring-controller"
    retry_base_s = 1.0
    retry_max_s = 100.0
    watched = ("endpoints", "services", slices.REF)

    def __init__(self, shared: clusters.Shared) -> None:
        self.cluster = clusters.Cluster(shared, "endpointslicemirroring-controller")
        self.recorder = recorders.Recorder(self.cluster, "endpoint-slice-mirroring-controller")

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
            wanted = self._wanted(endpoints)
        self._replace(present, wanted)
        return None

    def _wanted(self, endpoints: objects.Object) -> list[objects.Object]:
        """Return a slice for each subset and address family; tell of what finds no room."""
        answers, addresses = _answers(endpoints)
        wanted: list[objects.Object] = []
        skipped = 0
        for key, members in ports.grouped(answers):
            listed = sorted(members.items(), key=lambda member: not member[1])
            skipped += max(0, len(listed) - SUBSET_MAX)
            for family in ("IPv4", "IPv6"):
                found = [
                    _endpoint(addresses[name], ready=ready)
                    for name, ready in listed[:SUBSET_MAX]
                    if (":" in str(addresses[name].get("ip"))) == (family == "IPv6")
                ]
                wanted += [_slice(endpoints, key, family, found)] if found else []
        if skipped:
            text = (
                f"A max of {SUBSET_MAX} addresses can be mirrored to EndpointSlices per Endpoints "
                f"subset. {skipped} addresses were skipped"
            )
            self.recorder.event(endpoints, "Warning", "TooManyAddressesToMirror", text)
        return wanted

    def _replace(self, present: list[objects.Object], wanted: list[objects.Object]) -> None:
        """Bring the slices to what is wanted; those of dropped ports are used for new ones."""
        fresh: list[objects.Object] = []
        for one in wanted:
            same = next((old for old in present if _key(old) == _key(one)), None)
            if same is None:
                fresh.append(one)
                continue
            present.remove(same)
            if _content(same) != _content(one):
                # As in the reference, only a slice used for other ports still says `generateName`.
                del one["metadata"]["generateName"]
                self._update(same, one)
        for one in fresh:
            spare = next((old for old in present if old["addressType"] == one["addressType"]), None)
            if spare is None:
                self.cluster.create(slices.REF, one)
            else:
                present.remove(spare)
                self._update(spare, one)
        for old in present:
            with contextlib.suppress(statuses.NotFoundError):
                self.cluster.delete(slices.REF, objects.namespace_of(old), objects.name_of(old))

    def _update(self, old: objects.Object, wanted: objects.Object) -> None:
        wanted["metadata"]["name"] = objects.name_of(old)
        self.cluster.update(slices.REF, wanted)


def _key(one: objects.Object) -> tuple[str, tuple[ports.Port, ...]]:
    return one["addressType"], ports.of_slice(map(ports.parse, one.get("ports") or ()))


def _content(one: objects.Object) -> tuple[objects.Json, ...]:
    meta = one["metadata"]
    return (
        one.get("endpoints"),
        meta.get("labels"),
        meta.get("annotations") or {},
        meta.get("ownerReferences"),
    )


def _is_mirrored(endpoints: objects.Object, service: objects.Object | None) -> bool:
    if service is None or (service.get("spec") or {}).get("selector"):
        return False
    if objects.labels_of(endpoints).get(SKIP) == "true":
        return False
    return LEADER not in objects.annotations_of(endpoints)


def _answers(
    endpoints: objects.Object,
) -> tuple[dict[ports.Port | None, dict[str, bool]], dict[str, objects.Object]]:
    """Return who answers on which port, and the addresses of those."""
    answers: dict[ports.Port | None, dict[str, bool]] = {}
    addresses: dict[str, objects.Object] = {}
    for subset in endpoints.get("subsets") or ():
        listed: list[ports.Port | None] = [ports.parse(one) for one in subset.get("ports") or ()]
        for field, ready in (("addresses", True), ("notReadyAddresses", False)):
            for address in subset.get(field) or ():
                uid = objects.lookup(address, ("targetRef", "uid")) or ""
                name = f"{address.get('ip')} {uid}"
                addresses.setdefault(name, address)
                for port in listed or [None]:
                    members = answers.setdefault(port, {})
                    members[name] = members.get(name, True) and ready
    return answers, addresses


def _slice(
    endpoints: objects.Object,
    key: tuple[ports.Port, ...],
    family: str,
    found: list[objects.Object],
) -> objects.Object:
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
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": meta,
        "addressType": family,
        "endpoints": found,
        "ports": [ports.in_slice(port) for port in key] or None,
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
