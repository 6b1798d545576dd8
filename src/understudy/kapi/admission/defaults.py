"""What admission adds to other kinds: default classes, protection finalizers, a new node's taint.

Source: plugin/pkg/admission/{storage,network/defaultingressclass,nodetaint} @1.36.
"""

from __future__ import annotations

from collections.abc import Iterable

from understudy.kapi.admission import chain
from understudy.kube import identities, objects

CLAIMS = identities.GroupResource("", "persistentvolumeclaims")
VOLUMES = identities.GroupResource("", "persistentvolumes")
ATTRIBUTES_CLASSES = identities.GroupResource("storage.k8s.io", "volumeattributesclasses")
INGRESSES = identities.GroupResource("networking.k8s.io", "ingresses")
NODES = identities.GroupResource("", "nodes")
_PROTECTION = {
    CLAIMS: "kubernetes.io/pvc-protection",
    VOLUMES: "kubernetes.io/pv-protection",
    ATTRIBUTES_CLASSES: "kubernetes.io/vac-protection",
}
DEFAULT_STORAGE_CLASS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)
_NOT_READY = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}


def default_class(classes: Iterable[objects.Object], *annotations: str) -> objects.Object | None:
    """Return the class annotated as default; the newest of several, by name if equally new."""
    marked = [
        one
        for one in classes
        if any(objects.annotations_of(one).get(mark) == "true" for mark in annotations)
    ]
    marked.sort(key=objects.name_of)
    return max(
        marked, key=lambda one: str(one["metadata"].get("creationTimestamp") or ""), default=None
    )


class _Defaulting:
    """A plugin that only adds to new objects."""

    def validate(self, attributes: chain.Attributes) -> None:
        """Nothing to refuse."""


class DefaultStorageClass(_Defaulting):
    """Gives claims without a class the default one."""

    name = "DefaultStorageClass"
    storages = frozenset({CLAIMS})

    def handles(self, attributes: chain.Attributes) -> bool:
        return attributes.resource.storage == CLAIMS and attributes.operation == "CREATE"

    def mutate(self, attributes: chain.Attributes) -> None:
        claim = attributes.obj or {}
        spec = claim.setdefault("spec", {})
        beta = "volume.beta.kubernetes.io/storage-class"
        if spec.get("storageClassName") is not None or beta in objects.annotations_of(claim):
            return
        classes = attributes.reader.each("storageclasses.storage.k8s.io")
        found = default_class(classes, *DEFAULT_STORAGE_CLASS)
        if found is not None:
            spec["storageClassName"] = objects.name_of(found)


class DefaultIngressClass(_Defaulting):
    """Gives ingresses without a class the default one."""

    name = "DefaultIngressClass"
    storages = frozenset({INGRESSES})

    def handles(self, attributes: chain.Attributes) -> bool:
        return (
            attributes.resource.storage == INGRESSES
            and attributes.operation == "CREATE"
            and not attributes.subresource
        )

    def mutate(self, attributes: chain.Attributes) -> None:
        ingress = attributes.obj or {}
        spec = ingress.setdefault("spec", {})
        older = "kubernetes.io/ingress.class"
        if spec.get("ingressClassName") is not None or older in objects.annotations_of(ingress):
            return
        classes = attributes.reader.each("ingressclasses.networking.k8s.io")
        found = default_class(classes, "ingressclass.kubernetes.io/is-default-class")
        if found is not None:
            spec["ingressClassName"] = objects.name_of(found)


class StorageObjectInUseProtection(_Defaulting):
    """Gives claims, volumes and attribute classes the finalizer that keeps them while in use."""

    name = "StorageObjectInUseProtection"
    storages = frozenset(_PROTECTION)

    def handles(self, attributes: chain.Attributes) -> bool:
        return attributes.resource.storage in _PROTECTION and attributes.operation == "CREATE"

    def mutate(self, attributes: chain.Attributes) -> None:
        meta = (attributes.obj or {})["metadata"]
        finalizer = _PROTECTION[attributes.resource.storage]
        present = meta.get("finalizers") or []
        if finalizer not in present:
            meta["finalizers"] = [*present, finalizer]


class TaintNodesByCondition(_Defaulting):
    """Taints a new node as not ready, so that nothing is scheduled before it says it is."""

    name = "TaintNodesByCondition"
    storages = frozenset({NODES})

    def handles(self, attributes: chain.Attributes) -> bool:
        return (
            attributes.resource.storage == NODES
            and attributes.operation == "CREATE"
            and not attributes.subresource
        )

    def mutate(self, attributes: chain.Attributes) -> None:
        spec = (attributes.obj or {}).setdefault("spec", {})
        taints = spec.get("taints") or []
        if not any(_is_not_ready(taint) for taint in taints):
            spec["taints"] = [*taints, dict(_NOT_READY)]


def _is_not_ready(taint: objects.Object) -> bool:
    return all(taint.get(key) == value for key, value in _NOT_READY.items())
