"""Why a patched object cannot become one of its kind, in the words of each kind of patch.

JSON and merge patches give a document that Go's JSON decoder refuses; a strategic merge patch gives
a map that Kubernetes copies field by field, with texts of its own and without saying where.

Source: k8s.io/apimachinery `pkg/runtime/converter.go`, k8s.io/apiserver `handlers/patch.go`.
"""

from __future__ import annotations

from understudy.kube import goformats, objects, quantities, schemas, statuses

_HANDLED = " cannot be handled as a "
_KINDS = {str: "string", bool: "bool", int: "int64", float: "float64", dict: "map", list: "slice"}
_SCALARS = {"string": "string", "boolean": "bool", "number": "float64"}


def refusal(
    patch: objects.Json,
    patched: objects.Object,
    schema: schemas.Schema,
    error: statuses.BadRequestError,
    *,
    strategic: bool,
) -> statuses.InvalidError:
    """Turn what decoding said of a patched object into the answer to the patch."""
    head, found, rest = error.message.partition(_HANDLED)
    problem = rest.partition(": ")[2] if found else head
    if strategic:
        problem = complaint(schema, patched) or problem
        shown = goformats.quoted(goformats.plain(patch))
    else:
        shown = goformats.quoted(goformats.json_text(patched))
    cause = statuses.Cause("patch", "FieldValueInvalid", f"Invalid value: {shown}: {problem}")
    return statuses.invalid("", "", "", [cause])


def complaint(schema: schemas.Schema, value: objects.Json) -> str:
    """Return the first reason why a value cannot be copied into its Go type; else nothing."""
    if value is None or (not schema.type and schema.fields is None and not schema.format):
        return ""
    if schema.format == "quantity":
        return _quantity_complaint(value)
    if schema.format in {"int-or-string", "date-time", "micro-time", "duration"}:
        return ""
    if schema.fields is not None:
        return _struct_complaint(schema.fields, value)
    if schema.type == "object":
        return _map_complaint(schema, value)
    if schema.type == "array":
        if not isinstance(value, list):
            return f"cannot restore slice from {_kind(value)}"
        return _first(schema.items, value)
    return _scalar_complaint(schema, value)


def _struct_complaint(fields: dict[str, schemas.Schema], value: objects.Json) -> str:
    if not isinstance(value, dict):
        return f"cannot restore struct from: {_kind(value)}"
    for name, field in fields.items():
        if name in value and (found := complaint(field, value[name])):
            return found
    return ""


def _map_complaint(schema: schemas.Schema, value: objects.Json) -> str:
    if not isinstance(value, dict):
        return f"cannot restore map from {_kind(value)}"
    return _first(schema.values, list(value.values()))


def _first(schema: schemas.Schema | None, values: list[objects.Json]) -> str:
    if schema is None:
        return ""
    return next((found for value in values if (found := complaint(schema, value))), "")


def _quantity_complaint(value: objects.Json) -> str:
    try:
        quantities.canonical(value if isinstance(value, (str, int, float)) else "{")
    except quantities.QuantityError as error:
        return str(error)
    return ""


def _scalar_complaint(schema: schemas.Schema, value: objects.Json) -> str:
    kind = _SCALARS.get(schema.type) or schema.format or "int64"
    own = _kind(value)
    if schema.type == "string":
        if own == "string":
            return ""
        if schema.format == "byte":
            return f"cannot restore slice from {own}"
        # Go can convert numbers to text, as code points; here that counts as a wrong try.
        convertible = own == "int64"
    elif schema.type == "boolean":
        convertible = False
        if own == "bool":
            return ""
    else:
        convertible = own == "float64"
        if own == "int64" or (own == "float64" and (kind == own or value.is_integer())):
            return ""
    if convertible:
        return f"cannot convert {own} to {schema.go_type or kind}"
    return f"unrecognized type: {kind}"


def _kind(value: objects.Json) -> str:
    return _KINDS.get(type(value), "invalid")
