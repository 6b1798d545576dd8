"""Fields of features that are off by default, which Kubernetes drops from what clients send.

An object that has such a field already may keep it: it was made while the feature was on. Source:
dropDisabledFields in pkg/api/pod and its neighbours, pkg/features @1.36.
"""

from __future__ import annotations

from collections.abc import Iterator

from understudy.kube import objects

_PROJECTIONS = ("clusterTrustBundle", "podCertificate")


def drop_from_pod(spec: objects.Object, old: objects.Object | None) -> None:
    """Drop from a pod's spec, in place, what its old spec does not use either."""
    for key in _PROJECTIONS:
        used = [source for source in _projected(spec) if key in source]
        if used and not any(key in source for source in _projected(old or {})):
            for source in used:
                del source[key]
    signalled = list(_signalled(spec))
    if signalled and not any(_signalled(old or {})):
        for container in signalled:
            del container["lifecycle"]["stopSignal"]
            if not container["lifecycle"]:
                del container["lifecycle"]
    if "schedulingGroup" in spec and "schedulingGroup" not in (old or {}):
        del spec["schedulingGroup"]


def _projected(spec: objects.Object) -> Iterator[objects.Object]:
    for volume in spec.get("volumes") or ():
        if projected := volume.get("projected"):
            yield from projected.get("sources") or ()


def _signalled(spec: objects.Object) -> Iterator[objects.Object]:
    for key in ("containers", "initContainers", "ephemeralContainers"):
        for container in spec.get(key) or ():
            if (container.get("lifecycle") or {}).get("stopSignal") is not None:
                yield container
