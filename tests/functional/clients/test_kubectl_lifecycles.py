"""What kubectl waits for: rollouts, conditions, deletions with each cascade, drained nodes."""

import json

import pytest

pytestmark = pytest.mark.kubectl


def _deployment(kubectl, name="web", replicas=2, image="nginx:1"):
    kubectl(f"create deployment {name} --image={image} --replicas={replicas}")
    kubectl(f"rollout status deployment/{name} --timeout=50s")


def _image(kubectl, ref="deployment/web"):
    return kubectl.jsonpath(f"get {ref}", "{.spec.template.spec.containers[0].image}")


def _config_map(name="c", **meta):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **meta}}


# ---------------------------------------------------------------------- rollout


def test_a_rollout_is_followed_told_and_undone(any_kubectl):
    kubectl = any_kubectl
    _deployment(kubectl)
    kubectl("annotate deployment/web kubernetes.io/change-cause=first")
    kubectl("set image deployment/web nginx=nginx:2")
    out = kubectl("rollout status deployment/web --timeout=50s")
    assert out.endswith('deployment "web" successfully rolled out\n')
    history = kubectl.table("rollout history deployment/web")
    assert [row[0] for row in history[-2:]] == ["1", "2"]
    shown = kubectl("rollout history deployment/web --revision=1")
    assert "nginx:1" in shown
    assert "first" in shown
    assert kubectl("rollout undo deployment/web") == "deployment.apps/web rolled back\n"
    kubectl("rollout status deployment/web --timeout=50s")
    assert _image(kubectl) == "nginx:1"
    kubectl("rollout undo deployment/web --to-revision=2")
    assert _image(kubectl) == "nginx:2"
    said = kubectl.fails("rollout undo deployment/web --to-revision=99")
    assert "unable to find specified revision 99 in history" in said


def test_a_rollout_is_restarted_paused_and_resumed(kubectl):
    _deployment(kubectl)
    assert kubectl("rollout restart deployment/web") == "deployment.apps/web restarted\n"
    kubectl("rollout status deployment/web --timeout=50s")
    note = "{.spec.template.metadata.annotations.kubectl\\.kubernetes\\.io/restartedAt}"
    assert kubectl.jsonpath("get deployment/web", note)
    assert len(kubectl("get replicasets -o name").split()) == 2
    assert kubectl("rollout pause deployment/web") == "deployment.apps/web paused\n"
    kubectl("set image deployment/web nginx=nginx:2")
    assert "can't restart paused deployment" in kubectl.fails("rollout restart deployment/web")
    kubectl("wait --for=condition=Progressing=Unknown deployment/web --timeout=50s")
    assert len(kubectl("get replicasets -o name").split()) == 2
    assert kubectl("rollout resume deployment/web") == "deployment.apps/web resumed\n"
    kubectl("rollout status deployment/web --timeout=50s")
    assert len(kubectl("get replicasets -o name").split()) == 3


def test_a_rollout_that_hangs_is_told(kubectl):
    _deployment(kubectl)
    kubectl("set image deployment/web nginx=pullfail")
    said = kubectl.fails("rollout status deployment/web --timeout=1s")
    assert "timed out waiting for the condition" in said


def test_sets_roll_out_too(kubectl):
    labels = {"app": "set"}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": "c", "image": "i:1"}]},
    }
    spec = {"selector": {"matchLabels": labels}, "template": template}
    kubectl(
        "apply -f -",
        [
            {
                "apiVersion": "apps/v1",
                "kind": "StatefulSet",
                "metadata": {"name": "s"},
                "spec": spec | {"replicas": 2, "serviceName": "s"},
            },
            {
                "apiVersion": "apps/v1",
                "kind": "DaemonSet",
                "metadata": {"name": "d"},
                "spec": spec
                | {
                    "selector": {"matchLabels": {"app": "d"}},
                    "template": template | {"metadata": {"labels": {"app": "d"}}},
                },
            },
        ],
    )
    kubectl("rollout status statefulset/s --timeout=50s")
    kubectl("rollout status daemonset/d --timeout=50s")
    assert kubectl("get pods -l app=set -o name").split() == ["pod/s-0", "pod/s-1"]
    for kind in ("statefulset/s", "daemonset/d"):
        kubectl(f"set image {kind} c=i:2")
        kubectl(f"rollout status {kind} --timeout=50s")
        assert [row[0] for row in kubectl.table(f"rollout history {kind}")[-2:]] == ["1", "2"]
        kubectl(f"rollout undo {kind}")
        kubectl(f"rollout status {kind} --timeout=50s")
        assert _image(kubectl, kind) == "i:1"
        kubectl(f"rollout restart {kind}")


