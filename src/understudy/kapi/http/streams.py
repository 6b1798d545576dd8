"""Watches as chunked streams of JSON lines.

A commit only appends to each watch's buffer. At the end of that turn of the loop every watch with
something new is emptied, its events are encoded (once for all watches of the same form: the frame
is kept with the event for a while) and written in one piece. Large states and bursts go out bit by
bit, as fast as the peer reads; one that falls too far behind has its watch expire (410) and lists
again. No writer ever waits.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections import deque
from collections.abc import Callable, Sequence

import orjson

from understudy.kapi.http import exchanges, negotiation, responses, tables
from understudy.kapi.resources import catalogue
from understudy.kapi.resources.printers import registry
from understudy.kapi.store import entries, logs
from understudy.kapi.watch import watches
from understudy.kube import objects, statuses

INITIAL_EVENTS_END = "k8s.io/initial-events-end"
FRAMED_EVENTS_MAX = 512
"""Events whose frames are kept. Watches that keep up share them; those behind encode again."""


class Frames:
    """The frames of the newest events, kept with them: one encoding serves every watch."""

    __slots__ = ("_events",)

    def __init__(self) -> None:
        self._events: deque[logs.Event] = deque()

    def keep(self, event: logs.Event, key: tuple[object, ...], frame: bytes) -> None:
        """Remember a frame of an event; the oldest event's are forgotten."""
        if not event.frames:
            self._events.append(event)
            if len(self._events) > FRAMED_EVENTS_MAX:
                self._events.popleft().frames.clear()
        event.frames[key] = frame


class Form:
    """In which form a watch shows objects; equal forms share frames.

    `key` identifies the form among all that one event may be encoded in.
    """

    __slots__ = ("_first", "_frames", "_include", "_now", "_printer", "choice", "key", "resource")

    def __init__(
        self,
        resource: catalogue.Resource,
        choice: negotiation.Choice,
        include: str,
        now: Callable[[], dt.datetime],
        frames: Frames,
    ) -> None:
        self.resource = resource
        self.choice = choice
        self.key = (resource.api_version, resource.kind, choice.form, choice.form_version, include)
        self._include = include
        self._printer = registry.printer_for(resource)
        self._first = True
        self._now = now
        self._frames = frames

    def lacking(self, found: Sequence[entries.Entry]) -> list[entries.Entry]:
        """Return the entries that a webhook has to convert first."""
        version, conversion = self.resource.api_version, self.resource.conversion
        return [entry for entry in found if entry.lacks(version, conversion)]

    def frame(self, item: watches.Item) -> bytes:
        """Return an event as a framed line, from the event's shared frames where possible."""
        if self.choice.form == "Table" and self._first:
            # Only a stream's first Table has columns: that frame is this stream's own.
            self._first = False
            return exchanges.frame(self._line(item.type, self._table(item.entry, columns=True)))
        event = item.event
        if event is None:
            return exchanges.frame(self._line(item.type, self._body(item.entry)))
        key = (item.type, self.key)
        frame = event.frames.get(key)
        if frame is None:
            frame = exchanges.frame(self._line(item.type, self._body(item.entry)))
            self._frames.keep(event, key, frame)
        return frame

    def bookmark(self, revision: int, *, ends_initial: bool) -> bytes:
        """Return a framed BOOKMARK: an object with nothing but its version."""
        empty = _empty(self.resource)
        empty["metadata"] = {"resourceVersion": str(revision)}
        if ends_initial:
            empty["metadata"]["annotations"] = {INITIAL_EVENTS_END: "true"}
        if self.choice.form == "Table":
            columns, self._first = self._first, False
            shown = self._as_table(empty, columns=columns)
        elif self.choice.form:
            shown = tables.partial(empty, self.choice.form_version)
        else:
            shown = empty
        return exchanges.frame(self._line("BOOKMARK", orjson.dumps(shown)))

    def error(self, error: statuses.ApiError) -> bytes:
        """Return a framed ERROR event."""
        return exchanges.frame(self._line("ERROR", orjson.dumps(error.status())))

    @staticmethod
    def _line(type: str, body: bytes) -> bytes:
        return b'{"type":"%b","object":%b}\n' % (type.encode(), body)

    def _body(self, entry: entries.Entry) -> bytes:
        form = self.choice.form
        if not form:
            return entry.body(self.resource)
        if form == "Table":
            return self._table(entry, columns=False)
        return orjson.dumps(tables.partial(entry.object(self.resource), self.choice.form_version))

    def _table(self, entry: entries.Entry, *, columns: bool) -> bytes:
        return orjson.dumps(self._as_table(entry.object(self.resource), columns=columns))

    def _as_table(self, obj: objects.Object, *, columns: bool) -> objects.Object:
        return tables.table(
            self._printer,
            [obj],
            {"resourceVersion": objects.metadata(obj).get("resourceVersion", "")},
            self._now(),
            include=self._include,
            version=self.choice.form_version,
            with_columns=columns,
        )


def _empty(resource: catalogue.Resource) -> objects.Object:
    """Return an object with nothing set, as its kind's types print one (`"spec": {}`)."""
    api_version, kind = resource.api_version, resource.kind
    obj: objects.Object = {"kind": kind, "apiVersion": api_version, "metadata": {}}
    resource.strategy.decode(
        obj, resource.schema, mode="Ignore", api_version=api_version, kind=kind
    )
    return obj


