"""Syntax of Kubernetes' names, and validation of metadata.

Functions on strings return complaints, functions on objects return causes; none means valid. The
texts are those of k8s.io/apimachinery 0.36 (`util/validation`, `api/validate/content`,
`api/validation/objectmeta.go`), to the letter, because clients show them to users.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Set as AbstractSet
from typing import NamedTuple

from understudy.kube import causes, objects, statuses

NameCheck = Callable[[str], list[str]]
"""A function from a name to complaints about it."""

NAME_BYTES_MAX = 253
LABEL_BYTES_MAX = 63
PREFIX_BYTES_MAX = 253
ANNOTATIONS_BYTES_MAX = 256 * 1024
FIELD_MANAGER_BYTES_MAX = 128
SUBRESOURCE_BYTES_MAX = 256

_LABEL_FMT = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN_FMT = _LABEL_FMT + "(\\." + _LABEL_FMT + ")*"
_LABEL_UNDERSCORE_FMT = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SUBDOMAIN_UNDERSCORE_FMT = _LABEL_UNDERSCORE_FMT + "(\\." + _LABEL_UNDERSCORE_FMT + ")*"
_DNS1035_FMT = "[a-z]([-a-z0-9]*[a-z0-9])?"
_KEY_FMT = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE_FMT = "(" + _KEY_FMT + ")?"
_WILDCARD_FMT = "\\*\\." + _SUBDOMAIN_FMT
_CONFIG_KEY_FMT = "[-._a-zA-Z0-9]+"
_ENV_FMT = "[-._a-zA-Z][-._a-zA-Z0-9]*"
_C_IDENTIFIER_FMT = "[A-Za-z_][A-Za-z0-9_]*"
_HEADER_FMT = "[-A-Za-z0-9]+"
_PERCENT_FMT = "[0-9]+%"
_HTTP_PATH_FMT = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+"
_REASON_FMT = "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?"

_LABEL = re.compile(_LABEL_FMT)
_SUBDOMAIN = re.compile(_SUBDOMAIN_FMT)
_SUBDOMAIN_CASELESS = re.compile(_SUBDOMAIN_FMT, re.IGNORECASE | re.ASCII)
_SUBDOMAIN_UNDERSCORE = re.compile(_SUBDOMAIN_UNDERSCORE_FMT)
_DNS1035 = re.compile(_DNS1035_FMT)
_KEY = re.compile(_KEY_FMT)
_PLAIN_KEY = re.compile("[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_VALUE = re.compile(_VALUE_FMT)
_WILDCARD = re.compile(_WILDCARD_FMT)
_CONFIG_KEY = re.compile(_CONFIG_KEY_FMT)
_ENV = re.compile(_ENV_FMT)
_C_IDENTIFIER = re.compile(_C_IDENTIFIER_FMT)
_HEADER = re.compile(_HEADER_FMT)
_PERCENT = re.compile(_PERCENT_FMT)
_HTTP_PATH = re.compile(_HTTP_PATH_FMT)
_REASON = re.compile(_REASON_FMT)
_PORT_NAME = re.compile("[-a-z0-9]+")

_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.',"
    " and must start and end with an alphanumeric character"
)
_KEY_TEXT = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an"
    " alphanumeric character"
)


def size(text: str) -> int:
    """Return the length in bytes of UTF-8, which is what Go's `len` counts."""
    return len(text) if text.isascii() else len(text.encode())


def too_long(limit: int) -> str:
    """Return `must be no more than N characters`."""
    return f"must be no more than {limit} characters"


def _too_long_bytes(limit: int) -> str:
    return f"must be no more than {limit} bytes"


def pattern_text(text: str, pattern: str, *examples: str) -> str:
    """Return a complaint with its examples and pattern, Kubernetes' stray comma included."""
    if not examples:
        return f"{text} (regex used for validation is '{pattern}')"
    shown = " or ".join(f"'{example}', " for example in examples)
    return f"{text} (e.g. {shown}regex used for validation is '{pattern}')"


def between(low: int, high: int) -> str:
    """Return `must be between LOW and HIGH, inclusive`."""
    return f"must be between {low} and {high}, inclusive"


