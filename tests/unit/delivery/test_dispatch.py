"""The dispatcher: ownership, annotations, re-creation, health, and KubeVela's scenarios."""

from __future__ import annotations

import asyncio
import copy

import pytest
from tests.unit.delivery import conftest as c

from understudy.aio import clocks
from understudy.client import protocol, wrapping
from understudy.delivery import (
    adoption,
    collect,
    dispatch,
    errors,
    leases,
    marks,
    outcomes,
    render,
    revisions,
    targets,
    trackers,
    waiting,
)
from understudy.kapi.views import options as view_options
from understudy.kube import objects, statuses

ADOPT = {"adoption": adoption.Adoption.IF_NO_INVENTORY}
TAKE_OVER = {"adoption": adoption.Adoption.ALL}


def told(done) -> dict[str, tuple[str, str]]:
    return {
        outcome.ref.name: (str(outcome.op), outcome.note)
        for outcome in done.outcomes
        if not outcome.ref.name.endswith(marks.GROUP)
    }


def annotated(obj: objects.Object, **annotations: str) -> objects.Object:
    obj["metadata"]["annotations"] = annotations
    return obj


# ---------------------------------------------------------------------- ownership


async def test_an_object_of_nobody_is_adopted_only_on_request(still: c.Cluster) -> None:
    still.view.create("configmaps", c.config("a", v="theirs"), "default")
    with pytest.raises(errors.BlockedError) as caught:
        await still.deliver(c.config("a", v="ours"))
    assert "exists already, and it belongs to no application" in str(caught.value)
    assert "--adopt takes it over" in str(caught.value)
    with pytest.raises(errors.BlockedError, match="conflict"):
        await still.deliver(c.config("a", v="ours"), **ADOPT)
    done = await still.deliver(c.config("a", v="ours"), **ADOPT, force_conflicts=True)
    assert told(done) == {"a": ("adopt", "belongs to no application")}
    assert still.find("configmaps", "a")["data"] == {"v": "ours"}


async def test_an_object_of_another_application_is_taken_over_only_on_request(
    still: c.Cluster,
) -> None:
    other = targets.Owner("other", "default")
    await still.deliver(c.config("a"), owner=other)
    for settings in ({}, ADOPT):
        with pytest.raises(errors.BlockedError) as caught:
            await still.deliver(c.config("a"), **settings)
        assert "it belongs to the application default/other" in str(caught.value)
        assert "--take-over takes it from there" in str(caught.value)
    done = await still.deliver(c.config("a"), **TAKE_OVER)
    assert told(done)["a"][0] == "adopt"
    done = await still.deliver(owner=other, allow_empty=True)
    assert told(done)["a"][0] == "abandon", "the other application has lost it"
    assert still.names("configmaps") == ["a"]


@pytest.mark.parametrize(
    ("labels", "annotations", "owner"),
    [
        ({}, {"meta.helm.sh/release-name": "r", "meta.helm.sh/release-namespace": "n"},
         "the Helm release n/r"),
        ({"kustomize.toolkit.fluxcd.io/name": "k"}, {}, "the Flux Kustomization k"),
        ({"argocd.argoproj.io/instance": "i"}, {}, "the Argo CD application i"),
        ({"app.oam.dev/name": "v"}, {}, "the KubeVela application v"),
    ],
)  # fmt: skip
async def test_objects_of_other_tools_are_theirs(
    still: c.Cluster, labels: dict, annotations: dict, owner: str
) -> None:
    foreign = c.config("a")
    foreign["metadata"] |= {"labels": labels, "annotations": annotations}
    still.view.create("configmaps", foreign, "default")
    with pytest.raises(errors.BlockedError) as caught:
        await still.deliver(c.config("a"), **ADOPT)
    assert f"it belongs to {owner}" in str(caught.value)


@pytest.mark.parametrize(
    ("manager", "applied"),
    [
        ("kubectl-client-side-apply", False),
        ("kubectl-create", False),
        ("before-first-apply", False),
        ("helm", False),
        ("helm", True),
        ("kubectl", True),
        ("kustomize-controller", True),
        ("argocd-controller", True),
    ],
)
async def test_an_adopted_objects_fields_can_be_removed_later(
    still: c.Cluster, manager: str, applied: bool
) -> None:
    """What another deliverer had set would otherwise stay for ever."""
    theirs = c.config("a", keep="1", drop="1", never="1")
    if applied:
        await still.client.apply("configmaps", theirs, namespace="default", field_manager=manager)
    else:
        options = view_options.WriteOptions(field_manager=manager)
        still.view.create("configmaps", theirs, "default", options=options)
    await still.deliver(c.config("a", keep="1", drop="1"), **ADOPT)
    assert still.find("configmaps", "a")["data"] == {"keep": "1", "drop": "1"}
    await still.deliver(c.config("a", keep="1"))
    assert still.find("configmaps", "a")["data"] == {"keep": "1"}


async def test_an_adopted_objects_fields_of_others_stay(still: c.Cluster) -> None:
    options = view_options.WriteOptions(field_manager="an-operator")
    still.view.create("configmaps", c.config("a", theirs="1"), "default", options=options)
    await still.deliver(c.config("a", ours="1"), **ADOPT)
    assert still.find("configmaps", "a")["data"] == {"theirs": "1", "ours": "1"}


HOOKS = "admissionregistration.k8s.io/v1"
REBASED = {
    "service": (
        "services",
        {**c.service("a"), "spec": {"ports": [{"port": 80}], "clusterIP": "10.96.7.7"}},
        ("spec", "clusterIP"),
    ),
    "claim": (
        "persistentvolumeclaims",
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {
                "name": "a",
                "namespace": "default",
                "annotations": {"pv.kubernetes.io/bind-completed": "yes", "mine": "1"},
            },
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}},
                "storageClassName": "fast",
                "volumeName": "v",
            },
        },
        ("spec", "volumeName"),
    ),
    "deployment": (
        "deployments.apps",
        annotated(c.deployment("a"), **{"deployment.kubernetes.io/revision": "7"}),
        ("metadata", "annotations", "deployment.kubernetes.io/revision"),
    ),
    "webhook": (
        "validatingwebhookconfigurations.admissionregistration.k8s.io",
        {
            "apiVersion": HOOKS,
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "a"},
            "webhooks": [
                {
                    "name": "a.example.com",
                    "clientConfig": {"url": "https://127.0.0.1:1/", "caBundle": "Cg=="},
                    "sideEffects": "None",
                    "admissionReviewVersions": ["v1"],
                }
            ],
        },
        ("webhooks", 0, "clientConfig", "caBundle"),
    ),
    "pod": (
        "pods",
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "a", "namespace": "default"},
            "spec": {"containers": [{"name": "c", "image": "i"}], "nodeName": "n"},
        },
        ("spec", "nodeName"),
    ),
    "account": (
        "serviceaccounts",
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "a", "namespace": "default"},
            "secrets": [{"name": "a-token-x"}],
        },
        ("secrets", 0, "name"),
    ),
    "role": (
        "clusterroles.rbac.authorization.k8s.io",
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "a"},
            "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"x": "y"}}]},
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
        },
        ("rules", 0, "verbs"),
    ),
}


