"""Which Revisions and Configurations are routed to: labels and annotations that say so.

A Revision's `routingState` is `active` while a Route leads to it, or will; `reserve` once none
does. Its autoscaler goes by that.

Source: knative.dev/serving `pkg/reconciler/labeler`.
"""

from __future__ import annotations

from collections.abc import Sequence

from understudy.controllers import changes, clusters, reactor
from understudy.controllers.knative import conditions, configurations, meta, watchlists
from understudy.controllers.knative.settings import KnativeSettings
from understudy.kube import objects
from understudy.kube.knative import keys


class Labels:
    """The labeler."""

    name = "knative-labeler"
    watched: Sequence[str] = (keys.ROUTES, keys.CONFIGURATIONS, keys.REVISIONS)
    recalled: Sequence[str] = (keys.ROUTES,)

    def __init__(self, shared: clusters.Shared, config: KnativeSettings) -> None:
        self._cluster = clusters.Cluster(shared, "labeler-controller", "controller")
        self._watchlist = watchlists.Watchlist()

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        namespace, name = change.key
        if change.ref == keys.ROUTES:
            queue.add((namespace, name))
        else:
            kind = "Revision" if change.ref == keys.REVISIONS else "Configuration"
            self._watchlist.tell(kind, namespace, name, queue)

    def reconcile(self, key: reactor.Key) -> float | None:
        namespace, name = key
        route = self._cluster.peek(keys.ROUTES, namespace, name)
        if route is None or objects.metadata(route).get("deletionTimestamp"):
            self._watchlist.drop((namespace, name))
            return None
        self._settle(route)
        return None

    def _settle(self, route: objects.Object) -> None:
        namespace, name = objects.namespace_of(route), objects.name_of(route)
        revisions: set[str] = set()
        configured: set[str] = set()
        watched: set[tuple[str, str]] = set()
        flowing = objects.lookup(route, ("status", "traffic")) or []
        for target in (*(route["spec"].get("traffic") or ()), *flowing):
            self._collect(namespace, target, revisions, configured, watched)
        self._watchlist.put((namespace, name), watched)
        if conditions.is_ready(route) or conditions.is_failed(route):
            _clear_others(self._cluster, keys.REVISIONS, route, revisions)
            _clear_others(self._cluster, keys.CONFIGURATIONS, route, configured)
        for revision in sorted(revisions):
            _mark(self._cluster, keys.REVISIONS, route, revision, remove=False)
        for configuration in sorted(configured):
            _mark(self._cluster, keys.CONFIGURATIONS, route, configuration, remove=False)

    def _collect(
        self,
        namespace: str,
        target: objects.Object,
        revisions: set[str],
        configured: set[str],
        watched: set[tuple[str, str]],
    ) -> None:
        name = str(target.get("revisionName") or "")
        configuration_name = str(target.get("configurationName") or "")
        if name:
            watched.add(("Revision", name))
            revision = self._cluster.peek(keys.REVISIONS, namespace, name)
            if revision is None:
                return
            revisions.add(name)
            owner = meta.controller_of(revision)
            if owner is not None and owner.get("kind") == "Configuration":
                configuration_name = str(owner["name"])
        if not configuration_name:
            return
        watched.add(("Configuration", configuration_name))
        configuration = self._cluster.peek(keys.CONFIGURATIONS, namespace, configuration_name)
        if configuration is None:
            return
        configured.add(configuration_name)
        latest = objects.lookup(configuration, ("status", "latestCreatedRevisionName"))
        if latest and target.get("latestRevision"):
            # Also what is only about to become ready: it must not be let go before it is.
            watched.add(("Revision", str(latest)))
            revisions.add(str(latest))


def clear(cluster: clusters.Cluster, route: objects.Object) -> None:
    """Take a Route's name off everything, because the Route goes."""
    for ref in (keys.REVISIONS, keys.CONFIGURATIONS):
        _clear_others(cluster, ref, route, set())


def _clear_others(
    cluster: clusters.Cluster, ref: str, route: objects.Object, kept: set[str]
) -> None:
    namespace, name = objects.namespace_of(route), objects.name_of(route)
    service = objects.labels_of(route).get(keys.SERVICE)
    for entry in list(cluster.entries(ref, namespace)):
        labels = entry.labels or {}
        if entry.name in kept or (service and labels.get(keys.SERVICE) != service):
            continue  # a Service's Route leads to nothing of another Service
        if ref == keys.REVISIONS and labels.get(keys.ROUTING_STATE) != configurations.ACTIVE:
            continue
        obj = cluster.peek(ref, namespace, entry.name)
        if obj is not None and name in _routes_of(obj):
            _mark(cluster, ref, route, entry.name, remove=True)


def _mark(
    cluster: clusters.Cluster, ref: str, route: objects.Object, name: str, *, remove: bool
) -> None:
    namespace = objects.namespace_of(route)
    obj = cluster.peek(ref, namespace, name)
    if obj is None:
        return
    before = _routes_of(obj)
    after = before - {objects.name_of(route)} if remove else before | {objects.name_of(route)}
    notes: objects.Object = {}
    labels: objects.Object = {}
    if after != before:
        notes[keys.ROUTES_ANNOTATION] = ",".join(sorted(after)) or None
    if ref == keys.REVISIONS:
        wanted = configurations.ACTIVE if after else configurations.RESERVE
        if objects.labels_of(obj).get(keys.ROUTING_STATE) != wanted:
            labels[keys.ROUTING_STATE] = wanted
            notes[keys.ROUTING_STATE_MODIFIED] = cluster.stamp()
    metadata: objects.Object = {}
    if labels:
        metadata["labels"] = labels
    if notes:
        metadata["annotations"] = notes
    if metadata:
        cluster.patch(ref, namespace, name, {"metadata": metadata}, patch_type=clusters.MERGE)


def _routes_of(obj: objects.Object) -> set[str]:
    return set(filter(None, objects.annotations_of(obj).get(keys.ROUTES_ANNOTATION, "").split(",")))
