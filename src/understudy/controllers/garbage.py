"""The garbage collector: what loses its last owner goes, in the way its owner's deletion asked.

| deletion asked for | what is left behind          | what the collector does                      |
| ------------------ | ---------------------------- | -------------------------------------------- |
| Background         | nothing                      | deletes each dependent, Background           |
| Foreground         | finalizer foregroundDeletion | deletes the dependents first, then lets go   |
| Orphan             | finalizer orphan             | strips the reference off each, then lets go  |

An owner counts as present only with its uid, and for namespaced dependents only in their own
namespace. A dependent with another, living owner loses just the dead reference.
Source: pkg/controller/garbagecollector.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from understudy.controllers import changes, clusters, indexes, reactor, recorders
from understudy.kapi.resources import catalogue
from understudy.kube import objects, statuses

FOREGROUND: Final = "foregroundDeletion"
ORPHAN: Final = "orphan"
REST: Final = ""
MOMENT_S: Final = 0.001
"""So much later what comes of a deletion is done with the rest of what is deleted."""
SEEN_APART: Final = 1
"""How many of several that are deleted others see go one by one, before they see the rest gone. In
recordings it was mostly one; at times none, or each."""
ABSENT_MAX: Final = 500
"""Uids known to be gone, so that a thousand orphans need not look for one owner each."""

_OWNED = b'"ownerReferences":'
_LEAVING = b'"deletionTimestamp":'


@dataclass(slots=True)
class _Rest:
    """The dependents that are still to be judged, and their owner after them."""

    queue: reactor.Queue
    owner: reactor.Key
    rounds: int = 0


class GarbageCollector:
    """Reconciles objects that have owners, and owners that wait for their dependents.

    Keys are `(ref, namespace, name)`, and `(REST, namespace, uid)` for all dependents of an owner.
    """

    name = "garbage-collector-controller"
    watched = (reactor.EVERYTHING,)

    def __init__(self, shared: clusters.Shared) -> None:
        self.cluster = clusters.Cluster(shared, "generic-garbage-collector")
        self.recorder = recorders.Recorder(self.cluster, "garbage-collector-controller")
        self._absent: dict[str, None] = {}
        self._newest: tuple[float, set[str]] = (0.0, set())
        self.seen_apart = SEEN_APART
        self._resting: dict[str, _Rest] = {}

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        if change.ref in indexes.UNOWNED_REFS:
            return
        if change.deleted:
            self._observe_gone(change, queue)
            return
        encoded = change.entry.encoded
        if _LEAVING in encoded and self._began_waiting(change):
            if self._waits_for(change.object) == FOREGROUND:
                self._collect(change, queue)
            if change.entry.uid not in self._resting:
                queue.add((change.ref, *change.key))
        before = change.previous_entry
        if _OWNED in encoded or (before is not None and _OWNED in before.encoded):
            owners, former = _owners(change.object), _owners(change.previous)
            if owners != former:
                known = {one.get("uid") for one in former}
                added = [one for one in owners if one.get("uid") not in known]
                if not all(self._is_present(one, change.entry.namespace) for one in added):
                    queue.add((change.ref, *change.key))
                elif change.type == "ADDED":
                    self._note_newcomer(change.entry.uid)
                self._wake_waiting([one for one in former if one not in owners], change, queue)

    def _observe_gone(self, change: changes.Change, queue: reactor.Queue) -> None:
        self._remember_absent(change.entry.uid)
        self._collect(change, queue)
        if _OWNED not in change.entry.encoded:
            return
        self._wake_waiting(_owners(change.object), change, queue)

    def _wake_waiting(
        self, references: list[objects.Object], change: changes.Change, queue: reactor.Queue
    ) -> None:
        """Look again at owners that may have waited for this dependent."""
        for reference in references:
            place = self._place_of(reference, change.entry.namespace)
            owner = self.cluster.entry(*place) if place is not None else None
            if place is not None and owner is not None and _LEAVING in owner.encoded:
                queue.add(place)

    def _note_newcomer(self, uid: str) -> None:
        now_s = self.cluster.clock.monotonic()
        if self._newest[0] != now_s:
            self._newest = (now_s, set())
        self._newest[1].add(uid)

    def _has_just_come(self, uid: str) -> bool:
        return uid in self._newest[1] and self._newest[0] == self.cluster.clock.monotonic()

    def _is_present(self, reference: objects.Object, namespace: str) -> bool:
        """Whether an owner is there: what is added to it later goes when it is looked at again."""
        place = self._place_of(reference, namespace)
        owner = self.cluster.entry(*place) if place is not None else None
        return owner is not None and owner.uid == reference.get("uid")

    def _began_waiting(self, change: changes.Change) -> bool:
        waits_for = self._waits_for(change.object)
        previous = change.previous
        return bool(waits_for) and (previous is None or self._waits_for(previous) != waits_for)

    @staticmethod
    def _waits_for(obj: objects.Object) -> str:
        meta = objects.metadata(obj)
        if not meta.get("deletionTimestamp"):
            return ""
        finalizers = meta.get("finalizers") or ()
        return next((one for one in (ORPHAN, FOREGROUND) if one in finalizers), "")

    def _collect(self, change: changes.Change, queue: reactor.Queue) -> None:
        """Have an owner's dependents judged, `seen_apart` of each kind before the others."""
        uid, namespace = change.entry.uid, change.entry.namespace
        if self.seen_apart and self._queue_some(namespace, uid, queue):
            self._resting[uid] = _Rest(queue, (change.ref, *change.key))
            queue.add_after((REST, namespace, uid), MOMENT_S)
        elif not self.seen_apart:
            self._queue_all(namespace, uid, queue)

    def _queue_some(self, namespace: str, uid: str, queue: reactor.Queue) -> bool:
        """Queue the first dependent of each kind that is not on its way; are there others?"""
        kinds: set[str] = set()
        others = False
        for dependent in self.cluster.indexes.dependents(uid, namespace):
            entry = self.cluster.entry(*dependent)
            if entry is None or _LEAVING in entry.encoded:
                continue
            others = others or dependent.ref in kinds
            if dependent.ref not in kinds:
                kinds.add(dependent.ref)
                queue.add(tuple(dependent))
        return others

    def _queue_all(self, namespace: str, uid: str, queue: reactor.Queue) -> None:
        for dependent in self.cluster.indexes.dependents(uid, namespace):
            queue.add(tuple(dependent))

    def _collect_rest(self, namespace: str, uid: str) -> float | None:
        rest = self._resting[uid]
        rest.rounds += 1
        if rest.rounds < self.seen_apart and self._queue_some(namespace, uid, rest.queue):
            return MOMENT_S
        del self._resting[uid]
        self._queue_all(namespace, uid, rest.queue)
        rest.queue.add(rest.owner)
        return None

    # ------------------------------------------------------------------ reconciling

    def reconcile(self, key: reactor.Key) -> float | None:
        ref, namespace, name = key
        if ref == REST:
            return self._collect_rest(namespace, name)
        obj = self.cluster.peek(ref, namespace, name)
        if obj is None:
            return None
        try:
            match self._waits_for(obj):
                case "orphan":
                    self._orphan(ref, obj)
                case "foregroundDeletion":
                    self._finish_foreground(ref, obj)
                case _:
                    if not objects.metadata(obj).get("deletionTimestamp"):
                        self._judge(ref, obj)
        except statuses.NotFoundError:
            return None  # gone meanwhile, which is what was wanted
        return None

    def _judge(self, ref: str, obj: objects.Object) -> None:
        """Delete the object, or drop its dead references, or leave it alone."""
        solid: list[objects.Object] = []
        dead: list[objects.Object] = []
        waiting: list[objects.Object] = []
        for reference in _owners(obj):
            owner = self._owner(reference, obj)
            if owner is None:
                return  # its kind is not served: nothing can be said
            if not owner:
                dead.append(reference)
            elif self._waits_for(owner) == FOREGROUND:
                waiting.append(reference)
            else:
                solid.append(reference)
        if not dead and not waiting:
            return
        if solid:
            self._strip(ref, obj, [*dead, *waiting])
        elif waiting and (dependents := self._dependents_of(obj)):
            if any(self._waits_for(self.cluster.peek(*one) or {}) == FOREGROUND
                   for one in dependents):  # fmt: skip
                self._unblock(ref, obj)  # so that the deletion conflicts, and is thought over
            self._delete(ref, obj, "Foreground")
        else:
            finalizers = objects.metadata(obj).get("finalizers") or ()
            policy = "Orphan" if ORPHAN in finalizers else "Background"
            self._delete(ref, obj, "Foreground" if FOREGROUND in finalizers else policy)

    def _owner(self, reference: objects.Object, dependent: objects.Object) -> objects.Object | None:
        """Return the owner, `{}` if it is gone, None if its kind is unknown here."""
        namespace = objects.namespace_of(dependent)
        place = self._place_of(reference, namespace)
        if place is None:
            self._doubt(reference, dependent)
            return None
        entry = self.cluster.entry(*place)
        uid = str(reference.get("uid") or "")
        if entry is not None and entry.uid == uid:
            return self.cluster.parsed.load(entry)
        if uid not in self._absent:
            if namespace and self._lives_elsewhere(place[0], uid):
                self._complain(reference, dependent)
            else:
                self._remember_absent(uid)
        return {}

    def _place_of(self, reference: objects.Object, namespace: str) -> tuple[str, str, str] | None:
        resource = self._resource_of(reference)
        if resource is None or (resource.namespaced and not namespace):
            return None
        place = namespace if resource.namespaced else ""
        return (str(resource.storage), place, str(reference.get("name")))

    def _doubt(self, reference: objects.Object, dependent: objects.Object) -> None:
        """Say of a living owner in a namespace that it cannot own what is in none."""
        resource = self._resource_of(reference)
        uid = str(reference.get("uid") or "")
        if resource is not None and self._lives_elsewhere(str(resource.storage), uid):
            self._complain(reference, dependent)

    def _resource_of(self, reference: objects.Object) -> catalogue.Resource | None:
        api_version, kind = str(reference.get("apiVersion")), str(reference.get("kind"))
        return self.cluster.resource_of(api_version, kind)

    def _lives_elsewhere(self, ref: str, uid: str) -> bool:
        return any(entry.uid == uid for entry in self.cluster.entries(ref))

    def _complain(self, reference: objects.Object, dependent: objects.Object) -> None:
        namespace = objects.namespace_of(dependent)
        what = f"{reference.get('apiVersion')}/{reference.get('kind')}"
        self.recorder.event(
            dependent, "Warning", "OwnerRefInvalidNamespace",
            f"ownerRef [{what}, namespace: {namespace}, name: {reference.get('name')}, "
            f'uid: {reference.get("uid")}] does not exist in namespace "{namespace}"',
        )  # fmt: skip

    def _dependents_of(self, obj: objects.Object) -> list[indexes.Dependent]:
        return self.cluster.indexes.dependents(objects.uid_of(obj), objects.namespace_of(obj))

    def _delete(self, ref: str, obj: objects.Object, policy: str) -> None:
        self.cluster.delete(
            ref,
            objects.namespace_of(obj),
            objects.name_of(obj),
            uid=objects.uid_of(obj),
            resource_version=str(objects.metadata(obj).get("resourceVersion") or ""),
            policy=policy,
        )

    def _finish_foreground(self, ref: str, obj: objects.Object) -> None:
        """Let an owner go when no dependent holds it; delete those that came meanwhile.

        Of one that came at this very moment nothing is known yet: it goes after its owner, or when
        the owner is looked at again.
        """
        uid = objects.uid_of(obj)
        is_held = False
        for dependent in self._dependents_of(obj):
            found = self.cluster.peek(*dependent)
            if found is None or self._has_just_come(objects.uid_of(found)):
                continue
            if any(
                one.get("uid") == uid and one.get("blockOwnerDeletion") for one in _owners(found)
            ):
                is_held = True
                if uid not in self._resting and not objects.metadata(found).get(
                    "deletionTimestamp"
                ):
                    self._judge(dependent.ref, found)
        if not is_held:
            self._let_go(ref, obj, FOREGROUND)

    def _orphan(self, ref: str, obj: objects.Object) -> None:
        """Let go of dependents; then, when the owner's own controller has seen that, of the owner.

        The change of a dependent brings the owner back, after those who watch its kind.
        """
        uid = objects.uid_of(obj)
        dependents = [(one.ref, self.cluster.peek(*one)) for one in self._dependents_of(obj)]
        held = [(kind, found) for kind, found in dependents if found is not None]
        for kind, found in held:
            self._strip(kind, found, [{"uid": uid}])
        if not held:
            self._let_go(ref, obj, ORPHAN)

    def _strip(self, ref: str, obj: objects.Object, references: list[objects.Object]) -> None:
        """Take references off an object: by strategic merge, or whole where that is refused."""
        uids = [reference["uid"] for reference in references]
        kept = [reference for reference in _owners(obj) if reference.get("uid") not in uids]
        self._patch_owners(ref, obj, [{"$patch": "delete", "uid": uid} for uid in uids], kept)

    def _unblock(self, ref: str, obj: objects.Object) -> None:
        """Let an object hold none of its owners: they may wait for each other in a circle."""
        held = [one["uid"] for one in _owners(obj) if one.get("blockOwnerDeletion")]
        free = [{**one, "blockOwnerDeletion": False} if one["uid"] in held else one
                for one in _owners(obj)]  # fmt: skip
        merged = [{"uid": uid, "blockOwnerDeletion": False} for uid in held]
        self._patch_owners(ref, obj, merged, free)

    def _patch_owners(
        self,
        ref: str,
        obj: objects.Object,
        merged: list[objects.Object],
        whole: list[objects.Object],
    ) -> None:
        """Change an object's owners by strategic merge or, custom ones not knowing it, whole."""
        namespace, name = objects.namespace_of(obj), objects.name_of(obj)
        resource = self._resource_of(obj)
        if resource is not None and not resource.custom:
            body: objects.Object = {"uid": objects.uid_of(obj), "ownerReferences": merged}
            self.cluster.patch(ref, namespace, name, {"metadata": body})
            return
        version = objects.metadata(obj).get("resourceVersion")
        body = {"resourceVersion": version, "ownerReferences": whole or None}
        self.cluster.patch(ref, namespace, name, {"metadata": body}, patch_type=clusters.MERGE)

    def _let_go(self, ref: str, obj: objects.Object, finalizer: str) -> None:
        meta = objects.metadata(obj)
        kept = [one for one in meta.get("finalizers") or () if one != finalizer]
        body = {"resourceVersion": meta.get("resourceVersion"), "finalizers": kept or None}
        self.cluster.patch(
            ref, objects.namespace_of(obj), objects.name_of(obj), {"metadata": body},
            patch_type=clusters.MERGE,
        )  # fmt: skip

    def _remember_absent(self, uid: str) -> None:
        self._absent[uid] = None
        if len(self._absent) > ABSENT_MAX:
            del self._absent[next(iter(self._absent))]


def _owners(obj: objects.Object | None) -> list[objects.Object]:
    if obj is None:
        return []
    found: list[objects.Object] = objects.metadata(obj).get("ownerReferences") or []
    return found
