"""What the API server itself does after a commit, whatever controllers run.

Only what belongs to the API machinery: a CustomResourceDefinition is established (and its objects
go with it) in the same step as the write that asked for it, so that discovery never lags.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from understudy.aio import clocks
from understudy.kapi.resources import catalogue, crds
from understudy.kapi.store import entries, logs
from understudy.kapi.views import deletion, options as opts, ownership
from understudy.kube import identities, objects

if TYPE_CHECKING:
    from understudy.kapi.views import view as views

CRDS = identities.GroupResource("apiextensions.k8s.io", "customresourcedefinitions")
_ITSELF = opts.WriteOptions(field_manager="kube-apiserver")


def committed(view: views.View, resource: catalogue.Resource, event: logs.Event) -> None:
    """React to a commit, after its watchers were told."""
    if resource.storage == CRDS:
        if event.type != "DELETED":
            _settle(view, resource, event.entry)
    elif resource.custom and event.type == "DELETED":
        definition = view.entry(_definitions(view), "", f"{resource.plural}.{resource.group}")
        if definition is not None and b'"deletionTimestamp"' in definition.encoded:
            _release(view, _definitions(view), definition)


def _definitions(view: views.View) -> catalogue.Resource:
    return view.resolve("customresourcedefinitions.apiextensions.k8s.io")


def _settle(view: views.View, resource: catalogue.Resource, entry: entries.Entry) -> None:
    """Establish a new or changed definition, or empty a terminating one."""
    crd = entry.load()
    if crd["metadata"].get("deletionTimestamp"):
        _empty(view, resource, entry, crd)
        return
    others = [other.load() for other in view.store.tree(CRDS).values() if other.key != entry.key]
    settled = crds.establish(crd, others, clocks.rfc3339(view.now()))
    if settled is not None:
        _put_status(view, resource, crd, settled)


def _put_status(
    view: views.View, resource: catalogue.Resource, old: objects.Object, new: objects.Object
) -> None:
    ownership.track(view, resource, old, new, _ITSELF, "status")
    view.commit(resource, objects.name_of(new), new)


def _empty(
    view: views.View, resource: catalogue.Resource, entry: entries.Entry, crd: objects.Object
) -> None:
    old = entry.load()
    if crds.instances_remain(crd, clocks.rfc3339(view.now())):
        # What comes next happens in the reaction to this commit.
        _put_status(view, resource, old, crd)
        return
    for custom in crds.resources_of(crd)[:1]:
        for instance in view.entries(custom):
            if b'"deletionTimestamp"' not in instance.encoded:
                deletion.delete(
                    view, custom, instance.name, instance.namespace, opts.DEFAULT_DELETE
                )
    current = view.store.get(CRDS, entry.key)
    if current is not None:
        _release(view, resource, current)


def _release(view: views.View, resource: catalogue.Resource, entry: entries.Entry) -> None:
    """Let a terminating definition go once none of its objects is left."""
    crd = entry.load()
    finalizers = crd["metadata"].get("finalizers") or []
    if crds.CLEANUP not in finalizers:
        return
    if any(view.entries(custom) for custom in crds.resources_of(crd)[:1]):
        return
    kept = [known for known in finalizers if known != crds.CLEANUP]
    if kept:
        crd["metadata"]["finalizers"] = kept
        view.commit(resource, entry.key, crd)
    else:
        view.drop(resource, entry.key, crd)
