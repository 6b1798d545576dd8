"""The standard functions: arithmetic, conversions, times, optionals. Overload id -> function."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Protocol

from understudy.kube import goformats, objects, regexps
from understudy.kube.cel import errors, times, values


class Function(Protocol):
    """What an overload does: values in, a value out."""

    def __call__(self, *args: objects.Json, **kwargs: objects.Json) -> objects.Json: ...


_INT_TEXT = re.compile(r"[+-]?\d+")
_FLOAT_TEXT = re.compile(
    r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|inf(?:inity)?|nan)", re.IGNORECASE
)
_TRUE, _FALSE = {"1", "t", "T", "TRUE", "true", "True"}, {"0", "f", "F", "FALSE", "false", "False"}


def fail(text: str) -> errors.EvaluationError:
    """Return an error with CEL's own text, to be raised."""
    return errors.EvaluationError(text)


# ---------------------------------------------------------------------- arithmetic


def checked_int(value: int) -> int:
    """Return the value if it is an int64, else fail."""
    if not values.INT_MIN <= value <= values.INT_MAX:
        raise fail("integer overflow")
    return value


def checked_uint(value: int) -> values.Uint:
    """Return the value if it is a uint64, else fail."""
    if not 0 <= value <= values.UINT_MAX:
        raise fail("unsigned integer overflow")
    return values.Uint(value)


def add_int(left: int, right: int) -> int:
    """Add two ints."""
    return checked_int(left + right)


def subtract_int(left: int, right: int) -> int:
    """Subtract two ints."""
    return checked_int(left - right)


def multiply_int(left: int, right: int) -> int:
    """Multiply two ints."""
    return checked_int(left * right)


def divide_int(left: int, right: int) -> int:
    """Divide, towards zero."""
    if right == 0:
        raise fail("division by zero")
    quotient = abs(left) // abs(right)
    return checked_int(quotient if (left < 0) == (right < 0) else -quotient)


def modulo_int(left: int, right: int) -> int:
    """Return the rest of the division; it has the sign of the dividend."""
    if right == 0:
        raise fail("modulus by zero")
    rest = abs(left) % abs(right)
    return -rest if left < 0 else rest


def divide_double(left: float, right: float) -> float:
    """Divide as IEEE 754 does."""
    if right == 0:
        if left == 0 or math.isnan(left):
            return math.nan
        return math.copysign(math.inf, left) * math.copysign(1.0, right)
    return left / right


