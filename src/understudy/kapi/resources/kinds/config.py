"""ConfigMaps, Secrets and ServiceAccounts.

Source: pkg/apis/core/{v1,validation}, pkg/registry/core @1.36.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import ClassVar

from understudy.kapi.resources import strategies
from understudy.kapi.resources.kinds import rules
from understudy.kube import causes, names, objects, statuses

Causes = list[statuses.Cause]

DATA_BYTES_MAX = 1024 * 1024
_FROZEN = "field is immutable when `immutable` is set"
_ACCOUNT_NAME = "kubernetes.io/service-account.name"
_REDACTED = "<secret contents redacted>"
_REQUIRED_KEYS = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
}


def _decoded_size(text: str) -> int:
    """Return the number of bytes that base64 text stands for."""
    return len(text) * 3 // 4 - text[-2:].count("=")


def _frozen(obj: objects.Object, old: objects.Object, keys: tuple[str, ...]) -> Causes:
    """Refuse changes to an object that said it is immutable."""
    if not old.get("immutable"):
        return []
    out: Causes = []
    if not obj.get("immutable"):
        out.append(causes.forbidden("immutable", _FROZEN))
    out += [
        causes.forbidden(key, _FROZEN)
        for key in keys
        if (obj.get(key) or {}) != (old.get(key) or {})
    ]
    return out


class ConfigMap(rules.Kind):
    """A ConfigMap."""

    metadata_checks: ClassVar[names.MetadataChecks] = names.MetadataChecks(1, 1, True)

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        return self._validate(obj)

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        return _frozen(obj, old, ("data", "binaryData")) + self._validate(obj)

    def _validate(self, obj: objects.Object) -> Causes:
        data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
        out: Causes = []
        total_bytes = 0
        for key, value in data.items():
            out += causes.complaints(f"data[{key}]", key, names.config_map_key(key))
            if key in binary:
                text = "duplicate of key present in binaryData"
                out.append(causes.invalid(f"data[{key}]", key, text))
            total_bytes += names.size(value)
        for key, value in binary.items():
            out += causes.complaints(f"binaryData[{key}]", key, names.config_map_key(key))
            total_bytes += _decoded_size(value)
        if total_bytes > DATA_BYTES_MAX:
            out.append(causes.too_long("", DATA_BYTES_MAX))
        return out


class Secret(rules.Kind):
    """A Secret; `stringData` is taken into `data` and forgotten."""

    metadata_checks: ClassVar[names.MetadataChecks] = names.MetadataChecks(1, 1, True)
    selectable: ClassVar[tuple[str, ...]] = ("type",)

    def default(self, obj: objects.Object) -> None:
        if not obj.get("type"):
            obj["type"] = "Opaque"
        strings = obj.pop("stringData", None)
        if strings:
            data = obj.get("data") or {}
            for key, value in strings.items():
                data[key] = base64.b64encode((value or "").encode()).decode()
            obj["data"] = data

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        return self._validate(obj)

    def prepare_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> None:
        """Keep the type where none was sent."""
        super().prepare_update(obj, old, context)
        if not obj.get("type"):
            rules.restore(obj, old, "type")

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        out = rules.immutable(obj.get("type") or "", old.get("type") or "", "type")
        return out + _frozen(obj, old, ("data",)) + self._validate(obj)

    def _validate(self, obj: objects.Object) -> Causes:
        data, kind = obj.get("data") or {}, obj.get("type") or ""
        out: Causes = []
        total_bytes = 0
        for key, value in data.items():
            out += causes.complaints(f"data[{key}]", key, names.config_map_key(key))
            total_bytes += _decoded_size(value or "")
        if total_bytes > DATA_BYTES_MAX:
            out.append(causes.too_long("data", DATA_BYTES_MAX))
        if kind == "kubernetes.io/service-account-token":
            if not objects.annotations_of(obj).get(_ACCOUNT_NAME):
                out.append(causes.required(f"metadata.annotations[{_ACCOUNT_NAME}]"))
        elif kind == "kubernetes.io/basic-auth":
            if "username" not in data and "password" not in data:
                out += [causes.required(f"data[{key}]") for key in ("username", "password")]
        elif kind == "kubernetes.io/ssh-auth" and not data.get("ssh-privatekey"):
            out.append(causes.required("data[ssh-privatekey]"))
        for key in _REQUIRED_KEYS.get(kind, ()):
            if key not in data:
                out.append(causes.required(f"data[{key}]"))
            elif key.startswith(".") and (why := json_complaint(_bytes(data[key]))):
                out.append(causes.invalid(f"data[{key}]", _REDACTED, why))
        return out

    def warnings(self, obj: objects.Object, old: objects.Object | None) -> list[str]:
        if obj.get("type") != "kubernetes.io/tls":
            return []
        data = obj.get("data") or {}
        return _key_pair_warnings(_bytes(data.get("tls.crt")), _bytes(data.get("tls.key")))

    def selectable_fields(self, obj: objects.Object) -> dict[str, str]:
        return {"type": obj.get("type") or ""}


def _bytes(text: str | None) -> bytes:
    try:
        return base64.b64decode(text or "")
    except (binascii.Error, ValueError):
        return b""


def _key_pair_warnings(certificate: bytes, key: bytes) -> list[str]:
    """Warn as crypto/tls.X509KeyPair fails."""
    if b"-----BEGIN " not in certificate:
        return ["tls: failed to find any PEM data in certificate input"]
    if b"-----BEGIN CERTIFICATE-----" not in certificate:
        kind = certificate.partition(b"-----BEGIN ")[2].partition(b"-----")[0].decode()
        if kind.endswith("PRIVATE KEY"):
            return [
                "tls: failed to find certificate PEM data in certificate input, but did find a"
                " private key; PEM inputs may have been switched"
            ]
        return [
            'tls: failed to find "CERTIFICATE" PEM block in certificate input after skipping PEM'
            f" blocks of the following types: [{kind}]"
        ]
    if b"-----BEGIN " not in key:
        return ["tls: failed to find any PEM data in key input"]
    return []


def json_complaint(text: bytes) -> str:
    """Return how Go's decoder would refuse bytes as a JSON object, or nothing.

    Only the first few ways are told apart; they are what wrong Docker configurations look like.
    """
    try:
        value = json.loads(text)
    except UnicodeDecodeError:
        return "invalid character '\\ufffd' looking for beginning of value"
    except json.JSONDecodeError as error:
        return _syntax_complaint(text.decode(errors="replace"), error)
    if value is not None and not isinstance(value, dict):
        words = {str: "string", bool: "bool", list: "array", int: "number", float: "number"}
        kind = words.get(type(value), "value")
        return f"json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"
    return ""


def _syntax_complaint(text: str, error: json.JSONDecodeError) -> str:
    stripped = text.lstrip(" \t\r\n")
    if not stripped or error.pos >= len(text):
        return "unexpected end of JSON input"
    for literal in ("null", "true", "false"):
        if stripped[0] != literal[0]:
            continue
        for position, expected in enumerate(literal):
            if position >= len(stripped):
                return "unexpected end of JSON input"
            if stripped[position] != expected:
                char = _char(stripped[position])
                return f"invalid character {char} in literal {literal} (expecting '{expected}')"
    char = _char(text[error.pos])
    if error.msg.startswith("Extra data"):
        return f"invalid character {char} after top-level value"
    if "property name" in error.msg:
        return f"invalid character {char} looking for beginning of object key string"
    if "':' delimiter" in error.msg:
        return f"invalid character {char} after object key"
    if "',' delimiter" in error.msg:
        return f"invalid character {char} after object key:value pair"
    return f"invalid character {char} looking for beginning of value"


def _char(char: str) -> str:
    return {"'": r"'\''", '"': "'\"'"}.get(char, f"'{char}'")


class ServiceAccount(rules.Kind):
    """A ServiceAccount."""

    metadata_checks: ClassVar[names.MetadataChecks] = names.MetadataChecks(1, 1, True)
    returns_object_on_delete: ClassVar[bool] = True

    def prepare_create(self, obj: objects.Object, context: strategies.WriteContext) -> None:
        _keep_names(obj)

    def prepare_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> None:
        _keep_names(obj)

    def warnings(self, obj: objects.Object, old: objects.Object | None) -> list[str]:
        key = "kubernetes.io/enforce-mountable-secrets"
        annotations = objects.annotations_of(obj)
        before = objects.annotations_of(old) if old is not None else {}
        if key in annotations and key not in before:
            return [
                f"metadata.annotations[{key}]: deprecated in v1.32+; prefer separate namespaces"
                " to isolate access to mounted secrets"
            ]
        return []


def _keep_names(account: objects.Object) -> None:
    """Reduce an account's references to secrets to names: they are in its namespace."""
    if secrets := account.get("secrets"):
        account["secrets"] = [{"name": ref["name"]} if "name" in ref else {} for ref in secrets]
