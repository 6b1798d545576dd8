"""Rehearsing: a course is run on a stage, and the plan says what happened there.

stage := a copy of the cluster -> the course, controllers at rest after each wait
-> what differs, what was refused, what is not known -> what the server says to it
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Sequence

from understudy.aio import clocks, ids
from understudy.client import protocol
from understudy.delivery import (
    adoption,
    applications,
    autoscaling,
    chaos,
    courses,
    dispatch,
    estimates,
    guards,
    instances,
    manifests,
    masking,
    ordering,
    outcomes,
    plans,
    reasons,
    refs,
    revisions,
    rights,
    stage as stages,
    targets,
    trackers,
    verifying,
    waiting,
)

RunCourse = Callable[[courses.Means], Awaitable[courses.Course]]


class Rehearsals:
    """Rehearses courses for one cluster, each on a stage of its own."""

    __slots__ = ("_client", "_clock", "_ids", "_make_stage")

    def __init__(
        self,
        client: protocol.Client,
        make_stage: stages.MakeStage,
        clock: clocks.Clock,
        idents: ids.IdSource,
    ) -> None:
        self._client = client
        self._make_stage = make_stage
        self._clock = clock
        self._ids = idents

    async def run(
        self,
        owner: targets.Owner,
        given: Sequence[manifests.Manifest],
        settings: dispatch.DispatchSettings,
        course: RunCourse,
        begin_with: Sequence[applications.Application] = (),
        *,
        verify: bool = False,
        ask_rights: bool = True,
        dying: bool = False,
    ) -> plans.Plan:
        """Run a course on a stage and make the plan of what happened there.

        With `begin_with`, these applications are delivered on it before, and are no part of it;
        with `verify` the server is asked for a second opinion, with `ask_rights` for one's rights;
        with `dying` the course dies after each of its writes, each time on another stage.
        """
        served = await self._client.discover()
        wanted = targets.resolve(given, await self._knowing(served, given), owner)
        known, tracker = [*wanted], await trackers.TrackerStore(self._client).load(owner)
        for one in begin_with:
            knowing = await self._knowing(served, one.manifests)
            known += targets.resolve(one.manifests, knowing, one.owner)
            if one.owner != owner:
                theirs = await trackers.TrackerStore(self._client).load(one.owner)
                tracker = dataclasses.replace(
                    tracker, entries={**theirs.entries, **tracker.entries}
                )
        unread: list[str] = []
        read_at: dict[str, str] = {}

        async def read() -> stages.LiveCopy:
            copy = await stages.copy_live(self._client, owner, known, tracker, self._clock)
            unread.extend(copy.unread)
            read_at.update(copy.read_at)
            return copy

        stage, mask = await self._make_stage(read), masking.Mask()
        try:
            made, done = await self._rehearse(
                owner, stage, settings, course, begin_with, unread, mask, dying=dying
            )
        finally:
            await stage.close()
        made = dataclasses.replace(made, read_at=read_at)
        if verify:
            made = await self._verified(made, owner, wanted, done, settings, mask)
        if ask_rights and made.has_changes:
            missing = await rights.missing(self._client, owner, made.operations, self._clock)
            made = dataclasses.replace(made, forbidden=tuple(missing))
        return made

    async def _rehearse(
        self,
        owner: targets.Owner,
        stage: stages.Stage,
        settings: dispatch.DispatchSettings,
        course: RunCourse,
        begin_with: Sequence[applications.Application],
        unread: Sequence[str],
        mask: masking.Mask,
        *,
        dying: bool,
    ) -> tuple[plans.Plan, list[outcomes.Outcome]]:
        """Return the plan, and what was done on the stage."""
        await stage.begin()
        waiter = stages.StageWaiter(stage)
        means = courses.Means(
            client=waiter.client,
            clock=stage.clock,
            ids=ids.SeededIds(),
            waiter=waiter,
            settings=dataclasses.replace(settings, thorough=True, parallel=1, rehearsed=None),
            mask=mask,
        )

        async def elsewhere(other: stages.Stage, client: protocol.Client) -> courses.Course:
            there = dataclasses.replace(
                means, client=client, clock=other.clock, waiter=stages.StageWaiter(other)
            )
            return await course(there)

        fidelity = [*unread]
        started = dataclasses.replace(means, settings=_allowing_all(means.settings))
        for one in begin_with:
            fidelity += _unfinished(await courses.deliver(one, started))
            await stage.begin()
            waiter.client.lines.clear()
        died = await chaos.rehearse(owner, stage, elsewhere) if dying else None
        done = await course(means)
        await waiter.settle()
        fidelity += stage.not_simulated
        fidelity += (rest.unsettled for rest in waiter.rests if rest.unsettled)
        fidelity += _unknown(done.done)
        nothing = revisions.Revision(owner=owner, number=0, digest="", objects=())
        rehearsed = plans.Rehearsed(
            done=done.done,
            installed=done.installed,
            complaints=done.complaints,
            revision=done.revision or nothing,
            is_new=done.is_new,
            previous=done.previous,
            wanted=done.wanted,
            journal=waiter.client.lines,
            refused=await instances.refused(stage.client, done.done, mask),
            reasons=await _reasons(stage, done.done),
            mask=mask,
        )
        left = stage.changes()
        made = plans.build(owner, rehearsed, left, fidelity, self._ids.uid(), self._clock.now())
        scaled = await autoscaling.contested(stage.client, done.done, left)
        history = await revisions.History(stage.client, owner).read()
        made = dataclasses.replace(
            made,
            effects=(*made.effects, *scaled),
            estimate=estimates.of(done.done, history.records),
            chaos=died,
        )
        return made, done.done

    async def _verified(
        self,
        made: plans.Plan,
        owner: targets.Owner,
        wanted: Sequence[targets.Target],
        done: Sequence[outcomes.Outcome],
        settings: dispatch.DispatchSettings,
        mask: masking.Mask,
    ) -> plans.Plan:
        """Return a plan with the server's opinion; what the server would refuse is blocked."""
        opinions, asked = await verifying.ask(
            self._client,
            wanted,
            done,
            owner,
            self._clock,
            force=settings.force_conflicts,
            mask=mask,
        )
        refused = [
            plans.Blocked(
                ref=opinion.ref,
                obstacle=outcomes.Obstacle(message=f"the server's dry run: {opinion.refusal}"),
            )
            for opinion in opinions
            if opinion.refusal
        ]
        return dataclasses.replace(
            made,
            blocked=(*made.blocked, *refused),
            opinions=tuple(opinions),
            verified=asked,
        )

    async def _knowing(
        self, served: protocol.Discovery, given: Sequence[manifests.Manifest]
    ) -> protocol.Discovery:
        """Return what the cluster serves, asked again if a kind in the manifests is not known."""
        if all(
            served.by_kind(manifest.obj["apiVersion"], manifest.obj["kind"]) is not None
            for manifest in given
        ):
            return served
        return await self._client.discover(refresh=True)


