"""Roles and their bindings. Source: pkg/apis/rbac/{v1,validation} @1.36."""

from __future__ import annotations

from typing import ClassVar

from understudy.kapi.resources import strategies
from understudy.kapi.resources.kinds import rules
from understudy.kube import causes, names, objects, selectors, statuses

Causes = list[statuses.Cause]

_GROUP = "rbac.authorization.k8s.io"
_SUBJECTS = ("ServiceAccount", "User", "Group")


class Role(rules.PathNamed, rules.Listing):
    """A Role."""

    metadata_checks: ClassVar[names.MetadataChecks] = names.MetadataChecks(1, 1, True)
    lists: ClassVar[tuple[tuple[str, ...], ...]] = (("rules",),)
    is_namespaced: ClassVar[bool] = True

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        return self._validate(obj)

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        return self._validate(obj)

    def _validate(self, obj: objects.Object) -> Causes:
        return [
            cause
            for index, rule in enumerate(obj.get("rules") or ())
            for cause in self._rule(rule, f"rules[{index}]")
        ]

    def _rule(self, rule: objects.Object, field: str) -> Causes:
        groups, resources = rule.get("apiGroups"), rule.get("resources")
        named, urls = rule.get("resourceNames"), rule.get("nonResourceURLs")
        out: Causes = []
        if not rule.get("verbs"):
            text = "verbs must contain at least one value"
            out.append(causes.required(f"{field}.verbs", text))
        if urls:
            at = f"{field}.nonResourceURLs"
            if self.is_namespaced:
                text = "namespaced rules cannot apply to non-resource URLs"
                out.append(causes.invalid(at, urls, text))
            if groups or resources or named:
                text = "rules cannot apply to both regular resources and non-resource URLs"
                out.append(causes.invalid(at, urls, text))
            return out
        if not groups:
            text = "resource rules must supply at least one api group"
            out.append(causes.required(f"{field}.apiGroups", text))
        if not resources:
            text = "resource rules must supply at least one resource"
            out.append(causes.required(f"{field}.resources", text))
        return out


class ClusterRole(Role):
    """A ClusterRole, which may also be the sum of others."""

    is_namespaced: ClassVar[bool] = False

    def _validate(self, obj: objects.Object) -> Causes:
        out = super()._validate(obj)
        rule = obj.get("aggregationRule")
        if rule is None:
            return out
        at = "aggregationRule.clusterRoleSelectors"
        listed = rule.get("clusterRoleSelectors") or []
        if not listed:
            out.append(
                causes.required(
                    at, "at least one clusterRoleSelector required if aggregationRule is non-nil"
                )
            )
        for index, selector in enumerate(listed):
            out += selectors.validate_label_selector(selector, f"{at}[{index}]")
            if selectors.checked_label_selector(selector) is None:
                out.append(causes.invalid(f"{at}[{index}]", None, "invalid label selector."))
        return out


class RoleBinding(rules.PathNamed):
    """A RoleBinding."""

    metadata_checks: ClassVar[names.MetadataChecks] = names.MetadataChecks(1, 1, True)
    is_namespaced: ClassVar[bool] = True
    roles: ClassVar[tuple[str, ...]] = ("Role", "ClusterRole")

    def default(self, obj: objects.Object) -> None:
        reference = obj.get("roleRef")
        if reference is None:
            reference = obj["roleRef"] = {"kind": "", "name": ""}
        if not reference.get("apiGroup"):
            reference["apiGroup"] = _GROUP
        for subject in obj.get("subjects") or ():
            if not subject.get("apiGroup") and subject.get("kind") in {"User", "Group"}:
                subject["apiGroup"] = _GROUP

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        return self._validate(obj)

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        out = self._validate(obj)
        reference = obj["roleRef"]
        if reference != old["roleRef"]:
            shown = {
                "APIGroup": reference.get("apiGroup") or "",
                "Kind": reference.get("kind") or "",
                "Name": reference.get("name") or "",
            }
            out.append(causes.invalid("roleRef", shown, "cannot change roleRef"))
        return out

    def _validate(self, obj: objects.Object) -> Causes:
        reference = obj["roleRef"]
        group, kind = reference.get("apiGroup") or "", reference.get("kind") or ""
        out: Causes = []
        if group != _GROUP:
            out.append(causes.unsupported("roleRef.apiGroup", group, (_GROUP,)))
        if kind not in self.roles:
            out.append(causes.unsupported("roleRef.kind", kind, self.roles))
        name = reference.get("name") or ""
        if not name:
            out.append(causes.required("roleRef.name"))
        else:
            out += causes.complaints("roleRef.name", name, names.path_segment(name))
        for index, subject in enumerate(obj.get("subjects") or ()):
            out += self._subject(subject, f"subjects[{index}]")
        return out

    def _subject(self, subject: objects.Object, field: str) -> Causes:
        kind, name = subject.get("kind") or "", subject.get("name") or ""
        group = subject.get("apiGroup") or ""
        out: Causes = []
        if not name:
            out.append(causes.required(f"{field}.name"))
        if kind == "ServiceAccount":
            if name:
                out += causes.complaints(f"{field}.name", name, names.dns_subdomain(name))
            if group:
                out.append(causes.unsupported(f"{field}.apiGroup", group, ("",)))
            if not self.is_namespaced and not subject.get("namespace"):
                out.append(causes.required(f"{field}.namespace"))
        elif kind in {"User", "Group"}:
            if group != _GROUP:
                out.append(causes.unsupported(f"{field}.apiGroup", group, (_GROUP,)))
        else:
            out.append(causes.unsupported(f"{field}.kind", kind, _SUBJECTS))
        return out


class ClusterRoleBinding(RoleBinding):
    """A ClusterRoleBinding."""

    is_namespaced: ClassVar[bool] = False
    roles: ClassVar[tuple[str, ...]] = ("ClusterRole",)
