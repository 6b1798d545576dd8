"""A Configuration makes a Revision of each generation and knows the latest that became ready.

Source: knative.dev/serving `pkg/reconciler/configuration`.
"""

from __future__ import annotations

from collections.abc import Sequence

from understudy.controllers import changes, clusters, reactor, recorders
from understudy.controllers.knative import conditions, meta, reconciling
from understudy.controllers.knative.settings import KnativeSettings
from understudy.kube import objects, statuses
from understudy.kube.knative import keys

ACTIVE, RESERVE, PENDING = "active", "reserve", "pending"


class Configurations:
    """The Configuration controller."""

    name = "knative-configuration-controller"
    watched: Sequence[str] = (keys.CONFIGURATIONS, keys.REVISIONS)

    def __init__(self, shared: clusters.Shared, config: KnativeSettings) -> None:
        self._cluster = clusters.Cluster(shared, "configuration-controller", "controller")
        self._recorder = recorders.Recorder(self._cluster, "configuration-controller")

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        if change.ref == keys.CONFIGURATIONS:
            queue.add((change.key.namespace, change.key.name))
            return
        owner = meta.controller_of(change.object)
        if owner is not None and owner.get("kind") == "Configuration":
            queue.add((change.key.namespace, str(owner["name"])))

    def reconcile(self, key: reactor.Key) -> float | None:
        return reconciling.reconcile(
            self._cluster, self._recorder, keys.CONFIGURATIONS, key, (), self._body
        )

    def _body(self, configuration: objects.Object, managed: conditions.Conditions) -> float | None:
        status = configuration["status"]
        if is_name_taken(self._cluster, configuration):
            name = given_name(configuration)
            self._creation_failed(managed, f'revisions.serving.knative.dev "{name}" already exists')
            return None
        latest = self._latest_created(configuration)
        if latest is None:
            latest = self._create(configuration, managed)
        name = objects.name_of(latest)
        status["latestCreatedRevisionName"] = name
        if status.get("latestReadyRevisionName") != name:
            managed.mark_unknown(conditions.READY)
        ready = conditions.find(latest.get("status"), conditions.READY) or {}
        if ready.get("status") == "True" and not status.get("latestReadyRevisionName"):
            self._recorder.event(
                configuration, "Normal", "ConfigurationReady", "Configuration becomes ready"
            )
        if ready.get("status") == "False":
            self._failed(configuration, managed, name, str(ready.get("message") or ""))
        self._set_latest_ready(configuration, managed, latest)
        return None

    def _failed(
        self,
        configuration: objects.Object,
        managed: conditions.Conditions,
        name: str,
        message: str,
    ) -> None:
        before = managed.get(conditions.READY)
        managed.mark_false(
            conditions.READY,
            "RevisionFailed",
            f'Revision "{name}" failed with message: {message}.',
        )
        if managed.get(conditions.READY) == before:
            return
        was_ready = configuration["status"].get("latestReadyRevisionName") == name
        word = "ready" if was_ready else "created"
        self._recorder.event(
            configuration,
            "Warning",
            f"Latest{word.capitalize()}Failed",
            f'Latest {word} revision "{name}" has failed',
        )

    def _creation_failed(self, managed: conditions.Conditions, message: str) -> None:
        managed.mark_false(
            conditions.READY,
            "RevisionFailed",
            f"Revision creation failed with message: {message}.",
        )

    # ------------------------------------------------------------------ revisions

    def _latest_created(self, configuration: objects.Object) -> objects.Object | None:
        name = given_name(configuration)
        if name:
            return self._cluster.find(keys.REVISIONS, objects.namespace_of(configuration), name)
        generation = str(objects.metadata(configuration)["generation"])
        for revision in self._revisions(configuration):
            if objects.labels_of(revision).get(keys.CONFIGURATION_GENERATION) == generation:
                return revision
        return None

    def _revisions(self, configuration: objects.Object) -> list[objects.Object]:
        """Return the Revisions that carry the Configuration's name; shared, not to be changed."""
        namespace = objects.namespace_of(configuration)
        uid = objects.uid_of(configuration)
        return list(self._cluster.indexes.controlled(keys.REVISIONS, namespace, uid))

    def _create(
        self, configuration: objects.Object, managed: conditions.Conditions
    ) -> objects.Object:
        made = make_revision(configuration, self._cluster.stamp())
        try:
            created = self._cluster.create(keys.REVISIONS, made)
        except statuses.AlreadyExistsError:
            raise
        except statuses.ApiError as error:
            self._recorder.event(
                configuration,
                "Warning",
                "CreationFailed",
                f"Failed to create Revision: {error.message}",
            )
            self._creation_failed(managed, error.message)
            raise
        self._recorder.event(
            configuration, "Normal", "Created", f'Created Revision "{objects.name_of(created)}"'
        )
        return created

    def _set_latest_ready(
        self,
        configuration: objects.Object,
        managed: conditions.Conditions,
        latest: objects.Object,
    ) -> None:
        """Take the newest Revision that is ready, but never go back behind the present one."""
        status = configuration["status"]
        given = given_name(configuration)
        known = str(status.get("latestReadyRevisionName") or "")
        found = self._revisions(configuration)
        start = next((_generation(one) for one in found if objects.name_of(one) == known), 0)
        present = int(objects.metadata(configuration)["generation"])
        candidates = [
            one
            for one in found
            if not known
            or not start
            or start <= _generation(one) <= present
            or (given and objects.name_of(one) == objects.name_of(latest))
        ]
        candidates.sort(key=lambda one: (objects.name_of(one) != given, -_generation(one)))
        for revision in candidates:
            if not conditions.is_ready(revision):
                continue
            name = objects.name_of(revision)
            status["latestReadyRevisionName"] = name
            if name == status["latestCreatedRevisionName"]:
                managed.mark_true(conditions.READY)
            if name != known:
                self._recorder.event(
                    configuration,
                    "Normal",
                    "LatestReadyUpdate",
                    f'LatestReadyRevisionName updated to "{name}"',
                )
            return


