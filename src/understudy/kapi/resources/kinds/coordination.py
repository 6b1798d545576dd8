"""Leases and LeaseCandidates.

Source: pkg/apis/coordination/validation, pkg/registry/coordination @1.36.
"""

from __future__ import annotations

from typing import ClassVar

from understudy.kapi.resources import strategies
from understudy.kapi.resources.kinds import rules
from understudy.kube import causes, objects, statuses

_STRATEGY_DOMAIN = "coordination.k8s.io"


class Lease(rules.Kind):
    """A Lease."""

    unconditional_update: ClassVar[bool] = False
    creates_on_update: ClassVar[bool] = True

    def prepare_create(self, obj: objects.Object, context: strategies.WriteContext) -> None:
        self._drop_disabled(obj, {})

    def prepare_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> None:
        self._drop_disabled(obj, old.get("spec") or {})

    @staticmethod
    def _drop_disabled(obj: objects.Object, before: objects.Object) -> None:
        """Coordinated leader election is off by default: its fields are not taken."""
        spec = obj.get("spec") or {}
        for field in ("strategy", "preferredHolder"):
            if field not in before:
                spec.pop(field, None)

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        spec = obj.get("spec") or {}
        out: list[statuses.Cause] = []
        duration = spec.get("leaseDurationSeconds")
        if duration is not None and duration <= 0:
            out.append(
                causes.invalid("spec.leaseDurationSeconds", duration, "must be greater than 0")
            )
        out += rules.nonnegative(spec.get("leaseTransitions"), "spec.leaseTransitions")
        if spec.get("strategy"):
            out += _strategy(spec["strategy"], "spec.strategy")
        if spec.get("preferredHolder") and not spec.get("strategy"):
            out.append(
                causes.forbidden(
                    "spec.preferredHolder",
                    "may only be specified if `strategy` is defined",
                )
            )
        return out

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        return self.validate_create(obj, context)


class LeaseCandidate(rules.Kind):
    """A LeaseCandidate."""

    unconditional_update: ClassVar[bool] = False
    creates_on_update: ClassVar[bool] = True
    selectable: ClassVar[tuple[str, ...]] = ("spec.leaseName",)

    def selectable_fields(self, obj: objects.Object) -> dict[str, str]:
        return {"spec.leaseName": (obj.get("spec") or {}).get("leaseName") or ""}

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        spec = obj.get("spec") or {}
        out: list[statuses.Cause] = []
        if not spec.get("leaseName"):
            out.append(causes.required("spec.leaseName"))
        if not spec.get("binaryVersion"):
            out.append(causes.required("spec.binaryVersion"))
        if not spec.get("strategy"):
            out.append(causes.required("spec.strategy"))
        else:
            out += _strategy(spec["strategy"], "spec.strategy")
            if spec["strategy"] == "OldestEmulationVersion" and not spec.get("emulationVersion"):
                out.append(
                    causes.required(
                        "spec.emulationVersion",
                        "must be specified when `strategy` is 'OldestEmulationVersion'",
                    )
                )
        return out

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        out = self.validate_create(obj, context)
        names = [(one.get("spec") or {}).get("leaseName") for one in (obj, old)]
        return out + rules.immutable(names[0], names[1], "spec.leaseName")


def _strategy(value: str, field: str) -> list[statuses.Cause]:
    """Strategies are one of Kubernetes' or a qualified name of somebody's own."""
    if "/" in value:
        domain = value.partition("/")[0]
        if domain.endswith(_STRATEGY_DOMAIN):
            return [causes.invalid(field, value, "should be one of ['OldestEmulationVersion']")]
        return []
    return rules.one_of(value, field, ("OldestEmulationVersion",))
