"""Pieces of cells that several kinds share: containers, selectors, labels, shortened lists."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from understudy.kapi.resources import strategies
from understudy.kapi.resources.printers import durations
from understudy.kube import objects

Row = Callable[[objects.Object, dt.datetime], list[objects.Json]]

NAME_DESCRIPTION = (
    "Name must be unique within a namespace. Is required when creating resources, although some "
    "resources may allow a client to request the generation of an appropriate name automatically. "
    "Name is primarily intended for creation idempotence and configuration definition. Cannot be "
    "updated. More info: "
    "https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names"
)
CREATED_DESCRIPTION = (
    "CreationTimestamp is a timestamp representing the server time when this object was created. "
    "It is not guaranteed to be set in happens-before order across separate operations. Clients "
    "may not set this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the "
    "system. Read-only. Null for lists. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"
)
"""Field documentation of metav1.ObjectMeta, which the real server shows as column help."""

NAME = strategies.Column("Name", "string", "name", NAME_DESCRIPTION)
AGE = strategies.Column("Age", "string", "", CREATED_DESCRIPTION)
CREATED_AT = strategies.Column("Created At", "date", "", CREATED_DESCRIPTION)


@dataclass(frozen=True, slots=True)
class Printer:
    """How one kind prints.

    Attributes:
        conditions: Of a row, e.g. that a pod has completed; empty for most kinds.
        null_rows_when_empty: An empty list has `rows: null` (the default table only).
        order: By what the rows of a list are ordered, where not as the list is.
    """

    columns: Sequence[strategies.Column]
    row: Row
    conditions: Callable[[objects.Object], list[objects.Object]] | None = None
    null_rows_when_empty: bool = False
    order: Callable[[objects.Object], tuple[int, str]] | None = None


def columns(*specs: str) -> tuple[strategies.Column, ...]:
    """Build columns from `Name`, `Desired:integer`, `Attacher/name` or `Images*` (wide only)."""
    built = []
    for spec in specs:
        wide = spec.endswith("*")
        named, _, form = spec.rstrip("*").partition("/")
        title, _, kind = named.partition(":")
        if title == "Name" and not kind:
            built.append(NAME)
        elif title == "Age" and not kind:
            built.append(AGE)
        else:
            built.append(strategies.Column(title, kind or "string", form, "", 1 if wide else 0))
    return tuple(built)


def at(obj: objects.Json, *path: str | int) -> objects.Json:
    """Return the value at a path, None where any step is missing."""
    return objects.lookup(obj, path)


def items(obj: objects.Json, *path: str | int) -> list[objects.Json]:
    """Return the list at a path, an empty one where it is missing."""
    found = objects.lookup(obj, path)
    return found if isinstance(found, list) else []


def number(obj: objects.Json, *path: str | int) -> int:
    """Return the whole number at a path, 0 where it is missing."""
    found = objects.lookup(obj, path)
    return int(found) if isinstance(found, (int, float)) else 0


def text(obj: objects.Json, *path: str | int, default: str = "") -> str:
    """Return the text at a path, `default` where it is missing or empty."""
    found = objects.lookup(obj, path)
    return str(found) if found not in (None, "") else default


def name(obj: objects.Object) -> str:
    """Return metadata.name."""
    return objects.name_of(obj)


def age(obj: objects.Object, now: dt.datetime) -> str:
    """Return the time since creation."""
    return durations.since(at(obj, "metadata", "creationTimestamp"), now)


def is_deleted(obj: objects.Object) -> bool:
    """Say whether deletion has begun."""
    return bool(at(obj, "metadata", "deletionTimestamp"))


def containers(pod_spec: objects.Json) -> tuple[str, str]:
    """Return the containers' names and images, each joined by commas."""
    found = items(pod_spec, "containers")
    return (
        ",".join(text(one, "name") for one in found),
        ",".join(text(one, "image") for one in found),
    )


def labels(found: objects.Json) -> str:
    """Format a label map: `a=b,c=d` by key, `<none>` where empty."""
    if not isinstance(found, dict) or not found:
        return "<none>"
    return ",".join(f"{key}={found[key]}" for key in sorted(found))


_OPERATORS = {"In": "in", "NotIn": "notin"}


def selector(found: objects.Json) -> str:
    """Format a v1.LabelSelector as kubectl's selector text; `<none>` where it selects all.

    Example: `app=a,tier in (x,y),!z`.
    """
    if not isinstance(found, dict):
        return "<none>"
    terms = [(key, f"{key}={value}") for key, value in (found.get("matchLabels") or {}).items()]
    for expression in found.get("matchExpressions") or []:
        key, operator = text(expression, "key"), text(expression, "operator")
        values = ",".join(sorted(items(expression, "values")))
        if operator == "Exists":
            terms.append((key, key))
        elif operator == "DoesNotExist":
            terms.append((key, f"!{key}"))
        else:
            terms.append((key, f"{key} {_OPERATORS.get(operator, operator)} ({values})"))
    return ",".join(term for _, term in sorted(terms, key=lambda term: term[0])) or "<none>"


def selector_struct(found: objects.Object) -> str:
    """Format a v1.LabelSelector as Go prints the struct."""
    labels = "".join(f"{key}: {value}," for key, value in sorted(_labels(found).items()))
    expressions = "".join(
        f"LabelSelectorRequirement{{Key:{text(one, 'key')},Operator:{text(one, 'operator')},"
        f"Values:[{' '.join(items(one, 'values'))}],}},"
        for one in items(found, "matchExpressions")
    )
    return (
        f"&LabelSelector{{MatchLabels:map[string]string{{{labels}}},"
        f"MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )


def _labels(found: objects.Object) -> dict[str, str]:
    return found.get("matchLabels") or {}


def shortened(found: Iterable[str], shown_max: int = 3, empty: str = "<unset>") -> str:
    """Join the first few with commas: `a,b,c + 2 more...`."""
    everything = list(found)
    joined = ",".join(everything[:shown_max])
    if len(everything) > shown_max:
        return f"{joined} + {len(everything) - shown_max} more..."
    return joined or empty


def simple(*cells: Callable[[objects.Object], objects.Json]) -> Row:
    """Build a row of the name, the given cells, and the age."""

    def row(obj: objects.Object, now: dt.datetime) -> list[objects.Json]:
        return [name(obj), *(cell(obj) for cell in cells), age(obj, now)]

    return row


def _created_at(obj: objects.Object, _now: dt.datetime) -> list[objects.Json]:
    return [name(obj), at(obj, "metadata", "creationTimestamp")]


DEFAULT = Printer((NAME, CREATED_AT), _created_at, null_rows_when_empty=True)
"""What kinds without columns of their own print."""
