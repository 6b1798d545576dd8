"""Objects as somebody would have written them: what the server and its controllers add is left out.

Pure. What is left out altogether is what a cluster makes of itself: its own namespaces and add-ons,
what another object owns, nodes and what belongs to them, the account and the certificates that
every namespace gets.
"""

from __future__ import annotations

from collections.abc import Iterable

import yaml

from understudy.client import protocol as clients
from understudy.kube import objects
from understudy.platform import matching

_ADDON = "addonmanager.kubernetes.io/mode"
_CLUSTER_SERVICE = "kubernetes.io/cluster-service"
_SYSTEM = frozenset(["kube-system", "kube-public", "kube-node-lease"])
_AUTOMATIC = (
    "apf.kubernetes.io/autoupdate-spec",
    "rbac.authorization.kubernetes.io/autoupdate",
)
_SERVER_METADATA = (
    "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp",
    "deletionGracePeriodSeconds", "managedFields", "selfLink", "generateName",
)  # fmt: skip
_ANNOTATIONS = frozenset(
    [
        "kubectl.kubernetes.io/last-applied-configuration",
        "deployment.kubernetes.io/revision",
        "deprecated.daemonset.template.generation",
        "pv.kubernetes.io/bind-completed",
        "pv.kubernetes.io/bound-by-controller",
        "volume.beta.kubernetes.io/storage-provisioner",
        "volume.kubernetes.io/storage-provisioner",
        "volume.kubernetes.io/selected-node",
    ]
)
_FINALIZERS = frozenset(["kubernetes.io/pvc-protection", "kubernetes.io/pv-protection"])
_JOB_LABELS = frozenset(
    ["controller-uid", "job-name", "batch.kubernetes.io/controller-uid",
     "batch.kubernetes.io/job-name"]
)  # fmt: skip
_NOT_EXPORTED = frozenset(
    [
        "apiservices", "certificatesigningrequests", "componentstatuses", "controllerrevisions",
        "csinodes", "endpoints", "endpointslices", "events", "ipaddresses", "leases", "nodes",
        "volumeattachments",
    ]
)  # fmt: skip
_FIRST = {"Namespace": 0, "CustomResourceDefinition": 1}
_TOKEN = "kube-api-access-"  # noqa: S105 (the name of a volume)


def exported(discovery: clients.Discovery, *, secrets: bool) -> list[clients.ApiResource]:
    """Return the resources whose objects belong into an export, each in one version."""
    seen: set[tuple[str, str]] = set()
    out: list[clients.ApiResource] = []
    for resource in discovery.resources:
        key = (resource.group, resource.plural)
        if key in seen or "list" not in resource.verbs or "create" not in resource.verbs:
            continue
        seen.add(key)
        is_secret = key == ("", "secrets")
        if resource.plural not in _NOT_EXPORTED and (secrets or not is_secret):
            out.append(resource)
    return out


def is_system(obj: objects.Object) -> bool:
    """Say whether an object is the cluster's own: an add-on, or made by the API server."""
    labels = objects.labels_of(obj)
    if labels.get(_CLUSTER_SERVICE) == "true" or labels.get(_ADDON) in {
        "EnsureExists",
        "Reconcile",
    }:
        return True
    if labels.get("kubernetes.io/bootstrapping") or objects.namespace_of(obj) in _SYSTEM:
        return True
    return any(name in objects.annotations_of(obj) for name in _AUTOMATIC)


def is_own(obj: objects.Object, kind: str) -> bool:
    """Say whether the cluster made an object without being asked: nobody would write it."""
    name, namespace = objects.name_of(obj), objects.namespace_of(obj)
    if is_system(obj) or objects.metadata(obj).get("ownerReferences"):
        return True
    match kind:
        case "Namespace":
            return name in _SYSTEM
        case "Service":
            return (namespace, name) == ("default", "kubernetes")
        case "ConfigMap":
            return name == "kube-root-ca.crt"
        case "ServiceAccount":
            said = [key for key in obj if key not in {"apiVersion", "kind", "metadata", "secrets"}]
            return name == "default" and not said and not objects.annotations_of(obj)
        case "Secret":
            return obj.get("type") == "kubernetes.io/service-account-token"
        case _:
            return False


def cleaned(obj: objects.Object) -> objects.Object:
    """Return an object as somebody would have written it, so that it can be applied elsewhere."""
    out = objects.copy(obj)
    out.pop("status", None)
    _clean_metadata(out["metadata"])
    match out.get("kind"):
        case "Service":
            for key in ("clusterIP", "clusterIPs"):
                if objects.lookup(out, ("spec", key)) not in ("None", ["None"]):
                    out.get("spec", {}).pop(key, None)
        case "Namespace":
            out.pop("spec", None)
            _drop(out["metadata"], "labels", {"kubernetes.io/metadata.name"})
        case "Job":
            _clean_job(out)
        case "Pod":
            _clean_pod(out)
        case "PersistentVolume":
            for key in ("uid", "resourceVersion"):
                (objects.lookup(out, ("spec", "claimRef")) or {}).pop(key, None)
        case "ServiceAccount":
            out.pop("secrets", None)
    template = matching.template_of(out) if out.get("kind") != "Pod" else {}
    if objects.metadata(template).get("creationTimestamp", "") is None:
        del template["metadata"]["creationTimestamp"]
    return dict(out)


def _clean_metadata(meta: objects.Object) -> None:
    for key in _SERVER_METADATA:
        meta.pop(key, None)
    _drop(meta, "annotations", _ANNOTATIONS)
    kept = [one for one in meta.pop("finalizers", None) or () if one not in _FINALIZERS]
    if kept:
        meta["finalizers"] = kept


def _drop(holder: objects.Object, key: str, names: Iterable[str]) -> None:
    """Take entries out of a mapping, and the mapping itself where nothing is left of it."""
    found = holder.get(key)
    if found is None:
        return
    for name in names:
        found.pop(name, None)
    if not found:
        del holder[key]


def _clean_job(job: objects.Object) -> None:
    # Generated from the uid, and refused in a new Job.
    spec = job.get("spec") or {}
    if not spec.get("manualSelector"):
        spec.pop("selector", None)
        _drop(objects.metadata(spec.get("template") or {}), "labels", _JOB_LABELS)
        _drop(job["metadata"], "labels", _JOB_LABELS)


def _clean_pod(pod: objects.Object) -> None:
    # Where it runs was the scheduler's choice, and its token volume is added again.
    spec = pod.get("spec") or {}
    spec.pop("nodeName", None)
    _without_tokens(spec, "volumes")
    for container in [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]:
        _without_tokens(container, "volumeMounts")


def _without_tokens(holder: objects.Object, key: str) -> None:
    kept = [one for one in holder.pop(key, None) or () if not one["name"].startswith(_TOKEN)]
    if kept:
        holder[key] = kept


def render(found: list[objects.Object], left_out: Iterable[str] = ()) -> str:
    """Return objects as YAML documents in a fixed order; what could not be read is a comment."""
    head = "".join(f"# left out: {one}\n" for one in sorted(left_out))
    ordered = sorted(found, key=_order)
    return head + "".join(f"---\n{yaml.safe_dump(obj, sort_keys=True)}" for obj in ordered)


def _order(obj: objects.Object) -> tuple[int, str, str, str, str]:
    return (
        _FIRST.get(str(obj["kind"]), 2),
        objects.namespace_of(obj),
        str(obj["apiVersion"]),
        str(obj["kind"]),
        objects.name_of(obj),
    )
