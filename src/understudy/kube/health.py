"""Whether an object does what it is for: one table of rules, pure.

The rules begin with kstatus (sigs.k8s.io/cli-utils) and correct where it calls too much ready or
never calls a failure: `# Differs:` marks each. Evaluation, first match wins:

    deletionTimestamp                           -> Terminating, naming the finalizers
    status.observedGeneration != generation     -> InProgress
    condition Reconciling=True / Stalled=True   -> InProgress / Failed
    the kind's rule
    no rule: condition Ready, else Current
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from understudy.kube import identities, objects

IMAGE_WINDOW_S = 60.0
"""How long a pod may fail to get its image or configuration before it counts as failed; registries
and Secrets that come a moment later are common, a minute is two of kubelet's retries."""

REPLICA_FAILURE_WINDOW_S = 10.0
"""How long pods may be refused (quota, policy) before a workload counts as failed."""

UNSCHEDULABLE_WINDOW_S = 15.0
"""How long a pod may find no node before it counts as failed; kstatus' value."""

READY_FALSE_WINDOW_S = 2.0
"""How long a Knative Service may be Ready=False before it counts as failed; kn's --wait-window."""

UNKNOWN_KIND_GRACE_S = 2.0
"""How long a custom resource without any status is given before it counts as current."""

_NEVER = 2**31 - 1


class State(enum.StrEnum):
    """In words that kstatus and Argo use."""

    CURRENT = "Current"
    IN_PROGRESS = "InProgress"
    FAILED = "Failed"
    SUSPENDED = "Suspended"
    TERMINATING = "Terminating"
    NOT_FOUND = "NotFound"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Health:
    """A verdict; `reason` is one CamelCase word, `message` a sentence for people."""

    state: State
    reason: str = ""
    message: str = ""

    @property
    def is_settled(self) -> bool:
        """Whether waiting longer is pointless for what is right: current or suspended."""
        return self.state in (State.CURRENT, State.SUSPENDED)

    def __str__(self) -> str:
        return f"{self.state}: {self.message}" if self.message else str(self.state)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What cannot be read from the object itself.

    Attributes:
        now: Wall time, to measure how long something has been so.
        reports_status: The kind has a status subresource: without any status it is too early.
        waits_for_consumer: A claim's storage class binds when a pod uses it.
    """

    now: dt.datetime
    reports_status: bool = True
    waits_for_consumer: bool = False


_WORST_FIRST = (
    State.FAILED, State.UNKNOWN, State.NOT_FOUND, State.TERMINATING, State.IN_PROGRESS,
    State.SUSPENDED, State.CURRENT,
)  # fmt: skip
CURRENT = Health(State.CURRENT)
NOT_FOUND = Health(State.NOT_FOUND, "NotFound", "does not exist")


_REMAINING = ("DeletionDiscoveryFailure", "DeletionContentFailure", "ContentRemaining",
              "FinalizersRemaining")  # fmt: skip


def _why_still_there(obj: objects.Object) -> str:
    """Say what something that is being deleted waits for; of a namespace, what is left in it."""
    finalizers = ", ".join(objects.metadata(obj).get("finalizers") or ())
    left = (_condition(obj, f"Namespace{what}", "True") for what in _REMAINING)
    told = "; ".join(str(one["message"]) for one in left if one and one.get("message"))
    if finalizers:
        return f"waiting on finalizers: {finalizers}"
    return f"is being deleted: {told}" if told else "is being deleted"


def assess(obj: objects.Object, facts: Facts) -> Health:
    """Return an object's health.

    Example: a Deployment with 1 of 3 replicas ready gives
    `Health(IN_PROGRESS, "LessReady", "1 of 3 replicas are ready")`.
    """
    meta = objects.metadata(obj)
    if meta.get("deletionTimestamp"):
        return Health(State.TERMINATING, "Deleting", _why_still_there(obj))
    gvk = identities.gvk_of(obj)
    rule = _RULES.get((gvk.group, gvk.kind))
    status = obj.get("status") or {}
    observed, generation = status.get("observedGeneration"), meta.get("generation")
    if observed is not None and generation is not None and observed != generation:
        return _progress(
            "LatestGenerationNotObserved",
            f"generation {generation} is not observed yet (seen: {observed})",
        )
    if condition := _condition(obj, "Reconciling", "True"):
        return _progress(*_words(condition, "Reconciling"))
    if condition := _condition(obj, "Stalled", "True"):
        return Health(State.FAILED, *_words(condition, "Stalled"))
    if rule is None:
        return _custom(obj, facts)
    verdict = rule(obj, facts)
    if verdict == CURRENT and rule in _OBSERVED and observed is None:
        # Differs: kstatus calls a workload without a status current if it wants no replicas.
        return _progress("NotObserved", f"the {gvk.kind} is not observed yet")
    return verdict


def _ending(count: int) -> str:
    return f"{count} replica{' is' if count == 1 else 's are'} pending termination"


def is_always_current(group: str, kind: str) -> bool:
    """Whether objects of a kind are what they are for as soon as they exist."""
    return _RULES.get((group, kind)) is _always


def combine(verdicts: list[Health]) -> Health:
    """Return the verdict for a set: its worst member's; Current where it is empty."""
    return min(verdicts, key=lambda verdict: _WORST_FIRST.index(verdict.state), default=CURRENT)


