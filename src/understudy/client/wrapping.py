"""A client around a client: what journals, faults and locks are made of.

`WrappedClient` passes every call on. A subclass overrides `write`, through which every verb that
may change something goes, with what it is about; reads pass straight through.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass

from understudy.client import protocol
from understudy.kube import objects


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One request that may change something.

    Attributes:
        verb: `create`, `update`, `patch`, `apply`, `delete` or `deletecollection`.
        body: The object or patch; None for deletions.
        dry_run: Nothing will be kept.
    """

    verb: str
    resource: str
    namespace: str
    name: str
    subresource: str = ""
    body: objects.Json = None
    dry_run: bool = False


_REVIEW = re.compile(r"reviews(\.v\d\w*)?\.auth(entic|oriz)ation\.k8s\.io$")
Send = Callable[[], Awaitable[objects.Object]]


class WrappedClient:
    """Passes every call to another client; implements `protocol.Client`."""

    def __init__(self, inner: protocol.Client) -> None:
        self.inner = inner

    async def write(self, write: Write, send: Send) -> objects.Object:
        """Carry out a write by calling `send` (once, or not at all); override this."""
        return await send()

    async def discover(self, *, refresh: bool = False) -> protocol.Discovery:
        return await self.inner.discover(refresh=refresh)

    async def version(self) -> objects.Object:
        return await self.inner.version()

    async def get(
        self, resource: str, name: str, *, namespace: str = "", subresource: str = ""
    ) -> objects.Object:
        return await self.inner.get(resource, name, namespace=namespace, subresource=subresource)

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
    ) -> protocol.Listing:
        return await self.inner.list(
            resource,
            namespace=namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            limit=limit,
            continue_token=continue_token,
            resource_version=resource_version,
            resource_version_match=resource_version_match,
        )

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
    ) -> AsyncGenerator[protocol.WatchEvent, None]:
        return self.inner.watch(
            resource,
            namespace=namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            resource_version=resource_version,
            allow_bookmarks=allow_bookmarks,
            send_initial_events=send_initial_events,
            timeout_s=timeout_s,
        )

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
        write = Write(
            verb="create",
            resource=resource,
            namespace=namespace or objects.namespace_of(obj),
            name=name or objects.name_of(obj),
            subresource=subresource,
            body=obj,
            dry_run=dry_run,
        )

        async def send() -> objects.Object:
            return await self.inner.create(
                resource,
                obj,
                namespace=namespace,
                name=name,
                subresource=subresource,
                field_manager=field_manager,
                field_validation=field_validation,
                dry_run=dry_run,
            )

        # A review is a question in the form of an object: nothing is written.
        return await (send() if _REVIEW.search(resource) else self.write(write, send))

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
        write = Write(
            verb="update",
            resource=resource,
            namespace=namespace or objects.namespace_of(obj),
            name=objects.name_of(obj),
            subresource=subresource,
            body=obj,
            dry_run=dry_run,
        )
        return await self.write(
            write,
            lambda: self.inner.update(
                resource,
                obj,
                namespace=namespace,
                subresource=subresource,
                field_manager=field_manager,
                field_validation=field_validation,
                dry_run=dry_run,
            ),
        )

    async def patch(
        self,
        resource: str,
        name: str,
        patch: objects.Json,
        *,
        namespace: str = "",
        patch_type: str = protocol.MERGE_PATCH,
        subresource: str = "",
        field_manager: str = "",
        field_validation: str = "",
        dry_run: bool = False,
    ) -> objects.Object:
        write = Write(
            verb="patch",
            resource=resource,
            namespace=namespace,
            name=name,
            subresource=subresource,
            body=patch,
            dry_run=dry_run,
        )
        return await self.write(
            write,
            lambda: self.inner.patch(
                resource,
                name,
                patch,
                namespace=namespace,
                patch_type=patch_type,
                subresource=subresource,
                field_manager=field_manager,
                field_validation=field_validation,
                dry_run=dry_run,
            ),
        )

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
        write = Write(
            verb="apply",
            resource=resource,
            namespace=namespace or objects.namespace_of(obj),
            name=objects.name_of(obj),
            subresource=subresource,
            body=obj,
            dry_run=dry_run,
        )
        return await self.write(
            write,
            lambda: self.inner.apply(
                resource,
                obj,
                field_manager=field_manager,
                namespace=namespace,
                subresource=subresource,
                force=force,
                field_validation=field_validation,
                dry_run=dry_run,
            ),
        )

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
        write = Write(
            verb="delete", resource=resource, namespace=namespace, name=name, dry_run=dry_run
        )
        return await self.write(
            write,
            lambda: self.inner.delete(
                resource,
                name,
                namespace=namespace,
                propagation_policy=propagation_policy,
                grace_period_s=grace_period_s,
                uid=uid,
                resource_version=resource_version,
                dry_run=dry_run,
            ),
        )

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
        write = Write(
            verb="deletecollection",
            resource=resource,
            namespace=namespace,
            name="",
            dry_run=dry_run,
        )

        async def send() -> objects.Object:
            await self.inner.delete_collection(
                resource,
                namespace=namespace,
                label_selector=label_selector,
                field_selector=field_selector,
                propagation_policy=propagation_policy,
                grace_period_s=grace_period_s,
                dry_run=dry_run,
            )
            return {}

        await self.write(write, send)

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
        return self.inner.logs(
            pod,
            namespace=namespace,
            container=container,
            follow=follow,
            previous=previous,
            timestamps=timestamps,
            since=since,
            tail_lines=tail_lines,
        )

    async def close(self) -> None:
        await self.inner.close()
