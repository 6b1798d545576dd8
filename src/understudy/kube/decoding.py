"""Bodies become objects: text to JSON, JSON to the form that the kind's types give it.

`parse_json` and `parse_yaml` read text; `decode` does what Go's decoding into a struct and encoding
back does: unknown fields and nulls go, types are checked, quantities, times and base64 become
canonical, empty values are written or left out as the types say.

The common case is fast: each schema node is compiled once into a closure that assumes nothing is
wrong and gives up (`_IrregularError`) at the first thing that is; then `kube.conversions`, which
has all the words, does the whole value again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import orjson

from understudy.kube import (
    conversions,
    go_base64,
    identities,
    jsontext,
    objects,
    quantities,
    schemas,
    series,
    statuses,
    times,
    yamltext,
)

SUMMARY_BYTES = 30
"""Bytes of an unreadable body that an error shows."""

_ODD_SPELLINGS = (b" :", b"\t:", b"\n:", b"\r:", b"\\u0022", b"\\u003a", b"\\u003A")

_META_TYPE = (
    'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; '
    'Kind string "json:\\"kind,omitempty\\"" }'
)


# ------------------------------------------------------------------------------------------- text


def parse_json(body: bytes, kind: str = "") -> tuple[objects.Object, list[str]]:
    """Return the object that a JSON body holds, and its duplicate fields as complaints.

    `null` is an empty object, as it is to Kubernetes. `kind` is what the body should be; with it
    an error reads `the object provided is unrecognized (must be of type Pod): ...`.

    Raises:
        BadRequestError: The body is not JSON, or not an object.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        value = _lenient(body, kind)
    if not isinstance(value, dict):
        if value is None:
            return {}, []
        raise _unrecognised(_not_an_object(value), kind, body)
    _check_type_meta(value, kind, body)
    return value, repeated(body, value)


def parse_yaml(body: bytes, kind: str = "") -> tuple[objects.Object, list[str]]:
    """Return the object that a YAML (or JSON) body holds, and its duplicate keys as complaints.

    Raises:
        BadRequestError: The body is not YAML, or not an object.
    """
    if body.lstrip()[:1] in {b"{", b"["}:
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError:
            pass
        else:
            if isinstance(value, dict):
                _check_type_meta(value, kind, body)
                return value, repeated(body, value)
    try:
        value, complaints = yamltext.load(body)
    except yamltext.YamlError as error:
        raise _unrecognised(str(error), kind, body, how="") from None
    if not isinstance(value, dict):
        if value is None:
            return {}, []
        raise _unrecognised(_not_an_object(value), kind, body)
    _check_type_meta(value, kind, body)
    return value, complaints


def _lenient(body: bytes, kind: str) -> objects.Json:
    """Read what Go reads and orjson does not: text that is no UTF-8, lone surrogates."""
    if complaint := jsontext.complaint(body):
        raise _unrecognised(complaint, kind, body)
    return jsontext.loads(body)


def repeated(body: bytes, value: objects.Json) -> list[str]:
    """Return the duplicate fields of a parsed body, as complaints.

    Mostly shown cheaply to be none, by encoding again. The re-encoded value holds each key once.
    Where it is not the body, byte for byte, a quote and a colon follow every key in both, so equal
    counts of `":` leave no room for a second one; other spellings (a space before the colon,
    escaped quotes and colons) are looked for.
    """
    encoded = orjson.dumps(value)
    if encoded == body or (
        body.count(b'":') == encoded.count(b'":')
        and not any(spelling in body for spelling in _ODD_SPELLINGS)
    ):
        return []
    return jsontext.duplicates(body)


def _not_an_object(value: objects.Json) -> str:
    called = conversions.called(value)
    return f"json: cannot unmarshal {called} into Go value of type {_META_TYPE}"


def _check_type_meta(value: objects.Object, kind: str, body: bytes) -> None:
    """Refuse an apiVersion or kind that is no text: nothing else can be read without them."""
    for field in ("apiVersion", "kind"):
        said = value.get(field)
        if said is not None and not isinstance(said, str):
            called = conversions.called(said)
            problem = (
                f"json: cannot unmarshal {called} into Go struct field .{field} of type string"
            )
            raise _unrecognised(problem, kind, body)


def _unrecognised(
    problem: str, kind: str, body: bytes, how: str = "json parse error: "
) -> statuses.BadRequestError:
    if how:
        problem = f"couldn't get version/kind; {how}{problem}"
    if not kind:
        return statuses.BadRequestError(problem)
    return statuses.BadRequestError(
        f"the object provided is unrecognized (must be of type {kind}): {problem} ({summary(body)})"
    )


def summary(body: bytes) -> str:
    """Show the beginning of a body as Kubernetes does: as text if it is an object, else in hex."""
    if not body:
        return "<empty>"
    start = body[:SUMMARY_BYTES]
    shown = start.decode("utf-8", "replace") if body[:1] == b"{" else start.hex()
    return f"{shown} ..." if len(body) > SUMMARY_BYTES else shown


