"""Whether an applied configuration fits its schema; what does not is refused, never warned about.

Source: sigs.k8s.io/structured-merge-diff `typed/validate.go`; the texts are its own, down to the
way Go prints the values.
"""

from __future__ import annotations

from understudy.kube import goformats, objects
from understudy.kube.apply import fieldsets, shapes


def complaint(shape: shapes.Shape, config: objects.Object) -> str:
    """Return what is wrong with a configuration in Kubernetes' words; empty when nothing is.

    Example: `.data.a: expected string, got &value.valueUnstructured{Value:1}`.
    """
    found = _check(shape, config)
    texts = [f"{path}: {text}" if path else text for path, text in found]
    if len(texts) < 2:
        return "".join(texts)
    return "\n".join(["errors:", *(f"  {text}" for text in texts)])


Errors = list[tuple[str, str]]


def _check(shape: shapes.Shape, value: objects.Json) -> Errors:
    if isinstance(value, dict) and shape.has_map:
        return _check_map(shape, value)
    if isinstance(value, list) and shape.has_list:
        return _check_list(shape, value)
    if value is None:
        return []
    if shape.mixed or (shape.scalar and not isinstance(value, (dict, list))):
        return _check_scalar(shape.scalar, value)
    if shape.has_map:
        return [("", f"expected map, got &{{{goformats.plain(value)}}}")]
    if shape.scalar:
        return _check_scalar(shape.scalar, value)
    return [("", f"expected list, got &{{{goformats.plain(value)}}}")]


def _check_scalar(scalar: str, value: objects.Json) -> Errors:
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
    return []


def _check_map(shape: shapes.Shape, value: objects.Object) -> Errors:
    errors: Errors = []
    for name, item in value.items():
        step = f".{name}"
        child = shape.child(name)
        if child is None:
            # Kubernetes looks no further in a mapping once it met an unknown field.
            return [*errors, (step, "field not declared in schema")]
        errors += [(step + path, text) for path, text in _check(child, item)]
    return errors


def _check_list(shape: shapes.Shape, items: list[objects.Json]) -> Errors:
    errors: Errors = []
    seen: set[str] = set()
    for index, item in enumerate(items):
        step = f"[{index}]"
        if not shape.list_atomic:
            try:
                key = shape.key(item)
            except shapes.ItemError as error:
                return [*errors, ("", f"element {index}: {error}")]
            step = fieldsets.shown((key,))
            if key in seen:
                errors.append(("", f"duplicate entries for key {step}"))
            seen.add(key)
        errors += [(step + path, text) for path, text in _check(shape.items, item)]
    return errors
