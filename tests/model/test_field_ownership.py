"""Server-side apply and ownership against a model with one row for each field."""

import copy

from hypothesis import given, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from understudy.kube import apply, schemas, statuses
from understudy.kube.apply import claims, comparisons, fieldsets, managers, merging, shapes

NOW = "2026-01-01T00:00:00Z"
STRING = schemas.Schema(type="string")
STRINGS = schemas.Schema(type="object", values=STRING)


def struct(**fields):
    return schemas.Schema(type="object", fields=fields)


ITEM = struct(
    name=STRING,
    value=STRING,
    labels=STRINGS,
    args=schemas.Schema(type="array", items=STRING),
    tags=schemas.Schema(type="array", items=STRING, list_type="set"),
)
SCHEMA = struct(
    data=STRINGS,
    tags=schemas.Schema(type="array", items=STRING, list_type="set"),
    spec=struct(
        size=STRING,
        selector=schemas.Schema(type="object", values=STRING, map_type="atomic"),
        items=schemas.Schema(type="array", items=ITEM, list_type="map", list_keys=("name",)),
        raw=schemas.Schema(preserve_unknown=True),
    ),
)
SHAPE = shapes.root(SCHEMA)

NAMES = st.sampled_from("abc")
TEXTS = st.sampled_from("xyz")
TEXT_MAPS = st.dictionaries(NAMES, TEXTS, max_size=3)
SETS = st.lists(TEXTS, unique=True, max_size=3)
ANYTHING = st.recursive(
    st.one_of(TEXTS, st.integers(0, 1), st.booleans(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(NAMES, inner, max_size=2)),
    max_leaves=4,
)


def some(**fields):
    return st.fixed_dictionaries({}, optional=fields)


ITEMS = some(value=TEXTS, labels=TEXT_MAPS, args=st.lists(TEXTS, max_size=2), tags=SETS)
LISTS = st.dictionaries(NAMES, ITEMS, max_size=3).map(
    lambda items: [{"name": name} | item for name, item in items.items()]
)
CONFIGS = some(
    data=TEXT_MAPS,
    tags=SETS,
    spec=some(size=TEXTS, selector=TEXT_MAPS, items=LISTS, raw=ANYTHING),
)
MANAGERS = st.sampled_from(["m1", "m2", "m3"])


def sent(config):
    return {"apiVersion": "v1", "kind": "T", "metadata": {"name": "a"}} | config


def applied(live, config, manager, *, force=True):
    before = copy.deepcopy((live, config))
    result = apply.apply(
        live, sent(config), schema=SCHEMA, manager=manager, api_version="v1", subresource="",
        force=force, now=NOW,
    )  # fmt: skip
    assert (live, config) == before, "an argument was modified"
    decoded = as_decoded(result)
    decoded["metadata"] = result["metadata"] | {"uid": "u"}
    return decoded


def as_decoded(value):
    """Do what Go's types do: leave out what is null or empty."""
    if isinstance(value, dict):
        pairs = {key: as_decoded(item) for key, item in value.items()}
        return {key: item for key, item in pairs.items() if item not in (None, {}, [])}
    return [as_decoded(item) for item in value] if isinstance(value, list) else value


def entries(obj):
    return managers.decode(obj["metadata"].get("managedFields"))


def owned_by(obj, manager):
    who = managers.identity("Apply", manager, "v1", "")
    found = entries(obj).get(who)
    return found.fields if found is not None else {}


def bare(obj):
    return {key: obj[key] for key in ("data", "tags", "spec") if obj.get(key) not in (None, {}, [])}


def sequence(steps):
    live = None
    for manager, config in steps:
        live = applied(live, config, manager)
    return live


STEPS = st.lists(st.tuples(MANAGERS, CONFIGS), min_size=1, max_size=4)
FULL = CONFIGS.map(as_decoded)
"""Configurations without empty mappings: those are owned, but objects do not keep them."""
FULL_STEPS = st.lists(st.tuples(MANAGERS, FULL), min_size=1, max_size=4)


@settings(deadline=None)
@given(FULL_STEPS, MANAGERS, FULL)
def test_applying_twice_is_applying_once(steps, manager, config):
    once = applied(sequence(steps), config, manager)
    again = applied(once, config, manager, force=False)
    assert again == once


@settings(deadline=None)
@given(STEPS, MANAGERS, CONFIGS)
def test_a_manager_owns_exactly_what_it_applied_last(steps, manager, config):
    live = applied(sequence(steps), config, manager)
    assert owned_by(live, manager) == claims.claimed(SHAPE, config)


@settings(deadline=None)
@given(STEPS, MANAGERS, CONFIGS)
def test_a_forced_configuration_stands_in_the_object(steps, manager, config):
    live = applied(sequence(steps), config, manager)
    assert as_decoded(merging.merged(SHAPE, live, config)) == as_decoded(live)


@settings(deadline=None)
@given(STEPS, CONFIGS, CONFIGS)
def test_two_managers_that_force_in_turn_converge(steps, mine, theirs):
    live = applied(applied(sequence(steps), mine, "m1"), theirs, "m2")
    first = applied(applied(live, mine, "m1"), theirs, "m2")
    second = applied(applied(first, mine, "m1"), theirs, "m2")
    assert first == second


@settings(deadline=None)
@given(STEPS)
def test_when_every_manager_gives_up_nothing_applied_is_left(steps):
    live = sequence(steps)
    for manager in ("m1", "m2", "m3"):
        live = applied(live, {}, manager)
    assert entries(live) == {}
    assert bare(live) == {}


@settings(deadline=None)
@given(STEPS, CONFIGS)
def test_ownership_after_an_update_is_that_of_the_comparison(steps, changed):
    live = sequence(steps)
    new = sent(changed)
    new["metadata"]["uid"] = "u"
    apply.track_update(
        live, new, schema=SCHEMA, manager="u", api_version="v1", subresource="", now=NOW
    )
    found = comparisons.compare(SHAPE, live, sent(changed))
    updater = managers.identity("Update", "u", "v1", "")
    if not entries(live):
        assert entries(new) == {}
        return
    mine = entries(new)[updater].fields if updater in entries(new) else {}
    assert mine == found.set
    for who, entry in entries(live).items():
        left = entries(new)[who].fields if who in entries(new) else {}
        lost = fieldsets.union(found.set, found.removed)
        assert left == fieldsets.difference(entry.fields, lost)


@given(CONFIGS, CONFIGS)
def test_a_comparison_accounts_for_every_difference(old, new):
    found = comparisons.compare(SHAPE, old, new)
    assert bool(found) or sorted_lists(old) == sorted_lists(new)
    back = comparisons.compare(SHAPE, new, old)
    assert found.added == back.removed
    assert found.modified == back.modified


def sorted_lists(value):
    if isinstance(value, dict):
        return {key: sorted_lists(item) for key, item in value.items()}
    if isinstance(value, list):
        return sorted((sorted_lists(item) for item in value), key=repr)
    return value


PATHS = st.lists(
    st.lists(st.sampled_from(["f:a", "f:b", 'k:{"n":1}', 'v:"x"']), min_size=1, max_size=3).map(
        tuple
    ),
    max_size=6,
)


@given(PATHS, PATHS)
def test_the_algebra_of_trees_is_that_of_sets_of_paths(left, right):
    one, other = fieldsets.of(*left), fieldsets.of(*right)
    assert set(fieldsets.paths(one)) == set(left)
    assert set(fieldsets.paths(fieldsets.union(one, other))) == {*left, *right}
    assert set(fieldsets.paths(fieldsets.intersection(one, other))) == {*left} & {*right}
    assert set(fieldsets.paths(fieldsets.difference(one, other))) == {*left} - {*right}
    below = {p for p in left if any(p[: len(q)] == q for q in right)}
    assert set(fieldsets.paths(fieldsets.without(one, other))) == {*left} - below
    assert fieldsets.parse(one) == one
    assert fieldsets.union(one, other) == fieldsets.ordered(fieldsets.union(one, other))


@given(CONFIGS)
def test_new_values_and_compared_values_have_the_same_fields(config):
    compared = comparisons.compare(SHAPE, {}, config).set
    assert shapes.created(SHAPE, config, {}) == compared


class Ownership(RuleBasedStateMachine):
    """One map of texts, written by appliers and updaters; the model has a row for each entry."""

    def __init__(self):
        super().__init__()
        self.live = applied(None, {"data": {"a": "x"}}, "m1")
        self.values = {"a": "x"}
        self.appliers = {"a": {"m1"}}
        self.updaters = {}

    @rule(manager=MANAGERS, config=TEXT_MAPS, force=st.booleans())
    def apply(self, manager, config, force):
        if not entries(self.live):
            # What an object without owners holds belongs to whoever made it.
            self.updaters = {name: {"before-first-apply"} for name in self.values}
        contested = [
            name
            for name, value in config.items()
            if self.values.get(name) != value
            and (self.appliers.get(name, set()) - {manager} or self.updaters.get(name))
        ]
        sent_config = {"data": config} if config else {}
        try:
            self.live = applied(self.live, sent_config, manager, force=force)
        except statuses.ConflictError as error:
            assert not force
            fields = {cause["field"] for cause in error.causes}
            # Who owned the map itself still does when it has become empty and is no longer kept.
            whole = (
                {".data"}
                if config and not self.values and self.others_own_the_map(manager)
                else set()
            )
            assert fields == {f".data.{name}" for name in contested} | whole
            if not entries(self.live):
                self.updaters = {}
            return
        assert force or not contested, "a conflict was missed"
        for name, holders in list(self.appliers.items()):
            if manager in holders and name not in config:
                holders.discard(manager)
                if not holders and not self.updaters.get(name):
                    del self.values[name]
        for name, value in config.items():
            if self.values.get(name) != value:
                self.appliers[name], self.updaters[name] = set(), set()
            self.values[name] = value
            self.appliers.setdefault(name, set()).add(manager)

    def others_own_the_map(self, manager):
        return any(
            ("f:data",) in set(fieldsets.paths(entry.fields))
            for who, entry in entries(self.live).items()
            if (who.manager, who.operation) != (manager, "Apply")
        )

    @rule(manager=MANAGERS, values=TEXT_MAPS)
    def update(self, manager, values):
        new = sent({"data": dict(values)} if values else {})
        new["metadata"]["uid"] = "u"
        tracked = bool(entries(self.live))
        apply.track_update(
            self.live, new, schema=SCHEMA, manager=manager, api_version="v1", subresource="",
            now=NOW,
        )  # fmt: skip
        self.live = new
        for name in {*values, *self.values}:
            if self.values.get(name) != values.get(name):
                self.appliers[name] = set()
                self.updaters[name] = {manager} if tracked and name in values else set()
        self.values = dict(values)

    @invariant()
    def the_values_are_those_of_the_model(self):
        assert (self.live.get("data") or {}) == self.values

    @invariant()
    def every_entry_has_the_owners_of_the_model(self):
        found = {"Apply": {}, "Update": {}}
        for who, entry in entries(self.live).items():
            for path in fieldsets.paths(entry.fields):
                if len(path) == 2:
                    found[who.operation].setdefault(path[1][2:], set()).add(who.manager)
        assert found["Apply"] == {n: h for n, h in self.appliers.items() if h}
        assert found["Update"] == {n: h for n, h in self.updaters.items() if h}


TestOwnership = Ownership.TestCase
TestOwnership.settings = settings(deadline=None, max_examples=60, stateful_step_count=20)
