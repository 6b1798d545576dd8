"""Kustomizations and charts as inputs, built by the tools on the PATH."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from pathlib import Path

import pytest

from understudy.delivery import errors, generating, manifests
from understudy.kube import objects

RELEASE = generating.Release(name="shop", namespace="team")
CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\ndata: {v: '1'}\n"


def load(path: Path, release: generating.Release = RELEASE) -> list[objects.Object]:
    found = manifests.load([str(path)], read_stdin=lambda: b"", release=release)
    return [manifest.obj for manifest in found]


def rendered(path: Path, **given: objects.Json) -> dict[str, objects.Object]:
    """Return what a chart becomes, by kind."""
    release = dataclasses.replace(RELEASE, **given)
    return {obj["kind"]: obj for obj in load(path, release)}


@pytest.fixture
def kustomization(tmp_path: Path) -> Path:
    folder = tmp_path / "overlay"
    folder.mkdir()
    (folder / "web.yaml").write_text(CONFIG)
    (folder / "kustomization.yaml").write_text("namePrefix: green-\nresources: [web.yaml]\n")
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
    kustomization: Path, shop_chart: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_path(monkeypatch, tmp_path / "bin")
    with pytest.raises(errors.ManifestError, match="neither kustomize nor kubectl is installed"):
        load(kustomization)
    with pytest.raises(errors.ManifestError, match=r"Helm chart, and helm is not installed"):
        load(shop_chart)


@pytest.mark.usefixtures("helm")
def test_a_chart_is_rendered_for_the_application(shop_chart: Path) -> None:
    made = rendered(shop_chart)
    assert sorted(made) == ["ConfigMap", "CustomResourceDefinition", "Deployment", "Job", "Sale"]
    assert made["Deployment"]["metadata"]["name"] == "shop-web"
    assert made["ConfigMap"]["data"]["NAMESPACE"] == "team"
    assert "helm.sh/hook" in made["Job"]["metadata"]["annotations"]


@pytest.mark.usefixtures("helm")
def test_a_chart_sees_the_cluster_that_it_is_for(shop_chart: Path) -> None:
    known = rendered(shop_chart, kube_version="v1.36.2")["ConfigMap"]["data"]
    assert known["KUBERNETES"] == "v1.36.2"
    assert known["KNOWN"] == "false", "lookup finds nothing: helm talks to no cluster"
    (shop_chart / "crds" / "sales.yaml").unlink()
    assert "Sale" not in rendered(shop_chart)
    assert "Sale" in rendered(shop_chart, api_versions=("apps/v1", "shop.example.com/v1"))


@pytest.mark.usefixtures("helm")
def test_a_chart_too_new_for_the_cluster_is_refused(shop_chart: Path) -> None:
    with pytest.raises(errors.ManifestError, match=r"requires kubeVersion: >=1\.30\.0-0"):
        rendered(shop_chart, kube_version="v1.29.4")


@pytest.mark.usefixtures("helm")
def test_values_come_from_the_chart_then_files_then_the_rest(
    shop_chart: Path, tmp_path: Path
) -> None:
    for name, text in (("a", "replicas: 2\ngreeting: Hi\n"), ("b", "replicas: 3\n")):
        (tmp_path / f"{name}.yaml").write_text(text)
    files = tuple(str(tmp_path / f"{name}.yaml") for name in "ab")
    made = rendered(shop_chart, files=files)
    assert made["Deployment"]["spec"]["replicas"] == 3
    assert made["ConfigMap"]["data"]["GREETING"] == "Hi"

    made = rendered(shop_chart, files=files, values={"replicas": 4, "cache": {"enabled": True}})
    assert made["Deployment"]["spec"]["replicas"] == 4
    assert made["Service"]["metadata"]["annotations"] == {"shop.example.com/megabytes": "64"}

    made = rendered(shop_chart, values={"replicas": 4}, settings=("replicas=5", "image.tag=9"))
    assert made["Deployment"]["spec"]["replicas"] == 5
    (web,) = made["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert web["image"] == "registry.example.com/shop:9"


@pytest.mark.usefixtures("helm")
def test_what_helm_complains_about_is_told(shop_chart: Path) -> None:
    with pytest.raises(errors.ManifestError, match="at '/replicas': minimum: got 0, want 1"):
        rendered(shop_chart, settings=("replicas=0",))
    (shop_chart / "templates" / "broken.yaml").write_text("{{ .Values.absent.field }}")
    with pytest.raises(errors.ManifestError, match=r"broken\.yaml:1:.*nil pointer"):
        rendered(shop_chart)


@pytest.mark.usefixtures("helm")
def test_what_is_wrong_with_a_rendered_object_names_its_template(shop_chart: Path) -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\nkind: Secret\n"
    (shop_chart / "templates" / "more.yaml").write_text(text)
    told = f"{shop_chart}: shop/templates/more.yaml, document [12]: apiVersion is missing"
    with pytest.raises(errors.ManifestError, match=told):
        rendered(shop_chart)


def test_a_packed_chart_and_one_named_by_its_file_are_charts(helm: Path, shop_chart: Path) -> None:
    known = load(shop_chart)
    assert load(shop_chart / "Chart.yaml") == known
    words = [helm, "package", shop_chart, "--destination", shop_chart.parent]
    subprocess.run(words, check=True, capture_output=True)
    assert load(shop_chart.parent / "shop-1.2.0.tgz") == known


def test_a_generator_below_a_folder_of_manifests_is_refused(kustomization: Path) -> None:
    (kustomization.parent / "other.yaml").write_text(CONFIG)
    with pytest.raises(errors.ManifestError, match=r"give its own folder: -f .*overlay"):
        load(kustomization.parent)
