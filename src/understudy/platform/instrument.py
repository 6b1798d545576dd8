"""Durations of a platform's calls, for Prometheus."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Collection, Iterable
from typing import TypeVar

import prometheus_client

from understudy.platform import protocol, records

T = TypeVar("T")
BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1200)
"""Up to twenty minutes: syncs take minutes, and what is beyond the last bucket is not seen."""


def durations(registry: prometheus_client.CollectorRegistry) -> prometheus_client.Histogram:
    """Make `understudy_platform_request_duration_seconds{method, success}`, once for a registry."""
    return prometheus_client.Histogram(
        "understudy_platform_request_duration_seconds",
        "Time of calls to a cluster.",
        ("method", "success"),
        buckets=BUCKETS_S,
        registry=registry,
    )


class Instrument:
    """A platform that measures another one; results and errors pass through as they are.

    `success` is `false` for every error, partial failures too.
    """

    def __init__(self, platform: protocol.Platform, observed: prometheus_client.Histogram) -> None:
        self._platform = platform
        self.methods = protocol.methods_of(platform)
        self.agent = protocol.agent_of(platform)
        self._durations = observed

    async def _timed(self, method: str, call: Awaitable[T]) -> T:
        start = time.monotonic()
        success = "false"
        try:
            result = await call
            success = "true"
            return result
        finally:
            elapsed_s = time.monotonic() - start
            self._durations.labels(method, success).observe(elapsed_s)

    async def all_services(
        self, namespace: str = "", ignored: Collection[str] = ()
    ) -> list[records.Service]:
        return await self._timed("all_services", self._platform.all_services(namespace, ignored))

    async def some_services(self, ids: Collection[str]) -> list[records.Service]:
        return await self._timed("some_services", self._platform.some_services(ids))

    async def apply(self, definitions: Iterable[records.ServiceDefinition]) -> None:
        await self._timed("apply", self._platform.apply(definitions))

    async def sync(self, definition: records.SyncDef) -> records.SyncResult:
        return await self._timed("sync", self._platform.sync(definition))

    async def export(self) -> str:
        return await self._timed("export", self._platform.export())

    async def ping(self) -> None:
        await self._timed("ping", self._platform.ping())

    async def version(self) -> str:
        return await self._timed("version", self._platform.version())

    async def call_api(self, request: records.ApiRequest) -> records.ApiAnswer:
        return await self._timed("call_api", self._platform.call_api(request))


class BusMetrics:
    """What a message bus counts and measures; instances are no labels, there may be many.

    | metric                                                  | meaning                          |
    | ------------------------------------------------------- | -------------------------------- |
    | `understudy_bus_request_duration_seconds{method, code}` | calls; the error's code, or `ok` |
    | `understudy_bus_agents`                                 | agents that are connected here   |
    | `understudy_bus_kicks_total`                            | connections that were replaced   |
    | `understudy_bus_resent_total`                           | requests that were sent again    |
    | `understudy_bus_parcel_bytes_total{direction}`          | what went in pieces: `out`, `in` |
    | `understudy_bus_connected`                              | 1 while connected to the broker  |
    """

    def __init__(self, registry: prometheus_client.CollectorRegistry | None = None) -> None:
        self.durations = prometheus_client.Histogram(
            "understudy_bus_request_duration_seconds",
            "Time of calls over the bus.",
            ("method", "code"),
            buckets=BUCKETS_S,
            registry=registry,
        )
        self.agents = prometheus_client.Gauge(
            "understudy_bus_agents", "Agents that are connected here.", registry=registry
        )
        self.kicks = prometheus_client.Counter(
            "understudy_bus_kicks", "Connections that a newer one replaced.", registry=registry
        )
        self.resent = prometheus_client.Counter(
            "understudy_bus_resent", "Requests that were sent again.", registry=registry
        )
        self.parcel_bytes = prometheus_client.Counter(
            "understudy_bus_parcel_bytes",
            "Bytes of messages that were too large for one piece.",
            ("direction",),
            registry=registry,
        )
        self.connected = prometheus_client.Gauge(
            "understudy_bus_connected", "1 while connected to the broker.", registry=registry
        )

    def observe(self, method: str, code: str, seconds: float) -> None:
        """Count one call and its time; methods that are not known share a label."""
        known = method if method in protocol.METHODS else "other"
        self.durations.labels(known, code).observe(seconds)
