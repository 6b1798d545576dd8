"""Many requests: a server that is away is not asked for each object anew."""

import pytest

from understudy.aio import clocks
from understudy.client import errors as client_errors
from understudy.delivery import calling
from understudy.kube import statuses

GONE = client_errors.ConnectionFailedError("connection refused")


@pytest.mark.parametrize("limit", [1, 8])
@pytest.mark.parametrize("error", [GONE, statuses.ServiceUnavailableError("no agent is connected")])
async def test_a_server_that_is_away_fails_the_rest_without_being_asked(limit, error):
    asked = []

    async def work(item):
        asked.append(item)
        if item < 10:
            return item
        raise error

    found = await calling.each(range(500), limit, work)
    assert [answer.value for _, answer in found[:10]] == list(range(10))
    assert all(isinstance(answer, calling.Failed) for _, answer in found[10:])
    assert len(found) == 500
    assert len(asked) <= 10 + calling.AWAY_AFTER + limit


async def test_objects_that_fail_each_for_themselves_stop_nothing():
    asked = []

    async def work(item):
        asked.append(item)
        if item % 5:
            raise GONE
        raise statuses.BadRequestError("no")

    await calling.each(range(100), 4, work)
    assert len(asked) == 100


class Waiting(clocks.ManualClock):
    """A clock that notes how long it was slept."""

    def __init__(self):
        super().__init__()
        self.slept = []

    async def sleep(self, seconds):
        self.slept.append(seconds)
        await super().sleep(seconds)


async def patiently(*answers):
    """Return what a request ends with whose answers these are, and how long was waited between."""
    clock, left = Waiting(), list(answers)

    async def call():
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return await calling.patiently(call, clock), clock.slept


async def test_a_server_that_says_when_is_asked_then():
    busy = statuses.TooManyRequestsError("slow down", details={"retryAfterSeconds": 7})
    assert await patiently(busy, busy, "done") == ("done", [7.0, 7.0])


@pytest.mark.parametrize(
    "error",
    [
        GONE,
        statuses.TooManyRequestsError("slow down"),
        statuses.ServiceUnavailableError("starting"),
        statuses.InternalError("etcdserver: leader changed"),
        statuses.InternalError("etcdserver: request timed out"),
        statuses.InternalError('failed calling webhook "w": connection refused'),
    ],
)
async def test_what_passes_is_waited_for_longer_each_time(error):
    assert await patiently(error, error, error, "done") == ("done", [0.2, 0.4, 0.8])


@pytest.mark.parametrize(
    "error",
    [
        statuses.InternalError("database on fire"),
        statuses.ConflictError("changed"),
        statuses.InvalidError("no"),
        statuses.ForbiddenError('admission webhook "w" denied the request: no'),
    ],
)
async def test_what_is_an_answer_is_not_asked_again(error):
    with pytest.raises(type(error)):
        await patiently(error, "never")
