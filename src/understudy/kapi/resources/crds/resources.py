"""From a definition to the resources it adds to a view's catalogue."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import orjson

from understudy.kapi.resources import catalogue, strategies
from understudy.kapi.resources.crds import conversion, definitions, nodes, strategy
from understudy.kube import identities, objects

VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
_SCALE = identities.GroupVersionKind("autoscaling", "v1", "Scale")
_CACHED_MAX = 1024


def resources_of(crd: objects.Object) -> list[catalogue.Resource]:
    """Return one resource for each served version of an established definition.

    The same definition gives the same (cached) resources, so that what is derived from them lasts.
    """
    if not definitions.is_true(crd, "Established"):
        return []
    spec = definitions.spec_of(crd)
    accepted = objects.lookup(crd, ("status", "acceptedNames")) or {}
    terminating = bool(objects.metadata(crd).get("deletionTimestamp"))
    changed = int(objects.metadata(crd).get("generation") or 1) > 1
    key = orjson.dumps([spec, accepted, terminating, changed], option=orjson.OPT_SORT_KEYS)
    return list(_resources(key))


@functools.lru_cache(maxsize=_CACHED_MAX)
def _resources(key: bytes) -> tuple[catalogue.Resource, ...]:
    spec, accepted, terminating, changed = orjson.loads(key)
    versions = [version for version in spec["versions"] if version.get("served")]
    stored = next(version for version in spec["versions"] if version.get("storage"))
    group, names = spec["group"], accepted
    storage = identities.GroupResource(group, names["plural"])
    made: dict[str, strategy.CustomStrategy] = {}
    for version in spec["versions"]:
        made[version["name"]] = strategy.CustomStrategy(
            resource=storage,
            kind=names["kind"],
            version=version,
            node=nodes.parse(definitions.schema_of(version) or {}),
            terminating=terminating,
        )
    storage_version = f"{group}/{stored['name']}"
    by_version = {f"{group}/{name}": own for name, own in made.items()}
    by_webhook = _conversion(spec, by_version)
    out: list[catalogue.Resource] = []
    for version in sorted(versions, key=lambda v: _priority(v["name"]), reverse=True):
        own = made[version["name"]]
        api_version = f"{group}/{version['name']}"
        kept = made[stored["name"]]
        same = version["name"] == stored["name"]
        # Nothing else was ever written or meant: what is kept reads as it is.
        stable = same and not changed and len(spec["versions"]) == 1
        out.append(
            catalogue.Resource(
                group=group,
                version=version["name"],
                kind=names["kind"],
                list_kind=names.get("listKind") or "",
                plural=names["plural"],
                singular=names.get("singular") or names["kind"].lower(),
                namespaced=spec["scope"] == "Namespaced",
                verbs=VERBS,
                short_names=tuple(names.get("shortNames") or ()),
                categories=tuple(names.get("categories") or ()),
                subresources=_subresources(group, version, names["kind"]),
                storage=storage,
                storage_version=storage_version,
                schema=nodes.schema_of(own.node, root=True),
                strategy=own,
                to_storage=None if same else _converter(storage_version, kept),
                from_storage=None if stable else _reader(api_version, by_version, kept, own),
                conversion=None if stable else by_webhook,
                custom=True,
                openapi=definitions.schema_of(version),
                deprecation=_deprecation(version, api_version, names["kind"]),
            )
        )
    return tuple(out)


def _conversion(
    spec: objects.Object, versions: Mapping[str, strategy.CustomStrategy]
) -> conversion.Conversion | None:
    """Return the conversion by webhook of a definition that asks for it."""
    said = spec.get("conversion") or {}
    if said.get("strategy") != "Webhook":
        return None
    name = f"{spec['names']['plural']}.{spec['group']}"
    return conversion.Conversion(name, said.get("webhook") or {}, versions)


def _subresources(
    group: str, version: objects.Object, kind: str
) -> dict[str, strategies.Subresource]:
    given = version.get("subresources") or {}
    own = identities.GroupVersionKind(group, version["name"], kind)
    kinds = {"scale": _SCALE, "status": own}
    return {
        name: strategies.Subresource(name=name, kind=kinds[name], verbs=("get", "patch", "update"))
        for name in ("scale", "status")
        if given.get(name) is not None
    }


def _deprecation(version: objects.Object, api_version: str, kind: str) -> str:
    if not version.get("deprecated"):
        return ""
    return str(version.get("deprecationWarning") or f"{api_version} {kind} is deprecated")


def _priority(version: str) -> tuple[int, int, int, tuple[int, ...]]:
    """Order as Kubernetes prefers: v2, v1, v1beta2, v1alpha1, then others in ABC order."""
    from understudy.kapi.resources import builtins  # noqa: PLC0415 (builtins imports kinds, which imports this room)

    stage, major, minor = builtins.version_priority(version)
    return stage, major, minor, tuple(-ord(char) for char in version) if stage < 0 else ()


def _converter(api_version: str, target: strategy.CustomStrategy) -> strategies.Converter:
    """Return the None conversion into a version: another apiVersion, unknown fields out."""

    def convert(obj: objects.Object) -> objects.Object:
        obj["apiVersion"] = api_version
        return target.prune(obj)

    return convert


def _reader(
    api_version: str,
    versions: Mapping[str, strategy.CustomStrategy],
    stored: strategy.CustomStrategy,
    own: strategy.CustomStrategy,
) -> strategies.Converter:
    """Return what reading does: default in the version written in, then convert and prune."""

    def read(obj: objects.Object) -> objects.Object:
        written = versions.get(str(obj.get("apiVersion")), stored)
        obj = written.normalize(obj)
        obj["apiVersion"] = api_version
        return obj if written is own else own.prune(obj)

    return read
