"""Health: kstatus' rules, and where we differ from them."""

import datetime as dt

import pytest

from understudy.kube import health, objects

NOW = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
FACTS = health.Facts(now=NOW)


def ago(seconds: float) -> str:
    return (NOW - dt.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def condition(kind: str, value: str, reason: str = "", message: str = "", age: float = 0) -> dict:
    return {
        "type": kind,
        "status": value,
        "reason": reason,
        "message": message,
        "lastTransitionTime": ago(age),
    }


def obj(kind: str, api: str = "v1", **parts: objects.Json) -> objects.Object:
    meta = {"name": "x", "generation": 2, "creationTimestamp": ago(3600), **parts.pop("meta", {})}
    return {"apiVersion": api, "kind": kind, "metadata": meta, **parts}


def deployment(**status: objects.Json) -> objects.Object:
    ready = {
        "observedGeneration": 2,
        "replicas": 3,
        "updatedReplicas": 3,
        "availableReplicas": 3,
        "readyReplicas": 3,
        "conditions": [
            condition("Progressing", "True", "NewReplicaSetAvailable"),
            condition("Available", "True"),
        ],
    }
    spec = {"replicas": 3, "progressDeadlineSeconds": 600}
    return obj("Deployment", "apps/v1", spec=spec, status=ready | status)


def verdict(value: objects.Object, facts: health.Facts = FACTS) -> tuple[str, str]:
    found = health.assess(value, facts)
    return str(found.state), found.reason


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, ("Current", "")),
        ({"observedGeneration": 1}, ("InProgress", "LatestGenerationNotObserved")),
        ({"replicas": 2}, ("InProgress", "LessReplicas")),
        ({"updatedReplicas": 1}, ("InProgress", "LessUpdated")),
        ({"replicas": 4}, ("InProgress", "ExtraPods")),
        ({"availableReplicas": 2}, ("InProgress", "LessAvailable")),
        ({"readyReplicas": 2}, ("InProgress", "LessReady")),
        (
            {"conditions": [condition("Progressing", "True", "ReplicaSetUpdated")]},
            ("InProgress", "ReplicaSetNotAvailable"),
        ),
        (
            {"conditions": [condition("Progressing", "True", "NewReplicaSetAvailable")]},
            ("InProgress", "NotAvailable"),
        ),
        (
            {"conditions": [condition("Progressing", "False", "ProgressDeadlineExceeded")]},
            ("Failed", "ProgressDeadlineExceeded"),
        ),
        (
            {"conditions": [condition("ReplicaFailure", "True", "FailedCreate", "quota", 1)]},
            ("InProgress", "FailedCreate"),
        ),
        (
            {"conditions": [condition("ReplicaFailure", "True", "FailedCreate", "quota", 60)]},
            ("Failed", "FailedCreate"),
        ),
    ],
)
def test_a_deployment(status: objects.Object, expected: tuple[str, str]) -> None:
    assert verdict(deployment(**status)) == expected


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "ReplicaSet", "DaemonSet"])
def test_a_workload_that_nobody_has_looked_at_is_not_ready(kind: str) -> None:
    for status in ({}, {"replicas": 0}):
        found = verdict(obj(kind, "apps/v1", spec={"replicas": 0}, status=status))
        assert found[0] == "InProgress"


def test_a_deployment_that_cannot_go_on_has_failed_after_a_while() -> None:
    def refused(age: float) -> tuple[str, str]:
        stuck = condition("Progressing", "False", "ReplicaSetCreateError", "no", age)
        return verdict(deployment(updatedReplicas=0, conditions=[stuck]))

    assert refused(1) == ("InProgress", "LessUpdated")
    assert refused(60) == ("Failed", "ReplicaSetCreateError")


def test_a_quota_is_ready_when_it_counts() -> None:
    spec, young = {"hard": {"pods": "1"}}, {"creationTimestamp": ago(1)}
    assert verdict(obj("ResourceQuota", meta=young, spec=spec)) == ("InProgress", "NotCounted")
    assert verdict(obj("ResourceQuota", spec=spec)) == ("Current", "")
    counted = obj("ResourceQuota", meta=young, spec=spec, status={"hard": {"pods": "1"}})
    assert verdict(counted) == ("Current", "")


@pytest.mark.parametrize("kind", ["AbleToScale", "ScalingActive"])
def test_what_ails_an_autoscaler_is_a_note(kind: str) -> None:
    scaler = obj("HorizontalPodAutoscaler", "autoscaling/v2",
                 status={"conditions": [condition(kind, "False", "Why", "because")]})  # fmt: skip
    found = health.assess(scaler, FACTS)
    assert (str(found.state), found.reason, found.message) == ("Current", "Why", "because")
    assert verdict(obj("HorizontalPodAutoscaler", "autoscaling/v2")) == ("Current", "")


