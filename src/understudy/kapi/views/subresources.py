"""Subresources that speak another kind than their object: scale, binding, eviction.

Those that speak the object's own kind (status, finalize, approval, resize, ephemeralcontainers) go
through `writes` with `subresource` set; the kind's strategy says which fields count.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from understudy.kapi.admission import chain as admission, pods
from understudy.kapi.resources import catalogue, definitions, recognition
from understudy.kapi.store import entries
from understudy.kapi.views import deletion, options as opts, ownership, results, writes
from understudy.kube import (
    budgets,
    decoding,
    identities,
    objects,
    patches,
    schemas,
    selectors,
    statuses,
)

if TYPE_CHECKING:
    from understudy.kapi.views import view as views

_INT32 = schemas.Schema(type="integer", format="int32")
_STRING = schemas.Schema(type="string")
SCALE_SCHEMA = schemas.Schema(
    type="object",
    name="Scale",
    fields={
        "apiVersion": _STRING,
        "kind": _STRING,
        "metadata": schemas.ANY,
        "spec": schemas.Schema(type="object", name="ScaleSpec", fields={"replicas": _INT32}),
        "status": schemas.Schema(
            type="object",
            name="ScaleStatus",
            fields={"replicas": _INT32, "selector": _STRING},
        ),
    },
)


SCALE = identities.GroupVersionKind("autoscaling", "v1", "Scale")


def decode_body(
    view: views.View,
    kind: identities.GroupVersionKind,
    body: objects.Object,
    options: opts.WriteOptions,
) -> list[str]:
    """Normalise a subresource's own kind in place, as any object is; return warnings.

    Raises:
        BadRequestError: A field has another type.
    """
    return decoding.decode(
        body,
        view.catalogue.schema_of(kind),
        mode=options.field_validation,
        api_version=kind.api_version,
        kind=kind.kind,
        duplicates=options.duplicates,
    )


# ---------------------------------------------------------------------- scale


def scale_of(
    resource: catalogue.Resource, entry: entries.Entry, obj: objects.Object | None = None
) -> objects.Object:
    """Return an object's Scale (autoscaling/v1).

    Raises:
        InternalError: A custom object does not say how many replicas it wants.
    """
    obj = obj if obj is not None else entry.object(resource)
    path = resource.strategy.scale_paths.spec
    if resource.custom and objects.lookup(obj, path) is None:
        why = f'the spec replicas field ".{".".join(path)}" does not exist'
        raise statuses.InternalError(
            f"Internal error occurred: {why}", details={"causes": [{"message": why}]}
        )
    return _scale_of(resource, obj)


def _scale_of(resource: catalogue.Resource, obj: objects.Object) -> objects.Object:
    meta = obj["metadata"]
    paths = resource.strategy.scale_paths
    shown = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    replicas = objects.lookup(obj, paths.spec)
    status: objects.Object = {"replicas": objects.lookup(obj, paths.status) or 0}
    selector = _selector_text(objects.lookup(obj, paths.selector) if paths.selector else None)
    if selector:
        status["selector"] = selector
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: meta[key] for key in shown if key in meta},
        "spec": {"replicas": replicas} if replicas else {},
        "status": status,
    }


def _selector_text(selector: objects.Json) -> str:
    if isinstance(selector, str):
        return selector
    if not isinstance(selector, dict):
        return ""
    if "matchLabels" in selector or "matchExpressions" in selector:
        return selectors.format_labels(selector)
    return ",".join(f"{key}={selector[key]}" for key in sorted(selector))


def update_scale(
    view: views.View,
    resource: catalogue.Resource,
    scale: objects.Object,
    namespace: str,
    name: str,
    options: opts.WriteOptions,
) -> results.Written:
    """Set an object's replicas to those of a Scale; everything else of it stays."""
    entry = _entry(view, resource, namespace, name)
    view.convert(resource, [entry], options.attempt)
    warnings = decode_body(view, SCALE, scale, options)
    _check_scale(resource, entry, scale)
    written = _set_scale(view, resource, entry, scale, options)
    written.warnings[:0] = warnings
    return written


def patch_scale(
    view: views.View,
    resource: catalogue.Resource,
    name: str,
    patch: objects.Json,
    namespace: str,
    patch_type: str,
    options: opts.WriteOptions,
) -> results.Written:
    """Patch an object's Scale; server-side apply merges its spec under the given manager."""
    entry = _entry(view, resource, namespace, name)
    view.convert(resource, [entry], options.attempt)
    live = _scale_of(resource, entry.object(resource))
    if patch_type == opts.APPLY_PATCH:
        obj = entry.object(resource)
        scale = ownership.applied_scale(view, resource, obj, live, patch, options, SCALE_SCHEMA)
    else:
        scale = patches.apply(patch_type, live, patch, SCALE_SCHEMA)
    try:
        decode_body(view, SCALE, scale, options)
    except statuses.BadRequestError as error:
        raise patches.refusal(patch_type, patch, scale, SCALE_SCHEMA, error) from None
    _check_scale(resource, entry, scale)
    return _set_scale(view, resource, entry, scale, options)