def dns_subdomain(name: str) -> list[str]:
    """Check an RFC 1123 subdomain, at most 253 bytes: most objects' names."""
    out = [too_long(NAME_BYTES_MAX)] if size(name) > NAME_BYTES_MAX else []
    if not _SUBDOMAIN.fullmatch(name):
        out.append(pattern_text(_SUBDOMAIN_TEXT, _SUBDOMAIN_FMT, "example.com"))
    return out


def dns_subdomain_underscore(name: str) -> list[str]:
    """Check a subdomain in which labels may contain underscores (DNS search paths)."""
    out = [too_long(NAME_BYTES_MAX)] if size(name) > NAME_BYTES_MAX else []
    if not _SUBDOMAIN_UNDERSCORE.fullmatch(name):
        text = _SUBDOMAIN_TEXT.replace("characters, '-'", "characters, '_', '-'")
        out.append(pattern_text(text, _SUBDOMAIN_UNDERSCORE_FMT, "example.com"))
    return out


def dns_subdomain_caseless(name: str) -> list[str]:
    """Check a subdomain in any case (driver names of dynamic resources)."""
    out = [_too_long_bytes(NAME_BYTES_MAX)] if size(name) > NAME_BYTES_MAX else []
    if not _SUBDOMAIN_CASELESS.fullmatch(name):
        text = (
            "an RFC 1123 subdomain must consist of alphanumeric characters, '-' or '.', and must"
            " start and end with an alphanumeric character"
        )
        out.append(pattern_text(text, _SUBDOMAIN_FMT, "Example.com"))
    return out


def dns_label(name: str) -> list[str]:
    """Check an RFC 1123 label, at most 63 bytes: namespaces, containers, volumes, services."""
    out = [too_long(LABEL_BYTES_MAX)] if size(name) > LABEL_BYTES_MAX else []
    if not _LABEL.fullmatch(name):
        if _SUBDOMAIN.fullmatch(name):
            out.append("must not contain dots")
        else:
            text = (
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or"
                " '-', and must start and end with an alphanumeric character"
            )
            out.append(pattern_text(text, _LABEL_FMT, "my-name", "123-abc"))
    return out


def dns1035_label(name: str) -> list[str]:
    """Check an RFC 1035 label, which starts with a letter."""
    out = [too_long(LABEL_BYTES_MAX)] if size(name) > LABEL_BYTES_MAX else []
    if not _DNS1035.fullmatch(name):
        text = (
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with"
            " an alphabetic character, and end with an alphanumeric character"
        )
        out.append(pattern_text(text, _DNS1035_FMT, "my-name", "abc-123"))
    return out


def wildcard_subdomain(name: str) -> list[str]:
    """Check a host such as `*.example.com`."""
    out = [too_long(NAME_BYTES_MAX)] if size(name) > NAME_BYTES_MAX else []
    if not _WILDCARD.fullmatch(name):
        text = (
            "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain,"
            " which must consist of lower case alphanumeric characters, '-' or '.' and end with an"
            " alphanumeric character"
        )
        out.append(pattern_text(text, _WILDCARD_FMT, "*.example.com"))
    return out


def path_segment(name: str) -> list[str]:
    """Check a name that only has to fit into a URL path (RBAC objects)."""
    if name in {".", ".."}:
        return [f"may not be '{name}'"]
    return [f"may not contain '{char}'" for char in "/%" if char in name]


def path_segment_prefix(name: str) -> list[str]:
    """Check the beginning of such a name (generateName)."""
    return [f"may not contain '{char}'" for char in "/%" if char in name]


def label_key(key: str) -> list[str]:
    """Check a label key: an optional DNS prefix and `/`, and a name of at most 63 bytes."""
    if _PLAIN_KEY.fullmatch(key):
        return []
    parts = key.split("/")
    if len(parts) > 2:
        text = pattern_text(_KEY_TEXT, _KEY_FMT, "MyName", "my.name", "123-abc")
        return [
            f"a valid label key {text} with an optional DNS subdomain prefix and '/'"
            " (e.g. 'example.com/MyName')"
        ]
    out: list[str] = []
    if len(parts) == 2:
        prefix = parts[0]
        if not prefix:
            out.append("prefix part must be non-empty")
        else:
            if size(prefix) > PREFIX_BYTES_MAX:
                out.append("prefix part " + _too_long_bytes(PREFIX_BYTES_MAX))
            if not _SUBDOMAIN.fullmatch(prefix):
                text = pattern_text(_SUBDOMAIN_TEXT, _SUBDOMAIN_FMT, "example.com")
                out.append("prefix part " + text)
    name = parts[-1]
    if not name:
        out.append("name part must be non-empty")
    elif size(name) > LABEL_BYTES_MAX:
        out.append("name part " + _too_long_bytes(LABEL_BYTES_MAX))
    if not _KEY.fullmatch(name):
        text = pattern_text(_KEY_TEXT, _KEY_FMT, "MyName", "my.name", "123-abc")
        out.append("name part " + text)
    return out


