r"""Protobuf request bodies of the built-in kinds, decoded into the JSON that they stand for.

A body is the prefix `k8s\0` and a `runtime.Unknown`: {1: TypeMeta {1: apiVersion, 2: kind},
2: raw message, 3: contentEncoding, 4: contentType}. The message is read by the field numbers of
`data/types-*.json.gz`; types with a JSON form of their own (Time, Quantity, IntOrString, ...) are
read by the functions below. Answers are never protobuf, so nothing is encoded here.
"""

from __future__ import annotations

import base64
import datetime as dt
import functools
import struct
from collections.abc import Callable, Iterator

import orjson

from understudy.kapi.resources import definitions
from understudy.kube import decoding, identities, objects, statuses

PREFIX = b"k8s\x00"
_SCHEME = "k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30"
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

Scalar = int | bytes
"""A field as it stands on the wire: a number (varint, fixed) or the bytes of the rest."""

Reader = Callable[[Scalar], objects.Json]
"""Turns a field's wire value into JSON."""


class _MalformedError(Exception):
    """The bytes are no message; the text is Go's where it has one."""


def decode(body: bytes, kind: str = "", version: str = "1.36") -> objects.Object:
    """Return the object that a protobuf body holds, with its apiVersion and kind.

    Empty values that the kind's JSON leaves out are left out. `kind` is what the body should be,
    for error texts only.

    Raises:
        BadRequestError: The body is no such message, or of a kind that is not built in.
    """
    try:
        return _message(_unwrapped(body), version)
    except _MalformedError as error:
        raise statuses.BadRequestError(
            f"the object provided is unrecognized (must be of type {kind}): {error} "
            f"({decoding.summary(body)})"
            if kind
            else str(error)
        ) from None
    except RecursionError:
        raise statuses.BadRequestError("the message is nested too deeply") from None


def _unwrapped(body: bytes) -> bytes:
    if not body:
        raise _MalformedError("empty data")
    if not body.startswith(PREFIX):
        shown = " ".join(str(byte) for byte in PREFIX)
        raise _MalformedError(
            f"provided data does not appear to be a protobuf message, expected prefix [{shown}]"
        )
    if len(body) == len(PREFIX):
        raise _MalformedError("empty body")
    return body[len(PREFIX) :]


def _message(envelope: bytes, version: str) -> objects.Object:
    unknown = dict(_fields(envelope))
    meta = dict(_fields(_bytes(unknown.get(1, b""))))
    api_version, kind = _text(meta.get(1, b"")), _text(meta.get(2, b""))
    if unknown.get(3):
        raise _MalformedError(f"content encoding {_text(unknown[3])!r} is not known")
    messages = _messages(version)
    name = messages.definition(api_version, kind)
    if not name:
        raise statuses.BadRequestError(
            f'no kind "{kind}" is registered for version "{api_version}" in scheme "{_SCHEME}"'
        )
    out: objects.Object = {"apiVersion": api_version, "kind": kind}
    out.update(messages.reader(name)(unknown.get(2, b"")))
    return out


# ------------------------------------------------------------------------------------------- wire


def _fields(data: bytes) -> Iterator[tuple[int, Scalar]]:
    """Yield (field number, wire value) of a message; groups are unknown to Kubernetes."""
    at, end = 0, len(data)
    while at < end:
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
        elif wire == 2:
            size, at = _varint(data, at)
            if size > end - at:
                raise _MalformedError("unexpected EOF")
            yield number, data[at : at + size]
            at += size
        elif wire in {1, 5}:
            size = 8 if wire == 1 else 4
            if size > end - at:
                raise _MalformedError("unexpected EOF")
            yield number, int.from_bytes(data[at : at + size], "little")
            at += size
        else:
            raise _MalformedError(f"proto: illegal wireType {wire}")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise _MalformedError("proto: integer overflow")
    raise _MalformedError("unexpected EOF")


def _bytes(value: Scalar) -> bytes:
    if isinstance(value, bytes):
        return value
    raise _MalformedError("proto: wrong wireType = 0 for a length-delimited field")


