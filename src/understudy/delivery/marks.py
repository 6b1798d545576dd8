"""The words this project writes into a cluster: group, labels, annotations, managers.

Ownership is proven by the ApplySet label `part-of` (KEP-3659, in the spelling of the shipped code:
`applyset.kubernetes.io`), whose value is computed from the application's tracker, so that any
ApplySet-aware tool can list an application. Annotations that other tools honour are honoured here.
"""

from __future__ import annotations

import base64
import enum
import hashlib

from understudy.delivery import names
from understudy.kube import objects, statuses

GROUP = "core.understudy.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
TOOLING = "understudy/v0.1.0"
RECORDS_MANAGER = "understudy"
"""Field manager of the records; objects of an application have a manager of their own."""

MANAGER_PREFIX = "understudy:"
"""What the field managers of all applications begin with."""

APPLICATION = f"{GROUP}/application"
"""Annotation on every object of an application, `namespace/name`; label of its records (name)."""

PART_OF = "applyset.kubernetes.io/part-of"
APPLYSET_ID = "applyset.kubernetes.io/id"
APPLYSET_TOOLING = "applyset.kubernetes.io/tooling"
APPLYSET_KINDS = "applyset.kubernetes.io/contains-group-kinds"
APPLYSET_NAMESPACES = "applyset.kubernetes.io/additional-namespaces"
APPLYSET_PARENT_TYPE = "applyset.kubernetes.io/is-parent-type"

WAVE = f"{GROUP}/wave"
"""Annotation: deliver in this wave (a whole number) instead of the one of its kind."""

DEPENDS_ON = f"{GROUP}/depends-on"
"""Annotation: comma list of `[group/]Kind/[namespace/]name`, delivered before this object."""

CLI_UTILS_DEPENDS_ON = "config.kubernetes.io/depends-on"
"""cli-utils' form: `group/namespaces/ns/Kind/name` or `group/Kind/name`, comma separated."""

RECREATE = f"{GROUP}/recreate"
"""Annotation: `never`, `on-immutable` or `always` delete and create instead of an update."""

_KEEP = {
    "helm.sh/resource-policy": {"keep"},
    "cli-utils.sigs.k8s.io/on-remove": {"keep"},
    "client.lifecycle.config.k8s.io/deletion": {"detach"},
    "kustomize.toolkit.fluxcd.io/prune": {"disabled"},
    "kapp.k14s.io/delete-strategy": {"orphan"},
    f"{GROUP}/on-remove": {"keep"},
}
_IGNORE = {
    "kustomize.toolkit.fluxcd.io/ssa": {"ignore"},
    "client.lifecycle.config.k8s.io/mutation": {"ignore"},
    "kustomize.toolkit.fluxcd.io/reconcile": {"disabled"},
}
_CREATE_ONCE = {
    "kustomize.toolkit.fluxcd.io/ssa": {"ifnotpresent"},
    "werf.io/resource-policy": {"skip-update"},
}
KUBEVELA_KEEP = "app.oam.dev/skipGC"
"""KubeVela's annotation to keep an object, whatever its value."""
_ARGO_OPTIONS = "argocd.argoproj.io/sync-options"


class Recreate(enum.StrEnum):
    """When an object is deleted and created anew instead of being updated."""

    NEVER = "never"
    ON_IMMUTABLE = "on-immutable"
    ALWAYS = "always"


def applyset_id(application: str, namespace: str) -> str:
    """Return the ApplySet id of an application's tracker, which is cluster-scoped.

    KEP-3659: `applyset-` base64url(sha256(`<name>.<namespace>.<kind>.<group>`)) `-v1`, no padding.
    """
    tracker = names.record_name(application, namespace)
    digest = hashlib.sha256(f"{tracker}..ResourceTracker.{GROUP}".encode()).digest()
    return f"applyset-{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}-v1"


def field_manager(application: str, namespace: str) -> str:
    """Return the field manager under which an application's objects are applied (<= 128)."""
    return f"{MANAGER_PREFIX}{namespace}/{application}"


def is_job(obj: objects.Object) -> bool:
    """Whether an object is a Job."""
    return obj.get("kind") == "Job" and str(obj.get("apiVersion")).startswith("batch/")


def recreation(obj: objects.Object, *, wished: bool) -> Recreate:
    """Return when an object is deleted and created anew: as its annotation says, else by its kind.

    Raises:
        BadRequestError: The annotation says something else.
    """
    said = objects.annotations_of(obj).get(RECREATE)
    if said is None:
        return Recreate.ON_IMMUTABLE if is_job(obj) or wished else Recreate.NEVER
    try:
        return Recreate(said)
    except ValueError:
        raise statuses.BadRequestError(
            f"metadata.annotations[{RECREATE!r}] is {said!r}: use one of {', '.join(Recreate)}"
        ) from None


def is_kept(obj: objects.Object) -> str:
    """Return the annotation that says never to delete this object, or an empty string."""
    options = objects.annotations_of(obj).get(_ARGO_OPTIONS, "").replace(" ", "").split(",")
    if "Prune=false" in options or "Prune=confirm" in options:
        return _ARGO_OPTIONS
    return KUBEVELA_KEEP if KUBEVELA_KEEP in objects.annotations_of(obj) else _first(obj, _KEEP)


def is_ignored(obj: objects.Object) -> str:
    """Return the annotation that says to leave this object alone, or an empty string."""
    return _first(obj, _IGNORE)


def is_created_once(obj: objects.Object) -> str:
    """Return the annotation that says never to update this object, or an empty string."""
    return _first(obj, _CREATE_ONCE)


def _first(obj: objects.Object, table: dict[str, set[str]]) -> str:
    annotations = objects.annotations_of(obj)
    for key, values in table.items():
        if annotations.get(key, "").lower() in values:
            return key
    return ""
