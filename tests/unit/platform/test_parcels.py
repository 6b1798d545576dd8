"""Large messages in pieces: bounded at both ends, whatever is lost on the way."""

import asyncio
import random

import pytest

from understudy.platform import errors
from understudy.platform.bus import letters, parcels


class Way:
    """Joins an outbox and an inbox; loses letters by chance."""

    def __init__(self, loss=0.0, longest=1000, bytes_max=100_000):
        self._chance = random.Random(1)
        self._loss = loss
        self._longest = longest
        self.asked = 0
        self.under_way_max = 0
        self.outbox = parcels.Outbox(bytes_max)
        self.inbox = parcels.Inbox(bytes_max, ask=self.ask, again_s=0.01)
        self._under_way = 0

    def ask(self, bus, letter):
        self.asked += 1
        self._under_way += 1
        self.under_way_max = max(self.under_way_max, self._under_way)
        asyncio.get_running_loop().call_soon(self.answer, letter)

    def answer(self, letter):
        self._under_way -= 1
        if self._chance.random() < self._loss:
            return
        body = self.outbox.piece(letter, self._longest)
        self.inbox.take(letters.Letter(sender="far", piece=letter.want, start=letter.start), body)

    async def fetch(self, body, piece_bytes=1000):
        await self.outbox.put("p", body)
        letter = letters.Letter(sender="far", parcel="p", size=len(body))
        return await self.inbox.fetch("near", letter, piece_bytes)


BODY = bytes(range(256)) * 100


@pytest.mark.parametrize("size", [1, 999, 1000, 1001, len(BODY)])
async def test_pieces_make_the_whole(size):
    way = Way()
    assert await way.fetch(BODY[:size]) == BODY[:size]
    assert way.under_way_max <= parcels.WINDOW


async def test_pieces_that_are_lost_are_asked_for_again():
    way = Way(loss=0.4)
    assert await way.fetch(BODY) == BODY


async def test_a_sender_may_send_smaller_pieces_than_were_asked_for():
    way = Way(longest=300)
    assert await way.fetch(BODY) == BODY


async def test_a_parcel_that_is_gone_is_told():
    way = Way()
    letter = letters.Letter(sender="far", parcel="p", size=10)
    with pytest.raises(errors.UnavailableError, match="is not kept any more"):
        await way.inbox.fetch("near", letter, 1000)
    assert not way.inbox.is_fetching("p")


async def test_pieces_that_nobody_asked_for_are_passed_over():
    way = Way()
    way.inbox.take(letters.Letter(sender="far", piece="p"), b"x")
    fetching = asyncio.create_task(way.fetch(BODY))
    await asyncio.sleep(0)
    way.inbox.take(letters.Letter(sender="far", piece="p", start=7), b"x" * 100_000)
    assert await fetching == BODY


async def test_what_has_no_room_waits_in_order_and_who_gives_up_takes_none():
    room = parcels.Room(10)
    await room.take(8)
    second, third, fourth = (asyncio.create_task(room.take(size)) for size in (6, 5, 1))
    await asyncio.sleep(0)
    room.give(8)
    await second
    third.cancel()
    await asyncio.gather(third, return_exceptions=True)
    await asyncio.wait_for(fourth, 1)
    room.give(6)
    room.give(1)
    await asyncio.wait_for(room.take(10), 1)


async def test_who_is_given_room_and_gives_up_gives_it_back():
    room = parcels.Room(10)
    await room.take(10)
    waiting = asyncio.create_task(room.take(10))
    await asyncio.sleep(0)
    room.give(10)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await asyncio.wait_for(room.take(10), 1)


async def test_dropping_makes_room():
    outbox = parcels.Outbox(10)
    await outbox.put("a", b"x" * 10)
    await outbox.put("a", b"x" * 10)
    waiting = asyncio.create_task(outbox.put("b", b"y" * 10))
    await asyncio.sleep(0)
    assert not waiting.done()
    outbox.drop("a")
    outbox.drop("a")
    await asyncio.wait_for(waiting, 1)
