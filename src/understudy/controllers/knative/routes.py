"""A Route leads traffic to Revisions, through an Ingress, at once or gradually.

Source: knative.dev/serving `pkg/reconciler/route`, `apis/serving/v1/route_lifecycle.go`.
"""

from __future__ import annotations

from collections.abc import Sequence

from understudy.controllers import changes, clusters, reactor, recorders
from understudy.controllers.knative import (
    conditions,
    configuring,
    hosts,
    ingresses,
    labels,
    meta,
    reconciling,
    rollouts,
    traffic,
    watchlists,
)
from understudy.controllers.knative.settings import KnativeSettings
from understudy.kube import objects, records
from understudy.kube.knative import keys, scaling

FINALIZER = "routes.serving.knative.dev"
ASSIGNED, INGRESS, CERTIFICATE = "AllTrafficAssigned", "IngressReady", "CertificateProvisioned"
_NOT_CONFIGURED = ("IngressNotConfigured", "Ingress has not yet been reconciled.")
_ROLLING = (
    "RolloutInProgress",
    "A gradual rollout of the latest revision(s) is in progress.",
)


class Routes:
    """The Route controller."""

    name = "knative-route-controller"
    watched: Sequence[str] = (
        keys.ROUTES,
        keys.CONFIGURATIONS,
        keys.REVISIONS,
        meta.INGRESSES,
        meta.SERVICES,
        configuring.CONFIG_MAPS,
    )

    recalled: Sequence[str] = (keys.ROUTES,)

    def __init__(self, shared: clusters.Shared, config: KnativeSettings) -> None:
        self._cluster = clusters.Cluster(shared, "route-controller", "controller")
        self._recorder = recorders.Recorder(self._cluster, "route-controller")
        self._config = config
        self._watchlist = watchlists.Watchlist()

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        namespace, name = change.key
        match change.ref:
            case keys.ROUTES:
                queue.add((namespace, name))
            case keys.CONFIGURATIONS:
                self._watchlist.tell("Configuration", namespace, name, queue)
            case keys.REVISIONS:
                self._watchlist.tell("Revision", namespace, name, queue)
            case configuring.CONFIG_MAPS:
                if configuring.is_about(change):
                    for entry in self._cluster.entries(keys.ROUTES):
                        queue.add((entry.namespace, entry.name))
            case _:
                owner = meta.controller_of(change.object)
                if owner is not None and owner.get("kind") == "Route":
                    queue.add((namespace, str(owner["name"])))

    def reconcile(self, key: reactor.Key) -> float | None:
        namespace, name = key
        route = self._cluster.find(keys.ROUTES, namespace, name)
        if route is None:
            self._watchlist.drop((namespace, name))
            return None
        if objects.metadata(route).get("deletionTimestamp"):
            labels.clear(self._cluster, route)
            reconciling.drop_finalizer(self._cluster, self._recorder, keys.ROUTES, route, FINALIZER)
            return None
        reconciling.add_finalizer(self._cluster, self._recorder, keys.ROUTES, route, FINALIZER)
        return reconciling.reconcile(
            self._cluster,
            self._recorder,
            keys.ROUTES,
            key,
            (ASSIGNED, INGRESS, CERTIFICATE),
            self._body,
        )

    def _body(self, route: objects.Object, managed: conditions.Conditions) -> float | None:
        if not conditions.is_observed(route):
            managed.mark_unknown(INGRESS, *_NOT_CONFIGURED)
        found = traffic.resolve(self._cluster, route)
        key = (objects.namespace_of(route), objects.name_of(route))
        self._watchlist.put(key, found.watched)
        visibility = ingresses.visibility(self._cluster, route, self._config)
        self._set_url(route, visibility)
        if found.problem is not None:
            mark = managed.mark_false if found.problem.is_failure else managed.mark_unknown
            mark(ASSIGNED, found.problem.reason, found.problem.message)
            return None
        status = route["status"]
        status["traffic"] = self._shown(route, found, (), visibility)
        managed.mark_true(ASSIGNED)
        host = hosts.local_domain(key[1], key[0], self._config)
        status["address"] = {"url": f"http://{host}"}
        placeholders = self._placeholders(route, found, managed)
        managed.mark_true(CERTIFICATE, "TLSNotEnabled", "external-domain-tls is not enabled")
        ingress, rollout, again_s = self._ingress(route, found, visibility, managed)
        if not conditions.is_observed(ingress):
            managed.mark_unknown(INGRESS, *_NOT_CONFIGURED)
        elif rollouts.is_done(rollout):
            _propagate_ingress(managed, ingress)
        self._lead(route, placeholders, ingress)
        if not rollouts.is_done(rollout):
            managed.mark_unknown(INGRESS, *_ROLLING)
            status["traffic"] = self._shown(route, found, rollout, visibility)
        return again_s

    # ------------------------------------------------------------------ status

    def _set_url(self, route: objects.Object, visibility: dict[str, str]) -> None:
        local = visibility[""] == hosts.LOCAL
        host = hosts.domain(
            objects.name_of(route), objects.namespace_of(route), self._config, local=local
        )
        route["status"]["url"] = hosts.url(host, self._config, local=local)

    def _shown(
        self,
        route: objects.Object,
        found: traffic.Traffic,
        rollout: rollouts.Rollout,
        visibility: dict[str, str],
    ) -> list[objects.Object]:
        """Return status.traffic: as it flows now, with a rollout's shares where one goes on."""
        out = []
        for target in found.targets:
            part = (
                rollouts.find(rollout, target.tag, target.configuration) if target.latest else None
            )
            shares = [(target.revision, target.percent)]
            if part is not None:
                shares = [(share.revision, share.percent) for share in part.shares]
            for revision, percent in shares:
                entry: objects.Object = {
                    "latestRevision": target.latest,
                    "percent": percent,
                    "revisionName": revision,
                }
                if target.tag:
                    entry["tag"] = target.tag
                    entry["url"] = self._tag_url(route, target.tag, visibility)
                out.append(entry)
        return out

    def _tag_url(self, route: objects.Object, tag: str, visibility: dict[str, str]) -> str:
        local = visibility.get(tag) == hosts.LOCAL
        name = hosts.host_name(objects.name_of(route), tag, self._config)
        host = hosts.domain(name, objects.namespace_of(route), self._config, local=local)
        return hosts.url(host, self._config, local=local)

    # ------------------------------------------------------------------ placeholders

    def _placeholders(
        self, route: objects.Object, found: traffic.Traffic, managed: conditions.Conditions
    ) -> dict[str, objects.Object]:
        """Return the placeholder Services by tag, making those that are missing."""
        namespace = objects.namespace_of(route)
        out: dict[str, objects.Object] = {}
        for tag in sorted(found.by_tag):
            wanted = ingresses.make_placeholder(route, tag, self._config)
            name = objects.name_of(wanted)
            present = self._cluster.find(meta.SERVICES, namespace, name)
            if present is None:
                present = self._cluster.create(meta.SERVICES, wanted)
                self._recorder.event(
                    route, "Normal", "Created", f'Created placeholder service "{name}"'
                )
            elif not meta.is_controlled_by(present, route):
                text = f'There is an existing placeholder Service "{name}" that we do not own.'
                managed.mark_false(INGRESS, "NotOwned", text)
                raise reconciling.ReconcileError(
                    f'route: "{objects.name_of(route)}" does not own Service: "{name}"'
                )
            out[tag] = present
        kept = {objects.name_of(service) for service in out.values()}
        for service in list(
            self._cluster.indexes.controlled(meta.SERVICES, namespace, objects.uid_of(route))
        ):
            if objects.name_of(service) not in kept:
                self._cluster.delete(meta.SERVICES, namespace, objects.name_of(service))
        return out

    def _lead(
        self,
        route: objects.Object,
        placeholders: dict[str, objects.Object],
        ingress: objects.Object,
    ) -> None:
        """Point the placeholder Services to the gateway, once it says where it is."""
        status = ingress.get("status") or {}
        for tag, present in placeholders.items():
            for field in ("privateLoadBalancer", "publicLoadBalancer"):
                balancers = (status.get(field) or {}).get("ingress") or []
                if balancers:
                    break
            else:
                continue
            address = str(balancers[0].get("domainInternal") or balancers[0].get("domain") or "")
            if not address:
                continue
            wanted = ingresses.make_placeholder(route, tag, self._config, address)
            changed = objects.copy(present)
            changed["spec"]["type"] = "ExternalName"
            changed["spec"]["externalName"] = address
            changed["spec"]["ports"] = wanted["spec"]["ports"]
            changed["metadata"]["labels"] = objects.labels_of(present) | objects.labels_of(wanted)
            changed["metadata"]["annotations"] = objects.annotations_of(
                present
            ) | objects.annotations_of(wanted)
            if changed != present:
                self._cluster.update(meta.SERVICES, changed)

    # ------------------------------------------------------------------ ingress

    def _ingress(
        self,
        route: objects.Object,
        found: traffic.Traffic,
        visibility: dict[str, str],
        managed: conditions.Conditions,
    ) -> tuple[objects.Object, rollouts.Rollout, float | None]:
        """Make or update the Ingress; return it, the rollout it shows, seconds to the next step."""
        namespace, name = objects.namespace_of(route), objects.name_of(route)
        present = self._cluster.find(meta.INGRESSES, namespace, name)
        if present is None:
            rollout = rollouts.goal(found)
            wanted = ingresses.make_ingress(route, found, rollout, visibility, self._config)
            made = self._cluster.create(meta.INGRESSES, wanted)
            self._recorder.event(route, "Normal", "Created", f'Created Ingress "{name}"')
            return made, rollout, None
        rollout, again_s = self._rollout(route, found, present, managed)
        wanted = ingresses.make_ingress(route, found, rollout, visibility, self._config)
        if (
            present["spec"] != wanted["spec"]
            or objects.labels_of(present) != objects.labels_of(wanted)
            or objects.annotations_of(present) != objects.annotations_of(wanted)
        ):
            changed = objects.copy(present)
            changed["spec"] = wanted["spec"]
            changed["metadata"]["labels"] = wanted["metadata"]["labels"]
            changed["metadata"]["annotations"] = wanted["metadata"]["annotations"]
            present = self._cluster.update(meta.INGRESSES, changed)
        return present, rollout, again_s

    def _rollout(
        self,
        route: objects.Object,
        found: traffic.Traffic,
        ingress: objects.Object,
        managed: conditions.Conditions,
    ) -> tuple[rollouts.Rollout, float | None]:
        wanted = rollouts.goal(found)
        duration_s = self._rollout_s(route)
        if duration_s <= 0:
            return wanted, None
        before = rollouts.load(objects.annotations_of(ingress).get(ingresses.ROLLOUT, ""))
        now = int(self._cluster.now().timestamp() * rollouts.NANO)
        if before and conditions.is_ready(ingress) and not managed.is_true(INGRESS):
            before = rollouts.observe_ready(before, now, float(duration_s))
        rollout, next_step = rollouts.step(wanted, before, now)
        return rollout, max(0.001, (next_step - now) / rollouts.NANO) if next_step else None

    def _rollout_s(self, route: objects.Object) -> int:
        text = scaling.value(objects.annotations_of(route), keys.ROLLOUT_DURATION)
        if text:
            return int(records.parse_duration(text).total_seconds())
        return self._config.rollout_duration_s


def _propagate_ingress(managed: conditions.Conditions, ingress: objects.Object) -> None:
    ready = conditions.find(ingress.get("status"), conditions.READY)
    if ready is None:
        managed.mark_unknown(INGRESS, *_NOT_CONFIGURED)
        return
    reason, message = str(ready.get("reason") or ""), str(ready.get("message") or "")
    match ready.get("status"):
        case "True":
            managed.mark_true(INGRESS)
        case "False":
            managed.mark_false(INGRESS, reason, message)
        case _:
            managed.mark_unknown(INGRESS, reason, message)
