"""One body, two transports: whatever delivery needs of a client holds in process and over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from understudy import assembly
from understudy.client import connections, http, informers, protocol
from understudy.kapi import server as servers, settings, views
from understudy.kube import objects, statuses


@pytest.fixture
async def view() -> AsyncIterator[views.View]:
    made = views.new_view()
    yield made
    made.close()


@pytest.fixture(params=["view", "http", "https"])
async def client(
    request: pytest.FixtureRequest, view: views.View, tmp_path: Path
) -> AsyncIterator[protocol.Client]:
    if request.param == "view":
        yield assembly.ViewClient(view)
        return
    path = tmp_path / "kubeconfig"
    secure = request.param == "https"
    server = servers.Server(
        settings.ServerSettings(
            port=0, kubeconfig=path, tls=secure, auth="token" if secure else "none"
        ),
        base=view,
    )
    await server.start()
    try:
        async with connections.connect(kubeconfig=path) as made:
            yield made
    finally:
        await server.stop()


def config(name: str, **data: str) -> objects.Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": name}},
        "data": data,
    }


DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {
            "kind": "Widget",
            "plural": "widgets",
            "singular": "widget",
            "shortNames": ["wdg"],
        },
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "x-kubernetes-preserve-unknown-fields": True,
                    }
                },
            }
        ],
    },
}


async def test_objects_are_created_read_changed_and_deleted(client: protocol.Client) -> None:
    made = await client.create("configmaps", config("a", x="1"))
    assert made["metadata"]["uid"]
    assert (await client.get("configmaps", "a", namespace="default")) == made
    made["data"]["x"] = "2"
    updated = await client.update("configmaps", made)
    assert updated["data"] == {"x": "2"}
    patched = await client.patch("configmaps", "a", {"data": {"y": "3"}}, namespace="default")
    assert patched["data"] == {"x": "2", "y": "3"}
    await client.delete("configmaps", "a", namespace="default", uid=made["metadata"]["uid"])
    with pytest.raises(statuses.NotFoundError, match='configmaps "a" not found'):
        await client.get("configmaps", "a", namespace="default")


async def test_items_of_a_list_know_what_they_are(client: protocol.Client) -> None:
    await client.create("configmaps", config("a"))
    await client.create("configmaps", config("b"))
    listing = await client.list("configmaps", namespace="default", label_selector="app=b")
    assert [(o["apiVersion"], o["kind"], objects.name_of(o)) for o in listing.items] == [
        ("v1", "ConfigMap", "b")
    ]
    assert int(listing.resource_version) > 0


async def test_lists_come_in_pages(client: protocol.Client) -> None:
    for number in range(5):
        await client.create("configmaps", config(f"c{number}"))
    first = await client.list("configmaps", namespace="default", limit=2)
    assert (len(first.items), first.remaining) == (2, 3)
    rest = await client.list(
        "configmaps", namespace="default", limit=10, continue_token=first.continue_token
    )
    assert [objects.name_of(obj) for obj in rest.items] == ["c2", "c3", "c4"]
    assert rest.continue_token == ""


@pytest.mark.parametrize(("precondition", "value"), [("uid", "another"), ("resource_version", "1")])
async def test_a_precondition_that_does_not_hold_deletes_nothing(
    client: protocol.Client, precondition: str, value: str
) -> None:
    await client.create("configmaps", config("a"))
    with pytest.raises(statuses.ConflictError):
        await client.delete("configmaps", "a", namespace="default", **{precondition: value})
    assert await client.get("configmaps", "a", namespace="default")


async def test_refusals_are_the_same_errors(client: protocol.Client) -> None:
    await client.create("configmaps", config("a"))
    with pytest.raises(statuses.AlreadyExistsError):
        await client.create("configmaps", config("a"))
    stale = await client.get("configmaps", "a", namespace="default")
    stale["metadata"]["resourceVersion"] = "1"
    with pytest.raises(statuses.ConflictError, match="the object has been modified"):
        await client.update("configmaps", stale)
    with pytest.raises(statuses.InvalidError) as caught:
        await client.create("configmaps", config("Not_A_Name"))
    assert caught.value.causes[0]["field"] == "metadata.name"
    with pytest.raises(statuses.NotFoundError, match="the server doesn't have a resource type"):
        await client.list("gadgets.example.com")
    with pytest.raises(statuses.BadRequestError, match="an empty namespace may not be set"):
        await client.get("configmaps", "a")


async def test_apply_owns_its_fields_and_conflicts_are_told(client: protocol.Client) -> None:
    made = await client.apply("configmaps", config("a", x="1"), field_manager="one")
    assert made["metadata"]["managedFields"][0]["manager"] == "one"
    with pytest.raises(statuses.ConflictError) as caught:
        await client.apply("configmaps", config("a", x="2"), field_manager="two")
    assert {cause["reason"] for cause in caught.value.causes} == {"FieldManagerConflict"}
    forced = await client.apply("configmaps", config("a", x="2"), field_manager="two", force=True)
    assert forced["data"] == {"x": "2"}
    same = await client.apply("configmaps", config("a", x="2"), field_manager="two")
    assert same["metadata"]["resourceVersion"] == forced["metadata"]["resourceVersion"]


async def test_an_applied_uid_that_is_not_the_live_one_changes_nothing(
    client: protocol.Client,
) -> None:
    await client.apply("configmaps", config("a", x="1"), field_manager="one")
    wanted = config("a", x="2")
    wanted["metadata"]["uid"] = "00000000-0000-0000-0000-000000000000"
    with pytest.raises(statuses.ApiError) as caught:
        await client.apply("configmaps", wanted, field_manager="one")
    assert caught.value.code in (409, 422)
    assert (await client.get("configmaps", "a", namespace="default"))["data"] == {"x": "1"}


async def test_misspelt_fields_are_refused_on_request(client: protocol.Client) -> None:
    wrong = config("a")
    wrong["dota"] = {}
    with pytest.raises(statuses.BadRequestError, match='unknown field "dota"'):
        await client.create("configmaps", wrong, field_validation="Strict")
    assert await client.create("configmaps", wrong, field_validation="Ignore")


async def test_a_dry_run_keeps_nothing(client: protocol.Client) -> None:
    await client.create("configmaps", config("a"), dry_run=True)
    assert (await client.list("configmaps", namespace="default")).items == []


async def test_status_is_written_apart(client: protocol.Client) -> None:
    await client.create("customresourcedefinitions.apiextensions.k8s.io", DEFINITION)
    widget = {
        "apiVersion": "example.com/v1",
        "kind": "Widget",
        "metadata": {"name": "w", "namespace": "default"},
    }
    await client.create("widgets.example.com", widget)
    done = await client.patch(
        "widgets.example.com", "w", {"status": {"a": 1}}, namespace="default", subresource="status"
    )
    assert done["status"] == {"a": 1}


async def test_scale_is_a_subresource(client: protocol.Client) -> None:
    labels = {"app": "web"}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "c", "image": "i"}]},
            },
        },
    }
    await client.create("deployments.apps", deployment)
    scale = await client.get("deployments.apps", "web", namespace="default", subresource="scale")
    assert (scale["kind"], scale["spec"]["replicas"]) == ("Scale", 3)


async def test_a_new_kind_is_discovered_when_it_is_asked_for(client: protocol.Client) -> None:
    before = await client.discover()
    assert before.named("widgets.example.com") is None
    await client.create("customresourcedefinitions.apiextensions.k8s.io", DEFINITION)
    assert (await client.list("widgets.example.com")).items == []
    served = await client.discover()
    for text in ("widgets.example.com", "widgets.v1.example.com", "widget", "Widget", "wdg"):
        found = served.named(text)
        assert found is not None, text
        assert (found.kind, found.namespaced, found.subresources) == ("Widget", True, ("status",))
    assert served.by_kind("example.com/v1", "Widget") is not None


async def test_discovery_knows_kubectls_words(client: protocol.Client) -> None:
    served = await client.discover()
    for text, plural, group in (
        ("deploy", "deployments", "apps"),
        ("po", "pods", ""),
        ("Service", "services", ""),
        ("jobs.v1.batch", "jobs", "batch"),
        ("crd", "customresourcedefinitions", "apiextensions.k8s.io"),
    ):
        found = served.named(text)
        assert found is not None, text
        assert (found.plural, found.group) == (plural, group)
    assert served.named("nonsense") is None


async def test_a_watch_begins_where_a_list_ended(client: protocol.Client) -> None:
    await client.create("configmaps", config("before"))
    listing = await client.list("configmaps", namespace="default")
    await client.create("configmaps", config("after"))
    await client.delete("configmaps", "before", namespace="default")
    seen = []
    events = client.watch(
        "configmaps",
        namespace="default",
        resource_version=listing.resource_version,
        timeout_s=5,
    )
    async with contextlib.aclosing(events) as stream:
        async for event in stream:
            seen.append((event.type, objects.name_of(event.object)))
            if len(seen) == 2:
                break
    assert seen == [("ADDED", "after"), ("DELETED", "before")]


async def test_a_watch_can_begin_with_what_is_there(client: protocol.Client) -> None:
    await client.create("configmaps", config("a"))
    seen = []
    events = client.watch("configmaps", namespace="default", send_initial_events=True, timeout_s=5)
    async with contextlib.aclosing(events) as stream:
        async for event in stream:
            seen.append(event.type)
            if event.type == "BOOKMARK":
                assert event.object["metadata"]["annotations"] == {
                    "k8s.io/initial-events-end": "true"
                }
                break
    assert seen == ["ADDED", "BOOKMARK"]


async def test_a_watch_ends_when_its_time_is_over(client: protocol.Client) -> None:
    async with asyncio.timeout(4):
        events = client.watch("configmaps", namespace="default", timeout_s=1)
        assert [event async for event in events] == []


async def test_a_whole_collection_is_deleted(client: protocol.Client) -> None:
    for name in ("a", "b", "c"):
        await client.create("configmaps", config(name))
    await client.delete_collection("configmaps", namespace="default", label_selector="app!=b")
    listing = await client.list("configmaps", namespace="default")
    assert [objects.name_of(obj) for obj in listing.items] == ["b"]


async def test_what_is_given_is_not_changed_and_what_is_returned_is_private(
    client: protocol.Client,
) -> None:
    given = config("a", x="1")
    made = await client.create("configmaps", given)
    assert given == config("a", x="1")
    made["data"]["x"] = "changed by the caller"
    assert (await client.get("configmaps", "a", namespace="default"))["data"] == {"x": "1"}


async def test_the_version_is_told(client: protocol.Client) -> None:
    assert (await client.version())["gitVersion"].startswith("v1.")


class Told(informers.Handler):
    def __init__(self) -> None:
        self.seen: list[str] = []
        self.changed = asyncio.Event()

    def added(self, obj: objects.Object) -> None:
        self._note(f"+{objects.name_of(obj)}")

    def updated(self, old: objects.Object, new: objects.Object) -> None:
        self._note(f"~{objects.name_of(new)}")

    def deleted(self, obj: objects.Object) -> None:
        self._note(f"-{objects.name_of(obj)}")

    def _note(self, text: str) -> None:
        self.seen.append(text)
        self.changed.set()

    async def wait_for(self, count: int) -> list[str]:
        async with asyncio.timeout(5):
            while len(self.seen) < count:
                self.changed.clear()
                await self.changed.wait()
        return self.seen


async def test_an_informer_follows(client: protocol.Client) -> None:
    await client.create("configmaps", config("a"))
    informer = informers.Informer(
        client,
        "configmaps",
        namespace="default",
        indexers={"app": lambda obj: [objects.labels_of(obj).get("app", "")]},
    )
    told = Told()
    informer.add_handler(told)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(informer.run())
        await informer.wait_synced()
        assert told.seen == ["+a"]
        await client.create("configmaps", config("b"))
        await client.patch("configmaps", "a", {"data": {"x": "1"}}, namespace="default")
        await client.delete("configmaps", "b", namespace="default")
        assert await told.wait_for(4) == ["+a", "+b", "~a", "-b"]
        assert [objects.name_of(obj) for obj in informer.by_index("app", "a")] == ["a"]
        assert informer.by_index("app", "b") == []
        assert informer.get("a", "default")["data"] == {"x": "1"}
        running.cancel()


async def test_no_server_is_one_clear_sentence(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(
        "{current-context: c, contexts: [{name: c, context: {cluster: c}}],"
        " clusters: [{name: c, cluster: {server: 'http://127.0.0.1:9'}}]}"
    )
    async with connections.connect(kubeconfig=path) as client:
        with pytest.raises(http.errors.ConnectionFailedError) as caught:
            await client.list("pods")
    assert str(caught.value).startswith("no Kubernetes API answers at http://127.0.0.1:9 (")
    assert "\n" not in str(caught.value)


async def test_logs_that_nobody_keeps_are_refused(client: protocol.Client) -> None:
    with pytest.raises(statuses.NotFoundError):
        await anext(client.logs("nothing", namespace="default"))
    pod = {
        "metadata": {"name": "placed"},
        "spec": {"nodeName": "node-1", "containers": [{"name": "web", "image": "x"}]},
    }
    await client.create("pods", pod, namespace="default")
    with pytest.raises(statuses.ServiceUnavailableError, match="pods/log needs a runtime"):
        await anext(client.logs("placed", namespace="default", follow=True, tail_lines=1))
