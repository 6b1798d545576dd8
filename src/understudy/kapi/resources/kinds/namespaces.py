"""Namespaces: their finalizers keep them until their content is gone.

Source: pkg/registry/core/namespace, pkg/apis/core @1.36.
"""

from __future__ import annotations

from typing import ClassVar

from understudy.kapi.resources import strategies
from understudy.kapi.resources.kinds import rules
from understudy.kube import causes, names, objects, statuses

Causes = list[statuses.Cause]

NAME_LABEL = "kubernetes.io/metadata.name"
_STANDARD_FINALIZERS = frozenset({"kubernetes", "orphan", "foregroundDeletion"})


class Namespace(rules.LabelNamed):
    """A Namespace."""

    metadata_checks: ClassVar[names.MetadataChecks] = names.MetadataChecks(1, 1, True)
    status_is_separate: ClassVar[bool] = True
    selectable: ClassVar[tuple[str, ...]] = ("status.phase", "name")

    def default(self, obj: objects.Object) -> None:
        meta = obj["metadata"]
        if name := meta.get("name"):
            labels = meta.get("labels") or {}
            labels[NAME_LABEL] = name
            meta["labels"] = labels
        status = obj.get("status") or {}
        if not status.get("phase"):
            status["phase"] = "Active"
        obj["status"] = status

    def initial_status(self, obj: objects.Object) -> objects.Object:
        return {"phase": "Active"}

    def prepare_create(self, obj: objects.Object, context: strategies.WriteContext) -> None:
        """Put the server's own finalizer in."""
        super().prepare_create(obj, context)
        self.default(obj)
        spec = obj.get("spec") or {}
        finalizers = spec.get("finalizers") or []
        if "kubernetes" not in finalizers:
            finalizers = [*finalizers, "kubernetes"]
        spec["finalizers"] = finalizers
        obj["spec"] = spec

    def prepare_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> None:
        if context.subresource == "finalize":
            rules.restore(obj, old, "status")
            return
        super().prepare_update(obj, old, context)
        if context.subresource == "":
            rules.restore(obj, old, "spec")

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        return [
            cause
            for name in obj["spec"].get("finalizers") or ()
            for cause in _finalizer(name, "spec.finalizers")
        ]

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        if context.subresource == "status":
            phase = (obj.get("status") or {}).get("phase") or ""
            deleted = bool(objects.metadata(obj).get("deletionTimestamp"))
            wanted = "Terminating" if deleted else "Active"
            if phase != wanted:
                negation = "not " if deleted else ""
                text = f"may only be '{wanted}' if `deletionTimestamp` is {negation}empty"
                return [causes.invalid("status.Phase", phase, text)]
        if context.subresource == "finalize":
            return [
                cause
                for index, name in enumerate((obj.get("spec") or {}).get("finalizers") or ())
                for cause in _finalizer(name, f"spec.finalizers[{index}]")
            ]
        return []

    def warnings(self, obj: objects.Object, old: objects.Object | None) -> list[str]:
        return []

    def holds_deletion(self, obj: objects.Object) -> bool:
        # The first deletion only begins the end, even where nothing holds it up.
        begun = bool(objects.metadata(obj).get("deletionTimestamp"))
        return not begun or bool((obj.get("spec") or {}).get("finalizers"))

    def terminating(self, obj: objects.Object) -> None:
        obj.setdefault("status", {})["phase"] = "Terminating"
        obj["metadata"].pop("deletionGracePeriodSeconds", None)

    def selectable_fields(self, obj: objects.Object) -> dict[str, str]:
        phase = (obj.get("status") or {}).get("phase") or ""
        return {"status.phase": phase, "name": objects.name_of(obj)}


def _finalizer(name: str, field: str) -> Causes:
    out = causes.complaints(field, name, names.qualified_name(name))
    if "/" not in name and name not in _STANDARD_FINALIZERS:
        text = "name is neither a standard finalizer name nor is it fully qualified"
        out.append(causes.invalid(field, name, text))
    return out
