"""A platform that answers as it is told, for tests of what carries calls."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from understudy.kube import objects
from understudy.platform import errors, protocol, records

Check = objects.Json
"""A function of the method's arguments."""


@dataclass(slots=True)
class Told:
    """What one method does.

    Attributes:
        check: Called with the arguments first; what it raises is raised.
        answer: Returned.
        error: Raised instead, if given.
        delay_s: Seconds to wait before either; forever where it is negative.
        asked: The arguments of each call, in order.
        cancelled: How many calls were given up before they were done.
    """

    check: Check | None = None
    answer: objects.Json = None
    error: Exception | None = None
    delay_s: float = 0.0
    asked: list[tuple[objects.Json, ...]] = field(default_factory=list)
    cancelled: int = 0

    @property
    def calls(self) -> int:
        """How often the method was called."""
        return len(self.asked)

    async def do(self, *arguments: objects.Json) -> objects.Json:
        """Do as told."""
        self.asked.append(arguments)
        if self.check is not None:
            self.check(*arguments)
        try:
            if self.delay_s < 0:
                await asyncio.Event().wait()
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        return self.answer


@dataclass(slots=True)
class MockPlatform:
    """A Platform whose methods do as they are told: `mock.on_sync.error = SyncError(...)`.

    Attributes:
        methods: What it can do; asked for anything else it is an older agent.
    """

    methods: tuple[str, ...] = protocol.METHODS
    on_all_services: Told = field(default_factory=lambda: Told(answer=[]))
    on_some_services: Told = field(default_factory=lambda: Told(answer=[]))
    on_apply: Told = field(default_factory=Told)
    on_sync: Told = field(default_factory=lambda: Told(answer=records.SyncResult()))
    on_export: Told = field(default_factory=lambda: Told(answer=""))
    on_ping: Told = field(default_factory=Told)
    on_version: Told = field(default_factory=lambda: Told(answer="mock"))
    on_call_api: Told = field(default_factory=lambda: Told(answer=records.ApiAnswer(status=200)))

    def _told(self, method: str) -> Told:
        if method not in self.methods:
            raise errors.upgrade_needed("the mock", method)
        told: Told = getattr(self, f"on_{method}")
        return told

    async def all_services(
        self, namespace: str = "", ignored: Collection[str] = ()
    ) -> list[records.Service]:
        found: list[records.Service] = await self._told("all_services").do(namespace, set(ignored))
        return found

    async def some_services(self, ids: Collection[str]) -> list[records.Service]:
        found: list[records.Service] = await self._told("some_services").do(list(ids))
        return found

    async def apply(self, definitions: Iterable[records.ServiceDefinition]) -> None:
        await self._told("apply").do(list(definitions))

    async def sync(self, definition: records.SyncDef) -> records.SyncResult:
        result: records.SyncResult = await self._told("sync").do(definition)
        return result

    async def export(self) -> str:
        text: str = await self._told("export").do()
        return text

    async def ping(self) -> None:
        await self._told("ping").do()

    async def version(self) -> str:
        text: str = await self._told("version").do()
        return text

    async def call_api(self, request: records.ApiRequest) -> records.ApiAnswer:
        answer: records.ApiAnswer = await self._told("call_api").do(request)
        return answer
