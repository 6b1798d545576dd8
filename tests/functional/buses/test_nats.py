"""The bus between hubs, by its decision table, over a real NATS server."""

import asyncio
import functools
import logging

import nats as nats_py
import prometheus_client
import pytest

from understudy.aio import clocks, ids, tasks
from understudy.platform import errors, instrument, protocol, records
from understudy.platform.bus import nats, routing, serving, settings, wire
from understudy.testing import mocks


async def test_an_absent_agent_is_told_at_once_and_ping_tells_it_apart(net):
    bus = await net.bus(roll_call_s=0.05)
    platform = await bus.connect("a")
    with pytest.raises(errors.UnavailableError, match="no agent is connected for instance a"):
        await platform.sync(records.SyncDef())
    with pytest.raises(errors.NotFoundError):
        await bus.ping("a")
    assert (await bus.presence("a")).state == "never_seen"


async def test_a_platform_got_before_the_agent_came_starts_to_work(net):
    near, far = await net.bus(), await net.bus()
    platform = await near.connect("a")
    await far.subscribe("a", mocks.MockPlatform())
    assert await platform.version() == "mock"
    await near.ping("a")
    assert await near.version("a") == "mock"
    assert [one.instance for one in await near.presences()] == ["a"]


async def test_a_bus_that_comes_later_learns_who_is_there(net):
    far = await net.bus(heartbeat_s=60)
    subscription = await far.subscribe("a", mocks.MockPlatform(methods=("ping",)))
    near = await net.bus()
    found = await near.presence("a")
    assert (found.state, found.epoch, found.methods) == (
        "connected",
        subscription.epoch,
        ("ping",),
    )


async def test_a_newer_subscription_elsewhere_kicks_the_older_and_its_calls(net):
    near, one, two = await net.bus(), await net.bus(), await net.bus()
    hanging = mocks.MockPlatform()
    hanging.on_sync.delay_s = -1
    first = await one.subscribe("a", hanging)
    call = asyncio.create_task((await near.connect("a")).sync(records.SyncDef()))
    await net.until(lambda: hanging.on_sync.calls)
    await net.presence(two, "connected")

    newer = mocks.MockPlatform()
    second = await two.subscribe("a", newer)

    reason = await first.done
    assert reason == errors.kicked("a", first.epoch, second.epoch)
    assert second.epoch > first.epoch
    with pytest.raises(errors.KickedError, match=f"replaced by connection {second.epoch}"):
        await call
    await net.heard(near, second)
    assert await (await near.connect("a")).sync(records.SyncDef()) == records.SyncResult()
    assert (hanging.on_sync.calls, newer.on_sync.calls) == (1, 1)
    assert not second.done.done()


async def test_the_newest_wins_also_where_the_buses_did_not_know_of_each_other(net):
    one, two = await net.bus(), await net.bus()
    await net.server.kill()
    first = await one.subscribe("a", mocks.MockPlatform())
    await asyncio.sleep(0.002)
    second = await two.subscribe("a", mocks.MockPlatform())
    await net.server.start()
    assert isinstance(await first.done, errors.KickedError)
    assert (await net.presence(one, "connected")).epoch == second.epoch
    assert not second.done.done()


async def test_an_application_error_leaves_the_subscription_a_fatal_one_ends_it(net):
    near, far = await net.bus(), await net.bus()
    mock = mocks.MockPlatform()
    subscription = await far.subscribe("a", mock)
    platform = await near.connect("a")
    partial = errors.SyncError.of({"x": errors.ClusterError("no", details={"n": 1})})
    mock.on_sync.error = partial
    with pytest.raises(errors.SyncError) as caught:
        await platform.sync(records.SyncDef())
    assert caught.value == partial
    assert not subscription.done.done()
    fatal = errors.FatalError("the socket broke")
    mock.on_ping.error = fatal
    with pytest.raises(errors.FatalError) as caught:
        await platform.ping()
    assert caught.value == fatal
    assert await subscription.done == fatal
    found = await net.presence(near, "lost")
    assert found.reason == "the socket broke"
    with pytest.raises(errors.UnavailableError):
        await platform.ping()


async def test_every_error_is_equal_at_the_other_end(net):
    near, far = await net.bus(), await net.bus()
    platform = await near.connect("a")
    inner = {cls.__name__: cls("no", details={"ü": [1, None, 2**70]}) for cls in errors._CLASSES}
    raised = [*inner.values(), errors.SyncError.of(inner), errors.ApplyError.of(inner)]
    raised.append(errors.PlatformError("m", code="of a newer version", retryable=True))
    for error in raised:
        mock = mocks.MockPlatform()
        mock.on_export.error = error
        subscription = await far.subscribe("a", mock)
        await net.heard(near, subscription)
        with pytest.raises(errors.PlatformError) as caught:
            await platform.export()
        assert caught.value == error
        assert mock.on_export.calls == 1


