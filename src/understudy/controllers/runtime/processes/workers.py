"""One pod on this node: what its containers should do next, and doing it.

`sync` is called whenever something changed: the pod, a process, a probe's verdict, the time. It
looks at everything, takes the next steps, and reports. Nothing waits in here; what takes time
(hooks, probes) runs as a task and calls `notify`.

Source: pkg/kubelet/kuberuntime/kuberuntime_manager.go (computePodActions, killContainer).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from typing import Final

from understudy.controllers.runtime import ports
from understudy.controllers.runtime.processes import (
    containers,
    environments,
    hosts,
    launches,
    messages,
    probes,
    probing,
    restoring,
    statuses,
    supervisors,
    volumes,
)
from understudy.controllers.workloads import pods
from understudy.kube import objects, statuses as errors

NEVER: Final = "1970-01-01T00:00:00Z"
START_ERROR_CODE: Final = 128
DEADLINE: Final = "DeadlineExceeded"
DEADLINE_MESSAGE: Final = "Pod was active on the node longer than the specified deadline"


class PodWorker:
    """A pod and its processes.

    Attributes:
        pod: Its newest object.
        mapping: Local ports by declared ones.
        containers: Init containers and sidecars in order, then the others.
    """

    def __init__(self, host: hosts.Host, pod: objects.Object, notify: Callable[[], None]) -> None:
        """Take a pod over; what it ran before this server's start is gone."""
        self.host = host
        self.pod = pod
        self.uid = objects.uid_of(pod)
        self.mapping: dict[int, int] = {}
        self.containers = containers.of(pod, host.chosen)
        self._notify = notify
        self._started_at = str((pod.get("status") or {}).get("startTime") or "")
        self._is_prepared = False
        self._why_unmounted = ""
        self._failure = ("", "")
        self._reported: objects.Object = {}
        restoring.restore(self.containers, pod, host)
        if (pod.get("status") or {}).get("reason") == DEADLINE:
            self._failure = (DEADLINE, DEADLINE_MESSAGE)

    # ------------------------------------------------------------------ what others ask

    @property
    def is_alive(self) -> bool:
        """Whether a process of it is left."""
        return any(one.is_alive for one in self.containers)

    @property
    def is_hindered(self) -> bool:
        """Whether it waits for an object that is missing."""
        return bool(self._why_unmounted) or any(
            one.waiting.get("reason") == "CreateContainerConfigError" for one in self.containers
        )

    def container(self, name: str) -> containers.Container | None:
        """Return a container by name."""
        return next((one for one in self.containers if one.name == name), None)

    def processes(self) -> list[supervisors.Process]:
        """Return what runs of it."""
        return [one.process for one in self.containers if one.process is not None]

    # ------------------------------------------------------------------ the next steps

    def sync(self, pod: objects.Object) -> float | None:
        """Take the next steps; return seconds until the next look, if one is needed."""
        self.pod = pod
        containers.refresh(self.containers, pod)
        self._observe_processes()
        waits: list[float] = []
        if pods.is_terminating(pod):
            self._stop_all(self._grace_left_s())
        else:
            self._check_deadline(waits)
            if self._failure[0] or self._is_complete():
                self._stop_all(self._grace_s())
            elif self._prepare(waits):
                self._advance(waits)
        self._press_stops(waits)
        self._report()
        return min(waits, default=None)

    def vanish(self) -> float | None:
        """End the processes of a pod that is no longer there; return seconds to the next look."""
        self._observe_processes()
        for one in self.containers:
            if one.is_alive:
                self._begin_stop(one, self.host.chosen.vanished_grace_s, "", hook=False)
        waits: list[float] = []
        self._press_stops(waits)
        return min(waits, default=None)

    def forget(self) -> None:
        """Give back what the pod had; nothing of it runs."""
        self.host.allocator.release(self.mapping)
        self.mapping = {}
        self.host.folders.forget_pod(self.uid)

    def close(self) -> None:
        """Let go of what is held for processes that have ended; the pod stays as it is."""
        for one in self.containers:
            one.close_input()

    def _is_complete(self) -> bool:
        """Whether no container will be started again by itself."""
        return containers.are_complete(self.containers, statuses.policy_of(self.pod))

    def _advance(self, waits: list[float]) -> None:
        begun = any(one.kind is containers.Kind.MAIN and one.run >= 0 for one in self.containers)
        for one in self.containers:
            if one.kind is containers.Kind.INIT:
                if begun or (one.has_succeeded and not one.is_alive):
                    continue
                self._start_if_due(one, waits)
                return
            self._start_if_due(one, waits)
            if one.kind is containers.Kind.SIDECAR and not one.is_started and not begun:
                return

    def _check_deadline(self, waits: list[float]) -> None:
        seconds = (self.pod.get("spec") or {}).get("activeDeadlineSeconds")
        if seconds is None or not self._started_at or self._failure[0] or self._is_complete():
            return
        since = self.host.cluster.now() - pods.parse_time(self._started_at)
        left_s = float(seconds) - since.total_seconds()
        if left_s > 0:
            waits.append(left_s)
            return
        self._failure = (DEADLINE, DEADLINE_MESSAGE)
        self._event("Normal", DEADLINE, DEADLINE_MESSAGE)

    # ------------------------------------------------------------------ before the start

    def _prepare(self, waits: list[float]) -> bool:
        """Give the pod its ports and volumes; False while something is missing."""
        if self._is_prepared:
            return True
        if not self._started_at:
            self._started_at = self.host.cluster.stamp()
        if not self.mapping:
            self._allocate_ports()
        try:
            volumes.mount(self.host, self.pod)
        except volumes.MountError as error:
            if str(error) != self._why_unmounted:
                self._why_unmounted = str(error)
                self._event("Warning", "FailedMount", str(error))
            waits.append(self.host.chosen.mount_retry_s)
            return False
        self._why_unmounted = ""
        self._is_prepared = True
        return True

    def _allocate_ports(self) -> None:
        known = ports.mapping_of(self.pod)
        self.mapping = self.host.allocator.allocate(known, ports.declared(self.pod))
        if self.mapping != known:
            self.pod = self.host.cluster.patch(
                "pods", objects.namespace_of(self.pod), objects.name_of(self.pod),
                {"metadata": {
                    "uid": self.uid,
                    "annotations": {ports.PORTS: ports.annotation(self.mapping)},
                }},
            )  # fmt: skip

    def refresh_volumes(self) -> None:
        """Bring changed ConfigMaps and Secrets into the pod's volumes."""
        if self._is_prepared:
            with contextlib.suppress(volumes.MountError):
                volumes.mount(self.host, self.pod)

    # ------------------------------------------------------------------ starting

    def _start_if_due(self, one: containers.Container, waits: list[float]) -> None:
        if one.is_alive:
            return
        if one.ended is not None:
            if not one.restarts_after_end(statuses.policy_of(self.pod)):
                return
            left_s = one.backoff.left_s(one.ended_s, self.host.now_s())
            if left_s > 0:
                self._back_off(one)
                waits.append(left_s)
                return
        self._start(one, waits)

    def _back_off(self, one: containers.Container) -> None:
        if one.waiting.get("reason") == containers.CRASH_LOOP:
            return
        shown = f"{objects.name_of(self.pod)}_{objects.namespace_of(self.pod)}({self.uid})"
        one.waiting = {
            "reason": containers.CRASH_LOOP,
            "message": f"back-off {_duration(one.backoff.delay_s)} restarting failed "
            f"container={one.name} pod={shown}",
        }
        text = f"Back-off restarting failed container {one.name} in pod {shown}"
        self._event("Warning", "BackOff", text, one)

    def _start(self, one: containers.Container, waits: list[float]) -> None:
        try:
            one.launch = self._launch(one)
        except environments.ContainerConfigError as error:
            self._refuse(one, "CreateContainerConfigError", str(error), waits)
            return
        except (launches.CreateContainerError, volumes.MountError) as error:
            self._refuse(one, "CreateContainerError", str(error), waits)
            return
        if one.ended is not None:
            one.backoff.restarted(one.ended_s)
        one.run += 1
        if one.run >= 2:
            self.host.folders.forget_log(self.uid, one.name, one.run - 2)
        self.host.folders.message(self.uid, one.name).unlink(missing_ok=True)
        one.started_at = ""
        image = one.spec.get("image")
        text = f'Image "{image}" is not pulled: the command runs as a local process'
        self._event("Normal", "Pulled", text, one)
        try:
            self._spawn(one)
        except OSError as error:
            self._refuse(one, "CreateContainerError", f"cannot start a process: {error}", waits)
            return
        self._event("Normal", "Created", f"Created container: {one.name}", one)

    def _spawn(self, one: containers.Container) -> None:
        assert one.launch is not None, "made before"
        chosen = self.host.chosen
        stdio, theirs = one.open_stdio()
        try:
            one.process = supervisors.Process(
                self.host.nursery,
                one.launch,
                on_change=self._notify,
                stdio=stdio,
                log=supervisors.LogFile(
                    path=self.host.folders.log(self.uid, one.name, one.run),
                    bytes_max=chosen.log_bytes_max,
                    files_max=chosen.log_files_max,
                ),
            )
        finally:
            for descriptor in theirs:
                os.close(descriptor)

    def _launch(self, one: containers.Container) -> supervisors.Launch:
        host, pod = self.host, self.pod
        exposed = volumes.expose(host, pod, one.spec)
        namespace = objects.namespace_of(pod)
        message = host.folders.message(self.uid, one.name)
        own = {**exposed.variables, f"{environments.OWN}TERMINATION_LOG": str(message)}
        seen = objects.copy(pod)
        # The kubelet knows the pod's address before the API does.
        seen.setdefault("status", {}).update(
            podIP=ports.LOOPBACK, podIPs=[{"ip": ports.LOOPBACK}],
            hostIP=ports.LOOPBACK, hostIPs=[{"ip": ports.LOOPBACK}],
        )  # fmt: skip
        around = environments.Surroundings(
            base=host.inherited,
            own=own,
            ports=self.mapping,
            allocatable=host.allocatable,
            find=lambda ref, name: host.cluster.peek(ref, namespace, name),
        )
        mounts = exposed.mounts if host.can_mount else ()
        return launches.launch_for(seen, one.spec, around, host.folders, mounts)

    def _refuse(
        self, one: containers.Container, reason: str, message: str, waits: list[float]
    ) -> None:
        waits.append(self.host.chosen.mount_retry_s)
        waiting = {"reason": reason, "message": message}
        if one.waiting != waiting:
            one.waiting = waiting
            self._event("Warning", "Failed", f"Error: {message}", one)

    # ------------------------------------------------------------------ what processes did

    def _observe_processes(self) -> None:
        for one in self.containers:
            process = one.process
            if process is None:
                continue
            if process.pid and not one.started_at:
                self._begun(one)
            if process.ended is not None:
                self._ended(one, process.ended)

    def _begun(self, one: containers.Container) -> None:
        self._count_run(one)
        one.ended = None
        one.waiting = {}
        one.started_at = self.host.cluster.stamp()
        self._event("Normal", "Started", f"Started container {one.name}", one)
        name = f"probes of {objects.name_of(self.pod)}/{one.name}"
        one.watching = self.host.tasks.start(name, self._watch(one))

    def _count_run(self, one: containers.Container) -> None:
        if one.ended is not None:
            one.last = one.ended
            one.restarts += 1

    def _ended(self, one: containers.Container, ended: supervisors.Ended) -> None:
        process, one.process = one.process, None
        assert process is not None, "what ended has run"
        if one.watching is not None:
            one.watching.cancel()
        one.close_input()
        stamp = self.host.cluster.stamp()
        one.is_ready = one.is_started = False
        one.stop = one.watching = None
        one.ended_s = self.host.now_s()
        if ended.failure:
            self._count_run(one)
            text = f"failed to start container: {ended.failure}"
            one.ended = {
                "exitCode": START_ERROR_CODE, "reason": "StartError", "message": text,
                "startedAt": NEVER, "finishedAt": stamp,
            }  # fmt: skip
            restarts = one.restarts_after_end(statuses.policy_of(self.pod))
            one.waiting = {"reason": "RunContainerError", "message": text} if restarts else {}
            self._event("Warning", "Failed", f"Error: {text}", one)
            return
        reason = "Completed" if ended.code == 0 else "OOMKilled" if ended.oom else "Error"
        one.ended = {
            "exitCode": ended.exit_code, "reason": reason, "startedAt": one.started_at,
            "finishedAt": stamp, "containerID": f"{statuses.PROTOCOL}://{process.pid}",
        }  # fmt: skip
        last_words = messages.of(self.host.folders, self.uid, one)
        if last_words:
            one.ended["message"] = last_words

    # ------------------------------------------------------------------ probes and hooks

    async def _watch(self, one: containers.Container) -> None:
        """Run the postStart hook, then the probes, of a container's present run."""
        handler = (one.spec.get("lifecycle") or {}).get("postStart")
        if handler and (why := await self._ask(one, handler, probing.HOOK_TIMEOUT_S)):
            self._event("Warning", "FailedPostStartHook", f"PostStartHook failed: {why}", one)
            self._stop_failed(one, None, "FailedPostStartHook")
            return
        if startup := probes.probe_of(one.spec, "startup"):
            await self._probe(one, startup)
            if one.stop is not None:
                return
        one.is_started = True
        readiness = probes.probe_of(one.spec, "readiness")
        one.is_ready = readiness is None
        self._notify()
        async with asyncio.TaskGroup() as group:
            for probe in (readiness, probes.probe_of(one.spec, "liveness")):
                if probe is not None:
                    group.create_task(self._probe(one, probe))

    async def _probe(self, one: containers.Container, probe: probes.Probe) -> None:
        def unhealthy(asked: probes.Probe, why: str) -> None:
            text = f"{asked.kind.capitalize()} probe failed: {why}"
            self._event("Warning", "Unhealthy", text, one)

        def decided(asked: probes.Probe, verdict: bool) -> None:
            if asked.kind == "readiness":
                one.is_ready = verdict
                self._notify()
            elif not verdict:
                self._stop_failed(one, asked.grace_s, f"failed {asked.kind} probe")

        await probing.watch(
            probe,
            lambda asked: self._ask(one, asked.handler, asked.timeout_s),
            self.host.cluster.clock,
            eager_s=self.host.chosen.eager_probe_s,
            unhealthy=unhealthy,
            decided=decided,
        )

    async def _ask(
        self, one: containers.Container, handler: objects.Object, timeout_s: float
    ) -> str:
        assert one.launch is not None, "what is probed was started"
        return await self.host.prober.ask(self.mapping, one.spec, handler, one.launch, timeout_s)

    def _stop_failed(self, one: containers.Container, grace_s: int | None, why: str) -> None:
        """Stop a container that a probe or hook found failing; its policy decides what follows."""
        text = f"Container {one.name} {why}, will be restarted"
        if why.startswith("Failed"):
            text = why
        self._begin_stop(one, self._grace_s() if grace_s is None else grace_s, text)
        self._notify()

    # ------------------------------------------------------------------ stopping

    def _stop_all(self, grace_s: float) -> None:
        """Stop the containers; sidecars once the others have ended, the last one first."""
        others = [
            one for one in self.containers
            if one.is_alive and one.kind is not containers.Kind.SIDECAR
        ]  # fmt: skip
        for one in others:
            self._begin_stop(one, grace_s, f"Stopping container {one.name}")
        if not others:
            for one in reversed(self.containers):
                if one.is_alive:
                    self._begin_stop(one, grace_s, f"Stopping container {one.name}")
                    return

    def _begin_stop(
        self, one: containers.Container, grace_s: float, why: str, *, hook: bool = True
    ) -> None:
        at_s = self.host.now_s() + grace_s
        if one.stop is not None:
            one.stop.at_s = min(one.stop.at_s, at_s)
            return
        one.stop = containers.Stop(at_s=at_s)
        if why:
            self._event("Normal", "Killing", why, one)
        handler = (one.spec.get("lifecycle") or {}).get("preStop")
        is_asked_for = self.host.drained is not None and pods.is_terminating(self.pod)
        if (handler or is_asked_for) and hook and one.is_running:
            name = f"preStop of {objects.name_of(self.pod)}/{one.name}"
            self.host.tasks.start(name, self._stop_politely(one, one.stop, handler))
        else:
            _ask_to_end(one)

    async def _stop_politely(
        self, one: containers.Container, stop: containers.Stop, handler: objects.Object | None
    ) -> None:
        """Let requests end and run the preStop hook, then send the signal.

        Unless the run has ended meanwhile.
        """
        if self.host.drained is not None and pods.is_terminating(self.pod):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, stop.at_s - self.host.now_s())):
                    await self.host.drained(self.pod)
        left_s = max(0.0, stop.at_s - self.host.now_s())
        if handler and one.stop is stop and (why := await self._ask(one, handler, left_s)):
            self._event("Warning", "FailedPreStopHook", f"PreStopHook failed: {why}", one)
        if one.stop is stop:
            _ask_to_end(one)

    def _press_stops(self, waits: list[float]) -> None:
        """Kill what had its grace."""
        for one in self.containers:
            if one.stop is None or one.process is None or one.stop.is_killed:
                continue
            left_s = one.stop.at_s - self.host.now_s()
            if left_s > 0:
                waits.append(left_s)
            else:
                one.stop.is_killed = True
                one.process.kill()

    def _grace_s(self) -> float:
        seconds = (self.pod.get("spec") or {}).get("terminationGracePeriodSeconds")
        return float(30 if seconds is None else seconds)

    def _grace_left_s(self) -> float:
        """Return what is left of a terminating pod's grace."""
        ends = str(objects.metadata(self.pod).get("deletionTimestamp"))
        left = pods.parse_time(ends) - self.host.cluster.now()
        return max(0.0, left.total_seconds())

    # ------------------------------------------------------------------ telling

    def _report(self) -> None:
        is_over = not self.is_alive and (
            pods.is_terminating(self.pod) or self._is_complete() or bool(self._failure[0])
        )
        facts = statuses.Facts(
            stamp=self.host.cluster.stamp(),
            host=ports.LOOPBACK,
            address=ports.LOOPBACK,
            has_address=self._is_prepared,
            started_at=self._started_at or self.host.cluster.stamp(),
            is_terminal=is_over,
            reason=self._failure[0],
            message=self._failure[1],
        )
        status = statuses.status_of(self.pod, self.containers, facts)
        if status == self._reported:
            return
        with contextlib.suppress(errors.NotFoundError):
            self.pod = self.host.cluster.patch(
                "pods", objects.namespace_of(self.pod), objects.name_of(self.pod),
                {"metadata": {"uid": self.uid}, "status": status}, subresource="status",
            )  # fmt: skip
        self._reported = status

    def _event(
        self, type: str, reason: str, message: str, one: containers.Container | None = None
    ) -> None:
        field = ""
        if one is not None:
            kind = "containers" if one.kind is containers.Kind.MAIN else "initContainers"
            field = f"spec.{kind}{{{one.name}}}"
        self.host.recorder.event(self.pod, type, reason, message, field=field)


def _ask_to_end(one: containers.Container) -> None:
    if one.process is None or one.stop is None or one.stop.is_asked:
        return
    one.stop.is_asked = True
    name = str((one.spec.get("lifecycle") or {}).get("stopSignal") or "SIGTERM")
    number = getattr(signal, name, signal.SIGTERM)
    one.process.signal(int(number))


def _duration(seconds: float) -> str:
    """Return seconds as Go prints a duration, e.g. `10s`, `2m40s`, `5m0s`."""
    minutes, rest = divmod(round(seconds, 3), 60)
    return f"{minutes:.0f}m{rest:g}s" if minutes else f"{rest:g}s"
