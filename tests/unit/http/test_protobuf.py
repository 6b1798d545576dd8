"""Protobuf bodies stand for the same objects as their JSON; encoded here by hand."""

import struct

import pytest

from understudy.kapi.http import protobuf
from understudy.kapi.resources import builtins
from understudy.kube import decoding, statuses

CATALOGUE = builtins.catalogue()


def varint(number):
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def msg(*fields):
    """Encode (number, value) pairs: int as varint, float as double, str and bytes with a length."""
    out = b""
    for number, value in fields:
        if isinstance(value, float):
            out += varint(number << 3 | 1) + struct.pack("<d", value)
        elif isinstance(value, int):
            out += varint(number << 3) + varint(int(value))
        else:
            data = value.encode() if isinstance(value, str) else value
            out += varint(number << 3 | 2) + varint(len(data)) + data
    return out


def body(api_version, kind, *fields):
    meta = msg((1, api_version), (2, kind))
    return b"k8s\x00" + msg((1, meta), (2, msg(*fields)), (3, ""), (4, ""))


def named(name):
    """Encode ObjectMeta as Go does: strings that are empty are written too."""
    empties = [(number, "") for number in (2, 3, 4, 5, 6)]
    return msg((1, name), *empties, (7, 0), (8, b""))


def test_a_configmap_as_kubectl_sends_it():
    sent = body(
        "v1",
        "ConfigMap",
        (1, named("settings")),
        (2, msg((1, "k"), (2, "v"))),
        (2, msg((1, "e"), (2, ""))),
        (3, msg((1, "b"), (2, b"\x00\xff"))),
    )
    assert protobuf.decode(sent) == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "settings"},
        "data": {"k": "v", "e": ""},
        "binaryData": {"b": "AP8="},
    }


def test_a_deployment_with_its_inlined_and_special_types():
    probe = msg((1, msg((2, msg((1, "/ok"), (2, msg((1, 1), (2, 0), (3, "http"))))))), (2, 5))
    limits = msg((1, "cpu"), (2, msg((1, "500m"))))
    container = msg(
        (1, "web"),
        (2, "nginx"),
        (6, msg((1, ""), (2, 0), (3, 8080), (4, "TCP"))),
        (8, msg((1, limits))),
        (10, probe),
        (16, 0),
    )
    volume = msg((1, "tmp"), (2, msg((2, msg((1, ""))))))
    template = msg((1, named("")), (2, msg((1, volume), (2, container), (4, 0))))
    surge = msg((1, 0), (2, -1 & (1 << 64) - 1), (3, ""))
    spec = msg(
        (1, 0),
        (2, msg((1, msg((1, "app"), (2, "web"))))),
        (3, template),
        (4, msg((1, "RollingUpdate"), (2, msg((2, surge))))),
        (5, 0),
        (7, 0),
    )
    found = protobuf.decode(body("apps/v1", "Deployment", (1, named("web")), (2, spec), (3, b"")))
    assert found["spec"] == {
        "replicas": 0,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {},
            "spec": {
                "volumes": [{"name": "tmp", "emptyDir": {}}],
                "containers": [
                    {
                        "name": "web",
                        "image": "nginx",
                        "ports": [{"containerPort": 8080, "protocol": "TCP"}],
                        "resources": {"limits": {"cpu": "500m"}},
                        "livenessProbe": {
                            "httpGet": {"path": "/ok", "port": "http"},
                            "initialDelaySeconds": 5,
                        },
                    }
                ],
                "terminationGracePeriodSeconds": 0,
            },
        },
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": -1}},
    }


def test_what_is_decoded_is_what_the_kind_would_write():
    sent = body("v1", "Pod", (1, named("a")), (2, msg((2, msg((1, "c"), (2, "i"))), (11, 0))))
    obj = protobuf.decode(sent)
    assert (
        decoding.decode(
            obj, CATALOGUE.named("pods").schema, mode="Strict", api_version="v1", kind="Pod"
        )
        == []
    )
    assert obj == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "a"},
        "spec": {"containers": [{"name": "c", "image": "i", "resources": {}}]},
        "status": {},
    }


def test_times_are_written_as_text():
    renew = msg((1, 1577934245), (2, 500_000_000))
    spec = msg((1, "me"), (2, 15), (4, renew), (5, 3))
    found = protobuf.decode(body("coordination.k8s.io/v1", "Lease", (1, named("l")), (2, spec)))
    assert found["spec"] == {
        "holderIdentity": "me",
        "leaseDurationSeconds": 15,
        "renewTime": "2020-01-02T03:04:05.500000Z",
        "leaseTransitions": 3,
    }
    event = body("v1", "Event", (1, named("e")), (6, msg((1, 1577934245), (2, 0))), (7, b""))
    assert protobuf.decode(event)["firstTimestamp"] == "2020-01-02T03:04:05Z"
    assert "lastTimestamp" not in protobuf.decode(event)


def test_delete_options_are_known_in_every_group():
    options = [(1, 0), (2, msg((1, "some-uid"))), (4, "Background"), (5, "All")]
    for api_version in ("v1", "apps/v1", "stable.example.com/v1"):
        assert protobuf.decode(body(api_version, "DeleteOptions", *options)) == {
            "apiVersion": api_version,
            "kind": "DeleteOptions",
            "gracePeriodSeconds": 0,
            "preconditions": {"uid": "some-uid"},
            "propagationPolicy": "Background",
            "dryRun": ["All"],
        }


