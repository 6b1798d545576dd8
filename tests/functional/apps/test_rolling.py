"""New revisions, shares of traffic and stops, with requests under way."""

from __future__ import annotations

import asyncio
from collections import Counter

from aiohttp import web
from live_world import KSERVICES, living, until

from understudy import assembly
from understudy.apps import client as app_clients, records, settings


async def revision_of(request):
    await asyncio.sleep(0.005)
    return web.Response(text=request.headers["Knative-Serving-Revision"])


async def test_an_update_under_load_fails_no_request():
    async with living(revision_of) as live:
        live.deploy()
        await live.ready()
        seen: Counter[tuple[int, str]] = Counter()
        stopping = asyncio.Event()

        async def ask():
            while not stopping.is_set():
                seen[await live.get()] += 1

        async with asyncio.TaskGroup() as group:
            for _ in range(64):
                group.create_task(ask())
            for number in (2, 3):
                await asyncio.sleep(0.5)
                live.deploy(image=f"dev.local/x:v{number}")
                await live.ready(revision=f"hello-0000{number}")
            await until(lambda: seen[200, "hello-00003"] > 100)
            await until(lambda: all(pod.startswith("hello-00003") for pod in live.pods()))
            stopping.set()
        assert {code for code, _ in seen} == {200}
        assert {text for _, text in seen} == {"hello-00001", "hello-00002", "hello-00003"}


async def test_a_request_of_the_old_revision_ends_before_its_pod():
    go = asyncio.Event()

    async def slow(request):
        if request.path == "/slow":
            await go.wait()
        return web.Response(text=request.headers["Knative-Serving-Revision"])

    async with living(slow) as live:
        live.deploy()
        await live.ready()
        asking = asyncio.ensure_future(live.get(path="/slow"))
        await asyncio.sleep(0.1)
        live.deploy(image="dev.local/x:v2")
        await live.ready(revision="hello-00002")
        assert await live.get() == (200, "hello-00002")
        await asyncio.sleep(0.5)
        assert not asking.done()
        go.set()
        assert await asking == (200, "hello-00001")


async def test_traffic_moves_by_share_and_a_tag_is_reached_alone():
    async with living(revision_of) as live:
        live.deploy()
        await live.ready()
        shares = [
            {"revisionName": "hello-00001", "percent": 75},
            {"latestRevision": True, "percent": 25, "tag": "next"},
        ]
        live.deploy(image="dev.local/x:v2", traffic=shares)
        found = await live.ready(revision="hello-00002")
        tagged = next(one for one in found["status"]["traffic"] if one.get("tag"))
        assert tagged["url"] == f"http://next-hello.default.localhost:{live.gateway.port}"
        counted = Counter([await live.get() for _ in range(20)])
        assert counted == {(200, "hello-00001"): 15, (200, "hello-00002"): 5}
        assert await live.get("next-hello.default.localhost") == (200, "hello-00002")


async def test_a_domain_of_ones_own_leads_to_the_app():
    async with living(revision_of) as live:
        live.deploy()
        await live.ready()
        mapping = {
            "apiVersion": "serving.knative.dev/v1beta1",
            "kind": "DomainMapping",
            "metadata": {"name": "shop.example"},
            "spec": {
                "ref": {
                    "apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "hello"
                }
            },
        }  # fmt: skip
        ref = "domainmappings.serving.knative.dev"
        live.view.create(ref, mapping, "default")
        await until(
            lambda: (
                (live.find(ref, "shop.example").get("status") or {}).get("url")
                == f"http://shop.example:{live.gateway.port}"
            )
        )
        await until(lambda: live.gateway._table.public.find("shop.example"))
        assert await live.get("shop.example") == (200, "hello-00001")


async def test_a_deleted_app_is_no_more():
    async with living(revision_of) as live:
        live.deploy()
        await live.ready()
        live.view.delete(KSERVICES, "hello", "default")
        await until(lambda: not live.pods())
        code, text = await live.get()
        assert code == 404
        assert "no app has the host name 'hello.default.localhost'" in text


async def test_a_stopped_app_is_not_woken_and_starts_again():
    async with living(revision_of) as live:
        made = app_clients.KnativeAppClient(
            assembly.ViewClient(live.view), settings.AppSettings(limits=live.limits)
        )
        app_id = records.Identifier(project="p", domain="d", name="web")
        spec = records.Spec(container=records.Container(image="dev.local/web:v1"))
        await made.deploy(records.App(metadata=records.Meta(id=app_id), spec=spec))
        await live.ready("web-p-d")
        host = "web-p-d.default.localhost"
        assert (await live.get(host))[0] == 200
        await made.stop(app_id)
        await until(lambda: not live.pods())
        starts = live.starts
        code, _ = await live.get(host)
        assert code == 404
        await asyncio.sleep(0.3)
        assert (live.pods(), live.starts) == ([], starts)
        await made.start(app_id)
        await live.ready("web-p-d")
        assert (await live.get(host))[0] == 200
        await made.close()


async def test_settings_changed_in_the_cluster_count_at_once():
    async with living(revision_of, stable_window_s=60.0) as live:
        live.deploy()
        await live.ready()
        network = live.view.get("configmaps", "config-domain", "knative-serving")
        live.view.update("configmaps", network | {"data": {"apps.example": ""}}, "knative-serving")
        url = f"http://hello.default.apps.example:{live.gateway.port}"
        await until(lambda: live.find(KSERVICES, "hello")["status"]["url"] == url)
        assert await live.get("hello.default.apps.example") == (200, "hello-00001")

        scaler = live.view.get("configmaps", "config-autoscaler", "knative-serving")
        scaler["data"]["stable-window"] = "1s"
        live.view.update("configmaps", scaler, "knative-serving")
        await until(lambda: not live.pods())
