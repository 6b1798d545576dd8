"""A pod's claims: what keeps it from being scheduled, and which volumes wait for its node."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from understudy.controllers import clusters
from understudy.controllers.scheduling import matching
from understudy.controllers.storage import binding, ephemeral
from understudy.kube import objects

NO_VOLUME = "node(s) didn't find available persistent volumes to bind"
WRONG_PLACE = "node(s) didn't match PersistentVolume's node affinity"
IN_USE = (
    "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already "
    "in-use by another pod"
)
NO_SUCH_VOLUME = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"
SELECTED_NODE = "volume.kubernetes.io/selected-node"


@dataclass(frozen=True, slots=True)
class Needs:
    """What a pod's claims ask of the scheduler.

    Attributes:
        refusal: Why no node at all will do, empty if nothing is in the way.
        bound: The volumes of claims that are bound already; empty where one is gone.
        waiting: Claims that are bound only when the pod's node is known.
        alone: Names of claims that no other pod may have in use.
    """

    refusal: str = ""
    bound: list[objects.Object] = field(default_factory=list)
    waiting: list[objects.Object] = field(default_factory=list)
    alone: set[str] = field(default_factory=set)


def needs_of(cluster: clusters.Cluster, pod: objects.Object) -> Needs:
    """Look at the claims that a pod mounts."""
    claims: list[objects.Object] = []
    for volume, name in _claims(pod):
        claim = cluster.peek("persistentvolumeclaims", objects.namespace_of(pod), name)
        why = _missing(volume, name) if claim is None else _unusable(claim, pod, volume)
        if why:
            return Needs(why)
        assert claim is not None, "it would be missing"
        claims.append(claim)
    needs = Needs()
    for claim in claims:
        if "ReadWriteOncePod" in (claim["spec"].get("accessModes") or ()):
            needs.alone.add(objects.name_of(claim))
        if binding.is_bound(claim):
            found = cluster.peek("persistentvolumes", "", str(claim["spec"].get("volumeName")))
            needs.bound.append(found or {})
        elif binding.waits_for_consumer(cluster, claim):
            needs.waiting.append(claim)
        else:
            return Needs("pod has unbound immediate PersistentVolumeClaims")
    return needs


def _missing(volume: objects.Object, name: str) -> str:
    if volume.get("ephemeral"):
        return (
            f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{name}"'
        )
    return f'persistentvolumeclaim "{name}" not found'


def _unusable(claim: objects.Object, pod: objects.Object, volume: objects.Object) -> str:
    """Return why a claim that exists will not do, empty if it may."""
    name = objects.name_of(claim)
    if (claim.get("status") or {}).get("phase") == "Lost":
        lost = claim["spec"].get("volumeName")
        return f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{lost}"'
    if objects.metadata(claim).get("deletionTimestamp"):
        return f'persistentvolumeclaim "{name}" is being deleted'
    return ephemeral.not_made_for(claim, pod) if volume.get("ephemeral") else ""


def claim_names(pod: objects.Object) -> list[str]:
    """Return the names of the claims a pod mounts, generic ephemeral ones included."""
    return [name for _, name in _claims(pod)]


def _claims(pod: objects.Object) -> Iterator[tuple[objects.Object, str]]:
    """Yield the volumes of a pod that are claims, and the claims' names."""
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        if volume.get("persistentVolumeClaim"):
            yield volume, str(volume["persistentVolumeClaim"].get("claimName"))
        elif volume.get("ephemeral"):
            yield volume, f"{objects.name_of(pod)}-{volume.get('name')}"


def in_use(
    needs: Needs, pod: objects.Object, running: Iterable[objects.Object]
) -> list[objects.Object]:
    """Return the running pods that have a claim which the pod wants for itself."""
    own = objects.namespace_of(pod)
    return [
        other for other in running
        if objects.namespace_of(other) == own and needs.alone & set(claim_names(other))
    ]  # fmt: skip


def check(cluster: clusters.Cluster, needs: Needs, node: objects.Object) -> str:
    """Return why the claims speak against a node, empty if they do not."""
    for volume in needs.bound:
        if not volume:
            return NO_SUCH_VOLUME
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
