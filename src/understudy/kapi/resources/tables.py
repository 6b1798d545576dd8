"""What no package knows of the built-in resources: tables of our own beside the generated facts.

Short names, categories, order of the groups, connect subresources, stored versions, meaningful
defaults. Source: the recorded discovery answers of kube-apiserver 1.36 and the API reference.
"""

from __future__ import annotations

from understudy.kube import objects

SHORT_NAMES: dict[tuple[str, str], tuple[str, ...]] = {
    ("", "componentstatuses"): ("cs",),
    ("", "configmaps"): ("cm",),
    ("", "endpoints"): ("ep",),
    ("", "events"): ("ev",),
    ("", "limitranges"): ("limits",),
    ("", "namespaces"): ("ns",),
    ("", "nodes"): ("no",),
    ("", "persistentvolumeclaims"): ("pvc",),
    ("", "persistentvolumes"): ("pv",),
    ("", "pods"): ("po",),
    ("", "replicationcontrollers"): ("rc",),
    ("", "resourcequotas"): ("quota",),
    ("", "serviceaccounts"): ("sa",),
    ("", "services"): ("svc",),
    ("apiextensions.k8s.io", "customresourcedefinitions"): ("crd", "crds"),
    ("apps", "daemonsets"): ("ds",),
    ("apps", "deployments"): ("deploy",),
    ("apps", "replicasets"): ("rs",),
    ("apps", "statefulsets"): ("sts",),
    ("autoscaling", "horizontalpodautoscalers"): ("hpa",),
    ("batch", "cronjobs"): ("cj",),
    ("certificates.k8s.io", "certificatesigningrequests"): ("csr",),
    ("events.k8s.io", "events"): ("ev",),
    ("networking.k8s.io", "ingresses"): ("ing",),
    ("networking.k8s.io", "ipaddresses"): ("ip",),
    ("networking.k8s.io", "networkpolicies"): ("netpol",),
    ("policy", "poddisruptionbudgets"): ("pdb",),
    ("scheduling.k8s.io", "priorityclasses"): ("pc",),
    ("storage.k8s.io", "storageclasses"): ("sc",),
    ("storage.k8s.io", "volumeattributesclasses"): ("vac",),
}
"""(group, plural) -> short names, the same in every version."""

_ALL = (
    ("", "pods"), ("", "replicationcontrollers"), ("", "services"),
    ("apps", "daemonsets"), ("apps", "deployments"), ("apps", "replicasets"),
    ("apps", "statefulsets"), ("autoscaling", "horizontalpodautoscalers"),
    ("batch", "cronjobs"), ("batch", "jobs"),
)  # fmt: skip
_API_EXTENSIONS = (
    ("apiregistration.k8s.io", "apiservices"),
    ("apiextensions.k8s.io", "customresourcedefinitions"),
    ("admissionregistration.k8s.io", "mutatingadmissionpolicies"),
    ("admissionregistration.k8s.io", "mutatingadmissionpolicybindings"),
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
    ("admissionregistration.k8s.io", "validatingadmissionpolicies"),
    ("admissionregistration.k8s.io", "validatingadmissionpolicybindings"),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
)
CATEGORIES: dict[tuple[str, str], tuple[str, ...]] = {
    **dict.fromkeys(_ALL, ("all",)),
    **dict.fromkeys(_API_EXTENSIONS, ("api-extensions",)),
}
"""(group, plural) -> categories (`kubectl get all`), the same in every version."""

GROUP_ORDER: tuple[str, ...] = (
    "", "apiregistration.k8s.io", "apps", "events.k8s.io", "authentication.k8s.io",
    "authorization.k8s.io", "autoscaling", "batch", "certificates.k8s.io", "networking.k8s.io",
    "policy", "rbac.authorization.k8s.io", "storage.k8s.io", "admissionregistration.k8s.io",
    "apiextensions.k8s.io", "scheduling.k8s.io", "coordination.k8s.io", "node.k8s.io",
    "discovery.k8s.io", "resource.k8s.io", "flowcontrol.apiserver.k8s.io",
    "internal.apiserver.k8s.io", "storagemigration.k8s.io",
)  # fmt: skip
"""The groups as /apis lists them; a version with the higher priority comes first in its group."""

