"""Hooks: what runs with a delivery instead of staying."""

import contextlib

import pytest
from tests.unit.delivery import conftest as c

from understudy.delivery import errors, marks, outcomes, refs, waiting
from understudy.kube import objects

OURS = "core.understudy.dev/hook"


def job(name: str, hook: str = "", image: str = "migrate:1", **notes: str) -> objects.Object:
    said = {f"{OURS}-{key.replace('_', '-')}": value for key, value in notes.items()}
    if hook:
        key, _, word = hook.rpartition("=")
        said[key or OURS] = word
    container = {"name": "run", "image": image}
    spec = {"restartPolicy": "Never", "containers": [container]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": "default", "annotations": said},
        "spec": {"backoffLimit": 0, "template": {"spec": spec}},
    }


def pod(name: str, hook: str = "", image: str = "exit-0", **notes: str) -> objects.Object:
    """A hook that takes no time in a cluster whose pods have no delays."""
    made = job(name, hook, image, **notes)
    spec = made["spec"]["template"]["spec"]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": made["metadata"], "spec": spec}


def told(cluster: c.Cluster, kind: str = "done") -> list[str]:
    return [
        f"{news.op} {news.ref.name}"
        for news in cluster.told
        if news.type == kind and not news.ref.name.endswith(marks.GROUP)
    ]


async def test_hooks_run_before_and_after_everything_else(cluster: c.Cluster) -> None:
    before = job("before", "pre-deliver")
    before["spec"]["template"]["spec"]["containers"][0]["envFrom"] = [
        {"configMapRef": {"name": "settings"}}
    ]
    given = (c.config("other"), job("after", "post-deliver"), c.deployment("web"), before)
    plan = await cluster.plan(*given, c.config("settings"))
    assert [(str(o.op), o.ref.name) for o in plan.operations if not o.record] == [
        ("create", "settings"),
        ("run", "before"),
        ("create", "other"),
        ("create", "web"),
        ("run", "after"),
    ]
    assert "the hook Job default/before is taken to succeed: what it does is not known" in (
        plan.fidelity
    )
    await cluster.deliver(*given, c.config("settings"))
    assert [line.split()[1] for line in told(cluster)] == [
        "settings", "before", "other", "web", "after",
    ]  # fmt: skip


def account(name: str, hook: str, **notes: str) -> objects.Object:
    made = job(name, hook, **notes)
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": made["metadata"]}


async def test_what_a_hook_needs_stays_until_its_phase_is_over(cluster: c.Cluster) -> None:
    helm = "helm.sh/hook="
    given = (
        account("both", f"{helm}pre-install,post-install", delete_policy="hook-succeeded"),
        account("early", f"{helm}pre-install", delete_policy="hook-succeeded"),
        pod("migrate", f"{helm}pre-install", weight="3"),
        pod("patch", f"{helm}post-install", delete_policy="hook-succeeded"),
    )
    client = c.Mortal(cluster.client, after=1 << 30)
    plan = await cluster.plan(*given, c.config("a"))
    assert [text for text in plan.fidelity if "taken to succeed" in text] == [
        f"the hook Pod default/{name} is taken to succeed: what it does is not known"
        for name in ("migrate", "patch")
    ]
    await cluster.deliver(*given, c.config("a"), client=client)
    written = [
        line.replace("apply", "create") for line in client.writes
        if line.split()[1] in ("serviceaccounts", "pods", "configmaps")
    ]  # fmt: skip
    assert written == [
        "create serviceaccounts default/both",
        "create serviceaccounts default/early",
        "create pods default/migrate",
        "delete serviceaccounts default/early",
        "create configmaps default/a",
        "create pods default/patch",
        "delete pods default/patch",
        "delete serviceaccounts default/both",
    ]


async def test_a_hook_runs_once_for_each_revision(cluster: c.Cluster) -> None:
    hook = pod("migrate", "pre-deliver")
    await cluster.deliver(hook, c.config("a", v="1"))
    first = cluster.find("pods", "migrate")
    again = await cluster.deliver(hook, c.config("a", v="1"))
    assert not again.changed
    assert cluster.find("pods", "migrate")["metadata"]["uid"] == first["metadata"]["uid"]
    drift = await cluster.deliveries().drift(c.OWNER, c.options())
    assert not drift.has_changes
    plan = await cluster.plan(hook, c.config("a", v="2"))
    assert plan.count(outcomes.Op.RUN) == 1
    await cluster.deliver(hook, c.config("a", v="2"))
    second = cluster.find("pods", "migrate")
    assert second["metadata"]["uid"] != first["metadata"]["uid"]


