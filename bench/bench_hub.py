"""What a hub costs: memory for each agent, and what a request takes longer than without it.

    .venv/bin/python bench/bench_hub.py [--agents 200] [--requests 2000]

The hub and the embedded API server are processes of their own; agents and callers are in this one.
The baseline, in the same run, is the same client on the same server without a hub.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from understudy import assembly
from understudy.client import connections, http, protocol
from understudy.delivery import deliveries, manifests, targets
from understudy.platform import agent, kubernetes
from understudy.platform.hub import clients
from understudy.testing import mocks

CALLERS = 32
OBJECTS = 200


@contextmanager
def server(*words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a command of ours until the block ends; give it and its URL."""
    process = subprocess.Popen(
        [sys.executable, "-m", "understudy", *words, "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().split()[-1]
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def rss_mib(process: subprocess.Popen[str]) -> float:
    """Return a process's resident memory."""
    return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * 4096 / 2**20


async def timed(call: Callable[[], Awaitable[object]], count: int) -> tuple[float, float, float]:
    """Return median and 99th percentile of the time of one call in ms, and calls per second."""
    times = []
    for _ in range(min(count, 500)):
        start = time.perf_counter()
        await call()
        times.append((time.perf_counter() - start) * 1000)
    left = iter(range(count))

    async def work() -> None:
        for _ in left:
            await call()

    start = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(CALLERS):
            group.create_task(work())
    return (
        statistics.median(times),
        statistics.quantiles(times, n=100)[98],
        count / (time.perf_counter() - start),
    )


def shown(what: str, found: tuple[float, float, float]) -> None:
    """Print one line."""
    print(f"{what:42} median {found[0]:6.2f} ms   99 % {found[1]:6.2f} ms   {found[2]:7.0f}/s")


def application() -> list[manifests.Manifest]:
    """Return some objects to deliver."""
    return [
        manifests.Manifest(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": f"map-{n}", "namespace": "default"},
                "data": {f"key-{i}": "value" * 10 for i in range(20)},
            },
            manifests.Source("bench", n + 1),
        )
        for n in range(OBJECTS)
    ]


async def deliver(client: protocol.Client, name: str) -> float:
    """Return how long it takes to rehearse and deliver, in seconds."""
    start = time.perf_counter()
    made = deliveries.Deliveries(client, assembly.LoadingStages())
    given = [
        manifests.Manifest(
            {**one.obj, "metadata": {**one.obj["metadata"], "name": f"{name}-{n}"}}, one.source
        )
        for n, one in enumerate(application())
    ]
    await made.deliver(targets.Owner(name, "default"), given)
    return time.perf_counter() - start


async def compared(url: str, kubeconfig: Path, requests: int) -> None:
    """Compare a client through the hub with the same client without it."""
    real = connections.connect(kubeconfig=kubeconfig)
    direct = connections.connect(kubeconfig=kubeconfig)
    there = http.HttpClient(clients.Place(url=url).access("prod-eu"))
    platform = kubernetes.KubernetesPlatform(real, relay=real.relay)
    made = agent.Agent(platform, agent.Settings(hub=url, instance="prod-eu"))
    async with asyncio.TaskGroup() as group:
        group.create_task(made.run())
        await made.connected.wait()
        body = {"metadata": {"name": "three"}, "data": {"text": "x" * 3000}}
        await direct.create("configmaps", body, namespace="default")
        for what, client in (("directly", direct), ("through the hub", there)):
            await client.discover()

            async def get(client: protocol.Client = client) -> object:
                return await client.get("configmaps", "three", namespace="default")

            shown(f"GET of 3 KB {what}", await timed(get, requests))
        for what, client in (("directly", direct), ("through the hub", there)):
            took = await deliver(client, "a" if client is direct else "b")
            print(f"{f'rehearse and deliver {OBJECTS} objects {what}':42} {took:6.2f} s")
        for n in range(40):
            body = {"metadata": {"name": f"big-{n}"}, "data": {"text": f"{n} " * 130_000}}
            await direct.create("configmaps", body, namespace="default")
        for what, client in (("directly", direct), ("through the hub", there)):
            start = time.perf_counter()
            size = sum(
                len(one["data"].get("text", ""))
                for one in (await client.list("configmaps", namespace="default")).items
            )
            took = time.perf_counter() - start
            print(f"{f'LIST of {size / 2**20:.0f} MiB {what}':42} {took:6.2f} s")
        made.stop()
    for client in (real, direct, there):
        await client.close()


async def crowd(process: subprocess.Popen[str], url: str, agents: int, requests: int) -> None:
    """Connect many agents, and ask them."""
    before = rss_mib(process)
    made = [
        agent.Agent(mocks.MockPlatform(), agent.Settings(hub=url, instance=f"c-{n}"))
        for n in range(agents)
    ]
    async with asyncio.TaskGroup() as group, clients.HubClient(clients.Place(url=url)) as client:
        start = time.perf_counter()
        for one in made:
            group.create_task(one.run())
        for one in made:
            await one.connected.wait()
        print(f"{agents} agents connected in {time.perf_counter() - start:.2f} s")
        each = (rss_mib(process) - before) * 1024 / agents
        print(f"memory of the hub: {before:.0f} MiB alone, {each:.0f} KiB more for each agent")
        turn = iter(range(10**9))

        async def ping() -> None:
            await client.platform(f"c-{next(turn) % agents}").ping()

        shown(f"ping of {agents} agents in turn", await timed(ping, requests))
        start = time.perf_counter()
        await client.instances()
        print(f"list of {agents} instances: {(time.perf_counter() - start) * 1000:.0f} ms")
        for one in made:
            one.stop()


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--agents", type=int, default=200)
    arguments.add_argument("--requests", type=int, default=2000)
    given = arguments.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        kubeconfig = folder / "kubeconfig"
        stack.enter_context(
            server("serve", "--kubeconfig", str(kubeconfig), "--controllers", "none")
        )
        process, url = stack.enter_context(
            server("hub", "--audit-log", str(folder / "audit.jsonl"))
        )
        asyncio.run(crowd(process, url, given.agents, given.requests))
        asyncio.run(compared(url, kubeconfig, given.requests))


if __name__ == "__main__":
    main()
