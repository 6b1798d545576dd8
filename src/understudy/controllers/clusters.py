"""What a controller holds in its hands: one view, read and written in the controller's name.

Every write goes through the view's verbs, so it passes defaulting, validation, quota and the rest
exactly as a client's would, and is noted in the journal.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from understudy.aio import clocks
from understudy.controllers import indexes, outboxes
from understudy.kapi.resources import catalogue, strategies
from understudy.kapi.store import entries, parsed as forms
from understudy.kapi.views import options, results, view as views
from understudy.kube import identities, objects

MANAGER = "kube-controller-manager"
SCHEDULER = "kube-scheduler"
KUBELET = "kubelet"
STRATEGIC = options.STRATEGIC_MERGE_PATCH
MERGE = options.MERGE_PATCH


class Write(NamedTuple):
    """One line of the journal: who did what to which object.

    Attributes:
        controller: Who wrote, e.g. `deployment-controller`.
        verb: `create`, `update`, `patch` or `delete`.
        ref: The resource in kubectl's notation.
        subresource: `status`, `binding`, ... or empty.
        revision: The revision the write produced; 0 where it left no object.
        moment: When, by the reactor's clock.
        uid: Of an object that is gone, or may be; empty for others.
    """

    controller: str
    verb: str
    ref: str
    namespace: str
    name: str
    subresource: str
    revision: int
    moment: dt.datetime
    uid: str = ""


TokenSigner = Callable[[objects.Object, objects.Object], str]


def unsigned(account: objects.Object, secret: objects.Object) -> str:
    """Return what stands for a token where no server is: nobody accepts it."""
    return f"unsigned.{objects.uid_of(account)}.{objects.uid_of(secret)}"


@dataclass(slots=True, kw_only=True, eq=False)
class Shared:
    """What all controllers of one reactor have in common.

    Attributes:
        journal: Receives every write, in order.
        root_ca: PEM bundle that clients in the cluster trust the API server by.
        sign_token: Returns the token of a ServiceAccount that a Secret (the second) is to hold.
        follows_leases: Nodes are lost when their leases are not renewed; off where time jumps.
        event_numbers: Tell apart the names of Events of one moment.
        outbox: Takes the writes that have to wait for webhooks.
    """

    view: views.View
    clock: clocks.Clock
    indexes: indexes.Indexes
    journal: Callable[[Write], None]
    parsed: forms.Parsed
    root_ca: str = ""
    sign_token: TokenSigner = unsigned
    follows_leases: bool = True
    event_numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    outbox: outboxes.Outbox = field(default_factory=outboxes.Outbox)


class Cluster:
    """A view in a controller's hands.

    Attributes:
        agent: The controller's name as the last part of its user agent, e.g.
            `deployment-controller`; also the author in audit lines.
        program: First part of the user agent and owner of the fields written.
    """

    __slots__ = (
        "_event_numbers",
        "_options",
        "agent",
        "clock",
        "indexes",
        "journal",
        "outbox",
        "parsed",
        "program",
        "view",
    )

    def __init__(self, shared: Shared, agent: str, program: str = MANAGER) -> None:
        self.view = shared.view
        self.clock = shared.clock
        self.indexes = shared.indexes
        self.parsed = shared.parsed
        self.journal = shared.journal
        self.outbox = shared.outbox
        self._event_numbers = shared.event_numbers
        self.agent = agent
        self.program = program
        self._options = options.WriteOptions(
            field_manager=program,
            user_agent=f"{program}/v1.36.0 (linux/amd64) kubernetes/understudy/{agent}",
            user=_user(agent, program),
        )

    # ------------------------------------------------------------------ time

    def now(self) -> dt.datetime:
        """Return the wall time."""
        return self.clock.now()

    def stamp(self) -> str:
        """Return the wall time as metav1.Time writes it."""
        return clocks.rfc3339(self.clock.now())

    def event_number(self) -> int:
        """Return a number that no other Event of the reactor has."""
        return next(self._event_numbers)

    # ------------------------------------------------------------------ reads

    def find(self, ref: str, namespace: str, name: str) -> objects.Object | None:
        """Return an object, private to the caller, or None."""
        return self.view.find(ref, namespace, name)

    def peek(self, ref: str, namespace: str, name: str) -> objects.Object | None:
        """Return an object that is shared and must not be changed, or None."""
        entry = self.entry(ref, namespace, name)
        return self.parsed.load(entry) if entry is not None else None

    def draft(self, ref: str, namespace: str, name: str) -> objects.Object | None:
        """Return an object to be written back, or None.

        Its fields, metadata and status are private to the caller. What lies below others, as below
        metadata's own fields, is shared: it may be replaced, not changed.
        """
        obj = self.peek(ref, namespace, name)
        if obj is None:
            return None
        own = {**obj, "metadata": dict(obj["metadata"])}
        if "status" in obj:
            own["status"] = objects.copy(obj["status"])
        return own

    def entry(self, ref: str, namespace: str, name: str) -> entries.Entry | None:
        """Return an object's entry (uid, labels and revision without parsing), or None."""
        resource = self.view.catalogue.named(ref)
        return self.view.entry(resource, namespace, name) if resource is not None else None

    def labelled(self, ref: str, namespace: str, labels: Mapping[str, str]) -> list[entries.Entry]:
        """Return the entries of a namespace that have all these labels (some), ordered by name."""
        found = []
        for name in self.indexes.labels.having_all(ref, namespace, labels):
            entry = self.entry(ref, namespace, name)
            if entry is not None and labels.items() <= entry.labels.items():
                found.append(entry)
        return found

    def entries(self, ref: str, namespace: str = "") -> list[entries.Entry]:
        """Return the entries of a resource, of one namespace or of all, ordered by key."""
        resource = self.view.catalogue.named(ref)
        return self.view.entries(resource, namespace) if resource is not None else []

    def each(self, ref: str, namespace: str = "") -> Iterator[objects.Object]:
        """Yield the objects of a resource, shared and not to be changed, ordered by key."""
        for entry in self.entries(ref, namespace):
            yield self.parsed.load(entry)

    def resource_of(self, api_version: str, kind: str) -> catalogue.Resource | None:
        """Return the resource of an apiVersion and kind, or None if it is not served."""
        return self.view.catalogue.by_kind(api_version, kind)

    # ------------------------------------------------------------------ writes

    # `quiet` writers do not want the answer: it is not parsed, and only the name is returned.

    def create(self, ref: str, obj: objects.Object, *, quiet: bool = False) -> objects.Object:
        """Create an object in the namespace it names and return it."""
        namespace, meta = objects.namespace_of(obj), objects.metadata(obj)

        def write(asked: options.WriteOptions) -> objects.Object:
            again = asked.attempt is not None
            mine = obj if again else _lent(obj)
            written = self.view.create(ref, mine, namespace, options=asked, owned=not again)
            name = objects.name_of(obj)
            return self._note("create", ref, namespace, name, "", written, quiet=quiet)

        name = str(meta.get("name") or meta.get("generateName") or "")
        return self._write("create", ref, namespace, name, "", write)

    def update(
        self, ref: str, obj: objects.Object, subresource: str = "", *, quiet: bool = False
    ) -> objects.Object:
        """Replace an object (409 if it carries an old resourceVersion) and return it."""
        namespace, name = objects.namespace_of(obj), objects.name_of(obj)

        def write(asked: options.WriteOptions) -> objects.Object:
            again = asked.attempt is not None
            written = self.view.update(
                ref,
                obj if again else self._renewed(ref, obj),
                namespace,
                name=name,
                subresource=subresource,
                options=asked,
                owned=not again,
            )
            return self._note("update", ref, namespace, name, subresource, written, quiet=quiet)

        return self._write("update", ref, namespace, name, subresource, write)

    def update_status(
        self, ref: str, obj: objects.Object, *, quiet: bool = False
    ) -> objects.Object:
        """Replace an object's status."""
        return self.update(ref, obj, "status", quiet=quiet)

    def patch(
        self,
        ref: str,
        namespace: str,
        name: str,
        body: objects.Json,
        *,
        subresource: str = "",
        patch_type: str = STRATEGIC,
        quiet: bool = False,
    ) -> objects.Object:
        """Patch an object, by strategic merge unless said otherwise, and return it."""

        def write(asked: options.WriteOptions) -> objects.Object:
            written = self.view.patch(
                ref,
                name,
                body,
                namespace,
                patch_type=patch_type,
                subresource=subresource,
                options=asked,
            )
            return self._note("patch", ref, namespace, name, subresource, written, quiet=quiet)

        return self._write("patch", ref, namespace, name, subresource, write)

    def delete(
        self,
        ref: str,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        resource_version: str = "",
        policy: str = "",
        grace_period_s: int | None = None,
    ) -> None:
        """Delete an object, with preconditions where given."""

        def write(asked: options.WriteOptions) -> objects.Object:
            written = self.view.delete(
                ref,
                name,
                namespace,
                options=options.DeleteOptions(
                    grace_period_s=grace_period_s,
                    propagation_policy=policy,
                    uid=uid,
                    resource_version=resource_version,
                    user=asked.user,
                    attempt=asked.attempt,
                ),
            )
            return self._note("delete", ref, namespace, name, "", written, quiet=True)

        self._write("delete", ref, namespace, name, "", write)

    def apply(self, ref: str, obj: objects.Object) -> None:
        """Apply an object's fields (server-side), taking them over from whoever has them."""
        namespace, name = objects.namespace_of(obj), objects.name_of(obj)

        def write(asked: options.WriteOptions) -> objects.Object:
            written = self.view.patch(
                ref,
                name,
                obj,
                namespace,
                patch_type=options.APPLY_PATCH,
                options=dataclasses.replace(asked, force=True),
            )
            return self._note("patch", ref, namespace, name, "", written, quiet=True)

        self._write("patch", ref, namespace, name, "", write)

    def bind(self, namespace: str, name: str, uid: str, node: str) -> None:
        """Bind a pod to a node."""
        binding: objects.Object = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name, "namespace": namespace, "uid": uid},
            "target": {"kind": "Node", "name": node},
        }

        def write(asked: options.WriteOptions) -> objects.Object:
            self.view.create(
                "pods", binding, namespace, name=name, subresource="binding", options=asked
            )
            return self._note("create", "pods", namespace, name, "binding", None)

        self._write("create", "pods", namespace, name, "binding", write)

    def _write(
        self,
        verb: str,
        ref: str,
        namespace: str,
        name: str,
        subresource: str,
        write: Callable[[options.WriteOptions], objects.Object],
    ) -> objects.Object:
        """Write, or leave what has to wait for webhooks to the outbox.

        Raises:
            PostponedError: It was left there. Events are left without a word: nobody waits for one.
        """
        if not self.outbox.postpones:
            return write(self._options)
        attempt = self.view.attempt(self.view.resolve(ref))
        if attempt is None:
            return write(self._options)
        wish = outboxes.Wish(self.agent, verb, ref, namespace, name, subresource)
        asked = dataclasses.replace(self._options, attempt=attempt)
        try:
            return self.outbox.write(wish, attempt, lambda: write(asked))
        except outboxes.PostponedError:
            if ref.partition(".")[0] == "events":
                return {}
            raise

    def _renewed(self, ref: str, obj: objects.Object) -> objects.Object:
        """Return an object for the view to keep in the place of the present one.

        Values that are the present one's own stay so; others, which the caller may yet change,
        are copied.
        """
        entry = self.entry(ref, objects.namespace_of(obj), objects.name_of(obj))
        known = self.parsed.known(entry) if entry is not None else None
        present = known or {"metadata": {}}
        meta = _unshared(obj["metadata"], present["metadata"])
        return {**_unshared(obj | {"metadata": None}, present), "metadata": meta}

    def _note(
        self,
        verb: str,
        ref: str,
        namespace: str,
        name: str,
        subresource: str,
        written: results.Written | None,
        *,
        quiet: bool = False,
    ) -> objects.Object:
        revision, uid = 0, ""
        if written is not None and written.entry is not None:
            revision, name = written.entry.revision, written.entry.name
            uid = written.entry.uid if verb == "delete" else ""
        elif written is not None:
            ended = written.object()
            uid = objects.lookup(ended, ("details", "uid"), "") or objects.uid_of(ended)
        self.journal(
            Write(self.agent, verb, ref, namespace, name, subresource, revision, self.now(), uid)
        )
        return {"metadata": {"name": name}} if written is None or quiet else written.object()