@pytest.mark.parametrize("kind", REBASED)
async def test_what_the_cluster_filled_in_outlives_an_adoption(still: c.Cluster, kind: str) -> None:
    """kapp's rebase rules: the cluster wins, unless the manifest says otherwise."""
    resource, theirs, path = REBASED[kind]
    theirs = copy.deepcopy(theirs)
    theirs["metadata"].setdefault("annotations", {})["drop"] = "1"
    space = theirs["metadata"].get("namespace", "")
    options = view_options.WriteOptions(field_manager="kubectl-client-side-apply")
    still.view.create(resource, theirs, space, options=options)
    before = objects.lookup(still.find(resource, "a", space), path)
    assert before
    wanted = copy.deepcopy(theirs)
    holder = objects.lookup(wanted, path[:-1])
    wanted["metadata"]["annotations"].pop("drop")
    if kind in ("account", "role"):
        del wanted[path[0]]
    else:
        del holder[path[-1]]
    await still.deliver(wanted, **ADOPT, wait=False)
    live = still.find(resource, "a", space)
    assert objects.lookup(live, path) == before
    assert "drop" not in objects.annotations_of(live), "what was the deliverer's wish goes"
    assert not (await still.plan(wanted, wait=False)).has_changes


async def test_what_the_manifest_says_wins_over_the_cluster(still: c.Cluster) -> None:
    kind, theirs, path = REBASED["webhook"]
    options = view_options.WriteOptions(field_manager="kubectl-client-side-apply")
    still.view.create(kind, copy.deepcopy(theirs), options=options)
    wanted = copy.deepcopy(theirs)
    wanted["webhooks"][0]["clientConfig"]["caBundle"] = "Cgo="
    await still.deliver(wanted, **ADOPT, wait=False)
    assert objects.lookup(still.find(kind, "a", ""), path) == "Cgo="


async def test_a_mark_that_somebody_removed_is_put_back(still: c.Cluster) -> None:
    await still.deliver(c.config("a"))
    still.view.patch("configmaps", "a", {"metadata": {"labels": {marks.PART_OF: None}}}, "default")
    await still.deliver(c.config("a"))
    assert c.OWNER.owns(still.find("configmaps", "a"))


async def test_a_manifest_that_carries_anothers_mark_is_refused(still: c.Cluster) -> None:
    stolen = c.config("a")
    stolen["metadata"]["labels"] = {marks.PART_OF: "applyset-x-v1"}
    with pytest.raises(errors.ManifestError, match="belongs to another application"):
        await still.deliver(stolen)


async def test_an_exported_manifest_can_be_delivered_again(still: c.Cluster) -> None:
    """`kubectl get -o yaml` writes what nobody can wish for: uid, status, managedFields."""
    await still.deliver(c.config("a", v="1"))
    exported = still.find("configmaps", "a")
    done = await still.deliver(exported, c.config("b"))
    assert told(done)["b"][0] == "create"
    assert still.find("configmaps", "a")["data"] == {"v": "1"}


# ---------------------------------------------------------------------- annotations


SYNC = "argocd.argoproj.io/sync-options"


@pytest.mark.parametrize(
    "annotation",
    [
        {"kustomize.toolkit.fluxcd.io/ssa": "Ignore"},
        {"client.lifecycle.config.k8s.io/mutation": "ignore"},
        {"kustomize.toolkit.fluxcd.io/reconcile": "disabled"},
    ],
)
async def test_an_ignored_object_is_left_alone_and_not_recorded(
    still: c.Cluster, annotation: dict
) -> None:
    still.view.create("configmaps", c.config("a", v="theirs"), "default")
    done = await still.deliver(annotated(c.config("a", v="ours"), **annotation), c.config("b"))
    assert told(done)["a"] == ("ignore", f"annotation {next(iter(annotation))}")
    assert still.find("configmaps", "a")["data"] == {"v": "theirs"}
    assert still.tracked() == {"ConfigMap/b"}


async def test_a_live_object_may_ask_to_be_left_alone(still: c.Cluster) -> None:
    await still.deliver(c.config("a", v="1"))
    ask = {"metadata": {"annotations": {"kustomize.toolkit.fluxcd.io/ssa": "Ignore"}}}
    still.view.patch("configmaps", "a", ask, "default")
    await still.deliver(c.config("a", v="2"))
    assert still.find("configmaps", "a")["data"] == {"v": "1"}


@pytest.mark.parametrize(
    "annotation",
    [
        {"kustomize.toolkit.fluxcd.io/ssa": "IfNotPresent"},
        {"werf.io/resource-policy": "skip-delete, skip-update"},
        {"kapp.k14s.io/update-strategy": "skip"},
    ],
)
async def test_what_is_created_once_is_never_updated(still: c.Cluster, annotation: dict) -> None:
    await still.deliver(annotated(c.config("a", v="1"), **annotation))
    await still.deliver(annotated(c.config("a", v="2"), **annotation))
    assert still.find("configmaps", "a")["data"] == {"v": "1"}


async def test_what_is_created_once_and_was_there_before_is_left_to_its_owner(
    still: c.Cluster,
) -> None:
    still.view.create("configmaps", c.config("a", v="theirs"), "default")
    once = {"kustomize.toolkit.fluxcd.io/ssa": "IfNotPresent"}
    await still.deliver(annotated(c.config("a", v="1"), **once), c.config("b"))
    await still.deliver(c.config("b"))
    assert still.find("configmaps", "a")["data"] == {"v": "theirs"}


