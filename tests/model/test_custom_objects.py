"""Laws of pruning and defaulting: doing it again changes nothing, and what fits stays."""

import copy

from hypothesis import example, given, settings, strategies as st

from understudy.kapi.resources.crds import nodes, validating, values

NAMES = st.sampled_from(["a", "b", "c", "metadata"])
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from(["", "x", "10%"]), st.just(1.5)
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=10,
)
LEAVES = st.sampled_from(
    [
        {"type": "string", "minLength": 1},
        {"type": "string", "enum": ["", "x", "d"], "default": "d"},
        {"type": "integer", "minimum": 0, "multipleOf": 2},
        {"type": "string", "anyOf": [{"pattern": "x"}, {"maxLength": 0}]},
        {"type": "integer", "default": 7},
        {"type": "integer", "nullable": True},
        {"type": "boolean"},
        {"type": "number", "nullable": True, "default": 1.5},
        {"x-kubernetes-int-or-string": True, "default": "5%"},
        {"x-kubernetes-preserve-unknown-fields": True},
    ]
)


def extended(inner):
    objects = st.dictionaries(NAMES, inner, max_size=3).map(
        lambda properties: {"type": "object", "properties": properties}
    )
    return st.one_of(
        objects,
        objects.map(lambda schema: schema | {"x-kubernetes-preserve-unknown-fields": True}),
        objects.map(lambda schema: schema | {"default": {}}),
        objects.map(lambda schema: schema | {"nullable": True, "required": ["a"]}),
        objects.map(lambda schema: schema | {"maxProperties": 1}),
        inner.map(lambda item: {"type": "array", "items": item}),
        inner.map(lambda value: {"type": "object", "additionalProperties": value}),
    )


SCHEMAS = st.dictionaries(NAMES, st.recursive(LEAVES, extended, max_leaves=8), max_size=3).map(
    lambda properties: {"type": "object", "properties": properties}
)
DOCUMENTS = st.dictionaries(NAMES, JSON, max_size=4)


def normal(node, document):
    out = copy.deepcopy(document)
    unknown = values.normalize(node, out)
    return out, unknown


@settings(max_examples=300)
@given(SCHEMAS, DOCUMENTS)
@example(
    {
        "type": "object",
        "additionalProperties": {
            "type": "object",
            "properties": {"b": {"type": "string", "default": "d"}},
            "default": {},
        },
    },
    {"a": None},
)
def test_a_normal_object_is_normal(schema, document):
    node = nodes.parse(schema)
    once, _ = normal(node, document)
    twice, unknown = normal(node, once)
    assert twice == once
    assert unknown == []


@settings(max_examples=300)
@given(SCHEMAS, DOCUMENTS)
def test_an_object_loses_fields_only_if_some_are_unknown_or_null(schema, document):
    node = nodes.parse(schema)
    after, unknown = normal(node, document)
    if not unknown:
        assert contains(after, document)


def contains(after, before):
    """Say whether everything but nulls is still there."""
    if isinstance(before, dict):
        return isinstance(after, dict) and all(
            item is None or (name in after and contains(after[name], item))
            for name, item in before.items()
        )
    if isinstance(before, list):
        return (
            isinstance(after, list)
            and len(after) == len(before)
            and all(
                item is None or contains(kept, item)
                for kept, item in zip(after, before, strict=True)
            )
        )
    return after == before


@settings(max_examples=300)
@given(SCHEMAS, DOCUMENTS)
def test_the_fast_check_agrees_with_the_full_validation(schema, document):
    """A compiled check decides whether the slow walk that words the causes is needed at all."""
    node = nodes.parse(schema)
    after, _ = normal(node, document)
    assert validating.checker(node)(after) == (not validating.explain(node, after, "").errors)
