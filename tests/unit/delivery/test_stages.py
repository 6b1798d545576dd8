"""What a stage shows of itself, and what it does not."""

from tests.unit.delivery import conftest as c

from understudy import assembly
from understudy.kapi import views


async def test_the_nodes_of_a_stage_are_no_consequence(still: c.Cluster) -> None:
    plan = await still.plan(c.deployment("web"))
    assert "controllers create 1 Pod: default/web-" in "; ".join(e.text for e in plan.effects)
    assert not [e for e in plan.effects if e.ref.kind in ("Node", "Lease", "Namespace")]
    assert "the cluster shows no nodes: its pods are placed on 2 simulated ones" in plan.fidelity
    assert "nodes" not in {line.resource for line in plan.journal}


async def test_a_cluster_with_nodes_keeps_its_own(cluster: c.Cluster) -> None:
    await cluster.deliver(c.deployment("web"))
    plan = await cluster.plan(c.deployment("web", image="web:2"))
    assert not [text for text in plan.fidelity if "nodes" in text]


async def test_changes_count_from_the_beginning() -> None:
    view = views.new_view()
    stage = assembly.ForkStage(view)
    await stage.begin()
    assert stage.changes() == []
    await stage.client.create("configmaps", c.config("a"))
    assert [str(change.ref) for change in stage.changes()] == ["ConfigMap default/a"]
    await stage.begin()
    assert stage.changes() == []
    await stage.close()


async def test_a_sandbox_that_follows_can_be_rehearsed_on(still: c.Cluster) -> None:
    still.view.create("configmaps", c.config("below"), "default")
    sandbox = c.Cluster(still.view.fork("trial", follow=True), None)
    await sandbox.deliver(c.config("a", v="1"), wait=False)
    plan = await sandbox.plan(c.config("a", v="2"))
    assert [str(o.op) for o in plan.operations] == ["change"]
    assert "ConfigMap default/a" not in [str(e.ref) for e in plan.effects]
