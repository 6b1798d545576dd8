"""Every generator of `kubectl create`, and run, expose and autoscale: they send protobuf."""

import base64
import json

import pytest

pytestmark = pytest.mark.kubectl


def test_config_maps_and_secrets_hold_literals_and_files(any_kubectl, tmp_path):
    kubectl = any_kubectl
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "b.bin").write_bytes(b"\xff\x00")
    (tmp_path / "env").write_text("K=v\n")
    kubectl(
        f"create configmap c --from-literal=x=y --from-file={tmp_path}/a.txt "
        f"--from-file=blob={tmp_path}/b.bin"
    )
    found = kubectl.json("get configmap c")
    assert found["data"] == {"x": "y", "a.txt": "text"}
    assert found["binaryData"] == {"blob": "/wA="}
    kubectl(f"create secret generic s --from-env-file={tmp_path}/env --type=example.com/own")
    found = kubectl.json("get secret s")
    assert (found["data"], found["type"]) == ({"K": "dg=="}, "example.com/own")
    kubectl(
        "create secret docker-registry r --docker-server=r.example.com --docker-username=u "
        "--docker-password=p --docker-email=e@example.com"
    )
    found = kubectl.json("get secret r")
    assert found["type"] == "kubernetes.io/dockerconfigjson"
    login = json.loads(base64.b64decode(found["data"][".dockerconfigjson"]))
    assert login["auths"]["r.example.com"]["username"] == "u"


def test_tls_secrets_hold_a_certificate(any_kubectl, certificate):
    crt, key = certificate
    any_kubectl(f"create secret tls t --cert={crt} --key={key}")
    found = any_kubectl.json("get secret t")
    assert found["type"] == "kubernetes.io/tls"
    assert base64.b64decode(found["data"]["tls.crt"]) == crt.read_bytes()
    assert base64.b64decode(found["data"]["tls.key"]) == key.read_bytes()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    import datetime as dt

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x.example.com")])
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=3650))
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    (folder / "crt").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    (folder / "key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return folder / "crt", folder / "key"


def test_namespaces_appear_with_what_belongs_to_them(any_kubectl):
    name = f"{any_kubectl.namespace}-more"
    assert any_kubectl(f"create namespace {name}") == f"namespace/{name} created\n"
    found = any_kubectl.json(f"get namespace {name}")
    assert found["metadata"]["labels"] == {"kubernetes.io/metadata.name": name}
    assert found["spec"] == {"finalizers": ["kubernetes"]}
    assert found["status"] == {"phase": "Active"}


def test_deployments_run(any_kubectl):
    kubectl = any_kubectl
    kubectl("create deployment d --image=nginx:1 --image=busybox --replicas=2")
    found = kubectl.json("get deployment d")
    template = found["spec"]["template"]["spec"]["containers"]
    assert [(c["name"], c["image"]) for c in template] == [
        ("nginx", "nginx:1"),
        ("busybox", "busybox"),
    ]
    assert found["spec"]["selector"] == {"matchLabels": {"app": "d"}}
    kubectl("create deployment cmd --image=busybox --port=80 -- sh -c 'sleep 1'")
    container = kubectl.json("get deployment cmd")["spec"]["template"]["spec"]["containers"][0]
    assert container["command"] == ["sh", "-c", "sleep 1"]
    assert container["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
    kubectl("rollout status deployment/d --timeout=50s")


def test_jobs_and_cron_jobs_run(any_kubectl):
    kubectl = any_kubectl
    kubectl("create job j --image=busybox -- echo hi")
    kubectl("create cronjob c --image=busybox --schedule='*/5 * * * *' --restart=Never -- date")
    found = kubectl.json("get cronjob c")["spec"]
    assert (found["schedule"], found["concurrencyPolicy"]) == ("*/5 * * * *", "Allow")
    pod = found["jobTemplate"]["spec"]["template"]["spec"]
    assert (pod["restartPolicy"], pod["containers"][0]["command"]) == ("Never", ["date"])
    kubectl("create job manual --from=cronjob/c")
    found = kubectl.json("get job manual")["metadata"]
    assert found["annotations"]["cronjob.kubernetes.io/instantiate"] == "manual"
    assert found["ownerReferences"][0]["kind"] == "CronJob"
    kubectl("wait --for=condition=complete job/j job/manual --timeout=50s")


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (
            "clusterip s --tcp=80:8080",
            {
                "type": "ClusterIP",
                "ports": [{"name": "80-8080", "port": 80, "protocol": "TCP", "targetPort": 8080}],
                "selector": {"app": "s"},
            },
        ),
        ("clusterip s --clusterip=None", {"type": "ClusterIP", "clusterIP": "None"}),
        ("nodeport s --tcp=80 --node-port=31234", {"type": "NodePort"}),
        ("loadbalancer s --tcp=443:https", {"type": "LoadBalancer"}),
        (
            "externalname s --external-name=x.example.com",
            {"type": "ExternalName", "externalName": "x.example.com"},
        ),
    ],
    ids=lambda value: value.split(" ", 1)[0] if isinstance(value, str) else "",
)
def test_services_of_each_type(kubectl, command, expected):
    kubectl(f"create service {command}")
    spec = kubectl.json("get service s")["spec"]
    assert {key: spec.get(key) for key in expected} == expected
    if "--node-port" in command:
        assert spec["ports"][0]["nodePort"] == 31234
    if command.startswith("loadbalancer"):
        assert spec["ports"][0]["targetPort"] == "https"
        assert 30000 <= spec["ports"][0]["nodePort"] < 32768
        assert spec["allocateLoadBalancerNodePorts"] is True


