"""Taking objects in as they are: a cluster's state for a rehearsal, an exported file.

Nothing is defaulted, validated or admitted: what another server has accepted is a fact here. uid,
times, status, managedFields stay; resourceVersion stays where the view was empty before, so that
plans can speak of the live object's revision.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from understudy.kapi.resources import catalogue as catalogues, crds
from understudy.kapi.store import entries
from understudy.kube import identities, objects, statuses

if TYPE_CHECKING:
    from understudy.kapi.views import view as views

_CRD = identities.GroupVersionKind("apiextensions.k8s.io", "v1", "CustomResourceDefinition")


def load(view: views.View, items: Iterable[objects.Object]) -> int:
    """Put objects into a view as they are and return how many.

    Kinds that the objects themselves define are known. An object of the same name is replaced.

    Raises:
        NotFoundError: An object's kind is not served here; nothing was loaded.
    """
    wanted = sorted(items, key=_age)
    defined = [crd for crd in wanted if identities.gvk_of(crd) == _CRD]
    catalogue = view.catalogue
    if defined:
        catalogue = catalogue.extended(
            resource for crd in defined for resource in crds.resources_of(crd)
        )
    found = [(obj, _resource_of(catalogue, obj)) for obj in wanted]
    for obj, resource in found:
        own = objects.copy(obj)
        if resource.to_storage is not None:
            own = resource.to_storage(own)
        meta = own.setdefault("metadata", {})
        revision = _revision(view, meta)
        meta["resourceVersion"] = str(revision)
        meta.setdefault("uid", view.ids.uid())
        key = f"{meta['namespace']}/{meta['name']}" if resource.namespaced else meta["name"]
        view.store.put(resource.storage, entries.Entry(key, revision, view.head(resource), own))
    return len(found)


def _resource_of(catalogue: catalogues.Catalogue, obj: objects.Object) -> catalogues.Resource:
    resource = catalogue.by_kind(str(obj.get("apiVersion")), str(obj.get("kind")))
    if resource is None:
        raise statuses.NotFoundError(
            f'cannot load {obj.get("kind")} "{objects.name_of(obj)}": no kind '
            f'"{obj.get("kind")}" is served in version "{obj.get("apiVersion")}"'
        )
    return resource


def _age(obj: objects.Object) -> int:
    """Order by resourceVersion, so that each object can keep its own."""
    said = str(objects.metadata(obj).get("resourceVersion") or "")
    return int(said) if said.isdigit() else 0


def _revision(view: views.View, meta: objects.Object) -> int:
    """Keep a resourceVersion that is newer than all before it, else take the next."""
    said = str(meta.get("resourceVersion") or "")
    counter = view.store.counter
    if said.isdigit() and int(said) > counter.current:
        counter.current = int(said)
        return counter.current
    return counter.take()
