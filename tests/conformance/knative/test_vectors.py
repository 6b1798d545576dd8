"""What Knative's webhook refuses, warns of and fills in: case by case as recorded."""

from __future__ import annotations

import json
import re

import pytest
import replay

from understudy.aio import clocks, ids
from understudy.controllers.knative import installing, settings
from understudy.kapi import views
from understudy.kapi.views import options
from understudy.kube import objects, statuses

CASES = [
    (name, case)
    for name in ("v1-validation", "v2-defaults")
    for case in json.loads((replay.TRACES / f"{name}.json").read_text())["cases"]
]
KNOWN = json.loads((replay.HERE / "known-differences.json").read_text())


@pytest.fixture(scope="module")
def view():
    made = views.new_view(clock=clocks.ManualClock(), ids=ids.SeededIds(3))
    installing.install(made, settings.KnativeSettings(limits=replay.RECORDED_LIMITS))
    made.create("namespaces", {"metadata": {"name": "demo"}})
    return made


def asked(view, case):
    """Create without keeping, as it was recorded; return code, message, object and warnings."""
    how = options.WriteOptions(
        user=replay.ADMIN, user_agent="kubectl", dry_run=True, field_validation="Ignore"
    )
    try:
        request = objects.copy(case["request"])
        resource = view.catalogue.by_kind(request["apiVersion"], request["kind"])
        written = view.create(resource, request, "demo", options=how)
    except statuses.ApiError as error:
        return error.code, error.message, None, list(error.warnings)
    return 201, None, written.object(), list(written.warnings)


def plain(text):
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "<uid>", text or "")


@pytest.mark.parametrize(
    ("where", "case"), CASES, ids=[f"{name}:{case['case']}" for name, case in CASES]
)
def test_a_request_is_answered_as_recorded(view, where, case):
    code, message, obj, warnings = asked(view, case)
    found = {}
    if code != case["code"]:
        found["code"] = (case["code"], code, message)
    elif code >= 400 and plain(message) != plain(case["message"]):
        found["message"] = (case["message"], message)
    elif obj is not None and where == "v2-defaults":
        found |= {
            field: (case[field], obj[field]) for field in ("spec",) if case[field] != obj[field]
        }
        annotations = case["metadata"].get("annotations")
        if annotations != obj["metadata"].get("annotations"):
            found["annotations"] = (annotations, obj["metadata"].get("annotations"))
    if sorted(case.get("warnings") or ()) != sorted(warnings):
        found["warnings"] = (case.get("warnings"), warnings)
    known = KNOWN.get(where, {}).get("cases", {}).get(case["case"], [])
    assert {field: pair for field, pair in found.items() if field not in known} == {}
    assert set(known) <= set(found), "agrees by now: take it out of known-differences.json"
