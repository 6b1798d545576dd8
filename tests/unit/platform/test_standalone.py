"""The bus within one process, by its decision table."""

import asyncio

import prometheus_client
import pytest

from understudy.aio import clocks, ids
from understudy.platform import errors, instrument, protocol, records
from understudy.platform.bus import protocol as buses, routing, serving, standalone, wire
from understudy.testing import mocks


@pytest.fixture
async def bus():
    made = standalone.StandaloneMessageBus(
        deadlines_s={"export": 0.05}, clock=StillClock(), limits=serving.Limits(running_max=2)
    )
    yield made
    await made.close()


class StillClock(clocks.SystemClock):
    """The system's time, but for the date."""

    def now(self):
        return clocks.ManualClock().now()


async def under_way(told):
    for _ in range(100):
        if told.calls:
            return
        await asyncio.sleep(0)
    raise AssertionError("the call did not arrive")


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
    await under_way(hanging.on_version)
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
    assert await bus.presence("a") == buses.Presence(
        instance="a",
        state="lost",
        epoch=1,
        reason="the socket broke",
        methods=protocol.METHODS,
        last_seen="2026-01-01T00:00:00Z",
    )
    with pytest.raises(errors.UnavailableError):
        await platform.ping()


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


async def test_an_agent_that_comes_back_goes_on_with_what_was_under_way(bus):
    mock = mocks.MockPlatform()
    agent = Agent(mock)
    first = await bus.subscribe("a", agent)
    mock.on_version.delay_s = -1
    call = asyncio.create_task((await bus.connect("a")).version())
    await under_way(mock.on_version)
    mock.on_version.delay_s = 0
    first.end(errors.FatalError("the socket broke"))
    await bus.subscribe("a", agent)

    assert await call == "mock"


async def test_another_agent_gets_nothing_of_what_was_under_way(bus):
    hanging = mocks.MockPlatform()
    hanging.on_version.delay_s = -1
    await bus.subscribe("a", Agent(hanging, "one"))
    call = asyncio.create_task((await bus.connect("a")).version())
    await under_way(hanging.on_version)
    other = mocks.MockPlatform()
    await bus.subscribe("a", Agent(other, "two"))
    with pytest.raises(errors.KickedError):
        await call
    assert other.on_version.calls == 0


async def test_an_agent_whose_connection_stays_is_not_waited_for(bus, monkeypatch):
    monkeypatch.setattr(routing, "BREAK_S", 0.01)

    async def carry(request):
        raise errors.UnavailableError("it is busy")

    busy = wire.CarriedPlatform(carry, name="instance a", ids=ids.SeededIds(), agent="5f1c")
    await bus.subscribe("a", busy)
    with pytest.raises(errors.UnavailableError, match="it is busy"):
        await (await bus.connect("a")).ping()


class Agent:
    """A platform whose process has a name."""

    def __init__(self, platform, agent="5f1c"):
        self._platform = platform
        self.agent = agent

    def __getattr__(self, name):
        return getattr(self._platform, name)


async def test_an_older_agent_is_not_asked_for_what_it_does_not_know(bus):
    mock = mocks.MockPlatform(methods=("ping", "version"))
    await bus.subscribe("a", mock)
    platform = await bus.connect("a")
    with pytest.raises(errors.UpgradeNeededError, match="agent of instance a does not know export"):
        await platform.export()
    assert mock.on_export.calls == 0
    await platform.ping()
    assert (await bus.presence("a")).methods == ("ping", "version")


async def test_what_an_agent_cannot_take_on_now_waits(bus):
    mock = mocks.MockPlatform()
    running = []
    mock.on_ping.check = lambda: running.append(len(running))
    mock.on_ping.delay_s = 0.01
    await bus.subscribe("a", mock)
    platform = await bus.connect("a")
    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(platform.ping())
        await asyncio.sleep(0.005)
        assert len(running) == 2
    assert len(running) == 4


async def test_an_agent_that_is_to_come_is_waited_for(bus):
    with pytest.raises(errors.UnavailableError, match="no agent has connected for instance a"):
        await bus.wait_until_connected("a", 0.01)
    waiting = asyncio.create_task(bus.wait_until_connected("a", 5))
    await asyncio.sleep(0)
    await bus.subscribe("a", mocks.MockPlatform())
    assert (await waiting).state == "connected"


async def test_every_instance_that_was_seen_is_listed(bus):
    (await bus.subscribe("b", mocks.MockPlatform())).close()
    await bus.subscribe("a", mocks.MockPlatform())
    listed = [(one.instance, one.state) for one in await bus.presences()]
    assert listed == [("a", "connected"), ("b", "lost")]


async def test_calls_kicks_and_agents_are_counted():
    registry = prometheus_client.CollectorRegistry()
    bus = standalone.StandaloneMessageBus(metrics=instrument.BusMetrics(registry))
    mock = mocks.MockPlatform()
    await bus.subscribe("a", mocks.MockPlatform())
    await bus.subscribe("a", mock)
    platform = await bus.connect("a")
    await platform.ping()
    mock.on_ping.error = errors.ClusterError("no")
    with pytest.raises(errors.ClusterError):
        await platform.ping()

    def counted(code):
        labels = {"method": "ping", "code": code}
        return registry.get_sample_value("understudy_bus_request_duration_seconds_count", labels)

    assert (counted("ok"), counted("cluster_error")) == (1, 1)
    assert registry.get_sample_value("understudy_bus_kicks_total") == 1
    assert registry.get_sample_value("understudy_bus_agents") == 1
    await bus.close()
    assert registry.get_sample_value("understudy_bus_agents") == 0


@pytest.mark.parametrize("instance", ["", "A", "a.b", "a*", ">", "a/b", "-a", "a" * 64])
async def test_an_instance_that_cannot_be_a_subject_is_refused(bus, instance):
    with pytest.raises(errors.InvalidRequestError, match="must be a DNS label"):
        await bus.subscribe(instance, mocks.MockPlatform())


def test_service_ids_have_one_form():
    assert str(records.ServiceId.parse("shop:deployment/web")) == "shop:deployment/web"
    for text in ("web", "shop/web", "shop:web", "shop:Deployment/web", "a:b/c/d"):
        with pytest.raises(errors.InvalidRequestError, match="namespace:kind/name"):
            records.ServiceId.parse(text)
