"""Forks: what they cost over a base of 100,000 pods. Budgets: ARCHITECTURE and docs/performance.md.

    python bench/bench_views.py [--objects 100000] [--sandboxes 1000]

The baseline, in the same run, is what anybody would do without persistent trees: copying the
dictionary of objects.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

from understudy.kapi import views
from understudy.kube import objects


def pod(template: objects.Object, n: int) -> objects.Object:
    """Return a pod as a server holds it: like another one, with a name of its own."""
    made = objects.copy(template)
    made["metadata"] |= bare_pod(n)["metadata"]
    made["metadata"].pop("resourceVersion")
    return made


def bare_pod(n: int) -> objects.Object:
    """Return a pod of about 3 KB as a client sends it."""
    env = [{"name": f"SETTING_{i}", "value": f"value-{n}-{i}" * 3} for i in range(30)]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"web-{n:06d}",
            "namespace": f"team-{n % 50:02d}",
            "uid": f"00000000-0000-4000-8000-{n:012d}",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"app": f"web-{n % 100}"},
        },
        "spec": {"containers": [{"name": "web", "image": "web:1", "env": env}]},
        "status": {"phase": "Running"},
    }


def rss_bytes() -> int:
    """Return this process's resident memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def timed(action: Callable[[], object], rounds: int) -> float:
    """Return the median time of an action in microseconds."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e6


def first_write(base: views.View, n: int, *, follow: bool) -> float:
    """Return the time of the first write in a fresh fork, in microseconds."""
    fork = base.fork(follow=follow)
    start = time.perf_counter()
    fork.patch("pods", f"web-{n:06d}", {"metadata": {"labels": {"x": "y"}}}, f"team-{n % 50:02d}")
    taken_us = (time.perf_counter() - start) * 1e6
    fork.close()
    return taken_us


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--objects", type=int, default=100_000)
    parser.add_argument("--sandboxes", type=int, default=1_000)
    options = parser.parse_args()
    base = views.new_view()
    # The first patch of a kind also compiles its schema, which is not what is measured here.
    last = f"team-{options.objects % 50:02d}"
    base.create("namespaces", {"metadata": {"name": last}})
    template = base.create("pods", bare_pod(options.objects), last).object()
    base.patch("pods", f"web-{options.objects:06d}", {"metadata": {"labels": {"x": "y"}}}, last)
    gc.collect()
    before = rss_bytes()
    base.load(pod(template, n) for n in range(options.objects))
    gc.collect()
    held = rss_bytes() - before
    entries = base.entries(base.resolve("pods"))
    encoded = sum(len(entry.encoded) for entry in entries)
    print(f"{options.objects} pods, {encoded / options.objects:.0f} bytes each")
    print(f"memory: {held / encoded:.2f} x the encoded bytes (budget 2.5)")
    plain = {entry.key: entry for entry in entries}
    copy_us = timed(lambda: dict(plain), 5)
    print(f"baseline, copying a dictionary of them: {copy_us:.0f} us")
    for follow in (False, True):
        name = "following" if follow else "pinned"
        fork_us = timed(lambda follow=follow: base.fork(follow=follow).close(), 200)
        tracemalloc.start()
        fork = base.fork(follow=follow)
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        first_us = statistics.median(first_write(base, n, follow=follow) for n in range(20))
        print(
            f"fork, {name}: {fork_us:.1f} us, {size} bytes (budget 1000 us, 10240 bytes); "
            f"first write {first_us:.0f} us (budget 1000)"
        )
        fork.close()
    gc.collect()
    before = rss_bytes()
    kept = []
    for n in range(options.sandboxes):
        sandbox = base.fork(f"s{n}", follow=bool(n % 2))
        for k in range(10):
            at = (n * 10 + k) % options.objects
            sandbox.patch(
                "pods",
                f"web-{at:06d}",
                {"metadata": {"labels": {"x": str(n)}}},
                f"team-{at % 50:02d}",
            )
        kept.append(sandbox)
    gc.collect()
    print(
        f"{options.sandboxes} sandboxes, 10 writes in each: "
        f"{(rss_bytes() - before) / 2**20:.0f} MiB more (budget 200)"
    )


if __name__ == "__main__":
    main()