async def test_what_is_only_to_be_updated_is_not_created(still: c.Cluster) -> None:
    never = {"werf.io/resource-policy": "skip-create"}
    done = await still.deliver(annotated(c.config("a", v="1"), **never), c.config("b"))
    assert told(done)["a"] == ("ignore", "annotation werf.io/resource-policy")
    assert still.tracked() == {"ConfigMap/b"}
    still.view.create("configmaps", c.config("a"), "default")
    await still.deliver(annotated(c.config("a", v="1"), **never), c.config("b"), **ADOPT)
    assert still.find("configmaps", "a")["data"] == {"v": "1"}


KEEPING = [
    {"helm.sh/resource-policy": "keep"},
    {"cli-utils.sigs.k8s.io/on-remove": "keep"},
    {"client.lifecycle.config.k8s.io/deletion": "detach"},
    {"kustomize.toolkit.fluxcd.io/prune": "Disabled"},
    {SYNC: "Prune=false,ServerSideApply=true"},
    {SYNC: "ServerSideApply=true, Prune=false"},
    {"kapp.k14s.io/delete-strategy": "orphan"},
    {"werf.io/resource-policy": "skip-delete,skip-recreate"},
    {"werf.io/ownership": "anyone"},
    {"app.oam.dev/skipGC": "false"},
    {"core.understudy.dev/on-remove": "keep"},
]


@pytest.mark.parametrize("annotation", KEEPING, ids=lambda said: str(*said.items()))
async def test_what_is_to_be_kept_is_released(still: c.Cluster, annotation: dict) -> None:
    await still.deliver(annotated(c.config("a"), **annotation), c.config("b"))
    done = await still.deliver(c.config("b"))
    assert told(done)["a"] == ("keep", f"annotation {next(iter(annotation))} keeps it")
    live = still.find("configmaps", "a")
    assert marks.PART_OF not in objects.labels_of(live)
    assert marks.APPLICATION not in objects.annotations_of(live)
    assert still.tracked() == {"ConfigMap/b"}


async def test_what_asks_before_it_goes_goes_when_that_is_approved(still: c.Cluster) -> None:
    asking = annotated(c.config("a"), **{SYNC: "Prune=confirm,ServerSideApply=true"})
    await still.deliver(asking, c.config("b"))
    op, note = told(await still.deliver(c.config("b")))["a"]
    assert (op, note) == (
        "keep",
        f"annotation {SYNC} asks before it is deleted; annotate it with "
        "argocd.argoproj.io/deletion-approved to let it go",
    )
    assert still.tracked() == {"ConfigMap/a", "ConfigMap/b"}, "it is looked at again next time"
    approved = {"argocd.argoproj.io/deletion-approved": "2026-01-01T00:00:00Z"}
    still.view.patch("configmaps", "a", {"metadata": {"annotations": approved}}, "default")
    assert told(await still.deliver(c.config("b"), c.config("d")))["a"][0] == "delete"
    assert still.names("configmaps") == ["b", "d"]


@pytest.mark.parametrize("option", ["Delete=false", "Delete=confirm"])
async def test_what_is_to_outlive_the_application_does(still: c.Cluster, option: str) -> None:
    lasting = annotated(c.config("a"), **{SYNC: option})
    await still.deliver(lasting, annotated(c.config("b"), **{SYNC: option}))
    done = await still.deliver(lasting)
    assert told(done)["b"][0] == "delete", "it is about the end of the application only"
    await still.remove()
    assert still.names("configmaps") == ["a"]
    assert marks.PART_OF not in objects.labels_of(still.find("configmaps", "a"))


async def test_an_object_of_a_controller_is_adopted_only_by_force(still: c.Cluster) -> None:
    owned = c.config("a")
    owned["metadata"]["ownerReferences"] = [
        {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", "controller": True}
    ]
    still.view.create("configmaps", owned, "default")
    with pytest.raises(errors.BlockedError, match="it belongs to Pod p, its controller"):
        await still.deliver(c.config("a"), **ADOPT)
    await still.deliver(c.config("a"), **TAKE_OVER)


# ---------------------------------------------------------------------- re-creation


def job(image: str) -> objects.Object:
    container = {"name": "c", "image": image, "command": ["true"]}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "once", "namespace": "default"},
        "spec": {"template": template},
    }


async def test_a_job_is_created_anew_when_it_changes(cluster: c.Cluster) -> None:
    await cluster.deliver(job("a:1"), wait=False)
    uid = cluster.find("jobs.batch", "once")["metadata"]["uid"]
    done = await cluster.deliver(job("a:2"), wait=False)
    op, note = told(done)["once"]
    assert (op, note) == ("recreate", "spec.template forces replacement")
    live = cluster.find("jobs.batch", "once")
    assert live["metadata"]["uid"] != uid
    assert (await cluster.plan(job("a:2"), wait=False)).has_changes is False


async def test_an_object_may_ask_to_be_created_anew_always(still: c.Cluster) -> None:
    always = {marks.RECREATE: "always"}
    await still.deliver(annotated(c.config("a", v="1"), **always))
    uid = still.find("configmaps", "a")["metadata"]["uid"]
    await still.deliver(annotated(c.config("a", v="1"), **always), c.config("b"))
    assert still.find("configmaps", "a")["metadata"]["uid"] == uid
    await still.deliver(annotated(c.config("a", v="2"), **always))
    assert still.find("configmaps", "a")["metadata"]["uid"] != uid


IMMUTABLE = [
    ({marks.RECREATE: "on-immutable"}, True),
    ({"kapp.k14s.io/update-strategy": "fallback-on-replace"}, True),
    ({"werf.io/delete-policy": "before-creation-if-immutable"}, True),
    ({"kustomize.toolkit.fluxcd.io/force": "Enabled"}, True),
    ({SYNC: "Replace=true,Force=true"}, True),
    ({"kapp.k14s.io/update-strategy": "always-replace"}, True),
    ({marks.RECREATE: "never"}, False),
    ({}, False),
]


@pytest.mark.parametrize(("annotation", "replaced"), IMMUTABLE, ids=str)
async def test_whether_an_object_is_created_anew_its_annotations_say(
    still: c.Cluster, annotation: dict, replaced: bool
) -> None:
    first, second = c.config("a", v="1"), c.config("a", v="2")
    first["immutable"] = True
    await still.deliver(first)
    uid = still.find("configmaps", "a")["metadata"]["uid"]
    if replaced:
        done = await still.deliver(annotated(second, **annotation))
        assert told(done)["a"][0] == "recreate"
        assert still.find("configmaps", "a")["data"] == {"v": "2"}
    else:
        with pytest.raises(errors.BlockedError, match="immutable"):
            await still.deliver(annotated(second, **annotation))
    assert (still.find("configmaps", "a")["metadata"]["uid"] != uid) is replaced


