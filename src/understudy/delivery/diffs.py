"""How two states of one object differ, field by field, and who is the cause."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass

import orjson

from understudy.delivery import marks
from understudy.kube import objects

Step = str | int
"""A key, or the position of an item; items of named lists are addressed by `[name]` as a key."""

Path = tuple[Step, ...]
Difference = tuple[Path, objects.Json, objects.Json]


class Cause(enum.StrEnum):
    """Why a field differs.

    | cause   | this manifest says it | the last one did    | so                               |
    | ------- | --------------------- | ------------------- | -------------------------------- |
    | you     | otherwise, or not     | otherwise, or not   | it is your edit                  |
    | drift   | alike                 | alike               | somebody's change is put right   |
    | default | no                    | no                  | the server fills it in           |
    | server  | no                    | no                  | the server changes, or drops it  |
    """

    YOU = "you"
    DRIFT = "drift"
    DEFAULT = "default"
    SERVER = "server"


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldDiff:
    """One field; `before` or `after` is None where the field is absent there.

    Attributes:
        path: `spec.template.spec.containers[web].image`.
        manager: Who wrote the live value, where that is recorded and was not this application.
    """

    path: str
    before: objects.Json
    after: objects.Json
    cause: Cause = Cause.YOU
    manager: str = ""

    def as_dict(self) -> objects.Object:
        """Render for JSON output."""
        out: objects.Object = {"path": self.path, "before": self.before, "after": self.after}
        out["cause"] = str(self.cause)
        if self.manager:
            out["manager"] = self.manager
        return out


_META_IGNORED = {
    "managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink",
}  # fmt: skip
_COUNTING = "deployment.kubernetes.io/"
"""Annotations in which a Deployment's controller counts its revisions."""
_ABSENT = object()
SHOWN_CHARACTERS_MAX = 120


def comparable(obj: objects.Object | None) -> objects.Object:
    """Return what of an object a person compares: no status, no bookkeeping, none of our marks."""
    if obj is None:
        return {}
    out = {key: value for key, value in obj.items() if key not in ("status", "apiVersion", "kind")}
    meta = {k: v for k, v in objects.metadata(obj).items() if k not in _META_IGNORED}
    for field, mark in (("labels", marks.PART_OF), ("annotations", marks.APPLICATION)):
        values = {
            key: value
            for key, value in (meta.get(field) or {}).items()
            if key != mark and not key.startswith(_COUNTING)
        }
        meta.pop(field, None)
        if values:
            meta[field] = values
    out["metadata"] = meta
    return out


def differences(before: objects.Json, after: objects.Json) -> Iterator[Difference]:
    """Yield (path, before, after) for each differing field; whole values where one is absent."""
    yield from _walk((), before, after)


def _walk(path: Path, before: objects.Json, after: objects.Json) -> Iterator[Difference]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            if key not in before or key not in after:
                yield (*path, key), before.get(key), after.get(key)
            else:
                yield from _walk((*path, key), before[key], after[key])
    elif isinstance(before, list) and isinstance(after, list) and before != after:
        mine, theirs = _by_name(before), _by_name(after)
        if mine is not None and theirs is not None:
            for name in (*mine, *(name for name in theirs if name not in mine)):
                one, other = mine.get(name), theirs.get(name)
                if one is None or other is None:
                    yield (*path, f"[{name}]"), one, other
                else:
                    yield from _walk((*path, f"[{name}]"), one, other)
        elif len(before) == len(after):
            for position, (one, other) in enumerate(zip(before, after, strict=True)):
                yield from _walk((*path, position), one, other)
        else:
            yield path, before, after
    elif before != after or isinstance(before, bool) is not isinstance(after, bool):
        yield path, before, after


def _by_name(items: list[objects.Json]) -> dict[str, objects.Json] | None:
    """Return items by their names, None where they have none or share one."""
    named = {
        item["name"]: item
        for item in items
        if isinstance(item, dict) and isinstance(item.get("name"), str)
    }
    return named if items and len(named) == len(items) else None


