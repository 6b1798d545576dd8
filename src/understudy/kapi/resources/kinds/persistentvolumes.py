"""PersistentVolumes and PersistentVolumeClaims.

Source: pkg/apis/core/validation, pkg/registry/core/persistentvolume{,claim} @1.36.
"""

from __future__ import annotations

import posixpath
from typing import ClassVar

from understudy.aio import clocks
from understudy.kapi.resources import strategies
from understudy.kapi.resources.kinds import (
    claims,
    gotypes,
    podwarnings,
    requirements,
    rules,
    scheduling,
    sources,
)
from understudy.kube import causes, names, objects, statuses

Causes = list[statuses.Cause]

_CLASS = "volume.beta.kubernetes.io/storage-class"
_MOUNT = "volume.beta.kubernetes.io/mount-options"
_CLASS_TEXT = 'deprecated since v1.8; use "storageClassName" attribute instead'
_MOUNT_TEXT = 'deprecated since v1.31; use "mountOptions" attribute instead'
_GA = {
    "beta.kubernetes.io/arch": "kubernetes.io/arch",
    "beta.kubernetes.io/instance-type": "node.kubernetes.io/instance-type",
    "beta.kubernetes.io/os": "kubernetes.io/os",
    "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
}
_RECLAIM = ("Delete", "Recycle", "Retain")
_ONE_TYPE = "may not specify more than 1 volume type"
_INLINE = "in the context of inline volumes"
_ORDER = (
    "hostPath", "gcePersistentDisk", "awsElasticBlockStore", "glusterfs", "flocker", "nfs", "rbd",
    "quobyte", "cephfs", "iscsi", "cinder", "fc", "flexVolume", "azureFile", "vsphereVolume",
    "photonPersistentDisk", "portworxVolume", "azureDisk", "scaleIO", "local", "storageos", "csi",
)  # fmt: skip
_GONE = {
    "cephfs": ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    "glusterfs": ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    "photonPersistentDisk": (
        "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+",
    ),
    "rbd": ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
    "scaleIO": ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    "storageos": ("storageOS", "deprecated in v1.22, non-functional in v1.25+"),
}  # fmt: skip
_RESIZE_STATES = (
    "ControllerResizeInProgress", "ControllerResizeInfeasible", "NodeResizeInProgress",
    "NodeResizeInfeasible", "NodeResizePending",
)  # fmt: skip


class PersistentVolume(rules.Kind):
    """A PersistentVolume."""

    metadata_checks: ClassVar[names.MetadataChecks] = names.MetadataChecks(2, 0, True)
    status_is_separate: ClassVar[bool] = True
    returns_object_on_delete: ClassVar[bool] = True

    def default(self, obj: objects.Object) -> None:
        spec = obj.get("spec")
        if spec is None:
            spec = obj["spec"] = {}
        default_volume(spec)
        status = obj.get("status")
        if status is None:
            status = obj["status"] = {}
        if not status.get("phase"):
            status["phase"] = "Pending"

    def prepare_create(self, obj: objects.Object, context: strategies.WriteContext) -> None:
        obj["status"] = {
            "phase": "Pending",
            "lastPhaseTransitionTime": clocks.rfc3339(context.now),
        }

    def prepare_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> None:
        super().prepare_update(obj, old, context)
        if context.subresource != "status":
            return
        status, before = obj.get("status") or {}, old.get("status") or {}
        key = "lastPhaseTransitionTime"
        if status.get("phase") == before.get("phase"):
            rules.restore(status, before, key)
        elif status.get(key) in {None, before.get(key)}:
            status[key] = clocks.rfc3339(context.now)

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        return volume_spec(obj["spec"], "spec")

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        if context.subresource == "status":
            return []
        spec, before = obj["spec"], old["spec"]
        out = volume_spec(spec, "spec") * 2
        mine, theirs = (
            {key: one[key] for key in _ORDER if one.get(key) is not None} for one in (spec, before)
        )
        csi, old_csi, key = mine.get("csi"), theirs.get("csi"), "controllerExpandSecretRef"
        if csi and old_csi and old_csi.get(key) is None and key in csi:
            mine["csi"] = {name: value for name, value in csi.items() if name != key}
        if not rules.same(mine, theirs):
            text = "spec.persistentvolumesource is immutable after creation\n"
            text += gotypes.difference(theirs, mine, "PersistentVolumeSource")
            out.append(causes.forbidden("spec.persistentvolumesource", text))
        out += rules.immutable(spec.get("volumeMode"), before.get("volumeMode"), "volumeMode")
        affinity, old_affinity = spec.get("nodeAffinity"), before.get("nodeAffinity")
        if old_affinity is not None and not _same_place(affinity or {}, old_affinity):
            shown = affinity and gotypes.internal(affinity, "VolumeNodeAffinity")
            text = f"{causes.IMMUTABLE}, except for updating from beta label to GA"
            out.append(causes.invalid("nodeAffinity", shown, text))
        return out + _kept_class(spec, before)

    def warnings(self, obj: objects.Object, old: objects.Object | None) -> list[str]:
        spec, annotations = obj.get("spec") or {}, objects.annotations_of(obj)
        out = [
            f"metadata.annotations[{key}]: {text}"
            for key, text in ((_CLASS, _CLASS_TEXT), (_MOUNT, _MOUNT_TEXT))
            if key in annotations
        ]
        if spec.get("persistentVolumeReclaimPolicy") == "Recycle":
            out.append(
                "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated."
                " Instead, the recommended approach is to use dynamic provisioning."
            )
        required = (spec.get("nodeAffinity") or {}).get("required") or {}
        for index, term in enumerate(required.get("nodeSelectorTerms") or ()):
            at = f"spec.nodeAffinity.required.nodeSelectorTerms[{index}]"
            out += podwarnings.of_node_term(term, at)
        return out + [
            f"spec.{name}: {text}" for key, (name, text) in _GONE.items() if spec.get(key)
        ]