@pytest.mark.parametrize(
    "reason", ["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError"]
)
def test_a_pod_without_its_image_or_configuration_is_given_a_minute(reason: str) -> None:
    assert verdict(pod("Pending", 59, **waiting(reason))) == ("InProgress", reason)
    assert verdict(pod("Pending", 61, **waiting(reason))) == ("Failed", reason)


def test_pods_of_an_on_delete_set_that_are_old_are_told_of() -> None:
    spec = {"replicas": 2, "updateStrategy": {"type": "OnDelete"}}
    status = {
        "observedGeneration": 2, "replicas": 2, "readyReplicas": 2, "updatedReplicas": 1,
        "currentRevision": "a", "updateRevision": "b",
    }  # fmt: skip
    found = health.assess(obj("StatefulSet", "apps/v1", spec=spec, status=status), FACTS)
    assert str(found) == "Current: 1 pod keeps the old revision until deleted"


def test_the_quotas_words_are_the_message() -> None:
    refused = condition("ReplicaFailure", "True", "FailedCreate", "exceeded quota: q", 60)
    found = health.assess(deployment(conditions=[refused]), FACTS)
    assert str(found) == "Failed: exceeded quota: q"


def test_a_paused_deployment_is_suspended_and_settled() -> None:
    paused = deployment(readyReplicas=0)
    paused["spec"]["paused"] = True
    found = health.assess(paused, FACTS)
    assert found.state is health.State.SUSPENDED
    assert found.is_settled


def test_what_is_being_deleted_names_its_finalizers() -> None:
    meta = {"deletionTimestamp": ago(1), "finalizers": ["a/b", "c/d"]}
    found = health.assess(obj("ConfigMap", meta=meta), FACTS)
    assert found == health.Health(
        health.State.TERMINATING, "Deleting", "waiting on finalizers: a/b, c/d"
    )


def test_a_pending_pod_says_what_its_containers_wait_for() -> None:
    waiting = {"name": "web", "state": {"waiting": {"reason": "ContainerCreating"}}}
    status = {"phase": "Pending", "containerStatuses": [waiting, waiting]}
    assert health.assess(obj("Pod", status=status), FACTS).message == (
        "the pod is pending: ContainerCreating"
    )
    assert health.assess(obj("Pod", status={"phase": "Pending"}), FACTS).message == (
        "the pod is pending"
    )


def test_a_namespace_that_is_being_deleted_names_what_is_left_in_it() -> None:
    left = {"type": "NamespaceContentRemaining", "message": "pods. has 2 resource instances"}
    done = {"type": "NamespaceDeletionContentFailure", "status": "False", "message": "all gone"}
    status = {"phase": "Terminating", "conditions": [done, {**left, "status": "True"}]}
    found = health.assess(
        obj("Namespace", meta={"deletionTimestamp": ago(1)}, status=status), FACTS
    )
    assert found.message == "is being deleted: pods. has 2 resource instances"


