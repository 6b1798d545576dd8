"""Conversion by webhook: over HTTP and in process, for reads, lists, watches and writes."""

import asyncio
import base64
import contextlib
import datetime as dt
import json

import aiohttp
import pytest
from aiohttp import web

from understudy.client.views import ViewClient
from understudy.kapi import server, settings
from understudy.kapi.http import certificates
from understudy.kube import statuses

NOW = dt.datetime.now(dt.UTC)
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
TEXT = {"type": "string"}


def path(version, name=""):
    return f"/apis/g.io/{version}/namespaces/default/widgets" + (f"/{name}" if name else "")


def version(name, *, storage=False, **properties):
    spec = {"type": "object", "properties": dict.fromkeys(properties, TEXT)}
    schema = {"type": "object", "properties": {"spec": spec}}
    return {
        "name": name, "served": True, "storage": storage, "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
    }  # fmt: skip


def definition(url, ca, *, storage="v1"):
    client = {"url": url, "caBundle": base64.b64encode(ca).decode()}
    return {
        "metadata": {"name": "widgets.g.io"},
        "spec": {
            "group": "g.io",
            "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [
                version("v1", storage=storage == "v1", host="", port=""),
                version("v2", storage=storage == "v2", address=""),
            ],
            "conversion": {
                "strategy": "Webhook",
                "webhook": {"clientConfig": client, "conversionReviewVersions": ["v1"]},
            },
        },
    }


class Webhook:
    """Converts `host` and `port` to `address` and back; keeps what it was asked."""

    def __init__(self):
        self.asked = []
        self.answer = self.convert

    async def __call__(self, request):
        review = await request.json()
        asked = review["request"]
        self.asked.append(
            (asked["desiredAPIVersion"], [o["metadata"]["name"] for o in asked["objects"]])
        )
        response = self.answer(asked)
        if isinstance(response, web.Response):
            return response
        review["response"] = {"uid": asked["uid"], "result": {"status": "Success"}} | response
        return web.json_response(review)

    def convert(self, asked):
        return {
            "convertedObjects": [
                self.converted(o, asked["desiredAPIVersion"]) for o in asked["objects"]
            ]
        }

    @staticmethod
    def converted(obj, api_version):
        spec = obj.get("spec", {})
        if api_version == "g.io/v2":
            spec = {"address": f"{spec.get('host')}:{spec.get('port')}"}
        else:
            host, _, port = spec.get("address", "").partition(":")
            spec = {"host": host, "port": port}
        return obj | {"apiVersion": api_version, "spec": spec}


