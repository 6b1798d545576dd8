"""Where pods may run: affinity, tolerations, spread constraints, node selectors, taints.

Source: pkg/apis/core/validation @1.36.
"""

from __future__ import annotations

from understudy.kapi.resources.kinds import gotypes
from understudy.kube import causes, names, objects, selectors, statuses

Causes = list[statuses.Cause]

TAINT_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_SCHEDULE_ACTIONS = ("DoNotSchedule", "ScheduleAnyway")
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def affinity(value: objects.Object, field: str) -> Causes:
    """Check an Affinity."""
    out: Causes = []
    if node := value.get("nodeAffinity"):
        path = f"{field}.nodeAffinity"
        if (required := node.get(_REQUIRED)) is not None:
            out += node_selector(required, f"{path}.{_REQUIRED}")
        for index, term in enumerate(node.get(_PREFERRED) or ()):
            at = f"{path}.{_PREFERRED}[{index}]"
            out += _weight(term, at)
            preference = term.get("preference") or {}
            out += node_selector_term(preference, f"{at}.preference", check_values=False)
    for kind in ("podAffinity", "podAntiAffinity"):
        pods = value.get(kind)
        if not pods:
            continue
        path = f"{field}.{kind}"
        for index, term in enumerate(pods.get(_REQUIRED) or ()):
            out += _pod_term(term, f"{path}.{_REQUIRED}[{index}]")
        for index, term in enumerate(pods.get(_PREFERRED) or ()):
            at = f"{path}.{_PREFERRED}[{index}]"
            out += _weight(term, at)
            out += _pod_term(term.get("podAffinityTerm") or {}, f"{at}.podAffinityTerm")
    return out


def _weight(term: objects.Object, field: str) -> Causes:
    weight = term.get("weight") or 0
    if 1 <= weight <= 100:
        return []
    return [causes.invalid(f"{field}.weight", weight, "must be in the range 1-100")]


def node_selector(value: objects.Object, field: str) -> Causes:
    """Check a NodeSelector, whose terms are alternatives."""
    path = f"{field}.nodeSelectorTerms"
    terms = value.get("nodeSelectorTerms")
    if not terms:
        return [causes.required(path, "must have at least one node selector term")]
    out: Causes = []
    for index, term in enumerate(terms):
        out += node_selector_term(term, f"{path}[{index}]")
    return out


def node_selector_term(term: objects.Object, field: str, *, check_values: bool = True) -> Causes:
    """Check one term: conditions on labels, and on metadata.name."""
    out: Causes = []
    for index, one in enumerate(term.get("matchExpressions") or ()):
        out += _node_requirement(one, f"{field}.matchExpressions[{index}]", check_values)
    for index, one in enumerate(term.get("matchFields") or ()):
        out += _node_field(one, f"{field}.matchFields[{index}]")
    return out


def _node_requirement(one: objects.Object, field: str, check_values: bool) -> Causes:
    out: Causes = []
    values = one.get("values") or ()
    match one.get("operator") or "":
        case "In" | "NotIn":
            if not values:
                text = "must be specified when `operator` is 'In' or 'NotIn'"
                out.append(causes.required(f"{field}.values", text))
        case "Exists" | "DoesNotExist":
            if values:
                text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                out.append(causes.forbidden(f"{field}.values", text))
        case "Gt" | "Lt":
            if len(values) != 1:
                text = "must be specified single value when `operator` is 'Lt' or 'Gt'"
                out.append(causes.required(f"{field}.values", text))
        case operator:
            text = "not a valid selector operator"
            out.append(causes.invalid(f"{field}.operator", operator, text))
    key = one.get("key") or ""
    out += causes.complaints(f"{field}.key", key, names.label_key(key))
    if check_values:
        for index, value in enumerate(values):
            out += causes.complaints(f"{field}.values[{index}]", value, names.label_value(value))
    return out


