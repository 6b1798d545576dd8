"""The `Platform` protocol: one cluster, seen from delivery's distance."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from understudy.platform import records

METHODS = (
    "all_services", "some_services", "apply", "sync", "export", "ping", "version", "call_api",
)  # fmt: skip
"""Every method, by the name under which it is carried and counted."""

DEADLINES_S: Mapping[str, float] = {
    "all_services": 60.0,
    "some_services": 60.0,
    "apply": 1200.0,
    "sync": 1200.0,
    "export": 120.0,
    "ping": 10.0,
    "version": 10.0,
    "call_api": 60.0,
}
"""Longest time for an answer, by method. Syncs wait for rollouts, exports read everything."""


class Platform(Protocol):
    """A cluster. Every method raises `errors.PlatformError`, and nothing else."""

    async def all_services(
        self, namespace: str = "", ignored: Collection[str] = ()
    ) -> list[records.Service]:
        """Return the workloads of a namespace (`""`: of all), but for those ignored."""
        ...

    async def some_services(self, ids: Collection[str]) -> list[records.Service]:
        """Return the workloads named; those that do not exist are left out."""
        ...

    async def apply(self, definitions: Iterable[records.ServiceDefinition]) -> None:
        """Apply definitions; ApplyError names those that failed."""
        ...

    async def sync(self, definition: records.SyncDef) -> records.SyncResult:
        """Carry out actions in order; SyncError names those that failed, the rest is done."""
        ...

    async def export(self) -> str:
        """Return the cluster's objects as YAML documents, clean and in a fixed order."""
        ...

    async def ping(self) -> None:
        """Return if the cluster answers."""
        ...

    async def version(self) -> str:
        """Return the version of whoever answers for the cluster."""
        ...

    async def call_api(self, request: records.ApiRequest) -> records.ApiAnswer:
        """Carry one request to the cluster's API and return its answer, a refusal too."""
        ...


def methods_of(platform: Platform) -> tuple[str, ...]:
    """Return what a platform can do: its `methods` if it has such an attribute, else everything.

    An agent of an older version knows fewer methods; whoever reaches one says so by `methods`.
    """
    found: tuple[str, ...] = tuple(getattr(platform, "methods", METHODS))
    return found


def agent_of(platform: Platform) -> str:
    """Return the name of the process that carries a platform's requests out, empty if unknown.

    It remembers what it did: over whichever connection a request comes again, it runs once.
    """
    return str(getattr(platform, "agent", ""))
