"""How long a container that keeps ending waits before it is started again. Pure.

The first restart is immediate; then the delay starts at a base and doubles to a maximum. Who ran
for twice the maximum begins anew.

Source: client-go `util/flowcontrol/backoff.go`, as kubelet's doBackOff uses it.
"""

from __future__ import annotations

from understudy.controllers.runtime.processes import settings


class Backoff:
    """The delays of one container."""

    __slots__ = ("_base_s", "_delay_s", "_max_s", "_since_s")

    def __init__(self, chosen: settings.Processes) -> None:
        self._base_s = chosen.backoff_base_s
        self._max_s = chosen.backoff_max_s
        self._delay_s = 0.0
        self._since_s = 0.0

    @property
    def delay_s(self) -> float:
        """The present delay, counted from the end of the last run."""
        return self._delay_s

    def left_s(self, ended_s: float, now_s: float) -> float:
        """Return how long a container that ended at `ended_s` still has to wait."""
        if self._is_stale(ended_s):
            return 0.0
        return max(0.0, ended_s + self._delay_s - now_s)

    def restarted(self, ended_s: float) -> None:
        """Count a restart after a run that ended at `ended_s`; the next one waits longer."""
        if self._delay_s == 0 or self._is_stale(ended_s):
            self._delay_s = min(self._base_s, self._max_s)
        else:
            self._delay_s = min(self._delay_s * 2, self._max_s)
        self._since_s = ended_s

    def _is_stale(self, ended_s: float) -> bool:
        return ended_s - self._since_s > 2 * self._max_s
