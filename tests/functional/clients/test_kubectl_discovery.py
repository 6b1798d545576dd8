"""What kubectl finds out about a server: kinds, fields, rights, events, health."""

import json

import pytest

pytestmark = pytest.mark.kubectl


def test_kinds_are_listed_and_filtered(any_kubectl):
    rows = any_kubectl.table("api-resources --no-headers")
    pods = next(row for row in rows if row[0] == "pods")
    assert pods == ["pods", "po", "v1", "true", "Pod"]
    deployments = next(row for row in rows if row[0] == "deployments")
    assert deployments == ["deployments", "deploy", "apps/v1", "true", "Deployment"]
    names = any_kubectl("api-resources --api-group=apps -o name").split()
    assert sorted(names) == [
        "controllerrevisions.apps",
        "daemonsets.apps",
        "deployments.apps",
        "replicasets.apps",
        "statefulsets.apps",
    ]
    cluster = any_kubectl("api-resources --namespaced=false -o name").split()
    assert {"nodes", "namespaces", "clusterroles.rbac.authorization.k8s.io"} <= set(cluster)
    assert "pods" not in cluster
    wide = any_kubectl("api-resources --verbs=deletecollection --sort-by=name -o wide")
    assert "create,delete,deletecollection,get,list,patch,update,watch" in wide
    everything = set(any_kubectl("api-resources --categories=all -o name").split())
    assert {name for name in everything if "knative" not in name} == {
        "cronjobs.batch",
        "daemonsets.apps",
        "deployments.apps",
        "horizontalpodautoscalers.autoscaling",
        "jobs.batch",
        "pods",
        "replicasets.apps",
        "replicationcontrollers",
        "services",
        "statefulsets.apps",
    }


def test_versions_are_listed(any_kubectl):
    versions = any_kubectl("api-versions").split()
    assert {"v1", "apps/v1", "autoscaling/v1", "autoscaling/v2", "batch/v1"} <= set(versions)
    found = json.loads(any_kubectl("version -o json"))
    assert found["serverVersion"]["major"] == "1"
    assert found["serverVersion"]["minor"] == "36"


def test_explain_shows_kinds_fields_and_trees(any_kubectl):
    kubectl = any_kubectl
    shown = kubectl("explain pods")
    assert "KIND:       Pod" in shown
    assert "VERSION:    v1" in shown
    assert "spec\t<PodSpec>" in shown
    shown = kubectl("explain deployment.spec.strategy.rollingUpdate.maxSurge")
    assert "maxSurge <IntOrString>" in shown
    shown = kubectl("explain ingress.spec --recursive")
    assert "pathType\t<string>" in shown
    shown = kubectl("explain hpa --api-version=autoscaling/v1")
    assert "VERSION:    v1" in shown
    assert "GROUP:      autoscaling" in shown
    assert 'field "nope" does not exist' in kubectl.fails("explain pod.spec.nope")
    plain = kubectl("explain service --output=plaintext-openapiv2")
    assert "KIND:     Service" in plain


def test_a_kind_of_every_group_can_be_explained(kubectl):
    names = kubectl("api-resources -o name").split()
    # Of two kinds with one plural, kubectl explains the first and takes the rest for a field.
    by_group = {
        group: f"{plural}.{group}".rstrip(".")
        for plural, _, group in (name.partition(".") for name in names)
        if not group or plural not in names
    }
    assert len(by_group) > 20
    for group, name in by_group.items():
        shown = kubectl(f"explain {name} --recursive")
        assert f"GROUP:      {group}" in shown if group else "VERSION:    v1" in shown


def test_rights_and_who_one_is(any_kubectl):
    kubectl = any_kubectl
    assert kubectl("auth can-i create deployments.apps") == "yes\n"
    assert kubectl("auth can-i get /metrics") == "yes\n"
    assert "*.*" in kubectl("auth can-i --list")
    if kubectl.minor < 28:
        return  # whoami asks for a version that is gone
    who = kubectl.json("auth whoami")
    assert who["status"]["userInfo"]["username"] == "admin"
    assert "system:masters" in kubectl("auth whoami")


def test_auth_reconcile_makes_roles(kubectl):
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "r", "namespace": kubectl.namespace},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
    }
    kubectl("auth reconcile -f -", role)
    role["rules"][0]["verbs"] = ["list"]
    kubectl("auth reconcile -f -", role)
    assert kubectl.json("get role r")["rules"][0]["verbs"] == ["get"]
    assert kubectl.json("get role r")["rules"][1]["verbs"] == ["list"]


