"""A Service makes a Configuration and a Route and sums up how they are.

Source: knative.dev/serving `pkg/reconciler/service`, `apis/serving/v1/service_lifecycle.go`.
"""

from __future__ import annotations

from collections.abc import Sequence

from understudy.controllers import changes, clusters, reactor, recorders
from understudy.controllers.knative import conditions, configurations, meta, reconciling
from understudy.controllers.knative.settings import KnativeSettings
from understudy.kube import objects
from understudy.kube.knative import defaults, keys

CONFIGURATIONS_READY = "ConfigurationsReady"
ROUTES_READY = "RoutesReady"
_NOT_COPIED = frozenset({"kubectl.kubernetes.io/last-applied-configuration"})
_FOR_ROUTES = frozenset({keys.ROLLOUT_DURATION, "serving.knative.dev/rolloutDuration"})
_OUT_OF_DATE = (
    "OutOfDate",
    "The {} is still working to reflect the latest desired specification.",
)


class Services:
    """The Service controller."""

    name = "knative-service-controller"
    watched: Sequence[str] = (keys.SERVICES, keys.CONFIGURATIONS, keys.ROUTES)

    def __init__(self, shared: clusters.Shared, config: KnativeSettings) -> None:
        self._cluster = clusters.Cluster(shared, "service-controller", "controller")
        self._recorder = recorders.Recorder(self._cluster, "service-controller")
        self._config = config

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        if change.ref == keys.SERVICES:
            queue.add((change.key.namespace, change.key.name))
            return
        owner = meta.controller_of(change.object)
        if owner is not None and owner.get("kind") == "Service":
            queue.add((change.key.namespace, str(owner["name"])))

    def reconcile(self, key: reactor.Key) -> float | None:
        return reconciling.reconcile(
            self._cluster,
            self._recorder,
            keys.SERVICES,
            key,
            (CONFIGURATIONS_READY, ROUTES_READY),
            self._body,
        )

    def _body(self, service: objects.Object, managed: conditions.Conditions) -> float | None:
        status = service["status"]
        configuration = self._configuration(service, managed)
        if not conditions.is_observed(configuration):
            managed.mark_unknown(CONFIGURATIONS_READY, _OUT_OF_DATE[0],
                                 _OUT_OF_DATE[1].format("Configuration"))  # fmt: skip
            if configurations.given_name(configuration):
                return None  # the name may be taken: traffic must not move before that is known
        else:
            _take_over(status, configuration, "latestCreatedRevisionName",
                       "latestReadyRevisionName")  # fmt: skip
            _propagate(managed, CONFIGURATIONS_READY, configuration)
        name = configurations.given_name(configuration)
        if name and configurations.is_name_taken(self._cluster, configuration):
            managed.mark_false(
                ROUTES_READY,
                "RevisionNameTaken",
                f'The revision name "{name}" is taken by a conflicting Revision, so traffic will'
                " not be migrated",
            )
            return None
        route = self._route(service, managed)
        if not conditions.is_observed(route):
            managed.mark_unknown(ROUTES_READY, _OUT_OF_DATE[0], _OUT_OF_DATE[1].format("Route"))
        else:
            _take_over(status, route, "url", "address", "traffic")
            _propagate(managed, ROUTES_READY, route)
        if managed.is_true(ROUTES_READY) and not _is_migrated(configuration, route):
            managed.mark_unknown(
                ROUTES_READY,
                "TrafficNotMigrated",
                "Traffic is not yet migrated to the latest revision.",
            )
        return None

    # ------------------------------------------------------------------ what it makes

    def _configuration(
        self, service: objects.Object, managed: conditions.Conditions
    ) -> objects.Object:
        namespace, name = objects.namespace_of(service), objects.name_of(service)
        present = self._cluster.find(keys.CONFIGURATIONS, namespace, name)
        if present is None:
            made = self._cluster.create(keys.CONFIGURATIONS, make_configuration(service, None))
            self._recorder.event(service, "Normal", "Created", f'Created Configuration "{name}"')
            return made
        if not meta.is_controlled_by(present, service):
            text = f'There is an existing Configuration "{name}" that we do not own.'
            managed.mark_false(CONFIGURATIONS_READY, "NotOwned", text)
            raise reconciling.ReconcileError(
                f'service: "{name}" does not own configuration: "{name}"'
            )
        wanted = make_configuration(service, present)
        return self._settle(keys.CONFIGURATIONS, present, wanted)

    def _route(self, service: objects.Object, managed: conditions.Conditions) -> objects.Object:
        namespace, name = objects.namespace_of(service), objects.name_of(service)
        present = self._cluster.find(keys.ROUTES, namespace, name)
        if present is None:
            made = self._cluster.create(keys.ROUTES, make_route(service))
            self._recorder.event(service, "Normal", "Created", f'Created Route "{name}"')
            return made
        if not meta.is_controlled_by(present, service):
            text = f'There is an existing Route "{name}" that we do not own.'
            managed.mark_false(ROUTES_READY, "NotOwned", text)
            raise reconciling.ReconcileError(f'service: "{name}" does not own route: "{name}"')
        return self._settle(keys.ROUTES, present, make_route(service))

    def _settle(self, ref: str, present: objects.Object, wanted: objects.Object) -> objects.Object:
        """Write spec, labels and annotations where they are not as wanted."""
        filled = objects.copy(present)
        if ref == keys.CONFIGURATIONS:
            defaults.default_configuration(filled, self._config.limits, present)
        else:
            defaults.default_route(filled)
        if (
            filled["spec"] == wanted["spec"]
            and objects.labels_of(filled) == objects.labels_of(wanted)
            and objects.annotations_of(filled) == objects.annotations_of(wanted)
        ):
            return present
        filled["spec"] = wanted["spec"]
        for field in ("labels", "annotations"):
            filled["metadata"][field] = wanted["metadata"].get(field) or {}
        return self._cluster.update(ref, filled)


