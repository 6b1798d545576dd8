"""Requests are carried out, each at most once, however often it comes.

| a request comes                | what happens                                                  |
| ------------------------------ | ------------------------------------------------------------- |
| for the first time             | it waits for a free place, runs, and its response is kept     |
| again, before it is done       | it gets the same response                                     |
| again, its response being kept | it gets that                                                  |
| again, later                   | an error; it does not run again                               |
| when its time is over          | DeadlineError; it does not run                                |
| while too many wait            | UnavailableError; it does not run, and may be tried again     |

What is known of a request is forgotten when its deadline is over; until then nothing of it runs a
second time. Responses are dropped before that for lack of room, and there is little for those that
have arrived: enough for who lost a small one further on, and asks once more.
"""

from __future__ import annotations

import asyncio
import heapq
from dataclasses import dataclass, replace

from understudy.aio import clocks, tasks as task_sets
from understudy.platform import errors
from understudy.platform.bus import wire


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much a desk takes on.

    Attributes:
        running_max: Requests carried out at a time; more of them wait.
        waiting_max: Requests that wait for a place; more are refused.
        given_bytes_max: What requests that wait or run were given, in bytes; more are refused.
        kept_bytes_max: Responses that are kept until they are acknowledged, in bytes.
        spare_bytes_max: Those that are kept longer, in bytes.
        known_max: Requests remembered until their deadlines; more are refused.
    """

    running_max: int = 32
    waiting_max: int = 1000
    given_bytes_max: int = 512 << 20
    kept_bytes_max: int = 256 << 20
    spare_bytes_max: int = 1 << 20
    known_max: int = 250_000


@dataclass(slots=True)
class _Known:
    """A request that is under way, or whose response is kept; `weight` is that one's in bytes."""

    id: str
    method: str
    answer: asyncio.Future[wire.Response]
    expires_s: float
    given: int
    task: asyncio.Task[None] | None = None
    weight: int = 0


