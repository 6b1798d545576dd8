"""Values as Kubernetes prints its *internal* types: Go's names, every field, nothing left out.

Some refusals show an internal value, or the difference of two:

    @@ -42,7 +42,7 @@
      "NodeSelector": null,
    - "NodeName": "",
    + "NodeName": "x",

Internal types are close to those of the API; where a type's fields stand in another order, or are
called otherwise, it is listed here. Source: pkg/apis/core/types.go @1.36, read for names and order.
"""

from __future__ import annotations

import difflib
import functools
import json
from collections.abc import Mapping

from understudy.kapi.resources import definitions
from understudy.kube import objects

_CORE = "io.k8s.api.core.v1."
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_NUMBERS = frozenset({"int", "int32", "int64", "float64"})
_STRINGS = frozenset({"string", definitions.QUANTITY})
_CONTEXT_LINES = 3

_NAMES = {
    "gcePersistentDisk": "GCEPersistentDisk", "awsElasticBlockStore": "AWSElasticBlockStore",
    "nfs": "NFS", "iscsi": "ISCSI", "rbd": "RBD", "cephfs": "CephFS", "fc": "FC", "csi": "CSI",
    "storageos": "StorageOS", "apiGroup": "APIGroup", "fsType": "FSType", "pdName": "PDName",
    "iqn": "IQN", "iscsiInterface": "ISCSIInterface", "wwids": "WWIDs",
    "chapAuthDiscovery": "DiscoveryCHAPAuth", "chapAuthSession": "SessionCHAPAuth",
    "diskURI": "DataDiskURI", "sslEnabled": "SSLEnabled", "apiVersion": "APIVersion",
    "httpHeaders": "HTTPHeaders", "tty": "TTY", "httpGet": "HTTPGet", "tcpSocket": "TCPSocket",
    "grpc": "GRPC", "uid": "UID", "gid": "GID", "dnsPolicy": "DNSPolicy",
    "dnsConfig": "DNSConfig", "os": "OS", "ip": "IP", "seLinuxOptions": "SELinuxOptions",
    "fsGroup": "FSGroup", "fsGroupChangePolicy": "FSGroupChangePolicy",
    "seLinuxChangePolicy": "SELinuxChangePolicy",
    "gmsaCredentialSpecName": "GMSACredentialSpecName",
    "gmsaCredentialSpec": "GMSACredentialSpec",
}  # fmt: skip
"""Go names that are not the JSON name with a capital letter."""

_SPECIAL = {
    ("GlusterfsVolumeSource", "endpoints"): "EndpointsName",
    ("GlusterfsPersistentVolumeSource", "endpoints"): "EndpointsName",
    ("RBDVolumeSource", "monitors"): "CephMonitors",
    ("RBDVolumeSource", "image"): "RBDImage",
    ("RBDVolumeSource", "pool"): "RBDPool",
    ("RBDVolumeSource", "user"): "RadosUser",
    ("RBDPersistentVolumeSource", "monitors"): "CephMonitors",
    ("RBDPersistentVolumeSource", "image"): "RBDImage",
    ("RBDPersistentVolumeSource", "pool"): "RBDPool",
    ("RBDPersistentVolumeSource", "user"): "RadosUser",
}

_ORDERS: Mapping[str, tuple[str, ...]] = {
    "PodSpec": (
        "volumes", "initContainers", "containers", "ephemeralContainers", "restartPolicy",
        "terminationGracePeriodSeconds", "activeDeadlineSeconds", "dnsPolicy", "nodeSelector",
        "serviceAccountName", "automountServiceAccountToken", "nodeName", "securityContext",
        "imagePullSecrets", "hostname", "subdomain", "setHostnameAsFQDN", "affinity",
        "schedulerName", "tolerations", "hostAliases", "priorityClassName", "priority",
        "preemptionPolicy", "dnsConfig", "readinessGates", "runtimeClassName", "overhead",
        "enableServiceLinks", "topologySpreadConstraints", "os", "schedulingGates",
        "resourceClaims", "resources", "hostnameOverride", "schedulingGroup",
    ),
    "PodSecurityContext": (
        "hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "hostUsers",
        "seLinuxOptions", "windowsOptions", "runAsUser", "runAsGroup", "runAsNonRoot",
        "supplementalGroups", "supplementalGroupsPolicy", "fsGroup", "fsGroupChangePolicy",
        "sysctls", "seccompProfile", "appArmorProfile", "seLinuxChangePolicy",
    ),
    "PersistentVolumeSource": (
        "gcePersistentDisk", "awsElasticBlockStore", "hostPath", "glusterfs", "nfs", "rbd",
        "quobyte", "iscsi", "flexVolume", "cinder", "cephfs", "fc", "flocker", "azureFile",
        "vsphereVolume", "azureDisk", "photonPersistentDisk", "portworxVolume", "scaleIO", "local",
        "storageos", "csi",
    ),
    "ResourceRequirements": ("limits", "requests", "claims"),
    "ContainerPort": ("name", "hostPort", "containerPort", "protocol", "hostIP"),
}  # fmt: skip

