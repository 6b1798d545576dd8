"""CEL values in Python, their equality and order, and how JSON becomes them.

| CEL | Python |
| --- | --- |
| null, bool, int, double, string, bytes | None, bool, int, float, str, bytes |
| uint | `Uint` |
| list, map, object | list, dict (JSON, field names as in JSON) |
| duration, timestamp | `times.Duration`, `times.Timestamp` |
| optional, type | `Optional`, `TypeValue` |
| Kubernetes' own | `quantities.Quantity`, `networks.*`, `versions.Semver`, `kinds.Format` |

Objects and lists stay JSON while they are only looked into; `whole` converts what differs (times,
bytes, lists of type set or map) once a value is used as a whole.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator

from understudy.kube import go_base64, objects, quantities
from understudy.kube.cel import errors, times, types

INT_MIN, INT_MAX, UINT_MAX = -(2**63), 2**63 - 1, 2**64 - 1


class Uint(int):
    """An unsigned integer; a type of its own."""

    __slots__ = ()


class TypeValue:
    """A type as a value, e.g. of `type(1)`; compared by name."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TypeValue) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)


class Optional:
    """A value that may be absent."""

    __slots__ = ("present", "value")

    def __init__(self, value: objects.Json = None, *, present: bool = True) -> None:
        self.value = value
        self.present = present

    def get(self) -> objects.Json:
        """Return the value, or fail."""
        if not self.present:
            raise errors.EvaluationError("optional.none() dereference")
        return self.value


NONE = Optional(present=False)


class Made:
    """A value made by `Object.spec{...}`: the name of its type, and its fields."""

    __slots__ = ("fields", "name")

    def __init__(self, name: str, fields: dict[str, objects.Json]) -> None:
        self.name = name
        self.fields = fields

    @property
    def cel_type(self) -> str:
        """The type's name."""
        return self.name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Made) and (self.name, self.fields) == (other.name, other.fields)

    def __hash__(self) -> int:
        return hash(self.name)

    def misnamed(self) -> list[str]:
        """Return what is wrong with the names of types below, which are those of their fields."""
        return list(_misnamed(self, self.name))


