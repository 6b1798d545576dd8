"""Taking objects in as they are: a cluster's state for a rehearsal, an exported file.

Nothing is defaulted, validated or admitted: what another server has accepted is a fact here. uid,
times, status, managedFields stay; resourceVersion stays where the view was empty before, so that
plans can speak of the live object's revision.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from understudy.kapi.resources import catalogue as catalogues, crds
from understudy.kapi.store import entries, stores
from understudy.kapi.watch import watches
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
    catalogue = view.catalogue
    waiting: list[objects.Object] = []
    found: list[tuple[catalogues.Resource, entries.Entry]] = []
    defined: list[objects.Object] = []
    for obj in items:
        if identities.gvk_of(obj) == _CRD:
            defined.append(obj)
        resource = catalogue.by_kind(str(obj.get("apiVersion")), str(obj.get("kind")))
        if resource is None:
            waiting.append(obj)
        else:
            found.append((resource, _entry(view, resource, obj)))
    if defined:
        catalogue = catalogue.extended(
            resource for crd in defined for resource in crds.resources_of(crd)
        )
    for obj in waiting:
        resource = _resource_of(catalogue, obj)
        found.append((resource, _entry(view, resource, obj)))
    # In the order of their revisions each object can keep its own. Taken from the end, so that
    # an entry which is replaced by a restamped one goes at once.
    found.sort(key=lambda pair: -pair[1].revision)
    counter = view.store.counter
    commits: list[stores.Commit] = []
    while found:
        resource, entry = found.pop()
        kept = entry
        if entry.revision > counter.current:
            counter.current = entry.revision
        else:
            kept = watches.restamped(entry, counter.take())
        commits.append(stores.Commit("put", resource.storage, kept))
    view.store.commit_all(commits)
    return len(commits)


def _entry(view: views.View, resource: catalogues.Resource, obj: objects.Object) -> entries.Entry:
    """Encode an object at once: what is loaded may be large, and bytes are small."""
    own = objects.copy(obj)
    if resource.to_storage is not None:
        own = resource.to_storage(own)
    meta = own.setdefault("metadata", {})
    said = str(meta.get("resourceVersion") or "")
    revision = int(said) if said.isdigit() else 0
    meta["resourceVersion"] = str(revision)
    meta.setdefault("uid", view.ids.uid())
    key = f"{meta['namespace']}/{meta['name']}" if resource.namespaced else meta["name"]
    return entries.Entry(key, revision, view.head(resource), own)


def _resource_of(catalogue: catalogues.Catalogue, obj: objects.Object) -> catalogues.Resource:
    resource = catalogue.by_kind(str(obj.get("apiVersion")), str(obj.get("kind")))
    if resource is None:
        raise statuses.NotFoundError(
            f'cannot load {obj.get("kind")} "{objects.name_of(obj)}": no kind '
            f'"{obj.get("kind")}" is served in version "{obj.get("apiVersion")}"'
        )
    return resource
