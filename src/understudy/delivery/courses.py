"""The course of a delivery and of a removal: every step from the lock to the last record.

    delivery   verify the plan, install our definitions, make the namespace, take the lock,
               read tracker and history, write the revision, dispatch, mark, prune history
    removal    take the lock, run hooks, collect everything, run hooks, drop revisions,
               application, lease, tracker

One course runs on the stage, for the plan, and on the cluster, for real; only the waiter, the
lock and the thoroughness differ. It may stop after any write: every record is written before what
it records, and read back at the next run.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from understudy.aio import clocks, ids
from understudy.client import errors as client_errors, protocol
from understudy.delivery import (
    applications,
    calling,
    collect,
    crds,
    dispatch,
    errors,
    fields,
    hooks,
    leases,
    manifests,
    marks,
    masking,
    names,
    outcomes,
    refs,
    revisions,
    targets,
    trackers,
    waiting,
)
from understudy.kube import objects, statuses

_SHOWN_MAX = 5
Verify = Callable[[Collection[refs.Ref]], Awaitable[None]]
"""Makes sure that the plan still holds, but for objects that this course has made itself."""


@dataclass(slots=True, kw_only=True)
class Course:
    """What a course of a delivery found and did.

    Attributes:
        done: What happened to the application's objects, in order.
        installed: Of our own definitions.
        complaints: Of guards, about the whole.
        is_new: The revision is new.
    """

    done: list[outcomes.Outcome] = field(default_factory=list)
    installed: list[outcomes.Outcome] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    wanted: Mapping[refs.Ref, objects.Object] = field(default_factory=dict)
    revision: revisions.Revision | None = None
    previous: revisions.Revision | None = None
    is_new: bool = False


@dataclass(slots=True, kw_only=True)
class Means:
    """With what a course works.

    Attributes:
        lock: None on a stage, where nobody else is.
        verify: Called once the lock is held, before anything is written.
        mask: Numbers sensitive values alike wherever they are told of.
    """

    client: protocol.Client
    clock: clocks.Clock
    ids: ids.IdSource
    waiter: waiting.Waiter
    settings: dispatch.DispatchSettings
    tell: outcomes.Tell = outcomes.silence
    lock: leases.Lock | None = None
    force_unlock: bool = False
    verify: Verify | None = None
    mask: masking.Mask = field(default_factory=masking.Mask)

    @property
    def recorder(self) -> protocol.Client:
        """For records, which nobody else writes."""
        return calling.SureClient(self.client, self.clock)

    async def acquire(self, lock: leases.Lock) -> None:
        """Take the lock; tell whom it was taken from, if anybody held it.

        Raises:
            LockHeldError: Somebody else holds it.
        """
        await lock.acquire(force=self.force_unlock)
        if lock.taken_from:
            text = f"took the lock over from {lock.taken_from}"
            self.tell(outcomes.News(type="phase", message=text))

    def fenced(self) -> Means:
        """Return means that write only while the lock is held, which must have been taken."""
        if self.lock is None:
            return self
        return dataclasses.replace(self, client=leases.FencedClient(self.client, self.lock))


async def deliver(
    application: applications.Application, means: Means, *, rollback_of: str = ""
) -> Course:
    """Deliver an application; see the module.

    Raises:
        DeliveryError: Any of its kinds. ApiError, TransportError: a record could not be written.
    """
    owner = application.owner
    course = Course()
    served = await means.client.discover()
    wanted = targets.resolve(application.manifests, served, owner)
    course.wanted = {target.ref: target.obj for target in wanted}
    tracker = await trackers.TrackerStore(means.client).load(owner)
    if not wanted and tracker.entries and not means.settings.guards.allow_empty:
        raise errors.BlockedError(
            [f"the manifests hold no object, and {len(tracker.entries)} objects of {owner} would "
             "be deleted: give --allow-empty if that is meant"]
        )  # fmt: skip
    least = _greatest(tracker) + 1
    missing = await _missing_namespace(means, owner, wanted)
    if means.verify is not None:
        await means.verify(())
    course.installed = await _install(means)
    async with contextlib.AsyncExitStack() as stack:
        if missing is not None:
            course.done += await _make_namespace(means, application, missing, tracker)
        if means.lock is not None:
            await means.acquire(means.lock)
            stack.push_async_callback(means.lock.release)
        means = means.fenced()
        store = trackers.TrackerStore(means.recorder)
        tracker = await store.load(owner)
        if means.lock is not None and means.lock.was_taken_over and tracker.resource_version:
            tracker = await store.save(dataclasses.replace(tracker, fence=tracker.fence + 1))
        if means.lock is not None and means.verify is not None:
            await means.verify({outcome.ref for outcome in course.done})
        if missing is None:
            least = _greatest(tracker) + 1
        await _run(course, application, means, store, tracker, rollback_of, least)
    return course


async def _run(
    course: Course,
    application: applications.Application,
    means: Means,
    store: trackers.TrackerStore,
    tracker: trackers.Tracker,
    rollback_of: str,
    least: int,
) -> None:
    """Write the revision, dispatch it and mark what became of it."""
    owner = application.owner
    history = await revisions.History(means.recorder, owner).read()
    course.previous = await _latest(history)
    given = list(course.wanted.values())
    revision, course.is_new = await history.make(given, means.ids, rollback_of=rollback_of)
    number = max(revision.number, least) if course.is_new else revision.number
    revision = dataclasses.replace(revision, number=number)
    course.revision = revision
    if course.is_new:
        await history.write(revision)
    records = applications.Records(means.recorder, owner, means.clock)
    await records.begin(revision)
    occasion = _occasion(history, revision, is_new=course.is_new)
    dispatcher = _dispatcher(means, store, revision, occasion).end_and_gc(tracker)
    made = {outcome.ref for outcome in course.done}
    try:
        tracker = await dispatcher.dispatch(application.manifests)
    except errors.FencedError:
        raise
    except errors.DeliveryError as error:
        await history.mark(revision, revisions.Phase.FAILED, means.clock, _short(error))
        await records.mark(revision.name, "Failed", _short(error), len(course.wanted))
        error.add_note(_standing(course.wanted, dispatcher.outcomes, owner))
        if not isinstance(error, errors.BlockedError):
            await _after_failure(means, store, revision)
        raise
    finally:
        course.done += (o for o in dispatcher.outcomes if o.ref not in made)
        course.complaints += dispatcher.complaints
    # The revision last: until it says so, the next run goes on with this one.
    await records.mark(revision.name, "Delivered", "", len(tracker.entries))
    waits = dispatcher.waits.as_list()
    await history.mark(revision, revisions.Phase.DELIVERED, means.clock, waits=waits)
    in_use = {entry.revision for entry in tracker.entries.values()} | {revision.name}
    await history.prune(application.history_limit, in_use)


def _standing(
    wanted: Collection[refs.Ref], done: Sequence[outcomes.Outcome], owner: targets.Owner
) -> str:
    """Say how far a delivery came that failed, and what can be done now."""
    unhealthy = (o.ref for o in done if o.health is not None and not o.health.is_settled)
    applied = {o.ref for o in done if o.op is not outcomes.Op.BLOCKED} & set(wanted)
    left = [str(ref) for ref in sorted({*(set(wanted) - applied), *unhealthy} & set(wanted))]
    shown = ", ".join(left[:_SHOWN_MAX]) + (
        f" and {len(left) - _SHOWN_MAX} more" * (len(left) > _SHOWN_MAX)
    )
    told = f"{len(applied)} of {len(wanted)} objects are applied"
    told += f"; not yet as wanted: {shown}" if left else ""
    return f"{told}\nrun it again to go on, or go back: understudy rollback {owner.application}"


def _occasion(
    history: revisions.History, revision: revisions.Revision, *, is_new: bool
) -> hooks.Occasion:
    """Return for what a revision is delivered."""
    if not is_new and revision.phase is revisions.Phase.DELIVERED:
        return hooks.Occasion.NONE
    if revision.rollback_of:
        return hooks.Occasion.ROLLBACK
    phases = [objects.lookup(record, ("status", "phase")) for record in history.records]
    delivered = revisions.Phase.DELIVERED in phases
    return hooks.Occasion.UPGRADE if delivered else hooks.Occasion.INSTALL


async def _latest(history: revisions.History) -> revisions.Revision | None:
    try:
        return await history.latest()
    except errors.NoSuchRevisionError:
        return None


def _greatest(tracker: trackers.Tracker) -> int:
    """Return the greatest revision number that a tracker mentions.

    Revisions deleted by hand must not give their numbers to others: entries of the old `shop-v3`
    would look wanted by the new one. Where there is nothing but the application's own namespace,
    a delivery died before its first revision was written, and that is still the first.
    """
    own = refs.Ref("", "Namespace", "", tracker.owner.namespace)
    if not tracker.entries.keys() - {own}:
        return 0
    mentioned = {tracker.revision, *(entry.revision for entry in tracker.entries.values())}
    numbers = [0]
    for name in mentioned:
        with contextlib.suppress(ValueError):
            numbers.append(names.revision_number(name))
    return max(numbers)


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 500 else f"{text[:497]}..."


# ---------------------------------------------------------------------- hooks beside deliveries


async def _after_failure(
    means: Means, store: trackers.TrackerStore, revision: revisions.Revision
) -> None:
    """Run the hooks of failures; that one of them fails too changes nothing any more."""
    given = _hooks_of(revision, hooks.Occasion.FAILURE, hooks.Phase.AFTER)
    if not given or means.settings.thorough:
        return
    dispatcher = _dispatcher(means, store, revision, hooks.Occasion.FAILURE)
    try:
        await dispatcher.dispatch(given)
    except (errors.DeliveryError, statuses.ApiError, client_errors.TransportError) as error:
        text = f"a hook of failures failed itself: {_short(error)}"
        means.tell(outcomes.News(type="failed", message=text))


async def _run_hooks(
    course: Course, means: Means, store: trackers.TrackerStore, phase: hooks.Phase
) -> bool:
    """Run the hooks of a removal, as the newest revision has them; returns whether it has any.

    Raises:
        DeliveryError: One of them failed: the application stays.
    """
    if course.previous is None or not _has_hooks(course, phase):
        return False
    given = _hooks_of(course.previous, hooks.Occasion.DELETE, phase)
    dispatcher = _dispatcher(means, store, course.previous, hooks.Occasion.DELETE)
    try:
        await dispatcher.dispatch(given)
    finally:
        course.done += dispatcher.outcomes
    return True


def _has_hooks(course: Course, phase: hooks.Phase) -> bool:
    return course.previous is not None and bool(
        _hooks_of(course.previous, hooks.Occasion.DELETE, phase)
    )


def _hooks_of(
    revision: revisions.Revision, occasion: hooks.Occasion, phase: hooks.Phase
) -> list[manifests.Manifest]:
    source = manifests.Source(f"revision {revision.name}")
    return [
        manifests.Manifest(obj, source)
        for obj in revision.objects
        if (hook := hooks.of(obj)) is not None and hook.phases.get(occasion) is phase
    ]


def _dispatcher(
    means: Means,
    store: trackers.TrackerStore,
    revision: revisions.Revision,
    occasion: hooks.Occasion,
) -> dispatch.Dispatcher:
    return dispatch.Dispatcher(
        means.client,
        revision,
        clock=means.clock,
        waiter=means.waiter,
        settings=means.settings,
        tell=means.tell,
        store=store,
        mask=means.mask,
        occasion=occasion,
    )


# ---------------------------------------------------------------------- before the lock


async def _missing_namespace(
    means: Means, owner: targets.Owner, wanted: Sequence[targets.Target]
) -> targets.Target | None:
    """Return the application's namespace as a target if it must be made first, None if it is there.

    Raises:
        BlockedError: It is not there and not wanted.
    """
    try:
        await means.client.get("namespaces", owner.namespace)
    except statuses.NotFoundError:
        ref = refs.Ref("", "Namespace", "", owner.namespace)
        found = next((target for target in wanted if target.ref == ref), None)
        if found is None:
            raise errors.BlockedError(
                [f"the namespace {owner.namespace} does not exist: create it, add it to the "
                 "manifests, or choose another with -n"]
            ) from None  # fmt: skip
        return found
    return None


async def _make_namespace(
    means: Means,
    application: applications.Application,
    namespace: targets.Target,
    tracker: trackers.Tracker,
) -> list[outcomes.Outcome]:
    """Deliver the namespace in which the records will be, recorded like everything else."""
    first = revisions.Revision(
        owner=application.owner, number=_greatest(tracker) + 1, digest="", objects=()
    )
    store = trackers.TrackerStore(means.recorder)
    dispatcher = _dispatcher(means, store, first, hooks.Occasion.UPGRADE)
    await dispatcher.dispatch([manifests.Manifest(namespace.obj, namespace.source)])
    return dispatcher.outcomes


async def _install(means: Means) -> list[outcomes.Outcome]:
    """Install our definitions where they are missing or older, and wait until they are served."""
    client, made = means.recorder, []
    resource = "customresourcedefinitions.v1.apiextensions.k8s.io"
    served = await client.discover()
    kind = served.named(resource)
    assert kind is not None, "every API server serves CustomResourceDefinitions"
    waited: list[targets.Target] = []
    for definition in crds.definitions():
        name = objects.name_of(definition)
        try:
            live = await client.get(resource, name)
        except statuses.NotFoundError:
            live = None
        if live is not None and fields.is_settled(definition, live, marks.RECORDS_MANAGER):
            continue
        after = await client.apply(
            resource, definition, field_manager=marks.RECORDS_MANAGER, force=True
        )
        same = live is not None and _version(after) == _version(live)
        if not same:
            op = outcomes.Op.CREATE if live is None else outcomes.Op.CHANGE
            target = collect.as_target(refs.ref_of(definition), definition, kind)
            waited.append(target)
            uid = objects.uid_of(after)
            means.tell(outcomes.News(type="note", op=str(op), ref=target.ref, uid=uid))
            made.append(
                outcomes.Outcome(
                    ref=target.ref,
                    op=op,
                    api_version=kind.api_version,
                    before=live,
                    after=after,
                )
            )
    if waited:
        verdicts = await means.waiter.wait(waited, means.tell)
        wrong = [f"{ref}: {verdict}" for ref, verdict in verdicts.items() if not verdict.is_settled]
        if wrong:
            raise errors.UnhealthyError(wrong)
        await client.discover(refresh=True)
    return made


def _version(obj: objects.Object) -> str:
    return str(objects.metadata(obj).get("resourceVersion"))


# ---------------------------------------------------------------------- removal


async def remove(owner: targets.Owner, means: Means) -> Course:
    """Delete all that an application shipped, and then its records.

    What a guard keeps is released: it stays, without our marks.

    Raises:
        NoSuchRevisionError: There is no such application.
        BlockedError: A guard forbids it; RefusedError: something could not be deleted.
    """
    course = Course()
    tracker = await trackers.TrackerStore(means.client).load(owner)
    history = await revisions.History(means.client, owner).read()
    found = await applications.Records(means.client, owner, means.clock).find()
    if not tracker.resource_version and not history.records and found is None:
        raise errors.NoSuchRevisionError(f"there is no application {owner}")
    if means.lock is not None:
        with contextlib.suppress(statuses.NotFoundError):  # The namespace may be gone already.
            await means.acquire(means.lock)
            means = means.fenced()
    try:
        store = trackers.TrackerStore(means.recorder)
        tracker = await store.load(owner)
        history = await revisions.History(means.recorder, owner).read()
        records = applications.Records(means.recorder, owner, means.clock)
        if means.verify is not None:
            await means.verify(())
        course.previous = await _latest(history)
        await _run_hooks(course, means, store, hooks.Phase.BEFORE)
        await _collect_all(course, means, store, owner)
        if await _run_hooks(course, means, store, hooks.Phase.AFTER):
            await _collect_all(course, means, store, owner)
        await history.drop()
        await records.drop()
        if means.lock is not None:
            await means.lock.discard()
        await store.drop(await store.load(owner))
    finally:
        if means.lock is not None:
            await means.lock.release()
    return course


async def _collect_all(
    course: Course,
    means: Means,
    store: trackers.TrackerStore,
    owner: targets.Owner,
) -> None:
    tracker = await store.load(owner)
    guards = dataclasses.replace(
        means.settings.guards, records_leave=True, allow_many=True, allow_empty=True
    )
    collector = collect.Collector(
        means.client,
        tracker.owner,
        clock=means.clock,
        waiter=means.waiter,
        settings=guards,
        tell=means.tell,
        parallel=means.settings.parallel,
        thorough=means.settings.thorough,
        releases_kept=True,
    )
    collector.foreground = means.settings.cascading
    leaving = dataclasses.replace(tracker, revision="")
    collected = await collector.collect(tracker, leaving)
    # A hook that ran is told as that alone: that it goes with the rest goes without saying.
    known = {outcome.ref for outcome in course.done}
    course.done += (outcome for outcome in collected.outcomes if outcome.ref not in known)
    if collected.failures or _has_hooks(course, hooks.Phase.AFTER):
        await store.save(collect.narrowed(tracker, collected))
    if collected.failures and not means.settings.thorough:
        if any(outcome.obstacle is not None for outcome in collected.outcomes):
            raise errors.BlockedError(collected.failures)
        raise errors.RefusedError(collected.failures)
