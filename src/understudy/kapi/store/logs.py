"""The event log of one resource in one view: what changed, in order, as far back as is kept."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from operator import attrgetter
from typing import Literal

from understudy.kapi.store import entries
from understudy.kube import identities

EventType = Literal["ADDED", "MODIFIED", "DELETED"]

_revision = attrgetter("revision")


class Event:
    """One committed change.

    Attributes:
        revision: The change's own revision; of a deletion too.
        entry: The object after the change; for DELETED its last state, with the deletion's
            revision as resourceVersion.
        previous: The object before the change, None for ADDED.
        frames: Watch frames made of this event, shared by all watchers that want the same form.
    """

    __slots__ = ("entry", "frames", "previous", "revision", "storage", "type")

    def __init__(
        self,
        type: EventType,
        storage: identities.GroupResource,
        entry: entries.Entry,
        previous: entries.Entry | None,
    ) -> None:
        self.type: EventType = type
        self.storage = storage
        self.entry = entry
        self.previous = previous
        self.revision = entry.revision
        self.frames: dict[object, bytes] = {}


class Log:
    """A bounded list of events in the order of their revisions.

    `dropped_revision` is the revision up to which events are no longer known: whoever wants to
    go on from an older one must list again (410 Expired).
    """

    __slots__ = ("_events", "dropped_revision", "events_max")

    def __init__(self, events_max: int, dropped_revision: int) -> None:
        self._events: list[Event] = []
        self.events_max = events_max
        self.dropped_revision = dropped_revision

    def append(self, event: Event) -> None:
        """Add the newest event; drops the oldest half when twice the bound is reached."""
        self._events.append(event)
        if len(self._events) >= 2 * self.events_max:
            self.dropped_revision = self._events[self.events_max - 1].revision
            del self._events[: self.events_max]

    def after(self, revision: int) -> list[Event]:
        """Return the events with a revision greater than the given one."""
        return self._events[bisect_right(self._events, revision, key=_revision) :]

    def backwards(self) -> Iterator[Event]:
        """Yield events from the newest to the oldest."""
        return reversed(self._events)

    def __len__(self) -> int:
        return len(self._events)
