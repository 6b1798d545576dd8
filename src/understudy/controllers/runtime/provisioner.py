"""A simulated external provisioner: makes the volumes that claims ask their class for.

Which claims are to be served is the binder's to say: it marks them with the provisioner's name. A
volume carries its provisioner's name as well and goes when its claim is gone, if its class says so.
The events are those of the library that real provisioners are built on.

Source: kubernetes-sigs/sig-storage-lib-external-provisioner, `controller/controller.go`.
"""

from __future__ import annotations

from typing import Final

from understudy.controllers import changes, clusters, reactor, recorders
from understudy.controllers.storage import binder, binding
from understudy.kube import names, objects

PROGRAM: Final = "simulated-provisioner"


class SimulatedProvisioner:
    """Keys are `(claim, namespace, name)` and `(volume, "", name)`."""

    name = PROGRAM
    watched = (binder.CLAIMS, binder.VOLUMES)

    def __init__(self, shared: clusters.Shared) -> None:
        self.cluster = clusters.Cluster(shared, PROGRAM, PROGRAM)
        self._recorders: dict[str, recorders.Recorder] = {}

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        if change.deleted:
            return
        if change.ref == binder.VOLUMES:
            if binding.PROVISIONED_BY.encode() in change.entry.encoded:
                queue.add(("volume", *change.key))
        elif binder.PROVISIONER.encode() in change.entry.encoded and _asks(change.object):
            queue.add(("claim", *change.key))

    def reconcile(self, key: reactor.Key) -> None:
        kind, namespace, name = key
        if kind == "volume":
            self._reclaim(name)
            return
        claim = self.cluster.peek(binder.CLAIMS, namespace, name)
        if claim is not None and _asks(claim):
            self._provision(claim)

    def _provision(self, claim: objects.Object) -> None:
        found = binding.storage_class(self.cluster, claim)
        name = f"pvc-{objects.uid_of(claim)}"
        if found is None or self.cluster.entry(binder.VOLUMES, "", name) is not None:
            return
        if (
            found.get("volumeBindingMode") == "WaitForFirstConsumer"
            and binder.SELECTED_NODE not in objects.annotations_of(claim)
        ):  # fmt: skip
            return
        recorder = self._recorder(str(found.get("provisioner")))
        namespaced = "/".join(clusters.key_of(claim))
        recorder.event(
            claim, "Normal", "Provisioning",
            f'External provisioner is provisioning volume for claim "{namespaced}"',
        )  # fmt: skip
        self.cluster.create(binder.VOLUMES, _volume_for(claim, found, name, self.path_of(name)))
        text = f"Successfully provisioned volume {name}"
        recorder.event(claim, "Normal", "ProvisioningSucceeded", text)

    def path_of(self, name: str) -> str:
        """Return the directory that a volume without a CSI driver names."""
        return f"/var/lib/{PROGRAM}/{name}"

    def _recorder(self, provisioner: str) -> recorders.Recorder:
        if provisioner not in self._recorders:
            component = f"{provisioner}_{PROGRAM}"
            self._recorders[provisioner] = recorders.Recorder(self.cluster, component)
        return self._recorders[provisioner]

    def _reclaim(self, name: str) -> None:
        volume = self.cluster.peek(binder.VOLUMES, "", name)
        if (
            volume is not None
            and (volume.get("status") or {}).get("phase") == "Released"
            and volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete"
            and not objects.metadata(volume).get("deletionTimestamp")
        ):
            self.cluster.delete(binder.VOLUMES, "", name, uid=objects.uid_of(volume))


def _asks(claim: objects.Object) -> bool:
    return not (claim.get("spec") or {}).get("volumeName") and not objects.metadata(claim).get(
        "deletionTimestamp"
    )


def _volume_for(
    claim: objects.Object, found: objects.Object, name: str, path: str
) -> objects.Object:
    provisioner = str(found.get("provisioner"))
    wanted = claim["spec"]
    spec: objects.Object = {
        "capacity": {"storage": wanted["resources"]["requests"]["storage"]},
        "accessModes": wanted.get("accessModes") or ["ReadWriteOnce"],
        "volumeMode": wanted.get("volumeMode") or "Filesystem",
        "persistentVolumeReclaimPolicy": found.get("reclaimPolicy") or "Delete",
        "storageClassName": objects.name_of(found),
        "claimRef": binding.reference_to(claim),
    }
    if found.get("mountOptions"):
        spec["mountOptions"] = found["mountOptions"]
    if names.dns_subdomain(provisioner):  # not the name of a CSI driver
        spec["hostPath"] = {"path": path, "type": "DirectoryOrCreate"}
    else:
        spec["csi"] = {"driver": provisioner, "volumeHandle": name}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": {binding.PROVISIONED_BY: provisioner}},
        "spec": spec,
    }
