"""Who owns what, and which pod is where: small indexes over a view, filled as they are asked.

Nothing is read before somebody asks for a namespace; from then on the view's events keep the
answer current. So a rehearsal that touches one namespace of a large cluster reads that namespace,
and an idle reactor costs nothing per object but what its questions made it remember: a few words
for each object that has an owner.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import orjson

from understudy.controllers import changes, pairs
from understudy.kapi.resources import catalogue
from understudy.kapi.store import entries, parsed as forms
from understudy.kapi.views import view as views
from understudy.kube import objects

_OWNED = b'"ownerReferences":'
_TRACKED = b'"managedFields":['
UNOWNED_REFS = frozenset({"events", "events.events.k8s.io"})
"""Resources whose objects never have owners; they are many and come fast."""


class Dependent(NamedTuple):
    """The place of an object that names an owner."""

    ref: str
    namespace: str
    name: str


class _Shelf:
    """The owners of one resource's objects in one namespace."""

    __slots__ = ("by_controller", "by_owner", "loose", "owners")

    def __init__(self) -> None:
        self.owners: dict[str, tuple[str, tuple[str, ...]]] = {}
        self.by_controller: dict[str, set[str]] = {}
        self.by_owner: dict[str, set[str]] = {}
        self.loose: set[str] = set()

    def put(self, name: str, references: list[objects.Object]) -> None:
        self.drop(name)
        controller = next((str(r["uid"]) for r in references if r.get("controller")), "")
        owners = tuple(str(r.get("uid") or "") for r in references)
        if controller:
            self.by_controller.setdefault(controller, set()).add(name)
        else:
            self.loose.add(name)
        if owners:
            self.owners[name] = (controller, owners)
            for uid in owners:
                self.by_owner.setdefault(uid, set()).add(name)

    def drop(self, name: str) -> None:
        self.loose.discard(name)
        controller, owners = self.owners.pop(name, ("", ()))
        if controller:
            _remove(self.by_controller, controller, name)
        for uid in owners:
            _remove(self.by_owner, uid, name)


def _remove(index: dict[str, set[str]], uid: str, name: str) -> None:
    names = index.get(uid)
    if names is not None:
        names.discard(name)
        if not names:
            del index[uid]


