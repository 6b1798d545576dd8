"""Plans, progress and applications as text for people: pure, line by line.

The table is kapp's and the signs are Terraform's, because people know both. A style paints words;
without one the text is plain. Nothing here shows a Secret's value: plans are masked when they are
made.
"""

from __future__ import annotations

import datetime as dt
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from understudy.delivery import (
    chaos,
    deliveries,
    diffviews,
    outcomes,
    plans,
    reasons,
    refs,
    trackers,
    waiting,
)
from understudy.kube import health, objects

Paint = diffviews.Paint
"""Paints a text in a colour: `green`, `yellow`, `red`, `cyan` or `dim`."""

_SIGNS = {
    outcomes.Op.CREATE: ("+", "green"),
    outcomes.Op.CHANGE: ("~", "yellow"),
    outcomes.Op.RECREATE: ("-/+", "red"),
    outcomes.Op.RUN: (">", "green"),
    outcomes.Op.ADOPT: ("^", "yellow"),
    outcomes.Op.DELETE: ("-", "red"),
    outcomes.Op.KEEP: ("=", "cyan"),
    outcomes.Op.ABANDON: ("?", "cyan"),
    outcomes.Op.IGNORE: (".", "dim"),
    outcomes.Op.GONE: (".", "dim"),
    outcomes.Op.UNCHANGED: ("", "dim"),
    outcomes.Op.BLOCKED: ("!", "red"),
}
_HEALTHY_SHOWN_MAX = 10
_NOTE_CHARACTERS_MAX = 80
_HIDDEN = {outcomes.Op.UNCHANGED, outcomes.Op.GONE}
_SPARED = ("Age", "Wait for", "Now")
"""Columns of a plan that a narrow terminal goes without, in this order."""
_WHY_CHARACTERS_MIN = 12
_INVALID = re.compile(r"\S+ \"[^\"]*\" is invalid: (?P<causes>.*)")
_NEXT_CAUSE = re.compile(
    r", (?=[^\s:,]+: (?:Invalid value|Required value|Forbidden|Unsupported value|Duplicate value|"
    r"Too long|Too many|Not found|Internal error)\b)"
)


def plain(text: str, _colour: str) -> str:
    """Paint nothing."""
    return text


def plan(
    made: plans.Plan,
    now: dt.datetime,
    paint: Paint = plain,
    subject: str = "Plan for",
    *,
    width: int = 0,
    whole: bool = False,
) -> Iterator[str]:
    """Yield the lines of a plan, or of what else is told in its form (`Drift of`).

    `width` is the terminal's, to which tables and sentences are fitted; 0 where there is none.
    With `whole` also what is created and deleted is shown, and what surrounds a change.
    """
    shown = [operation for operation in made.operations if operation.op not in _HIDDEN]
    tried = [
        one.operation
        for one in made.blocked
        if one.operation is not None and one.operation.op is outcomes.Op.BLOCKED
    ]
    if shown or tried:
        yield from _table([*shown, *tried], now, paint, width)
        yield ""
    if whole:
        for operation in shown:
            yield from diffviews.whole(operation, *made.whole(operation.ref), paint)
    else:
        yield from diffviews.changes(shown, paint, width)
    for blocked in made.blocked:
        yield from _blocked(blocked, paint, width)
    if made.blocked:
        yield ""
    for opinion in made.opinions:
        if not opinion.refusal:
            yield paint(f"Disagreement  {opinion.text}", "yellow")
    if made.verified is not None:
        yield f"The server was asked about {outcomes.number(made.verified, 'object')}."
        yield ""
    if made.forbidden:
        yield from (paint(f"FORBIDDEN  {text}", "red") for text in made.forbidden)
        yield ""
    if made.effects:
        yield "Effects:"
        yield from _effects(made, paint, width)
        yield ""
    if made.fidelity and (shown or made.blocked or made.effects):
        yield "Not simulated:"
        for text in made.fidelity:
            yield from _sentence(text, width)
        yield ""
    if made.chaos is not None:
        yield from _chaos(made.chaos, paint, width)
        yield ""
    yield from _end(made, subject, width, paint)
    yield f"Digest: {made.digest}"


def _end(made: plans.Plan, subject: str, width: int, paint: Paint) -> Iterator[str]:
    """Yield how long it will take, how much it is, and what would not become ready."""
    if made.estimate is not None:
        yield from _sentence(f"Takes {made.estimate}", width, 0)
    yield from _sentence(summary(made, subject), width, 0)
    if unready := _unready(made):
        are = "is 1 object" if unready == 1 else f"are {unready} objects"
        yield paint(f"Among them {are} that would not become ready: see the effects", "red")


