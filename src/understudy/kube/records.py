"""Frozen dataclasses to JSON and back: one codec for every record that leaves the process.

A field `current_replicas` is `currentReplicas` in JSON, as protobuf's JSON has it; reading takes
both. A field that has its default is left out, so two equal records have one text. Supported field
types: str, int, float, bool, `objects.Json`, `dict[str, T]`, `tuple[T, ...]`, `T | None`, string
enums, `datetime` (RFC 3339), `timedelta` (`"90s"`; Go's `1m30s` and bare seconds are read too) and
other records.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import functools
import hashlib
import json
import re
import types
import typing
from collections.abc import Mapping
from typing import TypeVar

from understudy.kube import objects

T = TypeVar("T")


class RecordError(ValueError):
    """JSON that does not fit a record; the text names the field, the value and what was expected.

    Attributes:
        field: Path of the field, e.g. `spec.container.ports[0].containerPort`.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}" if field else problem)
        self.field = field
        self.problem = problem


def camel(name: str) -> str:
    """Return `current_replicas` as `currentReplicas`."""
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def to_json(record: object) -> objects.Object:
    """Render a record as a JSON mapping; fields that have their default are left out."""
    out: objects.Object = {}
    for field in _fields(type(record)):
        value = getattr(record, field.name)
        if value != field.default or field.always:
            out[field.key] = _encode(value)
    return out


def from_json(cls: type[T], value: objects.Json, path: str = "") -> T:
    """Build a record from JSON.

    Raises:
        RecordError: A field that the record does not have, a value of another type, or a required
            field that is missing.
    """
    if not isinstance(value, Mapping):
        raise RecordError(path, f"expected a mapping, got {_shown(value)}")
    known = _by_key(cls)
    arguments: objects.Object = {}
    for key, item in value.items():
        field = known.get(key)
        if field is None:
            names = ", ".join(sorted({one.key for one in known.values()}))
            raise RecordError(_join(path, str(key)), f"no such field; the fields here are {names}")
        arguments[field.name] = _decode(field.type, item, _join(path, field.key))
    for field in _fields(cls):
        if field.required and field.name not in arguments:
            raise RecordError(_join(path, field.key), "is required")
    return cls(**arguments)