async def test_nothing_follows_a_failed_hook(cluster: c.Cluster) -> None:
    given = (pod("migrate", "pre-deliver", image="exit-3"), c.config("a"))
    with pytest.raises(errors.UnhealthyError, match="Pod default/migrate: Failed"):
        await cluster.deliver(*given)
    assert cluster.find("configmaps", "a") is None
    assert cluster.tracked() == {"Pod/migrate", "ConfigMap/a"}
    await cluster.deliver(pod("migrate", "pre-deliver"), c.config("a"))
    assert cluster.find("configmaps", "a") is not None


async def test_a_failed_hook_is_run_again_by_the_next_delivery(cluster: c.Cluster) -> None:
    given = (pod("migrate", "pre-deliver", image="exit-3"), c.config("a"))
    for _ in range(2):
        with pytest.raises(errors.UnhealthyError):
            await cluster.deliver(*given)
    plan = await cluster.plan(*given)
    assert [str(e.ref) for e in plan.effects if e.type == "unready"] == ["Pod default/migrate"]


async def test_a_refused_hook_blocks_all_that_comes_after(still: c.Cluster) -> None:
    wrong = pod("migrate", "pre-deliver")
    wrong["spec"]["restartPolicy"] = "Sometimes"
    plan = await still.plan(wrong, c.config("a"))
    assert [str(b.ref) for b in plan.blocked] == ["Pod default/migrate", "ConfigMap default/a"]
    assert plan.blocked[1].obstacle.blocked_by == refs.Ref("", "Pod", "default", "migrate")


@pytest.mark.parametrize(
    ("image", "policy", "left"),
    [
        ("exit-0", "", True),
        ("exit-0", "hook-succeeded", False),
        ("exit-0", "hook-failed", True),
        ("exit-1", "hook-failed", False),
        ("exit-1", "hook-succeeded", True),
    ],
)
async def test_a_hook_goes_when_its_policy_says_so(
    cluster: c.Cluster, image: str, policy: str, left: bool
) -> None:
    notes = {"delete_policy": policy} if policy else {}
    hook = pod("migrate", "pre-deliver", image=image, **notes)
    if image == "exit-0":
        await cluster.deliver(hook, c.config("a"))
        states = await cluster.deliveries().status(c.OWNER)
        assert all(condition.health.is_settled for condition in states)
        plan = await cluster.plan(hook, c.config("a"))
        assert not plan.has_changes
    else:
        with pytest.raises(errors.UnhealthyError):
            await cluster.deliver(hook, c.config("a"))
    assert (cluster.find("pods", "migrate") is not None) is left
    if image == "exit-0":
        await cluster.remove()
        assert cluster.find("pods", "migrate") is None


async def test_helms_hooks_run_on_their_occasions(cluster: c.Cluster) -> None:
    helm = "helm.sh/hook="
    given = [
        pod("a-install", f"{helm}pre-install"),
        pod("b-upgrade", f"{helm}pre-upgrade,post-rollback"),
        pod("c-test", f"{helm}test"),
    ]
    ran = []
    for version in "12":
        cluster.told.clear()
        await cluster.deliver(*given, c.config("x", v=version))
        ran.append([line for line in told(cluster) if line.startswith("run")])
    cluster.told.clear()
    await cluster.deliveries().rollback(c.OWNER, "", c.options())
    ran.append([line for line in told(cluster) if line.startswith("run") or " x" in line])
    assert ran == [["run a-install"], ["run b-upgrade"], ["change x", "run b-upgrade"]]
    assert cluster.find("pods", "c-test") is None


async def test_lighter_hooks_go_first(cluster: c.Cluster) -> None:
    given = (
        pod("a", "pre-deliver", weight="5"),
        pod("b", "pre-deliver", weight="-1"),
        pod("c", "argocd.argoproj.io/hook=PreSync"),
    )
    await cluster.deliver(*given)
    assert told(cluster) == ["run b", "run c", "run a"]