def ruled(message: str) -> objects.Object:
    """A definition whose objects' size cannot be changed, by a rule of its schema."""
    made = c.definition()
    schema = made["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    rule = {"rule": "self == oldSelf"} | ({"message": message} if message else {})
    schema["properties"]["size"]["x-kubernetes-validations"] = [rule]
    return made


@pytest.mark.parametrize("message", ["", "it is immutable", "a size is for life"])
async def test_a_rule_about_change_forces_replacement_whatever_its_words(
    still: c.Cluster, message: str
) -> None:
    await still.deliver(ruled(message), c.widget("w", size=1))
    uid = still.find("widgets.example.com", "w")["metadata"]["uid"]
    with pytest.raises(errors.BlockedError, match=r"spec\.size"):
        await still.deliver(ruled(message), c.widget("w", size=2))
    asking = annotated(c.widget("w", size=2), **{marks.RECREATE: "on-immutable"})
    done = await still.deliver(ruled(message), asking)
    assert told(done)["w"] == ("recreate", "spec.size forces replacement")
    live = still.find("widgets.example.com", "w")
    assert (live["spec"]["size"], live["metadata"]["uid"] != uid) == (2, True)
    wrong = annotated(c.widget("w", size=10), **{marks.RECREATE: "on-immutable"})
    with pytest.raises(errors.BlockedError, match="less than or equal to 9"):
        await still.deliver(ruled(message), wrong)
    assert still.find("widgets.example.com", "w")["spec"]["size"] == 2, "the original survives"


@pytest.mark.parametrize("message", ["data is immutable", "once and for all"])
async def test_a_policy_about_change_forces_replacement(still: c.Cluster, message: str) -> None:
    group = "admissionregistration.k8s.io"
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"]}
    constraints = {"resourceRules": [rule | {"resources": ["configmaps"]}]}
    expression = {"expression": "object.data == oldObject.data", "message": message}
    policy = {"matchConstraints": constraints, "validations": [expression]}
    binding = {"policyName": "p", "validationActions": ["Deny"]}
    for plural, spec in (("", policy), ("bindings", binding)):
        kind = f"validatingadmissionpolic{'y' if plural else 'ie'}{plural or 's'}.{group}"
        still.view.create(kind, {"metadata": {"name": "p"}, "spec": spec})
    await still.deliver(c.config("a", v="1"))
    plan = await still.plan(c.config("a", v="2"), recreate=True)
    assert [str(o.op) for o in plan.operations] == ["recreate"]


class Denying(wrapping.WrappedClient):
    """A server whose webhook denies every change of an object."""

    async def write(self, write: wrapping.Write, send: wrapping.Send) -> objects.Object:
        if write.verb == "apply" and write.name == "a":
            raise statuses.ForbiddenError(
                'admission webhook "w.example.com" denied the request: data is immutable'
            )
        return await send()


async def test_a_webhook_that_denies_a_change_is_told_with_what_helps(still: c.Cluster) -> None:
    """It is not called in a rehearsal, so nothing is deleted for it unless that is asked for."""
    await still.deliver(c.config("a", v="1"))
    again = annotated(c.config("a", v="2"), **{marks.RECREATE: "on-immutable"})
    with pytest.raises(errors.RefusedError, match=f"with {marks.RECREATE}: always"):
        await still.deliver(again, client=Denying(still.client))
    assert still.find("configmaps", "a")["data"] == {"v": "1"}


async def test_what_was_not_rehearsed_is_not_deleted(still: c.Cluster) -> None:
    await still.deliver(job("a:1"), wait=False)
    uid = still.find("jobs.batch", "once")["metadata"]["uid"]
    revision = revisions.Revision(owner=c.OWNER, number=2, digest="", objects=())
    dispatcher = dispatch.Dispatcher(still.client, revision)
    with pytest.raises(errors.RefusedError, match="immutable"):
        await dispatcher.dispatch(c.written(job("a:2")))
    assert still.find("jobs.batch", "once")["metadata"]["uid"] == uid


async def test_a_wrong_policy_is_told(still: c.Cluster) -> None:
    await still.deliver(job("a:1"), wait=False)
    wrong = annotated(job("a:2"), **{marks.RECREATE: "sometimes"})
    with pytest.raises(errors.BlockedError, match="use one of never, on-immutable, always"):
        await still.deliver(wrong, wait=False)


# ---------------------------------------------------------------------- health


async def test_an_unhealthy_delivery_ends_with_its_reasons(cluster: c.Cluster) -> None:
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    await cluster.client.create("resourcequotas", quota, namespace="default")
    waits = waiting.WaitSettings(timeout_s=1.5, no_activity_s=1, poll_first_s=0.01, poll_max_s=0.05)
    with pytest.raises(errors.UnhealthyError) as caught:
        await cluster.deliver(c.deployment("web"), wait_settings=waits)
    assert caught.value.exit_code == 6
    assert "Deployment default/web" in str(caught.value)
    assert "exceeded quota: none" in str(caught.value)
    history = await cluster.deliveries().history(c.OWNER)
    assert history[-1]["status"]["phase"] == "Failed"


async def test_a_failed_delivery_goes_back_on_request(cluster: c.Cluster) -> None:
    await cluster.deliver(c.config("a", v="1"), c.deployment("web"))
    waits = waiting.WaitSettings(timeout_s=1.5, no_activity_s=1, poll_first_s=0.01, poll_max_s=0.05)
    bad = c.deployment("web", image="does-not-exist")
    bad["spec"]["template"]["spec"]["nodeSelector"] = {"no": "such-node"}
    with pytest.raises(errors.RolledBackError) as caught:
        await cluster.deliver(
            c.config("a", v="2"), bad, rollback_on_failure=True, wait_settings=waits
        )
    assert caught.value.exit_code == 7
    assert cluster.find("configmaps", "a")["data"] == {"v": "1"}
    history = await cluster.deliveries().history(c.OWNER)
    phases = [(r["spec"]["number"], r["status"]["phase"]) for r in history]
    assert phases == [(1, "Delivered"), (2, "Failed"), (3, "Delivered")]
    assert history[-1]["spec"]["rollbackOf"] == "shop-v1"


async def test_a_delivery_that_is_in_place_still_has_to_be_healthy(cluster: c.Cluster) -> None:
    await cluster.deliver(c.deployment("web"))
    done = await cluster.deliver(c.deployment("web"))
    assert not done.changed


# ---------------------------------------------------------------------- patience


class Busy(wrapping.WrappedClient):
    """A server that fails the first attempts of every write."""

    def __init__(self, inner: protocol.Client, *failures: Exception) -> None:
        super().__init__(inner)
        self.failures = failures
        self.attempts: dict[str, int] = {}

    async def write(self, write: wrapping.Write, send: wrapping.Send) -> objects.Object:
        if write.verb != "apply" or write.resource != "configmaps":
            return await send()
        attempt = self.attempts[write.name] = self.attempts.get(write.name, 0) + 1
        if attempt <= len(self.failures):
            raise self.failures[attempt - 1]
        return await send()


async def test_a_busy_server_is_waited_for(still: c.Cluster) -> None:
    busy = Busy(
        still.client,
        statuses.ServiceUnavailableError("starting"),
        statuses.InternalError('failed calling webhook "x": connection refused'),
    )
    await still.deliver(c.config("a"), client=busy)
    assert busy.attempts == {"a": 3}


async def test_a_broken_server_is_an_error_and_all_of_a_batch_are_told(still: c.Cluster) -> None:
    broken = Busy(still.client, *[statuses.InternalError("database on fire")] * 9)
    with pytest.raises(errors.RefusedError) as caught:
        await still.deliver(c.config("a"), c.config("b"), c.secret("s"), client=broken)
    assert len(caught.value.refusals) == 2
    assert still.names("secrets") == ["s"]
    assert still.tracked() == {"ConfigMap/a", "ConfigMap/b", "Secret/s"}
    done = await still.deliver(c.config("a"), c.config("b"), c.secret("s"))
    assert told(done) == {"a": ("create", ""), "b": ("create", ""), "s": ("unchanged", "")}


# ---------------------------------------------------------------------- KubeVela's scenarios


def revision(number: int) -> revisions.Revision:
    return revisions.Revision(owner=c.OWNER, number=number, digest="", objects=())


async def dispatcher(cluster: c.Cluster, number: int) -> dispatch.Dispatcher:
    return dispatch.Dispatcher(
        cluster.client, revision(number), settings=dispatch.DispatchSettings(wait=False)
    )


@pytest.fixture
async def installed(still: c.Cluster) -> c.Cluster:
    """A cluster with our definitions, and nothing delivered."""
    await still.deliver(c.config("x"))
    await still.remove()
    return still


async def test_a_dispatcher_alone_collects_nothing(installed: c.Cluster) -> None:
    first = await dispatcher(installed, 1)
    tracker = await first.dispatch(c.written(c.config("a")))
    assert isinstance(tracker, trackers.Tracker)
    second = await dispatcher(installed, 2)
    await second.dispatch(c.written(c.config("b")))
    assert installed.names("configmaps") == ["a", "b"]
    assert installed.tracked() == {"ConfigMap/a", "ConfigMap/b"}


async def test_end_and_gc_collects_what_the_revision_does_not_want(installed: c.Cluster) -> None:
    first = await dispatcher(installed, 1)
    tracker = await first.dispatch(c.written(c.config("a"), c.config("shared")))
    second = (await dispatcher(installed, 2)).end_and_gc(tracker)
    tracker = await second.dispatch(c.written(c.config("b"), c.config("shared")))
    assert installed.names("configmaps") == ["b", "shared"]
    assert {ref.name for ref in tracker.entries} == {"b", "shared"}


async def test_start_and_skip_gc_keeps_everything_until_the_end(installed: c.Cluster) -> None:
    first = await dispatcher(installed, 1)
    tracker = await first.dispatch(c.written(c.config("a"), c.config("shared")))
    second = await dispatcher(installed, 2)
    await second.start_and_skip_gc(tracker).dispatch(c.written(c.config("b"), c.config("shared")))
    assert installed.names("configmaps") == ["a", "b", "shared"]
    # The end of a rollout: no manifests, only what the revision is known to want.
    await second.end_and_gc(tracker).dispatch([])
    assert installed.names("configmaps") == ["b", "shared"]


async def test_none_changes_nothing(installed: c.Cluster) -> None:
    first = await dispatcher(installed, 1)
    tracker = await first.dispatch(c.written(c.config("a")))
    second = (await dispatcher(installed, 2)).start_and_skip_gc(tracker).end_and_gc(None)
    await second.dispatch(c.written(c.config("b")))
    assert installed.names("configmaps") == ["a", "b"]


async def test_one_dispatcher_may_be_used_for_parts_and_then_the_whole(
    installed: c.Cluster,
) -> None:
    first = await dispatcher(installed, 1)
    tracker = await first.dispatch(c.written(c.config("old")))
    second = await dispatcher(installed, 2)
    await second.start_and_skip_gc(tracker).dispatch(c.written(c.config("package")))
    await second.end_and_gc(tracker).dispatch(c.written(c.config("rest")))
    assert installed.names("configmaps") == ["package", "rest"]


async def test_a_failed_revision_in_between_is_cleaned_up(installed: c.Cluster) -> None:
    first = await dispatcher(installed, 1)
    tracker = await first.dispatch(c.written(c.config("one")))
    second = (await dispatcher(installed, 2)).end_and_gc(tracker)
    with pytest.raises(errors.RefusedError):
        await second.dispatch(c.written(c.config("two"), c.config("Invalid")))
    assert installed.names("configmaps") == ["one", "two"]
    third = (await dispatcher(installed, 3)).end_and_gc(tracker)
    await third.dispatch(c.written(c.config("three"), c.config("two")))
    assert installed.names("configmaps") == ["three", "two"]


async def test_what_a_first_delivery_left_half_done_is_collected_by_the_second(
    still: c.Cluster,
) -> None:
    """KubeVela knew of no earlier tracker then, and its objects stayed for ever."""
    broken = Busy(still.client, *[statuses.InternalError("database on fire")] * 99)
    with pytest.raises(errors.RefusedError):
        await still.deliver(c.secret("made"), c.config("refused"), client=broken)
    assert still.names("secrets") == ["made"]
    await still.deliver(c.config("other"))
    assert "made" not in still.names("secrets")
    assert still.tracked() == {"ConfigMap/other"}


async def test_an_object_seen_under_another_group_is_the_same(still: c.Cluster) -> None:
    """An event is served by two groups: moving its manifest must not delete it."""

    def event(api_version: str) -> objects.Object:
        about = {"kind": "ConfigMap", "name": "a", "namespace": "default"}
        made: objects.Object = {
            "apiVersion": api_version,
            "kind": "Event",
            "metadata": {"name": "e", "namespace": "default"},
            "type": "Normal",
            "reason": "Tried",
            "action": "Try",
            "eventTime": "2026-01-01T00:00:00.000000Z",
            "reportingInstance": "c-1",
        }
        if api_version == "v1":
            return made | {"involvedObject": about, "reportingComponent": "example.com/c"}
        return made | {"regarding": about, "reportingController": "example.com/c"}

    await still.deliver(event("v1"), c.config("a"))
    uid = still.find("events", "e")["metadata"]["uid"]
    await still.deliver(c.config("a"), c.config("b"), event("events.k8s.io/v1"), **TAKE_OVER)
    assert still.find("events", "e")["metadata"]["uid"] == uid
    assert still.tracked() == {"ConfigMap/a", "ConfigMap/b", "Event/e"}


async def test_an_application_whose_records_were_deleted_by_hand_is_delivered_again(
    still: c.Cluster,
) -> None:
    """A tracker left behind blocks nothing, and still knows what is to go."""
    await still.deliver(c.config("a"), c.config("old"))
    for kind in ("applications", "applicationrevisions"):
        for name in still.names(f"{kind}.core.understudy.dev"):
            still.view.delete(f"{kind}.core.understudy.dev", name, "default")
    await still.deliver(c.config("a"))
    assert still.names("configmaps") == ["a"]
    assert still.names("applicationrevisions.core.understudy.dev") == ["shop-v2"]


@pytest.mark.parametrize(
    ("owner", "told"),
    [
        (targets.Owner("", "default"), "the application's name ''"),
        (targets.Owner("shop", ""), "the namespace ''"),
    ],
)
async def test_a_revision_of_no_application_is_refused(
    installed: c.Cluster, owner: targets.Owner, told: str
) -> None:
    nameless = revisions.Revision(owner=owner, number=1, digest="", objects=())
    with pytest.raises(errors.ManifestError, match=told):
        await dispatch.Dispatcher(installed.client, nameless).dispatch(c.written(c.config("a")))
    assert installed.names("configmaps") == []


async def test_another_applications_tracker_is_refused(installed: c.Cluster) -> None:
    other = trackers.Tracker(owner=targets.Owner("other", "default"))
    with pytest.raises(errors.DeliveryError, match="two trackers must come from one application"):
        (await dispatcher(installed, 1)).end_and_gc(other)


# ---------------------------------------------------------------------- collection


class Meddling(wrapping.WrappedClient):
    """A client beside which somebody patches what is about to be deleted, once."""

    def __init__(self, cluster: c.Cluster, patch: objects.Object) -> None:
        super().__init__(cluster.client)
        self._cluster, self._patch = cluster, patch
        self.policies: dict[str, str] = {}

    async def delete(self, resource: str, name: str, **given: str) -> objects.Object:
        self.policies[name] = given.get("propagation_policy", "")
        patch, self._patch = self._patch, {}
        if patch and name == "b":
            self._cluster.view.patch(resource, name, patch, "default")
        return await super().delete(resource, name, **given)

    async def write(self, write: wrapping.Write, send: wrapping.Send) -> objects.Object:
        return await send()


async def test_a_label_that_goes_between_look_and_delete_keeps_the_object(
    still: c.Cluster,
) -> None:
    await still.deliver(c.config("a"), c.config("b"))
    taken = {"metadata": {"labels": {marks.PART_OF: "applyset-other-v1"}}}
    done = await still.deliver(c.config("a"), client=Meddling(still, taken))
    assert told(done)["b"] == (
        "abandon",
        "no longer carries our label: it belongs to the application default/shop",
    )
    assert still.names("configmaps") == ["a", "b"]


async def test_another_change_between_look_and_delete_does_not(still: c.Cluster) -> None:
    await still.deliver(c.config("a"), c.config("b"))
    done = await still.deliver(c.config("a"), client=Meddling(still, {"data": {"x": "1"}}))
    assert told(done)["b"][0] == "delete"
    assert still.names("configmaps") == ["a"]


async def test_what_owns_others_goes_after_them(cluster: c.Cluster) -> None:
    """Where the plan lists what goes with it; else nobody would notice, and nobody waits."""
    await cluster.deliver(c.deployment("web"), c.config("a"), c.config("stays"))
    meddling = Meddling(cluster, {})
    await cluster.deliver(c.config("stays"), client=meddling)
    assert meddling.policies == {"web": "Foreground", "a": "Background"}
    assert cluster.names("pods") == []
    await cluster.deliver(c.deployment("web"), c.config("a"))
    meddling = Meddling(cluster, {})
    await cluster.deliveries(meddling).remove(c.OWNER, c.options())
    assert (meddling.policies["web"], meddling.policies["a"]) == ("Foreground", "Background")


async def test_data_is_kept_unless_it_may_go(cluster: c.Cluster) -> None:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "namespace": "default"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    await cluster.deliver(claim, c.config("a"))
    done = await cluster.deliver(c.config("a"))
    assert told(done)["data"] == ("keep", "holds data; --delete-data deletes it")
    assert cluster.names("persistentvolumeclaims") == ["data"]
    done = await cluster.deliver(c.config("a"), c.config("b"), allow_data=True)
    assert told(done)["data"][0] == "delete"


async def test_removal_releases_what_is_kept(still: c.Cluster) -> None:
    await still.deliver(c.namespace("team"), c.config("ours", "team"))
    still.view.create("configmaps", c.config("theirs", "team"), "team")
    done = await still.remove()
    assert told(done)["team"][0] == "keep"
    space = still.find("namespaces", "team", "")
    assert marks.PART_OF not in objects.labels_of(space)
    assert still.names("configmaps", "team") == ["theirs"]
    assert still.names("resourcetrackers.core.understudy.dev", "") == []


async def test_a_system_namespace_is_given_back(still: c.Cluster) -> None:
    await still.deliver(c.namespace("kube-public"), c.config("a"), **ADOPT)
    done = await still.deliver(c.config("a"))
    assert told(done)["kube-public"] == ("keep", "is a system namespace")
    assert marks.PART_OF not in objects.labels_of(still.find("namespaces", "kube-public", ""))


async def test_the_namespace_of_the_records_is_kept(still: c.Cluster) -> None:
    owner = targets.Owner("shop", "mine")
    await still.deliver(c.namespace("mine"), c.config("a", "mine"), c.config("b"), owner=owner)
    done = await still.deliver(c.config("b"), owner=owner)
    assert told(done)["mine"] == ("keep", "holds the records of this application")
    assert told(done)["a"][0] == "delete"


async def test_a_collector_deletes_what_only_the_old_tracker_has(installed: c.Cluster) -> None:
    """KubeVela's GarbageCollect(old, new), by objects' identity and not by their version."""
    first = await dispatcher(installed, 1)
    old = await first.dispatch(c.written(c.config("a"), c.config("shared")))
    second = await dispatcher(installed, 2)
    new = await second.dispatch(c.written(c.config("b"), c.config("shared")))
    clock = clocks.SystemClock()
    collector: collect.GarbageCollector = collect.Collector(
        installed.client,
        c.OWNER,
        clock=clock,
        waiter=waiting.LiveWaiter(installed.client, clock),
    )
    done = await collector.collect(old, new)
    assert {ref.name for ref in done.gone} == {"a"}
    assert installed.names("configmaps") == ["b", "shared"]
    assert await collector.collect(old, collect.narrowed(new, done)) is not None, "again is fine"
    assert installed.names("configmaps") == ["b", "shared"]


async def test_an_object_that_does_not_go_away_is_named_with_its_finalizers(
    still: c.Cluster,
) -> None:
    stuck = c.config("stuck")
    stuck["metadata"]["finalizers"] = ["example.com/wait"]
    await still.deliver(stuck, c.config("a"))
    plan = await still.plan(c.config("a"))
    assert [e.text for e in plan.effects] == [
        "ConfigMap default/stuck would not go away: waiting on finalizers: example.com/wait"
    ]
    waits = waiting.WaitSettings(timeout_s=0.1, no_activity_s=0.1, poll_first_s=0.01)
    with pytest.raises(errors.RefusedError, match=r"waiting on finalizers: example\.com/wait"):
        await still.deliver(c.config("a"), wait_settings=waits)
    assert "ConfigMap/stuck" in still.tracked()
    still.view.patch("configmaps", "stuck", {"metadata": {"finalizers": None}}, "default")
    await still.deliver(c.config("a"))
    assert still.tracked() == {"ConfigMap/a"}


async def test_a_kind_that_is_gone_has_no_objects_to_delete(still: c.Cluster) -> None:
    await still.deliver(c.definition(), c.widget("w"), c.config("a"))
    still.view.delete("customresourcedefinitions.apiextensions.k8s.io", "widgets.example.com")
    done = await still.deliver(c.config("a"), c.config("b"))
    assert told(done)["w"] == ("gone", "is gone already")
    assert still.tracked() == {"ConfigMap/a", "ConfigMap/b"}


async def test_history_is_limited_and_numbers_are_never_used_again(still: c.Cluster) -> None:
    for number in range(13):
        await still.deliver(c.config("a", v=str(number)), c.secret("s", v=str(number)))
    names = still.names("applicationrevisions.core.understudy.dev")
    assert sorted(names, key=lambda name: int(name[6:])) == [f"shop-v{n}" for n in range(4, 14)]
    kept = [name for name in still.names("secrets") if name.endswith("-values")]
    assert len(kept) == 10
    for name in names:
        still.view.delete("applicationrevisions.core.understudy.dev", name, "default")
    await still.deliver(c.config("a", v="new"), c.secret("s", v="new"))
    assert still.names("applicationrevisions.core.understudy.dev") == ["shop-v14"]


async def test_history_keeps_what_can_be_gone_back_to(still: c.Cluster) -> None:
    """Whatever was tried in vain since, the last delivered revision is there."""
    limited = {
        "apiVersion": "core.understudy.dev/v1alpha1",
        "kind": "Application",
        "metadata": {"name": "shop"},
        "spec": {"historyLimit": 2},
    }
    await still.deliver(limited, c.config("a", v="good"))
    broken = Busy(still.client, *[statuses.InternalError("database on fire")] * 99)
    for number in range(4):
        with pytest.raises(errors.RefusedError):
            await still.deliver(limited, c.config("a", v=str(number)), client=broken)
    await still.deliver(limited, c.config("a", v="new"))
    assert still.names("applicationrevisions.core.understudy.dev") == ["shop-v1", "shop-v6"]
    await still.deliveries().rollback(c.OWNER, "", c.options())
    assert still.find("configmaps", "a")["data"] == {"v": "good"}


async def test_a_revision_cannot_be_changed(still: c.Cluster) -> None:
    await still.deliver(c.config("a"))
    with pytest.raises(statuses.InvalidError, match="a revision cannot be changed"):
        still.view.patch(
            "applicationrevisions.core.understudy.dev",
            "shop-v1",
            {"spec": {"digest": "sha256:0"}},
            "default",
        )


async def test_what_happens_is_told(still: c.Cluster) -> None:
    await still.deliver(c.config("a"))
    done = [(n.op, n.ref.name) for n in still.told if n.type == "done" and n.ref is not None]
    assert done[-1] == ("create", "a")
    assert outcomes.News(type="phase", message="applying 1 object", total=1) in still.told


# ---------------------------------------------------------------------- what is told of failures


async def test_a_conflict_tells_both_values(still: c.Cluster) -> None:
    web = c.deployment("web", image="web:1")
    await still.deliver(web, c.secret("s", p="old"), wait=False)
    for resource, name, patch in (
        (
            "deployments.apps",
            "web",
            {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "web:9"}]}}}},
        ),
        ("secrets", "s", {"data": {"p": "bmV3"}}),
    ):
        await still.client.patch(
            resource, name, patch, namespace="default", field_manager="ann",
            patch_type="application/strategic-merge-patch+json",
        )  # fmt: skip
    plan = await still.plan(c.deployment("web", image="web:2"), c.secret("s", p="old"))
    told = {str(blocked.ref): str(blocked) for blocked in plan.blocked}
    assert (
        '(.spec.template.spec.containers[name="web"].image is web:9 there, web:2 here) '
        "(--force-conflicts takes the fields over)" in told["Deployment default/web"]
    )
    assert "(.data.p is <secret #1> there, <secret #2> here)" in told["Secret default/s"]