# ------------------------------------------------------------------------------------------ types


def decode(
    obj: objects.Object,
    schema: schemas.Schema,
    *,
    mode: str,
    api_version: str,
    kind: str,
    duplicates: Sequence[str] = (),
) -> list[str]:
    """Normalise an object in place, as Go's typed round trip would, and return warnings.

    Args:
        obj: The object, whole, as it was parsed; changed in place.
        schema: The kind's schema.
        mode: `Strict` (unknown and duplicate fields are an error), `Warn` (they are returned) or
            `Ignore`; empty means `Warn`.
        api_version: Of the object, for error texts.
        kind: Of the object, for error texts.
        duplicates: Complaints of the parser.

    Raises:
        BadRequestError: A value of a wrong type; in mode Strict also unknown and duplicate fields.
    """
    try:
        complaints = convert(obj, schema)
    except conversions.ConversionError as error:
        raise refusal(str(error), api_version, kind) from None
    if mode == "Ignore" or not (complaints or duplicates):
        return []
    found = _in_order(duplicates, complaints, schema) if duplicates else complaints
    if mode == "Strict" and found:
        raise refusal("strict decoding error: " + ", ".join(found), api_version, kind)
    return [
        line.strip()
        for text in found
        for line in text.removeprefix("yaml: unmarshal errors:\n").split("\n")
    ]


def _in_order(
    duplicates: Sequence[str], complaints: list[str], schema: schemas.Schema
) -> list[str]:
    """Join the complaints of parser and types in the order in which Go meets their fields."""
    known = [
        complaint
        for complaint in duplicates
        if not isinstance(complaint, jsontext.Duplicate)
        or conversions.declares(schema, complaint.steps)
    ]
    places: dict[str, int] = {}
    for complaint in known:
        if isinstance(complaint, jsontext.Duplicate):
            places = complaint.places

    def met(complaint: str) -> int:
        if isinstance(complaint, jsontext.Duplicate):
            return places[f"duplicate {complaint.path}"]
        return places.get(complaint.removeprefix('unknown field "').removesuffix('"'), -1)

    return sorted([*known, *complaints], key=met)


def refusal(problem: str, api_version: str, kind: str) -> statuses.BadRequestError:
    """Build `Pod in version "v1" cannot be handled as a Pod: problem`."""
    version = identities.split_api_version(api_version)[1]
    return statuses.BadRequestError(
        f'{kind} in version "{version}" cannot be handled as a {kind}: {problem}'
    )


def convert(obj: objects.Object, schema: schemas.Schema) -> list[str]:
    """Normalise an object in place and return `unknown field "x"` complaints.

    Raises:
        ConversionError: A value of a wrong type; the object may then be half normalised.
    """
    try:
        decoder(schema)(obj)
    except (_IrregularError, ValueError):
        out, complaints = conversions.convert(obj, schema)
        obj.clear()
        obj.update(out)
        return complaints
    except RecursionError:
        raise conversions.ConversionError("exceeded max depth") from None
    return []


# --------------------------------------------------------------------------------------- closures

Decoder = Callable[[objects.Json], objects.Json]
"""Normalises a value in place where it can; returns it, or what stands in its place."""


class _IrregularError(Exception):
    """Something is unknown, null or of another type: the careful conversion must look."""


_INT32 = (-(1 << 31), (1 << 31) - 1)
_INT64 = (-(1 << 63), (1 << 63) - 1)


def decoder(node: schemas.Schema) -> Decoder:
    """Return the node's closure, compiled at the first call and kept with the node."""
    found = node.decoder
    return found if found is not None else _compile(node)


def _compile(node: schemas.Schema) -> Decoder:
    if node.fields is not None and not node.format:
        return _compile_struct(node)
    made = _FORMATS.get(node.format) or _leaf(node)
    if made is None:
        made = _compile_list(node) if node.type == "array" else _compile_map(node)
    node.decoder = made
    return made


def _leaf(node: schemas.Schema) -> Decoder | None:
    if node.format.startswith("schema-or-"):
        return _irregular
    if node.type == "integer":
        return _int32 if node.format == "int32" else _int64
    if node.type in _EXPECTED:
        return _exact(_EXPECTED[node.type])
    if node.type == "number":
        return _number
    if node.preserve_unknown or (node.type == "object" and node.values is None):
        return _anything
    return None


_EXPECTED: dict[str, type] = {"string": str, "boolean": bool}


def _compile_struct(node: schemas.Schema) -> Decoder:
    rules: dict[str, objects.Json] = {}
    always: list[tuple[str, objects.Json]] = []
    # The closure comes before the fields: a type may contain itself.
    node.decoder = made = _struct(node, rules, always)
    assert node.fields is not None
    for name, field in node.fields.items():
        if field.type in _EXPECTED and field.format not in _FORMATS:
            rules[name] = _EXPECTED[field.type]
        else:
            rules[name] = decoder(field)
    if "apiVersion" in node.fields and node.fields.get("spec") is not None:
        rules["spec"] = _recurring(decoder(node.fields["spec"]))
    for name, as_null in node.always.items():
        always.append((name, None if as_null else conversions.zero(node.fields[name])))
    return made


