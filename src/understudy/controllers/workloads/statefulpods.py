"""The pods of a StatefulSet: their names, their claims, and what happens to the claims later.

Source: pkg/controller/statefulset/stateful_pod_control.go, stateful_set_utils.go.
"""

from __future__ import annotations

import contextlib
import re
from typing import Final

from understudy.controllers import clusters, recorders
from understudy.controllers.workloads import histories, pods
from understudy.kube import objects, statuses

REVISION: Final = "controller-revision-hash"
POD_NAME: Final = "statefulset.kubernetes.io/pod-name"
POD_INDEX: Final = "apps.kubernetes.io/pod-index"
CLAIMS: Final = "persistentvolumeclaims"
_NUMBERED = re.compile(r"(.*)-([0-9]+)$")


def ordinal_of(owner: objects.Object, pod: objects.Object) -> int | None:
    """Return a pod's number if its name is one of the owner's, else None."""
    match = _NUMBERED.match(objects.name_of(pod))
    if match is None or match[1] != objects.name_of(owner):
        return None
    return int(match[2])


def revision_of(pod: objects.Object) -> str:
    """Return the name of the revision a pod was made from."""
    return objects.labels_of(pod).get(REVISION, "")


def exists(pod: objects.Object) -> bool:
    """Whether a pod is in the cluster, not only planned."""
    return bool(objects.uid_of(pod))


def build(owner: objects.Object, number: int, revision: objects.Object) -> objects.Object:
    """Build the pod of a number from a revision's template, with its claims as volumes."""
    template = histories.template_of(revision)
    name = f"{objects.name_of(owner)}-{number}"
    pod = pods.from_template(template, objects.namespace_of(owner), clusters.owner_reference(owner))
    meta = pod["metadata"]
    meta |= {"name": name, "generateName": pods.name_prefix(objects.name_of(owner))}
    meta["labels"] = {
        **(meta.get("labels") or {}),
        POD_NAME: name,
        POD_INDEX: str(number),
        REVISION: objects.name_of(revision),
    }
    spec = pod["spec"]
    spec["hostname"] = name
    if owner["spec"].get("serviceName"):
        spec["subdomain"] = owner["spec"]["serviceName"]
    claims = {one["metadata"]["name"]: claim_name(one, name)
              for one in owner["spec"].get("volumeClaimTemplates") or ()}  # fmt: skip
    if claims:
        volumes = [one for one in spec.get("volumes") or () if one.get("name") not in claims]
        mounted = [
            {"name": volume, "persistentVolumeClaim": {"claimName": claim}}
            for volume, claim in claims.items()
        ]
        spec["volumes"] = [*mounted, *volumes]
    return pod


def claim_name(template: objects.Object, pod: str) -> str:
    """Return the name of a pod's claim, e.g. `data-db-0`."""
    return f"{template['metadata']['name']}-{pod}"


class Workbench:
    """Makes, keeps and removes the pods of one StatefulSet, and tells in events."""

    def __init__(
        self, cluster: clusters.Cluster, recorder: recorders.Recorder, owner: objects.Object
    ) -> None:
        self.cluster = cluster
        self.recorder = recorder
        self.owner = owner
        self.name = objects.name_of(owner)
        self.namespace = objects.namespace_of(owner)

    def create(self, pod: objects.Object) -> None:
        """Create a pod, its claims first.

        Raises:
            ApiError: One was refused; an event tells it.
        """
        self._create_claims(pod)
        name = objects.name_of(pod)
        try:
            created = self.cluster.create("pods", pod)
        except statuses.AlreadyExistsError:
            raise
        except statuses.ApiError as error:
            self._tell_failure("create", f"Pod {name}", error)
            raise
        self.keep_claims(created, condemned=False)
        self._tell("SuccessfulCreate", f"Create Pod {name} in StatefulSet {self.name} successful")

    def delete(self, pod: objects.Object) -> None:
        """Delete a pod; one that is gone already is no failure."""
        name = objects.name_of(pod)
        try:
            self.cluster.delete("pods", self.namespace, name)
        except statuses.NotFoundError:
            return
        except statuses.ApiError as error:
            self._tell_failure("delete", f"Pod {name}", error)
            raise
        self._tell("SuccessfulDelete", f"Delete Pod {name} in StatefulSet {self.name} successful")

    def recreate(self, pod: objects.Object) -> None:
        """Delete a pod that is over; the next reconcile makes it anew."""
        name = objects.name_of(pod)
        where = f"StatefulSet {self.namespace}/{self.name} is recreating"
        if pods.phase_of(pod) == "Failed":
            text = f"{where} failed Pod {name}"
            self.recorder.event(self.owner, "Warning", "RecreatingFailedPod", text)
        else:
            text = f"{where} terminated Pod {name}"
            self.recorder.event(self.owner, "Normal", "RecreatingTerminatedPod", text)
        self.delete(pod)

    def keep_claims(self, pod: objects.Object, *, condemned: bool) -> None:
        """Let the pod's claims be owned as the retention policy says."""
        policy = self.owner["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
        with_set = policy.get("whenDeleted") == "Delete"
        with_pod = policy.get("whenScaled") == "Delete" and condemned
        owner = pod if with_pod else self.owner if with_set else None
        for template in self.owner["spec"].get("volumeClaimTemplates") or ():
            name = claim_name(template, objects.name_of(pod))
            claim = self.cluster.find(CLAIMS, self.namespace, name)
            if claim is not None and self._own(claim, owner, pod):
                self.cluster.update(CLAIMS, claim)

    def _own(
        self, claim: objects.Object, owner: objects.Object | None, pod: objects.Object
    ) -> bool:
        """Set a claim's owner, in place; say whether that changed anything."""
        meta = claim["metadata"]
        present = meta.get("ownerReferences") or []
        ours = {objects.uid_of(self.owner), objects.uid_of(pod)}
        kept = [one for one in present if one.get("uid") not in ours]
        if owner is not None:
            kept.append(clusters.owner_reference(owner))
        if kept == present:
            return False
        if kept:
            meta["ownerReferences"] = kept
        else:
            del meta["ownerReferences"]
        return True

    def _create_claims(self, pod: objects.Object) -> None:
        pod_name = objects.name_of(pod)
        for template in self.owner["spec"].get("volumeClaimTemplates") or ():
            name = claim_name(template, pod_name)
            if self.cluster.entry(CLAIMS, self.namespace, name) is not None:
                continue
            claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim",
                     "spec": objects.copy(template.get("spec") or {})}  # fmt: skip
            meta = objects.copy(template["metadata"])
            labels = self.owner["spec"]["selector"].get("matchLabels") or {}
            meta |= {"name": name, "namespace": self.namespace}
            meta["labels"] = {**(meta.get("labels") or {}), **labels}
            meta.pop("creationTimestamp", None)
            claim["metadata"] = meta
            what = f"Claim {name} Pod {pod_name}"
            try:
                with contextlib.suppress(statuses.AlreadyExistsError):
                    self.cluster.create(CLAIMS, claim)
            except statuses.ApiError as error:
                self._tell_failure("create", f"Claim {name} for Pod {pod_name}", error)
                raise
            self._tell("SuccessfulCreate", f"Create {what} in StatefulSet {self.name} success")

    def _tell(self, reason: str, message: str) -> None:
        self.recorder.event(self.owner, "Normal", reason, message)

    def _tell_failure(self, verb: str, what: str, error: statuses.ApiError) -> None:
        text = f"{verb} {what} in StatefulSet {self.name} failed error: {error.message}"
        self.recorder.event(self.owner, "Warning", f"Failed{verb.capitalize()}", text)