@functools.lru_cache(maxsize=8192)
def is_label_key(key: str) -> bool:
    """Say whether `label_key` has nothing to complain about; quick where keys recur."""
    return not label_key(key)


qualified_name = label_key
"""Kubernetes' other word for a label key: finalizers, resources, conditions."""


def label_value(value: str) -> list[str]:
    """Check a label value: empty, or at most 63 bytes of letters, digits, `-`, `_` and `.`."""
    out = [_too_long_bytes(LABEL_BYTES_MAX)] if size(value) > LABEL_BYTES_MAX else []
    if not _VALUE.fullmatch(value):
        text = (
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_'"
            " or '.', and must start and end with an alphanumeric character"
        )
        out.append(pattern_text(text, _VALUE_FMT, "MyValue", "my_value", "12345"))
    return out


@functools.lru_cache(maxsize=8192)
def is_label_value(value: str) -> bool:
    """Say whether `label_value` has nothing to complain about; quick where values recur."""
    return not label_value(value)


def config_map_key(key: str) -> list[str]:
    """Check a key of a ConfigMap or Secret."""
    out = [too_long(NAME_BYTES_MAX)] if size(key) > NAME_BYTES_MAX else []
    if not _CONFIG_KEY.fullmatch(key):
        text = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
        out.append(pattern_text(text, _CONFIG_KEY_FMT, "key.name", "KEY_NAME", "key-name"))
    return out + _directory_prefix(key)


def env_name(name: str) -> list[str]:
    """Check the strict form of an environment variable's name."""
    out: list[str] = []
    if not _ENV.fullmatch(name):
        text = (
            "a valid environment variable name must consist of alphabetic characters, digits, '_',"
            " '-', or '.', and must not start with a digit"
        )
        out.append(pattern_text(text, _ENV_FMT, "my.env-name", "MY_ENV.NAME", "MyEnvName1"))
    return out + _directory_prefix(name)


def relaxed_env_name(name: str) -> list[str]:
    """Check an environment variable's name: printable ASCII without `=`."""
    out = [] if name else ["environment variable name must be non-empty"]
    if any(not " " <= char <= "~" or char == "=" for char in name):
        out.append(
            "a valid environment variable name must consist only of printable ASCII characters"
            " other than '='"
        )
    return out


def c_identifier(name: str) -> list[str]:
    """Check an identifier of the C language."""
    if _C_IDENTIFIER.fullmatch(name):
        return []
    text = (
        "a valid C identifier must start with alphabetic character or '_', followed by a string of"
        " alphanumeric characters or '_'"
    )
    return [pattern_text(text, _C_IDENTIFIER_FMT, "my_name", "MY_NAME", "MyName")]


def http_header(name: str) -> list[str]:
    """Check the name of an HTTP header."""
    if _HEADER.fullmatch(name):
        return []
    text = "a valid HTTP header must consist of alphanumeric characters or '-'"
    return [pattern_text(text, _HEADER_FMT, "X-Header-Name")]


def percent(text: str) -> list[str]:
    """Check a percentage such as `25%`."""
    if _PERCENT.fullmatch(text):
        return []
    words = "a valid percent string must be a numeric string followed by an ending '%'"
    return [pattern_text(words, _PERCENT_FMT, "1%", "93%")]


def http_path(path: str) -> list[str]:
    """Check the path part of a domain-prefixed path."""
    return [] if _HTTP_PATH.fullmatch(path) else [pattern_text("Invalid path", _HTTP_PATH_FMT)]


def condition_reason(reason: str) -> list[str]:
    """Check the reason of a metav1.Condition."""
    if _REASON.fullmatch(reason):
        return []
    text = (
        "a condition reason must start with alphabetic character, optionally followed by a string"
        " of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_'"
    )
    examples = ("my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB")
    return [pattern_text(text, _REASON_FMT, *examples)]


