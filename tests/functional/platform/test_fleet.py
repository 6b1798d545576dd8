"""Three clusters, three agents, one hub: one application for all of them, and one that fails."""

import asyncio
import contextlib
import threading
from dataclasses import dataclass

import orjson
import pytest
from click import testing

from understudy.cli import main
from understudy.client import connections
from understudy.platform import agent, kubernetes
from understudy.platform.bus import standalone
from understudy.platform.hub import servers
from understudy.testing import servers as test_servers

NAMES = ("prod-eu", "prod-us", "stage")
NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n---\n"
CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s, namespace: shop}\ndata: {v: '%s'}\n"
DEPLOYMENT = """---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: "registry.example/web:%s"}
"""
QUOTA = {
    "metadata": {"name": "none"},
    "spec": {"hard": {"pods": "0"}},
}


class Fleet:
    """A hub and an agent for each cluster, on a thread of their own."""

    def __init__(self, clusters):
        self.clusters = clusters
        self._loop = asyncio.new_event_loop()
        self._ready, self._stopped = threading.Event(), None
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._run()))

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()
        self._loop.close()

    async def _run(self):
        self._stopped = asyncio.Event()
        bus = standalone.StandaloneMessageBus()
        self.audit = []
        self.hub = hub = servers.Hub(bus, servers.Settings(port=0), audit=self.audit.append)
        await hub.start()
        self.url = hub.url
        async with contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as group:
            self.agents = {}
            for name, cluster in self.clusters.items():
                client = connections.connect(kubeconfig=cluster.kubeconfig)
                stack.push_async_callback(client.close)
                platform = kubernetes.KubernetesPlatform(client, relay=client.relay)
                made = agent.Agent(platform, agent.Settings(hub=hub.url, instance=name))
                self.agents[name] = made
                group.create_task(made.run())
                await made.connected.wait()
            self._ready.set()
            await self._stopped.wait()
            for made in self.agents.values():
                made.stop()
        await hub.stop()
        await bus.close()

    def lose(self, name):
        """Stop an agent, and wait until the hub knows."""

        async def gone():
            self.agents[name].stop()
            async with asyncio.timeout(10):
                while True:
                    if (await self.hub.roster.describe(name))["state"] == "lost":
                        return
                    await asyncio.sleep(0.01)

        asyncio.run_coroutine_threadsafe(gone(), self._loop).result()


@dataclass
class Result:
    code: int
    out: str
    err: str


@pytest.fixture
def fleet():
    with contextlib.ExitStack() as stack:
        clusters = {
            name: stack.enter_context(
                test_servers.TestServer(controllers="all", runtime="simulated")
            ).base
            for name in NAMES
        }
        yield stack.enter_context(Fleet(clusters))


@pytest.fixture
def run(fleet):
    def invoke(*words, instance="*"):
        runner = testing.CliRunner(env={"UNDERSTUDY_HUB": fleet.url, "NO_COLOR": "1"})
        done = runner.invoke(main.cli, [*words, "--instance", instance])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Result(done.exit_code, done.stdout, done.stderr)

    return invoke


@pytest.fixture
def manifests(tmp_path):
    """Write a version of the application; return its path."""

    def write(version):
        path = tmp_path / f"v{version}.yaml"
        path.write_text(NAMESPACE + CONFIG % ("banner", version) + DEPLOYMENT % version)
        return str(path)

    return write


def versions(fleet):
    return {
        name: cluster.get("configmaps", "banner", "shop")["data"]["v"]
        for name, cluster in fleet.clusters.items()
    }


def break_cluster(fleet, name):
    """Let no new pod into a cluster's namespace: what is delivered there does not get healthy."""
    fleet.clusters[name].create("resourcequotas", QUOTA, "shop")


def test_one_application_on_all_clusters_and_what_differs(fleet, run, manifests):
    planned = run("plan", "shop", "-f", manifests(1))
    assert (planned.code, "prod-us" in planned.out) == (2, True)
    assert "differs" not in planned.out
    delivered = run("deliver", "shop", "-f", manifests(1), "--yes", "--batch-size", "2")
    assert (delivered.code, versions(fleet)) == (0, dict.fromkeys(NAMES, "1")), delivered.out

    fleet.clusters["stage"].patch("configmaps", "banner", {"data": {"v": "9"}}, "shop")
    drifted = run("drift", "shop")
    assert (drifted.code, "stage differs:\n  also change ConfigMap shop/banner" in drifted.out) == (
        2, True,
    )  # fmt: skip
    planned = run("plan", "shop", "-f", manifests(1), "-o", "json")
    body = orjson.loads(planned.out)
    assert body["norm"] == ["prod-eu", "prod-us"]
    assert [one["instance"] for one in body["outliers"]] == ["stage"]
    assert [one["exitCode"] for one in body["instances"]] == [0, 0, 3], "somebody else's field"

    fleet.lose("prod-us")
    lost = run("plan", "shop", "-f", manifests(1))
    assert (lost.code, "prod-us: its agent is not connected" in lost.out) == (1, True), lost.out
    assert run("plan", "shop", "-f", manifests(1), instance="prod-eu,prod-?x").code == 0
    named = run("plan", "shop", "-f", manifests(1), instance="prod-eu,prod-x")
    assert (named.code, "prod-x: the hub knows no such instance" in named.out) == (1, True)
    unknown = run("plan", "shop", "-f", manifests(1), instance="test-*")
    assert (unknown.code, "it knows prod-eu, prod-us, stage" in unknown.err) == (1, True)


def test_after_a_failure_nothing_further_is_touched(fleet, run, manifests):
    assert run("deliver", "shop", "-f", manifests(1), "--yes", "--batch-size", "3").code == 0
    break_cluster(fleet, "prod-us")
    planned = run("plan", "shop", "-f", manifests(2))
    assert "prod-us differs:\n  also unready Deployment shop/web" in planned.out
    words = ("--yes", "--stop-on-failure", "--rollback-on-failure", "--no-activity-timeout", "2s")
    failed = run("deliver", "shop", "-f", manifests(2), *words, "-o", "jsonl")
    told = orjson.loads(failed.out.splitlines()[-1])
    assert failed.code == told["exitCode"] == 7
    assert {one["instance"]: one["result"] for one in told["instances"]} == {
        "prod-eu": "delivered", "prod-us": "rolledBack", "stage": "untouched",
    }  # fmt: skip
    assert versions(fleet) == {"prod-eu": "2", "prod-us": "1", "stage": "1"}


def test_after_a_failure_all_go_back_where_that_is_asked(fleet, run, manifests):
    assert run("deliver", "shop", "-f", manifests(1), "--yes", "--batch-size", "3").code == 0
    break_cluster(fleet, "stage")
    words = ("--yes", "--rollback-all", "--no-activity-timeout", "2s", "--batch-size", "2")
    failed = run("deliver", "shop", "-f", manifests(2), *words)
    assert (failed.code, versions(fleet)) == (
        6, {"prod-eu": "1", "prod-us": "1", "stage": "2"},
    )  # fmt: skip
    assert "back at what shop-v1 was" in failed.out
    assert "shop: 2 of 3 instances without a failure" in failed.out


def test_what_is_for_several_instances_is_for_several(run, manifests):
    one = run("deliver", "shop", "-f", manifests(1), "--batch-size", "2", instance="stage")
    assert (one.code, "are for several instances" in one.err) == (2, True)
    several = run("status", "shop")
    assert (several.code, "works on one instance" in several.err) == (2, True)
