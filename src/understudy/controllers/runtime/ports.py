"""Where the ports of pods that run as local processes are: an annotation of the pod tells.

Pods share the machine's network, so several replicas cannot all listen on the port that their
template declares. Each declared port is given a free one of the loopback interface, for the pod's
life; the process is told in its environment, everybody else by the annotation:

    understudy.dev/ports: {"8080": 21034, "9090": 21035}
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from understudy.kube import objects

PORTS: Final = "understudy.dev/ports"
"""Annotation of a pod: a JSON object from declared container ports to local ones."""
LOOPBACK: Final = "127.0.0.1"
FIRST: Final = 21_000
LAST: Final = 32_000
"""Local ports are taken from here: below what Linux (32768) and others (49152) hand out to
outgoing connections, so that no connection can take a port between its choice and its use."""


def local_port(pod: objects.Object, port: int | str) -> int | None:
    """Return the loopback port behind a container port of a pod, by number or by name.

    None where the pod declares no such port or does not run as local processes.
    """
    number = _numbered(pod, port)
    return mapping_of(pod).get(number) if number is not None else None


def mapping_of(pod: objects.Object) -> dict[int, int]:
    """Return the local port of each declared one; empty where the annotation says nothing."""
    try:
        found = json.loads(objects.annotations_of(pod).get(PORTS) or "{}")
        return {int(declared): int(local) for declared, local in found.items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def annotation(mapping: Mapping[int, int]) -> str:
    """Return the annotation's value for a mapping."""
    return json.dumps({str(declared): local for declared, local in sorted(mapping.items())})


def declared(pod: objects.Object) -> list[int]:
    """Return the numbers of the TCP ports that the containers of a pod declare, each once."""
    found = {
        int(one["containerPort"]): None
        for container in containers_of(pod)
        for one in container.get("ports") or ()
        if (one.get("protocol") or "TCP") == "TCP"
    }
    return list(found)


def containers_of(pod: objects.Object) -> Iterator[objects.Object]:
    """Yield the init containers, then the containers of a pod."""
    spec = pod.get("spec") or {}
    yield from spec.get("initContainers") or ()
    yield from spec.get("containers") or ()


class Allocator:
    """Hands out loopback ports, each to one pod at a time.

    Ports are tried in turn, so that one that was given back rests as long as possible: clients
    may still be connecting to what listened there.
    """

    __slots__ = ("_next", "_taken")

    def __init__(self, start: int = 0) -> None:
        """Begin with a port that `start` chooses, so that two servers seldom try the same."""
        self._next = FIRST + start % (LAST - FIRST)
        self._taken: set[int] = set()

    def allocate(self, known: Mapping[int, int], wanted: Iterable[int]) -> dict[int, int]:
        """Return a mapping for the declared ports; those `known` from before are kept if free.

        Raises:
            OSError: No port is free.
        """
        mapping: dict[int, int] = {}
        for declared_port in wanted:
            before = known.get(declared_port)
            if before is None or before in self._taken or not _is_free(before):
                before = self._choose()
            self._taken.add(before)
            mapping[declared_port] = before
        return mapping

    def release(self, mapping: Mapping[int, int]) -> None:
        """Take ports back."""
        self._taken.difference_update(mapping.values())

    def _choose(self) -> int:
        for _ in range(LAST - FIRST):
            port = self._next
            self._next = FIRST if port + 1 >= LAST else port + 1
            if port not in self._taken and _is_free(port):
                return port
        raise OSError(f"no loopback port between {FIRST} and {LAST} is free")


def _numbered(pod: objects.Object, port: int | str) -> int | None:
    if isinstance(port, int):
        return port
    if port.isdigit():
        return int(port)
    for container in containers_of(pod):
        for one in container.get("ports") or ():
            if one.get("name") == port:
                return int(one["containerPort"])
    return None


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True
