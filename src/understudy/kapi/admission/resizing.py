"""Claims and pods that grow.

Source: plugin/pkg/admission/storage/persistentvolume/resize, plugin/pkg/admission/podresize @1.36.
"""

from __future__ import annotations

from understudy.kapi.admission import chain, defaults, usage
from understudy.kube import identities, objects, quantities, statuses

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


_PODS = identities.GroupResource("", "pods")


class PodResize:
    """Lets running pods ask for no more than their node has to give."""

    name = "PodResize"
    storages = frozenset({_PODS})

    def handles(self, attributes: chain.Attributes) -> bool:
        return attributes.resource.storage == _PODS and attributes.subresource == "resize"

    def mutate(self, attributes: chain.Attributes) -> None:
        """Nothing to change."""

    def validate(self, attributes: chain.Attributes) -> None:
        pod, old = attributes.obj or {}, attributes.old or {}
        name = objects.lookup(pod, ("spec", "nodeName"))
        if not name or pod.get("spec") == old.get("spec"):
            return
        node = attributes.reader.find("nodes", "", name)
        if node is None:
            raise statuses.forbidden(_PODS, attributes.name, f'node "{name}" not found')
        system = objects.labels_of(node).get("kubernetes.io/os", "linux")
        if system != "linux":
            why = f'pod resize is only supported on linux nodes, node "{name}" is "{system}"'
            raise _refused(attributes, why, "UnsupportedPlatform")
        if lacking := _lacking(pod, objects.lookup(node, ("status", "allocatable")) or {}):
            why = f"node didn't have enough allocatable resources: {'; '.join(lacking)}"
            raise _refused(attributes, why, "NodeCapacity")


def _refused(attributes: chain.Attributes, why: str, reason: str) -> statuses.ForbiddenError:
    error = statuses.forbidden(_PODS, attributes.name, why)
    assert error.details is not None, "forbidden() gives details"
    error.details["causes"] = [{"reason": reason}]
    return error


def _lacking(pod: objects.Object, allocatable: objects.Object) -> list[str]:
    """Say of which resources a pod asks for more than there is: thousandths of CPUs, bytes."""
    asked = usage.pod_amounts(pod, "requests")
    out: list[str] = []
    for resource, unit in (("cpu", -3), ("memory", 0)):
        wanted = asked.get(resource, quantities.parse("0"))
        has = quantities.parse(str(allocatable.get(resource, "0")))
        if wanted > has:
            amounts = (one.scaled(unit) for one in (wanted, has))
            out.append("{}, requested: {}, allocatable: {}".format(resource, *amounts))
    return out
