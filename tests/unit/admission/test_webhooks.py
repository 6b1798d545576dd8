"""Admission webhooks of a view: who is asked what, in which order, and what becomes of the answers."""

import base64

import orjson
import pytest

from understudy.client.views import ViewClient
from understudy.kapi import views
from understudy.kapi.resources import calls
from understudy.kube import statuses

RULE = {
    "apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["configmaps"],
}  # fmt: skip


class World:
    """A view, and the webhooks it calls: `hooks[url]` takes a request and returns a response."""

    def __init__(self):
        self.view = views.new_view()
        self.view.caller = self.call
        self.client = ViewClient(self.view)
        self.hooks = {}
        self.asked = []

    async def call(self, wanted):
        return [self.answer(call) for call in wanted]

    def answer(self, call):
        request = call.review["request"]
        self.asked.append((call.target.url.rpartition("/")[2], request))
        response = self.hooks[call.target.url.rpartition("/")[2]](request)
        if isinstance(response, calls.Answer):
            return response
        if isinstance(response, str):
            return calls.Answer(failure=response)
        response = {"uid": request["uid"], "allowed": True} | response
        return calls.Answer(value={**call.review, "request": None, "response": response})

    def configure(self, kind, name, *hooks):
        configured = [
            {
                "name": f"{hook.pop('name', name)}.example.com",
                "clientConfig": {"url": f"https://hooks.example.com/{hook.pop('at', name)}"},
                "rules": [RULE | hook.pop("rule", {})],
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
            }
            | hook
            for hook in hooks or ({},)
        ]
        obj = {"metadata": {"name": name}, "webhooks": configured}
        self.view.create(f"{kind}webhookconfigurations.admissionregistration.k8s.io", obj)

    def mutating(self, name, *hooks):
        self.configure("mutating", name, *hooks)

    def validating(self, name, *hooks):
        self.configure("validating", name, *hooks)

    async def create(self, name="x", **content):
        dry_run = content.pop("dry_run", False)
        meta = {"name": name, "namespace": "default"} | content.pop("metadata", {})
        return await self.client.create("configmaps", {"metadata": meta} | content, dry_run=dry_run)

    async def refused(self, **content):
        with pytest.raises(statuses.ApiError) as caught:
            await self.create(**content)
        return caught.value


@pytest.fixture
def world():
    return World()


def patch(*operations):
    text = base64.b64encode(orjson.dumps(operations)).decode()
    return {"patchType": "JSONPatch", "patch": text}


def add(path, value):
    return {"op": "add", "path": path, "value": value}


def allow(request):
    return {}


def labelled(key, value="yes"):
    """A webhook that adds a label; those before it have seen to it that there are some."""
    return lambda request: patch(add(f"/metadata/labels/{key}", value))


# ---------------------------------------------------------------------- asking


