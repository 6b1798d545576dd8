"""The ConfigMaps of `knative-serving`, followed: what is changed there counts from then on.

All controllers of a view and its webhook hold the same settings, which are changed in place, field
by field: what a test or a server has set beside the ConfigMaps stays. Routes and DomainMappings
look at themselves again when this happens; autoscalers look every two seconds anyway.
"""

from __future__ import annotations

from collections.abc import Sequence

from understudy.controllers import changes, clusters, reactor
from understudy.controllers.knative import configmaps, local
from understudy.controllers.knative.settings import KnativeSettings
from understudy.kube import objects

CONFIG_MAPS = "configmaps"
_KEY = ("settings",)


class Settings:
    """The controller that keeps the settings as the ConfigMaps say."""

    name = "knative-config"
    watched: Sequence[str] = (CONFIG_MAPS,)

    def __init__(self, shared: clusters.Shared, config: KnativeSettings) -> None:
        self._cluster = clusters.Cluster(shared, "config-store", "controller")
        self._config = config
        self._read = configmaps.read(self._find)

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        if is_about(change):
            queue.add(_KEY)

    def reconcile(self, key: reactor.Key) -> float | None:
        before, self._read = self._read, configmaps.read(self._find)
        for name in KnativeSettings.__slots__:
            if getattr(self._read, name) != getattr(before, name):
                setattr(self._config, name, getattr(self._read, name))
        return None

    def _find(self, name: str) -> objects.Object | None:
        return self._cluster.peek(CONFIG_MAPS, local.NAMESPACE, name)


def is_about(change: changes.Change) -> bool:
    """Say whether a change may be one of Knative's settings."""
    return change.ref == CONFIG_MAPS and change.key.namespace == local.NAMESPACE
