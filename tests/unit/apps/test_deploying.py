"""Deploying apps: create, change, nothing to do, races, and what is refused."""

from __future__ import annotations

import datetime as dt

import pytest
from apps_world import KSERVICES, Faulty, app, in_phase, until

from understudy.apps import errors, records
from understudy.kube import objects


async def test_a_new_app_becomes_a_service_with_its_labels_and_annotations(cluster, apps):
    deployed = await apps.deploy(app("Hello", org="acme"))

    service = cluster.service("hello-shop-dev")
    assert service is not None
    assert service["metadata"]["labels"] == {
        "flyte.org/app-managed": "true",
        "flyte.org/project": "shop",
        "flyte.org/domain": "dev",
        "flyte.org/app-name": "Hello",
    }
    notes = objects.annotations_of(service)
    assert notes["flyte.org/app-id"] == "shop/dev/Hello"
    assert notes["flyte.org/app-org"] == "acme"
    assert len(notes["flyte.org/spec-sha"]) == 16
    assert deployed.id.org == "acme"
    assert deployed.phase in {
        records.DeploymentStatus.PENDING,
        records.DeploymentStatus.DEPLOYING,
    }


async def test_an_app_becomes_active_and_reachable(cluster, apps):
    await apps.deploy(app())

    active = await in_phase(apps, app().id, "ACTIVE")

    assert active.status.ingress.public_url == "http://hello-shop-dev.apps.test"
    assert active.status.current_replicas == 1
    assert active.status.k8s_metadata.service == "hello-shop-dev"
    assert active.status.verdict.substate is records.Substate.RUNNING
    assert active.status.latest_ready_revision == "hello-shop-dev-00001"
    assert [one.percent for one in active.status.traffic] == [100]


async def test_the_same_spec_again_writes_nothing(cluster):
    client = Faulty(cluster.client)
    apps = cluster.apps(client)
    await apps.deploy(app())
    await in_phase(apps, app().id, "ACTIVE")
    before = cluster.service("hello-shop-dev")["metadata"]["resourceVersion"]
    client.writes.clear()

    await apps.deploy(app())

    assert client.writes == []
    assert cluster.service("hello-shop-dev")["metadata"]["resourceVersion"] == before


async def test_a_new_image_makes_a_new_revision_and_keeps_what_others_wrote(cluster, apps):
    await apps.deploy(app())
    await in_phase(apps, app().id, "ACTIVE")
    cluster.view.patch(
        KSERVICES,
        "hello-shop-dev",
        {"metadata": {"labels": {"theirs": "kept"}, "annotations": {"theirs": "kept"}}},
        "default",
        patch_type="application/merge-patch+json",
    )
    creator = objects.annotations_of(cluster.service("hello-shop-dev"))

    await apps.deploy(app(image="dev.local/hello:v2"))

    async def look():
        found = await apps.get(app().id)
        return (
            found.status.latest_ready_revision == "hello-shop-dev-00002" and found.phase == "ACTIVE"
        )

    await until(look)
    service = cluster.service("hello-shop-dev")
    assert objects.labels_of(service)["theirs"] == "kept"
    assert objects.annotations_of(service)["theirs"] == "kept"
    key = "serving.knative.dev/creator"
    assert objects.annotations_of(service).get(key) == creator.get(key)


async def test_a_traffic_split_survives_a_deploy(cluster, apps):
    await apps.deploy(app())
    await in_phase(apps, app().id, "ACTIVE")
    split = [
        {"revisionName": "hello-shop-dev-00001", "percent": 90, "tag": "stable"},
        {"latestRevision": True, "percent": 10},
    ]
    cluster.view.patch(
        KSERVICES, "hello-shop-dev", {"spec": {"traffic": split}}, "default",
        patch_type="application/merge-patch+json",
    )  # fmt: skip

    await apps.deploy(app(image="dev.local/hello:v2"))

    traffic = cluster.service("hello-shop-dev")["spec"]["traffic"]
    assert [one.get("percent") for one in traffic] == [90, 10]
    assert traffic[0]["tag"] == "stable"


