"""The journal of a rehearsal: every write on the stage, in order, with its cause.

Causes: `you` for the application's objects, `hook` for those of its hooks, `records` for this
project's own, and a controller's name for what follows (`garbage-collector-controller` for one).
Dry runs are left out, they write nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from understudy.client import protocol, wrapping
from understudy.delivery import hooks, marks
from understudy.kube import objects

YOU = "you"
RECORDS = "records"
HOOK = "hook"


class Line(NamedTuple):
    """One write."""

    cause: str
    verb: str
    resource: str
    namespace: str
    name: str
    subresource: str = ""

    def as_dict(self) -> objects.Object:
        """Render for a plan file."""
        out: objects.Object = {
            "cause": self.cause,
            "verb": self.verb,
            "resource": self.resource,
            "name": self.name,
        }
        if self.namespace:
            out["namespace"] = self.namespace
        if self.subresource:
            out["subresource"] = self.subresource
        return out


class JournalingClient(wrapping.WrappedClient):
    """Notes every write that succeeds.

    Attributes:
        lines: What was written, by this client or (`extend`) by others.
    """

    def __init__(self, inner: protocol.Client) -> None:
        super().__init__(inner)
        self.lines: list[Line] = []
        self._hooks: set[tuple[str, str, str]] = set()

    async def write(self, write: wrapping.Write, send: wrapping.Send) -> objects.Object:
        answer = await send()
        if not write.dry_run:
            self.lines.append(
                Line(
                    cause=self._cause(write),
                    verb=write.verb,
                    resource=write.resource,
                    namespace=write.namespace,
                    name=write.name,
                    subresource=write.subresource,
                )
            )
        return answer

    def extend(self, lines: Iterable[Line]) -> None:
        """Add what others wrote meanwhile."""
        self.lines.extend(lines)

    def _cause(self, write: wrapping.Write) -> str:
        """Tell hooks, which a deletion does not show, from the application's other objects."""
        key = (write.resource, write.namespace, write.name)
        if isinstance(write.body, dict) and hooks.of(write.body) is not None:
            self._hooks.add(key)
        cause = _owner(write)
        return HOOK if cause == YOU and key in self._hooks else cause


def _owner(write: wrapping.Write) -> str:
    """Tell the application's objects from the records about it."""
    if write.resource.endswith(marks.GROUP) or write.name.endswith(f".{marks.GROUP}"):
        return RECORDS
    body = write.body if isinstance(write.body, dict) else {}
    return RECORDS if marks.APPLICATION in objects.labels_of(body) else YOU
