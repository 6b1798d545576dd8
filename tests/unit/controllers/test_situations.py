"""What happens to workloads that the recordings do not show: real reasons for what is stuck."""

from __future__ import annotations

import pytest

from understudy.aio import clocks, ids
from understudy.controllers import running
from understudy.controllers.runtime import settings
from understudy.kapi import views
from understudy.kapi.views import options
from understudy.kube import objects

SIMULATED = settings.Runtime(leases=False)


class World:
    """A view, its clock, and a way to let everything come to rest."""

    def __init__(self) -> None:
        self.clock = clocks.ManualClock()
        self.view = views.new_view(clock=self.clock, ids=ids.SeededIds(1))
        self.settle()

    def settle(self, runtime: settings.Runtime = SIMULATED, **more) -> running.Settled:
        settled = running.settle(self.view, "all", runtime, self.clock, everything=True, **more)
        self.check_sharing()
        return settled

    def check_sharing(self) -> None:
        """What readers share is as it was committed: nobody has changed it in place."""
        assert self.view.parsed is not None
        for resource in self.view.catalogue.resources:
            for entry in self.view.entries(resource):
                shared = self.view.parsed.known(entry)
                assert shared is None or shared == entry.load(), entry.key

    def pods(self, namespace: str = "default") -> list[objects.Object]:
        return list(self.view.each("pods", namespace))

    def events(self, reason: str) -> list[str]:
        found = (one for one in self.view.each("events") if one.get("reason") == reason)
        return sorted({str(one.get("message") or one.get("note")) for one in found})


@pytest.fixture
def world() -> World:
    return World()


def pod(name: str = "one", image: str = "run:v1", **spec) -> objects.Object:
    containers = [{"name": "c", "image": image, **spec.pop("container", {})}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"containers": containers, **spec}}  # fmt: skip


def job(image: str, **spec) -> objects.Object:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": image}]}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "work"},
            "spec": {"template": template, **spec}}  # fmt: skip


def waiting_of(found: objects.Object) -> objects.Object:
    return found["status"]["containerStatuses"][0]["state"]["waiting"]


