"""CustomResourceDefinitions: what may be defined, and what becomes of it."""

import pytest

STRING, INTEGER = {"type": "string"}, {"type": "integer"}


def schema_refusal(refusal, world, make, schema):
    return refusal(world.view.create, make.definitions, make.crd(make.version(schema)))


def test_a_definition_is_established_in_the_step_that_creates_it(world, make):
    answer = world.define(make.version({}))
    assert answer["status"]["conditions"] is None
    assert answer["spec"]["names"] == {
        "plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList",
    }  # fmt: skip
    now = world.view.get(make.definitions, "widgets.g.io")
    assert [(c["type"], c["status"]) for c in now["status"]["conditions"]] == [
        ("NamesAccepted", "True"),
        ("Established", "True"),
    ]
    assert now["status"]["storedVersions"] == ["v1"]
    owners = {entry["manager"]: entry for entry in now["metadata"]["managedFields"]}
    assert owners["kube-apiserver"]["subresource"] == "status"
    assert world.create().created


def test_a_name_that_is_taken_keeps_a_definition_from_being_served(world, make):
    world.define(make.version({}))
    other = make.crd(make.version({}), plural="gadgets", kind="Widget")
    world.view.create(make.definitions, other)
    status = world.view.get(make.definitions, "gadgets.g.io")["status"]
    assert [(c["type"], c["status"], c["reason"]) for c in status["conditions"]] == [
        ("NamesAccepted", "False", "ListKindConflict"),
        ("Established", "False", "NotAccepted"),
    ]
    assert world.view.catalogue.named("gadgets.g.io") is None


def test_a_definition_goes_when_its_last_object_has(world, make):
    world.define(make.version({}))
    world.create("free")
    world.create("held")
    world.patch({"metadata": {"finalizers": ["x.io/hold"]}}, "held")
    world.view.delete(make.definitions, "widgets.g.io")
    left = world.view.get(make.definitions, "widgets.g.io")
    assert left["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
    assert left["status"]["conditions"][-1]["reason"] == "InstanceDeletionInProgress"
    assert [o["metadata"]["name"] for o in world.view.each("widgets.g.io")] == ["held"]
    world.patch({"metadata": {"finalizers": None}}, "held")
    assert world.view.find(make.definitions, "", "widgets.g.io") is None


def test_nothing_is_created_while_its_definition_goes(world, make, refusal):
    world.define(make.version({}))
    world.create()
    world.patch({"metadata": {"finalizers": ["x.io/hold"]}})
    world.view.delete(make.definitions, "widgets.g.io")
    assert refusal(world.create, "late") == (
        'widgets.g.io "late" is forbidden: create not allowed while custom resource definition '
        "is terminating"
    )


def test_sandboxes_define_for_themselves(world, make):
    sandbox = world.view.fork("sandbox")
    sandbox.create(make.definitions, make.crd(make.version({})))
    assert sandbox.catalogue.named("widgets.g.io") is not None
    assert world.view.catalogue.named("widgets.g.io") is None


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"group": "Bad"}, 'spec.group: Invalid value: "Bad": a lowercase RFC 1123 subdomain'),
        ({"scope": "Nowhere"}, 'spec.scope: Unsupported value: "Nowhere": supported values: '
                               '"Cluster", "Namespaced"'),
        ({"scope": None}, "spec.scope: Required value"),
        ({"names": {"plural": "Widgets", "kind": "Widget"}}, "spec.names.plural: Invalid value: "
                                                              '"Widgets": a DNS-1035 label'),
        ({"versions": []}, "spec.versions: Invalid value: []: must have exactly one version"),
        ({"conversion": {"strategy": "Webhook"}},
         "spec.conversion.webhookClientConfig: Required value: required when strategy is set to "
         "Webhook"),
    ],
)  # fmt: skip
def test_a_spec_that_makes_no_sense_is_refused(world, make, refusal, change, cause):
    obj = make.crd(make.version({}))
    obj["spec"].update(change)
    found = refusal(world.view.create, make.definitions, obj)
    assert any(line.startswith(cause) for line in found), found


