"""A Revision resolves its images, makes a Deployment and an autoscaler, and says how it is.

Source: knative.dev/serving `pkg/reconciler/revision`, `apis/serving/v1/revision_lifecycle.go`.
"""

from __future__ import annotations

from collections.abc import Sequence

from understudy.controllers import changes, clusters, reactor, recorders
from understudy.controllers.knative import (
    conditions,
    deployments,
    meta,
    reconciling,
    worlds,
)
from understudy.controllers.knative.settings import KnativeSettings
from understudy.kube import objects
from understudy.kube.knative import keys

AVAILABLE, HEALTHY, ACTIVE = "ResourcesAvailable", "ContainerHealthy", "Active"
_DEPLOYING, _RESOLVING = "Deploying", "ResolvingDigests"
_RESOLVE_S = 0.01


class Revisions:
    """The Revision controller."""

    name = "knative-revision-controller"
    watched: Sequence[str] = (
        keys.REVISIONS, meta.DEPLOYMENTS, meta.AUTOSCALERS, meta.IMAGES, "pods",
    )  # fmt: skip

    def __init__(
        self, shared: clusters.Shared, config: KnativeSettings, world: worlds.World
    ) -> None:
        self._cluster = clusters.Cluster(shared, "revision-controller", "controller")
        self._recorder = recorders.Recorder(self._cluster, "revision-controller")
        self._config = config
        self._world = world

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        if change.ref == keys.REVISIONS:
            queue.add((change.key.namespace, change.key.name))
            return
        if change.ref == "pods":  # a container that fails is told at once
            revision = (change.entry.labels or {}).get(keys.REVISION)
            if revision:
                queue.add((change.key.namespace, revision))
            return
        owner = meta.controller_of(change.object)
        if owner is not None and owner.get("kind") == "Revision":
            queue.add((change.key.namespace, str(owner["name"])))

    def reconcile(self, key: reactor.Key) -> float | None:
        return reconciling.reconcile(
            self._cluster,
            self._recorder,
            keys.REVISIONS,
            key,
            (AVAILABLE, HEALTHY),
            self._body,
        )

    def _body(self, revision: objects.Object, managed: conditions.Conditions) -> float | None:
        was_ready = conditions.is_ready(revision)
        if not self._resolve(revision, managed):
            managed.mark_unknown(AVAILABLE, _RESOLVING)
            return _RESOLVE_S
        deployment = self._deploy(revision, managed)
        self._cache_images(revision)
        self._scale(revision, managed, deployment)
        if not was_ready and managed.is_true(conditions.READY):
            self._recorder.event(
                revision,
                "Normal",
                "RevisionReady",
                "Revision becomes ready upon all resources being ready",
            )
        return None

    # ------------------------------------------------------------------ images

    def _resolve(self, revision: objects.Object, managed: conditions.Conditions) -> bool:
        """Resolve the images; the first look only asks, as a registry takes its time to answer."""
        status = revision["status"]
        containers = revision["spec"].get("containers") or []
        if len(status.get("containerStatuses") or ()) == len(containers):
            return True
        if "observedGeneration" not in status:
            return False
        found = []
        for container in containers:
            image = str(container.get("image") or "")
            entry: objects.Object = {"name": container["name"]}
            try:
                digest = self._digest(image)
            except LookupError as error:
                message = (
                    f'Unable to fetch image "{image}": failed to resolve image to digest:'
                    f" {error.args[0]}"
                )
                managed.mark_false(HEALTHY, "ContainerMissing", message)
                raise reconciling.ReconcileError(message) from None
            if digest:
                entry["imageDigest"] = digest
            found.append(entry)
        status["containerStatuses"] = found
        return True

    def _digest(self, image: str) -> str:
        if "@" in image:
            return image
        if "/" in image and image.split("/", 1)[0] in self._config.skipped_registries:
            return ""
        return self._world.registry.digest(image)

    def _cache_images(self, revision: objects.Object) -> None:
        namespace = objects.namespace_of(revision)
        for entry in revision["status"].get("containerStatuses") or ():
            name = deployments.cache_name(revision, entry["name"])
            if self._cluster.entry(meta.IMAGES, namespace, name) is None:
                image = deployments.make_image(
                    revision, entry["name"], entry.get("imageDigest", "")
                )
                self._cluster.create(meta.IMAGES, image)

    # ------------------------------------------------------------------ deployment

    def _deploy(self, revision: objects.Object, managed: conditions.Conditions) -> objects.Object:
        namespace, name = objects.namespace_of(revision), deployments.deployment_name(revision)
        wanted = deployments.make_deployment(revision, self._config)
        present = self._cluster.find(meta.DEPLOYMENTS, namespace, name)
        if present is None:
            managed.mark_unknown(AVAILABLE, _DEPLOYING)
            managed.mark_unknown(HEALTHY, _DEPLOYING)
            return self._cluster.create(meta.DEPLOYMENTS, wanted)
        if not meta.is_controlled_by(present, revision):
            text = f'There is an existing Deployment "{name}" that we do not own.'
            managed.mark_false(AVAILABLE, "NotOwned", text)
            raise reconciling.ReconcileError(
                f'revision: "{objects.name_of(revision)}" does not own Deployment: "{name}"'
            )
        if not self._config.keeps_deployments and _hash(present) != _hash(wanted):
            present = self._update(present, wanted)
        self._propagate(present, managed)
        wanted_replicas = objects.lookup(present, ("spec", "replicas")) or 0
        if wanted_replicas > 0 and not objects.lookup(present, ("status", "availableReplicas")):
            self._look_at_pod(present, managed)
        if objects.lookup(present, ("status", "readyReplicas")):
            managed.mark_true(HEALTHY)
        return present

    def _update(self, present: objects.Object, wanted: objects.Object) -> objects.Object:
        """Bring the Deployment to what is wanted, but for its scale, which is the autoscaler's."""
        changed = objects.copy(present)
        replicas = present["spec"].get("replicas")
        changed["spec"] = wanted["spec"] | {"replicas": replicas}
        changed["metadata"]["labels"] = objects.labels_of(present) | objects.labels_of(wanted)
        changed["metadata"]["annotations"] = objects.annotations_of(
            present
        ) | objects.annotations_of(wanted)
        updated: objects.Object = self._cluster.update(meta.DEPLOYMENTS, changed)
        return updated

    def _propagate(self, deployment: objects.Object, managed: conditions.Conditions) -> None:
        status = deployment.get("status")
        failure = conditions.find(status, "ReplicaFailure")
        progressing = conditions.find(status, "Progressing")
        if failure is not None and failure.get("status") == "True":
            managed.mark_false(AVAILABLE, *_words(failure))
        elif progressing is None:
            managed.mark_unknown(AVAILABLE, _DEPLOYING)
        elif progressing.get("status") == "True":
            managed.mark_true(AVAILABLE)
        elif progressing.get("status") == "False":
            managed.mark_false(AVAILABLE, *_words(progressing))
        else:
            managed.mark_unknown(AVAILABLE, *_words(progressing))

    def _look_at_pod(self, deployment: objects.Object, managed: conditions.Conditions) -> None:
        """Learn from one pod why nothing is available: the first by name stands for all."""
        pod = self._first_pod(deployment)
        if pod is None:
            return
        status = pod.get("status") or {}
        for condition in status.get("conditions") or ():
            if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
                managed.mark_false(AVAILABLE, *_words(condition))
        for container in status.get("containerStatuses") or ():
            if container.get("name") == keys.QUEUE_CONTAINER:
                continue
            ended = objects.lookup(container, ("lastState", "terminated"))
            waiting = objects.lookup(container, ("state", "waiting"))
            if ended:
                code, message = int(ended.get("exitCode") or 0), str(ended.get("message") or "")
                if code == 0 and not message:
                    message = "container exited with no error"
                managed.mark_false(HEALTHY, f"ExitCode{code}", f"Container failed with: {message}")
                return
            if waiting and _timed_out(deployment):
                managed.mark_false(AVAILABLE, *_words(waiting))
                return

    def _first_pod(self, deployment: objects.Object) -> objects.Object | None:
        uid = objects.lookup(deployment, ("spec", "selector", "matchLabels", keys.REVISION_UID))
        namespace = objects.namespace_of(deployment)
        owner_uid = objects.uid_of(deployment)
        for replica_set in self._cluster.indexes.controlled(
            "replicasets.apps", namespace, owner_uid
        ):
            for pod in self._cluster.indexes.controlled(
                "pods", namespace, objects.uid_of(replica_set)
            ):
                if objects.labels_of(pod).get(keys.REVISION_UID) == uid:
                    return pod
        return None

    # ------------------------------------------------------------------ autoscaler

    def _scale(
        self,
        revision: objects.Object,
        managed: conditions.Conditions,
        deployment: objects.Object,
    ) -> None:
        namespace, name = objects.namespace_of(revision), objects.name_of(revision)
        wanted = deployments.make_autoscaler(revision, deployment)
        notes = wanted["metadata"].setdefault("annotations", {})
        notes.setdefault(keys.CLASS, keys.KPA_CLASS)
        if notes[keys.CLASS] == keys.KPA_CLASS:
            notes.setdefault(keys.METRIC, "concurrency")
        present = self._cluster.find(meta.AUTOSCALERS, namespace, name)
        if present is None:
            present = self._cluster.create(meta.AUTOSCALERS, wanted)
        elif not meta.is_controlled_by(present, revision):
            text = f'There is an existing PodAutoscaler "{name}" that we do not own.'
            managed.mark_false(AVAILABLE, "NotOwned", text)
            raise reconciling.ReconcileError(
                f'revision: "{name}" does not own PodAutoscaler: "{name}"'
            )
        self._propagate_scale(revision, managed, present)
        wanted["spec"]["reachability"] = deployments.make_autoscaler(revision, deployment)["spec"][
            "reachability"
        ]
        if present["spec"] != wanted["spec"] or objects.annotations_of(present) != notes:
            changed = objects.copy(present)
            changed["spec"] = wanted["spec"]
            changed["metadata"]["annotations"] = notes
            self._cluster.update(meta.AUTOSCALERS, changed)

    def _propagate_scale(
        self,
        revision: objects.Object,
        managed: conditions.Conditions,
        autoscaler: objects.Object,
    ) -> None:
        status, theirs = revision["status"], autoscaler.get("status") or {}
        broken = managed.is_false(AVAILABLE) or managed.is_false(HEALTHY)
        for ours, field in (("actualReplicas", "actualScale"), ("desiredReplicas", "desiredScale")):
            value = theirs.get(field)
            if value is not None and value >= 0:
                status[ours] = value
            else:
                status.pop(ours, None)
        ready = conditions.find(theirs, conditions.READY)
        if ready is None:
            managed.mark_unknown(ACTIVE, _DEPLOYING)
            if not broken:
                managed.mark_unknown(AVAILABLE, _DEPLOYING)
            return
        initialized = (conditions.find(theirs, "ScaleTargetInitialized") or {}).get("status")
        has_service = bool(theirs.get("serviceName"))
        if initialized == "True" and not broken:
            managed.mark_true(AVAILABLE)
            managed.mark_true(HEALTHY)
        if managed.is_true(AVAILABLE) and (not has_service or initialized != "True"):
            managed.mark_unknown(AVAILABLE, _DEPLOYING)
        match ready.get("status"):
            case "True":
                managed.mark_true(ACTIVE)
            case "False":
                if initialized != "True" and not broken and has_service:
                    managed.mark_false(
                        AVAILABLE,
                        "ProgressDeadlineExceeded",
                        "Initial scale was never achieved",
                    )
                managed.mark_false(ACTIVE, *_words(ready))
            case _:
                managed.mark_unknown(ACTIVE, *_words(ready))


def _hash(deployment: objects.Object) -> str:
    return objects.labels_of(deployment).get(keys.DEPLOYMENT_HASH, "")


def _words(condition: objects.Object) -> tuple[str, str]:
    return str(condition.get("reason") or ""), str(condition.get("message") or "")


def _timed_out(deployment: objects.Object) -> bool:
    progressing = conditions.find(deployment.get("status"), "Progressing") or {}
    return (
        progressing.get("status") == "False"
        and progressing.get("reason") == "ProgressDeadlineExceeded"
    )
