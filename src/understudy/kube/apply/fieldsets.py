"""Sets of fields as trees, in the very form in which managedFields write them (fieldsV1).

    {"f:data": {".": {}, "f:a": {}}, "f:spec": {"f:ports": {'k:{"port":80}': {"f:name": {}}}}}

is the set of `.data`, `.data.a` and `.spec.ports[port=80].name`. A node stands for its path and is
a member of the set when it is empty or has a `.`; a node with children but without `.` is only on
the way to members. A tree without any node is the empty set. Steps are

    f:name         a field of a mapping
    k:{"a":1}      an item of a list that is a map, by its keys (sorted, compact JSON)
    v:"x"          an item of a list that is a set, by its value
    i:0            an item by position; read, never written

Trees are never modified once built; results share nodes with their arguments.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from json import encoder
from typing import TypeAlias

from understudy.kube import goformats, objects

Tree: TypeAlias = dict[str, "Tree"]
Path: TypeAlias = tuple[str, ...]

MEMBER = "."


class FieldsError(ValueError):
    """A text or tree that is no fieldsV1."""


# ---------------------------------------------------------------------- algebra


def union(left: Tree, right: Tree) -> Tree:
    """Return the paths in either set."""
    if not left or not right:
        return left or right
    out = dict(left)
    for step, node in right.items():
        mine = out.get(step)
        out[step] = node if mine is None else _joined(mine, node)
    return out


def _joined(left: Tree, right: Tree) -> Tree:
    if left is right:
        return left
    if not left:
        return right if not right or MEMBER in right else {MEMBER: {}} | right
    if not right:
        return left if MEMBER in left else {MEMBER: {}} | left
    return union(left, right)


def difference(left: Tree, right: Tree) -> Tree:
    """Return the paths in the left set only. Parents and children are paths of their own."""
    if not right:
        return left
    out: Tree = {}
    for step, node in left.items():
        other = right.get(step)
        if other is None:
            out[step] = node
        elif (rest := _less(node, other)) is not None:
            out[step] = rest
    return out


def _less(node: Tree, other: Tree) -> Tree | None:
    """Return what of a node is left without the other's members; None when nothing is."""
    taken = not other or MEMBER in other
    if not node:
        return None if taken else node
    out: Tree = {}
    for step, child in node.items():
        if step == MEMBER:
            if not taken:
                out[step] = child
            continue
        match = other.get(step)
        if match is None:
            out[step] = child
        elif (rest := _less(child, match)) is not None:
            out[step] = rest
    if not out:
        return None
    return {} if len(out) == 1 and MEMBER in out else out


def without(left: Tree, right: Tree) -> Tree:
    """Return the left set less every path that is, or is below, one of the right set."""
    if not right:
        return left
    out: Tree = {}
    for step, node in left.items():
        other = right.get(step)
        if other is None:
            out[step] = node
        elif other and MEMBER not in other:
            rest = without(node, other)
            if rest and not (len(rest) == 1 and MEMBER in rest):
                out[step] = rest
            elif rest or not node:
                out[step] = {}
    return out


def intersection(left: Tree, right: Tree) -> Tree:
    """Return the paths in both sets."""
    if not left or not right:
        return {}
    out: Tree = {}
    for step, node in left.items():
        other = right.get(step)
        if other is not None and (both := _common(node, other)) is not None:
            out[step] = both
    return out


def _common(left: Tree, right: Tree) -> Tree | None:
    member = (not left or MEMBER in left) and (not right or MEMBER in right)
    inner = {
        step: both
        for step, node in left.items()
        if step != MEMBER and step in right and (both := _common(node, right[step])) is not None
    }
    if member:
        return {MEMBER: {}} | inner if inner else {}
    return inner or None


def has(tree: Tree, path: Path) -> bool:
    """Say whether a path is a member of the set."""
    node = tree
    for step in path:
        if step not in node:
            return False
        node = node[step]
    return bool(path) and (not node or MEMBER in node)


def of(*paths: Path) -> Tree:
    """Return the set of some paths: `of(("f:spec",), ("f:metadata", "f:labels"))`."""
    tree: Tree = {}
    for path in paths:
        leaf: Tree = {}
        for step in reversed(path):
            leaf = {step: leaf}
        tree = union(tree, leaf)
    return tree


