"""What a view holds: trees, logs, and its relation to the view it was forked from.

All stores of a server share one `Counter`, so revisions are ordered across views. Three kinds:

    Store                 the base, or a *pinned* fork: owns a root per resource; forking copies the
                          roots (pointers), whatever the number of objects
    FollowingStore        reads through to its parent's present, except for keys touched here
    PastStore             begins with what its parent was at a kept revision

All remember for each key touched since the fork what the parent had then (`touched`): the
ground for `diff`, for `promote`'s conflicts, and for which parent events a follower still shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple

from understudy.kapi.store import entries, logs, trees
from understudy.kube import identities, statuses

Storage = identities.GroupResource
Subscriber = Callable[[logs.Event], None]
EMPTY: trees.Tree[entries.Entry] = trees.Tree()


class Counter:
    """The one source of revisions of a server. Starts at `start`; never goes back."""

    __slots__ = ("current",)

    def __init__(self, start: int = 1) -> None:
        self.current = start

    def take(self) -> int:
        """Return the next revision."""
        self.current += 1
        return self.current


class Touch(NamedTuple):
    """A key's first change in a fork: at which revision, and what the parent had before it."""

    revision: int
    original: entries.Entry | None


Operation = Literal["put", "remove", "settle"]


class Commit(NamedTuple):
    """One change about to be made.

    `put` an entry, `remove` leaving `entry` as last state, or `settle` the entry's key: see
    `Store.settle`.
    """

    operation: Operation
    storage: Storage
    entry: entries.Entry


Journal = Callable[[Sequence[Commit]], None]
"""Keeps commits before they are made; by raising, it stops them and nothing has changed."""


