"""Storage classes, CSI drivers and their nodes and capacities, attachments, attribute classes.

Source: pkg/apis/storage/{v1,validation}, pkg/registry/storage @1.36.
"""

from __future__ import annotations

from typing import ClassVar

from understudy.kapi.resources import strategies
from understudy.kapi.resources.kinds import (
    gotypes,
    persistentvolumes,
    podwarnings,
    requirements,
    rules,
    sources,
)
from understudy.kube import causes, names, objects, selectors, statuses

Causes = list[statuses.Cause]

_PARAMETERS_MAX, _PARAMETER_BYTES_MAX = 512, 256 * 1024
_METADATA_BYTES_MAX, _MESSAGE_BYTES_MAX = 256 * 1024, 1024
_NODE_ID_MAX = 256
_TOKEN_SECONDS = (600, 2**32)
_MODES = ("Immediate", "WaitForFirstConsumer")


def _provisioner(name: str, field: str) -> Causes:
    if not name:
        return [causes.required(field)]
    return causes.complaints(field, name.lower(), names.qualified_name(name.lower()))


def _parameters(parameters: objects.Object, *, may_be_empty: bool) -> Causes:
    if len(parameters) > _PARAMETERS_MAX:
        return [causes.too_long("parameters", _PARAMETERS_MAX)]
    out: Causes = []
    if "" in parameters:
        out.append(causes.invalid("parameters", "", "field can not be empty."))
    total_bytes = sum(names.size(key) + names.size(value) for key, value in parameters.items())
    if total_bytes > _PARAMETER_BYTES_MAX:
        out.append(causes.too_long("parameters", _PARAMETER_BYTES_MAX))
    if not parameters and not may_be_empty:
        out.append(causes.required("parameters", "must contain at least one key/value pair"))
    return out


def _fixed(obj: objects.Object, old: objects.Object, *keys: str) -> Causes:
    return [
        causes.forbidden(key, f"updates to {key} are forbidden.")
        for key in keys
        if (obj.get(key) or None) != (old.get(key) or None)
    ]


class StorageClass(rules.Kind):
    """A StorageClass."""

    metadata_checks: ClassVar[names.MetadataChecks] = names.MetadataChecks(1, 1, True)
    returns_object_on_delete: ClassVar[bool] = True

    def default(self, obj: objects.Object) -> None:
        if obj.get("reclaimPolicy") is None:
            obj["reclaimPolicy"] = "Delete"
        if obj.get("volumeBindingMode") is None:
            obj["volumeBindingMode"] = "Immediate"

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        return self._validate(obj)

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        out = self._validate(obj)
        for key in ("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"):
            out += rules.immutable(obj.get(key), old.get(key), key)
        return out

    def _validate(self, obj: objects.Object) -> Causes:
        out = _provisioner(obj.get("provisioner") or "", "provisioner")
        out += _parameters(obj.get("parameters") or {}, may_be_empty=True)
        reclaim = obj.get("reclaimPolicy")
        out += rules.one_of(reclaim, "reclaimPolicy", ("Delete", "Retain"), required=False)
        mode = obj.get("volumeBindingMode")
        if mode not in _MODES:
            out.append(causes.unsupported("volumeBindingMode", mode, _MODES))
        return out + _topologies(obj.get("allowedTopologies") or [])

    def warnings(self, obj: objects.Object, old: objects.Object | None) -> list[str]:
        return [
            f"allowedTopologies[{index}].matchLabelExpressions[{position}].key: "
            f"{one['key']} is {podwarnings.NODE_LABELS[one['key']]}"
            for index, term in enumerate(obj.get("allowedTopologies") or ())
            for position, one in enumerate(term.get("matchLabelExpressions") or ())
            if one.get("key") in podwarnings.NODE_LABELS
        ]