def _misnamed(value: objects.Json, path: str) -> Iterator[str]:
    if isinstance(value, Made):
        if value.name != path:
            yield (
                f'unexpected type name "{value.name}", expected "{path}", which matches field name '
                "path from root Object type"
            )
        for name, inner in value.fields.items():
            yield from _misnamed(inner, f"{path}.{name}")
    elif isinstance(value, (list, dict)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _misnamed(inner, path)


def plain(value: objects.Json) -> objects.Json:
    """Return a value as JSON.

    Raises:
        EvaluationError: It has no such form.
    """
    match value:
        case Made():
            return {name: plain(inner) for name, inner in value.fields.items()}
        case dict():
            return {str(name): plain(inner) for name, inner in value.items()}
        case list():
            return [plain(inner) for inner in value]
        case Uint():
            return int(value)
        case bytes():
            return base64.b64encode(value).decode()
        case times.Duration() | times.Timestamp():
            return str(value)
        case None | bool() | int() | float() | str():
            return value
        case _:
            raise errors.EvaluationError(f"{value} could not marshal to JSON")


class SetList(list[objects.Json]):
    """A list of type `set`: order does not count, adding unites."""


class MapList(list[objects.Json]):
    """A list of type `map`: compared and merged by its keys."""

    keys: tuple[str, ...] = ()

    def key_of(self, item: objects.Json) -> objects.Json:
        """Return what identifies an item."""
        if not isinstance(item, dict):
            return None
        return tuple(_hashable(item.get(name)) for name in self.keys)

    def by_key(self) -> dict[objects.Json, objects.Json]:
        """Index the items."""
        return {self.key_of(item): item for item in self}


def _hashable(value: objects.Json) -> objects.Json:
    if isinstance(value, (dict, list)):
        return repr(value)
    return (isinstance(value, bool), value)


# ---------------------------------------------------------------------- types of values


def type_name(value: objects.Json) -> str:
    """Return the name of a value's type, e.g. `int`, `map`, `google.protobuf.Timestamp`."""
    found = _NAMES.get(type(value))
    if found is not None:
        return found
    if isinstance(value, list):
        return "list"
    name: str = getattr(value, "cel_type", "")
    return name or "dyn"


_NAMES: dict[type, str] = {
    type(None): "null_type", bool: "bool", int: "int", float: "double", str: "string",
    bytes: "bytes", Uint: "uint", list: "list", dict: "map", SetList: "list", MapList: "list",
    times.Duration: "google.protobuf.Duration", times.Timestamp: "google.protobuf.Timestamp",
    TypeValue: "type", Optional: "optional_type", quantities.Quantity: "kubernetes.Quantity",
}  # fmt: skip


def is_a(value: objects.Json, wanted: types.Type) -> bool:
    """Say whether a value may be passed where a function wants a type."""
    if wanted.kind in {"dyn", "param", "error"}:
        return True
    if wanted.kind in {"list", "map"}:
        return isinstance(value, list if wanted.kind == "list" else dict)
    if wanted.kind == "null":
        return value is None
    return type_name(value) == wanted.name


# ---------------------------------------------------------------------- equality and order


def equal(left: objects.Json, right: objects.Json) -> bool:
    """Compare any two values; values of different types are unequal, numbers compare by value."""
    kind, other = type(left), type(right)
    if kind is other and kind in _PLAIN:
        return bool(left == right)
    if kind is bool or other is bool:
        return kind is other and left == right
    if kind in _NUMBERS and other in _NUMBERS:
        return bool(left == right)
    if isinstance(left, dict):
        return isinstance(right, dict) and _equal_maps(left, right)
    if isinstance(left, list):
        return isinstance(right, list) and _equal_lists(left, right)
    if isinstance(left, Optional):
        if not isinstance(right, Optional) or left.present != right.present:
            return False
        return not left.present or equal(left.value, right.value)
    return bool(kind is other and left == right)


_PLAIN = frozenset({str, int, bool, bytes, type(None)})
_NUMBERS = frozenset({int, float, Uint})


def _equal_maps(left: objects.Object, right: objects.Object) -> bool:
    if len(left) != len(right):
        return False
    for key, value in left.items():
        found = right.get(key, _MISSING)
        if found is _MISSING or not equal(value, found):
            return False
    return True


_MISSING = object()


def _equal_lists(left: list[objects.Json], right: list[objects.Json]) -> bool:
    if len(left) != len(right):
        return False
    if isinstance(left, SetList) or isinstance(right, SetList):
        return all(contains(right, item) for item in left)
    if isinstance(left, MapList):
        mine = left.by_key()
        for item in right:
            found = mine.get(left.key_of(item), _MISSING)
            if found is _MISSING or not equal(found, item):
                return False
        return True
    return all(map(equal, left, right))


def contains(items: list[objects.Json], value: objects.Json) -> bool:
    """Say whether a list has an item equal to a value."""
    return any(equal(item, value) for item in items)


def concat(left: list[objects.Json], right: list[objects.Json]) -> list[objects.Json]:
    """Add lists: unite sets, merge map lists by key (the right one wins), else append."""
    if isinstance(left, SetList):
        return SetList([*left, *(item for item in right if not contains(left, item))])
    if isinstance(left, MapList):
        merged = MapList(left)
        merged.keys = left.keys
        places = {left.key_of(item): position for position, item in enumerate(left)}
        for item in right:
            position = places.get(left.key_of(item))
            if position is None:
                merged.append(item)
            else:
                merged[position] = item
        return merged
    return [*left, *right]


def compare(left: objects.Json, right: objects.Json) -> int:
    """Return -1, 0 or 1.

    Raises:
        EvaluationError: The two have no order.
    """
    kind, other = type(left), type(right)
    if (kind is other and kind in _ORDERED) or (kind in _NUMBERS and other in _NUMBERS):
        if left != left or right != right:  # noqa: PLR0124 (NaN is not equal to itself)
            raise errors.EvaluationError("NaN values cannot be ordered")
        return int(left > right) - int(left < right)
    raise errors.EvaluationError("no such overload")


_ORDERED = frozenset({bool, int, float, str, bytes, Uint, times.Duration, times.Timestamp})


# ---------------------------------------------------------------------- from JSON

Coercion = Callable[[objects.Json], objects.Json]


def coercion(type: types.Type) -> Coercion | None:
    """Return what makes a scalar of its JSON form, or None where both are the same."""
    return _SCALARS.get(type.coerce)


def _number(value: objects.Json) -> objects.Json:
    return float(value) if value.__class__ is int else value


def _bytes(value: objects.Json) -> objects.Json:
    # A schema's `byte` is checked with the plain alphabet and read by rules with that of URLs
    # (kube-openapi, `strfmt.Base64`): data with `+` or `/` is valid but fails every rule on it.
    if not isinstance(value, str):
        return value
    try:
        return go_base64.decode(value, go_base64.URL)
    except go_base64.CorruptError as error:
        raise errors.EvaluationError(f"Invalid byte formatted string {value}: {error}") from None


def _duration(value: objects.Json) -> objects.Json:
    if not isinstance(value, str):
        return value
    found = times.parse_duration(value)
    if found is None:
        raise errors.EvaluationError(
            f"Invalid duration {value}: unable to parse {value} as duration"
        )
    return found


def _date(value: objects.Json) -> objects.Json:
    return _time(value, times.parse_date, "date")


def _date_time(value: objects.Json) -> objects.Json:
    return _time(value, times.parse_timestamp, "date-time")


def _time(
    value: objects.Json, parse: Callable[[str], times.Timestamp | None], format: str
) -> objects.Json:
    if not isinstance(value, str):
        return value
    found = parse(value.upper() if format == "date-time" else value)
    if found is None:
        raise errors.EvaluationError(f"Invalid {format} formatted string {value}")
    return found


_SCALARS: dict[str, Coercion] = {
    "number": _number, "byte": _bytes, "duration": _duration, "date": _date,
    "date-time": _date_time,
}  # fmt: skip


def whole(type: types.Type, value: objects.Json) -> objects.Json:
    """Return a value with everything below converted; what is converted already stays."""
    scalar = _SCALARS.get(type.coerce)
    if scalar is not None:
        return scalar(value)
    if type.kind == "list" and isinstance(value, list):
        items = value
        if type.params[0].deep or type.params[0].coerce:
            items = [whole(type.params[0], item) for item in value]
        if type.coerce == "set":
            return items if isinstance(items, SetList) else SetList(items)
        if type.coerce == "map" and not isinstance(items, MapList):
            made = MapList(items)
            made.keys = type.list_keys
            return made
        return items
    if not type.deep or not isinstance(value, dict):
        return value
    if type.kind == "map":
        return {key: whole(type.params[1], item) for key, item in value.items()}
    known = {field.name: field.type for field in type.fields.values()}
    return {key: whole(known[key], item) if key in known else item for key, item in value.items()}
