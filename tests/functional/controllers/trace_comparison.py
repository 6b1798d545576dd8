"""Compares two traces: what is left, the events as a set, each object's sequence of states.

Set aside, because they differ between two runs of the real control plane too: which node a pod
got, which of several equal pods came or went first, the order between different objects.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from understudy.kube import objects

_POD = re.compile(r"<pod\d+>")
_NODE = re.compile(r"\bnode-[12]\b")
_LOCAL = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?=[+-]\d\d:\d\d)")
"""A time in another zone than UTC, which the traces leave as it is; the zone stays."""
_PORT = re.compile(r'("(?:nodePort|healthCheckNodePort)": )3\d{4}')
"""Given at random, unless a manifest names it."""
_MINUTE = re.compile(r"(?<=-)[23]\d{7}\b")
"""The scheduled minute in the name of a Job that was refused, and so has no symbol."""
_HOST = re.compile(r"\b192\.168\.0\.\d+\b")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome for one object (or for `final`, `events`).

    Attributes:
        what: `Kind/name`, `final Kind/name` or `events`.
        grade: `same`, `merged` (the same states, but some passed through in one step) or
            `different`.
        detail: The first thing that differs.
    """

    what: str
    grade: str
    detail: str = ""


def compare(theirs: objects.Object, ours: objects.Object) -> list[Verdict]:
    """Return a verdict for every object of either trace, for what is left, and for the events."""
    return [
        *_compare_sequences(_sequences(theirs), _sequences(ours)),
        *_compare_final(theirs["final"], ours["final"]),
        _compare_events(theirs["events"], ours["events"]),
    ]


def neutral(value: objects.Json) -> str:
    """Return a value as text without what differs from run to run."""
    text = json.dumps(_sorted_endpoints(value), sort_keys=True)
    text = _LOCAL.sub("<time>", _PORT.sub(r"\1<port>", _MINUTE.sub("<min>", text)))
    text = _POD.sub("<pod>", text)
    return _HOST.sub("<host>", _NODE.sub("<node>", text))


def _sorted_endpoints(value: objects.Json) -> objects.Json:
    if not isinstance(value, dict):
        return value
    if value.get("kind") == "EndpointSlice" and value.get("endpoints"):
        ordered = sorted(value["endpoints"], key=neutral_key)
        return {**value, "endpoints": ordered}
    if value.get("kind") == "Endpoints" and value.get("subsets"):
        subsets = [
            {k: v if k == "ports" else sorted(v, key=neutral_key) for k, v in one.items()}
            for one in value["subsets"]
        ]
        # Their own order is that of a hash over uids and addresses.
        return {**value, "subsets": sorted(subsets, key=neutral_key)}
    return value


def neutral_key(value: objects.Json) -> str:
    """Order by what does not differ from run to run."""
    return _HOST.sub("", _NODE.sub("", _POD.sub("", json.dumps(value, sort_keys=True))))


def _sequences(trace: objects.Object) -> dict[str, list[tuple[str, ...]]]:
    """Return, by kind and neutral name, the sequences of states of the objects of that name."""
    by_uid: dict[tuple[str, str, str], list[str]] = {}
    for entry in trace["stream"]:
        if "kind" not in entry or entry["kind"] == "Event":
            continue
        obj = entry["object"]
        state = "gone" if entry["type"] == "DELETED" else neutral(obj)
        uid = obj["metadata"]["uid"]
        by_uid.setdefault((entry["kind"], entry["name"], uid), []).append(state)
    found: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    for (kind, name, _), states in by_uid.items():
        found[f"{kind}/{_POD.sub('<pod>', name)}"].append(tuple(states))
    return found


def _compare_sequences(
    theirs: dict[str, list[tuple[str, ...]]], ours: dict[str, list[tuple[str, ...]]]
) -> Iterable[Verdict]:
    for what in sorted({*theirs, *ours}):
        left, right = Counter(theirs.get(what, [])), Counter(ours.get(what, []))
        same = left & right
        missing, extra = list((left - same).elements()), list((right - same).elements())
        for number in range(sum(same.values())):
            yield Verdict(_numbered(what, number, theirs, ours), "same")
        for number, pair in enumerate(_paired(missing, extra), start=sum(same.values())):
            yield _judge(_numbered(what, number, theirs, ours), *pair)


