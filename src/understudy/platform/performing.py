"""The far end of requests: each is carried out at most once, and its response is kept for a while.

| a request comes                    | what happens                                          |
| ---------------------------------- | ----------------------------------------------------- |
| for the first time                 | it is carried out; the response is sent and kept      |
| again, while it is carried out     | `running` is sent, the response follows               |
| again, its response is kept        | the kept response is sent                             |
| again, after its acknowledgement   | an error says that it was done; it is not done again  |
| after its cancellation             | the same                                              |

So a connection may break at any point and the request may be sent again on the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from understudy.aio import tasks
from understudy.platform import errors, protocol
from understudy.platform.bus import wire

Send = Callable[[bytes], None]
"""Puts an encoded message on its way; it may be lost. InvalidRequestError: it is too long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much is carried out and kept.

    Attributes:
        running_max: Requests at once; more are refused with UnavailableError, to be tried later.
        kept_max: Responses kept.
        kept_bytes_max: Bytes of them; one larger than this is not kept at all.
        remembered_max: Ids of requests that are over, so that none runs again.
    """

    running_max: int = 64
    kept_max: int = 200
    kept_bytes_max: int = 64 << 20
    remembered_max: int = 10_000


class Performer:
    """Carries requests out on a platform, see the module.

    Args:
        send: Where responses go; replaced by `send_to` when a connection is.
    """

    def __init__(
        self, platform: protocol.Platform, send: Send, limits: Limits | None = None
    ) -> None:
        self._platform = platform
        self._send = send
        self._limits = limits or Limits()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._kept: dict[str, bytes] = {}
        self._kept_bytes = 0
        self._over: dict[str, str] = {}
        self._tasks = tasks.TaskSet(_impossible)

    async def drain(self) -> None:
        """Wait until nothing is being carried out."""
        while self._running:
            await asyncio.wait(self._running.values())

    def send_to(self, send: Send) -> None:
        """Send from now on over another connection."""
        self._send = send

    def take(self, message: wire.Message) -> None:
        """Take a message; what is to be done is done by a task."""
        match message:
            case wire.Request():
                self._take_request(message)
            case wire.Cancel():
                task = self._running.get(message.id)
                if task is not None:
                    task.cancel()
                self._forget(message.id, "was cancelled")
            case wire.Acknowledge():
                self._forget(message.id, "was carried out, and its result is no longer kept")
            case _:
                pass  # Responses are for callers.

    def _take_request(self, request: wire.Request) -> None:
        kept = self._kept.get(request.id)
        if kept is not None:
            self._answer(request, kept)
        elif request.id in self._running:
            self._send(wire.encode(wire.Running(id=request.id)))
        elif request.id in self._over:
            said = f"request {request.id} {self._over[request.id]}"
            self._refuse(request, errors.UnavailableError(said, retryable=False))
        elif len(self._running) >= self._limits.running_max:
            said = f"{self._limits.running_max} requests are being carried out: try again later"
            self._refuse(request, errors.UnavailableError(said))
        else:
            task = self._tasks.start(request.method, self._perform(request))
            self._running[request.id] = task
            task.add_done_callback(lambda _: self._running.pop(request.id))

    def _refuse(self, request: wire.Request, error: errors.PlatformError) -> None:
        self._send(wire.encode(wire.Response(id=request.id, error=error)))

    async def _perform(self, request: wire.Request) -> None:
        response = wire.encode(await wire.perform(self._platform, request))
        if request.id not in self._over:
            self._keep(request.id, response)
            self._answer(request, response)

    def _answer(self, request: wire.Request, response: bytes) -> None:
        try:
            self._send(response)
        except errors.InvalidRequestError as error:
            # Too long for the connection: whoever asked is told so.
            self._refuse(request, error)

    def _keep(self, identity: str, response: bytes) -> None:
        self._kept[identity] = response
        self._kept_bytes += len(response)
        while len(self._kept) > self._limits.kept_max or (
            self._kept_bytes > self._limits.kept_bytes_max
        ):
            self._forget(next(iter(self._kept)), "was carried out, and its result is lost")

    def _forget(self, identity: str, why: str) -> None:
        kept = self._kept.pop(identity, None)
        self._kept_bytes -= len(kept or b"")
        self._over.setdefault(identity, why)
        while len(self._over) > self._limits.remembered_max:
            del self._over[next(iter(self._over))]

    async def stop(self) -> None:
        """Cancel what is being carried out, and wait until it has ended."""
        await self._tasks.stop()


def _impossible(name: str, error: BaseException) -> None:
    """Say that `wire.perform`, which turns every failure into a response, did not."""
    raise AssertionError(name) from error
