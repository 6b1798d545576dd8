"""Cluster IPs, node ports and health check ports: who has which, and the next free one.

What is taken is derived from the services of the view at hand, so forks and restored states need
no bookkeeping: the view counts the words of a field (`TAKEN`) that each service has beside its
selectable ones, and keeps the count up to date by what changes.

Source: pkg/registry/core/service/{ipallocator,portallocator,storage} @1.36.
"""

from __future__ import annotations

import ipaddress

from understudy.kapi.resources import strategies
from understudy.kube import addresses, objects, statuses

SERVICE_NETWORK = ipaddress.IPv4Network("10.96.0.0/12")
"""Where cluster IPs come from, kubeadm's default."""

NODE_PORTS = (30000, 32767)
"""First and last node port."""

TAKEN = "_allocations"
"""Key, among a service's selectable fields, of what it holds: `10.96.0.7,30080`."""

_STATIC_IPS = 256
"""Addresses at the start that are given out on request only, until the others are gone."""

_STATIC_PORTS = 86
"""The same for ports: a thirty-second of the range, as Kubernetes reckons."""

_DRY_PORT = 32768
"""A dry run takes no port, but answers with numbers above this one, as Kubernetes does."""

_TRIES_MAX = 32
"""Random draws before the range is walked in order."""


class NotFreeError(Exception):
    """What was asked for is taken, or outside the range; the text is Kubernetes' own."""


def held_by(service: objects.Object) -> str:
    """Return what a service holds, comma-joined."""
    spec = service.get("spec") or {}
    held = [ip for ip in spec.get("clusterIPs") or () if ip != "None"]
    held += [str(port["nodePort"]) for port in spec.get("ports") or () if port.get("nodePort")]
    if health := spec.get("healthCheckNodePort"):
        held.append(str(health))
    return ",".join(dict.fromkeys(held))


class Ledger:
    """What is taken at the moment of one write, and what that write takes besides."""

    __slots__ = ("_context", "_counts", "_dry_port", "_released", "_taken")

    def __init__(
        self, context: strategies.WriteContext, released: objects.Object | None = None
    ) -> None:
        self._context = context
        self._dry_port = _DRY_PORT
        self._taken = {str(SERVICE_NETWORK[0]), str(SERVICE_NETWORK[-1])}
        self._counts = context.reader.tally("services", TAKEN)
        self._released = set(held_by(released).split(",")) if released is not None else set()

    def take_ip(self, text: str) -> None:
        """Take a certain address, or raise NotFreeError."""
        address = addresses.parse_ip(text)
        if address not in SERVICE_NETWORK:
            raise NotFreeError(
                f"the provided IP ({text}) is not in the valid range. The range of valid IPs is"
                f" {SERVICE_NETWORK}"
            )
        if not self._context.dry_run:
            self._take(str(address), "provided IP is already allocated")

    def next_ip(self) -> str:
        """Take a free address; in a dry run, answer with the network's own."""
        if self._context.dry_run:
            return str(SERVICE_NETWORK[0])
        size = SERVICE_NETWORK.num_addresses
        for _ in range(_TRIES_MAX):
            text = str(SERVICE_NETWORK[self._context.ids.integer(_STATIC_IPS + 1, size - 2)])
            if not self._is_taken(text):
                self._taken.add(text)
                return text
        for address in SERVICE_NETWORK.hosts():
            if not self._is_taken(str(address)):
                self._taken.add(str(address))
                return str(address)
        raise statuses.InternalError(
            "Internal error occurred: failed to allocate a serviceIP: range is full"
        )

    def take_port(self, port: int) -> None:
        """Take a certain node port, or raise NotFreeError."""
        low, high = NODE_PORTS
        if not low <= port <= high:
            raise NotFreeError(
                f"provided port is not in the valid range. The range of valid ports is {low}-{high}"
            )
        self._take(str(port), "provided port is already allocated")

    def next_port(self) -> int:
        """Take a free node port; in a dry run, one above all that there are."""
        if self._context.dry_run:
            self._dry_port += 1
            return self._dry_port
        low, high = NODE_PORTS
        for _ in range(_TRIES_MAX):
            port = self._context.ids.integer(low + _STATIC_PORTS, high)
            if not self._is_taken(str(port)):
                self._taken.add(str(port))
                return port
        for port in range(low, high + 1):
            if not self._is_taken(str(port)):
                self._taken.add(str(port))
                return port
        raise statuses.InternalError(
            "Internal error occurred: failed to allocate a nodePort: range is full"
        )

    def _is_taken(self, text: str) -> bool:
        return text in self._taken or self._counts.get(text, 0) > (text in self._released)

    def _take(self, text: str, complaint: str) -> None:
        if self._is_taken(text):
            raise NotFreeError(complaint)
        self._taken.add(text)
