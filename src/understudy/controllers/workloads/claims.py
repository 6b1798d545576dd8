"""Adopting and releasing: which of the objects that match a selector belong to an owner.

Owned and matching is kept; owned but no longer matching is released; matching without a controller
is adopted. An owner that is being deleted adopts nothing.

Source: PodControllerRefManager in pkg/controller/controller_ref_manager.go.
"""

from __future__ import annotations

from collections.abc import Callable

from understudy.controllers import clusters
from understudy.kube import objects, selectors, statuses


def claim(
    cluster: clusters.Cluster,
    ref: str,
    owner: objects.Object,
    selector: selectors.LabelSelector,
    *,
    finalizer: str = "",
    accept: Callable[[objects.Object], bool] = bool,
) -> list[objects.Object]:
    """Return the objects of `ref` that belong to `owner`, adopting and releasing by the way.

    The objects are shared and not to be changed; ordered by name. Pods that are over are not
    adopted. What `accept` refuses counts as not matching (a StatefulSet's names); `finalizer` is
    given to what is adopted and taken from what is released (job tracking).
    """
    namespace, uid = objects.namespace_of(owner), objects.uid_of(owner)
    leaving = bool(objects.metadata(owner).get("deletionTimestamp"))
    claimed: list[objects.Object] = []
    for obj in cluster.indexes.controlled(ref, namespace, uid):
        if selector.matches(objects.labels_of(obj)) and accept(obj):
            claimed.append(obj)
        elif not leaving:
            _release(cluster, ref, obj, uid, finalizer)
    if leaving or selector.empty:
        return claimed
    adopted = []
    for obj in cluster.indexes.loose(ref, namespace):
        if not selector.matches(objects.labels_of(obj)) or not accept(obj):
            continue
        if objects.metadata(obj).get("deletionTimestamp"):
            continue
        if ref == "pods" and (obj.get("status") or {}).get("phase") in {"Succeeded", "Failed"}:
            continue
        taken = _adopt(cluster, ref, obj, owner, finalizer)
        if taken is not None:
            adopted.append(taken)
    return sorted((*claimed, *adopted), key=objects.name_of) if adopted else claimed


def _adopt(
    cluster: clusters.Cluster, ref: str, obj: objects.Object, owner: objects.Object, finalizer: str
) -> objects.Object | None:
    meta: objects.Object = {
        "ownerReferences": [clusters.owner_reference(owner)],
        "uid": objects.uid_of(obj),
    }
    if finalizer:
        meta["finalizers"] = [finalizer]
    try:
        return cluster.patch(
            ref, objects.namespace_of(obj), objects.name_of(obj), {"metadata": meta}
        )
    except statuses.NotFoundError:
        return None


def _release(
    cluster: clusters.Cluster, ref: str, obj: objects.Object, uid: str, finalizer: str
) -> None:
    meta: objects.Object = {
        "uid": objects.uid_of(obj),
        "ownerReferences": [{"$patch": "delete", "uid": uid}],
    }
    if finalizer:
        meta["$deleteFromPrimitiveList/finalizers"] = [finalizer]
    try:
        cluster.patch(ref, objects.namespace_of(obj), objects.name_of(obj), {"metadata": meta})
    except (statuses.NotFoundError, statuses.InvalidError):
        # Gone, or no longer ours: either way there is nothing left to release.
        return


def controller_key(obj: objects.Object, kind: str, group: str) -> tuple[str, str] | None:
    """Return namespace and name of an object's controller if it is of this kind, or None."""
    for reference in objects.metadata(obj).get("ownerReferences") or ():
        if reference.get("controller"):
            found_group = str(reference.get("apiVersion") or "").rpartition("/")[0]
            if reference.get("kind") == kind and found_group == group:
                return (objects.namespace_of(obj), str(reference.get("name") or ""))
            return None
    return None


def controller_of(obj: objects.Object) -> objects.Object | None:
    """Return the reference of an object's controller, or None."""
    for reference in objects.metadata(obj).get("ownerReferences") or ():
        if reference.get("controller"):
            found: objects.Object = reference
            return found
    return None
