"""The authorizer that policies may ask: what it is asked, and CEL's functions on it.

    authorizer.group('apps').resource('deployments').namespace('x').check('create').allowed()

Source: k8s.io/apiserver 0.36 `cel/library/authz.go`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from understudy.kube import names, objects
from understudy.kube.cel import errors, standard


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """May somebody do this?

    Attributes:
        service_account: Who, as `namespace/name`; empty for whoever makes the request.
        path: A path that is no resource; empty for a question on a resource.
    """

    service_account: str = ""
    verb: str = ""
    path: str = ""
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The answer; `reason` may be empty, `error` mostly is."""

    allowed: bool
    reason: str = ""
    error: str = ""


Ask = Callable[[Question], Decision]


@dataclass(frozen=True, slots=True)
class Check:
    """An Authorizer, PathCheck, GroupCheck or ResourceCheck: a question still being put."""

    ask: Ask
    question: Question

    def narrowed(self, **parts: str) -> Check:
        """Return the question with further parts."""
        return Check(self.ask, replace(self.question, **parts))


def _path(check: Check, path: str) -> Check:
    if not path.strip():
        raise errors.EvaluationError("path must not be empty")
    return check.narrowed(path=path)


def _service_account(check: Check, namespace: str, name: str) -> Check:
    if names.dns_subdomain(name):
        raise errors.EvaluationError("Invalid service account name")
    if names.dns_label(namespace):
        raise errors.EvaluationError("Invalid service account namespace")
    return check.narrowed(service_account=f"{namespace}/{name}")


def _resource(check: Check, resource: str) -> Check:
    if not resource.strip():
        raise errors.EvaluationError("resource must not be empty")
    return check.narrowed(resource=resource)


def _part(field: str) -> Callable[[Check, str], Check]:
    return lambda check, value: check.narrowed(**{field: value})


def _decide(check: Check, verb: str) -> Decision:
    return check.ask(replace(check.question, verb=verb))


def _selected(check: Check, _: objects.Json) -> Check:
    # Rules of roles know no selectors: what is allowed is allowed for any selection.
    return check


FUNCTIONS: dict[str, standard.Function] = {
    "authorizer_path": _path,
    "authorizer_group": _part("group"),
    "authorizer_serviceaccount": _service_account,
    "groupcheck_resource": _resource,
    "resourcecheck_subresource": _part("subresource"),
    "resourcecheck_namespace": _part("namespace"),
    "resourcecheck_name": _part("name"),
    "authorizer_fieldselector": _selected,
    "authorizer_labelselector": _selected,
    "pathcheck_check": _decide,
    "resourcecheck_check": _decide,
    "decision_errored": lambda decision: bool(decision.error),
    "decision_error": lambda decision: decision.error,
    "decision_allowed": lambda decision: decision.allowed,
    "decision_reason": lambda decision: decision.reason,
}
