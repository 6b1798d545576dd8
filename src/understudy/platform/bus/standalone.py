"""The bus within one process.

| situation                            | what happens                                              |
| ------------------------------------ | --------------------------------------------------------- |
| connect, agent never seen            | a platform; each call: UnavailableError at once           |
| agent subscribes after connect       | the same platform starts to work                          |
| method raises an application error   | it is the caller's; the subscription stays                |
| method raises a fatal error          | it is the caller's; the subscription ends with it         |
| second subscription                  | the first ends with KickedError, its calls under way too  |
| an agent hangs                       | DeadlineError when the call's time is over                |
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Mapping
from typing import TypeVar

import prometheus_client

from understudy.kube import objects
from understudy.platform import errors, protocol, records
from understudy.platform.bus import protocol as buses

T = TypeVar("T")
DEADLINES_S: Mapping[str, float] = {"apply": 1200.0, "sync": 1200.0, "export": 120.0}
"""Longest wait for an answer; other methods `DEADLINE_S`. Syncs wait for rollouts."""
DEADLINE_S = 10.0


class Subscribed:
    """One agent's place; see `bus.protocol.Subscription`."""

    __slots__ = ("_bus", "_done", "_epoch", "instance", "platform")

    def __init__(
        self, bus: StandaloneMessageBus, instance: str, platform: protocol.Platform, epoch: int
    ) -> None:
        self._bus = bus
        self.instance = instance
        self.platform = platform
        self._epoch = epoch
        self._done: asyncio.Future[errors.PlatformError | None] = (
            asyncio.get_running_loop().create_future()
        )

    @property
    def epoch(self) -> int:
        """Number of this connection among its instance's."""
        return self._epoch

    @property
    def done(self) -> asyncio.Future[errors.PlatformError | None]:
        """Resolves once, with why the subscription ended."""
        return self._done

    def close(self) -> None:
        """Leave the bus; harmless when repeated."""
        self.end(None)

    def end(self, reason: errors.PlatformError | None) -> None:
        """Leave the bus for a reason; what comes after the first is ignored."""
        if not self._done.done():
            # Gone from the bus before anybody hears of it.
            self._bus.forget(self, reason)
            self._done.set_result(reason)


