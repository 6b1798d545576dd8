"""What every namespace has: the ServiceAccount `default` and the ConfigMap `kube-root-ca.crt`."""

from __future__ import annotations

import contextlib
from typing import Final

from understudy.controllers import changes, clusters, reactor
from understudy.kube import objects, statuses

ACCOUNT: Final = "default"
ROOT_CA: Final = "kube-root-ca.crt"
_DESCRIBED: Final = "kubernetes.io/description"
DESCRIPTION: Final = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal "
    "endpoints such as the internal service IP or kubernetes.default.svc. No other usage is "
    "guaranteed across distributions of Kubernetes clusters."
)


def _is_active(cluster: clusters.Cluster, namespace: str) -> bool:
    found = cluster.peek("namespaces", "", namespace)
    return found is not None and (found.get("status") or {}).get("phase") != "Terminating"


class DefaultAccounts:
    """Makes the ServiceAccount `default`, again if it is deleted. Keys are `(namespace,)`."""

    name = "serviceaccount-controller"
    watched = ("namespaces", "serviceaccounts")

    def __init__(self, shared: clusters.Shared) -> None:
        self.cluster = clusters.Cluster(shared, "service-account-controller")

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        if change.ref == "namespaces":
            if not change.deleted:
                queue.add((change.entry.name,))
        elif change.deleted and change.entry.name == ACCOUNT:
            queue.add((change.entry.namespace,))

    def reconcile(self, key: reactor.Key) -> float | None:
        (namespace,) = key
        if not _is_active(self.cluster, namespace):
            return None
        if self.cluster.entry("serviceaccounts", namespace, ACCOUNT) is None:
            meta = {"name": ACCOUNT, "namespace": namespace}
            account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}
            with contextlib.suppress(statuses.AlreadyExistsError):
                self.cluster.create("serviceaccounts", account)
        return None


class RootCertificates:
    """Publishes the cluster's CA in each namespace, and restores it. Keys are `(namespace,)`."""

    name = "root-ca-certificate-publisher-controller"
    watched = ("namespaces", "configmaps")

    def __init__(self, shared: clusters.Shared) -> None:
        self.cluster = clusters.Cluster(shared, "root-ca-cert-publisher")
        self.data = {"ca.crt": shared.root_ca}

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        if change.ref == "namespaces":
            if not change.deleted:
                queue.add((change.entry.name,))
        elif change.entry.name == ROOT_CA:
            queue.add((change.entry.namespace,))

    def reconcile(self, key: reactor.Key) -> float | None:
        (namespace,) = key
        found = self.cluster.find("configmaps", namespace, ROOT_CA)
        if found is None:
            if _is_active(self.cluster, namespace):
                self._publish(namespace)
            return None
        marks = objects.annotations_of(found)
        if found.get("data") != self.data or not marks.get(_DESCRIBED):
            found["data"] = self.data
            found["metadata"]["annotations"] = {**marks, _DESCRIBED: DESCRIPTION}
            self.cluster.update("configmaps", found)
        return None

    def _publish(self, namespace: str) -> None:
        meta: objects.Object = {
            "name": ROOT_CA,
            "namespace": namespace,
            "annotations": {_DESCRIBED: DESCRIPTION},
        }
        bundle = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": self.data}
        with contextlib.suppress(statuses.AlreadyExistsError):
            self.cluster.create("configmaps", bundle)
