"""The face of the room: plan, deliver, roll back, delete, look at applications.

    deliver = rehearse -> refuse what is blocked -> ask -> verify the pins -> the same course, for
              real -> on failure and on request, the previous revision again

Nothing is written to the cluster before the rehearsal has shown that it will be accepted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from understudy.aio import clocks, ids
from understudy.client import protocol
from understudy.delivery import (
    applications,
    calling,
    courses,
    dispatch,
    errors,
    generating,
    hooks,
    leases,
    manifests,
    outcomes,
    pins,
    plans,
    reasons,
    refs,
    rehearsals,
    revisions,
    stage as stages,
    targets,
    trackers,
    waiting,
)
from understudy.kube import health, objects, statuses

Approve = Callable[[plans.Plan], Awaitable[bool]]
Given = tuple[targets.Owner, Sequence[manifests.Manifest]]
"""An application and its manifests."""


async def always(_plan: plans.Plan) -> bool:
    """Approve every plan."""
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What may be chosen for one delivery.

    Attributes:
        force_unlock: Take the lock from whoever holds it.
        rollback_on_failure: Deliver the previous revision again if this one fails.
        verify: Ask the server for a dry run of what was rehearsed, as a second opinion.
        chaos: Of a plan: let the delivery die after each of its writes, and see what the next run
            makes of it.
        ask_rights: Find out before whether whoever delivers may do it.
        approve: Asked with the plan before anything is written.
    """

    dispatch: dispatch.DispatchSettings = field(default_factory=dispatch.DispatchSettings)
    wait: waiting.WaitSettings = field(default_factory=waiting.WaitSettings)
    lease: leases.LeaseSettings = field(default_factory=leases.LeaseSettings)
    force_unlock: bool = False
    rollback_on_failure: bool = False
    verify: bool = False
    chaos: bool = False
    ask_rights: bool = True
    approve: Approve = always


DEFAULT = Options()


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """How a delivery ended.

    Attributes:
        approved: False where `approve` said no: nothing was written.
        changed: Whether anything was to be done at all.
    """

    plan: plans.Plan
    approved: bool = True
    changed: bool = True
    outcomes: tuple[outcomes.Outcome, ...] = ()


