"""What speaks against a node, in kube-scheduler's order and words; and what nodes have left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from understudy.controllers.scheduling import matching, requests
from understudy.controllers.workloads import pods as pod_facts
from understudy.kube import identities, objects, selectors

TAINTED: Final = "node(s) had untolerated taint(s)"
UNSCHEDULABLE: Final = "node(s) were unschedulable"
OTHER_NODE: Final = "node(s) didn't match the requested node name"
AFFINITY: Final = "node(s) didn't match Pod's node affinity/selector"
EXCLUDED: Final = "node(s) didn't satisfy plugin(s) [NodeAffinity]"
PORTS: Final = "node(s) didn't have free ports for the requested pod ports"
SPREAD: Final = "node(s) didn't match pod topology spread constraints"
SPREAD_LABEL: Final = f"{SPREAD} (missing required label)"
TOGETHER: Final = "node(s) didn't match pod affinity rules"
APART: Final = "node(s) didn't match pod anti-affinity rules"
OTHERS_APART: Final = "node(s) didn't satisfy existing pods anti-affinity rules"

NOT_HELPFUL: Final = "Preemption is not helpful for scheduling"

BY_NODES: Final = "nodes"
BY_PODS: Final = "pods"
BY_NEIGHBOURS: Final = "neighbours"
BY_VOLUMES: Final = "volumes"
"""What may help a pod that fits nowhere: another node, a pod that goes, one that comes to a node,
a volume that comes."""

_CORDON = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why one node will not do.

    Attributes:
        reasons: Kubernetes' words, e.g. `Insufficient cpu`.
        is_final: Evicting other pods would not help either.
        helped_by: What may help: `nodes`, `pods`, `neighbours`, `volumes`.
    """

    reasons: tuple[str, ...]
    is_final: bool = True
    helped_by: tuple[str, ...] = (BY_NODES,)


@dataclass(slots=True)
class Load:
    """What the pods of one node use."""

    requested: Counter[str] = field(default_factory=Counter)
    cpu: int = 0
    memory: int = 0
    pods: int = 0
    ports: Counter[tuple[str, str, int]] = field(default_factory=Counter)

    def add(self, pod: objects.Object, sign: int = 1) -> None:
        """Count a pod in, or out."""
        for name, asked in requests.of_pod(pod).items():
            self.requested[name] += sign * asked
        cpu, memory = requests.nominal(pod)
        self.cpu += sign * cpu
        self.memory += sign * memory
        self.pods += sign
        for port in requests.ports_of(pod):
            self.ports[port] += sign


def load_of(pods: Iterable[objects.Object]) -> Load:
    """Return what some pods use together."""
    load = Load()
    for pod in pods:
        load.add(pod)
    return load


class Loads:
    """What every node's pods use, kept current from pod changes."""

    __slots__ = ("_known", "_loads")

    def __init__(self) -> None:
        self._known: dict[identities.ObjectKey, tuple[str, objects.Object]] = {}
        self._loads: dict[str, Load] = {}

    def of(self, node: str) -> Load:
        """Return a node's load; not to be changed."""
        return self._loads.get(node) or Load()

    def put(self, key: identities.ObjectKey, pod: objects.Object) -> None:
        """Count a pod where it is bound, until it is over."""
        node = str((pod.get("spec") or {}).get("nodeName") or "")
        if not node or pod_facts.is_over(pod):
            self.drop(key)
        elif key not in self._known:
            self._known[key] = (node, pod)
            self._change(node, pod, 1)

    def drop(self, key: identities.ObjectKey) -> None:
        """Forget a pod."""
        known = self._known.pop(key, None)
        if known is not None:
            self._change(*known, -1)

    def _change(self, node: str, pod: objects.Object, sign: int) -> None:
        self._loads.setdefault(node, Load()).add(pod, sign)


def check(pod: objects.Object, node: objects.Object, load: Load) -> Refusal | None:
    """Return what speaks against a node by itself, None if nothing does."""
    spec = pod.get("spec") or {}
    node_spec = node.get("spec") or {}
    tolerations = spec.get("tolerations") or []
    if node_spec.get("unschedulable") and not any(
        matching.tolerates(one, _CORDON) for one in tolerations
    ):
        return Refusal((UNSCHEDULABLE,))
    if spec.get("nodeName") and spec["nodeName"] != objects.name_of(node):
        return Refusal((OTHER_NODE,))
    taints = node_spec.get("taints") or ()
    if matching.untolerated(taints, tolerations, ("NoSchedule", "NoExecute")) is not None:
        return Refusal((TAINTED,))
    if not matching.matches_node(pod, node):
        return Refusal((AFFINITY,))
    wanted = requests.ports_of(pod)
    if wanted and any(_clash(port, load.ports) for port in wanted):
        return Refusal((PORTS,), is_final=False, helped_by=(BY_NODES, BY_PODS))
    return _fit(pod, node, load)


