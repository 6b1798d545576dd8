"""Admission: one visible, ordered list of plugins that every write passes.

First each plugin that handles the request may change the object (`mutate`), then, after the kind's
own validation, each may refuse it (`validate`), by raising an `ApiError`. Order matters and is
written down in one place, `kapi.admission.default_chain`, so that policies and webhooks can join.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from understudy.kapi.resources import calls, catalogue, strategies
from understudy.kube import identities, objects


class Reader(strategies.Reader, Protocol):
    """What admission may read of a view."""

    @property
    def catalogue(self) -> catalogue.Catalogue:
        """What the view serves."""
        ...


class Options(Protocol):
    """What was asked of a verb besides its object."""

    def described(self) -> objects.Object:
        """Return what a client said, as fields of meta/v1 CreateOptions and its like."""
        ...


@dataclass(slots=True, kw_only=True)
class Attributes:
    """One write on its way in.

    Attributes:
        reader: The view's present content.
        operation: `CREATE`, `UPDATE`, `DELETE` or `CONNECT`.
        obj: The object as it would be stored; mutable in `mutate`, None for DELETE.
        old: The stored object, None for CREATE.
        write_status: Writes another object's status in the same view (a quota's usage), as the
            API server itself; None where nothing may be written.
        kind: Of `obj` and `old`, where a subresource speaks another than its resource does (Scale,
            Binding, Eviction); None elsewhere.
        options: What else was asked, None where nothing was.
        attempt: The runs that this one belongs to; None where webhooks are not called.
        again: Set by a plugin after whose changes the others should look once more.
        is_again: The others are looking once more.
        notes: What a plugin remembers from its first look to its second, by its name.
        warnings: Texts for Warning headers; plugins add to them.
    """

    reader: Reader
    resource: catalogue.Resource
    operation: str
    namespace: str
    name: str
    subresource: str
    obj: objects.Object | None
    old: objects.Object | None
    user: strategies.UserInfo
    dry_run: bool
    now: dt.datetime
    write_status: Callable[[str, objects.Object], None] | None = None
    kind: identities.GroupVersionKind | None = None
    options: Options | None = None
    attempt: calls.Attempt | None = None
    again: bool = False
    is_again: bool = False
    notes: dict[str, object] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Rounds:
    """Who has changed an object in the first round, and who is to look again in the second.

    Attributes:
        willing: Those asked before who want to look again after a change.
        due: Those of them since whose look something changed.
        seen: The object as the plugin left it.
    """

    willing: set[Hashable] = field(default_factory=set)
    due: set[Hashable] = field(default_factory=set)
    seen: objects.Object | None = None

    @classmethod
    def of(cls, attributes: Attributes, name: str) -> Rounds:
        """Return what a plugin noted about a write; in the second round, what changed since."""
        kept = attributes.notes.setdefault(name, cls())
        assert isinstance(kept, cls), "nobody else keeps notes under a plugin's name"
        if attributes.is_again and kept.seen != attributes.obj:
            kept.changed()
        return kept

    def changed(self) -> None:
        """Let those look again who were asked before."""
        self.due |= self.willing
        self.willing = set()

    def passes_over(self, attributes: Attributes, who: Hashable) -> bool:
        """Say whether somebody is not to look again."""
        return attributes.is_again and who not in self.due

    def end(self, attributes: Attributes) -> None:
        """Remember how the plugin leaves the object."""
        self.seen = objects.copy(attributes.obj)


_STORAGES_MAX = 4096
"""Storages for which the plugins are kept sorted: custom kinds come and go."""


class Plugin(Protocol):
    """One step of the chain.

    One that only ever concerns some storages may say so in an attribute `storages`: for others it
    is not asked at all.
    """

    @property
    def name(self) -> str:
        """Kubernetes' name of the plugin, e.g. `LimitRanger`."""
        ...

    def handles(self, attributes: Attributes) -> bool:
        """Say cheaply whether this write concerns the plugin."""
        ...

    def mutate(self, attributes: Attributes) -> None:
        """Change `attributes.obj` in place."""
        ...

    def validate(self, attributes: Attributes) -> None:
        """Raise an ApiError to refuse the write."""
        ...


class Chain:
    """Runs plugins in order."""

    __slots__ = ("_of", "_sorted", "plugins")

    def __init__(self, plugins: Sequence[Plugin] = ()) -> None:
        self.plugins = tuple(plugins)
        self._sorted: tuple[Plugin, ...] = ()
        self._of: dict[identities.GroupResource, tuple[Plugin, ...]] = {}

    def _concerned(self, storage: identities.GroupResource) -> tuple[Plugin, ...]:
        """Return the plugins that objects of a storage may concern, in order."""
        if self._sorted is not self.plugins:
            self._sorted, self._of = self.plugins, {}
        found = self._of.get(storage)
        if found is None:
            if len(self._of) >= _STORAGES_MAX:
                self._of.clear()
            found = self._of[storage] = tuple(
                one for one in self.plugins if storage in getattr(one, "storages", (storage,))
            )
        return found

    def mutate(self, attributes: Attributes) -> None:
        """Let every plugin that handles the write change it; twice if one asks for that."""
        for plugin in self._concerned(attributes.resource.storage):
            if plugin.handles(attributes):
                plugin.mutate(attributes)
        if attributes.again and not attributes.is_again:
            attributes.is_again = True
            self.mutate(attributes)

    def validate(self, attributes: Attributes) -> None:
        """Let every plugin that handles the write refuse it; the first refusal counts."""
        for plugin in self._concerned(attributes.resource.storage):
            if plugin.handles(attributes):
                plugin.validate(attributes)
