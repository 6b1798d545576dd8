"""Ownership after creates, updates and patches: who writes a field differently, owns it.

The writer's entry gains the fields that the write added or modified; every other manager loses
those, and all managers lose the fields that are gone. Entries without fields go. Fields that the
write could not set (`resets`) do not count, metadata that the server keeps never does.

Source: k8s.io/apimachinery `pkg/util/managedfields/internal` (the chain of managers) and
sigs.k8s.io/structured-merge-diff `merge/update.go`.
"""

from __future__ import annotations

from typing import Protocol

from understudy.kube import objects, schemas
from understudy.kube.apply import claims, comparisons, fieldsets, managers, resets, shapes

_KEPT_BY_SERVER = fieldsets.of(
    ("f:apiVersion",),
    ("f:kind",),
    ("f:metadata",),
    *(
        ("f:metadata", f"f:{name}")
        for name in (
            "name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName",
            "generation", "managedFields", "resourceVersion",
        )
    ),
)  # fmt: skip
"""Fields that nobody owns."""


class Versions(Protocol):
    """Conversion of objects for managers that wrote in another version of the kind."""

    def convert(
        self, obj: objects.Object, api_version: str
    ) -> tuple[objects.Object, schemas.Schema] | None:
        """Return the object in a version, with its schema; None if it is not served any more."""
        ...


def track_update(
    old: objects.Object | None,
    new: objects.Object,
    *,
    schema: schemas.Schema,
    manager: str,
    api_version: str,
    subresource: str,
    now: str,
    reset: resets.Resets = resets.NOTHING,
    versions: Versions | None = None,
) -> None:
    """Set metadata.managedFields of a written object, in place.

    To be called when the new object is decoded and defaulted, before admission and the kind's
    strategy change it: what they set has no owner. On a create `old` is None. managedFields that
    came with the new object replace the old ones if they can be read, but not through a
    subresource; a list of one empty entry drops all entries.

    Args:
        old: The object as it was, in the same version; not modified.
        new: The object as it is to be; its metadata is a mapping of its own.
        schema: Of the version that both are in.
        manager: The client's fieldManager, or the name in its User-Agent.
        api_version: The version that both are in, e.g. `apps/v1`.
        subresource: Through which the write came; empty for the main resource.
        now: Time of the write (RFC 3339).
        reset: The fields that such a write cannot set.
        versions: For entries in other versions; without it they are taken to be in this one.
    """
    meta = new["metadata"]
    sent = meta.pop("managedFields", None)
    shape = shapes.root(schema)
    who = managers.identity("Update", manager, api_version, subresource)
    try:
        if old is None and not sent:
            fields = stripped(reset.kept(shapes.created(shape, new, shape.blank or {})))
            current = {who: managers.Entry(fields, api_version, now)} if fields else {}
        else:
            before = old if old is not None else shape.blank or {}
            found = comparisons.compare(shape, before, new)
            stored = old["metadata"].get("managedFields") if old is not None else None
            started = _current(stored, sent, subresource)
            if started is None or (not started and old is not None and old["metadata"].get("uid")):
                # Entries dropped on purpose, or an object that never had any: it stays without.
                return
            current = started
            if found:
                change = Change(shape, found, before, new, api_version, reset, versions)
                current = updated(started, who, change, now)
    except shapes.ItemError:
        # What cannot be compared has no owners; the write itself is judged elsewhere.
        return
    if current:
        meta["managedFields"] = managers.encode(current)


def _current(
    stored: objects.Json, sent: objects.Json, subresource: str
) -> managers.Managers | None:
    """Return the entries to start from; None where the client asks for none."""
    if sent and not subresource:
        if len(sent) == 1 and not any(sent[0].values()):
            return None
        if sent != stored:
            try:
                if decoded := managers.decode(sent):
                    return decoded
            except managers.ManagedFieldsError:
                pass
    try:
        return managers.decode(stored, trusted=True)
    except managers.ManagedFieldsError:
        return {}


class Change:
    """A change as seen in each version, worked out when first asked for."""

    __slots__ = ("_by_version", "_new", "_old", "_reset", "_versions", "found", "shape", "version")

    def __init__(
        self,
        shape: shapes.Shape,
        found: comparisons.Comparison,
        old: objects.Object,
        new: objects.Object,
        version: str,
        reset: resets.Resets,
        versions: Versions | None,
    ) -> None:
        self.shape, self.found, self.version = shape, found, version
        self._old, self._new, self._reset, self._versions = old, new, reset, versions
        self._by_version: dict[str, comparisons.Comparison | None] = {version: reset.kept_of(found)}

    @property
    def counting(self) -> comparisons.Comparison:
        """The change in the version written in, less the fields that do not count."""
        found = self.seen_in(self.version)
        assert found is not None, "the version written in is served"
        return found

    def seen_in(self, version: str) -> comparisons.Comparison | None:
        """Return the change in a version; None if that is not served any more."""
        if self._versions is None:
            version = self.version
        elif version not in self._by_version:
            self._by_version[version] = self._converted(version)
        return self._by_version[version]

    def _converted(self, version: str) -> comparisons.Comparison | None:
        assert self._versions is not None, "asked for by seen_in only"
        old = self._versions.convert(self._old, version)
        new = self._versions.convert(self._new, version)
        if old is None or new is None:
            return None
        shape = shapes.root(new[1])
        return self._reset.kept_of(comparisons.compare(shape, old[0], new[0]))


def updated(
    current: managers.Managers, who: managers.Identity, change: Change, now: str
) -> managers.Managers:
    """Return the entries after a change by one updater."""
    out = yielded(current, change.seen_in, shape=change.shape)
    mine = fieldsets.difference(change.counting.set, _KEPT_BY_SERVER)
    if mine:
        previous = out.get(who)
        if previous is not None:
            mine = fieldsets.union(mine, previous.fields)
        out[who] = managers.Entry(mine, change.version, now)
    return managers.capped(out)


class Seen(Protocol):
    """A change in a version, or None where the version is not served any more."""

    def __call__(self, version: str, /) -> comparisons.Comparison | None: ...


def yielded(current: managers.Managers, seen_in: Seen, *, shape: shapes.Shape) -> managers.Managers:
    """Return the entries less the fields that a change gives to another, or takes away."""
    out: managers.Managers = {}
    for who, entry in current.items():
        found = seen_in(entry.api_version)
        if found is None:
            continue
        fields = entry.fields
        if shape.changing:
            fields = claims.reconciled(shape, fields)
        fields = fieldsets.difference(fields, found.modified)
        fields = fieldsets.difference(fields, found.added)
        fields = fieldsets.difference(fields, found.removed)
        if fields is entry.fields:
            out[who] = entry
        elif fields:
            out[who] = managers.Entry(fields, entry.api_version, entry.time)
    return out


def stripped(tree: fieldsets.Tree) -> fieldsets.Tree:
    """Return a set without the fields that nobody owns."""
    return fieldsets.difference(tree, _KEPT_BY_SERVER)
