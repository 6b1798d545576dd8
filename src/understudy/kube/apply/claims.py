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
    return _map_claims(shape, config)


def _map_claims(shape: shapes.Shape, value: objects.Object) -> fieldsets.Tree:
    out: fieldsets.Tree = {}
    for name, item in value.items():
        known = shape.fields.get(name)
        child = known or shape.values or shapes.UNTYPED
        empty = item is None or (isinstance(item, dict) and not item)
        node = _claims(child, item, member=known is None or empty)
        if node is not None:
            out[f"f:{name}"] = node
    return out


def _claims(shape: shapes.Shape, value: objects.Json, *, member: bool) -> fieldsets.Tree | None:
    """Return a value's node: itself if `member`, and what is below; None if it claims nothing."""
    inner: fieldsets.Tree = {}
    if isinstance(value, dict) and shape.has_map and not shape.map_atomic:
        inner = _map_claims(shape, value)
    elif isinstance(value, list) and shape.has_list and not shape.list_atomic:
        inner = _list_claims(shape, value)
    elif value is not None or shape.leaf or shape.scalar:
        member = True
    if member:
        return {".": {}} | inner if inner else {}
    return inner or None


def _list_claims(shape: shapes.Shape, items: list[objects.Json]) -> fieldsets.Tree:
    out: fieldsets.Tree = {}
    for item in items:
        step = shape.key(item)
        if step in out:
            out[step] = {}
            continue
        node = _claims(shape.items, item, member=True)
        assert node is not None, "an item of a list is claimed itself"
        out[step] = node
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
