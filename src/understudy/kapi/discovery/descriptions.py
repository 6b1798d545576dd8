"""What fields mean, in words: only where the optional package kubernetes-validate is installed.

`kubectl explain` shows these texts. They are read at run time (`pip install understudy[explain]`),
not shipped; without the package everything else of the documents stays the same.
"""

from __future__ import annotations

import importlib.util
import pathlib

import orjson

from understudy.kapi.resources import catalogue as catalogues, definitions
from understudy.kube import objects

_FILE = "kubernetes-json-schema/v{version}.0-local/_definitions.json"


def load(version: str) -> objects.Object:
    """Return the described definitions of a Kubernetes version by name; empty where there are none.

    The definitions are those of `definitions.Definitions.openapi`, with `description` in them.
    """
    spec = importlib.util.find_spec("kubernetes_validate")
    if spec is None or not spec.submodule_search_locations:
        return {}
    for location in spec.submodule_search_locations:
        file = pathlib.Path(location) / _FILE.format(version=version)
        if file.is_file():
            found: objects.Object = orjson.loads(file.read_bytes())["$defs"]
            return found
    return {}


def of_catalogue(catalogue: catalogues.Catalogue) -> dict[str, objects.Object]:
    """Return the built-in definitions, described where that is possible, made once."""
    origin = catalogue
    while origin.origin is not None:
        origin = origin.origin
    if origin.facts is None:
        return {}
    found: dict[str, objects.Object] | None = origin.derived.get("described")
    if found is None:
        found = origin.derived["described"] = _described(origin.facts)
    return found


def _described(facts: definitions.Definitions) -> dict[str, objects.Object]:
    """Return the OpenAPI definitions with descriptions in them, as far as there are any."""
    words = load(facts.version)
    if not words:
        return facts.openapi
    return {
        name: _merged(definition, words.get(name, {})) for name, definition in facts.openapi.items()
    }


def _merged(schema: objects.Object, words: objects.Object) -> objects.Object:
    out = dict(schema)
    if "description" in words:
        out["description"] = words["description"]
    for key in ("items", "additionalProperties"):
        if isinstance(out.get(key), dict) and isinstance(words.get(key), dict):
            out[key] = _merged(out[key], words[key])
    if "properties" in out:
        more = words.get("properties", {})
        out["properties"] = {
            name: _merged(field, more.get(name, {})) for name, field in out["properties"].items()
        }
    return out
