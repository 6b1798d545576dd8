"""The agent: holds the credentials of one cluster, dials out to the hub, and does what is asked.

It keeps one connection and makes it again whenever it ends, each time after a wait that grows and
is not the same for all:

| the connection              | the next wait                                      |
| --------------------------- | -------------------------------------------------- |
| broke after a stable time   | from the shortest on                               |
| broke, or was not made      | twice the last, up to the longest                  |
| was taken over by another   | the same with longer times: two agents share a name |
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp

from understudy.aio import clocks, ids as id_sources, tasks
from understudy.client import http
from understudy.platform import errors, links, protocol, records
from understudy.platform.bus import serving, wire

_log = logging.getLogger(__name__)
DESCRIBE_S = 3.0
"""How long a cluster may take to say what it is, before its agent connects without that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where an agent connects to, and how it goes about it.

    Attributes:
        hub: Base URL of the hub, `https://hub.example`.
        instance: The name under which the cluster is known there.
        token: The agent's; asked for at each connection, so that it can be replaced. It raises
            UnavailableError where there is none just now.
        connect_timeout_s: For TCP, TLS and the handshake together.
        retry_first_s: About the first wait before connecting again.
        retry_max_s: The longest one; a hub that restarts is found again within a minute.
        kicked_first_s: The first wait after another agent took the place.
        kicked_max_s: The longest one; two agents of one name change place no oftener.
        stable_s: After so long a connection counts as good, and waits start from the first again.
        drain_s: How long what is under way may take to finish when the agent is stopped.
    """

    hub: str
    instance: str
    token: Callable[[], str] = str
    connect_timeout_s: float = 10.0
    retry_first_s: float = 1.0
    retry_max_s: float = 60.0
    kicked_first_s: float = 15.0
    kicked_max_s: float = 300.0
    stable_s: float = 60.0
    drain_s: float = 10.0


class Backoff:
    """Waits that double from the first to the longest, each shortened by up to a half."""

    def __init__(self, first_s: float, max_s: float, ids: id_sources.IdSource) -> None:
        self._first_s, self._max_s, self._ids = first_s, max_s, ids
        self._next_s = first_s

    def next_s(self) -> float:
        """Return the next wait in seconds."""
        wait_s = self._next_s
        self._next_s = min(self._max_s, wait_s * 2)
        return wait_s * self._ids.integer(500, 1000) / 1000

    def reset(self) -> None:
        """Begin with the first again."""
        self._next_s = self._first_s


class Agent:
    """Answers for one instance until it is stopped.

    Attributes:
        connected: Set while there is a connection that the hub has taken in.
        state: One line for people: where it stands, and why.
        epoch: Number of the present connection among its instance's.
    """

    def __init__(
        self,
        platform: protocol.Platform,
        settings: Settings,
        *,
        describe: Callable[[], Awaitable[dict[str, str]]] | None = None,
        tls: ssl.SSLContext | None = None,
        clock: clocks.Clock | None = None,
        ids: id_sources.IdSource | None = None,
        tell: Callable[[str], None] = _log.info,
    ) -> None:
        self._settings = settings
        self._platform = platform
        self._describe = describe
        self._tls = tls
        self._clock = clock or clocks.SystemClock()
        ids = ids or id_sources.SystemIds()
        self._tell = tell
        self._process = ids.uid()
        self._tasks = tasks.TaskSet(_failed)
        self._desk = serving.Desk(
            functools.partial(wire.perform, platform), tasks=self._tasks, clock=self._clock
        )
        self._under_way: set[asyncio.Future[wire.Response]] = set()
        self._retry = Backoff(settings.retry_first_s, settings.retry_max_s, ids)
        self._kicked = Backoff(settings.kicked_first_s, settings.kicked_max_s, ids)
        self._stopping = asyncio.Event()
        self._connecting: asyncio.Timeout | None = None
        self._link: links.Link | None = None
        self.connected = asyncio.Event()
        self.state = "not connected yet"
        self.epoch = 0
        records.check_instance(settings.instance)

    def stop(self) -> None:
        """Say good-bye once what is under way has finished, and return from `run`."""
        self._stopping.set()
        if self._connecting is not None:
            # Nothing is under way where there is no connection yet.
            self._connecting.reschedule(asyncio.get_running_loop().time())

    async def run(self) -> None:
        """Keep connected until `stop`; failures are told, never raised."""
        try:
            by_proxy = not http.is_loopback(self._settings.hub)
            async with aiohttp.ClientSession(trust_env=by_proxy) as session:
                while not self._stopping.is_set():
                    wait_s = await self._turn(session)
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(wait_s):
                            await self._stopping.wait()
        finally:
            self._desk.end(errors.UnavailableError("the agent was stopped"))
            await self._tasks.stop()

    async def _turn(self, session: aiohttp.ClientSession) -> float:
        """Connect once, for as long as it lasts; return how long to wait before the next time."""
        start = self._clock.monotonic()
        backoff = self._retry
        try:
            why = await self._connect(session)
        except errors.KickedError as error:
            why, backoff = error.message, self._kicked
        except errors.PlatformError as error:
            why = error.message
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            why = _failure(error)
        if self._stopping.is_set():
            self._say("stopped")
            return 0.0
        if self._clock.monotonic() - start >= self._settings.stable_s:
            self._retry.reset()
            self._kicked.reset()
        wait_s = backoff.next_s()
        self._say(f"{why}; trying again in {wait_s:.1f} s")
        return wait_s

    async def _connect(self, session: aiohttp.ClientSession) -> str:
        """Connect and serve; return why the connection ended.

        Raises:
            PlatformError: The hub ended it with this; KickedError for another agent. Also what
            aiohttp raises where there was no connection.
        """
        async with contextlib.AsyncExitStack() as stack:
            cluster = await self._described()
            try:
                async with asyncio.timeout(self._settings.connect_timeout_s) as self._connecting:
                    link, welcome = await self._greeted(session, stack, cluster)
            finally:
                self._connecting = None
            return await self._serve(link, welcome)

    async def _greeted(
        self,
        session: aiohttp.ClientSession,
        stack: contextlib.AsyncExitStack,
        cluster: dict[str, str],
    ) -> tuple[links.Link, links.Welcome]:
        """Connect and say hello; return the connection and the hub's welcome."""
        socket = await stack.enter_async_context(
            session.ws_connect(
                f"{self._settings.hub.rstrip('/')}/v1/agents/{self._settings.instance}",
                headers=self._headers(),
                ssl=self._tls if self._tls is not None else True,
                max_msg_size=2 * links.FRAME_BYTES,
                timeout=aiohttp.ClientWSTimeout(ws_close=links.CLOSE_S),
            )
        )
        hello = links.Hello(
            agent=self._process,
            version=await self._platform.version(),
            methods=protocol.methods_of(self._platform),
            cluster=cluster,
        )
        return await links.greet(socket, hello, self._clock)

    async def _described(self) -> dict[str, str]:
        """Return what is known of the cluster; one that does not answer keeps nobody waiting."""
        if self._describe is None:
            return {}
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DESCRIBE_S):
                return await self._describe()
        return {}

    def _headers(self) -> dict[str, str]:
        token = self._settings.token()
        return {"Authorization": f"Bearer {token}"} if token else {}

    async def _serve(self, link: links.Link, welcome: links.Welcome) -> str:
        self.epoch = welcome.epoch
        self._link = link
        self._say(f"connected to {self._settings.hub} as {self._settings.instance}")
        self.connected.set()
        farewell: list[errors.PlatformError] = []

        def take(message: links.Message) -> None:
            if isinstance(message, links.Bye):
                farewell.extend([message.error] if message.error is not None else [])
            else:
                self._take(message)

        try:
            async with asyncio.TaskGroup() as group:
                goodbye = group.create_task(self._leave_when_stopped(link))
                why = await link.run(take)
                goodbye.cancel()
        finally:
            self.connected.clear()
            self._link = None
        if farewell:
            raise farewell[0]
        return why

    async def _leave_when_stopped(self, link: links.Link) -> None:
        await self._stopping.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.drain_s):
                while self._under_way:
                    await asyncio.wait(self._under_way)
        link.end(links.Bye())

    # ------------------------------------------------------------------ requests

    def _take(self, message: links.Message) -> None:
        match message:
            case wire.Request():
                answer = self._desk.submit(message)
                self._under_way.add(answer)
                answer.add_done_callback(self._answer)
            case wire.Cancel():
                self._desk.cancel(message.id)
            case wire.Acknowledge():
                self._desk.acknowledge(message.id)
            case _:
                pass

    def _answer(self, answer: asyncio.Future[wire.Response]) -> None:
        """Send a response, over whichever connection there is; without one it is kept."""
        self._under_way.discard(answer)
        response = answer.result()
        if self._link is None:
            return
        try:
            self._link.send(wire.encode(response))
        except errors.InvalidRequestError as error:
            # Too long for a connection: whoever asked is told so.
            self._link.send(wire.encode(wire.Response(id=response.id, error=error)))

    def _say(self, state: str) -> None:
        self.state = state
        self._tell(state)


def _failed(name: str, error: BaseException) -> None:
    _log.error("%s ended: %s", name, error, exc_info=error)


def _failure(error: Exception) -> str:
    """Return why there is no connection, in a sentence."""
    if isinstance(error, aiohttp.WSServerHandshakeError):
        reasons = {
            401: "the hub does not know the agent's token",
            403: "the agent's token is for another instance",
            404: "there is no hub at this address",
        }
        return reasons.get(error.status, f"the hub answered {error.status}")
    if isinstance(error, TimeoutError):
        return "the hub did not answer in time"
    return f"the hub cannot be reached: {str(error) or type(error).__name__}"
