"""Namespaces that stay.

Source: apiserver pkg/admission/plugin/namespace/lifecycle @1.36. What else that plugin does (no
writes into namespaces that are missing or going) is the verbs' own, see `views.writes`.
"""

from __future__ import annotations

from understudy.kapi.admission import chain
from understudy.kube import identities, statuses

NAMESPACES = identities.GroupResource("", "namespaces")
IMMORTAL = frozenset({"default", "kube-public", "kube-system"})


class NamespaceLifecycle:
    """Keeps the namespaces that every cluster has."""

    name = "NamespaceLifecycle"
    storages = frozenset({NAMESPACES})

    def handles(self, attributes: chain.Attributes) -> bool:
        return (
            attributes.operation == "DELETE"
            and attributes.resource.storage == NAMESPACES
            and attributes.name in IMMORTAL
        )

    def mutate(self, attributes: chain.Attributes) -> None:
        """Nothing to change."""

    def validate(self, attributes: chain.Attributes) -> None:
        raise statuses.forbidden(NAMESPACES, attributes.name, "this namespace may not be deleted")
