"""The resources a view serves: built in, and one more for each version of each CRD."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from understudy.kapi.resources import calls, definitions, strategies, webhooks
from understudy.kube import identities, objects, schemas


class Conversion(Protocol):
    """Conversion that needs a webhook's answers; see `crds.conversion`."""

    def require(
        self,
        api_version: str,
        entries: Sequence[Form],
        attempt: calls.Attempt,
        services: webhooks.Services,
    ) -> None:
        """Give every entry its form in a version.

        Raises:
            WaitingError: The webhook has to be called first. ApiError: it failed.
        """
        ...

    def convert(
        self,
        obj: objects.Object,
        api_version: str,
        attempt: calls.Attempt,
        services: webhooks.Services,
    ) -> objects.Object:
        """Return an object in another version; errors as `require`."""
        ...


class Form(Protocol):
    """A committed object that keeps the forms it was converted to."""

    def load(self) -> objects.Object: ...

    def lacks(self, api_version: str, made_by: object) -> bool: ...

    def keep_form(self, api_version: str, made_by: object, obj: objects.Object) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Resource:
    """One REST resource in one version.

    Attributes:
        storage: Key of the one store that all versions (and aliases in other groups) share, e.g.
            `events` for core/v1 and events.k8s.io/v1.
        storage_version: apiVersion in which objects are kept; `to_storage` and `from_storage`
            convert, and are None where this is that version.
        conversion: Converts by webhook for those who can wait; None where nobody needs to.
        custom: From a CustomResourceDefinition: list items carry apiVersion and kind, strategic
            merge patch is refused, protobuf bodies are refused.
        list_kind: Kind of a list's answer; the kind with `List` where it is empty.
        openapi: The openAPIV3Schema of a custom resource, as it was written, for OpenAPI.
        deprecation: Text of the Warning that every request to a deprecated version gets.
    """

    group: str
    version: str
    kind: str
    plural: str
    singular: str
    namespaced: bool
    verbs: tuple[str, ...]
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: Mapping[str, strategies.Subresource] = field(default_factory=dict)
    storage: identities.GroupResource
    storage_version: str
    schema: schemas.Schema = schemas.ANY
    strategy: strategies.Strategy = field(default_factory=strategies.Strategy)
    to_storage: strategies.Converter | None = None
    from_storage: strategies.Converter | None = None
    conversion: Conversion | None = None
    custom: bool = False
    list_kind: str = ""
    openapi: objects.Object | None = None
    deprecation: str = ""

    def working(self, obj: objects.Object) -> objects.Object:
        """Return an object in the version in which verbs change it; may be the same one.

        A built-in object's is the storage version; a custom object's is that of the request, for
        its rules and its schema are a version's.
        """
        return obj if self.custom or self.to_storage is None else self.to_storage(obj)

    def kept(self, obj: objects.Object) -> objects.Object:
        """Return a changed object in the version in which it is kept; may be the same one."""
        return self.to_storage(obj) if self.custom and self.to_storage is not None else obj

    @property
    def kind_of_list(self) -> str:
        """`PodList`, or what a definition says."""
        return self.list_kind or f"{self.kind}List"

    @property
    def api_version(self) -> str:
        """`apps/v1`, or `v1` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def group_resource(self) -> identities.GroupResource:
        """As printed in messages: `deployments.apps`."""
        return identities.GroupResource(self.group, self.plural)


class Catalogue:
    """Finds resources by path, by kind or by kubectl's notation. Immutable; `extended` copies.

    Attributes:
        facts: OpenAPI definitions of the built-in kinds; None in catalogues made for a test.
        origin: The catalogue that this one extends, or None.
        derived: Documents made from this catalogue (discovery, OpenAPI), kept with it.
    """

    __slots__ = (
        "_by_gvk", "_by_path", "_by_text", "_preferred", "derived", "facts", "origin", "resources"
    )  # fmt: skip

    def __init__(
        self,
        resources: Iterable[Resource],
        *,
        facts: definitions.Definitions | None = None,
        origin: Catalogue | None = None,
    ) -> None:
        self.resources: tuple[Resource, ...] = tuple(resources)
        self.facts = facts
        self.origin = origin
        self.derived: dict[str, objects.Json] = {}
        self._by_path = {(r.group, r.version, r.plural): r for r in self.resources}
        self._by_gvk = {(r.group, r.version, r.kind): r for r in self.resources}
        self._by_text: dict[str, Resource] = {}
        self._preferred: dict[tuple[str, str], Resource] = {}
        for resource in self.resources:
            self._preferred.setdefault((resource.group, resource.plural), resource)

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        """Return the resource at a path, or None."""
        return self._by_path.get((group, version, plural))

    def by_kind(self, api_version: str, kind: str) -> Resource | None:
        """Return the resource of an object's apiVersion and kind, or None."""
        group, version = identities.split_api_version(api_version)
        return self._by_gvk.get((group, version, kind))

    def named(self, text: str) -> Resource | None:
        """Return the resource of kubectl's notation: `pods`, `jobs.batch`, `jobs.v1.batch`.

        A single word is looked up among core resources, then among the plurals, singulars, kinds
        and short names of all others, in the order of the catalogue (`deployments`, `deploy`).
        """
        known = self._by_text.get(text)
        if known is not None:
            return known
        group, version, plural = identities.parse_resource(text)
        if version:
            found = self.find(group, version, plural)
        else:
            found = self._preferred.get((group, plural))
            if found is None and not group:
                found = self._by_word(plural)
        if found is not None:
            # At most a few notations for each resource: what is not found is not kept.
            self._by_text[text] = found
        return found

    def _by_word(self, text: str) -> Resource | None:
        word = text.lower()
        return next(
            (
                resource
                for resource in self._preferred.values()
                if word in (resource.plural, resource.singular, resource.kind.lower())
                or word in resource.short_names
            ),
            None,
        )

    def siblings(self, resource: Resource) -> list[Resource]:
        """Return the resources through which the same objects are served, this one among them."""
        return [other for other in self.resources if other.storage == resource.storage]

    def schema_of(self, gvk: identities.GroupVersionKind) -> schemas.Schema:
        """Return the schema of a kind, also of one that only a subresource speaks (Scale)."""
        if (resource := self._by_gvk.get(gvk)) is not None:
            return resource.schema
        name = self.facts.by_kind.get(gvk) if self.facts is not None else None
        return self.facts.schema(name) if self.facts is not None and name else schemas.ANY

    def extended(self, more: Iterable[Resource]) -> Catalogue:
        """Return a catalogue with further resources (those of a view's CRDs)."""
        return Catalogue((*self.resources, *more), facts=self.facts, origin=self)
