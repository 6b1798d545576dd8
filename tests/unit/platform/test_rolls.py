"""Who is connected where, as buses say it."""

from dataclasses import replace

import pytest

from understudy.aio import clocks
from understudy.platform.bus import rolls

SAID = rolls.Announcement(
    instance="a", connection="c1", epoch=5, bus="far", clock_s=100.0, heartbeat_s=5.0
)


@pytest.fixture
def clock():
    return clocks.ManualClock()


@pytest.fixture
def roll(clock):
    return rolls.Roll("near", clock)


def test_an_agent_is_lost_when_two_heartbeats_did_not_come(roll, clock):
    assert roll.hear(SAID)
    clock.advance(10)
    assert roll.presence("a").state == "connected"
    clock.advance(0.1)
    found = roll.presence("a")
    assert (found.state, found.reason) == ("lost", "nothing was heard of it for 10.1 s")
    assert found.last_seen == "2026-01-01T00:00:00Z"
    assert roll.connected("a") is None
    assert roll.hear(SAID), "that it is back is news"
    assert not roll.hear(SAID)


def test_of_ones_own_connections_no_word_is_needed(roll, clock):
    roll.hear(replace(SAID, bus="near"))
    clock.advance(1000)
    found = roll.presence("a")
    assert (found.state, found.last_seen) == ("connected", "2026-01-01T00:16:40Z")


@pytest.mark.parametrize(
    ("newer", "wins"),
    [
        (replace(SAID, connection="c2", epoch=6), True),
        (replace(SAID, connection="c2"), True),
        (replace(SAID, connection="c0"), False),
        (replace(SAID, connection="c2", epoch=4), False),
        (replace(SAID, connection="c2", epoch=4, left=True), False),
    ],
)
def test_the_newest_connection_wins(roll, newer, wins):
    roll.hear(SAID)
    assert roll.hear(newer) is wins
    assert roll.connected("a") == (newer if wins else SAID)


def test_the_end_of_a_connection_is_final(roll):
    roll.hear(SAID)
    assert roll.hear(replace(SAID, left=True, reason="closed"))
    assert not roll.hear(SAID), "an announcement that was overtaken"
    found = roll.presence("a")
    assert (found.state, found.reason, found.epoch) == ("lost", "closed", 5)


def test_epochs_grow_with_the_time_and_with_what_is_known(roll, clock):
    now_ms = int(clock.now().timestamp() * 1000)
    assert roll.next_epoch("a") == now_ms
    roll.hear(replace(SAID, epoch=now_ms + 7))
    assert roll.next_epoch("a") == now_ms + 8


def test_a_deadline_by_the_other_clock_is_never_later_than_by_ours(roll, clock):
    roll.hear(SAID)
    clock.advance(5)
    # This one was held up for two seconds: its clock was at 105 when it was sent.
    clock.advance(2)
    roll.hear(replace(SAID, clock_s=105.0))
    assert roll.until_s("a", 10) == 117.0
    clock.advance(1)
    roll.hear(replace(SAID, connection="c2", epoch=9, clock_s=3.0))
    assert roll.until_s("a", 10) == 13.0, "another connection has another clock"


def test_no_more_instances_are_remembered_than_may_be(roll, clock, monkeypatch):
    monkeypatch.setattr(rolls, "INSTANCES_MAX", 2)
    roll.hear(SAID)
    clock.advance(11)
    for name in "bc":
        roll.hear(replace(SAID, instance=name))
    assert list(roll) == ["b", "c"]
