"""Pods as processes of this machine: made by `assembly`, closed when the server stops."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping

from understudy.aio import tasks
from understudy.controllers import clusters, reactor, recorders, registry
from understudy.controllers.runtime import ports
from understudy.controllers.runtime.processes import (
    access,
    environments,
    folders,
    hosts,
    kubelet,
    nodes,
    probing,
    settings,
    storage,
    supervisors,
    workers,
)


class ProcessRuntime:
    """The controllers that run pods as processes, and what they hold beside the reactor.

    Attributes:
        nursery: Makes the supervisors.
    """

    def __init__(
        self,
        chosen: settings.Processes,
        *,
        inherited: dict[str, str],
        on_failure: Callable[[str, BaseException], None],
        drained: hosts.Drained | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """Take `inherited`, the server's environment; processes get a few names of it.

        And `variables`, which every process gets.
        `drained` is awaited before the containers of a pod that was deleted are told to end.
        """
        self.chosen = chosen
        kept = environments.INHERITED
        found = {name: text for name, text in inherited.items() if name in kept}
        self._inherited: dict[str, str] = {**found, **(variables or {})}
        self._drained = drained
        self._tasks = tasks.TaskSet(on_failure)
        self._folders = folders.Folders(chosen.directory)
        self._kubelet: kubelet.ProcessKubelet | None = None
        self._prober: probing.Prober | None = None
        self.nursery = supervisors.Nursery()
        self._access: access.PodAccess | None = None

    @property
    def pods(self) -> access.PodAccess:
        """What clients may do with the pods; once the controllers are made."""
        assert self._access is not None, "the reactor has made the controllers"
        return self._access

    def workers(self) -> list[workers.PodWorker]:
        """Return the pods that are looked after here."""
        return list(self._kubelet.workers.values()) if self._kubelet is not None else []

    def controllers(self) -> list[registry.Factory]:
        """Return what makes the runtime's controllers."""
        return [self._make_node, self._make_kubelet, self._make_storage]

    async def close(self) -> None:
        """End every process, gently at first; the reactor has stopped before."""
        await self._tasks.stop()
        if self._access is not None:
            await self._access.close()
        found = self.workers()
        processes = [process for worker in found for process in worker.processes()]
        for process in processes:
            process.signal(signal.SIGTERM)
        await _all_ended(processes, self.chosen.stop_grace_s)
        for process in processes:
            process.kill()
        await _all_ended(processes, None)
        for worker in found:
            worker.close()
        if self._prober is not None:
            await self._prober.close()
        await self.nursery.close()
        self._folders.close()

    def _make_node(self, shared: clusters.Shared) -> reactor.Controller:
        node = nodes.ProcessNode(shared, self.chosen.node, nodes.sizes(self._folders.top))
        node.prepare()
        return node

    def _make_storage(self, shared: clusters.Shared) -> reactor.Controller:
        made = storage.Directories(shared, self._folders)
        made.prepare()
        return made

    def _make_kubelet(self, shared: clusters.Shared) -> reactor.Controller:
        cluster = clusters.Cluster(shared, self.chosen.node, clusters.KUBELET)
        self._prober = probing.Prober(shared.clock, self.nursery)
        self._folders.keep_pods({entry.uid for entry in cluster.entries("pods")})
        self._kubelet = kubelet.ProcessKubelet(
            hosts.Host(
                cluster=cluster,
                recorder=recorders.Recorder(cluster, "kubelet", self.chosen.node),
                chosen=self.chosen,
                prober=self._prober,
                tasks=self._tasks,
                allocator=ports.Allocator(os.getpid() * 97),
                folders=self._folders,
                nursery=self.nursery,
                inherited=self._inherited,
                allocatable=nodes.sizes(self._folders.top),
                can_mount=supervisors.can_mount(self._folders.empty),
                drained=self._drained,
            )
        )
        self._access = access.PodAccess(self._kubelet.host, self._kubelet.workers)
        return self._kubelet


async def _all_ended(processes: list[supervisors.Process], timeout_s: float | None) -> None:
    """Wait until all have ended or the time is up."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            for process in processes:
                await process.wait()
