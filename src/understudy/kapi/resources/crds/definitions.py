"""Reading a CustomResourceDefinition, and the form in which Kubernetes validates it.

What all versions say alike (schema, subresources, printer columns, selectable fields) is validated
once, under `spec.validation`, `spec.additionalPrinterColumns` and so on; that is where error
messages point, although no such field exists in apiextensions.k8s.io/v1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from understudy.kube import objects


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One group of settings, of one version (index) or (None) of all alike, and where it stands.

    Example: the schema of a CRD with one version has `path` `spec.validation`.
    """

    index: int | None
    path: str
    value: objects.Json


def spec_of(crd: objects.Object) -> objects.Object:
    """Return the spec, an empty mapping where it is absent."""
    spec = crd.get("spec")
    return spec if isinstance(spec, dict) else {}


def versions_of(crd: objects.Object) -> list[objects.Object]:
    """Return spec.versions."""
    return list(spec_of(crd).get("versions") or ())


def schema_of(version: objects.Object) -> objects.Object | None:
    """Return a version's openAPIV3Schema, or None."""
    found = (version.get("schema") or {}).get("openAPIV3Schema")
    return found if isinstance(found, dict) else None


def names_of(crd: objects.Object) -> objects.Object:
    """Return spec.names, an empty mapping where it is absent."""
    return spec_of(crd).get("names") or {}


_HOISTED = {
    "schema": "validation",
    "subresources": "subresources",
    "additionalPrinterColumns": "additionalPrinterColumns",
    "selectableFields": "selectableFields",
}


def parts(crd: objects.Object, word: str) -> Iterator[Part]:
    """Yield the settings called `word` in versions, once where all versions say the same."""
    versions = versions_of(crd)
    if not versions:
        return
    first = versions[0].get(word) or None
    if all((version.get(word) or None) == first for version in versions):
        if first is not None:
            yield Part(index=None, path=f"spec.{_HOISTED[word]}", value=first)
        return
    for position, version in enumerate(versions):
        value = version.get(word) or None
        if value is not None:
            yield Part(index=position, path=f"spec.versions[{position}].{word}", value=value)


def storage_version(crd: objects.Object) -> objects.Object | None:
    """Return the version marked as storage, or None."""
    return next((version for version in versions_of(crd) if version.get("storage")), None)


def condition(crd: objects.Object, kind: str) -> objects.Object | None:
    """Return the status condition of a type, or None."""
    for found in objects.lookup(crd, ("status", "conditions")) or ():
        if found.get("type") == kind:
            checked: objects.Object = found
            return checked
    return None


def is_true(crd: objects.Object, kind: str) -> bool:
    """Say whether a condition is `True`."""
    found = condition(crd, kind)
    return found is not None and found.get("status") == "True"


def set_condition(crd: objects.Object, new: objects.Object, now: str) -> bool:
    """Put a condition into status, in place; its time moves only when its status does.

    Returns whether anything changed.
    """
    status = crd.setdefault("status", {})
    conditions = status.get("conditions") or []
    for position, found in enumerate(conditions):
        if found.get("type") != new["type"]:
            continue
        stamp = found.get("lastTransitionTime") if found.get("status") == new["status"] else now
        changed = new | {"lastTransitionTime": stamp}
        if changed == found:
            return False
        conditions[position] = changed
        status["conditions"] = conditions
        return True
    status["conditions"] = [*conditions, new | {"lastTransitionTime": now}]
    return True