def port_number(port: int) -> list[str]:
    """Check a port from 1 to 65535."""
    return [] if 1 <= port <= 65535 else [between(1, 65535)]


def port_name(name: str) -> list[str]:
    """Check an IANA service name: 1 to 15 of `a-z0-9-`, with a letter."""
    out = [too_long(15)] if size(name) > 15 else []
    if not _PORT_NAME.fullmatch(name):
        out.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not any("a" <= char <= "z" for char in name):
        out.append("must contain at least one letter (a-z)")
    if "--" in name:
        out.append("must not contain consecutive hyphens")
    if name and (name[0] == "-" or name[-1] == "-"):
        out.append("must not begin or end with a hyphen")
    return out


def user_id(number: int) -> list[str]:
    """Check a Unix user or group id, 0 to 2^31-1."""
    return [] if 0 <= number <= 2147483647 else [between(0, 2147483647)]


def masked_prefix(name: str) -> str:
    """Return a generateName in the form in which the name check is applied to it.

    A trailing dash is allowed there. Kubernetes replaces the last *two* characters by `a`.
    """
    return name[:-2] + "a" if len(name) > 1 and name.endswith("-") else name


def _directory_prefix(value: str) -> list[str]:
    if value in {".", ".."}:
        return [f"must not be '{value}'"]
    return ["must not start with '..'"] if value.startswith("..") else []


def generate_name(base: str, suffix: str) -> str:
    """Return `base + suffix`, the base cut so that 63 bytes are not exceeded."""
    return base[: LABEL_BYTES_MAX - len(suffix)] + suffix


class MetadataChecks(NamedTuple):
    """How often a kind's own rules look at metadata when an object changes, and how strictly.

    Every kind has its metadata looked at once as that of a new object and once as a change; most
    repeat one of the two or both, and so each complaint.

    Attributes:
        whole: Times the metadata is looked at as that of a new object.
        changes: Times it is looked at as a change.
        standard_finalizers: Finalizers without a domain must be Kubernetes' own.
    """

    whole: int = 0
    changes: int = 0
    standard_finalizers: bool = False


def validate_metadata(
    obj: objects.Object,
    namespaced: bool,
    name_check: NameCheck,
    checks: MetadataChecks = MetadataChecks(),  # noqa: B008 (immutable)
) -> list[statuses.Cause]:
    """Return every complaint about a new object's metadata; its name has been generated by now."""
    meta = objects.metadata(obj)
    out: list[statuses.Cause] = []
    prefix = meta.get("generateName")
    if prefix:
        checked = masked_prefix(prefix)
        if name_check is path_segment:
            checked, complaints = prefix, path_segment_prefix(prefix)
        else:
            complaints = name_check(checked)
        out += causes.complaints("metadata.generateName", prefix, complaints)
    name = meta.get("name")
    if not name:
        out.append(causes.required("metadata.name", "name or generateName is required"))
    else:
        for text in name_check(name):
            out.append(causes.invalid("metadata.name", name, text))
    out += _standard_finalizers(meta) if checks.standard_finalizers else []
    return out + _placed(meta, namespaced) + _common(meta)


