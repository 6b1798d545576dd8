"""The binder: finds a volume for each claim and writes the bond on both sides, volume first.

What cannot be done is told when a claim is made or changed, and again with every sync of all
claims and volumes. Source: pkg/controller/volume/persistentvolume. Keys are

    (claim, namespace, name)   look at a claim
    (match, namespace, name)   a volume came: does the claim want it? if not, nothing is told
    (volume, "", name)         look at a volume
    (told, namespace, name)    an Event tells how a volume's recycler fares
"""

from __future__ import annotations

import json
import re
from typing import Final

from understudy.controllers import changes, clusters, reactor, recorders
from understudy.controllers.scheduling import volumes
from understudy.controllers.storage import binding, recycling
from understudy.controllers.workloads import pods
from understudy.kapi.admission import defaults
from understudy.kube import objects

CLAIMS: Final = "persistentvolumeclaims"
VOLUMES: Final = "persistentvolumes"
CLASSES: Final = "storageclasses.storage.k8s.io"
SYNC_PERIOD_S: Final = 15.0
"""How often everything that waits is looked at again; what does not wait is not touched."""
PROVISIONER: Final = "volume.kubernetes.io/storage-provisioner"
OLD_PROVISIONER: Final = "volume.beta.kubernetes.io/storage-provisioner"
SELECTED_NODE: Final = "volume.kubernetes.io/selected-node"
_COMPLETED: Final = binding.BIND_COMPLETED.encode()
_MOUNTED: Final = (b'"persistentVolumeClaim":', b'"ephemeral":')


