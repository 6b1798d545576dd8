"""Apps as they change: one copy of the cluster's state, any number of subscribers.

Three informers (Services, Revisions, pods) keep the copy, so neither an event nor a snapshot costs
a request. A change of any of them marks its app; marked apps are computed once per turn of the
event loop, and those that differ from before are passed on.

A subscriber holds no events, only the names of apps it has not been told the latest of, and what it
was told last. What it is told next is made when it asks: so a slow one merges states, never loses
one, needs memory for the apps and not for the events, and never sees time go backwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Self

from understudy.aio import clocks, tasks
from understudy.apps import domains, errors, keys, records, settings, statuses
from understudy.client import informers, protocol
from understudy.kube import objects, statuses as api
from understudy.kube.knative import keys as knative

_LOOK_S = 0.05
_HOPELESS = (api.ForbiddenError, api.UnauthorizedError, api.NotFoundError)
Scope = Callable[[records.Identifier], bool]


@dataclass(frozen=True, slots=True)
class _Known:
    """An app and the Service it came from: another uid is another life of the same name."""

    uid: str
    app: records.App


class Subscription(AsyncIterator[records.WatchResponse]):
    """What one subscriber hears; iterate it, and close it (or leave `async with`) when done."""

    def __init__(self, watcher: Watcher, scope: Scope, buffer_apps_max: int) -> None:
        self._watcher = watcher
        self._scope = scope
        self._buffer_apps_max = buffer_apps_max
        self._told: dict[str, _Known] = {}
        self._news: dict[str, None] = {}
        self._snapshot: dict[str, None] | None = None
        self._is_behind = False
        self._owes_synced = False
        self._wake = asyncio.Event()
        self._is_closed = False
        self._has_ended = False
        self._failure: errors.AppError | None = None

    def __aiter__(self) -> Subscription:
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    @property
    def is_closed(self) -> bool:
        """Whether it has been closed, by the subscriber or with the watcher."""
        return self._is_closed

    @property
    def depth(self) -> int:
        """How many apps have news that have not been asked for."""
        return len(self._news) + len(self._snapshot or ())

    async def __anext__(self) -> records.WatchResponse:
        """Return the next message; waits until there is one.

        Raises:
            StopAsyncIteration: Closed, or the watcher was stopped.
            AppError: The cluster does not allow to watch.
        """
        await self._watcher.start()
        while True:
            response = self._next()
            if response is not None:
                return response
            if self._failure is not None:
                raise self._failure
            if self._is_closed or self._has_ended:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()

    def close(self) -> None:
        """End the subscription; a reader that waits is let go. May be called again."""
        self._is_closed = True
        self._watcher.forget(self)
        self._news.clear()
        self._snapshot = None
        self._wake.set()

    # ------------------------------------------------------------------ the watcher's side

    def covers(self, app_id: records.Identifier) -> bool:
        """Say whether an app is within what was subscribed to."""
        return self._scope(app_id)

    def begin(self, names: Iterator[str]) -> None:
        """Deliver these apps as they are when asked for, then SYNCED."""
        if self._snapshot is None and not self._is_closed:
            self._snapshot = dict.fromkeys(names)
            self._owes_synced = True
            self._wake.set()

    def mark(self, name: str) -> None:
        """Note that an app has news."""
        if self._is_closed or name in self._news or name in (self._snapshot or ()):
            return
        self._news[name] = None
        if len(self._news) > self._buffer_apps_max and not self._is_behind:
            self._is_behind = True
        self._wake.set()

    def end(self, failure: errors.AppError | None = None) -> None:
        """Let the reader go: with the failure, or with the end of the iteration."""
        self._failure = self._failure or failure
        self._has_ended = True
        self._wake.set()

    # ------------------------------------------------------------------ inside

    def _next(self) -> records.WatchResponse | None:
        if self._is_closed or self._snapshot is None:
            return None
        while self._snapshot:
            name = next(iter(self._snapshot))
            del self._snapshot[name]
            response = self._difference(name)
            if response is not None:
                return response
        if self._owes_synced:
            self._owes_synced = False
            return records.WatchResponse(marker=records.Marker.SYNCED)
        if self._is_behind:
            # Up to here states were merged; what is marked by now, then SYNCED, is the present.
            self._is_behind = False
            self._snapshot = self._news
            self._news = {}
            self._owes_synced = True
            return records.WatchResponse(marker=records.Marker.RESYNC)
        while self._news:
            name = next(iter(self._news))
            del self._news[name]  # before it is looked at: a second life of the name comes back
            response = self._difference(name)
            if response is not None:
                return response
        return None

    def _difference(self, name: str) -> records.WatchResponse | None:
        """Return what the reader must hear to know the present state of an app, if anything."""
        present = self._watcher.known(name)
        if present is not None and not self.covers(present.app.id):
            present = None
        last = self._told.get(name)
        if last is not None and (present is None or present.uid != last.uid):
            del self._told[name]
            if present is not None:
                self._news[name] = None  # the new life of the name comes next
            return records.WatchResponse(delete_event=records.DeleteEvent(app=last.app))
        if present is None:
            return None
        self._told[name] = present
        if last is None:
            return records.WatchResponse(create_event=records.CreateEvent(app=present.app))
        if present.app == last.app:
            return None
        return records.WatchResponse(
            update_event=records.UpdateEvent(updated_app=present.app, old_app=last.app)
        )


class Watcher:
    """Keeps the copy and its subscribers; `start` and `stop` as often as wanted."""

    def __init__(
        self, client: protocol.Client, config: settings.AppSettings, clock: clocks.Clock
    ) -> None:
        self._client = client
        self._settings = config
        self._clock = clock
        self._subscriptions: dict[Subscription, None] = {}
        self._apps: dict[str, _Known] = {}
        self._marked: dict[str, None] = {}
        self._is_flush_due = False
        self._is_synced = False
        self._failure: errors.AppError | None = None
        self._tasks: tasks.TaskSet | None = None
        self._services: informers.Informer | None = None
        self._revisions: informers.Informer | None = None
        self._pods: informers.Informer | None = None
        self._domains: informers.Informer | None = None

    async def start(self) -> None:
        """Begin to follow the cluster; while it does, nothing happens."""
        if self._tasks is not None:
            return
        self._failure = None
        self._tasks = tasks.TaskSet(self._failed)
        self._services = self._informer(knative.SERVICES, f"{keys.MANAGED}=true")
        self._revisions = self._informer(knative.REVISIONS, knative.SERVICE, _service_label)
        self._pods = self._informer("pods", knative.SERVICE, _service_label)
        self._domains = self._informer(
            knative.DOMAIN_MAPPINGS, f"{keys.MANAGED}=true", _mapped_service
        )
        for informer in (self._services, self._revisions, self._pods, self._domains):
            self._tasks.start(f"apps: {informer.resource}", informer.run())
        self._tasks.start("apps: first state", self._await_sync())

    async def stop(self) -> None:
        """Stop following; subscribers get what they have news of, then the end."""
        running, self._tasks = self._tasks, None
        if running is None:
            return
        await running.stop()
        for subscription in list(self._subscriptions):
            subscription.end()
        self._subscriptions.clear()
        self._apps.clear()
        self._marked.clear()
        self._is_synced = False

    def subscribe(self, target: records.Identifier | str | None) -> Subscription:
        """Return a new subscription; it is heard of from when it is first read or `start`ed."""
        subscription = Subscription(self, _scope(target), self._settings.watch_buffer_size)
        self._subscriptions[subscription] = None
        if self._is_synced:
            subscription.begin(self._names(subscription))
        elif self._failure is not None and self._tasks is not None:
            subscription.end(self._failure)
        return subscription

    def forget(self, subscription: Subscription) -> None:
        """Tell a subscription nothing more."""
        self._subscriptions.pop(subscription, None)

    def known(self, name: str) -> _Known | None:
        """Return an app by its Service's name."""
        return self._apps.get(name)

    # ------------------------------------------------------------------ inside

    def _informer(
        self, resource: str, selector: str, indexer: informers.Indexer | None = None
    ) -> informers.Informer:
        informer = informers.Informer(
            self._client,
            resource,
            namespace=self._settings.namespace,
            label_selector=selector,
            indexers={"service": indexer} if indexer is not None else None,
            clock=self._clock,
        )
        informer.add_handler(_Marking(self._mark, indexer or _own_name))
        return informer

    async def _await_sync(self) -> None:
        """Tell subscribers the first state once it is complete, or why it cannot be had."""
        assert self._services is not None
        assert self._revisions is not None
        needed = (self._services, self._revisions)
        helpful = (self._pods, self._domains)
        while not (
            all(one.is_synced for one in needed)
            and all(one is None or one.is_synced or one.last_error for one in helpful)
        ):
            for informer in needed:
                error = informer.last_error
                if isinstance(error, _HOPELESS) and isinstance(error, api.ApiError):
                    self._give_up(errors.from_cluster("watch apps", error))
                    return
            await asyncio.sleep(_LOOK_S)
        self._flush()
        self._is_synced = True
        for subscription in self._subscriptions:
            subscription.begin(self._names(subscription))

    def _names(self, subscription: Subscription) -> Iterator[str]:
        return iter(
            [
                name
                for name, known in sorted(self._apps.items())
                if subscription.covers(known.app.id)
            ]
        )

    def _mark(self, names: list[str]) -> None:
        for name in names:
            self._marked[name] = None
        if not self._is_flush_due:
            self._is_flush_due = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flush_due = False
        marked, self._marked = self._marked, {}
        for name in marked:
            before = self._apps.get(name)
            after = self._compute(name)
            if after is None:
                self._apps.pop(name, None)
            else:
                self._apps[name] = after
            if before == after or not self._is_synced:
                continue
            for subscription in self._subscriptions:
                if any(one is not None and subscription.covers(one.app.id)
                       for one in (before, after)):  # fmt: skip
                    subscription.mark(name)

    def _compute(self, name: str) -> _Known | None:
        assert self._services is not None
        assert self._revisions is not None
        service = self._services.get(name, self._settings.namespace)
        if service is None:
            return None
        observed = statuses.Observed(
            service=service,
            revisions=self._revisions.by_index("service", name),
            pods=self._pods.by_index("service", name) if self._pods else (),
            domains=self._domains.by_index("service", name) if self._domains else (),
        )
        try:
            return _Known(objects.uid_of(service), statuses.app_of(observed, self._settings))
        except statuses.NotAnAppError:
            return None

    def _failed(self, name: str, error: BaseException) -> None:
        self._give_up(errors.AppInternalError(f"watch apps: {name} failed: {error!r}"))

    def _give_up(self, failure: errors.AppError) -> None:
        self._failure = failure
        for subscription in list(self._subscriptions):
            subscription.end(failure)


