"""What callers ask of a hub: who they are, what they may, and the answer."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import prometheus_client
from aiohttp import web

from understudy.aio import clocks, ids as id_sources
from understudy.kube import objects, statuses
from understudy.platform import errors, protocol, records, relaying
from understudy.platform.bus import protocol as buses, wire
from understudy.platform.hub import clients, rosters, tokens

BODY_BYTES_MAX = 64 << 20
"""Longest body of a request."""
SHOWN_MAX = 300
"""Longest path in an audit record, in characters."""
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_ACCESS = {"apply": relaying.Access.WRITE, "sync": relaying.Access.WRITE}
_STATUSES = {
    "invalid": 400,
    "not_found": 404,
    "upgrade_needed": 501,
    "unavailable": 503,
    "timeout": 504,
    "cancelled": 503,
    "kicked": 503,
    "unauthorized": 401,
    "forbidden": 403,
}
"""HTTP status by an error's code; 502 for what the cluster said."""


@dataclass(frozen=True, slots=True)
class Observed:
    """Where requests are told of and counted, and how long a broken connection is excused."""

    audit: Callable[[objects.Object], None]
    requests: prometheus_client.Counter
    excused_s: float


def bearer(request: web.Request) -> str:
    """Return the token that came with a request, empty where none did."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


_UNKNOWN = tokens.Caller(sha256="")


class Callers:
    """The part of the API that callers use."""

    def __init__(
        self,
        bus: buses.MessageBus,
        roster: rosters.Roster,
        known: tokens.TokenFile | None,
        observed: Observed,
        *,
        clock: clocks.Clock,
        ids: id_sources.IdSource,
    ) -> None:
        self._bus = bus
        self._roster = roster
        self._tokens = known
        self._observed = observed
        self._clock = clock
        self._ids = ids

    def add_routes(
        self, router: web.UrlDispatcher, registry: prometheus_client.CollectorRegistry
    ) -> None:
        """Add the routes for callers."""

        async def metrics(request: web.Request) -> web.Response:
            try:
                self._caller(request)
            except errors.PlatformError as error:
                return _failed(error)
            return web.Response(
                body=prometheus_client.generate_latest(registry),
                headers={"Content-Type": prometheus_client.CONTENT_TYPE_LATEST},
            )

        one = "/v1/instances/{instance}"
        router.add_get("/metrics", metrics)
        router.add_get("/v1/instances", self._list)
        router.add_get(one, self._describe)
        router.add_post(one + "/calls/{method}", self._call)
        router.add_route("*", one + "/kubernetes/{path:.*}", self._relay)

    # ------------------------------------------------------------------ who

    def _caller(self, request: web.Request) -> tokens.Caller:
        if self._tokens is None:
            return tokens.ANYBODY
        found = self._tokens.known().caller_of(bearer(request))
        if found is None:
            raise _refusal("unauthorized", "a caller's token is needed: give one of this hub's")
        return found

    def _permitted(self, request: web.Request, needed: relaying.Access, watch: _Watch) -> str:
        """Return the instance that is asked about, if whoever asks may do so.

        Raises:
            PlatformError: They may not, or there can be no such instance.
        """
        instance = records.check_instance(request.match_info["instance"])
        if not watch.caller.may_see(instance):
            raise _refusal("forbidden", f"{watch.caller.name} may not see instance {instance}")
        if watch.caller.access < needed:
            raise _refusal(
                "forbidden",
                f"{watch.caller.name} has {watch.caller.access} access to {instance}, and "
                f"{watch.shown} needs {needed}",
            )
        return instance

    # ------------------------------------------------------------------ instances

    async def _list(self, request: web.Request) -> web.Response:
        try:
            with _Watch(self, request, "list", "instances") as watch:
                watch.caller = caller = self._caller(request)
                names = self._tokens.known().agents if self._tokens is not None else ()
                found = await self._roster.list(names)
        except errors.PlatformError as error:
            return _failed(error)
        return _json([one for one in found if caller.may_see(one["instance"])])

    async def _describe(self, request: web.Request) -> web.Response:
        try:
            with _Watch(self, request, "describe", "instance") as watch:
                watch.caller = self._caller(request)
                instance = self._permitted(request, relaying.Access.READ, watch)
                return _json(await self._roster.describe(instance))
        except errors.PlatformError as error:
            return _failed(error)

    # ------------------------------------------------------------------ calls

    async def _call(self, request: web.Request) -> web.Response:
        method = request.match_info["method"]
        if method not in protocol.METHODS:
            return _failed(errors.upgrade_needed("the hub", method))
        try:
            with _Watch(self, request, method, method) as watch:
                watch.caller = self._caller(request)
                arguments = _arguments(await request.read())
                needed = _ACCESS.get(method, relaying.Access.READ)
                if method == "call_api":
                    asked = records.from_json(records.ApiRequest, arguments.get("request"))
                    needed, watch.shown = relaying.needs(asked), f"{asked.method} {asked.path}"
                result = await self._ask(request, needed, method, arguments, watch)
                return _json({"id": watch.identity, "result": result})
        except errors.PlatformError as error:
            return _failed(error)

    async def _relay(self, request: web.Request) -> web.Response:
        prefix = f"/v1/instances/{request.match_info['instance']}/kubernetes"
        path = request.raw_path.removeprefix(prefix)
        watch = _Watch(self, request, "call_api", f"{request.method} {path}")
        try:
            with watch:
                watch.caller = self._caller(request)
                asked = await _asked(request, path)
                needed, arguments = relaying.needs(asked), {"request": records.to_json(asked)}
                result = await self._ask(request, needed, "call_api", arguments, watch)
                answer = records.from_json(records.ApiAnswer, result)
                watch.status = answer.status
                return web.Response(
                    status=answer.status,
                    headers=dict(answer.headers),
                    body=records.unpack(answer),
                )
        except errors.PlatformError as error:
            status = _status_of(error)
            if isinstance(error, errors.UnavailableError) and not watch.identity:
                # Nothing was sent, and the agent may be back in a moment.
                status.headers["Retry-After"] = "1"
            return status

    async def _ask(
        self,
        request: web.Request,
        needed: relaying.Access,
        method: str,
        arguments: objects.Object,
        watch: _Watch,
    ) -> objects.Json:
        """Ask the instance's agent; return the result, or raise the error it answers with."""
        instance = self._permitted(request, needed, watch)
        if self._roster.is_expected(instance, self._observed.excused_s):
            presence = await self._bus.presence(instance)
            if presence.state != "connected":
                raise errors.UnavailableError(presence.reason)
        asked = wire.Request(
            id=self._identity(request, watch.caller),
            method=method,
            arguments=arguments,
            deadline_s=_deadline(request, method),
        )
        watch.identity = asked.id
        response = await wire.perform(await self._bus.connect(instance), asked)
        if response.error is not None:
            raise response.error
        return response.result

    def _identity(self, request: web.Request, caller: tokens.Caller) -> str:
        given = request.headers.get(clients.REQUEST_ID)
        if given is None:
            return self._ids.uid()
        if _REQUEST_ID.fullmatch(given) is None:
            raise errors.InvalidRequestError(
                f"{clients.REQUEST_ID} {given[:80]!r}: must be up to 64 letters, digits or ._-"
            )
        # One caller's ids are not another's.
        return f"{caller.name}/{given}"

    def note(self, watch: _Watch, code: str) -> None:
        """Count a request and leave its audit record."""
        seconds = self._clock.monotonic() - watch.start
        self._observed.requests.labels(watch.method, code).inc()
        self._observed.audit(
            {
                "time": clocks.rfc3339_micro(self._clock.now()),
                "caller": watch.caller.name,
                "from": watch.remote,
                "instance": watch.instance,
                "request": watch.shown[:SHOWN_MAX],
                "id": watch.identity,
                "result": code,
                **({"status": watch.status} if watch.status else {}),
                "ms": round(seconds * 1000, 1),
            }
        )

    def now(self) -> float:
        """Return the time on which durations are measured."""
        return self._clock.monotonic()


