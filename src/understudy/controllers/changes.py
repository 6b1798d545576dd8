"""One committed change as controllers see it; parsed at most once, however many look at it."""

from __future__ import annotations

from understudy.kapi.store import entries, logs, parsed as forms
from understudy.kube import identities, objects


class Change:
    """An object was added, modified or deleted.

    Attributes:
        type: `ADDED`, `MODIFIED` or `DELETED`; ADDED also for what was there before the reactor.
        ref: The resource in kubectl's notation, e.g. `deployments.apps`.
        entry: The object after the change, or its last state.
        previous_entry: The object before the change, None where there was none.
    """

    __slots__ = ("_parsed", "entry", "previous_entry", "ref", "type")

    def __init__(
        self,
        type: logs.EventType,
        ref: str,
        entry: entries.Entry,
        previous: entries.Entry | None,
        parsed: forms.Parsed,
    ) -> None:
        self.type: logs.EventType = type
        self.ref = ref
        self.entry = entry
        self.previous_entry = previous
        self._parsed = parsed

    @property
    def key(self) -> identities.ObjectKey:
        """Namespace and name."""
        return identities.ObjectKey(self.entry.namespace, self.entry.name)

    @property
    def object(self) -> objects.Object:
        """The object after the change (its last state after DELETED); not to be changed."""
        return self._parsed.load(self.entry)

    @property
    def previous(self) -> objects.Object | None:
        """The object before the change; not to be changed."""
        return self._parsed.load(self.previous_entry) if self.previous_entry is not None else None

    @property
    def deleted(self) -> bool:
        """Whether the object is gone."""
        return self.type == "DELETED"
