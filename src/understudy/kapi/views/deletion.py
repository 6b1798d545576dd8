"""Deletion: preconditions, grace, finalizers, and what propagation policies leave behind.

| object                                | what happens                                            |
| ------------------------------------- | ------------------------------------------------------- |
| no finalizers, no grace               | gone; the answer is a Status (or the object, by kind)   |
| finalizers left                       | deletionTimestamp is set; gone with the last finalizer  |
| a pod with grace and a node           | deletionTimestamp is set; the kubelet deletes with 0    |
| a namespace                           | phase Terminating; gone when `finalize` empties it      |

The policies Orphan and Foreground are finalizers (`orphan`, `foregroundDeletion`) that the garbage
collector takes away when it has done its part.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from understudy.aio import clocks
from understudy.kapi.admission import chain as admission
from understudy.kapi.resources import catalogue
from understudy.kapi.store import entries
from understudy.kapi.views import options as opts, results
from understudy.kube import identities, objects, statuses

if TYPE_CHECKING:
    from understudy.kapi.views import view as views

ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"
_OWN_DELETION = (
    identities.GroupResource("", "namespaces"),
    identities.GroupResource("apiextensions.k8s.io", "customresourcedefinitions"),
)


def delete(
    view: views.View,
    resource: catalogue.Resource,
    name: str,
    namespace: str,
    options: opts.DeleteOptions,
) -> results.Written:
    """Delete an object, now or by starting its termination.

    Raises:
        NotFoundError: There is none. ConflictError: a precondition is not met.
        ForbiddenError: admission refuses.
    """
    key = f"{namespace}/{name}" if resource.namespaced else name
    entry = view.store.get(resource.storage, key)
    if entry is None:
        raise statuses.not_found(resource.group_resource, name)
    warnings = _warnings(resource, options)
    try:
        check_preconditions(resource, name, entry, options)
    except statuses.ApiError as error:
        error.warnings = (*warnings, *error.warnings)
        raise
    view.convert(resource, [entry], options.attempt)
    old = entry.working(resource)
    attributes = admission.Attributes(
        reader=view,
        resource=resource,
        operation="DELETE",
        namespace=namespace,
        name=name,
        subresource="",
        obj=None,
        old=old,
        user=options.user,
        dry_run=options.dry_run,
        now=view.now(),
        options=options,
        attempt=options.attempt,
    )
    view.shared.chain.validate(attributes)
    obj = entry.load()
    meta = obj["metadata"]
    grace_s = _grace(resource, obj, options)
    finalizers = _finalizers(resource, meta, options)
    if finalizers != (meta.get("finalizers") or []):
        meta["finalizers"] = finalizers
        if not finalizers:
            del meta["finalizers"]
    warnings += attributes.warnings
    pending = bool(finalizers) or resource.strategy.holds_deletion(obj)
    if not pending and grace_s == 0:
        written = _remove(view, resource, entry, obj, options)
    else:
        _mark(view, resource, obj, grace_s)
        if obj == entry.load():
            written = results.Written(resource, entry)
        elif options.dry_run:
            written = _dry(resource, obj)
        else:
            written = results.Written(resource, view.commit(resource, key, obj))
    written.warnings += warnings
    return written


def _warnings(resource: catalogue.Resource, options: opts.DeleteOptions) -> list[str]:
    """Say what a client may not expect of a deletion without a policy."""
    said = options.propagation_policy or options.orphan_dependents is not None
    text = resource.strategy.orphan_warning
    return [text] if text and not said else []


def is_finished(resource: catalogue.Resource, obj: objects.Object, old: objects.Object) -> bool:
    """Say whether an update takes the last finalizer from a terminating object.

    A kind may hold deletions in a way of its own: a namespace has finalizers in its spec.
    """
    meta = obj["metadata"]
    if not meta.get("deletionTimestamp") or meta.get("finalizers"):
        return False
    if meta.get("deletionGracePeriodSeconds") or resource.strategy.holds_deletion(obj):
        return False
    return bool(old["metadata"].get("finalizers")) or resource.strategy.holds_deletion(old)


def check_preconditions(
    resource: catalogue.Resource, name: str, entry: entries.Entry, options: opts.DeleteOptions
) -> None:
    """Refuse to delete another object, or another version of it, than was meant."""
    wanted_uid, wanted_version = options.uid, options.resource_version
    wrong_uid = bool(wanted_uid) and wanted_uid != entry.uid
    wrong_version = bool(wanted_version) and wanted_version != str(entry.revision)
    if not wrong_uid and not wrong_version:
        return
    if resource.storage in _OWN_DELETION:
        # These have a deletion of their own, with words of its own.
        what, wanted, found = (
            ("UID", wanted_uid, entry.uid)
            if wrong_uid
            else ("ResourceVersion", wanted_version, str(entry.revision))
        )
        raise statuses.conflict(
            resource.group_resource,
            name,
            f"Precondition failed: {what} in precondition: {wanted}, "
            f"{what} in object meta: {found}",
        )
    # The generic deletion names the kind where everything else names the resource.
    kind = identities.GroupResource(resource.group, resource.kind)
    if wrong_uid:
        raise statuses.conflict(
            kind,
            name,
            f"the UID in the precondition ({wanted_uid}) does not match the UID in record "
            f"({entry.uid}). The object might have been deleted and then recreated",
        )
    raise statuses.conflict(
        kind,
        name,
        f"the ResourceVersion in the precondition ({wanted_version}) does not match the "
        f"ResourceVersion in record ({entry.revision}). The object might have been modified",
    )


def _grace(resource: catalogue.Resource, obj: objects.Object, options: opts.DeleteOptions) -> int:
    if not resource.strategy.graceful:
        return 0
    grace_s = options.grace_period_s
    if grace_s is None:
        own = objects.lookup(obj, ("spec", "terminationGracePeriodSeconds"))
        grace_s = 30 if own is None else int(own)
    if grace_s < 0:
        grace_s = 1
    if not objects.lookup(obj, ("spec", "nodeName")):
        return 0
    if objects.lookup(obj, ("status", "phase")) in {"Succeeded", "Failed"}:
        return 0
    return grace_s


def _finalizers(
    resource: catalogue.Resource, meta: objects.Object, options: opts.DeleteOptions
) -> list[str]:
    present: list[str] = list(meta.get("finalizers") or [])
    policy = options.propagation_policy
    if not policy and options.orphan_dependents is not None:
        policy = "Orphan" if options.orphan_dependents else "Background"
    if not policy:
        if ORPHAN in present or FOREGROUND in present:
            return present
        policy = "Orphan" if resource.strategy.orphans_by_default else "Background"
    kept = [finalizer for finalizer in present if finalizer not in {ORPHAN, FOREGROUND}]
    if policy == "Orphan":
        kept.append(ORPHAN)
    elif policy == "Foreground":
        kept.append(FOREGROUND)
    return kept


def _mark(
    view: views.View, resource: catalogue.Resource, obj: objects.Object, grace_s: int
) -> None:
    meta = obj["metadata"]
    now = view.now()
    if not meta.get("deletionTimestamp"):
        meta["deletionTimestamp"] = clocks.rfc3339(now + dt.timedelta(seconds=grace_s))
        meta["deletionGracePeriodSeconds"] = grace_s
        if "generation" in meta:
            meta["generation"] += 1
    elif grace_s < int(meta.get("deletionGracePeriodSeconds") or 0):
        # A second, shorter request brings the end forward; a longer one changes nothing.
        asked = dt.datetime.fromisoformat(meta["deletionTimestamp"])
        asked -= dt.timedelta(seconds=int(meta["deletionGracePeriodSeconds"]))
        meta["deletionTimestamp"] = clocks.rfc3339(asked + dt.timedelta(seconds=grace_s))
        meta["deletionGracePeriodSeconds"] = grace_s
    resource.strategy.terminating(obj)


def _remove(
    view: views.View,
    resource: catalogue.Resource,
    entry: entries.Entry,
    obj: objects.Object,
    options: opts.DeleteOptions,
) -> results.Written:
    meta = obj["metadata"]
    if resource.strategy.graceful and (
        not meta.get("deletionTimestamp") or meta.get("deletionGracePeriodSeconds")
    ):
        # The end of a grace period is an event of its own, even where it is over at once.
        _mark(view, resource, obj, 0)
        if not options.dry_run:
            view.commit(resource, entry.key, obj)
    if options.dry_run:
        if resource.strategy.returns_object_on_delete:
            return _dry(resource, obj)
        return results.Written(resource, None, obj=_success(resource, entry))
    gone = view.drop(resource, entry.key, obj)
    if resource.strategy.returns_object_on_delete:
        return results.Written(resource, gone)
    return results.Written(resource, None, obj=_success(resource, entry))


def _success(resource: catalogue.Resource, entry: entries.Entry) -> objects.Object:
    details: objects.Object = {"name": entry.name, "kind": resource.plural, "uid": entry.uid}
    if resource.group:
        details["group"] = resource.group
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details,
    }


def _dry(resource: catalogue.Resource, obj: objects.Object) -> results.Written:
    if resource.from_storage is not None:
        obj = resource.from_storage(obj)
    obj["apiVersion"], obj["kind"] = resource.api_version, resource.kind
    return results.Written(resource, None, obj=obj)
