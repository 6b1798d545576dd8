"""The scale of whatever has one, found by the kind that an object is said to have."""

from __future__ import annotations

from understudy.controllers import clusters
from understudy.kapi.resources import catalogue
from understudy.kube import objects, statuses


def get(
    cluster: clusters.Cluster, resource: catalogue.Resource, namespace: str, name: str
) -> objects.Object:
    """Return the Scale (autoscaling/v1) of an object.

    Raises:
        NotFoundError: There is no such object, or its kind has no scale.
    """
    if not has_scale(resource):
        raise statuses.NotFoundError("the server could not find the requested resource")
    return cluster.view.get(resource, name, namespace, subresource="scale")


def has_scale(resource: catalogue.Resource) -> bool:
    """Whether a kind's objects can be scaled."""
    return "scale" in resource.subresources
