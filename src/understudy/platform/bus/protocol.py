"""The `MessageBus` protocol: calls find the one agent that answers for an instance."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Literal, Protocol

from understudy.platform import errors, protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """Whether somebody answers for an instance.

    Attributes:
        state: `connected`, `lost` (was connected once) or `never_seen`.
        epoch: Number of the newest connection, 0 for never; it only grows.
        reason: Why the last connection ended, empty while connected.
        agent: Names the agent's process, empty where that is not known.
        methods: What the agent can do.
        last_seen: When it was there last, e.g. `2026-01-01T00:00:00Z`; empty for never.
    """

    instance: str
    state: Literal["connected", "lost", "never_seen"]
    epoch: int = 0
    reason: str = ""
    agent: str = ""
    methods: tuple[str, ...] = ()
    last_seen: str = ""


class Subscription(Protocol):
    """One agent's place on the bus."""

    @property
    def epoch(self) -> int:
        """Number of this connection among its instance's; the newest wins."""
        ...

    @property
    def done(self) -> asyncio.Future[errors.PlatformError | None]:
        """Resolves once, with why the subscription ended; None where it was closed in order."""
        ...

    def close(self) -> None:
        """Leave the bus; harmless when repeated."""
        ...


class MessageBus(Protocol):
    """Agents subscribe, callers connect."""

    async def subscribe(self, instance: str, platform: protocol.Platform) -> Subscription:
        """Answer for an instance from now on; an older subscription is kicked, with the reason."""
        ...

    async def connect(self, instance: str) -> protocol.Platform:
        """Return the instance's platform. It need not be connected now: each call finds out.

        Raises:
            InvalidRequestError: The id cannot be an instance's.
        """
        ...

    async def ping(self, instance: str) -> None:
        """Return if the instance's agent answers. NotFoundError where none is connected."""
        ...

    async def version(self, instance: str) -> str:
        """Return the version of the instance's agent. NotFoundError where none is connected."""
        ...

    async def presence(self, instance: str) -> Presence:
        """Return whether an agent is connected."""
        ...

    async def wait_until_connected(self, instance: str, longest_s: float) -> Presence:
        """Return as soon as an agent is connected. UnavailableError where none comes in time."""
        ...

    async def presences(self) -> list[Presence]:
        """Return every instance of which an agent has been seen, by name."""
        ...

    async def close(self) -> None:
        """End every subscription."""
        ...
