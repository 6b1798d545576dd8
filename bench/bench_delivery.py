"""Rehearsals and deliveries of 1,000 objects. Budgets are those of docs/performance.md.

    python bench/bench_delivery.py [--objects 1000] [--rounds 3]
                                   [--only rehearse,deliver,order,tools]
    python bench/bench_delivery.py --profile    # where the time of a rehearsal goes

A quarter each are ConfigMaps, Secrets, Services and Deployments of one replica. The baselines, in
the same run, are as many bare server-side applies: in process, and over HTTP, eight at a time.
Rehearsals run every controller until nothing more happens and are measured in seconds of
processor time (one thread, no waiting); deliveries go to a server without controllers, do not wait
for health, as the measurements of other tools do, and are measured by the clock. `tools` compares
whole commands with kapp's and kubectl's (`tools.py`).
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import dataclasses
import gc
import pstats
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import tools

from understudy import assembly
from understudy.aio import clocks
from understudy.cli import sessions
from understudy.client import connections, protocol
from understudy.delivery import deliveries, dispatch, manifests, ordering, refs, targets
from understudy.kapi import views
from understudy.kapi.views import options as view_options
from understudy.kube import objects

OWNER = targets.Owner("load", "default")
KINDS = (("v1", "ConfigMap"), ("v1", "Secret"), ("v1", "Service"), ("apps/v1", "Deployment"))
RESOURCES = {
    "ConfigMap": "configmaps", "Secret": "secrets", "Service": "services",
    "Deployment": "deployments.apps",
}  # fmt: skip
PARALLEL = 8
NODES = 4
"""Enough for a pod of each Deployment, at 110 a node."""


def manifest(n: int) -> objects.Object:
    """Return the n-th object."""
    api_version, kind = KINDS[n % len(KINDS)]
    name = f"item-{n // len(KINDS):05d}"
    labels = {"app": name, "team": "shop"}
    meta: objects.Object = {"name": name, "namespace": "default", "labels": labels}
    obj: objects.Object = {"apiVersion": api_version, "kind": kind, "metadata": meta}
    if kind == "ConfigMap":
        obj["data"] = {f"setting-{i}": f"value {n} {i}" for i in range(5)}
    elif kind == "Secret":
        obj["stringData"] = {"password": f"secret-{n}"}
    elif kind == "Service":
        obj["spec"] = {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]}
    else:
        container: objects.Object = {
            "name": "web",
            "image": "registry.example/web:1.2.3",
            "ports": [{"containerPort": 8080}],
            "envFrom": [{"configMapRef": {"name": name}}, {"secretRef": {"name": name}}],
            "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}},
        }
        obj["spec"] = {
            "replicas": 1,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        }
    return obj


def given(count: int) -> list[manifests.Manifest]:
    """Return manifests as if read from a file."""
    return [
        manifests.Manifest(manifest(n), manifests.Source("load.yaml", n + 1)) for n in range(count)
    ]


def row(name: str, seconds: list[float], baseline: float, budget: str) -> None:
    """Print one line: median and spread, times the baseline, the budget."""
    middle = statistics.median(seconds)
    spread = f"{min(seconds):.2f}-{max(seconds):.2f}"
    print(f"{name:<42} {middle:7.2f} s  ({spread})  {middle / baseline:5.1f} x  {budget}")


async def timed(
    rounds: int,
    work: Callable[[], Awaitable[object]],
    now_s: Callable[[], float] = time.perf_counter,
) -> list[float]:
    """Return how long each round took."""
    times = []
    for _ in range(rounds):
        start = now_s()
        await work()
        times.append(now_s() - start)
    return times


# ---------------------------------------------------------------------- in process


def apply_all(view: views.View, count: int) -> float:
    """Apply the objects, nothing else; return seconds."""
    wanted = [manifest(n) for n in range(count)]
    options = view_options.WriteOptions(field_manager="load")
    start = time.process_time()
    for obj in wanted:
        view.apply(RESOURCES[obj["kind"]], obj, "default", options=options)
    return time.process_time() - start


def face(client: protocol.Client, view: views.View, controllers: str) -> deliveries.Deliveries:
    """Return deliveries to a view."""
    runtime = dataclasses.replace(assembly.REHEARSED, nodes_count=NODES)
    stages = assembly.ForkingStages(view, controllers=controllers, runtime=runtime)
    return deliveries.Deliveries(client, stages)


async def rehearse(count: int, rounds: int) -> None:
    """Measure rehearsals of new objects and of no change."""
    wanted = given(count)
    fresh = views.new_view()
    baseline = statistics.median(apply_all(fresh.fork("bare"), count) for _ in range(rounds))
    print(f"{'baseline: bare applies in process':<42} {baseline:7.2f} s")
    for controllers, budget in (("all", "<= 2 s"), ("none", "")):
        plans = face(assembly.ViewClient(fresh), fresh, controllers)
        times = await timed(
            rounds, lambda plans=plans: plans.plan(OWNER, wanted), time.process_time
        )
        row(f"rehearse {count} new, controllers {controllers}", times, baseline, budget)
    held = await delivered(count)
    plans = face(assembly.ViewClient(held), held, "all")
    made = await plans.plan(OWNER, wanted)
    assert not made.has_changes, "delivered objects are unchanged"
    times = await timed(rounds, lambda: plans.plan(OWNER, wanted), time.process_time)
    row(f"rehearse {count} unchanged", times, baseline, "<= 0.7 s")


async def delivered(count: int) -> views.View:
    """Return a view that the objects were delivered to, its controllers at rest."""
    view = views.new_view()
    options = deliveries.Options(dispatch=dispatch.DispatchSettings(wait=False))
    await face(assembly.ViewClient(view), view, "none").deliver(OWNER, given(count), options)
    stage = assembly.ForkStage(view)
    await stage.settle()
    settled = views.new_view(clock=clocks.ManualClock(stage.clock.now()))
    settled.load(
        obj
        for resource in stage._view.catalogue.resources  # noqa: SLF001 (the fork's content is the subject)
        if resource.group_resource == resource.storage
        for obj in stage._view.each(resource)  # noqa: SLF001 (as above)
    )
    await stage.close()
    return settled


async def profile(count: int) -> None:
    """Print where the time of a rehearsal of new objects goes."""
    view = views.new_view()
    plans = face(assembly.ViewClient(view), view, "all")
    await plans.plan(OWNER, given(8))
    profiler = cProfile.Profile()
    profiler.enable()
    await plans.plan(OWNER, given(count))
    profiler.disable()
    shown = pstats.Stats(profiler)
    shown.sort_stats("cumulative").print_stats(60)
    shown.sort_stats("tottime").print_stats(40)


# ---------------------------------------------------------------------- over HTTP


async def deliver(count: int, rounds: int) -> None:
    """Measure deliveries to a server in another process."""
    options = deliveries.Options(dispatch=dispatch.DispatchSettings(wait=False))
    first, again, bare = [], [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            kubeconfig = str(Path(folder) / "kubeconfig")
            words = ["serve", "--port", "0", "--controllers", "none", "--runtime", "none"]
            process = subprocess.Popen(  # noqa: ASYNC220 (nothing else runs yet)
                [sys.executable, "-m", "understudy", *words, "--kubeconfig", kubeconfig],
                stdout=subprocess.PIPE,
            )
            try:
                assert process.stdout is not None
                process.stdout.readline()
                process.stdout.readline()
                client = connections.connect(kubeconfig=kubeconfig)
                try:
                    bare += await timed(1, lambda client=client: apply_http(client, count))
                    plans = deliveries.Deliveries(
                        client, assembly.LoadingStages(controllers="none")
                    )
                    work = lambda plans=plans: plans.deliver(OWNER, given(count), options)  # noqa: E731 (used twice)
                    first += await timed(1, work)
                    again += await timed(1, work)
                finally:
                    await client.close()
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(10)
    baseline = statistics.median(bare)
    print(f"{'baseline: bare applies over HTTP':<42} {baseline:7.2f} s")
    row(f"rehearse and deliver {count} over HTTP", first, baseline, "<= 4.5 s")
    row("deliver again, unchanged", again, baseline, "<= 1.5 s")


async def apply_http(client: protocol.Client, count: int) -> None:
    """Apply the objects in another namespace, eight at a time."""
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "bare"}}
    await client.create("namespaces", space)
    waiting = [manifest(n) for n in range(count)]

    async def lane() -> None:
        while waiting:
            obj = waiting.pop()
            obj["metadata"]["namespace"] = "bare"
            await client.apply(RESOURCES[obj["kind"]], obj, namespace="bare", field_manager="load")

    await asyncio.gather(*(lane() for _ in range(PARALLEL)))


# ---------------------------------------------------------------------- ordering


def order(count: int, rounds: int) -> None:
    """Measure how long it takes to put objects in order."""
    items = {refs.ref_of(obj): obj for obj in map(manifest, range(count))}
    bare, times = [], []
    for _ in range(rounds):
        start = time.perf_counter()
        sorted(items, key=lambda ref: (ordering.wave_of(ref, items[ref]), ref))
        bare.append(time.perf_counter() - start)
        start = time.perf_counter()
        ordering.arrange(items)
        times.append(time.perf_counter() - start)
    baseline = statistics.median(bare)
    print(f"{'baseline: sorting by wave and name':<42} {baseline:7.3f} s")
    row(f"order {count} by reference and wave", times, baseline, "<= 0.3 s")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--objects", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="rehearse,deliver,order,tools")
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    gc.freeze()
    gc.set_threshold(*sessions.GC_THRESHOLDS)  # as the commands do
    if options.profile:
        asyncio.run(profile(options.objects))
        return
    only = options.only.split(",")
    if "rehearse" in only:
        asyncio.run(rehearse(options.objects, options.rounds))
    if "deliver" in only:
        asyncio.run(deliver(options.objects, options.rounds))
    if "order" in only:
        order(options.objects * 5, options.rounds)
    if "tools" in only:
        tools.compare([manifest(n) for n in range(options.objects)], options.rounds)


if __name__ == "__main__":
    main()
