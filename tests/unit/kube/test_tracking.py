"""managedFields after creates, updates and patches."""

import copy

import pytest

from understudy.kube import apply, schemas
from understudy.kube.apply import managers, resets, scales

T0, T1, T2 = "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z", "2026-01-01T00:00:02Z"
STRING = schemas.Schema(type="string")
NUMBER = schemas.Schema(type="integer")
STRINGS = schemas.Schema(type="object", values=STRING)
CONTAINERS = schemas.Schema(
    type="array",
    list_type="map",
    list_keys=("name",),
    items=schemas.Schema(type="object", fields={"name": STRING, "image": STRING}),
)
SPEC = schemas.Schema(
    type="object",
    fields={"replicas": NUMBER, "schedule": STRING, "containers": CONTAINERS, "labels": STRINGS},
    always={"containers": True, "schedule": False},
)
SCHEMA = schemas.Schema(
    type="object",
    fields={
        "apiVersion": STRING,
        "kind": STRING,
        "metadata": schemas.Schema(type="object"),
        "data": STRINGS,
        "spec": SPEC,
        "status": schemas.Schema(type="object", fields={"phase": STRING, "ready": NUMBER},
                                 always={"ready": False}),
        "tags": schemas.Schema(type="array", items=STRING, list_type="set"),
        "raw": schemas.Schema(preserve_unknown=True),
    },
    always={"metadata": False, "spec": False, "status": False},
)  # fmt: skip


def thing(meta=None, **parts):
    return {"metadata": {"name": "a"} | (meta or {})} | parts


def tracked(old, new, manager="u", now=T1, schema=SCHEMA, **options):
    new = copy.deepcopy(new)
    before = copy.deepcopy(old)
    arguments = {"api_version": "v1", "subresource": ""} | options
    apply.track_update(old, new, schema=schema, manager=manager, now=now, **arguments)
    assert old == before, "the old object was modified"
    return new


def stored(obj):
    return obj | {"metadata": obj["metadata"] | {"uid": "u"}}


def owners(obj):
    return {
        (entry["manager"], entry.get("subresource", "")): entry["fieldsV1"]
        for entry in obj["metadata"].get("managedFields", [])
    }


def without_owners(obj):
    meta = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
    return obj | {"metadata": meta}


@pytest.mark.parametrize(
    ("parts", "fields"),
    [
        ({"data": {"a": "1"}}, {"f:data": {".": {}, "f:a": {}}}),
        ({"data": {}}, {"f:data": {}}),
        ({"tags": ["x"]}, {"f:tags": {".": {}, 'v:"x"': {}}}),
        ({"tags": ["x", "x"]}, {"f:tags": {".": {}, 'v:"x"': {}}}),
        ({"spec": {"replicas": 1}}, {"f:spec": {"f:replicas": {}}}),
        ({"spec": {"schedule": "", "containers": None}}, None),
        ({"spec": {"schedule": "x"}}, {"f:spec": {"f:schedule": {}}}),
        ({"spec": {"containers": []}}, {"f:spec": {"f:containers": {}}}),
        (
            {"spec": {"containers": [{"name": "c", "image": "i"}]}},
            {"f:spec": {"f:containers": {
                'k:{"name":"c"}': {".": {}, "f:image": {}, "f:name": {}}}}},
        ),
        ({"status": {"ready": 0}}, None),
        ({"raw": {"a": {"b": 1}, "l": [{}]}},
         {"f:raw": {".": {}, "f:a": {".": {}, "f:b": {}}, "f:l": {}}}),
        ({"metadata": {"name": "a", "labels": {"x": "y"}, "generateName": "g"}},
         {"f:metadata": {"f:generateName": {}, "f:labels": {".": {}, "f:x": {}}}}),
        ({"metadata": {"name": "a", "namespace": "n", "generation": 1, "uid": "u",
                       "creationTimestamp": T0, "resourceVersion": "1", "selfLink": "/"}}, None),
    ],
)  # fmt: skip
def test_a_creator_owns_what_differs_from_the_types_zero_value(parts, fields):
    assert owners(tracked(None, thing() | parts)) == ({("u", ""): fields} if fields else {})


def test_entries_say_who_when_and_how():
    obj = tracked(None, thing(data={"a": "1"}), subresource="status", api_version="apps/v1")
    assert obj["metadata"]["managedFields"] == [
        {
            "manager": "u",
            "operation": "Update",
            "apiVersion": "apps/v1",
            "time": T1,
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:data": {".": {}, "f:a": {}}},
            "subresource": "status",
        }
    ]


def test_writers_without_a_name_are_unknown():
    assert ("unknown", "") in owners(tracked(None, thing(data={"a": "1"}), manager=""))


def test_the_same_updater_keeps_one_entry():
    old = stored(tracked(None, thing(data={"a": "1"}), now=T0))
    new = tracked(old, thing(data={"a": "1", "b": "2"}))
    assert owners(new) == {("u", ""): {"f:data": {".": {}, "f:a": {}, "f:b": {}}}}
    assert new["metadata"]["managedFields"][0]["time"] == T1


