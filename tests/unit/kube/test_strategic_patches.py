"""Strategic merge patches over a small pod-like schema."""

import copy

import pytest

from understudy.kube import patches, schemas, statuses

STRING = schemas.Schema(type="string")


def obj(name="", /, **fields):
    return schemas.Schema(type="object", name=name, fields=fields)


def merging(items, key="", *strategies):
    return schemas.Schema(
        type="array", items=items, patch_merge_key=key, patch_strategy=("merge", *strategies)
    )


ENV = obj("EnvVar", name=STRING, value=STRING)
CONTAINER = obj(
    "Container",
    name=STRING,
    image=STRING,
    args=schemas.Schema(type="array", items=STRING),
    env=merging(ENV, "name"),
)
STRATEGY = schemas.Schema(
    type="object",
    name="DeploymentStrategy",
    fields={"type": STRING, "rollingUpdate": obj("RollingUpdate", maxSurge=STRING)},
    patch_strategy=("retainKeys",),
)
SCHEMA = obj(
    "Thing",
    containers=merging(CONTAINER, "name"),
    finalizers=merging(STRING),
    keyless=merging(CONTAINER),
    strategy=STRATEGY,
    replaced=schemas.Schema(
        type="object", fields={"a": STRING, "b": STRING}, patch_strategy=("replace",)
    ),
    selector=schemas.Schema(type="object", values=STRING),
    raw=schemas.Schema(preserve_unknown=True, name="RawExtension"),
)
LIVE = {
    "containers": [
        {
            "name": "c",
            "image": "c:1",
            "args": ["x"],
            "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
        },
        {"name": "d", "image": "d:1"},
    ],
    "finalizers": ["a", "b"],
    "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "1"}},
    "selector": {"n": "1"},
    "replaced": {"a": "1"},
    "raw": {"x": {"y": 1}},
}


def apply(patch, live=LIVE):
    before = copy.deepcopy((live, patch))
    result = patches.apply(patches.STRATEGIC_MERGE_PATCH, live, patch, SCHEMA)
    assert (live, patch) == before, "an argument was modified"
    return result


def containers(patch):
    return apply({"containers": patch})["containers"]


def env(patch, **more):
    return containers([{"name": "c", "env": patch} | more])[0]["env"]


def test_items_of_a_merging_list_merge_by_their_key():
    assert containers([{"name": "d", "image": "d:2"}]) == [
        LIVE["containers"][0],
        {"name": "d", "image": "d:2"},
    ]


def test_new_items_come_before_those_that_only_the_server_knows():
    names = [item["name"] for item in containers([{"name": "e", "image": "e:1"}])]
    assert names == ["e", "c", "d"]


def test_new_items_follow_the_items_of_the_patch():
    assert env([{"name": "B", "value": "9"}, {"name": "C", "value": "3"}]) == [
        {"name": "A", "value": "1"},
        {"name": "B", "value": "9"},
        {"name": "C", "value": "3"},
    ]


def test_items_are_deleted_by_directive_and_missing_ones_without_complaint():
    assert containers([{"name": "c", "$patch": "delete"}]) == [{"name": "d", "image": "d:1"}]
    assert containers([{"name": "zz", "$patch": "delete"}]) == LIVE["containers"]


def test_a_replace_directive_among_the_items_drops_the_live_ones():
    assert containers([{"$patch": "replace"}, {"name": "n", "image": "n"}]) == [
        {"name": "n", "image": "n"}
    ]


def test_lists_without_merge_strategy_are_replaced():
    assert containers([{"name": "c", "args": ["z"]}])[0]["args"] == ["z"]


def test_null_removes_fields_of_merged_items():
    assert "args" not in containers([{"name": "c", "args": None}])[0]


def test_scalars_merge_as_a_set():
    assert apply({"finalizers": ["c"]})["finalizers"] == ["c", "a", "b"]
    assert apply({"finalizers": ["a"]})["finalizers"] == ["a", "b"]


