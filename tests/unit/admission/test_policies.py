"""ValidatingAdmissionPolicies of a view: what they refuse, warn of and let pass."""

import pytest

from understudy.kapi import views
from understudy.kapi.admission import chains
from understudy.kapi.views import options
from understudy.kube import statuses
from understudy.kube.cel import authorizing

GROUP = "admissionregistration.k8s.io"
EVERYTHING = {
    "apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*"],
}  # fmt: skip


class World:
    def __init__(self, chain=None):
        self.view = views.new_view(chain=chain)

    def policy(self, name="p", *, rules=None, actions=("Deny",), binding=None, **spec):
        constraints = {"resourceRules": [EVERYTHING | (rules or {"resources": ["configmaps"]})]}
        obj = {"metadata": {"name": name}, "spec": {"matchConstraints": constraints} | spec}
        self.view.create(f"validatingadmissionpolicies.{GROUP}", obj)
        bound = {"policyName": name, "validationActions": list(actions)} | (binding or {})
        self.view.create(
            f"validatingadmissionpolicybindings.{GROUP}",
            {"metadata": {"name": f"{name}-b"}, "spec": bound},
        )

    def create(self, name="x", namespace="default", **content):
        obj = {"metadata": {"name": name}} | content
        return self.view.create("configmaps", obj, namespace)

    def refused(self, *args, **content):
        with pytest.raises(statuses.ApiError) as caught:
            self.create(*args, **content)
        return caught.value


@pytest.fixture
def world():
    return World()


def said(error):
    return error.message.partition("denied request: ")[2]


def test_a_write_that_does_not_meet_an_expression_is_refused(world):
    world.policy(validations=[{"expression": "object.data.a == '1'", "message": "a must be 1"}])
    assert world.create("good", data={"a": "1"}).created
    error = world.refused("bad", data={"a": "2"})
    text = "ValidatingAdmissionPolicy 'p' with binding 'p-b' denied request: a must be 1"
    assert (error.code, error.reason) == (422, "Invalid")
    assert error.message == f'configmaps "bad" is forbidden: {text}'
    assert error.details == {"kind": "configmaps", "name": "bad", "causes": [{"message": text}]}


@pytest.mark.parametrize(
    ("validation", "code", "text"),
    [
        ({"reason": "Forbidden"}, 403, "failed expression: 1 == 2"),
        ({"reason": "RequestEntityTooLarge", "message": "m"}, 413, "m"),
        ({"messageExpression": "'no ' + request.name", "message": "m"}, 422, "no x"),
        ({"messageExpression": "string(object.nope)", "message": "m"}, 422, "m"),
        ({"messageExpression": "'two\\nlines'", "message": "m"}, 422, "m"),
    ],
)
def test_reason_and_message_are_the_policy_s(world, validation, code, text):
    world.policy(validations=[{"expression": "1 == 2"} | validation])
    error = world.refused()
    assert (error.code, said(error)) == (code, text)


def test_a_binding_may_warn_instead(world):
    world.policy(actions=("Warn", "Audit"), validations=[{"expression": "false", "message": "m"}])
    assert world.create().warnings == [
        "Validation failed for ValidatingAdmissionPolicy 'p' with binding 'p-b': m"
    ]


def test_a_policy_without_a_binding_does_nothing(world):
    world.policy(validations=[{"expression": "false"}])
    world.view.delete(f"validatingadmissionpolicybindings.{GROUP}", "p-b")
    assert world.create().created


