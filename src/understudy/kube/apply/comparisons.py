"""What a write changed: the fields added, modified and removed between two objects.

    old {"data": {"a": "1", "b": "1"}}    new {"data": {"a": "2"}, "type": "x"}

    added     {"f:type": {}}
    modified  {"f:data": {"f:a": {}}}
    removed   {"f:data": {"f:b": {}}}

Whole subtrees which are equal are skipped without a look at their fields.

Source: sigs.k8s.io/structured-merge-diff `typed/compare.go`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from understudy.kube import objects
from understudy.kube.apply import fieldsets, shapes


@dataclass(slots=True)
class Comparison:
    """Three sets of fields, each from the root."""

    added: fieldsets.Tree = field(default_factory=dict)
    modified: fieldsets.Tree = field(default_factory=dict)
    removed: fieldsets.Tree = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.added or self.modified or self.removed)

    @property
    def set(self) -> fieldsets.Tree:
        """The fields that now have another value than before, or have one at all."""
        return fieldsets.union(self.modified, self.added)

    def without(self, ignored: fieldsets.Tree) -> Comparison:
        """Return the comparison less some fields and everything below them."""
        if not ignored:
            return self
        return Comparison(
            fieldsets.without(self.added, ignored),
            fieldsets.without(self.modified, ignored),
            fieldsets.without(self.removed, ignored),
        )


def compare(shape: shapes.Shape, old: objects.Object, new: objects.Object) -> Comparison:
    """Compare two objects of one shape.

    Raises:
        ItemError: An item of a list does not say which one it is.
    """
    found = Comparison()
    _compare_maps(shape, old, new, found)
    return found


def equal(left: objects.Json, right: objects.Json) -> bool:
    """Say whether two JSON values are equal; 1 equals 1.0, but true is no number."""
    if left is right:
        return True
    if isinstance(left, dict):
        return (
            isinstance(right, dict)
            and left.keys() == right.keys()
            and all(equal(left[key], right[key]) for key in left)
        )
    if isinstance(left, list):
        return isinstance(right, list) and len(left) == len(right) and all(map(equal, left, right))
    return bool(left == right) and isinstance(left, bool) == isinstance(right, bool)


def _compare_values(
    shape: shapes.Shape, step: str, old: objects.Json, new: objects.Json, found: Comparison
) -> None:
    """Compare two values that are both there, and put what changed under their step."""
    if old is new or (shape.exact and old == new):
        return
    if shape.leaf:
        if not equal(old, new):
            found.modified[step] = {}
        return
    inner = Comparison()
    leaf = _compare_kind(shape, _kind(shape, old), old, new, inner)
    if shape.mixed and _kind(shape, new) != _kind(shape, old):
        # A value became one of another kind: what either kind sees is counted.
        leaf |= _compare_kind(shape, _kind(shape, new), old, new, inner)
    if inner.added:
        found.added[step] = inner.added
    if inner.removed:
        found.removed[step] = inner.removed
    if leaf:
        found.modified[step] = {".": {}} | inner.modified if inner.modified else {}
    elif inner.modified:
        found.modified[step] = inner.modified


def _kind(shape: shapes.Shape, value: objects.Json) -> str:
    """Return the kind by which a value is read: its own, if it may have that, else the first."""
    if isinstance(value, dict):
        if shape.has_map:
            return "map"
    elif isinstance(value, list):
        if shape.has_list:
            return "list"
    elif value is not None and shape.scalar:
        return "scalar"
    return "map" if shape.has_map else "scalar" if shape.scalar else "list"


def _compare_kind(
    shape: shapes.Shape, kind: str, old: objects.Json, new: objects.Json, found: Comparison
) -> bool:
    """Compare as one kind; say whether the value differs as a whole, as a leaf does."""
    if kind == "map" and not shape.map_atomic:
        before = old if isinstance(old, dict) else {}
        after = new if isinstance(new, dict) else {}
        if before or after:
            _compare_maps(shape, before, after, found)
            return False
    elif kind == "list" and not shape.list_atomic:
        before_items = old if isinstance(old, list) else []
        after_items = new if isinstance(new, list) else []
        if before_items or after_items:
            _compare_lists(shape, before_items, after_items, found)
            return False
    return not equal(old, new)


def _compare_maps(
    shape: shapes.Shape, old: objects.Object, new: objects.Object, found: Comparison
) -> None:
    fields, values = shape.fields, shape.values or shapes.UNTYPED
    for name, value in new.items():
        if name not in old:
            found.added[f"f:{name}"] = (fields.get(name) or values).added(value)
        elif (before := old[name]) is not value:
            _compare_values(fields.get(name) or values, f"f:{name}", before, value, found)
    for name, value in old.items():
        if name not in new:
            found.removed[f"f:{name}"] = (fields.get(name) or values).added(value)


def _compare_lists(
    shape: shapes.Shape, old: list[objects.Json], new: list[objects.Json], found: Comparison
) -> None:
    items = shape.items
    before, after = by_step(shape, old), by_step(shape, new)
    for step in before | after:
        olds, news = before.get(step, []), after.get(step, [])
        if len(olds) < 2 and len(news) < 2:
            if not olds:
                found.added[step] = items.added(news[0])
            elif not news:
                found.removed[step] = items.added(olds[0])
            else:
                _compare_values(items, step, olds[0], news[0], found)
        elif len(olds) > 1 and len(news) > 1:
            if not equal(olds, news):
                found.modified[step] = {}
        elif len(olds) > 1:
            # The place was claimed by several items: it as such goes, the one left is new.
            found.removed[step] = {}
            if news:
                node = items.added(news[0])
                found.added[step] = node
        else:
            found.added[step] = {}
            if olds:
                found.removed[step] = items.added(olds[0])


def by_step(shape: shapes.Shape, items: list[objects.Json]) -> dict[str, list[objects.Json]]:
    """Group a list's items by their steps; more than one in a group claim the same place."""
    groups: dict[str, list[objects.Json]] = {}
    key = shape.key
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups
