"""metadata of custom resources: read as Kubernetes' own ObjectMeta, wherever it stands."""

from __future__ import annotations

import functools

from understudy.kapi.resources import definitions
from understudy.kapi.resources.crds import nodes, paths
from understudy.kube import causes, conversions, decoding, objects, schemas, statuses

_UNKNOWN = 'unknown field "'


@functools.cache
def object_meta() -> schemas.Schema:
    """Return the schema of ObjectMeta."""
    return definitions.shared().schema(definitions.META + "ObjectMeta")


def coerce(node: nodes.Node, obj: objects.Object, *, root: bool = True) -> list[str]:
    """Bring the metadata of a resource and of those embedded in it into form, in place.

    Returns the paths of unknown fields, e.g. `metadata.odd`.

    Raises:
        ConversionError: A value of a wrong type, with Go's text.
    """
    unknown: list[str] = []
    if root:
        # Of the resource itself Kubernetes says it without naming the field.
        _type_meta(obj, "")
        _object_meta(obj, "", unknown)
    _coerce(node, obj, "", unknown, root=False)
    return unknown


def problem(
    node: nodes.Node, value: objects.Json, path: str = "", *, root: bool
) -> statuses.Cause | None:
    """Return what is of a wrong type in the metadata in a value, if anything.

    The value is brought into form, in place.
    """
    try:
        _coerce(node, value, path, [], root=root)
    except _WrongTypeError as error:
        return error.cause
    return None


class _WrongTypeError(conversions.ConversionError):
    """A value of a wrong type below the resource's own metadata, or in it."""

    def __init__(self, path: str, value: objects.Json, why: str) -> None:
        self.cause = causes.invalid(path, value, why)
        super().__init__(str(self.cause))


def _coerce(
    node: nodes.Node, value: objects.Json, path: str, unknown: list[str], *, root: bool
) -> None:
    if isinstance(value, dict):
        if root or node.embedded:
            _resource(value, path, unknown)
        if not node.embedded_below:
            return
        for name, item in value.items():
            if not isinstance(item, (dict, list)):
                continue
            sub = node.properties.get(name)
            if sub is not None:
                _coerce(sub, item, paths.child(path, name), unknown, root=False)
            elif node.additional is not None:
                _coerce(node.additional, item, paths.key(path, name), unknown, root=False)
    elif isinstance(value, list) and node.items is not None:
        for position, item in enumerate(value):
            if isinstance(item, (dict, list)):
                _coerce(node.items, item, paths.index(path, position), unknown, root=False)


def _resource(value: objects.Object, path: str, unknown: list[str]) -> None:
    _type_meta(value, path)
    shown = objects.copy(value.get("metadata"))
    try:
        _object_meta(value, path, unknown)
    except conversions.ConversionError as error:
        raise _WrongTypeError(paths.child(path, "metadata"), shown, str(error)) from None


def _type_meta(value: objects.Object, path: str) -> None:
    for field in ("apiVersion", "kind"):
        if field in value and not isinstance(value[field], str):
            raise _WrongTypeError(paths.child(path, field), value[field], "must be a string")


def _object_meta(value: objects.Object, path: str, unknown: list[str]) -> None:
    if "metadata" not in value:
        return
    meta = value["metadata"]
    if meta is None:
        value["metadata"] = {}
        return
    if not isinstance(meta, dict):
        raise conversions.ConversionError(
            f"json: cannot unmarshal {conversions.called(meta)} into Go value of type v1.ObjectMeta"
        )
    prefix = paths.child(path, "metadata")
    unknown += (
        f"{prefix}.{complaint.removeprefix(_UNKNOWN).removesuffix(chr(34))}"
        for complaint in decoding.convert(meta, object_meta())
    )
