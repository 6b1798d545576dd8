"""Requests are carried out at most once, however often they come."""

import asyncio

from understudy.platform import errors, performing
from understudy.platform.bus import wire
from understudy.testing import mocks


def request(identity="r", method="version"):
    return wire.Request(id=identity, method=method, deadline_s=5.0)


class End:
    """A performer with a mock behind it, and what it sent."""

    def __init__(self, **limits):
        self.mock = mocks.MockPlatform()
        self.sent = []
        self.performer = performing.Performer(
            self.mock, lambda data: self.sent.append(wire.decode(data)), performing.Limits(**limits)
        )

    async def idle(self):
        await self.performer.drain()

    @property
    def errors(self):
        return [type(one.error) for one in self.sent if isinstance(one, wire.Response)]


async def test_a_request_that_comes_again_gets_the_same_response():
    end = End()
    end.performer.take(request())
    await end.idle()
    end.performer.take(request())
    assert end.sent == [wire.Response(id="r", result="mock")] * 2
    assert end.mock.on_version.calls == 1


async def test_a_request_that_comes_again_while_it_runs_is_told_so():
    end = End()
    end.mock.on_version.delay_s = 0.01
    end.performer.take(request())
    await asyncio.sleep(0)
    end.performer.take(request())
    await end.idle()
    assert end.sent == [wire.Running(id="r"), wire.Response(id="r", result="mock")]


async def test_a_response_that_was_acknowledged_is_not_made_again():
    end = End()
    end.performer.take(request())
    await end.idle()
    end.performer.take(wire.Acknowledge(id="r"))
    end.performer.take(request())
    await end.idle()
    assert (end.mock.on_version.calls, end.errors[-1]) == (1, errors.UnavailableError)


async def test_a_cancelled_request_ends_and_does_not_run_again_even_if_it_comes_later():
    end = End()
    end.mock.on_version.delay_s = -1
    end.performer.take(request())
    await asyncio.sleep(0)
    end.performer.take(wire.Cancel(id="r"))
    await end.idle()
    end.performer.take(request())
    end.performer.take(wire.Cancel(id="late"))
    end.performer.take(request("late"))
    assert (end.mock.on_version.calls, end.errors) == (1, [errors.UnavailableError] * 2)


async def test_a_request_cancelled_before_its_first_step_leaves_nothing_behind():
    end = End()
    end.performer.take(request())
    end.performer.take(wire.Cancel(id="r"))
    await asyncio.sleep(0)
    await end.idle()
    assert end.mock.on_version.calls == 0


async def test_too_many_requests_are_refused_and_may_come_later():
    end = End(running_max=1)
    end.mock.on_version.delay_s = 0.01
    end.performer.take(request())
    end.performer.take(request("other"))
    await end.idle()
    end.performer.take(request("other"))
    await end.idle()
    assert end.errors == [errors.UnavailableError, type(None), type(None)]


async def test_what_is_not_kept_any_more_does_not_run_again():
    end = End(kept_max=1)
    for identity in ("a", "b"):
        end.performer.take(request(identity))
        await end.idle()
    end.performer.take(request("a"))
    assert end.sent[-1].error is not None
    assert end.mock.on_version.calls == 2


async def test_a_response_longer_than_the_connection_takes_is_an_error():
    sent = []

    def send(data):
        if len(data) > 1000:
            raise errors.InvalidRequestError("too long")
        sent.append(wire.decode(data))

    mock = mocks.MockPlatform()
    mock.on_export.answer = "x" * 1000
    performer = performing.Performer(mock, send)
    performer.take(request(method="export"))
    await performer.drain()
    assert sent[0].error == errors.InvalidRequestError("too long")


async def test_stopping_cancels_what_runs():
    end = End()
    end.mock.on_version.delay_s = -1
    end.performer.take(request())
    await asyncio.sleep(0)
    await end.performer.stop()
    await end.idle()
    assert end.sent == []