@pytest.mark.parametrize(
    ("kind", "api", "spec", "status", "expected"),
    [
        ("Job", "batch/v1", {}, {}, ("InProgress", "JobNotStarted")),
        ("Job", "batch/v1", {}, {"startTime": ago(9)}, ("InProgress", "JobRunning")),
        (
            "Job",
            "batch/v1",
            {},
            {"conditions": [condition("Complete", "True")]},
            ("Current", ""),
        ),
        (
            "Job",
            "batch/v1",
            {},
            {"conditions": [condition("Failed", "True", "BackoffLimitExceeded")]},
            ("Failed", "BackoffLimitExceeded"),
        ),
        ("Job", "batch/v1", {"suspend": True}, {}, ("Suspended", "Suspended")),
        (
            "StatefulSet",
            "apps/v1",
            {"replicas": 2, "updateStrategy": {"type": "OnDelete"}},
            {"replicas": 2, "readyReplicas": 0},
            ("InProgress", "LessReady"),
        ),
        (
            "StatefulSet",
            "apps/v1",
            {"replicas": 2, "updateStrategy": {"rollingUpdate": {"partition": 1}}},
            {"replicas": 2, "readyReplicas": 2, "updatedReplicas": 0},
            ("InProgress", "PartitionRollout"),
        ),
        (
            "StatefulSet",
            "apps/v1",
            {"replicas": 1},
            {
                "replicas": 1,
                "readyReplicas": 1,
                "currentReplicas": 1,
                "currentRevision": "a",
                "updateRevision": "b",
            },
            ("InProgress", "RollingUpdate"),
        ),
        ("DaemonSet", "apps/v1", {}, {}, ("InProgress", "NoObservedGeneration")),
        (
            "DaemonSet",
            "apps/v1",
            {},
            {
                "observedGeneration": 2,
                "desiredNumberScheduled": 2,
                "currentNumberScheduled": 2,
                "updatedNumberScheduled": 1,
            },
            ("InProgress", "LessUpdated"),
        ),
        ("PersistentVolumeClaim", "v1", {}, {"phase": "Pending"}, ("InProgress", "NotBound")),
        ("PersistentVolumeClaim", "v1", {}, {"phase": "Lost"}, ("Failed", "Lost")),
        (
            "Service",
            "v1",
            {"type": "LoadBalancer", "clusterIP": "10.0.0.1"},
            {},
            ("InProgress", "NoLoadBalancer"),
        ),
        ("Service", "v1", {"clusterIP": "None"}, {}, ("Current", "")),
        ("Service", "v1", {"type": "ExternalName"}, {}, ("Current", "")),
        ("Ingress", "networking.k8s.io/v1", {}, {}, ("Current", "")),
        (
            "CustomResourceDefinition",
            "apiextensions.k8s.io/v1",
            {},
            {"conditions": [condition("NamesAccepted", "False", "PluralConflict")]},
            ("Failed", "PluralConflict"),
        ),
        (
            "CustomResourceDefinition",
            "apiextensions.k8s.io/v1",
            {},
            {"conditions": [condition("NamesAccepted", "True"), condition("Established", "True")]},
            ("Current", ""),
        ),
        (
            "CustomResourceDefinition",
            "apiextensions.k8s.io/v1",
            {},
            {"conditions": [condition("Established", "True")]},
            ("InProgress", "NamesNotAccepted"),
        ),
        (
            "CustomResourceDefinition",
            "apiextensions.k8s.io/v1",
            {},
            {"conditions": [condition("Established", "False", "NotAccepted")]},
            ("Failed", "NotAccepted"),
        ),
        (
            "CustomResourceDefinition",
            "apiextensions.k8s.io/v1",
            {},
            {},
            ("InProgress", "Installing"),
        ),
    ],
)
def test_kinds(
    kind: str,
    api: str,
    spec: objects.Object,
    status: objects.Object,
    expected: tuple[str, str],
) -> None:
    assert verdict(obj(kind, api, spec=spec, status=status)) == expected


def test_a_claim_that_waits_for_its_consumer_is_current() -> None:
    claim = obj("PersistentVolumeClaim", status={"phase": "Pending"})
    facts = health.Facts(now=NOW, waits_for_consumer=True)
    assert verdict(claim, facts) == ("Current", "WaitForFirstConsumer")


def pod(phase: str, age: float = 100, **status: objects.Json) -> objects.Object:
    return obj("Pod", status={"phase": phase, "startTime": ago(age), **status})


def waiting(reason: str) -> objects.Object:
    return {"containerStatuses": [{"name": "web", "state": {"waiting": {"reason": reason}}}]}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (pod("Succeeded"), ("Current", "")),
        (pod("Failed"), ("Failed", "PodFailed")),
        (pod("Running"), ("InProgress", "PodNotReady")),
        (pod("Running", conditions=[condition("Ready", "True")]), ("Current", "")),
        (pod("Running", **waiting("CrashLoopBackOff")), ("Failed", "CrashLoopBackOff")),
        (pod("Pending", 5, **waiting("ImagePullBackOff")), ("InProgress", "ImagePullBackOff")),
        (pod("Pending", 61, **waiting("ImagePullBackOff")), ("Failed", "ImagePullBackOff")),
        (
            pod("Pending", conditions=[condition("PodScheduled", "False", "Unschedulable", "", 3)]),
            ("InProgress", "Unschedulable"),
        ),
        (
            pod(
                "Pending", conditions=[condition("PodScheduled", "False", "Unschedulable", "", 20)]
            ),
            ("Failed", "Unschedulable"),
        ),
    ],
)
def test_a_pod(value: objects.Object, expected: tuple[str, str]) -> None:
    assert verdict(value) == expected


def test_a_failed_pod_of_a_job_is_the_jobs_business() -> None:
    failed = pod("Failed")
    failed["metadata"]["ownerReferences"] = [{"kind": "Job", "name": "j"}]
    assert verdict(failed)[0] == "Current"