def _clash(port: tuple[str, str, int], used: Counter[tuple[str, str, int]]) -> bool:
    anywhere = "0.0.0.0"  # noqa: S104 (compared, not bound)
    return any(
        count > 0 and other[0] == port[0] and other[2] == port[2]
        and (anywhere in {other[1], port[1]} or other[1] == port[1])
        for other, count in used.items()
    )  # fmt: skip


def _fit(pod: objects.Object, node: objects.Object, load: Load) -> Refusal | None:
    room = (node.get("status") or {}).get("allocatable") or {}
    reasons: list[str] = []
    is_final = False
    if load.pods + 1 > requests.amount("pods", room.get("pods", 0)):
        reasons.append("Too many pods")
    asked = requests.of_pod(pod)
    first = ("cpu", "memory", "ephemeral-storage")
    ordered = [*(name for name in first if name in asked), *sorted(asked.keys() - set(first))]
    for name in ordered:
        if not asked[name]:
            continue
        whole = requests.amount(name, room.get(name, 0))
        if asked[name] > whole - load.requested[name]:
            reasons.append(f"Insufficient {name}")
            is_final = is_final or asked[name] > whole
    return Refusal(tuple(reasons), is_final, (BY_NODES, BY_PODS)) if reasons else None


@dataclass(frozen=True, slots=True)
class Placed:
    """A pod that runs, and the node it runs on."""

    pod: objects.Object
    node: objects.Object


Spaces = Callable[[objects.Object], Container[str]]
"""Which namespaces a raw label selector takes."""


def check_neighbours(
    pod: objects.Object,
    node: objects.Object,
    nodes: Iterable[objects.Object],
    placed: Iterable[Placed],
    spaces: Spaces,
) -> Refusal | None:
    """Return what topology spread or pod affinity says against a node.

    `placed` are the pods of all nodes; looked at only if the pod, or one of them, asks for it.
    """
    everywhere = list(placed)
    return _check_spread(pod, node, list(nodes), everywhere) or _check_affinity(
        pod, node, everywhere, spaces
    )


def asks_for_neighbours(pod: objects.Object) -> bool:
    """Whether where other pods run matters for this one."""
    spec = pod.get("spec") or {}
    affinity = spec.get("affinity") or {}
    return bool(
        spec.get("topologySpreadConstraints")
        or affinity.get("podAffinity")
        or affinity.get("podAntiAffinity")
    )


def may_draw(other: objects.Object, pod: objects.Object, spaces: Spaces) -> bool:
    """Whether a pod that came to a node may help another that wants such neighbours."""
    spread = (pod.get("spec") or {}).get("topologySpreadConstraints") or ()
    return any(_term_takes(term, pod, other, spaces) for term in _terms(pod, "podAffinity")) or any(
        _is_like(other, pod, selectors.from_label_selector(one.get("labelSelector") or {}))
        for one in spread
    )


def _check_spread(
    pod: objects.Object,
    node: objects.Object,
    nodes: list[objects.Object],
    placed: list[Placed],
) -> Refusal | None:
    constraints = [
        one for one in (pod.get("spec") or {}).get("topologySpreadConstraints") or ()
        if one.get("whenUnsatisfiable") == "DoNotSchedule"
    ]  # fmt: skip
    keys = {str(one.get("topologyKey")) for one in constraints}
    complete = [one for one in nodes if keys <= objects.labels_of(one).keys()]
    for constraint in constraints:
        key = str(constraint.get("topologyKey"))
        here = objects.labels_of(node).get(key)
        if here is None:
            return Refusal((SPREAD_LABEL,))
        selector = selectors.from_label_selector(constraint.get("labelSelector") or {})
        counts = {
            objects.labels_of(one)[key]: 0 for one in complete if _counts(constraint, pod, one)
        }
        for other in placed:
            place = objects.labels_of(other.node).get(key)
            if place in counts and _is_like(other.pod, pod, selector):
                counts[place] += 1
        enough = len(counts) >= int(constraint.get("minDomains") or 1)
        least = min(counts.values(), default=0) if enough else 0
        skew = counts.get(here, 0) + int(selector.matches(objects.labels_of(pod))) - least
        if skew > int(constraint.get("maxSkew") or 1):
            helped_by = (BY_NODES, BY_PODS, BY_NEIGHBOURS)
            return Refusal((SPREAD,), is_final=False, helped_by=helped_by)
    return None


