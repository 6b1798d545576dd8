"""The listening server, and what it tells the controllers of Knative.

`Gateway` plays two parts of `controllers.knative.worlds`: it says how Ingresses are, and how much
is asked of Revisions.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web
from multidict import CIMultiDict

from understudy.aio import clocks
from understudy.controllers.knative import worlds
from understudy.controllers.runtime.gateway import (
    answers,
    backends,
    headers,
    proxying,
    settings,
    sockets,
    tables,
)
from understudy.kapi.views import view as views
from understudy.kube import objects
from understudy.kube.knative import keys

_log = logging.getLogger(__name__)
_http_log = logging.getLogger(f"{__name__}.http")
"""Where aiohttp complains of requests that are not HTTP; the client is told, that is enough."""
_http_log.setLevel(logging.CRITICAL)
_LOOPBACK = "127.0.0.1"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """What the gateway has done and is doing.

    Attributes:
        answered: Requests answered by apps.
        refused: Requests that it answered itself.
        present: Requests in progress, waiting ones included.
        waiting: Requests that wait for a replica.
    """

    answered: int
    refused: int
    present: int
    waiting: int


class Gateway:
    """Leads requests to apps by their host. `start`, `follow` a view, and `stop` at the end.

    Attributes:
        port: Where public hosts are led from.
        inner_port: A port of the loopback interface from which the hosts of the cluster are led
            too (`hello.default.svc.cluster.local`): for the processes in it.
    """

    def __init__(
        self,
        config: settings.GatewaySettings | None = None,
        clock: clocks.Clock | None = None,
    ) -> None:
        self._config = config or settings.GatewaySettings()
        self._clock = clock or clocks.SystemClock()
        self._table: tables.Table | None = None
        self._proxy: proxying.Proxy | None = None
        self._runner: web.ServerRunner | None = None
        self._tell: Callable[[str, str], None] = _nobody
        self._requests = 0
        self._answered = 0
        self._refused = 0
        self.port = 0
        self.inner_port = 0

    # ------------------------------------------------------------------ life

    async def start(self) -> None:
        """Listen; until a view is followed no host leads anywhere.

        Raises:
            OSError: The address cannot be listened on.
        """
        config = self._config
        server = web.Server(
            self._handle,
            handler_cancellation=True,
            access_log=None,
            logger=_http_log,
            auto_decompress=False,
            keepalive_timeout=config.idle_s,
            max_line_size=config.header_bytes_max,
            max_field_size=config.header_bytes_max,
        )
        self._proxy = proxying.Proxy(config)
        self._runner = web.ServerRunner(server, shutdown_timeout=config.stop_s)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, config.host, config.port).start()
            await web.TCPSite(self._runner, _LOOPBACK, 0).start()
        except OSError:
            await self.stop()
            raise
        self.port = int(self._runner.addresses[0][1])
        self.inner_port = int(self._runner.addresses[-1][1])

    def follow(self, view: views.View, ingress_class: str) -> None:
        """Lead hosts as the Ingresses of a view say that are of this class."""
        self._table = tables.Table(line_max=self._config.held_max, ingress_class=ingress_class)
        self._table.on_need(self._needed)
        self._table.follow(view)

    async def stop(self) -> None:
        """End: no new connection, and a while for the requests in progress."""
        if self._table is not None:
            self._table.close()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._proxy is not None:
            await self._proxy.close()

    # ------------------------------------------------------------------ for controllers

    def report(self, ingress: objects.Object) -> worlds.IngressReport:
        """Say how an Ingress is: carried out as soon as it is committed."""
        return worlds.IngressReport()

    def demand(self, namespace: str, revision: str, ask: worlds.Question) -> worlds.Demand | None:
        """Return what is asked of a Revision."""
        backend = self._table.backend(namespace, revision) if self._table else None
        if backend is None:
            return worlds.Demand(stable=0.0, panic=0.0)
        now_s = self._clock.monotonic()
        return worlds.Demand(
            stable=backend.meter.average(ask.metric, ask.stable_s, now_s),
            panic=backend.meter.average(ask.metric, ask.panic_s, now_s),
        )

    def on_need(self, tell: Callable[[str, str], None]) -> None:
        """Call `tell` with namespace and Revision when a request finds no replica."""
        self._tell = tell

    def _needed(self, namespace: str, revision: str) -> None:
        self._tell(namespace, revision)

    async def drained(self, pod: objects.Object) -> None:
        """Give a pod no further request, and wait until it has answered those it has."""
        revision = objects.labels_of(pod).get(keys.REVISION)
        if self._table is not None and revision:
            await self._table.drained(objects.namespace_of(pod), revision, objects.name_of(pod))

    def statistics(self) -> Statistics:
        """Return what it has done and is doing."""
        return Statistics(
            answered=self._answered,
            refused=self._refused,
            present=self._requests,
            waiting=self._table.waiting if self._table is not None else 0,
        )

    # ------------------------------------------------------------------ requests

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self._requests += 1
        try:
            answer = await self._answer(request)
        except answers.RefusedError as refusal:
            self._refused += 1
            return refusal.response()
        except web.HTTPException:
            raise  # aiohttp's own answers, for instance to half a WebSocket handshake
        except Exception:  # noqa: BLE001 (the top of a task; told in the log)
            self._refused += 1
            _log.exception("could not carry %s %s", request.method, request.raw_path)
            if proxying.STARTED in request:
                return proxying.abort(request)
            return web.Response(status=500, text="the gateway failed; its log says why\n")
        else:
            self._answered += 1
            return answer
        finally:
            self._requests -= 1

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        assert self._proxy is not None, "the server answers only while it is started"
        backend, sent = self._lead(request)
        if request.headers.get("Expect", "").lower() == "100-continue" and request.transport:
            request.transport.write(_CONTINUE)
        backend.meter.begin(self._clock.monotonic())
        try:
            async with asyncio.timeout(backend.facts.timeout_s):
                return await self._carry(request, backend, sent)
        except TimeoutError:
            if proxying.STARTED in request:
                return proxying.abort(request)
            raise answers.RefusedError(
                504,
                f"{backend.facts.service} did not answer in {backend.facts.timeout_s:g} s"
                " (timeoutSeconds of its revision)",
            ) from None
        finally:
            backend.meter.end(self._clock.monotonic())

    def _lead(self, request: web.BaseRequest) -> tuple[backends.Backend, CIMultiDict[str]]:
        """Return the Revision that a request goes to, and the headers it goes there with."""
        if self._requests > self._config.requests_max:
            raise answers.RefusedError(503, "too many requests are in progress")
        if not request.rel_url.raw_path.startswith("/") or request.method == "CONNECT":
            target = f"{request.method} {request.raw_path}"
            raise answers.RefusedError(400, f"{target!r} asks for no path of an app")
        host = _name(request.headers.get("Host", ""))
        table = self._table
        rule = table.public.find(host) if table else None
        if table is not None and rule is None and self._is_inside(request):
            rule = table.local.find(host)
        if table is None or rule is None:
            raise answers.RefusedError(
                404, f"no app has the host name {host!r}; see: understudy app list --all"
            )
        split = rule.pick()
        rewrite, added = rule.rewrite, dict(split.headers) if split else {}
        if rewrite:
            inner = table.local.find(rewrite)
            split = inner.pick() if inner else None
            added |= split.headers if split else {}
        backend = table.backend(split.namespace, split.name) if split else None
        if backend is None:
            raise answers.RefusedError(503, f"nothing serves the host name {host!r} at present")
        if backend.facts.is_http2:
            raise answers.RefusedError(
                502, f"{backend.facts.service} speaks HTTP/2 only (port name h2c); use http1 here"
            )
        return backend, headers.towards_app(request, added, rewrite)

    def _is_inside(self, request: web.BaseRequest) -> bool:
        """Say whether a request came by the port for processes of the cluster."""
        transport = request.transport
        name = transport.get_extra_info("sockname") if transport is not None else None
        return name is not None and int(name[1]) == self.inner_port

    async def _carry(
        self,
        request: web.BaseRequest,
        backend: backends.Backend,
        sent: CIMultiDict[str],
    ) -> web.StreamResponse:
        """Try pods until one takes the request."""
        assert self._proxy is not None, "the server answers only while it is started"
        is_socket, may_repeat = sockets.is_wanted(request), proxying.may_repeat(request)
        for _ in range(self._config.attempts_max):
            endpoint = backend.take_nowait() or await self._wait(backend)
            try:
                if is_socket:
                    return await sockets.carry(
                        self._proxy, self._config, request, endpoint, backend.facts, sent
                    )
                return await self._proxy.carry(request, endpoint, backend.facts, sent)
            except proxying.Refused:
                backend.eject(endpoint, self._config.eject_s)
            except proxying.LostError as error:
                if not may_repeat:
                    raise answers.RefusedError(502, str(error)) from error
                may_repeat = False
                backend.eject(endpoint, self._config.eject_s)
            finally:
                backend.leave(endpoint)
        raise answers.RefusedError(
            502,
            f"{backend.facts.service} accepts no connections; it must listen on the port that"
            " $PORT names",
        )

    async def _wait(self, backend: backends.Backend) -> backends.Endpoint:
        """Hold a request until a replica can take it."""
        try:
            async with asyncio.timeout(self._config.hold_s):
                return await backend.take()
        except TimeoutError:
            why = f": {backend.trouble}" if backend.trouble else ""
            raise answers.RefusedError(
                504,
                f"{backend.facts.service} had no replica free in {self._config.hold_s:g} s{why}",
            ) from None
        except backends.LineFullError:
            raise answers.RefusedError(
                503, f"{self._config.held_max} requests wait for {backend.facts.service} already"
            ) from None
        except backends.GoneError:
            raise answers.RefusedError(
                503, f"revision {backend.name} of {backend.facts.service} is no more"
            ) from None


def _name(host: str) -> str:
    """Return a Host header's name in lower case, without port and final dot."""
    name = host if host.startswith("[") else host.rpartition(":")[0] or host
    return name.lower().rstrip(".")


def _nobody(namespace: str, revision: str) -> None:
    """Tell nobody."""
