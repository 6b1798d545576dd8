"""Frozen identities: of a kind, of a resource, of an object. Versions are spelled out or absent."""

from __future__ import annotations

from typing import NamedTuple

from understudy.kube import objects


class GroupVersionKind(NamedTuple):
    """A kind in one version, e.g. `("apps", "v1", "Deployment")`; the core group is `""`."""

    group: str
    version: str
    kind: str

    @property
    def api_version(self) -> str:
        """`group/version`, or only the version for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version


class GroupVersionResource(NamedTuple):
    """A REST resource in one version, e.g. `("apps", "v1", "deployments")`."""

    group: str
    version: str
    resource: str

    @property
    def api_version(self) -> str:
        """`group/version`, or only the version for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version


class GroupResource(NamedTuple):
    """A resource whatever its version, e.g. `("apps", "deployments")`."""

    group: str
    resource: str

    def __str__(self) -> str:
        """`deployments.apps`, as Kubernetes prints it in messages; `pods` for the core group."""
        return f"{self.resource}.{self.group}" if self.group else self.resource


class ObjectKey(NamedTuple):
    """One object's place among its kind: namespace (empty if cluster-scoped) and name."""

    namespace: str
    name: str


def split_api_version(api_version: str) -> tuple[str, str]:
    """Split `apps/v1` into `("apps", "v1")` and `v1` into `("", "v1")`."""
    group, slash, version = api_version.rpartition("/")
    return (group, version) if slash else ("", api_version)


def gvk_of(obj: objects.Object) -> GroupVersionKind:
    """Return the kind an object says it has; empty strings where it says nothing."""
    group, version = split_api_version(str(obj.get("apiVersion") or ""))
    return GroupVersionKind(group, version, str(obj.get("kind") or ""))


def parse_resource(text: str) -> tuple[str, str, str]:
    """Split kubectl's resource notation into (group, version or "", plural).

    `pods` -> `("", "", "pods")`, `deployments.apps` -> `("apps", "", "deployments")`,
    `deployments.v1.apps` -> `("apps", "v1", "deployments")`. A version is recognised by its shape
    (`v` and a digit), as kubectl does.
    """
    plural, _, rest = text.partition(".")
    first, _, group = rest.partition(".")
    if first[:1] == "v" and first[1:2].isdigit():
        return (group, first, plural)
    return (rest, "", plural)
