"""What a rehearsal sees and a dry run of each object alone cannot: delivery's table, row by row."""

from __future__ import annotations

import asyncio
import copy
import datetime as dt
import re
from collections.abc import AsyncIterator

import pytest
from tests.unit.delivery import conftest as c
from tests.unit.delivery.test_acceptance import effects, ops

from understudy import assembly
from understudy.controllers import running
from understudy.controllers.knative import configmaps, installing, worlds
from understudy.delivery import deliveries, outcomes, plans, render, targets
from understudy.kapi import views
from understudy.kube import objects


def texts(plan: plans.Plan) -> list[str]:
    return [effect.text for effect in plan.effects]


async def test_a_namespace_and_what_is_in_it(still: c.Cluster) -> None:
    plan = await still.plan(c.namespace("new"), c.config("a", "new"))
    assert ops(plan) == {"Namespace/new": "create", "ConfigMap/a": "create"}
    assert texts(plan) == [
        "controllers create 1 ConfigMap: new/kube-root-ca.crt",
        "controllers create 1 ServiceAccount: new/default",
    ]


async def test_a_definition_and_its_objects_defaults_included(still: c.Cluster) -> None:
    defaulting = c.definition()
    schema = defaulting["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["spec"]["properties"]["colour"] = {"type": "string", "default": "red"}
    assert ops(await still.plan(defaulting, c.widget("w"))) == {
        "CustomResourceDefinition/widgets.example.com": "create",
        "Widget/w": "create",
    }
    await still.deliver(c.definition(), c.widget("w"), wait=False)
    plan = await still.plan(defaulting, c.widget("w", size=2))
    assert [(d.path, d.after, str(d.cause)) for o in plan.operations[1:] for d in o.diffs] == [
        ("spec.colour", "red", "default"),
        ("spec.size", 2, "you"),
    ]
    assert "what controllers make of objects of kind Widget (example.com) is not known" in (
        plan.fidelity
    )


async def test_a_wider_schema_and_an_object_that_needs_it(still: c.Cluster) -> None:
    await still.deliver(c.definition(maximum=5), c.widget("w"), wait=False)
    plan = await still.plan(c.definition(maximum=9), c.widget("w", size=7))
    assert plan.blocked == ()
    assert ops(plan)["Widget/w"] == "change"


@pytest.mark.parametrize("loaded", [False, True])
async def test_a_narrower_schema_and_objects_that_are_there(still: c.Cluster, loaded: bool) -> None:
    await still.deliver(c.definition(maximum=9), c.widget("mine"), wait=False)
    for name, size in (("fits", 5), ("large", 8)):
        still.view.create("widgets.example.com", c.widget(name, size=size), "default")
    face = still.deliveries(make_stage=assembly.LoadingStages() if loaded else None)
    given = c.written(c.definition(maximum=5), c.widget("mine"))
    plan = await face.plan(c.OWNER, given, c.options())
    assert effects(plan, "refuses") == [
        "Widget default/large is there already, and the new definition would refuse it: "
        "spec.size: Invalid value: 8: spec.size in body should be less than or equal to 5"
    ]


async def test_an_immutable_field_and_what_is_lost(cluster: c.Cluster) -> None:
    await cluster.deliver(c.deployment("web", replicas=2))
    moved = c.deployment("web", replicas=2)
    moved["spec"]["selector"] = {"matchLabels": {"app": "other"}}
    moved["spec"]["template"]["metadata"]["labels"] = {"app": "other"}
    plan = await cluster.plan(moved)
    assert "field is immutable" in str(plan.blocked[0])
    assert "give --recreate, to delete and create it" in str(plan.blocked[0])
    plan = await cluster.plan(moved, recreate=True)
    assert ops(plan) == {"Deployment/web": "recreate"}
    assert effects(plan, "restart") == [
        "Deployment default/web is deleted and created anew: loses 2 pods"
    ]


def database(label: str = "db", when_deleted: str = "Retain") -> objects.Object:
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    template = {
        "metadata": {"labels": {"app": label}},
        "spec": {"containers": [{"name": "db", "image": "db:1"}]},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "db", "namespace": "default"},
        "spec": {
            "serviceName": "db",
            "replicas": 2,
            "selector": {"matchLabels": {"app": label}},
            "template": template,
            "volumeClaimTemplates": [claim],
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": when_deleted},
        },
    }


