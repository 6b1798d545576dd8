"""The spec of a PersistentVolumeClaim, which StatefulSets and pods embed too.

Source: pkg/apis/core/validation @1.36.
"""

from __future__ import annotations

from understudy.kapi.resources.kinds import requirements
from understudy.kube import causes, names, objects, selectors, statuses

Causes = list[statuses.Cause]

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODES = ("Block", "Filesystem")


def default_spec(spec: objects.Object) -> None:
    """Fill in the volume mode, in place."""
    if not spec.get("volumeMode"):
        spec["volumeMode"] = "Filesystem"


def access_modes(modes: list[str], field: str) -> Causes:
    """Check access modes: known ones, and ReadWriteOncePod only alone."""
    out = [causes.unsupported(field, one, ACCESS_MODES) for one in modes if one not in ACCESS_MODES]
    others = any(mode in ACCESS_MODES[:3] for mode in modes)
    if others and "ReadWriteOncePod" in modes:
        text = "may not use ReadWriteOncePod with other access modes"
        out.append(causes.forbidden(field, text))
    return out


def validate_spec(spec: objects.Object, field: str, *, old: objects.Object | None = None) -> Causes:
    """Return every reason why a claim's spec is not valid."""
    modes = spec.get("accessModes") or []
    out: Causes = []
    if not modes:
        text = "at least 1 access mode is required"
        out.append(causes.required(f"{field}.accessModes", text))
    out += selectors.validate_label_selector(spec.get("selector"), f"{field}.selector")
    out += access_modes(modes, f"{field}.accessModes")
    size = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    at = f"{field}.resources[storage]"
    if size is None:
        out.append(causes.required(at))
    elif requirements.parse(size).sign <= 0:
        out.append(causes.invalid(at, str(size), "must be greater than zero"))
    for key in ("storageClassName", "volumeAttributesClassName"):
        if name := spec.get(key):
            out += causes.complaints(f"{field}.{key}", name, names.dns_subdomain(name))
    mode = spec.get("volumeMode")
    if mode is not None and mode not in VOLUME_MODES:
        out.append(causes.unsupported(f"{field}.volumeMode", mode, VOLUME_MODES))
    return out + _data_sources(spec, field, old)


def _data_sources(spec: objects.Object, field: str, old: objects.Object | None) -> Causes:
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    lenient = any((old or {}).get(key, {}) and old[key].get("apiGroup") is not None
                  for key in ("dataSource", "dataSourceRef")) if old else False  # fmt: skip
    out: Causes = []
    for key, value in (("dataSource", source), ("dataSourceRef", reference)):
        if value is not None:
            out += _reference(value, f"{field}.{key}", lenient=lenient)
    namespace = (reference or {}).get("namespace")
    if namespace:
        at = f"{field}.dataSourceRef.namespace"
        out += causes.complaints(at, namespace, names.dns_label(namespace))
        if source is not None:
            text = "may not be specified when dataSourceRef.namespace is specified"
            out.append(causes.invalid(field, {}, text))
    elif source is not None and reference is not None:
        keys = ("apiGroup", "kind", "name")
        if any(source.get(key) != reference.get(key) for key in keys):
            out.append(causes.invalid(field, {}, "must match dataSourceRef"))
    return out


def _reference(value: objects.Object, field: str, *, lenient: bool) -> Causes:
    out = [causes.required(f"{field}.{key}") for key in ("name", "kind") if not value.get(key)]
    group, kind = value.get("apiGroup") or "", value.get("kind") or ""
    if not group and kind != "PersistentVolumeClaim":
        text = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
        out.append(causes.invalid(field, kind, text))
    if group and not lenient:
        out += causes.complaints(f"{field}.apiGroup", group, names.dns_subdomain(group))
    return out


def normalise_data_source(spec: objects.Object) -> None:
    """Let dataSource and dataSourceRef say the same, in place, where only one was given."""
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    if source is not None and reference is None:
        spec["dataSourceRef"] = objects.copy(source)
    elif reference is not None and source is None and not reference.get("namespace"):
        spec["dataSource"] = {
            key: reference[key] for key in ("apiGroup", "kind", "name") if key in reference
        }


def drop_foreign_source(spec: objects.Object) -> None:
    """Drop, in place, a lone dataSource that is neither a claim nor a snapshot (KEP 1495)."""
    source = spec.get("dataSource")
    if source is None or spec.get("dataSourceRef") is not None:
        return
    known = {("", "PersistentVolumeClaim"), ("snapshot.storage.k8s.io", "VolumeSnapshot")}
    if (source.get("apiGroup") or "", source.get("kind")) not in known:
        del spec["dataSource"]
