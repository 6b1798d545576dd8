"""Whether the defaults in a schema are valid values of it, and know no unknown fields.

Source: k8s.io/apiextensions-apiserver 0.36 `schema/defaulting/validation.go`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from understudy.kapi.resources.crds import (
    embedded,
    metadata,
    nodes,
    paths,
    rules,
    validating,
    values,
)
from understudy.kube import causes, objects, statuses

Surround = Callable[[objects.Json], objects.Object]
"""Builds the smallest resource in which a value stands at a certain place."""


def problems(schema: objects.Object, path: str) -> list[statuses.Cause]:
    """Return every reason why a default of a structural schema is not valid."""
    root = nodes.parse(schema)
    if not root.depth_defaults:
        return []
    return list(_check(root, path, _Place(root, _resource, root=True)))


def _resource(value: objects.Json) -> objects.Object:
    return {"kind": "Validation", "apiVersion": "validation/v1", **value}


class _Place(NamedTuple):
    """Where a default stands: in which resource, and whether within its apiVersion ... metadata."""

    resource: nodes.Node
    surround: Surround
    root: bool = False
    in_meta: bool = False

    def below(self, step: str | None, *, in_meta: bool = False) -> _Place:
        """Return the place of a field, or (None) of the items of a list."""
        outer = self.surround
        if step is None:
            return self._replace(surround=lambda value: outer([value]))
        return self._replace(
            surround=lambda value: outer({step: value}), in_meta=self.in_meta or in_meta
        )


def _check(node: nodes.Node, path: str, place: _Place) -> Iterator[statuses.Cause]:
    if node.embedded:
        place = _Place(node, _resource)
    is_resource = node is place.resource
    if node.default is not None:
        where = paths.child(path, "default")
        if place.in_meta:
            yield from _in_meta(node, where, place)
        else:
            yield from _unknown(node, where)
            yield from _value(node, where)
    if node.items is not None:
        yield from _check(node.items, paths.child(path, "items"), place.below(None))
    for name, sub in node.properties.items():
        below = paths.key(paths.child(path, "properties"), name)
        meta = is_resource and name in nodes.META_FIELDS
        yield from _check(sub, below, place.below(name, in_meta=meta))


def _in_meta(node: nodes.Node, path: str, place: _Place) -> Iterator[statuses.Cause]:
    """Check a default within metadata: the resource around it must be one."""
    whole = place.surround(objects.copy(node.default))
    wrong = metadata.problem(place.resource, whole, root=True)
    errors = [wrong] if wrong else embedded.problems(place.resource, whole, root=True)
    if errors:
        texts = ", ".join(map(str, errors))
        found = texts if len(errors) == 1 else f"[{texts}]"
        yield causes.invalid(path, node.default, f"must result in valid metadata: {found}")
        return
    yield from validating.causes_of(node, node.default, path) or _rules(node, path)


def _unknown(node: nodes.Node, path: str) -> Iterator[statuses.Cause]:
    pruned = objects.copy(node.default)
    values.prune(node, pruned, [], root=node.embedded)
    if pruned != node.default:
        yield causes.invalid(path, node.default, "must not have unknown fields")


def _value(node: nodes.Node, path: str) -> Iterator[statuses.Cause]:
    wrong = metadata.problem(node, objects.copy(node.default), path, root=node.embedded)
    yield from (
        ([wrong] if wrong else [])
        or embedded.problems(node, node.default, path)
        or validating.causes_of(node, node.default, path)
        or _rules(node, path)
    )


def _rules(node: nodes.Node, path: str) -> list[statuses.Cause]:
    """Run the rules on a default, as if it had been there before and as if it had not."""
    if not node.rules_below:
        return []
    validator = rules.Validator(node, root=False)
    return validator.validate(node.default, node.default, path) or validator.validate(
        node.default, None, path
    )