async def test_a_hook_holds_the_lock_no_longer_than_its_time(cluster: c.Cluster) -> None:
    endless = pod("endless", "pre-deliver", image="run", timeout="1s")
    endless["spec"]["restartPolicy"] = "Always"
    settings = waiting.WaitSettings(timeout_s=60, poll_first_s=0.01, poll_max_s=0.1)
    with pytest.raises(errors.UnhealthyError, match=r"has not ended \(given up after 1 s\)"):
        await cluster.deliver(endless, c.config("a"), wait_settings=settings)
    lease = cluster.find("leases.coordination.k8s.io", "deliver-shop")
    assert not lease["spec"].get("holderIdentity")


@pytest.mark.parametrize(
    ("key", "value", "remedy"),
    [
        (OURS, "pre-install", "use on-failure, post-delete, post-deliver, pre-delete, pre-deliver"),
        (f"{OURS}-timeout", "soon", "use a duration such as 90s, 15m or 1h30m"),
        (f"{OURS}-weight", "light", "use a whole number"),
        (f"{OURS}-delete-policy", "never", "use before-hook-creation, hook-failed"),
    ],
)
async def test_a_wrong_annotation_is_told(
    still: c.Cluster, key: str, value: str, remedy: str
) -> None:
    hook = pod("migrate", "pre-deliver")
    hook["metadata"]["annotations"][key] = value
    with pytest.raises(errors.ManifestError) as caught:
        await still.plan(hook)
    assert f"metadata.annotations[{key!r}] is {value!r}: {remedy}" in str(caught.value)


async def test_a_delivery_with_hooks_killed_anywhere_is_completed(cluster: c.Cluster) -> None:
    given = (
        pod("before", "pre-deliver", delete_policy="hook-succeeded"),
        c.config("a", v="1"),
        pod("after", "post-deliver"),
    )
    counting = c.Mortal(cluster.client, after=10**6)
    await cluster.deliver(*given, client=counting)
    await cluster.remove()
    for after in range(1, len(counting.writes) + 1):
        with contextlib.suppress(c.DiedError, errors.DeliveryError):
            await cluster.deliver(*given, client=c.Mortal(cluster.client, after), holder="one")
        await cluster.deliver(*given, force_unlock=True, holder="two")
        assert cluster.names("pods") == ["after"]
        assert "a" in cluster.names("configmaps")
        await cluster.remove(force_unlock=True)
        assert cluster.names("pods") == []


async def test_a_hook_that_only_exists_goes_in_the_rehearsal_too(cluster: c.Cluster) -> None:
    hook = c.config("once")
    hook["metadata"]["annotations"] = {
        OURS: "post-deliver",
        f"{OURS}-delete-policy": "hook-succeeded",
    }
    plan = await cluster.plan(hook, c.config("a"))
    deleted = [line for line in plan.journal if line.verb == "delete"]
    assert [(line.cause, line.name) for line in deleted] == [("hook", "once")]
    await cluster.deliver(hook, c.config("a"))
    assert cluster.find("configmaps", "once") is None


# ---------------------------------------------------------------------- of failures, of deletion

FAILING = [
    "on-failure",
    "argocd.argoproj.io/hook=SyncFail",
    "argocd.argoproj.io/hook=PostSync,SyncFail",
]


@pytest.mark.parametrize("hook", FAILING)
async def test_a_hook_of_failures_runs_when_a_delivery_failed(
    cluster: c.Cluster, hook: str
) -> None:
    given = (pod("told", hook), c.config("a"))
    await cluster.deliver(*given)
    before = cluster.find("pods", "told")
    assert (before is None) == ("PostSync" not in hook)
    bad = c.deployment("web", image="exit-1")
    with pytest.raises(errors.UnhealthyError, match="Deployment default/web"):
        await cluster.deliver(*given, bad)
    told = cluster.find("pods", "told")
    assert told is not None
    assert told["status"]["phase"] == "Succeeded"
    assert before is None or told["metadata"]["uid"] != before["metadata"]["uid"]
    assert "Pod/told" in cluster.tracked()
    tracker = cluster.find("resourcetrackers.core.understudy.dev", "shop.default", "")
    assert tracker["spec"]["phase"] == "Applying", "the delivery has not come to its end"
    with pytest.raises(errors.UnhealthyError, match="Deployment default/web"):
        await cluster.deliver(*given, bad)
    again = cluster.find("pods", "told")
    assert again["metadata"]["uid"] != told["metadata"]["uid"], "each failure is told"
    await cluster.deliver(c.config("a"))
    assert cluster.find("pods", "told") is None


