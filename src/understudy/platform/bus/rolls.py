"""Who is connected where, from what the buses say of their agents.

| what is heard                            | what it means                                        |
| ---------------------------------------- | ---------------------------------------------------- |
| an announcement of a newer connection    | that one is the instance's agent now                 |
| one of the same connection               | it is there; else it is lost in two heartbeats       |
| one of an older connection               | nothing: its bus will hear that it was replaced      |
| the end of the newest connection         | lost, at once, with the reason                       |

Newer is the higher epoch; of equal ones, the connection whose name is the greater. Epochs are wall
time in milliseconds, or one more than the newest that is known, so that the newest wins also among
buses that could not hear each other.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

from understudy.aio import clocks
from understudy.platform.bus import protocol as buses

SILENCE_BEATS = 2
"""So many heartbeats without a word, and an agent is lost."""
INSTANCES_MAX = 100_000
"""Instances that are remembered; of more, those that are longest lost are forgotten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """What a bus says of one connection.

    Attributes:
        connection: Names the connection; no other one ever has that name.
        bus: Names the bus that has it; letters go there.
        clock_s: The bus' monotonic time, for deadlines that it can tell by its own clock.
        heartbeat_s: How soon the next one comes.
        agent: Names the agent's process, if that is known.
        left: The connection has ended, for `reason`.
    """

    instance: str
    connection: str
    epoch: int
    bus: str
    clock_s: float
    heartbeat_s: float
    agent: str = ""
    methods: tuple[str, ...] = ()
    left: bool = False
    reason: str = ""

    @property
    def rank(self) -> tuple[int, str]:
        """Order of connections; the greatest is the newest."""
        return self.epoch, self.connection


@dataclass(slots=True)
class _Seen:
    """The newest connection of an instance.

    `ahead_s` is by how much its bus' clock is ahead of ours, at least: what travels is late.
    """

    newest: Announcement
    heard_s: float
    heard_at: dt.datetime
    ahead_s: float


class Roll:
    """What is known of every instance.

    Args:
        bus: The bus whose roll this is; of its own connections it needs no word.
    """

    def __init__(self, bus: str, clock: clocks.Clock) -> None:
        self._bus = bus
        self._clock = clock
        self._seen: dict[str, _Seen] = {}

    def hear(self, said: Announcement) -> bool:
        """Take note; say whether that changes who is connected."""
        now_s = self._clock.monotonic()
        seen = self._seen.get(said.instance)
        if seen is not None and said.rank < seen.newest.rank:
            return False
        ahead_s = said.clock_s - now_s
        is_same = seen is not None and said.connection == seen.newest.connection
        if seen is not None and is_same:
            if seen.newest.left:
                return False  # An announcement that was overtaken by the end.
            ahead_s = max(ahead_s, seen.ahead_s)
        was_connected = seen is not None and is_same and self._is_connected(seen)
        self._seen.pop(said.instance, None)
        self._seen[said.instance] = _Seen(said, now_s, self._clock.now(), ahead_s)
        self._forget()
        return said.left or not was_connected

    def connected(self, instance: str) -> Announcement | None:
        """Return the connection that is there now."""
        seen = self._seen.get(instance)
        return seen.newest if seen is not None and self._is_connected(seen) else None

    def newest(self, instance: str) -> Announcement | None:
        """Return the newest connection, there or not."""
        seen = self._seen.get(instance)
        return None if seen is None else seen.newest

    def silent_s(self, instance: str) -> float:
        """Return how long nothing has been heard of an instance."""
        seen = self._seen.get(instance)
        if seen is None or seen.newest.bus == self._bus:
            return 0.0
        return self._clock.monotonic() - seen.heard_s

    def is_known(self, instance: str, since_s: float) -> bool:
        """Say whether what is known of an instance was heard since a time, or is final."""
        seen = self._seen.get(instance)
        return seen is not None and (seen.newest.left or seen.heard_s >= since_s)

    def until_s(self, instance: str, left_s: float) -> float:
        """Return a time from now by the clock of the instance's bus; early rather than late."""
        seen = self._seen.get(instance)
        return self._clock.monotonic() + left_s + (seen.ahead_s if seen is not None else 0.0)

    def next_epoch(self, instance: str) -> int:
        """Return the epoch of a connection that is made now."""
        newest = self.newest(instance)
        now_ms = int(self._clock.now().timestamp() * 1000)
        return max(now_ms, newest.epoch + 1 if newest is not None else 0)

    def presence(self, instance: str) -> buses.Presence:
        """Return what is known of one instance."""
        seen = self._seen.get(instance)
        if seen is None:
            return buses.Presence(instance=instance, state="never_seen")
        is_connected, newest = self._is_connected(seen), seen.newest
        reason = newest.reason
        if not is_connected and not newest.left:
            reason = f"nothing was heard of it for {self.silent_s(instance):.1f} s"
        is_own = is_connected and newest.bus == self._bus
        return buses.Presence(
            instance=instance,
            state="connected" if is_connected else "lost",
            epoch=newest.epoch,
            reason=reason,
            agent=newest.agent,
            methods=newest.methods,
            last_seen=clocks.rfc3339(self._clock.now() if is_own else seen.heard_at),
        )

    def __iter__(self) -> Iterator[str]:
        """Iterate over the instances, by name."""
        return iter(sorted(self._seen))

    def _is_connected(self, seen: _Seen) -> bool:
        if seen.newest.left:
            return False
        silence_s = SILENCE_BEATS * seen.newest.heartbeat_s
        is_heard = self._clock.monotonic() - seen.heard_s <= silence_s
        return is_heard or seen.newest.bus == self._bus

    def _forget(self) -> None:
        for instance in list(self._seen) if len(self._seen) > INSTANCES_MAX else ():
            if not self._is_connected(self._seen[instance]):
                del self._seen[instance]
                return
