"""Cron schedules."""

from __future__ import annotations

import datetime as dt

import pytest

from understudy.controllers.workloads import schedules


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("schedule", "moment", "expected"),
    [
        ("* * * * *", "2026-01-01T00:00:30", "2026-01-01T00:01:00"),
        ("* * * * *", "2026-01-01T00:01:00", "2026-01-01T00:02:00"),
        ("*/15 * * * *", "2026-01-01T00:16:00", "2026-01-01T00:30:00"),
        ("30 3 * * *", "2026-01-01T04:00:00", "2026-01-02T03:30:00"),
        ("0 0 29 2 *", "2026-01-01T00:00:00", "2028-02-29T00:00:00"),
        ("0 9 * * mon-fri", "2026-01-02T10:00:00", "2026-01-05T09:00:00"),
        ("0 0 1 jan,jul *", "2026-02-01T00:00:00", "2026-07-01T00:00:00"),
        ("0 0 13 * fri", "2026-01-03T00:00:00", "2026-01-09T00:00:00"),
        ("5/20 * * * *", "2026-01-01T00:06:00", "2026-01-01T00:25:00"),
        ("@hourly", "2026-01-01T00:10:00", "2026-01-01T01:00:00"),
        ("@weekly", "2026-01-01T00:00:00", "2026-01-04T00:00:00"),
        ("@every 1h30m", "2026-01-01T00:00:00", "2026-01-01T01:30:00"),
    ],
)
def test_the_next_run(schedule: str, moment: str, expected: str) -> None:
    assert schedules.parse(schedule).after(at(moment)) == at(expected)


def test_a_date_that_never_comes_has_no_next_run() -> None:
    assert schedules.parse("0 0 30 2 *").after(at("2026-01-01T00:00:00")) is None


def test_times_are_those_of_the_zone() -> None:
    schedule = schedules.parse("30 8 * * *", "America/New_York")
    assert schedule.after(at("2026-01-01T00:00:00")) == at("2026-01-01T13:30:00")
    assert schedule.after(at("2026-07-01T00:00:00")) == at("2026-07-01T12:30:00")


def test_an_hour_that_the_clocks_skip_is_not_run() -> None:
    schedule = schedules.parse("30 2 * * *", "America/New_York")
    assert schedule.after(at("2026-03-08T05:00:00")) == at("2026-03-09T06:30:00")


@pytest.mark.parametrize(
    "schedule", ["* * * *", "60 * * * *", "a * * * *", "5-1 * * * *", "*/0 * * * *"]
)
def test_what_is_no_schedule_is_refused(schedule: str) -> None:
    with pytest.raises(schedules.ScheduleError):
        schedules.parse(schedule)


def test_an_unknown_zone_is_refused() -> None:
    with pytest.raises(schedules.ScheduleError, match="unknown time zone Mars/Base"):
        schedules.parse("* * * * *", "Mars/Base")