class _Watch:
    """One request, which is told of when it is over: answered, refused, or given up.

    Attributes:
        identity: The request's id, empty as long as nothing was sent.
        status: The API server's answer, 0 where there is none.
    """

    __slots__ = (
        "_callers", "caller", "identity", "instance", "method", "remote", "shown", "start",
        "status",
    )  # fmt: skip

    def __init__(self, callers: Callers, request: web.Request, method: str, shown: str) -> None:
        self._callers = callers
        self.method = method
        self.shown = shown
        self.instance = request.match_info.get("instance", "")
        self.remote = request.remote or ""
        self.caller = _UNKNOWN
        self.identity = ""
        self.status = 0
        self.start = callers.now()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            code = "ok"
        elif isinstance(error, errors.PlatformError):
            code = error.code
        elif isinstance(error, asyncio.CancelledError):
            # Whoever asked is gone; what was asked may have been done.
            code = errors.CancelledCallError.default_code
        else:
            code = errors.PlatformError.default_code
        self._callers.note(self, code)


async def _asked(request: web.Request, path: str) -> records.ApiRequest:
    """Return a request as it is carried."""
    body, is_base64 = records.pack(await request.read())
    headers = {key.lower(): value for key, value in request.headers.items()}
    return records.ApiRequest(
        method=request.method,
        path=path,
        headers={key: value for key, value in headers.items() if key in relaying.ASKED},
        body=body,
        base64=is_base64,
    )


def _refusal(code: str, message: str) -> errors.PlatformError:
    return errors.PlatformError(message, code=code)


def _arguments(body: bytes) -> objects.Object:
    if not body:
        return {}
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise errors.InvalidRequestError(f"the body is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise errors.InvalidRequestError("the body must be an object: the method's arguments")
    return found


def _deadline(request: web.Request, method: str) -> float:
    longest = protocol.DEADLINES_S[method]
    given = request.headers.get(clients.TIMEOUT)
    if given is None:
        return longest
    try:
        asked = float(given)
    except ValueError:
        asked = -1.0
    if not asked > 0:
        raise errors.InvalidRequestError(
            f"{clients.TIMEOUT} {given[:40]!r}: must be seconds, e.g. 10"
        )
    return min(longest, asked)


def _json(value: objects.Json, status: int = 200) -> web.Response:
    return web.Response(
        status=status, body=json.dumps(value).encode(), content_type="application/json"
    )


def _failed(error: errors.PlatformError) -> web.Response:
    return _json({"error": error.to_json()}, _STATUSES.get(error.code, 502))


def _status_of(error: errors.PlatformError) -> web.Response:
    """Return an error of the platform as the Kubernetes API would say it."""
    code = _STATUSES.get(error.code, 502)
    message = f"{error.message}. {error.help}".rstrip(". ") if error.help else error.message
    status = statuses.from_status({"message": message, "code": code}, code).status()
    return _json(status, code)
