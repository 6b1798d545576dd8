"""Preemption: which pods of less importance would have to go so that one more fits.

On every node where that could help, all pods of lower priority are thought away; then as many as
possible are taken back, the most important first. The node whose loss is least is chosen.
Source: pkg/scheduler/framework/preemption, plugins/defaultpreemption.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from understudy.controllers.scheduling import filters
from understudy.controllers.workloads import pods as pod_facts
from understudy.kube import objects, selectors

REASON: Final = "PreemptionByScheduler"
"""Reason of the DisruptionTarget condition that a victim gets before it is deleted."""
NO_VICTIMS: Final = "No preemption victims found for incoming pod"
NEVER: Final = "not eligible due to preemptionPolicy=Never."
LEAVING: Final = "not eligible due to a terminating pod on the nominated node."

Fits = Callable[[objects.Object, Sequence[objects.Object]], filters.Refusal | None]
"""What speaks against a node on which only the given pods were left."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node, and the pods that would have to leave it, the most important first.

    `violations` counts those that a PodDisruptionBudget protects.
    """

    node: str
    victims: tuple[objects.Object, ...]
    violations: int = 0


def priority_of(pod: objects.Object) -> int:
    """Return spec.priority, 0 where it is not set."""
    return int((pod.get("spec") or {}).get("priority") or 0)


def ineligible(pod: objects.Object, on_nominated: Iterable[objects.Object]) -> str:
    """Return why a pod may not preempt others, empty if it may.

    `on_nominated` are the pods of the node it was promised: while one of them is still on its way
    out for this pod's sake, no others are sent after it.
    """
    if (pod.get("spec") or {}).get("preemptionPolicy") == "Never":
        return NEVER
    for other in on_nominated:
        condition = pod_facts.condition_of(other, "DisruptionTarget") or {}
        if (
            pod_facts.is_terminating(other)
            and priority_of(other) < priority_of(pod)
            and condition.get("reason") == REASON
        ):
            return LEAVING
    return ""


def consider(
    pod: objects.Object,
    node: objects.Object,
    present: Sequence[objects.Object],
    fits: Fits,
    budgets: Sequence[objects.Object],
) -> Candidate | filters.Refusal:
    """Return who would have to leave a node, or why even that would not help."""
    lower = [one for one in present if priority_of(one) < priority_of(pod)]
    if not lower:
        return filters.Refusal((NO_VICTIMS,))
    kept = [one for one in present if priority_of(one) >= priority_of(pod)]
    refusal = fits(node, kept)
    if refusal is not None:
        return refusal
    protected, others = _by_protection(sorted(lower, key=_importance), budgets)
    victims: list[objects.Object] = []
    violations = 0
    for group in (protected, others):
        for one in group:
            if fits(node, [*kept, one]) is None:
                kept.append(one)
            else:
                victims.append(one)
                violations += int(group is protected)
    victims.sort(key=_importance)
    return Candidate(objects.name_of(node), tuple(victims), violations)


def least(candidates: Iterable[Candidate]) -> Candidate:
    """Return the candidate whose loss is least; there is at least one.

    Fewest protected victims; then the lowest highest priority, the lowest sum, the fewest victims,
    and those that started last.
    """

    def loss(candidate: Candidate) -> tuple[objects.Json, ...]:
        highest = priority_of(candidate.victims[0]) if candidate.victims else 0
        top = [_started(one) for one in candidate.victims if priority_of(one) == highest]
        # Every victim counts, those of negative priority too.
        total = sum(priority_of(one) + 2**31 for one in candidate.victims)
        return (
            candidate.violations,
            highest,
            total,
            len(candidate.victims),
            _Later(min(top, default="")),
        )

    return min(candidates, key=loss)


class _Later(str):
    """Sorts later times before earlier ones."""

    __slots__ = ()

    def __lt__(self, other: str) -> bool:
        return str.__gt__(self, other)


def _importance(pod: objects.Object) -> tuple[int, str]:
    return (-priority_of(pod), _started(pod))


def _started(pod: objects.Object) -> str:
    started = (pod.get("status") or {}).get("startTime")
    return str(started or pod_facts.creation_of(pod))


def _by_protection(
    lower: Iterable[objects.Object], budgets: Sequence[objects.Object]
) -> tuple[list[objects.Object], list[objects.Object]]:
    """Tell the pods whose loss would break a budget from the others."""
    allowed = [int((one.get("status") or {}).get("disruptionsAllowed") or 0) for one in budgets]
    protected: list[objects.Object] = []
    others: list[objects.Object] = []
    for pod in lower:
        breaks = False
        for place, budget in enumerate(budgets):
            if not _covers(budget, pod):
                continue
            allowed[place] -= 1
            breaks = breaks or allowed[place] < 0
        (protected if breaks else others).append(pod)
    return protected, others


def _covers(budget: objects.Object, pod: objects.Object) -> bool:
    if objects.namespace_of(budget) != objects.namespace_of(pod):
        return False
    if objects.name_of(pod) in ((budget.get("status") or {}).get("disruptedPods") or {}):
        return False
    raw = budget["spec"].get("selector")
    return bool(raw) and selectors.from_label_selector(raw).matches(objects.labels_of(pod))
