"""Cron schedules and time zones: what is one, and what is wrong with what is not.

Source: github.com/robfig/cron/v3 (parser.go, ParseStandard), read for its texts.
"""

from __future__ import annotations

import re
import zoneinfo

_DESCRIPTORS = frozenset(
    {"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"}
)
_MONTHS = {
    name: index + 1
    for index, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
    )
}
_DAYS = {
    name: index for index, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))
}
_FIELDS: tuple[tuple[int, int, dict[str, int]], ...] = (
    (0, 59, {}), (0, 23, {}), (1, 31, {}), (1, 12, _MONTHS), (0, 6, _DAYS),
)  # fmt: skip
_DURATION = re.compile(r"[-+]?(\d+(\.\d*)?(ns|us|µs|ms|s|m|h))+|0")


def complaint(schedule: str) -> str:
    """Return what is wrong with a schedule, or nothing."""
    if not schedule:
        return "empty spec string"
    if schedule.startswith(("TZ=", "CRON_TZ=")):
        head, space, rest = schedule.partition(" ")
        zone = head.partition("=")[2]
        if not is_time_zone(zone):
            return f"provided bad location {zone}: unknown time zone {zone}"
        schedule = rest.strip() if space else ""
    if schedule.startswith("@"):
        return _descriptor(schedule)
    parts = schedule.split()
    if len(parts) != 5:
        return f"expected exactly 5 fields, found {len(parts)}: [{' '.join(parts)}]"
    for part, (low, high, words) in zip(parts, _FIELDS, strict=True):
        for item in part.split(","):
            if text := _range(item, low, high, words):
                return text
    return ""


def _descriptor(text: str) -> str:
    if text in _DESCRIPTORS:
        return ""
    if text.startswith("@every "):
        duration = text.removeprefix("@every ")
        if _DURATION.fullmatch(duration):
            return ""
        return f'failed to parse duration {text}: time: invalid duration "{duration}"'
    return f"unrecognized descriptor: {text}"


def _range(item: str, low: int, high: int, words: dict[str, int]) -> str:
    base, *steps = item.split("/")
    ends = base.split("-")
    start, end = low, high
    if ends[0] not in {"*", "?"}:
        numbers: list[int] = []
        for one in ends[:2]:
            number, text = _number(one, words)
            if text:
                return text
            numbers.append(number)
        if len(ends) > 2:
            return f"too many hyphens: {item}"
        start, end = numbers[0], numbers[-1]
    if len(steps) > 1:
        return f"too many slashes: {item}"
    step = 1
    if steps:
        step, text = _number(steps[0], {})
        if text:
            return text
        if len(ends) == 1 and ends[0] not in {"*", "?"}:
            end = high
    if start < low:
        return f"beginning of range ({start}) below minimum ({low}): {item}"
    if end > high:
        return f"end of range ({end}) above maximum ({high}): {item}"
    if start > end:
        return f"beginning of range ({start}) beyond end of range ({end}): {item}"
    if step == 0:
        return f"step of range should be a positive number: {item}"
    return ""


def _number(text: str, words: dict[str, int]) -> tuple[int, str]:
    if text.lower() in words:
        return words[text.lower()], ""
    digits = text.removeprefix("-").removeprefix("+")
    if not digits.isascii() or not digits.isdigit():
        why = f'strconv.Atoi: parsing "{text}": invalid syntax'
        return 0, f"failed to parse int from {text}: {why}"
    number = int(text)
    if number < 0:
        return 0, f"negative number ({number}) not allowed: {text}"
    return number, ""


def is_time_zone(name: str) -> bool:
    """Say whether the time zone database knows a name."""
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return name in {"", "Local"}
    return True