def test_a_missing_config_map_keeps_a_pod_from_starting_until_it_comes(world) -> None:
    source = {"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "cfg", "key": "a"}}}]}
    world.view.create("pods", pod(container=source), "default")
    world.settle()
    assert waiting_of(world.pods()[0]) == {
        "reason": "CreateContainerConfigError", "message": 'configmap "cfg" not found',
    }  # fmt: skip
    assert world.events("Failed") == ['Error: configmap "cfg" not found']
    wrong = {"metadata": {"name": "cfg"}, "data": {"b": "1"}}
    world.view.create("configmaps", wrong, "default")
    world.settle()
    assert waiting_of(world.pods()[0])["message"] == "couldn't find key a in ConfigMap default/cfg"
    world.view.patch("configmaps", "cfg", {"data": {"a": "1"}}, "default")
    world.settle()
    assert world.pods()[0]["status"]["phase"] == "Running"


def test_an_optional_secret_may_be_missing(world) -> None:
    source = {"envFrom": [{"secretRef": {"name": "s", "optional": True}}]}
    world.view.create("pods", pod(container=source), "default")
    world.settle()
    assert world.pods()[0]["status"]["phase"] == "Running"


def test_a_missing_secret_volume_leaves_a_pod_creating_with_an_event(world) -> None:
    mounted = pod(volumes=[{"name": "v", "secret": {"secretName": "tls"}}])
    world.view.create("pods", mounted, "default")
    world.settle()
    assert waiting_of(world.pods()[0])["reason"] == "ContainerCreating"
    assert world.events("FailedMount") == [
        'MountVolume.SetUp failed for volume "v" : secret "tls" not found'
    ]
    world.view.create("secrets", {"metadata": {"name": "tls"}}, "default")
    world.settle()
    assert world.pods()[0]["status"]["phase"] == "Running"


def test_a_pod_with_a_missing_claim_says_so(world) -> None:
    claimed = {"name": "v", "persistentVolumeClaim": {"claimName": "data"}}
    world.view.create("pods", pod(volumes=[claimed]), "default")
    world.settle()
    condition = world.pods()[0]["status"]["conditions"][0]
    assert condition["message"] == (
        '0/2 nodes are available: persistentvolumeclaim "data" not found. not found'
    )


def test_a_job_with_a_real_image_completes(world) -> None:
    world.view.create("jobs.batch", job("registry.example/migrate:1.2"), "default")
    world.settle()
    found = world.view.get("jobs.batch", "work", "default")
    assert [one["type"] for one in found["status"]["conditions"]] == [
        "SuccessCriteriaMet", "Complete",
    ]  # fmt: skip


def indexed(image: str, **spec) -> objects.Object:
    shape = {"completionMode": "Indexed", "completions": 3, "parallelism": 1}
    return job(image, **shape | spec)


def end_of(world: World, made: objects.Object) -> objects.Object:
    world.view.create("jobs.batch", made, "default")
    world.settle()
    status = world.view.get("jobs.batch", "work", "default")["status"]
    *_, last = status["conditions"]
    return {"reason": last["reason"], "message": last["message"]} | {
        field: status[field]
        for field in ("succeeded", "failed", "completedIndexes", "failedIndexes")
        if field in status
    }


def test_each_index_of_a_job_is_tried_again_for_itself(world) -> None:
    assert end_of(world, indexed("exit-1", backoffLimitPerIndex=1)) == {
        "reason": "FailedIndexes", "message": "Job has failed indexes",
        "failed": 6, "failedIndexes": "0-2",
    }  # fmt: skip
    counts = [objects.annotations_of(pod)["batch.kubernetes.io/job-index-failure-count"]
              for pod in world.pods()]  # fmt: skip
    assert sorted(counts) == ["0", "0", "0", "1", "1", "1"]


def test_a_job_gives_up_when_too_many_indexes_failed(world) -> None:
    end = end_of(world, indexed("exit-1", backoffLimitPerIndex=0, maxFailedIndexes=1))
    assert end == {
        "reason": "MaxFailedIndexesExceeded",
        "message": "Job has exceeded the specified maximal number of failed indexes",
        "failed": 2, "failedIndexes": "0,1",
    }  # fmt: skip


def test_a_failure_that_cannot_heal_ends_its_index_at_once(world) -> None:
    rule = {"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [7]}}
    policy = {"rules": [rule]}
    end = end_of(world, indexed("exit-7", backoffLimitPerIndex=5, podFailurePolicy=policy))
    assert (end["failed"], end["failedIndexes"]) == (3, "0-2")


def test_the_first_rule_that_matches_a_failure_decides(world) -> None:
    rules = [
        {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [7]}},
        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [8]}},
    ]
    end = end_of(world, job("exit-8", podFailurePolicy={"rules": rules}))
    assert end["reason"] == "PodFailurePolicy"
    assert "failed with exit code 8 matching FailJob rule at index 1" in end["message"]


def test_some_indexes_may_suffice(world) -> None:
    policy = {
        "rules": [{"succeededIndexes": "2"}, {"succeededIndexes": "0-2", "succeededCount": 2}]
    }
    end = end_of(world, indexed("exit-0", successPolicy=policy))
    assert end == {
        "reason": "SuccessPolicy", "message": "Matched rules at index 1",
        "succeeded": 2, "completedIndexes": "0,1",
    }  # fmt: skip


def test_fewer_completions_end_an_indexed_job_early(world) -> None:
    world.view.create("jobs.batch", indexed("run", parallelism=3), "default")
    world.settle()
    shape = {"spec": {"completions": 1, "parallelism": 1}}
    world.view.patch("jobs.batch", "work", shape, "default")
    world.settle()
    left = [pod for pod in world.pods() if not pod["metadata"].get("deletionTimestamp")]
    marks = [objects.labels_of(pod)["batch.kubernetes.io/job-completion-index"] for pod in left]
    assert marks == ["0"]


def ranked(name: str, priority: int, cpu: str, **spec) -> objects.Object:
    made = pod(name, container={"resources": {"requests": {"cpu": cpu}}}, **spec)
    made["spec"]["priorityClassName"] = f"p{priority}"
    return made


