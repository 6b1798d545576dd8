"""An app's status, computed from what the cluster says now: Service, Revisions and pods.

Pure and without a clock: the same objects give the same status, so that a watch reports a change
only when something changed. The last condition is the verdict.

| Service                                     | verdict                                   |
| ------------------------------------------- | ----------------------------------------- |
| stopped or being deleted, pods left         | ACTIVE, SCALING_DOWN                      |
| stopped or being deleted, none left         | STOPPED                                   |
| spec not yet seen by Knative                | PENDING (never ready before) or DEPLOYING |
| Ready True                                  | ACTIVE, with what scaling does            |
| Ready Unknown, a pod cannot work            | FAILED, with why                          |
| Ready Unknown                               | PENDING without, DEPLOYING with a Revision|
| Ready False because a pod waits for a node  | DEPLOYING: nodes may be added             |
| Ready False                                 | FAILED, with why                          |
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from understudy.apps import keys, names, podstates, records, settings, specs, storage
from understudy.kube import objects, records as codec
from understudy.kube.knative import keys as knative

_DEFAULT_MESSAGES = {
    "ConfigurationsReady": "Configuration is ready",
    "RoutesReady": "Routes are ready",
    "Ready": "Service is ready",
}
_SUBCONDITIONS = ("ConfigurationsReady", "RoutesReady")


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What a status is computed from.

    Attributes:
        service: The Knative Service.
        revisions: Its Revisions.
        pods: Its pods; empty also where the client may not see pods.
        domains: Its DomainMappings.
    """

    service: objects.Object
    revisions: Sequence[objects.Object] = ()
    pods: Sequence[objects.Object] = ()
    domains: Sequence[objects.Object] = ()


class NotAnAppError(ValueError):
    """The Service carries no identity, or one that does not parse."""


def identity_of(service: objects.Object) -> records.Identifier:
    """Return the identity kept in a Service's annotations; an empty org means `flyte`.

    Raises:
        NotAnAppError: There is none.
    """
    notes = objects.annotations_of(service)
    name = objects.name_of(service)
    text = notes.get(keys.APP_ID)
    if text is None:
        raise NotAnAppError(f"Service {name!r} is missing the annotation {keys.APP_ID}")
    parts = text.split("/", 2)
    if len(parts) != 3:
        raise NotAnAppError(f"Service {name!r} has a malformed {keys.APP_ID}: {text!r}")
    project, domain, app_name = parts
    return records.Identifier(
        org=notes.get(keys.APP_ORG) or "flyte", project=project, domain=domain, name=app_name
    )


def is_managed(service: objects.Object) -> bool:
    """Say whether a Service says of itself that it is an app."""
    return objects.labels_of(service).get(keys.MANAGED) == "true"


def is_stopped(service: objects.Object) -> bool:
    """Say whether an app was asked to stop."""
    return objects.labels_of(service).get(keys.STOPPED) == "true"


def app_of(observed: Observed, config: settings.AppSettings) -> records.App:
    """Return the app a Service stands for.

    Raises:
        NotAnAppError: It stands for none.
    """
    service = observed.service
    app_id = identity_of(service)
    spec = storage.decode(objects.annotations_of(service).get(keys.SPEC))
    if spec is not None and is_stopped(service):
        spec = _stopped(spec)
    meta = records.Meta(id=app_id, revision=_generation(service))
    return records.App(metadata=meta, spec=spec, status=status_of(observed, config))


def status_of(observed: Observed, config: settings.AppSettings) -> records.Status:
    """Compute the status of an app."""
    service = observed.service
    status = service.get("status") or {}
    notes = objects.annotations_of(service)
    latest = _named(observed.revisions, str(status.get("latestReadyRevisionName") or ""))
    running = [pod for pod in observed.pods if podstates.is_running(pod)]
    conditions = _conditions(observed, running)
    changed = [one.last_transition_time for one in conditions if one.last_transition_time]
    updated = _time(notes.get(keys.UPDATED_AT))
    return records.Status(
        current_replicas=_current(latest, running, service),
        desired_replicas=_count(latest, "desiredReplicas"),
        ingress=_ingress(observed, config),
        created_at=_time(objects.metadata(service).get("creationTimestamp")),
        last_updated_at=max([*changed, *([updated] if updated else [])], default=None),
        last_started_at=_time(notes.get(keys.STARTED_AT)),
        conditions=conditions,
        k8s_metadata=records.K8sMetadata(
            namespace=objects.namespace_of(service), service=objects.name_of(service)
        ),
        latest_created_revision=str(status.get("latestCreatedRevisionName") or ""),
        latest_ready_revision=str(status.get("latestReadyRevisionName") or ""),
        traffic=tuple(_traffic(target) for target in status.get("traffic") or ()),
    )