# ---------------------------------------------------------------------- conditions


def _condition(obj: objects.Object, kind: str, value: str = "") -> objects.Object | None:
    """Return a condition of a type (and, unless empty, of a value), or None."""
    for condition in objects.lookup(obj, ("status", "conditions"), ()) or ():
        if condition.get("type") == kind and (not value or condition.get("status") == value):
            found: objects.Object = condition
            return found
    return None


def _words(condition: objects.Object, reason: str) -> tuple[str, str]:
    return str(condition.get("reason") or reason), str(condition.get("message") or "")


def _progress(reason: str, message: str = "") -> Health:
    return Health(State.IN_PROGRESS, reason, message)


def _age_s(moment: objects.Json, now: dt.datetime) -> float:
    """Return seconds since an RFC 3339 time; 0 where there is none."""
    if not isinstance(moment, str) or not moment:
        return 0.0
    try:
        parsed = dt.datetime.fromisoformat(moment)
    except ValueError:
        return 0.0
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=dt.UTC)
    return (now - parsed).total_seconds()


def _past(condition: objects.Object, window_s: float, now: dt.datetime) -> bool:
    return _age_s(condition.get("lastTransitionTime"), now) >= window_s


def _number(obj: objects.Object, *path: str, default: int = 0) -> int:
    value = objects.lookup(obj, path)
    return value if isinstance(value, int) else default


# ---------------------------------------------------------------------- workloads


def _deployment(obj: objects.Object, facts: Facts) -> Health:
    wanted = _number(obj, "spec", "replicas", default=1)
    progressing = _condition(obj, "Progressing")
    failure = _replica_failure(obj, facts)
    if progressing and progressing.get("reason") == "ProgressDeadlineExceeded":
        # Differs: where no pod can be made, that is told and not only that it took too long.
        reason, message = _words(progressing, "")
        return Health(State.FAILED, reason, failure.message if failure else message)
    if failure:
        return failure
    if (
        progressing
        and progressing.get("status") == "False"
        and _past(progressing, REPLICA_FAILURE_WINDOW_S, facts.now)
    ):
        # Differs: kstatus waits for ever where not even a ReplicaSet can be made.
        return Health(State.FAILED, *_words(progressing, "NotProgressing"))
    if objects.lookup(obj, ("spec", "paused")):
        # Differs: kstatus reports InProgress for ever; nobody will resume it but its owner.
        return Health(State.SUSPENDED, "Paused", "the rollout is paused")
    replicas = _number(obj, "status", "replicas")
    updated = _number(obj, "status", "updatedReplicas")
    available = _number(obj, "status", "availableReplicas")
    ready = _number(obj, "status", "readyReplicas")
    if wanted > replicas:
        return _progress("LessReplicas", f"{replicas} of {wanted} replicas are created")
    if wanted > updated:
        return _progress("LessUpdated", f"{updated} of {wanted} replicas are updated")
    if replicas > wanted:
        return _progress("ExtraPods", _ending(replicas - wanted))
    if updated > available:
        return _progress("LessAvailable", f"{available} of {updated} replicas are available")
    if wanted > ready:
        return _progress("LessReady", f"{ready} of {wanted} replicas are ready")
    deadline = objects.lookup(obj, ("spec", "progressDeadlineSeconds"))
    if deadline not in (None, _NEVER) and not (
        progressing
        and progressing.get("status") == "True"
        and progressing.get("reason") == "NewReplicaSetAvailable"
    ):
        return _progress("ReplicaSetNotAvailable", "the new ReplicaSet is not available yet")
    if not _condition(obj, "Available", "True"):
        return _progress("NotAvailable", "the Deployment is not available yet")
    return CURRENT


