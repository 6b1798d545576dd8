"""One committed change as controllers see it; parsed at most once, however many look at it."""

from __future__ import annotations

from typing import Final

from understudy.kapi.store import entries, logs
from understudy.kube import identities, objects

PARSED_OBJECTS_MAX: Final = 4096
"""Parsed objects kept for readers: enough for the pods of the workloads that are busy now; about
40 MB at most, whatever the size of the store."""


class Parsed:
    """Parsed forms of committed objects by their revision, the oldest forgotten first.

    What it hands out is shared: callers read it and never change it. A revision belongs to one
    commit of one object, so it is key enough.
    """

    __slots__ = ("_objects", "objects_max")

    def __init__(self, objects_max: int = PARSED_OBJECTS_MAX) -> None:
        self._objects: dict[int, objects.Object] = {}
        self.objects_max = objects_max

    def load(self, entry: entries.Entry) -> objects.Object:
        """Return the entry's object in its storage version; not to be changed."""
        found = self._objects.get(entry.revision)
        if found is None:
            if len(self._objects) >= self.objects_max:
                del self._objects[next(iter(self._objects))]
            found = self._objects[entry.revision] = entry.load()
        return found


class Change:
    """An object was added, modified or deleted.

    Attributes:
        type: `ADDED`, `MODIFIED` or `DELETED`; ADDED also for what was there before the reactor.
        ref: The resource in kubectl's notation, e.g. `deployments.apps`.
        entry: The object after the change, or its last state.
        previous_entry: The object before the change, None where there was none.
    """

    __slots__ = ("_parsed", "entry", "previous_entry", "ref", "type")

    def __init__(
        self,
        type: logs.EventType,
        ref: str,
        entry: entries.Entry,
        previous: entries.Entry | None,
        parsed: Parsed,
    ) -> None:
        self.type: logs.EventType = type
        self.ref = ref
        self.entry = entry
        self.previous_entry = previous
        self._parsed = parsed

    @property
    def key(self) -> identities.ObjectKey:
        """Namespace and name."""
        return identities.ObjectKey(self.entry.namespace, self.entry.name)

    @property
    def object(self) -> objects.Object:
        """The object after the change (its last state after DELETED); not to be changed."""
        return self._parsed.load(self.entry)

    @property
    def previous(self) -> objects.Object | None:
        """The object before the change; not to be changed."""
        return self._parsed.load(self.previous_entry) if self.previous_entry is not None else None

    @property
    def deleted(self) -> bool:
        """Whether the object is gone."""
        return self.type == "DELETED"
