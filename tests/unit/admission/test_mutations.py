"""MutatingAdmissionPolicies of a view: what they make of objects, and how they fail."""

import pytest

from understudy.kapi import views
from understudy.kapi.views import options
from understudy.kube import statuses

GROUP = "admissionregistration.k8s.io"


class World:
    def __init__(self):
        self.view = views.new_view()

    def policy(self, name, *mutations, resources=("configmaps",), binding=None, **spec):
        rule = {
            "apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"],
            "resources": list(resources),
        }  # fmt: skip
        obj = {
            "metadata": {"name": name},
            "spec": {
                "matchConstraints": {"resourceRules": [rule]},
                "reinvocationPolicy": "Never",
                "mutations": list(mutations),
            }
            | spec,
        }
        self.view.create(f"mutatingadmissionpolicies.{GROUP}", obj)
        bound = {"metadata": {"name": f"{name}-b"}, "spec": {"policyName": name} | (binding or {})}
        self.view.create(f"mutatingadmissionpolicybindings.{GROUP}", bound)

    def create(self, name="x", **content):
        return self.view.create("configmaps", {"metadata": {"name": name}} | content, "default")

    def refused(self, **content):
        with pytest.raises(statuses.ApiError) as caught:
            self.create(**content)
        return caught.value


@pytest.fixture
def world():
    return World()


def apply(expression):
    return {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}