def test_who_changes_a_field_owns_it_and_who_removes_one_frees_it():
    old = stored(tracked(None, thing(data={"a": "1", "b": "1", "c": "1"})))
    new = tracked(old, thing(data={"a": "2", "b": "1"}), "v")
    assert owners(new) == {
        ("u", ""): {"f:data": {".": {}, "f:b": {}}},
        ("v", ""): {"f:data": {"f:a": {}}},
    }


def test_entries_that_own_nothing_any_more_go():
    old = stored(tracked(None, thing(data={"a": "1"})))
    assert owners(tracked(old, thing(), "v")) == {}


def test_a_write_that_changes_nothing_changes_no_entry():
    old = stored(tracked(None, thing(data={"a": "1"}), now=T0))
    for sent in (old, without_owners(old)):
        assert (
            tracked(old, sent, "v")["metadata"]["managedFields"]
            == (old["metadata"]["managedFields"])
        )


def test_changed_items_are_told_apart_by_their_keys():
    containers = [{"name": "c", "image": "1"}, {"name": "d", "image": "1"}]
    old = stored(tracked(None, thing(spec={"containers": containers})))
    changed = [{"name": "d", "image": "1"}, {"name": "c", "image": "2"}]
    new = tracked(old, thing(spec={"containers": changed}), "v")
    assert owners(new)["v", ""] == {"f:spec": {"f:containers": {'k:{"name":"c"}': {"f:image": {}}}}}


def test_items_that_claim_one_place_are_owned_as_that_place():
    old = stored(tracked(None, thing(tags=["x"])))
    both = tracked(old, thing(tags=["x", "x"]), "v")
    assert owners(both)["v", ""] == {"f:tags": {'v:"x"': {}}}
    again = tracked(stored(both), thing(tags=["x"]), "w")
    assert owners(again)["w", ""] == {"f:tags": {'v:"x"': {}}}


def test_an_item_without_its_key_leaves_the_object_without_owners():
    old = stored(tracked(None, thing(data={"a": "1"})))
    new = tracked(old, thing(spec={"containers": [{"image": "x"}]}))
    assert owners(new) == {}


def test_a_value_that_turns_into_a_mapping_is_a_change_of_both():
    old = stored(tracked(None, thing(raw={"a": 1})))
    new = tracked(old, thing(raw={"a": {"b": 1}}), "v")
    assert owners(new)["v", ""] == {"f:raw": {"f:a": {".": {}, "f:b": {}}}}


def test_true_is_not_one():
    old = stored(tracked(None, thing(raw={"a": 1})))
    assert owners(tracked(old, thing(raw={"a": True}), "v"))["v", ""] == {"f:raw": {"f:a": {}}}


def test_an_object_that_never_had_owners_stays_without():
    assert owners(tracked(stored(thing(data={"a": "1"})), thing(data={"a": "2"}))) == {}


def test_clients_may_rewrite_the_entries():
    old = stored(tracked(None, thing(data={"a": "1"})))
    entry = old["metadata"]["managedFields"][0] | {"manager": "renamed"}
    new = tracked(old, thing({"managedFields": [entry]}, data={"a": "1"}))
    assert owners(new) == {("renamed", ""): {"f:data": {".": {}, "f:a": {}}}}
    new = tracked(old, thing({"managedFields": [entry]}, data={"a": "1"}), subresource="status")
    assert set(owners(new)) == {("u", "")}


@pytest.mark.parametrize(
    "change",
    [
        {"operation": "Nope"},
        {"apiVersion": ""},
        {"fieldsType": ""},
        {"fieldsType": "FieldsV2"},
        {"fieldsV1": {"nonsense": {}}},
    ],
)
def test_entries_that_cannot_be_read_are_ignored(change):
    old = stored(tracked(None, thing(data={"a": "1"})))
    entry = old["metadata"]["managedFields"][0] | change
    new = tracked(old, thing({"managedFields": [entry]}, data={"a": "1"}))
    assert owners(new) == owners(old)


def test_one_empty_entry_drops_them_all():
    old = stored(tracked(None, thing(data={"a": "1"})))
    assert owners(tracked(old, thing({"managedFields": [{}]}, data={"a": "1"}))) == {}
    assert set(owners(tracked(old, thing({"managedFields": []}, data={"a": "1"})))) == {("u", "")}