def _conditions(
    observed: Observed, running: Sequence[objects.Object]
) -> tuple[records.Condition, ...]:
    service = observed.service
    verdict = _verdict(observed, running)
    if is_stopped(service) or not _is_observed(service):
        return (verdict,)
    ready = _condition(service, "Ready") or {}
    details = []
    for kind in _SUBCONDITIONS:
        condition = _condition(service, kind)
        if condition is None:
            continue
        state = _state_of(kind, str(condition.get("status")), str(ready.get("status")))
        if state is not None:
            details.append(
                _made(
                    service,
                    state,
                    _message(condition),
                    when=_time(condition.get("lastTransitionTime")),
                )
            )
    return (*details, verdict)


def _state_of(kind: str, status: str, ready: str) -> records.DeploymentStatus | None:
    """Say how a sub-condition is shown; None hides it."""
    state = records.DeploymentStatus
    if status == "Unknown":
        return None if kind == "RoutesReady" else state.PENDING
    if status == "True":
        return state.ACTIVE if ready == "True" else state.DEPLOYING
    return state.FAILED if ready == "False" else None


def _verdict(observed: Observed, running: Sequence[objects.Object]) -> records.Condition:
    service = observed.service
    state, sub = records.DeploymentStatus, records.Substate
    if is_stopped(service) or objects.metadata(service).get("deletionTimestamp"):
        return _stopping(service, running)
    status = service.get("status") or {}
    if not _is_observed(service):
        known = status.get("latestReadyRevisionName")
        text = f"waiting for Knative to act on generation {_generation(service)}"
        return _made(service, state.DEPLOYING if known else state.PENDING, text)
    ready = _condition(service, "Ready")
    if ready is None:
        return _made(service, state.PENDING, "waiting for Knative")
    when = _time(ready.get("lastTransitionTime"))
    newest = _named(observed.revisions, str(status.get("latestCreatedRevisionName") or ""))
    if ready.get("status") == "True":
        latest = _named(observed.revisions, str(status.get("latestReadyRevisionName") or ""))
        return _active(service, latest, running, when)
    trouble = podstates.worst(_pods_of(observed.pods, newest))
    if trouble is not None and trouble.is_final:
        return _made(
            service,
            state.FAILED,
            _with_serving(trouble.message, status),
            sub=trouble.substate,
            when=trouble.since or when,
        )
    if ready.get("status") == "False" and not _waits_for_node(newest):
        message = _with_serving(_message(_culprit(service, ready)), status)
        return _made(service, state.FAILED, message, sub=_failure_of(newest), when=when)
    if newest is None:
        return _made(service, state.PENDING, _message(ready), when=when)
    step, text = podstates.progress(_pods_of(observed.pods, newest))
    if _waits_for_node(newest):
        text = _message(_condition(newest, "ResourcesAvailable") or ready)
    return _made(
        service,
        state.DEPLOYING,
        text or _message(ready),
        sub=step if step is not None else sub.INITIALIZING,
        when=when,
    )


def _stopping(service: objects.Object, running: Sequence[objects.Object]) -> records.Condition:
    state = records.DeploymentStatus
    notes = objects.annotations_of(service)
    asked = _time(notes.get(keys.STOPPED_AT)) or _time(
        objects.metadata(service).get("deletionTimestamp")
    )
    if running:
        count = len(running)
        text = f"stopping: {count} replica{'s' if count > 1 else ''} still running"
        return _made(service, state.ACTIVE, text, sub=records.Substate.SCALING_DOWN, when=asked)
    return _made(service, state.STOPPED, "App scaled to zero", when=asked)


def _active(
    service: objects.Object,
    latest: objects.Object | None,
    running: Sequence[objects.Object],
    when: dt.datetime | None,
) -> records.Condition:
    state, sub = records.DeploymentStatus, records.Substate
    ours = _pods_of(running, latest)
    trouble = podstates.worst(ours)
    if trouble is not None and trouble.is_final and not any(map(podstates.is_ready, ours)):
        return _made(
            service,
            state.FAILED,
            trouble.message,
            sub=trouble.substate,
            when=trouble.since or when,
        )
    actual, desired = _count(latest, "actualReplicas"), _count(latest, "desiredReplicas")
    actual = max(actual, sum(map(podstates.is_ready, ours)))
    active = _condition(latest, "Active") or {}
    if actual == 0 and desired > 0:
        step, text = sub.SCALING_FROM_ZERO, "starting the first replica"
    elif actual == 0 and (active.get("status") == "False" or latest is not None):
        step, text = sub.SCALED_TO_ZERO, "no requests, no replicas; the next request starts one"
    elif desired > actual:
        step, text = sub.SCALING_UP, f"{actual} of {desired} replicas running"
    elif 0 < desired < actual:
        step, text = sub.SCALING_DOWN, f"{actual} replicas running, {desired} wanted"
    else:
        step, text = sub.RUNNING, _DEFAULT_MESSAGES["Ready"]
    return _made(service, state.ACTIVE, text, sub=step, when=when)


def _waits_for_node(revision: objects.Object | None) -> bool:
    """An unschedulable pod fails the Revision at once, but a node may be added the next minute."""
    available = _condition(revision, "ResourcesAvailable") or {}
    return available.get("status") == "False" and available.get("reason") == "Unschedulable"


