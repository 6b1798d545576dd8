"""Derive the catalogue of built-in kinds, facts only, from two pinned packages.

    .venv/bin/python tools/gen_schema.py --version 1.36

reads `kubernetes-validate` (the OpenAPI definitions, Apache-2.0) and `lightkube-models` (the table
of resources, MIT) as installed in the running environment, checks that they are the pinned files,
and writes `src/understudy/kapi/resources/data/schemas-<version>.json.gz`:

    {"version": "1.36",
     "sources": {"kubernetes-validate": "1.36.0", "lightkube-models": "1.36.3.8"},
     "definitions": {"io.k8s.api.core.v1.PodSpec": {"type": "object", "properties": {...}}, ...},
     "resources": [{"group": "apps", "version": "v1", "kind": "Deployment", "plural": "deployments",
                    "namespaced": true, "verbs": ["create", ...],
                    "subresources": {"scale": {"kind": ["autoscaling", "v1", "Scale"],
                                               "verbs": ["get", "patch", "update"]}}}, ...]}

The definitions are those of Kubernetes' OpenAPI v2 document without their descriptions: what
kubernetes-validate changed for JSON Schema (nullable types, `$defs`, enums of kind and apiVersion,
the two union types) is undone. The same inputs always give the same bytes.
"""

from __future__ import annotations

import argparse
import ast
import gzip
import hashlib
import importlib.metadata
import importlib.util
import json
import pathlib
import sys
from typing import Any

OUTPUT = pathlib.Path(__file__).parent.parent / "src/understudy/kapi/resources/data"

PINNED: dict[str, dict[str, str]] = {
    "1.36": {
        "kubernetes-validate": "1.36.0",
        "definitions": "66985dae845df855eb351ea1516d67bb364258f4380e1e1f695c94912a0d9368",
        "lightkube-models": "1.36.3.8",
        "resources": "a1242b4754019aa4d242faed6e2e75ed0c3407c6adb4ef60f315b3b2baf8258b",
    },
}
"""For each Kubernetes version the packages' versions and the SHA-256 of what is read of them."""

VERBS = {"post": "create", "put": "update", "global_list": "list", "global_watch": "watch"}

SPECIAL: dict[str, dict[str, str]] = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"type": "string"},
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {
        "type": "string",
        "format": "int-or-string",
    },
}
"""What Kubernetes publishes for the two types that kubernetes-validate replaces by unions."""


def main() -> int:
    """Write the artefact, or say in one sentence which input is not the pinned one."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--version", default="1.36", choices=sorted(PINNED))
    parser.add_argument("--output", type=pathlib.Path, default=OUTPUT)
    parser.add_argument("--print-hashes", action="store_true", help="print, for pinning")
    options = parser.parse_args()
    pinned = PINNED[options.version]
    definitions_file = _package("kubernetes_validate") / (
        f"kubernetes-json-schema/v{pinned['kubernetes-validate']}-local/_definitions.json"
    )
    resource_files = sorted((_package("lightkube") / "resources").glob("*_v*.py"))
    hashes = {
        "definitions": _sha256([definitions_file]),
        "resources": _sha256(resource_files),
    }
    if options.print_hashes:
        print(json.dumps(hashes, indent=1))
        return 0
    if complaint := _mismatch(pinned, hashes):
        print(complaint, file=sys.stderr)
        return 1
    definitions = json.loads(definitions_file.read_text())["$defs"]
    document = {
        "version": options.version,
        "sources": {name: pinned[name] for name in ("kubernetes-validate", "lightkube-models")},
        "definitions": {name: _definition(name, definitions[name]) for name in sorted(definitions)},
        "resources": _resources(resource_files),
    }
    target = options.output / f"schemas-{options.version}.json.gz"
    write(target, document)
    print(f"{target}: {target.stat().st_size} bytes")
    return 0


def write(target: pathlib.Path, document: object) -> None:
    """Write compact, sorted JSON, compressed, without a time stamp: same content, same bytes."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    with target.open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as out:
        out.write(text)


def _package(name: str) -> pathlib.Path:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"{name} is not installed here: install the pinned package first")
    return pathlib.Path(next(iter(spec.submodule_search_locations)))


def _sha256(files: list[pathlib.Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + b"\0" if len(files) > 1 else b"")
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _mismatch(pinned: dict[str, str], hashes: dict[str, str]) -> str:
    for name in ("kubernetes-validate", "lightkube-models"):
        if (found := importlib.metadata.version(name)) != pinned[name]:
            return f"{name} is {found}, pinned is {pinned[name]}: install that version"
    for name, found in hashes.items():
        if found != pinned[name]:
            return f"the {name} read here have SHA-256 {found}, pinned is {pinned[name]}"
    return ""


def _definition(name: str, raw: dict[str, Any]) -> dict[str, Any]:
    if name in SPECIAL:
        return dict(SPECIAL[name])
    kinds = "x-kubernetes-group-version-kind" in raw
    out = _schema(raw)
    if kinds:
        for field in ("kind", "apiVersion"):
            out.get("properties", {}).get(field, {}).pop("enum", None)
    return out


def _schema(raw: dict[str, Any]) -> dict[str, Any]:
    """Undo what was done for JSON Schema and drop the descriptions, all the way down."""
    out: dict[str, Any] = {}
    for key, value in raw.items():
        if key == "description":
            continue
        if key == "$ref":
            out[key] = value.replace("#/$defs/", "#/definitions/")
        elif key == "type" and isinstance(value, list):
            out[key] = next(item for item in value if item != "null")
        elif key == "properties":
            out[key] = {name: _schema(item) for name, item in value.items()}
        elif key in {"items", "additionalProperties"} and isinstance(value, dict):
            out[key] = _schema(value)
        else:
            out[key] = value
    return out


def _resources(files: list[pathlib.Path]) -> list[dict[str, Any]]:
    """Read the ApiInfo rows of lightkube's modules without importing them."""
    rows = [row for file in files for row in _rows(ast.parse(file.read_text()))]
    resources: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in rows:
        if "action" not in row:
            group, version, kind = row["resource"]
            resources[group, version, row["plural"]] = {
                "group": group, "version": version, "kind": kind, "plural": row["plural"],
                "namespaced": row["namespaced"], "verbs": row["verbs"], "subresources": {},
            }  # fmt: skip
    for row in rows:
        if "action" in row:
            group, version, _ = row["parent"]
            parent = resources[group, version, row["plural"]]
            parent["subresources"][row["action"]] = {"kind": row["resource"], "verbs": row["verbs"]}
    return [resources[key] for key in sorted(resources)]


def _rows(module: ast.Module) -> list[dict[str, Any]]:
    return [
        _row(node, statement.value)
        for node in module.body
        if isinstance(node, ast.ClassDef)
        for statement in node.body
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Call)
    ]


def _row(cls: ast.ClassDef, call: ast.Call) -> dict[str, Any]:
    bases = [base.attr for base in cls.bases if isinstance(base, ast.Attribute)]
    row: dict[str, Any] = {"namespaced": any("Namespaced" in base for base in bases)}
    for keyword in call.keywords:
        value = keyword.value
        if isinstance(value, ast.Call):
            row[str(keyword.arg)] = [ast.literal_eval(argument) for argument in value.args]
        else:
            row[str(keyword.arg)] = ast.literal_eval(value)
    row["verbs"] = sorted({VERBS.get(verb, verb) for verb in row["verbs"]})
    return row


if __name__ == "__main__":
    sys.exit(main())
