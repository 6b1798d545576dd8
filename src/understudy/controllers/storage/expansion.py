"""Expansion: who asks for more than a bound claim has is told who is to give it.

No volume that a controller manager could itself let grow exists any more, so it is always somebody
else, who is beside the cluster. Source: pkg/controller/volume/expand. Keys are namespace and name.
"""

from __future__ import annotations

from understudy.controllers import changes, clusters, reactor, recorders
from understudy.controllers.storage import binder, binding
from understudy.kube import objects, quantities


class Expansion:
    """Looks at bound claims whose request grew."""

    name = "persistentvolume-expander-controller"
    watched = (binder.CLAIMS,)

    def __init__(self, shared: clusters.Shared) -> None:
        self.cluster = clusters.Cluster(shared, "expand-controller")
        self.recorder = recorders.Recorder(self.cluster, "volume_expand")

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        claim, before = change.object, change.previous
        if change.deleted or (claim.get("status") or {}).get("phase") != "Bound":
            return
        if before is None or _requested(claim) > _requested(before):
            queue.add(change.key)

    def reconcile(self, key: reactor.Key) -> None:
        claim = self.cluster.peek(binder.CLAIMS, *key)
        if claim is None:
            return
        volume = self.cluster.peek(binder.VOLUMES, "", str(claim["spec"].get("volumeName")))
        if volume is None or not binding.refers_to(volume, claim):
            return
        have = objects.lookup(claim, ("status", "capacity", "storage"))
        if _requested(claim) > quantities.parse(str(have or "0")):
            self.recorder.event(
                claim, "Normal", "ExternalExpanding",
                "waiting for an external controller to expand this PVC",
            )  # fmt: skip


def _requested(claim: objects.Object) -> quantities.Quantity:
    asked = objects.lookup(claim, ("spec", "resources", "requests", "storage"))
    return quantities.parse(str(asked or "0"))
