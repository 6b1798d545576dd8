"""Deployments, stateful and daemon sets, jobs: defaults, checks, what never changes."""

import pytest

TEMPLATE = {
    "metadata": {"labels": {"app": "a"}},
    "spec": {"containers": [{"name": "c", "image": "nginx"}]},
}
SELECTOR = {"matchLabels": {"app": "a"}}


def workload(**spec):
    return {"spec": {"selector": SELECTOR, "template": TEMPLATE} | spec}


def job(**spec):
    pods = TEMPLATE["spec"] | {"restartPolicy": "Never"}
    return {"spec": {"template": {"spec": pods}} | spec}


def test_a_deployment_rolls_by_a_quarter_and_keeps_ten_revisions(bench):
    spec = bench.made("deployments.apps", workload())["spec"]
    assert (spec["replicas"], spec["revisionHistoryLimit"]) == (1, 10)
    assert spec["progressDeadlineSeconds"] == 600
    assert spec["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"},
    }


def test_a_template_must_match_its_selector(bench):
    other = {"matchLabels": {"app": "b"}}
    assert bench.refused("deployments.apps", workload(selector=other)) == [
        'spec.template.metadata.labels: Invalid value: {"app":"a"}: `selector` does not match '
        "template `labels`"
    ]


def test_a_deployment_cannot_hold_back_every_pod(bench):
    rolling = {"maxSurge": 0, "maxUnavailable": 0}
    causes = bench.refused(
        "deployments.apps", workload(strategy={"type": "RollingUpdate", "rollingUpdate": rolling})
    )
    assert causes == [
        "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when "
        "`maxSurge` is 0"
    ]


@pytest.mark.parametrize("ref", ["deployments.apps", "replicasets.apps", "daemonsets.apps"])
def test_a_selector_never_changes(bench, ref):
    bench.create(ref, workload())
    labels = {"app": "b"}
    change = {"spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}}}}  # fmt: skip
    (cause,) = bench.patch_refused(ref, change)
    assert cause.startswith("spec.selector: Invalid value: ")
    assert cause.endswith("field is immutable")


@pytest.mark.parametrize(
    ("ref", "first"),
    [("deployments.apps", "spec.template"), ("replicasets.apps", "spec.template"),
     ("daemonsets.apps", "spec.selector")],
)  # fmt: skip
def test_what_is_wrong_with_a_changed_selector_is_told_in_order(bench, ref, first):
    bench.create(ref, workload())
    change = {"spec": {"selector": {"matchLabels": {"app": "b"}}}}
    causes = bench.patch_refused(ref, change)
    assert len(causes) == 2
    assert causes[0].startswith(first)


def test_a_generation_counts_changes_of_the_spec_only(bench):
    bench.create("deployments.apps", workload())
    assert bench.patch("deployments.apps", {"metadata": {"labels": {"x": "y"}}})["metadata"]["generation"] == 1  # fmt: skip
    assert bench.patch("deployments.apps", {"spec": {"replicas": 3}})["metadata"]["generation"] == 2
    status = {"status": {"replicas": 3, "observedGeneration": 2}}
    made = bench.patch("deployments.apps", status, subresource="status")
    assert made["metadata"]["generation"] == 2
    assert made["status"]["replicas"] == 3


def test_a_main_write_leaves_the_status_and_a_status_write_the_rest(bench):
    bench.create("deployments.apps", workload())
    made = bench.patch("deployments.apps", {"status": {"replicas": 9}})
    assert made["status"] == {}
    made = bench.patch("deployments.apps", {"spec": {"replicas": 9}}, subresource="status")
    assert made["spec"]["replicas"] == 1


def test_a_stateful_set_may_change_little(bench):
    bench.create("statefulsets.apps", workload(serviceName="a"))
    assert bench.patch("statefulsets.apps", {"spec": {"replicas": 2}})["spec"]["replicas"] == 2
    (cause,) = bench.patch_refused("statefulsets.apps", {"spec": {"serviceName": "b"}})
    assert cause.startswith("spec: Forbidden: updates to statefulset spec for fields other than ")


@pytest.mark.parametrize(
    ("ref", "strategy", "complaint"),
    [
        (
            "deployments.apps",
            {"strategy": {"type": "x", "rollingUpdate": {"maxSurge": "5%"}}},
            'spec.strategy: Unsupported value: {"Type":"x","RollingUpdate":{"MaxUnavailable":0,'
            '"MaxSurge":"5%"}}: supported values: "Recreate", "RollingUpdate"',
        ),
        (
            "daemonsets.apps",
            {"updateStrategy": {"type": "x"}},
            'spec.updateStrategy: Unsupported value: {"Type":"x","RollingUpdate":null}:'
            ' supported values: "RollingUpdate", "OnDelete"',
        ),
        (
            "deployments.apps",
            {"strategy": {"rollingUpdate": {"maxSurge": "x"}}},
            'spec.strategy.rollingUpdate.maxSurge: Invalid value: "x": a valid percent string'
            " must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex"
            " used for validation is '[0-9]+%')",
        ),
    ],
)
def test_a_strategy_that_means_nothing_is_shown(bench, ref, strategy, complaint):
    assert bench.refused(ref, workload(**strategy)) == [complaint]


def mounting(name):
    container = {
        "name": "c",
        "image": "a",
        "volumeMounts": [{"name": name, "mountPath": "/data"}],
    }
    return {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [container]}}


