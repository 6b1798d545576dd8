"""Deleting what an application shipped once and wants no more.

Nothing is deleted that cannot be proven ours: the uid must be the one that was shipped (a
precondition of the request, not only a look before it) and the label must still be there. Deletion
runs in the reverse order of delivery and waits for each batch to be gone.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from understudy.aio import clocks
from understudy.client import protocol
from understudy.delivery import (
    calling,
    guards,
    manifests,
    marks,
    ordering,
    outcomes,
    refs,
    targets,
    trackers,
    waiting,
)
from understudy.kube import health, objects, statuses


@dataclass(slots=True, kw_only=True)
class Collected:
    """What a collection did.

    Attributes:
        outcomes: One for each entry that was looked at.
        gone: Entries that can leave the tracker: deleted, gone before, released or abandoned.
        left: Entries that stay, each with the state and reason to remember.
        complaints: Guards that want a word about the whole, one sentence each.
        failures: What the server refused, or what does not go away, one sentence each.
    """

    outcomes: list[outcomes.Outcome] = field(default_factory=list)
    gone: set[refs.Ref] = field(default_factory=set)
    left: dict[refs.Ref, tuple[trackers.State, str]] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


class GarbageCollector(Protocol):
    """Deletes what one tracker has and a newer one does not want."""

    async def collect(self, old: trackers.Tracker, new: trackers.Tracker) -> Collected:
        """Return what was done; never raises for what a server refused."""
        ...


class Collector:
    """The garbage collector of a delivery.

    Attributes:
        applied_now: uids of objects applied in this run, which are never deleted whatever
            identity an old entry gives them (an object seen under another group is the same).
        foreground: Objects that go after what they own, because a plan lists that.
    """

    def __init__(
        self,
        client: protocol.Client,
        owner: targets.Owner,
        *,
        clock: clocks.Clock,
        waiter: waiting.Waiter,
        settings: guards.GuardSettings | None = None,
        tell: outcomes.Tell = outcomes.silence,
        parallel: int = 8,
        thorough: bool = False,
        releases_kept: bool = False,
    ) -> None:
        self.applied_now: Collection[str] = ()
        self.foreground: Collection[refs.Ref] = ()
        self._client = client
        self._owner = owner
        self._clock = clock
        self._waiter = waiter
        self._settings = settings or guards.GuardSettings()
        self._tell = tell
        self._parallel = parallel
        self._thorough = thorough
        self._releases_kept = releases_kept
        self._surroundings = guards.Surroundings(client, owner, self._settings, clock)

    async def collect(self, old: trackers.Tracker, new: trackers.Tracker) -> Collected:
        """Delete what `old` has and `new` does not want, as far as it may be."""
        entries = {entry.ref: entry for entry in new.unwanted(new.revision)}
        entries |= {ref: e for ref, e in old.entries.items() if ref not in new.entries}
        if not entries:
            return Collected()
        resolved = await self._resolve(entries)
        live = await calling.read(
            self._client,
            ((ref, resource) for ref, resource in resolved.items()),
            limit=self._parallel,
            clock=self._clock,
        )
        judged = await self._judge(entries, live)
        result = Collected()
        complaint = guards.too_many(
            sum(j.verdict is guards.Verdict.DELETE for j in judged.values()),
            len(new.entries),
            self._settings,
        )
        doomed: dict[refs.Ref, objects.Object] = {}
        for ref, judgement in judged.items():
            if judgement.verdict is guards.Verdict.DELETE:
                if complaint and not self._thorough:
                    result.left[ref] = (trackers.State.KEPT, complaint)
                else:
                    doomed[ref] = live[ref]
            else:
                await self._settle(result, entries[ref], live.get(ref), judgement)
        if complaint:
            result.complaints.append(complaint)
        await self._delete(result, doomed, resolved)
        return result

    async def _resolve(
        self, entries: Mapping[refs.Ref, trackers.Entry]
    ) -> dict[refs.Ref, protocol.ApiResource]:
        """Find the resources of entries; a kind that is no longer served has no objects left."""
        served = await self._client.discover()
        found: dict[refs.Ref, protocol.ApiResource] = {}
        preferred: dict[tuple[str, str], protocol.ApiResource] = {}
        for resource in served.resources:
            preferred.setdefault((resource.group, resource.kind), resource)
        for ref, entry in entries.items():
            known = served.by_kind(entry.api_version, ref.kind) if entry.version else None
            known = known if known is not None else preferred.get((ref.group, ref.kind))
            if known is not None:
                found[ref] = known
        return found

    async def _judge(
        self,
        entries: Mapping[refs.Ref, trackers.Entry],
        live: Mapping[refs.Ref, objects.Object],
    ) -> dict[refs.Ref, guards.Judgement]:
        judged = {
            ref: guards.judge(
                entry,
                live.get(ref),
                self._owner,
                self._settings,
                applied_now=self.applied_now,
            )
            for ref, entry in entries.items()
        }
        going = {
            objects.uid_of(live[ref])
            for ref, judgement in judged.items()
            if judgement.verdict is guards.Verdict.DELETE
        }
        kept = {
            ref.namespace: ref
            for ref, judgement in judged.items()
            if judgement.verdict in {guards.Verdict.KEEP, guards.Verdict.RELEASE}
        }
        for ref, judgement in judged.items():
            if judgement.verdict is not guards.Verdict.DELETE:
                continue
            if (ref.group, ref.kind) == ("", "Namespace"):
                if ref.name in kept:
                    judged[ref] = guards.Judgement(
                        guards.Verdict.KEEP, f"holds {kept[ref.name]}, which is kept"
                    )
                else:
                    judged[ref] = await self._surroundings.judge_namespace(ref.name, going)
            elif (ref.group, ref.kind) == targets.CRD:
                judged[ref] = await self._surroundings.judge_definition(live[ref], going)
        if self._releases_kept:
            for ref, judgement in judged.items():
                if judgement.verdict is guards.Verdict.KEEP:
                    judged[ref] = guards.Judgement(
                        guards.Verdict.RELEASE, judgement.reason, judgement.remedy
                    )
        return judged

    async def _settle(
        self,
        result: Collected,
        entry: trackers.Entry,
        live: objects.Object | None,
        judgement: guards.Judgement,
    ) -> None:
        """Take note of an object that is not deleted."""
        ref = entry.ref
        note = judgement.reason + (f"; {judgement.remedy}" if judgement.remedy else "")
        op = _OPS[judgement.verdict]
        obstacle = None
        match judgement.verdict:
            case guards.Verdict.KEEP:
                result.left[ref] = (trackers.State.KEPT, judgement.reason)
            case guards.Verdict.BLOCK:
                result.left[ref] = (trackers.State.KEPT, judgement.reason)
                obstacle = outcomes.Obstacle(message=judgement.reason, remedy=judgement.remedy)
                result.failures.append(obstacle.told_of(ref))
            case guards.Verdict.RELEASE:
                assert live is not None, "what is released exists"
                if await self._release(result, entry, live):
                    result.gone.add(ref)
            case _:
                result.gone.add(ref)
        outcome = outcomes.Outcome(
            ref=ref,
            op=op,
            api_version=entry.api_version,
            before=live,
            after=live,
            note=note,
            obstacle=obstacle,
        )
        result.outcomes.append(outcome)
        if op is not outcomes.Op.GONE:
            self._tell(outcomes.News(type="note", op=str(op), ref=ref, message=note))

    async def _release(
        self, result: Collected, entry: trackers.Entry, live: objects.Object
    ) -> bool:
        """Remove our marks from an object that stays."""
        resource = (await self._resolve({entry.ref: entry}))[entry.ref]
        patch = {
            "metadata": {
                "uid": objects.uid_of(live),
                "labels": {marks.PART_OF: None},
                "annotations": {marks.APPLICATION: None},
            }
        }
        try:
            await calling.patiently(
                lambda: self._client.patch(
                    resource.name,
                    entry.ref.name,
                    patch,
                    namespace=entry.ref.namespace,
                    field_manager=marks.RECORDS_MANAGER,
                ),
                self._clock,
            )
        except statuses.NotFoundError:
            return True
        except statuses.ApiError as error:
            result.failures.append(f"{entry.ref}: could not be released: {error}")
            result.left[entry.ref] = (trackers.State.KEPT, str(error))
            return False
        return True

    async def _delete(
        self,
        result: Collected,
        doomed: Mapping[refs.Ref, objects.Object],
        resolved: Mapping[refs.Ref, protocol.ApiResource],
    ) -> None:
        order = ordering.arrange(doomed, rule=ordering.removal_wave_of)
        for batch in order.reversed():
            if (result.failures or result.complaints) and not self._thorough:
                # What comes later in the reverse order is what the failed ones may still need.
                for ref in batch.items:
                    result.left.setdefault(ref, (trackers.State.APPLIED, ""))
                continue
            await self._delete_batch(result, batch, doomed, resolved)

    async def _delete_batch(
        self,
        result: Collected,
        batch: ordering.Batch,
        doomed: Mapping[refs.Ref, objects.Object],
        resolved: Mapping[refs.Ref, protocol.ApiResource],
    ) -> None:
        self._tell(
            outcomes.News(
                type="phase",
                message=f"deleting {outcomes.number(len(batch.items), 'object')}",
                done=len(result.gone & doomed.keys()),
                total=len(doomed),
            )
        )

        async def remove(ref: refs.Ref) -> None:
            policy = "Foreground" if ref in self.foreground else "Background"
            await delete(
                self._client, ref, resolved[ref], doomed[ref], self._clock,
                policy=policy, owner=self._owner,
            )  # fmt: skip

        asked: list[refs.Ref] = []
        for ref, answer in await calling.each(batch.items, self._parallel, remove):
            before, api_version = doomed[ref], resolved[ref].api_version
            outcome = outcomes.Outcome(
                ref=ref, op=outcomes.Op.DELETE, api_version=api_version, before=before
            )
            if isinstance(answer, calling.Failed):
                if isinstance(answer.error, statuses.ConflictError):
                    note = str(answer.error)
                    if not note.startswith(_LOST):
                        note = "somebody made it anew meanwhile"
                    outcome = _abandoned(outcome, note)
                    result.gone.add(ref)
                elif isinstance(answer.error, statuses.NotFoundError):
                    result.gone.add(ref)
                else:
                    obstacle = outcomes.Obstacle(message=str(answer.error))
                    outcome = _blocked(outcome, obstacle)
                    result.failures.append(obstacle.told_of(ref))
                    result.left[ref] = (trackers.State.APPLIED, str(answer.error))
            else:
                asked.append(ref)
                uid = objects.uid_of(before)
                self._tell(outcomes.News(type="done", op="delete", ref=ref, uid=uid))
            result.outcomes.append(outcome)
        await self._await_gone(result, asked, doomed, resolved)

    async def _await_gone(
        self,
        result: Collected,
        asked: Sequence[refs.Ref],
        doomed: Mapping[refs.Ref, objects.Object],
        resolved: Mapping[refs.Ref, protocol.ApiResource],
    ) -> None:
        waited = [as_target(ref, doomed[ref], resolved[ref]) for ref in asked]
        uids = {objects.uid_of(doomed[ref]) for ref in asked}
        remaining = await self._waiter.wait_gone(waited, uids, self._tell) if waited else {}
        for ref in asked:
            verdict = remaining.get(ref)
            if verdict is None:
                result.gone.add(ref)
                continue
            result.left[ref] = (trackers.State.DELETING, verdict.message)
            result.failures.append(f"{ref}: does not go away: {verdict.message}")
            result.outcomes = [
                _lingering(outcome, verdict) if outcome.ref == ref else outcome
                for outcome in result.outcomes
            ]


_OPS = {
    guards.Verdict.DELETE: outcomes.Op.DELETE,
    guards.Verdict.KEEP: outcomes.Op.KEEP,
    guards.Verdict.RELEASE: outcomes.Op.KEEP,
    guards.Verdict.ABANDON: outcomes.Op.ABANDON,
    guards.Verdict.BLOCK: outcomes.Op.BLOCKED,
    guards.Verdict.GONE: outcomes.Op.GONE,
}


def _abandoned(outcome: outcomes.Outcome, note: str) -> outcomes.Outcome:
    return dataclasses.replace(outcome, op=outcomes.Op.ABANDON, after=outcome.before, note=note)


def _blocked(outcome: outcomes.Outcome, obstacle: outcomes.Obstacle) -> outcomes.Outcome:
    return dataclasses.replace(
        outcome, op=outcomes.Op.BLOCKED, after=outcome.before, obstacle=obstacle
    )


def _lingering(outcome: outcomes.Outcome, verdict: health.Health) -> outcomes.Outcome:
    return dataclasses.replace(outcome, note=verdict.message, health=verdict)


async def delete(
    client: protocol.Client,
    ref: refs.Ref,
    resource: protocol.ApiResource,
    live: objects.Object,
    clock: clocks.Clock,
    *,
    policy: str = "Background",
    owner: targets.Owner | None = None,
) -> None:
    """Ask for the deletion of exactly this object.

    `policy` Foreground lets it go after what it owns. With `owner`, it is deleted as it was seen,
    its label included: if it has changed since, it is looked at again.

    Raises:
        ConflictError: It is another object of that name now, or somebody else's. NotFoundError: It
            is gone.
    """

    async def ask(version: str) -> None:
        await client.delete(
            resource.name,
            ref.name,
            namespace=ref.namespace,
            propagation_policy=policy,
            uid=objects.uid_of(live),
            resource_version=version,
        )

    for _ in range(_LOOKS_MAX if owner is not None else 0):
        version = str(objects.metadata(live).get("resourceVersion") or "")
        try:
            return await calling.patiently(functools.partial(ask, version), clock)
        except statuses.ConflictError:
            live = await _looked_at_again(client, ref, resource, live, clock)
            if owner is not None and not owner.owns(live):
                raise statuses.ConflictError(f"{_LOST}: {guards.whose(live)}") from None
    return await calling.patiently(functools.partial(ask, ""), clock)


_LOST = "no longer carries our label"
_LOOKS_MAX = 3
"""An object that changes as often meanwhile is deleted as whatever of ours it then is."""


async def _looked_at_again(
    client: protocol.Client,
    ref: refs.Ref,
    resource: protocol.ApiResource,
    live: objects.Object,
    clock: clocks.Clock,
) -> objects.Object:
    """Return an object as it is now, after a conflict; raises that if it is another object."""
    now = await calling.patiently(
        lambda: client.get(resource.name, ref.name, namespace=ref.namespace), clock
    )
    if objects.uid_of(now) != objects.uid_of(live):
        raise statuses.ConflictError(f"{ref} was made anew")
    return now


def narrowed(tracker: trackers.Tracker, collected: Collected) -> trackers.Tracker:
    """Return a tracker after a collection: what is gone has left, what stays says why."""
    for ref, (state, reason) in collected.left.items():
        if ref in tracker.entries:
            tracker = tracker.marked(ref, state, reason)
    return tracker.without(collected.gone)


def as_target(ref: refs.Ref, obj: objects.Object, resource: protocol.ApiResource) -> targets.Target:
    """Return a live object as a target, for what waits or orders."""
    return targets.Target(ref, obj, resource, manifests.Source("the cluster"))
