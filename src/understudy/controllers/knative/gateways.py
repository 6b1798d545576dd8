"""Ingresses: what carries them out says how they are.

This is the part that Kourier, Istio or Contour play beside Knative; the state comes from
`worlds.Gateway`.
"""

from __future__ import annotations

from collections.abc import Sequence

from understudy.controllers import changes, clusters, reactor, recorders
from understudy.controllers.knative import conditions, meta, reconciling, worlds
from understudy.controllers.knative.settings import KnativeSettings
from understudy.kube import objects
from understudy.kube.knative import keys

BALANCER, NETWORK = "LoadBalancerReady", "NetworkConfigured"
ANSWER_S = 0.05


class Ingresses:
    """The ingress controller."""

    name = "knative-ingress-controller"
    watched: Sequence[str] = (meta.INGRESSES,)

    def __init__(
        self, shared: clusters.Shared, config: KnativeSettings, world: worlds.World
    ) -> None:
        self._cluster = clusters.Cluster(shared, "ingress-controller", "ingress")
        self._recorder = recorders.Recorder(self._cluster, "ingress-controller")
        self._config = config
        self._world = world

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        queue.add_after((change.key.namespace, change.key.name), ANSWER_S)

    def reconcile(self, key: reactor.Key) -> float | None:
        ingress = self._cluster.peek(meta.INGRESSES, *key)
        if ingress is None:
            return None
        notes = objects.annotations_of(ingress)
        if notes.get(keys.INGRESS_CLASS) != self._config.ingress_class:
            return None  # another gateway's
        report = self._world.gateway.report(ingress)
        if not report.status:
            return None

        def body(obj: objects.Object, managed: conditions.Conditions) -> float | None:
            return _body(obj, managed, report)

        return reconciling.reconcile(
            self._cluster, self._recorder, meta.INGRESSES, key, (BALANCER, NETWORK), body
        )


def _body(
    ingress: objects.Object, managed: conditions.Conditions, report: worlds.IngressReport
) -> float | None:
    status = ingress["status"]
    managed.mark_true(NETWORK)
    match report.status:
        case "True":
            managed.mark_true(BALANCER)
        case "False":
            managed.mark_false(BALANCER, report.reason, report.message)
        case _:
            managed.mark_unknown(BALANCER, report.reason, report.message)
    status["publicLoadBalancer"] = {"ingress": [{"domainInternal": report.public}]}
    status["privateLoadBalancer"] = {"ingress": [{"domainInternal": report.private}]}
    return None
