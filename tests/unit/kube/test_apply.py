"""Server-side apply over a service-like kind, a custom kind and objects without a schema."""

import copy

import pytest

from understudy.kube import apply, schemas, statuses
from understudy.kube.apply import resets, shapes

T1, T2, T3 = "2026-01-01T00:00:01Z", "2026-01-01T00:00:02Z", "2026-01-01T00:00:03Z"
STRING = schemas.Schema(type="string")
NUMBER = schemas.Schema(type="integer", format="int32")
STRINGS = schemas.Schema(type="object", values=STRING)


def struct(**fields):
    return schemas.Schema(type="object", fields=fields)


PORT = struct(port=NUMBER, protocol=STRING, name=STRING, targetPort=NUMBER)
SCHEMA = struct(
    apiVersion=STRING,
    kind=STRING,
    data=STRINGS,
    spec=struct(
        replicas=NUMBER,
        paused=schemas.Schema(type="boolean"),
        amount=schemas.Schema(type="string", format="quantity"),
        ports=schemas.Schema(
            type="array",
            items=PORT,
            list_type="map",
            list_keys=("port", "protocol"),
            key_defaults={"protocol": "TCP"},
        ),
        tags=schemas.Schema(type="array", items=STRING, list_type="set"),
        args=schemas.Schema(type="array", items=STRING),
        selector=schemas.Schema(type="object", values=STRING, map_type="atomic"),
        template=struct(labels=STRINGS, image=STRING),
        hooks=schemas.Schema(
            type="array", items=struct(name=STRING, url=STRING), patch_strategy=("merge",),
            patch_merge_key="name",
        ),
        raw=schemas.Schema(preserve_unknown=True),
        extension=schemas.Schema(type="object", name="RawExtension"),
    ),
    status=struct(phase=STRING),
)  # fmt: skip
STATUS_RESET = resets.of("", "Thing", "", custom=True, has_status=True)


def thing(meta=None, **parts):
    return {"apiVersion": "v1", "kind": "Thing", "metadata": {"name": "a"} | (meta or {})} | parts


def applied(live, config, manager="m1", now=T1, schema=SCHEMA, **options):
    arguments = {"subresource": "", "force": False, "api_version": "v1"} | options
    before = copy.deepcopy((live, config))
    result = apply.apply(live, config, schema=schema, manager=manager, now=now, **arguments)
    assert (live, config) == before, "an argument was modified"
    return result


def owners(obj):
    return {
        (entry["manager"], entry["operation"]): entry["fieldsV1"]
        for entry in obj["metadata"].get("managedFields", [])
    }


def stored(obj, **meta):
    return obj | {"metadata": obj["metadata"] | {"uid": "u"} | meta}


def conflict(live, config, manager="m2", **options):
    with pytest.raises(statuses.ConflictError) as caught:
        applied(live, config, manager, **options)
    return caught.value


# ---------------------------------------------------------------------- claims


