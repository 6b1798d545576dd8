"""Documents about the API are answered at Kubernetes' paths, in the form that is asked for."""

import gzip

import orjson
import pytest

from understudy.kapi import server, settings
from understudy.kapi.http import exchanges

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


@pytest.fixture(scope="module")
def api():
    return server.Server(settings.ServerSettings(port=0)).api


def get(api, path, accept="application/json", method="GET", **headers):
    sent = {name.replace("_", "-").encode(): text.encode() for name, text in headers.items()}
    sent[b"accept"] = accept.encode()
    sent[b"host"] = b"api.test:8001"
    return api(exchanges.Request(method, path.encode(), sent))


def header(answer, name):
    return dict(answer.headers).get(name)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/api", "APIVersions"),
        ("/apis", "APIGroupList"),
        ("/apis/", "APIGroupList"),
        ("/apis/apps", "APIGroup"),
        ("/api/v1", "APIResourceList"),
        ("/apis/apps/v1", "APIResourceList"),
        ("/base/apis/apps/v1", "APIResourceList"),
    ],
)
def test_discovery_is_answered_with_and_without_a_view(api, path, kind):
    answer = get(api, path)
    assert (answer.status, answer.content_type) == (200, "application/json")
    assert orjson.loads(answer.body)["kind"] == kind


def test_the_versions_name_the_address_that_was_asked(api):
    versions = orjson.loads(get(api, "/api").body)
    assert versions["serverAddressByClientCIDRs"][0]["serverAddress"] == "api.test:8001"


def test_who_prefers_aggregated_discovery_gets_it_and_a_304_later(api):
    accept = f"{AGGREGATED},application/json"
    answer = get(api, "/apis", accept)
    assert answer.content_type == AGGREGATED
    assert orjson.loads(answer.body)["kind"] == "APIGroupDiscoveryList"
    again = get(api, "/apis", accept, if_none_match=header(answer, "ETag"))
    assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize("accept", [f"application/json,{AGGREGATED}", "*/*", ""])
def test_who_prefers_the_older_form_gets_that(api, accept):
    assert orjson.loads(get(api, "/apis", accept).body)["kind"] == "APIGroupList"


def test_discovery_comes_as_yaml_and_indented_when_asked(api):
    answer = get(api, "/apis/policy", "application/yaml")
    assert answer.content_type == "application/yaml"
    assert answer.body.startswith(b"apiVersion: v1\nkind: APIGroup\nname: policy\n")
    assert b'\n  "kind"' in get(api, "/apis/policy?pretty=true").body


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/apis/nope.example.com", 404, b"404 page not found\n"),
        ("/apis/nope.example.com/v1", 404, b"404 page not found\n"),
        ("/openapi/v3/apis/nope/v1", 404, b""),
        ("/nope.txt", 404, b"404 page not found\n"),
    ],
)
def test_what_is_not_served_is_not_found(api, path, status, body):
    answer = get(api, path)
    assert (answer.status, answer.body) == (status, body)


def test_an_unknown_version_of_a_known_group_is_told_as_a_status(api):
    answer = get(api, "/apis/apps/v9")
    assert answer.status == 404
    assert orjson.loads(answer.body)["reason"] == "NotFound"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/apis/policy", b"only the following media types are accepted"),
        ("/api/v1", b"Available representations"),
        ("/openapi/v2", b"only the following media types are accepted"),
    ],
)
def test_a_form_that_cannot_be_given_is_refused(api, path, words):
    answer = get(api, path, "text/csv")
    assert answer.status == 406
    assert words in answer.body


def test_only_routed_documents_mind_the_method(api):
    assert get(api, "/api/v1", method="DELETE").status == 405
    assert get(api, "/apis/apps", method="POST").status == 200


def test_openapi_documents_are_found_through_the_index(api):
    index = get(api, "/openapi/v3")
    assert index.content_type == "text/plain; charset=utf-8"
    url = orjson.loads(index.body)["paths"]["apis/batch/v1"]["serverRelativeURL"]
    document = get(api, url, accept_encoding="gzip")
    assert header(document, "Cache-Control") == "public, immutable"
    assert header(document, "Content-Encoding") == "gzip"
    paths = orjson.loads(gzip.decompress(document.body))["paths"]
    assert "/apis/batch/v1/jobs" in paths


def test_the_index_lists_only_what_is_answered(api):
    for path in orjson.loads(get(api, "/").body)["paths"]:
        assert get(api, path, "*/*").status == 200, path


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/statusz", "Binary version: v1.36"),
        ("/flagz", "body_bytes_max="),
        ("/metrics/slis", 'kubernetes_healthcheck{name="ping",type="livez"} 1'),
    ],
)
def test_pages_for_people_and_scrapers(api, path, words):
    answer = get(api, path, "text/plain")
    assert answer.status == 200
    assert words in answer.body.decode()


def test_a_check_that_fails_shows_in_the_metrics_and_at_its_path():
    made = server.Server(settings.ServerSettings(port=0))
    made.health.add("controllers", lambda: "not started")
    assert b'name="controllers",type="readyz"} 0' in get(made.api, "/metrics/slis").body
    assert get(made.api, "/readyz/controllers").status == 500
    assert get(made.api, "/readyz/poststarthook/rbac/bootstrap-roles").body == b"ok"
