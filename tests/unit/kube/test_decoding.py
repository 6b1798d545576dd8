"""Bodies become objects as a Kubernetes API server makes them; texts are the recorded ones."""

import pytest

from understudy.kapi.resources import builtins
from understudy.kube import conversions, decoding, objects, statuses

CATALOGUE = builtins.catalogue()


def decode(ref, obj, mode="Strict", duplicates=()):
    resource = CATALOGUE.named(ref)
    return decoding.decode(
        obj,
        resource.schema,
        mode=mode,
        api_version=resource.api_version,
        kind=resource.kind,
        duplicates=duplicates,
    )


def pod(**spec):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": spec}


def refused(ref, obj, mode="Strict"):
    with pytest.raises(statuses.BadRequestError) as raised:
        decode(ref, obj, mode)
    return raised.value.message


@pytest.mark.parametrize(
    ("ref", "obj", "problem"),
    [
        (
            "pods",
            pod(containers={}),
            "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type "
            "[]v1.Container",
        ),
        (
            "pods",
            pod(containers=[{"name": 1}]),
            "json: cannot unmarshal number into Go struct field Container.spec.containers.name of "
            "type string",
        ),
        (
            "pods",
            pod(containers=[], hostNetwork="yes"),
            "json: cannot unmarshal string into Go struct field PodSpec.spec.hostNetwork of type "
            "bool",
        ),
        (
            "pods",
            pod(containers=[{"name": "a", "imagePullPolicy": 1}]),
            "json: cannot unmarshal number into Go struct field "
            "Container.spec.containers.imagePullPolicy of type v1.PullPolicy",
        ),
        (
            "pods",
            pod(containers=[{"name": "a", "resources": {"limits": []}}]),
            "json: cannot unmarshal array into Go struct field "
            "ResourceRequirements.spec.containers.resources.limits of type v1.ResourceList",
        ),
        (
            "pods",
            pod(containers=[{"name": "a", "resources": {"limits": {"cpu": "1 core"}}}]),
            "quantities must match the regular expression "
            "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        (
            "deployments.apps",
            {"metadata": {"name": "a"}, "spec": {"replicas": 1.5}},
            "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas "
            "of type int32",
        ),
        (
            "deployments.apps",
            {"metadata": {"name": "a"}, "spec": {"replicas": 99999999999}},
            "json: cannot unmarshal number 99999999999 into Go struct field "
            "DeploymentSpec.spec.replicas of type int32",
        ),
        (
            "configmaps",
            {"metadata": {"name": "a", "annotations": {"a": 1}}},
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.annotations of "
            "type string",
        ),
        (
            "configmaps",
            {"metadata": {"name": "a"}, "data": "x"},
            "json: cannot unmarshal string into Go struct field ConfigMap.data of type "
            "map[string]string",
        ),
        (
            "leases.coordination.k8s.io",
            {"metadata": {"name": "a"}, "spec": {"renewTime": "2020-01-01"}},
            'parsing time "2020-01-01" as "2006-01-02T15:04:05.000000Z07:00": cannot parse "" as '
            '"T"',
        ),
        (
            "services",
            {"metadata": {"name": "a"}, "spec": {"ports": [{"port": 80, "targetPort": True}]}},
            "json: cannot unmarshal bool into Go struct field ServicePort.spec.ports.targetPort of "
            "type int32",
        ),
        ("secrets", {"metadata": {}, "data": {"k": "***"}}, "illegal base64 data at input byte 0"),
    ],
)
def test_a_value_of_a_wrong_type_is_refused_in_gos_words(ref, obj, problem):
    resource = CATALOGUE.named(ref)
    version = resource.version
    expected = f'{resource.kind} in version "{version}" cannot be handled as a {resource.kind}: '
    assert refused(ref, obj, "Ignore") == expected + problem


def test_an_unmarshalers_error_wins_over_an_earlier_type_error():
    obj = pod(hostNetwork="yes", containers=[{"name": "a", "resources": {"limits": {"cpu": "x"}}}])
    assert "quantities must match" in refused("pods", obj)


def test_unknown_fields_are_named_with_their_whole_path_in_order():
    container = {"name": "c", "imagee": "x", "ports": [{"containerPort": 80, "hostport": 3}]}
    assert refused("pods", pod(containers=[container], nodename="x")) == (
        'Pod in version "v1" cannot be handled as a Pod: strict decoding error: '
        'unknown field "spec.containers[0].imagee", '
        'unknown field "spec.containers[0].ports[0].hostport", unknown field "spec.nodename"'
    )


