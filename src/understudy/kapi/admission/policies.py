"""ValidatingAdmissionPolicy: refuses, or warns of, what the view's own policies do not allow.

Policies and their bindings are read from the view itself, so a sandbox can try one out. What is
compiled is kept as long as neither changes.
Source: k8s.io/apiserver 0.36 `admission/plugin/policy/{generic,validating}`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from understudy.kapi.admission import chain, evaluations, matching, pods
from understudy.kapi.resources import catalogue, policies as expressions, strategies
from understudy.kube import identities, objects, selectors, statuses
from understudy.kube.cel import authorizing, types

Authorize = Callable[
    [strategies.Reader, strategies.UserInfo, authorizing.Question], authorizing.Decision
]
"""Answers what policies ask: may this user, in this view, do that?"""

POLICIES = "validatingadmissionpolicies.admissionregistration.k8s.io"
BINDINGS = "validatingadmissionpolicybindings.admissionregistration.k8s.io"
MESSAGE_BYTES_MAX = 5 * 1024
_CODES = {"Forbidden": 403, "Unauthorized": 401, "RequestEntityTooLarge": 413}
_NO_PARAMS = "no params found for policy binding with `Deny` parameterNotFoundAction"


def allow_all(*_: object) -> authorizing.Decision:
    """Allow everything: what a view without users answers."""
    return authorizing.Decision(allowed=True)


class Denial(NamedTuple):
    """One decision against a request."""

    message: str
    reason: str = "Invalid"


class _ConfigurationError(Exception):
    """A binding refers to what is not there."""


class _Validation(NamedTuple):
    expression: str
    compiled: evaluations.Compiled
    message: str
    message_expression: str
    message_compiled: evaluations.Compiled | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Binding:
    name: str
    criteria: matching.Criteria
    actions: tuple[str, ...]
    param_ref: objects.Object | None


class _Policy:
    """One policy, compiled."""

    def __init__(self, policy: objects.Object) -> None:
        spec: objects.Object = policy["spec"]
        self.name = objects.name_of(policy)
        self.ignores_failures = spec.get("failurePolicy") == "Ignore"
        self.criteria = matching.Criteria(spec.get("matchConstraints") or {})
        self.param_kind: objects.Object | None = spec.get("paramKind")
        params = self.param_kind is not None
        known, self.named = expressions.variables_of(spec, params=params)
        self._params, self._known = params, known
        self.conditions = evaluations.Conditions(
            (one["expression"] for one in spec.get("matchConditions") or ()),
            lambda text: self._compile(text, (types.BOOL,)),
            self.named,
        )
        self.validations = [self._validation(one) for one in spec.get("validations") or ()]

    def _compile(
        self, text: str, wanted: tuple[types.Type, ...], *, authorizer: bool = True
    ) -> evaluations.Compiled:
        try:
            return expressions.compile(
                text, wanted, params=self._params, authorizer=authorizer, variables=self._known
            )
        except expressions.PolicyError as error:
            return error

    def _validation(self, one: objects.Object) -> _Validation:
        said = str(one.get("messageExpression") or "")
        compiled = self._compile(said, (types.STRING,), authorizer=False) if said else None
        return _Validation(
            expression=one["expression"],
            compiled=self._compile(one["expression"], (types.BOOL,)),
            message=str(one.get("message") or "").strip(),
            message_expression=said,
            message_compiled=compiled,
            reason=str(one.get("reason") or "Invalid"),
        )

    # ------------------------------------------------------------------ parameters

    def param_resource(self, reader: chain.Reader) -> catalogue.Resource | None:
        """Return the resource of spec.paramKind; None where there is no paramKind.

        Raises:
            _ConfigurationError: The view does not serve it.
        """
        kind = self.param_kind
        if kind is None:
            return None
        resource = reader.catalogue.by_kind(kind["apiVersion"], kind["kind"])
        if resource is None:
            group, version = identities.split_api_version(kind["apiVersion"])
            where = f"{group}/{version}, Kind={kind['kind']}"
            text = f"failed to find resource referenced by paramKind: '{where}'"
            raise _ConfigurationError(f"failed to configure policy: {text}")
        return resource

    def parameters(
        self,
        resource: catalogue.Resource | None,
        binding: _Binding,
        attributes: chain.Attributes,
    ) -> list[objects.Object | None]:
        """Return what a binding's paramRef names; one None where parameters are not used.

        Raises:
            _ConfigurationError: The objects are not there.
        """
        ref = binding.param_ref
        if resource is None or ref is None:
            return [None]
        found = list(self._selected(ref, resource, attributes))
        if not found and ref.get("parameterNotFoundAction") == "Deny":
            raise _ConfigurationError(f"failed to configure binding: {_NO_PARAMS}")
        return [*found]

    @staticmethod
    def _selected(
        ref: objects.Object, resource: catalogue.Resource, attributes: chain.Attributes
    ) -> Iterator[objects.Object]:
        said = str(ref.get("namespace") or "")
        namespace = said or matching.namespace_of(attributes)
        if not resource.namespaced:
            if said:
                text = "paramRef.namespace must not be provided for a cluster-scoped `paramKind`"
                raise _ConfigurationError(f"failed to configure binding: {text}")
            namespace = ""
        elif not namespace:
            text = (
                "cannot use namespaced paramRef in policy binding that matches cluster-scoped "
                "resources"
            )
            raise _ConfigurationError(f"failed to configure binding: {text}")
        name = f"{resource.plural}.{resource.version}.{resource.group}"
        if ref.get("name"):
            found = attributes.reader.find(name, namespace, ref["name"])
            if found is not None:
                yield found
            return
        selector = selectors.from_label_selector(ref.get("selector") or {})
        for candidate in attributes.reader.each(name, namespace):
            if selector.matches(objects.labels_of(candidate)):
                yield candidate

    # ------------------------------------------------------------------ decisions

    def denials(
        self, frame: dict[str, objects.Json], parameters: objects.Object | None
    ) -> list[Denial]:
        """Return every decision against a request under one set of parameters."""
        frame = {**frame, "params": parameters}
        try:
            if not self.conditions.hold(frame):
                return []
            evaluator = evaluations.Evaluator(frame, self.named, evaluations.BUDGET)
            results = [self._decide(one, evaluator) for one in self.validations]
            return [result for result in results if result is not None]
        except (evaluations.BudgetError, evaluations.FailedError) as error:
            return [] if self.ignores_failures else [Denial(str(error))]

    def _decide(self, one: _Validation, evaluator: evaluations.Evaluator) -> Denial | None:
        try:
            if evaluator.value(one.compiled, one.expression) is True:
                return None
        except evaluations.FailedError as error:
            return None if self.ignores_failures else Denial(str(error))
        message = self._message(one, evaluator)
        message = message or one.message or f"failed expression: {one.expression.strip()}"
        return Denial(message, one.reason)

    @staticmethod
    def _message(one: _Validation, evaluator: evaluations.Evaluator) -> str:
        if one.message_compiled is None:
            return ""
        try:
            value = evaluator.value(one.message_compiled, one.message_expression)
        except evaluations.FailedError:
            return ""
        message = value.strip() if isinstance(value, str) else ""
        fits = len(message.encode()) <= MESSAGE_BYTES_MAX and "\n" not in message
        return message if fits else ""


class ValidatingAdmissionPolicy:
    """Applies every policy that a binding turns on."""

    name = "ValidatingAdmissionPolicy"

    def __init__(self, authorize: Authorize = allow_all) -> None:
        self._authorize = authorize

    def handles(self, attributes: chain.Attributes) -> bool:
        """Say whether the view has bindings at all, and the write is not to one of them."""
        return bool(_bindings(attributes.reader)) and not matching.is_exempt(attributes)

    def mutate(self, attributes: chain.Attributes) -> None:
        """Change nothing."""

    def validate(self, attributes: chain.Attributes) -> None:
        """Refuse what is denied, by the first denial; warn of what is to be warned of.

        Raises:
            ApiError: With the reason of the expression that was not met, Invalid by default.
        """
        bindings = _bindings(attributes.reader)
        denied: list[statuses.ApiError] = []
        for policy in _policies(attributes.reader):
            if policy.name not in bindings:
                continue
            matched = policy.criteria.match(attributes)
            if matched is not None:
                denied += self._under(policy, bindings[policy.name], attributes, matched)
        if denied:
            denied[0].warnings = tuple(attributes.warnings)
            raise denied[0]

    def _under(
        self,
        policy: _Policy,
        bindings: list[_Binding],
        attributes: chain.Attributes,
        matched: catalogue.Resource,
    ) -> Iterator[statuses.ApiError]:
        """Judge a request under each binding of a policy; yields refusals."""
        try:
            resource = policy.param_resource(attributes.reader)
        except _ConfigurationError as error:
            if not policy.ignores_failures:
                yield _refusal(attributes, policy, None, Denial(str(error)))
            return
        frame: dict[str, objects.Json] | None = None
        for binding in bindings:
            if binding.criteria.match(attributes) is None:
                continue
            try:
                chosen = policy.parameters(resource, binding, attributes)
            except _ConfigurationError as error:
                if not policy.ignores_failures:
                    yield _refusal(attributes, policy, binding, Denial(str(error)))
                continue
            if frame is None:
                frame = evaluations.variables_for(attributes, matched, self._ask(attributes))
            found = [denial for params in chosen for denial in policy.denials(frame, params)]
            if "Warn" in binding.actions:
                attributes.warnings.extend(
                    f"Validation failed for ValidatingAdmissionPolicy '{policy.name}' with "
                    f"binding '{binding.name}': {denial.message}"
                    for denial in found
                )
            if "Deny" in binding.actions:
                for denial in found:
                    yield _refusal(attributes, policy, binding, denial)

    def _ask(self, attributes: chain.Attributes) -> authorizing.Ask:
        return lambda question: self._authorize(attributes.reader, attributes.user, question)


def _policies(reader: chain.Reader) -> list[_Policy]:
    found: list[_Policy] = reader.derived(
        POLICIES, "validating policies", lambda: [_Policy(obj) for obj in reader.each(POLICIES)]
    )
    return found


def _bindings(reader: chain.Reader) -> dict[str, list[_Binding]]:
    """Return the bindings of each policy, by its name."""

    def compute() -> dict[str, list[_Binding]]:
        out: dict[str, list[_Binding]] = {}
        for obj in reader.each(BINDINGS):
            spec: objects.Object = obj["spec"]
            out.setdefault(spec["policyName"], []).append(
                _Binding(
                    name=objects.name_of(obj),
                    criteria=matching.Criteria(spec.get("matchResources") or {}),
                    actions=tuple(spec.get("validationActions") or ()),
                    param_ref=spec.get("paramRef"),
                )
            )
        return out

    found: dict[str, list[_Binding]] = reader.derived(BINDINGS, "policy bindings", compute)
    return found


def _refusal(
    attributes: chain.Attributes, policy: _Policy, binding: _Binding | None, denial: Denial
) -> statuses.ApiError:
    through = f" with binding '{binding.name}'" if binding is not None else ""
    message = f"ValidatingAdmissionPolicy '{policy.name}'{through} denied request: {denial.message}"
    error: statuses.ApiError = pods.refuse(attributes, message)
    details = dict(error.details or {})
    details["causes"] = [*details.get("causes", ()), {"message": message}]
    return statuses.ApiError(
        error.message,
        code=_CODES.get(denial.reason, 422),
        reason=denial.reason,
        details=details,
    )
