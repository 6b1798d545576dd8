"""The frame in which every Knative kind is reconciled: conditions, generation, finalizer, status.

A reconciler's body gets a private copy of the object and changes its status; metadata and spec of
the object are written by other means. What it could not do it raises; the status it got to is
written all the same.

Source: knative.dev/pkg `reconciler/reconcile_common.go` and its generated reconcilers.
"""

from __future__ import annotations

from collections.abc import Callable

from understudy.controllers import clusters, recorders
from understudy.controllers.knative import conditions
from understudy.kube import objects, statuses

Body = Callable[[objects.Object, conditions.Conditions], float | None]
"""Changes the object's status; returns seconds until the next look, if any."""


class ReconcileError(statuses.ApiError):
    """Something a reconciler could not do; it is noted as an Event and tried again."""


def reconcile(
    cluster: clusters.Cluster,
    recorder: recorders.Recorder,
    ref: str,
    key: tuple[str, ...],
    dependents: tuple[str, ...],
    body: Body,
) -> float | None:
    """Run a body over an object and write its status if that changed.

    Objects that are being deleted are left alone. Raises what the body raised, afterwards.
    """
    namespace, name = key
    resource = cluster.find(ref, namespace, name)
    if resource is None or objects.metadata(resource).get("deletionTimestamp"):
        return None
    before = objects.copy(resource.get("status") or {})
    status = resource.setdefault("status", {})
    managed = conditions.Conditions(status, dependents, cluster.stamp())
    managed.initialize()
    generation = objects.metadata(resource).get("generation")
    if status.get("observedGeneration") != generation:
        managed.mark_unknown(conditions.READY, *conditions.GENERATION_BUMP)
    failure: statuses.ApiError | None = None
    again_s: float | None = None
    try:
        again_s = body(resource, managed)
    except statuses.ApiError as error:
        failure = error
    status["observedGeneration"] = generation
    managed.settle()
    if resource["status"] != before:
        write_status(cluster, ref, resource)
    if failure is not None:
        if not isinstance(failure, statuses.ConflictError):
            recorder.event(resource, "Warning", "InternalError", failure.message)
        raise failure
    return again_s


def write_status(cluster: clusters.Cluster, ref: str, resource: objects.Object) -> None:
    """Write an object's status over the newest version of the object."""
    newest = cluster.find(ref, objects.namespace_of(resource), objects.name_of(resource))
    if newest is None or objects.uid_of(newest) != objects.uid_of(resource):
        return
    newest["status"] = resource["status"]
    cluster.update_status(ref, newest)


def add_finalizer(
    cluster: clusters.Cluster,
    recorder: recorders.Recorder,
    ref: str,
    resource: objects.Object,
    finalizer: str,
) -> None:
    """See that a live object carries a finalizer."""
    present = list(objects.metadata(resource).get("finalizers") or ())
    if finalizer in present:
        return
    _patch_finalizers(cluster, ref, resource, [*present, finalizer])
    _note(recorder, resource)


def drop_finalizer(
    cluster: clusters.Cluster,
    recorder: recorders.Recorder,
    ref: str,
    resource: objects.Object,
    finalizer: str,
) -> None:
    """Let an object that is being deleted go, as far as this finalizer is concerned."""
    present = list(objects.metadata(resource).get("finalizers") or ())
    if finalizer not in present:
        return
    rest = [one for one in present if one != finalizer]
    _patch_finalizers(cluster, ref, resource, rest)
    _note(recorder, resource)


def _patch_finalizers(
    cluster: clusters.Cluster, ref: str, resource: objects.Object, finalizers: list[str]
) -> None:
    cluster.patch(
        ref,
        objects.namespace_of(resource),
        objects.name_of(resource),
        {"metadata": {"finalizers": finalizers}},
        patch_type=clusters.MERGE,
    )


def _note(recorder: recorders.Recorder, resource: objects.Object) -> None:
    name = objects.name_of(resource)
    recorder.event(resource, "Normal", "FinalizerUpdate", f'Updated "{name}" finalizers')
