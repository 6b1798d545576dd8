"""KubeVela's three functions, and the names that cannot collide."""

import pytest

from understudy.delivery import names


@pytest.mark.parametrize(
    ("revision", "namespace", "tracker", "app", "back"),
    [
        ("app-v1", "default", "app-v1-default", "app", "app-v1"),
        ("app-test-v2", "test-ns", "app-test-v2-test-ns", "app-test", "app-test-v2"),
        ("a-v1", "v1", "a-v1-v1", "a", "a-v1"),
        ("app", "default", "app-default", "", "app"),
    ],
)
def test_names_are_upstreams(
    revision: str, namespace: str, tracker: str, app: str, back: str
) -> None:
    assert names.tracker_name(revision, namespace) == tracker
    assert names.app_name_of(tracker, namespace) == app
    assert names.revision_name_of(tracker, namespace) == back


def test_a_wrong_namespace_gives_upstreams_wrong_answer() -> None:
    assert names.app_name_of("app-v1-default", "zzz") == "app-v1"
    assert names.tracker_name("app-v1", "") == "app-v1-"


@pytest.mark.parametrize(
    ("name", "separator", "number"),
    [("v1-v10", "-", 10), ("v10-v1-v1", "-", 1), ("myapp-v1-v2", "-", 2), ("worker@v1", "@", 1)],
)
def test_a_revision_has_a_number(name: str, separator: str, number: int) -> None:
    assert names.revision_number(name, separator) == number


@pytest.mark.parametrize("name", ["v1", "myapp-a1", "myapp-v1-vv", "myapp-vv1", "myapp-v", ""])
def test_what_is_no_revision_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="bad revision name"):
        names.revision_number(name)


def test_upstreams_tracker_names_collide_and_ours_do_not() -> None:
    assert names.tracker_name("a-v1", "b-v1-c") == names.tracker_name("a-v1-b-v1", "c")
    assert names.record_name("a-b", "c") != names.record_name("a", "b-c")


@pytest.mark.parametrize(
    "name", ["", "-a", "a.b", "A", "a_b", "a" * (names.APPLICATION_NAME_MAX + 1)]
)
def test_names_that_cannot_be_an_applications_are_complained_about(name: str) -> None:
    assert names.complaints_about(name)


def test_an_ordinary_name_is_fine() -> None:
    assert names.complaints_about("shop-2") == []
