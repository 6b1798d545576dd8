"""Causes of an Invalid answer, worded and printed as Go's `field` package prints them.

A value stands in a message the way Go prints it: strings quoted, numbers and booleans bare,
everything else as JSON with `<`, `>` and `&` escaped.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from understudy.kube import objects, statuses

IMMUTABLE = "field is immutable"
NEGATIVE = "must be greater than or equal to 0"


def invalid(field: str, value: objects.Json, why: str) -> statuses.Cause:
    """Build a FieldValueInvalid cause: `Invalid value: "x": why`."""
    text = f"Invalid value: {printed(value)}: {why}" if why else f"Invalid value: {printed(value)}"
    return statuses.Cause(field, "FieldValueInvalid", text)


def required(field: str, why: str = "") -> statuses.Cause:
    """Build a FieldValueRequired cause: `Required value: why`."""
    return statuses.required(field, why)


def forbidden(field: str, why: str) -> statuses.Cause:
    """Build a FieldValueForbidden cause: `Forbidden: why`."""
    return statuses.Cause(field, "FieldValueForbidden", f"Forbidden: {why}" if why else "Forbidden")


def duplicate(field: str, value: objects.Json) -> statuses.Cause:
    """Build a FieldValueDuplicate cause: `Duplicate value: "x"`."""
    return statuses.Cause(field, "FieldValueDuplicate", f"Duplicate value: {printed(value)}")


def not_found(field: str, value: objects.Json) -> statuses.Cause:
    """Build a FieldValueNotFound cause: `Not found: "x"`."""
    return statuses.Cause(field, "FieldValueNotFound", f"Not found: {printed(value)}")


def unsupported(field: str, value: objects.Json, supported: Iterable[str]) -> statuses.Cause:
    """Build a FieldValueNotSupported cause, with the supported values in the given order."""
    known = ", ".join(quoted(item) for item in supported)
    text = f"Unsupported value: {printed(value)}"
    return statuses.Cause(
        field, "FieldValueNotSupported", f"{text}: supported values: {known}" if known else text
    )


def too_long(field: str, limit_bytes: int) -> statuses.Cause:
    """Build a FieldValueTooLong cause; the value itself is left out."""
    unit = "byte" if limit_bytes == 1 else "bytes"
    return statuses.Cause(
        field, "FieldValueTooLong", f"Too long: may not be more than {limit_bytes} {unit}"
    )


def too_many(field: str, actual: int, limit: int) -> statuses.Cause:
    """Build a FieldValueTooMany cause: `Too many: 5: must have at most 4 items`."""
    unit = "item" if limit == 1 else "items"
    return statuses.Cause(
        field, "FieldValueTooMany", f"Too many: {actual}: must have at most {limit} {unit}"
    )


def internal(field: str, why: str) -> statuses.Cause:
    """Build an InternalError cause: `Internal error: why`."""
    return statuses.Cause(field, "InternalError", f"Internal error: {why}")


def complaints(field: str, value: objects.Json, texts: Sequence[str]) -> list[statuses.Cause]:
    """Build one FieldValueInvalid cause for each complaint about the same value."""
    return [invalid(field, value, text) for text in texts]


def printed(value: objects.Json) -> str:
    """Return a value as Go's `field.Error` prints it, e.g. `"a"`, `3`, `{"a":"b"}`."""
    if isinstance(value, str):
        return quoted(value)
    if value is None:
        return "null"
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


_ESCAPES = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t",
            "\v": "\\v", '"': '\\"', "\\": "\\\\"}  # fmt: skip


def quoted(text: str) -> str:
    """Return a string as Go's `%q` prints it."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    out: list[str] = []
    for char in text:
        if char in _ESCAPES:
            out.append(_ESCAPES[char])
        elif char.isprintable():
            out.append(char)
        elif ord(char) < 0x80:
            out.append(f"\\x{ord(char):02x}")
        elif ord(char) < 0x10000:
            out.append(f"\\u{ord(char):04x}")
        else:
            out.append(f"\\U{ord(char):08x}")
    return '"' + "".join(out) + '"'