def test_rights_are_judged_by_rules(make_cluster, kubectl_for):
    # kubectl sends credentials over HTTPS only.
    kubectl = kubectl_for(make_cluster(auth="rbac", tls=True, controllers="all"))
    assert kubectl("auth can-i '*' '*'") == "yes\n"
    assert kubectl.run("auth can-i get pods --as=jane").stdout == "no\n"
    kubectl("create role reader --verb=get,list --resource=pods")
    kubectl("create rolebinding jane --role=reader --user=jane --group=readers")
    kubectl("create serviceaccount robot")
    kubectl("create clusterrolebinding robot --clusterrole=view --serviceaccount=default:robot")
    assert kubectl("auth can-i get pods --as=jane") == "yes\n"
    assert kubectl("auth can-i list pods --as=joe --as-group=readers") == "yes\n"
    assert kubectl.run("auth can-i delete pods --as=jane").stdout == "no\n"
    assert kubectl.run("auth can-i get pods -n kube-system --as=jane").returncode == 1
    assert kubectl("get pods --as=jane -o name") == ""
    said = kubectl.fails("get pods --as=jane -n kube-system")
    assert said == (
        'Error from server (Forbidden): pods is forbidden: User "jane" cannot list resource '
        '"pods" in API group "" in the namespace "kube-system"\n'
    )
    listed = kubectl.table("auth can-i --list --as=jane --no-headers")
    assert ["pods", "[]", "[]", "[get list]"] in listed
    token = kubectl("create token robot").strip()
    alone = f"--token={token}"
    assert "kubernetes" in kubectl(f"{alone} get services -o name")
    assert "cannot list resource" in kubectl.fails(f"{alone} get secrets")
    who = kubectl.json(f"{alone} auth whoami")["status"]["userInfo"]
    assert who["username"] == "system:serviceaccount:default:robot"
    assert "system:serviceaccounts:default" in who["groups"]
    assert "You must be logged in" in kubectl.fails("--token=wrong get pods")


