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

RESOURCE_POLICY = "werf.io/resource-policy"
_ARGO_OPTIONS = "argocd.argoproj.io/sync-options"
_KEEP = {
    "helm.sh/resource-policy": {"keep"},
    "cli-utils.sigs.k8s.io/on-remove": {"keep"},
    "client.lifecycle.config.k8s.io/deletion": {"detach"},
    "kustomize.toolkit.fluxcd.io/prune": {"disabled"},
    _ARGO_OPTIONS: {"prune=false"},
    "kapp.k14s.io/delete-strategy": {"orphan"},
    RESOURCE_POLICY: {"skip-delete"},
    "werf.io/ownership": {"anyone"},
    f"{GROUP}/on-remove": {"keep"},
}
_KEEP_AT_THE_END = {_ARGO_OPTIONS: {"delete=false"}}
_CONFIRM = {_ARGO_OPTIONS: {"prune=confirm"}}
_CONFIRM_AT_THE_END = {_ARGO_OPTIONS: {"delete=confirm"}}
APPROVED = "argocd.argoproj.io/deletion-approved"
"""Argo CD's annotation that lets an object go for which `Prune=confirm` asks."""
_IGNORE = {
    "kustomize.toolkit.fluxcd.io/ssa": {"ignore"},
    "client.lifecycle.config.k8s.io/mutation": {"ignore"},
    "kustomize.toolkit.fluxcd.io/reconcile": {"disabled"},
}
_CREATE_ONCE = {
    "kustomize.toolkit.fluxcd.io/ssa": {"ifnotpresent"},
    RESOURCE_POLICY: {"skip-update"},
    "kapp.k14s.io/update-strategy": {"skip"},
}
_NEVER_CREATE = {RESOURCE_POLICY: {"skip-create"}}
KUBEVELA_KEEP = "app.oam.dev/skipGC"
"""KubeVela's annotation to keep an object, whatever its value."""


class Recreate(enum.StrEnum):
    """When an object is deleted and created anew instead of being updated."""

    NEVER = "never"
    ON_IMMUTABLE = "on-immutable"
    ALWAYS = "always"


_RECREATE: dict[Recreate, dict[str, set[str]]] = {
    Recreate.NEVER: {RESOURCE_POLICY: {"skip-recreate"}},
    Recreate.ALWAYS: {
        "kapp.k14s.io/update-strategy": {"always-replace"},
        "werf.io/delete-policy": {"before-creation"},
    },
    Recreate.ON_IMMUTABLE: {
        "kapp.k14s.io/update-strategy": {"fallback-on-replace"},
        "werf.io/delete-policy": {"before-creation-if-immutable"},
        "kustomize.toolkit.fluxcd.io/force": {"enabled"},
        _ARGO_OPTIONS: {"force=true"},
    },
}
"""Other tools' words for the same, in the order in which they are looked for."""


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
        for policy, table in _RECREATE.items():
            if _first(obj, table):
                return policy
        return Recreate.ON_IMMUTABLE if is_job(obj) or wished else Recreate.NEVER
    try:
        return Recreate(said)
    except ValueError:
        raise statuses.BadRequestError(
            f"metadata.annotations[{RECREATE!r}] is {said!r}: use one of {', '.join(Recreate)}"
        ) from None


def is_kept(obj: objects.Object, *, at_the_end: bool = False) -> str:
    """Return the annotation that says never to delete this object, or an empty string.

    `at_the_end`: the whole application goes.
    """
    if KUBEVELA_KEEP in objects.annotations_of(obj):
        return KUBEVELA_KEEP
    return _first(obj, _KEEP) or (_first(obj, _KEEP_AT_THE_END) if at_the_end else "")


def needs_approval(obj: objects.Object, *, at_the_end: bool = False) -> str:
    """Return the annotation that asks for a word before this object goes; empty where one is given.

    `at_the_end`: the whole application goes.
    """
    if objects.annotations_of(obj).get(APPROVED):
        return ""
    return _first(obj, _CONFIRM) or (_first(obj, _CONFIRM_AT_THE_END) if at_the_end else "")


def is_ignored(obj: objects.Object) -> str:
    """Return the annotation that says to leave this object alone, or an empty string."""
    return _first(obj, _IGNORE)


def is_created_once(obj: objects.Object) -> str:
    """Return the annotation that says never to update this object, or an empty string."""
    return _first(obj, _CREATE_ONCE)


def is_never_created(obj: objects.Object) -> str:
    """Return the annotation that says only to update this object, or an empty string."""
    return _first(obj, _NEVER_CREATE)


def _first(obj: objects.Object, table: dict[str, set[str]]) -> str:
    """Return the first annotation of a table of whose comma list a value is in the table."""
    annotations = objects.annotations_of(obj)
    for key, values in table.items():
        said = {part.strip().lower() for part in annotations.get(key, "").split(",")}
        if said & values:
            return key
    return ""
