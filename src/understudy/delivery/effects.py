"""What follows from a delivery besides the objects it names: the reason to rehearse at all.

Restarts, and restarts that people expect and that do not happen; new revisions and where traffic
goes; what goes with a deletion, and what stays; data that is lost; what controllers make; objects
that a new definition refuses; what would not become ready, and why; what no rollback undoes.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from understudy.delivery import diffs, marks, outcomes, references, refs, stage as stages
from understudy.kube import health, objects

_SHOWN_MAX = 4
_UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_DRAWN = re.compile("[bcdfghjklmnpqrstvwxz2456789]{5}")
_WORKLOADS = {"Deployment", "StatefulSet", "DaemonSet"}
_MISSING = re.compile(r'(secret|configmap) "[^"]+" not found')
_SERVING = "serving.knative.dev"
_EXTENSION = "APIService"
"""Becomes available when its server answers, which a rehearsal does not ask."""
_DEFINITION = "CustomResourceDefinition"
_DATA = {"PersistentVolumeClaim", "PersistentVolume"}
_UNREMARKABLE = {"Event", "Endpoints", "EndpointSlice", "ControllerRevision"}
"""What follows from other things that are told, and says nothing more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """One consequence.

    Attributes:
        type: `restart`, `no-restart`, `revision`, `traffic`, `cascade`, `deletes`, `keeps`, `data`,
            `creates`, `refuses`, `runs`, `stores`, `replaces`, `contested`, `unready` or `hangs`.
        ref: The object it is a consequence of, or happens to.
        text: A sentence for people.
        count: How many objects it is about.
        irreversible: No rollback undoes it.
    """

    type: str
    ref: refs.Ref
    text: str
    count: int = 1
    irreversible: bool = False

    def as_dict(self) -> objects.Object:
        """Render for JSON output."""
        out: objects.Object = {
            "type": self.type,
            "ref": self.ref.as_dict(),
            "text": self.text,
            "count": self.count,
        }
        return out | ({"irreversible": True} if self.irreversible else {})


def find(
    done: Sequence[outcomes.Outcome],
    changes: Sequence[stages.Change],
    final: Mapping[refs.Ref, objects.Object],
    installed: Collection[refs.Ref] = (),
    refused: Mapping[refs.Ref, str] | None = None,
    why: Mapping[refs.Ref, Sequence[str]] | None = None,
) -> list[Effect]:
    """Return the consequences of what was done, from what differs on the stage afterwards.

    `final` are the application's objects as they ended, `installed` our own definitions, `refused`
    what new definitions do not accept and why, `why` the words of pods and events.
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
    found = [
        *restarts,
        *_missing_restarts(done, final),
        *_revisions(others),
        *_cascades(done, rest),
        *_claims(done, others),
        *_data(done, others),
        *_made(rest),
        *_refused(refused or {}),
        *_unready(done, why or {}),
        *_final(done, replaced),
    ]
    return _without_drawn_names(found, changes)


def _without_drawn_names(found: Sequence[Effect], changes: Iterable[stages.Change]) -> list[Effect]:
    """Leave out of names what was drawn for them: for real it will be drawn anew."""
    drawn: dict[str, str] = {}
    for change in changes:
        if change.before is None and change.after is not None:
            begins = str(objects.metadata(change.after).get("generateName") or "")
            name = change.ref.name
            is_drawn = begins and _DRAWN.fullmatch(name.removeprefix(begins))
            told = f"{begins}*" if is_drawn else _UID.sub("*", name)
            if told != name:
                drawn[name] = told
    if not drawn:
        return [*found]
    names = re.compile("|".join(map(re.escape, sorted(drawn, key=len, reverse=True))))

    def telling(text: str) -> str:
        return names.sub(lambda match: drawn[match[0]], text)

    return [
        dataclasses.replace(
            effect,
            ref=effect.ref._replace(name=telling(effect.ref.name)),
            text=telling(effect.text),
        )
        for effect in found
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
        text = f"{outcome.ref} {verb} {outcomes.number(count, 'pod')}"
        yield Effect(
            type="restart", ref=outcome.ref, text=text, count=count, irreversible=recreated
        )


def _pods_of(changes: Iterable[stages.Change]) -> dict[refs.Ref, int]:
    """Return how many pods of each workload went away on the stage."""
    found: dict[refs.Ref, int] = {}
    for change in changes:
        ref = _workload_of(change) if change.is_gone else None
        if ref is not None:
            found[ref] = found.get(ref, 0) + 1
    return found


def _workload_of(change: stages.Change) -> refs.Ref | None:
    """Return the workload that a pod belongs to, None for whatever is no workload's pod."""
    if change.ref.kind != "Pod":
        return None
    for owner in _owners(change.before or change.after):
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


