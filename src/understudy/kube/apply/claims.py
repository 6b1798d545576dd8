"""The fields that an applied configuration claims, and a helper set for pruning.

    {"spec": {"ports": [{"port": 80}], "replicas": None}, "data": {}}

claims `.spec.ports[port=80,protocol="TCP"]`, its `.port`, `.spec.replicas` and `.data`: leaves,
items of lists, entries of maps, and whatever is null or empty. Mappings with named fields on the
way are not claimed.

Source: sigs.k8s.io/structured-merge-diff `typed/tofieldset.go`, `fieldpath/set.go`.
"""

from __future__ import annotations

from understudy.kube import objects
from understudy.kube.apply import fieldsets, shapes


def claimed(shape: shapes.Shape, config: objects.Object) -> fieldsets.Tree:
    """Return the set of fields that a configuration sets.

    Raises:
        ItemError: An item of a list does not say which one it is.
    """
    out: fieldsets.Tree = {}
    fields, values = shape.fields, shape.values or shapes.UNTYPED
    for name, item in config.items():
        known = fields.get(name)
        child = known or values
        if child.leaf or item is None:
            out[f"f:{name}"] = {}
            continue
        inner = _inner_claims(child, item)
        # An entry of a map is claimed itself; a named field by what it holds, or if it is empty.
        if known is None or (not inner and _is_leaf(child, item)):
            out[f"f:{name}"] = {".": {}} | inner if inner else {}
        elif inner:
            out[f"f:{name}"] = inner
    return out


def _is_leaf(shape: shapes.Shape, value: objects.Json) -> bool:
    """Say whether a value is claimed as such: scalars, what is owned whole, and empty mappings."""
    if isinstance(value, dict) and shape.has_map and not shape.map_atomic:
        return not value
    return not (isinstance(value, list) and shape.has_list and not shape.list_atomic)


def _inner_claims(shape: shapes.Shape, value: objects.Json) -> fieldsets.Tree:
    """Return what is claimed below a value; nothing for what is owned as a whole or not at all."""
    if isinstance(value, dict):
        return claimed(shape, value) if shape.has_map and not shape.map_atomic else {}
    if isinstance(value, list):
        return _list_claims(shape, value) if shape.has_list and not shape.list_atomic else {}
    return {}


def _list_claims(shape: shapes.Shape, items: list[objects.Json]) -> fieldsets.Tree:
    out: fieldsets.Tree = {}
    key, of_items = shape.key, shape.items
    for item in items:
        step = key(item)
        inner = {} if step in out or of_items.leaf else _inner_claims(of_items, item)
        out[step] = {".": {}} | inner if inner else {}
    return out


def with_named_parents(shape: shapes.Shape, tree: fieldsets.Tree) -> fieldsets.Tree:
    """Return the set with every named field on the way to a member as a member of its own.

    Pruning works with such sets: a mapping that only ever held pruned fields goes with them.
    """
    out: fieldsets.Tree = {}
    for step, node in tree.items():
        child = _step_shape(shape, step)
        inner = with_named_parents(child, node) if node else node
        named = step.startswith("f:") and step[2:] in shape.fields and shape.has_map
        if named and inner and "." not in inner:
            inner = {".": {}} | inner
        out[step] = inner
    return out


def _step_shape(shape: shapes.Shape, step: str) -> shapes.Shape:
    if step.startswith("f:"):
        return shape.child(step[2:]) or shapes.UNTYPED
    return shape.items if shape.has_list else shapes.UNTYPED


def reconciled(shape: shapes.Shape, tree: fieldsets.Tree) -> fieldsets.Tree:
    """Return the set as it must be after a schema change from granular to atomic.

    Who owned parts of what is now owned as a whole, owns that whole. The other direction needs
    nothing: an owner of the whole keeps just that.
    """
    out: fieldsets.Tree | None = None
    for step, node in tree.items():
        if not node or step == ".":
            continue
        child = _step_shape(shape, step) if step[:2] != "f:" else shape.child(step[2:])
        if child is None:
            continue
        changed: fieldsets.Tree = {} if _is_atomic(child) else reconciled(child, node)
        if changed is not node:
            if out is None:
                out = dict(tree)
            out[step] = changed
    return tree if out is None else out


def _is_atomic(shape: shapes.Shape) -> bool:
    if shape.has_map:
        return shape.map_atomic
    return shape.has_list and not shape.scalar and shape.list_atomic