def patch(expression):
    return {"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}


LABEL = "Object{metadata: Object.metadata{labels: {'a': 'b'}}}"


# ---------------------------------------------------------------------- changes


def test_a_configuration_is_merged_and_owned_by_nobody(world):
    world.policy("p", apply(LABEL))
    made = world.create(data={"k": "v"}, metadata={"name": "x", "labels": {"own": "1"}}).object()
    assert made["metadata"]["labels"] == {"own": "1", "a": "b"}
    owned = made["metadata"]["managedFields"][0]["fieldsV1"]["f:metadata"]["f:labels"]
    assert owned == {".": {}, "f:own": {}}


def test_expressions_see_the_object_and_may_choose(world):
    chosen = "has(object.data) ? {'size': string(object.data.size())} : {'size': '0'}"
    world.policy("p", apply(f"Object{{metadata: Object.metadata{{annotations: {chosen}}}}}"))
    made = world.create(data={"a": "1", "b": "2"}).object()
    assert made["metadata"]["annotations"] == {"size": "2"}


def test_items_of_a_map_list_are_merged_by_their_key(world):
    env = "Object.spec.containers.env{name: 'MODE', value: 'test'}"
    container = f"Object.spec.containers{{name: 'c', env: [{env}]}}"
    world.policy("p", apply(f"Object{{spec: Object.spec{{containers: [{container}]}}}}"),
                 resources=["pods"])  # fmt: skip
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    made = world.view.create("pods", pod, "default").object()
    (found,) = made["spec"]["containers"]
    assert (found["image"], found["env"]) == ("i", [{"name": "MODE", "value": "test"}])


def test_a_json_patch_is_applied_and_what_is_new_gets_defaults(world):
    sidecar = "Object.spec.containers{name: 's', image: 'proxy'}"
    world.policy(
        "p",
        patch(f"[JSONPatch{{op: 'add', path: '/spec/containers/-', value: {sidecar}}}]"),
        resources=["pods"],
    )
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    made = world.view.create("pods", pod, "default").object()
    assert [c["imagePullPolicy"] for c in made["spec"]["containers"]] == ["Always", "Always"]


def test_keys_are_escaped_and_tests_that_fail_do_nothing(world):
    key = "jsonpatch.escapeKey('g.io/a~b')"
    world.policy(
        "p",
        patch("[JSONPatch{op: 'add', path: '/metadata/labels', value: {'x': 'y'}}]"),
        patch(f"[JSONPatch{{op: 'add', path: '/metadata/labels/' + {key}, value: 'v'}}]"),
        patch("[JSONPatch{op: 'test', path: '/metadata/labels/x', value: 'other'}, "
              "JSONPatch{op: 'remove', path: '/metadata/labels/x'}]"),
    )  # fmt: skip
    error = world.refused()  # `g.io/a~b` is no label
    assert 'Invalid value: "g.io/a~b"' in error.message
    assert world.view.find("configmaps", "default", "x") is None


def test_mutations_and_policies_come_one_after_the_other(world):
    counted = "string(has(object.metadata.labels) ? object.metadata.labels.size() : 0)"
    for name in ("b", "a"):
        label = f"{{'{name}': {counted}}}"
        world.policy(name, apply(f"Object{{metadata: Object.metadata{{labels: {label}}}}}"))
    assert world.create().object()["metadata"]["labels"] == {"a": "0", "b": "1"}


def test_a_policy_that_asks_for_it_looks_again(world):
    counted = "string(has(object.metadata.labels) ? object.metadata.labels.size() : 0)"
    world.policy(
        "a",
        apply(f"Object{{metadata: Object.metadata{{annotations: {{'seen': {counted}}}}}}}"),
        reinvocationPolicy="IfNeeded",
    )
    world.policy("b", apply(LABEL))
    assert world.create().object()["metadata"]["annotations"] == {"seen": "1"}


def test_conditions_variables_and_parameters(world):
    world.view.create(
        "configmaps", {"metadata": {"name": "team"}, "data": {"t": "shop"}}, "default"
    )
    world.policy(
        "p",
        apply("Object{metadata: Object.metadata{labels: {'team': variables.team}}}"),
        paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
        variables=[{"name": "team", "expression": "params.data.t"}],
        matchConditions=[{"name": "c", "expression": "object.metadata.name != 'left-alone'"}],
        binding={"paramRef": {"name": "team", "parameterNotFoundAction": "Deny"}},
    )
    assert world.create().object()["metadata"]["labels"] == {"team": "shop"}
    assert "labels" not in world.create("left-alone").object()["metadata"]


def test_validation_comes_after_mutation_and_a_dry_run_changes_too(world):
    world.policy("p", apply("Object{metadata: Object.metadata{labels: {'bad key': 'b'}}}"))
    assert world.refused().code == 422
    dry = options.WriteOptions(dry_run=True)
    other = World()
    other.policy("p", apply(LABEL))
    made = other.view.create("configmaps", {"metadata": {"name": "x"}}, "default", options=dry)
    assert made.object()["metadata"]["labels"] == {"a": "b"}


def test_sandboxes_have_policies_of_their_own(world):
    fork = world.view.fork("trial")
    world.policy("p", apply(LABEL))
    made = fork.create("configmaps", {"metadata": {"name": "x"}}, "default").object()
    assert "labels" not in made["metadata"]


# ---------------------------------------------------------------------- failures


@pytest.mark.parametrize(
    ("mutation", "resource", "text"),
    [
        (apply("Object{nope: 1}"), "configmaps",
         "error applying patch: failed to convert patch object to typed object: .nope: field not "
         "declared in schema"),
        (apply("Object{spec: Object.spec{selector: Object.spec.selector{matchLabels: {'a': 'b'}}}}"),
         "deployments.apps",
         "error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or "
         "structs: .spec.selector"),
        (apply("Object{metadata: Object.spec{}}"), "configmaps",
         'type mismatch: unexpected type name "Object.spec", expected "Object.metadata", which '
         "matches field name path from root Object type"),
        (apply("Object{metadata: Object.metadata{labels: object.metadata.nope}}"), "configmaps",
         "expression 'Object{metadata: Object.metadata{labels: object.metadata.nope}}' resulted in "
         "error: no such key: nope"),
        (patch("[JSONPatch{op: 'remove', path: '/nope'}]"), "configmaps", "JSON Patch: "),
    ],
)  # fmt: skip
def test_a_mutation_that_fails_refuses(world, mutation, resource, text):
    world.policy("p", mutation, resources=[resource.partition(".")[0]])
    spec = {
        "selector": {"matchLabels": {"a": "b"}},
        "template": {
            "metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "i"}]},
        },
    }
    obj = {"metadata": {"name": "x"}} | ({} if resource == "configmaps" else {"spec": spec})
    with pytest.raises(statuses.ApiError) as caught:
        world.view.create(resource, obj, "default")
    error = caught.value
    assert error.message.startswith(f"policy 'p' with binding 'p-b' denied request: {text}")
    assert (error.code, error.reason) == (403, "Invalid")
    assert error.causes == [{"message": error.message}]
    assert error.details["name"] == "x"


def test_failures_may_be_ignored(world):
    world.policy("p", apply("Object{nope: 1}"), failurePolicy="Ignore")
    world.policy("q", apply(LABEL))
    assert world.create().object()["metadata"]["labels"] == {"a": "b"}


def test_missing_parameters_refuse(world):
    world.policy(
        "p",
        apply(LABEL),
        paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
        binding={"paramRef": {"name": "none", "parameterNotFoundAction": "Deny"}},
    )
    error = world.refused()
    assert (error.code, error.reason) == (403, "Forbidden")
    assert error.message.endswith(
        "failed to configure binding: no params found for policy binding with `Deny` "
        "parameterNotFoundAction"
    )


@pytest.mark.parametrize(
    ("mutation", "cause"),
    [
        (apply("{'a': 1}"),
         "spec.mutations[0].applyConfiguration.expression: Invalid value: \"{'a': 1}\": must "
         "evaluate to Object but got map(string, int)"),
        (patch("[Object{}]"),
         'spec.mutations[0].jsonPatch.expression: Invalid value: "[Object{}]": must evaluate to '
         "list(JSONPatch) but got list(Object)"),
        (patch("[JSONPatch{nope: 1}]"), "undefined field 'nope'"),
        (patch("[JSONPatch{op: 1}]"),
         "expected type of field 'op' is 'string' but provided type is 'int'"),
        (apply("Other{}"), "undeclared reference to 'Other' (in container '')"),
        (apply(" "), "spec.mutations[0].applyConfiguration.expression: Required value"),
        (apply(LABEL) | {"jsonPatch": {"expression": "[]"}},
         'spec.mutations[0].jsonPatch: Invalid value: "{jsonPatch}": must not be specified when '
         "patchType is ApplyConfiguration"),
        ({"patchType": "JSONPatch"},
         "spec.mutations[0].jsonPatch: Required value: must be specified when patchType is "
         "JSONPatch"),
    ],
)  # fmt: skip
def test_a_mutation_must_compile(world, mutation, cause):
    with pytest.raises(statuses.InvalidError) as caught:
        world.policy("p", mutation)
    assert cause in caught.value.message.replace("\\n", "\n"), caught.value.message
