"""One agent's place on a bus, whichever bus it is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from understudy.aio import clocks, tasks as task_sets
from understudy.platform import errors, protocol
from understudy.platform.bus import serving, wire


class Seat:
    """A subscription, see `bus.protocol.Subscription`; requests are carried out at its desk.

    Args:
        left: Takes the seat off the bus, before anybody hears that it ended.
        done: Gets each response before it is handed out; while it does, the request is under way.
    """

    def __init__(
        self,
        instance: str,
        platform: protocol.Platform,
        epoch: int,
        *,
        left: Callable[[Seat, errors.PlatformError | None], None],
        done: Callable[[wire.Request, wire.Response], Awaitable[None]] | None = None,
        tasks: task_sets.TaskSet,
        clock: clocks.Clock,
        limits: serving.Limits | None = None,
    ) -> None:
        self.instance = instance
        self.methods = protocol.methods_of(platform)
        self.agent = protocol.agent_of(platform)
        self._epoch = epoch
        self._left = left
        self._done: asyncio.Future[errors.PlatformError | None] = (
            asyncio.get_running_loop().create_future()
        )
        self._ended = False
        self._platform = platform
        self._hand_over = done
        self.desk = serving.Desk(self._perform, tasks=tasks, clock=clock, limits=limits)

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
        if self._ended:
            return
        self._ended = True
        self._left(self, reason)
        gone = f"the agent of instance {self.instance} left before it answered"
        self.desk.end(reason or errors.UnavailableError(gone))
        if not self._done.done():
            self._done.set_result(reason)

    async def _perform(self, request: wire.Request) -> wire.Response:
        response = await wire.perform(self._platform, request)
        if self._hand_over is not None:
            await self._hand_over(request, response)
        return response

    async def carry(self, request: wire.Request) -> wire.Response:
        """Have a request carried out by the agent; a fatal answer ends the subscription."""
        return self.checked(await self.desk.carry(request))

    def checked(self, response: wire.Response) -> wire.Response:
        """Return a response as it is; a fatal one ends the subscription."""
        if response.error is not None and response.error.fatal:
            self.end(response.error)
        return response
