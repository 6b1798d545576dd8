"""ApplicationRevisions: what was delivered, each an immutable, numbered, compressed snapshot.

A revision's record holds the manifests without the values of Secrets and what else `masking` knows
to be sensitive; those are in a Secret of its own (`<revision>-values`), so that nobody who may read
revisions reads passwords. The digest covers both: values enter it through an HMAC whose salt is in
that Secret, because a plain digest of a short password is as good as the password.

    unchanged input    no revision is made
    A -> B -> A        the second A is a new revision: its number is new, its digest the old one
"""

from __future__ import annotations

import base64
import datetime as dt
import enum
import gzip
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson

from understudy.aio import clocks, ids
from understudy.client import protocol
from understudy.delivery import crds, errors, marks, masking, names, refs, targets
from understudy.kube import objects, statuses

RESOURCE = crds.REVISIONS
VALUES_TYPE = f"{marks.GROUP}/revision-values"
"""Type of the Secrets that hold revisions' values."""

RECORD_BYTES_MAX = 1_400_000
"""Encoded size of a record's data; etcd refuses objects of more than 1.5 MB."""


class Phase(enum.StrEnum):
    """What became of a revision."""

    DELIVERING = "Delivering"
    DELIVERED = "Delivered"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One snapshot of an application's manifests.

    Attributes:
        objects: The manifests, with their namespaces, without this application's marks.
        salt: Of the digest; empty where there are no Secret values.
        rollback_of: Name of the revision that this one repeats on request.
        created: When the record was made; empty before.
    """

    owner: targets.Owner
    number: int
    digest: str
    objects: tuple[objects.Object, ...] = field(repr=False)
    salt: str = field(default="", repr=False)
    rollback_of: str = ""
    phase: Phase = Phase.DELIVERING
    message: str = ""
    created: str = ""
    finished: str = ""

    @property
    def name(self) -> str:
        """The record's name: `shop-v3`."""
        return names.revision_name(self.owner.application, self.number)


# ---------------------------------------------------------------------- content


def canonical(given: Sequence[objects.Object]) -> list[objects.Object]:
    """Return manifests in one order, whatever files they came from."""
    return sorted(given, key=lambda obj: (refs.ref_of(obj), str(obj.get("apiVersion"))))


def has_values(given: Sequence[objects.Object]) -> bool:
    """Whether any manifest holds sensitive values: Secrets, and what else masking knows."""
    return any(masking.paths(obj) for obj in given)


def digest_of(given: Sequence[objects.Object], salt: str) -> str:
    """Return the digest of manifests: equal for equal content, whatever its order and files."""
    stripped, values = _strip(canonical(given))
    marked = [
        hmac.new(salt.encode(), orjson.dumps(value), hashlib.sha256).hexdigest() for value in values
    ]
    text = orjson.dumps([stripped, marked], option=orjson.OPT_SORT_KEYS)
    return f"sha256:{hashlib.sha256(text).hexdigest()}"


def _strip(
    given: Sequence[objects.Object],
) -> tuple[list[objects.Object], list[objects.Json]]:
    """Return manifests with null in place of sensitive values, and the values in order."""
    stripped, values = [], []
    for obj in given:
        rest, taken = masking.strip(obj)
        stripped.append(rest)
        values += taken
    return stripped, values


def _fill(stripped: Sequence[objects.Object], values: Sequence[objects.Json]) -> None:
    """Put values back, in place."""
    remaining = iter(values)
    for obj in stripped:
        masking.fill(obj, remaining)


# ---------------------------------------------------------------------- records


def as_objects(revision: Revision) -> tuple[objects.Object, objects.Object | None]:
    """Render a revision's record, and the Secret with its values (None where there are none).

    Raises:
        DeliveryError: The manifests are too large for one record even when compressed.
    """
    stripped, values = _strip(canonical(revision.objects))
    packed = gzip.compress(orjson.dumps(stripped, option=orjson.OPT_SORT_KEYS), 9, mtime=0)
    data = base64.b64encode(packed).decode()
    if len(data) > RECORD_BYTES_MAX:
        raise errors.DeliveryError(
            f"the {len(revision.objects)} manifests of {revision.owner} take {len(data)} bytes "
            f"compressed, more than the {RECORD_BYTES_MAX} that one revision's record can hold: "
            "split the application"
        )
    labels = {marks.APPLICATION: revision.owner.application}
    spec: objects.Object = {
        "application": revision.owner.application,
        "number": revision.number,
        "digest": revision.digest,
        "objects": len(revision.objects),
        "compression": "gzip",
        "data": data,
    }
    if revision.rollback_of:
        spec["rollbackOf"] = revision.rollback_of
    secret = None
    if values:
        spec["values"] = values_name(revision.name)
        kept = gzip.compress(orjson.dumps(values), 9, mtime=0)
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": spec["values"],
                "namespace": revision.owner.namespace,
                "labels": labels,
            },
            "type": VALUES_TYPE,
            "data": {
                "values": base64.b64encode(kept).decode(),
                "salt": base64.b64encode(revision.salt.encode()).decode(),
            },
        }
    record = {
        "apiVersion": marks.API_VERSION,
        "kind": "ApplicationRevision",
        "metadata": {
            "name": revision.name,
            "namespace": revision.owner.namespace,
            "labels": labels,
        },
        "spec": spec,
    }
    return record, secret


