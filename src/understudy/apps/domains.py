"""Further host names of an app, each a DomainMapping that goes when the app goes.

A cluster lets a name be mapped only when it is claimed (a ClusterDomainClaim, which Knative makes
by itself if `autocreate-cluster-domain-claims` is on in config-network).
"""

from __future__ import annotations

from collections.abc import Sequence

from understudy.apps import keys
from understudy.client import protocol
from understudy.kube import objects, statuses as api
from understudy.kube.knative import keys as knative

API_VERSION = "serving.knative.dev/v1beta1"


async def settle(client: protocol.Client, service: objects.Object, wanted: Sequence[str]) -> None:
    """Make the DomainMappings of a Service those wanted, and no others of ours."""
    namespace = objects.namespace_of(service)
    present = (await of_services(client, namespace, [service])).get(objects.name_of(service), [])
    have = {objects.name_of(one) for one in present}
    for one in present:
        if objects.name_of(one) not in wanted:
            await _delete(client, namespace, one)
    for host in wanted:
        if host not in have:
            await client.create(knative.DOMAIN_MAPPINGS, _owned(service, host), namespace=namespace)


async def of_services(
    client: protocol.Client, namespace: str, services: Sequence[objects.Object]
) -> dict[str, list[objects.Object]]:
    """Return our DomainMappings by the name of the Service they lead to; none where not served."""
    names = {objects.name_of(service) for service in services}
    try:
        listing = await client.list(
            knative.DOMAIN_MAPPINGS, namespace=namespace, label_selector=f"{keys.MANAGED}=true"
        )
    except (api.NotFoundError, api.ForbiddenError):
        return {}
    out: dict[str, list[objects.Object]] = {}
    for one in listing.items:
        target = target_of(one)
        if target in names:
            out.setdefault(target, []).append(one)
    return out


def target_of(mapping: objects.Object) -> str:
    """Return the name of the Service that a DomainMapping leads to."""
    return str(objects.lookup(mapping, ("spec", "ref", "name")) or "")


def mapping(service: objects.Object, host: str) -> objects.Object:
    """Return the DomainMapping that gives a Service a further host name."""
    labels = objects.labels_of(service)
    return {
        "apiVersion": API_VERSION,
        "kind": "DomainMapping",
        "metadata": {
            "name": host,
            "namespace": objects.namespace_of(service),
            "labels": {
                key: labels[key]
                for key in (keys.MANAGED, keys.PROJECT, keys.DOMAIN, keys.APP_NAME)
                if key in labels
            },
        },
        "spec": {"ref": _reference(service)},
    }


def _owned(service: objects.Object, host: str) -> objects.Object:
    """Return a mapping that goes with its Service."""
    made = mapping(service, host)
    owner = _reference(service) | {"uid": objects.uid_of(service)}
    made["metadata"]["ownerReferences"] = [owner]
    return made


def _reference(service: objects.Object) -> objects.Object:
    return {
        "apiVersion": knative.API_VERSION,
        "kind": "Service",
        "name": objects.name_of(service),
    }


async def _delete(client: protocol.Client, namespace: str, mapping: objects.Object) -> None:
    try:
        await client.delete(
            knative.DOMAIN_MAPPINGS,
            objects.name_of(mapping),
            namespace=namespace,
            uid=objects.uid_of(mapping),
        )
    except (api.NotFoundError, api.ConflictError):
        return