async def test_a_failed_delivery_says_how_far_it_came(cluster: c.Cluster) -> None:
    given = (c.config("a"), c.deployment("web", image="exit-1"), c.deployment("other"))
    with pytest.raises(errors.UnhealthyError) as caught:
        await cluster.deliver(*given)
    (note,) = caught.value.__notes__
    assert note.startswith("3 of 3 objects are applied; not yet as wanted: Deployment default/")
    assert note.endswith("run it again to go on, or go back: understudy rollback shop")


async def test_standing_still_ends_the_wait_before_its_time(cluster: c.Cluster) -> None:
    settings = waiting.WaitSettings(
        timeout_s=60, no_activity_s=0.3, poll_first_s=0.01, poll_max_s=0.1
    )
    with pytest.raises(errors.UnhealthyError, match=r"given up: nothing has moved for 0\.3 s"):
        await cluster.deliver(c.deployment("web", image="unready"), wait_settings=settings)


@pytest.mark.parametrize("key", ["kapp.k14s.io/disable-wait", "core.understudy.dev/wait"])
async def test_what_need_not_be_waited_for_is_not(cluster: c.Cluster, key: str) -> None:
    broken = c.deployment("web", image="unready")
    broken["metadata"]["annotations"] = {key: "" if key.startswith("kapp") else "false"}
    await cluster.deliver(broken)