@pytest.fixture
def ranks(world) -> World:
    """A world with classes p0, p10, p100 and nodes of 8 CPUs."""
    for value in (0, 10, 100):
        made = {"metadata": {"name": f"p{value}"}, "value": value}
        world.view.create("priorityclasses.scheduling.k8s.io", made)
    return world


def test_an_important_pod_sends_the_least_important_ones_away(ranks) -> None:
    for made in (ranked("a", 10, "6"), ranked("b", 0, "3"), ranked("c", 0, "3")):
        ranks.view.create("pods", made, "default")
        ranks.settle()
    ranks.view.create("pods", ranked("urgent", 100, "7"), "default")
    ranks.settle()
    node = {one["metadata"]["name"]: one["spec"].get("nodeName") for one in ranks.pods()}
    assert node == {"a": "node-1", "urgent": "node-2"}
    uid = ranks.view.get("pods", "urgent", "default")["metadata"]["uid"]
    assert ranks.events("Preempted") == [f"Preempted by pod {uid} on node node-2"]
    assert ranks.events("FailedScheduling") == [
        "0/2 nodes are available: 2 Insufficient cpu.",
        "0/2 nodes are available: 2 Insufficient cpu. no new claims to deallocate, preemption: "
        "not eligible due to a terminating pod on the nominated node.",
    ]
    assert "nominatedNodeName" not in ranks.view.get("pods", "urgent", "default")["status"]


def test_as_few_as_possible_are_sent_away(ranks) -> None:
    for name, priority, cpu in (("a", 100, "8"), ("b", 0, "4"), ("c", 10, "2"), ("d", 0, "2")):
        ranks.view.create("pods", ranked(name, priority, cpu), "default")
        ranks.settle()
    ranks.view.create("pods", ranked("urgent", 100, "4"), "default")
    ranks.settle()
    assert sorted(one["metadata"]["name"] for one in ranks.pods()) == ["a", "c", "d", "urgent"]


def test_who_is_sent_away_does_not_come_back_in_between(ranks) -> None:
    labels = {"app": "web"}
    spec = ranked("web", 0, "8")["spec"]
    template = {"metadata": {"labels": labels}, "spec": spec}
    shape = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
    ranks.view.create("replicasets.apps", {"metadata": {"name": "web"}, "spec": shape}, "default")
    ranks.settle()
    ranks.view.create("pods", ranked("urgent", 10, "8"), "default")
    ranks.settle()
    placed = [one["metadata"]["name"] for one in ranks.pods() if one["spec"].get("nodeName")]
    assert len(placed) == 2
    assert "urgent" in placed


def test_a_pod_that_may_not_send_others_away_waits(ranks) -> None:
    for name in ("a", "b"):
        ranks.view.create("pods", ranked(name, 0, "8"), "default")
    ranks.settle()
    polite = {"metadata": {"name": "p5"}, "value": 5, "preemptionPolicy": "Never"}
    ranks.view.create("priorityclasses.scheduling.k8s.io", polite)
    ranks.view.create("pods", ranked("p", 5, "8"), "default")
    ranks.view.create("pods", ranked("same", 0, "8"), "default")
    ranks.settle()
    assert ranks.events("FailedScheduling") == [
        "0/2 nodes are available: 2 Insufficient cpu. no new claims to deallocate, preemption: "
        "0/2 nodes are available: 2 No preemption victims found for incoming pod.",
        "0/2 nodes are available: 2 Insufficient cpu. no new claims to deallocate, preemption: "
        "not eligible due to preemptionPolicy=Never.",
    ]


def test_a_disruption_budget_turns_the_choice_to_another_node(ranks) -> None:
    for name in ("a", "b"):
        made = ranked(name, 0, "8")
        made["metadata"]["labels"] = {"name": name}
        ranks.view.create("pods", made, "default")
        ranks.settle()
    (kept,) = (one for one in ranks.pods() if one["spec"]["nodeName"] == "node-1")
    selector = {"matchLabels": kept["metadata"]["labels"]}
    budget = {"metadata": {"name": "b"}, "spec": {"minAvailable": 1, "selector": selector}}
    ranks.view.create("poddisruptionbudgets.policy", budget, "default")
    ranks.settle()
    ranks.view.create("pods", ranked("urgent", 10, "8"), "default")
    ranks.settle()
    node = {one["metadata"]["name"]: one["spec"].get("nodeName") for one in ranks.pods()}
    assert node == {kept["metadata"]["name"]: "node-1", "urgent": "node-2"}


