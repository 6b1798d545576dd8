"""A cluster as a platform: services, rollouts, syncs, exports."""

import asyncio

import pytest
import yaml

from understudy.client import views as view_clients
from understudy.delivery import marks
from understudy.kapi import views
from understudy.kube import identities, statuses
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


# ---------------------------------------------------------------------- what cannot be seen


class Limited(view_clients.ViewClient):
    """A client that may not list some resources."""

    hidden = ()

    async def list(self, resource, **options):
        if resource in self.hidden:
            raise statuses.forbidden(identities.GroupResource("", resource), "", "no right to")
        return await super().list(resource, **options)


async def test_who_may_not_list_one_kind_sees_the_others_and_is_told(view):
    client = Limited(view)
    client.hidden = ("cronjobs.batch",)
    view.create("deployments.apps", DEPLOYMENT, "default")
    spec = {"ports": [{"port": 80}], "selector": {"app": "none"}}
    view.create("services", {"metadata": {"name": "f"}, "spec": spec}, "default")

    found = await kubernetes.KubernetesPlatform(client).all_services()

    assert [service.id for service in found] == ["default:deployment/web", "default:service/f"]
    assert found[1].containers.excuse == (
        "service f selects no workload that is seen; cronjobs.batch may not be listed"
    )


async def test_an_export_says_what_it_lacks(view):
    client = Limited(view)
    client.hidden = ("deployments.v1.apps",)
    view.create("deployments.apps", DEPLOYMENT, "default")
    text = await kubernetes.KubernetesPlatform(client).export()
    assert text.startswith("# left out: deployments.apps may not be listed\n---\n")
    assert "kind: Deployment" not in text


# ---------------------------------------------------------------------- workloads of every kind


def workload(kind, version="apps/v1", **spec):
    given = {"selector": {"matchLabels": {"app": "web"}}, "template": TEMPLATE} | spec
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {key: value for key, value in given.items() if value is not None},
    }


JOB_TEMPLATE = {
    "metadata": {},
    "spec": TEMPLATE["spec"] | {"restartPolicy": "Never"},
}
EVERY = {
    "deployments.apps": workload("Deployment"),
    "statefulsets.apps": workload("StatefulSet", serviceName="web"),
    "daemonsets.apps": workload("DaemonSet"),
    "replicasets.apps": workload("ReplicaSet"),
    "replicationcontrollers": workload("ReplicationController", "v1", selector={"app": "web"}),
    "jobs.batch": workload("Job", "batch/v1", selector=None, template=JOB_TEMPLATE, completions=3),
    "cronjobs.batch": workload(
        "CronJob",
        "batch/v1",
        selector=None,
        template=None,
        schedule="@daily",
        jobTemplate={"spec": {"template": JOB_TEMPLATE}},
    ),
    "pods": {
        "metadata": {"name": "web", "namespace": "default", "labels": {"app": "web"}},
        "spec": TEMPLATE["spec"],
    },
}


@pytest.mark.parametrize("resource", EVERY)
async def test_every_kind_that_has_containers_is_a_service(view, platform, resource):
    view.create(resource, EVERY[resource], "default")
    (service,) = await platform.all_services("default")
    images = [one.image for one in service.containers.or_raise()]
    assert images == ["init:1", "web:1"]
    assert service.status in {"started", "updating", "ready"}
    assert records.from_json(records.Service, records.to_json(service)) == service


KNATIVE = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "services.serving.knative.dev"},
    "spec": {
        "group": "serving.knative.dev",
        "scope": "Namespaced",
        "names": {"plural": "services", "singular": "service", "kind": "Service"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "x-kubernetes-preserve-unknown-fields": True,
                    }
                },
            }
        ],
    },
}


async def test_knative_services_have_a_kind_of_their_own(view, platform):
    view.create("customresourcedefinitions.apiextensions.k8s.io", KNATIVE)
    view.create(
        "services.serving.knative.dev",
        {
            "apiVersion": "serving.knative.dev/v1",
            "kind": "Service",
            "metadata": {"name": "web"},
            "spec": {"template": {"spec": {"containers": [{"image": "web:1"}]}}},
            "status": {
                "observedGeneration": 1,
                "conditions": [
                    {"type": "Ready", "status": "False", "reason": "NoImage", "message": "no image"}
                ],
            },
        },
        "default",
    )
    (service,) = await platform.all_services()
    assert service.id == "default:kservice/web"
    assert [one.image for one in service.containers.or_raise()] == ["web:1"]
    assert service.rollout.messages == ("no image",)