def default_volume(spec: objects.Object) -> None:
    """Fill in, in place, what SetDefaults fills in for a PersistentVolumeSpec."""
    if not spec.get("persistentVolumeReclaimPolicy"):
        spec["persistentVolumeReclaimPolicy"] = "Retain"
    if not spec.get("volumeMode"):
        spec["volumeMode"] = "Filesystem"
    sources.default(spec)


def _kept_class(spec: objects.Object, before: objects.Object) -> Causes:
    key = "volumeAttributesClassName"
    if before.get(key) is None or spec.get(key) is not None:
        return []
    return [causes.forbidden(f"spec.{key}", "update from non-nil value to nil is forbidden")]


def volume_spec(spec: objects.Object, field: str, *, inline: bool = False) -> Causes:
    """Return every reason why a PersistentVolumeSpec is not valid.

    `inline` is for one inside a VolumeAttachment, which may say less.
    """
    out: Causes = []
    if inline:
        for key in ("claimRef", "capacity"):
            if spec.get(key):
                text = f"may not be specified {_INLINE}"
                out.append(causes.forbidden(f"{field}.{key}", text))
        if spec.get("csi") is None:
            text = f"has to be specified {_INLINE}"
            out.append(causes.required(f"{field}.csi", text))
    modes = spec.get("accessModes") or []
    if not modes:
        out.append(causes.required(f"{field}.accessModes"))
    out += claims.access_modes(modes, f"{field}.accessModes")
    if not inline:
        out += _capacity(spec.get("capacity"), f"{field}.capacity")
    out += _reclaim(spec, field, inline)
    affinity = spec.get("nodeAffinity")
    if affinity is not None:
        out += _node_affinity(affinity, f"{field}.nodeAffinity", inline)
    out += _volume_source(spec, field)
    path = (spec.get("hostPath") or {}).get("path") or ""
    policy = f"{field}.persistentVolumeReclaimPolicy"
    is_root = bool(path) and posixpath.normpath(path) in {"/", "//"}
    if is_root and spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        text = "may not be 'recycle' for a hostPath mount of '/'"
        out.append(causes.forbidden(policy, text))
    return out + _volume_class(spec, field, inline)


def _capacity(capacity: objects.Object | None, field: str) -> Causes:
    out: Causes = []
    if not capacity:
        out.append(causes.required(field))
    if not capacity or "storage" not in capacity or len(capacity) > 1:
        out.append(causes.unsupported(field, capacity, ("storage",)))
    for name, value in (capacity or {}).items():
        quantity, at = requirements.parse(value), f"{field}[{name}]"
        if quantity.sign < 0:
            text = "must be a valid resource quantity"
            out.append(causes.invalid(at, quantity.value, text))
        if quantity.sign <= 0:
            out.append(causes.invalid(at, str(quantity), "must be greater than zero"))
    return out


def _reclaim(spec: objects.Object, field: str, inline: bool) -> Causes:
    policy, at = spec.get("persistentVolumeReclaimPolicy"), f"{field}.persistentVolumeReclaimPolicy"
    if not policy:
        return []
    if inline:
        text = f"may only be Retain {_INLINE}"
        return [] if policy == "Retain" else [causes.forbidden(at, text)]
    return [] if policy in _RECLAIM else [causes.unsupported(at, policy, _RECLAIM)]


