"""What follows from a delivery besides the objects it names: the reason to rehearse at all.

Restarts, and restarts that people expect and that do not happen; what goes with a deletion; data
that is lost; what controllers make; what would not become ready, and why.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from understudy.delivery import diffs, marks, outcomes, references, refs, stage as stages
from understudy.kube import health, objects

_SHOWN_MAX = 4
_WORKLOADS = {"Deployment", "StatefulSet", "DaemonSet"}
_DATA = {"PersistentVolumeClaim", "PersistentVolume"}
_UNREMARKABLE = {"Event", "Endpoints", "EndpointSlice"}
"""What follows from other things that are told, and says nothing more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """One consequence.

    Attributes:
        type: `restart`, `no-restart`, `cascade`, `data`, `creates`, `changes`, `revision`,
            `unready` or `hangs`.
        ref: The object it is a consequence of, or happens to.
        text: A sentence for people.
        count: How many objects it is about.
    """

    type: str
    ref: refs.Ref
    text: str
    count: int = 1

    def as_dict(self) -> objects.Object:
        """Render for JSON output."""
        return {
            "type": self.type,
            "ref": self.ref.as_dict(),
            "text": self.text,
            "count": self.count,
        }


def find(
    done: Sequence[outcomes.Outcome],
    changes: Sequence[stages.Change],
    final: Mapping[refs.Ref, objects.Object],
    installed: Collection[refs.Ref] = (),
) -> list[Effect]:
    """Return the consequences of what was done, from what differs on the stage afterwards.

    `final` are the application's objects as they ended, `installed` our own definitions.
    """
    named = {outcome.ref for outcome in done} | set(installed)
    others = [
        change
        for change in changes
        if change.ref not in named
        and change.ref.group != marks.GROUP
        and change.ref.kind not in _UNREMARKABLE
        and not _is_record(change)
    ]
    restarts = list(_restarts(done, changes))
    replaced = {effect.ref for effect in restarts}
    # A pod that is replaced is told as a restart, not as one that goes and one that comes.
    rest = [change for change in others if _workload_of(change) not in replaced]
    return [
        *restarts,
        *_missing_restarts(done, final),
        *_revisions(others),
        *_cascades(rest),
        *_data(done, others),
        *_made(rest),
        *_unready(done),
    ]


def _is_record(change: stages.Change) -> bool:
    obj = change.after or change.before or {}
    return marks.APPLICATION in objects.labels_of(obj)


# ---------------------------------------------------------------------- restarts


def _restarts(
    done: Iterable[outcomes.Outcome], changes: Iterable[stages.Change]
) -> Iterator[Effect]:
    pods = _pods_of(changes)
    for outcome in done:
        if outcome.ref.kind not in _WORKLOADS or outcome.before is None or outcome.after is None:
            continue
        path = ("spec", "template")
        before, after = (objects.lookup(o, path) for o in (outcome.before, outcome.after))
        recreated = outcome.op is outcomes.Op.RECREATE
        if not recreated and not any(diffs.differences(before, after)):
            continue
        running = objects.lookup(outcome.before, ("status", "replicas"), 0) or objects.lookup(
            outcome.before, ("status", "currentNumberScheduled"), 0
        )
        count = pods.get(outcome.ref, 0) or (running if isinstance(running, int) else 0)
        if not count:
            continue
        verb = "is deleted and created anew: loses" if recreated else "restarts"
        text = f"{outcome.ref} {verb} {_number(count, 'pod')}"
        yield Effect(type="restart", ref=outcome.ref, text=text, count=count)


def _pods_of(changes: Iterable[stages.Change]) -> dict[refs.Ref, int]:
    """Return how many pods of each workload went away on the stage."""
    found: dict[refs.Ref, int] = {}
    for change in changes:
        if change.ref.kind != "Pod" or change.before is None or change.after is not None:
            continue
        ref = _workload_of(change)
        if ref is not None:
            found[ref] = found.get(ref, 0) + 1
    return found


def _workload_of(change: stages.Change) -> refs.Ref | None:
    """Return the workload that a pod belongs to, None for whatever is no workload's pod."""
    if change.ref.kind != "Pod":
        return None
    obj = change.before or change.after or {}
    for owner in objects.metadata(obj).get("ownerReferences") or ():
        kind, name = str(owner.get("kind")), str(owner.get("name"))
        if kind == "ReplicaSet":
            kind, name = "Deployment", name.rpartition("-")[0]
        return refs.Ref("apps", kind, change.ref.namespace, name)
    return None


