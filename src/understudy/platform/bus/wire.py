"""Calls of a platform's methods as messages, whatever carries them: NATS, a WebSocket, a file.

    {"type": "request", "id": "5f1c", "method": "sync", "deadline_s": 1199.8,
     "arguments": {"definition": {"actions": [], "request_id": ""}}}
    {"type": "response", "id": "5f1c", "result": {"results": []}}
    {"type": "response", "id": "5f1c", "error": {"code": "sync_failed", ...}}
    {"type": "running", "id": "5f1c"}
    {"type": "cancel", "id": "5f1c"}
    {"type": "acknowledge", "id": "5f1c"}

| method        | arguments                                | result               |
| ------------- | ---------------------------------------- | -------------------- |
| all_services  | namespace: text; ignored: sorted ids     | a list of `Service`  |
| some_services | ids: a list                              | a list of `Service`  |
| apply         | definitions: list of `ServiceDefinition` | null                 |
| sync          | definition: a `SyncDef`                  | a `SyncResult`       |
| export        |                                          | text                 |
| ping          |                                          | null                 |
| version       |                                          | text                 |
| call_api      | request: an `ApiRequest`                 | an `ApiAnswer`       |

A request's id names it on every hop, so whoever carries it out can tell one that comes again from
a new one. Its deadline is what is left of it when it is sent, because clocks differ. The answer
to a request is kept until it is acknowledged; `running` says that it is still to come. Fields
that are not known are ignored, a message of an unknown type is an InvalidRequestError.

The two ends are `CarriedPlatform`, which turns calls into requests, and `perform`, which turns a
request into a call. A hop in between does neither: a CarriedPlatform relays requests as they are.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from understudy.aio import ids as id_sources
from understudy.kube import objects
from understudy.platform import errors, protocol, records


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call: its method's name and arguments, and the seconds that are left for it."""

    id: str
    method: str
    arguments: Mapping[str, objects.Json] = field(default_factory=dict)
    deadline_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What became of a request: a result, or an error as data.

    `lost` says that the error is of the way, not of the platform: what became of the request is
    not known here, and the same request, sent to the same agent again, finds it.
    """

    id: str
    result: objects.Json = None
    error: errors.PlatformError | None = None
    lost: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """The request is known and being carried out; its response is still to come."""

    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """Nobody waits for the response any more: stop if that is possible, and forget it."""

    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledge:
    """The response arrived and need not be kept."""

    id: str


Message: TypeAlias = Request | Response | Running | Cancel | Acknowledge
Carry: TypeAlias = Callable[[Request], Awaitable[Response]]
"""Brings a request to where it is carried out and returns its response. It raises
UnavailableError or FatalError where it cannot, and gives the request up when it is cancelled."""

_TYPES: Mapping[str, type[Message]] = {
    "request": Request,
    "response": Response,
    "running": Running,
    "cancel": Cancel,
    "acknowledge": Acknowledge,
}
_NAMES = {cls: name for name, cls in _TYPES.items()}


def to_json(message: Message) -> objects.Object:
    """Render a message as JSON, see the module."""
    data: objects.Object = {"type": _NAMES[type(message)], "id": message.id}
    if isinstance(message, Response):
        if message.error is None:
            return data | {"result": message.result}
        lost = {"lost": True} if message.lost else {}
        return data | {"error": message.error.to_json()} | lost
    rendered: objects.Object = records.to_json(message)
    return data | rendered


def from_json(data: objects.Json) -> Message:
    """Rebuild a message.

    Raises:
        InvalidRequestError: It is none, or of a type that is not known here.
    """
    kind = data.get("type") if isinstance(data, dict) else None
    cls = _TYPES.get(kind) if isinstance(kind, str) else None
    if cls is None:
        raise errors.InvalidRequestError(
            f"message type {kind!r}: must be one of {', '.join(_TYPES)}"
        )
    if cls is not Response:
        return records.from_json(cls, data)
    identity = records.from_json(Running, data).id
    error = data.get("error")
    if error is None:
        return Response(id=identity, result=data.get("result"))
    if not isinstance(error, dict):
        raise errors.InvalidRequestError("Response.error: must be an object")
    return Response(id=identity, error=errors.from_json(error), lost=data.get("lost") is True)


def encode(message: Message) -> bytes:
    """Encode a message as JSON in ASCII: whatever a string holds, it comes out as it went in."""
    return json.dumps(to_json(message), separators=(",", ":")).encode()


def decode(data: bytes) -> Message:
    """Read what `encode` writes.

    Raises:
        InvalidRequestError: It is no JSON, or no message that is known here.
    """
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise errors.InvalidRequestError(f"a message is no JSON: {error}") from error
    return from_json(found)


def weight(message: Request | Response) -> int:
    """Return about how many characters a message has, without encoding it."""
    if isinstance(message, Request):
        return _weight(message.arguments)
    return _weight(message.result if message.error is None else message.error.to_json())


def _weight(value: objects.Json) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(len(key) + 4 + _weight(item) for key, item in value.items())
    if isinstance(value, list):
        return 2 + sum(_weight(item) + 1 for item in value)
    return 4


# ------------------------------------------------------------------------------ the caller's end


class CarriedPlatform:
    """A platform at the far end of whatever carries requests.

    Every call ends by its deadline, with DeadlineError if nothing else; the carrier is cancelled
    then, as it is when the caller gives up.

    Args:
        carry: Brings requests there and responses back.
        name: Whose platform it is, for messages: `instance prod-eu`.
        ids: Source of request ids.
        methods: What the far end can do. Anything else is an UpgradeNeededError, at once.
        agent: Names the process that carries requests out, if that is known. It remembers what it
            did: a request whose answer was lost is sent again over its next connection.
        deadlines_s: Seconds a call may take, by method; the others have `DEADLINES_S`.
    """

    def __init__(
        self,
        carry: Carry,
        *,
        name: str,
        ids: id_sources.IdSource,
        methods: Collection[str] = protocol.METHODS,
        agent: str = "",
        deadlines_s: Mapping[str, float] = protocol.DEADLINES_S,
    ) -> None:
        self._carry = carry
        self._name = name
        self._ids = ids
        self.methods = tuple(methods)
        self.agent = agent
        self._deadlines_s = {**protocol.DEADLINES_S, **deadlines_s}

    async def carry(self, request: Request) -> Response:
        """Relay a request as it is, in the time it has left."""
        if request.method not in self.methods:
            raise errors.upgrade_needed(self._name, request.method)
        limit = asyncio.timeout(request.deadline_s)
        try:
            async with limit:
                return await self._carry(request)
        except TimeoutError:
            if not limit.expired():
                raise
            raise errors.late(
                f"{self._name} did not answer {request.method}", request.deadline_s
            ) from None

    async def _call(self, method: str, **arguments: objects.Json) -> objects.Json:
        response = await self.carry(
            Request(
                id=self._ids.uid(),
                method=method,
                arguments=arguments,
                deadline_s=self._deadlines_s[method],
            )
        )
        if response.error is not None:
            raise response.error
        return response.result

    async def all_services(
        self, namespace: str = "", ignored: Collection[str] = ()
    ) -> list[records.Service]:
        return _services(
            await self._call("all_services", namespace=namespace, ignored=sorted(ignored))
        )

    async def some_services(self, ids: Collection[str]) -> list[records.Service]:
        return _services(await self._call("some_services", ids=list(ids)))

    async def apply(self, definitions: Iterable[records.ServiceDefinition]) -> None:
        await self._call("apply", definitions=records.to_json(list(definitions)))

    async def sync(self, definition: records.SyncDef) -> records.SyncResult:
        result = await self._call("sync", definition=records.to_json(definition))
        return records.from_json(records.SyncResult, result)

    async def export(self) -> str:
        return _text(await self._call("export"), "export")

    async def ping(self) -> None:
        await self._call("ping")

    async def version(self) -> str:
        return _text(await self._call("version"), "version")

    async def call_api(self, request: records.ApiRequest) -> records.ApiAnswer:
        result = await self._call("call_api", request=records.to_json(request))
        return records.from_json(records.ApiAnswer, result)


def _list(data: objects.Json, what: str) -> list[objects.Json]:
    if not isinstance(data, list):
        raise errors.InvalidRequestError(f"{what}: must be a list")
    return data


def _text(data: objects.Json, what: str) -> str:
    if not isinstance(data, str):
        raise errors.InvalidRequestError(f"{what}: must be text")
    return data


def _texts(data: objects.Json, what: str) -> list[str]:
    return [_text(one, f"{what}[{index}]") for index, one in enumerate(_list(data, what))]


def _services(data: objects.Json) -> list[records.Service]:
    return [records.from_json(records.Service, one) for one in _list(data, "services")]


# ------------------------------------------------------------------------------ the other end


async def perform(platform: protocol.Platform, request: Request) -> Response:
    """Carry a request out on a platform, in the time it has; whatever happens is a response.

    A CarriedPlatform gets the request as it is, so that its id and deadline go on from there.
    """
    try:
        if isinstance(platform, CarriedPlatform):
            return replace(await platform.carry(request), id=request.id)
        async with asyncio.timeout(request.deadline_s):
            result = await _invoke(platform, request)
    except errors.PlatformError as error:
        # Errors of the platform at the far end come as responses: these are of the way there.
        of_the_way = isinstance(error, errors.UnavailableError | errors.FatalError)
        is_late = isinstance(error, errors.DeadlineError)
        is_relayed = isinstance(platform, CarriedPlatform)
        return Response(id=request.id, error=error, lost=is_relayed and of_the_way and not is_late)
    except TimeoutError:
        late = errors.late(f"{request.method} was not done", request.deadline_s)
        return Response(id=request.id, error=late)
    except Exception as error:  # noqa: BLE001 (the top of a request: a caller waits for an answer)
        said = f"{request.method} failed: {type(error).__name__}: {error}"
        return Response(id=request.id, error=errors.PlatformError(said))
    return Response(id=request.id, result=records.to_json(result))


async def _invoke(platform: protocol.Platform, request: Request) -> object:
    given = request.arguments
    if request.method not in protocol.methods_of(platform):
        raise errors.upgrade_needed("the agent", request.method)
    match request.method:
        case "all_services":
            return await platform.all_services(
                _text(given.get("namespace", ""), "namespace"),
                set(_texts(given.get("ignored", []), "ignored")),
            )
        case "some_services":
            return await platform.some_services(_texts(given.get("ids"), "ids"))
        case "apply":
            listed = _list(given.get("definitions"), "definitions")
            await platform.apply(
                [records.from_json(records.ServiceDefinition, one) for one in listed]
            )
        case "sync":
            return await platform.sync(records.from_json(records.SyncDef, given.get("definition")))
        case "export":
            return await platform.export()
        case "ping":
            await platform.ping()
        case "version":
            return await platform.version()
        case "call_api":
            asked = records.from_json(records.ApiRequest, given.get("request"))
            return await platform.call_api(asked)
    return None
