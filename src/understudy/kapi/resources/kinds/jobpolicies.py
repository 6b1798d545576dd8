"""A Job's policies: when its pods' failures count, and when it has succeeded early.

Source: pkg/apis/batch/validation @1.36.
"""

from __future__ import annotations

from collections.abc import Sequence

from understudy.kube import causes, names, objects, statuses

Causes = list[statuses.Cause]

_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_OPERATORS = ("In", "NotIn")
_RULES_MAX = 20
_VALUES_MAX = 255
_PATTERNS_MAX = 20
_MANAGER_BYTES_MAX = 63
_SUCCEEDED_INDEXES_BYTES_MAX = 64 * 1024


def managed_by(value: str | None, field: str) -> Causes:
    """Check the controller's name: a domain-prefixed path of at most 63 bytes."""
    if value is None:
        return []
    out = domain_prefixed_path(value, field)
    if names.size(value) > _MANAGER_BYTES_MAX:
        out.append(causes.too_long(field, _MANAGER_BYTES_MAX))
    return out


def domain_prefixed_path(value: str, field: str) -> Causes:
    """Check a value such as `acme.io/foo`."""
    if not value:
        return [causes.required(field)]
    host, slash, path = value.partition("/")
    if not slash or not host or not path:
        text = 'must be a domain-prefixed path (such as "acme.io/foo")'
        return [causes.invalid(field, value, text)]
    out = causes.complaints(field, host, names.dns_subdomain(host))
    return out + causes.complaints(field, path, names.http_path(path))


def failure(policy: objects.Object, spec: objects.Object, field: str) -> Causes:
    """Check a podFailurePolicy."""
    listed = policy.get("rules") or []
    pod = (spec.get("template") or {}).get("spec") or {}
    containers = [
        one.get("name") for key in ("containers", "initContainers") for one in pod.get(key) or ()
    ]
    out: Causes = []
    if len(listed) > _RULES_MAX:
        out.append(causes.too_many(f"{field}.rules", len(listed), _RULES_MAX))
    for index, rule in enumerate(listed):
        path = f"{field}.rules[{index}]"
        action = rule.get("action") or ""
        if not action:
            out.append(causes.required(f"{path}.action", _valid(_ACTIONS)))
        elif action == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
            text = "requires the backoffLimitPerIndex to be set"
            out.append(causes.invalid(f"{path}.action", action, text))
        elif action not in _ACTIONS:
            out.append(causes.unsupported(f"{path}.action", action, _ACTIONS))
        codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions") or []
        if codes is not None:
            out += _exit_codes(codes, containers, f"{path}.onExitCodes")
        if conditions:
            out += _conditions(conditions, f"{path}.onPodConditions")
        if (codes is not None) != bool(conditions):
            continue
        text = "specifying both OnExitCodes and OnPodConditions is not supported"
        if codes is None:
            text = "specifying one of OnExitCodes and OnPodConditions is required"
        # The value itself is left out.
        out.append(statuses.Cause(path, "FieldValueInvalid", f"Invalid value: {text}"))
    return out


def _valid(values: Sequence[str]) -> str:
    """Say which values there are, as Go prints a list of quoted texts."""
    return f"valid values: [{' '.join(map(causes.quoted, values))}]"


def _exit_codes(codes: objects.Object, containers: Sequence[str | None], field: str) -> Causes:
    operator, values = codes.get("operator") or "", codes.get("values") or []
    out: Causes = []
    if not operator:
        out.append(causes.required(f"{field}.operator", _valid(_OPERATORS)))
    elif operator not in _OPERATORS:
        out.append(causes.unsupported(f"{field}.operator", operator, _OPERATORS))
    name = codes.get("containerName")
    if name is not None and name not in containers:
        text = "must be one of the container or initContainer names in the pod template"
        out.append(causes.invalid(f"{field}.containerName", name, text))
    at = f"{field}.values"
    if not values:
        out.append(causes.invalid(at, values or None, "at least one value is required"))
    elif len(values) > _VALUES_MAX:
        out.append(causes.too_many(at, len(values), _VALUES_MAX))
    ordered = True
    seen: set[int] = set()
    previous: int | None = None
    for index, value in enumerate(values):
        if operator == "In" and value == 0:
            text = "must not be 0 for the In operator"
            out.append(causes.invalid(f"{at}[{index}]", value, text))
        if value in seen:
            out.append(causes.duplicate(f"{at}[{index}]", value))
        seen.add(value)
        ordered = ordered and (previous is None or previous <= value)
        previous = value
    if not ordered:
        out.append(causes.invalid(at, values, "must be ordered"))
    return out