# ---------------------------------------------------------------------- wait


def test_wait_for_conditions_and_values(any_kubectl):
    kubectl = any_kubectl
    kubectl("create deployment web --image=nginx --replicas=2")
    out = kubectl("wait --for=condition=Available deployment/web --timeout=50s")
    assert out == "deployment.apps/web condition met\n"
    kubectl("wait --for=jsonpath={.status.readyReplicas}=2 deployment/web --timeout=50s")
    kubectl("wait --for=condition=Ready pod -l app=web --timeout=50s")
    kubectl("create job j --image=busybox -- true")
    kubectl("wait --for=condition=complete job/j --timeout=50s")
    said = kubectl.fails("wait --for=condition=Nonsense deployment/web --timeout=1s")
    assert "timed out waiting for the condition on deployments/web" in said


def test_wait_for_deletion(kubectl):
    kubectl("run p --image=nginx")
    kubectl("wait --for=condition=Ready pod/p --timeout=50s")
    kubectl("delete pod p --wait=false")
    kubectl("wait --for=delete pod/p --timeout=50s")
    assert "not found" in kubectl.fails("get pod p")


def test_wait_for_creation(kubectl):
    if kubectl.minor < 31:
        pytest.skip("kubectl waits for creation since 1.31")
    with kubectl.following("wait --for=create configmap/c --timeout=50s") as line:
        kubectl("create configmap c")
        assert line() == "configmap/c condition met"


# ---------------------------------------------------------------------- delete


def test_deletion_in_the_background_takes_what_is_owned(kubectl):
    _deployment(kubectl)
    out = kubectl("delete deployment web")
    assert 'deployment.apps "web" deleted' in out
    kubectl("wait --for=delete replicaset,pod -l app=web --timeout=50s")
    assert kubectl("get replicasets,pods -o name") == ""


def test_deletion_in_the_foreground_waits_for_what_is_owned(any_kubectl):
    kubectl = any_kubectl
    _deployment(kubectl)
    kubectl("delete deployment web --cascade=foreground --timeout=50s")
    assert kubectl("get deployments,replicasets,pods -o name") == ""


def test_deletion_that_orphans_leaves_what_was_owned(kubectl):
    _deployment(kubectl)
    kubectl("delete deployment web --cascade=orphan --timeout=50s")
    left = kubectl.json("get replicasets")["items"]
    assert len(left) == 1
    assert "ownerReferences" not in left[0]["metadata"]
    assert len(kubectl("get pods -o name").split()) == 2


def test_pods_end_gracefully_at_once_or_by_force(kubectl):
    for name in ("slowly", "now", "forced"):
        kubectl(f"run {name} --image=linger")  # takes all the time it is given
    kubectl("wait --for=condition=Ready pod --all --timeout=50s")
    kubectl("delete pod slowly --grace-period=300 --wait=false")
    assert kubectl.json("get pod slowly")["metadata"]["deletionGracePeriodSeconds"] == 300
    assert kubectl.table("get pod slowly")[1][2] == "Terminating"
    kubectl("delete pod slowly --grace-period=1 --timeout=50s")
    kubectl("delete pod now --now --timeout=50s")
    done = kubectl.run("delete pod forced --force --grace-period=0")
    assert "Immediate deletion does not wait for confirmation" in done.stderr
    assert kubectl("get pods -o name") == ""


def test_deletion_by_selector_file_and_kind(any_kubectl, manifests):
    kubectl = any_kubectl
    path = manifests(_config_map("one"), _config_map("two"))
    kubectl(f"create -f {path}")
    kubectl("create -f -", [_config_map(name, labels={"x": "y"}) for name in ("three", "four")])
    kubectl(f"delete -f {path}")
    assert "not found" in kubectl.fails(f"delete -f {path}")
    kubectl(f"delete --ignore-not-found -f {path}")
    assert len(kubectl("delete configmap -l x=y").splitlines()) == 2
    kubectl("create configmap last")
    kubectl("delete configmap --field-selector metadata.name=last")
    assert "last" not in kubectl("get configmaps -o name")
    out = kubectl("create -f - --dry-run=server", _config_map("one"))
    assert out == "configmap/one created (server dry run)\n"
    kubectl("create configmap kept")
    out = kubectl("delete configmap kept --dry-run=server")
    assert out.startswith('configmap "kept" deleted')
    kubectl("get configmap kept")
    kubectl("delete --raw " + f"/api/v1/namespaces/{kubectl.namespace}/configmaps/kept")


