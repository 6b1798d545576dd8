"""A tree of stores (base, pinned forks, followers) against plain dictionaries.

Whatever the interleaving of writes: each store holds what the model says, each subscriber hears
each visible change once and in order, and the past is what it was.
"""

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from understudy.kapi.store import entries, stores
from understudy.kube import identities

PODS = identities.GroupResource("", "pods")
NODES = identities.GroupResource("", "nodes")
STORAGES = st.sampled_from([PODS, NODES])
KEYS = st.sampled_from(["a/x", "a/y", "b/x", "a-b/x"])
HEAD = entries.head_of("v1", "Thing")


def entry_of(store, key, value):
    revision = store.counter.take()
    name = key.rpartition("/")[2]
    return entries.Entry(
        key,
        revision,
        HEAD,
        {"metadata": {"name": name, "resourceVersion": str(revision)}, "value": value},
    )


class Model:
    """What a store should hold: own changes over a frozen copy, or over the parent's present."""

    def __init__(self, parent=None, following=False):
        self.parent, self.following = parent, following
        self.frozen = dict(parent.content()) if parent is not None and not following else {}
        self.own = {}

    def content(self):
        below = dict(self.parent.content()) if self.following else dict(self.frozen)
        for place, value in self.own.items():
            if value is None:
                below.pop(place, None)
            else:
                below[place] = value
        return below


class Stores(RuleBasedStateMachine):
    stores_made = Bundle("stores")

    @initialize(target=stores_made)
    def base(self):
        store = stores.Store(stores.Counter(1), events_max=1000)
        self.pairs = [(store, Model())]
        self.heard = []
        return 0

    @rule(target=stores_made, of=stores_made, following=st.booleans())
    def fork(self, of, following):
        store, model = self.pairs[of]
        made = store.follow() if following else store.fork()
        self.pairs.append((made, Model(model, following)))
        return len(self.pairs) - 1

    @rule(of=stores_made, storage=STORAGES)
    def listen(self, of, storage):
        store, _ = self.pairs[of]
        events = []
        start = {e.key: e for e in store.tree(storage).values()}
        store.subscribe(storage, events.append)
        self.heard.append((store, storage, store.counter.current, start, events))

    @rule(of=stores_made, storage=STORAGES, key=KEYS, value=st.integers(0, 99))
    def put(self, of, storage, key, value):
        store, model = self.pairs[of]
        store.put(storage, entry_of(store, key, value))
        model.own[storage, key] = value

    @rule(of=stores_made, storage=STORAGES, key=KEYS)
    def remove(self, of, storage, key):
        store, model = self.pairs[of]
        if store.get(storage, key) is not None:
            store.remove(storage, entry_of(store, key, None))
            model.own[storage, key] = None

    @invariant()
    def every_store_holds_what_the_model_says(self):
        for store, model in getattr(self, "pairs", ()):
            found = {
                (storage, entry.key): entry.load()["value"]
                for storage in store.storages()
                for entry in store.tree(storage).values()
            }
            assert found == model.content()
            for storage, key in found:
                assert store.get(storage, key) is not None

    @invariant()
    def every_subscriber_hears_each_change_once_in_order(self):
        for store, storage, since, start, events in getattr(self, "heard", ()):
            revisions = [event.revision for event in events]
            assert revisions == sorted(set(revisions))
            state = dict(start)
            for event in events:
                key = event.entry.key
                assert (event.type == "ADDED") == (key not in state)
                if event.type == "DELETED":
                    del state[key]
                else:
                    state[key] = event.entry
            assert state == {e.key: e for e in store.tree(storage).values()}
            replayed = store.events_after(storage, since)
            assert replayed is not None
            assert [e.revision for e in replayed] == revisions
            past = store.tree_at(storage, since)
            assert {e.key: e for e in past.values()} == start


Stores.TestCase.settings = settings(max_examples=120, stateful_step_count=30, deadline=None)
TestStores = Stores.TestCase


def test_a_forgotten_revision_is_reported_not_guessed():
    store = stores.Store(stores.Counter(1), events_max=10)
    for n in range(40):
        store.put(PODS, entry_of(store, "a/x", n))
    assert store.events_after(PODS, 2) is None
    assert store.tree_at(PODS, 2) is None
    assert len(store.events_after(PODS, store.counter.current - 5)) == 5


@pytest.mark.parametrize("following", [True, False])
def test_a_fork_costs_the_number_of_resources_not_of_objects(following):
    store = stores.Store(stores.Counter(1), events_max=10)
    for n in range(2000):
        store.put(PODS, entry_of(store, f"a/{n:05d}", n))
    fork = store.follow() if following else store.fork()
    assert fork.tree(PODS) is store.tree(PODS)