def test_scalars_are_deleted_by_their_own_directive():
    assert apply({"$deleteFromPrimitiveList/finalizers": ["a"]})["finalizers"] == ["b"]
    patch = {"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["z"]}
    assert apply(patch)["finalizers"] == ["z", "b"]
    assert "zz" not in apply({"$deleteFromPrimitiveList/zz": ["a"]})


def test_element_order_is_set_by_directive():
    order = {"$setElementOrder/env": [{"name": "B"}, {"name": "A"}]}
    assert env([{"name": "A", "value": "5"}], **order) == [
        {"name": "B", "value": "2"},
        {"name": "A", "value": "5"},
    ]
    patch = {"$setElementOrder/finalizers": ["b", "a"], "finalizers": ["b"]}
    assert apply(patch)["finalizers"] == ["b", "a"]
    assert apply({"$setElementOrder/finalizers": ["b", "a"]})["finalizers"] == ["b", "a"]


def test_element_order_applies_to_lists_that_are_new():
    patch = {"$setElementOrder/finalizers": ["y", "x"], "finalizers": ["y", "x"]}
    assert apply(patch, live={})["finalizers"] == ["y", "x"]


def test_an_order_that_the_patch_contradicts_is_refused():
    with pytest.raises(statuses.InternalError) as caught:
        apply({"$setElementOrder/finalizers": ["a"], "finalizers": ["b"]})
    assert caught.value.message == (
        "The order in patch list:\n[b]\n doesn't match $setElementOrder list:\n[a]\n"
    )


def test_mappings_are_deleted_and_replaced_by_directive():
    assert apply({"selector": {"$patch": "delete"}})["selector"] == {}
    assert apply({"selector": {"$patch": "replace", "z": "1"}})["selector"] == {"z": "1"}
    assert apply({"$patch": "delete"}) == {}
    assert apply({"$patch": "replace", "selector": {"a": "1"}}) == {"selector": {"a": "1"}}


def test_fields_with_the_replace_strategy_do_not_merge():
    assert apply({"replaced": {"b": "2"}})["replaced"] == {"b": "2"}


def test_only_retained_keys_survive():
    patch = {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}
    assert apply(patch)["strategy"] == {"type": "Recreate"}


def test_nulls_and_directives_do_not_reach_what_is_new():
    patch = {"containers": [{"name": "c", "env": None}], "selector": None}
    assert apply(patch, live={}) == {"containers": [{"name": "c"}]}
    patch = {"containers": [{"name": "c"}, {"name": "d", "$patch": "delete"}]}
    assert apply(patch, live={}) == {"containers": [{"name": "c"}]}


def test_a_value_of_another_type_replaces():
    assert apply({"selector": ["x"]})["selector"] == ["x"]


def test_null_changes_nothing():
    assert apply(None) == LIVE


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        (
            {"containers": [{"image": "x"}]},
            "map: map[image:x] does not contain declared merge key: name",
        ),
        (
            {"containers": [{"$patch": "delete"}]},
            "map: map[$patch:delete] does not contain declared merge key: name",
        ),
        (
            {"selector": {"z": "1", "$patch": "merge"}},
            "unknown patch type: merge in map: map[$patch:merge z:1]",
        ),
        ({"selector": {"$patch": 1}}, "unknown patch type: %!s(int64=1) in map: map[$patch:1]"),
        (
            {"containers": [{"name": "c", "$patch": "merge"}]},
            "merging lists cannot yet be specified in the patch",
        ),
        (
            {"containers": [{"name": "c", "$patch": "explode"}]},
            "unknown patch type: explode in map: map[$patch:explode name:c]",
        ),
        ({"finalizers": [1]}, "list element types are not identical: [[a b] [1]]"),
        (
            {"$setElementOrder/finalizers": "x"},
            "expected a []interface {}, but received a string",
        ),
        (
            {"raw": {"x": {"z": 1}}},
            'unable to find api field in struct RawExtension for the json field "x"',
        ),
    ],
)
def test_contradictions_are_500_without_a_reason(patch, message):
    with pytest.raises(statuses.InternalError) as caught:
        apply(patch)
    assert caught.value.message == message
    assert caught.value.reason == ""


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        ([], "json: cannot unmarshal array into Go value of type map[string]interface {}"),
        (
            {"strategy": {"$retainKeys": ["type"], "rollingUpdate": {}}},
            "invalid patch format of retainKeys",
        ),
        ({"strategy": {"$retainKeys": "type"}}, "invalid patch format of retainKeys"),
        ({"$deleteFromPrimitiveList": ["a"]}, "invalid patch format of primitive list"),
        ({"$setElementOrder": ["a"]}, "invalid patch format of setElementOrder list"),
    ],
)
def test_malformed_patches_are_400(patch, message):
    with pytest.raises(statuses.BadRequestError) as caught:
        apply(patch)
    assert caught.value.message == message