async def test_leaving_is_told_at_once(net):
    near, far = await net.bus(), await net.bus(heartbeat_s=60)
    hanging = mocks.MockPlatform()
    hanging.on_ping.delay_s = -1
    subscription = await far.subscribe("a", hanging)
    call = asyncio.create_task((await near.connect("a")).ping())
    await net.until(lambda: hanging.on_ping.calls)
    subscription.close()
    subscription.close()
    assert await subscription.done is None
    with pytest.raises(errors.UnavailableError, match="left before it answered"):
        await call
    assert (await net.presence(near, "lost")).reason == "closed"


async def test_a_hung_agent_costs_the_caller_its_deadline_and_is_told_to_stop(net):
    near, far = await net.bus(deadlines_s={"export": 0.2}), await net.bus()
    hanging = mocks.MockPlatform()
    hanging.on_export.delay_s = -1
    await far.subscribe("a", hanging)
    platform = await near.connect("a")
    # Either end may find out first; both know when.
    with pytest.raises(errors.DeadlineError, match=r"export (was not done )?within"):
        await platform.export()
    await net.until(lambda: hanging.on_export.cancelled)
    assert await platform.version() == "mock"


async def test_a_caller_that_gives_up_cancels_the_call_at_the_far_end(net):
    near, far = await net.bus(), await net.bus()
    hanging = mocks.MockPlatform()
    hanging.on_sync.delay_s = -1
    await far.subscribe("a", hanging)
    call = asyncio.create_task((await near.connect("a")).sync(records.SyncDef()))
    await net.until(lambda: hanging.on_sync.calls)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await net.until(lambda: hanging.on_sync.cancelled)


class Agent:
    """A process that carries requests out, over whichever connection they come, each once."""

    def __init__(self, platform):
        perform = functools.partial(wire.perform, platform)
        self._tasks = tasks.TaskSet(routing.failed)
        self._desk = serving.Desk(perform, tasks=self._tasks, clock=clocks.SystemClock())

    def connection(self):
        async def carry(request):
            return await asyncio.shield(self._desk.submit(request))

        return wire.CarriedPlatform(
            carry, name="instance a", ids=ids.SystemIds(), agent="the same process"
        )

    async def stop(self):
        await self._tasks.stop()


async def test_a_call_goes_on_over_the_next_connection_of_its_agent(net):
    near, one, two = await net.bus(), await net.bus(), await net.bus()
    mock = mocks.MockPlatform()
    mock.on_sync.delay_s = 0.3
    agent = Agent(mock)
    first = await one.subscribe("a", agent.connection())
    call = asyncio.create_task((await near.connect("a")).sync(records.SyncDef()))
    await net.until(lambda: mock.on_sync.calls)
    first.end(errors.FatalError("the socket broke"))
    await two.subscribe("a", agent.connection())
    assert await call == records.SyncResult()
    assert mock.on_sync.calls == 1
    await agent.stop()


async def test_an_older_agent_is_not_asked_for_what_it_does_not_know(net):
    near, far = await net.bus(), await net.bus()
    mock = mocks.MockPlatform(methods=("ping", "version"))
    await far.subscribe("a", mock)
    platform = await near.connect("a")
    with pytest.raises(errors.UpgradeNeededError, match="agent of instance a does not know export"):
        await platform.export()
    assert mock.on_export.calls == 0
    await platform.ping()


async def test_an_agent_of_ones_own_bus_is_reached_without_nats(net):
    bus = await net.bus()
    await bus.subscribe("a", mocks.MockPlatform())
    await net.server.kill()
    platform = await bus.connect("a")
    assert await platform.version() == "mock"


@pytest.mark.parametrize("max_payload", [4096, 1 << 20])
async def test_what_is_too_large_for_nats_goes_in_pieces(net, max_payload):
    await net.server.kill()
    await net.start(max_payload=max_payload)
    registry = prometheus_client.CollectorRegistry()
    near = await net.bus(metrics=instrument.BusMetrics(registry))
    far = await net.bus()
    mock = mocks.MockPlatform()
    text = "".join(chr(32 + n % 90) for n in range(700_001))
    mock.on_export.answer = text
    await far.subscribe("a", mock)
    platform = await near.connect("a")
    assert await platform.export() == text
    definition = records.SyncDef(actions=(records.SyncAction(resource_id="x", apply=text),))
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(platform.sync(definition))
            group.create_task(platform.export())
    assert mock.on_sync.asked == [(definition,)] * 3
    came = registry.get_sample_value("understudy_bus_parcel_bytes_total", {"direction": "in"})
    assert came > 4 * len(text)