def test_deletion_waits_for_finalizers(kubectl):
    kubectl("create -f -", _config_map(finalizers=["example.com/hold"]))
    said = kubectl.fails("delete configmap c --timeout=1s")
    assert "timed out waiting for the condition on configmaps/c" in said
    assert kubectl.json("get configmap c")["metadata"]["deletionTimestamp"]
    kubectl("""patch configmap c --type=merge -p '{"metadata":{"finalizers":null}}'""")
    kubectl("wait --for=delete configmap/c --timeout=50s")


def test_a_namespace_goes_with_all_that_is_in_it(kubectl):
    name = f"{kubectl.namespace}-gone"
    kubectl(f"create namespace {name}")
    kubectl(f"create deployment web --image=nginx --replicas=2 -n {name}")
    kubectl(f"rollout status deployment/web -n {name} --timeout=50s")
    kubectl(f"create configmap c -n {name}")
    kubectl(f"delete namespace {name} --timeout=55s")
    assert "not found" in kubectl.fails(f"get namespace {name}")


# ---------------------------------------------------------------------- nodes


@pytest.fixture
def node(kubectl):
    """A node of the simulated ones with all pods of this test, for the time of the test."""
    name = kubectl("get nodes -o name").split()[0].removeprefix("node/")
    yield name
    kubectl(f"uncordon {name}")


def test_nodes_are_cordoned_and_uncordoned(kubectl, node):
    assert kubectl(f"cordon {node}") == f"node/{node} cordoned\n"
    assert "Ready,SchedulingDisabled" in kubectl(f"get node {node}")
    assert kubectl(f"cordon {node}") == f"node/{node} already cordoned\n"
    kubectl("create deployment web --image=nginx --replicas=3")
    kubectl("rollout status deployment/web --timeout=50s")
    assert node not in kubectl.jsonpath("get pods", "{.items[*].spec.nodeName}").split()
    assert kubectl(f"uncordon {node}") == f"node/{node} uncordoned\n"
    assert "SchedulingDisabled" not in kubectl(f"get node {node}")


def test_a_node_is_drained_and_its_pods_run_elsewhere(kubectl, node):
    kubectl("create deployment web --image=nginx --replicas=4")
    kubectl("rollout status deployment/web --timeout=50s")
    out = kubectl(f"drain {node} --pod-selector=app=web --timeout=50s")
    assert out.endswith(f"node/{node} drained\n")
    assert "evicting pod" in out or "evicted" in out
    kubectl("rollout status deployment/web --timeout=50s")
    kubectl("wait --for=condition=Ready pod -l app=web --timeout=50s")
    assert node not in kubectl.jsonpath("get pods", "{.items[*].spec.nodeName}").split()


def test_a_drain_respects_budgets_and_refuses_lone_pods(kubectl, node):
    overrides = json.dumps({"spec": {"nodeName": node}})
    kubectl(["run", "lone", "--image=nginx", "--labels=app=lone", f"--overrides={overrides}"])
    kubectl("wait --for=condition=Ready pod/lone --timeout=50s")
    said = kubectl.fails(f"drain {node} --pod-selector=app=lone")
    assert "cannot delete" in said
    assert "declare no controller" in said
    kubectl("create pdb b --selector=app=lone --min-available=1")
    kubectl("wait --for=jsonpath={.status.currentHealthy}=1 pdb/b --timeout=50s")
    done = kubectl.run(f"drain {node} --pod-selector=app=lone --force --timeout=1s")
    assert done.returncode == 1
    assert "Cannot evict pod as it would violate the pod's disruption budget" in done.stderr
    kubectl("get pod lone")
    kubectl("delete pdb b")
    kubectl(f"drain {node} --pod-selector=app=lone --force --timeout=50s")
    assert "not found" in kubectl.fails("get pod lone")
