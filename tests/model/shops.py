"""Random shops: applications of every kind of object, in clusters that live in simulated time."""

from __future__ import annotations

import asyncio
import contextlib
import copy
from collections.abc import AsyncIterator, Iterable

import orjson

from understudy import assembly
from understudy.aio import clocks, ids
from understudy.client import connections, protocol
from understudy.controllers import running
from understudy.controllers.knative import configmaps, installing, worlds
from understudy.delivery import (
    adoption,
    deliveries,
    dispatch,
    guards,
    leases,
    manifests,
    marks,
    stage as stages,
    targets,
)
from understudy.kapi import server as servers, settings, views
from understudy.kube import objects

OWNER = targets.Owner("shop", "default")
OTHERS = "team"
"""A namespace that is there before, and nobody's."""


# ---------------------------------------------------------------------- manifests


def placed(kind: str, name: str, namespace: str = "default") -> objects.Object:
    api_version = {
        "Widget": "example.com/v1",
        "Deployment": "apps/v1",
        "StatefulSet": "apps/v1",
        "Job": "batch/v1",
    }.get(kind, "v1")
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": api_version, "kind": kind, "metadata": meta}


def annotated(obj: objects.Object, **annotations: str) -> objects.Object:
    return {**obj, "metadata": {**obj["metadata"], "annotations": annotations}}


def config(name: str, value: str) -> objects.Object:
    return {**placed("ConfigMap", name), "data": {"v": value, value: "extra"}}


def secret(name: str, value: str) -> objects.Object:
    return {**placed("Secret", name), "data": {"v": f"{ord(value[:1]):04}"}}


def service(name: str, value: str) -> objects.Object:
    spec = {"selector": {"v": value}, "ports": [{"port": 80 + ord(value)}]}
    return {**placed("Service", name), "spec": spec}


def deployment(name: str, value: str) -> objects.Object:
    labels = {"app": name}
    env = [{"name": "A", "value": value}, {"name": "API_TOKEN", "value": f"token-{value}"}]
    containers = [{"name": "c", "image": f"i:{value}", "env": env}]
    template = {"metadata": {"labels": labels}, "spec": {"containers": containers}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    return {**placed("Deployment", name), "spec": spec}


def moving(name: str, value: str) -> objects.Object:
    """A Deployment whose selector, which cannot be changed, follows the value."""
    made = deployment(f"m-{name}", value)
    labels = {"app": f"{name}-{value}"}
    made["spec"]["selector"]["matchLabels"] = labels
    made["spec"]["template"]["metadata"]["labels"] = labels
    return made


def space(name: str, value: str) -> objects.Object:
    meta = {"name": f"space-{name}", "labels": {"v": value}}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": meta}


def inside(name: str, value: str) -> objects.Object:
    return {**placed("ConfigMap", "inside", f"space-{name}"), "data": {"v": value}}


def visiting(name: str, value: str) -> objects.Object:
    return {**placed("ConfigMap", name, OTHERS), "data": {"v": value}}


def role(name: str, value: str) -> objects.Object:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": f"role-{name}"},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": [value]}],
    }


def definition(_name: str, value: str) -> objects.Object:
    """The definition of Widgets, whatever the name; the value decides on a default."""
    colour = {"type": "string", "default": value}
    spec = {"type": "object", "properties": {"colour": colour, "size": {"type": "string"}}}
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}
    versions = [{"name": "v1", "served": True, "storage": True, "schema": schema}]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "versions": versions,
            "names": {"kind": "Widget", "plural": "widgets", "singular": "widget"},
        },
    }  # fmt: skip


def widget(name: str, value: str) -> objects.Object:
    made = {**placed("Widget", name), "spec": {"size": value}}
    return annotated(made, **{"core.understudy.dev/sensitive-paths": "spec.size"})