@pytest.mark.parametrize(
    ("parts", "fields"),
    [
        ({"data": {"a": "1"}}, {"f:data": {"f:a": {}}}),
        ({"data": {}}, {"f:data": {}}),
        ({"data": None}, {"f:data": {}}),
        ({"data": {"a": None}}, {"f:data": {"f:a": {}}}),
        ({"spec": {"replicas": None}}, {"f:spec": {"f:replicas": {}}}),
        ({"spec": {"tags": []}}, None),
        ({"spec": {"args": []}}, {"f:spec": {"f:args": {}}}),
        ({"spec": {"args": ["x"]}}, {"f:spec": {"f:args": {}}}),
        ({"spec": {"selector": {"a": "b"}}}, {"f:spec": {"f:selector": {}}}),
        ({"spec": {"tags": ["b", "a"]}}, {"f:spec": {"f:tags": {'v:"b"': {}, 'v:"a"': {}}}}),
        (
            {"spec": {"ports": [{"port": 80}]}},
            {"f:spec": {"f:ports": {
                'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:port": {}}}}},
        ),
        (
            {"spec": {"hooks": [{"name": "h"}]}},
            {"f:spec": {"f:hooks": {'k:{"name":"h"}': {".": {}, "f:name": {}}}}},
        ),
        (
            {"spec": {"raw": {"a": {"b": [1]}, "l": [1], "e": {}}}},
            {"f:spec": {"f:raw": {"f:a": {".": {}, "f:b": {}}, "f:l": {}, "f:e": {}}}},
        ),
        ({"spec": {"extension": {"a": {"b": 1}}}}, {"f:spec": {"f:extension": {}}}),
        ({"spec": {"template": {"labels": {"x": "y"}}}},
         {"f:spec": {"f:template": {"f:labels": {"f:x": {}}}}}),
        (
            {"metadata": {"name": "a", "namespace": "n", "uid": "u", "labels": {"x": "y"},
                          "finalizers": ["f"], "ownerReferences": [{"uid": "o", "name": "p"}]}},
            {"f:metadata": {"f:labels": {"f:x": {}}, "f:finalizers": {'v:"f"': {}},
                            "f:ownerReferences": {'k:{"uid":"o"}': {}}}},
        ),
        ({}, None),
    ],
)  # fmt: skip
def test_a_configuration_owns_what_it_sets_as_it_is_sent(parts, fields):
    obj = applied(None, thing() | parts)
    assert owners(obj) == ({("m1", "Apply"): fields} if fields else {})


def test_creation_records_manager_version_time_and_subresource():
    obj = applied(None, thing(data={"a": "1"}), api_version="v1")
    assert obj["metadata"]["managedFields"] == [
        {
            "manager": "m1",
            "operation": "Apply",
            "apiVersion": "v1",
            "time": T1,
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:data": {"f:a": {}}},
        }
    ]
    assert obj["data"] == {"a": "1"}


# ---------------------------------------------------------------------- merging


def test_live_fields_that_are_not_mentioned_stay():
    live = stored(thing(data={"a": "1"}, spec={"replicas": 1}))
    result = applied(live, thing(data={"b": "2"}))
    assert result["data"] == {"a": "1", "b": "2"}
    assert result["spec"] == {"replicas": 1}


def test_what_is_owned_as_a_whole_is_replaced():
    live = stored(thing(spec={"selector": {"a": "b"}, "args": ["x"]}))
    result = applied(live, thing(spec={"selector": {"c": "d"}, "args": ["y"]}), force=True)
    assert result["spec"] == {"selector": {"c": "d"}, "args": ["y"]}


def test_items_merge_by_all_their_keys_and_defaults_count():
    live = stored(thing(spec={"ports": [
        {"port": 53, "protocol": "TCP", "name": "t"}, {"port": 53, "protocol": "UDP", "name": "u"},
    ]}))  # fmt: skip
    result = applied(live, thing(spec={"ports": [{"port": 53, "targetPort": 1}]}))
    assert result["spec"]["ports"] == [
        {"port": 53, "protocol": "TCP", "name": "t", "targetPort": 1},
        {"port": 53, "protocol": "UDP", "name": "u"},
    ]


@pytest.mark.parametrize(
    ("live", "config", "merged"),
    [
        (["a"], ["b"], ["a", "b"]),
        (["a", "b"], ["b", "c"], ["a", "b", "c"]),
        (["a", "b"], ["b", "a"], ["b", "a"]),
        (["b", "a"], ["z", "b", "a"], ["z", "b", "a"]),
        (["z", "b", "a"], ["m", "z"], ["m", "z", "b", "a"]),
        (["a", "b", "c", "d"], ["c", "a"], ["b", "c", "d", "a"]),
        (["a", "a"], ["a"], ["a"]),
        ([], ["a"], ["a"]),
    ],
)
def test_sets_keep_the_configurations_order_and_the_live_neighbourhood(live, config, merged):
    live = stored(thing(spec={"tags": live}))
    result = applied(live, thing(spec={"tags": config}), force=True)
    assert result["spec"]["tags"] == merged


def test_null_claims_a_field_and_clears_only_scalars():
    live = stored(thing(data={"a": "1"}, spec={"replicas": 2, "tags": ["x"], "args": ["y"]}))
    config = thing(data=None, spec={"replicas": None, "tags": None, "args": None})
    result = applied(live, config, force=True)
    assert result["data"] == {"a": "1"}
    assert result["spec"] == {"replicas": None, "tags": ["x"], "args": None}


# ---------------------------------------------------------------------- giving up


def test_what_a_manager_gives_up_is_removed():
    live = stored(applied(None, thing(data={"a": "1", "b": "2"})))
    result = applied(live, thing(data={"a": "1"}), now=T2)
    assert result["data"] == {"a": "1"}
    assert owners(result) == {("m1", "Apply"): {"f:data": {"f:a": {}}}}
    assert result["metadata"]["managedFields"][0]["time"] == T2


def test_the_last_field_given_up_leaves_nothing_behind():
    live = stored(applied(None, thing({"labels": {"x": "y"}}, spec={"replicas": 1})))
    result = applied(live, thing())
    assert "labels" not in result["metadata"]
    assert "spec" not in result
    assert owners(result) == {}


def test_what_others_own_stays_when_given_up():
    live = stored(applied(None, thing(data={"a": "1"})))
    live = stored(applied(live, thing(data={"a": "1"}), "m2", T2))
    result = applied(live, thing(), now=T3)
    assert result["data"] == {"a": "1"}
    assert owners(result) == {("m2", "Apply"): {"f:data": {"f:a": {}}}}


def test_an_item_goes_with_its_defaults_unless_another_owns_a_part_of_it():
    config = thing(spec={"ports": [{"port": 80}]})
    live = stored(applied(None, config))
    live["spec"] = {"ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}]}
    assert "spec" not in applied(live, thing())
    other = thing(spec={"ports": [{"port": 80, "name": "web"}]})
    live = stored(applied(live, other, "m2"))
    ports = applied(live, thing())["spec"]["ports"]
    assert ports[0]["name"] == "web"
    assert ports[0]["port"] == 80


def test_items_that_nobody_owned_stay():
    live = stored(applied(None, thing(spec={"tags": ["a"]})))
    live["spec"] = {"tags": ["a", "foreign"]}
    result = applied(live, thing(spec={"tags": ["b"]}))
    assert result["spec"]["tags"] == ["foreign", "b"]


# ---------------------------------------------------------------------- conflicts


def test_another_value_of_anothers_field_is_a_conflict():
    live = stored(applied(None, thing(data={"a": "1"})))
    error = conflict(live, thing(data={"a": "2"}))
    assert error.message == 'Apply failed with 1 conflict: conflict with "m1": .data.a'
    assert error.causes == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "m1"', "field": ".data.a"}
    ]
    assert error.code == 409


def test_conflicts_are_grouped_by_manager():
    live = stored(applied(None, thing(data={"a": "1", "c": "1"}), "m2"))
    live = stored(applied(live, thing(data={"b": "1"}), "m1"))
    error = conflict(live, thing(data={"a": "2", "b": "2", "c": "2"}), "m3")
    assert error.message == (
        'Apply failed with 3 conflicts: conflicts with "m1":\n- .data.b\n'
        'conflicts with "m2":\n- .data.a\n- .data.c'
    )
    assert [cause["field"] for cause in error.causes] == [".data.b", ".data.a", ".data.c"]


def test_conflicts_with_updaters_name_version_and_subresource():
    live = stored(thing(data={"a": "1"}))
    live["metadata"]["managedFields"] = [
        {"manager": "u", "operation": "Update", "apiVersion": "apps/v1", "time": T1,
         "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {"f:a": {}}}, "subresource": "scale"}
    ]  # fmt: skip
    error = conflict(live, thing(data={"a": "2"}))
    assert error.message == (
        'Apply failed with 1 conflict: conflict with "u" with subresource "scale" using apps/v1: '
        ".data.a"
    )


def test_force_takes_the_field_over():
    live = stored(applied(None, thing(data={"a": "1", "b": "1"})))
    result = applied(live, thing(data={"a": "2"}), "m2", T2, force=True)
    assert result["data"] == {"a": "2", "b": "1"}
    assert owners(result) == {
        ("m1", "Apply"): {"f:data": {"f:b": {}}},
        ("m2", "Apply"): {"f:data": {"f:a": {}}},
    }


def test_the_same_value_is_shared_and_without_a_time_of_its_own():
    live = stored(applied(None, thing(data={"a": "1"})))
    result = applied(live, thing(data={"a": "1"}), "m2", T2)
    shared = {"f:data": {"f:a": {}}}
    assert owners(result) == {("m1", "Apply"): shared, ("m2", "Apply"): shared}
    times = {e["manager"]: e.get("time") for e in result["metadata"]["managedFields"]}
    assert times == {"m1": T1, "m2": None}


def test_applying_again_changes_nothing_not_even_the_time():
    live = stored(applied(None, thing(data={"a": "1"}, spec={"ports": [{"port": 80}]})))
    assert applied(live, thing(data={"a": "1"}, spec={"ports": [{"port": 80}]}), now=T2) == live


def test_another_order_of_items_is_a_change():
    live = stored(applied(None, thing(spec={"tags": ["a", "b"]})))
    result = applied(live, thing(spec={"tags": ["b", "a"]}), now=T2)
    assert result["metadata"]["managedFields"][0]["time"] == T2


def test_quantities_conflict_by_their_text():
    live = stored(applied(None, thing(spec={"amount": "1"})))
    error = conflict(live, thing(spec={"amount": "1000m"}))
    assert ".spec.amount" in error.message


def test_a_boolean_is_another_value_than_a_number():
    live = stored(applied(None, thing(spec={"raw": {"a": 1}})))
    assert ".spec.raw.a" in conflict(live, thing(spec={"raw": {"a": True}})).message


def test_a_value_of_another_kind_conflicts():
    live = stored(applied(None, thing(spec={"raw": {"a": "x"}})))
    assert ".spec.raw.a" in conflict(live, thing(spec={"raw": {"a": {"b": 1}}})).message


# ---------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("parts", "complaint"),
    [
        ({"nope": 1}, ".nope: field not declared in schema"),
        ({"spec": {"nope": {"x": 1}}}, ".spec.nope: field not declared in schema"),
        (
            {"data": {"a": 1}},
            ".data.a: expected string, got &value.valueUnstructured{Value:1}",
        ),
        ({"data": "x"}, ".data: expected map, got &{x}"),
        ({"spec": {"replicas": "3"}}, ".spec.replicas: expected numeric (int or float), got string"),
        ({"spec": {"paused": "x"}}, ".spec.paused: expected boolean, got &{x}"),
        ({"spec": {"tags": {"a": 1}}}, ".spec.tags: expected list, got &{map[a:1]}"),
        ({"spec": {"amount": {"a": 1}}}, ".spec.amount: expected any scalar, got &{map[a:1]}"),
        ({"spec": {"args": [1]}},
         ".spec.args[0]: expected string, got &value.valueUnstructured{Value:1}"),
        ({"spec": {"tags": ["d", "d"]}}, '.spec.tags: duplicate entries for key [="d"]'),
        (
            {"spec": {"ports": [{"port": 1}, {"port": 1, "protocol": "TCP"}]}},
            '.spec.ports: duplicate entries for key [port=1,protocol="TCP"]',
        ),
        (
            {"spec": {"ports": [None]}},
            ".spec.ports: element 0: associative list with keys may not have a null element",
        ),
        (
            {"spec": {"ports": ["x"]}},
            ".spec.ports: element 0: associative list with keys may not have non-map elements",
        ),
        (
            {"spec": {"hooks": [{"url": "x"}]}},
            ".spec.hooks: element 0: associative list with keys has an element that omits all key "
            'fields ["name"] (and doesn\'t have default values for any key fields)',
        ),
        (
            {"spec": {"tags": [None]}},
            ".spec.tags: element 0: associative list without keys has an element that's an "
            "explicit null",
        ),
        (
            {"data": {"a": 1, "b": True}},
            "errors:\n"
            "  .data.a: expected string, got &value.valueUnstructured{Value:1}\n"
            "  .data.b: expected string, got &value.valueUnstructured{Value:true}",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_schema_is_500(parts, complaint):
    with pytest.raises(statuses.InternalError) as caught:
        applied(None, thing({"namespace": "n"}) | parts)
    assert caught.value.message == (
        f"failed to create typed patch object (n/a; /v1, Kind=Thing): {complaint}"
    )
    assert caught.value.reason == ""


@pytest.mark.parametrize("sent", [[], [{"manager": "x"}], None])
def test_managed_fields_must_not_be_sent(sent):
    with pytest.raises(statuses.BadRequestError, match=r"metadata\.managedFields must be nil"):
        applied(None, thing({"managedFields": sent}))


def test_another_version_is_refused():
    with pytest.raises(statuses.BadRequestError, match="invalid object type: /v2, Kind=Thing"):
        applied(None, thing() | {"apiVersion": "v2"})


def test_unreadable_stored_owners_are_an_error():
    live = stored(thing(), managedFields=[{"manager": "x", "operation": "Nope"}])
    with pytest.raises(statuses.InternalError, match="failed to decode managed fields"):
        applied(live, thing())


# ---------------------------------------------------------------------- particular managers


def test_an_object_without_owners_gets_one_for_what_it_had():
    live = stored(thing(data={"a": "1", "b": "1"}))
    result = applied(live, thing(data={"a": "1"}))
    assert owners(result) == {
        ("before-first-apply", "Update"): {"f:data": {".": {}, "f:a": {}, "f:b": {}}},
        ("m1", "Apply"): {"f:data": {"f:a": {}}},
    }


def test_kubectl_takes_over_from_client_side_apply():
    annotation = "kubectl.kubernetes.io/last-applied-configuration"
    last = '{"apiVersion":"v1","kind":"Thing","metadata":{"name":"a"},"data":{"a":"1","b":"1"}}'
    live = stored(thing({"annotations": {annotation: last}}, data={"a": "1", "b": "1"}))
    live["metadata"]["managedFields"] = [
        {"manager": "kubectl-client-side-apply", "operation": "Update", "apiVersion": "v1",
         "time": T1, "fieldsType": "FieldsV1",
         "fieldsV1": {"f:data": {".": {}, "f:a": {}, "f:b": {}}}}
    ]  # fmt: skip
    result = applied(live, thing(data={"a": "2", "b": "1"}), "kubectl", T2)
    assert result["data"] == {"a": "2", "b": "1"}
    assert result["metadata"]["annotations"][annotation] == (
        '{"apiVersion":"v1","data":{"a":"2","b":"1"},"kind":"Thing","metadata":{"name":"a"}}\n'
    )
    assert owners(result)["kubectl-client-side-apply", "Update"] == {"f:data": {".": {}, "f:b": {}}}
    with pytest.raises(statuses.ConflictError):
        applied(live, thing(data={"a": "2"}), "helm")
    drifted = live | {"data": {"a": "9", "b": "1"}}
    with pytest.raises(statuses.ConflictError):
        applied(drifted, thing(data={"a": "2"}), "kubectl")


def test_what_a_write_cannot_set_is_not_owned_by_it():
    obj = applied(None, thing(data={"a": "1"}, status={"phase": "P"}), reset=STATUS_RESET)
    assert owners(obj) == {("m1", "Apply"): {"f:data": {"f:a": {}}}}
    live = stored(obj)
    live["metadata"]["managedFields"].append(
        {"manager": "c", "operation": "Apply", "apiVersion": "v1", "time": T1,
         "fieldsType": "FieldsV1", "fieldsV1": {"f:status": {"f:phase": {}}},
         "subresource": "status"}
    )  # fmt: skip
    config = thing(data={"a": "1"}, status={"phase": "Q"})
    assert ("c", "Apply") in owners(applied(live, config, reset=STATUS_RESET))


def test_through_a_subresource_a_manager_has_an_entry_of_its_own():
    live = stored(applied(None, thing(data={"a": "1"})))
    result = applied(live, thing(status={"phase": "P"}), subresource="status")
    entries = result["metadata"]["managedFields"]
    assert [entry.get("subresource") for entry in entries] == [None, "status"]


def test_without_a_schema_lists_are_atomic_and_mappings_granular():
    untyped = schemas.ANY
    live = stored(applied(None, thing(spec={"a": {"b": [1]}, "l": [{"x": 1}]}), schema=untyped))
    result = applied(live, thing(spec={"a": {"c": 1}}), "m2", schema=untyped)
    assert result["spec"] == {"a": {"b": [1], "c": 1}, "l": [{"x": 1}]}
    assert owners(result)["m2", "Apply"] == {"f:spec": {".": {}, "f:a": {".": {}, "f:c": {}}}}
    error = conflict(live, thing(spec={"l": [{"x": 2}]}), schema=untyped)
    assert error.message.endswith('conflict with "m1": .spec.l')


def test_owners_of_parts_own_the_whole_once_the_schema_says_so():
    granular = struct(spec=struct(m=STRINGS))
    atomic = struct(spec=struct(m=schemas.Schema(type="object", values=STRING, map_type="atomic")))
    live = stored(applied(None, thing(spec={"m": {"a": "1"}}), schema=granular))
    result = applied(live, thing(spec={"m": {"a": "1"}}), "m2", schema=atomic)
    assert owners(result)["m1", "Apply"] == {"f:spec": {"f:m": {}}}


class Renaming:
    """Converts between v1, which says `data`, and v2, which says `values`; v0 is gone."""

    V2 = struct(values=STRINGS)

    def convert(self, obj, api_version):
        if api_version == "v0":
            return None
        if api_version == "v2":
            return {"values": obj.get("data", {}), "metadata": obj["metadata"]}, self.V2
        return obj, SCHEMA


def test_entries_in_other_versions_are_compared_in_those():
    live = stored(thing(data={"a": "1", "b": "1"}))
    live["metadata"]["managedFields"] = [
        {"manager": name, "operation": "Update", "apiVersion": version, "time": T1,
         "fieldsType": "FieldsV1", "fieldsV1": {"f:values": {"f:a": {}, "f:b": {}}}}
        for name, version in (("new", "v2"), ("gone", "v0"))
    ]  # fmt: skip
    error = conflict(live, thing(data={"a": "2"}), versions=Renaming())
    assert error.message.endswith('conflict with "new" using v2: .values.a')
    result = applied(live, thing(data={"a": "2"}), versions=Renaming(), force=True)
    assert owners(result) == {
        ("new", "Update"): {"f:values": {"f:b": {}}},
        ("m1", "Apply"): {"f:data": {"f:a": {}}},
    }


def test_metadata_of_custom_kinds_is_that_of_all_objects():
    assert shapes.root(struct(spec=STRINGS)).fields["metadata"].fields["finalizers"].has_list
