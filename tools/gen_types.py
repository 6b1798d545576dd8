"""Derive, as facts, what OpenAPI does not say of Kubernetes' types: Go types and field numbers.

    .venv/bin/python tools/gen_types.py --modules DIR [--version 1.36]

DIR holds the sources of k8s.io/api, apimachinery, apiextensions-apiserver and kube-aggregator as
in Go's module cache (`DIR/k8s.io/api@v0.36.0/...`; Debian's golang-k8s-api has the same files).
They are read, never copied: of every struct only the JSON names, the types, the protobuf field
numbers and whether an empty value is left out are written to
`src/understudy/kapi/resources/data/types-<version>.json.gz`:

    {"version": "1.36",
     "structs": {"io.k8s.api.core.v1.ContainerPort": [
         ["name", "string", 1, "o"], ...,
         ["protocol", "io.k8s.api.core.v1.Protocol", 4, "o"], ...], ...},
     "named": {"io.k8s.api.core.v1.Protocol": "string", ...},
     "wrappers": ["io.k8s.api.authentication.v1.ExtraValue", ...],
     "registered": {"extensions/v1beta1": ["Deployment", ...], ...}}

A row is [JSON name, empty where inlined; Go type, packages spelled as in OpenAPI definitions;
protobuf number, 0 where the field is not in the message; flags: o omitempty, z omitzero, i inline].
`wrappers` are named lists that are messages of their own on the wire. `registered` names the kinds
that a server can tell apart in a body, served or not. Numbers are read twice, from the struct tags
and from generated.proto, and must agree.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import pathlib
import re
import sys
from dataclasses import dataclass, field
from typing import Any

import gen_schema

PINNED: dict[str, dict[str, str]] = {
    "1.36": {
        "modules": "v0.36.0",
        "sources": "6e0c23de0c453c358f20b7aeba89aabe13d4e91a60a11ca4cd17fcc023172c7c",
    },
}
"""For each Kubernetes version the modules' version and the SHA-256 of all files read of them."""

MODULES = {
    "k8s.io/api": "io.k8s.api",
    "k8s.io/apimachinery": "io.k8s.apimachinery",
    "k8s.io/apiextensions-apiserver": "io.k8s.apiextensions-apiserver",
    "k8s.io/kube-aggregator": "io.k8s.kube-aggregator",
}
"""Go modules, and how OpenAPI definition names begin for their packages."""

_STRUCT = re.compile(r"^type (\w+) struct\s*\{(\})?$")
_NAMED = re.compile(r"^type (\w+) (=\s*)?([\w.\[\]*]+)$")
_FIELD = re.compile(r"^\s+(?:(\w+)\s+)?([\w.\[\]*]+)\s+`(.*)`")
_IMPORT = re.compile(r'^\s*(?:import\s+)?(?:(\w+)\s+)?"([\w./-]+)"$')
_MESSAGE = re.compile(r"^message (\w+) \{$")
_PROTO_FIELD = re.compile(r"^\s+(?:optional|repeated|map<[^>]*>)\s+(?:[\w.]+\s+)?(\w+) = (\d+)")
ENVELOPE = {"Unknown"}
"""Messages that no JSON object corresponds to."""

BASIC = {
    "string", "bool", "int", "int8", "int32", "int64", "uint8", "uint32", "uint64", "float32",
    "float64", "byte", "interface{}",
}  # fmt: skip


@dataclass
class Package:
    """One Go package: where it is and what OpenAPI calls it."""

    path: pathlib.Path
    name: str
    structs: dict[str, list[list[Any]]] = field(default_factory=dict)
    named: dict[str, str] = field(default_factory=dict)