def make_configuration(service: objects.Object, present: objects.Object | None) -> objects.Object:
    """Return the Configuration of a Service; which routes use it is kept from the present one."""
    labels = dict(objects.labels_of(service)) | {
        keys.SERVICE: objects.name_of(service),
        keys.SERVICE_UID: objects.uid_of(service),
    }
    notes = meta.without(objects.annotations_of(service), _NOT_COPIED | _FOR_ROUTES)
    routes = objects.name_of(service)
    if present is not None:
        known = objects.annotations_of(present).get(keys.ROUTES_ANNOTATION, "")
        routes = ",".join(sorted({*filter(None, known.split(",")), routes}))
    return meta.owned(
        service,
        keys.API_VERSION,
        "Configuration",
        objects.name_of(service),
        labels=labels,
        annotations=notes | {keys.ROUTES_ANNOTATION: routes},
        spec={"template": objects.copy(service["spec"]["template"])},
    )


def make_route(service: objects.Object) -> objects.Object:
    """Return the Route of a Service: where it says latest, the Configuration is named."""
    name = objects.name_of(service)
    traffic = []
    for target in service["spec"].get("traffic") or ():
        made = dict(target)
        if not made.get("revisionName"):
            made["configurationName"] = name
        traffic.append(made)
    return meta.owned(
        service,
        keys.API_VERSION,
        "Route",
        name,
        labels=dict(objects.labels_of(service)) | {keys.SERVICE: name},
        annotations=meta.without(objects.annotations_of(service), _NOT_COPIED),
        spec={"traffic": traffic},
    )


def _take_over(status: objects.Object, other: objects.Object, *fields: str) -> None:
    """Copy fields of another object's status; what it does not have goes."""
    theirs = other.get("status") or {}
    for field in fields:
        if field in theirs:
            status[field] = objects.copy(theirs[field])
        else:
            status.pop(field, None)


def _propagate(managed: conditions.Conditions, kind: str, other: objects.Object) -> None:
    ready = conditions.find(other.get("status"), conditions.READY)
    if ready is None:
        return
    reason, message = str(ready.get("reason") or ""), str(ready.get("message") or "")
    match ready.get("status"):
        case "True":
            managed.mark_true(kind)
        case "False":
            managed.mark_false(kind, reason, message)
        case _:
            managed.mark_unknown(kind, reason, message)


def _is_migrated(configuration: objects.Object, route: objects.Object) -> bool:
    """Compare the traffic asked for with the traffic as it flows."""
    wanted = route["spec"].get("traffic") or []
    flowing = objects.lookup(route, ("status", "traffic")) or []
    if len(wanted) != len(flowing):
        return False
    latest = objects.lookup(configuration, ("status", "latestReadyRevisionName")) or ""
    return all(
        _shares(want, configuration, latest) == _shares(have, configuration, latest)
        for want, have in zip(wanted, flowing, strict=True)
    )


def _shares(
    target: objects.Object, configuration: objects.Object, latest: str
) -> tuple[str, str, int | None, str]:
    revision = str(target.get("revisionName") or "")
    named = str(target.get("configurationName") or "")
    if named == objects.name_of(configuration):
        revision, named = latest, ""
    # An absent percent is the 0 that the flowing traffic spells out.
    return revision, named, int(target.get("percent") or 0), str(target.get("tag") or "")