async def test_a_hook_of_failures_that_fails_does_not_hide_the_failure(
    cluster: c.Cluster,
) -> None:
    given = (pod("told", "on-failure", image="exit-1"), c.deployment("web", image="exit-1"))
    with pytest.raises(errors.UnhealthyError, match="Deployment default/web"):
        await cluster.deliver(*given)
    told = [news.message for news in cluster.told if news.type == "failed"]
    assert any("a hook of failures failed itself: Pod default/told" in text for text in told)


async def test_a_plan_says_when_a_hook_would_run(cluster: c.Cluster) -> None:
    plan = await cluster.plan(pod("f", "on-failure"), pod("d", "pre-delete"))
    assert {o.ref.name: (str(o.op), o.why) for o in plan.operations if not o.record} == {
        "f": ("ignore", "a hook of failures: does not run now"),
        "d": ("ignore", "a hook of deletes: does not run now"),
    }


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("pre-delete", "post-delete"),
        ("helm.sh/hook=pre-delete", "helm.sh/hook=post-delete"),
        ("argocd.argoproj.io/hook=PreDelete", "argocd.argoproj.io/hook=PostDelete"),
    ],
)
async def test_hooks_of_deletion_run_around_it_and_go_too(
    cluster: c.Cluster, before: str, after: str
) -> None:
    given = (pod("before", before), pod("after", after), c.config("a"), c.deployment("web"))
    await cluster.deliver(*given)
    assert cluster.find("pods", "before") is None
    plan = await cluster.deliveries().plan_removal(c.OWNER, c.options())
    assert [(str(o.op), o.ref.name) for o in plan.operations] == [
        ("run", "before"), ("delete", "web"), ("delete", "a"), ("run", "after"),
    ]  # fmt: skip
    cluster.told.clear()
    await cluster.remove()
    done = told(cluster)
    ran = ["run before", "delete web", "delete a", "run after"]
    assert [line for line in done if line in ran] == ran
    assert cluster.names("pods") == []
    assert cluster.names("configmaps") == ["kube-root-ca.crt"]
    assert cluster.names("resourcetrackers.core.understudy.dev", "") == []


async def test_a_failed_hook_before_deletion_keeps_the_application(cluster: c.Cluster) -> None:
    await cluster.deliver(pod("before", "pre-delete", image="exit-1"), c.config("a"))
    with pytest.raises(errors.UnhealthyError, match="Pod default/before"):
        await cluster.remove()
    assert cluster.find("configmaps", "a") is not None
    assert cluster.tracked() == {"ConfigMap/a", "Pod/before"}
    lease = cluster.find("leases.coordination.k8s.io", "deliver-shop")
    assert not lease["spec"].get("holderIdentity")
    with pytest.raises(errors.UnhealthyError, match="Pod default/before"):
        await cluster.remove()
    await cluster.deliver(pod("before", "pre-delete"), c.config("a"))
    await cluster.remove()
    assert cluster.find("configmaps", "a") is None


async def test_a_removal_with_hooks_killed_anywhere_is_completed(cluster: c.Cluster) -> None:
    given = (
        pod("before", "pre-delete", delete_policy="hook-succeeded"),
        c.config("a", v="1"),
        pod("after", "post-delete"),
    )
    await cluster.deliver(*given)
    counting = c.Mortal(cluster.client, after=10**6)
    await cluster.deliveries(counting).remove(c.OWNER, c.options())
    for after in range(1, len(counting.writes) + 1):
        await cluster.deliver(*given, force_unlock=True, holder="zero")
        with contextlib.suppress(c.DiedError, errors.DeliveryError):
            mortal = c.Mortal(cluster.client, after)
            await cluster.deliveries(mortal, "one").remove(c.OWNER, c.options())
        with contextlib.suppress(errors.NoSuchRevisionError):
            await cluster.remove(force_unlock=True)
        assert cluster.names("pods") == []
        assert "a" not in cluster.names("configmaps")
        assert cluster.names("resourcetrackers.core.understudy.dev", "") == []