@pytest.fixture
def storing(cluster: c.Cluster) -> c.Cluster:
    """A cluster that makes volumes."""
    notes = {"storageclass.kubernetes.io/is-default-class": "true"}
    standard = {
        "metadata": {"name": "standard", "annotations": notes}, "provisioner": "example.com/disk",
    }  # fmt: skip
    cluster.view.create("storageclasses.storage.k8s.io", standard)
    return cluster


@pytest.mark.parametrize("way", ["delete", "recreate"])
async def test_the_data_of_a_stateful_set_that_goes(storing: c.Cluster, way: str) -> None:
    kept = "the claims of StatefulSet default/db stay, and the data they hold: data-db-0, data-db-1"
    lost = [
        "PersistentVolumeClaim default/data-db-0 goes, and the data it holds",
        "PersistentVolumeClaim default/data-db-1 goes, and the data it holds",
    ]
    for policy, keeps, data in (("Retain", [kept], []), ("Delete", [], lost)):
        await storing.deliver(database(when_deleted=policy))
        if way == "delete":
            plan = await storing.plan(c.config("other"))
        else:
            plan = await storing.plan(database("new", when_deleted=policy), recreate=True)
        assert (effects(plan, "keeps"), effects(plan, "data")) == (keeps, data)
        assert all(effect.irreversible for effect in plan.effects if effect.type == "data")
        if way == "delete":
            assert "2 Pods go with what is deleted: default/db-0, default/db-1" in texts(plan)
        await storing.remove()


async def test_a_namespace_that_goes_with_all_that_is_in_it(cluster: c.Cluster) -> None:
    await cluster.deliver(c.namespace("old"), c.config("a", "old"), c.config("b"))
    plan = await cluster.plan(c.config("b"))
    assert ops(plan) == {"ConfigMap/a": "delete", "Namespace/old": "delete"}
    assert "1 ServiceAccount goes with what is deleted: old/default" in texts(plan)


async def test_a_definition_that_goes_with_its_objects(still: c.Cluster) -> None:
    await still.deliver(c.definition(), c.config("a"), wait=False)
    still.view.create("widgets.example.com", c.widget("theirs"), "default")
    plan = await still.plan(c.config("a"))
    assert str(plan.blocked[0]) == (
        "CustomResourceDefinition widgets.example.com: 1 other objects of kind Widget would be "
        "deleted with it: default/theirs (--allow-crd-prune deletes them)"
    )
    plan = await still.plan(c.config("a"), allow_crd_prune=True)
    assert effects(plan, "cascade") == ["1 Widget goes with what is deleted: default/theirs"]


async def test_a_finalizer_that_would_hang(cluster: c.Cluster) -> None:
    held = c.config("held")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    await cluster.deliver(held, c.config("a"))
    plan = await cluster.plan(c.config("a"))
    assert effects(plan, "hangs") == [
        "ConfigMap default/held would not go away: waiting on finalizers: example.com/hold"
    ]


async def test_what_is_no_longer_wanted_by_uid(still: c.Cluster) -> None:
    await still.deliver(c.config("a"), c.config("b"), wait=False)
    plan = await still.plan(c.config("b"))
    deleted = next(o for o in plan.as_dict()["operations"] if o["op"] == "delete")
    assert (deleted["name"], deleted["why"]) == ("a", "not in shop-v2")
    assert deleted["uid"] == still.find("configmaps", "a")["metadata"]["uid"]


