"""Pages of lists, asked for over HTTP: whole, odd, of the past, and refused."""

import base64
import json

import httpx
import pytest

from understudy.testing import servers

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
NOT_VALID = "invalid continue token: continue key is not valid"


@pytest.fixture(scope="module")
def server():
    with servers.TestServer() as running:
        yield running


@pytest.fixture
def view(server):
    made = server.sandbox()
    yield made
    made.delete_sandbox()


def ask(server, view, **query):
    url = f"{server.url}/{view.name}{CONFIG_MAPS}"
    return httpx.get(url, params=query, trust_env=False)


def make(view, *names, **labels):
    for name in names:
        body = {"metadata": {"name": name, "labels": labels or None}}
        made = view.create("configmaps", body, "default")
    return made.object()["metadata"]["resourceVersion"]


def names_in(answer):
    return [item["metadata"]["name"] for item in answer.json()["items"]]


def token_of(value):
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


V1 = "meta.k8s.io/v1"


@pytest.mark.parametrize(
    ("token", "why"),
    [
        ("%%", ": illegal base64 data at input byte 0"),
        ("ab=", ": illegal base64 data at input byte 2"),
        ("abcde", ": illegal base64 data at input byte 4"),
        ("abc", ": invalid character 'i' looking for beginning of value"),
        (
            token_of([]),
            ": json: cannot unmarshal array into Go value of type storage.continueToken",
        ),
        (
            token_of({"rv": "x"}),
            ": json: cannot unmarshal string into Go struct field continueToken.rv of type int64",
        ),
        (token_of({"v": "v7"}), ": server does not recognize this encoded version v7"),
        (token_of({"v": V1}), f": incorrect encoded start resourceVersion (version {V1})"),
        (token_of({"v": V1, "rv": 3}), f": encoded start key empty (version {V1})"),
        (token_of({"v": V1, "rv": 3, "start": "../secrets/x"}), ": ../secrets/x"),
        (token_of({"v": V1, "rv": 3, "start": "a//b"}), ": a//b"),
    ],
)
def test_tokens_that_nobody_gave_out(server, view, token, why):
    refused = ask(server, view, **{"continue": token})
    assert (refused.status_code, refused.json()["reason"]) == (400, "BadRequest")
    assert refused.json()["message"] == NOT_VALID + why


def test_a_bad_token_is_told_before_the_version_it_comes_with(server, view):
    refused = ask(server, view, resourceVersion="5", **{"continue": "%%"})
    assert refused.json()["message"].startswith(NOT_VALID)


def test_a_version_that_is_no_number(server, view):
    refused = ask(server, view, resourceVersion="abc")
    assert refused.status_code == 400
    assert refused.json()["message"] == (
        'invalid resource version: resourceVersion: Invalid value: "abc": strconv.ParseUint: '
        'parsing "abc": invalid syntax'
    )


def test_a_limited_list_at_a_version_is_of_exactly_that_version(server, view):
    then = make(view, "b", "c")
    now = make(view, "a")
    limited = ask(server, view, limit=2, resourceVersion=then)
    assert limited.json()["metadata"]["resourceVersion"] == then
    assert names_in(limited) == ["b", "c"]
    assert names_in(ask(server, view, resourceVersion=then))[:3] == ["a", "b", "c"]
    not_older = ask(
        server, view, limit=1, resourceVersion=then, resourceVersionMatch="NotOlderThan"
    )
    assert (not_older.json()["metadata"]["resourceVersion"], names_in(not_older)) == (now, ["a"])


def test_a_full_page_promises_more_whatever_follows(server, view):
    make(view, "a", "b", tide="in")
    make(view, "c")
    first = ask(server, view, limit=2, labelSelector="tide=in")
    more = first.json()["metadata"]["continue"]
    assert names_in(first) == ["a", "b"]
    assert "remainingItemCount" not in first.json()["metadata"]
    last = ask(server, view, limit=2, labelSelector="tide=in", **{"continue": more})
    assert names_in(last) == []
    assert "continue" not in last.json()["metadata"]


def test_a_page_of_what_is_forgotten():
    with servers.TestServer(events_max=10) as server:
        base = server.base
        then = make(base, "a", "b")
        token = ask(server, base, limit=1).json()["metadata"]["continue"]
        for n in range(40):
            base.patch("configmaps", "b", {"data": {"n": str(n)}}, "default")
        paged = ask(server, base, limit=1, **{"continue": token}).json()
        assert (paged["code"], paged["reason"]) == (410, "Expired")
        assert "use the continue token in this response" in paged["message"]
        go_on = paged["metadata"]["continue"]
        assert names_in(ask(server, base, limit=1, **{"continue": go_on})) == ["b"]
        whole = ask(server, base, **{"continue": token}).json()
        assert whole["message"] == "The resourceVersion for the provided list is too old."
        exact = ask(server, base, limit=1, resourceVersion=then).json()
        assert exact["message"].endswith("a new list without the continue parameter.")
