"""Traffic that moves gradually: the state of a rollout, and its steps.

A rollout is kept, as JSON, in an annotation of the Ingress. Each step is computed from the state
before and the time, in nanoseconds, so any controller can go on with it.

Source: knative.dev/serving `pkg/reconciler/route/traffic/rollout.go`.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace

from understudy.controllers.knative import traffic
from understudy.kube import objects

NANO = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A Revision's percent of its Configuration's traffic."""

    revision: str
    percent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """How traffic moves: times in nanoseconds since 1970, 0 where not yet known."""

    start: int = 0
    next: int = 0
    duration: int = 0
    size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The rollout of one Configuration under one tag; the newest Revision comes last."""

    configuration: str
    tag: str = ""
    percent: int
    shares: tuple[Share, ...] = ()
    steps: Steps = field(default_factory=Steps)

    @property
    def is_done(self) -> bool:
        """Whether one Revision has all of it."""
        return len(self.shares) < 2


Rollout = tuple[Part, ...]
"""All parts, sorted by tag and Configuration."""


def goal(found: traffic.Traffic) -> Rollout:
    """Return the rollout in which the latest Revisions have everything."""
    parts = [
        Part(
            configuration=target.configuration,
            tag=tag,
            percent=target.percent,
            shares=(Share(revision=target.revision, percent=target.percent),),
        )
        for tag, targets in found.by_tag.items()
        for target in targets
        if target.latest and target.percent
    ]
    return _sorted(parts)


def is_done(rollout: Rollout) -> bool:
    """Say whether nothing is left to move."""
    return all(part.is_done for part in rollout)


def find(rollout: Rollout, tag: str, configuration: str) -> Part | None:
    """Return the part of a Configuration under a tag, or None."""
    for part in rollout:
        if part.tag == tag and part.configuration == configuration:
            return part
    return None


def dump(rollout: Rollout) -> str:
    """Return the annotation's text."""
    parts = []
    for part in rollout:
        entry: objects.Object = {"configurationName": part.configuration}
        if part.tag:
            entry["tag"] = part.tag
        entry["percent"] = part.percent
        if part.shares:
            entry["revisions"] = [
                {"revisionName": share.revision, "percent": share.percent} for share in part.shares
            ]
        steps = {
            "starttime": part.steps.start,
            "nextStepTime": part.steps.next,
            "stepDuration": part.steps.duration,
            "stepSize": part.steps.size,
        }
        entry["stepParams"] = {key: value for key, value in steps.items() if value}
        parts.append(entry)
    return json.dumps({"configurations": parts} if parts else {}, separators=(",", ":"))


def load(text: str) -> Rollout | None:
    """Read the annotation; None where it is absent or makes no sense."""
    try:
        parts = json.loads(text)["configurations"]
        found = _sorted([_part(entry) for entry in parts])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    valid = all(
        part.percent <= 100
        and 0 <= part.steps.size <= part.percent
        and sum(share.percent for share in part.shares) == part.percent
        for part in found
    )
    return found if valid else None


def _part(entry: objects.Object) -> Part:
    steps = entry.get("stepParams") or {}
    return Part(
        configuration=str(entry["configurationName"]),
        tag=str(entry.get("tag") or ""),
        percent=int(entry["percent"]),
        shares=tuple(
            Share(revision=str(one["revisionName"]), percent=int(one["percent"]))
            for one in entry.get("revisions") or ()
        ),
        steps=Steps(
            start=int(steps.get("starttime") or 0),
            next=int(steps.get("nextStepTime") or 0),
            duration=int(steps.get("stepDuration") or 0),
            size=int(steps.get("stepSize") or 0),
        ),
    )


def observe_ready(rollout: Rollout, now: int, duration_s: float) -> Rollout:
    """Fix how fast traffic moves, now that the first step is known to have taken effect."""
    out = []
    for part in rollout:
        if part.steps.duration == 0 and part.steps.start > 0:
            seconds = max(1.0, math.ceil((now - part.steps.start) / NANO))
            part = replace(part, steps=_paced(part, now, seconds, duration_s))  # noqa: PLW2901
        out.append(part)
    return tuple(out)


def _paced(part: Part, now: int, step_s: float, duration_s: float) -> Steps:
    left_s = max(1.0, duration_s - step_s)
    count = max(1.0, left_s / step_s)
    remaining = float(part.percent - 1)
    count = min(count, remaining)
    duration = int(left_s / count * NANO)
    return replace(
        part.steps, duration=duration, size=_round(remaining / count), next=now + duration
    )


def step(wanted: Rollout, before: Rollout | None, now: int) -> tuple[Rollout, int]:
    """Return the rollout to have now and when it goes on (0: it does not)."""
    if not before:
        return wanted, 0
    out: list[Part] = []
    next_step = 0
    for part in wanted:
        known = find(before, part.tag, part.configuration)
        if known is None or part.percent == 1:
            out.append(part)
            continue
        moved = _step_part(part, known, now)
        out.append(moved)
        if moved.steps.next > 0:
            next_step = min(next_step or moved.steps.next, moved.steps.next)
    return _sorted(out), next_step


def _step_part(wanted: Part, before: Part, now: int) -> Part:
    shares = _adjusted(wanted.percent, before)
    newest = wanted.shares[0].revision
    if not shares or newest == shares[-1].revision:
        if len(shares) < 2:
            return wanted
        going = replace(wanted, shares=shares, steps=before.steps)
        return _advanced(going, now) if going.steps.size > 0 else going
    shares = _less_one(shares)
    return replace(
        wanted,
        shares=(*(one for one in shares if one.percent), Share(revision=newest, percent=1)),
        steps=Steps(start=now),
    )


def _adjusted(percent: int, part: Part) -> tuple[Share, ...]:
    """Fit the shares to another percent: more goes to the newest, less is taken from the oldest."""
    shares = list(part.shares)
    difference = percent - part.percent
    if percent == 0 or not shares:
        return ()
    if difference >= 0:
        shares[-1] = replace(shares[-1], percent=shares[-1].percent + difference)
        return tuple(shares)
    excess = -difference
    while shares and excess:
        if shares[0].percent > excess:
            shares[0] = replace(shares[0], percent=shares[0].percent - excess)
            break
        excess -= shares.pop(0).percent
    return tuple(shares)


def _less_one(shares: tuple[Share, ...]) -> tuple[Share, ...]:
    """Take one percent from the newest Revision that has any, for the one that comes."""
    out = list(shares)
    for index in range(len(out) - 1, -1, -1):
        if out[index].percent > 0:
            out[index] = replace(out[index], percent=out[index].percent - 1)
            break
    return tuple(out)


def _advanced(part: Part, now: int) -> Part:
    if now < part.steps.next or part.is_done:
        return part
    *older, newest = part.shares
    remaining = part.steps.size
    while older and remaining > 0:
        if older[-1].percent > remaining:
            older[-1] = replace(older[-1], percent=older[-1].percent - remaining)
            break
        remaining -= older.pop().percent
    percent = min(newest.percent + part.steps.size, part.percent)
    shares = (*older, replace(newest, percent=percent))
    steps = replace(part.steps, next=now + part.steps.duration) if older else Steps()
    return replace(part, shares=shares, steps=steps)


def _sorted(parts: list[Part]) -> Rollout:
    return tuple(sorted(parts, key=lambda part: (part.tag, part.configuration)))


def _round(value: float) -> int:
    """Round halves away from zero, as Go does."""
    return math.floor(value + 0.5)
