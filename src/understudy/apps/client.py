"""`AppClient`, and the one over Knative: the Knative Service is the database.

Every write first compares the identity kept in the Service with the one asked for; every change is
read, made and written with the resourceVersion that was read, and tried again when another writer
was faster. Status is computed from Service, Revisions and pods: three requests, however many apps.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from understudy.aio import clocks
from understudy.apps import (
    domains,
    errors,
    keys,
    logs,
    names,
    podstates,
    records,
    retirement,
    services,
    settings,
    specs,
    statuses,
    storage,
    watching,
)
from understudy.client import errors as transport, protocol
from understudy.kube import objects, records as codec, statuses as api
from understudy.kube.knative import keys as knative

ClusterErrors = (api.ApiError, transport.TransportError)
_SELECTOR_NAMES_MAX = 50
_RETRY_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class AppPage:
    """One answer to a list.

    Attributes:
        apps: Ordered by the name of their Knative Service.
        token: Asks for the next page; empty on the last.
        remaining: How many follow, None where the cluster does not say.
        skipped: Names of Services that are marked as apps but carry no readable identity.
    """

    apps: tuple[records.App, ...]
    token: str = ""
    remaining: int | None = None
    skipped: tuple[str, ...] = ()


class AppClient(Protocol):
    """Manages apps. Every method raises `errors.AppError` and nothing else."""

    async def deploy(
        self,
        app: records.App,
        *,
        reason: str = "",
        expected_revision: int | None = None,
        dry_run: bool = False,
    ) -> records.App:
        """Make an app as its spec says, creating it or changing it; unchanged writes nothing.

        An app whose desired state is not STOPPED is started by it.

        Args:
            app: Identity and spec; its status is not looked at.
            reason: Kept with the app, for whoever reads it later.
            expected_revision: Refuse unless the app has this revision now.
            dry_run: Let the cluster check everything and keep nothing.
        """
        ...

    async def stop(self, app_id: records.Identifier, *, reason: str = "") -> None:
        """Stop an app so that no request wakes it; no such app is success.

        Returns when nothing is left that could start a replica; replicas may still be ending,
        which the status shows.
        """
        ...

    async def start(self, app_id: records.Identifier) -> records.App:
        """Start a stopped app as it was; a running one is left alone."""
        ...

    async def get(self, app_id: records.Identifier) -> records.App:
        """Return an app with its present status."""
        ...

    async def list(
        self, *, project: str = "", domain: str = "", limit: int = 0, token: str = ""
    ) -> AppPage:
        """Return the apps of a project and domain, or (empty) of all; `limit` 0 is all at once."""
        ...

    async def delete(self, app_id: records.Identifier) -> None:
        """Delete an app; no such app is success."""
        ...

    async def replicas(
        self, app_id: records.Identifier, *, latest_ready_only: bool = False
    ) -> tuple[records.Replica, ...]:
        """Return the replicas of an app: of every Revision, or of the latest ready one."""
        ...

    async def delete_replica(
        self, replica_id: records.ReplicaIdentifier, *, force: bool = False
    ) -> None:
        """End one replica of an app; one that is gone is success.

        Args:
            replica_id: The app and the pod's name; a pod of another app is refused.
            force: Without grace.
        """
        ...

    def logs(
        self, app_id: records.Identifier, query: logs.LogQuery, *, follow: bool = False
    ) -> AsyncGenerator[logs.LogLine, None]:
        """Yield the lines that an app's replicas wrote; with `follow` also those they will write.

        Raises:
            AppNotFoundError: No such app, or no such replica of it.
        """
        ...

    async def start_watching(self) -> None:
        """Begin to follow the cluster; `subscribe` does it by itself."""
        ...

    async def stop_watching(self) -> None:
        """Stop following; every subscription ends. It may be started again."""
        ...

    def subscribe(self, app_id: records.Identifier | str | None = None) -> watching.Subscription:
        """Hear of an app, of those of a `project` or `project/domain`, or (None, "") of all.

        The subscription is an async iterator of `records.WatchResponse`: what exists, SYNCED, then
        changes. A slow reader gets the latest state of each app, never a gap it is not told of.
        """
        ...

    def unsubscribe(self, subscription: watching.Subscription) -> None:
        """End a subscription; ending it twice does nothing."""
        ...

    def public_ingress(self, app_id: records.Identifier) -> records.Ingress | None:
        """Return the URL that follows from an app's name, None without a base domain."""
        ...


