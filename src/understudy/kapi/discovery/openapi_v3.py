"""`/openapi/v3`: an index, and one document for each group's version.

A document holds the paths of its version and the definitions that they reach. `kubectl apply`
looks for the query parameters of a kind's PATCH there, `kubectl explain` for its fields.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import orjson

from understudy.kapi.discovery import (
    custom_schemas,
    descriptions,
    documents,
    operations,
)
from understudy.kapi.resources import catalogue as catalogues, definitions, tables
from understudy.kube import objects

FORM = "1"
"""Part of every hash: raised when documents change although the catalogue does not."""

_V2_REFERENCE = "#/definitions/"
_V3_REFERENCE = "#/components/schemas/"
ROOTS = (".well-known/openid-configuration", "api", "apis", "openid/v1/jwks", "version")
"""Documents above the groups."""

_SPECIAL: dict[str, objects.Object] = {
    definitions.QUANTITY: {"oneOf": [{"type": "string"}, {"type": "number"}]},
    definitions.INT_OR_STRING: {
        "format": "int-or-string",
        "oneOf": [{"type": "integer"}, {"type": "string"}],
    },
}


def index(catalogue: catalogues.Catalogue, prefix: str = "") -> documents.Document:
    """Return what `/openapi/v3` says: where each document is, with a hash of its content.

    `prefix` is put before each address, e.g. `/trial` for a view of that name.
    """
    address = f"{prefix}/openapi/v3"

    def make() -> objects.Object:
        paths = {
            name: {"serverRelativeURL": f"{address}/{name}?hash={_hash(catalogue, name)}"}
            for name in sorted([*ROOTS, *names(catalogue)])
        }
        return {"paths": paths}

    return documents.kept(catalogue, f"openapi/v3/{prefix}", make)


def document(catalogue: catalogues.Catalogue, name: str) -> documents.Document | None:
    """Return the document of `apis/apps/v1`, `api/v1`, `apis/apps`, ...; None where there is none.

    Documents of built-in versions are made once, for all catalogues that extend the built-in one.
    """
    if name not in ROOTS and name not in names(catalogue):
        return None
    origin = catalogue.origin
    if origin is not None and not any(
        resource.custom and name in {_group_path(resource), _version_path(resource)}
        for resource in catalogue.resources
    ):
        return document(origin, name)
    return documents.kept(catalogue, f"openapi/v3/{name}", lambda: _document(catalogue, name))


def names(catalogue: catalogues.Catalogue) -> set[str]:
    """Return the documents of groups and versions; groups of custom resources have none."""
    found: set[str] = set()
    for resource in catalogue.resources:
        found.add(_version_path(resource))
        if not resource.custom:
            found.add(_group_path(resource))
    return found


def _version_path(resource: catalogues.Resource) -> str:
    return operations.root(resource.group, resource.version)[1:]


def _group_path(resource: catalogues.Resource) -> str:
    return f"apis/{resource.group}" if resource.group else "api"


def _hash(catalogue: catalogues.Catalogue, name: str) -> str:
    """Hash what a document is made from, so that the index need not make every document."""
    version = catalogue.facts.version if catalogue.facts else ""
    digest = hashlib.sha512(f"{FORM} {version} {name}".encode())
    for resource in catalogue.resources:
        if name in {_version_path(resource), _group_path(resource)}:
            digest.update(f"{resource.plural} {resource.verbs}".encode())
            if resource.openapi is not None:
                digest.update(orjson.dumps(resource.openapi))
                digest.update(" ".join(resource.subresources).encode())
    return digest.hexdigest().upper()


def _document(catalogue: catalogues.Catalogue, name: str) -> objects.Object:
    found = list(_operations(catalogue, name))
    reached = [each for operation in found for each in (operation.body, operation.answer) if each]
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": version_of(catalogue)},
        "paths": _paths(found),
        "components": {
            "schemas": closure(catalogue, reached),
            "securitySchemes": {
                "BearerToken": {
                    "type": "apiKey",
                    "description": "Bearer Token authentication",
                    "name": "authorization",
                    "in": "header",
                }
            },
        },
    }


def version_of(catalogue: catalogues.Catalogue) -> str:
    """Return the version that documents carry, e.g. `v1.36.0`."""
    return f"v{catalogue.facts.version}.0" if catalogue.facts else "unversioned"


def _operations(catalogue: catalogues.Catalogue, name: str) -> Iterable[operations.Operation]:
    head, _, tail = name.partition("/")
    if head == "api" and tail:
        return operations.of_version(catalogue, "", tail)
    group, slash, version = tail.partition("/")
    if head == "apis" and slash:
        return operations.of_version(catalogue, group, version)
    return operations.of_root(name)


def closure(
    catalogue: catalogues.Catalogue, roots: Iterable[str], *, v2: bool = False
) -> dict[str, objects.Object]:
    """Return the definitions that some reach, ordered by name, as OpenAPI v3 (or v2) has them."""
    known = dict(descriptions.of_catalogue(catalogue))
    for resource in catalogue.resources:
        if resource.custom:
            known |= custom_schemas.definitions_of(catalogue, resource, v2=v2)
    found: dict[str, objects.Object] = {}
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name not in found and name in known:
            written = _schema(known[name], name, waiting)
            found[name] = known[name] if v2 else written
    return dict(sorted(found.items()))


def _schema(raw: objects.Object, name: str, waiting: list[str]) -> objects.Object:
    if name in _SPECIAL:
        special = dict(_SPECIAL[name])
        return special | {key: raw[key] for key in ("description",) if key in raw}
    out = _node(raw, waiting)
    for field, node in out.get("properties", {}).items():
        if (name, field) in tables.DEFAULTS:
            node["default"] = tables.DEFAULTS[name, field]
    return out


def _node(raw: objects.Object, waiting: list[str]) -> objects.Object:
    """Rewrite references; one with siblings stands in `allOf`, as OpenAPI 3.0 wants it."""
    out: objects.Object = {}
    for key, value in raw.items():
        if key == "$ref" and isinstance(value, str):
            target = value.removeprefix(_V2_REFERENCE)
            waiting.append(target)
            reference = {"$ref": _V3_REFERENCE + target}
            if len(raw) == 1:
                return reference
            out["allOf"] = [reference]
        elif key == "properties" and isinstance(value, dict):
            out[key] = {name: _node(field, waiting) for name, field in value.items()}
        elif key in {"items", "additionalProperties", "not"} and isinstance(value, dict):
            out[key] = _node(value, waiting)
        elif key in {"allOf", "anyOf", "oneOf"} and isinstance(value, list):
            out[key] = [_node(each, waiting) for each in value]
        else:
            out[key] = value
    return out


# ------------------------------------------------------------------------------------------ paths


def _paths(found: Iterable[operations.Operation]) -> objects.Object:
    paths: objects.Object = {}
    for operation in found:
        item = paths.setdefault(operation.path, {})
        item[operation.method] = _operation(operation)
        if "parameters" not in item and (parameters := _path_parameters(operation)):
            item["parameters"] = parameters
    return dict(sorted(paths.items()))


def _path_parameters(operation: operations.Operation) -> list[objects.Object]:
    named: list[objects.Object] = [
        {"name": name, "in": "path", "required": True, "schema": _unique("string")}
        for name in ("name", "namespace", "path")
        if f"{{{name}}}" in operation.path
    ]
    if operation.gvk is not None and operation.action != "connect":
        named.append({"name": "pretty", "in": "query", "schema": _unique("string")})
    return named


def _unique(type_name: str) -> objects.Object:
    return {"type": type_name, "uniqueItems": True}


def _operation(operation: operations.Operation) -> objects.Object:
    out: objects.Object = {
        "tags": [tag_of(operation)],
        "operationId": operation.identifier,
    }
    if operation.parameters:
        out["parameters"] = [
            {
                "name": name,
                "in": "query",
                "schema": _unique(operations.PARAMETER_TYPES.get(name, "string")),
            }
            for name in operation.parameters
        ]
    if operation.body:
        schema = {"$ref": _V3_REFERENCE + operation.body}
        out["requestBody"] = {
            "content": {media: {"schema": schema} for media in operation.consumes}
        }
        if operation.method != "delete":
            out["requestBody"]["required"] = True
    answer = {"$ref": _V3_REFERENCE + operation.answer} if operation.answer else {"type": "string"}
    content = {media: {"schema": answer} for media in operation.produces}
    reasons = {200: "OK", 201: "Created", 202: "Accepted"}
    out["responses"] = {
        str(code): {"description": reasons[code], "content": content} for code in operation.codes
    } | {"401": {"description": "Unauthorized"}}
    if operation.action:
        out["x-kubernetes-action"] = operation.action
    if operation.gvk is not None:
        out["x-kubernetes-group-version-kind"] = operation.gvk._asdict()
    return out


def tag_of(operation: operations.Operation) -> str:
    """Return an operation's tag: `apps_v1`, `core_v1`, `apps`, `version`."""
    parts = [part for part in operation.path.split("/") if part]
    if parts[0] == "api":
        words = ["core", *parts[1:2]]
    elif parts[0] == "apis" and len(parts) > 1:
        group = operations.camel(parts[1])
        words = [group[:1].lower() + group[1:], *parts[2:3]]
    else:
        words = [parts[0].strip(".")]
    return "_".join(words)
