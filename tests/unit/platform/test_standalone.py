"""The bus within one process, by its decision table."""

import asyncio

import pytest

from understudy.platform import errors, records
from understudy.platform.bus import standalone
from understudy.testing import mocks


@pytest.fixture
def bus():
    return standalone.StandaloneMessageBus(deadlines_s={"export": 0.05})


async def test_an_absent_agent_is_told_at_once_and_ping_tells_it_apart(bus):
    platform = await bus.connect("a")
    with pytest.raises(errors.UnavailableError, match="no agent is connected for instance a"):
        await platform.version()
    with pytest.raises(errors.NotFoundError):
        await bus.ping("a")
    assert (await bus.presence("a")).state == "never_seen"


async def test_a_platform_got_before_the_agent_came_starts_to_work(bus):
    platform = await bus.connect("a")
    await bus.subscribe("a", mocks.MockPlatform())
    assert await platform.version() == "mock"
    await bus.ping("a")


async def test_a_newer_subscription_kicks_the_older_and_its_calls(bus):
    hanging = mocks.MockPlatform()
    hanging.on_version.delay_s = -1
    first = await bus.subscribe("a", hanging)
    call = asyncio.create_task((await bus.connect("a")).version())
    await asyncio.sleep(0)
    second = await bus.subscribe("a", mocks.MockPlatform())
    reason = await first.done
    assert isinstance(reason, errors.KickedError)
    assert (first.epoch, second.epoch) == (1, 2)
    with pytest.raises(errors.KickedError, match="replaced by connection 2"):
        await call
    assert await (await bus.connect("a")).version() == "mock"
    assert hanging.on_version.calls == 1


async def test_an_application_error_leaves_the_subscription_a_fatal_one_ends_it(bus):
    mock = mocks.MockPlatform()
    subscription = await bus.subscribe("a", mock)
    platform = await bus.connect("a")
    mock.on_ping.error = errors.ClusterError("no")
    with pytest.raises(errors.ClusterError):
        await platform.ping()
    assert not subscription.done.done()
    mock.on_ping.error = errors.FatalError("the socket broke")
    with pytest.raises(errors.FatalError):
        await platform.ping()
    assert await subscription.done == errors.FatalError("the socket broke")
    assert await bus.presence("a") == standalone.buses.Presence(
        instance="a", state="lost", epoch=1, reason="the socket broke"
    )


async def test_a_hung_agent_costs_the_caller_its_deadline_only(bus):
    mock = mocks.MockPlatform()
    mock.on_export.delay_s = -1
    await bus.subscribe("a", mock)
    platform = await bus.connect("a")
    with pytest.raises(errors.DeadlineError, match=r"did not answer export within 0.05 s"):
        await platform.export()
    assert await platform.version() == "mock"


async def test_closing_an_old_subscription_does_not_remove_the_new_one(bus):
    first = await bus.subscribe("a", mocks.MockPlatform())
    await bus.subscribe("a", mocks.MockPlatform())
    first.close()
    assert (await bus.presence("a")).state == "connected"


@pytest.mark.parametrize("instance", ["", "A", "a.b", "a*", ">", "a/b", "-a", "a" * 64])
async def test_an_instance_that_cannot_be_a_subject_is_refused(bus, instance):
    with pytest.raises(errors.InvalidRequestError, match="must be a DNS label"):
        await bus.subscribe(instance, mocks.MockPlatform())


def test_service_ids_have_one_form():
    assert str(records.ServiceId.parse("shop:deployment/web")) == "shop:deployment/web"
    for text in ("web", "shop/web", "shop:web", "shop:Deployment/web", "a:b/c/d"):
        with pytest.raises(errors.InvalidRequestError, match="namespace:kind/name"):
            records.ServiceId.parse(text)
