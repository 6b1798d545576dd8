"""Looking into values: fields of objects, items of lists and maps."""

from __future__ import annotations

from collections.abc import Callable

from understudy.kube import objects
from understudy.kube.cel import errors, strings, types, values

Closure = Callable[[dict[str, objects.Json]], objects.Json]

ABSENT = object()
"""What a reader returns where there is nothing."""


def reader(
    name: str, coerce: values.Coercion | None, *, null_is_absent: bool
) -> Callable[[objects.Json], objects.Json]:
    """Return a function from a value to its field, `ABSENT` where it has none."""

    def read(value: objects.Json) -> objects.Json:
        try:
            found = value.get(name, ABSENT)
        except AttributeError:
            raise errors.EvaluationError("no such overload") from None
        if found is None and null_is_absent:
            return ABSENT
        if coerce is not None and found is not ABSENT:
            return coerce(found)
        return found

    return read


def plain_field(
    operand: Closure, target: types.Type, name: str, step: Callable[[objects.Json], objects.Json]
) -> Closure:
    """Return a closure that reads a field of an object's type, or raises "no such key"."""
    known = types.field_of(target, name)
    simple = known is not None and values.coercion(known.type) is None
    if known is None or not simple or target.name == types.VARIABLES:

        def read(frame: dict[str, objects.Json]) -> objects.Json:
            found = step(operand(frame))
            if found is ABSENT:
                raise errors.EvaluationError(f"no such key: {name}")
            return found

        return read
    json_name = known.name

    def read_plain(frame: dict[str, objects.Json]) -> objects.Json:
        try:
            found = operand(frame)[json_name]
        except (KeyError, TypeError):
            found = None
        if found is None:
            raise errors.EvaluationError(f"no such key: {name}")
        return found

    return read_plain


def at(container: objects.Json, key: objects.Json) -> objects.Json:
    """Return the item of a list or map at a key, or `ABSENT`."""
    if isinstance(container, list):
        if isinstance(key, float) and key.is_integer():
            key = int(key)
        if not isinstance(key, int) or isinstance(key, bool):
            raise errors.EvaluationError(
                f"unsupported index type '{values.type_name(key)}' in list"
            )
        return container[key] if 0 <= key < len(container) else ABSENT
    if isinstance(container, dict):
        if isinstance(key, (dict, list)):
            raise errors.EvaluationError("no such overload")
        return container.get(key, ABSENT)
    raise errors.EvaluationError("no such overload")


def missing(container: objects.Json, key: objects.Json) -> errors.EvaluationError:
    """Return the error for an item that is not there."""
    if isinstance(container, list):
        return errors.EvaluationError(f"index out of bounds: {key}")
    return errors.EvaluationError(f"no such key: {strings.text_of(key)}")
