"""Uniqueness in lists of type `set` (whole items) and `map` (their keys).

Source: k8s.io/apiextensions-apiserver 0.36 `schema/listtype`.
"""

from __future__ import annotations

import json

from understudy.kapi.resources.crds import nodes, paths
from understudy.kube import causes, objects, statuses


def duplicates(node: nodes.Node, value: objects.Json, path: str = "") -> list[statuses.Cause]:
    """Return a cause for each item that repeats an earlier one (once for each repeated value)."""
    out: list[statuses.Cause] = []
    if isinstance(value, dict):
        for name, item in value.items():
            sub = node.properties.get(name)
            if sub is not None:
                if isinstance(item, (dict, list)):
                    out += duplicates(sub, item, paths.child(path, name))
            elif node.additional is not None and isinstance(item, (dict, list)):
                out += duplicates(node.additional, item, paths.key(path, name))
    elif isinstance(value, list):
        if node.list_type == "set":
            repeated = _repeated([_identity(item) for item in value])
            out += [causes.duplicate(paths.index(path, i), value[i]) for i in repeated]
        elif node.list_type == "map":
            out += _map(node, value, path)
        if node.items is not None:
            for position, item in enumerate(value):
                if isinstance(item, (dict, list)):
                    out += duplicates(node.items, item, paths.index(path, position))
    return out


def _map(node: nodes.Node, value: list[objects.Json], path: str) -> list[statuses.Cause]:
    for position, item in enumerate(value):
        if item is not None and not isinstance(item, dict):
            text = "must be an object for an array of list-type map"
            return [causes.invalid(paths.index(path, position), item, text)]
    keys = [
        {name: item[name] for name in node.list_keys if item is not None and name in item}
        for item in value
    ]
    repeated = _repeated([_identity(key) for key in keys])
    return [causes.duplicate(paths.index(path, i), keys[i]) for i in repeated]


def _repeated(identities: list[objects.Json]) -> list[int]:
    """Return where a value stands for the second time."""
    if len(set(identities)) == len(identities):
        return []
    seen: dict[objects.Json, int] = {}
    out: list[int] = []
    for position, identity in enumerate(identities):
        seen[identity] = seen.get(identity, 0) + 1
        if seen[identity] == 2:
            out.append(position)
    return out


def _identity(item: objects.Json) -> objects.Json:
    if isinstance(item, (dict, list)):
        return json.dumps(item, sort_keys=True, separators=(",", ":"))
    return (type(item).__name__, item)
