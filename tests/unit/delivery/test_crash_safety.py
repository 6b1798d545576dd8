"""Kill a course of a delivery after any write: the next run converges, and nothing is left behind.

Scenario 2 of the delivery charter: for every course, in every setting, for every n.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import orjson
import pytest
from tests.unit.delivery import conftest as c, crashes

from understudy.delivery import errors, holders
from understudy.kapi import views
from understudy.kube import objects

pytestmark = pytest.mark.timeout(300)  # A test is of many deliveries; the machine may be busy.
WRITES_MAX = 99
COURSES = [
    *((name, setting) for name in crashes.NAMES for setting in ("view", "following", "http-lost")),
    *((name, setting) for name in ("first delivery", "upgrade") for setting in crashes.OTHERS),
]
"""Every course in process, in a fork and over HTTP; two of them in further ways to die."""
T = TypeVar("T")


def assert_converged(cluster: c.Cluster, wanted: crashes.Expected, told: str) -> None:
    """What was wanted is there, nothing else is, and what was there is still the same object."""
    found = crashes.world(cluster.view)
    assert differing(found, wanted.after) == {}, told
    before, now = crashes.identities(wanted.before), crashes.identities(cluster.view)
    assert differing(now, before, now.keys() & before.keys()) == {}, told


def differing(
    found: dict[str, T], wanted: dict[str, T], keys: Iterable[str] | None = None
) -> dict[str, tuple[T | None, T | None]]:
    """Return what is there and should be, where they differ."""
    chosen = found.keys() | wanted.keys() if keys is None else keys
    return {
        key: (found.get(key), wanted.get(key))
        for key in sorted(chosen)
        if found.get(key) != wanted.get(key)
    }


@pytest.mark.parametrize(("name", "setting"), COURSES)
async def test_a_course_killed_anywhere_is_completed_by_the_next_run(
    name: str, setting: str
) -> None:
    course = crashes.course_of(name, setting)
    wanted = await crashes.expected(course)
    grave = crashes.Grave(course, setting, wanted.before)
    for n in range(WRITES_MAX):
        async with grave.dies(n) as cluster:
            if cluster is None:
                break
            face = cluster.deliveries(holder="next", is_gone=lambda holder: holder == "killed")
            try:
                await course.act(face, crashes.options())
            except errors.NoSuchRevisionError:
                assert name == "deletion"
            assert_converged(cluster, wanted, f"{name}, {setting}: killed around write {n}")
    assert 5 < n < WRITES_MAX


async def test_an_upgrade_killed_anywhere_can_be_undone_by_the_old_input() -> None:
    """A half-delivered B, then A again: B's objects go, A's stay."""
    course = crashes.course_of("upgrade", "stage")
    wanted = await crashes.expected(course)
    grave = crashes.Grave(course, "stage", wanted.before)

    def shown(view: views.View) -> dict[str, objects.Json]:
        records = ("Application", "ResourceTracker", "lock", "Secret default/shop-")
        return {k: v for k, v in crashes.world(view).items() if not k.startswith(records)}

    for n in range(WRITES_MAX):
        async with grave.dies(n) as cluster:
            if cluster is None:
                break
            face = cluster.deliveries(holder="next", is_gone=lambda holder: holder == "killed")
            await crashes.delivering(crashes.large("1"))(face, crashes.options())
            assert differing(shown(cluster.view), shown(wanted.before)) == {}, n
    assert 5 < n < WRITES_MAX


async def test_a_rollback_killed_half_way_is_gone_on_with_by_the_same_command() -> None:
    """Without a revision's name it goes back once, not there and back again."""
    course = crashes.course_of("rollback", "stage")
    wanted = await crashes.expected(course)
    grave = crashes.Grave(course, "stage", wanted.before)
    async with grave.dies(12) as cluster:
        assert cluster is not None
        await cluster.deliveries().rollback(c.OWNER, "", crashes.options(force_unlock=True))
        assert differing(crashes.world(cluster.view), wanted.after) == {}


async def deliver_until_cut(
    cluster: c.Cluster, cable: crashes.Cable, given: tuple[objects.Object, ...], folder: Path
) -> None:
    """Deliver with a process of its own, and kill it at the moment of the cut."""
    manifest = folder / "manifest.yaml"
    manifest.write_bytes(orjson.dumps({"apiVersion": "v1", "kind": "List", "items": list(given)}))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "understudy", "deliver", "shop", "-f", str(manifest), "--yes",
        "--recreate", "--adopt", "--no-wait",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "KUBECONFIG": cluster.kubeconfig},
    )  # fmt: skip
    async with c.soon(30):
        await cable.cut.wait()
    process.kill()
    assert await process.wait() == -signal.SIGKILL
    cable.mend()


@pytest.mark.parametrize(("write", "applied"), [(1, True), (8, False), (14, True), ("any", False)])
async def test_a_process_killed_at_a_write_is_followed_by_one_that_converges(
    write: int | str, applied: bool, tmp_path: Path
) -> None:
    """SIGKILL: no line of it runs after that, and the next one finds out by itself."""
    course = crashes.course_of("upgrade", "http")
    wanted = await crashes.expected(course)
    at = write if isinstance(write, int) else random.randint(2, 17)
    async with crashes.served(wanted.before) as (cluster, cable):
        cable.at, cable.applied, cable.silent = at, applied, True
        await deliver_until_cut(cluster, cable, crashes.small("2"), tmp_path)
        face = cluster.deliveries(holder="next", is_gone=holders.is_gone)
        await course.act(face, crashes.options())
        assert_converged(cluster, wanted, f"killed at write {at}")


async def test_a_single_answer_lost_anywhere_does_not_end_a_delivery() -> None:
    course = crashes.course_of("upgrade", "http")
    wanted = await crashes.expected(course)
    for at in range(1, WRITES_MAX):
        async with crashes.served(wanted.before) as (cluster, cable):
            cable.at, cable.lasting = at, False
            face = cluster.deliveries(clock=crashes.Hurried())
            await course.act(face, crashes.options(wait_settings=crashes.PATIENCE))
            if not cable.was_cut:
                break
            assert_converged(cluster, wanted, f"write {at} lost")
    assert 5 < at < WRITES_MAX
