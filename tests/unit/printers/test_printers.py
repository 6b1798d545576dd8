"""Cells as kubectl shows them."""

from __future__ import annotations

import datetime as dt

import pytest

from understudy.kapi.resources.printers import cells, durations, registry

NOW = dt.datetime(2026, 1, 1, 12, 0, 0, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-5, "<invalid>"), (-1, "0s"), (0, "0s"), (119, "119s"), (120, "2m"), (200, "3m20s"),
        (600, "10m"), (700, "11m"), (10799, "179m"), (10800, "3h"), (11000, "3h3m"),
        (28800, "8h"), (90000, "25h"), (172800, "2d"), (200000, "2d7h"), (691200, "8d"),
        (86400 * 400, "400d"), (86400 * 731, "2y1d"), (86400 * 365 * 9, "9y"),
    ],
)  # fmt: skip
def test_durations_for_people(seconds, expected):
    assert durations.human(seconds) == expected


def shown(group, kind, obj):
    printer = registry.find(group, kind)
    row = printer.row(obj, NOW)
    return {column.name: cell for column, cell in zip(printer.columns, row, strict=True)}


def pod(**status):
    return {
        "kind": "Pod",
        "metadata": {"name": "p", "creationTimestamp": "2026-01-01T11:00:00Z"},
        "spec": {"containers": [{"name": "c"}, {"name": "d"}], "nodeName": "n"},
        "status": status,
    }


def container(name, ready=False, restarts=0, **state):
    return {"name": name, "ready": ready, "restartCount": restarts, "state": state}


def test_a_pod_shows_how_many_of_its_containers_are_ready():
    row = shown(
        "",
        "Pod",
        pod(
            phase="Running",
            podIPs=[{"ip": "10.0.0.1"}],
            containerStatuses=[
                container("c", ready=True, running={}),
                container("d", restarts=3, waiting={"reason": "CrashLoopBackOff"})
                | {"lastState": {"terminated": {"finishedAt": "2026-01-01T11:55:00Z"}}},
            ],
        ),
    )
    assert row["Ready"] == "1/2"
    assert row["Status"] == "CrashLoopBackOff"
    assert row["Restarts"] == "3 (5m ago)"
    assert row["Age"] == "60m"
    assert (row["IP"], row["Node"], row["Nominated Node"]) == ("10.0.0.1", "n", "<none>")


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"phase": "Pending"}, "Pending"),
        ({"phase": "Failed", "reason": "Evicted"}, "Evicted"),
        ({"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]},
         "SchedulingGated"),
        ({"phase": "Pending", "initContainerStatuses": [container("i", running={})]}, "Init:0/1"),
        ({"phase": "Pending", "initContainerStatuses": [
            container("i", terminated={"exitCode": 2})]}, "Init:ExitCode:2"),
        ({"phase": "Succeeded", "containerStatuses": [
            container("c", terminated={"exitCode": 0, "reason": "Completed"})]}, "Completed"),
        ({"phase": "Running", "containerStatuses": [
            container("c", terminated={"exitCode": 0, "signal": 9})]}, "Signal:9"),
    ],
)  # fmt: skip
def test_the_status_of_a_pod(status, expected):
    obj = pod(**status)
    obj["spec"]["initContainers"] = [{"name": "i"}]
    assert shown("", "Pod", obj)["Status"] == expected


def test_a_pod_that_is_being_deleted_is_terminating():
    obj = pod(phase="Running")
    obj["metadata"]["deletionTimestamp"] = "2026-01-01T12:00:00Z"
    assert shown("", "Pod", obj)["Status"] == "Terminating"


def test_a_finished_pod_has_a_condition_so_that_clients_may_hide_it():
    printer = registry.find("", "Pod")
    assert printer.conditions(pod(phase="Running")) == []
    assert printer.conditions(pod(phase="Succeeded"))[0]["reason"] == "Succeeded"


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        (None, "<none>"),
        ({}, "<none>"),
        ({"matchLabels": {"b": "2", "a": "1"}}, "a=1,b=2"),
        ({"matchExpressions": [
            {"key": "t", "operator": "In", "values": ["y", "x"]},
            {"key": "z", "operator": "DoesNotExist"},
            {"key": "e", "operator": "Exists"}]}, "e,t in (x,y),!z"),
    ],
)  # fmt: skip
def test_selectors(selector, expected):
    assert cells.selector(selector) == expected


def test_a_load_balancer_shows_its_points_or_that_it_waits():
    service = {
        "metadata": {"name": "s"},
        "spec": {
            "type": "LoadBalancer",
            "clusterIPs": ["10.0.0.5"],
            "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}],
        },
    }
    row = shown("", "Service", service)
    assert (row["External-IP"], row["Port(s)"]) == ("<pending>", "80:30080/TCP")
    service["status"] = {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}, {"hostname": "lb"}]}}
    assert shown("", "Service", service)["External-IP"] == "1.2.3.4,lb"


def test_kinds_without_columns_of_their_own_show_name_and_creation():
    printer = registry.find("rbac.authorization.k8s.io", "Role")
    assert [column.name for column in printer.columns] == ["Name", "Created At"]
    obj = {"metadata": {"name": "r", "creationTimestamp": "2026-01-01T11:00:00Z"}}
    assert printer.row(obj, NOW) == ["r", "2026-01-01T11:00:00Z"]


def test_an_ip_address_has_a_cell_more_than_columns_as_in_kubernetes():
    printer = registry.find("networking.k8s.io", "IPAddress")
    obj = {"metadata": {"name": "10.0.0.1", "creationTimestamp": "2026-01-01T11:00:00Z"},
           "spec": {"parentRef": {"resource": "services", "namespace": "a", "name": "b"}}}  # fmt: skip
    assert [column.name for column in printer.columns] == ["Name", "ParentRef"]
    assert printer.row(obj, NOW) == ["10.0.0.1", "services/a/b", "60m"]


def test_the_attacher_of_a_volume_attachment_is_a_name():
    printer = registry.find("storage.k8s.io", "VolumeAttachment")
    assert [c.name for c in printer.columns if c.format == "name"] == ["Name", "Attacher"]


def test_flow_schemas_are_listed_in_the_order_they_are_tried():
    order = registry.find("flowcontrol.apiserver.k8s.io", "FlowSchema").order
    made = [
        {"metadata": {"name": name}, "spec": {"matchingPrecedence": precedence}}
        for name, precedence in (("a", 900), ("c", 8), ("b", 8))
    ]
    assert [one["metadata"]["name"] for one in sorted(made, key=order)] == ["b", "c", "a"]
