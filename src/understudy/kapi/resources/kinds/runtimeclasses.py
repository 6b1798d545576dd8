"""RuntimeClasses. Source: pkg/apis/node/validation, pkg/registry/node @1.36."""

from __future__ import annotations

from typing import ClassVar

from understudy.kapi.resources import strategies
from understudy.kapi.resources.kinds import gotypes, podwarnings, requirements, rules, scheduling
from understudy.kube import causes, names, objects, statuses


class RuntimeClass(rules.Kind):
    """A RuntimeClass."""

    metadata_checks: ClassVar[names.MetadataChecks] = names.MetadataChecks(1, 1)
    unconditional_update: ClassVar[bool] = False

    def default(self, obj: objects.Object) -> None:
        for toleration in (obj.get("scheduling") or {}).get("tolerations") or ():
            if toleration.get("operator") == "":
                del toleration["operator"]

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        handler = obj.get("handler") or ""
        out = causes.complaints("handler", handler, names.dns_label(handler))
        if not handler:
            out = [causes.required("handler")]
        if overhead := (obj.get("overhead") or {}).get("podFixed"):
            out += requirements.requirements({"limits": overhead}, "overhead")
        wanted = obj.get("scheduling") or {}
        selector = wanted.get("nodeSelector") or {}
        out += names.validate_labels(selector, "scheduling.nodeSelector")
        tolerations = wanted.get("tolerations") or []
        out += scheduling.tolerations(tolerations, "scheduling.tolerations")
        for index, toleration in enumerate(tolerations):
            if toleration in tolerations[:index]:
                shown = gotypes.internal(toleration, "Toleration")
                out.append(causes.duplicate(f"scheduling.tolerations[{index}]", shown))
        return out

    def warnings(self, obj: objects.Object, old: objects.Object | None) -> list[str]:
        selector = (obj.get("scheduling") or {}).get("nodeSelector") or {}
        return [
            f"scheduling.nodeSelector: {podwarnings.NODE_LABELS[key]}"
            for key in sorted(selector)
            if key in podwarnings.NODE_LABELS
        ]

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        out = self.validate_create(obj, context)
        return out + rules.immutable(obj.get("handler"), old.get("handler"), "handler")
