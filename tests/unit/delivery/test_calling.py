"""Many requests: a server that is away is not asked for each object anew."""

import pytest

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
