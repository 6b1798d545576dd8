"""A Kubernetes cluster as a Platform, through any `Client`."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from importlib import metadata as packages
from typing import Literal

import yaml

from understudy.client import errors as client_errors, protocol as clients
from understudy.kube import objects, statuses
from understudy.platform import errors, matching, records, relaying

WORKLOADS = (
    "deployments.apps",
    "statefulsets.apps",
    "daemonsets.apps",
    "replicasets.apps",
    "replicationcontrollers",
    "cronjobs.batch",
    "jobs.batch",
    "pods",
)
"""What runs containers. Those that another workload owns are part of it, not services."""
FIELD_MANAGER = "understudy-platform"
_ADDON = "addonmanager.kubernetes.io/mode"
_CLUSTER_SERVICE = "kubernetes.io/cluster-service"
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_SERVER_METADATA = (
    "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp",
    "deletionGracePeriodSeconds", "managedFields", "selfLink",
)  # fmt: skip
_NOT_EXPORTED = frozenset(
    ["events", "endpoints", "endpointslices", "leases", "componentstatuses", "apiservices"]
)
_READ_ONLY = "the agent of this cluster was told to change nothing (--read-only)"
_SYSTEM = frozenset(["kube-system", "kube-public", "kube-node-lease"])


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
    ) -> None:
        self._client = client
        self._relay = relay
        self._settings = settings or Settings()
        self._syncing = asyncio.Lock()
        self._kept: dict[str, records.SyncResult | errors.SyncError] = {}

    # ------------------------------------------------------------------ services

    async def all_services(
        self, namespace: str = "", ignored: Collection[str] = ()
    ) -> list[records.Service]:
        try:
            if namespace:
                await self._client.get("namespaces", namespace)
            fronts = (await self._client.list("services", namespace=namespace)).items
            workloads: list[objects.Object] = []
            for resource in WORKLOADS:
                workloads += (await self._client.list(resource, namespace=namespace)).items
        except (statuses.ApiError, client_errors.TransportError) as error:
            raise _translated(error) from error
        found = [_service(one, fronts) for one in workloads if _is_service(one)]
        found += matching.alone([one for one in fronts if not _is_own(one)], workloads)
        return sorted(
            (service for service in found if service.id not in ignored), key=lambda one: one.id
        )

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
        actions: list[records.SyncAction] = []
        failed: dict[str, errors.PlatformError] = {}
        for one in definitions:
            try:
                matching.check(one, list(_documents(one.definition)))
            except errors.PlatformError as error:
                failed[one.service_id] = error
            else:
                actions.append(records.SyncAction(resource_id=one.service_id, apply=one.definition))
        try:
            await self.sync(records.SyncDef(actions=tuple(actions)))
        except errors.SyncError as error:
            failed |= error.errors
        if failed:
            raise errors.ApplyError.of(failed)

    async def sync(self, definition: records.SyncDef) -> records.SyncResult:
        if self._settings.read_only:
            raise errors.InvalidRequestError(_READ_ONLY)
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
                failed[action.resource_id] = error
        if not failed:
            return records.SyncResult(results=tuple(results))
        made = errors.SyncError.of(failed)
        made.details["results"] = records.to_json(results)
        assert isinstance(made, errors.SyncError), "of() keeps its class"
        return made

    async def _act(
        self, action: records.SyncAction, results: list[records.ResourceResult]
    ) -> errors.PlatformError | None:
        """Delete, then apply; what fails ends this action, not the others."""
        for step, text in (("delete", action.delete), ("apply", action.apply)):
            if not text:
                continue
            shown = ""
            try:
                for obj in _documents(text):
                    shown = _shown(obj)
                    async with asyncio.timeout(self._settings.object_timeout_s):
                        operation = (
                            await self._delete(obj) if step == "delete" else await self._apply(obj)
                        )
                    results.append(
                        records.ResourceResult(
                            resource_id=action.resource_id, object=shown, operation=operation
                        )
                    )
            except (
                statuses.ApiError,
                client_errors.TransportError,
                errors.PlatformError,
                TimeoutError,
            ) as error:
                told = _translated(error)
                results.append(
                    records.ResourceResult(
                        resource_id=action.resource_id,
                        object=shown,
                        operation="failed",
                        message=told.message,
                    )
                )
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

    async def _apply(self, obj: objects.Object) -> Literal["created", "changed", "unchanged"]:
        resource = await self._resource(obj)
        namespace = _namespace(resource, obj)
        name = objects.name_of(obj)
        before = ""
        try:
            live = await self._client.get(resource.name, name, namespace=namespace)
            before = str(live["metadata"].get("resourceVersion"))
        except statuses.NotFoundError:
            pass
        applied = await self._client.apply(
            resource.name, obj, field_manager=FIELD_MANAGER, namespace=namespace, force=True
        )
        if not before:
            return "created"
        return "unchanged" if applied["metadata"].get("resourceVersion") == before else "changed"

    async def _delete(self, obj: objects.Object) -> Literal["deleted", "unchanged"]:
        resource = await self._resource(obj)
        try:
            await self._client.delete(
                resource.name,
                objects.name_of(obj),
                namespace=_namespace(resource, obj),
                propagation_policy="Background",
            )
        except statuses.NotFoundError:
            return "unchanged"
        return "deleted"

    # ------------------------------------------------------------------ the rest

    async def export(self) -> str:
        try:
            discovery = await self._client.discover()
            found: list[objects.Object] = []
            for resource in _exported(discovery, secrets=self._settings.export_secrets):
                try:
                    listing = await self._client.list(resource.name)
                except (statuses.ForbiddenError, statuses.NotFoundError):
                    continue
                found += [
                    cleaned(item) | {"apiVersion": resource.api_version, "kind": resource.kind}
                    for item in listing.items
                    if not objects.metadata(item).get("ownerReferences") and not _is_system(item)
                ]
        except (statuses.ApiError, client_errors.TransportError) as error:
            raise _translated(error) from error
        found.sort(key=_export_order)
        return "".join(f"---\n{yaml.safe_dump(obj, sort_keys=True)}" for obj in found)

    async def ping(self) -> None:
        try:
            await self._client.version()
        except (statuses.ApiError, client_errors.TransportError) as error:
            raise _translated(error) from error

    async def version(self) -> str:
        return self._settings.version

    async def call_api(self, request: records.ApiRequest) -> records.ApiAnswer:
        if self._relay is None:
            raise errors.UpgradeNeededError(
                "this platform carries no requests of the Kubernetes API"
            )
        if self._settings.read_only and relaying.needs(request) is relaying.Access.WRITE:
            raise errors.InvalidRequestError(_READ_ONLY)
        try:
            return await relaying.carry(self._relay, request)
        except client_errors.TransportError as error:
            raise _translated(error) from error


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


def _documents(text: str) -> Iterator[objects.Object]:
    try:
        for document in yaml.load_all(text, Loader=_Loader):
            if document is None:
                continue
            if not isinstance(document, dict) or not document.get("kind"):
                raise errors.InvalidRequestError("a manifest must be an object with a kind")
            yield document
    except yaml.YAMLError as error:
        line = str(error).replace("\n", " ")
        raise errors.InvalidRequestError(f"a manifest is not YAML: {line}") from error


_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _namespace(resource: clients.ApiResource, obj: objects.Object) -> str:
    return (objects.namespace_of(obj) or "default") if resource.namespaced else ""


def _shown(obj: objects.Object) -> str:
    namespace = objects.namespace_of(obj)
    place = f"{namespace}/" if namespace else ""
    return f"{obj.get('kind')} {place}{objects.name_of(obj)}"


def _is_system(obj: objects.Object) -> bool:
    """Say whether an object is the cluster's own: an add-on, or made by the API server."""
    labels = objects.labels_of(obj)
    if labels.get(_CLUSTER_SERVICE) == "true" or labels.get(_ADDON) in {
        "EnsureExists",
        "Reconcile",
    }:
        return True
    if labels.get("kubernetes.io/bootstrapping") or objects.namespace_of(obj) in _SYSTEM:
        return True
    automatic = ("apf.kubernetes.io/autoupdate-spec", "rbac.authorization.kubernetes.io/autoupdate")
    return any(name in objects.annotations_of(obj) for name in automatic)


