"""What a bus costs: latency and throughput of calls to an agent, over either bus.

    .venv/bin/python bench/bench_bus.py [--seconds 1] [--rounds 5]

The agent answers at once. The baseline is the NATS client's own request and reply. Over NATS,
agent and caller are on two buses of one process, joined by a real nats-server on loopback: what is
measured includes both ends' work on one core. Prints medians of the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import nats as nats_py
from nats.aio import msg as nats_messages

from understudy.platform import protocol, records
from understudy.platform.bus import nats, settings, standalone
from understudy.testing import brokers, mocks

try:
    import uvloop

    new_loop = uvloop.new_event_loop
except ImportError:
    new_loop = asyncio.new_event_loop

BODY = "x" * 3000
LARGE = "kind: ConfigMap  # as an export has many of them\n" * 90_000
CALLERS = 32
AGENTS = 200


class Agent(mocks.MockPlatform):
    """Answers at once, and forgets what it was asked."""

    async def ping(self) -> None:
        return None

    async def call_api(self, request: records.ApiRequest) -> records.ApiAnswer:
        return records.ApiAnswer(status=200, body=BODY)

    async def export(self) -> str:
        return LARGE


@contextlib.asynccontextmanager
async def standalone_bus(agent: Agent) -> AsyncIterator[protocol.Platform]:
    """Call it over a bus within the process."""
    bus = standalone.StandaloneMessageBus()
    await bus.subscribe("prod-eu", agent)
    yield await bus.connect("prod-eu")
    await bus.close()


@contextlib.asynccontextmanager
async def nats_bus(agent: Agent) -> AsyncIterator[protocol.Platform]:
    """Call it over a bus that has many other agents."""
    async with brokers.NatsServer() as server:
        given = settings.NatsSettings(servers=(server.url,))
        async with nats.NatsMessageBus(given) as far, nats.NatsMessageBus(given) as near:
            for number in range(AGENTS - 1):
                await far.subscribe(f"other-{number}", agent)
            await far.subscribe("prod-eu", agent)
            yield await near.connect("prod-eu")


async def baseline(seconds: float, rounds: int) -> None:
    """Print what request and reply cost without a bus."""
    async with brokers.NatsServer() as server:
        near, far = await nats_py.connect(server.url), await nats_py.connect(server.url)

        async def answer(message: nats_messages.Msg) -> None:
            await message.respond(b"x")

        await far.subscribe("x", cb=answer)
        # The client's flush may overtake the subscription.
        await asyncio.sleep(0.1)
        await print_calls("NATS alone", "request", lambda: near.request("x", b"x"), seconds, rounds)
        await near.close()
        await far.close()


async def one_after_another(call: Callable[[], Awaitable[object]], seconds: float) -> list[float]:
    """Return how long each call took."""
    took = []
    end = time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        await call()
        took.append(time.perf_counter() - start)
    return took


async def at_once(call: Callable[[], Awaitable[object]], seconds: float) -> float:
    """Return calls a second of several callers."""
    async with asyncio.TaskGroup() as group:
        start = time.perf_counter()
        tasks = [group.create_task(one_after_another(call, seconds)) for _ in range(CALLERS)]
    return sum(len(task.result()) for task in tasks) / (time.perf_counter() - start)


async def print_calls(
    name: str, what: str, call: Callable[[], Awaitable[object]], seconds: float, rounds: int
) -> None:
    """Print the latency of calls one after another, and how many there are at once."""
    await call()
    took = [await one_after_another(call, seconds) for _ in range(rounds)]
    rates = [await at_once(call, seconds) for _ in range(rounds)]
    p50 = statistics.median(statistics.median(one) for one in took)
    p99 = statistics.median(statistics.quantiles(one, n=100)[98] for one in took)
    print(
        f"{name:12} {what:16} p50 {p50 * 1e6:7.0f} us   p99 {p99 * 1e6:7.0f} us   "
        f"{CALLERS} callers: {statistics.median(rates):8.0f}/s"
    )


async def measure(
    name: str,
    reach: Callable[[Agent], contextlib.AbstractAsyncContextManager[protocol.Platform]],
    seconds: float,
    rounds: int,
) -> None:
    """Print one line for each kind of call."""
    async with reach(Agent()) as platform:
        request = records.ApiRequest(method="GET", path="/api/v1/namespaces/default/pods/web")
        for what, call in (
            ("ping", platform.ping),
            ("call_api, 3 KB", lambda: platform.call_api(request)),
        ):
            await print_calls(name, what, call, seconds, rounds)
        spent = []
        for _ in range(rounds):
            start = time.perf_counter()
            await platform.export()
            spent.append(time.perf_counter() - start)
        size = len(LARGE) / 2**20
        print(f"{name:12} export, {size:.1f} MiB  {statistics.median(spent) * 1e3:.1f} ms")


async def main() -> None:
    """Measure every way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    await baseline(given.seconds, given.rounds)
    for name, reach in (
        ("standalone", standalone_bus),
        (f"NATS ({AGENTS})", nats_bus),
    ):
        await measure(name, reach, given.seconds, given.rounds)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
