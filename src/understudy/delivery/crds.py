"""The kinds of this project's records, installed by the first delivery and shown in its plan.

An ApplicationRevision's spec cannot be changed after creation: a rule of the definition itself, so
that no client, ours included, can rewrite history.
"""

from __future__ import annotations

from understudy.delivery import marks
from understudy.kube import objects

APPLICATIONS = f"applications.{marks.VERSION}.{marks.GROUP}"
REVISIONS = f"applicationrevisions.{marks.VERSION}.{marks.GROUP}"
TRACKERS = f"resourcetrackers.{marks.VERSION}.{marks.GROUP}"

_TEXT: objects.Object = {"type": "string"}
_NUMBER: objects.Object = {"type": "integer", "format": "int64"}
_ANYTHING: objects.Object = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def definitions() -> list[objects.Object]:
    """Return the three CustomResourceDefinitions."""
    return [_applications(), _revisions(), _trackers()]


def defined_by(obj: objects.Object) -> set[tuple[str, str]]:
    """Return group and kind that a definition defines; nothing for any other object."""
    if obj.get("kind") != "CustomResourceDefinition":
        return set()
    group = objects.lookup(obj, ("spec", "group"), "")
    return {(str(group), str(objects.lookup(obj, ("spec", "names", "kind"), "")))}


def _applications() -> objects.Object:
    spec = _mapping(
        {
            "historyLimit": {"type": "integer", "minimum": 1, "maximum": 1000},
            "revision": _TEXT,
            "components": {
                "type": "array",
                "items": _mapping(
                    {"name": _TEXT, "type": _TEXT, "properties": _ANYTHING}, required=("name",)
                ),
            },
        }
    )
    status = _mapping(
        {
            "phase": _TEXT,
            "message": _TEXT,
            "revision": _TEXT,
            "deliveredAt": {"type": "string", "format": "date-time"},
            "observedGeneration": _NUMBER,
            "objects": _NUMBER,
        }
    )
    columns = [
        _column("Revision", ".status.revision"),
        _column("Phase", ".status.phase"),
        _column("Objects", ".status.objects", "integer"),
        _column("Age", ".metadata.creationTimestamp", "date"),
    ]
    return _definition(
        "Application", "applications", "Namespaced", spec, status, columns, short=("uapp",)
    )


def _revisions() -> objects.Object:
    spec = _mapping(
        {
            "application": _TEXT,
            "number": {**_NUMBER, "minimum": 1},
            "digest": _TEXT,
            "objects": _NUMBER,
            "compression": {"type": "string", "enum": ["gzip"]},
            "data": {**_TEXT, "maxLength": 1_400_000},
            "values": _TEXT,
            "rollbackOf": _TEXT,
        },
        required=("application", "number", "digest", "compression", "data"),
    )
    waited = _mapping(
        {
            "group": _TEXT, "kind": _TEXT, "namespace": _TEXT, "name": _TEXT,
            "seconds": {"type": "number"},
        },
        required=("kind", "name", "seconds"),
    )  # fmt: skip
    spec["x-kubernetes-validations"] = [
        {"rule": "self == oldSelf", "message": "a revision cannot be changed: deliver a new one"}
    ]
    status = _mapping(
        {
            "phase": _TEXT,
            "message": _TEXT,
            "finishedAt": {"type": "string", "format": "date-time"},
            "waits": {"type": "array", "items": waited},
        }
    )
    columns = [
        _column("Application", ".spec.application"),
        _column("Number", ".spec.number", "integer"),
        _column("Phase", ".status.phase"),
        _column("Objects", ".spec.objects", "integer"),
        _column("Age", ".metadata.creationTimestamp", "date"),
    ]
    return _definition(
        "ApplicationRevision", "applicationrevisions", "Namespaced", spec, status, columns,
        short=("apprev",),
    )  # fmt: skip


def _trackers() -> objects.Object:
    entry = _mapping(
        {
            "cluster": _TEXT, "group": _TEXT, "kind": _TEXT, "namespace": _TEXT, "name": _TEXT,
            "version": _TEXT, "uid": _TEXT, "state": _TEXT, "revision": _TEXT, "reason": _TEXT,
        },
        required=("kind", "name"),
    )  # fmt: skip
    spec = _mapping(
        {
            "application": _mapping({"name": _TEXT, "namespace": _TEXT}, ("name", "namespace")),
            "phase": _TEXT,
            "revision": _TEXT,
            "fence": _NUMBER,
            "count": _NUMBER,
            "resources": {"type": "array", "items": entry},
            "compressed": _TEXT,
        },
        required=("application",),
    )
    columns = [
        _column("Application", ".spec.application.name"),
        _column("Namespace", ".spec.application.namespace"),
        _column("Revision", ".spec.revision"),
        _column("Phase", ".spec.phase"),
        _column("Objects", ".spec.count", "integer"),
        _column("Age", ".metadata.creationTimestamp", "date"),
    ]
    made = _definition(
        "ResourceTracker", "resourcetrackers", "Cluster", spec, None, columns, short=("rtrack",)
    )
    made["metadata"]["labels"] = {marks.APPLYSET_PARENT_TYPE: "true"}
    return made


def _mapping(
    properties: dict[str, objects.Object], required: tuple[str, ...] = ()
) -> objects.Object:
    schema: objects.Object = {"type": "object", "properties": properties}
    if required:
        schema["required"] = list(required)
    return schema


def _column(name: str, path: str, kind: str = "string") -> objects.Object:
    return {"name": name, "type": kind, "jsonPath": path}


def _definition(
    kind: str,
    plural: str,
    scope: str,
    spec: objects.Object,
    status: objects.Object | None,
    columns: list[objects.Object],
    *,
    short: tuple[str, ...],
) -> objects.Object:
    properties = {"apiVersion": _TEXT, "kind": _TEXT, "metadata": {"type": "object"}, "spec": spec}
    version: objects.Object = {
        "name": marks.VERSION,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": columns,
    }
    if status is not None:
        properties["status"] = status
        version["subresources"] = {"status": {}}
    version["schema"] = {"openAPIV3Schema": _mapping(properties)}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{marks.GROUP}"},
        "spec": {
            "group": marks.GROUP,
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": list(short),
                "categories": ["understudy"],
            },
            "scope": scope,
            "versions": [version],
        },
    }