def _conditions(conditions: list[objects.Object], field: str) -> Causes:
    out: Causes = []
    if len(conditions) > _PATTERNS_MAX:
        out.append(causes.too_many(field, len(conditions), _PATTERNS_MAX))
    for index, one in enumerate(conditions):
        kind, status = one.get("type") or "", one.get("status") or ""
        at = f"{field}[{index}]"
        out += causes.complaints(f"{at}.type", kind, names.qualified_name(kind))
        known = ("False", "True", "Unknown")
        if not status:
            out.append(causes.required(f"{at}.status", _valid(known)))
        elif status not in known:
            out.append(causes.unsupported(f"{at}.status", status, known))
    return out


def success(policy: objects.Object, spec: objects.Object, field: str) -> Causes:
    """Check a successPolicy."""
    listed = policy.get("rules") or []
    at = f"{field}.rules"
    if not listed:
        text = "at least one rules must be specified when the successPolicy is specified"
        return [causes.required(at, text)]
    out: Causes = []
    if len(listed) > _RULES_MAX:
        out.append(causes.too_many(at, len(listed), _RULES_MAX))
    for index, rule in enumerate(listed):
        out += _success_rule(rule, spec, f"{at}[{index}]")
    return out


def _success_rule(rule: objects.Object, spec: objects.Object, field: str) -> Causes:
    count, indexes = rule.get("succeededCount"), rule.get("succeededIndexes")
    completions = spec.get("completions") or 0
    if count is None and indexes is None:
        text = "at least one of succeededCount or succeededIndexes must be specified"
        return [causes.required(field, text)]
    out: Causes = []
    listed = 0
    if indexes is not None:
        at = f"{field}.succeededIndexes"
        if names.size(indexes) > _SUCCEEDED_INDEXES_BYTES_MAX:
            out.append(causes.too_long(at, _SUCCEEDED_INDEXES_BYTES_MAX))
        listed, complaint = parse_indexes(indexes, completions)
        if complaint:
            text = f"error parsing succeededIndexes: {complaint}"
            out.append(causes.invalid(at, indexes, text))
    if count is not None:
        at = f"{field}.succeededCount"
        if count < 0:
            out.append(causes.invalid(at, count, causes.NEGATIVE))
        if count > completions:
            text = (
                f"must be less than or equal to {completions} (the number of specified completions)"
            )
            out.append(causes.invalid(at, count, text))
        if indexes is not None and count > listed:
            text = (
                f"must be less than or equal to {listed} (the number of indexes in the specified"
                " succeededIndexes field)"
            )
            out.append(causes.invalid(at, count, text))
    return out


def parse_indexes(text: str, completions: int) -> tuple[int, str]:
    """Return how many indexes `1,3-5` lists, and what is wrong with it, or nothing."""
    total, last = 0, -1
    for part in text.split(",") if text else ():
        first, end, complaint = _interval(part, completions)
        if complaint:
            return 0, complaint
        if first <= last:
            return 0, f"non-increasing order, previous: {last}, current: {first}"
        total += end - first + 1
        last = end
    return total, ""


def listed(text: str, completions: int) -> set[int]:
    """Return the indexes that `1,3-5` lists, without the parts that mean nothing."""
    found: set[int] = set()
    for part in text.split(",") if text else ():
        first, end, complaint = _interval(part, completions)
        if not complaint:
            found.update(range(first, end + 1))
    return found


def _interval(text: str, completions: int) -> tuple[int, int, str]:
    limits = text.split("-")
    if len(limits) > 2:
        return (
            0,
            0,
            f"the fragment {causes.quoted(text)} violates the requirement that an index"
            " interval can have at most two parts separated by '-'",
        )
    numbers: list[int] = []
    for one in limits:
        if not one.removeprefix("+").isdecimal() or not one.isascii():
            return 0, 0, f"cannot convert string to integer for index: {causes.quoted(one)}"
        if int(one) >= completions:
            return 0, 0, f"too large index: {causes.quoted(one)}"
        numbers.append(int(one))
    first, end = numbers[0], numbers[-1]
    if len(numbers) > 1 and first >= end:
        return 0, 0, f"non-increasing order, previous: {first}, current: {end}"
    return first, end, ""
