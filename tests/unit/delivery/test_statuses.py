"""What the status of an application shows: health, what is below, and why something is not ready."""

from __future__ import annotations

import asyncio
import datetime as dt

from tests.unit.delivery import conftest as world

from understudy.delivery import render
from understudy.kube import health


async def test_a_deployment_shows_its_replica_set_and_pods(cluster: world.Cluster) -> None:
    await cluster.deliver(world.deployment("web", replicas=2))
    conditions = await cluster.deliveries().status(world.OWNER)
    (sets,) = (condition.children for condition in conditions)
    (replica_set,) = sets
    assert replica_set.kind == "ReplicaSet"
    assert replica_set.name.startswith("web-")
    assert [pod.kind for pod in replica_set.children] == ["Pod", "Pod"]
    assert all(pod.health.state is health.State.CURRENT for pod in replica_set.children)
    lines = list(render.status(conditions))
    assert lines[:2] == ["namespace default", "  + Deployment web: Current"]
    assert lines[2].startswith("      + ReplicaSet web-")
    assert lines[3].startswith("          + Pod web-")
    now = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=3)
    assert all(line.endswith(" (3m)") for line in list(render.status(conditions, now=now))[1:])
    records = await cluster.deliveries().history(world.OWNER)
    assert render.headline(records, conditions, now) == (
        "Revision shop-v1, Delivered 3m ago: 1 of 1 object healthy"
    )


async def test_restarts_are_counted(cluster: world.Cluster) -> None:
    await cluster.deliver(world.deployment("web"))
    (pod,) = cluster.view.each("pods", "default")
    status = {"containerStatuses": [{**pod["status"]["containerStatuses"][0], "restartCount": 4}]}
    cluster.view.patch(
        "pods", pod["metadata"]["name"], {"status": status}, "default", subresource="status"
    )
    conditions = await cluster.deliveries().status(world.OWNER)
    assert ", 4 restarts)" in list(render.status(conditions, now=dt.datetime.now(dt.UTC)))[-1]


async def test_replica_sets_of_earlier_revisions_are_left_out(cluster: world.Cluster) -> None:
    await cluster.deliver(world.deployment("web"))
    await cluster.deliver(world.deployment("web", image="web:2"))
    assert len(cluster.names("replicasets.apps")) == 2
    (condition,) = await cluster.deliveries().status(world.OWNER)
    assert len(condition.children) == 1


async def test_a_pod_says_why_it_does_not_run(cluster: world.Cluster) -> None:
    await cluster.deliver(world.deployment("web", image="pullfail:1"), wait=False)
    for _ in range(300):
        await asyncio.sleep(0.01)
        conditions = await cluster.deliveries().status(world.OWNER)
        if conditions[0].reasons:
            break
    text = "\n".join(render.status(conditions))
    assert "* Deployment web: InProgress" in text
    assert "* Pod web-" in text
    assert "container web: failed to pull image" in text


async def test_many_healthy_pods_are_counted(cluster: world.Cluster) -> None:
    await cluster.deliver(world.deployment("web", replicas=13))
    conditions = await cluster.deliveries().status(world.OWNER)
    lines = list(render.status(conditions))
    assert sum("Pod web-" in line for line in lines) == 10
    assert lines[-1].strip() == "and 3 more that are healthy"
