"""The rest of the kinds, each by a rule or two of its own."""

import base64

import pytest


def encoded(text):
    return base64.b64encode(text.encode()).decode()


CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
VOLUME = {
    "accessModes": ["ReadWriteOnce"],
    "capacity": {"storage": "1Gi"},
    "hostPath": {"path": "/x"},
}
ROLE = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}


@pytest.mark.parametrize(
    ("ref", "obj", "causes"),
    [
        (
            "configmaps",
            {"data": {"a b": ""}},
            [
                'data[a b]: Invalid value: "a b": a valid config key must consist of alphanumeric '
                "characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', "
                "regex used for validation is '[-._a-zA-Z0-9]+')"
            ],
        ),
        (
            "configmaps",
            {"data": {"a": "x"}, "binaryData": {"a": encoded("x")}},
            ['data[a]: Invalid value: "a": duplicate of key present in binaryData'],
        ),
        (
            "secrets",
            {"type": "kubernetes.io/tls"},
            ["data[tls.crt]: Required value", "data[tls.key]: Required value"],
        ),
        (
            "persistentvolumeclaims",
            {"spec": {}},
            [
                "spec.accessModes: Required value: at least 1 access mode is required",
                "spec.resources[storage]: Required value",
            ],
        ),
        (
            "persistentvolumes",
            {"spec": VOLUME | {"local": {"path": "/y"}}},
            ["spec.local: Forbidden: may not specify more than 1 volume type"],
        ),
        (
            "storageclasses.storage.k8s.io",
            {"provisioner": "p", "reclaimPolicy": "Recycle"},
            [
                'reclaimPolicy: Unsupported value: "Recycle": supported values: "Delete", "Retain"'
            ],
        ),
        (
            "volumeattributesclasses.storage.k8s.io",
            {"driverName": "d"},
            ["parameters: Required value: must contain at least one key/value pair"],
        ),
        (
            "roles.rbac.authorization.k8s.io",
            {"rules": [{"verbs": ["get"], "nonResourceURLs": ["/x"]}]},
            [
                'rules[0].nonResourceURLs: Invalid value: ["/x"]: namespaced rules cannot apply to '
                "non-resource URLs"
            ],
        ),
        (
            "rolebindings.rbac.authorization.k8s.io",
            {"roleRef": ROLE, "subjects": [{"kind": "Robot", "name": "x"}]},
            [
                'subjects[0].kind: Unsupported value: "Robot": supported values: "ServiceAccount", '
                '"User", "Group"'
            ],
        ),
        (
            "ingresses.networking.k8s.io",
            {"spec": {}},
            [
                "spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"
            ],
        ),
        (
            "networkpolicies.networking.k8s.io",
            {"spec": {"ingress": [{"from": [{}]}]}},
            ["spec.ingress[0].from[0]: Required value: must specify a peer"],
        ),
        (
            "networkpolicies.networking.k8s.io",
            {
                "spec": {
                    "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/9"]}}]}]
                }
            },
            [
                'spec.egress[0].to[0].ipBlock.except[0]: Invalid value: "11.0.0.0/9": must be a '
                "strict subset of `cidr`"
            ],
        ),
        (
            "poddisruptionbudgets.policy",
            {"spec": {"maxUnavailable": "101%"}},
            ['spec.maxUnavailable: Invalid value: "101%": must not be greater than 100%'],
        ),
        (
            "horizontalpodautoscalers.autoscaling",
            {"spec": {"maxReplicas": 0, "scaleTargetRef": {"kind": "D", "name": "d"}}},
            [
                "spec.maxReplicas: Required value: must be set and greater than 0",
                "spec.maxReplicas: Invalid value: 0: must be greater than or equal to "
                "`minReplicas`",
                'spec.scaleTargetRef.apiVersion: Invalid value: "": apiVersion must specify API '
                "group",
            ],
        ),
        (
            "resourcequotas",
            {"spec": {"hard": {"pods": "1"}, "scopes": ["BestEffort", "NotBestEffort"]}},
            [
                'spec.scopes: Invalid value: ["BestEffort","NotBestEffort"]: conflicting scopes'
            ],
        ),
        (
            "limitranges",
            {"spec": {"limits": [{"type": "Pod", "default": {"cpu": "1"}}]}},
            ["spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'"],
        ),
        (
            "priorityclasses.scheduling.k8s.io",
            {"value": 1_000_000_001},
            ["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"],
        ),
        (
            "nodes",
            {"spec": {"taints": [{"key": "k", "effect": "Nope"}]}},
            [
                'metadata.taints[0].effect: Unsupported value: "Nope": supported values: '
                '"NoSchedule", "PreferNoSchedule", "NoExecute"'
            ],
        ),
        (
            "leases.coordination.k8s.io",
            {"spec": {"leaseDurationSeconds": 0}},
            ["spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"],
        ),
        (
            "csidrivers.storage.k8s.io",
            {"spec": {"tokenRequests": [{"audience": "a"}, {"audience": "a"}]}},
            ['spec.tokenRequests[1].audience: Duplicate value: "a"'],
        ),
        (
            "endpointslices.discovery.k8s.io",
            {"addressType": "IPv4", "endpoints": [{"addresses": []}]},
            ["endpoints[0].addresses: Required value: must contain at least 1 address"],
        ),
    ],
)  # fmt: skip
def test_a_wrong_object_is_refused_in_kubernetes_words(bench, ref, obj, causes):
    assert bench.refused(ref, obj) == causes


