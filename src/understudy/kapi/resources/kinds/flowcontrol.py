"""FlowSchemas and PriorityLevelConfigurations.

Source: pkg/apis/flowcontrol/{v1,validation} @1.36. They are kept and checked; requests are not
queued by them.
"""

from __future__ import annotations

from typing import ClassVar

from understudy.kapi.resources import strategies
from understudy.kapi.resources.kinds import rules
from understudy.kube import causes, names, objects, statuses

_PRECEDENCE_MAX = 10_000
_VERBS = (
    "create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch",
)  # fmt: skip
_SUBJECT_KINDS = ("Group", "ServiceAccount", "User")


class FlowSchema(rules.Kind):
    """A FlowSchema."""

    status_is_separate: ClassVar[bool] = True
    has_generation: ClassVar[bool] = True

    def default(self, obj: objects.Object) -> None:
        spec = obj.setdefault("spec", {})
        if not spec.get("matchingPrecedence"):
            spec["matchingPrecedence"] = 1000

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        spec, name = obj.get("spec") or {}, objects.name_of(obj)
        out: list[statuses.Cause] = []
        precedence = spec.get("matchingPrecedence") or 0
        if not 1 <= precedence <= _PRECEDENCE_MAX:
            text = f"must be a value between 1 and {_PRECEDENCE_MAX} (both inclusive)"
            out.append(causes.invalid("spec.matchingPrecedence", precedence, text))
        if precedence == 1 and name != "exempt":
            text = "only the schema named 'exempt' may have matchingPrecedence 1"
            out.append(causes.invalid("spec.matchingPrecedence", precedence, text))
        level = (spec.get("priorityLevelConfiguration") or {}).get("name") or ""
        field = "spec.priorityLevelConfiguration.name"
        if not level:
            out.append(causes.required(field, "must reference a priority level"))
        else:
            out += rules.checked(level, field, names.dns_subdomain)
        method = spec.get("distinguisherMethod")
        if method is not None:
            out += rules.one_of(
                method.get("type"), "spec.distinguisherMethod.type", ("ByNamespace", "ByUser")
            )
        for index, rule in enumerate(spec.get("rules") or ()):
            out += _rule(rule, f"spec.rules[{index}]")
        return out

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        return self.validate_create(obj, context)


def _rule(rule: objects.Object, field: str) -> list[statuses.Cause]:
    out: list[statuses.Cause] = []
    subjects = rule.get("subjects") or []
    if not subjects:
        out.append(causes.required(f"{field}.subjects", "subjects must contain at least one value"))
    for index, subject in enumerate(subjects):
        out += _subject(subject, f"{field}.subjects[{index}]")
    resources, others = rule.get("resourceRules") or [], rule.get("nonResourceRules") or []
    if not resources and not others:
        text = "at least one of resourceRules and nonResourceRules has to be non-empty"
        out.append(causes.required(field, text))
    for index, one in enumerate(resources):
        at = f"{field}.resourceRules[{index}]"
        out += _listed(one.get("verbs"), f"{at}.verbs", _VERBS)
        out += _listed(one.get("apiGroups"), f"{at}.apiGroups")
        out += _listed(one.get("resources"), f"{at}.resources")
        if not one.get("namespaces") and not one.get("clusterScope"):
            text = "resource rules that are not cluster scoped must supply at least one namespace"
            out.append(causes.required(f"{at}.namespaces", text))
    for index, one in enumerate(others):
        at = f"{field}.nonResourceRules[{index}]"
        out += _listed(one.get("verbs"), f"{at}.verbs")
        out += _listed(one.get("nonResourceURLs"), f"{at}.nonResourceURLs")
    return out


def _listed(
    values: list[str] | None, field: str, supported: tuple[str, ...] = ()
) -> list[statuses.Cause]:
    name = field.rpartition(".")[2]
    if not values:
        return [causes.required(field, f"{name} must contain at least one value")]
    if len(values) > 1 and "*" in values:
        text = "if '*' is present, must not specify other " + name
        return [causes.invalid(field, values, text)]
    unknown = [value for value in values if supported and value not in {*supported, "*"}]
    if unknown:
        return [causes.unsupported(field, values, supported)]
    return []