@pytest.mark.parametrize(
    ("rules", "binding", "denied"),
    [
        ({"operations": ["UPDATE"], "resources": ["configmaps"]}, {}, False),
        ({"apiGroups": ["apps"], "resources": ["configmaps"]}, {}, False),
        ({"resources": ["*"], "scope": "Cluster"}, {}, False),
        ({"resources": ["configmaps"], "resourceNames": ["other"]}, {}, False),
        ({"resources": ["configmaps/status"]}, {}, False),
        ({"resources": ["*"], "scope": "Namespaced"}, {}, True),
        ({}, {"matchResources": {"objectSelector": {"matchLabels": {"a": "b"}}}}, True),
        ({}, {"matchResources": {"objectSelector": {"matchLabels": {"a": "c"}}}}, False),
        ({}, {"matchResources": {"namespaceSelector": {
            "matchLabels": {"kubernetes.io/metadata.name": "default"}}}}, True),
        ({}, {"matchResources": {"namespaceSelector": {"matchLabels": {"no": "no"}}}}, False),
        ({}, {"matchResources": {"excludeResourceRules": [
            EVERYTHING | {"resources": ["configmaps"]}]}}, False),
    ],
)  # fmt: skip
def test_rules_and_selectors_choose_the_requests(world, rules, binding, denied):
    world.policy(rules=rules or None, binding=binding, validations=[{"expression": "false"}])
    if denied:
        world.refused(metadata={"name": "x", "labels": {"a": "b"}})
    else:
        assert world.create(metadata={"name": "x", "labels": {"a": "b"}}).created


def test_expressions_see_old_object_request_and_namespace(world):
    world.policy(
        rules={"operations": ["UPDATE", "DELETE"], "resources": ["configmaps"]},
        validations=[
            {"expression": "request.operation != 'UPDATE' || object.data.n >= oldObject.data.n"},
            {"expression": "request.operation != 'DELETE' || object == null"},
            {"expression": "namespaceObject.metadata.name == request.namespace"},
            {"expression": "request.userInfo.username == 'system:admin' && !request.dryRun"},
        ],
    )
    world.create(data={"n": "2"})
    merge = "application/merge-patch+json"
    world.view.patch("configmaps", "x", {"data": {"n": "3"}}, "default", patch_type=merge)
    with pytest.raises(statuses.ApiError) as caught:
        world.view.patch("configmaps", "x", {"data": {"n": "1"}}, "default", patch_type=merge)
    assert said(caught.value).startswith("failed expression: request.operation != 'UPDATE'")
    world.view.delete("configmaps", "x", "default")


def test_variables_are_evaluated_when_asked_for(world):
    world.policy(
        variables=[
            {"name": "n", "expression": "size(object.data)"},
            {"name": "boom", "expression": "object.nope"},
            {"name": "twice", "expression": "variables.n * 2"},
        ],
        validations=[{"expression": "variables.twice < 3 || variables.boom == 1"}],
    )
    assert world.create("one", data={"a": "1"}).created
    assert said(world.refused(data={"a": "1", "b": "2"})) == (
        "expression 'variables.twice < 3 || variables.boom == 1' resulted in error: composited "
        'variable "boom" fails to evaluate: no such key: nope'
    )


def test_match_conditions_come_first_and_a_false_one_ends_it(world):
    world.policy(
        matchConditions=[
            {"name": "broken", "expression": "object.nope == 1"},
            {"name": "only-x", "expression": "request.name == 'x'"},
        ],
        validations=[{"expression": "false"}],
    )
    assert world.create("y").created
    assert said(world.refused()) == (
        "expression 'object.nope == 1' resulted in error: no such key: nope"
    )


def test_a_failure_policy_of_ignore_forgives_errors_but_not_refusals(world):
    world.policy(
        failurePolicy="Ignore",
        validations=[
            {"expression": "object.nope == 1"},
            {"expression": "false", "message": "m"},
        ],
    )
    assert said(world.refused()) == "m"


def test_parameters_are_chosen_by_name_or_selector(world):
    world.create("limits", data={"max": "1"}, metadata={"name": "limits", "labels": {"l": "1"}})
    world.policy(
        rules={"operations": ["CREATE"], "resources": ["configmaps"]},
        paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
        binding={
            "paramRef": {
                "selector": {"matchLabels": {"l": "1"}},
                "parameterNotFoundAction": "Deny",
            }
        },
        validations=[{"expression": "size(object.data) <= int(params.data.max)"}],
    )
    assert world.create("one", data={"a": "1"}).created
    world.refused(data={"a": "1", "b": "2"})
    world.view.delete("configmaps", "limits", "default")
    assert said(world.refused(data={})) == (
        "failed to configure binding: no params found for policy binding with `Deny` "
        "parameterNotFoundAction"
    )


