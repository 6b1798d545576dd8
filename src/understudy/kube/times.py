"""Times as Kubernetes writes them: RFC 3339 in UTC, of seconds (Time) or microseconds (MicroTime).

What is accepted, and the words of what is refused, are those of Go's `time.Parse`.
"""

from __future__ import annotations

import datetime as dt
import functools
import re

from understudy.kube import goformats

SECONDS_LAYOUT = "2006-01-02T15:04:05Z07:00"
MICROSECONDS_LAYOUT = "2006-01-02T15:04:05.000000Z07:00"


_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$")


def seconds_of(text: str) -> float | None:
    """Return the seconds of a duration in whole units (`90s`, `15m`, `1h30m`); None of others."""
    match = _DURATION.match(text)
    if not text or match is None:
        return None
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return float(hours * 3600 + minutes * 60 + seconds)


def moment(text: str) -> dt.datetime:
    """Return the moment that an RFC 3339 time names.

    Raises:
        ValueError: With Go's words, e.g. `parsing time "x" as "2006-...": cannot parse "x" as ...`.
    """
    return _Parser(text, SECONDS_LAYOUT).parse()


@functools.lru_cache(maxsize=1024)
def canonical(text: str) -> str:
    """Return a metav1.Time as it is stored, e.g. `2020-01-01T02:00:00+02:00` in UTC.

    Raises:
        ValueError: With Go's words, e.g. `parsing time "x" as "2006-...": cannot parse "x" as ...`.
    """
    if len(text) == 20 and text[10] == "T" and text[13] == ":" and text[19] == "Z":
        try:
            dt.datetime.fromisoformat(text)
        except ValueError:
            pass
        else:
            return text
    return moment(text).strftime("%Y-%m-%dT%H:%M:%SZ").rjust(20, "0")


@functools.lru_cache(maxsize=1024)
def canonical_micro(text: str) -> str:
    """Return a metav1.MicroTime as it is stored: exactly six digits of a second, in UTC.

    Raises:
        ValueError: With Go's words.
    """
    found = _Parser(text, MICROSECONDS_LAYOUT).parse()
    return found.strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")


class _Parser:
    """Reads one time by a layout, field after field, and complains as Go does."""

    def __init__(self, text: str, layout: str) -> None:
        self._text = text
        self._layout = layout
        self._rest = text

    def parse(self) -> dt.datetime:
        year = self._year()
        self._literal("-")
        month = self._number("01", 1, 12, "month")
        self._literal("-")
        day = self._number("02", 0, 99, "day")
        self._literal("T")
        hour = self._number("15", 0, 23, "hour", fixed=False)
        self._literal(":")
        minute = self._number("04", 0, 59, "minute")
        self._literal(":")
        second = self._number("05", 0, 59, "second")
        microsecond = self._fraction()
        offset_s = self._zone()
        if self._rest:
            raise self._complaint(f": extra text: {goformats.quoted(self._rest)}")
        if day < 1 or day > _days_in(month, year):
            raise self._complaint(": day out of range")
        try:
            moment = dt.datetime(year, month, day, hour, minute, second, microsecond, tzinfo=dt.UTC)
            return moment - dt.timedelta(seconds=offset_s)
        except (ValueError, OverflowError):
            # Differs: Go's years begin at 0, Python's at 1; no object was made in either.
            raise self._complaint(": year out of range") from None

    def _complaint(self, message: str) -> ValueError:
        return ValueError(f"parsing time {goformats.quoted(self._text)}{message}")

    def _unparsable(self, rest: str, element: str) -> ValueError:
        return self._complaint(
            f" as {goformats.quoted(self._layout)}"
            f": cannot parse {goformats.quoted(rest)} as {goformats.quoted(element)}"
        )

    def _literal(self, prefix: str) -> None:
        if not self._rest.startswith(prefix):
            raise self._unparsable(self._rest, prefix)
        self._rest = self._rest[len(prefix) :]

    def _year(self) -> int:
        first = self._rest[:4]
        if len(first) < 4 or not _is_digits(first):
            raise self._unparsable(self._rest, "2006")
        self._rest = self._rest[4:]
        return int(first)

    def _number(self, element: str, least: int, most: int, what: str, *, fixed: bool = True) -> int:
        width = 2 if _is_digits(self._rest[:2]) and len(self._rest) > 1 else 1
        if not _is_digits(self._rest[:width]) or (fixed and width == 1):
            raise self._unparsable(self._rest, element)
        found = int(self._rest[:width])
        self._rest = self._rest[width:]
        if not least <= found <= most:
            raise self._complaint(f": {what} out of range")
        return found

    def _fraction(self) -> int:
        if self._layout == MICROSECONDS_LAYOUT:
            digits = self._rest[1:7]
            if len(digits) < 6 or self._rest[0] not in ".," or not _is_digits(digits):
                raise self._unparsable(self._rest, ".000000")
            self._rest = self._rest[7:]
            return int(digits)
        if self._rest[:1] in {".", ","} and _is_digits(self._rest[1:2]):
            end = 1
            while _is_digits(self._rest[end : end + 1]):
                end += 1
            digits, self._rest = self._rest[1:end], self._rest[end:]
            return int(digits[:6].ljust(6, "0"))
        return 0

    def _zone(self) -> int:
        """Return the offset from UTC in seconds."""
        if self._rest.startswith("Z"):
            self._rest = self._rest[1:]
            return 0
        held = zone = self._rest[:6]
        if len(zone) < 6 or zone[3] != ":" or not _is_digits(zone[1:3] + zone[4:6]):
            raise self._unparsable(self._rest, "Z07:00")
        hours, minutes = int(zone[1:3]), int(zone[4:6])
        self._rest = self._rest[6:]
        if hours > 24:
            raise self._complaint(": time zone offset hour out of range")
        if minutes > 60:
            raise self._complaint(": time zone offset minute out of range")
        if zone[0] not in "+-":
            raise self._unparsable(held + self._rest, "Z07:00")
        seconds = hours * 3600 + minutes * 60
        return -seconds if zone[0] == "-" else seconds


def _is_digits(text: str) -> bool:
    return bool(text) and text.isascii() and text.isdigit()


def _days_in(month: int, year: int) -> int:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month in {4, 6, 9, 11} else 31
