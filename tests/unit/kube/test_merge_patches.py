"""JSON merge patches."""

import copy

import pytest

from understudy.kube import patches, schemas, statuses


def apply(live, patch):
    before = copy.deepcopy((live, patch))
    result = patches.apply(patches.MERGE_PATCH, live, patch, schemas.ANY)
    assert (live, patch) == before, "an argument was modified"
    return result


@pytest.mark.parametrize(
    ("live", "patch", "result"),
    [
        ({"a": "1"}, {"b": "2"}, {"a": "1", "b": "2"}),
        ({"a": {"b": "1", "c": "2"}}, {"a": {"b": None}}, {"a": {"c": "2"}}),
        ({"a": {"b": "1"}}, {"a": None}, {}),
        ({"a": "1"}, {"b": None}, {"a": "1"}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({}, {"a": {"b": None, "c": {"d": None}}}, {"a": {"c": {}}}),
        ({"a": "1"}, {"a": {"b": None}}, {"a": {}}),
        ({"a": {"b": "1"}}, {"a": "x"}, {"a": "x"}),
        ({"a": None}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({}, {"a": [{"b": None}, None]}, {"a": [{}, None]}),
        ({"a": "1"}, {}, {"a": "1"}),
    ],
)
def test_mappings_merge_null_deletes_everything_else_replaces(live, patch, result):
    assert apply(live, patch) == result


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        ([], "error decoding patch: json: cannot unmarshal array into Go value of type map"),
        ("x", "error decoding patch: json: cannot unmarshal string into Go value of type map"),
        (1, "error decoding patch: json: cannot unmarshal number into Go value of type map"),
        (None, "Invalid JSON Patch"),
    ],
)
def test_what_is_no_mapping_is_400(patch, message):
    with pytest.raises(statuses.BadRequestError) as caught:
        apply({"a": "1"}, patch)
    assert caught.value.message.startswith(message)
