"""The agents of one hub: who is connected, who was, and who takes whose place."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from understudy.aio import clocks, ids as id_sources
from understudy.kube import objects
from understudy.platform import errors, links
from understudy.platform.bus import protocol as buses
from understudy.platform.hub import sessions

LOST_MAX = 10_000
"""Instances that are gone and still known; the longest gone are forgotten first."""
KICKS_TOLD = 3
KICKS_WINDOW = dt.timedelta(minutes=10)
"""So many takeovers in so short a time are no restarts: two agents use one identity."""
ASKED_AT_ONCE = 16
"""Instances on other replicas whose version is asked for at once."""


@dataclass(slots=True)
class Entry:
    """What is known of an instance.

    Attributes:
        session: Its agent's, of this hub; None where it has none here.
        last_seen: When something was last heard of it here.
        broke_s: When its connection broke, on the clock's monotonic scale; None where it is there
            or went in order.
        kicks: When its connection was taken over by another process.
    """

    session: sessions.Session | None = None
    epoch: int = 0
    hello: links.Hello | None = None
    last_seen: dt.datetime | None = None
    broke_s: float | None = None
    reason: str = ""
    kicks: deque[dt.datetime] = field(default_factory=lambda: deque(maxlen=KICKS_TOLD))


class Roster:
    """Instances by name."""

    def __init__(
        self, bus: buses.MessageBus, *, clock: clocks.Clock, ids: id_sources.IdSource
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._ids = ids
        self._entries: dict[str, Entry] = {}

    async def join(
        self, instance: str, hello: links.Hello, link: links.Link
    ) -> tuple[sessions.Session, int]:
        """Return the session of an agent that has come, and its epoch.

        Raises:
            PlatformError: The bus cannot take it.
        """
        entry = self._entries.setdefault(instance, Entry())
        made = sessions.Session(instance, hello, link, clock=self._clock, ids=self._ids)
        before = entry.session
        if before is not None and before.hello.agent != hello.agent:
            entry.kicks.append(self._clock.now())
        subscription = await self._bus.subscribe(instance, made.platform)
        if subscription.epoch > entry.epoch:
            entry.session, entry.epoch, entry.hello = made, subscription.epoch, hello
        self._marry(made, subscription, entry)
        return made, subscription.epoch

    def _marry(
        self, session: sessions.Session, subscription: buses.Subscription, entry: Entry
    ) -> None:
        """Let session and subscription end together, whichever ends first."""

        def left(done: asyncio.Future[errors.PlatformError | None]) -> None:
            session.end(done.result() or errors.UnavailableError("the hub closed the connection"))

        def over(done: asyncio.Future[errors.PlatformError]) -> None:
            subscription.close()
            if entry.session is session:
                reason = done.result()
                if isinstance(reason, errors.KickedError):
                    # By an agent that has come to another replica.
                    entry.kicks.append(self._clock.now())
                entry.session, entry.reason = None, reason.message
                entry.last_seen = self._clock.now() - dt.timedelta(seconds=session.silent_s())
                entry.broke_s = self._clock.monotonic() if session.is_broken else None
            self._forget_longest_gone()

        subscription.done.add_done_callback(left)
        session.over.add_done_callback(over)

    def is_expected(self, instance: str, within_s: float) -> bool:
        """Whether an agent's connection broke a moment ago, so that it may be back in another."""
        entry = self._entries.get(instance)
        if entry is None or entry.session is not None or entry.broke_s is None:
            return False
        return self._clock.monotonic() - entry.broke_s < within_s

    def _forget_longest_gone(self) -> None:
        gone = [name for name, entry in self._entries.items() if entry.session is None]
        for name in gone[: max(0, len(gone) - LOST_MAX)]:
            del self._entries[name]

    def end(self, reason: errors.PlatformError) -> None:
        """End every session."""
        for entry in list(self._entries.values()):
            if entry.session is not None:
                entry.session.end(reason)

    # ------------------------------------------------------------------ telling

    async def list(self, names: Iterable[str]) -> list[objects.Object]:
        """Return what is known of these instances, and of all that were here, by name."""
        seen = {presence.instance for presence in await self._bus.presences()}
        wanted = sorted({*names, *self._entries, *seen})
        found: dict[str, objects.Object] = {}
        free = asyncio.Semaphore(ASKED_AT_ONCE)

        async def look(name: str) -> None:
            async with free:
                found[name] = await self.describe(name)

        async with asyncio.TaskGroup() as group:
            for name in wanted:
                group.create_task(look(name))
        return [found[name] for name in wanted]

    async def describe(self, instance: str) -> objects.Object:
        """Return what is known of one instance, wherever it is connected."""
        entry = self._entries.get(instance, Entry())
        if entry.session is not None:
            return self._here(entry, entry.session)
        presence = await self._bus.presence(instance)
        connected = presence.state == "connected"
        told: objects.Object = {
            "instance": instance,
            "state": presence.state,
            "epoch": presence.epoch,
            "reason": "" if connected else entry.reason or presence.reason,
            "lastSeen": presence.last_seen or None,
            **_of_agent(entry.hello),
            **self._note(entry),
        }
        if entry.last_seen is not None and not connected:
            told["lastSeen"] = clocks.rfc3339(entry.last_seen)
        if connected:
            told["version"] = await self._version(instance)
            told["methods"] = list(presence.methods)
        return told

    def _here(self, entry: Entry, session: sessions.Session) -> objects.Object:
        seen = self._clock.now() - dt.timedelta(seconds=session.silent_s())
        return {
            "instance": session.instance,
            "state": "connected",
            "epoch": entry.epoch,
            "reason": "",
            "lastSeen": clocks.rfc3339(seen),
            "since": clocks.rfc3339(session.since),
            "requests": session.waiting,
            **_of_agent(session.hello),
            **self._note(entry),
        }

    async def _version(self, instance: str) -> str:
        try:
            return await self._bus.version(instance)
        except errors.PlatformError:
            return ""

    def _note(self, entry: Entry) -> Mapping[str, str]:
        kicks = entry.kicks
        if len(kicks) == KICKS_TOLD and self._clock.now() - kicks[0] <= KICKS_WINDOW:
            return {"note": "two agents use this identity: they take each other's place"}
        return {}


def _of_agent(hello: links.Hello | None) -> objects.Object:
    if hello is None:
        return {"version": "", "methods": [], "cluster": {}}
    return {
        "version": hello.version,
        "methods": list(hello.methods),
        "cluster": dict(hello.cluster),
    }
