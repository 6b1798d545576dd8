"""What people do with kubectl all day, with every kubectl that is installed."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

GOOGLE = Path("/usr/lib/google-cloud-sdk/bin")
ALL = sorted(
    {
        *filter(None, [shutil.which("kubectl")]),
        *(str(path) for path in GOOGLE.glob("kubectl.1.*")),
    }
)
# One and the newest: all of them would take minutes (EVERY_KUBECTL=1 takes them).
KUBECTLS = ALL if os.environ.get("EVERY_KUBECTL") else [ALL[0], ALL[-1]] if ALL else []
pytestmark = [
    pytest.mark.kubectl,
    pytest.mark.skipif(not KUBECTLS, reason="kubectl is not installed"),
]

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: "nginx:1", ports: [{containerPort: 80}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {colour: red}
"""


class Kubectl:
    def __init__(self, binary: str, kubeconfig: str, home: Path, namespace: str) -> None:
        self.environment = {
            "PATH": os.environ["PATH"],
            "KUBECONFIG": kubeconfig,
            "HOME": str(home),
            "KUBE_CACHE_MUTATION_DETECTOR": "false",
        }
        self.binary, self.namespace = binary, namespace

    def __call__(self, *arguments: str, stdin: str = "", code: int = 0) -> str:
        done = subprocess.run(
            [self.binary, "-n", self.namespace, *arguments],
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=40,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if code == 0 else done.stdout + done.stderr

    def json(self, *arguments: str):
        return json.loads(self(*arguments, "-o", "json"))


@pytest.fixture(params=KUBECTLS, ids=lambda path: Path(path).name)
def kubectl(request, live_cluster, tmp_path):
    namespace = (
        "ns-"
        + Path(request.param).name.replace(".", "-")
        + f"-{abs(hash(request.node.name)) % 10**8}"
    )
    found = Kubectl(request.param, live_cluster.kubeconfig, tmp_path, namespace)
    found("create", "namespace", namespace)
    yield found
    found("delete", "namespace", namespace, "--wait=false")


def test_apply_edit_and_delete_a_workload(kubectl):
    out = kubectl("apply", "-f", "-", stdin=DEPLOYMENT)
    assert "deployment.apps/web created" in out
    assert "unchanged" in kubectl("apply", "-f", "-", stdin=DEPLOYMENT)
    assert "configured" in kubectl("apply", "-f", "-", stdin=DEPLOYMENT.replace("red", "blue"))
    assert kubectl("diff", "-f", "-", stdin=DEPLOYMENT, code=1).count("+  colour: red") == 1
    kubectl("rollout", "status", "deployment/web", "--timeout=20s")
    kubectl("wait", "--for=condition=Available", "deployment/web", "--timeout=20s")
    assert "2/2" in kubectl("get", "deployment", "web")
    assert "image: nginx:1" in kubectl("get", "deployment", "web", "-o", "yaml")
    kubectl("scale", "deployment/web", "--replicas=3")
    kubectl("wait", "--for=jsonpath={.status.readyReplicas}=3", "deployment/web", "--timeout=20s")
    kubectl("set", "image", "deployment/web", "c=nginx:2")
    kubectl("rollout", "status", "deployment/web", "--timeout=20s")
    assert "2  " in kubectl("rollout", "history", "deployment/web")
    kubectl("rollout", "undo", "deployment/web")
    kubectl("rollout", "status", "deployment/web", "--timeout=20s")
    found = kubectl.json("get", "deployment", "web")
    assert found["spec"]["template"]["spec"]["containers"][0]["image"] == "nginx:1"
    kubectl("rollout", "restart", "deployment/web")
    kubectl("delete", "-f", "-", stdin=DEPLOYMENT)
    kubectl("wait", "--for=delete", "deployment/web", "--timeout=20s")
    assert "NotFound" in kubectl("get", "deployment", "web", code=1)


def test_label_annotate_patch_and_select(kubectl):
    for name in ("a", "b"):
        kubectl("create", "configmap", name, "--from-literal=k=v")
    kubectl("label", "configmap", "a", "tier=front")
    kubectl("annotate", "configmap", "a", "note=x")
    assert kubectl("get", "configmap", "-l", "tier=front", "-o", "name").split() == ["configmap/a"]
    assert "tier=front" in kubectl("get", "configmap", "--show-labels")
    kubectl("label", "configmap", "a", "tier-")
    kubectl("patch", "configmap", "a", "-p", '{"data":{"k":"w"}}')
    kubectl("patch", "configmap", "a", "--type=merge", "-p", '{"data":{"l":"1"}}')
    kubectl("patch", "configmap", "a", "--type=json", "-p", '[{"op":"remove","path":"/data/k"}]')
    assert kubectl.json("get", "configmap", "a")["data"] == {"l": "1"}
    assert kubectl("get", "cm", "--field-selector=metadata.name=b", "-o", "name") == "configmap/b\n"
    kubectl(
        "replace",
        "-f",
        "-",
        stdin=json.dumps(kubectl.json("get", "configmap", "a") | {"data": {"z": "z"}}),
    )
    kubectl("delete", "configmap", "--all")


def test_server_side_apply_tells_conflicts(kubectl):
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: v}\n"
    kubectl("apply", "--server-side", "--field-manager=one", "-f", "-", stdin=text)
    other = text.replace("k: v", "k: w")
    said = kubectl("apply", "--server-side", "--field-manager=two", "-f", "-", stdin=other, code=1)
    assert 'conflict with "one": .data.k' in said
    kubectl(
        "apply", "--server-side", "--force-conflicts", "--field-manager=two", "-f", "-", stdin=other
    )
    shown = kubectl("get", "configmap", "a", "--show-managed-fields", "-o", "json")
    assert [e["manager"] for e in json.loads(shown)["metadata"]["managedFields"]] == ["two"]


