"""Knative's rules that no recorded scenario pins down: scale by load, rollouts, settings."""

from __future__ import annotations

import pytest

from understudy.aio import clocks, ids
from understudy.controllers import running
from understudy.controllers.knative import (
    configmaps,
    decisions,
    installing,
    local,
    rollouts,
    settings,
    worlds,
)
from understudy.controllers.runtime import settings as runtimes
from understudy.kapi import views

CONFIG = settings.KnativeSettings(stable_window_s=60.0)
SECOND = rollouts.NANO


def autoscaler(concurrency=0, **notes):
    return {
        "metadata": {"annotations": {f"autoscaling.knative.dev/{k}": v for k, v in notes.items()}},
        "spec": {"containerConcurrency": concurrency},
    }


def decided(
    decider, stable, ready, now_s, *, panic=None, notes=None, config=CONFIG, reachable=True
):
    given = autoscaler(**(notes or {}))
    demand = worlds.Demand(stable=stable, panic=stable if panic is None else panic)
    return decider.decide(
        demand,
        ready,
        decisions.targets(given, config),
        given["metadata"]["annotations"],
        config,
        now_s,
        reachable=reachable,
    ).desired


@pytest.mark.parametrize(
    ("stable", "expected"), [(0.0, 0), (1.0, 1), (70.0, 1), (71.0, 2), (140.0, 2), (700.0, 10)]
)
def test_replicas_follow_load_at_seven_tenths_of_the_target(stable, expected):
    assert decided(decisions.Decider(), stable, ready=1, now_s=0.0, panic=0.0) == expected


def test_one_step_halves_at_most():
    assert decided(decisions.Decider(), 1.0, ready=10, now_s=0.0) == 5


def test_a_burst_scales_up_at_once_and_is_not_scaled_down_for_a_window():
    decider = decisions.Decider()
    assert decided(decider, 70.0, ready=1, now_s=0.0, panic=1400.0) == 20
    assert decided(decider, 70.0, ready=20, now_s=10.0, panic=10.0) == 20, "still panicking"
    assert decided(decider, 70.0, ready=20, now_s=71.0, panic=10.0) == 10


def test_a_delay_keeps_the_highest_of_the_last_seconds():
    decider = decisions.Decider()
    delayed = {"scale-down-delay": "30s"}
    assert decided(decider, 350.0, ready=5, now_s=0.0, notes=delayed, panic=0.0) == 5
    assert decided(decider, 70.0, ready=5, now_s=10.0, notes=delayed, panic=0.0) == 5
    assert decided(decider, 70.0, ready=5, now_s=41.0, notes=delayed, panic=0.0) < 5


def test_targets_come_from_annotations_then_limits_then_defaults():
    assert decisions.targets(autoscaler(), CONFIG).total == 100
    assert decisions.targets(autoscaler(concurrency=20), CONFIG).total == 20
    assert decisions.targets(autoscaler(concurrency=20, target="50"), CONFIG).total == 20
    assert decisions.targets(autoscaler(metric="rps"), CONFIG).total == 200
    assert decisions.targets(autoscaler(metric="rps", target="30"), CONFIG).value == 21


def part(*shares, **steps):
    return rollouts.Part(
        configuration="c",
        percent=100,
        shares=tuple(rollouts.Share(revision=name, percent=share) for name, share in shares),
        steps=rollouts.Steps(**steps),
    )


def test_a_rollout_starts_with_one_percent_and_ends_with_all():
    wanted = (part(("new", 100)),)
    now = 1_000 * SECOND
    state, _ = rollouts.step(wanted, (part(("old", 100)),), now)
    assert [(s.revision, s.percent) for s in state[0].shares] == [("old", 99), ("new", 1)]
    state = rollouts.observe_ready(
        tuple(rollouts.replace(p, steps=rollouts.replace(p.steps, start=now)) for p in state),
        now + 2 * SECOND,
        100.0,
    )
    seen = []
    for _ in range(200):
        following, again = rollouts.step(wanted, state, state[0].steps.next or now)
        if rollouts.is_done(following):
            break
        shares = {s.revision: s.percent for s in following[0].shares}
        assert sum(shares.values()) == 100
        seen.append(shares["new"])
        state = following
        assert again >= 0
    assert rollouts.is_done(following)
    assert following[0].shares[-1].revision == "new"
    assert seen == sorted(seen)


