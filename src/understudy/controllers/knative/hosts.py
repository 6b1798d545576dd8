"""Host names of a Route: public and in the cluster, of its own and of its tags."""

from __future__ import annotations

from understudy.controllers.knative.settings import KnativeSettings
from understudy.kube import objects
from understudy.kube.knative import keys

LOCAL, EXTERNAL = "ClusterLocal", "ExternalIP"


def host_name(route: str, tag: str, config: KnativeSettings) -> str:
    """Return the first part of a host: the Route's name, or that of a tag."""
    return config.tag_template.format(tag=tag, name=route) if tag else route


def local_domain(name: str, namespace: str, config: KnativeSettings) -> str:
    """Return the host within the cluster."""
    return f"{name}.{namespace}.svc.{config.cluster_domain}"


def public_domain(name: str, namespace: str, config: KnativeSettings) -> str:
    """Return the host outside of the cluster."""
    return config.domain_template.format(name=name, namespace=namespace, domain=config.domain)


def domain(name: str, namespace: str, config: KnativeSettings, *, local: bool) -> str:
    """Return the host of a visibility."""
    make = local_domain if local else public_domain
    return make(name, namespace, config)


def url(host: str, config: KnativeSettings, *, local: bool) -> str:
    """Return the URL of a host, with the gateway's port where that is not the usual one."""
    port = "" if local or not config.port else f":{config.port}"
    return f"http://{host}{port}"


def hosts(name: str, namespace: str, config: KnativeSettings, *, local: bool) -> list[str]:
    """Return every host of a visibility; within the cluster there are shorter forms too."""
    if not local:
        return [public_domain(name, namespace, config)]
    return [
        f"{name}.{namespace}",
        f"{name}.{namespace}.svc",
        local_domain(name, namespace, config),
    ]


def is_local(labels: dict[str, str]) -> bool:
    """Say whether an object is for the cluster only."""
    return labels.get(keys.VISIBILITY) == keys.CLUSTER_LOCAL


def route_is_local(route: objects.Object) -> bool:
    """Say whether a Route is for the cluster only."""
    return is_local(objects.labels_of(route))
