"""What is sensitive, how it is shown, and that it can be found in no output."""

from __future__ import annotations

import asyncio
import base64
import copy
import gzip
import random
import string

import hypothesis
import orjson
import pytest
from hypothesis import strategies as st
from tests.unit.delivery import conftest as c

from understudy import assembly
from understudy.aio import ids
from understudy.delivery import deliveries, errors, masking, outcomes, render
from understudy.kapi import views
from understudy.kube import objects

PATHS = "core.understudy.dev/sensitive-paths"


def custom(spec: objects.Object, **annotations: str) -> objects.Object:
    made = c.widget("w")
    made["metadata"]["annotations"] = annotations
    return made | {"spec": spec}


AUTH = {
    "auth": {"password": "p1", "user": "ann"},
    "users": [{"token": "p2", "n": 1}, {"token": "p3", "n": 2}],
}


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("spec.auth.password", ["p1"]),
        ("$.spec.auth.password", ["p1"]),
        ("spec.users[*].token", ["p2", "p3"]),
        ("spec.users.*.token", ["p2", "p3"]),
        ("spec.users[1].token", ["p3"]),
        ("$..token", ["p2", "p3"]),
        ("spec['auth'].password, spec.users[0].token", ["p1", "p2"]),
        ('["spec.auth.password", "spec.users.*.token"]', ["p1", "p2", "p3"]),
        ("spec.auth, spec.auth.password", [{"password": "p1", "user": "ann"}]),
        ("spec.nowhere", []),
    ],
)
@pytest.mark.parametrize("key", masking.SENSITIVE_PATHS)
def test_an_object_may_say_what_of_it_is_sensitive(key: str, text: str, hidden: list) -> None:
    obj = custom(AUTH, **{key: text})
    stripped, values = masking.strip(obj)
    assert values == hidden
    assert obj["spec"] == AUTH, "what was given is not changed"
    filled = orjson.loads(orjson.dumps(stripped, option=orjson.OPT_SORT_KEYS))
    masking.fill(filled, iter(values))
    assert filled == obj
    shown = orjson.dumps(masking.Mask().hide(obj)).decode()
    assert not any(f'"{value}"' in shown for value in hidden if isinstance(value, str))


def test_all_of_an_object_may_be_sensitive() -> None:
    for said in ({"werf.io/sensitive": "true"}, {PATHS: "spec[oops"}):
        hidden = masking.Mask().hide(custom(AUTH, **said))
        assert hidden["spec"] == "<secret #1>"
        assert hidden["metadata"]["name"] == "w"


async def test_a_path_that_is_none_is_told(still: c.Cluster) -> None:
    config = c.config("a")
    config["metadata"]["annotations"] = {PATHS: "data[oops"}
    with pytest.raises(errors.ManifestError, match=r"is 'data\[oops': write paths such as spec"):
        await still.plan(config)


@pytest.mark.parametrize(
    "name",
    [
        "DB_PASSWORD", "apiKey", "api-key", "AUTH_TOKEN", "x.secret", "AWS_ACCESS_KEY_ID", "KEY",
        "tokenFile", "DB_PASS", "authtoken", "SIGNING_KEY", "credentials",
    ],
)  # fmt: skip
def test_values_that_are_called_like_secrets_are_masked(name: str) -> None:
    workload = c.deployment("web", env=[{"name": name, "value": "v"}])
    hidden = masking.Mask().hide(workload)
    env = objects.lookup(hidden, ("spec", "template", "spec", "containers", 0, "env"))
    assert env == [{"name": name, "value": "<secret #1>"}]


@pytest.mark.parametrize("name", ["KEYBOARD", "MONKEY", "BYPASS", "HOST", "COMPASS"])
def test_other_values_are_shown(name: str) -> None:
    workload = c.deployment("web", env=[{"name": name, "value": "v"}])
    assert masking.Mask().hide(workload) == workload


def test_equal_values_get_equal_numbers() -> None:
    mask = masking.Mask()
    one = mask.hide(c.secret("a", x="p", y="q", z="p"))["stringData"]
    assert one == {"x": "<secret #1>", "y": "<secret #2>", "z": "<secret #1>"}


def test_what_kubectl_remembers_is_masked_with_the_values_in_it() -> None:
    workload = c.deployment("web", env=[{"name": "TOKEN", "value": "hunter2"}])
    remembered = orjson.dumps(workload).decode()
    workload["metadata"]["annotations"] = {masking.LAST_APPLIED: remembered}
    assert "hunter2" not in orjson.dumps(masking.Mask().hide(workload)).decode()


def test_an_annotation_of_one_state_is_about_the_other_too() -> None:
    before, after = custom(AUTH), custom(AUTH, **{PATHS: "spec.auth.password"})
    assert masking.Mask().hide(before, [after])["spec"]["auth"]["password"] == "<secret #1>"


