"""Whether a schema is structural: every field, list and map is specified outside of allOf and co.

Source: k8s.io/apiextensions-apiserver 0.36 `schema/validation.go` and `complete.go`; texts to the
letter. https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/
custom-resource-definitions/#specifying-a-structural-schema
"""

from __future__ import annotations

from collections.abc import Iterator

from understudy.kapi.resources.crds import paths
from understudy.kube import causes, objects, regexps, statuses

ROOT, ITEM, FIELD = "root", "item", "field"
_EMPTY_TYPE = {
    ROOT: "must not be empty at the root",
    ITEM: "must not be empty for specified array items",
    FIELD: "must not be empty for specified object fields",
}
INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]
_NOT_STRUCTURAL: tuple[tuple[str, str], ...] = (
    ("title", "must be empty to be structural"),
    ("description", "must be empty to be structural"),
    ("nullable", "must be false to be structural"),
    ("x-kubernetes-preserve-unknown-fields", "must be false to be structural"),
    ("x-kubernetes-embedded-resource", "must be false to be structural"),
    ("x-kubernetes-int-or-string", "must be false to be structural"),
    ("x-kubernetes-list-map-keys", "must be empty to be structural"),
    ("x-kubernetes-list-type", "must be undefined to be structural"),
    ("x-kubernetes-map-type", "must be undefined to be structural"),
    ("x-kubernetes-validations", "must be empty to be structural"),
)
_UNSUPPORTED = (
    "id", "$schema", "$ref", "patternProperties", "dependencies", "additionalItems", "definitions",
)  # fmt: skip


def unreadable(schema: objects.Object) -> str:
    """Return why the schema cannot even be looked at as a structural one, or nothing."""
    for word in _UNSUPPORTED:
        if schema.get(word):
            shown = "schema" if word == "$schema" else word
            return f"OpenAPIV3Schema '{shown}' is not supported"
    if isinstance(schema.get("items"), list):
        return "OpenAPIV3Schema 'items' must be a schema, but is an array"
    if schema.get("x-kubernetes-preserve-unknown-fields") is False:
        return "internal error: 'x-kubernetes-preserve-unknown-fields' must be true or undefined"
    return next(filter(None, (unreadable(sub) for _, sub in children(schema, ""))), "")


def children(schema: objects.Object, path: str) -> Iterator[tuple[str, objects.Object]]:
    """Yield every schema directly below, with its path."""
    for name, sub in (schema.get("properties") or {}).items():
        yield paths.key(paths.child(path, "properties"), name), sub
    for word in ("items", "additionalProperties", "not"):
        sub = schema.get(word)
        if isinstance(sub, dict):
            yield paths.child(path, word), sub
    for word in ("allOf", "anyOf", "oneOf"):
        for position, sub in enumerate(schema.get(word) or ()):
            yield paths.index(paths.child(path, word), position), sub


def problems(schema: objects.Object, path: str) -> list[statuses.Cause]:
    """Return every reason why a schema is not structural."""
    out = [*_invariants(schema, ROOT, path)]
    out += _complete(schema, schema, path, path)
    return sorted(out, key=str)


def _invariants(schema: objects.Object, level: str, path: str) -> Iterator[statuses.Cause]:
    kind = str(schema.get("type") or "")
    if kind == "array" and not isinstance(schema.get("items"), dict):
        yield causes.required(paths.child(path, "items"), "must be specified")
    if isinstance(schema.get("items"), dict):
        yield from _invariants(schema["items"], ITEM, paths.child(path, "items"))
    for name, sub in (schema.get("properties") or {}).items():
        place = paths.key(paths.child(path, "properties"), name)
        yield from _invariants(sub, FIELD, place)
    additional = schema.get("additionalProperties")
    if additional is not None:
        place = paths.child(path, "additionalProperties")
        if level == ROOT:
            yield causes.forbidden(place, "must not be used at the root")
        if isinstance(additional, dict):
            yield from _invariants(additional, FIELD, place)
    yield from _extensions(schema, path)
    any_of = schema.get("anyOf") == INT_OR_STRING
    all_of = schema.get("allOf") or []
    first = bool(all_of) and all_of[0].get("anyOf") == INT_OR_STRING
    yield from _values(schema, any_of, first, path)
    yield from _kind(schema, kind, level, path)
    yield from _meta(schema, level, path)


def _extensions(schema: objects.Object, path: str) -> Iterator[statuses.Cause]:
    if schema.get("x-kubernetes-int-or-string"):
        for word in ("x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"):
            if schema.get(word):
                text = "must be false if x-kubernetes-int-or-string is true"
                yield causes.invalid(paths.child(path, word), True, text)


def _kind(schema: objects.Object, kind: str, level: str, path: str) -> Iterator[statuses.Cause]:
    embedded = bool(schema.get("x-kubernetes-embedded-resource"))
    place = paths.child(path, "type")
    untyped = schema.get("x-kubernetes-int-or-string") or schema.get(
        "x-kubernetes-preserve-unknown-fields"
    )
    if embedded and kind != "object":
        text = "must be object if x-kubernetes-embedded-resource is true"
        yield causes.invalid(place, kind, text) if kind else causes.required(place, text)
    elif not kind and not untyped:
        yield causes.required(place, _EMPTY_TYPE[level])
    if embedded and schema.get("additionalProperties") is not None:
        text = "must not be used if x-kubernetes-embedded-resource is set"
        yield causes.forbidden(paths.child(path, "additionalProperties"), text)
    if level == ROOT and kind and kind != "object":
        yield causes.invalid(place, kind, "must be object at the root")
    if (
        embedded
        and not schema.get("x-kubernetes-preserve-unknown-fields")
        and not schema.get("properties")
    ):
        yield causes.required(
            paths.child(path, "properties"),
            "must not be empty if x-kubernetes-embedded-resource is true without "
            "x-kubernetes-preserve-unknown-fields",
        )


