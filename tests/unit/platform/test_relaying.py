"""What a request of the Kubernetes API needs, read from its method and path alone."""

import pytest

from understudy.platform import errors, records, relaying

READ, SECRETS, WRITE = relaying.Access


def needs(method, path):
    return relaying.needs(records.ApiRequest(method=method, path=path))


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/version", READ),
        ("GET", "/api", READ),
        ("GET", "/openapi/v3/apis/apps/v1?hash=x", READ),
        ("GET", "/api/v1/namespaces/shop/pods?watch=true", READ),
        ("GET", "/api/v1/namespaces/shop/pods/web/log", READ),
        ("GET", "/api/v1/namespaces/secrets", READ),
        ("GET", "/api/v1/namespaces/secrets/pods", READ),
        ("GET", "/apis/example.com/v1/namespaces/shop/secrets", READ),
        ("GET", "/api/v1/secrets", SECRETS),
        ("GET", "/api/v1/%73ecrets", SECRETS),
        ("GET", "/api/v1/namespaces/shop/secrets/key", SECRETS),
        ("GET", "/api/v1/watch/secrets", SECRETS),
        ("GET", "/api/v1/watch/namespaces/shop/secrets", SECRETS),
        ("POST", "/api/v1/namespaces/shop/pods", WRITE),
        ("PATCH", "/apis/apps/v1/namespaces/shop/deployments/web/scale", WRITE),
        ("PUT", "/api/v1/namespaces/shop/finalize", WRITE),
        ("DELETE", "/api/v1/namespaces/shop/secrets/key", WRITE),
    ],
)
def test_what_is_asked_decides_what_is_needed(method, path, expected):
    assert needs(method, path) is expected


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "api/v1/pods",
        "//api/v1/secrets",
        "/api/v1/./secrets",
        "/api/v1/pods/../secrets",
        "/api/v1/pods/%2e%2e/secrets",
        "/api/v1/namespaces/shop/configmaps/a%2Fb",
        "/api/v1/pods/",
        "/metrics",
        "/views",
        "/api/v1/pods%00",
    ],
)
def test_a_path_that_can_be_read_in_several_ways_is_none(path):
    with pytest.raises(errors.InvalidRequestError, match="is none of the Kubernetes API"):
        needs("GET", path)


@pytest.mark.parametrize("verb", ["exec", "attach", "portforward", "proxy"])
def test_what_needs_a_stream_is_not_carried(verb):
    with pytest.raises(errors.InvalidRequestError, match=f"pods/{verb} needs a stream"):
        needs("GET", f"/api/v1/namespaces/shop/pods/web/{verb}?command=sh")


def test_logs_are_not_followed():
    with pytest.raises(errors.InvalidRequestError, match="without follow"):
        needs("GET", "/api/v1/namespaces/shop/pods/web/log?follow=true")


def test_bodies_that_are_no_text_are_carried_too():
    for content in (b"", b'{"a": 1}', bytes(range(256))):
        body, is_base64 = records.pack(content)
        asked = records.ApiRequest(method="POST", path="/api", body=body, base64=is_base64)
        again = records.from_json(records.ApiRequest, records.to_json(asked))
        assert records.unpack(again) == content
    with pytest.raises(errors.InvalidRequestError, match="body"):
        records.unpack(records.ApiRequest(method="GET", path="/api", body="?", base64=True))
