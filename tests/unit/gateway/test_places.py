"""Which pod takes a request, and what happens while none can."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from aiohttp import web
from gateway_world import World, rule, says, until

from understudy.controllers.runtime.gateway import gateways, settings


class Slow:
    """An app that answers when it is let go; knows how many ask at a time."""

    def __init__(self) -> None:
        self.now = self.most = self.seen = 0
        self.go = asyncio.Event()

    async def __call__(self, request):
        self.now += 1
        self.seen += 1
        self.most = max(self.most, self.now)
        try:
            await self.go.wait()
            return web.Response(text="done")
        finally:
            self.now -= 1


async def test_pods_take_turns(world):
    await world.app(says("a"))
    await world.pod("app-1", says("b"))
    assert Counter([(await world.get()).text for _ in range(20)]) == {"a": 10, "b": 10}


async def test_the_pod_with_fewer_requests_is_preferred(world):
    slow = Slow()
    await world.app(slow)
    first = asyncio.ensure_future(world.get())
    await until(lambda: slow.now)
    await world.pod("app-1", says("quick"))
    assert {(await world.get()).text for _ in range(5)} == {"quick"}
    slow.go.set()
    assert (await first).text == "done"


async def test_a_request_waits_for_the_first_pod(world):
    world.revision("app-1")
    world.ingress("app", rule("app.test", {"app-1": 100}))
    waiting = asyncio.ensure_future(world.get())
    await until(lambda: world.needed == [("default", "app-1")])
    name = await world.pod("app-1", says("awake"), ready=False)
    assert not waiting.done(), "a pod that is not ready gets nothing"
    assert (world.gateway.statistics().waiting, world.gateway.statistics().present) == (1, 1)
    world.set_ready(name, ready=True)
    assert (await waiting).text == "awake"
    assert (await world.get("nowhere.test")).status == 404
    assert world.gateway.statistics() == gateways.Statistics(
        answered=1, refused=1, present=0, waiting=0
    )


async def test_waiting_has_an_end():
    world = World(hold_s=0.2)
    await world.start()
    try:
        world.revision("app-1")
        world.ingress("app", rule("app.test", {"app-1": 100}))
        answer = await world.get()
        assert (answer.status, answer.text) == (504, "app had no replica free in 0.2 s\n")
        found = world.view.get("revisions.serving.knative.dev", "app-1", "default")
        found["status"] = {
            "conditions": [{"type": "Ready", "status": "False", "message": "Exit code 3"}]
        }
        world.view.update("revisions.serving.knative.dev", found, "default", subresource="status")
        assert (await world.get()).text == "app had no replica free in 0.2 s: Exit code 3\n"
    finally:
        await world.stop()


async def test_who_waits_in_vain_learns_what_ails_the_pod():
    world = World(hold_s=0.2)
    await world.start()
    try:
        name = await world.app(says("x"))
        pod = world.find_pod(name)
        waiting = {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting"}
        pod["status"]["conditions"] = [{"type": "Ready", "status": "False"}]
        pod["status"]["containerStatuses"] = [
            {
                "name": "user-container", "image": "x", "imageID": "", "ready": False,
                "restartCount": 1, "state": {"waiting": waiting},
            }
        ]  # fmt: skip
        world.view.update("pods", pod, "default", subresource="status")
        assert (await world.get()).text == (
            "app had no replica free in 0.2 s: CrashLoopBackOff: back-off 10s restarting\n"
        )
        world.view.delete("pods", name, "default")
        assert (await world.get()).text == "app had no replica free in 0.2 s\n"
    finally:
        await world.stop()


async def test_the_line_has_an_end():
    world = World(held_max=2)
    await world.start()
    try:
        world.revision("app-1")
        world.ingress("app", rule("app.test", {"app-1": 100}))
        held = [asyncio.ensure_future(world.get()) for _ in range(2)]
        await until(lambda: len(world.needed) == 2)
        answer = await world.get()
        assert answer.status == 503
        assert answer.text == "2 requests wait for app already\n"
        assert answer.headers["Retry-After"] == "1"
        await world.pod("app-1", says("awake"))
        assert [(await one).text for one in held] == ["awake", "awake"]
    finally:
        await world.stop()


async def test_a_client_that_gives_up_waiting_leaves_the_line(world):
    world.revision("app-1")
    world.ingress("app", rule("app.test", {"app-1": 100}))
    waiting = asyncio.ensure_future(world.get())
    await until(lambda: world.needed)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    backend = world.gateway._table.backend("default", "app-1")
    await until(lambda: backend.waiting == 0)
    await world.pod("app-1", says("awake"))
    assert (await world.get()).text == "awake"


@pytest.mark.parametrize("limit", [1, 3])
async def test_no_pod_gets_more_at_a_time_than_it_bears(world, limit):
    slow = Slow()
    await world.app(slow, containerConcurrency=limit)
    requests = [asyncio.ensure_future(world.get()) for _ in range(8)]
    await until(lambda: slow.now == limit)
    await asyncio.sleep(0.05)
    assert slow.now == limit
    slow.go.set()
    assert {(await one).text for one in requests} == {"done"}
    assert (slow.most, slow.seen) == (limit, 8)


async def test_a_pod_that_refuses_is_passed_over(world):
    gone = await world.app(says("gone"))
    await world.end(gone)
    await world.pod("app-1", says("here"))
    assert {(await world.get()).text for _ in range(6)} == {"here"}


async def test_a_request_outlives_the_restart_of_the_only_pod(world):
    name = await world.app(says("before"))
    await world.end(name)
    asking = asyncio.ensure_future(world.ask("POST", "app.test", data=b"x"))
    await asyncio.sleep(0.02)
    world.set_ready(name, ready=False)
    await world.pod("app-1", says("after"))
    assert (await asking).text == "after"


async def test_a_pod_that_never_listens_gives_502_in_the_end():
    world = World(attempts_max=3, eject_s=0.01)
    await world.start()
    try:
        name = await world.app(says("x"))
        await world.end(name)
        answer = await world.get()
        assert answer.status == 502
        assert answer.text == (
            "app accepts no connections; it must listen on the port that $PORT names\n"
        )
    finally:
        await world.stop()


async def test_a_pod_told_to_stop_ends_what_it_has_and_gets_nothing_new(world):
    slow = Slow()
    leaving = await world.app(slow)
    first = asyncio.ensure_future(world.get())
    await until(lambda: slow.now)
    await world.pod("app-1", says("staying"))
    pod = world.find_pod(leaving)
    world.view.delete("pods", leaving, "default")
    drained = asyncio.ensure_future(world.drained(pod))
    assert {(await world.get()).text for _ in range(4)} == {"staying"}
    assert not drained.done()
    slow.go.set()
    assert (await first).text == "done"
    await drained
    await world.drained(pod)
    await world.drained({"metadata": {"name": "no-app", "namespace": "default"}})


async def test_a_deleted_revision_lets_nobody_wait(world):
    world.revision("app-1")
    world.ingress("app", rule("app.test", {"app-1": 100}))
    waiting = asyncio.ensure_future(world.get())
    await until(lambda: world.needed)
    world.view.delete("revisions.serving.knative.dev", "app-1", "default")
    answer = await waiting
    assert (answer.status, answer.text) == (503, "revision app-1 of app is no more\n")


async def test_a_deleted_revision_ends_what_it_has(world):
    slow = Slow()
    name = await world.app(slow)
    asking = asyncio.ensure_future(world.get())
    await until(lambda: slow.now)
    world.view.delete("revisions.serving.knative.dev", "app-1", "default")
    draining = asyncio.ensure_future(world.drained(world.find_pod(name)))
    await asyncio.sleep(0.05)
    assert not draining.done()
    slow.go.set()
    assert (await asking).text == "done"
    await draining


async def test_pods_of_a_revisions_namesake_get_nothing(world):
    await world.app(says("old"))
    world.view.delete("revisions.serving.knative.dev", "app-1", "default")
    world.revision("app-1")
    world.set_ready("app-1-0", ready=True)
    waiting = asyncio.ensure_future(world.get())
    await until(lambda: world.needed)
    await world.pod("app-1", says("new"), name="new")
    assert (await waiting).text == "new"


async def test_what_is_there_before_the_gateway_is_served(world):
    await world.app(says("here"))
    later = gateways.Gateway(settings.GatewaySettings(port=0))
    await later.start()
    try:
        later.follow(world.view, "understudy.ingress.networking.knative.dev")
        url = f"http://127.0.0.1:{later.port}"
        async with world.session.get(url, headers={"Host": "app.test"}) as response:
            assert await response.text() == "here"
    finally:
        await later.stop()


async def test_stopping_answers_those_in_line(world):
    world.revision("app-1")
    world.ingress("app", rule("app.test", {"app-1": 100}))
    waiting = asyncio.ensure_future(world.get())
    await until(lambda: world.needed)
    await world.gateway.stop()
    assert (await waiting).status == 503


async def test_stopping_lets_a_request_in_progress_end():
    world = World(stop_s=5.0)
    await world.start()
    slow = Slow()
    await world.app(slow)
    asking = asyncio.ensure_future(world.get())
    await until(lambda: slow.now)
    stopping = asyncio.ensure_future(world.gateway.stop())
    await asyncio.sleep(0.05)
    slow.go.set()
    assert (await asking).text == "done"
    await stopping
    await world.stop()