Then = Callable[[statuses.ApiError | None], None]
Convert = Callable[[Sequence[entries.Entry], Then], None]
"""Has a webhook convert entries and calls back: with what went wrong, or None."""


class WatchStream(exchanges.Stream):
    """One watch on its way to one client."""

    __slots__ = (
        "_bookmark_every_s",
        "_convert",
        "_form",
        "_is_converting",
        "_loop",
        "_on_closed",
        "_revision",
        "_scheduled",
        "_sink",
        "_start",
        "_start_bookmark",
        "_timeout_s",
        "_timers",
        "_watch",
        "headers",
    )
    content_type = responses.JSON

    def __init__(
        self,
        watch: watches.Watch,
        form: Form,
        *,
        timeout_s: float,
        bookmark_every_s: float | None,
        revision: Callable[[], int],
        on_closed: Callable[[], None],
        headers: tuple[responses.Header, ...] = (),
        convert: Convert | None = None,
    ) -> None:
        self._watch = watch
        self._convert = convert
        self._is_converting = False
        self._form = form
        self._timeout_s = timeout_s
        self._bookmark_every_s = bookmark_every_s
        self._revision = revision
        self._on_closed = on_closed
        self._start: deque[watches.Item] = deque(watch.start.items)
        self._start_bookmark = watch.start.bookmark and bookmark_every_s is not None
        self._sink: exchanges.Sink | None = None
        self._scheduled = False
        self._timers: list[asyncio.TimerHandle] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self.headers = headers

    def opened(self, sink: exchanges.Sink) -> None:
        """Send the start state, then follow."""
        self._sink = sink
        self._loop = asyncio.get_running_loop()
        self._watch.notify = self._schedule
        self._timers = [self._loop.call_later(self._timeout_s, self._time_out)]
        if self._bookmark_every_s is not None:
            self._timers.append(self._loop.call_later(self._bookmark_every_s, self._bookmark))
        self._drain()

    def resumed(self) -> None:
        """Go on where a full connection stopped it."""
        self._schedule()

    def _is_open(self) -> bool:
        """Say whether the stream may still be written to: sending may end a slow peer's."""
        return self._sink is not None

    def closed(self) -> None:
        """Leave the view's watchers and stop the timers."""
        self._sink = None
        self._watch.notify = None
        self._watch.close()
        for timer in self._timers:
            timer.cancel()
        self._timers = []
        self._on_closed()

    def _schedule(self) -> None:
        if not self._scheduled and self._loop is not None:
            self._scheduled = True
            self._loop.call_soon(self._drain)

    def _drain(self) -> bool:
        """Send what waits, as far as the connection takes it; say whether all of it is out."""
        self._scheduled = False
        sink = self._sink
        if sink is None:
            return False
        if self._start or self._start_bookmark:
            self._send(sink, self._start)
            if self._start or not self._is_open():
                return False
            if self._start_bookmark:
                self._start_bookmark = False
                revision = self._watch.start.revision
                sink.send_framed(self._form.bookmark(revision, ends_initial=True))
        self._send(sink, self._watch.buffer)
        if self._watch.buffer or not self._is_open():
            return False
        if self._watch.expired:
            sink.send_framed(self._form.error(too_old()))
        if self._watch.expired or self._watch.closed:
            sink.finish()
        return True

    def _send(self, sink: exchanges.Sink, items: deque[watches.Item]) -> None:
        frame = self._form.frame
        while items:
            if sink.is_full():
                if not sink.is_blocked():
                    self._schedule()
                return
            if self._convert is not None and self._waits_for(self._convert, items):
                return
            sink.send_framed(frame(items.popleft()))
            if not self._is_open():
                return

    def _waits_for(self, convert: Convert, items: deque[watches.Item]) -> bool:
        """Say whether the next item has to be converted first; then so are all that wait."""
        if not self._is_converting and self._form.lacking([items[0].entry]):
            self._is_converting = True
            convert(self._form.lacking([item.entry for item in items]), self._converted)
        return self._is_converting

    def _converted(self, error: statuses.ApiError | None) -> None:
        self._is_converting = False
        if error is None:
            self._schedule()
        elif self._sink is not None:
            self._sink.send_framed(self._form.error(error))
            self._sink.finish()

    def _bookmark(self) -> None:
        if self._loop is None or self._bookmark_every_s is None:
            return
        # It promises that everything before it has been sent.
        if self._drain() and self._sink is not None:
            self._sink.send_framed(self._form.bookmark(self._revision(), ends_initial=False))
        if self._sink is not None:
            self._timers[1] = self._loop.call_later(self._bookmark_every_s, self._bookmark)

    def _time_out(self) -> None:
        sent = self._drain()
        if sent and self._sink is not None and self._bookmark_every_s is not None:
            self._sink.send_framed(self._form.bookmark(self._revision(), ends_initial=False))
        if self._sink is not None:
            self._sink.finish()


def too_old() -> statuses.ExpiredError:
    """Build what a watch that could not keep up ends with; the client lists again."""
    return statuses.ExpiredError("The resourceVersion for the provided watch is too old.")