def _counts(constraint: objects.Object, pod: objects.Object, node: objects.Object) -> bool:
    """Whether a node is among those over which pods are spread."""
    by_affinity = constraint.get("nodeAffinityPolicy") or "Honor"
    if by_affinity == "Honor" and not matching.matches_node(pod, node):
        return False
    if (constraint.get("nodeTaintsPolicy") or "Ignore") == "Ignore":
        return True
    taints = (node.get("spec") or {}).get("taints") or ()
    tolerations = (pod.get("spec") or {}).get("tolerations") or []
    return matching.untolerated(taints, tolerations, ("NoSchedule", "NoExecute")) is None


def _is_like(other: objects.Object, pod: objects.Object, selector: selectors.LabelSelector) -> bool:
    same = objects.namespace_of(other) == objects.namespace_of(pod)
    return (
        same and not pod_facts.is_terminating(other) and selector.matches(objects.labels_of(other))
    )


def _check_affinity(
    pod: objects.Object, node: objects.Object, placed: list[Placed], spaces: Spaces
) -> Refusal | None:
    if not _has_company(pod, node, placed, spaces):
        return Refusal((TOGETHER,), helped_by=(BY_NODES, BY_NEIGHBOURS))
    for term in _terms(pod, "podAntiAffinity"):
        if any(_term_takes(term, pod, one.pod, spaces) and _same_place(term, node, one.node)
               for one in placed):  # fmt: skip
            return Refusal((APART,), is_final=False, helped_by=(BY_NODES, BY_PODS))
    for one in placed:
        for term in _terms(one.pod, "podAntiAffinity"):
            if _term_takes(term, one.pod, pod, spaces) and _same_place(term, node, one.node):
                return Refusal((OTHERS_APART,), is_final=False, helped_by=(BY_NODES, BY_PODS))
    return None


def _has_company(
    pod: objects.Object, node: objects.Object, placed: list[Placed], spaces: Spaces
) -> bool:
    """Whether the pods that all affinity terms take are where the terms want them."""
    terms = _terms(pod, "podAffinity")

    def wanted(other: objects.Object) -> bool:
        return all(_term_takes(term, pod, other, spaces) for term in terms)

    near = [one for one in placed if wanted(one.pod)]
    # The first of a group that wants to be together may go anywhere that has the labels.
    first = not near and wanted(pod)
    return all(
        str(term.get("topologyKey")) in objects.labels_of(node)
        and (first or any(_same_place(term, node, one.node) for one in near))
        for term in terms
    )


def _terms(pod: objects.Object, kind: str) -> list[objects.Object]:
    affinity = ((pod.get("spec") or {}).get("affinity") or {}).get(kind) or {}
    terms: list[objects.Object] = (
        affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or []
    )
    return terms


def _term_takes(
    term: objects.Object, owner: objects.Object, other: objects.Object, spaces: Spaces
) -> bool:
    names, chosen = term.get("namespaces"), term.get("namespaceSelector")
    if not names and chosen is None:
        names = [objects.namespace_of(owner)]
    place = objects.namespace_of(other)
    # An empty selector takes every namespace.
    outside = chosen is None or (chosen and place not in spaces(chosen))
    if outside and place not in (names or ()):
        return False
    raw = term.get("labelSelector")
    return raw is not None and selectors.from_label_selector(raw).matches(objects.labels_of(other))


def _same_place(term: objects.Object, node: objects.Object, other: objects.Object) -> bool:
    key = str(term.get("topologyKey"))
    here = objects.labels_of(node).get(key)
    return here is not None and objects.labels_of(other).get(key) == here


def summary(refusals: Mapping[str, Refusal], about_preemption: str = "") -> str:
    """Return the FailedScheduling text for nodes that were each refused.

    `about_preemption` is why sending other pods away did not help; empty if it is being done.

    Example: `0/2 nodes are available: 2 Insufficient cpu. no new claims to deallocate,
    preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.`
    """
    text = unavailable(reason for refusal in refusals.values() for reason in refusal.reasons)
    text = f"0/{len(refusals)} nodes are available: {text}."
    if about_preemption:
        text += f" no new claims to deallocate, preemption: {about_preemption}"
    return text


def unavailable(reasons: Iterable[str]) -> str:
    """Return how many nodes have each reason, e.g. `1 Insufficient cpu, 2 Too many pods`."""
    return _histogram(Counter(reasons))


def _histogram(counts: Counter[str]) -> str:
    return ", ".join(sorted(f"{count} {reason}" for reason, count in counts.items()))
