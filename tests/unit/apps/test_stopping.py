"""Stopping and starting: nothing can wake a stopped app, and it comes back as it was."""

from __future__ import annotations

import pytest
from apps_world import KNATIVE, KSERVICES, Faulty, app, in_phase, until

from understudy.apps import errors, records
from understudy.kube import objects

REVISIONS = "revisions.serving.knative.dev"
STOPPED = records.DesiredState.STOPPED


def revisions(cluster, service="hello-shop-dev"):
    return [
        one
        for one in cluster.view.each(REVISIONS, "default")
        if objects.labels_of(one).get("serving.knative.dev/service") == service
    ]


async def test_a_stopped_app_has_nothing_that_a_request_could_start(cluster, apps):
    await apps.deploy(app())
    await in_phase(apps, app().id, "ACTIVE")

    await apps.stop(app().id, reason="night")

    await until(lambda: not cluster.pods("hello-shop-dev"))
    stopped = await in_phase(apps, app().id, "STOPPED")
    for made in ("deployments.apps", "podautoscalers.autoscaling.internal.knative.dev"):
        assert list(cluster.view.each(made, "default")) == []
    service = cluster.service("hello-shop-dev")
    labels = objects.labels_of(service)
    assert labels["flyte.org/app-stopped"] == "true"
    assert labels["networking.knative.dev/visibility"] == "cluster-local"
    assert stopped.spec.desired_state is STOPPED
    assert stopped.spec.container.image == "dev.local/hello:v1"
    assert stopped.status.ingress.public_url
    assert stopped.status.created_at is not None
    assert stopped.status.current_replicas == 0
    again = await apps.get(app().id)
    assert again.status == stopped.status, "reading twice gives the same"


async def test_stopping_twice_writes_once(cluster):
    client = Faulty(cluster.client)
    apps = cluster.apps(client)
    await apps.deploy(app())
    await in_phase(apps, app().id, "ACTIVE")
    await apps.stop(app().id)
    client.writes.clear()

    await apps.stop(app().id)

    assert client.writes == []
    assert len(revisions(cluster)) == 1


async def test_stopping_what_does_not_exist_is_success(apps):
    await apps.stop(app("nobody").id)


async def test_start_brings_an_app_back_as_it_was(cluster, apps):
    await apps.deploy(app(ingress=records.IngressConfig(private=True)))
    before = (await in_phase(apps, app().id, "ACTIVE")).spec
    await apps.stop(app().id)
    await in_phase(apps, app().id, "STOPPED")

    await apps.start(app().id)

    running = await in_phase(apps, app().id, "ACTIVE")
    assert running.spec == before
    assert running.status.last_started_at is not None
    labels = objects.labels_of(cluster.service("hello-shop-dev"))
    assert "flyte.org/app-stopped" not in labels
    assert labels["networking.knative.dev/visibility"] == "cluster-local", "it was private"


async def test_start_of_a_running_app_writes_nothing(cluster):
    client = Faulty(cluster.client)
    apps = cluster.apps(client)
    await apps.deploy(app())
    client.writes.clear()

    await apps.start(app().id)

    assert client.writes == []
    with pytest.raises(errors.AppNotFoundError):
        await apps.start(app("nobody").id)


async def test_deploying_the_same_spec_after_a_stop_starts_it(cluster, apps):
    await apps.deploy(app())
    await in_phase(apps, app().id, "ACTIVE")
    await apps.stop(app().id)

    await apps.deploy(app())

    await in_phase(apps, app().id, "ACTIVE")
    labels = objects.labels_of(cluster.service("hello-shop-dev"))
    assert "networking.knative.dev/visibility" not in labels


async def test_an_app_can_be_created_stopped_and_changed_while_it_is(cluster, apps):
    await apps.deploy(app(desired_state=STOPPED))
    await in_phase(apps, app().id, "STOPPED")
    assert cluster.pods("hello-shop-dev") == []

    await apps.deploy(app(image="dev.local/hello:v2", desired_state=STOPPED))
    changed = await apps.get(app().id)
    assert changed.spec.container.image == "dev.local/hello:v2"
    assert changed.phase is records.DeploymentStatus.STOPPED

    await apps.start(app().id)
    running = await in_phase(apps, app().id, "ACTIVE")
    assert running.spec.container.image == "dev.local/hello:v2"


async def test_deploying_a_stopped_state_stops_a_running_app(cluster, apps):
    await apps.deploy(app())
    await in_phase(apps, app().id, "ACTIVE")

    await apps.deploy(app(desired_state=STOPPED))

    await in_phase(apps, app().id, "STOPPED")
    await until(lambda: not cluster.pods("hello-shop-dev"))


async def test_a_visibility_that_the_user_set_outlives_a_stop(cluster, apps):
    await apps.deploy(app())
    cluster.view.patch(
        KSERVICES, "hello-shop-dev",
        {"metadata": {"labels": {"networking.knative.dev/visibility": "cluster-local"}}},
        "default", patch_type="application/merge-patch+json",
    )  # fmt: skip
    await apps.stop(app().id)

    await apps.start(app().id)

    labels = objects.labels_of(cluster.service("hello-shop-dev"))
    assert labels["networking.knative.dev/visibility"] == "cluster-local"


async def test_an_app_whose_spec_cannot_be_read_is_restored_from_its_template(cluster, apps):
    await apps.deploy(app())
    await in_phase(apps, app().id, "ACTIVE")
    cluster.view.patch(
        KSERVICES, "hello-shop-dev",
        {"metadata": {"annotations": {"flyte.org/spec": "AAAA", "flyte.org/spec-sha": "x"}}},
        "default", patch_type="application/merge-patch+json",
    )  # fmt: skip
    await apps.stop(app().id)
    await in_phase(apps, app().id, "STOPPED")

    await apps.start(app().id)

    await in_phase(apps, app().id, "ACTIVE")
    template = cluster.service("hello-shop-dev")["spec"]["template"]
    assert template["spec"]["containers"][0]["image"] == "dev.local/hello:v1"


async def test_a_stop_that_knative_does_not_act_on_says_so(cluster):
    apps = cluster.apps(stop_timeout_s=0.1)
    await apps.deploy(app())
    await in_phase(apps, app().id, "ACTIVE")
    await cluster.running.stop()

    with pytest.raises(errors.AppTimeoutError, match="did not act") as raised:
        await apps.stop(app().id)
    assert raised.value.code == "DEADLINE_EXCEEDED"


async def test_stop_needs_no_setting_that_knative_does_not_ship_with(cluster, apps):
    """A vanilla Knative refuses an initial scale of zero; ours is asked for no such thing."""
    assert not KNATIVE.limits.allow_zero_initial_scale
    await apps.deploy(app())
    await in_phase(apps, app().id, "ACTIVE")
    await apps.stop(app().id)
    template = cluster.service("hello-shop-dev")["spec"]["template"]
    assert "autoscaling.knative.dev/initial-scale" not in objects.annotations_of(template)
