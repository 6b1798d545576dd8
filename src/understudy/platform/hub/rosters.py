"""The agents of one hub: who is connected, who was, and who takes whose place."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections import deque
from collections.abc import Callable, Iterable, Mapping
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
        kicks: When its connection was taken over by another process.
    """

    session: sessions.Session | None = None
    epoch: int = 0
    hello: links.Hello | None = None
    last_seen: dt.datetime | None = None
    reason: str = ""
    kicks: deque[dt.datetime] = field(default_factory=lambda: deque(maxlen=KICKS_TOLD))


class Roster:
    """Instances by name.

    Args:
        on_kick: Called for every connection that was taken over.
    """

    def __init__(
        self,
        bus: buses.MessageBus,
        *,
        clock: clocks.Clock,
        ids: id_sources.IdSource,
        on_kick: Callable[[], None],
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._ids = ids
        self._on_kick = on_kick
        self._entries: dict[str, Entry] = {}

    @property
    def connected(self) -> int:
        """How many instances have a session here."""
        return sum(entry.session is not None for entry in self._entries.values())

    async def join(self, instance: str, hello: links.Hello) -> tuple[sessions.Session, int]:
        """Return the session of an agent that has come, and its epoch: its old one, or a new one.

        Raises:
            PlatformError: The bus cannot take it.
        """
        entry = self._entries.setdefault(instance, Entry())
        present = entry.session
        if present is not None and present.hello.agent == hello.agent:
            return present, entry.epoch
        made = sessions.Session(instance, hello, clock=self._clock, ids=self._ids)
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
            now, reason = self._clock.now(), done.result()
            if isinstance(reason, errors.KickedError):
                entry.kicks.append(now)
                self._on_kick()
            if entry.session is session:
                entry.session = None
                entry.last_seen = now - dt.timedelta(seconds=session.silent_s())
                entry.reason = reason.message
            self._forget_longest_gone()

        subscription.done.add_done_callback(left)
        session.over.add_done_callback(over)

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
        wanted = sorted({*names, *self._entries})
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
        last = entry.last_seen
        told: objects.Object = {
            "instance": instance,
            "state": presence.state,
            "epoch": presence.epoch,
            "reason": entry.reason or presence.reason,
            "lastSeen": clocks.rfc3339(last) if last else None,
            **_of_agent(entry.hello),
            **self._note(entry),
        }
        if presence.state == "connected":
            told |= {"reason": "", "lastSeen": clocks.rfc3339(self._clock.now())}
            told["version"] = await self._version(instance)
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
            "connections": session.connections,
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
