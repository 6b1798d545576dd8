"""Plans as text: narrow and wide terminals, refusals, what would not become ready."""

from __future__ import annotations

import datetime as dt

import pytest

from understudy.delivery import effects, outcomes, plans, refs, render, targets

NOW = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)
WEB = refs.Ref("apps", "Deployment", "shop", "web")


def plan(**given) -> plans.Plan:
    owner = targets.Owner("shop", "default")
    return plans.Plan(owner=owner, revision="shop-v2", previous="shop-v1", **given)


def operation(ref: refs.Ref = WEB, why: str = "image") -> plans.Operation:
    created = "2026-11-21T11:59:00Z"
    return plans.Operation(
        op=outcomes.Op.CHANGE, ref=ref, api_version="apps/v1", why=why, created=created
    )


def lines(made: plans.Plan, width: int = 0) -> list[str]:
    return list(render.plan(made, NOW, width=width))


def test_a_table_gives_up_columns_on_a_narrow_terminal() -> None:
    made = plan(operations=(operation(why="image, replicas and annotations"),))
    assert lines(made)[:2] == [
        "Namespace  Name  Kind        Age  Op        Wait for  Why",
        "shop       web   Deployment  60s  ~ change  ready     image, replicas and annotations",
    ]
    assert lines(made, 80)[:2] == [
        "Namespace  Name  Kind        Op        Wait for  Why",
        "shop       web   Deployment  ~ change  ready     image, replicas and annotations",
    ]
    assert lines(made, 70)[:2] == [
        "Namespace  Name  Kind        Op        Why",
        "shop       web   Deployment  ~ change  image, replicas and annotations",
    ]
    assert lines(made, 60)[:2] == [
        "Namespace  Name  Kind        Op        Why",
        "shop       web   Deployment  ~ change  image, replicas an...",
    ]
    assert len(lines(made, 160)[1]) > 80


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
