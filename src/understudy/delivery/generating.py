"""Manifests made by other tools: kustomizations and Helm charts, by what is installed.

A folder with a `kustomization.yaml` is built by `kustomize build`, or `kubectl kustomize` where
that is not installed; a folder with a `Chart.yaml`, or a packed chart (`*.tgz`), is rendered by
`helm template`, with its definitions, under the application's name and namespace. Neither tool
gets to talk to a cluster.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from understudy.delivery import errors

KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")
CHART = "Chart.yaml"
TIMEOUT_S = 120.0
"""A kustomization may fetch bases from afar; a tool that takes longer hangs."""
_LINES_MAX = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What a chart is rendered for."""

    name: str
    namespace: str


def is_generated(path: Path) -> bool:
    """Whether a path is a kustomization or a chart, rather than manifests."""
    return _kustomization(path) is not None or _is_chart(path)


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


def _is_chart(path: Path) -> bool:
    return (path / CHART).is_file() or path.name == CHART or path.suffix == ".tgz"


def _helm(path: Path, release: Release) -> bytes:
    if not shutil.which("helm"):
        raise errors.ManifestError(
            [f"{path}: is a Helm chart, and helm is not installed to render it; install it, or "
             f"render it elsewhere: helm template {release.name} ... | understudy ... -f -"]
        )  # fmt: skip
    chart = path.parent if path.name == CHART else path
    words = ["helm", "template", release.name, str(chart)]
    return _run([*words, "--namespace", release.namespace, "--include-crds", "--skip-tests"], path)


def _run(words: list[str], path: Path) -> bytes:
    command = " ".join(words[:2])
    try:
        done = subprocess.run(  # noqa: S603 (no shell; a tool's name and a path)
            words, capture_output=True, timeout=TIMEOUT_S, check=False, stdin=subprocess.DEVNULL
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
