"""The changed fields of a plan as text for people.

Objects that change alike are told once. Of long values both stand on lines of their own, of texts
of several lines only the lines that differ. A definition's schema is told by the path of the field
that it describes.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from understudy.delivery import diffs, outcomes, plans
from understudy.kube import objects

Paint = Callable[[str, str], str]

ALIKE_MIN = 3
"""From so many objects that change alike on, they are told together."""
FIELDS_MAX = 25
LINES_MAX = 20
LINE_CHARACTERS_MAX = 110
_NAMED_MAX = 4
_SCHEMA = re.compile(r"^spec\.versions\[(?P<version>[^\]]+)\]\.schema\.openAPIV3Schema\b")
_LEAF = re.compile(r"\['(?P<quoted>[^']+)'\]$|(?P<plain>[^.]+)$")

_Alike = tuple[outcomes.Op, tuple[diffs.FieldDiff, ...]]


def changes(operations: Sequence[plans.Operation], paint: Paint) -> Iterator[str]:
    """Yield the lines about every operation that has differences, a blank line after each."""
    groups: dict[str, list[plans.Operation]] = {}
    for operation in operations:
        if operation.diffs:
            groups.setdefault(repr((operation.op, operation.diffs)), []).append(operation)
    for operation in operations:
        members = groups.pop(repr((operation.op, operation.diffs)), [])
        if len(members) >= ALIKE_MIN:
            yield paint(
                f"@@ {operation.op} {len(members)} objects alike: {_names(members)} @@", "cyan"
            )
            yield from _fields(operation, paint)
            yield ""
            continue
        for member in members:
            ref = member.ref
            place = f" namespace: {ref.namespace}" if ref.namespace else ""
            what = f"{ref.kind.lower()}/{ref.name} ({member.api_version}){place}"
            yield paint(f"@@ {member.op} {what} @@", "cyan")
            yield from _fields(member, paint)
            yield ""


def _names(members: Sequence[plans.Operation]) -> str:
    kinds: dict[str, int] = {}
    for member in members:
        kinds[member.ref.kind] = kinds.get(member.ref.kind, 0) + 1
    if len(members) <= _NAMED_MAX:
        return ", ".join(str(member.ref) for member in members)
    return ", ".join(f"{number} {kind}" for kind, number in kinds.items())


def reasons(operation: plans.Operation) -> str:
    """Return the names of the fields that change, a few of them."""
    changed = [diff.path for diff in operation.diffs if diff.cause is not diffs.Cause.SERVER]
    names = list(dict.fromkeys(leaf(path) for path in changed))
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def leaf(path: str) -> str:
    """Return the last step of a path: `image`, `env[PATH]`, `app.kubernetes.io/version`."""
    match = _LEAF.search(path)
    return (match["quoted"] or match["plain"]) if match is not None else path


def _fields(operation: plans.Operation, paint: Paint) -> Iterator[str]:
    told = [diff for diff in operation.diffs if not _is_noise(operation, diff)]
    for diff in told[:FIELDS_MAX]:
        yield from _field(diff, paint)
    if len(told) > FIELDS_MAX:
        yield f"  and {len(told) - FIELDS_MAX} more fields; -o json tells them all"


def _is_noise(operation: plans.Operation, diff: diffs.FieldDiff) -> bool:
    """Whether a difference only says that one object is not the other."""
    anew = operation.op is outcomes.Op.RECREATE and diff.cause is diffs.Cause.SERVER
    return anew and "controller-uid" in diff.path


def _field(diff: diffs.FieldDiff, paint: Paint) -> Iterator[str]:
    note = "" if diff.cause is diffs.Cause.YOU else f"  # {diff.cause}"
    if diff.cause is diffs.Cause.DRIFT and diff.manager:
        note += f": changed by {diff.manager}"
    path = _told(diff.path)
    if diff.before is None:
        yield paint(f"  + {path}: {diffs.shown(diff.after)}", "green") + note
    elif diff.after is None:
        yield paint(f"  - {path}: {diffs.shown(diff.before)}", "red") + note
    elif _has_lines(diff.before) or _has_lines(diff.after):
        yield paint(f"  ~ {path}:", "yellow") + note
        yield from _lines(str(diff.before), str(diff.after), paint)
    else:
        old, new = diffs.shown(diff.before), diffs.shown(diff.after)
        line = f"  ~ {path}: {old} -> {new}"
        if len(line) <= LINE_CHARACTERS_MAX:
            yield paint(line, "yellow") + note
        else:
            yield paint(f"  ~ {path}:", "yellow") + note
            yield paint(f"      - {old}", "red")
            yield paint(f"      + {new}", "green")


def _told(path: str) -> str:
    """Return a path as people would say it."""
    match = _SCHEMA.match(path)
    if match is None:
        return path
    within = re.sub(r"\.properties\b(?=\.)", "", path[match.end() :])
    return f"schema of {match['version']}: {within.removeprefix('.')}"


def _has_lines(value: objects.Json) -> bool:
    return isinstance(value, str) and "\n" in value.rstrip("\n")


def _lines(before: str, after: str, paint: Paint) -> Iterator[str]:
    """Yield the lines that differ between two texts, one line of context around them."""
    found = list(
        _hunks(difflib.unified_diff(before.splitlines(), after.splitlines(), n=1, lineterm=""))
    )
    for line in found[:LINES_MAX]:
        colour = {"+": "green", "-": "red"}.get(line[:1], "dim")
        yield paint(f"      {line[0]} {line[1:]}".rstrip(), colour)
    if len(found) > LINES_MAX:
        yield f"      and {len(found) - LINES_MAX} more lines"


def _hunks(lines: Iterable[str]) -> Iterator[str]:
    """Yield unified lines without their headers, a mark between hunks."""
    for number, line in enumerate(lines):
        if number < 2:
            continue
        if line.startswith("@@"):
            if number > 2:
                yield " ..."
            continue
        yield line or " "
