"""The scenarios of the charter once more, with other kinds and in other circumstances."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from tests.unit.delivery import conftest as c

from understudy.controllers.knative import installing
from understudy.delivery import adoption, errors, manifests, marks, outcomes, plans, targets
from understudy.kube import objects

SECOND = targets.Owner("second", "default")
ADMISSION = "admissionregistration.k8s.io"


@pytest.fixture
def setting() -> str:
    """As the command line does it: over HTTP, rehearsed on a copy."""
    return "http"


def ops(plan: plans.Plan) -> dict[str, str]:
    return {
        f"{o.ref.kind}/{o.ref.name}": str(o.op)
        for o in plan.operations
        if not o.record and o.op is not outcomes.Op.UNCHANGED
    }


def told(done: c.deliveries.Delivery) -> dict[str, tuple[str, str]]:
    return {o.ref.name: (str(o.op), o.note) for o in done.outcomes}


def blocked(plan: plans.Plan) -> list[str]:
    return [str(one) for one in plan.blocked]


def effects(plan: plans.Plan, kind: str) -> list[str]:
    return [effect.text for effect in plan.effects if effect.type == kind]


def versions(*names: str, stored: str, **more: objects.Json) -> objects.Object:
    """The definition of Widgets in several versions."""
    made = c.definition()
    (version,) = made["spec"]["versions"]
    made["spec"]["versions"] = [
        {**version, "name": name, "storage": name == stored, **more} for name in names
    ]
    return made


# 1: other invalid objects ---------------------------------------------------------------------


def ruled(*rules: objects.Object) -> objects.Object:
    """The definition of Widgets with rules in CEL about their spec."""
    made = c.definition()
    schema = made["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    schema["x-kubernetes-validations"] = list(rules)
    return made


async def test_01_a_rule_of_the_definition_in_the_same_change_is_kept(still: c.Cluster) -> None:
    rule = {"rule": "self.size % 2 == 0", "message": "sizes are even"}
    plan = await still.plan(ruled(rule), c.widget("odd", size=3), c.widget("even", size=4))
    assert blocked(plan) == [
        'Widget default/odd: Widget.example.com "odd" is invalid: spec: Invalid value: '
        "sizes are even"
    ]
    assert ops(plan)["Widget/even"] == "create"


async def test_01_a_rule_about_changes_asks_for_a_new_object(still: c.Cluster) -> None:
    rule = {"rule": "self.size == oldSelf.size", "message": "size is immutable"}
    await still.deliver(ruled(rule), c.widget("w", size=1))
    uid = still.find("widgets.example.com", "w")["metadata"]["uid"]
    plan = await still.plan(ruled(rule), c.widget("w", size=2))
    assert len(plan.blocked) == 1
    assert "--recreate" in str(plan.blocked[0])
    await still.deliver(ruled(rule), c.widget("w", size=2), recreate=True)
    live = still.find("widgets.example.com", "w")
    assert (live["metadata"]["uid"] != uid, live["spec"]["size"]) == (True, 2)


async def test_01_a_schema_that_present_objects_break_tells_of_them(still: c.Cluster) -> None:
    await still.deliver(c.definition(maximum=9), c.widget("ours", size=1))
    still.view.create("widgets.example.com", c.widget("theirs", size=8), "default")
    plan = await still.plan(c.definition(maximum=5), c.widget("ours", size=1))
    assert any("theirs" in text for text in effects(plan, "refuses")), plan.effects


# 4: versions ----------------------------------------------------------------------------------


async def test_04_a_custom_resource_in_another_version_is_an_update(still: c.Cluster) -> None:
    old = c.widget("w", size=1) | {"apiVersion": "example.com/v1alpha1"}
    await still.deliver(versions("v1alpha1", stored="v1alpha1"), old)
    uid = still.find("widgets.example.com", "w")["metadata"]["uid"]
    both = versions("v1alpha1", "v1", stored="v1")
    plan = await still.plan(both, c.widget("w", size=2))
    assert ops(plan) == {
        "CustomResourceDefinition/widgets.example.com": "change", "Widget/w": "change",
    }  # fmt: skip
    await still.deliver(both, c.widget("w", size=2))
    live = still.find("widgets.example.com", "w")
    assert (live["metadata"]["uid"], live["spec"]["size"]) == (uid, 2)
    assert not (await still.plan(both, c.widget("w", size=2))).has_changes


async def test_04_an_object_that_moves_to_another_group_is_not_deleted(still: c.Cluster) -> None:
    """Events are served in two groups, as Ingresses and Deployments once were."""
    regarding = {"kind": "Pod", "namespace": "default", "name": "p"}
    old = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "e", "namespace": "default"},
        "involvedObject": regarding,
        "reason": "Because",
        "type": "Normal",
    }
    new = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "e", "namespace": "default"},
        "regarding": regarding,
        "reason": "Because",
        "type": "Normal",
        "action": "Doing",
        "reportingController": "example.com/c",
        "reportingInstance": "c-1",
        "eventTime": "2026-01-01T00:00:00.000000Z",
    }
    await still.deliver(old)
    uid = still.find("events", "e")["metadata"]["uid"]
    done = await still.deliver(new, adoption=adoption.Adoption.IF_NO_INVENTORY, recreate=True)
    assert outcomes.Op.DELETE not in {outcome.op for outcome in done.outcomes}, told(done)
    assert still.find("events", "e") is not None
    assert still.find("events", "e")["metadata"]["uid"] == uid or "e" in told(done)
    assert len(still.tracked()) == 1


async def test_04_an_application_of_cluster_scoped_objects_alone(still: c.Cluster) -> None:
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "reads"},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
    }
    other = {**role, "metadata": {"name": "other"}}
    await still.deliver(role, other)
    done = await still.deliver(role)
    assert told(done)["other"][0] == "delete"
    await still.remove()
    assert "reads" not in still.names("clusterroles.rbac.authorization.k8s.io", "")


# 5, 6: what others do between plan and delivery ----------------------------------------------


def saved(plan: plans.Plan) -> plans.SavedPlan:
    return plans.from_file(orjson.dumps(plan.as_file()), "plan.json")


async def test_05_a_wanted_object_that_is_anothers_since_the_plan(still: c.Cluster) -> None:
    await still.deliver(c.config("a", v="1"))
    plan = saved(await still.plan(c.config("a", v="2")))
    label = {"metadata": {"labels": {marks.PART_OF: "applyset-other-v1"}}}
    still.view.patch("configmaps", "a", label, "default")
    with pytest.raises((errors.StalePlanError, errors.BlockedError)) as caught:
        await still.deliveries().deliver(
            c.OWNER, c.written(c.config("a", v="2")), c.options(), saved=plan
        )
    assert caught.value.exit_code in (3, 4)
    assert still.find("configmaps", "a")["data"] == {"v": "1"}


async def test_06_a_wanted_object_made_anew_since_the_plan_makes_it_stale(
    still: c.Cluster,
) -> None:
    await still.deliver(c.config("a", v="1"))
    plan = saved(await still.plan(c.config("a", v="2")))
    live = still.view.get("configmaps", "a", "default")
    still.view.delete("configmaps", "a", "default")
    keep = {key: live["metadata"][key] for key in ("name", "namespace", "labels", "annotations")}
    still.view.create("configmaps", {"metadata": keep, "data": {"v": "theirs"}}, "default")
    with pytest.raises(errors.StalePlanError) as caught:
        await still.deliveries().deliver(
            c.OWNER, c.written(c.config("a", v="2")), c.options(), saved=plan
        )
    assert caught.value.exit_code == 4
    assert still.find("configmaps", "a")["data"] == {"v": "theirs"}


async def test_07_two_applications_contest_one_object(still: c.Cluster) -> None:
    await still.deliver(c.config("one", v="1"), c.config("mine"))
    with pytest.raises(errors.BlockedError, match="belongs to the application default/shop"):
        await still.deliver(c.config("one", v="2"), owner=SECOND)
    assert still.find("configmaps", "one")["data"] == {"v": "1"}
    taking = {"adoption": adoption.Adoption.ALL, "force_conflicts": True}
    await still.deliver(c.config("one", v="2"), owner=SECOND, **taking)
    assert still.find("configmaps", "one")["data"] == {"v": "2"}
    with pytest.raises(errors.BlockedError, match="belongs to the application default/second"):
        await still.deliver(c.config("one", v="1"), c.config("mine"))
    done = await still.deliver(c.config("mine"))
    assert told(done)["one"][0] == "abandon"
    await still.remove()
    assert still.names("configmaps") == ["one"]
    assert still.find("configmaps", "one")["data"] == {"v": "2"}


# 9: replacements ------------------------------------------------------------------------------


async def test_09_the_original_survives_a_replacement_that_a_policy_refuses(
    still: c.Cluster,
) -> None:
    """The new Secret would be accepted as an update, not as a creation."""
    await still.deliver(c.secret("s", a="1"))
    uid = still.find("secrets", "s")["metadata"]["uid"]
    _forbid(still, "secrets", "CREATE", "object.metadata.name != 's'", "no new secrets")
    with pytest.raises(errors.BlockedError, match="no new secrets"):
        await still.deliver(c.secret("s", a="1") | {"type": "example.com/x"}, recreate=True)
    assert still.find("secrets", "s")["metadata"]["uid"] == uid


def _forbid(
    cluster: c.Cluster, resource: str, operation: str, expression: str, message: str
) -> None:
    rule = {
        "apiGroups": ["*"], "apiVersions": ["*"], "operations": [operation],
        "resources": [resource],
    }  # fmt: skip
    spec = {
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": expression, "message": message}],
    }
    binding = {"policyName": "forbids", "validationActions": ["Deny"]}
    named = {"metadata": {"name": "forbids"}}
    cluster.view.create(f"validatingadmissionpolicies.{ADMISSION}", {**named, "spec": spec})
    cluster.view.create(
        f"validatingadmissionpolicybindings.{ADMISSION}", {**named, "spec": binding}
    )


# 10, 11, 12: deletions ------------------------------------------------------------------------


async def test_10_a_namespace_with_nothing_but_what_every_one_has_goes(
    cluster: c.Cluster,
) -> None:
    await cluster.deliver(c.namespace("team"), c.config("ours", "team"), c.config("here"))
    assert cluster.running is not None
    await cluster.running.wait_idle()
    assert cluster.names("configmaps", "team") == ["kube-root-ca.crt", "ours"]
    plan = await cluster.plan(c.config("here"))
    assert ops(plan) == {"Namespace/team": "delete", "ConfigMap/ours": "delete"}


async def test_10_a_namespace_of_two_applications_is_kept(still: c.Cluster) -> None:
    await still.deliver(c.namespace("team"), c.config("ours", "team"), c.config("here"))
    await still.deliver(c.config("theirs", "team"), owner=SECOND)
    done = await still.deliver(c.config("here"))
    assert told(done)["team"] == ("keep", "is used by others: ConfigMap theirs")
    assert still.names("configmaps", "team") == ["theirs"]


async def test_11_a_definition_goes_after_its_own_objects(still: c.Cluster) -> None:
    await still.deliver(c.definition(), c.widget("a"), c.widget("b"), c.config("here"))
    done = await still.deliver(c.config("here"))
    gone = [o.ref.kind for o in done.outcomes if o.op is outcomes.Op.DELETE]
    assert gone == ["Widget", "Widget", "CustomResourceDefinition"]


@pytest.mark.parametrize(
    "text", ["", "---\n---\n", "# nothing is rendered\n", "null\n", "apiVersion: v1\nkind: List\n"]
)
async def test_12_what_renders_to_nothing_is_refused(
    still: c.Cluster, text: str, tmp_path: Path
) -> None:
    await still.deliver(c.config("a"))
    (tmp_path / "all.yaml").write_text(text)

    async def deliver() -> None:
        given = manifests.load([str(tmp_path)], read_stdin=bytes)
        await still.deliveries().deliver(c.OWNER, given, c.options())

    with pytest.raises((errors.BlockedError, errors.ManifestError)) as caught:
        await deliver()
    assert caught.value.exit_code in (1, 3)
    assert still.names("configmaps") == ["a"]


# 13: claims -----------------------------------------------------------------------------------


@pytest.mark.parametrize("setting", c.SETTINGS)
async def test_13_a_claim_that_waits_for_its_consumer_and_the_consumer(
    cluster: c.Cluster,
) -> None:
    late = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "late"},
        "provisioner": "example.com/disks",
        "volumeBindingMode": "WaitForFirstConsumer",
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "namespace": "default"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": "late",
        },
    }
    web = c.deployment("web")
    pod = web["spec"]["template"]["spec"]
    pod["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    pod["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    async with c.soon(10):
        await cluster.deliver(late, claim, web)
    assert cluster.find("persistentvolumeclaims", "data")["status"]["phase"] == "Bound"
    conditions = {one.entry.ref.kind: str(one.health.state)
                  for one in await cluster.deliveries().status(c.OWNER)}  # fmt: skip
    assert set(conditions.values()) == {"Current"}
    plan = await cluster.plan(late)
    assert ops(plan) == {"Deployment/web": "delete", "PersistentVolumeClaim/data": "keep"}


async def test_13_a_claim_that_nobody_uses_yet_is_current(cluster: c.Cluster) -> None:
    late = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "late"},
        "provisioner": "example.com/disks",
        "volumeBindingMode": "WaitForFirstConsumer",
    }
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "namespace": "default"},
        "spec": {**spec, "storageClassName": "late"},
    }
    await cluster.deliver(late, claim)
    found = {one.entry.ref.kind: one.health for one in await cluster.deliveries().status(c.OWNER)}
    assert str(found["PersistentVolumeClaim"]) == "Current: waits for its first consumer"


# 15: who reads what changes -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pod", "restarts"),
    [
        ({"containers": [{"name": "web", "image": "web:1",
                          "envFrom": [{"configMapRef": {"name": "settings"}}]}]}, True),
        ({"containers": [{"name": "web", "image": "web:1", "env": [{
            "name": "V", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "v"}}}]}]},
         True),
        ({"initContainers": [{"name": "first", "image": "web:1",
                              "envFrom": [{"configMapRef": {"name": "settings"}}]}],
          "containers": [{"name": "web", "image": "web:1"}]}, True),
        ({"containers": [{"name": "web", "image": "web:1", "volumeMounts": [
            {"name": "v", "mountPath": "/v", "subPath": "v"}]}],
          "volumes": [{"name": "v", "configMap": {"name": "settings"}}]}, True),
        ({"containers": [{"name": "web", "image": "web:1",
                          "volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
          "volumes": [{"name": "v", "projected": {"sources": [
              {"configMap": {"name": "settings"}}]}}]}, False),
    ],
    ids=["envFrom", "env", "init container", "subPath", "projected"],
)  # fmt: skip
async def test_15_whoever_reads_a_changed_config_map_only_once_is_told(
    cluster: c.Cluster, pod: objects.Object, restarts: bool
) -> None:
    web = c.deployment("web")
    web["spec"]["template"]["spec"] = pod
    await cluster.deliver(c.config("settings", v="1"), web)
    plan = await cluster.plan(c.config("settings", v="2"), web)
    assert bool(effects(plan, "no-restart")) is restarts, plan.effects


# 16: what is used up, taken and forbidden within one change -----------------------------------


def quota(space: str, **hard: str) -> objects.Object:
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "few", "namespace": space},
        "spec": {"hard": hard},
    }


async def test_16_a_quota_in_the_change_itself_counts_several_resources(
    cluster: c.Cluster,
) -> None:
    few = quota("team", **{"count/deployments.apps": "1", "services": "1", "secrets": "9"})
    given = (c.service("a", "team"), c.service("b", "team"), c.deployment("x", "team"))
    plan = await cluster.plan(c.namespace("team"), few, *given, c.deployment("y", "team"))
    assert [str(b.ref) for b in plan.blocked] == ["Service team/b", "Deployment team/y"]
    assert all("exceeded quota: few" in text for text in blocked(plan))


async def test_16_pods_that_a_quota_refuses_are_told_of(cluster: c.Cluster) -> None:
    plan = await cluster.plan(quota("default", pods="1"), c.deployment("web", replicas=3))
    assert any("exceeded quota: few" in effect.text for effect in plan.effects)


async def test_16_a_node_port_and_an_address_that_are_taken(still: c.Cluster) -> None:
    port = [{"port": 80, "nodePort": 30123}]
    still.view.create("services", c.service("there", type="NodePort", ports=port), "default")
    taken = still.find("services", "there")["spec"]["clusterIP"]
    plan = await still.plan(
        c.service("a", type="NodePort", ports=port),
        c.service("b", clusterIP=taken),
        c.service("c", type="NodePort"),
    )
    assert [str(b.ref) for b in plan.blocked] == ["Service default/a", "Service default/b"]
    assert "provided port is already allocated" in blocked(plan)[0]
    assert "provided IP is already allocated" in blocked(plan)[1]


async def test_16_a_node_port_that_an_object_of_the_same_change_gives_up_is_free(
    still: c.Cluster,
) -> None:
    port = [{"port": 80, "nodePort": 30123}]
    await still.deliver(c.service("a", type="NodePort", ports=port))
    plan = await still.plan(c.service("a"), c.service("b", type="NodePort", ports=port))
    assert blocked(plan) == []


async def test_16_a_policy_that_forbids_a_deletion_blocks_it(still: c.Cluster) -> None:
    await still.deliver(c.config("a"), c.config("b"))
    _forbid(still, "configmaps", "DELETE", "oldObject.metadata.name != 'b'", "b stays")
    plan = await still.plan(c.config("a"))
    assert len(plan.blocked) == 1
    assert "b stays" in blocked(plan)[0]
    with pytest.raises(errors.BlockedError):
        await still.deliver(c.config("a"))


async def test_16_a_policy_delivered_with_what_it_forbids(still: c.Cluster) -> None:
    """Policies go last: they are for what comes after."""
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
            "resources": ["configmaps"]}  # fmt: skip
    policy = {
        "apiVersion": f"{ADMISSION}/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "named"},
        "spec": {
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [{"expression": "object.metadata.name.startsWith('ok')"}],
        },
    }
    binding = {
        "apiVersion": f"{ADMISSION}/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": "named"},
        "spec": {"policyName": "named", "validationActions": ["Deny"]},
    }
    await still.deliver(binding, policy, c.config("bad"))
    plan = await still.plan(binding, policy, c.config("bad", v="2"))
    assert [str(b.ref) for b in plan.blocked] == ["ConfigMap default/bad"]


# 18: what is secret ---------------------------------------------------------------------------


async def test_18_a_secret_elsewhere_than_in_a_secret(still: c.Cluster) -> None:
    env = [{"name": "DB_PASSWORD", "value": "hunter2"}]
    await still.deliver(c.deployment("web", env=env), wait=False)
    changed = [{"name": "DB_PASSWORD", "value": "correct-horse"}]
    plan = await still.plan(c.deployment("web", env=changed), wait=False)
    shown = orjson.dumps(plan.as_file()).decode()
    assert "hunter2" not in shown
    assert "correct-horse" not in shown


# 19: all mistakes at once ---------------------------------------------------------------------


async def test_19_mistakes_of_many_kinds_are_told_at_once(still: c.Cluster) -> None:
    few = [c.config(f"c{n}") for n in range(20)]
    port = c.service("p", ports=[{"port": 70000}])
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "b", "namespace": "default"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Rool", "name": "x"},
    }
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "j", "namespace": "default"},
        "spec": {"template": {"spec": {"containers": [{"name": "a", "image": "b"}]}}},
    }
    typed = c.deployment("web")
    typed["spec"]["replicas"] = "three"
    nowhere = c.config("lost", "nowhere")
    plan = await still.plan(*few, port, role, job, typed, nowhere)
    assert {str(b.ref) for b in plan.blocked} == {
        "Service default/p", "RoleBinding default/b", "Job default/j", "Deployment default/web",
        "ConfigMap nowhere/lost",
    }  # fmt: skip
    assert list(ops(plan).values()) == ["create"] * 20


async def test_20_an_application_whose_name_is_as_long_as_may_be(still: c.Cluster) -> None:
    long, longer = targets.Owner("a" * 50, "default"), targets.Owner("a" * 49 + "b", "default")
    await still.deliver(c.config("x"), owner=long)
    await still.deliver(c.config("y"), owner=longer)
    await still.remove(long)
    assert still.names("configmaps") == ["y"]


# hooks, wherever they are from ----------------------------------------------------------------


async def test_a_hook_with_the_beginning_of_a_name_runs_once_for_each_revision(
    cluster: c.Cluster, tmp_path: Path
) -> None:
    """As Argo CD's documentation has it."""
    hook = (
        "apiVersion: v1\nkind: Pod\nmetadata:\n  generateName: migrate-\n"
        "  annotations: {argocd.argoproj.io/hook: PreSync}\n"
        "spec: {restartPolicy: Never, containers: [{name: run, image: exit-0}]}\n"
    )
    path = tmp_path / "app.yaml"

    async def deliver(value: str) -> c.deliveries.Delivery:
        config = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata: {{v: '{value}'}}\n"
        path.write_text(f"{hook}---\n{config}")
        given = manifests.load([str(path)], read_stdin=bytes)
        return await cluster.deliveries().deliver(c.OWNER, given, c.options())

    await deliver("1")
    (name,) = cluster.names("pods")
    assert name.startswith("migrate-")
    uid = cluster.find("pods", name)["metadata"]["uid"]
    assert not (await deliver("1")).changed
    await deliver("2")
    assert cluster.names("pods") == [name]
    assert cluster.find("pods", name)["metadata"]["uid"] != uid