def validate_metadata_update(
    obj: objects.Object, old: objects.Object, namespaced: bool, checks: MetadataChecks
) -> list[statuses.Cause]:
    """Return every complaint about changed metadata, each as often as Kubernetes makes it.

    The caller has copied resourceVersion for kinds that allow an unconditional update, and what
    `restore_system_fields` restores.
    """
    new_meta, old_meta = objects.metadata(obj), objects.metadata(old)
    out: list[statuses.Cause] = []
    if old_meta.get("deletionTimestamp"):
        known = old_meta.get("finalizers") or ()
        extra = sorted({f for f in new_meta.get("finalizers") or () if f not in known})
        if extra:
            shown = ", ".join(causes.quoted(item) for item in extra)
            out.append(causes.forbidden(
                "metadata.finalizers",
                "no new finalizers can be added if the object is being deleted, found new"
                f" finalizers []string{{{shown}}}",
            ))  # fmt: skip
    if not new_meta.get("resourceVersion"):
        out.append(
            causes.invalid("metadata.resourceVersion", "", "must be specified for an update")
        )
    if (new_meta.get("generation") or 0) < (old_meta.get("generation") or 0):
        out.append(
            causes.invalid(
                "metadata.generation", new_meta.get("generation") or 0, "must not be decremented"
            )
        )
    for key in ("name", "namespace", "uid"):
        if (new_meta.get(key) or "") != (old_meta.get(key) or ""):
            value = new_meta.get(key) or ""
            out.append(causes.invalid(f"metadata.{key}", value, causes.IMMUTABLE))
    out.extend(
        causes.invalid(f"metadata.{key}", new_meta.get(key), causes.IMMUTABLE)
        for key in ("creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")
        if new_meta.get(key) != old_meta.get(key)
    )
    # What is the stored object's own, not merely equal to it, was looked at when it was stored.
    looked_at = {name for name, value in new_meta.items() if value is old_meta.get(name)}
    whole, changes, standard = checks
    out *= 1 + changes
    out += _placed(new_meta, namespaced, looked_at) * (1 + whole)
    out += _common(new_meta, looked_at) * (2 + whole + changes)
    if standard and new_meta.get("finalizers"):
        out += _standard_finalizers(new_meta) * (whole + changes)
    return out


def restore_system_fields(obj: objects.Object, old: objects.Object) -> None:
    """Give back, in place, what an update can neither remove nor change."""
    new_meta, old_meta = obj.setdefault("metadata", {}), objects.metadata(old)
    if not new_meta.get("uid"):
        new_meta["uid"] = old_meta.get("uid", "")
    for key in ("creationTimestamp", "generation"):
        if key in old_meta:
            new_meta[key] = old_meta[key]
        else:
            new_meta.pop(key, None)
    if old_meta.get("deletionTimestamp"):
        new_meta["deletionTimestamp"] = old_meta["deletionTimestamp"]
    if old_meta.get("deletionGracePeriodSeconds") is not None:
        new_meta.setdefault("deletionGracePeriodSeconds", old_meta["deletionGracePeriodSeconds"])
    new_meta.pop("selfLink", None)


def _placed(
    meta: objects.Object, namespaced: bool, looked_at: AbstractSet[str] = frozenset()
) -> list[statuses.Cause]:
    """Check what only new objects are checked for: namespace, generation, finalizers."""
    out: list[statuses.Cause] = []
    namespace = meta.get("namespace")
    if namespaced:
        if not namespace:
            out.append(causes.required("metadata.namespace"))
        elif "namespace" not in looked_at:
            out += causes.complaints("metadata.namespace", namespace, dns_label(namespace))
    elif namespace:
        out.append(causes.forbidden("metadata.namespace", "not allowed on this type"))
    if (meta.get("generation") or 0) < 0:
        out.append(causes.invalid("metadata.generation", meta["generation"], causes.NEGATIVE))
    if finalizers := meta.get("finalizers"):
        out += _finalizers(finalizers, "metadata.finalizers")
    return out


_FINALIZERS = frozenset({"kubernetes", "orphan", "foregroundDeletion"})


def _standard_finalizers(meta: objects.Object) -> list[statuses.Cause]:
    text = "name is neither a standard finalizer name nor is it fully qualified"
    return [
        causes.invalid(f"metadata.finalizers[{index}]", name, text)
        for index, name in enumerate(meta.get("finalizers") or ())
        if "/" not in name and name not in _FINALIZERS
    ]


def _common(
    meta: objects.Object, looked_at: AbstractSet[str] = frozenset()
) -> list[statuses.Cause]:
    out: list[statuses.Cause] = []
    if (labels := meta.get("labels")) and "labels" not in looked_at:
        out += validate_labels(labels, "metadata.labels")
    if (annotations := meta.get("annotations")) and "annotations" not in looked_at:
        out += validate_annotations(annotations, "metadata.annotations")
    if (owners := meta.get("ownerReferences")) and "ownerReferences" not in looked_at:
        out += _owner_references(owners, "metadata.ownerReferences")
    if entries := meta.get("managedFields"):
        out += _managed_fields(entries, "metadata.managedFields")
    return out


