"""Manifests resolved against what a cluster serves: the objects that a delivery is about.

Every object gets the resource of its kind, its namespace (the application's where it names none;
none where the kind is cluster-scoped) and the marks of its application. Kinds that a
CustomResourceDefinition in the same set will define are known, because it comes first.
"""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from understudy.client import protocol
from understudy.delivery import errors, hooks, manifests, marks, masking, names, refs, stamping
from understudy.kube import identities, names as kube_names, objects

CRD = ("apiextensions.k8s.io", "CustomResourceDefinition")


@dataclass(frozen=True, slots=True)
class Target:
    """One object to be delivered. `obj` is what the user wants, with its namespace settled."""

    ref: refs.Ref
    obj: objects.Object
    resource: protocol.ApiResource
    source: manifests.Source

    @property
    def api_version(self) -> str:
        """The version it is applied in."""
        return self.resource.api_version


@dataclass(frozen=True, slots=True)
class Owner:
    """An application, as an owner of objects."""

    application: str
    namespace: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.application}"

    @property
    def part_of(self) -> str:
        """The value of the label that proves ownership."""
        return marks.applyset_id(self.application, self.namespace)

    @property
    def manager(self) -> str:
        """The field manager of its objects."""
        return marks.field_manager(self.application, self.namespace)

    def owns(self, obj: objects.Object) -> bool:
        """Whether an object carries this application's label."""
        return objects.labels_of(obj).get(marks.PART_OF) == self.part_of

    def marked(self, obj: objects.Object) -> objects.Object:
        """Return a copy of an object that carries this application's marks."""
        meta = dict(objects.metadata(obj))
        meta["labels"] = {**(meta.get("labels") or {}), marks.PART_OF: self.part_of}
        meta["annotations"] = {**(meta.get("annotations") or {}), marks.APPLICATION: str(self)}
        return {**obj, "metadata": meta}


def check_owner(owner: Owner) -> None:
    """Refuse names that cannot be an application's or a namespace's.

    Raises:
        ManifestError: With what is wrong.
    """
    wrong = [
        f"the application's name {owner.application!r}: {complaint}"
        for complaint in names.complaints_about(owner.application)
    ]
    wrong += (
        f"the namespace {owner.namespace!r}: {complaint}"
        for complaint in kube_names.dns_label(owner.namespace)
    )
    if wrong:
        raise errors.ManifestError(wrong)


def resolve(
    given: Sequence[manifests.Manifest], served: protocol.Discovery, owner: Owner
) -> list[Target]:
    """Return the targets of an application, in the order given.

    Raises:
        ManifestError: With every mistake: a kind that neither the cluster nor a definition in the
            set knows, two documents about one object, an object marked as another application's.
    """
    defined = _defined(manifest.obj for manifest in given)
    found: dict[refs.Ref, Target] = {}
    complaints: list[str] = []
    for manifest in given:
        obj, source = manifest.obj, manifest.source
        resource = served.by_kind(obj["apiVersion"], obj["kind"])
        resource = defined.get((obj["apiVersion"], obj["kind"]), resource)
        if resource is None:
            complaints.append(_unknown_kind(manifest, served, defined))
            continue
        settled = _settled(obj, resource, owner.namespace)
        target = Target(refs.ref_of(settled), settled, resource, source)
        twin = found.get(target.ref)
        if twin is not None:
            complaints.append(f"{source}: {target.ref} is already defined in {twin.source}")
            continue
        marked = objects.labels_of(obj).get(marks.PART_OF)
        told = (
            *hooks.complaints_about(obj),
            *masking.complaints_about(obj),
            *stamping.complaints_about(obj),
        )
        complaints += (f"{source}: {text}" for text in told)
        if marked is not None and marked != owner.part_of:
            complaints.append(
                f"{source}: metadata.labels[{marks.PART_OF!r}] says that {target.ref} belongs to "
                "another application: remove the label"
            )
        found[target.ref] = target
    if complaints:
        raise errors.ManifestError(complaints)
    wanted = {ref: target.obj for ref, target in found.items()}
    for ref, obj in stamping.stamped(wanted):
        found[ref] = dataclasses.replace(found[ref], obj=obj)
    return list(found.values())


