"""Roles, ClusterRoles and their bindings.

Source: pkg/apis/rbac/{v1,validation}, pkg/registry/rbac @1.36.
"""

from __future__ import annotations

from typing import ClassVar

from understudy.kapi.resources import strategies
from understudy.kapi.resources.kinds import rules
from understudy.kube import causes, names, objects, selectors, statuses

GROUP = "rbac.authorization.k8s.io"
_SUBJECTS = ("Group", "ServiceAccount", "User")


class Role(rules.PathNamed):
    """A Role, or (`namespaced` False) a ClusterRole."""

    namespaced: ClassVar[bool] = True

    def default(self, obj: objects.Object) -> None:
        if obj.get("rules") is None:
            obj["rules"] = None

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        out: list[statuses.Cause] = []
        for index, rule in enumerate(obj.get("rules") or ()):
            out += policy_rule(rule, f"rules[{index}]", namespaced=self.namespaced)
        aggregation = obj.get("aggregationRule")
        if aggregation is not None:
            out += _aggregation(aggregation, "aggregationRule")
        return out

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        return self.validate_create(obj, context)


class ClusterRole(Role):
    """A ClusterRole."""

    namespaced: ClassVar[bool] = False


def policy_rule(rule: objects.Object, field: str, *, namespaced: bool) -> list[statuses.Cause]:
    """Check one rule: it is about resources or about URLs, never both."""
    out: list[statuses.Cause] = []
    if not rule.get("verbs"):
        out.append(causes.required(f"{field}.verbs", "verbs must contain at least one value"))
    urls = rule.get("nonResourceURLs") or []
    if urls:
        if namespaced:
            text = "namespaced rules cannot apply to non-resource URLs"
            out.append(causes.invalid(f"{field}.nonResourceURLs", urls, text))
        if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
            text = "rules cannot apply to both regular resources and non-resource URLs"
            out.append(causes.invalid(f"{field}.nonResourceURLs", urls, text))
        return out
    if not rule.get("apiGroups"):
        text = "resource rules must supply at least one api group"
        out.append(causes.required(f"{field}.apiGroups", text))
    if not rule.get("resources"):
        text = "resource rules must supply at least one resource"
        out.append(causes.required(f"{field}.resources", text))
    return out


def _aggregation(aggregation: objects.Object, field: str) -> list[statuses.Cause]:
    wanted = aggregation.get("clusterRoleSelectors") or []
    at = f"{field}.clusterRoleSelectors"
    if not wanted:
        text = "at least one clusterRoleSelector required if aggregationRule is non-nil"
        return [causes.required(at, text)]
    out: list[statuses.Cause] = []
    for index, selector in enumerate(wanted):
        out += selectors.validate_label_selector(selector, f"{at}[{index}]")
        if not selector.get("matchLabels") and not selector.get("matchExpressions"):
            text = "empty selectors are not allowed"
            out.append(causes.invalid(f"{at}[{index}]", selector, text))
    return out


class RoleBinding(rules.PathNamed):
    """A RoleBinding, or (`namespaced` False) a ClusterRoleBinding; its role never changes."""

    namespaced: ClassVar[bool] = True

    def default(self, obj: objects.Object) -> None:
        ref = obj.get("roleRef")
        if ref is not None and not ref.get("apiGroup"):
            ref["apiGroup"] = GROUP
        for subject in obj.get("subjects") or ():
            if not subject.get("apiGroup") and subject.get("kind") in {"User", "Group"}:
                subject["apiGroup"] = GROUP

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        ref = obj.get("roleRef") or {}
        out: list[statuses.Cause] = []
        if ref.get("apiGroup") != GROUP:
            out.append(causes.unsupported("roleRef.apiGroup", ref.get("apiGroup") or "", (GROUP,)))
        kinds = ("ClusterRole", "Role") if self.namespaced else ("ClusterRole",)
        if ref.get("kind") not in kinds:
            out.append(causes.unsupported("roleRef.kind", ref.get("kind") or "", kinds))
        name = ref.get("name") or ""
        if not name:
            out.append(causes.required("roleRef.name"))
        else:
            out += rules.checked(name, "roleRef.name", names.path_segment)
        for index, subject in enumerate(obj.get("subjects") or ()):
            out += self._subject(subject, f"subjects[{index}]")
        return out

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        out = self.validate_create(obj, context)
        if obj.get("roleRef") != old.get("roleRef"):
            shown = {
                "APIGroup": (obj.get("roleRef") or {}).get("apiGroup") or "",
                "Kind": (obj.get("roleRef") or {}).get("kind") or "",
                "Name": (obj.get("roleRef") or {}).get("name") or "",
            }
            out.append(causes.invalid("roleRef", shown, "cannot change roleRef"))
        return out

    def _subject(self, subject: objects.Object, field: str) -> list[statuses.Cause]:
        out: list[statuses.Cause] = []
        name, kind = subject.get("name") or "", subject.get("kind") or ""
        group = subject.get("apiGroup") or ""
        if not name:
            out.append(causes.required(f"{field}.name"))
        if kind == "ServiceAccount":
            if name:
                out += rules.checked(name, f"{field}.name", names.dns_subdomain)
            if group:
                out.append(causes.unsupported(f"{field}.apiGroup", group, ("",)))
            if not self.namespaced and not subject.get("namespace"):
                out.append(causes.required(f"{field}.namespace"))
        elif kind in {"User", "Group"}:
            if group != GROUP:
                out.append(causes.unsupported(f"{field}.apiGroup", group, (GROUP,)))
        else:
            out.append(causes.unsupported(f"{field}.kind", kind, _SUBJECTS))
        return out


class ClusterRoleBinding(RoleBinding):
    """A ClusterRoleBinding."""

    namespaced: ClassVar[bool] = False
