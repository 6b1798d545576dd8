"""Field ownership of a verb's objects: which rules hold for a resource, and in which version.

managedFields name fields in the version that was written in, while verbs keep objects in their
storage version; here the one is made of the other. Called once an object is decoded and defaulted:
what admission and the kind's strategy set afterwards has no owner.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from understudy.aio import clocks
from understudy.kapi.resources import catalogue
from understudy.kapi.views import options as opts
from understudy.kube import apply as fields, objects, schemas
from understudy.kube.apply import resets, scales

if TYPE_CHECKING:
    from understudy.kapi.views import view as views

_SCALE_VERSION = "autoscaling/v1"


def track(
    view: views.View,
    resource: catalogue.Resource,
    old: objects.Object | None,
    obj: objects.Object,
    options: opts.WriteOptions,
    subresource: str = "",
) -> None:
    """Set the managedFields of a created, updated or patched object, in place.

    Both objects are as verbs change them (`Resource.working`).
    """
    written, before = obj, old
    if resource.from_storage is not None and not resource.custom:
        written = resource.from_storage(objects.copy(obj))
        before = resource.from_storage(objects.copy(old)) if old is not None else None
    fields.track_update(
        before,
        written,
        schema=resource.schema,
        manager=options.manager,
        api_version=resource.api_version,
        subresource=subresource,
        now=clocks.rfc3339(view.now_of(options)),
        reset=_resets(resource, subresource),
        versions=_Versions(view.catalogue, resource),
    )
    if written is not obj:
        carry(written, obj)


def applied(
    view: views.View,
    resource: catalogue.Resource,
    live: objects.Object | None,
    config: objects.Object,
    options: opts.WriteOptions,
    subresource: str,
) -> objects.Object:
    """Return a live object (in the resource's version) with a configuration applied.

    Raises:
        BadRequestError, InternalError, ConflictError: as `kube.apply.apply`.
    """
    return fields.apply(
        live,
        config,
        schema=resource.schema,
        manager=options.field_manager,
        api_version=resource.api_version,
        subresource=subresource,
        force=options.force,
        now=clocks.rfc3339(view.now_of(options)),
        reset=_resets(resource, subresource),
        versions=_Versions(view.catalogue, resource),
    )


def track_scale(
    view: views.View,
    resource: catalogue.Resource,
    obj: objects.Object,
    old: objects.Object,
    new: objects.Object,
    options: opts.WriteOptions,
    schema: schemas.Schema,
) -> None:
    """Set an object's managedFields after its Scale changed from `old` to `new`.

    `new` has managedFields of its own where it was applied, else they are worked out here.
    """
    path = resource.strategy.scale_paths.spec
    raw = obj["metadata"].get("managedFields")
    entries = objects.metadata(new).get("managedFields")
    if entries is None:
        before = old | {"metadata": old["metadata"] | {"managedFields": scales.to_scale(raw, path)}}
        after = new | {"metadata": dict(objects.metadata(new))}
        fields.track_update(
            before,
            after,
            schema=schema,
            manager=options.manager,
            api_version=_SCALE_VERSION,
            subresource="scale",
            now=clocks.rfc3339(view.now_of(options)),
        )
        entries = after["metadata"].get("managedFields")
    kept = scales.to_parent(raw, entries, path, resource.api_version)
    if kept:
        obj["metadata"]["managedFields"] = kept
    else:
        obj["metadata"].pop("managedFields", None)


def applied_scale(
    view: views.View,
    resource: catalogue.Resource,
    obj: objects.Object,
    live: objects.Object,
    config: objects.Object,
    options: opts.WriteOptions,
    schema: schemas.Schema,
) -> objects.Object:
    """Return an object's Scale with a configuration applied."""
    raw = obj["metadata"].get("managedFields")
    entries = scales.to_scale(raw, resource.strategy.scale_paths.spec)
    return fields.apply(
        live | {"metadata": live["metadata"] | {"managedFields": entries}},
        config,
        schema=schema,
        manager=options.field_manager,
        api_version=_SCALE_VERSION,
        subresource="scale",
        force=options.force,
        now=clocks.rfc3339(view.now_of(options)),
    )


def carry(source: objects.Object, target: objects.Object) -> None:
    """Give the target the managedFields of the source; none if that has none."""
    kept = source["metadata"].get("managedFields")
    if kept:
        target["metadata"]["managedFields"] = kept
    else:
        target["metadata"].pop("managedFields", None)


def _resets(resource: catalogue.Resource, subresource: str) -> resets.Resets:
    return resets.of(
        resource.group,
        resource.kind,
        subresource,
        custom=resource.custom,
        has_status="status" in resource.subresources,
    )


class _Versions:
    """Conversion of objects in one resource's version to its other versions."""

    __slots__ = ("_catalogue", "_resource")

    def __init__(self, known: catalogue.Catalogue, resource: catalogue.Resource) -> None:
        self._catalogue = known
        self._resource = resource

    def convert(
        self, obj: objects.Object, api_version: str
    ) -> tuple[objects.Object, schemas.Schema] | None:
        """Return the object in another version, with its schema; None if that is not served."""
        here = self._resource
        there = self._catalogue.by_kind(api_version, here.kind)
        if there is None or there.storage != here.storage:
            return None
        stored = here.to_storage(objects.copy(obj)) if here.to_storage is not None else obj
        if there.from_storage is not None:
            stored = there.from_storage(objects.copy(stored))
        return stored, there.schema
