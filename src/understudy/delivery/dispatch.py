"""The dispatcher: makes a cluster hold the objects of one revision.

    resolve -> read what is there -> judge ownership -> record old and wanted
    -> batch by batch: apply, record uids, wait -> collect what is no longer wanted -> record what
    is left

The same code runs for a rehearsal (`thorough`, on a stage) and for real. For real, the first batch
with a refusal ends the delivery, with every refusal of that batch; in a rehearsal everything that
does not depend on the refused goes on, so that all that would be refused is known at once.

`end_and_gc` and `start_and_skip_gc` are KubeVela's: the second delivers beside the objects of the
tracker's earlier revision (a rollout under way), the first collects them afterwards. With one
tracker for an application, "previous" is what its entries say of the revision that wanted them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from understudy.aio import clocks
from understudy.client import protocol
from understudy.delivery import (
    adoption as adoptions,
    calling,
    collect,
    crds,
    errors,
    estimates,
    fields,
    guards,
    hookruns,
    hooks,
    ignoring,
    instances,
    manifests,
    marks,
    masking,
    obstacles,
    ordering,
    outcomes,
    reasons,
    refs,
    revisions,
    rivals,
    targets,
    trackers,
    waiting,
)
from understudy.kube import health, objects, statuses


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchSettings:
    """How a delivery goes about it.

    Attributes:
        force_conflicts: Take over fields that other managers own.
        recreate: Objects may be deleted and created where a field cannot be changed.
        rehearsed: Objects whose re-creation a rehearsal has shown to succeed; None in a
            rehearsal, where everything may be tried.
        cascading: Objects with which others go, as a rehearsal has shown: they go after those.
        parallel: Requests at once; 1 in a rehearsal, so that the same input gives the same result.
        thorough: Go on after refusals with what does not depend on them.
        wait: Wait for health between waves and at the end (prerequisites are always waited for).
        field_validation: `Strict` refuses misspelt fields, as kubectl does.
        hooks: Run hooks.
        ignored: Fields that others may change.
    """

    adoption: adoptions.Adoption = adoptions.Adoption.MUST_MATCH
    force_conflicts: bool = False
    recreate: bool = False
    rehearsed: frozenset[refs.Ref] | None = frozenset()
    cascading: frozenset[refs.Ref] = frozenset()
    parallel: int = 8
    thorough: bool = False
    wait: bool = True
    field_validation: str = "Strict"
    hooks: bool = True
    ignored: tuple[ignoring.Rule, ...] = ()
    guards: guards.GuardSettings = field(default_factory=guards.GuardSettings)


@dataclass(slots=True)
class _Run:
    """One dispatch under way.

    Attributes:
        deferred: Jobs that nothing waits for before the end.
    """

    targets: dict[refs.Ref, targets.Target]
    live: dict[refs.Ref, objects.Object]
    order: ordering.Order
    tracker: trackers.Tracker
    hooks: hookruns.HookRuns
    deferred: list[refs.Ref] = field(default_factory=list)
    done: int = 0
    step: int = 0
    blocked: dict[refs.Ref, refs.Ref] = field(default_factory=dict)


class Dispatcher:
    """Delivers one revision of one application.

    Attributes:
        outcomes: What happened to each object, in the order in which it did.
        complaints: What guards say about the collection as a whole, one sentence each.
        tracker: The tracker as last written.
        waits: How long objects took to become healthy.
    """

    def __init__(
        self,
        client: protocol.Client,
        revision: revisions.Revision,
        *,
        clock: clocks.Clock | None = None,
        waiter: waiting.Waiter | None = None,
        settings: DispatchSettings | None = None,
        tell: outcomes.Tell = outcomes.silence,
        store: trackers.TrackerStore | None = None,
        mask: masking.Mask | None = None,
        occasion: hooks.Occasion = hooks.Occasion.UPGRADE,
    ) -> None:
        self.outcomes: list[outcomes.Outcome] = []
        self.complaints: list[str] = []
        self.tracker: trackers.Tracker | None = None
        self._client = client
        self._revision = revision
        self._owner = revision.owner
        self._clock = clock or clocks.SystemClock()
        self._settings = settings or DispatchSettings()
        self._claims = adoptions.Claims(self._owner, self._settings.adoption)
        self._waiter = waiter or waiting.LiveWaiter(client, self._clock)
        self._tell = tell
        self._mask = mask or masking.Mask()
        self.waits = estimates.Waits(self._clock)
        self._store = store or trackers.TrackerStore(client)
        self._occasion = occasion if self._settings.hooks else hooks.Occasion.NONE
        self._completes = occasion.is_delivery or occasion is hooks.Occasion.NONE
        self._defined: set[tuple[str, str]] = set()
        self._previous: trackers.Tracker | None = None
        self._skips_gc = False

    def end_and_gc(self, tracker: trackers.Tracker | None) -> Dispatcher:
        """Collect, after the next dispatch, what `tracker` has and the revision does not want.

        None changes nothing.
        """
        if tracker is not None:
            self._previous, self._skips_gc = self._checked(tracker), False
        return self

    def start_and_skip_gc(self, tracker: trackers.Tracker | None) -> Dispatcher:
        """Deliver beside what `tracker` has, and collect nothing. None changes nothing."""
        if tracker is not None:
            self._previous, self._skips_gc = self._checked(tracker), True
        return self

    def _checked(self, tracker: trackers.Tracker) -> trackers.Tracker:
        if tracker.owner != self._owner:
            raise errors.DeliveryError(
                f"the tracker {tracker.name} is of the application {tracker.owner}, not of "
                f"{self._owner}: two trackers must come from one application"
            )
        return tracker

    async def dispatch(self, given: Sequence[manifests.Manifest]) -> trackers.Tracker:
        """Deliver manifests and return the tracker as it then is.

        Called again with the same revision it adds to what that revision wants.

        Raises:
            ManifestError: The input is wrong; nothing was written.
            BlockedError: Objects belong to somebody else; nothing was written.
            RefusedError: The server refused; what was done is recorded.
            UnhealthyError: Something is not healthy, or not in time.
            FencedError: Somebody else took over.
        """
        targets.check_owner(self._owner)
        served = await self._client.discover()
        wanted = targets.resolve(given, served, self._owner)
        run = await self._prepare(wanted, served)
        if wanted:
            run.tracker = await self._save(run.tracker)
            for number, batch in enumerate(run.order.batches, 1):
                if any(run.hooks.is_after(run.targets[ref].obj) for ref in batch.items):
                    await self._await_deferred(run)
                await self._dispatch_batch(run, batch)
                await self._part(run, run.order.batches[number:])
            await self._await_deferred(run)
        if self._previous is not None and not self._skips_gc:
            await self._collect(run, self._previous)
        if run.tracker.phase is not trackers.Phase.DONE and self._completes:
            run.tracker = await self._save(run.tracker.done())
        self.tracker = run.tracker
        return run.tracker

    # ------------------------------------------------------------------ before the first write

    async def _prepare(self, wanted: Sequence[targets.Target], served: protocol.Discovery) -> _Run:
        by_ref = {target.ref: target for target in wanted}
        runs = hookruns.HookRuns(self._occasion, self._revision.name)
        order = ordering.arrange(
            {ref: target.obj for ref, target in by_ref.items()}, rank_of=runs.rank_of
        )
        live = await calling.read(
            self._client,
            ((target.ref, targets.readable(target, served)) for target in wanted),
            limit=self._settings.parallel,
            clock=self._clock,
        )
        tracker = await self._store.load(self._owner)
        run = _Run(by_ref, live, order, tracker, runs)
        rival = await rivals.of(self._client, self._owner) if self._settings.thorough else {}
        foreign: list[str] = []
        claimed: list[targets.Target] = []
        for target in wanted:
            known = run.live.get(target.ref), tracker.entries.get(target.ref)
            runs.sort_out(target, *known, self._clock.now())
            if target.ref in runs.idle:
                if known[1] is not None:
                    claimed.append(target)
                continue
            obstacle = self._claims.obstacle(target, *known)
            if target.ref in rival and self._claims.may_not_take(target, *known):
                obstacle = obstacle or rivals.obstacle(rival[target.ref])
            if obstacle is not None:
                foreign.append(obstacle.told_of(target.ref))
                self._block(run, target, obstacle)
            elif not self._claims.left_alone(target, *known):
                claimed.append(target)
        if foreign and not self._settings.thorough:
            raise errors.BlockedError(foreign)
        run.tracker = tracker.claimed(claimed, self._revision.name, runs.due.keys() | runs.passing)
        return run

    def _block(self, run: _Run, target: targets.Target, obstacle: outcomes.Obstacle) -> None:
        live = run.live.get(target.ref)
        obstacle = replace(obstacle, source=str(target.source))
        run.blocked[target.ref] = obstacle.blocked_by or target.ref
        self.outcomes.append(
            outcomes.Outcome(
                ref=target.ref,
                op=outcomes.Op.BLOCKED,
                api_version=target.api_version,
                before=live,
                after=live,
                obstacle=obstacle,
            )
        )
        self._tell(
            outcomes.News(
                type="failed", op="blocked", ref=target.ref, message=obstacle.told_of(target.ref)
            )
        )

    # ------------------------------------------------------------------ one batch

    async def _dispatch_batch(self, run: _Run, batch: ordering.Batch) -> None:
        run.step += 1
        due = [run.targets[ref] for ref in batch.items if ref not in run.blocked]
        if not due:
            return
        await self._renew_entries(run, due)
        self._tell(
            outcomes.News(
                type="phase",
                message=f"applying {outcomes.number(len(due), 'object')}",
                done=run.done,
                total=len(run.targets),
            )
        )

        async def apply(target: targets.Target) -> outcomes.Outcome:
            return await self._apply(run, target)

        refused: dict[refs.Ref, calling.Failure] = {}
        for target, answer in await calling.each(due, self._settings.parallel, apply):
            if isinstance(answer, calling.Failed):
                refused[target.ref] = answer.error
            else:
                self._note(run, replace(answer.value, wave=batch.wave))
        await self._recreate_some(run, batch, refused)
        run.tracker = await self._save(
            run.tracker.learnt(outcomes.uids(self.outcomes, {target.ref for target in due}))
        )
        await self._refuse(run, refused)
        await self._wait(run, [target for target in due if target.ref not in run.blocked])

    async def _renew_entries(self, run: _Run, due: Iterable[targets.Target]) -> None:
        """Forget uids of recorded objects that are no longer there, before making new ones.

        Otherwise a crash after the creation would leave a record of the old uid, and the new
        object would look like somebody else's.
        """
        tracker = run.tracker
        for target in due:
            entry, live = tracker.entries.get(target.ref), run.live.get(target.ref)
            if target.ref in run.hooks.idle:
                continue  # It is not made again: that it has run is all there is to know.
            replaced = live is None or run.hooks.is_made_anew(target.ref)
            if (
                entry is not None
                and entry.uid
                and (replaced or objects.uid_of(live or {}) != entry.uid)
            ):
                tracker = tracker.renewing(target.ref)
        run.tracker = await self._save(tracker)

    def _note(self, run: _Run, outcome: outcomes.Outcome) -> None:
        self.outcomes.append(replace(outcome, step=run.step))
        if outcome.op.is_change and outcome.after is not None:
            self._defined |= crds.defined_by(outcome.after)
        if not self._is_waited_for(run, run.targets[outcome.ref]):
            run.done += 1
        self._tell(
            outcomes.News(
                type="done",
                op=str(outcome.op),
                ref=outcome.ref,
                uid=objects.uid_of(outcome.after or outcome.before or {}),
                message=outcome.note,
                done=run.done,
                total=len(run.targets),
            )
        )

    async def _refuse(self, run: _Run, refused: Mapping[refs.Ref, calling.Failure]) -> None:
        """Block what was refused and all that depends on it; end the delivery if it is for real."""
        if not refused:
            return
        told: list[str] = []
        for ref, error in refused.items():
            obstacle = obstacles.from_error(
                error,
                ref,
                live=run.live.get(ref),
                wanted=run.targets[ref].obj,
                mask=self._mask,
            )
            told.append(obstacle.told_of(ref))
            self._block(run, run.targets[ref], obstacle)
        if not self._settings.thorough:
            raise errors.RefusedError(told)
        waiting_for = run.order.graph.dependents(refused)
        for hook in refused.keys() & run.hooks.due.keys():
            ahead = {outcome.ref for outcome in self.outcomes}
            waiting_for |= dict.fromkeys(sorted(run.targets.keys() - ahead), hook)
        for ref, cause in waiting_for.items():
            if ref not in run.blocked:
                obstacle = outcomes.Obstacle(message="", blocked_by=cause)
                self._block(run, run.targets[ref], obstacle)

    # ------------------------------------------------------------------ one object

    async def _apply(self, run: _Run, target: targets.Target) -> outcomes.Outcome:
        """Apply one object as it is wanted.

        Raises:
            ApiError, TransportError: As the server refuses.
        """
        live = run.live.get(target.ref)
        outcome = outcomes.Outcome(
            ref=target.ref, op=outcomes.Op.UNCHANGED, api_version=target.api_version,
            before=live, after=live,
        )  # fmt: skip
        entry = run.tracker.entries.get(target.ref)
        if note := run.hooks.idle.get(target.ref):
            ran = target.ref in run.hooks.ran
            op = outcomes.Op.UNCHANGED if ran else outcomes.Op.IGNORE
            return replace(outcome, op=op, note=note)
        if note := self._claims.left_alone(target, live, entry):
            return replace(outcome, op=outcomes.Op.IGNORE, note=f"annotation {note}")
        if live is not None and objects.metadata(live).get("deletionTimestamp"):
            await self._await_gone(target, live)
            live = None
            outcome = replace(outcome, note="was being deleted")
        if target.ref in run.hooks.due:
            return await self._start(run, target, live, outcome)
        if live is None:
            after = await self._send(target, None)
            return replace(outcome, op=outcomes.Op.CREATE, after=after)
        if note := marks.is_created_once(target.obj):
            return replace(outcome, note=f"annotation {note}")
        adopted = not self._claims.is_ours(live, entry)
        wanted = self._wanted(target, live)
        if not adopted and fields.is_settled(wanted, live, self._owner.manager):
            return outcome
        if self._policy(target) is marks.Recreate.ALWAYS:
            return await self._replaced_if_changed(target, live, outcome)
        if adopted:
            await adoptions.migrate(self._client, self._owner, target, live, self._clock)
        after = await self._send(target, live)
        if adopted:
            note = guards.whose(live).removeprefix("it ")
            return replace(outcome, op=outcomes.Op.ADOPT, after=after, note=note)
        same = _version(after) == _version(live)
        return replace(
            outcome, op=outcomes.Op.UNCHANGED if same else outcomes.Op.CHANGE, after=after
        )

    async def _send(
        self, target: targets.Target, live: objects.Object | None, *, dry_run: bool = False
    ) -> objects.Object:
        wanted = self._wanted(target, live)
        if live is not None:
            # Whoever made it anew since it was read owns what is there now: it is not touched.
            wanted["metadata"]["uid"] = objects.uid_of(live)
        return await calling.patiently(
            lambda: self._client.apply(
                target.resource.name,
                wanted,
                field_manager=self._owner.manager,
                namespace=target.ref.namespace,
                force=self._settings.force_conflicts,
                field_validation=self._settings.field_validation,
                dry_run=dry_run,
            ),
            self._clock,
            settling=self._is_settling(target),
        )

    def _is_settling(self, target: targets.Target) -> bool:
        """Whether this delivery defined the kind; a rehearsal's one server knows it at once."""
        kind = (target.ref.group, target.ref.kind)
        return kind in self._defined and not self._settings.thorough

    def _wanted(self, target: targets.Target, live: objects.Object | None) -> objects.Object:
        """Return what is to be applied, private to the caller."""
        wanted = self._owner.marked(target.obj)
        if live is not None and self._settings.ignored:
            wanted = objects.copy(wanted)
            ignoring.keep(wanted, live, self._settings.ignored, self._owner.manager)
        return wanted

    # ------------------------------------------------------------------ hooks

    async def _start(
        self,
        run: _Run,
        target: targets.Target,
        live: objects.Object | None,
        outcome: outcomes.Outcome,
    ) -> outcomes.Outcome:
        """Create a hook anew, unless a delivery that died has done so for this revision."""
        outcome = replace(outcome, op=outcomes.Op.RUN, note=run.hooks.when(target))
        if target.ref in run.hooks.going:
            return replace(outcome, note="a hook: was started before")
        if live is not None:
            await self._remove(target, live)
        return replace(outcome, after=await self._send(target, None))

    async def _finish(self, run: _Run, verdicts: Mapping[refs.Ref, health.Health]) -> None:
        """Record the hooks that have succeeded, and delete those that are to go."""
        run.tracker = await self._save(run.hooks.ended(verdicts, run.tracker))
        live = outcomes.latest(self.outcomes, verdicts)
        for ref in run.hooks.doomed(verdicts):
            if ref in live:
                await self._remove(run.targets[ref], live[ref])

    async def _part(self, run: _Run, rest: Sequence[ordering.Batch]) -> None:
        """Delete the hooks that have succeeded and that nothing of the rest is to find there."""
        to_come = (run.targets[ref].obj for batch in rest for ref in batch.items)
        for ref in run.hooks.parted(to_come):
            live = outcomes.latest(self.outcomes, {ref}).get(ref)
            if live is not None:
                await self._remove(run.targets[ref], live)

    async def _remove(self, target: targets.Target, live: objects.Object) -> None:
        """Delete what another is to follow; its pods go first, or two sets would run at once."""
        policy = "Foreground" if reasons.owns_others(target.ref) else "Background"
        try:
            await collect.delete(
                self._client, target.ref, target.resource, live, self._clock, policy=policy
            )
        except statuses.NotFoundError:
            return
        await self._await_gone(target, live)

    # ------------------------------------------------------------------ delete and create

    def _policy(self, target: targets.Target) -> marks.Recreate:
        return marks.recreation(target.obj, wished=self._settings.recreate)

    async def _replaced_if_changed(
        self, target: targets.Target, live: objects.Object, outcome: outcomes.Outcome
    ) -> outcomes.Outcome:
        """Leave an object that always is created anew alone if nothing in it would change."""
        try:
            after = await self._send(target, live, dry_run=True)
        except statuses.InvalidError as error:
            if not obstacles.immutable_field(error):
                raise
        else:
            if fields.content(after) == fields.content(live):
                return outcome
        raise statuses.InvalidError(
            f"annotation {marks.RECREATE} wants a new object",
            details={"causes": [{"field": "metadata.annotations", "message": "immutable"}]},
        )

    async def _recreate_some(
        self, run: _Run, batch: ordering.Batch, refused: dict[refs.Ref, calling.Failure]
    ) -> None:
        """Delete and create those refused objects for which that is the way; one by one."""
        for ref, error in list(refused.items()):
            target, live = run.targets[ref], run.live.get(ref)
            if live is None or isinstance(error, statuses.BadRequestError):
                continue
            if self._policy(target) is marks.Recreate.NEVER:
                continue
            changed = await self._forcing_field(target, error)
            if not changed:
                continue
            rehearsed = self._settings.rehearsed
            if rehearsed is not None and ref not in rehearsed:
                continue  # Nobody has seen that the new object would be accepted.
            del refused[ref]
            note = f"{changed} forces replacement"
            try:
                after = await self._recreate(run, target, live)
            except statuses.ApiError as failure:
                refused[ref] = failure
                continue
            self._note(
                run,
                outcomes.Outcome(
                    ref=ref,
                    op=outcomes.Op.RECREATE,
                    api_version=target.api_version,
                    before=live,
                    after=after,
                    wave=batch.wave,
                    note=note,
                ),
            )

    async def _forcing_field(self, target: targets.Target, error: calling.Failure) -> str:
        """Return the field that only a new object could have otherwise; empty where none could."""
        if field_name := obstacles.immutable_field(error):
            return field_name
        if not isinstance(error, statuses.InvalidError) and not obstacles.is_denied_by_policy(
            error
        ):
            return ""
        wanted = self._owner.marked(target.obj)
        if not await instances.is_accepted_as_new(self._client, target.resource, wanted):
            return ""
        causes = error.causes if isinstance(error, statuses.ApiError) else []
        return str(causes[0].get("field") or "spec") if causes else "spec"

    async def _recreate(
        self, run: _Run, target: targets.Target, live: objects.Object
    ) -> objects.Object:
        run.tracker = await self._save(run.tracker.renewing(target.ref))
        await self._remove(target, live)
        return await self._send(target, None)

    async def _await_gone(self, target: targets.Target, live: objects.Object) -> None:
        remaining = await self._waiter.wait_gone([target], {objects.uid_of(live)}, self._tell)
        if target.ref in remaining:
            raise statuses.ConflictError(f"{obstacles.LINGERS}: {remaining[target.ref].message}")

    # ------------------------------------------------------------------ health

    async def _wait(self, run: _Run, due: Sequence[targets.Target]) -> None:
        """Wait for a batch, but for Jobs that nothing depends on; they may need what comes later.

        An admission webhook's certificate is put into its configuration by a Job, for one.
        """
        waited = [target for target in due if self._is_waited_for(run, target)]
        late = {
            target.ref
            for target in waited
            if marks.is_job(target.obj)
            and target.ref not in run.hooks.due
            and not run.order.graph.after[target.ref]
        }
        run.deferred += sorted(late)
        await self._await_health(run, [target for target in waited if target.ref not in late])
        await waiting.await_served(self._client, due, self._clock)

    async def _await_deferred(self, run: _Run) -> None:
        due, run.deferred = run.deferred, []
        await self._await_health(run, [run.targets[ref] for ref in due])

    async def _await_health(self, run: _Run, waited: Sequence[targets.Target]) -> None:
        """Wait for objects; for real, end the delivery if they do not become healthy."""
        known = outcomes.latest(self.outcomes, {target.ref for target in waited})
        verdicts = waiting.assess_all(known, waited, self._clock.now())
        pending = [target for target in waited if not verdicts[target.ref].is_settled]
        if pending:
            news = outcomes.News(
                type="phase", message=f"waiting for {outcomes.number(len(pending), 'object')}"
            )
            self._tell(replace(news, done=run.done, total=len(run.targets)))
            limit_s = run.hooks.limit_s(pending)
            tell = self.waits.begin(self._tell)
            verdicts |= await self._waiter.wait(pending, tell, limit_s)
        self.outcomes = [
            replace(outcome, health=verdicts[outcome.ref]) if outcome.ref in verdicts else outcome
            for outcome in self.outcomes
        ]
        unhealthy = {ref: v for ref, v in verdicts.items() if not v.is_settled}
        run.done += len(verdicts) - len(unhealthy)
        if unhealthy and not self._settings.thorough:
            told = await reasons.explain(
                self._client,
                {ref: run.targets[ref].resource for ref in unhealthy},
                unhealthy,
                self._clock,
            )
            await self._finish(run, verdicts)
            await self._part(run, ())
            raise errors.UnhealthyError(told)
        await self._finish(run, verdicts)

    def _is_waited_for(self, run: _Run, target: targets.Target) -> bool:
        if waiting.is_prerequisite(target.ref):
            return True
        if target.ref in run.hooks.idle:
            return False
        if target.ref in run.hooks.due:
            return not self._settings.thorough or self._waiter.waits_for_health
        wanted = self._settings.wait and self._waiter.waits_for_health
        return wanted and waiting.is_waited_for(target)

    # ------------------------------------------------------------------ after the last batch

    async def _collect(self, run: _Run, previous: trackers.Tracker) -> None:
        collector = collect.Collector(
            self._client,
            self._owner,
            clock=self._clock,
            waiter=self._waiter,
            settings=self._settings.guards,
            tell=self._tell,
            parallel=self._settings.parallel,
            thorough=self._settings.thorough,
        )
        collector.applied_now = {
            objects.uid_of(outcome.after)
            for outcome in self.outcomes
            if outcome.after is not None and outcome.op is not outcomes.Op.BLOCKED
        }
        collector.foreground = self._settings.cascading
        collected = await collector.collect(previous, run.tracker)
        self.outcomes += collected.outcomes
        run.tracker = collect.narrowed(run.tracker, collected)
        self.complaints += collected.complaints
        if self._settings.thorough:
            return
        if collected.failures or collected.complaints:
            run.tracker = await self._save(run.tracker)
        if collected.complaints:
            raise errors.BlockedError(collected.complaints)
        if collected.failures:
            raise errors.RefusedError(collected.failures)

    async def _save(self, tracker: trackers.Tracker) -> trackers.Tracker:
        return await self._store.save(tracker)


def _version(obj: objects.Object) -> str:
    return str(objects.metadata(obj).get("resourceVersion") or "")
