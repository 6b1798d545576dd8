"""Aggregated discovery: every group, version and resource in one document (apidiscovery/v2)."""

from __future__ import annotations

from understudy.kapi.discovery import documents, groups
from understudy.kapi.resources import catalogue as catalogues
from understudy.kube import identities, objects

VERSIONS = ("v2", "v2beta1")
"""Versions of apidiscovery.k8s.io that can be asked for; their documents differ in nothing else."""


def document(
    catalogue: catalogues.Catalogue, *, core: bool, version: str = "v2"
) -> documents.Document:
    """Return what `/api` (`core`) or `/apis` says to who accepts APIGroupDiscoveryList."""

    def make() -> objects.Object:
        return {
            "kind": "APIGroupDiscoveryList",
            "apiVersion": f"apidiscovery.k8s.io/{version}",
            "metadata": {},
            "items": [
                _group(catalogue, name, versions)
                for name, versions in groups.versions_by_group(catalogue)
                if core == (not name)
            ],
        }

    return documents.kept(catalogue, f"aggregated/{version}/{'api' if core else 'apis'}", make)


def media_type(version: str) -> str:
    """Return the Content-Type of an answer, as the client asked for it."""
    return f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"


def _group(catalogue: catalogues.Catalogue, name: str, versions: list[str]) -> objects.Object:
    served: dict[str, list[catalogues.Resource]] = {version: [] for version in versions}
    for resource in catalogue.resources:
        if resource.group == name:
            served[resource.version].append(resource)
    return {
        "metadata": {"name": name} if name else {},
        "versions": [
            {
                "version": version,
                "resources": [
                    _resource(resource) for resource in sorted(found, key=lambda each: each.plural)
                ],
                "freshness": "Current",
            }
            for version, found in served.items()
        ],
    }


def _resource(resource: catalogues.Resource) -> objects.Object:
    own = identities.GroupVersionKind(resource.group, resource.version, resource.kind)
    row: objects.Object = {
        "resource": resource.plural,
        "responseKind": _kind(own, resource),
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        row["shortNames"] = list(resource.short_names)
    if resource.categories:
        row["categories"] = list(resource.categories)
    if resource.subresources:
        row["subresources"] = [
            {
                "subresource": name,
                "responseKind": _kind(subresource.kind, resource),
                "verbs": list(subresource.verbs),
            }
            for name, subresource in sorted(resource.subresources.items())
        ]
    return row


def _kind(kind: identities.GroupVersionKind, resource: catalogues.Resource) -> objects.Object:
    """Render a kind; group and version stay empty where they are the resource's own."""
    if (kind.group, kind.version) == (resource.group, resource.version):
        return {"group": "", "version": "", "kind": kind.kind}
    return {"group": kind.group, "version": kind.version, "kind": kind.kind}
