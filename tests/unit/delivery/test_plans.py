"""What a plan says of fields, causes and people's secrets, and what it is pinned to."""

from __future__ import annotations

import copy
import datetime as dt
import os
import subprocess
import sys

import orjson
import pytest
from tests.unit.delivery import conftest as c

from understudy import assembly
from understudy.delivery import (
    adoption,
    diffs,
    errors,
    holders,
    outcomes,
    pins,
    plans,
    refs,
    render,
)
from understudy.kapi.views import options as view_options
from understudy.kube import objects


def lines(plan: plans.Plan) -> list[str]:
    return list(render.plan(plan, dt.datetime.now(dt.UTC)))


# ---------------------------------------------------------------------- differences


def differing(before: objects.Json, after: objects.Json) -> list[tuple]:
    return [(diffs.told(path), one, other) for path, one, other in diffs.differences(before, after)]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 2}, [("a", 1, 2)]),
        ({"a": 1}, {"b": 1}, [("a", 1, None), ("b", None, 1)]),
        ({"a": True}, {"a": 1}, [("a", True, 1)]),
        ({"a": {"b.c/d": "x"}}, {"a": {"b.c/d": "y"}}, [("a['b.c/d']", "x", "y")]),
        (
            {"c": [{"name": "x", "v": 1}, {"name": "y"}]},
            {"c": [{"name": "y"}, {"name": "x", "v": 2}]},
            [("c[x].v", 1, 2)],
        ),
        (
            {"c": [{"name": "x"}]},
            {"c": [{"name": "z"}]},
            [("c[x]", {"name": "x"}, None), ("c[z]", None, {"name": "z"})],
        ),
        ({"p": [{"port": 80}]}, {"p": [{"port": 81}]}, [("p[0].port", 80, 81)]),
        ({"p": [1, 2]}, {"p": [1]}, [("p", [1, 2], [1])]),
    ],
)
def test_differences(before: objects.Json, after: objects.Json, expected: list) -> None:
    assert differing(before, after) == expected


def test_what_a_controller_counts_is_no_difference() -> None:
    counted = {"deployment.kubernetes.io/revision": "3"}
    before = {"metadata": {"name": "a", "annotations": counted}}
    assert diffs.compare(before, {"metadata": {"name": "a"}}) == []


async def test_each_field_has_its_cause(still: c.Cluster) -> None:
    await still.deliver(c.config("a", mine="1", drifts="1"))
    still.view.patch(
        "configmaps",
        "a",
        {"data": {"drifts": "2"}},
        "default",
        options=view_options.WriteOptions(field_manager="somebody"),
    )
    plan = await still.plan(c.config("a", mine="2", drifts="1"), force_conflicts=True)
    told = {d.path: (str(d.cause), d.manager) for o in plan.operations for d in o.diffs}
    assert told == {"data.mine": ("you", ""), "data.drifts": ("drift", "somebody")}
    assert "  ~ data.drifts: 2 -> 1  # drift: changed by somebody" in lines(plan)


async def test_each_field_says_who_wrote_it_before(still: c.Cluster) -> None:
    theirs = c.config("a", edited="1", gone="1", same="1")
    options = view_options.WriteOptions(field_manager="kubectl-client-side-apply")
    still.view.create("configmaps", theirs, "default", options=options)
    adopt = {"adoption": adoption.Adoption.IF_NO_INVENTORY, "force_conflicts": True}
    plan = await still.plan(c.config("a", edited="2", same="1", new="1"), **adopt)
    told = {d.path: (str(d.cause), d.manager) for o in plan.operations for d in o.diffs}
    assert told == {
        "data.edited": ("you", "kubectl-client-side-apply"),
        "data.gone": ("you", "kubectl-client-side-apply"),
        "data.new": ("you", ""),
    }
    text = lines(plan)
    assert "  ~ data.edited: 1 -> 2  # was written by kubectl-client-side-apply" in text
    assert "  + data.new: 1" in text


