"""What a plan is sure of: for each object its uid, and the fields that would be written.

At delivery an object with the same resourceVersion is as it was; one that changed elsewhere is as
good; one whose touched fields changed, or that is another object now, makes the plan stale.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from understudy.delivery import marks, refs
from understudy.kube import objects


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One object as the plan saw it; all empty where there was none.

    Attributes:
        touched: Keyed digest of the live values of the fields that the manifest names.
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


def pin(
    ref: refs.Ref, live: objects.Object | None, wanted: objects.Object | None, salt: str
) -> Pin:
    """Return the pin of an object; `wanted` is its manifest, None where it is to be deleted."""
    if live is None:
        return Pin(ref=ref)
    return Pin(
        ref=ref,
        uid=objects.uid_of(live),
        resource_version=str(objects.metadata(live).get("resourceVersion") or ""),
        touched=_digest(_touched(live, wanted), salt) if wanted is not None else "",
        part_of=objects.labels_of(live).get(marks.PART_OF, ""),
    )


def _digest(value: objects.Json, salt: str) -> str:
    text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return hmac.new(salt.encode(), text, hashlib.sha256).hexdigest()[:32]


def _touched(live: objects.Json, wanted: objects.Json) -> objects.Json:
    """Return the live values of what a manifest names."""
    if isinstance(live, dict) and isinstance(wanted, dict):
        return {key: _touched(live.get(key), value) for key, value in wanted.items()}
    if isinstance(live, list) and isinstance(wanted, list):
        names = [item.get("name") if isinstance(item, dict) else None for item in wanted]
        if all(isinstance(name, str) for name in names):
            present = {item.get("name"): item for item in live if isinstance(item, dict)}
            return [_touched(present.get(item["name"]), item) for item in wanted]
    return live


def changes(
    pinned: Mapping[refs.Ref, Pin],
    live: Mapping[refs.Ref, objects.Object],
    wanted: Mapping[refs.Ref, objects.Object],
    salt: str,
) -> list[str]:
    """Say what is no longer as pinned, one sentence for each object; nothing is best."""
    found = []
    for ref, old in pinned.items():
        now = pin(ref, live.get(ref), wanted.get(ref), salt)
        if now == old or (old.uid and now.resource_version == old.resource_version):
            continue
        if not old.uid:
            found.append(f"{ref} exists now (uid {now.uid})")
        elif not now.uid:
            found.append(f"{ref} is gone")
        elif now.uid != old.uid:
            found.append(f"{ref} was made anew (uid {now.uid}, planned with {old.uid})")
        elif now.part_of != old.part_of:
            found.append(f"{ref} has another owner now")
        elif now.touched != old.touched:
            found.append(f"{ref} has other values in fields that the plan touches")
    return found
