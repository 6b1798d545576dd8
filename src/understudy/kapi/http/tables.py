"""Answers in other forms: Tables and PartialObjectMetadata, of one object, of lists, of events."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from understudy.kapi.http import negotiation
from understudy.kapi.resources import catalogue
from understudy.kapi.resources.printers import cells, registry
from understudy.kapi.store import entries
from understudy.kube import objects, statuses


def column_definitions(printer: cells.Printer) -> list[objects.Object]:
    """Return the columns as `columnDefinitions`."""
    return [
        {
            "name": column.name,
            "type": column.type,
            "format": column.format,
            "description": column.description,
            "priority": column.priority,
        }
        for column in printer.columns
    ]


_CONVERTED = {
    "DaemonSet": ("deprecated.daemonset.template.generation",),
    "HorizontalPodAutoscaler": tuple(
        f"autoscaling.alpha.kubernetes.io/{name}"
        for name in ("behavior", "conditions", "current-metrics", "metrics")
    ),
}
"""Annotations of a kind that stand for fields of its internal form, which metadata is taken of."""


def partial(obj: objects.Object, version: str) -> objects.Object:
    """Return an object's PartialObjectMetadata."""
    meta = obj.get("metadata") or {}
    hidden = _CONVERTED.get(obj.get("kind") or "")
    if hidden and (annotations := meta.get("annotations")):
        shown = {key: value for key, value in annotations.items() if key not in hidden}
        meta = {key: value for key, value in meta.items() if key != "annotations"}
        if shown:
            meta["annotations"] = shown
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": meta,
    }


def row(
    printer: cells.Printer, obj: objects.Object, now: dt.datetime, include: str, version: str
) -> objects.Object:
    """Return an object's Table row; `include` is `Metadata`, `Object` or `None`."""
    out: objects.Object = {"cells": printer.row(obj, now)}
    if printer.conditions is not None and (conditions := printer.conditions(obj)):
        out["conditions"] = conditions
    if include == "None":
        out["object"] = None
    else:
        out["object"] = obj if include == "Object" else partial(obj, version)
    return out


def table(
    printer: cells.Printer,
    found: Iterable[objects.Object],
    metadata: objects.Object,
    now: dt.datetime,
    *,
    include: str,
    version: str,
    with_columns: bool = True,
) -> objects.Object:
    """Return a Table; later events of a watch have `columnDefinitions: null`."""
    rows: list[objects.Object] | None = [row(printer, obj, now, include, version) for obj in found]
    if not rows and printer.null_rows_when_empty:
        rows = None
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": metadata,
        "columnDefinitions": column_definitions(printer) if with_columns else None,
        "rows": rows,
    }


def of_object(
    resource: catalogue.Resource,
    obj: objects.Object,
    choice: negotiation.Choice,
    now: dt.datetime,
    include: str,
) -> objects.Object:
    """Return one object in the form asked for.

    Raises:
        NotAcceptableError: The form is for lists.
    """
    if obj.get("kind") == "Status" and obj.get("apiVersion") == "v1":
        return obj
    if choice.form == "PartialObjectMetadata":
        return partial(obj, choice.form_version)
    if choice.form == "PartialObjectMetadataList":
        raise statuses.NotAcceptableError(
            "you requested PartialObjectMetadataList, but the requested object is not a list "
            f"({internal_name(resource, resource.kind)})"
        )
    printer = registry.printer_for(resource)
    if obj.get("kind") != resource.kind:
        printer = registry.find(str(obj.get("apiVersion", "")).partition("/")[0], obj["kind"])
    version = objects.metadata(obj).get("resourceVersion")
    metadata = {"resourceVersion": version} if version else {}
    return table(printer, [obj], metadata, now, include=include, version=choice.form_version)


def of_list(
    resource: catalogue.Resource,
    found: list[entries.Entry],
    metadata: objects.Object,
    choice: negotiation.Choice,
    now: dt.datetime,
    include: str,
) -> objects.Object:
    """Return a list in the form asked for.

    Raises:
        NotAcceptableError: The form is for single objects.
    """
    if choice.form == "PartialObjectMetadata":
        raise statuses.NotAcceptableError(
            "you requested PartialObjectMetadata, but the requested object is a list "
            f"({internal_name(resource, resource.kind + 'List')})"
        )
    if choice.form == "PartialObjectMetadataList":
        return {
            "kind": "PartialObjectMetadataList",
            "apiVersion": f"meta.k8s.io/{choice.form_version}",
            "metadata": metadata,
            "items": [partial(entry.object(resource), choice.form_version) for entry in found]
            or None,
        }
    printer = registry.printer_for(resource)
    listed = [entry.object(resource) for entry in found]
    return table(
        printer,
        sorted(listed, key=printer.order) if printer.order is not None else listed,
        metadata,
        now,
        include=include,
        version=choice.form_version,
    )


_PACKAGES = {
    "": "core",
    "events.k8s.io": "core",
    "rbac.authorization.k8s.io": "rbac",
    "apiextensions.k8s.io": "apiextensions",
}


def internal_name(resource: catalogue.Resource, kind: str) -> str:
    """Return the Go type of a kind as the real server prints it in messages: `*core.PodList`."""
    if resource.custom:
        list_type = "UnstructuredList" if kind.endswith("List") else "Unstructured"
        return f"*unstructured.{list_type}"
    package = _PACKAGES.get(resource.group) or resource.group.partition(".")[0]
    return f"*{package}.{kind}"
