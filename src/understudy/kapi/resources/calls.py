"""Calls that a verb has to wait for, and how it is taken up again.

A verb is a synchronous transaction. One that needs a webhook's answer raises `WaitingError` before
it has changed anything. Whoever asked for the verb makes the calls and runs it again from its
start, on the state there is by then: an answer counts only for the very question it was given to,
so what changed meanwhile is asked anew. The time and the identifiers of the runs are the same, or
no question would ever be asked twice.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import orjson

from understudy.aio import ids
from understudy.kube import objects, statuses

RUNS_MAX = 200
"""Runs of one verb. A pod may pass some dozens of webhooks; more runs mean that the state changes
faster than webhooks answer."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a webhook is.

    Attributes:
        url: As messages show it, without the timeout.
        address: `host:port` to connect to, where it is not the URL's own: a service's endpoint.
        failure: Why it cannot be reached at all; empty if it can.
        ca: PEM of those who may vouch for it; empty for the system's.
    """

    url: str
    address: str = ""
    failure: str = ""
    ca: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One question to a webhook: a review that is posted, `uid` telling it from all others."""

    uid: str
    target: Target
    review: objects.Object
    timeout_s: int


class Answer(NamedTuple):
    """What came back: a JSON value, or (`failure`) why none did; `unsent`: nothing was tried."""

    value: objects.Json = None
    failure: str = ""
    unsent: bool = False


class WaitingError(Exception):
    """A verb needs these calls to be made; nothing was changed."""

    def __init__(self, wanted: Sequence[Call]) -> None:
        super().__init__(f"{len(wanted)} webhooks have to be called first")
        self.wanted = tuple(wanted)


Caller = Callable[[Sequence[Call]], Awaitable[Sequence[Answer]]]
"""Makes calls, all at once; answers in their order."""


class Attempt:
    """What the runs of one verb have in common.

    Attributes:
        now: The wall time of all of them.
        ids: Identifiers, the same in each run.
    """

    __slots__ = ("_answers", "_caller", "_runs", "ids", "now")

    def __init__(self, caller: Caller, now: dt.datetime, source: ids.IdSource) -> None:
        self.now = now
        self.ids = Repeated(source)
        self._caller = caller
        self._answers: dict[str, Answer] = {}
        self._runs = 1

    def answers(self, wanted: Sequence[Call]) -> list[Answer]:
        """Return the answers to all questions.

        Raises:
            WaitingError: Some were not asked yet.
        """
        missing = [call for call in wanted if call.uid not in self._answers]
        if missing:
            raise WaitingError(missing)
        return [self._answers[call.uid] for call in wanted]

    async def learn(self, wanted: Sequence[Call]) -> None:
        """Make the calls; then the verb may run again.

        Raises:
            TimeoutApiError: It ran too often.
        """
        if self._runs >= RUNS_MAX:
            raise statuses.TimeoutApiError(
                "Timeout: request did not complete within requested timeout - "
                f"what the webhooks were asked about changed {self._runs} times"
            )
        self._runs += 1
        for call, answer in zip(wanted, await self._caller(wanted), strict=True):
            self._answers[call.uid] = answer
        self.ids.rewind()

    async def complete(self, verb: Callable[[], T]) -> T:
        """Run a verb until it need not wait any more; returns or raises what it does."""
        while True:
            try:
                return verb()
            except WaitingError as waiting:
                wanted = waiting.wanted
            await self.learn(wanted)


class Repeated:
    """Identifiers of another source, which after `rewind` come once more in the same order."""

    __slots__ = ("_given", "_places", "_source")

    def __init__(self, source: ids.IdSource) -> None:
        self._source = source
        self._given: dict[tuple[str, int, int], list[str | int]] = {}
        self._places: dict[tuple[str, int, int], int] = {}

    def rewind(self) -> None:
        """Begin again."""
        self._places.clear()

    def uid(self) -> str:
        return str(self._next(("uid", 0, 0), self._source.uid))

    def suffix(self, length: int = 5) -> str:
        return str(self._next(("suffix", length, 0), lambda: self._source.suffix(length)))

    def integer(self, low: int, high: int) -> int:
        return int(self._next(("integer", low, high), lambda: self._source.integer(low, high)))

    def _next(self, kind: tuple[str, int, int], draw: Callable[[], str | int]) -> str | int:
        given = self._given.setdefault(kind, [])
        place = self._places.get(kind, 0)
        self._places[kind] = place + 1
        if place == len(given):
            given.append(draw())
        return given[place]


def question(
    asker: str,
    target: Target,
    content: objects.Object,
    *,
    kind: str,
    api_version: str,
    timeout_s: int,
) -> Call:
    """Return the call that asks `content` in a review; the same question makes the same one."""
    text = orjson.dumps([asker, target.url, content])
    digest = hashlib.sha256(text).hexdigest()
    uid = f"{digest[:8]}-{digest[8:12]}-4{digest[13:16]}-8{digest[17:20]}-{digest[20:32]}"
    review = {"kind": kind, "apiVersion": api_version, "request": {"uid": uid} | content}
    return Call(uid=uid, target=target, review=review, timeout_s=timeout_s)
