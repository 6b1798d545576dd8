"""The arithmetic of a rollout: which ReplicaSet is new, how many replicas each may have.

Pure functions of a Deployment and its ReplicaSets. Source: pkg/controller/deployment/util.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

from understudy.controllers.workloads import conditions, hashes, pods
from understudy.kube import objects

HASH_LABEL: Final = "pod-template-hash"
REVISION: Final = "deployment.kubernetes.io/revision"
HISTORY: Final = "deployment.kubernetes.io/revision-history"
DESIRED: Final = "deployment.kubernetes.io/desired-replicas"
MAXIMUM: Final = "deployment.kubernetes.io/max-replicas"
ROLLBACK: Final = "deprecated.deployment.rollback.to"
HISTORY_CHARACTERS_MAX: Final = 2000
NO_LIMIT: Final = 2**31 - 1
NOT_COPIED: Final = frozenset({
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION, HISTORY, DESIRED, MAXIMUM, ROLLBACK,
})  # fmt: skip
"""Annotations of a Deployment that its ReplicaSets do not get."""


def replicas(obj: objects.Object) -> int:
    """Return spec.replicas of a Deployment or ReplicaSet."""
    return int(obj["spec"].get("replicas", 1))


def status_count(obj: objects.Object, field: str) -> int:
    """Return a counter of the status, 0 when absent."""
    return int((obj.get("status") or {}).get(field) or 0)


def scaled(value: objects.Json, total: int, *, up: bool) -> int:
    """Resolve an IntOrString: a number, or a percentage of `total` rounded up or down."""
    if isinstance(value, str):
        part = int(value.rstrip("%")) * total / 100
        return math.ceil(part) if up else math.floor(part)
    return int(value or 0)


def is_rolling(deployment: objects.Object) -> bool:
    """Whether the strategy is RollingUpdate."""
    return bool((deployment["spec"].get("strategy") or {}).get("type") == "RollingUpdate")


def _fenceposts(deployment: objects.Object) -> tuple[int, int]:
    rolling = (deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    total = replicas(deployment)
    surge = scaled(rolling.get("maxSurge"), total, up=True)
    unavailable = scaled(rolling.get("maxUnavailable"), total, up=False)
    if surge == 0 and unavailable == 0:
        # Validation forbids both at 0, but percentages may come to it: something must give.
        unavailable = 1
    return surge, unavailable


def max_surge(deployment: objects.Object) -> int:
    """Return how many pods there may be above the wanted number."""
    return _fenceposts(deployment)[0] if is_rolling(deployment) else 0


def max_unavailable(deployment: objects.Object) -> int:
    """Return how many of the wanted pods may be unavailable."""
    total = replicas(deployment)
    if not is_rolling(deployment) or total == 0:
        return 0
    return min(_fenceposts(deployment)[1], total)


def count(sets: Iterable[objects.Object]) -> int:
    """Return the sum of spec.replicas."""
    return sum(replicas(one) for one in sets)


def sum_status(sets: Iterable[objects.Object], field: str) -> int:
    """Return the sum of a status counter."""
    return sum(status_count(one, field) for one in sets)


def active(sets: Iterable[objects.Object]) -> list[objects.Object]:
    """Return the ReplicaSets that want at least one replica."""
    return [one for one in sets if replicas(one) > 0]


def by_creation(sets: Iterable[objects.Object]) -> list[objects.Object]:
    """Order by creation, then by name."""
    return sorted(sets, key=lambda one: (pods.creation_of(one), objects.name_of(one)))


def revision_of(obj: objects.Object) -> int:
    """Return the revision annotation as a number, 0 where it is absent or no number."""
    try:
        return int(objects.annotations_of(obj).get(REVISION) or 0)
    except ValueError:
        return 0


def find_new(deployment: objects.Object, sets: Sequence[objects.Object]) -> objects.Object | None:
    """Return the oldest ReplicaSet whose template is the Deployment's, or None."""
    wanted = _without_hash(deployment["spec"]["template"])
    for one in by_creation(sets):
        if _without_hash(one["spec"]["template"]) == wanted:
            return one
    return None


def same_template(one: objects.Object, other: objects.Object) -> bool:
    """Whether two templates differ at most in the hash label."""
    return bool(_without_hash(one) == _without_hash(other))


def _without_hash(template: objects.Object) -> objects.Object:
    meta = template.get("metadata") or {}
    labels = {k: v for k, v in (meta.get("labels") or {}).items() if k != HASH_LABEL}
    return template | {"metadata": meta | {"labels": labels}}


def new_replicas(deployment: objects.Object, sets: Iterable[objects.Object], current: int) -> int:
    """Return how many replicas the new ReplicaSet, which has `current`, may have now.

    `sets` are all ReplicaSets, the new one included.
    """
    wanted = replicas(deployment)
    if not is_rolling(deployment):
        return wanted
    room = wanted + max_surge(deployment) - count(sets)
    if room <= 0:
        return current
    return current + min(room, wanted - current)


def proportion(one: objects.Object, deployment: objects.Object, to_add: int, added: int) -> int:
    """Return a ReplicaSet's share of replicas to add (or, negative, to take away)."""
    if replicas(one) == 0 or to_add in {0, added}:
        return 0
    fraction = _fraction(one, deployment)
    allowed = to_add - added
    return min(fraction, allowed) if to_add > 0 else max(fraction, allowed)


def _fraction(one: objects.Object, deployment: objects.Object) -> int:
    current, wanted = replicas(one), replicas(deployment)
    if wanted == 0:
        return -current
    before = int(objects.annotations_of(one).get(MAXIMUM) or 0)
    before = before or status_count(deployment, "replicas")
    if before == 0:
        return 0
    after = wanted + max_surge(deployment)
    # Go's rounding: half away from zero.
    return math.floor(current * after / before + 0.5) - current