async def test_what_is_longer_than_may_be_is_told(net):
    limits = {"message_bytes_max": 300_000, "parcels_bytes_max": 300_000}
    near, far = await net.bus(**limits), await net.bus(**limits)
    mock = mocks.MockPlatform()
    mock.on_export.answer = "x" * 300_000
    await far.subscribe("a", mock)
    platform = await near.connect("a")
    with pytest.raises(errors.TooLargeError, match="the bus carries 300,000"):
        await platform.export()
    action = records.SyncAction(resource_id="x", apply=mock.on_export.answer)
    with pytest.raises(errors.TooLargeError, match="what sync was given has 300,"):
        await platform.sync(records.SyncDef(actions=(action,)))
    assert mock.on_sync.calls == 0


async def test_large_messages_wait_for_room(net):
    limits = {"message_bytes_max": 400_000, "parcels_bytes_max": 400_000}
    near, far = await net.bus(**limits), await net.bus(**limits)
    mock = mocks.MockPlatform()
    mock.on_export.answer = "x" * 300_000
    await far.subscribe("a", mock)
    platform = await near.connect("a")
    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(platform.export()) for _ in range(8)]
    assert {len(call.result()) for call in calls} == {300_000}
    assert mock.on_export.calls == 8


async def test_no_more_is_begun_than_there_is_room_for_answers(net):
    limits = {"message_bytes_max": 400_000, "parcels_bytes_max": 400_000}
    far = await net.bus(limits=serving.Limits(running_max=2), **limits)
    hoarding, near = await net.bus(**limits), await net.bus(**limits)
    mock = mocks.MockPlatform()
    mock.on_export.answer = "x" * 300_000
    await far.subscribe("a", mock)
    hoarding._inbox.take = lambda *_: None  # Its answer stays where it is.
    calls = [asyncio.create_task((await hoarding.connect("a")).export())]
    await net.until(lambda: far._outbox.size_of(next(iter(hoarding._calls), "") + ".response"))
    calls += [asyncio.create_task((await near.connect("a")).export()) for _ in range(5)]
    await net.until(lambda: mock.on_export.calls == 3)
    await asyncio.sleep(0.1)
    assert mock.on_export.calls == 3, "two wait for room, the others for their turn"
    calls[0].cancel()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [len(one) for one in answers[1:]] == [300_000] * 5


async def test_a_bus_that_is_closed_ends_its_calls(net):
    near, far = await net.bus(), await net.bus()
    hanging = mocks.MockPlatform()
    hanging.on_sync.delay_s = -1
    await far.subscribe("a", hanging)
    platform = await near.connect("a")
    call = asyncio.create_task(platform.sync(records.SyncDef()))
    await net.until(lambda: hanging.on_sync.calls)
    await near.close()
    with pytest.raises(errors.UnavailableError, match="the bus was closed"):
        await call
    with pytest.raises(errors.UnavailableError, match="the bus was closed"):
        await platform.ping()


async def test_more_calls_than_an_agent_takes_on_wait_or_are_refused(net):
    near = await net.bus()
    far = await net.bus(limits=serving.Limits(running_max=1, waiting_max=1))
    mock = mocks.MockPlatform()
    mock.on_ping.delay_s = 0.2
    await far.subscribe("a", mock)
    platform = await near.connect("a")
    results = await asyncio.gather(*(platform.ping() for _ in range(3)), return_exceptions=True)
    refused = [one for one in results if one is not None]
    assert [type(one) for one in refused] == [errors.UnavailableError]
    assert "no more can wait" in str(refused[0])
    assert mock.on_ping.calls == 2


async def test_many_calls_at_once_all_get_their_own_answers(net):
    near, far = await net.bus(calls_max=50), await net.bus()
    await far.subscribe("a", Echo())
    platform = await near.connect("a")
    async with asyncio.TaskGroup() as group:
        calls = {
            path: group.create_task(platform.call_api(records.ApiRequest(method="GET", path=path)))
            for path in map(str, range(500))
        }
    assert {path: call.result().body for path, call in calls.items()} == {
        path: path for path in calls
    }


class Echo(mocks.MockPlatform):
    async def call_api(self, request):
        return records.ApiAnswer(status=200, body=request.path)


