"""Getting, listing, replicas, deleting, and errors as callers see them."""

from __future__ import annotations

import pytest
from apps_world import KSERVICES, Faulty, app, in_phase, until

from understudy import assembly
from understudy.apps import client as app_clients, errors, records
from understudy.client import errors as transport, wrapping
from understudy.kapi import views
from understudy.kube import objects, statuses


async def test_get_of_nothing_is_not_found(apps):
    with pytest.raises(errors.AppNotFoundError, match="shop/dev/nobody") as raised:
        await apps.get(app("nobody").id)
    assert raised.value.code == "NOT_FOUND"


async def test_what_was_deployed_is_read_back_in_full(apps):
    given = app(
        profile=records.Profile(type="web", name="Hello", short_description="says hello"),
        links=(records.Link(path="/docs", title="Docs", is_relative=True),),
        autoscaling=records.AutoscalingConfig(replicas=records.Replicas(min=1, max=3)),
    )
    await apps.deploy(given)

    found = await apps.get(given.id)

    assert found.spec == given.spec
    assert found.metadata.id == records.Identifier(
        org="flyte", project="shop", domain="dev", name="hello"
    )


async def test_a_list_can_be_had_in_pages_and_by_project(cluster, apps):
    for name in ("a", "b", "c"):
        await apps.deploy(app(name))
    await apps.deploy(app("d", project="other"))

    everything = await apps.list()
    assert [one.id.name for one in everything.apps] == ["a", "b", "c", "d"]
    first = await apps.list(limit=3)
    assert [one.id.name for one in first.apps] == ["a", "b", "c"]
    assert first.remaining is None, "Kubernetes does not count what a selector would leave"
    second = await apps.list(limit=3, token=first.token)
    assert [one.id.name for one in second.apps] == ["d"]
    assert second.token == ""
    mine = await apps.list(project="shop", domain="dev")
    assert [one.id.name for one in mine.apps] == ["a", "b", "c"]
    assert (await apps.list(project="none")).apps == ()


async def test_a_bad_token_or_limit_is_the_callers_fault(apps):
    await apps.deploy(app())
    with pytest.raises(errors.AppError) as raised:
        await apps.list(limit=1, token="nonsense")
    assert raised.value.code == "INVALID_ARGUMENT"
    with pytest.raises(errors.AppInvalidError, match="negative"):
        await apps.list(limit=-1)


async def test_a_service_with_an_unreadable_identity_is_skipped_and_named(cluster, apps):
    await apps.deploy(app())
    stray = {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": "stray", "labels": {"flyte.org/app-managed": "true"}},
        "spec": {"template": {"spec": {"containers": [{"image": "dev.local/x:v1"}]}}},
    }
    cluster.view.create(KSERVICES, stray, "default")

    page = await apps.list()

    assert [one.id.name for one in page.apps] == ["hello"]
    assert page.skipped == ("stray",)


async def test_a_list_costs_the_same_number_of_requests_however_many_apps(cluster):
    counted = Counted(cluster.client)
    apps = cluster.apps(counted)
    for name in "abcdef":
        await apps.deploy(app(name))
    counted.reads = 0

    await apps.list()

    assert counted.reads <= 4


async def test_replicas_of_every_revision_are_shown(cluster, apps):
    await apps.deploy(app())
    await in_phase(apps, app().id, "ACTIVE")

    (replica,) = await apps.replicas(app().id)

    assert replica.status.deployment_status == "ACTIVE"
    assert replica.knative_revision == "hello-shop-dev-00001"
    assert replica.latest_ready
    assert replica.traffic_percent == 100
    assert replica.node
    assert replica.metadata.id.app_id == app().id

    await apps.deploy(app(image="unready:v1"))
    await until(lambda: len(cluster.pods("hello-shop-dev")) == 2)
    both = await apps.replicas(app().id)
    assert {one.knative_revision for one in both} == {
        "hello-shop-dev-00001",
        "hello-shop-dev-00002",
    }
    ready = await apps.replicas(app().id, latest_ready_only=True)
    assert [one.knative_revision for one in ready] == ["hello-shop-dev-00001"]
    assert await apps.replicas(app("nobody").id) == ()


async def test_a_replica_can_be_ended_but_not_a_strangers_pod(cluster, apps):
    await apps.deploy(app())
    await apps.deploy(app("other"))
    await in_phase(apps, app().id, "ACTIVE")
    await in_phase(apps, app("other").id, "ACTIVE")
    (replica,) = await apps.replicas(app().id)
    (strange,) = await apps.replicas(app("other").id)

    await apps.delete_replica(replica.metadata.id)
    await until(
        lambda: (
            [objects.name_of(one) for one in cluster.pods("hello-shop-dev")]
            not in ([], [replica.metadata.id.name])
        )
    )
    await apps.delete_replica(replica.metadata.id)  # gone by now, which is what was asked for

    foreign = records.ReplicaIdentifier(app_id=app().id, name=strange.metadata.id.name)
    with pytest.raises(errors.AppPreconditionError, match="does not belong"):
        await apps.delete_replica(foreign)
    assert len(cluster.pods("other-shop-dev")) == 1


async def test_delete_takes_everything_and_may_be_repeated(cluster, apps):
    await apps.deploy(app())
    await in_phase(apps, app().id, "ACTIVE")

    await apps.delete(app().id)
    await until(lambda: cluster.service("hello-shop-dev") is None)
    await until(lambda: not cluster.pods("hello-shop-dev"))
    await apps.delete(app().id)

    with pytest.raises(errors.AppNotFoundError):
        await apps.get(app().id)


async def test_an_app_being_deleted_is_not_deployed_over(cluster, apps):
    await apps.deploy(app())
    service = cluster.service("hello-shop-dev")
    service["metadata"]["finalizers"] = ["tests.example/hold"]
    cluster.view.update(KSERVICES, service, "default")
    await apps.delete(app().id)

    with pytest.raises(errors.AppPreconditionError, match="being deleted"):
        await apps.deploy(app())


async def test_a_cluster_without_knative_is_named_as_such(cluster):
    apps = app_clients.KnativeAppClient(assembly.ViewClient(views.new_view()))
    with pytest.raises(errors.AppPreconditionError, match="install Knative Serving"):
        await apps.deploy(app())


FAILURES = [
    (statuses.ForbiddenError("services is forbidden: no"), errors.AppPermissionDeniedError),
    (
        statuses.ForbiddenError('pods "x" is forbidden: exceeded quota: q, requested: pods=1'),
        errors.AppQuotaExceededError,
    ),
    (statuses.TooManyRequestsError("slow down"), errors.AppQuotaExceededError),
    (statuses.UnauthorizedError("Unauthorized"), errors.AppPermissionDeniedError),
    (statuses.BadRequestError("admission webhook denied"), errors.AppInvalidError),
    (transport.TransportError("connection refused"), errors.AppUnavailableError),
]


@pytest.mark.parametrize(("said", "expected"), FAILURES, ids=lambda one: str(one)[:24])
async def test_what_the_cluster_says_becomes_a_typed_error(cluster, said, expected):
    client = Faulty(cluster.client)
    apps = cluster.apps(client)

    def fail(write):
        raise said

    client.before.append(fail)
    with pytest.raises(expected) as raised:
        await apps.deploy(app())
    assert "shop/dev/hello" in str(raised.value)


class Counted(wrapping.WrappedClient):
    """Counts reads."""

    reads = 0

    async def get(self, *args, **kwargs):
        self.reads += 1
        return await super().get(*args, **kwargs)

    async def list(self, *args, **kwargs):
        self.reads += 1
        return await super().list(*args, **kwargs)