async def test_an_account_that_nobody_makes(cluster: c.Cluster) -> None:
    web = c.deployment("web")
    web["spec"]["template"]["spec"]["serviceAccountName"] = "robot"
    told = effects(await cluster.plan(web), "unready")
    assert len(told) == 1
    assert 'serviceaccount "robot" not found' in told[0]
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}}
    account["metadata"]["namespace"] = "default"
    assert effects(await cluster.plan(web, account), "unready") == []


# ---------------------------------------------------------------------- Knative


@pytest.fixture
async def knative() -> AsyncIterator[c.Cluster]:
    view = views.new_view()
    config = configmaps.read(
        lambda name: view.find("configmaps", installing.SYSTEM_NAMESPACE, name)
    )
    installing.install(view, config)
    more = installing.controllers(config, worlds.steady())
    live = running.start(view, "all", c.QUICK, more=more)
    yield c.Cluster(view, live)
    await live.stop()
    view.close()


def hello(image: str) -> objects.Object:
    template = {"spec": {"containers": [{"image": image}]}}
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": "hello", "namespace": "default"},
        "spec": {"template": template},
    }


async def test_a_knative_services_revision_traffic_and_url(knative: c.Cluster) -> None:
    plan = await knative.plan(hello("app:1"))
    assert effects(plan, "revision") == [
        "Service default/hello gets the new revision hello-00001; hello-00001 gets 100 % of the "
        "traffic; URL http://hello.default.localhost"
    ]
    await knative.deliver(hello("app:1"))
    plan = await knative.plan(hello("app:2"))
    assert effects(plan, "revision") == [
        "Service default/hello gets the new revision hello-00002; hello-00001 loses its 100 % of "
        "the traffic and scales to zero; hello-00002 gets 100 % of the traffic"
    ]
    assert effects(plan, "unready") == []
    assert [(d.path, str(d.cause)) for d in plan.operations[0].diffs] == [
        ("spec.template.spec.containers[user-container].image", "you")
    ]


def is_rolled_out(deployment: objects.Object | None) -> bool:
    status = (deployment or {}).get("status") or {}
    seen = status.get("observedGeneration") == (deployment or {})["metadata"]["generation"]
    return seen and status.get("replicas") == status.get("updatedReplicas") == 1


async def test_what_another_knative_made_is_left_as_it_is(knative: c.Cluster) -> None:
    await knative.deliver(hello("app:1"))
    assert knative.running is not None
    await knative.running.stop()
    face = knative.deliveries(make_stage=assembly.LoadingStages())
    plan = await face.plan(c.OWNER, c.written(hello("app:2")), c.options())
    written_otherwise = {
        "metadata": {"labels": {"serving.knative.dev/deployment-hash": "of-another-version"}},
        "spec": {"template": {"metadata": {"annotations": {"by": "another version"}}}},
    }
    without_knative = running.start(knative.view, "all", c.QUICK)
    name = "hello-00001-deployment"
    knative.view.patch("deployments.apps", name, written_otherwise, "default")
    async with c.soon():
        while not is_rolled_out(knative.find("deployments.apps", name)):  # noqa: ASYNC110 (a view is looked at)
            await asyncio.sleep(0.01)
    await without_knative.stop()
    again = await face.plan(c.OWNER, c.written(hello("app:2")), c.options())
    told = [effect.type for effect in again.effects]
    assert told == [effect.type for effect in plan.effects]


async def test_traffic_that_moves_without_a_new_revision(knative: c.Cluster) -> None:
    await knative.deliver(hello("app:1"))
    await knative.deliver(hello("app:2"))
    split = hello("app:2")
    split["spec"]["traffic"] = [
        {"revisionName": "hello-00001", "percent": 20},
        {"latestRevision": True, "percent": 80},
    ]
    plan = await knative.plan(split)
    assert effects(plan, "traffic") == [
        "Service default/hello: traffic moves; hello-00001 gets 20 % of the traffic; "
        "hello-00002 gets 80 % of the traffic instead of 100 %"
    ]