def test_roles_and_their_bindings(any_kubectl):
    kubectl, unique = any_kubectl, any_kubectl.namespace
    kubectl("create serviceaccount robot")
    kubectl("create role r --verb=get,list --resource=pods,deployments.apps --resource-name=x")
    assert kubectl.json("get role r")["rules"] == [
        {
            "apiGroups": [""],
            "resources": ["pods"],
            "resourceNames": ["x"],
            "verbs": ["get", "list"],
        },
        {
            "apiGroups": ["apps"],
            "resources": ["deployments"],
            "resourceNames": ["x"],
            "verbs": ["get", "list"],
        },
    ]
    kubectl(f"create rolebinding rb --role=r --serviceaccount={unique}:robot --user=jane")
    found = kubectl.json("get rolebinding rb")
    assert found["roleRef"] == {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "Role",
        "name": "r",
    }
    assert sorted(subject["kind"] for subject in found["subjects"]) == ["ServiceAccount", "User"]
    kubectl(f"create clusterrole cr-{unique} --verb=get --non-resource-url=/x")
    kubectl(f"create clusterrole agg-{unique} --aggregation-rule=a=b")
    assert kubectl.json(f"get clusterrole cr-{unique}")["rules"] == [
        {"nonResourceURLs": ["/x"], "verbs": ["get"]}
    ]
    assert kubectl.json(f"get clusterrole agg-{unique}")["aggregationRule"] == {
        "clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]
    }
    kubectl(f"create clusterrolebinding crb-{unique} --clusterrole=cr-{unique} --group=devs")
    assert kubectl.json(f"get clusterrolebinding crb-{unique}")["subjects"] == [
        {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "devs"}
    ]


def test_quotas_budgets_and_priorities(any_kubectl):
    kubectl, unique = any_kubectl, any_kubectl.namespace
    kubectl("create quota q --hard=pods=3,requests.cpu=1500m --scopes=NotTerminating")
    found = kubectl.json("get quota q")["spec"]
    assert found == {
        "hard": {"pods": "3", "requests.cpu": "1500m"},
        "scopes": ["NotTerminating"],
    }
    kubectl("create poddisruptionbudget b --selector=app=x --min-available=50%")
    assert kubectl.json("get pdb b")["spec"] == {
        "minAvailable": "50%",
        "selector": {"matchLabels": {"app": "x"}},
    }
    kubectl(f"create priorityclass {unique} --value=10 --description=d --preemption-policy=Never")
    found = kubectl.json(f"get priorityclass {unique}")
    assert (found["value"], found["preemptionPolicy"], found["description"]) == (10, "Never", "d")


def test_ingresses_route_and_terminate_tls(any_kubectl):
    any_kubectl(
        "create ingress i --rule='a.example.com/x*=web:80,tls=cert' --rule='/=other:http' "
        "--default-backend=d:http --class=c --annotation=k=v"
    )
    found = any_kubectl.json("get ingress i")
    assert found["metadata"]["annotations"] == {"k": "v"}
    assert found["spec"]["ingressClassName"] == "c"
    assert found["spec"]["tls"] == [{"hosts": ["a.example.com"], "secretName": "cert"}]
    path = found["spec"]["rules"][0]["http"]["paths"][0]
    assert path == {
        "backend": {"service": {"name": "web", "port": {"number": 80}}},
        "path": "/x",
        "pathType": "Prefix",
    }


