"""What most kinds have in common, as one base class, and small checks that many kinds use.

A kind says by class attributes what it keeps apart; the methods here do it:

    create:  status becomes `initial_status`
    update:  main resource: status stays the old one;  `status`: everything but status stays
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar

from understudy.kapi.resources import strategies
from understudy.kapi.resources.kinds import gates
from understudy.kube import causes, names, objects, raws, schemas, statuses

STATUS_META_KEPT = ("ownerReferences", "finalizers", "labels", "annotations")


class Kind(strategies.Strategy):
    """A built-in kind.

    Attributes:
        resets_metadata: A status write keeps labels, annotations, finalizers and owners too
            (metav1.ResetObjectMetaForStatus).
        kept_on_status: What a status write takes from the stored object besides metadata.
        pods: Where the kind has the spec of a pod, e.g. `("spec", "template", "spec")`.
    """

    resets_metadata: ClassVar[bool] = False
    metadata_checks: ClassVar[names.MetadataChecks] = names.MetadataChecks(0, 1, True)
    kept_on_status: ClassVar[tuple[str, ...]] = ("spec",)
    pods: ClassVar[tuple[str, ...]] = ()

    def initial_status(self, obj: objects.Object) -> objects.Object:
        """Return the status with which an object begins."""
        return {}

    def prepare_create(self, obj: objects.Object, context: strategies.WriteContext) -> None:
        """Replace the status sent by the initial one; drop what is switched off."""
        if self.status_is_separate:
            obj["status"] = self.initial_status(obj)
        self._drop_disabled(obj, None)

    def prepare_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> None:
        """Keep the status apart from everything else; drop what is switched off."""
        if context.subresource != "status":
            self._drop_disabled(obj, old)
        if not self.status_is_separate:
            return
        if context.subresource == "status":
            for key in self.kept_on_status:
                restore(obj, old, key)
            if self.resets_metadata:
                for key in STATUS_META_KEPT:
                    restore(obj["metadata"], objects.metadata(old), key)
        else:
            restore(obj, old, "status")

    def _drop_disabled(self, obj: objects.Object, old: objects.Object | None) -> None:
        if self.pods and (spec := objects.lookup(obj, self.pods)):
            gates.drop_from_pod(spec, old and objects.lookup(old, self.pods))


def restore(obj: objects.Object, old: objects.Object, key: str) -> None:
    """Give `obj` what `old` has under a key, or nothing if it has nothing."""
    if key in old:
        obj[key] = old[key]
    else:
        obj.pop(key, None)


class Listing(Kind):
    """A kind with lists that are always written: sent empty they have an owner, kept as null.

    Attributes:
        lists: Paths of these lists.
    """

    lists: ClassVar[tuple[tuple[str, ...], ...]] = ()

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
        empty = [path for path in self.lists if objects.lookup(obj, path) == []]
        out = super().decode(
            obj, schema, mode=mode, api_version=api_version, kind=kind, duplicates=duplicates
        )
        self._write(obj, empty, [])
        return out

    def prepare_create(self, obj: objects.Object, context: strategies.WriteContext) -> None:
        super().prepare_create(obj, context)
        self._write(obj, [path for path in self.lists if not objects.lookup(obj, path)], None)

    def prepare_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> None:
        super().prepare_update(obj, old, context)
        self._write(obj, [path for path in self.lists if not objects.lookup(obj, path)], None)

    def _write(
        self, obj: objects.Object, paths: Iterable[tuple[str, ...]], value: objects.Json
    ) -> None:
        for *parents, key in paths:
            holder = objects.lookup(obj, parents)
            if isinstance(holder, dict):
                holder[key] = objects.copy(value)


class LabelNamed(Kind):
    """A kind whose names are DNS labels, without dots."""

    def validate_name(self, name: str) -> list[str]:
        return names.dns_label(name)


class PathNamed(Kind):
    """A kind whose names only have to fit into a URL path."""

    def validate_name(self, name: str) -> list[str]:
        return names.path_segment(name)


def put(obj: objects.Object, key: str, value: objects.Json) -> None:
    """Set a key, or remove it where there is no value."""
    if value is None:
        obj.pop(key, None)
    else:
        obj[key] = value


def same(new: objects.Json, old: objects.Json) -> bool:
    """Say whether two values are equal as Go's semantic comparison sees it: absent is empty."""
    return bool(new == old or _bare(new) == _bare(old))


def _bare(value: objects.Json) -> objects.Json:
    if isinstance(value, dict) and not isinstance(value, raws.Raw):
        kept = {key: _bare(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item is not None and item != []}
    if isinstance(value, list):
        return [_bare(item) for item in value]
    return value


def immutable(new: objects.Json, old: objects.Json, field: str) -> list[statuses.Cause]:
    """Complain if a value changed; absent and empty are the same, as in Go."""
    if new == old or (not new and not old and new is not False and old is not False):
        return []
    return [causes.invalid(field, new, causes.IMMUTABLE)]


def nonnegative(value: int | None, field: str) -> list[statuses.Cause]:
    """Complain about a number below zero."""
    if value is None or value >= 0:
        return []
    return [causes.invalid(field, value, causes.NEGATIVE)]


def decremented(
    obj: objects.Object, old: objects.Object, key: str = "collisionCount"
) -> list[statuses.Cause]:
    """Complain about a counter in the status that goes back."""
    value, before = ((one.get("status") or {}).get(key) for one in (obj, old))
    if before is None or (value is not None and value >= before):
        return []
    return [causes.invalid(f"status.{key}", value or 0, "cannot be decremented")]


def checked(value: str, field: str, check: Callable[[str], list[str]]) -> list[statuses.Cause]:
    """Complain about a string that a syntax check does not like."""
    return [causes.invalid(field, value, text) for text in check(value)]


def one_of(
    value: str | None, field: str, supported: Iterable[str], *, required: bool = True
) -> list[statuses.Cause]:
    """Complain about a value outside an enumeration; an empty one is missing, if required."""
    if not value:
        return [causes.required(field)] if required else []
    known = tuple(supported)
    return [] if value in known else [causes.unsupported(field, value, known)]
