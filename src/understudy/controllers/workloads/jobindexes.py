"""Completion indexes of Indexed Jobs: `0-2,5` and back, and which are still to do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from understudy.kube import objects

INDEX: Final = "batch.kubernetes.io/job-completion-index"


def parse(text: str, completions: int) -> set[int]:
    """Parse `0-2,5` into {0, 1, 2, 5}, without the indexes from `completions` on."""
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if first:
            end = min(int(last if dash else first) + 1, completions)
            found.update(range(int(first), end))
    return found


def write(indexes: Iterable[int]) -> str:
    """Write indexes as intervals, two neighbours apart: {0, 1} is `0,1`, {0, 1, 2} is `0-2`."""
    parts: list[str] = []
    run: list[int] = []
    for index in [*sorted(indexes), None]:
        if run and index is not None and index == run[-1] + 1:
            run.append(index)
            continue
        if len(run) > 2:
            parts.append(f"{run[0]}-{run[-1]}")
        else:
            parts.extend(str(one) for one in run)
        run = [index] if index is not None else []
    return ",".join(parts)


def index_of(pod: objects.Object) -> int | None:
    """Return a pod's completion index, None if it has none."""
    text = objects.annotations_of(pod).get(INDEX)
    return int(text) if text is not None and text.isdigit() else None


def first_pending(count: int, completions: int, taken: set[int]) -> list[int]:
    """Return the lowest indexes that are neither done nor being worked on."""
    found: list[int] = []
    for index in range(completions):
        if len(found) >= count:
            break
        if index not in taken:
            found.append(index)
    return found
