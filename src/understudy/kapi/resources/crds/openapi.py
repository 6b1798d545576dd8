"""Rules for a schema inside a CRD: what structural schemas may say, and whether its CEL compiles.

Source: k8s.io/apiextensions-apiserver 0.36 `apis/apiextensions/validation`
(`ValidateCustomResourceDefinitionOpenAPISchema` and `cel_validation.go`); texts to the letter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from understudy.kapi.resources.crds import (
    defaults,
    fieldpaths,
    formats,
    nodes,
    paths,
    rulechecks,
    structural,
)
from understudy.kube import causes, objects, statuses

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_REASONS = (
    "FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired",
)  # fmt: skip
_UNTYPED = (
    "internal error: failed to construct type information for x-kubernetes-validations rules: "
    "unable to convert structural schema to CEL declarations"
)
_LINE_BREAK = re.compile(r"[\n\r]")
_ALLOWED_AT_ROOT = (
    "Description", "Type", "Format", "Title", "Maximum", "ExclusiveMaximum", "Minimum",
    "ExclusiveMinimum", "MaxLength", "MinLength", "Pattern", "MaxItems", "MinItems",
    "UniqueItems", "MultipleOf", "Required", "Items", "Properties", "ExternalDocs", "Example",
    "XPreserveUnknownFields", "XValidations",
)  # fmt: skip
_GO_NAMES = {
    "x-kubernetes-preserve-unknown-fields": "XPreserveUnknownFields",
    "x-kubernetes-validations": "XValidations",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the check of one schema depends on.

    Attributes:
        with_status: Some version of the schema has a status subresource.
        known_expressions: CEL that the stored definition already has.
        unchanged: The stored definition has the very same schema; its cost was accepted.
    """

    with_status: bool = False
    known_expressions: frozenset[str] = frozenset()
    unchanged: bool = False


def problems(schema: objects.Object, path: str, settings: Settings) -> list[statuses.Cause]:
    """Return every reason why a version's schema is not valid; `path` ends in openAPIV3Schema."""
    out: list[statuses.Cause] = []
    if settings.with_status:
        out += _root_fields(schema, path)
    if schema.get("nullable"):
        out.append(causes.forbidden(f"{path}.nullable", "nullable cannot be true at the root"))
    unreadable = structural.unreadable(schema)
    rules: rulechecks.Rules | None = None
    if not unreadable:
        found = structural.problems(schema, path) or defaults.problems(schema, path)
        out += found
        if not found:
            rules = rulechecks.Rules(schema, cardinality=1, costs=rulechecks.Costs())
    walk = _Walk(settings)
    checked = walk.check(schema, path, _Position(root=True), rules)
    out += checked.schema + checked.cel
    if not out and unreadable:
        out.append(causes.invalid(path, "", unreadable))
    if rules is not None:
        out += rules.costs.problems(path)
    return out


def _root_fields(schema: objects.Object, path: str) -> Iterator[statuses.Cause]:
    kind = str(schema.get("type") or "")
    if kind and kind != "object":
        text = (
            'only "object" is allowed as the type at the root of the schema if the status '
            "subresource is enabled"
        )
        yield causes.invalid(f"{path}.type", kind, text)
        return
    for word, value in schema.items():
        name = _GO_NAMES.get(word, word[:1].upper() + word[1:])
        if name not in _ALLOWED_AT_ROOT and value not in (None, False, "", [], {}):
            text = (
                f"only [{' '.join(_ALLOWED_AT_ROOT)}] fields are allowed at the root of the schema "
                "if the status subresource is enabled"
            )
            yield causes.invalid(path, schema, text)
            return


# ---------------------------------------------------------------------- the walk


@dataclass(frozen=True, slots=True, kw_only=True)
class _Position:
    """Where in the schema a check is."""

    root: bool = False
    no_defaults: str = ""
    in_meta: bool = False
    uncorrelatable: str = ""


@dataclass(slots=True)
class _Found:
    schema: list[statuses.Cause] = field(default_factory=list)
    cel: list[statuses.Cause] = field(default_factory=list)

    def add(self, other: _Found) -> None:
        self.schema += other.schema
        self.cel += other.cel