@pytest.mark.parametrize(("mode", "warned"), [("Warn", True), ("", True), ("Ignore", False)])
def test_unknown_fields_are_dropped_and_warned_of_only_in_mode_warn(mode, warned):
    obj = {"metadata": {"name": "a", "labelz": {}}, "data": {"k": "v"}, "spec": {"x": 1}}
    warnings = decode("configmaps", obj, mode)
    assert obj == {"metadata": {"name": "a"}, "data": {"k": "v"}}
    expected = ['unknown field "metadata.labelz"', 'unknown field "spec"']
    assert warnings == (expected if warned else [])


def test_duplicates_found_by_the_parser_count_as_strict_errors():
    body = b'{"metadata":{"name":"a","name":"a"},"data":{"k":"1","k":"2"}}'
    obj, duplicates = decoding.parse_json(body)
    assert obj["data"] == {"k": "2"}
    with pytest.raises(statuses.BadRequestError) as raised:
        decode("configmaps", obj, "Strict", duplicates)
    assert raised.value.message.endswith(
        'strict decoding error: duplicate field "metadata.name", duplicate field "data.k"'
    )


def test_duplicate_and_unknown_fields_are_told_in_the_order_of_the_body():
    body = b'{"one":1,"metadata":{"name":"a","name":"a","two":2},"data":{"k":"1","k":"2"},"x":1}'
    obj, duplicates = decoding.parse_json(body)
    assert decode("configmaps", obj, "Warn", duplicates) == [
        'unknown field "one"',
        'duplicate field "metadata.name"',
        'unknown field "metadata.two"',
        'duplicate field "data.k"',
        'unknown field "x"',
    ]


def test_duplicates_inside_what_the_types_do_not_look_at_go_unnoticed():
    body = b'{"nope":{"a":1,"a":2},"data":{"x":{"b":1,"b":2}},"revision":1,"revision":2}'
    obj, duplicates = decoding.parse_json(body)
    assert decode("controllerrevisions.apps", obj, "Warn", duplicates) == [
        'unknown field "nope"',
        'duplicate field "revision"',
    ]
    obj, duplicates = decoding.parse_json(b'{"data":{"x":{"b":1,"b":2}}}')
    assert decode("controllerrevisions.apps", obj, "Strict", duplicates) == []


@pytest.mark.parametrize(
    ("ref", "before", "after"),
    [
        (
            "pods",
            pod(containers=[{"name": "a", "env": [], "args": None, "stdin": False}]),
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": "a"},
                "spec": {"containers": [{"name": "a", "resources": {}}]},
                "status": {},
            },
        ),
        (
            "pods",
            {"spec": {"containers": [None], "securityContext": {"runAsNonRoot": False}}},
            {
                "metadata": {},
                "spec": {
                    "containers": [{"name": "", "resources": {}}],
                    "securityContext": {"runAsNonRoot": False},
                },
                "status": {},
            },
        ),
        (
            "deployments.apps",
            {"metadata": {"creationTimestamp": None}, "spec": {"replicas": 0, "paused": False}},
            {
                "metadata": {},
                "spec": {
                    "replicas": 0,
                    "selector": None,
                    "strategy": {},
                    "template": {"metadata": {}, "spec": {"containers": None}},
                },
                "status": {},
            },
        ),
        (
            "configmaps",
            {
                "metadata": {"creationTimestamp": "2020-01-01T00:00:00.5+02:00"},
                "data": {"a": None},
                "binaryData": {"b": "YR=="},
                "immutable": False,
            },
            {
                "metadata": {"creationTimestamp": "2019-12-31T22:00:00Z"},
                "data": {"a": ""},
                "binaryData": {"b": "YQ=="},
                "immutable": False,
            },
        ),
        (
            "limitranges",
            {
                "metadata": {},
                "spec": {
                    "limits": [{"type": "Container", "max": {"cpu": "1000m", "memory": 1024}}]
                },
            },
            {
                "metadata": {},
                "spec": {"limits": [{"type": "Container", "max": {"cpu": "1", "memory": "1024"}}]},
            },
        ),
        ("roles.rbac.authorization.k8s.io", {"metadata": {}}, {"metadata": {}, "rules": None}),
        (
            "roles.rbac.authorization.k8s.io",
            {"metadata": {}, "rules": []},
            {"metadata": {}, "rules": None},
        ),
        ("secrets", {"metadata": {}, "data": {"k": None}}, {"metadata": {}, "data": {"k": ""}}),
        (
            "services",
            {"metadata": {}, "spec": {"selector": {}, "ports": [{"port": 80}]}},
            {
                "metadata": {},
                "spec": {"ports": [{"port": 80, "targetPort": 0}]},
                "status": {"loadBalancer": {}},
            },
        ),
    ],
    ids=[
        "empties",
        "nulls",
        "zeros",
        "times-and-bytes",
        "quantities",
        "null-list",
        "empty-list",
        "bytes",
        "structs",
    ],
)
def test_an_object_becomes_what_gos_types_would_write_back(ref, before, after):
    assert decode(ref, before) == []
    assert before == after


