"""Where the traffic of a Route goes: its targets resolved to Revisions that are ready.

Source: knative.dev/serving `pkg/reconciler/route/traffic`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from understudy.controllers import clusters
from understudy.controllers.knative import conditions, meta
from understudy.kube import objects
from understudy.kube.knative import keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One share of the traffic.

    Attributes:
        latest: It follows the latest ready Revision of `configuration`.
        protocol: `http1` or `h2c`.
    """

    revision: str
    configuration: str = ""
    percent: int = 0
    tag: str = ""
    latest: bool = False
    protocol: str = "http1"


class BadTargetError(Exception):
    """A target that cannot take traffic.

    Attributes:
        reason: For the condition, e.g. `RevisionMissing`.
        is_failure: Waiting will not help.
    """

    def __init__(self, reason: str, message: str, *, is_failure: bool) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.is_failure = is_failure


@dataclass(slots=True, kw_only=True)
class Traffic:
    """The targets of a Route, resolved.

    Attributes:
        targets: As the Route lists them, shares of one Revision under one tag added up.
        by_tag: Per tag, and under `""` for the Route's own name: one target per Revision.
        problem: Why the traffic cannot flow so, None if it can.
        watched: (kind, name) of everything the answer depends on.
    """

    targets: list[Target] = field(default_factory=list)
    by_tag: dict[str, list[Target]] = field(default_factory=dict)
    problem: BadTargetError | None = None
    watched: set[tuple[str, str]] = field(default_factory=set)


def resolve(cluster: clusters.Cluster, route: objects.Object) -> Traffic:
    """Resolve a Route's targets against the Configurations and Revisions there are."""
    traffic = Traffic()
    collected: dict[str, list[Target]] = {}
    for entry in route["spec"].get("traffic") or ():
        try:
            target = _target(cluster, route, entry, traffic)
        except BadTargetError as problem:
            if traffic.problem is None or problem.is_failure:
                traffic.problem = problem
            continue
        _merge(traffic.targets, target)
        collected.setdefault("", []).append(target)
        if target.tag:
            collected.setdefault(target.tag, []).append(target)
    if traffic.problem is None:
        traffic.by_tag = {tag: _consolidate(found) for tag, found in collected.items()}
    else:
        traffic.targets = []
    return traffic


def _target(
    cluster: clusters.Cluster, route: objects.Object, entry: objects.Object, traffic: Traffic
) -> Target:
    namespace = objects.namespace_of(route)
    name = str(entry.get("revisionName") or "")
    configuration_name = str(entry.get("configurationName") or "")
    if name:
        revision = _revision(cluster, namespace, name, traffic)
        _require_own(route, revision)
        _require_ready(revision)
        configuration_name = objects.labels_of(revision).get(keys.CONFIGURATION, "")
        if configuration_name:
            _configuration(cluster, namespace, configuration_name, traffic)
    else:
        configuration = _configuration(cluster, namespace, configuration_name, traffic)
        name = str(objects.lookup(configuration, ("status", "latestReadyRevisionName")) or "")
        if not name:
            raise _unready_configuration(configuration)
        revision = _revision(cluster, namespace, name, traffic)
        _require_ready(revision)
    return Target(
        revision=name,
        configuration=configuration_name,
        percent=int(entry.get("percent") or 0),
        tag=str(entry.get("tag") or ""),
        latest=bool(entry.get("latestRevision")),
        protocol=meta.protocol_of(revision),
    )


def _configuration(
    cluster: clusters.Cluster, namespace: str, name: str, traffic: Traffic
) -> objects.Object:
    traffic.watched.add(("Configuration", name))
    found = cluster.peek(keys.CONFIGURATIONS, namespace, name)
    if found is None:
        raise _missing("Configuration", name)
    return found


def _revision(
    cluster: clusters.Cluster, namespace: str, name: str, traffic: Traffic
) -> objects.Object:
    traffic.watched.add(("Revision", name))
    found = cluster.peek(keys.REVISIONS, namespace, name)
    if found is None:
        raise _missing("Revision", name)
    return found


def _missing(kind: str, name: str) -> BadTargetError:
    return BadTargetError(
        f"{kind}Missing", f'{kind} "{name}" referenced in traffic not found.', is_failure=True
    )


def _unready_configuration(configuration: objects.Object) -> BadTargetError:
    name = objects.name_of(configuration)
    if conditions.ready_status(configuration) == "False":
        text = f'Configuration "{name}" does not have any ready Revision.'
        return BadTargetError("RevisionMissing", text, is_failure=True)
    text = f'Configuration "{name}" is waiting for a Revision to become ready.'
    return BadTargetError("RevisionMissing", text, is_failure=False)


def _require_ready(revision: objects.Object) -> None:
    if conditions.is_ready(revision):
        return
    name = objects.name_of(revision)
    if conditions.ready_status(revision) == "False":
        text = f'Revision "{name}" failed to become ready.'
        raise BadTargetError("RevisionMissing", text, is_failure=True)
    text = f'Revision "{name}" is not yet ready.'
    raise BadTargetError("RevisionMissing", text, is_failure=False)


def _require_own(route: objects.Object, revision: objects.Object) -> None:
    """A Service's Route leads to that Service's Revisions only."""
    service = objects.labels_of(route).get(keys.SERVICE, "")
    theirs = objects.labels_of(revision).get(keys.SERVICE, "")
    if not service or service == theirs:
        return
    name = objects.name_of(revision)
    text = f'Revision "{name}" does not belong to Service "{service}".'
    if theirs:
        text = f'Revision "{name}" belongs to Service "{theirs}", not Service "{service}".'
    raise BadTargetError("RevisionNotOwned", text, is_failure=True)


def _merge(targets: list[Target], target: Target) -> None:
    for index, known in enumerate(targets):
        if (known.tag, known.revision, known.latest) == (
            target.tag,
            target.revision,
            target.latest,
        ):
            targets[index] = replace(known, percent=known.percent + target.percent)
            return
    targets.append(target)


def _consolidate(targets: list[Target]) -> list[Target]:
    """Return one target per Revision; a single one gets everything."""
    by_revision: dict[str, Target] = {}
    for target in targets:
        known = by_revision.get(target.revision)
        by_revision[target.revision] = (
            target if known is None else replace(known, percent=known.percent + target.percent)
        )
    found = list(by_revision.values())
    return [replace(found[0], percent=100)] if len(found) == 1 else found
