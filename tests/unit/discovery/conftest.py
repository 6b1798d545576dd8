"""A custom resource for the discovery tests."""

import pytest

from understudy.kapi.resources import catalogue, strategies
from understudy.kube import identities, schemas

SCALE = identities.GroupVersionKind("autoscaling", "v1", "Scale")


def _widget(group="stable.example.com", version="v1", **more):
    own = identities.GroupVersionKind(group, version, "Widget")
    fields = {
        "group": group,
        "version": version,
        "kind": "Widget",
        "plural": "widgets",
        "singular": "widget",
        "namespaced": True,
        "verbs": (
            "delete",
            "deletecollection",
            "get",
            "list",
            "patch",
            "create",
            "update",
            "watch",
        ),
        "short_names": ("wd",),
        "subresources": {
            "status": strategies.Subresource(
                name="status", kind=own, verbs=("get", "patch", "update")
            ),
            "scale": strategies.Subresource(
                name="scale", kind=SCALE, verbs=("get", "patch", "update")
            ),
        },
        "storage": identities.GroupResource(group, "widgets"),
        "storage_version": f"{group}/v1",
        "schema": schemas.ANY,
        "custom": True,
    }
    return catalogue.Resource(**(fields | more))


@pytest.fixture
def widget():
    return _widget
