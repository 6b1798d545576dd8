"""Legacy discovery: `/api`, `/apis`, `/apis/GROUP`, `/api/v1`, `/apis/GROUP/VERSION`."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator

from understudy.kapi.discovery import documents
from understudy.kapi.resources import builtins, catalogue as catalogues, strategies
from understudy.kube import identities, objects


def api_versions(server_address: str) -> objects.Object:
    """Return what `/api` says; `server_address` is the host and port that clients reached."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [
            {"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}
        ],
    }


def group_list(catalogue: catalogues.Catalogue) -> documents.Document:
    """Return what `/apis` says: every group but the core one."""
    return documents.kept(
        catalogue,
        "groups",
        lambda: {
            "kind": "APIGroupList",
            "apiVersion": "v1",
            "groups": [_group(name, found) for name, found in versions_by_group(catalogue) if name],
        },
    )


def group(catalogue: catalogues.Catalogue, name: str) -> documents.Document | None:
    """Return what `/apis/GROUP` says, or None where there is no such group."""
    found = dict(versions_by_group(catalogue)).get(name)
    if not name or found is None:
        return None
    return documents.kept(
        catalogue,
        f"group/{name}",
        lambda: {"kind": "APIGroup", "apiVersion": "v1"} | _group(name, found),
    )


def resource_list(
    catalogue: catalogues.Catalogue, group_name: str, version: str
) -> documents.Document | None:
    """Return the resources of a group's version, or None where it is not served."""
    found = [
        resource
        for resource in catalogue.resources
        if resource.group == group_name and resource.version == version
    ]
    if not found:
        return None
    # The core group's list says no apiVersion, since the days when there was only that group.
    head: objects.Object = {"kind": "APIResourceList"}
    if group_name:
        head["apiVersion"] = "v1"
    head["groupVersion"] = found[0].api_version
    return documents.kept(
        catalogue,
        f"resources/{group_name}/{version}",
        lambda: head | {"resources": list(_rows(found))},
    )


def versions_by_group(catalogue: catalogues.Catalogue) -> Iterator[tuple[str, list[str]]]:
    """Yield (group, its versions with the preferred one first) in the order of `/apis`.

    Built-in groups come first, in Kubernetes' order; those of custom resources follow by name.
    """
    served: dict[str, list[str]] = {}
    custom: set[str] = set()
    for resource in catalogue.resources:
        versions = served.setdefault(resource.group, [])
        if resource.version not in versions:
            versions.append(resource.version)
            if resource.custom:
                custom.add(resource.group)
    for name, versions in served.items():
        if name not in custom:
            yield name, versions
    for name in sorted(custom):
        yield name, sorted(served[name], key=builtins.version_priority, reverse=True)


def storage_version_hash(resource: catalogues.Resource) -> str:
    """Return the hash that tells clients in which version objects are stored.

    Base64 of the first 8 bytes of SHA-256 of `group/version/kind`; empty where nothing is stored.
    """
    if "watch" not in resource.verbs:
        return ""
    group_name, version = identities.split_api_version(resource.storage_version)
    text = f"{group_name}/{version}/{resource.kind}"
    return base64.b64encode(hashlib.sha256(text.encode()).digest()[:8]).decode()


def _group(name: str, versions: list[str]) -> objects.Object:
    rows = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": rows, "preferredVersion": rows[0]}


def _rows(resources: list[catalogues.Resource]) -> Iterator[objects.Object]:
    for resource in sorted(resources, key=lambda each: each.plural):
        row: objects.Object = {
            "name": resource.plural,
            "singularName": resource.singular,
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": list(resource.verbs),
        }
        if resource.short_names:
            row["shortNames"] = list(resource.short_names)
        if resource.categories:
            row["categories"] = list(resource.categories)
        if stored := storage_version_hash(resource):
            row["storageVersionHash"] = stored
        yield row
        for subresource in sorted(resource.subresources.values(), key=lambda each: each.name):
            yield _subrow(resource, subresource)


def _subrow(resource: catalogues.Resource, subresource: strategies.Subresource) -> objects.Object:
    row: objects.Object = {
        "name": f"{resource.plural}/{subresource.name}",
        "singularName": "",
        "namespaced": resource.namespaced,
    }
    kind = subresource.kind
    if (kind.group, kind.version) != (resource.group, resource.version):
        row |= {"group": kind.group, "version": kind.version}
    return row | {"kind": kind.kind, "verbs": list(subresource.verbs)}
