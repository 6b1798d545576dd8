"""Manifests from files, directories and standard input; every mistake in one go.

A source is a YAML file (any number of documents), a JSON file, a directory (all `*.yaml`, `*.yml`
and `*.json` below it, in the order of their paths), a kustomization or a Helm chart (see
`generating`), an address (`https://...`, as published manifests have), or `-` for standard input.
Lists (`kind: List`) are opened. What comes out is read, not yet resolved against a cluster: see
`targets`.
"""

from __future__ import annotations

import hashlib
import http.client
import itertools
import re
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from understudy.delivery import errors, generating, hooks
from understudy.kube import objects, yamltext

SUFFIXES = (".yaml", ".yml", ".json")
FILE_BYTES_MAX = 64 << 20
"""A larger file is not a manifest; the largest CRD bundles are near 10 MB."""

FETCH_TIMEOUT_S = 30.0
"""For an address to answer, and for each part of what it sends."""

_SEPARATOR = re.compile(r"^---(?=\s|$)", re.MULTILINE)
_LINE = re.compile(r"line (\d+)")
_TEMPLATE = re.compile(r"\s*# Source: (\S+)$", re.MULTILINE)
"""How `helm template` says which template a document is from."""
UNNAMED = generating.Release(name="release", namespace="default")
_NAME_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Source:
    """Where a manifest stands: file, number of the document in it (from 1), its first line.

    Of a rendered chart the file is the chart with the template, and no line is known.
    """

    file: str
    document: int = 1
    line: int = 1
    item: int | None = None

    def __str__(self) -> str:
        """`shop.yaml, document 2 (line 14)`."""
        place = f"{self.file}, document {self.document}"
        if self.item is not None:
            place += f", items[{self.item}]"
        return f"{place} (line {self.line})" if self.line > 1 else place


@dataclass(frozen=True, slots=True)
class Manifest:
    """One object as somebody wrote it. Not to be changed."""

    obj: objects.Object
    source: Source


def load(
    paths: Sequence[str],
    *,
    read_stdin: Callable[[], bytes],
    release: generating.Release = UNNAMED,
) -> list[Manifest]:
    """Read manifests from files, directories, generators and (`-`) standard input.

    `release` is what charts are rendered for.

    Raises:
        ManifestError: With every mistake found: no such file, no manifest in a directory, text
            that is not YAML, a document without apiVersion, kind or name, a tool that failed.
    """
    found: list[Manifest] = []
    complaints: list[str] = []
    for path in paths:
        try:
            texts = (
                [("standard input", read_stdin())] if path == "-" else list(_files(path, release))
            )
        except errors.ManifestError as error:
            complaints += error.complaints
            continue
        for name, content in texts:
            read, wrong = parse(content, name)
            found += read
            complaints += wrong
            if not read and not wrong and len(texts) == 1:
                complaints.append(f"{name}: holds no object")
    if complaints:
        raise errors.ManifestError(complaints)
    return found


def _files(path: str, release: generating.Release) -> Iterator[tuple[str, bytes]]:
    if path.startswith(("https://", "http://")):
        yield path, _fetched(path)
        return
    root = Path(path)
    if root.exists() and generating.is_generated(root):
        yield path, generating.generate(root, release)
        return
    if root.is_dir():
        paths = sorted(
            file
            for file in root.rglob("*")
            if file.suffix in SUFFIXES and file.is_file() and not _hidden(file, root)
        )
        if not paths:
            raise errors.ManifestError([f"{path}: no manifest (*.yaml, *.yml, *.json) in it"])
        for file in paths:
            if file.name in (*generating.KUSTOMIZATIONS, generating.CHART):
                raise errors.ManifestError(
                    [f"{file}: stands within a folder of manifests; give its own folder: -f "
                     f"{file.parent}"]
                )  # fmt: skip
    elif root.exists():
        paths = [root]
    else:
        raise errors.ManifestError([f"{path}: no such file or directory"])
    for file in paths:
        yield str(file), _content(file)


def _fetched(address: str) -> bytes:
    try:
        with urllib.request.urlopen(address, timeout=FETCH_TIMEOUT_S) as answer:  # noqa: S310
            content: bytes = answer.read(FILE_BYTES_MAX + 1)
    except (OSError, ValueError, http.client.HTTPException) as error:
        why = getattr(error, "reason", None) or error
        raise errors.ManifestError([f"{address}: cannot be fetched: {why}"]) from error
    if len(content) > FILE_BYTES_MAX:
        raise errors.ManifestError([f"{address}: larger than {FILE_BYTES_MAX >> 20} MiB"])
    return content


def _hidden(file: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(root).parts)


def _content(file: Path) -> bytes:
    try:
        if file.stat().st_size > FILE_BYTES_MAX:
            raise errors.ManifestError([f"{file}: larger than {FILE_BYTES_MAX >> 20} MiB"])
        return file.read_bytes()
    except OSError as error:
        raise errors.ManifestError([f"{file}: cannot be read: {error.strerror}"]) from error


