"""The APIServices of the groups that the API server serves itself.

Priorities order groups in discovery and versions within a group. Source: kube-apiserver's
`pkg/controlplane/apiserver/aggregator.go` @1.36; groups it does not name come last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from understudy.kube import objects

_ITSELF = ("apiregistration.k8s.io", "v1")
_LABEL = "kube-aggregator.kubernetes.io/automanaged"
_GROUPS = {
    "": 18_000,
    "apps": 17_800,
    "events.k8s.io": 17_750,
    "authentication.k8s.io": 17_700,
    "authorization.k8s.io": 17_600,
    "autoscaling": 17_500,
    "batch": 17_400,
    "certificates.k8s.io": 17_300,
    "networking.k8s.io": 17_200,
    "policy": 17_100,
    "rbac.authorization.k8s.io": 17_000,
    "storage.k8s.io": 16_800,
    "apiextensions.k8s.io": 16_700,
    "admissionregistration.k8s.io": 16_700,
    "scheduling.k8s.io": 16_600,
    "coordination.k8s.io": 16_500,
    "node.k8s.io": 16_300,
    "discovery.k8s.io": 16_200,
    "resource.k8s.io": 16_200,
    "flowcontrol.apiserver.k8s.io": 16_100,
    "internal.apiserver.k8s.io": 16_000,
    "storagemigration.k8s.io": 15_800,
}
_VERSIONS = {
    ("", "v1"): 1,
    ("autoscaling", "v2"): 30,
    ("flowcontrol.apiserver.k8s.io", "v1"): 21,
    ("resource.k8s.io", "v1"): 20,
}
_OTHER_GROUP, _STABLE, _OTHER_VERSION = 1_000, 15, 9


def local(versions: Iterable[tuple[str, str]]) -> Iterator[objects.Object]:
    """Yield the APIService of each (group, version), but for that of APIServices."""
    for group, version in sorted(set(versions) - {_ITSELF}):
        stable = version.lstrip("v").isdigit()
        priority = _VERSIONS.get((group, version), _STABLE if stable else _OTHER_VERSION)
        spec: objects.Object = {
            "groupPriorityMinimum": _GROUPS.get(group, _OTHER_GROUP),
            "version": version,
            "versionPriority": priority,
        }
        if group:
            spec["group"] = group
        yield {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": f"{version}.{group}", "labels": {_LABEL: "onstart"}},
            "spec": spec,
        }
