"""Waiting until what was delivered does what it is for.

A barrier stands after each batch: definitions must be established, namespaces active, workloads
and custom resources healthy; configuration only has to exist, a claim need not be bound (it may
wait for the very workload that comes next) and a load balancer's address is never waited for
between waves. Time runs out in two ways: a limit for the whole delivery, and a limit for standing
still, because what moves deserves patience and what does not move will not start to.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from understudy.aio import clocks
from understudy.client import protocol
from understudy.delivery import calling, errors, hooks, marks, outcomes, reasons, refs, targets
from understudy.kube import health, objects

WAIT = f"{marks.GROUP}/wait"
"""Annotation: `false` does not wait for this object."""

KAPP_DISABLE_WAIT = "kapp.k14s.io/disable-wait"
"""kapp's annotation of the same meaning, whatever its value."""

SERVED_DELAY_MAX_S = 5.0
"""A delay that has doubled beyond this is too long: ten seconds in all."""

_EXIST_IS_ENOUGH = {
    ("", "ConfigMap"), ("", "Secret"), ("", "ServiceAccount"), ("", "LimitRange"),
    ("", "PersistentVolume"), ("", "PersistentVolumeClaim"), ("", "Service"),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitSettings:
    """How long a delivery waits.

    Attributes:
        timeout_s: For everything together; 15 minutes as kapp.
        no_activity_s: Without any change in what is waited for; 4 minutes as nelm.
        poll_first_s: Between the first looks; it grows by half each time.
        poll_max_s: Between later looks.
        explain_first_s: Until the first look at the pods and events of what is not ready.
        explain_s: Between later looks at them.
        parallel: Requests at once.
    """

    timeout_s: float = 900.0
    no_activity_s: float = 240.0
    poll_first_s: float = 0.05
    poll_max_s: float = 2.0
    explain_first_s: float = 1.0
    explain_s: float = 5.0
    parallel: int = 8


class Waiter(Protocol):
    """Waits for objects, by whatever means there are."""

    async def wait(
        self,
        waited: Sequence[targets.Target],
        tell: outcomes.Tell,
        limit_s: float | None = None,
    ) -> dict[refs.Ref, health.Health]:
        """Return the health of each object when all are settled, one has failed or time is up.

        With `limit_s` it is up then at the latest, however still they stand until then.
        """
        ...

    async def wait_gone(
        self, waited: Sequence[targets.Target], uids: set[str], tell: outcomes.Tell
    ) -> dict[refs.Ref, health.Health]:
        """Return what of some deleted objects is still there when time is up; nothing is best."""
        ...

    @property
    def waits_for_health(self) -> bool:
        """Whether waiting for health makes sense here at all."""
        ...


def is_waited_for(target: targets.Target) -> bool:
    """Whether the next wave waits until this object is healthy."""
    said = objects.annotations_of(target.obj)
    if said.get(WAIT) == "false" or KAPP_DISABLE_WAIT in said:
        return False
    return not exists_is_enough(target.ref)


def exists_is_enough(ref: refs.Ref) -> bool:
    """Whether an object of this kind is what it is for as soon as it exists."""
    if (ref.group, ref.kind) in _EXIST_IS_ENOUGH:
        return True
    if health.is_always_current(ref.group, ref.kind):
        return True
    return ref.group in {"rbac.authorization.k8s.io", "admissionregistration.k8s.io"}


def is_prerequisite(ref: refs.Ref) -> bool:
    """Whether nothing else can be applied before this is ready, even with --no-wait."""
    return (ref.group, ref.kind) in (
        ("", "Namespace"),
        ("apiextensions.k8s.io", "CustomResourceDefinition"),
    )


class LiveWaiter:
    """Waits for a cluster, by looking again."""

    __slots__ = ("_client", "_clock", "_deadline", "_health", "_settings")

    def __init__(
        self,
        client: protocol.Client,
        clock: clocks.Clock,
        settings: WaitSettings | None = None,
        *,
        for_health: bool = True,
    ) -> None:
        self._client = client
        self._clock = clock
        self._settings = settings or WaitSettings()
        self._deadline = clock.monotonic() + self._settings.timeout_s
        self._health = for_health

    @property
    def waits_for_health(self) -> bool:
        return self._health

    async def wait(
        self,
        waited: Sequence[targets.Target],
        tell: outcomes.Tell,
        limit_s: float | None = None,
    ) -> dict[refs.Ref, health.Health]:
        def enough(verdicts: dict[refs.Ref, health.Health]) -> bool:
            if any(verdict.state is health.State.FAILED for verdict in verdicts.values()):
                return True
            return all(verdict.is_settled for verdict in verdicts.values())

        return await self._look(waited, self._assessed, enough, tell, limit_s)

    async def wait_gone(
        self, waited: Sequence[targets.Target], uids: set[str], tell: outcomes.Tell
    ) -> dict[refs.Ref, health.Health]:
        def still_there(
            found: dict[refs.Ref, objects.Object], _targets: Iterable[targets.Target]
        ) -> dict[refs.Ref, health.Health]:
            facts = health.Facts(now=self._clock.now())
            return {
                ref: health.assess(obj, facts)
                for ref, obj in found.items()
                if objects.uid_of(obj) in uids
            }

        return await self._look(waited, still_there, lambda verdicts: not verdicts, tell)

    def _assessed(
        self, found: dict[refs.Ref, objects.Object], waited: Iterable[targets.Target]
    ) -> dict[refs.Ref, health.Health]:
        return assess_all(found, waited, self._clock.now())

    async def _look(
        self,
        waited: Sequence[targets.Target],
        judge: Callable[
            [dict[refs.Ref, objects.Object], Iterable[targets.Target]],
            dict[refs.Ref, health.Health],
        ],
        enough: Callable[[dict[refs.Ref, health.Health]], bool],
        tell: outcomes.Tell,
        limit_s: float | None = None,
    ) -> dict[refs.Ref, health.Health]:
        """Read and judge until it is enough, or time is up; tell of every change."""
        told: dict[refs.Ref, health.Health] = {}
        delay, began = self._settings.poll_first_s, self._clock.monotonic()
        moved = began
        explained = began - self._settings.explain_s + self._settings.explain_first_s
        seen: dict[refs.Ref, str] = {}
        said: dict[refs.Ref, tuple[str, ...]] = {}
        while True:
            found = await calling.read(
                self._client,
                ((target.ref, target.resource) for target in waited),
                limit=self._settings.parallel,
                clock=self._clock,
            )
            verdicts = judge(found, waited)
            versions = {
                ref: str(objects.metadata(obj).get("resourceVersion")) for ref, obj in found.items()
            }
            now = self._clock.monotonic()
            if versions != seen or any(_works_unseen(verdict) for verdict in verdicts.values()):
                seen, moved = versions, now
            for ref, verdict in verdicts.items():
                if told.get(ref) != verdict:
                    told[ref] = verdict
                    tell(_news(ref, verdict))
            for ref in [ref for ref in told if ref not in verdicts]:
                del told[ref]
                tell(outcomes.News(type="healthy", ref=ref, message="is gone"))
            if enough(verdicts):
                return verdicts
            if now - explained >= self._settings.explain_s:
                explained = now
                await self._explain(found, verdicts, said, tell)
            if given_up := self._given_up(now, moved, began, limit_s):
                return {
                    ref: verdict if verdict.is_settled else _noted(verdict, given_up)
                    for ref, verdict in verdicts.items()
                }
            await self._clock.sleep(delay)
            delay = min(delay * 1.5, self._settings.poll_max_s)

    async def _explain(
        self,
        found: Mapping[refs.Ref, objects.Object],
        verdicts: Mapping[refs.Ref, health.Health],
        said: dict[refs.Ref, tuple[str, ...]],
        tell: outcomes.Tell,
    ) -> None:
        """Tell what pods and events say of what is waited for, where that is news."""
        unsettled = {ref for ref, verdict in verdicts.items() if not verdict.is_settled}
        pending = {ref: obj for ref, obj in found.items() if ref in unsettled}
        for ref, below in (await reasons.read(self._client, pending, pending, self._clock)).items():
            if below.reasons and said.get(ref) != below.reasons:
                said[ref] = below.reasons
                tell(dataclasses.replace(_news(ref, verdicts[ref]), details=below.reasons))

    def _given_up(self, now: float, moved: float, began: float, limit_s: float | None) -> str:
        """Say why nothing more is waited for; empty while it is."""
        if limit_s is not None and now - began >= limit_s:
            return f"given up after {_told(limit_s)}"
        if now >= self._deadline:
            return f"given up after {_told(self._settings.timeout_s)}"
        if limit_s is None and now - moved >= self._settings.no_activity_s:
            return f"given up: nothing has moved for {_told(self._settings.no_activity_s)}"
        return ""


def _told(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min" if minutes and not rest else f"{seconds:g} s"


def _noted(verdict: health.Health, why: str) -> health.Health:
    message = f"{verdict.message} ({why})" if verdict.message else why
    return dataclasses.replace(verdict, message=message)


def _works_unseen(verdict: health.Health) -> bool:
    """Whether a verdict is about work that shows nothing while it goes on: a Job's."""
    return verdict.reason == "JobRunning"


async def await_served(
    client: protocol.Client, due: Iterable[targets.Target], clock: clocks.Clock
) -> None:
    """Wait until what new definitions define is served, as their objects come next.

    Raises:
        UnhealthyError: It is not in time.
    """
    defined = [
        resource
        for target in due
        if (target.ref.group, target.ref.kind) == targets.CRD
        for resource in targets.resources_of(target.obj)
    ]
    served = await client.discover() if defined else None
    delay = 0.05
    while served is not None and any(
        served.by_kind(resource.api_version, resource.kind) is None for resource in defined
    ):
        if delay > SERVED_DELAY_MAX_S:
            missing = ", ".join(sorted(resource.name for resource in defined))
            raise errors.UnhealthyError([f"the server does not serve {missing} in time"])
        await clock.sleep(delay)
        delay *= 2
        served = await client.discover(refresh=True)


def assess_all(
    found: dict[refs.Ref, objects.Object],
    waited: Iterable[targets.Target],
    now: dt.datetime,
) -> dict[refs.Ref, health.Health]:
    """Return the health of each object that is waited for; NotFound where it is not there."""
    verdicts: dict[refs.Ref, health.Health] = {}
    for target in waited:
        obj = found.get(target.ref)
        facts = health.Facts(now=now, reports_status="status" in target.resource.subresources)
        verdict = health.NOT_FOUND if obj is None else health.assess(obj, facts)
        if obj is None and hooks.removes_itself(target.obj):
            verdict = health.Health(health.State.CURRENT, "", "has run, and removed itself")
        if obj is not None and hooks.of(target.obj) is not None:
            verdict = hooks.assess(obj, verdict)
        verdicts[target.ref] = verdict
    return verdicts


def _news(ref: refs.Ref, verdict: health.Health) -> outcomes.News:
    kind, message = "waiting", verdict.message or str(verdict.state)
    if verdict.state is health.State.FAILED:
        kind, message = "failed", str(verdict)
    elif verdict.is_settled:
        kind, message = "healthy", verdict.message
    return outcomes.News(type=kind, ref=ref, message=message, reason=verdict.reason)
