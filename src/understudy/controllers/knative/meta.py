"""Names, labels and owners of what the controllers make."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from understudy.controllers import clusters
from understudy.kube import objects
from understudy.kube.knative import keys

NAME_BYTES_MAX = 63
_HEAD_BYTES = NAME_BYTES_MAX - 32

AUTOSCALERS = "podautoscalers.autoscaling.internal.knative.dev"
METRICS = "metrics.autoscaling.internal.knative.dev"
SERVERLESS = "serverlessservices.networking.internal.knative.dev"
INGRESSES = "ingresses.networking.internal.knative.dev"
CLAIMS = "clusterdomainclaims.networking.internal.knative.dev"
IMAGES = "images.caching.internal.knative.dev"
DEPLOYMENTS = "deployments.apps"
SERVICES = "services"

NOT_ON_PODS = frozenset(
    {
        "serving.knative.dev/lastPinned",
        keys.NO_GC,
        keys.ROUTING_STATE_MODIFIED,
        keys.ROUTES_ANNOTATION,
    }
)


def child_name(parent: str, suffix: str) -> str:
    """Return `parent + suffix`, shortened with an MD5 of the parent where it would be too long.

    Source: knative.dev/pkg `kmeta/names.go`.
    """
    if len(parent) <= NAME_BYTES_MAX - len(suffix):
        return parent + suffix
    if len(suffix) >= _HEAD_BYTES:
        text = parent[:_HEAD_BYTES] + _md5(parent + suffix)
        return text + suffix[: NAME_BYTES_MAX - len(text)]
    return parent[: _HEAD_BYTES - len(suffix)] + _md5(parent) + suffix


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def controller_of(obj: objects.Object) -> objects.Object | None:
    """Return the owner reference of the controlling owner, or None."""
    for reference in objects.metadata(obj).get("ownerReferences") or ():
        if reference.get("controller"):
            found: objects.Object = reference
            return found
    return None


def is_controlled_by(obj: objects.Object, owner: objects.Object) -> bool:
    """Say whether an object was made for another."""
    reference = controller_of(obj)
    return reference is not None and reference.get("uid") == objects.uid_of(owner)


def owned(
    owner: objects.Object,
    api_version: str,
    kind: str,
    name: str,
    *,
    labels: dict[str, str],
    annotations: dict[str, str],
    spec: objects.Object,
) -> objects.Object:
    """Return an object that belongs to another of the same namespace."""
    metadata: objects.Object = {
        "name": name,
        "namespace": objects.namespace_of(owner),
        "ownerReferences": [clusters.owner_reference(owner)],
    }
    if labels:
        metadata["labels"] = labels
    if annotations:
        metadata["annotations"] = annotations
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}


def without(mapping: dict[str, str], keys_left_out: Iterable[str]) -> dict[str, str]:
    """Return a mapping less some keys."""
    left_out = set(keys_left_out)
    return {key: value for key, value in mapping.items() if key not in left_out}


def revision_labels(revision: objects.Object) -> dict[str, str]:
    """Return the labels of everything made for a Revision."""
    name = objects.name_of(revision)
    labels = without(objects.labels_of(revision), (keys.ROUTE, keys.ROUTING_STATE))
    labels |= {keys.REVISION: name, keys.REVISION_UID: objects.uid_of(revision)}
    labels.setdefault("app", name)
    return labels


def revision_annotations(revision: objects.Object, *, scaling: bool = False) -> dict[str, str]:
    """Return the annotations of what is made for a Revision; those on `scaling` go to few."""
    return {
        key: value
        for key, value in objects.annotations_of(revision).items()
        if key not in NOT_ON_PODS and (scaling or not key.startswith(keys.AUTOSCALING))
    }


def serving_container(spec: objects.Object) -> objects.Object:
    """Return the container that takes the requests: the only one, or the one with a port."""
    containers = spec.get("containers") or []
    if len(containers) == 1:
        only: objects.Object = containers[0]
        return only
    for container in containers:
        if container.get("ports"):
            found: objects.Object = container
            return found
    return {}


def protocol_of(revision: objects.Object) -> str:
    """Return `h2c` or `http1`."""
    ports = serving_container(revision.get("spec") or {}).get("ports") or [{}]
    return "h2c" if ports[0].get("name") == "h2c" else "http1"


def service_port(protocol: str) -> tuple[str, int]:
    """Return name and number of the port of a Revision's Service."""
    return ("http2", 81) if protocol == "h2c" else ("http", 80)
