"""Puts the objects every API server makes at its start into a view; those that exist stay."""

from __future__ import annotations

from collections.abc import Iterator

from understudy.aio import clocks
from understudy.kapi.bootstrap import apiservices, roles
from understudy.kapi.views import options as opts, view as views
from understudy.kube import objects, statuses

SERVICE_CIDR = "10.96.0.0/12"
SERVICE_IP = "10.96.0.1"
_SERVER = opts.WriteOptions(user_agent="kube-apiserver")
_PRIORITIES = {
    "system-cluster-critical": (
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another "
        "node if necessary.",
    ),
    "system-node-critical": (
        2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
}


def populate(view: views.View, *, port: int = 6443) -> None:
    """Create what is missing: default roles, priority classes, the service of the API itself.

    `port` is where the server listens, the target of the service `kubernetes`.
    """
    for resource, namespace, obj in _objects(port):
        _create(view, resource, obj, namespace)
    _describe_cidr(view)
    served = [(resource.group, resource.version) for resource in view.shared.builtins.resources]
    for service in apiservices.local(served):
        _create(view, "apiservices.apiregistration.k8s.io", service)
    for level in _levels():
        _create(
            view,
            "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io",
            level,
            options=opts.WriteOptions(user_agent="api-priority-and-fairness-config-producer-v1"),
        )


def _create(
    view: views.View,
    resource: str,
    obj: objects.Object,
    namespace: str = "",
    options: opts.WriteOptions = _SERVER,
) -> None:
    if view.find(resource, namespace, objects.name_of(obj)) is not None:
        return
    try:
        view.create(resource, obj, namespace, options=options)
    except statuses.NotFoundError:
        # The view serves a smaller catalogue, or lacks the namespace: nothing to put it in.
        return


def _objects(port: int) -> Iterator[tuple[str, str, objects.Object]]:
    for role in roles.cluster_roles():
        yield f"clusterroles.{roles.GROUP}", "", role
    for binding in roles.cluster_role_bindings():
        yield f"clusterrolebindings.{roles.GROUP}", "", binding
    for name, (value, description) in _PRIORITIES.items():
        yield (
            "priorityclasses.scheduling.k8s.io",
            "",
            {
                "apiVersion": "scheduling.k8s.io/v1",
                "kind": "PriorityClass",
                "metadata": {"name": name},
                "value": value,
                "description": description,
                "preemptionPolicy": "PreemptLowerPriority",
            },
        )
    yield (
        "servicecidrs.networking.k8s.io",
        "",
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "ServiceCIDR",
            "metadata": {"name": "kubernetes"},
            "spec": {"cidrs": [SERVICE_CIDR]},
        },
    )
    yield "services", "default", _service(port)


def _service(port: int) -> objects.Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "kubernetes",
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {
            "clusterIP": SERVICE_IP,
            "ipFamilyPolicy": "SingleStack",
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}],
            "sessionAffinity": "None",
            "type": "ClusterIP",
        },
    }


def _describe_cidr(view: views.View) -> None:
    """Say in the default ServiceCIDR's status that it is in use, as its controller would."""
    found = view.find("servicecidrs.networking.k8s.io", "", "kubernetes")
    if found is None or objects.lookup(found, ("status", "conditions")):
        return
    view.apply(
        "servicecidrs.networking.k8s.io",
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "ServiceCIDR",
            "metadata": {"name": "kubernetes"},
            "status": {
                "conditions": [
                    {
                        "type": "Ready",
                        "status": "True",
                        "message": "Kubernetes Service CIDR is ready",
                        "lastTransitionTime": clocks.rfc3339(view.now()),
                    }
                ]
            },
        },
        subresource="status",
        options=opts.WriteOptions(field_manager="kubernetes-service-cidr-controller", force=True),
    )


def _levels() -> list[objects.Object]:
    """Return the two priority levels that kube-apiserver insists on."""
    return [
        _level("exempt", {"type": "Exempt", "exempt": _shares(0)}),
        _level(
            "catch-all",
            {
                "type": "Limited",
                "limited": _shares(5) | {"limitResponse": {"type": "Reject"}},
            },
        ),
    ]


def _shares(count: int) -> objects.Object:
    return {"nominalConcurrencyShares": count, "lendablePercent": 0}


def _level(name: str, spec: objects.Object) -> objects.Object:
    return {
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1",
        "kind": "PriorityLevelConfiguration",
        "metadata": {"name": name, "annotations": {"apf.kubernetes.io/autoupdate-spec": "true"}},
        "spec": spec,
    }
