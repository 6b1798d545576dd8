"""The gateway: cold start, added latency, share of requests; and a watch over many apps.

    python bench/bench_gateway.py [--seconds 4] [--only cold,latency,rate,watch]

The baseline is the same app asked directly, in the same run. The app is examples/hello and, so
that the gateway and not the app is measured, a server that does nothing but answer.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import uvloop

from understudy import assembly
from understudy.apps import client as app_clients, clusters, records, settings
from understudy.client import connections, protocol
from understudy.controllers.knative import installing
from understudy.controllers.runtime import ports
from understudy.kapi import views
from understudy.kube import objects

HELLO = Path(__file__).resolve().parents[1] / "examples" / "hello"
BARE = """
import asyncio, os, uvloop
ANSWER = b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nContent-Type: text/plain\\r\\n\\r\\nok"
class Bare(asyncio.Protocol):
    def connection_made(self, transport): self.transport, self.kept = transport, b""
    def data_received(self, data):
        self.kept += data
        while (end := self.kept.find(b"\\r\\n\\r\\n")) >= 0:
            self.kept = self.kept[end + 4:]
            self.transport.write(ANSWER)
async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Bare, "127.0.0.1", int(os.environ["PORT"]), backlog=512)
    await server.serve_forever()
uvloop.run(main())
"""
ACTIVE = records.DeploymentStatus.ACTIVE
WORKING = BARE.replace(
    "self.transport.write(ANSWER)",
    "asyncio.get_running_loop().call_later(0.02, self.transport.write, ANSWER)",
)
"""The same, after 20 ms of waiting, as for a database."""
AUTOSCALER = {"stable-window": "1s", "scale-to-zero-grace-period": "300ms"}


class Up:
    """`understudy up` in a process of its own."""

    def __init__(self, directory: Path) -> None:
        self.kubeconfig = directory / "kubeconfig"
        self._data = directory / "data"
        self._process: subprocess.Popen[str] | None = None
        self.port = 0

    def start(self) -> None:
        words = ["up", "--port", "0", "--gateway-port", "0", "--data-dir", str(self._data)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "understudy", *words, "--kubeconfig", str(self.kubeconfig)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("apps at"):
                self.port = int(line.rpartition(":")[2])
                return
        raise SystemExit("understudy up ended")

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(30)


@contextlib.asynccontextmanager
async def cluster(directory: Path) -> AsyncIterator[tuple[Up, protocol.Client]]:
    """Yield a running cluster whose idle apps go after a second."""
    up = Up(directory)
    up.start()
    client = connections.connect(kubeconfig=str(up.kubeconfig), context=None)
    try:
        await client.patch(
            "configmaps", "config-autoscaler", {"data": AUTOSCALER}, namespace="knative-serving"
        )
        await client.close()
        up.stop()
        up.start()
        client = connections.connect(kubeconfig=str(up.kubeconfig), context=None)
        yield up, client
    finally:
        await client.close()
        up.stop()


async def deploy(client: protocol.Client, name: str, command: list[str], low: int) -> str:
    """Deploy an app of a command; return the host under which it is reached."""
    limits = await clusters.read_limits(client)
    apps = app_clients.KnativeAppClient(client, settings.AppSettings(limits=limits))
    app_id = records.Identifier(project="p", domain="d", name=name)
    container = records.Container(image="none", command=tuple(command), working_dir=str(HELLO))
    scaling = records.AutoscalingConfig(replicas=records.Replicas(min=low, max=1))
    spec = records.Spec(container=container, autoscaling=scaling)
    await apps.deploy(records.App(metadata=records.Meta(id=app_id), spec=spec))
    async with asyncio.timeout(30):
        while (await apps.get(app_id)).phase is not ACTIVE:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await apps.close()
    return f"{name}-p-d.default.localhost"


async def pods_of(client: protocol.Client, name: str) -> list[objects.Object]:
    """Return the pods of an app."""
    found = await client.list(
        "pods",
        namespace="default",
        label_selector=f"serving.knative.dev/service={name}-p-d",
    )
    return found.items


# ---------------------------------------------------------------------- asking


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> bytes:
    """Send one request on an open connection; return the first line of the answer."""
    writer.write(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
    await reader.readexactly(length)
    return head.partition(b"\r\n")[0]


async def load(port: int, host: str, connections_: int, seconds: float) -> list[float]:
    """Ask over some connections, one request at a time on each; return the latencies."""
    times: list[float] = []
    ends_s = time.perf_counter() + seconds

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (start := time.perf_counter()) < ends_s:
            line = await ask(reader, writer, host)
            assert b"200" in line, line
            times.append(time.perf_counter() - start)
        writer.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(connections_):
            group.create_task(one())
    return times


def points(times: list[float]) -> tuple[float, float]:
    """Return the median and the 99th percentile in milliseconds."""
    ordered = sorted(times)
    return 1e3 * ordered[len(ordered) // 2], 1e3 * ordered[int(len(ordered) * 0.99)]


async def compared(up: Up, client: protocol.Client, only: set[str], seconds: float) -> None:
    """Ask apps directly and through the gateway, in turns; print the middle one of rounds."""
    for name, command in (
        ("hello", [sys.executable, "app.py"]),
        ("bare", [sys.executable, "-c", BARE]),
        ("working", [sys.executable, "-c", WORKING]),
    ):
        host = await deploy(client, name, command, 1)
        (pod,) = await pods_of(client, name)
        direct = ports.local_port(pod, "user-port")
        assert direct is not None
        for count in [1, 16] * ("latency" in only) + [64] * ("rate" in only):
            rounds = []
            for _ in range(3):
                alone = await load(direct, host, count, seconds / 2)
                through = await load(up.port, host, count, seconds / 2)
                rounds.append((alone, through))
            alone, through = sorted(rounds, key=lambda r: len(r[1]) / len(r[0]))[1]
            (a50, a99), (t50, t99) = points(alone), points(through)
            print(
                f"{name}, {count} connections: direct {len(alone) * 2 / seconds:,.0f}/s"
                f" p50 {a50:.2f} p99 {a99:.2f} ms; gateway {len(through) * 2 / seconds:,.0f}/s"
                f" p50 {t50:.2f} p99 {t99:.2f} ms; added {t50 - a50:.2f} and {t99 - a99:.2f} ms,"
                f" ratio {len(through) / len(alone):.0%}"
            )


async def cold(up: Up, client: protocol.Client) -> None:
    """Measure the first request to an app without replicas, and the app's own start."""
    host = await deploy(client, "cold", [sys.executable, "app.py"], 0)
    times = []
    for _ in range(5):
        async with asyncio.timeout(30):
            while await pods_of(client, "cold"):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        reader, writer = await asyncio.open_connection("127.0.0.1", up.port)
        start = time.perf_counter()
        assert b"200" in await ask(reader, writer, host)
        times.append(time.perf_counter() - start)
        writer.close()
    alone = [await started_alone() for _ in range(5)]
    print(
        f"cold start through the gateway: {statistics.median(times):.3f} s"
        f" ({min(times):.3f}-{max(times):.3f}); the process alone: {statistics.median(alone):.3f} s"
    )


