"""Which hooks of a set run in one delivery, which do not and why, and what becomes of them.

Jobs that remove themselves when they have run are like hooks in this: that they have run for a
revision is remembered, and that they are gone then is no reason to make them again.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from understudy.delivery import hooks, ordering, refs, targets, trackers, waiting
from understudy.kube import health, objects


@dataclass(slots=True)
class HookRuns:
    """The hooks of one delivery.

    Attributes:
        revision: Name of the revision that is delivered.
        due: Hooks that run.
        idle: Hooks that do not, and why.
        going: Of the due ones, those that a delivery before this one has started.
        ran: Of the idle ones, those that have run for this revision.
        passing: Jobs that remove themselves.
        parting: Hooks that have succeeded and go when their phase is over: a ServiceAccount that
            is a hook is needed by the Job after it.
    """

    occasion: hooks.Occasion
    revision: str
    due: dict[refs.Ref, hooks.Hook] = field(default_factory=dict)
    idle: dict[refs.Ref, str] = field(default_factory=dict)
    going: set[refs.Ref] = field(default_factory=set)
    ran: set[refs.Ref] = field(default_factory=set)
    passing: set[refs.Ref] = field(default_factory=set)
    parting: dict[refs.Ref, hooks.Phase] = field(default_factory=dict)

    def rank_of(self, obj: objects.Object) -> ordering.Rank:
        """Return the place of an object among phases and weights."""
        return hooks.rank_of(obj, self.occasion)

    def sort_out(
        self,
        target: targets.Target,
        live: objects.Object | None,
        entry: trackers.Entry | None,
        now: dt.datetime,
    ) -> None:
        """Note whether an object is a hook, and whether it runs now."""
        ref, hook = target.ref, hooks.of(target.obj)
        begun = entry is not None and entry.revision == self.revision
        state = entry.state if entry is not None and begun else None
        if hook is None and hooks.removes_itself(target.obj):
            self.passing.add(ref)
            if state is trackers.State.RAN and live is None:
                self.idle[ref] = "has run, and removed itself"
                self.ran.add(ref)
        if hook is None:
            return
        idle = hooks.why_idle(hook, self.occasion, has_run=state is trackers.State.RAN)
        if idle:
            self.idle[ref] = idle
            if state is trackers.State.RAN or self.occasion is hooks.Occasion.NONE:
                self.ran.add(ref)
            if state is trackers.State.RAN and hooks.Deletion.SUCCEEDED in hook.deletion:
                self.parting[ref] = hook.until.get(self.occasion, hooks.Phase.AFTER)
            return
        self.due[ref] = hook
        if state is trackers.State.APPLIED and entry is not None and live is not None:
            verdict = waiting.assess_all({ref: live}, [target], now)[ref]
            if objects.uid_of(live) == entry.uid and verdict.state is not health.State.FAILED:
                self.going.add(ref)

    def is_after(self, obj: objects.Object) -> bool:
        """Whether an object is a hook that runs after everything else."""
        return self.rank_of(obj)[0] == hooks.Phase.AFTER

    def is_made_anew(self, ref: refs.Ref) -> bool:
        """Whether an object is a hook whose last run is deleted first."""
        return ref in self.due and ref not in self.going

    def when(self, target: targets.Target) -> str:
        """Say when a hook runs."""
        phase, _ = self.rank_of(target.obj)
        where = "before" if phase == hooks.Phase.BEFORE else "after"
        return f"a hook: runs {where} everything else"

    def limit_s(self, pending: Iterable[targets.Target]) -> float | None:
        """Return how long to wait for objects that are all hooks; None where some are not."""
        limits = [self.due[t.ref].timeout_s if t.ref in self.due else None for t in pending]
        known = [limit for limit in limits if limit is not None]
        return max(known) if known and len(known) == len(limits) else None

    def ended(
        self, verdicts: Mapping[refs.Ref, health.Health], tracker: trackers.Tracker
    ) -> trackers.Tracker:
        """Return a tracker that knows which hooks have succeeded."""
        remembered = self.due.keys() | self.passing
        for ref in verdicts.keys() & remembered & tracker.entries.keys():
            if verdicts[ref].is_settled:
                tracker = tracker.marked(ref, trackers.State.RAN)
        return tracker

    def doomed(self, verdicts: Mapping[refs.Ref, health.Health]) -> Iterator[refs.Ref]:
        """Yield the hooks that go at once because they failed; note those that go later."""
        for ref in sorted(verdicts.keys() & self.due.keys()):
            hook = self.due[ref]
            if not verdicts[ref].is_settled:
                if hooks.Deletion.FAILED in hook.deletion:
                    yield ref
            elif hooks.Deletion.SUCCEEDED in hook.deletion:
                self.parting[ref] = hook.until[self.occasion]

    def parted(self, rest: Iterable[objects.Object]) -> list[refs.Ref]:
        """Return the hooks that go now, given what is still to come."""
        phases = {self.rank_of(obj)[0] for obj in rest if hooks.of(obj) is not None}
        going = [ref for ref, until in self.parting.items() if until not in phases]
        for ref in going:
            del self.parting[ref]
        return sorted(going)
