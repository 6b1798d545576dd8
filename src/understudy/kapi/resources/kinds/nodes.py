"""Nodes. Source: pkg/apis/core, pkg/registry/core/node @1.36."""

from __future__ import annotations

from typing import ClassVar

from understudy.kapi.resources import strategies
from understudy.kapi.resources.kinds import requirements, rules, scheduling
from understudy.kube import addresses, causes, names, objects, statuses

Causes = list[statuses.Cause]


class Node(rules.Kind):
    """A Node."""

    metadata_checks: ClassVar[names.MetadataChecks] = names.MetadataChecks(1, 1, True)
    status_is_separate: ClassVar[bool] = True
    selectable: ClassVar[tuple[str, ...]] = ("spec.unschedulable",)

    def default(self, obj: objects.Object) -> None:
        spec = obj.get("spec")
        if spec is None:
            spec = obj["spec"] = {}
        single, listed = spec.get("podCIDR") or "", spec.get("podCIDRs") or []
        if single and (not listed or listed[0] != single):
            spec["podCIDRs"] = [single]
        elif listed and not single:
            spec["podCIDR"] = listed[0]
        status = obj.get("status")
        if status is None:
            status = obj["status"] = {}
        if status.get("capacity") and status.get("allocatable") is None:
            status["allocatable"] = dict(status["capacity"])
        for amounts in (status.get("capacity"), status.get("allocatable")):
            if amounts:
                requirements.round_up_millis(amounts)

    def prepare_create(self, obj: objects.Object, context: strategies.WriteContext) -> None:
        """Keep the status sent: a node registers with it."""

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        spec = obj["spec"]
        out = scheduling.taints(spec.get("taints") or [], "metadata.taints")
        out += _amounts(obj.get("status") or {})
        return out + _pod_cidrs(spec)

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        spec, before, status = obj["spec"], old.get("spec") or {}, obj.get("status") or {}
        out = _amounts(status)
        listed = status.get("addresses") or []
        out += [
            causes.duplicate(
                f"status.addresses[{index}]",
                {"Type": one.get("type") or "", "Address": one.get("address") or ""},
            )
            for index, one in enumerate(listed)
            if one in listed[:index]
        ]
        cidrs, old_cidrs = spec.get("podCIDRs") or [], before.get("podCIDRs") or []
        if old_cidrs and cidrs != old_cidrs:
            text = 'node updates may not change podCIDR except from "" to valid'
            changed = 1
            if len(cidrs) == len(old_cidrs):
                changed = sum(a != b for a, b in zip(cidrs, old_cidrs, strict=True))
            out += [causes.forbidden("spec.podCIDRs", text)] * changed
        provider = before.get("providerID")
        if provider and spec.get("providerID") != provider:
            text = 'node updates may not change providerID except from "" to valid'
            out.append(causes.forbidden("spec.providerID", text))
        if (spec.get("externalID") or "") != (before.get("externalID") or ""):
            out.append(causes.forbidden("spec.externalID", "may not be updated"))
        tainted = scheduling.taints(spec.get("taints") or [], "metadata.taints")
        return out + tainted + tainted  # Kubernetes looks at them twice.

    def warnings(self, obj: objects.Object, old: objects.Object | None) -> list[str]:
        spec = obj.get("spec") or {}
        out: list[str] = []
        if spec.get("configSource") is not None:
            out.append("spec.configSource: the feature is deprecated and non-functional")
        if spec.get("externalID"):
            out.append("spec.externalID: this field is deprecated, and is unused by Kubernetes")
        for index, cidr in enumerate(spec.get("podCIDRs") or ()):
            out += addresses.cidr_warnings(f"spec.podCIDRs[{index}]", cidr)
        return out

    def selectable_fields(self, obj: objects.Object) -> dict[str, str]:
        flag = bool((obj.get("spec") or {}).get("unschedulable"))
        return {"spec.unschedulable": str(flag).lower()}


def _amounts(status: objects.Object) -> Causes:
    return [
        cause
        for key in ("capacity", "allocatable")
        for name, value in (status.get(key) or {}).items()
        for cause in requirements.amount(name, value, f"status.{key}.{name}")
    ]


def _pod_cidrs(spec: objects.Object) -> Causes:
    listed = spec.get("podCIDRs") or []
    at = "spec.podCIDRs"
    out: Causes = []
    for index, cidr in enumerate(listed):
        out += causes.complaints(f"{at}[{index}]", cidr, addresses.legacy_cidr(cidr))
    if len(listed) > 1:
        families = {":" in cidr for cidr in listed}
        if len(families) < 2 or len(listed) > 2:
            text = "may specify no more than one CIDR for each IP family"
            out.append(causes.invalid(at, listed, text))
        out += [
            causes.duplicate(f"{at}[{index}]", cidr)
            for index, cidr in enumerate(listed)
            if cidr in listed[:index]
        ]
    return out