@pytest.mark.parametrize(
    ("ref", "obj", "path"),
    [
        ("deployments.apps", {"spec": {"selector": {}}}, ("spec", "selector")),
        ("controllerrevisions.apps", {"data": {}, "revision": 1}, ("data",)),
        ("pods", pod(containers=[], securityContext={}), ("spec", "securityContext")),
        ("networkpolicies.networking.k8s.io", {"spec": {}}, ("spec", "podSelector")),
    ],
)
def test_an_empty_object_that_means_something_is_kept(ref, obj, path):
    decode(ref, obj)
    assert objects.lookup(obj, path) == {}


def test_decoding_twice_changes_nothing_more():
    obj = pod(containers=[{"name": "a", "resources": {"limits": {"memory": "2048Mi"}}}])
    decode("pods", obj)
    once = decoding.parse_json(str(obj).replace("'", '"').encode())[0]
    decode("pods", obj)
    assert obj == once
    assert obj["spec"]["containers"][0]["resources"]["limits"] == {"memory": "2Gi"}


def test_the_fast_and_the_careful_way_give_the_same_object():
    obj = pod(
        containers=[{"name": "a", "ports": [{"containerPort": 1}], "env": [{"name": "x"}]}],
        volumes=[{"name": "v", "emptyDir": {}}],
        tolerations=[{"key": "k", "tolerationSeconds": 0}],
    )
    careful, complaints = conversions.convert(obj, CATALOGUE.named("pods").schema)
    assert complaints == []
    decode("pods", obj)
    assert obj == careful


def test_schemas_inside_a_definition_may_be_booleans_or_lists():
    props = {"items": {"type": "string", "nope": 1}, "additionalProperties": True, "nope2": 1}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": props}}
    spec = {
        "group": "g",
        "names": {"kind": "K", "plural": "ks"},
        "scope": "Cluster",
        "versions": [version],
    }
    crd = {"metadata": {"name": "a"}, "spec": spec}
    warnings = decode("customresourcedefinitions.apiextensions.k8s.io", crd, "Warn")
    assert warnings == ['unknown field "spec.versions[0].schema.openAPIV3Schema.nope2"']
    kept = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert kept == {"items": {"type": "string"}, "additionalProperties": True}


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (
            b'{"apiVersion":"v1","kind":"ConfigMap"',
            'json parse error: unexpected end of JSON input ({"apiVersion":"v1","kind":"Con ...)',
        ),
        (b"", "json parse error: unexpected end of JSON input (<empty>)"),
        (
            b"[]",
            "json parse error: json: cannot unmarshal array into Go value of type struct { "
            'APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string '
            '"json:\\"kind,omitempty\\"" } (5b5d)',
        ),
    ],
)
def test_a_body_that_is_no_object_is_refused_with_its_beginning(body, problem):
    with pytest.raises(statuses.BadRequestError) as raised:
        decoding.parse_json(body, "ConfigMap")
    assert raised.value.message == (
        "the object provided is unrecognized (must be of type ConfigMap): couldn't get "
        "version/kind; " + problem
    )


def test_null_is_an_empty_object():
    assert decoding.parse_json(b"null") == ({}, [])


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":{"b":1,"b" :2}}',
        b'{"a":{"b":1,"b"\n:2},"s":"x\\":"}',
        b'{ "a": { "b": 1, "b": 2 } }',
        b'{"a":{"b":"\\u0022:","b":"\\u0022:"}}',
    ],
)
def test_duplicate_fields_are_found_however_they_are_spelt(body):
    assert decoding.parse_json(body)[1] == ['duplicate field "a.b"']


def test_text_that_looks_like_keys_is_no_duplicate():
    body = b'{"a":"{\\"a\\":1,\\"a\\":2}","b":["a\\":","a\\":"], "c" : "\\u0022:"}'
    assert decoding.parse_json(body)[1] == []


def test_yaml_keys_that_come_twice_are_told_with_their_line():
    body = b"kind: ConfigMap\nmetadata: {name: a}\ndata: {a: b}\ndata: {c: d}\n"
    obj, complaints = decoding.parse_yaml(body)
    assert obj["data"] == {"c": "d"}
    assert complaints == ['yaml: unmarshal errors:\n  line 4: key "data" already set in map']


def test_yaml_may_be_json():
    assert decoding.parse_yaml(b' {"a": 1}') == ({"a": 1}, [])


def test_a_kind_that_is_no_text_is_refused_before_anything_else():
    with pytest.raises(statuses.BadRequestError) as raised:
        decoding.parse_json(b'{"apiVersion":1,"kind":"Pod"}', "Pod")
    assert raised.value.message == (
        "the object provided is unrecognized (must be of type Pod): couldn't get version/kind; "
        "json parse error: json: cannot unmarshal number into Go struct field .apiVersion of type "
        'string ({"apiVersion":1,"kind":"Pod"})'
    )