class _Walk:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def check(
        self, schema: objects.Object, path: str, place: _Position, rules: rulechecks.Rules | None
    ) -> _Found:
        out = _Found()
        out.schema += _forbidden(schema, path, place)
        out.schema += _own(schema, path)
        self._below(schema, path, place, rules, out)
        out.schema += _extensions(schema, path)
        out.schema += _list_maps(schema, path)
        entries = schema.get("x-kubernetes-validations") or []
        for position, entry in enumerate(entries):
            here = paths.index(paths.child(path, "x-kubernetes-validations"), position)
            out.schema += _rule_texts(entry, schema, here)
        if entries and not out.schema and rules is not None:
            out.cel += self._compile(entries, path, place, rules)
        return out

    def _below(
        self,
        schema: objects.Object,
        path: str,
        place: _Position,
        rules: rulechecks.Rules | None,
        out: _Found,
    ) -> None:
        additional = schema.get("additionalProperties")
        inner = replace(place, root=False)
        if isinstance(additional, dict):
            sub = inner
            if place.in_meta:
                why = "inside additionalProperties applying to object metadata"
                sub = replace(inner, no_defaults=why)
            below = rules.below(additional, "element") if rules else None
            where = paths.child(path, "additionalProperties")
            out.add(self.check(additional, where, sub, below))
        resource = place.root or bool(schema.get("x-kubernetes-embedded-resource"))
        for name, value in (schema.get("properties") or {}).items():
            sub = inner
            if resource and name in nodes.META_FIELDS:
                sub = replace(inner, in_meta=True)
                if place.root:
                    sub = replace(sub, no_defaults=f"in top-level {name}")
            below = rules.below(value, "field", name) if rules else None
            where = paths.key(paths.child(path, "properties"), name)
            out.add(self.check(value, where, sub, below))
        items = schema.get("items")
        if isinstance(items, dict):
            sub = inner
            if schema.get("x-kubernetes-list-type") != "map" and not place.uncorrelatable:
                sub = replace(inner, uncorrelatable=path)
            below = rules.below(items, "element") if rules else None
            out.add(self.check(items, paths.child(path, "items"), sub, below))
        for where, value in structural.children(schema, path):
            if where.endswith((".not", "]")):
                step = where[len(path) + 1 :].partition("[")[0]
                if step in {"not", "allOf", "anyOf", "oneOf"}:
                    out.add(self.check(value, where, inner, None))

    def _compile(
        self, entries: list[objects.Object], path: str, place: _Position, rules: rulechecks.Rules
    ) -> Iterator[statuses.Cause]:
        path = paths.child(path, "x-kubernetes-validations")
        if rules.declared is None:
            yield causes.internal(path, _UNTYPED)
            return
        for position, entry in enumerate(entries):
            here = paths.index(path, position)
            compiled = rules.compile(entry)
            where = paths.child(here, "rule")
            cost = rules.total(compiled.cost)
            if cost > rulechecks.RULE_COST_MAX and not self.settings.unchanged:
                yield causes.forbidden(
                    where, rulechecks.over("estimated rule cost", cost, rulechecks.RULE_COST_MAX)
                )
            rules.costs.observe(where, cost)
            if compiled.error:
                yield causes.invalid(where, _shown(entry), compiled.error)
            if compiled.message_error:
                where = paths.child(here, "messageExpression")
                yield causes.invalid(where, _shown(entry), compiled.message_error)
            elif compiled.message_cost is not None:
                where, cost = paths.child(here, "messageExpression"), compiled.message_cost
                if cost > rulechecks.RULE_COST_MAX and not self.settings.unchanged:
                    text = rulechecks.over(
                        "estimated messageExpression cost", cost, rulechecks.RULE_COST_MAX
                    )
                    yield causes.forbidden(where, text)
                rules.costs.observe(where, cost)
            yield from _old_self(entry, compiled, here, place)


def _old_self(
    entry: objects.Object, compiled: rulechecks.Compiled, path: str, place: _Position
) -> Iterator[statuses.Cause]:
    if compiled.uses_old_self and place.uncorrelatable:
        text = (
            "oldSelf cannot be used on the uncorrelatable portion of the schema within "
            + place.uncorrelatable
        )
        yield causes.invalid(paths.child(path, "rule"), entry["rule"], text)
    elif not compiled.uses_old_self and entry.get("optionalOldSelf") is not None:
        text = "may not be set if oldSelf is not used in rule"
        yield causes.invalid(paths.child(path, "optionalOldSelf"), entry["optionalOldSelf"], text)


def _shown(entry: objects.Object) -> objects.Object:
    """Return a rule as Go prints its struct in an error."""
    return {
        "Rule": entry.get("rule") or "",
        "Message": entry.get("message") or "",
        "MessageExpression": entry.get("messageExpression") or "",
        "Reason": entry.get("reason"),
        "FieldPath": entry.get("fieldPath") or "",
        "OptionalOldSelf": entry.get("optionalOldSelf"),
    }


