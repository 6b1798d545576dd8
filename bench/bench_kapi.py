"""The embedded API against a bare handler on the same HTTP server, in one run.

    python bench/bench_kapi.py [--seconds 3] [--rounds 3] [--watchers 1000] [--only get,create,...]

Each row is measured for both servers in turn, round by round, on loopback, with the same client: a
process that keeps requests pipelined on four connections and counts bytes, so that it costs next
to nothing beside the server. The share of CPU time, which other work on the machine disturbs least,
is shown beside that of the rates. Budgets are those of docs/performance.md. The rows `kmock` put
kmock's emulator (aiohttp) in the bare server's place.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import select
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson

HERE = Path(__file__).resolve().parent
PODS = "/api/v1/namespaces/default/pods"
KMOCK_ITEMS = 500
"""Pods in kmock's list: it looks through all of them at each creation."""
DEPTH = 32
"""Requests under way on each connection."""


def pod(name: str) -> dict[str, object]:
    """Return a pod of about 3 KB as a client sends it."""
    env = [{"name": f"SETTING_{n}", "value": f"value-{n}-" + "x" * 24} for n in range(24)]
    container = {
        "name": "web",
        "image": "registry.example/web:1.2.3",
        "args": ["--port=8080", "--verbose", "--cache=/var/cache/web"],
        "env": env,
        "ports": [{"containerPort": 8080, "name": "http"}],
        "resources": {
            "requests": {"cpu": "100m", "memory": "128Mi"},
            "limits": {"cpu": "1", "memory": "256Mi"},
        },
        "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}},
        "livenessProbe": {"httpGet": {"path": "/live", "port": "http"}},
        "volumeMounts": [{"name": "cache", "mountPath": "/var/cache/web"}],
    }
    labels = {"app": "web", "tier": "front", "team": "shop"}
    notes = {f"example.com/note-{n}": "y" * 60 for n in range(5)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels, "annotations": notes},
        "spec": {"containers": [container], "volumes": [{"name": "cache", "emptyDir": {}}]},
    }


def post(path: str, body: bytes) -> bytes:
    """Return a POST request."""
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def get(path: str) -> bytes:
    """Return a GET request."""
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nAccept: application/json\r\n\r\n".encode()


def exchange(connection: socket.socket, request: bytes) -> bytes:
    """Send one request and return the whole answer's body."""
    connection.sendall(request)
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(1 << 16)
    head, _, body = data.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            size = int(line.split(b":")[1])
    parts, have = [body], len(body)
    while have < size:
        part = connection.recv(1 << 20)
        parts.append(part)
        have += len(part)
    return b"".join(parts)


def connect(port: int) -> socket.socket:
    """Open a connection."""
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def rate(port: int, requests: Iterator[bytes], seconds: float, answer: bytes) -> float:
    """Return answers a second, keeping DEPTH requests under way on four connections.

    `answer` marks one answer, e.g. its status line.
    """
    connections = [connect(port) for _ in range(4)]
    for connection in connections:
        connection.sendall(b"".join(next(requests) for _ in range(DEPTH)))
        connection.setblocking(False)
    done, start = 0, time.perf_counter()
    tails = dict.fromkeys(connections, b"")
    while (now := time.perf_counter()) - start < seconds:
        for connection in select.select(connections, [], [], 1)[0]:
            data = tails[connection] + connection.recv(1 << 20)
            count = data.count(answer)
            tails[connection] = data[-(len(answer) - 1) :]
            done += count
            if count:
                connection.setblocking(True)
                connection.sendall(b"".join(next(requests) for _ in range(count)))
                connection.setblocking(False)
    for connection in connections:
        connection.close()
    return done / (now - start)


@contextmanager
def bare(items: int, body: str) -> Iterator[tuple[int, int]]:
    """Run the baseline server, which answers with `body`; yields its port and its process."""
    with beside("bare.py", json.dumps({"object": body, "item": body, "items": items})) as found:
        yield found


