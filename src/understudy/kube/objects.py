"""The shape of Kubernetes objects as Python sees them: JSON mappings.

The one module in which `Any` is written. Everything else names these aliases. Objects are treated
as immutable once committed or handed out by a read; a change is made on a private copy.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

Json: TypeAlias = Any
"""Any JSON value: None, bool, int, float, str, list or dict with string keys."""

Object: TypeAlias = dict[str, Any]
"""A JSON mapping, usually a whole Kubernetes object with apiVersion, kind and metadata."""


def copy(value: Json) -> Json:
    """Return a private deep copy of a JSON value; far cheaper than `copy.deepcopy`."""
    # Most values are leaves: asking here saves a call for each.
    if isinstance(value, dict):
        return {
            key: copy(item) if isinstance(item, _NESTED) else item for key, item in value.items()
        }
    if isinstance(value, list):
        return [copy(item) if isinstance(item, _NESTED) else item for item in value]
    return value


_NESTED = (dict, list)


def metadata(obj: Object) -> Object:
    """Return the object's metadata mapping, an empty one when absent or not a mapping."""
    found = obj.get("metadata")
    return found if isinstance(found, dict) else {}


def name_of(obj: Object) -> str:
    """Return metadata.name, or an empty string."""
    return str(metadata(obj).get("name") or "")


def namespace_of(obj: Object) -> str:
    """Return metadata.namespace, or an empty string for cluster-scoped objects."""
    return str(metadata(obj).get("namespace") or "")


def uid_of(obj: Object) -> str:
    """Return metadata.uid, or an empty string."""
    return str(metadata(obj).get("uid") or "")


def labels_of(obj: Object) -> dict[str, str]:
    """Return metadata.labels, an empty mapping when absent."""
    return metadata(obj).get("labels") or {}


def annotations_of(obj: Object) -> dict[str, str]:
    """Return metadata.annotations, an empty mapping when absent."""
    return metadata(obj).get("annotations") or {}


def lookup(value: Json, path: Iterable[str | int], default: Json = None) -> Json:
    """Return the value at a path of keys and indexes, or `default` where any step is missing.

    Example: `lookup(pod, ("spec", "containers", 0, "image"))`.
    """
    for step in path:
        if isinstance(value, dict):
            if step not in value:
                return default
            value = value[step]
        elif isinstance(value, list) and isinstance(step, int) and -len(value) <= step < len(value):
            value = value[step]
        else:
            return default
    return value
