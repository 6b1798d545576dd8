"""Values that Kubernetes keeps as the bytes a client sent (RawExtension), and compares as bytes.

A patch reads and writes the whole object, which brings such a value into its plain form: no
blanks, keys in order. So whatever a patch changes, it changes a value that was sent otherwise; a
kind in which that value may not change refuses every patch.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from understudy.kube import objects

Path = tuple[str | int, ...]
"""Where a value stands; in patterns `*` is every item of a list."""

_DECODER = json.JSONDecoder()
_BLANKS = " \t\r\n"


class Raw(dict[str, objects.Json]):
    """A mapping that was not written in its plain form: equal only to what was written alike."""

    __slots__ = ("text",)

    def __init__(self, value: Mapping[str, objects.Json], text: str) -> None:
        super().__init__(value)
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Raw) and self.text == other.text

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None


def mark(body: bytes, obj: objects.Object, patterns: tuple[tuple[str, ...], ...]) -> None:
    """Give the raw values of an object, in place, the text they have in the body it was read of."""
    text = body.decode("utf-8", "surrogatepass")
    start = _skip(text, 0)
    for pattern in patterns:
        for path, at, end in _spans(text, start, pattern):
            value, written = objects.lookup(obj, path), text[at:end]
            if isinstance(value, dict) and written != _plain(value):
                _put(obj, path, Raw(value, written))


def texts(obj: objects.Object, patterns: tuple[tuple[str, ...], ...]) -> dict[Path, str]:
    """Return the texts of the values that are not in their plain form, by path."""
    return {
        path: value.text
        for pattern in patterns
        for path, value in _values(obj, pattern)
        if isinstance(value, Raw)
    }


def restored(obj: objects.Object, written: Mapping[Path, str]) -> objects.Object:
    """Return a copy of an object in which these values have their texts again."""
    out: objects.Object = objects.copy(obj)
    for path, text in written.items():
        _put(out, path, Raw(objects.lookup(out, path), text))
    return out


def _plain(value: objects.Json) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _put(obj: objects.Object, path: Path, value: objects.Json) -> None:
    objects.lookup(obj, path[:-1])[path[-1]] = value


def _values(value: objects.Json, pattern: Path) -> Iterator[tuple[Path, objects.Json]]:
    if not pattern:
        yield (), value
    elif pattern[0] == "*":
        for index, item in enumerate(value if isinstance(value, list) else ()):
            for path, found in _values(item, pattern[1:]):
                yield (index, *path), found
    elif isinstance(value, dict) and pattern[0] in value:
        for path, found in _values(value[str(pattern[0])], pattern[1:]):
            yield (pattern[0], *path), found


def _spans(text: str, at: int, pattern: Path) -> Iterator[tuple[Path, int, int]]:
    """Yield where values begin and end in a text that is JSON; `at` is where its value begins."""
    if not pattern:
        yield (), at, _DECODER.raw_decode(text, at)[1]
        return
    for step, start in _members(text, at):
        if step == pattern[0] or (pattern[0] == "*" and isinstance(step, int)):
            for path, begin, end in _spans(text, start, pattern[1:]):
                yield (step, *path), begin, end


def _members(text: str, at: int) -> Iterator[tuple[str | int, int]]:
    """Yield key or index, and where the value begins, of each member of an object or a list."""
    is_object, index = text[at] == "{", 0
    if text[at] not in "{[":
        return
    at = _skip(text, at + 1)
    while text[at] not in "}]":
        step: str | int = index
        if is_object:
            step, at = _DECODER.raw_decode(text, at)
            at = _skip(text, _skip(text, at) + 1)
        yield step, at
        at, index = _skip(text, _DECODER.raw_decode(text, at)[1]), index + 1
        if text[at] == ",":
            at = _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    while text[at] in _BLANKS:
        at += 1
    return at
