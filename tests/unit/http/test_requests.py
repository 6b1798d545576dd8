"""Request targets."""

from __future__ import annotations

import pytest

from understudy.kapi.http import requests


def parse(text):
    return requests.parse_path(text.encode(), "base")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/api/v1/pods", ("", "", "v1", "", "pods", "", "")),
        ("/api/v1/namespaces", ("", "", "v1", "", "namespaces", "", "")),
        ("/api/v1/namespaces/a", ("", "", "v1", "a", "namespaces", "a", "")),
        ("/api/v1/namespaces/a/status", ("", "", "v1", "a", "namespaces", "a", "status")),
        ("/api/v1/namespaces/a/pods/b/log", ("", "", "v1", "a", "pods", "b", "log")),
        ("/apis/apps/v1/deployments", ("", "apps", "v1", "", "deployments", "", "")),
        ("/trial/apis/apps/v1/namespaces/a/deployments/b",
         ("trial", "apps", "v1", "a", "deployments", "b", "")),
        ("/base/api/v1/nodes/n", ("", "", "v1", "", "nodes", "n", "")),
        ("/api/v1/nodes/a%2Fb", ("", "", "v1", "", "nodes", "a/b", "")),
    ],
)  # fmt: skip
def test_paths_of_resources(text, expected):
    path = parse(text)
    assert (
        path.view, path.group, path.version, path.namespace, path.resource, path.name,
        path.subresource,
    ) == expected  # fmt: skip


@pytest.mark.parametrize(
    ("text", "view", "shown", "api"),
    [
        ("/", "", "/", ""),
        ("/healthz", "", "/healthz", ""),
        ("/trial/version/", "trial", "/version/", ""),
        ("/api", "", "/api", "api"),
        ("/apis/apps", "", "/apis/apps", "apis"),
        ("/api/v1", "", "/api/v1", "api"),
        ("http://host:1/apis", "", "/apis", "apis"),
        ("/trial", "trial", "/", ""),
    ],
)
def test_other_paths(text, view, shown, api):
    path = parse(text)
    assert (path.view, path.text, path.api, path.resource) == (view, shown, api, "")


def test_the_old_form_of_a_watch():
    path = parse("/api/v1/watch/namespaces/a/configmaps")
    assert (path.watch, path.namespace, path.resource) == (True, "a", "configmaps")
    assert requests.verb_of("GET", path, requests.EMPTY_QUERY) == "watch"


@pytest.mark.parametrize(
    ("method", "text", "query", "verb"),
    [
        ("GET", "/api/v1/pods", b"", "list"),
        ("GET", "/api/v1/pods", b"watch=true", "watch"),
        ("GET", "/api/v1/pods", b"watch=0", "list"),
        ("GET", "/api/v1/namespaces/a/pods/b", b"watch=true", "get"),
        ("DELETE", "/api/v1/namespaces/a/pods", b"", "deletecollection"),
        ("PUT", "/api/v1/namespaces/a/pods/b", b"", "update"),
        ("BREW", "/api/v1/pods", b"", ""),
    ],
)
def test_verbs(method, text, query, verb):
    assert requests.verb_of(method, parse(text), requests.parse_query(query)) == verb


def test_queries_keep_every_value_and_the_empty_ones():
    query = requests.parse_query(b"a=1&b=x%20y&a=2&c=&d")
    assert query.all("a") == ["1", "2"]
    assert query.get("b") == "x y"
    assert "c" in query
    assert query.get("c") == ""
    assert query.get("missing") == ""


def test_targets_are_remembered_within_a_bound():
    targets = requests.Targets("base", entries_max=2)
    first, _ = targets.parse(b"/api/v1/pods?limit=1")
    again, _ = targets.parse(b"/api/v1/pods?limit=2")
    assert again is first
    for n in range(5):
        targets.parse(b"/api/v1/nodes/%d" % n)
    assert targets.parse(b"/api/v1/pods")[0] is not first
