"""One deliverer for an application at a time: a Lease, renewed while work goes on.

    free, or released        -> taken
    held, and renewed        -> LockHeldError, naming the holder
    held, but expired        -> taken over: the tracker's fence is raised, so that the old holder's
    held by a dead process      next write of the tracker is refused
    --force-unlock           -> taken over

A holder that could not renew for a lease's whole duration stops by itself (`check`), because by
then somebody else may rightly deliver. What it writes through a `FencedClient` is checked each
time: a process that stood still in the middle of fifty writes must not do the rest.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

from understudy.aio import clocks, tasks
from understudy.client import errors as client_errors, protocol, wrapping
from understudy.delivery import calling, errors, marks, targets
from understudy.kube import objects, statuses

RESOURCE = "leases.v1.coordination.k8s.io"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseSettings:
    """How a lock lives.

    Attributes:
        duration_s: How long it holds without being renewed.
        renew_s: How often it is renewed; a third of its duration survives two lost renewals.
    """

    duration_s: int = 30
    renew_s: float = 10.0


def lease_name(application: str) -> str:
    """Return the name of an application's Lease."""
    return f"deliver-{application}"


class Lock:
    """The right to deliver one application. `acquire`, then `release`; renewed in between.

    Attributes:
        was_taken_over: The holder before did not release it.
        taken_from: That holder.
    """

    def __init__(
        self,
        client: protocol.Client,
        owner: targets.Owner,
        holder: str,
        *,
        clock: clocks.Clock,
        is_gone: Callable[[str], bool] = lambda _holder: False,
        settings: LeaseSettings | None = None,
    ) -> None:
        self.was_taken_over = False
        self.taken_from = ""
        self._client = client
        self._sure = calling.SureClient(client, clock)
        self._owner = owner
        self._holder = holder
        self._clock = clock
        self._is_gone = is_gone
        self._settings = settings or LeaseSettings()
        self._lease: objects.Object | None = None
        self._renewed_at = 0.0
        self._lost = ""
        self._tasks = tasks.TaskSet(self._on_failure)

    async def acquire(self, *, force: bool = False) -> None:
        """Take the lock and keep renewing it.

        Raises:
            LockHeldError: Somebody else holds it.
        """
        began = self._clock.monotonic()
        name, namespace = lease_name(self._owner.application), self._owner.namespace
        try:
            lease = await self._client.get(RESOURCE, name, namespace=namespace)
        except statuses.NotFoundError:
            lease = None
        try:
            if lease is None:
                self._lease = await self._sure.create(
                    RESOURCE, self._taken(None), namespace=namespace
                )
            else:
                self._check_free(lease, force=force)
                self._lease = await self._sure.update(
                    RESOURCE, self._taken(lease), namespace=namespace
                )
        except (statuses.ConflictError, statuses.AlreadyExistsError) as error:
            raise errors.LockHeldError(
                f"somebody else has just begun to deliver {self._owner}: try again later"
            ) from error
        self._renewed_at = began
        self._tasks.start(f"renew {name}", self._renew())

    def _check_free(self, lease: objects.Object, *, force: bool) -> None:
        spec = lease.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        if not holder:
            return
        left = self._seconds_left(spec)
        if holder != self._holder and left > 0 and not force and not self._is_gone(holder):
            raise errors.LockHeldError(
                f"{self._owner} is being delivered by {holder} (lock renewed "
                f"{spec.get('renewTime')}, holds {left:.0f} s more): wait, or take it over with "
                "--force-unlock if that process is dead"
            )
        self.was_taken_over = True
        self.taken_from = str(holder)

    def _seconds_left(self, spec: objects.Object) -> float:
        try:
            renewed = dt.datetime.fromisoformat(str(spec.get("renewTime")))
        except ValueError:
            return 0.0
        duration = spec.get("leaseDurationSeconds") or self._settings.duration_s
        return float(duration) - (self._clock.now() - renewed).total_seconds()

    def _taken(self, lease: objects.Object | None) -> objects.Object:
        now = clocks.rfc3339_micro(self._clock.now())
        old = (lease or {}).get("spec") or {}
        spec = {
            "holderIdentity": self._holder,
            "leaseDurationSeconds": self._settings.duration_s,
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": int(old.get("leaseTransitions") or 0) + (1 if lease else 0),
        }
        if lease is not None:
            return {**lease, "spec": spec}
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": lease_name(self._owner.application),
                "namespace": self._owner.namespace,
                "labels": {marks.APPLICATION: self._owner.application},
            },
            "spec": spec,
        }

    async def _renew(self) -> None:
        while True:
            await self._clock.sleep(self._settings.renew_s)
            began = self._clock.monotonic()
            assert self._lease is not None, "a lock is renewed only while it is held"
            now = clocks.rfc3339_micro(self._clock.now())
            renewed = {**self._lease, "spec": {**self._lease["spec"], "renewTime": now}}
            try:
                self._lease = await self._sure.update(
                    RESOURCE, renewed, namespace=self._owner.namespace
                )
            except (statuses.ConflictError, statuses.NotFoundError):
                self._lost = "its lock was taken over"
                return
            except (statuses.ApiError, client_errors.TransportError):
                continue  # The next renewal may succeed; `check` knows when it is too late.
            self._renewed_at = began

    def _on_failure(self, _name: str, failure: BaseException) -> None:
        self._lost = f"its lock could not be renewed: {failure}"

    def check(self) -> None:
        """Make sure that the lock is still held, before a write that matters.

        Raises:
            FencedError: It is not, or may not be.
        """
        silent = self._clock.monotonic() - self._renewed_at
        if not self._lost and silent >= self._settings.duration_s:
            self._lost = f"its lock was not renewed for {silent:.0f} s"
        if self._lost:
            raise errors.FencedError(
                f"the delivery of {self._owner} stopped where it was: {self._lost}; what it did is "
                "recorded, run it again to go on"
            )

    async def release(self) -> None:
        """Give the lock back; what cannot be given back expires."""
        await self._tasks.stop()
        if self._lease is None or self._lost:
            return
        freed = {**self._lease["spec"], "holderIdentity": None}
        lease, self._lease = {**self._lease, "spec": freed}, None
        try:
            await self._client.update(RESOURCE, lease, namespace=self._owner.namespace)
        except (statuses.ApiError, client_errors.TransportError):
            return

    async def discard(self) -> None:
        """Stop renewing and delete the Lease: the application is gone."""
        await self._tasks.stop()
        self._lease = None
        try:
            await self._sure.delete(
                RESOURCE, lease_name(self._owner.application), namespace=self._owner.namespace
            )
        except statuses.NotFoundError:
            return


class FencedClient(wrapping.WrappedClient):
    """A client that writes only while a lock is held; FencedError otherwise."""

    def __init__(self, inner: protocol.Client, lock: Lock) -> None:
        super().__init__(inner)
        self._lock = lock

    async def write(self, write: wrapping.Write, send: wrapping.Send) -> objects.Object:
        self._lock.check()
        return await send()
