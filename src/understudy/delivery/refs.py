"""Which object is meant, whatever version of its kind it is spoken of in."""

from __future__ import annotations

from typing import NamedTuple

from understudy.kube import identities, objects


class Ref(NamedTuple):
    """An object's identity: group, kind, namespace (empty if cluster-scoped) and name.

    Never a version: `apps/v1beta1` and `apps/v1` Deployments of one name are one object, and an
    inventory that told them apart would delete the object it has just applied.
    """

    group: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        """`Deployment shop/web`, `Namespace shop`."""
        place = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind} {place}"

    def as_dict(self) -> objects.Object:
        """Render for JSON output and records."""
        out: objects.Object = {"group": self.group, "kind": self.kind}
        if self.namespace:
            out["namespace"] = self.namespace
        out["name"] = self.name
        return out


def ref_of(obj: objects.Object, *, namespaced: bool = True) -> Ref:
    """Return the identity of an object; a namespace on a cluster-scoped kind does not count."""
    gvk = identities.gvk_of(obj)
    namespace = objects.namespace_of(obj) if namespaced else ""
    return Ref(gvk.group, gvk.kind, namespace, objects.name_of(obj))


def from_dict(value: objects.Object) -> Ref:
    """Read what `as_dict` wrote."""
    return Ref(
        str(value.get("group") or ""),
        str(value.get("kind") or ""),
        str(value.get("namespace") or ""),
        str(value.get("name") or ""),
    )
