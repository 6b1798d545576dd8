"""Values that recur: what is worked out about one holds for every other of the same bytes.

Objects come in series (the pods of a ReplicaSet, one chart in a hundred namespaces): their names
differ, their specs do not. To encode a spec costs a tenth of what checking it does.
"""

from __future__ import annotations

from typing import Final, Generic, TypeVar

import orjson

from understudy.kube import objects

T = TypeVar("T")

ENTRIES_MAX: Final = 64
"""Values remembered by one `Series`; beyond it, all are forgotten."""
BYTES_MAX: Final = 32 * 1024
"""Largest value remembered, encoded: 2 MiB for one `Series` at most."""


class Series(Generic[T]):
    """What was worked out about the last values; whoever takes a result does not change it."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[bytes, T] = {}

    @staticmethod
    def key(value: objects.Json) -> bytes:
        """Return what a value is remembered by; empty for one that is not."""
        try:
            text = orjson.dumps(value)
        except TypeError:
            # A number that JSON's encoder does not take: nothing that recurs.
            return b""
        return text if len(text) <= BYTES_MAX else b""

    def get(self, key: bytes) -> T | None:
        """Return what was worked out, None if nothing was."""
        return self._known.get(key)

    def put(self, key: bytes, result: T) -> None:
        """Remember a result."""
        if not key:
            return
        if len(self._known) >= ENTRIES_MAX:
            self._known.clear()
        self._known[key] = result
