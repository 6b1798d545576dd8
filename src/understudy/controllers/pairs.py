"""Who has which label, and who selects it: indexes over a view by key and value.

Like the indexes by owner, a namespace is read when somebody first asks for it, and kept current by
the view's events. An answer may be a few commits old: whoever asks looks at the entry itself
before relying on it, and what is still to come comes as a change of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from understudy.controllers import changes
from understudy.kapi.store import entries, parsed as forms
from understudy.kapi.views import view as views

Pair = tuple[str, str]
PairsOf = Callable[[entries.Entry], Iterable[Pair]]


def of_labels(entry: entries.Entry) -> Iterable[Pair]:
    """Return an object's labels."""
    return entry.labels.items()


def of_selector(parsed: forms.Parsed) -> PairsOf:
    """Return what indexes objects by one label of their `spec.selector` map, the first by name.

    One is enough: whatever the selector matches has it too.
    """

    def first(entry: entries.Entry) -> Iterable[Pair]:
        selector = (parsed.load(entry).get("spec") or {}).get("selector") or {}
        return [min((str(key), str(value)) for key, value in selector.items())] if selector else ()

    return first


class _Shelf:
    """The pairs of one resource's objects in one namespace."""

    __slots__ = ("names", "pairs")

    def __init__(self) -> None:
        self.pairs: dict[str, tuple[Pair, ...]] = {}
        self.names: dict[Pair, set[str]] = {}

    def put(self, name: str, pairs: tuple[Pair, ...]) -> None:
        if self.pairs.get(name) == pairs:
            return
        self.drop(name)
        self.pairs[name] = pairs
        for pair in pairs:
            self.names.setdefault(pair, set()).add(name)

    def drop(self, name: str) -> None:
        for pair in self.pairs.pop(name, ()):
            found = self.names[pair]
            found.discard(name)
            if not found:
                del self.names[pair]


class Pairs:
    """Finds the objects of a namespace by key and value."""

    __slots__ = ("_pairs_of", "_shelves", "_view")

    def __init__(self, view: views.View, pairs_of: PairsOf) -> None:
        self._view = view
        self._pairs_of = pairs_of
        self._shelves: dict[tuple[str, str], _Shelf] = {}

    def having_all(self, ref: str, namespace: str, wanted: Mapping[str, str]) -> list[str]:
        """Return the names of objects that may have all these pairs, ordered; none for none."""
        shelf = self._shelf(ref, namespace)
        found = [shelf.names.get(pair) or set() for pair in wanted.items()]
        return sorted(set.intersection(*found)) if found else []

    def having_any(self, ref: str, namespace: str, wanted: Mapping[str, str]) -> list[str]:
        """Return the names of objects that may have one of these pairs, ordered."""
        shelf = self._shelf(ref, namespace)
        return sorted({name for pair in wanted.items() for name in shelf.names.get(pair, ())})

    def apply(self, change: changes.Change) -> None:
        """Take a change into what is already known; costs nothing for what nobody asked."""
        shelf = self._shelves.get((change.ref, change.entry.namespace))
        if shelf is None:
            return
        if change.deleted:
            shelf.drop(change.entry.name)
        else:
            shelf.put(change.entry.name, tuple(self._pairs_of(change.entry)))

    def _shelf(self, ref: str, namespace: str) -> _Shelf:
        shelf = self._shelves.get((ref, namespace))
        if shelf is None:
            shelf = self._shelves[ref, namespace] = _Shelf()
            resource = self._view.catalogue.named(ref)
            for entry in self._view.entries(resource, namespace) if resource is not None else ():
                shelf.put(entry.name, tuple(self._pairs_of(entry)))
        return shelf