# ---------------------------------------------------------------------- things that depend


async def test_a_role_and_its_binding_and_an_account_and_its_token(still: c.Cluster) -> None:
    rbac = "rbac.authorization.k8s.io"
    place = {"name": "r", "namespace": "default"}
    role = {"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": place, "rules": []}
    binding = {
        "apiVersion": f"{rbac}/v1",
        "kind": "RoleBinding",
        "metadata": place,
        "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "r"},
        "subjects": [{"kind": "ServiceAccount", "name": "robot", "namespace": "default"}],
    }
    account = {
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "robot", "namespace": "default"},
    }  # fmt: skip
    token = c.secret("robot-token") | {"type": "kubernetes.io/service-account-token"}
    token["metadata"]["annotations"] = {"kubernetes.io/service-account.name": "robot"}
    del token["stringData"]
    plan = await still.plan(token, binding, account, role)
    assert plan.blocked == ()
    assert [o.ref.kind for o in plan.operations if not o.record] == [
        "Role", "ServiceAccount", "RoleBinding", "Secret",
    ]  # fmt: skip


async def test_admission_that_depends_on_what_came_before(still: c.Cluster) -> None:
    limits = {
        "apiVersion": "v1",
        "kind": "LimitRange",
        "metadata": {"name": "small", "namespace": "default"},
        "spec": {"limits": [{"type": "Container", "max": {"memory": "1Gi"}}]},
    }
    greedy = c.deployment("web", resources={"limits": {"memory": "2Gi"}})
    plan = await still.plan(greedy, limits)
    (told,) = effects(plan, "unready")
    assert told.startswith("Deployment default/web would not become ready: pods ")
    assert "maximum memory usage per Container is 1Gi, but limit is 2Gi" in told


async def test_a_pod_that_cannot_start_says_why(still: c.Cluster) -> None:
    source = {"envFrom": [{"configMapRef": {"name": "nowhere"}}]}
    plan = await still.plan(c.deployment("web", **source))
    (told,) = effects(plan, "unready")
    assert 'container web: configmap "nowhere" not found' in told


async def test_two_applications_changed_together(still: c.Cluster) -> None:
    """The second is rehearsed on a fork on which the first is delivered, and neither is real."""
    port = [{"port": 80, "nodePort": 30123}]
    trial = c.Cluster(still.view.fork("trial"), None)
    await trial.deliver(c.service("a", type="NodePort", ports=port), wait=False)
    other = targets.Owner("other", "default")
    plan = await trial.plan(c.service("b", type="NodePort", ports=port), owner=other)
    assert "provided port is already allocated" in str(plan.blocked[0])
    plan = await still.plan(c.service("b", type="NodePort", ports=port), owner=other)
    assert plan.blocked == ()


async def test_webhooks_are_not_called_and_that_is_told(still: c.Cluster) -> None:
    hook = {
        "name": "in.example.com",
        "clientConfig": {"url": "https://127.0.0.1:1/"},
        "rules": [
            {
                "apiGroups": [""],
                "apiVersions": ["v1"],
                "operations": ["*"],
                "resources": ["configmaps"],
            }
        ],
        "sideEffects": "NoneOnDryRun",
        "admissionReviewVersions": ["v1"],
    }
    kind = "mutatingwebhookconfigurations.admissionregistration.k8s.io"
    still.view.create(kind, {"metadata": {"name": "injector"}, "webhooks": [hook]})
    plan = await still.plan(c.config("a"))
    assert plan.blocked == ()
    assert "the webhooks of MutatingWebhookConfiguration injector are not called" in plan.fidelity


