"""Whatever a path, a query or the bytes of a connection hold, the server answers and goes on."""

from __future__ import annotations

import json
import socket
from urllib import parse, request as urls

import fuzzing
import hypothesis
import pytest
from hypothesis import strategies as st

from understudy.testing import servers

SEGMENTS = [
    "api", "apis", "v1", "apps", "v1beta1", "namespaces", "default", "fuzz", "pods", "deployments",
    "nodes", "a", "status", "scale", "log", "exec", "proxy", "token", "finalize", "watch", "",
    ".", "..", "%2F", "%2e%2e", "%00", "%zz", "%ff", "é", "a%2Fb", "openapi", "v2", "v3", "version",
    "healthz", "readyz", "metrics", "views", "trial", "base", "diff", "openid", "v1", "jwks",
    ".well-known", "statusz", "flagz", "x" * 300, "*", ";", "&", "=",
]  # fmt: skip
PARAMETERS = [
    "watch", "limit", "continue", "resourceVersion", "resourceVersionMatch", "labelSelector",
    "fieldSelector", "timeoutSeconds", "sendInitialEvents", "allowWatchBookmarks", "dryRun",
    "fieldManager", "fieldValidation", "force", "pretty", "includeObject", "follow", "tailLines",
    "gracePeriodSeconds", "propagationPolicy", "orphanDependents", "verbose", "exclude", "",
]  # fmt: skip
VALUES = [
    "", "0", "1", "-1", "true", "false", "NotOlderThan", "Exact", "1.5", "99999999999999999999",
    "9223372036854775807", "abc", "a=b", "a in (b,c)", "!a", "a,,", "metadata.name=a", "spec.x=1",
    "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJhXHUwMDAwIn0", "e30", "bnVsbA", "\x00",
    "\n", "é", "\ud800", "All", "Strict", "Metadata", "/healthz/a", "A" * 2000, "(" * 200,
]  # fmt: skip
METHODS = ["GET", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "X"]
ACCEPTS = [
    "", "*/*", "application/json", "application/yaml", "text/html", "application/json;as=Table",
    "application/json;as=Table;v=v1;g=meta.k8s.io", "application/vnd.kubernetes.protobuf", ";;,,",
    "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", "application/json;q=x", "\xff",
]  # fmt: skip
KNOWN = ["/api/v1/pods", "/api/v1/namespaces/fuzz/configmaps", "/apis/apps/v1/deployments"]


def quoted(text):
    return parse.quote(text, safe="=(),!/", errors="replace")


paths = st.one_of(
    st.sampled_from(KNOWN),
    st.lists(st.sampled_from(SEGMENTS), max_size=8).map(lambda parts: "/" + "/".join(parts)),
    st.text(max_size=20).map(lambda text: "/" + text),
)
queries = st.lists(st.tuples(st.sampled_from(PARAMETERS), st.sampled_from(VALUES)), max_size=4).map(
    lambda pairs: "&".join(f"{name}={quoted(value)}" for name, value in pairs)
)


@fuzzing.bounded(800)
@hypothesis.given(
    method=st.sampled_from(METHODS),
    path=paths,
    query=queries,
    accept=st.sampled_from(ACCEPTS),
)
def test_odd_paths_and_queries_get_an_answer(world, method, path, query, accept):
    world.trial()
    hypothesis.assume(not path.strip("/").startswith("views"))  # Its answers name kubeconfigs.
    target = f"{path}?{query}".encode("utf-8", "replace")
    world.ask(method, target, headers={b"accept": accept.encode("latin-1")}.items())


@pytest.fixture(scope="module")
def server():
    with servers.TestServer() as running:
        yield running


PIECES = [
    b"GET /api/v1/pods HTTP/1.1\r\n", b"POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\n",
    b"GET /version HTTP/1.1\r\nHost: a\r\n\r\n", b"GET  / HTTP/9.9\r\n", b"BREW /pot HTTP/1.1\r\n",
    b"Host: a\r\n", b"Content-Length: 5\r\n", b"Content-Length: -1\r\n", b"X: " + b"y" * 70000,
    b"Content-Length: 99999999999999999999\r\n", b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip\r\n", b"\r\n", b"\n", b"5\r\nhello\r\n", b"ffffffffffffffffff\r\n",
    b"-1\r\n", b"0\r\n\r\n", b"{}", b"Connection: close\r\n", b"Connection: upgrade\r\n",
    b"Upgrade: websocket\r\n", b"Expect: 100-continue\r\n", b"\x00", b"\xff\xfe", b": x\r\n",
    b"GET /api/v1/pods?watch=1&timeoutSeconds=1 HTTP/1.1\r\nHost: a\r\n\r\n", b" folded\r\n",
    b"GET " + b"/a" * 40000 + b" HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01", b"GET http://other/version HTTP/1.1\r\n\r\n", b"HEAD / HTTP/1.0\r\n\r\n",
]  # fmt: skip


@fuzzing.bounded(150)
@hypothesis.given(pieces=st.lists(st.sampled_from(PIECES), min_size=1, max_size=8))
def test_any_bytes_leave_a_server_that_answers(server, pieces):
    port = parse.urlsplit(server.url).port
    with socket.create_connection(("127.0.0.1", port), timeout=5) as peer:
        try:
            for piece in pieces:
                peer.sendall(piece)
            peer.shutdown(socket.SHUT_WR)
            first = peer.recv(65536)
        except (ConnectionError, OSError):
            first = b""  # Cut off, which is an answer to what is no HTTP.
        assert first == b"" or first.startswith(b"HTTP/1.1 ")
    with urls.urlopen(f"{server.url}/version", timeout=5) as answer:
        assert json.load(answer)["major"] == "1"
