"""Leases and LeaseCandidates.

Source: pkg/apis/coordination/validation, pkg/registry/coordination @1.36.
"""

from __future__ import annotations

import re
from typing import ClassVar

from understudy.kapi.resources import strategies
from understudy.kapi.resources.kinds import rules
from understudy.kube import causes, names, objects, statuses

_OLDEST = "OldestEmulationVersion"
_SEMVER = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?"
)


class Lease(rules.Kind):
    """A Lease."""

    metadata_checks: ClassVar[names.MetadataChecks] = names.MetadataChecks(0, 1)
    unconditional_update: ClassVar[bool] = False
    creates_on_update: ClassVar[bool] = True

    def prepare_create(self, obj: objects.Object, context: strategies.WriteContext) -> None:
        self._drop_election(obj, {})

    def prepare_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> None:
        self._drop_election(obj, old.get("spec") or {})

    @staticmethod
    def _drop_election(obj: objects.Object, before: objects.Object) -> None:
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

    def validate_name(self, name: str) -> list[str]:
        return names.config_map_key(name)

    def selectable_fields(self, obj: objects.Object) -> dict[str, str]:
        return {"spec.leaseName": (obj.get("spec") or {}).get("leaseName") or ""}

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        spec = obj.get("spec") or {}
        out: list[statuses.Cause] = []
        if not spec.get("leaseName"):
            out.append(causes.required("spec.leaseName"))
        emulated, binary = spec.get("emulationVersion") or "", spec.get("binaryVersion") or ""
        text = "must be a valid semantic version"
        if emulated and not _SEMVER.fullmatch(emulated):
            out.append(causes.invalid("spec.emulationVersion", emulated, text))
        if not binary:
            out.append(causes.required("spec.binaryVersion"))
        elif not _SEMVER.fullmatch(binary):
            out.append(causes.invalid("spec.binaryVersion", binary, text))
        if binary and emulated and _numbers(binary) < _numbers(emulated):
            text = "must be greater than or equal to `emulationVersion`"
            out.append(causes.invalid("spec.binaryVersion", binary, text))
        strategy = spec.get("strategy") or ""
        if not strategy:
            out.append(causes.required("spec.strategy"))
        else:
            if strategy == _OLDEST and not any(_numbers(emulated)):
                text = f"must be specified when `strategy` is '{_OLDEST}'"
                out.append(causes.required("spec.emulationVersion", text))
            out += _strategy(strategy, "spec.strategy")
        return out

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        out = self.validate_create(obj, context)
        name, before = ((one.get("spec") or {}).get("leaseName") for one in (obj, old))
        return out + rules.immutable(name or "", before or "", "spec.leaseName")


def _numbers(version: str) -> tuple[int, ...]:
    """Return the three numbers of a semantic version; zeros for anything else."""
    match = _SEMVER.fullmatch(version)
    return tuple(int(part) for part in match.groups()) if match else (0, 0, 0)


def _strategy(value: str, field: str) -> list[statuses.Cause]:
    """Strategies are Kubernetes' own or a qualified name; the path repeats itself, as there."""
    at = f"{field}.strategy"
    if "/" not in value:
        return [] if value == _OLDEST else [causes.unsupported(at, value, (_OLDEST,))]
    return causes.complaints(at, value, names.qualified_name(value))
