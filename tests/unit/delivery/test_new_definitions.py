"""Servers take up a new definition one after the other: what they refuse meanwhile is sent again."""

import pytest
from tests.unit.delivery import conftest as world

from understudy.aio import clocks
from understudy.client import wrapping
from understudy.delivery import errors
from understudy.kube import statuses

REFUSALS = [
    statuses.InternalError(
        "failed to create typed patch object (default/w; example.com/v1, Kind=Widget): "
        ".spec.colour: field not declared in schema"
    ),
    statuses.NotFoundError("the server could not find the requested resource"),
    statuses.InvalidError('Widget.example.com "w" is invalid: spec.size: Invalid value: 9'),
    statuses.BadRequestError('strict decoding error: unknown field "spec.colour"'),
]


class Late(wrapping.WrappedClient):
    """Refuses the first applies of widgets, as a server does that knows the old definition."""

    def __init__(self, inner, refusal, times):
        super().__init__(inner)
        self.refusal, self.left = refusal, times

    async def write(self, write, send):
        if write.resource.startswith("widgets") and self.left:
            self.left -= 1
            raise self.refusal
        return await send()


class Hasty(clocks.SystemClock):
    async def sleep(self, seconds):
        await super().sleep(seconds / 1000)


def face(cluster, refusal, times):
    client = Late(cluster.client, refusal, times)
    return client, cluster.deliveries(client, clock=Hasty())


def given(size):
    return world.written(world.definition(maximum=size), world.widget("w", size=size))


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda error: str(error.code))
async def test_what_an_old_definition_refuses_is_sent_again(cluster, refusal):
    client, deliveries = face(cluster, refusal, times=3)
    await deliveries.deliver(world.OWNER, given(3), world.options())
    assert client.left == 0
    assert cluster.find("widgets.example.com", "w")["spec"] == {"size": 3}
    client.left = 3
    await deliveries.deliver(world.OWNER, given(4), world.options())
    assert client.left == 0
    assert cluster.find("widgets.example.com", "w")["spec"] == {"size": 4}


async def test_where_the_definition_stays_a_refusal_is_an_answer(cluster):
    await cluster.deliver(world.definition(), world.widget("w", size=3))
    client, deliveries = face(cluster, REFUSALS[0], times=1)
    wanted = world.written(world.definition(), world.widget("w", size=4))
    with pytest.raises(errors.RefusedError, match="field not declared in schema"):
        await deliveries.deliver(world.OWNER, wanted, world.options())
    assert client.left == 0