class Store:
    """Revisioned objects of one view: the base, or a pinned fork with roots of its own.

    Attributes:
        touched: By resource and key, the first change since the fork.
        journal: Asked before each commit; None where nothing outlives the process.
        log_start: The revision from which on this store has known every event.
    """

    __slots__ = (
        "_followers", "_logs", "_roots", "_subscribers", "changes", "counter", "events_max",
        "fork_revision", "journal", "log_start", "parent", "touched",
    )  # fmt: skip

    def __init__(
        self,
        counter: Counter,
        *,
        events_max: int,
        parent: Store | None = None,
        roots: dict[Storage, trees.Tree[entries.Entry]] | None = None,
    ) -> None:
        self.counter = counter
        self.events_max = events_max
        self.parent = parent
        self.fork_revision = counter.current
        self.touched: dict[Storage, dict[str, Touch]] = {}
        self.changes = 0
        self.journal: Journal | None = None
        # The base has known everything from the first revision on; a fork starts at the fork.
        self.log_start = counter.current if parent is not None else 0
        self._roots = roots if roots is not None else {}
        self._logs: dict[Storage, logs.Log] = {}
        self._subscribers: dict[Storage | None, list[Subscriber]] = {}
        self._followers: list[FollowingStore] = []

    # ------------------------------------------------------------------ reads

    @property
    def revision(self) -> int:
        """The revision this store's present is of."""
        return self.counter.current

    def tree(self, storage: Storage) -> trees.Tree[entries.Entry]:
        """Return the resource's present objects; the tree stays as it is whatever comes later."""
        return self._roots.get(storage, EMPTY)

    def get(self, storage: Storage, key: str) -> entries.Entry | None:
        """Return an object's present version, or None."""
        root = self._roots.get(storage)
        return root.get(key) if root is not None else None

    def storages(self) -> set[Storage]:
        """Return the resources of which there are, or were, objects."""
        return set(self._roots)

    def events_after(self, storage: Storage, revision: int) -> list[logs.Event] | None:
        """Return the events after a revision, oldest first, or None if some are forgotten."""
        log = self._logs.get(storage)
        if log is None:
            return [] if revision >= self.log_start else None
        return log.after(revision) if revision >= log.dropped_revision else None

    def oldest_revision(self, storage: Storage) -> int:
        """Return the revision from which on a resource's events are known."""
        log = self._logs.get(storage)
        return (log.dropped_revision if log is not None else self.log_start) + 1

    def tree_at(self, storage: Storage, revision: int) -> trees.Tree[entries.Entry] | None:
        """Return the objects as they were at a revision, or None if that is forgotten.

        Undoes the events since then on the present tree: costs the number of those events.
        """
        events = self.events_after(storage, revision)
        if events is None:
            return None
        tree = self.tree(storage)
        for event in reversed(events):
            key = event.entry.key
            tree = tree.delete(key) if event.previous is None else tree.set(key, event.previous)
        return tree

    # ------------------------------------------------------------------ writes

    def put(self, storage: Storage, entry: entries.Entry) -> logs.Event:
        """Commit an object's new version; its revision must have been taken from the counter."""
        if self.journal is not None:
            self.journal((Commit("put", storage, entry),))
        return self._put(storage, entry)

    def remove(self, storage: Storage, last: entries.Entry) -> logs.Event:
        """Commit a deletion; `last` is the final state, with the deletion's revision."""
        if self.journal is not None:
            self.journal((Commit("remove", storage, last),))
        return self._remove(storage, last)

    def commit_all(self, commits: Sequence[Commit]) -> None:
        """Make several changes as one: the journal keeps all of them, or none is made."""
        if self.journal is not None and commits:
            self.journal(commits)
        for commit in commits:
            if commit.operation == "put":
                self._put(commit.storage, commit.entry)
            elif commit.operation == "remove":
                self._remove(commit.storage, commit.entry)
            else:
                self.settle(commit.storage, commit.entry.key)

    def _put(self, storage: Storage, entry: entries.Entry) -> logs.Event:
        previous = self.get(storage, entry.key)
        self._touch(storage, entry.key, previous, entry.revision)
        self._place(storage, entry)
        kind: logs.EventType = "ADDED" if previous is None else "MODIFIED"
        return self._record(logs.Event(kind, storage, entry, previous))

    def _remove(self, storage: Storage, last: entries.Entry) -> logs.Event:
        previous = self.get(storage, last.key)
        assert previous is not None, f"removing {storage} {last.key}, which is not there"
        self._touch(storage, last.key, previous, last.revision)
        self._displace(storage, last.key)
        return self._record(logs.Event("DELETED", storage, last, previous))

    def settle(self, storage: Storage, key: str) -> None:
        """Take the parent's version of a key, which says the same, and count it as untouched.

        What a promotion ends with. Watchers are told of the revision that the object has now.
        """
        assert self.parent is not None, "only a fork has something to settle"
        previous, entry = self.get(storage, key), self.parent.get(storage, key)
        self._untouch(storage, key, entry)
        if entry is not None and entry is not previous:
            self._log(logs.Event("MODIFIED", storage, entry, previous))

    def _untouch(self, storage: Storage, key: str, entry: entries.Entry | None) -> None:
        self.touched.get(storage, {}).pop(key, None)
        if entry is not None:
            self._place(storage, entry)

    def _touch(
        self, storage: Storage, key: str, original: entries.Entry | None, revision: int
    ) -> None:
        if self.parent is not None:
            self.touched.setdefault(storage, {}).setdefault(key, Touch(revision, original))

    def _place(self, storage: Storage, entry: entries.Entry) -> None:
        self._roots[storage] = self._roots.get(storage, EMPTY).set(entry.key, entry)

    def _displace(self, storage: Storage, key: str) -> None:
        self._roots[storage] = self._roots[storage].delete(key)

    def _record(self, event: logs.Event) -> logs.Event:
        self.changes += 1
        self._log(event)
        return event

    def _log(self, event: logs.Event) -> None:
        log = self._logs.get(event.storage)
        if log is None:
            log = self._logs[event.storage] = logs.Log(self.events_max, self.log_start)
        log.append(event)
        self._tell(event)

    # ------------------------------------------------------------------ subscriptions

    def subscribe(self, storage: Storage | None, subscriber: Subscriber) -> Callable[[], None]:
        """Call `subscriber` with each later event of a resource (None: of all); returns the end.

        Subscribers run inside the commit: they must be quick and must not write.
        """
        listeners = self._subscribers.setdefault(storage, [])
        listeners.append(subscriber)

        def unsubscribe() -> None:
            if subscriber in listeners:
                listeners.remove(subscriber)

        return unsubscribe

    def _tell(self, event: logs.Event) -> None:
        for subscriber in tuple(self._subscribers.get(event.storage, ())):
            subscriber(event)
        for subscriber in tuple(self._subscribers.get(None, ())):
            subscriber(event)
        for follower in self._followers:
            follower.parent_changed(event)

    # ------------------------------------------------------------------ forks

    def fork(self) -> Store:
        """Return a pinned fork: this store's present, isolated from it in both directions."""
        return Store(self.counter, events_max=self.events_max, parent=self, roots=self.snapshot())

    def at(self, revision: int) -> PastStore:
        """Return a fork of the state at a revision; reads of what is forgotten raise."""
        return PastStore(self, revision)

    def follow(self) -> FollowingStore:
        """Return a fork that goes on showing this store's changes until it is closed."""
        follower = FollowingStore(self)
        self._followers.append(follower)
        return follower

    def snapshot(self) -> dict[Storage, trees.Tree[entries.Entry]]:
        """Return every resource's root; costs the number of resources, not of objects."""
        return dict(self._roots)

    def own_roots(self) -> dict[Storage, trees.Tree[entries.Entry]]:
        """Return the roots this store holds itself; a follower's are only what it touched."""
        return dict(self._roots)

    def restore(
        self,
        roots: dict[Storage, trees.Tree[entries.Entry]],
        touched: dict[Storage, dict[str, Touch]],
        changes: int,
    ) -> None:
        """Take over a state that was kept; events before it are not known."""
        self._roots = roots
        self.touched = touched
        self.changes = changes
        self.log_start = self.counter.current

    def forget(self, follower: FollowingStore) -> None:
        """Stop telling a follower."""
        if follower in self._followers:
            self._followers.remove(follower)

    def clear(self) -> Iterable[tuple[Storage, entries.Entry]]:
        """Return every present object with its storage, for a reset that deletes them."""
        return [(s, entry) for s in self.storages() for entry in self.tree(s).values()]


