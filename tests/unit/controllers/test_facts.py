"""Small pure parts: hashes, completion indexes, rollout arithmetic, what a scheduler weighs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from understudy.controllers.scheduling import filters, matching, requests
from understudy.controllers.workloads import hashes, jobindexes, pods, rollouts

TRACES = Path(__file__).parents[2] / "conformance" / "controllers" / "traces"


def test_revision_hashes_are_those_of_kubernetes() -> None:
    trace = json.loads((TRACES / "statefulset-rolling-update.json").read_text())
    made = [
        entry["object"] for entry in trace["stream"]
        if entry.get("kind") == "ControllerRevision" and entry["type"] == "ADDED"
    ]  # fmt: skip
    assert made
    for revision in made:
        symbol = revision["metadata"]["labels"]["controller.kubernetes.io/hash"]
        assert hashes.revision_hash(revision["data"], 0) == trace["symbols"][symbol]


def test_template_hashes_are_stable_and_tell_collisions_apart() -> None:
    one = {"metadata": {"labels": {"a": "b"}}, "spec": {"x": 1}}
    other = {"spec": {"x": 1}, "metadata": {"labels": {"a": "b"}}}
    assert hashes.template_hash(one, None) == hashes.template_hash(other, None)
    assert hashes.template_hash(one, 1) != hashes.template_hash(one, None)


@pytest.mark.parametrize(
    ("indexes", "text"),
    [
        (set(), ""),
        ({0}, "0"),
        ({0, 1}, "0,1"),
        ({0, 1, 2}, "0-2"),
        ({1, 2, 3, 7, 9, 10}, "1-3,7,9,10"),
    ],
)
def test_completion_indexes_there_and_back(indexes: set[int], text: str) -> None:
    assert jobindexes.write(indexes) == text
    assert jobindexes.parse(text, 100) == indexes
    assert jobindexes.parse(text, 2) == {index for index in indexes if index < 2}


def deployment(replicas: int, **rolling: object) -> dict:
    strategy = {"type": "RollingUpdate", "rollingUpdate": rolling}
    return {"metadata": {}, "spec": {"replicas": replicas, "strategy": strategy}}


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "expected"),
    [(4, "25%", "25%", (1, 1)), (3, "25%", "25%", (1, 0)), (10, "25%", "25%", (3, 2)),
     (3, 0, 1, (0, 1)), (2, 0, "25%", (0, 1)), (0, "25%", "25%", (0, 0)), (1, 5, 5, (5, 1))],
)  # fmt: skip
def test_surge_rounds_up_and_unavailable_rounds_down(
    replicas, surge, unavailable, expected
) -> None:
    one = deployment(replicas, maxSurge=surge, maxUnavailable=unavailable)
    assert (rollouts.max_surge(one), rollouts.max_unavailable(one)) == expected


def replica_set(name: str, replicas: int, maximum: int) -> dict:
    annotations = {rollouts.MAXIMUM: str(maximum)}
    meta = {"name": name, "annotations": annotations}
    return {"metadata": meta, "spec": {"replicas": replicas}, "status": {}}


def test_scaling_in_mid_rollout_is_proportional() -> None:
    """3 + 2 of 4 (5 at most) become 6 + 4 of 8 (10 at most), as recorded."""
    one = deployment(8, maxSurge="25%", maxUnavailable="25%")
    assert rollouts.proportion(replica_set("a", 3, 5), one, 5, 0) == 3
    assert rollouts.proportion(replica_set("b", 2, 5), one, 5, 3) == 2


def test_a_pod_asks_for_its_containers_or_its_largest_init_container() -> None:
    def container(cpu: str, **more: object) -> dict:
        return {"resources": {"requests": {"cpu": cpu}}, **more}

    spec = {
        "containers": [container("100m"), container("200m")],
        "initContainers": [container("1")],
    }
    assert requests.of_pod({"spec": spec}) == {"cpu": 1000}
    spec["initContainers"] = [container("50m", restartPolicy="Always")]
    assert requests.of_pod({"spec": spec}) == {"cpu": 350}


def test_refusals_are_counted_and_sorted_as_kubernetes_does() -> None:
    refusals = {
        "a": filters.Refusal((filters.AFFINITY,)),
        "b": filters.Refusal(("Insufficient cpu", "Insufficient memory"), is_final=False),
        "c": filters.Refusal((filters.AFFINITY,)),
    }
    text = (
        "0/3 nodes are available: 1 Insufficient cpu, 1 Insufficient memory, "
        "2 node(s) didn't match Pod's node affinity/selector."
    )
    assert filters.summary(refusals) == text
    assert filters.summary(refusals, "no.") == (
        f"{text} no new claims to deallocate, preemption: no."
    )


@pytest.mark.parametrize(
    ("toleration", "tolerated"),
    [
        ({"operator": "Exists"}, True),
        ({"key": "k", "operator": "Exists"}, True),
        ({"key": "k", "value": "v"}, True),
        ({"key": "k", "value": "w"}, False),
        ({"key": "k", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "other", "operator": "Exists"}, False),
    ],
)
def test_tolerations(toleration: dict, tolerated: bool) -> None:
    taint = {"key": "k", "value": "v", "effect": "NoSchedule"}
    assert matching.tolerates(toleration, taint) is tolerated


def pod(
    name: str, *, node: str = "n", ready_since: str = "", phase: str = "Running", cost: str = "0"
) -> dict:
    ready = {
        "type": "Ready",
        "status": "True" if ready_since else "False",
        "lastTransitionTime": ready_since,
    }
    marks = {"controller.kubernetes.io/pod-deletion-cost": cost}
    return {
        "metadata": {
            "name": name,
            "annotations": marks,
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {"nodeName": node},
        "status": {"phase": phase, "conditions": [ready]},
    }


def test_pods_nobody_would_miss_go_first() -> None:
    found = [
        pod("old", ready_since="2026-01-01T00:00:10Z"),
        pod("young", ready_since="2026-01-01T00:00:20Z"),
        pod("crowded", node="full", ready_since="2026-01-01T00:00:05Z"),
        pod("cheap", ready_since="2026-01-01T00:00:10Z", cost="-5"),
        pod("unready"),
        pod("pending", phase="Pending"),
        pod("unassigned", node="", phase="Pending"),
    ]
    order = [one["metadata"]["name"] for one in pods.deletion_order(found, {"n": 1, "full": 3})]
    assert order == ["unassigned", "pending", "unready", "cheap", "crowded", "young", "old"]