async def test_what_the_server_fills_in_or_drops_is_told_apart(still: c.Cluster) -> None:
    async def told(kind: str) -> dict[str, str]:
        plan = await still.plan(c.service("web", type=kind), wait=False)
        return {d.path: str(d.cause) for o in plan.operations for d in o.diffs}

    await still.deliver(c.service("web", type="ClusterIP"), wait=False)
    assert await told("NodePort") == {
        "spec.externalTrafficPolicy": "default",
        "spec.ports[0].nodePort": "default",
        "spec.type": "you",
    }
    await still.deliver(c.service("web", type="NodePort"), wait=False)
    assert await told("ClusterIP") == {
        "spec.externalTrafficPolicy": "server",
        "spec.ports[0].nodePort": "server",
        "spec.type": "you",
    }


async def test_a_field_that_no_manifest_names_is_left_alone(still: c.Cluster) -> None:
    await still.deliver(c.deployment("web"), wait=False)
    still.view.patch(
        "deployments.apps", "web", {"metadata": {"annotations": {"others": "1"}}}, "default"
    )
    plan = await still.plan(c.deployment("web"), wait=False)
    assert not plan.has_changes


# ---------------------------------------------------------------------- pins


async def test_a_change_elsewhere_keeps_a_plan_fresh(still: c.Cluster) -> None:
    await still.deliver(c.config("a", v="1"))
    plan = await still.plan(c.config("a", v="2"))
    saved = plans.from_file(orjson.dumps(plan.as_file()), "p")
    still.view.patch("configmaps", "a", {"data": {"elsewhere": "1"}}, "default")
    await still.deliveries().deliver(
        c.OWNER, c.written(c.config("a", v="2")), c.options(), saved=saved
    )
    assert still.find("configmaps", "a")["data"] == {"v": "2", "elsewhere": "1"}


ELSEWHERE = {
    "a finalizer": ("services", {"metadata": {"finalizers": ["ours/f", "theirs/f"]}}),
    "a label": ("services", {"metadata": {"labels": {"theirs": "1"}}}),
    "a container": (
        "deployments.apps",
        {"spec": {"template": {"spec": {"containers": [{"name": "sidecar", "image": "s"}]}}}},
    ),
    "a port": (
        "deployments.apps",
        {
            "spec": {
                "template": {
                    "spec": {"containers": [{"name": "web", "ports": [{"containerPort": 9}]}]}
                }
            }
        },
    ),
    "replicas": ("deployments.apps", {"spec": {"replicas": 5}}),
    "status": ("deployments.apps", {"status": {"replicas": 1}}),
}


@pytest.mark.parametrize("what", ELSEWHERE)
async def test_a_plan_is_about_the_fields_that_it_writes(still: c.Cluster, what: str) -> None:
    """Named by the server's own keys of lists: what others add beside ours is not ours."""
    web = c.deployment("web", ports=[{"containerPort": 80}])
    del web["spec"]["replicas"]
    service = c.service("web")
    service["metadata"]["finalizers"] = ["ours/f"]
    await still.deliver(web, service, wait=False)
    changed = copy.deepcopy(web)
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = "web:2"
    service["spec"]["selector"] = {"app": "other"}
    plan = await still.plan(changed, service, wait=False)
    saved = plans.from_file(orjson.dumps(plan.as_file()), "p")
    resource, patch = ELSEWHERE[what]
    await still.client.patch(
        resource,
        "web",
        patch,
        namespace="default",
        field_manager="theirs",
        patch_type="application/strategic-merge-patch+json",
        subresource="status" if what == "status" else "",
    )
    options = c.options(wait=False)
    still.told.clear()
    await still.deliveries().deliver(c.OWNER, c.written(changed, service), options, saved=saved)
    kind = "Service" if resource == "services" else "Deployment"
    told = [(n.op, str(n.ref)) for n in still.told if n.op == "drifted elsewhere"]
    assert told == [("drifted elsewhere", f"{kind} default/web")]


async def test_a_field_that_the_plan_takes_out_is_touched_too(still: c.Cluster) -> None:
    await still.deliver(c.config("a", keep="1", drop="1"))

    async def approve(_plan: plans.Plan) -> bool:
        still.view.patch("configmaps", "a", {"data": {"drop": "9"}}, "default")
        return True

    with pytest.raises(errors.StalePlanError, match="other values in fields that the plan touches"):
        await still.deliver(c.config("a", keep="1"), approve=approve)


