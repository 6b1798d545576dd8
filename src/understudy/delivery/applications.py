"""The Application record: which applications a cluster has, and how each is.

Also the application as a file: a document of this kind names components, whose manifests are
delivered together with whatever else was given.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from understudy.aio import clocks
from understudy.client import protocol
from understudy.delivery import (
    components,
    crds,
    errors,
    generating,
    manifests,
    marks,
    revisions,
    targets,
)
from understudy.kube import objects, statuses

RESOURCE = crds.APPLICATIONS
HISTORY_LIMIT = 10
"""Revisions kept; Helm, Argo CD and KubeVela keep as many."""


@dataclass(frozen=True, slots=True)
class Application:
    """What somebody wants delivered under one name.

    Attributes:
        manifests: Of all components, as written.
        history_limit: Revisions to keep.
    """

    owner: targets.Owner
    manifests: tuple[manifests.Manifest, ...]
    history_limit: int = HISTORY_LIMIT


def is_document(manifest: manifests.Manifest) -> bool:
    """Whether a manifest is an Application document."""
    obj = manifest.obj
    return obj.get("apiVersion") == marks.API_VERSION and obj.get("kind") == "Application"


def read(
    owner: targets.Owner,
    given: Sequence[manifests.Manifest],
    release: generating.Release | None = None,
) -> Application:
    """Return the application in some manifests; Application documents are opened.

    `release` is what their charts are rendered for, by default the owner's on any cluster.

    Raises:
        ManifestError: A component of an Application document cannot be read, or the document is
            about another application.
    """
    found: list[manifests.Manifest] = []
    complaints: list[str] = []
    limit = HISTORY_LIMIT
    release = release or generating.Release(name=owner.application, namespace=owner.namespace)
    for manifest in given:
        obj = manifest.obj
        if not is_document(manifest):
            found.append(manifest)
            continue
        name = objects.name_of(obj)
        if name != owner.application:
            complaints.append(
                f"{manifest.source}: is the application {name!r}, not {owner.application!r}"
            )
            continue
        limit = objects.lookup(obj, ("spec", "historyLimit"), HISTORY_LIMIT)
        for position, component in enumerate(objects.lookup(obj, ("spec", "components"), ())):
            found += components.opened(manifest.source, position, component, release, complaints)
    if complaints:
        raise errors.ManifestError(complaints)
    return Application(owner, tuple(found), limit)


class Records:
    """Reads and writes the Application record of one application."""

    __slots__ = ("_client", "_clock", "_owner")

    def __init__(self, client: protocol.Client, owner: targets.Owner, clock: clocks.Clock) -> None:
        self._client = client
        self._owner = owner
        self._clock = clock

    async def find(self) -> objects.Object | None:
        """Return the record, None where there is none."""
        try:
            return await self._client.get(
                RESOURCE, self._owner.application, namespace=self._owner.namespace
            )
        except statuses.NotFoundError:
            return None

    async def begin(self, revision: revisions.Revision) -> None:
        """Make sure the record exists and names the revision that is delivered."""
        live = await self.find()
        if live is not None and objects.lookup(live, ("spec", "revision")) == revision.name:
            return
        record = {
            "apiVersion": marks.API_VERSION,
            "kind": "Application",
            "metadata": {
                "name": self._owner.application,
                "namespace": self._owner.namespace,
                "labels": {marks.APPLICATION: self._owner.application},
            },
            "spec": {"revision": revision.name},
        }
        await self._client.apply(
            RESOURCE,
            record,
            namespace=self._owner.namespace,
            field_manager=marks.RECORDS_MANAGER,
            force=True,
        )

    async def mark(self, revision: str, phase: str, message: str, count: int) -> None:
        """Write how the application is; nothing where that is already written."""
        live = await self.find()
        if live is None:
            return
        said = {"phase": phase, "message": message, "revision": revision, "objects": count}
        known = live.get("status") or {}
        if {key: known.get(key) for key in said} == said:
            return
        said["deliveredAt"] = clocks.rfc3339(self._clock.now().astimezone(dt.UTC))
        said["observedGeneration"] = objects.metadata(live).get("generation")
        await self._client.patch(
            RESOURCE,
            self._owner.application,
            {"status": said},
            namespace=self._owner.namespace,
            subresource="status",
            field_manager=marks.RECORDS_MANAGER,
        )

    async def drop(self) -> None:
        """Delete the record."""
        try:
            await self._client.delete(
                RESOURCE, self._owner.application, namespace=self._owner.namespace
            )
        except statuses.NotFoundError:
            return


async def list_all(client: protocol.Client, namespace: str = "") -> list[objects.Object]:
    """Return the records of a namespace (`""`: of all); none where nothing was ever delivered."""
    try:
        return (await client.list(RESOURCE, namespace=namespace)).items
    except statuses.NotFoundError:
        return []
