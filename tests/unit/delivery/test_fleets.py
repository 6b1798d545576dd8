"""An application on many clusters: batches, stopping, going back."""

import pytest

from understudy.delivery import fleets

DONE = fleets.Result(state=fleets.State.DELIVERED)
BACK = fleets.Result(state=fleets.State.ROLLED_BACK)


def failing(code):
    return fleets.Result(state=fleets.State.FAILED, code=code)


class Site:
    """Clusters that do as they are told, and what was done to them."""

    def __init__(self, **fails):
        self.fails, self.delivered, self.taken_back = fails, [], []

    async def deliver(self, name):
        self.delivered.append(name)
        return self.fails.get(name, DONE)

    async def go_back(self, name):
        self.taken_back.append(name)
        return BACK

    async def roll_out(self, names, **settings):
        chosen = fleets.RolloutSettings(**settings)
        found = await fleets.roll_out(list(names), self.deliver, self.go_back, chosen)
        return {name: str(result.state) for name, result in found.items()}, fleets.exit_code(found)


async def test_one_failure_does_not_keep_the_others_back_unless_that_is_asked():
    site = Site(b=failing(6))
    assert await site.roll_out("abc") == (
        {"a": "delivered", "b": "failed", "c": "delivered"}, 6,
    )  # fmt: skip
    site = Site(b=failing(6))
    assert await site.roll_out("abc", stop_on_failure=True) == (
        {"a": "delivered", "b": "failed", "c": "untouched"}, 6,
    )  # fmt: skip
    assert site.delivered == ["a", "b"]


async def test_a_batch_that_has_begun_is_finished():
    site = Site(a=failing(6))
    assert (await site.roll_out("abcd", batch_size=2, stop_on_failure=True))[0] == {
        "a": "failed", "b": "delivered", "c": "untouched", "d": "untouched",
    }  # fmt: skip


async def test_going_back_is_in_reverse_order_and_only_where_something_was_delivered():
    unchanged = fleets.Result(state=fleets.State.UNCHANGED)
    site = Site(b=unchanged, d=failing(7))
    assert await site.roll_out("abcde", rollback_all=True) == (
        {"a": "rolledBack", "b": "unchanged", "c": "rolledBack", "d": "failed", "e": "untouched"}, 7,
    )  # fmt: skip
    assert site.taken_back == ["c", "a"]


@pytest.mark.parametrize(
    ("codes", "expected"), [((), 0), ((0, 0), 0), ((6, 0, 6), 6), ((6, 7), 1), ((1,), 1)]
)
def test_the_exit_code_is_the_failures_own_where_it_is_one(codes, expected):
    results = {str(number): failing(code) for number, code in enumerate(codes)}
    assert fleets.exit_code(results) == expected


def test_nothing_is_alike_where_there_is_nothing():
    assert fleets.compare({}) == fleets.Comparison()
