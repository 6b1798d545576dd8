"""How long a delivery will take: from what earlier ones waited for.

recorded   status.waits of each revision: for every object that was waited for, the seconds
           from the moment its batch was applied until it was healthy
estimate   batches go one after the other, the objects of one together: the sum, over the
           batches, of the longest wait of what changes in them; these objects are the
           critical path
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from understudy.aio import clocks
from understudy.delivery import outcomes, refs
from understudy.kube import objects

RECORDED_MAX = 500
"""Objects whose waits a revision records: the longest ones."""
TOLD_FROM_S = 1.0
"""Shorter waits are no part of what is told."""


class Waits:
    """Takes the time until objects are healthy.

    Attributes:
        seconds: By object, for those that became so.
    """

    __slots__ = ("_clock", "seconds")

    def __init__(self, clock: clocks.Clock) -> None:
        self.seconds: dict[refs.Ref, float] = {}
        self._clock = clock

    def begin(self, tell: outcomes.Tell) -> outcomes.Tell:
        """Return `tell` for a wait that begins now, which notes what becomes healthy."""
        began = self._clock.monotonic()

        def note(news: outcomes.News) -> None:
            if news.type == "healthy" and news.ref is not None:
                self.seconds[news.ref] = round(self._clock.monotonic() - began, 1)
            tell(news)

        return note

    def as_list(self) -> list[objects.Object]:
        """Render for a record."""
        longest = sorted(self.seconds, key=lambda ref: (-self.seconds[ref], ref))[:RECORDED_MAX]
        return [ref.as_dict() | {"seconds": self.seconds[ref]} for ref in longest]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """How long a delivery will probably take.

    Attributes:
        path: The objects that everything else waits for, each with its seconds.
        unknown: How many objects have to be waited for that never were before.
    """

    path: tuple[tuple[refs.Ref, float], ...]
    unknown: int = 0

    @property
    def seconds(self) -> float:
        """Altogether."""
        return round(sum(seconds for _, seconds in self.path), 1)

    def __str__(self) -> str:
        steps = " -> ".join(f"{ref} {_told(seconds)}" for ref, seconds in self.path)
        text = f"about {_told(self.seconds)}; critical path: {steps}"
        if self.unknown:
            verb = "was" if self.unknown == 1 else "were"
            text += f"; {outcomes.number(self.unknown, 'object')} {verb} never waited for before"
        return text

    def as_dict(self) -> objects.Object:
        """Render for JSON output."""
        path = [ref.as_dict() | {"seconds": seconds} for ref, seconds in self.path]
        return {"seconds": self.seconds, "criticalPath": path, "unknown": self.unknown}


def of(done: Iterable[outcomes.Outcome], records: Sequence[objects.Object]) -> Estimate | None:
    """Return the estimate of a rehearsed delivery; None where nothing is known of its objects.

    `records` are the application's revisions, oldest first.
    """
    known: dict[refs.Ref, float] = {}
    for record in records:
        for item in objects.lookup(record, ("status", "waits"), ()) or ():
            known[refs.from_dict(item)] = float(item.get("seconds") or 0)
    longest: dict[int, tuple[refs.Ref, float]] = {}
    unknown = 0
    for outcome in done:
        if not outcome.op.is_change or outcome.health is None:
            continue
        seconds = known.get(outcome.ref)
        if seconds is None:
            unknown += 1
        elif seconds > longest.get(outcome.step, (outcome.ref, 0.0))[1]:
            longest[outcome.step] = (outcome.ref, seconds)
    path = tuple(longest[step] for step in sorted(longest) if longest[step][1] >= TOLD_FROM_S)
    return Estimate(path=path, unknown=unknown) if path else None


def _told(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