def canonical(value: objects.Json) -> bytes:
    """Encode JSON in the one form that equal values share: keys sorted, no spaces, UTF-8."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def digest(value: objects.Json) -> str:
    """Return the SHA-256 of the canonical form, in hex."""
    return hashlib.sha256(canonical(value)).hexdigest()


@dataclasses.dataclass(frozen=True, slots=True)
class _Field:
    name: str
    key: str
    type: objects.Json
    default: objects.Json
    required: bool
    always: bool


@functools.cache
def _described(cls: objects.Json) -> tuple[_Field, ...]:
    hints = typing.get_type_hints(cls)
    out = []
    for field in dataclasses.fields(cls):
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        required = default is dataclasses.MISSING
        out.append(
            _Field(
                name=field.name,
                key=str(field.metadata.get("key") or camel(field.name)),
                type=hints[field.name],
                default=default,
                required=required,
                always=required,
            )
        )
    return tuple(out)


def _fields(cls: objects.Json) -> tuple[_Field, ...]:
    return _described(cls)  # an untyped argument: a type is hashable, its static type is not


def _by_key(cls: objects.Json) -> dict[str, _Field]:
    return _keyed(cls)


@functools.cache
def _keyed(cls: objects.Json) -> dict[str, _Field]:
    fields = _fields(cls)
    return {field.name: field for field in fields} | {field.key: field for field in fields}


def _encode(value: objects.Json) -> objects.Json:
    if dataclasses.is_dataclass(value):
        return to_json(value)
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, dt.timedelta):
        return format_duration(value)
    if isinstance(value, dt.datetime):
        return format_time(value)
    if isinstance(value, Mapping):
        return {str(key): _encode(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_encode(item) for item in value]
    return value


def _decode(kind: objects.Json, value: objects.Json, path: str) -> objects.Json:
    origin: objects.Json = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        members = [one for one in typing.get_args(kind) if one is not types.NoneType]
        return _decode(members[0], value, path)
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise RecordError(path, f"expected a list, got {_shown(value)}")
        item = typing.get_args(kind)[0]
        return tuple(_decode(item, one, f"{path}[{index}]") for index, one in enumerate(value))
    if origin is dict:
        if not isinstance(value, Mapping):
            raise RecordError(path, f"expected a mapping, got {_shown(value)}")
        item = typing.get_args(kind)[1]
        return {str(key): _decode(item, one, f"{path}[{key}]") for key, one in value.items()}
    if kind is typing.Any:
        return value
    return _scalar(kind, value, path)


def _scalar(kind: objects.Json, value: objects.Json, path: str) -> objects.Json:
    if dataclasses.is_dataclass(kind):
        return from_json(typing.cast("type[object]", kind), value, path)
    if issubclass(kind, enum.Enum):
        return _member(kind, value, path)
    if kind is dt.timedelta:
        return _duration(value, path)
    if kind is dt.datetime:
        return _time(value, path)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        wanted = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
        raise RecordError(path, f"expected {wanted.get(kind, kind.__name__)}, got {_shown(value)}")
    return value


def _member(kind: type[enum.Enum], value: objects.Json, path: str) -> enum.Enum:
    """Find an enum's member by its value, also with protobuf's prefix (`DEPLOYMENT_STATUS_`)."""
    text = str(value).upper()
    prefix = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.__name__).upper() + "_"
    for member in kind:
        if text in (str(member.value).upper(), prefix + str(member.value).upper()):
            return member
    names = ", ".join(str(member.value) for member in kind)
    raise RecordError(path, f"{_shown(value)} is not one of {names}")


_UNITS_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(h|ms|us|µs|ns|m|s)")


def parse_duration(text: str) -> dt.timedelta:
    """Read Go's notation: `1m30s`, `500ms`, `0`; a sign may stand in front.

    Raises:
        ValueError: Anything else.
    """
    rest = text.strip()
    sign = -1.0 if rest.startswith("-") else 1.0
    rest = rest.removeprefix("-").removeprefix("+")
    if rest == "0":
        return dt.timedelta()
    total_s, position = 0.0, 0
    for match in _DURATION.finditer(rest):
        if match.start() != position:
            break
        total_s += float(match[1]) * _UNITS_S[match[2]]
        position = match.end()
    if not rest or position != len(rest):
        raise ValueError(f"{text!r} is not a duration; write it like 90s, 1m30s or 500ms")
    return dt.timedelta(seconds=sign * total_s)


def go_duration(value: dt.timedelta) -> str:
    """Print as Go does: 90 s is `1m30s`, 300 s `5m0s`, an hour `1h0m0s`, half a second `500ms`."""
    micros = round(value / dt.timedelta(microseconds=1))
    if micros == 0:
        return "0s"
    sign, micros = ("-", -micros) if micros < 0 else ("", micros)
    if micros < 1000:
        return f"{sign}{micros}µs"
    if micros < 1_000_000:
        return f"{sign}{_trimmed(micros / 1000)}ms"
    minutes, rest = divmod(micros, 60_000_000)
    hours, minutes = divmod(minutes, 60)
    seconds = _trimmed(rest / 1_000_000)
    if hours:
        return f"{sign}{hours}h{minutes}m{seconds}s"
    return f"{sign}{minutes}m{seconds}s" if minutes else f"{sign}{seconds}s"


def format_duration(value: dt.timedelta) -> str:
    """Print as protobuf's JSON does: seconds with as many digits as are needed, `90s`, `0.5s`."""
    return f"{_trimmed(value.total_seconds())}s"


def format_time(value: dt.datetime) -> str:
    """Print as RFC 3339 in UTC, `2026-01-01T00:00:00Z`, with microseconds where there are any."""
    value = value.astimezone(dt.UTC)
    pattern = "%Y-%m-%dT%H:%M:%S.%fZ" if value.microsecond else "%Y-%m-%dT%H:%M:%SZ"
    return value.strftime(pattern)


def parse_time(text: str) -> dt.datetime:
    """Read an RFC 3339 time; one without an offset is UTC.

    Raises:
        ValueError: Anything else.
    """
    moment = dt.datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def _trimmed(number: float) -> str:
    text = f"{number:.6f}".rstrip("0").rstrip(".")
    return text or "0"


def _duration(value: objects.Json, path: str) -> dt.timedelta:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return dt.timedelta(seconds=value)
    try:
        return parse_duration(str(value))
    except ValueError as error:
        raise RecordError(path, str(error)) from None


def _time(value: objects.Json, path: str) -> dt.datetime:
    if isinstance(value, dt.datetime):  # YAML reads times by itself
        return value if value.tzinfo else value.replace(tzinfo=dt.UTC)
    try:
        return parse_time(str(value))
    except ValueError:
        raise RecordError(path, f"{_shown(value)} is not an RFC 3339 time") from None


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _shown(value: objects.Json) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
