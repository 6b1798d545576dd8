"""The changed fields of a plan as text for people.

What several objects have in common is told once. Of long values both stand on lines of their own,
of texts of several lines only the lines that differ. A definition's schema is told by the path of
the field that it describes.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import yaml

from understudy.delivery import diffs, outcomes, plans, refs
from understudy.kube import objects

Paint = Callable[[str, str], str]

ALIKE_MIN = 3
"""From so many objects on, a field that changes alike in them is told once."""
FIELDS_MAX = 15
LINES_MAX = 12
TEXT_CHARACTERS_MAX = 160
LINE_CHARACTERS_MAX = 110
CONTEXT_LINES = 2
"""Around a change, as many as kapp's."""
_NAMED_MAX = 4
_SCHEMA = re.compile(r"^spec\.versions\[(?P<version>[^\]]+)\]\.schema\.openAPIV3Schema\b")
_ASIDE = re.compile(r"\bmetadata\.(labels|annotations)\b")
_LEAF = re.compile(r"\['(?P<quoted>[^']+)'\]$|(?P<plain>[^.]+)$")

_LINE_COLOURS = {"+": "green", "-": "red"}
_VAGUE = {"name", "value", "key", "path", "port"}

_Field = tuple[outcomes.Op, str]


def changes(operations: Sequence[plans.Operation], paint: Paint, width: int = 0) -> Iterator[str]:
    """Yield the lines about every operation that has differences, a blank line after each.

    `width` is the terminal's, 0 where there is none.
    """
    long = min(width, LINE_CHARACTERS_MAX) if width else LINE_CHARACTERS_MAX
    members: dict[_Field, list[plans.Operation]] = {}
    for operation in operations:
        for diff in _said(operation):
            members.setdefault((operation.op, repr(diff)), []).append(operation)
    shared = {field for field, alike in members.items() if len(alike) >= ALIKE_MIN}
    blocks: dict[tuple[outcomes.Op, tuple[refs.Ref, ...]], list[diffs.FieldDiff]] = {}
    for operation in operations:
        alone = []
        for diff in _said(operation):
            field = (operation.op, repr(diff))
            if field not in shared:
                alone.append(diff)
            elif members[field][0] is operation:
                alike = (operation.op, tuple(member.ref for member in members[field]))
                blocks.setdefault(alike, []).append(diff)
        if alone or (operation.diffs and not _said(operation)):
            blocks[operation.op, (operation.ref,)] = alone
    versions = {operation.ref: operation.api_version for operation in operations}
    silent = {
        operation.ref: sum(_describes(diff) for diff in operation.diffs) for operation in operations
    }
    for (op, concerned), found in blocks.items():
        yield paint(f"@@ {op} {_named(concerned, versions)} @@", "cyan")
        for diff in found[:FIELDS_MAX]:
            yield from _field(diff, paint, long)
        if len(found) > FIELDS_MAX:
            yield f"  and {len(found) - FIELDS_MAX} more fields; -o json tells them all"
        if described := sum(silent.get(ref, 0) for ref in concerned if len(concerned) == 1):
            yield f"  and {outcomes.number(described, 'description')}"
        yield ""


def whole(
    operation: plans.Operation,
    before: objects.Object | None,
    after: objects.Object | None,
    paint: Paint,
) -> Iterator[str]:
    """Yield all of an object that comes or goes, or the lines around its changes; a blank line.

    Without status and bookkeeping, and with what the server defaults.
    """
    yield paint(
        f"@@ {operation.op} {_named([operation.ref], {operation.ref: operation.api_version})} @@",
        "cyan",
    )
    lines = difflib.unified_diff(_text(before), _text(after), n=CONTEXT_LINES, lineterm="")
    for line in _hunks(lines):
        yield paint(f"  {line[0]} {line[1:]}".rstrip(), _LINE_COLOURS.get(line[:1], "dim"))
    yield ""


def _text(obj: objects.Object | None) -> list[str]:
    """Return what of an object a person compares, as lines of YAML."""
    if obj is None:
        return []
    shown = diffs.comparable(obj)
    head = {"apiVersion": obj.get("apiVersion"), "kind": obj.get("kind")}
    head["metadata"] = shown.pop("metadata")
    text: str = yaml.safe_dump(head | shown, sort_keys=False)
    return text.splitlines()


def _said(operation: plans.Operation) -> list[diffs.FieldDiff]:
    return [
        diff for diff in operation.diffs if not _is_noise(operation, diff) and not _describes(diff)
    ]


