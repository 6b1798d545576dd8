"""What somebody may rehearse and deliver whose rights are few."""

import subprocess
from pathlib import Path

import pytest
from click import testing

from understudy.cli import main

MANIFESTS = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: default}
data: {v: "1"}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {ports: [{port: 80}]}
"""


@pytest.fixture
def reader(make_cluster, tmp_path):
    """Return how to run commands as somebody who may only read, and as the administrator."""
    cluster = make_cluster(auth="rbac", tls=True)
    admin = Path(cluster.kubeconfig)

    def kubectl(*words):
        command = ["kubectl", "--kubeconfig", str(admin), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    kubectl("create", "serviceaccount", "reader")
    kubectl("create", "clusterrole", "looks", "--verb=get,list", "--resource=*.*")
    kubectl("create", "clusterrolebinding", "r", "--clusterrole=looks",
            "--serviceaccount=default:reader")  # fmt: skip
    token = kubectl("create", "token", "reader").strip()
    few = tmp_path / "reader.yaml"
    few.write_text(admin.read_text().replace(cluster.server.token, token))

    def run(kubeconfig, *words):
        environment = {"KUBECONFIG": str(kubeconfig), "NO_COLOR": "1"}
        return testing.CliRunner(env=environment).invoke(main.cli, [*words], input=MANIFESTS)

    return lambda *words: run(few, *words), lambda *words: run(admin, *words), kubectl


def test_who_may_only_read_rehearses_and_is_told_what_would_be_refused(reader):
    as_reader, as_admin, kubectl = reader
    planned = as_reader("plan", "shop", "-f", "-")
    assert planned.exit_code == 2, planned.output
    assert "FORBIDDEN  you have no right to create configmaps in default" in planned.output
    assert "FORBIDDEN  you have no right to patch services in default (web)" in planned.output
    assert "create resourcetrackers" not in planned.output

    refused = as_reader("deliver", "shop", "-f", "-", "--yes")
    assert refused.exit_code == 3
    assert "error: you have no right to create services in default" in refused.stderr
    assert kubectl("get", "configmaps", "-o", "name") == ""

    planned = as_admin("plan", "shop", "-f", "-", "--verify=server")
    assert planned.exit_code == 2
    assert "FORBIDDEN" not in planned.output
    assert "The server was asked about 2 objects." in planned.output
