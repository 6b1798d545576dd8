"""Discovery is derived from the catalogue, custom resources included."""

import pytest

from understudy.kapi.discovery import aggregated, groups
from understudy.kapi.resources import builtins

CATALOGUE = builtins.catalogue()


def test_groups_are_listed_in_kubernetes_order_and_custom_ones_by_name(widget):
    more = CATALOGUE.extended([widget("z.example.com"), widget("a.example.com")])
    names = [group["name"] for group in groups.group_list(more).value()["groups"]]
    assert names[:3] == ["apiregistration.k8s.io", "apps", "events.k8s.io"]
    assert names[-3:] == ["flowcontrol.apiserver.k8s.io", "a.example.com", "z.example.com"]


def test_the_preferred_version_comes_first():
    found = groups.group(CATALOGUE, "autoscaling").value()
    assert found["preferredVersion"] == {"groupVersion": "autoscaling/v2", "version": "v2"}
    assert [version["version"] for version in found["versions"]] == ["v2", "v1"]


def test_versions_of_a_custom_group_are_ordered_by_maturity(widget):
    versions = ["v1alpha1", "v2", "v1beta1", "v1"]
    more = CATALOGUE.extended([widget(version=version) for version in versions])
    found = groups.group(more, "stable.example.com").value()
    assert [version["version"] for version in found["versions"]] == [
        "v2",
        "v1",
        "v1beta1",
        "v1alpha1",
    ]


def test_resources_come_with_their_subresources():
    found = groups.resource_list(CATALOGUE, "apps", "v1").value()
    assert (found["kind"], found["apiVersion"], found["groupVersion"]) == (
        "APIResourceList",
        "v1",
        "apps/v1",
    )
    rows = {row["name"]: row for row in found["resources"]}
    assert rows["deployments"]["shortNames"] == ["deploy"]
    assert rows["deployments/scale"] == {
        "name": "deployments/scale",
        "singularName": "",
        "namespaced": True,
        "group": "autoscaling",
        "version": "v1",
        "kind": "Scale",
        "verbs": ["get", "patch", "update"],
    }
    assert "group" not in rows["deployments/status"]


def test_the_core_list_says_no_api_version_as_it_always_did():
    found = groups.resource_list(CATALOGUE, "", "v1").value()
    assert "apiVersion" not in found
    assert found["groupVersion"] == "v1"


def test_a_custom_resource_is_listed_at_once_and_only_there(widget):
    more = CATALOGUE.extended([widget()])
    rows = groups.resource_list(more, "stable.example.com", "v1").value()["resources"]
    assert [row["name"] for row in rows] == ["widgets", "widgets/scale", "widgets/status"]
    assert groups.resource_list(CATALOGUE, "stable.example.com", "v1") is None
    assert groups.group(CATALOGUE, "stable.example.com") is None


@pytest.mark.parametrize(
    ("ref", "stored"),
    [
        ("pods", "xPOwRZ+Yhw8="),
        ("deployments.apps", "8aSe+NMegvE="),
        ("configmaps", "qFsyl6wFWjQ="),
        ("bindings", ""),
    ],
)
def test_the_storage_version_hash_is_that_of_every_kubernetes_cluster(ref, stored):
    assert groups.storage_version_hash(CATALOGUE.named(ref)) == stored


def test_kinds_stored_in_another_version_hash_that_version():
    event = groups.storage_version_hash(CATALOGUE.named("events.events.k8s.io"))
    assert event == groups.storage_version_hash(CATALOGUE.named("events"))


def test_aggregated_discovery_holds_everything_in_two_documents():
    core = aggregated.document(CATALOGUE, core=True).value()
    assert core["apiVersion"] == "apidiscovery.k8s.io/v2"
    assert [item["metadata"] for item in core["items"]] == [{}]
    others = aggregated.document(CATALOGUE, core=False).value()
    assert len(others["items"]) == 20
    apps = next(item for item in others["items"] if item["metadata"]["name"] == "apps")
    deployment = next(
        row for row in apps["versions"][0]["resources"] if row["resource"] == "deployments"
    )
    assert deployment["responseKind"] == {"group": "", "version": "", "kind": "Deployment"}
    assert deployment["subresources"][0] == {
        "subresource": "scale",
        "responseKind": {"group": "autoscaling", "version": "v1", "kind": "Scale"},
        "verbs": ["get", "patch", "update"],
    }


def test_a_document_is_made_once_for_a_catalogue(widget):
    first = aggregated.document(CATALOGUE, core=True)
    assert aggregated.document(CATALOGUE, core=True) is first
    assert first.etag.startswith('"')
    more = CATALOGUE.extended([widget()])
    assert aggregated.document(more, core=False).etag != (
        aggregated.document(CATALOGUE, core=False).etag
    )
