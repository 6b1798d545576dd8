"""Aggregated ClusterRoles: their rules are those of the ClusterRoles that they select.

Authorization does not wait for it; it is for who reads the rules. Keys are `("", name)`.
Source: pkg/controller/clusterroleaggregation.
"""

from __future__ import annotations

from typing import Final

from understudy.controllers import changes, clusters, reactor
from understudy.kube import objects, selectors

REF: Final = "clusterroles.rbac.authorization.k8s.io"
NAME: Final = "clusterrole-aggregation-controller"
_AGGREGATED: Final = b'"aggregationRule":'


class RoleAggregation:
    """Reconciles ClusterRoles with an aggregationRule."""

    name = NAME
    watched = (REF,)
    recalled = (REF,)

    def __init__(self, shared: clusters.Shared) -> None:
        self.cluster = clusters.Cluster(shared, NAME, NAME)
        self._aggregated: dict[str, None] = {}

    def observe(self, change: changes.Change, queue: reactor.Queue) -> None:
        if _AGGREGATED in change.entry.encoded and not change.deleted:
            self._aggregated[change.entry.name] = None
        else:
            self._aggregated.pop(change.entry.name, None)
        for name in self._aggregated:
            queue.add(("", name))

    def reconcile(self, key: reactor.Key) -> None:
        role = self.cluster.peek(REF, *key)
        if role is None or not role.get("aggregationRule"):
            return
        rules = self._rules_for(role)
        if rules == (role.get("rules") or []):
            return
        wanted: objects.Object = {
            "apiVersion": role["apiVersion"],
            "kind": role["kind"],
            "metadata": {"name": objects.name_of(role)},
        }
        self.cluster.apply(REF, wanted | ({"rules": rules} if rules else {}))

    def _rules_for(self, role: objects.Object) -> list[objects.Object]:
        """Return the rules of all selected roles, by selector and name, each once."""
        rules: list[objects.Object] = []
        for asked in role["aggregationRule"].get("clusterRoleSelectors") or ():
            selector = selectors.from_label_selector(asked)
            for other in self.cluster.each(REF):
                if objects.name_of(other) == objects.name_of(role):
                    continue
                if selector.matches(objects.labels_of(other)):
                    rules += [rule for rule in other.get("rules") or () if rule not in rules]
        return rules
