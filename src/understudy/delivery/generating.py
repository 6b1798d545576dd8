"""Manifests made by other tools: kustomizations and Helm charts, by what is installed.

A folder with a `kustomization.yaml` is built by `kustomize build`, or `kubectl kustomize` where
that is not installed; a folder with a `Chart.yaml`, or a packed chart (`*.tgz`), is rendered by
`helm template`, with its definitions, under the application's name and namespace, for the version
and the kinds of the cluster. Neither tool gets to talk to a cluster: a chart's `lookup` finds
nothing.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from understudy.client import protocol
from understudy.delivery import errors
from understudy.kube import objects, yamltext

KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")
CHART = "Chart.yaml"
TIMEOUT_S = 120.0
"""A kustomization may fetch bases from afar; a tool that takes longer hangs."""
_LINES_MAX = 5
_SEPARATOR = re.compile(r"^---$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What a chart is rendered for, and with.

    Attributes:
        kube_version: The cluster's, `v1.36.0`; empty for the one that helm assumes.
        api_versions: What the cluster serves, `apps/v1` and `apps/v1/Deployment`.
        files: Files of values, the later win.
        settings: Single values as helm's `--set` has them, `image.tag=1.2`; they win over files.
        values: Values that are not in a file; they win over files.
    """

    name: str
    namespace: str
    kube_version: str = ""
    api_versions: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    values: objects.Object = field(default_factory=dict, hash=False)


async def release_on(client: protocol.Client, name: str, namespace: str) -> Release:
    """Return what charts of an application are rendered for on a cluster."""
    served, version = await client.discover(), await client.version()
    versions = {resource.api_version for resource in served.resources}
    kinds = {f"{resource.api_version}/{resource.kind}" for resource in served.resources}
    return Release(
        name=name,
        namespace=namespace,
        kube_version=str(version.get("gitVersion") or ""),
        api_versions=tuple(sorted(versions | kinds)),
    )


def is_generated(path: Path) -> bool:
    """Whether a path is a kustomization or a chart, rather than manifests."""
    return is_kustomization(path) or is_chart(path)


def is_kustomization(path: Path) -> bool:
    """Whether a path is a kustomization: its folder, or its file."""
    return _kustomization(path) is not None


def generate(path: Path, release: Release) -> bytes:
    """Return the manifests that a kustomization or a chart stands for, as YAML.

    Raises:
        ManifestError: The tool is not installed, failed (with its own words), or hangs.
    """
    folder = _kustomization(path)
    if folder is None:
        return _helm(path, release)
    if shutil.which("kustomize"):
        return _run(["kustomize", "build", str(folder)], path)
    if shutil.which("kubectl"):
        return _run(["kubectl", "kustomize", str(folder)], path)
    raise errors.ManifestError(
        [f"{path}: is a kustomization, and neither kustomize nor kubectl is installed to build it"]
    )


def _kustomization(path: Path) -> Path | None:
    """Return the folder of a kustomization, or None."""
    if path.is_dir():
        return path if any((path / name).is_file() for name in KUSTOMIZATIONS) else None
    return path.parent if path.name in KUSTOMIZATIONS else None


def is_chart(path: Path) -> bool:
    """Whether a path is a Helm chart, packed or not."""
    return (path / CHART).is_file() or path.name == CHART or path.suffix == ".tgz"


def _helm(path: Path, release: Release) -> bytes:
    if not shutil.which("helm"):
        raise errors.ManifestError(
            [f"{path}: is a Helm chart, and helm is not installed to render it; install it, or "
             f"render it elsewhere: helm template {release.name} ... | understudy ... -f -"]
        )  # fmt: skip
    chart = str(path.parent if path.name == CHART else path)
    served = (*release.api_versions, *_defined(_run(["helm", "show", "crds", chart], path)))
    words = ["helm", "template", release.name, chart, "--namespace", release.namespace]
    words += ["--include-crds", "--skip-tests"]
    words += ["--kube-version", release.kube_version] if release.kube_version else []
    for option, given in (("--api-versions", served), ("--values", release.files)):
        words += (word for value in given for word in (option, value))
    words += ["--values", "-"] if release.values else []
    words += (word for value in release.settings for word in ("--set", value))
    return _run(words, path, orjson.dumps(release.values))


def _defined(text: bytes) -> list[str]:
    """Return what a chart's own definitions will serve: helm installs them before it renders."""
    found = []
    for part in _SEPARATOR.split(text.decode(errors="replace")):
        definition, _ = yamltext.load(part)
        group = objects.lookup(definition, ("spec", "group"), "")
        kind = objects.lookup(definition, ("spec", "names", "kind"), "")
        for version in objects.lookup(definition, ("spec", "versions"), ()):
            if version.get("served"):
                found += [f"{group}/{version['name']}", f"{group}/{version['name']}/{kind}"]
    return list(dict.fromkeys(found))


def _run(words: list[str], path: Path, given: bytes = b"") -> bytes:
    command = " ".join(words[:2])
    try:
        done = subprocess.run(  # noqa: S603 (no shell; a tool's name and a path)
            words, capture_output=True, timeout=TIMEOUT_S, check=False, input=given
        )
    except subprocess.TimeoutExpired as error:
        raise errors.ManifestError(
            [f"{path}: {command} took longer than {TIMEOUT_S:.0f} s"]
        ) from error
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()[-_LINES_MAX:]
        why = " ".join(line.strip() for line in said) or f"exit code {done.returncode}"
        raise errors.ManifestError([f"{path}: {command} failed: {why}"])
    return done.stdout