def _number(value: Scalar) -> int:
    if isinstance(value, int):
        return value
    raise _MalformedError("proto: wrong wireType = 2 for a number")


def _text(value: Scalar) -> str:
    return _bytes(value).decode("utf-8", "replace")


def _signed(value: Scalar) -> int:
    """Read a varint as int64: negative numbers are written in two's complement."""
    number = _number(value) & ((1 << 64) - 1)
    return number - (1 << 64) if number >> 63 else number


def _bool(value: Scalar) -> bool:
    return _number(value) != 0


def _double(value: Scalar) -> int | float:
    found: float = struct.unpack("<d", _number(value).to_bytes(8, "little"))[0]
    return int(found) if found.is_integer() else found


def _base64(value: Scalar) -> str:
    return base64.b64encode(_bytes(value)).decode()


# -------------------------------------------------------------------------- types of their own kind


def _time(value: Scalar) -> str | None:
    if not value:
        return None
    found = dict(_fields(_bytes(value)))
    return _moment(_signed(found.get(1, 0)), 0).strftime("%Y-%m-%dT%H:%M:%SZ").rjust(20, "0")


def _micro_time(value: Scalar) -> str | None:
    if not value:
        return None
    found = dict(_fields(_bytes(value)))
    moment = _moment(_signed(found.get(1, 0)), _signed(found.get(2, 0)))
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")


