"""Node selectors, affinity terms, taints and tolerations: does a pod go with a node?

Source: k8s.io/component-helpers `scheduling/corev1`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from understudy.kube import objects


def matches_node(pod: objects.Object, node: objects.Object) -> bool:
    """Whether nodeSelector and the required node affinity accept a node."""
    spec = pod.get("spec") or {}
    labels = objects.labels_of(node)
    for key, value in (spec.get("nodeSelector") or {}).items():
        if labels.get(key) != value:
            return False
    terms = _required_terms(spec)
    return terms is None or any(_term_matches(term, node) for term in terms)


def only_nodes(pod: objects.Object) -> set[str] | None:
    """Return the names to which the pod is tied by metadata.name (a DaemonSet's), else None."""
    terms = _required_terms(pod.get("spec") or {})
    if not terms:
        return None
    names: set[str] = set()
    for term in terms:
        fields = [one for one in term.get("matchFields") or ()
                  if one.get("key") == "metadata.name" and one.get("operator") == "In"]  # fmt: skip
        if not fields:
            return None
        names.update(*(field.get("values") or () for field in fields))
    return names


def untolerated(
    taints: Iterable[objects.Object],
    tolerations: Iterable[objects.Object],
    effects: Iterable[str],
) -> objects.Object | None:
    """Return the first taint with one of the effects that nothing tolerates, or None."""
    wanted, accepted = set(effects), list(tolerations)
    for taint in taints:
        if taint.get("effect") in wanted and not any(tolerates(one, taint) for one in accepted):
            return taint
    return None


def tolerates(toleration: objects.Object, taint: objects.Object) -> bool:
    """Whether a toleration accepts a taint."""
    if toleration.get("effect") and toleration.get("effect") != taint.get("effect"):
        return False
    if toleration.get("key") and toleration.get("key") != taint.get("key"):
        return False
    match toleration.get("operator") or "Equal":
        case "Exists":
            return True
        case "Equal":
            return (toleration.get("value") or "") == (taint.get("value") or "")
        case _:
            return False


def _required_terms(spec: objects.Object) -> list[objects.Object] | None:
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return None
    terms: list[objects.Object] = required.get("nodeSelectorTerms") or []
    return terms


def _term_matches(term: objects.Object, node: objects.Object) -> bool:
    expressions = term.get("matchExpressions") or []
    fields = term.get("matchFields") or []
    if not expressions and not fields:
        return False
    named = {"metadata.name": objects.name_of(node)}
    return all(_holds(one, objects.labels_of(node)) for one in expressions) and all(
        _holds(one, named) for one in fields
    )


def node_selector_matches(selector: objects.Object, node: objects.Object) -> bool:
    """Whether a v1.NodeSelector (of a volume) accepts a node."""
    return any(_term_matches(term, node) for term in selector.get("nodeSelectorTerms") or ())


def _holds(requirement: objects.Object, labels: Mapping[str, str]) -> bool:
    value = labels.get(str(requirement.get("key")))
    values = requirement.get("values") or []
    match requirement.get("operator"):
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt" as operator:
            try:
                left, right = int(str(value)), int(values[0])
            except (ValueError, IndexError):
                return False
            return left > right if operator == "Gt" else left < right
        case _:
            return False
