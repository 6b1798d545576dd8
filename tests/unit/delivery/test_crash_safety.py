"""Kill a course of a delivery after any write: the next run converges, and nothing is left behind.

Scenario 2 of the delivery charter: for every course, in every setting, for every n.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import pytest
from tests.unit.delivery import conftest as c, crashes

from understudy.delivery import errors

WRITES_MAX = 99
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


@pytest.mark.parametrize("setting", crashes.SETTINGS)
@pytest.mark.parametrize("name", crashes.NAMES)
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


async def test_a_rollback_killed_half_way_is_gone_on_with_by_the_same_command() -> None:
    """Without a revision's name it goes back once, not there and back again."""
    course = crashes.course_of("rollback", "stage")
    wanted = await crashes.expected(course)
    grave = crashes.Grave(course, "stage", wanted.before)
    async with grave.dies(12) as cluster:
        assert cluster is not None
        await cluster.deliveries().rollback(c.OWNER, "", crashes.options(force_unlock=True))
        assert differing(crashes.world(cluster.view), wanted.after) == {}
