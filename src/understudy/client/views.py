"""`ViewClient`: the Client protocol over a view in this process, without HTTP.

This room does not import the embedded API: what a view must offer is written down here as
protocols (`ViewLike`), and any object with these verbs will do. Verbs are synchronous
transactions; each method here yields to the event loop once before its verb, so that a long run of
calls starves nobody and every call is a cancel point.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from typing import Generic, Protocol, TypeVar

from understudy.client import discovery, protocol
from understudy.kube import objects, statuses

R = TypeVar("R", bound="ResourceLike")
R_contra = TypeVar("R_contra", contravariant=True)
W = TypeVar("W")
D = TypeVar("D")
T = TypeVar("T")
W_co = TypeVar("W_co", covariant=True)
D_co = TypeVar("D_co", covariant=True)


class ResourceLike(Protocol):
    """One resource of a view's catalogue."""

    @property
    def group(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def plural(self) -> str: ...
    @property
    def namespaced(self) -> bool: ...
    @property
    def verbs(self) -> tuple[str, ...]: ...
    @property
    def short_names(self) -> tuple[str, ...]: ...
    @property
    def categories(self) -> tuple[str, ...]: ...
    @property
    def subresources(self) -> Mapping[str, object]: ...


class CatalogueLike(Protocol):
    """The resources a view serves; another object whenever they change."""

    @property
    def resources(self) -> Sequence[ResourceLike]: ...


class EntryLike(Protocol[R_contra]):
    """A committed object."""

    def object(self, resource: R_contra) -> objects.Object: ...


class ItemLike(Protocol[R_contra]):
    """One event of a watch."""

    @property
    def type(self) -> str: ...
    @property
    def entry(self) -> EntryLike[R_contra]: ...


class StartLike(Protocol[R_contra]):
    """The state with which a watch begins."""

    @property
    def items(self) -> Sequence[ItemLike[R_contra]]: ...
    @property
    def revision(self) -> int: ...
    @property
    def bookmark(self) -> bool: ...


class WatchLike(Protocol[R]):
    """An open watch: iterate it, then close it."""

    @property
    def resource(self) -> R: ...
    @property
    def start(self) -> StartLike[R]: ...
    @property
    def expired(self) -> bool: ...
    def close(self) -> None: ...
    def __aiter__(self) -> AsyncIterator[ItemLike[R]]: ...


class WrittenLike(Protocol):
    """The outcome of a write."""

    def object(self) -> objects.Object: ...


class PageLike(Protocol):
    """One answer to a list."""

    @property
    def revision(self) -> int: ...
    @property
    def continue_token(self) -> str: ...
    @property
    def remaining(self) -> int | None: ...
    def objects(self) -> list[objects.Object]: ...


class MakeWriteOptions(Protocol[W_co]):
    """Makes the options of create, update, patch and apply."""

    def __call__(
        self,
        *,
        field_manager: str,
        user_agent: str,
        dry_run: bool,
        field_validation: str,
        force: bool,
    ) -> W_co: ...


class MakeDeleteOptions(Protocol[D_co]):
    """Makes the options of delete and delete_collection."""

    def __call__(
        self,
        *,
        grace_period_s: int | None = None,
        propagation_policy: str,
        uid: str = "",
        resource_version: str = "",
        dry_run: bool,
    ) -> D_co: ...


class ViewLike(Protocol[R, W, D]):
    """The verbs of a view; `write_options` and `delete_options` make what they take."""

    @property
    def name(self) -> str: ...
    @property
    def catalogue(self) -> CatalogueLike: ...
    @property
    def write_options(self) -> MakeWriteOptions[W]: ...
    @property
    def delete_options(self) -> MakeDeleteOptions[D]: ...

    def get(
        self, ref: str, name: str, namespace: str = "", *, subresource: str = ""
    ) -> objects.Object: ...

    def list(
        self,
        ref: str,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_token: str = "",
        resource_version: str = "",
        resource_version_match: str = "",
    ) -> PageLike: ...

    def watch(
        self,
        ref: str,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        resource_version: str = "",
        send_initial_events: bool = False,
    ) -> WatchLike[R]: ...

    def create(
        self,
        ref: str,
        obj: objects.Object,
        namespace: str = "",
        *,
        name: str = "",
        subresource: str = "",
        options: W,
    ) -> WrittenLike: ...

    def update(
        self,
        ref: str,
        obj: objects.Object,
        namespace: str = "",
        *,
        name: str = "",
        subresource: str = "",
        options: W,
    ) -> WrittenLike: ...

    def patch(
        self,
        ref: str,
        name: str,
        patch: objects.Json,
        namespace: str = "",
        *,
        patch_type: str,
        subresource: str = "",
        options: W,
    ) -> WrittenLike: ...

    def delete(self, ref: str, name: str, namespace: str = "", *, options: D) -> WrittenLike: ...

    def delete_collection(
        self,
        ref: str,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        options: D,
    ) -> object: ...

    async def complete(self, ref: str, options: W, write: Callable[[W], T]) -> T: ...

    async def complete_deletion(self, ref: str, options: D, delete: Callable[[D], T]) -> T: ...

    async def prepare(self, ref: str, namespace: str = "", name: str = "") -> None: ...

    async def converted(self, resource: R, entries: Sequence[object]) -> None: ...


class ViewClient(Generic[R, W, D]):
    """A Kubernetes API in this process; implements `protocol.Client`.

    Attributes:
        view: The view whose verbs are called.
    """

    __slots__ = ("_agent", "_index", "_known", "view")

    def __init__(self, view: ViewLike[R, W, D], *, user_agent: str = "understudy") -> None:
        self.view = view
        self._agent = user_agent
        self._known: CatalogueLike | None = None
        self._index = discovery.Index(())

    async def discover(self, *, refresh: bool = False) -> protocol.Discovery:
        """Return what the view serves now; `refresh` changes nothing, it is never stale."""
        await asyncio.sleep(0)
        return self.index()

    def index(self) -> discovery.Index:
        """Return what the view serves now, without waiting."""
        catalogue = self.view.catalogue
        if catalogue is not self._known:
            self._index = discovery.Index(_as_api_resource(item) for item in catalogue.resources)
            self._known = catalogue
        return self._index

    async def version(self) -> objects.Object:
        await asyncio.sleep(0)
        return {"major": "1", "minor": "36", "gitVersion": "v1.36.0+understudy"}

    async def get(
        self, resource: str, name: str, *, namespace: str = "", subresource: str = ""
    ) -> objects.Object:
        await asyncio.sleep(0)
        item = self._find(resource)
        discovery.require_namespace(item, namespace)
        await self.view.prepare(item.name, namespace, name)
        return self.view.get(item.name, name, namespace, subresource=subresource)

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
        await asyncio.sleep(0)
        item = self._find(resource)
        await self.view.prepare(item.name, namespace)
        page = self.view.list(
            item.name,
            namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            limit=limit,
            continue_token=continue_token,
            resource_version=resource_version,
            resource_version_match=resource_version_match,
        )
        return protocol.Listing(
            items=page.objects(),
            resource_version=str(page.revision),
            continue_token=page.continue_token,
            remaining=page.remaining,
        )

    async def watch(
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
        """Yield changes; the view has no need of periodic bookmarks and sends none."""
        item = self._find(resource)
        watch = self.view.watch(
            item.name,
            namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            resource_version=resource_version,
            send_initial_events=send_initial_events,
        )
        loop = asyncio.get_running_loop()
        timer = loop.call_later(timeout_s, watch.close) if timeout_s is not None else None
        try:
            shown, due = 0, len(watch.start.items) if watch.start.bookmark else -1
            if shown == due:
                yield _bookmark(item, watch.start.revision)
            async for event in watch:
                await self.view.converted(watch.resource, (event.entry,))
                yield protocol.WatchEvent(event.type, event.entry.object(watch.resource))
                shown += 1
                if shown == due:
                    yield _bookmark(item, watch.start.revision)
            if watch.expired:
                yield protocol.WatchEvent("ERROR", _expired().status())
        finally:
            if timer is not None:
                timer.cancel()
            watch.close()

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
        await asyncio.sleep(0)
        item = self._find(resource)
        namespace = namespace or objects.namespace_of(obj)
        discovery.require_namespace(item, namespace, creating=True)
        written = await self.view.complete(
            item.name,
            self._writing(field_manager, field_validation, dry_run),
            lambda options: self.view.create(
                item.name, obj, namespace, name=name, subresource=subresource, options=options
            ),
        )
        return written.object()

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
        await asyncio.sleep(0)
        item = self._find(resource)
        namespace = namespace or objects.namespace_of(obj)
        discovery.require_namespace(item, namespace)
        written = await self.view.complete(
            item.name,
            self._writing(field_manager, field_validation, dry_run),
            lambda options: self.view.update(
                item.name,
                obj,
                namespace,
                name=objects.name_of(obj),
                subresource=subresource,
                options=options,
            ),
        )
        return written.object()

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
        await asyncio.sleep(0)
        item = self._find(resource)
        discovery.require_namespace(item, namespace)
        written = await self.view.complete(
            item.name,
            self._writing(field_manager, field_validation, dry_run),
            lambda options: self.view.patch(
                item.name,
                name,
                objects.copy(patch),
                namespace,
                patch_type=patch_type,
                subresource=subresource,
                options=options,
            ),
        )
        return written.object()

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
        await asyncio.sleep(0)
        item = self._find(resource)
        namespace = namespace or objects.namespace_of(obj)
        discovery.require_namespace(item, namespace)
        written = await self.view.complete(
            item.name,
            self._writing(field_manager, field_validation, dry_run, force=force),
            lambda options: self.view.patch(
                item.name,
                objects.name_of(obj),
                objects.copy(obj),
                namespace,
                patch_type=protocol.APPLY_PATCH,
                subresource=subresource,
                options=options,
            ),
        )
        return written.object()

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
        await asyncio.sleep(0)
        item = self._find(resource)
        discovery.require_namespace(item, namespace)
        written = await self.view.complete_deletion(
            item.name,
            self.view.delete_options(
                grace_period_s=grace_period_s,
                propagation_policy=propagation_policy,
                uid=uid,
                resource_version=resource_version,
                dry_run=dry_run,
            ),
            lambda options: self.view.delete(item.name, name, namespace, options=options),
        )
        return written.object()

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
        await asyncio.sleep(0)
        item = self._find(resource)
        await self.view.complete_deletion(
            item.name,
            self.view.delete_options(
                grace_period_s=grace_period_s,
                propagation_policy=propagation_policy,
                dry_run=dry_run,
            ),
            lambda options: self.view.delete_collection(
                item.name,
                namespace,
                label_selector=label_selector,
                field_selector=field_selector,
                options=options,
            ),
        )

    async def logs(
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
        """Refuse: a view holds what is known of pods, not what they write."""
        await self.get("pods", pod, namespace=namespace)
        nothing: tuple[bytes, ...] = ()
        for line in nothing:
            yield line
        raise statuses.ServiceUnavailableError(
            "pods/log needs a runtime that runs pods; ask the server over HTTP"
        )

    async def close(self) -> None:
        """Do nothing: the view belongs to whoever made it."""
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0)

    def _find(self, resource: str) -> protocol.ApiResource:
        found = self.index().named(resource)
        if found is None:
            raise discovery.unknown_resource(resource)
        return found

    def _writing(
        self, field_manager: str, field_validation: str, dry_run: bool, *, force: bool = False
    ) -> W:
        return self.view.write_options(
            field_manager=field_manager,
            user_agent=self._agent,
            dry_run=dry_run,
            field_validation=field_validation or "Warn",
            force=force,
        )


def _as_api_resource(item: ResourceLike) -> protocol.ApiResource:
    return protocol.ApiResource(
        group=item.group,
        version=item.version,
        kind=item.kind,
        plural=item.plural,
        namespaced=item.namespaced,
        verbs=tuple(item.verbs),
        short_names=tuple(item.short_names),
        categories=tuple(item.categories),
        subresources=tuple(item.subresources),
    )


def _bookmark(item: protocol.ApiResource, revision: int) -> protocol.WatchEvent:
    return protocol.WatchEvent(
        "BOOKMARK",
        {
            "kind": item.kind,
            "apiVersion": item.api_version,
            "metadata": {
                "resourceVersion": str(revision),
                "annotations": {"k8s.io/initial-events-end": "true"},
            },
        },
    )


def _expired() -> statuses.ExpiredError:
    return statuses.ExpiredError("this watch fell too far behind: list again")
