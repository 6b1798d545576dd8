"""What a pod gets when it is created, why it is refused, and what may change later."""

import pytest


def container(**fields):
    return {"name": "c", "image": "nginx"} | fields


def pod(*containers, **spec):
    return {"spec": {"containers": list(containers) or [container()]} | spec}


def test_a_pod_gets_the_defaults_that_kubernetes_writes_down(bench):
    made = bench.made("pods", pod(container(ports=[{"containerPort": 80}])))
    (one,) = made["spec"]["containers"]
    assert one["imagePullPolicy"] == "Always"
    assert one["terminationMessagePath"] == "/dev/termination-log"
    assert one["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
    rest = {key: value for key, value in made["spec"].items() if key != "containers"}
    assert rest == {
        "dnsPolicy": "ClusterFirst",
        "enableServiceLinks": True,
        "restartPolicy": "Always",
        "schedulerName": "default-scheduler",
        "securityContext": {},
        "terminationGracePeriodSeconds": 30,
    }
    assert made["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    assert made["metadata"]["generation"] == 1


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("a", "Always"),
        ("a:latest", "Always"),
        ("r.example.com:5000/a", "Always"),
        ("a:1", "IfNotPresent"),
        ("a@sha256:" + "0" * 64, "IfNotPresent"),
    ],
)
def test_only_moving_tags_are_always_pulled(bench, image, policy):
    made = bench.made("pods", pod(container(image=image)))
    assert made["spec"]["containers"][0]["imagePullPolicy"] == policy


@pytest.mark.parametrize(
    ("resources", "quality"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m"}}, "Guaranteed"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1m"}}, "Burstable"),
        ({"requests": {"example.com/x": "1"}, "limits": {"example.com/x": "1"}}, "BestEffort"),
    ],
)
def test_the_quality_of_service_follows_from_cpu_and_memory(bench, resources, quality):
    made = bench.made("pods", pod(container(resources=resources)))
    assert made["status"]["qosClass"] == quality


def test_limits_are_requests_too_where_none_are_asked(bench):
    made = bench.made("pods", pod(container(resources={"limits": {"cpu": "0.5"}})))
    assert made["spec"]["containers"][0]["resources"] == {
        "limits": {"cpu": "500m"},
        "requests": {"cpu": "500m"},
    }


def test_a_host_network_publishes_its_ports(bench):
    made = bench.made("pods", pod(container(ports=[{"containerPort": 80}]), hostNetwork=True))
    assert made["spec"]["containers"][0]["ports"][0]["hostPort"] == 80


