"""Which fields a write cannot set, so that nobody comes to own them by writing them.

A main write cannot set the status of a kind that has a status subresource; a status write cannot
set the spec and, depending on the kind, labels or all of the metadata.

Source: GetResetFields of the strategies in k8s.io/kubernetes `pkg/registry` and
k8s.io/apiextensions-apiserver `pkg/registry/customresource`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

from understudy.kube.apply import comparisons, fieldsets

KINDS_MAX = 1024
"""Kinds and subresources whose answer is kept."""

_SPEC = ("f:spec",)
_STATUS = ("f:status",)
_METADATA = ("f:metadata",)
_LABELS = ("f:metadata", "f:labels")

_STATUS_WRITES: dict[tuple[str, str], tuple[fieldsets.Path, ...]] = {
    ("", "Pod"): (
        _SPEC,
        ("f:metadata", "f:deletionTimestamp"),
        ("f:metadata", "f:ownerReferences"),
    ),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"): (_SPEC, _METADATA),
    ("apiextensions.k8s.io", "CustomResourceDefinition"): (_SPEC, _METADATA),
    ("apiregistration.k8s.io", "APIService"): (_SPEC, _METADATA),
    ("apps", "Deployment"): (_SPEC, _LABELS),
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"): (_SPEC, _METADATA),
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"): (_SPEC, _METADATA),
    ("networking.k8s.io", "ServiceCIDR"): (_SPEC, _METADATA),
    ("resource.k8s.io", "ResourceClaim"): (_SPEC, _METADATA),
    ("storage.k8s.io", "VolumeAttachment"): (_SPEC, _METADATA),
}
"""Kinds whose status writes reset more than the spec."""


@dataclass(frozen=True, slots=True)
class Resets:
    """Fields of which a write's changes do not count.

    Attributes:
        ignored: Set of fields which, with everything below, do not count.
    """

    ignored: fieldsets.Tree = field(default_factory=dict)

    def kept(self, tree: fieldsets.Tree) -> fieldsets.Tree:
        """Return the fields of a set that count."""
        return fieldsets.without(tree, self.ignored)

    def kept_of(self, found: comparisons.Comparison) -> comparisons.Comparison:
        """Return a comparison with only the fields that count."""
        return found.without(self.ignored)


NOTHING = Resets()


@functools.lru_cache(maxsize=KINDS_MAX)
def of(group: str, kind: str, subresource: str, *, custom: bool, has_status: bool) -> Resets:
    """Return what a write to a kind, or to one of its subresources, cannot set.

    `custom` says that the kind comes from a CustomResourceDefinition, `has_status` that it has a
    status subresource.
    """
    if not subresource:
        if (group, kind) == ("certificates.k8s.io", "CertificateSigningRequest"):
            return Resets(fieldsets.of(_SPEC, _STATUS))
        return Resets(fieldsets.of(_STATUS)) if has_status else NOTHING
    if subresource in {"status", "approval"}:
        paths = (_SPEC, _METADATA) if custom else _STATUS_WRITES.get((group, kind), (_SPEC,))
        return Resets(fieldsets.of(*paths))
    if subresource == "finalize":
        return Resets(fieldsets.of(_STATUS))
    return NOTHING
