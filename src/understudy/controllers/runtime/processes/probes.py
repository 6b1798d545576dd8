"""What the probes of a container ask and what a row of answers means. Pure.

Source: pkg/kubelet/prober/worker.go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from understudy.kube import objects

Kind = Literal["startup", "readiness", "liveness"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One probe, its defaults filled in.

    Attributes:
        handler: The object that holds `exec`, `httpGet`, `tcpSocket` or `grpc`.
        grace_s: What a container gets to stop after failing it; None: what the pod says.
    """

    kind: Kind
    handler: objects.Object
    delay_s: float
    period_s: float
    timeout_s: float
    successes: int
    failures: int
    grace_s: int | None


def probe_of(container: objects.Object, kind: Kind) -> Probe | None:
    """Return a container's probe of a kind, or None."""
    found = container.get(f"{kind}Probe")
    if not found:
        return None
    return Probe(
        kind=kind,
        handler=found,
        delay_s=float(found.get("initialDelaySeconds") or 0),
        period_s=float(found.get("periodSeconds") or 10),
        timeout_s=float(found.get("timeoutSeconds") or 1),
        successes=int(found.get("successThreshold") or 1),
        failures=int(found.get("failureThreshold") or 3),
        grace_s=found.get("terminationGracePeriodSeconds"),
    )


class Tally:
    """Counts equal answers in a row; the verdict changes when there are enough of them.

    Attributes:
        verdict: True, False, or None while nothing is decided.
    """

    __slots__ = ("_failures", "_last", "_row", "_successes", "verdict")

    def __init__(self, probe: Probe) -> None:
        initial: dict[Kind, bool | None] = {"startup": None, "readiness": False, "liveness": True}
        self.verdict = initial[probe.kind]
        self._successes = probe.successes
        self._failures = probe.failures
        self._last: bool | None = None
        self._row = 0

    def add(self, answer: bool) -> bool | None:
        """Count an answer and return the verdict."""
        self._row = self._row + 1 if answer == self._last else 1
        self._last = answer
        if self._row >= (self._successes if answer else self._failures):
            self.verdict = answer
        return self.verdict
