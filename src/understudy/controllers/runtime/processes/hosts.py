"""What the pods of one process node have in common."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from understudy.aio import tasks
from understudy.controllers import clusters, recorders
from understudy.controllers.runtime import ports
from understudy.controllers.runtime.processes import folders, probing, settings, supervisors
from understudy.kube import objects

Drained = Callable[[objects.Object], Awaitable[None]]


@dataclass(slots=True, kw_only=True)
class Host:
    """The node: its files, ports, prober and tasks, and how it writes to the cluster.

    Attributes:
        nursery: Makes the supervisors of its processes.
        inherited: What processes get of the server's environment.
        allocatable: What the node has.
        can_mount: Volumes are shown at the very paths that containers name.
        drained: Waits until a pod that is to end has answered what was asked of it.
    """

    cluster: clusters.Cluster
    recorder: recorders.Recorder
    chosen: settings.Processes
    prober: probing.Prober
    tasks: tasks.TaskSet
    allocator: ports.Allocator
    folders: folders.Folders
    nursery: supervisors.Nursery
    inherited: Mapping[str, str]
    allocatable: Mapping[str, str]
    can_mount: bool = False
    drained: Drained | None = None

    def now_s(self) -> float:
        """Return the monotonic time."""
        return self.cluster.clock.monotonic()
