"""The object graph: the only module that may import every room."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from understudy.aio import clocks, ids
from understudy.client import views as view_clients
from understudy.controllers import clusters, registry, running
from understudy.controllers.autoscaling import autoscalers
from understudy.controllers.knative import (
    hosts,
    installing,
    local,
    settings as knative_settings,
    worlds,
)
from understudy.controllers.runtime import settings as runtimes
from understudy.delivery import journal, stage as stages
from understudy.kapi import settings, views
from understudy.kapi.resources import catalogue as catalogues
from understudy.kapi.views import options as view_options
from understudy.kube import objects

if TYPE_CHECKING:
    from understudy.controllers.runtime.gateway import gateways, settings as gateway_settings
    from understudy.controllers.runtime.processes import runtime as processes
    from understudy.kapi import server as servers
    from understudy.kapi.http import audits

_log = logging.getLogger(__name__)

REHEARSED = runtimes.Runtime(kind="simulated", every_node=True, leases=False)
"""Pods of a rehearsal run by rule on every node: a real cluster's kubelets cannot be asked."""

ON_A_COPY = "*,-clusterrole-aggregation-controller"
"""What runs over a copy of a cluster: not every role of it is read, so none is summed up."""

ALWAYS_SIMULATED = (
    "scheduling, image pulls, volumes and load balancers are simulated by rule, containers do not "
    "run"
)
NO_METRICS = "metrics: autoscalers go by what pods' annotations say, or only keep to their bounds"
GATEWAY = "UNDERSTUDY_GATEWAY"
"""Tells processes where the hosts of the cluster are led from; serves as their `http_proxy` too."""
_WEBHOOKS = (
    "validatingwebhookconfigurations.admissionregistration.k8s.io",
    "mutatingwebhookconfigurations.admissionregistration.k8s.io",
)

ViewClient = view_clients.ViewClient[
    catalogues.Resource, view_options.WriteOptions, view_options.DeleteOptions
]


async def start_controllers(
    server: servers.Server,
    *,
    controllers: str,
    runtime: str,
    view: views.View | None = None,
    gateway: gateways.Gateway | None = None,
) -> running.Running:
    """Make a view of an embedded server live (the base): its controllers, how its pods run.

    Sandboxes get none unless they are named here: a following one already sees what the base's
    controllers do, and two sets would create everything twice.

    Through a `gateway`, which must have been started, apps are reached, and it says how much is
    asked of them; without one they are assumed to be asked for something all the time.

    Raises:
        SettingsError: An unknown controller or runtime; or processes that anybody could start.
    """
    if runtime not in {"none", "simulated", "process"}:
        raise settings.SettingsError(f"runtime {runtime}: use none, simulated or process")
    kind = runtimes.Runtime(kind="simulated" if runtime == "simulated" else "none")
    live = view or server.base
    local_pods = _process_runtime(server, gateway) if runtime == "process" else None
    more: list[registry.Factory] = local_pods.controllers() if local_pods is not None else []
    if controllers != "none":
        config, world = _knative(live, gateway)
        if local_pods is not None:
            # The proxy beside an app is an image; the gateway reaches processes itself.
            config = dataclasses.replace(config, queue_image="")
        installing.install(live, config)
        if gateway is not None:
            gateway.follow(live, config.ingress_class)
        more += installing.controllers(config, world)
    try:
        found = running.start(
            live, controllers, kind,
            more=more, root_ca=server.root_ca, sign_token=server.sign_token, on_failure=_report,
            on_write=_noting(server.audit, live),
        )  # fmt: skip
    except ValueError as error:
        raise settings.SettingsError(str(error)) from error
    if local_pods is not None:
        server.runtime = local_pods.pods
        found.beside.append(local_pods.close)
    return found


def _noting(
    audit: audits.AuditLog | None, view: views.View
) -> Callable[[clusters.Write], None] | None:
    """Return what notes controllers' writes in an audit log, if there is one."""
    if audit is None:
        return None

    def note(write: clusters.Write) -> None:
        resource = view.catalogue.named(write.ref)
        if resource is None:
            return
        found = view.find(write.ref, write.namespace, write.name) if write.revision else None
        audit.wrote(
            write.controller,
            write.verb,
            (resource.group, resource.version, resource.plural),
            write.namespace,
            write.name,
            found or {"kind": "Status", "status": "Success", "details": {"uid": write.uid}},
            subresource=write.subresource,
        )

    return note


