"""PersistentVolumes as directories of this machine: provisioned, and removed when they are gone."""

from __future__ import annotations

from typing import Final

from understudy.controllers import changes, clusters, reactor
from understudy.controllers.runtime import provisioner
from understudy.controllers.runtime.processes import folders
from understudy.controllers.storage import binder
from understudy.kube import objects

CLASSES: Final = "storageclasses.storage.k8s.io"
CLASS: Final = "directory"
IS_DEFAULT: Final = "storageclass.kubernetes.io/is-default-class"


class Directories(provisioner.SimulatedProvisioner):
    """Makes the volumes that claims ask for, each a directory."""

    name = "directory-provisioner"

    def __init__(self, shared: clusters.Shared, kept: folders.Folders) -> None:
        super().__init__(shared)
        self._folders = kept

    def prepare(self) -> None:
        """Make a class for claims that name none, unless there is one."""
        found = self.cluster.each(CLASSES)
        if not any(_is_default(one) or one["metadata"]["name"] == CLASS for one in found):
            self.cluster.create(CLASSES, {
                "apiVersion": "storage.k8s.io/v1",
                "kind": "StorageClass",
                "metadata": {"name": CLASS, "annotations": {IS_DEFAULT: "true"}},
                "provisioner": "understudy.dev/directory",
                "reclaimPolicy": "Delete",
                "volumeBindingMode": "Immediate",
            })  # fmt: skip

    def path_of(self, name: str) -> str:
        return str(self._folders.persistent(name))

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        super().observe(change, queue)
        if change.deleted and change.ref == binder.VOLUMES:
            policy = (change.object.get("spec") or {}).get("persistentVolumeReclaimPolicy")
            if policy == "Delete":
                self._folders.forget_volume(change.entry.name)


def _is_default(found: objects.Object) -> bool:
    return objects.annotations_of(found).get(IS_DEFAULT) == "true"