def test_events_are_shown_with_their_object(any_kubectl):
    kubectl = any_kubectl
    kubectl("create deployment web --image=nginx")
    kubectl("rollout status deployment/web --timeout=50s")
    env = [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "none", "key": "a"}}}]
    overrides = {"spec": {"containers": [{"name": "stuck", "image": "i", "env": env}]}}
    kubectl(["run", "stuck", "--image=i", f"--overrides={json.dumps(overrides)}"])
    with kubectl.following("events --watch --for pod/stuck") as line:
        seen = line()
        while 'configmap "none" not found' not in seen:
            seen = line()
    shown = kubectl("events --for deployment/web")
    assert "ScalingReplicaSet" in shown
    assert "Deployment/web" in shown
    assert "SuccessfulCreate" in kubectl("events --types=Normal")
    assert "SuccessfulCreate" not in kubectl("events --types=Warning")
    rows = kubectl.table("get events --field-selector involvedObject.kind=ReplicaSet")
    assert rows[0] == ["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]
    assert {row[2] for row in rows[1:]} == {"SuccessfulCreate"}
    rows = kubectl.table("get events.v1.events.k8s.io --sort-by=.metadata.creationTimestamp")
    assert len(rows) > 3


def test_health_and_paths_without_resources(any_kubectl):
    kubectl = any_kubectl
    for path in ("/healthz", "/livez", "/readyz"):
        assert kubectl(f"get --raw {path}") == "ok"
    assert "[+]" in kubectl("get --raw '/readyz?verbose'")
    assert json.loads(kubectl("get --raw /api/v1/namespaces/default"))["kind"] == "Namespace"
    assert "openapi" in kubectl("get --raw /openapi/v3/apis/apps/v1")
    assert "apiserver_" in kubectl("get --raw /metrics")
    assert "NotFound" in kubectl.fails("get --raw /nope")
    body = json.dumps({"metadata": {"name": "raw"}})
    kubectl(f"create --raw /api/v1/namespaces/{kubectl.namespace}/configmaps -f -", body)
    kubectl(f"replace --raw /api/v1/namespaces/{kubectl.namespace}/configmaps/raw -f -", body)
    kubectl(f"delete --raw /api/v1/namespaces/{kubectl.namespace}/configmaps/raw")


def test_the_cluster_says_what_it_is(any_kubectl, tmp_path):
    kubectl = any_kubectl
    shown = kubectl("cluster-info")
    assert "Kubernetes control plane" in shown
    kubectl(f"cluster-info dump --output-directory={tmp_path}/dump -n {kubectl.namespace}")
    assert json.loads((tmp_path / "dump/nodes.json").read_text())["items"]
    assert kubectl("config current-context").startswith("understudy-")
    assert kubectl("options")


def test_metrics_are_not_there_and_that_is_said(any_kubectl):
    for command in ("top nodes", "top pods"):
        assert any_kubectl.fails(command) == "error: Metrics API not available\n"


def test_what_needs_a_running_container_says_so(kubectl):
    kubectl("run p --image=nginx")
    kubectl("wait --for=condition=Ready pod/p --timeout=50s")
    for command in ("logs p", "exec p -- true", "attach p", "port-forward p 0:80"):
        assert "needs a runtime that runs pods" in kubectl.fails(command)


DESCRIBED = {
    "deployment/web": [
        "StrategyType:           RollingUpdate",
        "NewReplicaSet:",
        "ScalingReplicaSet",
    ],
    "replicaset": ["Controlled By:  Deployment/web", "Pods Status:    1 Running"],
    "pod -l app=web": ["Status:       Running", "Controlled By:  ReplicaSet/web", "Scheduled"],
    "service/web": ["Endpoints:", "TargetPort:"],
    "job/j": ["Completion Mode:  NonIndexed", "SuccessfulCreate"],
    "cronjob/c": ["Schedule:                      */5 * * * *"],
    "configmap/c": ["k:", "----", "v"],
    "secret/s": ["x:  1 bytes"],
    "serviceaccount/robot": ["Mountable secrets:"],
    "role/r": ["PolicyRule:", "pods"],
    "rolebinding/b": ["Kind:  Role", "ServiceAccount  robot"],
    "quota/q": ["pods      ", "Used"],
    "pdb/p": ["Min available:  1", "Allowed disruptions:"],
    "ingress/i": ["a.example.com", "web:80"],
    "hpa/web": ["Reference:", "Deployment/web", "resource cpu on pods"],
    "endpoints/web": ["Addresses:"],
    "endpointslice -l kubernetes.io/service-name=web": ["AddressType:  IPv4"],
    "limitrange/l": ["Container   cpu       -    9"],
    "networkpolicy/n": ["PodSelector:     app=web"],
    "pvc/v": ["Access Modes:", "Status:"],
    "namespace": ["Resource Quotas", "Resource Limits"],
}


def test_describe_tells_of_every_common_kind(kubectl):
    namespace = kubectl.namespace
    for command in (
        "deployment web --image=nginx --port=80",
        "job j --image=busybox -- true",
        "cronjob c --image=busybox --schedule='*/5 * * * *' -- true",
        "configmap c --from-literal=k=v",
        "secret generic s --from-literal=x=y",
        "serviceaccount robot",
        "role r --verb=get --resource=pods",
        f"rolebinding b --role=r --serviceaccount={namespace}:robot",
        "quota q --hard=pods=50",
        "pdb p --selector=app=web --min-available=1",
        "ingress i --rule=a.example.com/x*=web:80",
    ):
        kubectl(f"create {command}")
    kubectl("expose deployment web")
    kubectl("autoscale deployment web --max=2 --cpu-percent=50")
    kubectl(
        "create -f -",
        [
            {
                "apiVersion": "v1",
                "kind": "LimitRange",
                "metadata": {"name": "l"},
                "spec": {"limits": [{"type": "Container", "max": {"cpu": "9"}}]},
            },
            {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "NetworkPolicy",
                "metadata": {"name": "n"},
                "spec": {"podSelector": {"matchLabels": {"app": "web"}}},
            },
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": "v"},
                "spec": {
                    "accessModes": ["ReadWriteOnce"],
                    "resources": {"requests": {"storage": "1Gi"}},
                },
            },
        ],
    )
    kubectl("rollout status deployment/web --timeout=50s")
    kubectl("wait --for=condition=complete job/j --timeout=50s")
    for ref, expected in DESCRIBED.items():
        shown = kubectl(f"describe {ref}" + (f" {namespace}" if ref == "namespace" else ""))
        for text in expected:
            assert text in shown, f"describe {ref}: no {text!r} in\n{shown}"
    shown = kubectl("describe nodes")
    assert "Non-terminated Pods:" in shown
    assert "RenewTime:" in shown
    assert f"{namespace}  " in shown
    assert "Resources" in kubectl("describe clusterrole view")