def _process_runtime(
    server: servers.Server, gateway: gateways.Gateway | None
) -> processes.ProcessRuntime:
    """Return what runs pods as processes of this machine; only where not everybody may ask for it.

    Raises:
        SettingsError: The server asks nobody for a token.
    """
    from understudy.controllers.runtime.processes import (  # noqa: PLC0415 (brings aiohttp)
        runtime as processes,
        settings as process_settings,
    )

    if server.settings.auth == "none":
        raise settings.SettingsError(
            "runtime process: pods run as processes of this machine, so clients must show an "
            "access token, but auth is 'none': set auth to 'token' or 'rbac'"
        )
    folder = server.settings.data_dir
    chosen = process_settings.Processes(directory=folder / "processes" if folder else None)
    return processes.ProcessRuntime(
        chosen,
        inherited=dict(os.environ),
        on_failure=_report,
        drained=gateway.drained if gateway is not None else None,
        variables={GATEWAY: f"127.0.0.1:{gateway.inner_port}"} if gateway is not None else {},
    )


def _knative(
    view: views.View, gateway: gateways.Gateway | None
) -> tuple[knative_settings.KnativeSettings, worlds.World]:
    """Return how Knative is set up in a view, and what surrounds it there."""
    if gateway is not None:
        world = worlds.World(registry=worlds.NoRegistry(), gateway=gateway, load=gateway)
        return local.configure(view, gateway.port), world
    return installing.read_config(view), worlds.steady()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """Controllers and gateway at work on a server. End them with `stop`.

    Attributes:
        url: The form of the apps' URLs, e.g. `http://<app>.<namespace>.localhost:8080`.
    """

    running: running.Running
    gateway: gateways.Gateway
    url: str

    async def stop(self) -> None:
        """Let requests in progress end, then stop everything."""
        await self.gateway.stop()
        await self.running.stop()


async def start_apps(
    server: servers.Server,
    *,
    controllers: str,
    runtime: str,
    gateway: gateway_settings.GatewaySettings,
) -> Live:
    """Make the base view live as `start_controllers` does, with a gateway in front of its apps.

    Raises:
        SettingsError: An unknown controller, pods that answer nothing, or an address that cannot
            be had.
    """
    if runtime != "process":
        raise settings.SettingsError(
            f"gateway-port: pods of the runtime {runtime!r} answer nothing; use runtime 'process'"
        )
    from understudy.controllers.runtime.gateway import gateways  # noqa: PLC0415 (brings aiohttp)

    front = gateways.Gateway(gateway)
    try:
        await front.start()
    except OSError as error:
        why = os.strerror(error.errno).lower() if error.errno else str(error)
        raise settings.SettingsError(
            f"gateway-port {gateway.port}: cannot listen there ({why});"
            " choose another, or 0 for any"
        ) from error
    try:
        running_ = await start_controllers(
            server, controllers=controllers, runtime=runtime, gateway=front
        )
    except BaseException:
        await front.stop()
        raise
    _show_gateway(server, front)
    config = installing.read_config(server.base)
    host = hosts.public_domain("<app>", "<namespace>", config)
    return Live(running=running_, gateway=front, url=hosts.url(host, config, local=False))


def _show_gateway(server: servers.Server, gateway: gateways.Gateway) -> None:
    """Let `/metrics` tell of a gateway."""
    show = server.metrics.show
    for name, kind, about, value in (
        ("requests_total", "counter", "Requests answered by apps.", "answered"),
        ("refused_total", "counter", "Requests that no app answered.", "refused"),
        ("requests", "gauge", "Requests in progress.", "present"),
        ("waiting", "gauge", "Requests that wait for a replica.", "waiting"),
    ):
        show(f"understudy_gateway_{name}", kind, about, _reading(gateway, value))


def _reading(gateway: gateways.Gateway, value: str) -> Callable[[], float]:
    return lambda: float(getattr(gateway.statistics(), value))


def _report(name: str, error: BaseException) -> None:
    _log.error("%s ended: %s", name, error, exc_info=error)


