"""The autoscaler of a Revision: replicas by load, down to zero and up again.

Source: knative.dev/serving `pkg/reconciler/autoscaling/kpa`.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass

from understudy.controllers import changes, clusters, reactor, recorders
from understudy.controllers.knative import (
    conditions,
    decisions,
    deployments,
    meta,
    reconciling,
    serverless,
    worlds,
)
from understudy.controllers.knative.settings import KnativeSettings
from understudy.controllers.workloads import pods
from understudy.kube import objects, records
from understudy.kube.knative import keys, scaling

ACTIVE, SERVED, INITIALIZED = "Active", "SKSReady", "ScaleTargetInitialized"
_NO_TRAFFIC = ("NoTraffic", "The target is not receiving traffic.")
_QUEUED = (
    "Queued",
    "Requests to the target are being buffered as resources are provisioned.",
)
_MIN_ACTIVATORS = 2
_ACTIVATION_BUFFER_S = 30.0
_PROXY_LOOK_S = 3.0


@dataclass(slots=True, kw_only=True)
class _Scale:
    """Bounds and state of one look.

    Attributes:
        again_s: Seconds until the next look, None if nothing is waited for.
    """

    low: int
    high: int
    initial: int
    again_s: float | None = None

    def look_after(self, seconds: float) -> None:
        """Look again at the latest then."""
        self.again_s = seconds if self.again_s is None else min(self.again_s, seconds)


class Autoscalers:
    """The KPA controller."""

    name = "knative-autoscaler"
    watched: Sequence[str] = (meta.AUTOSCALERS, meta.SERVERLESS, "pods")

    def __init__(
        self, shared: clusters.Shared, config: KnativeSettings, world: worlds.World
    ) -> None:
        self._cluster = clusters.Cluster(shared, "autoscaler", "autoscaler")
        self._recorder = recorders.Recorder(self._cluster, "kpa-class-podautoscaler-controller")
        self._config = config
        self._world = world
        self._deciders: dict[reactor.Key, decisions.Decider] = {}
        self._queue: reactor.Queue | None = None
        world.load.on_need(self._needed)

    def _needed(self, namespace: str, revision: str) -> None:
        """Look at once at a Revision that a request waits for."""
        if self._queue is not None:
            self._queue.add((namespace, revision))

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        self._queue = queue
        namespace, name = change.key
        if change.ref == "pods":
            revision = (change.entry.labels or {}).get(keys.REVISION)
            if revision:
                queue.add_after((namespace, revision), serverless.COUNTED_S)
        else:
            queue.add((namespace, name))

    def reconcile(self, key: reactor.Key) -> float | None:
        namespace, name = key
        autoscaler = self._cluster.peek(meta.AUTOSCALERS, namespace, name)
        if autoscaler is None:
            self._deciders.pop(key, None)
            return None
        if objects.annotations_of(autoscaler).get(keys.CLASS, keys.KPA_CLASS) != keys.KPA_CLASS:
            return None  # another autoscaler's
        return reconciling.reconcile(
            self._cluster,
            self._recorder,
            meta.AUTOSCALERS,
            key,
            (ACTIVE, INITIALIZED, SERVED),
            self._body,
        )

    def _body(self, autoscaler: objects.Object, managed: conditions.Conditions) -> float | None:
        namespace, name = objects.namespace_of(autoscaler), objects.name_of(autoscaler)
        status = autoscaler["status"]
        managed_scale = self._bounds(autoscaler)
        present = self._cluster.find(meta.SERVERLESS, namespace, name)
        if present is None or not objects.lookup(present, ("status", "privateServiceName")):
            self._serve(autoscaler, present, "Proxy", self._activators(autoscaler, 0))
            managed.mark_unknown(SERVED, "NotReady", "No Private Service Name")
            status.setdefault("metricsServiceName", "")
            status.setdefault("serviceName", "")
            self._conclude(autoscaler, managed, managed_scale, 0, decisions.UNKNOWN)
            return None
        status["metricsServiceName"] = present["status"]["privateServiceName"]
        ready = sum(
            pods.is_ready(pod) and not pods.is_terminating(pod)
            for pod in serverless.pods_of(self._cluster, namespace, name)
        )
        decision = self._decide(autoscaler, managed, ready)
        self._metric(autoscaler)
        want = self._scale(autoscaler, managed, present, decision.desired, managed_scale)
        inactive = managed.is_false(ACTIVE)
        mode = "Proxy"
        if not (want == decisions.UNKNOWN and inactive) and want > 0 and decision.excess_burst >= 0:
            mode = "Serve"
        present = self._serve(autoscaler, present, mode, self._activators(autoscaler, ready))
        status["serviceName"] = str(objects.lookup(present, ("status", "serviceName")) or "")
        if conditions.is_ready(present):
            managed.mark_true(SERVED)
        else:
            unready = conditions.find(present.get("status"), conditions.READY) or {}
            managed.mark_unknown(SERVED, "NotReady", str(unready.get("message") or ""))
        self._conclude(autoscaler, managed, managed_scale, ready, want)
        if self._queue is not None:
            self._queue.add_after((namespace, name), self._config.tick_s, idle=True)
        return managed_scale.again_s

    # ------------------------------------------------------------------ deciding

    def _bounds(self, autoscaler: objects.Object) -> _Scale:
        notes = objects.annotations_of(autoscaler)
        low = 0
        if autoscaler["spec"].get("reachability") != "Unreachable":
            low = _whole(notes, keys.MIN_SCALE, self._config.min_scale)
        return _Scale(
            low=low,
            high=_whole(notes, keys.MAX_SCALE, self._config.max_scale),
            initial=deployments.initial_scale(notes, self._config),
        )

    def _decide(
        self, autoscaler: objects.Object, managed: conditions.Conditions, ready: int
    ) -> decisions.Decision:
        namespace, name = objects.namespace_of(autoscaler), objects.name_of(autoscaler)
        notes = objects.annotations_of(autoscaler)
        aim = decisions.targets(autoscaler, self._config)
        routed = autoscaler["spec"].get("reachability") != "Unreachable"
        ask = worlds.Question(
            metric=aim.metric,
            stable_s=decisions.stable_window_s(notes, self._config),
            panic_s=decisions.panic_window_s(notes, self._config),
            routed=routed,
        )
        demand = self._world.load.demand(namespace, name, ask)
        if not managed.is_true(INITIALIZED) and ready == 0:
            demand = None  # nothing can be measured before the first pod is there
        decider = self._deciders.setdefault((namespace, name), decisions.Decider())
        now_s = self._cluster.clock.monotonic()
        return decider.decide(demand, ready, aim, notes, self._config, now_s, reachable=routed)

    def _scale(
        self,
        autoscaler: objects.Object,
        managed: conditions.Conditions,
        present: objects.Object,
        desired: int,
        scale: _Scale,
    ) -> int:
        """Bring the Deployment to the scale that is wanted; return that."""
        activating = not managed.is_true(ACTIVE) and not managed.is_false(ACTIVE)
        if desired < 0 and not activating:
            return desired
        low = scale.low
        reachable = autoscaler["spec"].get("reachability") != "Unreachable"
        if scale.initial > 1 and not managed.is_true(INITIALIZED) and reachable:
            low = max(low, scale.initial)
        desired = max(desired, low)
        if scale.high:
            desired = min(desired, scale.high)
        desired, apply = self._zero(autoscaler, managed, present, desired, scale)
        if not apply or desired < 0:
            return desired
        namespace = objects.namespace_of(autoscaler)
        target = str(autoscaler["spec"]["scaleTargetRef"]["name"])
        deployment = self._cluster.peek(meta.DEPLOYMENTS, namespace, target)
        if deployment is None:
            raise reconciling.ReconcileError(
                f'failed to get scale target: deployments.apps "{target}" not found'
            )
        if objects.lookup(deployment, ("spec", "replicas"), 1) != desired:
            self._cluster.patch(
                meta.DEPLOYMENTS,
                namespace,
                target,
                {"spec": {"replicas": desired}},
                patch_type=clusters.MERGE,
            )
        return desired

    def _zero(
        self,
        autoscaler: objects.Object,
        managed: conditions.Conditions,
        present: objects.Object,
        desired: int,
        scale: _Scale,
    ) -> tuple[int, bool]:
        """Let the last replica go only after a while; return the scale and whether to apply it."""
        if desired != 0:
            return desired, True
        if not self._config.enable_scale_to_zero:
            return 1, True
        notes = objects.annotations_of(autoscaler)
        active = managed.get(ACTIVE) or {}
        held_s = self._since(active.get("lastTransitionTime"))
        if active.get("status") == "Unknown":
            timeout_s = deployments.progress_deadline_s(notes, self._config) + _ACTIVATION_BUFFER_S
            if held_s > timeout_s:
                return desired, True
            scale.look_after(timeout_s - held_s + 0.1)
            return decisions.UNKNOWN, False
        if active.get("status") == "True":
            window_s = decisions.stable_window_s(notes, self._config)
            if held_s >= window_s:
                if present["spec"].get("mode") == "Proxy":
                    scale.look_after(_PROXY_LOOK_S)
                return desired, False
            scale.look_after(window_s - held_s)
            return 1, True
        retention_s = decisions.duration_s(notes, keys.RETENTION, self._config.retention_s)
        if autoscaler["spec"].get("reachability") == "Unreachable":
            retention_s = 0.0
        grace_s = self._config.scale_to_zero_grace_s
        if held_s >= max(grace_s, retention_s):
            return desired, True
        if held_s < retention_s:
            scale.look_after(retention_s - held_s)
            return desired, False
        proxied = conditions.find(present.get("status"), serverless.BY_ACTIVATOR) or {}
        proxied_s = 0.0
        if proxied.get("status") == "True":
            proxied_s = self._since(proxied.get("lastTransitionTime"))
        if proxied_s >= grace_s:
            return desired, True
        scale.look_after(grace_s - proxied_s)
        return desired, False

    def _since(self, text: objects.Json) -> float:
        if not text:
            return 0.0
        passed: dt.timedelta = self._cluster.now() - records.parse_time(str(text))
        return passed.total_seconds()

    # ------------------------------------------------------------------ what it makes

    def _activators(self, autoscaler: objects.Object, ready: int) -> int:
        aim = decisions.targets(autoscaler, self._config)
        if aim.burst == 0:
            return _MIN_ACTIVATORS
        cover = ready * aim.total + max(0.0, aim.burst)
        return max(_MIN_ACTIVATORS, math.ceil(cover / self._config.activator_capacity))

    def _serve(
        self,
        autoscaler: objects.Object,
        present: objects.Object | None,
        mode: str,
        activators: int,
    ) -> objects.Object:
        spec = {
            "mode": mode,
            "numActivators": activators,
            "objectRef": dict(autoscaler["spec"]["scaleTargetRef"]),
            "protocolType": autoscaler["spec"]["protocolType"],
        }
        if present is None:
            spec["numActivators"] = _MIN_ACTIVATORS
            notes = meta.without(objects.annotations_of(autoscaler), (keys.METRIC,))
            return self._cluster.create(
                meta.SERVERLESS,
                meta.owned(
                    autoscaler,
                    "networking.internal.knative.dev/v1alpha1",
                    "ServerlessService",
                    objects.name_of(autoscaler),
                    labels=dict(objects.labels_of(autoscaler)),
                    annotations=notes,
                    spec=spec,
                ),
            )
        if present["spec"] == spec:
            return present
        changed = objects.copy(present) | {"spec": spec}
        return self._cluster.update(meta.SERVERLESS, changed)

    def _metric(self, autoscaler: objects.Object) -> None:
        namespace, name = objects.namespace_of(autoscaler), objects.name_of(autoscaler)
        notes = objects.annotations_of(autoscaler)
        aim = decisions.targets(autoscaler, self._config)
        private = str(autoscaler["status"]["metricsServiceName"])
        spec = {
            "panicWindow": int(decisions.panic_window_s(notes, self._config) * 1e9),
            "scrapeTarget": "" if aim.burst == -1 else private,
            "stableWindow": int(decisions.stable_window_s(notes, self._config) * 1e9),
        }
        present = self._cluster.find(meta.METRICS, namespace, name)
        if present is None:
            self._cluster.create(
                meta.METRICS,
                meta.owned(
                    autoscaler,
                    "autoscaling.internal.knative.dev/v1alpha1",
                    "Metric",
                    name,
                    labels=dict(objects.labels_of(autoscaler)),
                    annotations=dict(notes),
                    spec=spec,
                ),
            )
        elif present["spec"] != spec:
            self._cluster.update(meta.METRICS, objects.copy(present) | {"spec": spec})

    # ------------------------------------------------------------------ status

    def _conclude(
        self,
        autoscaler: objects.Object,
        managed: conditions.Conditions,
        scale: _Scale,
        ready: int,
        want: int,
    ) -> None:
        status = autoscaler["status"]
        status["actualScale"] = ready
        if not (want == decisions.UNKNOWN and int(status.get("desiredScale") or 0) >= 0
                and "desiredScale" in status):  # fmt: skip
            status["desiredScale"] = want
        base = scale.initial if not managed.is_true(INITIALIZED) else 1
        least = max(scale.low, base)
        if ready >= least and status.get("serviceName"):
            managed.mark_true(INITIALIZED)
        self._mark_active(managed, ready, want, least)

    def _mark_active(
        self, managed: conditions.Conditions, ready: int, want: int, least: int
    ) -> None:
        inactive = managed.is_false(ACTIVE)
        activating = not inactive and not managed.is_true(ACTIVE)
        if want == 0 or least == 0:
            if activating and least > 0:
                managed.mark_false(ACTIVE, "TimedOut", "The target could not be activated.")
            else:
                managed.mark_false(ACTIVE, *_NO_TRAFFIC)
        elif ready < least:
            if want > 0 or not inactive:
                managed.mark_unknown(ACTIVE, *_QUEUED)
            else:
                managed.mark_false(ACTIVE, *_NO_TRAFFIC)
        elif want > 0 or not inactive:
            managed.mark_true(ACTIVE)


def _whole(notes: dict[str, str], key: str, default: int) -> int:
    text = scaling.value(notes, key)
    return int(text) if text.isdigit() else default
