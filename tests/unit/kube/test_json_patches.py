"""JSON patches, lenient where kube-apiserver is."""

import copy

import pytest

from understudy.kube import patches, schemas, statuses

LIVE = {"data": {"a": "1", "b": "2"}, "list": ["x", "y"], "none": None}


def apply(*operations, live=LIVE):
    before = copy.deepcopy(live)
    result = patches.apply(patches.JSON_PATCH, live, list(operations), schemas.ANY)
    assert live == before, "the live object was modified"
    return result


@pytest.mark.parametrize(
    ("operation", "data"),
    [
        ({"op": "add", "path": "/data/z", "value": "9"}, {"a": "1", "b": "2", "z": "9"}),
        ({"op": "add", "path": "/data/z"}, {"a": "1", "b": "2", "z": None}),
        ({"op": "replace", "path": "/data/z", "value": "9"}, {"a": "1", "b": "2", "z": "9"}),
        ({"op": "remove", "path": "/data/a"}, {"b": "2"}),
        ({"op": "move", "from": "/data/a", "path": "/data/z"}, {"b": "2", "z": "1"}),
        ({"op": "copy", "from": "/data/a", "path": "/data/z"}, {"a": "1", "b": "2", "z": "1"}),
        ({"op": "copy", "from": "/data/no", "path": "/data/z"}, {"a": "1", "b": "2", "z": None}),
        ({"op": "add", "path": "ignored/data", "value": {"a": "1"}}, {"a": "1"}),
        ({"op": "add", "path": "/data/x~1y~0z", "value": ""}, {"a": "1", "b": "2", "x/y~z": ""}),
    ],
)
def test_operations_change_mappings(operation, data):
    assert apply(operation)["data"] == data


@pytest.mark.parametrize(
    ("operation", "result"),
    [
        ({"op": "add", "path": "/list/-", "value": "z"}, ["x", "y", "z"]),
        ({"op": "add", "path": "/list/0", "value": "z"}, ["z", "x", "y"]),
        ({"op": "add", "path": "/list/2", "value": "z"}, ["x", "y", "z"]),
        ({"op": "add", "path": "/list/-1", "value": "z"}, ["x", "y", "z"]),
        ({"op": "add", "path": "/list/01", "value": "z"}, ["x", "z", "y"]),
        ({"op": "replace", "path": "/list/-2", "value": "z"}, ["z", "y"]),
        ({"op": "remove", "path": "/list/+1"}, ["x"]),
    ],
)
def test_operations_change_lists(operation, result):
    assert apply(operation)["list"] == result


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "add", "path": "/none/z", "value": 1},
        {"op": "add", "path": "/data/a/b", "value": 1},
        {"op": "add", "path": "/list/9", "value": 1},
        {"op": "add", "path": "/list/x", "value": 1},
        {"op": "add", "path": "", "value": {}},
        {"op": "add", "value": 1},
        {"op": "remove", "path": "/data/zz"},
        {"op": "remove", "path": "/list/2"},
        {"op": "replace", "path": "/list/2", "value": 1},
        {"op": "replace", "path": "", "value": 1},
        {"op": "move", "from": "/zz", "path": "/data/z"},
        {"op": "move", "path": "/data/z"},
        {"op": "copy", "from": "/no/z", "path": "/data/z"},
        {"op": "test", "path": "/data/a", "value": "2"},
        {"op": "test", "path": "/data/a"},
        {"op": "test", "path": "/data/zz", "value": "1"},
        {"op": "frob", "path": "/data/a"},
        {"path": "/data/a", "value": 1},
        None,
    ],
)
def test_what_does_not_apply_is_422_with_one_message_for_all(operation):
    with pytest.raises(statuses.InvalidError) as caught:
        apply(operation)
    assert caught.value.message == "the server rejected our request due to an error in our request"
    assert caught.value.details == {}


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/data/a", "value": "1"},
        {"op": "test", "path": "/data", "value": {"b": "2", "a": "1"}},
        {"op": "test", "path": "/data/zz", "value": None},
        {"op": "test", "path": "/none"},
        {"op": "test", "path": "", "value": LIVE},
    ],
)
def test_tests_that_hold_change_nothing(operation):
    assert apply(operation) == LIVE


