"""What strict field validation says of a patch itself, from its text to the verb's answer."""

from __future__ import annotations

import pytest

from understudy.kapi import views
from understudy.kapi.http import bodies
from understudy.kapi.views import options as opts
from understudy.kube import statuses

JSON = "application/json-patch+json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"


@pytest.fixture
def view():
    made = views.new_view()
    made.create(
        "configmaps",
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "1"}},
        "default",
    )
    yield made
    made.close()


def parse(body, patch_type):
    return bodies.parse_patch(body, patch_type, depth_max=100)


@pytest.mark.parametrize("patch_type", [MERGE, STRATEGIC])
def test_fields_said_twice_in_a_patch_are_found(patch_type):
    patch, complaints = parse(b'{"data": {"k": "1", "k": "2"}}', patch_type)
    assert patch == {"data": {"k": "2"}}
    assert complaints == ['duplicate field "data.k"']
    assert parse(b'{"data": {"k": "1"}}', patch_type)[1] == []


def test_fields_said_twice_in_an_operation_are_found():
    body = b'[{"op": "add", "path": "/data/k", "path": "/data/x", "value": ""}]'
    assert parse(body, JSON)[1] == ['json patch duplicate field "[0].path"']


def test_an_operations_unknown_field_is_a_warning(view):
    operations = [{"op": "add", "path": "/data/x", "value": "2", "form": "/data/k"}]
    written = view.patch("configmaps", "a", operations, "default", patch_type=JSON)
    assert written.warnings == ['json patch unknown field "[0].form"']
    assert written.object()["data"] == {"k": "1", "x": "2"}


def test_a_strict_patch_is_refused_for_its_duplicates(view):
    options = opts.WriteOptions(field_validation="Strict", duplicates=('duplicate field "data.k"',))
    with pytest.raises(statuses.InvalidError) as caught:
        view.patch(
            "configmaps", "a", {"data": {"k": "2"}}, "default", patch_type=MERGE, options=options
        )
    assert caught.value.details["causes"][0]["field"] == "patch"
    assert 'strict decoding error: duplicate field "data.k"' in caught.value.message