def test_a_binding_an_eviction_and_a_token_request():
    target = msg((1, "Node"), (3, "n1"))
    assert protobuf.decode(body("v1", "Binding", (1, named("p")), (2, target)))["target"] == {
        "kind": "Node",
        "name": "n1",
    }
    eviction = protobuf.decode(body("policy/v1", "Eviction", (1, named("p")), (2, msg((1, 5)))))
    assert eviction["deleteOptions"] == {"gracePeriodSeconds": 5}
    request = body(
        "authentication.k8s.io/v1", "TokenRequest", (1, named("")), (2, msg((1, "api"), (4, 600)))
    )
    assert protobuf.decode(request)["spec"] == {"audiences": ["api"], "expirationSeconds": 600}


def test_an_access_review_with_wrapped_lists_of_strings():
    extra = msg((1, "scopes"), (2, msg((1, "a"), (1, "b"))))
    spec = msg((1, msg((2, "get"), (5, "pods"))), (3, "jane"), (4, "devs"), (5, extra))
    found = protobuf.decode(
        body("authorization.k8s.io/v1", "SubjectAccessReview", (1, named("")), (2, spec))
    )
    assert found["spec"] == {
        "resourceAttributes": {"verb": "get", "resource": "pods"},
        "user": "jane",
        "groups": ["devs"],
        "extra": {"scopes": ["a", "b"]},
    }


def test_a_definition_with_schemas_of_every_shape():
    string = msg((5, "string"))
    props = msg(
        (5, "object"),
        (8, msg((1, '{"a":1}'))),
        (9, 2.5),
        (20, msg((1, "1"))),
        (24, msg((1, string))),
        (29, msg((1, "a"), (2, msg((24, msg((2, string), (2, string))), (38, 1))))),
        (30, msg((1, 1))),
        (32, msg((1, "d"), (2, msg((2, "x"), (2, "y"))))),
        (33, msg((1, 1), (2, string))),
    )
    version = msg((1, "v1"), (2, 1), (3, 1), (4, msg((1, props))))
    found = protobuf.decode(
        body(
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            (1, named("x")),
            (2, msg((1, "g"), (7, version))),
        )
    )
    assert found["spec"]["versions"][0]["schema"]["openAPIV3Schema"] == {
        "type": "object",
        "default": {"a": 1},
        "maximum": 2.5,
        "enum": [1],
        "items": {"type": "string"},
        "properties": {
            "a": {
                "items": [{"type": "string"}, {"type": "string"}],
                "x-kubernetes-preserve-unknown-fields": True,
            }
        },
        "additionalProperties": True,
        "dependencies": {"d": ["x", "y"]},
        "additionalItems": {"type": "string"},
    }


def test_managed_fields_and_raw_objects_are_json_inside():
    entry = msg((1, "m"), (2, "Update"), (3, "v1"), (6, "FieldsV1"), (7, msg((1, '{"f:a":{}}'))))
    meta = msg((1, "r"), (17, entry))
    found = protobuf.decode(
        body("apps/v1", "ControllerRevision", (1, meta), (2, msg((1, '{"x":[1]}'))), (3, 2))
    )
    assert found["data"] == {"x": [1]}
    assert found["revision"] == 2
    assert found["metadata"]["managedFields"][0]["fieldsV1"] == {"f:a": {}}


def test_numbers_may_be_packed():
    packed = b"".join(varint(number) for number in (1, 2, 300))
    one = protobuf.decode(body("v1", "Pod", (2, msg((14, msg((4, packed)))))))
    assert one["spec"]["securityContext"] == {"supplementalGroups": [1, 2, 300]}
    apart = body("v1", "Pod", (2, msg((14, msg((4, 1), (4, 300))))))
    assert protobuf.decode(apart)["spec"]["securityContext"] == {"supplementalGroups": [1, 300]}


@pytest.mark.parametrize(
    ("sent", "problem"),
    [
        (b"", "empty data"),
        (b"{}", "expected prefix [107 56 115 0]"),
        (b"k8s\x00", "empty body"),
        (b"k8s\x00\x0a\x7f", "unexpected EOF"),
        (b"k8s\x00\x0b", "illegal wireType 3"),
        (body("v1", "Nope"), 'no kind "Nope" is registered for version "v1"'),
        (body("v9", "Pod"), 'no kind "Pod" is registered for version "v9"'),
    ],
)
def test_what_is_no_message_is_refused(sent, problem):
    with pytest.raises(statuses.BadRequestError) as raised:
        protobuf.decode(sent)
    assert problem in raised.value.message


def test_an_unreadable_body_is_shown_in_hex_with_the_kind_expected():
    with pytest.raises(statuses.BadRequestError) as raised:
        protobuf.decode(b"\x01\x02", "Pod")
    assert raised.value.message == (
        "the object provided is unrecognized (must be of type Pod): provided data does not appear "
        "to be a protobuf message, expected prefix [107 56 115 0] (0102)"
    )