def _revisions(others: Sequence[stages.Change]) -> Iterator[Effect]:
    new: dict[refs.Ref, list[str]] = {}
    for change in others:
        if (change.ref.group, change.ref.kind) != (_SERVING, "Revision"):
            continue
        if change.before is None and change.after is not None:
            labels = objects.labels_of(change.after)
            service = labels.get(f"{_SERVING}/service", "")
            ref = refs.Ref(_SERVING, "Service", change.ref.namespace, service)
            new.setdefault(ref, []).append(change.ref.name)
    for change in others:
        if (change.ref.group, change.ref.kind) != (_SERVING, "Route") or change.after is None:
            continue
        ref = change.ref._replace(kind="Service")
        made = new.pop(ref, [])
        moved = _moved(change)
        text = f"{ref} gets the new revision {', '.join(made)}" if made else f"{ref}: traffic moves"
        if made or moved:
            kind = "revision" if made else "traffic"
            yield Effect(type=kind, ref=ref, text="; ".join([text, *moved]))
    for ref, made in new.items():
        text = f"{ref} gets the new revision {', '.join(made)}; its traffic stays where it is"
        yield Effect(type="revision", ref=ref, text=text)


def _moved(route: stages.Change) -> list[str]:
    """Say where the traffic of a Knative Route goes."""
    before, after = _shares(route.before), _shares(route.after)
    told = []
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name, 0), after.get(name, 0)
        if not now and was:
            told.append(f"{name} loses its {was} % of the traffic and scales to zero")
        elif now != was:
            told.append(
                f"{name} gets {now} % of the traffic" + (f" instead of {was} %" * bool(was))
            )
    url = objects.lookup(route.after or {}, ("status", "url"))
    if url and objects.lookup(route.before or {}, ("status", "url")) != url:
        told.append(f"URL {url}")
    return told


def _shares(route: objects.Object | None) -> dict[str, int]:
    found: dict[str, int] = {}
    for target in objects.lookup(route or {}, ("status", "traffic"), ()) or ():
        name = str(target.get("revisionName"))
        found[name] = found.get(name, 0) + int(target.get("percent") or 0)
    return found


def _cascades(
    done: Iterable[outcomes.Outcome], others: Sequence[stages.Change]
) -> Iterator[Effect]:
    """Tell what goes because its owner, namespace or definition does, from what only goes."""
    gone = [change for change in others if change.is_gone and change.ref.kind not in _DATA]
    leaving = (outcomes.Op.DELETE, outcomes.Op.RECREATE)
    left = [o for o in done if o.op in leaving and o.before is not None]
    uids = {
        objects.uid_of(obj) for obj in (*(o.before for o in left), *(c.before for c in gone)) if obj
    }
    spaces = {o.ref.name for o in left if (o.ref.group, o.ref.kind) == ("", "Namespace")}
    groups = {o.ref.name.partition(".")[2] for o in left if o.ref.kind == _DEFINITION}
    carried = {
        change.ref
        for change in gone
        if change.ref.namespace in spaces
        or change.ref.group in groups
        or uids & {owner.get("uid") for owner in _owners(change.before)}
    }
    for kind, members in _by_kind(carried):
        verb = "goes" if len(members) == 1 else "go"
        told = outcomes.number(len(members), kind.kind)
        text = f"{told} {verb} with what is deleted: {_names(members)}"
        yield Effect(type="cascade", ref=members[0], text=text, count=len(members))
    for kind, members in _by_kind(change.ref for change in gone if change.ref not in carried):
        text = f"controllers delete {outcomes.number(len(members), kind.kind)}: {_names(members)}"
        yield Effect(type="deletes", ref=members[0], text=text, count=len(members))


def _owners(obj: objects.Object | None) -> list[objects.Object]:
    return list(objects.metadata(obj or {}).get("ownerReferences") or ())


def _claims(done: Iterable[outcomes.Outcome], others: Iterable[stages.Change]) -> Iterator[Effect]:
    """Say which claims of a StatefulSet stay when it goes."""
    gone = {change.ref for change in others if change.is_gone}
    for outcome in done:
        leaves = outcome.op in (outcomes.Op.DELETE, outcomes.Op.RECREATE)
        if outcome.ref.kind != "StatefulSet" or not leaves or outcome.before is None:
            continue
        spec = outcome.before.get("spec") or {}
        kept = [
            name
            for template in spec.get("volumeClaimTemplates") or ()
            for ordinal in range(int(spec.get("replicas") or 0))
            for name in [f"{objects.name_of(template)}-{outcome.ref.name}-{ordinal}"]
            if refs.Ref("", "PersistentVolumeClaim", outcome.ref.namespace, name) not in gone
        ]
        if kept:
            listed = _listed(kept)
            text = f"the claims of {outcome.ref} stay, and the data they hold: {listed}"
            yield Effect(type="keeps", ref=outcome.ref, text=text, count=len(kept))


