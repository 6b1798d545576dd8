import pytest

from understudy.kapi import views
from understudy.kube import statuses

DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"


def crd(*versions, group="g.io", plural="widgets", kind="Widget", **spec):
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind},
            "versions": list(versions),
            **spec,
        },
    }


def version(schema, name="v1", *, storage=True, **more):
    return {
        "name": name,
        "served": True,
        "storage": storage,
        "schema": {"openAPIV3Schema": {"type": "object"} | schema},
        **more,
    }


class World:
    """A view with one definition of widgets; objects are read and written by name."""

    def __init__(self):
        self.view = views.new_view()

    def define(self, *versions, **spec):
        return self.view.create(DEFINITIONS, crd(*versions, **spec)).object()

    def spec(self, properties, **more):
        """Define widgets whose spec has these properties."""
        spec = {"type": "object", "properties": properties} | more.pop("spec", {})
        self.define(version({"properties": {"spec": spec}}, **more))

    def change(self, patch):
        self.view.patch(
            DEFINITIONS, "widgets.g.io", patch, patch_type="application/merge-patch+json"
        )

    def create(self, name="w", *, version="v1", **content):
        obj = {
            "apiVersion": f"g.io/{version}",
            "kind": "Widget",
            "metadata": {"name": name},
            **content,
        }
        return self.view.create(f"widgets.{version}.g.io", obj, "default")

    def get(self, name="w", version="v1"):
        return self.view.get(f"widgets.{version}.g.io", name, "default")

    def patch(self, patch, name="w", *, version="v1", subresource=""):
        return self.view.patch(
            f"widgets.{version}.g.io",
            name,
            patch,
            "default",
            patch_type="application/merge-patch+json",
            subresource=subresource,
        )


@pytest.fixture
def world():
    return World()


@pytest.fixture
def refusal():
    """Run a write that must be refused; returns its causes as `field: message`."""

    def run(write, *args, **kwargs):
        with pytest.raises(statuses.ApiError) as caught:
            write(*args, **kwargs)
        found = [f"{c.get('field')}: {c['message']}" for c in caught.value.causes]
        return found or caught.value.message

    return run


@pytest.fixture
def make():
    """The two builders: `make.crd`, `make.version`."""

    class Make:
        crd = staticmethod(crd)
        version = staticmethod(version)
        definitions = DEFINITIONS

    return Make