def validate_labels(labels: Mapping[str, str], field: str) -> list[statuses.Cause]:
    """Return every complaint about a set of labels; the field does not name the key."""
    out: list[statuses.Cause] = []
    for key, value in labels.items():
        if not is_label_key(key):
            out += causes.complaints(field, key, label_key(key))
        if not is_label_value(value):
            out += causes.complaints(field, value, label_value(value))
    return out


def validate_annotations(annotations: Mapping[str, str], field: str) -> list[statuses.Cause]:
    """Return every complaint about annotations: their keys and their total size."""
    out: list[statuses.Cause] = []
    total_bytes = 0
    for key, value in annotations.items():
        if not is_label_key(key.lower()):
            out += causes.complaints(field, key, label_key(key.lower()))
        total_bytes += size(key) + size(value)
    if total_bytes > ANNOTATIONS_BYTES_MAX:
        out.append(causes.too_long(field, ANNOTATIONS_BYTES_MAX))
    return out


_OWNER_KEYS = ("apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion")


def _owner(reference: objects.Object) -> objects.Object:
    """Return a reference with its keys in Go's order, the four strings always present."""
    out = {key: reference.get(key) or "" for key in _OWNER_KEYS[:4]}
    return out | {key: reference[key] for key in _OWNER_KEYS[4:] if key in reference}


def _owner_references(owners: list[objects.Object], field: str) -> list[statuses.Cause]:
    out: list[statuses.Cause] = []
    controller = ""
    for owner in owners:
        api_version, kind = owner.get("apiVersion") or "", owner.get("kind") or ""
        if not api_version or api_version.count("/") > 1 or api_version.endswith("/"):
            text = "version must not be empty"
            out.append(causes.invalid(f"{field}.apiVersion", api_version, text))
        out += [
            causes.invalid(f"{field}.{key}", "", "must not be empty")
            for key in ("kind", "name", "uid")
            if not owner.get(key)
        ]
        if api_version == "v1" and kind == "Event":
            text = "/v1, Kind=Event is disallowed from being an owner"
            out.append(causes.invalid(field, _owner(owner), text))
    for owner in owners:
        if owner.get("controller"):
            name = f"{owner.get('kind') or ''}/{owner.get('name') or ''}"
            if controller:
                out.append(causes.invalid(
                    field,
                    [_owner(one) for one in owners],
                    'Only one reference can have Controller set to true. Found "true" in'
                    f" references for {controller} and {name}",
                ))  # fmt: skip
            else:
                controller = name
    return out


def _finalizers(finalizers: list[str], field: str) -> list[statuses.Cause]:
    out = [
        causes.invalid(field, item, text) for item in finalizers for text in qualified_name(item)
    ]
    if "orphan" in finalizers and "foregroundDeletion" in finalizers:
        text = "finalizer orphan and foregroundDeletion cannot be both set"
        out.append(causes.invalid(field, list(finalizers), text))
    return out


def validate_field_manager(manager: str, field: str) -> list[statuses.Cause]:
    """Return every complaint about a field manager: at most 128 bytes, all printable."""
    out: list[statuses.Cause] = []
    if size(manager) > FIELD_MANAGER_BYTES_MAX:
        out.append(causes.too_long(field, FIELD_MANAGER_BYTES_MAX))
    if manager.isascii() and manager.isprintable():
        return out
    position = 0
    for char in manager:
        if not char.isprintable():
            text = f"invalid character U+{ord(char):04X} (at position {position})"
            out.append(causes.invalid(field, manager, text))
        position += len(char.encode())
    return out


def _managed_fields(entries: list[objects.Object], field: str) -> list[statuses.Cause]:
    out: list[statuses.Cause] = []
    for index, entry in enumerate(entries):
        path = f"{field}[{index}]"
        operation = entry.get("operation") or ""
        if operation not in {"Apply", "Update"}:
            text = "must be `Apply` or `Update`"
            out.append(causes.invalid(f"{path}.operation", operation, text))
        if entry.get("fieldsType") not in {None, "", "FieldsV1"}:
            text = "must be `FieldsV1`"
            out.append(causes.invalid(f"{path}.fieldsType", entry["fieldsType"], text))
        out += validate_field_manager(entry.get("manager") or "", f"{path}.manager")
        if size(entry.get("subresource") or "") > SUBRESOURCE_BYTES_MAX:
            out.append(causes.too_long(f"{path}.subresource", SUBRESOURCE_BYTES_MAX))
    return out