def _replica_failure(obj: objects.Object, facts: Facts) -> Health | None:
    # Differs: kstatus waits for ever; the message (a quota's, a policy's) is what people need.
    condition = _condition(obj, "ReplicaFailure", "True")
    if condition is None:
        return None
    reason, message = _words(condition, "FailedCreate")
    past = _past(condition, REPLICA_FAILURE_WINDOW_S, facts.now)
    return Health(State.FAILED if past else State.IN_PROGRESS, reason, message)


def _replica_set(obj: objects.Object, facts: Facts) -> Health:
    if failure := _replica_failure(obj, facts):
        return failure
    wanted = _number(obj, "spec", "replicas", default=1)
    for field in ("fullyLabeledReplicas", "availableReplicas", "readyReplicas"):
        have = _number(obj, "status", field)
        if wanted > have:
            word = field.removesuffix("Replicas")
            return _progress("LessReplicas", f"{have} of {wanted} replicas are {word}")
    replicas = _number(obj, "status", "replicas")
    if replicas > wanted:
        return _progress("ExtraPods", _ending(replicas - wanted))
    return CURRENT


def _stateful_set(obj: objects.Object, _facts: Facts) -> Health:
    wanted = _number(obj, "spec", "replicas", default=1)
    replicas = _number(obj, "status", "replicas")
    ready = _number(obj, "status", "readyReplicas")
    updated = _number(obj, "status", "updatedReplicas")
    if wanted > replicas:
        return _progress("LessReplicas", f"{replicas} of {wanted} replicas are created")
    if wanted > ready:
        return _progress("LessReady", f"{ready} of {wanted} replicas are ready")
    if replicas > wanted:
        return _progress("ExtraPods", _ending(replicas - wanted))
    if objects.lookup(obj, ("spec", "updateStrategy", "type")) == "OnDelete":
        # Differs: kstatus calls OnDelete current at once, even with no replica ready.
        old = max(0, wanted - updated) if updated or not _same_revision(obj) else 0
        keep = "1 pod keeps" if old == 1 else f"{old} pods keep"
        return Health(State.CURRENT, "", f"{keep} the old revision until deleted" if old else "")
    partition = _number(obj, "spec", "updateStrategy", "rollingUpdate", "partition")
    if partition:
        due = max(0, wanted - partition)
        if updated < due:
            return _progress("PartitionRollout", f"{updated} of {due} replicas are updated")
        return CURRENT
    current = _number(obj, "status", "currentReplicas")
    if not _same_revision(obj):
        return _progress("RollingUpdate", f"{updated} of {wanted} replicas are updated")
    if wanted > current:
        return _progress("LessCurrent", f"{current} of {wanted} replicas are current")
    return CURRENT


def _same_revision(obj: objects.Object) -> bool:
    status = obj.get("status") or {}
    return status.get("currentRevision") == status.get("updateRevision")


def _daemon_set(obj: objects.Object, _facts: Facts) -> Health:
    status = obj.get("status") or {}
    if status.get("observedGeneration") is None:
        return _progress("NoObservedGeneration", "the DaemonSet is not observed yet")
    wanted = status.get("desiredNumberScheduled")
    if wanted is None:
        return _progress("NoDesiredNumber", "the number of nodes is not known yet")
    for field, word in (
        ("currentNumberScheduled", "scheduled"),
        ("updatedNumberScheduled", "updated"),
        ("numberAvailable", "available"),
        ("numberReady", "ready"),
    ):
        have = _number(obj, "status", field)
        if word == "updated" and _on_delete(obj):
            continue
        if wanted > have:
            return _progress(f"Less{word.capitalize()}", f"{have} of {wanted} pods are {word}")
    return CURRENT


