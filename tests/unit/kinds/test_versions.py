"""One store, two versions: autoscalers and events."""

import json

from understudy.kapi.resources import kinds

TARGET = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
V1, V2 = "autoscaling/v1", "autoscaling/v2"


def autoscaler(bench, version):
    resource = bench.view.catalogue.by_kind(version, "HorizontalPodAutoscaler")
    return bench.view.get(resource, "a", "default")


def test_an_autoscaler_aims_at_a_busy_cpu(bench):
    made = bench.made(
        "horizontalpodautoscalers.autoscaling",
        {"spec": {"maxReplicas": 3, "scaleTargetRef": TARGET}},
    )
    assert made["spec"]["minReplicas"] == 1
    assert autoscaler(bench, V1)["spec"]["targetCPUUtilizationPercentage"] == 80


def test_what_v1_cannot_say_stands_in_its_annotations_and_comes_back(bench):
    memory = {"type": "Utilization", "averageUtilization": 70}
    metric = {"type": "Resource", "resource": {"name": "memory", "target": memory}}
    spec = {
        "maxReplicas": 3,
        "scaleTargetRef": TARGET,
        "metrics": [metric],
        "behavior": {"scaleUp": {"stabilizationWindowSeconds": 5}},
    }
    stored = bench.made("horizontalpodautoscalers.autoscaling", {"spec": spec})
    old = autoscaler(bench, V1)
    prefix = "autoscaling.alpha.kubernetes.io/"
    assert old["metadata"]["annotations"][prefix + "metrics"] == (
        '[{"type":"Resource","resource":{"name":"memory","targetAverageUtilization":70}}]'
    )
    behavior = json.loads(old["metadata"]["annotations"][prefix + "behavior"])
    assert behavior["ScaleUp"]["StabilizationWindowSeconds"] == 5
    to_v2, from_v2 = kinds.converters_for("autoscaling", "v1", "HorizontalPodAutoscaler")
    back = to_v2(old)
    assert back["spec"] == stored["spec"]
    assert "annotations" not in back["metadata"]
    assert from_v2(back) == old


def test_every_source_of_a_metric_survives_v1():
    to_v2, from_v2 = kinds.converters_for("autoscaling", "v1", "HorizontalPodAutoscaler")
    average = {"type": "AverageValue", "averageValue": "5"}
    metrics = [
        {
            "type": "Object",
            "object": {
                "describedObject": {"kind": "Ingress", "name": "i", "apiVersion": "x/v1"},
                "metric": {"name": "m"},
                "target": {"type": "Value", "value": "3"},
            },
        },
        {"type": "Pods", "pods": {"metric": {"name": "p"}, "target": average}},
        {
            "type": "External",
            "external": {
                "metric": {"name": "e", "selector": {"matchLabels": {"a": "b"}}},
                "target": average,
            },
        },
        {
            "type": "ContainerResource",
            "containerResource": {
                "name": "cpu",
                "container": "c",
                "target": {"type": "Utilization", "averageUtilization": 9},
            },
        },
    ]
    stored = {
        "apiVersion": V2,
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "a"},
        "spec": {"maxReplicas": 3, "scaleTargetRef": TARGET, "metrics": metrics},
        "status": {"desiredReplicas": 0, "currentMetrics": None},
    }
    assert to_v2(from_v2(stored)) == stored


def test_an_event_reads_the_same_in_both_groups(bench):
    regarding = {"kind": "Pod", "name": "p", "namespace": "default"}
    bench.create("events", {"involvedObject": regarding, "message": "m", "reason": "R", "count": 2})
    resource = bench.view.catalogue.by_kind("events.k8s.io/v1", "Event")
    event = bench.view.get(resource, "a", "default")
    assert event["regarding"] == regarding
    assert (event["note"], event["deprecatedCount"]) == ("m", 2)
    assert {"message", "count", "involvedObject"}.isdisjoint(event)


def test_the_newer_group_asks_more_of_an_event(bench):
    regarding = {"kind": "Pod", "name": "p", "namespace": "default"}
    assert bench.refused("events.events.k8s.io", {"regarding": regarding, "type": "Normal"}) == [
        "eventTime: Required value"
    ]
