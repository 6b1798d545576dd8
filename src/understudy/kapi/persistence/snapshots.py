"""Every view of a server in one file; what views share is written once.

Frames, in this order: the start (`revision`), then entries and the tree chunks made of them, then
the views (each after its parent), then the end. A file without an end was never finished and does
not count. Chunks are shared between the trees of forks, so a thousand sandboxes cost what they
changed, here as in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from understudy.kapi.persistence import frames, records
from understudy.kapi.store import entries as stored, stores, trees
from understudy.kube import identities, objects

Storage = identities.GroupResource
EntryTree = trees.Tree[stored.Entry]


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewState:
    """What a snapshot keeps of one view; holds roots, which stay as they are."""

    name: str
    parent: str
    following: bool
    fork_revision: int
    changes: int
    roots: dict[Storage, EntryTree]
    touched: dict[Storage, dict[str, stores.Touch]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerState:
    """Everything: the revision counter and the views, each after its parent."""

    revision: int
    views: tuple[ViewState, ...]


def write(path: Path, state: ServerState) -> int:
    """Write a snapshot beside its place, then put it there; returns its size in bytes."""
    unfinished = path.with_suffix(".unfinished")
    with unfinished.open("wb") as file:
        for payload in _payloads(state):
            file.write(frames.frame(payload))
        size = file.tell()
    unfinished.replace(path)
    return size


def _payloads(state: ServerState) -> Iterator[bytes]:
    yield orjson.dumps({"format": 1, "revision": state.revision}) + b"\n"
    numbers: dict[int, int] = {}
    chunks: dict[int, int] = {}
    # Ids of objects are compared, so everything numbered stays referenced until the end.
    for view in state.views:
        loose = [
            touch.original
            for keys in view.touched.values()
            for touch in keys.values()
            if touch.original is not None
        ]
        yield from _entries([entry for entry in loose if id(entry) not in numbers], numbers)
        for tree in view.roots.values():
            for _, values in tree.chunks():
                if id(values) in chunks:
                    continue
                yield from _entries([e for e in values if id(e) not in numbers], numbers)
                chunks[id(values)] = len(chunks)
                yield orjson.dumps({"chunk": [numbers[id(entry)] for entry in values]}) + b"\n"
        yield _view(view, numbers, chunks)
    yield orjson.dumps({"end": True}) + b"\n"


def _entries(new: list[stored.Entry], numbers: dict[int, int]) -> Iterator[bytes]:
    distinct = list({id(entry): entry for entry in new}.values())
    if not distinct:
        return
    for entry in distinct:
        numbers[id(entry)] = len(numbers)
    heads = {"entries": [records.head_of(entry) for entry in distinct]}
    yield orjson.dumps(heads) + b"\n" + b"".join(entry.encoded for entry in distinct)


def _view(view: ViewState, numbers: dict[int, int], chunks: dict[int, int]) -> bytes:
    roots = [
        [storage[0], storage[1], [chunks[id(values)] for _, values in tree.chunks()]]
        for storage, tree in view.roots.items()
    ]
    touched = [
        [storage[0], storage[1], key, touch.revision, _number(touch.original, numbers)]
        for storage, keys in view.touched.items()
        for key, touch in keys.items()
    ]
    facts = {
        "view": view.name,
        "parent": view.parent,
        "following": view.following,
        "forkRevision": view.fork_revision,
        "changes": view.changes,
        "roots": roots,
        "touched": touched,
    }
    return orjson.dumps(facts) + b"\n"


def _number(entry: stored.Entry | None, numbers: dict[int, int]) -> int:
    return -1 if entry is None else numbers[id(entry)]


@dataclass(slots=True)
class _Reading:
    entries: list[stored.Entry] = field(default_factory=list)
    chunks: list[tuple[list[str], list[stored.Entry]]] = field(default_factory=list)
    views: list[ViewState] = field(default_factory=list)


def read(path: Path) -> ServerState | None:
    """Read a snapshot back; None where it was never finished."""
    reading = _Reading()
    revision = -1
    ended = False
    for _, payload in frames.read(path):
        line, _, rest = payload.partition(b"\n")
        facts: objects.Object = orjson.loads(line)
        if "format" in facts:
            revision = facts["revision"]
        elif "entries" in facts:
            at = 0
            for head in facts["entries"]:
                reading.entries.append(records.entry_of(head, rest[at : at + head[-1]]))
                at += head[-1]
        elif "chunk" in facts:
            values = [reading.entries[number] for number in facts["chunk"]]
            reading.chunks.append(([entry.key for entry in values], values))
        elif "view" in facts:
            reading.views.append(_read_view(facts, reading))
        else:
            ended = bool(facts.get("end"))
    if not ended:
        return None
    return ServerState(revision=revision, views=tuple(reading.views))


def _read_view(facts: objects.Object, reading: _Reading) -> ViewState:
    touched: dict[Storage, dict[str, stores.Touch]] = {}
    for group, resource, key, revision, number in facts["touched"]:
        original = reading.entries[number] if number >= 0 else None
        keys = touched.setdefault(Storage(group, resource), {})
        keys[key] = stores.Touch(revision, original)
    roots = {
        Storage(group, resource): trees.Tree.of_chunks(reading.chunks[at] for at in chunks)
        for group, resource, chunks in facts["roots"]
    }
    return ViewState(
        name=facts["view"],
        parent=facts["parent"],
        following=facts["following"],
        fork_revision=facts["forkRevision"],
        changes=facts["changes"],
        roots=roots,
        touched=touched,
    )