def test_a_parameter_kind_that_is_not_served_refuses_everything(world):
    world.policy(
        paramKind={"apiVersion": "g.io/v1", "kind": "Limit"},
        validations=[{"expression": "true"}],
    )
    assert world.refused().message.endswith(
        "ValidatingAdmissionPolicy 'p' denied request: failed to configure policy: failed to find "
        "resource referenced by paramKind: 'g.io/v1, Kind=Limit'"
    )


def test_a_request_in_another_version_is_shown_in_the_version_of_the_rule(world):
    world.policy(
        rules={
            "apiGroups": ["events.k8s.io"], "apiVersions": ["v1"], "resources": ["events"],
        },
        validations=[{"expression": "object.apiVersion == 'events.k8s.io/v1' && has(object.note)"},
                     {"expression": "request.requestResource.group == ''"},
                     {"expression": "false", "message": "seen"}],
    )  # fmt: skip
    event = {
        "metadata": {"name": "e"},
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"},
        "message": "m",
    }
    with pytest.raises(statuses.ApiError) as caught:
        world.view.create("events", event, "default")
    assert said(caught.value) == "seen"


def test_policies_never_judge_policies(world):
    world.policy(rules={"resources": ["*"]}, validations=[{"expression": "false"}])
    world.policy("other", validations=[{"expression": "true"}])


def test_an_authorizer_answers_for_the_user_or_a_service_account():
    asked = []

    def authorize(reader, user, question):
        asked.append((user.username, question))
        return authorizing.Decision(allowed=question.resource == "secrets")

    world = World(chains.default_chain(authorize=authorize))
    world.policy(
        validations=[
            {"expression": "authorizer.group('').resource('secrets').check('get').allowed()"},
            {"expression": "authorizer.requestResource.check('break').allowed()"},
        ]
    )
    world.refused()
    assert asked == [
        ("system:admin", authorizing.Question(resource="secrets", verb="get")),
        (
            "system:admin",
            authorizing.Question(
                resource="configmaps", verb="break", namespace="default", name="x"
            ),
        ),
    ]


def test_a_sandbox_tries_a_policy_without_its_base_noticing(world):
    sandbox = World()
    sandbox.view = world.view.fork("sandbox")
    sandbox.policy(validations=[{"expression": "false"}])
    sandbox.refused()
    assert world.create().created


def test_a_dry_run_is_judged_like_a_write(world):
    world.policy(validations=[{"expression": "!request.dryRun"}])
    with pytest.raises(statuses.ApiError):
        world.view.create(
            "configmaps",
            {"metadata": {"name": "x"}},
            "default",
            options=options.WriteOptions(dry_run=True),
        )


@pytest.mark.parametrize(
    ("spec", "cause"),
    [
        ({"validations": [{"expression": "object.x ="}]},
         "spec.validations[0].expression: Invalid value: \"object.x =\": compilation failed: "
         "ERROR: <input>:1:10: Syntax error: token recognition error at: '='"),
        ({"validations": [{"expression": "1"}]},
         'spec.validations[0].expression: Invalid value: "1": must evaluate to bool but got int'),
        ({"validations": [{"expression": "true", "messageExpression": "1"}]},
         'spec.validations[0].messageExpression: Invalid value: "1": must evaluate to string but '
         "got int"),
        ({"validations": [{"expression": "variables.x"}]},
         "spec.validations[0].expression: Invalid value:"),
        ({"variables": [{"name": "for", "expression": "1"}],
          "validations": [{"expression": "true"}]},
         'spec.variables[0].name: Invalid value: "for": must be a valid CEL identifier'),
        ({"matchConditions": [{"name": "c", "expression": "'x'"}],
          "validations": [{"expression": "true"}]},
         "spec.matchConditions[0].expression: Invalid value: \"'x'\": must evaluate to bool but got "
         "string"),
        ({"auditAnnotations": [{"key": "k", "valueExpression": "1"}]},
         'spec.auditAnnotations[0].valueExpression: Invalid value: "1": must evaluate to one of '
         "[string null_type] but got int"),
    ],
)  # fmt: skip
def test_a_policy_whose_expressions_do_not_compile_is_not_made(world, spec, cause):
    with pytest.raises(statuses.InvalidError) as caught:
        world.policy(**spec)
    found = [f"{c['field']}: {c['message']}" for c in caught.value.causes]
    assert any(line.startswith(cause) for line in found), found