class Deliveries:
    """Delivers applications to one cluster.

    `make_stage` makes what plans are rehearsed on; `holder` is this process' name as the holder of
    a lock, `is_gone` tells whether another holder is known to have died.
    """

    def __init__(
        self,
        client: protocol.Client,
        make_stage: stages.MakeStage,
        *,
        clock: clocks.Clock | None = None,
        idents: ids.IdSource | None = None,
        holder: str = "understudy",
        is_gone: Callable[[str], bool] = lambda _holder: False,
        tell: outcomes.Tell = outcomes.silence,
    ) -> None:
        self.client = client
        self._clock = clock or clocks.SystemClock()
        self._ids = idents or ids.SystemIds()
        self._rehearsals = rehearsals.Rehearsals(client, make_stage, self._clock, self._ids)
        self._holder = holder
        self._is_gone = is_gone
        self._tell = tell

    # ------------------------------------------------------------------ rehearsing

    async def plan(
        self,
        owner: targets.Owner,
        given: Sequence[manifests.Manifest],
        options: Options = DEFAULT,
        *,
        after: Sequence[Given] = (),
    ) -> plans.Plan:
        """Rehearse the delivery of some manifests; nothing is written to the cluster.

        `after` are other applications that are taken to be delivered before.

        Raises:
            ManifestError: The input is wrong. BlockedError: It cannot even be rehearsed.
        """
        targets.check_owner(owner)
        others = [await self._read(other, theirs) for other, theirs in after]
        return await self._rehearse(await self._read(owner, given), options, begin_with=others)

    async def plan_together(
        self, given: Sequence[Given], options: Options = DEFAULT
    ) -> list[plans.Plan]:
        """Rehearse the deliveries of several applications, each after those before it.

        What two of them claim is blocked in the plan of the later one.

        Raises:
            ManifestError: The input is wrong. BlockedError: It cannot even be rehearsed.
        """
        return [
            await self.plan(owner, wanted, options, after=given[:position])
            for position, (owner, wanted) in enumerate(given)
        ]

    async def plan_way_back(
        self,
        owner: targets.Owner,
        given: Sequence[manifests.Manifest],
        options: Options = DEFAULT,
    ) -> plans.Plan:
        """Rehearse undoing the delivery of some manifests: going back to what is delivered now.

        Of a first delivery that is the deletion of the application.

        Raises:
            ManifestError: The input is wrong. BlockedError: It cannot even be rehearsed.
        """
        forward = await self._read(owner, given)
        history = await revisions.History(self.client, owner).read()
        latest = await history.latest()
        if latest is None:
            return await self._rehearse_removal(owner, options, begin_with=[forward])
        return await self._rehearse(
            _again(latest), options, rollback_of=latest.name, begin_with=[forward]
        )

    async def plan_rollback(
        self, owner: targets.Owner, revision: str = "", options: Options = DEFAULT
    ) -> plans.Plan:
        """Rehearse going back to a revision, by default the last delivered before this one.

        Raises:
            NoSuchRevisionError: There is none.
        """
        old = await self._revision(owner, revision)
        return await self._rehearse(_again(old), options, rollback_of=old.name)

    async def plan_between(
        self, owner: targets.Owner, start: str, end: str, options: Options = DEFAULT
    ) -> plans.Plan:
        """Rehearse going from one revision to another, whatever is delivered now.

        The first is delivered on the stage with every permission; the plan is of the second.

        Raises:
            NoSuchRevisionError: One of them does not exist.
        """
        first, second = await self._revision(owner, start), await self._revision(owner, end)
        made = await self._rehearse(_again(second), options, begin_with=[_again(first)])
        return dataclasses.replace(
            made, revision=second.name, previous=first.name, is_new=first.name != second.name
        )

    async def plan_removal(self, owner: targets.Owner, options: Options = DEFAULT) -> plans.Plan:
        """Rehearse the deletion of an application.

        Raises:
            NoSuchRevisionError: There is no such application.
        """
        return await self._rehearse_removal(owner, options)

    async def _rehearse_removal(
        self,
        owner: targets.Owner,
        options: Options,
        begin_with: Sequence[applications.Application] = (),
    ) -> plans.Plan:
        return await self._rehearsals.run(
            owner,
            (),
            options.dispatch,
            lambda means: courses.remove(owner, means),
            begin_with,
            verify=options.verify,
            dying=options.chaos,
            ask_rights=options.ask_rights,
        )

    async def _read(
        self, owner: targets.Owner, given: Sequence[manifests.Manifest]
    ) -> applications.Application:
        """Return the application in some manifests, its charts rendered for this cluster."""
        release = None
        if any(applications.is_document(manifest) for manifest in given):
            release = await generating.release_on(self.client, owner.application, owner.namespace)
        return applications.read(owner, given, release)

    async def _rehearse(
        self,
        application: applications.Application,
        options: Options,
        *,
        rollback_of: str = "",
        begin_with: Sequence[applications.Application] = (),
    ) -> plans.Plan:
        return await self._rehearsals.run(
            application.owner,
            application.manifests,
            options.dispatch,
            lambda means: courses.deliver(application, means, rollback_of=rollback_of),
            begin_with,
            verify=options.verify,
            dying=options.chaos,
            ask_rights=options.ask_rights,
        )

    # ------------------------------------------------------------------ for real

    async def deliver(
        self,
        owner: targets.Owner,
        given: Sequence[manifests.Manifest],
        options: Options = DEFAULT,
        *,
        saved: plans.SavedPlan | None = None,
    ) -> Delivery:
        """Rehearse, ask, and deliver.

        With `saved`, refuse unless cluster and manifests are still what that plan was made of.

        Raises:
            DeliveryError: Any of its kinds; `exit_code` tells them apart.
        """
        targets.check_owner(owner)
        application = await self._read(owner, given)
        plan = await self._rehearse(application, options)
        try:
            if saved is not None:
                _check_saved(saved, plan, owner)
            return await self._carry_out(application, plan, options, saved=saved)
        except errors.StalePlanError as error:
            for text in saved.differences(plan) if saved is not None else ():
                error.add_note(text)
            raise

    async def rollback(
        self, owner: targets.Owner, revision: str = "", options: Options = DEFAULT
    ) -> Delivery:
        """Deliver an old revision again, as a new one.

        Raises:
            NoSuchRevisionError: There is none. DeliveryError: As `deliver`.
        """
        old = await self._revision(owner, revision)
        application = _again(old)
        plan = await self._rehearse(application, options, rollback_of=old.name)
        return await self._carry_out(application, plan, options, rollback_of=old.name)

    async def remove(self, owner: targets.Owner, options: Options = DEFAULT) -> Delivery:
        """Delete an application: all it shipped, in reverse order, then its records.

        Raises:
            NoSuchRevisionError: There is no such application. DeliveryError: As `deliver`.
        """
        plan = await self.plan_removal(owner, options)
        _refuse_blocked(plan)
        if not await options.approve(plan):
            return Delivery(plan=plan, approved=False)
        means = self._means(owner, plan, options)
        done = await courses.remove(owner, means)
        return Delivery(plan=plan, outcomes=tuple(done.done))

    async def _carry_out(
        self,
        application: applications.Application,
        plan: plans.Plan,
        options: Options,
        *,
        saved: plans.SavedPlan | None = None,
        rollback_of: str = "",
    ) -> Delivery:
        _refuse_blocked(plan)
        if not plan.has_changes and not plan.is_new and await self._is_done(application.owner):
            await self._await_health(application, options)
            return Delivery(plan=plan, changed=False)
        if not await options.approve(plan):
            return Delivery(plan=plan, approved=False)
        means = self._means(application.owner, plan, options, saved)
        try:
            done = await courses.deliver(application, means, rollback_of=rollback_of)
        except (errors.UnhealthyError, errors.RefusedError) as error:
            if options.rollback_on_failure and plan.previous:
                await self._go_back(application.owner, plan.previous, options, error)
            raise
        return Delivery(plan=plan, outcomes=tuple(done.done))

    def _means(
        self,
        owner: targets.Owner,
        plan: plans.Plan,
        options: Options,
        saved: plans.SavedPlan | None = None,
    ) -> courses.Means:
        """Return the means of a delivery for real, bound to what was rehearsed."""
        settings = dataclasses.replace(
            options.dispatch, rehearsed=plan.recreations, cascading=plan.cascading
        )
        waiter = waiting.LiveWaiter(
            self.client, self._clock, options.wait, for_health=options.dispatch.wait
        )
        lock = leases.Lock(
            self.client,
            owner,
            self._holder,
            clock=self._clock,
            is_gone=self._is_gone,
            settings=options.lease,
        )

        told: set[refs.Ref] = set()

        async def verify(made: Collection[refs.Ref]) -> None:
            for source in (plan, saved):
                if source is not None:
                    pinned = {ref: pin for ref, pin in source.pins.items() if ref not in made}
                    elsewhere = await self._verify(pinned, plan.written, source.salt)
                    for ref in elsewhere:
                        if ref not in told:
                            self._tell(_drifted(ref))
                    told.update(elsewhere)

        return courses.Means(
            client=self.client,
            clock=self._clock,
            ids=self._ids,
            waiter=waiter,
            settings=settings,
            tell=self._tell,
            lock=lock,
            force_unlock=options.force_unlock,
            verify=verify,
        )

    async def _verify(
        self,
        pinned: Mapping[refs.Ref, pins.Pin],
        written: Mapping[refs.Ref, objects.Object],
        salt: str,
    ) -> list[refs.Ref]:
        """Make sure that the cluster is still what a plan was made for.

        Returns what changed where the plan does not touch it.

        Raises:
            StalePlanError: It is not.
        """
        served = await self.client.discover()
        resources: dict[tuple[str, str], protocol.ApiResource] = {}
        for resource in served.resources:
            resources.setdefault((resource.group, resource.kind), resource)
        wanted = [
            (ref, resources[ref.group, ref.kind])
            for ref in pinned
            if (ref.group, ref.kind) in resources
        ]
        live = await calling.read(self.client, wanted, limit=8, clock=self._clock)
        changed = pins.changes(pinned, live, written, salt)
        if changed.stale:
            raise errors.StalePlanError(changed.stale)
        return changed.elsewhere

    async def _is_done(self, owner: targets.Owner) -> bool:
        """Whether the last delivery came to its end."""
        tracker = await trackers.TrackerStore(self.client).load(owner)
        history = await revisions.History(self.client, owner).read()
        latest = history.records[-1] if history.records else {}
        phase = objects.lookup(latest, ("status", "phase"))
        return tracker.phase is trackers.Phase.DONE and phase == revisions.Phase.DELIVERED

    async def _await_health(self, application: applications.Application, options: Options) -> None:
        """Wait for the health of what is there already.

        Raises:
            UnhealthyError: It is not healthy, or not in time.
        """
        if not options.dispatch.wait:
            return
        served = await self.client.discover()
        wanted = targets.resolve(application.manifests, served, application.owner)
        waited = [
            target
            for target in wanted
            if waiting.is_waited_for(target) and hooks.of(target.obj) is None
        ]
        waiter = waiting.LiveWaiter(self.client, self._clock, options.wait)
        told: set[refs.Ref | None] = set()

        def tell(news: outcomes.News) -> None:
            """Tell nothing of what is healthy from the start."""
            if news.type != "healthy" or news.ref in told:
                told.add(news.ref)
                self._tell(news)

        verdicts = await waiter.wait(waited, tell) if waited else {}
        wrong = [f"{ref}: {verdict}" for ref, verdict in verdicts.items() if not verdict.is_settled]
        if wrong:
            raise errors.UnhealthyError(wrong)

    async def _go_back(
        self,
        owner: targets.Owner,
        revision: str,
        options: Options,
        cause: errors.UnhealthyError | errors.RefusedError,
    ) -> None:
        """Deliver the previous revision again after a failure, and say so.

        Raises:
            RolledBackError: It is back; the cause is kept.
        """
        self._tell(outcomes.News(type="phase", message=f"rolling back to {revision}"))
        back = dataclasses.replace(options, rollback_on_failure=False, approve=always)
        await self.rollback(owner, revision, back)
        raise errors.RolledBackError(
            [*str(cause).splitlines(), f"{owner} is back at what {revision} was"]
        ) from cause

    # ------------------------------------------------------------------ looking

    async def history(self, owner: targets.Owner) -> list[objects.Object]:
        """Return the records of an application's revisions, oldest first.

        Raises:
            NoSuchRevisionError: There is no such application.
        """
        found = await revisions.History(self.client, owner).read()
        if not found.records:
            raise errors.NoSuchRevisionError(f"there is no application {owner}")
        return found.records

    async def applications(self, namespace: str = "") -> list[objects.Object]:
        """Return the records of the applications of a namespace (`""`: of all)."""
        return await applications.list_all(self.client, namespace)

    async def drift(self, owner: targets.Owner, options: Options = DEFAULT) -> plans.Plan:
        """Rehearse the delivery of the newest revision again: what differs has drifted.

        Raises:
            NoSuchRevisionError: There is no such application.
        """
        return await self._rehearse(_again(await self._latest(owner)), _forcing(options))

    async def correct(self, owner: targets.Owner, options: Options = DEFAULT) -> Delivery:
        """Deliver the newest revision again, taking back what others changed; no new revision.

        Raises:
            NoSuchRevisionError: There is no such application. DeliveryError: As `deliver`.
        """
        application, forcing = _again(await self._latest(owner)), _forcing(options)
        plan = await self._rehearse(application, forcing)
        return await self._carry_out(application, plan, forcing)

    async def _latest(self, owner: targets.Owner) -> revisions.Revision:
        history = await revisions.History(self.client, owner).read()
        latest = await history.latest()
        if latest is None:
            raise errors.NoSuchRevisionError(f"there is no application {owner}")
        return latest

    async def status(self, owner: targets.Owner) -> list[Condition]:
        """Return the objects of an application and their health, in the order of delivery.

        Raises:
            NoSuchRevisionError: There is no such application.
        """
        tracker = await trackers.TrackerStore(self.client).load(owner)
        if not tracker.resource_version:
            raise errors.NoSuchRevisionError(f"there is no application {owner}")
        served = await self.client.discover()
        known = {
            ref: resource
            for ref, entry in tracker.entries.items()
            if (resource := served.by_kind(entry.api_version, ref.kind)) is not None
        }
        live = await calling.read(self.client, known.items(), limit=8, clock=self._clock)
        now, late = self._clock.now(), await self._late_classes(live)
        found = []
        for ref, entry in tracker.entries.items():
            obj, resource = live.get(ref), known.get(ref)
            verdict = health.NOT_FOUND
            if obj is None and entry.state is trackers.State.RAN:
                verdict = health.Health(health.State.CURRENT, "", "has run")
            if obj is not None and resource is not None:
                reports = "status" in resource.subresources
                waits = objects.lookup(obj, ("spec", "storageClassName")) in late
                facts = health.Facts(now=now, reports_status=reports, waits_for_consumer=waits)
                verdict = health.assess(obj, facts)
            found.append(Condition(entry=entry, obj=obj, health=verdict))
        unready = {
            c.entry.ref: c.obj for c in found if c.obj is not None and not c.health.is_settled
        }
        present = {c.entry.ref: c.obj for c in found if c.obj is not None}
        below = await reasons.read(self.client, present, unready, self._clock)
        nothing = reasons.Below()
        return [
            dataclasses.replace(
                c,
                health=reasons.despite(c.health, c.entry.ref, known),
                reasons=known.reasons,
                children=known.children,
            )
            for c in found
            for known in (below.get(c.entry.ref, nothing),)
        ]

    async def _late_classes(self, live: Collection[refs.Ref]) -> set[str]:
        """Return the storage classes that bind a claim when a pod uses it, if there are claims."""
        if not any(ref.kind == "PersistentVolumeClaim" for ref in live):
            return set()
        try:
            listing = await self.client.list("storageclasses.storage.k8s.io")
        except statuses.ApiError:
            return set()  # Not allowed to look: the claim's own words must do.
        return {
            objects.name_of(obj)
            for obj in listing.items
            if obj.get("volumeBindingMode") == "WaitForFirstConsumer"
        }

    async def _revision(self, owner: targets.Owner, name: str) -> revisions.Revision:
        targets.check_owner(owner)
        history = await revisions.History(self.client, owner).read()
        if not history.records:
            raise errors.NoSuchRevisionError(f"there is no application {owner}")
        return await (history.find(name) if name else history.before())


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One object of an application as it is now.

    Attributes:
        reasons: The words of its pods and of events, where it is not healthy.
        children: What controllers made for it: ReplicaSets, Pods, Jobs.
    """

    entry: trackers.Entry
    obj: objects.Object | None
    health: health.Health
    children: tuple[reasons.Child, ...] = ()
    reasons: tuple[str, ...] = ()


def _again(revision: revisions.Revision) -> applications.Application:
    """Return the application as a revision recorded it."""
    source = f"revision {revision.name}"
    return applications.Application(
        revision.owner,
        tuple(
            manifests.Manifest(obj, manifests.Source(source, position + 1))
            for position, obj in enumerate(revision.objects)
        ),
    )


def _forcing(options: Options) -> Options:
    """Return options for drift: a field that somebody took over has drifted too, no conflict."""
    forcing = dataclasses.replace(options.dispatch, force_conflicts=True, hooks=False)
    return dataclasses.replace(options, dispatch=forcing, ask_rights=False)


def _drifted(ref: refs.Ref) -> outcomes.News:
    text = "not in a field that the plan touches: it is delivered as planned"
    return outcomes.News(type="note", op="drifted elsewhere", ref=ref, message=text)


def _refuse_blocked(plan: plans.Plan) -> None:
    if plan.blocked:
        error = errors.BlockedError([str(blocked) for blocked in plan.blocked])
        for blocked in plan.blocked:
            if blocked.source and blocked.obstacle.blocked_by is None:
                error.add_note(f"{blocked.ref} stands in {blocked.source}")
        raise error
    if plan.forbidden:
        raise errors.BlockedError(plan.forbidden)


def _check_saved(
    saved: plans.SavedPlan,
    plan: plans.Plan,
    owner: targets.Owner,
) -> None:
    """Refuse a plan that was made of something else.

    Raises:
        StalePlanError: Other manifests, another application, or other operations now.
    """
    if saved.owner != owner:
        raise errors.StalePlanError([f"it is a plan for {saved.owner}, not for {owner}"])
    content = revisions.digest_of(list(plan.wanted.values()), saved.salt)
    if content != saved.content:
        raise errors.StalePlanError(["the manifests are not those it was made of"])
    now = frozenset((str(o.op), o.ref) for o in plan.operations)
    if now != saved.operations:
        differing = sorted(now ^ saved.operations)
        told = [f"{op} {ref} is {'new' if (op, ref) in now else 'gone'}" for op, ref in differing]
        raise errors.StalePlanError(told)