async def test_drift_is_repaired_though_the_spec_is_the_same(cluster, apps):
    await apps.deploy(app())
    await in_phase(apps, app().id, "ACTIVE")
    live = cluster.service("hello-shop-dev")
    live["spec"]["template"]["spec"]["containers"][0]["image"] = "dev.local/else:v9"
    cluster.view.update(KSERVICES, live, "default")

    await apps.deploy(app())

    template = cluster.service("hello-shop-dev")["spec"]["template"]
    assert template["spec"]["containers"][0]["image"] == "dev.local/hello:v1"


async def test_a_cosmetic_change_is_stored_and_makes_no_revision(cluster, apps):
    await apps.deploy(app())
    await in_phase(apps, app().id, "ACTIVE")
    before = cluster.service("hello-shop-dev")["metadata"]["generation"]

    await apps.deploy(app(profile=records.Profile(name="A nice name")))

    found = await apps.get(app().id)
    assert found.spec.profile.name == "A nice name"
    assert cluster.service("hello-shop-dev")["metadata"]["generation"] == before


async def test_a_lost_race_is_read_again_and_written_again(cluster):
    client = Faulty(cluster.client)
    apps = cluster.apps(client)
    await apps.deploy(app())

    def meddle(write):
        cluster.view.patch(
            KSERVICES, "hello-shop-dev", {"metadata": {"labels": {"raced": "yes"}}}, "default",
            patch_type="application/merge-patch+json",
        )  # fmt: skip

    client.before.append(meddle)
    await apps.deploy(app(image="dev.local/hello:v2"))

    service = cluster.service("hello-shop-dev")
    assert objects.labels_of(service)["raced"] == "yes"
    assert service["spec"]["template"]["spec"]["containers"][0]["image"] == "dev.local/hello:v2"
    assert [one.verb for one in client.writes[-2:]] == ["update", "update"]


async def test_who_loses_every_race_is_told_to_try_again(cluster):
    client = Faulty(cluster.client)
    apps = cluster.apps(client, conflict_retries_max=2)
    await apps.deploy(app())
    turn = iter(range(10))

    def meddle(write):
        cluster.view.patch(
            KSERVICES, "hello-shop-dev", {"metadata": {"labels": {"turn": str(next(turn))}}},
            "default", patch_type="application/merge-patch+json",
        )  # fmt: skip

    client.before += [meddle] * 5
    with pytest.raises(errors.AppConflictError, match="after 3 attempts") as raised:
        await apps.deploy(app(image="dev.local/hello:v2"))
    assert raised.value.code == "ABORTED"
    assert raised.value.retryable


async def test_two_deploys_at_once_create_one_service(cluster):
    client = Faulty(cluster.client)
    apps = cluster.apps(client)

    async def another(write):
        await cluster.apps().deploy(app(image="dev.local/hello:v2"))

    client.before.append(another)
    await apps.deploy(app())

    template = cluster.service("hello-shop-dev")["spec"]["template"]
    assert template["spec"]["containers"][0]["image"] == "dev.local/hello:v1"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"name": "a", "project": "b-c"}, {"name": "a-b", "project": "c"}),
        ({"name": "App"}, {"name": "app"}),
        ({"name": "app", "org": "one"}, {"name": "app", "org": "two"}),
    ],
)
async def test_two_identities_never_share_a_service(cluster, apps, first, second):
    one, other = app(**first), app(**second)
    await apps.deploy(one)

    for call in (
        apps.deploy(other),
        apps.stop(other.id),
        apps.start(other.id),
        apps.delete(other.id),
        apps.replicas(other.id),
    ):
        with pytest.raises(errors.AppNameConflictError) as raised:
            await call
        assert raised.value.code == "ALREADY_EXISTS"
        assert raised.value.owner == str(one.id)
    with pytest.raises(errors.AppNotFoundError):
        await apps.get(other.id)

    found = cluster.service(objects.name_of(next(iter(cluster.view.each(KSERVICES)))))
    assert objects.annotations_of(found)["flyte.org/app-id"] == str(one.id)