def paths(tree: Tree, prefix: Path = ()) -> Iterator[Path]:
    """Yield the members in Kubernetes' order: of each level first its members, then what is below.

    Levels are sorted, see `ordered`.
    """
    steps = sorted((step for step in tree if step != MEMBER), key=_rank)
    for step in steps:
        if not tree[step] or MEMBER in tree[step]:
            yield (*prefix, step)
    for step in steps:
        yield from paths(tree[step], (*prefix, step))


# ---------------------------------------------------------------------- texts


def ordered(tree: Tree) -> Tree:
    """Return the tree with its steps in Kubernetes' order: fields, keys by value, values."""
    if len(tree) < 2:
        return {step: ordered(node) for step, node in tree.items()}
    return {step: ordered(tree[step]) for step in sorted(tree, key=_rank)}


_KINDS = {".": 0, "f": 1, "k": 2, "v": 3, "i": 4}


def _rank(step: str) -> tuple[int, objects.Json]:
    kind = step[0]
    if kind in "kvi" and len(step) > 2:
        return (_KINDS[kind], _comparable(json.loads(step[2:])))
    return (_KINDS.get(kind, 5), step)


def _comparable(value: objects.Json) -> objects.Json:
    """Return what sorts JSON values as Kubernetes does: numbers, texts, booleans, null, lists."""
    if isinstance(value, bool):
        return (2, value)
    if isinstance(value, (int, float)):
        return (0, value)
    if isinstance(value, str):
        return (1, value)
    if value is None:
        return (3, 0)
    if isinstance(value, list):
        return (4, [_comparable(item) for item in value])
    return (5, [(key, _comparable(value[key])) for key in sorted(value)])


def shown(path: Path) -> str:
    """Return a path as error texts have it: `.spec.ports[port=80,protocol="TCP"].name`."""
    return "".join(_shown_step(step) for step in path)


def _shown_step(step: str) -> str:
    kind, text = step[:2], step[2:]
    if kind == "f:":
        return f".{text}"
    if kind == "k:":
        keys = json.loads(text)
        return f"[{','.join(f'{key}={_shown_value(keys[key])}' for key in sorted(keys))}]"
    return f"[={_shown_value(json.loads(text))}]" if kind == "v:" else f"[{text}]"


def _shown_value(value: objects.Json) -> str:
    if isinstance(value, str):
        return goformats.quoted(value)
    return "null" if value is None else goformats.plain(value)


def scalar_text(value: objects.Json) -> str:
    """Return a scalar as JSON within a step; `<`, `>` and `&` are escaped, as Go does."""
    if type(value) is str:
        text = encoder.encode_basestring(value)
        if "&" in text or "<" in text or ">" in text:
            return goformats.json_text(value)
        return text
    if value is True or value is False:
        return "true" if value else "false"
    return str(value) if type(value) is int else goformats.json_text(value)


def parse(raw: objects.Json) -> Tree:
    """Return a fieldsV1 mapping as a tree: steps canonical, unknown kinds of steps dropped.

    Raises:
        FieldsError: It is no mapping of mappings, or a step cannot be read.
    """
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise FieldsError(f"fieldsV1 must be a mapping, got {goformats.plain(raw)}")
    tree: Tree = {}
    for step, inner in raw.items():
        if step == MEMBER:
            continue
        canonical = _canonical_step(step)
        if canonical is None:
            continue
        node = _parsed_node(inner)
        tree[canonical] = _joined(tree[canonical], node) if canonical in tree else node
    return tree


def _parsed_node(raw: objects.Json) -> Tree:
    inner = parse(raw)
    if inner and isinstance(raw, dict) and MEMBER in raw:
        return {MEMBER: {}} | inner
    return inner


def _canonical_step(step: str) -> str | None:
    kind, text = step[:2], step[2:]
    if len(step) < 2:
        raise FieldsError("key must be 2 characters long:")
    if step[1] != ":":
        raise FieldsError(f"missing colon: {step}")
    if kind == "f:":
        return step
    if kind not in {"k:", "v:", "i:"}:
        return None
    try:
        value = json.loads(text)
    except ValueError as error:
        raise FieldsError(f"parsing key as path element: {step}") from error
    if kind == "k:" and not isinstance(value, dict):
        raise FieldsError(f"parsing key as path element: {step}")
    return kind + goformats.json_text(value)
