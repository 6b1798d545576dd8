"""Merging an applied configuration into a live object, and taking fields out of an object.

Both return new objects that share what did not change with their arguments. A list that is a map
or a set keeps the configuration's order for the configuration's items; live items that it does not
mention stay where they were among their neighbours, as far as that can be.

Source: sigs.k8s.io/structured-merge-diff `typed/merge.go`, `typed/remove.go`.
"""

from __future__ import annotations

from collections.abc import Iterator

from understudy.kube import objects
from understudy.kube.apply import fieldsets, shapes

_ABSENT = object()


def merged(shape: shapes.Shape, live: objects.Object, config: objects.Object) -> objects.Object:
    """Return the live object with every value of the configuration in it."""
    out = dict(live)
    fields, values = shape.fields, shape.values or shapes.UNTYPED
    for name, value in config.items():
        if name in live and not (child := fields.get(name) or values).leaf:
            out[name] = _merged_value(child, live[name], value)
        else:
            out[name] = value
    return out


def _merged_value(shape: shapes.Shape, live: objects.Json, value: objects.Json) -> objects.Json:
    if isinstance(live, dict) and shape.has_map and not shape.map_atomic:
        if isinstance(value, dict) and (live or value):
            return merged(shape, live, value)
        if value is None and live:
            # A null mapping claims the field and changes nothing below it.
            return live
    elif isinstance(live, list) and shape.has_list and not shape.list_atomic:
        if isinstance(value, list) and (live or value):
            return _merged_list(shape, live, value)
        if value is None and live and not shape.has_map:
            return live
    return value


def _merged_list(
    shape: shapes.Shape, live: list[objects.Json], config: list[objects.Json]
) -> list[objects.Json]:
    live_steps = [shape.key(item) for item in live]
    config_steps = [shape.key(item) for item in config]
    if live_steps == config_steps and len(set(live_steps)) == len(live_steps):
        return [
            _merged_value(shape.items, *pair) if not shape.items.leaf else pair[1]
            for pair in zip(live, config, strict=True)
        ]
    mine: dict[str, objects.Json] = dict(zip(config_steps, config, strict=True))
    theirs: dict[str, objects.Json] = {}
    for step, item in zip(live_steps, live, strict=True):
        # Items that claim the same place are not merged with: the new item replaces them all.
        theirs[step] = item if step not in theirs else _ABSENT
    out = []
    for step, index in _interleaved(live_steps, config_steps):
        if step not in mine:
            out.append(live[index])
        elif step in theirs and theirs[step] is not _ABSENT:
            out.append(_merged_value(shape.items, theirs[step], mine[step]))
        else:
            out.append(mine[step])
    return out


def _interleaved(live: list[str], config: list[str]) -> Iterator[tuple[str, int]]:
    """Yield each step once, in the merged order, with its index among the live ones (or -1).

    Walks both lists. Steps in both come as in `config`; a live step that `config` has too, but
    later than the next shared one, is passed over and comes when its turn is there.
    """
    in_live, in_config = set(live), set(config)
    shared = [step for step in config if step in in_live]
    next_shared = iter(shared)
    awaited = next(next_shared, None)
    done: set[str] = set()
    left = right = 0
    while left < len(live) or right < len(config):
        if left < len(live) and right < len(config):
            step = live[left]
            if step == config[right]:
                done.add(step)
                yield step, left
                left, right = left + 1, right + 1
                awaited = next(next_shared, None)
                continue
            if step in in_config and awaited is not None and awaited != step:
                left += 1
                continue
        if left < len(live):
            step = live[left]
            if step not in in_config:
                yield step, left
                left += 1
                continue
            if step in done:
                left += 1
        if right < len(config):
            step = config[right]
            done.add(step)
            yield step, -1
            right += 1
            if awaited == step:
                awaited = next(next_shared, None)


def removed(shape: shapes.Shape, value: objects.Object, tree: fieldsets.Tree) -> objects.Object:
    """Return an object without the members of a set (and everything below them)."""
    return _removed(shape, value, tree) or {}


def _removed(shape: shapes.Shape, value: objects.Json, tree: fieldsets.Tree) -> objects.Json:
    """Return what is left of a value; null when nothing is, as Kubernetes leaves it."""
    if isinstance(value, dict) and shape.has_map:
        return None if shape.map_atomic else _removed_entries(shape, value, tree) or None
    if isinstance(value, list) and shape.has_list:
        return None if shape.list_atomic else _removed_items(shape, value, tree) or None
    return value


def _removed_entries(
    shape: shapes.Shape, value: objects.Object, tree: fieldsets.Tree
) -> objects.Object:
    out = {}
    for name, item in value.items():
        node = tree.get(f"f:{name}")
        if node is None:
            out[name] = item
        elif node and "." not in node:
            child = shape.fields.get(name) or shape.values or shapes.UNTYPED
            out[name] = _removed(child, item, node)
    return out


def _removed_items(
    shape: shapes.Shape, items: list[objects.Json], tree: fieldsets.Tree
) -> list[objects.Json]:
    out = []
    for item in items:
        node = tree.get(shape.key(item))
        if node is None:
            out.append(item)
        elif node and "." not in node:
            out.append(_removed(shape.items, item, node))
    return out