def values_name(revision: str) -> str:
    """Return the name of the Secret with a revision's values."""
    return f"{revision}-values"


def from_objects(record: objects.Object, secret: objects.Object | None) -> Revision:
    """Read what `as_objects` wrote.

    Raises:
        NoSuchRevisionError: The Secret with the values is gone.
    """
    spec, status = record["spec"], record.get("status") or {}
    given = orjson.loads(gzip.decompress(base64.b64decode(spec["data"])))
    salt = ""
    if spec.get("values"):
        if secret is None:
            raise errors.NoSuchRevisionError(
                f"the values of revision {objects.name_of(record)} are gone: the Secret "
                f"{spec['values']} does not exist"
            )
        packed = base64.b64decode(secret["data"]["values"])
        salt = base64.b64decode(secret["data"]["salt"]).decode()
        _fill(given, orjson.loads(gzip.decompress(packed)))
    return Revision(
        owner=targets.Owner(spec["application"], objects.namespace_of(record)),
        number=spec["number"],
        digest=spec["digest"],
        objects=tuple(given),
        salt=salt,
        rollback_of=spec.get("rollbackOf") or "",
        phase=Phase(status.get("phase") or Phase.DELIVERING),
        message=status.get("message") or "",
        created=str(objects.metadata(record).get("creationTimestamp") or ""),
        finished=status.get("finishedAt") or "",
    )


# ---------------------------------------------------------------------- the history


