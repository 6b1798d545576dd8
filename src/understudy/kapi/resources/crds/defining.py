"""Validation of a CustomResourceDefinition at creation and update, all errors at once.

Source: k8s.io/apiextensions-apiserver 0.36 `apis/apiextensions/validation`; texts to the letter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from understudy.kapi.resources import webhooks
from understudy.kapi.resources.crds import (
    approval,
    definitions,
    fieldpaths,
    internals,
    nodes,
    openapi,
    paths,
)
from understudy.kube import causes, names, objects, statuses

SELECTABLE_FIELDS_MAX = 8
DEPRECATION_WARNING_CHARS_MAX = 256
_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS = (
    "byte", "date", "date-time", "double", "float", "int32", "int64", "password",
)  # fmt: skip
_REVIEW_VERSIONS = ("v1", "v1beta1")
_KEPT_REVIEWS = ("conversion", "webhook", "conversionReviewVersions")


def validate(crd: objects.Object, old: objects.Object | None = None) -> list[statuses.Cause]:
    """Return every reason why a definition, or its change from `old`, is not valid."""
    out: list[statuses.Cause] = []
    if old is None:
        out += _name(crd)
    out += _spec(crd, old)
    if old is not None:
        out += _immutable(crd, old)
    out += status_names(crd)
    out += _stored_versions(crd)
    out += _approval(crd, old)
    if definitions.spec_of(crd).get("preserveUnknownFields") and not (
        old is not None and definitions.spec_of(old).get("preserveUnknownFields")
    ):
        text = (
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in "
            "spec.versions[*].schema instead"
        )
        out.append(causes.invalid("spec.preserveUnknownFields", True, text))
    return out


def _name(crd: objects.Object) -> Iterator[statuses.Cause]:
    spec, name = definitions.spec_of(crd), objects.name_of(crd)
    wanted = f"{definitions.names_of(crd).get('plural') or ''}.{spec.get('group') or ''}"
    if name and name != wanted:
        yield causes.invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group')


def _spec(crd: objects.Object, old: objects.Object | None) -> Iterator[statuses.Cause]:
    spec = definitions.spec_of(crd)
    group = str(spec.get("group") or "")
    if not group:
        yield causes.required("spec.group")
    elif complaints := names.dns_subdomain(group):
        yield causes.invalid("spec.group", group, ",".join(complaints))
    elif "." not in group:
        yield causes.invalid("spec.group", group, "should be a domain with at least one dot")
    yield from _enum("spec.scope", spec.get("scope"), ("Cluster", "Namespaced"))
    yield from _versions(crd)
    given = definitions.names_of(crd)
    for field in ("plural", "singular", "kind", "listKind"):
        if not given.get(field):
            yield causes.required(f"spec.names.{field}")
    yield from check_names(given, "spec.names")
    yield from _schemas(crd, old)
    for part in definitions.parts(crd, "subresources"):
        yield from _subresources(part.value, part.path)
    for part in definitions.parts(crd, "additionalPrinterColumns"):
        for position, column in enumerate(part.value):
            yield from _column(column, paths.index(part.path, position))
    yield from _selectable(crd, old)
    yield from _conversion(
        spec.get("conversion"), None if old is None else definitions.spec_of(old)
    )


def _enum(path: str, value: objects.Json, known: tuple[str, ...]) -> Iterator[statuses.Cause]:
    if not value:
        yield causes.required(path)
    elif value not in known:
        yield causes.unsupported(path, value, known)


def _versions(crd: objects.Object) -> Iterator[statuses.Cause]:
    versions = definitions.versions_of(crd)
    whole = internals.versions(crd)
    hoisted = next(iter(definitions.parts(crd, "schema")), None)
    seen: set[str] = set()
    for position, version in enumerate(versions):
        path = f"spec.versions[{position}]"
        if definitions.schema_of(version) is None and not (hoisted and hoisted.index is None):
            yield causes.required(f"{path}.schema.openAPIV3Schema")
        name = str(version.get("name") or "")
        complaints = names.dns1035_label(name)
        if complaints:
            yield causes.invalid(f"{path}.name", name, ",".join(complaints))
            if position == 0 and name:
                yield causes.invalid("spec.version", name, ",".join(complaints))
        yield from _deprecation(version, path)
        seen.add(name)
    if len(seen) != len(versions):
        yield causes.invalid("spec.versions", whole, "must contain unique version names")
    if sum(bool(version.get("storage")) for version in versions) != 1:
        text = "must have exactly one version marked as storage version"
        yield causes.invalid("spec.versions", whole, text)


def _deprecation(version: objects.Object, path: str) -> Iterator[statuses.Cause]:
    warning = version.get("deprecationWarning")
    if warning is None:
        return
    place = f"{path}.deprecationWarning"
    if not version.get("deprecated"):
        yield causes.invalid(place, warning, "can only be set for deprecated versions")
        return
    if names.size(warning) > DEPRECATION_WARNING_CHARS_MAX:
        text = f"must be <= {DEPRECATION_WARNING_CHARS_MAX} characters long"
        yield causes.invalid(place, warning, text)
    if not warning:
        yield causes.invalid(place, warning, "must not be an empty string")
    for position, char in enumerate(warning):
        if not char.isprintable():
            text = "must only contain printable UTF-8 characters; non-printable character found at"
            yield causes.invalid(place, warning, f"{text} index {position}")
            break


def check_names(given: objects.Object, path: str) -> Iterator[statuses.Cause]:
    """Check spec.names or status.acceptedNames; absent names are not complained about."""
    for field in ("plural", "singular"):
        value = str(given.get(field) or "")
        if value and (complaints := names.dns1035_label(value)):
            yield causes.invalid(paths.child(path, field), value, ",".join(complaints))
    for field in ("kind", "listKind"):
        value = str(given.get(field) or "")
        if value and (complaints := names.dns1035_label(value.lower())):
            text = "may have mixed case, but should otherwise match: " + ",".join(complaints)
            yield causes.invalid(paths.child(path, field), value, text)
    if given.get("kind") and given.get("kind") == given.get("listKind"):
        text = "kind and listKind may not be the same"
        yield causes.invalid(paths.child(path, "listKind"), given["listKind"], text)
    for field in ("shortNames", "categories"):
        for position, value in enumerate(given.get(field) or ()):
            if complaints := names.dns1035_label(value):
                place = paths.index(paths.child(path, field), position)
                yield causes.invalid(place, value, ",".join(complaints))


def status_names(crd: objects.Object) -> list[statuses.Cause]:
    """Check status.acceptedNames."""
    accepted = objects.lookup(crd, ("status", "acceptedNames")) or {}
    return list(check_names(accepted, "status.acceptedNames"))


def _schemas(crd: objects.Object, old: objects.Object | None) -> Iterator[statuses.Cause]:
    versions = definitions.versions_of(crd)
    known = openapi.expressions_of(old) if old is not None else frozenset()
    for part in definitions.parts(crd, "schema"):
        schema = part.value.get("openAPIV3Schema")
        if not isinstance(schema, dict):
            continue
        mine = [versions[part.index]] if part.index is not None else versions
        with_status = any((v.get("subresources") or {}).get("status") is not None for v in mine)
        settings = openapi.Settings(
            with_status=with_status,
            known_expressions=known,
            unchanged=old is not None and _unchanged(old, mine[0], schema),
        )
        yield from openapi.problems(schema, paths.child(part.path, "openAPIV3Schema"), settings)


def _unchanged(old: objects.Object, version: objects.Object, schema: objects.Object) -> bool:
    return any(
        before.get("name") == version.get("name") and definitions.schema_of(before) == schema
        for before in definitions.versions_of(old)
    )


def _subresources(value: objects.Object, path: str) -> Iterator[statuses.Cause]:
    scale = value.get("scale")
    if not isinstance(scale, dict):
        return
    for field, root in (("specReplicasPath", ".spec"), ("statusReplicasPath", ".status")):
        place, said = f"{path}.scale.{field}", str(scale.get(field) or "")
        if not said:
            yield causes.required(place)
        elif complaint := _simple_path(said):
            yield causes.invalid(place, said, complaint)
        elif not said.startswith(root + "."):
            yield causes.invalid(place, said, f"should be a json path under {root}")
    said = str(scale.get("labelSelectorPath") or "")
    place = f"{path}.scale.labelSelectorPath"
    if said and (complaint := _simple_path(said)):
        yield causes.invalid(place, said, complaint)
    elif said and not said.startswith((".spec.", ".status.")):
        text = "should be a json path under either .spec or .status"
        yield causes.invalid(place, said, text)


def _simple_path(text: str) -> str:
    return "" if text.startswith(".") else "must be a simple json path starting with ."


def _column(column: objects.Object, path: str) -> Iterator[statuses.Cause]:
    if not column.get("name"):
        yield causes.required(paths.child(path, "name"))
    kind, known = str(column.get("type") or ""), f"must be one of {','.join(_COLUMN_TYPES)}"
    if not kind:
        yield causes.required(paths.child(path, "type"), known)
    elif kind not in _COLUMN_TYPES:
        yield causes.invalid(paths.child(path, "type"), kind, known)
    width = str(column.get("format") or "")
    if width and width not in _COLUMN_FORMATS:
        text = f"must be one of {','.join(_COLUMN_FORMATS)}"
        yield causes.invalid(paths.child(path, "format"), width, text)
    said = str(column.get("jsonPath") or "")
    if not said:
        yield causes.required(paths.child(path, "JSONPath"))
    elif complaint := _simple_path(said):
        yield causes.invalid(paths.child(path, "JSONPath"), said, complaint)


def _selectable(crd: objects.Object, old: objects.Object | None) -> Iterator[statuses.Cause]:
    versions = definitions.versions_of(crd)
    schemas = list(definitions.parts(crd, "schema"))
    before = list(definitions.parts(old, "selectableFields")) if old is not None else []
    for part in definitions.parts(crd, "selectableFields"):
        if part.index is None:
            schema = next((s.value for s in schemas if s.index is None), None)
            if schema is None:
                text = "may only be set when validations.schema is included"
                yield causes.invalid(part.path, "", text)
                continue
            root = schema.get("openAPIV3Schema")
        else:
            root = definitions.schema_of(versions[part.index])
            if root is None:
                text = "may only be set when `version.schema.openAPIV3Schema` is not included"
                yield causes.invalid(part.path, "", text)
                continue
        grandfathered = any(known.value == part.value for known in before)
        yield from _selectable_fields(part, nodes.parse(root or {}), grandfathered)


def _selectable_fields(
    part: definitions.Part, root: nodes.Node, grandfathered: bool
) -> Iterator[statuses.Cause]:
    seen: set[str] = set()
    for position, entry in enumerate(part.value):
        place = paths.child(paths.index(part.path, position), "jsonPath")
        said = str(entry.get("jsonPath") or "")
        if not said:
            yield causes.required(place)
            continue
        try:
            path, node = fieldpaths.follow(said, root, brackets=False)
        except ValueError as error:
            yield causes.invalid(place, said, f"is an invalid path: {error}")
            continue
        if path.partition(".")[0] == "metadata":
            yield causes.invalid(place, said, "must not point to fields in metadata")
        if node.type not in {"string", "boolean", "integer"}:
            text = (
                "must point to a field of type string, boolean or integer. Enum string fields and "
                "strings with formats are allowed."
            )
            yield causes.invalid(place, said, text)
        if path in seen:
            yield causes.duplicate(place, said)
        seen.add(path)
    if len(seen) > SELECTABLE_FIELDS_MAX and not grandfathered:
        yield causes.too_many(part.path, len(seen), SELECTABLE_FIELDS_MAX)


def _conversion(
    conversion: objects.Object | None, old: objects.Object | None
) -> Iterator[statuses.Cause]:
    if conversion is None:
        return
    path = "spec.conversion"
    yield from _enum(f"{path}.strategy", conversion.get("strategy"), ("None", "Webhook"))
    webhook = conversion.get("webhook") or {}
    client, versions = webhook.get("clientConfig"), webhook.get("conversionReviewVersions")
    if conversion.get("strategy") != "Webhook":
        text = "should not be set when strategy is not set to Webhook"
        if client is not None:
            yield causes.forbidden(f"{path}.webhookClientConfig", text)
        if versions:
            yield causes.forbidden(f"{path}.conversionReviewVersions", text)
        return
    if client is None:
        text = "required when strategy is set to Webhook"
        yield causes.required(f"{path}.webhookClientConfig", text)
    else:
        yield from webhooks.client_config(client, f"{path}.webhookClientConfig")
    known = objects.lookup(old, _KEPT_REVIEWS) if old else None
    strict = not known or bool(set(known) & set(_REVIEW_VERSIONS))
    where = f"{path}.conversionReviewVersions"
    yield from _review_versions(versions or [], where, strict=strict)


def _review_versions(versions: list[str], path: str, *, strict: bool) -> Iterator[statuses.Cause]:
    if not versions:
        yield causes.required(path)
        return
    seen: set[str] = set()
    for position, version in enumerate(versions):
        if version in seen:
            yield causes.invalid(paths.index(path, position), version, "duplicate version")
            continue
        seen.add(version)
        for complaint in names.dns1035_label(version):
            yield causes.invalid(paths.index(path, position), version, complaint)
    if strict and not seen & set(_REVIEW_VERSIONS):
        text = f"must include at least one of {', '.join(_REVIEW_VERSIONS)}"
        yield causes.invalid(path, versions, text)


def _immutable(crd: objects.Object, old: objects.Object) -> Iterator[statuses.Cause]:
    spec, before = definitions.spec_of(crd), definitions.spec_of(old)
    fixed: list[tuple[str, ...]] = [("group",), ("names", "plural")]
    if definitions.is_true(old, "Established"):
        fixed = [("scope",), ("names", "kind"), *fixed]
    for steps in fixed:
        value = objects.lookup(spec, steps)
        if value != objects.lookup(before, steps):
            yield causes.invalid(f"spec.{'.'.join(steps)}", value or "", causes.IMMUTABLE)


def _stored_versions(crd: objects.Object) -> Iterator[statuses.Cause]:
    stored: list[str] | None = objects.lookup(crd, ("status", "storedVersions"))
    path = "status.storedVersions"
    if not stored:
        yield causes.invalid(path, stored, "must have at least one stored version")
        return
    served = {str(version.get("name")) for version in definitions.versions_of(crd)}
    for version in definitions.versions_of(crd):
        if version.get("storage") and version.get("name") not in stored:
            text = f"must have the storage version {version.get('name')}"
            yield causes.invalid(path, stored, text)
    for position, name in enumerate(stored):
        if name not in served:
            text = (
                f"missing from spec.versions; {name} was previously a storage version, and must "
                "remain in spec.versions until a storage migration ensures no data remains "
                f"persisted in {name} and removes {name} from status.storedVersions"
            )
            yield causes.invalid(paths.index(path, position), name, text)


def _approval(crd: objects.Object, old: objects.Object | None) -> Iterator[statuses.Cause]:
    found = approval.state(crd)
    before = approval.state(old) if old is not None else None
    if found is None or (before is not None and before.reason == found.reason):
        return
    path = f"metadata.annotations[{approval.ANNOTATION}]"
    if found.reason == approval.MISSING:
        yield causes.required(path, found.message)
    elif found.reason == approval.INVALID:
        value = objects.annotations_of(crd)[approval.ANNOTATION]
        yield causes.invalid(path, value, found.message)


def warnings(crd: objects.Object, old: objects.Object | None) -> list[str]:
    """Return a warning for each format that no schema validates (new ones only on update)."""
    known = set(openapi.unknown_formats(_schemas_of(old))) if old is not None else set()
    return [
        f"unrecognized format {causes.quoted(name)}"
        for name in openapi.unknown_formats(_schemas_of(crd))
        if name not in known
    ]


def _schemas_of(crd: objects.Object) -> Iterable[objects.Object]:
    for part in definitions.parts(crd, "schema"):
        schema = part.value.get("openAPIV3Schema")
        if isinstance(schema, dict):
            yield schema
