"""In which order objects are delivered: a graph of references, with a table of waves for the rest.

    place(object) = (rank, wave, depth)
    rank  = before everything, among everything, or after it, for hooks; the same for all others
    wave  = the greatest of its kind's wave and the waves of all it comes after
    depth = longest chain of edges within the wave that lead to it

Objects of one place are independent of each other and go together; deletion runs the same places
backwards. Required edges that form a circle are an error; others that would are left out.
Linear in objects and edges.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from understudy.delivery import errors, marks, references, refs
from understudy.kube import objects

WAVES_MAX = 99

_TABLE: dict[int, dict[str, str]] = {
    0: {"apiextensions.k8s.io": "CustomResourceDefinition", "": "Namespace"},
    1: {
        "scheduling.k8s.io": "PriorityClass", "node.k8s.io": "RuntimeClass",
        "storage.k8s.io": "StorageClass", "networking.k8s.io": "IngressClass",
        "rbac.authorization.k8s.io": "ClusterRole Role",
    },
    2: {
        "": "ResourceQuota LimitRange ServiceAccount", "networking.k8s.io": "NetworkPolicy",
        "rbac.authorization.k8s.io": "ClusterRoleBinding RoleBinding",
    },
    3: {"": "ConfigMap Secret PersistentVolume PersistentVolumeClaim"},
    4: {"": "Service"},
    6: {
        "autoscaling": "HorizontalPodAutoscaler", "policy": "PodDisruptionBudget",
        "networking.k8s.io": "Ingress", "gateway.networking.k8s.io": "HTTPRoute GRPCRoute",
        "serving.knative.dev": "DomainMapping", "apiregistration.k8s.io": "APIService",
    },
    7: {
        "admissionregistration.k8s.io":
            "ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding "
            "MutatingAdmissionPolicy MutatingAdmissionPolicyBinding "
            "MutatingWebhookConfiguration ValidatingWebhookConfiguration",
    },
}  # fmt: skip
_WAVES = {
    (group, kind): wave
    for wave, groups in _TABLE.items()
    for group, kinds in groups.items()
    for kind in kinds.split()
}
WORKLOADS = 5
"""The wave of workloads and of every kind that the table does not name."""


def wave_of(ref: refs.Ref, obj: objects.Object) -> int:
    """Return the wave of an object: its annotation's, else its kind's.

    Raises:
        OrderError: The annotation is no whole number from 0 to WAVES_MAX.
    """
    said = objects.annotations_of(obj).get(marks.WAVE)
    if said is not None:
        if not (said.isascii() and said.isdigit() and int(said) <= WAVES_MAX):
            raise errors.OrderError(
                f"{ref}: metadata.annotations[{marks.WAVE!r}] is {said!r}; it must be a whole "
                f"number from 0 to {WAVES_MAX}"
            )
        return int(said)
    known = _WAVES.get((ref.group, ref.kind))
    if known is not None:
        return known
    if ref.kind.endswith("Class"):
        return 1
    return WORKLOADS


BUILT_IN_GROUPS = {
    "", "admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io", "apps",
    "authentication.k8s.io", "authorization.k8s.io", "autoscaling", "batch",
    "certificates.k8s.io", "coordination.k8s.io", "discovery.k8s.io", "events.k8s.io",
    "flowcontrol.apiserver.k8s.io", "internal.apiserver.k8s.io", "networking.k8s.io",
    "node.k8s.io", "policy", "rbac.authorization.k8s.io", "resource.k8s.io",
    "scheduling.k8s.io", "storage.k8s.io", "storagemigration.k8s.io",
}  # fmt: skip


def is_custom(ref: refs.Ref) -> bool:
    """Whether a kind is defined by a CustomResourceDefinition (or an extension server)."""
    return ref.group not in BUILT_IN_GROUPS


def removal_wave_of(ref: refs.Ref, obj: objects.Object) -> int:
    """Return the wave of an object for deletion, which runs backwards.

    Custom resources go before the workloads that may run their finalizers, even those that were
    delivered before them, in waves of their own; a namespace after its contents, a definition last.
    """
    if (ref.group, ref.kind) == ("apiextensions.k8s.io", "CustomResourceDefinition"):
        return 0
    if (ref.group, ref.kind) == ("", "Namespace"):
        return 1
    wave = wave_of(ref, obj)
    if is_custom(ref) and wave <= WORKLOADS:
        return 2 + WORKLOADS + 1 + wave
    return 2 + wave if wave <= WORKLOADS else 2 + WORKLOADS + 1 + wave


@dataclass(frozen=True, slots=True)
class Batch:
    """Objects that go together, ordered by kind, namespace and name."""

    wave: int
    depth: int
    items: tuple[refs.Ref, ...]


@dataclass(slots=True)
class Graph:
    """Objects and the edges between them, after circles were opened."""

    before: dict[refs.Ref, set[refs.Ref]] = field(default_factory=dict)
    after: dict[refs.Ref, set[refs.Ref]] = field(default_factory=dict)

    def dependents(self, start: Iterable[refs.Ref]) -> dict[refs.Ref, refs.Ref]:
        """Return all that comes after any of `start`, each with the one of `start` it waits for."""
        found: dict[refs.Ref, refs.Ref] = {}
        pending = [(ref, ref) for ref in start]
        origins = {ref for ref, _ in pending}
        while pending:
            ref, origin = pending.pop()
            for later in sorted(self.after.get(ref, ())):
                if later not in found and later not in origins:
                    found[later] = origin
                    pending.append((later, origin))
        return found


@dataclass(frozen=True, slots=True)
class Order:
    """The batches of a delivery, first to last, and the graph behind them."""

    batches: tuple[Batch, ...]
    graph: Graph

    def reversed(self) -> Iterator[Batch]:
        """Yield the batches for a deletion, last to first."""
        return reversed(self.batches)


WaveOf = Callable[[refs.Ref, objects.Object], int]
Rank = tuple[int, int]
RankOf = Callable[[objects.Object], Rank]


def arrange(
    items: Mapping[refs.Ref, objects.Object],
    *,
    rule: WaveOf = wave_of,
    rank_of: RankOf = lambda _obj: (0, 0),
) -> Order:
    """Return the order in which objects are delivered; read it backwards for their deletion.

    What an object of a lower rank refers to goes before it, in its rank.

    Raises:
        OrderError: Required edges form a circle, or a wave annotation is malformed.
    """
    edges = list(references.Known(items).edges())
    waves = {ref: rule(ref, obj) for ref, obj in items.items()}
    graph, sequence = _sorted(waves, edges)
    ranks = _ranks({ref: rank_of(obj) for ref, obj in items.items()}, graph, sequence)
    places: dict[refs.Ref, tuple[Rank, int, int]] = {}
    for ref in sequence:
        rank, wave, depth = ranks[ref], waves[ref], 0
        for earlier in graph.before[ref]:
            their_rank, their_wave, their_depth = places[earlier]
            if their_rank == rank and their_wave > wave:
                wave, depth = their_wave, their_depth + 1
            elif their_rank == rank and their_wave == wave:
                depth = max(depth, their_depth + 1)
        places[ref] = (rank, wave, depth)
    ordered = sorted(places, key=lambda ref: (places[ref], ref))
    batches = tuple(
        Batch(wave, depth, tuple(group))
        for (_, wave, depth), group in itertools.groupby(ordered, key=places.__getitem__)
    )
    return Order(batches, graph)


def _ranks(
    own: Mapping[refs.Ref, Rank], graph: Graph, sequence: Sequence[refs.Ref]
) -> dict[refs.Ref, Rank]:
    """Return ranks such that nothing has a greater one than what comes after it."""
    ranks = dict(own)
    if len(set(ranks.values())) > 1:
        for ref in reversed(sequence):
            for later in graph.after[ref]:
                ranks[ref] = min(ranks[ref], ranks[later])
    return ranks


def _sorted(
    nodes: Iterable[refs.Ref], edges: Sequence[references.Edge]
) -> tuple[Graph, list[refs.Ref]]:
    """Return the graph and one topological order of it, circles of optional edges opened."""
    known = list(nodes)
    graph, sequence = _kahn(known, edges)
    if len(sequence) == len(known):
        return graph, sequence
    group_of = _components(known, graph)
    kept = [
        edge for edge in edges if edge.required or group_of[edge.before] != group_of[edge.after]
    ]
    graph, sequence = _kahn(known, kept)
    if len(sequence) < len(known):
        raise errors.OrderError(_circle(set(known) - set(sequence), kept))
    return graph, sequence


def _kahn(
    nodes: Sequence[refs.Ref], edges: Iterable[references.Edge]
) -> tuple[Graph, list[refs.Ref]]:
    """Return the graph, and its nodes in topological order as far as there is one."""
    graph = Graph({ref: set() for ref in nodes}, {ref: set() for ref in nodes})
    for edge in edges:
        graph.before[edge.after].add(edge.before)
        graph.after[edge.before].add(edge.after)
    waiting = {ref: len(graph.before[ref]) for ref in nodes}
    ready = [ref for ref in nodes if not waiting[ref]]
    sequence: list[refs.Ref] = []
    while ready:
        ref = ready.pop()
        sequence.append(ref)
        for later in graph.after[ref]:
            waiting[later] -= 1
            if not waiting[later]:
                ready.append(later)
    return graph, sequence


def _components(nodes: Sequence[refs.Ref], graph: Graph) -> dict[refs.Ref, int]:
    """Return the number of each node's strongly connected component (Tarjan, without recursion)."""
    index: dict[refs.Ref, int] = {}
    low: dict[refs.Ref, int] = {}
    component: dict[refs.Ref, int] = {}
    stack: list[refs.Ref] = []
    for root in nodes:
        if root in index:
            continue
        work = [(root, iter(graph.after[root]))]
        index[root] = low[root] = len(index)
        stack.append(root)
        while work:
            ref, following = work[-1]
            for later in following:
                if later not in index:
                    index[later] = low[later] = len(index)
                    stack.append(later)
                    work.append((later, iter(graph.after[later])))
                    break
                if later not in component:
                    low[ref] = min(low[ref], index[later])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[ref])
                if low[ref] == index[ref]:
                    while True:
                        member = stack.pop()
                        component[member] = index[ref]
                        if member == ref:
                            break
    return component


def _circle(stuck: set[refs.Ref], edges: Iterable[references.Edge]) -> str:
    """Name one circle among nodes that cannot be ordered."""
    before = {edge.after: edge for edge in edges if edge.after in stuck and edge.before in stuck}
    ref = min(before)
    seen: list[refs.Ref] = []
    while ref not in seen:
        seen.append(ref)
        ref = before[ref].before
    told = [f"{item} {before[item].why} {before[item].before}" for item in seen[seen.index(ref) :]]
    return "objects wait for each other in a circle: " + ", ".join(told)
