"""Plans as text: narrow and wide terminals, refusals, what would not become ready."""

from __future__ import annotations

import dataclasses
import datetime as dt

import pytest
from tests.unit.delivery import conftest as c

from understudy.delivery import effects, outcomes, plans, refs, render, targets
from understudy.kube import health, objects

NOW = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)
WEB = refs.Ref("apps", "Deployment", "shop", "web")


def plan(**given) -> plans.Plan:
    owner = targets.Owner("shop", "default")
    return plans.Plan(owner=owner, revision="shop-v2", previous="shop-v1", **given)


def operation(ref: refs.Ref = WEB, why: str = "image") -> plans.Operation:
    created = "2026-11-21T11:59:00Z"
    return plans.Operation(
        op=outcomes.Op.CHANGE,
        ref=ref,
        api_version="apps/v1",
        why=why,
        created=created,
        state=health.State.CURRENT,
    )


def lines(made: plans.Plan, width: int = 0) -> list[str]:
    return list(render.plan(made, NOW, width=width))


def test_a_table_gives_up_columns_on_a_narrow_terminal() -> None:
    made = plan(operations=(operation(why="image, replicas and annotations"),))
    assert lines(made)[:2] == [
        "Namespace  Name  Kind        Age  Now  Op        Wait for  Why",
        "shop       web   Deployment  60s  ok   ~ change  ready     image, replicas and annotations",
    ]
    assert lines(made, 85)[:2] == [
        "Namespace  Name  Kind        Now  Op        Wait for  Why",
        "shop       web   Deployment  ok   ~ change  ready     image, replicas and annotations",
    ]
    assert lines(made, 77)[:2] == [
        "Namespace  Name  Kind        Now  Op        Why",
        "shop       web   Deployment  ok   ~ change  image, replicas and annotations",
    ]
    assert lines(made, 71)[:2] == [
        "Namespace  Name  Kind        Op        Why",
        "shop       web   Deployment  ~ change  image, replicas and annotations",
    ]
    assert lines(made, 60)[:2] == [
        "Namespace  Name  Kind        Op        Why",
        "shop       web   Deployment  ~ change  image, replicas an...",
    ]
    assert lines(made, 160) == lines(made)


def test_sentences_are_wrapped_below_themselves() -> None:
    text = "Deployment shop/web would not become ready: secret not found"
    effect = effects.Effect(type="unready", ref=WEB, text=text)
    made = plan(effects=(effect,), operations=(operation(),))
    assert f"  {text}" in lines(made)
    narrow = lines(made, 40)
    start = narrow.index("Effects:")
    assert narrow[start + 1 : start + 3] == [
        "  Deployment shop/web would not become", "    ready: secret not found",
    ]  # fmt: skip


@pytest.mark.parametrize("count", [1, 2])
def test_what_would_not_become_ready_is_in_the_summary(count: int) -> None:
    effect = effects.Effect(type="unready", ref=WEB, text="web would not become ready")
    made = plan(effects=(effect,) * count, operations=(operation(),))
    told = lines(made)
    are = {1: "is 1 object", 2: "are 2 objects"}[count]
    assert told[-2] == f"Among them {are} that would not become ready: see the effects"
    assert lines(plan(operations=(operation(),)))[-2].startswith("Plan for shop")


@pytest.mark.parametrize(
    ("message", "causes"),
    [
        ("no such quota", ["no such quota"]),
        ('Pod "a" is invalid: spec.x: Required value', ["spec.x: Required value"]),
        (
            'Sale.shop.example.com "a" is invalid: [spec.x: Invalid value: "b, c: d": no, '
            "spec.y[0].z: Required value, <nil>: Invalid value: null: why, or not]",
            [
                'spec.x: Invalid value: "b, c: d": no',
                "spec.y[0].z: Required value",
                "<nil>: Invalid value: null: why, or not",
            ],
        ),
        ('Pod "a" is invalid: spec.x: Invalid value:\n  too many lines', [
            "spec.x: Invalid value: too many lines"
        ]),
    ],
)  # fmt: skip
def test_each_cause_of_a_refusal_has_its_line(message: str, causes: list[str]) -> None:
    blocked = plans.Blocked(ref=WEB, obstacle=outcomes.Obstacle(message=message, remedy="do so"))
    told = lines(plan(blocked=(blocked,)))
    assert told[: len(causes) + 2] == [
        "BLOCKED  Deployment shop/web",
        *(f"         {cause}" for cause in causes),
        "         do so",
    ]


def config(**data: str) -> objects.Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "a", "uid": "u", "managedFields": []},
        "data": data,
    }


def test_whole_objects_are_shown_on_request() -> None:
    ref = refs.Ref("", "ConfigMap", "shop", "a")
    before = config(a="1", b="1", c="1", d="1", e="1", f="1", g="1")
    after = config(**{**before["data"], "a": "2", "g": "2"})
    changed = operation(ref)
    made = plan(operations=(changed,), states={ref: (before, after)})
    told = list(render.plan(made, NOW, whole=True))
    assert told[3:-3] == [
        "@@ change configmap/a (apps/v1) namespace: shop @@",
        "      name: a",
        "    data:",
        "  -   a: '1'",
        "  +   a: '2'",
        "      b: '1'",
        "      c: '1'",
        "    ...",
        "      e: '1'",
        "      f: '1'",
        "  -   g: '1'",
        "  +   g: '2'",
    ]
    new = dataclasses.replace(changed, op=outcomes.Op.CREATE)
    made = plan(operations=(new,), states={ref: (None, config(a="1"))})
    assert list(render.plan(made, NOW, whole=True))[4:11] == [
        "  + apiVersion: v1", "  + kind: ConfigMap", "  + metadata:", "  +   name: a", "  + data:",
        "  +   a: '1'", "",
    ]  # fmt: skip


async def test_what_is_blocked_has_its_row_and_the_place_of_its_manifest(still: c.Cluster) -> None:
    await still.deliver(c.config("a", v="1"))
    still.view.patch("configmaps", "a", {"immutable": True}, "default")
    made = await still.plan(c.config("a", v="2"))
    told = lines(made)
    assert told[1].split() == [
        "default", "a", "ConfigMap", told[1].split()[3], "ok", "!", "blocked", "-", "see", "below"
    ]  # fmt: skip
    assert told[3] == "BLOCKED  ConfigMap default/a"
    assert any(line.strip() == "in test.yaml, document 1" for line in told)
    assert made.as_dict()["blocked"][0]["source"] == "test.yaml, document 1"
    assert "source" not in made.body()["blocked"][0], "where it is does not change what happens"


async def test_a_plan_says_how_things_are_now(cluster: c.Cluster) -> None:
    await cluster.deliver(c.deployment("web", image="pullfail:1"), c.config("a"), wait=False)
    made = await cluster.plan(c.deployment("web", image="web:2"), c.config("b"))
    states = {operation.ref.name: operation.state for operation in made.operations}
    assert states == {"web": health.State.IN_PROGRESS, "a": health.State.CURRENT, "b": None}
    told = {one["name"]: one.get("state") for one in made.as_dict()["operations"]}
    assert told == {"web": "InProgress", "a": "Current", "b": None}
    assert [line.split()[4] for line in lines(made)[1:4]] == ["-", "ongoing", "ok"]
