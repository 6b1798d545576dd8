"""The rhythm of probes, in simulated time."""

import asyncio

import pytest

from understudy.aio import clocks
from understudy.controllers.runtime.processes import probes, probing


class Asked:
    """Answers a probe by a rule, and notes what is told of it."""

    def __init__(self, kind, is_good, handler=None, ends_s=25.0, **fields):
        self.probe = probes.probe_of(
            {f"{kind}Probe": {**(handler or {"exec": {}}), **fields}}, kind
        )
        self.clock = clocks.ManualClock()
        self.is_good = is_good
        self.ends_s = ends_s
        self.asked, self.told = [], []

    async def ask(self, probe):
        now = round(self.clock.monotonic(), 3)
        if now > self.ends_s:
            raise asyncio.CancelledError
        self.asked.append(now)
        return "" if self.is_good(now) else "bad"

    async def run(self):
        try:
            await probing.watch(
                self.probe, self.ask, self.clock, eager_s=0.05,
                unhealthy=lambda _, why: self.told.append((self.now, why)),
                decided=lambda _, verdict: self.told.append((self.now, verdict)),
            )  # fmt: skip
        except asyncio.CancelledError:
            self.told.append("cut off")
        return self.told

    @property
    def now(self):
        return round(self.clock.monotonic(), 3)


async def test_a_command_is_asked_in_the_probes_rhythm_alone():
    asked = Asked("readiness", lambda now: now >= 20, initialDelaySeconds=3, periodSeconds=8)
    told = await asked.run()
    assert asked.asked == [3, 11, 19]
    assert told == [(3, "bad"), (11, "bad"), (19, "bad"), "cut off"]


async def test_a_liveness_probe_ends_with_its_verdict():
    asked = Asked("liveness", lambda now: now < 12, periodSeconds=5, failureThreshold=2)
    assert await asked.run() == [(15, "bad"), (20, "bad"), (20, False)]


@pytest.mark.parametrize("kind", ["readiness", "startup"])
async def test_the_first_success_of_a_port_is_found_soon_without_a_word_of_failures(kind):
    asked = Asked(kind, lambda now: now >= 0.8, {"tcpSocket": {"port": 1}}, periodSeconds=10)
    told = await asked.run()
    moment, verdict = told[0]
    assert verdict is True
    assert 0.8 <= moment < 1.2
    assert len(asked.asked) < 15


async def test_failures_of_a_port_count_at_the_ends_of_periods():
    asked = Asked(
        "startup", lambda _: False, {"httpGet": {"port": 1}}, periodSeconds=4, failureThreshold=2
    )
    assert await asked.run() == [(4, "bad"), (8, "bad"), (8, False)]


async def test_after_a_first_success_a_port_is_asked_in_the_probes_rhythm():
    asked = Asked(
        "readiness", lambda now: now < 5, {"tcpSocket": {"port": 1}}, ends_s=14, periodSeconds=3,
        failureThreshold=1,
    )  # fmt: skip
    told = await asked.run()
    assert asked.asked == [0, 3, 6, 9, 12]
    assert told == [(0, True), (6, "bad"), (6, False), (9, "bad"), (12, "bad"), "cut off"]
