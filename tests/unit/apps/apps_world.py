"""A live cluster with Knative in this process, and the app client over it."""

from __future__ import annotations

import asyncio
import inspect
from dataclasses import dataclass, field

from understudy import assembly
from understudy.apps import client as app_clients, records, settings
from understudy.client import protocol, wrapping
from understudy.controllers import running
from understudy.controllers.knative import settings as knative_settings
from understudy.controllers.runtime import settings as runtimes
from understudy.kapi import views
from understudy.kube import objects

QUICK = runtimes.Runtime(start_delay_s=0.0, stop_delay_s=0.0, exit_delay_s=0.0, leases=False)
KNATIVE = knative_settings.KnativeSettings(domain="apps.test", tick_s=0.05)
KSERVICES = "services.serving.knative.dev"


class Faulty(wrapping.WrappedClient):
    """A client that counts its writes and lets the test do something before each of them."""

    def __init__(self, inner: protocol.Client) -> None:
        super().__init__(inner)
        self.writes: list[wrapping.Write] = []
        self.before = []

    async def write(self, write: wrapping.Write, send: wrapping.Send) -> objects.Object:
        if self.before:
            done = self.before.pop(0)(write)
            if inspect.isawaitable(done):
                await done
        self.writes.append(write)
        return await send()


@dataclass
class Cluster:
    """A view with Knative and its controllers."""

    view: views.View
    running: running.Running
    made: list[app_clients.KnativeAppClient] = field(default_factory=list)

    @property
    def client(self) -> protocol.Client:
        return assembly.ViewClient(self.view)

    def apps(
        self, client: protocol.Client | None = None, **changes: object
    ) -> app_clients.KnativeAppClient:
        config = settings.AppSettings(**({"base_domain": "apps.test", "scheme": "http"} | changes))
        made = app_clients.KnativeAppClient(client or self.client, config)
        self.made.append(made)
        return made

    def service(self, name: str, namespace: str = "default") -> objects.Object | None:
        return self.view.find(KSERVICES, namespace, name)

    def pods(self, service: str) -> list[objects.Object]:
        return [
            pod
            for pod in self.view.each("pods", "default")
            if objects.labels_of(pod).get("serving.knative.dev/service") == service
        ]


def app(name="hello", *, project="shop", domain="dev", image="dev.local/hello:v1", org="", **spec):
    given = {"container": records.Container(image=image)} | spec
    return records.App(
        metadata=records.Meta(
            id=records.Identifier(org=org, project=project, domain=domain, name=name)
        ),
        spec=records.Spec(**given),
    )


async def until(check, timeout_s=8.0):
    """Ask again until the answer is true; return it."""
    loop = asyncio.get_running_loop()
    ends_s = loop.time() + timeout_s
    while True:
        answer = check()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer:
            return answer
        if loop.time() > ends_s:
            raise AssertionError(
                f"did not happen within {timeout_s:g} s: {inspect.getsource(check)}"
            )
        await asyncio.sleep(0.01)


async def in_phase(client, app_id, phase, timeout_s=8.0):
    """Wait until an app is in a phase; return it."""

    async def look():
        found = await client.get(app_id)
        return found if found.phase is records.DeploymentStatus(phase) else None

    return await until(look, timeout_s)