def _moment(seconds: int, nanoseconds: int) -> dt.datetime:
    try:
        return _EPOCH + dt.timedelta(seconds=seconds, microseconds=nanoseconds // 1000)
    except OverflowError:
        raise _MalformedError(f"time of {seconds} seconds is out of range") from None


def _quantity(value: Scalar) -> str:
    return _text(dict(_fields(_bytes(value))).get(1, b"0")) or "0"


def _int_or_string(value: Scalar) -> int | str:
    found = dict(_fields(_bytes(value)))
    return _text(found.get(3, b"")) if found.get(1, 0) else _signed(found.get(2, 0))


def _raw_json(value: Scalar) -> objects.Json:
    """Read FieldsV1, RawExtension and JSON: bytes of JSON text in field 1."""
    raw = _bytes(dict(_fields(_bytes(value))).get(1, b""))
    if not raw:
        return None
    if raw.startswith(PREFIX):
        return decode(raw)
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise _MalformedError(f"raw JSON within the message: {error}") from None


def _duration(value: Scalar) -> str:
    nanoseconds = _signed(dict(_fields(_bytes(value))).get(1, 0))
    return f"{nanoseconds / 1e9:g}s"


_OWN: dict[str, Reader] = {
    definitions.META + "Time": _time,
    definitions.META + "MicroTime": _micro_time,
    definitions.META + "Duration": _duration,
    definitions.META + "FieldsV1": _raw_json,
    definitions.QUANTITY: _quantity,
    definitions.INT_OR_STRING: _int_or_string,
    definitions.RAW_EXTENSION: _raw_json,
    definitions.APIEXTENSIONS + "JSON": _raw_json,
}

_BASIC: dict[str, Reader] = {
    "string": _text,
    "bool": _bool,
    "int32": _signed,
    "int64": _signed,
    "int": _signed,
    "float64": _double,
    "[]byte": _base64,
}


# --------------------------------------------------------------------------------------- messages


@functools.cache
def _messages(version: str) -> _Messages:
    return _Messages(definitions.Definitions(version))


Member = tuple[str, Reader, str]
"""(JSON name, reader, how: `one`, `many`, `packed` (many numbers), `map`, `inline`)."""


class _Messages:
    """Readers of the messages of one Kubernetes version, each made at its first use."""

    def __init__(self, facts: definitions.Definitions) -> None:
        self._go = facts.go
        self._by_kind = facts.by_kind
        self._members: dict[str, tuple[dict[int, Member], frozenset[str]]] = {}

    def definition(self, api_version: str, kind: str) -> str:
        """Return the name of a kind's struct; options are the same in every group."""
        group, version = identities.split_api_version(api_version)
        found = self._by_kind.get((group, version, kind), "")
        if not found and kind.endswith("Options") and definitions.META + kind in self._go.structs:
            return definitions.META + kind
        return found

    def reader(self, go_type: str) -> Reader:
        """Return what reads one value of a Go type (a list's or map's element, no list or map)."""
        go_type = go_type.lstrip("*")
        if go_type in _OWN:
            return _OWN[go_type]
        if go_type in definitions.ONE_OF_TWO:
            return functools.partial(self._one_of_two, go_type)
        if go_type in self._go.wrappers:
            return _strings
        resolved = self._go.resolved(go_type)
        if resolved in _BASIC:
            return _BASIC[resolved]
        return functools.partial(self._struct, resolved)

    def _struct(self, name: str, value: Scalar) -> objects.Object:
        members, omit_empty = self._members.get(name) or self._compile(name)
        out: objects.Object = {}
        for number, item in _fields(_bytes(value)):
            member = members.get(number)
            if member is None:
                continue
            key, read, how = member
            if how == "one":
                out[key] = read(item)
            elif how == "many" or (how == "packed" and isinstance(item, int)):
                out.setdefault(key, []).append(read(item))
            elif how == "packed":
                out.setdefault(key, []).extend(_packed(_bytes(item), read))
            elif how == "map":
                entry = dict(_fields(_bytes(item)))
                out.setdefault(key, {})[_text(entry.get(1, b""))] = read(entry.get(2, b""))
            else:
                out.update(read(item))
        for key in [key for key, item in out.items() if not item and key in omit_empty]:
            del out[key]
        return out

    def _compile(self, name: str) -> tuple[dict[int, Member], frozenset[str]]:
        members: dict[int, Member] = {}
        omit_empty = set()
        for key, go_type, number, flags in self._go.structs[name]:
            if number:
                members[number] = self._member(key, go_type, inline="i" in flags)
            struct = go_type in _OWN or self._go.resolved(go_type) in self._go.structs
            struct = struct and go_type not in _NULLABLE
            if "o" in flags and not go_type.startswith("*") and not struct:
                omit_empty.add(key)
        self._members[name] = made = (members, frozenset(omit_empty))
        return made

    def _member(self, key: str, go_type: str, *, inline: bool) -> Member:
        if inline:
            return key, self.reader(go_type), "inline"
        pointed = go_type.lstrip("*")
        if pointed in self._go.wrappers:
            return key, _strings, "one"
        resolved = self._go.resolved(pointed)
        if resolved == "[]byte":
            return key, _base64, "one"
        if resolved.startswith("map["):
            return key, self.reader(resolved.partition("]")[2]), "map"
        if resolved.startswith("[]"):
            element = resolved[2:]
            numeric = self._go.resolved(element) in {"int32", "int64", "bool"}
            return key, self.reader(element), "packed" if numeric else "many"
        return key, self.reader(pointed), "one"

    def _one_of_two(self, name: str, value: Scalar) -> objects.Json:
        """Read JSONSchemaPropsOr*: {1: allows or schema, 2: schema, schemas or strings}."""
        fields = list(_fields(_bytes(value)))
        read = self.reader(definitions.APIEXTENSIONS + "JSONSchemaProps")
        if definitions.ONE_OF_TWO[name] == "schema-or-bool":
            found = dict(fields)
            return read(found[2]) if 2 in found else _bool(found.get(1, 0))
        for number, item in fields:
            if number == 1:
                return read(item)
        element = read if definitions.ONE_OF_TWO[name] == "schema-or-array" else _text
        return [element(item) for number, item in fields if number == 2]


_NULLABLE = frozenset({definitions.META + "Time", definitions.META + "MicroTime"})


def _strings(value: Scalar) -> list[str]:
    """Read a message that only wraps a list of strings."""
    return [_text(item) for number, item in _fields(_bytes(value)) if number == 1]


def _packed(data: bytes, read: Reader) -> Iterator[objects.Json]:
    at = 0
    while at < len(data):
        number, at = _varint(data, at)
        yield read(number)