async def test_a_long_wait_tells_what_pods_say(cluster: c.Cluster) -> None:
    settings = waiting.WaitSettings(
        timeout_s=0.5, poll_first_s=0.01, poll_max_s=0.05, explain_first_s=0.05, explain_s=0.05
    )
    source = {"envFrom": [{"configMapRef": {"name": "nowhere"}}]}
    with pytest.raises(errors.UnhealthyError) as caught:
        await cluster.deliver(c.deployment("web", **source), wait_settings=settings)
    (told,) = [news for news in cluster.told if news.details]
    (pod,) = [name for name in told.details[0].split() if name.startswith("web-")]
    assert told.details == (f'pod {pod} container web: configmap "nowhere" not found',)
    assert str(caught.value).splitlines()[1:] == [f"  ^ {told.details[0]}"]
    assert render.news(told).splitlines() == [
        "ongoing: Deployment default/web: 0 of 1 replicas are available",
        f"  ^ {told.details[0]}",
    ]


async def test_what_is_waited_for_counts_when_it_is_healthy(cluster: c.Cluster) -> None:
    await cluster.deliver(c.config("a"), c.deployment("web"), c.config("b"))
    phases = [news for news in cluster.told if news.type == "phase"]
    assert [(news.message, news.done, news.total) for news in phases] == [
        ("applying 2 objects", 0, 3),
        ("applying 1 object", 2, 3),
        ("waiting for 1 object", 2, 3),
    ]
    cluster.told.clear()
    await cluster.deliver(c.config("b"))
    phases = [render.news(news) for news in cluster.told if news.type == "phase"]
    assert phases[-2:] == [
        "---- deleting 1 object [0/2 done] ----",
        "---- deleting 1 object [1/2 done] ----",
    ]