async def started_alone() -> float:
    """Return the seconds from the start of examples/hello to its first answer."""
    port = ports.Allocator(os.getpid()).allocate({}, [8080])[8080]
    start = time.perf_counter()
    process = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "app.py"], cwd=HELLO, env=dict(os.environ, PORT=str(port)),
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                break
            except OSError:
                await asyncio.sleep(0.002)
        await ask(reader, writer, "x")
        writer.close()
        return time.perf_counter() - start
    finally:
        process.terminate()
        process.wait()


# ---------------------------------------------------------------------- watch

APPS, EVENTS_PER_S = 1_000, 1_000


async def watch(seconds: float) -> None:
    """Change 1,000 apps 1,000 times a second; one subscriber reads 50 messages a second."""
    view = views.new_view()
    installing.install(view)
    client = assembly.ViewClient(view)
    apps = app_clients.KnativeAppClient(client, settings.AppSettings())
    for number in range(APPS):
        app_id = records.Identifier(project="p", domain="d", name=f"app{number:04d}")
        spec = records.Spec(container=records.Container(image="x:0"))
        await apps.deploy(records.App(metadata=records.Meta(id=app_id), spec=spec))
    told: dict[str, records.App] = {}
    fast: dict[str, records.App] = {}
    resyncs = 0

    def take(into: dict[str, records.App], message: records.WatchResponse) -> None:
        for event in (message.create_event, message.update_event):
            if event is not None:
                app = getattr(event, "app", None) or event.updated_app
                into[app.id.name] = app

    async def read(into: dict[str, records.App], pause_s: float) -> None:
        nonlocal resyncs
        async with apps.subscribe() as subscription:
            async for message in subscription:
                take(into, message)
                resyncs += message.marker is records.Marker.RESYNC
                depths.append(subscription.depth)
                await asyncio.sleep(pause_s if not is_over.is_set() else 0)

    depths: list[int] = []
    is_over = asyncio.Event()
    readers = [asyncio.ensure_future(read(told, 0.02)), asyncio.ensure_future(read(fast, 0))]
    while len(fast) < APPS:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    before = rss_bytes()
    loop = asyncio.get_running_loop()
    begun_s, done = loop.time(), 0
    while loop.time() - begun_s < seconds:
        for _ in range(10):
            change(view, done)
            done += 1
        await asyncio.sleep(max(0.0, begun_s + done / EVENTS_PER_S - loop.time()))
    rate = done / (loop.time() - begun_s)
    grown = rss_bytes() - before
    is_over.set()
    final = {app.id.name: app for app in (await apps.list()).apps}
    async with asyncio.timeout(60):
        while told != final or fast != final:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    print(
        f"watch: {done:,} changes of {APPS:,} apps at {rate:,.0f}/s; both readers end with the"
        f" present state of every app; the slow one was told of {resyncs} gaps;"
        f" at most {max(depths):,} apps waited, memory grew by {grown / 2**20:.1f} MiB"
    )
    for reader in readers:
        reader.cancel()
    await asyncio.gather(*readers, return_exceptions=True)
    await apps.close()


def rss_bytes() -> int:
    """Return this process's resident memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def change(view: views.View, number: int) -> None:
    """Write another condition into a Service's status, as Knative does."""
    name = f"app{number % APPS:04d}-p-d"
    found = view.get("services.serving.knative.dev", name, "default")
    found["status"] = {
        "conditions": [{"type": "Ready", "status": "Unknown", "message": f"change {number}"}],
        "observedGeneration": 1,
    }
    view.update("services.serving.knative.dev", found, "default", subresource="status")


async def main(only: set[str], seconds: float) -> None:
    """Measure what is named."""
    with tempfile.TemporaryDirectory(prefix="understudy-bench-") as directory:
        if only & {"cold", "latency", "rate"}:
            async with cluster(Path(directory)) as (up, client):
                if "cold" in only:
                    await cold(up, client)
                await compared(up, client, only, seconds)
    if "watch" in only:
        await watch(seconds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--only", default="cold,latency,rate,watch")
    given = parser.parse_args()
    uvloop.run(main(set(given.only.split(",")), given.seconds))
