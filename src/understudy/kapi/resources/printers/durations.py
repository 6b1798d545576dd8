"""Elapsed time as Kubernetes prints it for people: `5s`, `3m20s`, `2d4h`, `26y`."""

from __future__ import annotations

import datetime as dt

_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86_400, 365 * 86_400


def human(seconds: float) -> str:
    """Format a duration, the coarser the longer it is (apimachinery `duration.HumanDuration`).

    Examples: 119 -> `119s`, 200 -> `3m20s`, 700 -> `11m`, 90000 -> `25h`, 200000 -> `2d7h`.
    A duration up to a second in the future prints as `0s`, a longer one as `<invalid>`.
    """
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 0:
        return "0s"
    if whole < 2 * _MINUTE:
        return f"{whole}s"
    minutes = whole // _MINUTE
    if minutes < 10:
        return _pair(minutes, "m", whole % _MINUTE, "s")
    if minutes < 3 * 60:
        return f"{minutes}m"
    hours = whole // _HOUR
    if hours < 8:
        return _pair(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    return _days(whole, hours)


def _days(whole: int, hours: int) -> str:
    days = whole // _DAY
    if hours < 8 * 24:
        return _pair(days, "d", hours % 24, "h")
    if days < 2 * 365:
        return f"{days}d"
    years = whole // _YEAR
    if days < 8 * 365:
        return _pair(years, "y", days % 365, "d")
    return f"{years}y"


def _pair(big: int, big_unit: str, small: int, small_unit: str) -> str:
    return f"{big}{big_unit}{small}{small_unit}" if small else f"{big}{big_unit}"


def parse(moment: object) -> dt.datetime | None:
    """Parse a metav1.Time or MicroTime; None where it is absent or malformed."""
    if not isinstance(moment, str) or not moment:
        return None
    try:
        parsed = dt.datetime.fromisoformat(moment)
    except ValueError:
        return None
    return parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=dt.UTC)


def since(moment: object, now: dt.datetime) -> str:
    """Format the time passed since a timestamp; `<unknown>` where there is none."""
    parsed = parse(moment)
    return human((now - parsed).total_seconds()) if parsed is not None else "<unknown>"


def between(start: object, end: object) -> str:
    """Format the time between two timestamps; empty where one is missing."""
    first, last = parse(start), parse(end)
    return human((last - first).total_seconds()) if first is not None and last is not None else ""
