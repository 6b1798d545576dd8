"""Durations and timestamps, in whole nanoseconds, as Go reads and prints them."""

from __future__ import annotations

import calendar
import datetime as dt
import functools
import re
import zoneinfo
from decimal import Decimal

from understudy.kube.cel import errors

SECOND_NS = 1_000_000_000
_UNITS_NS = {
    "ns": 1, "us": 1_000, "µs": 1_000, "μs": 1_000, "ms": 1_000_000, "s": SECOND_NS,
    "m": 60 * SECOND_NS, "h": 3600 * SECOND_NS,
}  # fmt: skip
_DURATION = re.compile(r"[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+")
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_TIMESTAMP = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})T(\d{1,2}):(\d{2}):(\d{2})(?:[.,](\d+))?(Z|([+-])(\d{2}):(\d{2}))"
)
_OFFSET = re.compile(r"([+-]?)(\d{1,2}):(\d{2})")
DURATION_MAX_NS = 2**63 - 1
_TIME_MIN_S, _TIME_MAX_S = -62135596800, 253402300799
YEAR_ONE_NS = _TIME_MIN_S * SECOND_NS
"""The first moment of year one, Go's zero time."""


@functools.total_ordering
class Duration:
    """A span of time."""

    __slots__ = ("ns",)

    def __init__(self, ns: int) -> None:
        if not -DURATION_MAX_NS - 1 <= ns <= DURATION_MAX_NS:
            raise errors.EvaluationError("duration overflow")
        self.ns = ns

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Duration) and self.ns == other.ns

    def __lt__(self, other: Duration) -> bool:
        return self.ns < other.ns

    def __hash__(self) -> int:
        return hash(self.ns)

    def __repr__(self) -> str:
        return f"Duration({self})"

    def __str__(self) -> str:
        return format_duration(self.ns)


@functools.total_ordering
class Timestamp:
    """A moment; it remembers the offset it was written with, which counts in text and parts only.

    Attributes:
        ns: Nanoseconds since 1970.
        offset_s: Seconds east of UTC.
    """

    __slots__ = ("ns", "offset_s")

    def __init__(self, ns: int, offset_s: int = 0) -> None:
        if not in_range(ns // SECOND_NS):
            raise errors.EvaluationError("timestamp overflow")
        self.ns = ns
        self.offset_s = offset_s

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Timestamp) and self.ns == other.ns

    def __lt__(self, other: Timestamp) -> bool:
        return self.ns < other.ns

    def __hash__(self) -> int:
        return hash(self.ns)

    def __repr__(self) -> str:
        return f"Timestamp({self})"

    def __str__(self) -> str:
        seconds, fraction = divmod(self.ns, SECOND_NS)
        text = _at(seconds + self.offset_s).strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")
        digits = f"{fraction:09d}".rstrip("0")
        sign, minutes = ("-" if self.offset_s < 0 else "+"), abs(self.offset_s) // 60
        zone = f"{sign}{minutes // 60:02d}:{minutes % 60:02d}" if self.offset_s else "Z"
        return f"{text}.{digits}{zone}" if digits else f"{text}{zone}"

    def moved(self, ns: int) -> Timestamp:
        """Return the moment that many nanoseconds later."""
        return Timestamp(self.ns + ns, self.offset_s)

    def local(self, zone: str | None) -> dt.datetime:
        """Return the wall time in a zone: a name (`Europe/Paris`), an offset (`-08:00`).

        None means the moment's own offset.

        Raises:
            EvaluationError: There is no such zone.
        """
        if zone is None:
            return _at(self.ns // SECOND_NS + self.offset_s)
        return _at(self.ns // SECOND_NS).astimezone(_zone(zone))


def in_range(seconds: int) -> bool:
    """Say whether a moment is in the years 1 to 9999."""
    return _TIME_MIN_S <= seconds <= _TIME_MAX_S


def _at(seconds: int) -> dt.datetime:
    return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=seconds)


def _zone(name: str) -> dt.tzinfo:
    found = _OFFSET.fullmatch(name)
    if found:
        sign = -1 if found[1] == "-" else 1
        return dt.timezone(sign * dt.timedelta(hours=int(found[2]), minutes=int(found[3])))
    try:
        return zoneinfo.ZoneInfo(name or "UTC")
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise errors.EvaluationError(f"unknown time zone {name}") from None


def parse_duration(text: str) -> Duration | None:
    """Read Go's form: `1h30m`, `-1.5s`, `0`; None if it is not of it."""
    if text in {"0", "+0", "-0"}:
        return Duration(0)
    if not _DURATION.fullmatch(text):
        return None
    total = sum(int(Decimal(n) * _UNITS_NS[unit]) for n, unit in _PART.findall(text))
    total = -total if text.startswith("-") else total
    return Duration(total) if abs(total) <= DURATION_MAX_NS else None


def format_duration(ns: int) -> str:
    """Print as Go's `time.Duration.String`: `1h30m0s`, `1.5s`, `250ms`, `0s`."""
    if ns == 0:
        return "0s"
    sign, left = ("-", -ns) if ns < 0 else ("", ns)
    if left < SECOND_NS:
        for unit, size in (("ms", 1_000_000), ("µs", 1_000), ("ns", 1)):
            if left >= size:
                return f"{sign}{_decimal(left, size)}{unit}"
    minutes, rest = divmod(left, 60 * SECOND_NS)
    hours, minutes = divmod(minutes, 60)
    text = f"{_decimal(rest, SECOND_NS)}s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    return f"{sign}{hours}h{text}" if hours else f"{sign}{text}"


def _decimal(value: int, size: int) -> str:
    whole, part = divmod(value, size)
    digits = f"{part:0{len(str(size)) - 1}d}".rstrip("0") if size > 1 else ""
    return f"{whole}.{digits}" if digits else str(whole)


def parse_timestamp(text: str) -> Timestamp | None:
    """Read RFC 3339: `2006-01-02T15:04:05.5+01:00`; None if it is not of it."""
    found = _TIMESTAMP.fullmatch(text)
    if not found:
        return None
    year, month, day, hour, minute, second = (int(found[i]) for i in range(1, 7))
    if not 1 <= month <= 12 or hour > 23 or minute > 59 or second > 59:
        return None
    if not 1 <= day <= (calendar.monthrange(year, month)[1] if year else 31):
        return None
    days = _days(year, month, day)
    seconds = days * 86400 + hour * 3600 + minute * 60 + second
    offset = 0
    if found[8] != "Z":
        offset = int(found[10]) * 3600 + int(found[11]) * 60
        offset = offset if found[9] == "+" else -offset
    seconds -= offset
    fraction = int((found[7] or "0").ljust(9, "0")[:9])
    return Timestamp(seconds * SECOND_NS + fraction, offset) if in_range(seconds) else None


def _days(year: int, month: int, day: int) -> int:
    if year < 1:
        return (_TIME_MIN_S // 86400) - 366
    return dt.date(year, month, day).toordinal() - dt.date(1970, 1, 1).toordinal()


def parse_date(text: str) -> Timestamp | None:
    """Read `2006-01-02` as the start of that day in UTC."""
    return parse_timestamp(f"{text}T00:00:00Z")
