"""Subresources that are no objects: a pod's log, exec, attach, port-forward; proxies.

They need something that runs pods. Without a runtime the answers are those of a cluster whose
kubelet cannot be reached; a runtime (controllers.runtime) plugs in through `kubelets.PodRuntime`.
It runs the pods of the base view alone.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Coroutine
from typing import Final

from understudy.kapi import kubelets, settings
from understudy.kapi.http import (  # fmt: skip
    commands,
    exchanges,
    forwards,
    lanes,
    logs,
    proxies,
    requests,
    responses,
    upgrades,
    wires,
)
from understudy.kapi.views import view as views
from understudy.kube import objects, statuses

CONNECTS: Final = frozenset({"log", "exec", "attach", "portforward", "proxy"})
CREATING: Final = frozenset({"exec", "attach", "portforward"})
"""Those that need the right to create, by whatever method they are asked for."""
_RETRY_S: Final = 5

Connecting = exchanges.Answer | Coroutine[None, None, exchanges.Answer]


class Pods:
    """Answers requests on `CONNECTS`; counts what is open."""

    def __init__(self, limits: settings.HttpLimits) -> None:
        self.runtime: kubelets.PodRuntime | None = None
        self.open = 0
        self._limits = limits

    def connect(
        self,
        view: views.View,
        resource_name: str,
        path: requests.Path,
        query: requests.Query,
        request: exchanges.Request,
        *,
        is_base: bool,
    ) -> Connecting:
        """Answer a request.

        Raises:
            NotFoundError: The object does not exist. BadRequestError: its state does not allow it.
            InvalidError: An option has a value it may not have.
            TooManyRequestsError: As many connections are open as may be.
            ServiceUnavailableError: Nothing here can do it.
        """
        resource = view.resolve(resource_name)
        name, port = path.name, ""
        if path.subresource == "proxy":
            name, port = proxies.split(path.name)
        found = view.get_entry(resource, name, path.namespace).object(resource)
        runtime = self.runtime if is_base else None
        if path.subresource == "proxy":
            return self._proxy(view, resource_name, found, port, request, runtime)
        if path.subresource == "log":
            return self._log(view, found, query, runtime)
        if path.subresource in ("exec", "attach"):
            return self._command(found, path.subresource, query, request, runtime)
        return self._portforward(found, query, request, runtime)

    # -- logs

    def _log(
        self,
        view: views.View,
        pod: objects.Object,
        query: requests.Query,
        runtime: kubelets.PodRuntime | None,
    ) -> exchanges.Answer:
        options = logs.options(query, objects.name_of(pod), view.now())
        container = _container(pod, query)
        if not objects.lookup(pod, ("spec", "nodeName")):
            # Not on a node yet: there is no log, which is no error.
            return responses.Response(204, b"", "")
        if runtime is None:
            raise _unavailable("pods/log")
        self._check_room()
        pieces = runtime.log(pod, container, options)
        self._opened()
        return logs.PieceStream(pieces, self._closed)

    # -- commands

    def _command(
        self,
        pod: objects.Object,
        subresource: str,
        query: requests.Query,
        request: exchanges.Request,
        runtime: kubelets.PodRuntime | None,
    ) -> Connecting:
        container = _container(pod, query)
        if runtime is None or not objects.lookup(pod, ("spec", "nodeName")):
            raise _unreachable(pod, subresource)
        streams = commands.asked(query)
        command = query.all("command")
        if subresource == "exec" and not any(command):
            raise statuses.BadRequestError(
                "you must specify at least one command for the container"
            )
        upgrade = upgrades.agree(request, websocket=commands.WEBSOCKET, spdy=commands.SPDY)
        self._check_room()
        attached = subresource == "attach"
        if attached:
            starting = runtime.attach(pod, container, stdin=streams.stdin, tty=streams.tty)
        else:
            starting = runtime.execute(
                pod, container, command, stdin=streams.stdin, tty=streams.tty
            )
        return self._converse(starting, streams, upgrade, attached=attached)

    async def _converse(
        self,
        starting: Awaitable[kubelets.Session],
        streams: commands.Streams,
        upgrade: upgrades.Upgrade,
        *,
        attached: bool,
    ) -> exchanges.Answer:
        session: kubelets.Session | statuses.ApiError
        try:
            session = await starting
        except statuses.InternalError as error:
            # Told where the command's end is told.
            session = error
        conversation = commands.Conversation(
            session, streams, upgrade, attached=attached, setup_s=self._limits.tunnel_setup_s
        )
        tunnel = self._tunnel("command in a container", conversation.serve, upgrade)
        tunnel.wire = commands.wire(tunnel, upgrade, self._limits.tunnel_streams_max)
        return tunnel

    # -- ports

    def _portforward(
        self,
        pod: objects.Object,
        query: requests.Query,
        request: exchanges.Request,
        runtime: kubelets.PodRuntime | None,
    ) -> exchanges.Answer:
        if runtime is None or not objects.lookup(pod, ("spec", "nodeName")):
            raise _unreachable(pod, "portforward")
        streams_max = self._limits.tunnel_streams_max
        wanted = forwards.ports(query, streams_max // 2)
        upgrade = upgrades.agree(request, websocket=forwards.WEBSOCKET, spdy=forwards.SPDY)
        self._check_room()
        shown = f"{objects.name_of(pod)}, uid {objects.uid_of(pod)}"
        forwarding = forwards.Forwarding(functools.partial(runtime.dial, pod), shown)
        serve = forwarding.serve_streams
        if not wires.is_spdy(upgrade):
            if not wanted:
                raise statuses.BadRequestError('query parameter "ports" is required')
            serve = functools.partial(forwarding.serve_channels, wanted=wanted)
        tunnel = self._tunnel("forwarded ports", serve, upgrade)
        tunnel.wire = forwards.wire(tunnel, upgrade, wanted, streams_max)
        return tunnel

    def _proxy(
        self,
        view: views.View,
        resource_name: str,
        found: objects.Object,
        port: str,
        request: exchanges.Request,
        runtime: kubelets.PodRuntime | None,
    ) -> Connecting:
        if runtime is None or resource_name not in ("pods", "services"):
            raise _unavailable(f"{resource_name}/proxy")
        if resource_name == "services":
            pod, number = proxies.backend(view, found, port)
        else:
            pod, number = found, proxies.pod_port(found, port)
        self._check_room()
        self._opened()
        return proxies.forward(request, pod, number, runtime.dial, self._closed)

    # -- what is open

    def _tunnel(self, name: str, serve: lanes.Serve, upgrade: upgrades.Upgrade) -> lanes.Lanes:
        self._opened()
        return lanes.Lanes(name, serve, upgrade.headers, self._limits, self._closed)

    def _check_room(self) -> None:
        if self.open >= self._limits.tunnels_max:
            raise statuses.TooManyRequestsError(
                f"this server has {self.open} open logs, commands and forwarded ports, as many as "
                "it allows",
                details={"retryAfterSeconds": _RETRY_S},
            )

    def _opened(self) -> None:
        self.open += 1

    def _closed(self) -> None:
        self.open -= 1


def _unreachable(pod: objects.Object, subresource: str) -> statuses.ApiError:
    """Say why nothing can be done in a pod: it is on no node, or nothing runs it."""
    if not objects.lookup(pod, ("spec", "nodeName")):
        name = objects.name_of(pod)
        return statuses.BadRequestError(f"pod {name} does not have a host assigned")
    return _unavailable(f"pods/{subresource}")


def _unavailable(what: str) -> statuses.ServiceUnavailableError:
    return statuses.ServiceUnavailableError(
        f"{what} needs a runtime that runs pods, and this server has none for this view: "
        "start it with --runtime process, and ask in its base view"
    )


def container_names(pod: objects.Object) -> list[str]:
    """Return the names of a pod's containers, init and ephemeral ones last."""
    spec = pod.get("spec") or {}
    return [
        str(container.get("name"))
        for kind in ("containers", "initContainers", "ephemeralContainers")
        for container in spec.get(kind) or ()
    ]


def _container(pod: objects.Object, query: requests.Query) -> str:
    """Return the container that is meant: the one asked for, or the only one.

    Raises:
        BadRequestError: There is none of that name, or several to choose from.
    """
    container = query.get("container")
    if not container:
        return _default_container(pod)
    if container not in container_names(pod):
        raise statuses.BadRequestError(
            f"container {container} is not valid for pod {objects.name_of(pod)}"
        )
    return container


def _default_container(pod: objects.Object) -> str:
    spec = pod.get("spec") or {}
    containers = [str(container.get("name")) for container in spec.get("containers") or ()]
    if len(containers) == 1:
        return containers[0]
    others = [str(container.get("name")) for container in spec.get("initContainers") or ()]
    shown = f"a container name must be specified for pod {objects.name_of(pod)}, choose one of: "
    shown += f"[{' '.join(containers)}]"
    if others:
        shown += f" or one of the init containers: [{' '.join(others)}]"
    raise statuses.BadRequestError(shown)
