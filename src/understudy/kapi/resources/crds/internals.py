"""Versions of a definition as Kubernetes prints its internal types, where a refusal quotes them.

Fields stand in Go's order, absent ones with their zero value. What all versions say alike stands
at the definition itself and is null here. Source: k8s.io/apiextensions-apiserver 0.36
`apis/apiextensions/types*.go`.
"""

from __future__ import annotations

from collections.abc import Iterable

from understudy.kapi.resources.crds import definitions
from understudy.kube import objects

_TEXTS = frozenset({"id", "$schema", "description", "type", "format", "title", "pattern"})
_FLAGS = frozenset(
    {
        "nullable", "exclusiveMaximum", "exclusiveMinimum", "uniqueItems",
        "x-kubernetes-embedded-resource", "x-kubernetes-int-or-string",
    }
)  # fmt: skip
_SCHEMA_FIELDS = {
    "id": "ID", "$schema": "Schema", "$ref": "Ref", "description": "Description", "type": "Type",
    "nullable": "Nullable", "format": "Format", "title": "Title", "default": "Default",
    "maximum": "Maximum", "exclusiveMaximum": "ExclusiveMaximum", "minimum": "Minimum",
    "exclusiveMinimum": "ExclusiveMinimum", "maxLength": "MaxLength", "minLength": "MinLength",
    "pattern": "Pattern", "maxItems": "MaxItems", "minItems": "MinItems",
    "uniqueItems": "UniqueItems", "multipleOf": "MultipleOf", "enum": "Enum",
    "maxProperties": "MaxProperties", "minProperties": "MinProperties", "required": "Required",
    "items": "Items", "allOf": "AllOf", "oneOf": "OneOf", "anyOf": "AnyOf", "not": "Not",
    "properties": "Properties", "additionalProperties": "AdditionalProperties",
    "patternProperties": "PatternProperties", "dependencies": "Dependencies",
    "additionalItems": "AdditionalItems", "definitions": "Definitions",
    "externalDocs": "ExternalDocs", "example": "Example",
    "x-kubernetes-preserve-unknown-fields": "XPreserveUnknownFields",
    "x-kubernetes-embedded-resource": "XEmbeddedResource",
    "x-kubernetes-int-or-string": "XIntOrString", "x-kubernetes-list-map-keys": "XListMapKeys",
    "x-kubernetes-list-type": "XListType", "x-kubernetes-map-type": "XMapType",
    "x-kubernetes-validations": "XValidations",
}  # fmt: skip


def versions(crd: objects.Object) -> list[objects.Object] | None:
    """Return spec.versions in Go's form; None where it is absent."""
    if definitions.spec_of(crd).get("versions") is None:
        return None
    found = definitions.versions_of(crd)
    own = {
        word: {part.index for part in definitions.parts(crd, word)}
        for word in ("schema", "subresources", "additionalPrinterColumns", "selectableFields")
    }

    def said(position: int, word: str) -> objects.Json:
        return found[position].get(word) if position in own[word] else None

    return [
        {
            "Name": version.get("name") or "",
            "Served": bool(version.get("served")),
            "Storage": bool(version.get("storage")),
            "Deprecated": bool(version.get("deprecated")),
            "DeprecationWarning": version.get("deprecationWarning"),
            "Schema": _validation(said(position, "schema")),
            "Subresources": _subresources(said(position, "subresources")),
            "AdditionalPrinterColumns": _columns(said(position, "additionalPrinterColumns")),
            "SelectableFields": _selectable(said(position, "selectableFields")),
        }
        for position, version in enumerate(found)
    ]


def _validation(schema: objects.Object | None) -> objects.Json:
    if schema is None:
        return None
    return {"OpenAPIV3Schema": _schema(schema.get("openAPIV3Schema"))}


def _subresources(given: objects.Object | None) -> objects.Json:
    if given is None:
        return None
    scale = given.get("scale")
    fields = ("specReplicasPath", "statusReplicasPath", "labelSelectorPath")
    shown = {_upper(field): scale.get(field) for field in fields} if scale is not None else None
    return {"Status": given.get("status"), "Scale": shown}


def _columns(given: Iterable[objects.Object] | None) -> objects.Json:
    if given is None:
        return None
    texts = ("name", "type", "format", "description")
    return [
        {_upper(field): column.get(field) or "" for field in texts}
        | {"Priority": column.get("priority") or 0, "JSONPath": column.get("jsonPath") or ""}
        for column in given
    ]


def _selectable(given: Iterable[objects.Object] | None) -> objects.Json:
    return None if given is None else [{"JSONPath": field.get("jsonPath")} for field in given]


def _schema(schema: objects.Object | None) -> objects.Json:
    if schema is None:
        return None
    out: objects.Object = {}
    for word, name in _SCHEMA_FIELDS.items():
        value = schema.get(word)
        if word in _TEXTS:
            out[name] = value or ""
        elif word in _FLAGS:
            out[name] = bool(value)
        else:
            out[name] = None if value is None else _part(word, value)
    return out


def _part(word: str, value: objects.Json) -> objects.Json:
    match word:
        case "items" if isinstance(value, list):
            return {"Schema": None, "JSONSchemas": [_schema(item) for item in value]}
        case "items":
            return {"Schema": _schema(value), "JSONSchemas": None}
        case "allOf" | "oneOf" | "anyOf":
            return [_schema(item) for item in value]
        case "not":
            return _schema(value)
        case "properties" | "patternProperties" | "definitions":
            return {key: _schema(sub) for key, sub in value.items()}
        case "additionalProperties" | "additionalItems":
            whole = not isinstance(value, dict)
            return {"Allows": bool(value), "Schema": None if whole else _schema(value)}
        case "x-kubernetes-validations":
            return [_rule(rule) for rule in value]
        case _:
            return value


def _rule(rule: objects.Object) -> objects.Object:
    texts = {_upper(f): rule.get(f) or "" for f in ("rule", "message", "messageExpression")}
    return texts | {
        "Reason": rule.get("reason"),
        "FieldPath": rule.get("fieldPath") or "",
        "OptionalOldSelf": rule.get("optionalOldSelf"),
    }


def _upper(field: str) -> str:
    return field[0].upper() + field[1:]