def readable(target: Target, served: protocol.Discovery) -> protocol.ApiResource:
    """Return the resource by which a target's object, if it is there, can be read now.

    Its own; but where a definition in the set is to bring that version, one that is served.
    """
    group, kind, _, _ = target.ref
    if served.by_kind(target.api_version, kind) is not None:
        return target.resource
    same = (item for item in served.resources if (item.group, item.kind) == (group, kind))
    return next(same, target.resource)


def _settled(obj: objects.Object, resource: protocol.ApiResource, namespace: str) -> objects.Object:
    meta = {key: value for key, value in obj["metadata"].items() if key not in _SERVERS_OWN}
    if resource.namespaced:
        meta["namespace"] = meta.get("namespace") or namespace
    else:
        meta.pop("namespace", None)
    kept = {key: value for key, value in obj.items() if key != "status"}
    return _encoded({**kept, "metadata": meta})


def _encoded(obj: objects.Object) -> objects.Object:
    """Write a Secret's stringData as the data that the server would make of it.

    What is wanted can then be compared with what is there. Values that are no strings stay, for
    the server to refuse.
    """
    plain = obj.get("stringData")
    if (obj["kind"], obj["apiVersion"]) != ("Secret", "v1") or not isinstance(plain, dict):
        return obj
    data = obj.get("data") or {}
    if not isinstance(data, dict) or not all(isinstance(v, str) for v in plain.values()):
        return obj
    made = {key: base64.b64encode(value.encode()).decode() for key, value in plain.items()}
    rest = {key: value for key, value in obj.items() if key != "stringData"}
    return {**rest, "data": {**data, **made}}


_SERVERS_OWN = {
    "managedFields", "resourceVersion", "uid", "creationTimestamp", "generation", "selfLink",
    "deletionTimestamp", "deletionGracePeriodSeconds",
}  # fmt: skip
"""What a manifest written by `kubectl get -o yaml` carries and nobody can wish for."""


def _unknown_kind(
    manifest: manifests.Manifest,
    served: protocol.Discovery,
    defined: Mapping[tuple[str, str], protocol.ApiResource],
) -> str:
    api_version, kind = manifest.obj["apiVersion"], manifest.obj["kind"]
    known = sorted(
        {item.api_version for item in (*served.resources, *defined.values()) if item.kind == kind}
    )
    remedy = f"{kind} is served in {', '.join(known)}" if known else (
        "add its CustomResourceDefinition, or correct the spelling"
    )  # fmt: skip
    return (
        f"{manifest.source}: no kind {kind!r} in apiVersion {api_version!r} on this cluster: "
        f"{remedy}"
    )


def _defined(
    given: Iterable[objects.Object],
) -> dict[tuple[str, str], protocol.ApiResource]:
    """Return the resources that definitions among the objects will serve."""
    found: dict[tuple[str, str], protocol.ApiResource] = {}
    for obj in given:
        gvk = identities.gvk_of(obj)
        if (gvk.group, gvk.kind) != CRD:
            continue
        for resource in resources_of(obj):
            found[resource.api_version, resource.kind] = resource
    return found


def resources_of(definition: objects.Object) -> list[protocol.ApiResource]:
    """Return the resources that a CustomResourceDefinition serves; nothing of a broken one."""
    spec = definition.get("spec") or {}
    called = spec.get("names") or {}
    group, kind, plural = spec.get("group"), called.get("kind"), called.get("plural")
    if not (isinstance(group, str) and isinstance(kind, str) and isinstance(plural, str)):
        return []
    verbs = (
        "delete", "deletecollection", "get", "list", "patch", "create", "update", "watch",
    )  # fmt: skip
    return [
        protocol.ApiResource(
            group=group,
            version=str(version.get("name")),
            kind=kind,
            plural=plural,
            namespaced=spec.get("scope") == "Namespaced",
            verbs=verbs,
            short_names=tuple(called.get("shortNames") or ()),
            categories=tuple(called.get("categories") or ()),
            subresources=tuple(version.get("subresources") or ()),
        )
        for version in spec.get("versions") or ()
        if isinstance(version, dict) and version.get("served")
    ]
