"""Knative, a gateway and pods in this process: pods are servers of a handler of the test's.

What is left out are processes; everything else is as `understudy up` runs it, with windows of
seconds instead of minutes.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import aiohttp
from aiohttp import web

from understudy.aio import tasks
from understudy.controllers import running
from understudy.controllers.knative import installing, local, worlds
from understudy.controllers.runtime.gateway import gateways, settings
from understudy.kapi import views
from understudy.kapi.views import options
from understudy.kube import objects, statuses

KSERVICES = "services.serving.knative.dev"
AUTOSCALERS = "podautoscalers.autoscaling.internal.knative.dev"
REVISIONS = "revisions.serving.knative.dev"
QUICK = {
    "tick_s": 0.1, "stable_window_s": 1.0, "scale_to_zero_grace_s": 0.3,
    "panic_window_percent": 50.0,
}  # fmt: skip


class Live:
    """A cluster with apps; `get` asks one through the gateway."""

    def __init__(self, handler: Callable, **changes: object) -> None:
        self.view = views.new_view()
        self.handler = handler
        self.gateway = gateways.Gateway(settings.GatewaySettings(port=0, hold_s=10.0))
        self.starts = 0
        self._changes = changes
        self._tasks = tasks.TaskSet(lambda name, error: self.errors.append(error))
        self.errors: list[BaseException] = []

    async def start(self) -> None:
        await self.gateway.start()
        config = replace(local.configure(self.view, self.gateway.port), **(QUICK | self._changes))
        self.limits = config.limits
        installing.install(self.view, config)
        self.gateway.follow(self.view, config.ingress_class)
        world = worlds.World(registry=worlds.NoRegistry(), gateway=self.gateway, load=self.gateway)
        self.running = running.start(
            self.view, "all,-kube-scheduler", more=installing.controllers(config, world),
            on_failure=lambda name, error: self.errors.append(error),
        )  # fmt: skip
        self._unsubscribe = self.view.subscribe("pods", self._pod)
        self.session = aiohttp.ClientSession()

    async def stop(self) -> None:
        await self.session.close()
        await self.gateway.stop()
        self._unsubscribe()
        await self.running.stop()
        await self._tasks.stop()
        assert self.errors == []

    # ------------------------------------------------------------------ pods

    def _pod(self, event) -> None:
        if event.type == "ADDED":
            self._tasks.start(event.entry.key, self._run(event.entry.name, event.entry.uid))

    async def _run(self, name: str, uid: str) -> None:
        """Be the kubelet of one pod, from its start to its end."""
        self.starts += 1
        runner = web.ServerRunner(web.Server(self.handler, access_log=None), shutdown_timeout=0.1)
        try:
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self._told(name, runner.addresses[0][1])
            while not objects.metadata(self.view.get("pods", name, "default")).get(  # noqa: ASYNC110
                "deletionTimestamp"
            ):
                await asyncio.sleep(0.01)
            await self.gateway.drained(self.view.get("pods", name, "default"))
            gone = options.DeleteOptions(grace_period_s=0, uid=uid)
            self.view.delete("pods", name, "default", options=gone)
        except statuses.NotFoundError:
            pass
        finally:
            await runner.cleanup()

    def _told(self, name: str, port: int) -> None:
        notes = {"metadata": {"annotations": {"understudy.dev/ports": json.dumps({"8080": port})}}}
        self.view.patch("pods", name, notes, "default", patch_type=options.MERGE_PATCH)
        found = self.view.get("pods", name, "default")
        condition = {"type": "Ready", "status": "True"}
        found["status"] |= {"phase": "Running", "podIP": "127.0.0.1", "conditions": [condition]}
        self.view.update("pods", found, "default", subresource="status")

    # ------------------------------------------------------------------ apps

    def deploy(self, name: str = "hello", image: str = "dev.local/x:v1", *, traffic=None,
               spec: objects.Object | None = None, **notes: str) -> None:  # fmt: skip
        """Create or change a Service; `notes` are autoscaling annotations, `_` for `-`."""
        annotations = {
            f"autoscaling.knative.dev/{key.replace('_', '-')}": value
            for key, value in notes.items()
        }
        wanted = {
            "template": {
                "metadata": {"annotations": annotations},
                "spec": {"containers": [{"image": image}]} | (spec or {}),
            }
        }
        if traffic:
            wanted["traffic"] = traffic
        present = self.view.find(KSERVICES, "default", name)
        if present is not None:
            self.view.update(KSERVICES, present | {"spec": wanted}, "default")
            return
        obj = {
            "apiVersion": "serving.knative.dev/v1",
            "kind": "Service",
            "metadata": {"name": name},
            "spec": wanted,
        }
        self.view.create(KSERVICES, obj, "default")

    async def ready(self, name: str = "hello", revision: str = "") -> objects.Object:
        """Wait until a Service serves, with a certain Revision if one is named."""

        def look():
            found = self.view.get(KSERVICES, name, "default")
            status = found.get("status") or {}
            is_seen = status.get("observedGeneration") == found["metadata"]["generation"]
            if not is_seen or conditions(found).get("Ready") != "True":
                return None
            if revision and status.get("latestReadyRevisionName") != revision:
                return None
            return found

        return await until(look)

    def pods(self) -> list[str]:
        """Return the names of pods that are not on their way out."""
        return [
            objects.name_of(pod)
            for pod in self.view.each("pods", "default")
            if not objects.metadata(pod).get("deletionTimestamp")
        ]

    def find(self, ref: str, name: str) -> objects.Object:
        return self.view.get(ref, name, "default")

    async def get(self, host: str = "hello.default.localhost", path: str = "/") -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.gateway.port}{path}"
        async with self.session.get(url, headers={"Host": host}) as response:
            return response.status, await response.text()


@contextlib.asynccontextmanager
async def living(handler: Callable, **changes: object) -> AsyncIterator[Live]:
    live = Live(handler, **changes)
    await live.start()
    try:
        yield live
    finally:
        await live.stop()


def conditions(obj: objects.Object) -> dict[str, str]:
    return {one["type"]: one["status"] for one in (obj.get("status") or {}).get("conditions") or ()}


async def until(check: Callable, timeout_s: float = 15.0):
    """Ask again until the answer is true; return it."""
    loop = asyncio.get_running_loop()
    ends_s = loop.time() + timeout_s
    while not (answer := check()):
        if loop.time() > ends_s:
            raise AssertionError(f"did not happen in {timeout_s:g} s: {inspect.getsource(check)}")
        await asyncio.sleep(0.01)
    return answer