def test_lists_of_lists_cannot_merge():
    with pytest.raises(statuses.InvalidError):
        apply({"finalizers": [["x"]]}, live={"finalizers": [["y"]]})


def test_a_merging_list_of_mappings_needs_a_key():
    with pytest.raises(statuses.InternalError, match="cannot merge lists without merge key"):
        apply({"keyless": [{"name": "x"}]}, live={"keyless": [{"name": "y"}]})


@pytest.mark.parametrize(
    ("value", "schema", "problem"),
    [
        ({"selector": ["x"]}, SCHEMA, "cannot restore map from slice"),
        ({"strategy": "x"}, SCHEMA, "cannot restore struct from: string"),
        ({"containers": {"a": 1}}, SCHEMA, "cannot restore slice from map"),
        ({"selector": {"a": 1}}, SCHEMA, "cannot convert int64 to string"),
        ({"selector": {"a": True}}, SCHEMA, "unrecognized type: string"),
        ({"n": "x"}, obj(n=schemas.Schema(type="integer", format="int32")), "unrecognized type: int32"),
        ({"n": 1.5}, obj(n=schemas.Schema(type="integer", format="int32", go_type="int32")),
         "cannot convert float64 to int32"),
        ({"b": 1}, obj(b=schemas.Schema(type="boolean")), "unrecognized type: bool"),
        ({"q": "1x"}, obj(q=schemas.Schema(type="string", format="quantity")),
         "quantities must match the regular expression "
         "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"),
    ],
)  # fmt: skip
def test_what_does_not_restore_is_said_in_the_converters_words(value, schema, problem):
    error = statuses.BadRequestError("Thing in version x cannot be handled as a Thing: json: no")
    found = patches.refusal(patches.STRATEGIC_MERGE_PATCH, {"p": 1}, value, schema, error)
    assert found.message == f' "" is invalid: patch: Invalid value: "map[p:1]": {problem}'
    assert found.details == {
        "causes": [
            {
                "field": "patch",
                "reason": "FieldValueInvalid",
                "message": f'Invalid value: "map[p:1]": {problem}',
            }
        ]
    }


def test_what_a_json_document_does_not_decode_to_is_said_in_the_decoders_words():
    error = statuses.BadRequestError(
        'Thing in version "v1" cannot be handled as a Thing: json: cannot unmarshal string: x'
    )
    found = patches.refusal(patches.MERGE_PATCH, {}, {"a": "b"}, SCHEMA, error)
    assert found.message == (
        ' "" is invalid: patch: Invalid value: "{\\"a\\":\\"b\\"}": '
        "json: cannot unmarshal string: x"
    )


def test_what_restores_is_not_complained_about():
    from understudy.kube.patches import restoring

    assert restoring.complaint(SCHEMA, LIVE | {"finalizers": None}) == ""