class StandaloneMessageBus:
    """Routes calls to agents in this process.

    Args:
        kicks: Counts subscriptions that were taken over; instances are no labels.
        deadlines_s: Seconds to wait by method, instead of `DEADLINES_S`.
    """

    def __init__(
        self,
        *,
        kicks: prometheus_client.Counter | None = None,
        deadlines_s: Mapping[str, float] | None = None,
    ) -> None:
        self._subscribed: dict[str, Subscribed] = {}
        self._epochs: dict[str, int] = {}
        self._reasons: dict[str, str] = {}
        self._kicks = kicks
        self._deadlines_s = DEADLINES_S if deadlines_s is None else deadlines_s

    async def subscribe(self, instance: str, platform: protocol.Platform) -> Subscribed:
        records.check_instance(instance)
        epoch = self._epochs.get(instance, 0) + 1
        self._epochs[instance] = epoch
        older = self._subscribed.get(instance)
        if older is not None:
            if self._kicks is not None:
                self._kicks.inc()
            older.end(
                errors.KickedError(
                    f"connection {older.epoch} of {instance} was replaced by connection {epoch}"
                )
            )
        made = Subscribed(self, instance, platform, epoch)
        self._subscribed[instance] = made
        self._reasons.pop(instance, None)
        return made

    def forget(self, subscribed: Subscribed, reason: errors.PlatformError | None) -> None:
        """Take a subscription off, unless a newer one has its place already."""
        if self._subscribed.get(subscribed.instance) is subscribed:
            del self._subscribed[subscribed.instance]
            self._reasons[subscribed.instance] = reason.message if reason else "closed"

    async def connect(self, instance: str) -> protocol.Platform:
        return _Routed(self, records.check_instance(instance))

    async def ping(self, instance: str) -> None:
        self._require(instance)
        await (await self.connect(instance)).ping()

    async def version(self, instance: str) -> str:
        self._require(instance)
        return await (await self.connect(instance)).version()

    async def presence(self, instance: str) -> buses.Presence:
        found = self._subscribed.get(records.check_instance(instance))
        epoch = self._epochs.get(instance, 0)
        if found is not None:
            return buses.Presence(instance=instance, state="connected", epoch=found.epoch)
        if not epoch:
            return buses.Presence(instance=instance, state="never_seen")
        reason = self._reasons.get(instance, "")
        return buses.Presence(instance=instance, state="lost", epoch=epoch, reason=reason)

    async def close(self) -> None:
        for subscribed in list(self._subscribed.values()):
            subscribed.close()

    def _require(self, instance: str) -> None:
        if records.check_instance(instance) not in self._subscribed:
            raise errors.NotFoundError(f"no agent is connected for instance {instance}")

    async def call(
        self,
        instance: str,
        method: str,
        ask: Callable[[protocol.Platform], Coroutine[object, object, T]],
    ) -> T:
        """Carry out one call on the instance's agent, once or not at all.

        Raises:
            UnavailableError: Nobody is connected. KickedError: the connection was replaced before
            the answer came. DeadlineError: no answer in time. Otherwise what the agent raises.
        """
        subscribed = self._subscribed.get(instance)
        if subscribed is None:
            raise errors.UnavailableError(f"no agent is connected for instance {instance}")
        answer = asyncio.ensure_future(ask(subscribed.platform))  # noqa: TID251 (raced below)
        seconds = self._deadlines_s.get(method, DEADLINE_S)
        raced: set[asyncio.Future[objects.Json]] = {answer, subscribed.done}
        try:
            await asyncio.wait(raced, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return self._result(subscribed, answer)
            if subscribed.done.done():
                reason = subscribed.done.result()
                raise reason or errors.UnavailableError(
                    f"the agent of instance {instance} left before it answered {method}"
                )
            raise errors.DeadlineError(
                f"instance {instance} did not answer {method} within {seconds:g} s"
            )
        finally:
            if not answer.done():
                answer.cancel()
                with contextlib.suppress(asyncio.CancelledError, errors.PlatformError):
                    await answer

    @staticmethod
    def _result(subscribed: Subscribed, answer: asyncio.Future[T]) -> T:
        try:
            return answer.result()
        except errors.PlatformError as error:
            if error.fatal:
                subscribed.end(error)
            raise
        except asyncio.CancelledError as error:
            raise errors.CancelledCallError("the agent gave the call up") from error


class _Routed:
    """An instance's platform: looks for the agent at each call."""

    def __init__(self, bus: StandaloneMessageBus, instance: str) -> None:
        self._bus = bus
        self._instance = instance

    def _call(
        self, method: str, ask: Callable[[protocol.Platform], Coroutine[object, object, T]]
    ) -> Awaitable[T]:
        return self._bus.call(self._instance, method, ask)

    async def all_services(
        self, namespace: str = "", ignored: Collection[str] = ()
    ) -> list[records.Service]:
        return await self._call("all_services", lambda p: p.all_services(namespace, ignored))

    async def some_services(self, ids: Collection[str]) -> list[records.Service]:
        return await self._call("some_services", lambda p: p.some_services(ids))

    async def apply(self, definitions: Iterable[records.ServiceDefinition]) -> None:
        await self._call("apply", lambda p: p.apply(definitions))

    async def sync(self, definition: records.SyncDef) -> records.SyncResult:
        return await self._call("sync", lambda p: p.sync(definition))

    async def export(self) -> str:
        return await self._call("export", lambda p: p.export())

    async def ping(self) -> None:
        await self._call("ping", lambda p: p.ping())

    async def version(self) -> str:
        return await self._call("version", lambda p: p.version())

    async def call_api(self, request: records.ApiRequest) -> records.ApiAnswer:
        return await self._call("call_api", lambda p: p.call_api(request))
