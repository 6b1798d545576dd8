"""SPDY frames: what is written is read, in whatever pieces; nonsense is told, never more."""

import contextlib
import struct
import zlib

import pytest
from hypothesis import given, strategies as st

from understudy.kapi.http import spdy

NAMES = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=20)
HEADERS = st.dictionaries(NAMES, st.text("abcXYZ019 /.", max_size=40), max_size=6)
STREAMS = st.integers(0, 2**31 - 1)
FRAMES = st.one_of(
    st.builds(spdy.Opened, STREAMS, HEADERS, st.booleans()),
    st.builds(spdy.Data, STREAMS, st.binary(max_size=300), st.booleans()),
    st.builds(spdy.Reset, STREAMS),
    st.builds(spdy.Ping, STREAMS),
    st.just(spdy.GoAway()),
)


def written(writer, event):
    match event:
        case spdy.Opened():
            return writer.open(event.stream, event.headers, is_last=event.is_last)
        case spdy.Data():
            return writer.data(event.stream, event.data, is_last=event.is_last)
        case spdy.Reset():
            return writer.refuse(event.stream)
        case spdy.Ping():
            return writer.ping(event.number)
    return writer.go_away(0)


def joined(events):
    """Put pieces of data together: they come as the bytes come."""
    found = []
    for event in events:
        last = found[-1] if found else None
        is_next = isinstance(event, spdy.Data) and isinstance(last, spdy.Data)
        if is_next and last.stream == event.stream and not last.is_last:
            found[-1] = spdy.Data(last.stream, last.data + event.data, event.is_last)
        else:
            found.append(event)
    return [one for one in found if not isinstance(one, spdy.Data) or one.data or one.is_last]


def test_the_dictionary_is_the_published_one():
    assert len(spdy.DICTIONARY) == 1423
    # The id that zlib streams made with it carry (RFC 1950).
    assert zlib.adler32(spdy.DICTIONARY) == 0xE3C6A7C2


@given(st.lists(FRAMES, max_size=12), st.integers(1, 64))
def test_what_is_written_is_read_in_any_pieces(events, step):
    writer, reader = spdy.Writer(), spdy.Reader()
    wire = b"".join(written(writer, event) for event in events)
    pieces = [wire[at : at + step] for at in range(0, len(wire), step)]
    found = [event for piece in pieces for event in reader.feed(piece)]
    assert joined(found) == joined(events)


@given(st.binary(max_size=400), st.lists(FRAMES, max_size=3))
def test_nonsense_is_told_and_nothing_else(data, events):
    writer, reader = spdy.Writer(), spdy.Reader()
    with contextlib.suppress(spdy.SpdyError):
        for event in events:
            list(reader.feed(written(writer, event)))
        list(reader.feed(data))


def test_headers_are_bounded_once_unpacked():
    reader = spdy.Reader()
    packer = zlib.compressobj(zdict=spdy.DICTIONARY)
    block = packer.compress(b"\0" * 10_000_000) + packer.flush(zlib.Z_SYNC_FLUSH)
    body = struct.pack(">IIH", 1, 0, 0) + block
    frame = struct.pack(">II", 0x80030001, len(body)) + body
    with pytest.raises(spdy.SpdyError, match="more than 65536 bytes"):
        list(reader.feed(frame))


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (struct.pack(">II", 0x80020001, 0), "version 2"),
        (struct.pack(">II", 0x80030001, 0xFFFFFF), "control frame of 16777215 bytes"),
        (struct.pack(">II", 0x80030006, 0), "too short"),
    ],
)
def test_frames_that_cannot_be_are_refused(frame, said):
    with pytest.raises(spdy.SpdyError, match=said):
        list(spdy.Reader().feed(frame))
