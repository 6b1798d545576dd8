"""Faults at the wire: what a client must survive, on request.

    server.faults.on("update", "deployments.apps", nth=2).answer(409)
    server.faults.on("create", "pods", times=1).drop_after_commit()
    server.faults.on("*", "*", user_agent="my-operator*").delay(0.2)
    server.faults.on("delete", user="system:serviceaccount:shop:*").answer(403)
    server.faults.on("list", "nodes", times=3).too_many(retry_after_s=1)
    server.faults.on("watch", "pods").cut(after_events=3)

A rule without `times` holds until `clear()`; `nth` counts matching requests from 1 and holds for
that one alone. The first rule that matches a request decides.
"""

from __future__ import annotations

import asyncio
import fnmatch
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import cast

import orjson

from understudy.kapi.http import exchanges, protocol, responses
from understudy.kube import statuses
from understudy.testing import recording

Answer = exchanges.Answer | Awaitable[exchanges.Answer]
Action = Callable[[exchanges.Request, exchanges.Handler], Answer]


class Fault:
    """One rule: which requests, and what happens to them. Made by `Faults.on`."""

    def __init__(
        self,
        *,
        verb: str,
        resource: str,
        name: str,
        user: str,
        user_agent: str,
        nth: int,
        times: int,
    ) -> None:
        self.verb, self.resource, self.name = verb, resource, name
        self.user, self.user_agent = user, user_agent
        self.nth, self.times = nth, times
        self.seen = 0
        self.action: Action | None = None

    def matches(self, asked: recording.Recorded) -> bool:
        """Say whether the rule holds for this request, and count it."""
        patterns = (
            (asked.verb, self.verb),
            (asked.resource, self.resource),
            (asked.name, self.name),
            (asked.user, self.user),
            (asked.user_agent, self.user_agent),
        )
        if not all(fnmatch.fnmatchcase(value, pattern) for value, pattern in patterns):
            return False
        self.seen += 1
        if self.nth:
            return self.seen == self.nth
        return not self.times or self.seen <= self.times

    def answer(self, code: int, reason: str = "", message: str = "injected fault") -> Fault:
        """Refuse with a v1.Status and do nothing; the reason is Kubernetes' for the code."""
        error = statuses.from_status({"code": code, "reason": reason, "message": message})
        error.reason = reason or type(error).default_reason
        return self._refuse(error)

    def too_many(self, retry_after_s: int = 1) -> Fault:
        """Refuse with 429 and Retry-After, in seconds."""
        return self._refuse(
            statuses.TooManyRequestsError(
                "injected fault: slow down", details={"retryAfterSeconds": retry_after_s}
            )
        )

    def conflict(self) -> Fault:
        """Refuse with 409 Conflict, as if the object had changed meanwhile."""
        text = "injected fault: the object has been modified; please apply your changes again"
        return self._refuse(statuses.ConflictError(text))

    def delay(self, seconds: float) -> Fault:
        """Answer as ever, later."""

        async def late(request: exchanges.Request, handler: exchanges.Handler) -> exchanges.Answer:
            await asyncio.sleep(seconds)
            answer = handler(request)
            if isinstance(answer, (responses.Response, exchanges.Stream)):
                return answer
            return await answer

        return self._do(late)

    def drop(self) -> Fault:
        """Cut the connection and do nothing."""
        return self._do(lambda _request, _handler: exchanges.HangUp())

    def drop_after_commit(self) -> Fault:
        """Do what was asked, then cut the connection: the client cannot know."""

        async def commit(
            request: exchanges.Request, handler: exchanges.Handler
        ) -> exchanges.Answer:
            answer = handler(request)
            if not isinstance(answer, (responses.Response, exchanges.Stream)):
                answer = await answer
            if isinstance(answer, exchanges.Stream):
                answer.closed()
            return exchanges.HangUp()

        return self._do(commit)

    def cut(self, after_events: int = 0) -> Fault:
        """Cut a watch's connection after so many events."""
        return self._watch(_Tampered(cut_after=after_events))

    def expire(self, after_events: int = 0) -> Fault:
        """End a watch with 410 Expired after so many events: the client must list again."""
        return self._watch(_Tampered(expire_after=after_events))

    def duplicate_events(self) -> Fault:
        """Send every event of a watch twice."""
        return self._watch(_Tampered(copies=2))

    def delay_events(self, seconds: float) -> Fault:
        """Send every event of a watch later, in order."""
        return self._watch(_Tampered(delay_s=seconds))

    def _refuse(self, error: statuses.ApiError) -> Fault:
        headers = [("Retry-After", str(error.retry_after_s))] if error.retry_after_s else []
        answer = responses.Response(
            error.code, orjson.dumps(error.status()), responses.JSON, headers
        )
        return self._do(lambda _request, _handler: answer)

    def _watch(self, tampered: _Tampered) -> Fault:
        def tamper(request: exchanges.Request, handler: exchanges.Handler) -> Answer:
            answer = handler(request)
            if isinstance(answer, exchanges.Stream) and not isinstance(answer, exchanges.Tunnel):
                return _Tampering(answer, tampered)
            return answer

        return self._do(tamper)

    def _do(self, action: Action) -> Fault:
        self.action = action
        return self