def main() -> int:
    """Write the artefact, or say in one sentence what does not agree."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--version", default="1.36", choices=sorted(PINNED))
    parser.add_argument("--modules", type=pathlib.Path, required=True)
    parser.add_argument("--output", type=pathlib.Path, default=gen_schema.OUTPUT)
    parser.add_argument("--print-hashes", action="store_true", help="print, for pinning")
    options = parser.parse_args()
    pinned = PINNED[options.version]
    with gzip.open(options.output / f"schemas-{options.version}.json.gz") as file:
        names = {definition.rpartition(".")[0] for definition in json.load(file)["definitions"]}
    packages = _packages(options.modules, pinned["modules"], names)
    registers = sorted(
        (options.modules / f"k8s.io/api@{pinned['modules']}").glob("*/*/register.go")
    )
    digest = _digest(packages, registers, options.modules)
    if options.print_hashes:
        print(digest)
        return 0
    if digest != pinned["sources"]:
        print(f"the sources read here have SHA-256 {digest}, pinned is {pinned['sources']}")
        return 1
    structs: dict[str, list[list[Any]]] = {}
    named: dict[str, str] = {}
    wrappers: list[str] = []
    for package in packages:
        for file in _go_files(package.path):
            _read_go(package, file)
        for complaint in _compare_with_proto(package, wrappers):
            print(complaint, file=sys.stderr)
            return 1
        structs |= {f"{package.name}.{name}": rows for name, rows in package.structs.items()}
        named |= {f"{package.name}.{name}": what for name, what in package.named.items()}
    document = {
        "version": options.version,
        "modules": pinned["modules"],
        "structs": structs,
        "named": _used(structs, named),
        "wrappers": sorted(wrappers),
        "registered": dict(_registered(file.read_text()) for file in registers),
    }
    target = options.output / f"types-{options.version}.json.gz"
    gen_schema.write(target, document)
    print(f"{target}: {len(structs)} structs, {target.stat().st_size} bytes")
    return 0


def _packages(root: pathlib.Path, version: str, names: set[str]) -> list[Package]:
    """Find the packages that the definitions come from, and `types`, which only names strings."""
    found = []
    for module, prefix in MODULES.items():
        top = root / f"{module}@{version}"
        if not top.is_dir():
            raise SystemExit(f"{top} does not exist: give the directory of the modules' sources")
        directories = {file.parent for file in top.glob("**/generated.proto")}
        if module == "k8s.io/apimachinery":
            directories.add(top / "pkg/types")
        for directory in sorted(directories):
            name = f"{prefix}.{directory.relative_to(top)}".replace("/", ".")
            if name in names or directory.name == "types":
                found.append(Package(directory, name))
    return found


def _go_files(directory: pathlib.Path) -> list[pathlib.Path]:
    return [
        file
        for file in sorted(directory.glob("*.go"))
        if not file.name.endswith("_test.go")
        and not file.name.startswith("zz_")
        and "generated" not in file.name
        and file.name != "fieldsv1_string.go"
    ]


def _digest(packages: list[Package], registers: list[pathlib.Path], root: pathlib.Path) -> str:
    digest = hashlib.sha256()
    files = [
        file
        for package in packages
        for file in [*_go_files(package.path), *package.path.glob("generated.proto")]
    ]
    for file in [*files, *registers]:
        digest.update(str(file.relative_to(root)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def _registered(text: str) -> tuple[str, list[str]]:
    """Read one register.go: the apiVersion, and the kinds added to its scheme."""
    group = re.search(r'GroupName\s*=\s*"([^"]*)"', text)
    version = re.search(r'SchemeGroupVersion\s*=.*Version:\s*"([^"]*)"', text)
    assert group, text
    assert version, text
    kinds = sorted(set(re.findall(r"&(?:\w+\.)?([A-Z]\w+)\{\}", text)))
    return f"{group[1]}/{version[1]}" if group[1] else version[1], kinds


def _read_go(package: Package, file: pathlib.Path) -> None:
    """Collect the package's structs with JSON tags and its named types, line by line."""
    imports: dict[str, str] = {}
    rows: list[list[Any]] | None = None
    for raw in file.read_text().splitlines():
        line = raw.split("//", 1)[0].rstrip() if "`" not in raw else raw
        if rows is not None:
            if line == "}":
                rows = None
            elif (match := _FIELD.match(line)) and (row := _row(package, imports, *match.groups())):
                rows.append(row)
        elif match := _STRUCT.match(line):
            found = package.structs.setdefault(match[1], [])
            rows = None if match[2] else found
        elif match := _NAMED.match(line):
            package.named[match[1]] = _qualified(match[3], package, imports)
        elif (match := _IMPORT.match(line)) and (name := _openapi_name(match[2])):
            imports[match[1] or match[2].rsplit("/", 1)[-1]] = name


def _openapi_name(path: str) -> str:
    for module, prefix in MODULES.items():
        if path.startswith(module + "/"):
            return prefix + path[len(module) :].replace("/", ".")
    return ""


def _row(
    package: Package, imports: dict[str, str], name: str | None, go_type: str, tags: str
) -> list[Any] | None:
    json_tag = re.search(r'json:"([^"]*)"', tags)
    if json_tag is None:
        return None
    json_name, *options = json_tag[1].split(",")
    if json_name == "-":
        return None
    number = re.search(r'protobuf:"\w+,(\d+)', tags)
    inline = "inline" in options or (name is None and not json_name)
    flags = ("o" if "omitempty" in options else "") + ("z" if "omitzero" in options else "")
    return [
        "" if inline else json_name or name,
        _qualified(go_type, package, imports),
        int(number[1]) if number else 0,
        flags + ("i" if inline else ""),
    ]


def _qualified(go_type: str, package: Package, imports: dict[str, str]) -> str:
    """Spell every named type of an expression with its package: `[]Pod` -> `[]io.k8s...Pod`."""

    def spell(match: re.Match[str]) -> str:
        word = match[0]
        if word in BASIC or word == "map":
            return word
        head, dot, tail = word.partition(".")
        if not dot:
            return f"{package.name}.{word}"
        return f"{imports.get(head, head)}.{tail}"

    return re.sub(r"[A-Za-z_][\w.]*", spell, go_type)


def _used(structs: dict[str, list[list[Any]]], named: dict[str, str]) -> dict[str, str]:
    """Keep the named types that some field has, directly or through another name."""
    wanted = [row[1] for rows in structs.values() for row in rows]
    used: dict[str, str] = {}
    while wanted:
        for name in re.findall(r"[A-Za-z_][\w.-]*", wanted.pop()):
            if name in named and name not in used:
                used[name] = named[name]
                wanted.append(named[name])
    return used


def _compare_with_proto(package: Package, wrappers: list[str]) -> list[str]:
    """Check the tags' numbers against generated.proto; collect the named lists among messages."""
    complaints: list[str] = []
    for file in package.path.glob("generated.proto"):
        messages: dict[str, dict[str, int]] = {}
        fields: dict[str, int] = {}
        for line in file.read_text().splitlines():
            if match := _MESSAGE.match(line):
                fields = messages.setdefault(match[1], {})
            elif match := _PROTO_FIELD.match(line):
                fields[match[1]] = int(match[2])
        for name, numbers in messages.items():
            if name in package.named and package.named[name].startswith("[]"):
                wrappers.append(f"{package.name}.{name}")
            elif name in package.structs:
                tagged = {row[2] for row in package.structs[name] if row[2]}
                if name not in ENVELOPE and tagged and tagged != set(numbers.values()):
                    complaints.append(f"{package.name}.{name}: tags {tagged}, proto {numbers}")
    return complaints


if __name__ == "__main__":
    sys.exit(main())
