"""Webhook configurations, admission policies and their bindings.

Source: pkg/apis/admissionregistration/{v1,validation} @1.36.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from understudy.kapi.resources import strategies, webhooks
from understudy.kapi.resources.kinds import conditions, policyrules, rules
from understudy.kube import causes, names, objects, selectors, statuses

_FAILURE = ("Fail", "Ignore")
_MATCH = ("Equivalent", "Exact")
_MUTABLE = ("*", "CONNECT", "CREATE", "UPDATE")
_OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_SCOPES = ("*", "Cluster", "Namespaced")
_SIDE_EFFECTS = ("None", "NoneOnDryRun")
_ACTIONS = ("Audit", "Deny", "Warn")
_REVIEW_VERSIONS = ("v1", "v1beta1")
_TIMEOUT_S_MAX = 30


def _default_rules(listed: Iterable[objects.Object] | None) -> None:
    for rule in listed or ():
        if rule.get("scope") is None:
            rule["scope"] = "*"


def _default_selectors(holder: objects.Object) -> None:
    for key in ("namespaceSelector", "objectSelector"):
        if holder.get(key) is None:
            holder[key] = {}
    if holder.get("matchPolicy") is None:
        holder["matchPolicy"] = "Equivalent"


class WebhookConfiguration(rules.Kind):
    """A ValidatingWebhookConfiguration or (`mutating`) a MutatingWebhookConfiguration."""

    metadata_checks: ClassVar[names.MetadataChecks] = names.MetadataChecks(1, 0)
    has_generation: ClassVar[bool] = True
    unconditional_update: ClassVar[bool] = False
    mutating: ClassVar[bool] = False

    def default(self, obj: objects.Object) -> None:
        for hook in obj.get("webhooks") or ():
            if hook.get("failurePolicy") is None:
                hook["failurePolicy"] = "Fail"
            _default_selectors(hook)
            if hook.get("timeoutSeconds") is None:
                hook["timeoutSeconds"] = 10
            if self.mutating and hook.get("reinvocationPolicy") is None:
                hook["reinvocationPolicy"] = "Never"
            service = (hook.get("clientConfig") or {}).get("service")
            if service is not None and service.get("port") is None:
                service["port"] = 443
            _default_rules(hook.get("rules"))

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        out: list[statuses.Cause] = []
        seen: set[str] = set()
        for index, hook in enumerate(obj.get("webhooks") or ()):
            field = f"webhooks[{index}]"
            out += self._hook(hook, field)
            name = hook.get("name") or ""
            if name:
                if name in seen:
                    out.append(causes.duplicate(f"{field}.name", name))
                seen.add(name)
        return out

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        return self.validate_create(obj, context)

    def _hook(self, hook: objects.Object, field: str) -> list[statuses.Cause]:
        out: list[statuses.Cause] = []
        versions = hook.get("admissionReviewVersions") or []
        if not versions:
            text = f"must specify one of {', '.join(_REVIEW_VERSIONS)}"
            out.append(causes.required(f"{field}.admissionReviewVersions", text))
        else:
            out += _review_versions(versions, f"{field}.admissionReviewVersions")
        out += _qualified(hook.get("name") or "", f"{field}.name")
        for index, rule in enumerate(hook.get("rules") or ()):
            out += rule_with_operations(rule, f"{field}.rules[{index}]")
        out += _one_of(hook.get("failurePolicy"), f"{field}.failurePolicy", _FAILURE)
        out += _one_of(hook.get("matchPolicy"), f"{field}.matchPolicy", _MATCH)
        effects = hook.get("sideEffects")
        if effects is None:
            text = f"must specify one of {', '.join(_SIDE_EFFECTS)}"
            out.append(causes.required(f"{field}.sideEffects", text))
        elif effects not in _SIDE_EFFECTS:
            out.append(causes.unsupported(f"{field}.sideEffects", effects, _SIDE_EFFECTS))
        seconds = hook.get("timeoutSeconds")
        if seconds is not None and not 1 <= seconds <= _TIMEOUT_S_MAX:
            text = "the timeout value must be between 1 and 30 seconds"
            out.append(causes.invalid(f"{field}.timeoutSeconds", seconds, text))
        for key in ("namespaceSelector", "objectSelector"):
            if hook.get(key) is not None:
                out += selectors.validate_label_selector(hook[key], f"{field}.{key}")
        out += policyrules.match_conditions(hook.get("matchConditions"), f"{field}.matchConditions")
        if self.mutating:
            out += rules.one_of(
                hook.get("reinvocationPolicy"), f"{field}.reinvocationPolicy", ("IfNeeded", "Never")
            )
        return [
            *out,
            *webhooks.client_config(hook.get("clientConfig") or {}, f"{field}.clientConfig"),
        ]


class MutatingWebhookConfiguration(WebhookConfiguration):
    """A MutatingWebhookConfiguration."""

    mutating: ClassVar[bool] = True


def _review_versions(versions: list[str], field: str) -> list[statuses.Cause]:
    out: list[statuses.Cause] = []
    for index, version in enumerate(versions):
        if version in versions[:index]:
            out.append(causes.invalid(f"{field}[{index}]", version, "duplicate version"))
        else:
            out += rules.checked(version, f"{field}[{index}]", names.dns1035_label)
    if not set(_REVIEW_VERSIONS) & set(versions):
        text = f"must include at least one of {', '.join(_REVIEW_VERSIONS)}"
        out.append(causes.invalid(field, versions, text))
    return out


def _qualified(name: str, field: str) -> list[statuses.Cause]:
    if not name:
        return [causes.required(field)]
    out = rules.checked(name, field, names.dns_subdomain)
    if not out and len(name.split(".")) < 3:
        text = "should be a domain with at least three segments separated by dots"
        out.append(causes.invalid(field, name, text))
    return out


def rule_with_operations(rule: objects.Object, field: str) -> list[statuses.Cause]:
    """Check which requests a webhook or policy is about."""
    out: list[statuses.Cause] = []
    for key in ("apiGroups", "apiVersions"):
        values = rule.get(key) or []
        if not values:
            out.append(causes.required(f"{field}.{key}"))
        elif len(values) > 1 and "*" in values:
            words = "API groups" if key == "apiGroups" else "API versions"
            text = f"if '*' is present, must not specify other {words}"
            out.append(causes.invalid(f"{field}.{key}", values, text))
        if key == "apiVersions":
            out += [
                causes.required(f"{field}.{key}[{index}]")
                for index, value in enumerate(values)
                if not value
            ]
    operations = rule.get("operations") or []
    if not operations:
        out.append(causes.required(f"{field}.operations"))
    elif len(operations) > 1 and "*" in operations:
        text = "if '*' is present, must not specify other operations"
        out.append(causes.invalid(f"{field}.operations", operations, text))
    for index, operation in enumerate(operations):
        if operation not in _OPERATIONS:
            out.append(causes.unsupported(f"{field}.operations[{index}]", operation, _OPERATIONS))
    out += _resources(rule.get("resources") or [], f"{field}.resources")
    scope = rule.get("scope")
    if scope is not None and scope not in _SCOPES:
        out.append(causes.unsupported(f"{field}.scope", scope, _SCOPES))
    return out


def _resources(resources: list[str], field: str) -> list[statuses.Cause]:
    """Check resources and subresources: `pods`, `pods/*`, `*/scale`, `*`, `*/*`."""
    out: list[statuses.Cause] = []
    if not resources:
        out.append(causes.required(field))
    all_subs: set[str] = set()
    all_resources: set[str] = set()
    is_last_plain = False
    for index, one in enumerate(resources):
        if not one:
            out.append(causes.required(f"{field}[{index}]"))
            continue
        resource, slash, sub = one.partition("/")
        if not slash:
            is_last_plain = one != "*"
            continue
        for known, wildcard in ((resource in all_subs, f"{resource}/*"),
                                (sub in all_resources, f"*/{sub}")):  # fmt: skip
            if known:
                text = f"if '{wildcard}' is present, must not specify {one}"
                out.append(causes.invalid(f"{field}[{index}]", one, text))
        if sub == "*":
            all_subs.add(resource)
        if resource == "*":
            all_resources.add(sub)
    if len(resources) > 1 and "*/*" in resources:
        text = "if '*/*' is present, must not specify other resources"
        out.append(causes.invalid(field, resources, text))
    if "*" in resources and is_last_plain:
        text = "if '*' is present, must not specify other resources without subresources"
        out.append(causes.invalid(field, resources, text))
    return out


def _match(match: objects.Object, field: str, *, needs_rules: bool) -> list[statuses.Cause]:
    out: list[statuses.Cause] = []
    out += _one_of(match.get("matchPolicy"), f"{field}.matchPolicy", _MATCH)
    for key in ("namespaceSelector", "objectSelector"):
        if match.get(key) is None:
            out.append(causes.required(f"{field}.{key}"))
        else:
            out += selectors.validate_label_selector(match[key], f"{field}.{key}")
    for key in ("resourceRules", "excludeResourceRules"):
        for index, rule in enumerate(match.get(key) or ()):
            at = f"{field}.{key}[{index}]"
            listed = rule.get("resourceNames") or []
            for number, name in enumerate(listed):
                out += rules.checked(name, f"{at}.resourceNames[{number}]", names.path_segment)
                if name in listed[:number]:
                    out.append(causes.duplicate(f"{at}.resourceNames[{number}]", name))
            out += rule_with_operations(rule, at)
    if needs_rules and not match.get("resourceRules"):
        out.append(causes.required(f"{field}.resourceRules"))
    return out


def _default_match(match: objects.Object | None) -> None:
    if match is None:
        return
    _default_selectors(match)
    _default_rules(match.get("resourceRules"))
    _default_rules(match.get("excludeResourceRules"))


class AdmissionPolicy(rules.Kind):
    """A ValidatingAdmissionPolicy; its expressions must compile."""

    metadata_checks: ClassVar[names.MetadataChecks] = names.MetadataChecks(1, 0)
    status_is_separate: ClassVar[bool] = True
    resets_metadata: ClassVar[bool] = True
    has_generation: ClassVar[bool] = True
    unconditional_update: ClassVar[bool] = False

    def default(self, obj: objects.Object) -> None:
        spec = obj.setdefault("spec", {})
        if spec.get("failurePolicy") is None:
            spec["failurePolicy"] = "Fail"
        _default_match(spec.get("matchConstraints"))

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        spec = obj.get("spec") or {}
        out: list[statuses.Cause] = []
        if (failure := spec.get("failurePolicy")) not in _FAILURE:
            out.append(causes.unsupported("spec.failurePolicy", failure, _FAILURE))
        kind = spec.get("paramKind")
        if kind is not None:
            out += policyrules.param_kind(kind, "spec.paramKind")
        match = spec.get("matchConstraints")
        if match is None:
            out.append(causes.required("spec.matchConstraints"))
        else:
            out += _match(match, "spec.matchConstraints", needs_rules=True)
        out += policyrules.match_conditions(
            spec.get("matchConditions"), "spec.matchConditions", params=kind is not None
        )
        expressions = policyrules.Expressions(spec, "spec")
        out += expressions.variables()
        return out + self._body(spec, expressions, objects.name_of(obj))

    def _body(
        self, spec: objects.Object, expressions: policyrules.Expressions, name: str
    ) -> list[statuses.Cause]:
        out: list[statuses.Cause] = []
        if not spec.get("validations") and not spec.get("auditAnnotations"):
            text = "validations or auditAnnotations must contain at least one item"
            out.append(causes.required("spec.validations", text))
            out.append(causes.required("spec.auditAnnotations", text))
        out += expressions.validations()
        return [*out, *expressions.audit_annotations(name)]

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        if context.subresource == "status":
            return _policy_status(obj.get("status") or {})
        return self.validate_create(obj, context)


def _policy_status(status: objects.Object) -> list[statuses.Cause]:
    out: list[statuses.Cause] = []
    warnings = (status.get("typeChecking") or {}).get("expressionWarnings")
    for index, one in enumerate(warnings or ()):
        at = f"status.typeChecking.expressionWarnings[{index}]"
        out += [
            causes.required(f"{at}.{key}")
            for key in ("warning", "fieldRef")
            if not (one.get(key) or "").strip()
        ]
    return out + conditions.validate(status.get("conditions") or [], "status.conditions")


class MutatingAdmissionPolicy(AdmissionPolicy):
    """A MutatingAdmissionPolicy."""

    status_is_separate: ClassVar[bool] = False

    def _body(
        self, spec: objects.Object, expressions: policyrules.Expressions, name: str
    ) -> list[statuses.Cause]:
        out = _mutable_operations(spec.get("matchConstraints"), "spec.matchConstraints")
        if not spec.get("mutations"):
            text = "mutations must contain at least one item"
            out.append(causes.required("spec.mutations", text))
        out += expressions.mutations()
        out += rules.one_of(
            spec.get("reinvocationPolicy"), "spec.reinvocationPolicy", ("IfNeeded", "Never")
        )
        return out


def _mutable_operations(match: objects.Object | None, field: str) -> list[statuses.Cause]:
    """Complain about operations in which nothing can be changed."""
    return [
        causes.unsupported(f"{field}.resourceRules.operations", one, _MUTABLE)
        for rule in (match or {}).get("resourceRules") or ()
        for one in rule.get("operations") or ()
        if one not in _MUTABLE
    ]


class AdmissionPolicyBinding(rules.Kind):
    """A ValidatingAdmissionPolicyBinding or (`mutating`) a MutatingAdmissionPolicyBinding."""

    metadata_checks: ClassVar[names.MetadataChecks] = names.MetadataChecks(1, 0)
    has_generation: ClassVar[bool] = True
    unconditional_update: ClassVar[bool] = False
    mutating: ClassVar[bool] = False

    def default(self, obj: objects.Object) -> None:
        _default_match((obj.get("spec") or {}).get("matchResources"))

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        spec = obj.get("spec") or {}
        out: list[statuses.Cause] = []
        policy = spec.get("policyName") or ""
        if not policy:
            out.append(causes.required("spec.policyName"))
        else:
            out += rules.checked(policy, "spec.policyName", names.dns_subdomain)
        out += _param_ref(spec.get("paramRef"), "spec.paramRef")
        if spec.get("matchResources") is not None:
            # The field is misspelt in Kubernetes' own answers.
            out += _match(spec["matchResources"], "spec.matchResources", needs_rules=False)
        if self.mutating:
            out += _mutable_operations(spec.get("matchResources"), "spec.matchResources")
        if not self.mutating:
            out += _actions(spec.get("validationActions") or [], "spec.validationActions")
        return out

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        return self.validate_create(obj, context)


class MutatingAdmissionPolicyBinding(AdmissionPolicyBinding):
    """A MutatingAdmissionPolicyBinding."""

    mutating: ClassVar[bool] = True


def _actions(actions: list[str], field: str) -> list[statuses.Cause]:
    if not actions:
        return [causes.required(field, "at least one validation action is required")]
    out: list[statuses.Cause] = []
    for index, action in enumerate(actions):
        if action not in _ACTIONS:
            out.append(causes.unsupported(f"{field}[{index}]", action, _ACTIONS))
        if action in actions[:index]:
            out.append(causes.duplicate(f"{field}[{index}]", action))
    if "Deny" in actions and "Warn" in actions:
        text = (
            "must not contain both Deny and Warn (repeating the same validation failure "
            "information in the API response and headers serves no purpose)"
        )
        out.append(causes.invalid(field, actions, text))
    return out


def _param_ref(ref: objects.Object | None, field: str) -> list[statuses.Cause]:
    if ref is None:
        return []
    out: list[statuses.Cause] = []
    name, selector = ref.get("name"), ref.get("selector")
    if name and selector is not None:
        text = "name and selector are mutually exclusive"
        out.append(causes.forbidden(f"{field}.name", text))
    if not name and selector is None:
        out.append(causes.required(field, "one of name or selector must be specified"))
    elif name:
        out += rules.checked(name, f"{field}.name", names.path_segment)
    elif selector is not None:
        out += selectors.validate_label_selector(selector, f"{field}.selector")
    action = ref.get("parameterNotFoundAction")
    return out + rules.one_of(action, f"{field}.parameterNotFoundAction", ("Deny", "Allow"))


def _one_of(value: str | None, field: str, supported: tuple[str, ...]) -> list[statuses.Cause]:
    """Complain about a value outside an enumeration, also about an empty one."""
    if value is None or value in supported:
        return []
    return [causes.unsupported(field, value, supported)]