@contextmanager
def beside(script: str, given: str = "") -> Iterator[tuple[int, int]]:
    """Run a server of this directory; yields its port and its process."""
    process = subprocess.Popen(
        [sys.executable, str(HERE / script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(given)
    process.stdin.close()
    try:
        yield int(process.stdout.readline()), process.pid
    finally:
        process.kill()
        process.wait()


@contextmanager
def embedded() -> Iterator[tuple[int, int]]:
    """Run our server; yields its port and its process."""
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [
                sys.executable, "-m", "understudy", "serve", "--port", "0", "--controllers",
                "none", "--runtime", "none", "--kubeconfig", f"{folder}/kubeconfig",
            ],
            stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        assert process.stdout is not None
        try:
            url = process.stdout.readline().split()[-1]
            yield int(url.rpartition(":")[2]), process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def compare(
    name: str,
    ours: Callable[[], float],
    base: Callable[[], float],
    rounds: int,
    budget: str,
    *,
    other: str = "bare",
    processes: tuple[int, int] = (0, 0),
    seconds: float = 0,
) -> None:
    """Print a row: both medians and their ratio; of CPU time, too, if the processes are known."""
    pairs, costs = [], []
    for _ in range(rounds):
        spent = [busy_s(process) for process in processes]
        right, left = ours(), base()
        spent = [busy_s(process) - since for process, since in zip(processes, spent, strict=True)]
        pairs.append((left, right))
        costs.append(
            [
                cpu * 1e6 / (rate * seconds or 1)
                for cpu, rate in zip(spent, (right, left), strict=True)
            ]
        )
    left = statistics.median(pair[0] for pair in pairs)
    right = statistics.median(pair[1] for pair in pairs)
    ratios = sorted(pair[1] / pair[0] for pair in pairs)
    spread = f"{ratios[0] * 100:.0f}-{ratios[-1] * 100:.0f} %"
    print(
        f"{name:<34} {other} {left:>9.0f}/s   ours {right:>9.0f}/s   {right / left * 100:5.1f} % "
        f"({spread})   budget {budget}",
        flush=True,
    )
    if seconds:
        mine, theirs = (statistics.median(pair[at] for pair in costs) for at in (0, 1))
        print(
            f"{'  in CPU time':<34} {other} {theirs:>8.0f} us   ours {mine:>8.0f} us   "
            f"{theirs / mine * 100:5.1f} %",
            flush=True,
        )


def busy_s(process: int) -> float:
    """Return the CPU time that a process has used; 0 for none."""
    if not process:
        return 0
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def forever(request: bytes) -> Iterator[bytes]:
    """Yield the same request again and again."""
    while True:
        yield request


_serial = iter(range(10_000_000))


def creates(path: str) -> Iterator[bytes]:
    """Yield creations of pods with names of their own."""
    template = orjson.dumps(pod("web-%%%%%%%%"))
    while True:
        name = f"web-{next(_serial):08d}".encode()
        yield post(path, template.replace(b"web-%%%%%%%%", name))


def whole(port: int, path: str, rounds: int) -> float:
    """Return the median number of whole answers a second of a large GET."""
    times = []
    for _ in range(rounds):
        with connect(port) as connection:
            start = time.perf_counter()
            exchange(connection, get(path))
            times.append(time.perf_counter() - start)
    return 1 / statistics.median(times)


def fan_out(
    port: int, watch: str, change: Callable[[], bytes], watchers: int, rounds: int
) -> float:
    """Return the changes a second that reach all watchers."""
    sockets = []
    for _ in range(watchers):
        connection = connect(port)
        connection.sendall(get(watch))
        sockets.append(connection)
    deadline = time.perf_counter() + 20
    for connection in sockets:
        # The head shows that the watch is open.
        data = b""
        while b"\r\n\r\n" not in data and time.perf_counter() < deadline:
            data += connection.recv(1 << 16)
        connection.setblocking(False)
    poll = select.epoll()
    by_number = {connection.fileno(): connection for connection in sockets}
    for number in by_number:
        poll.register(number, select.EPOLLIN)
    writer = connect(port)
    times = []
    for _ in range(rounds):
        request = change()
        reached: set[int] = set()
        start = time.perf_counter()
        writer.sendall(request)
        while len(reached) < watchers and time.perf_counter() - start < 20:
            for number, _ in poll.poll(1):
                by_number[number].recv(1 << 18)
                reached.add(number)
        times.append(time.perf_counter() - start)
        writer.recv(1 << 18)
        time.sleep(0.05)
    for connection in (*sockets, writer):
        connection.close()
    return 1 / statistics.median(times)


def rss_mb(process: int) -> float:
    """Return a process's resident memory."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * 4096 / 2**20


def fill(port: int, count: int) -> None:
    """Create pods until there are `count`."""
    requests = creates(PODS)
    with connect(port) as connection:
        for _ in range(count):
            exchange(connection, next(requests))


def stored_in(port: int) -> str:
    """Create a pod and return it as it is stored: what both servers answer with."""
    with connect(port) as connection:
        exchange(connection, post(PODS, orjson.dumps(pod("stored"))))
        return exchange(connection, get(f"{PODS}/stored")).decode()


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--watchers", type=int, default=1000)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--only", default="start,get,create,list,watch,kmock")
    options = parser.parse_args()
    chosen = set(options.only.split(","))
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (min(8192, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),) * 2
    )
    print(
        f"Python {sys.version.split()[0]}, {os.cpu_count()} processors, median of {options.rounds}"
    )
    if "start" in chosen:
        start_row(options.rounds)
    with embedded() as (port, process), bare(1, stored_in(port)) as (base, beneath):
        common = {"processes": (process, beneath), "seconds": options.seconds}
        if "get" in chosen:
            compare(
                "GET of a 3 KB pod",
                lambda: rate(
                    port, forever(get(f"{PODS}/stored")), options.seconds, b"HTTP/1.1 200"
                ),
                lambda: rate(base, forever(get("/object")), options.seconds, b"HTTP/1.1 200"),
                options.rounds,
                ">= 50 %",
                **common,
            )
        if "create" in chosen:
            compare(
                "CREATE of a 3 KB pod",
                lambda: rate(port, creates(PODS), options.seconds, b"HTTP/1.1 201"),
                lambda: rate(base, creates("/objects"), options.seconds, b"HTTP/1.1 201"),
                options.rounds,
                ">= 15 %",
                **common,
            )
            with connect(port) as connection:
                exchange(connection, f"DELETE {PODS} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        if "watch" in chosen:
            watch_row(port, base, options)
    if "list" in chosen:
        with embedded() as (port, process), bare(options.items, stored_in(port)) as (base, _):
            fill(port, options.items)
            compare(
                f"LIST of {options.items} pods",
                lambda: whole(port, "/api/v1/pods", 3),
                lambda: whole(base, "/list", 3),
                options.rounds,
                ">= 50 %",
            )
            print(f"memory with {options.items} pods: {rss_mb(process):.0f} MiB")
    if "kmock" in chosen and importlib.util.find_spec("kmock") is not None:
        kmock_rows(options)


def kmock_rows(options: argparse.Namespace) -> None:
    """Print what kmock's emulator does with the same requests, and how we compare."""
    with embedded() as (port, process), beside("kmocked.py") as (base, beneath):
        common = {"other": "kmock", "processes": (process, beneath), "seconds": options.seconds}
        stored = post(PODS, orjson.dumps(pod("stored")))
        for each in (port, base):
            with connect(each) as connection:
                exchange(connection, stored)

        def gets(where: int) -> float:
            return rate(where, forever(get(f"{PODS}/stored")), options.seconds, b"HTTP/1.1 200")

        def made(where: int) -> float:
            return rate(where, creates(PODS), options.seconds, b"HTTP/1.1 20")

        budget = "none"
        compare("GET of a 3 KB pod, alone", lambda: gets(port), lambda: gets(base), 1, budget,
                **common)  # fmt: skip
        compare("CREATE of a 3 KB pod", lambda: made(port), lambda: made(base), 1, budget,
                **common)  # fmt: skip
    with embedded() as (port, _), beside("kmocked.py") as (base, _):
        for each in (port, base):
            fill(each, KMOCK_ITEMS)
        compare(
            f"LIST of {KMOCK_ITEMS} pods",
            lambda: whole(port, PODS, 3),
            lambda: whole(base, PODS, 3),
            1,
            budget,
            other="kmock",
        )


def watch_row(port: int, base: int, options: argparse.Namespace) -> None:
    """Print the row of one change to many watchers."""
    serial = iter(range(1_000_000))

    def patch() -> bytes:
        body = orjson.dumps({"metadata": {"labels": {"n": str(next(serial))}}})
        head = f"PATCH {PODS}/stored HTTP/1.1\r\nHost: x\r\n"
        kind = "Content-Type: application/merge-patch+json\r\n"
        return f"{head}{kind}Content-Length: {len(body)}\r\n\r\n".encode() + body

    with connect(port) as connection:
        exchange(connection, post(PODS, orjson.dumps(pod("stored"))))
        stored = exchange(connection, get(f"{PODS}/stored"))
        version = orjson.loads(stored)["metadata"]["resourceVersion"]
    frame = b'{"type":"MODIFIED","object":' + stored + b"}\n"
    watch = f"/api/v1/pods?watch=true&resourceVersion={version}"
    compare(
        f"one change to {options.watchers} watchers",
        lambda: fan_out(port, watch, patch, options.watchers, 15),
        lambda: fan_out(base, "/watch", lambda: post("/emit", frame), options.watchers, 15),
        options.rounds,
        ">= 50 % (<= 2x the time)",
    )


def start_row(rounds: int) -> None:
    """Print how long a cold server takes until it answers."""
    times, sizes = [], []
    for _ in range(rounds + 2):
        start = time.perf_counter()
        with embedded() as (_, process):
            times.append(time.perf_counter() - start)
            sizes.append(rss_mb(process))
    print(
        f"start to ready: {statistics.median(times):.2f} s, {statistics.median(sizes):.0f} MiB   "
        "budget <= 0.7 s, <= 120 MiB"
    )


if __name__ == "__main__":
    main()
