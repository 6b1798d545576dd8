"""One agent's place on the hub.

| what happens to the connection           | requests under way       | presence              |
| ---------------------------------------- | ------------------------ | --------------------- |
| it breaks, the same process comes back   | are sent again, run once | connected throughout  |
| it breaks or falls silent for good       | UnavailableError         | lost in two heartbeats |
| the agent says good-bye                  | UnavailableError         | lost at once          |
| another process with its identity comes  | KickedError              | the newer one's       |

A request is sent again only to the process that it was sent to: that one knows by its id whether
it has carried it out.
"""

from __future__ import annotations

import asyncio

from understudy.aio import clocks, ids as id_sources
from understudy.platform import errors, links
from understudy.platform.bus import wire

WAITING_MAX = 256
"""Requests under way to one agent; more are refused, to be tried later."""


class Session:
    """An agent's process, reached over whichever connection it has now.

    Attributes:
        platform: What the bus sees.
        since: Wall time of its first connection.
        connections: How many it has made.
    """

    def __init__(
        self,
        instance: str,
        hello: links.Hello,
        *,
        clock: clocks.Clock,
        ids: id_sources.IdSource,
    ) -> None:
        self.instance = instance
        self.hello = hello
        self._clock = clock
        self.since = clock.now()
        self.connections = 0
        self.over: asyncio.Future[errors.PlatformError] = asyncio.get_running_loop().create_future()
        self.platform = wire.CarriedPlatform(
            self._carry, name=f"instance {instance}", ids=ids, methods=hello.methods
        )
        self._link: links.Link | None = None
        self._heard = clock.monotonic()
        self._waiting: dict[str, tuple[wire.Request, asyncio.Future[wire.Response]]] = {}
        self._expiry: asyncio.TimerHandle | None = None

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection at this moment."""
        return self._link is not None

    @property
    def waiting(self) -> int:
        """How many requests are under way."""
        return len(self._waiting)

    def silent_s(self) -> float:
        """Return for how many seconds nothing has been heard."""
        heard = self._link.heard if self._link is not None else self._heard
        return max(0.0, self._clock.monotonic() - heard)

    # ------------------------------------------------------------------ connections

    def attach(self, link: links.Link) -> None:
        """Use a connection from now on, and send again what an earlier one may have lost."""
        older, self._link = self._link, link
        self.connections += 1
        if older is not None:
            older.end(links.Bye())
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        for request, _ in list(self._waiting.values()):
            link.send(wire.encode(request))

    def detach(self, link: links.Link, why: str) -> None:
        """Take note that a connection has ended; without another one soon the session ends."""
        if self._link is not link:
            return
        self._heard, self._link = link.heard, None
        patience_s = links.SILENCE_BEATS * link.heartbeat_s - self.silent_s()
        lost = errors.UnavailableError(
            f"the agent of instance {self.instance} is gone ({why}); what was under way may have "
            "been done"
        )
        loop = asyncio.get_running_loop()
        self._expiry = loop.call_later(max(0.0, patience_s), self.end, lost)

    def end(self, reason: errors.PlatformError) -> None:
        """End the session: requests under way end with the reason, the agent is told it."""
        if self.over.done():
            return
        self.over.set_result(reason)
        if self._expiry is not None:
            self._expiry.cancel()
        for _, future in self._waiting.values():
            if not future.done():
                future.set_exception(reason)
        if self._link is not None:
            self._link.end(links.Bye(error=reason))

    # ------------------------------------------------------------------ messages

    def take(self, message: links.Message) -> None:
        """Take what the agent sends."""
        match message:
            case wire.Response():
                found = self._waiting.get(message.id)
                # What nobody waits for stays with the agent: it may be asked for again.
                if found is not None and not found[1].done():
                    found[1].set_result(message)
                    self._send(wire.Acknowledge(id=message.id))
            case links.Bye():
                said = message.error.message if message.error else "it was stopped"
                self.end(
                    errors.UnavailableError(
                        f"the agent of instance {self.instance} has left: {said}"
                    )
                )
            case _:
                pass

    def _send(self, message: wire.Message) -> None:
        if self._link is not None:
            self._link.send(wire.encode(message))

    async def _carry(self, request: wire.Request) -> wire.Response:
        if self.over.done():
            raise self.over.result()
        if len(self._waiting) >= WAITING_MAX:
            raise errors.UnavailableError(
                f"{WAITING_MAX} requests wait for instance {self.instance}: try again later"
            )
        if request.id in self._waiting:
            raise errors.InvalidRequestError(f"request {request.id} is under way already")
        future: asyncio.Future[wire.Response] = asyncio.get_running_loop().create_future()
        self._waiting[request.id] = (request, future)
        try:
            self._send(request)
            return await future
        except asyncio.CancelledError:
            self._send(wire.Cancel(id=request.id))
            raise
        finally:
            del self._waiting[request.id]
