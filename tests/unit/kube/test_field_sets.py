"""Sets of fields: their algebra, their texts, and reading them from managedFields."""

import pytest

from understudy.kube.apply import fieldsets

A = ("f:a",)
A_B = ("f:a", "f:b")
A_C = ("f:a", "f:c")
ITEM = ("f:xs", 'k:{"name":"c"}')


def test_a_leaf_is_an_empty_mapping_and_a_parent_has_a_dot():
    assert fieldsets.of(A, A_B) == {"f:a": {".": {}, "f:b": {}}}
    assert fieldsets.of(A_B) == {"f:a": {"f:b": {}}}
    assert fieldsets.of() == {}


@pytest.mark.parametrize(
    ("left", "right", "union", "intersection", "difference"),
    [
        ([A], [A], [A], [A], []),
        ([A], [A_B], [A, A_B], [], [A]),
        ([A_B], [A], [A, A_B], [], [A_B]),
        ([A, A_B], [A_B], [A, A_B], [A_B], [A]),
        ([A, A_B], [A], [A, A_B], [A], [A_B]),
        ([A_B, A_C], [A_C], [A_B, A_C], [A_C], [A_B]),
        ([A], [], [A], [], [A]),
        ([], [A], [A], [], []),
        ([ITEM], [ITEM], [ITEM], [ITEM], []),
    ],
)
def test_parents_and_children_are_paths_of_their_own(left, right, union, intersection, difference):
    one, other = fieldsets.of(*left), fieldsets.of(*right)
    assert fieldsets.union(one, other) == fieldsets.of(*union)
    assert fieldsets.intersection(one, other) == fieldsets.of(*intersection)
    assert fieldsets.difference(one, other) == fieldsets.of(*difference)


@pytest.mark.parametrize(
    ("left", "right", "rest"),
    [
        ([A, A_B, ("f:z",)], [A], [("f:z",)]),
        ([A_B, A_C], [A_B], [A_C]),
        ([A, A_B], [A_B], [A]),
        ([A], [A_B], [A]),
        ([("f:a", "f:b", "f:c")], [A_B], []),
    ],
)
def test_without_takes_what_is_below_as_well(left, right, rest):
    assert fieldsets.without(fieldsets.of(*left), fieldsets.of(*right)) == fieldsets.of(*rest)


def test_members_come_before_what_is_below_them():
    tree = fieldsets.of(("f:b",), A_B, A, ("f:b", "f:z"))
    assert list(fieldsets.paths(tree)) == [A, ("f:b",), A_B, ("f:b", "f:z")]


def test_membership_is_exact():
    tree = fieldsets.of(A_B)
    assert fieldsets.has(tree, A_B)
    assert not fieldsets.has(tree, A)
    assert not fieldsets.has(tree, ("f:a", "f:b", "f:c"))
    assert not fieldsets.has(tree, ())


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("f:spec", "f:ports", 'k:{"port":80,"protocol":"TCP"}', "f:name"),
         '.spec.ports[port=80,protocol="TCP"].name'),
        (("f:metadata", "f:finalizers", 'v:"a/b"'), '.metadata.finalizers[="a/b"]'),
        (("f:x", "i:3"), ".x[3]"),
        (("f:x", 'k:{"a":null,"b":true,"c":1.5}'), ".x[a=null,b=true,c=1.5]"),
    ],
)  # fmt: skip
def test_paths_print_as_in_conflicts(path, text):
    assert fieldsets.shown(path) == text


def test_steps_are_ordered_as_kubernetes_orders_them():
    tree = {
        'v:"b"': {}, 'k:{"port":443}': {}, 'k:{"port":80}': {}, "f:z": {}, "f:a": {}, ".": {},
        'k:{"port":"x"}': {}, "v:9": {}, "v:10": {},
    }  # fmt: skip
    assert list(fieldsets.ordered(tree)) == [
        ".", "f:a", "f:z", 'k:{"port":80}', 'k:{"port":443}', 'k:{"port":"x"}',
        "v:9", "v:10", 'v:"b"',
    ]  # fmt: skip


def test_scalars_are_written_as_go_writes_them():
    texts = [fieldsets.scalar_text(v) for v in ('a"\n<', "ü", 1, True, None, 1.5)]
    assert texts == ['"a\\"\\n\\u003c"', '"ü"', "1", "true", "null", "1.5"]


def test_reading_makes_steps_canonical_and_drops_unknown_kinds():
    raw = {
        "f:a": {".": {}, 'k:{"b": 1, "a": "x"}': {".": {}, "f:n": {}}},
        "x:future": {"f:b": {}},
        "f:leaf": {".": {}},
    }
    assert fieldsets.parse(raw) == {
        "f:a": {".": {}, 'k:{"a":"x","b":1}': {".": {}, "f:n": {}}},
        "f:leaf": {},
    }
    assert fieldsets.parse(None) == {}


@pytest.mark.parametrize("raw", [{"f": {}}, {"fa": {}}, {"k:[": {}}, {"k:1": {}}, {"v:x": {}}, 1])
def test_what_is_no_set_is_refused(raw):
    with pytest.raises(fieldsets.FieldsError):
        fieldsets.parse(raw)
