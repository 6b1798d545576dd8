"""What differs between a sandbox and its parent, and how it comes to be the parent's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from understudy.kapi.store import entries, stores, trees
from understudy.kube import identities, objects, statuses

if TYPE_CHECKING:
    from understudy.kapi.views import view as views

_NAMESPACES = identities.GroupResource("", "namespaces")
_CRDS = identities.GroupResource("apiextensions.k8s.io", "customresourcedefinitions")
Operation = Literal["created", "changed", "deleted"]


class Change(NamedTuple):
    """One object that differs: `before` is the parent's at the fork, `after` the sandbox's."""

    operation: Operation
    storage: identities.GroupResource
    key: str
    before: entries.Entry | None
    after: entries.Entry | None


@dataclass(frozen=True, slots=True)
class Diff:
    """Every object that differs, ordered by resource and key."""

    changes: tuple[Change, ...]

    def __bool__(self) -> bool:
        return bool(self.changes)

    def __iter__(self) -> Iterator[Change]:
        return iter(self.changes)


def content(entry: entries.Entry) -> objects.Object:
    """Return an object without what every write changes: resourceVersion and managedFields."""
    obj = entry.load()
    meta = obj["metadata"]
    meta.pop("resourceVersion", None)
    meta.pop("managedFields", None)
    return obj


def diff(view: views.View) -> Diff:
    """Compare a sandbox with what its parent had when each key was first touched."""
    return Diff(tuple(change for change, _ in _touched(view)))


def compare(before: stores.Store, after: stores.Store) -> Diff:
    """Return what differs between two states, of one view at two revisions or of two views."""
    changes: list[Change] = []
    for storage in sorted(before.storages() | after.storages()):
        found = trees.differences(before.tree(storage), after.tree(storage))
        for key, was, now in found:
            if was is not None and now is not None and content(was) == content(now):
                continue
            operation: Operation = (
                "created" if was is None else "deleted" if now is None else "changed"
            )
            changes.append(Change(operation, storage, key, was, now))
    return Diff(tuple(changes))


def _touched(view: views.View) -> Iterator[tuple[Change, stores.Touch]]:
    store = view.store
    for storage in sorted(store.touched):
        for key, touch in sorted(store.touched[storage].items()):
            before, after = touch.original, store.get(storage, key)
            if before is None and after is None:
                continue
            if before is not None and after is not None and content(before) == content(after):
                continue
            operation: Operation = (
                "created" if before is None else "deleted" if after is None else "changed"
            )
            yield Change(operation, storage, key, before, after), touch


def promote(view: views.View) -> Diff:
    """Apply a sandbox's delta to its parent, all of it or nothing; after that nothing differs.

    Raises:
        ConflictError: For each key that changed in the parent since the sandbox first touched
            it, or whose namespace or definition went, a cause that names the key and what
            happened on both sides.
    """
    parent = view.parent
    if parent is None:
        raise statuses.BadRequestError(
            f'view "{view.name}" is the base: only a sandbox can be promoted'
        )
    changes = [change for change, _ in _touched(view)]
    carried = {(change.storage, change.key) for change in changes}
    conflicts = [
        {
            "reason": "ParentChanged",
            "field": f"{change.storage} {change.key}",
            "message": f"{change.operation} in {view.name}, {told} in {parent.name}",
        }
        for change in changes
        if (told := _moved(parent, change) or _groundless(view, parent, change, carried))
    ]
    if conflicts:
        listed = "; ".join(f"{cause['field']}: {cause['message']}" for cause in conflicts)
        raise statuses.ConflictError(
            f'view "{view.name}" cannot be promoted: {listed}',
            details={"name": view.name, "kind": "views", "causes": conflicts},
        )
    parent.store.commit_all([commit for change in changes if (commit := _carried(parent, change))])
    view.store.commit_all([_settled(change) for change in changes])
    return Diff(tuple(changes))


def _settled(change: Change) -> stores.Commit:
    last = change.after or change.before
    assert last is not None, "a change has one side at least"
    return stores.Commit("settle", change.storage, last)


def _moved(parent: views.View, change: Change) -> str:
    """Say what the parent did to a key since the fork; empty where nothing, or the same."""
    now = parent.store.get(change.storage, change.key)
    if now is change.before:
        return ""
    if now is None:
        return "" if change.after is None else "deleted"
    if change.before is not None and content(now) == content(change.before):
        return ""
    if change.after is not None and content(now) == content(change.after):
        return ""
    return "created" if change.before is None else "changed"


def _groundless(
    view: views.View,
    parent: views.View,
    change: Change,
    carried: set[tuple[identities.GroupResource, str]],
) -> str:
    """Say what an object stands on here that the parent no longer has; empty where it has all."""
    if change.after is None:
        return ""
    namespace, _, _ = change.key.rpartition("/")
    group, plural = change.storage
    for storage, key, what in (
        (_NAMESPACES, namespace, f"its namespace {namespace}"),
        (_CRDS, f"{plural}.{group}", "its definition"),
    ):
        is_here = view.store.get(storage, key) is not None
        if is_here and parent.store.get(storage, key) is None and (storage, key) not in carried:
            return f"{what} deleted"
    return ""


def _carried(parent: views.View, change: Change) -> stores.Commit | None:
    """Return the parent's commit for a change; None where it is so already."""
    source = change.after or change.before
    assert source is not None, "a change has one side at least"
    if change.after is None and parent.store.get(change.storage, change.key) is None:
        return None
    obj = source.load()
    revision = parent.store.counter.take()
    obj["metadata"]["resourceVersion"] = str(revision)
    entry = entries.Entry(change.key, revision, source.head, obj)
    return stores.Commit("put" if change.after else "remove", change.storage, entry)