def parse(content: bytes, name: str) -> tuple[list[Manifest], list[str]]:
    """Read every document of a text; returns manifests and what is wrong with the rest."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return [], [f"{name}: is not UTF-8 text (byte {error.start})"]
    found: list[Manifest] = []
    complaints: list[str] = []
    for source, value in _documents(text, name, complaints):
        if value is not None:
            for manifest in _open(value, source, complaints):
                wrong = complaints_about(manifest)
                complaints += wrong
                if not wrong:
                    found.append(manifest)
    return found, complaints


def _documents(
    text: str, name: str, complaints: list[str]
) -> Iterator[tuple[Source, objects.Json]]:
    if name.endswith(".json") or text.lstrip()[:1] in ("{", "["):
        try:
            yield Source(name), orjson.loads(text)
        except orjson.JSONDecodeError as error:
            if name.endswith(".json"):
                complaints.append(f"{name}: is not JSON: line {error.lineno}: {error.msg}")
                return
        else:
            return
    starts = [0, *(match.end() for match in _SEPARATOR.finditer(text)), len(text) + 3]
    number = 0
    rendered: dict[str, int] = {}
    for begin, end in itertools.pairwise(starts):
        part = text[begin : end - 3]
        skipped = len(part) - len(part.lstrip())
        line = text.count("\n", 0, begin + skipped) + 1
        if not _says_something(part):
            continue
        number += 1
        source = Source(name, number, line)
        if template := _TEMPLATE.match(part):
            rendered[template[1]] = rendered.get(template[1], 0) + 1
            source = Source(f"{name}: {template[1]}", rendered[template[1]])
        try:
            value, repeated = yamltext.load(part)
        except yamltext.YamlError as error:
            offset = text.count("\n", 0, begin)
            complaints.append(
                f"{source.file}, document {source.document}: {_shifted(str(error), offset)}"
            )
            continue
        if repeated:
            offset = text.count("\n", 0, begin)
            lines = "; ".join(line.strip() for line in repeated[0].splitlines()[1:])
            complaints.append(
                f"{source.file}, document {source.document}: {_shifted(lines, offset)}"
            )
            continue
        yield source, value


def _says_something(part: str) -> bool:
    return any(
        line.strip() and not line.lstrip().startswith("#") and line.strip() != "..."
        for line in part.splitlines()
    )


def _shifted(message: str, offset: int) -> str:
    """Turn the line within a document into the line within its file."""
    text = message.removeprefix("yaml: ")
    shifted = _LINE.sub(lambda match: f"line {int(match[1]) + offset}", text)
    return shifted if message == text else f"is not YAML: {shifted}"


def _open(value: objects.Json, source: Source, complaints: list[str]) -> Iterator[Manifest]:
    """Yield a document's object, or the items of a List."""
    if not isinstance(value, dict):
        complaints.append(f"{source}: is no object but {_type(value)}")
        return
    items = value.get("items")
    if isinstance(value.get("kind"), str) and value["kind"].endswith("List") and items is not None:
        if not isinstance(items, list):
            complaints.append(f"{source}: items must be a list, not {_type(items)}")
            return
        kind = value["kind"].removesuffix("List")
        for position, item in enumerate(items):
            place = Source(source.file, source.document, source.line, position)
            if not isinstance(item, dict):
                complaints.append(f"{place}: is no object but {_type(item)}")
                continue
            untold = {"apiVersion": value.get("apiVersion"), "kind": kind} if kind else {}
            yield Manifest({**untold, **item}, place)
        return
    yield Manifest(_named(value), source)


def _named(obj: objects.Object) -> objects.Object:
    """Name a hook that has only the beginning of a name, as Argo CD's often have: by its content.

    A hook runs once for each revision; another one of the same content replaces it.
    """
    meta = obj.get("metadata")
    if not isinstance(meta, dict) or meta.get("name"):
        return obj
    begins, said = meta.get("generateName"), meta.get("annotations")
    if not isinstance(begins, str) or not isinstance(said, dict):
        return obj
    if not all(isinstance(value, str) for value in said.values()) or hooks.of(obj) is None:
        return obj
    digest = hashlib.sha256(orjson.dumps(obj, option=orjson.OPT_SORT_KEYS)).hexdigest()
    rest = {key: value for key, value in meta.items() if key != "generateName"}
    return {**obj, "metadata": {**rest, "name": f"{begins}{digest[:_NAME_DIGITS]}"}}


def complaints_about(manifest: Manifest) -> list[str]:
    """Say what keeps a document from being an object that can be delivered; nothing is best."""
    obj, source = manifest.obj, manifest.source
    complaints: list[str] = []
    for field in ("apiVersion", "kind"):
        value = obj.get(field)
        if value is None or value == "":
            complaints.append(f"{source}: {field} is missing")
        elif not isinstance(value, str):
            complaints.append(f"{source}: {field} must be a string, not {_type(value)}")
    meta = obj.get("metadata")
    if meta is None:
        return [*complaints, f"{source}: metadata.name is missing"]
    if not isinstance(meta, dict):
        return [*complaints, f"{source}: metadata must be a mapping, not {_type(meta)}"]
    if meta.get("generateName") and not meta.get("name"):
        complaints.append(
            f"{source}: metadata.generateName cannot be delivered: every delivery would make one "
            "more object; give metadata.name"
        )
    elif meta.get("name") in (None, ""):
        complaints.append(f"{source}: metadata.name is missing")
    complaints += (
        f"{source}: metadata.{field} must be a string, not {_type(meta[field])}"
        for field in ("name", "namespace")
        if meta.get(field) is not None and not isinstance(meta[field], str)
    )
    for field in ("labels", "annotations"):
        values = meta.get(field)
        if values is None:
            continue
        if not isinstance(values, dict):
            complaints.append(f"{source}: metadata.{field} must be a mapping, not {_type(values)}")
            continue
        complaints += (
            f"{source}: metadata.{field}[{key!r}] must be a string, not {_type(value)}: quote it"
            for key, value in values.items()
            if not isinstance(value, str)
        )
    return complaints


def _type(value: objects.Json) -> str:
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string"}
    return names.get(type(value), "a list" if isinstance(value, list) else "a mapping")
