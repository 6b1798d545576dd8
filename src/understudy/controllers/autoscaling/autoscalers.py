"""HorizontalPodAutoscalers: every 15 seconds, the replicas that bounds and metrics ask for.

A rehearsal waits for the first look after an autoscaler or its workload's number of replicas
changed, and for those after it that time alone will let go further; all others are periodic work.
Source: pkg/controller/podautoscaler/horizontal.go.
"""

from __future__ import annotations

from typing import Final

from understudy.controllers import changes, clusters, reactor, recorders
from understudy.controllers.autoscaling import metrics, rates
from understudy.controllers.workloads import conditions, scales
from understudy.kapi.resources import catalogue
from understudy.kube import objects, selectors, statuses

REF: Final = "horizontalpodautoscalers.autoscaling"
PERIOD_S: Final = 15.0
PATIENCE_S: Final = 600.0
"""A rehearsal follows an autoscaler for ten minutes after a change: twice as long as it takes by
default until replicas are taken away. A slower one goes on where nobody waits for it."""
WORKLOADS: Final = (
    "deployments.apps",
    "replicasets.apps",
    "statefulsets.apps",
    "replicationcontrollers",
)
ABLE, ACTIVE, LIMITED = "AbleToScale", "ScalingActive", "ScalingLimited"


class Autoscalers:
    """Reconciles HorizontalPodAutoscalers.

    Attributes:
        memories: What was recommended and done lately.
        selected: Which pods each autoscaler was found to scale.
    """

    name = "horizontal-pod-autoscaler-controller"
    watched = (REF, *WORKLOADS)

    def __init__(self, shared: clusters.Shared) -> None:
        self.cluster = clusters.Cluster(shared, "horizontal-pod-autoscaler")
        self.recorder = recorders.Recorder(self.cluster, "horizontal-pod-autoscaler")
        self.memories: dict[reactor.Key, rates.Memory] = {}
        self.selected: dict[reactor.Key, selectors.LabelSelector] = {}

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        if change.ref != REF:
            self._observe_workload(change, queue)
        elif change.deleted:
            self.memories.pop(change.key, None)
            self.selected.pop(change.key, None)
        else:
            before = change.previous
            own = before is not None and before.get("spec") == change.object.get("spec")
            self._look_soon(change.key, queue, idle=own)

    def _look_soon(self, key: reactor.Key, queue: reactor.Queue, *, idle: bool = False) -> None:
        queue.add_after(key, PERIOD_S, idle=idle)
        if not idle:
            self.memories.setdefault(key, rates.Memory()).since_s = self.cluster.clock.monotonic()

    def _observe_workload(self, change: changes.Change, queue: reactor.Queue) -> None:
        """Look again where somebody else set the replicas of what is scaled."""
        scalers = [] if change.deleted else self.cluster.entries(REF, change.entry.namespace)
        if not scalers:
            return
        obj, before = change.object, change.previous
        if before is not None and _replicas(before) == _replicas(obj):
            return
        for scaler in map(self.cluster.parsed.load, scalers):
            target = scaler["spec"]["scaleTargetRef"]
            if (target.get("kind"), target.get("name")) == (obj.get("kind"), change.entry.name):
                self._look_soon(clusters.key_of(scaler), queue)

    def reconcile(self, key: reactor.Key) -> float | reactor.Idle | None:
        scaler = self.cluster.find(REF, *key)
        if scaler is None:
            return None
        memory = self.memories.setdefault(key, rates.Memory())
        look = Look(self, scaler, memory)
        look.run()
        is_followed = self.cluster.clock.monotonic() < memory.since_s + PATIENCE_S
        return PERIOD_S if look.goes_on and is_followed else reactor.Idle(PERIOD_S)


def _replicas(obj: objects.Object) -> objects.Json:
    return objects.lookup(obj, ("spec", "replicas"))


