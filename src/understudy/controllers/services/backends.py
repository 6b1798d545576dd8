"""Which pods stand behind a Service, at which address and port, and since when.

Source: pkg/controller/util/endpoint, k8s.io/endpointslice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from understudy.controllers import changes, clusters, reactor
from understudy.controllers.workloads import pods
from understudy.kube import objects

HEADLESS: Final = "service.kubernetes.io/headless"
TRIGGER: Final = "endpoints.kubernetes.io/last-change-trigger-time"


def is_headless(service: objects.Object) -> bool:
    """Whether the service has no cluster address of its own."""
    return bool((service.get("spec") or {}).get("clusterIP") == "None")


def publishes_unready(service: objects.Object) -> bool:
    """Whether pods count as ready whatever they say."""
    return bool((service.get("spec") or {}).get("publishNotReadyAddresses"))


def belongs(pod: objects.Object, *, terminating: bool) -> bool:
    """Whether a pod may stand behind a service: it has an address and is not over."""
    if pods.is_over(pod) or not (pod.get("status") or {}).get("podIPs"):
        return False
    return terminating or not pods.is_terminating(pod)


def addresses_of(pod: objects.Object, family: str) -> list[str]:
    """Return the pod's addresses of a family, `IPv4` or `IPv6`."""
    found = [str(one.get("ip")) for one in (pod.get("status") or {}).get("podIPs") or ()]
    return [ip for ip in found if (":" in ip) == (family == "IPv6")]


def hostname_of(pod: objects.Object, service: objects.Object) -> str:
    """Return the name a pod has within a headless service, empty if it has none."""
    spec = pod.get("spec") or {}
    if spec.get("hostname") and spec.get("subdomain") == objects.name_of(service):
        return str(spec["hostname"])
    return ""


def target_of(pod: objects.Object) -> objects.Object:
    """Return the targetRef of a pod's endpoint."""
    return {
        "kind": "Pod",
        "namespace": objects.namespace_of(pod),
        "name": objects.name_of(pod),
        "uid": objects.uid_of(pod),
    }


def port_of(pod: objects.Object, port: objects.Object) -> int | None:
    """Return the number of a service port on a pod; None if the pod has no port of that name."""
    target = port.get("targetPort")
    if isinstance(target, str):
        for container in pods.lasting_containers(pod):
            for offered in container.get("ports") or ():
                same = (offered.get("protocol") or "TCP") == (port.get("protocol") or "TCP")
                if offered.get("name") == target and same:
                    return int(offered["containerPort"])
        return None
    return int(target or port["port"])


def matching(cluster: clusters.Cluster, service: objects.Object) -> list[objects.Object]:
    """Return the pods that a service's selector takes, ordered by name; shared."""
    selector = (service.get("spec") or {}).get("selector") or {}
    return [
        cluster.parsed.load(entry)
        for entry in cluster.labelled("pods", objects.namespace_of(service), selector)
    ]


def selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether a non-empty equality selector matches labels."""
    return bool(selector) and all(labels.get(key) == value for key, value in selector.items())


def observe_pod(cluster: clusters.Cluster, change: changes.Change, queue: reactor.Queue) -> None:
    """Queue the services that a pod's change concerns, if it concerns any."""
    before = change.previous_entry
    relabelled = before is not None and before.labels != change.entry.labels
    if change.type == "MODIFIED" and not relabelled and not _is_news(change):
        return
    namespace, labels = change.entry.namespace, dict(change.entry.labels)
    worn = cluster.indexes.selectors.having_any("services", namespace, labels)
    shed = before.labels if before is not None and relabelled else {}
    worn += cluster.indexes.selectors.having_any("services", namespace, shed)
    for name in sorted(set(worn)):
        service = cluster.peek("services", namespace, name)
        if service is None:
            continue
        selector = (service.get("spec") or {}).get("selector") or {}
        if selects(selector, change.entry.labels) or (
            before is not None and selects(selector, before.labels)
        ):
            queue.add(clusters.key_of(service))


def _is_news(change: changes.Change) -> bool:
    """Whether a pod changed in what its endpoint shows."""
    before = change.previous
    return before is None or _face(before) != _face(change.object)


def _face(pod: objects.Object) -> tuple[objects.Json, ...]:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    return (
        objects.metadata(pod).get("deletionTimestamp"),
        pods.is_ready(pod),
        pods.is_over(pod),
        status.get("podIPs"),
        spec.get("nodeName"),
        spec.get("hostname"),
        spec.get("subdomain"),
    )


class Triggers:
    """Remembers what last caused each service's endpoints to change.

    The annotation tells when the oldest news behind a change happened; a change without such news
    (a deletion) has none.
    """

    __slots__ = ("_pods", "_services")

    def __init__(self) -> None:
        self._pods: dict[reactor.Key, dict[str, str]] = {}
        self._services: dict[reactor.Key, str] = {}

    def take(self, service: objects.Object, found: Iterable[objects.Object]) -> str:
        """Return the time of the oldest news since the last call, empty if there is none."""
        key = clusters.key_of(service)
        known = self._pods.get(key, {})
        times = {objects.name_of(pod): _ready_since(pod) for pod in found}
        news = [since for name, since in times.items() if since > known.get(name, "")]
        created = pods.creation_of(service)
        if created > self._services.get(key, ""):
            news.append(created)
        self._pods[key] = times
        self._services[key] = created
        return min(news, default="")

    def forget(self, key: reactor.Key) -> None:
        """Drop what is known of a service that is gone."""
        self._pods.pop(key, None)
        self._services.pop(key, None)


def _ready_since(pod: objects.Object) -> str:
    ready = pods.condition_of(pod, "Ready") or {}
    return str(ready.get("lastTransitionTime") or "")


def annotated(present: Mapping[str, str], trigger: str) -> dict[str, str]:
    """Return annotations with the trigger time as it is now."""
    kept = {key: value for key, value in present.items() if key != TRIGGER}
    return {**kept, TRIGGER: trigger} if trigger else kept