def _chaos(found: chaos.Chaos, paint: Paint, width: int) -> Iterator[str]:
    """Yield what becomes of a delivery that dies: after which write, and after the next run."""
    rows = [("Killed after", "The next run", "Last write")]
    colours = [""]
    for death in found.deaths:
        for number, text in enumerate(death.wrong or ("converges",)):
            count, last = ("^", "^") if number else (str(death.writes), death.last or "-")
            rows.append((count, text, last))
            colours.append("red" if death.wrong else "")
    for line, colour in zip(columns(_fitted(rows, width)), colours, strict=True):
        yield paint(line, colour) if colour else line
    bad = sum(bool(death.wrong) for death in found.deaths)
    ends = f"{bad} of {len(found.deaths)} do not converge" if bad else "all converge"
    yield f"Deaths: {ends}"


def _sentence(text: str, width: int, indent: int = 2) -> list[str]:
    """Return a sentence on as many lines as the terminal needs, further ones indented deeper."""
    if not width:
        return [" " * indent + text]
    return textwrap.wrap(
        text,
        width,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + 2),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _unready(made: plans.Plan) -> int:
    return sum(effect.type == "unready" for effect in made.effects)


def _effects(made: plans.Plan, paint: Paint, width: int) -> Iterator[str]:
    """Yield the consequences; what controllers create is one line, however many kinds it is."""
    made_too = [effect for effect in made.effects if effect.type == "creates"]
    total = sum(effect.count for effect in made_too)
    for effect in made.effects:
        if effect.type == "creates" and len(made_too) > 1:
            if effect is made_too[0]:
                kinds = (outcomes.number(effect.count, effect.ref.kind) for effect in made_too)
                text = f"controllers create {total} objects: {', '.join(kinds)}"
                yield from (paint(line, "cyan") for line in _sentence(text, width))
            continue
        bad = effect.irreversible or effect.type in {"hangs", "refuses", "unready"}
        colour = "red" if bad else "cyan"
        said = "no rollback" in effect.text
        text = f"{effect.text} (irreversible)" if effect.irreversible and not said else effect.text
        yield from (paint(line, colour) for line in _sentence(text, width))


def counts(done: Iterable[outcomes.Outcome]) -> str:
    """Return how many objects of a delivery are what: `12 change, 47 unchanged`."""
    listed = [outcome.op for outcome in done]
    return ", ".join(f"{listed.count(op)} {op}" for op in outcomes.Op if op in listed)


def summary(made: plans.Plan, subject: str = "Plan for") -> str:
    """Return one line: how many of each; what is installed for our records is told apart."""
    ops = [operation.op for operation in made.operations if not operation.record]
    records = len(made.operations) - len(ops)
    told = [f"{ops.count(op)} {op}" for op in outcomes.Op if op in ops]
    if made.blocked:
        told.append(f"{len(made.blocked)} blocked")
    if records:
        told.append(f"and {outcomes.number(records, 'definition')} for records")
    what = ", ".join(told) or "nothing"
    if not made.revision:
        return f"Plan to delete {made.owner.application}: {what}"
    revision = f"{made.owner.application}: revision {made.revision}"
    if made.is_new and made.previous:
        revision += f" (after {made.previous})"
    elif not made.is_new:
        revision += " (the newest already)"
    return f"{subject} {revision}: {what}"


def _table(
    operations: Sequence[plans.Operation], now: dt.datetime, paint: Paint, width: int
) -> Iterator[str]:
    rows = [("Namespace", "Name", "Kind", "Age", "Now", "Op", "Wait for", "Why")]
    colours = [""]
    last = ""
    for operation in operations:
        sign, colour = _SIGNS[operation.op]
        space = operation.ref.namespace or "-"
        rows.append(
            (
                "^" if space == last else space,
                operation.ref.name,
                operation.ref.kind,
                age(operation.created, now),
                _NOW[operation.state],
                f"{sign} {operation.op}".strip(),
                _waited_for(operation),
                _why(operation),
            )
        )
        colours.append(colour)
        last = space
    for line, colour in zip(columns(_fitted(rows, width)), colours, strict=True):
        yield paint(line, colour) if colour else line


def _fitted(rows: Sequence[Sequence[str]], width: int) -> Sequence[Sequence[str]]:
    """Return rows that fit into a width, or nearly: without some columns, the last one cut."""
    for spared in _SPARED:
        if not width or max(map(len, columns(rows))) <= width:
            return rows
        left = [number for number, title in enumerate(rows[0]) if title != spared]
        rows = [[row[number] for number in left] for row in rows]
    rest = max(map(len, columns([[*row[:-1], ""] for row in rows]))) + 2
    last = max(width - rest, _WHY_CHARACTERS_MIN)
    return [[*row[:-1], _cut(row[-1], last)] for row in rows]


def _cut(text: str, characters_max: int) -> str:
    return text if len(text) <= characters_max else f"{text[: characters_max - 3]}..."


def columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield rows as aligned lines, two blanks between columns, none at the end."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def age(created: str, now: dt.datetime) -> str:
    """Return how old something is, as kubectl would: `45s`, `12m`, `5h`, `90d`."""
    if not created:
        return "-"
    seconds = max(0, int((now - dt.datetime.fromisoformat(created)).total_seconds()))
    for limit, size, unit in ((120, 1, "s"), (7200, 60, "m"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{seconds // size}{unit}"
    return f"{seconds // 86400}d"


_NOW = {
    None: "-",
    health.State.CURRENT: "ok",
    health.State.SUSPENDED: "ok",
    health.State.IN_PROGRESS: "ongoing",
    health.State.UNKNOWN: "unknown",
    health.State.FAILED: "failed",
    health.State.TERMINATING: "deleting",
    health.State.NOT_FOUND: "-",
}


def _waited_for(operation: plans.Operation) -> str:
    if operation.op is outcomes.Op.DELETE:
        return "gone"
    if not operation.op.is_change:
        return "-"
    if operation.op is outcomes.Op.RUN and not waiting.exists_is_enough(operation.ref):
        return "its end"
    if (operation.ref.group, operation.ref.kind) == ("", "Namespace"):
        return "active"
    if operation.ref.kind == "CustomResourceDefinition":
        return "established"
    return "exists" if waiting.exists_is_enough(operation.ref) else "ready"


def _why(operation: plans.Operation) -> str:
    if operation.record:
        return "records of understudy"
    if operation.op is outcomes.Op.BLOCKED:
        return "see below"
    return operation.why or diffviews.reasons(operation)


def _blocked(blocked: plans.Blocked, paint: Paint, width: int) -> Iterator[str]:
    obstacle = blocked.obstacle
    if blocked.ref is None:
        yield paint(f"BLOCKED  {obstacle.message}", "red")
        return
    if obstacle.blocked_by is not None:
        yield paint(f"BLOCKED  {blocked.ref}: waits for {obstacle.blocked_by}", "red")
        return
    yield paint(f"BLOCKED  {blocked.ref}", "red")
    for cause in causes(obstacle.message):
        yield from (paint(line, "red") for line in _sentence(cause, width, 9))
    if obstacle.field and obstacle.field not in obstacle.message:
        yield f"         field: {obstacle.field}"
    if obstacle.remedy:
        yield from _sentence(obstacle.remedy, width, 9)
    if blocked.source:
        yield from (paint(line, "dim") for line in _sentence(f"in {blocked.source}", width, 9))


def causes(message: str) -> list[str]:
    """Return what a server's message says is wrong, without naming the object once more.

    Example: `Pod "web" is invalid: [spec.a: Required value, spec.b: Forbidden: why]` are two.
    """
    text = " ".join(message.split())
    if match := _INVALID.fullmatch(text):
        text = match["causes"]
        if text.startswith("[") and text.endswith("]"):
            return _NEXT_CAUSE.split(text[1:-1])
    return [text]


# ---------------------------------------------------------------------- progress


def news(item: outcomes.News) -> str:
    """Return the text of one step of a delivery, details below; empty for what need not be told."""
    counter = f" [{item.done}/{item.total} done]" if item.total else ""
    match item.type:
        case "phase":
            return f"---- {item.message}{counter} ----"
        case "done" if item.op == str(outcomes.Op.UNCHANGED):
            return ""
        case "done" | "note":
            return f"{item.op} {item.ref}" + (f" ({item.message})" if item.message else "")
        case "waiting":
            return reasons.below(f"ongoing: {item.ref}: {item.message}", item.details)
        case "healthy":
            return f"ok: {item.ref}" + (f": {item.message}" if item.message else "")
        case _:
            return f"fail: {item.message if str(item.ref) in item.message else told(item)}"


def told(item: outcomes.News) -> str:
    """Return a message with its object before it."""
    return f"{item.ref}: {item.message}" if item.ref is not None else item.message


def news_as_dict(item: outcomes.News) -> objects.Object:
    """Render one step for `-o jsonl`."""
    out: objects.Object = {"type": item.type}
    told = (("op", item.op), ("message", item.message), ("uid", item.uid), ("reason", item.reason))
    out |= {key: value for key, value in told if value}
    if item.details:
        out["details"] = list(item.details)
    if item.ref is not None:
        out["ref"] = item.ref.as_dict()
    if item.total:
        out |= {"done": item.done, "total": item.total}
    return out


# ---------------------------------------------------------------------- applications


def history(records: Iterable[objects.Object], now: dt.datetime) -> Iterator[str]:
    """Yield the revisions of an application as a table, oldest first."""
    rows = [("Revision", "Phase", "Objects", "Age", "Digest", "Note")]
    for record in records:
        spec, status = record["spec"], record.get("status") or {}
        again = f"rollback to {spec['rollbackOf']}" if spec.get("rollbackOf") else ""
        note = "; ".join(text for text in (again, status.get("message") or "") if text)
        note = _cut(" ".join(note.split()), _NOTE_CHARACTERS_MAX)
        created = str(objects.metadata(record).get("creationTimestamp") or "")
        rows.append(
            (
                objects.name_of(record),
                status.get("phase") or "Delivering",
                str(spec.get("objects") or "-"),
                age(created, now),
                str(spec["digest"])[:19],
                note,
            )
        )
    return columns(rows)


def applications(records: Iterable[objects.Object], now: dt.datetime) -> Iterator[str]:
    """Yield applications as a table."""
    rows = [("Namespace", "Name", "Revision", "Phase", "Objects", "Age")]
    for record in records:
        status = record.get("status") or {}
        rows.append(
            (
                objects.namespace_of(record),
                objects.name_of(record),
                status.get("revision") or objects.lookup(record, ("spec", "revision"), "-"),
                status.get("phase") or "Delivering",
                str(status.get("objects") or "-"),
                age(str(objects.metadata(record).get("creationTimestamp") or ""), now),
            )
        )
    return columns(rows)


_MARKS = {
    health.State.CURRENT: ("+", "green"),
    health.State.FAILED: ("x", "red"),
    health.State.NOT_FOUND: ("x", "red"),
}


def headline(
    records: Sequence[objects.Object], conditions: Sequence[deliveries.Condition], now: dt.datetime
) -> str:
    """Return one line about an application: its newest revision, and how many are healthy."""
    newest = records[-1]
    status = newest.get("status") or {}
    since = str(status.get("finishedAt") or objects.metadata(newest).get("creationTimestamp") or "")
    phase = status.get("phase") or "Delivering"
    healthy = sum(condition.health.is_settled for condition in conditions)
    return (
        f"Revision {objects.name_of(newest)}, {phase} {age(since, now)} ago: {healthy} of "
        f"{outcomes.number(len(conditions), 'object')} healthy"
    )


def status(
    conditions: Sequence[deliveries.Condition],
    paint: Paint = plain,
    now: dt.datetime | None = None,
) -> Iterator[str]:
    """Yield an application's objects as a tree: namespace, object, what it owns.

    With `now`, how old each is.
    """
    spaces: dict[str, list[deliveries.Condition]] = {}
    for condition in conditions:
        spaces.setdefault(condition.entry.ref.namespace, []).append(condition)
    for space in sorted(spaces):
        yield f"namespace {space}" if space else "cluster"
        for condition in sorted(spaces[space], key=lambda c: _by_kind(c.entry.ref)):
            sign, colour = _MARKS.get(condition.health.state, ("*", "yellow"))
            extra = ""
            if condition.entry.state in (trackers.State.DELETING, trackers.State.KEPT):
                extra = f"  [{condition.entry.state}: {condition.entry.reason}]"
            line = f"  {sign} {condition.entry.ref.kind} {condition.entry.ref.name}"
            created = str(objects.metadata(condition.obj or {}).get("creationTimestamp") or "")
            old = _old(created, now)
            yield paint(f"{line}: {condition.health}{extra}", colour) + paint(old, "dim")
            yield from _children(condition.children, "      ", paint, now)
            # A pod that is shown has said it already.
            shown = (text for text in condition.reasons if not text.startswith("pod "))
            yield from (
                f"      {text}" for text in (shown if condition.children else condition.reasons)
            )


def _old(created: str, now: dt.datetime | None, restarts: int = 0) -> str:
    if now is None or not created:
        return ""
    again = f", {outcomes.number(restarts, 'restart')}" if restarts else ""
    return f" ({age(created, now)}{again})"


def _children(
    children: Sequence[reasons.Child], indent: str, paint: Paint, now: dt.datetime | None
) -> Iterator[str]:
    """Yield what is below an object; healthy ones beyond a few are only counted."""
    healthy = 0
    for child in children:
        if child.health.is_settled and not child.children:
            healthy += 1
            if healthy > _HEALTHY_SHOWN_MAX:
                continue
        sign, colour = _MARKS.get(child.health.state, ("*", "yellow"))
        line = f"{indent}{sign} {child.kind} {child.name}: {child.health}"
        old = _old(child.created, now, child.restarts)
        yield paint(line, colour) + paint(old, "dim")
        yield from _children(child.children, indent + "    ", paint, now)
    if healthy > _HEALTHY_SHOWN_MAX:
        yield f"{indent}and {healthy - _HEALTHY_SHOWN_MAX} more that are healthy"


def _by_kind(ref: refs.Ref) -> tuple[str, str]:
    return ref.kind, ref.name