def _on_delete(obj: objects.Object) -> bool:
    return bool(objects.lookup(obj, ("spec", "updateStrategy", "type")) == "OnDelete")


def _job(obj: objects.Object, _facts: Facts) -> Health:
    if _condition(obj, "Complete", "True"):
        return CURRENT
    if condition := _condition(obj, "Failed", "True"):
        return Health(State.FAILED, *_words(condition, "JobFailed"))
    if objects.lookup(obj, ("spec", "suspend")):
        return Health(State.SUSPENDED, "Suspended", "the Job is suspended")
    # Differs: kstatus calls a started Job current; who waits for a Job waits for its work.
    succeeded, wanted = (
        _number(obj, "status", "succeeded"),
        _number(obj, "spec", "completions", default=1),
    )
    if not objects.lookup(obj, ("status", "startTime")):
        return _progress("JobNotStarted", "the Job has not started")
    return _progress("JobRunning", f"{succeeded} of {wanted} completions")


# ---------------------------------------------------------------------- pods

_PATIENCE = {
    "ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull",
    "CreateContainerConfigError", "CreateContainerError", "RunContainerError",
}  # fmt: skip


def _pod(obj: objects.Object, facts: Facts) -> Health:
    phase = objects.lookup(obj, ("status", "phase"), "")
    owners = objects.metadata(obj).get("ownerReferences") or ()
    if phase == "Succeeded":
        return CURRENT
    if phase == "Failed":
        if any(owner.get("kind") in {"Job", "CronJob"} for owner in owners):
            return Health(State.CURRENT, "PodFailed", "failed; its Job decides what that means")
        # Differs: kstatus calls a failed pod current.
        message = objects.lookup(obj, ("status", "message")) or _exit_words(obj) or "the pod failed"
        return Health(
            State.FAILED, objects.lookup(obj, ("status", "reason")) or "PodFailed", message
        )
    if trouble := _container_trouble(obj, facts):
        return trouble
    if phase == "Running":
        if _condition(obj, "Ready", "True"):
            return CURRENT
        return _progress("PodNotReady", "the pod runs but is not ready")
    scheduled = _condition(obj, "PodScheduled", "False")
    if scheduled and scheduled.get("reason") == "Unschedulable":
        past = _past(scheduled, UNSCHEDULABLE_WINDOW_S, facts.now)
        return Health(
            State.FAILED if past else State.IN_PROGRESS, *_words(scheduled, "Unschedulable")
        )
    why = ", ".join(dict.fromkeys(_waiting_reasons(obj)))
    return _progress("PodPending", f"the pod is pending: {why}" if why else "the pod is pending")


def _waiting_reasons(pod: objects.Object) -> Iterator[str]:
    """Yield what the containers that did not start yet wait for: `ContainerCreating`."""
    for status in objects.lookup(pod, ("status", "containerStatuses"), ()) or ():
        if reason := objects.lookup(status, ("state", "waiting", "reason")):
            yield str(reason)


def _container_trouble(obj: objects.Object, facts: Facts) -> Health | None:
    since = objects.lookup(obj, ("status", "startTime")) or objects.metadata(obj).get(
        "creationTimestamp"
    )
    for group in ("initContainerStatuses", "containerStatuses"):
        for status in objects.lookup(obj, ("status", group), ()) or ():
            waiting = objects.lookup(status, ("state", "waiting")) or {}
            reason, name = waiting.get("reason") or "", status.get("name")
            message = f"container {name}: {waiting.get('message') or reason}"
            if reason == "CrashLoopBackOff":
                last = _exit_words(obj)
                return Health(State.FAILED, reason, last or message)
            if reason in _PATIENCE:
                # Differs: kstatus waits for ever for an image that does not exist.
                past = _age_s(since, facts.now) >= IMAGE_WINDOW_S
                return Health(State.FAILED if past else State.IN_PROGRESS, reason, message)
    return None


def _exit_words(obj: objects.Object) -> str:
    for group in ("initContainerStatuses", "containerStatuses"):
        for status in objects.lookup(obj, ("status", group), ()) or ():
            for field in ("state", "lastState"):
                ended = objects.lookup(status, (field, "terminated")) or {}
                if ended.get("exitCode"):
                    reason = ended.get("reason") or "Error"
                    return (
                        f"container {status.get('name')}: {reason}, exit code {ended['exitCode']}"
                    )
    return ""


