"""Messages in frames: whole, in turns, and never more than fits."""

import itertools
import zlib

import pytest
from hypothesis import given, strategies as st

from understudy.platform import errors, links
from understudy.platform.bus import wire

MESSAGES = [
    links.Hello(agent="p", version="1", methods=("ping",), cluster={"uid": "u"}),
    links.Welcome(protocol=1, epoch=7, heartbeat_s=10.0),
    links.Bye(),
    links.Bye(error=errors.KickedError("another came")),
    links.Beat(),
    wire.Request(id="r", method="ping", deadline_s=1.5),
    wire.Response(id="r", result="\ud800 is no character, and arrives"),
    wire.Cancel(id="r"),
    wire.Acknowledge(id="r"),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda one: type(one).__name__)
def test_a_message_is_equal_on_the_other_side(message):
    assert links.decode(links.encode(message)) == message


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"type": "new"}', b'{"type": "hello"}'])
def test_what_is_no_message_is_refused(data):
    with pytest.raises(errors.InvalidRequestError):
        links.decode(data)


@given(st.lists(st.binary(max_size=3 * links.FRAME_BYTES), max_size=4), st.randoms())
def test_messages_whose_frames_take_turns_come_out_whole(sent, random):
    waiting = [list(links.frames(number, data)) for number, data in enumerate(sent)]
    assembly, received = links.Assembly(), []
    while any(waiting):
        frames = random.choice([one for one in waiting if one])
        data = assembly.add(frames.pop(0))
        if data is not None:
            received.append(data)
    assert sorted(received) == sorted(sent)


def test_frames_are_short_and_what_repeats_is_compressed():
    frames = list(links.frames(1, bytes(10 * links.FRAME_BYTES)))
    assert len(frames) == 1
    incompressible = zlib.compress(bytes(itertools.islice(itertools.cycle(range(256)), 1 << 20)), 0)
    assert all(len(one) <= links.FRAME_BYTES + 5 for one in links.frames(2, incompressible))


def test_damage_is_fatal(monkeypatch):
    assembly = links.Assembly()
    for frame in (b"", b"\0\0\0\1", b"\0\0\0\1\3nonsense"):
        with pytest.raises(errors.FatalError):
            assembly.add(frame)
    monkeypatch.setattr(links, "MESSAGE_BYTES_MAX", 1000)
    with pytest.raises(errors.FatalError, match="too long once inflated"):
        links.Assembly().add(next(links.frames(1, bytes(100_000))))
    with pytest.raises(errors.FatalError, match="came"):
        links.Assembly().add(b"\0\0\0\1\0" + bytes(2000))