class KnativeAppClient:
    """`AppClient` over any cluster that serves Knative, real or embedded."""

    def __init__(
        self,
        client: protocol.Client,
        config: settings.AppSettings | None = None,
        clock: clocks.Clock | None = None,
    ) -> None:
        self.settings = config or settings.AppSettings()
        self._client = client
        self._clock = clock or clocks.SystemClock()
        self._watcher = watching.Watcher(client, self.settings, self._clock)

    # ------------------------------------------------------------------ deploy

    async def deploy(
        self,
        app: records.App,
        *,
        reason: str = "",
        expected_revision: int | None = None,
        dry_run: bool = False,
    ) -> records.App:
        doing = f"deploy app {app.id}"
        rendered = specs.render(app, self.settings)
        is_stopped = app.spec is not None and app.spec.desired_state is records.DesiredState.STOPPED

        def change(live: objects.Object | None) -> objects.Object | None:
            if expected_revision is not None:
                _require_revision(app.id, live, expected_revision)
            if live is None:
                return services.created(rendered, self._now(), reason, stopped=is_stopped)
            if objects.metadata(live).get("deletionTimestamp"):
                raise errors.AppPreconditionError(
                    f"{doing}: the app is being deleted; deploy it again when it is gone"
                )
            make = services.deployed_stopped if is_stopped else services.deployed
            return make(live, rendered, self._now(), reason)

        service = await self._write(doing, app.id, change, dry_run=dry_run)
        assert service is not None, "deploy always leaves a Service"
        if dry_run:
            return statuses.app_of(statuses.Observed(service=service), self.settings)
        try:
            await domains.settle(self._client, service, rendered.domains)
            if is_stopped:
                await self._retire(app.id)
            return await self._observed(service)
        except ClusterErrors as error:
            raise errors.from_cluster(doing, error) from error

    # ------------------------------------------------------------------ stop and start

    async def stop(self, app_id: records.Identifier, *, reason: str = "") -> None:
        def change(live: objects.Object | None) -> objects.Object | None:
            if live is None or objects.metadata(live).get("deletionTimestamp"):
                return None
            return services.stopped(live, self._now(), reason)

        service = await self._write(f"stop app {app_id}", app_id, change)
        if service is not None and not objects.metadata(service).get("deletionTimestamp"):
            await self._retire(app_id)

    async def start(self, app_id: records.Identifier) -> records.App:
        doing = f"start app {app_id}"
        live = await self._find(doing, app_id)
        if live is None:
            raise errors.AppNotFoundError(f"{doing}: there is no such app")
        try:
            if not statuses.is_stopped(live):
                return await self._observed(live)
            spec = storage.decode(objects.annotations_of(live).get(keys.SPEC))
            if spec is not None:
                if spec.desired_state is records.DesiredState.STOPPED:
                    spec = replace(spec, desired_state=records.DesiredState.ACTIVE)
                found = statuses.identity_of(live)
                stored = objects.annotations_of(live).get(keys.APP_ORG, "")
                app = records.App(metadata=records.Meta(id=replace(found, org=stored)), spec=spec)
                return await self.deploy(app)
            service = await self._write(doing, app_id, self._restore)
        except ClusterErrors as error:
            raise errors.from_cluster(doing, error) from error
        if service is None:
            raise errors.AppPreconditionError(
                f"{doing}: neither its spec nor its template was kept; deploy it again"
            )
        return await self.get(app_id)

    def _restore(self, live: objects.Object | None) -> objects.Object | None:
        return None if live is None else services.restored(live, self._now())

    async def _retire(self, app_id: records.Identifier) -> None:
        doing = f"stop app {app_id}"
        try:
            await retirement.retire(
                self._client,
                self.settings,
                self._clock,
                names.kservice_name(app_id),
            )
        except ClusterErrors as error:
            raise errors.from_cluster(doing, error) from error

    # ------------------------------------------------------------------ read

    async def get(self, app_id: records.Identifier) -> records.App:
        doing = f"get app {app_id}"
        live = await self._find(doing, app_id, for_reading=True)
        if live is None:
            raise errors.AppNotFoundError(f"{doing}: there is no such app")
        try:
            return await self._observed(live)
        except ClusterErrors as error:
            raise errors.from_cluster(doing, error) from error

    async def list(
        self, *, project: str = "", domain: str = "", limit: int = 0, token: str = ""
    ) -> AppPage:
        doing = "list apps"
        selector = [f"{keys.MANAGED}=true"]
        selector += [f"{keys.PROJECT}={project}"] if project else []
        selector += [f"{keys.DOMAIN}={domain}"] if domain else []
        if limit < 0:
            raise errors.AppInvalidError(doing, [("limit", f"{limit} is negative")])
        try:
            listing = await self._client.list(
                knative.SERVICES,
                namespace=self.settings.namespace,
                label_selector=",".join(selector),
                limit=limit,
                continue_token=token,
            )
            found = await self._observe(listing.items)
        except ClusterErrors as error:
            raise errors.from_cluster(doing, error, listing=bool(token)) from error
        apps, skipped = [], []
        for observed in found:
            try:
                apps.append(statuses.app_of(observed, self.settings))
            except statuses.NotAnAppError:
                skipped.append(objects.name_of(observed.service))
        return AppPage(
            apps=tuple(apps),
            token=listing.continue_token,
            remaining=listing.remaining,
            skipped=tuple(skipped),
        )

    async def delete(self, app_id: records.Identifier) -> None:
        doing = f"delete app {app_id}"
        live = await self._find(doing, app_id)
        if live is None:
            return
        try:
            await self._client.delete(
                knative.SERVICES,
                objects.name_of(live),
                namespace=self.settings.namespace,
                uid=objects.uid_of(live),
            )
        except api.NotFoundError:
            return
        except api.ConflictError:
            return  # the uid is another's by now: ours is gone
        except ClusterErrors as error:
            raise errors.from_cluster(doing, error) from error

    # ------------------------------------------------------------------ replicas

    async def replicas(
        self, app_id: records.Identifier, *, latest_ready_only: bool = False
    ) -> tuple[records.Replica, ...]:
        doing = f"list replicas of app {app_id}"
        live = await self._find(doing, app_id)
        status = (live or {}).get("status") or {}
        latest = str(status.get("latestReadyRevisionName") or "")
        selector = f"{knative.SERVICE}={names.kservice_name(app_id)}"
        if latest_ready_only and latest:
            selector += f",{knative.REVISION}={latest}"
        try:
            listing = await self._client.list(
                "pods", namespace=self.settings.namespace, label_selector=selector
            )
        except ClusterErrors as error:
            raise errors.from_cluster(doing, error) from error
        shares: dict[str, int] = {}
        for target in status.get("traffic") or ():
            name = str(target.get("revisionName") or "")
            shares[name] = shares.get(name, 0) + int(target.get("percent") or 0)
        return tuple(_replica(app_id, pod, latest, shares) for pod in listing.items)

    async def delete_replica(
        self, replica_id: records.ReplicaIdentifier, *, force: bool = False
    ) -> None:
        doing = f"delete replica {replica_id.name} of app {replica_id.app_id}"
        await self._find(doing, replica_id.app_id)
        wanted = names.kservice_name(replica_id.app_id)
        try:
            pod = await self._client.get("pods", replica_id.name, namespace=self.settings.namespace)
            if objects.labels_of(pod).get(knative.SERVICE) != wanted:
                raise errors.AppPreconditionError(
                    f"{doing}: the pod does not belong to this app; nothing was deleted"
                )
            await self._client.delete(
                "pods",
                replica_id.name,
                namespace=self.settings.namespace,
                uid=objects.uid_of(pod),
                grace_period_s=0 if force else None,
            )
        except api.NotFoundError:
            return
        except ClusterErrors as error:
            raise errors.from_cluster(doing, error) from error

    async def logs(
        self, app_id: records.Identifier, query: logs.LogQuery, *, follow: bool = False
    ) -> AsyncGenerator[logs.LogLine, None]:
        doing = f"read logs of app {app_id}"
        if await self._find(doing, app_id, for_reading=True) is None:
            raise errors.AppNotFoundError(f"{doing}: there is no such app")
        service = names.kservice_name(app_id)
        reader = logs.Reader(self._client, self.settings.namespace, service, self._clock)
        try:
            pods = await reader.pods(query)
        except ClusterErrors as error:
            raise errors.from_cluster(doing, error) from error
        if query.replica and not pods:
            raise errors.AppNotFoundError(f"{doing}: it has no replica {query.replica}")
        lines = reader.follow(pods, query) if follow else reader.read(pods, query)
        async with contextlib.aclosing(lines):
            async for line in lines:
                yield line

    # ------------------------------------------------------------------ watch

    async def start_watching(self) -> None:
        await self._watcher.start()

    async def stop_watching(self) -> None:
        await self._watcher.stop()

    def subscribe(self, app_id: records.Identifier | str | None = None) -> watching.Subscription:
        return self._watcher.subscribe(app_id)

    def unsubscribe(self, subscription: watching.Subscription) -> None:
        subscription.close()

    def public_ingress(self, app_id: records.Identifier) -> records.Ingress | None:
        return names.public_ingress(app_id, self.settings)

    async def close(self) -> None:
        """Stop watching; the cluster's client belongs to whoever made it."""
        await self._watcher.stop()

    # ------------------------------------------------------------------ inside

    def _now(self) -> str:
        return codec.format_time(self._clock.now())

    async def _find(
        self, doing: str, app_id: records.Identifier, *, for_reading: bool = False
    ) -> objects.Object | None:
        """Return the app's Service, None where there is none, an error where it is another's."""
        name = names.kservice_name(app_id)
        try:
            live = await self._client.get(knative.SERVICES, name, namespace=self.settings.namespace)
        except api.NotFoundError as error:
            if (error.details or {}).get("name") != name:
                raise errors.AppPreconditionError(
                    f"{doing}: this cluster does not serve Knative Services"
                    f" ({knative.API_VERSION}); install Knative Serving in it"
                ) from error
            return None
        except ClusterErrors as error:
            raise errors.from_cluster(doing, error) from error
        owner = _owner(live)
        if owner is not None and _is_same(owner, app_id):
            return live
        if for_reading:
            return None
        raise errors.AppNameConflictError(app_id, name, str(owner) if owner is not None else "")

    async def _write(
        self,
        doing: str,
        app_id: records.Identifier,
        change: Callable[[objects.Object | None], objects.Object | None],
        *,
        dry_run: bool = False,
    ) -> objects.Object | None:
        """Read, change, write; again where another writer was faster. None: there is no such app.

        `change` gets the live Service (None: there is none) and returns the one to write, or None
        to leave things as they are.
        """
        for attempt in range(self.settings.conflict_retries_max + 1):
            live = await self._find(doing, app_id)
            wanted = change(live)
            if wanted is None:
                return live
            try:
                if live is None:
                    return await self._create(wanted, dry_run=dry_run)
                return await self._client.update(
                    knative.SERVICES,
                    wanted,
                    namespace=self.settings.namespace,
                    field_manager=self.settings.field_manager,
                    dry_run=dry_run,
                )
            except (api.ConflictError, api.AlreadyExistsError):
                await self._clock.sleep(_RETRY_S * 2.0**attempt)
            except api.NotFoundError as error:
                if live is None or (error.details or {}).get("name") != objects.name_of(live):
                    raise errors.from_cluster(doing, error) from error
            except ClusterErrors as error:
                raise errors.from_cluster(doing, error) from error
        raise errors.AppConflictError(
            f"{doing}: someone else kept changing it; gave up after"
            f" {self.settings.conflict_retries_max + 1} attempts, try again"
        )

    async def _create(self, service: objects.Object, *, dry_run: bool) -> objects.Object:
        """Create the Service, and its namespace first where that is missing."""
        namespace = self.settings.namespace

        def create() -> Awaitable[objects.Object]:
            return self._client.create(
                knative.SERVICES,
                service,
                namespace=namespace,
                field_manager=self.settings.field_manager,
                dry_run=dry_run,
            )

        try:
            return await create()
        except api.NotFoundError as error:
            if dry_run or (error.details or {}).get("kind") != "namespaces":
                raise
        manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        with contextlib.suppress(api.AlreadyExistsError):  # another deploy was faster
            await self._client.create(
                "namespaces", manifest, field_manager=self.settings.field_manager
            )
        return await create()

    async def _observed(self, service: objects.Object) -> records.App:
        found = await self._observe([service])
        return statuses.app_of(found[0], self.settings)

    async def _observe(self, found: Sequence[objects.Object]) -> Sequence[statuses.Observed]:
        """Fetch what the status of some Services depends on, in one request per resource."""
        if not found:
            return []
        selector = knative.SERVICE
        if len(found) <= _SELECTOR_NAMES_MAX:
            selector = f"{knative.SERVICE} in ({','.join(map(objects.name_of, found))})"
        revisions = await self._client.list(
            knative.REVISIONS, namespace=self.settings.namespace, label_selector=selector
        )
        pods = await self._pods(selector)
        mappings = await domains.of_services(self._client, self.settings.namespace, found)
        by_revision = _by_service(revisions.items)
        by_pod = _by_service(pods)
        return [
            statuses.Observed(
                service=service,
                revisions=by_revision.get(objects.name_of(service), ()),
                pods=by_pod.get(objects.name_of(service), ()),
                domains=mappings.get(objects.name_of(service), ()),
            )
            for service in found
        ]

    async def _pods(self, selector: str) -> Sequence[objects.Object]:
        try:
            listing = await self._client.list(
                "pods", namespace=self.settings.namespace, label_selector=selector
            )
        except api.ForbiddenError:
            return []  # a status without the pods' view says less, but is still right
        return listing.items