# ---------------------------------------------------------------------- everything else


def _claim(obj: objects.Object, facts: Facts) -> Health:
    phase = objects.lookup(obj, ("status", "phase"), "")
    if phase == "Bound":
        return CURRENT
    if phase == "Lost":
        return Health(State.FAILED, "Lost", "the claim's volume is lost")
    if facts.waits_for_consumer:
        # Differs: kstatus waits for a binding that waits for the workload that waits for it.
        return Health(State.CURRENT, "WaitForFirstConsumer", "waits for its first consumer")
    return _progress("NotBound", "the claim is not bound")


def _volume(obj: objects.Object, _facts: Facts) -> Health:
    phase = objects.lookup(obj, ("status", "phase"), "")
    if phase == "Failed":
        return Health(State.FAILED, "Failed", objects.lookup(obj, ("status", "message"), "") or "")
    return CURRENT


def _service(obj: objects.Object, _facts: Facts) -> Health:
    kind = objects.lookup(obj, ("spec", "type"), "ClusterIP")
    if kind == "ExternalName":
        return CURRENT
    if not objects.lookup(obj, ("spec", "clusterIP")):
        return _progress("NoClusterIP", "no cluster IP is assigned")
    # Differs: kstatus is content with the cluster IP of a LoadBalancer.
    if kind == "LoadBalancer" and not objects.lookup(obj, ("status", "loadBalancer", "ingress")):
        return _progress("NoLoadBalancer", "the load balancer has no address yet")
    return CURRENT


def _namespace(obj: objects.Object, _facts: Facts) -> Health:
    phase = objects.lookup(obj, ("status", "phase"), "Active")
    return CURRENT if phase == "Active" else _progress("NotActive", f"the namespace is {phase}")


def _definition(obj: objects.Object, _facts: Facts) -> Health:
    names = _condition(obj, "NamesAccepted", "False")
    if names:
        return Health(State.FAILED, *_words(names, "NamesNotAccepted"))
    if _condition(obj, "Established", "True"):
        if _condition(obj, "NamesAccepted", "True"):
            return CURRENT
        return _progress("NamesNotAccepted", "the definition's names are not accepted yet")
    refused = _condition(obj, "Established", "False")
    if refused and refused.get("reason") != "Installing":
        return Health(State.FAILED, *_words(refused, "NotEstablished"))
    return _progress("Installing", "the definition is not established yet")


def _disruption_budget(obj: objects.Object, _facts: Facts) -> Health:
    if objects.lookup(obj, ("status", "observedGeneration")) is None:
        return _progress("NotObserved", "the budget is not observed yet")
    return CURRENT


def _quota(obj: objects.Object, facts: Facts) -> Health:
    # Differs: kstatus calls a quota current before anything is counted, so that what comes next
    # is not held to it.
    if objects.lookup(obj, ("spec", "hard")) and not objects.lookup(obj, ("status", "hard")):
        young = _age_s(objects.metadata(obj).get("creationTimestamp"), facts.now)
        if young < UNKNOWN_KIND_GRACE_S:
            return _progress("NotCounted", "what is used is not counted yet")
    return CURRENT


def _autoscaler(obj: objects.Object, _facts: Facts) -> Health:
    for kind in ("AbleToScale", "ScalingActive"):
        if condition := _condition(obj, kind, "False"):
            return Health(State.CURRENT, *_words(condition, kind))
    return CURRENT


def _api_service(obj: objects.Object, _facts: Facts) -> Health:
    condition = _condition(obj, "Available")
    if condition is None:
        return _progress("NotAvailable", "the API is not available yet")
    if condition.get("status") == "True":
        return CURRENT
    return _progress(*_words(condition, "NotAvailable"))


def _always(_obj: objects.Object, _facts: Facts) -> Health:
    return CURRENT


_AT_ONCE = {"RevisionNameTaken", "NotOwned", "ContainerMissing", "ProgressDeadlineExceeded"}
"""Reasons of a Knative Service that no waiting cures."""