_MOVED = {
    "hostNetwork": "bool",
    "hostPID": "bool",
    "hostIPC": "bool",
    "shareProcessNamespace": "*bool",
    "hostUsers": "*bool",
}
"""Fields of v1.PodSpec that the internal PodSecurityContext holds."""


@functools.cache
def _types() -> definitions.GoTypes:
    return definitions.Definitions("1.36").go


def internal(value: objects.Json, kind: str) -> objects.Json:
    """Return an API value in its internal form.

    `kind` is a core type's name, e.g. `PodSpec`, or another's with its package, e.g.
    `io.k8s.api.policy.v1.PodDisruptionBudgetSpec`.
    """
    if kind == "PodTemplateSpec":
        spec = internal(value.get("spec") or {}, "PodSpec")
        return {**_metadata(value), "Spec": spec}
    if kind == "PodSpec":
        context = value.get("securityContext")
        moved = {key: value[key] for key in _MOVED if key in value}
        value = value | {"securityContext": None if context is None else {**context, **moved}}
    return _struct(value, kind if "." in kind else _CORE + kind)


def _metadata(holder: objects.Object) -> objects.Object:
    """Return the metadata that an internal struct embeds, beside whose fields it then stands."""
    meta = holder.get("metadata") or {}
    return {
        key: dict(sorted(part.items())) if key in {"labels", "annotations"} else part
        for key, part in meta.items()
    }


def difference(old: objects.Json, new: objects.Json, kind: str) -> str:
    """Return the unified difference of two API values in their internal form, line by line."""
    before, after = (
        json.dumps(internal(one, kind), indent=1, ensure_ascii=False) for one in (old, new)
    )
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), n=_CONTEXT_LINES
    )
    return "".join(list(lines)[2:])


def _fields(name: str) -> dict[str, str]:
    """Return a struct's fields, JSON name to Go type, in the internal order."""
    short = name.removeprefix(_CORE)
    found = {key: row[1] for key, row in _types().fields(name).items()}
    if short == "PodSecurityContext":
        found |= _MOVED
    order = _ORDERS.get(short)
    return {key: found[key] for key in order} if order else found


def _struct(value: objects.Object, name: str) -> objects.Object:
    short = name.removeprefix(_CORE)
    out: objects.Object = {}
    if short == "PersistentVolumeClaimTemplate":
        out = _metadata(value)
        value = {key: part for key, part in value.items() if key != "metadata"}
    for key, go_type in _fields(name).items():
        if key == "metadata":
            continue
        go_name = _SPECIAL.get((short, key)) or _NAMES.get(key) or key[:1].upper() + key[1:]
        out[go_name] = _value(value.get(key), go_type)
    return out


def _value(value: objects.Json, go_type: str) -> objects.Json:
    if go_type.startswith("*"):
        return None if value is None else _value(value, go_type[1:])
    if go_type.startswith("[]"):
        if value is None or go_type == "[]byte":
            return value
        return [_value(item, go_type[2:]) for item in value]
    if go_type.startswith("map["):
        inner = go_type.partition("]")[2]
        return None if value is None else {k: _value(value[k], inner) for k in sorted(value)}
    return _named(value, _types().resolved(go_type))


def _named(value: objects.Json, resolved: str) -> objects.Json:
    if resolved.startswith(("*", "[]", "map[")):
        return _value(value, resolved)
    if resolved in _STRINGS:
        return "" if value is None else value
    if resolved in _NUMBERS:
        return 0 if value is None else value
    if resolved == "bool":
        return bool(value)
    if resolved == definitions.INT_OR_STRING:
        return 0 if value is None else value
    if resolved.startswith(_META):
        return value
    if resolved in _types().structs:
        return _struct(value or {}, resolved)
    return value