def _topologies(terms: list[objects.Object]) -> Causes:
    out: Causes = []
    # Kubernetes compares each term with one empty set per term before those that it has seen.
    seen: list[dict[str, set[str]]] = [{} for _ in terms]
    for index, term in enumerate(terms):
        at = f"allowedTopologies[{index}].matchLabelExpressions"
        found: dict[str, set[str]] = {}
        for position, one in enumerate(term.get("matchLabelExpressions") or ()):
            path, key = f"{at}[{position}]", one.get("key") or ""
            values = one.get("values") or []
            if not values:
                out.append(causes.required(f"{path}.values"))
            out += [
                causes.duplicate(f"{path}.values[{number}]", value)
                for number, value in enumerate(values)
                if value in values[:number]
            ]
            out += causes.complaints(f"{path}.key", key, names.label_key(key))
            if key in found:
                out.append(causes.duplicate(f"{path}.key", key))
            found[key] = set(values)
        out += [causes.duplicate(at, "") for other in seen if other == found]
        seen.append(found)
    return out


class VolumeAttributesClass(rules.Kind):
    """A VolumeAttributesClass."""

    metadata_checks: ClassVar[names.MetadataChecks] = names.MetadataChecks(1, 1, True)
    returns_object_on_delete: ClassVar[bool] = True

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        return self._validate(obj)

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        return self._validate(obj) + _fixed(obj, old, "driverName", "parameters")

    def _validate(self, obj: objects.Object) -> Causes:
        out = _provisioner(obj.get("driverName") or "", "driverName")
        return out + _parameters(obj.get("parameters") or {}, may_be_empty=False)


class CSIDriver(rules.Kind):
    """A CSIDriver."""

    unconditional_update: ClassVar[bool] = False
    returns_object_on_delete: ClassVar[bool] = True

    def default(self, obj: objects.Object) -> None:
        spec = obj.get("spec")
        if spec is None:
            spec = obj["spec"] = {}
        for key, value in (
            ("attachRequired", True),
            ("podInfoOnMount", False),
            ("storageCapacity", False),
            ("fsGroupPolicy", "ReadWriteOnceWithFSType"),
            ("requiresRepublish", False),
            ("seLinuxMount", False),
        ):
            if spec.get(key) is None:
                spec[key] = value
        if not spec.get("volumeLifecycleModes"):
            spec["volumeLifecycleModes"] = ["Persistent"]

    def prepare_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> None:
        if not rules.same(obj["spec"], old["spec"]):
            meta = obj["metadata"]
            meta["generation"] = int(objects.metadata(old).get("generation") or 0) + 1

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        return _driver(obj["spec"])

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        spec, before = obj["spec"], old["spec"]
        out = _driver(spec)
        if spec["attachRequired"] != before.get("attachRequired"):
            at = "spec.attachedRequired"
            out.append(causes.invalid(at, spec["attachRequired"], causes.IMMUTABLE))
        key = "volumeLifecycleModes"
        return out + rules.immutable(spec.get(key), before.get(key), f"spec.{key}")

    def warnings(self, obj: objects.Object, old: objects.Object | None) -> list[str]:
        spec = obj["spec"]
        if old is not None and rules.same(
            spec.get("tokenRequests"), old["spec"].get("tokenRequests")
        ):
            return []
        if not spec.get("tokenRequests") or spec.get("serviceAccountTokenInSecrets") is not None:
            return []
        return [
            "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to"
            " true to prevent possible logging of tokens in volume attributes"
        ]


