"""Which live objects a delivery may touch: its own, those it may adopt, none it should leave."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from understudy.aio import clocks
from understudy.client import protocol
from understudy.delivery import (
    calling,
    fields,
    guards,
    marks,
    outcomes,
    rebasing,
    targets,
    trackers,
)
from understudy.kube import objects


class Adoption(enum.StrEnum):
    """Which existing objects may be taken over; kpt's names."""

    MUST_MATCH = "MustMatch"
    IF_NO_INVENTORY = "AdoptIfNoInventory"
    ALL = "AdoptAll"


@dataclass(frozen=True, slots=True)
class Claims:
    """What one application may claim.

    Each method takes a live object (None where there is none) and the tracker's entry for it.
    """

    owner: targets.Owner
    adoption: Adoption

    def is_ours(self, live: objects.Object, entry: trackers.Entry | None) -> bool:
        """Whether an object carries our mark, or is the one we shipped and has lost its mark."""
        if self.owner.owns(live):
            return True
        shipped = entry is not None and bool(entry.uid) and entry.uid == objects.uid_of(live)
        return shipped and marks.PART_OF not in objects.labels_of(live)

    def left_alone(
        self, target: targets.Target, live: objects.Object | None, entry: trackers.Entry | None
    ) -> str:
        """Return the annotation, on manifest or live object, that says not to touch it."""
        if said := marks.is_ignored(target.obj) or (live is not None and marks.is_ignored(live)):
            return str(said)
        if live is None:
            return marks.is_never_created(target.obj)
        return "" if self.is_ours(live, entry) else marks.is_created_once(target.obj)

    def obstacle(
        self, target: targets.Target, live: objects.Object | None, entry: trackers.Entry | None
    ) -> outcomes.Obstacle | None:
        """Say why a live object may not be touched; None where it may, or will not be."""
        if live is None or self.is_ours(live, entry) or self.left_alone(target, live, entry):
            return None
        owner = guards.whose(live)
        unowned = owner == guards.NOBODY and marks.PART_OF not in objects.labels_of(live)
        if self.adoption is Adoption.ALL:
            return None
        if unowned and self.adoption is Adoption.IF_NO_INVENTORY:
            return None
        flag = "--adopt takes it over" if unowned else "--take-over takes it from there"
        return outcomes.Obstacle(message=f"exists already, and {owner}", remedy=flag)

    def may_not_take(
        self, target: targets.Target, live: objects.Object | None, entry: trackers.Entry | None
    ) -> bool:
        """Whether an object that another application wants has to be left to it."""
        if self.adoption is Adoption.ALL or self.left_alone(target, live, entry):
            return False
        return live is None or not self.is_ours(live, entry)


async def migrate(
    client: protocol.Client,
    owner: targets.Owner,
    target: targets.Target,
    live: objects.Object,
    clock: clocks.Clock,
) -> None:
    """Make the fields of earlier deliverers ours, so that fields removed later really go."""
    managed = fields.migrated(
        live,
        owner.manager,
        lambda tree: rebasing.kept(target.ref, live, target.obj, tree),
    )
    if managed is None:
        return
    version = objects.metadata(live).get("resourceVersion")
    patch = [
        {"op": "replace", "path": "/metadata/managedFields", "value": managed},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": version},
    ]
    await calling.patiently(
        lambda: client.patch(
            target.resource.name,
            target.ref.name,
            patch,
            namespace=target.ref.namespace,
            patch_type=protocol.JSON_PATCH,
        ),
        clock,
    )
