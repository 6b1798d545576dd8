"""What a plan is sure of: for each object its uid, and the fields that would be written.

At delivery an object with the same resourceVersion is as it was; one that changed elsewhere is as
good, which is told; one whose touched fields changed, or that is another object now, makes the plan
stale. Touched is what managedFields say that the rehearsed write owns, or owned before: by the
server's own keys of lists, and compared as it stands there, defaults filled in, so that neither
another container nor another finalizer makes a plan stale.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from understudy.delivery import fields, marks, refs
from understudy.kube import objects


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One object as the plan saw it; all empty where there was none.

    Attributes:
        touched: Keyed digest of the live values of the fields that the plan writes.
        part_of: The owner label it carried.
    """

    ref: refs.Ref
    uid: str = ""
    resource_version: str = ""
    touched: str = ""
    part_of: str = ""

    def as_dict(self) -> objects.Object:
        """Render for a plan file."""
        return {
            "ref": self.ref.as_dict(),
            "uid": self.uid,
            "resourceVersion": self.resource_version,
            "touched": self.touched,
            "partOf": self.part_of,
        }


def from_dict(value: objects.Object) -> Pin:
    """Read what `as_dict` wrote."""
    return Pin(
        ref=refs.from_dict(value["ref"]),
        uid=str(value.get("uid") or ""),
        resource_version=str(value.get("resourceVersion") or ""),
        touched=str(value.get("touched") or ""),
        part_of=str(value.get("partOf") or ""),
    )


def written(
    before: objects.Object | None, after: objects.Object | None, manager: str
) -> objects.Object | None:
    """Return the tree of the fields that a write touches; None where nothing is applied."""
    trees = [fields.entry_of(obj, manager) for obj in (before, after) if obj is not None]
    known = [tree for tree in trees if tree is not None]
    if after is None or not known:
        return None
    return fields.union(known[0], known[-1])


def pin(ref: refs.Ref, live: objects.Object | None, tree: objects.Object | None, salt: str) -> Pin:
    """Return the pin of an object; `tree` is what is written of it, None for a deletion."""
    if live is None:
        return Pin(ref=ref)
    return Pin(
        ref=ref,
        uid=objects.uid_of(live),
        resource_version=str(objects.metadata(live).get("resourceVersion") or ""),
        touched=_digest(_touched(live, tree), salt) if tree is not None else "",
        part_of=objects.labels_of(live).get(marks.PART_OF, ""),
    )


def _digest(value: objects.Json, salt: str) -> str:
    text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return hmac.new(salt.encode(), text, hashlib.sha256).hexdigest()[:32]


def _touched(live: objects.Json, tree: objects.Object) -> objects.Json:
    """Return the live values of what a tree names; null for what is not there."""
    below = {key: value for key, value in tree.items() if key != "."}
    if live is fields.ABSENT:
        return None
    if not below:
        return live
    return {key: _touched(fields.child(live, key), value) for key, value in below.items()}


@dataclass(slots=True)
class Changes:
    """What is no longer as pinned.

    Attributes:
        stale: Why the plan no longer holds, one sentence for each object; nothing is best.
        elsewhere: Objects that changed where the plan does not touch them.
    """

    stale: list[str] = field(default_factory=list)
    elsewhere: list[refs.Ref] = field(default_factory=list)


def changes(
    pinned: Mapping[refs.Ref, Pin],
    live: Mapping[refs.Ref, objects.Object],
    trees: Mapping[refs.Ref, objects.Object],
    salt: str,
) -> Changes:
    """Compare live objects with their pins; `trees` are what is written of them."""
    found = Changes()
    for ref, old in pinned.items():
        now = pin(ref, live.get(ref), trees.get(ref), salt)
        if now == old or (old.uid and now.resource_version == old.resource_version):
            continue
        if not old.uid:
            found.stale.append(f"{ref} exists now (uid {now.uid})")
        elif not now.uid:
            found.stale.append(f"{ref} is gone")
        elif now.uid != old.uid:
            found.stale.append(f"{ref} was made anew (uid {now.uid}, planned with {old.uid})")
        elif now.part_of != old.part_of:
            found.stale.append(f"{ref} has another owner now")
        elif now.touched != old.touched:
            found.stale.append(f"{ref} has other values in fields that the plan touches")
        else:
            found.elsewhere.append(ref)
    return found
