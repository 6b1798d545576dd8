"""Claims for the generic ephemeral volumes of pods: made for a pod, owned by it, gone with it.

Source: kubernetes `pkg/controller/volume/ephemeral/controller.go`. Without the claim a pod with
such a volume is never scheduled.
"""

from __future__ import annotations

from typing import Final

from understudy.controllers import changes, clusters, reactor, recorders
from understudy.kube import objects, statuses

CLAIMS: Final = "persistentvolumeclaims"


class EphemeralVolumes:
    """Makes the claims that pods' volumes describe."""

    name = "ephemeral-volume-controller"
    watched = ("pods", CLAIMS)

    def __init__(self, shared: clusters.Shared) -> None:
        self.cluster = clusters.Cluster(shared, "ephemeral-volume-controller")
        self.recorder = recorders.Recorder(self.cluster, "ephemeral_volume")

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        if change.ref == "pods":
            if not change.deleted and b'"ephemeral":' in change.entry.encoded:
                queue.add(change.key)
        elif change.deleted:
            for owner in objects.metadata(change.object).get("ownerReferences") or ():
                if owner.get("kind") == "Pod" and owner.get("controller"):
                    queue.add((change.entry.namespace, str(owner.get("name"))))

    def reconcile(self, key: reactor.Key) -> float | None:
        pod = self.cluster.peek("pods", *key)
        if pod is None or objects.metadata(pod).get("deletionTimestamp"):
            return None
        for volume in (pod.get("spec") or {}).get("volumes") or ():
            if volume.get("ephemeral"):
                self._provide(pod, volume)
        return None

    def _provide(self, pod: objects.Object, volume: objects.Object) -> None:
        namespace, owner = objects.namespace_of(pod), objects.name_of(pod)
        name = f"{owner}-{volume['name']}"
        present = self.cluster.peek(CLAIMS, namespace, name)
        if present is not None:
            foreign = not_made_for(present, pod)
            if foreign:
                self._complain(pod, volume, foreign)
                raise statuses.ConflictError(foreign)  # to be tried again
            return
        template = volume["ephemeral"].get("volumeClaimTemplate") or {}
        meta: objects.Object = {
            "name": name,
            "namespace": namespace,
            "ownerReferences": [clusters.owner_reference(pod)],
        }
        described = template.get("metadata") or {}
        meta |= {key: described[key] for key in ("annotations", "labels") if described.get(key)}
        claim = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": meta,
            "spec": objects.copy(template.get("spec") or {}),
        }
        try:
            self.cluster.create(CLAIMS, claim, quiet=True)
        except statuses.ApiError as error:
            self._complain(pod, volume, f"create PVC {name}: {error.message}")
            raise

    def _complain(self, pod: objects.Object, volume: objects.Object, why: str) -> None:
        message = f"ephemeral volume {volume['name']}: {why}"
        self.recorder.event(pod, "Warning", "FailedBinding", message)


def not_made_for(claim: objects.Object, pod: objects.Object) -> str:
    """Return why a claim is not that of a pod's ephemeral volume, empty if it is."""
    if any(
        owner.get("controller") and owner.get("uid") == objects.uid_of(pod)
        for owner in objects.metadata(claim).get("ownerReferences") or ()
    ):
        return ""
    where = "/".join(clusters.key_of(claim))
    return (
        f"PVC {where} was not created for pod {'/'.join(clusters.key_of(pod))} (pod is not owner)"
    )