@pytest.mark.parametrize(
    ("schema", "cause"),
    [
        ({"type": "string"}, "spec.validation.openAPIV3Schema.type: Invalid value: \"string\": "
                             "must be object at the root"),
        ({"properties": {"a": {}}}, "spec.validation.openAPIV3Schema.properties[a].type: Required "
                                    "value: must not be empty for specified object fields"),
        ({"properties": {"a": {"type": "array"}}},
         "spec.validation.openAPIV3Schema.properties[a].items: Required value: must be specified"),
        ({"properties": {"a": STRING | {"uniqueItems": True}}},
         "spec.validation.openAPIV3Schema.properties[a].uniqueItems: Forbidden: uniqueItems cannot "
         "be set to true since the runtime complexity becomes quadratic"),
        ({"properties": {"a": STRING | {"default": 1}}},
         "spec.validation.openAPIV3Schema.properties[a].default: Invalid value: \"integer\":  in "
         "body must be of type string: \"integer\""),
        ({"properties": {"a": {"type": "array", "items": STRING, "x-kubernetes-list-type": "map"}}},
         "spec.validation.openAPIV3Schema.properties[a].items.type: Invalid value: \"string\": must "
         "be object if parent array's x-kubernetes-list-type is map"),
        ({"anyOf": [{"type": "object"}]},
         "spec.validation.openAPIV3Schema.anyOf[0].type: Forbidden: must be empty to be structural"),
        ({"properties": {"a": STRING | {"x-kubernetes-validations": [{"rule": "self.x"}]}}},
         "spec.validation.openAPIV3Schema.properties[a].x-kubernetes-validations[0].rule: "
         "Invalid value:"),
        ({"properties": {"a": STRING | {"x-kubernetes-validations": [{"rule": "1"}]}}},
         "spec.validation.openAPIV3Schema.properties[a].x-kubernetes-validations[0].rule: "
         "Invalid value:"),
        ({"properties": {"a": {"type": "array", "items": {"type": "array", "items": STRING | {
            "x-kubernetes-validations": [{"rule": "self.matches('x')"}]}}}}},
         "spec.validation.openAPIV3Schema.properties[a].items.items.x-kubernetes-validations[0]"
         ".rule: Forbidden: estimated rule cost exceeds budget by factor of more than 100x"),
    ],
)  # fmt: skip
def test_a_schema_must_be_structural_and_its_rules_must_compile(
    world, make, refusal, schema, cause
):
    found = schema_refusal(refusal, world, make, schema)
    assert any(line.startswith(cause) for line in found), found


def embedded(**metadata):
    """Return the schema of an embedded resource with schemas of its metadata."""
    return {
        "type": "object",
        "x-kubernetes-embedded-resource": True,
        "properties": {"metadata": {"type": "object", "properties": metadata}},
    }


@pytest.mark.parametrize(
    ("schema", "field", "text"),
    [
        (embedded(name=STRING | {"default": "no/name"}),
         ".properties[metadata].properties[name].default",
         'Invalid value: "no/name": must result in valid metadata: metadata.name: Invalid value: '
         '"no/name": may not contain \'/\''),
        (embedded(labels={"type": "object", "additionalProperties": STRING,
                          "default": {"a": "no label"}}),
         ".properties[metadata].properties[labels].default",
         'Invalid value: {"a":"no label"}: must result in valid metadata: metadata.labels: Invalid '
         'value: "no label": a valid label must be'),
        (embedded(name=STRING | {"default": "x", "enum": ["y"]}),
         ".properties[metadata].properties[name].default", 'Unsupported value: "x"'),
        ({"type": "object", "properties": {"b": STRING}, "default": {"c": "x"}},
         ".default", 'Invalid value: {"c":"x"}: must not have unknown fields'),
    ],
)  # fmt: skip
def test_a_default_must_be_a_valid_value(world, make, refusal, schema, field, text):
    found = schema_refusal(refusal, world, make, {"properties": {"a": schema}})
    where = f"spec.validation.openAPIV3Schema.properties[a]{field}: {text}"
    assert any(line.startswith(where) for line in found), found


@pytest.mark.parametrize(
    "schema",
    [
        embedded(name=STRING | {"default": "fine"}),
        embedded(
            labels={
                "type": "object", "additionalProperties": STRING, "default": {"a": "b"},
            }
        ),
        embedded(finalizers={"type": "array", "items": STRING, "default": ["g.io/f"]}),
    ],
)  # fmt: skip
def test_a_default_in_an_embedded_resource_s_metadata_may_be(world, make, schema):
    world.define(make.version({"properties": {"a": schema}}))


def test_metadata_of_the_resource_itself_has_no_defaults(world, make, refusal):
    meta = {"type": "object", "properties": {"name": STRING | {"default": "x"}}}
    found = schema_refusal(refusal, world, make, {"properties": {"metadata": meta}})
    assert any("properties[metadata].properties[name].default: Forbidden" in x for x in found)


def test_what_is_established_cannot_be_renamed(world, make, refusal):
    world.define(make.version({}))
    found = refusal(world.change, {"spec": {"scope": "Cluster", "names": {"kind": "Other"}}})
    assert [line.partition(":")[0] for line in found] == ["spec.scope", "spec.names.kind"]


def test_a_stored_version_must_stay(world, make, refusal):
    world.define(make.version({}))
    found = refusal(world.change, {"spec": {"versions": [make.version({}, "v2")]}})
    assert any("v1 was previously a storage version" in line for line in found)


def test_kubernetes_own_groups_need_approval(world, make, refusal):
    obj = make.crd(make.version({}), group="x.k8s.io")
    found = refusal(world.view.create, make.definitions, obj)
    assert found[0].startswith("metadata.annotations[api-approved.kubernetes.io]: Required value")
    obj["metadata"]["annotations"] = {"api-approved.kubernetes.io": "unapproved, a test"}
    world.view.create(make.definitions, obj)
    conditions = world.view.get(make.definitions, "widgets.x.k8s.io")["status"]["conditions"]
    assert conditions[-1]["reason"] == "UnapprovedAnnotation"
