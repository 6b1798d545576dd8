"""Paths such as `.spec.list['key']` that definitions name fields by, followed through a schema."""

from __future__ import annotations

import re

from understudy.kapi.resources.crds import nodes, paths

_STEP = re.compile(r"'(?:[^'\\]|\\.)*'|[.\[\]]|[^.\[\]]+")
_ESCAPES = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "'": "'",
    "\\": "\\",
}  # fmt: skip


def follow(text: str, node: nodes.Node, *, brackets: bool = True) -> tuple[str, nodes.Node]:
    """Follow `.spec.list['key']` through a schema: its normalized form, and where it ends.

    Raises:
        ValueError: It does not parse or leads nowhere; the text is Kubernetes'.
    """
    steps = iter(_STEP.findall(text))
    path = ""
    for step in steps:
        if step not in {".", "["}:
            raise ValueError(f"expected [ or . but got: {step}")
        if step == "[" and not brackets:
            raise ValueError("array notation is not allowed")
        name = next(steps, None)
        if name is None:
            raise ValueError("unexpected end of JSON path")
        if step == "[":
            name = _unquoted(name)
        if node.properties:
            path = paths.child(path, name)
            if name not in node.properties:
                raise ValueError("does not refer to a valid field")
            node = node.properties[name]
        elif node.additional is not None:
            path = paths.key(path, name)
            node = node.additional
        else:
            raise ValueError("does not refer to a valid field")
        if step == "[":
            closing = next(steps, None)
            if closing is None:
                raise ValueError("unexpected end of JSON path")
            if closing != "]":
                raise ValueError(f"expected ] but got {closing}")
    return path, node


def _unquoted(text: str) -> str:
    if len(text) < 2 or text[0] != "'" or text[-1] != "'":
        raise ValueError(f"expected single quoted string but got {text}")

    def unescape(found: re.Match[str]) -> str:
        letter = found[0][1]
        if letter not in _ESCAPES:
            raise ValueError(f"invalid string literal: invalid escape char {found[0]}")
        return _ESCAPES[letter]

    return re.sub(r"\\.", unescape, text[1:-1])
