"""Fields that others may change: rules by JSON pointer, and what is applied in their place.

    /spec/replicas                       of every object that has it
    Deployment:/spec/replicas            of every Deployment
    Deployment/web:/spec/replicas        of one

What a rule names is applied as it is in the cluster, so it neither counts as drift nor is put
back. Positions in lists are numbers; `~1` stands for `/` in a key and `~0` for `~` (RFC 6901).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from understudy.delivery import errors, fields
from understudy.kube import objects

_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Rule:
    """One field; `kind` and `name` are empty where any will do."""

    kind: str
    name: str
    steps: tuple[str, ...]

    def concerns(self, obj: objects.Object) -> bool:
        """Whether it speaks of this object."""
        return self.kind in ("", obj.get("kind")) and self.name in ("", objects.name_of(obj))


def parse(texts: Iterable[str]) -> tuple[Rule, ...]:
    """Read rules.

    Raises:
        ManifestError: With a sentence for each that is none.
    """
    rules: list[Rule] = []
    complaints: list[str] = []
    for text in texts:
        about, slash, pointer = text.partition("/") if text.startswith("/") else _parted(text)
        kind, _, name = about.partition("/")
        if not slash or not pointer or pointer.split("/")[0] in ("apiVersion", "kind"):
            complaints.append(
                f"--ignore {text}: is no rule; write /spec/replicas, Deployment:/spec/replicas or "
                "Deployment/web:/spec/replicas"
            )
            continue
        steps = (step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/"))
        rules.append(Rule(kind, name, tuple(steps)))
    if complaints:
        raise errors.ManifestError(complaints)
    return tuple(rules)


def _parted(text: str) -> tuple[str, str, str]:
    about, slash, pointer = text.partition(":/")
    return about, slash, pointer


def keep(wanted: objects.Object, live: objects.Object, rules: Iterable[Rule], manager: str) -> None:
    """Put what is live into the fields of `wanted`, in place, that a rule names and it has.

    A field that `manager` lost to somebody else is left out instead: it is not to be taken back.
    """
    for rule in rules:
        if not rule.concerns(wanted):
            continue
        holder: objects.Json = _at(wanted, rule.steps[:-1])
        if _at(holder, rule.steps[-1:]) is _ABSENT:
            continue
        value, last = _at(live, rule.steps), rule.steps[-1]
        if isinstance(holder, list):
            if value is not _ABSENT:
                holder[int(last)] = objects.copy(value)
        elif value is _ABSENT or not _owns(fields.entry_of(live, manager), rule.steps):
            _drop(wanted, rule.steps)
        else:
            holder[last] = objects.copy(value)


def _owns(tree: objects.Object | None, steps: tuple[str, ...]) -> bool:
    """Whether a tree of owned fields has a field; in a list it is taken to."""
    if tree is None:
        return False
    for step in steps:
        if not any(key.startswith("f:") for key in tree):
            return True
        if f"f:{step}" not in tree:
            return False
        tree = tree[f"f:{step}"]
    return True


def _drop(value: objects.Object, steps: tuple[str, ...]) -> None:
    """Remove a field, and the mappings that are empty without it."""
    for depth in range(len(steps), 0, -1):
        holder = _at(value, steps[: depth - 1])
        if depth < len(steps) and holder is not _ABSENT and _at(holder, steps[depth - 1 : depth]):
            return
        if not isinstance(holder, dict):
            return
        del holder[steps[depth - 1]]


def _at(value: objects.Json, steps: tuple[str, ...]) -> objects.Json:
    for step in steps:
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return _ABSENT
    return value
