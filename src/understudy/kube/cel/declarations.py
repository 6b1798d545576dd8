"""From a schema to the types and size bounds with which rules on it are checked and estimated.

Source: k8s.io/apiserver 0.36 `cel/common/schemas.go`. What has no type (preserved unknown fields)
does not exist for rules.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from understudy.kube import objects
from understudy.kube.cel import types

REQUEST_BYTES_MAX = 3 * 1024 * 1024
_TIMES: dict[str, tuple[types.Type, str, int, int]] = {
    "duration": (types.DURATION, "duration", 3, 32),
    "date": (types.TIMESTAMP, "date", 12, 12),
    "date-time": (types.TIMESTAMP, "date-time", 21, 32),
}
_ESCAPED = re.compile(r"__|[-./]")
_ESCAPES = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


@dataclass(slots=True, kw_only=True, eq=False)
class Declaration:
    """A type with the bounds that its schema gives it.

    Attributes:
        size_max: Most characters, bytes, items or entries a value may have; 0 for what has none.
        bytes_min: Length of its shortest JSON form; bounds how many fit into one request.
    """

    type: types.Type
    size_max: int
    bytes_min: int
    element: Declaration | None = None
    key: Declaration | None = None
    fields: dict[str, Declaration] = field(default_factory=dict)


def escape(name: str) -> str | None:
    """Return the name of a field as CEL writes it, e.g. `__namespace__`, `a__dash__b`.

    None where no name can be made of it.
    """
    if name in types.RESERVED:
        return f"__{name}__"
    if not name or name[0].isdigit():
        return None
    escaped = _ESCAPED.sub(lambda found: _ESCAPES[found[0]], name)
    return escaped if _NAME.fullmatch(escaped) else None


def declare(
    schema: objects.Object, *, root: bool = False, name: str = "object"
) -> Declaration | None:
    """Return the declaration of a schema, or None where rules cannot see such values.

    `root` (or an embedded resource) adds apiVersion, kind, metadata.name and generateName. Each
    object in the schema is a type of its own, named after its place below `name`.
    """
    if schema.get("x-kubernetes-int-or-string"):
        longest = schema.get("maxLength")
        size = max(longest, 0) * 4 if longest is not None else REQUEST_BYTES_MAX - 2
        return Declaration(type=types.DYN, size_max=size, bytes_min=1)
    match schema.get("type"):
        case "array":
            return _list(schema, name)
        case "object":
            return _object(schema, name, root=root)
        case "string":
            return _string(schema)
        case "boolean":
            return Declaration(type=types.BOOL, size_max=0, bytes_min=4)
        case "number":
            return Declaration(type=_NUMBER, size_max=0, bytes_min=1)
        case "integer":
            return Declaration(type=_INTEGER, size_max=0, bytes_min=1)
        case _:
            return None


_NUMBER = types.Type("double", "double", coerce="number")
_INTEGER = types.INT
_BYTES = types.Type("bytes", "bytes", coerce="byte")


def _list(schema: objects.Object, name: str) -> Declaration | None:
    items = schema.get("items")
    if not isinstance(items, dict):
        return None
    element = declare(items, root=_is_resource(items), name=f"{name}.@idx")
    if element is None:
        return None
    longest = schema.get("maxItems")
    size = (REQUEST_BYTES_MAX - 2) // (element.bytes_min + 1)
    made = types.list_of(element.type)
    kind = str(schema.get("x-kubernetes-list-type") or "")
    if kind in {"set", "map"}:
        made.coerce = kind
        made.list_keys = tuple(schema.get("x-kubernetes-list-map-keys") or ())
    return Declaration(
        type=made,
        size_max=max(longest, 0) if longest is not None else size,
        bytes_min=2,
        element=element,
    )


def _object(schema: objects.Object, name: str, *, root: bool) -> Declaration | None:
    additional = schema.get("additionalProperties")
    if isinstance(additional, dict):
        value = declare(additional, root=_is_resource(additional), name=f"{name}.@elem")
        if value is None:
            return None
        most = schema.get("maxProperties")
        size = (REQUEST_BYTES_MAX - 2) // (value.bytes_min + 6)
        # Kubernetes bounds the number of keys, and takes their letters for none.
        key = Declaration(type=types.STRING, size_max=0, bytes_min=2)
        return Declaration(
            type=types.map_of(types.STRING, value.type),
            size_max=max(most, 0) if most is not None else size,
            bytes_min=2,
            element=value,
            key=key,
        )
    properties: objects.Object = dict(schema.get("properties") or {})
    if root:
        properties |= _resource_properties(properties)
    required = set(schema.get("required") or ())
    fields: dict[str, Declaration] = {}
    named: dict[str, types.Field] = {}
    smallest = 2
    for field_name, sub in properties.items():
        escaped = escape(field_name)
        place = f"{name}.{escaped or field_name}"
        found = declare(sub, root=_is_resource(sub), name=place)
        if found is None:
            continue
        if escaped is not None:
            fields[escaped] = found
            named[escaped] = types.Field(type=found.type, name=field_name)
        if field_name in required and sub.get("default") is None:
            smallest += len(field_name.encode()) + found.bytes_min + 4
    made = types.object_type(name, named)
    return Declaration(type=made, size_max=0, bytes_min=smallest, fields=fields)


def _is_resource(schema: objects.Object) -> bool:
    return bool(schema.get("x-kubernetes-embedded-resource"))


def _resource_properties(properties: objects.Object) -> objects.Object:
    """Return what every resource has, unless the schema says all of it itself."""
    text: objects.Object = {"type": "string"}
    meta = properties.get("metadata") or {}
    own = meta.get("properties") or {}
    complete = (
        all((properties.get(name) or {}).get("type") == "string" for name in ("kind", "apiVersion"))
        and meta.get("type") == "object"
        and all((own.get(name) or {}).get("type") == "string" for name in ("name", "generateName"))
    )
    if complete:
        return {}
    named: objects.Object = {"name": text, "generateName": text}
    return {
        "kind": text,
        "apiVersion": text,
        "metadata": {"type": "object", "properties": named},
    }


def _string(schema: objects.Object) -> Declaration:
    kind, longest = str(schema.get("format") or ""), schema.get("maxLength")
    if kind == "byte":
        size = max(longest, 0) if longest is not None else REQUEST_BYTES_MAX - 2
        return Declaration(type=_BYTES, size_max=size, bytes_min=2)
    if kind in _TIMES:
        base, coerce, smallest, size = _TIMES[kind]
        made = types.Type(base.kind, base.name, coerce=coerce)
        return Declaration(type=made, size_max=size, bytes_min=smallest)
    known = [value for value in schema.get("enum") or () if isinstance(value, str)]
    if longest is not None:
        size = max(longest, 0) * 4
    elif schema.get("enum"):
        size = max((len(value.encode()) for value in known), default=0)
    else:
        size = REQUEST_BYTES_MAX - 2
    return Declaration(type=types.STRING, size_max=size, bytes_min=2)
