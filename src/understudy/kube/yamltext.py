"""YAML text as Kubernetes reads it: turned into JSON by the rules of sigs.k8s.io/yaml.

Plain scalars follow Go's YAML 1.1 reader: `y`, `on` and `No` are booleans, `0644` is octal, dates
stay strings; keys become strings. Aliases and merge keys (`<<`) are resolved. Only the loader's
event stream and node graph are used, so no tag can build anything but JSON.
"""

from __future__ import annotations

import re

import yaml

from understudy.kube import objects

try:
    from yaml import CSafeLoader as _SafeLoader
except ImportError:  # PyYAML without libyaml: slower, not different
    from yaml import SafeLoader as _SafeLoader  # type: ignore[assignment]

_PLAIN = "!plain"
_TAG = "tag:yaml.org,2002:"
NODES_MAX = 1_000_000
"""Values built from one document, aliases expanded; more is refused as an expansion attack."""

DEPTH_MAX = 256
"""Deepest nesting of a document. libyaml composes recursively, and would overflow the C stack."""

_DEEP_PREFIX = re.compile(rf"^[ \-?\t]{{{DEPTH_MAX // 2},}}", re.MULTILINE)

_WORDS: dict[str, objects.Json] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(
        ("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True
    ),
    **dict.fromkeys(
        ("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False
    ),
}
_INTEGER = re.compile(r"[-+]?(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|[1-9][0-9]*|0)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


class YamlError(ValueError):
    """A text is not YAML, or not what JSON can hold; the message is Go's, `yaml: line 2: ...`."""


class _Loader(_SafeLoader):
    """Marks plain scalars, so that they are resolved here and not by PyYAML's rules."""

    def resolve(self, kind: type, value: str | None, implicit: objects.Json) -> str:
        if kind is yaml.ScalarNode:
            return _PLAIN if implicit[0] else _TAG + "str"
        return _TAG + ("seq" if kind is yaml.SequenceNode else "map")


def load(text: bytes | str) -> tuple[objects.Json, list[str]]:
    """Return the JSON value of the first document, and Go's complaint where keys come twice.

    The complaint is one text for all of them: `yaml: unmarshal errors:` and a line for each,
    `  line 5: key "data" already set in map`. The last of several equal keys counts.

    Raises:
        YamlError: The text is not YAML.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    try:
        _check_depth(text)
        loader = _Loader(text)
        try:
            node = loader.get_node() if loader.check_node() else None
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        raise YamlError(f"yaml: {_place(error)}{error.problem}") from None
    except yaml.YAMLError as error:
        raise YamlError(f"yaml: {error}") from None
    builder = _Builder()
    value = None if node is None else builder.value(node)
    if not builder.repeated:
        return value, []
    return value, ["yaml: unmarshal errors:\n" + "\n".join(builder.repeated)]


def _place(error: yaml.MarkedYAMLError) -> str:
    """Say where an error is as Go does: by the context if there is one, parsers a line too early.

    The first line goes unnamed.
    """
    scanning = isinstance(error, yaml.scanner.ScannerError)
    for mark in (error.context_mark, error.problem_mark):
        if mark is not None and mark.line:
            return f"line {mark.line + scanning}: "
    return ""


def _check_depth(text: str) -> None:
    """Refuse what is nested too deeply, by its events where brackets or indents leave a doubt."""
    if text.count("[") + text.count("{") <= DEPTH_MAX // 2 and not _DEEP_PREFIX.search(text):
        return
    depth = 0
    for event in yaml.parse(text, Loader=_SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEPTH_MAX:
                mark = event.start_mark
                where = f"line {mark.line + 1}: " if mark else ""
                raise YamlError(f"yaml: {where}exceeded max depth of {DEPTH_MAX}")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


class _Builder:
    """Builds JSON from nodes."""

    def __init__(self) -> None:
        self.repeated: list[str] = []
        self._count = 0
        self._open: set[int] = set()

    def value(self, node: yaml.Node) -> objects.Json:
        self._count += 1
        if self._count > NODES_MAX:
            raise YamlError("yaml: document contains excessive aliasing")
        if isinstance(node, yaml.ScalarNode):
            return scalar(node.value, node.tag)
        if id(node) in self._open:
            raise YamlError(f"yaml: anchor contains itself (line {node.start_mark.line + 1})")
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.value(item) for item in node.value]
            return self._mapping(node)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: yaml.Node) -> objects.Object:
        out: objects.Object = {}
        merged: list[objects.Object] = []
        for key_node, value_node in node.value:
            if key_node.tag == _PLAIN and key_node.value == "<<":
                merged.extend(self._merged(value_node))
                continue
            key = self._key(key_node)
            if key in out:
                line = key_node.start_mark.line + 1
                self.repeated.append(f'  line {line}: key "{key}" already set in map')
            out[key] = self.value(value_node)
        for more in merged:
            for key, value in more.items():
                out.setdefault(key, value)
        return out

    def _merged(self, node: yaml.Node) -> list[objects.Object]:
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        found = [self.value(item) for item in nodes]
        if not all(isinstance(item, dict) for item in found):
            raise YamlError("yaml: map merge requires map or sequence of maps as the value")
        return found

    def _key(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise YamlError(f"yaml: invalid map key: line {node.start_mark.line + 1}")
        found = scalar(node.value, node.tag)
        if isinstance(found, bool):
            return "true" if found else "false"
        if found is None:
            return "null"
        return format(found, "g") if isinstance(found, float) else str(found)


def scalar(text: str, tag: str = _PLAIN) -> objects.Json:
    """Resolve one scalar: `0x1F` -> 31, `on` -> True, `1.50` -> 1.5, `2020-01-01` stays text."""
    if tag in {_PLAIN, _TAG + "bool", _TAG + "null", _TAG + "int", _TAG + "float"}:
        if text in _WORDS:
            return _WORDS[text]
        plain = text.replace("_", "")
        if _INTEGER.fullmatch(plain):
            return _integer(plain)
        if _FLOAT.fullmatch(plain):
            return _number(float(plain))
    return text


def _number(value: float) -> int | float:
    """Return a float as Go's JSON shows it: a whole one has no decimal point."""
    return int(value) if value.is_integer() and abs(value) < 1e21 else value


def _integer(text: str) -> int | float:
    sign = -1 if text[0] == "-" else 1
    digits = text.lstrip("+-").lower()
    if digits[:2] == "0x":
        value = int(digits, 16)
    elif digits[:2] == "0b":
        value = int(digits, 2)
    elif len(digits) > 1 and digits[0] == "0":
        value = int(digits.removeprefix("0o") or "0", 8)
    else:
        value = int(digits)
    value *= sign
    return value if -(1 << 63) <= value < 1 << 64 else _number(float(value))