def job(name: str, value: str) -> objects.Object:
    """A Job, which is created anew when its template changes."""
    containers = [{"name": "c", "image": f"i:{value}"}]
    template = {"spec": {"restartPolicy": "Never", "containers": containers}}
    return {**placed("Job", f"job-{name}"), "spec": {"template": template}}


def database(name: str, value: str) -> objects.Object:
    """A StatefulSet with a claim, which stays when it goes."""
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    made = deployment(f"db-{name}", value)
    spec = {**made["spec"], "serviceName": "db", "volumeClaimTemplates": [claim]}
    return {**made, "kind": "StatefulSet", "spec": spec}


def kservice(name: str, value: str) -> objects.Object:
    template = {"spec": {"containers": [{"image": f"app:{value}"}]}}
    meta = {"name": f"app-{name}", "namespace": "default"}
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": meta,
        "spec": {"template": template},
    }


def hook(name: str, value: str) -> objects.Object:
    policy = {"x": "hook-succeeded", "y": "before-hook-creation", "z": "hook-failed"}[value]
    when = {"a": "pre-deliver", "b": "post-deliver", "c": "pre-delete"}[name]
    notes = {
        "core.understudy.dev/hook": when,
        "core.understudy.dev/hook-delete-policy": policy,
    }
    return annotated(config(f"hook-{name}", value), **notes)


def kept(name: str, value: str) -> objects.Object:
    return annotated(config(f"kept-{name}", value), **{"helm.sh/resource-policy": "keep"})


def once(name: str, value: str) -> objects.Object:
    notes = {"kustomize.toolkit.fluxcd.io/ssa": "IfNotPresent"}
    return annotated(config(f"once-{name}", value), **notes)


MAKERS = (
    config, secret, service, deployment, moving, space, inside, visiting, role, definition,
    widget, job, database, hook, kept, once,
)  # fmt: skip
FOREIGN = (config, secret, deployment, visiting, role)
_NEEDS = {inside: space, widget: definition}


def complete(application: dict) -> list[objects.Object]:
    """Return an application's objects, with what they cannot be without, each once."""
    made: dict[tuple, objects.Object] = {}
    for (maker, name), value in application.items():
        needed = _NEEDS.get(maker)
        for one in ([needed(name, value)] if needed else []) + [maker(name, value)]:
            meta = one["metadata"]
            made[one["kind"], meta.get("namespace", ""), meta["name"]] = one
    return list(made.values())


def told(application: dict) -> bytes:
    """Return an application as bytes, to compare it with another."""
    made = sorted(complete(application), key=lambda obj: orjson.dumps(obj["metadata"]))
    return orjson.dumps(made, option=orjson.OPT_SORT_KEYS)


def written(application: dict) -> list[manifests.Manifest]:
    return [
        manifests.Manifest(copy.deepcopy(obj), manifests.Source("f"))
        for obj in complete(application)
    ]


# ---------------------------------------------------------------------- drift


def _edit(view: views.View, name: str, value: str) -> None:
    _patch(view, "configmaps", name, {"data": {"v": value}})


def _scale(view: views.View, name: str, value: str) -> None:
    _patch(view, "deployments.apps", name, {"spec": {"replicas": "xyz".index(value)}})


def _unmark(view: views.View, name: str, _value: str) -> None:
    _patch(view, "configmaps", name, {"metadata": {"labels": {marks.PART_OF: None}}})


def _lose(view: views.View, name: str, _value: str) -> None:
    if view.find("secrets", "default", name) is not None:
        view.delete("secrets", name, "default")


def _remake(view: views.View, name: str, value: str) -> None:
    """Delete an object and make another of its name, without its marks."""
    if view.find("configmaps", "default", name) is not None:
        view.delete("configmaps", name, "default")
        view.create("configmaps", config(name, value), "default")


DRIFTS = (_edit, _scale, _unmark, _lose, _remake)


def _patch(view: views.View, resource: str, name: str, patch: objects.Object) -> None:
    if view.find(resource, "default", name) is not None:
        view.patch(resource, name, patch, "default")