def _node_field(one: objects.Object, field: str) -> Causes:
    out: Causes = []
    values = one.get("values") or ()
    operator, key = one.get("operator") or "", one.get("key") or ""
    if operator not in {"In", "NotIn"}:
        text = "not a valid selector operator"
        out.append(causes.invalid(f"{field}.operator", operator, text))
    elif len(values) != 1:
        text = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        out.append(causes.required(f"{field}.values", text))
    if key != "metadata.name":
        out.append(causes.invalid(f"{field}.key", key, "not a valid field selector key"))
        return out
    for index, value in enumerate(values):
        out += causes.complaints(f"{field}.values[{index}]", value, names.dns_subdomain(value))
    return out


def _pod_term(term: objects.Object, field: str) -> Causes:
    selector = term.get("labelSelector")
    out = selectors.validate_label_selector(selector, f"{field}.labelSelector")
    out += selectors.validate_label_selector(
        term.get("namespaceSelector"), f"{field}.namespaceSelector"
    )
    for name in term.get("namespaces") or ():
        out += causes.complaints(f"{field}.namespace", name, names.dns_label(name))
    out += _label_keys(term, selector, field)
    topology = term.get("topologyKey") or ""
    if not topology:
        out.append(causes.required(f"{field}.topologyKey", "can not be empty"))
    return out + causes.complaints(f"{field}.topologyKey", topology, names.label_key(topology))


def _label_keys(term: objects.Object, selector: objects.Object | None, field: str) -> Causes:
    """Check matchLabelKeys and mismatchLabelKeys against each other and the selector."""
    out: Causes = []
    match_keys = term.get("matchLabelKeys") or []
    mismatch_keys = term.get("mismatchLabelKeys") or []
    for name, keys in (("matchLabelKeys", match_keys), ("mismatchLabelKeys", mismatch_keys)):
        if keys and selector is None:
            text = "must not be specified when labelSelector is not set"
            out.append(causes.forbidden(f"{field}.{name}", text))
        elif keys:
            for index, key in enumerate(keys):
                at = f"{field}.{name}[{index}]"
                out += causes.complaints(at, key, names.label_key(key))
    if selector is not None:
        known = set(selector.get("matchLabels") or {})
        for expression in selector.get("matchExpressions") or ():
            key = expression.get("key")
            if key in match_keys and key in known:
                text = "exists in both matchLabelKeys and labelSelector"
                last = len(match_keys) - 1 - match_keys[::-1].index(key)
                out.append(causes.invalid(f"{field}[{last}]", key, text))
            known.add(key)
    for index, key in enumerate(match_keys):
        if key in mismatch_keys:
            text = "exists in both matchLabelKeys and mismatchLabelKeys"
            out.append(causes.invalid(f"{field}.matchLabelKeys[{index}]", key, text))
    return out


def tolerations(values: list[objects.Object], field: str) -> Causes:
    """Check tolerations."""
    out: Causes = []
    for index, one in enumerate(values):
        key, operator = one.get("key") or "", one.get("operator") or ""
        effect = one.get("effect") or ""
        is_plain = operator == "Exists" and effect == "NoExecute" and "value" not in one
        if is_plain and (not key or names.is_label_key(key)):
            continue
        path = f"{field}[{index}]"
        if key:
            out += causes.complaints(f"{path}.key", key, names.label_key(key))
        elif operator != "Exists":
            text = (
                "operator must be Exists when `key` is empty, which means"
                ' "match all values and all keys"'
            )
            out.append(causes.invalid(f"{path}.operator", operator, text))
        if effect != "NoExecute" and one.get("tolerationSeconds") is not None:
            text = "effect must be 'NoExecute' when `tolerationSeconds` is set"
            out.append(causes.invalid(f"{path}.effect", effect, text))
        out += _toleration_operator(one, f"{path}.operator")
        if effect and effect not in TAINT_EFFECTS:
            out.append(causes.unsupported(f"{path}.effect", effect, TAINT_EFFECTS))
    return out


def _toleration_operator(one: objects.Object, field: str) -> Causes:
    operator, value = one.get("operator") or "", one.get("value") or ""
    match operator:
        case "Equal" | "":
            complaints = names.label_value(value) if value else []
            return [causes.invalid(field, value, ";".join(complaints))] if complaints else []
        case "Exists":
            text = "value must be empty when `operator` is 'Exists'"
            if not value:
                return []
            return [causes.invalid(field, gotypes.internal(one, "Toleration"), text)]
        case _:
            return [causes.unsupported(field, operator, ("Equal", "Exists"))]