def test_tokens_name_their_account_and_object(any_kubectl):
    kubectl = any_kubectl
    kubectl("create serviceaccount robot")
    kubectl("create secret generic s")

    def claims(text):
        payload = text.strip().split(".")[1]
        return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))

    token = claims(kubectl("create token robot --duration=1h --audience=x"))
    assert token["sub"] == f"system:serviceaccount:{kubectl.namespace}:robot"
    assert token["aud"] == ["x"]
    assert token["exp"] - token["iat"] == 3600
    bound = claims(kubectl("create token robot --bound-object-kind=Secret --bound-object-name=s"))
    assert bound["kubernetes.io"]["secret"]["name"] == "s"
    assert 'serviceaccounts "nobody" not found' in kubectl.fails("create token nobody")


def test_what_is_wrong_is_said_in_the_servers_words(any_kubectl):
    kubectl = any_kubectl
    assert kubectl.fails("create configmap Bad_Name").startswith(
        'The ConfigMap "Bad_Name" is invalid: metadata.name: Invalid value: "Bad_Name": a lowercase'
    ) or "a lowercase RFC 1123 subdomain" in kubectl.fails("create configmap Bad_Name")
    kubectl("create configmap c")
    assert (
        kubectl.fails("create configmap c")
        == 'error: failed to create configmap: configmaps "c" already exists\n'
    )
    assert 'namespaces "nowhere" not found' in kubectl.fails("create configmap c -n nowhere")


def test_dry_runs_store_nothing(any_kubectl):
    kubectl = any_kubectl
    assert "dry run" in kubectl("create deployment d --image=nginx --dry-run=client")
    out = kubectl("create deployment d --image=nginx --dry-run=server")
    assert out == "deployment.apps/d created (server dry run)\n"
    assert "progressDeadlineSeconds: 600" in kubectl(
        "create deployment d --image=nginx --dry-run=server -o yaml"
    )
    assert "not found" in kubectl.fails("get deployment d")


def test_run_makes_pods_and_their_service(any_kubectl):
    kubectl = any_kubectl
    kubectl("run p --image=nginx --port=80 --labels=a=b,c=d --env=K=v --expose")
    pod = kubectl.json("get pod p")
    assert pod["metadata"]["labels"] == {"a": "b", "c": "d"}
    assert pod["spec"]["containers"][0]["env"] == [{"name": "K", "value": "v"}]
    assert kubectl.json("get service p")["spec"]["selector"] == {"a": "b", "c": "d"}
    kubectl("run once --image=busybox --restart=Never --command -- sleep 1")
    kubectl("wait --for=condition=Ready pod/p --timeout=50s")
    kubectl("wait --for=jsonpath={.status.phase}=Succeeded pod/once --timeout=50s")
    overrides = json.dumps({"spec": {"terminationGracePeriodSeconds": 1}})
    kubectl(["run", "o", "--image=x", f"--overrides={overrides}"])
    assert kubectl.json("get pod o")["spec"]["terminationGracePeriodSeconds"] == 1


def test_expose_makes_services_of_workloads(any_kubectl):
    kubectl = any_kubectl
    kubectl("create deployment web --image=nginx --port=8080 --replicas=2")
    kubectl("run p --image=nginx --labels=x=y")
    kubectl("expose deployment web --port=80")
    kubectl("expose pod p --port=53 --protocol=UDP --name=dns --type=NodePort --target-port=dns")
    kubectl("expose service web --port=81 --name=second")
    assert kubectl.json("get service web")["spec"]["ports"] == [
        {"port": 80, "protocol": "TCP", "targetPort": 80}
    ]
    spec = kubectl.json("get service dns")["spec"]
    assert (spec["selector"], spec["ports"][0]["protocol"]) == ({"x": "y"}, "UDP")
    assert kubectl.json("get service second")["spec"]["selector"] == {"app": "web"}
    kubectl("rollout status deployment/web --timeout=50s")
    kubectl(
        "wait --for=jsonpath={.subsets[0].addresses[1].ip} endpoints/web --timeout=50s"
        if kubectl.minor >= 31
        else "get endpoints web"
    )


def test_autoscale_makes_an_autoscaler(any_kubectl):
    kubectl = any_kubectl
    kubectl("create deployment web --image=nginx")
    kubectl("autoscale deployment web --min=2 --max=5 --cpu-percent=80")
    found = kubectl.json("get hpa web")
    assert found["apiVersion"] == "autoscaling/v2"
    assert found["spec"] == {
        "maxReplicas": 5,
        "metrics": [
            {
                "resource": {
                    "name": "cpu",
                    "target": {"averageUtilization": 80, "type": "Utilization"},
                },
                "type": "Resource",
            }
        ],
        "minReplicas": 2,
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
    }
    older = kubectl.json("get horizontalpodautoscalers.v1.autoscaling web")
    assert older["spec"]["targetCPUUtilizationPercentage"] == 80
