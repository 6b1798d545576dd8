"""Errors are data: equal after every hop."""

import json

import pytest
from hypothesis import given, strategies as st

from understudy.platform import errors

TEXT = st.text(max_size=40)
PLAIN = st.builds(
    lambda cls, message, advice, details, retryable, fatal: cls(
        message, help=advice, details=details, retryable=retryable, fatal=fatal
    ),
    st.sampled_from([cls for cls in errors._CLASSES if not issubclass(cls, errors._PartialError)]),
    TEXT,
    TEXT,
    st.dictionaries(TEXT, st.integers() | TEXT, max_size=3),
    st.booleans(),
    st.booleans(),
)
PARTIAL = st.builds(
    lambda cls, found: cls.of(found),
    st.sampled_from([errors.ApplyError, errors.SyncError]),
    st.dictionaries(TEXT, PLAIN, min_size=1, max_size=3),
)


@given(PLAIN | PARTIAL, st.integers(1, 4))
def test_an_error_is_equal_after_every_hop(error, hops):
    relayed = error
    for _ in range(hops):
        relayed = errors.from_json(json.loads(json.dumps(relayed.to_json())))
    assert relayed == error
    assert type(relayed) is type(error)
    if isinstance(error, errors._PartialError):
        assert relayed.errors == error.errors


def test_a_code_from_a_newer_version_is_kept():
    data = {
        "code": "on_fire",
        "message": "m",
        "help": "",
        "retryable": True,
        "fatal": False,
        "details": {},
    }
    assert errors.from_json(data).to_json() == data


def test_the_drawn_tree_is_the_tree_of_classes():
    drawn = {line.split()[-1] if len(line.split()) == 1 else line.replace("|", " ").replace("+--", " ").split()[0]
             for line in errors.__doc__.splitlines() if "Error" in line and line.startswith("    ")}  # fmt: skip
    assert drawn == {cls.__name__ for cls in errors._CLASSES}


@pytest.mark.parametrize("cls", errors._CLASSES)
def test_every_class_says_its_message(cls):
    assert str(cls("what happened")) == "what happened"
