"""Controllers' writes that have to wait for webhooks.

A reconcile is synchronous and does not wait. One that wants to write what a webhook must be asked
about is broken off (`PostponedError`); the write is carried out beside it, and then the key is
reconciled again: it finds its write done, or is told why it was refused. In a rehearsal, and
outside of reconciles, nobody is called and nothing waits.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Final, NamedTuple, TypeVar

from understudy.kapi.resources import calls
from understudy.kube import statuses

T = TypeVar("T")
REFUSALS_MAX: Final = 1_000
"""Refusals kept for whoever wants the same again; the oldest go first."""


class Wish(NamedTuple):
    """What identifies a write among those of all controllers; `name` may be a generateName."""

    agent: str
    verb: str
    ref: str
    namespace: str
    name: str
    subresource: str


class PostponedError(Exception):
    """The write is under way; nothing was written yet."""

    def __init__(self, wish: Wish) -> None:
        super().__init__(f"{wish.verb} {wish.ref} {wish.namespace}/{wish.name} waits for webhooks")
        self.wish = wish


class Outbox:
    """The writes under way, and the refusals that nobody has been told of yet.

    Attributes:
        carry_out: Runs a write in the background; None where nothing waits.
        is_open: A reconcile is running; only then may a write be postponed.
        settled: Called when a write is done or refused.
        under_way: The writes that wait.
    """

    __slots__ = ("_refusals", "carry_out", "is_open", "settled", "under_way")

    def __init__(self) -> None:
        self.carry_out: Callable[[Coroutine[None, None, None]], None] | None = None
        self.is_open = False
        self.settled: Callable[[Wish], None] = _nothing
        self.under_way: set[Wish] = set()
        self._refusals: dict[Wish, statuses.ApiError] = {}

    @property
    def postpones(self) -> bool:
        """Whether a write that has to wait may be left to the outbox."""
        return self.is_open and self.carry_out is not None

    def write(self, wish: Wish, attempt: calls.Attempt, write: Callable[[], T]) -> T:
        """Write at once, or in the background if webhooks have to be called first.

        Raises:
            PostponedError: It is under way. ApiError: it is refused, or was when last wanted.
        """
        if wish in self.under_way:
            raise PostponedError(wish)
        refusal = self._refusals.pop(wish, None)
        if refusal is not None:
            raise refusal
        try:
            return write()
        except calls.WaitingError as waiting:
            wanted = waiting.wanted
        assert self.carry_out is not None, "postpones() was asked"
        self.under_way.add(wish)
        self.carry_out(self._finish(wish, attempt, wanted, write))
        raise PostponedError(wish)

    async def _finish(
        self,
        wish: Wish,
        attempt: calls.Attempt,
        wanted: Sequence[calls.Call],
        write: Callable[[], object],
    ) -> None:
        try:
            await attempt.learn(wanted)
            await attempt.complete(write)
        except statuses.ApiError as error:
            self._refusals[wish] = error
            while len(self._refusals) > REFUSALS_MAX:
                del self._refusals[next(iter(self._refusals))]
        finally:
            self.under_way.discard(wish)
            self.settled(wish)


def _nothing(_: Wish) -> None:
    """Do nothing."""
