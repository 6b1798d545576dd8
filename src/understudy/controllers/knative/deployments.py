"""The Deployment, the image caches and the autoscaler of a Revision.

Source: knative.dev/serving `pkg/reconciler/revision/resources`.
"""

from __future__ import annotations

import hashlib

from understudy.controllers.knative import conditions, meta
from understudy.controllers.knative.settings import KnativeSettings
from understudy.kube import objects, records
from understudy.kube.knative import keys, scaling

_PARKING_DRAIN = {"preStop": {"httpGet": {"path": "/wait-for-drain", "port": 8022}}}
_QUEUE_PORTS = (
    ("http-autometric", 9090), ("http-usermetric", 9091), ("queue-port", 8012),
    ("https-port", 8112),
)  # fmt: skip


def deployment_name(revision: objects.Object) -> str:
    """Return the name of a Revision's Deployment."""
    return meta.child_name(objects.name_of(revision), "-deployment")


def cache_name(revision: objects.Object, container: str) -> str:
    """Return the name of the image cache of one container."""
    base = meta.child_name(objects.name_of(revision), "-cache")
    return meta.child_name(base, f"-{container}")


def make_deployment(revision: objects.Object, config: KnativeSettings) -> objects.Object:
    """Return the Deployment of a Revision."""
    labels = meta.revision_labels(revision)
    notes = objects.annotations_of(revision)
    spec: objects.Object = {
        "replicas": initial_scale(notes, config),
        "selector": {"matchLabels": {keys.REVISION_UID: objects.uid_of(revision)}},
        "progressDeadlineSeconds": progress_deadline_s(notes, config),
        "revisionHistoryLimit": 0,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0}},
        "template": {
            "metadata": {"labels": dict(labels), "annotations": _pod_annotations(revision)},
            "spec": _pod_spec(revision, config),
        },
    }
    made = meta.owned(
        revision,
        "apps/v1",
        "Deployment",
        deployment_name(revision),
        labels=labels,
        annotations=meta.revision_annotations(revision),
        spec=spec,
    )
    digest = hashlib.sha256(records.canonical([spec, made["metadata"].get("annotations"), labels]))
    labels[keys.DEPLOYMENT_HASH] = digest.hexdigest()[:7]
    return made


def initial_scale(notes: dict[str, str], config: KnativeSettings) -> int:
    """Return the replicas a Revision begins with."""
    text = scaling.value(notes, keys.INITIAL_SCALE)
    return int(text) if text.isdigit() else config.initial_scale


def progress_deadline_s(notes: dict[str, str], config: KnativeSettings) -> int:
    """Return the seconds after which a Revision that gets nowhere is given up."""
    text = notes.get(keys.PROGRESS_DEADLINE)
    if text:
        return int(records.parse_duration(text).total_seconds())
    return config.progress_deadline_s


def make_image(revision: objects.Object, container: str, digest: str) -> objects.Object:
    """Return the image cache of one container."""
    spec: objects.Object = {"image": digest}
    account = revision["spec"].get("serviceAccountName")
    if account:
        spec["serviceAccountName"] = account
    secrets = revision["spec"].get("imagePullSecrets")
    if secrets:
        spec["imagePullSecrets"] = secrets
    return meta.owned(
        revision,
        "caching.internal.knative.dev/v1alpha1",
        "Image",
        cache_name(revision, container),
        labels=meta.revision_labels(revision),
        annotations=meta.revision_annotations(revision),
        spec=spec,
    )


def make_autoscaler(revision: objects.Object, deployment: objects.Object | None) -> objects.Object:
    """Return the PodAutoscaler of a Revision, without what its webhook adds."""
    concurrency = int(revision["spec"].get("containerConcurrency") or 0)
    spec: objects.Object = {
        "protocolType": meta.protocol_of(revision),
        "reachability": _reachability(revision, deployment),
        "scaleTargetRef": {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "name": deployment_name(revision),
        },
    }
    if concurrency:
        spec["containerConcurrency"] = concurrency
    return meta.owned(
        revision,
        "autoscaling.internal.knative.dev/v1alpha1",
        "PodAutoscaler",
        objects.name_of(revision),
        labels=meta.revision_labels(revision),
        annotations=meta.revision_annotations(revision, scaling=True),
        spec=spec,
    )


def _reachability(revision: objects.Object, deployment: objects.Object | None) -> str:
    status = revision.get("status")
    broken = any(
        (conditions.find(status, kind) or {}).get("status") == "False"
        for kind in ("ResourcesAvailable", "ContainerHealthy")
    )
    if broken and deployment is not None:
        wanted = objects.lookup(deployment, ("spec", "replicas")) or 0
        if wanted > 0 and not objects.lookup(deployment, ("status", "readyReplicas")):
            return "Unreachable"
    state = objects.labels_of(revision).get(keys.ROUTING_STATE)
    return {"active": "Reachable", "reserve": "Unreachable"}.get(state or "", "")


def _pod_annotations(revision: objects.Object) -> dict[str, str]:
    notes = meta.revision_annotations(revision)
    name = meta.serving_container(revision["spec"]).get("name")
    if name:
        notes["kubectl.kubernetes.io/default-container"] = str(name)
    return notes


