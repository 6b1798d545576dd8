"""A data directory: the newest snapshot, the journals since, and how a server comes back from them.

    LOCK                        held by the process that uses the folder
    snapshot-<revision>         every view as of a revision
    journal-<revision>          every commit after that revision, until the next journal's

Opening reads the newest finished snapshot and replays the journals after it. A torn last frame (the
process died while writing it, so it was never acknowledged) is cut, with a message. Snapshots are
written by a thread from roots that stay as they are, while the server goes on; when one is
finished, older files go.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import cast

from understudy.kapi.persistence import frames, journals, records, snapshots
from understudy.kapi.store import stores
from understudy.kapi.views import registries, view as views

JOURNAL_BYTES_MAX = 64 << 20
"""A snapshot is taken when the journal is larger than this and than twice the last snapshot: so
that replaying at start costs a second or two, and writing snapshots stays a small part of all."""

_log = logging.getLogger(__name__)


class FolderError(Exception):
    """The data directory cannot be used; the message says why and what to do."""


class Folder:
    """Keeps a server's views in a directory.

    Attributes:
        messages: What opening had to say (a torn tail that was cut).
    """

    def __init__(
        self,
        path: Path,
        *,
        sync_each: bool = False,
        journal_bytes_max: int = JOURNAL_BYTES_MAX,
    ) -> None:
        self.path = path
        self.messages: list[str] = []
        self._sync_each = sync_each
        self._journal_bytes_max = journal_bytes_max
        self._snapshot_bytes = 0
        self._journal: journals.Journal | None = None
        self._views: registries.Views | None = None
        self._writer: threading.Thread | None = None
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(path / "LOCK", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise FolderError(f"--data-dir {path}: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise FolderError(
                f"--data-dir {path} is used by another process: stop it or name another directory"
            ) from error

    # ------------------------------------------------------------------ opening

    def open(self, empty: Callable[[], views.View], sandboxes_max: int = 1_000) -> registries.Views:
        """Bring the views back, or begin with `empty()` where nothing was kept; then keep them.

        `empty` makes a base view; where there is a kept state its content is replaced.

        Raises:
            FolderError: A file is damaged elsewhere than at its end.
        """
        base = empty()
        registry = registries.Views(base, sandboxes_max)
        try:
            restored = self._restore(registry)
        except frames.DamagedError as error:
            raise FolderError(
                f"{error}: put a copy of the directory back, or move it away to begin anew"
            ) from error
        self._views = registry
        if restored:
            newest = max(self._files("journal"), default=None)
            path = newest or self._journal_path(base.store.counter.current)
            self._journal = journals.Journal(path, sync_each=self._sync_each)
            self._attach(registry)
        else:
            self.snapshot()
            self._attach(registry)
        return registry

    def _attach(self, registry: registries.Views) -> None:
        registry.changed.append(self._view_changed)
        for view in registry.all():
            view.store.journal = partial(self._keep, view.name)

    def _files(self, kind: str) -> list[Path]:
        return sorted(path for path in self.path.glob(f"{kind}-*") if path.suffix != ".unfinished")

    def _journal_path(self, revision: int) -> Path:
        return self.path / f"journal-{revision:020d}"

    def _restore(self, registry: registries.Views) -> bool:
        revision = -1
        for path in reversed(self._files("snapshot")):
            state = snapshots.read(path)
            if state is not None:
                revision = state.revision
                self._snapshot_bytes = path.stat().st_size
                _restore_views(registry, state)
                break
        found = self._files("journal")
        for path in found:
            if _revision_of(path) >= revision:
                self._replay(registry, path, last=path == found[-1])
        return revision >= 0 or bool(found)

    def _replay(self, registry: registries.Views, path: Path, *, last: bool) -> None:
        end = 0
        for after, payload in frames.read(path):
            end = after
            for change in records.parse(payload):
                _redo(registry, change)
        size = path.stat().st_size
        if end == size:
            return
        if not last:
            raise frames.DamagedError(f"{path} is damaged at byte {end}, before its end")
        os.truncate(path, end)
        message = (
            f"{path.name}: cut {size - end} bytes of a write that was never acknowledged, after "
            f"revision {registry.base.revision}"
        )
        self.messages.append(message)
        _log.warning("%s", message)

    # ------------------------------------------------------------------ keeping

    def _keep(self, view: str, commits: Sequence[stores.Commit]) -> None:
        assert self._journal is not None, "views are attached after the journal is open"
        if self._journal.size > max(self._journal_bytes_max, 2 * self._snapshot_bytes):
            self._snapshot_soon()
        self._journal.append(records.commits(view, commits))

    def _view_changed(self, what: str, view: views.View) -> None:
        assert self._journal is not None, "views are attached after the journal is open"
        if what != "deleted":
            view.store.journal = partial(self._keep, view.name)
        facts = {
            "parent": view.parent.name if view.parent is not None else "",
            "following": isinstance(view.store, stores.FollowingStore),
        }
        self._journal.append(records.about_view(what, view.name, facts))

    # ------------------------------------------------------------------ snapshots

    def snapshot(self) -> None:
        """Write a snapshot now and begin a new journal; returns when older files are gone."""
        self._snapshot_soon()
        if self._writer is not None:
            self._writer.join()

    def _snapshot_soon(self) -> None:
        assert self._views is not None, "the folder is open"
        if self._writer is not None and self._writer.is_alive():
            return
        state = _state_of(self._views)
        old = self._journal
        self._journal = journals.Journal(
            self._journal_path(state.revision), sync_each=self._sync_each
        )
        if old is not None and old.path != self._journal.path:
            old.close()
        self._writer = threading.Thread(
            target=self._write_snapshot, args=(state,), name="understudy-snapshot"
        )
        self._writer.start()

    def _write_snapshot(self, state: snapshots.ServerState) -> None:
        path = self.path / f"snapshot-{state.revision:020d}"
        try:
            self._snapshot_bytes = snapshots.write(path, state)
        except OSError as error:
            # The journals still hold everything; the next attempt comes with the next growth.
            _log.warning("no snapshot at %s: %s", path, error.strerror)
            return
        for old in self._files("journal") + self._files("snapshot"):
            if _revision_of(old) < state.revision:
                old.unlink(missing_ok=True)

    def close(self) -> None:
        """Stop keeping: wait for a snapshot under way, for the disk, and let the folder go."""
        if self._views is not None:
            for view in self._views.all():
                view.store.journal = None
            if self._view_changed in self._views.changed:
                self._views.changed.remove(self._view_changed)
        if self._writer is not None:
            self._writer.join()
        if self._journal is not None:
            self._journal.close()
            self._journal = None
        os.close(self._lock)


def _revision_of(path: Path) -> int:
    return int(path.name.partition("-")[2])


def _state_of(registry: registries.Views) -> snapshots.ServerState:
    states: list[snapshots.ViewState] = []

    def visit(view: views.View) -> None:
        store = view.store
        states.append(
            snapshots.ViewState(
                name=view.name,
                parent=view.parent.name if view.parent is not None else "",
                following=isinstance(store, stores.FollowingStore),
                fork_revision=store.fork_revision,
                changes=store.changes,
                roots=store.own_roots(),
                touched={storage: dict(keys) for storage, keys in store.touched.items()},
            )
        )
        for child in view.children.values():
            visit(child)

    visit(registry.base)
    return snapshots.ServerState(revision=registry.base.revision, views=tuple(states))


def _restore_views(registry: registries.Views, state: snapshots.ServerState) -> None:
    registry.base.store.counter.current = state.revision
    for kept in state.views:
        if not kept.parent:
            view = registry.base
        else:
            view = registry.create(kept.name, of=kept.parent, follow=kept.following)
            view.store.fork_revision = kept.fork_revision
        view.store.restore(kept.roots, kept.touched, kept.changes)


def _redo(registry: registries.Views, change: records.Change) -> None:
    if change.operation == "created":
        registry.create(change.view, of=change.facts["parent"], follow=change.facts["following"])
    elif change.operation == "reset":
        registry.reset(change.view)
    elif change.operation == "deleted":
        registry.delete(change.view)
    elif change.entry is not None:
        store = registry.get(change.view).store
        counter = store.counter
        counter.current = max(counter.current, change.entry.revision)
        operation = cast("stores.Operation", change.operation)
        store.commit_all([stores.Commit(operation, change.storage, change.entry)])