def test_frozen_config_stays_and_cannot_thaw(bench):
    bench.create("configmaps", {"data": {"a": "1"}, "immutable": True})
    assert bench.patch_refused("configmaps", {"data": {"a": "2"}}) == [
        "data: Forbidden: field is immutable when `immutable` is set"
    ]
    assert bench.patch_refused("configmaps", {"immutable": None}) == [
        "immutable: Forbidden: field is immutable when `immutable` is set"
    ]


def test_a_secret_takes_plain_text_and_keeps_its_type(bench):
    made = bench.made("secrets", {"stringData": {"a": "b"}})
    assert (made["data"], made["type"]) == ({"a": encoded("b")}, "Opaque")
    assert "stringData" not in made
    assert bench.patch_refused("secrets", {"type": "x/y"}) == [
        'type: Invalid value: "x/y": field is immutable'
    ]


def test_a_claim_grows_only_once_it_is_bound(bench):
    bench.create("persistentvolumeclaims", {"spec": CLAIM})
    more = {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}
    (cause,) = bench.patch_refused("persistentvolumeclaims", more)
    assert cause.splitlines()[0] == (
        "spec: Forbidden: spec is immutable after creation except resources.requests and "
        "volumeAttributesClassName for bound claims"
    )
    bound = {"status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}}
    bench.patch("persistentvolumeclaims", bound, subresource="status")
    made = bench.patch("persistentvolumeclaims", more)
    assert made["spec"]["resources"]["requests"] == {"storage": "2Gi"}
    less = {"spec": {"resources": {"requests": {"storage": "1Gi"}}}}
    assert bench.patch_refused("persistentvolumeclaims", less) == [
        "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"
    ]


def test_a_volume_keeps_its_source(bench):
    bench.create("persistentvolumes", {"spec": VOLUME})
    (cause,) = bench.patch_refused("persistentvolumes", {"spec": {"hostPath": {"path": "/y"}}})
    assert cause.splitlines()[0] == (
        "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after "
        "creation"
    )


def test_a_volume_remembers_when_its_phase_changed(bench):
    made = bench.made("persistentvolumes", {"spec": VOLUME})
    assert made["status"]["phase"] == "Pending"
    assert made["status"]["lastPhaseTransitionTime"]


def test_a_binding_keeps_its_role(bench):
    bench.create("rolebindings.rbac.authorization.k8s.io", {"roleRef": ROLE})
    (cause,) = bench.patch_refused(
        "rolebindings.rbac.authorization.k8s.io", {"roleRef": {"name": "other"}}
    )
    assert cause.startswith("roleRef: Invalid value: {")
    assert cause.endswith(": cannot change roleRef")


def test_a_namespace_carries_its_name_as_a_label(bench):
    made = bench.made("namespaces", {})
    assert made["metadata"]["labels"] == {"kubernetes.io/metadata.name": "a"}
    assert (made["spec"], made["status"]) == ({"finalizers": ["kubernetes"]}, {"phase": "Active"})


def test_an_ingress_path_is_absolute(bench):
    backend = {"service": {"name": "s", "port": {"number": 80}}}
    path = {"path": "x", "pathType": "Exact", "backend": backend}
    spec = {"rules": [{"http": {"paths": [path]}}]}
    assert bench.refused("ingresses.networking.k8s.io", {"spec": spec}) == [
        'spec.rules[0].http.paths[0].path: Invalid value: "x": must be an absolute path'
    ]


def test_an_empty_list_is_owned_and_kept_as_null(bench):
    made = bench.made("clusterroles.rbac.authorization.k8s.io", {"rules": []})
    assert made["rules"] is None
    assert made["metadata"]["managedFields"][0]["fieldsV1"] == {"f:rules": {}}


def test_deprecated_words_are_warned_about(bench):
    backend = {"service": {"name": "s", "port": {"number": 80}}}
    meta = {"name": "a", "annotations": {"kubernetes.io/ingress.class": "x"}}
    written = bench.create(
        "ingresses.networking.k8s.io", {"metadata": meta, "spec": {"defaultBackend": backend}}
    )
    assert written.warnings == [
        'annotation "kubernetes.io/ingress.class" is deprecated, please use '
        "'spec.ingressClassName' instead"
    ]


def test_a_rule_may_name_objects_of_several_resources(bench):
    rule = {"apiGroups": [""], "resources": ["pods", "secrets"], "resourceNames": ["a"]}
    bench.create("roles.rbac.authorization.k8s.io", {"rules": [rule | {"verbs": ["get"]}]})


def test_a_subject_has_a_name(bench):
    body = {
        "roleRef": {"kind": "Role", "name": "a", "apiGroup": "rbac.authorization.k8s.io"},
        "subjects": [{"kind": "User"}],
    }
    assert bench.refused("rolebindings.rbac.authorization.k8s.io", body) == [
        "subjects[0].name: Required value"
    ]


CONDITION = {
    "type": "Ready",
    "status": "True",
    "reason": "Made",
    "message": "",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}
RULES = [
    {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
]


@pytest.mark.parametrize(
    ("ref", "body"),
    [
        ("servicecidrs.networking.k8s.io", {"spec": {"cidrs": ["10.9.0.0/24"]}}),
        (
            "apiservices.apiregistration.k8s.io",
            {
                "metadata": {"name": "v1.x.example.com"},
                "spec": {
                    "group": "x.example.com",
                    "version": "v1",
                    "groupPriorityMinimum": 9,
                    "versionPriority": 9,
                },
            },
        ),
        (
            "validatingadmissionpolicies.admissionregistration.k8s.io",
            {
                "spec": {
                    "matchConstraints": {"resourceRules": RULES},
                    "validations": [{"expression": "true"}],
                }
            },
        ),
    ],
    ids=["service-cidr", "api-service", "policy"],
)
def test_a_status_write_leaves_labels_alone(bench, ref, body):
    name = bench.made(ref, body)["metadata"]["name"]
    labelled = bench.patch(ref, {"metadata": {"labels": {"l": "1"}}}, name, subresource="status")
    assert "labels" not in labelled["metadata"]


def test_the_status_of_a_service_cidr_stands_apart(bench):
    ref, ready = "servicecidrs.networking.k8s.io", {"conditions": [CONDITION]}
    made = bench.made(ref, {"spec": {"cidrs": ["10.9.0.0/24"]}, "status": ready})
    assert made["status"] == {}
    assert bench.view.update(ref, {**made, "status": ready}).object()["status"] == {}


OLD_LABEL = {"beta.kubernetes.io/os": "linux"}
SLICE = {
    "driver": "gpu.example.com",
    "nodeName": "n",
    "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1},
}


@pytest.mark.parametrize(
    ("ref", "body", "warning"),
    [
        (
            "csistoragecapacities.storage.k8s.io",
            {"storageClassName": "a", "nodeTopology": {"matchLabels": OLD_LABEL}},
            'nodeTopology.matchLabels.beta.kubernetes.io/os: deprecated since v1.14; use "kubernetes',
        ),
        (
            "runtimeclasses.node.k8s.io",
            {"handler": "h", "scheduling": {"nodeSelector": OLD_LABEL}},
            'scheduling.nodeSelector: deprecated since v1.14; use "kubernetes.io/os" instead',
        ),
        (
            "resourceslices.resource.k8s.io",
            {"spec": SLICE | {"driver": "GPU.example.com"}},
            'spec.driver: driver names should be lowercase; "GPU.example.com" contains uppercase',
        ),
    ],
    ids=["capacity", "runtime-class", "slice"],
)
def test_what_is_outdated_is_warned_of(bench, ref, body, warning):
    (told,) = bench.create(ref, body).warnings
    assert told.startswith(warning)


def test_a_taint_of_a_device_is_stamped_once(bench):
    ref = "resourceslices.resource.k8s.io"
    taint = {"key": "broken", "effect": "NoSchedule"}
    made = bench.made(ref, {"spec": SLICE | {"devices": [{"name": "d", "taints": [taint]}]}})
    stamped = made["spec"]["devices"][0]["taints"][0]
    assert stamped["timeAdded"].endswith("Z")
    assert bench.view.update(ref, made).object()["spec"] == made["spec"]


@pytest.mark.parametrize(
    ("device", "field", "text"),
    [
        ({"attributes": {"a b": {"int": 1}}}, "attributes[a b]", "a valid C identifier"),
        ({"attributes": {"/a": {"int": 1}}}, "attributes[/a]", "the domain must not be empty"),
        ({"attributes": {"a/b/c": {"int": 1}}}, "attributes[a/b/c]", "more than one slash"),
        ({"attributes": {"a": {}}}, "attributes[a]", "exactly one value must be specified"),
        (
            {"attributes": {"a": {"int": 1, "bool": True}}},
            "attributes[a]",
            "exactly one value must be specified",
        ),
        ({"attributes": {"a": {"version": "1"}}}, "attributes[a].version", "semver.org"),
        ({"attributes": {"a": {"string": "x" * 65}}}, "attributes[a].string", "64 bytes"),
        (
            {"capacity": {"a": {"value": "1", "requestPolicy": {}}}},
            "capacity[a].requestPolicy",
            "allowMultipleAllocations must be true",
        ),
        ({"taints": [{"key": "a", "effect": "X"}]}, "taints[0].effect", "Unsupported value"),
        ({"allNodes": True}, "", "can only be set if `perDeviceNodeSelection`"),
    ],
)
def test_a_slice_is_refused_for_what_it_says_of_a_device(bench, device, field, text):
    body = {"spec": SLICE | {"devices": [{"name": "d"} | device]}}
    (cause,) = bench.refused("resourceslices.resource.k8s.io", body)
    where = f"spec.devices[0].{field}" if field else "spec.devices[0]"
    assert cause.startswith(f"{where}: ")
    assert text in cause


def test_good_devices_are_taken(bench):
    device = {
        "name": "d",
        "attributes": {"model": {"string": "x"}, "gpu.example.com/v": {"version": "1.2.3-a.1+b"}},
        "capacity": {"memory": {"value": "1Gi"}},
    }
    bench.made("resourceslices.resource.k8s.io", {"spec": SLICE | {"devices": [device]}})


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("", "Syntax error"),
        ("1", "must evaluate to bool or the unknown type, not int"),
        ("device.colour == 'red'", "undefined field 'colour'"),
        ("1 +", "Syntax error"),
        ("device.driver == 'gpu.example.com'", None),
        ("device.attributes['gpu.example.com'].ready", None),
        ("device.capacity['gpu.example.com'].memory.compareTo(quantity('1Gi')) >= 0", None),
        ("cel.bind(gpu, device.attributes['gpu.example.com'], gpu.ready)", None),
    ],
)
def test_what_chooses_devices_says_yes_or_no_of_one(bench, expression, text):
    body = {"spec": {"selectors": [{"cel": {"expression": expression}}]}}
    if text is None:
        bench.made("deviceclasses.resource.k8s.io", body)
        return
    (cause,) = bench.refused("deviceclasses.resource.k8s.io", body)
    assert cause.startswith("spec.selectors[0].cel.expression: ")
    assert text in cause
