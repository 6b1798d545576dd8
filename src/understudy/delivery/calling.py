"""Many requests: bounded in number, patient with a busy server, every failure collected."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from understudy.aio import clocks
from understudy.client import errors as client_errors, protocol, wrapping
from understudy.delivery import refs
from understudy.kube import objects, statuses

T = TypeVar("T")
I = TypeVar("I")  # noqa: E741 (the item; T is the result)

ATTEMPTS_MAX = 5
FIRST_DELAY_S = 0.2
SETTLING_ATTEMPTS_MAX = 8
"""For 25 s: the API servers of a cluster take up a new definition one after the other."""
AWAY_AFTER = 16
"""So many requests in a row that nobody answered, and the server is taken to be away."""
LIST_INSTEAD_MIN = 4
"""From so many objects of one kind and namespace on, one list costs less than a get for each."""

Failure = statuses.ApiError | client_errors.TransportError


@dataclass(frozen=True, slots=True)
class Failed:
    """A request that did not succeed."""

    error: Failure


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """A request that did."""

    value: T


async def each(
    items: Iterable[I], limit: int, work: Callable[[I], Awaitable[T]]
) -> list[tuple[I, Done[T] | Failed]]:
    """Do `work` for every item, at most `limit` at a time; results in the order of the items.

    A refusal of the server or a lost connection is that item's result and stops nothing, unless
    the server seems to be away: then it is the result of the rest too, which is not asked for. Any
    other exception stops everything.
    """
    listed = list(items)
    results: list[Done[T] | Failed | None] = [None] * len(listed)
    positions = iter(range(len(listed)))
    unanswered = 0

    async def take() -> None:
        nonlocal unanswered
        last: Failed | None = None
        for position in positions:
            if last is not None and unanswered >= AWAY_AFTER:
                results[position] = last
                continue
            try:
                results[position] = Done(await work(listed[position]))
                unanswered = 0
            except (statuses.ApiError, client_errors.TransportError) as error:
                results[position] = last = Failed(error)
                unanswered = unanswered + 1 if _nobody_answered(error) else 0

    if limit <= 1 or len(listed) <= 1:
        await take()
    else:
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(limit, len(listed))):
                    group.create_task(take())
        except* Exception as errors:  # noqa: BLE001 (one of them is raised below)
            raise _first(errors) from None
    return [(item, result) for item, result in zip(listed, results, strict=True) if result]


def _nobody_answered(error: Failure) -> bool:
    return isinstance(error, client_errors.TransportError) or error.code in (503, 504)


def _first(group: BaseExceptionGroup[Exception]) -> Exception:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


async def patiently(
    call: Callable[[], Awaitable[T]], clock: clocks.Clock, *, settling: bool = False
) -> T:
    """Repeat an idempotent request while the server says, or seems to say, "later".

    Repeated: a lost connection, 429, 503, 504, and the 500s of a webhook that could not be called
    or of etcd electing a leader. Everything else is an answer; but with `settling`, the kind was
    defined or redefined a moment ago, and a refusal may still be that of the definition before.
    """
    delay = FIRST_DELAY_S
    attempts = SETTLING_ATTEMPTS_MAX if settling else ATTEMPTS_MAX
    for attempt in range(attempts):
        last, asked_s = attempt == attempts - 1, 0.0
        try:
            return await call()
        except client_errors.CertificateError:
            raise
        except client_errors.TransportError:
            if last:
                raise
        except statuses.ApiError as error:
            if last or not (is_transient(error) or (settling and may_be_outdated(error))):
                raise
            asked_s = float(error.retry_after_s or 0)
        await clock.sleep(max(delay, asked_s))
        delay *= 2
    raise AssertionError("the last attempt returns or raises")


class SureClient(wrapping.WrappedClient):
    """A client for what nobody else writes: its writes are repeated until they are answered.

    Where only an answer was lost, the repetition meets what the lost one wrote: a conflict with
    oneself, which is none.
    """

    def __init__(self, inner: protocol.Client, clock: clocks.Clock) -> None:
        super().__init__(inner)
        self._clock = clock

    async def write(self, write: wrapping.Write, send: wrapping.Send) -> objects.Object:
        try:
            return await patiently(send, self._clock)
        except (statuses.ConflictError, statuses.AlreadyExistsError) as error:
            written = await self._written(write)
            if written is None:
                raise error from None
            return written

    async def _written(self, write: wrapping.Write) -> objects.Object | None:
        """Return what is there if it is what was to be created or updated, else None."""
        if write.verb not in ("create", "update") or not isinstance(write.body, dict):
            return None
        try:
            live = await self.inner.get(write.resource, write.name, namespace=write.namespace)
        except statuses.NotFoundError:
            return None
        wanted = {key: value for key, value in write.body.items() if key != "metadata"}
        uid = objects.uid_of(write.body)
        if uid and uid != objects.uid_of(live):
            return None
        return live if {key: live.get(key) for key in wanted} == wanted else None


def is_transient(error: statuses.ApiError) -> bool:
    """Whether a refusal is about the server's state and not about the request."""
    if error.code in (429, 503, 504):
        return True
    message = error.message.lower()
    return error.code == 500 and (
        "failed calling webhook" in message
        or "etcdserver: " in message
        or "leader changed" in message
        or "connection refused" in message
    )


def may_be_outdated(error: statuses.ApiError) -> bool:
    """Whether a server may say so that has not taken up the definition of the kind yet.

    It does not serve the path (404), or refuses what the new schema allows: a field that is not
    declared (500 of an apply, 400 of strict validation) or a value (422).
    """
    undeclared = error.code == 500 and "field not declared in schema" in error.message
    return error.code in (400, 404, 422) or undeclared


async def read(
    client: protocol.Client,
    wanted: Iterable[tuple[refs.Ref, protocol.ApiResource]],
    *,
    limit: int,
    clock: clocks.Clock,
) -> dict[refs.Ref, objects.Object]:
    """Return those of the objects that exist, with as few requests as they need.

    Raises:
        ApiError, TransportError: Something could not be read: what exists is then not known.
    """
    groups: dict[tuple[str, str], list[refs.Ref]] = {}
    for ref, resource in wanted:
        groups.setdefault((resource.name, ref.namespace), []).append(ref)
    requests: list[tuple[str, str, list[refs.Ref]]] = []
    for (name, namespace), members in groups.items():
        if len(members) >= LIST_INSTEAD_MIN:
            requests.append((name, namespace, members))
        else:
            requests += ((name, namespace, [ref]) for ref in members)

    async def fetch(request: tuple[str, str, list[refs.Ref]]) -> dict[refs.Ref, objects.Object]:
        name, namespace, members = request
        try:
            if len(members) == 1:
                found = await patiently(
                    lambda: client.get(name, members[0].name, namespace=namespace), clock
                )
                return {members[0]: found}
            return await _listed(client, name, namespace, members, clock)
        except statuses.NotFoundError:
            return {}

    found: dict[refs.Ref, objects.Object] = {}
    for _, result in await each(requests, limit, fetch):
        if isinstance(result, Failed):
            raise result.error
        found.update(result.value)
    return found


async def _listed(
    client: protocol.Client,
    name: str,
    namespace: str,
    members: list[refs.Ref],
    clock: clocks.Clock,
) -> dict[refs.Ref, objects.Object]:
    by_name = {ref.name: ref for ref in members}
    listing = await patiently(lambda: client.list(name, namespace=namespace), clock)
    return {
        by_name[objects.name_of(obj)]: obj
        for obj in listing.items
        if objects.name_of(obj) in by_name
    }
