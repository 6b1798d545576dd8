"""The pods of a StatefulSet: their names, their claims, and what happens to the claims later.

Source: pkg/controller/statefulset/stateful_pod_control.go, stateful_set_utils.go.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
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


def in_range(owner: objects.Object, pod: objects.Object) -> bool:
    """Whether a pod's number is one of those the owner wants."""
    spec, number = owner["spec"], ordinal_of(owner, pod)
    first = int((spec.get("ordinals") or {}).get("start") or 0)
    return number is not None and first <= number < first + int(spec.get("replicas", 1))


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
    _mount_claims(owner, pod)
    return pod


def _mount_claims(owner: objects.Object, pod: objects.Object) -> None:
    """Make the pod's claims the first of its volumes, in place of others of the same names."""
    claims = {one["metadata"]["name"]: claim_name(one, objects.name_of(pod))
              for one in owner["spec"].get("volumeClaimTemplates") or ()}  # fmt: skip
    if claims:
        spec = pod["spec"]
        volumes = [one for one in spec.get("volumes") or () if one.get("name") not in claims]
        mounted = [
            {"name": volume, "persistentVolumeClaim": {"claimName": claim}}
            for volume, claim in claims.items()
        ]
        spec["volumes"] = [*mounted, *volumes]


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
            ApiError: One was refused, or a claim is on its way out; an event tells it.
        """
        name = objects.name_of(pod)
        try:
            self._create_claims(pod)
        except statuses.ApiError as error:
            self._tell_failure("create", f"Pod {name}", error)
            raise
        refused: statuses.ApiError | None = None
        try:
            pod = self.cluster.create("pods", pod)
        except statuses.AlreadyExistsError:
            raise
        except statuses.ApiError as error:
            refused = error
        self._settle_claims(pod)
        if refused is not None:
            self._tell_failure("create", f"Pod {name}", refused)
            raise refused
        self._tell("create", name)

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
        self._tell("delete", name)

    def keep(self, pod: objects.Object) -> None:
        """Bring a pod's identity, volumes and claims to what the set says, with an event.

        A pod is written, with or without changes, also where only its claims were to be changed.

        Raises:
            ApiError: A write was refused (volumes of a pod cannot change); an event tells it.
        """
        wanted = objects.copy(pod)
        number = ordinal_of(self.owner, pod)
        name = objects.name_of(pod)
        if objects.labels_of(pod).get(POD_NAME) != name:
            labels = {POD_NAME: name, POD_INDEX: str(number)}
            wanted["metadata"].setdefault("labels", {}).update(labels)
        if not _mounts_claims(self.owner, pod):
            _mount_claims(self.owner, wanted)
            self.complete_claims(pod)
        if not self._settle_claims(pod) and wanted == pod:
            return
        try:
            self.cluster.update("pods", wanted)
        except statuses.ApiError as error:
            self._tell_failure("update", f"Pod {name}", error)
            raise
        self._tell("update", name)

    def complete_claims(self, pod: objects.Object) -> None:
        """Create the claims that a pod lacks.

        Raises:
            ApiError: One was refused, or a claim is on its way out.
        """
        self._create_claims(pod)
        self._settle_claims(pod)

    def has_stale_claim(self, pod: objects.Object) -> bool:
        """Whether a claim is to go with a former pod of the same name."""
        return self._policy("whenScaled") == "Delete" and any(
            _named(reference, "Pod", objects.name_of(pod))
            for claim in self._claims(pod)
            for reference in objects.metadata(claim).get("ownerReferences") or ()
        )

    def keep_claims(self, pod: objects.Object) -> bool:
        """Let the pod's claims be owned as the retention policy says; say whether any was not."""
        changed = False
        for claim in self._claims(pod):
            if self._own(claim, pod):
                self.cluster.update(CLAIMS, claim)
                changed = True
        return changed

    # ------------------------------------------------------------------ claims

    def _settle_claims(self, pod: objects.Object) -> bool:
        """Do `keep_claims`, and tell a failure in an event."""
        try:
            return self.keep_claims(pod)
        except statuses.ApiError as error:
            self._tell_failure("update", f"Pod {objects.name_of(pod)}", error)
            raise

    def _claims(self, pod: objects.Object) -> Iterator[objects.Object]:
        for template in self.owner["spec"].get("volumeClaimTemplates") or ():
            name = claim_name(template, objects.name_of(pod))
            claim = self.cluster.find(CLAIMS, self.namespace, name)
            if claim is not None:
                yield claim

    def _policy(self, when: str) -> str:
        policy = self.owner["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
        return str(policy.get(when) or "Retain")

    def _owners(self, pod: objects.Object) -> list[objects.Object]:
        """Return who is to own a pod's claims: the set, the surplus pod, or nobody."""
        if self._policy("whenScaled") == "Delete" and not in_range(self.owner, pod):
            return [pod]
        return [self.owner] if self._policy("whenDeleted") == "Delete" else []

    def _own(self, claim: objects.Object, pod: objects.Object) -> bool:
        """Set a claim's owners, in place; say whether that changed anything.

        A claim that names a former set or pod of the same name is left alone, and one that has
        another controller gets none besides.
        """
        meta = claim["metadata"]
        present = meta.get("ownerReferences") or []
        pairs = ((self.owner, "StatefulSet"), (pod, "Pod"))
        ours = []
        for reference in present:
            for owner, kind in pairs:
                if _named(reference, kind, objects.name_of(owner)):
                    if reference.get("uid") != objects.uid_of(owner):
                        return False
                    ours.append(reference)
        others = [one for one in present if one not in ours]
        wanted = [clusters.owner_reference(owner) for owner in self._owners(pod)]
        if any(one.get("controller") for one in others):
            wanted = []
        held = [one.get("uid") for one in ours if one.get("controller")]
        if len(held) == len(ours) and held == [one["uid"] for one in wanted]:
            return False
        meta["ownerReferences"] = [*others, *wanted]
        if not meta["ownerReferences"]:
            del meta["ownerReferences"]
        return True

    def _create_claims(self, pod: objects.Object) -> None:
        problems: list[str] = []
        for template in self.owner["spec"].get("volumeClaimTemplates") or ():
            name = claim_name(template, objects.name_of(pod))
            present = self.cluster.peek(CLAIMS, self.namespace, name)
            if present is None:
                problems += self._create_claim(template, name, objects.name_of(pod))
            elif present["metadata"].get("deletionTimestamp"):
                problems.append(f"pvc {name} is being deleted")
        if problems:
            text = problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]"
            raise statuses.ConflictError(text)

    def _create_claim(self, template: objects.Object, name: str, pod: str) -> list[str]:
        """Create a claim, with an event; return what went wrong."""
        meta = objects.copy(template["metadata"])
        labels = self.owner["spec"]["selector"].get("matchLabels") or {}
        meta |= {"name": name, "namespace": self.namespace}
        meta["labels"] = {**(meta.get("labels") or {}), **labels}
        meta.pop("creationTimestamp", None)
        claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta,
                 "spec": objects.copy(template.get("spec") or {})}  # fmt: skip
        try:
            self.cluster.create(CLAIMS, claim)
        except statuses.ApiError as error:
            if not isinstance(error, statuses.AlreadyExistsError):
                self._tell_failure("create", f"Claim {name} for Pod {pod}", error)
            return [f"failed to create PVC {name}: {error.message}"]
        text = f"Create Claim {name} Pod {pod} in StatefulSet {self.name} success"
        self.recorder.event(self.owner, "Normal", "SuccessfulCreate", text)
        return []

    # ------------------------------------------------------------------ events

    def _tell(self, verb: str, pod: str) -> None:
        verb = verb.capitalize()
        text = f"{verb} Pod {pod} in StatefulSet {self.name} successful"
        self.recorder.event(self.owner, "Normal", f"Successful{verb}", text)

    def _tell_failure(self, verb: str, what: str, error: statuses.ApiError) -> None:
        verb = verb.capitalize()
        text = f"{verb} {what} in StatefulSet {self.name} failed error: {error.message}"
        self.recorder.event(self.owner, "Warning", f"Failed{verb}", text)


def _mounts_claims(owner: objects.Object, pod: objects.Object) -> bool:
    mounted = {
        volume.get("name"): (volume.get("persistentVolumeClaim") or {}).get("claimName")
        for volume in pod["spec"].get("volumes") or ()
    }
    return all(
        mounted.get(one["metadata"]["name"]) == claim_name(one, objects.name_of(pod))
        for one in owner["spec"].get("volumeClaimTemplates") or ()
    )


def _named(reference: objects.Object, kind: str, name: str) -> bool:
    return bool(reference.get("kind") == kind and reference.get("name") == name)
