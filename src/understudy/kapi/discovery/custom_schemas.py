"""OpenAPI definitions of custom resources, from the schemas of their definitions."""

from __future__ import annotations

from understudy.kapi.discovery import operations
from understudy.kapi.resources import catalogue as catalogues, definitions
from understudy.kube import identities, objects

_META = f"#/definitions/{definitions.META}"
_KIND = "Kind is a string value representing the REST resource this object represents."
_API_VERSION = "APIVersion defines the versioned schema of this representation of an object."
_V2_UNKNOWN = frozenset({
    "nullable", "oneOf", "anyOf", "not", "allOf", "x-kubernetes-validations", "default",
    "patternProperties", "example",
})  # fmt: skip
"""Parts of a schema that OpenAPI v2 has no word for, or that clients of v2 stumble over."""


def definitions_of(
    catalogue: catalogues.Catalogue, resource: catalogues.Resource, *, v2: bool = False
) -> dict[str, objects.Object]:
    """Return the definitions of a custom kind and of its list, by name, with v2 references.

    Example: `{"com.example.v1.Widget": {...}, "com.example.v1.WidgetList": {...}}`.
    """
    gvk = identities.GroupVersionKind(resource.group, resource.version, resource.kind)
    name = operations.definition_of(catalogue, gvk)
    list_gvk = gvk._replace(kind=resource.kind_of_list)
    schema = dict(resource.openapi or {"type": "object"})
    if v2:
        schema = _simplified(schema)
    schema["properties"] = dict(schema.get("properties") or {}) | {
        "apiVersion": {"type": "string", "description": _API_VERSION},
        "kind": {"type": "string", "description": _KIND},
        "metadata": {"$ref": f"{_META}ObjectMeta", "description": "Standard object's metadata."},
    }
    schema["x-kubernetes-group-version-kind"] = [_gvk(gvk)]
    listed: objects.Object = {
        "description": f"{resource.kind_of_list} is a list of {resource.kind}",
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string", "description": _API_VERSION},
            "items": {
                "type": "array",
                "description": f"List of {resource.plural}.",
                "items": {"$ref": f"#/definitions/{name}"},
            },
            "kind": {"type": "string", "description": _KIND},
            "metadata": {"$ref": f"{_META}ListMeta", "description": "Standard list metadata."},
        },
        "x-kubernetes-group-version-kind": [_gvk(list_gvk)],
    }
    return {name: schema, operations.definition_of(catalogue, list_gvk): listed}


def _gvk(gvk: identities.GroupVersionKind) -> objects.Object:
    return {"group": gvk.group, "kind": gvk.kind, "version": gvk.version}


def _simplified(schema: objects.Object) -> objects.Object:
    """Leave out what OpenAPI v2 cannot say; what allows unknown fields becomes an open object."""
    out = {key: value for key, value in schema.items() if key not in _V2_UNKNOWN}
    if out.get("x-kubernetes-preserve-unknown-fields") or schema.get("nullable"):
        out.pop("properties", None)
        if schema.get("nullable"):
            out.pop("type", None)
            out.pop("items", None)
    if out.get("x-kubernetes-int-or-string"):
        out.pop("type", None)
    if isinstance(out.get("items"), dict):
        out["items"] = _simplified(out["items"])
    if isinstance(out.get("additionalProperties"), dict):
        out["additionalProperties"] = _simplified(out["additionalProperties"])
    if isinstance(out.get("properties"), dict):
        out["properties"] = {name: _simplified(field) for name, field in out["properties"].items()}
    return out