class Look:
    """One look at one autoscaler.

    Attributes:
        goes_on: Whether something more will happen without anybody's doing.
    """

    def __init__(self, owner: Autoscalers, scaler: objects.Object, memory: rates.Memory) -> None:
        self.owner = owner
        self.memory = memory
        self.cluster = owner.cluster
        self.scaler = scaler
        self.spec = scaler["spec"]
        self.key = clusters.key_of(scaler)
        self.namespace = objects.namespace_of(scaler)
        self.status: objects.Object = objects.copy(scaler.get("status") or {})
        self.goes_on = False
        self._measured: objects.Json = None

    def run(self) -> None:
        """Scale if the bounds or the metrics ask for it, and say so in the status."""
        target = self.spec["scaleTargetRef"]
        try:
            resource = self._resource(target)
            scale = scales.get(self.cluster, resource, self.namespace, target["name"])
        except statuses.ApiError as error:
            self._tell("Warning", "FailedGetScale", error.message)
            text = (
                f"the HPA controller was unable to get the target's current scale: {error.message}"
            )
            self._note(ABLE, "False", "FailedGetScale", text)
            self._write()
            return
        self._note(ABLE, "True", "SucceededGetScale",
                   "the HPA controller was able to get the target's current scale")  # fmt: skip
        current = int(scale["spec"].get("replicas") or 0)
        if not self.memory.recommended:
            self.memory.recommended.append((self.cluster.clock.monotonic(), current))
        try:
            wanted, reason = self._judge(scale, current)
        except metrics.UnknownError as error:
            self._put(current, int(self.status.get("desiredReplicas") or 0))
            self._write()
            self._tell("Warning", "FailedComputeMetricsReplicas", error.message)
            return
        if wanted == current:
            self._put(current, current)
            self._write()
            return
        self._rescale(resource, scale, current, wanted, reason)

    def _resource(self, target: objects.Object) -> catalogue.Resource:
        """Return the resource of a target's kind, whatever its version."""
        group = str(target.get("apiVersion") or "").rpartition("/")[0]
        kind = str(target.get("kind"))
        exact = self.cluster.resource_of(str(target.get("apiVersion") or "v1"), kind)
        if exact is not None:
            return exact
        for resource in self.cluster.view.catalogue.resources:
            if (resource.group_resource.group, resource.kind) == (group, kind):
                return resource
        raise statuses.NotFoundError(f'no matches for kind "{kind}" in group "{group}"')

    # ------------------------------------------------------------------ deciding

    def _judge(self, scale: objects.Object, current: int) -> tuple[int, str]:
        """Return how many replicas there are to be, and why.

        Raises:
            UnknownError: No metric says so.
        """
        low, high = int(self.spec.get("minReplicas") or 1), int(self.spec["maxReplicas"])
        if current == 0:
            text = "scaling is disabled since the replica count of the target is zero"
            self._note(ACTIVE, "False", "ScalingDisabled", text)
            return 0, ""
        if current > high:
            return high, "Current number of replicas above Spec.MaxReplicas"
        if current < low:
            return low, "Current number of replicas below Spec.MinReplicas"
        proposed, name = self._propose(scale, current)
        bounds = rates.Bounds(low, high, current)
        now_s, behavior = self.cluster.clock.monotonic(), self.spec.get("behavior")
        limited = rates.limit(self.memory, now_s, bounds, proposed, behavior)
        self._note(ABLE, "True", *limited.steadied)
        self._note(LIMITED, "True" if limited.limited else "False", *limited.why)
        self.goes_on = limited.passes
        above = f"{name} above target"
        return limited.replicas, above if proposed > current else "All metrics below target"

    def _propose(self, scale: objects.Object, current: int) -> tuple[int, str]:
        """Return the highest of what the metrics ask for, and the name of that metric."""
        asked: list[objects.Object] = self.spec.get("metrics") or []
        target = metrics.Target(
            namespace=self.namespace,
            replicas=current,
            found=self._pods(scale),
            behavior=self.spec.get("behavior"),
            now=self.cluster.now(),
        )
        shown: list[objects.Object] = []
        found: list[metrics.Proposal] = []
        failed: list[metrics.UnknownError] = []
        self._measured = shown
        for metric in asked:
            try:
                proposal = metrics.propose(metric, target)
            except metrics.UnknownError as error:
                self._tell("Warning", error.reason, error.cause)
                failed.append(error)
                shown.append({"type": ""})
            else:
                found.append(proposal)
                shown.append(proposal.status)
        highest = max(found, key=lambda one: one.replicas, default=None)
        if highest is None or (failed and highest.replicas < current):
            first = failed[0]
            text = f"the HPA was unable to compute the replica count: {first.cause}"
            self._note(ACTIVE, "False", first.reason, text)
            counted = f"invalid metrics ({len(failed)} invalid out of {len(asked)})"
            why = f"{counted}, first error is: {first.message}"
            raise metrics.UnknownError(first.reason, first.cause, why)
        text = f"the HPA was able to successfully calculate a replica count from {highest.name}"
        self._note(ACTIVE, "True", "ValidMetricFound", text)
        return highest.replicas, highest.name

    def _pods(self, scale: objects.Object) -> list[objects.Object]:
        """Return the pods that are scaled.

        Raises:
            UnknownError: The scale does not say which, or another autoscaler scales them too.
        """
        text = str(scale["status"].get("selector") or "")
        if not text:
            raise self._unselected("SelectorRequired", "selector is required",
                                   "the HPA target's scale is missing a selector")  # fmt: skip
        selector = selectors.parse_labels(text)
        self.owner.selected[self.key] = selector
        own = [one for one in self.cluster.entries("pods", self.namespace)
               if selector.matches(one.labels)]  # fmt: skip
        rivals = sorted(
            "/".join(key)
            for key, other in self.owner.selected.items()
            if key[0] == self.namespace and any(other.matches(one.labels) for one in own)
        )
        if len(rivals) > 1:
            why = f"pods by selector {text} are controlled by multiple HPAs: [{' '.join(rivals)}]"
            raise self._unselected("AmbiguousSelector", why, why)
        return [self.cluster.parsed.load(one) for one in own]

    def _unselected(self, reason: str, why: str, message: str) -> metrics.UnknownError:
        self._tell("Warning", reason, why)
        told = "InvalidSelector" if reason == "SelectorRequired" else reason
        self._note(ACTIVE, "False", told, message)
        return metrics.UnknownError(told, why, why)

    # ------------------------------------------------------------------ writing

    def _rescale(
        self,
        resource: catalogue.Resource,
        scale: objects.Object,
        current: int,
        wanted: int,
        reason: str,
    ) -> None:
        asked = {**scale, "spec": {**scale["spec"], "replicas": wanted}}
        try:
            self.cluster.update(str(resource.storage), asked, "scale", quiet=True)
        except statuses.ApiError as error:
            text = f"New size: {wanted}; reason: {reason}; error: {error.message}"
            self._tell("Warning", "FailedRescale", text)
            text = f"the HPA controller was unable to update the target scale: {error.message}"
            self._note(ABLE, "False", "FailedUpdateScale", text)
            self._put(current, int(self.status.get("desiredReplicas") or 0))
            self._write()
            return
        text = f"the HPA controller was able to update the target scale to {wanted}"
        self._note(ABLE, "True", "SucceededRescale", text)
        self._tell("Normal", "SuccessfulRescale", f"New size: {wanted}; reason: {reason}")
        behavior = self.spec.get("behavior")
        if behavior is not None:
            now_s = self.cluster.clock.monotonic()
            self.memory.note_scale(now_s, current, wanted, behavior)
        self.status["lastScaleTime"] = self.cluster.stamp()
        self.goes_on = True
        self._put(current, wanted)
        self._write()

    def _put(self, current: int, desired: int) -> None:
        """Make the status anew, but for conditions and the time of the last scaling."""
        kept: objects.Object = {
            name: self.status[name]
            for name in ("conditions", "lastScaleTime")
            if name in self.status
        }
        self.status = {**kept, "desiredReplicas": desired, "currentMetrics": self._measured}
        conditions.put_counts(self.status, {"currentReplicas": current})

    def _write(self) -> None:
        if self.status == (self.scaler.get("status") or {}):
            return
        self.scaler["status"] = self.status
        try:
            self.cluster.update_status(REF, self.scaler, quiet=True)
        except statuses.ApiError as error:
            self._tell("Warning", "FailedUpdateStatus", error.message)

    def _note(self, kind: str, value: str, reason: str, message: str) -> None:
        """Set a condition where it stands; its transition time stays while its value does."""
        known = conditions.get(self.status, kind)
        if known is None:
            known = {"type": kind}
            self.status["conditions"] = [*(self.status.get("conditions") or ()), known]
        if known.get("status") != value:
            known["lastTransitionTime"] = self.cluster.stamp()
        known |= {"status": value, "reason": reason, "message": message}

    def _tell(self, kind: str, reason: str, message: str) -> None:
        self.owner.recorder.event(self.scaler, kind, reason, message)
