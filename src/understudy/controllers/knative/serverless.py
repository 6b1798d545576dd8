"""The two Services of a Revision: the public name, and the pods behind it.

The public Service leads to the pods, or to the activator that holds requests while there are none.

Source: knative.dev/serving `pkg/reconciler/serverlessservice`.
"""

from __future__ import annotations

from collections.abc import Sequence

from understudy.controllers import changes, clusters, reactor, recorders
from understudy.controllers.knative import conditions, meta, reconciling
from understudy.controllers.knative.settings import KnativeSettings
from understudy.controllers.workloads import pods
from understudy.kube import objects
from understudy.kube.knative import keys

POPULATED, BY_ACTIVATOR = "EndpointsPopulated", "ActivatorEndpointsPopulated"
SERVERLESS_LABEL = "networking.internal.knative.dev/serverlessservice"
SERVICE_TYPE = "networking.internal.knative.dev/serviceType"
_NOT_READY = "K8s Service is not ready"
COUNTED_S = 0.02
"""A pod is told of by its Deployment first, then the autoscaler counts it, ..."""
ENDPOINTS_S = 0.05
"""... and last it is among the endpoints. So the states of a Revision come in the real order."""


class Serverless:
    """The ServerlessService controller."""

    name = "knative-serverlessservice-controller"
    watched: Sequence[str] = (meta.SERVERLESS, meta.SERVICES, "pods")

    def __init__(self, shared: clusters.Shared, config: KnativeSettings) -> None:
        self._cluster = clusters.Cluster(shared, "serverlessservice-controller", "controller")
        self._recorder = recorders.Recorder(self._cluster, "serverlessservice-controller")

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        namespace, name = change.key
        if change.ref == meta.SERVERLESS:
            queue.add((namespace, name))
        elif change.ref == "pods":
            revision = (change.entry.labels or {}).get(keys.REVISION)
            if revision:
                queue.add_after((namespace, revision), ENDPOINTS_S)
        else:
            serverless = (change.entry.labels or {}).get(SERVERLESS_LABEL)
            if serverless:
                queue.add((namespace, serverless))

    def reconcile(self, key: reactor.Key) -> float | None:
        return reconciling.reconcile(
            self._cluster, self._recorder, meta.SERVERLESS, key, (POPULATED,), self._body
        )

    def _body(self, serverless: objects.Object, managed: conditions.Conditions) -> float | None:
        namespace, name = objects.namespace_of(serverless), objects.name_of(serverless)
        target = str(objects.lookup(serverless, ("spec", "objectRef", "name")) or "")
        deployment = self._cluster.peek(meta.DEPLOYMENTS, namespace, target)
        if deployment is None:
            raise reconciling.ReconcileError(
                f'error retrieving deployment selector spec: deployments.apps "{target}" not found'
            )
        selector = dict(deployment["spec"]["selector"]["matchLabels"])
        private = meta.child_name(name, "-private")
        self._service(serverless, managed, private, selector)
        serverless["status"]["privateServiceName"] = private
        self._service(serverless, managed, name, None)
        serverless["status"]["serviceName"] = name
        if self._has_ready_pods(namespace, name):
            managed.mark_true(POPULATED)
            by_activator = serverless["spec"].get("mode") == "Proxy"
        else:
            managed.mark_unknown(POPULATED, "NoHealthyBackends", _NOT_READY)
            by_activator = True
        managed.put(
            BY_ACTIVATOR,
            "True" if by_activator else "False",
            BY_ACTIVATOR,
            "Revision is backed by Activator",
        )
        return None

    def _has_ready_pods(self, namespace: str, revision: str) -> bool:
        return any(
            pods.is_ready(pod) and not pods.is_terminating(pod)
            for pod in pods_of(self._cluster, namespace, revision)
        )

    def _service(
        self,
        serverless: objects.Object,
        managed: conditions.Conditions,
        name: str,
        selector: dict[str, str] | None,
    ) -> None:
        """See that the private Service (with a selector) or the public one is as wanted."""
        wanted = _make(serverless, name, selector)
        present = self._cluster.find(meta.SERVICES, objects.namespace_of(serverless), name)
        word = "Public" if selector is None else "Private"
        if present is None:
            managed.mark_unknown(POPULATED, f"Creating{word}Service", _NOT_READY)
            self._cluster.create(meta.SERVICES, wanted)
            return
        if not meta.is_controlled_by(present, serverless):
            managed.mark_false(
                POPULATED, "NotOwned", f"Resource {name} of type Service is not owned by SKS"
            )
            raise reconciling.ReconcileError(
                f"SKS: {objects.name_of(serverless)} does not own Service: {name}"
            )
        ports = [
            {key: port.get(key) for key in ("name", "port", "targetPort")}
            for port in present["spec"].get("ports") or ()
        ]
        target = [
            {key: port.get(key) for key in ("name", "port", "targetPort")}
            for port in wanted["spec"]["ports"]
        ]
        if ports == target and (present["spec"].get("selector") or None) == selector:
            return
        changed = objects.copy(present)
        changed["spec"]["ports"] = wanted["spec"]["ports"]
        if selector is None:
            changed["spec"].pop("selector", None)
        else:
            changed["spec"]["selector"] = selector
        self._cluster.update(meta.SERVICES, changed)


def pods_of(cluster: clusters.Cluster, namespace: str, revision: str) -> list[objects.Object]:
    """Return the pods of a Revision; shared, not to be changed."""
    deployment = cluster.peek(meta.DEPLOYMENTS, namespace, meta.child_name(revision, "-deployment"))
    if deployment is None:
        return []
    found: list[objects.Object] = []
    for replica_set in cluster.indexes.controlled(
        "replicasets.apps", namespace, objects.uid_of(deployment)
    ):
        found.extend(cluster.indexes.controlled("pods", namespace, objects.uid_of(replica_set)))
    return found


def _make(serverless: objects.Object, name: str, selector: dict[str, str] | None) -> objects.Object:
    kind = "Public" if selector is None else "Private"
    labels = dict(objects.labels_of(serverless)) | {
        SERVERLESS_LABEL: objects.name_of(serverless),
        SERVICE_TYPE: kind,
    }
    is_h2c = serverless["spec"].get("protocolType") == "h2c"
    port_name = "http2" if is_h2c else "http"
    queue_port = 8013 if is_h2c else 8012
    ports: list[objects.Object] = [
        {
            "name": port_name,
            "port": 81 if is_h2c and selector is None else 80,
            "targetPort": queue_port,
            "protocol": "TCP",
        }
    ]
    ports.append({"name": "https", "port": 443, "targetPort": 8112, "protocol": "TCP"})
    if selector is not None:
        ports += [
            {"name": "http-autometric", "port": 9090, "targetPort": "http-autometric",
             "protocol": "TCP"},
            {"name": "http-usermetric", "port": 9091, "targetPort": "http-usermetric",
             "protocol": "TCP"},
            {"name": "http-queueadm", "port": 8022, "targetPort": 8022, "protocol": "TCP"},
            {"name": "http-istio", "port": queue_port, "targetPort": queue_port,
             "protocol": "TCP"},
        ]  # fmt: skip
    spec: objects.Object = {"ports": ports}
    if selector is not None:
        spec["selector"] = selector
    return meta.owned(
        serverless,
        "v1",
        "Service",
        name,
        labels=labels,
        annotations=dict(objects.annotations_of(serverless)),
        spec=spec,
    )
