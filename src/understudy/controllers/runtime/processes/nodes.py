"""The node that is this machine."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path
from typing import Final

from understudy.controllers import clusters
from understudy.controllers.runtime import ports, settings, simulated

PODS_MAX: Final = "110"
_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}


class ProcessNode(simulated.SimulatedNodes):
    """Makes the node and renews its lease."""

    name = "process-node"
    mark = simulated.PROCESSES

    def __init__(self, shared: clusters.Shared, node: str, sizes: dict[str, str]) -> None:
        super().__init__(shared, settings.Runtime())
        self._node = node
        self._sizes = sizes

    def prepare(self) -> None:
        """Make the node, or take it over from an earlier run; it is ready at once."""
        if self.cluster.entry("nodes", "", self._node) is None:
            self.add(self._node, {
                simulated.PROCESSES: "true",
                "kubernetes.io/os": platform.system().lower(),
                "kubernetes.io/arch": _architecture(),
            })  # fmt: skip
        else:
            self.renew(self._node, first=True)
        self.describe(self._node, ports.LOOPBACK, self._sizes, _info())


def _architecture() -> str:
    machine = platform.machine().lower()
    return _ARCHITECTURES.get(machine, machine)


def _info() -> dict[str, str]:
    return {
        "operatingSystem": platform.system().lower(),
        "architecture": _architecture(),
        "kernelVersion": platform.release(),
        "osImage": f"{platform.system()} {platform.release()}",
        "containerRuntimeVersion": f"process://{platform.python_version()}",
    }


def sizes(directory: Path) -> dict[str, str]:
    """Return what this machine has, as a node's capacity; `directory` is where volumes are."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": str(os.cpu_count() or 1),
        "memory": f"{pages // 1024}Ki",
        "pods": PODS_MAX,
        "ephemeral-storage": f"{shutil.disk_usage(directory).total // 1024}Ki",
    }