def _named(concerned: Sequence[refs.Ref], versions: Mapping[refs.Ref, str]) -> str:
    """Name one object as kapp does, several by their names, many by their kinds."""
    if len(concerned) == 1:
        ref = concerned[0]
        place = f" namespace: {ref.namespace}" if ref.namespace else ""
        return f"{ref.kind.lower()}/{ref.name} ({versions[ref]}){place}"
    kinds: dict[str, int] = {}
    for ref in concerned:
        kinds[ref.kind] = kinds.get(ref.kind, 0) + 1
    listed = [str(ref) for ref in concerned]
    if len(concerned) > _NAMED_MAX:
        listed = [outcomes.number(count, kind) for kind, count in kinds.items()]
    return f"{len(concerned)} objects alike: {', '.join(listed)}"


def reasons(operation: plans.Operation) -> str:
    """Return the names of the fields that change, a few of them; labels and descriptions last."""
    changed = [diff for diff in operation.diffs if diff.cause is not diffs.Cause.SERVER]
    said = [diff for diff in changed if not _describes(diff)] or changed
    paths = sorted((diff.path for diff in said), key=lambda path: bool(_ASIDE.search(path)))
    names = list(dict.fromkeys(_step(path) for path in paths))
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _step(path: str) -> str:
    """Return the last step of a path, with the one before where it alone says little."""
    last = leaf(path)
    if last not in _VAGUE:
        return last
    return f"{leaf(path.removesuffix(f'.{last}'))}.{last}"


def leaf(path: str) -> str:
    """Return the last step of a path: `image`, `env[PATH]`, `app.kubernetes.io/version`."""
    match = _LEAF.search(path)
    return (match["quoted"] or match["plain"]) if match is not None else path


def _is_noise(operation: plans.Operation, diff: diffs.FieldDiff) -> bool:
    """Whether a difference only says that one object is not the other."""
    anew = operation.op is outcomes.Op.RECREATE and diff.cause is diffs.Cause.SERVER
    return anew and "controller-uid" in diff.path


def _describes(diff: diffs.FieldDiff) -> bool:
    """Whether only the description of a field in a schema differs."""
    return diff.path.endswith(".description") and _SCHEMA.match(diff.path) is not None


def _field(diff: diffs.FieldDiff, paint: Paint, characters_max: int) -> Iterator[str]:
    note = "" if diff.cause is diffs.Cause.YOU else f"  # {diff.cause}"
    if diff.manager:
        whose = f": changed by {diff.manager}" if diff.cause is diffs.Cause.DRIFT else ""
        note += whose or f"{', ' if note else '  # '}was written by {diff.manager}"
    path = _told(diff.path)
    if diff.before is None:
        yield paint(f"  + {path}: {diffs.shown(diff.after)}", "green") + note
    elif diff.after is None:
        yield paint(f"  - {path}: {diffs.shown(diff.before)}", "red") + note
    elif isinstance(diff.before, list) and isinstance(diff.after, list):
        yield paint(f"  ~ {path}:", "yellow") + note
        yield from _items(diff.before, diff.after, paint)
    elif _has_lines(diff.before) or _has_lines(diff.after):
        yield paint(f"  ~ {path}:", "yellow") + note
        yield from _lines(str(diff.before), str(diff.after), paint)
    else:
        old, new = (diffs.shown(value, TEXT_CHARACTERS_MAX) for value in (diff.before, diff.after))
        line = f"  ~ {path}: {old} -> {new}"
        if len(line) <= characters_max:
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
        colour = _LINE_COLOURS.get(line[:1], "dim")
        text = line[1:]
        if len(text) > TEXT_CHARACTERS_MAX:
            text = f"{text[: TEXT_CHARACTERS_MAX - 3]}..."
        yield paint(f"      {line[0]} {text}".rstrip(), colour)
    if len(found) > LINES_MAX:
        yield f"      and {len(found) - LINES_MAX} more lines"


def _items(before: list[objects.Json], after: list[objects.Json], paint: Paint) -> Iterator[str]:
    """Yield the items that only one list has; of the same items, that their order is new."""
    gone = [("-", "red", item) for item in before if item not in after]
    new = [("+", "green", item) for item in after if item not in before]
    for sign, colour, item in [*gone, *new][:LINES_MAX]:
        yield paint(f"      {sign} {diffs.shown(item, TEXT_CHARACTERS_MAX)}", colour)
    if len(gone) + len(new) > LINES_MAX:
        yield f"      and {len(gone) + len(new) - LINES_MAX} more"
    if not gone and not new:
        yield "      in another order"


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
