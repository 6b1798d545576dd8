"""Server-side apply: merge a configuration, give up what it no longer has, find conflicts.

1. The configuration is merged into the live object.
2. Fields which the manager applied last time, did not now, and nobody else owns, are removed.
3. A field that another manager owns and that now has another value is a conflict, unless forced:
   then the other loses it. Applying the same value makes both owners.

Source: sigs.k8s.io/structured-merge-diff `merge/update.go`; the errors and the manager `kubectl`'s
last-applied annotation: k8s.io/apimachinery `pkg/util/managedfields/internal`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from understudy.kube import goformats, identities, objects, schemas, statuses
from understudy.kube.apply import (
    checks,
    claims,
    comparisons,
    fieldsets,
    managers,
    merging,
    resets,
    shapes,
    updating,
)

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
BEFORE_FIRST_APPLY = "before-first-apply"
"""Manager of the fields of an object which had no managedFields when it was first applied to."""

_CLIENT_SIDE_HEIR = "kubectl"
"""The manager that takes over from client-side apply."""


@dataclass(frozen=True, slots=True)
class _Conflict:
    manager: managers.Identity
    path: fieldsets.Path


class _ConflictsError(Exception):
    def __init__(self, conflicts: list[_Conflict]) -> None:
        super().__init__("conflicts")
        self.conflicts = conflicts


def apply(
    live: objects.Object | None,
    config: objects.Object,
    *,
    schema: schemas.Schema,
    manager: str,
    api_version: str,
    subresource: str,
    force: bool,
    now: str,
    reset: resets.Resets = resets.NOTHING,
    versions: updating.Versions | None = None,
) -> objects.Object:
    """Return the live object with a configuration applied, managedFields included.

    Neither argument is modified; the result shares with both. It still has to be decoded and
    defaulted: what is null in the configuration is null in the result.

    Args:
        live: The object as it is, in the configuration's version; None to create it.
        config: What the client sent, not decoded.
        schema: Of that version.
        manager: The client's fieldManager.
        api_version: The version, e.g. `apps/v1`.
        subresource: Through which the apply comes; empty for the main resource.
        force: Take over fields in conflict.
        now: Time of the apply (RFC 3339); kept in the entry if the object changes.
        reset: The fields that such a write cannot set.
        versions: For entries in other versions; without it they are taken to be in this one.

    Raises:
        BadRequestError: The configuration has managedFields, or another version.
        InternalError: It does not fit the schema.
        ConflictError: Others own fields which it sets to other values.
    """
    _check_meta(config, api_version)
    shape = shapes.root(schema)
    if complaint := checks.complaint(shape, config):
        raise statuses.InternalError(
            f"failed to create typed patch object ({_described(config)}): {complaint}", reason=""
        )
    who = managers.identity("Apply", manager, api_version, subresource)
    application = _Application(shape, config, who, api_version, reset, versions)
    if live is None:
        return _created(application, now)
    current = _current(live, application, now)
    try:
        merged, entries = _applied_by(application, live, current, force=force)
    except _ConflictsError as error:
        raise _conflict_error(error.conflicts) from None
    out = dict(live if merged is None else merged)
    out["metadata"] = dict(out["metadata"])
    out["metadata"].pop("managedFields", None)
    if merged is not None and who in entries:
        entry = entries[who]
        entries[who] = managers.Entry(entry.fields, entry.api_version, now)
    if who.manager == _CLIENT_SIDE_HEIR:
        _renew_last_applied(out["metadata"], config)
    if entries:
        out["metadata"]["managedFields"] = managers.encode(entries)
    return out


def _check_meta(config: objects.Object, api_version: str) -> None:
    gvk = identities.gvk_of(config)
    if gvk.api_version != api_version:
        raise statuses.BadRequestError(
            f"invalid object type: {gvk.group}/{gvk.version}, Kind={gvk.kind}"
        )
    if "managedFields" in objects.metadata(config):
        raise statuses.BadRequestError("metadata.managedFields must be nil")


def _described(config: objects.Object) -> str:
    gvk = identities.gvk_of(config)
    name, namespace = objects.name_of(config), objects.namespace_of(config)
    return f"{namespace}/{name}; {gvk.group}/{gvk.version}, Kind={gvk.kind}"


@dataclass(frozen=True, slots=True)
class _Application:
    """One configuration by one manager."""

    shape: shapes.Shape
    config: objects.Object
    who: managers.Identity
    api_version: str
    reset: resets.Resets
    versions: updating.Versions | None

    @property
    def claimed(self) -> fieldsets.Tree:
        """The fields that the configuration sets and that count."""
        return self.reset.kept(claims.claimed(self.shape, self.config))


def _created(application: _Application, now: str) -> objects.Object:
    out = dict(application.config)
    out["metadata"] = dict(objects.metadata(out))
    if owned := updating.stripped(application.claimed):
        entry = managers.Entry(owned, application.api_version, now)
        out["metadata"]["managedFields"] = managers.encode({application.who: entry})
    return out


def _current(live: objects.Object, application: _Application, now: str) -> managers.Managers:
    """Return the live object's entries; one for all its fields where it has none."""
    try:
        found = managers.decode(live["metadata"].get("managedFields"), trusted=True)
    except managers.ManagedFieldsError as error:
        raise statuses.InternalError(
            f"failed to decode managed fields: {error}", reason=""
        ) from error
    if found:
        return found
    shape = application.shape
    try:
        everything = comparisons.compare(shape, shape.blank or {}, live)
    except shapes.ItemError as error:
        raise statuses.InternalError(
            f"failed to create manager for existing fields: {error}", reason=""
        ) from error
    owned = updating.stripped(application.reset.kept(everything.set))
    if not owned:
        return {}
    who = managers.identity(
        "Update", BEFORE_FIRST_APPLY, application.api_version, application.who.subresource
    )
    return {who: managers.Entry(owned, application.api_version, now)}


