"""Collect Revisions that nobody needs any more: old, not routed to, and not the latest ready one.

Source: knative.dev/serving `pkg/reconciler/gc`.
"""

from __future__ import annotations

from collections.abc import Sequence

from understudy.controllers import changes, clusters, reactor
from understudy.controllers.knative import configurations, meta
from understudy.controllers.knative.settings import KnativeSettings
from understudy.kube import objects, records
from understudy.kube.knative import keys

_DISABLED = -1


class Collection:
    """The Revision garbage collector."""

    name = "knative-revision-gc"
    watched: Sequence[str] = (keys.CONFIGURATIONS, keys.REVISIONS)

    def __init__(self, shared: clusters.Shared, config: KnativeSettings) -> None:
        self._cluster = clusters.Cluster(shared, "revision-gc", "controller")
        self._config = config

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        if change.ref == keys.CONFIGURATIONS:
            queue.add((change.key.namespace, change.key.name))
            return
        owner = meta.controller_of(change.object)
        if owner is not None and owner.get("kind") == "Configuration":
            queue.add((change.key.namespace, str(owner["name"])))

    def reconcile(self, key: reactor.Key) -> float | None:
        config = self._config
        configuration = self._cluster.peek(keys.CONFIGURATIONS, *key)
        if configuration is None or objects.metadata(configuration).get("deletionTimestamp"):
            return None
        found = self._cluster.indexes.controlled(
            keys.REVISIONS, key[0], objects.uid_of(configuration)
        )
        idle = [one for one in found if not _is_needed(one, configuration)]
        least, most = config.min_non_active_revisions, config.max_non_active_revisions
        if len(found) <= least or len(idle) <= least:
            return None
        idle.sort(key=_last_active)
        gone: set[str] = set()
        for revision in idle:
            if len(gone) >= len(idle) - least:
                return None
            if self._is_stale(revision):
                self._delete(revision)
                gone.add(objects.name_of(revision))
        if most == _DISABLED:
            return None
        rest = [one for one in idle if objects.name_of(one) not in gone]
        for revision in rest[: max(0, len(rest) - most)]:
            self._delete(revision)
        return None

    def _delete(self, revision: objects.Object) -> None:
        self._cluster.delete(
            keys.REVISIONS,
            objects.namespace_of(revision),
            objects.name_of(revision),
            uid=objects.uid_of(revision),
        )

    def _is_stale(self, revision: objects.Object) -> bool:
        created_s, active_s = self._config.retain_since_create_s, self._config.retain_since_active_s
        if created_s < 0 and active_s < 0:
            return False
        now = self._cluster.now()
        made = records.parse_time(str(objects.metadata(revision)["creationTimestamp"]))
        if created_s >= 0 and (now - made).total_seconds() < created_s:
            return False
        active = records.parse_time(_last_active(revision))
        return not (active_s >= 0 and (now - active).total_seconds() < active_s)


def _is_needed(revision: objects.Object, configuration: objects.Object) -> bool:
    latest = objects.lookup(configuration, ("status", "latestReadyRevisionName"))
    if objects.name_of(revision) == latest:
        return True
    if objects.annotations_of(revision).get(keys.NO_GC, "").lower() == "true":
        return True
    state = objects.labels_of(revision).get(keys.ROUTING_STATE)
    return state != configurations.RESERVE


def _last_active(revision: objects.Object) -> str:
    modified = objects.annotations_of(revision).get(keys.ROUTING_STATE_MODIFIED)
    return modified or str(objects.metadata(revision)["creationTimestamp"])
