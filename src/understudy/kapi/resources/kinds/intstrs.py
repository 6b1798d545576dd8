"""Numbers that may be percentages: `3` or `25%`.

Source: pkg/apis/apps/validation @1.36.
"""

from __future__ import annotations

import re

from understudy.kube import causes, names, objects, statuses

Causes = list[statuses.Cause]

_PERCENT = re.compile("[0-9]+%")


def nonnegative(value: objects.Json, field: str) -> Causes:
    """Check that a value is a number of at least 0, or a percentage."""
    if isinstance(value, str):
        return causes.complaints(field, value, names.percent(value))
    if value < 0:
        return [causes.invalid(field, value, causes.NEGATIVE)]
    return []


def at_most_100_percent(value: objects.Json, field: str) -> Causes:
    """Check that a percentage is not above 100."""
    if isinstance(value, str) and _PERCENT.fullmatch(value) and int(value[:-1]) > 100:
        return [causes.invalid(field, value, "must not be greater than 100%")]
    return []


def amount(value: objects.Json) -> int:
    """Return the number, or the percentage as a number; 0 where it is neither."""
    if isinstance(value, str):
        return int(value[:-1]) if _PERCENT.fullmatch(value) else 0
    return int(value or 0)
