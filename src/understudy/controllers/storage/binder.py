"""The binder: finds a volume for each claim and writes the bond on both sides, volume first.

Source: pkg/controller/volume/persistentvolume. Keys are `(claim, namespace, name)` and
`(volume, "", name)`.
"""

from __future__ import annotations

import json
import re
from typing import Final

from understudy.controllers import changes, clusters, reactor, recorders
from understudy.controllers.storage import binding
from understudy.kube import objects

CLAIMS: Final = "persistentvolumeclaims"
VOLUMES: Final = "persistentvolumes"
CLASSES: Final = "storageclasses.storage.k8s.io"
SYNC_PERIOD_S: Final = 15.0
PROVISIONER: Final = "volume.kubernetes.io/storage-provisioner"
OLD_PROVISIONER: Final = "volume.beta.kubernetes.io/storage-provisioner"
SELECTED_NODE: Final = "volume.kubernetes.io/selected-node"


class Binder:
    """Reconciles claims and volumes."""

    name = "persistentvolume-binder-controller"
    watched = (CLAIMS, VOLUMES, CLASSES)

    def __init__(self, shared: clusters.Shared) -> None:
        self.cluster = clusters.Cluster(shared, "persistent-volume-binder")
        self.recorder = recorders.Recorder(self.cluster, "persistentvolume-controller")

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        if change.ref == CLAIMS:
            queue.add(("claim", *change.key))
            volume = (change.object.get("spec") or {}).get("volumeName")
            if volume:
                queue.add(("volume", "", str(volume)))
            elif change.deleted:
                self._wake_volumes(change, queue)
        elif change.ref == VOLUMES:
            queue.add(("volume", *change.key))
            self._wake_claims(queue, change.object)
        else:
            self._wake_claims(queue, None)

    def _wake_volumes(self, change: changes.Change, queue: reactor.Queue) -> None:
        for volume in self.cluster.each(VOLUMES):
            if binding.refers_to(volume, change.object):
                queue.add(("volume", "", objects.name_of(volume)))

    def _wake_claims(self, queue: reactor.Queue, volume: objects.Object | None) -> None:
        reference = (volume["spec"].get("claimRef") or {}) if volume is not None else {}
        if reference:
            queue.add(("claim", str(reference.get("namespace")), str(reference.get("name"))))
            return
        for entry in self.cluster.entries(CLAIMS):
            if binding.BIND_COMPLETED.encode() not in entry.encoded:
                queue.add(("claim", entry.namespace, entry.name))

    def reconcile(self, key: reactor.Key) -> float | None:
        kind, namespace, name = key
        if kind == "volume":
            volume = self.cluster.find(VOLUMES, "", name)
            if volume is not None:
                self._sync_volume(volume)
            return None
        claim = self.cluster.find(CLAIMS, namespace, name)
        if claim is None:
            return None
        if binding.is_bound(claim):
            self._sync_bound(claim)
        else:
            self._sync_unbound(claim)
        return None

    # ------------------------------------------------------------------ volumes

    def _sync_volume(self, volume: objects.Object) -> None:
        reference = volume["spec"].get("claimRef")
        if not reference or not reference.get("uid"):
            self._set_phase(volume, "Available")
            return
        claim = self.cluster.peek(CLAIMS, str(reference["namespace"]), str(reference["name"]))
        if claim is None or objects.uid_of(claim) != reference["uid"]:
            if (volume.get("status") or {}).get("phase") != "Failed":
                volume = self._set_phase(volume, "Released")
            self._reclaim(volume)
        elif claim["spec"].get("volumeName") == objects.name_of(volume):
            if binding.is_bound(claim):
                self._set_phase(volume, "Bound")
        elif claim["spec"].get("volumeName"):
            self._release(volume)

    def _reclaim(self, volume: objects.Object) -> None:
        """Do with a released volume what its policy says, as far as no plugin is asked for it."""
        policy = volume["spec"].get("persistentVolumeReclaimPolicy")
        if policy != "Delete" or objects.metadata(volume).get("deletionTimestamp"):
            return
        if binding.PROVISIONED_BY in objects.annotations_of(volume):
            return  # whoever provisioned it deletes it
        name = objects.name_of(volume)
        path = (volume["spec"].get("hostPath") or {}).get("path")
        if path is None:
            why = (
                f"error getting deleter volume plugin for volume {json.dumps(name)}: "
                "no deletable volume plugin matched"
            )
        elif not re.search("/tmp/.+", path):  # noqa: S108 (the only place Kubernetes deletes in)
            why = f"host_path deleter only supports /tmp/.+ but received provided {path}"
        else:
            self.cluster.delete(VOLUMES, "", name, uid=objects.uid_of(volume))
            return
        status = volume.setdefault("status", {})
        if (status.get("phase"), status.get("message")) != ("Failed", why):
            status |= {"phase": "Failed", "message": why}
            volume = self.cluster.update_status(VOLUMES, volume)
            self.recorder.event(volume, "Warning", "VolumeFailedDelete", why)

    def _release(self, volume: objects.Object) -> None:
        """Take back a reservation: its claim was bound to another volume."""
        spec = volume["spec"]
        annotations = objects.annotations_of(volume)
        if binding.BOUND_BY_CONTROLLER in annotations:
            del spec["claimRef"]
            left = {k: v for k, v in annotations.items() if k != binding.BOUND_BY_CONTROLLER}
            volume["metadata"]["annotations"] = left
        else:
            spec["claimRef"].pop("uid", None)
        self._set_phase(self.cluster.update(VOLUMES, volume), "Available")

    def _set_phase(self, volume: objects.Object, phase: str) -> objects.Object:
        status = volume.setdefault("status", {})
        if status.get("phase") == phase:
            return volume
        status["phase"] = phase
        return self.cluster.update_status(VOLUMES, volume)

    # ------------------------------------------------------------------ claims

    def _sync_unbound(self, claim: objects.Object) -> None:
        named = claim["spec"].get("volumeName")
        if named:
            volume = self.cluster.find(VOLUMES, "", str(named))
            if volume is None or (volume.get("status") or {}).get("phase") == "Pending":
                return
            if not volume["spec"].get("claimRef") or binding.refers_to(volume, claim):
                self._bind(volume, claim)
            return
        waits = binding.waits_for_consumer(self.cluster, claim)
        found = binding.smallest_match(
            self.cluster, claim,
            (lambda volume: bool(volume["spec"].get("claimRef"))) if waits else bool,
        )  # fmt: skip
        if found is not None:
            self._bind(objects.copy(found), claim)
        elif waits and SELECTED_NODE not in objects.annotations_of(claim):
            self.recorder.event(
                claim, "Normal", "WaitForFirstConsumer",
                "waiting for first consumer to be created before binding",
            )  # fmt: skip
        elif binding.class_name(claim):
            self._provision(claim)
        else:
            self.recorder.event(
                claim, "Normal", "FailedBinding",
                "no persistent volumes available for this claim and no storage class is set",
            )  # fmt: skip

    def _provision(self, claim: objects.Object) -> None:
        """Ask the class's provisioner for a volume, or say why that cannot be."""
        name = binding.class_name(claim)
        found = binding.storage_class(self.cluster, claim)
        if found is None:
            message = f'storageclass.storage.k8s.io "{name}" not found'
            self.recorder.event(claim, "Warning", "ProvisioningFailed", message)
            return
        provisioner = str(found.get("provisioner"))
        if provisioner.startswith("kubernetes.io/"):
            message = f"no volume plugin matched name: {provisioner}"
            self.recorder.event(claim, "Warning", "ProvisioningFailed", message)
            return
        annotations = objects.annotations_of(claim)
        if annotations.get(PROVISIONER) != provisioner:
            marks = {OLD_PROVISIONER: provisioner, PROVISIONER: provisioner}
            claim["metadata"]["annotations"] = {**annotations, **marks}
            claim = self.cluster.update(CLAIMS, claim)
        self.recorder.event(
            claim, "Normal", "ExternalProvisioning",
            "Waiting for a volume to be created either by the external provisioner "
            f"'{provisioner}' or manually by the system administrator. If volume creation is "
            "delayed, please verify that the provisioner is running and correctly registered.",
        )  # fmt: skip

    def _bind(self, volume: objects.Object, claim: objects.Object) -> None:
        """Do the next of the four writes of a bond; seeing it written brings the one after."""
        if binding.reserve(volume, claim):
            self.cluster.update(VOLUMES, volume)
            return
        if (volume.get("status") or {}).get("phase") != "Bound":
            self._set_phase(volume, "Bound")
            return
        name = objects.name_of(volume)
        annotations = dict(objects.annotations_of(claim))
        if claim["spec"].get("volumeName") != name:
            claim["spec"]["volumeName"] = name
            annotations[binding.BOUND_BY_CONTROLLER] = "yes"
        if annotations.get(binding.BIND_COMPLETED) != "yes":
            annotations[binding.BIND_COMPLETED] = "yes"
            claim["metadata"]["annotations"] = annotations
            self.cluster.update(CLAIMS, claim)
            return
        self._report(claim, volume)

    def _sync_bound(self, claim: objects.Object) -> None:
        volume = self.cluster.peek(VOLUMES, "", str(claim["spec"]["volumeName"]))
        if volume is not None and binding.refers_to(volume, claim):
            self._report(claim, volume)
            return
        if (claim.get("status") or {}).get("phase") != "Lost":
            claim["status"] = {"phase": "Lost"}
            claim = self.cluster.update_status(CLAIMS, claim)
            reason, what = ("ClaimLost", "lost its PersistentVolume. Data on the volume is lost!")
            if volume is not None:
                reason, what = "ClaimMisbound", "two claims are bound to the same volume"
                self.recorder.event(claim, "Warning", reason, what.capitalize())
            else:
                self.recorder.event(claim, "Warning", reason, f"Bound claim has {what}")

    def _report(self, claim: objects.Object, volume: objects.Object) -> None:
        status: objects.Object = {
            **(claim.get("status") or {}),
            "phase": "Bound",
            "accessModes": volume["spec"].get("accessModes") or [],
            "capacity": volume["spec"].get("capacity") or {},
        }
        if status != claim.get("status"):
            claim["status"] = status
            self.cluster.update_status(CLAIMS, claim)
