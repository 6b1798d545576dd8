"""A pod's volumes: defaults and validity.

Source: pkg/apis/core/{v1,validation} @1.36.
"""

from __future__ import annotations

from understudy.kapi.resources.kinds import claims, containers, images, paths, sources
from understudy.kube import causes, names, objects, selectors, statuses

Causes = list[statuses.Cause]

_MORE = "may not specify more than 1 volume type"
_ORDER = (
    "emptyDir", "hostPath", "gitRepo", "gcePersistentDisk", "awsElasticBlockStore", "secret",
    "nfs", "iscsi", "glusterfs", "flocker", "persistentVolumeClaim", "rbd", "cinder", "cephfs",
    "quobyte", "downwardAPI", "fc", "flexVolume", "configMap", "azureFile", "vsphereVolume",
    "photonPersistentDisk", "portworxVolume", "azureDisk", "storageos", "projected", "scaleIO",
    "csi", "ephemeral", "image",
)  # fmt: skip
_MODES = ("secret", "configMap", "downwardAPI", "projected")
_DEFAULT_MODE = 0o644
_MISSPELT = {"cephfs": "cephFS", "downwardAPI": "downwarAPI"}
_DOWNWARD_FIELDS = frozenset({
    "metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace",
    "metadata.uid",
})  # fmt: skip
_TOKEN_SECONDS_MIN, _TOKEN_SECONDS_MAX = 600, 1 << 32


def default(volumes: list[objects.Object]) -> None:
    """Fill in, in place, what SetDefaults fills in for a pod's volumes."""
    for volume in volumes:
        if len(volume) == 1 and "name" in volume:
            volume["emptyDir"] = {}
            continue
        for key in _MODES:
            source = volume.get(key)
            if source is not None and source.get("defaultMode") is None:
                source["defaultMode"] = _DEFAULT_MODE
        for source in (volume.get("downwardAPI"), *_projections(volume, "downwardAPI")):
            for item in (source or {}).get("items") or ():
                containers.default_field_ref(item.get("fieldRef"))
        for token in _projections(volume, "serviceAccountToken"):
            if token.get("expirationSeconds") is None:
                token["expirationSeconds"] = 3600
        if (ephemeral := volume.get("ephemeral")) is not None:
            template = ephemeral.get("volumeClaimTemplate")
            if template is not None:
                claims.default_spec(template.setdefault("spec", {}))
        if (image := volume.get("image")) is not None and not image.get("pullPolicy"):
            image["pullPolicy"] = images.pull_policy(image.get("reference") or "")
        sources.default(volume)


def _projections(volume: objects.Object, key: str) -> list[objects.Object]:
    projected = volume.get("projected")
    if not projected:
        return []
    return [one[key] for one in projected.get("sources") or () if one.get(key) is not None]


def validate(
    volumes: list[objects.Object], field: str, *, pod_name: str, is_pod: bool
) -> tuple[dict[str, objects.Object], Causes]:
    """Return the valid volumes by name, and every complaint about the others."""
    out: Causes = []
    known: dict[str, objects.Object] = {}
    created = {
        f"{pod_name}-{volume.get('name')}"
        for volume in volumes
        if pod_name and volume.get("ephemeral") is not None
    }
    for index, volume in enumerate(volumes):
        path = f"{field}[{index}]"
        name = volume.get("name") or ""
        found = _source(volume, path, name, pod_name, is_pod)
        if not name:
            found.append(causes.required(f"{path}.name"))
        elif complaints := names.dns_label(name):
            found += causes.complaints(f"{path}.name", name, complaints)
        if name in known:
            found.append(causes.duplicate(f"{path}.name", name))
        if found:
            out += found
        else:
            known[name] = volume
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if claim and claim in created:
            text = "must not reference a PVC that gets created for an ephemeral volume"
            out.append(causes.invalid(f"{path}.persistentVolumeClaim.claimName", claim, text))
    return known, out


def _source(volume: objects.Object, path: str, name: str, pod_name: str, is_pod: bool) -> Causes:
    keys = [key for key in volume if key != "name" and volume[key] is not None]
    if not keys:
        return [causes.required(path, "must specify a volume type")]
    out: Causes = []
    if len(keys) > 1:
        keys.sort(key=_ORDER.index)
        out = [causes.forbidden(f"{path}.{_MISSPELT.get(key, key)}", _MORE) for key in keys[1:]]
    key = keys[0]
    source, at = volume[key], f"{path}.{key}"
    match key:
        case "emptyDir":
            out += _empty_dir(source, at)
        case "downwardAPI":
            out += sources.file_mode(source.get("defaultMode"), f"{at}.defaultMode")
            for item in source.get("items") or ():
                out += _downward_file(item, at)
        case "projected":
            out += sources.file_mode(source.get("defaultMode"), f"{at}.defaultMode")
            out += _projected(source, at)
        case "ephemeral":
            out += _ephemeral(source, at, path, name, pod_name)
        case "image":
            if is_pod and not source.get("reference"):
                out.append(causes.required(f"{at}.reference"))
            out += containers.pull_policy(source.get("pullPolicy") or "", f"{at}.pullPolicy")
        case _:
            out += sources.IN_PODS[key](source, at)
    iscsi = volume.get("iscsi") or {}
    portal = f"{name}:{iscsi.get('targetPortal') or ''}"
    if iscsi.get("initiatorName") is not None and names.size(portal) > 64:
        text = (
            "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters"
            " if iscsi.initiatorName is specified."
        )
        out.append(causes.invalid(f"{path}.name", name, text))
    return out


