"""`/openapi/v2` as protobuf: what kubectl before 1.28 reads before it creates or applies anything.

A document in JSON is written member by member as the messages of `openapi.v2` (gnostic,
`openapiv2/OpenAPIv2.proto`); `_TABLE` has their field numbers. Members that `_TABLE` does not name
are left out: our documents have none. Values without a message of their own (extensions, defaults)
travel as YAML text, of which JSON is a form.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Iterable
from typing import Final

import orjson

from understudy.kapi.discovery import documents, openapi_v2
from understudy.kapi.resources import catalogue as catalogues
from understudy.kube import objects

CONTENT_TYPE: Final = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
"""What the answer is called."""
ACCEPTED: Final = frozenset(
    {
        "com.github.proto-openapi.spec.v2@v1.0+protobuf",
        "com.github.proto-openapi.spec.v2.v1.0+protobuf",
    }
)
"""Subtypes of `application` by which clients ask for it: with @ they always did."""

PIECES_MAX: Final = 4096
"""Paths and definitions kept encoded (4 KB each, on average): a new custom kind adds a few to a
thousand others that stay as they are."""

_VARINT, _FIXED64, _LENGTH = 0, 1, 2
_TABLE: Final = {
    "Document": "swagger 1, info 2 Info, schemes 5 text*, consumes 6 text*, produces 7 text*, "
    "paths 8 Paths, definitions 9 Definitions, security 12 SecurityRequirement*, "
    "securityDefinitions 13 SecurityDefinitions, x- 16",
    "Info": "title 1, version 2, description 3, x- 7",
    "PathItem": "$ref 1, get 2 Operation, put 3 Operation, post 4 Operation, delete 5 Operation, "
    "options 6 Operation, head 7 Operation, patch 8 Operation, parameters 9 ParametersItem*, x- 10",
    "Operation": "tags 1 text*, summary 2, description 3, operationId 5, produces 6 text*, "
    "consumes 7 text*, parameters 8 ParametersItem*, responses 9 Responses, schemes 10 text*, "
    "deprecated 11 bool, x- 13",
    "BodyParameter": "description 1, name 2, in 3, required 4 bool, schema 5 Schema, x- 6",
    "QueryParameterSubSchema": "required 1 bool, in 2, description 3, name 4, type 6, format 7, "
    "default 10 Any, uniqueItems 20 bool, x- 23",
    "PathParameterSubSchema": "required 1 bool, in 2, description 3, name 4, type 5, format 6, "
    "default 9 Any, uniqueItems 19 bool, x- 22",
    "Response": "description 1, schema 2 SchemaItem, x- 5",
    "ApiKeySecurity": "type 1, name 2, in 3, description 4, x- 5",
    "Schema": "$ref 1, format 2, title 3, description 4, default 5 Any, multipleOf 6 double, "
    "maximum 7 double, exclusiveMaximum 8 bool, minimum 9 double, exclusiveMinimum 10 bool, "
    "maxLength 11 int, minLength 12 int, pattern 13, maxItems 14 int, minItems 15 int, "
    "uniqueItems 16 bool, maxProperties 17 int, minProperties 18 int, required 19 text*, "
    "enum 20 Any*, additionalProperties 21 AdditionalPropertiesItem, type 22 TypeItem, "
    "items 23 ItemsItem, allOf 24 Schema*, properties 25 Properties, readOnly 27 bool, "
    "example 30 Any, x- 31",
}
"""Member, field number and type of each message; without a type it is text, * is repeated."""

Writer = Callable[[objects.Json], bytes]


def document(catalogue: catalogues.Catalogue) -> documents.Document:
    """Return the document of everything that the catalogue serves."""

    def make() -> bytes:
        return _message("Document", openapi_v2.document(catalogue).value())

    return documents.kept(catalogue, "openapi/v2.protobuf", make, encode=bytes)


def _message(name: str, value: objects.Object) -> bytes:
    members, extensions = _members(name)
    written: list[bytes] = []
    for key, item in value.items():
        if key.startswith("x-"):
            written.append(_field(extensions, _named(key, _any(item))))
        elif member := members.get(key):
            number, wire, write, repeated = member
            values = item if repeated else (item,)
            written += [_field(number, write(one), wire) for one in values]
    return b"".join(written)


@functools.cache
def _members(name: str) -> tuple[dict[str, tuple[int, int, Writer, bool]], int]:
    """Return a message's members (number, wire type, writer, repeated) and where extensions go."""
    members: dict[str, tuple[int, int, Writer, bool]] = {}
    extensions = 0
    for line in _TABLE[name].split(", "):
        key, number, *rest = line.split(" ")
        kind = rest[0] if rest else "text"
        if key == "x-":
            extensions = int(number)
            continue
        wire, write = _SCALARS.get(kind.rstrip("*")) or (_LENGTH, _writer(kind.rstrip("*")))
        members[key] = (int(number), wire, write, kind.endswith("*"))
    return members, extensions


