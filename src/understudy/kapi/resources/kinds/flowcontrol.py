"""FlowSchemas and PriorityLevelConfigurations.

Source: pkg/apis/flowcontrol/{v1,validation} @1.36. They are kept and checked; requests are not
queued by them.
"""

from __future__ import annotations

import math
from typing import ClassVar

from understudy.kapi.resources import strategies
from understudy.kapi.resources.kinds import rules
from understudy.kube import causes, names, objects, statuses

Causes = list[statuses.Cause]

_PRECEDENCE_MAX = 10_000
_QUEUES_MAX = 10_000_000
_HASH_BITS_MAX = 60
_VERBS = (
    "create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch",
)  # fmt: skip
_METHODS = ("ByNamespace", "ByUser")
_SUBJECT_KINDS = ("Group", "ServiceAccount", "User")
_NAMESPACES = "each member of this list must be '*' or a DNS-1123 label; "


def _conditions(status: objects.Object) -> Causes:
    out: Causes = []
    seen: set[str] = set()
    for index, one in enumerate(status.get("conditions") or ()):
        kind, at = one.get("type") or "", f"status.conditions[{index}].type"
        if kind in seen:
            out.append(causes.duplicate(at, kind))
        seen.add(kind)
        if not kind:
            out.append(causes.required(at, "must not be empty"))
    return out


