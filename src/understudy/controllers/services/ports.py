"""The ports behind a Service, in the order in which the real controllers write them.

That order is by a hash of the port as Go prints it (`%#v`), so it is stable and looks like none.
Source: k8s.io/endpointslice/util, pkg/api/v1/endpoints.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from understudy.controllers.services import backends
from understudy.controllers.workloads import hashes
from understudy.kube import objects


class Port(NamedTuple):
    """A port as a slice or a subset shows it; texts may be empty."""

    name: str
    protocol: str
    number: int
    app_protocol: str


def answered(service: objects.Object, pod: objects.Object) -> list[Port]:
    """Return the ports of a service that a pod answers on."""
    found: list[Port] = []
    for port in service["spec"].get("ports") or ():
        number = backends.port_of(pod, port)
        if number is not None:
            found.append(parse({**port, "port": number}))
    return found


def parse(port: objects.Object) -> Port:
    """Return a port as a slice or a subset says it."""
    return Port(
        port.get("name") or "",
        port.get("protocol") or "TCP",
        int(port.get("port") or 0),
        port.get("appProtocol") or "",
    )


def of_slice(ports: Iterable[Port]) -> tuple[Port, ...]:
    """Return ports in the order of an EndpointSlice."""
    return tuple(sorted(ports, key=_slice_hash))


def of_subset(ports: Iterable[Port]) -> tuple[Port, ...]:
    """Return ports in the order of a subset of Endpoints."""
    return tuple(sorted(ports, key=_subset_hash))


def in_slice(port: Port) -> objects.Object:
    """Return a port as an EndpointSlice shows it."""
    shown: objects.Object = {"name": port.name, "protocol": port.protocol, "port": port.number}
    return shown | ({"appProtocol": port.app_protocol} if port.app_protocol else {})


def in_subset(port: Port) -> objects.Object:
    """Return a port as Endpoints show it."""
    shown: objects.Object = {"port": port.number, "protocol": port.protocol}
    shown |= {"name": port.name} if port.name else {}
    return shown | ({"appProtocol": port.app_protocol} if port.app_protocol else {})


def grouped(
    answers: Mapping[Port | None, Mapping[str, bool]],
) -> list[tuple[tuple[Port, ...], dict[str, bool]]]:
    """Return the subsets of Endpoints: ports, and who answers on all of them and is ready or not.

    Ports with the same answers come together; None is that of a service without ports.
    """
    found: dict[tuple[tuple[str, bool], ...], list[Port]] = {}
    for port, members in answers.items():
        together = found.setdefault(tuple(sorted(members.items())), [])
        together += [port] if port is not None else []
    return sorted(((of_subset(key), dict(members)) for members, key in found.items()), key=_ports)


def _ports(subset: tuple[tuple[Port, ...], dict[str, bool]]) -> tuple[Port, ...]:
    return subset[0]


def _slice_hash(port: Port) -> int:
    return hashes.fnv1a_128(
        f"(v1.EndpointPort){{Name:(*string){port.name} Protocol:(*v1.Protocol){port.protocol} "
        f"Port:(*int32){port.number} AppProtocol:(*string){port.app_protocol or '<nil>'}}}".encode()
    )


def _subset_hash(port: Port) -> int:
    return hashes.fnv1a_128(
        f"(v1.EndpointPort){{Name:(string){port.name} Port:(int32){port.number} "
        f"Protocol:(v1.Protocol){port.protocol} "
        f"AppProtocol:(*string){port.app_protocol or '<nil>'}}}".encode()
    )