@dataclass(slots=True)
class History:
    """The revisions of one application, in the cluster.

    Attributes:
        records: The records as read, oldest first.
    """

    client: protocol.Client
    owner: targets.Owner
    records: list[objects.Object] = field(default_factory=list)

    async def read(self) -> History:
        """Read the records (not yet the values of Secrets)."""
        try:
            listing = await self.client.list(
                RESOURCE,
                namespace=self.owner.namespace,
                label_selector=f"{marks.APPLICATION}={self.owner.application}",
            )
        except statuses.NotFoundError:
            self.records = []  # The definitions are not installed: nothing was ever delivered.
        else:
            self.records = sorted(listing.items, key=_number_of)
        return self

    @property
    def next_number(self) -> int:
        """One more than the greatest number there is."""
        return _number_of(self.records[-1]) + 1 if self.records else 1

    async def load(self, record: objects.Object) -> Revision:
        """Return a revision with its manifests.

        Raises:
            NoSuchRevisionError: Its values are gone.
        """
        secret = None
        if name := record["spec"].get("values"):
            try:
                secret = await self.client.get("secrets", name, namespace=self.owner.namespace)
            except statuses.NotFoundError:
                secret = None
        return from_objects(record, secret)

    async def latest(self) -> Revision | None:
        """Return the newest revision, None where there is none."""
        return await self.load(self.records[-1]) if self.records else None

    async def find(self, name: str) -> Revision:
        """Return a revision by name (`shop-v3`) or number (`3`).

        Raises:
            NoSuchRevisionError: There is none; the message lists those there are.
        """
        for record in self.records:
            if name in (objects.name_of(record), str(_number_of(record))):
                return await self.load(record)
        known = ", ".join(objects.name_of(record) for record in self.records) or "none"
        raise errors.NoSuchRevisionError(
            f"the application {self.owner} has no revision {name!r}: it has {known}"
        )

    async def before(self) -> Revision:
        """Return the newest delivered revision whose content is not the newest's.

        A rollback that did not come to its end is gone on with: it is the newest itself.

        Raises:
            NoSuchRevisionError: There is none to go back to.
        """
        if (record := self._way_back()) is not None:
            return await self.load(record)
        raise errors.NoSuchRevisionError(
            f"the application {self.owner} has no earlier delivered revision to go back to"
        )

    def _way_back(self) -> objects.Object | None:
        """Return the record of the revision to go back to, None where there is none."""
        newest = self.records[-1] if self.records else None
        if newest is None:
            return None
        if newest["spec"].get("rollbackOf") and not _is_delivered(newest):
            return newest
        earlier = (
            record
            for record in reversed(self.records[:-1])
            if _is_delivered(record) and record["spec"]["digest"] != newest["spec"]["digest"]
        )
        return next(earlier, None)

    async def make(
        self, given: Sequence[objects.Object], idents: ids.IdSource, *, rollback_of: str = ""
    ) -> tuple[Revision, bool]:
        """Return the revision of some manifests and whether it is new (not yet written).

        The newest one where its content is the same.
        """
        latest = await self._latest_or_none()
        salt = ""
        if has_values(given):
            salt = (latest.salt if latest else "") or idents.uid() + idents.uid()
        digest = digest_of(given, salt)
        if latest is not None and latest.digest == digest:
            return latest, False
        made = Revision(
            owner=self.owner,
            number=self.next_number,
            digest=digest,
            objects=tuple(given),
            salt=salt,
            rollback_of=rollback_of,
        )
        return made, True

    async def _latest_or_none(self) -> Revision | None:
        try:
            return await self.latest()
        except errors.NoSuchRevisionError:
            return None  # Somebody deleted its values: it cannot be compared, so it is not equal.

    async def write(self, revision: Revision) -> None:
        """Write a new revision: first the values, then the record that makes it count."""
        record, secret = as_objects(revision)
        namespace = self.owner.namespace
        if secret is not None:
            await self._write_values(secret)
        made = await self.client.create(
            RESOURCE, record, namespace=namespace, field_manager=marks.RECORDS_MANAGER
        )
        self.records.append(made)

    async def _write_values(self, secret: objects.Object) -> None:
        name, namespace = objects.name_of(secret), self.owner.namespace
        try:
            await self.client.create(
                "secrets", secret, namespace=namespace, field_manager=marks.RECORDS_MANAGER
            )
        except statuses.AlreadyExistsError:
            # Left by a delivery that died before its record was written.
            live = await self.client.get("secrets", name, namespace=namespace)
            if live.get("type") != secret["type"]:
                raise errors.BlockedError(
                    [f"the Secret {namespace}/{name} is in the way of a revision's values: "
                     "rename it"]
                ) from None  # fmt: skip
            replaced = {**secret, "metadata": {**secret["metadata"], "uid": objects.uid_of(live)}}
            await self.client.update(
                "secrets", replaced, namespace=namespace, field_manager=marks.RECORDS_MANAGER
            )

    async def mark(
        self,
        revision: Revision,
        phase: Phase,
        clock: clocks.Clock,
        message: str = "",
        waits: Sequence[objects.Object] = (),
    ) -> None:
        """Write what became of a revision; nothing where that is already written.

        `waits` is how long its objects were waited for, see `estimates`.
        """
        record = next(
            (item for item in self.records if objects.name_of(item) == revision.name), None
        )
        if record is None:
            return
        status = record.get("status") or {}
        if (status.get("phase"), status.get("message") or "") == (str(phase), message):
            return
        said: objects.Object = {"phase": str(phase), "message": message or None}
        if waits:
            said["waits"] = list(waits)
        if phase is not Phase.DELIVERING:
            said["finishedAt"] = clocks.rfc3339(clock.now().astimezone(dt.UTC))
        marked = await self.client.patch(
            RESOURCE,
            revision.name,
            {"status": said},
            namespace=self.owner.namespace,
            subresource="status",
            field_manager=marks.RECORDS_MANAGER,
        )
        self.records[self.records.index(record)] = marked

    async def prune(self, limit: int, in_use: set[str]) -> list[str]:
        """Delete the oldest revisions beyond `limit`; returns their names.

        Never one in use, nor the one to go back to, however many failed since.

        Also deletes values whose record does not exist, left by deliveries that died.
        """
        if (way_back := self._way_back()) is not None:
            in_use = in_use | {objects.name_of(way_back)}
        kept = [record for record in self.records if objects.name_of(record) in in_use]
        spare = [record for record in self.records if objects.name_of(record) not in in_use]
        excess = max(0, len(kept) + len(spare) - limit)
        gone = spare[:excess]
        for record in gone:
            await self._delete(RESOURCE, objects.name_of(record), objects.uid_of(record))
        self.records = [record for record in self.records if record not in gone]
        await self._sweep()
        return [objects.name_of(record) for record in gone]

    async def _sweep(self) -> None:
        wanted = {record["spec"].get("values") for record in self.records}
        for secret in await self._values():
            if objects.name_of(secret) not in wanted:
                await self._delete("secrets", objects.name_of(secret), objects.uid_of(secret))

    async def _values(self) -> list[objects.Object]:
        listing = await self.client.list(
            "secrets",
            namespace=self.owner.namespace,
            label_selector=f"{marks.APPLICATION}={self.owner.application}",
        )
        return [obj for obj in listing.items if obj.get("type") == VALUES_TYPE]

    async def drop(self) -> None:
        """Delete every revision and its values: the application is gone."""
        for record in self.records:
            await self._delete(RESOURCE, objects.name_of(record), objects.uid_of(record))
        self.records = []
        await self._sweep()

    async def _delete(self, resource: str, name: str, uid: str) -> None:
        try:
            await self.client.delete(resource, name, namespace=self.owner.namespace, uid=uid)
        except (statuses.NotFoundError, statuses.ConflictError):
            return  # Gone already, or not the one that was read.


def _is_delivered(record: objects.Object) -> bool:
    return bool(objects.lookup(record, ("status", "phase")) == Phase.DELIVERED)


def _number_of(record: objects.Object) -> int:
    number = objects.lookup(record, ("spec", "number"), 0)
    return number if isinstance(number, int) else 0
