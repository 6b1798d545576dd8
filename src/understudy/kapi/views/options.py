"""What may be asked of a verb besides its object."""

from __future__ import annotations

from dataclasses import dataclass, field

from understudy.kapi.resources import strategies

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
    """

    field_manager: str = ""
    user_agent: str = "understudy"
    dry_run: bool = False
    field_validation: str = "Warn"
    force: bool = False
    user: strategies.UserInfo = field(default_factory=strategies.UserInfo)
    duplicates: tuple[str, ...] = ()

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
    """

    grace_period_s: int | None = None
    propagation_policy: str = ""
    orphan_dependents: bool | None = None
    uid: str = ""
    resource_version: str = ""
    dry_run: bool = False
    user: strategies.UserInfo = field(default_factory=strategies.UserInfo)


DEFAULT_WRITE = WriteOptions()
DEFAULT_DELETE = DeleteOptions()
