"""Who owns which fields: read from `managedFields`, without any schema.

`fieldsV1` is a tree: `f:name` a field, `k:{"name":"web"}` the item of a list with these keys,
`v:"x"` a member of a set, `.` the thing itself; an empty mapping is a whole value. The tree tells
which lists have keys, so that an object can be compared with what was applied to it before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import orjson

from understudy.delivery import marks
from understudy.kube import objects

INHERITED_MANAGERS = {
    "kubectl-client-side-apply", "kubectl", "kubectl-create", "kubectl-replace",
    "before-first-apply", "helm", "helm-controller", "kustomize-controller", "argocd-controller",
    "kapp", "kapp-server-side-apply", "kubevela", "vela-core",
}  # fmt: skip
"""Managers whose fields are taken over with an adopted object, so that removals really remove: by
kubectl, by Helm, and by other tools whose objects are taken over."""

ABSENT = object()


def content(obj: objects.Object) -> objects.Object:
    """Return an object without what every write changes."""
    meta = {
        key: value
        for key, value in objects.metadata(obj).items()
        if key not in ("managedFields", "resourceVersion", "generation")
    }
    return {**{key: value for key, value in obj.items() if key != "status"}, "metadata": meta}


def entry_of(live: objects.Object, manager: str) -> objects.Object | None:
    """Return the fieldsV1 tree that a manager applied to the object itself, or None."""
    for entry in objects.metadata(live).get("managedFields") or ():
        if (
            entry.get("manager") == manager
            and entry.get("operation") == "Apply"
            and not entry.get("subresource")
        ):
            tree = entry.get("fieldsV1")
            return tree if isinstance(tree, dict) else {}
    return None


def is_settled(wanted: objects.Object, live: objects.Object, manager: str) -> bool:
    """Whether applying `wanted` as `manager` would change nothing, as far as can be told.

    True only if the manager applied these very fields before, in this version, and every value is
    still there. False when in doubt (a quantity written differently, a list without keys in
    another order): then the server decides.
    """
    tree = None
    for entry in objects.metadata(live).get("managedFields") or ():
        if (
            entry.get("manager") == manager
            and entry.get("operation") == "Apply"
            and not entry.get("subresource")
            and entry.get("apiVersion") == wanted.get("apiVersion")
        ):
            tree = entry.get("fieldsV1") or {}
    if tree is None:
        return False
    config = {key: value for key, value in wanted.items() if key not in ("apiVersion", "kind")}
    meta = {
        key: value
        for key, value in objects.metadata(wanted).items()
        if key not in ("name", "namespace", "uid", "resourceVersion")
    }
    config["metadata"] = meta
    if not meta:
        del config["metadata"]
    return _matches(tree, config, live)


def _matches(tree: objects.Object, config: objects.Json, live: objects.Json) -> bool:
    """Whether a tree names exactly the parts of `config`, and `live` has their values."""
    children = {key: value for key, value in tree.items() if key != "."}
    if not children:
        return bool(config == live)
    if isinstance(config, dict):
        return _matches_fields(children, config, live)
    if isinstance(config, list):
        return _matches_items(children, config, live)
    return False


def _matches_fields(children: objects.Object, config: objects.Object, live: objects.Json) -> bool:
    if not isinstance(live, dict) or len(children) != len(config):
        return False
    for key, below in children.items():
        name = key[2:]
        if not key.startswith("f:") or name not in config or name not in live:
            return False
        if not _matches(below, config[name], live[name]):
            return False
    return True


def _matches_items(children: objects.Object, config: objects.Json, live: objects.Json) -> bool:
    if not isinstance(live, list) or len(children) != len(config):
        return False
    for key, below in children.items():
        if key.startswith("v:"):
            value = orjson.loads(key[2:])
            if value not in config or value not in live:
                return False
        elif key.startswith("k:"):
            keys = orjson.loads(key[2:])
            mine, theirs = _item(config, keys), _item(live, keys)
            if mine is None or theirs is None or not _matches(below, mine, theirs):
                return False
        else:
            return False
    return True


def child(value: objects.Json, key: str) -> objects.Json:
    """Return what a key of a tree stands for in a value; ABSENT where that is not there."""
    if key.startswith("f:"):
        return value.get(key[2:], ABSENT) if isinstance(value, dict) else ABSENT
    if not isinstance(value, list):
        return ABSENT
    if key.startswith("k:"):
        found = _item(value, orjson.loads(key[2:]))
        return found if found is not None else ABSENT
    wanted = orjson.loads(key[2:])
    return wanted if wanted in value else ABSENT


def _item(items: Iterable[objects.Json], keys: objects.Object) -> objects.Object | None:
    """Return the item with these keys; an absent key counts as its default in the wanted item."""
    found = None
    for item in items:
        if isinstance(item, dict) and all(
            item.get(key, value) == value for key, value in keys.items()
        ):
            if found is not None:
                return None
            found = item
    return found


def migrated(
    live: objects.Object, manager: str, kept: Callable[[objects.Object], objects.Object]
) -> list[objects.Object] | None:
    """Return managedFields in which other deliverers' fields are `manager`'s, applied.

    So are those of other applications of this tool, from which the object is taken over; `kept`
    takes out of a tree what is not to be taken. None where there is nothing to take over. Source:
    client-go `util/csaupgrade`, whose rule this is: the union goes to the applying manager, the
    old entries go.
    """
    entries = objects.metadata(live).get("managedFields") or []
    old = [entry for entry in entries if _is_inherited(entry, manager)]
    if not old:
        return None
    mine = next(
        (e for e in entries if e.get("manager") == manager and e.get("operation") == "Apply"), None
    )
    tree: objects.Object = {}
    for entry in old:
        tree = union(tree, kept(entry.get("fieldsV1") or {}))
    if mine is not None:
        tree = union(mine.get("fieldsV1") or {}, tree)
    others = [entry for entry in entries if entry not in old and entry is not mine]
    newest = mine or old[-1]
    taken = {**newest, "manager": manager, "operation": "Apply", "fieldsV1": tree}
    return [*others, taken]


def _is_inherited(entry: objects.Object, manager: str) -> bool:
    theirs = str(entry.get("manager"))
    if entry.get("subresource") or theirs == manager:
        return False
    return theirs in INHERITED_MANAGERS or theirs.startswith(marks.MANAGER_PREFIX)


def union(left: objects.Object, right: objects.Object) -> objects.Object:
    """Return the tree of all fields of two."""
    out = dict(left)
    for key, value in right.items():
        known = out.get(key)
        both = isinstance(known, dict) and isinstance(value, dict)
        out[key] = union(known, value) if both and known is not None else value
    return out


def managers_of(live: objects.Object) -> list[str]:
    """Return the managers that wrote an object, for messages about whose it is."""
    entries = objects.metadata(live).get("managedFields") or ()
    return list(dict.fromkeys(str(e.get("manager")) for e in entries if not e.get("subresource")))
