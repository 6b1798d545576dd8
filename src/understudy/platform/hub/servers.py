"""The hub's HTTP server.

    GET  /healthz                              200 while it serves
    GET  /metrics                              Prometheus; with a caller's token where there are any
    GET  /v1/agents/NAME                       WebSocket of an agent, with its token
    GET  /v1/instances                         what is known of the instances
    GET  /v1/instances/NAME                    of one
    POST /v1/instances/NAME/calls/METHOD       a `Platform`'s method; arguments as in `bus.wire`
    *    /v1/instances/NAME/kubernetes/api/... a request of its Kubernetes API

Every request of a caller leaves one audit record: who, what, on which instance, how it ended. So do
an agent's coming, its going and its being refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import prometheus_client
from aiohttp import web

from understudy.aio import clocks, ids as id_sources
from understudy.kube import objects
from understudy.platform import errors, links, records
from understudy.platform.bus import protocol as buses
from understudy.platform.hub import calls, rosters, sessions, tokens

HELLO_S = 10.0
"""How long an agent may take to say who it is."""
STOP_S = 2.0
"""How long connections may take to close when the hub stops."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where a hub listens and whom it lets in.

    Attributes:
        port: 0 lets the system choose.
        tokens: File of tokens; without it everybody is let in, on loopback only.
        heartbeat_s: How often both sides of a connection say that they are there. A dead
            connection is found in two of them; 10 s keeps that under half a minute at a few bytes.
        tls: Serve HTTPS with this.
    """

    host: str = "127.0.0.1"
    port: int = 8090
    tokens: Path | None = None
    heartbeat_s: float = 10.0
    tls: ssl.SSLContext | None = None


class Hub:
    """Agents connect to it, callers ask it."""

    def __init__(
        self,
        bus: buses.MessageBus,
        settings: Settings,
        *,
        audit: Callable[[objects.Object], None],
        registry: prometheus_client.CollectorRegistry | None = None,
        clock: clocks.Clock | None = None,
        ids: id_sources.IdSource | None = None,
    ) -> None:
        """Prepare to serve.

        Raises:
            InvalidRequestError: It would let everybody in from everywhere, or the file of tokens
                is none.
        """
        if settings.tokens is None and not _is_loopback(settings.host):
            raise errors.InvalidRequestError(
                f"host {settings.host}: without tokens a hub listens on loopback only; make some "
                "with `understudy hub token`, or listen on 127.0.0.1"
            )
        self.settings = settings
        self.registry = registry or prometheus_client.CollectorRegistry()
        self._audit = audit
        self._clock = clock or clocks.SystemClock()
        ids = ids or id_sources.SystemIds()
        self._tokens = tokens.TokenFile(settings.tokens) if settings.tokens else None
        if self._tokens is not None:
            self._tokens.read()
        self.roster = rosters.Roster(bus, clock=self._clock, ids=ids)
        requests = prometheus_client.Counter(
            "understudy_hub_requests",
            "Requests of callers, by method and the code of their error (`ok` for none).",
            ("method", "code"),
            registry=self.registry,
        )
        self._connections = prometheus_client.Counter(
            "understudy_hub_connections", "Connections that agents made.", registry=self.registry
        )
        self._callers = calls.Callers(
            bus,
            self.roster,
            self._tokens,
            calls.Observed(audit, requests, links.SILENCE_BEATS * settings.heartbeat_s),
            clock=self._clock,
            ids=ids,
        )
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def start(self) -> None:
        """Serve; `url` says where. OSError where the port is taken."""
        app = web.Application(client_max_size=calls.BODY_BYTES_MAX)
        app.router.add_get("/healthz", _healthy)
        app.router.add_get("/v1/agents/{instance}", self._agent)
        self._callers.add_routes(app.router, self.registry)
        self._runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=STOP_S
        )
        await self._runner.setup()
        site = web.TCPSite(
            self._runner, self.settings.host, self.settings.port, ssl_context=self.settings.tls
        )
        try:
            await site.start()
        except OSError:
            await self._runner.cleanup()
            raise
        port = self._runner.addresses[0][1]
        host = f"[{self.settings.host}]" if ":" in self.settings.host else self.settings.host
        self.url = f"{'https' if self.settings.tls else 'http'}://{host}:{port}"

    async def stop(self) -> None:
        """Say good-bye to the agents and stop to serve; the bus is the caller's."""
        self.roster.end(errors.UnavailableError("the hub was stopped"))
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    # ------------------------------------------------------------------ agents

    async def _agent(self, request: web.Request) -> web.StreamResponse:
        """Serve one connection of an agent, from its hello to its end."""
        instance = self._admitted(request)
        self._connections.inc()
        socket = web.WebSocketResponse(
            timeout=links.CLOSE_S, compress=False, max_msg_size=2 * links.FRAME_BYTES
        )
        await socket.prepare(request)
        link = links.Link(socket, self._clock, self.settings.heartbeat_s)
        try:
            async with asyncio.timeout(HELLO_S):
                hello = _checked(await links.first(socket))
            session, epoch = await self.roster.join(instance, hello, link)
        except (errors.PlatformError, TimeoutError) as error:
            told = error if isinstance(error, errors.PlatformError) else _SILENT
            self._note(request, "refused", told.message)
            link.end(links.Bye(error=told))
            await link.run(lambda _: None)
            return socket
        welcome = links.Welcome(
            protocol=links.PROTOCOL, epoch=epoch, heartbeat_s=self.settings.heartbeat_s
        )
        link.send(links.encode(welcome))
        self._note(request, "connected", f"connection {epoch}, agent {hello.version}")
        # A handler is cancelled when its connection is closed.
        why = "the connection was closed"
        try:
            why = await link.run(functools.partial(self._take, request, session))
        finally:
            session.broke(why)
            self._note(request, "disconnected", session.over.result().message)
        return socket

    def _take(
        self, request: web.Request, session: sessions.Session, message: links.Message
    ) -> None:
        """Take what an agent sends, as long as its token counts: that is looked at with each beat.

        A file of tokens that cannot be read just now takes nothing back.
        """
        if isinstance(message, links.Beat) and self._tokens is not None:
            with contextlib.suppress(errors.UnavailableError):
                if self._tokens.known().instance_of(calls.bearer(request)) != session.instance:
                    session.end(_REVOKED)
        session.take(message)

    def _note(self, request: web.Request, event: str, why: str) -> None:
        self._audit(
            {
                "time": clocks.rfc3339_micro(self._clock.now()),
                "agent": request.match_info["instance"],
                "from": request.remote or "",
                "event": event,
                "reason": why,
            }
        )

    def _admitted(self, request: web.Request) -> str:
        try:
            return self._admit(request)
        except web.HTTPException as error:
            self._note(request, "refused", error.text or error.reason)
            raise

    def _admit(self, request: web.Request) -> str:
        try:
            instance = records.check_instance(request.match_info["instance"])
        except errors.InvalidRequestError as error:
            raise web.HTTPNotFound(text=error.message) from error
        if self._tokens is None:
            return instance
        try:
            known = self._tokens.known().instance_of(calls.bearer(request))
        except errors.UnavailableError as error:
            raise web.HTTPServiceUnavailable(text=error.message) from error
        if known is None:
            raise web.HTTPUnauthorized(text="no such token")
        if known != instance:
            raise web.HTTPForbidden(text=f"the token is not for instance {instance}")
        return instance


_REVOKED = errors.PlatformError("the agent's token was taken back", code="unauthorized")
_SILENT = errors.UnavailableError("the agent did not say who it is")


def _checked(message: links.Message | None) -> links.Hello:
    """Return an agent's hello, if this hub understands it.

    Raises:
        InvalidRequestError: It is none. UpgradeNeededError: It speaks another protocol.
    """
    if not isinstance(message, links.Hello) or len(message.protocol) != 2:
        raise errors.InvalidRequestError("an agent says hello first")
    oldest, newest = message.protocol
    if newest < links.OLDEST:
        raise errors.UpgradeNeededError(
            f"the agent speaks protocol {newest} at most, this hub {links.OLDEST} at least"
        )
    if oldest > links.PROTOCOL:
        raise errors.UpgradeNeededError(
            f"the agent speaks protocol {oldest} at least, this hub {links.PROTOCOL} at most",
            help="Upgrade the hub.",
        )
    return message


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


async def _healthy(_request: web.Request) -> web.Response:
    return web.Response(text="ok\n")
