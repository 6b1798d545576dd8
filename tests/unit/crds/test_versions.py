"""Several versions of one resource, and its subresources."""

import pytest

from understudy.kube import statuses

STRING, INTEGER = {"type": "string"}, {"type": "integer"}


def spec(**properties):
    return {"properties": {"spec": {"type": "object", "properties": properties}}}


def test_each_version_has_its_own_schema_and_all_share_the_objects(world, make):
    world.define(
        make.version(spec(a=STRING, old=STRING), "v1alpha1", storage=False),
        make.version(spec(a=STRING, new=STRING | {"default": "n"}), "v1"),
    )
    answer = world.create(version="v1alpha1", spec={"a": "x", "old": "o", "new": "?"})
    assert answer.warnings == ['unknown field "spec.new"']
    assert answer.object()["spec"] == {"a": "x"}
    assert world.get(version="v1")["spec"] == {"a": "x", "new": "n"}
    assert world.get(version="v1alpha1")["apiVersion"] == "g.io/v1alpha1"
    world.patch({"spec": {"a": "y"}}, version="v1alpha1")
    assert world.get(version="v1")["metadata"]["generation"] == 2


def test_a_new_default_shows_in_what_was_stored_before(world, make):
    world.define(make.version(spec(a=STRING)))
    world.create(spec={"a": "x"})
    world.change(
        {"spec": {"versions": [make.version(spec(a=STRING, b=STRING | {"default": "y"}))]}}
    )
    assert world.get()["spec"] == {"a": "x", "b": "y"}
    assert next(iter(world.view.each("widgets.g.io")))["spec"]["b"] == "y"
    assert world.patch({"metadata": {"labels": {"l": "1"}}}).object()["metadata"]["generation"] == 1


def test_a_removed_field_disappears_from_what_was_stored_before(world, make):
    world.define(make.version(spec(a=STRING, b=STRING)))
    world.create(spec={"a": "x", "b": "y"})
    world.change({"spec": {"versions": [make.version(spec(a=STRING))]}})
    assert world.get()["spec"] == {"a": "x"}


def test_versions_come_and_go(world, make):
    world.define(make.version({}, "v1"))
    world.change(
        {"spec": {"versions": [make.version({}, "v1", storage=False), make.version({}, "v2")]}}
    )
    assert world.view.get(make.definitions, "widgets.g.io")["status"]["storedVersions"] == [
        "v1",
        "v2",
    ]
    assert world.create("two", version="v2").created
    assert world.get("two", "v1")["apiVersion"] == "g.io/v1"
    assert world.view.catalogue.named("widgets.g.io").version == "v2"


def test_a_deprecated_version_says_so(world, make):
    world.define(
        make.version({}, "v1alpha1", storage=False, deprecated=True),
        make.version({}, "v1beta1", storage=False, deprecated=True, deprecationWarning="go away"),
        make.version({}, "v1"),
    )
    said = {r.version: r.deprecation for r in world.view.catalogue.resources if r.custom}
    assert said == {
        "v1": "", "v1beta1": "go away", "v1alpha1": "g.io/v1alpha1 Widget is deprecated",
    }  # fmt: skip


@pytest.fixture
def scaled(world, make):
    schema = {
        "properties": {
            "spec": {"type": "object", "properties": {"replicas": INTEGER, "a": STRING}},
            "status": {
                "type": "object",
                "properties": {"replicas": INTEGER, "selector": STRING, "phase": STRING},
            },
        }
    }
    scale = {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }
    world.define(make.version(schema, subresources={"status": {}, "scale": scale}))
    return world


def test_status_and_the_rest_are_written_apart(scaled):
    created = scaled.create(spec={"a": "x"}, status={"phase": "no"}).object()
    assert "status" not in created
    changed = scaled.patch(
        {"spec": {"a": "no"}, "status": {"phase": "Up"}, "metadata": {"labels": {"l": "no"}}},
        subresource="status",
    ).object()
    assert (changed["spec"], changed["status"]) == ({"a": "x"}, {"phase": "Up"})
    assert "labels" not in changed["metadata"]
    assert changed["metadata"]["generation"] == 1
    again = scaled.patch({"spec": {"a": "y"}, "status": {"phase": "no"}}).object()
    assert (again["spec"], again["status"]) == ({"a": "y"}, {"phase": "Up"})
    assert again["metadata"]["generation"] == 2


def test_status_is_validated_when_it_is_written(scaled, refusal):
    scaled.create(spec={"a": "x"})
    assert refusal(scaled.patch, {"status": {"phase": 1}}, subresource="status") == [
        'status.phase: Invalid value: "integer": phase in body must be of type string: "integer"'
    ]


def test_scale_reads_and_writes_the_replicas_of_its_paths(scaled):
    scaled.create(spec={"replicas": 2})
    scaled.patch({"status": {"replicas": 1, "selector": "app=x"}}, subresource="status")
    scale = scaled.view.get("widgets.g.io", "w", "default", subresource="scale")
    assert (scale["spec"], scale["status"]) == (
        {"replicas": 2},
        {"replicas": 1, "selector": "app=x"},
    )
    scaled.view.update("widgets.g.io", scale | {"spec": {"replicas": 5}}, "default",
                       name="w", subresource="scale")  # fmt: skip
    assert scaled.get()["spec"]["replicas"] == 5
    assert scaled.get()["status"]["replicas"] == 1


def test_scale_is_refused_in_the_words_of_the_object(scaled, refusal):
    scaled.create(spec={"replicas": 2})
    assert refusal(scaled.patch, {"spec": {"replicas": -1}}, subresource="scale") == [
        ".spec.replicas: Invalid value: -1: should be a non-negative integer"
    ]


def test_scale_needs_replicas_to_show(scaled):
    scaled.create(spec={"a": "x"})
    with pytest.raises(statuses.InternalError) as caught:
        scaled.view.get("widgets.g.io", "w", "default", subresource="scale")
    assert 'the spec replicas field ".spec.replicas" does not exist' in caught.value.message


def test_objects_are_selected_by_the_fields_that_the_definition_names(world, make):
    world.define(
        make.version(
            spec(color=STRING, size=INTEGER),
            selectableFields=[{"jsonPath": ".spec.color"}, {"jsonPath": ".spec.size"}],
        )
    )
    for name, color, size in (("a", "red", 1), ("b", "red", 2), ("c", "blue", 2)):
        world.create(name, spec={"color": color, "size": size})
    page = world.view.list("widgets.g.io", "default", field_selector="spec.color=red,spec.size!=1")
    assert [entry.name for entry in page.entries] == ["b"]
    with pytest.raises(statuses.BadRequestError) as caught:
        world.view.list("widgets.g.io", "default", field_selector="spec.weight=1")
    assert "field label not supported" in caught.value.message
