"""The bill of what an application has shipped: one `ResourceTracker` for each application.

    before the first write   entries := old and wanted        phase Applying
    after each batch         entries learn uid and state    phase Applying
    after collection         entries := what is left        phase Done

An entry is identified by cluster, group, kind, namespace and name; never by a version. It says
which revision wanted it last: whatever the present revision does not want is to be collected, so
neither A -> B -> A nor a delivery that died half-way can make a wanted object look old. The record
is written before anything is applied, and every write of it names the resourceVersion it was made
from: whoever lost the lease meanwhile is refused (409) and stops.
"""

from __future__ import annotations

import base64
import dataclasses
import enum
import zlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

import orjson

from understudy.client import protocol
from understudy.delivery import errors, marks, names, refs, targets
from understudy.kube import objects, statuses

RESOURCE = f"resourcetrackers.{marks.VERSION}.{marks.GROUP}"
PLAIN_ENTRIES_MAX = 2000
"""More entries are written compressed: 2000 are about 400 KB, and etcd takes 1.5 MB."""


class State(enum.StrEnum):
    """What is known of an entry's object.

    | state    | the object                                                              |
    | -------- | ----------------------------------------------------------------------- |
    | Pending  | may or may not exist: about to be applied, or being replaced            |
    | Applied  | was applied; `uid` is its uid                                            |
    | Deleting | was asked to go and has finalizers or dependents                         |
    | Kept     | is no longer wanted, but a guard keeps it; looked at again next time     |
    | Ran      | was a hook that has come to its end; may be gone                         |
    """

    PENDING = "Pending"
    APPLIED = "Applied"
    DELETING = "Deleting"
    KEPT = "Kept"
    RAN = "Ran"


