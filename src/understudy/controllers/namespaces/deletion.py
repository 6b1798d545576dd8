"""Emptying a namespace that is being deleted: pods first, then everything else, then itself.

Begins five seconds late, so that other controllers see the deletion first. Keys are `(name,)`.
Source: pkg/controller/namespace.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from understudy.controllers import changes, clusters, garbage, reactor
from understudy.controllers.workloads import claims, conditions, pods
from understudy.kapi.resources import catalogue
from understudy.kapi.store import entries
from understudy.kube import objects, statuses

FINALIZER: Final = "kubernetes"
GRACE_S: Final = 5.0
FINALIZER_ESTIMATE_S: Final = 15
"""How long finalizers are thought to need."""


@dataclass(slots=True)
class Left:
    """What is left of a namespace's content after an attempt to delete it.

    Attributes:
        estimate_s: How long the rest is thought to need.
        resources: How many objects of which resource (`configmaps.`, `deployments.apps`).
        finalizers: How many objects hold on to which finalizer.
        failures: What could not be deleted, and why.
    """

    estimate_s: int = 0
    resources: Counter[str] = field(default_factory=Counter)
    finalizers: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


class NamespaceDeletion:
    """Reconciles terminating namespaces."""

    name = "namespace-controller"
    watched = ("namespaces",)

    def __init__(self, shared: clusters.Shared) -> None:
        self.cluster = clusters.Cluster(shared, "namespace-controller")
        self.seen_apart = garbage.SEEN_APART

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        if not change.deleted and b'"deletionTimestamp":' in change.entry.encoded:
            queue.add_after((change.entry.name,), GRACE_S)

    def reconcile(self, key: reactor.Key) -> float | None:
        (name,) = key
        namespace = self.cluster.find("namespaces", "", name)
        if namespace is None or not namespace["metadata"].get("deletionTimestamp"):
            return None
        if not (namespace.get("spec") or {}).get("finalizers"):
            return None
        if self._delete_some_pods(name):
            return garbage.MOMENT_S
        left = Left()
        self._delete_pods(name, namespace, left)
        if left.resources:
            # The pods are on their way; nothing else is touched, and nothing counted, before.
            self._report(namespace, Left(failures=left.failures))
        else:
            self._delete_rest(name, left)
            namespace = self._report(namespace, left)
        if left.failures:
            raise statuses.InternalError("; ".join(left.failures))
        if left.estimate_s or left.resources:
            return left.estimate_s // 2 + 1
        self._finalize(namespace)
        return None

    # ------------------------------------------------------------------ content

    def _delete_some_pods(self, name: str) -> bool:
        """Delete one more pod of each controller, `seen_apart` in all; are others left?

        So others see these go one by one before the rest follows.
        """
        going: Counter[str] = Counter()
        staying: dict[str, list[objects.Object]] = {}
        for pod in self.cluster.each("pods", name):
            owner = str((claims.controller_of(pod) or {}).get("uid"))
            if pods.is_terminating(pod):
                going[owner] += 1
            else:
                staying.setdefault(owner, []).append(pod)
        enough = max(going.values(), default=0) >= self.seen_apart
        if enough or all(len(found) == 1 for found in staying.values()):
            return False
        for first, *_ in staying.values():
            with contextlib.suppress(statuses.ApiError):  # told by whoever deletes the rest
                self.cluster.delete("pods", name, objects.name_of(first), policy="Background")
        return True

    def _delete_pods(self, name: str, namespace: objects.Object, left: Left) -> None:
        if not self.cluster.entries("pods", name):
            return
        begun = pods.parse_time(namespace["metadata"]["deletionTimestamp"])
        passed_s = int((self.cluster.now() - begun).total_seconds())
        graces = [
            int((pod.get("spec") or {}).get("terminationGracePeriodSeconds") or 0)
            for pod in self.cluster.each("pods", name)
            if not pods.is_over(pod)
        ]
        estimate_s = max(0, max(graces, default=0) - passed_s)
        resource = self.cluster.resource_of("v1", "Pod")
        assert resource is not None, "built in"
        self._delete_all(resource, name, left, estimate_s)

    def _delete_rest(self, name: str, left: Left) -> None:
        for resource in self._resources():
            ref = str(resource.storage)
            if ref != "pods" and self.cluster.entries(ref, name):
                self._delete_all(resource, name, left, 0)

    def _resources(self) -> list[catalogue.Resource]:
        present = self.cluster.view.catalogue.resources
        kept = [
            one for one in present
            if one.namespaced and one.group_resource == one.storage and "delete" in one.verbs
        ]  # fmt: skip
        return list({str(one.storage): one for one in reversed(kept)}.values())[::-1]

    def _delete_all(
        self, resource: catalogue.Resource, namespace: str, left: Left, estimate_s: int
    ) -> None:
        ref = str(resource.storage)
        for entry in self.cluster.entries(ref, namespace):
            try:
                self.cluster.delete(ref, namespace, entry.name, policy="Background")
            except statuses.NotFoundError:
                continue
            except statuses.ApiError as error:
                left.failures.append(error.message)
        rest = self.cluster.entries(ref, namespace)
        if not rest:
            return
        left.resources[f"{resource.plural}.{resource.group}"] += len(rest)
        if not estimate_s:
            estimate_s = self._count_finalizers(rest, left)
            if not estimate_s:
                gvr = f"{resource.group}/{resource.version}, Resource={resource.plural}"
                left.failures.append(
                    f"unexpected items still remain in namespace: {namespace} for gvr: {gvr}"
                )
        left.estimate_s = max(left.estimate_s, estimate_s)

    def _count_finalizers(self, rest: list[entries.Entry], left: Left) -> int:
        estimate_s = 0
        for entry in rest:
            for finalizer in (
                objects.metadata(self.cluster.parsed.load(entry)).get("finalizers") or ()
            ):
                left.finalizers[finalizer] += 1
                estimate_s = FINALIZER_ESTIMATE_S
        return estimate_s

    # ------------------------------------------------------------------ status

    def _report(self, namespace: objects.Object, left: Left) -> objects.Object:
        status = objects.copy(namespace.get("status") or {})
        status["phase"] = "Terminating"
        stamp = self.cluster.stamp()
        for kind, value, reason, message in _table(left):
            known = conditions.get(status, kind)
            made = conditions.make(kind, value, reason, message, stamp)
            if known is None:
                status["conditions"] = [*(status.get("conditions") or ()), made]
            elif (known["status"], known.get("message")) != (value, message):
                if known["status"] == value:
                    made["lastTransitionTime"] = known["lastTransitionTime"]
                known.update(made)
        if status == namespace.get("status"):
            return namespace
        namespace["status"] = status
        return self.cluster.update_status("namespaces", namespace)

    def _finalize(self, namespace: objects.Object) -> None:
        spec = namespace["spec"]
        spec["finalizers"] = [one for one in spec["finalizers"] if one != FINALIZER]
        with contextlib.suppress(statuses.NotFoundError):
            self.cluster.update("namespaces", namespace, "finalize")


def _table(left: Left) -> list[tuple[str, str, str, str]]:
    """Return the five conditions: type, status, reason, message."""
    content = ("False", "ContentDeleted",
               "All content successfully deleted, may be waiting on finalization")  # fmt: skip
    if left.failures:
        text = "Failed to delete all resource types, {} remaining: {}"
        what = ", ".join(left.failures)
        content = ("True", "ContentDeletionFailed", text.format(len(left.failures), what))
    remaining = ("False", "ContentRemoved", "All content successfully removed")
    if left.resources:
        counted = [f"{name} has {count} resource instances"
                   for name, count in sorted(left.resources.items())]  # fmt: skip
        text = "Some resources are remaining: " + ", ".join(counted)
        remaining = ("True", "SomeResourcesRemain", text)
    finalizers = ("False", "ContentHasNoFinalizers",
                  "All content-preserving finalizers finished")  # fmt: skip
    if left.finalizers:
        counted = [f"{name} in {count} resource instances"
                   for name, count in sorted(left.finalizers.items())]  # fmt: skip
        text = "Some content in the namespace has finalizers remaining: " + ", ".join(counted)
        finalizers = ("True", "SomeFinalizersRemain", text)
    return [
        ("NamespaceDeletionDiscoveryFailure", "False", "ResourcesDiscovered",
         "All resources successfully discovered"),
        ("NamespaceDeletionGroupVersionParsingFailure", "False", "ParsedGroupVersions",
         "All legacy kube types successfully parsed"),
        ("NamespaceDeletionContentFailure", *content),
        ("NamespaceContentRemaining", *remaining),
        ("NamespaceFinalizersRemaining", *finalizers),
    ]  # fmt: skip
