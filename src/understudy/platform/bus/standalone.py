"""The bus within one process.

| situation                            | what happens                                              |
| ------------------------------------ | --------------------------------------------------------- |
| connect, agent never seen            | a platform; each call: UnavailableError at once           |
| agent subscribes after connect       | the same platform starts to work                          |
| method raises an application error   | it is the caller's; the subscription stays                |
| method raises a fatal error          | it is the caller's; the subscription ends with it         |
| method that the agent does not know  | UpgradeNeededError, at once                               |
| second subscription                  | the first ends with KickedError, its calls under way too  |
| the same agent's second subscription | its calls under way go on there, and none runs twice      |
| an agent hangs                       | DeadlineError when the call's time is over                |
| more calls than an agent takes on    | they wait; too many: UnavailableError, to be tried later  |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from understudy.aio import clocks, ids as id_sources, tasks as task_sets
from understudy.platform import errors, instrument, protocol, records
from understudy.platform.bus import protocol as buses, routing, seats, serving


class StandaloneMessageBus(routing.RoutedBus):
    """Routes calls to agents in this process.

    Args:
        metrics: Counts kicks and agents, and measures calls.
        deadlines_s: Seconds to wait for an answer, by method.
        limits: How much one agent takes on.
    """

    def __init__(
        self,
        *,
        metrics: instrument.BusMetrics | None = None,
        deadlines_s: Mapping[str, float] = protocol.DEADLINES_S,
        limits: serving.Limits | None = None,
        return_s: float = routing.RETURN_S,
        clock: clocks.Clock | None = None,
        ids: id_sources.IdSource | None = None,
    ) -> None:
        super().__init__(
            metrics=metrics or instrument.BusMetrics(),
            clock=clock or clocks.SystemClock(),
            ids=ids or id_sources.SystemIds(),
            deadlines_s=deadlines_s,
            return_s=return_s,
        )
        self._limits = limits
        self._seats: dict[str, seats.Seat] = {}
        self._known: dict[str, buses.Presence] = {}
        self._tasks = task_sets.TaskSet(routing.failed)

    async def subscribe(self, instance: str, platform: protocol.Platform) -> seats.Seat:
        records.check_instance(instance)
        older = self._seats.get(instance)
        epoch = self._known[instance].epoch + 1 if instance in self._known else 1
        made = seats.Seat(
            instance,
            platform,
            epoch,
            left=self._forget,
            tasks=self._tasks,
            clock=self._clock,
            limits=self._limits,
        )
        self._seats[instance] = made
        self._known[instance] = buses.Presence(
            instance=instance,
            state="connected",
            epoch=epoch,
            agent=made.agent,
            methods=made.methods,
        )
        if older is not None:
            self._kick(older, epoch, made.agent)
        self._metrics.agents.inc()
        self._changed.ring()
        return made

    def _forget(self, seat: seats.Seat, reason: errors.PlatformError | None) -> None:
        """Take a seat off, unless a newer one has its place already."""
        self._metrics.agents.dec()
        if self._seats.get(seat.instance) is not seat:
            return
        del self._seats[seat.instance]
        self._known[seat.instance] = buses.Presence(
            instance=seat.instance,
            state="lost",
            epoch=seat.epoch,
            reason=reason.message if reason else "closed",
            agent=seat.agent,
            methods=seat.methods,
            last_seen=clocks.rfc3339(self._clock.now()),
        )

    def _present(self, instance: str) -> seats.Seat | None:
        return self._seats.get(instance)

    async def _find(self, instance: str) -> seats.Seat:
        found = self._seats.get(instance)
        if found is None:
            raise routing.absent(instance)
        return found

    async def presence(self, instance: str) -> buses.Presence:
        found = self._known.get(records.check_instance(instance))
        if found is None:
            return buses.Presence(instance=instance, state="never_seen")
        if found.state == "lost":
            return found
        return replace(found, last_seen=clocks.rfc3339(self._clock.now()))

    async def presences(self) -> list[buses.Presence]:
        return [await self.presence(instance) for instance in sorted(self._known)]

    async def close(self) -> None:
        for seat in list(self._seats.values()):
            seat.close()
        await self._tasks.stop()
