"""One container of a pod: its runs, and the state a kubelet would report of it."""

from __future__ import annotations

import asyncio
import enum
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from understudy.controllers.runtime.processes import backoffs, settings, supervisors
from understudy.kube import objects

CREATING: Final = "ContainerCreating"
INITIALIZING: Final = "PodInitializing"
CRASH_LOOP: Final = "CrashLoopBackOff"


class Kind(enum.Enum):
    """What part a container has in its pod."""

    INIT = "init"
    """Runs to its end before the next begins."""
    SIDECAR = "sidecar"
    """An init container that stays (restartPolicy Always)."""
    MAIN = "main"


@dataclass(slots=True, kw_only=True)
class Stop:
    """A stop under way.

    Attributes:
        at_s: When it is killed, in monotonic time.
        is_asked: It was sent its signal; before that its preStop hook runs.
        is_killed: It was killed.
    """

    at_s: float
    is_asked: bool = False
    is_killed: bool = False


@dataclass(slots=True, kw_only=True)
class Container:
    """A container's runs so far; what happens next is the pod's worker's to decide.

    Attributes:
        spec: As the pod has it at present.
        process: The present run's, from its start to its end.
        launch: What the newest run was started with.
        run: Number of the newest run, from 0; names its log.
        started_at: When the newest run began, in metav1.Time.
        ended: The terminated state of the newest run, None while it runs or before the first.
        ended_s: When that was, in monotonic time.
        waiting: Why it does not run, where it neither runs nor has ended for good.
        last: The terminated state of the run before.
        hook: Whether the postStart hook of this run is still under way.
        is_started, is_ready: What probes say of this run.
        watching: The task that probes this run.
        input: Where attached clients write to; -1 for nowhere.
        terminal: The other end of its terminal; -1 without one.
    """

    name: str
    kind: Kind
    spec: objects.Object
    backoff: backoffs.Backoff
    process: supervisors.Process | None = None
    launch: supervisors.Launch | None = None
    run: int = -1
    started_at: str = ""
    ended: objects.Object | None = None
    ended_s: float = 0.0
    waiting: objects.Object = field(default_factory=dict)
    last: objects.Object = field(default_factory=dict)
    restarts: int = 0
    hook: bool = False
    is_started: bool = False
    is_ready: bool = False
    stop: Stop | None = None
    watching: asyncio.Task[None] | None = None
    input: int = -1
    terminal: int = -1

    @property
    def is_alive(self) -> bool:
        """Whether something of the newest run is there."""
        return self.process is not None

    @property
    def is_running(self) -> bool:
        """Whether its process is known to run."""
        return self.process is not None and self.process.pid > 0

    @property
    def has_succeeded(self) -> bool:
        """Whether the newest run ended with 0."""
        return self.ended is not None and self.ended.get("exitCode") == 0

    @property
    def state(self) -> objects.Object:
        """What a kubelet would report as the state."""
        if self.is_running:
            return {"running": {"startedAt": self.started_at}}
        if self.waiting:
            return {"waiting": self.waiting}
        if self.ended is not None:
            return {"terminated": self.ended}
        return {"waiting": {"reason": CREATING}}

    @property
    def last_state(self) -> objects.Object:
        """What a kubelet would report as the state before."""
        shown = self.last
        if self.waiting and self.ended is not None and not self.is_running:
            shown = self.ended
        return {"terminated": shown} if shown else {}

    def open_stdio(self) -> tuple[supervisors.Stdio, list[int]]:
        """Return what a new run reads and writes, and the descriptors to close after its start."""
        if self.spec.get("tty"):
            self.terminal, theirs = os.openpty()
            os.set_blocking(self.terminal, False)
            output = os.dup(self.terminal)
            stdio = supervisors.Stdio(
                stdin=theirs, stdout=theirs, stderr=theirs, tty=True, output=output
            )
            return stdio, [theirs, output]
        if self.spec.get("stdin"):
            reading, self.input = os.pipe()
            os.set_blocking(self.input, False)
            return supervisors.Stdio(stdin=reading), [reading]
        return supervisors.Stdio(), []

    def close_input(self) -> None:
        """Let go of what attached clients write to: the process reads an end."""
        for descriptor in {self.input, self.terminal} - {-1}:
            os.close(descriptor)
        self.input = self.terminal = -1

    def restarts_after_end(self, pod_policy: str) -> bool:
        """Whether it is started again after its newest run, as its restart policy says."""
        policy = str(self.spec.get("restartPolicy") or pod_policy)
        if self.kind is Kind.INIT:
            # An init container that has succeeded is done, whatever the pod's policy.
            return policy != "Never" and not self.has_succeeded
        return policy == "Always" or (policy == "OnFailure" and not self.has_succeeded)


def of(pod: objects.Object, chosen: settings.Processes) -> list[Container]:
    """Return the containers of a pod in the order of their start, none of which has run."""
    spec = pod.get("spec") or {}
    first = INITIALIZING if spec.get("initContainers") else CREATING
    return [
        Container(
            name=str(one["name"]), kind=kind, spec=one, backoff=backoffs.Backoff(chosen),
            waiting={"reason": first},
        )
        for kind, one in _kinds(spec)
    ]  # fmt: skip


def are_complete(found: Iterable[Container], policy: str) -> bool:
    """Whether none of a pod's containers will be started again by itself."""
    for one in found:
        if one.kind is Kind.SIDECAR:
            continue
        ended = one.ended is not None and not one.is_alive
        if one.kind is Kind.INIT:
            if ended and not one.has_succeeded and not one.restarts_after_end(policy):
                return True
        elif not ended or one.restarts_after_end(policy):
            return False
    return True


def refresh(found: list[Container], pod: objects.Object) -> None:
    """Give containers the specs that the pod has now."""
    specs = {str(one["name"]): one for _, one in _kinds(pod.get("spec") or {})}
    for container in found:
        container.spec = specs.get(container.name, container.spec)


def _kinds(spec: objects.Object) -> Iterator[tuple[Kind, objects.Object]]:
    for one in spec.get("initContainers") or ():
        yield (Kind.SIDECAR if one.get("restartPolicy") == "Always" else Kind.INIT), one
    for one in spec.get("containers") or ():
        yield Kind.MAIN, one
