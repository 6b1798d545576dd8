"""Pods as real processes of this machine: a view with all controllers and the process runtime."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from understudy.aio import clocks
from understudy.controllers import running
from understudy.controllers.runtime.processes import runtime, settings
from understudy.kapi import views
from understudy.kube import objects, statuses

WAIT_S = 20.0
"""Longest wait for anything; nothing is asserted about times."""


class Machine:
    """A view whose pods run here."""

    def __init__(self, directory: Path | None, drained=None, **chosen) -> None:
        self.view = views.new_view(clock=clocks.SystemClock())
        self.directory = directory
        self._drained = drained
        self.failures: list[BaseException] = []
        self._chosen = chosen
        for name in ("default", "kube-node-lease"):
            with contextlib.suppress(statuses.AlreadyExistsError):
                self.view.create("namespaces", {"metadata": {"name": name}})

    async def start(self) -> None:
        fast = {"backoff_base_s": 0.3, "backoff_max_s": 2.0, "stop_grace_s": 2.0,
                "mount_retry_s": 0.1, "directory": self.directory, **self._chosen}  # fmt: skip
        self.runtime = runtime.ProcessRuntime(
            settings.Processes(**fast),
            inherited=dict(os.environ),
            on_failure=self._failed,
            drained=self._drained,
        )
        self.running = running.start(
            self.view, "all", more=self.runtime.controllers(), on_failure=self._failed
        )
        self.running.beside.append(self.runtime.close)

    async def stop(self) -> None:
        await self.running.stop()
        assert not self.failures, self.failures

    def _failed(self, name: str, error: BaseException) -> None:
        self.failures.append(error)

    # ------------------------------------------------------------------ objects

    def create(self, ref: str, obj) -> objects.Object:
        return self.view.create(ref, obj, "default").object()

    def pod(self, name: str, *argv: str, pod=None, **container) -> objects.Object:
        """Create a pod of one container `app`."""
        spec = {
            "containers": [{"name": "app", "image": "none", "command": list(argv), **container}]
        }
        return self.create("pods", {"metadata": {"name": name}, "spec": {**spec, **(pod or {})}})

    def get(self, name: str, ref: str = "pods"):
        return self.view.find(ref, "default", name)

    def state(self, name: str, container: str = "app"):
        """Return a container's status, empty before the first."""
        status = (self.get(name) or {}).get("status") or {}
        for one in (*(status.get("initContainerStatuses") or ()),
                    *(status.get("containerStatuses") or ())):  # fmt: skip
            if one["name"] == container:
                return one
        return {}

    def pid(self, name: str, container: str = "app") -> int:
        return int(self.state(name, container)["containerID"].removeprefix("process://"))

    def reasons(self, name: str) -> list[str]:
        """Return the reasons of the events about an object."""
        return [
            event["reason"] for event in self.view.each("events", "default")
            if event["involvedObject"]["name"] == name
        ]  # fmt: skip

    def messages(self, name: str, reason: str) -> list[str]:
        return [
            event["message"] for event in self.view.each("events", "default")
            if event["involvedObject"]["name"] == name and event["reason"] == reason
        ]  # fmt: skip

    @staticmethod
    def is_alive(pid: int) -> bool:
        """Whether a process runs; one that has ended and is not buried yet does not."""
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        status = Path(f"/proc/{pid}/status")
        return not status.exists() or "State:\tZ" not in status.read_text()

    # ------------------------------------------------------------------ waiting

    async def until(self, condition: Callable[[], object], what: str = "") -> None:
        try:
            async with asyncio.timeout(WAIT_S):
                while not condition():  # noqa: ASYNC110 (polling is how a client sees it)
                    await asyncio.sleep(0.02)
        except TimeoutError:
            pods = [(pod["metadata"]["name"], pod.get("status")) for pod in self.view.each("pods")]
            events = [(event["reason"], event["message"]) for event in self.view.each("events")]
            raise AssertionError(f"{what or condition}: {pods} {events}") from None

    async def phase(self, name: str, wanted: str) -> objects.Object:
        await self.until(
            lambda: ((self.get(name) or {}).get("status") or {}).get("phase") == wanted,
            f"{name} {wanted}",
        )
        return self.get(name)

    async def ready(self, name: str) -> objects.Object:
        await self.until(lambda: self.state(name).get("ready"), f"{name} ready")
        return self.get(name)

    async def gone(self, name: str) -> None:
        await self.until(lambda: self.get(name) is None, f"{name} gone")


@pytest.fixture
async def machine(tmp_path):
    found = Machine(tmp_path)
    await found.start()
    try:
        yield found
    finally:
        await found.stop()


@pytest.fixture
async def make_machine(tmp_path):
    """Start machines with settings of the test's choice."""
    async with contextlib.AsyncExitStack() as stack:

        async def make(directory: Path | None = tmp_path, **chosen) -> Machine:
            found = Machine(directory, **chosen)
            await found.start()
            stack.push_async_callback(found.stop)
            return found

        yield make
