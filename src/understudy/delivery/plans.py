"""What a rehearsal found, as data: operations, effects, obstacles, and what was not simulated.

The digest covers everything a person would read in the plan and nothing that differs from one
rehearsal to the next (uids, times, versions), so that two people can compare what they saw. A plan
file pins what the plan was made from; it holds no manifest and no Secret value.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from understudy.delivery import (
    chaos,
    diffs,
    effects,
    errors,
    estimates,
    journal as journals,
    masking,
    outcomes,
    pins,
    refs,
    revisions,
    stage as stages,
    targets,
    verifying,
    waiting,
)
from understudy.kube import health, objects

FORMAT = 1

_States = tuple[objects.Object | None, objects.Object | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What would happen to one object.

    Attributes:
        why: One word or sentence: `new`, the fields that change, `not in shop-v7`.
        waits_for: What is waited for afterwards: `established`, `active`, `health`, `exists`.
        record: It is one of this project's own definitions.
        state: How the object is now; None where there is none.
    """

    op: outcomes.Op
    ref: refs.Ref
    api_version: str
    wave: int = 0
    diffs: tuple[diffs.FieldDiff, ...] = ()
    why: str = ""
    created: str = ""
    uid: str = ""
    record: bool = False
    state: health.State | None = None

    def as_dict(self) -> objects.Object:
        """Render for the digest: without age and uid, which say nothing of what would happen."""
        out = {
            "op": str(self.op),
            "apiVersion": self.api_version,
            **self.ref.as_dict(),
            "wave": self.wave,
        }
        if self.diffs:
            out["diffs"] = [diff.as_dict() for diff in self.diffs]
        if self.why:
            out["why"] = self.why
        return out


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """An object that would not go, and what to do.

    Attributes:
        operation: What was tried with it; None for what is about no object.
        source: File and document of its manifest; empty where it is not delivered but deleted.
    """

    ref: refs.Ref | None
    obstacle: outcomes.Obstacle
    operation: Operation | None = None
    source: str = ""

    def __str__(self) -> str:
        if self.ref is None:
            return self.obstacle.message
        return self.obstacle.told_of(self.ref)

    def as_dict(self) -> objects.Object:
        """Render for JSON output."""
        out: objects.Object = {"message": self.obstacle.message}
        if self.ref is not None:
            out["ref"] = self.ref.as_dict()
        for key, value in (("field", self.obstacle.field), ("remedy", self.obstacle.remedy)):
            if value:
                out[key] = value
        if self.obstacle.blocked_by is not None:
            out["blockedBy"] = self.obstacle.blocked_by.as_dict()
        return out


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A rehearsal's result.

    Attributes:
        revision: Name of the revision that a delivery would make, or goes on with; empty where
            the application is deleted.
        is_new: Whether that revision is new.
        previous: Name of the revision before it; empty for the first.
        fidelity: What was not simulated, or not read, one sentence each.
        pins: What the plan is sure of, with `salt` the key of its digests.
        content: Digest of the manifests, keyed with the same salt.
        wanted: The manifests; not part of a plan file.
        written: Which fields of each object would be written: what the pins are about.
        journal: Every write of the rehearsal with its cause, in order; only in a plan file.
        forbidden: What whoever asked may not do of it, one sentence each; differs from one person
            to the next, so the digest leaves it out.
        read_at: The resourceVersions of what was read, by list; only in a plan file, and empty of
            a cluster in this process, from which nothing is copied.
        cascading: Objects that go, and others with them.
        estimate: How long it will probably take, where earlier deliveries tell.
        chaos: What became of a delivery that dies, if that was asked for.
        opinions: Where the server's dry run disagrees, if it was asked.
        verified: About how many objects it was asked; None where it was not.
        states: Each object before and after, as it is; see `whole`.
    """

    owner: targets.Owner
    revision: str
    is_new: bool = False
    previous: str = ""
    operations: tuple[Operation, ...] = ()
    effects: tuple[effects.Effect, ...] = ()
    blocked: tuple[Blocked, ...] = ()
    fidelity: tuple[str, ...] = ()
    pins: Mapping[refs.Ref, pins.Pin] = field(default_factory=dict)
    salt: str = field(default="", repr=False)
    content: str = ""
    wanted: Mapping[refs.Ref, objects.Object] = field(default_factory=dict, repr=False)
    written: Mapping[refs.Ref, objects.Object] = field(default_factory=dict, repr=False)
    journal: tuple[journals.Line, ...] = field(default=(), repr=False)
    forbidden: tuple[str, ...] = ()
    read_at: Mapping[str, str] = field(default_factory=dict, repr=False)
    cascading: frozenset[refs.Ref] = frozenset()
    estimate: estimates.Estimate | None = None
    chaos: chaos.Chaos | None = None
    opinions: tuple[verifying.Opinion, ...] = ()
    verified: int | None = None
    states: Mapping[refs.Ref, _States] = field(default_factory=dict, repr=False)
    mask: masking.Mask = field(default_factory=masking.Mask, repr=False)

    def whole(self, ref: refs.Ref) -> _States:
        """Return an object before and after, what is sensitive masked; None where there is none."""
        states = self.states.get(ref, (None, None))
        present = [state for state in states if state is not None]
        before, after = (self.mask.hide(s, present) if s is not None else None for s in states)
        return before, after

    @property
    def has_changes(self) -> bool:
        """Whether anything in the cluster would change."""
        return any(operation.op.is_change for operation in self.operations)

    @property
    def is_stopped(self) -> bool:
        """Whether it is not to be delivered: something is blocked, or dying would do harm."""
        return bool(self.blocked) or (self.chaos is not None and not self.chaos.converges)

    @property
    def recreations(self) -> frozenset[refs.Ref]:
        """Objects whose deletion and re-creation was seen to succeed."""
        return frozenset(o.ref for o in self.operations if o.op is outcomes.Op.RECREATE)

    def count(self, op: outcomes.Op) -> int:
        """Return how many operations are of a kind."""
        return sum(operation.op is op for operation in self.operations)

    def body(self) -> objects.Object:
        """Return what the digest covers."""
        return {
            "application": {"name": self.owner.application, "namespace": self.owner.namespace},
            "revision": self.revision,
            "previous": self.previous,
            "operations": [operation.as_dict() for operation in self.operations],
            "effects": [effect.as_dict() for effect in self.effects],
            "blocked": [blocked.as_dict() for blocked in self.blocked],
            "fidelity": list(self.fidelity),
        }

    @property
    def digest(self) -> str:
        """The same for the same input: `sha256:` and 64 hex digits."""
        text = orjson.dumps(self.body(), option=orjson.OPT_SORT_KEYS)
        return f"sha256:{hashlib.sha256(text).hexdigest()}"

    def as_dict(self) -> objects.Object:
        """Render for `-o json`."""
        summary = {str(op): self.count(op) for op in outcomes.Op if self.count(op)}
        asked: objects.Object = {}
        if self.verified is not None:
            told = [opinion.as_dict() for opinion in self.opinions]
            asked["verified"] = {"objects": self.verified, "disagreements": told}
        if self.forbidden:
            asked["forbidden"] = list(self.forbidden)
        if self.estimate is not None:
            asked["estimate"] = self.estimate.as_dict()
        if self.chaos is not None:
            asked["chaos"] = self.chaos.as_dict()
        return {
            **self.body(),
            "operations": [_told(operation) for operation in self.operations],
            "blocked": [
                one.as_dict() | ({"source": one.source} if one.source else {})
                for one in self.blocked
            ],
            **asked,
            "changed": self.has_changes,
            "summary": summary,
            "digest": self.digest,
        }

    def as_file(self) -> objects.Object:
        """Render for `--out`: the plan, and what it is pinned to."""
        return {
            "format": FORMAT,
            **self.as_dict(),
            "salt": self.salt,
            "content": self.content,
            "pins": [self.pins[ref].as_dict() for ref in sorted(self.pins)],
            "readAt": dict(sorted(self.read_at.items())),
            "journal": [
                {"seq": number, **line.as_dict()} for number, line in enumerate(self.journal, 1)
            ],
        }


def _told(operation: Operation) -> objects.Object:
    """Render an operation with what may differ from one rehearsal to the next."""
    out = operation.as_dict()
    if operation.uid:
        out["uid"] = operation.uid
    if operation.state is not None:
        out["state"] = str(operation.state)
    return out


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedPlan:
    """What a delivery needs of a plan file.

    Attributes:
        fields: What would change in each object, by path: before and after, masked.
    """

    owner: targets.Owner
    digest: str
    content: str
    salt: str = field(repr=False)
    pins: Mapping[refs.Ref, pins.Pin]
    operations: frozenset[tuple[str, refs.Ref]]
    fields: Mapping[refs.Ref, _Fields] = field(default_factory=dict, repr=False)

    def differences(self, now: Plan) -> list[str]:
        """Say how a plan of the same manifests differs now, a line for each field that does."""
        told = []
        for operation in now.operations:
            was = self.fields.get(operation.ref, {})
            becomes = _fields(operation.as_dict())
            for path in sorted(was.keys() | becomes.keys()):
                old, new = was.get(path), becomes.get(path)
                if old != new:
                    told.append(
                        f"{operation.ref}: {path} would be {_step(new)}, planned was {_step(old)}"
                    )
        return told


_Fields = dict[str, tuple[objects.Json, objects.Json]]


def _fields(operation: objects.Object) -> _Fields:
    listed = operation.get("diffs") or ()
    return {diff["path"]: (diff.get("before"), diff.get("after")) for diff in listed}


def _step(change: tuple[objects.Json, objects.Json] | None) -> str:
    """Return a change of a field as text: `1 -> 2`."""
    if change is None:
        return "left as it is"
    before, after = ("nothing" if value is None else diffs.shown(value) for value in change)
    return f"{before} -> {after}"


def from_file(content: bytes, name: str) -> SavedPlan:
    """Read a plan file.

    Raises:
        ManifestError: It is none.
    """
    try:
        value = orjson.loads(content)
        if value["format"] != FORMAT:
            raise errors.ManifestError(
                [f"{name}: is a plan of format {value['format']}; this version reads {FORMAT}"]
            )
        application = value["application"]
        listed = [pins.from_dict(item) for item in value["pins"]]
        return SavedPlan(
            owner=targets.Owner(application["name"], application["namespace"]),
            digest=value["digest"],
            content=value["content"],
            salt=value["salt"],
            pins={item.ref: item for item in listed},
            operations=frozenset((o["op"], refs.from_dict(o)) for o in value["operations"]),
            fields={refs.from_dict(o): _fields(o) for o in value["operations"]},
        )
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise errors.ManifestError([f"{name}: is no plan that `plan --out` wrote"]) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsed:
    """What a rehearsal leaves behind for the plan."""

    done: Sequence[outcomes.Outcome]
    installed: Sequence[outcomes.Outcome]
    complaints: Sequence[str]
    revision: revisions.Revision
    is_new: bool
    previous: revisions.Revision | None
    wanted: Mapping[refs.Ref, objects.Object]
    journal: Sequence[journals.Line] = ()
    refused: Mapping[refs.Ref, str] = field(default_factory=dict)
    reasons: Mapping[refs.Ref, Sequence[str]] = field(default_factory=dict)
    mask: masking.Mask = field(default_factory=masking.Mask)


def build(
    owner: targets.Owner,
    rehearsed: Rehearsed,
    changes: Sequence[stages.Change],
    fidelity: Sequence[str],
    salt: str,
    now: dt.datetime,
) -> Plan:
    """Make the plan of a rehearsal; `now` is when it was made."""
    facts = health.Facts(now=now)
    before = {
        refs.ref_of(obj): obj for obj in (rehearsed.previous.objects if rehearsed.previous else ())
    }
    name = rehearsed.revision.name if rehearsed.revision.number else ""
    operations = [
        _operation(outcome, rehearsed.wanted, before, name, rehearsed.mask, facts)
        for outcome in rehearsed.done
    ]
    blocked = [
        Blocked(
            ref=outcome.ref,
            obstacle=outcome.obstacle,
            operation=operation,
            source=outcome.obstacle.source,
        )
        for outcome, operation in zip(rehearsed.done, operations, strict=True)
        if outcome.obstacle is not None
    ]
    operations = [
        *(Operation(op=o.op, ref=o.ref, api_version=o.api_version, why="new", record=True)
          for o in rehearsed.installed),
        *(operation for operation in operations if operation.op is not outcomes.Op.BLOCKED),
    ]  # fmt: skip
    blocked += (
        Blocked(ref=None, obstacle=outcomes.Obstacle(message=text)) for text in rehearsed.complaints
    )
    final = {o.ref: o.after for o in rehearsed.done if o.after is not None}
    ran = {o.ref for o in rehearsed.done if o.op is outcomes.Op.RUN}
    written = {
        o.ref: tree
        for o in rehearsed.done
        if (tree := pins.written(o.before, o.after, owner.manager)) is not None
    }
    pinned = {
        o.ref: pins.pin(o.ref, o.before, written.get(o.ref), salt)
        for o in rehearsed.done
        if o.op not in (outcomes.Op.IGNORE, outcomes.Op.GONE) and o.ref not in ran
    }
    return Plan(
        owner=owner,
        revision=name,
        is_new=rehearsed.is_new,
        previous=rehearsed.previous.name if rehearsed.previous else "",
        operations=tuple(operations),
        effects=tuple(
            effects.find(
                rehearsed.done,
                changes,
                final,
                {o.ref for o in rehearsed.installed},
                rehearsed.refused,
                rehearsed.reasons,
            )
        ),
        blocked=tuple(blocked),
        fidelity=tuple(dict.fromkeys(fidelity)),
        pins=pinned,
        salt=salt,
        content=revisions.digest_of(list(rehearsed.wanted.values()), salt),
        wanted=rehearsed.wanted,
        written=written,
        cascading=_cascading(rehearsed.done, changes),
        journal=tuple(rehearsed.journal),
        states={o.ref: (o.before, o.after) for o in rehearsed.done if o.op.is_change},
        mask=rehearsed.mask,
    )


def _cascading(
    done: Sequence[outcomes.Outcome], changes: Sequence[stages.Change]
) -> frozenset[refs.Ref]:
    """Return what was deleted and took with it what it owned."""
    lost = {
        owner.get("uid")
        for change in changes
        if change.is_gone and change.before is not None
        for owner in objects.metadata(change.before).get("ownerReferences") or ()
    }
    return frozenset(
        outcome.ref
        for outcome in done
        if outcome.op is outcomes.Op.DELETE and objects.uid_of(outcome.before or {}) in lost
    )


def _operation(
    outcome: outcomes.Outcome,
    wanted: Mapping[refs.Ref, objects.Object],
    before: Mapping[refs.Ref, objects.Object],
    revision: str,
    mask: masking.Mask,
    facts: health.Facts,
) -> Operation:
    found: list[diffs.FieldDiff] = []
    compared = (outcomes.Op.CHANGE, outcomes.Op.ADOPT, outcomes.Op.RECREATE)
    if outcome.op in compared and outcome.before is not None and outcome.after is not None:
        states = (outcome.before, outcome.after, wanted.get(outcome.ref) or {})
        was, becomes, is_wanted = (mask.hide(state, states) for state in states)
        then = before.get(outcome.ref)
        found = diffs.compare(
            was,
            becomes,
            wanted=is_wanted,
            wanted_before=mask.hide(then, states) if then is not None else None,
            adopted=outcome.op is outcomes.Op.ADOPT,
        )
    return Operation(
        op=outcome.op,
        ref=outcome.ref,
        api_version=outcome.api_version,
        wave=outcome.wave,
        diffs=tuple(found),
        why=_why(outcome, found, revision),
        created=str(objects.metadata(outcome.before or {}).get("creationTimestamp") or ""),
        uid=objects.uid_of(outcome.before) if outcome.before is not None else "",
        state=_state(outcome, facts),
    )


def _state(outcome: outcomes.Outcome, facts: health.Facts) -> health.State | None:
    """Return how an object is now that something is done with; one without status is as it is."""
    is_shown = outcome.op.is_change or outcome.op is outcomes.Op.BLOCKED
    if outcome.before is None or not is_shown:
        return None
    if waiting.exists_is_enough(outcome.ref):
        return health.State.CURRENT
    reports = "status" in outcome.before
    return health.assess(outcome.before, dataclasses.replace(facts, reports_status=reports)).state


def _why(outcome: outcomes.Outcome, found: Sequence[diffs.FieldDiff], revision: str) -> str:
    match outcome.op:
        case outcomes.Op.CREATE:
            return outcome.note or "new"
        case outcomes.Op.DELETE:
            return outcome.note or (f"not in {revision}" if revision else "the application goes")
        case outcomes.Op.CHANGE:
            drift = {diff.manager for diff in found if diff.cause is diffs.Cause.DRIFT}
            if drift and all(diff.cause is not diffs.Cause.YOU for diff in found):
                return f"drift: changed by {', '.join(sorted(drift))}"
            return "" if found else "only who owns its fields"
        case _:
            return outcome.note
