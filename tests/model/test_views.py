"""A tree of views with reset, diff, promote and watches, against plain dictionaries.

The model knows for each view what it holds of its own and what its parent had before: whatever is
done, each view holds what the model says, diffs tell exactly what differs, a promotion is all or
nothing and says which keys are in its way, and each watcher can rebuild the view from its events.
"""

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from understudy.kapi import views
from understudy.kapi.views import registries
from understudy.kube import selectors, statuses

KEYS = ["default/a", "kube-public/a"]
SELECTOR = "shown=yes"


def value_of(entry):
    obj = entry.load()
    meta = obj["metadata"]
    return meta["uid"], tuple(sorted(meta.get("labels", {}).items())), str(obj.get("data"))


class Model:
    def __init__(self, parent=None, following=False):
        self.parent, self.following = parent, following
        self.begin()

    def begin(self):
        self.own, self.original = {}, {}
        is_pinned = self.parent is not None and not self.following
        self.frozen = dict(self.parent.content()) if is_pinned else {}

    def content(self):
        found = dict(self.parent.content()) if self.following else dict(self.frozen)
        found.update(self.own)
        return {key: value for key, value in found.items() if value is not None}

    def write(self, key, value):
        self.original.setdefault(key, self.content().get(key))
        self.own[key] = value

    def changes(self):
        return {k: v for k, v in self.own.items() if v != self.original[k]}

    def conflicts(self):
        theirs = self.parent.content()
        return {k for k, v in self.changes().items() if theirs.get(k) not in (self.original[k], v)}

    def promote(self):
        for key, value in self.changes().items():
            if value is not None or key in self.parent.content():
                self.parent.write(key, value)
            del self.own[key], self.original[key]
            self.frozen[key] = value


class Views(RuleBasedStateMachine):
    @initialize()
    def begin(self):
        self.registry = registries.Views(views.new_view(), 6)
        self.resource = self.registry.base.resolve("configmaps")
        self.models = {"base": Model()}
        self.watched = []
        self.serial = 0
        # A follower, its follower and a pinned one from the start: what they lead to is the point.
        for parent, follow in ((0, True), (1, True), (1, False)):
            self.fork(parent, follow)
        for n in range(len(self.models)):
            self.watch(n, selective=False)

    def names(self):
        return sorted(self.models)

    def pick(self, n):
        return self.names()[n % len(self.models)]

    def held(self, name):
        entries = self.registry.get(name).entries(self.resource)
        return {entry.key: value_of(entry) for entry in entries}

    @rule(
        n=st.integers(0, 5), key=st.sampled_from(KEYS), data=st.integers(0, 2), shown=st.booleans()
    )
    def put(self, n, key, data, shown):
        name = self.pick(n)
        view, (namespace, _, object_name) = self.registry.get(name), key.partition("/")
        body = {
            "metadata": {"name": object_name, "labels": {"shown": "yes" if shown else "no"}},
            "data": {"x": str(data)},
        }
        if key in self.models[name].content():
            written = view.patch("configmaps", object_name, body, namespace)
        else:
            written = view.create("configmaps", body, namespace)
        if self.models[name].content().get(key) != value_of(written.entry):
            self.models[name].write(key, value_of(written.entry))

    @rule(n=st.integers(0, 5), key=st.sampled_from(KEYS))
    def delete(self, n, key):
        name = self.pick(n)
        if key in self.models[name].content():
            namespace, _, object_name = key.partition("/")
            self.registry.get(name).delete("configmaps", object_name, namespace)
            self.models[name].write(key, None)

    @precondition(lambda self: len(self.models) < 6)
    @rule(n=st.integers(0, 5), follow=st.booleans())
    def fork(self, n, follow):
        parent = self.pick(n)
        self.serial += 1
        name = f"v{self.serial}"
        self.registry.create(name, of=parent, follow=follow)
        self.models[name] = Model(self.models[parent], follow)

    def leaf(self, n):
        parents = {id(model.parent) for model in self.models.values()}
        leaves = [v for v in self.names() if v != "base" and id(self.models[v]) not in parents]
        return leaves[n % len(leaves)] if leaves else None

    @rule(n=st.integers(0, 5), end=st.booleans())
    def reset_or_delete(self, n, end):
        name = self.leaf(n)
        if name is None:
            return
        self.watched = [one for one in self.watched if one[0] != name]
        if end:
            self.registry.delete(name)
            del self.models[name]
        else:
            self.registry.reset(name)
            self.models[name].begin()

    @rule(n=st.integers(0, 5))
    def promote(self, n):
        name = self.pick(n)
        if name == "base":
            return
        model, view = self.models[name], self.registry.get(name)
        before = {v: self.held(v) for v in self.names()}
        conflicts = model.conflicts()
        if conflicts:
            with pytest.raises(statuses.ConflictError) as refused:
                view.promote()
            causes = refused.value.details["causes"]
            assert {cause["field"].split()[1] for cause in causes} == conflicts
            assert before == {v: self.held(v) for v in self.names()}
            return
        told = view.promote()
        assert {change.key for change in told} == model.changes().keys()
        model.promote()

    @rule(n=st.integers(0, 5), selective=st.booleans())
    def watch(self, n, selective):
        name = self.pick(n)
        view = self.registry.get(name)
        selector = SELECTOR if selective else ""
        watch = view.watch("configmaps", label_selector=selector)
        seen = {item.entry.key: item.entry for item in watch.start.items}
        self.watched.append([name, selector, watch, seen, view.revision, dict(seen), []])

    @invariant()
    def each_view_holds_what_the_model_says(self):
        for name, model in getattr(self, "models", {}).items():
            assert self.held(name) == model.content()
            if model.parent is not None:
                told = {c.key: c.operation for c in self.registry.get(name).diff()}
                assert told == {
                    key: "created" if model.original[key] is None
                    else "deleted" if value is None else "changed"
                    for key, value in model.changes().items()
                }  # fmt: skip

    @invariant()
    def each_watcher_sees_every_event_once_in_order(self):
        for name, selector, watch, seen, since, start, heard in getattr(self, "watched", ()):
            new = watch.take()
            heard.extend(new)
            for item in new:
                key = item.entry.key
                assert (item.type == "ADDED") == (key not in seen), (name, item)
                if item.type == "DELETED":
                    del seen[key]
                else:
                    seen[key] = item.entry
            revisions = [item.entry.revision for item in heard]
            assert revisions == sorted(set(revisions))
            view = self.registry.get(name)
            match = selectors.parse_labels(selector)
            present = {e.key: e for e in view.entries(self.resource) if match.matches(e.labels)}
            assert {k: e.encoded for k, e in seen.items()} == {
                k: e.encoded for k, e in present.items()
            }
            again = view.watch("configmaps", label_selector=selector, resource_version=str(since))
            replayed = [(i.type, i.entry.revision) for i in again.start.items]
            again.close()
            assert replayed == [(i.type, i.entry.revision) for i in heard]
            past = {
                e.key: e.encoded
                for e in view.at(since).entries(self.resource)
                if match.matches(e.labels)
            }
            assert past == {k: e.encoded for k, e in start.items()}


Views.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestViews = Views.TestCase