@pytest.mark.parametrize(
    ("meddle", "complaint"),
    [
        (
            lambda view: view.patch("configmaps", "a", {"data": {"v": "9"}}, "default"),
            "ConfigMap default/a",
        ),
        (lambda view: view.delete("configmaps", "a", "default"), "ConfigMap default/a"),
        (
            lambda view: view.create("configmaps", c.config("b"), "default"),
            "ConfigMap default/b",
        ),
    ],
    ids=["changed", "deleted", "created"],
)
async def test_a_change_where_it_matters_makes_a_plan_stale(
    still: c.Cluster, meddle, complaint: str
) -> None:
    await still.deliver(c.config("a", v="1"))
    wanted = (c.config("a", v="2"), c.config("b"))
    plan = await still.plan(*wanted, force_conflicts=True)
    saved = plans.from_file(orjson.dumps(plan.as_file()), "p")
    meddle(still.view)
    with pytest.raises((errors.StalePlanError, errors.BlockedError)) as caught:
        await still.deliveries().deliver(
            c.OWNER, c.written(*wanted), c.options(force_conflicts=True), saved=saved
        )
    assert complaint in str(caught.value)


async def test_a_stale_plan_says_how_another_would_differ(still: c.Cluster) -> None:
    await still.deliver(c.config("a", v="1", w="1"), c.secret("s", p="correct-horse"))
    wanted = (c.config("a", v="2", w="1"), c.secret("s", p="battery-staple"))
    settings = {"force_conflicts": True}
    plan = await still.plan(*wanted, **settings)
    saved = plans.from_file(orjson.dumps(plan.as_file()), "p")
    still.view.patch("configmaps", "a", {"data": {"v": "9", "w": "9"}}, "default")
    with pytest.raises(errors.StalePlanError) as caught:
        await still.deliveries().deliver(
            c.OWNER, c.written(*wanted), c.options(**settings), saved=saved
        )
    assert caught.value.exit_code == 4
    assert caught.value.__notes__ == [
        "ConfigMap default/a: data.v would be 9 -> 2, planned was 1 -> 2",
        "ConfigMap default/a: data.w would be 9 -> 1, planned was left as it is",
    ]


async def test_what_changes_between_the_rehearsal_and_the_first_write_is_noticed(
    still: c.Cluster,
) -> None:
    await still.deliver(c.config("a", v="1"))

    async def approve(_plan: plans.Plan) -> bool:
        still.view.patch("configmaps", "a", {"data": {"v": "9"}}, "default")
        return True

    with pytest.raises(errors.StalePlanError, match="other values in fields that the plan touches"):
        await still.deliver(c.config("a", v="2"), approve=approve)
    assert still.find("configmaps", "a")["data"] == {"v": "9"}


def test_a_pin_says_nothing_of_the_values() -> None:
    live = c.secret("s", password="hunter2")
    live["metadata"]["uid"] = "u"
    made = pins.pin(refs.ref_of(live), live, {"f:stringData": {"f:password": {}}}, "salt")
    assert made.touched
    assert "hunter2" not in orjson.dumps(made.as_dict()).decode()
    assert pins.from_dict(made.as_dict()) == made


async def test_a_declined_plan_writes_nothing(still: c.Cluster) -> None:
    async def decline(_plan: plans.Plan) -> bool:
        return False

    before = still.view.change_count
    done = await still.deliver(c.config("a"), approve=decline)
    assert not done.approved
    assert still.view.change_count == before


# ---------------------------------------------------------------------- digest, journal, text


async def test_the_same_input_gives_the_same_digest(cluster: c.Cluster) -> None:
    given = (c.config("a"), c.deployment("web", replicas=2), c.service("web"), c.secret("s", p="x"))
    assert (await cluster.plan(*given)).digest == (await cluster.plan(*given)).digest
    assert (await cluster.plan(*given[1:])).digest != (await cluster.plan(*given)).digest


async def test_the_journal_tells_every_write_with_its_cause(cluster: c.Cluster) -> None:
    plan = await cluster.plan(c.deployment("web"), c.secret("s", p="x"))
    written = [(line.cause, line.verb, line.name) for line in plan.journal]
    assert ("you", "apply", "web") in written
    assert ("you", "apply", "s") in written
    assert ("records", "create", "shop-v1-values") in written
    assert any(cause.startswith("deployment") for cause, _, _ in written)
    tracker = next(n for n, line in enumerate(written) if line[2] == "shop.default")
    assert tracker < written.index(("you", "apply", "web")), "recorded before it is applied"
    assert len(plan.as_file()["journal"]) == len(written)


