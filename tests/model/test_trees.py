"""The persistent tree against a plain dictionary, and old trees against what they were."""

from hypothesis import given, settings, strategies as st

from understudy.kapi.store import trees

KEYS = st.text(alphabet="ab-/c", min_size=1, max_size=4)
STEPS = st.lists(st.tuples(st.sampled_from(["set", "delete"]), KEYS, st.integers()), max_size=80)


@given(STEPS)
def test_a_tree_is_a_sorted_dictionary_and_older_trees_stay_as_they_were(steps):
    tree, model = trees.Tree(), {}
    history = []
    for step, key, value in steps:
        history.append((tree, dict(model)))
        if step == "set":
            tree, model[key] = tree.set(key, value), value
        else:
            tree = tree.delete(key)
            model.pop(key, None)
    history.append((tree, model))
    for old, expected in history:
        assert list(old.items()) == sorted(expected.items())
        assert len(old) == len(expected)
        for key in "abc":
            assert old.get(key) == expected.get(key)


@settings(max_examples=30)
@given(st.sets(st.integers(0, 5000), max_size=3000), st.integers(0, 5000), st.sampled_from("ab"))
def test_ranges_of_large_trees_agree_with_a_sorted_list(numbers, after, namespace):
    keys = [f"{'ab'[n % 2]}/{n:05d}" for n in numbers]
    tree = trees.Tree()
    for key in keys:
        tree = tree.set(key, key)
    start = f"{namespace}/{after:05d}"
    expected = sorted(key for key in keys if key.startswith(f"{namespace}/"))
    assert tree.values(f"{namespace}/") == expected
    assert [key for key, _ in tree.items(f"{namespace}/", start)] == [
        key for key in expected if key > start
    ]
    assert trees.Tree.of((key, key) for key in keys).values() == sorted(keys)


def test_a_change_copies_little_whatever_the_size():
    tree = trees.Tree.of((f"{n:06d}", n) for n in range(100_000))
    changed = tree.set("050000", -1)
    shared = sum(a is b for a, b in zip(tree._values, changed._values, strict=True))
    assert shared == len(tree._values) - 1
    assert tree.get("050000") == 50_000
    assert changed.get("050000") == -1