def _divide_uint(left: int, right: int) -> values.Uint:
    if right == 0:
        raise fail("division by zero")
    return values.Uint(left // right)


def _modulo_uint(left: int, right: int) -> values.Uint:
    if right == 0:
        raise fail("modulus by zero")
    return values.Uint(left % right)


# ---------------------------------------------------------------------- conversions


def _conversion(source: str, target: str) -> errors.EvaluationError:
    return fail(f"type conversion error from '{source}' to '{target}'")


def _string_to_int(text: str) -> int:
    if not _INT_TEXT.fullmatch(text) or not values.INT_MIN <= int(text) <= values.INT_MAX:
        raise _conversion("string", "int")
    return int(text)


def _string_to_uint(text: str) -> values.Uint:
    if not text.isdigit() or not text.isascii() or int(text) > values.UINT_MAX:
        raise _conversion("string", "uint")
    return values.Uint(text)


def _string_to_double(text: str) -> float:
    if not _FLOAT_TEXT.fullmatch(text):
        raise _conversion("string", "double")
    return float(text)


def _string_to_bool(text: str) -> bool:
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise _conversion("string", "bool")


def _double_to_int(value: float) -> int:
    if math.isnan(value) or math.isinf(value) or not -(2.0**63) < value < 2.0**63:
        raise fail("integer overflow")
    return int(value)


def _double_to_uint(value: float) -> values.Uint:
    if math.isnan(value) or math.isinf(value) or not -1 < value < 2.0**64:
        raise fail("unsigned integer overflow")
    return values.Uint(int(value))


def _bytes_to_string(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise fail("invalid UTF-8 in bytes, cannot convert to string") from None


def _string_to_duration(text: str) -> times.Duration:
    found = times.parse_duration(text)
    if found is None:
        raise _conversion("string", "google.protobuf.Duration")
    return found


def _string_to_timestamp(text: str) -> times.Timestamp:
    found = times.parse_timestamp(text)
    if found is None:
        raise _conversion("string", "google.protobuf.Timestamp")
    return found


def double_text(value: float) -> str:
    """Print a double as `string()` does: `1.5`, `1e+06`, `3`, `+Inf`, `NaN`."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return goformats.plain(value)


def _duration_text(value: times.Duration) -> str:
    seconds = value.ns / times.SECOND_NS
    whole, part = divmod(abs(value.ns), times.SECOND_NS)
    sign = "-" if seconds < 0 else ""
    digits = f"{part:09d}".rstrip("0")
    return f"{sign}{whole}.{digits}s" if digits else f"{sign}{whole}s"


# ---------------------------------------------------------------------- strings


def matches(text: str, pattern: str) -> bool:
    """Say whether an RE2 pattern occurs in a string."""
    try:
        return regexps.compile(pattern).search(text) is not None
    except regexps.PatternError as error:
        raise fail(str(error)) from None


# ---------------------------------------------------------------------- times


def _clock(read: Callable[[times.Timestamp, str | None], int]) -> dict[str, Function]:
    return {"": lambda moment: read(moment, None), "tz": read}


def _parts() -> dict[str, Function]:
    readers: dict[str, Callable[[times.Timestamp, str | None], int]] = {
        "timestamp_to_year": lambda t, z: t.local(z).year,
        "timestamp_to_month": lambda t, z: t.local(z).month - 1,
        "timestamp_to_day_of_year": lambda t, z: t.local(z).timetuple().tm_yday - 1,
        "timestamp_to_day_of_month": lambda t, z: t.local(z).day - 1,
        "timestamp_to_day_of_month_1_based": lambda t, z: t.local(z).day,
        "timestamp_to_day_of_week": lambda t, z: t.local(z).isoweekday() % 7,
        "timestamp_to_hours": lambda t, z: t.local(z).hour,
        "timestamp_to_minutes": lambda t, z: t.local(z).minute,
        "timestamp_to_seconds": lambda t, z: t.local(z).second,
        "timestamp_to_milliseconds": lambda t, _: t.ns % times.SECOND_NS // 1_000_000,
    }
    out: dict[str, Function] = {}
    for name, read in readers.items():
        both = _clock(read)
        out[name] = both[""]
        out[f"{name}_tz" if name == "timestamp_to_seconds" else f"{name}_with_tz"] = both["tz"]
    return out


def _whole(value: times.Duration, unit_ns: int) -> int:
    return divide_int(value.ns, unit_ns)


# ---------------------------------------------------------------------- optionals


def _non_zero(value: objects.Json) -> values.Optional:
    empty = value is None or value is False or value in ("", b"", [], {}) or value == 0
    if isinstance(value, times.Duration):
        empty = value.ns == 0
    elif isinstance(value, times.Timestamp):
        empty = value.ns == times.YEAR_ONE_NS
    return values.NONE if empty else values.Optional(value)


def _edge(position: int) -> Function:
    return lambda items: values.Optional(items[position]) if items else values.NONE


def _unwrap(items: list[values.Optional]) -> list[objects.Json]:
    return [item.value for item in items if item.present]


def map_insert(target: objects.Object, key: objects.Json, value: objects.Json) -> objects.Object:
    """Return the map with one more entry; the key must be new."""
    if key in target:
        raise fail(f"insert failed: key {key} already exists")
    return {**target, key: value}


def _map_merge(target: objects.Object, more: objects.Object) -> objects.Object:
    for key, value in more.items():
        target = map_insert(target, key, value)
    return target


def _same(value: objects.Json) -> objects.Json:
    return value


FUNCTIONS: dict[str, Function] = {
    "add_int64": add_int,
    "add_uint64": lambda a, b: checked_uint(a + b),
    "add_double": lambda a, b: a + b,
    "add_string": lambda a, b: a + b,
    "add_bytes": lambda a, b: a + b,
    "add_list": values.concat,
    "add_duration_duration": lambda a, b: times.Duration(a.ns + b.ns),
    "add_duration_timestamp": lambda a, b: b.moved(a.ns),
    "add_timestamp_duration": lambda a, b: a.moved(b.ns),
    "subtract_int64": subtract_int,
    "subtract_uint64": lambda a, b: checked_uint(a - b),
    "subtract_double": lambda a, b: a - b,
    "subtract_duration_duration": lambda a, b: times.Duration(a.ns - b.ns),
    "subtract_timestamp_duration": lambda a, b: a.moved(-b.ns),
    "subtract_timestamp_timestamp": lambda a, b: times.Duration(a.ns - b.ns),
    "multiply_int64": multiply_int,
    "multiply_uint64": lambda a, b: checked_uint(a * b),
    "multiply_double": lambda a, b: a * b,
    "divide_int64": divide_int,
    "divide_uint64": _divide_uint,
    "divide_double": divide_double,
    "modulo_int64": modulo_int,
    "modulo_uint64": _modulo_uint,
    "negate_int64": lambda a: checked_int(-a),
    "negate_double": lambda a: -a,
    "equals": values.equal,
    "not_equals": lambda a, b: not values.equal(a, b),
    "logical_not": lambda a: not a,
    "in_list": lambda a, b: values.contains(b, a),
    "in_map": lambda a, b: a in b,
    **dict.fromkeys(
        ("size_bytes", "bytes_size", "size_list", "list_size", "size_map", "map_size",
         "size_string", "string_size"),
        len,
    ),
    "type": lambda a: values.TypeValue(values.type_name(a)),
    **dict.fromkeys(
        ("bool_to_bool", "bytes_to_bytes", "double_to_double", "duration_to_duration", "to_dyn",
         "int64_to_int64", "string_to_string", "timestamp_to_timestamp", "uint64_to_uint64"),
        _same,
    ),
    "string_to_bool": _string_to_bool,
    "string_to_bytes": lambda a: a.encode(),
    "int64_to_double": float,
    "uint64_to_double": float,
    "string_to_double": _string_to_double,
    "int64_to_duration": lambda a: times.Duration(a * times.SECOND_NS),
    "string_to_duration": _string_to_duration,
    "double_to_int64": _double_to_int,
    "duration_to_int64": lambda a: a.ns,
    "string_to_int64": _string_to_int,
    "timestamp_to_int64": lambda a: a.ns // times.SECOND_NS,
    "uint64_to_int64": lambda a: checked_int(int(a)),
    "bool_to_string": lambda a: "true" if a else "false",
    "bytes_to_string": _bytes_to_string,
    "double_to_string": double_text,
    "duration_to_string": _duration_text,
    "int64_to_string": str,
    "timestamp_to_string": str,
    "uint64_to_string": lambda a: str(int(a)),
    "int64_to_timestamp": lambda a: times.Timestamp(a * times.SECOND_NS),
    "string_to_timestamp": _string_to_timestamp,
    "double_to_uint64": _double_to_uint,
    "int64_to_uint64": checked_uint,
    "string_to_uint64": _string_to_uint,
    "contains_string": lambda a, b: b in a,
    "ends_with_string": lambda a, b: a.endswith(b),
    "starts_with_string": lambda a, b: a.startswith(b),
    "matches": matches,
    "matches_string": matches,
    **_parts(),
    "duration_to_hours": lambda a: _whole(a, 3600 * times.SECOND_NS),
    "duration_to_minutes": lambda a: _whole(a, 60 * times.SECOND_NS),
    "duration_to_seconds": lambda a: _whole(a, times.SECOND_NS),
    "duration_to_milliseconds": lambda a: _whole(a, 1_000_000),
    "optional_of": values.Optional,
    "optional_ofNonZeroValue": _non_zero,
    "optional_none": lambda: values.NONE,
    "optional_value": lambda a: a.get(),
    "optional_hasValue": lambda a: a.present,
    "optional_or_optional": lambda a, b: a if a.present else b,
    "optional_orValue_value": lambda a, b: a.value if a.present else b,
    "list_first": _edge(0),
    "list_last": _edge(-1),
    "optional_unwrap": _unwrap,
    "optional_unwrapOpt": _unwrap,
    "@mapInsert_map_key_value": map_insert,
    "@mapInsert_map_map": _map_merge,
}  # fmt: skip
