"""What the fuzz tests share: a server's handler, a corpus of requests, what must always hold."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import logging
import os
import re
import time
from pathlib import Path

import httptools
import hypothesis
import yaml
from hypothesis import strategies as st

from understudy.kapi import server as servers, settings
from understudy.kapi.http import exchanges, responses

CASES = Path(__file__).parents[1] / "conformance" / "golden" / "cases"
NAMESPACE = "fuzz"
VIEW = "trial"
CPU_S_MAX = 5.0
"""Far above what any request takes, far below what an attack aims at."""

DEEPER = int(os.environ.get("FUZZ_DEEPER", "0"))
"""How many times the usual number of examples to try, with a seed of the day; 0: the usual."""


def bounded(examples):
    """Return the settings of a fuzz test: the same examples each time unless asked for more."""
    return hypothesis.settings(
        max_examples=examples * max(DEEPER, 1),
        derandomize=not DEEPER,
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )


@dataclasses.dataclass(frozen=True)
class Sent:
    """One request of the corpus, bodies parsed."""

    method: str
    path: str
    body: object
    content_type: str

    @property
    def encoded(self):
        return json.dumps(self.body).encode()


def _filled(text, serial):
    text = re.sub(r"\$\{fill:(\d+)\}", lambda match: "f" * min(int(match[1]), 300), text)
    named = {"ns": NAMESPACE, "ns2": "default", "id": f"x{serial}"}
    return re.sub(r"\$\{(\w+)\}", lambda match: named.get(match[1], "1"), text)


def corpus():
    """Return the requests with a body that the reference server was asked, each shape once."""
    found = {}
    for path in sorted(CASES.glob("*.yaml")):
        text = _filled(path.read_text(), path.name[:2])
        document = yaml.load(text, Loader=yaml.CSafeLoader)
        for scenario in document["scenarios"]:
            for step in [*scenario.get("setup", ()), *scenario.get("steps", ())]:
                if not isinstance(step, dict) or "body" not in step or "path" not in step:
                    continue
                sent = Sent(
                    step.get("method", "POST"),
                    step["path"],
                    step["body"],
                    step.get("contentType") or "application/json",
                )
                with contextlib.suppress(TypeError):
                    found.setdefault((sent.method, sent.path, sent.encoded), sent)
    return list(found.values())


class Collector:
    """A sink that keeps what a stream sends."""

    def __init__(self):
        self.chunks = []
        self.finished = False

    def send(self, data):
        self.chunks.append(data)

    def send_framed(self, chunk):
        size, _, rest = chunk.partition(b"\r\n")
        assert rest.endswith(b"\r\n")
        assert len(rest) == int(size, 16) + 2
        self.chunks.append(rest[:-2])

    def is_full(self):
        return False

    def is_blocked(self):
        return False

    def finish(self):
        self.finished = True


class _Head:
    """Counts what a parser sees in one answer."""

    def __init__(self):
        self.headers = {}
        self.body = b""
        self.complete = 0

    def on_header(self, name, value):
        self.headers.setdefault(name.lower(), value)

    def on_body(self, body):
        self.body += body

    def on_message_complete(self):
        self.complete += 1


class World:
    """A server's handler, asked directly; each trial has a sandbox of its own."""

    def __init__(self):
        self.server = servers.Server(
            settings.ServerSettings(port=0, limits=settings.HttpLimits(watches_max=3))
        )
        self.heads = responses.HeadWriter()
        self.heads.tick(self.server.base.now())
        self.ask("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        for sent in CORPUS:
            if "webhookconfigurations" in sent.path:
                continue  # Every later write would wait for a webhook that nobody answers.
            if "namespaces/" not in sent.path or f"namespaces/{NAMESPACE}/" in sent.path:
                self.ask(sent.method, sent.path, sent.body, sent.content_type)

    def trial(self):
        """Begin again from the state that the corpus has left."""
        if self.server.views.find(VIEW) is not None:
            self.server.views.delete(VIEW)
        self.server.views.create(VIEW, follow=False)

    def ask(self, method, target, body=b"", content_type="application/json", view="", headers=()):
        """Send one request, check everything that must always hold, return (status, body)."""
        raw = target if isinstance(target, bytes) else target.encode()
        if view:
            raw = f"/{view}".encode() + raw
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        sent = {b"content-type": content_type.encode("latin-1", "replace"), **dict(headers)}
        known = {each.name: state_of(each) for each in self.server.views.all()}
        began = time.thread_time()
        answer = self.server.api(exchanges.Request(method, raw, sent, body))
        if asyncio.iscoroutine(answer):
            answer = asyncio.run(answer)
        asked = f"{method} {raw!r} {content_type} {body[:2000]!r}"
        if isinstance(answer, exchanges.Stream):
            status, shown = asyncio.run(self._read(answer))
        else:
            assert type(answer) is responses.Response, asked
            status, shown = answer.status, answer.body
            self._check_head(answer, asked)
        assert time.thread_time() - began < CPU_S_MAX, asked
        if status >= 400:
            check_error(status, answer.content_type, shown, asked)
            self._check_unchanged(known, method, asked)
        elif answer.content_type.startswith("application/json"):
            for line in shown.split(b"\n") if isinstance(answer, exchanges.Stream) else [shown]:
                if line:
                    strictly(line, asked)
        return status, shown

    def _check_unchanged(self, known, method, asked):
        for view in self.server.views.all():
            assert view.name in known, asked
            if method != "DELETE":  # Deleting a collection may stop at one that may not go.
                assert state_of(view) == known[view.name], asked

    def _check_head(self, answer, asked):
        """No value may end a header early or begin another answer."""
        head = self.heads.head(answer, length=len(answer.body), close=False)
        seen = _Head()
        parser = httptools.HttpResponseParser(seen)
        parser.feed_data(head + answer.body)
        if answer.status not in (204, 304):
            assert (seen.complete, seen.body) == (1, answer.body), asked
        assert seen.headers.get(b"content-type", b"").decode() == answer.content_type, asked

    @staticmethod
    async def _read(stream):
        sink = Collector()
        stream.opened(sink)
        for _ in range(3):
            await asyncio.sleep(0)
        stream.closed()
        return stream.status, b"".join(sink.chunks)


def state_of(view):
    """Return what a refused write must leave as it is: every tree, and the revision."""
    return view.revision, {key: id(tree) for key, tree in view.store.snapshot().items()}


def strictly(text, asked=""):
    """Parse JSON as RFC 8259 has it: UTF-8, no NaN, no Infinity."""

    def refuse(name):
        raise AssertionError(f"{name} in the answer to {asked}")

    return json.loads(text.decode("utf-8"), parse_constant=refuse)


def check_error(status, content_type, body, asked):
    """A refusal is a v1.Status, or the plain text of a path that leads nowhere."""
    if content_type.startswith("text/plain"):
        assert status in (400, 404, 405, 408, 431, 500, 503), asked
        return
    if not body:
        assert content_type == "", asked
        return
    if content_type == "application/yaml":
        shown = yaml.safe_load(body)
    else:
        assert content_type == "application/json", (content_type, asked)
        shown = strictly(body, asked)
    assert shown["kind"] == "Status", asked
    assert shown["apiVersion"] == "v1", asked
    assert shown["status"] == "Failure", asked
    assert shown["code"] == status, asked
    assert isinstance(shown.get("message", ""), str), asked
    assert isinstance(shown.get("details", {}), dict), asked


class Failures(logging.Handler):
    """Keeps what is logged as an error: a request that failed unexpectedly is."""

    def __init__(self):
        super().__init__(logging.ERROR)
        self.records = []

    def emit(self, record):
        self.records.append(record)


ODD_TEXTS = [
    "", " ", "a", "-", ".", "..", "../..", "a/b", "a%2fb", "\x00", "a\x00b", "\n", "a\r\nX: y",
    "\ud800", "a\udfffb", "é", "日本", "\U0001f600", "\u202e", "A" * 64, "a" * 254, "b" * 1025,
    "1", "-1", "0x10", "1e99999", "1e400", "99999999999999999999", "9" * 5000, "NaN", "null",
    "true", "100m", "-5Gi", "5xi", "1.5.5", "10%", "-10%", "101%", "IfNotPresent", "ClusterIP",
    "None", "1.2.3.4", "::1", "1.2.3.4/33", "::/0", "0.0.0.0/0", "2026-01-01T00:00:00Z", "9999-99-99T00:00:00Z",
    "0000-00-00T00:00:00Z", "$(A)", "${a}", "*", "{}", "[", "a=b", "a in (b", "!a", "f:spec",
    "self.x", "object.spec.x == 1", "(((((", "* * * * *", "@every -1h", "61 * * * *", "[[", "(a+)+$",
]  # fmt: skip
ODD_NUMBERS = [
    0, 1, -1, 2, 80, 65535, 65536, 1 << 31, -(1 << 31) - 1, 1 << 53, (1 << 63) - 1, 1 << 63,
    -(1 << 63), -(1 << 63) - 1, 1 << 64, 1 << 200, 0.5, -0.0, 1e308, 1e-320, 1.0, 1e20, 5e9,
]  # fmt: skip
ODD_VALUES = [
    None, True, False, {}, [], [[]], [{}], [None], {"": ""}, {"a": None}, {"a": {"b": [{"c": 1}]}},
    [1, "a", None], {"name": 5}, [{"name": None}, {"name": "a"}, {"name": "a"}], {"$patch": "x"},
    {"$patch": "delete"}, [{"$patch": "replace"}], {"$retainKeys": 5}, {"f:a": {"k:{": {}}},
    {"matchLabels": [1]}, {"matchExpressions": [{"key": "a", "operator": "Huh", "values": 5}]},
    [{"manager": 5}], [{"fieldsV1": {"f:x": 5, "v:": {}, "k:{\"a\"}": [], "i:-5": None, ".": 1}}],
    [{"manager": "m", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1",
      "fieldsV1": {"f:metadata": {"f:labels": 7}, "f:spec": None}}],
    [{"apiVersion": "v1", "kind": "Pod"}], [{"apiVersion": "v1", "kind": "Pod", "name": "a",
      "uid": "b", "controller": True}] * 2, [{"uid": 5, "controller": "yes"}],
]  # fmt: skip
ODD = [*ODD_TEXTS, *ODD_NUMBERS, *ODD_VALUES]
ODD_KEYS = [
    "", "a", "\x00", "\ud800", "é", "$patch", "$retainKeys", "$setElementOrder/containers",
    "$deleteFromPrimitiveList/finalizers", "metadata", "spec", "status", "kind", "apiVersion",
    "name", "namespace", "generateName", "labels", "annotations", "ownerReferences", "finalizers",
    "managedFields", "resourceVersion", "uid", "generation", "deletionTimestamp",
    "creationTimestamp", "deletionGracePeriodSeconds", "selfLink", "data", "items", "template",
    "selector", "replicas", "containers", "x-kubernetes-validations", "default", "properties", "a" * 400,
]  # fmt: skip


def places(value, path=()):
    """Yield the path of every value within a JSON value."""
    yield path
    if isinstance(value, (dict, list)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(item, (*path, key))


def replaced(value, path, new):
    """Return a copy with another value at a path; parts not on the path are shared."""
    if not path:
        return new
    key, *rest = path
    if isinstance(value, dict):
        return value | {key: replaced(value.get(key), rest, new)}
    return [replaced(item, rest, new) if at == key else item for at, item in enumerate(value)]


def at(value, path):
    for key in path:
        value = value[key]
    return value


class Seeds(tuple):
    """Requests of the corpus, shown briefly."""

    __slots__ = ()

    def __repr__(self):
        return f"<{len(self)} requests>"


def seeds(*methods):
    """Return the requests of the corpus with one of some methods."""
    return Seeds(sent for sent in CORPUS if sent.method in methods)


def spoiled(choose, known):
    """Return a request with one to three values spoiled; `choose` picks one of a sequence."""
    sent = known[choose(range(len(known)))]
    body = sent.body
    for _ in range(choose((1, 1, 2, 3))):
        path = choose(list(places(body)))
        body = replaced(body, path, _spoilt(choose, at(body, path)))
    return dataclasses.replace(sent, body=body)


def _spoilt(choose, found):
    odd = choose(ODD)
    how = choose(("replace", "replace", "add", "drop", "repeat", "wrap"))
    if how == "wrap":
        return [found]
    if how == "replace" or not isinstance(found, (dict, list)):
        return odd
    if isinstance(found, list):
        return {"add": [*found, odd], "drop": found[1:], "repeat": found + found}[how]
    if how == "add" or not found:
        return {**found, choose(ODD_KEYS): odd}
    key = choose(sorted(found))
    if how == "drop":
        return {other: item for other, item in found.items() if other != key}
    return {**found, key: odd}


@st.composite
def mutations(draw, known):
    """Draw a request of the corpus with one to three values spoiled."""
    return spoiled(lambda options: draw(st.sampled_from(options)), known)


CORPUS = corpus()