async def test_the_request_is_described_as_an_api_server_does(world):
    world.validating("v")
    world.hooks["v"] = allow
    made = await world.create(data={"a": "1"})
    ((_, request),) = world.asked
    assert request["object"]["kind"] == "ConfigMap"
    assert request["object"]["apiVersion"] == "v1"
    assert request["object"]["data"] == {"a": "1"}
    assert request["object"]["metadata"]["uid"] == made["metadata"]["uid"]
    assert request["oldObject"] is None
    assert request["userInfo"] == {
        "username": "system:admin", "groups": ["system:masters", "system:authenticated"],
    }  # fmt: skip
    said = {key: value for key, value in request.items() if not isinstance(value, dict)}
    del said["uid"]
    assert said == {
        "name": "x", "namespace": "default", "operation": "CREATE", "dryRun": False,
        "oldObject": None,
    }  # fmt: skip
    assert request["kind"] == {"group": "", "version": "v1", "kind": "ConfigMap"}
    assert request["resource"] == {"group": "", "version": "v1", "resource": "configmaps"}
    assert request["options"] == {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"}


async def test_updates_and_deletions_show_the_old_object(world):
    await world.create(data={"a": "1"})
    world.validating("v")
    world.hooks["v"] = allow
    await world.client.patch("configmaps", "x", {"data": {"a": "2"}}, namespace="default")
    await world.client.delete("configmaps", "x", namespace="default", uid="")
    (_, update), (_, deletion) = world.asked
    assert (update["object"]["data"], update["oldObject"]["data"]) == ({"a": "2"}, {"a": "1"})
    assert update["operation"] == "UPDATE"
    assert (deletion["object"], deletion["oldObject"]["data"]) == (None, {"a": "2"})
    assert deletion["operation"] == "DELETE"


async def test_an_object_without_a_name_has_none_until_webhooks_have_changed_it(world):
    world.mutating("m")
    world.validating("v")
    world.hooks |= {"m": allow, "v": allow}
    made = await world.create(metadata={"name": None, "generateName": "web-"})
    (_, first), (_, second) = world.asked
    assert "name" not in first
    assert "uid" not in first["object"]["metadata"]
    assert not first["object"]["metadata"].get("name")
    assert "name" not in second
    for key in ("name", "uid", "creationTimestamp"):
        assert second["object"]["metadata"][key] == made["metadata"][key]


async def test_only_those_concerned_are_asked(world):
    labels = {"objectSelector": {"matchLabels": {"ask": "yes"}}}
    conditions = {"matchConditions": [{"name": "c", "expression": "object.data.a == '1'"}]}
    world.validating("by-label", labels)
    world.validating("by-condition", conditions)
    world.validating("of-pods", {"rule": {"resources": ["pods"]}})
    world.validating("of-updates", {"rule": {"operations": ["UPDATE"]}})
    world.validating("elsewhere", {"namespaceSelector": {"matchLabels": {"no": "where"}}})
    world.hooks |= {"by-label": allow, "by-condition": allow}
    await world.create(data={"a": "2"})
    assert world.asked == []
    await world.create("y", data={"a": "1"}, metadata={"labels": {"ask": "yes"}})
    assert [name for name, _ in world.asked] == ["by-condition", "by-label"]


async def test_a_condition_that_fails_is_a_refusal_unless_failures_are_ignored(world):
    conditions = [{"name": "c", "expression": "object.data.nope == '1'"}]
    world.validating("v", {"matchConditions": conditions, "failurePolicy": "Ignore"})
    await world.create(data={})
    world.validating("w", {"matchConditions": conditions})
    error = await world.refused(name="y", data={"a": "1"})
    assert error.code == 403
    assert error.message.startswith('configmaps "y" is forbidden: expression \'object.data.nope')


async def test_configurations_themselves_are_nobody_s_business(world):
    world.validating("v", {"rule": {"resources": ["*"]}})
    world.validating("w")
    await world.client.delete("validatingwebhookconfigurations.admissionregistration.k8s.io", "v")
    assert world.asked == []


async def test_verbs_that_do_not_wait_and_forks_call_nobody(world):
    world.validating("v")
    world.view.create("configmaps", {"metadata": {"name": "x"}}, "default")
    fork = ViewClient(world.view.fork("trial"))
    await fork.create("configmaps", {"metadata": {"name": "y", "namespace": "default"}})
    assert world.asked == []


# ---------------------------------------------------------------------- changing


async def test_each_sees_what_those_before_it_made_of_the_object(world):
    world.mutating("b", {"at": "second"}, {"name": "c", "at": "third"})
    world.mutating("a", {"at": "first"})
    world.validating("v")
    world.hooks |= {
        "first": lambda request: patch(add("/metadata/labels", {"one": "yes"})),
        "second": labelled("two"),
        "third": labelled("three"),
        "v": allow,
    }
    made = await world.create()
    seen = [list(request["object"]["metadata"].get("labels", ())) for _, request in world.asked]
    assert [name for name, _ in world.asked] == ["first", "second", "third", "v"]
    assert seen == [[], ["one"], ["one", "two"], ["one", "two", "three"]]
    assert list(made["metadata"]["labels"]) == ["one", "two", "three"]


async def test_defaults_come_to_what_a_webhook_adds(world):
    world.mutating("m", {"rule": {"resources": ["pods"]}})
    container = {"name": "sidecar", "image": "proxy"}
    world.hooks["m"] = lambda request: patch(add("/spec/containers/-", container))
    pod = {
        "metadata": {"name": "p", "namespace": "default"},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }
    made = await world.client.create("pods", pod)
    sidecar = made["spec"]["containers"][1]
    assert (sidecar["name"], sidecar["imagePullPolicy"]) == ("sidecar", "Always")


async def test_those_who_ask_for_it_look_again_after_others_have_changed_the_object(world):
    world.mutating("a", {"reinvocationPolicy": "IfNeeded"})
    world.mutating("b")
    rounds = []

    def first(request):
        rounds.append(request["object"].get("data"))
        return {}

    world.hooks |= {"a": first, "b": lambda request: patch(add("/data", {"b": "1"}))}
    await world.create()
    assert rounds == [None, {"b": "1"}]
    assert [name for name, _ in world.asked] == ["a", "b", "a"]


async def test_a_webhook_may_not_change_who_owns_fields(world):
    world.mutating("m")
    world.hooks["m"] = lambda request: patch({"op": "remove", "path": "/metadata/managedFields"})
    made = await world.create(data={"a": "1"})
    assert made["metadata"]["managedFields"][0]["fieldsV1"]["f:data"] == {".": {}, "f:a": {}}


@pytest.mark.parametrize(
    ("path", "code", "text"),
    [
        ("/metadata/namespace", 400, "the namespace of the provided object does not match"),
        ("/metadata/labels", 422, 'metadata.labels: Invalid value: "no way"'),
    ],
)
async def test_what_a_webhook_makes_must_be_valid_too(world, path, code, text):
    world.mutating("m")
    value = {"a": "no way"} if path.endswith("labels") else "kube-system"
    world.hooks["m"] = lambda request: patch(add(path, value))
    error = await world.refused()
    assert error.code == code
    assert text in error.message


async def test_a_webhook_cannot_rename_what_is_there(world):
    await world.create(data={"a": "1"})
    world.mutating("m")
    world.hooks["m"] = lambda request: patch(add("/metadata/name", "other"))
    with pytest.raises(statuses.InvalidError, match=r"metadata.name.*field is immutable"):
        await world.client.patch("configmaps", "x", {"data": {"a": "2"}}, namespace="default")


async def test_a_webhook_may_take_all_labels_away(world):
    world.mutating("m")
    world.hooks["m"] = lambda request: patch({"op": "remove", "path": "/metadata/labels"})
    made = await world.create(metadata={"labels": {"a": "b"}})
    assert "labels" not in made["metadata"]


@pytest.mark.parametrize(
    ("response", "text"),
    [
        ({"patch": "W10="}, "webhook returned response.patch but not response.patchType"),
        ({"patchType": "JSONPatch"}, "webhook returned response.patchType but not response.patch"),
        ({"uid": "other"}, 'expected response.uid="{uid}", got "other"'),
    ],
)
async def test_an_answer_that_fits_no_question_is_a_failed_call(world, response, text):
    world.mutating("m")
    world.hooks["m"] = lambda request: response
    error = await world.refused()
    text = text.format(uid=world.asked[0][1]["uid"])
    assert error.message == (
        'Internal error occurred: failed calling webhook "m.example.com": '
        f"received invalid webhook response: {text}"
    )


async def test_a_patch_that_does_not_apply_is_an_error(world):
    world.mutating("m", {"failurePolicy": "Ignore"})
    world.hooks["m"] = lambda request: patch({"op": "remove", "path": "/nope"})
    assert (await world.refused()).reason == "InternalError"


# ---------------------------------------------------------------------- refusing


@pytest.mark.parametrize(
    ("status", "code", "reason", "text"),
    [
        ({"message": "no"}, 400, "", ": no"),
        ({"message": "no", "code": 403, "reason": "Forbidden"}, 403, "Forbidden", ": no"),
        ({"reason": "BecauseISaySo", "code": 200}, 400, "BecauseISaySo", ": BecauseISaySo"),
        (None, 400, "", " without explanation"),
    ],
)
@pytest.mark.parametrize("kind", ["mutating", "validating"])
async def test_a_refusal_is_told_in_the_webhook_s_words(world, kind, status, code, reason, text):
    world.configure(kind, "w")
    world.hooks["w"] = lambda request: {"allowed": False, "status": status}
    error = await world.refused()
    assert error.message == f'admission webhook "w.example.com" denied the request{text}'
    assert (error.code, error.reason) == (code, reason)


@pytest.mark.parametrize("kind", ["mutating", "validating"])
async def test_a_webhook_that_is_not_reached_refuses_unless_failures_are_ignored(world, kind):
    world.configure(kind, "w")
    world.configure(kind, "x", {"failurePolicy": "Ignore"})
    world.hooks |= {"w": lambda request: "no way", "x": lambda request: "no way"}
    error = await world.refused()
    text = 'failed calling webhook "w.example.com": failed to call webhook: no way'
    assert (error.code, error.reason) == (500, "InternalError")
    assert error.message == f"Internal error occurred: {text}"
    assert error.causes == [{"message": text}]
    world.hooks["w"] = allow
    assert await world.create()


async def test_a_webhook_that_cannot_even_be_called_says_so(world):
    world.validating("w")
    world.hooks["w"] = lambda request: calls.Answer(failure="no CA", unsent=True)
    assert (await world.refused()).message.endswith(
        'failed calling webhook "w.example.com": could not get REST client: no CA'
    )


async def test_all_who_may_refuse_are_asked_at_once_and_the_first_counts(world):
    world.validating("a")
    world.validating("b")
    world.hooks |= {
        "a": lambda request: {"allowed": False, "status": {"message": "a says no"}},
        "b": lambda request: {"allowed": False, "status": {"message": "b says no"}},
    }
    error = await world.refused()
    assert error.message.endswith("a says no")
    assert [name for name, _ in world.asked] == ["a", "b"]


async def test_warnings_are_passed_on_with_a_refusal_too(world):
    world.validating("v")
    world.hooks["v"] = lambda request: {"warnings": ["mind this"], "allowed": False}
    assert (await world.refused()).warnings == ("mind this",)


async def test_a_dry_run_is_for_those_without_effects(world):
    world.validating("v", {"sideEffects": "NoneOnDryRun"})
    world.hooks["v"] = allow
    assert await world.create(dry_run=True)
    ((_, request),) = world.asked
    assert request["dryRun"] is True
    assert request["options"]["dryRun"] == ["All"]
    assert world.view.find("configmaps", "default", "x") is None


# ---------------------------------------------------------------------- meanwhile


async def test_what_changed_meanwhile_is_asked_about_anew(world):
    await world.create(data={"n": "1"})
    world.validating("v")

    def meddle(request):
        if len(world.asked) == 1:
            changed = {"data": {"meddled": "yes"}}
            world.view.patch("configmaps", "x", changed, "default")
        return {}

    world.hooks["v"] = meddle
    done = await world.client.patch("configmaps", "x", {"data": {"n": "2"}}, namespace="default")
    assert done["data"] == {"n": "2", "meddled": "yes"}
    assert [request["oldObject"]["data"] for _, request in world.asked] == [
        {"n": "1"}, {"n": "1", "meddled": "yes"},
    ]  # fmt: skip


async def test_a_replacement_of_a_version_that_is_gone_is_a_conflict(world):
    made = await world.create(data={"n": "1"})
    world.validating("v")

    def meddle(request):
        world.view.patch("configmaps", "x", {"data": {"n": "3"}}, "default")
        return {}

    world.hooks["v"] = meddle
    with pytest.raises(statuses.ConflictError):
        await world.client.update("configmaps", made | {"data": {"n": "2"}})


async def test_a_state_that_never_rests_ends_in_a_timeout(world):
    await world.create(data={"n": "0"})
    world.validating("v")

    def meddle(request):
        world.view.patch("configmaps", "x", {"data": {"n": str(len(world.asked))}}, "default")
        return {}

    world.hooks["v"] = meddle
    with pytest.raises(statuses.TimeoutApiError):
        await world.client.patch("configmaps", "x", {"data": {"m": "2"}}, namespace="default")
    assert len(world.asked) == calls.RUNS_MAX - 1


async def test_the_objects_of_a_collection_are_asked_about_one_by_one(world):
    for name in ("a", "b", "c"):
        await world.create(name)
    world.validating("v")
    world.hooks["v"] = allow
    await world.client.delete_collection("configmaps", namespace="default")
    assert [request["name"] for _, request in world.asked] == ["a", "b", "c"]
    assert list(world.view.each("configmaps", "default")) == []


# ---------------------------------------------------------------------- subresources


async def test_a_scale_is_shown_and_changed_as_one(world):
    spec = {
        "replicas": 1,
        "selector": {"matchLabels": {"a": "b"}},
        "template": {
            "metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "i"}]},
        },
    }
    meta = {"name": "d", "namespace": "default"}
    await world.client.create("deployments.apps", {"metadata": meta, "spec": spec})
    world.mutating("m", {"rule": {"resources": ["deployments/scale"]}})
    world.hooks["m"] = lambda request: patch(add("/spec/replicas", 3))
    scaled = await world.client.patch(
        "deployments.apps", "d", {"spec": {"replicas": 9}}, namespace="default", subresource="scale"
    )
    assert scaled["spec"] == {"replicas": 3}
    ((_, request),) = world.asked
    assert request["kind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}
    assert request["resource"] == {"group": "apps", "version": "v1", "resource": "deployments"}
    assert (request["subResource"], request["operation"]) == ("scale", "UPDATE")
    assert (request["object"]["spec"], request["oldObject"]["spec"]) == (
        {"replicas": 9}, {"replicas": 1},
    )  # fmt: skip


async def test_bindings_and_evictions_are_shown_and_what_follows_is_not(world):
    pod = {
        "metadata": {"name": "p", "namespace": "default"},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }
    await world.client.create("pods", pod)
    world.validating("v", {"rule": {"resources": ["pods", "pods/*"]}})
    world.hooks["v"] = allow
    meta = {"name": "p", "namespace": "default"}
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": meta, "target": {"name": "n"}}
    await world.client.create("pods", binding, name="p", subresource="binding")
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": meta}
    await world.client.create("pods", eviction, name="p", subresource="eviction")
    shown = [
        (request["operation"], request["subResource"], request["object"]["kind"], request["name"])
        for _, request in world.asked
    ]
    assert shown == [("CREATE", "binding", "Binding", "p"), ("CREATE", "eviction", "Eviction", "p")]


async def test_a_refused_eviction_costs_the_budget_nothing(world):
    pod = {
        "metadata": {"name": "p", "namespace": "default", "labels": {"a": "b"}},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }
    made = await world.client.create("pods", pod)
    made["status"]["phase"] = "Running"
    await world.client.update("pods", made, subresource="status")
    budget = {
        "metadata": {"name": "b", "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}},
    }
    made = await world.client.create("poddisruptionbudgets.policy", budget)
    made["status"] = {
        "disruptionsAllowed": 1, "observedGeneration": 1, "currentHealthy": 1,
        "desiredHealthy": 0, "expectedPods": 1,
    }  # fmt: skip
    await world.client.update("poddisruptionbudgets.policy", made, subresource="status")
    world.validating("v", {"rule": {"resources": ["pods/eviction"]}})
    world.hooks["v"] = lambda request: {"allowed": False}
    eviction = {
        "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"name": "p", "namespace": "default"},
    }  # fmt: skip
    with pytest.raises(statuses.ApiError, match="denied the request"):
        await world.client.create("pods", eviction, name="p", subresource="eviction")
    kept = await world.client.get("poddisruptionbudgets.policy", "b", namespace="default")
    assert kept["status"]["disruptionsAllowed"] == 1
    world.hooks["v"] = allow
    await world.client.create("pods", eviction, name="p", subresource="eviction")
    kept = await world.client.get("poddisruptionbudgets.policy", "b", namespace="default")
    assert kept["status"]["disruptionsAllowed"] == 0