async def test_what_no_rollback_undoes(still: c.Cluster) -> None:
    definition = c.definition()
    await still.deliver(definition, wait=False)
    moved = copy.deepcopy(definition)
    versions = moved["spec"]["versions"]
    versions.append(copy.deepcopy(versions[0]) | {"name": "v2"})
    versions[0]["storage"] = False
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "once", "namespace": "default"},
        "spec": {
            "template": {
                "spec": {
                    "restartPolicy": "Never",
                    "containers": [{"name": "c", "image": "i"}],
                }
            }
        },
    }
    plan = await still.plan(moved, job)
    assert [effect.text for effect in plan.effects if effect.irreversible] == [
        "CustomResourceDefinition widgets.example.com stores v2 from now on: a rollback must still "
        "serve it",
        "Job default/once runs: no rollback undoes what it does",
    ]
    assert isinstance(await still.deliver(moved, job, wait=False), deliveries.Delivery)
    assert plan.count(outcomes.Op.CREATE) == 1


async def test_what_is_in_a_namespace_that_changes_is_known_from_afar(cluster: c.Cluster) -> None:
    await cluster.deliver(c.namespace("team"))
    labelled = c.namespace("team")
    labelled["metadata"]["labels"] = {"a": "b"}
    far = cluster.deliveries(make_stage=assembly.LoadingStages())
    plan = await far.plan(c.OWNER, c.written(labelled), c.options())
    assert effects(plan, "creates") == [], "its account and its certificate are there"


async def test_names_that_are_drawn_are_not_foretold(storing: c.Cluster) -> None:
    """Whatever a rehearsal draws, the delivery draws something else."""
    plan = await storing.plan(c.deployment("web", replicas=2), database())
    told = "; ".join(effects(plan, "creates"))
    assert re.search(r"4 Pods: default/db-0, default/db-1, (default/web-[0-9a-z]+-)\*, \1\*", told)
    assert "2 PersistentVolumes: pvc-*, pvc-*" in told
    assert "2 PersistentVolumeClaims: default/data-db-0, default/data-db-1" in told
    loaded = storing.deliveries(make_stage=assembly.LoadingStages())
    given = c.written(c.deployment("web", replicas=2), database())
    assert (await loaded.plan(c.OWNER, given, c.options())).digest == plan.digest


async def test_what_is_created_anew_is_another_object(cluster: c.Cluster) -> None:
    fixed = c.config("a", v="1") | {"immutable": True}
    web = c.deployment("web")
    await cluster.deliver(fixed, web)
    for labels in (
        web["spec"]["selector"]["matchLabels"],
        web["spec"]["template"]["metadata"]["labels"],
    ):
        labels["app"] = "other"
    plan = await cluster.plan(fixed | {"data": {"v": "2"}}, web, recreate=True)
    assert [(effect.type, effect.text) for effect in plan.effects if effect.irreversible] == [
        ("restart", "Deployment default/web is deleted and created anew: loses 1 pod"),
        (
            "replaces",
            "ConfigMap default/a is deleted and created anew: no rollback brings this one back",
        ),
    ]
    told = list(render.plan(plan, dt.datetime.now(dt.UTC)))
    assert (
        "  Deployment default/web is deleted and created anew: loses 1 pod (irreversible)" in told
    )


async def test_replicas_that_an_autoscaler_sets_too(cluster: c.Cluster) -> None:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    scaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 5},
    }
    await cluster.deliver(c.deployment("web", replicas=2), scaler)
    assert effects(await cluster.plan(c.deployment("web", replicas=2), scaler), "contested") == []
    plan = await cluster.plan(c.deployment("web", replicas=1), scaler)
    assert any(line.startswith("metrics: autoscalers go by") for line in plan.fidelity)
    assert effects(plan, "contested") == [
        "Deployment default/web is set to 1 replica, and HorizontalPodAutoscaler web sets it to 2 "
        "again, between 2 and 5: leave spec.replicas out of the manifest"
    ]
    plan = await cluster.plan(c.deployment("web", replicas=3), scaler)
    assert effects(plan, "contested") == [
        "Deployment default/web is set to 3 replicas, and HorizontalPodAutoscaler web scales it "
        "between 2 and 5 again: leave spec.replicas out of the manifest"
    ]
