"""Scopes: objects that list the workloads they are about (OAM's HealthScope and its like).

A `ScopeDefinition` (core.oam.dev), named `<plural>.<group>` after the scope's kind, says in
`spec.workloadRefsPath` where a scope keeps its list of `{apiVersion, kind, name}`. KubeVela's
dispatcher left both functions empty; the rules here are those of its older
`applicationconfiguration/apply.go`, but for two: # Differs: a write that meets a newer version of
the scope is made again, and the order of the remaining entries is kept when one is removed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from understudy.client import protocol
from understudy.delivery import errors
from understudy.kube import objects, statuses

DEFINITIONS = "scopedefinitions.core.oam.dev"
ATTEMPTS_MAX = 5
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")

Entries = list[objects.Json]


async def reference_scopes(
    client: protocol.Client, workload: objects.Object, scopes: Sequence[objects.Object]
) -> None:
    """Make each scope list a workload; nothing is written where it does already.

    Raises:
        ScopeError: A scope has no definition, or not the list that its definition names.
    """
    entry = _entry(workload)
    for scope in scopes:
        path = await _path(client, scope)
        if path is None:
            raise errors.ScopeError(f"cannot find scope definition of {_told(scope)}")
        if path:
            await _change(client, scope, path, lambda known: _with(known, entry))


async def dereference_scopes(
    client: protocol.Client, workload: objects.Object, scopes: Sequence[objects.Object]
) -> None:
    """Make each scope forget a workload; a scope or definition that is gone is no obstacle.

    Raises:
        ScopeError: A definition names no list.
    """
    entry = _entry(workload)
    for scope in scopes:
        path = await _path(client, scope)
        if path is None:
            continue
        if not path:
            raise errors.ScopeError(
                f"cannot get workloadRefsPath for scope to be dereferenced: {_told(scope)}"
            )
        try:
            await _change(client, scope, path, lambda known: _without(known, entry))
        except statuses.NotFoundError:
            continue


def _entry(workload: objects.Object) -> objects.Object:
    return {
        "apiVersion": workload.get("apiVersion"),
        "kind": workload.get("kind"),
        "name": objects.name_of(workload),
    }


def _same(item: objects.Json, entry: objects.Object) -> bool:
    return isinstance(item, dict) and all(item.get(key) == value for key, value in entry.items())


def _with(known: Entries, entry: objects.Object) -> Entries | None:
    return None if any(_same(item, entry) for item in known) else [*known, entry]


def _without(known: Entries, entry: objects.Object) -> Entries | None:
    for position, item in enumerate(known):
        if _same(item, entry):
            return [*known[:position], *known[position + 1 :]]
    return None


async def _path(client: protocol.Client, scope: objects.Object) -> str | None:
    """Return where a scope keeps its list, empty where nowhere, None without a definition."""
    resource = await _resource(client, scope)
    try:
        definition = await client.get(DEFINITIONS, f"{resource.plural}.{resource.group}")
    except statuses.NotFoundError:
        return None
    return str(objects.lookup(definition, ("spec", "workloadRefsPath"), "") or "")


async def _resource(client: protocol.Client, scope: objects.Object) -> protocol.ApiResource:
    api_version, kind = str(scope.get("apiVersion")), str(scope.get("kind"))
    found = (await client.discover()).by_kind(api_version, kind)
    if found is None:
        found = (await client.discover(refresh=True)).by_kind(api_version, kind)
    if found is None:
        raise errors.ScopeError(f"no kind {kind!r} in apiVersion {api_version!r} on this cluster")
    return found


async def _change(
    client: protocol.Client,
    scope: objects.Object,
    path: str,
    change: Callable[[Entries], Entries | None],
) -> None:
    """Write a scope with another list; `change` returns None where it is right already."""
    resource = await _resource(client, scope)
    for attempt in range(ATTEMPTS_MAX):
        live = await client.get(
            resource.name, objects.name_of(scope), namespace=objects.namespace_of(scope)
        )
        holder, key = _holder(live, path, scope)
        changed = change(_entries(holder, key, path, scope))
        if changed is None:
            return
        _put(holder, key, changed)
        try:
            await client.update(resource.name, live)
        except statuses.ConflictError:
            if attempt == ATTEMPTS_MAX - 1:
                raise
        else:
            return


def _holder(
    live: objects.Object, path: str, scope: objects.Object
) -> tuple[objects.Json, str | int]:
    """Return the mapping or list that holds the value at a path, and its key there."""
    steps: list[str | int] = [name or int(position) for name, position in _STEP.findall(path)]
    holder = objects.lookup(live, steps[:-1])
    if not steps or not isinstance(holder, (dict, list)):
        raise _missing(path, scope)
    return holder, steps[-1]


def _entries(holder: objects.Json, key: str | int, path: str, scope: objects.Object) -> Entries:
    value = objects.lookup(holder, (key,))
    if not isinstance(value, list):
        raise _missing(path, scope)
    return value


def _put(holder: objects.Json, key: str | int, value: Entries) -> None:
    holder[key] = value


def _missing(path: str, scope: objects.Object) -> errors.ScopeError:
    return errors.ScopeError(
        f"cannot find scope workloadRef of {_told(scope)} with workloadRefsPath {path!r}: it is "
        "no list there"
    )


def _told(scope: objects.Object) -> str:
    place = f"{objects.namespace_of(scope)}/{objects.name_of(scope)}".lstrip("/")
    return f"{scope.get('kind')} {place}"
