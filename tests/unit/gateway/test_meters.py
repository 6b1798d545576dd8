"""Averages over windows, by hand-written times."""

from __future__ import annotations

import pytest

from understudy.controllers.runtime.gateway.meters import Meter


def measured(meter, metric, now_s, window_s=60.0):
    return round(meter.average(metric, window_s, now_s), 3)


def test_nothing_asked_is_zero():
    assert measured(Meter(), "concurrency", 10.0) == 0
    assert measured(Meter(), "rps", 10.0) == 0


def test_concurrency_is_averaged_over_what_was_measured_so_far():
    meter = Meter()
    meter.average("concurrency", 60.0, 100.0)
    for _ in range(10):
        meter.begin(100.0)
    assert measured(meter, "concurrency", 104.0) == 10
    for _ in range(10):
        meter.end(104.0)
    assert measured(meter, "concurrency", 108.0) == 5


def test_the_first_second_counts_as_a_whole():
    meter = Meter()
    meter.average("concurrency", 60.0, 100.0)
    for _ in range(10):
        meter.begin(100.0)
    assert measured(meter, "concurrency", 100.1) == 1


def test_what_lies_before_the_window_is_forgotten():
    meter = Meter()
    meter.average("concurrency", 60.0, 0.0)
    meter.begin(0.0)
    for second in range(1, 100):
        measured(meter, "concurrency", float(second))
    meter.end(100.0)
    assert measured(meter, "concurrency", 130.0) == 0.5
    assert measured(meter, "concurrency", 160.0) == 0
    assert measured(meter, "concurrency", 130.0 + 60, 6.0) == 0


def test_requests_per_second_count_arrivals():
    meter = Meter()
    meter.average("rps", 60.0, 0.0)
    for hundredth in range(1000):
        meter.begin(hundredth / 100)
        meter.end(hundredth / 100 + 0.005)
    assert measured(meter, "rps", 10.0) == pytest.approx(100, rel=0.02)
    assert measured(meter, "rps", 10.0, 6.0) == pytest.approx(100, rel=0.02)
    assert measured(meter, "rps", 16.0, 6.0) == pytest.approx(0, abs=1)


def test_after_a_silence_measuring_begins_anew():
    meter = Meter()
    meter.average("concurrency", 6.0, 0.0)
    meter.begin(0.0)
    meter.end(1.0)
    meter.begin(100.0)
    assert measured(meter, "concurrency", 102.0, 6.0) == 1


def test_memory_is_bounded_by_the_window():
    meter = Meter()
    meter.average("concurrency", 60.0, 0.0)
    for second in range(10_000):
        meter.begin(float(second))
        meter.end(second + 0.5)
    assert len(meter._history) < 70
