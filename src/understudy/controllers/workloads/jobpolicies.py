"""podFailurePolicy and successPolicy: which pods do not count, and which decide about the Job.

Source: pkg/controller/job/pod_failure_policy.go, success_policy.go.
"""

from __future__ import annotations

from understudy.controllers.workloads import jobindexes, pods
from understudy.kube import objects


class Policies:
    """The failure policy of one Job."""

    __slots__ = ("_rules",)

    def __init__(self, job: objects.Object) -> None:
        policy = job["spec"].get("podFailurePolicy") or {}
        self._rules: list[objects.Object] = policy.get("rules") or []

    def ignores(self, pod: objects.Object) -> bool:
        """Whether a failed pod is not held against the Job."""
        return self._action(pod)[0] == "Ignore"

    def fails_index(self, pod: objects.Object) -> bool:
        """Whether a failed pod ends its index, however often it may be tried."""
        return self._action(pod)[0] == "FailIndex"

    def failing_pod(self, found: list[objects.Object]) -> str:
        """Return why a pod ends the whole Job, empty if none does."""
        for pod in found:
            if pods.phase_of(pod) != "Failed":
                continue
            action, message = self._action(pod)
            if action == "FailJob":
                return message
        return ""

    def _action(self, pod: objects.Object) -> tuple[str, str]:
        for number, rule in enumerate(self._rules):
            message = _match(rule, pod, number)
            if message:
                return str(rule.get("action")), message
        return "", ""


def _match(rule: objects.Object, pod: objects.Object, number: int) -> str:
    place = f"{objects.namespace_of(pod)}/{objects.name_of(pod)}"
    codes = rule.get("onExitCodes")
    if codes:
        found = pod.get("status") or {}
        ended_ones = (*(found.get("containerStatuses") or ()),
                      *(found.get("initContainerStatuses") or ()))  # fmt: skip
        for status in ended_ones:
            if codes.get("containerName") not in {None, status.get("name")}:
                continue
            ended = (status.get("state") or {}).get("terminated")
            code = (ended or {}).get("exitCode")
            listed = code in (codes.get("values") or ())
            if ended and code != 0 and listed == (codes.get("operator") == "In"):
                return (
                    f"Container {status.get('name')} for pod {place} failed with exit code {code} "
                    f"matching {rule.get('action')} rule at index {number}"
                )
        return ""
    for pattern in rule.get("onPodConditions") or ():
        found = pods.condition_of(pod, str(pattern.get("type")))
        if found is not None and found.get("status") == (pattern.get("status") or "True"):
            return (
                f"Pod {place} has condition {pattern.get('type')} matching "
                f"{rule.get('action')} rule at index {number}"
            )
    return ""


def met_success(job: objects.Object, done: set[int]) -> str:
    """Return which rule of the success policy the done indexes satisfy, empty if none does."""
    rules = (job["spec"].get("successPolicy") or {}).get("rules") or ()
    completions = int(job["spec"].get("completions") or 0)
    for number, rule in enumerate(rules if done else ()):
        listed, count = rule.get("succeededIndexes"), rule.get("succeededCount")
        wanted = jobindexes.parse(listed, completions) if listed is not None else done
        if len(wanted & done) >= (len(wanted) if count is None else int(count)):
            return f"Matched rules at index {number}"
    return ""