async def test_a_job_says_how_far_it_has_come_and_why_it_failed(view, platform):
    view.create("jobs.batch", EVERY["jobs.batch"], "default")
    status = {"active": 1, "succeeded": 1, "ready": 1, "startTime": "2026-01-01T00:00:00Z"}
    view.patch("jobs.batch", "web", {"status": status}, "default", subresource="status")
    (service,) = await platform.all_services()
    assert service.status == "updating"
    assert service.rollout == records.Rollout(
        desired=3, updated=2, ready=2, available=1, messages=("1 of 3 completions",)
    )


async def test_a_rollout_that_is_stuck_is_an_error_with_its_message(view, platform):
    view.create("deployments.apps", DEPLOYMENT, "default")
    status = {
        "observedGeneration": 1,
        "replicas": 2,
        "conditions": [
            {
                "type": "Progressing",
                "status": "False",
                "reason": "ProgressDeadlineExceeded",
                "message": "the image cannot be had",
            }
        ],
    }
    view.patch("deployments.apps", "web", {"status": status}, "default", subresource="status")
    (service,) = await platform.all_services()
    assert (service.status, service.rollout.messages) == ("error", ("the image cannot be had",))


# ---------------------------------------------------------------------- syncs


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 (a view has nothing to wait for)
            await asyncio.sleep(0)


def config_map(name="m", **changes):
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default", **changes},
    }


def action(resource_id, *, delete=(), apply=()):
    return records.SyncAction(
        resource_id=resource_id,
        delete=yaml.safe_dump_all(delete) if delete else "",
        apply=yaml.safe_dump_all(apply) if apply else "",
    )


async def test_an_action_that_cannot_be_read_is_not_begun(view, platform):
    bad = records.SyncAction(
        resource_id="x", delete=yaml.safe_dump(config_map()), apply="kind: A\n---\nkind: [\n"
    )
    view.create("configmaps", config_map(), "default")
    with pytest.raises(errors.SyncError, match="a manifest is not YAML"):
        await platform.sync(records.SyncDef(actions=(bad,)))
    assert view.get("configmaps", "m", "default")


async def test_what_is_applied_after_its_deletion_waits_until_that_is_over(view, platform):
    view.create("configmaps", config_map(finalizers=["example.com/slow"]), "default")
    old = view.get("configmaps", "m", "default")["metadata"]["uid"]
    recreate = action("m", delete=[config_map()], apply=[config_map(labels={"new": "1"})])
    syncing = asyncio.create_task(platform.sync(records.SyncDef(actions=(recreate,))))
    await until(lambda: "deletionTimestamp" in view.get("configmaps", "m", "default")["metadata"])
    view.patch("configmaps", "m", {"metadata": {"finalizers": None}}, "default")

    result = await syncing

    assert [one.operation for one in result.results] == ["deleted", "created"]
    made = view.get("configmaps", "m", "default")["metadata"]
    assert made["uid"] != old
    assert made["labels"] == {"new": "1"}


async def test_an_object_that_does_not_go_away_is_told_with_its_finalizers(view):
    settings = kubernetes.Settings(object_timeout_s=0.1)
    platform = kubernetes.KubernetesPlatform(view_clients.ViewClient(view), settings)
    view.create("configmaps", config_map(finalizers=["example.com/stuck"]), "default")
    recreate = action("m", delete=[config_map()], apply=[config_map()])
    other = action("n", apply=[config_map("n")])
    with pytest.raises(errors.SyncError) as caught:
        await platform.sync(records.SyncDef(actions=(recreate, other)))
    (error,) = caught.value.errors.values()
    assert error.message == (
        "ConfigMap default/m is still being deleted, waiting for its finalizers example.com/stuck"
    )
    operations = [one["operation"] for one in caught.value.details["results"]]
    assert operations == ["deleted", "failed", "created"]


async def test_two_actions_of_one_name_that_fail_are_both_told(platform):
    bad = records.SyncAction(resource_id="x", apply="kind: [")
    worse = records.SyncAction(resource_id="x", apply="apiVersion: v1\nkind: Nope\nmetadata: {}")
    with pytest.raises(errors.SyncError) as caught:
        await platform.sync(records.SyncDef(actions=(bad, worse)))
    assert sorted(caught.value.errors) == ["x", "x (2)"]