def _is_own(front: objects.Object) -> bool:
    """Say whether a Service is the cluster's own: the API server's address has no pods."""
    api = objects.namespace_of(front) == "default" and objects.name_of(front) == "kubernetes"
    return api or _is_system(front)


def _is_service(workload: objects.Object) -> bool:
    owners = objects.metadata(workload).get("ownerReferences") or ()
    return not any(owner.get("controller") for owner in owners) and not _is_system(workload)


def _service(workload: objects.Object, fronts: list[objects.Object]) -> records.Service:
    meta, template = workload["metadata"], matching.template_of(workload)
    labels = objects.labels_of(template)
    front = next((one for one in fronts if matching.selects(one, meta["namespace"], labels)), None)
    identity = records.ServiceId(meta["namespace"], str(workload["kind"]).lower(), meta["name"])
    rollout = rollout_of(workload)
    return records.Service(
        id=str(identity),
        ip=objects.lookup(front, ("spec", "clusterIP"), "") if front else "",
        metadata={
            "created_at": meta.get("creationTimestamp") or "",
            "resource_version": meta.get("resourceVersion") or "",
            "uid": meta.get("uid") or "",
        },
        status=status_of(workload, rollout),
        containers=_containers(template),
        rollout=rollout,
        labels=dict(objects.labels_of(workload)),
    )


