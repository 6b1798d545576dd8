"""What must never be shown, nor stored where passwords are not expected: which values, and masks.

    Secret                                       every value of data and stringData
    {name: DB_PASSWORD, value: ...}              a variable, or anything shaped like one
    core.understudy.dev/sensitive-paths          what an object's own annotation says:
                                                 `spec.auth.password, spec.users[*].token`
    werf.io/sensitive-paths, werf.io/sensitive   nelm's words for it

`Mask` gives equal values equal numbers within one run (`<secret #1>`), so that a diff still tells
whether two places share a value and whether it changed. Numbers are given in the order of first
sight and say nothing about the value.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Sequence

import orjson

from understudy.delivery import marks
from understudy.kube import objects

SENSITIVE_PATHS = (f"{marks.GROUP}/sensitive-paths", "werf.io/sensitive-paths")
_SENSITIVE = "werf.io/sensitive"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
REDACTED_CHARACTERS_MIN = 4
"""Shorter values are not looked for in messages: they would be found everywhere."""

_SENSITIVE_END = re.compile(
    r"(password|passwd|passphrase|secret|token|api[-_.]?key|credentials?)$", re.IGNORECASE
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SENSITIVE_WORDS = {
    "password", "passwd", "passphrase", "pass", "pwd", "secret", "secrets", "token", "tokens",
    "key", "keys", "apikey", "credential", "credentials",
}  # fmt: skip
_SECRET_FIELDS = ("data", "stringData")
_STEP = re.compile(
    r"\.\.(?P<deep>[\w$-]+)|\.?(?P<name>\*|[\w$/-]+)|\[(?P<item>\d+|\*)\]|"
    r"""\[(?:'(?P<single>[^']+)'|"(?P<double>[^"]+)")\]"""
)
_ANY, _DEEP = "*", ".."

Path = tuple[str | int, ...]
Pattern = tuple[str, ...]


# ---------------------------------------------------------------------- which values


def paths(obj: objects.Object, like: Iterable[objects.Object] = ()) -> list[Path]:
    """Return where an object holds sensitive values, in an order that its content decides.

    None lies within another. `like` are other states of it, whose annotations count too. The same
    for an object whose sensitive values are null.
    """
    found: set[Path] = set()
    for key, value in obj.items():
        if key != "metadata" and isinstance(value, (dict, list)):
            _find_named(value, (key,), found)
    if obj.get("kind") == "Secret" and obj.get("apiVersion") == "v1":
        for field in _SECRET_FIELDS:
            values = obj.get(field)
            found |= {(field, key) for key in values} if isinstance(values, dict) else set()
    for pattern in {pattern for one in (obj, *like) for pattern in _patterns(one)}:
        found |= {*_matching(obj, pattern, ())}
    if found and LAST_APPLIED in objects.annotations_of(obj):
        found.add(("metadata", "annotations", LAST_APPLIED))
    return [path for path in sorted(found, key=_place) if not _lies_within(path, found)]


def _place(path: Path) -> list[tuple[bool, int, str]]:
    return [(isinstance(s, str), s if isinstance(s, int) else 0, str(s)) for s in path]


def _lies_within(path: Path, others: set[Path]) -> bool:
    return any(path[:length] in others for length in range(1, len(path)))


def _find_named(value: objects.Json, path: Path, found: set[Path]) -> None:
    """Find the paths of values whose neighbour `name` is one that secrets go by."""
    if isinstance(value, dict):
        name = value.get("name")
        if "value" in value and isinstance(name, str) and is_sensitive(name):
            found.add((*path, "value"))
        for key, item in value.items():
            if isinstance(item, (dict, list)):
                _find_named(item, (*path, key), found)
    else:
        for position, item in enumerate(value):
            if isinstance(item, (dict, list)):
                _find_named(item, (*path, position), found)


def is_sensitive(name: str) -> bool:
    """Whether a name is one that secrets go by: `DB_PASSWORD`, `apiKey`, `AWS_ACCESS_KEY_ID`."""
    words = {word.lower() for word in _WORD.findall(name)}
    return bool(words & _SENSITIVE_WORDS) or _SENSITIVE_END.search(name) is not None


def complaints_about(obj: objects.Object) -> list[str]:
    """Say what is wrong with an object's annotations about sensitive paths; nothing is best."""
    said = objects.annotations_of(obj)
    return [
        f"metadata.annotations[{key!r}] is {said[key]!r}: write paths such as spec.auth.password, "
        "spec.users[*].token"
        for key in SENSITIVE_PATHS
        if key in said and None in map(_pattern, _listed(said[key]))
    ]


def _patterns(obj: objects.Object) -> Iterator[Pattern]:
    """Yield what an object's annotations say; where they cannot be read, all of it is sensitive."""
    said = objects.annotations_of(obj)
    if said.keys().isdisjoint((_SENSITIVE, *SENSITIVE_PATHS)):
        return
    whole = [(key,) for key in obj if key not in ("apiVersion", "kind", "metadata", "status")]
    if said.get(_SENSITIVE, "").lower() == "true":
        yield from whole
    for key in SENSITIVE_PATHS:
        for text in _listed(said.get(key, "")):
            pattern = _pattern(text)
            if pattern is None:
                yield from whole
            else:
                yield pattern


