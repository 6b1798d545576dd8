"""The testing kit as its users use it."""

import http.client
import json
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import yaml

from understudy.aio import clocks, ids
from understudy.kube import statuses
from understudy.testing import servers

CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}

DEPLOYMENT = {
    "metadata": {"name": "web"},
    "spec": {
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "web", "image": "web:1"}]},
        },
    },
}


def ask(url, method="GET", body=None, user_agent="test/1", timeout=10, **headers):
    request = urllib.request.Request(
        url,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "User-Agent": user_agent, **headers},
    )
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        return answer.status, json.loads(answer.read())


def refused(url, method="GET", body=None):
    with pytest.raises(urllib.error.HTTPError) as caught:
        ask(url, method, body)
    return caught.value.code, caught.value.headers, json.loads(caught.value.read())


def maps(view):
    return f"{view.url}/api/v1/namespaces/default/configmaps"


def test_every_test_has_a_state_of_its_own(understudy_server, understudy_view):
    other = understudy_server.sandbox()
    understudy_view.create("configmaps", CONFIG_MAP, "default")
    assert ask(f"{maps(understudy_view)}/a")[0] == 200
    assert refused(f"{maps(other)}/a")[0] == 404
    assert understudy_server.base.find("configmaps", "default", "a") is None
    other.delete_sandbox()


def test_the_kubeconfig_is_that_of_the_fork(kubeconfig, understudy_view):
    assert understudy_view.name in Path(kubeconfig).read_text()


@pytest.mark.parametrize("round", [1, 2])
def test_libraries_that_remember_kubeconfig_find_each_test_s_fork(
    kubeconfig, understudy_view, round
):
    kubernetes = pytest.importorskip("kubernetes")
    with kubernetes.config.new_client_from_config() as api:
        assert api.configuration.host == understudy_view.url


async def test_the_client_works_from_any_loop(client):
    await client.create("configmaps", CONFIG_MAP, namespace="default")
    watch = client.watch("configmaps", namespace="default")
    event = await anext(watch)
    assert (event.type, event.object["metadata"]["name"]) == ("ADDED", "a")
    await watch.aclose()
    assert len((await client.list("configmaps", namespace="default")).items) == 1


def test_requests_are_recorded_and_asserted_on(understudy_server, understudy_view):
    ask(maps(understudy_view), "POST", CONFIG_MAP)
    ask(f"{maps(understudy_view)}/a", "DELETE")
    requests = understudy_server.requests
    assert [str(one) for one in requests.all()] == [
        "create configmaps default -> 201",
        "delete configmaps default/a -> 200",
    ]
    requests.assert_sequence(("create", "configmaps"), ("delete", "configmaps"))
    requests.assert_none("patch")
    with pytest.raises(AssertionError, match="delete configmaps default/a"):
        requests.assert_none("delete")


def test_the_nth_call_is_refused_and_no_other(understudy_server, understudy_view):
    understudy_server.faults.on("create", "configmaps", nth=2).answer(409)
    ask(maps(understudy_view), "POST", CONFIG_MAP)
    second = {"metadata": {"name": "b"}}
    code, _, status = refused(maps(understudy_view), "POST", second)
    assert (code, status["reason"]) == (409, "Conflict")
    assert ask(maps(understudy_view), "POST", second)[0] == 201


def test_a_fault_can_be_for_one_user(understudy_server, understudy_view):
    understudy_server.faults.on("list", user="ann").answer(503)
    understudy_view.create("configmaps", CONFIG_MAP, "default")
    with pytest.raises(urllib.error.HTTPError, match="503"):
        ask(maps(understudy_view), **{"Impersonate-User": "ann"})
    assert ask(maps(understudy_view), **{"Impersonate-User": "bob"})[0] == 200
    assert [one.user for one in understudy_server.requests.of("list")] == ["ann", "bob"]


def test_too_many_requests_says_when_to_come_back(understudy_server, understudy_view):
    understudy_server.faults.on("list", times=1).too_many(retry_after_s=3)
    code, headers, status = refused(maps(understudy_view))
    assert (code, headers["Retry-After"], status["details"]["retryAfterSeconds"]) == (429, "3", 3)
    assert ask(maps(understudy_view))[0] == 200


def test_a_write_can_be_done_and_its_answer_lost(understudy_server, understudy_view):
    understudy_server.faults.on("create", "configmaps", times=1).drop_after_commit()
    with pytest.raises((urllib.error.URLError, http.client.HTTPException, ConnectionError)):
        ask(maps(understudy_view), "POST", CONFIG_MAP)
    assert understudy_view.find("configmaps", "default", "a") is not None
    understudy_server.faults.clear()
    understudy_server.faults.on("create", "configmaps", times=1).drop()
    with pytest.raises((urllib.error.URLError, http.client.HTTPException, ConnectionError)):
        ask(maps(understudy_view), "POST", {"metadata": {"name": "b"}})
    assert understudy_view.find("configmaps", "default", "b") is None