def _replica(
    app_id: records.Identifier, pod: objects.Object, latest: str, shares: dict[str, int]
) -> records.Replica:
    status, message = podstates.status(pod)
    revision = objects.labels_of(pod).get(knative.REVISION, "")
    created = objects.metadata(pod).get("creationTimestamp")
    return records.Replica(
        metadata=records.ReplicaMeta(
            id=records.ReplicaIdentifier(app_id=app_id, name=objects.name_of(pod))
        ),
        status=status,
        knative_revision=revision,
        latest_ready=bool(latest) and revision == latest,
        traffic_percent=shares.get(revision, 0),
        restarts=podstates.restarts(pod),
        node=str(objects.lookup(pod, ("spec", "nodeName")) or ""),
        message=message,
        created_at=codec.parse_time(created) if created else None,
    )


def _by_service(found: Sequence[objects.Object]) -> dict[str, list[objects.Object]]:
    out: dict[str, list[objects.Object]] = {}
    for obj in found:
        out.setdefault(objects.labels_of(obj).get(knative.SERVICE, ""), []).append(obj)
    return out


def _owner(service: objects.Object) -> records.Identifier | None:
    """Return who a Service belongs to, None where it is not managed as an app."""
    if not statuses.is_managed(service):
        return None
    try:
        return statuses.identity_of(service)
    except statuses.NotAnAppError:
        return None


def _is_same(one: records.Identifier, other: records.Identifier) -> bool:
    """Compare identities; an empty org is `flyte`, as Flyte reads it."""
    return replace(one, org=one.org or "flyte") == replace(other, org=other.org or "flyte")


def _require_revision(
    app_id: records.Identifier, live: objects.Object | None, expected: int
) -> None:
    present = int(objects.metadata(live or {}).get("generation") or 0)
    if present != expected:
        raise errors.AppPreconditionError(
            f"deploy app {app_id}: it has revision {present}, not {expected}; read it again"
        )
