"""What the connections of one server share: the handler, limits, counters, and a sense of time.

Time is coarse: one sweep a second refreshes the Date header and ends connections whose peer is
silent or does not read.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine

from understudy.aio import clocks, tasks
from understudy.kapi import settings
from understudy.kapi.http import exchanges, protocol, responses

log = logging.getLogger(__name__)

_CUTTING_S = 0.02
"""From cutting connections to their sockets being closed."""


class Listener:
    """What the connections of one server share. `start` begins the sweep, `close` ends all."""

    def __init__(
        self, handler: exchanges.Handler, limits: settings.HttpLimits, clock: clocks.Clock
    ) -> None:
        self.handler = handler
        self.limits = limits
        self.heads = responses.HeadWriter()
        self.connections: set[protocol.Connection] = set()
        self.now_s = 0.0
        self.requests = 0
        self.refused_connections = 0
        self.slow_watches = 0
        self._clock = clock
        self._dirty: list[protocol.Connection] = []
        self._tasks = tasks.TaskSet(self._failed)
        self._sweeping: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.heads.tick(clock.now())

    def start(self) -> None:
        """Begin the sweep; must run inside the loop that serves."""
        self._loop = asyncio.get_running_loop()
        self._sweep()

    def connect(self) -> protocol.Connection:
        """Make the protocol of one new connection (an asyncio protocol factory)."""
        return protocol.Connection(self)

    async def close(self, grace_s: float = 1.0) -> None:
        """End streams, let answers under way drain for `grace_s`, then cut what is left."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        await self._tasks.stop()
        for connection in list(self.connections):
            connection.shut_down()
        waited_s = 0.0
        while self.connections and waited_s < grace_s:
            await self._clock.sleep(0.01)
            waited_s += 0.01
        if self.connections:
            for connection in list(self.connections):
                connection.abort()
            # The loop closes their sockets in its next turns; over TLS it takes several.
            await self._clock.sleep(_CUTTING_S)

    def run(self, name: str, body: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run an answer that has to wait as a task of the listener."""
        return self._tasks.start(name, body)

    def write_later(self, connection: protocol.Connection) -> None:
        """Write the connection's gathered frames at the end of this turn of the loop."""
        if not self._dirty and self._loop is not None:
            self._loop.call_soon(self._write_dirty)
        self._dirty.append(connection)

    def _write_dirty(self) -> None:
        dirty, self._dirty = self._dirty, []
        for connection in dirty:
            connection.write_frames()

    def _sweep(self) -> None:
        assert self._loop is not None, "start() has run"
        self.now_s = self._loop.time()
        self.heads.tick(self._clock.now())
        for connection in [c for c in self.connections if c.deadline_s < self.now_s]:
            connection.expire()
        self._sweeping = self._loop.call_later(1.0, self._sweep)

    def _failed(self, name: str, failure: BaseException) -> None:
        log.error("%s failed", name, exc_info=failure)
