"""Cron schedules: when a CronJob is due next.

    minute hour day-of-month month day-of-week        e.g. `*/5 8-18 * * mon-fri`
    @hourly @daily @midnight @weekly @monthly @yearly @annually, @every 1h30m

If both days are restricted, either suffices. Times are those of the schedule's zone; a time that a
change of clocks skips is not run, one that it repeats is run once.
Source: github.com/robfig/cron/v3, spec.go.
"""

from __future__ import annotations

import datetime as dt
import re
import zoneinfo
from dataclasses import dataclass
from typing import Final

_NAMES: Final = {
    name: str(number)
    for names, first in (
        (("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1),
        (("sun", "mon", "tue", "wed", "thu", "fri", "sat"), 0),
    )
    for number, name in enumerate(names, start=first)
}
_DESCRIPTORS: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_BOUNDS: Final = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
_PART = re.compile(r"(\d+(?:\.\d*)?)(ns|us|µs|ms|s|m|h)")
_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
YEARS_MAX: Final = 5
"""A schedule without a date in the next five years (30 February) has none."""


class ScheduleError(ValueError):
    """A schedule or zone that cannot be understood."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A parsed schedule.

    Attributes:
        fields: The allowed minutes, hours, days, months and weekdays.
        either_day: One of the two day fields suffices (both are restricted).
        every_s: Seconds between runs of `@every`, 0 otherwise.
        zone: Where its times are told.
    """

    fields: tuple[frozenset[int], ...]
    either_day: bool
    every_s: float
    zone: zoneinfo.ZoneInfo | dt.timezone

    def after(self, moment: dt.datetime) -> dt.datetime | None:
        """Return the first run after a moment (UTC), None if there is none in five years."""
        if self.every_s:
            start = moment.replace(microsecond=0)
            return start + dt.timedelta(seconds=max(1.0, self.every_s))
        local = moment.astimezone(self.zone).replace(second=0, microsecond=0, tzinfo=None)
        local += dt.timedelta(minutes=1)
        last_year = local.year + YEARS_MAX
        while local.year <= last_year:
            step = self._step(local)
            if step is None:
                found = local.replace(tzinfo=self.zone).astimezone(dt.UTC)
                back = found.astimezone(self.zone).replace(tzinfo=None)
                if back == local and found > moment:
                    return found
                step = local + dt.timedelta(minutes=1)
            local = step
        return None

    def _step(self, local: dt.datetime) -> dt.datetime | None:
        """Return the next time worth a look, None if this one is a run."""
        minutes, hours, _, months, _ = self.fields
        if local.month not in months:
            first = local.replace(day=1, hour=0, minute=0)
            return (first + dt.timedelta(days=32)).replace(day=1)
        if not self._is_day(local):
            return local.replace(hour=0, minute=0) + dt.timedelta(days=1)
        if local.hour not in hours:
            return local.replace(minute=0) + dt.timedelta(hours=1)
        if local.minute not in minutes:
            return local + dt.timedelta(minutes=1)
        return None

    def _is_day(self, local: dt.datetime) -> bool:
        _, _, days, _, weekdays = self.fields
        in_month = local.day in days
        in_week = (local.weekday() + 1) % 7 in weekdays
        return (in_month or in_week) if self.either_day else (in_month and in_week)


def parse(text: str, zone_name: str = "") -> Schedule:
    """Parse a schedule; `zone_name` is spec.timeZone, UTC if empty.

    Raises:
        ScheduleError: It cannot be understood.
    """
    zone: zoneinfo.ZoneInfo | dt.timezone = dt.UTC
    if text.startswith(("TZ=", "CRON_TZ=")):
        head, _, text = text.partition(" ")
        zone_name = zone_name or head.partition("=")[2]
    if zone_name:
        zone = zone_of(zone_name)
    text = text.strip()
    if text.startswith("@every "):
        length_s = sum(float(n) * _UNITS[unit] for n, unit in _PART.findall(text))
        return Schedule((), either_day=False, every_s=length_s, zone=zone)
    parts = _DESCRIPTORS.get(text, text).lower().split()
    if len(parts) != len(_BOUNDS):
        raise ScheduleError(f"expected exactly 5 fields, found {len(parts)}: {text}")
    fields = tuple(_field(part, *bounds) for part, bounds in zip(parts, _BOUNDS, strict=True))
    either = not any(parts[place].startswith(("*", "?")) for place in (2, 4))
    return Schedule(fields, either_day=either, every_s=0.0, zone=zone)


def zone_of(name: str) -> zoneinfo.ZoneInfo | dt.timezone:
    """Return a zone by its name in the IANA database, UTC for an empty one.

    Raises:
        ScheduleError: There is none of that name.
    """
    if name in {"", "UTC", "Etc/UTC"}:
        return dt.UTC
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ScheduleError(f"unknown time zone {name}") from error


def _field(text: str, low: int, high: int) -> frozenset[int]:
    allowed: set[int] = set()
    for item in text.split(","):
        span, slash, step = item.partition("/")
        first, dash, last = span.partition("-")
        try:
            if first in {"*", "?"}:
                begin, end = low, high
            else:
                begin = int(_NAMES.get(first, first))
                end = int(_NAMES.get(last, last)) if dash else high if slash else begin
            stride = int(step) if slash else 1
        except ValueError as error:
            raise ScheduleError(f"failed to parse {item!r} in a schedule") from error
        if begin < low or end > high or begin > end or stride < 1:
            raise ScheduleError(f"{item!r} is out of range in a schedule")
        allowed.update(range(begin, end + 1, stride))
    return frozenset(allowed)
