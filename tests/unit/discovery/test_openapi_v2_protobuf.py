"""`/openapi/v2` as protobuf says what the JSON says, message by message."""

import json

import pytest

from understudy.kapi.discovery import openapi_v2, openapi_v2_protobuf
from understudy.kapi.resources import builtins

CATALOGUE = builtins.catalogue()
JSON = openapi_v2.document(CATALOGUE).value()


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def fields(data):
    """Return the fields of a message: its number to the list of its values."""
    found, at = {}, 0
    while at < len(data):
        key, at = varint(data, at)
        assert key & 7 in {0, 2}, "numbers with points are not part of these documents"
        value, at = varint(data, at)
        if key & 7 == 2:
            value, at = data[at : at + value], at + value
        found.setdefault(key >> 3, []).append(value)
    return found


def named(messages):
    """Return the pairs of a map as a mapping."""
    pairs = (fields(message) for message in messages)
    return {pair[1][0].decode(): pair.get(2, [b""])[0] for pair in pairs}


def extensions(messages):
    return {key: json.loads(fields(value)[2][0]) for key, value in named(messages).items()}


@pytest.fixture(scope="module")
def document():
    return fields(openapi_v2_protobuf.document(CATALOGUE).body)


def test_it_names_the_same_definitions_and_paths(document):
    assert document[1] == [b"2.0"]
    assert list(named(fields(document[9][0])[1])) == list(JSON["definitions"])
    assert list(named(fields(document[8][0])[2])) == list(JSON["paths"])


def test_a_definition_has_its_properties_types_and_extensions(document):
    definitions = named(fields(document[9][0])[1])
    name = "io.k8s.api.core.v1.PodSpec"
    spec, expected = fields(definitions[name]), JSON["definitions"][name]
    properties = named(fields(spec[25][0])[1])
    assert list(properties) == list(expected["properties"])
    assert [text.decode() for text in spec[19]] == expected["required"]
    containers = fields(properties["containers"])
    assert fields(containers[22][0])[1] == [b"array"]
    assert fields(fields(containers[23][0])[1][0])[1] == [
        b"#/definitions/io.k8s.api.core.v1.Container"
    ]
    assert extensions(containers[31])["x-kubernetes-patch-merge-key"] == "name"
    selector = fields(properties["nodeSelector"])
    assert fields(fields(fields(selector[21][0])[1][0])[22][0])[1] == [b"string"]
    pod = fields(definitions["io.k8s.api.core.v1.Pod"])
    assert extensions(pod[31])["x-kubernetes-group-version-kind"] == [
        {"group": "", "kind": "Pod", "version": "v1"}
    ]


def test_an_operation_has_its_parameters_and_its_kind(document):
    paths = named(fields(document[8][0])[2])
    item = fields(paths["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"])
    patch = fields(item[8][0])
    assert extensions(patch[13])["x-kubernetes-group-version-kind"]["kind"] == "Deployment"
    queries = set()
    bodies = []
    for parameter in patch[8]:
        kind = fields(fields(parameter)[1][0])
        if 1 in kind:
            bodies.append(fields(kind[1][0])[2][0])
        else:
            queries.add(fields(fields(kind[2][0])[3][0])[4][0])
    assert bodies == [b"body"]
    assert {b"dryRun", b"fieldManager", b"fieldValidation", b"force"} <= queries
    answers = named(fields(patch[9][0])[1])
    assert set(answers) == {"200", "201", "401"}
