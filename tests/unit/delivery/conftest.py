"""A live cluster in this process: a view with its controllers, and everything that delivers to it."""

from __future__ import annotations

import asyncio
import contextlib
import copy
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest

from understudy import assembly
from understudy.aio import clocks, ids
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
OTHER = targets.Owner("other", "elsewhere")
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
        try:
            return await send()
        finally:
            if mine == self.after and not self.before:
                self.dead = True
                raise DiedError


SETTINGS = ("view", "http", "following", "pinned")
"""Where a cluster is: a view of this process, a server on loopback as the command line meets it,
or a sandbox, which sees its parent's present or keeps what it was."""


@dataclass
class Cluster:
    """A live cluster, and how applications are delivered to it.

    Attributes:
        parent: Of a cluster that is a sandbox: what `begin` delivers to.
    """

    view: views.View
    running: running.Running | None
    told: list[outcomes.News] = field(default_factory=list)
    over_http: protocol.Client | None = None
    kubeconfig: str = ""
    parent: views.View | None = None
    follows: bool = False
    failures: list[BaseException] = field(default_factory=list)

    def start(self) -> None:
        """Let controllers run."""
        self.running = running.start(
            self.view, "all", QUICK, on_failure=lambda _name, error: self.failures.append(error)
        )

    async def stop(self) -> None:
        """End the controllers; none has failed."""
        if self.running is not None:
            await self.running.stop()
        assert not self.failures

    async def begin(self, *given: objects.Object, **settings: object) -> deliveries.Delivery:
        """Deliver what is to be there before: of a sandbox, in its parent."""
        if self.parent is None:
            return await self.deliver(*given, **settings)
        done = await Cluster(self.parent, None).deliver(*given, **{**settings, "wait": False})
        if not self.follows:
            if self.running is not None:
                await self.running.stop()
            self.view.close()
            self.view = self.parent.fork("pinned")
            if self.running is not None:
                self.start()
        if self.running is not None:
            await self.running.wait_idle()
        return done

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
        clock: clocks.Clock | None = None,
        is_gone: Callable[[str], bool] = lambda _holder: False,
    ) -> deliveries.Deliveries:
        return deliveries.Deliveries(
            client or self.client,
            make_stage or self.make_stage,
            clock=clock,
            idents=ids.SeededIds(7),
            holder=holder,
            is_gone=is_gone,
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
def setting() -> str:
    """One of SETTINGS; modules may try several."""
    return "view"


@contextlib.asynccontextmanager
async def placed(setting: str) -> AsyncIterator[Cluster]:
    """Give a cluster without controllers in a setting; parents of sandboxes hold a little."""
    base = views.new_view()
    if setting in ("following", "pinned"):
        await Cluster(base, None).deliver(
            namespace("elsewhere"), config("theirs", "elsewhere"), owner=OTHER, wait=False
        )
        follows = setting == "following"
        found = Cluster(base.fork(setting, follow=follows), None, parent=base, follows=follows)
        try:
            yield found
        finally:
            found.view.close()
            base.close()
        return
    if setting == "view":
        yield Cluster(base, None)
        base.close()
        return
    server = servers.Server(server_settings.ServerSettings(port=0), base=base)
    await server.start()
    client = connections.connect(kubeconfig=str(server.kubeconfig))
    try:
        yield Cluster(base, None, over_http=client, kubeconfig=str(server.kubeconfig))
    finally:
        await client.close()
        await server.stop()


@pytest.fixture
async def still(setting: str) -> AsyncIterator[Cluster]:
    """A cluster without controllers."""
    async with placed(setting) as found:
        yield found


@pytest.fixture
async def cluster(still: Cluster) -> AsyncIterator[Cluster]:
    """A cluster whose controllers run."""
    still.start()
    try:
        yield still
    finally:
        await still.stop()


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
