"""Pruning and defaulting: bringing an object into the form its schema gives it, in place.

One walk does what Kubernetes does in three: nulls that are not allowed go (or become the default),
absent fields get their default, fields that the schema does not know are removed and reported.
Idempotent. Source: k8s.io/apiextensions-apiserver 0.36 `schema/{defaulting,pruning}`.
"""

from __future__ import annotations

from understudy.kapi.resources.crds import nodes
from understudy.kube import objects


def normalize(node: nodes.Node, obj: objects.Object) -> list[str]:
    """Default and prune a whole resource; returns the paths of removed fields, sorted.

    apiVersion, kind and metadata are left alone. Example: `["spec.b", "spec.l[0].x", "top"]`.
    """
    default(node, obj)
    unknown: list[str] = []
    prune(node, obj, unknown, root=True)
    unknown.sort()
    return unknown


def default(node: nodes.Node, value: objects.Json) -> None:
    """Drop nulls that the schema does not allow and fill in defaults, in place."""
    if isinstance(value, dict):
        _default_object(node, value)
    elif isinstance(value, list) and node.items is not None:
        items = node.items
        for position, item in enumerate(value):
            if item is None and not items.nullable and items.default is not None:
                value[position] = objects.copy(items.default)
            if isinstance(value[position], (dict, list)):
                default(items, value[position])


def _default_object(node: nodes.Node, value: objects.Object) -> None:
    properties, additional = node.properties, node.additional
    if node.depth_defaults:
        for name, known in properties.items():
            if known.default is None:
                continue
            if name not in value or (value[name] is None and not known.nullable):
                value[name] = objects.copy(known.default)
    dropped: list[str] | None = None
    for name, found in value.items():
        if found is not None and not isinstance(found, (dict, list)):
            continue
        sub = properties.get(name) or additional
        if sub is None:
            continue
        item = found
        if item is None and not sub.nullable:
            if sub.default is None:
                dropped = [*(dropped or ()), name]
                continue
            item = value[name] = objects.copy(sub.default)
        if isinstance(item, (dict, list)):
            default(sub, item)
    for name in dropped or ():
        del value[name]


def prune(
    node: nodes.Node | None,
    value: objects.Json,
    unknown: list[str],
    path: str = "",
    *,
    root: bool = False,
) -> None:
    """Remove what the schema does not know, in place, and add its paths to `unknown`."""
    if isinstance(value, dict):
        _prune_object(node, value, unknown, path, root=root)
    elif isinstance(value, list):
        items = node.items if node is not None else None
        skipping = node is not None and node.preserve
        for position, item in enumerate(value):
            if not isinstance(item, (dict, list)):
                continue
            place = f"{path}[{position}]"
            if not skipping:
                prune(items, item, unknown, place)
            elif items is not None:
                _skip(items, item, unknown, place)


def _prune_object(
    node: nodes.Node | None,
    value: objects.Object,
    unknown: list[str],
    path: str,
    *,
    root: bool,
    keep: bool = False,
) -> None:
    if node is None:
        unknown.extend(_join(path, name) for name in value)
        value.clear()
        return
    embedded = root or node.embedded
    keep = keep or node.preserve
    properties, additional = node.properties, node.additional
    removed: list[str] | None = None
    for name, item in value.items():
        if embedded and name in nodes.META_FIELDS:
            continue
        sub = properties.get(name)
        if sub is not None:
            if isinstance(item, (dict, list)):
                prune(sub, item, unknown, _join(path, name))
        elif node.has_additional:
            if isinstance(item, (dict, list)):
                prune(additional, item, unknown, _join(path, name))
        elif not keep:
            removed = [*(removed or ()), name]
    for name in removed or ():
        del value[name]
        unknown.append(_join(path, name))


def _skip(node: nodes.Node, value: objects.Json, unknown: list[str], path: str) -> None:
    """Go on below a list whose unknown fields are kept: its items keep theirs too."""
    if isinstance(value, dict):
        _prune_object(node, value, unknown, path, root=False, keep=True)
    elif isinstance(value, list) and node.items is not None:
        for position, item in enumerate(value):
            _skip(node.items, item, unknown, f"{path}[{position}]")


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
