"""A cluster as a platform: services, rollouts, exports."""

import pytest
import yaml

from understudy.client import views as view_clients
from understudy.kapi import views
from understudy.platform import errors, kubernetes, matching, records

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
    good = definition("default:deployment/web", DEPLOYMENT)
    bad = records.ServiceDefinition(service_id="default:deployment/b", definition="kind: [")
    with pytest.raises(errors.ApplyError) as caught:
        await platform.apply([good, bad])
    assert list(caught.value.errors) == ["default:deployment/b"]
    assert [service.id for service in await platform.all_services()] == ["default:deployment/web"]


def definition(service_id, *objs):
    return records.ServiceDefinition(service_id=service_id, definition=yaml.safe_dump_all(objs))


STATEFUL = DEPLOYMENT | {"kind": "StatefulSet"}
OTHER = DEPLOYMENT | {"metadata": {"name": "other", "namespace": "default"}}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (definition("web", DEPLOYMENT), errors.InvalidRequestError),
        (definition("default:deployment/web", STATEFUL), errors.WrongResourceKindError),
        (definition("default:deployment/web", OTHER), errors.NoMatchingServiceError),
        (
            definition("default:deployment/web", DEPLOYMENT, DEPLOYMENT),
            errors.MultipleMatchingError,
        ),
    ],
)
async def test_a_definition_that_is_not_its_service_is_not_applied(view, platform, given, expected):
    with pytest.raises(errors.ApplyError) as caught:
        await platform.apply([given])
    (error,) = caught.value.errors.values()
    assert type(error) is expected
    assert list(view.each("deployments.apps", "default")) == []


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"type": "ExternalName", "externalName": "db.example"}, errors.ServiceHasNoSelectorError),
        ({"ports": [{"port": 80}]}, errors.ServiceHasNoSelectorError),
        ({"ports": [{"port": 80}], "selector": {"app": "none"}}, errors.MatchError),
    ],
)
async def test_a_service_that_fronts_nothing_has_an_excuse(view, platform, spec, expected):
    view.create("deployments.apps", DEPLOYMENT, "default")
    view.create("services", {"metadata": {"name": "f"}, "spec": spec}, "default")

    (service,) = await platform.some_services(["default:service/f"])

    assert service.containers.or_none() is None
    with pytest.raises(errors.ClusterError) as caught:
        service.containers.or_raise()
    assert type(caught.value) is expected
    again = records.from_json(records.Service, records.to_json(service))
    assert again == service


def test_an_empty_selector_is_told_from_none():
    front = {"metadata": {"name": "f", "namespace": "d"}, "spec": {"selector": {}}}
    (service,) = matching.alone([front], [])
    assert service.containers.code == "empty_selector"


def test_images_are_replaced_by_repository():
    given = definition("default:deployment/web", DEPLOYMENT, {"kind": "ConfigMap"})
    changed = matching.with_images(given, {"web": "web:2"})
    (container,) = next(yaml.safe_load_all(changed.definition))["spec"]["template"]["spec"][
        "containers"
    ]
    assert container["image"] == "web:2"
    with pytest.raises(errors.NoMatchingImagesError, match="none"):
        matching.with_images(given, {"none": "none:2"})


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("web", "web"),
        ("web:1", "web"),
        ("reg:5000/web", "reg:5000/web"),
        ("reg:5000/web:1@sha256:ab", "reg:5000/web"),
    ],
)
def test_an_image_without_tag_and_digest(image, name):
    assert matching.repository(image) == name
