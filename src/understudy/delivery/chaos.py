"""What a delivery that dies leaves, and what the next run makes of it: rehearsed for every write.

    a fork of the stage, on which the course runs undisturbed     what there should be in the end
    after each of its writes another fork, with the same course   what there is in the end

What dies is a process: the cluster goes on, so that on each fork the controllers come to rest
before the course is run again. A death has done no harm if in the end the same objects were
created, deleted and made anew, none but those, and the tracker is at its end. What controllers
make is left out: it follows from the rest.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

from understudy.client import protocol, wrapping
from understudy.delivery import (
    courses,
    errors,
    fields,
    marks,
    outcomes,
    refs,
    stage as stages,
    targets,
    trackers,
)
from understudy.kube import objects

_VERSION = re.compile(r"\.v\d\w*(?=\.|$)")
Run = Callable[[stages.Stage, protocol.Client], Awaitable[courses.Course]]
"""Runs a course on a stage, which it writes to through a client."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """What became of one death.

    Attributes:
        writes: After how many writes it came.
        last: The last of them: `apply deployments.apps shop/web`; empty for none.
        wrong: What is not as it should be after the next run, one sentence each.
    """

    writes: int
    last: str
    wrong: tuple[str, ...]

    def as_dict(self) -> objects.Object:
        """Render for JSON output."""
        return {"writes": self.writes, "last": self.last, "wrong": list(self.wrong)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chaos:
    """What became of every death, in order."""

    deaths: tuple[Death, ...]

    @property
    def converges(self) -> bool:
        """Whether the next run puts every death right."""
        return not any(death.wrong for death in self.deaths)

    def as_dict(self) -> objects.Object:
        """Render for JSON output."""
        return {"converges": self.converges, "deaths": [death.as_dict() for death in self.deaths]}


async def rehearse(owner: targets.Owner, stage: stages.Stage, run: Run) -> Chaos:
    """Let a course die after each of its writes, and say what became of it. The stage stays."""
    undisturbed = await stage.fork()
    ends: list[tuple[str, _End]] = []

    async def die(last: str) -> None:
        left = await undisturbed.fork()
        try:
            await left.settle()
            ends.append((last, await _end(owner, left, left.client, run)))
        finally:
            await left.close()

    try:
        await die("")
        expected = await _end(owner, undisturbed, _DeadlyClient(undisturbed.client, die), run)
    finally:
        await undisturbed.close()
    return Chaos(
        deaths=tuple(
            Death(writes=number, last=last, wrong=tuple(_wrong(end, expected)))
            for number, (last, end) in enumerate(ends)
        )
    )


# ---------------------------------------------------------------------- dying


class _DeadlyClient(wrapping.WrappedClient):
    """A client that lets something happen after each write."""

    def __init__(self, inner: protocol.Client, die: Callable[[str], Awaitable[None]]) -> None:
        super().__init__(inner)
        self._die = die

    async def write(self, write: wrapping.Write, send: wrapping.Send) -> objects.Object:
        answer = await send()
        if not write.dry_run:
            place = f"{write.namespace}/{write.name}".lstrip("/")
            await self._die(f"{write.verb} {_VERSION.sub('', write.resource)} {place}")
        return answer


# ---------------------------------------------------------------------- ends


@dataclass(frozen=True, slots=True, kw_only=True)
class _End:
    """How a course ended: what differs from when it began.

    Attributes:
        made: Objects of the application, and records of it, that were not there.
        gone: Objects that were there.
        renewed: Objects in whose place another one is.
        unlike: Wanted objects that are not as they are wanted.
        refused: What was refused, or kept the course from its end, one sentence each.
    """

    made: frozenset[refs.Ref]
    gone: frozenset[refs.Ref]
    renewed: frozenset[refs.Ref]
    unlike: frozenset[refs.Ref]
    refused: frozenset[str]


async def _end(
    owner: targets.Owner, stage: stages.Stage, client: protocol.Client, run: Run
) -> _End:
    """Run a course on a stage to its end."""
    course, refused = courses.Course(), []
    try:
        course = await run(stage, client)
    except errors.NoSuchRevisionError:
        pass  # A deletion that had only its own end left to say.
    except errors.DeliveryError as error:
        refused.append(str(error))
    refused += (o.obstacle.told_of(o.ref) for o in course.done if o.obstacle is not None)
    await stage.settle()
    tracker = await trackers.TrackerStore(stage.client).load(owner)
    if tracker.phase is not trackers.Phase.DONE:
        refused.append(f"the tracker {tracker.name} is still {tracker.phase}")
    changes = [change for change in stage.changes() if not _is_derived(change, tracker.entries)]
    applied = outcomes.latest(course.done, course.wanted)
    return _End(
        made=frozenset(
            c.ref
            for c in changes
            if c.before is None and c.after is not None and _is_ours(owner, c.after)
        ),
        gone=frozenset(c.ref for c in changes if c.after is None),
        renewed=frozenset(c.ref for c in changes if c.is_gone and c.after is not None),
        unlike=frozenset(
            ref
            for ref, obj in applied.items()
            if not fields.is_settled(owner.marked(course.wanted[ref]), obj, owner.manager)
        ),
        refused=frozenset(refused),
    )


def _is_ours(owner: targets.Owner, obj: objects.Object) -> bool:
    """Whether an object is the application's, or a record of it."""
    if owner.owns(obj) or objects.labels_of(obj).get(marks.APPLICATION) == owner.application:
        return True
    return str(obj.get("apiVersion")).startswith(f"{marks.GROUP}/")


def _is_derived(change: stages.Change, tracked: Collection[refs.Ref]) -> bool:
    """Whether an object comes and goes with others, by the hand of controllers.

    Its label does not tell: some copy those of what they are made for.
    """
    obj = change.before if change.before is not None else change.after
    assert obj is not None, "a change has one side at least"
    owned = bool(objects.metadata(obj).get("ownerReferences"))
    return change.ref not in tracked and (owned or change.ref.kind in {"Event", "Endpoints"})


def _wrong(end: _End, expected: _End) -> list[str]:
    """Say in what an end is not the expected one."""
    told = [
        *(f"{ref} is left behind" for ref in sorted(end.made - expected.made)),
        *(f"{ref} is not there" for ref in sorted(expected.made - end.made)),
        *(f"{ref} is still there" for ref in sorted(expected.gone - end.gone)),
        *(f"{ref} was deleted" for ref in sorted(end.gone - expected.gone)),
        *(f"{ref} was made anew" for ref in sorted(end.renewed - expected.renewed)),
        *(f"{ref} is the old one still" for ref in sorted(expected.renewed - end.renewed)),
        *(f"{ref} is not as it is wanted" for ref in sorted(end.unlike - expected.unlike)),
    ]
    return told + sorted(end.refused - expected.refused)
