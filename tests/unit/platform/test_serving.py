"""A request runs at most once, however often it comes."""

import asyncio
from dataclasses import replace

import pytest

from understudy.aio import clocks, tasks
from understudy.platform import errors
from understudy.platform.bus import routing, serving, wire

REQUEST = wire.Request(id="1", method="sync", deadline_s=10)
DONE = wire.Response(id="1", result="done")


class Platform:
    """Carries requests out when it is let go; counts how often."""

    def __init__(self):
        self.runs = []
        self.go = asyncio.Event()
        self.answer = {}

    async def carry(self, request):
        self.runs.append(request.id)
        await self.go.wait()
        return self.answer.get(request.id, wire.Response(id=request.id, result="done"))


@pytest.fixture
def clock():
    return clocks.ManualClock()


@pytest.fixture
def platform():
    return Platform()


@pytest.fixture
async def desk(platform, clock):
    owned = tasks.TaskSet(routing.failed)
    limits = serving.Limits(
        running_max=1, waiting_max=1, kept_bytes_max=20, spare_bytes_max=8, known_max=5
    )
    yield serving.Desk(platform.carry, tasks=owned, clock=clock, limits=limits)
    await owned.stop()


async def test_a_request_that_comes_again_gets_the_same_answer(desk, platform):
    first, second = desk.submit(REQUEST), desk.submit(replace(REQUEST, deadline_s=3))
    platform.go.set()
    assert await first == await second == DONE
    assert await desk.submit(REQUEST) == DONE
    assert platform.runs == ["1"]


async def test_what_was_acknowledged_does_not_run_again(desk, platform):
    platform.go.set()
    await desk.submit(REQUEST)
    desk.acknowledge("1")
    desk.acknowledge("1")
    assert await desk.submit(REQUEST) == DONE, "small answers are kept while there is room"
    await desk.carry(replace(REQUEST, id="2"))
    again = await desk.submit(REQUEST)
    assert isinstance(again.error, errors.NotFoundError)
    assert "was carried out already" in str(again.error)
    assert platform.runs == ["1", "2"]


async def test_a_request_is_forgotten_when_its_time_is_over(desk, platform, clock):
    platform.go.set()
    await desk.submit(REQUEST)
    clock.advance(11)
    desk.submit(replace(REQUEST, id="2"))
    assert desk.find("1") is None


async def test_a_request_that_comes_too_late_does_not_run(desk, platform):
    late = await desk.submit(replace(REQUEST, deadline_s=0))
    assert isinstance(late.error, errors.DeadlineError)
    assert platform.runs == []


async def test_a_request_that_is_not_done_in_time_is_stopped(desk, platform):
    late = await desk.submit(replace(REQUEST, deadline_s=0.01))
    assert late.error == errors.DeadlineError("sync was not done within 0.01 s")
    platform.go.set()
    assert (await desk.submit(replace(REQUEST, id="2"))).result == "done"


async def test_some_wait_and_more_are_refused_and_may_be_tried_again(desk, platform):
    one, two = (desk.submit(replace(REQUEST, id=name)) for name in "12")
    refused = await desk.submit(replace(REQUEST, id="3"))
    assert isinstance(refused.error, errors.UnavailableError)
    assert refused.error.retryable
    platform.go.set()
    await one
    await two
    assert (await desk.submit(replace(REQUEST, id="3"))).result == "done"
    assert platform.runs == ["1", "2", "3"]


async def test_what_waits_is_bounded_in_bytes_too(platform, clock):
    owned = tasks.TaskSet(routing.failed)
    limits = serving.Limits(running_max=1, given_bytes_max=100)
    desk = serving.Desk(platform.carry, tasks=owned, clock=clock, limits=limits)
    large = replace(REQUEST, arguments={"text": "x" * 200})
    one = desk.submit(large)
    refused = await desk.submit(replace(large, id="2"))
    assert isinstance(refused.error, errors.UnavailableError)
    platform.go.set()
    await one
    assert (await desk.submit(replace(large, id="2"))).result == "done"
    await owned.stop()


async def test_a_cancelled_request_is_stopped_and_makes_room(desk, platform):
    one = desk.submit(REQUEST)
    two = desk.submit(replace(REQUEST, id="2"))
    await asyncio.sleep(0)
    desk.cancel("1")
    assert isinstance((await one).error, errors.CancelledCallError)
    platform.go.set()
    assert (await two).result == "done"
    desk.cancel("none")


async def test_a_caller_that_gives_up_cancels(desk, platform):
    call = asyncio.create_task(desk.carry(REQUEST))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    again = await desk.submit(REQUEST)
    assert again.error is not None
    assert platform.runs == ["1"]


async def test_old_answers_make_room_for_new_ones(desk, platform):
    platform.go.set()
    for name in "12":
        platform.answer[name] = wire.Response(id=name, result="x" * 12)
        await desk.submit(replace(REQUEST, id=name))
    assert isinstance((await desk.submit(REQUEST)).error, errors.NotFoundError)
    assert (await desk.submit(replace(REQUEST, id="2"))).result == "x" * 12
    assert platform.runs == ["1", "2"]


async def test_everything_ends_with_the_reason(desk, platform):
    under_way = desk.submit(REQUEST)
    await asyncio.sleep(0)
    desk.end(errors.KickedError("replaced"))
    expected = wire.Response(id="1", error=errors.KickedError("replaced"), lost=True)
    assert await under_way == expected
    assert await desk.submit(replace(REQUEST, id="2")) == replace(expected, id="2")


async def test_what_became_of_a_lost_request_is_asked_for_again(desk, platform):
    platform.go.set()
    platform.answer["1"] = wire.Response(id="1", error=errors.FatalError("broke"), lost=True)
    assert (await desk.submit(REQUEST)).lost
    del platform.answer["1"]
    assert await desk.submit(REQUEST) == DONE
