"""Metrics are ready as soon as somebody measures; here that is always.

Source: knative.dev/serving `pkg/reconciler/metric`.
"""

from __future__ import annotations

from collections.abc import Sequence

from understudy.controllers import changes, clusters, reactor, recorders
from understudy.controllers.knative import conditions, meta, reconciling
from understudy.controllers.knative.settings import KnativeSettings
from understudy.kube import objects


class Metrics:
    """The Metric controller."""

    name = "knative-metric-controller"
    watched: Sequence[str] = (meta.METRICS,)

    def __init__(self, shared: clusters.Shared, config: KnativeSettings) -> None:
        self._cluster = clusters.Cluster(shared, "metric-controller", "autoscaler")
        self._recorder = recorders.Recorder(self._cluster, "metric-controller")

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        queue.add((change.key.namespace, change.key.name))

    def reconcile(self, key: reactor.Key) -> float | None:
        return reconciling.reconcile(
            self._cluster, self._recorder, meta.METRICS, key, (), self._body
        )

    def _body(self, metric: objects.Object, managed: conditions.Conditions) -> float | None:
        managed.mark_true(conditions.READY)
        return None
