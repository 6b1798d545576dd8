"""Entries and commits as bytes: a line of JSON that says what, then the objects' own bytes.

The payload of a journal frame is a list of heads, a newline, and the objects' bytes one after
another; one frame is one commit, or several that belong together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import orjson

from understudy.kapi.store import entries, stores
from understudy.kube import identities, objects


class Change(NamedTuple):
    """One line of the journal: a commit in a view, or (`entry` None) something about the view."""

    operation: str
    view: str
    storage: identities.GroupResource
    entry: entries.Entry | None
    facts: objects.Object


NOWHERE = identities.GroupResource("", "")


def head_of(entry: entries.Entry) -> list[objects.Json]:
    """Return what must be known of an entry besides its bytes."""
    return [
        entry.key,
        entry.revision,
        entry.head.decode(),
        entry.uid,
        entry.labels,
        len(entry.encoded),
    ]


def entry_of(head: Sequence[objects.Json], encoded: bytes) -> entries.Entry:
    """Rebuild an entry from its head and bytes."""
    key, revision, start, uid, labels, _ = head
    return entries.Entry.restored(key, revision, start.encode(), encoded, uid, labels)


def commits(view: str, made: Iterable[stores.Commit]) -> bytes:
    """Return the payload for commits that belong together."""
    heads = [
        [commit.operation, view, commit.storage[0], commit.storage[1], *head_of(commit.entry)]
        for commit in made
    ]
    return orjson.dumps(heads) + b"\n" + b"".join(commit.entry.encoded for commit in made)


def about_view(operation: str, view: str, facts: objects.Object) -> bytes:
    """Return the payload for something that happened to a view as a whole."""
    return orjson.dumps([[operation, view, facts]]) + b"\n"


def parse(payload: bytes) -> list[Change]:
    """Read a journal payload back."""
    line, _, rest = payload.partition(b"\n")
    changes: list[Change] = []
    at = 0
    for head in orjson.loads(line):
        if len(head) == 3:
            changes.append(Change(head[0], head[1], NOWHERE, None, head[2]))
            continue
        storage = identities.GroupResource(head[2], head[3])
        length = head[-1]
        entry = entry_of(head[4:], rest[at : at + length])
        at += length
        changes.append(Change(head[0], head[1], storage, entry, {}))
    return changes