def test_a_full_node_sends_pods_to_the_other_and_then_nowhere(world) -> None:
    asking = {"container": {"resources": {"requests": {"cpu": "5"}}}}
    for name in ("a", "b", "c"):
        world.view.create("pods", pod(name, **asking), "default")
        world.settle()
    placed = [one["spec"].get("nodeName") for one in world.pods()]
    assert sorted(placed[:2]) == ["node-1", "node-2"]
    assert placed[2] is None
    message = world.pods()[2]["status"]["conditions"][0]["message"]
    assert message == (
        "0/2 nodes are available: 2 Insufficient cpu. no new claims to deallocate, preemption: "
        "0/2 nodes are available: 2 No preemption victims found for incoming pod."
    )
    world.view.delete("pods", "a", "default", options=options.DeleteOptions(grace_period_s=0))
    world.settle()
    assert [one["spec"].get("nodeName") for one in world.pods()] == [placed[1], placed[0]]


def test_anti_affinity_and_spread_keep_pods_apart(world) -> None:
    apart = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"labelSelector": {"matchLabels": {"app": "x"}}, "topologyKey": "kubernetes.io/hostname"}
    ]}}  # fmt: skip
    for name in ("a", "b", "c"):
        one = pod(name, affinity=apart)
        one["metadata"]["labels"] = {"app": "x"}
        world.view.create("pods", one, "default")
    world.settle()
    placed = [one["spec"].get("nodeName") for one in world.pods()]
    assert sorted(filter(None, placed)) == ["node-1", "node-2"]
    assert "2 node(s) didn't match pod anti-affinity rules" in world.events("FailedScheduling")[0]