def kservice(*conditions: objects.Object, observed: int | None = 2) -> objects.Object:
    status: objects.Object = {"conditions": list(conditions)}
    if observed is not None:
        status["observedGeneration"] = observed
    return obj("Service", "serving.knative.dev/v1", status=status)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (kservice(observed=None), ("InProgress", "NotObserved")),
        (
            kservice(condition("Ready", "True"), observed=1),
            ("InProgress", "LatestGenerationNotObserved"),
        ),
        (kservice(condition("Ready", "True")), ("Current", "")),
        (kservice(condition("Ready", "Unknown")), ("InProgress", "NotReady")),
        (
            kservice(condition("Ready", "False", "RevisionMissing", age=1)),
            ("InProgress", "RevisionMissing"),
        ),
        (
            kservice(condition("Ready", "False", "RevisionMissing", age=3)),
            ("Failed", "RevisionMissing"),
        ),
        (
            kservice(condition("Ready", "False", "ContainerMissing", age=0)),
            ("Failed", "ContainerMissing"),
        ),
    ],
)
def test_a_knative_service(value: objects.Object, expected: tuple[str, str]) -> None:
    assert verdict(value) == expected


@pytest.mark.parametrize(
    "reason", ["RevisionNameTaken", "NotOwned", "ContainerMissing", "ProgressDeadlineExceeded"]
)
def test_what_no_waiting_cures_fails_a_knative_service_at_once(reason: str) -> None:
    assert verdict(kservice(condition("Ready", "False", reason))) == ("Failed", reason)
    going = {"deletionTimestamp": ago(1)}
    gone = kservice(condition("Ready", "False", reason))
    gone["metadata"] |= going
    assert verdict(gone)[0] == "Terminating"


def test_a_knative_service_scaled_to_zero_has_not_failed() -> None:
    idle = condition("Active", "False", "NoTraffic") | {"severity": "Info"}
    assert verdict(kservice(condition("Ready", "True"), idle)) == ("Current", "")
    revision = obj("Revision", "serving.knative.dev/v1", status={
        "observedGeneration": 2, "conditions": [condition("Ready", "True"), idle]})  # fmt: skip
    assert verdict(revision) == ("Current", "")


def test_a_revision_that_took_too_long_has_failed() -> None:
    late = condition("ResourcesAvailable", "False", "ProgressDeadlineExceeded", "too slow")
    revision = obj("Revision", "serving.knative.dev/v1", status={
        "observedGeneration": 2,
        "conditions": [condition("Ready", "Unknown"), late]})  # fmt: skip
    assert verdict(revision) == ("Failed", "ProgressDeadlineExceeded")


@pytest.mark.parametrize(
    ("configurations", "routes", "told"),
    [("Unknown", "Unknown", "of configurations"), ("True", "Unknown", "of routes"),
     ("True", "True", "of the whole")],
)  # fmt: skip
def test_the_first_part_that_is_not_ready_explains_a_knative_service(
    configurations: str, routes: str, told: str
) -> None:
    found = health.assess(
        kservice(
            condition("Ready", "Unknown", "", "of the whole"),
            condition("RoutesReady", routes, "", "of routes"),
            condition("ConfigurationsReady", configurations, "", "of configurations"),
        ),
        FACTS,
    )
    assert (str(found.state), found.message) == ("InProgress", told)


def test_the_failing_part_of_a_knative_service_is_told() -> None:
    found = health.assess(
        kservice(
            condition("Ready", "Unknown"),
            condition("ConfigurationsReady", "Unknown", "Deploying", "waits for pods"),
        ),
        FACTS,
    )
    assert (found.reason, found.message) == ("Deploying", "waits for pods")


def test_a_custom_resource_is_judged_by_its_ready_condition() -> None:
    ready = obj("Thing", "x.io/v1", status={"conditions": [condition("Ready", "True")]})
    unready = obj("Thing", "x.io/v1", status={"conditions": [condition("Ready", "False", "No")]})
    stalled = obj("Thing", "x.io/v1", status={"conditions": [condition("Stalled", "True", "Bad")]})
    assert verdict(ready) == ("Current", "")
    assert verdict(unready) == ("InProgress", "No")
    assert verdict(stalled) == ("Failed", "Bad")


def test_a_young_custom_resource_without_status_is_given_a_moment() -> None:
    young = obj("Thing", "x.io/v1", meta={"creationTimestamp": ago(1)})
    old = obj("Thing", "x.io/v1", meta={"creationTimestamp": ago(3)})
    assert verdict(young) == ("InProgress", "NoStatus")
    assert verdict(old) == ("Current", "")
    assert verdict(young, health.Facts(now=NOW, reports_status=False)) == ("Current", "")


def test_a_set_is_as_healthy_as_its_worst_member() -> None:
    state = health.State
    order = (
        state.CURRENT, state.SUSPENDED, state.IN_PROGRESS, state.TERMINATING, state.NOT_FOUND,
        state.UNKNOWN, state.FAILED,
    )  # fmt: skip
    members = [health.Health(one) for one in order]
    for number, worst in enumerate(members):
        assert health.combine(members[: number + 1]) is worst
        assert health.combine(list(reversed(members[: number + 1]))) is worst
    assert health.combine([]) is health.CURRENT