class FlowSchema(rules.Kind):
    """A FlowSchema."""

    metadata_checks: ClassVar[names.MetadataChecks] = names.MetadataChecks(1, 0, True)
    status_is_separate: ClassVar[bool] = True
    resets_metadata: ClassVar[bool] = True
    has_generation: ClassVar[bool] = True

    def default(self, obj: objects.Object) -> None:
        spec = obj.setdefault("spec", {})
        if not spec.get("matchingPrecedence"):
            spec["matchingPrecedence"] = 1000

    def validate_create(
        self, obj: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        return _schema(obj.get("spec") or {}, objects.name_of(obj))

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        if context.subresource == "status":
            return _conditions(obj.get("status") or {})
        return _schema(obj.get("spec") or {}, objects.name_of(obj))


def _schema(spec: objects.Object, name: str) -> Causes:
    out: Causes = []
    precedence, at = spec.get("matchingPrecedence") or 0, "spec.matchingPrecedence"
    if precedence <= 0:
        out.append(causes.invalid(at, precedence, "must be a positive value"))
    if precedence > _PRECEDENCE_MAX:
        text = f"must not be greater than {_PRECEDENCE_MAX}"
        out.append(causes.invalid(at, precedence, text))
    if precedence == 1 and name != "exempt":
        text = "only the schema named 'exempt' may have matchingPrecedence 1"
        out.append(causes.invalid(at, precedence, text))
    method = spec.get("distinguisherMethod")
    if method is not None and method.get("type") not in _METHODS:
        shown = {"Type": method.get("type") or ""}
        out.append(causes.unsupported("spec.distinguisherMethod.type", shown, _METHODS))
    level = (spec.get("priorityLevelConfiguration") or {}).get("name") or ""
    at = "spec.priorityLevelConfiguration.name"
    if not level:
        out.append(causes.required(at, "must reference a priority level"))
    else:
        out += causes.complaints(at, level, names.dns_subdomain(level))
    for index, rule in enumerate(spec.get("rules") or ()):
        out += _rule(rule, f"spec.rules[{index}]")
    return out


def _rule(rule: objects.Object, field: str) -> Causes:
    out: Causes = []
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
        out += _resource_rule(one, f"{field}.resourceRules[{index}]")
    for index, one in enumerate(others):
        at = f"{field}.nonResourceRules[{index}]"
        out += _verbs(one.get("verbs") or [], f"{at}.verbs")
        urls = one.get("nonResourceURLs") or []
        out += _alone(
            urls, f"{at}.nonResourceURLs", "non-resource URLs",
            "nonResourceURLs must contain at least one value",
        )  # fmt: skip
        if "*" not in urls:
            for number, url in enumerate(urls):
                out += _url(url, f"{at}.nonResourceURLs[{number}]")
    return out


def _resource_rule(rule: objects.Object, field: str) -> Causes:
    out = _verbs(rule.get("verbs") or [], f"{field}.verbs")
    for key, one, many in (
        ("apiGroups", "api group", "api groups"),
        ("resources", "resource", "resources"),
    ):
        text = f"resource rules must supply at least one {one}"
        out += _alone(rule.get(key) or [], f"{field}.{key}", many, text)
    namespaces, at = rule.get("namespaces") or [], f"{field}.namespaces"
    if namespaces or not rule.get("clusterScope"):
        text = "resource rules that are not cluster scoped must supply at least one namespace"
        out += _alone(namespaces, at, "namespaces", text)
    if "*" not in namespaces:
        for index, name in enumerate(namespaces):
            texts = [_NAMESPACES + text for text in names.dns_label(name)]
            out += causes.complaints(f"{at}[{index}]", name, texts)
    return out


def _verbs(verbs: list[str], field: str) -> Causes:
    out = _alone(verbs, field, "verbs", "verbs must contain at least one value")
    if "*" not in verbs and not set(verbs) <= set(_VERBS):
        out.append(causes.unsupported(field, verbs, _VERBS))
    return out


def _alone(values: list[str], field: str, what: str, missing: str) -> Causes:
    """Check that there are values, and that `*` stands alone."""
    if not values:
        return [causes.required(field, missing)]
    if len(values) > 1 and "*" in values:
        text = f"if '*' is present, must not specify other {what}"
        return [causes.invalid(field, values, text)]
    return []


def _url(url: str, field: str) -> Causes:
    if url == "/":
        return []
    if not url:
        text = "must not be empty"
    elif not url.startswith("/"):
        text = "must start with slash"
    elif " " in url:
        text = "must not contain white-space"
    elif "//" in url:
        text = "must not contain double slash"
    elif "*" in url and (url.count("*") > 1 or not url.endswith("/*")):
        text = "wildcard can only do suffix matching"
    else:
        return []
    return [causes.invalid(field, url, text)]


def _subject(subject: objects.Object, field: str) -> Causes:
    kind = subject.get("kind") or ""
    if kind not in _SUBJECT_KINDS:
        return [causes.unsupported(f"{field}.kind", kind, _SUBJECT_KINDS)]
    out: Causes = []
    for other in _SUBJECT_KINDS:
        key = other[:1].lower() + other[1:]
        body, at = subject.get(key), f"{field}.{key}"
        if other != kind:
            if body is not None:
                text = f"{key} is forbidden when subject kind is not '{other}'"
                out.append(causes.forbidden(at, text))
            continue
        if body is None:
            out.append(causes.required(at, f"{key} is required when subject kind is '{kind}'"))
            continue
        name = body.get("name") or ""
        if not name:
            out.append(causes.required(f"{at}.name"))
        if kind != "ServiceAccount":
            continue
        if name not in {"", "*"}:
            out += causes.complaints(f"{at}.name", name, names.dns_subdomain(name))
        namespace = body.get("namespace") or ""
        if not namespace:
            text = "must specify namespace for service account"
            out.append(causes.required(f"{at}.namespace", text))
        else:
            out += causes.complaints(f"{at}.namespace", namespace, names.dns_label(namespace))
    return out


class PriorityLevelConfiguration(rules.Kind):
    """A PriorityLevelConfiguration."""

    metadata_checks: ClassVar[names.MetadataChecks] = names.MetadataChecks(1, 0, True)
    status_is_separate: ClassVar[bool] = True
    resets_metadata: ClassVar[bool] = True
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
        return _level(obj.get("spec") or {}, objects.name_of(obj))

    def validate_update(
        self, obj: objects.Object, old: objects.Object, context: strategies.WriteContext
    ) -> list[statuses.Cause]:
        if context.subresource == "status":
            return _conditions(obj.get("status") or {})
        return _level(obj.get("spec") or {}, objects.name_of(obj))


def _level(spec: objects.Object, name: str) -> Causes:
    kind, limited, exempt = spec.get("type") or "", spec.get("limited"), spec.get("exempt")
    out: Causes = []
    if (name == "exempt") != (kind == "Exempt"):
        text = "must be 'Exempt' if and only if `name` is 'exempt'"
        out.append(causes.invalid("spec.type", kind, text))
    if kind == "Exempt":
        if limited is not None:
            text = "must be nil if the type is not Limited"
            out.append(causes.forbidden("spec.limited", text))
        if exempt is not None:
            out += _shares(exempt, "spec.exempt")
    elif kind == "Limited":
        if exempt is not None:
            text = "must be nil if the type is Limited"
            out.append(causes.forbidden("spec.exempt", text))
        if limited is None:
            text = "must not be empty when type is Limited"
            out.append(causes.required("spec.limited", text))
        else:
            out += _limited(limited, "spec.limited")
    else:
        out.append(causes.unsupported("spec.type", kind, ("Exempt", "Limited")))
    return out


def _shares(holder: objects.Object, field: str) -> Causes:
    out: Causes = []
    shares, lendable = holder.get("nominalConcurrencyShares") or 0, holder.get("lendablePercent")
    if shares < 0:
        text = "must be a non-negative integer"
        out.append(causes.invalid(f"{field}.nominalConcurrencyShares", shares, text))
    if lendable is not None and not 0 <= lendable <= 100:
        text = "must be between 0 and 100, inclusive"
        out.append(causes.invalid(f"{field}.lendablePercent", lendable, text))
    return out


def _limited(limited: objects.Object, field: str) -> Causes:
    out = _shares(limited, field)
    borrowing = limited.get("borrowingLimitPercent")
    if borrowing is not None and borrowing < 0:
        text = "if specified, must be a non-negative integer"
        out.append(causes.invalid(f"{field}.borrowingLimitPercent", borrowing, text))
    response, at = limited.get("limitResponse") or {}, f"{field}.limitResponse"
    kind, queuing = response.get("type") or "", response.get("queuing")
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


def _queuing(queuing: objects.Object, field: str) -> Causes:
    length, queues, hand = (
        queuing.get(key) or 0 for key in ("queueLengthLimit", "queues", "handSize")
    )
    out: Causes = []
    if length <= 0:
        out.append(causes.invalid(f"{field}.queueLengthLimit", length, "must be positive"))
    if queues <= 0:
        out.append(causes.invalid(f"{field}.queues", queues, "must be positive"))
    elif queues > _QUEUES_MAX:
        text = f"must not be greater than {_QUEUES_MAX}"
        out.append(causes.invalid(f"{field}.queues", queues, text))
    at = f"{field}.handSize"
    if hand <= 0:
        out.append(causes.invalid(at, hand, "must be positive"))
    elif hand > queues:
        text = f"should not be greater than queues ({queues})"
        out.append(causes.invalid(at, hand, text))
    elif math.ceil(math.log2(queues) * hand) > _HASH_BITS_MAX:
        # Each card of a hand is drawn with the bits that one of `queues` cards takes.
        text = (
            f"required entropy bits of deckSize {queues} and handSize {hand} should not be greater"
            f" than {_HASH_BITS_MAX}"
        )
        out.append(causes.invalid(at, hand, text))
    return out