@pytest.mark.parametrize("step", ["delete", "apply"])
async def test_what_belongs_to_an_application_is_left_to_it(view, platform, step):
    owned = config_map(annotations={marks.APPLICATION: "shop/shop"})
    view.create("configmaps", owned, "default")
    with pytest.raises(errors.SyncError, match="ConfigMap default/m belongs to application shop"):
        await platform.sync(records.SyncDef(actions=(action("m", **{step: [config_map()]}),)))
    assert view.get("configmaps", "m", "default")
    await platform.sync(records.SyncDef(actions=(action("m", **{step: [owned]}),)))


async def test_syncs_of_a_cluster_follow_one_another(view):
    applied = []

    class Slow(view_clients.ViewClient):
        async def apply(self, resource, obj, **options):
            applied.append(obj["metadata"]["name"])
            await asyncio.sleep(0.001)
            return await super().apply(resource, obj, **options)

    platform = kubernetes.KubernetesPlatform(Slow(view))
    async with asyncio.TaskGroup() as group:
        for one in "ab":
            manifests = [config_map(f"{one}{number}") for number in range(3)]
            definition = records.SyncDef(actions=(action(one, apply=manifests),))
            group.create_task(platform.sync(definition))
    assert applied in (["a0", "a1", "a2", "b0", "b1", "b2"], ["b0", "b1", "b2", "a0", "a1", "a2"])


async def test_a_sync_that_is_given_up_leaves_the_way_free(view, platform):
    view.create("configmaps", config_map(finalizers=["example.com/stuck"]), "default")
    recreate = action("m", delete=[config_map()], apply=[config_map()])
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await platform.sync(records.SyncDef(actions=(recreate,)))
    result = await platform.sync(records.SyncDef(actions=(action("n", apply=[config_map("n")]),)))
    assert [one.operation for one in result.results] == ["created"]


async def test_nobody_waits_for_what_is_applied_asynchronously(view, platform):
    service_id = "default:deployment/web"
    given = records.ServiceDefinition(
        service_id=service_id, definition=yaml.safe_dump(DEPLOYMENT), asynchronous=True
    )
    await platform.apply([given])
    await until(lambda: list(view.each("deployments.apps", "default")))
    await platform.close()


# ---------------------------------------------------------------------- exports


@pytest.mark.parametrize("resource", EVERY)
async def test_an_export_of_every_kind_can_be_applied_again(view, resource):
    settings = kubernetes.Settings(export_secrets=True)
    platform = kubernetes.KubernetesPlatform(view_clients.ViewClient(view), settings)
    view.create("namespaces", {"metadata": {"name": "shop", "labels": {"a": "b"}}})
    view.create(resource, EVERY[resource] | {"metadata": {"name": "web"}}, "shop")
    token = {"metadata": {"name": "t"}, "type": "kubernetes.io/service-account-token"}
    token["metadata"]["annotations"] = {"kubernetes.io/service-account.name": "default"}
    view.create("serviceaccounts", {"metadata": {"name": "default"}}, "shop")
    view.create("secrets", token, "shop")
    view.create("configmaps", {"metadata": {"name": "kube-root-ca.crt"}}, "shop")
    text = await platform.export()
    kinds = [obj["kind"] for obj in yaml.safe_load_all(text)]
    assert not {"Secret", "ServiceAccount", "ConfigMap"} & set(kinds)

    other = kubernetes.KubernetesPlatform(view_clients.ViewClient(views.new_view()), settings)
    await other.sync(records.SyncDef(actions=(records.SyncAction(resource_id="all", apply=text),)))
    assert await other.export() == text


async def test_what_the_system_chose_for_a_pod_is_not_exported(view, platform):
    pod = EVERY["pods"] | {
        "spec": {
            "nodeName": "node-1",
            "volumes": [{"name": "kube-api-access-x", "emptyDir": {}}],
            "containers": [
                {
                    "name": "c",
                    "image": "web:1",
                    "volumeMounts": [{"name": "kube-api-access-x", "mountPath": "/token"}],
                }
            ],
        }
    }
    view.create("pods", pod, "default")
    (obj,) = [one for one in yaml.safe_load_all(await platform.export()) if one["kind"] == "Pod"]
    assert "nodeName" not in obj["spec"]
    assert "volumes" not in obj["spec"]
    assert "volumeMounts" not in obj["spec"]["containers"][0]
