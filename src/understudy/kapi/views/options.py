"""What may be asked of a verb besides its object."""

from __future__ import annotations

from dataclasses import dataclass, field

from understudy.kapi.resources import calls, strategies
from understudy.kube import objects

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOptions:
    """Options of create, update, patch and apply.

    Attributes:
        field_manager: Owner of the fields written; empty falls back to `user_agent`.
        user_agent: The client's name, i.e. User-Agent up to the first `/`.
        dry_run: Go through everything, keep nothing.
        field_validation: `Strict`, `Warn` or `Ignore` unknown and duplicate fields.
        force: Server-side apply takes fields over from other managers.
        duplicates: Complaints about duplicate fields found while parsing the body.
        attempt: The runs that this one belongs to; None where webhooks are not called.
    """

    field_manager: str = ""
    user_agent: str = "understudy"
    dry_run: bool = False
    field_validation: str = "Warn"
    force: bool = False
    user: strategies.UserInfo = field(default_factory=strategies.UserInfo)
    duplicates: tuple[str, ...] = ()
    attempt: calls.Attempt | None = None

    def described(self) -> objects.Object:
        """Return what was said, as fields of meta/v1 CreateOptions and UpdateOptions."""
        out: objects.Object = {"dryRun": ["All"]} if self.dry_run else {}
        if self.field_manager:
            out["fieldManager"] = self.field_manager
        if self.field_validation != "Warn":
            out["fieldValidation"] = self.field_validation
        return out

    @property
    def manager(self) -> str:
        """The owner of the fields written."""
        return self.field_manager or self.user_agent


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteOptions:
    """Options of delete and deletecollection (meta/v1 DeleteOptions).

    Attributes:
        grace_period_s: Seconds before a pod goes; None for the pod's own, 0 for at once.
        propagation_policy: `Background`, `Foreground`, `Orphan`, or empty for the kind's own.
        orphan_dependents: The older way to say Orphan (True) or Background (False).
        uid: Precondition; empty for none.
        resource_version: Precondition; empty for none.
        attempt: as `WriteOptions.attempt`.
    """

    grace_period_s: int | None = None
    propagation_policy: str = ""
    orphan_dependents: bool | None = None
    uid: str = ""
    resource_version: str = ""
    dry_run: bool = False
    user: strategies.UserInfo = field(default_factory=strategies.UserInfo)
    attempt: calls.Attempt | None = None

    def described(self) -> objects.Object:
        """Return what was said, as fields of meta/v1 DeleteOptions."""
        out: objects.Object = {
            "gracePeriodSeconds": self.grace_period_s,
            "propagationPolicy": self.propagation_policy or None,
            "orphanDependents": self.orphan_dependents,
            "dryRun": ["All"] if self.dry_run else None,
        }
        wanted = {"uid": self.uid, "resourceVersion": self.resource_version}
        out["preconditions"] = {key: value for key, value in wanted.items() if value} or None
        return {key: value for key, value in out.items() if value is not None}


DEFAULT_WRITE = WriteOptions()
DEFAULT_DELETE = DeleteOptions()
