"""Custom objects: defaults, pruning, validation in the reference's words."""

import pytest

from understudy.kapi.views import options
from understudy.kube import statuses

STRING, INTEGER = {"type": "string"}, {"type": "integer"}


def test_defaults_fill_in_at_every_depth(world):
    world.spec(
        {
            "a": STRING | {"default": "x"},
            "list": {
                "type": "array",
                "items": {"type": "object", "properties": {"n": INTEGER | {"default": 1}}},
            },
            "map": {
                "type": "object",
                "additionalProperties": {
                    "type": "object",
                    "properties": {"n": INTEGER | {"default": 2}},
                },
            },
            "deep": {
                "type": "object",
                "default": {},
                "properties": {"b": {"type": "boolean", "default": True}},
            },
        }
    )
    spec = world.create(spec={"list": [{}], "map": {"k": {}}}).object()["spec"]
    assert spec == {
        "a": "x", "list": [{"n": 1}], "map": {"k": {"n": 2}}, "deep": {"b": True},
    }  # fmt: skip


def test_nothing_is_filled_in_below_what_is_absent(world):
    world.spec({"a": STRING | {"default": "x"}})
    assert "spec" not in world.create().object()


def test_null_takes_the_default_where_null_is_not_allowed(world):
    world.spec(
        {
            "a": STRING | {"default": "x"},
            "b": STRING | {"nullable": True, "default": "y"},
            "c": STRING,
            "d": STRING | {"nullable": True},
        }
    )
    given = dict.fromkeys("abcd")
    assert world.create(spec=given).object()["spec"] == {"a": "x", "b": None, "d": None}


def test_unknown_fields_are_dropped_with_a_warning_or_refused(world, make):
    world.spec({"a": STRING, "free": {"x-kubernetes-preserve-unknown-fields": True}})
    written = world.create(spec={"a": "1", "b": 2, "free": {"c": {"d": 1}}}, extra=1)
    assert written.warnings == ['unknown field "extra"', 'unknown field "spec.b"']
    assert written.object()["spec"] == {"a": "1", "free": {"c": {"d": 1}}}
    strict = options.WriteOptions(field_validation="Strict")
    obj = {
        "apiVersion": "g.io/v1",
        "kind": "Widget",
        "metadata": {"name": "s"},
        "spec": {"b": 2},
    }
    with pytest.raises(statuses.BadRequestError) as caught:
        world.view.create("widgets.g.io", obj, "default", options=strict)
    assert 'strict decoding error: unknown field "spec.b"' in caught.value.message


def test_an_embedded_resource_keeps_what_every_object_has(world, refusal):
    world.spec(
        {
            "t": {
                "type": "object",
                "x-kubernetes-embedded-resource": True,
                "properties": {"spec": {"type": "object", "properties": {"a": STRING}}},
            }
        }
    )
    inner = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "x", "bogus": 1},
        "spec": {"a": "1", "b": 2},
    }
    kept = world.create(spec={"t": inner}).object()["spec"]["t"]
    assert kept == inner | {"metadata": {"name": "x"}, "spec": {"a": "1"}}
    found = refusal(world.create, "bad", spec={"t": {"metadata": {"name": "x"}}})
    assert found == [
        "spec.t.apiVersion: Required value",
        "spec.t.kind: Required value",
    ]


VALIDATIONS = [
    (STRING, 1, 'spec.v: Invalid value: "integer": spec.v in body must be of type string: '
                '"integer"'),
    (INTEGER, "1", 'spec.v: Invalid value: "string": spec.v in body must be of type integer: '
                   '"string"'),
    (INTEGER, 1.5, "spec.v: Invalid value: \"number\": spec.v in body must be of type integer: "
                   '"number"'),
    (STRING | {"enum": ["a", "b"]}, "c",
     'spec.v: Unsupported value: "c": supported values: "a", "b"'),
    (STRING | {"pattern": "^[a-z]+$"}, "A",
     'spec.v: Invalid value: "A": spec.v in body should match \'^[a-z]+$\''),
    (STRING | {"minLength": 2}, "é",
     'spec.v: Invalid value: "é": spec.v in body should be at least 2 chars long'),
    (STRING | {"maxLength": 2}, "abc", "spec.v: Too long: may not be more than 2 bytes"),
    (STRING | {"format": "date-time"}, "today",
     'spec.v: Invalid value: "today": spec.v in body must be of type date-time: "today"'),
    (STRING | {"format": "ipv4"}, "::1",
     'spec.v: Invalid value: "::1": spec.v in body must be of type ipv4: "::1"'),
    (INTEGER | {"minimum": 3}, 2,
     "spec.v: Invalid value: 2: spec.v in body should be greater than or equal to 3"),
    (INTEGER | {"maximum": 3, "exclusiveMaximum": True}, 3,
     "spec.v: Invalid value: 3: spec.v in body should be less than 3"),
    ({"type": "number", "multipleOf": 0.5}, 0.7,
     "spec.v: Invalid value: 0.7: spec.v in body should be a multiple of 0.5"),
    (INTEGER | {"format": "int32"}, 2**31,
     '<nil>: Invalid value: "": Checked value must be of type integer with format int32 in spec.v'),
    ({"type": "array", "maxItems": 1, "items": STRING}, ["a", "b"],
     "spec.v: Too many: 2: must have at most 1 item"),
    ({"type": "array", "minItems": 2, "items": STRING}, ["a"],
     "spec.v: Invalid value: 1: spec.v in body should have at least 2 items"),
    ({"type": "array", "items": INTEGER}, [1, "a"],
     'spec.v[1]: Invalid value: "string": spec.v[1] in body must be of type integer: "string"'),
    ({"type": "array", "x-kubernetes-list-type": "set", "items": STRING}, ["a", "a"],
     'spec.v[1]: Duplicate value: "a"'),
    ({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
      "items": {"type": "object", "required": ["k"], "properties": {"k": STRING}}},
     [{"k": "a"}, {"k": "a"}], 'spec.v[1]: Duplicate value: {"k":"a"}'),
    ({"type": "object", "required": ["a"], "properties": {"a": STRING}}, {},
     "spec.v.a: Required value"),
    ({"type": "object", "additionalProperties": INTEGER}, {"a": "x"},
     'spec.v.a: Invalid value: "string": spec.v.a in body must be of type integer: "string"'),
    ({"type": "object", "maxProperties": 1, "additionalProperties": INTEGER}, {"a": 1, "b": 2},
     "spec.v: Too many: 2: must have at most 1 item"),
    ({"x-kubernetes-int-or-string": True}, True,
     'spec.v: Invalid value: "boolean": spec.v in body must be of type integer,string: "boolean"'),
    (STRING | {"not": {"enum": ["x"]}}, "x",
     '<nil>: Invalid value: "": "spec.v" must not validate the schema (not)'),
    (STRING | {"anyOf": [{"pattern": "^a"}, {"pattern": "^b"}]}, "c",
     '<nil>: Invalid value: "": "spec.v" must validate at least one schema (anyOf)'),
    (STRING | {"oneOf": [{"pattern": "a"}, {"pattern": "b"}]}, "ab",
     '<nil>: Invalid value: "": "spec.v" must validate one and only one schema (oneOf). Found 2 '
     "valid alternatives"),
    (STRING | {"allOf": [{"minLength": 2}, {"pattern": "^a"}]}, "b",
     '<nil>: Invalid value: "": "spec.v" must validate all the schemas (allOf). None validated'),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "value", "cause"), VALIDATIONS)