@contextlib.asynccontextmanager
async def listening(handler, tls):
    runner = web.ServerRunner(web.Server(handler), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


class World:
    def __init__(self, embedded, session, webhook):
        self.view, self.session, self.webhook = embedded.base, session, webhook
        self.client = ViewClient(embedded.base)

    async def ask(self, method, url, body=None, **headers):
        async with self.session.request(method, url, json=body, headers=headers) as answer:
            return answer.status, await answer.json()

    async def create(self, version="v1", name="w", **spec):
        obj = {"apiVersion": f"g.io/{version}", "kind": "Widget", "metadata": {"name": name}}
        return await self.ask("POST", path(version), obj | {"spec": spec})

    async def spec(self, version, name="w"):
        return (await self.ask("GET", path(version, name)))[1]["spec"]

    def stored(self, name="w"):
        return self.view.get("widgets.v1.g.io", name, "default")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return certificates.Authority(tmp_path_factory.mktemp("ca"), NOW)


@pytest.fixture
async def world(authority):
    webhook = Webhook()
    embedded = server.Server(settings.ServerSettings(port=0))
    await embedded.start()
    async with listening(webhook, authority.context(["127.0.0.1"], NOW)) as port:
        async with aiohttp.ClientSession(embedded.url) as session:
            made = World(embedded, session, webhook)
            url = f"https://127.0.0.1:{port}/convert"
            assert (await made.ask("POST", DEFINITIONS, definition(url, authority.pem)))[0] == 201
            made.url = url
            yield made
        await embedded.stop()
    await asyncio.sleep(0.01)  # TLS transports close in the loop's next turns


async def test_an_object_is_read_in_each_version_and_converted_once(world):
    await world.create(host="h", port="1")
    assert world.webhook.asked == []
    for _ in range(2):
        status, read = await world.ask("GET", path("v2", "w"))
        assert (status, read["spec"], read["apiVersion"]) == (200, {"address": "h:1"}, "g.io/v2")
    assert world.webhook.asked == [("g.io/v2", ["w"])]
    assert await world.spec("v1") == {"host": "h", "port": "1"}


async def test_what_is_written_in_another_version_is_stored_in_its_own(world):
    status, made = await world.create("v2", address="h:1")
    assert (status, made["spec"], made["apiVersion"]) == (201, {"address": "h:1"}, "g.io/v2")
    assert world.stored()["spec"] == {"host": "h", "port": "1"}
    assert world.webhook.asked == [("g.io/v1", ["w"]), ("g.io/v2", ["w"])]


async def test_a_patch_is_of_the_version_it_is_made_in(world):
    await world.create(host="h", port="1")
    patch = {"Content-Type": "application/merge-patch+json"}
    changed = {"spec": {"address": "other:2"}}
    status, after = await world.ask("PATCH", path("v2", "w"), changed, **patch)
    assert (status, after["spec"]) == (200, {"address": "other:2"})
    assert after["metadata"]["generation"] == 2
    assert world.stored()["spec"] == {"host": "other", "port": "2"}
    again = await world.ask("PATCH", path("v2", "w"), changed, **patch)
    assert again[1]["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"]


async def test_a_replacement_and_a_dry_run_answer_in_their_version(world):
    _, made = await world.create("v2", address="h:1")
    changed = made | {"spec": {"address": "h:2"}}
    status, dry = await world.ask("PUT", path("v2", "w") + "?dryRun=All", changed)
    assert (status, dry["spec"]) == (200, {"address": "h:2"})
    assert world.stored()["spec"]["port"] == "1"
    status, after = await world.ask("PUT", path("v2", "w"), changed)
    assert (status, after["spec"]) == (200, {"address": "h:2"})
    assert world.stored()["spec"]["port"] == "2"


async def test_server_side_apply_in_another_version(world):
    body = {
        "apiVersion": "g.io/v2", "kind": "Widget", "metadata": {"name": "w"},
        "spec": {"address": "h:1"},
    }  # fmt: skip
    apply = {"Content-Type": "application/apply-patch+yaml"}
    where = path("v2", "w") + "?fieldManager=me"
    assert (await world.ask("PATCH", where, body, **apply))[0] == 201
    body["spec"]["address"] = "h:2"
    status, after = await world.ask("PATCH", where, body, **apply)
    assert (status, after["spec"]) == (200, {"address": "h:2"})
    assert world.stored()["spec"] == {"host": "h", "port": "2"}


async def test_a_list_is_converted_in_one_call(world):
    for name in ("a", "b", "c"):
        await world.create(name=name, host=name, port="1")
    await world.ask("GET", path("v2", "b"))
    _, listed = await world.ask("GET", path("v2"))
    assert [item["spec"]["address"] for item in listed["items"]] == ["a:1", "b:1", "c:1"]
    assert world.webhook.asked == [("g.io/v2", ["b"]), ("g.io/v2", ["a", "c"])]


async def test_a_watch_shows_its_version_in_order(world):
    await world.create(name="a", host="a", port="1")
    async with world.session.get(path("v2") + "?watch=1") as stream:

        async def event():
            found = json.loads(await stream.content.readline())
            return found["type"], found["object"]["metadata"]["name"], found["object"]["spec"]

        assert await event() == ("ADDED", "a", {"address": "a:1"})
        await world.create(name="b", host="b", port="1")
        await world.create(name="c", host="c", port="1")
        await world.ask("DELETE", path("v1", "b"))
        assert await event() == ("ADDED", "b", {"address": "b:1"})
        assert await event() == ("ADDED", "c", {"address": "c:1"})
        assert await event() == ("DELETED", "b", {"address": "b:1"})


async def test_a_watch_whose_objects_cannot_be_converted_ends_with_the_reason(world):
    await world.create(host="h", port="1")
    world.webhook.answer = lambda asked: {"result": {"status": "Failed", "message": "no"}}
    async with world.session.get(path("v2") + "?watch=1") as stream:
        found = json.loads(await stream.content.readline())
        assert found["type"] == "ERROR"
        assert (
            found["object"]["message"] == "conversion webhook for g.io/v1, Kind=Widget failed: no"
        )
        assert await stream.content.readline() == b""


async def test_a_client_in_process_waits_for_conversions_too(world):
    made = await world.client.create(
        "widgets.v2.g.io",
        {
            "apiVersion": "g.io/v2", "kind": "Widget",
            "metadata": {"name": "w", "namespace": "default"}, "spec": {"address": "h:1"},
        },
    )  # fmt: skip
    assert made["spec"] == {"address": "h:1"}
    assert (await world.client.get("widgets.v1.g.io", "w", namespace="default"))["spec"] == {
        "host": "h", "port": "1",
    }  # fmt: skip
    await world.create(name="x", host="x", port="1")
    listed = await world.client.list("widgets.v2.g.io", namespace="default")
    assert [item["spec"] for item in listed.items] == [{"address": "h:1"}, {"address": "x:1"}]
    await world.create(name="y", host="y", port="1")
    async with contextlib.aclosing(world.client.watch("widgets.v2.g.io")) as events:
        seen = [(await anext(events)).object["spec"]["address"] for _ in range(3)]
    assert seen == ["h:1", "x:1", "y:1"]


async def test_metadata_is_restored_but_for_labels_and_annotations(world):
    _, made = await world.create(host="h", port="1")

    def meddle(asked):
        found = world.webhook.convert(asked)["convertedObjects"]
        found[0]["metadata"] |= {"labels": {"a": "b"}, "generation": 9, "finalizers": ["x/y"]}
        return {"convertedObjects": found}

    world.webhook.answer = meddle
    _, read = await world.ask("GET", path("v2", "w"))
    assert read["metadata"] == made["metadata"] | {"labels": {"a": "b"}}


async def test_a_changed_storage_version_leaves_old_objects_to_the_webhook(world, authority):
    await world.create(host="h", port="1")
    changed = definition(world.url, authority.pem, storage="v2")["spec"]
    patch = {"Content-Type": "application/merge-patch+json"}
    await world.ask("PATCH", f"{DEFINITIONS}/widgets.g.io", {"spec": changed}, **patch)
    assert await world.spec("v2") == {"address": "h:1"}
    assert await world.spec("v1") == {"host": "h", "port": "1"}
    assert world.webhook.asked == [("g.io/v2", ["w"])]


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ({"result": {"status": "Failure", "message": "sorry"}}, " failed: sorry"),
        (
            {"result": {"status": "What"}},
            " failed: response.result.status was 'What', not 'Success'",
        ),
        ({"convertedObjects": []}, " returned 0 objects, expected 1"),
        (web.Response(status=503), " failed: the server is currently unable to handle the request"),
    ],
)
async def test_a_failed_conversion_is_told_in_the_real_server_s_words(world, answer, text):
    await world.create(host="h", port="1")
    world.webhook.answer = lambda asked: answer
    status, body = await world.ask("GET", path("v2", "w"))
    assert status == 500
    assert body["message"] == f"conversion webhook for g.io/v1, Kind=Widget{text}"
    assert "reason" not in body


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"apiVersion": "g.io/v3"}, "invalid groupVersion (expected g.io/v2, received g.io/v3)"),
        ({"kind": "Gadget"}, "invalid kind (expected Widget, received Gadget)"),
        ({"metadata": None}, "missing metadata in converted object"),
        ({"metadata": {"name": "x"}}, "must have the same name: w != x"),
    ],
)
async def test_another_object_than_was_asked_about_is_not_taken(world, changed, text):
    await world.create(host="h", port="1")

    def mistake(asked):
        return {
            "convertedObjects": [world.webhook.converted(asked["objects"][0], "g.io/v2") | changed]
        }

    world.webhook.answer = mistake
    _, body = await world.ask("GET", path("v2", "w"))
    assert body["message"].endswith(f"returned invalid converted object at index 0: {text}")


async def test_nothing_is_stored_when_it_cannot_be_converted(world):
    world.webhook.answer = lambda asked: {"result": {"status": "Failed", "message": "no"}}
    status, body = await world.create("v2", address="h:1")
    assert (status, body["message"]) == (
        500,
        "conversion webhook for g.io/v2, Kind=Widget failed: no",
    )
    with pytest.raises(statuses.NotFoundError):
        world.stored()
