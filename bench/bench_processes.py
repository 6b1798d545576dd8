"""What it costs to run a program as a pod instead of by hand.

    .venv/bin/python bench/bench_processes.py [--rounds 5]

The baseline starts the same programs with `subprocess` and waits for the same thing: a line of
output, or a port that answers. Ours goes the whole way: a pod is created, scheduled, started,
probed and seen Ready in the API, in one process with all controllers. Prints medians.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from understudy.aio import clocks
from understudy.controllers import running
from understudy.controllers.runtime.processes import runtime, settings
from understudy.kapi import views

try:
    import uvloop

    new_loop = uvloop.new_event_loop
except ImportError:
    new_loop = asyncio.new_event_loop

LINE = ["sh", "-c", "echo up; exec sleep 1000"]
WEB = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1"]
MANY = 50
LOOK_S = 0.002


@contextlib.asynccontextmanager
async def machine() -> AsyncIterator[tuple[views.View, runtime.ProcessRuntime]]:
    """A view whose pods run here."""
    with tempfile.TemporaryDirectory() as directory:
        view = views.new_view(clock=clocks.SystemClock())
        chosen = settings.Processes(directory=Path(directory))
        pods = runtime.ProcessRuntime(chosen, inherited=dict(os.environ), on_failure=print)
        live = running.start(view, "all", more=pods.controllers())
        live.beside.append(pods.close)
        try:
            yield view, pods
        finally:
            await live.stop()


def create(view: views.View, name: str, argv: list[str], **more: object) -> None:
    """Create a pod of one container."""
    container = {"name": "app", "image": "none", "command": argv, **more}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 1}
    view.create("pods", {"metadata": {"name": name}, "spec": spec}, "default")


async def ready(view: views.View, name: str) -> None:
    """Wait until a pod is Ready."""
    while True:
        pod = view.find("pods", "default", name)
        conditions = ((pod or {}).get("status") or {}).get("conditions") or ()
        if any(one["type"] == "Ready" and one["status"] == "True" for one in conditions):
            return
        await asyncio.sleep(LOOK_S)


async def gone(view: views.View, name: str) -> None:
    """Wait until a pod is gone."""
    while view.find("pods", "default", name) is not None:  # noqa: ASYNC110
        await asyncio.sleep(LOOK_S)


def bare_lines(count: int) -> float:
    """Start programs and wait for a line of each."""
    begun = time.perf_counter()
    found = [subprocess.Popen(LINE, stdout=subprocess.PIPE) for _ in range(count)]
    for process in found:
        assert process.stdout is not None
        process.stdout.readline()
    took = time.perf_counter() - begun
    for process in found:
        process.kill()
        process.communicate()
    return took


def bare_web() -> float:
    """Start a web server and wait until it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    begun = time.perf_counter()
    process = subprocess.Popen(
        [*WEB, str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except ConnectionRefusedError:
            time.sleep(LOOK_S)
    took = time.perf_counter() - begun
    process.kill()
    process.wait()
    return took


def bare_command() -> float:
    """Run a program that ends at once."""
    begun = time.perf_counter()
    subprocess.run(["true"], check=True)
    return time.perf_counter() - begun


async def pod_lines(view: views.View, count: int) -> float:
    """Create pods and wait until all are Ready."""
    begun = time.perf_counter()
    for number in range(count):
        create(view, f"line-{number}", LINE)
    for number in range(count):
        await ready(view, f"line-{number}")
    took = time.perf_counter() - begun
    await clear(view)
    return took


async def pod_web(view: views.View) -> float:
    """Create a pod of a web server and wait until its probe has passed."""
    begun = time.perf_counter()
    create(
        view, "web", [*WEB, "$(PORT)"], ports=[{"containerPort": 8000}],
        readinessProbe={"tcpSocket": {"port": 8000}},
    )  # fmt: skip
    await ready(view, "web")
    took = time.perf_counter() - begun
    await clear(view)
    return took


async def pod_command(view: views.View, pods: runtime.ProcessRuntime) -> float:
    """Run a program that ends at once in a container."""
    create(view, "host", ["sleep", "1000"])
    await ready(view, "host")
    pod = view.find("pods", "default", "host")
    assert pod is not None
    begun = time.perf_counter()
    session = await pods.pods.execute(pod, "app", ["true"], stdin=False, tty=False)
    await session.wait()
    took = time.perf_counter() - begun
    await session.close()
    await clear(view)
    return took


async def clear(view: views.View) -> None:
    """Delete all pods and wait until they are gone."""
    names = [pod["metadata"]["name"] for pod in view.each("pods", "default")]
    for name in names:
        view.delete("pods", name, "default")
    for name in names:
        await gone(view, name)


async def measure(rounds: int) -> None:
    """Measure everything and print a table."""
    rows: dict[str, list[tuple[float, float]]] = {}

    async def compare(
        what: str, bare: Callable[[], float], ours: Callable[[], Awaitable[float]]
    ) -> None:
        rows.setdefault(what, []).append((bare(), await ours()))

    async with machine() as (view, pods):
        for _ in range(rounds):
            await compare("one program", lambda: bare_lines(1), lambda: pod_lines(view, 1))
            await compare(
                f"{MANY} programs", lambda: bare_lines(MANY), lambda: pod_lines(view, MANY)
            )
            await compare("a web server, probed", bare_web, lambda: pod_web(view))
            await compare("a command beside it", bare_command, lambda: pod_command(view, pods))
    print("| what | by hand | as a pod | more |")
    print("| --- | --- | --- | --- |")
    for what, pairs in rows.items():
        bare, ours = (statistics.median(one[index] for one in pairs) for index in (0, 1))
        print(
            f"| {what} | {bare * 1e3:.1f} ms | {ours * 1e3:.1f} ms | {(ours - bare) * 1e3:.1f} ms |"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(measure(arguments.rounds))