def owner_reference(owner: objects.Object, *, controller: bool = True) -> objects.Object:
    """Return the reference with which a controller marks what it made."""
    meta = objects.metadata(owner)
    reference: objects.Object = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": meta["name"],
        "uid": meta["uid"],
    }
    if controller:
        reference |= {"controller": True, "blockOwnerDeletion": True}
    return reference


def _lent(obj: objects.Object) -> objects.Object:
    """Return an object for the view to keep, without copying all of it.

    The view sets the metadata's own fields; what lies deeper is as the store has it, or made by a
    controller in the same form, so that decoding and defaulting leave it alone.
    """
    return {**obj, "metadata": dict(obj["metadata"])}


def _unshared(obj: objects.Object, present: objects.Object) -> objects.Object:
    """Return a mapping whose values are the present one's own, or copies."""
    return {
        key: value if value is present.get(key) else objects.copy(value)
        for key, value in obj.items()
    }


def key_of(obj: objects.Object) -> identities.ObjectKey:
    """Return an object's namespace and name."""
    return identities.ObjectKey(objects.namespace_of(obj), objects.name_of(obj))


def _user(agent: str, program: str) -> strategies.UserInfo:
    groups: tuple[str, ...]
    if program == MANAGER:
        name = f"system:serviceaccount:kube-system:{agent}"
        groups = ("system:serviceaccounts", "system:serviceaccounts:kube-system")
    elif program == SCHEDULER:
        name, groups = "system:kube-scheduler", ()
    else:
        name, groups = f"system:node:{agent}", ("system:nodes",)
    return strategies.UserInfo(
        username=name, groups=(*groups, "system:authenticated"), is_internal=True
    )
