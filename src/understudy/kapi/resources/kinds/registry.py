"""Which strategy each built-in kind has."""

from __future__ import annotations

from understudy.kapi.resources import strategies
from understudy.kapi.resources.kinds import batch, pods, rules, services, workloads

_COMMON = rules.Kind()

_STRATEGIES: dict[tuple[str, str], strategies.Strategy] = {
    ("", "Pod"): pods.Pod(),
    ("", "PodTemplate"): pods.PodTemplate(),
    ("", "ReplicationController"): workloads.ReplicationController(),
    ("", "Service"): services.Service(),
    ("apps", "ControllerRevision"): workloads.ControllerRevision(),
    ("apps", "DaemonSet"): workloads.DaemonSet(),
    ("apps", "Deployment"): workloads.Deployment(),
    ("apps", "ReplicaSet"): workloads.ReplicaSet(),
    ("apps", "StatefulSet"): workloads.StatefulSet(),
    ("batch", "CronJob"): batch.CronJob(),
    ("batch", "Job"): batch.Job(),
}


def strategy_for(group: str, kind: str) -> strategies.Strategy:
    """Return the kind's strategy, the common one where it has none of its own."""
    return _STRATEGIES.get((group, kind), _COMMON)


def converters_for(
    group: str, version: str, kind: str
) -> tuple[strategies.Converter | None, strategies.Converter | None]:
    """Return the functions to and from the stored version; None where nothing differs."""
    return (None, None)