def _listed(text: str) -> list[str]:
    """Return the paths in an annotation: a comma list, or a JSON list."""
    if not text:
        return []
    try:
        listed = orjson.loads(text)
    except orjson.JSONDecodeError:
        listed = text.split(",")
    if not isinstance(listed, list):
        listed = [text]
    return [str(part).strip() for part in listed if str(part).strip()]


def _pattern(text: str) -> Pattern | None:
    """Return the steps of a JSON path, with or without `$`; None where it is none."""
    rest = text.removeprefix("$")
    steps: list[str] = []
    while rest:
        match = _STEP.match(rest)
        if match is None:
            return None
        if match["deep"]:
            steps.append(_DEEP)
        steps.append(next(part for part in match.groups() if part))
        rest = rest[match.end() :]
    return tuple(steps) or None


def _matching(value: objects.Json, pattern: Pattern, path: Path) -> Iterator[Path]:
    """Yield the paths that a pattern names; of what has another shape than it says, the whole."""
    if not pattern:
        yield path
        return
    step, rest = pattern[0], pattern[1:]
    children: list[tuple[str | int, objects.Json]] = []
    if isinstance(value, dict):
        children = list(value.items())
    elif isinstance(value, list) and (step in (_ANY, _DEEP) or step.isdecimal()):
        children = list(enumerate(value))
    elif step != _DEEP:
        yield path
    if step == _DEEP:
        yield from _matching(value, rest, path) if isinstance(value, dict) else ()
    for key, child in children:
        if step == _DEEP:
            yield from _matching(child, pattern, (*path, key))
        elif step in (_ANY, str(key)):
            yield from _matching(child, rest, (*path, key))


# ---------------------------------------------------------------------- taken out, put back


def strip(obj: objects.Object) -> tuple[objects.Object, list[objects.Json]]:
    """Return an object with null in place of sensitive values, and the values in order."""
    found = paths(obj)
    values = [_at(obj, path) for path in found]
    return _replaced(obj, [(path, None) for path in found]), values


def fill(stripped: objects.Object, values: Iterator[objects.Json]) -> None:
    """Put values back that `strip` took, in place."""
    for path in paths(stripped):
        if _at(stripped, path) is None:
            holder = _at(stripped, path[:-1])
            holder[path[-1]] = next(values)


def _at(value: objects.Json, path: Sequence[str | int]) -> objects.Json:
    for step in path:
        value = value[step]
    return value


def _replaced(obj: objects.Object, changes: Sequence[tuple[Path, objects.Json]]) -> objects.Object:
    """Return an object with other values at some paths; it shares the rest with the first."""
    if not changes:
        return obj
    out: objects.Json = dict(obj)
    fresh: set[Path] = {()}
    for path, value in changes:
        holder = out
        for depth, step in enumerate(path[:-1], 1):
            if path[:depth] not in fresh:
                fresh.add(path[:depth])
                below = holder[step]
                holder[step] = dict(below) if isinstance(below, dict) else list(below)
            holder = holder[step]
        holder[path[-1]] = value
    return dict(out)


# ---------------------------------------------------------------------- masks


class Mask:
    """Replaces sensitive values by numbers, the same for the same value."""

    __slots__ = ("_numbers",)

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def mark(self, value: objects.Json) -> str:
        """Return what is shown instead of a value."""
        number = self._numbers.setdefault(repr(value), len(self._numbers) + 1)
        return f"<secret #{number}>"

    def hide(self, obj: objects.Object, like: Iterable[objects.Object] = ()) -> objects.Object:
        """Return an object in which nothing sensitive can be read; see `paths` for `like`."""
        found = paths(obj, like)
        return _replaced(obj, [(path, self.mark(_at(obj, path))) for path in found])

    def redact(self, text: str, given: Iterable[objects.Object | None]) -> str:
        """Return a text, a server's refusal for one, without the sensitive values of objects."""
        words: dict[str, objects.Json] = {}
        states = [obj for obj in given if obj is not None]
        for obj in states:
            for path in paths(obj, states):
                value = _at(obj, path)
                words |= dict.fromkeys(_words(value), value)
        for word in sorted(words, key=len, reverse=True):
            if word in text:
                text = text.replace(word, self.mark(words[word]))
        return text


def _words(value: objects.Json) -> Iterator[str]:
    """Yield how a value may be written in a message: as it is, and decoded."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _words(item)
        return
    text = "" if value is None or isinstance(value, bool) else str(value)
    if len(text) >= REDACTED_CHARACTERS_MIN:
        yield text
        yield orjson.dumps(text).decode()[1:-1]
        try:
            plain = base64.b64decode(text, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return
        if len(plain) >= REDACTED_CHARACTERS_MIN:
            yield plain
