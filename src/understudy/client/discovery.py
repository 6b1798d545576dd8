"""What a server serves: the parsed forms of its discovery documents, indexed for look-ups.

Aggregated discovery (`apidiscovery.k8s.io/v2`) is one document for `/api` and one for `/apis`; an
older server gives one `APIResourceList` for each group and version instead. Both become the same
`Index`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from understudy.client import protocol
from understudy.kube import identities, objects, statuses

AGGREGATED = (
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,"
    "application/json"
)
"""Accept header that prefers aggregated discovery and takes the older form."""


class Index:
    """Resources by kind and by name; implements `protocol.Discovery`. Immutable."""

    __slots__ = ("_by_gvk", "_by_path", "_by_word", "_preferred", "_resources")

    def __init__(self, resources: Iterable[protocol.ApiResource]) -> None:
        self._resources = tuple(resources)
        self._by_gvk: dict[tuple[str, str], protocol.ApiResource] = {}
        self._by_path: dict[tuple[str, str, str], protocol.ApiResource] = {}
        self._preferred: dict[tuple[str, str], protocol.ApiResource] = {}
        self._by_word: dict[str, list[protocol.ApiResource]] = {}
        for item in self._resources:
            self._by_gvk.setdefault((item.api_version, item.kind), item)
            self._by_path.setdefault((item.group, item.version, item.plural), item)
            self._preferred.setdefault((item.group, item.plural), item)
            for word in {item.plural, item.kind.lower(), *item.short_names}:
                self._by_word.setdefault(word, []).append(item)

    @property
    def resources(self) -> tuple[protocol.ApiResource, ...]:
        """Every resource, preferred versions first within a group."""
        return self._resources

    def by_kind(self, api_version: str, kind: str) -> protocol.ApiResource | None:
        """Return the resource of an object's apiVersion and kind, or None."""
        return self._by_gvk.get((api_version, kind))

    def by_group_kind(self, group: str, kind: str) -> protocol.ApiResource | None:
        """Return the preferred resource of a group and kind, or None."""
        for item in self._by_word.get(kind.lower(), ()):
            if item.group == group and item.kind == kind:
                return item
        return None

    def named(self, text: str) -> protocol.ApiResource | None:
        """Return the resource of kubectl's notation, or None.

        `pods`, `deployments.apps` and `deployments.v1.apps` are exact; a singular, a short name
        or a kind (`deploy`, `Deployment.apps`) is looked up in the order of discovery, which
        lists the core group first.
        """
        group, version, plural = identities.parse_resource(text)
        exact = (
            self._by_path.get((group, version, plural))
            if version
            else self._preferred.get((group, plural))
        )
        if exact is not None:
            return exact
        for item in self._by_word.get(plural.lower(), ()):
            if (not group or item.group == group) and (not version or item.version == version):
                return item
        return None


def from_aggregated(documents: Sequence[objects.Object]) -> list[protocol.ApiResource]:
    """Read `APIGroupDiscoveryList` documents, in order.

    Resources of a version that the server marks Stale are kept: their last known form is better
    than a kind that seems not to exist.
    """
    found: list[protocol.ApiResource] = []
    for document in documents:
        for group in document.get("items") or ():
            for version in group.get("versions") or ():
                found += (
                    _aggregated(objects.name_of(group), version["version"], entry)
                    for entry in version.get("resources") or ()
                )
    return found


def _aggregated(group: str, version: str, entry: objects.Object) -> protocol.ApiResource:
    kind = entry.get("responseKind") or {}
    return protocol.ApiResource(
        group=group,
        version=version,
        kind=kind.get("kind") or "",
        plural=entry["resource"],
        namespaced=entry.get("scope") == "Namespaced",
        verbs=tuple(entry.get("verbs") or ()),
        short_names=tuple(entry.get("shortNames") or ()),
        categories=tuple(entry.get("categories") or ()),
        subresources=tuple(sub["subresource"] for sub in entry.get("subresources") or ()),
    )


def from_lists(documents: Sequence[objects.Object]) -> list[protocol.ApiResource]:
    """Read `APIResourceList` documents, in order; entries `a/b` are subresources of `a`."""
    found: list[protocol.ApiResource] = []
    for document in documents:
        group, version = identities.split_api_version(document["groupVersion"])
        subresources: dict[str, list[str]] = {}
        for entry in document.get("resources") or ():
            plural, slash, subresource = entry["name"].partition("/")
            if slash:
                subresources.setdefault(plural, []).append(subresource)
        for entry in document.get("resources") or ():
            if "/" in entry["name"]:
                continue
            found.append(
                protocol.ApiResource(
                    group=group,
                    version=version,
                    kind=entry["kind"],
                    plural=entry["name"],
                    namespaced=bool(entry.get("namespaced")),
                    verbs=tuple(entry.get("verbs") or ()),
                    short_names=tuple(entry.get("shortNames") or ()),
                    categories=tuple(entry.get("categories") or ()),
                    subresources=tuple(subresources.get(entry["name"], ())),
                )
            )
    return found


def versions_of(groups: objects.Object) -> list[str]:
    """Return the apiVersions of an `APIGroupList`, preferred version first within each group."""
    found: list[str] = []
    for group in groups.get("groups") or ():
        preferred = (group.get("preferredVersion") or {}).get("groupVersion")
        listed = [version["groupVersion"] for version in group.get("versions") or ()]
        found += sorted(listed, key=lambda text: text != preferred)
    return found


def unknown_resource(resource: str) -> statuses.NotFoundError:
    """Build the answer to a resource that the server does not serve, in kubectl's words."""
    return statuses.NotFoundError(f'the server doesn\'t have a resource type "{resource}"')


def require_namespace(
    item: protocol.ApiResource, namespace: str, *, creating: bool = False
) -> None:
    """Refuse a request for one namespaced object without a namespace, in client-go's words."""
    if item.namespaced and not namespace:
        when = "during creation" if creating else "when a resource name is provided"
        raise statuses.BadRequestError(f"an empty namespace may not be set {when}")