def test_describe_and_get_pods(kubectl):
    kubectl("run", "p", "--image=nginx", "--restart=Never")
    kubectl("wait", "--for=condition=Ready", "pod/p", "--timeout=20s")
    assert "Running" in kubectl("get", "pods")
    assert "NODE" in kubectl("get", "pods", "-o", "wide")
    shown = kubectl("describe", "pod", "p")
    assert "Image:          nginx" in shown
    assert "Scheduled" in shown
    assert "REASON" in kubectl("get", "events")
    assert "REASON" in kubectl("events")
    kubectl("delete", "pod", "p")
    assert "NotFound" in kubectl("get", "pod", "p", code=1)


def test_describe_speaks_of_many_kinds(kubectl):
    kubectl("apply", "-f", "-", stdin=DEPLOYMENT)
    kubectl("create", "secret", "generic", "s", "--from-literal=a=b")
    for kind, name in [
        ("deployment", "web"),
        ("service", "web"),
        ("configmap", "settings"),
        ("secret", "s"),
    ]:
        assert "Name:" in kubectl("describe", kind, name)
    for kind in ("namespace", "nodes", "clusterroles", "serviceaccounts"):
        kubectl("describe", kind)


def test_get_prints_columns_of_its_kinds(kubectl):
    kubectl("apply", "-f", "-", stdin=DEPLOYMENT)
    assert "NAME   READY   UP-TO-DATE   AVAILABLE   AGE" in kubectl("get", "deployments")
    assert "NAME   TYPE        CLUSTER-IP" in kubectl("get", "services")
    assert "SELECTOR" in kubectl("get", "services", "-o", "wide")
    assert kubectl("get", "namespaces").split()[:3] == ["NAME", "STATUS", "AGE"]
    assert "deployment.apps/web" in kubectl("get", "all")
    assert "NAME" in kubectl("get", "configmap,secret", "-A")
    assert "KEY" in kubectl("get", "cm", "-o", "custom-columns=KEY:.metadata.name")
    kubectl("get", "pods", "--sort-by=.metadata.name")
    kubectl("get", "clusterroles", "--chunk-size=10")


def test_discovery_and_explain(kubectl):
    resources = kubectl("api-resources")
    assert "deployments" in resources
    assert "horizontalpodautoscalers" in resources
    assert "apps/v1" in kubectl("api-versions")
    assert "FIELDS" in kubectl("explain", "pods.spec.containers")
    assert "livenessProbe" in kubectl(
        "explain", "deployments.spec.template.spec.containers", "--recursive"
    )
    assert "v1.36" in kubectl("version")
    assert "is running at" in kubectl("cluster-info")
    assert kubectl("get", "--raw", "/readyz") == "ok"
    assert "yes" in kubectl("auth", "can-i", "delete", "pods")


