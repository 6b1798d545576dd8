"""Bodies of subresources whose fields have other types are refused, not stumbled over."""

from __future__ import annotations

import pytest

from understudy.kapi import views
from understudy.kube import statuses


@pytest.fixture(scope="module")
def view():
    base = views.new_view()
    container = {"name": "c", "image": "i"}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container]}}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    base.create("pods", {"metadata": {"name": "a"}, "spec": {"containers": [container]}}, "default")
    base.create("deployments.apps", {"metadata": {"name": "a"}, "spec": spec}, "default")
    return base


@pytest.mark.parametrize(
    ("subresource", "body"),
    [
        ("binding", {"target": "n1"}),
        ("binding", {"target": {"kind": [{}], "name": "n1"}}),
        ("binding", {"metadata": 5, "target": {"name": "n1"}}),
        ("eviction", {"deleteOptions": "now"}),
        ("eviction", {"metadata": [], "deleteOptions": {"preconditions": 5}}),
    ],
)
def test_posted_kinds_are_typed(view, subresource, body):
    before = view.revision
    with pytest.raises(statuses.BadRequestError):
        view.create("pods", body, "default", name="a", subresource=subresource)
    assert view.revision == before


@pytest.mark.parametrize("replicas", [[], {}, "3", True, 1 << 70, 1 << 31])
def test_scales_are_typed(view, replicas):
    before = view.revision
    scale = {"metadata": {"name": "a"}, "spec": {"replicas": replicas}}
    with pytest.raises(statuses.BadRequestError):
        view.update("deployments.apps", scale, "default", name="a", subresource="scale")
    with pytest.raises(statuses.ApiError):
        view.patch(
            "deployments.apps",
            "a",
            {"spec": {"replicas": replicas}},
            "default",
            patch_type="application/merge-patch+json",
            subresource="scale",
        )
    assert view.revision == before
