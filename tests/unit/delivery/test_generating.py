"""Kustomizations and charts as inputs, built by the tools on the PATH."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from understudy.delivery import errors, generating, manifests
from understudy.kube import objects

RELEASE = generating.Release(name="shop", namespace="team")
CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\ndata: {v: '1'}\n"
HELM = """#!/bin/sh
printf 'apiVersion: v1\\nkind: ConfigMap\\nmetadata: {name: said}\\ndata: {words: "%s"}\\n' "$*"
"""


def load(path: Path) -> list[objects.Object]:
    found = manifests.load([str(path)], read_stdin=lambda: b"", release=RELEASE)
    return [manifest.obj for manifest in found]


@pytest.fixture
def kustomization(tmp_path: Path) -> Path:
    folder = tmp_path / "overlay"
    folder.mkdir()
    (folder / "web.yaml").write_text(CONFIG)
    (folder / "kustomization.yaml").write_text("namePrefix: green-\nresources: [web.yaml]\n")
    return folder


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    folder = tmp_path / "chart"
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text("apiVersion: v2\nname: web\nversion: 1.0.0\n")
    (folder / "templates" / "web.yaml").write_text(CONFIG)
    return folder


def only_path(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    monkeypatch.setenv("PATH", str(folder))


@pytest.mark.skipif(
    not (shutil.which("kubectl") or shutil.which("kustomize")), reason="needs kubectl or kustomize"
)
def test_a_kustomization_is_built(kustomization: Path) -> None:
    (made,) = load(kustomization)
    assert made["metadata"]["name"] == "green-web"
    assert load(kustomization / "kustomization.yaml") == [made]


@pytest.mark.skipif(
    not (shutil.which("kubectl") or shutil.which("kustomize")), reason="needs kubectl or kustomize"
)
def test_what_the_tool_complains_about_is_told(kustomization: Path) -> None:
    (kustomization / "kustomization.yaml").write_text("resources: [absent.yaml]\n")
    with pytest.raises(errors.ManifestError, match=r"overlay: k\w+ \w+ failed: .*absent\.yaml"):
        load(kustomization)


def test_without_a_tool_the_error_names_it(
    kustomization: Path, chart: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_path(monkeypatch, tmp_path / "bin")
    with pytest.raises(errors.ManifestError, match="neither kustomize nor kubectl is installed"):
        load(kustomization)
    with pytest.raises(errors.ManifestError, match=r"Helm chart, and helm is not installed"):
        load(chart)


def test_a_chart_is_rendered_for_the_application(
    chart: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_path(monkeypatch, tmp_path / "bin")
    helm = tmp_path / "bin" / "helm"
    helm.write_text(HELM)
    helm.chmod(0o755)
    (made,) = load(chart)
    words = made["data"]["words"]
    assert words == f"template shop {chart} --namespace team --include-crds --skip-tests"


def test_a_generator_below_a_folder_of_manifests_is_refused(kustomization: Path) -> None:
    (kustomization.parent / "other.yaml").write_text(CONFIG)
    with pytest.raises(errors.ManifestError, match=r"give its own folder: -f .*overlay"):
        load(kustomization.parent)