class Binder:
    """Reconciles claims and volumes."""

    name = "persistentvolume-binder-controller"
    watched = (CLAIMS, VOLUMES, CLASSES, "pods", "events")

    def __init__(self, shared: clusters.Shared) -> None:
        self.cluster = clusters.Cluster(shared, "persistent-volume-binder")
        self.recorder = recorders.Recorder(self.cluster, "persistentvolume-controller")
        self.sync_period_s = SYNC_PERIOD_S
        self.synced_s = self.cluster.clock.monotonic()
        self._recycled_again_s: dict[str, float] = {}
        self._users: dict[tuple[str, str], set[str]] = {}
        self._waiting_then: dict[tuple[str, str], list[str]] = {}

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        if change.ref in {"pods", "events"}:
            if change.entry.name.startswith(recycling.PREFIX):
                self._observe_recycler(change, queue)
            if change.ref == "pods" and any(mark in change.entry.encoded for mark in _MOUNTED):
                self._observe_user(change)
        elif change.ref == CLAIMS:
            if not change.deleted:
                self._waiting_then[change.key] = self._waiting(change.key)
            queue.add(("claim", *change.key))
            volume = (change.object.get("spec") or {}).get("volumeName")
            if volume:
                queue.add(("volume", "", str(volume)))
            elif change.deleted:
                self._wake_volumes(change, queue)
        elif change.ref == VOLUMES:
            queue.add(("volume", *change.key))
            self._wake_claims(change.object, queue)
        elif not change.deleted:
            for entry in self.cluster.entries(CLAIMS):
                if _COMPLETED not in entry.encoded:
                    key = ("claim", entry.namespace, entry.name)
                    queue.add_after(key, self._until_sync_s())

    def _observe_recycler(self, change: changes.Change, queue: reactor.Queue) -> None:
        if change.entry.namespace != recycling.NAMESPACE:
            return
        if change.ref == "pods":
            queue.add(("volume", "", change.entry.name.removeprefix(recycling.PREFIX)))
        elif change.type == "ADDED" and change.previous_entry is None:
            queue.add(("told", recycling.NAMESPACE, change.entry.name))

    def _observe_user(self, change: changes.Change) -> None:
        """Note whether a pod without a node waits for its claims."""
        pod = change.object
        waits = not (change.deleted or pod["spec"].get("nodeName") or pods.is_over(pod))
        for name in volumes.claim_names(pod):
            users = self._users.setdefault((change.entry.namespace, name), set())
            (users.add if waits else users.discard)(change.entry.name)
            if not users:
                del self._users[change.entry.namespace, name]

    def _waiting(self, claim: tuple[str, str]) -> list[str]:
        """Return the pods without a node that mount a claim, as far as was heard of them."""
        return sorted(self._users.get(claim, ()))

    def _until_sync_s(self) -> float:
        passed_s = self.cluster.clock.monotonic() - self.synced_s
        return self.sync_period_s - round(passed_s, 6) % self.sync_period_s

    def _wake_volumes(self, change: changes.Change, queue: reactor.Queue) -> None:
        for volume in self.cluster.each(VOLUMES):
            if binding.refers_to(volume, change.object):
                queue.add(("volume", "", objects.name_of(volume)))

    def _wake_claims(self, volume: objects.Object, queue: reactor.Queue) -> None:
        reference = volume["spec"].get("claimRef") or {}
        if reference:
            queue.add(("claim", str(reference.get("namespace")), str(reference.get("name"))))
            return
        named = f'"volumeName":"{objects.name_of(volume)}"'.encode()
        for entry in self.cluster.entries(CLAIMS):
            if _COMPLETED not in entry.encoded or named in entry.encoded:
                queue.add(("match", entry.namespace, entry.name))

    def reconcile(self, key: reactor.Key) -> reactor.Idle | None:
        kind, namespace, name = key
        if kind == "told":
            self._pass_on(self.cluster.peek("events", namespace, name))
            return None
        if kind == "volume":
            volume = self.cluster.find(VOLUMES, "", name)
            return self._sync_volume(volume) if volume is not None else None
        found = self._sync_claim(kind, namespace, name)
        if kind == "claim":
            self._waiting_then.pop((namespace, name), None)
        return found

    def _sync_claim(self, kind: str, namespace: str, name: str) -> reactor.Idle | None:
        claim = self.cluster.find(CLAIMS, namespace, name)
        if claim is None:
            return None
        if binding.is_bound(claim):
            self._sync_bound(claim)
            return None
        volume = self._volume_for(claim)
        if volume is not None:
            self._bind(volume, claim)
        elif kind == "claim":
            self._explain(claim)
            return reactor.Idle(self._until_sync_s())
        return None

    # ------------------------------------------------------------------ volumes

    def _sync_volume(self, volume: objects.Object) -> reactor.Idle | None:
        reference = volume["spec"].get("claimRef")
        if not reference or not reference.get("uid"):
            self._set_phase(volume, "Available")
            return None
        claim = self.cluster.peek(CLAIMS, str(reference["namespace"]), str(reference["name"]))
        if claim is None or objects.uid_of(claim) != reference["uid"]:
            if (volume.get("status") or {}).get("phase") != "Failed":
                volume = self._set_phase(volume, "Released")
            if volume["spec"].get("persistentVolumeReclaimPolicy") == "Recycle":
                return self._recycle(volume)
            self._reclaim(volume)
        elif claim["spec"].get("volumeName") == objects.name_of(volume):
            if binding.is_bound(claim):
                self._set_phase(volume, "Bound")
        elif claim["spec"].get("volumeName"):
            self._release(volume)
        return None

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
        self._fail(volume, "VolumeFailedDelete", why)

    def _fail(self, volume: objects.Object, reason: str, why: str) -> None:
        status = volume.setdefault("status", {})
        if (status.get("phase"), status.get("message")) != ("Failed", why):
            status |= {"phase": "Failed", "message": why}
            volume = self.cluster.update_status(VOLUMES, volume)
            self.recorder.event(volume, "Warning", reason, why)

    def _recycle(self, volume: objects.Object) -> reactor.Idle | None:
        """Have a released volume emptied, see how that went, and make it available again."""
        name = objects.name_of(volume)
        left_s = self._recycled_again_s.get(name, 0.0) - self.cluster.clock.monotonic()
        pod_name = f"{recycling.PREFIX}{name}"
        pod = self.cluster.peek("pods", recycling.NAMESPACE, pod_name)
        if not recycling.source_of(volume):
            self._fail(volume, "VolumeFailedRecycle", "No recycler plugin found for the volume!")
        elif pod is None and left_s > 0:
            return reactor.Idle(left_s)
        elif pod is None:
            recycling.start(self.cluster, volume)
        elif pods.is_over(pod) and not pods.is_terminating(pod):
            self.cluster.delete("pods", recycling.NAMESPACE, pod_name)
            if pod["status"]["phase"] == "Succeeded":
                self.recorder.event(volume, "Normal", "VolumeRecycled", "Volume recycled")
                self._release(volume)
                return None
            self._recycled_again_s[name] = self.cluster.clock.monotonic() + self.sync_period_s
            why = pod["status"].get("message") or "pod failed, pod.Status.Message unknown"
            text = f"Recycle failed: failed to recycle volume: {why}"
            self._fail(volume, "VolumeFailedRecycle", text)
        return None

    def _pass_on(self, event: objects.Object | None) -> None:
        """Say on a volume what was said of its recycler."""
        about = (event or {}).get("involvedObject") or {}
        name = str(about.get("name") or "").removeprefix(recycling.PREFIX)
        volume = self.cluster.peek(VOLUMES, "", name)
        if event is not None and volume is not None and about.get("kind") == "Pod":
            text = f"Recycler pod: {event.get('message')}"
            self.recorder.event(volume, str(event.get("type")), "RecyclerPod", text)

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

    def _volume_for(self, claim: objects.Object) -> objects.Object | None:
        """Return the volume to bind an unbound claim to, or None."""
        named = claim["spec"].get("volumeName")
        if named:
            volume = self.cluster.find(VOLUMES, "", str(named))
            if volume is None or (volume.get("status") or {}).get("phase") == "Pending":
                return None
            if volume["spec"].get("claimRef"):
                return volume if binding.refers_to(volume, claim) else None
            return None if binding.misfit(volume, claim) else volume
        waits = binding.waits_for_consumer(self.cluster, claim)
        found = binding.smallest_match(
            self.cluster, claim,
            (lambda volume: bool(volume["spec"].get("claimRef"))) if waits else bool,
        )  # fmt: skip
        return objects.copy(found) if found is not None else None

    def _explain(self, claim: objects.Object) -> None:
        """Have a volume made for a claim that fits none, or say why it stays unbound."""
        spec = claim["spec"]
        if spec.get("volumeName"):
            self._explain_named(claim, self.cluster.peek(VOLUMES, "", str(spec["volumeName"])))
            return
        if spec.get("storageClassName") is None and not binding.class_name(claim):
            classes = self.cluster.each(CLASSES)
            default = defaults.default_class(classes, *defaults.DEFAULT_STORAGE_CLASS)
            if default is not None:
                spec["storageClassName"] = objects.name_of(default)
                self.cluster.update(CLAIMS, claim)
                return
        chosen = SELECTED_NODE in objects.annotations_of(claim)
        if binding.waits_for_consumer(self.cluster, claim) and not chosen:
            self.recorder.event(claim, "Normal", *self._awaited(claim))
        elif binding.class_name(claim):
            self._provision(claim)
        else:
            self.recorder.event(
                claim, "Normal", "FailedBinding",
                "no persistent volumes available for this claim and no storage class is set",
            )  # fmt: skip

    def _explain_named(self, claim: objects.Object, volume: objects.Object | None) -> None:
        if volume is None:
            return
        name = objects.name_of(volume)
        if not volume["spec"].get("claimRef"):
            why = binding.misfit(volume, claim)
            if why:
                text = f"Cannot bind to requested volume {json.dumps(name)}: {why}"
                self.recorder.event(claim, "Warning", "VolumeMismatch", text)
        elif not binding.refers_to(volume, claim):
            text = f"volume {json.dumps(name)} already bound to a different claim."
            self.recorder.event(claim, "Warning", "FailedBinding", text)

    def _awaited(self, claim: objects.Object) -> tuple[str, str]:
        """Return what a claim waits for that is bound when its pod's node is known.

        Of a claim that has just changed, as it was then: its pod may have come right after it.
        """
        key = clusters.key_of(claim)
        then = self._waiting_then.get(key)
        names = then if then is not None else self._waiting(key)
        if not names:
            return (
                "WaitForFirstConsumer", "waiting for first consumer to be created before binding",
            )  # fmt: skip
        what = "pods" if len(names) > 1 else "pod"
        return "WaitForPodScheduled", f"waiting for {what} {','.join(names)} to be scheduled"

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
        volume = self.cluster.find(VOLUMES, "", str(claim["spec"]["volumeName"]))
        if volume is not None and (
            not volume["spec"].get("claimRef") or binding.refers_to(volume, claim)
        ):
            self._bind(volume, claim)
            return
        if (claim.get("status") or {}).get("phase") != "Lost":
            claim["status"] = {"phase": "Lost"}
            claim = self.cluster.update_status(CLAIMS, claim)
            reason = "ClaimLost"
            what = "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
            if volume is not None:
                reason = "ClaimMisbound"
                what = "Two claims are bound to the same volume, this one is bound incorrectly"
            self.recorder.event(claim, "Warning", reason, what)

    def _report(self, claim: objects.Object, volume: objects.Object) -> None:
        known = claim.get("status") or {}
        status: objects.Object = {
            **known,
            "phase": "Bound",
            "accessModes": volume["spec"].get("accessModes") or [],
        }
        if known.get("phase") != "Bound":
            # Of a bound one it may differ for good: the file system is yet to grow.
            status["capacity"] = volume["spec"].get("capacity") or {}
        if status != claim.get("status"):
            claim["status"] = status
            self.cluster.update_status(CLAIMS, claim)