def _check_scale(resource: catalogue.Resource, entry: entries.Entry, scale: objects.Object) -> None:
    kind = scale.get("kind") or "Scale"
    if kind != "Scale":
        raise statuses.BadRequestError(
            f'{kind} in version "v1" cannot be handled as a Scale: no kind "{kind}" is registered '
            'for version "autoscaling/v1" in scheme '
            '"k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30"'
        )
    writes.check_name(objects.name_of(scale), entry.name)
    writes.settle_namespace(resource, scale, entry.namespace)
    replicas = objects.lookup(scale, ("spec", "replicas")) or 0
    if replicas < 0 and not resource.custom:  # A custom object itself is refused below.
        cause = statuses.Cause(
            "spec.replicas",
            "FieldValueInvalid",
            f"Invalid value: {replicas}: must be greater than or equal to 0",
        )
        raise statuses.invalid("autoscaling", "Scale", entry.name, [cause])


def _set_scale(
    view: views.View,
    resource: catalogue.Resource,
    entry: entries.Entry,
    scale: objects.Object,
    options: opts.WriteOptions,
) -> results.Written:
    meta = objects.metadata(scale)
    version = meta.get("resourceVersion") or ""
    if version and version != str(entry.revision):
        raise statuses.conflict(resource.group_resource, entry.name, writes.MODIFIED)
    check_uid(resource, entry, meta.get("uid") or "")
    before = _scale_of(resource, entry.object(resource))
    where = _Place(resource, entry.namespace, entry.name, "scale")
    warnings = _admit(view, where, SCALE, "UPDATE", scale, before, options)
    obj = entry.working(resource)
    path = resource.strategy.scale_paths.spec
    holder = obj
    for step in path[:-1]:
        holder = holder.setdefault(step, {})
    holder[path[-1]] = objects.lookup(scale, ("spec", "replicas")) or 0
    ownership.track_scale(view, resource, obj, before, scale, options, SCALE_SCHEMA)
    written = writes.replace(
        view, resource, entry, obj, "scale", options, applied=True, admitted=True
    )
    shown = written.entry or entry
    return results.Written(
        resource,
        None,
        obj=scale_of(resource, shown, written.object()),
        warnings=[*written.warnings, *warnings],
    )


# ---------------------------------------------------------------------- binding, eviction


def post(
    view: views.View,
    resource: catalogue.Resource,
    body: objects.Object,
    namespace: str,
    name: str,
    subresource: str,
    options: opts.WriteOptions,
) -> results.Written:
    """Post to a subresource; without a name, to that of the object that the body names.

    Raises:
        NotFoundError: The resource has no such subresource, or the object does not exist.
    """
    post_to = _POSTED.get(subresource) if resource.storage == PODS else None
    if post_to is not None:
        kind = resource.subresources[subresource].kind
        _check_posted(resource, kind, body)
        warnings = decode_body(view, kind, body, options)
        said = objects.name_of(body)
        if name and said != name and (said or subresource == "eviction"):
            raise statuses.BadRequestError(f"name in URL does not match name in {kind.kind} object")
        entry = _entry(view, resource, namespace, name or said)
        where = _Place(resource, namespace, entry.name, subresource)
        warnings += _admit(view, where, kind, "CREATE", body, None, options)
        written = post_to(view, resource, body, namespace, entry.name, options)
        written.warnings[:0] = warnings
        return written
    if subresource in resource.subresources:
        raise statuses.MethodNotAllowedError(
            "the server does not allow this method on the requested resource"
        )
    raise statuses.NotFoundError("the server could not find the requested resource")


def _check_posted(
    resource: catalogue.Resource, wanted: identities.GroupVersionKind, body: objects.Object
) -> None:
    """Refuse a body that says it is something else; another version of the same is taken."""
    api_version = str(body.get("apiVersion") or wanted.api_version)
    kind = str(body.get("kind") or wanted.kind)
    group, _ = identities.split_api_version(api_version)
    known = kind in definitions.registered(api_version)
    if not known or (group, kind) != (wanted.group, wanted.kind):
        raise recognition.mismatch(
            resource, api_version, kind, expected=wanted.kind, expected_group=wanted.group
        )


PODS = identities.GroupResource("", "pods")