class Phase(enum.StrEnum):
    """How far the last delivery came."""

    APPLYING = "Applying"
    DONE = "Done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One object that was, or is about to be, shipped.

    Attributes:
        version: In which it was applied last: a hint to find its resource, not identity.
        uid: As learnt from the server; empty while Pending.
        revision: Name of the revision that wanted it last.
        reason: Why a Kept object is kept.
    """

    ref: refs.Ref
    version: str = ""
    uid: str = ""
    state: State = State.PENDING
    revision: str = ""
    cluster: str = ""
    reason: str = ""

    @property
    def api_version(self) -> str:
        """As the object was applied."""
        return f"{self.ref.group}/{self.version}" if self.ref.group else self.version

    def as_dict(self) -> objects.Object:
        """Render as an entry of `spec.resources`."""
        out = self.ref.as_dict() | {
            "version": self.version,
            "state": str(self.state),
            "revision": self.revision,
        }
        for key in ("uid", "cluster", "reason"):
            if value := getattr(self, key):
                out[key] = value
        return out


def _still(old: Entry | None, revision: str, *, is_hook: bool) -> State:
    """Return what is known of an object that is wanted again."""
    if old is None or old.state not in (State.APPLIED, State.RAN):
        return State.PENDING
    return State.PENDING if is_hook and old.revision != revision else old.state


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracker:
    """All that an application has shipped. Immutable; each method returns another.

    Attributes:
        fence: Raised whenever somebody takes the delivery over from a holder that went silent.
        resource_version: Of the record this was read from; empty while it is not written.
    """

    owner: targets.Owner
    entries: Mapping[refs.Ref, Entry] = field(default_factory=dict)
    phase: Phase = Phase.DONE
    revision: str = ""
    fence: int = 0
    resource_version: str = ""
    uid: str = ""

    @property
    def name(self) -> str:
        """The record's name."""
        return names.record_name(self.owner.application, self.owner.namespace)

    def claimed(
        self,
        wanted: Iterable[targets.Target],
        revision: str,
        hooks: Collection[refs.Ref] = frozenset(),
    ) -> Tracker:
        """Return old and wanted: what is written before the first object is applied.

        What an earlier revision's run left of `hooks`, which are to run, does not count. The same
        tracker where nothing is new: then nothing needs to be written.
        """
        merged = dict(self.entries)
        for target in wanted:
            old = merged.get(target.ref)
            merged[target.ref] = Entry(
                ref=target.ref,
                version=target.resource.version,
                uid=old.uid if old else "",
                state=_still(old, revision, is_hook=target.ref in hooks),
                revision=revision,
            )
        if merged == self.entries and revision == self.revision:
            return self
        return dataclasses.replace(self, entries=merged, phase=Phase.APPLYING, revision=revision)

    def learnt(self, uids: Mapping[refs.Ref, str]) -> Tracker:
        """Return it with objects known to be applied, by uid."""
        return self._changed(
            {
                ref: dataclasses.replace(entry, uid=uid, state=State.APPLIED)
                for ref, uid in uids.items()
                if (entry := self.entries.get(ref)) is not None
                and (entry.state, entry.uid) != (State.RAN, uid)
            }
        )

    def renewing(self, ref: refs.Ref) -> Tracker:
        """Return it with an object that is about to be deleted and created anew."""
        entry = dataclasses.replace(self.entries[ref], uid="", state=State.PENDING)
        return self._changed({ref: entry})

    def marked(self, ref: refs.Ref, state: State, reason: str = "") -> Tracker:
        """Return it with another state of one entry."""
        entry = dataclasses.replace(self.entries[ref], state=state, reason=reason)
        return self._changed({ref: entry})

    def without(self, gone: Iterable[refs.Ref]) -> Tracker:
        """Return it without entries whose objects are gone, or no longer ours."""
        dropped = set(gone)
        left = {ref: entry for ref, entry in self.entries.items() if ref not in dropped}
        return dataclasses.replace(self, entries=left)

    def done(self) -> Tracker:
        """Return it at the end of a delivery."""
        return dataclasses.replace(self, phase=Phase.DONE)

    def unwanted(self, revision: str) -> list[Entry]:
        """Return the entries that a revision does not want: what is to be collected."""
        return [entry for entry in self.entries.values() if entry.revision != revision]

    def _changed(self, entries: Mapping[refs.Ref, Entry]) -> Tracker:
        return dataclasses.replace(self, entries={**self.entries, **entries})

    # ------------------------------------------------------------------ as a record

    def as_object(self) -> objects.Object:
        """Render as the custom resource, which is also a valid ApplySet parent."""
        ordered = [self.entries[ref].as_dict() for ref in sorted(self.entries)]
        spec: objects.Object = {
            "application": {"name": self.owner.application, "namespace": self.owner.namespace},
            "phase": str(self.phase),
            "revision": self.revision,
            "fence": self.fence,
            "count": len(ordered),
        }
        if len(ordered) > PLAIN_ENTRIES_MAX:
            packed = zlib.compress(orjson.dumps(ordered), 6)
            spec["compressed"] = base64.b64encode(packed).decode()
        else:
            spec["resources"] = ordered
        kinds = {f"{ref.kind}.{ref.group}".rstrip(".") for ref in self.entries}
        spaces = {ref.namespace for ref in self.entries if ref.namespace}
        meta: objects.Object = {
            "name": self.name,
            "labels": {
                marks.APPLICATION: self.owner.application,
                marks.APPLYSET_ID: self.owner.part_of,
            },
            "annotations": {
                marks.APPLYSET_TOOLING: marks.TOOLING,
                marks.APPLYSET_KINDS: ",".join(sorted(kinds)),
                marks.APPLYSET_NAMESPACES: ",".join(sorted(spaces)),
            },
        }
        if self.resource_version:
            meta["resourceVersion"] = self.resource_version
        if self.uid:
            meta["uid"] = self.uid
        return {
            "apiVersion": marks.API_VERSION,
            "kind": "ResourceTracker",
            "metadata": meta,
            "spec": spec,
        }