@pytest.mark.parametrize(
    ("fields", "cause"),
    [
        ({"name": ""}, "spec.containers[0].name: Required value"),
        ({"image": ""}, "spec.containers[0].image: Required value"),
        (
            {"imagePullPolicy": "Often"},
            'spec.containers[0].imagePullPolicy: Unsupported value: "Often": supported values: '
            '"Always", "IfNotPresent", "Never"',
        ),
        (
            {"ports": [{"containerPort": 70000}]},
            "spec.containers[0].ports[0].containerPort: Invalid value: 70000: "
            "must be between 1 and 65535, inclusive",
        ),
        (
            {"ports": [{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}]},
            'spec.containers[0].ports[1].name: Duplicate value: "a"',
        ),
        ({"env": [{"name": ""}]}, "spec.containers[0].env[0].name: Required value"),
        (
            {"env": [{"name": "A", "value": "b", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}]},
            'spec.containers[0].env[0].valueFrom: Invalid value: "": may not be specified when '
            "`value` is not empty",
        ),
        (
            {"volumeMounts": [{"name": "v", "mountPath": "/v"}]},
            'spec.containers[0].volumeMounts[0].name: Not found: "v"',
        ),
        (
            {"resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}},
            'spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal '
            "to cpu limit of 1",
        ),
        (
            {"resources": {"limits": {"memory": "-1"}}},
            'spec.containers[0].resources.limits[memory]: Invalid value: "-1": must be greater than '
            "or equal to 0",
        ),
        (
            {"livenessProbe": {}},
            "spec.containers[0].livenessProbe: Required value: must specify a handler type",
        ),
        (
            {"livenessProbe": {"tcpSocket": {"port": 1}, "successThreshold": 2}},
            "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1",
        ),
        (
            {"readinessProbe": {"httpGet": {"port": 0}}},
            "spec.containers[0].readinessProbe.httpGet.port: Invalid value: 0: must be between 1 "
            "and 65535, inclusive",
        ),
    ],
)  # fmt: skip
def test_a_container_is_refused_for_one_clear_cause(bench, fields, cause):
    assert cause in bench.refused("pods", pod(container(**fields)))


@pytest.mark.parametrize(
    ("spec", "cause"),
    [
        (
            {"restartPolicy": "Maybe"},
            'spec.restartPolicy: Unsupported value: "Maybe": supported values: "Always", '
            '"OnFailure", "Never"',
        ),
        (
            {"volumes": [{"name": "v", "secret": {}}]},
            "spec.volumes[0].secret.secretName: Required value",
        ),
        (
            {"volumes": [{"name": "v", "emptyDir": {}, "hostPath": {"path": "/"}}]},
            "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type",
        ),
        (
            {"tolerations": [{"operator": "Exists", "value": "x", "key": "k"}]},
            "spec.tolerations[0].operator: Invalid value:"
            ' {"Key":"k","Operator":"Exists","Value":"x","Effect":"","TolerationSeconds":null}:'
            " value must be empty when `operator` is 'Exists'",
        ),
        (
            {"dnsPolicy": "None"},
            "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None",
        ),
        (
            {"activeDeadlineSeconds": 0},
            "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, "
            "inclusive",
        ),
        (
            {"initContainers": [container(name="c")]},
            'spec.initContainers[0].name: Duplicate value: "c"',
        ),
    ],
)
def test_a_pod_is_refused_for_one_clear_cause(bench, spec, cause):
    assert cause in bench.refused("pods", pod(**spec))


def test_a_pod_without_containers_says_so(bench):
    assert bench.refused("pods", {"spec": {}}) == ["spec.containers: Required value"]


def test_only_a_few_fields_of_a_pod_may_change(bench):
    bench.create("pods", pod(container(image="a:1")))
    spec = {"containers": [{"name": "c", "image": "a:2"}]}
    assert bench.patch("pods", {"spec": spec})["spec"]["containers"][0]["image"] == "a:2"
    (cause,) = bench.patch_refused("pods", {"spec": {"nodeName": "n"}})
    first, _, difference = cause.partition("\n")
    assert first.startswith("spec: Forbidden: pod updates may not change fields other than")
    assert difference.splitlines()[4:6] == ['- "NodeName": "",', '+ "NodeName": "n",']


def test_tolerations_may_be_added_and_never_removed(bench):
    kept = {"key": "a", "operator": "Exists"}
    bench.create("pods", pod(tolerations=[kept]))
    more = {"spec": {"tolerations": [kept, {"key": "b", "operator": "Exists"}]}}
    assert len(bench.patch("pods", more)["spec"]["tolerations"]) == 2
    (cause,) = bench.patch_refused("pods", {"spec": {"tolerations": None}})
    assert cause.startswith("spec.tolerations: Forbidden: existing toleration can not be modified")


def test_a_terminated_container_does_not_start_again(bench):
    ended = {"name": "c", "state": {"terminated": {"exitCode": 0}}}
    bench.create("pods", pod(restartPolicy="Never"))
    bench.patch("pods", {"status": {"containerStatuses": [ended]}}, subresource="status")
    running = {"name": "c", "state": {"running": {}}}
    causes = bench.patch_refused(
        "pods", {"status": {"containerStatuses": [running]}}, subresource="status"
    )
    assert causes == [
        "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"
    ]


def test_old_annotations_and_hostnames_are_warned_about(bench):
    written = bench.create(
        "pods",
        pod(nodeSelector={"beta.kubernetes.io/os": "linux"}) | {"metadata": {"name": "a.b"}},
    )
    assert written.warnings[0].startswith("metadata.name: this is used in the Pod's hostname")
    assert written.warnings[1] == (
        "spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "
        '"kubernetes.io/os" instead'
    )


def test_how_a_pod_preempts_is_checked(bench):
    spec = {"containers": [{"name": "c", "image": "i"}], "preemptionPolicy": "x"}
    assert bench.refused("pods", {"spec": spec}) == [
        'spec.preemptionPolicy: Unsupported value: "x": supported values: '
        '"PreemptLowerPriority", "Never"'
    ]