def _knative(obj: objects.Object, facts: Facts) -> Health:
    # Differs: kstatus calls a Knative Service without status current and never calls one failed.
    if objects.lookup(obj, ("status", "observedGeneration")) is None:
        return _progress("NotObserved", "is not observed yet")
    ready = _condition(obj, "Ready")
    if ready is not None and ready.get("status") == "True":
        return CURRENT
    parts = [_condition(obj, kind) for kind in ("ConfigurationsReady", "RoutesReady")]
    cause = next((c for c in (*parts, ready) if c and c.get("status") != "True"), None)
    reason, message = _words(cause or {}, "NotReady")
    if ready is None or ready.get("status") != "False":
        return _progress(reason, message)
    reason, message = _words(ready, reason)
    failed = reason in _AT_ONCE or _past(ready, READY_FALSE_WINDOW_S, facts.now)
    return Health(State.FAILED if failed else State.IN_PROGRESS, reason, message)


def _knative_revision(obj: objects.Object, facts: Facts) -> Health:
    resources = _condition(obj, "ResourcesAvailable", "False")
    if resources and resources.get("reason") == "ProgressDeadlineExceeded":
        return Health(State.FAILED, *_words(resources, ""))
    return _knative(obj, facts)


def _custom(obj: objects.Object, facts: Facts) -> Health:
    """Judge a kind without a rule by its Ready condition."""
    ready = _condition(obj, "Ready")
    if ready is not None:
        if ready.get("status") == "True":
            return CURRENT
        return _progress(*_words(ready, "NotReady"))
    if facts.reports_status and not obj.get("status"):
        young = _age_s(objects.metadata(obj).get("creationTimestamp"), facts.now)
        if young < UNKNOWN_KIND_GRACE_S:
            return _progress("NoStatus", "reports no status yet")
    return CURRENT


Rule = Callable[[objects.Object, Facts], Health]

_WITHOUT_HEALTH = (
    ("", "ConfigMap"), ("", "Secret"), ("", "ServiceAccount"), ("", "Endpoints"),
    ("", "LimitRange"), ("", "PodTemplate"), ("", "Event"),
    ("batch", "CronJob"), ("networking.k8s.io", "Ingress"),
    ("networking.k8s.io", "IngressClass"), ("networking.k8s.io", "NetworkPolicy"),
    ("rbac.authorization.k8s.io", "Role"), ("rbac.authorization.k8s.io", "RoleBinding"),
    ("rbac.authorization.k8s.io", "ClusterRole"),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
    ("storage.k8s.io", "StorageClass"), ("scheduling.k8s.io", "PriorityClass"),
    ("node.k8s.io", "RuntimeClass"), ("coordination.k8s.io", "Lease"),
    ("discovery.k8s.io", "EndpointSlice"),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"),
)  # fmt: skip
"""Kinds that are what they are for as soon as they exist."""

_OBSERVED = {_deployment, _replica_set, _stateful_set}
"""Rules for kinds whose controllers say which generation they have seen."""

_RULES: dict[tuple[str, str], Rule] = {
    ("apps", "Deployment"): _deployment,
    ("apps", "ReplicaSet"): _replica_set,
    ("apps", "StatefulSet"): _stateful_set,
    ("apps", "DaemonSet"): _daemon_set,
    ("batch", "Job"): _job,
    ("", "Pod"): _pod,
    ("", "PersistentVolumeClaim"): _claim,
    ("", "PersistentVolume"): _volume,
    ("", "Service"): _service,
    ("", "Namespace"): _namespace,
    ("", "ReplicationController"): _replica_set,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _definition,
    ("", "ResourceQuota"): _quota,
    ("policy", "PodDisruptionBudget"): _disruption_budget,
    ("autoscaling", "HorizontalPodAutoscaler"): _autoscaler,
    ("apiregistration.k8s.io", "APIService"): _api_service,
    ("serving.knative.dev", "Service"): _knative,
    ("serving.knative.dev", "Configuration"): _knative,
    ("serving.knative.dev", "Route"): _knative,
    ("serving.knative.dev", "Revision"): _knative_revision,
    ("serving.knative.dev", "DomainMapping"): _knative,
    **dict.fromkeys(_WITHOUT_HEALTH, _always),
}
