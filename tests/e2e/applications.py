"""Applications in two versions each, of every kind of thing that people ship together."""

from __future__ import annotations

from understudy.kube import objects

PAUSE = "registry.k8s.io/pause"
"""An image that runs anywhere and does nothing."""


def placed(
    api_version: str, kind: str, name: str, namespace: str = "", **content: object
) -> objects.Object:
    """Return an object; content goes beside its metadata."""
    meta: objects.Object = {"name": name}
    if namespace:
        meta["namespace"] = namespace
    return {"apiVersion": api_version, "kind": kind, "metadata": meta, **content}


def template(app: str, tag: str = "3.9", **more: object) -> objects.Object:
    """Return a pod template of one container."""
    container = {"name": "main", "image": f"{PAUSE}:{tag}", **more}
    return {
        "metadata": {"labels": {"app": app}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 1},
    }


def selector(app: str) -> objects.Object:
    """Return what selects the pods of `template`."""
    return {"matchLabels": {"app": app}}


def web(ns: str, version: int) -> list[objects.Object]:
    """A Deployment with what it reads and what leads to it; version 2 restarts it."""
    reads = [{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "keys"}}]
    spec = {
        "replicas": 2,
        "selector": selector("web"),
        "template": template("web", f"3.{8 + version}", envFrom=reads),
    }
    port = {"port": 80, "targetPort": 8080}
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    paths = [{"path": "/", "pathType": "Prefix", "backend": backend}]
    found = [
        placed("v1", "ConfigMap", "settings", ns, data={"version": str(version)}),
        placed("v1", "Secret", "keys", ns, stringData={"key": f"k{version}"}),
        placed("apps/v1", "Deployment", "web", ns, spec=spec),
        placed("v1", "Service", "web", ns, spec={"selector": {"app": "web"}, "ports": [port]}),
        placed(
            "networking.k8s.io/v1", "Ingress", "web", ns,
            spec={"rules": [{"host": "web.example.com", "http": {"paths": paths}}]},
        ),
        placed(
            "policy/v1", "PodDisruptionBudget", "web", ns,
            spec={"maxUnavailable": version, "selector": selector("web")},
        ),
        placed(
            "autoscaling/v2", "HorizontalPodAutoscaler", "web", ns,
            spec={
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
                "minReplicas": 2,
                "maxReplicas": 3 + version,
            },
        ),
    ]  # fmt: skip
    if version == 1:
        found.append(placed("v1", "ConfigMap", "dropped", ns, data={"a": "b"}))
    return found


def database(ns: str, version: int) -> list[objects.Object]:
    """A StatefulSet; version 2 changes what cannot be changed, so it is made anew."""
    spec = {
        "replicas": 2,
        "serviceName": "db" if version == 1 else "db-new",
        "selector": selector("db"),
        "template": template("db"),
    }
    headless = {"clusterIP": "None", "selector": {"app": "db"}, "ports": [{"port": 5432}]}
    db = placed("apps/v1", "StatefulSet", "db", ns, spec=spec)
    db["metadata"]["annotations"] = {"core.understudy.dev/recreate": "on-immutable"}
    return [placed("v1", "Service", "db", ns, spec=headless), db]


def agents(ns: str, version: int) -> list[objects.Object]:
    """A DaemonSet with an account and its rights."""
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"][:version]}]
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "agent"}
    account = {"kind": "ServiceAccount", "name": "agent", "namespace": ns}
    spec = {
        "selector": selector("agent"),
        "template": template("agent", env=[{"name": "V", "value": str(version)}]),
    }
    return [
        placed("apps/v1", "DaemonSet", "agent", ns, spec=spec),
        placed("v1", "ServiceAccount", "agent", ns),
        placed("rbac.authorization.k8s.io/v1", "Role", "agent", ns, rules=rules),
        placed(
            "rbac.authorization.k8s.io/v1", "RoleBinding", "agent", ns,
            roleRef=role, subjects=[account],
        ),
    ]  # fmt: skip


def kinds(ns: str, version: int) -> list[objects.Object]:
    """A definition and objects of it; version 2 has a new field and an object that uses it."""
    group = f"{ns}.example.com"
    properties: objects.Object = {
        "size": {"type": "integer", "minimum": 1, "default": 3},
        "name": {"type": "string"},
    }
    if version == 2:
        properties["colour"] = {"type": "string", "enum": ["red", "blue"], "default": "red"}
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": properties}},
    }
    served = {
        "name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema},
    }  # fmt: skip
    names = {"plural": "parcels", "singular": "parcel", "kind": "Parcel", "listKind": "ParcelList"}
    definition = placed(
        "apiextensions.k8s.io/v1", "CustomResourceDefinition", f"parcels.{group}",
        spec={"group": group, "scope": "Namespaced", "names": names, "versions": [served]},
    )  # fmt: skip
    colours = {"colour": "blue"} if version == 2 else {}
    return [
        definition,
        placed(f"{group}/v1", "Parcel", "first", ns, spec={"name": "a"}),
        placed(f"{group}/v1", "Parcel", "second", ns, spec={"size": version, **colours}),
    ]


def limits(ns: str, version: int) -> list[objects.Object]:
    """What bounds a namespace, network and all."""
    hard = {"configmaps": str(10 * version), "requests.cpu": "4"}
    request = [{"type": "Container", "defaultRequest": {"cpu": f"{version}00m"}}]
    peers = [{"podSelector": {"matchLabels": {"app": f"web{version}"}}}]
    policy = {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": peers}]}
    schedule = {
        "schedule": f"{version} 3 1 1 *",
        "jobTemplate": {
            "spec": {"template": {"spec": {**template("x")["spec"], "restartPolicy": "Never"}}}
        },
    }
    return [
        placed("v1", "ResourceQuota", "limit", ns, spec={"hard": hard}),
        placed("v1", "LimitRange", "limit", ns, spec={"limits": request}),
        placed("networking.k8s.io/v1", "NetworkPolicy", "limit", ns, spec=policy),
        placed("batch/v1", "CronJob", "yearly", ns, spec=schedule),
    ]


ALL = {"web": web, "database": database, "agents": agents, "kinds": kinds, "limits": limits}
