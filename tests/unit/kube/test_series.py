"""Values that recur: remembered by their bytes, within bounds, and never to different effect."""

import pytest
from hypothesis import given, settings, strategies as st

from understudy.kapi import views
from understudy.kube import series, statuses


def test_the_same_bytes_have_the_same_result():
    known = series.Series()
    key = known.key({"a": [1, 2.0, "x"]})
    known.put(key, "result")
    assert known.get(known.key({"a": [1, 2.0, "x"]})) == "result"
    assert known.get(known.key({"a": [1.0, 2.0, "x"]})) is None
    assert known.get(known.key({"a": [True, 2.0, "x"]})) is None


@pytest.mark.parametrize("odd", [{"a": 2**70}, {"a": "\ud800"}, {"a": "x" * series.BYTES_MAX}])
def test_what_is_odd_or_large_is_not_remembered(odd):
    known = series.Series()
    known.put(known.key(odd), "result")
    assert known.get(known.key(odd)) is None


def test_as_many_as_allowed_are_remembered():
    known = series.Series()
    for number in range(series.ENTRIES_MAX + 1):
        known.put(known.key(number), number)
    assert known.get(known.key(0)) is None
    assert known.get(known.key(series.ENTRIES_MAX)) == series.ENTRIES_MAX


CONTAINERS = st.fixed_dictionaries(
    {"name": st.sampled_from(["a", "b", "Bad Name"]), "image": st.sampled_from(["i", " i ", ""])},
    optional={
        "env": st.lists(
            st.fixed_dictionaries({"name": st.sampled_from(["A", "B"]), "value": st.just("v")}),
            max_size=3,
        ),
        "resources": st.just({"limits": {"memory": "1500m"}}),
        "unknown": st.just(1),
        "command": st.none(),
    },
)
SPECS = st.fixed_dictionaries(
    {"containers": st.lists(CONTAINERS, max_size=2)},
    optional={
        "nodeSelector": st.just({"beta.kubernetes.io/os": "linux"}),
        "restartPolicy": st.sampled_from(["Always", "Sometimes"]),
        "volumes": st.just(
            [{"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": {
                "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}},
            }}}}]
        ),
    },
)  # fmt: skip


def made(view, name, spec, annotations):
    """Return what creating a pod comes to, but for what differs between any two."""
    body = {"metadata": {"name": name, "annotations": annotations}, "spec": spec}
    try:
        written = view.create("pods", body, "default")
    except statuses.ApiError as error:
        return error.status()
    obj = written.object()
    owned = [(one["manager"], one["fieldsV1"]) for one in obj["metadata"]["managedFields"]]
    return obj["spec"], owned, written.warnings


@settings(max_examples=60, deadline=None)
@given(
    st.lists(SPECS, min_size=1, max_size=2),
    st.lists(st.integers(0, 1), min_size=2, max_size=4),
    st.sampled_from([{}, {"scheduler.alpha.kubernetes.io/critical-pod": ""}]),
)
def test_the_next_of_a_series_fares_as_the_first(specs, order, annotations):
    used = views.new_view()
    for number, which in enumerate(order):
        given_ones = (f"pod-{number}", specs[which % len(specs)], annotations)
        found = made(used, *given_ones)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(series.Series, "get", lambda *_: None)
            assert found == made(views.new_view(), *given_ones)