def _forbidden(schema: objects.Object, path: str, place: _Position) -> Iterator[statuses.Cause]:
    kind = str(schema.get("type") or "")
    if kind and kind not in _TYPES:
        yield causes.unsupported(paths.child(path, "type"), kind, _TYPES)
    if schema.get("default") is not None and place.no_defaults:
        text = f"must not be set {place.no_defaults}"
        yield causes.forbidden(paths.child(path, "default"), text)
    for word in (
        "id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref",
    ):  # fmt: skip
        if schema.get(word):
            yield causes.forbidden(paths.child(path, word), f"{word} is not supported")
    if kind == "null":
        text = "type cannot be set to null, use nullable as an alternative"
        yield causes.forbidden(paths.child(path, "type"), text)
    if isinstance(schema.get("items"), list):
        text = "items must be a schema object and not an array"
        yield causes.forbidden(paths.child(path, "items"), text)
    if place.in_meta and schema.get("x-kubernetes-embedded-resource"):
        text = "must not be used inside of resource meta"
        yield causes.forbidden(paths.child(path, "x-kubernetes-embedded-resource"), text)


def _own(schema: objects.Object, path: str) -> Iterator[statuses.Cause]:
    if schema.get("uniqueItems"):
        text = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield causes.forbidden(paths.child(path, "uniqueItems"), text)
    additional = schema.get("additionalProperties")
    if additional is not None and additional is not True and schema.get("properties"):
        text = "additionalProperties and properties are mutual exclusive"
        yield causes.forbidden(paths.child(path, "additionalProperties"), text)


def _extensions(schema: objects.Object, path: str) -> Iterator[statuses.Cause]:
    kind = str(schema.get("type") or "")
    if schema.get("x-kubernetes-preserve-unknown-fields") is False:
        where = paths.child(path, "x-kubernetes-preserve-unknown-fields")
        yield causes.invalid(where, False, "must be true or undefined")
    map_type, list_type = schema.get("x-kubernetes-map-type"), schema.get("x-kubernetes-list-type")
    if map_type is not None and kind != "object":
        yield _needs(path, kind, "must be object if x-kubernetes-map-type is specified")
    if map_type is not None and map_type not in {"atomic", "granular"}:
        where = paths.child(path, "x-kubernetes-map-type")
        yield causes.unsupported(where, map_type, ("atomic", "granular"))
    items = schema.get("items")
    if list_type is not None and kind != "array":
        yield _needs(path, kind, "must be array if x-kubernetes-list-type is specified")
    elif list_type == "set" and isinstance(items, dict):
        yield from _atomic_items(items, path)
    if list_type is not None and list_type not in {"atomic", "set", "map"}:
        where = paths.child(path, "x-kubernetes-list-type")
        yield causes.unsupported(where, list_type, ("atomic", "set", "map"))


def _needs(path: str, kind: str, text: str) -> statuses.Cause:
    where = paths.child(path, "type")
    return causes.invalid(where, kind, text) if kind else causes.required(where, text)


def _atomic_items(items: objects.Object, path: str) -> Iterator[statuses.Cause]:
    text = "must be atomic as item of a list with x-kubernetes-list-type=set"
    kind, list_type = items.get("type"), items.get("x-kubernetes-list-type")
    below = paths.child(path, "items")
    if kind == "array" and list_type not in {None, "atomic"}:
        yield causes.invalid(paths.child(below, "x-kubernetes-list-type"), list_type, text)
    if kind == "object" and items.get("x-kubernetes-map-type") != "atomic":
        yield causes.invalid(paths.child(below, "x-kubernetes-map-type"), list_type, text)


def _list_maps(schema: objects.Object, path: str) -> Iterator[statuses.Cause]:
    list_type = schema.get("x-kubernetes-list-type")
    keys = schema.get("x-kubernetes-list-map-keys") or []
    items, where = schema.get("items"), paths.child(path, "x-kubernetes-list-map-keys")
    if keys and list_type != "map":
        text = "must be map if x-kubernetes-list-map-keys is non-empty"
        place = paths.child(path, "x-kubernetes-list-type")
        yield (
            causes.required(place, text)
            if list_type is None
            else causes.invalid(place, list_type, text)
        )
    if list_type == "map":
        if not keys:
            yield causes.required(where, "must not be empty if x-kubernetes-list-type is map")
        if items is None:
            text = "must have a schema if x-kubernetes-list-type is map"
            yield causes.required(paths.child(path, "items"), text)
        if isinstance(items, dict):
            yield from _keys(items, keys, path, where)
    if list_type in {"set", "map"} and isinstance(items, dict):
        yield from _key_values(items, keys, path, str(list_type))