def test_an_answer_can_be_late(understudy_server, understudy_view):
    understudy_server.faults.on("get", user_agent="slow*").delay(30)
    understudy_view.create("configmaps", CONFIG_MAP, "default")
    with pytest.raises(TimeoutError):
        ask(f"{maps(understudy_view)}/a", user_agent="slow/1", timeout=0.2)
    assert ask(f"{maps(understudy_view)}/a", user_agent="fast/1")[0] == 200


def watched(view, count=10_000):
    """Read a watch that ends by itself, as the events' types."""
    url = f"{maps(view)}?watch=true&timeoutSeconds=1"
    types = []
    # What is cut looks like an end to this client, or raises, by where it was cut.
    with urllib.request.urlopen(url, timeout=10) as answer:
        try:
            for line in answer:
                types.append(json.loads(line)["type"])
                if len(types) == count:
                    break
        except (OSError, http.client.HTTPException):
            pass
    return types


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (lambda rule: rule.cut(after_events=1), ["ADDED"]),
        (lambda rule: rule.expire(after_events=1), ["ADDED", "ERROR"]),
        (lambda rule: rule.duplicate_events(), ["ADDED"] * 4),
        (lambda rule: rule.delay_events(0.1), ["ADDED", "ADDED"]),
    ],
    ids=["cut", "expired", "duplicated", "delayed"],
)
def test_a_watch_can_go_wrong(understudy_server, understudy_view, fault, expected):
    for name in "ab":
        understudy_view.create("configmaps", {"metadata": {"name": name}}, "default")
    fault(understudy_server.faults.on("watch", "configmaps"))
    assert watched(understudy_view) == expected


def test_two_runs_with_the_same_seed_give_the_same_transcript():
    def transcript():
        server = servers.TestServer(
            clock=clocks.ManualClock(), ids=ids.SeededIds(7), first_revision=1000
        )
        with server:
            view = server.sandbox("trial")
            ask(maps(view), "POST", {"metadata": {"generateName": "a-"}})
            ask(maps(view), "POST", CONFIG_MAP)
            return ask(maps(view))[1]

    first = transcript()
    assert first == transcript()
    assert int(first["metadata"]["resourceVersion"]) >= 1000


def test_objects_of_files_are_created_and_waited_for(understudy_view, tmp_path):
    file = tmp_path / "objects.yaml"
    file.write_text("kind: ConfigMap\napiVersion: v1\nmetadata: {name: a}\n---\n---\n"
                    "kind: Namespace\napiVersion: v1\nmetadata: {name: b}\n")  # fmt: skip
    made = understudy_view.create_from(file)
    assert [(o["kind"], o["metadata"].get("namespace")) for o in made] == [
        ("ConfigMap", "default"),
        ("Namespace", None),
    ]
    threading.Timer(
        0.05, understudy_view.patch, ("configmaps", "a", {"data": {"x": "1"}}, "default")
    ).start()
    found = understudy_view.wait_for(
        lambda view: view.get("configmaps", "a", "default").get("data")
    )
    assert found == {"x": "1"}
    with pytest.raises(AssertionError, match=r"0\.01 seconds passed"):
        understudy_view.wait_for(lambda view: view.get("pods", "none", "default"), 0.01)
    # A condition may use the test's own view: it is the same thread's then.
    assert understudy_view.wait_for(lambda _: understudy_view.get("configmaps", "a", "default"))


def test_a_file_with_an_unknown_kind_says_what_to_do(understudy_view, tmp_path):
    file = tmp_path / "objects.yaml"
    file.write_text("kind: Tide\napiVersion: sea.example.com/v1\nmetadata: {name: high}\n")
    with pytest.raises(statuses.BadRequestError, match=r"Tide high: .* CustomResourceDefinition"):
        understudy_view.create_from(file)


def test_forks_of_a_live_server_are_live():
    with servers.TestServer(controllers="all", runtime="simulated") as server:
        for _ in range(2):
            view = server.sandbox()
            view.create("deployments.apps", DEPLOYMENT, "default")
            view.wait_for(
                lambda v: v.get("deployments.apps", "web", "default")["status"].get("readyReplicas")
            )
            assert not list(server.base.each("deployments.apps"))
            view.delete_sandbox()


def test_a_server_can_ask_who_it_is():
    with servers.TestServer(auth="rbac") as server:
        assert refused(maps(server.base))[0] == 403
        user = yaml.safe_load(Path(server.base.kubeconfig).read_text())["users"][0]["user"]
        assert ask(maps(server.base), Authorization=f"Bearer {user['token']}")[0] == 200


def test_no_thread_is_left():
    before = threading.active_count()
    with servers.TestServer():
        assert threading.active_count() == before + 1
    assert threading.active_count() == before