def test_a_number_is_no_boolean_and_a_float_no_integer():
    live = {"n": 1}
    for value in (True, 1.0):
        with pytest.raises(statuses.InvalidError):
            apply({"op": "test", "path": "/n", "value": value}, live=live)


def test_operations_build_on_each_other_without_touching_what_was_copied():
    result = apply(
        {"op": "copy", "from": "/data", "path": "/copied"},
        {"op": "add", "path": "/copied/c", "value": {}},
        {"op": "add", "path": "/copied/c/d", "value": "1"},
        {"op": "copy", "from": "/copied", "path": "/again"},
        {"op": "remove", "path": "/again/c/d"},
        {"op": "add", "path": "/data/a", "value": "9"},
    )
    assert result["data"] == {"a": "9", "b": "2"}
    assert result["copied"] == {"a": "1", "b": "2", "c": {"d": "1"}}
    assert result["again"] == {"a": "1", "b": "2", "c": {}}


def test_values_of_a_patch_are_not_modified_by_later_operations():
    value = {"x": "1"}
    apply(
        {"op": "add", "path": "/new", "value": value},
        {"op": "add", "path": "/new/y", "value": "2"},
    )
    assert value == {"x": "1"}


def test_unchanged_parts_are_shared_with_the_live_object():
    assert apply({"op": "add", "path": "/data/z", "value": "9"})["list"] is LIVE["list"]


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        ({"op": "add"}, "object into Go value of type []handlers.jsonPatchOp"),
        ("x", "string into Go value of type []handlers.jsonPatchOp"),
        ([1], "number into Go value of type handlers.jsonPatchOp"),
        ([{"op": "add", "path": 1}], "number into Go struct field jsonPatchOp.path of type string"),
        ([{"op": True}], "bool into Go struct field jsonPatchOp.op of type string"),
    ],
)
def test_what_is_no_list_of_operations_is_400(patch, message):
    with pytest.raises(statuses.BadRequestError) as caught:
        patches.apply(patches.JSON_PATCH, LIVE, patch, schemas.ANY)
    assert caught.value.message == f"error decoding patch: json: cannot unmarshal {message}"


def test_too_many_operations_are_413():
    with pytest.raises(statuses.RequestTooLargeError) as caught:
        apply(*[{"op": "test", "path": "/data/a", "value": "1"}] * 10_001)
    assert caught.value.message == (
        "The allowed maximum operations in a JSON patch is 10000, got 10001"
    )


REJECTED = "the server rejected our request due to an error in our request"


def test_copies_cannot_double_a_document_for_ever():
    text = {"op": "add", "path": "/data/x", "value": "y" * 100_000}
    doubling = [{"op": "copy", "from": "/data", "path": f"/data/{n}"} for n in range(40)]
    with pytest.raises(statuses.InvalidError, match=REJECTED):
        apply(text, *doubling)


def test_moves_cannot_nest_a_document_for_ever():
    nesting = []
    for n in range(2_000):
        nesting += [
            {"op": "add", "path": f"/data/{n + 1}", "value": {}},
            {"op": "move", "from": f"/data/{n}", "path": f"/data/{n + 1}/x"},
        ]
    with pytest.raises(statuses.InvalidError, match=REJECTED):
        apply({"op": "add", "path": "/data/0", "value": {}}, *nesting)


def test_unknown_fields_of_operations_are_complained_about():
    patch = [{"op": "add", "path": "/a", "value": 1}, {"op": "add", "path": "/b", "extra": 1}]
    assert patches.complaints(patches.JSON_PATCH, patch) == ['json patch unknown field "[1].extra"']
    assert patches.complaints(patches.MERGE_PATCH, {"extra": 1}) == []


def test_documents_are_quoted_as_json_within_json():
    assert patches.printed({"kind": "X", "apiVersion": "v1"}) == (
        '"{\\"apiVersion\\":\\"v1\\",\\"kind\\":\\"X\\"}"'
    )


def test_other_media_types_are_415():
    with pytest.raises(statuses.UnsupportedMediaTypeError):
        patches.apply("application/json", LIVE, {}, schemas.ANY)