def test_a_lost_node_is_tainted_and_its_pods_are_not_ready() -> None:
    clock = clocks.ManualClock()
    view = views.new_view(clock=clock, ids=ids.SeededIds(1))
    from understudy.controllers import registry
    from understudy.controllers.runtime import simulated

    reactor = registry.assemble(view, "all", settings.Runtime(), clock, lambda write: None)
    reactor.attach()
    reactor.load_present()
    view.create("pods", pod(nodeSelector={"kubernetes.io/hostname": "node-1"}), "default")
    running.advance(reactor, clock, 30)
    assert view.get("pods", "one", "default")["status"]["phase"] == "Running"
    nodes = next(c for c in reactor.controllers if isinstance(c, simulated.SimulatedNodes))
    nodes.forget("node-1")
    running.advance(reactor, clock, 120)
    node = view.get("nodes", "node-1")
    assert {(one["key"], one["effect"]) for one in node["spec"]["taints"]} == {
        ("node.kubernetes.io/unreachable", "NoSchedule"),
        ("node.kubernetes.io/unreachable", "NoExecute"),
    }
    ready = next(c for c in node["status"]["conditions"] if c["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("Unknown", "NodeStatusUnknown")
    found = view.get("pods", "one", "default")
    ready = next(c for c in found["status"]["conditions"] if c["type"] == "Ready")
    assert ready["status"] == "False"
    other = view.get("nodes", "node-2")
    assert not other["spec"].get("taints")


def test_a_node_that_somebody_else_keeps_is_given_up(world) -> None:
    lease = {"spec": {"renewTime": "2026-01-02T00:00:00.000000Z", "holderIdentity": "node-1"}}
    world.view.patch("leases.coordination.k8s.io", "node-1", lease, "kube-node-lease")
    # The runtime learns of it while it runs.
    reactor_view = world.view
    reactor_view.create("pods", pod(nodeSelector={"kubernetes.io/hostname": "node-2"}), "default")
    world.settle()
    assert world.pods()[0]["status"]["phase"] == "Running"


def test_no_node_is_made_where_somebody_else_keeps_nodes() -> None:
    clock = clocks.ManualClock()
    view = views.new_view(clock=clock, ids=ids.SeededIds(1))
    view.create("nodes", {"metadata": {"name": "real"}})
    running.settle(view, "all", SIMULATED, clock)
    assert [one["metadata"]["name"] for one in view.each("nodes")] == ["real"]


def test_a_rehearsal_plays_the_kubelets_of_real_nodes() -> None:
    clock = clocks.ManualClock()
    view = views.new_view(clock=clock, ids=ids.SeededIds(1))
    view.create("nodes", {"metadata": {"name": "real"}})
    sizes = {"cpu": "4", "memory": "8Gi", "pods": "10"}
    ready = [{"type": "Ready", "status": "True"}]
    status = {"status": {"allocatable": sizes, "conditions": ready}}
    view.patch("nodes", "real", status, subresource="status")
    view.create("pods", pod(), "default")
    everywhere = settings.Runtime(leases=False, every_node=True)
    running.settle(view, "all", everywhere, clock)
    found = view.get("pods", "one", "default")
    assert (found["spec"]["nodeName"], found["status"]["phase"]) == ("real", "Running")


def test_a_cron_job_does_not_keep_a_rehearsal_going(world) -> None:
    template = {"spec": job("exit-0:v1")["spec"]}
    cron = {
        "metadata": {"name": "tick"},
        "spec": {"schedule": "* * * * *", "jobTemplate": template},
    }
    world.view.create("cronjobs.batch", cron, "default")
    settled = world.settle()
    assert settled.is_settled
    assert settled.simulated_s < 60


def test_a_rollout_that_cannot_work_fails_by_its_deadline(world) -> None:
    template = {"metadata": {"labels": {"a": "b"}},
                "spec": {"containers": [{"name": "c", "image": "pullfail:v1"}]}}  # fmt: skip
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    world.view.create("deployments.apps", {"metadata": {"name": "web"}, "spec": spec}, "default")
    settled = world.settle()
    assert settled.is_settled
    assert 600 <= settled.simulated_s < 610
    found = world.view.get("deployments.apps", "web", "default")
    progressing = next(c for c in found["status"]["conditions"] if c["type"] == "Progressing")
    assert progressing["reason"] == "ProgressDeadlineExceeded"
    assert waiting_of(world.pods()[0])["reason"] == "ImagePullBackOff"


def test_dependents_of_a_cluster_scoped_owner_go_wherever_they_are(world) -> None:
    owner = world.view.create("clusterroles.rbac.authorization.k8s.io", {"metadata": {"name": "o"}})
    reference = {
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "name": "o",
        "uid": objects.uid_of(owner.object()),
    }  # fmt: skip
    for namespace in ("default", "kube-public"):
        meta = {"name": "d", "ownerReferences": [reference]}
        world.view.create("configmaps", {"metadata": meta}, namespace)
    world.settle()
    world.view.delete("clusterroles.rbac.authorization.k8s.io", "o")
    fork_free = world.settle()
    assert fork_free.is_settled
    assert not [one for one in world.view.each("configmaps") if one["metadata"]["name"] == "d"]


def claim(**spec) -> objects.Object:
    size = {"requests": {"storage": "1Gi"}}
    return {"metadata": {"name": "data"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": size, **spec}}  # fmt: skip


def storage_class(mode: str = "Immediate", provisioner: str = "csi.example.com") -> objects.Object:
    return {"metadata": {"name": "fast"}, "provisioner": provisioner, "volumeBindingMode": mode}


@pytest.mark.parametrize("mode", ["Immediate", "WaitForFirstConsumer"])
@pytest.mark.parametrize("provisioner", ["csi.example.com", "rancher.io/local-path"])
def test_a_claim_of_a_provisioned_class_gets_a_volume_and_leaves_none(
    world, mode: str, provisioner: str
) -> None:
    world.view.create("storageclasses.storage.k8s.io", storage_class(mode, provisioner))
    world.view.create("persistentvolumeclaims", claim(storageClassName="fast"), "default")
    mounted = {"name": "v", "persistentVolumeClaim": {"claimName": "data"}}
    world.view.create("pods", pod(volumes=[mounted]), "default")
    world.settle()
    assert world.pods()[0]["status"]["phase"] == "Running"
    found = world.view.get("persistentvolumeclaims", "data", "default")
    volume = world.view.get("persistentvolumes", found["spec"]["volumeName"])
    assert found["status"]["phase"] == volume["status"]["phase"] == "Bound"
    assert volume["spec"]["capacity"] == {"storage": "1Gi"}
    assert world.events("ProvisioningSucceeded") == [
        f"Successfully provisioned volume {volume['metadata']['name']}"
    ]
    world.view.delete("pods", "one", "default")
    world.view.delete("persistentvolumeclaims", "data", "default")
    world.settle()
    assert not list(world.view.each("persistentvolumeclaims"))
    assert not list(world.view.each("persistentvolumes"))


def test_a_claim_that_waits_for_its_consumer_gets_no_volume_before(world) -> None:
    world.view.create("storageclasses.storage.k8s.io", storage_class("WaitForFirstConsumer"))
    world.view.create("persistentvolumeclaims", claim(storageClassName="fast"), "default")
    world.settle()
    assert not list(world.view.each("persistentvolumes"))
    assert world.events("WaitForFirstConsumer")


@pytest.mark.parametrize(
    ("path", "left"),
    [("/tmp/data", None), ("/srv/data", "Failed")],
)
def test_a_released_volume_is_reclaimed_by_its_policy(world, path: str, left: str | None) -> None:
    spec = {"capacity": {"storage": "2Gi"}, "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Delete", "hostPath": {"path": path}}  # fmt: skip
    world.view.create("persistentvolumes", {"metadata": {"name": "static"}, "spec": spec})
    world.view.create("persistentvolumeclaims", claim(storageClassName=""), "default")
    world.settle()
    assert world.view.get("persistentvolumes", "static")["status"]["phase"] == "Bound"
    world.view.delete("persistentvolumeclaims", "data", "default")
    world.settle()
    found = world.view.find("persistentvolumes", "", "static")
    assert (found and found["status"]["phase"]) == left
    if left:
        assert world.events("VolumeFailedDelete") == [
            f"host_path deleter only supports /tmp/.+ but received provided {path}"
        ]


def test_a_load_balancer_has_an_address_as_long_as_it_is_one(world) -> None:
    ports = [{"port": 80}]
    for name in ("a", "b"):
        service = {"metadata": {"name": name}, "spec": {"type": "LoadBalancer", "ports": ports}}
        world.view.create("services", service, "default")
    world.settle()
    given = [
        world.view.get("services", name, "default")["status"]["loadBalancer"]["ingress"][0]["ip"]
        for name in ("a", "b")
    ]
    assert len(set(given)) == 2
    assert all(address.startswith(("198.18.", "198.19.")) for address in given)
    world.view.patch("services", "a", {"spec": {"type": "ClusterIP"}}, "default")
    world.settle()
    assert world.view.get("services", "a", "default")["status"]["loadBalancer"] == {}


def test_a_stateful_set_mounts_the_claims_it_makes(world) -> None:
    world.view.create("storageclasses.storage.k8s.io", storage_class("WaitForFirstConsumer"))
    mounts = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    template = {"metadata": {"labels": {"app": "db"}}, "spec": pod(container=mounts)["spec"]}
    sets = {
        "metadata": {"name": "db"},
        "spec": {"replicas": 2, "serviceName": "db", "selector": {"matchLabels": {"app": "db"}},
                 "template": template, "volumeClaimTemplates": [claim(storageClassName="fast")]},
    }  # fmt: skip
    world.view.create("statefulsets.apps", sets, "default")
    world.settle()
    found = world.view.get("statefulsets.apps", "db", "default")
    assert found["status"]["readyReplicas"] == 2
    claims = world.view.each("persistentvolumeclaims", "default")
    assert {one["metadata"]["name"]: one["status"]["phase"] for one in claims} == {
        "data-db-0": "Bound", "data-db-1": "Bound",
    }  # fmt: skip


def test_a_second_deletion_leaves_a_lingering_pod_less_time(world) -> None:
    rehearsal = running.Rehearsal(world.view, "all", SIMULATED, world.clock, everything=True)
    world.view.create("pods", pod(image="linger"), "default")
    rehearsal.rest()
    for grace_s, count in ((300, 1), (1, 0)):
        world.view.delete(
            "pods", "one", "default", options=options.DeleteOptions(grace_period_s=grace_s)
        )
        rehearsal.rest(limit_s=10)
        assert len(world.pods()) == count
    rehearsal.close()


def ephemeral(name: str = "scratch") -> objects.Object:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {**spec, "storageClassName": "fast"}}
    return {"name": name, "ephemeral": {"volumeClaimTemplate": template}}


def test_a_pods_ephemeral_volume_gets_a_claim_that_goes_with_it(world) -> None:
    world.view.create(
        "storageclasses.storage.k8s.io",
        {"metadata": {"name": "fast"}, "provisioner": "example.com/disk"},
    )
    world.view.create("pods", pod(volumes=[ephemeral()]), "default")
    world.settle()
    claim = world.view.find("persistentvolumeclaims", "default", "one-scratch")
    assert claim["metadata"]["labels"] == {"a": "b"}
    owner = claim["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["name"], owner["controller"]) == ("Pod", "one", True)
    assert claim["status"]["phase"] == "Bound"
    assert world.pods()[0]["status"]["phase"] == "Running"
    world.view.delete("pods", "one", "default")
    world.settle()
    assert world.view.find("persistentvolumeclaims", "default", "one-scratch") is None


def test_a_claim_of_somebody_else_is_not_taken_for_a_pods(world) -> None:
    taken = {"metadata": {"name": "one-scratch"}, "spec": ephemeral()["ephemeral"]}
    taken["spec"] = taken["spec"]["volumeClaimTemplate"]["spec"]
    world.view.create("persistentvolumeclaims", taken, "default")
    world.view.create("pods", pod(volumes=[ephemeral()]), "default")
    world.settle()
    assert world.events("FailedBinding") == [
        "ephemeral volume scratch: PVC default/one-scratch was not created for pod default/one "
        "(pod is not owner)"
    ]


def test_an_aggregated_role_has_the_rules_of_those_it_selects(world) -> None:
    roles = "clusterroles.rbac.authorization.k8s.io"

    def role(name: str, **more) -> None:
        world.view.create(roles, {"metadata": {"name": name, **more.pop("meta", {})}, **more})

    def rule(resource: str) -> objects.Object:
        return {"apiGroups": [""], "resources": [resource], "verbs": ["get"]}

    part = {"labels": {"into": "whole"}}
    select = {"clusterRoleSelectors": [{"matchLabels": {"into": "whole"}}]}
    role("whole", aggregationRule=select)
    role("pods", meta=part, rules=[rule("pods")])
    role("also-pods", meta=part, rules=[rule("pods"), rule("secrets")])
    world.settle()
    assert world.view.get(roles, "whole")["rules"] == [rule("pods"), rule("secrets")]
    world.view.delete(roles, "also-pods")
    world.settle()
    assert world.view.get(roles, "whole")["rules"] == [rule("pods")]
    world.view.delete(roles, "pods")
    world.settle()
    assert not world.view.get(roles, "whole").get("rules")


@pytest.mark.parametrize(
    ("source", "phase", "told"),
    [
        ({"hostPath": {"path": "/data"}}, "Available", "Volume recycled"),
        ({"csi": {"driver": "csi.example.com", "volumeHandle": "h"}}, "Failed",
         "No recycler plugin found for the volume!"),
    ],
    ids=["directory", "other"],
)  # fmt: skip
def test_a_released_volume_is_recycled(world, source, phase, told) -> None:
    spec = {
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "x",
        "persistentVolumeReclaimPolicy": "Recycle", **source,
    }  # fmt: skip
    world.view.create("persistentvolumes", {"metadata": {"name": "pv"}, "spec": spec})
    world.view.create("persistentvolumeclaims", claim(storageClassName="x"), "default")
    world.settle()
    assert world.view.get("persistentvolumes", "pv")["status"]["phase"] == "Bound"
    world.view.delete("persistentvolumeclaims", "data", "default")
    world.settle()
    found = world.view.get("persistentvolumes", "pv")
    assert found["status"]["phase"] == phase
    assert ("claimRef" in found["spec"]) == (phase == "Failed")
    reason = "VolumeRecycled" if phase == "Available" else "VolumeFailedRecycle"
    assert world.events(reason) == [told]
    assert not world.pods()


def test_an_attribute_class_stays_while_a_claim_names_it(world) -> None:
    classes = "volumeattributesclasses.storage.k8s.io"
    kind = {"driverName": "csi.example.com", "parameters": {"iops": "9"}}
    world.view.create(classes, {"metadata": {"name": "fast"}, **kind})
    wanted = claim(storageClassName="x", volumeAttributesClassName="fast")
    world.view.create("persistentvolumeclaims", wanted, "default")
    world.view.delete(classes, "fast")
    world.settle()
    assert world.view.get(classes, "fast")["metadata"]["deletionTimestamp"]
    world.view.delete("persistentvolumeclaims", "data", "default")
    world.settle()
    assert world.view.find(classes, "", "fast") is None


def test_a_finalizer_that_protects_comes_back(world) -> None:
    world.view.create("persistentvolumeclaims", claim(storageClassName="x"), "default")
    gone = {"metadata": {"finalizers": None}}
    merge = options.MERGE_PATCH
    world.view.patch("persistentvolumeclaims", "data", gone, "default", patch_type=merge)
    world.settle()
    found = world.view.get("persistentvolumeclaims", "data", "default")
    assert found["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]


def spread_out(name: str, **rule) -> objects.Object:
    constraint = {
        "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "x"}}, **rule,
    }  # fmt: skip
    found = pod(name, topologySpreadConstraints=[constraint])
    found["metadata"]["labels"] = {"app": "x"}
    return found


def nodes_of(world: World) -> dict[str, str]:
    return {objects.name_of(one): one["spec"].get("nodeName", "") for one in world.pods()}


def test_too_few_domains_count_as_one_that_is_empty(world) -> None:
    for name in ("a", "b", "c"):
        world.view.create("pods", spread_out(name, minDomains=3), "default")
        world.settle()
    placed = nodes_of(world)
    assert placed["a"]
    assert placed["b"]
    assert placed["c"] == ""


def test_a_tainted_node_counts_in_a_spread_unless_taints_are_honoured(world) -> None:
    taint = {"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}}
    world.view.patch("nodes", "node-2", taint, patch_type=options.MERGE_PATCH)
    for name, rule in (("a", {}), ("b", {}), ("c", {"nodeTaintsPolicy": "Honor"})):
        world.view.create("pods", spread_out(name, **rule), "default")
        world.settle()
    assert nodes_of(world) == {"a": "node-1", "b": "", "c": "node-1"}


def test_affinity_looks_into_the_namespaces_it_selects(world) -> None:
    for name, team in (("one", "x"), ("two", "y")):
        world.view.create("namespaces", {"metadata": {"name": name, "labels": {"team": team}}})
    leader = pod("leader")
    leader["metadata"]["labels"] = {"app": "leader"}
    world.view.create("pods", leader, "one")
    world.settle()
    for name, team in (("found", "x"), ("lost", "y")):
        term = {
            "topologyKey": "kubernetes.io/hostname",
            "labelSelector": {"matchLabels": {"app": "leader"}},
            "namespaceSelector": {"matchLabels": {"team": team}},
        }
        required = {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
        wanted = pod(name, affinity={"podAffinity": required})
        world.view.create("pods", wanted, "default")
    world.settle()
    placed = nodes_of(world)
    assert placed["found"]
    assert placed["lost"] == ""


def test_a_claim_for_one_pod_only_keeps_others_waiting(world) -> None:
    alone = ["ReadWriteOncePod"]
    spec = {
        "capacity": {"storage": "1Gi"}, "accessModes": alone, "storageClassName": "x",
        "hostPath": {"path": "/data"},
    }  # fmt: skip
    world.view.create("persistentvolumes", {"metadata": {"name": "pv"}, "spec": spec})
    wanted = claim(storageClassName="x", accessModes=alone)
    world.view.create("persistentvolumeclaims", wanted, "default")
    volume = {"name": "v", "persistentVolumeClaim": {"claimName": "data"}}
    for name in ("first", "second"):
        world.view.create("pods", pod(name, volumes=[volume]), "default")
        world.settle()
    assert nodes_of(world)["first"]
    assert nodes_of(world)["second"] == ""
    assert "ReadWriteOncePod access mode already in-use" in world.events("FailedScheduling")[0]
    world.view.delete("pods", "first", "default")
    world.settle()
    assert nodes_of(world)["second"]