def _driver(spec: objects.Object) -> Causes:
    policies = ("File", "None", "ReadWriteOnceWithFSType")
    out: Causes = []
    if spec["fsGroupPolicy"] not in policies:
        out.append(causes.unsupported("spec.fsGroupPolicy", spec["fsGroupPolicy"], policies))
    audiences: set[str] = set()
    for index, request in enumerate(spec.get("tokenRequests") or ()):
        at, audience = f"spec.tokenRequests[{index}]", request.get("audience") or ""
        if audience in audiences:
            out.append(causes.duplicate(f"{at}.audience", audience))
            continue
        audiences.add(audience)
        seconds = request.get("expirationSeconds")
        if seconds is None:
            continue
        low, high = _TOKEN_SECONDS
        at += ".expirationSeconds"
        if seconds < low:
            text = "may not specify a duration less than 10 minutes"
            out.append(causes.invalid(at, seconds, text))
        if seconds > high:
            text = "may not specify a duration larger than 2^32 seconds"
            out.append(causes.invalid(at, seconds, text))
    modes = ("Persistent", "Ephemeral")
    out += [
        causes.unsupported("spec.volumeLifecycleModes", mode, modes)
        for mode in spec["volumeLifecycleModes"]
        if mode not in modes
    ]
    period = spec.get("nodeAllocatableUpdatePeriodSeconds")
    if period is not None and period < 10:
        at, text = "nodeAllocatableUpdatePeriodSeconds", "must be greater than or equal to 10"
        out.append(causes.invalid(f"spec.{at}", period, f"{text} seconds"))
    key = "serviceAccountTokenInSecrets"
    if spec.get(key) is not None and not spec.get("tokenRequests"):
        text = f"{key} is set but no tokenRequests are specified"
        out.append(causes.invalid(f"spec.{key}", spec[key], text))
    return out


class CSINode(rules.Listing):
    """A CSINode, which a node's kubelet writes."""

    metadata_checks: ClassVar[names.MetadataChecks] = names.MetadataChecks(1, 0, True)
    lists: ClassVar[tuple[tuple[str, ...], ...]] = (("spec", "drivers"),)
    unconditional_update: ClassVar[bool] = False
    returns_object_on_delete: ClassVar[bool] = True

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        return self._validate(obj)

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        out = self._validate(obj)
        drivers = (obj.get("spec") or {}).get("drivers") or []
        for before in (old.get("spec") or {}).get("drivers") or ():
            for driver in drivers:
                if driver.get("name") == before.get("name"):
                    mine, theirs = (
                        {key: value for key, value in one.items() if key != "allocatable"}
                        for one in (driver, before)
                    )
                    if not rules.same(mine, theirs):
                        out.append(causes.invalid("spec.drivers", _shown(mine), causes.IMMUTABLE))
        return out

    def _validate(self, obj: objects.Object) -> Causes:
        out: Causes = []
        seen: set[str] = set()
        for index, driver in enumerate((obj.get("spec") or {}).get("drivers") or ()):
            at, name = f"spec.drivers[{index}]", driver.get("name") or ""
            out += sources.csi_driver_name(name, f"{at}.name")
            node = driver.get("nodeID") or ""
            if not node:
                out.append(causes.required(f"{at}.nodeID"))
            if len(node) > _NODE_ID_MAX:
                text = f"must be {_NODE_ID_MAX} characters or less"
                out.append(causes.invalid(f"{at}.nodeID", node, text))
            count = (driver.get("allocatable") or {}).get("count")
            out += rules.nonnegative(count, f"{at}.allocatable.count")
            if name in seen:
                out.append(causes.duplicate(f"{at}.name", name))
            seen.add(name)
            keys = driver.get("topologyKeys") or []
            for position, key in enumerate(keys):
                if not key:
                    out.append(causes.required(at))
                if key in keys[:position]:
                    out.append(causes.duplicate(at, key))
                out += causes.complaints(at, key, names.qualified_name(key))
        return out


def _shown(driver: objects.Object) -> objects.Object:
    """Return a CSINodeDriver as Go's JSON of the internal type shows it."""
    return {
        "Name": driver.get("name") or "",
        "NodeID": driver.get("nodeID") or "",
        "TopologyKeys": driver.get("topologyKeys"),
        "Allocatable": None,
    }


