"""One codec turns records into JSON and back."""

import dataclasses
import datetime as dt
import enum

import pytest

from understudy.kube import objects, records


class Colour(enum.StrEnum):
    RED = "RED"
    GREEN = "GREEN"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inner:
    amount: int = 0
    note: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outer:
    name: str
    is_big: bool = False
    ratio: float = 0.0
    colour: Colour = Colour.RED
    inner: Inner | None = None
    items: tuple[Inner, ...] = ()
    labels: dict[str, str] = dataclasses.field(default_factory=dict)
    anything: objects.Json = None
    long_wait: dt.timedelta | None = None
    created_at: dt.datetime | None = None


FULL = Outer(
    name="x",
    is_big=True,
    ratio=0.5,
    colour=Colour.GREEN,
    inner=Inner(amount=3, note=""),
    items=(Inner(), Inner(amount=1)),
    labels={"a": "b"},
    anything=[1, {"deep": None}],
    long_wait=dt.timedelta(seconds=90),
    created_at=dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC),
)


def test_a_full_record_survives_the_round_trip():
    text = records.to_json(FULL)
    assert text["longWait"] == "90s"
    assert text["createdAt"] == "2026-01-02T03:04:05Z"
    assert records.from_json(Outer, text) == FULL


def test_what_has_its_default_is_left_out_but_what_is_required_is_not():
    assert records.to_json(Outer(name="")) == {"name": ""}


def test_both_spellings_of_a_field_and_both_of_an_enum_are_read():
    assert records.from_json(Outer, {"name": "x", "is_big": True, "colour": "COLOUR_GREEN"}) == (
        Outer(name="x", is_big=True, colour=Colour.GREEN)
    )


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, "name: is required"),
        ({"name": 3}, "name: expected text, got 3"),
        ({"name": "x", "isBig": "yes"}, 'isBig: expected true or false, got "yes"'),
        ({"name": "x", "items": [{"amount": True}]}, "items[0].amount: expected a whole number"),
        ({"name": "x", "items": {}}, "items: expected a list, got {}"),
        ({"name": "x", "inner": {"amont": 1}}, "inner.amont: no such field"),
        ({"name": "x", "colour": "BLUE"}, 'colour: "BLUE" is not one of RED, GREEN'),
        ({"name": "x", "longWait": "soon"}, "longWait: 'soon' is not a duration"),
        ({"name": "x", "createdAt": "today"}, 'createdAt: "today" is not an RFC 3339 time'),
        (["x"], 'expected a mapping, got ["x"]'),
    ],
)
def test_what_does_not_fit_is_named_by_its_path(value, message):
    with pytest.raises(records.RecordError) as caught:
        records.from_json(Outer, value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (90, "1m30s"), (300, "5m0s"), (3600, "1h0m0s"), (0, "0s"), (0.5, "500ms"), (6, "6s"),
        (-1, "-1s"), (3661.5, "1h1m1.5s"), (0.000002, "2µs"), (0.0015, "1.5ms"),
    ],
)  # fmt: skip
def test_durations_print_as_go_prints_them_and_are_read_back(seconds, text):
    value = dt.timedelta(seconds=seconds)
    assert records.go_duration(value) == text
    assert records.parse_duration(text) == value


@pytest.mark.parametrize("text", ["", "1", "s", "1 s", "1m 2s", "1d", "one"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="is not a duration"):
        records.parse_duration(text)


def test_equal_values_have_one_digest_whatever_the_order():
    assert records.digest({"a": 1, "b": [2, "ä"]}) == records.digest({"b": [2, "ä"], "a": 1})
