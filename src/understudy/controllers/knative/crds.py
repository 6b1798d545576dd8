"""Knative's resources as CustomResourceDefinitions, from the data file beside this module."""

from __future__ import annotations

import functools
import importlib.resources

import yaml

from understudy.kapi.views import view as views
from understudy.kube import objects, statuses

VERSION = "1.23.0"
CRDS = "customresourcedefinitions.apiextensions.k8s.io"


@functools.cache
def _read() -> list[objects.Object]:
    text = (importlib.resources.files(__package__) / "data" / "resources.yaml").read_text()
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    resources = yaml.load(text, Loader=loader)["resources"]  # noqa: S506 (a safe loader)
    return [_definition(resource) for resource in resources]


def definitions() -> list[objects.Object]:
    """Return the definitions, private to the caller."""
    return [objects.copy(definition) for definition in _read()]


def install(view: views.View) -> None:
    """Create the definitions in a view; those that exist are brought to this version."""
    for definition in definitions():
        name = objects.name_of(definition)
        present = view.find(CRDS, "", name)
        if present is None:
            view.create(CRDS, definition)
        elif present["spec"] != definition["spec"]:
            present["spec"] = definition["spec"]
            try:
                view.update(CRDS, present)
            except statuses.InvalidError:
                continue  # another version of Knative's definitions: leave it alone


def _definition(resource: objects.Object) -> objects.Object:
    group, names = resource["group"], resource["names"]
    version: objects.Object = {
        "name": resource["version"],
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": _schema(resource)},
    }
    if "status" in resource:
        version["subresources"] = {"status": {}}
    if resource["columns"]:
        version["additionalPrinterColumns"] = resource["columns"]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{names['plural']}.{group}",
            "labels": {
                "app.kubernetes.io/name": "knative-serving",
                "app.kubernetes.io/version": VERSION,
                "knative.dev/crd-install": "true",
            },
        },
        "spec": {
            "group": group,
            "names": names | {"listKind": f"{names['kind']}List"},
            "scope": resource.get("scope", "Namespaced"),
            "versions": [version],
        },
    }


def _schema(resource: objects.Object) -> objects.Object:
    properties: objects.Object = {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
        "spec": resource["spec"],
    }
    if "status" in resource:
        properties["status"] = resource["status"]
    return {"type": "object", "properties": properties}