def from_object(obj: objects.Object) -> Tracker:
    """Read what `as_object` wrote."""
    spec = obj["spec"]
    listed = spec.get("resources")
    if listed is None and spec.get("compressed"):
        listed = orjson.loads(zlib.decompress(base64.b64decode(spec["compressed"])))
    entries = {}
    for item in listed or ():
        ref = refs.from_dict(item)
        entries[ref] = Entry(
            ref=ref,
            version=item.get("version") or "",
            uid=item.get("uid") or "",
            state=State(item.get("state") or State.PENDING),
            revision=item.get("revision") or "",
            cluster=item.get("cluster") or "",
            reason=item.get("reason") or "",
        )
    application = spec["application"]
    return Tracker(
        owner=targets.Owner(application["name"], application["namespace"]),
        entries=entries,
        phase=Phase(spec.get("phase") or Phase.DONE),
        revision=spec.get("revision") or "",
        fence=int(spec.get("fence") or 0),
        resource_version=str(obj["metadata"].get("resourceVersion") or ""),
        uid=objects.uid_of(obj),
    )


def _check_parent(obj: objects.Object, owner: targets.Owner) -> None:
    """Refuse a tracker that another tool manages as its ApplySet, as kubectl refuses ours.

    Raises:
        FencedError: It is.
    """
    tool = objects.annotations_of(obj).get(marks.APPLYSET_TOOLING, marks.TOOLING).split("/")[0]
    known = objects.labels_of(obj).get(marks.APPLYSET_ID, owner.part_of)
    if tool != marks.TOOLING.split("/", maxsplit=1)[0]:
        told = f"annotation {marks.APPLYSET_TOOLING} says that {tool} manages it"
    elif known != owner.part_of:
        told = f"label {marks.APPLYSET_ID} is {known} instead of {owner.part_of}"
    else:
        return
    raise errors.FencedError(
        f"the tracker {objects.name_of(obj)} is not to be changed: its {told}; put it right, or "
        "deliver under another name"
    )


class TrackerStore:
    """Reads and writes trackers; a write that changes nothing is not sent."""

    __slots__ = ("_client", "_written")

    def __init__(self, client: protocol.Client) -> None:
        self._client = client
        self._written: Tracker | None = None

    async def load(self, owner: targets.Owner) -> Tracker:
        """Return an application's tracker; an empty one, not yet written, where there is none.

        Raises:
            FencedError: The record of this name is another application's, or another tool's.
        """
        empty = Tracker(owner=owner)
        try:
            obj = await self._client.get(RESOURCE, empty.name)
        except statuses.NotFoundError:
            return empty
        _check_parent(obj, owner)
        found = from_object(obj)
        if found.owner != owner:
            raise errors.FencedError(
                f"the tracker {empty.name} is of the application {found.owner}, not {owner}"
            )
        self._written = found
        return found

    async def save(self, tracker: Tracker) -> Tracker:
        """Write a tracker made from the one last read or written, and return it as written.

        Raises:
            FencedError: Somebody else wrote it meanwhile.
        """
        known = self._written
        if known is not None and tracker == known:
            return tracker
        try:
            if tracker.resource_version:
                obj = await self._client.update(
                    RESOURCE, tracker.as_object(), field_manager=marks.RECORDS_MANAGER
                )
            else:
                obj = await self._client.create(
                    RESOURCE, tracker.as_object(), field_manager=marks.RECORDS_MANAGER
                )
        except (statuses.ConflictError, statuses.AlreadyExistsError) as error:
            raise errors.FencedError(
                f"somebody else delivers {tracker.owner} now: its tracker {tracker.name} was "
                "changed meanwhile; run the command again"
            ) from error
        self._written = dataclasses.replace(
            tracker,
            resource_version=str(obj["metadata"]["resourceVersion"]),
            uid=objects.uid_of(obj),
        )
        return self._written

    async def drop(self, tracker: Tracker) -> None:
        """Delete the record of an application that is gone."""
        if not tracker.resource_version:
            return
        try:
            await self._client.delete(
                RESOURCE, tracker.name, uid=tracker.uid, resource_version=tracker.resource_version
            )
        except statuses.NotFoundError:
            return
        except statuses.ConflictError as error:
            raise errors.FencedError(
                f"somebody else delivers {tracker.owner} now: its tracker was changed meanwhile"
            ) from error
