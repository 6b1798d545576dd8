"""Views as of kept revisions, over HTTP: whoever can read a view can read what it was."""

import json
import subprocess

import httpx
import pytest
from kubernetes import client as official

from understudy.kapi import views
from understudy.kapi.store import stores
from understudy.testing import servers

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
DEFINITION = {
    "metadata": {"name": "tides.sea.example.com"},
    "spec": {
        "group": "sea.example.com",
        "scope": "Namespaced",
        "names": {"plural": "tides", "singular": "tide", "kind": "Tide"},
        "versions": [
            {"name": "v1", "served": True, "storage": True,
             "schema": {"openAPIV3Schema": {
                 "type": "object", "x-kubernetes-preserve-unknown-fields": True}}}
        ],
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def server():
    with servers.TestServer() as running:
        yield running


@pytest.fixture
def view(server):
    made = server.sandbox()
    yield made
    made.delete_sandbox()


def revision_of(written):
    return int(written.object()["metadata"]["resourceVersion"])


def ask(server, view, revision, path, method="GET", **more):
    return httpx.request(
        method, f"{server.url}/{view.name}@{revision}{path}", trust_env=False, **more
    )


def test_get_and_list_show_what_was(server, view):
    first = revision_of(view.create("configmaps", {"metadata": {"name": "a"}}, "default"))
    second = revision_of(view.patch("configmaps", "a", {"data": {"x": "1"}}, "default"))
    view.delete("configmaps", "a", "default")
    third = view.revision
    then = ask(server, view, second, f"{CONFIG_MAPS}/a").json()
    assert (then["metadata"]["resourceVersion"], then["data"]) == (str(second), {"x": "1"})
    assert "data" not in ask(server, view, first, f"{CONFIG_MAPS}/a").json()
    assert ask(server, view, first - 1, f"{CONFIG_MAPS}/a").status_code == 404
    assert ask(server, view, third, f"{CONFIG_MAPS}/a").status_code == 404
    listing = ask(server, view, second, CONFIG_MAPS).json()
    assert listing["metadata"]["resourceVersion"] == str(second)
    assert "a" in {item["metadata"]["name"] for item in listing["items"]}


def test_pages_of_the_past_are_of_one_moment(server, view):
    for name in "abc":
        last = revision_of(
            view.create("leases.coordination.k8s.io", {"metadata": {"name": name}}, "default")
        )
    view.delete_collection("leases.coordination.k8s.io", "default")
    path = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
    names, token = [], ""
    while True:
        page = ask(server, view, last, path, params={"limit": 1, "continue": token}).json()
        names += [item["metadata"]["name"] for item in page["items"]]
        token = page["metadata"].get("continue")
        if not token:
            break
    assert names == ["a", "b", "c"]


def test_custom_resources_and_discovery_are_of_then(server, view):
    before = view.revision
    view.create("customresourcedefinitions.apiextensions.k8s.io", DEFINITION)
    made = view.create(
        "tides.sea.example.com",
        {"apiVersion": "sea.example.com/v1", "kind": "Tide", "metadata": {"name": "high"}},
        "default",
    )
    between = revision_of(made)
    view.delete("customresourcedefinitions.apiextensions.k8s.io", "tides.sea.example.com")
    path = "/apis/sea.example.com/v1/namespaces/default/tides"
    assert ask(server, view, before, path).status_code == 404
    assert len(ask(server, view, between, path).json()["items"]) == 1
    for revision, known in ((before, False), (between, True)):
        groups = ask(server, view, revision, "/apis").json()["groups"]
        assert ("sea.example.com" in {group["name"] for group in groups}) is known


@pytest.mark.parametrize(
    ("method", "path", "word"),
    [
        ("POST", CONFIG_MAPS, "create"),
        ("PUT", f"{CONFIG_MAPS}/a", "update"),
        ("PATCH", f"{CONFIG_MAPS}/a", "patch"),
        ("DELETE", f"{CONFIG_MAPS}/a", "delete"),
        ("DELETE", CONFIG_MAPS, "deletecollection"),
        ("GET", f"{CONFIG_MAPS}?watch=1", "watch"),
        ("GET", "/api/v1/namespaces/default/pods/a/log", "connect"),
    ],
)
def test_the_past_is_only_read(server, view, method, path, word):
    refused = ask(server, view, view.revision, path, method, content=b"{}")
    assert refused.status_code == 405
    assert refused.json()["message"] == (
        f'view "{view.name}@{view.revision}" is the past, which is only read: '
        f'{word} in view "{view.name}"'
    )


@pytest.mark.parametrize(
    ("revision", "message"),
    [
        ("x", "'x' is no resourceVersion: give a number"),
        ("99999999", "has no revision 99999999 yet"),
    ],
)
def test_what_is_no_past_is_a_bad_request(server, view, revision, message):
    refused = ask(server, view, revision, CONFIG_MAPS)
    assert refused.status_code == 400
    assert message in refused.json()["message"]


def test_a_forgotten_past_is_expired_and_only_for_what_is_forgotten():
    with servers.TestServer(events_max=10) as server:
        base = server.base
        start = revision_of(base.create("configmaps", {"metadata": {"name": "a"}}, "default"))
        for n in range(40):
            base.patch("configmaps", "a", {"data": {"n": str(n)}}, "default")
        refused = ask(server, base, start, CONFIG_MAPS)
        assert (refused.status_code, refused.json()["reason"]) == (410, "Expired")
        assert f"configmaps at revision {start} is no longer kept" in refused.json()["message"]
        oldest = int(refused.json()["message"].rpartition(" ")[2])
        assert ask(server, base, oldest, CONFIG_MAPS).status_code == 200
        assert ask(server, base, oldest - 1, CONFIG_MAPS).status_code == 410
        assert ask(server, base, start, "/api/v1/namespaces").status_code == 200


def test_the_base_is_meant_where_no_name_stands(server):
    made = revision_of(server.base.create("configmaps", {"metadata": {"name": "b"}}, "default"))
    for prefix, code in ((f"@{made}", 200), (f"base@{made}", 200), (f"base@{made - 1}", 404)):
        url = f"{server.url}/{prefix}{CONFIG_MAPS}/b"
        assert httpx.get(url, trust_env=False).status_code == code


def test_a_reset_sandbox_has_another_past(server, view):
    made = revision_of(view.create("configmaps", {"metadata": {"name": "a"}}, "default"))
    assert ask(server, view, made, f"{CONFIG_MAPS}/a").status_code == 200
    server.call(server._server.views.reset, view.name)
    assert ask(server, view, made, f"{CONFIG_MAPS}/a").status_code != 200


def test_the_present_says_who_may_read_the_past(make_cluster):
    cluster = make_cluster(auth="token")
    url = f"{cluster.url}/base@{cluster.server.base.revision}{CONFIG_MAPS}"
    assert httpx.get(url, trust_env=False).status_code == 401
    known = {"Authorization": f"Bearer {cluster.server.token}"}
    assert httpx.get(url, trust_env=False, headers=known).status_code == 200


def test_kubectl_and_the_official_client_read_the_past(server, view):
    made = revision_of(view.create("configmaps", {"metadata": {"name": "a"}}, "default"))
    view.delete("configmaps", "a", "default")
    address = f"{server.url}/{view.name}@{made}"
    words = ("kubectl", "--kubeconfig", view.kubeconfig, "--server", address)
    done = subprocess.run(
        [*words, "get", "configmap", "a", "-o", "json"], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["metadata"]["resourceVersion"] == str(made)
    refused = subprocess.run(
        [*words, "delete", "configmap", "a"], capture_output=True, text=True, check=False
    )
    assert "is the past, which is only read" in refused.stderr
    configuration = official.Configuration(host=address)
    with official.ApiClient(configuration) as api:
        assert official.CoreV1Api(api).read_namespaced_config_map("a", "default").metadata.uid


def test_a_past_is_a_store_to_go_on_from():
    view = views.new_view()
    made = view.create("configmaps", {"metadata": {"name": "a"}}, "default").entry.revision
    view.delete("configmaps", "a", "default")
    past = view.at(made)
    assert isinstance(past.store, stores.PastStore)
    assert past.revision == made
    past.create("configmaps", {"metadata": {"name": "b"}}, "default")
    fork = past.fork()
    assert {entry.name for entry in fork.list("configmaps", "default").entries} >= {"a", "b"}
    assert past.revision == view.revision