_PROXY_VERBS = ("create", "delete", "get", "patch", "update")
CONNECT: dict[tuple[str, str], dict[str, tuple[str, tuple[str, ...]]]] = {
    ("", "nodes"): {"proxy": ("NodeProxyOptions", _PROXY_VERBS)},
    ("", "pods"): {
        "attach": ("PodAttachOptions", ("create", "get")),
        "exec": ("PodExecOptions", ("create", "get")),
        "portforward": ("PodPortForwardOptions", ("create", "get")),
        "proxy": ("PodProxyOptions", _PROXY_VERBS),
    },
    ("", "services"): {"proxy": ("ServiceProxyOptions", _PROXY_VERBS)},
}
"""(group, plural) -> subresource -> (kind, verbs), for those that connect rather than store."""

UNSUPPORTED_VERBS: dict[tuple[str, str], frozenset[str]] = {
    ("", "componentstatuses"): frozenset({"watch"}),
}
"""Verbs that the generated table has and the server does not offer."""

STORED_AS: dict[tuple[str, str], tuple[str, str]] = {
    ("events.k8s.io", "events"): ("", "events"),
}
"""(group, plural) -> (group, plural) of the store they share, where that is not their own."""

STORED_VERSION: dict[tuple[str, str], str] = {
    ("autoscaling", "horizontalpodautoscalers"): "autoscaling/v2",
    ("events.k8s.io", "events"): "v1",
}
"""(group, plural) -> apiVersion of the stored objects, where it is not the preferred version's."""

CORE = "io.k8s.api.core.v1."
DEFAULTS: dict[tuple[str, str], objects.Json] = {
    (CORE + "AzureDiskVolumeSource", "cachingMode"): "ReadWrite",
    (CORE + "AzureDiskVolumeSource", "fsType"): "ext4",
    (CORE + "AzureDiskVolumeSource", "kind"): "Shared",
    (CORE + "AzureDiskVolumeSource", "readOnly"): False,
    (CORE + "ContainerPort", "protocol"): "TCP",
    (CORE + "FileKeySelector", "optional"): False,
    (CORE + "GRPCAction", "service"): "",
    (CORE + "ISCSIPersistentVolumeSource", "iscsiInterface"): "default",
    (CORE + "ISCSIVolumeSource", "iscsiInterface"): "default",
    (CORE + "LocalObjectReference", "name"): "",
    (CORE + "RBDPersistentVolumeSource", "keyring"): "/etc/ceph/keyring",
    (CORE + "RBDPersistentVolumeSource", "pool"): "rbd",
    (CORE + "RBDPersistentVolumeSource", "user"): "admin",
    (CORE + "RBDVolumeSource", "keyring"): "/etc/ceph/keyring",
    (CORE + "RBDVolumeSource", "pool"): "rbd",
    (CORE + "RBDVolumeSource", "user"): "admin",
    (CORE + "ReplicationControllerSpec", "replicas"): 1,
    (CORE + "ScaleIOPersistentVolumeSource", "fsType"): "xfs",
    (CORE + "ScaleIOPersistentVolumeSource", "storageMode"): "ThinProvisioned",
    (CORE + "ScaleIOVolumeSource", "fsType"): "xfs",
    (CORE + "ScaleIOVolumeSource", "storageMode"): "ThinProvisioned",
    (CORE + "ServicePort", "protocol"): "TCP",
    ("io.k8s.api.certificates.v1beta1.PodCertificateRequestSpec", "maxExpirationSeconds"): 86400,
    ("io.k8s.api.resource.v1.DeviceToleration", "operator"): "Equal",
    ("io.k8s.api.resource.v1beta1.DeviceToleration", "operator"): "Equal",
    ("io.k8s.api.resource.v1beta2.DeviceToleration", "operator"): "Equal",
    ("io.k8s.api.resource.v1alpha3.ResourcePoolStatusRequestSpec", "limit"): 100,
    ("io.k8s.api.scheduling.v1alpha2.PodGroupSpec", "disruptionMode"): "Pod",
}
"""(definition, field) -> the default that its schema declares.

Server-side apply needs those of list keys; OpenAPI v3 publishes them all. Defaulting itself is the
kinds' own (`kapi.resources.kinds`).
"""

INTERNAL_PACKAGES: dict[str, str] = {
    "": "core", "events.k8s.io": "core", "extensions": "extensions",
}  # fmt: skip
"""API group -> Go package of its internal types, where it is not the group's first word."""


def internal_package(group: str) -> str:
    """Return the Go package of a group's internal types, as conversion errors print it.

    `""` -> `core`, `apps` -> `apps`, `rbac.authorization.k8s.io` -> `rbac`.
    """
    return INTERNAL_PACKAGES.get(group) or group.partition(".")[0]