def _missing_restarts(
    done: Sequence[outcomes.Outcome], final: Mapping[refs.Ref, objects.Object]
) -> Iterator[Effect]:
    """Say which workloads read changed configuration at their start and will not be restarted."""
    changed = {
        (outcome.ref.kind, outcome.ref.namespace, outcome.ref.name)
        for outcome in done
        if outcome.op is outcomes.Op.CHANGE
        and outcome.ref.group == ""
        and outcome.ref.kind in ("ConfigMap", "Secret")
        and _content(outcome.before) != _content(outcome.after)
    }
    if not changed:
        return
    untouched = {
        outcome.ref
        for outcome in done
        if outcome.op is outcomes.Op.UNCHANGED or not _template_changed(outcome)
    }
    for ref in sorted(untouched):
        obj = final.get(ref)
        spec = references.pod_spec(ref, obj) if obj is not None else None
        if spec is None or ref.kind not in _WORKLOADS:
            continue
        read = sorted(
            {
                (kind, name)
                for kind, name, how in references.configuration(spec)
                if how == "env" and (kind, ref.namespace, name) in changed
            }
        )
        for kind, name in read:
            text = f"{ref} reads {kind} {name} when it starts and is not restarted"
            yield Effect(type="no-restart", ref=ref, text=text)


def _content(obj: objects.Object | None) -> objects.Json:
    return [(obj or {}).get(field) for field in ("data", "binaryData", "stringData")]


def _template_changed(outcome: outcomes.Outcome) -> bool:
    path = ("spec", "template")
    before, after = (objects.lookup(o or {}, path) for o in (outcome.before, outcome.after))
    return any(diffs.differences(before, after))


# ---------------------------------------------------------------------- what goes, what comes


def _revisions(others: Iterable[stages.Change]) -> Iterator[Effect]:
    for change in others:
        if (change.ref.group, change.ref.kind) != ("serving.knative.dev", "Revision"):
            continue
        if change.before is None and change.after is not None:
            labels = objects.labels_of(change.after)
            service = labels.get("serving.knative.dev/service", "")
            ref = refs.Ref(change.ref.group, "Service", change.ref.namespace, service)
            text = f"{ref} gets the new revision {change.ref.name}"
            yield Effect(type="revision", ref=ref, text=text)


def _cascades(others: Iterable[stages.Change]) -> Iterator[Effect]:
    gone = [change.ref for change in others if change.after is None]
    for kind, members in _by_kind(gone):
        text = f"{_number(len(members), kind.kind)} go with what is deleted: {_names(members)}"
        yield Effect(type="cascade", ref=members[0], text=text, count=len(members))


def _data(done: Iterable[outcomes.Outcome], others: Iterable[stages.Change]) -> Iterator[Effect]:
    lost = [o.ref for o in done if o.op is outcomes.Op.DELETE and o.ref.kind in _DATA]
    lost += [c.ref for c in others if c.after is None and c.ref.kind in _DATA]
    for ref in lost:
        yield Effect(type="data", ref=ref, text=f"{ref} goes, and the data it holds")


def _made(others: Iterable[stages.Change]) -> Iterator[Effect]:
    made = [c.ref for c in others if c.before is None and c.ref.kind != "Revision"]
    for kind, members in _by_kind(made):
        text = f"controllers create {_number(len(members), kind.kind)}: {_names(members)}"
        yield Effect(type="creates", ref=members[0], text=text, count=len(members))


def _unready(done: Iterable[outcomes.Outcome]) -> Iterator[Effect]:
    for outcome in done:
        verdict = outcome.health
        if verdict is None or verdict.is_settled:
            continue
        if outcome.op is outcomes.Op.DELETE:
            text = f"{outcome.ref} would not go away: {verdict.message}"
            yield Effect(type="hangs", ref=outcome.ref, text=text)
        elif verdict.state is not health.State.NOT_FOUND:
            why = verdict.message or verdict.reason or str(verdict.state)
            text = f"{outcome.ref} would not become ready: {why}"
            if outcome.op is outcomes.Op.UNCHANGED:
                text = f"{outcome.ref} is not ready, and this does not change it: {why}"
            yield Effect(type="unready", ref=outcome.ref, text=text)


def _by_kind(items: Iterable[refs.Ref]) -> Iterator[tuple[refs.Ref, list[refs.Ref]]]:
    ordered = sorted(items)
    for _, group in itertools.groupby(ordered, key=lambda ref: (ref.group, ref.kind)):
        members = list(group)
        yield members[0], members


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _names(members: Sequence[refs.Ref]) -> str:
    shown = [f"{ref.namespace}/{ref.name}".lstrip("/") for ref in members[:_SHOWN_MAX]]
    more = len(members) - _SHOWN_MAX
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
