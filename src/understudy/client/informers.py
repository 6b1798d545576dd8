"""An `Informer` keeps a copy of one resource: list, then watch, on either transport.

    list (pages) -> watch from its revision -> ... -> the watch ends -> watch from the last revision
                                                   -> 410 Expired   -> list again

After a list that follows another, handlers get the difference (adds, updates, deletes), so a gap
in the watch is never a gap in what they were told. Handlers are synchronous functions called from
`run`; a handler that raises ends `run` with its exception, because a copy that half its readers
have missed is worse than none.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from understudy.aio import clocks
from understudy.client import errors, protocol
from understudy.kube import identities, objects, statuses

SHORT_WATCH_S = 1.0
"""A watch that ends sooner, with no event, is a failure: asking again at once would be a storm."""

Indexer = Callable[[objects.Object], Iterable[str]]
"""Returns the values under which an object is found, e.g. its node's name."""


class Handler:
    """What a reader wants to hear; override what matters. Objects are shared: never change one."""

    def added(self, obj: objects.Object) -> None:
        """Hear of an object for the first time."""

    def updated(self, old: objects.Object, new: objects.Object) -> None:
        """Hear of a change; also of no change, at each resync, with `old` the same as `new`."""

    def deleted(self, obj: objects.Object) -> None:
        """Hear that an object is gone; `obj` is its last known state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InformerSettings:
    """How an informer behaves.

    Attributes:
        page_items: Objects per list request; 500 is what client-go asks for.
        resync_s: Tell handlers of every object again after this time; 0 never.
        watch_s: Ask the server to end a watch after this time, so that a connection that died
            without a sign is noticed; 5 minutes, as client-go (which spreads over 5 to 10).
        backoff_first_s: Wait after the first failure; doubled for each further one in a row.
        backoff_max_s: The longest wait between attempts; client-go's 30 s.
    """

    page_items: int = 500
    resync_s: float = 0.0
    watch_s: int = 300
    backoff_first_s: float = 0.8
    backoff_max_s: float = 30.0


@dataclass(slots=True)
class _Cache:
    items: dict[identities.ObjectKey, objects.Object] = field(default_factory=dict)
    indexes: dict[str, dict[str, set[identities.ObjectKey]]] = field(default_factory=dict)


class Informer:
    """A live copy of the objects of one resource. `run` it in a task; cancelling ends it.

    Attributes:
        failures: Attempts that failed since the last that did not.
        last_error: Why the last attempt failed, None while all is well.
    """

    def __init__(
        self,
        client: protocol.Client,
        resource: str,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        indexers: Mapping[str, Indexer] | None = None,
        settings: InformerSettings | None = None,
        clock: clocks.Clock | None = None,
    ) -> None:
        self.resource = resource
        self.failures = 0
        self.last_error: Exception | None = None
        self._client = client
        self._namespace = namespace
        self._label_selector = label_selector
        self._field_selector = field_selector
        self._indexers = dict(indexers or {})
        self._settings = settings or InformerSettings()
        self._clock = clock or clocks.SystemClock()
        self._handlers: list[Handler] = []
        self._cache = _Cache(indexes={name: {} for name in self._indexers})
        self._synced = asyncio.Event()
        self._revision = ""

    # ------------------------------------------------------------------ reading the copy

    @property
    def is_synced(self) -> bool:
        """Whether the first list has been taken over."""
        return self._synced.is_set()

    @property
    def revision(self) -> str:
        """The resourceVersion up to which the copy is complete; empty before the first list."""
        return self._revision

    async def wait_synced(self) -> None:
        """Wait until the first list has been taken over."""
        await self._synced.wait()

    def get(self, name: str, namespace: str = "") -> objects.Object | None:
        """Return an object, shared and not to be changed, or None."""
        return self._cache.items.get(identities.ObjectKey(namespace, name))

    def __iter__(self) -> Iterator[objects.Object]:
        """Yield every object, in no particular order."""
        return iter(list(self._cache.items.values()))

    def __len__(self) -> int:
        return len(self._cache.items)

    def by_index(self, index: str, value: str) -> list[objects.Object]:
        """Return the objects for which an indexer gave `value`, ordered by key.

        Raises:
            KeyError: The informer was made without this index.
        """
        keys = self._cache.indexes[index].get(value, ())
        return [self._cache.items[key] for key in sorted(keys)]

    def add_handler(self, handler: Handler) -> None:
        """Tell `handler` of what is there, then of every change."""
        for obj in list(self._cache.items.values()):
            handler.added(obj)
        self._handlers.append(handler)

    # ------------------------------------------------------------------ keeping it

    async def run(self) -> None:
        """Keep the copy until cancelled. Failures to reach the server are waited out."""
        async with asyncio.TaskGroup() as group:
            if self._settings.resync_s:
                group.create_task(self._resync())
            group.create_task(self._follow())

    async def _follow(self) -> None:
        while True:
            try:
                if not self._revision:
                    await self._relist()
                await self._watch()
                self.failures, self.last_error = 0, None
            except statuses.ExpiredError:
                self._revision = ""
            except (statuses.ApiError, errors.TransportError) as error:
                self.last_error = error
                await self._clock.sleep(self._backoff())

    def _backoff(self) -> float:
        wait = self._settings.backoff_first_s * 2.0 ** min(self.failures, 16)
        self.failures += 1
        return min(wait, self._settings.backoff_max_s)

    async def _relist(self) -> None:
        found: dict[identities.ObjectKey, objects.Object] = {}
        token = ""
        while True:
            listing = await self._client.list(
                self.resource,
                namespace=self._namespace,
                label_selector=self._label_selector,
                field_selector=self._field_selector,
                limit=self._settings.page_items,
                continue_token=token,
            )
            found.update((_key(obj), obj) for obj in listing.items)
            token = listing.continue_token
            if not token:
                break
        for key in [key for key in self._cache.items if key not in found]:
            self._remove(key, self._cache.items[key])
        for obj in found.values():
            self._store(obj)
        self._revision = listing.resource_version
        self.failures, self.last_error = 0, None
        self._synced.set()

    async def _watch(self) -> None:
        events = self._client.watch(
            self.resource,
            namespace=self._namespace,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
            resource_version=self._revision,
            allow_bookmarks=True,
            timeout_s=self._settings.watch_s,
        )
        # A generator that is left alone keeps its connection until it is collected.
        began, count = self._clock.monotonic(), 0
        async with contextlib.aclosing(events) as stream:
            async for event in stream:
                self._take(event)
                count += 1
        if not count and self._clock.monotonic() - began < SHORT_WATCH_S:
            raise errors.StreamBrokenError("the server ended a watch as soon as it began")

    def _take(self, event: protocol.WatchEvent) -> None:
        obj = event.object
        match event.type:
            case "ADDED" | "MODIFIED":
                self._store(obj)
            case "DELETED":
                self._remove(_key(obj), obj)
            case "BOOKMARK":
                pass
            case "ERROR":
                raise statuses.from_status(obj)
            case _:
                raise errors.NotKubernetesError(f"a watch sent an event of type {event.type!r}")
        self._revision = str(objects.metadata(obj).get("resourceVersion") or self._revision)

    async def _resync(self) -> None:
        while True:
            await self._clock.sleep(self._settings.resync_s)
            for obj in list(self._cache.items.values()):
                for handler in self._handlers:
                    handler.updated(obj, obj)

    def _store(self, obj: objects.Object) -> None:
        key = _key(obj)
        old = self._cache.items.get(key)
        if old is not None:
            if _version(old) == _version(obj):
                return
            self._unindex(key, old)
        self._cache.items[key] = obj
        for name, indexer in self._indexers.items():
            for value in indexer(obj):
                self._cache.indexes[name].setdefault(value, set()).add(key)
        for handler in self._handlers:
            if old is None:
                handler.added(obj)
            else:
                handler.updated(old, obj)

    def _remove(self, key: identities.ObjectKey, last: objects.Object) -> None:
        old = self._cache.items.pop(key, None)
        if old is None:
            return
        self._unindex(key, old)
        for handler in self._handlers:
            handler.deleted(last)

    def _unindex(self, key: identities.ObjectKey, old: objects.Object) -> None:
        for name, indexer in self._indexers.items():
            for value in indexer(old):
                keys = self._cache.indexes[name].get(value)
                if keys is not None:
                    keys.discard(key)
                    if not keys:
                        del self._cache.indexes[name][value]


def _key(obj: objects.Object) -> identities.ObjectKey:
    return identities.ObjectKey(objects.namespace_of(obj), objects.name_of(obj))


def _version(obj: objects.Object) -> tuple[str, objects.Json]:
    return objects.uid_of(obj), objects.metadata(obj).get("resourceVersion")
