"""The fast way of decoding and the careful one agree on every object, right or wrong."""

import pytest
from hypothesis import given, settings, strategies as st

from understudy.kapi.resources import builtins
from understudy.kube import conversions, decoding, objects

CATALOGUE = builtins.catalogue()
REFS = [
    "pods",
    "services",
    "secrets",
    "deployments.apps",
    "leases.coordination.k8s.io",
    "roles.rbac.authorization.k8s.io",
    "networkpolicies.networking.k8s.io",
    "horizontalpodautoscalers.autoscaling",
    "customresourcedefinitions.apiextensions.k8s.io",
]
SCALARS = {
    "quantity": st.sampled_from(["1", "1000m", "0.5", "1Gi", "2048Mi", "x", 3]),
    "int-or-string": st.sampled_from([0, 80, "http", "25%", 1.5]),
    "date-time": st.sampled_from(["2020-01-02T03:04:05Z", "2020-01-02T03:04:05.5+01:00", "never"]),
    "micro-time": st.sampled_from(["2020-01-02T03:04:05.123456Z", "2020-01-02T03:04:05Z"]),
    "byte": st.sampled_from(["", "YQ==", "YR==", "YQ", "***", "YQ==\n"]),
    "schema-or-bool": st.sampled_from([True, {"type": "string"}, "x"]),
    "schema-or-array": st.sampled_from([[{"type": "string"}], {"type": "string"}]),
    "schema-or-strings": st.sampled_from([["a"], {}, [1]]),
}
TYPES = {
    "string": st.sampled_from(["", "a", "b"]),
    "boolean": st.booleans(),
    "integer": st.sampled_from([0, 1, -1, 1 << 31, 1 << 62, 1.5]),
    "number": st.sampled_from([0, 1.5, 7]),
}
STRANGE = st.sampled_from([None, None, None, 1, "x", True, [], {}, {"nope": 1}])


def value_of(draw, node, depth):
    """Draw a value that mostly fits a node, sometimes nothing like it."""
    if draw(st.integers(0, 60)) == 0:
        return draw(STRANGE)
    if node.format in SCALARS:
        return draw(SCALARS[node.format])
    if node.fields is not None:
        if depth == 0:
            return {}
        names = draw(st.lists(st.sampled_from(sorted(node.fields) or ["x"]), max_size=5))
        if draw(st.integers(0, 40)) == 0:
            names.append("unknown")
        return {
            name: value_of(draw, node.fields[name], depth - 1) if name in node.fields else 1
            for name in names
        }
    if node.type == "array" and node.items is not None:
        return [value_of(draw, node.items, depth - 1) for _ in range(draw(st.integers(0, 2)))]
    if node.values is not None:
        keys = draw(st.lists(st.sampled_from(["a", "b.c/d"]), max_size=2, unique=True))
        return {key: value_of(draw, node.values, depth - 1) for key in keys}
    return draw(TYPES.get(node.type, STRANGE))


@st.composite
def bodies(draw):
    ref = draw(st.sampled_from(REFS))
    schema = CATALOGUE.named(ref).schema
    obj = value_of(draw, schema, 6)
    return schema, obj if isinstance(obj, dict) else {}


def outcome(convert):
    try:
        return convert()
    except conversions.ConversionError as error:
        return f"refused: {error}"


@settings(max_examples=800, deadline=None)
@given(bodies())
def test_both_ways_give_the_same_object_and_the_same_words(drawn):
    schema, obj = drawn
    fast = objects.copy(obj)

    def quickly():
        complaints = decoding.convert(fast, schema)
        return fast, complaints

    assert outcome(quickly) == outcome(lambda: conversions.convert(objects.copy(obj), schema))


@settings(max_examples=200, deadline=None)
@given(bodies())
def test_what_was_decoded_decodes_to_itself(drawn):
    schema, obj = drawn
    try:
        decoding.convert(obj, schema)
    except conversions.ConversionError:
        return
    again = objects.copy(obj)
    assert decoding.convert(again, schema) == []
    assert again == obj


@pytest.mark.parametrize("ref", REFS)
def test_an_empty_object_becomes_the_kinds_zero_value(ref):
    schema = CATALOGUE.named(ref).schema
    obj = {}
    decoding.convert(obj, schema)
    assert obj == conversions.zero(schema)
