"""What RBAC asks of writes beyond the verb: nobody gives away rights that he does not have.

Whoever writes a Role or a binding must hold every permission in it, or have the verb `escalate`
or `bind` on the role. And whoever creates by a patch or a PUT needs the verb `create` as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import orjson

from understudy.kapi.admission import chain
from understudy.kapi.http import auth, rbac
from understudy.kapi.views import view as views
from understudy.kube import identities, objects, statuses

_ROLES = frozenset({"Role", "ClusterRole"})
_BINDINGS = frozenset({"RoleBinding", "ClusterRoleBinding"})
_EVERYTHING: tuple[objects.Object, ...] = (
    {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
    {"verbs": ["*"], "nonResourceURLs": ["*"]},
)
_FIELDS = (
    ("apiGroups", "APIGroups"),
    ("resources", "Resources"),
    ("nonResourceURLs", "NonResourceURLs"),
    ("resourceNames", "ResourceNames"),
    ("verbs", "Verbs"),
)


class Permissions:
    """The admission step that holds writers to their own rights."""

    name = "Permissions"
    __slots__ = ("_authorizer",)

    def __init__(self, authorizer: rbac.RbacAuthorizer) -> None:
        self._authorizer = authorizer

    def handles(self, attributes: chain.Attributes) -> bool:
        """Say whether somebody writes who is neither an administrator nor the server itself."""
        user = attributes.user
        return (
            attributes.obj is not None and not user.is_internal and auth.MASTERS not in user.groups
        )

    def mutate(self, attributes: chain.Attributes) -> None:
        """Change nothing."""

    def validate(self, attributes: chain.Attributes) -> None:
        """Refuse a creation without the right to create, and rights that the writer lacks.

        Raises:
            ForbiddenError: As said. NotFoundError: the role that is bound does not exist.
        """
        view, resource = attributes.reader, attributes.resource
        assert isinstance(view, views.View), "requests are admitted to views"
        if attributes.operation == "CREATE":
            asked = self._question(attributes, "create", resource.plural, attributes.name)
            decision = self._authorizer.decide(view, asked)
            if not decision.allowed:
                raise auth.forbidden(asked, decision.reason)
        if resource.group != rbac.GROUP or _only_housekeeping(attributes):
            return
        if resource.kind in _ROLES:
            self._check_role(view, attributes)
        elif resource.kind in _BINDINGS:
            self._check_binding(view, attributes)

    def _question(
        self, attributes: chain.Attributes, verb: str, plural: str, name: str
    ) -> auth.Attributes:
        return auth.Attributes(
            attributes.user,
            verb,
            group=attributes.resource.group,
            resource=plural,
            subresource=attributes.subresource,
            namespace=attributes.namespace,
            name=name,
        )

    def _may(
        self, view: views.View, attributes: chain.Attributes, verb: str, plural: str, name: str
    ) -> bool:
        asked = self._question(attributes, verb, plural, name)
        return self._authorizer.decide(view, asked).allowed

    def _check_role(self, view: views.View, attributes: chain.Attributes) -> None:
        plural = attributes.resource.plural
        if self._may(view, attributes, "escalate", plural, attributes.name):
            return
        role = attributes.obj or {}
        self._check_rules(view, attributes, role.get("rules") or ())
        if role.get("aggregationRule") and self._missing(view, attributes, _EVERYTHING):
            raise statuses.forbidden(
                attributes.resource.group_resource,
                attributes.name,
                "must have cluster-admin privileges to use an aggregationRule",
            )

    def _check_binding(self, view: views.View, attributes: chain.Attributes) -> None:
        reference = (attributes.obj or {}).get("roleRef") or {}
        kind, name = reference.get("kind") or "", reference.get("name") or ""
        plural = "clusterroles" if kind == "ClusterRole" else "roles"
        if self._may(view, attributes, "bind", plural, name):
            return
        rules = self._authorizer.rules(view).of_role(view, kind, attributes.namespace, name)
        if rules is None:
            raise statuses.not_found(identities.GroupResource(rbac.GROUP, plural), name)
        self._check_rules(view, attributes, rules)

    def _check_rules(
        self, view: views.View, attributes: chain.Attributes, rules: Iterable[objects.Object]
    ) -> None:
        missing = self._missing(view, attributes, rules)
        if not missing:
            return
        user = attributes.user
        groups = " ".join(_quoted(group) for group in user.groups)
        shown = "\n".join(sorted({_printed(rule) for rule in _compacted(missing)}))
        raise statuses.forbidden(
            attributes.resource.group_resource,
            attributes.name,
            f"user {_quoted(user.username)} (groups=[{groups}]) is attempting to grant RBAC "
            f"permissions not currently held:\n{shown}",
        )

    def _missing(
        self, view: views.View, attributes: chain.Attributes, rules: Iterable[objects.Object]
    ) -> list[objects.Object]:
        grants = self._authorizer.rules(view).of(attributes.user, attributes.namespace)
        held = [rule for grant in grants for rule in grant.rules]
        single = [one for rule in rules for one in _singled(rule)]
        return [one for one in single if not any(covers(rule, one) for rule in held)]


def _only_housekeeping(attributes: chain.Attributes) -> bool:
    """Say whether an update changes nothing but what a garbage collector may change."""
    if attributes.old is None:
        return False
    return _without_owners(attributes.obj or {}) == _without_owners(attributes.old)


def _without_owners(obj: objects.Object) -> objects.Object:
    hidden = ("ownerReferences", "finalizers", "managedFields", "resourceVersion")
    meta = obj.get("metadata") or {}
    return obj | {"metadata": {key: value for key, value in meta.items() if key not in hidden}}


def _singled(rule: objects.Object) -> Iterator[objects.Object]:
    """Split a rule into rules of one verb on one thing each."""
    verbs = rule.get("verbs") or ()
    for group in rule.get("apiGroups") or ():
        for resource in rule.get("resources") or ():
            for verb in verbs:
                one = {"apiGroups": [group], "resources": [resource], "verbs": [verb]}
                names = rule.get("resourceNames") or ()
                yield from (one | {"resourceNames": [name]} for name in names)
                if not names:
                    yield one
    for url in rule.get("nonResourceURLs") or ():
        yield from ({"nonResourceURLs": [url], "verbs": [verb]} for verb in verbs)


def covers(held: objects.Object, asked: objects.Object) -> bool:
    """Say whether one rule gives everything that another one gives."""
    names, wanted = held.get("resourceNames") or (), asked.get("resourceNames") or ()
    return (
        _has_all(held.get("verbs"), asked.get("verbs"))
        and _has_all(held.get("apiGroups"), asked.get("apiGroups"))
        and all(_has_resource(held, resource) for resource in asked.get("resources") or ())
        and all(_has_url(held, url) for url in asked.get("nonResourceURLs") or ())
        and (not names or (bool(wanted) and set(wanted) <= set(names)))
    )


def _has_all(held: Sequence[str] | None, asked: Sequence[str] | None) -> bool:
    return "*" in (held or ()) or set(asked or ()) <= set(held or ())


def _has_resource(held: objects.Object, resource: str) -> bool:
    resources = held.get("resources") or ()
    _, _, subresource = resource.partition("/")
    return (
        "*" in resources
        or resource in resources
        or (bool(subresource) and f"*/{subresource}" in resources)
    )


def _has_url(held: objects.Object, url: str) -> bool:
    return any(
        known == url or (known.endswith("*") and url.startswith(known[:-1]))
        for known in held.get("nonResourceURLs") or ()
    )


def _compacted(rules: Iterable[objects.Object]) -> list[objects.Object]:
    """Join single rules on the same resource, as their verbs are easier to read together."""
    joined: dict[tuple[str, ...], objects.Object] = {}
    urls: list[objects.Object] = []
    for rule in rules:
        if "resources" not in rule:
            urls.append(rule)
            continue
        key = (rule["apiGroups"][0], rule["resources"][0], *rule.get("resourceNames", ()))
        known = joined.get(key)
        verbs = [*known["verbs"], *rule["verbs"]] if known is not None else rule["verbs"]
        joined[key] = rule | {"verbs": verbs}
    return [*urls, *joined.values()]


def _printed(rule: objects.Object) -> str:
    """Print a rule as Go's `CompactString`: `{APIGroups:[""], Resources:["pods"], ...}`."""
    parts = [
        f"{shown}:[{' '.join(_quoted(value) for value in rule[field])}]"
        for field, shown in _FIELDS
        if rule.get(field)
    ]
    return f"{{{', '.join(parts)}}}"


def _quoted(text: str) -> str:
    return orjson.dumps(text).decode()