def test_a_rollout_is_written_and_read_back():
    state = (part(("old", 60), ("new", 40), start=1, next=2, duration=3, size=4),)
    assert rollouts.load(rollouts.dump(state)) == state
    assert rollouts.load("no json") is None


def test_a_clusters_own_settings_are_read():
    maps = {
        "config-domain": {"example.org": "", "inner.test": "selector:\n  a: b\n"},
        "config-network": {
            "domain-template": "{{.Name}}-{{.Namespace}}.{{.Domain}}",
            "rollout-duration": "120",
            "ingress-class": "kourier.ingress.networking.knative.dev",
        },
        "config-autoscaler": {
            "stable-window": "90s",
            "enable-scale-to-zero": "false",
            "container-concurrency-target-percentage": "85",
            "allow-zero-initial-scale": "true",
            "max-scale": "many",
        },
        "config-defaults": {"max-revision-timeout-seconds": "3600"},
        "config-features": {"kubernetes.podspec-affinity": "enabled"},
        "config-deployment": {
            "progress-deadline": "300s",
            "registries-skipping-tag-resolving": "a.test, b.test",
        },
    }

    def find(name):
        return {"data": maps[name]} if name in maps else None

    read = configmaps.read(find)
    assert read.domain == "example.org"
    assert read.domain_template == "{name}-{namespace}.{domain}"
    assert read.rollout_duration_s == 120
    assert read.ingress_class.startswith("kourier")
    assert read.stable_window_s == 90.0
    assert not read.enable_scale_to_zero
    assert read.target_utilization == 0.85
    assert read.max_scale == 0, "what makes no sense leaves the default"
    assert read.limits.allow_zero_initial_scale
    assert read.limits.max_revision_timeout_s == 3600
    assert read.limits.allows("kubernetes.podspec-affinity")
    assert read.progress_deadline_s == 300
    assert read.skipped_registries == {"a.test", "b.test"}
    assert configmaps.read(lambda name: None) == settings.KnativeSettings()


def test_a_rehearsal_of_a_cluster_gives_that_clusters_urls():
    base = views.new_view(clock=clocks.ManualClock(), ids=ids.SeededIds(1))
    installing.install(base)
    base.create(
        "configmaps",
        {"metadata": {"name": "config-domain"}, "data": {"shop.example": ""}},
        "knative-serving",
    )
    view = base.fork("rehearsal")
    more = installing.rehearsed(view)
    service = {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": "hello"},
        "spec": {"template": {"spec": {"containers": [{"image": "dev.local/x:v1"}]}}},
    }
    view.create("services.serving.knative.dev", service, "default")

    rest = running.settle(view, "all", runtimes.Runtime(leases=False), more=more)

    assert rest.is_settled
    found = view.get("services.serving.knative.dev", "hello", "default")
    assert found["status"]["url"] == "http://hello.default.shop.example"
    assert {c["type"]: c["status"] for c in found["status"]["conditions"]}["Ready"] == "True"
    assert base.find("services.serving.knative.dev", "default", "hello") is None
    assert installing.rehearsed(views.new_view()) == []


def test_a_machine_of_ones_own_is_set_up_in_the_cluster_itself():
    view = views.new_view(clock=clocks.ManualClock(), ids=ids.SeededIds(1))
    written = local.configure(view, 8123)
    assert (written.domain, written.port, written.queue_image) == ("localhost", 8123, "")
    assert written.limits.allows("kubernetes.podspec-persistent-volume-claim")

    network = view.get("configmaps", "config-network", "knative-serving")
    network["data"]["rollout-duration"] = "30"
    view.update("configmaps", network, "knative-serving")
    again = local.configure(view, 80)
    assert (again.port, again.rollout_duration_s) == (0, 30), "only the port follows the gateway"
    assert again == configmaps.read(lambda name: view.find("configmaps", "knative-serving", name))