def _numbered(
    what: str,
    number: int,
    theirs: dict[str, list[tuple[str, ...]]],
    ours: dict[str, list[tuple[str, ...]]],
) -> str:
    several = max(len(theirs.get(what, [])), len(ours.get(what, []))) > 1
    return f"{what} ({number + 1})" if several else what


def _paired(
    missing: list[tuple[str, ...]], extra: list[tuple[str, ...]]
) -> Iterable[tuple[tuple[str, ...] | None, tuple[str, ...] | None]]:
    """Pair what is left over, the likest first."""
    rest = list(extra)
    for one in missing:
        best = min(rest, key=lambda other: len(set(one) ^ set(other)), default=None)
        if best is not None:
            rest.remove(best)
        yield one, best
    for other in rest:
        yield None, other


def _judge(what: str, theirs: tuple[str, ...] | None, ours: tuple[str, ...] | None) -> Verdict:
    if theirs is None:
        return Verdict(what, "different", "only here: " + _first(ours))
    if ours is None:
        return Verdict(what, "different", "only recorded: " + _first(theirs))
    if theirs[-1] == ours[-1] and (_within(theirs, ours) or _within(ours, theirs)):
        return Verdict(what, "merged", _first_difference(theirs, ours))
    return Verdict(what, "different", _first_difference(theirs, ours))


def _within(few: tuple[str, ...], many: tuple[str, ...]) -> bool:
    rest = iter(many)
    return all(state in rest for state in few)


def _first(states: tuple[str, ...] | None) -> str:
    return states[0][:300] if states else ""


def _first_difference(theirs: tuple[str, ...], ours: tuple[str, ...]) -> str:
    for number, (left, right) in enumerate(zip(theirs, ours, strict=False)):
        if left != right:
            return f"state {number + 1}: " + difference(left, right)
    return f"{len(theirs)} states recorded, {len(ours)} here"


def difference(left: str, right: str) -> str:
    """Say where two states (as `neutral` gives them) differ."""
    if "gone" in {left, right}:
        return f"recorded {left[:200]}, here {right[:200]}"
    return "; ".join(_walk(json.loads(left), json.loads(right), ""))[:1500]


def _walk(left: objects.Json, right: objects.Json, path: str) -> Iterable[str]:
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted({*left, *right}):
            if left.get(key) != right.get(key) or (key in left) != (key in right):
                place = f"{path}.{key}" if path else key
                yield from _walk(left.get(key, "<absent>"), right.get(key, "<absent>"), place)
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for number, (one, other) in enumerate(zip(left, right, strict=True)):
            if one != other:
                yield from _walk(one, other, f"{path}[{number}]")
    elif left != right:
        yield f"{path}: recorded {json.dumps(left)}, here {json.dumps(right)}"


def _compare_final(theirs: list[objects.Object], ours: list[objects.Object]) -> Iterable[Verdict]:
    left, right = _by_name(theirs), _by_name(ours)
    for what in sorted({*left, *right}):
        missing = Counter(left.get(what, []))
        extra = Counter(right.get(what, []))
        same = missing & extra
        missing, extra = missing - same, extra - same
        if not missing and not extra:
            yield Verdict(f"final {what}", "same")
            continue
        pairs = _paired([(one,) for one in missing.elements()], [(o,) for o in extra.elements()])
        for one, other in pairs:
            yield _judge(f"final {what}", one, other)


def _by_name(found: list[objects.Object]) -> dict[str, list[str]]:
    named: dict[str, list[str]] = defaultdict(list)
    for obj in found:
        named[f"{obj['kind']}/{_POD.sub('<pod>', obj['metadata']['name'])}"].append(neutral(obj))
    return named


def _compare_events(theirs: list[objects.Object], ours: list[objects.Object]) -> Verdict:
    left, right = {neutral(one) for one in theirs}, {neutral(one) for one in ours}
    if left == right:
        return Verdict("events", "same")
    missing = [_event_line(one) for one in sorted(left - right)]
    extra = [_event_line(one) for one in sorted(right - left)]
    return Verdict("events", "different", f"only recorded: {missing}; only here: {extra}")


def _event_line(text: str) -> str:
    event = json.loads(text)
    about = event["regarding"]
    return (
        f"{event['reason']} x{event['count']}/{event['series']} {about.get('kind')}/"
        f"{about.get('name')} {str(event['message'])[:100]} by {event['reportingController']}"
    )