def _struct(  # noqa: C901 (the closure is one loop: a call per field costs more)
    node: schemas.Schema,
    rules: dict[str, objects.Json],
    always: list[tuple[str, objects.Json]],
) -> Decoder:
    """Build a struct's closure; a rule is the class of a plain value, or a closure."""
    omitted = conversions.droppable(node)
    if node.preserve_unknown:
        return _irregular

    def struct(value: objects.Json) -> objects.Json:  # noqa: C901 (see above)
        if value.__class__ is not dict:
            raise _IrregularError
        dropped = None
        for key, item in value.items():
            try:
                rule = rules[key]
            except KeyError:
                raise _IrregularError from None
            if item.__class__ is rule:
                if item or key not in omitted:
                    continue
            elif item is not None:
                if rule is str or rule is bool:
                    raise _IrregularError
                made = rule(item)
                if made is not item:
                    value[key] = made
                if made or key not in omitted:
                    continue
            if dropped is None:
                dropped = [key]
            else:
                dropped.append(key)
        if dropped is not None:
            for key in dropped:
                del value[key]
        if always:
            for key, empty in always:
                if key not in value:
                    value[key] = objects.copy(empty)
        return value

    return struct


def _recurring(decode: Decoder) -> Decoder:
    """Remember the specs in which there is nothing to do: the next equal one is let through."""
    normal: series.Series[bool] = series.Series()

    def spec(value: objects.Json) -> objects.Json:
        key = normal.key(value)
        if normal.get(key) is not None:
            return value
        made = decode(value)
        if made is value and normal.key(value) == key:
            normal.put(key, True)
        return made

    return spec


def _compile_list(node: schemas.Schema) -> Decoder:
    assert node.items is not None
    if _is_plain_string(node.items):

        def strings(value: objects.Json) -> objects.Json:
            if value.__class__ is not list:
                raise _IrregularError
            for item in value:
                if item.__class__ is not str:
                    raise _IrregularError
            return value

        return strings
    inner = decoder(node.items)
    if node.items.fields is not None:

        def structs(value: objects.Json) -> objects.Json:
            if value.__class__ is not list:
                raise _IrregularError
            for item in value:
                inner(item)
            return value

        return structs

    def others(value: objects.Json) -> objects.Json:
        if value.__class__ is not list or None in value:
            raise _IrregularError
        value[:] = [inner(item) for item in value]
        return value

    return others


def _compile_map(node: schemas.Schema) -> Decoder:
    assert node.values is not None
    if _is_plain_string(node.values):

        def strings(value: objects.Json) -> objects.Json:
            if value.__class__ is not dict:
                raise _IrregularError
            for item in value.values():
                if item.__class__ is not str:
                    raise _IrregularError
            return value

        return strings
    inner = decoder(node.values)

    def others(value: objects.Json) -> objects.Json:
        if value.__class__ is not dict:
            raise _IrregularError
        for key, item in value.items():
            if item is None:
                raise _IrregularError
            made = inner(item)
            if made is not item:
                value[key] = made
        return value

    return others


def _is_plain_string(node: schemas.Schema) -> bool:
    return node.type == "string" and node.format not in _FORMATS


def _exact(expected: type) -> Decoder:
    def exact(value: objects.Json) -> objects.Json:
        if value.__class__ is not expected:
            raise _IrregularError
        return value

    return exact


def _int32(value: objects.Json) -> objects.Json:
    if value.__class__ is not int or not _INT32[0] <= value <= _INT32[1]:
        raise _IrregularError
    return value


def _int64(value: objects.Json) -> objects.Json:
    if value.__class__ is not int or not _INT64[0] <= value <= _INT64[1]:
        raise _IrregularError
    return value


def _number(value: objects.Json) -> objects.Json:
    if value.__class__ is not int and value.__class__ is not float:
        raise _IrregularError
    return value


def _int_or_string(value: objects.Json) -> objects.Json:
    return value if value.__class__ is str else _int32(value)


def _quantity(value: objects.Json) -> objects.Json:
    if value.__class__ is not str:
        raise _IrregularError
    return quantities.canonical(value)


def _time(value: objects.Json) -> objects.Json:
    if value.__class__ is not str:
        raise _IrregularError
    return times.canonical(value)


def _micro_time(value: objects.Json) -> objects.Json:
    if value.__class__ is not str:
        raise _IrregularError
    return times.canonical_micro(value)


def _bytes(value: objects.Json) -> objects.Json:
    if value.__class__ is not str:
        raise _IrregularError
    return go_base64.canonical(value)


def _anything(value: objects.Json) -> objects.Json:
    return value


def _irregular(_value: objects.Json) -> objects.Json:
    raise _IrregularError


_FORMATS: dict[str, Decoder] = {
    "quantity": _quantity,
    "int-or-string": _int_or_string,
    "date-time": _time,
    "micro-time": _micro_time,
    "byte": _bytes,
}
