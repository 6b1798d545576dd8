"""A Kubernetes cluster as a Platform, through any `Client`."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Collection, Container, Iterable
from dataclasses import dataclass, field
from importlib import metadata as packages

import yaml

from understudy.aio import clocks, tasks
from understudy.client import errors as client_errors, protocol as clients
from understudy.delivery import marks
from understudy.kube import health, objects, statuses
from understudy.platform import errors, exports, matching, records, relaying, workloads

FIELD_MANAGER = "understudy-platform"
_READ_ONLY = "the agent of this cluster was told to change nothing (--read-only)"
_log = logging.getLogger(__name__)
_FAILURES = (statuses.ApiError, client_errors.TransportError)
_GONE_S = (0.05, 1.0)
"""Shortest and longest wait between two looks at an object that is being deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a cluster is treated.

    Attributes:
        object_timeout_s: Longest time one object of a sync may take, in seconds.
        export_secrets: Put Secrets into exports; off, because exports are kept and sent around.
        read_only: Change nothing, whoever asks.
        results_kept: Outcomes of syncs kept by request id, so that one asked twice runs once.
    """

    object_timeout_s: float = 60.0
    export_secrets: bool = False
    read_only: bool = False
    results_kept: int = 100
    version: str = field(default_factory=lambda: packages.version("understudy"))


class KubernetesPlatform:
    """One cluster. Syncs are carried out one after another; each of their objects by itself.

    `relay` carries requests as they are (`HttpClient.relay`); without it there are none.
    """

    def __init__(
        self,
        client: clients.Client,
        settings: Settings | None = None,
        *,
        relay: relaying.Relay | None = None,
        clock: clocks.Clock | None = None,
    ) -> None:
        self._client = client
        self._carrier = relaying.Carrier(relay) if relay is not None else None
        self._settings = settings or Settings()
        self._syncing = asyncio.Lock()
        self._kept: dict[str, records.SyncResult | errors.SyncError] = {}
        self._clock = clock or clocks.SystemClock()
        self._background = tasks.TaskSet(_failed)

    async def close(self) -> None:
        """Stop what is being applied without anybody waiting for it."""
        await self._background.stop()

    def _check_writable(self) -> None:
        if self._settings.read_only:
            raise errors.InvalidRequestError(_READ_ONLY)

    # ------------------------------------------------------------------ services

    async def all_services(
        self, namespace: str = "", ignored: Collection[str] = ()
    ) -> list[records.Service]:
        try:
            if namespace:
                await self._client.get("namespaces", namespace)
            lists = {
                resource: await self._listed(resource, namespace)
                for resource in ("services", *workloads.WORKLOADS)
            }
        except _FAILURES as error:
            raise _translated(error) from error
        hidden = [resource for resource, listed in lists.items() if listed is None]
        fronts, *found = [listed or [] for listed in lists.values()]
        every = [workload for listed in found for workload in listed]
        facts = health.Facts(now=self._clock.now())
        services = [workloads.service_of(one, fronts, facts) for one in every if _is_service(one)]
        own = [one for one in fronts if not exports.is_own(one, "Service")]
        services += matching.alone(own, every, hidden)
        return sorted(
            (service for service in services if service.id not in ignored), key=lambda one: one.id
        )

    async def _listed(self, resource: str, namespace: str) -> list[objects.Object] | None:
        """Return the objects of a resource; none where it is not served, None where it is hidden.

        Who may not list one kind still sees the others.
        """
        try:
            return (await self._client.list(resource, namespace=namespace)).items
        except statuses.NotFoundError:
            return []
        except statuses.ForbiddenError:
            return None

    async def some_services(self, ids: Collection[str]) -> list[records.Service]:
        wanted = [records.ServiceId.parse(text) for text in ids]
        found: list[records.Service] = []
        for namespace in sorted({one.namespace for one in wanted}):
            try:
                services = await self.all_services(namespace)
            except errors.NotFoundError:
                continue
            names = {str(one) for one in wanted if one.namespace == namespace}
            found += [service for service in services if service.id in names]
        return found

    # ------------------------------------------------------------------ changes

    async def apply(self, definitions: Iterable[records.ServiceDefinition]) -> None:
        self._check_writable()
        actions: dict[bool, list[records.SyncAction]] = {False: [], True: []}
        failed: dict[str, errors.PlatformError] = {}
        for one in definitions:
            try:
                matching.check(one, _documents(one.definition))
            except errors.PlatformError as error:
                failed[one.service_id] = error
            else:
                made = records.SyncAction(resource_id=one.service_id, apply=one.definition)
                actions[one.asynchronous].append(made)
        try:
            await self.sync(records.SyncDef(actions=tuple(actions[False])))
        except errors.SyncError as error:
            failed |= error.errors
        if actions[True]:
            self._background.start("apply", self._apply_later(tuple(actions[True])))
        if failed:
            raise errors.ApplyError.of(failed)

    async def _apply_later(self, actions: tuple[records.SyncAction, ...]) -> None:
        """Apply what nobody waits for, such as the agent itself; what fails is logged."""
        try:
            await self.sync(records.SyncDef(actions=actions))
        except errors.PlatformError as error:
            _log.warning("what was applied without waiting failed: %s", error)

    async def sync(self, definition: records.SyncDef) -> records.SyncResult:
        self._check_writable()
        async with self._syncing:
            kept = self._kept.get(definition.request_id) if definition.request_id else None
            if kept is None:
                kept = await self._carry_out(definition)
                if definition.request_id:
                    self._kept[definition.request_id] = kept
                    while len(self._kept) > self._settings.results_kept:
                        del self._kept[next(iter(self._kept))]
        if isinstance(kept, errors.SyncError):
            raise kept
        return kept

    async def _carry_out(
        self, definition: records.SyncDef
    ) -> records.SyncResult | errors.SyncError:
        results: list[records.ResourceResult] = []
        failed: dict[str, errors.PlatformError] = {}
        for action in definition.actions:
            error = await self._act(action, results)
            if error is not None:
                failed[_free(failed, action.resource_id)] = error
        if not failed:
            return records.SyncResult(results=tuple(results))
        made = errors.SyncError.of(failed)
        made.details["results"] = records.to_json(results)
        assert isinstance(made, errors.SyncError), "of() keeps its class"
        return made

    async def _act(
        self, action: records.SyncAction, results: list[records.ResourceResult]
    ) -> errors.PlatformError | None:
        """Delete, then apply; what fails ends this action, not the others.

        An action that cannot be read is not begun.
        """
        shown = ""
        try:
            steps = [(self._delete, obj) for obj in _documents(action.delete)]
            steps += [(self._apply, obj) for obj in _documents(action.apply)]
            for step, obj in steps:
                shown = _shown(obj)
                async with asyncio.timeout(self._settings.object_timeout_s):
                    operation = await step(obj)
                results.append(_result(action, shown, operation))
        except (*_FAILURES, errors.PlatformError, TimeoutError) as error:
            told = _translated(error)
            results.append(_result(action, shown, "failed", told.message))
            return told
        return None

    async def _resource(self, obj: objects.Object) -> clients.ApiResource:
        version, kind = str(obj.get("apiVersion") or ""), str(obj.get("kind") or "")
        found = (await self._client.discover()).by_kind(version, kind)
        if found is None:
            found = (await self._client.discover(refresh=True)).by_kind(version, kind)
        if found is None:
            raise errors.ClusterError(f"{_shown(obj)}: the cluster serves no {kind} of {version}")
        return found

    async def _apply(self, obj: objects.Object) -> records.Operation:
        resource = await self._resource(obj)
        live = await self._live(resource, obj)
        if live is not None and objects.metadata(live).get("deletionTimestamp"):
            # Applied now, it would go with the old one.
            await self._wait_until_gone(resource, live)
            live = None
        if live is not None:
            _check_ours(live, obj)
        applied = await self._client.apply(
            resource.name,
            obj,
            field_manager=FIELD_MANAGER,
            namespace=_namespace(resource, obj),
            force=True,
        )
        if live is None:
            return "created"
        before, after = (objects.metadata(one).get("resourceVersion") for one in (live, applied))
        return "unchanged" if before == after else "changed"

    async def _delete(self, obj: objects.Object) -> records.Operation:
        resource = await self._resource(obj)
        live = await self._live(resource, obj)
        if live is None:
            return "unchanged"
        _check_ours(live, obj)
        with contextlib.suppress(statuses.NotFoundError):
            await self._client.delete(
                resource.name,
                objects.name_of(obj),
                namespace=_namespace(resource, obj),
                propagation_policy="Background",
                uid=objects.uid_of(live),
            )
        return "deleted"

    async def _live(
        self, resource: clients.ApiResource, obj: objects.Object
    ) -> objects.Object | None:
        try:
            return await self._client.get(
                resource.name, objects.name_of(obj), namespace=_namespace(resource, obj)
            )
        except statuses.NotFoundError:
            return None

    async def _wait_until_gone(
        self, resource: clients.ApiResource, deleted: objects.Object
    ) -> None:
        wait_s, longest_s = _GONE_S
        try:
            # A little less than the object has, to be able to say what it waits for.
            async with asyncio.timeout(0.9 * self._settings.object_timeout_s):
                while True:
                    live = await self._live(resource, deleted)
                    if live is None or objects.uid_of(live) != objects.uid_of(deleted):
                        return
                    deleted = live
                    await self._clock.sleep(wait_s)
                    wait_s = min(2 * wait_s, longest_s)
        except TimeoutError:
            finalizers = ", ".join(objects.metadata(deleted).get("finalizers") or ())
            waiting = f", waiting for its finalizers {finalizers}" if finalizers else ""
            raise errors.DeadlineError(
                f"{_shown(deleted)} is still being deleted{waiting}"
            ) from None

    # ------------------------------------------------------------------ the rest

    async def export(self) -> str:
        found: list[objects.Object] = []
        left_out: list[str] = []
        try:
            discovery = await self._client.discover()
            for resource in exports.exported(discovery, secrets=self._settings.export_secrets):
                try:
                    listing = await self._client.list(resource.name)
                except statuses.ForbiddenError:
                    left_out.append(f"{resource.plural}.{resource.group}".rstrip("."))
                    continue
                except (statuses.NotFoundError, statuses.MethodNotAllowedError):
                    continue
                kind = {"apiVersion": resource.api_version, "kind": resource.kind}
                found += [
                    exports.cleaned(item | kind)
                    for item in listing.items
                    if not exports.is_own(item, resource.kind)
                ]
        except _FAILURES as error:
            raise _translated(error) from error
        return exports.render(found, (f"{one} may not be listed" for one in left_out))

    async def ping(self) -> None:
        try:
            await self._client.version()
        except _FAILURES as error:
            raise _translated(error) from error

    async def version(self) -> str:
        return self._settings.version

    async def call_api(self, request: records.ApiRequest) -> records.ApiAnswer:
        if self._carrier is None:
            raise errors.UpgradeNeededError(
                "this platform carries no requests of the Kubernetes API"
            )
        if self._settings.read_only and relaying.needs(request) is relaying.Access.WRITE:
            raise errors.InvalidRequestError(_READ_ONLY)
        try:
            return await self._carrier.carry(request)
        except client_errors.TransportError as error:
            raise _translated(error) from error


def _failed(name: str, error: BaseException) -> None:
    _log.error("%s ended: %s", name, error, exc_info=error)


def _translated(error: Exception) -> errors.PlatformError:
    """Return what went wrong on the way to the API server as an error of the platform."""
    if isinstance(error, errors.PlatformError):
        return error
    if isinstance(error, statuses.NotFoundError) and (error.details or {}).get("name"):
        return errors.NotFoundError(error.message)
    if isinstance(error, statuses.ApiError):
        return errors.ClusterError(
            error.message,
            details={"status": error.status()},
            retryable=error.code in {429, 500, 503, 504},
        )
    if isinstance(error, TimeoutError):
        return errors.DeadlineError("the API server did not answer in time")
    return errors.UnavailableError(f"the API server cannot be reached: {error}")


def _documents(text: str) -> list[objects.Object]:
    found = []
    try:
        for document in yaml.load_all(text, Loader=_Loader):
            if document is None:
                continue
            if not isinstance(document, dict) or not document.get("kind"):
                raise errors.InvalidRequestError("a manifest must be an object with a kind")
            found.append(document)
    except yaml.YAMLError as error:
        line = str(error).replace("\n", " ")
        raise errors.InvalidRequestError(f"a manifest is not YAML: {line}") from error
    return found


_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _namespace(resource: clients.ApiResource, obj: objects.Object) -> str:
    return (objects.namespace_of(obj) or "default") if resource.namespaced else ""


def _shown(obj: objects.Object) -> str:
    namespace = objects.namespace_of(obj)
    place = f"{namespace}/" if namespace else ""
    return f"{obj.get('kind')} {place}{objects.name_of(obj)}"


def _is_service(workload: objects.Object) -> bool:
    owners = objects.metadata(workload).get("ownerReferences") or ()
    return not any(owner.get("controller") for owner in owners) and not exports.is_system(workload)


def _check_ours(live: objects.Object, wanted: objects.Object) -> None:
    """See that no application owns an object: what is changed beside it, it changes back."""
    owner = objects.annotations_of(live).get(marks.APPLICATION)
    if owner and objects.annotations_of(wanted).get(marks.APPLICATION) != owner:
        raise errors.ClusterError(
            f"{_shown(live)} belongs to application {owner}",
            help="Deliver it with that application.",
        )


def _free(taken: Container[str], name: str) -> str:
    """Return a name that is not taken: `web`, `web (2)`, ..."""
    numbered = (f"{name} ({number})" for number in itertools.count(2))
    return next(one for one in itertools.chain([name], numbered) if one not in taken)


def _result(
    action: records.SyncAction, shown: str, operation: records.Operation, message: str = ""
) -> records.ResourceResult:
    return records.ResourceResult(
        resource_id=action.resource_id, object=shown, operation=operation, message=message
    )
