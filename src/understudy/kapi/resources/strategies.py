"""What is particular to one kind, behind one small interface.

A verb (in `kapi.views`) does what all kinds have in common and asks the kind's `Strategy` for the
rest, always on a private, mutable copy of the object in its *storage* version, in this order:

    create:  default -> prepare_create -> (names, metadata) -> validate_create -> warnings
    update:  default -> prepare_update -> (metadata)        -> validate_update -> warnings

`subresource` is empty for the main resource, else `status`, `scale`, `ephemeralcontainers`, ...
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple, Protocol

from understudy.aio import ids
from understudy.kube import decoding, identities, names, objects, schemas, statuses


class Reader(Protocol):
    """What a strategy may read of the view it is part of."""

    def find(self, resource: str, namespace: str, name: str) -> objects.Object | None:
        """Return an object by kubectl's resource notation (`pods`, `jobs.batch`), or None."""
        ...

    def each(self, resource: str, namespace: str = "") -> Iterable[objects.Object]:
        """Yield every object of a resource, of one namespace or (`""`) of all, ordered by key."""
        ...

    def labels(self, resource: str, namespace: str, name: str) -> Mapping[str, str]:
        """Return an object's labels, empty if it is not there; cheaper than `find`."""
        ...

    def derived(
        self, resource: str, purpose: str, compute: Callable[[], objects.Json]
    ) -> objects.Json:
        """Return what `compute` makes of a resource's objects, computed when they have changed.

        `purpose` names the derivation, unique for the resource. The value must not be changed.
        """
        ...

    def tally(self, resource: str, field: str) -> Mapping[str, int]:
        """Count the comma-separated words of a selectable field over all objects of a resource.

        Costs what changed since the last call. The value holds until the next write.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class UserInfo:
    """Who asks.

    Attributes:
        is_internal: A part of the server itself, e.g. a controller: its rights are not asked for.
    """

    username: str = "system:admin"
    uid: str = ""
    groups: tuple[str, ...] = ("system:masters", "system:authenticated")
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()
    is_internal: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteContext:
    """What a strategy may know besides the objects.

    Attributes:
        reader: The view's present content.
        now: Wall time, UTC.
        ids: Source of random numbers and names.
        user: Who asks.
        subresource: Empty for the main resource.
        dry_run: True when nothing will be kept.
        warnings: Texts for Warning headers; validation may add to them.
    """

    reader: Reader
    now: dt.datetime
    ids: ids.IdSource
    user: UserInfo = field(default_factory=UserInfo)
    subresource: str = ""
    dry_run: bool = False
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a Table (`kubectl get`); `priority` 1 shows it only with `-o wide`."""

    name: str
    type: str = "string"
    format: str = ""
    description: str = ""
    priority: int = 0


class ScalePaths(NamedTuple):
    """Where a Scale's numbers stand in the object; `selector` may be empty."""

    spec: tuple[str, ...] = ("spec", "replicas")
    status: tuple[str, ...] = ("status", "replicas")
    selector: tuple[str, ...] = ("spec", "selector")