def test_a_value_must_fit_its_schema(world, refusal, schema, value, cause):
    world.spec({"v": schema})
    found = refusal(world.create, spec={"v": value})
    assert cause in found, found


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (INTEGER, 1.0),
        ({"type": "number"}, 1),
        ({"x-kubernetes-int-or-string": True}, "5%"),
        ({"x-kubernetes-int-or-string": True}, 5),
        (STRING | {"format": "made-up"}, "anything"),
        (STRING | {"maxLength": 2}, "éé"),
        (STRING | {"nullable": True}, None),
        ({"type": "object", "x-kubernetes-preserve-unknown-fields": True}, {"a": [1, {"b": 2}]}),
    ],
)
def test_a_value_that_fits_is_kept_as_it_is(world, schema, value):
    world.spec({"v": schema})
    assert world.create(spec={"v": value}).object()["spec"] == {"v": value}


def test_what_did_not_change_may_stay_as_invalid_as_it_is(world, make, refusal):
    properties = {"a": STRING, "b": STRING, "l": {"type": "array", "items": STRING}}
    world.spec(properties)
    world.create(spec={"a": "old", "b": "old", "l": ["x"]})
    stricter = {
        "a": STRING | {"pattern": "^new"},
        "b": STRING,
        "l": {"type": "array", "items": STRING | {"maxLength": 0}},
    }
    schema = {"properties": {"spec": {"type": "object", "properties": stricter}}}
    world.change({"spec": {"versions": [make.version(schema)]}})
    assert world.patch({"spec": {"b": "changed"}}).object()["spec"]["a"] == "old"
    found = refusal(world.patch, {"spec": {"a": "older"}})
    assert found == ["spec.a: Invalid value: \"older\": spec.a in body should match '^new'"]


def test_metadata_is_checked_as_of_every_object(world, refusal):
    world.spec({"a": STRING})
    found = refusal(world.create, "Bad_Name")
    assert found[0].startswith('metadata.name: Invalid value: "Bad_Name"')
    assert world.create("w").object()["metadata"]["generation"] == 1
    assert world.patch({"spec": {"a": "x"}}).object()["metadata"]["generation"] == 2
    assert world.patch({"metadata": {"labels": {"a": "b"}}}).object()["metadata"]["generation"] == 2


def test_columns_show_what_their_paths_find(world, make):
    world.spec(
        {"size": INTEGER, "tags": {"type": "array", "items": STRING}, "on": {"type": "boolean"}},
        additionalPrinterColumns=[
            {"name": "Size", "type": "integer", "jsonPath": ".spec.size", "priority": 1},
            {"name": "First", "type": "string", "jsonPath": ".spec.tags[0]"},
            {"name": "On", "type": "boolean", "jsonPath": ".spec.on"},
            {"name": "Size as text", "type": "string", "jsonPath": ".spec.size"},
            {"name": "Wrong", "type": "date", "jsonPath": ".spec.size"},
        ],
    )
    obj = world.create(spec={"size": 3, "tags": ["a", "b"], "on": True}).object()
    strategy = world.view.catalogue.named("widgets.g.io").strategy
    assert [column.name for column in strategy.columns] == [
        "Name", "Size", "First", "On", "Size as text", "Wrong",
    ]  # fmt: skip
    assert strategy.row(obj, world.view.now())[:5] == ["w", 3, "a", True, "3"]


@pytest.mark.parametrize(
    ("patch", "found"),
    [
        ({"kind": "Gadget"}, ['kind: Invalid value: "Gadget": must be Widget']),
        ({"apiVersion": "g.io/v2"}, ['apiVersion: Invalid value: "g.io/v2": must be g.io/v1']),
        (
            {"apiVersion": None},
            ["None: Object 'apiVersion' is missing in 'object has no apiVersion field'"],
        ),
    ],
)
def test_a_patch_leaves_an_object_what_it_is(world, refusal, patch, found):
    world.spec({"a": STRING})
    world.create(spec={"a": "x"})
    assert refusal(world.patch, patch) == found
