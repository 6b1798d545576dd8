"""A cluster as a platform: services, rollouts, exports."""

import pytest
import yaml

from understudy.client import views as view_clients
from understudy.kapi import views
from understudy.platform import errors, kubernetes, records

TEMPLATE = {
    "metadata": {"labels": {"app": "web"}},
    "spec": {
        "initContainers": [{"name": "i", "image": "init:1"}],
        "containers": [{"name": "c", "image": "web:1"}],
    },
}
DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": TEMPLATE},
}


@pytest.fixture
def view():
    return views.new_view()


@pytest.fixture
def platform(view):
    return kubernetes.KubernetesPlatform(view_clients.ViewClient(view))


async def test_a_workload_is_a_service_with_containers_rollout_and_address(view, platform):
    view.create("deployments.apps", DEPLOYMENT, "default")
    front = {
        "metadata": {"name": "f"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
    }
    address = view.create("services", front, "default").object()["spec"]["clusterIP"]
    (service,) = await platform.all_services()
    assert (service.id, service.ip, service.status) == (
        "default:deployment/web",
        address,
        "started",
    )
    assert [(c.name, c.init) for c in service.containers.or_raise()] == [("i", True), ("c", False)]
    status = {
        "observedGeneration": 1,
        "replicas": 3,
        "updatedReplicas": 2,
        "readyReplicas": 2,
        "availableReplicas": 2,
    }
    view.patch("deployments.apps", "web", {"status": status}, "default", subresource="status")
    (service,) = await platform.some_services(["default:deployment/web", "default:job/none"])
    assert (service.status, service.rollout.outdated) == ("updating", 1)
    assert await platform.all_services(ignored={service.id}) == []


async def test_an_unknown_namespace_is_an_error_not_an_empty_list(platform):
    with pytest.raises(errors.NotFoundError, match='namespaces "none" not found'):
        await platform.all_services("none")


async def test_exports_are_clean_can_be_applied_again_and_keep_secrets_out(view, platform):
    view.create("deployments.apps", DEPLOYMENT, "default")
    view.create("secrets", {"metadata": {"name": "s"}, "stringData": {"a": "b"}}, "default")
    text = await platform.export()
    found = list(yaml.safe_load_all(text))
    assert "Secret" not in {obj["kind"] for obj in found}
    assert not any("status" in obj or "uid" in obj["metadata"] for obj in found)
    other = kubernetes.KubernetesPlatform(view_clients.ViewClient(views.new_view()))
    await other.sync(records.SyncDef(actions=(records.SyncAction(resource_id="all", apply=text),)))
    assert await other.export() == text


async def test_apply_names_each_definition_that_failed(platform):
    good = records.ServiceDefinition(service_id="a", definition=yaml.safe_dump(DEPLOYMENT))
    bad = records.ServiceDefinition(service_id="b", definition="kind: [")
    with pytest.raises(errors.ApplyError) as caught:
        await platform.apply([good, bad])
    assert list(caught.value.errors) == ["b"]
    assert [service.id for service in await platform.all_services()] == ["default:deployment/web"]
