"""Replicas follow what is asked through the gateway: up, down, to zero and back."""

from __future__ import annotations

import asyncio

from aiohttp import web
from live_world import AUTOSCALERS, KSERVICES, REVISIONS, conditions, living, until


async def hello(request):
    return web.Response(text="hello")


class Held:
    """Answers when it is let go."""

    def __init__(self) -> None:
        self.go = asyncio.Event()

    async def __call__(self, request):
        await self.go.wait()
        return web.Response(text="done")


async def test_an_app_has_a_url_with_the_gateways_port_that_works():
    async with living(hello) as live:
        live.deploy()
        found = await live.ready()
        assert found["status"]["url"] == f"http://hello.default.localhost:{live.gateway.port}"
        assert await live.get() == (200, "hello")


async def test_an_app_that_nobody_asks_for_sleeps_and_the_next_request_wakes_it():
    async with living(hello) as live:
        live.deploy()
        await live.ready()
        await until(lambda: not live.pods())
        scaler = await until(
            lambda: (s := live.find(AUTOSCALERS, "hello-00001"))
            and s["status"]["desiredScale"] == 0 and s
        )  # fmt: skip
        active = next(c for c in scaler["status"]["conditions"] if c["type"] == "Active")
        assert (active["status"], active["reason"], active["message"]) == (
            "False", "NoTraffic", "The target is not receiving traffic.",
        )  # fmt: skip
        revision = live.find(REVISIONS, "hello-00001")
        assert conditions(revision)["Active"] == "False"
        assert conditions(live.find(KSERVICES, "hello"))["Ready"] == "True"

        answers = await asyncio.gather(*(live.get() for _ in range(20)))

        assert set(answers) == {(200, "hello")}
        assert len(live.pods()) == 1
        await until(lambda: conditions(live.find(REVISIONS, "hello-00001"))["Active"] == "True")


async def test_an_app_keeps_as_many_replicas_as_it_must():
    async with living(hello) as live:
        live.deploy(min_scale="2")
        await live.ready()
        await until(lambda: len(live.pods()) == 2)
        await asyncio.sleep(2.0)
        assert len(live.pods()) == 2


async def test_an_app_may_begin_without_a_replica():
    async with living(hello) as live:
        live.deploy(initial_scale="0")
        await live.ready()
        assert (live.pods(), live.starts) == ([], 0)
        assert await live.get() == (200, "hello")


async def test_replicas_follow_requests_at_a_time():
    held = Held()
    async with living(held) as live:
        live.deploy(target="2", target_utilization_percentage="100", max_scale="4")
        await live.ready()
        asking = [asyncio.ensure_future(live.get()) for _ in range(6)]
        await until(lambda: len(live.pods()) == 3)
        asking += [asyncio.ensure_future(live.get()) for _ in range(30)]
        await until(lambda: len(live.pods()) == 4)
        await asyncio.sleep(0.5)
        assert len(live.pods()) == 4, "no more than max-scale"
        held.go.set()
        assert set(await asyncio.gather(*asking)) == {(200, "done")}
        await until(lambda: not live.pods())


async def test_replicas_follow_requests_per_second():
    async with living(hello) as live:
        live.deploy(metric="rps", target="20", target_utilization_percentage="100", max_scale="3")
        await live.ready()

        async def ask():
            while len(live.pods()) < 2:
                assert (await live.get())[0] == 200
                await asyncio.sleep(0.01)

        await asyncio.wait_for(ask(), 15)


async def test_a_limit_of_requests_at_a_time_lets_the_others_wait():
    held = Held()
    async with living(held) as live:
        live.deploy(spec={"containerConcurrency": 1}, max_scale="2")
        await live.ready()
        asking = [asyncio.ensure_future(live.get()) for _ in range(4)]
        await until(lambda: len(live.pods()) == 2)
        held.go.set()
        assert set(await asyncio.gather(*asking)) == {(200, "done")}


async def test_more_than_one_replica_is_activated_where_that_is_asked_for():
    async with living(hello) as live:
        live.deploy(initial_scale="0", activation_scale="3")
        await live.ready()
        assert await live.get() == (200, "hello")
        await until(lambda: len(live.pods()) == 3)


async def test_the_last_replica_is_kept_for_as_long_as_is_asked():
    async with living(hello) as live:
        live.deploy("kept", scale_to_zero_pod_retention_period="1m")
        live.deploy("gone")
        await live.ready("kept")
        await live.ready("gone")
        await until(lambda: len(live.pods()) == 1)
        await asyncio.sleep(0.5)
        assert len(live.pods()) == 1
        assert live.pods()[0].startswith("kept-00001")