def has_deadline(deployment: objects.Object) -> bool:
    """Whether progress is watched at all."""
    deadline = deployment["spec"].get("progressDeadlineSeconds")
    return deadline is not None and deadline != NO_LIMIT


def is_complete(deployment: objects.Object, status: objects.Object) -> bool:
    """Whether the rollout has come to its end."""
    wanted = replicas(deployment)
    counts = [status.get(f, 0) for f in ("updatedReplicas", "replicas", "availableReplicas")]
    seen = status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)
    return counts == [wanted] * 3 and seen


def is_progressing(old: objects.Object, new: objects.Object) -> bool:
    """Whether the status shows progress: more new, ready or available pods, or fewer old ones."""

    def grew(field: str) -> bool:
        return bool(new.get(field, 0) > old.get(field, 0))

    left_before = old.get("replicas", 0) - old.get("updatedReplicas", 0)
    left_now = new.get("replicas", 0) - new.get("updatedReplicas", 0)
    return (
        grew("updatedReplicas")
        or left_now < left_before
        or grew("readyReplicas")
        or grew("availableReplicas")
    )


def is_saturated(deployment: objects.Object, new: objects.Object | None) -> bool:
    """Whether the new ReplicaSet alone makes up the whole Deployment."""
    if new is None:
        return False
    try:
        desired = int(objects.annotations_of(new).get(DESIRED) or "")
    except ValueError:
        return False
    wanted = replicas(deployment)
    return (
        replicas(new) == wanted
        and desired == wanted
        and status_count(new, "availableReplicas") == wanted
    )


def set_replicas_annotations(one: objects.Object, desired: int, maximum: int) -> bool:
    """Note on a ReplicaSet what its Deployment wants, in place; say whether that is news."""
    annotations: objects.Object = one["metadata"].setdefault("annotations", {})
    wanted = {DESIRED: str(desired), MAXIMUM: str(maximum)}
    changed = any(annotations.get(key) != value for key, value in wanted.items())
    annotations.update(wanted)
    return changed


def set_annotations(
    deployment: objects.Object, one: objects.Object, revision: int, *, exists: bool
) -> bool:
    """Bring a new ReplicaSet's annotations up to date, in place; say whether any changed.

    A former number goes into the history: an undo gives an old ReplicaSet a new number.
    """
    annotations: objects.Object = one["metadata"].setdefault("annotations", {})
    changed = False
    for key, value in objects.annotations_of(deployment).items():
        if key not in NOT_COPIED and annotations.get(key) != value:
            annotations[key] = value
            changed = True
    former = annotations.get(REVISION)
    if revision_of(one) < revision:
        annotations[REVISION] = str(revision)
        changed = True
        if former is not None:
            history = [known for known in str(annotations.get(HISTORY) or "").split(",") if known]
            history.append(str(former))
            while len(",".join(history)) > HISTORY_CHARACTERS_MAX:
                del history[0]
            annotations[HISTORY] = ",".join(history)
    if not exists:
        wanted = replicas(deployment)
        if set_replicas_annotations(one, wanted, wanted + max_surge(deployment)):
            changed = True
    return changed


def build_new(deployment: objects.Object, owner: objects.Object) -> objects.Object:
    """Build the ReplicaSet of the Deployment's present template, without replicas yet."""
    spec = deployment["spec"]
    template = objects.copy(spec["template"])
    hashed = hashes.template_hash(template, (deployment.get("status") or {}).get("collisionCount"))
    labels = {**(template.get("metadata") or {}).get("labels", {}), HASH_LABEL: hashed}
    template["metadata"] = {**(template.get("metadata") or {}), "labels": labels}
    selector = objects.copy(spec["selector"])
    selector["matchLabels"] = {**selector.get("matchLabels", {}), HASH_LABEL: hashed}
    new: objects.Object = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{objects.name_of(deployment)}-{hashed}",
            "namespace": objects.namespace_of(deployment),
            "labels": dict(labels),
            "ownerReferences": [owner],
        },
        "spec": {"replicas": 0, "selector": selector, "template": template},
    }
    if spec.get("minReadySeconds"):
        new["spec"]["minReadySeconds"] = spec["minReadySeconds"]
    return new


def count_status(
    deployment: objects.Object,
    sets: Sequence[objects.Object],
    new: objects.Object | None,
    now: str,
) -> objects.Object:
    """Return the status that the ReplicaSets add up to; Progressing is left as it was."""
    old = deployment.get("status") or {}
    status: objects.Object = {"observedGeneration": deployment["metadata"].get("generation", 0)}
    available = sum_status(sets, "availableReplicas")
    conditions.put_counts(status, {
        "replicas": sum_status(sets, "replicas"),
        "updatedReplicas": status_count(new, "replicas") if new is not None else 0,
        "readyReplicas": sum_status(sets, "readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": max(0, count(sets) - available),
    })  # fmt: skip
    status["terminatingReplicas"] = sum_status(sets, "terminatingReplicas")
    if old.get("conditions"):
        status["conditions"] = objects.copy(old["conditions"])
    if old.get("collisionCount") is not None:
        status["collisionCount"] = old["collisionCount"]
    if available >= replicas(deployment) - max_unavailable(deployment):
        value, reason = "True", "MinimumReplicasAvailable"
        message = "Deployment has minimum availability."
    else:
        value, reason = "False", "MinimumReplicasUnavailable"
        message = "Deployment does not have minimum availability."
    conditions.put(
        status, conditions.make("Available", value, reason, message, now, update_time=True)
    )
    return status
