"""One connection of an agent, as a platform.

| what happens to the connection           | requests under way                        | presence |
| ---------------------------------------- | ----------------------------------------- | -------- |
| it breaks                                | wait for the same agent, and run once     | lost     |
| nothing is heard for 1.5 heartbeats      | the same                                  | lost     |
| the agent says good-bye                  | UnavailableError                          | lost     |
| another process with its identity comes  | KickedError                               | its own  |

What waits, and what is sent again, is the bus' business: it gets UnavailableError from here.
"""

from __future__ import annotations

import asyncio

from understudy.aio import clocks, ids as id_sources
from understudy.platform import errors, links
from understudy.platform.bus import wire


class Session:
    """An agent while it is connected.

    Attributes:
        platform: What the bus sees.
        since: Wall time of the connection.
        over: Resolves once, with why the session ended.
        is_broken: It ended, and nobody wanted that.
    """

    def __init__(
        self,
        instance: str,
        hello: links.Hello,
        link: links.Link,
        *,
        clock: clocks.Clock,
        ids: id_sources.IdSource,
    ) -> None:
        self.instance = instance
        self.hello = hello
        self._link = link
        self._clock = clock
        self.since = clock.now()
        self.over: asyncio.Future[errors.PlatformError] = asyncio.get_running_loop().create_future()
        self.is_broken = False
        self.platform = wire.CarriedPlatform(
            self._carry,
            name=f"instance {instance}",
            ids=ids,
            methods=hello.methods,
            agent=hello.agent,
        )
        self._waiting: dict[str, asyncio.Future[wire.Response]] = {}

    @property
    def waiting(self) -> int:
        """How many requests are under way."""
        return len(self._waiting)

    def silent_s(self) -> float:
        """Return for how many seconds nothing has been heard."""
        return self._clock.monotonic() - self._link.heard

    def take(self, message: links.Message) -> None:
        """Take what the agent sends."""
        match message:
            case wire.Response():
                found = self._waiting.get(message.id)
                # What nobody waits for stays with the agent: it may be asked for again.
                if found is not None and not found.done():
                    found.set_result(message)
                    self._send(wire.Acknowledge(id=message.id))
            case links.Bye():
                why = f": {message.error.message}" if message.error else " in order"
                self.end(self._gone(f"left{why}"))
            case _:
                pass

    def broke(self, why: str) -> None:
        """Take note that the connection has ended without a word."""
        self.is_broken = not self.over.done()
        self.end(self._gone(f"is gone: {why}"))

    def end(self, reason: errors.PlatformError) -> None:
        """End the session: requests under way end with the reason, and the agent is told it."""
        if self.over.done():
            return
        self.over.set_result(reason)
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(reason)
        self._link.end(links.Bye(error=reason))

    def _gone(self, how: str) -> errors.UnavailableError:
        return errors.UnavailableError(
            f"the agent of instance {self.instance} {how}",
            help="What was under way may have been done. It comes back by itself if it can.",
        )

    def _send(self, message: wire.Message) -> None:
        self._link.send(wire.encode(message))

    async def _carry(self, request: wire.Request) -> wire.Response:
        if self.over.done():
            raise self.over.result()
        future: asyncio.Future[wire.Response] = asyncio.get_running_loop().create_future()
        self._waiting[request.id] = future
        try:
            self._send(request)
            return await future
        except asyncio.CancelledError:
            # Of a session that is over the request goes on: the agent is asked for it elsewhere.
            if not self.over.done():
                self._send(wire.Cancel(id=request.id))
            raise
        finally:
            del self._waiting[request.id]