class Faults:
    """The rules of a server. Set them before the requests they are about."""

    def __init__(self) -> None:
        self._rules: list[Fault] = []

    def on(
        self,
        verb: str = "*",
        resource: str = "*",
        *,
        name: str = "*",
        user: str = "*",
        user_agent: str = "*",
        nth: int = 0,
        times: int = 0,
    ) -> Fault:
        """Begin a rule; patterns may hold `*` and `?`. Say what happens on what this returns."""
        rule = Fault(
            verb=verb, resource=resource, name=name, user=user, user_agent=user_agent,
            nth=nth, times=times,
        )  # fmt: skip
        self._rules.append(rule)
        return rule

    def clear(self) -> None:
        """Forget every rule."""
        self._rules.clear()

    def action_for(self, asked: recording.Recorded) -> Action | None:
        """Return what happens to a request, None where nothing unusual does."""
        for rule in self._rules:
            if rule.action is not None and rule.matches(asked):
                return rule.action
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tampered:
    """What happens to a watch's events; -1 for never."""

    cut_after: int = -1
    expire_after: int = -1
    copies: int = 1
    delay_s: float = 0.0


_EXPIRED = (
    orjson.dumps(
        {
            "type": "ERROR",
            "object": statuses.ExpiredError("injected fault: too old resource version").status(),
        }
    )
    + b"\n"
)


class _Tampering(exchanges.Stream):
    """A watch whose events pass through a fault on their way out."""

    __slots__ = ("_inner", "_sent", "_sink", "_tampered", "content_type", "headers", "status")

    def __init__(self, inner: exchanges.Stream, tampered: _Tampered) -> None:
        self._inner = inner
        self._tampered = tampered
        self._sink: exchanges.Sink | None = None
        self._sent = 0
        self.status, self.content_type = inner.status, inner.content_type
        self.headers = inner.headers

    def opened(self, sink: exchanges.Sink) -> None:
        self._sink = sink
        self._inner.opened(self)
        self._end_if_due()

    def closed(self) -> None:
        self._sink = None
        self._inner.closed()

    def send(self, data: bytes) -> None:
        """Take a piece of the inner stream."""
        if data:
            self.send_framed(exchanges.frame(data))

    def send_framed(self, chunk: bytes) -> None:
        """Take a framed piece of the inner stream: one event."""
        if self._sink is None:
            return
        if self._tampered.delay_s:
            # Equal delays keep the order.
            loop = asyncio.get_running_loop()
            loop.call_later(self._tampered.delay_s, self._pass_on, chunk)
        else:
            self._pass_on(chunk)

    def is_full(self) -> bool:
        """Say whether enough waits to be written."""
        return self._sink is not None and self._sink.is_full()

    def is_blocked(self) -> bool:
        """Say whether the peer reads too slowly."""
        return self._sink is not None and self._sink.is_blocked()

    def resumed(self) -> None:
        self._inner.resumed()

    def finish(self) -> None:
        """End the stream in order."""
        if self._sink is not None:
            self._sink.finish()

    def run(self, name: str, body: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run what produces the inner stream."""
        assert self._sink is not None, "the inner stream is open"
        return self._sink.run(name, body)

    def _pass_on(self, chunk: bytes) -> None:
        if self._sink is None or self._is_due():
            return
        for _ in range(self._tampered.copies):
            self._sink.send_framed(chunk)
        self._sent += 1
        self._end_if_due()

    def _is_due(self) -> bool:
        bounds = (self._tampered.cut_after, self._tampered.expire_after)
        return any(0 <= bound <= self._sent for bound in bounds)

    def _end_if_due(self) -> None:
        if self._sink is None or not self._is_due():
            return
        # Not inside the inner stream's own call: it does not expect to be closed there.
        asyncio.get_running_loop().call_soon(self._end)

    def _end(self) -> None:
        sink = self._sink
        if sink is None:
            return
        if self._tampered.expire_after >= 0:
            sink.send(_EXPIRED)
            sink.finish()
        else:
            connection = cast("protocol.Connection", sink)
            connection.write_frames()
            connection.abort()