def test_entries_sent_with_a_new_object_are_kept():
    entry = {"manager": "x", "operation": "Update", "apiVersion": "v1", "time": T0,
             "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {"f:q": {}}}}  # fmt: skip
    new = tracked(None, thing({"managedFields": [entry]}, data={"a": "1"}))
    assert owners(new) == {
        ("x", ""): {"f:data": {"f:q": {}}},
        ("u", ""): {"f:data": {".": {}, "f:a": {}}},
    }


def test_appliers_lose_what_updaters_change():
    config = {"apiVersion": "v1", "kind": "T", **thing(data={"a": "1", "b": "1"})}
    old = stored(
        apply.apply(None, config, schema=SCHEMA, manager="m", api_version="v1", subresource="",
                    force=False, now=T0)
    )  # fmt: skip
    new = tracked(old, config | {"data": {"a": "2", "b": "1"}}, "edit")
    assert owners(new) == {
        ("m", ""): {"f:data": {"f:b": {}}},
        ("edit", ""): {"f:data": {"f:a": {}}},
    }


def test_what_a_write_cannot_set_does_not_count():
    main = resets.of("", "T", "", custom=False, has_status=True)
    old = stored(tracked(None, thing(data={"a": "1"}, status={"phase": "A"}), reset=main))
    assert owners(old) == {("u", ""): {"f:data": {".": {}, "f:a": {}}}}
    status = resets.of("apps", "Deployment", "status", custom=False, has_status=True)
    sent = thing(
        {"labels": {"x": "y"}}, data={"a": "1"}, spec={"replicas": 2}, status={"phase": "B"}
    )
    new = tracked(old, sent, "c", subresource="status", reset=status)
    assert owners(new)["c", "status"] == {"f:status": {"f:phase": {}}}


@pytest.mark.parametrize(
    ("group", "kind", "subresource", "custom", "ignored"),
    [
        ("", "ConfigMap", "", False, []),
        ("", "Pod", "", False, ["f:status"]),
        ("", "Node", "status", False, ["f:spec"]),
        ("x", "Custom", "status", True, ["f:metadata", "f:spec"]),
        ("certificates.k8s.io", "CertificateSigningRequest", "", False, ["f:spec", "f:status"]),
        ("", "Pod", "resize", False, []),
        ("", "Namespace", "finalize", False, ["f:status"]),
    ],
)
def test_kinds_differ_in_what_their_writes_reset(group, kind, subresource, custom, ignored):
    found = resets.of(group, kind, subresource, custom=custom, has_status=kind != "ConfigMap")
    assert sorted(found.ignored) == ignored


def test_beyond_ten_updaters_the_oldest_become_one():
    obj = stored(tracked(None, thing(data={"k0": "0"}), "u0", T0))
    for n in range(1, 13):
        data = obj["data"] | {f"k{n}": "x"}
        now = f"2026-01-01T00:00:{n:02d}Z"
        obj = stored(tracked(obj, thing(data=data), f"u{n:02d}", now))
    names = [entry["manager"] for entry in obj["metadata"]["managedFields"]]
    assert len(names) == managers.UPDATERS_MAX
    assert "ancient-changes" in names
    assert owners(obj)["ancient-changes", ""] == {
        "f:data": {".": {}, "f:k0": {}, "f:k1": {}, "f:k2": {}, "f:k3": {}}
    }


def test_entries_are_ordered_by_operation_time_manager():
    rows = {
        managers.Identity("b", "Update", "v1"): managers.Entry({"f:a": {}}, "v1", T1),
        managers.Identity("a", "Update", "v1"): managers.Entry({"f:a": {}}, "v1", T2),
        managers.Identity("z", "Apply"): managers.Entry({"f:a": {}}, "v1", T2),
        managers.Identity("c", "Update", "v1", "scale"): managers.Entry({"f:a": {}}, "v1"),
    }
    assert [row["manager"] for row in managers.encode(rows)] == ["z", "c", "b", "a"]


PATH = ("spec", "replicas")


def entry(manager, fields, operation="Update", version="apps/v1", subresource="", time=T0):
    out = {"manager": manager, "operation": operation, "apiVersion": version}
    out |= {"time": time} if time else {}
    out |= {"fieldsType": "FieldsV1", "fieldsV1": fields}
    return out | ({"subresource": subresource} if subresource else {})


REPLICAS = {"f:spec": {"f:replicas": {}}}


def test_a_scale_shows_only_who_owns_the_replicas():
    raw = [
        entry("a", REPLICAS, "Apply"),
        entry("b", {"f:data": {}}),
    ]
    assert scales.to_scale(raw, PATH) == [entry("a", REPLICAS, "Apply", "autoscaling/v1")]


def test_replicas_changed_through_the_scale_go_to_the_scaler():
    raw = [entry("a", REPLICAS | {"f:data": {}}, "Apply"), entry("only", REPLICAS)]
    scale = [entry("s", REPLICAS, "Update", "autoscaling/v1", "scale")]
    assert scales.to_parent(raw, scale, PATH, "apps/v1") == [
        entry("a", {"f:data": {}}, "Apply"),
        entry("s", REPLICAS, subresource="scale", time=""),
    ]


def test_an_applier_keeps_replicas_that_nobody_took():
    raw = [entry("a", REPLICAS, "Apply")]
    scale = scales.to_scale(raw, PATH)
    assert scales.to_parent(raw, scale, PATH, "apps/v1") == raw


def test_an_updaters_entry_is_split_even_when_nothing_was_scaled():
    raw = [entry("a", REPLICAS | {"f:data": {}})]
    scale = scales.to_scale(raw, PATH)
    assert scales.to_parent(raw, scale, PATH, "apps/v1") == [
        entry("a", REPLICAS, time=""),
        entry("a", {"f:data": {}}),
    ]