class FollowingStore(Store):
    """A fork that reads through to its parent's present, except for the keys touched here."""

    __slots__ = ("_hidden", "_merged")

    def __init__(self, parent: Store) -> None:
        super().__init__(parent.counter, events_max=parent.events_max, parent=parent)
        self.log_start = 0
        # By resource and key: from which revision to which the parent's events were not shown.
        self._hidden: dict[Storage, dict[str, list[tuple[int, int]]]] = {}
        self._merged: dict[
            Storage, tuple[trees.Tree[entries.Entry], int, trees.Tree[entries.Entry]]
        ] = {}

    @property
    def _above(self) -> Store:
        assert self.parent is not None, "a following store has a parent"
        return self.parent

    def get(self, storage: Storage, key: str) -> entries.Entry | None:
        if key in self.touched.get(storage, ()):
            return super().get(storage, key)
        return self._above.get(storage, key)

    def tree(self, storage: Storage) -> trees.Tree[entries.Entry]:
        above = self._above.tree(storage)
        touched = self.touched.get(storage)
        if not touched:
            return above
        cached = self._merged.get(storage)
        if cached is not None and cached[0] is above and cached[1] == self.changes:
            return cached[2]
        merged = above
        own = self._roots.get(storage, EMPTY)
        for key in touched:
            entry = own.get(key)
            merged = merged.delete(key) if entry is None else merged.set(key, entry)
        self._merged[storage] = (above, self.changes, merged)
        return merged

    def storages(self) -> set[Storage]:
        return set(self._roots) | self._above.storages()

    def events_after(self, storage: Storage, revision: int) -> list[logs.Event] | None:
        above = self._above.events_after(storage, revision)
        log = self._logs.get(storage)
        if above is None or (log is not None and revision < log.dropped_revision):
            return None
        own = log.after(revision) if log is not None else []
        shown = [event for event in above if self._shows(event)]
        return sorted((*shown, *own), key=lambda event: event.revision) if own else shown

    def oldest_revision(self, storage: Storage) -> int:
        return max(super().oldest_revision(storage), self._above.oldest_revision(storage))

    def _shows(self, event: logs.Event) -> bool:
        key, revision = event.entry.key, event.revision
        touch = self.touched.get(event.storage, {}).get(key)
        if touch is not None and revision >= touch.revision:
            return False
        hidden = self._hidden.get(event.storage, {}).get(key, ())
        return not any(start <= revision <= end for start, end in hidden)

    def parent_changed(self, event: logs.Event) -> None:
        """Pass a parent's event on to this view's watchers unless its key was touched here."""
        if event.entry.key not in self.touched.get(event.storage, ()):
            self._tell(event)

    def _displace(self, storage: Storage, key: str) -> None:
        root = self._roots.get(storage)
        if root is not None:
            self._roots[storage] = root.delete(key)

    def _untouch(self, storage: Storage, key: str, entry: entries.Entry | None) -> None:
        touch = self.touched.get(storage, {}).pop(key, None)
        if touch is None:
            return
        hidden = self._hidden.setdefault(storage, {}).setdefault(key, [])
        known = self._above.oldest_revision(storage)
        hidden[:] = [one for one in hidden if one[1] >= known]
        hidden.append((touch.revision, self.counter.current))
        self._displace(storage, key)

    def snapshot(self) -> dict[Storage, trees.Tree[entries.Entry]]:
        return {storage: self.tree(storage) for storage in self.storages()}


class PastStore(Store):
    """A fork of what its parent was at a revision; a resource's past is found when first read.

    Raises:
        ExpiredError: From reads of a resource whose state then is no longer kept.
    """

    __slots__ = ("_past_revision",)

    def __init__(self, parent: Store, revision: int) -> None:
        super().__init__(parent.counter, events_max=parent.events_max, parent=parent)
        self.log_start = self._past_revision = revision

    @property
    def revision(self) -> int:
        return self.counter.current if self.changes else self._past_revision

    def tree(self, storage: Storage) -> trees.Tree[entries.Entry]:
        found = self._roots.get(storage)
        if found is None:
            assert self.parent is not None, "a past is somebody's"
            found = self.parent.tree_at(storage, self._past_revision)
            if found is None:
                raise statuses.ExpiredError(
                    f"{storage} at revision {self._past_revision} is no longer kept: the oldest "
                    f"kept is {self.parent.oldest_revision(storage) - 1}"
                )
            self._roots[storage] = found
        return found

    def get(self, storage: Storage, key: str) -> entries.Entry | None:
        # Writes look before they place, so that what they add to is there.
        return self.tree(storage).get(key)

    def storages(self) -> set[Storage]:
        assert self.parent is not None, "a past is somebody's"
        return set(self._roots) | self.parent.storages()

    def snapshot(self) -> dict[Storage, trees.Tree[entries.Entry]]:
        return {storage: self.tree(storage) for storage in self.storages()}