def told(path: Path) -> str:
    """Write a path: `spec.ports[0].port`, `containers[web].image`, `data['a.b']`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif step.startswith("[") and step.endswith("]"):
            text += step
        elif "." in step or "/" in step:
            text += f"['{step}']"
        else:
            text += f".{step}" if text else step
    return text


def shown(value: objects.Json, characters_max: int = SHOWN_CHARACTERS_MAX) -> str:
    """Return a value as one line for people, long ones cut."""
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    if "\n" in text:
        text = f"{len(text.splitlines())} lines"
    if len(text) > characters_max:
        return f"{text[: characters_max - 3]}..."
    return text or '""'


def _at(value: objects.Json, path: Path) -> objects.Json:
    """Return the value at a path, `_ABSENT` where there is none."""
    for step in path:
        if isinstance(value, list):
            if isinstance(step, str):
                value = _named(value, step[1:-1])
            else:
                value = value[step] if step < len(value) else _ABSENT
        else:
            value = value.get(step, _ABSENT) if isinstance(value, dict) else _ABSENT
        if value is _ABSENT:
            return _ABSENT
    return value


def _named(items: list[objects.Json], name: str) -> objects.Json:
    """Return the item of a name; the only one without a name may be any, the server names it."""
    known = _by_name(items)
    if known is not None:
        return known.get(name, _ABSENT)
    unnamed = [item for item in items if isinstance(item, dict) and "name" not in item]
    return unnamed[0] if len(unnamed) == len(items) == 1 else _ABSENT


def compare(
    before: objects.Object | None,
    after: objects.Object | None,
    *,
    wanted: objects.Object | None = None,
    wanted_before: objects.Object | None = None,
    adopted: bool = False,
) -> list[FieldDiff]:
    """Return how an object differs, with the cause of each difference and whose the field was.

    `adopted`: it is another's until now; what of its fields no manifest says goes by your edit.
    """
    found = []
    for path, one, other in differences(comparable(before), comparable(after)):
        cause = Cause.YOU
        if wanted is not None:
            cause = _cause(path, wanted, wanted_before)
        if cause is Cause.SERVER:
            cause = Cause.DEFAULT if one is None else Cause.YOU if adopted else cause
        manager = _writer(before, path) if before is not None and one is not None else ""
        if manager.startswith(marks.MANAGER_PREFIX) and not adopted:
            # Drift of our own is a delivery of this very revision that did not come that far.
            cause, manager = Cause.YOU if cause is Cause.DRIFT else cause, ""
        found.append(
            FieldDiff(path=told(path), before=one, after=other, cause=cause, manager=manager)
        )
    return found


def _cause(path: Path, wanted: objects.Object, wanted_before: objects.Object | None) -> Cause:
    now = _at(wanted, path)
    then = _at(wanted_before, path) if wanted_before is not None else _ABSENT
    if now is _ABSENT and then is _ABSENT:
        # Nobody said this very field; somebody may have said something within it.
        return Cause.SERVER
    if now is not _ABSENT and then is not _ABSENT and now == then:
        return Cause.DRIFT
    return Cause.YOU


def _writer(live: objects.Object, path: Path) -> str:
    """Return the manager that last wrote a field of a live object, as far as is recorded."""
    owners = []
    for entry in objects.metadata(live).get("managedFields") or ():
        if entry.get("subresource") == "status":
            continue
        tree = entry.get("fieldsV1") or {}
        for step in path:
            key = _key(tree, step)
            if key is None:
                break  # A list that is owned as a whole.
            tree = tree.get(key)
            if tree is None:
                break
        if tree is not None:
            owners.append((str(entry.get("time") or ""), str(entry.get("manager"))))
    return max(owners)[1] if owners else ""


def _key(tree: objects.Object, step: Step) -> str | None:
    """Return the key of a step in a tree of owned fields; None for a list owned as a whole."""
    if isinstance(step, int):
        return None
    if not step.startswith("["):
        return f"f:{step}"
    known = [key for key in tree if key.startswith("k:")]
    named = [key for key in known if orjson.loads(key[2:]).get("name") == step[1:-1]]
    return named[0] if named else ("" if known else None)