def _node_affinity(affinity: objects.Object, field: str, inline: bool) -> Causes:
    if inline:
        return [causes.forbidden(field, f"may not be specified {_INLINE}")]
    required = affinity.get("required")
    if required is None:
        return [causes.required(f"{field}.required", "must specify required node constraints")]
    return scheduling.node_selector(required, f"{field}.required")


def _volume_source(spec: objects.Object, field: str) -> Causes:
    out: Causes = []
    count = 0
    for key in _ORDER:
        source = spec.get(key)
        if source is None:
            continue
        count += 1
        if count > 1 and key != "flexVolume":
            name = "cephFS" if key == "cephfs" else key
            out.append(causes.forbidden(f"{field}.{name}", _ONE_TYPE))
            continue
        out += sources.PERSISTENT[key](source, f"{field}.{key}")
        if key == "local" and spec.get("nodeAffinity") is None:
            text = "Local volume requires node affinity"
            out.append(causes.required(f"{field}.nodeAffinity", text))
    if count == 0:
        out.append(causes.required(field, "must specify a volume type"))
    return out


def _volume_class(spec: objects.Object, field: str, inline: bool) -> Causes:
    out: Causes = []
    if name := spec.get("storageClassName"):
        at = f"{field}.storageClassName"
        if inline:
            out.append(causes.forbidden(at, f"may not be specified {_INLINE}"))
        else:
            out += causes.complaints(at, name, names.dns_subdomain(name))
    mode, at = spec.get("volumeMode"), f"{field}.volumeMode"
    if mode is not None and inline and mode != "Filesystem":
        text = f"may not specify volumeMode other than Filesystem {_INLINE}"
        out.append(causes.forbidden(at, text))
    elif mode is not None and mode not in claims.VOLUME_MODES:
        out.append(causes.unsupported(at, mode, claims.VOLUME_MODES))
    attributes = spec.get("volumeAttributesClassName")
    if attributes is not None:
        at = f"{field}.volumeAttributesClassName"
        if not attributes:
            out.append(causes.required(at, "an empty string is disallowed"))
        else:
            out += causes.complaints(at, attributes, names.dns_subdomain(attributes))
        if spec.get("csi") is None:
            text = "has to be specified when using volumeAttributesClassName"
            out.append(causes.required(f"{field}.csi", text))
    return out


class PersistentVolumeClaim(rules.Kind):
    """A PersistentVolumeClaim."""

    metadata_checks: ClassVar[names.MetadataChecks] = names.MetadataChecks(1, 1, True)
    status_is_separate: ClassVar[bool] = True
    returns_object_on_delete: ClassVar[bool] = True

    def default(self, obj: objects.Object) -> None:
        spec = obj.get("spec")
        if spec is None:
            spec = obj["spec"] = {}
        claims.default_spec(spec)
        status = obj.get("status")
        if status is None:
            status = obj["status"] = {}
        if not status.get("phase"):
            status["phase"] = "Pending"

    def settle(self, obj: objects.Object) -> bool:
        if obj["status"].get("phase"):
            return True
        obj["status"]["phase"] = "Pending"
        return False

    def prepare_create(self, obj: objects.Object, context: strategies.WriteContext) -> None:
        super().prepare_create(obj, context)
        claims.drop_foreign_source(obj["spec"])
        claims.normalise_data_source(obj["spec"])

    def prepare_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> None:
        super().prepare_update(obj, old, context)
        if context.subresource == "status":
            return
        before = old["spec"]
        if before.get("dataSource") is None and before.get("dataSourceRef") is None:
            claims.drop_foreign_source(obj["spec"])
        claims.normalise_data_source(obj["spec"])

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        return claims.validate_spec(obj["spec"], "spec")

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        if context.subresource == "status":
            return _claim_status(obj.get("status") or {})
        out = claims.validate_spec(obj["spec"], "spec", old=old["spec"])
        return out + _claim_changes(obj, old)

    def warnings(self, obj: objects.Object, old: objects.Object | None) -> list[str]:
        out: list[str] = []
        if _CLASS in objects.annotations_of(obj):
            out.append(f"metadata.annotations[{_CLASS}]: {_CLASS_TEXT}")
        resources = (obj.get("spec") or {}).get("resources") or {}
        for key in ("requests", "limits"):
            at = f"spec.resources.{key}"
            out += podwarnings.fractional(resources.get(key) or {}, "storage", at)
        return out


