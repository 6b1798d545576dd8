"""Protection: what is in use stays, though its deletion was asked for.

| what               | stays while                                |
| ------------------ | ------------------------------------------ |
| a claim            | a pod with a node mounts it                |
| a volume           | it is bound                                |
| an attribute class | a claim or a volume names it               |

The API server gives each a finalizer when it is made; these controllers give it again where
somebody took it away, and take it away when the time has come.
Source: pkg/controller/volume/{pvcprotection,pvprotection,vacprotection}.
"""

from __future__ import annotations

from typing import Final

from understudy.controllers import changes, clusters, reactor
from understudy.controllers.scheduling import volumes
from understudy.controllers.workloads import pods
from understudy.kube import objects

CLAIMS: Final = "persistentvolumeclaims"
VOLUMES: Final = "persistentvolumes"
ATTRIBUTE_CLASSES: Final = "volumeattributesclasses.storage.k8s.io"
_CLASS: Final = "volumeAttributesClassName"


class _Protection:
    """Keeps the finalizer of one kind right. Keys are namespace and name."""

    def __init__(self, shared: clusters.Shared, agent: str, ref: str, finalizer: str) -> None:
        self.cluster = clusters.Cluster(shared, agent)
        self._ref = ref
        self._finalizer = finalizer

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        if change.ref == self._ref:
            if not change.deleted and (
                b'"deletionTimestamp":' in change.entry.encoded
                or self._finalizer.encode() not in change.entry.encoded
            ):
                queue.add(change.key)
        else:
            self._observe_user(change, queue)

    def reconcile(self, key: reactor.Key) -> None:
        obj = self.cluster.find(self._ref, *key)
        if obj is None:
            return
        meta = obj["metadata"]
        present = meta.get("finalizers") or []
        if not meta.get("deletionTimestamp"):
            if self._finalizer not in present:
                meta["finalizers"] = [*present, self._finalizer]
                self.cluster.update(self._ref, obj)
            return
        if self._finalizer not in present or self._is_used(obj):
            return
        kept = [one for one in present if one != self._finalizer]
        if kept:
            meta["finalizers"] = kept
        else:
            del meta["finalizers"]
        self.cluster.update(self._ref, obj)

    def _observe_user(self, change: changes.Change, queue: reactor.Queue) -> None:
        """See whether somebody uses something no more."""

    def _is_used(self, obj: objects.Object) -> bool:
        raise NotImplementedError


class ClaimProtection(_Protection):
    """Lets terminating claims go when no pod uses them."""

    name = "persistentvolumeclaim-protection-controller"
    watched = (CLAIMS, "pods")

    def __init__(self, shared: clusters.Shared) -> None:
        super().__init__(
            shared, "pvc-protection-controller", CLAIMS, "kubernetes.io/pvc-protection"
        )

    def _observe_user(self, change: changes.Change, queue: reactor.Queue) -> None:
        if b'"volumes":' in change.entry.encoded and (
            change.deleted or pods.is_over(change.object)
        ):
            for name in volumes.claim_names(change.object):
                queue.add((change.entry.namespace, name))

    def _is_used(self, obj: objects.Object) -> bool:
        """Whether a pod has a node and the claim; one that is over as well, while it is there."""
        return any(
            objects.name_of(obj) in volumes.claim_names(pod)
            for pod in self.cluster.each("pods", objects.namespace_of(obj))
            if (pod.get("spec") or {}).get("nodeName")
        )


class VolumeProtection(_Protection):
    """Lets terminating volumes go when no claim is bound to them."""

    name = "persistentvolume-protection-controller"
    watched = (VOLUMES,)

    def __init__(self, shared: clusters.Shared) -> None:
        super().__init__(shared, "pv-protection-controller", VOLUMES, "kubernetes.io/pv-protection")

    def _is_used(self, obj: objects.Object) -> bool:
        return bool((obj.get("status") or {}).get("phase") == "Bound")


class AttributeClassProtection(_Protection):
    """Lets terminating VolumeAttributesClasses go when no claim and no volume names them."""

    name = "volumeattributesclass-protection-controller"
    watched = (ATTRIBUTE_CLASSES, CLAIMS, VOLUMES)

    def __init__(self, shared: clusters.Shared) -> None:
        agent = "volumeattributesclass-protection-controller"
        super().__init__(shared, agent, ATTRIBUTE_CLASSES, "kubernetes.io/vac-protection")

    def _observe_user(self, change: changes.Change, queue: reactor.Queue) -> None:
        left = _named(change.previous) - (set() if change.deleted else _named(change.object))
        for name in left:
            queue.add(("", name))

    def _is_used(self, obj: objects.Object) -> bool:
        return any(
            objects.name_of(obj) in _named(user)
            for ref in (CLAIMS, VOLUMES)
            for user in self.cluster.each(ref)
        )


def _named(user: objects.Object | None) -> set[str]:
    """Return the attribute classes that a claim or a volume names."""
    spec, status = (user or {}).get("spec") or {}, (user or {}).get("status") or {}
    names = (
        spec.get(_CLASS),
        status.get("currentVolumeAttributesClassName"),
        (status.get("modifyVolumeStatus") or {}).get("targetVolumeAttributesClassName"),
    )
    return {str(name) for name in names if name}