async def test_what_goes_slowly_is_told_when_it_is_gone(cluster: c.Cluster) -> None:
    slow = c.config("a")
    slow["metadata"]["finalizers"] = ["example.com/slow"]
    await cluster.deliver(slow)
    cluster.told.clear()

    async def release() -> None:
        while not any(news.type == "waiting" for news in cluster.told):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        patch = {"metadata": {"finalizers": None}}
        cluster.view.patch("configmaps", "a", patch, "default")

    async with asyncio.TaskGroup() as group:
        group.create_task(release())
        group.create_task(cluster.remove())
    told = [news for news in cluster.told if news.ref]
    assert [render.news(news) for news in told] == [
        "delete ConfigMap default/a",
        "ongoing: ConfigMap default/a: waiting on finalizers: example.com/slow",
        "ok: ConfigMap default/a: is gone",
    ]


@pytest.mark.parametrize("way", ["deliver", "remove"])
async def test_whose_lock_was_taken_by_force_is_told(still: c.Cluster, way: str) -> None:
    await still.deliver(c.config("a"))
    lock = leases.Lock(still.client, c.OWNER, "ann@build-7 pid 9", clock=clocks.SystemClock())
    await lock.acquire()
    with pytest.raises(errors.LockHeldError, match="being delivered by ann@build-7 pid 9"):
        await still.deliver(c.config("b"))
    if way == "deliver":
        await still.deliver(c.config("b"), force_unlock=True)
    else:
        await still.remove(force_unlock=True)
    told = [news.message for news in still.told if news.type == "phase"]
    assert "took the lock over from ann@build-7 pid 9" in told
    await lock.release()


