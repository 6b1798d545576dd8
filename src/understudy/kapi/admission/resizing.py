"""Claims that grow.

Source: plugin/pkg/admission/storage/persistentvolume/resize @1.36.
"""

from __future__ import annotations

from understudy.kapi.admission import chain, defaults
from understudy.kube import objects, quantities, statuses

_NOT_BOUND = "Only bound persistent volume claims can be expanded"
_NOT_ALLOWED = (
    "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc "
    "must support resize"
)
_BETA = "volume.beta.kubernetes.io/storage-class"


class PersistentVolumeClaimResize:
    """Lets claims grow only where their class says that it can provide more."""

    name = "PersistentVolumeClaimResize"
    storages = frozenset({defaults.CLAIMS})

    def handles(self, attributes: chain.Attributes) -> bool:
        return (
            attributes.resource.storage == defaults.CLAIMS
            and attributes.operation == "UPDATE"
            and not attributes.subresource
        )

    def mutate(self, attributes: chain.Attributes) -> None:
        """Nothing to change."""

    def validate(self, attributes: chain.Attributes) -> None:
        new, old = attributes.obj or {}, attributes.old or {}
        if _size(new) <= _size(old):
            return
        why = ""
        if objects.lookup(old, ("status", "phase")) != "Bound":
            why = _NOT_BOUND
        elif not _may_grow(attributes, new, old):
            why = _NOT_ALLOWED
        if why:
            raise statuses.forbidden(defaults.CLAIMS, attributes.name, why)


def _size(claim: objects.Object) -> quantities.Quantity:
    size = objects.lookup(claim, ("spec", "resources", "requests", "storage"))
    return quantities.parse(str(size or 0))


def _may_grow(attributes: chain.Attributes, new: objects.Object, old: objects.Object) -> bool:
    name = _class_of(new)
    if not name or name != _class_of(old):
        return False
    found = attributes.reader.find("storageclasses.storage.k8s.io", "", name)
    return bool((found or {}).get("allowVolumeExpansion"))


def _class_of(claim: objects.Object) -> str:
    annotated = objects.annotations_of(claim).get(_BETA)
    return annotated if annotated is not None else (claim["spec"].get("storageClassName") or "")
