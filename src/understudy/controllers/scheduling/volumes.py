"""A pod's claims: what keeps it from being scheduled, and which volumes wait for its node."""

from __future__ import annotations

from dataclasses import dataclass, field

from understudy.controllers import clusters
from understudy.controllers.scheduling import matching
from understudy.controllers.storage import binding
from understudy.kube import objects

NO_VOLUME = "node(s) didn't find available persistent volumes to bind"
WRONG_PLACE = "node(s) didn't match PersistentVolume's node affinity"
SELECTED_NODE = "volume.kubernetes.io/selected-node"


@dataclass(frozen=True, slots=True)
class Needs:
    """What a pod's claims ask of the scheduler.

    Attributes:
        refusal: Why no node at all will do, empty if nothing is in the way.
        bound: The volumes of claims that are bound already.
        waiting: Claims that are bound only when the pod's node is known.
    """

    refusal: str = ""
    bound: list[objects.Object] = field(default_factory=list)
    waiting: list[objects.Object] = field(default_factory=list)


def needs_of(cluster: clusters.Cluster, pod: objects.Object) -> Needs:
    """Look at the claims that a pod mounts."""
    needs = Needs()
    for name in claim_names(pod):
        claim = cluster.peek("persistentvolumeclaims", objects.namespace_of(pod), name)
        if claim is None:
            return Needs(f'persistentvolumeclaim "{name}" not found')
        if objects.metadata(claim).get("deletionTimestamp"):
            return Needs(f'persistentvolumeclaim "{name}" is being deleted')
        if binding.is_bound(claim):
            volume = cluster.peek("persistentvolumes", "", str(claim["spec"].get("volumeName")))
            if volume is not None:
                needs.bound.append(volume)
        elif binding.waits_for_consumer(cluster, claim):
            needs.waiting.append(claim)
        else:
            return Needs("pod has unbound immediate PersistentVolumeClaims")
    return needs


def claim_names(pod: objects.Object) -> list[str]:
    """Return the names of the claims a pod mounts, generic ephemeral ones included."""
    names: list[str] = []
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        if volume.get("persistentVolumeClaim"):
            names.append(str(volume["persistentVolumeClaim"].get("claimName")))
        elif volume.get("ephemeral"):
            names.append(f"{objects.name_of(pod)}-{volume.get('name')}")
    return names


def check(cluster: clusters.Cluster, needs: Needs, node: objects.Object) -> str:
    """Return why the claims speak against a node, empty if they do not."""
    for volume in needs.bound:
        if not _reaches(volume, node):
            return WRONG_PLACE
    taken: set[str] = set()
    for claim in needs.waiting:
        free = find(cluster, claim, node, taken)
        if free is not None:
            taken.add(objects.name_of(free))
        elif not binding.is_provisioned(cluster, claim):
            return NO_VOLUME
    return ""


def find(
    cluster: clusters.Cluster, claim: objects.Object, node: objects.Object, taken: set[str]
) -> objects.Object | None:
    """Return the smallest free volume for a claim that the node reaches, or None."""
    return binding.smallest_match(
        cluster, claim,
        lambda volume: objects.name_of(volume) not in taken and _reaches(volume, node),
    )  # fmt: skip


def _reaches(volume: objects.Object, node: objects.Object) -> bool:
    required = ((volume.get("spec") or {}).get("nodeAffinity") or {}).get("required")
    return required is None or matching.node_selector_matches(required, node)
