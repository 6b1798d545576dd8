"""What a volume may be made of: the sources that pods and persistent volumes share.

Each check takes the source and its path. `PERSISTENT` tells the forms that only a PersistentVolume
has. Source: pkg/apis/core/validation @1.36.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from understudy.kapi.resources.kinds import paths
from understudy.kube import causes, names, objects, statuses

Causes = list[statuses.Cause]
Check = Callable[[objects.Object, str], Causes]

FILE_MODE_TEXT = "must be a number between 0 and 0777 (octal), both inclusive"
_HOST_PATH_TYPES = (
    "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate",
    "Socket",
)  # fmt: skip
_IQN = re.compile(r"iqn\.\d{4}-\d{2}\.([A-Za-z0-9\-.]+)(:[^,;*&$|\s]+)$")
_EUI = re.compile(r"^eui.[A-Za-z0-9]{16}$")
_NAA = re.compile(r"^naa.[A-Za-z0-9]{32}$")


def _needs(*keys: str) -> Check:
    """Return a check that some fields are not empty."""

    def check(source: objects.Object, field: str) -> Causes:
        return [causes.required(f"{field}.{key}") for key in keys if not source.get(key)]

    return check


def file_mode(value: int | None, field: str) -> Causes:
    """Check a file mode."""
    if value is None or 0 <= value <= 0o777:
        return []
    return [causes.invalid(field, value, FILE_MODE_TEXT)]


def key_to_path(item: objects.Object, field: str) -> Causes:
    """Check one entry of `items`: which key becomes which file."""
    path = item.get("path") or ""
    out: Causes = []
    if not item.get("key"):
        out.append(causes.required(f"{field}.key"))
    if not path:
        out.append(causes.required(f"{field}.path"))
    out += paths.unreserved(path, f"{field}.path")
    return out + file_mode(item.get("mode"), f"{field}.mode")


def _keyed(name: str) -> Check:
    """Return the check of a ConfigMap or Secret as a volume; `name` is the field of its name."""

    def check(source: objects.Object, field: str) -> Causes:
        out: Causes = []
        if not source.get(name):
            out.append(causes.required(f"{field}.{name}"))
        out += file_mode(source.get("defaultMode"), f"{field}.defaultMode")
        for index, item in enumerate(source.get("items") or ()):
            out += key_to_path(item, f"{field}.items[{index}]")
        return out

    return check


def _host_path(source: objects.Object, field: str) -> Causes:
    path, kind = source.get("path") or "", source.get("type")
    if not path:
        return [causes.required(f"{field}.path")]
    out = paths.no_backsteps(path, f"{field}.path")
    if kind is not None and kind not in _HOST_PATH_TYPES:
        out.append(causes.unsupported(f"{field}.type", kind, _HOST_PATH_TYPES))
    return out


def _git_repo(source: objects.Object, field: str) -> Causes:
    out = _needs("repository")(source, field)
    return out + paths.descending(source.get("directory") or "", f"{field}.directory")


def _partitioned(key: str) -> Check:
    """Return the check of a cloud disk with an id and a partition."""

    def check(source: objects.Object, field: str) -> Causes:
        field = field.replace(".gcePersistentDisk", ".persistentDisk")
        out = _needs(key)(source, field)
        partition = source.get("partition") or 0
        if not 0 <= partition <= 255:
            text = names.between(1, 255)
            out.append(causes.invalid(f"{field}.partition", partition, text))
        return out

    return check


def _initiator(value: str, field: str, *, text: str) -> Causes:
    if value.startswith("iqn"):
        good = _IQN.search(value)
    elif value.startswith("eui"):
        good = _EUI.search(value)
    elif value.startswith("naa"):
        good = _NAA.search(value)
    else:
        return [causes.invalid(field, value, text)]
    return [] if good else [causes.invalid(field, value, "must be valid format")]


def _iscsi(*, persistent: bool) -> Check:
    text = "must be valid format" if persistent else (
        "must be valid format starting with iqn, eui, or naa"
    )  # fmt: skip

    def check(source: objects.Object, field: str) -> Causes:
        out = _needs("targetPortal", "iqn")(source, field)
        if iqn := source.get("iqn"):
            out += _initiator(iqn, f"{field}.iqn", text=text)
        lun = source.get("lun") or 0
        if not 0 <= lun <= 255:
            out.append(causes.invalid(f"{field}.lun", lun, names.between(0, 255)))
        secret = source.get("secretRef")
        if secret is None and (source.get("chapAuthDiscovery") or source.get("chapAuthSession")):
            out.append(causes.required(f"{field}.secretRef"))
        if persistent and secret is not None and not secret.get("name"):
            out.append(causes.required(f"{field}.secretRef.name"))
        if (initiator := source.get("initiatorName")) is not None:
            out += _initiator(initiator, f"{field}.initiatorname", text=text)
        return out

    return check


def _fibre_channel(source: objects.Object, field: str) -> Causes:
    wwns, wwids, lun = source.get("targetWWNs"), source.get("wwids"), source.get("lun")
    out: Causes = []
    if not wwns and not wwids:
        text = "must specify either targetWWNs or wwids, but not both"
        out.append(causes.required(f"{field}.targetWWNs", text))
    if wwns and wwids:
        text = "targetWWNs and wwids can not be specified simultaneously"
        out.append(causes.invalid(f"{field}.targetWWNs", wwns, text))
    if wwns and lun is None:
        out.append(causes.required(f"{field}.lun", "lun is required if targetWWNs is specified"))
    elif wwns and not 0 <= (lun or 0) <= 255:
        out.append(causes.invalid(f"{field}.lun", lun, names.between(0, 255)))
    return out


def _nfs(source: objects.Object, field: str) -> Causes:
    out = _needs("server", "path")(source, field)
    path = source.get("path") or ""
    if not path.startswith("/"):
        out.append(causes.invalid(f"{field}.path", path, "must be an absolute path"))
    return out


def _quobyte(source: objects.Object, field: str) -> Causes:
    registry = source.get("registry") or ""
    text = "must be a host:port pair or multiple pairs separated by commas"
    out: Causes = []
    if not registry:
        out.append(causes.required(f"{field}.registry", text))
    elif names.size(source.get("tenant") or "") >= 65:
        why = "must be a UUID and may not exceed a length of 64 characters"
        out.append(causes.required(f"{field}.tenant", why))
    else:
        bad = [pair for pair in registry.split(",") if pair.count(":") != 1]
        out += [causes.invalid(f"{field}.registry", registry, text) for _ in bad]
    return out + _needs("volume")(source, field)


def _glusterfs(source: objects.Object, field: str) -> Causes:
    out = _needs("endpoints", "path")(source, field)
    namespace = source.get("endpointsNamespace")
    at = f"{field}.endpointsNamespace"
    if namespace == "":
        text = "if the endpointnamespace is set, it must be a valid namespace name"
        out.append(causes.invalid(at, namespace, text))
    elif namespace:
        out += causes.complaints(at, namespace, names.dns_label(namespace))
    return out


def _flocker(source: objects.Object, field: str) -> Causes:
    name, uuid = source.get("datasetName") or "", source.get("datasetUUID") or ""
    out: Causes = []
    if not name and not uuid:
        out.append(causes.required(field, "one of datasetName and datasetUUID is required"))
    if name and uuid:
        text = "datasetName and datasetUUID can not be specified simultaneously"
        out.append(causes.invalid(field, "resource", text))
    if "/" in name:
        out.append(causes.invalid(f"{field}.datasetName", name, "must not contain '/'"))
    return out


def _secret_ref(*keys: str) -> Callable[[objects.Object, str], Causes]:
    def check(source: objects.Object, field: str) -> Causes:
        secret = source.get("secretRef")
        return [] if secret is None else _needs(*keys)(secret, f"{field}.secretRef")

    return check


def _all(*checks: Check) -> Check:
    def check(source: objects.Object, field: str) -> Causes:
        return [cause for one in checks for cause in one(source, field)]

    return check


def _flex(source: objects.Object, field: str) -> Causes:
    out = _needs("driver")(source, field)
    for key in source.get("options") or {}:
        domain = "." + key.split("/", 1)[0].lower() if "/" in key else "." + key.lower()
        if domain.endswith((".kubernetes.io", ".k8s.io")):
            text = "kubernetes.io and k8s.io namespaces are reserved"
            out.append(causes.invalid(f"{field}.options[{key}]", key, text))
    return out


def _azure_file(*, persistent: bool) -> Check:
    def check(source: objects.Object, field: str) -> Causes:
        out = _needs("secretName", "shareName")(source, field)
        if persistent and source.get("secretNamespace") == "":
            out.append(causes.required(f"{field}.secretNamespace"))
        return out

    return check


def _azure_disk(source: objects.Object, field: str) -> Causes:
    out = _needs("diskName", "diskURI")(source, field)
    for key, known in (
        ("cachingMode", ("None", "ReadOnly", "ReadWrite")),
        ("kind", ("Dedicated", "Managed", "Shared")),
    ):
        value = source.get(key)
        if value is not None and value not in known:
            out.append(causes.unsupported(f"{field}.{key}", value, known))
    kind, uri = source.get("kind"), source.get("diskURI") or ""
    if kind == "Managed" and not uri.startswith("/subscriptions/"):
        example = (
            "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute"
            "/disks/{disk-id}"
        )
        out.append(causes.unsupported(f"{field}.diskURI", uri, (example,)))
    if kind is not None and kind != "Managed" and not uri.startswith("https://"):
        example = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"
        out.append(causes.unsupported(f"{field}.diskURI", uri, (example,)))
    return out


def _storage_os(*secret_keys: str) -> Check:
    def check(source: objects.Object, field: str) -> Causes:
        out = _needs("volumeName")(source, field)
        for key in ("volumeName", "volumeNamespace"):
            if value := source.get(key):
                out += causes.complaints(f"{field}.{key}", value, names.dns_label(value))
        return out + _secret_ref(*secret_keys)(source, field)

    return check


def csi_driver_name(name: str, field: str) -> Causes:
    """Check the name of a CSI driver, in any case, at most 63 bytes."""
    if not name:
        return [causes.required(field)]
    out: Causes = []
    if names.size(name) > 63:
        out.append(causes.too_long(field, 63))
    return out + causes.complaints(field, name, names.dns_subdomain(name.lower()))


def _csi(source: objects.Object, field: str) -> Causes:
    out = csi_driver_name(source.get("driver") or "", f"{field}.driver")
    if (secret := source.get("nodePublishSecretRef")) is not None:
        name = secret.get("name") or ""
        if not name:
            out.append(causes.required(f"{field}.nodePublishSecretRef.name"))
        else:
            out += causes.complaints(f"{field}.name", name, names.dns_subdomain(name))
    return out


def _csi_persistent(source: objects.Object, field: str) -> Causes:
    out = csi_driver_name(source.get("driver") or "", f"{field}.driver")
    out += _needs("volumeHandle")(source, field)
    for key in (
        "controllerPublishSecretRef", "controllerExpandSecretRef", "nodePublishSecretRef",
        "nodeExpandSecretRef",
    ):  # fmt: skip
        if (secret := source.get(key)) is None:
            continue
        for part, check in (("name", names.dns_subdomain), ("namespace", names.dns_label)):
            at, value = f"{field}.{key}.{part}", secret.get(part) or ""
            if not value:
                out.append(causes.required(at))
            else:
                out += causes.complaints(at, value, check(value))
    return out


def _local(source: objects.Object, field: str) -> Causes:
    path = source.get("path") or ""
    if not path:
        return [causes.required(f"{field}.path")]
    return paths.no_backsteps(path, f"{field}.path")


IN_PODS: dict[str, Check] = {
    "hostPath": _host_path,
    "gitRepo": _git_repo,
    "gcePersistentDisk": _partitioned("pdName"),
    "awsElasticBlockStore": _partitioned("volumeID"),
    "secret": _keyed("secretName"),
    "nfs": _nfs,
    "iscsi": _iscsi(persistent=False),
    "glusterfs": _needs("endpoints", "path"),
    "flocker": _flocker,
    "persistentVolumeClaim": _needs("claimName"),
    "rbd": _needs("monitors", "image"),
    "cinder": _all(_needs("volumeID"), _secret_ref("name")),
    "cephfs": _needs("monitors"),
    "quobyte": _quobyte,
    "fc": _fibre_channel,
    "flexVolume": _flex,
    "configMap": _keyed("name"),
    "azureFile": _azure_file(persistent=False),
    "vsphereVolume": _needs("volumePath"),
    "photonPersistentDisk": _needs("pdID"),
    "portworxVolume": _needs("volumeID"),
    "azureDisk": _azure_disk,
    "storageos": _storage_os("name"),
    "scaleIO": _needs("gateway", "system", "volumeName"),
    "csi": _csi,
}
"""Sources of a pod's volumes that need nothing but themselves to be checked."""

