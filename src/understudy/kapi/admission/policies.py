"""ValidatingAdmissionPolicy: refuses, or warns of, what the view's own policies do not allow.

Source: k8s.io/apiserver 0.36 `admission/plugin/policy/validating`.
"""

from __future__ import annotations

from typing import NamedTuple

from understudy.kapi.admission import bindings, chain, evaluations, matching, pods
from understudy.kube import objects, statuses
from understudy.kube.cel import types

POLICIES = "validatingadmissionpolicies.admissionregistration.k8s.io"
BINDINGS = "validatingadmissionpolicybindings.admissionregistration.k8s.io"
MESSAGE_BYTES_MAX = 5 * 1024
_CODES = {"Forbidden": 403, "Unauthorized": 401, "RequestEntityTooLarge": 413}


class Denial(NamedTuple):
    """One decision against a request."""

    message: str
    reason: str = "Invalid"


class _Validation(NamedTuple):
    expression: str
    compiled: evaluations.Compiled
    message: str
    message_expression: str
    message_compiled: evaluations.Compiled | None
    reason: str


class _Policy(bindings.Policy):
    """One policy with what it asks of objects."""

    def __init__(self, policy: objects.Object) -> None:
        super().__init__(policy)
        self.validations = [
            self._validation(one) for one in policy["spec"].get("validations") or ()
        ]

    def _validation(self, one: objects.Object) -> _Validation:
        said = str(one.get("messageExpression") or "")
        compiled = self.compile(said, (types.STRING,), authorizer=False) if said else None
        return _Validation(
            expression=one["expression"],
            compiled=self.compile(one["expression"], (types.BOOL,)),
            message=str(one.get("message") or "").strip(),
            message_expression=said,
            message_compiled=compiled,
            reason=str(one.get("reason") or "Invalid"),
        )

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

    def __init__(self, authorize: bindings.Authorize = bindings.allow_all) -> None:
        self._authorize = authorize

    def handles(self, attributes: chain.Attributes) -> bool:
        """Say whether the view has bindings at all, and the write is not to one of them."""
        bound = bindings.bindings(attributes.reader, BINDINGS)
        return bool(bound) and not matching.is_exempt(attributes)

    def mutate(self, attributes: chain.Attributes) -> None:
        """Change nothing."""

    def validate(self, attributes: chain.Attributes) -> None:
        """Refuse what is denied, by the first denial; warn of what is to be warned of.

        Raises:
            ApiError: With the reason of the expression that was not met, Invalid by default.
        """
        reader = attributes.reader
        known = bindings.policies(reader, POLICIES, _Policy)
        bound = bindings.bindings(reader, BINDINGS)
        frames: dict[str, dict[str, objects.Json]] = {}
        denied: list[statuses.ApiError] = []
        for one in bindings.invocations(attributes, known, bound):
            if one.failure:
                if not one.policy.ignores_failures:
                    denied.append(_refusal(attributes, one, Denial(one.failure)))
                continue
            name = one.policy.name
            if name not in frames:
                ask = bindings.asking(self._authorize, attributes)
                frames[name] = evaluations.variables_for(attributes, one.matched, ask)
            denied += self._judge(attributes, one, frames[name])
        if denied:
            denied[0].warnings = tuple(attributes.warnings)
            raise denied[0]

    @staticmethod
    def _judge(
        attributes: chain.Attributes,
        one: bindings.Invocation[_Policy],
        frame: dict[str, objects.Json],
    ) -> list[statuses.ApiError]:
        """Judge a request under one binding; returns refusals."""
        assert one.binding is not None, "a policy that can be asked has a binding"
        found = [
            denial for params in one.parameters for denial in one.policy.denials(frame, params)
        ]
        if "Warn" in one.binding.actions:
            attributes.warnings.extend(
                f"Validation failed for ValidatingAdmissionPolicy '{one.policy.name}' with "
                f"binding '{one.binding.name}': {denial.message}"
                for denial in found
            )
        if "Deny" not in one.binding.actions:
            return []
        return [_refusal(attributes, one, denial) for denial in found]


def _refusal(
    attributes: chain.Attributes, one: bindings.Invocation[_Policy], denial: Denial
) -> statuses.ApiError:
    through = f" with binding '{one.binding.name}'" if one.binding is not None else ""
    message = (
        f"ValidatingAdmissionPolicy '{one.policy.name}'{through} denied request: {denial.message}"
    )
    error: statuses.ApiError = pods.refuse(attributes, message)
    details = dict(error.details or {})
    details["causes"] = [*details.get("causes", ()), {"message": message}]
    return statuses.ApiError(
        error.message,
        code=_CODES.get(denial.reason, 422),
        reason=denial.reason,
        details=details,
    )
