"""Which volume fits a claim. Pure but for looking things up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from understudy.controllers import clusters
from understudy.kube import objects, quantities, selectors

BIND_COMPLETED: Final = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER: Final = "pv.kubernetes.io/bound-by-controller"
PROVISIONED_BY: Final = "pv.kubernetes.io/provisioned-by"
NO_PROVISIONER: Final = "kubernetes.io/no-provisioner"
_LEGACY_CLASS: Final = "volume.beta.kubernetes.io/storage-class"


def class_name(obj: objects.Object) -> str:
    """Return the storage class of a claim or volume, empty if it has none."""
    legacy = objects.annotations_of(obj).get(_LEGACY_CLASS)
    return str(legacy or (obj.get("spec") or {}).get("storageClassName") or "")


def is_bound(claim: objects.Object) -> bool:
    """Whether a claim has its volume for good."""
    return BIND_COMPLETED in objects.annotations_of(claim) and bool(
        (claim.get("spec") or {}).get("volumeName")
    )


def storage_class(cluster: clusters.Cluster, claim: objects.Object) -> objects.Object | None:
    """Return the claim's storage class, None if it names none or one that does not exist."""
    name = class_name(claim)
    return cluster.peek("storageclasses.storage.k8s.io", "", name) if name else None


def waits_for_consumer(cluster: clusters.Cluster, claim: objects.Object) -> bool:
    """Whether the claim is bound only when a pod that uses it is scheduled."""
    if (claim.get("spec") or {}).get("volumeName"):
        return False
    found = storage_class(cluster, claim)
    return found is not None and found.get("volumeBindingMode") == "WaitForFirstConsumer"


def is_provisioned(cluster: clusters.Cluster, claim: objects.Object) -> bool:
    """Whether somebody makes volumes for the claim's class."""
    found = storage_class(cluster, claim)
    return found is not None and found.get("provisioner") != NO_PROVISIONER


def refers_to(volume: objects.Object, claim: objects.Object) -> bool:
    """Whether a volume's claimRef means this claim; one without uid was set by an admin."""
    reference = (volume.get("spec") or {}).get("claimRef") or {}
    meta = objects.metadata(claim)
    return (
        reference.get("namespace") == meta.get("namespace")
        and reference.get("name") == meta.get("name")
        and reference.get("uid") in {None, "", meta.get("uid")}
    )


def smallest_match(
    cluster: clusters.Cluster,
    claim: objects.Object,
    accept: Callable[[objects.Object], bool] = bool,
) -> objects.Object | None:
    """Return the smallest volume that fits a claim, one reserved for it first, or None."""
    spec = claim.get("spec") or {}
    selector = selectors.from_label_selector(spec["selector"]) if spec.get("selector") else None
    best: tuple[quantities.Quantity, objects.Object] | None = None
    for volume in cluster.each("persistentvolumes"):
        if not _fits(volume, claim) or not accept(volume):
            continue
        if volume["spec"].get("claimRef"):
            if refers_to(volume, claim):
                return volume
            continue
        if (volume.get("status") or {}).get("phase") != "Available":
            continue
        if selector is not None and not selector.matches(objects.labels_of(volume)):
            continue
        size = _capacity(volume)
        if best is None or size < best[0]:
            best = (size, volume)
    return best[1] if best is not None else None


def _fits(volume: objects.Object, claim: objects.Object) -> bool:
    return not misfit(volume, claim)


def misfit(volume: objects.Object, claim: objects.Object) -> str:
    """Return why a volume cannot be what a claim asks for, empty if it can."""
    have, want = volume["spec"], claim["spec"]
    if objects.metadata(volume).get("deletionTimestamp"):
        return f'the volume is marked for deletion "{objects.name_of(volume)}"'
    asked = ((want.get("resources") or {}).get("requests") or {}).get("storage") or "0"
    if _capacity(volume) < quantities.parse(str(asked)):
        return "requested PV is too small"
    if class_name(volume) != class_name(claim):
        return "storageClassName does not match"
    attributes = "volumeAttributesClassName"
    if (have.get(attributes) or "") != (want.get(attributes) or ""):
        return f"{attributes} does not match"
    if (have.get("volumeMode") or "Filesystem") != (want.get("volumeMode") or "Filesystem"):
        return "incompatible volumeMode"
    if not set(want.get("accessModes") or ()) <= set(have.get("accessModes") or ()):
        return "incompatible accessMode"
    return ""


def _capacity(volume: objects.Object) -> quantities.Quantity:
    return quantities.parse(str((volume["spec"].get("capacity") or {}).get("storage") or "0"))


def reference_to(claim: objects.Object) -> objects.Object:
    """Return the claimRef that a bound volume carries."""
    meta = objects.metadata(claim)
    return {
        "kind": "PersistentVolumeClaim",
        "namespace": meta["namespace"],
        "name": meta["name"],
        "uid": meta["uid"],
        "apiVersion": "v1",
        "resourceVersion": meta["resourceVersion"],
    }


def reserve(volume: objects.Object, claim: objects.Object) -> bool:
    """Point a volume at a claim, in place; say whether that changed anything."""
    spec = volume["spec"]
    reference = spec.get("claimRef")
    if reference is not None and reference.get("uid"):
        return False
    if reference is None:
        meta = volume["metadata"]
        meta["annotations"] = {**(meta.get("annotations") or {}), BOUND_BY_CONTROLLER: "yes"}
    spec["claimRef"] = reference_to(claim)
    return True
