"""metadata.managedFields: who owns which fields, since when, through which door.

An entry's identity is its manager, operation and subresource; entries of updates also differ by
apiVersion, an applier has one whatever the version.

    {"manager": "kubectl", "operation": "Apply", "apiVersion": "v1", "time": "...",
     "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {"f:a": {}}}}

Source: k8s.io/apimachinery `pkg/util/managedfields/internal`.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from understudy.kube import goformats, objects
from understudy.kube.apply import fieldsets

UPDATERS_MAX = 10
"""Entries of updates kept; the oldest ones beyond become one entry per version."""

ANCIENT = "ancient-changes"
"""Manager of that one entry."""

UNKNOWN = "unknown"
"""Manager of writes that do not say who makes them."""


class ManagedFieldsError(ValueError):
    """managedFields that no server would have written; the text is Kubernetes' own."""


class Identity(NamedTuple):
    """What tells entries apart; `api_version` is empty for appliers."""

    manager: str
    operation: str
    api_version: str = ""
    subresource: str = ""

    @property
    def text(self) -> str:
        """The identity as Kubernetes writes it: compact JSON, used to order managers."""
        parts = {
            "manager": self.manager,
            "operation": self.operation,
            "apiVersion": self.api_version,
            "subresource": self.subresource,
        }
        inner = ",".join(
            f'"{key}":{fieldsets.scalar_text(value)}' for key, value in parts.items() if value
        )
        return f"{{{inner}}}"

    @property
    def shown(self) -> str:
        """The identity in conflicts: `"m" with subresource "scale" using apps/v1`."""
        out = goformats.quoted(self.manager)
        if self.subresource:
            out += f" with subresource {goformats.quoted(self.subresource)}"
        return f"{out} using {self.api_version}" if self.operation == "Update" else out


class Entry(NamedTuple):
    """One manager's fields.

    Attributes:
        api_version: In which the fields are named.
        time: When they last changed (RFC 3339); empty where no time was recorded.
    """

    fields: fieldsets.Tree
    api_version: str
    time: str = ""


Managers: TypeAlias = dict[Identity, Entry]


def identity(operation: str, manager: str, api_version: str, subresource: str) -> Identity:
    """Return who writes: `operation` is `Apply` or `Update`."""
    version = "" if operation == "Apply" else api_version
    return Identity(manager or UNKNOWN, operation, version, subresource)


def decode(raw: objects.Json, *, trusted: bool = False) -> Managers:
    """Read a managedFields list; the fields of a `trusted` one, written here, are not checked.

    Raises:
        ManagedFieldsError: An entry has no valid operation, apiVersion or fields.
    """
    out: Managers = {}
    for index, entry in enumerate(raw or ()):
        if not isinstance(entry, dict):
            raise ManagedFieldsError(f"managed fields entry {index} is no mapping")
        operation = entry.get("operation") or ""
        if operation not in {"Apply", "Update"}:
            raise ManagedFieldsError("operation must be `Apply` or `Update`")
        api_version = entry.get("apiVersion") or ""
        if not api_version:
            raise ManagedFieldsError("apiVersion must not be empty")
        fields_type = entry.get("fieldsType") or ""
        if fields_type != "FieldsV1":
            what = f"invalid fieldsType {goformats.quoted(fields_type)} in managed fields"
            if not fields_type:
                what = "missing fieldsType in managed fields"
            raise ManagedFieldsError(f"{what} entry {index}")
        try:
            fields = entry.get("fieldsV1") or {}
            if not trusted:
                fields = fieldsets.parse(fields)
        except fieldsets.FieldsError as error:
            raise ManagedFieldsError(
                f"error decoding manager from managed fields entry {index}: {error}"
            ) from error
        who = identity(
            operation, entry.get("manager") or "", api_version, entry.get("subresource") or ""
        )
        if not entry.get("manager"):
            who = who._replace(manager="")
        out[who] = Entry(fields, api_version, entry.get("time") or "")
    return out


def encode(managers: Managers) -> list[objects.Json]:
    """Write entries as managedFields: by operation, then time, manager, version, subresource."""
    rows = sorted(managers.items(), key=_order)
    return [_row(who, entry) for who, entry in rows]


def _order(row: tuple[Identity, Entry]) -> tuple[str, str, str, str, str]:
    who, entry = row
    return (who.operation, entry.time, who.manager, entry.api_version, who.subresource)


def _row(who: Identity, entry: Entry) -> objects.Object:
    out: objects.Object = {}
    if who.manager:
        out["manager"] = who.manager
    out["operation"] = who.operation
    out["apiVersion"] = entry.api_version
    if entry.time:
        out["time"] = entry.time
    out["fieldsType"] = "FieldsV1"
    out["fieldsV1"] = entry.fields
    if who.subresource:
        out["subresource"] = who.subresource
    return out


def without_empty(managers: Managers) -> Managers:
    """Return the entries that still own something."""
    return {who: entry for who, entry in managers.items() if entry.fields}


def capped(managers: Managers) -> Managers:
    """Return the entries with no more than `UPDATERS_MAX` of updates: the oldest are merged.

    Of each version the first of the oldest entries turns into the version's `ancient-changes`
    entry as soon as a second one joins it; the time is that of the last to join.
    """
    updaters = [who for who in managers if who.operation == "Update"]
    excess = len(updaters) - UPDATERS_MAX
    if excess <= 0:
        return managers
    out = dict(managers)
    first_of: dict[str, Identity] = {}
    for who in sorted(updaters, key=lambda who: (managers[who].time, who.text)):
        if excess <= 0:
            break
        entry = managers[who]
        version = entry.api_version
        if version not in first_of:
            first_of[version] = who
            continue
        bucket = Identity(ANCIENT, "Update", version)
        older = out.pop(first_of[version])
        if who != bucket and bucket in out:
            older = older._replace(fields=fieldsets.union(older.fields, out[bucket].fields))
        del out[who]
        out[bucket] = entry._replace(fields=fieldsets.union(entry.fields, older.fields))
        first_of[version] = bucket
        excess -= 1
    return out
