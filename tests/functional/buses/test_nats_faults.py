"""What goes wrong between hubs: nothing runs twice, nothing hangs, everything recovers by itself."""

import asyncio
import random

import prometheus_client
import pytest

from understudy.platform import errors, instrument, records
from understudy.testing import mocks

SYNC = records.SyncDef(actions=(records.SyncAction(resource_id="x", apply="kind: A"),))


class Counting(mocks.MockPlatform):
    """Remembers what it was asked to sync, and takes its time."""

    def __init__(self, delay_s=0.0):
        super().__init__()
        self.ran = []
        self.on_sync.delay_s = delay_s

    async def sync(self, definition):
        self.ran.append(definition.request_id)
        return await super().sync(definition)


async def pair(net, delay_s=0.0, metrics=None, **changes):
    """Return a caller's platform, the agent's, and the cables of both buses."""
    cables = [await net.cable(), await net.cable()]
    near = await net.bus(cable=cables[0], metrics=metrics, **changes)
    far = await net.bus(cable=cables[1], **changes)
    mock = Counting(delay_s)
    await far.subscribe("a", mock)
    await near.ping("a")
    return await near.connect("a"), mock, near, far, *cables


async def test_a_call_outlives_a_restart_of_nats(net):
    registry = prometheus_client.CollectorRegistry()
    metrics = instrument.BusMetrics(registry)
    platform, mock, near, _, *_ = await pair(net, delay_s=0.5, metrics=metrics)
    call = asyncio.create_task(platform.sync(SYNC))
    await net.until(lambda: mock.ran)
    await net.server.kill()
    await asyncio.sleep(0.7)  # It is done meanwhile, and cannot say so.
    assert registry.get_sample_value("understudy_bus_connected") == 0
    await net.server.start()
    assert await call == records.SyncResult()
    assert len(mock.ran) == 1
    assert registry.get_sample_value("understudy_bus_connected") == 1
    assert registry.get_sample_value("understudy_bus_resent_total") >= 1
    await near.ping("a")


async def test_a_call_made_while_nats_is_away_waits_for_it(net):
    platform, mock, *_ = await pair(net)
    await net.server.kill()
    call = asyncio.create_task(platform.sync(SYNC))
    await asyncio.sleep(0.1)
    assert not call.done()
    await net.server.start()
    await call
    assert len(mock.ran) == 1


async def test_without_nats_calls_end_by_their_deadlines_or_when_patience_does(net):
    platform, _, near, far, *_ = await pair(net, deadlines_s={"ping": 0.3}, patience_s=0.6)
    await net.server.kill()
    with pytest.raises(errors.DeadlineError):
        await platform.ping()
    with pytest.raises(errors.UnavailableError, match=r"NATS cannot be reached at nats://127"):
        await platform.sync(SYNC)
    await net.presence(near, "lost")
    assert (await far.presence("a")).state == "connected"


async def test_an_answer_that_is_lost_is_sent_again_and_nothing_runs_twice(net):
    platform, mock, _, _, near_cable, _ = await pair(net)
    loop = asyncio.get_running_loop()
    severed = []

    def sever(definition):
        severed.append(loop.create_task(near_cable.sever()))
        loop.call_later(0.3, lambda: severed.append(loop.create_task(near_cable.mend())))

    mock.on_sync.check = sever
    mock.on_sync.delay_s = 0.1
    assert await platform.sync(SYNC) == records.SyncResult()
    assert len(mock.ran) == 1
    await asyncio.gather(*severed)


@pytest.mark.parametrize("whose", ["near", "far"])
async def test_a_short_cut_delays_a_call(net, whose):
    platform, mock, near, _, near_cable, far_cable = await pair(net, heartbeat_s=1.0)
    cable = near_cable if whose == "near" else far_cable
    cable.cut()
    call = asyncio.create_task(platform.sync(SYNC))
    await asyncio.sleep(0.3)
    assert not call.done()
    await cable.mend()
    assert await call == records.SyncResult()
    assert len(mock.ran) == 1
    assert (await near.presence("a")).state == "connected"


@pytest.mark.parametrize("whose", ["near", "far"])
async def test_a_long_cut_is_seen_and_recovers_by_itself(net, whose):
    platform, mock, near, far, near_cable, far_cable = await pair(net, delay_s=0.3)
    cable = near_cable if whose == "near" else far_cable
    call = asyncio.create_task(platform.sync(SYNC))
    await net.until(lambda: mock.ran)
    cable.cut()
    found = await net.presence(near, "lost")
    assert "nothing was heard of it for" in found.reason
    await asyncio.sleep(0.5)
    await cable.mend()
    assert await call == records.SyncResult()
    assert len(mock.ran) == 1
    await net.presence(near, "connected")
    await near.ping("a")
    assert (await far.presence("a")).state == "connected"