async def test_a_request_that_is_asked_twice_runs_once(net):
    near, far = await net.bus(), await net.bus()
    mock = mocks.MockPlatform()
    mock.on_export.answer = "text"
    mock.on_export.delay_s = 0.05
    await far.subscribe("a", mock)
    platform = await near.connect("a")
    asked = wire.Request(id="1", method="export", deadline_s=5)
    twice = await asyncio.gather(platform.carry(asked), platform.carry(asked))
    assert twice == [wire.Response(id="1", result="text")] * 2
    assert await platform.carry(asked) == twice[0], "its answer was lost further on"
    assert mock.on_export.calls == 1


async def test_what_makes_no_sense_is_passed_over(net):
    near, far = await net.bus(), await net.bus()
    await far.subscribe("a", mocks.MockPlatform())
    client = await nats_py.connect(net.server.url)
    letter = b'{"sender": "x", "id": "1", "connection": "c"}\n'
    for subject in (
        f"understudy.to.{far._name}",
        "understudy.presence.a",
        "understudy.presence.B",
    ):
        for data in (b"", b"{", b"[]", b"\n{", letter + b"[]", b'{"instance": "A.b"}'):
            await client.publish(subject, data)
    await client.flush()
    await client.close()
    platform = await near.connect("a")
    assert await platform.version() == "mock"


async def test_a_request_that_makes_no_sense_is_answered_so(net):
    near, far = await net.bus(), await net.bus()
    await far.subscribe("a", mocks.MockPlatform())
    platform = await near.connect("a")
    asked = wire.Request(id="1", method="sync", arguments={"definition": 3}, deadline_s=5)
    response = await platform.carry(asked)
    assert response.error == errors.InvalidRequestError("SyncDef: must be an object")
    teleport = wire.Request(id="2", method="teleport", deadline_s=5)
    (way,) = near._ways.values()
    response = await way.carry(teleport)
    assert response.error == errors.UpgradeNeededError("the agent does not know teleport")


@pytest.mark.parametrize("instance", ["", "A", "a.b", "a*", ">", "a/b", "-a", "a" * 64, "a b"])
async def test_an_instance_that_cannot_be_a_subject_is_refused(net, instance):
    bus = await net.bus()
    for ask in (bus.connect, bus.presence, bus.ping, bus.version):
        with pytest.raises(errors.InvalidRequestError, match="must be a DNS label"):
            await ask(instance)
    with pytest.raises(errors.InvalidRequestError, match="must be a DNS label"):
        await bus.subscribe(instance, mocks.MockPlatform())


@pytest.mark.parametrize("prefix", ["", "a b", "a.>", "*", ".a"])
def test_a_prefix_that_cannot_be_a_subject_is_refused(prefix):
    with pytest.raises(errors.InvalidRequestError, match="prefix"):
        settings.NatsSettings(prefix=prefix)


async def test_buses_of_another_prefix_are_another_bus(net):
    near, far = await net.bus(prefix="one.x", roll_call_s=0.1), await net.bus(prefix="two")
    await far.subscribe("a", mocks.MockPlatform())
    assert (await near.presence("a")).state == "never_seen"


async def test_where_there_is_no_nats_opening_says_so():
    given = settings.NatsSettings(servers=("nats://word@127.0.0.1:1",), connect_timeout_s=0.3)
    bus = nats.NatsMessageBus(given)
    with pytest.raises(errors.UnavailableError, match=r"NATS cannot be reached at 127.0.0.1:1: "):
        await bus.open()
    await bus.close()


async def test_a_server_that_refuses_us_says_why_and_our_word_is_not_told(net):
    await net.server.kill()
    await net.start(token="secret")
    wrong = settings.NatsSettings(
        servers=(net.server.url.replace("//", "//wrong-word@"),), connect_timeout_s=0.5
    )
    with pytest.raises(errors.UnavailableError, match="Authorization Violation") as caught:
        await nats.NatsMessageBus(wrong).open()
    assert "wrong-word" not in str(caught.value)
    right = settings.NatsSettings(servers=(net.server.url.replace("//", "//secret@"),))
    async with nats.NatsMessageBus(right) as near, nats.NatsMessageBus(right) as far:
        waiting = asyncio.create_task(near.wait_until_connected("a", 5))
        await far.subscribe("a", mocks.MockPlatform())
        await waiting
        await near.ping("a")


async def test_two_agents_that_take_turns_are_told_of(net, caplog):
    caplog.set_level(logging.WARNING)
    one, two = await net.bus(), await net.bus()
    for _ in range(3):
        for bus in (one, two):
            subscription = await bus.subscribe("a", mocks.MockPlatform())
            for other in (one, two):
                await net.heard(other, subscription)
    assert "several agents use the identity of instance a" in caplog.text


def test_every_method_has_a_deadline():
    assert set(protocol.DEADLINES_S) == set(protocol.METHODS)