def _empty_dir(source: objects.Object, field: str) -> Causes:
    limit = source.get("sizeLimit")
    if limit is not None and str(limit).startswith("-"):
        text = "SizeLimit field must be a valid resource quantity"
        return [causes.forbidden(f"{field}.sizeLimit", text)]
    return []


def _ephemeral(source: objects.Object, field: str, path: str, name: str, pod_name: str) -> Causes:
    out: Causes = []
    template = source.get("volumeClaimTemplate")
    at = f"{field}.volumeClaimTemplate"
    if template is None:
        out.append(causes.required(at))
    else:
        meta = template.get("metadata") or {}
        out += names.validate_annotations(
            meta.get("annotations") or {}, f"{at}.metadata.annotations"
        )
        out += names.validate_labels(meta.get("labels") or {}, f"{at}.metadata.labels")
        out += [
            causes.forbidden(f"{at}.metadata.{key}", "cannot be set")
            for key, value in meta.items()
            if key not in {"annotations", "labels"} and value
        ]
        out += claims.validate_spec(template.get("spec") or {}, f"{at}.spec")
    if pod_name and name:
        claim = f"{pod_name}-{name}"
        out += [
            causes.invalid(f"{path}.name", name, f'PVC name "{claim}": {text}')
            for text in names.dns_subdomain(claim)
        ]
    return out


def _downward_file(item: objects.Object, field: str) -> Causes:
    path = item.get("path") or ""
    out: Causes = []
    if not path:
        out.append(causes.required(f"{field}.path"))
    out += paths.unreserved(path, f"{field}.path")
    field_ref, resource_ref = item.get("fieldRef"), item.get("resourceFieldRef")
    if field_ref is not None:
        out += containers.field_ref(field_ref, _DOWNWARD_FIELDS, f"{field}.fieldRef")
        if resource_ref is not None:
            text = "fieldRef and resourceFieldRef can not be specified simultaneously"
            out.append(causes.invalid(field, "resource", text))
    elif resource_ref is not None:
        at = f"{field}.resourceFieldRef"
        out += containers.resource_ref(resource_ref, at, in_volume=True)
    else:
        text = "one of fieldRef and resourceFieldRef is required"
        out.append(causes.required(field, text))
    return out + sources.file_mode(item.get("mode"), f"{field}.mode")


def _projected(source: objects.Object, field: str) -> Causes:
    out: Causes = []
    used: set[str] = set()

    def use(path: str, shown: str) -> None:
        if path and path in used:
            out.append(causes.invalid(field, shown, "conflicting duplicate paths"))
        used.add(path)

    for index, one in enumerate(source.get("sources") or ()):
        path = f"{field}.sources[{index}]"
        present = [key for key, value in one.items() if value is not None]
        for key in ("secret", "configMap"):
            if (keyed := one.get(key)) is None:
                continue
            if not keyed.get("name"):
                out.append(causes.required(f"{path}.{key}.name"))
            for number, item in enumerate(keyed.get("items") or ()):
                out.extend(sources.key_to_path(item, f"{path}.{key}.items[{number}]"))
                use(item.get("path") or "", keyed.get("name") or "")
        for item in (one.get("downwardAPI") or {}).get("items") or ():
            out.extend(_downward_file(item, f"{path}.downwardAPI"))
            use(item.get("path") or "", item.get("path") or "")
        if (token := one.get("serviceAccountToken")) is not None:
            out.extend(_token(token, f"{path}.serviceAccountToken", field))
        if (bundle := one.get("clusterTrustBundle")) is not None:
            out.extend(_trust_bundle(bundle, f"{path}.clusterTrustBundle"))
            use(bundle.get("path") or "", bundle.get("path") or "")
        if len(present) > 1:
            text = "may not specify more than 1 volume type per source"
            out.append(causes.forbidden(path, text))
    return out


def _token(token: objects.Object, field: str, volume_field: str) -> Causes:
    out: Causes = []
    seconds = token.get("expirationSeconds") or 0
    at = f"{field}.expirationSeconds"
    if seconds < _TOKEN_SECONDS_MIN:
        out.append(causes.invalid(at, seconds, "may not specify a duration less than 10 minutes"))
    if seconds > _TOKEN_SECONDS_MAX:
        text = "may not specify a duration larger than 2^32 seconds"
        out.append(causes.invalid(at, seconds, text))
    path = token.get("path") or ""
    if not path:
        out.append(causes.required(f"{volume_field}.path"))
    else:
        out += paths.unreserved(path, f"{volume_field}.path")
    return out


def _trust_bundle(bundle: objects.Object, field: str) -> Causes:
    name, signer = bundle.get("name"), bundle.get("signerName")
    out: Causes = []
    if name is not None and signer is not None:
        shown = {"Name": name, "SignerName": signer}
        text = "only one of name and signerName may be used"
        out.append(causes.invalid(field, shown, text))
    elif name is not None:
        if not name:
            out.append(causes.required(f"{field}.name", "must be a valid object name"))
        out += [
            causes.invalid(f"{field}.name", name, f"not a valid clustertrustbundlename: {text}")
            for text in names.dns_subdomain(name.rpartition(":")[2])
        ]
        if (selector := bundle.get("labelSelector")) is not None:
            text = "labelSelector must be unset if name is specified"
            out.append(causes.invalid(f"{field}.labelSelector", selector, text))
    elif signer is not None:
        if not signer:
            out.append(causes.required(f"{field}.signerName", "must be a valid signer name"))
        out += selectors.validate_label_selector(
            bundle.get("labelSelector"), f"{field}.labelSelector"
        )
    else:
        out.append(causes.required(field, "either name or signerName must be specified"))
    path = bundle.get("path") or ""
    if not path:
        out.append(causes.required(f"{field}.path"))
    return out + paths.unreserved(path, f"{field}.path")