async def _reasons(
    stage: stages.Stage, done: Sequence[outcomes.Outcome]
) -> dict[refs.Ref, tuple[str, ...]]:
    """Return what pods and events say of objects that did not become healthy."""
    unready = {
        outcome.ref: outcome.after
        for outcome in done
        if outcome.after is not None and outcome.health and not outcome.health.is_settled
    }
    below = await reasons.read(stage.client, unready, unready, stage.clock)
    return {ref: found.reasons for ref, found in below.items()}


def _unknown(done: Sequence[outcomes.Outcome]) -> list[str]:
    """Say whose doings a rehearsal cannot know: hooks', other servers', other controllers'."""
    kinds = {
        (outcome.ref.kind, outcome.ref.group)
        for outcome in done
        if outcome.op.is_change
        and ordering.is_custom(outcome.ref)
        and not outcome.ref.group.endswith("knative.dev")
    }
    told = [
        f"the hook {outcome.ref} is taken to succeed: what it does is not known"
        for outcome in done
        if outcome.op is outcomes.Op.RUN and not waiting.exists_is_enough(outcome.ref)
    ]
    told += [
        f"the server behind {outcome.ref} is not asked"
        for outcome in done
        if outcome.op.is_change and outcome.ref.kind == "APIService"
    ]
    return told + [
        f"what controllers make of objects of kind {kind} ({group}) is not known"
        for kind, group in sorted(kinds)
    ]


def _allowing_all(settings: dispatch.DispatchSettings) -> dispatch.DispatchSettings:
    """Return settings for a delivery on a stage that only sets the scene."""
    return dataclasses.replace(
        settings,
        adoption=adoption.Adoption.ALL,
        force_conflicts=True,
        recreate=True,
        guards=guards.GuardSettings(
            allow_empty=True, allow_many=True, allow_crd_prune=True, allow_data=True
        ),
    )


def _unfinished(course: courses.Course) -> list[str]:
    """Say what of the scene could not be set."""
    return [
        f"the plan does not begin quite there: {outcome.obstacle.told_of(outcome.ref)}"
        for outcome in course.done
        if outcome.obstacle is not None
    ]
