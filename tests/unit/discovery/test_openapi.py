"""OpenAPI documents say what kubectl looks for, for built-in and for custom kinds."""

import gzip

import pytest

from understudy.kapi.discovery import openapi_v2, openapi_v3
from understudy.kapi.resources import builtins

CATALOGUE = builtins.catalogue()

SPEC = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["size"],
            "properties": {
                "size": {"type": "integer", "minimum": 1, "default": 1},
                "port": {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}]},
                "note": {"type": "string", "nullable": True},
            },
        }
    },
}


def references(value):
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "$ref" and isinstance(item, str):
                yield item
            else:
                yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def test_the_index_names_a_document_for_each_version_and_group():
    paths = openapi_v3.index(CATALOGUE).value()["paths"]
    assert {"api", "api/v1", "apis", "apis/apps", "apis/apps/v1", "version"} <= set(paths)
    assert paths["api/v1"]["serverRelativeURL"].startswith("/openapi/v3/api/v1?hash=")


def test_the_index_of_a_view_points_into_the_view():
    paths = openapi_v3.index(CATALOGUE, "/trial").value()["paths"]
    assert paths["api/v1"]["serverRelativeURL"].startswith("/trial/openapi/v3/api/v1?hash=")


@pytest.mark.parametrize("name", sorted(openapi_v3.index(CATALOGUE).value()["paths"]))
def test_every_document_holds_every_definition_it_refers_to(name):
    document = openapi_v3.document(CATALOGUE, name).value()
    schemas = document["components"]["schemas"]
    wanted = {each.removeprefix("#/components/schemas/") for each in references(document)}
    assert wanted <= set(schemas)
    assert document["paths"]


def test_a_patch_says_which_query_parameters_it_takes():
    paths = openapi_v3.document(CATALOGUE, "apis/apps/v1").value()["paths"]
    patch = paths["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]
    assert [parameter["name"] for parameter in patch["parameters"]] == [
        "dryRun",
        "fieldManager",
        "fieldValidation",
        "force",
    ]
    assert patch["x-kubernetes-group-version-kind"] == {
        "group": "apps",
        "version": "v1",
        "kind": "Deployment",
    }
    assert patch["x-kubernetes-action"] == "patch"
    assert patch["operationId"] == "patchAppsV1NamespacedDeployment"
    assert "application/apply-patch+yaml" in patch["requestBody"]["content"]


def test_a_custom_kind_takes_no_strategic_merge(widget):
    # By this kubectl decides how it applies.
    more = CATALOGUE.extended([widget()])
    path = "/apis/stable.example.com/v1/namespaces/{namespace}/widgets/{name}"
    custom = openapi_v2.document(more).value()["paths"][path]
    assert custom["patch"]["consumes"] == [
        "application/apply-patch+yaml",
        "application/json-patch+json",
        "application/merge-patch+json",
    ]
    assert custom["put"]["consumes"] == ["application/json", "application/yaml"]
    document = openapi_v3.document(more, "apis/stable.example.com/v1").value()
    body = document["paths"][path]["patch"]["requestBody"]
    assert list(body["content"]) == custom["patch"]["consumes"]


def test_references_with_siblings_stand_in_all_of():
    schemas = openapi_v3.document(CATALOGUE, "apis/apps/v1").value()["components"]["schemas"]
    strategy = schemas["io.k8s.api.apps.v1.DeploymentSpec"]["properties"]["strategy"]
    assert strategy["allOf"] == [
        {"$ref": "#/components/schemas/io.k8s.api.apps.v1.DeploymentStrategy"}
    ]
    assert strategy["x-kubernetes-patch-strategy"] == "retainKeys"
    port = schemas["io.k8s.api.core.v1.ContainerPort"]["properties"]["protocol"]
    assert port["default"] == "TCP"


def test_a_custom_kind_has_its_own_schema_and_metadata(widget):
    more = CATALOGUE.extended([widget(openapi=SPEC, list_kind="WidgetBag")])
    document = openapi_v3.document(more, "apis/stable.example.com/v1").value()
    assert sorted(document["paths"]) == [
        "/apis/stable.example.com/v1/namespaces/{namespace}/widgets",
        "/apis/stable.example.com/v1/namespaces/{namespace}/widgets/{name}",
        "/apis/stable.example.com/v1/namespaces/{namespace}/widgets/{name}/scale",
        "/apis/stable.example.com/v1/namespaces/{namespace}/widgets/{name}/status",
        "/apis/stable.example.com/v1/widgets",
    ]
    schemas = document["components"]["schemas"]
    schema = schemas["com.example.stable.v1.Widget"]
    assert schema["properties"]["spec"] == SPEC["properties"]["spec"]
    assert schema["properties"]["metadata"]["allOf"] == [
        {"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}
    ]
    assert schema["x-kubernetes-group-version-kind"] == [
        {"group": "stable.example.com", "kind": "Widget", "version": "v1"}
    ]
    assert "com.example.stable.v1.WidgetBag" in schemas
    assert "apis/stable.example.com" not in openapi_v3.index(more).value()["paths"]


def test_documents_of_built_in_versions_are_shared_by_all_catalogues(widget):
    more = CATALOGUE.extended([widget()])
    built_in = openapi_v3.document(CATALOGUE, "apis/batch/v1")
    assert openapi_v3.document(more, "apis/batch/v1") is built_in


def test_another_schema_gives_another_address(widget):
    one = CATALOGUE.extended([widget(openapi=SPEC)])
    two = CATALOGUE.extended([widget(openapi={"type": "object"})])
    name = "apis/stable.example.com/v1"
    urls = {
        openapi_v3.index(each).value()["paths"][name]["serverRelativeURL"] for each in (one, two)
    }
    assert len(urls) == 2


@pytest.mark.parametrize("name", ["nope", "apis/nope/v1", "apis/apps/v9", ""])
def test_there_is_no_document_of_what_is_not_served(name):
    assert openapi_v3.document(CATALOGUE, name) is None


def test_version_two_is_one_document_with_unique_operations():
    document = openapi_v2.document(CATALOGUE)
    value = document.value()
    assert value["swagger"] == "2.0"
    identifiers = [
        operation["operationId"]
        for item in value["paths"].values()
        for method, operation in item.items()
        if method != "parameters"
    ]
    assert len(identifiers) == len(set(identifiers)) > 700
    wanted = {each.removeprefix("#/definitions/") for each in references(value)}
    assert wanted <= set(value["definitions"])
    assert gzip.decompress(document.gzipped) == document.body


def test_version_two_leaves_out_what_it_has_no_words_for(widget):
    more = CATALOGUE.extended([widget(openapi=SPEC)])
    found = openapi_v2.document(more).value()["definitions"]["com.example.stable.v1.Widget"]
    assert found["properties"]["spec"]["properties"] == {
        "size": {"type": "integer", "minimum": 1},
        "port": {"x-kubernetes-int-or-string": True},
        "note": {},
    }