class _Marking(informers.Handler):
    """Turns what an informer tells into names of Services."""

    def __init__(self, mark: Callable[[list[str]], None], indexer: informers.Indexer) -> None:
        self._mark = mark
        self._indexer = indexer

    def added(self, obj: objects.Object) -> None:
        self._mark(list(self._indexer(obj)))

    def updated(self, old: objects.Object, new: objects.Object) -> None:
        self._mark([*self._indexer(old), *self._indexer(new)])

    def deleted(self, obj: objects.Object) -> None:
        self._mark(list(self._indexer(obj)))


def _own_name(obj: objects.Object) -> list[str]:
    return [objects.name_of(obj)]


def _service_label(obj: objects.Object) -> list[str]:
    name = objects.labels_of(obj).get(knative.SERVICE)
    return [name] if name else []


def _mapped_service(obj: objects.Object) -> list[str]:
    return [domains.target_of(obj)]


def _scope(target: records.Identifier | str | None) -> Scope:
    """Return what a subscription covers: an app, a project, a project's domain, or everything."""
    if isinstance(target, records.Identifier):
        wanted = (target.project, target.domain, target.name)
        org = target.org or "flyte"
        return lambda app_id: (
            (app_id.project, app_id.domain, app_id.name) == wanted and app_id.org == org
        )
    if not target:
        return lambda _: True
    parts = tuple(target.split("/"))
    if len(parts) > 3 or not all(parts):
        raise errors.AppInvalidError(
            "watch apps", [("target", f"{target!r} is not project, project/domain or an app's id")]
        )
    return lambda app_id: (app_id.project, app_id.domain, app_id.name)[: len(parts)] == parts