def test_dry_runs_change_nothing(kubectl):
    out = kubectl(
        "create", "configmap", "a", "--from-literal=k=v", "--dry-run=server", "-o", "json"
    )
    assert json.loads(out)["metadata"]["uid"]
    assert "(server dry run)" in kubectl("apply", "--dry-run=server", "-f", "-", stdin=DEPLOYMENT)
    assert "NotFound" in kubectl("get", "configmap", "a", code=1)
    kubectl("create", "configmap", "a")
    assert "server dry run" in kubectl("delete", "configmap", "a", "--dry-run=server")
    kubectl("get", "configmap", "a")


def test_errors_are_told_in_kubernetes_words(kubectl):
    assert 'the server doesn\'t have a resource type "nopes"' in kubectl("get", "nopes", code=1)
    bad = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: BAD}\n"
    assert "a lowercase RFC 1123 subdomain" in kubectl("create", "-f", "-", stdin=bad, code=1)
    typo = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndat: {}\n"
    assert 'unknown field "dat"' in kubectl("create", "-f", "-", stdin=typo, code=1)


def test_nodes_are_cordoned_and_drained(kubectl):
    node = kubectl.json("get", "nodes")["items"][-1]["metadata"]["name"]
    kubectl("cordon", node)
    assert "SchedulingDisabled" in kubectl("get", "node", node)
    kubectl("uncordon", node)
    kubectl("taint", "node", node, "a=b:PreferNoSchedule")
    kubectl("taint", "node", node, "a-")


def test_deletion_waits_for_finalizers(kubectl):
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, finalizers: [example.com/x]}\n"
    kubectl("create", "-f", "-", stdin=text)
    kubectl("delete", "configmap", "a", "--wait=false")
    assert kubectl.json("get", "configmap", "a")["metadata"]["deletionTimestamp"]
    kubectl("patch", "configmap", "a", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    kubectl("wait", "--for=delete", "configmap/a", "--timeout=10s")


def test_pruning_and_kustomize(kubectl, tmp_path):
    (tmp_path / "kustomization.yaml").write_text(
        "configMapGenerator: [{name: c, literals: [a=b]}]\nlabels: [{pairs: {x: z}}]\n"
    )
    kubectl("apply", "-k", str(tmp_path))
    assert len(kubectl.json("get", "cm", "-l", "x=z")["items"]) == 1
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: only, labels: {x: z}}\n"
    kubectl(
        "apply",
        "--prune",
        "-l",
        "x=z",
        "--prune-allowlist=core/v1/ConfigMap",
        "-f",
        "-",
        stdin=text,
    )
    assert kubectl("get", "cm", "-l", "x=z", "-o", "name") == "configmap/only\n"


def test_kubectl_over_tls_as_an_administrator_and_as_a_reader(make_cluster, tmp_path):
    cluster = make_cluster(auth="rbac", tls=True)
    kubectl = Kubectl(KUBECTLS[-1], cluster.kubeconfig, tmp_path, "default")
    kubectl("create", "serviceaccount", "reader")
    kubectl("create", "rolebinding", "r", "--clusterrole=view", "--serviceaccount=default:reader")
    token = kubectl("create", "token", "reader").strip()
    assert kubectl("auth", "whoami", "-o", "jsonpath={.status.userInfo.username}") == "admin"
    Path(cluster.kubeconfig).write_text(
        Path(cluster.kubeconfig).read_text().replace(cluster.server.token, token)
    )
    kubectl("get", "configmaps")
    assert "cannot create resource" in kubectl("create", "configmap", "a", code=1)
    assert "cannot list resource" in kubectl("get", "secrets", code=1)
    assert kubectl("auth", "can-i", "create", "pods", code=1).strip() == "no"
    as_masters = ("--as=x", "--as-group=system:masters")
    assert "cannot impersonate" in kubectl("get", "pods", *as_masters, code=1)
