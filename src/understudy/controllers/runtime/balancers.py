"""Simulated load balancers: a Service of that type is given an address, as a cloud would.

Addresses are from 198.18.0.0/15, which is set aside for tests of network devices (RFC 2544); each
follows from the Service's namespace and name, so that the same input gives the same one.
"""

from __future__ import annotations

import hashlib
import ipaddress
from typing import Final

from understudy.controllers import changes, clusters, reactor, recorders
from understudy.kube import objects

NETWORK: Final = ipaddress.ip_network("198.18.0.0/15")
SERVICES: Final = "services"
_BALANCED = b'"LoadBalancer"'
_ADDRESSED = b'"ingress":'


class SimulatedBalancers:
    """Keys are `(namespace, name)` of Services."""

    name = "service-lb-controller"
    watched = (SERVICES,)

    def __init__(self, shared: clusters.Shared) -> None:
        self.cluster = clusters.Cluster(shared, "service-controller", "cloud-controller-manager")
        self.recorder = recorders.Recorder(self.cluster, "service-controller")

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        encoded = change.entry.encoded
        if not change.deleted and (_BALANCED in encoded or _ADDRESSED in encoded):
            queue.add(change.key)

    def reconcile(self, key: reactor.Key) -> None:
        service = self.cluster.find(SERVICES, *key)
        if service is None or objects.metadata(service).get("deletionTimestamp"):
            return
        status = service.setdefault("status", {})
        addressed = bool((status.get("loadBalancer") or {}).get("ingress"))
        wanted = (service.get("spec") or {}).get("type") == "LoadBalancer"
        if wanted == addressed:
            return
        if not wanted:
            status["loadBalancer"] = {}
            self.cluster.update_status(SERVICES, service)
            return
        self.recorder.event(service, "Normal", "EnsuringLoadBalancer", "Ensuring load balancer")
        status["loadBalancer"] = {"ingress": [{"ip": self._address_for(key), "ipMode": "VIP"}]}
        self.cluster.update_status(SERVICES, service)
        self.recorder.event(service, "Normal", "EnsuredLoadBalancer", "Ensured load balancer")

    def _address_for(self, key: reactor.Key) -> str:
        """Return the asked-for address, or the first free one from where the name points."""
        asked = self._asked_for(key)
        if asked:
            return asked
        taken = {
            str(ingress.get("ip"))
            for entry in self.cluster.entries(SERVICES)
            if _ADDRESSED in entry.encoded
            for ingress in _ingress_of(self.cluster.parsed.load(entry))
        }
        digest = hashlib.sha256("/".join(key).encode()).digest()
        usable = NETWORK.num_addresses - 2
        place = int.from_bytes(digest[:4], "big") % usable
        while str(NETWORK[place + 1]) in taken:
            place = (place + 1) % usable
        return str(NETWORK[place + 1])

    def _asked_for(self, key: reactor.Key) -> str:
        service = self.cluster.peek(SERVICES, *key) or {}
        return str((service.get("spec") or {}).get("loadBalancerIP") or "")


def _ingress_of(service: objects.Object) -> list[objects.Object]:
    return ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
