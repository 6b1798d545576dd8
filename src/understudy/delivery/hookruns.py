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
        left: Of the idle ones, those that it should have deleted.
        ran: Of the idle ones, those that have run for this revision.
        passing: Jobs that remove themselves.
    """

    occasion: hooks.Occasion
    revision: str
    due: dict[refs.Ref, hooks.Hook] = field(default_factory=dict)
    idle: dict[refs.Ref, str] = field(default_factory=dict)
    going: set[refs.Ref] = field(default_factory=set)
    left: set[refs.Ref] = field(default_factory=set)
    ran: set[refs.Ref] = field(default_factory=set)
    passing: set[refs.Ref] = field(default_factory=set)

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
                self.left.add(ref)
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
        """Yield the hooks that go because of how they ended."""
        for ref in sorted(verdicts.keys() & self.due.keys()):
            settled = verdicts[ref].is_settled
            how = hooks.Deletion.SUCCEEDED if settled else hooks.Deletion.FAILED
            if how in self.due[ref].deletion:
                yield ref
