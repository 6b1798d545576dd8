"""How much of a recommended number of replicas may happen now.

Recommendations of the last minutes steady the number, bounds and policies limit it. What a policy
counts are the changes of its last period. Source: pkg/controller/podautoscaler/horizontal.go.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from understudy.kube import objects

DOWN_WINDOW_S: Final = 300.0
"""For how long the highest recommendation counts before replicas are taken away."""
UP_FACTOR, UP_LEAST = 2.0, 4.0
"""Without a behavior replicas at most double in one step, but four are always allowed."""


@dataclass(slots=True)
class Memory:
    """What is remembered of one autoscaler: (seconds, number) each, on the clock's scale.

    Attributes:
        since_s: When it or its workload was last changed by somebody else.
    """

    since_s: float = 0.0
    recommended: list[tuple[float, int]] = field(default_factory=list)
    added: list[tuple[float, int]] = field(default_factory=list)
    removed: list[tuple[float, int]] = field(default_factory=list)

    def note_scale(self, now_s: float, before: int, after: int, behavior: objects.Object) -> None:
        """Remember a change of scale for as long as a policy may ask for it."""
        up = after > before
        kept, rules = (self.added, "scaleUp") if up else (self.removed, "scaleDown")
        longest_s = max(
            (policy["periodSeconds"] for policy in _policies(behavior, rules)), default=0
        )
        kept[:] = [one for one in kept if one[0] >= now_s - longest_s]
        kept.append((now_s, abs(after - before)))


@dataclass(frozen=True, slots=True)
class Bounds:
    """Between which numbers an autoscaler decides, and from which it starts."""

    low: int
    high: int
    current: int


@dataclass(frozen=True, slots=True)
class Limited:
    """What may happen now.

    Attributes:
        replicas: The number.
        steadied: Reason and message of the condition AbleToScale.
        limited: Whether policies or bounds hold the number back.
        why: Reason and message of the condition ScalingLimited.
        passes: Whether time alone will allow more.
    """

    replicas: int
    steadied: tuple[str, str]
    limited: bool
    why: tuple[str, str]
    passes: bool


_READY = ("ReadyForNewScale", "recommended size matches current size")
_UP_STEADIED = (
    "ScaleUpStabilized",
    "recent recommendations were lower than current one, applying the lowest recent recommendation",
)
_DOWN_STEADIED = (
    "ScaleDownStabilized",
    "recent recommendations were higher than current one, applying the highest recent "
    "recommendation",
)
_WITHIN = ("DesiredWithinRange", "the desired count is within the acceptable range")
_TOO_FEW = ("TooFewReplicas", "the desired replica count is less than the minimum replica count")
_TOO_MANY = ("TooManyReplicas", "the desired replica count is more than the maximum replica count")
_TOO_FAST = (
    "ScaleUpLimit",
    "the desired replica count is increasing faster than the maximum scale rate",
)
_TOO_FAST_DOWN = (
    "ScaleDownLimit",
    "the desired replica count is decreasing faster than the maximum scale rate",
)


def limit(
    memory: Memory, now_s: float, bounds: Bounds, wanted: int, behavior: objects.Object | None
) -> Limited:
    """Return what may happen now of a wanted number; it is remembered as a recommendation."""
    if behavior is None:
        steady = _highest(memory, now_s, wanted)
        steadied = _READY if steady == wanted else _DOWN_STEADIED
        replicas, why = _without_rules(bounds, steady)
    else:
        steady = _steady(memory, now_s, bounds.current, wanted, behavior)
        reason = _UP_STEADIED if wanted >= bounds.current else _DOWN_STEADIED
        steadied = _READY if steady == wanted else reason
        replicas, why = _by_rules(memory, now_s, bounds, steady, behavior)
    held = why in {_TOO_FAST, _TOO_FAST_DOWN}
    passes = steady != wanted or (held and not _is_disabled(behavior, why))
    return Limited(replicas, steadied, replicas != steady, why, passes)


def _highest(memory: Memory, now_s: float, wanted: int) -> int:
    fresh = [one for one in memory.recommended if one[0] >= now_s - DOWN_WINDOW_S]
    memory.recommended = [*fresh, (now_s, wanted)]
    return max([wanted, *(number for _, number in fresh)])


def _steady(
    memory: Memory, now_s: float, current: int, wanted: int, behavior: objects.Object
) -> int:
    up_s = _window_s(behavior, "scaleUp", 0.0)
    down_s = _window_s(behavior, "scaleDown", DOWN_WINDOW_S)
    up = min([wanted, *(n for at, n in memory.recommended if at > now_s - up_s)])
    down = max([wanted, *(n for at, n in memory.recommended if at > now_s - down_s)])
    fresh = [one for one in memory.recommended if one[0] >= now_s - max(up_s, down_s)]
    memory.recommended = [*fresh, (now_s, wanted)]
    return min(max(current, up), down)


def _without_rules(bounds: Bounds, wanted: int) -> tuple[int, tuple[str, str]]:
    fastest = int(max(UP_FACTOR * bounds.current, UP_LEAST))
    if wanted < bounds.low:
        return bounds.low, _TOO_FEW
    if wanted > min(fastest, bounds.high):
        return min(fastest, bounds.high), _TOO_FAST if bounds.high > fastest else _TOO_MANY
    return wanted, _WITHIN


def _by_rules(
    memory: Memory, now_s: float, bounds: Bounds, wanted: int, behavior: objects.Object
) -> tuple[int, tuple[str, str]]:
    if wanted > bounds.current:
        fastest = max(bounds.current, _farthest(memory, now_s, bounds, behavior, up=True))
        if wanted > min(fastest, bounds.high):
            return min(fastest, bounds.high), _TOO_FAST if bounds.high > fastest else _TOO_MANY
    elif wanted < bounds.current:
        slowest = min(bounds.current, _farthest(memory, now_s, bounds, behavior, up=False))
        if wanted < max(slowest, bounds.low):
            return max(slowest, bounds.low), _TOO_FAST_DOWN if bounds.low < slowest else _TOO_FEW
    return wanted, _WITHIN


def _farthest(
    memory: Memory, now_s: float, bounds: Bounds, behavior: objects.Object, *, up: bool
) -> int:
    """Return the number that the policies of a direction allow."""
    rules: objects.Object = behavior.get("scaleUp" if up else "scaleDown") or {}
    chosen = rules.get("selectPolicy") or "Max"
    if chosen == "Disabled":
        return bounds.current
    allowed: list[int] = []
    for policy in rules.get("policies") or ():
        since_s, value = now_s - policy["periodSeconds"], int(policy["value"])
        start = bounds.current - _sum(memory.added, since_s) + _sum(memory.removed, since_s)
        if policy["type"] == "Pods":
            allowed.append(start + value if up else start - value)
        elif up:
            allowed.append(math.ceil(start * (1 + value / 100)))
        else:
            allowed.append(int(start * (1 - value / 100)))
    # `Max` is the greatest change: the highest number on the way up, the lowest on the way down.
    pick: Callable[[Iterable[int]], int] = max if up == (chosen == "Max") else min
    return pick(allowed) if allowed else bounds.current


def _sum(kept: list[tuple[float, int]], since_s: float) -> int:
    return sum(number for at, number in kept if at > since_s)


def _policies(behavior: objects.Object, rules: str) -> list[objects.Object]:
    found: list[objects.Object] = (behavior.get(rules) or {}).get("policies") or []
    return found


def _window_s(behavior: objects.Object, rules: str, default_s: float) -> float:
    stated = (behavior.get(rules) or {}).get("stabilizationWindowSeconds")
    return default_s if stated is None else float(stated)


def _is_disabled(behavior: objects.Object | None, why: tuple[str, str]) -> bool:
    rules = "scaleUp" if why == _TOO_FAST else "scaleDown"
    return ((behavior or {}).get(rules) or {}).get("selectPolicy") == "Disabled"