def _containers(template: objects.Object) -> records.ContainersOrExcuse:
    spec = template.get("spec") or {}
    found = [
        records.Container(name=one.get("name") or "", image=one.get("image") or "", init=init)
        for init, key in ((True, "initContainers"), (False, "containers"))
        for one in spec.get(key) or ()
    ]
    if not found:
        return records.ContainersOrExcuse(excuse="its template has no containers")
    return records.ContainersOrExcuse(containers=tuple(found))


def rollout_of(workload: objects.Object) -> records.Rollout:
    """Return how far a workload has come; kinds count their pods under different names."""
    spec, status = workload.get("spec") or {}, workload.get("status") or {}
    kind = workload.get("kind")
    messages = tuple(
        str(condition.get("message"))
        for condition in status.get("conditions") or ()
        if (condition.get("type"), condition.get("status"))
        in {("Progressing", "False"), ("ReplicaFailure", "True"), ("Failed", "True")}
    )
    if kind == "DaemonSet":
        desired = status.get("desiredNumberScheduled") or 0
        updated = status.get("updatedNumberScheduled") or 0
        return records.Rollout(
            desired=desired,
            updated=updated,
            ready=status.get("numberReady") or 0,
            available=status.get("numberAvailable") or 0,
            outdated=(status.get("currentNumberScheduled") or 0) - updated,
            messages=messages,
        )
    if kind in {"Pod", "CronJob", "Job"}:
        return records.Rollout(messages=messages)
    desired = 1 if spec.get("replicas") is None else int(spec["replicas"])
    total, ready = status.get("replicas") or 0, status.get("readyReplicas") or 0
    updated = status.get("updatedReplicas") or 0
    if kind in {"ReplicaSet", "ReplicationController"}:
        updated = total
    if kind == "StatefulSet":
        partition = objects.lookup(spec, ("updateStrategy", "rollingUpdate", "partition")) or 0
        desired = max(0, desired - int(partition))
    return records.Rollout(
        desired=desired,
        updated=updated,
        ready=ready,
        available=status.get("availableReplicas") or (ready if kind == "StatefulSet" else 0),
        outdated=max(0, total - updated),
        messages=messages,
    )


def status_of(workload: objects.Object, rollout: records.Rollout) -> str:
    """Return a workload's state in one word."""
    meta, status = workload["metadata"], workload.get("status") or {}
    kind = workload.get("kind")
    if kind == "Pod":
        phases = {"Running": "ready", "Succeeded": "ready", "Failed": "error"}
        return phases.get(str(status.get("phase")), "updating")
    if kind == "CronJob":
        return "ready"
    if kind == "Job":
        done = {c.get("type") for c in status.get("conditions") or () if c.get("status") == "True"}
        return "error" if "Failed" in done else "ready" if "Complete" in done else "updating"
    if int(status.get("observedGeneration") or 0) < int(meta.get("generation") or 0):
        return "started"
    if rollout.messages:
        return "error"
    done_all = rollout.updated >= rollout.desired and rollout.available >= rollout.desired
    return "ready" if done_all and not rollout.outdated else "updating"


def cleaned(obj: objects.Object) -> objects.Object:
    """Return an object as somebody would have written it: without what the server adds."""
    out = objects.copy(obj)
    out.pop("status", None)
    meta = out["metadata"]
    for key in _SERVER_METADATA:
        meta.pop(key, None)
    annotations = {k: v for k, v in (meta.get("annotations") or {}).items() if k != _LAST_APPLIED}
    annotations.pop("deployment.kubernetes.io/revision", None)
    meta.pop("annotations", None)
    if annotations:
        meta["annotations"] = annotations
    if out.get("kind") == "Service":
        for key in ("clusterIP", "clusterIPs"):
            if objects.lookup(out, ("spec", key)) not in ("None", ["None"]):
                out["spec"].pop(key, None)
    return dict(out)


def _exported(discovery: clients.Discovery, *, secrets: bool) -> list[clients.ApiResource]:
    seen: set[tuple[str, str]] = set()
    out: list[clients.ApiResource] = []
    for resource in discovery.resources:
        key = (resource.group, resource.plural)
        if key in seen or "list" not in resource.verbs or "create" not in resource.verbs:
            continue
        seen.add(key)
        if resource.plural in _NOT_EXPORTED or (resource.plural == "secrets" and not secrets):
            continue
        out.append(resource)
    return out


_FIRST = {"Namespace": 0, "CustomResourceDefinition": 1}


def _export_order(obj: objects.Object) -> tuple[int, str, str, str, str]:
    return (
        _FIRST.get(str(obj["kind"]), 2),
        objects.namespace_of(obj),
        str(obj["apiVersion"]),
        str(obj["kind"]),
        objects.name_of(obj),
    )