def _subject(subject: objects.Object, field: str) -> list[statuses.Cause]:
    kind = subject.get("kind") or ""
    if kind not in _SUBJECT_KINDS:
        return [causes.unsupported(f"{field}.kind", kind, _SUBJECT_KINDS)]
    key = kind[0].lower() + kind[1:]
    out: list[statuses.Cause] = []
    for other in _SUBJECT_KINDS:
        at = other[0].lower() + other[1:]
        if other != kind and subject.get(at) is not None:
            out.append(
                causes.forbidden(
                    f"{field}.{at}", f"{at} is forbidden when subject kind is not '{other}'"
                )
            )
    body = subject.get(key)
    if body is None:
        text = f"{key} is required when subject kind is '{kind}'"
        return [*out, causes.required(f"{field}.{key}", text)]
    if not body.get("name"):
        out.append(causes.required(f"{field}.{key}.name"))
    if kind == "ServiceAccount" and not body.get("namespace"):
        text = "must specify namespace for service account"
        out.append(causes.required(f"{field}.{key}.namespace", text))
    return out


class PriorityLevelConfiguration(rules.Kind):
    """A PriorityLevelConfiguration."""

    status_is_separate: ClassVar[bool] = True
    has_generation: ClassVar[bool] = True

    def default(self, obj: objects.Object) -> None:
        spec = obj.setdefault("spec", {})
        exempt = spec.get("exempt")
        if spec.get("type") == "Exempt" and exempt is None:
            exempt = spec["exempt"] = {}
        if exempt is not None:
            exempt.setdefault("nominalConcurrencyShares", 0)
            exempt.setdefault("lendablePercent", 0)
        limited = spec.get("limited")
        if limited is None:
            return
        if limited.get("nominalConcurrencyShares") is None:
            limited["nominalConcurrencyShares"] = 30
        if limited.get("lendablePercent") is None:
            limited["lendablePercent"] = 0
        queuing = (limited.get("limitResponse") or {}).get("queuing")
        if queuing is not None:
            for key, value in (("queues", 64), ("handSize", 8), ("queueLengthLimit", 50)):
                if not queuing.get(key):
                    queuing[key] = value

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        spec, name = obj.get("spec") or {}, objects.name_of(obj)
        kind = spec.get("type") or ""
        out: list[statuses.Cause] = []
        if (name == "exempt") != (kind == "Exempt"):
            text = "type must be 'Exempt' if and only if name is 'exempt'"
            out.append(causes.invalid("spec.type", kind, text))
        if kind == "Exempt":
            if spec.get("limited") is not None:
                text = "must be nil if the type is not Limited"
                out.append(causes.forbidden("spec.limited", text))
        elif kind == "Limited":
            if spec.get("exempt") is not None:
                text = "must be nil if the type is Limited"
                out.append(causes.forbidden("spec.exempt", text))
            if spec.get("limited") is None:
                text = "must not be empty when type is Limited"
                out.append(causes.required("spec.limited", text))
            else:
                out += _limited(spec["limited"], "spec.limited")
        else:
            out.append(causes.unsupported("spec.type", kind, ("Exempt", "Limited")))
        return out

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        return self.validate_create(obj, context)


def _limited(limited: objects.Object, field: str) -> list[statuses.Cause]:
    out: list[statuses.Cause] = []
    shares = limited.get("nominalConcurrencyShares") or 0
    if shares < 0:
        text = "must be a non-negative integer"
        out.append(causes.invalid(f"{field}.nominalConcurrencyShares", shares, text))
    lendable = limited.get("lendablePercent") or 0
    if not 0 <= lendable <= 100:
        text = "must be between 0 and 100, inclusive"
        out.append(causes.invalid(f"{field}.lendablePercent", lendable, text))
    response = limited.get("limitResponse") or {}
    kind, queuing, at = (
        response.get("type") or "",
        response.get("queuing"),
        f"{field}.limitResponse",
    )
    if kind == "Reject":
        if queuing is not None:
            text = "must be nil if limited.limitResponse.type is not Limited"
            out.append(causes.forbidden(f"{at}.queuing", text))
    elif kind == "Queue":
        if queuing is None:
            text = "must not be empty if limited.limitResponse.type is Limited"
            out.append(causes.required(f"{at}.queuing", text))
        else:
            out += _queuing(queuing, f"{at}.queuing")
    else:
        out.append(causes.unsupported(f"{at}.type", kind, ("Queue", "Reject")))
    return out


def _queuing(queuing: objects.Object, field: str) -> list[statuses.Cause]:
    out = [
        causes.invalid(f"{field}.{key}", queuing.get(key, 0), "must be positive")
        for key in ("queueLengthLimit", "queues", "handSize")
        if queuing.get(key, 0) <= 0
    ]
    if not out and queuing["handSize"] > queuing["queues"]:
        text = f"should not be greater than queues ({queuing['queues']})"
        out.append(causes.invalid(f"{field}.handSize", queuing["handSize"], text))
    return out
