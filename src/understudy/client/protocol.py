"""The `Client` protocol: Kubernetes' verbs, async, over plain JSON objects.

Every method raises `kube.statuses.ApiError` for the server's refusals and `client.errors`'
`TransportError` when the server could not be reached. Resources are named in kubectl's notation
(`pods`, `deployments.apps`, `deployments.v1.apps`); without a version the server's preferred one
is used. Objects given are not changed; objects returned are the caller's own.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from understudy.kube import objects

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


class WatchEvent(NamedTuple):
    """`type` is ADDED, MODIFIED, DELETED, BOOKMARK or ERROR (then `object` is a v1.Status)."""

    type: str
    object: objects.Object


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One answer to a list: items (each with apiVersion and kind), and where to go on."""

    items: list[objects.Object]
    resource_version: str
    continue_token: str = ""
    remaining: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiResource:
    """One resource as discovery lists it."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool
    verbs: tuple[str, ...]
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        """`apps/v1`, or `v1` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def name(self) -> str:
        """Kubectl's notation with version: `deployments.v1.apps`, `pods.v1.`-free for core."""
        return f"{self.plural}.{self.version}.{self.group}" if self.group else self.plural


class Discovery(Protocol):
    """What a server serves; cached, refreshed once when something asked for is not known."""

    def by_kind(self, api_version: str, kind: str) -> ApiResource | None:
        """Return the resource of an object's apiVersion and kind, or None."""
        ...

    def named(self, text: str) -> ApiResource | None:
        """Return the resource of kubectl's notation, singular, short name or kind, or None."""
        ...

    @property
    def resources(self) -> tuple[ApiResource, ...]:
        """Every resource, preferred versions first within a group."""
        ...


class Client(Protocol):
    """A Kubernetes API."""

    async def discover(self, *, refresh: bool = False) -> Discovery:
        """Return what the server serves."""
        ...

    async def version(self) -> objects.Object:
        """Return the answer of `/version` (gitVersion, major, minor ...)."""
        ...

    async def get(
        self, resource: str, name: str, *, namespace: str = "", subresource: str = ""
    ) -> objects.Object:
        """Return one object."""
        ...

    async def list(
        self,
        resource: str,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_token: str = "",
        resource_version: str = "",
        resource_version_match: str = "",
    ) -> Listing:
        """Return the objects of a namespace (`""`: of all). With `limit`, one page."""
        ...

    def watch(
        self,
        resource: str,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        resource_version: str = "",
        allow_bookmarks: bool = False,
        send_initial_events: bool = False,
        timeout_s: int | None = None,
    ) -> AsyncGenerator[WatchEvent, None]:
        """Yield changes after `resource_version` until the server ends the watch."""
        ...

    async def create(
        self,
        resource: str,
        obj: objects.Object,
        *,
        namespace: str = "",
        name: str = "",
        subresource: str = "",
        field_manager: str = "",
        field_validation: str = "",
        dry_run: bool = False,
    ) -> objects.Object:
        """Create an object, or post to a subresource of `name` (binding, eviction, token)."""
        ...

    async def update(
        self,
        resource: str,
        obj: objects.Object,
        *,
        namespace: str = "",
        subresource: str = "",
        field_manager: str = "",
        field_validation: str = "",
        dry_run: bool = False,
    ) -> objects.Object:
        """Replace an object; 409 where its resourceVersion is not the present one."""
        ...

    async def patch(
        self,
        resource: str,
        name: str,
        patch: objects.Json,
        *,
        namespace: str = "",
        patch_type: str = MERGE_PATCH,
        subresource: str = "",
        field_manager: str = "",
        field_validation: str = "",
        dry_run: bool = False,
    ) -> objects.Object:
        """Patch an object."""
        ...

    async def apply(
        self,
        resource: str,
        obj: objects.Object,
        *,
        field_manager: str,
        namespace: str = "",
        subresource: str = "",
        force: bool = False,
        field_validation: str = "",
        dry_run: bool = False,
    ) -> objects.Object:
        """Server-side apply: create or merge, owning the fields given."""
        ...

    async def delete(
        self,
        resource: str,
        name: str,
        *,
        namespace: str = "",
        propagation_policy: str = "",
        grace_period_s: int | None = None,
        uid: str = "",
        resource_version: str = "",
        dry_run: bool = False,
    ) -> objects.Object:
        """Delete an object; `uid` and `resource_version` are preconditions (409 if not met).

        Returns the server's answer: the object if it goes later, a v1.Status if it is gone.
        """
        ...

    async def delete_collection(
        self,
        resource: str,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        propagation_policy: str = "",
        grace_period_s: int | None = None,
        dry_run: bool = False,
    ) -> None:
        """Delete every object that the selectors match."""
        ...

    def logs(
        self,
        pod: str,
        *,
        namespace: str,
        container: str = "",
        follow: bool = False,
        previous: bool = False,
        timestamps: bool = False,
        since: dt.datetime | None = None,
        tail_lines: int | None = None,
    ) -> AsyncGenerator[bytes, None]:
        """Yield the lines of a container's log without their ends, as they come.

        Args:
            pod: Its name.
            namespace: Its namespace.
            container: May be empty where the pod has one only.
            follow: Go on until the container ends.
            previous: Of the container's last run that ended, not of the present one.
            timestamps: Put the time of each line and a space before it.
            since: No older lines, to the second.
            tail_lines: No more than the last so many.
        """
        ...

    async def close(self) -> None:
        """Give up connections; no other method may be called afterwards."""
        ...