def claim(**spec):
    return {"metadata": {"name": "data"}, "spec": spec}


SIZE = {"requests": {"storage": "1Gi"}}


def test_the_pods_of_a_stateful_set_mount_its_claims(bench):
    listed = [claim(accessModes=["ReadWriteOnce"], resources=SIZE)]
    body = workload(serviceName="a", template=mounting("data"), volumeClaimTemplates=listed)
    made = bench.made("statefulsets.apps", body)
    assert "volumes" not in made["spec"]["template"]["spec"]


def test_the_pods_of_a_stateful_set_mount_nothing_else(bench):
    listed = [claim(accessModes=["ReadWriteOnce"], resources=SIZE)]
    body = workload(serviceName="a", template=mounting("logs"), volumeClaimTemplates=listed)
    assert bench.refused("statefulsets.apps", body) == [
        'spec.template.spec.containers[0].volumeMounts[0].name: Not found: "logs"'
    ]


def test_the_claims_of_a_stateful_set_are_whole(bench):
    body = workload(serviceName="a", volumeClaimTemplates=[claim(resources=SIZE)])
    assert bench.refused("statefulsets.apps", body) == [
        "spec.volumeClaimTemplates[0].spec.accessModes: Required value:"
        " at least 1 access mode is required"
    ]


def test_the_pods_of_a_stateful_set_stay_valid(bench):
    bench.create("statefulsets.apps", workload(serviceName="a"))
    change = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": ""}]}}}}
    (cause,) = bench.patch_refused("statefulsets.apps", change)
    assert cause == "spec.template.spec.containers[0].image: Required value"


def test_a_daemon_set_counts_its_templates(bench):
    key = "deprecated.daemonset.template.generation"
    made = bench.made("daemonsets.apps", workload())
    assert made["metadata"]["annotations"] == {key: "1"}
    image = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "b"}]}}}}
    assert bench.patch("daemonsets.apps", image)["metadata"]["annotations"] == {key: "2"}
    made = bench.patch("daemonsets.apps", {"metadata": {"annotations": None}})
    assert made["metadata"]["annotations"] == {key: "2"}


def test_a_job_selects_the_pods_of_its_own_uid(bench):
    made = bench.made("jobs.batch", job())
    uid = made["metadata"]["uid"]
    labels = made["spec"]["template"]["metadata"]["labels"]
    assert labels == {
        "batch.kubernetes.io/controller-uid": uid,
        "batch.kubernetes.io/job-name": "a",
        "controller-uid": uid,
        "job-name": "a",
    }
    matched = {"batch.kubernetes.io/controller-uid": uid}
    assert made["spec"]["selector"] == {"matchLabels": matched}
    assert made["metadata"]["labels"] == labels


def test_a_job_ends(bench):
    template = {"spec": TEMPLATE["spec"]}
    assert bench.refused("jobs.batch", {"spec": {"template": template}}) == [
        'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'
    ]


def test_an_indexed_job_says_how_often(bench):
    assert bench.refused("jobs.batch", job(completionMode="Indexed", parallelism=2)) == [
        "spec.completions: Required value: when completion mode is Indexed"
    ]


@pytest.mark.parametrize(
    ("schedule", "complaint"),
    [
        ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
        ("61 * * * *", "end of range (61) above maximum (59): 61"),
        ("@never", "unrecognized descriptor: @never"),
    ],
)
def test_a_schedule_that_means_nothing_is_refused(bench, schedule, complaint):
    causes = bench.refused("cronjobs.batch", {"spec": {"schedule": schedule, "jobTemplate": job()}})
    assert causes == [f'spec.schedule: Invalid value: "{schedule}": {complaint}']


def test_revisions_never_change(bench):
    bench.create("controllerrevisions.apps", {"revision": 1, "data": {"a": 1}})
    assert bench.patch_refused("controllerrevisions.apps", {"data": {"a": 2}}) == [
        'data: Invalid value: {"a":2}: field is immutable'
    ]


def test_a_stateful_set_takes_no_bound_on_unavailable_pods(bench):
    rolling = {"maxUnavailable": 2, "partition": 1}
    update = {"type": "RollingUpdate", "rollingUpdate": rolling}
    spec = bench.made("statefulsets.apps", workload(updateStrategy=update))["spec"]
    assert spec["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}
