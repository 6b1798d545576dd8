"""Objects inside objects (x-kubernetes-embedded-resource): their apiVersion, kind and metadata.

Source: k8s.io/apiextensions-apiserver 0.36 `schema/objectmeta`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from understudy.kapi.resources.crds import nodes, paths
from understudy.kube import causes, names, objects, statuses

_GROUP_VERSION = re.compile(r"[^/]*(/[^/]*)?")


def problems(
    node: nodes.Node, value: objects.Json, path: str = "", *, root: bool = False
) -> list[statuses.Cause]:
    """Return what is wrong with every embedded resource in a value; `root`: it is one itself."""
    own = list(_resource(value, path)) if root and not node.embedded else []
    return [*own, *_check(node, value, path)]


def _check(node: nodes.Node, value: objects.Json, path: str) -> Iterator[statuses.Cause]:
    if isinstance(value, dict):
        if node.embedded:
            yield from _resource(value, path)
        for name, item in value.items():
            if not isinstance(item, (dict, list)):
                continue
            sub = node.properties.get(name)
            if sub is not None:
                yield from _check(sub, item, paths.child(path, name))
            elif node.additional is not None:
                yield from _check(node.additional, item, paths.key(path, name))
    elif isinstance(value, list) and node.items is not None:
        for position, item in enumerate(value):
            if isinstance(item, (dict, list)):
                yield from _check(node.items, item, paths.index(path, position))


def _resource(value: objects.Object, path: str) -> Iterator[statuses.Cause]:
    for field in ("apiVersion", "kind"):
        if field not in value:
            yield causes.required(paths.child(path, field))
    if "apiVersion" in value:
        yield from _api_version(value["apiVersion"], paths.child(path, "apiVersion"))
    if "kind" in value:
        yield from _kind(value["kind"], paths.child(path, "kind"))
    if "metadata" in value:
        yield from _metadata(value["metadata"], paths.child(path, "metadata"))


def _api_version(said: objects.Json, path: str) -> Iterator[statuses.Cause]:
    if not isinstance(said, str):
        yield causes.invalid(path, said, "must be a string")
    elif not said:
        yield causes.invalid(path, said, "must not be empty")
    elif not _GROUP_VERSION.fullmatch(said):
        yield causes.invalid(path, said, f"unexpected GroupVersion string: {said}")


def _kind(said: objects.Json, path: str) -> Iterator[statuses.Cause]:
    if not isinstance(said, str):
        yield causes.invalid(path, said, "must be a string")
    elif not said:
        yield causes.invalid(path, said, "must not be empty")
    elif complaints := names.dns1035_label(said.lower()):
        text = "may have mixed case, but should otherwise match: " + ",".join(complaints)
        yield causes.invalid(path, said, text)


def _metadata(meta: objects.Json, path: str) -> Iterator[statuses.Cause]:
    if not isinstance(meta, dict):
        return
    checked = {"metadata": {"name": "fakename"} | {k: v for k, v in meta.items() if v}}
    namespaced = bool(meta.get("namespace"))
    for cause in names.validate_metadata(
        checked, namespaced=namespaced, name_check=names.path_segment
    ):
        where = path + cause.field.removeprefix("metadata")
        yield statuses.Cause(where, cause.reason, cause.message)
