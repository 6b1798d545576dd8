"""Which requests a policy or a webhook is about.

Source: k8s.io/apiserver 0.36 `admission/plugin/policy/matching`, `webhook/predicates`.
"""

from __future__ import annotations

from collections.abc import Iterable

from understudy.kapi.admission import chain
from understudy.kapi.resources import catalogue
from understudy.kube import identities, objects, selectors

NAMESPACES = identities.GroupResource("", "namespaces")
_GROUP = "admissionregistration.k8s.io"
_EXEMPT = frozenset(
    {
        "mutatingadmissionpolicies", "mutatingadmissionpolicybindings",
        "mutatingwebhookconfigurations", "validatingadmissionpolicies",
        "validatingadmissionpolicybindings", "validatingwebhookconfigurations",
    }
)  # fmt: skip


def is_exempt(attributes: chain.Attributes) -> bool:
    """Say whether a write is to policies themselves, which no policy can keep from being mended."""
    storage = attributes.resource.storage
    return storage.group == _GROUP and storage.resource in _EXEMPT


def namespace_of(attributes: chain.Attributes) -> str:
    """Return the namespace of a request; a Namespace counts as being in itself."""
    if attributes.resource.storage == NAMESPACES:
        return attributes.name
    return attributes.namespace


class Criteria:
    """Selectors and rules of one policy, binding or webhook, ready to be asked."""

    __slots__ = ("_any", "_equivalent", "_excluded", "_namespaces", "_objects", "_rules")

    def __init__(self, match: objects.Object, *, rules: str = "resourceRules") -> None:
        self._rules: list[objects.Object] = list(match.get(rules) or ())
        self._any = rules == "resourceRules" and not self._rules
        self._excluded: list[objects.Object] = list(match.get("excludeResourceRules") or ())
        self._equivalent = match.get("matchPolicy") == "Equivalent"
        self._namespaces = selectors.from_label_selector(match.get("namespaceSelector") or {})
        self._objects = selectors.from_label_selector(match.get("objectSelector") or {})

    def match(self, attributes: chain.Attributes) -> catalogue.Resource | None:
        """Return the resource in the version that is matched, None where none is.

        It is another version than the request's where only an equivalent one is named by a rule.
        """
        if not self._selects_namespace(attributes) or not self._selects_object(attributes):
            return None
        if self._excluded and self._named(self._excluded, attributes) is not None:
            return None
        if self._any:
            return attributes.resource
        return self._named(self._rules, attributes)

    def _selects_namespace(self, attributes: chain.Attributes) -> bool:
        if self._namespaces.empty:
            return True
        namespace = namespace_of(attributes)
        if not namespace:
            return True
        own = attributes.resource.storage == NAMESPACES and not attributes.subresource
        if own and attributes.obj is not None:
            return self._namespaces.matches(objects.labels_of(attributes.obj))
        found = attributes.reader.find("namespaces", "", namespace)
        return self._namespaces.matches(objects.labels_of(found or {}))

    def _selects_object(self, attributes: chain.Attributes) -> bool:
        if self._objects.empty:
            return True
        return any(
            self._objects.matches(objects.labels_of(obj))
            for obj in (attributes.obj, attributes.old)
            if obj is not None
        )

    def _named(
        self, rules: Iterable[objects.Object], attributes: chain.Attributes
    ) -> catalogue.Resource | None:
        resource = attributes.resource
        if any(_matches(rule, attributes, resource) for rule in rules):
            return resource
        if not self._equivalent:
            return None
        others = attributes.reader.catalogue.siblings(resource)
        for rule in rules:
            for other in others:
                if other is not resource and _matches(rule, attributes, other):
                    return other
        return None


def _matches(
    rule: objects.Object, attributes: chain.Attributes, resource: catalogue.Resource
) -> bool:
    return (
        _names(rule.get("operations"), attributes.operation)
        and _names(rule.get("apiGroups"), resource.group)
        and _names(rule.get("apiVersions"), resource.version)
        and _in_scope(rule.get("scope") or "*", attributes)
        and any(_is(text, resource.plural, attributes) for text in rule.get("resources") or ())
        and (not rule.get("resourceNames") or attributes.name in rule["resourceNames"])
    )


def _names(items: list[str] | None, wanted: str) -> bool:
    return any(item in {"*", wanted} for item in items or ())


def _in_scope(scope: str, attributes: chain.Attributes) -> bool:
    if scope == "*":
        return True
    cluster = attributes.resource.storage == NAMESPACES or not attributes.namespace
    return cluster is (scope == "Cluster")


def _is(text: str, plural: str, attributes: chain.Attributes) -> bool:
    resource, _, subresource = text.partition("/")
    return resource in {"*", plural} and subresource in {"*", attributes.subresource}
