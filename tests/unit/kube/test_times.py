"""Times are read and refused as Go's time package does."""

import pytest

from understudy.kube import times

LAYOUT = '"2006-01-02T15:04:05Z07:00"'


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("2020-01-02T03:04:05Z", "2020-01-02T03:04:05Z"),
        ("2020-01-02T03:04:05.999Z", "2020-01-02T03:04:05Z"),
        ("2020-01-02T03:04:05+05:30", "2020-01-01T21:34:05Z"),
        ("2020-01-02T3:04:05Z", "2020-01-02T03:04:05Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("2020-02-29T00:00:00Z", "2020-02-29T00:00:00Z"),
    ],
)
def test_a_time_is_kept_in_utc_and_whole_seconds(text, stored):
    assert times.canonical(text) == stored


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("yesterday", f' as {LAYOUT}: cannot parse "yesterday" as "2006"'),
        ("", f' as {LAYOUT}: cannot parse "" as "2006"'),
        ("2020-13-02T03:04:05Z", ": month out of range"),
        ("2021-02-29T03:04:05Z", ": day out of range"),
        ("2020-01-02T24:04:05Z", ": hour out of range"),
        ("2020-01-02T03:60:05Z", ": minute out of range"),
        ("2020-01-02T03:04:60Z", ": second out of range"),
        ("2020-01-02 03:04:05Z", f' as {LAYOUT}: cannot parse " 03:04:05Z" as "T"'),
        ("2020-01-02T03:04:05", f' as {LAYOUT}: cannot parse "" as "Z07:00"'),
        ("2020-01-02T03:04:05Zx", ': extra text: "x"'),
        ("2020-1-02T03:04:05Z", f' as {LAYOUT}: cannot parse "1-02T03:04:05Z" as "01"'),
    ],
)
def test_what_is_no_time_is_refused_in_gos_words(text, problem):
    with pytest.raises(ValueError, match="parsing time") as raised:
        times.canonical(text)
    assert str(raised.value) == f'parsing time "{text}"{problem}'


def test_a_micro_time_has_exactly_six_digits():
    assert times.canonical_micro("2020-01-02T03:04:05.123456+01:00") == (
        "2020-01-02T02:04:05.123456Z"
    )
    with pytest.raises(ValueError, match=r'cannot parse "\.5Z" as "\.000000"'):
        times.canonical_micro("2020-01-02T03:04:05.5Z")
