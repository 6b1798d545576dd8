"""JSON merge patch (RFC 7386): mappings merge, null deletes, everything else replaces.

>>> apply({"a": 1, "b": {"c": 2, "d": 3}}, {"a": None, "b": {"c": 4, "e": {"f": None}}})
{'b': {'c': 4, 'd': 3, 'e': {}}}
"""

from __future__ import annotations

from understudy.kube import objects, statuses

_GO_NAMES = {str: "string", list: "array", bool: "bool"}


def apply(obj: objects.Object, patch: objects.Json) -> objects.Object:
    """Return the object merged with a patch.

    Raises:
        BadRequestError: The patch is no mapping.
    """
    if patch is None:
        raise statuses.BadRequestError("Invalid JSON Patch")
    if not isinstance(patch, dict):
        found = _GO_NAMES.get(type(patch), "number")
        raise statuses.BadRequestError(
            f"error decoding patch: json: cannot unmarshal {found} into Go value of type "
            "map[string]interface {}"
        )
    return _merged(obj, patch)


def _merged(obj: objects.Object, patch: objects.Object) -> objects.Object:
    out = dict(obj)
    for key, value in patch.items():
        if value is None:
            out.pop(key, None)
            continue
        present = out.get(key)
        if not isinstance(present, dict):
            out[key] = without_nulls(value)
        elif isinstance(value, dict):
            out[key] = _merged(present, value)
        else:
            out[key] = value
    return out


def without_nulls(value: objects.Json) -> objects.Json:
    """Return a value without its mappings' null entries; nulls in lists are items and stay."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value