def _pod_spec(revision: objects.Object, config: KnativeSettings) -> objects.Object:
    spec: objects.Object = {
        key: objects.copy(value)
        for key, value in revision["spec"].items()
        if key
        not in (
            "containerConcurrency", "timeoutSeconds", "idleTimeoutSeconds",
            "responseStartTimeoutSeconds", "loadBalancingPolicy",
        )
    }  # fmt: skip
    digests = {
        one["name"]: one.get("imageDigest", "")
        for one in objects.lookup(revision, ("status", "containerStatuses")) or ()
    }
    serving = meta.serving_container(revision["spec"]).get("name")
    for container in spec["containers"]:
        if digests.get(container["name"]):
            container["image"] = digests[container["name"]]
        if container["name"] == serving:
            _make_serving(container, revision)
        _make_user(container, revision, with_queue=bool(config.queue_image))
    if config.queue_image:
        spec["containers"].append(_queue(revision, config))
    spec["terminationGracePeriodSeconds"] = revision["spec"].get("timeoutSeconds", 300)
    if "affinity" not in spec:
        term = {
            "labelSelector": {"matchLabels": {keys.REVISION: objects.name_of(revision)}},
            "topologyKey": "kubernetes.io/hostname",
        }
        spec["affinity"] = {
            "podAntiAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {"weight": 100, "podAffinityTerm": term}
                ]
            }
        }
    return spec


def user_port(revision: objects.Object) -> int:
    """Return the port that the app listens on."""
    ports = meta.serving_container(revision["spec"]).get("ports") or [{}]
    return int(ports[0].get("containerPort") or keys.DEFAULT_PORT)


def _make_serving(container: objects.Object, revision: objects.Object) -> None:
    port = user_port(revision)
    container["ports"] = [{"name": "user-port", "containerPort": port, "protocol": "TCP"}]
    container.setdefault("env", []).append({"name": "PORT", "value": str(port)})
    for kind in ("livenessProbe", "startupProbe", "readinessProbe"):
        for handler in ("httpGet", "tcpSocket"):
            action = (container.get(kind) or {}).get(handler)
            if isinstance(action, dict) and not action.get("port"):
                action["port"] = port


def _make_user(container: objects.Object, revision: objects.Object, *, with_queue: bool) -> None:
    """Finish a container of the app; where there is a proxy, the proxy probes its readiness."""
    labels = objects.labels_of(revision)
    container.setdefault("env", []).extend(
        [
            {"name": "K_REVISION", "value": objects.name_of(revision)},
            {"name": "K_CONFIGURATION", "value": labels.get(keys.CONFIGURATION, "")},
            {"name": "K_SERVICE", "value": labels.get(keys.SERVICE, "")},
        ]
    )
    if not container.get("terminationMessagePolicy"):
        container["terminationMessagePolicy"] = "FallbackToLogsOnError"
    if not with_queue:
        return
    container["lifecycle"] = objects.copy(_PARKING_DRAIN)
    probe = container.get("readinessProbe") or {}
    if any(handler in probe for handler in ("httpGet", "tcpSocket", "grpc")):
        del container["readinessProbe"]


def _queue(revision: objects.Object, config: KnativeSettings) -> objects.Object:
    labels = objects.labels_of(revision)
    spec = revision["spec"]
    values = (
        ("SERVING_NAMESPACE", objects.namespace_of(revision)),
        ("SERVING_SERVICE", labels.get(keys.SERVICE, "")),
        ("SERVING_CONFIGURATION", labels.get(keys.CONFIGURATION, "")),
        ("SERVING_REVISION", objects.name_of(revision)),
        ("QUEUE_SERVING_PORT", "8013" if meta.protocol_of(revision) == "h2c" else "8012"),
        ("QUEUE_SERVING_TLS_PORT", "8112"),
        ("CONTAINER_CONCURRENCY", str(spec.get("containerConcurrency") or 0)),
        ("REVISION_TIMEOUT_SECONDS", str(spec.get("timeoutSeconds") or 0)),
        (
            "REVISION_RESPONSE_START_TIMEOUT_SECONDS",
            str(spec.get("responseStartTimeoutSeconds") or 0),
        ),
        ("REVISION_IDLE_TIMEOUT_SECONDS", str(spec.get("idleTimeoutSeconds") or 0)),
        ("USER_PORT", str(user_port(revision))),
        ("SYSTEM_NAMESPACE", "knative-serving"),
    )
    return {
        "name": keys.QUEUE_CONTAINER,
        "image": config.queue_image,
        "ports": [
            {"name": name, "containerPort": port, "protocol": "TCP"} for name, port in _QUEUE_PORTS
        ],
        "env": [{"name": name, "value": value} for name, value in values],
        "resources": {"requests": {"cpu": "25m"}},
        "readinessProbe": {
            "httpGet": {
                "path": "/",
                "port": 8012,
                "httpHeaders": [{"name": "K-Network-Probe", "value": "queue"}],
            }
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
