"""What an app's status says of a Service, its Revisions and its pods."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from understudy.apps import podstates, records, settings, statuses
from understudy.kube import patches, schemas

TRACES = Path(__file__).parents[2] / "conformance" / "knative" / "traces"
CONFIG = settings.AppSettings(base_domain="apps.test")
ID = {"flyte.org/app-id": "shop/dev/hello"}


def service(
    *conditions, generation=1, observed=1, ready="hello-00001", created="hello-00001", **meta
):
    return {
        "metadata": {
            "name": "hello",
            "namespace": "default",
            "uid": "u1",
            "generation": generation,
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "annotations": ID | meta.pop("annotations", {}),
            **meta,
        },
        "status": {
            "observedGeneration": observed,
            "latestReadyRevisionName": ready,
            "latestCreatedRevisionName": created,
            "conditions": [
                {"type": kind, "status": status, "reason": reason, "message": message,
                 "lastTransitionTime": "2026-01-01T00:00:10Z"}
                for kind, status, reason, message in conditions
            ],
        },
    }  # fmt: skip


def all_of(status, reason="", message=""):
    return [
        (kind, status, reason, message) for kind in ("ConfigurationsReady", "Ready", "RoutesReady")
    ]


def revision(name="hello-00001", actual=1, desired=1, **conditions):
    return {
        "metadata": {"name": name},
        "status": {
            "actualReplicas": actual,
            "desiredReplicas": desired,
            "conditions": [
                {"type": kind, "status": status, "reason": reason, "message": "why"}
                for kind, (status, reason) in conditions.items()
            ],
        },
    }


def pod(revision_name="hello-00001", phase="Running", ready=True, state=None, last=None, **extra):
    return {
        "metadata": {
            "name": "p",
            "labels": {"serving.knative.dev/revision": revision_name},
            **extra.pop("metadata", {}),
        },
        "status": {
            "phase": phase,
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": [
                {
                    "name": "app",
                    "ready": ready,
                    "restartCount": extra.pop("restarts", 0),
                    "state": state or {"running": {}},
                    "lastState": last or {},
                },
                {"name": "queue-proxy", "ready": ready, "state": {"running": {}}},
            ],
            **extra,
        },
    }


def waiting(reason, message=""):
    return {"waiting": {"reason": reason, "message": message}}


def verdict(observed):
    found = statuses.status_of(observed, CONFIG).verdict
    return found.deployment_status.value, found.substate.value


def seen(*, service, revisions=(), pods=()):
    return statuses.Observed(service=service, revisions=revisions, pods=pods)


UPDATING = [
    ("ConfigurationsReady", "Unknown", "", ""),
    ("Ready", "Unknown", "", ""),
    ("RoutesReady", "True", "", ""),
]
FAILED_UPDATE = [
    ("ConfigurationsReady", "False", "RevisionFailed", 'Revision "hello-00002" failed.'),
    ("Ready", "False", "RevisionFailed", 'Revision "hello-00002" failed.'),
    ("RoutesReady", "True", "", ""),
]
BOTH = [revision(), revision("hello-00002", actual=0)]

TABLE = [
    ("nothing said yet", seen(service=service(observed=None)), "DEPLOYING", ""),
    (
        "never seen by Knative",
        seen(service=service(observed=None, ready="", created="")), "PENDING", "",
    ),
    (
        "a change that Knative has not seen does not count as active",
        seen(service=service(*all_of("True"), generation=2), revisions=[revision()]),
        "DEPLOYING", "",
    ),
    (
        "new",
        seen(service=service(*all_of("Unknown"), ready="", created="")), "PENDING", "",
    ),
    (
        "first Revision on its way",
        seen(service=service(*all_of("Unknown"), ready=""), revisions=[revision(actual=0)],
             pods=[pod(ready=False)]),
        "DEPLOYING", "INITIALIZING",
    ),
    (
        "pulling",
        seen(service=service(*all_of("Unknown"), ready=""), revisions=[revision(actual=0)],
             pods=[pod(phase="Pending", ready=False, state=waiting("ContainerCreating"))]),
        "DEPLOYING", "PULLING_IMAGE",
    ),
    ("ready", seen(service=service(*all_of("True")), revisions=[revision()]), "ACTIVE", "RUNNING"),
    (
        "ready and idle",
        seen(service=service(*all_of("True")),
             revisions=[revision(actual=0, desired=0, Active=("False", "NoTraffic"))]),
        "ACTIVE", "SCALED_TO_ZERO",
    ),
    (
        "woken",
        seen(service=service(*all_of("True")), revisions=[revision(actual=0, desired=1)]),
        "ACTIVE", "SCALING_FROM_ZERO",
    ),
    (
        "more load",
        seen(service=service(*all_of("True")), revisions=[revision(actual=1, desired=3)]),
        "ACTIVE", "SCALING_UP",
    ),
    (
        "less load",
        seen(service=service(*all_of("True")), revisions=[revision(actual=3, desired=1)]),
        "ACTIVE", "SCALING_DOWN",
    ),
    (
        "updating",
        seen(service=service(*UPDATING, generation=2, observed=2, created="hello-00002"),
             revisions=BOTH),
        "DEPLOYING", "INITIALIZING",
    ),
    (
        "failed update of a live app",
        seen(service=service(*FAILED_UPDATE, generation=2, observed=2, created="hello-00002"),
             revisions=BOTH),
        "FAILED", "UNSPECIFIED",
    ),
    (
        "image that cannot be pulled, long before Knative says so",
        seen(service=service(*UPDATING, generation=2, observed=2, created="hello-00002"),
             revisions=BOTH,
             pods=[pod("hello-00002", "Pending", ready=False, state=waiting("ImagePullBackOff"))]),
        "FAILED", "IMAGE_PULL_ERROR",
    ),
    (
        "image not in the registry",
        seen(service=service(*all_of("False", "RevisionFailed", "no image"), ready=""),
             revisions=[revision(actual=0, ContainerHealthy=("False", "ContainerMissing"))]),
        "FAILED", "IMAGE_PULL_ERROR",
    ),
    (
        "crash loop",
        seen(service=service(*all_of("Unknown"), ready=""), revisions=[revision(actual=0)],
             pods=[pod(ready=False, state=waiting("CrashLoopBackOff"), restarts=3,
                       last={"terminated": {"exitCode": 1, "reason": "Error"}})]),
        "FAILED", "CRASH_LOOP",
    ),
    (
        "out of memory",
        seen(service=service(*all_of("Unknown"), ready=""), revisions=[revision(actual=0)],
             pods=[pod(ready=False, state=waiting("CrashLoopBackOff"), restarts=3,
                       last={"terminated": {"exitCode": 137, "reason": "OOMKilled"}})]),
        "FAILED", "OOM_KILLED",
    ),
    (
        "secret that is not there",
        seen(service=service(*all_of("Unknown"), ready=""), revisions=[revision(actual=0)],
             pods=[pod(phase="Pending", ready=False,
                       state=waiting("CreateContainerConfigError", 'secret "s" not found'))]),
        "FAILED", "SECRET_MOUNT_ERROR",
    ),
    (
        "a node is waited for, which may yet be added",
        seen(service=service(*all_of("False", "RevisionFailed", "unschedulable"), ready=""),
             revisions=[revision(actual=0, ResourcesAvailable=("False", "Unschedulable"))]),
        "DEPLOYING", "INITIALIZING",
    ),
    (
        "ready once, and now its only pod crashes",
        seen(service=service(*all_of("True")), revisions=[revision()],
             pods=[pod(ready=False, state=waiting("CrashLoopBackOff"),
                       last={"terminated": {"exitCode": 1}})]),
        "FAILED", "CRASH_LOOP",
    ),
    (
        "stopping",
        seen(service=service(*all_of("Unknown"), labels={"flyte.org/app-stopped": "true"}),
             pods=[pod()]),
        "ACTIVE", "SCALING_DOWN",
    ),
    (
        "stopped",
        seen(service=service(*all_of("False"), labels={"flyte.org/app-stopped": "true"}),
             pods=[pod(phase="Succeeded")]),
        "STOPPED", "",
    ),
    (
        "being deleted",
        seen(service=service(*all_of("True"), deletionTimestamp="2026-01-01T00:01:00Z"),
             pods=[pod()]),
        "ACTIVE", "SCALING_DOWN",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("what", "observed", "phase", "substate"), TABLE, ids=[t[0] for t in TABLE]
)
def test_the_verdict_over(what, observed, phase, substate):
    assert verdict(observed) == (phase, substate or "UNSPECIFIED")


@pytest.mark.parametrize("row", TABLE, ids=[row[0] for row in TABLE])
def test_the_same_objects_give_the_same_status_whenever_they_are_read(row):
    first, second = (statuses.status_of(row[1], CONFIG) for _ in range(2))
    assert first == second
    assert first.verdict.last_transition_time is not None


def test_a_failed_update_says_what_still_serves():
    observed = seen(
        service=service(*FAILED_UPDATE, generation=2, observed=2, created="hello-00002"),
        revisions=BOTH,
    )
    observed.service["status"]["traffic"] = [{"revisionName": "hello-00001", "percent": 100}]

    message = statuses.status_of(observed, CONFIG).verdict.message

    assert "RevisionFailed" in message
    assert "still serving hello-00001" in message


def test_sub_conditions_come_before_the_verdict():
    ready = statuses.status_of(
        seen(service=service(*all_of("True")), revisions=[revision()]), CONFIG
    )
    assert [one.deployment_status.value for one in ready.conditions] == ["ACTIVE"] * 3
    assert [one.message for one in ready.conditions] == [
        "Configuration is ready", "Routes are ready", "Service is ready",
    ]  # fmt: skip
    stopped = statuses.status_of(
        seen(service=service(*all_of("False"), labels={"flyte.org/app-stopped": "true"})), CONFIG
    )
    assert [one.deployment_status.value for one in stopped.conditions] == ["STOPPED"]


def test_the_url_is_ours_or_knatives():
    made = service(*all_of("True"))
    made["status"]["url"] = "http://hello.default.example.com"
    ours = statuses.status_of(seen(service=made), CONFIG)
    assert ours.ingress.public_url == "https://hello-shop-dev.apps.test"
    theirs = statuses.status_of(seen(service=made), settings.AppSettings())
    assert theirs.ingress.public_url == "http://hello.default.example.com"


@pytest.mark.parametrize(
    ("annotations", "complaint"),
    [({}, "missing the annotation"), ({"flyte.org/app-id": "a/b"}, "malformed")],
)
def test_a_service_without_identity_is_no_app(annotations, complaint):
    made = service(*all_of("True"))
    made["metadata"]["annotations"] = annotations
    with pytest.raises(statuses.NotAnAppError, match=complaint):
        statuses.app_of(seen(service=made), CONFIG)


REPLICAS = [
    (pod(), "ACTIVE", ""),
    (pod(ready=False), "DEPLOYING", "container not ready"),
    (pod(ready=False, state=waiting("CrashLoopBackOff")), "DEPLOYING", "CrashLoopBackOff"),
    (pod(phase="Pending", ready=False, state=waiting("ErrImagePull")), "PENDING", "ErrImagePull"),
    ({"metadata": {"name": "p"}, "status": {"phase": "Pending"}}, "PENDING", "Pending"),
    ({"metadata": {"name": "p"}, "status": {"phase": "Running"}}, "DEPLOYING", "container not started"),
    (pod(phase="Failed", reason="Evicted"), "FAILED", "Evicted"),
    (
        pod(phase="Failed", ready=False, state={"terminated": {"reason": "Error"}}),
        "FAILED", "Error",
    ),
    (pod(phase="Succeeded"), "STOPPED", "pod completed"),
    (pod(phase="Unknown"), "PENDING", "Unknown"),
    (pod(metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}), "TERMINATING", "Terminating"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "state", "reason"), REPLICAS)
def test_the_state_of_a_replica(given, state, reason):
    assert podstates.status(given)[0] == records.ReplicaStatus(
        deployment_status=state, reason=reason
    )


RECORDED = [
    ("s01-create-ready", "create", "ACTIVE"),
    ("s02-update-image", "image v2", "ACTIVE"),
    ("s04-create-image-missing", "create", "FAILED"),
    ("s05-update-image-missing", "missing image", "FAILED"),
    ("s06-create-crash", "create", "FAILED"),
    ("s10-unschedulable", "create", "DEPLOYING"),
    ("s15-missing-revision", "traffic to nothere", "FAILED"),
    ("s16-scale-to-zero", "load stops", "ACTIVE"),
]


@pytest.mark.parametrize(("trace", "step", "phase"), RECORDED)
def test_what_knative_really_wrote_is_understood(trace, step, phase):
    kept = {}
    for one in json.loads((TRACES / f"{trace}.json").read_text())["steps"]:
        for write in one["writes"]:
            key = (write.get("kind"), write.get("name"))
            if write["w"] == "create":
                kept[key] = write["object"]
            elif write["w"] == "change" and key in kept:
                patch = write["patch"]
                kept[key] = patches.apply(
                    "application/merge-patch+json", kept[key], patch, schemas.ANY
                )
            elif write["w"] == "delete":
                kept.pop(key, None)
        if one["step"] == step:
            break
    made = kept["KService", "hello"]
    made["metadata"].setdefault("annotations", {}).update(ID)
    made["metadata"].pop("creationTimestamp", None)
    revisions = [obj for (kind, _), obj in kept.items() if kind == "Revision"]

    found = statuses.status_of(seen(service=made, revisions=revisions), CONFIG)

    assert found.phase.value == phase
