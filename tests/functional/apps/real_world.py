"""What `understudy up` runs, in this process, with windows of a second: pods are real processes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp

from understudy import assembly
from understudy.apps import client as app_clients, clusters, records, settings as app_settings
from understudy.client import connections
from understudy.controllers.runtime.gateway import settings as gateways
from understudy.kapi import server as servers, settings
from understudy.kube import objects, records as codec, yamltext

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
QUICK = {
    "stable-window": "1s",
    "scale-to-zero-grace-period": "300ms",
    "panic-window-percentage": "50",
}


class Real:
    """A server with processes and a gateway, and a client of its apps over HTTP."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.server = servers.Server(
            settings.ServerSettings(port=0, auth="token", kubeconfig=directory / "kubeconfig")
        )

    async def start(self) -> None:
        await self.server.start()
        base = self.server.base
        base.create("namespaces", {"metadata": {"name": "knative-serving"}})
        tuned = {"metadata": {"name": "config-autoscaler"}, "data": QUICK}
        base.create("configmaps", tuned, "knative-serving")
        self.live = await assembly.start_apps(
            self.server, controllers="all", runtime="process",
            gateway=gateways.GatewaySettings(port=0, hold_s=20.0),
        )  # fmt: skip
        self.client = connections.connect(kubeconfig=str(self.server.kubeconfig), context=None)
        limits = await clusters.read_limits(self.client)
        self.apps = app_clients.KnativeAppClient(
            self.client, app_settings.AppSettings(limits=limits)
        )
        self.session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(20))

    async def stop(self) -> None:
        await self.session.close()
        await self.apps.close()
        await self.client.close()
        await self.live.stop()
        await self.server.stop()

    # ------------------------------------------------------------------ apps

    async def deploy(self, example: str, *, min: int = 1, max: int = 3, **env: str) -> records.App:
        """Deploy an example as the command does, with these bounds and variables."""
        directory = EXAMPLES / example
        for claim in directory.glob("claim.yaml"):
            document, _ = yamltext.load(claim.read_text())
            with contextlib.suppress(Exception):
                self.server.base.create("persistentvolumeclaims", document, "default")
        document, _ = yamltext.load((directory / "app.yaml").read_text())
        spec = document["spec"]
        spec["autoscaling"]["replicas"] = {"min": min, "max": max}
        if "container" in spec:
            spec["container"]["workingDir"] = str(directory)
            spec["container"]["env"] = [{"key": k, "value": v} for k, v in env.items()]
        else:
            spec["pod"]["podSpec"]["containers"][0]["workingDir"] = str(directory)
        app = codec.from_json(records.App, document)
        await self.apps.deploy(app)
        return app

    async def active(self, app: records.App) -> records.App:
        """Wait until an app serves as it was last deployed."""
        async with asyncio.timeout(30):
            while True:
                found = await self.apps.get(app.id)
                if found.phase is records.DeploymentStatus.ACTIVE:
                    return found
                await asyncio.sleep(0.05)

    def pods(self) -> list[objects.Object]:
        """Return the pods that are not on their way out."""
        return [
            pod
            for pod in self.server.base.each("pods", "default")
            if not objects.metadata(pod).get("deletionTimestamp")
        ]

    def pid(self, pod: objects.Object) -> int:
        return int(pod["status"]["containerStatuses"][0]["containerID"].partition("//")[2])

    # ------------------------------------------------------------------ asking

    async def ask(
        self, host: str, path: str = "/", **options: object
    ) -> tuple[int, objects.Object]:
        url = f"http://127.0.0.1:{self.live.gateway.port}{path}"
        method = str(options.pop("method", "GET"))
        async with self.session.request(
            method,
            url,
            headers={"Host": f"{host}-default-development.default.localhost"},
            **options,
        ) as response:
            return response.status, await response.json(content_type=None)

    async def metrics(self) -> str:
        headers = {"Authorization": f"Bearer {self.client.access.token}"}
        async with self.session.get(f"{self.server.url}/metrics", headers=headers) as response:
            return await response.text()


@contextlib.asynccontextmanager
async def running(directory: Path) -> AsyncIterator[Real]:
    real = Real(directory)
    await real.start()
    try:
        yield real
    finally:
        await real.stop()
