"""Whether an applied configuration fits its schema; what does not is refused, never warned about.

Source: sigs.k8s.io/structured-merge-diff `typed/validate.go`; the texts are its own, down to the
way Go prints the values.
"""

from __future__ import annotations

from typing import TypeAlias

from understudy.kube import goformats, objects
from understudy.kube.apply import fieldsets, shapes

Errors: TypeAlias = list[tuple[str, str]]

_TEXTS = frozenset({"string", "untyped"})


def complaint(shape: shapes.Shape, config: objects.Object) -> str:
    """Return what is wrong with a configuration in Kubernetes' words; empty when nothing is.

    Example: `.data.a: expected string, got &value.valueUnstructured{Value:1}`.
    """
    found = _check(shape, config) or []
    texts = [f"{path}: {text}" if path else text for path, text in found]
    if len(texts) < 2:
        return "".join(texts)
    return "\n".join(["errors:", *(f"  {text}" for text in texts)])


def _check(shape: shapes.Shape, value: objects.Json) -> Errors | None:
    """Return what is wrong with a value; None (or nothing) for what is right, as most are."""
    kind = type(value)
    if kind is dict and shape.has_map:
        return _check_map(shape, value)
    if kind is list and shape.has_list:
        return _check_list(shape, value)
    if value is None:
        return None
    if shape.scalar and (shape.mixed or not shape.has_map):
        return _check_scalar(shape.scalar, value)
    expected = "map" if shape.has_map else "list"
    return [("", f"expected {expected}, got &{{{goformats.plain(value)}}}")]


def _check_scalar(scalar: str, value: objects.Json) -> Errors | None:
    if scalar == "numeric":
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            name = goformats.type_name(value)
            return [("", f"expected numeric (int or float), got {name}")]
    elif scalar == "string":
        if not isinstance(value, str):
            shown = f"&value.valueUnstructured{{Value:{goformats.sharp(value)}}}"
            return [("", f"expected string, got {shown}")]
    elif scalar == "boolean":
        if not isinstance(value, bool):
            return [("", f"expected boolean, got &{{{goformats.plain(value)}}}")]
    elif isinstance(value, (dict, list)):
        return [("", f"expected any scalar, got &{{{goformats.plain(value)}}}")]
    return None


def _check_map(shape: shapes.Shape, value: objects.Object) -> Errors:
    errors: Errors = []
    fields, values = shape.fields, shape.values
    for name, item in value.items():
        child = fields.get(name) or values
        if child is None:
            # Kubernetes looks no further in a mapping once it met an unknown field.
            return [*errors, (f".{name}", "field not declared in schema")]
        if type(item) is str and child.scalar in _TEXTS:
            continue
        if found := _check(child, item):
            errors += [(f".{name}{path}", text) for path, text in found]
    return errors


def _check_list(shape: shapes.Shape, items: list[objects.Json]) -> Errors:
    errors: Errors = []
    seen: set[str] = set()
    for index, item in enumerate(items):
        key = ""
        if not shape.list_atomic:
            try:
                key = shape.key(item)
            except shapes.ItemError as error:
                return [*errors, ("", f"element {index}: {error}")]
            if key in seen:
                errors.append(("", f"duplicate entries for key {fieldsets.shown((key,))}"))
            seen.add(key)
        if found := _check(shape.items, item):
            step = fieldsets.shown((key,)) if key else f"[{index}]"
            errors += [(step + path, text) for path, text in found]
    return errors
