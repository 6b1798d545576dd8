"""Several applications in one plan, objects that two of them want, and the way back."""

from __future__ import annotations

import pytest
from tests.unit.delivery import conftest as c
from tests.unit.delivery.test_acceptance import ops

from understudy.client import wrapping
from understudy.delivery import adoption, errors, refs, targets
from understudy.kube import objects

OTHER = targets.Owner("other", "default")
TAKE_OVER = {"adoption": adoption.Adoption.ALL}


@pytest.fixture(params=["view", "http"])
def setting(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Dying(wrapping.WrappedClient):
    """A client whose process dies before it applies an object."""

    async def write(self, write: wrapping.Write, send: wrapping.Send) -> objects.Object:
        if write.verb == "apply" and write.resource == "configmaps":
            raise c.DiedError
        return await send()


async def test_what_another_application_is_about_to_make_is_its_own(still: c.Cluster) -> None:
    with pytest.raises(c.DiedError):
        await still.deliver(c.config("a"), owner=OTHER, client=Dying(still.client))
    assert still.names("configmaps") == []
    with pytest.raises(errors.BlockedError) as caught:
        await still.deliver(c.config("a"))
    assert str(caught.value) == (
        "ConfigMap default/a: is wanted by the application default/other too (take it out of one "
        "of them, or --take-over takes it from there)"
    )
    done = await still.deliver(c.config("a"), **TAKE_OVER)
    assert done.plan.blocked == ()
    with pytest.raises(errors.BlockedError, match="it belongs to the application default/shop"):
        await still.deliver(c.config("a"), owner=OTHER, force_unlock=True)


async def test_what_another_application_has_lost_is_still_its_own(still: c.Cluster) -> None:
    await still.deliver(c.config("a"), c.config("b"), owner=OTHER)
    still.view.delete("configmaps", "a", "default")
    plan = await still.plan(c.config("a"))
    assert "is wanted by the application default/other too" in str(plan.blocked[0])
    await still.deliver(c.config("b"), owner=OTHER)
    assert (await still.plan(c.config("a"))).blocked == (), "it wants it no more"


async def test_two_applications_in_one_plan_cannot_have_one_object(still: c.Cluster) -> None:
    before = still.view.change_count
    first, second, third = await still.deliveries().plan_together(
        [
            (c.OWNER, c.written(c.config("a"), c.config("shared"))),
            (OTHER, c.written(c.config("b"), c.config("shared"))),
            (targets.Owner("third", "default"), c.written(c.config("d"))),
        ],
        c.options(),
    )
    assert still.view.change_count == before
    assert first.blocked == third.blocked == ()
    assert [blocked.ref for blocked in second.blocked] == [
        refs.Ref("", "ConfigMap", "default", "shared")
    ]
    assert "it belongs to the application default/shop" in str(second.blocked[0])
    assert ops(second) == {"ConfigMap/b": "create"}


async def test_a_plan_may_begin_where_another_application_is_delivered(still: c.Cluster) -> None:
    port = [{"port": 80, "nodePort": 30123}]
    await still.deliver(c.config("old"), owner=OTHER)
    other = c.written(c.service("a", type="NodePort", ports=port))
    service = c.service("b", type="NodePort", ports=port)
    face = still.deliveries()
    plan = await face.plan(c.OWNER, c.written(service), c.options(), after=[(OTHER, other)])
    assert "provided port is already allocated" in str(plan.blocked[0])
    assert (await face.plan(c.OWNER, c.written(service), c.options())).blocked == ()


async def test_the_way_back_is_rehearsed_before_anybody_goes(still: c.Cluster) -> None:
    await still.deliver(c.config("a", v="1"), c.config("gone"))
    wanted = c.written(c.config("a", v="2"), c.config("new"))
    before = still.view.change_count
    face = still.deliveries()
    back = await face.plan_way_back(c.OWNER, wanted, c.options())
    assert still.view.change_count == before
    assert ops(back) == {
        "ConfigMap/a": "change", "ConfigMap/gone": "create", "ConfigMap/new": "delete",
    }  # fmt: skip
    assert (back.revision, back.previous) == ("shop-v3", "shop-v2")
    await still.deliver(c.config("a", v="2"), c.config("new"))
    assert ops(await face.plan_rollback(c.OWNER, "", c.options())) == ops(back)


async def test_the_way_back_of_a_first_delivery_is_its_deletion(still: c.Cluster) -> None:
    back = await still.deliveries().plan_way_back(c.OWNER, c.written(c.config("a")), c.options())
    assert ops(back) == {"ConfigMap/a": "delete"}
    assert back.revision == ""


async def test_what_no_way_back_undoes_is_marked(still: c.Cluster) -> None:
    def moved(version: str) -> dict:
        made = c.definition()
        versions = made["spec"]["versions"]
        if version == "v2":
            versions.append(versions[0] | {"name": "v2"})
            versions[0] = versions[0] | {"storage": False}
        return made

    await still.deliver(moved("v1"), wait=False)
    back = await still.deliveries().plan_way_back(
        c.OWNER, c.written(moved("v2")), c.options(wait=False)
    )
    told = [effect.text for effect in back.effects if effect.irreversible]
    assert told or back.blocked
