"""Recycling: a pod empties a released volume, and tells on the volume how it fares.

Only volumes that are directories of a node or of an NFS server can be emptied so. Deprecated in
Kubernetes, and still done. Source: pkg/volume/util/recyclerclient, pkg/volume/plugins.go.
"""

from __future__ import annotations

from typing import Final

from understudy.controllers import clusters
from understudy.kube import objects, quantities

NAMESPACE: Final = "default"
PREFIX: Final = "recycler-for-"
SOURCES: Final = {"hostPath": 30, "nfs": 30}
"""What can be recycled, and for how many seconds longer with each Gi."""
SECONDS_MIN: Final = {"hostPath": 60, "nfs": 300}
IMAGE: Final = "registry.k8s.io/build-image/debian-base:bookworm-v1.0.6"
SCRIPT: Final = (
    'test -e /scrub && find /scrub -mindepth 1 -delete && test -z "$(ls -A /scrub)" || exit 1'
)


def source_of(volume: objects.Object) -> str:
    """Return the field that says where a volume is, empty if it cannot be recycled."""
    return next((source for source in SOURCES if volume["spec"].get(source)), "")


def start(cluster: clusters.Cluster, volume: objects.Object) -> None:
    """Create the pod that empties a volume."""
    source = source_of(volume)
    size = objects.lookup(volume, ("spec", "capacity", "storage")) or "0"
    whole_gi = quantities.parse(str(size)).value // 2**30
    pod: objects.Object = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"{PREFIX}{objects.name_of(volume)}", "namespace": NAMESPACE},
        "spec": {
            "activeDeadlineSeconds": max(SECONDS_MIN[source], SOURCES[source] * whole_gi),
            "restartPolicy": "Never",
            "volumes": [{"name": "vol", source: volume["spec"][source]}],
            "containers": [
                {
                    "name": "pv-recycler",
                    "image": IMAGE,
                    "command": ["/bin/sh"],
                    "args": ["-c", SCRIPT],
                    "volumeMounts": [{"name": "vol", "mountPath": "/scrub"}],
                }
            ],
        },
    }
    cluster.create("pods", pod)
