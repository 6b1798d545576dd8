"""Logs over replicas: order, tails, newcomers, breaks, repeats. What pods write is the test's."""

from __future__ import annotations

import asyncio
import datetime as dt

import pytest
from apps_world import app, in_phase, until

from understudy.apps import errors, logs, records
from understudy.client import errors as transport, wrapping
from understudy.kube import objects, statuses


class Written(wrapping.WrappedClient):
    """A cluster whose pods have written what `texts` says, by time; `breaks` cuts streams short."""

    def __init__(self, inner) -> None:
        super().__init__(inner)
        self.texts: dict[str, list[tuple[str, str]]] = {}
        self.breaks: list[int] = []
        self.asked: list[dict[str, object]] = []
        self.more = asyncio.Event()

    def say(self, pod: str, time: str, text: str) -> None:
        self.texts.setdefault(pod, []).append((time, text))
        self.more.set()

    async def logs(self, pod, **query):
        self.asked.append({"pod": pod} | query)
        if pod not in self.texts:
            raise statuses.BadRequestError(f"container in pod {pod} is waiting to start")
        since = query.get("since")
        lines = [
            one for one in self.texts[pod]
            if since is None or dt.datetime.fromisoformat(one[0]) >= since
        ]  # fmt: skip
        if query.get("tail_lines") is not None:
            lines = lines[max(0, len(lines) - query["tail_lines"]) :]
        cut = self.breaks.pop(0) if self.breaks else None
        for number, (time, text) in enumerate(lines):
            if number == cut:
                raise transport.StreamBrokenError("the connection ended", server="x")
            yield f"{time} {text}".encode()
        shown = len(self.texts[pod])
        while query.get("follow"):
            if len(self.texts[pod]) > shown:
                time, text = self.texts[pod][shown]
                shown += 1
                yield f"{time} {text}".encode()
                continue
            self.more.clear()
            await self.more.wait()


@pytest.fixture
async def written(cluster, monkeypatch):
    monkeypatch.setattr(logs, "LOOK_S", 0.02)
    client = Written(cluster.client)
    apps = cluster.apps(client)
    two = records.AutoscalingConfig(replicas=records.Replicas(min=2, max=2))
    deployed = app(autoscaling=two)
    await apps.deploy(deployed)
    await in_phase(apps, deployed.id, "ACTIVE")
    await until(lambda: len(names_of(cluster)) == 2)
    client.apps, client.id, client.pods = apps, deployed.id, names_of(cluster)
    return client


def names_of(cluster):
    return sorted(
        objects.name_of(pod)
        for pod in cluster.pods("hello-shop-dev")
        if not objects.metadata(pod).get("deletionTimestamp")
    )


async def read(client, **query):
    found = client.apps.logs(client.id, logs.LogQuery(**query))
    return [(line.replica, line.text) async for line in found]


async def test_lines_of_all_replicas_come_in_the_order_of_time(written):
    one, two = written.pods
    written.say(one, "2026-01-01T00:00:01Z", "a")
    written.say(two, "2026-01-01T00:00:01.5Z", "b")
    written.say(one, "2026-01-01T00:00:01.75Z", "c")
    written.say(two, "2026-01-01T00:00:10Z", "d with words")
    assert await read(written) == [(one, "a"), (two, "b"), (one, "c"), (two, "d with words")]
    assert await read(written, replica=two) == [(two, "b"), (two, "d with words")]
    assert await read(written, tail_lines=1) == [(one, "c"), (two, "d with words")]
    since = dt.datetime(2026, 1, 1, 0, 0, 10, tzinfo=dt.UTC)
    assert await read(written, since=since) == [(two, "d with words")]
    assert {query["container"] for query in written.asked} == {"app"}
    assert await read(written, previous=True)
    assert written.asked[-1]["previous"]


async def test_a_replica_that_cannot_be_read_silences_no_other(written):
    one, two = written.pods
    written.say(two, "2026-01-01T00:00:01Z", "b")
    lines = [line async for line in written.apps.logs(written.id, logs.LogQuery())]
    assert [(line.replica, line.is_note) for line in lines] == [(one, True), (two, False)]
    assert "waiting to start" in lines[0].text


async def test_following_goes_on_and_joins_newcomers(written, cluster):
    one, two = written.pods
    written.say(one, "2026-01-01T00:00:01Z", "a")
    written.say(two, "2026-01-01T00:00:01Z", "b")
    stream = written.apps.logs(written.id, logs.LogQuery(), follow=True)
    assert {(await anext(stream)).text for _ in range(2)} == {"a", "b"}
    written.say(one, "2026-01-01T00:00:02Z", "c")
    assert (await anext(stream)).text == "c"
    cluster.view.delete("pods", two, "default")
    await until(lambda: len(names_of(cluster)) == 2 and two not in names_of(cluster))
    newcomer = next(name for name in names_of(cluster) if name != one)
    written.say(newcomer, "2026-01-01T00:00:03Z", "new")
    line = await asyncio.wait_for(anext(stream), 5)
    assert (line.replica, line.text) == (newcomer, "new")
    await stream.aclose()


async def test_a_broken_stream_is_read_on_without_gap_or_repeat(written):
    one, _ = written.pods
    for number in range(6):
        written.say(one, f"2026-01-01T00:00:0{number // 3}Z", str(number))
    written.breaks = [4]
    query = logs.LogQuery(replica=one)
    stream = written.apps.logs(written.id, query, follow=True)
    lines = [await asyncio.wait_for(anext(stream), 5) for _ in range(7)]
    assert [line.text for line in lines if not line.is_note] == list("012345")
    assert [line.text for line in lines if line.is_note] == ["the connection ended"]
    await stream.aclose()


async def test_what_does_not_exist_is_named(written):
    with pytest.raises(errors.AppNotFoundError, match="no such app"):
        await anext(written.apps.logs(app("nobody").id, logs.LogQuery()))
    with pytest.raises(errors.AppNotFoundError, match="no replica other"):
        await anext(written.apps.logs(written.id, logs.LogQuery(replica="other")))
