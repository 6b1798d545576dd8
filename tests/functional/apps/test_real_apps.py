"""The examples as real processes behind the gateway, from deployment to deletion."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections import Counter

import aiohttp
from live_world import until
from real_world import running

from understudy.apps import logs, records


async def test_an_app_answers_under_its_url_and_its_log_tells(tmp_path):
    async with running(tmp_path) as real:
        app = await real.deploy("hello", GREETING="Ahoy")
        found = await real.active(app)
        port = real.live.gateway.port
        host = "hello-default-development.default.localhost"
        assert found.status.ingress.public_url == f"http://{host}:{port}"
        code, answer = await real.ask("hello", "/sam")
        assert (code, answer["message"]) == (200, "Ahoy, sam!")
        assert "understudy_gateway_requests_total 1" in await real.metrics()
        stream = real.apps.logs(app.id, logs.LogQuery(), follow=True)
        assert (await anext(stream)).text.startswith("Ahoy listens on port ")
        assert "GET /sam" in (await asyncio.wait_for(anext(stream), 10)).text
        await stream.aclose()


async def test_logs_of_several_replicas_are_followed(tmp_path):
    async with running(tmp_path) as real:
        app = await real.deploy("hello", min=2)
        await real.active(app)
        await until(lambda: len(real.pods()) == 2)
        stream = real.apps.logs(app.id, logs.LogQuery(), follow=True)
        first = [await asyncio.wait_for(anext(stream), 10) for _ in range(2)]
        assert len({line.replica for line in first}) == 2
        seen: set[str] = set()
        async with asyncio.timeout(20):
            while len(seen) < 2:
                await real.ask("hello", "/again")
                line = await anext(stream)
                seen |= {line.replica} if "/again" in line.text else set()
        await stream.aclose()


async def test_an_update_under_load_fails_no_request(tmp_path):
    async with running(tmp_path) as real:
        app = await real.deploy("hello", GREETING="one", max=1)
        await real.active(app)
        seen: Counter[tuple[int, str]] = Counter()
        stopping = asyncio.Event()

        async def ask():
            while not stopping.is_set():
                code, answer = await real.ask("hello")
                seen[code, answer["message"]] += 1

        async with asyncio.TaskGroup() as group:
            for _ in range(64):
                group.create_task(ask())
            await asyncio.sleep(0.5)
            await real.deploy("hello", GREETING="two", max=1)
            await real.active(app)
            await until(lambda: seen[200, "two, world!"] > 200)
            await until(lambda: len(real.pods()) == 1)
            stopping.set()
        assert set(seen) == {(200, "one, world!"), (200, "two, world!")}


SLOW = """
import os, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Slow(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/slow":
            time.sleep(1.5)
        body = b'{"version": "%s"}' % os.environ["VERSION"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Slow).serve_forever()
"""
"""Ends at once when it is told to, in the middle of an answer."""


async def test_a_process_is_told_to_end_only_after_its_last_answer(tmp_path):
    async with running(tmp_path) as real:
        app_id = records.Identifier(project="default", domain="development", name="slow")

        async def deploy(version):
            container = records.Container(
                image="none",
                command=(sys.executable, "-c", SLOW),
                env=(records.EnvVar(key="VERSION", value=version),),
            )
            app = records.App(
                metadata=records.Meta(id=app_id), spec=records.Spec(container=container)
            )
            await real.apps.deploy(app)
            await real.active(app)

        await deploy("one")
        asking = asyncio.ensure_future(real.ask("slow", "/slow"))
        await asyncio.sleep(0.1)
        await deploy("two")
        assert await real.ask("slow") == (200, {"version": "two"})
        (old,) = [pod for pod in real.pods() if "-00001-" in pod["metadata"]["name"]]
        real.server.base.delete("pods", old["metadata"]["name"], "default")
        assert await asking == (200, {"version": "one"})


CALLER = """
import json, os, urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Caller(BaseHTTPRequestHandler):
    def do_GET(self):
        host = "hello-default-development.default.svc.cluster.local"
        with urllib.request.urlopen(f"http://{host}/caller") as answer:
            body = answer.read()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)
ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Caller).serve_forever()
"""


async def test_apps_reach_each_other_by_the_names_of_the_cluster(tmp_path):
    async with running(tmp_path) as real:
        hello = await real.deploy("hello", min=0)
        app_id = records.Identifier(project="default", domain="development", name="caller")
        container = records.Container(
            image="none",
            command=(sys.executable, "-c", CALLER),
            env=(records.EnvVar(key="http_proxy", value="http://$(UNDERSTUDY_GATEWAY)"),),
        )
        spec = records.Spec(container=container)
        caller = records.App(metadata=records.Meta(id=app_id), spec=spec)
        await real.apps.deploy(caller)
        await real.active(caller)
        code, answer = await real.ask("caller")
        assert (code, answer["message"]) == (200, "Hello, caller!")
        inner = {"Host": "hello-default-development.default"}
        public = f"http://127.0.0.1:{real.live.gateway.port}/"
        async with real.session.get(public, headers=inner) as response:
            assert response.status == 404, "such names are for the cluster only"

        await real.apps.stop(hello.id)
        await until(lambda: not [p for p in real.pods() if p["metadata"]["name"][0] == "h"])
        url = f"http://127.0.0.1:{real.live.gateway.inner_port}/"
        timeout = aiohttp.ClientTimeout(3)
        with contextlib.suppress(TimeoutError):
            async with real.session.get(url, headers=inner, timeout=timeout) as response:
                assert response.status in (404, 503)
        assert not [p for p in real.pods() if p["metadata"]["name"][0] == "h"], "not woken"


async def test_an_idle_app_ends_and_the_next_request_starts_it(tmp_path):
    async with running(tmp_path) as real:
        app = await real.deploy("hello", min=0)
        await real.active(app)
        await until(lambda: not real.pods())
        answers = await asyncio.gather(*(real.ask("hello") for _ in range(10)))
        assert {code for code, _ in answers} == {200}
        assert len(real.pods()) >= 1
        await until(lambda: not real.pods())


async def test_a_crashed_app_is_started_again_and_requests_wait(tmp_path):
    async with running(tmp_path) as real:
        app = await real.deploy("hello")
        await real.active(app)
        _, before = await real.ask("hello")
        os.kill(before["process"], signal.SIGKILL)
        code, after = await real.ask("hello")
        assert code == 200
        assert after["process"] != before["process"]


async def test_a_stopped_app_stays_stopped_until_it_is_started(tmp_path):
    async with running(tmp_path) as real:
        app = await real.deploy("hello")
        await real.active(app)
        await real.apps.stop(app.id)
        await until(lambda: not real.pods())
        code, _ = await asyncio.wait_for(stopped_answer(real), 10)
        assert code == 404
        assert real.pods() == []
        await real.apps.start(app.id)
        await real.active(app)
        assert (await real.ask("hello"))[0] == 200
        await real.apps.delete(app.id)
        await until(lambda: not real.pods())
        assert (await stopped_answer(real))[0] == 404


async def stopped_answer(real):
    url = f"http://127.0.0.1:{real.live.gateway.port}/"
    host = {"Host": "hello-default-development.default.localhost"}
    async with real.session.get(url, headers=host) as response:
        return response.status, await response.text()


async def test_what_an_app_keeps_in_its_volume_outlives_its_replicas(tmp_path):
    async with running(tmp_path) as real:
        app = await real.deploy("notes", min=0, max=1)
        await real.active(app)
        assert await real.ask("notes", method="POST", data=b"milk") == (201, {"note": 1})
        await until(lambda: not real.pods())
        assert await real.ask("notes", "/1") == (200, {"note": 1, "text": "milk"})
        pod = real.pods()[0]["metadata"]["name"]
        replica = records.ReplicaIdentifier(app_id=app.id, name=pod)
        await real.apps.delete_replica(replica)
        assert await real.ask("notes") == (200, {"notes": [1]})
