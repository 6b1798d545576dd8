"""Watch streams against a sink of the test's own."""

import asyncio
import contextlib

import orjson
import pytest

from understudy.kapi import views
from understudy.kapi.http import negotiation, streams

PLAIN = negotiation.Choice(media_type="application/json")
TABLE = negotiation.Choice(media_type="application/json", form="Table", form_version="v1")


class Sink:
    """Takes `room` frames per turn of the loop and gathers what it got."""

    def __init__(self, room=1_000_000):
        self.frames, self.room, self.blocked, self.finished = [], room, False, False
        self.stream = None

    def send_framed(self, chunk):
        size, _, rest = chunk.partition(b"\r\n")
        assert len(rest) == int(size, 16) + 2
        self.frames.append(rest[:-2])
        self.room -= 1

    def is_full(self):
        return self.blocked or self.room <= 0

    def is_blocked(self):
        return self.blocked

    def finish(self):
        self.finished = True
        self.stream.closed()

    @property
    def events(self):
        parsed = [orjson.loads(frame) for frame in self.frames]
        return [(e["type"], e["object"].get("metadata", {}).get("name")) for e in parsed]


@pytest.fixture
def view():
    return views.new_view()


@pytest.fixture
def frames():
    return streams.Frames()


def config_map(name, **data):
    return {"metadata": {"name": name}, "data": data}


@contextlib.asynccontextmanager
async def watching(view, frames, sink, choice=PLAIN, timeout_s=60.0, bookmarks_s=None, **options):
    closed = []
    watch = view.watch("configmaps", "default", **options)
    resource = view.resolve("configmaps")
    stream = streams.WatchStream(
        watch,
        streams.Form(resource, choice, "Metadata", view.now, frames),
        timeout_s=timeout_s,
        bookmark_every_s=bookmarks_s,
        revision=lambda: view.revision,
        on_closed=lambda: closed.append(True),
    )
    sink.stream = stream
    stream.opened(sink)
    yield stream
    if not sink.finished:
        stream.closed()
    assert closed == [True]


async def turn(count=1):
    for _ in range(count):
        await asyncio.sleep(0)


async def test_changes_of_one_turn_go_out_together(view, frames):
    sink = Sink()
    async with watching(view, frames, sink, resource_version=str(view.revision)):
        view.create("configmaps", config_map("a"), "default")
        view.delete("configmaps", "a", "default")
        assert sink.frames == []
        await turn()
        assert sink.events == [("ADDED", "a"), ("DELETED", "a")]


async def test_watches_of_one_form_share_one_encoding(view, frames):
    first, second, table = Sink(), Sink(), Sink()
    async with (
        watching(view, frames, first, resource_version=str(view.revision)),
        watching(view, frames, second, resource_version=str(view.revision)),
        watching(view, frames, table, TABLE, resource_version=str(view.revision)),
    ):
        kept = []
        view.subscribe("configmaps", kept.append)
        view.create("configmaps", config_map("a"), "default")
        await turn()
        assert len(kept[0].frames) == 1  # the first Table has columns and is not shared
        view.create("configmaps", config_map("b"), "default")
        await turn()
        assert len(kept[1].frames) == 2
        assert first.frames == second.frames
        assert b"columnDefinitions" in table.frames[0]
        assert b'"columnDefinitions":null' in table.frames[1]


async def test_frames_of_old_events_are_forgotten(view, frames):
    sink, kept = Sink(), []
    view.subscribe("configmaps", kept.append)
    async with watching(view, frames, sink, resource_version=str(view.revision)):
        for n in range(streams.FRAMED_EVENTS_MAX + 3):
            view.create("configmaps", config_map(f"a{n}"), "default")
            await turn()
    assert [bool(event.frames) for event in kept[:5]] == [False, False, False, True, True]


async def test_a_large_state_goes_out_in_pieces(view, frames):
    for n in range(10):
        view.create("configmaps", config_map(f"a{n}"), "default")
    sink = Sink(room=4)
    async with watching(view, frames, sink):
        view.create("configmaps", config_map("later"), "default")
        assert len(sink.events) == 4
        sink.room = 4
        await turn()
        assert len(sink.events) == 8
        sink.room = 9
        await turn()
        assert [name for _, name in sink.events][-1] == "later"
        assert len(sink.events) == 11


async def test_a_blocked_peer_gets_the_rest_once_it_reads_again(view, frames):
    sink = Sink()
    async with watching(view, frames, sink, resource_version=str(view.revision)) as stream:
        sink.blocked = True
        view.create("configmaps", config_map("a"), "default")
        await turn(5)
        assert sink.events == []
        sink.blocked = False
        stream.resumed()
        await turn()
        assert sink.events == [("ADDED", "a")]


async def test_a_reader_too_far_behind_is_told_to_list_again(view, frames):
    sink = Sink()
    async with watching(view, frames, sink, resource_version=str(view.revision)) as stream:
        stream._watch.buffer_events_max = 2
        sink.blocked = True
        for name in "abc":
            view.create("configmaps", config_map(name), "default")
        sink.blocked = False
        stream.resumed()
        await turn()
        assert sink.events[:2] == [("ADDED", "a"), ("ADDED", "b")]
        error = orjson.loads(sink.frames[2])
        assert (error["type"], error["object"]["code"]) == ("ERROR", 410)
        assert error["object"]["reason"] == "Expired"
        assert sink.finished


async def test_bookmarks_come_after_everything_before_them(view, frames):
    sink = Sink()
    async with watching(view, frames, sink, bookmarks_s=0.01, resource_version=str(view.revision)):
        view.create("configmaps", config_map("a"), "default")
        await asyncio.sleep(0.03)
        assert sink.events[:2] == [("ADDED", "a"), ("BOOKMARK", None)]
        bookmark = orjson.loads(sink.frames[1])["object"]
        assert bookmark["metadata"]["resourceVersion"] == str(view.revision)
        assert (bookmark["kind"], bookmark["apiVersion"]) == ("ConfigMap", "v1")


async def test_a_bookmark_waits_for_a_blocked_peer(view, frames):
    sink = Sink()
    async with watching(view, frames, sink, bookmarks_s=0.01, resource_version=str(view.revision)):
        sink.blocked = True
        view.create("configmaps", config_map("a"), "default")
        await asyncio.sleep(0.03)
        assert sink.events == []


async def test_the_end_of_the_initial_events_is_marked(view, frames):
    view.create("configmaps", config_map("a"), "default")
    sink = Sink()
    options = {"send_initial_events": True}
    async with watching(view, frames, sink, bookmarks_s=30.0, **options):
        assert sink.events[-1][0] == "BOOKMARK"
        annotations = orjson.loads(sink.frames[-1])["object"]["metadata"]["annotations"]
        assert annotations == {"k8s.io/initial-events-end": "true"}


async def test_a_watch_ends_at_its_time(view, frames):
    sink = Sink()
    async with watching(view, frames, sink, timeout_s=0.01, resource_version=str(view.revision)):
        await asyncio.sleep(0.03)
        assert sink.finished
        view.create("configmaps", config_map("a"), "default")
        await turn()
        assert sink.events == []