def _applied_by(
    application: _Application,
    live: objects.Object,
    current: managers.Managers,
    *,
    force: bool,
) -> tuple[objects.Object | None, managers.Managers]:
    """Apply; as `kubectl`, take over from client-side apply what that applied last.

    Raises:
        _ConflictsError: Others own fields that would change.
    """
    try:
        return _applied(application, live, current, force=force)
    except _ConflictsError as error:
        if application.who.manager != _CLIENT_SIDE_HEIR:
            raise
        allowed = _last_applied(application, live)
        rest = [one for one in error.conflicts if not fieldsets.has(allowed, one.path)]
        if rest:
            raise _ConflictsError(rest) from None
        return _applied(application, live, current, force=True)


def _applied(
    application: _Application,
    live: objects.Object,
    current: managers.Managers,
    *,
    force: bool,
) -> tuple[objects.Object | None, managers.Managers]:
    """Return the new object (None if nothing changes) and everybody's fields."""
    shape, who = application.shape, application.who
    base = dict(live)
    base["metadata"] = {
        name: value for name, value in live["metadata"].items() if name != "managedFields"
    }
    merged = merging.merged(shape, base, application.config)
    if shape.changing:
        current = {
            one: entry._replace(fields=claims.reconciled(shape, entry.fields))
            for one, entry in current.items()
        }
    last = current.get(who)
    mine = managers.Entry(
        application.claimed, application.api_version, last.time if last is not None else ""
    )
    others = {one: entry for one, entry in current.items() if one != who}
    if last is not None and last.fields != mine.fields:
        merged = _pruned(shape, merged, last.fields, [mine, *others.values()])
    found = comparisons.compare(shape, base, merged)
    change = updating.Change(
        shape, found, base, merged, application.api_version, application.reset,
        application.versions,
    )  # fmt: skip
    conflicts = [
        _Conflict(one, path)
        for one, entry in sorted(others.items(), key=lambda row: row[0].text)
        if (seen := change.seen_in(entry.api_version)) is not None
        for path in fieldsets.paths(fieldsets.intersection(entry.fields, seen.set))
    ]
    if conflicts and not force:
        raise _ConflictsError(conflicts)
    entries = updating.yielded(others, change.seen_in, shape=shape)
    owned = updating.stripped(mine.fields)
    if owned:
        entries[who] = managers.Entry(owned, mine.api_version, mine.time)
    # A comparison does not see the order of items; the object changes by that, too.
    return (merged if found or merged != base else None), entries


