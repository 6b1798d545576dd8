"""What Go's typed round trip does to one JSON value, done with care for every word of an error.

This is the rule; `kube.decoding` has a faster form of it for values in which nothing is wrong and
comes here for all others. Source: sigs.k8s.io/json (decode into structs, strict errors) and the
UnmarshalJSON functions of Time, MicroTime, Quantity, IntOrString and JSONSchemaPropsOr*.

Go keeps the first type error and goes on; an error of an UnmarshalJSON ends decoding at once and
wins over it. Unknown fields are collected by path, in the order in which they are met.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable

from understudy.kube import go_base64, objects, quantities, schemas, times

COMPLAINTS_MAX = 100
"""Unknown fields reported at most; Go stops collecting there too."""

_INTEGERS = {"int32": (-(1 << 31), (1 << 31) - 1), "int64": (-(1 << 63), (1 << 63) - 1)}
_NULL_FORMATS = frozenset({"date-time", "micro-time", "byte"})
_ZEROS: dict[str, objects.Json] = {"string": "", "integer": 0, "number": 0, "boolean": False}
_FORMAT_ZEROS: dict[str, objects.Json] = {"quantity": "0", "int-or-string": 0, "duration": "0s"}


class ConversionError(ValueError):
    """A value that Go's types cannot hold; the message is Go's."""


def declares(node: schemas.Schema | None, steps: Iterable[str | int]) -> bool:
    """Say whether a path leads to a field or an entry that the types know.

    Go looks at the keys of nothing else: unknown fields are skipped whole, raw JSON is kept whole.
    """
    for step in steps:
        if node is None or node.format:
            return False
        if isinstance(step, int):
            node = node.items
        elif node.fields is not None:
            node = node.fields.get(step)
        else:
            node = node.values
    return node is not None


def zero(node: schemas.Schema) -> objects.Json:
    """Return what Go writes for a field of this type that was never set (no pointer)."""
    if node.fields is not None:
        return finish(node, {})
    if node.format in _NULL_FORMATS or node.preserve_unknown:
        return None
    if node.format in _FORMAT_ZEROS:
        return _FORMAT_ZEROS[node.format]
    return _ZEROS.get(node.type)


def droppable(node: schemas.Schema) -> frozenset[str]:
    """Return the fields of a struct whose empty values are not kept as they are."""
    assert node.fields is not None
    nullable = (
        key
        for key, as_null in node.always.items()
        if as_null and (node.fields[key].type == "array" or node.fields[key].values is not None)
    )
    return node.omit_empty.union(nullable) if node.always else node.omit_empty


def finish(node: schemas.Schema, out: objects.Object) -> objects.Object:
    """Leave out the fields which Go leaves out, write those which Go always writes; in place.

    An empty list or map that Go would write becomes null: objects are stored as protobuf, which
    cannot tell the two apart.
    """
    assert node.fields is not None
    dropped = droppable(node)
    for key in [key for key, item in out.items() if not item and key in dropped]:
        del out[key]
    for key, as_null in node.always.items():
        if key not in out:
            out[key] = None if as_null else zero(node.fields[key])
    return out


def convert(value: objects.Json, node: schemas.Schema) -> tuple[objects.Json, list[str]]:
    """Return the value as Go would write it back, and its unknown fields as complaints.

    Raises:
        ConversionError: A value of a wrong type, in Go's words.
    """
    conversion = _Conversion()
    out = conversion.value(value, node, "")
    if conversion.problem:
        raise ConversionError(conversion.problem)
    return out, list(conversion.complaints)


class _Conversion:
    """One decoding: where it is, what it found."""

    def __init__(self) -> None:
        self.problem = ""
        self.complaints: dict[str, None] = {}
        self._struct = ""
        self._stack: list[str] = []

    def value(self, value: objects.Json, node: schemas.Schema, path: str) -> objects.Json:
        if (special := _SPECIAL.get(node.format)) is not None:
            return special(self, value, node, path)
        if value is None:
            return zero(node)
        if node.fields is not None:
            return self._struct_value(value, node, path)
        if node.preserve_unknown:
            return value
        if node.type == "array":
            if isinstance(value, list):
                return self._list(value, node, path)
        elif node.type == "object":
            if isinstance(value, dict):
                return self._map(value, node, path)
        elif _fits(value, node):
            return value
        self._refuse(value, node)
        return zero(node)

    def _struct_value(self, value: objects.Json, node: schemas.Schema, path: str) -> objects.Json:
        assert node.fields is not None
        if not isinstance(value, dict):
            self._refuse(value, node)
            return zero(node)
        out: objects.Object = {}
        outer = self._struct
        for key, item in value.items():
            inner = f"{path}.{key}" if path else key
            field = node.fields.get(key)
            if field is None:
                if node.preserve_unknown:
                    out[key] = item
                elif len(self.complaints) < COMPLAINTS_MAX:
                    self.complaints[f'unknown field "{inner}"'] = None
            elif item is not None:
                self._struct = node.name
                depth = len(self._stack)
                self._stack += (*node.inlined.get(key, ()), key)
                out[key] = self.value(item, field, inner)
                del self._stack[depth:]
        self._struct = outer
        return finish(node, out)

    def _list(self, value: list[objects.Json], node: schemas.Schema, path: str) -> objects.Json:
        assert node.items is not None
        return [
            self.value(item, node.items, f"{path}[{index}]") for index, item in enumerate(value)
        ]

    def _map(self, value: objects.Object, node: schemas.Schema, path: str) -> objects.Json:
        if node.values is None:
            return value
        if node.values.format == "byte":
            value = {key: "" if item is None else item for key, item in value.items()}
        return {key: self.value(item, node.values, f"{path}.{key}") for key, item in value.items()}

    def _refuse(self, value: objects.Json, node: schemas.Schema) -> None:
        """Note a value of a wrong type; only the first one is told."""
        what = called(value)
        numeric = node.go_type.startswith(("int", "uint")) or node.type == "integer"
        if what == "number" and numeric:
            what = f"number {value}"
        self._note(self._mismatch(what, node.go_type or node.type))

    def _note(self, problem: str) -> None:
        self.problem = self.problem or problem

    def _mismatch(self, what: str, go_type: str) -> str:
        if self._stack:
            place = f"Go struct field {self._struct}.{'.'.join(self._stack)}"
        else:
            place = "Go value"
        return f"json: cannot unmarshal {what} into {place} of type {go_type}"

    def time(self, value: objects.Json, node: schemas.Schema, path: str) -> objects.Json:
        if value is None:
            return None
        if not isinstance(value, str):
            raise ConversionError(self._mismatch(called(value), "string"))
        try:
            if node.format == "micro-time":
                return times.canonical_micro(value)
            return times.canonical(value)
        except ValueError as error:
            raise ConversionError(str(error)) from None

    def quantity(self, value: objects.Json, node: schemas.Schema, path: str) -> objects.Json:
        if value is None:
            return "0"
        try:
            return quantities.canonical(value if isinstance(value, str | int | float) else "")
        except quantities.QuantityError as error:
            raise ConversionError(str(error)) from None

    def int_or_string(self, value: objects.Json, node: schemas.Schema, path: str) -> objects.Json:
        if value is None:
            return 0
        if isinstance(value, str):
            return value
        low, high = _INTEGERS["int32"]
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        what = called(value)
        raise ConversionError(
            self._mismatch(f"number {value}" if what == "number" else what, "int32")
        )

    def bytes(self, value: objects.Json, node: schemas.Schema, path: str) -> objects.Json:
        if value is None:
            return None
        if isinstance(value, list):
            return base64.b64encode(bytes(self._byte(item) for item in value)).decode()
        if not isinstance(value, str):
            self._refuse(value, node)
            return None
        try:
            return go_base64.canonical(value)
        except go_base64.CorruptError as error:
            self._note(str(error))
            return None

    def _byte(self, item: objects.Json) -> int:
        if item is None:
            return 0
        if isinstance(item, int) and not isinstance(item, bool) and 0 <= item <= 255:
            return item
        what = called(item)
        self._note(self._mismatch(f"number {item}" if what == "number" else what, "uint8"))
        return 0

    def _apart(self, value: objects.Json, node: schemas.Schema) -> objects.Json:
        """Decode a value by a decoding of its own, whose errors say where this one stands."""
        inner = _Conversion()
        inner._struct, inner._stack = self._struct, list(self._stack)
        out = inner.value(value, node, "")
        if inner.problem:
            raise ConversionError(inner.problem)
        return out

    def schema_or(self, value: objects.Json, node: schemas.Schema, path: str) -> objects.Json:
        """Decode a schema, or what may stand in its place; unknown fields inside go unnoticed."""
        assert node.items is not None
        if isinstance(value, dict):
            return self._apart(value, node.items)
        if node.format == "schema-or-bool":
            if not isinstance(value, bool):
                raise ConversionError("boolean or JSON schema expected")
        elif not isinstance(value, list):
            return None
        elif node.format == "schema-or-array":
            return [self._apart(item, node.items) for item in value]
        else:
            for item in value:
                if not isinstance(item, str):
                    raise ConversionError(self._mismatch(called(item), "string"))
        return value


def _fits(value: objects.Json, node: schemas.Schema) -> bool:
    if node.type == "string":
        return isinstance(value, str)
    if node.type == "boolean":
        return isinstance(value, bool)
    if isinstance(value, bool):
        return False
    if node.type == "number":
        return isinstance(value, int | float)
    if node.type == "integer":
        low, high = _INTEGERS.get(node.format, _INTEGERS["int64"])
        return isinstance(value, int) and low <= value <= high
    return not node.type


def called(value: objects.Json) -> str:
    """Return Go's word for a JSON value."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


_Special = Callable[[_Conversion, objects.Json, schemas.Schema, str], objects.Json]
_SPECIAL: dict[str, _Special] = {
    "date-time": _Conversion.time,
    "micro-time": _Conversion.time,
    "quantity": _Conversion.quantity,
    "int-or-string": _Conversion.int_or_string,
    "byte": _Conversion.bytes,
    "schema-or-bool": _Conversion.schema_or,
    "schema-or-array": _Conversion.schema_or,
    "schema-or-strings": _Conversion.schema_or,
}
