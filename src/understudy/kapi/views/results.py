"""What verbs give back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from understudy.kapi.resources import catalogue
from understudy.kapi.store import entries
from understudy.kube import objects


class Written:
    """The outcome of a write: the object as it now is, or would be after a dry run.

    Attributes:
        entry: The committed version; None when nothing was kept (dry run) or the answer is a
            Status (an object that is gone).
        created: The object did not exist before (HTTP 201).
        warnings: Texts for Warning headers.
    """

    __slots__ = ("_obj", "created", "entry", "resource", "warnings")

    def __init__(
        self,
        resource: catalogue.Resource,
        entry: entries.Entry | None,
        *,
        obj: objects.Object | None = None,
        created: bool = False,
        warnings: Sequence[str] = (),
    ) -> None:
        self.resource = resource
        self.entry = entry
        self.created = created
        self.warnings = list(warnings)
        self._obj = obj

    def object(self) -> objects.Object:
        """Return the answer as an object in the resource's version, private to the caller."""
        if self._obj is not None:
            own: objects.Object = objects.copy(self._obj)
            return own
        assert self.entry is not None, "an answer has an entry or an object"
        return self.entry.object(self.resource)

    def body(self, end: bytes = b"") -> bytes:
        """Return the answer as JSON bytes, and `end` behind them."""
        if self._obj is not None:
            return orjson.dumps(self._obj) + end
        assert self.entry is not None, "an answer has an entry or an object"
        return self.entry.body(self.resource, end)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One answer to a list.

    Attributes:
        revision: The revision at which all entries are as given; watch from here.
        continue_token: Ask with it for the next page; empty on the last.
        remaining: How many come after this page; None if unknown (selectors) or none.
    """

    resource: catalogue.Resource
    entries: list[entries.Entry]
    revision: int
    continue_token: str = ""
    remaining: int | None = None

    def objects(self) -> list[objects.Object]:
        """Return the items as objects in the resource's version, with apiVersion and kind."""
        return [entry.object(self.resource) for entry in self.entries]
