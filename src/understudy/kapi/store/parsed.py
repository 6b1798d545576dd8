"""Parsed forms of committed objects, shared by all who only read them.

Whoever follows a view's commits (controllers) reads most objects soon after they were written, and
verbs compare each write with what was there before. Parsing the bytes anew for each of them is the
dearest part of a small write; so where somebody follows, what was committed stays at hand.
"""

from __future__ import annotations

from typing import Final

from understudy.kapi.store import entries
from understudy.kube import objects

PARSED_OBJECTS_MAX: Final = 4096
"""Enough for the objects of the workloads that are busy now; about 40 MB at most, whatever the
size of the store."""


class Parsed:
    """Parsed forms by revision, the oldest forgotten first.

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
        return found if found is not None else self._put(entry.revision, entry.load())

    def known(self, entry: entries.Entry) -> objects.Object | None:
        """Return the entry's object if it is at hand; not to be changed."""
        return self._objects.get(entry.revision)

    def keep(self, entry: entries.Entry, obj: objects.Object) -> None:
        """Keep the object that the entry was made of; nobody changes what lies below its fields.

        Its metadata may be stamped again, by whoever deletes it at once.
        """
        meta = dict(obj["metadata"])
        first = {"kind": obj["kind"], "apiVersion": obj["apiVersion"], "metadata": meta}
        self._put(entry.revision, first | obj | {"metadata": meta})

    def forget(self, entry: entries.Entry) -> None:
        """Let go of a version that was replaced."""
        self._objects.pop(entry.revision, None)

    def _put(self, revision: int, obj: objects.Object) -> objects.Object:
        if len(self._objects) >= self.objects_max:
            del self._objects[next(iter(self._objects))]
        self._objects[revision] = obj
        return obj