def _bind(
    view: views.View,
    resource: catalogue.Resource,
    binding: objects.Object,
    namespace: str,
    name: str,
    options: opts.WriteOptions,
) -> results.Written:
    """Give a pod its node, once: a second binding is a Conflict."""
    target = binding.get("target") or {}
    kind = target.get("kind") or ""
    if kind not in {"", "Node"}:
        raise statuses.InternalError(
            f'target.kind: Unsupported value: "{kind}": supported values: "Node", "<empty>"',
            reason="",
        )
    if not target.get("name"):
        raise statuses.InternalError("target.name: Required value", reason="")
    entry = _entry(view, resource, namespace, name)
    check_uid(resource, entry, objects.uid_of(binding))
    obj = entry.load()
    if obj["metadata"].get("deletionTimestamp"):
        raise statuses.conflict(
            resource.group_resource,
            name,
            f"pod {name} is being deleted, cannot be assigned to a host",
        )
    spec = obj["spec"]
    binding_itself = identities.GroupResource("", "pods/binding")
    if spec.get("nodeName"):
        why = f'pod {name} is already assigned to node "{spec["nodeName"]}"'
        raise statuses.conflict(binding_itself, name, why)
    if spec.get("schedulingGates"):
        why = f"pod {name} has non-empty .spec.schedulingGates"
        raise statuses.conflict(binding_itself, name, why)
    spec["nodeName"] = target["name"]
    annotations = objects.annotations_of(binding)
    if annotations:
        obj["metadata"]["annotations"] = objects.annotations_of(obj) | annotations
    labels = objects.labels_of(binding)
    if kind:
        labels = pods.topology_labels(view, target["name"]) | labels
    if labels:
        obj["metadata"]["labels"] = objects.labels_of(obj) | labels
    obj.get("status", {}).pop("nominatedNodeName", None)
    _set_condition(view, obj, "PodScheduled", "True")
    # As in the reference, the binding itself owns no fields.
    writes.replace(view, resource, entry, obj, "binding", options, applied=True, admitted=True)
    success = {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201,
    }  # fmt: skip
    return results.Written(resource, None, obj=success, created=True)


def _set_condition(
    view: views.View,
    pod: objects.Object,
    kind: str,
    value: str,
    reason: Mapping[str, str] | None = None,
) -> None:
    status = pod.setdefault("status", {})
    conditions = [c for c in status.get("conditions") or [] if c.get("type") != kind]
    stamp = view.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    condition = {
        "type": kind, "status": value, "lastProbeTime": None, "lastTransitionTime": stamp,
        **(reason or {}),
    }  # fmt: skip
    status["conditions"] = [*conditions, condition]


def _evict(
    view: views.View,
    resource: catalogue.Resource,
    eviction: objects.Object,
    namespace: str,
    name: str,
    options: opts.WriteOptions,
) -> results.Written:
    """Delete a pod as its disruption budget allows.

    Raises:
        TooManyRequestsError: The budget has no disruption left (429).
        InternalError: More than one budget selects the pod.
    """
    entry = _entry(view, resource, namespace, name)
    pod = entry.load()
    asked = eviction.get("deleteOptions") or {}
    preconditions = asked.get("preconditions") or {}
    delete = opts.DeleteOptions(
        grace_period_s=asked.get("gracePeriodSeconds"),
        propagation_policy=asked.get("propagationPolicy") or "",
        uid=preconditions.get("uid") or "",
        resource_version=preconditions.get("resourceVersion") or "",
        dry_run=options.dry_run or bool(asked.get("dryRun")),
        user=options.user,
    )
    is_leaving = bool(pod["metadata"].get("deletionTimestamp"))
    is_up = objects.lookup(pod, ("status", "phase")) not in {"Succeeded", "Failed", "Pending", None}
    if is_up and not is_leaving:
        _spend_budget(view, pod, namespace, delete)
    if not delete.dry_run:
        _mark_evicted(view, resource, entry, delete, options)
        delete = dataclasses.replace(delete, resource_version="")
    deletion.delete(view, resource, name, namespace, delete)
    success = {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201,
    }  # fmt: skip
    return results.Written(resource, None, obj=success, created=True)


def _mark_evicted(
    view: views.View,
    resource: catalogue.Resource,
    entry: entries.Entry,
    delete: opts.DeleteOptions,
    options: opts.WriteOptions,
) -> None:
    """Say in the pod's status why it goes, for those who count its failures."""
    deletion.check_preconditions(resource, entry.name, entry, delete)
    pod = entry.working(resource)
    reason = {"reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting"}
    _set_condition(view, pod, "DisruptionTarget", "True", reason)
    writes.replace(view, resource, entry, pod, "status", options, applied=True, admitted=True)


