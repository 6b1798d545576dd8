"""A live cluster in this process: a view with its controllers, and everything that delivers to it."""

from __future__ import annotations

import asyncio
import contextlib
import copy
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from understudy import assembly
from understudy.aio import ids
from understudy.client import connections, protocol, wrapping
from understudy.controllers import running
from understudy.controllers.runtime import settings as runtimes
from understudy.delivery import (
    deliveries,
    dispatch,
    guards,
    leases,
    manifests,
    outcomes,
    plans,
    stage as stages,
    targets,
    waiting,
)
from understudy.kapi import server as servers, settings as server_settings, views
from understudy.kube import objects

OWNER = targets.Owner("shop", "default")
QUICK = runtimes.Runtime(start_delay_s=0.0, stop_delay_s=0.0, exit_delay_s=0.0, leases=False)
WAIT = waiting.WaitSettings(timeout_s=5, no_activity_s=2, poll_first_s=0.005, poll_max_s=0.02)


class DiedError(Exception):
    """The process died here."""


class Mortal(wrapping.WrappedClient):
    """A client whose process dies after its n-th write (before it, with `before`)."""

    def __init__(self, inner: protocol.Client, after: int, *, before: bool = False) -> None:
        super().__init__(inner)
        self.after = after
        self.before = before
        self.writes: list[str] = []
        self.dead = False

    async def write(self, write: wrapping.Write, send: wrapping.Send) -> objects.Object:
        if self.dead or (self.before and len(self.writes) == self.after):
            self.dead = True
            raise DiedError
        self.writes.append(f"{write.verb} {write.resource} {write.namespace}/{write.name}")
        mine = len(self.writes)
        answer = await send()
        if mine == self.after and not self.before:
            self.dead = True
            raise DiedError
        return answer


@dataclass
class Cluster:
    """A live cluster, and how applications are delivered to it."""

    view: views.View
    running: running.Running | None
    told: list[outcomes.News] = field(default_factory=list)
    over_http: protocol.Client | None = None

    @property
    def client(self) -> protocol.Client:
        return self.over_http or assembly.ViewClient(self.view)

    @property
    def make_stage(self) -> stages.MakeStage:
        """A fork of the view, or, of what is far away, a copy of what is read of it."""
        return assembly.LoadingStages() if self.over_http else assembly.ForkingStages(self.view)

    def deliveries(
        self,
        client: protocol.Client | None = None,
        holder: str = "test",
        make_stage: stages.MakeStage | None = None,
    ) -> deliveries.Deliveries:
        return deliveries.Deliveries(
            client or self.client,
            make_stage or self.make_stage,
            idents=ids.SeededIds(7),
            holder=holder,
            tell=self.told.append,
        )

    async def plan(
        self, *given: objects.Object, owner: targets.Owner = OWNER, **settings: object
    ) -> plans.Plan:
        return await self.deliveries().plan(owner, written(*given), options(**settings))

    async def deliver(
        self,
        *given: objects.Object,
        owner: targets.Owner = OWNER,
        client: protocol.Client | None = None,
        holder: str = "test",
        **settings: object,
    ) -> deliveries.Delivery:
        face = self.deliveries(client, holder)
        return await face.deliver(owner, written(*given), options(**settings))

    async def remove(self, owner: targets.Owner = OWNER, **settings: object) -> deliveries.Delivery:
        return await self.deliveries().remove(owner, options(**settings))

    def find(self, resource: str, name: str, namespace: str = "default") -> objects.Object | None:
        return self.view.find(resource, namespace, name)

    def names(self, resource: str, namespace: str = "default") -> list[str]:
        return [objects.name_of(obj) for obj in self.view.each(resource, namespace)]

    def tracked(self, owner: targets.Owner = OWNER) -> set[str]:
        tracker = self.view.find(
            "resourcetrackers.core.understudy.dev", "", f"{owner.application}.{owner.namespace}"
        )
        listed = tracker["spec"]["resources"] if tracker else []
        return {f"{item['kind']}/{item['name']}" for item in listed}


def options(**settings: object) -> deliveries.Options:
    """Return quick options; guards and dispatch settings are told apart by their names."""
    mine = {k: settings.pop(k) for k in list(settings) if k in guards.GuardSettings.__slots__}
    going = {k: settings.pop(k) for k in list(settings) if k in dispatch.DispatchSettings.__slots__}
    wait = settings.pop("wait_settings", WAIT)
    return deliveries.Options(
        dispatch=dispatch.DispatchSettings(guards=guards.GuardSettings(**mine), **going),
        wait=wait,
        lease=settings.pop("lease", leases.LeaseSettings()),
        **settings,
    )


def written(*given: objects.Object) -> list[manifests.Manifest]:
    """Return objects as if read from a file."""
    return [
        manifests.Manifest(copy.deepcopy(obj), manifests.Source("test.yaml", number + 1))
        for number, obj in enumerate(given)
    ]


@pytest.fixture
def transport() -> str:
    """How a cluster is reached: `view` in process, `http` as a server; modules may try both."""
    return "view"


@pytest.fixture
async def still(transport: str) -> AsyncIterator[Cluster]:
    """A cluster without controllers."""
    if transport == "view":
        yield Cluster(views.new_view(), None)
        return
    server = servers.Server(server_settings.ServerSettings(port=0))
    await server.start()
    client = connections.connect(kubeconfig=str(server.kubeconfig))
    try:
        yield Cluster(server.base, None, over_http=client)
    finally:
        await client.close()
        await server.stop()


@pytest.fixture
async def cluster(still: Cluster) -> AsyncIterator[Cluster]:
    """A cluster whose controllers run."""
    failures: list[BaseException] = []
    live = running.start(
        still.view, "all", QUICK, on_failure=lambda _name, error: failures.append(error)
    )
    still.running = live
    try:
        yield still
    finally:
        await live.stop()
        if still.over_http is None:
            still.view.close()
    assert not failures


# ---------------------------------------------------------------------- manifests


def config(name: str, namespace: str = "default", **data: str) -> objects.Object:
    meta: objects.Object = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


def secret(name: str, namespace: str = "default", **data: str) -> objects.Object:
    meta: objects.Object = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": data}


def namespace(name: str) -> objects.Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def deployment(
    name: str, namespace: str = "default", *, image: str = "web:1", replicas: int = 1, **pod: object
) -> objects.Object:
    labels = {"app": name}
    container = {"name": "web", "image": image, **pod}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


def service(name: str, namespace: str = "default", **spec: object) -> objects.Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80}], **spec},
    }


def definition(
    kind: str = "Widget", group: str = "example.com", maximum: int = 9
) -> objects.Object:
    plural = f"{kind.lower()}s"
    size = {"type": "integer", "maximum": maximum}
    spec = {"type": "object", "properties": {"size": size}}
    schema = {"type": "object", "properties": {"spec": spec}}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "versions": [version],
        },
    }


def widget(name: str, namespace: str = "default", *, size: int = 1) -> objects.Object:
    return {
        "apiVersion": "example.com/v1",
        "kind": "Widget",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"size": size},
    }


@contextlib.asynccontextmanager
async def soon(seconds: float = 3.0) -> AsyncIterator[None]:
    """Fail what takes longer."""
    async with asyncio.timeout(seconds):
        yield
