"""Role based access control over a view's Roles, ClusterRoles and their bindings.

What the bindings say is compiled once per state: the store's trees are immutable, so the same
tree means the same rules. `system:masters` may do everything without any binding. A ClusterRole
with an aggregationRule has the rules of the ClusterRoles it selects at once, without the
controller that would write them into it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from understudy.kapi.http import auth, tokens
from understudy.kapi.resources import strategies
from understudy.kapi.views import view as views
from understudy.kube import identities, objects, selectors

GROUP = "rbac.authorization.k8s.io"
_KINDS = ("clusterroles", "clusterrolebindings", "roles", "rolebindings")
_STORAGES = tuple(identities.GroupResource(GROUP, kind) for kind in _KINDS)
Subject = tuple[str, str]
"""`("User", "jane")`, `("Group", "devs")`; a ServiceAccount is the user it stands for."""


@dataclass(frozen=True, slots=True)
class Grant:
    """Rules that a binding gives to a subject.

    Attributes:
        namespace: Where they hold; empty for a ClusterRoleBinding.
        reason: `allowed by RoleBinding "b/ns" of Role "r" to User "u"`.
        missing: The role does not exist; says which.
    """

    namespace: str
    rules: tuple[objects.Object, ...]
    reason: str
    missing: str = ""


class Rules:
    """The grants of one state, by subject."""

    __slots__ = ("_cluster_roles", "_grants", "_rules_of")

    def __init__(self, view: views.View) -> None:
        self._grants: dict[Subject, list[Grant]] = {}
        self._cluster_roles = list(view.each(f"clusterroles.{GROUP}"))
        self._rules_of: dict[tuple[str, str, str], tuple[objects.Object, ...]] = {}
        for kind in ("clusterrolebindings", "rolebindings"):
            for binding in view.each(f"{kind}.{GROUP}"):
                self._add(view, binding)

    def _add(self, view: views.View, binding: objects.Object) -> None:
        namespace, name = objects.namespace_of(binding), objects.name_of(binding)
        reference = binding.get("roleRef") or {}
        role_kind, role_name = reference.get("kind", ""), reference.get("name", "")
        plural = "clusterroles" if role_kind == "ClusterRole" else "roles"
        scope = "" if plural == "clusterroles" else namespace
        rules = self._rules(view, plural, scope, role_name)
        missing = ""
        if rules is None:
            missing = f'{role_kind.lower()}.{GROUP} "{role_name}" not found'
        shown = f"{name}/{namespace}" if namespace else name
        for subject in binding.get("subjects") or ():
            key, label = _subject(subject, namespace)
            self._grants.setdefault(key, []).append(
                Grant(
                    namespace,
                    rules or (),
                    f'RBAC: allowed by {binding["kind"]} "{shown}" of {role_kind} "{role_name}" '
                    f"to {label}",
                    missing,
                )
            )

    def of_role(
        self, view: views.View, kind: str, namespace: str, name: str
    ) -> tuple[objects.Object, ...] | None:
        """Return the rules of a Role or ClusterRole; None where there is none."""
        if kind == "ClusterRole":
            return self._rules(view, "clusterroles", "", name)
        return self._rules(view, "roles", namespace, name)

    def _rules(
        self, view: views.View, plural: str, namespace: str, name: str
    ) -> tuple[objects.Object, ...] | None:
        """Return a role's rules; None where there is no such role."""
        key = (plural, namespace, name)
        if key not in self._rules_of:
            role = view.find(f"{plural}.{GROUP}", namespace, name)
            if role is None:
                return None
            self._rules_of[key] = tuple(self._aggregated(role, {name}))
        return self._rules_of[key]

    def _aggregated(self, role: objects.Object, seen: set[str]) -> list[objects.Object]:
        rules = list(role.get("rules") or ())
        for asked in (role.get("aggregationRule") or {}).get("clusterRoleSelectors") or ():
            selector = selectors.from_label_selector(asked)
            for other in self._cluster_roles:
                name = objects.name_of(other)
                if name not in seen and selector.matches(objects.labels_of(other)):
                    seen.add(name)
                    rules += self._aggregated(other, seen)
        return rules

    def of(self, user: strategies.UserInfo, namespace: str) -> Iterator[Grant]:
        """Yield what a user is granted in a namespace, cluster-wide grants first."""
        subjects = [("User", user.username), *(("Group", group) for group in user.groups)]
        found = [grant for subject in subjects for grant in self._grants.get(subject, ())]
        yield from (grant for grant in found if not grant.namespace)
        if namespace:
            yield from (grant for grant in found if grant.namespace == namespace)


def _subject(subject: objects.Object, binding_namespace: str) -> tuple[Subject, str]:
    kind, name = subject.get("kind", ""), subject.get("name", "")
    if kind == "ServiceAccount":
        namespace = subject.get("namespace") or binding_namespace
        return (
            ("User", f"{tokens.USER_PREFIX}{namespace}:{name}"),
            f'ServiceAccount "{name}/{namespace}"',
        )
    return (kind, name), f'{kind} "{name}"'


class RbacAuthorizer:
    """Decides by the view's own roles and bindings."""

    __slots__ = ("_compiled",)

    def __init__(self) -> None:
        self._compiled: list[tuple[tuple[object, ...], Rules]] = []

    def rules(self, view: views.View) -> Rules:
        """Return the view's present grants."""
        trees: tuple[object, ...] = tuple(view.store.tree(storage) for storage in _STORAGES)
        for known, rules in self._compiled:
            if all(mine is theirs for mine, theirs in zip(known, trees, strict=True)):
                return rules
        rules = Rules(view)
        self._compiled.insert(0, (trees, rules))
        del self._compiled[16:]
        return rules

    def decide(self, view: views.View, attributes: auth.Attributes) -> auth.Decision:
        """Allow what some rule of some grant allows; the first one is the reason."""
        if auth.MASTERS in attributes.user.groups:
            return auth.Decision(allowed=True)
        missing: list[str] = []
        for grant in self.rules(view).of(attributes.user, attributes.namespace):
            if grant.missing:
                missing.append(grant.missing)
            elif any(allows(rule, attributes) for rule in grant.rules):
                return auth.Decision(allowed=True, reason=grant.reason)
        reason = missing[0] if len(missing) == 1 else f"[{', '.join(dict.fromkeys(missing))}]"
        return auth.Decision(allowed=False, reason=f"RBAC: {reason}" if missing else "")


def allows(rule: objects.Object, attributes: auth.Attributes) -> bool:
    """Say whether one PolicyRule covers a request."""
    verbs = rule.get("verbs") or ()
    if "*" not in verbs and attributes.verb not in verbs:
        return False
    if not attributes.is_resource:
        return any(_path_matches(url, attributes.path) for url in rule.get("nonResourceURLs") or ())
    groups = rule.get("apiGroups") or ()
    if "*" not in groups and attributes.group not in groups:
        return False
    if not _resource_matches(rule.get("resources") or (), attributes):
        return False
    names = rule.get("resourceNames")
    return not names or attributes.name in names


def _path_matches(url: str, path: str) -> bool:
    if url.endswith("*"):
        return path.startswith(url[:-1])
    return url == path


def _resource_matches(resources: Iterable[str], attributes: auth.Attributes) -> bool:
    subresource = attributes.subresource
    whole = f"{attributes.resource}/{subresource}" if subresource else attributes.resource
    for resource in resources:
        if resource in ("*", whole):
            return True
        if subresource and resource == f"*/{subresource}":
            return True
    return False
