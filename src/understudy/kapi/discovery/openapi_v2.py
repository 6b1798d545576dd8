"""`/openapi/v2`: one document with every path and every definition, as JSON.

kubectl asks for this document as protobuf only (`openapi_v2_protobuf`), since 1.28 for custom
kinds alone; JSON is what other clients and tools read.
"""

from __future__ import annotations

from collections.abc import Iterable

from understudy.kapi.discovery import (
    documents,
    groups,
    openapi_v3,
    operations,
)
from understudy.kapi.resources import catalogue as catalogues
from understudy.kube import objects

_REASONS = {200: "OK", 201: "Created", 202: "Accepted"}


def document(catalogue: catalogues.Catalogue) -> documents.Document:
    """Return the document of everything that the catalogue serves."""
    return documents.kept(catalogue, "openapi/v2", lambda: _document(catalogue))


def _document(catalogue: catalogues.Catalogue) -> objects.Object:
    paths: objects.Object = {}
    reached: set[str] = set()
    for operation in _operations(catalogue):
        item = paths.setdefault(operation.path, {})
        item[operation.method] = _operation(operation)
        reached |= {operation.body, operation.answer}
        if parameters := _path_parameters(operation):
            item.setdefault("parameters", parameters)
    return {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": openapi_v3.version_of(catalogue)},
        "paths": dict(sorted(paths.items())),
        "definitions": openapi_v3.closure(catalogue, reached, v2=True),
        "securityDefinitions": {
            "BearerToken": {
                "type": "apiKey",
                "description": "Bearer Token authentication",
                "name": "authorization",
                "in": "header",
            }
        },
        "security": [{"BearerToken": []}],
    }


def _operations(catalogue: catalogues.Catalogue) -> Iterable[operations.Operation]:
    for name in openapi_v3.ROOTS:
        yield from operations.of_root(name)
    for group, versions in groups.versions_by_group(catalogue):
        if group and f"apis/{group}" in openapi_v3.names(catalogue):
            yield from operations.of_root(f"apis/{group}")
        for version in versions:
            yield from operations.of_version(catalogue, group, version)


def _path_parameters(operation: operations.Operation) -> list[objects.Object]:
    named: list[objects.Object] = [
        {"name": name, "in": "path", "required": True, "type": "string", "uniqueItems": True}
        for name in ("name", "namespace", "path")
        if f"{{{name}}}" in operation.path
    ]
    if operation.gvk is not None and operation.action != "connect":
        named.append({"name": "pretty", "in": "query", "type": "string", "uniqueItems": True})
    return named


def _operation(operation: operations.Operation) -> objects.Object:
    parameters: list[objects.Object] = []
    if operation.body:
        schema = {"$ref": f"#/definitions/{operation.body}"}
        body: objects.Object = {"name": "body", "in": "body", "schema": schema}
        if operation.method != "delete":
            body["required"] = True
        parameters.append(body)
    parameters += [
        {
            "name": name,
            "in": "query",
            "type": operations.PARAMETER_TYPES.get(name, "string"),
            "uniqueItems": True,
        }
        for name in operation.parameters
    ]
    answer: objects.Object = {"type": "string"}
    if operation.answer:
        answer = {"$ref": f"#/definitions/{operation.answer}"}
    out: objects.Object = {
        "consumes": list(operation.consumes),
        "produces": list(operation.produces),
        "schemes": ["https"],
        "tags": [openapi_v3.tag_of(operation)],
        "operationId": operation.identifier,
        "responses": {
            str(code): {"description": _REASONS[code], "schema": answer} for code in operation.codes
        }
        | {"401": {"description": "Unauthorized"}},
    }
    if parameters:
        out["parameters"] = parameters
    if operation.action:
        out["x-kubernetes-action"] = operation.action
    if operation.gvk is not None:
        out["x-kubernetes-group-version-kind"] = operation.gvk._asdict()
    return out
