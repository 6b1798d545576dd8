"""additionalPrinterColumns: JSONPath into an object, and cells as `kubectl get` shows them.

Source: k8s.io/apiextensions-apiserver 0.36 `registry/customresource/tableconvertor`.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator

from understudy.kapi.resources import strategies
from understudy.kapi.resources.printers import durations
from understudy.kube import goformats, objects

NAME_DESCRIPTION = (
    "Name must be unique within a namespace. Is required when creating resources, although some "
    "resources may allow a client to request the generation of an appropriate name automatically. "
    "Name is primarily intended for creation idempotence and configuration definition. Cannot be "
    "updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/"
    "names#names"
)
AGE_DESCRIPTION = (
    "CreationTimestamp is a timestamp representing the server time when this object was created. "
    "It is not guaranteed to be set in happens-before order across separate operations. Clients "
    "may not set this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the "
    "system. Read-only. Null for lists. More info: https://git.k8s.io/community/contributors/devel/"
    "sig-architecture/api-conventions.md#metadata"
)
NAME = strategies.Column("Name", "string", "name", NAME_DESCRIPTION)
_AGE: objects.Object = {
    "name": "Age",
    "type": "date",
    "jsonPath": ".metadata.creationTimestamp",
    "description": AGE_DESCRIPTION,
}

Finder = Callable[[objects.Json], Iterator[objects.Json]]
_TOKEN = re.compile(
    r"""\.\.|\.|\[\?\((?P<filter>(?:[^()'"]|'[^']*'|"[^"]*"|\([^()]*\))*)\)\]"""
    r"""|\[(?P<bracket>(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\]'"])*)\]"""
    r"""|(?P<name>(?:\\.|[^.\[\]\\])+)"""
)
_COMPARISON = re.compile(r"\s*(?P<left>.+?)\s*(?P<sign>==|!=|<=|>=|<|>)\s*(?P<right>.+?)\s*")


class Path:
    """A parsed JSONPath such as `.status.conditions[?(@.type=="Ready")].status`."""

    __slots__ = ("_steps", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._steps = list(_steps(text))

    def find(self, obj: objects.Json) -> list[objects.Json]:
        """Return every value it leads to; missing keys lead nowhere."""
        found: list[objects.Json] = [obj]
        for step in self._steps:
            found = [value for start in found for value in step(start)]
        return found

    def first(self, obj: objects.Json) -> objects.Json:
        """Return the first value it leads to, or None."""
        found = self.find(obj)
        return found[0] if found else None


def _steps(text: str) -> Iterator[Finder]:
    deep = False
    for token in _TOKEN.finditer(text.strip().removeprefix("$")):
        if token[0] == "..":
            deep = True
            continue
        if token[0] == ".":
            continue
        if deep:
            yield _everything
            deep = False
        if token["filter"] is not None:
            yield _filter(token["filter"])
        elif token["bracket"] is not None:
            yield _bracket(token["bracket"])
        else:
            yield _field(re.sub(r"\\(.)", r"\1", token["name"]))


def _field(name: str) -> Finder:
    def step(value: objects.Json) -> Iterator[objects.Json]:
        if name == "*":
            yield from _values(value)
        elif isinstance(value, dict) and name in value:
            yield value[name]

    return step


def _values(value: objects.Json) -> Iterator[objects.Json]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _everything(value: objects.Json) -> Iterator[objects.Json]:
    yield value
    for item in _values(value):
        yield from _everything(item)


def _bracket(text: str) -> Finder:
    text = text.strip()
    if text == "*":
        return _values
    if text[:1] in {"'", '"'}:
        names = re.findall(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)\"""", text)
        fields = [_field(re.sub(r"\\(.)", r"\1", a or b)) for a, b in names]
        return lambda value: (item for field in fields for item in field(value))
    parts = [part.strip() for part in text.split(",")]
    finders = [_slice(part) for part in parts]
    return lambda value: (item for finder in finders for item in finder(value))


def _slice(text: str) -> Finder:
    bounds = [int(part) if part.strip() else None for part in text.split(":")]

    def step(value: objects.Json) -> Iterator[objects.Json]:
        if not isinstance(value, list):
            return
        if len(bounds) > 1:
            yield from value[slice(*bounds)]
        elif bounds[0] is not None and -len(value) <= bounds[0] < len(value):
            yield value[bounds[0]]

    return step


def _filter(text: str) -> Finder:
    found = _COMPARISON.fullmatch(text)
    if found is None:
        path = Path(text.strip().removeprefix("@"))
        return lambda value: (item for item in _values(value) if path.find(item))
    left, right, sign = _operand(found["left"]), _operand(found["right"]), found["sign"]

    def step(value: objects.Json) -> Iterator[objects.Json]:
        for item in _values(value):
            mine, theirs = left(item), right(item)
            if mine is not None and theirs is not None and _holds(mine, sign, theirs):
                yield item

    return step


def _operand(text: str) -> Callable[[objects.Json], objects.Json]:
    text = text.strip()
    if text.startswith("@"):
        return Path(text[1:]).first
    constant: objects.Json = text
    if text[:1] in {"'", '"'}:
        constant = text[1:-1]
    elif text in {"true", "false"}:
        constant = text == "true"
    else:
        try:
            constant = int(text) if text.lstrip("+-").isdigit() else float(text)
        except ValueError:
            constant = text
    return lambda _: constant


def _holds(left: objects.Json, sign: str, right: objects.Json) -> bool:
    numbers = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in (left, right))
    if not numbers and type(left) is not type(right):
        return False
    match sign:
        case "==":
            return bool(left == right)
        case "!=":
            return bool(left != right)
        case "<":
            return bool(left < right)
        case "<=":
            return bool(left <= right)
        case ">":
            return bool(left > right)
        case _:
            return bool(left >= right)


_DESCRIPTION = "Custom resource definition column (in JSONPath format)"


class Columns:
    """The columns of one version, and the cells of an object under them."""

    __slots__ = ("_cells", "columns")

    def __init__(self, given: list[objects.Object] | None) -> None:
        shown = given or [_AGE]
        self.columns = (
            NAME,
            *(
                strategies.Column(
                    str(column.get("name") or ""),
                    str(column.get("type") or ""),
                    str(column.get("format") or ""),
                    column.get("description") or f"{_DESCRIPTION}: {column.get('jsonPath')}",
                    int(column.get("priority") or 0),
                )
                for column in shown
            ),
        )
        self._cells = [
            (Path(str(column.get("jsonPath") or "")), str(column.get("type") or ""))
            for column in shown
        ]

    def row(self, obj: objects.Object, now: dt.datetime) -> list[objects.Json]:
        """Return the cells of an object's row; None where a value is absent or of another type."""
        cells: list[objects.Json] = [objects.name_of(obj)]
        for path, kind in self._cells:
            found = path.find(obj)
            if not found:
                cells.append(None)
            elif kind == "string":
                cells.append(_text(found[0]))
            else:
                cells.append(_cell(found[0], kind, now))
        return cells


def _text(value: objects.Json) -> objects.Json:
    if value is None:
        return None
    if isinstance(value, (dict, list)):
        return goformats.json_text(value)
    return goformats.plain(value)


def _cell(value: objects.Json, kind: str, now: dt.datetime) -> objects.Json:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    match kind:
        case "integer":
            return int(value) if number else None
        case "number":
            return value if number else None
        case "boolean":
            return value if isinstance(value, bool) else None
        case "date":
            return _age(value, now) if isinstance(value, str) else None
        case _:
            return None


def _age(text: str, now: dt.datetime) -> str:
    if not text:
        return "<unknown>"
    then = durations.parse(text) if _RFC3339.fullmatch(text) else None
    return durations.human((now - then).total_seconds()) if then is not None else "<invalid>"


_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