# health that only what is below can tell ------------------------------------------------------


async def test_14_a_ready_knative_service_whose_pods_crash_has_failed(still: c.Cluster) -> None:
    installing.install(still.view)
    service = {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"template": {"spec": {"containers": [{"image": "web:1"}]}}},
    }
    await still.deliver(service, wait=False)
    ready = {"observedGeneration": 1, "conditions": [{"type": "Ready", "status": "True"}]}
    still.view.patch(
        "services.serving.knative.dev", "web", {"status": ready}, "default", subresource="status"
    )
    (condition,) = await still.deliveries().status(c.OWNER)
    assert str(condition.health) == "Current"
    owner = condition.obj
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [
        {"name": "c", "image": "web:1"}]}}  # fmt: skip
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    pod = {"containers": [{"name": "c", "image": "web:1"}]}
    for resource, kind, content in (
        ("configurations.serving.knative.dev", "Configuration", service["spec"]),
        ("revisions.serving.knative.dev", "Revision", service["spec"]["template"]["spec"]),
        ("deployments.apps", "Deployment", {"replicas": 1, **spec}),
        ("replicasets.apps", "ReplicaSet", {"replicas": 1, **spec}),
        ("pods", "Pod", pod),
    ):
        assert owner is not None
        above = {"apiVersion": owner["apiVersion"], "kind": owner["kind"],
                 "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"]}  # fmt: skip
        meta = {"name": f"web-{kind.lower()}", "ownerReferences": [{**above, "controller": True}]}
        still.view.load([
            {"apiVersion": "v1" if resource == "pods" else "apps/v1" if "apps" in resource
             else "serving.knative.dev/v1", "kind": kind, "spec": content,
             "metadata": {**meta, "namespace": "default", "uid": f"uid-{kind}"}}])  # fmt: skip
        owner = still.view.get(resource, f"web-{kind.lower()}", "default")
    waiting = {"reason": "CrashLoopBackOff", "message": "back-off"}
    crashing = {"phase": "Running", "containerStatuses": [
        {"name": "c", "image": "web:1", "imageID": "", "ready": False, "restartCount": 5,
         "state": {"waiting": waiting}}]}  # fmt: skip
    still.view.patch("pods", "web-pod", {"status": crashing}, "default", subresource="status")
    (condition,) = await still.deliveries().status(c.OWNER)
    assert str(condition.health) == "Failed: container c: back-off"


async def test_a_load_balancer_without_an_address_is_told_of_and_not_waited_for(
    still: c.Cluster,
) -> None:
    async with c.soon(10):
        await still.deliver(c.service("front", type="LoadBalancer"), c.config("after"))
    found = {one.entry.ref.name: one.health for one in await still.deliveries().status(c.OWNER)}
    assert str(found["front"]) == "InProgress: the load balancer has no address yet"
    assert not (
        await still.deliver(c.service("front", type="LoadBalancer"), c.config("after"))
    ).changed
