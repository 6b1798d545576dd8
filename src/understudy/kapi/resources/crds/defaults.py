"""Whether the defaults in a schema are valid values of it, and know no unknown fields.

Source: k8s.io/apiextensions-apiserver 0.36 `schema/defaulting/validation.go`.
"""

from __future__ import annotations

from collections.abc import Iterator

from understudy.kapi.resources.crds import embedded, nodes, paths, rules, validating, values
from understudy.kube import causes, objects, statuses


def problems(schema: objects.Object, path: str) -> list[statuses.Cause]:
    """Return every reason why a default of a structural schema is not valid."""
    root = nodes.parse(schema)
    return list(_check(root, path, in_meta=False, root=True)) if root.depth_defaults else []


def _check(node: nodes.Node, path: str, *, in_meta: bool, root: bool) -> Iterator[statuses.Cause]:
    if node.embedded:
        in_meta = False
    if node.default is not None:
        place = paths.child(path, "default")
        if not in_meta:
            yield from _unknown(node, place)
        yield from _value(node, place)
    if node.items is not None:
        below = paths.child(path, "items")
        yield from _check(node.items, below, in_meta=in_meta, root=False)
    for name, sub in node.properties.items():
        meta = in_meta or ((root or node.embedded) and name in nodes.META_FIELDS)
        below = paths.key(paths.child(path, "properties"), name)
        yield from _check(sub, below, in_meta=meta, root=False)


def _unknown(node: nodes.Node, path: str) -> Iterator[statuses.Cause]:
    pruned = objects.copy(node.default)
    values.prune(node, pruned, [], root=node.embedded)
    if pruned != node.default:
        yield causes.invalid(path, node.default, "must not have unknown fields")


def _value(node: nodes.Node, path: str) -> Iterator[statuses.Cause]:
    found = embedded.problems(node, node.default, path) or validating.causes_of(
        node, node.default, path
    )
    if found:
        yield from found
        return
    if not node.rules_below:
        return
    validator = rules.Validator(node, root=False)
    for old in (node.default, None):
        outcome = validator.validate(node.default, old, path)
        yield from outcome
        if outcome:
            return
