"""A view at a kept revision is what the view was then; comparing costs and tells what differs."""

from hypothesis import given, settings, strategies as st

from understudy.kapi import views
from understudy.kapi.store import trees

STEPS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), max_size=20)


def contents(view):
    return {
        entry.key: entry.encoded
        for entry in view.store.tree(view.resolve("configmaps").storage).values()
    }


@settings(max_examples=25, deadline=None)
@given(STEPS)
def test_the_past_is_as_it_was(steps):
    view = views.new_view()
    history = [(view.revision, contents(view))]
    for name, value in steps:
        present = view.find("configmaps", "default", name)
        if present is None:
            view.create("configmaps", {"metadata": {"name": name}, "data": {}}, "default")
        elif value == 0:
            view.delete("configmaps", name, "default")
        else:
            view.patch("configmaps", name, {"data": {"v": str(value)}}, "default")
        history.append((view.revision, contents(view)))
    for revision, expected in history:
        past = view.at(revision)
        assert contents(past) == expected
        told = {
            change.key for change in past.compare(view) if change.storage.resource == "configmaps"
        }
        now = contents(view)
        assert told >= expected.keys() ^ now.keys()
        assert told <= {
            key for key in expected.keys() | now.keys() if expected.get(key) != now.get(key)
        }


@given(
    st.dictionaries(st.integers(0, 2000).map("{:04d}".format), st.integers(), max_size=900),
    st.lists(
        st.tuples(st.integers(0, 2000).map("{:04d}".format), st.none() | st.integers()), max_size=20
    ),
)
def test_differences_of_trees_are_those_of_dictionaries(start, changes):
    before = after = trees.Tree.of(start.items())
    model = dict(start)
    for key, value in changes:
        after = after.delete(key) if value is None else after.set(key, value)
        model.pop(key, None)
        if value is not None:
            model[key] = value
    told = {key: (was, now) for key, was, now in trees.differences(before, after)}
    for key, (was, now) in told.items():
        assert (was, now) == (start.get(key), model.get(key))
    assert {k for k in start.keys() | model.keys() if start.get(k) != model.get(k)} <= told.keys()