class Strategy:
    """The rules of a kind that has none of its own; kinds override what differs.

    Attributes:
        status_is_separate: The kind has a status subresource: main writes keep the old status,
            status writes keep everything else (metadata but for labels and annotations, spec).
        has_generation: metadata.generation is kept: 1 at creation, +1 when anything outside
            metadata and status changes.
        unconditional_update: A PUT without resourceVersion is accepted.
        graceful: Deletion sets a grace period first (pods).
        returns_object_on_delete: DELETE answers with the object rather than a Status.
        orphans_by_default: Deletion without a policy orphans the dependents (Job,
            ReplicationController).
        orphan_warning: Warning on such a deletion; empty for none.
        creates_on_update: A PUT to a name that does not exist creates it.
        metadata_checks: How often and how strictly the kind looks at metadata.
        raw_fields: Where values are compared as they were written (RawExtension); `*` is any item.
        selectable: Field selector keys besides metadata.name and metadata.namespace.
        selectable_refusal: What a kind that has such keys says of any other.
    """

    status_is_separate: ClassVar[bool] = False
    has_generation: ClassVar[bool] = False
    unconditional_update: ClassVar[bool] = True
    graceful: ClassVar[bool] = False
    returns_object_on_delete: ClassVar[bool] = False
    orphans_by_default: ClassVar[bool] = False
    orphan_warning: ClassVar[str] = ""
    creates_on_update: ClassVar[bool] = False
    metadata_checks: ClassVar[names.MetadataChecks] = names.MetadataChecks(changes=1)
    raw_fields: ClassVar[tuple[tuple[str, ...], ...]] = ()
    selectable: ClassVar[tuple[str, ...]] = ()
    selectable_refusal: ClassVar[str] = "field label not supported: {}"
    columns: ClassVar[Sequence[Column]] = ()
    scale_paths: ScalePaths = ScalePaths()

    def decode(
        self,
        obj: objects.Object,
        schema: schemas.Schema,
        *,
        mode: str,
        api_version: str,
        kind: str,
        duplicates: Sequence[str] = (),
    ) -> list[str]:
        """Bring a client's object, in place, into the form its kind's types give it.

        Unknown fields go, with a warning (mode `Warn`), an error (`Strict`) or nothing (`Ignore`).

        Raises:
            BadRequestError: A value of a wrong type, or unknown fields in mode `Strict`.
        """
        return decoding.decode(
            obj, schema, mode=mode, api_version=api_version, kind=kind, duplicates=duplicates
        )

    def default(self, obj: objects.Object) -> None:
        """Fill in, in place, what Kubernetes' SetDefaults functions fill in."""

    def settle(self, obj: objects.Object) -> bool:
        """Fill in, in place, the defaults that are not stored but seen by every reader.

        Says whether there was nothing to do: else the next write is a change, whatever it changes.
        """
        return True

    def prepare_create(self, obj: objects.Object, context: WriteContext) -> None:
        """Drop what a client may not set at creation and set what the server sets, in place."""

    def prepare_update(
        self, obj: objects.Object, old: objects.Object, context: WriteContext
    ) -> None:
        """Restore what a client may not change, in place; `old` must not be touched."""

    def validate_create(self, obj: objects.Object, context: WriteContext) -> list[statuses.Cause]:
        """Return every reason why the new object is not valid (metadata is checked elsewhere)."""
        return []

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: WriteContext
    ) -> list[statuses.Cause]:
        """Return every reason why the change is not valid."""
        return []

    def advances_generation(
        self, obj: objects.Object, old: objects.Object, subresource: str
    ) -> bool:
        """Say whether an update counts as a new generation (asked where `has_generation`)."""
        aside = ("metadata", "status", "apiVersion", "kind")
        mine = {key: value for key, value in obj.items() if key not in aside}
        theirs = {key: value for key, value in old.items() if key not in aside}
        return mine != theirs

    def holds_deletion(self, obj: objects.Object) -> bool:
        """Say whether something besides finalizers keeps a deleted object (namespaces)."""
        return False

    def terminating(self, obj: objects.Object) -> None:
        """Change, in place, what shows that deletion has begun (a namespace's phase)."""

    def validate_name(self, name: str) -> list[str]:
        """Return complaints about metadata.name; DNS subdomain unless the kind says otherwise."""
        return names.dns_subdomain(name)

    def warnings(self, obj: objects.Object, old: objects.Object | None) -> list[str]:
        """Return texts for Warning headers."""
        return []

    def selectable_fields(self, obj: objects.Object) -> dict[str, str]:
        """Return the values of the `selectable` fields."""
        return {}

    def row(self, obj: objects.Object, now: dt.datetime) -> list[objects.Json]:
        """Return the cells of the object's Table row, in the order of `columns`."""
        return []


Converter = Callable[[objects.Object], objects.Object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subresource:
    """One subresource, e.g. `status` of deployments.

    Attributes:
        name: `status`, `scale`, `eviction`, `binding`, `token`, `log`, ...
        kind: The kind it speaks, e.g. `Scale` of autoscaling/v1.
        verbs: As in discovery: create, get, patch, update, delete.
    """

    name: str
    kind: identities.GroupVersionKind
    verbs: tuple[str, ...]
