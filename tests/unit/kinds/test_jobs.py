"""Jobs and CronJobs: how often, how long, and which states may follow each other."""

import pytest

PODS = {"containers": [{"name": "c", "image": "nginx"}], "restartPolicy": "Never"}
STARTED = "2026-01-01T00:00:00Z"
LATER = "2026-01-01T01:00:00Z"


def job(**spec):
    return {"spec": {"template": {"spec": PODS}} | spec}


def cron(schedule="0 * * * *", **spec):
    return {"spec": {"schedule": schedule, "jobTemplate": job()} | spec}


def true(*kinds):
    return [{"type": kind, "status": "True"} for kind in kinds]


def with_status(bench, status, **spec):
    bench.create("jobs.batch", job(**spec))
    if status:
        bench.patch("jobs.batch", {"status": status}, subresource="status")


def status_refused(bench, status):
    return bench.patch_refused("jobs.batch", {"status": status}, subresource="status")


ENDED = {"startTime": STARTED, "completionTime": LATER}


@pytest.mark.parametrize(
    ("before", "status", "complaints"),
    [
        (
            {},
            ENDED | {"conditions": true("Complete")},
            [
                "status.conditions: Invalid value: cannot set Complete=True condition without the"
                " SuccessCriteriaMet=true condition"
            ],
        ),
        (
            {},
            {"startTime": STARTED, "conditions": true("Failed")},
            [
                "status.conditions: Invalid value: cannot set Failed=True condition without the"
                " FailureTarget=true condition"
            ],
        ),
        (
            {},
            {"startTime": STARTED, "completionTime": LATER},
            [
                f'status.completionTime: Invalid value: "{LATER}": cannot set completionTime when'
                " there is no Complete=True condition"
            ],
        ),
        (
            {},
            {
                "startTime": LATER,
                "completionTime": STARTED,
                "conditions": true("SuccessCriteriaMet", "Complete"),
            },
            [
                f'status.completionTime: Invalid value: "{STARTED}": completionTime cannot be set'
                " before startTime"
            ],
        ),
        (
            {"startTime": STARTED},
            {"startTime": LATER},
            [
                f'status.startTime: Invalid value: "{LATER}": field is immutable for unsuspended'
                " job once set"
            ],
        ),
        (
            {"failed": 2, "succeeded": 3},
            {"failed": 1, "succeeded": 1},
            [
                "status.failed: Invalid value: 1: cannot decrease the failed counter",
                "status.succeeded: Invalid value: 1: cannot decrease the succeeded counter",
            ],
        ),
        (
            {"conditions": true("FailureTarget")},
            {"conditions": []},
            [
                "status.conditions: Invalid value: cannot disable the terminal FailureTarget=True"
                " condition"
            ],
        ),
        (
            {},
            {"active": 1, "ready": 2},
            ["status.ready: Invalid value: 2: cannot set more ready pods than active"],
        ),
        (
            {},
            {"failedIndexes": "0"},
            [
                'status.failedIndexes: Invalid value: "0": cannot set non-null failedIndexes when'
                " backoffLimitPerIndex is null"
            ],
        ),
    ],
)
def test_states_of_a_job_follow_each_other(bench, before, status, complaints):
    with_status(bench, before)
    assert status_refused(bench, status) == complaints


def test_a_job_completes_with_its_criteria_met(bench):
    with_status(bench, {"startTime": STARTED, "active": 1})
    status = ENDED | {"active": 0, "conditions": true("SuccessCriteriaMet", "Complete")}
    made = bench.patch("jobs.batch", {"status": status}, subresource="status")
    assert made["status"]["completionTime"] == LATER


def test_indexes_are_either_failed_or_completed(bench):
    with_status(bench, {}, completionMode="Indexed", completions=5, backoffLimitPerIndex=1)
    assert status_refused(bench, {"completedIndexes": "0-2", "failedIndexes": "2,4"}) == [
        'status.failedIndexes: Invalid value: "2,4": failedIndexes and completedIndexes overlap at'
        " index: 2"
    ]
    assert status_refused(bench, {"completedIndexes": "3,1"}) == [
        'status.completedIndexes: Invalid value: "3,1": error parsing completedIndexes:'
        " non-increasing order, previous: 3, current: 1"
    ]


@pytest.mark.parametrize(
    ("spec", "complaints"),
    [
        (
            {"maxFailedIndexes": 1},
            [
                "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified",
                "spec.maxFailedIndexes: Invalid value: 1: requires indexed completion mode",
            ],
        ),
        (
            {"podFailurePolicy": {"rules": [{"action": "Ignore"}]}},
            [
                "spec.podFailurePolicy.rules[0]: Invalid value: specifying one of OnExitCodes and"
                " OnPodConditions is required"
            ],
        ),
        (
            {"successPolicy": {"rules": [{"succeededCount": 1}]}},
            [
                'spec.successPolicy: Invalid value: {"Rules":[{"SucceededIndexes":null,'
                '"SucceededCount":1}]}: requires indexed completion mode'
            ],
        ),
    ],
)
def test_a_job_is_refused_for(bench, spec, complaints):
    assert bench.refused("jobs.batch", job(**spec)) == complaints


def test_a_suspended_job_can_be_moved_to_other_nodes_only(bench):
    bench.create("jobs.batch", job(suspend=True))
    term = {"matchExpressions": [{"key": "a", "operator": "Exists"}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    moved = {"spec": {"template": {"spec": {"affinity": {"nodeAffinity": required}}}}}
    bench.patch("jobs.batch", moved)
    apart = {
        "requiredDuringSchedulingIgnoredDuringExecution": [
            {"topologyKey": "zone", "labelSelector": {}}
        ]
    }
    with_pods = {"spec": {"template": {"spec": {"affinity": {"podAntiAffinity": apart}}}}}
    (cause,) = bench.patch_refused("jobs.batch", with_pods)
    assert cause.startswith("spec.template: ")


def test_a_schedule_has_no_time_zone_of_its_own(bench):
    assert bench.refused("cronjobs.batch", cron("TZ=UTC 0 * * * *")) == [
        'spec.schedule: Invalid value: "TZ=UTC 0 * * * *": cannot use TZ or CRON_TZ in schedule,'
        " use timeZone field instead"
    ]


@pytest.mark.parametrize(
    ("zone", "complaint"),
    [
        ("Mars/Base", "unknown time zone Mars/Base"),
        ("../UTC", "unknown time zone ../UTC"),
        (
            "Local",
            "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones",
        ),
    ],
)
def test_a_time_zone_is_one_of_the_world(bench, zone, complaint):
    assert bench.refused("cronjobs.batch", cron(timeZone=zone)) == [
        f'spec.timeZone: Invalid value: "{zone}": {complaint}'
    ]


def test_the_name_of_a_cron_job_leaves_room_for_those_of_its_jobs(bench):
    name = "a" * 53
    body = cron() | {"metadata": {"name": name}}
    assert bench.refused("cronjobs.batch", body) == [
        f'metadata.name: Invalid value: "{name}": must be no more than 52 characters'
    ]