# ---------------------------------------------------------------------- jobs


async def test_a_job_that_removes_itself_is_done(cluster: c.Cluster) -> None:
    passing = job("a:1")
    passing["spec"]["ttlSecondsAfterFinished"] = 0
    await cluster.deliver(passing, c.config("a"))
    assert cluster.names("jobs.batch") == []
    assert not (await cluster.plan(passing, c.config("a"))).has_changes
    assert not (await cluster.deliver(passing, c.config("a"))).changed
    assert all(one.health.is_settled for one in await cluster.deliveries().status(c.OWNER))
    again = await cluster.plan(passing, c.config("a", v="2"))
    assert {(o.ref.name, str(o.op)) for o in again.operations} == {
        ("once", "create"), ("a", "change"),
    }  # fmt: skip
    await cluster.deliver(c.config("a", v="2"))
    assert cluster.tracked() == {"ConfigMap/a"}


async def test_a_job_is_waited_for_last_as_it_may_need_what_comes_later(
    cluster: c.Cluster,
) -> None:
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "b", "namespace": "default"},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "web"}}},
    }
    await cluster.deliver(job("a:1"), c.deployment("web"), budget)
    at = {
        (news.type, news.ref.name): number
        for number, news in enumerate(cluster.told)
        if news.ref is not None and news.type in ("done", "healthy")
    }
    assert at["done", "once"] < at["done", "b"] < at["healthy", "once"]


async def test_the_namespace_of_the_records_goes_with_the_application(cluster: c.Cluster) -> None:
    owner = targets.Owner("shop", "mine")
    made = await cluster.deliver(c.namespace("mine"), c.config("a", "mine"), owner=owner)
    assert made.plan.revision == "shop-v1"
    assert cluster.find("applicationrevisions.core.understudy.dev", "shop-v1", "mine")
    plan = await cluster.deliveries().plan_removal(owner, c.options())
    assert {(o.ref.kind, str(o.op)) for o in plan.operations} == {
        ("Namespace", "delete"), ("ConfigMap", "delete"),
    }  # fmt: skip
    assert [effect.text for effect in plan.effects if effect.type == "hangs"] == []