def spread_constraints(values: list[objects.Object], field: str) -> Causes:
    """Check topologySpreadConstraints."""
    out: Causes = []
    for index, one in enumerate(values):
        path = f"{field}[{index}]"
        skew, key = one.get("maxSkew") or 0, one.get("topologyKey") or ""
        action = one.get("whenUnsatisfiable") or ""
        if skew <= 0:
            out.append(causes.invalid(f"{path}.maxSkew", skew, "must be greater than zero"))
        if not key:
            out.append(causes.required(f"{path}.topologyKey", "can not be empty"))
        if action not in _SCHEDULE_ACTIONS:
            out.append(causes.unsupported(f"{path}.whenUnsatisfiable", action, _SCHEDULE_ACTIONS))
        for other in values[index + 1 :]:
            if (other.get("topologyKey") or "") == key and (
                other.get("whenUnsatisfiable") or ""
            ) == action:
                at = f"{path}.{{topologyKey, whenUnsatisfiable}}"
                out.append(causes.duplicate(at, f"{{{key}, {action}}}"))
                break
        out += _spread_details(one, action, path)
    return out


def _spread_details(one: objects.Object, action: str, path: str) -> Causes:
    out: Causes = []
    if (domains := one.get("minDomains")) is not None:
        if domains <= 0:
            out.append(causes.invalid(f"{path}.minDomains", domains, "must be greater than zero"))
        if action != "DoNotSchedule":
            text = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"
            out.append(causes.invalid(f"{path}.minDomains", domains, text))
    for name in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
        policy = one.get(name)
        if policy is not None and policy not in {"Honor", "Ignore"}:
            out.append(causes.unsupported(f"{path}.{name}", policy, ("Honor", "Ignore")))
    selector = one.get("labelSelector")
    keys = one.get("matchLabelKeys") or ()
    at = f"{path}.matchLabelKeys"
    if keys and selector is None:
        text = "must not be specified when labelSelector is not set"
        out.append(causes.forbidden(at, text))
    known = set((selector or {}).get("matchLabels") or {})
    known |= {e.get("key") for e in (selector or {}).get("matchExpressions") or ()}
    for index, key in enumerate(keys):
        out += causes.complaints(f"{at}[{index}]", key, names.label_key(key))
        if key in known:
            text = "exists in both matchLabelKeys and labelSelector"
            out.append(causes.invalid(f"{at}[{index}]", key, text))
    return out + selectors.validate_label_selector(selector, f"{path}.labelSelector")


def taints(values: list[objects.Object], field: str) -> Causes:
    """Check a node's taints, unique by key and effect."""
    out: Causes = []
    seen: set[tuple[str, str]] = set()
    for index, one in enumerate(values):
        path = f"{field}[{index}]"
        key, value, effect = (one.get(name) or "" for name in ("key", "value", "effect"))
        out += causes.complaints(f"{path}.key", key, names.label_key(key))
        if complaints := names.label_value(value):
            out.append(causes.invalid(f"{path}.value", value, ";".join(complaints)))
        if not effect:
            out.append(causes.required(f"{path}.effect"))
        elif effect not in TAINT_EFFECTS:
            out.append(causes.unsupported(f"{path}.effect", effect, TAINT_EFFECTS))
        if (key, effect) in seen:
            shown = {"Key": key, "Value": value, "Effect": effect, "TimeAdded": None}
            cause = causes.duplicate(path, shown)
            text = f"{cause.message}: taints must be unique by key and effect pair"
            out.append(statuses.Cause(path, cause.reason, text))
        seen.add((key, effect))
    return out


def only_added_tolerations(
    new: list[objects.Object], old: list[objects.Object], field: str
) -> Causes:
    """Check that every old toleration is still there, but for its tolerationSeconds."""

    def bare(one: objects.Object) -> objects.Object:
        return {key: value for key, value in one.items() if key != "tolerationSeconds"}

    kept = [bare(one) for one in new]
    if any(bare(one) not in kept for one in old):
        text = "existing toleration can not be modified except its tolerationSeconds"
        return [causes.forbidden(field, text)]
    return tolerations(new, field)
