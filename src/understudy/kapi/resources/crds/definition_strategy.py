"""The rules of CustomResourceDefinition itself."""

from __future__ import annotations

from collections.abc import Sequence

from understudy.kapi.resources import strategies
from understudy.kapi.resources.crds import defining, definitions, establishing
from understudy.kube import objects, schemas, statuses


class DefinitionStrategy(strategies.Strategy):
    """Defaults, status, validation and deletion of CustomResourceDefinitions."""

    status_is_separate = True
    has_generation = True
    unconditional_update = False
    returns_object_on_delete = True

    def decode(
        self,
        obj: objects.Object,
        schema: schemas.Schema,
        *,
        mode: str,
        api_version: str,
        kind: str,
        duplicates: Sequence[str] = (),
    ) -> list[str]:
        """As every kind; but definitions are kept as JSON, where an empty list stays one."""
        empty = objects.lookup(obj, ("spec", "versions")) == []
        out = super().decode(
            obj, schema, mode=mode, api_version=api_version, kind=kind, duplicates=duplicates
        )
        if empty:
            obj["spec"]["versions"] = []
        return out

    def default(self, obj: objects.Object) -> None:
        """Fill in names and the conversion strategy."""
        spec = obj.setdefault("spec", {})
        names = spec.setdefault("names", {})
        kind = str(names.get("kind") or "")
        if not names.get("singular") and kind:
            names["singular"] = kind.lower()
        if not names.get("listKind") and kind:
            names["listKind"] = f"{kind}List"
        if spec.get("conversion") is None:
            spec["conversion"] = {"strategy": "None"}
        service = objects.lookup(spec, ("conversion", "webhook", "clientConfig", "service"))
        if isinstance(service, dict):
            service.setdefault("port", 443)

    def prepare_create(self, obj: objects.Object, context: strategies.WriteContext) -> None:
        """Give a fresh status: nothing accepted yet, the storage version stored."""
        status: objects.Object = {
            "conditions": None,
            "acceptedNames": {"plural": "", "kind": ""},
            "storedVersions": None,
        }
        stored = definitions.storage_version(obj)
        if stored is not None:
            status["storedVersions"] = [stored.get("name")]
        obj["status"] = status

    def prepare_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> None:
        """Keep status in main writes (a new storage version joins it), spec in those to status."""
        if context.subresource == "status":
            obj["spec"] = objects.copy(old.get("spec"))
            meta, before = obj["metadata"], old["metadata"]
            for field in ("labels", "annotations", "finalizers", "ownerReferences"):
                meta.pop(field, None)
                if field in before:
                    meta[field] = objects.copy(before[field])
            return
        obj["status"] = objects.copy(old.get("status") or {})
        stored = definitions.storage_version(obj)
        known = obj["status"].get("storedVersions") or []
        if stored is not None and stored.get("name") not in known:
            obj["status"]["storedVersions"] = [*known, stored.get("name")]

    def advances_generation(
        self, obj: objects.Object, old: objects.Object, subresource: str
    ) -> bool:
        """Count changes of spec."""
        return obj.get("spec") != old.get("spec")

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        """Return every reason why a new definition is not valid."""
        return defining.validate(obj)

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        """Return every reason why a changed definition is not valid."""
        if context.subresource == "status":
            return defining.status_names(obj)
        return defining.validate(obj, old)

    def warnings(self, obj: objects.Object, old: objects.Object | None) -> list[str]:
        """Warn of formats that will not be validated."""
        return defining.warnings(obj, old)

    def holds_deletion(self, obj: objects.Object) -> bool:
        """Keep a definition until its objects are gone; its finalizer goes then."""
        return True

    def terminating(self, obj: objects.Object) -> None:
        """Show that deletion has begun: a finalizer and a condition, no new generation."""
        meta = obj["metadata"]
        if definitions.condition(obj, "Terminating") is None:
            establishing.begin_deletion(obj)
            if meta.pop("deletionGracePeriodSeconds", None) is not None and "generation" in meta:
                meta["generation"] -= 1