async def test_a_service_that_is_no_app_is_left_alone(cluster, apps):
    theirs = {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": "hello-shop-dev"},
        "spec": {"template": {"spec": {"containers": [{"image": "dev.local/theirs:v1"}]}}},
    }
    cluster.view.create(KSERVICES, theirs, "default")

    with pytest.raises(errors.AppNameConflictError, match="not managed as an app"):
        await apps.deploy(app())
    with pytest.raises(errors.AppNameConflictError):
        await apps.delete(app().id)
    assert cluster.service("hello-shop-dev") is not None


async def test_everything_wrong_is_said_before_anything_is_sent(cluster):
    client = Faulty(cluster.client)
    apps = cluster.apps(client)
    bad = app(
        "9lives",
        container=records.Container(
            image="",
            ports=(records.ContainerPort(container_port=0),),
            resources=records.Resources(
                requests=(records.ResourceEntry(name=records.ResourceName.CPU, value="lots"),)
            ),
        ),
        timeouts=records.TimeoutConfig(request_timeout=dt.timedelta(hours=2)),
    )

    with pytest.raises(errors.AppInvalidError) as raised:
        await apps.deploy(bad)

    text = str(raised.value)
    for word in ("9lives", "image", "lots", "requestTimeout"):
        assert word in text
    assert raised.value.code == "INVALID_ARGUMENT"
    assert len(raised.value.problems) >= 4
    assert client.writes == []


async def test_a_dry_run_keeps_nothing(cluster, apps):
    shown = await apps.deploy(app(), dry_run=True)

    assert shown.id.name == "hello"
    assert cluster.service("hello-shop-dev") is None


async def test_an_expected_revision_guards_a_deploy(cluster, apps):
    deployed = await apps.deploy(app())
    revision = deployed.metadata.revision
    await apps.deploy(app(image="dev.local/hello:v2"), expected_revision=revision)

    with pytest.raises(errors.AppPreconditionError, match=f"not {revision}"):
        await apps.deploy(app(image="dev.local/hello:v3"), expected_revision=revision)


async def test_the_reason_is_kept(cluster, apps):
    await apps.deploy(app(), reason="first release")

    notes = objects.annotations_of(cluster.service("hello-shop-dev"))
    assert "first release" in notes.values()


async def test_a_missing_namespace_is_made(cluster):
    apps = cluster.apps(namespace="apps")

    await apps.deploy(app())

    assert cluster.view.find("namespaces", "", "apps") is not None
    assert cluster.service("hello-shop-dev", "apps") is not None


async def test_other_names_become_domain_mappings_and_go_with_the_wish(cluster, apps):
    wish = records.IngressConfig(subdomain="front", cname="www.shop.example")
    await apps.deploy(app(ingress=wish))

    def names():
        return {
            objects.name_of(one)
            for one in cluster.view.each("domainmappings.serving.knative.dev", "default")
        }

    assert names() == {"front.apps.test", "www.shop.example"}

    await apps.deploy(app(ingress=records.IngressConfig(cname="www.shop.example")))
    await until(lambda: names() == {"www.shop.example"})
    active = await in_phase(apps, app().id, "ACTIVE")
    await until(lambda: _cname(apps))
    assert active.status.ingress.public_url


async def _cname(apps):
    found = await apps.get(app().id)
    return found.status.ingress.cname_url == "http://www.shop.example"


async def test_a_private_app_is_reached_from_inside_only(cluster, apps):
    await apps.deploy(app(ingress=records.IngressConfig(private=True)))
    labels = objects.labels_of(cluster.service("hello-shop-dev"))
    assert labels["networking.knative.dev/visibility"] == "cluster-local"

    await apps.deploy(app())
    labels = objects.labels_of(cluster.service("hello-shop-dev"))
    assert "networking.knative.dev/visibility" not in labels
