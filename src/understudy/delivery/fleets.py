"""One application on many clusters: which of them differ, and delivering to them one after another.

Two clusters are alike where the same would happen to the same objects. What most have in common
is the norm; the others are outliers, each told by what happens there and not elsewhere, and the
other way round.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from understudy.delivery import outcomes, plans, refs
from understudy.kube import objects

Step: TypeAlias = tuple[str, refs.Ref]
"""What happens to an object, in one word: an operation, or an effect."""
_QUIET = frozenset([outcomes.Op.UNCHANGED, outcomes.Op.IGNORE])
_NAMELESS = frozenset(["creates"])
"""Effects that are told of an object with a generated name: it says nothing of another cluster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlier:
    """A cluster where something else would happen than in most.

    Attributes:
        also: What happens here and not there.
        missing: What happens there and not here.
    """

    instance: str
    also: tuple[Step, ...] = ()
    missing: tuple[Step, ...] = ()

    def as_dict(self) -> objects.Object:
        """Render as data."""
        return {
            "instance": self.instance,
            "also": [{"what": what, **ref.as_dict()} for what, ref in self.also],
            "missing": [{"what": what, **ref.as_dict()} for what, ref in self.missing],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Which clusters are alike: those of the norm, and the outliers, by name."""

    norm: tuple[str, ...] = ()
    outliers: tuple[Outlier, ...] = ()


def compare(found: Mapping[str, plans.Plan]) -> Comparison:
    """Return which plans of one application are alike: the same operations, the same effects.

    Of two equally large groups the one with the first name is the norm.
    """
    groups: dict[frozenset[Step], list[str]] = {}
    for name in sorted(found):
        groups.setdefault(_steps(found[name]), []).append(name)
    if not groups:
        return Comparison()
    norm = max(groups, key=lambda steps: len(groups[steps]))
    outliers = [
        Outlier(instance=name, also=_sorted(steps - norm), missing=_sorted(norm - steps))
        for steps, names in groups.items()
        if steps != norm
        for name in names
    ]
    outliers.sort(key=lambda one: one.instance)
    return Comparison(norm=tuple(groups[norm]), outliers=tuple(outliers))


def _steps(plan: plans.Plan) -> frozenset[Step]:
    done = {(str(one.op), one.ref) for one in plan.operations if one.op not in _QUIET}
    blocked = {("blocked", one.ref) for one in plan.blocked if one.ref is not None}
    follows = {(one.type, one.ref) for one in plan.effects if one.type not in _NAMELESS}
    return frozenset(done | blocked | follows)


def _sorted(steps: frozenset[Step]) -> tuple[Step, ...]:
    return tuple(sorted(steps, key=lambda step: (str(step[1]), step[0])))


# ------------------------------------------------------------------------------ rolling out


class State(enum.StrEnum):
    """What became of an application on one cluster."""

    DELIVERED = "delivered"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    ROLLED_BACK = "rolledBack"
    KEPT = "kept"
    UNTOUCHED = "untouched"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of an application on one cluster.

    Attributes:
        code: The command's exit code for this cluster.
        messages: Why, for what went wrong or was not done.
    """

    state: State
    revision: str = ""
    code: int = 0
    messages: tuple[str, ...] = ()

    def as_dict(self) -> objects.Object:
        """Render as data."""
        return {
            "result": str(self.state),
            "revision": self.revision,
            "exitCode": self.code,
            "messages": list(self.messages),
        }


Work: TypeAlias = Callable[[str], Awaitable[Result]]
"""Does something on one cluster, by its name; what goes wrong is in the result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutSettings:
    """How an application comes to many clusters.

    Attributes:
        batch_size: Clusters at a time; the next batch begins when all of these are healthy.
        stop_on_failure: Begin no further batch after a failure.
        rollback_all: After a failure go back on the clusters of this rollout too; implies
            `stop_on_failure`.
    """

    batch_size: int = 1
    stop_on_failure: bool = False
    rollback_all: bool = False


async def roll_out(
    names: Sequence[str], deliver: Work, go_back: Work, settings: RolloutSettings
) -> dict[str, Result]:
    """Deliver to clusters in batches; return what became of each, in the order of the names."""
    results: dict[str, Result] = {}
    has_failed = False
    for start in range(0, len(names), settings.batch_size):
        batch = names[start : start + settings.batch_size]
        if has_failed and (settings.stop_on_failure or settings.rollback_all):
            results |= dict.fromkeys(batch, Result(state=State.UNTOUCHED))
            continue
        results |= await _together(batch, deliver)
        has_failed = any(result.code for result in results.values())
    if has_failed and settings.rollback_all:
        delivered = [name for name in names if results[name].state is State.DELIVERED]
        for name in reversed(delivered):
            results[name] = await go_back(name)
    return results


async def _together(names: Sequence[str], work: Work) -> dict[str, Result]:
    results: dict[str, Result] = {}

    async def one(name: str) -> None:
        results[name] = await work(name)

    async with asyncio.TaskGroup() as group:
        for name in names:
            group.create_task(one(name))
    return {name: results[name] for name in names}


def exit_code(results: Mapping[str, Result]) -> int:
    """Return the exit code for all: the failures' own where it is one and the same, else 1."""
    codes = {result.code for result in results.values() if result.code}
    if not codes:
        return 0
    return codes.pop() if len(codes) == 1 else 1
