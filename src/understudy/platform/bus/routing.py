"""What buses have in common: a call finds the way to its agent, and the agent's next way.

A request is sent again only to the agent that it was sent to, over that agent's next connection,
and only while it is not known what became of it. Another agent gets none of it: the caller is
told that its agent was replaced.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
import functools
import logging
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Protocol

from understudy.aio import clocks, ids as id_sources
from understudy.platform import errors, instrument, records
from understudy.platform.bus import protocol as buses, seats, wire

_log = logging.getLogger(__name__)
RETURN_S = 30.0
"""How long a request whose connection broke waits for its agent to come back, in seconds."""
BREAK_S = 1.0
"""How long a connection on which a request was lost may go on before it counts as whole."""
KICKS, KICKS_S = 3, 60.0
"""So many connections of an instance replaced by another agent's within so many seconds: they have
one identity, and each takes the other's place for ever."""


class Bell:
    """Wakes everybody who waits for it."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        """Wake those who wait now; who waits later waits for the next time."""
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self) -> None:
        """Wait until it rings."""
        await self._event.wait()


def absent(instance: str) -> errors.UnavailableError:
    """Return the error of a call for which there is no agent."""
    return errors.UnavailableError(f"no agent is connected for instance {instance}")


def failed(name: str, error: BaseException) -> None:
    """Tell of a task of a bus that ended by an error, which none should."""
    _log.error("%s ended: %s: %s", name, type(error).__name__, error, exc_info=error)


class Route(Protocol):
    """The way to one connection of an agent."""

    @property
    def agent(self) -> str:
        """Names the agent's process, empty where that is not known."""
        ...

    @property
    def methods(self) -> Collection[str]:
        """What the agent can do."""
        ...

    async def carry(self, request: wire.Request) -> wire.Response:
        """Have a request carried out there."""
        ...


class RoutedBus(abc.ABC):
    """The callers' side of a bus.

    Args:
        deadlines_s: Seconds that a call may take, by method.
        return_s: How long a request waits for an agent whose connection broke, in seconds.
    """

    def __init__(
        self,
        *,
        metrics: instrument.BusMetrics,
        clock: clocks.Clock,
        ids: id_sources.IdSource,
        deadlines_s: Mapping[str, float],
        return_s: float,
    ) -> None:
        self._metrics = metrics
        self._clock = clock
        self._ids = ids
        self._deadlines_s = deadlines_s
        self._return_s = return_s
        self._changed = Bell()
        self._kicks: dict[str, list[float]] = {}

    async def connect(self, instance: str) -> wire.CarriedPlatform:
        return wire.CarriedPlatform(
            functools.partial(self._measured, records.check_instance(instance)),
            name=f"instance {instance}",
            ids=self._ids,
            deadlines_s=self._deadlines_s,
        )

    async def ping(self, instance: str) -> None:
        await self._require(instance)
        await (await self.connect(instance)).ping()

    async def version(self, instance: str) -> str:
        await self._require(instance)
        return await (await self.connect(instance)).version()

    async def wait_until_connected(self, instance: str, longest_s: float) -> buses.Presence:
        records.check_instance(instance)
        try:
            async with asyncio.timeout(longest_s):
                while self._present(instance) is None:
                    await self._changed.wait()
        except TimeoutError:
            raise errors.UnavailableError(
                f"no agent has connected for instance {instance} within {longest_s:g} s"
            ) from None
        return await self.presence(instance)

    @abc.abstractmethod
    async def presence(self, instance: str) -> buses.Presence: ...

    @abc.abstractmethod
    def _present(self, instance: str) -> Route | None:
        """Return the way to the agent that is connected now."""

    @abc.abstractmethod
    async def _find(self, instance: str) -> Route:
        """Return the way to the agent. UnavailableError where none is connected."""

    def _kick(self, seat: seats.Seat, epoch: int, agent: str) -> None:
        """End a connection whose place a newer one took; tell if that has become a habit."""
        seat.end(errors.kicked(seat.instance, seat.epoch, epoch))
        if agent and agent == seat.agent:
            return
        self._metrics.kicks.inc()
        now_s = self._clock.monotonic()
        recent = [at for at in self._kicks.get(seat.instance, []) if now_s - at < KICKS_S]
        self._kicks[seat.instance] = [*recent[-KICKS:], now_s]
        if len(recent) + 1 >= KICKS:
            _log.warning(
                "several agents use the identity of instance %s: %s connections were replaced "
                "within %.0f s; give each an identity of its own",
                seat.instance,
                len(recent) + 1,
                KICKS_S,
            )

    async def _require(self, instance: str) -> None:
        if (await self.presence(instance)).state != "connected":
            raise errors.NotFoundError(f"no agent is connected for instance {instance}")

    async def _measured(self, instance: str, request: wire.Request) -> wire.Response:
        start_s = self._clock.monotonic()
        code = errors.CancelledCallError.default_code
        try:
            response = await self._carry(instance, request)
            code = response.error.code if response.error else "ok"
        except errors.PlatformError as error:
            code = error.code
            raise
        else:
            return response
        finally:
            self._metrics.observe(request.method, code, self._clock.monotonic() - start_s)

    async def _carry(self, instance: str, request: wire.Request) -> wire.Response:
        until_s = self._clock.monotonic() + request.deadline_s
        route = await self._find(instance)
        while True:
            if request.method not in route.methods:
                raise errors.upgrade_needed(f"the agent of instance {instance}", request.method)
            left_s = until_s - self._clock.monotonic()
            response = await route.carry(replace(request, deadline_s=left_s))
            again = await self._returned(instance, route) if response.lost else None
            if again is None:
                return response
            route = again

    async def _returned(self, instance: str, broken: Route) -> Route | None:
        """Wait for the next connection of the agent whose connection broke.

        None where it does not come in time, or another agent takes its place.
        """
        if not broken.agent:
            return None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BREAK_S):
                while self._present(instance) is broken:
                    await self._changed.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._return_s):
                while (found := self._present(instance)) is None:
                    await self._changed.wait()
                return found if found.agent == broken.agent and found is not broken else None
        return None