# ---------------------------------------------------------------------- clusters

RESOURCES = (
    "configmaps", "secrets", "services", "deployments.apps", "statefulsets.apps", "jobs.batch",
    "persistentvolumeclaims", "namespaces", "clusterroles.rbac.authorization.k8s.io",
    "customresourcedefinitions.apiextensions.k8s.io", "widgets.example.com",
    "services.serving.knative.dev",
)  # fmt: skip
OPTIONS = deliveries.Options(
    dispatch=dispatch.DispatchSettings(
        recreate=True,
        force_conflicts=True,
        adoption=adoption.Adoption.ALL,
        guards=guards.GuardSettings(allow_crd_prune=True, allow_many=True),
    ),
    lease=leases.LeaseSettings(duration_s=10**6),
)
_ALLOTTED = ("clusterIP", "clusterIPs", "volumeName")
_OTHERS_SLEEP_S = 5.0
"""Whoever sleeps longer renews a lock; nobody waits for that."""

Content = dict[str, objects.Json]


class Living(clocks.ManualClock):
    """The time of a cluster that lives while somebody waits: its controllers run, then it passes."""

    def __init__(self, view: views.View, more: Iterable = ()) -> None:
        super().__init__(view.now())
        self.rehearsal = running.Rehearsal(view, "all", assembly.REHEARSED, self, more=more)
        self.rehearsal.rest()

    async def sleep(self, seconds: float) -> None:
        if seconds > _OTHERS_SLEEP_S:
            await asyncio.Event().wait()
        self.rehearsal.rest()
        await super().sleep(seconds)


class Shop:
    """A living cluster, and the face by which an application is delivered to it.

    Attributes:
        rehearsed: What the last stage held in the end.
    """

    def __init__(
        self,
        view: views.View,
        clock: Living,
        client: protocol.Client,
        make_stage: stages.MakeStage,
        *,
        whole: bool,
    ) -> None:
        self.view = view
        self.rehearsed: Content = {}
        self._clock = clock
        self._make_stage = make_stage
        self._whole = whole
        self.face = deliveries.Deliveries(client, self._stage, clock=clock, idents=ids.SeededIds(1))

    async def _stage(self, read: stages.ReadLive) -> stages.Stage:
        stage = await self._make_stage(read)
        assert isinstance(stage, assembly.ForkStage)
        closing = stage.close

        async def close() -> None:
            self.rehearsed = self._content_of(stage._view)
            await closing()

        stage.close = close  # type: ignore[method-assign]
        return stage

    def from_afar(self) -> deliveries.Deliveries:
        """Return another face, whose stages are copies of what is read."""
        return deliveries.Deliveries(
            assembly.ViewClient(self.view),
            assembly.LoadingStages(clock=self._clock),
            clock=self._clock,
            idents=ids.SeededIds(1),
        )

    def settle(self, foreign: Iterable) -> None:
        """Put others' objects there."""
        self.view.create("namespaces", {"metadata": {"name": OTHERS}})
        notes = {"storageclass.kubernetes.io/is-default-class": "true"}
        standard = {"metadata": {"name": "standard", "annotations": notes}, "provisioner": "d.ex/d"}
        self.view.create("storageclasses.storage.k8s.io", standard)
        for maker, name in sorted(foreign, key=str):
            obj = maker(name, "f")
            resource = self.view.catalogue.by_kind(obj["apiVersion"], obj["kind"])
            known = f"{resource.plural}.{resource.group}".rstrip(".")
            self.view.create(known, obj, obj["metadata"].get("namespace", ""))
        self.rest()

    def meddle(self, drift: Iterable) -> None:
        for how, name, value in drift:
            how(self.view, name, value)
        self.rest()

    def rest(self) -> None:
        self._clock.rehearsal.rest()

    @property
    def is_known(self) -> bool:
        """Whether there is a record of the application."""
        return bool(self._records("resourcetrackers"))

    def revisions(self) -> list[str]:
        return self._records("applicationrevisions")

    def _records(self, plural: str) -> list[str]:
        name = f"{plural}.{marks.GROUP}"
        known = self.view.catalogue.named(name) is not None
        return [objects.name_of(obj) for obj in self.view.each(name)] if known else []

    def content(self) -> Content:
        """Return what a rehearsal knows too: all, or what is the application's own."""
        return self._content_of(self.view)

    def _content_of(self, view: views.View) -> Content:
        found = _content(view)
        return found if self._whole else {k: v for k, v in found.items() if _is_own(v)}

    def everything(self) -> Content:
        return _content(self.view)

    def own(self) -> Content:
        return {name: value for name, value in self.everything().items() if _is_own(value)}

    def strangers(self) -> Content:
        """Return all that is not the application's, and does not go with anything that is."""
        found, own = self.everything(), self.own()
        spaces = {name.split("/")[1] for name in own if name.startswith("Namespace ")}
        return {
            name: value
            for name, value in found.items()
            if name not in own and not value["made"] and name.split()[1].split("/")[0] not in spaces
        }


