"""Conveniences over a view's verbs: one resource in hand, criteria, the events that were written.

MinKAPI's users know these as ResourceStore, MatchCriteria and EventSink (docs/reference/parity.md).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from understudy.kapi.resources import catalogue as catalogues
from understudy.kapi.store import logs
from understudy.kapi.views import options as opts, results
from understudy.kapi.watch import watches
from understudy.kube import objects

if TYPE_CHECKING:
    from understudy.kapi.views import view as views


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """Which objects are meant: all conditions that are given must hold; `Criteria.ALL` has none.

    Example: `Criteria(namespace="shop", names={"web", "db"}, labels={"tier": "front"})`.

    Attributes:
        namespace: Empty for every namespace.
        names: Empty for every name.
        labels: Labels with their values.
        fields: Selectable fields with their values, e.g. `{"spec.nodeName": "n1"}`.
    """

    namespace: str = ""
    names: Collection[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)

    ALL: ClassVar[Criteria]

    @property
    def label_selector(self) -> str:
        """The labels in the notation of the query string."""
        return ",".join(f"{key}={value}" for key, value in self.labels.items())

    @property
    def field_selector(self) -> str:
        """The fields in the notation of the query string."""
        return ",".join(f"{key}={value}" for key, value in self.fields.items())


Criteria.ALL = Criteria()
ObjectList = list[objects.Object]


class Handle:
    """One resource of one view, with its verbs; `view.resource("pods")`."""

    __slots__ = ("resource", "view")

    def __init__(self, view: views.View, resource: catalogues.Resource) -> None:
        self.view = view
        self.resource = resource

    def create(
        self,
        obj: objects.Object,
        namespace: str = "",
        options: opts.WriteOptions = opts.DEFAULT_WRITE,
    ) -> objects.Object:
        """Create an object and return it as stored."""
        return self.view.create(self.resource, obj, namespace, options=options).object()

    def get(self, name: str, namespace: str = "") -> objects.Object:
        """Return an object; NotFoundError where there is none."""
        return self.view.get(self.resource, name, namespace)

    def list(self, criteria: Criteria = Criteria.ALL) -> ObjectList:
        """Return the objects that meet the criteria, ordered by namespace and name."""
        page = self._page(criteria)
        return [
            entry.object(self.resource)
            for entry in page.entries
            if not criteria.names or entry.name in criteria.names
        ]

    def list_meta(self, criteria: Criteria = Criteria.ALL) -> ObjectList:
        """Return only the metadata of the objects that meet the criteria."""
        return [obj["metadata"] for obj in self.list(criteria)]

    def update(
        self,
        obj: objects.Object,
        namespace: str = "",
        *,
        subresource: str = "",
        options: opts.WriteOptions = opts.DEFAULT_WRITE,
    ) -> objects.Object:
        """Replace an object, or with `subresource="status"` its status."""
        return self.view.update(
            self.resource,
            obj,
            namespace or objects.namespace_of(obj),
            subresource=subresource,
            options=options,
        ).object()

    def patch(
        self,
        name: str,
        patch: objects.Json,
        namespace: str = "",
        *,
        patch_type: str = opts.MERGE_PATCH,
        subresource: str = "",
        options: opts.WriteOptions = opts.DEFAULT_WRITE,
    ) -> objects.Object:
        """Patch an object."""
        return self.view.patch(
            self.resource,
            name,
            patch,
            namespace,
            patch_type=patch_type,
            subresource=subresource,
            options=options,
        ).object()

    def apply(self, obj: objects.Object, options: opts.WriteOptions) -> objects.Object:
        """Server-side apply an object as `options.field_manager`."""
        return self.view.apply(self.resource, obj, options=options).object()

    def delete(
        self,
        name: str,
        namespace: str = "",
        options: opts.DeleteOptions = opts.DEFAULT_DELETE,
    ) -> objects.Object:
        """Delete an object; returns the API's answer."""
        return self.view.delete(self.resource, name, namespace, options=options).object()

    def delete_collection(
        self, criteria: Criteria = Criteria.ALL, options: opts.DeleteOptions = opts.DEFAULT_DELETE
    ) -> int:
        """Delete the objects that meet the criteria and return how many."""
        found = self.list(criteria)
        for obj in found:
            self.delete(objects.name_of(obj), objects.namespace_of(obj), options)
        return len(found)

    def watch(self, criteria: Criteria = Criteria.ALL, resource_version: str = "") -> watches.Watch:
        """Watch the objects that meet the criteria (but for `names`); close it when done."""
        return self.view.watch(
            self.resource,
            criteria.namespace,
            label_selector=criteria.label_selector,
            field_selector=criteria.field_selector,
            resource_version=resource_version,
        )

    def _page(self, criteria: Criteria) -> results.Page:
        return self.view.list(
            self.resource,
            criteria.namespace,
            label_selector=criteria.label_selector,
            field_selector=criteria.field_selector,
        )


class EventSink:
    """Every Event written to a view since it was opened or reset, by whichever API group."""

    __slots__ = ("_events", "_leave", "_resource", "events_max")

    def __init__(self, view: views.View, events_max: int = 10_000) -> None:
        self.events_max = events_max
        self._events: ObjectList = []
        self._resource = view.resolve("events")
        self._leave: Callable[[], None] = view.subscribe("events", self._take)

    def _take(self, event: logs.Event) -> None:
        if event.type == "DELETED":
            return
        self._events.append(event.entry.object(self._resource))
        del self._events[: -self.events_max]

    def list(self) -> ObjectList:
        """Return the Events (core/v1) in the order they were written."""
        return [objects.copy(event) for event in self._events]

    def reset(self) -> None:
        """Forget what was written so far."""
        self._events.clear()

    def close(self) -> None:
        """Stop listening."""
        self._leave()
