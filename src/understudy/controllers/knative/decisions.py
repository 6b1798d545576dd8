"""How many replicas a load asks for: Knative's own autoscaling arithmetic (KPA).

Source: knative.dev/serving `pkg/autoscaler/scaling/autoscaler.go`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from understudy.controllers.knative import worlds
from understudy.controllers.knative.settings import KnativeSettings
from understudy.kube import objects, records
from understudy.kube.knative import keys, scaling

UNKNOWN = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """What one replica is to bear.

    Attributes:
        metric: `concurrency` or `rps`.
        value: Load per replica that is aimed at.
        total: Load per replica at which it is full.
        burst: Spare room wanted; -1: the activator stays in the path always.
    """

    metric: str
    value: float
    total: float
    burst: float


def targets(autoscaler: objects.Object, config: KnativeSettings) -> Targets:
    """Return the targets of an autoscaler, from its annotations and the defaults."""
    notes = objects.annotations_of(autoscaler)
    metric = scaling.value(notes, keys.METRIC, "concurrency")
    utilization = _number(notes, keys.TARGET_UTILIZATION, config.target_utilization * 100) / 100
    if metric == "rps":
        total = _number(notes, keys.TARGET, config.target_rps)
    else:
        limit = float(autoscaler["spec"].get("containerConcurrency") or 0)
        total = _number(notes, keys.TARGET, limit or config.target_concurrency)
        if limit and total > limit:
            total = limit
    burst = _number(notes, keys.TARGET_BURST_CAPACITY, config.target_burst_capacity)
    return Targets(metric=metric, value=max(0.01, total * utilization), total=total, burst=burst)


@dataclass(slots=True, kw_only=True)
class Decision:
    """What a look at the load says.

    Attributes:
        desired: Replicas wanted, UNKNOWN while nothing was measured.
        excess_burst: Spare room that is left; below 0 the activator must take part.
    """

    desired: int = UNKNOWN
    excess_burst: int = 0


class Decider:
    """Decides for one autoscaler; remembers the last panic, and what was wanted of late."""

    __slots__ = ("_panic_pods", "_panic_since_s", "_wanted")

    def __init__(self) -> None:
        self._panic_since_s: float | None = None
        self._panic_pods = 0
        self._wanted: list[tuple[float, int]] = []

    def decide(
        self,
        demand: worlds.Demand | None,
        ready: int,
        aim: Targets,
        notes: dict[str, str],
        config: KnativeSettings,
        now_s: float,
        *,
        reachable: bool,
    ) -> Decision:
        """Return the replicas that a load asks for, given those that are ready."""
        if demand is None:
            return Decision()
        pods = max(1, ready)
        most = math.ceil(config.max_scale_up_rate * pods)
        least = math.floor(pods / config.max_scale_down_rate) if reachable else 0
        asked, burst = math.ceil(demand.stable / aim.value), math.ceil(demand.panic / aim.value)
        stable, panic = _bounded(asked, least, most), _bounded(burst, least, most)
        activation = scaling.value(notes, keys.ACTIVATION_SCALE)
        if activation.isdigit() and int(activation) > 1:
            stable = max(stable, int(activation)) if asked > 0 else stable
            panic = max(panic, int(activation)) if burst > 0 else panic
        desired = self._panicking(stable, panic, burst / pods, notes, config, now_s)
        delay_s = duration_s(notes, keys.SCALE_DOWN_DELAY, config.scale_down_delay_s)
        if reachable and delay_s > 0:
            desired = self._delayed(desired, delay_s, now_s)
        excess = -1
        if aim.burst == 0:
            excess = 0
        elif aim.burst > 0:
            excess = math.floor(ready * aim.total - aim.burst - demand.panic)
        return Decision(desired=desired, excess_burst=excess)

    def _panicking(
        self,
        stable: int,
        panic: int,
        factor: float,
        notes: dict[str, str],
        config: KnativeSettings,
        now_s: float,
    ) -> int:
        """While load bursts, and a stable window after, scale up only."""
        threshold = _number(notes, keys.PANIC_THRESHOLD, config.panic_threshold_percent) / 100
        window_s = stable_window_s(notes, config)
        if factor >= threshold:
            self._panic_since_s = now_s
        elif self._panic_since_s is not None and now_s - self._panic_since_s > window_s:
            self._panic_since_s, self._panic_pods = None, 0
        if self._panic_since_s is None:
            return stable
        self._panic_pods = max(self._panic_pods, stable, panic)
        return self._panic_pods

    def _delayed(self, desired: int, delay_s: float, now_s: float) -> int:
        """Scale down only to the most that was wanted within the delay."""
        self._wanted = [one for one in self._wanted if one[0] > now_s - delay_s]
        self._wanted.append((now_s, desired))
        return max(wanted for _, wanted in self._wanted)


def stable_window_s(notes: dict[str, str], config: KnativeSettings) -> float:
    """Return the seconds over which load is averaged."""
    return duration_s(notes, keys.WINDOW, config.stable_window_s)


def panic_window_s(notes: dict[str, str], config: KnativeSettings) -> float:
    """Return the seconds that are looked at for bursts: a share of the stable window."""
    percent = _number(notes, keys.PANIC_WINDOW, config.panic_window_percent)
    return max(stable_window_s(notes, config) * percent / 100, 1.0)


def duration_s(notes: dict[str, str], key: str, default_s: float) -> float:
    """Return an annotation's duration in seconds."""
    text = scaling.value(notes, key)
    if not text:
        return default_s
    try:
        return records.parse_duration(text).total_seconds()
    except ValueError:
        return default_s


def _number(notes: dict[str, str], key: str, default: float) -> float:
    try:
        return float(scaling.value(notes, key, str(default)))
    except ValueError:
        return default


def _bounded(value: int, low: int, high: int) -> int:
    return min(max(value, low), high)