def _meta(schema: objects.Object, level: str, path: str) -> Iterator[statuses.Cause]:
    resource = level == ROOT or bool(schema.get("x-kubernetes-embedded-resource"))
    properties = schema.get("properties") or {}
    below = paths.child(path, "properties")
    for name in ("kind", "apiVersion"):
        if resource and name in properties:
            said = str(properties[name].get("type") or "")
            if said != "string":
                place = paths.child(paths.key(below, name), "type")
                yield causes.invalid(place, said, "must be string")
    meta = properties.get("metadata")
    if meta is None:
        return
    place = paths.key(below, "metadata")
    said = str(meta.get("type") or "")
    if resource and said != "object":
        yield causes.invalid(paths.child(place, "type"), said, "must be object")
    if level == ROOT:
        rest = {key: value for key, value in meta.items() if key not in {"type", "default"}}
        if set(rest.get("properties") or ()) <= {"name", "generateName"}:
            rest.pop("properties", None)
        if any(rest.values()):
            yield causes.forbidden(
                place,
                "must not specify anything other than name and generateName, but metadata is "
                "implicitly specified",
            )


def _values(
    schema: objects.Object, skip_any_of: bool, skip_first: bool, path: str
) -> Iterator[statuses.Cause]:
    if not skip_any_of:
        yield from _branches(schema, "anyOf", path)
    for position, sub in enumerate(schema.get("allOf") or ()):
        place = paths.index(paths.child(path, "allOf"), position)
        yield from _nested(sub, skip_first and position == 0, place)
    yield from _branches(schema, "oneOf", path)
    if isinstance(schema.get("not"), dict):
        yield from _nested(schema["not"], False, paths.child(path, "not"))
    pattern = str(schema.get("pattern") or "")
    if pattern:
        try:
            regexps.compile(pattern)
        except regexps.PatternError as error:
            text = f"must be a valid regular expression, but isn't: {error}"
            yield causes.invalid(paths.child(path, "pattern"), pattern, text)


def _branches(schema: objects.Object, word: str, path: str) -> Iterator[statuses.Cause]:
    for position, sub in enumerate(schema.get(word) or ()):
        yield from _nested(sub, False, paths.index(paths.child(path, word), position))


def _nested(schema: objects.Object, skip_any_of: bool, path: str) -> Iterator[statuses.Cause]:
    """Check a schema under a logical junctor: only value validation may stand there."""
    yield from _values(schema, skip_any_of, False, path)
    if isinstance(schema.get("items"), dict):
        yield from _nested(schema["items"], False, paths.child(path, "items"))
    properties = schema.get("properties") or {}
    below = paths.child(path, "properties")
    for name, sub in properties.items():
        yield from _nested(sub, False, paths.key(below, name))
    if schema.get("type"):
        text = "must be empty to be structural"
        yield causes.forbidden(paths.child(path, "type"), text)
    additional = schema.get("additionalProperties")
    if additional is not None and additional is not False:
        text = "must be undefined to be structural"
        yield causes.forbidden(paths.child(path, "additionalProperties"), text)
    if schema.get("default") is not None:
        text = "must be undefined to be structural"
        yield causes.forbidden(paths.child(path, "default"), text)
    for word, text in _NOT_STRUCTURAL:
        if schema.get(word):
            yield causes.forbidden(paths.child(path, word), text)
    if "metadata" in properties:
        text = "must not be specified in a nested context"
        yield causes.forbidden(paths.key(below, "metadata"), text)


def _complete(
    values: objects.Object, schema: objects.Object | None, schema_path: str, path: str
) -> Iterator[statuses.Cause]:
    """Check that what allOf and co speak of is also specified outside of them."""
    if schema is None:
        yield causes.required(schema_path, f"because it is defined in {path}")
        return
    if isinstance(values.get("not"), dict):
        place = paths.child(path, "not")
        yield from _complete_nested(values["not"], schema, schema_path, place)
    for word in ("allOf", "anyOf", "oneOf"):
        for position, sub in enumerate(values.get(word) or ()):
            place = paths.index(paths.child(path, word), position)
            yield from _complete_nested(sub, schema, schema_path, place)


def _complete_nested(
    values: objects.Object, schema: objects.Object | None, schema_path: str, path: str
) -> Iterator[statuses.Cause]:
    if schema is None:
        yield causes.required(schema_path, f"because it is defined in {path}")
        return
    yield from _complete(values, schema, schema_path, path)
    if isinstance(values.get("items"), dict):
        below = schema.get("items")
        yield from _complete_nested(
            values["items"],
            below if isinstance(below, dict) else None,
            paths.child(schema_path, "items"),
            paths.child(path, "items"),
        )
    specified = schema.get("properties") or {}
    for name, sub in (values.get("properties") or {}).items():
        mine = paths.key(paths.child(schema_path, "properties"), name)
        theirs = paths.key(paths.child(path, "properties"), name)
        if name not in specified:
            yield causes.required(mine, f"because it is defined in {theirs}")
        else:
            yield from _complete_nested(sub, specified[name], mine, theirs)
