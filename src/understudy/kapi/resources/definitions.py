"""The generated facts of one Kubernetes version, and the schema nodes built from them.

Two artefacts lie in `data/`: `schemas-*.json.gz` (OpenAPI definitions without descriptions, and the
table of resources; made by tools/gen_schema.py) and `types-*.json.gz` (Go types and protobuf field
numbers; made by tools/gen_types.py). Nodes are built on demand, each definition once.
"""

from __future__ import annotations

import dataclasses
import functools
import gzip
import importlib.resources
from typing import TypedDict

import orjson

from understudy.kapi.resources import tables
from understudy.kube import objects, schemas

META = "io.k8s.apimachinery.pkg.apis.meta.v1."
APIEXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."
QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
RAW_EXTENSION = "io.k8s.apimachinery.pkg.runtime.RawExtension"

FORMATS = {
    QUANTITY: "quantity",
    INT_OR_STRING: "int-or-string",
    META + "Time": "date-time",
    META + "MicroTime": "micro-time",
    META + "Duration": "duration",
}
"""Types that Go decodes with a function of their own, and the format which says so in a node."""

UNTYPED = frozenset({META + "FieldsV1", RAW_EXTENSION, APIEXTENSIONS + "JSON"})
"""Types that keep whatever JSON they are given."""

ONE_OF_TWO = {
    APIEXTENSIONS + "JSONSchemaPropsOrArray": "schema-or-array",
    APIEXTENSIONS + "JSONSchemaPropsOrBool": "schema-or-bool",
    APIEXTENSIONS + "JSONSchemaPropsOrStringArray": "schema-or-strings",
}
"""Unions within CustomResourceDefinitions' schemas: a schema, or the other thing."""

_NULL_WHEN_ABSENT = frozenset({META + "Time", META + "MicroTime"}) | UNTYPED
_GO_NUMBERS = {"int32": "int32", "int64": "int64", "double": "float64", "float": "float32"}


class ResourceRow(TypedDict):
    """One resource of the generated table."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool
    verbs: list[str]
    subresources: dict[str, SubresourceRow]


class SubresourceRow(TypedDict):
    """One subresource of the generated table; `kind` is [group, version, kind]."""

    kind: list[str]
    verbs: list[str]


FieldRow = tuple[str, str, int, str]
"""(JSON name or empty when inlined, Go type, protobuf number or 0, flags `o` `z` `i`)."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GoTypes:
    """What types-*.json.gz holds; see tools/gen_types.py for the forms."""

    structs: dict[str, list[FieldRow]]
    named: dict[str, str]
    wrappers: frozenset[str]

    def fields(self, name: str) -> dict[str, FieldRow]:
        """Return a struct's fields by JSON name, those of inlined structs included."""
        found: dict[str, FieldRow] = {}
        for row in self.structs.get(self.resolved(name), ()):
            if "i" in row[3]:
                found |= self.fields(row[1].lstrip("*"))
            else:
                found[row[0]] = row
        return found

    def inlined(self, name: str) -> dict[str, tuple[str, ...]]:
        """Return the names of the inlined structs that lead to a field, where any do."""
        found: dict[str, tuple[str, ...]] = {}
        for row in self.structs.get(self.resolved(name), ()):
            if "i" in row[3]:
                inner = row[1].lstrip("*")
                deeper, short = self.inlined(inner), inner.rpartition(".")[2]
                found |= {key: (short, *deeper.get(key, ())) for key in self.fields(inner)}
        return found

    def resolved(self, name: str) -> str:
        """Follow `type A B` to the struct or to the basic type below it."""
        while name not in self.structs and name in self.named:
            name = self.named[name]
        return name

    def spelled(self, go_type: str) -> str:
        """Spell a type as Go prints it: `[]io.k8s.api.core.v1.Container` -> `[]v1.Container`."""
        head, bracket, rest = go_type.partition("]")
        if bracket:
            key = head.removeprefix("map[")
            inner = f"map[{self.spelled(key)}]" if head.startswith("map[") else "[]"
            return inner + self.spelled(rest)
        if go_type.startswith("*"):
            return "*" + self.spelled(go_type[1:])
        go_type = "uint8" if go_type == "byte" else go_type
        return ".".join(go_type.rsplit(".", 2)[-2:])