def _claim_changes(obj: objects.Object, old: objects.Object) -> Causes:
    out: Causes = []
    before = objects.copy(old["spec"])
    after = objects.copy(obj["spec"])
    if not before.get("volumeName"):
        rules.restore(before, after, "volumeName")
    annotation = objects.annotations_of(old).get(_CLASS)
    mine = objects.annotations_of(obj).get(_CLASS)
    name, old_name = after.get("storageClassName"), before.get("storageClassName")
    if annotation is not None and old_name is None and name == annotation and mine in {
        None, annotation,
    }:  # fmt: skip
        after.pop("storageClassName", None)
    else:
        if (mine or "") != (annotation or ""):
            at = f"metadata.annotations[{_CLASS}]"
            out.append(causes.invalid(at, mine or "", causes.IMMUTABLE))
        if name is not None and old_name is None and annotation in {None, name}:
            after.pop("storageClassName", None)
    requests = (after.get("resources") or {}).get("requests")
    sizes = [
        ((one.get("resources") or {}).get("requests") or {}).get("storage", "0")
        for one in (obj["spec"], old["spec"])
    ]
    if (obj.get("status") or {}).get("phase") == "Bound" and requests is not None:
        requests["storage"] = sizes[1]
    rules.restore(after, before, "volumeAttributesClassName")
    if not rules.same(after, before):
        text = (
            "spec is immutable after creation except resources.requests and"
            " volumeAttributesClassName for bound claims\n"
        )
        text += gotypes.difference(before, after, "PersistentVolumeClaimSpec")
        out.append(causes.forbidden("spec", text))
    size, old_size = (requirements.parse(one) for one in sizes)
    capacity = ((old.get("status") or {}).get("capacity") or {}).get("storage", "0")
    if size < old_size and not requirements.parse(capacity) < size:
        at, text = "spec.resources.requests.storage", "field can not be less than status.capacity"
        out.append(causes.forbidden(at, text))
    mode, old_mode = obj["spec"].get("volumeMode"), old["spec"].get("volumeMode")
    out += rules.immutable(mode, old_mode, "volumeMode")
    return out + _claim_class(obj["spec"], old["spec"])


def _claim_class(spec: objects.Object, before: objects.Object) -> Causes:
    key = "volumeAttributesClassName"
    if before.get(key) is None or spec.get(key):
        return []
    what = "nil" if spec.get(key) is None else "an empty string"
    return [causes.forbidden(f"spec.{key}", f"update from non-nil value to {what} is forbidden")]


def _claim_status(status: objects.Object) -> Causes:
    out: Causes = []
    for name, value in (status.get("capacity") or {}).items():
        out += _whole(value, f"status.capacity[{name}]")
    at = "status.allocatedResourceStatuses"
    for name, state in (status.get("allocatedResourceStatuses") or {}).items():
        out += _resource_key(name, at)
        if state not in _RESIZE_STATES:
            out.append(causes.unsupported(at, name, _RESIZE_STATES))
    at = "status.allocatedResources"
    for name, value in (status.get("allocatedResources") or {}).items():
        bad = _resource_key(name, at) or _whole(value, f"{at}[{name}]")
        out += bad or requirements.amount("storage", value, f"{at}[{name}]")
    return out


def _whole(value: objects.Json, field: str) -> Causes:
    quantity = requirements.parse(value)
    if quantity.sign >= 0:
        return []
    return [causes.invalid(field, quantity.value, "must be a valid resource quantity")]


def _resource_key(name: str, field: str) -> Causes:
    if complaints := names.qualified_name(name):
        return causes.complaints(field, name, complaints)
    if requirements.is_native(name) and name != "storage":
        return [causes.unsupported(field, name, ("storage",))]
    return []


def _same_place(affinity: objects.Object, old: objects.Object) -> bool:
    """Tell whether two affinities agree, if beta labels may have become those of today."""
    terms, old_terms = _terms(affinity), _terms(old)
    return len(terms) == len(old_terms) and all(map(_same_term, terms, old_terms))


def _terms(affinity: objects.Object) -> list[objects.Object]:
    return (affinity.get("required") or {}).get("nodeSelectorTerms") or []


def _same_term(term: objects.Object, old: objects.Object) -> bool:
    for key in ("matchExpressions", "matchFields"):
        asked, before = term.get(key) or [], old.get(key) or []
        if len(asked) != len(before) or not all(map(_same_demand, asked, before)):
            return False
    return True


def _same_demand(demand: objects.Object, old: objects.Object) -> bool:
    key = demand["key"]
    return rules.same(demand, old | {"key": key} if _GA.get(old["key"]) == key else old)