class CSIStorageCapacity(rules.Kind):
    """A CSIStorageCapacity."""

    metadata_checks: ClassVar[names.MetadataChecks] = names.MetadataChecks(1, 1, True)
    unconditional_update: ClassVar[bool] = False

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        return self._complaints(obj)

    def warnings(self, obj: objects.Object, old: objects.Object | None) -> list[str]:
        topology = obj.get("nodeTopology") or {}
        return podwarnings.of_node_term(topology, "nodeTopology") + [
            f"nodeTopology.matchLabels.{key}: {podwarnings.NODE_LABELS[key]}"
            for key in sorted(topology.get("matchLabels") or {})
            if key in podwarnings.NODE_LABELS
        ]

    @staticmethod
    def _complaints(obj: objects.Object) -> list[statuses.Cause]:
        out = selectors.validate_label_selector(obj.get("nodeTopology"), "nodeTopology")
        name = obj.get("storageClassName") or ""
        out += causes.complaints("storageClassName", name, names.dns_subdomain(name))
        capacity = obj.get("capacity")
        if capacity is not None and requirements.parse(capacity).sign < 0:
            out.append(causes.invalid("capacity", str(capacity), causes.NEGATIVE))
        return out

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        out = self._complaints(obj)
        for key in ("nodeTopology", "storageClassName"):
            if not rules.same(obj.get(key), old.get(key)):
                out.append(causes.invalid(key, obj.get(key), causes.IMMUTABLE))
        return out


class VolumeAttachment(rules.Kind):
    """A VolumeAttachment."""

    metadata_checks: ClassVar[names.MetadataChecks] = names.MetadataChecks(1, 0, True)
    status_is_separate: ClassVar[bool] = True
    resets_metadata: ClassVar[bool] = True
    unconditional_update: ClassVar[bool] = False
    returns_object_on_delete: ClassVar[bool] = True

    def default(self, obj: objects.Object) -> None:
        source = (obj.get("spec") or {}).get("source") or {}
        if (volume := source.get("inlineVolumeSpec")) is not None:
            persistentvolumes.default_volume(volume)

    def initial_status(self, obj: objects.Object) -> objects.Object:
        return {"attached": False}

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        return _attachment(obj)

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        out = _attachment(obj)
        if not rules.same(obj.get("spec"), old.get("spec")):
            kind = "io.k8s.api.storage.v1.VolumeAttachmentSpec"
            shown = gotypes.internal(obj.get("spec") or {}, kind)
            out.append(causes.invalid("spec", shown, causes.IMMUTABLE))
        return out


def _attachment(obj: objects.Object) -> Causes:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    out = sources.csi_driver_name(spec.get("attacher") or "", "spec.attacher")
    source = spec.get("source") or {}
    volume, inline = source.get("persistentVolumeName"), source.get("inlineVolumeSpec")
    text = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
    if volume is None and inline is None:
        out.append(causes.required("spec.source", text))
    elif volume is not None and inline is not None:
        out.append(causes.forbidden("spec.source", text))
    elif inline is not None:
        out += persistentvolumes.volume_spec(inline, "spec.source.inlineVolumeSpec", inline=True)
    elif not volume:
        text = "must specify non empty persistentVolumeName"
        out.append(causes.required("spec.source.persistentVolumeName", text))
    if volume is not None:
        at = "spec.source.persistentVolumeName"
        out += causes.complaints(at, volume, names.dns_subdomain(volume))
    node = spec.get("nodeName") or ""
    out += causes.complaints("spec.nodeName", node, names.dns_subdomain(node))
    metadata = status.get("attachmentMetadata") or {}
    if sum(names.size(k) + names.size(v) for k, v in metadata.items()) > _METADATA_BYTES_MAX:
        out.append(causes.too_long("status.attachmentMetadata", _METADATA_BYTES_MAX))
    for key in ("attachError", "detachError"):
        error = status.get(key) or {}
        if names.size(error.get("message") or "") > _MESSAGE_BYTES_MAX:
            out.append(causes.too_long(f"status.{key}.message", _METADATA_BYTES_MAX))
        code = error.get("errorCode")
        if code is not None and code < 0:
            at = f"status.{key}.errorCode"
            out.append(causes.invalid(at, code, names.between(0, 2**31 - 1)))
    return out