def make_revision(configuration: objects.Object, now: str) -> objects.Object:
    """Return the Revision of a Configuration's present generation."""
    template = objects.copy(configuration["spec"]["template"])
    metadata = template.get("metadata") or {}
    generation = int(objects.metadata(configuration)["generation"])
    labels = dict(metadata.get("labels") or {})
    notes = dict(metadata.get("annotations") or {})
    own = objects.labels_of(configuration)
    origin = {
        keys.CONFIGURATION: objects.name_of(configuration),
        keys.SERVICE: own.get(keys.SERVICE, ""),
        keys.CONFIGURATION_GENERATION: str(generation),
        keys.CONFIGURATION_UID: objects.uid_of(configuration),
        keys.SERVICE_UID: own.get(keys.SERVICE_UID, ""),
    }
    labels |= {key: value for key, value in origin.items() if value}
    theirs = objects.annotations_of(configuration)
    if keys.LAST_MODIFIER in theirs:
        notes[keys.CREATOR] = theirs[keys.LAST_MODIFIER]
    routes = theirs.get(keys.ROUTES_ANNOTATION)
    if routes:
        notes[keys.ROUTES_ANNOTATION] = routes
    labels[keys.ROUTING_STATE] = ACTIVE if routes else PENDING
    notes[keys.ROUTING_STATE_MODIFIED] = now
    name = metadata.get("name") or meta.child_name(
        objects.name_of(configuration), f"-{generation:05d}"
    )
    return meta.owned(
        configuration,
        keys.API_VERSION,
        "Revision",
        str(name),
        labels=labels,
        annotations=notes,
        spec=template["spec"],
    )


def given_name(configuration: objects.Object) -> str:
    """Return the name that the template gives its Revision, empty where it gives none."""
    return str(objects.lookup(configuration, ("spec", "template", "metadata", "name")) or "")


def is_name_taken(cluster: clusters.Cluster, configuration: objects.Object) -> bool:
    """Say whether the given name belongs to another Revision than the one wanted."""
    name = given_name(configuration)
    if not name:
        return False
    revision = cluster.peek(keys.REVISIONS, objects.namespace_of(configuration), name)
    if revision is None:
        return False
    if not meta.is_controlled_by(revision, configuration):
        return True
    generation = str(objects.metadata(configuration)["generation"])
    if objects.labels_of(revision).get(keys.CONFIGURATION_GENERATION) == generation:
        return False
    return bool(revision["spec"] != configuration["spec"]["template"]["spec"])


def _generation(revision: objects.Object) -> int:
    text = objects.labels_of(revision).get(keys.CONFIGURATION_GENERATION, "")
    return int(text) if text.isdigit() else 0