def _spend_budget(
    view: views.View, pod: objects.Object, namespace: str, options: opts.DeleteOptions
) -> None:
    labels = objects.labels_of(pod)
    found = [
        budget
        for budget in view.each("poddisruptionbudgets.policy", namespace)
        if (selector := objects.lookup(budget, ("spec", "selector"))) is not None
        and selectors.from_label_selector(selector).matches(labels)
    ]
    if not found:
        return
    if len(found) > 1:
        raise statuses.InternalError(
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does "
            "not support.",
            reason="",
        )
    budget = found[0]
    if not _is_ready(pod) and _spares_unhealthy(budget):
        return
    _check_allowed(budget)
    if options.dry_run:
        return
    status = budget["status"]
    status["disruptionsAllowed"] -= 1
    stamp = view.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    if status["disruptionsAllowed"] == 0:
        budgets.note_allowed(status, stamp)
    status.setdefault("disruptedPods", {})[objects.name_of(pod)] = stamp
    view.update(
        "poddisruptionbudgets.policy",
        budget,
        namespace,
        subresource="status",
        options=opts.WriteOptions(user_agent="kube-apiserver"),
    )


def _is_ready(pod: objects.Object) -> bool:
    conditions = objects.lookup(pod, ("status", "conditions")) or ()
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)


def _spares_unhealthy(budget: objects.Object) -> bool:
    """Whether an unhealthy pod may go without counting as a disruption."""
    if objects.lookup(budget, ("spec", "unhealthyPodEvictionPolicy")) == "AlwaysAllow":
        return True
    status = budget.get("status") or {}
    desired = int(status.get("desiredHealthy") or 0)
    return desired > 0 and int(status.get("currentHealthy") or 0) >= desired


def _check_allowed(budget: objects.Object) -> None:
    """Refuse if a budget has no disruption left.

    Raises:
        TooManyRequestsError: It has none, or has not been looked at since it changed.
    """
    status, name = budget.get("status") or {}, objects.name_of(budget)
    generation = int(budget["metadata"].get("generation") or 0)
    if int(status.get("observedGeneration") or 0) < generation:
        raise _refused(f"The disruption budget {name} is still being processed by the server.", 10)
    if int(status.get("disruptionsAllowed") or 0) > 0:
        return
    condition = budgets.condition(status) or {}
    desired, healthy = status.get("desiredHealthy", 0), status.get("currentHealthy", 0)
    if condition.get("reason") == budgets.SYNC_FAILED and condition.get("message"):
        why = condition["message"]
        text = f"does not allow evicting pods currently because it failed sync: {why}"
    elif healthy <= desired:
        text = f"needs {desired} healthy pods and has {healthy} currently"
    elif condition.get("status") == "False" and condition.get("message"):
        text = (
            f"does not allow evicting pods currently ({condition.get('reason')}): "
            f"{condition['message']}"
        )
    else:
        text = "does not allow evicting pods currently"
    raise _refused(f"The disruption budget {name} {text}")


def _refused(message: str, retry_after_s: int | None = None) -> statuses.TooManyRequestsError:
    details: objects.Object = {"causes": [{"reason": "DisruptionBudget", "message": message}]}
    if retry_after_s is not None:
        details["retryAfterSeconds"] = retry_after_s
    return statuses.TooManyRequestsError(
        "Cannot evict pod as it would violate the pod's disruption budget.", details=details
    )


# ---------------------------------------------------------------------- shared


class _Place(NamedTuple):
    """The subresource that is written to."""

    resource: catalogue.Resource
    namespace: str
    name: str
    subresource: str


def _admit(
    view: views.View,
    place: _Place,
    kind: identities.GroupVersionKind,
    operation: str,
    body: objects.Object,
    old: objects.Object | None,
    options: opts.WriteOptions,
) -> list[str]:
    """Let admission change (in place) and refuse what was asked; returns its warnings."""
    attributes = admission.Attributes(
        reader=view,
        resource=place.resource,
        operation=operation,
        namespace=place.namespace,
        name=place.name,
        subresource=place.subresource,
        obj=body,
        old=old,
        user=options.user,
        dry_run=options.dry_run,
        now=view.now_of(options),
        kind=kind,
        options=options,
        attempt=options.attempt,
    )
    view.shared.chain.mutate(attributes)
    view.shared.chain.validate(attributes)
    return attributes.warnings


def check_uid(resource: catalogue.Resource, entry: entries.Entry, uid: str) -> None:
    """Refuse a write meant for another object of the same name."""
    if not uid or uid == entry.uid:
        return
    raise writes.other_uid(resource, entry, uid)


def _entry(
    view: views.View, resource: catalogue.Resource, namespace: str, name: str
) -> entries.Entry:
    return view.get_entry(resource, name, namespace)


_POSTED = {"binding": _bind, "eviction": _evict}
