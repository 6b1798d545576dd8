"""What must never be shown: Secrets' values, and values that are called like one.

`Mask` gives equal values equal numbers within one run (`<secret #1>`), so that a diff still tells
whether two places share a value and whether it changed. Numbers are given in the order of first
sight and say nothing about the value.
"""

from __future__ import annotations

import re

from understudy.kube import objects

_SENSITIVE_NAME = re.compile(
    r"(pass(word|wd|phrase)?|secret|token|api[-_.]?key|private[-_.]?key|credentials?)$",
    re.IGNORECASE,
)
_SECRET_FIELDS = ("data", "stringData")
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


class Mask:
    """Replaces sensitive values by numbers, the same for the same value."""

    __slots__ = ("_numbers",)

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def mark(self, value: objects.Json) -> str:
        """Return what is shown instead of a value."""
        number = self._numbers.setdefault(repr(value), len(self._numbers) + 1)
        return f"<secret #{number}>"

    def hide(self, obj: objects.Object) -> objects.Object:
        """Return a copy of an object in which nothing sensitive can be read."""
        hidden: objects.Object = self._walk(obj)
        if obj.get("kind") == "Secret" and obj.get("apiVersion") == "v1":
            for field in _SECRET_FIELDS:
                values = obj.get(field)
                if isinstance(values, dict):
                    hidden[field] = {key: self.mark(value) for key, value in values.items()}
            annotations = objects.annotations_of(hidden)
            if LAST_APPLIED in annotations:
                annotations[LAST_APPLIED] = self.mark(annotations[LAST_APPLIED])
        return hidden

    def _walk(self, value: objects.Json) -> objects.Json:
        if isinstance(value, list):
            return [self._walk(item) for item in value]
        if not isinstance(value, dict):
            return value
        out = {key: self._walk(item) for key, item in value.items()}
        name, text = value.get("name"), value.get("value")
        if isinstance(name, str) and isinstance(text, str) and is_sensitive(name):
            out["value"] = self.mark(text)  # An environment variable, or anything shaped like one.
        return out


def is_sensitive(name: str) -> bool:
    """Whether a name is one that secrets go by: `DB_PASSWORD`, `apiKey`, `auth-token`."""
    return _SENSITIVE_NAME.search(name) is not None


def secret_fields(obj: objects.Object) -> list[tuple[str, str]]:
    """Return (field, key) of every value of a core Secret, in order; nothing for other kinds."""
    if obj.get("kind") != "Secret" or obj.get("apiVersion") != "v1":
        return []
    return [
        (field, key)
        for field in _SECRET_FIELDS
        if isinstance(obj.get(field), dict)
        for key in sorted(obj[field])
    ]