def _is_own(value: objects.Json) -> bool:
    return (value["labels"] or {}).get(marks.PART_OF) == OWNER.part_of


def _content(view: views.View) -> Content:
    """Return what there is, without what differs in every cluster and the records."""
    found: Content = {}
    for resource in RESOURCES:
        for obj in view.each(resource) if view.catalogue.named(resource) else ():
            meta = obj["metadata"]
            name = f"{obj['kind']} {meta.get('namespace', '')}/{meta['name']}"
            if "shop-v" in name or marks.GROUP in name:
                continue
            body = {k: v for k, v in obj.items() if k not in ("metadata", "status", "spec")}
            spec = {k: v for k, v in (obj.get("spec") or {}).items() if k not in _ALLOTTED}
            owned = {
                (entry["manager"], entry["operation"]): entry["fieldsV1"]
                for entry in meta.get("managedFields") or ()
                if not entry.get("subresource")
            }
            found[name] = {
                "body": body,
                "spec": _without_uids(spec),
                "labels": meta.get("labels"),
                "annotations": meta.get("annotations"),
                "finalizers": meta.get("finalizers"),
                "owned": owned,
                "goes": bool(meta.get("deletionTimestamp")),
                "made": bool(meta.get("ownerReferences")),
            }
    return found


def _without_uids(value: objects.Json) -> objects.Json:
    """Leave out the labels that say of which Job something is."""
    if isinstance(value, dict):
        return {k: _without_uids(v) for k, v in value.items() if "controller-uid" not in k}
    return [_without_uids(item) for item in value] if isinstance(value, list) else value


@contextlib.asynccontextmanager
async def in_process(*, knative: bool = False) -> AsyncIterator[Shop]:
    """A view, rehearsed on a fork of it."""
    view = views.new_view()
    more = []
    if knative:
        known = configmaps.read(
            lambda name: view.find("configmaps", installing.SYSTEM_NAMESPACE, name)
        )
        installing.install(view, known)
        more = installing.controllers(known, worlds.steady())
    clock = Living(view, more)
    make_stage = assembly.ForkingStages(view)
    try:
        # What Knative makes is labelled with uids, which differ in every cluster.
        yield Shop(view, clock, assembly.ViewClient(view), make_stage, whole=not knative)
    finally:
        clock.rehearsal.close()
        view.close()


@contextlib.asynccontextmanager
async def over_http() -> AsyncIterator[Shop]:
    """A server, rehearsed on a copy of what is read from it."""
    server = servers.Server(settings.ServerSettings(port=0))
    await server.start()
    client = connections.connect(kubeconfig=str(server.kubeconfig))
    clock = Living(server.base)
    make_stage = assembly.LoadingStages(clock=clock)
    try:
        yield Shop(server.base, clock, client, make_stage, whole=False)
    finally:
        clock.rehearsal.close()
        await client.close()
        await server.stop()