def _writer(name: str) -> Writer:
    return _SHAPES.get(name) or functools.partial(_message, name)


# -- bytes


def _varint(value: int) -> bytes:
    out = bytearray()
    value &= 0xFFFFFFFFFFFFFFFF
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number: int, payload: bytes, wire: int = _LENGTH) -> bytes:
    head = _varint(number << 3 | wire)
    return head + _varint(len(payload)) + payload if wire == _LENGTH else head + payload


def _text(value: objects.Json) -> bytes:
    return str(value).encode()


def _bool(value: objects.Json) -> bytes:
    return b"\x01" if value else b"\x00"


def _int(value: objects.Json) -> bytes:
    return _varint(int(value))


def _double(value: objects.Json) -> bytes:
    return struct.pack("<d", value)


_SCALARS: Final[dict[str, tuple[int, Writer]]] = {
    "text": (_LENGTH, _text),
    "bool": (_VARINT, _bool),
    "int": (_VARINT, _int),
    "double": (_FIXED64, _double),
}


# -- messages whose JSON has another shape


def _any(value: objects.Json) -> bytes:
    return _field(2, orjson.dumps(value))


def _named(name: str, value: bytes) -> bytes:
    return _field(1, name.encode()) + _field(2, value)


def _map(value: objects.Object, write: Writer, number: int = 1) -> bytes:
    return b"".join(_field(number, _named(key, write(item))) for key, item in value.items())


def _texts(values: Iterable[str]) -> bytes:
    return b"".join(_field(1, text.encode()) for text in values)


def _schema(value: objects.Json) -> bytes:
    return _message("Schema", value)


def _definitions(value: objects.Json) -> bytes:
    return _map(value, lambda one: _piece("Schema", orjson.dumps(one)))


def _properties(value: objects.Json) -> bytes:
    return _map(value, _schema)


def _paths(value: objects.Json) -> bytes:
    return _map(value, lambda one: _piece("PathItem", orjson.dumps(one)), 2)


@functools.lru_cache(maxsize=PIECES_MAX)
def _piece(name: str, text: bytes) -> bytes:
    return _message(name, orjson.loads(text))


def _parameter(value: objects.Json) -> bytes:
    """Write a ParametersItem that holds a parameter: of the body, of the query or of the path."""
    where = value["in"]
    if where == "body":
        return _field(1, _field(1, _message("BodyParameter", value)))
    number, name = {"query": (3, "QueryParameterSubSchema"), "path": (4, "PathParameterSubSchema")}[
        where
    ]
    return _field(1, _field(2, _field(number, _message(name, value))))


def _responses(value: objects.Json) -> bytes:
    return _map(value, lambda one: _field(1, _message("Response", one)))


def _schema_item(value: objects.Json) -> bytes:
    return _field(1, _schema(value))


def _items(value: objects.Json) -> bytes:
    return b"".join(
        _field(1, _schema(one)) for one in (value if isinstance(value, list) else [value])
    )


def _additional(value: objects.Json) -> bytes:
    if isinstance(value, bool):
        return _field(2, _bool(value), _VARINT)
    return _field(1, _schema(value))


def _type(value: objects.Json) -> bytes:
    return _texts(value if isinstance(value, list) else [value])


def _requirement(value: objects.Json) -> bytes:
    return _map(value, _texts)


def _security(value: objects.Json) -> bytes:
    return _map(value, lambda one: _field(2, _message("ApiKeySecurity", one)))


_SHAPES: Final[dict[str, Writer]] = {
    "AdditionalPropertiesItem": _additional,
    "Any": _any,
    "Definitions": _definitions,
    "ItemsItem": _items,
    "ParametersItem": _parameter,
    "Paths": _paths,
    "Properties": _properties,
    "Responses": _responses,
    "SchemaItem": _schema_item,
    "SecurityDefinitions": _security,
    "SecurityRequirement": _requirement,
    "TypeItem": _type,
}
