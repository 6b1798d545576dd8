"""Exports and imports, with the commands, against real servers."""

import subprocess
import sys

import yaml

from understudy.testing import servers

CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "tides.sea.example.com"},
    "spec": {
        "group": "sea.example.com",
        "scope": "Namespaced",
        "names": {"plural": "tides", "singular": "tide", "kind": "Tide"},
        "versions": [
            {
                "name": "v1", "served": True, "storage": True,
                "schema": {"openAPIV3Schema": {
                    "type": "object", "x-kubernetes-preserve-unknown-fields": True,
                }},
            }
        ],
    },
}  # fmt: skip


def run(view, *words, stdin=None):
    return subprocess.run(
        [sys.executable, "-m", "understudy", *words, "--kubeconfig", view.kubeconfig],
        text=True, capture_output=True, check=False, input=stdin,
    )  # fmt: skip


def test_what_one_view_exports_another_imports_and_exports_alike(tmp_path):
    with servers.TestServer() as server:
        source, target = server.sandbox(), server.sandbox()
        source.create("namespaces", {"metadata": {"name": "shop"}})
        source.create("customresourcedefinitions.apiextensions.k8s.io", CRD)
        source.create("tides.sea.example.com", {
            "apiVersion": "sea.example.com/v1", "kind": "Tide", "metadata": {"name": "high"}, "level": 4,
        }, "shop")  # fmt: skip
        source.create("configmaps", {"metadata": {"name": "a"}, "data": {"x": "---\n---"}}, "shop")
        source.create("secrets", {"metadata": {"name": "s"}, "stringData": {"a": "b"}}, "shop")
        file = tmp_path / "state.yaml"
        done = run(source, "export", "-f", str(file))
        assert done.returncode == 0, done.stderr
        assert file.stat().st_mode & 0o777 == 0o600
        exported = list(yaml.safe_load_all(file.read_text()))
        assert done.stdout == f"{len(exported)} objects written to {file}\n"
        kinds = {obj["kind"] for obj in exported}
        assert kinds >= {"Namespace", "CustomResourceDefinition", "Tide", "ConfigMap"}
        assert "Secret" not in kinds
        done = run(target, "import", "-f", "-", stdin=file.read_text())
        assert done.returncode == 0, done.stderr
        assert "created" in done.stdout
        assert run(target, "export").stdout == file.read_text()


def test_a_missing_file_is_one_sentence():
    with servers.TestServer() as server:
        done = run(server.base, "import", "-f", "nowhere.yaml")
    assert (done.returncode, done.stderr) == (1, "error: nowhere.yaml: no such file or directory\n")