def _data(done: Iterable[outcomes.Outcome], others: Iterable[stages.Change]) -> Iterator[Effect]:
    leaving = (outcomes.Op.DELETE, outcomes.Op.RECREATE)
    lost = {o.ref: o.before for o in done if o.op in leaving and o.ref.kind in _DATA}
    lost |= {c.ref: c.before for c in others if c.is_gone and c.ref.kind in _DATA}
    for ref, before in lost.items():
        claim = objects.lookup(before or {}, ("spec", "claimRef")) or {}
        claimed = (str(claim.get("namespace")), str(claim.get("name")))
        if refs.Ref("", "PersistentVolumeClaim", *claimed) in lost:
            continue  # A claim's volume: the claim tells it.
        text = f"{ref} goes, and the data it holds"
        yield Effect(type="data", ref=ref, text=text, irreversible=True)


def _made(others: Iterable[stages.Change]) -> Iterator[Effect]:
    made = [c.ref for c in others if c.before is None and c.ref.kind != "Revision"]
    for kind, members in _by_kind(made):
        text = f"controllers create {outcomes.number(len(members), kind.kind)}: {_names(members)}"
        yield Effect(type="creates", ref=members[0], text=text, count=len(members))


def _refused(refused: Mapping[refs.Ref, str]) -> Iterator[Effect]:
    for ref, why in sorted(refused.items()):
        text = f"{ref} is there already, and the new definition would refuse it: {why}"
        yield Effect(type="refuses", ref=ref, text=text)


def _final(done: Iterable[outcomes.Outcome], told: Collection[refs.Ref]) -> Iterator[Effect]:
    """Say what no rollback undoes, besides data that goes, and workloads of which it is told."""
    for outcome in done:
        ref = outcome.ref
        runs = outcome.op in (outcomes.Op.CREATE, outcomes.Op.RECREATE, outcomes.Op.RUN)
        if (ref.group, ref.kind) == ("batch", "Job") and runs:
            text = f"{ref} runs: no rollback undoes what it does"
            yield Effect(type="runs", ref=ref, text=text, irreversible=True)
        elif ref.kind == _DEFINITION and outcome.before and outcome.after:
            was, now = _stored(outcome.before), _stored(outcome.after)
            if was != now:
                text = f"{ref} stores {now} from now on: a rollback must still serve it"
                yield Effect(type="stores", ref=ref, text=text, irreversible=True)
        elif outcome.op is outcomes.Op.RECREATE and ref not in told:
            text = f"{ref} is deleted and created anew: no rollback brings this one back"
            yield Effect(type="replaces", ref=ref, text=text, irreversible=True)


def _stored(definition: objects.Object) -> str:
    versions = objects.lookup(definition, ("spec", "versions"), ()) or ()
    return next((str(v.get("name")) for v in versions if v.get("storage")), "")


def _unready(
    done: Iterable[outcomes.Outcome], told: Mapping[refs.Ref, Sequence[str]]
) -> Iterator[Effect]:
    for outcome in done:
        verdict = outcome.health
        if verdict is None or verdict.is_settled or outcome.ref.kind == _EXTENSION:
            continue
        if outcome.op is outcomes.Op.DELETE:
            text = f"{outcome.ref} would not go away: {verdict.message}"
            yield Effect(type="hangs", ref=outcome.ref, text=text)
        elif verdict.state is not health.State.NOT_FOUND:
            words = (
                verdict.message or verdict.reason or str(verdict.state),
                *told.get(outcome.ref, ()),
            )
            why = "; ".join(dict.fromkeys(word.rstrip(".") for word in words))
            if _MISSING.search(why):
                why += "; a container may make it, and none runs here"
            text = f"{outcome.ref} would not become ready: {why}"
            if outcome.op is outcomes.Op.UNCHANGED:
                text = f"{outcome.ref} is not ready, and this does not change it: {why}"
            yield Effect(type="unready", ref=outcome.ref, text=text)


def _by_kind(items: Iterable[refs.Ref]) -> Iterator[tuple[refs.Ref, list[refs.Ref]]]:
    ordered = sorted(items)
    for _, group in itertools.groupby(ordered, key=lambda ref: (ref.group, ref.kind)):
        members = list(group)
        yield members[0], members


def _names(members: Sequence[refs.Ref]) -> str:
    return _listed([f"{ref.namespace}/{ref.name}".lstrip("/") for ref in members])


def _listed(names: Sequence[str]) -> str:
    shown, more = names[:_SHOWN_MAX], len(names) - _SHOWN_MAX
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