def test_a_message_that_repeats_a_value_is_redacted() -> None:
    said = masking.Mask().redact(
        'data[x]: Invalid value: "hunter2": aHVudGVyMg== of "pw"', [c.secret("a", x="hunter2")]
    )
    assert said == 'data[x]: Invalid value: "<secret #1>": aHVudGVyMg== of "pw"'
    encoded = {"apiVersion": "v1", "kind": "Secret", "data": {"x": "aHVudGVyMg=="}}
    assert masking.Mask().redact("hunter2 aHVudGVyMg==", [encoded]) == "<secret #1> <secret #1>"


# ---------------------------------------------------------------------- every output is searched


def token(chance: random.Random) -> str:
    return "".join(chance.choices(string.ascii_letters + string.digits, k=16))


def application(chance: random.Random) -> tuple[list[objects.Object], list[str]]:
    """Return objects with sensitive values of every kind, and the values."""
    values = [token(chance) for _ in range(6)]
    texts, data, env, sidecar, deep, listed = values
    secret = c.secret("s", text=texts)
    secret["data"] = {"data": base64.b64encode(data.encode()).decode()}
    web = c.deployment("web", env=[{"name": "DB_PASSWORD", "value": env}])
    other = {"name": "b", "image": "i", "env": [{"name": "apiToken", "value": sidecar}]}
    web["spec"]["template"]["spec"]["initContainers"] = [other]
    widget = custom({"auth": {"password": deep}, "list": [{"key": listed}]})
    widget["metadata"]["annotations"] = {PATHS: "spec.auth.password, spec.list[*].key"}
    return [open_definition(), secret, web, widget], values


def open_definition() -> objects.Object:
    made = c.definition()
    schema = made["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["spec"] = {
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": True,
    }
    return made


def spoiled(given: list[objects.Object], way: int) -> list[objects.Object]:
    """Return objects of which one is refused, by a server that repeats what it was given."""
    made = copy.deepcopy(given)
    _, secret, web, widget = made
    if way == 1:
        secret["data"]["data"] = f"!{secret['data']['data']}"
    elif way == 2:
        container = web["spec"]["template"]["spec"]["containers"][0]
        container["env"][0]["value"] = [container["env"][0]["value"]]
    elif way == 3:
        widget["spec"] = [widget["spec"]]
    elif way == 4:
        web["metadata"]["labels"] = {
            "bad label": web["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"]
        }
    return made


def everything(view: views.View) -> str:
    """Return all that is stored but the objects themselves and the Secrets, packed or not."""
    told: list[bytes] = []
    for resource in ("applications", "applicationrevisions", "resourcetrackers", "events"):
        name = resource if resource == "events" else f"{resource}.core.understudy.dev"
        if view.catalogue.named(name) is None:
            continue
        for obj in view.each(name):
            told.append(orjson.dumps(obj))
            if packed := objects.lookup(obj, ("spec", "data")):
                told.append(gzip.decompress(base64.b64decode(packed)))
    return b"\n".join(told).decode()


async def rotate(before: int, after: int, way: int) -> tuple[str, list[str]]:
    """Deliver, rotate every value, go back, drift; return all that was said, and the values."""
    view = views.new_view()
    said: list[str] = []

    def tell(news: outcomes.News) -> None:
        said.extend(
            (render.news(news), repr(news), orjson.dumps(render.news_as_dict(news)).decode())
        )

    face = deliveries.Deliveries(
        assembly.ViewClient(view), assembly.ForkingStages(view), idents=ids.SeededIds(1), tell=tell
    )
    old, values = application(random.Random(before))
    new, more = application(random.Random(after))
    options = c.options(wait=False)
    now = face._clock.now()

    async def attempt(given: list[objects.Object]) -> None:
        try:
            plan = await face.plan(c.OWNER, c.written(*given), options)
            said.extend(render.plan(plan, now))
            said.extend(orjson.dumps(form()).decode() for form in (plan.as_dict, plan.as_file))
            said.append(repr(plan))
            await face.deliver(c.OWNER, c.written(*given), options)
        except errors.DeliveryError as error:
            said.extend((str(error), repr(error), *getattr(error, "__notes__", ())))

    await attempt(old)
    await attempt(spoiled(new, way))
    await attempt(new)
    meddled = {"data": {"data": old[1]["data"]["data"]}}
    view.patch("secrets", "s", meddled, "default")
    said.extend(render.plan(await face.drift(c.OWNER, options), now))
    back = await face.plan_rollback(c.OWNER, "", options)
    said.extend((*render.plan(back, now), repr(back)))
    said.append(everything(view))
    await face.rollback(c.OWNER, "", options)
    assert objects.lookup(
        view.get("deployments.apps", "web", "default"),
        ("spec", "template", "spec", "containers", 0, "env", 0, "value"),
    ) in (values[2], more[2]), "what is stored apart comes back"
    said.append(everything(view))
    return "\n".join(said), values + more


@hypothesis.settings(max_examples=6, deadline=None, phases=[hypothesis.Phase.generate])
@hypothesis.given(st.integers(0, 2**31), st.integers(min_value=0, max_value=4))
def test_no_output_and_no_record_holds_a_sensitive_value(seed: int, way: int) -> None:
    told, values = asyncio.run(rotate(seed, seed + 1, way))
    assert "<secret #" in told
    for value in values:
        assert value not in told
        assert base64.b64encode(value.encode()).decode() not in told
