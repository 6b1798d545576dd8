"""Scopes list the workloads they are about."""

from __future__ import annotations

import pytest
from tests.unit.delivery import conftest as c

from understudy.client import wrapping
from understudy.delivery import errors, scopes
from understudy.kube import objects

WORKLOAD = c.deployment("web")
ENTRY = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}


def crd(group: str, kind: str, scope: str) -> objects.Object:
    made = c.definition(kind, group)
    made["spec"]["scope"] = scope
    made["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = {
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": True,
    }
    return made


@pytest.fixture
def scope(still: c.Cluster) -> objects.Object:
    crds = "customresourcedefinitions.apiextensions.k8s.io"
    still.view.create(crds, crd("core.oam.dev", "ScopeDefinition", "Cluster"))
    still.view.create(crds, crd("example.com", "Scope", "Namespaced"))
    define(still, "spec.workloadRefs")
    made = {
        "apiVersion": "example.com/v1",
        "kind": "Scope",
        "metadata": {"name": "s", "namespace": "default"},
        "spec": {"workloadRefs": []},
    }
    return still.view.create("scopes.example.com", made, "default").object()


def define(cluster: c.Cluster, path: str | None) -> None:
    definition = {
        "apiVersion": "core.oam.dev/v1",
        "kind": "ScopeDefinition",
        "metadata": {"name": "scopes.example.com"},
        "spec": {"workloadRefsPath": path} if path is not None else {},
    }
    if cluster.view.find("scopedefinitions.core.oam.dev", "", "scopes.example.com"):
        cluster.view.delete("scopedefinitions.core.oam.dev", "scopes.example.com")
    cluster.view.create("scopedefinitions.core.oam.dev", definition)


def listed(cluster: c.Cluster) -> list:
    return cluster.find("scopes.example.com", "s")["spec"]["workloadRefs"]


async def test_a_workload_is_listed_once(still: c.Cluster, scope: objects.Object) -> None:
    await scopes.reference_scopes(still.client, WORKLOAD, [scope])
    assert listed(still) == [ENTRY]
    before = still.view.change_count
    await scopes.reference_scopes(still.client, WORKLOAD, [scope])
    assert still.view.change_count == before


async def test_a_workload_is_forgotten_and_the_others_keep_their_order(
    still: c.Cluster, scope: objects.Object
) -> None:
    for name in ("a", "web", "b", "d"):
        await scopes.reference_scopes(still.client, c.deployment(name), [scope])
    await scopes.dereference_scopes(still.client, WORKLOAD, [scope])
    assert [entry["name"] for entry in listed(still)] == ["a", "b", "d"]
    await scopes.dereference_scopes(still.client, WORKLOAD, [scope])


async def test_two_writers_are_both_heard(still: c.Cluster, scope: objects.Object) -> None:
    class Meddler(wrapping.WrappedClient):
        meddled = False

        async def write(self, write: wrapping.Write, send: wrapping.Send) -> objects.Object:
            if not self.meddled:
                self.meddled = True
                await scopes.reference_scopes(still.client, c.deployment("other"), [scope])
            return await send()

    await scopes.reference_scopes(Meddler(still.client), WORKLOAD, [scope])
    assert sorted(entry["name"] for entry in listed(still)) == ["other", "web"]


async def test_without_a_definition_referencing_fails_and_dereferencing_does_not(
    still: c.Cluster, scope: objects.Object
) -> None:
    still.view.delete("scopedefinitions.core.oam.dev", "scopes.example.com")
    with pytest.raises(errors.ScopeError, match="cannot find scope definition of Scope default/s"):
        await scopes.reference_scopes(still.client, WORKLOAD, [scope])
    await scopes.dereference_scopes(still.client, WORKLOAD, [scope])


async def test_without_a_path_referencing_does_nothing_and_dereferencing_fails(
    still: c.Cluster, scope: objects.Object
) -> None:
    define(still, None)
    await scopes.reference_scopes(still.client, WORKLOAD, [scope])
    assert listed(still) == []
    with pytest.raises(errors.ScopeError, match="cannot get workloadRefsPath"):
        await scopes.dereference_scopes(still.client, WORKLOAD, [scope])


async def test_a_path_that_is_not_there_is_told(still: c.Cluster, scope: objects.Object) -> None:
    define(still, "spec.nowhere")
    with pytest.raises(errors.ScopeError, match=r"with workloadRefsPath 'spec\.nowhere'"):
        await scopes.reference_scopes(still.client, WORKLOAD, [scope])


async def test_a_scope_that_is_gone_is_forgotten_already(
    still: c.Cluster, scope: objects.Object
) -> None:
    still.view.delete("scopes.example.com", "s", "default")
    await scopes.dereference_scopes(still.client, WORKLOAD, [scope])
