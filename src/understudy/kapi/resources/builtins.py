"""The built-in resources of one Kubernetes version, as a catalogue."""

from __future__ import annotations

import re
from collections.abc import Iterator

from understudy.kapi.resources import (
    catalogue as catalogues,
    definitions,
    kinds,
    strategies,
    tables,
)
from understudy.kube import identities, schemas

_VERSION = re.compile(r"v(\d+)(?:(alpha|beta)(\d+))?")
_STAGES = {None: 2, "beta": 1, "alpha": 0}


def version_priority(version: str) -> tuple[int, int, int]:
    """Order versions as Kubernetes prefers them: v2 > v1 > v1beta2 > v1alpha1 > anything else."""
    match = _VERSION.fullmatch(version)
    if match is None:
        return (-1, 0, 0)
    return (_STAGES[match[2]], int(match[1]), int(match[3] or 0))


def catalogue(
    version: str = "1.36", *, enabled: frozenset[str] = frozenset()
) -> catalogues.Catalogue:
    """Return every resource that a Kubernetes API server of this version serves by default.

    Alpha and beta versions are not served by default; `enabled` adds some by apiVersion, e.g.
    `{"resource.k8s.io/v1alpha3"}`. Resources come in the order of /apis, preferred versions first.
    """
    return from_definitions(definitions.shared(version), enabled=enabled)


def from_definitions(
    facts: definitions.Definitions, *, enabled: frozenset[str] = frozenset()
) -> catalogues.Catalogue:
    """Build the catalogue from facts already loaded (OpenAPI documents need them too)."""
    return catalogues.Catalogue(_resources(facts, enabled), facts=facts)


def _resources(
    facts: definitions.Definitions, enabled: frozenset[str]
) -> Iterator[catalogues.Resource]:
    order = {group: index for index, group in enumerate(tables.GROUP_ORDER)}
    rows = [
        row
        for row in facts.rows
        if version_priority(row["version"])[0] == _STAGES[None]
        or f"{row['group']}/{row['version']}" in enabled
    ]
    rows.sort(key=lambda row: row["plural"])
    rows.sort(key=lambda row: version_priority(row["version"]), reverse=True)
    rows.sort(key=lambda row: order.get(row["group"], len(order)))
    preferred: dict[tuple[str, str], str] = {}
    for row in rows:
        name = (row["group"], row["plural"])
        own = identities.GroupVersionKind(row["group"], row["version"], row["kind"])
        stored = preferred.setdefault(name, tables.STORED_VERSION.get(name, own.api_version))
        to_storage, from_storage = kinds.converters_for(*own)
        yield catalogues.Resource(
            group=own.group,
            version=own.version,
            kind=own.kind,
            plural=row["plural"],
            singular=own.kind.lower(),
            namespaced=row["namespaced"],
            verbs=_verbs(row),
            short_names=tables.SHORT_NAMES.get(name, ()),
            categories=tables.CATEGORIES.get(name, ()),
            subresources=_subresources(row),
            storage=identities.GroupResource(*tables.STORED_AS.get(name, name)),
            storage_version=stored,
            schema=_schema(facts, own),
            strategy=kinds.strategy_for(own.group, own.kind),
            to_storage=to_storage,
            from_storage=from_storage,
        )


def _schema(facts: definitions.Definitions, gvk: identities.GroupVersionKind) -> schemas.Schema:
    return facts.schema(facts.by_kind[gvk])


def _verbs(row: definitions.ResourceRow) -> tuple[str, ...]:
    refused = tables.UNSUPPORTED_VERBS.get((row["group"], row["plural"]), frozenset())
    return tuple(verb for verb in row["verbs"] if verb not in refused)


def _subresources(row: definitions.ResourceRow) -> dict[str, strategies.Subresource]:
    found = {
        name: strategies.Subresource(
            name=name,
            kind=identities.GroupVersionKind(*subrow["kind"]),
            verbs=tuple(subrow["verbs"]),
        )
        for name, subrow in row["subresources"].items()
    }
    for name, (kind, verbs) in tables.CONNECT.get((row["group"], row["plural"]), {}).items():
        gvk = identities.GroupVersionKind(row["group"], row["version"], kind)
        found[name] = strategies.Subresource(name=name, kind=gvk, verbs=verbs)
    return dict(sorted(found.items()))