async def test_a_cut_for_good_ends_calls_by_their_deadlines(net):
    platform, mock, *_, far_cable = await pair(net, deadlines_s={"sync": 0.6}, delay_s=-1)
    call = asyncio.create_task(platform.sync(SYNC))
    await net.until(lambda: mock.ran)
    far_cable.cut()
    with pytest.raises(errors.DeadlineError, match=r"sync (was not done )?within"):
        await call
    # The agent's bus cannot hear of it, and its own deadline stops it there.
    assert len(mock.ran) == 1


async def test_patience_with_an_agent_that_fell_silent_ends(net):
    platform, mock, *_, far_cable = await pair(net, patience_s=0.7, delay_s=-1)
    call = asyncio.create_task(platform.sync(SYNC))
    await net.until(lambda: mock.ran)
    far_cable.cut()
    with pytest.raises(errors.UnavailableError, match="nothing was heard of the agent"):
        await call


async def test_what_was_held_up_past_its_deadline_is_not_begun(net):
    # Heartbeats are rare here, so nobody takes the connection for dead while it is cut.
    platform, mock, *_, far_cable = await pair(net, deadlines_s={"sync": 0.2}, heartbeat_s=5.0)
    far_cable.cut()
    with pytest.raises(errors.DeadlineError):
        await platform.sync(SYNC)
    await far_cable.mend()
    await platform.ping()
    assert mock.ran == []


async def test_a_bus_that_is_gone_without_a_word_is_lost_and_its_agent_found_elsewhere(net):
    platform, mock, near, _, _, far_cable = await pair(net)
    await far_cable.sever()
    await net.presence(near, "lost")
    with pytest.raises(errors.UnavailableError, match="no agent is connected"):
        await platform.ping()
    other = await net.bus()
    again = await other.subscribe("a", mock)
    assert (await net.presence(near, "connected")).epoch == again.epoch
    await platform.ping()


async def test_two_agents_with_one_identity_never_carry_out_the_same_request(net):
    near, one, two = await net.bus(), await net.bus(), await net.bus()
    agents = [Counting(0.01), Counting(0.01)]
    platform = await near.connect("a")
    await one.subscribe("a", agents[0])
    await near.ping("a")
    outcomes = []

    async def ask(number):
        try:
            await platform.sync(records.SyncDef(request_id=str(number)))
        except (errors.KickedError, errors.UnavailableError) as error:
            outcomes.append(error)

    async with asyncio.TaskGroup() as group:
        for number in range(60):
            group.create_task(ask(number))
            if number % 10 == 0:
                await (one, two)[number // 10 % 2].subscribe("a", agents[number // 10 % 2])
            await asyncio.sleep(0.002)
    ran = agents[0].ran + agents[1].ran
    assert len(ran) == len(set(ran))
    assert len(ran) >= 60 - len(outcomes)


@pytest.mark.parametrize("seed", range(3))
async def test_in_any_disorder_nothing_runs_twice_and_every_call_ends(net, seed):
    platform, mock, near, _, near_cable, far_cable = await pair(
        net, delay_s=0.02, deadlines_s={"sync": 4.0}
    )
    chance = random.Random(seed)
    outcomes = {}

    async def ask(number):
        # Every tenth is too large for one message.
        text = "x" * (400_000 if number % 10 == 0 else 10)
        action = records.SyncAction(resource_id="x", apply=text)
        definition = records.SyncDef(request_id=str(number), actions=(action,))
        try:
            async with asyncio.timeout(5):
                outcomes[number] = await platform.sync(definition)
        except errors.PlatformError as error:
            outcomes[number] = error

    async def disturb():
        for _ in range(6):
            cable = chance.choice([near_cable, far_cable])
            match chance.randrange(3):
                case 0:
                    cable.cut()
                case 1:
                    await cable.sever()
                case 2:
                    await net.server.kill()
                    await net.server.start()
            await asyncio.sleep(chance.random() * 0.3)
            await cable.mend()
            await asyncio.sleep(chance.random() * 0.2)

    async with asyncio.TaskGroup() as group:
        group.create_task(disturb())
        for number in range(100):
            group.create_task(ask(number))
            await asyncio.sleep(0.01)
    assert len(outcomes) == 100
    assert len(mock.ran) == len(set(mock.ran))
    done = [number for number, found in outcomes.items() if isinstance(found, records.SyncResult)]
    assert {str(number) for number in done} <= set(mock.ran)
    assert len(done) > 50
    await net.presence(near, "connected")
    await near.ping("a")