class Desk:
    """Takes requests and has them carried out.

    Args:
        carry: Carries one request out, `functools.partial(wire.perform, platform)`.
        tasks: Owns the requests under way.
    """

    def __init__(
        self,
        carry: wire.Carry,
        *,
        tasks: task_sets.TaskSet,
        clock: clocks.Clock,
        limits: Limits | None = None,
    ) -> None:
        self._carry = carry
        self._tasks = tasks
        self._clock = clock
        self._limits = limits or Limits()
        self._places = asyncio.Semaphore(self._limits.running_max)
        self._known: dict[str, _Known] = {}
        # By id, the methods of those that are over and must not run again, and some responses.
        self._over: dict[str, str] = {}
        self._spare: dict[str, tuple[wire.Response, int]] = {}
        self._spare_bytes = 0
        # When each is to be forgotten; a heap of plain tuples, which cost the collector nothing.
        self._due: list[tuple[float, str]] = []
        self._kept_bytes = 0
        self._given_bytes = 0
        self._unfinished = 0
        self._ended: errors.PlatformError | None = None

    def find(self, identity: str) -> asyncio.Future[wire.Response] | None:
        """Return where the response of a request comes, None if it is not known."""
        known = self._known.get(identity)
        if known is not None:
            return known.answer
        if identity in self._spare:
            return _answered(self._spare[identity][0])
        method = self._over.get(identity)
        if method is None:
            return None
        gone = f"{method} was carried out already, and its answer is not kept any more"
        return _answered(wire.Response(id=identity, error=errors.NotFoundError(gone)))

    def submit(self, request: wire.Request) -> asyncio.Future[wire.Response]:
        """Have a request carried out, unless it is known; return where its response comes."""
        self.forget_expired()
        found = self.find(request.id)
        if found is not None:
            return found
        given = wire.weight(request)
        refusal = self._refusal(request, given)
        if refusal is not None:
            lost = refusal is self._ended
            return _answered(wire.Response(id=request.id, error=refusal, lost=lost))
        answer: asyncio.Future[wire.Response] = asyncio.get_running_loop().create_future()
        expires_s = self._clock.monotonic() + request.deadline_s
        known = _Known(request.id, request.method, answer, expires_s, given)
        self._known[request.id] = known
        heapq.heappush(self._due, (expires_s, request.id))
        self._unfinished += 1
        self._given_bytes += given
        known.task = self._tasks.start(f"request {request.id}", self._run(known, request))
        return answer

    async def carry(self, request: wire.Request) -> wire.Response:
        """Carry a request out and return its response; cancelled, it is given up."""
        answer = self.submit(request)
        try:
            response = await asyncio.shield(answer)
        except asyncio.CancelledError:
            self.cancel(request.id)
            raise
        self.acknowledge(request.id)
        return response

    def cancel(self, identity: str) -> None:
        """Stop a request that is not done, and keep no response of it."""
        known = self._known.get(identity)
        if known is not None and not known.answer.done():
            self._stop(known, errors.CancelledCallError("the caller gave up"), lost=False)
        self.acknowledge(identity)

    def acknowledge(self, identity: str) -> None:
        """Take note that a response has arrived: it is kept only as long as there is room."""
        known = self._known.get(identity)
        if known is None or not known.answer.done():
            return
        self._drop(known)
        self._spare[identity] = known.answer.result(), known.weight
        self._spare_bytes += known.weight
        while self._spare_bytes > self._limits.spare_bytes_max:
            self._drop_spare(next(iter(self._spare)))

    def _drop(self, known: _Known) -> None:
        """Keep a response no longer; that the request was carried out stays known."""
        del self._known[known.id]
        self._kept_bytes -= known.weight
        self._over[known.id] = known.method

    def _drop_spare(self, identity: str) -> None:
        _, weight = self._spare.pop(identity, (None, 0))
        self._spare_bytes -= weight

    def end(self, reason: errors.PlatformError) -> None:
        """Stop everything that is under way, for a reason, and take on nothing more."""
        self._ended = self._ended or reason
        for known in list(self._known.values()):
            if not known.answer.done():
                self._stop(known, reason, lost=True)

    def _stop(self, known: _Known, reason: errors.PlatformError, *, lost: bool) -> None:
        self._finish(known, wire.Response(id=known.id, error=reason, lost=lost))
        if known.task is not None:
            known.task.cancel()

    def _refusal(self, request: wire.Request, given: int) -> errors.PlatformError | None:
        if self._ended is not None:
            return self._ended
        if request.deadline_s <= 0:
            return errors.DeadlineError(f"{request.method} came after its time and was not begun")
        most = self._limits.running_max + self._limits.waiting_max
        is_full = self._unfinished >= most or len(self._due) >= self._limits.known_max
        if is_full or (
            self._given_bytes and self._given_bytes + given > self._limits.given_bytes_max
        ):
            return errors.UnavailableError(
                f"{self._unfinished} calls are under way, and no more can wait",
                help="Try again later, with fewer calls at a time.",
            )
        return None

    async def _run(self, known: _Known, request: wire.Request) -> None:
        try:
            async with asyncio.timeout(request.deadline_s), self._places:
                left_s = known.expires_s - self._clock.monotonic()
                response = await self._carry(replace(request, deadline_s=left_s))
        except TimeoutError:
            late = errors.late(f"{request.method} was not done", request.deadline_s)
            response = wire.Response(id=request.id, error=late)
        except asyncio.CancelledError:
            given_up = errors.CancelledCallError("the agent gave the call up")
            self._finish(known, wire.Response(id=request.id, error=given_up))
            raise
        self._finish(known, response)

    def _finish(self, known: _Known, response: wire.Response) -> None:
        if known.answer.done():
            return
        self._unfinished -= 1
        self._given_bytes -= known.given
        known.answer.set_result(response)
        if response.lost:
            # What became of it is not known here: if it comes again, it is asked for again.
            del self._known[known.id]
            return
        known.weight = wire.weight(response) + 1
        self._kept_bytes += known.weight
        for identity in list(self._known) if self._kept_bytes > self._limits.kept_bytes_max else ():
            if identity != known.id and self._known[identity].answer.done():
                self._drop(self._known[identity])
            if self._kept_bytes <= self._limits.kept_bytes_max:
                break

    def forget_expired(self) -> None:
        """Forget requests whose deadlines are over; done with every new one, too."""
        now = self._clock.monotonic()
        while self._due and self._due[0][0] < now:
            _, identity = heapq.heappop(self._due)
            self._over.pop(identity, None)
            self._drop_spare(identity)
            known = self._known.get(identity)
            if known is not None and known.expires_s < now and known.answer.done():
                self._kept_bytes -= known.weight
                del self._known[identity]


def _answered(response: wire.Response) -> asyncio.Future[wire.Response]:
    answer: asyncio.Future[wire.Response] = asyncio.get_running_loop().create_future()
    answer.set_result(response)
    return answer
