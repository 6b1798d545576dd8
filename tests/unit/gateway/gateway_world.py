"""Revisions, pods and Ingresses as Knative's controllers write them; pods are aiohttp servers."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable

import aiohttp
from aiohttp import web

from understudy.controllers.knative import installing, settings as knative
from understudy.controllers.runtime.gateway import gateways, settings
from understudy.kapi import views
from understudy.kube import objects

INGRESSES = "ingresses.networking.internal.knative.dev"
REVISIONS = "revisions.serving.knative.dev"
CLASS = knative.KnativeSettings().ingress_class
NAMESPACE = "default"
QUICK = {"host": "127.0.0.1", "port": 0, "hold_s": 5.0, "eject_s": 0.05, "stop_s": 0.5}


class World:
    """A started gateway; `get` and `session` ask it in the name of a host."""

    def __init__(self, **config: object) -> None:
        self.view = views.new_view()
        installing.install(self.view)
        self.gateway = gateways.Gateway(settings.GatewaySettings(**(QUICK | config)))
        self.needed: list[tuple[str, str]] = []
        self._runners: dict[str, web.ServerRunner] = {}
        self._pods = 0

    async def start(self) -> None:
        await self.gateway.start()
        self.gateway.follow(self.view, CLASS)
        self.gateway.on_need(lambda *key: self.needed.append(key))
        self.session = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
        )

    async def stop(self) -> None:
        await self.session.close()
        await self.gateway.stop()
        for name in list(self._runners):
            await self.end(name)

    # ------------------------------------------------------------------ the cluster

    def revision(self, name: str, service: str = "app", **spec: object) -> None:
        """Create a Revision."""
        labels = {"serving.knative.dev/service": service}
        spec = {"containers": [{"image": "dev.local/app:v1"}]} | spec
        obj = {
            "apiVersion": "serving.knative.dev/v1",
            "kind": "Revision",
            "metadata": {"name": name, "labels": labels},
            "spec": spec,
        }
        self.view.create(REVISIONS, obj, NAMESPACE)

    async def pod(self, revision: str, handler: Callable, name: str = "", ready=True) -> str:
        """Run a server with an aiohttp handler and make it a pod of a Revision."""
        name = name or f"{revision}-{self._pods}"
        self._pods += 1
        runner = web.ServerRunner(web.Server(handler, access_log=None), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self._runners[name] = runner
        self.put_pod(revision, name, runner.addresses[0][1], ready=ready)
        return name

    def put_pod(self, revision: str, name: str, port: int, *, ready: bool = True) -> None:
        """Make a local port a pod."""
        uid = objects.uid_of(self.view.get(REVISIONS, revision, NAMESPACE))
        labels = {
            "serving.knative.dev/revision": revision, "serving.knative.dev/revisionUID": uid
        }  # fmt: skip
        container = {
            "name": "user-container",
            "image": "x",
            "ports": [{"name": "user-port", "containerPort": 8080}],
        }
        notes = {"understudy.dev/ports": json.dumps({"8080": port})}
        pod = {
            "metadata": {"name": name, "labels": labels, "annotations": notes},
            "spec": {"containers": [container]},
        }
        self.view.create("pods", pod, NAMESPACE)
        self.set_ready(name, ready=ready)

    def set_ready(self, pod: str, *, ready: bool) -> None:
        """Write what a kubelet writes."""
        found = self.view.get("pods", pod, NAMESPACE)
        condition = {"type": "Ready", "status": "True" if ready else "False"}
        found["status"] |= {"phase": "Running", "podIP": "127.0.0.1", "conditions": [condition]}
        self.view.update("pods", found, NAMESPACE, subresource="status")

    def drained(self, pod: objects.Object):
        """Wait, at most five seconds, until a pod has nothing to do."""
        return asyncio.wait_for(self.gateway.drained(pod), 5)

    def find_pod(self, name: str) -> objects.Object:
        return self.view.get("pods", name, NAMESPACE)

    async def end(self, pod: str) -> None:
        """End a pod's server; the view is not told."""
        await self._runners.pop(pod).cleanup()

    def ingress(self, name: str, *rules: objects.Object) -> None:
        """Create or replace an Ingress."""
        obj = {
            "apiVersion": "networking.internal.knative.dev/v1alpha1",
            "kind": "Ingress",
            "metadata": {
                "name": name,
                "annotations": {"networking.knative.dev/ingress.class": CLASS},
            },
            "spec": {"httpOption": "Enabled", "rules": list(rules)},
        }
        present = self.view.find(INGRESSES, NAMESPACE, name)
        if present is None:
            self.view.create(INGRESSES, obj, NAMESPACE)
        else:
            self.view.update(INGRESSES, present | {"spec": obj["spec"]}, NAMESPACE)

    async def app(self, handler: Callable, **spec: object) -> str:
        """Make the app `app.test` with one Revision and one pod; return the pod's name."""
        self.revision("app-1", **spec)
        self.ingress("app", rule("app.test", {"app-1": 100}))
        return await self.pod("app-1", handler)

    # ------------------------------------------------------------------ asking

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.gateway.port}"

    async def get(self, host: str = "app.test", path: str = "/", **options: object) -> Answer:
        return await self.ask("GET", host, path, **options)

    async def ask(self, method: str, host: str, path: str = "/", **options: object) -> Answer:
        headers = {"Host": host} | options.pop("headers", {})
        options.setdefault("timeout", aiohttp.ClientTimeout(10))
        async with self.session.request(
            method, self.url + path, headers=headers, allow_redirects=False, **options
        ) as response:
            return Answer(response, await response.read())


class Answer:
    def __init__(self, response: aiohttp.ClientResponse, body: bytes) -> None:
        self.status, self.headers, self.body = response.status, response.headers, body

    @property
    def text(self) -> str:
        return self.body.decode()


def rule(
    host: str, splits: dict[str, int], *, visibility: str = "ExternalIP", rewrite: str = ""
) -> objects.Object:
    path: objects.Object = {
        "splits": [
            {
                "appendHeaders": {"Knative-Serving-Revision": name},
                "percent": percent,
                "serviceName": name,
                "serviceNamespace": NAMESPACE,
                "servicePort": 80,
            }
            for name, percent in splits.items()
        ]
    }
    if rewrite:
        path["rewriteHost"] = rewrite
    return {"hosts": [host], "http": {"paths": [path]}, "visibility": visibility}


def says(text: str) -> Callable:
    """Return a handler that answers everything with a text."""

    async def handle(request: web.BaseRequest) -> web.Response:
        return web.Response(text=text)

    return handle


async def until(check: Callable, timeout_s: float = 5.0):
    loop = asyncio.get_running_loop()
    ends_s = loop.time() + timeout_s
    while not (answer := check()):
        assert loop.time() < ends_s, f"did not happen: {inspect.getsource(check)}"
        await asyncio.sleep(0.005)
    return answer
