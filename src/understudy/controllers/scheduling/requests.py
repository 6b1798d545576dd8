"""How much of a node a pod asks for."""

from __future__ import annotations

from collections.abc import Iterable

from understudy.kube import objects, quantities

CPU_SCALE = -3
UNSET_CPU = 100
UNSET_MEMORY = 200 * 1024 * 1024
"""What a container without requests counts for when nodes are compared (not when they are
filtered): 100m and 200Mi, as in kube-scheduler."""


def amount(resource: str, text: objects.Json) -> int:
    """Return a quantity in whole units, CPU in thousandths."""
    parsed = quantities.parse(str(text))
    return parsed.scaled(CPU_SCALE) if resource == "cpu" else parsed.value


def of_pod(pod: objects.Object) -> dict[str, int]:
    """Return a pod's effective requests by resource.

    The sum of the containers and sidecars or, if more, the largest init container; plus overhead.
    """
    spec = pod.get("spec") or {}
    total = _sum(spec.get("containers") or ())
    sidecars: dict[str, int] = {}
    peak: dict[str, int] = {}
    for container in spec.get("initContainers") or ():
        asked = _requests(container)
        if container.get("restartPolicy") == "Always":
            sidecars = _add(sidecars, asked)
            asked = sidecars
        else:
            asked = _add(asked, sidecars)
        peak = _most(peak, asked)
    total = _most(_add(total, sidecars), peak)
    overall = (spec.get("resources") or {}).get("requests") or {}
    total.update({name: amount(name, text) for name, text in overall.items()})
    overhead = spec.get("overhead") or {}
    return _add(total, {name: amount(name, text) for name, text in overhead.items()})


def nominal(pod: objects.Object) -> tuple[int, int]:
    """Return CPU (thousandths) and memory for comparing nodes, with defaults where none is set."""
    cpu = memory = 0
    for container in (pod.get("spec") or {}).get("containers") or ():
        asked = _requests(container)
        cpu += asked.get("cpu") or UNSET_CPU
        memory += asked.get("memory") or UNSET_MEMORY
    return cpu, memory


def ports_of(pod: objects.Object) -> set[tuple[str, str, int]]:
    """Return the host ports a pod wants: protocol, host IP, port."""
    found: set[tuple[str, str, int]] = set()
    for container in (pod.get("spec") or {}).get("containers") or ():
        for port in container.get("ports") or ():
            if port.get("hostPort"):
                address = port.get("hostIP") or "0.0.0.0"  # noqa: S104 (compared, not bound)
                found.add((port.get("protocol") or "TCP", address, int(port["hostPort"])))
    return found


def _requests(container: objects.Object) -> dict[str, int]:
    asked = (container.get("resources") or {}).get("requests") or {}
    return {name: amount(name, text) for name, text in asked.items()}


def _sum(containers: Iterable[objects.Object]) -> dict[str, int]:
    total: dict[str, int] = {}
    for container in containers:
        total = _add(total, _requests(container))
    return total


def _add(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in [*one, *other]}


def _most(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    return {name: max(one.get(name, 0), other.get(name, 0)) for name in [*one, *other]}