class Indexes:
    """Answers by owner and by node. Objects handed out are shared: read, never change them."""

    __slots__ = (
        "_known", "_nodes", "_pod_nodes", "_shelves", "_view", "_wide", "labels", "parsed",
        "selectors",
    )  # fmt: skip

    def __init__(self, view: views.View, parsed: forms.Parsed) -> None:
        self._view = view
        self.parsed = parsed
        self.labels = pairs.Pairs(view, pairs.of_labels)
        self.selectors = pairs.Pairs(view, pairs.of_selector(parsed))
        self._shelves: dict[tuple[str, str], _Shelf] = {}
        self._wide: set[str] = set()
        self._nodes: dict[str, dict[str, None]] | None = None
        self._pod_nodes: dict[str, str] = {}
        self._known: tuple[catalogue.Catalogue, dict[str, catalogue.Resource]] | None = None

    # ------------------------------------------------------------------ questions

    def controlled(self, ref: str, namespace: str, uid: str) -> list[objects.Object]:
        """Return the objects whose controller has this uid, ordered by name."""
        shelf = self._shelf(ref, namespace)
        return self._load(ref, namespace, shelf.by_controller.get(uid, ()))

    def loose(self, ref: str, namespace: str) -> list[objects.Object]:
        """Return the objects of a namespace that have no controller, ordered by name."""
        return self._load(ref, namespace, self._shelf(ref, namespace).loose)

    def dependents(self, uid: str, namespace: str) -> list[Dependent]:
        """Return every object that names an owner, ordered by resource, namespace and name.

        `namespace` is the owner's; the dependents of a cluster-scoped owner may be anywhere.
        """
        found: list[Dependent] = []
        for ref, resource in self._storages().items():
            if not namespace:
                found.extend(self._wide_dependents(resource, ref, uid))
            elif resource.namespaced:
                names = self._shelf(ref, namespace).by_owner.get(uid, ())
                found.extend(Dependent(ref, namespace, name) for name in sorted(names))
        return found

    def pods_on(self, node: str) -> list[objects.Object]:
        """Return the pods bound to a node, ordered by namespace and name."""
        loaded: list[objects.Object] = []
        for key in sorted(self._by_node().get(node, ())):
            entry = self._entry("pods", *key.split("/", 1))
            if entry is not None:
                loaded.append(self.parsed.load(entry))
        return loaded

    # ------------------------------------------------------------------ upkeep

    def apply(self, change: changes.Change) -> None:
        """Take a change into what is already known; costs nothing for what nobody asked."""
        self.labels.apply(change)
        self.selectors.apply(change)
        shelf = self._shelves.get((change.ref, change.entry.namespace))
        if shelf is None and change.ref in self._wide:
            shelf = self._shelves[change.ref, change.entry.namespace] = _Shelf()
        if shelf is not None:
            if change.deleted:
                shelf.drop(change.entry.name)
            else:
                shelf.put(change.entry.name, _references(change.entry, self.parsed))
        if change.ref == "pods" and self._nodes is not None:
            self._place(change.entry, gone=change.deleted)

    def learn(self, change: changes.Change) -> None:
        """Take in what was there before; where each was shown, nothing needs to be read again."""
        if change.ref == "pods":
            if self._nodes is None:
                self._nodes = {}
            self._place(change.entry, gone=False)

    # ------------------------------------------------------------------ inside

    def _storages(self) -> dict[str, catalogue.Resource]:
        """Every kind of stored object once, whatever versions serve it."""
        present = self._view.catalogue
        if self._known is None or self._known[0] is not present:
            refs: dict[str, catalogue.Resource] = {}
            for resource in present.resources:
                if resource.group_resource == resource.storage:
                    refs.setdefault(str(resource.storage), resource)
            for ref in UNOWNED_REFS:
                refs.pop(ref, None)
            self._known = (present, refs)
        return self._known[1]

    def _shelf(self, ref: str, namespace: str) -> _Shelf:
        shelf = self._shelves.get((ref, namespace))
        if shelf is None:
            shelf = self._shelves[ref, namespace] = _Shelf()
            if ref not in self._wide:
                for entry in self._entries(ref, namespace):
                    shelf.put(entry.name, _references(entry, self.parsed))
        return shelf

    def _wide_dependents(
        self, resource: catalogue.Resource, ref: str, uid: str
    ) -> Iterator[Dependent]:
        if ref not in self._wide:
            missing: dict[str, _Shelf] = {}
            for entry in self._entries(ref, ""):
                if (ref, entry.namespace) in self._shelves:
                    continue
                shelf = missing.setdefault(entry.namespace, _Shelf())
                shelf.put(entry.name, _references(entry, self.parsed))
            self._shelves.update(((ref, place), shelf) for place, shelf in missing.items())
            self._wide.add(ref)
        places = sorted(place for known, place in self._shelves if known == ref)
        for place in places if resource.namespaced else [""]:
            shelf = self._shelf(ref, place)
            for name in sorted(shelf.by_owner.get(uid, ())):
                yield Dependent(ref, place, name)

    def _by_node(self) -> dict[str, dict[str, None]]:
        if self._nodes is None:
            self._nodes = {}
            for entry in self._entries("pods", ""):
                self._place(entry, gone=False)
        return self._nodes

    def _place(self, entry: entries.Entry, *, gone: bool) -> None:
        assert self._nodes is not None, "asked for before"
        if entry.key in self._pod_nodes:
            if not gone:
                return  # a bound pod never moves
            del self._nodes[self._pod_nodes.pop(entry.key)][entry.key]
        elif not gone and b'"nodeName":' in entry.encoded:
            node = str((self.parsed.load(entry).get("spec") or {}).get("nodeName") or "")
            if node:
                self._pod_nodes[entry.key] = node
                self._nodes.setdefault(node, {})[entry.key] = None

    def _entries(self, ref: str, namespace: str) -> list[entries.Entry]:
        resource = self._view.catalogue.named(ref)
        return self._view.entries(resource, namespace) if resource is not None else []

    def _entry(self, ref: str, namespace: str, name: str) -> entries.Entry | None:
        resource = self._view.catalogue.named(ref)
        return self._view.entry(resource, namespace, name) if resource is not None else None

    def _load(self, ref: str, namespace: str, names: Iterable[str]) -> list[objects.Object]:
        found = (self._entry(ref, namespace, name) for name in sorted(names))
        return [self.parsed.load(entry) for entry in found if entry is not None]


def _references(entry: entries.Entry, parsed: forms.Parsed) -> list[objects.Object]:
    # Most objects of a large store are told apart without parsing them, and of the others, pods
    # mostly, only the list is parsed: a tenth of the time. It is the metadata's own where it
    # stands before the managed fields of an object that begins with its metadata; the bytes in
    # question cannot be within a string, whose quotes would be escaped.
    encoded = entry.encoded
    begins = encoded.find(_OWNED)
    if begins < 0:
        return []
    tracked = encoded.find(_TRACKED)
    if begins < tracked and encoded.startswith(b'{"metadata":'):
        begins += len(_OWNED)
        ends = encoded.find(b"]", begins, tracked) + 1
        try:
            found: list[objects.Object] = orjson.loads(memoryview(encoded)[begins:ends])
        except orjson.JSONDecodeError:  # a bracket in a name
            pass
        else:
            return found or []
    return objects.metadata(parsed.load(entry)).get("ownerReferences") or []