def _pruned(
    shape: shapes.Shape,
    merged: objects.Object,
    last: fieldsets.Tree,
    owners: list[managers.Entry],
) -> objects.Object:
    """Remove what the manager applied last time and nobody claims now.

    Items go as a whole, with whatever defaults put into them; but what others own inside them, and
    the way to it, is put back, and so is everything that the manager never applied itself.
    """
    mine = owners[0].fields
    if not fieldsets.difference(last, mine):
        return merged
    last = claims.with_named_parents(shape, last)
    everything = claims.with_named_parents(shape, claims.claimed(shape, merged))
    left = _fields_of(shape, merging.removed(shape, merged, last))
    owned: fieldsets.Tree = {}
    for entry in owners:
        owned = fieldsets.union(owned, claims.with_named_parents(shape, entry.fields))
    goes = fieldsets.difference(everything, fieldsets.union(left, owned))
    left = _fields_of(shape, merging.removed(shape, merged, goes))
    goes = fieldsets.intersection(fieldsets.difference(everything, left), last)
    return merging.removed(shape, merged, goes)


def _fields_of(shape: shapes.Shape, obj: objects.Object) -> fieldsets.Tree:
    return claims.with_named_parents(shape, claims.claimed(shape, obj))


# ---------------------------------------------------------------------- conflicts


def _conflict_error(conflicts: list[_Conflict]) -> statuses.ConflictError:
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f"conflict with {one.manager.shown}",
            "field": fieldsets.shown(one.path),
        }
        for one in conflicts
    ]
    return statuses.ConflictError(_conflict_message(conflicts), details={"causes": causes})


def _conflict_message(conflicts: list[_Conflict]) -> str:
    if len(conflicts) == 1:
        only = conflicts[0]
        return (
            f"Apply failed with 1 conflict: conflict with {only.manager.shown}: "
            f"{fieldsets.shown(only.path)}"
        )
    lines = []
    previous = None
    for one in conflicts:
        if one.manager != previous:
            lines.append(f"conflicts with {one.manager.shown}:")
            previous = one.manager
        lines.append(f"- {fieldsets.shown(one.path)}")
    return f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(lines)


# ---------------------------------------------------------------------- client-side apply


def _last_applied(application: _Application, live: objects.Object) -> fieldsets.Tree:
    """Return the fields that client-side apply set last and that still have its values."""
    text = objects.annotations_of(live).get(LAST_APPLIED) or ""
    try:
        config = json.loads(text)
    except ValueError:
        return {}
    shape = application.shape
    if not isinstance(config, dict) or config.get("apiVersion") != application.api_version:
        return {}
    if checks.complaint(shape, config):
        return {}
    try:
        found = comparisons.compare(shape, config, live)
    except shapes.ItemError:
        return {}
    fields = claims.claimed(shape, config)
    for changed in (found.modified, found.added, found.removed):
        fields = fieldsets.difference(fields, changed)
    return fields


def _renew_last_applied(meta: objects.Object, config: objects.Object) -> None:
    """Keep client-side apply's annotation, where there is one, in step with what was applied."""
    annotations = meta.get("annotations") or {}
    if not annotations.get(LAST_APPLIED):
        return
    shown = dict(config)
    own = objects.annotations_of(config)
    if LAST_APPLIED in own:
        rest = {name: value for name, value in own.items() if name != LAST_APPLIED}
        shown["metadata"] = dict(config["metadata"]) | {"annotations": rest}
        if not rest:
            del shown["metadata"]["annotations"]
    meta["annotations"] = annotations | {LAST_APPLIED: goformats.json_text(shown) + "\n"}
