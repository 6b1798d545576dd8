"""Deployments: a ReplicaSet for each template, rolled over within surge and unavailability.

One reconcile does one step of a rollout and reports it; the status it writes trails what it did,
and the write that follows a creation meets its own 409 and is tried again, as in the original.
Source: pkg/controller/deployment.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Generator
from typing import Final

from understudy.controllers import changes, clusters, reactor, recorders
from understudy.controllers.workloads import claims, conditions, pods, replicasets, rollouts
from understudy.kube import objects, selectors, statuses

REF: Final = "deployments.apps"
SETS: Final = "replicasets.apps"


class Deployments:
    """Reconciles Deployments."""

    name = "deployment-controller"
    watched = (REF, SETS, "pods")

    def __init__(self, shared: clusters.Shared) -> None:
        self.cluster = clusters.Cluster(shared, "deployment-controller")
        self.recorder = recorders.Recorder(self.cluster, "deployment-controller")

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        if change.ref == REF:
            queue.add(change.key)
        elif change.ref == SETS:
            replicasets.observe_pod(
                self.cluster, change, queue, "Deployment", "apps", REF, _selector
            )
        elif change.deleted:
            self._observe_gone_pod(change, queue)

    def _observe_gone_pod(self, change: changes.Change, queue: reactor.Queue) -> None:
        """A Recreate waits for the last old pod to be gone."""
        set_key = claims.controller_key(change.object, "ReplicaSet", "apps")
        owner = self.cluster.peek(SETS, *set_key) if set_key is not None else None
        key = claims.controller_key(owner, "Deployment", "apps") if owner is not None else None
        deployment = self.cluster.peek(REF, *key) if key is not None else None
        if key is not None and deployment is not None and not rollouts.is_rolling(deployment):
            queue.add(key)

    def reconcile(self, key: reactor.Key) -> reactor.Turns | None:
        deployment = self.cluster.draft(REF, *key)
        if deployment is None:
            return None
        return Sync(self.cluster, self.recorder, deployment).run()


class Sync:
    """One reconcile of one Deployment: the Deployment as it was read, and its ReplicaSets."""

    def __init__(
        self, cluster: clusters.Cluster, recorder: recorders.Recorder, deployment: objects.Object
    ) -> None:
        self.cluster = cluster
        self.recorder = recorder
        self.deployment = deployment
        self.sets: list[objects.Object] = []
        self.again_s: float | None = None

    def run(self) -> reactor.Turns:
        """Do the next step; return seconds until the progress deadline is to be checked.

        Each write takes a turn.
        """
        selector = _selector(self.deployment)
        if selector.empty:
            self._refuse_to_select_all()
            return None
        claimed = claims.claim(self.cluster, SETS, self.deployment, selector)
        self.sets = claimed
        if self.deployment["metadata"].get("deletionTimestamp"):
            self._report_counts(*(yield from self._split(create=False)))
            return None
        yield from self._check_paused()
        if self.deployment["spec"].get("paused") or (yield from self._is_scaling()):
            yield from self._scale_only()
        elif rollouts.is_rolling(self.deployment):
            yield from self._roll()
        else:
            yield from self._recreate()
        return self.again_s

    def _refuse_to_select_all(self) -> None:
        self.recorder.event(
            self.deployment, "Warning", "SelectingAll",
            "This deployment is selecting all pods. A non-empty selector is required.",
        )  # fmt: skip
        status = self.deployment.setdefault("status", {})
        generation = self.deployment["metadata"].get("generation", 0)
        if status.get("observedGeneration", 0) < generation:
            status["observedGeneration"] = generation
            self._write_status()

    # ------------------------------------------------------------------ replica sets

    def _split(
        self, *, create: bool
    ) -> Generator[None, None, tuple[objects.Object | None, list[objects.Object]]]:
        """Return the new ReplicaSet (made or renumbered if need be) and the old ones."""
        found = rollouts.find_new(self.deployment, self.sets)
        old = [one for one in self.sets if found is None or one is not found]
        revision = max((rollouts.revision_of(one) for one in old), default=0) + 1
        if found is not None:
            return (yield from self._renew(found, revision)), old
        return ((yield from self._create_new(old, revision)) if create else None), old

    def _renew(self, new: objects.Object, revision: int) -> Generator[None, None, objects.Object]:
        new = _own(new)
        changed = rollouts.set_annotations(self.deployment, new, revision, exists=True)
        min_ready_s = int(self.deployment["spec"].get("minReadySeconds") or 0)
        if changed or int(new["spec"].get("minReadySeconds") or 0) != min_ready_s:
            conditions.put_counts(new["spec"], {"minReadySeconds": min_ready_s})
            renewed = self.cluster.update(SETS, new)
            yield
            return renewed
        news = self._set_revision(str(new["metadata"]["annotations"].get(rollouts.REVISION)))
        progressing = conditions.get(self.deployment.get("status") or {}, "Progressing")
        if rollouts.has_deadline(self.deployment) and progressing is None:
            message = f'Found new replica set "{objects.name_of(new)}"'
            self._set_progressing("True", "FoundNewReplicaSet", message)
            news = True
        if news:
            self._write_status()
            yield
        return new

    def _create_new(
        self, old: list[objects.Object], revision: int
    ) -> Generator[None, None, objects.Object]:
        new = rollouts.build_new(self.deployment, clusters.owner_reference(self.deployment))
        size = rollouts.new_replicas(self.deployment, [*old, new], 0)
        new["spec"]["replicas"] = size
        rollouts.set_annotations(self.deployment, new, revision, exists=False)
        name = objects.name_of(new)
        fresh = True
        try:
            created = self.cluster.create(SETS, new)
        except statuses.AlreadyExistsError:
            created = self._existing(name)
            fresh = False
        except statuses.ApiError as error:
            self._note_failed_creation(name, error)
            raise
        yield
        if fresh and size > 0:
            self.recorder.event(
                self.deployment, "Normal", "ScalingReplicaSet",
                f"Scaled up replica set {name} from 0 to {size}",
            )  # fmt: skip
        news = self._set_revision(str(revision))
        if fresh and rollouts.has_deadline(self.deployment):
            message = f'Created new replica set "{name}"'
            self._set_progressing("True", "NewReplicaSetCreated", message)
            news = True
        if news:
            self._write_status()
            yield
        self.sets.append(created)
        return created

    def _existing(self, name: str) -> objects.Object:
        """Return the ReplicaSet in the way if it is ours; else count the collision."""
        found = self.cluster.find(SETS, objects.namespace_of(self.deployment), name)
        owner = claims.controller_of(found) if found is not None else None
        is_ours = owner is not None and owner.get("uid") == objects.uid_of(self.deployment)
        template = self.deployment["spec"]["template"]
        same = found is not None and rollouts.same_template(template, found["spec"]["template"])
        if found is not None and is_ours and same:
            return found
        status = self.deployment.setdefault("status", {})
        status["collisionCount"] = int(status.get("collisionCount") or 0) + 1
        self._write_status()
        raise statuses.ConflictError(f'the name of replica set "{name}" is taken')

    def _note_failed_creation(self, name: str, error: statuses.ApiError) -> None:
        if replicasets.is_leaving(error):
            return
        message = f'Failed to create new replica set "{name}": {error.message}'
        if rollouts.has_deadline(self.deployment):
            self._set_progressing("False", "ReplicaSetCreateError", message)
            self._write_status()
        self.recorder.event(self.deployment, "Warning", "ReplicaSetCreateError", message)

    def _set_revision(self, revision: str) -> bool:
        meta = self.deployment["metadata"]
        if objects.annotations_of(self.deployment).get(rollouts.REVISION) == revision:
            return False
        meta["annotations"] = {**(meta.get("annotations") or {}), rollouts.REVISION: revision}
        return True

    def _resize(self, one: objects.Object, size: int) -> Generator[None, None, bool]:
        """Scale a ReplicaSet if it has another size, with an event; say whether it had.

        `one` stays as it was read: the status that follows is of before the step, as recorded.
        """
        if rollouts.replicas(one) == size:
            return False
        yield from self._put_size(one, size)
        return True

    def _put_size(self, one: objects.Object, size: int) -> Generator[None, None, objects.Object]:
        before = rollouts.replicas(one)
        wanted = rollouts.replicas(self.deployment)
        surge = rollouts.max_surge(self.deployment)
        changed = _own(one)
        noted = rollouts.set_replicas_annotations(changed, wanted, wanted + surge)
        if size == before and not noted:
            return one
        changed["spec"]["replicas"] = size
        updated = self.cluster.update(SETS, changed)
        if size != before:
            way = "up" if before < size else "down"
            self.recorder.event(
                self.deployment, "Normal", "ScalingReplicaSet",
                f"Scaled {way} replica set {objects.name_of(one)} from {before} to {size}",
            )  # fmt: skip
        yield
        return updated

    # ------------------------------------------------------------------ pausing and scaling

    def _check_paused(self) -> Generator[None, None, None]:
        if not rollouts.has_deadline(self.deployment):
            return
        known = conditions.get(self.deployment.get("status") or {}, "Progressing") or {}
        reason = known.get("reason")
        if reason == "ProgressDeadlineExceeded":
            return
        paused = bool(self.deployment["spec"].get("paused"))
        if paused and reason != "DeploymentPaused":
            self._set_progressing("Unknown", "DeploymentPaused", "Deployment is paused")
        elif not paused and reason == "DeploymentPaused":
            self._set_progressing("Unknown", "DeploymentResumed", "Deployment is resumed")
        else:
            return
        self._write_status()
        yield

    def _is_scaling(self) -> Generator[None, None, bool]:
        yield from self._split(create=False)
        wanted = str(rollouts.replicas(self.deployment))
        noted = (objects.annotations_of(one).get(rollouts.DESIRED)
                 for one in rollouts.active(self.sets))  # fmt: skip
        return any(desired not in {None, wanted} for desired in noted)

    def _scale_only(self) -> Generator[None, None, None]:
        new, old = yield from self._split(create=False)
        yield from self._scale(new, old)
        if self.deployment["spec"].get("paused"):
            self._clean(old)
        self._report_counts(new, old)

    def _scale(
        self, new: objects.Object | None, old: list[objects.Object]
    ) -> Generator[None, None, None]:
        wanted = rollouts.replicas(self.deployment)
        only = _active_or_latest(new, old)
        if only is not None:
            yield from self._resize(only, wanted)
        elif rollouts.is_saturated(self.deployment, new):
            for one in rollouts.active(old):
                yield from self._resize(one, 0)
        elif rollouts.is_rolling(self.deployment):
            yield from self._scale_in_proportion([*old, *([new] if new is not None else [])])

    def _scale_in_proportion(self, sets: list[objects.Object]) -> Generator[None, None, None]:
        sets = rollouts.active(sets)
        wanted = rollouts.replicas(self.deployment)
        allowed = wanted + rollouts.max_surge(self.deployment) if wanted > 0 else 0
        to_add = allowed - rollouts.count(sets)
        if to_add:
            newest_first = rollouts.by_creation(sets)[:: 1 if to_add < 0 else -1]
            sets = sorted(newest_first, key=lambda one: -rollouts.replicas(one))
        sizes, added = [], 0
        for one in sets:
            share = rollouts.proportion(one, self.deployment, to_add, added)
            sizes.append(rollouts.replicas(one) + share)
            added += share
        for place, (one, size) in enumerate(zip(sets, sizes, strict=True)):
            rest = to_add - added if place == 0 else 0
            yield from self._put_size(one, max(0, size + rest))

    # ------------------------------------------------------------------ strategies

    def _roll(self) -> Generator[None, None, None]:
        new, old = yield from self._split(create=True)
        assert new is not None, "asked to create it"
        everyone = [*old, new]
        moved = yield from self._grow_new(new, everyone)
        if moved or (yield from self._shrink_old(new, old)):
            self._report_rollout(new, old)
            return
        if rollouts.is_complete(self.deployment, self.deployment.get("status") or {}):
            self._clean(old)
        self._report_rollout(new, old)

    def _grow_new(
        self, new: objects.Object, everyone: list[objects.Object]
    ) -> Generator[None, None, bool]:
        current, wanted = rollouts.replicas(new), rollouts.replicas(self.deployment)
        if current == wanted:
            return False
        size = wanted
        if current < wanted:
            size = rollouts.new_replicas(self.deployment, everyone, current)
        return (yield from self._resize(new, size))

    def _shrink_old(
        self, new: objects.Object, old: list[objects.Object]
    ) -> Generator[None, None, bool]:
        if rollouts.count(old) == 0:
            return False
        floor = rollouts.replicas(self.deployment) - rollouts.max_unavailable(self.deployment)
        not_up = rollouts.replicas(new) - rollouts.status_count(new, "availableReplicas")
        room = rollouts.count([*old, new]) - floor - not_up
        if room <= 0:
            return False
        old = list(old)  # the status that follows is of before the step
        cleaned = yield from self._shrink_unhealthy(old, room)
        available = rollouts.sum_status([*old, new], "availableReplicas")
        shrunk = 0
        for one in rollouts.by_creation(old):
            left = available - floor - shrunk
            if left <= 0:
                break
            size = rollouts.replicas(one)
            if size > 0:
                taken = min(size, left)
                yield from self._resize(one, size - taken)
                shrunk += taken
        return cleaned + shrunk > 0

    def _shrink_unhealthy(self, old: list[objects.Object], room: int) -> Generator[None, None, int]:
        """Take away old pods that are not available first: nobody misses them."""
        total = 0
        for one in rollouts.by_creation(old):
            if total >= room:
                break
            place = old.index(one)
            size = rollouts.replicas(one)
            unavailable = size - rollouts.status_count(one, "availableReplicas")
            if size > 0 and unavailable > 0:
                taken = min(room - total, unavailable)
                old[place] = yield from self._put_size(one, size - taken)
                total += taken
        return total

    def _recreate(self) -> Generator[None, None, None]:
        new, old = yield from self._split(create=False)
        shrinking = rollouts.active(old)
        for one in shrinking:
            yield from self._resize(one, 0)
        if shrinking or self._old_pods_run(old):
            self._report_rollout(new, old)
            return
        if new is None:
            new, old = yield from self._split(create=True)
        assert new is not None, "asked to create it"
        yield from self._resize(new, rollouts.replicas(self.deployment))
        if rollouts.is_complete(self.deployment, self.deployment.get("status") or {}):
            self._clean(old)
        self._report_rollout(new, old)

    def _old_pods_run(self, old: list[objects.Object]) -> bool:
        if rollouts.sum_status(old, "replicas") > 0:
            return True
        namespace = objects.namespace_of(self.deployment)
        return any(
            not pods.is_over(pod)
            for one in old
            for pod in self.cluster.indexes.controlled("pods", namespace, objects.uid_of(one))
        )

    def _clean(self, old: list[objects.Object]) -> None:
        """Delete the oldest empty ReplicaSets beyond the history limit."""
        limit = self.deployment["spec"].get("revisionHistoryLimit")
        if limit is None or limit == rollouts.NO_LIMIT:
            return
        alive = [one for one in old if not one["metadata"].get("deletionTimestamp")]
        surplus = len(alive) - limit
        for one in sorted(alive, key=rollouts.revision_of)[: max(0, surplus)]:
            observed = rollouts.status_count(one, "observedGeneration")
            if rollouts.replicas(one) or rollouts.status_count(one, "replicas"):
                continue
            if one["metadata"].get("generation", 0) > observed:
                continue
            self.cluster.delete(SETS, objects.namespace_of(one), objects.name_of(one))

    # ------------------------------------------------------------------ status

    def _report_counts(self, new: objects.Object | None, old: list[objects.Object]) -> None:
        sets = [*old, *([new] if new is not None else [])]
        status = rollouts.count_status(self.deployment, sets, new, self.cluster.stamp())
        self._put_status(status)

    def _report_rollout(self, new: objects.Object | None, old: list[objects.Object]) -> None:
        sets = [*old, *([new] if new is not None else [])]
        status = rollouts.count_status(self.deployment, sets, new, self.cluster.stamp())
        known = conditions.get(self.deployment.get("status") or {}, "Progressing")
        if not rollouts.has_deadline(self.deployment):
            conditions.drop(status, "Progressing")
        elif not (
            status.get("replicas", 0) == status.get("updatedReplicas", 0)
            and known is not None
            and known.get("reason") == "NewReplicaSetAvailable"
        ):
            self._judge_progress(status, known, new)
        self._copy_failure(status, sets, new)
        if status == (self.deployment.get("status") or {}):
            self.again_s = self._deadline_check_s(status)
        self._put_status(status)

    def _judge_progress(
        self, status: objects.Object, known: objects.Object | None, new: objects.Object | None
    ) -> None:
        kind, name = ("Deployment", objects.name_of(self.deployment)) if new is None else (
            "ReplicaSet", objects.name_of(new))  # fmt: skip
        what = f'{kind} "{name}"'
        if rollouts.is_complete(self.deployment, status):
            conditions.put(status, self._progressing(
                "True", "NewReplicaSetAvailable", f"{what} has successfully progressed."
            ))  # fmt: skip
        elif rollouts.is_progressing(self.deployment.get("status") or {}, status):
            condition = self._progressing("True", "ReplicaSetUpdated", f"{what} is progressing.")
            if known is not None and known.get("status") == "True":
                condition["lastTransitionTime"] = known.get("lastTransitionTime")
            # Renewed even if nothing but its time changes: the deadline counts from there.
            conditions.replace(status, condition)
        elif self._is_timed_out(status):
            conditions.put(status, self._progressing(
                "False", "ProgressDeadlineExceeded", f"{what} has timed out progressing."
            ))  # fmt: skip

    def _is_timed_out(self, status: objects.Object) -> bool:
        known = conditions.get(status, "Progressing")
        if known is None or known.get("reason") == "NewReplicaSetAvailable":
            return False
        if known.get("reason") == "ProgressDeadlineExceeded":
            return True
        return self._deadline_of(known) < self.cluster.now()

    def _deadline_of(self, condition: objects.Object) -> dt.datetime:
        seconds = int(self.deployment["spec"]["progressDeadlineSeconds"])
        since = condition.get("lastUpdateTime") or condition["lastTransitionTime"]
        return pods.parse_time(since) + dt.timedelta(seconds=seconds)

    def _deadline_check_s(self, status: objects.Object) -> float | None:
        known = conditions.get(status, "Progressing")
        if not rollouts.has_deadline(self.deployment) or known is None:
            return None
        if rollouts.is_complete(self.deployment, status):
            return None
        if known.get("reason") in {"ProgressDeadlineExceeded", "NewReplicaSetAvailable"}:
            return None
        left_s = (self._deadline_of(known) - self.cluster.now()).total_seconds()
        return max(0.005, left_s) if left_s < 1 else left_s + 1

    def _copy_failure(
        self, status: objects.Object, sets: list[objects.Object], new: objects.Object | None
    ) -> None:
        ordered = [*([new] if new is not None else []), *sets]
        found = (conditions.get(one.get("status") or {}, "ReplicaFailure") for one in ordered)
        failure = next((condition for condition in found if condition is not None), None)
        if failure is None:
            conditions.drop(status, "ReplicaFailure")
            return
        stamp = self.cluster.stamp()
        conditions.put(status, {
            "type": "ReplicaFailure", "status": failure.get("status"), "lastUpdateTime": stamp,
            "lastTransitionTime": failure.get("lastTransitionTime"),
            "reason": failure.get("reason"), "message": failure.get("message"),
        })  # fmt: skip

    def _progressing(self, value: str, reason: str, message: str) -> objects.Object:
        return conditions.make(
            "Progressing", value, reason, message, self.cluster.stamp(), update_time=True
        )

    def _set_progressing(self, value: str, reason: str, message: str) -> None:
        status = self.deployment.setdefault("status", {})
        conditions.put(status, self._progressing(value, reason, message))

    def _put_status(self, status: objects.Object) -> None:
        if status != (self.deployment.get("status") or {}):
            self.deployment["status"] = status
            self._write_status()

    def _write_status(self) -> None:
        # The Deployment in hand keeps its old resourceVersion: a second write in the same
        # reconcile meets 409 and is done by the next one, from a fresh read.
        self.cluster.update_status(REF, self.deployment, quiet=True)


def _own(one: objects.Object) -> objects.Object:
    """Return a copy of a ReplicaSet whose annotations and spec fields may be changed."""
    meta = one["metadata"]
    annotations = dict(meta.get("annotations") or {})
    return {**one, "metadata": {**meta, "annotations": annotations}, "spec": {**one["spec"]}}


def _active_or_latest(
    new: objects.Object | None, old: list[objects.Object]
) -> objects.Object | None:
    """Return the only ReplicaSet with replicas, or the latest if none has, or None if several."""
    everyone = [*old, *([new] if new is not None else [])]
    running = rollouts.active(everyone)
    if len(running) == 1:
        return running[0]
    if running or not everyone:
        return None
    return new if new is not None else rollouts.by_creation(old)[-1]


def _selector(deployment: objects.Object) -> selectors.LabelSelector:
    raw = deployment["spec"].get("selector") or {}
    return selectors.from_label_selector(raw)