async def test_a_plan_file_tells_what_was_read_and_every_write_by_number(
    still: c.Cluster,
) -> None:
    await still.deliver(c.config("gone"))
    face = still.deliveries(make_stage=assembly.LoadingStages())
    plan = await face.plan(c.OWNER, c.written(c.config("a")), c.options())
    saved = plan.as_file()
    assert saved["readAt"]["configmaps default"] == str(still.view.revision)
    assert [line["seq"] for line in saved["journal"]] == [*range(1, len(plan.journal) + 1)]
    again = await face.plan(c.OWNER, c.written(c.config("a")), c.options())
    assert again.digest == plan.digest


async def test_a_plan_reads_like_a_table(still: c.Cluster) -> None:
    await still.deliver(c.config("gone"), c.config("b", v="1"))
    told = lines(await still.plan(c.config("b", v="2"), c.config("new")))
    titles = ["Namespace", "Name", "Kind", "Age", "Now", "Op", "Wait", "for", "Why"]
    assert told[0].split() == titles
    assert [line.split()[1:3] + line.split()[5:7] for line in told[1:4]] == [
        ["b", "ConfigMap", "~", "change"],
        ["new", "ConfigMap", "+", "create"],
        ["gone", "ConfigMap", "-", "delete"],
    ]
    assert "  ~ data.v: 1 -> 2" in told
    assert told[-2] == (
        "Plan for shop: revision shop-v2 (after shop-v1): 1 create, 1 change, 1 delete"
    )


async def test_a_secret_written_as_text_is_not_applied_again(still: c.Cluster) -> None:
    await still.deliver(c.secret("s", password="p"))
    done = await still.deliver(c.secret("s", password="p"), c.config("a"))
    told = {o.ref.name: o.op for o in done.outcomes}
    assert told["s"] is outcomes.Op.UNCHANGED


# ---------------------------------------------------------------------- holders


def test_this_process_is_not_gone() -> None:
    assert not holders.is_gone(holders.this_process())


def test_a_process_of_this_machine_that_ended_is_gone() -> None:
    name = holders.this_process()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    dead = name.replace(f"pid {os.getpid()} ", f"pid {ended.pid} ")
    assert dead != name
    assert holders.is_gone(dead)


@pytest.mark.parametrize("holder", ["ann@elsewhere", "x pid 1 (00000000/1/1)", ""])
def test_of_others_nothing_is_known(holder: str) -> None:
    assert not holders.is_gone(holder)


async def test_a_plan_between_two_revisions_forgets_what_is_there(cluster: c.Cluster) -> None:
    for version in "123":
        await cluster.deliver(
            c.config("a", v=version), *([c.config("b")] if version == "1" else [])
        )
    before = cluster.view.change_count
    made = await cluster.deliveries().plan_between(c.OWNER, "shop-v1", "2", c.options())
    assert cluster.view.change_count == before
    assert (made.previous, made.revision) == ("shop-v1", "shop-v2")
    assert {(str(o.op), o.ref.name) for o in made.operations} == {
        ("change", "a"), ("delete", "b"),
    }  # fmt: skip
    assert [(d.path, d.before, d.after) for d in made.operations[0].diffs] == [("data.v", "1", "2")]
    assert {line.cause for line in made.journal} <= {"you", "records"}
    same = await cluster.deliveries().plan_between(c.OWNER, "1", "1", c.options())
    assert not same.has_changes
    with pytest.raises(errors.NoSuchRevisionError):
        await cluster.deliveries().plan_between(c.OWNER, "1", "9", c.options())


async def test_a_plan_between_revisions_on_a_loaded_stage(cluster: c.Cluster) -> None:
    await cluster.deliver(c.definition(), c.widget("w"))
    await cluster.deliver(c.deployment("web"), allow_crd_prune=True)
    face = cluster.deliveries(make_stage=assembly.LoadingStages())
    made = await face.plan_between(c.OWNER, "1", "2", c.options(allow_crd_prune=True))
    assert {(str(o.op), o.ref.kind) for o in made.operations} == {
        ("create", "Deployment"), ("delete", "Widget"), ("delete", "CustomResourceDefinition"),
    }  # fmt: skip
