"""One watch: events from a revision on, filtered, in a bounded buffer that its reader empties.

Registering and taking the start state are one synchronous step of the view (`open_watch`), so
nothing falls between. A commit only appends to the buffer and calls `notify`; whoever serves the
watch (an HTTP stream, an async iterator, a controller) takes the items at its own pace. A buffer
that overflows ends this watch with `expired`: its reader lists again, no writer ever waits, no
event is dropped silently.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from understudy.kapi.resources import catalogue
from understudy.kapi.store import entries, logs
from understudy.kube import objects

ItemType = Literal["ADDED", "MODIFIED", "DELETED"]
BUFFER_EVENTS_MAX = 10_000
"""Events a reader may be behind. MinKAPI's 100 loses readers in a burst; 10,000 entries cost a
pointer each, the objects themselves being shared with the store or the log."""


class Item(NamedTuple):
    """One event as this watch shows it: a selector may turn MODIFIED into ADDED or DELETED.

    `event` is the commit behind it, None for the start state; an HTTP stream keeps shared frames
    there.
    """

    type: ItemType
    entry: entries.Entry
    event: logs.Event | None


Match = Callable[[entries.Entry], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """The state with which a watch begins.

    Attributes:
        items: What to send first.
        revision: The revision of that state; later events have greater ones.
        bookmark: Send the initial-events-end bookmark after the items.
    """

    items: tuple[Item, ...] = ()
    revision: int = 0
    bookmark: bool = False


class Watch:
    """A subscription with its buffer. Close it, or it stays registered.

    Attributes:
        start: The state it began with; its items are not in the buffer.
        notify: Called after an item was buffered or the watch was ended; set by the reader.
        expired: The buffer overflowed; what it still holds is valid, then comes 410.
        closed: No more items will come.
    """

    __slots__ = (
        "_match", "_revision", "_unsubscribe", "buffer", "buffer_events_max", "closed", "expired",
        "notify", "resource", "start",
    )  # fmt: skip

    def __init__(
        self,
        resource: catalogue.Resource,
        start: Start,
        match: Match | None,
        buffer_events_max: int = BUFFER_EVENTS_MAX,
    ) -> None:
        self.resource = resource
        self.start = start
        self.buffer: deque[Item] = deque()
        self.buffer_events_max = buffer_events_max
        self.notify: Callable[[], None] | None = None
        self.expired = False
        self.closed = False
        self._match = match
        self._revision = start.revision
        self._unsubscribe: Callable[[], None] | None = None

    def attach(self, unsubscribe: Callable[[], None]) -> None:
        """Remember how to leave the store's subscribers."""
        self._unsubscribe = unsubscribe

    def offer(self, event: logs.Event) -> None:
        """Take a committed event: called by the store, inside the commit."""
        if event.revision <= self._revision or self.closed or self.expired:
            # A watch may start from a revision that is still to come.
            return
        item = transition(event, self._match)
        if item is None:
            return
        if len(self.buffer) >= self.buffer_events_max:
            self.expired = True
            self._leave()
        else:
            self.buffer.append(item)
        if self.notify is not None:
            self.notify()

    def take(self) -> list[Item]:
        """Return and forget what is buffered."""
        items = list(self.buffer)
        self.buffer.clear()
        return items

    def close(self) -> None:
        """End the watch; harmless when repeated."""
        self.closed = True
        self._leave()
        if self.notify is not None:
            self.notify()

    def _leave(self) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None

    async def __aiter__(self) -> AsyncIterator[Item]:
        """Yield the start items, then events as they come, until closed or expired."""
        for item in self.start.items:
            yield item
        changed = asyncio.Event()
        self.notify = changed.set
        while True:
            changed.clear()
            for item in self.take():
                yield item
            if (self.closed or self.expired) and not self.buffer:
                return
            if not self.buffer:
                await changed.wait()


def transition(event: logs.Event, match: Match | None) -> Item | None:
    """Return an event as a watch with a selector shows it, None where it shows nothing.

    | before  | after   | shown    |
    | ------- | ------- | -------- |
    | no      | yes     | ADDED    |
    | yes     | yes     | MODIFIED |
    | yes     | no      | DELETED, with the object before the change and the change's revision |
    """
    if match is None:
        return Item(event.type, event.entry, event)
    before = event.previous is not None and match(event.previous)
    after = event.type != "DELETED" and match(event.entry)
    if after:
        return Item("MODIFIED" if before else "ADDED", event.entry, event)
    if not before:
        return None
    if event.type == "DELETED":
        return Item("DELETED", event.entry, event)
    assert event.previous is not None, "what matched before was there before"
    return Item("DELETED", restamped(event.previous, event.revision), None)


def restamped(entry: entries.Entry, revision: int) -> entries.Entry:
    """Return an entry with another resourceVersion, otherwise the same."""
    obj: objects.Object = entry.load()
    obj["metadata"]["resourceVersion"] = str(revision)
    return entries.Entry(entry.key, revision, entry.head, obj)
