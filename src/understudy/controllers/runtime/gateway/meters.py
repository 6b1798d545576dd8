"""How much is asked of a Revision: requests at a time, and per second, averaged over windows."""

from __future__ import annotations

from collections import deque

STEP_S = 1.0
"""Between two remembered moments, as Knative's collector does it."""
WINDOW_MAX_S = 3600.0
"""The longest window an annotation may name."""


class Meter:
    """Two sums that only grow, remembered second by second: requests begun, and request-seconds.

    An average over a window is a difference of sums. After a pause of a whole window measuring
    begins anew, so that the first requests after it are not averaged with the silence before.
    """

    __slots__ = (
        "_area", "_begun", "_changed_s", "_ended_s", "_history", "_since_s", "_window_s", "level",
    )  # fmt: skip

    def __init__(self) -> None:
        self.level = 0
        self._begun = 0
        self._area = 0.0
        self._changed_s = 0.0
        self._ended_s = float("-inf")
        self._since_s = 0.0
        self._window_s = 0.0
        self._history: deque[tuple[float, float, float]] = deque()

    def begin(self, now_s: float) -> None:
        """Count a request that has arrived."""
        if not self.level and now_s - self._ended_s > self._window_s:
            self._since_s = now_s
            self._history.clear()
        self._move(now_s)
        self.level += 1
        self._begun += 1

    def end(self, now_s: float) -> None:
        """Count a request that is over."""
        self._move(now_s)
        self.level -= 1
        self._ended_s = now_s

    def average(self, metric: str, window_s: float, now_s: float) -> float:
        """Return the average of `concurrency` or `rps` over the last seconds."""
        self._window_s = max(self._window_s, min(window_s, WINDOW_MAX_S))
        self._move(now_s)
        measured_s = now_s - self._since_s
        if measured_s < window_s:
            _, area, begun = self._history[0]
            over_s = max(STEP_S, measured_s)
        else:
            area, begun = self._at(now_s - window_s)
            over_s = window_s
        if metric == "rps":
            return (self._begun - begun) / over_s
        return (self._area - area) / over_s

    def _move(self, now_s: float) -> None:
        """Add up to now; remember where the last remembered moment is a second ago."""
        history = self._history
        if not history:
            history.append((now_s, self._area, self._begun))
        if self.level:
            self._area += self.level * (now_s - self._changed_s)
        self._changed_s = now_s
        if now_s - history[-1][0] >= STEP_S:
            history.append((now_s, self._area, self._begun))
            kept_s = now_s - self._window_s - STEP_S
            while len(history) > 1 and history[1][0] <= kept_s:
                history.popleft()

    def _at(self, moment_s: float) -> tuple[float, float]:
        """Return the sums as they were at a moment, between two remembered ones by proportion."""
        after = (self._changed_s, self._area, float(self._begun))
        for before in reversed(self._history):
            if before[0] <= moment_s:
                span_s = after[0] - before[0]
                share = (moment_s - before[0]) / span_s if span_s > 0 else 0.0
                return (
                    before[1] + share * (after[1] - before[1]),
                    before[2] + share * (after[2] - before[2]),
                )
            after = before
        return after[1], after[2]
