"""Laws of the patches: JSON patch against an independent implementation, merge patch by algebra."""

import copy

import jsonpatch
from hypothesis import given, settings, strategies as st

from understudy.kube import patches, schemas, statuses

KEYS = st.sampled_from(["a", "b", "c", "x/y", "m~n"])
LEAVES = st.one_of(st.none(), st.integers(0, 3), st.sampled_from(["", "s"]))
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=8,
)
DOCUMENTS = st.dictionaries(KEYS, VALUES, min_size=1, max_size=4)
STEPS = st.one_of(
    KEYS.map(lambda key: key.replace("~", "~0").replace("/", "~1")),
    st.sampled_from(["0", "1", "2", "-"]),
)
POINTERS = st.lists(STEPS, min_size=1, max_size=3).map(lambda steps: "/" + "/".join(steps))


@st.composite
def operations(draw):
    operation = {
        "op": draw(st.sampled_from(["add", "remove", "replace", "move", "copy", "test"])),
        "path": draw(POINTERS),
    }
    if operation["op"] in {"move", "copy"}:
        operation["from"] = draw(POINTERS)
    elif operation["op"] != "remove":
        operation["value"] = draw(VALUES)
    return operation


def ours(live, patch):
    try:
        return patches.apply(patches.JSON_PATCH, live, patch, schemas.ANY)
    except statuses.InvalidError:
        return None


def theirs(live, patch):
    try:
        return jsonpatch.apply_patch(live, patch)
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException):
        return None


@settings(max_examples=400, deadline=None)
@given(DOCUMENTS, st.lists(operations(), min_size=1, max_size=4))
def test_what_the_rfc_accepts_gives_the_same_document(live, patch):
    before = copy.deepcopy((live, patch))
    expected = theirs(live, patch)
    if expected is not None:
        assert ours(live, patch) == expected
    else:
        ours(live, patch)
    assert (live, patch) == before


def merged(live, patch):
    return patches.apply(patches.MERGE_PATCH, live, patch, schemas.ANY)


def rfc7386(target, patch):
    if not isinstance(patch, dict):
        return patch
    target = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        else:
            target[key] = rfc7386(target.get(key), value)
    return target


def has_mapping_in_list(value):
    if isinstance(value, list):
        return any(isinstance(item, (dict, list)) for item in value)
    return isinstance(value, dict) and any(map(has_mapping_in_list, value.values()))


@given(DOCUMENTS, DOCUMENTS)
def test_merging_agrees_with_the_rfc_where_lists_hold_no_mappings(live, patch):
    if not has_mapping_in_list(patch):
        assert merged(live, patch) == rfc7386(live, patch)


@given(DOCUMENTS, DOCUMENTS)
def test_merging_twice_is_merging_once(live, patch):
    once = merged(live, patch)
    # A list that replaces a mapping keeps its nulls the first time only, in Kubernetes too.
    if not has_mapping_in_list(patch):
        assert merged(once, patch) == once


@given(DOCUMENTS)
def test_an_empty_patch_changes_nothing(live):
    assert merged(live, {}) == live
    assert patches.apply(patches.STRATEGIC_MERGE_PATCH, live, {}, schemas.ANY) == live


@given(DOCUMENTS, DOCUMENTS)
def test_without_a_schema_strategic_merging_of_mappings_is_plain_merging(live, patch):
    def flat(value):
        return {key: item for key, item in value.items() if not isinstance(item, (list, dict))}

    result = patches.apply(patches.STRATEGIC_MERGE_PATCH, flat(live), flat(patch), schemas.ANY)
    assert result == merged(flat(live), flat(patch))


NAMES = st.lists(st.sampled_from("abcdef"), unique=True, max_size=6)
XS = schemas.Schema(
    type="array",
    items=schemas.Schema(type="object", values=schemas.Schema(type="string")),
    patch_strategy=("merge",),
    patch_merge_key="name",
)
THING = schemas.Schema(type="object", fields={"xs": XS})


@given(NAMES, NAMES)
def test_merging_lists_keeps_every_item_once_and_the_order_of_both_sides(live, patch):
    items = [{"name": name, "v": "live"} for name in live]
    changes = [{"name": name, "v": "patch"} for name in patch]
    result = patches.apply(patches.STRATEGIC_MERGE_PATCH, {"xs": items}, {"xs": changes}, THING)[
        "xs"
    ]
    names = [item["name"] for item in result]
    assert sorted(names) == sorted({*live, *patch})
    assert [name for name in names if name in patch] == patch
    assert [name for name in names if name not in patch] == [n for n in live if n not in patch]
    assert all(item["v"] == ("patch" if item["name"] in patch else "live") for item in result)