PERSISTENT: dict[str, Check] = {
    key: IN_PODS[key]
    for key in (
        "hostPath", "gcePersistentDisk", "awsElasticBlockStore", "flocker", "nfs", "rbd",
        "quobyte", "cephfs", "fc", "flexVolume", "vsphereVolume", "photonPersistentDisk",
        "portworxVolume", "azureDisk", "scaleIO",
    )
} | {
    "glusterfs": _glusterfs,
    "iscsi": _iscsi(persistent=True),
    "cinder": _all(_needs("volumeID"), _secret_ref("name", "namespace")),
    "azureFile": _azure_file(persistent=True),
    "storageos": _storage_os("name", "namespace"),
    "local": _local,
    "csi": _csi_persistent,
}  # fmt: skip
"""Sources of a PersistentVolume."""


def default(volume: objects.Object) -> None:
    """Fill in, in place, what SetDefaults fills in for the sources both kinds of volume have."""
    if (source := volume.get("hostPath")) is not None and source.get("type") is None:
        source["type"] = ""
    if (source := volume.get("iscsi")) is not None and not source.get("iscsiInterface"):
        source["iscsiInterface"] = "default"
    if (source := volume.get("rbd")) is not None:
        for key, value in (("pool", "rbd"), ("user", "admin"), ("keyring", "/etc/ceph/keyring")):
            if not source.get(key):
                source[key] = value
    if (source := volume.get("azureDisk")) is not None:
        for key, value in (("cachingMode", "ReadWrite"), ("kind", "Shared"), ("fsType", "ext4")):
            if source.get(key) is None:
                source[key] = value
        if source.get("readOnly") is None:
            source["readOnly"] = False
    if (source := volume.get("scaleIO")) is not None:
        for key, value in (("storageMode", "ThinProvisioned"), ("fsType", "xfs")):
            if not source.get(key):
                source[key] = value