def _load(name: str) -> objects.Object:
    data = importlib.resources.files("understudy.kapi.resources") / "data" / name
    loaded: objects.Object = orjson.loads(gzip.decompress(data.read_bytes()))
    return loaded


@functools.cache
def shared(version: str = "1.36") -> Definitions:
    """Return the facts of a version, read once for everything that asks."""
    return Definitions(version)


@functools.cache
def _registered(version: str) -> dict[str, frozenset[str]]:
    rows = _load(f"types-{version}.json.gz")["registered"]
    return {api_version: frozenset(kinds) for api_version, kinds in rows.items()}


def registered(api_version: str, version: str = "1.36") -> frozenset[str]:
    """Return the kinds that a server of this version knows in an apiVersion, served or not."""
    return _registered(version).get(api_version, frozenset())


class Definitions:
    """The facts of one Kubernetes version. Reading them costs a few milliseconds, once."""

    def __init__(self, version: str) -> None:
        document = _load(f"schemas-{version}.json.gz")
        self.version: str = document["version"]
        self.openapi: dict[str, objects.Object] = document["definitions"]
        self.rows: list[ResourceRow] = document["resources"]
        self._nodes: dict[str, schemas.Schema] = {}
        self._leaves: dict[tuple[str, str, str], schemas.Schema] = {}

    @functools.cached_property
    def go(self) -> GoTypes:
        """The Go types of the same version."""
        document = _load(f"types-{self.version}.json.gz")
        return GoTypes(
            structs=document["structs"],
            named=document["named"],
            wrappers=frozenset(document["wrappers"]),
        )

    @functools.cached_property
    def by_kind(self) -> dict[tuple[str, str, str], str]:
        """(group, version, kind) -> name of the definition."""
        return {
            (gvk["group"], gvk["version"], gvk["kind"]): name
            for name, definition in self.openapi.items()
            for gvk in definition.get("x-kubernetes-group-version-kind", ())
        }

    def schema(self, name: str) -> schemas.Schema:
        """Return the node of a definition, e.g. of `io.k8s.api.core.v1.PodSpec`."""
        if (node := self._nodes.get(name)) is not None:
            return node
        raw = self.openapi[name]
        node = self._nodes[name] = self._empty_node(name, raw)
        if node.fields is not None:
            self._fill(name, node, raw)
        elif name in ONE_OF_TWO:
            node.items = self.schema(APIEXTENSIONS + "JSONSchemaProps")
        return node

    def _empty_node(self, name: str, raw: objects.Object) -> schemas.Schema:
        """Build a definition's node without its fields, so that recursive types find it."""
        short = name.rpartition(".")[2]
        node = schemas.Schema(
            type=raw.get("type", ""),
            format=FORMATS.get(name) or ONE_OF_TWO.get(name) or raw.get("format", ""),
            name=short,
            map_type=raw.get("x-kubernetes-map-type", ""),
            required=tuple(raw.get("required", ())),
            go_type=self.go.spelled(name),
        )
        if name in UNTYPED:
            node.preserve_unknown = True
        elif "properties" in raw or (name in self.go.structs and name not in FORMATS):
            node.fields = None if name in ONE_OF_TWO else {}
        elif name not in FORMATS and name not in ONE_OF_TWO:
            node.preserve_unknown = True
        return node

    def _fill(self, name: str, node: schemas.Schema, raw: objects.Object) -> None:
        assert node.fields is not None
        rows = self.go.fields(name)
        node.inlined = self.go.inlined(name)
        omit_empty = []
        for field, declared in raw.get("properties", {}).items():
            row = rows.get(field)
            go_type = row[1] if row else ""
            node.fields[field] = self._field(declared, go_type, (name, field))
            if row is None:
                continue
            how = self._when_empty(row)
            if how == "omit":
                omit_empty.append(field)
            elif how:
                node.always[field] = how == "null"
        node.omit_empty = frozenset(omit_empty)

    def _when_empty(self, row: FieldRow) -> str:
        """Say what Go writes for an empty field: `omit`, `null`, `zero`; empty: keep as it is."""
        _, go_type, _, flags = row
        if go_type.startswith("*"):
            return "" if "o" in flags else "null"
        resolved = self.go.resolved(go_type)
        struct = resolved in self.go.structs or resolved in FORMATS or resolved in UNTYPED
        if "z" in flags or ("o" in flags and not struct):
            return "omit"
        collection = resolved.startswith(("[]", "map["))
        return "null" if collection or resolved in _NULL_WHEN_ABSENT else "zero"

    def _field(
        self, raw: objects.Object, go_type: str, key: tuple[str, str] | None = None
    ) -> schemas.Schema:
        """Build the node of a property, of a list's items or of a map's values."""
        go_type = go_type.lstrip("*")
        reference = raw.get("$ref")
        default = tables.DEFAULTS.get(key) if key else None
        if reference is not None:
            node = self.schema(reference.rpartition("/")[2])
            return self._varied(node, raw, default) if len(raw) > 1 else node
        kind = raw.get("type", "")
        if kind == "array":
            return self._list(raw, go_type)
        if kind == "object":
            if "additionalProperties" not in raw:
                return schemas.ANY
            inner = self.go.resolved(go_type).partition("]")[2]
            return schemas.Schema(
                type="object",
                values=self._field(raw["additionalProperties"], inner),
                map_type=raw.get("x-kubernetes-map-type", ""),
                patch_strategy=_strategies(raw),
                go_type=self.go.spelled(go_type),
            )
        return self._leaf(kind, raw.get("format", ""), go_type, default)

    def _leaf(self, kind: str, form: str, go_type: str, default: objects.Json) -> schemas.Schema:
        spelled = self.go.spelled(go_type) if go_type else _GO_NUMBERS.get(form, kind)
        if default is not None:
            return schemas.Schema(type=kind, format=form, go_type=spelled, default=default)
        found = self._leaves.get((kind, form, spelled))
        if found is None:
            found = schemas.Schema(type=kind, format=form, go_type=spelled)
            self._leaves[kind, form, spelled] = found
        return found

    def _list(self, raw: objects.Object, go_type: str) -> schemas.Schema:
        inner = self.go.resolved(go_type).partition("]")[2]
        items = self._field(raw["items"], inner)
        keys = tuple(raw.get("x-kubernetes-list-map-keys", ()))
        owner = raw["items"].get("$ref", "").rpartition("/")[2]
        return schemas.Schema(
            type="array",
            items=items,
            list_type=raw.get("x-kubernetes-list-type", ""),
            list_keys=keys,
            key_defaults=self._key_defaults(owner, keys),
            patch_strategy=_strategies(raw),
            patch_merge_key=raw.get("x-kubernetes-patch-merge-key", ""),
            go_type=self.go.spelled(go_type),
        )

    def _key_defaults(self, owner: str, keys: tuple[str, ...]) -> dict[str, objects.Json]:
        """Return what list keys are when absent: their default, or zero where Go always has one."""
        rows = self.go.fields(owner) if keys else {}
        out: dict[str, objects.Json] = {}
        for key in keys:
            _, go_type, _, flags = rows.get(key, ("", "", "", "o"))
            if (owner, key) in tables.DEFAULTS:
                out[key] = tables.DEFAULTS[owner, key]
            elif "o" not in flags and not go_type.startswith("*"):
                is_text = self.go.resolved(go_type) == "string"
                out[key] = "" if is_text else 0
        return out

    def _varied(
        self, node: schemas.Schema, raw: objects.Object, default: objects.Json
    ) -> schemas.Schema:
        """Copy a definition's node for a field that adds to it; the fields stay shared."""
        changes: objects.Object = {}
        if "x-kubernetes-map-type" in raw:
            changes["map_type"] = raw["x-kubernetes-map-type"]
        if "x-kubernetes-patch-strategy" in raw:
            changes["patch_strategy"] = _strategies(raw)
        if default is not None:
            changes["default"] = default
        return dataclasses.replace(node, **changes)


def _strategies(raw: objects.Object) -> tuple[str, ...]:
    found = raw.get("x-kubernetes-patch-strategy", "")
    return tuple(found.split(",")) if found else ()
