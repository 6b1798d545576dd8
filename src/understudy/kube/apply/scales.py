"""Ownership of replicas when written through the scale subresource.

A Scale shows one field of its object, so its managedFields are those entries which own that field,
in the Scale's terms (`autoscaling/v1`, `.spec.replicas`). After a write they go back: who lost the
field in the Scale loses it in the object, who gained it gets an entry with just that field.

Source: k8s.io/apimachinery `pkg/util/managedfields/scalehandler.go`.
"""

from __future__ import annotations

from understudy.kube import objects
from understudy.kube.apply import fieldsets, managers

_SCALE_VERSION = "autoscaling/v1"
_REPLICAS = fieldsets.of(("f:spec", "f:replicas"))


def to_scale(raw: objects.Json, path: tuple[str, ...]) -> list[objects.Json]:
    """Return the entries of a Scale from its object's; `path` leads to the replicas there.

    Raises:
        ManagedFieldsError: The object's entries cannot be read.
    """
    steps = _steps(path)
    out = {
        who: managers.Entry(_REPLICAS, _SCALE_VERSION, entry.time)
        for who, entry in managers.decode(raw).items()
        if fieldsets.has(entry.fields, steps)
    }
    return managers.encode(out)


def to_parent(
    raw: objects.Json, scale: objects.Json, path: tuple[str, ...], api_version: str
) -> list[objects.Json]:
    """Return the object's entries after a write of its Scale gave that the entries `scale`.

    Args:
        raw: The object's entries before.
        scale: The Scale's entries after.
        path: Path of the replicas in the object, e.g. `("spec", "replicas")`.
        api_version: Of the object, for new entries.

    Raises:
        ManagedFieldsError: Entries cannot be read.
    """
    steps = _steps(path)
    replicas = fieldsets.of(steps)
    scaled = {
        who: entry
        for who, entry in managers.decode(scale).items()
        if fieldsets.has(entry.fields, ("f:spec", "f:replicas"))
    }
    out: managers.Managers = {}
    for who, entry in managers.decode(raw).items():
        if not fieldsets.has(entry.fields, steps):
            out[who] = entry
        elif who in scaled:
            out[who] = entry
            del scaled[who]
        elif rest := fieldsets.difference(entry.fields, replicas):
            out[who] = managers.Entry(rest, entry.api_version, entry.time)
    # Updaters never match above: their identity holds the version, which is the Scale's here. So
    # even a write that changes nothing gives them an entry of their own, and that has no time.
    for who in scaled:
        out[who] = managers.Entry(replicas, api_version)
    return managers.encode(out)


def _steps(path: tuple[str, ...]) -> fieldsets.Path:
    return tuple(f"f:{name}" for name in path)