class ForkStage:
    """A pinned fork with controllers and a clock of its own; implements `delivery.stage.Stage`."""

    def __init__(
        self,
        view: views.View,
        *,
        controllers: str = "all",
        runtime: runtimes.Runtime = REHEARSED,
        unknown: Sequence[str] = (),
        seed: int = 0,
        copied: bool = False,
    ) -> None:
        self._view = view.fork("stage")
        self._clock = clocks.ManualClock(view.now())
        # Names and uids of the same rehearsal are the same; time moves only here.
        self._view.shared = dataclasses.replace(
            self._view.shared, clock=self._clock, ids=ids.SeededIds(seed)
        )
        self._seed = seed
        self._of_a_stage = False
        self._controllers = controllers
        self._runtime = runtime
        self._unknown = tuple(unknown)
        self._client = ViewClient(self._view)
        self._began = self._view.fork("stage as it began")
        self._nodeless = self.has_controllers and not any(self._view.each("nodes"))
        self._rehearsal: running.Rehearsal | None = None
        self._copied = copied
        self._more = installing.rehearsed(self._view, copied=copied) if self.has_controllers else []

    @property
    def client(self) -> ViewClient:
        return self._client

    @property
    def clock(self) -> clocks.ManualClock:
        return self._clock

    @property
    def has_controllers(self) -> bool:
        return self._controllers != "none"

    @property
    def not_simulated(self) -> list[str]:
        found = [*self._unknown]
        if self._nodeless:
            found.append(
                "the cluster shows no nodes: its pods are placed on "
                f"{self._runtime.nodes_count} simulated ones"
            )
        for resource in _WEBHOOKS:
            found += (
                f"the webhooks of {obj['kind']} {objects.name_of(obj)} are not called"
                for obj in self._view.each(resource)
            )
        if self.has_controllers and any(True for _ in self._view.each(autoscalers.REF)):
            found.append(NO_METRICS)
        return [*found, ALWAYS_SIMULATED]

    async def settle(self) -> stages.Rest:
        await asyncio.sleep(0)
        if not self.has_controllers:
            return stages.Rest()
        if self._rehearsal is None:
            # What a stage had under way when it was forked is to be gone on with.
            self._rehearsal = running.Rehearsal(
                self._view, self._controllers, self._runtime, self._clock, more=self._more,
                everything=True if self._of_a_stage else None,
            )  # fmt: skip
        rest = self._rehearsal.rest()
        unsettled = ""
        if not rest.is_settled:
            waiting = ", ".join(sorted({name for name, _, _ in rest.waiting}))
            unsettled = f"the simulation did not come to rest ({rest.why}): {waiting}".rstrip(": ")
        return stages.Rest(unsettled=unsettled, journal=tuple(_line(w) for w in rest.journal))

    async def begin(self) -> None:
        await self.settle()
        self._began = self._view.fork("stage as it began")

    def changes(self) -> list[stages.Change]:
        parsed = self._view.keep_parsed()
        return [
            stages.Change(
                before=change.before.load() if change.before else None,
                after=(parsed.known(change.after) or change.after.load()) if change.after else None,
            )
            for change in self._began.compare(self._view)
        ]

    async def fork(self) -> ForkStage:
        await asyncio.sleep(0)
        self._seed += 1  # What is made on one stage must not look like what is made on another.
        made = ForkStage(
            self._view, controllers=self._controllers, runtime=self._runtime, seed=self._seed,
            copied=self._copied,
        )  # fmt: skip
        made._began, made._of_a_stage = self._began, True
        return made

    async def close(self) -> None:
        await asyncio.sleep(0)
        if self._rehearsal is not None:
            self._rehearsal.close()
        self._view.close()


def _line(write: clusters.Write) -> journal.Line:
    return journal.Line(
        cause=write.controller,
        verb=write.verb,
        resource=write.ref,
        namespace=write.namespace,
        name=write.name,
        subresource=write.subresource,
    )


class ForkingStages:
    """Makes stages of a view in this process; implements `delivery.stage.MakeStage`."""

    def __init__(
        self,
        view: views.View,
        *,
        controllers: str = "all",
        runtime: runtimes.Runtime = REHEARSED,
    ) -> None:
        self._view = view
        self._controllers = controllers
        self._runtime = runtime

    async def __call__(self, read: stages.ReadLive) -> ForkStage:
        await asyncio.sleep(0)
        return ForkStage(self._view, controllers=self._controllers, runtime=self._runtime)


class LoadingStages:
    """Makes stages of what is read of a cluster; implements `delivery.stage.MakeStage`."""

    def __init__(
        self,
        *,
        controllers: str = ON_A_COPY,
        runtime: runtimes.Runtime = REHEARSED,
        clock: clocks.Clock | None = None,
    ) -> None:
        self._controllers = controllers
        self._runtime = runtime
        self._clock = clock or clocks.SystemClock()

    async def __call__(self, read: stages.ReadLive) -> ForkStage:
        copy = await read()
        view = views.new_view(clock=clocks.ManualClock(self._clock.now()), ids=ids.SeededIds())
        known, unknown = _sorted_out(view, copy.objects)
        view.load(known)
        installing.complete(view)
        return ForkStage(
            view, controllers=self._controllers, runtime=self._runtime, unknown=unknown, copied=True
        )


def _sorted_out(
    view: views.View, found: Sequence[objects.Object]
) -> tuple[list[objects.Object], list[str]]:
    """Return the objects that a fresh view can hold, and a sentence for each kind it cannot."""
    defined = {
        (objects.lookup(obj, ("spec", "group")), objects.lookup(obj, ("spec", "names", "kind")))
        for obj in found
        if obj.get("kind") == "CustomResourceDefinition"
    }
    known: list[objects.Object] = []
    unknown: set[str] = set()
    for obj in found:
        api_version, kind = str(obj.get("apiVersion")), str(obj.get("kind"))
        group = api_version.rpartition("/")[0]
        if (group, kind) in defined or view.catalogue.by_kind(api_version, kind) is not None:
            known.append(obj)
        else:
            unknown.add(f"objects of kind {kind} ({api_version}) are not part of the simulation")
    return known, sorted(unknown)
