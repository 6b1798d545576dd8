"""What the server is asked before a delivery: a dry run of each object, and one's rights."""

import pytest
from tests.unit.delivery import conftest as c

from understudy import assembly
from understudy.client import wrapping
from understudy.delivery import adoption, errors
from understudy.kube import objects, statuses


class Hooked(wrapping.WrappedClient):
    """A server with a webhook of its own: no object named `bad`, every ConfigMap gets a label."""

    async def write(self, write: wrapping.Write, send: wrapping.Send) -> objects.Object:
        answer = await send()
        if write.verb == "apply" and write.name == "bad":
            raise statuses.ForbiddenError('admission webhook "names" denied the request: bad name')
        if write.verb == "apply" and write.resource == "configmaps":
            answer["metadata"]["labels"]["team"] = "shop"
        return answer


async def test_the_servers_dry_run_is_a_second_opinion(still: c.Cluster) -> None:
    face = still.deliveries(Hooked(still.client))
    given = c.written(c.config("a"), c.config("bad"), c.service("s"), c.secret("t", p="x"))
    before = still.view.change_count
    plan = await face.plan(c.OWNER, given, c.options(verify=True))
    assert still.view.change_count == before
    assert plan.verified == 4
    assert [opinion.text for opinion in plan.opinions] == [
        "ConfigMap default/a: the server would make it otherwise: metadata.labels is "
        '{"team":"shop"}, rehearsed as null',
        'ConfigMap default/bad: the server\'s dry run refuses it: admission webhook "names" '
        "denied the request: bad name",
    ]
    assert [str(blocked.ref) for blocked in plan.blocked] == ["ConfigMap default/bad"]
    told = plan.as_dict()["verified"]
    assert (told["objects"], len(told["disagreements"])) == (4, 2)
    with pytest.raises(errors.BlockedError, match="bad name"):
        await face.deliver(c.OWNER, given, c.options(verify=True))


async def test_where_both_agree_nothing_is_said(cluster: c.Cluster) -> None:
    given = (c.config("a"), c.deployment("web"), c.service("web"), c.secret("s", p="x"))
    plan = await cluster.plan(*given, verify=True)
    assert (plan.verified, plan.opinions) == (4, ())
    await cluster.deliver(*given)
    changed = (c.config("a", v="2"), c.deployment("web", image="web:2"))
    plan = await cluster.plan(*changed, verify=True)
    assert (plan.verified, plan.opinions) == (2, ())


async def test_what_an_adopted_object_loses_is_no_disagreement(still: c.Cluster) -> None:
    before = c.config("a", kept="1", dropped="2")
    manager = "kubectl-client-side-apply"
    await still.client.create("configmaps", before, namespace="default", field_manager=manager)
    face = still.deliveries(Hooked(still.client))
    adopting = c.options(adoption=adoption.Adoption.IF_NO_INVENTORY, verify=True)
    plan = await face.plan(c.OWNER, c.written(c.config("a", kept="1")), adopting)
    assert [opinion.text for opinion in plan.opinions] == [
        "ConfigMap default/a: the server would make it otherwise: metadata.labels is "
        '{"team":"shop"}, rehearsed as null',
    ]


async def test_what_a_dry_run_cannot_know_it_is_not_asked(still: c.Cluster) -> None:
    given = (c.namespace("new"), c.config("in", "new"), c.definition(), c.widget("w"))
    plan = await still.plan(*given, verify=True)
    assert (plan.verified, plan.opinions) == (2, ())


async def test_a_refusal_that_others_cause_is_told_apart(still: c.Cluster) -> None:
    port = [{"port": 80, "nodePort": 30123}]
    given = (
        c.service("a", type="NodePort", ports=port),
        c.service("b", type="NodePort", ports=port),
    )
    plan = await still.plan(*given, verify=True)
    assert [opinion.text for opinion in plan.opinions] == [
        "Service default/b: alone, the server's dry run accepts it"
    ]


async def test_a_loaded_stage_is_checked_too(still: c.Cluster) -> None:
    face = still.deliveries(Hooked(still.client), make_stage=assembly.LoadingStages())
    plan = await face.plan(c.OWNER, c.written(c.config("a")), c.options(verify=True))
    assert len(plan.opinions) == 1
