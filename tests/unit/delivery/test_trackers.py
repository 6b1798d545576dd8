"""The bill of what was shipped, as a value and as a record."""

import base64
import hashlib

from understudy.client import protocol
from understudy.delivery import manifests, marks, refs, targets, trackers

OWNER = targets.Owner("shop", "default")


def target(kind: str, name: str, version: str = "v1", group: str = "") -> targets.Target:
    ref = refs.Ref(group, kind, "n", name)
    resource = protocol.ApiResource(
        group=group, version=version, kind=kind, plural=f"{kind.lower()}s", namespaced=True,
        verbs=(),
    )  # fmt: skip
    obj = {"metadata": {"name": name, "namespace": "n"}}
    return targets.Target(ref, obj, resource, manifests.Source("f"))


A, B = target("ConfigMap", "a"), target("ConfigMap", "b")


def test_claiming_keeps_what_was_shipped_before() -> None:
    shipped = trackers.Tracker(owner=OWNER).claimed([A], "shop-v1").learnt({A.ref: "uid-a"})
    claimed = shipped.claimed([B], "shop-v2")
    assert set(claimed.entries) == {A.ref, B.ref}
    assert claimed.entries[A.ref].uid == "uid-a"
    assert claimed.entries[B.ref].state is trackers.State.PENDING
    assert claimed.phase is trackers.Phase.APPLYING
    assert [entry.ref for entry in claimed.unwanted("shop-v2")] == [A.ref]


def test_claiming_the_same_again_is_no_change() -> None:
    once = trackers.Tracker(owner=OWNER).claimed([A], "shop-v1").learnt({A.ref: "u"}).done()
    assert once.claimed([A], "shop-v1") is once


def test_a_new_version_of_a_kind_is_the_same_object() -> None:
    old = trackers.Tracker(owner=OWNER).claimed([target("D", "d", "v1beta1", "apps")], "shop-v1")
    new = old.claimed([target("D", "d", "v1", "apps")], "shop-v2")
    assert len(new.entries) == 1
    assert new.unwanted("shop-v2") == []


def test_what_is_wanted_again_is_not_old() -> None:
    """A -> B -> A: the second A has another revision, and all of its objects with it."""
    tracker = trackers.Tracker(owner=OWNER).claimed([A], "shop-v1").claimed([B], "shop-v2")
    tracker = tracker.claimed([A], "shop-v3")
    assert [entry.ref for entry in tracker.unwanted("shop-v3")] == [B.ref]


def test_an_object_about_to_be_replaced_has_no_uid_on_record() -> None:
    tracker = trackers.Tracker(owner=OWNER).claimed([A], "shop-v1").learnt({A.ref: "u"})
    entry = tracker.renewing(A.ref).entries[A.ref]
    assert (entry.uid, entry.state) == ("", trackers.State.PENDING)


def test_a_record_reads_back_as_it_was() -> None:
    tracker = trackers.Tracker(owner=OWNER, fence=3).claimed([A, B], "shop-v1")
    tracker = tracker.learnt({A.ref: "u"}).marked(B.ref, trackers.State.KEPT, "in use")
    assert trackers.from_object(tracker.as_object()) == tracker


def test_a_large_record_is_compressed_and_reads_back() -> None:
    many = [target("ConfigMap", f"c{n}") for n in range(trackers.PLAIN_ENTRIES_MAX + 1)]
    tracker = trackers.Tracker(owner=OWNER).claimed(many, "shop-v1")
    record = tracker.as_object()
    assert "resources" not in record["spec"]
    assert trackers.from_object(record) == tracker


def test_the_record_is_a_valid_applyset_parent() -> None:
    """KEP-3659 in the spelling of the shipped code; the id is computed by hand here."""
    tracker = trackers.Tracker(owner=OWNER).claimed(
        [A, target("Deployment", "d", "v1", "apps")], "shop-v1"
    )
    meta = tracker.as_object()["metadata"]
    digest = hashlib.sha256(b"shop.default..ResourceTracker.core.understudy.dev").digest()
    wanted = f"applyset-{base64.urlsafe_b64encode(digest).decode().rstrip('=')}-v1"
    assert meta["labels"]["applyset.kubernetes.io/id"] == wanted == OWNER.part_of
    assert len(wanted) <= 63
    annotations = meta["annotations"]
    assert annotations["applyset.kubernetes.io/contains-group-kinds"] == "ConfigMap,Deployment.apps"
    assert annotations["applyset.kubernetes.io/additional-namespaces"] == "n"
    assert annotations["applyset.kubernetes.io/tooling"].startswith("understudy/v")


def test_the_id_in_the_spelling_of_the_kep_is_that_of_the_kep() -> None:
    """The example of KEP-3659's code: name.namespace.kind.group, empty parts stay."""
    assert marks.applyset_id("a-b", "c") != marks.applyset_id("a", "b-c")
