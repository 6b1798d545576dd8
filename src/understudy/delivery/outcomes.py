"""What happened to each object, and the news of it while it happens."""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from understudy.delivery import refs
from understudy.kube import health, objects


def number(count: int, noun: str) -> str:
    """Return a count with its noun: `1 object`, `3 objects`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


class Op(enum.StrEnum):
    """What a delivery does with one object."""

    CREATE = "create"
    CHANGE = "change"
    RECREATE = "recreate"
    RUN = "run"
    ADOPT = "adopt"
    UNCHANGED = "unchanged"
    IGNORE = "ignore"
    DELETE = "delete"
    KEEP = "keep"
    ABANDON = "abandon"
    GONE = "gone"
    BLOCKED = "blocked"

    @property
    def is_change(self) -> bool:
        """Whether something in the cluster changes by it."""
        return self in _CHANGES


_CHANGES = {Op.CREATE, Op.CHANGE, Op.RECREATE, Op.RUN, Op.ADOPT, Op.DELETE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """Why an object cannot be delivered, or deleted.

    Attributes:
        message: What the server, or a guard, says.
        field: The field it is about, empty where it is about none.
        remedy: What to do, empty where the message says it.
        blocked_by: The object whose obstacle is the cause of this one.
        source: Where its manifest stands; empty for what is deleted.
    """

    message: str
    field: str = ""
    remedy: str = ""
    blocked_by: refs.Ref | None = None
    source: str = ""

    def told_of(self, ref: refs.Ref) -> str:
        """Return one sentence."""
        if self.blocked_by is not None:
            return f"{ref}: waits for {self.blocked_by}, which cannot be delivered"
        # A server's message may be a list on several lines; this is one sentence.
        message = " ".join(self.message.split())
        return f"{ref}: {message}" + (f" ({self.remedy})" if self.remedy else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What happened to one object.

    Attributes:
        before: The live object as it was; None where there was none.
        after: As the server answered; None where there is none.
        api_version: In which it was spoken of.
        wave: In which it went.
        step: With which batch it went, counted from the first.
        note: A word of explanation: why it is kept, whose it is, what was adopted.
        obstacle: Why it did not go, for BLOCKED.
        health: How it was when waiting for it ended; None where nobody waited.
    """

    ref: refs.Ref
    op: Op
    api_version: str
    before: objects.Object | None = None
    after: objects.Object | None = None
    wave: int = 0
    step: int = 0
    note: str = ""
    obstacle: Obstacle | None = None
    health: health.Health | None = None


def latest(
    done: Iterable[Outcome], concerned: Collection[refs.Ref]
) -> dict[refs.Ref, objects.Object]:
    """Return some objects as the server answered last."""
    return {
        outcome.ref: outcome.after
        for outcome in done
        if outcome.ref in concerned and outcome.after is not None
    }


def uids(done: Iterable[Outcome], concerned: Collection[refs.Ref]) -> dict[refs.Ref, str]:
    """Return the uids of those of some objects that were applied, or found as they should be."""
    applied = (outcome for outcome in done if outcome.op not in (Op.BLOCKED, Op.IGNORE))
    return {ref: objects.uid_of(obj) for ref, obj in latest(applied, concerned).items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """One step of a delivery, as told to whoever watches.

    Attributes:
        type: `phase`, `done`, `waiting`, `healthy`, `failed` or `note`.
        uid: Of the object, where it is known.
        reason: Why it is waited for, or failed, in one CamelCase word.
        details: What stands below it says to that: its pods, and events about them.
        done, total: Objects that are finished, of all; 0 of 0 where it does not apply.
    """

    type: str
    message: str = ""
    op: str = ""
    ref: refs.Ref | None = None
    uid: str = ""
    reason: str = ""
    details: tuple[str, ...] = ()
    done: int = 0
    total: int = 0


Tell = Callable[[News], None]


def silence(_news: News) -> None:
    """Tell nobody."""
