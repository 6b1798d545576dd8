"""What clients may do with the pods of a process node: implements `kubelets.PodRuntime`.

Source for the words: pkg/kubelet/kubelet_pods.go (validateContainerLogStatus).
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncGenerator, Mapping, Sequence

from understudy.controllers import reactor
from understudy.controllers.runtime import ports
from understudy.controllers.runtime.processes import (
    containers,
    hosts,
    logs,
    sessions,
    supervisors,
    workers,
)
from understudy.kapi import kubelets
from understudy.kube import objects, statuses


class PodAccess:
    """Logs, commands, attachments and connections of the pods of one node."""

    def __init__(self, host: hosts.Host, found: Mapping[reactor.Key, workers.PodWorker]) -> None:
        self._host = host
        self._workers = found
        self._open: set[sessions.CommandSession] = set()

    @property
    def can_mount(self) -> bool:
        """Whether volumes are at the very paths that containers name."""
        return self._host.can_mount

    def log(
        self, pod: objects.Object, container: str, options: kubelets.LogOptions
    ) -> AsyncGenerator[bytes, None]:
        run = self._run_of(pod, container, options)
        path = self._host.folders.log(objects.uid_of(pod), container, run)
        return logs.read(
            path,
            options,
            is_alive=lambda: self._is_writing(pod, container, run),
            clock=self._host.cluster.clock,
            follow_s=self._host.chosen.follow_s,
        )

    async def execute(
        self, pod: objects.Object, container: str, command: Sequence[str], *, stdin: bool, tty: bool
    ) -> kubelets.Session:
        one, _ = self._running(pod, container)
        assert one.launch is not None, "what runs was started"
        if len(self._open) >= self._host.chosen.sessions_max:
            raise statuses.TooManyRequestsError(
                f"{len(self._open)} commands run beside containers already; end some first"
            )
        session = sessions.CommandSession(tty=tty, stdin=stdin, on_close=self._open.discard)
        self._open.add(session)
        launch = dataclasses.replace(one.launch, argv=list(command), memory_bytes=0)
        if tty:
            launch = dataclasses.replace(launch, env={"TERM": "xterm", **launch.env})
        try:
            await session.start(self._host.nursery, launch)
        except BaseException:  # also where the client has gone meanwhile
            await session.close()
            raise
        return session

    async def attach(
        self, pod: objects.Object, container: str, *, stdin: bool, tty: bool
    ) -> kubelets.Session:
        await asyncio.sleep(0)
        one, process = self._running(pod, container)
        from_now = kubelets.LogOptions(follow=True, since=self._host.cluster.now())
        return sessions.Attachment(
            one, process, lambda: self.log(pod, container, from_now), stdin=stdin
        )

    async def dial(
        self, pod: objects.Object, port: int
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        worker = self._worker(pod)
        # Not by the annotation, which others may write: who may forward ports may not choose any.
        local = worker.mapping.get(port) if worker is not None else None
        if local is None:
            raise ConnectionRefusedError(
                f"pod {objects.name_of(pod)} declares no port {port}: processes are reached on "
                "the ports that their containers declare"
            )
        return await asyncio.open_connection(ports.LOOPBACK, local)

    async def close(self) -> None:
        """End all commands."""
        for session in list(self._open):
            await session.close()

    # ------------------------------------------------------------------ inside

    def _worker(self, pod: objects.Object) -> workers.PodWorker | None:
        worker = self._workers.get((objects.namespace_of(pod), objects.name_of(pod)))
        return worker if worker is not None and worker.uid == objects.uid_of(pod) else None

    def _container(self, pod: objects.Object, name: str) -> containers.Container | None:
        worker = self._worker(pod)
        return worker.container(name) if worker is not None else None

    def _running(
        self, pod: objects.Object, name: str
    ) -> tuple[containers.Container, supervisors.Process]:
        one = self._container(pod, name)
        if one is None or one.process is None or not one.is_running:
            raise statuses.BadRequestError(f'container not found ("{name}")')
        return one, one.process

    def _is_writing(self, pod: objects.Object, name: str, run: int) -> bool:
        one = self._container(pod, name)
        return one is not None and one.is_alive and one.run == run

    def _run_of(self, pod: objects.Object, name: str, options: kubelets.LogOptions) -> int:
        """Return the number of the run whose log is wanted."""
        one = self._container(pod, name)
        status = _status_of(pod, name)
        run = one.run if one is not None else int(status.get("restartCount") or 0)
        where = f'container "{name}" in pod "{objects.name_of(pod)}"'
        if options.previous:
            # While it waits for its next run, the newest one is the previous one.
            is_waiting = "waiting" in (status.get("state") or {})
            run -= 0 if is_waiting else 1
            if run < 0:
                raise statuses.BadRequestError(f"previous terminated {where} not found")
            return run
        state, last = status.get("state") or {}, status.get("lastState") or {}
        has_run = "running" in state or "terminated" in state or "terminated" in last
        if not has_run and (one is None or not one.is_running):
            reason = (state.get("waiting") or {}).get("reason") or containers.CREATING
            raise statuses.BadRequestError(f"{where} is waiting to start: {reason}")
        return max(run, 0)


def _status_of(pod: objects.Object, name: str) -> objects.Object:
    status = pod.get("status") or {}
    for field in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        for one in status.get(field) or ():
            if one.get("name") == name:
                found: objects.Object = one
                return found
    return {}