def _failure_of(revision: objects.Object | None) -> records.Substate:
    sub = records.Substate
    for kind in ("ContainerHealthy", "ResourcesAvailable"):
        condition = _condition(revision, kind) or {}
        if condition.get("status") != "False":
            continue
        reason = str(condition.get("reason") or "")
        if reason == "ContainerMissing" or reason in podstates.PULL_ERRORS:
            return sub.IMAGE_PULL_ERROR
        if reason.startswith("ExitCode"):
            return sub.OOM_KILLED if reason == "ExitCode137" else sub.CRASH_LOOP
    return sub.UNSPECIFIED


def _culprit(service: objects.Object, ready: objects.Object) -> objects.Object:
    """Return the condition that says most: a failed Revision rather than the Route it leaves."""
    configurations = _condition(service, "ConfigurationsReady")
    if configurations is not None and configurations.get("status") == "False":
        return configurations
    return ready


def _with_serving(message: str, status: objects.Object) -> str:
    serving = [
        str(target.get("revisionName"))
        for target in status.get("traffic") or ()
        if target.get("percent")
    ]
    return f"{message} (still serving {', '.join(serving)})" if serving else message


def _ingress(observed: Observed, config: settings.AppSettings) -> records.Ingress | None:
    app_id = identity_of(observed.service)
    public = names.public_ingress(app_id, config)
    url = public.public_url if public is not None else ""
    own = str((observed.service.get("status") or {}).get("url") or "")
    if is_stopped(observed.service):
        own = objects.annotations_of(observed.service).get(keys.URL_BEFORE, "")
    cname = next(
        (
            str(objects.lookup(mapping, ("status", "url")) or "")
            for mapping in observed.domains
            if objects.lookup(mapping, ("status", "url"))
        ),
        "",
    )
    if not (url or own or cname):
        return None
    return records.Ingress(public_url=url or own, cname_url=cname)


def _traffic(target: objects.Object) -> records.TrafficTarget:
    return records.TrafficTarget(
        revision_name=str(target.get("revisionName") or ""),
        percent=int(target.get("percent") or 0),
        tag=str(target.get("tag") or ""),
        latest_revision=bool(target.get("latestRevision")),
        url=str(target.get("url") or ""),
    )


def _made(
    service: objects.Object,
    state: records.DeploymentStatus,
    message: str,
    *,
    sub: records.Substate = records.Substate.UNSPECIFIED,
    when: dt.datetime | None = None,
) -> records.Condition:
    notes = objects.annotations_of(service)
    fallback = _time(notes.get(keys.UPDATED_AT)) or _time(
        objects.metadata(service).get("creationTimestamp")
    )
    return records.Condition(
        last_transition_time=when or fallback,
        deployment_status=state,
        message=message,
        revision=_generation(service),
        actor=str(notes.get(knative.LAST_MODIFIER) or ""),
        substate=sub,
        deployment_id=str(notes.get(keys.DEPLOYMENT_ID) or ""),
    )


def _message(condition: objects.Object) -> str:
    reason, message = condition.get("reason"), str(condition.get("message") or "")
    if reason:
        return f"{reason}: {message}"
    return message or _DEFAULT_MESSAGES.get(str(condition.get("type")), "")


def _stopped(spec: records.Spec) -> records.Spec:
    data = codec.to_json(spec) | {"desiredState": records.DesiredState.STOPPED.value}
    return codec.from_json(records.Spec, data)


def _is_observed(service: objects.Object) -> bool:
    observed = objects.lookup(service, ("status", "observedGeneration"))
    return observed is not None and observed == _generation(service)


def _generation(obj: objects.Object) -> int:
    return int(objects.metadata(obj).get("generation") or 0)


def _condition(obj: objects.Object | None, kind: str) -> objects.Object | None:
    for condition in objects.lookup(obj, ("status", "conditions")) or ():
        if condition.get("type") == kind:
            found: objects.Object = condition
            return found
    return None


def _named(revisions: Iterable[objects.Object], name: str) -> objects.Object | None:
    return next((one for one in revisions if name and objects.name_of(one) == name), None)


def _pods_of(
    pods: Sequence[objects.Object], revision: objects.Object | None
) -> list[objects.Object]:
    if revision is None or specs.is_parked(revision):
        return []
    name = objects.name_of(revision)
    return [pod for pod in pods if objects.labels_of(pod).get(knative.REVISION) == name]


def _count(revision: objects.Object | None, field: str) -> int:
    return max(0, int(objects.lookup(revision, ("status", field)) or 0))


def _current(
    latest: objects.Object | None, running: Sequence[objects.Object], service: objects.Object
) -> int:
    if is_stopped(service):
        return len(running)
    return _count(latest, "actualReplicas")


def _time(text: objects.Json) -> dt.datetime | None:
    if not isinstance(text, str) or not text:
        return None
    try:
        return codec.parse_time(text)
    except ValueError:
        return None
