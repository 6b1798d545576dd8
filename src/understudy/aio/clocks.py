"""Clocks: the real one, and one that a test or a rehearsal moves by hand."""

from __future__ import annotations

import asyncio
import datetime as dt
import functools
import time
from typing import Protocol

MOMENTS_KEPT = 16
"""Moments whose text is remembered."""


class Clock(Protocol):
    """Wall time for what is written into objects, monotonic time for waiting."""

    def now(self) -> dt.datetime:
        """Return the wall time in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; a cancel point."""
        ...


class SystemClock:
    """The operating system's time."""

    __slots__ = ()

    def now(self) -> dt.datetime:
        return dt.datetime.now(dt.UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class ManualClock:
    """A clock that stands still until `advance` is called; sleeping advances it at once."""

    __slots__ = ("_elapsed_s", "_now", "_start")

    def __init__(self, start: dt.datetime = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)) -> None:
        self._start = self._now = start
        self._elapsed_s = 0.0

    def now(self) -> dt.datetime:
        return self._now

    def monotonic(self) -> float:
        return self._elapsed_s

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)
        await asyncio.sleep(0)

    def advance(self, seconds: float) -> None:
        """Move the clock forward; `seconds` must not be negative."""
        if seconds < 0:
            raise ValueError(f"a clock cannot go back: advance({seconds})")
        self._elapsed_s += seconds
        self._now = self._start + dt.timedelta(seconds=self._elapsed_s)


@functools.lru_cache(maxsize=MOMENTS_KEPT)
def rfc3339(moment: dt.datetime) -> str:
    """Format as Kubernetes' metav1.Time, e.g. `2026-01-01T00:00:00Z`."""
    # A fifth of strftime's time; every write stamps its object several times, in a rehearsal
    # thousands of them with the same moment.
    return moment.astimezone(dt.UTC).isoformat(timespec="seconds")[:19] + "Z"


def rfc3339_micro(moment: dt.datetime) -> str:
    """Format as Kubernetes' metav1.MicroTime, e.g. `2026-01-01T00:00:00.000000Z`."""
    return moment.astimezone(dt.UTC).isoformat(timespec="microseconds")[:26] + "Z"
