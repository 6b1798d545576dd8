"""A connection to NATS that comes back by itself, and never holds up who uses it.

The library's own reconnecting is off. It neither backs off nor varies its waits, ends for good
when a server refuses once, and waits for bytes to leave that a cut network will never take. So
every connection is a new client; subscriptions are made anew before anybody is told that it is up.

What is published while there is no connection, or no room, is lost at once: whoever needs an
answer sends again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable

import nats.errors
from nats.aio import (
    client as nats_clients,
    msg as nats_messages,
    subscription as nats_subscriptions,
)

from understudy.aio import clocks, ids as id_sources, tasks as task_sets
from understudy.platform import errors
from understudy.platform.bus import routing, settings as bus_settings

_log = logging.getLogger(__name__)
_FAILURES = (nats.errors.Error, OSError, TimeoutError)
_REFUSED = "Authorization"
BACKOFF_S = (0.05, 5.0)
"""Shortest and longest wait between two attempts to connect; it doubles, and is varied."""
CLOSE_S = 1.0
"""Longest time to write what is left, and to close."""
ENVELOPE_BYTES = 2048
"""Room for the head of a message beside its body."""


class Connection:
    """One connection to whichever server takes it.

    Args:
        subjects: What is subscribed to, on every connection.
        take: Gets subject and content of what comes; it must not wait.
        changed: Called when the connection is up, and when it is down.

    Attributes:
        up_since_s: When it came up, on the clock's monotonic scale; None while it is down.
    """

    def __init__(
        self,
        settings: bus_settings.NatsSettings,
        subjects: tuple[str, ...],
        *,
        take: Callable[[str, bytes], None],
        changed: Callable[[], None],
        clock: clocks.Clock,
        ids: id_sources.IdSource,
    ) -> None:
        self._settings = settings
        self._subjects = subjects
        self._take = take
        self._changed = changed
        self._clock = clock
        self._ids = ids
        self._tasks = task_sets.TaskSet(routing.failed)
        self._client: nats_clients.Client | None = None
        self._outgoing: deque[tuple[str, bytes]] = deque()
        self._outgoing_bytes = 0
        self._waiting = asyncio.Event()
        self._written = routing.Bell()
        self._broken = asyncio.Event()
        self._closing = False
        self._why = "it was not tried yet"
        self._first: asyncio.Event = asyncio.Event()
        self.up_since_s: float | None = None

    @property
    def why(self) -> str:
        """Why there is no connection, or why the last one ended."""
        return self._why

    @property
    def piece_bytes(self) -> int:
        """How much body one message can carry."""
        most = self._client.max_payload if self._client is not None else self._settings.piece_bytes
        return max(1, min(self._settings.piece_bytes, most - ENVELOPE_BYTES))

    async def open(self) -> None:
        """Connect.

        Raises:
            UnavailableError: No server could be reached in time; nothing is left running.
        """
        self._tasks.start("NATS connection", self._run())
        try:
            async with asyncio.timeout(self._settings.connect_timeout_s):
                await self._first.wait()
        except TimeoutError:
            await self.close()
            raise self.unreachable() from None

    def unreachable(self) -> errors.UnavailableError:
        """Return the error of a call for which there is no connection."""
        shown = ", ".join(server.rpartition("@")[2] for server in self._settings.servers)
        return errors.UnavailableError(
            f"NATS cannot be reached at {shown}: {self._why}",
            help="Check that the NATS server runs and its address is right, then try again.",
        )

    def publish(self, subject: str, data: bytes) -> bool:
        """Put a message on its way; False where it is lost at once."""
        # Callers wait for room before; what does not (heartbeats, answers) may take some more.
        if self.up_since_s is None or self._outgoing_bytes > 2 * self._settings.outgoing_bytes_max:
            return False
        self._outgoing.append((subject, data))
        self._outgoing_bytes += len(data)
        self._waiting.set()
        return True

    async def wait_for_room(self) -> None:
        """Return when something can be published, if there is a connection."""
        while self._outgoing_bytes > self._settings.outgoing_bytes_max:
            await self._written.wait()

    async def close(self) -> None:
        """Write what is left, as far as that takes no time, and end the connection."""
        client = self._client
        if client is not None:
            with contextlib.suppress(*_FAILURES):
                async with asyncio.timeout(CLOSE_S):
                    while self._outgoing_bytes:
                        await self._written.wait()
                    await client.flush()
        self._closing = True
        self._broken.set()
        self._go_down()
        await self._tasks.stop()

    # ------------------------------------------------------------------ one after another

    async def _run(self) -> None:
        shortest_s, longest_s = BACKOFF_S
        wait_s = shortest_s
        while not self._closing:
            client = nats_clients.Client()
            subscriptions: list[nats_subscriptions.Subscription] = []
            self._broken.clear()
            try:
                await self._connect(client, subscriptions)
                wait_s = shortest_s
                self._come_up(client)
                await self._hold(client)
                if not self._closing:
                    self._why = "the connection was lost"
            except Exception as error:  # noqa: BLE001 (the top of a task, which must outlive it)
                self._take_blame(error)
            finally:
                self._go_down()
                await _abandon(client, subscriptions)
            if not self._closing:
                _log.info("NATS: %s; trying again", self._why)
                await self._clock.sleep(wait_s * self._ids.integer(50, 100) / 100)
                wait_s = min(2 * wait_s, longest_s)

    async def _connect(
        self,
        client: nats_clients.Client,
        subscriptions: list[nats_subscriptions.Subscription],
    ) -> None:
        async with asyncio.timeout(self._settings.connect_timeout_s):
            await client.connect(
                servers=list(self._settings.servers),
                name="understudy",
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                # Whether the server is there is asked below, and this one would wait to close.
                ping_interval=1 << 30,
                error_cb=self._note,
                closed_cb=self._closed,
                tls=self._settings.tls,
                user_credentials=self._settings.credentials or None,
            )
            for subject in self._subjects:
                made = await client.subscribe(subject, cb=self._received)
                subscriptions.append(made)
            await client.flush()

    async def _hold(self, client: nats_clients.Client) -> None:
        """Return when the connection is broken: it says so, or does not answer in time."""
        step_s = self._settings.heartbeat_s / 2
        while not client.is_closed and not self._closing:
            try:
                async with asyncio.timeout(step_s):
                    await self._broken.wait()
            except TimeoutError:
                async with asyncio.timeout(step_s):
                    await client.flush()

    def _come_up(self, client: nats_clients.Client) -> None:
        self._client = client
        self._why = ""
        self.up_since_s = self._clock.monotonic()
        self._tasks.start("NATS writer", self._write(client))
        self._first.set()
        self._changed()

    def _go_down(self) -> None:
        if self.up_since_s is None:
            return
        self._client, self.up_since_s = None, None
        self._outgoing.clear()
        self._outgoing_bytes = 0
        self._waiting.set()
        self._written.ring()
        self._changed()

    async def _write(self, client: nats_clients.Client) -> None:
        # A task of its own: the library's publish swallows cancellations, and callers need theirs.
        while self._client is client:
            if not self._outgoing:
                self._waiting.clear()
                self._written.ring()
                await self._waiting.wait()
                continue
            subject, data = self._outgoing.popleft()
            try:
                await client.publish(subject, data)
            except _FAILURES as error:
                self._take_blame(error)
            if self._client is client:
                self._outgoing_bytes -= len(data)
                if self._outgoing_bytes <= self._settings.outgoing_bytes_max:
                    self._written.ring()

    async def _received(self, message: nats_messages.Msg) -> None:
        self._take(message.subject, message.data)

    async def _note(self, error: Exception) -> None:
        # The library reports what goes wrong in a subscriber's code here as well.
        if isinstance(error, _FAILURES):
            self._take_blame(error)
        else:
            routing.failed("a message's receipt", error)

    def _take_blame(self, error: Exception) -> None:
        """Remember why there is no connection; a refusal explains the resets that come with it."""
        said = str(error) or type(error).__name__
        if _REFUSED not in self._why or _REFUSED in said:
            self._why = said

    async def _closed(self) -> None:
        self._broken.set()


async def _abandon(
    client: nats_clients.Client, subscriptions: list[nats_subscriptions.Subscription]
) -> None:
    """End a client without waiting for what it cannot write.

    Its own `close` writes what is pending, waits for that, and only then ends its tasks: on a cut
    network it never gets there. So what is pending is dropped and the socket is cut off first.
    """
    client._pending, client._pending_data_size = [], 0  # noqa: SLF001
    writer = getattr(client._transport, "_io_writer", None)  # noqa: SLF001
    if isinstance(writer, asyncio.StreamWriter):
        writer.transport.abort()
    # Some of its versions fail here where they never connected; what counts is below.
    with contextlib.suppress(Exception):
        async with asyncio.timeout(CLOSE_S):
            await client.close()
    for subscription in subscriptions:
        subscription._stop_processing()  # noqa: SLF001