def _keys(
    items: objects.Object, keys: list[str], path: str, where: str
) -> Iterator[statuses.Cause]:
    kind, below = items.get("type"), paths.child(path, "items")
    if kind != "object":
        text = "must be object if parent array's x-kubernetes-list-type is map"
        yield causes.invalid(paths.child(below, "type"), kind or "", text)
        return
    properties = items.get("properties") or {}
    for position, key in enumerate(keys):
        if key not in properties:
            yield causes.invalid(where, keys, "entries must all be names of item properties")
        elif properties[key].get("type") in {"array", "object"}:
            place = paths.child(paths.key(paths.child(below, "properties"), key), "type")
            text = "must be a scalar type if parent array's x-kubernetes-list-type is map"
            yield causes.invalid(place, kind, text)
        if key in keys[:position]:
            yield causes.invalid(where, keys, "must not contain duplicate entries")


def _key_values(
    items: objects.Object, keys: list[str], path: str, list_type: str
) -> Iterator[statuses.Cause]:
    below = paths.child(path, "items")
    if items.get("nullable"):
        text = f"cannot be nullable when x-kubernetes-list-type is {list_type}"
        yield causes.forbidden(paths.child(below, "nullable"), text)
    if list_type != "map":
        return
    required, properties = items.get("required") or [], items.get("properties") or {}
    for key in keys:
        found = properties.get(key)
        if found is None:
            continue
        place = paths.key(paths.child(below, "properties"), key)
        if key not in required and found.get("default") is None:
            text = (
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a "
                "required property"
            )
            yield causes.required(paths.child(place, "default"), text)
        if found.get("nullable"):
            text = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable"
            yield causes.forbidden(paths.child(place, "nullable"), text)


# ---------------------------------------------------------------------- rules


def _rule_texts(
    entry: objects.Object, schema: objects.Object, path: str
) -> Iterator[statuses.Cause]:
    rule, message = str(entry.get("rule") or ""), str(entry.get("message") or "")
    where = paths.child(path, "message")
    if not rule.strip():
        yield causes.required(paths.child(path, "rule"), "rule is not specified")
    elif message and not message.strip():
        yield causes.invalid(where, message, "must be non-empty if specified")
    elif _LINE_BREAK.search(message.strip()):
        yield causes.invalid(where, message, "must not contain line breaks")
    elif _LINE_BREAK.search(rule.strip()) and not message.strip():
        yield causes.required(where, "message must be specified if rule contains line breaks")
    expression = str(entry.get("messageExpression") or "")
    if expression and not expression.strip():
        text = "messageExpression must be non-empty if specified"
        yield causes.required(paths.child(path, "messageExpression"), text)
    reason = entry.get("reason")
    if reason is not None and reason not in _REASONS:
        yield causes.unsupported(paths.child(path, "reason"), reason, _REASONS)
    said, where = str(entry.get("fieldPath") or ""), paths.child(path, "fieldPath")
    if said and not said.strip():
        yield causes.invalid(where, said, "must be non-empty if specified")
    if _LINE_BREAK.search(said):
        yield causes.invalid(where, said, "must not contain line breaks")
    if said:
        try:
            fieldpaths.follow(said, nodes.parse(schema))
        except ValueError:
            yield causes.invalid(where, said, "must be a valid path")


# ---------------------------------------------------------------------- facts of schemas


def expressions_of(crd: objects.Object) -> frozenset[str]:
    """Return every CEL expression in a definition."""
    found: set[str] = set()
    for version in (crd.get("spec") or {}).get("versions") or ():
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        for sub in _all(schema) if isinstance(schema, dict) else ():
            for entry in sub.get("x-kubernetes-validations") or ():
                found.add(str(entry.get("rule") or ""))
                found.add(str(entry.get("messageExpression") or ""))
    return frozenset(found)


def _all(schema: objects.Object) -> Iterator[objects.Object]:
    yield schema
    for _, sub in structural.children(schema, ""):
        yield from _all(sub)


def unknown_formats(schemas: Iterable[objects.Object]) -> list[str]:
    """Return the formats that validation will ignore, in the order of the schema."""
    out: list[str] = []
    for schema in schemas:
        for sub in _all(schema):
            said, kind = str(sub.get("format") or ""), str(sub.get("type") or "")
            if said and not formats.supported(said, (kind,)):
                out.append(said)
    return out
