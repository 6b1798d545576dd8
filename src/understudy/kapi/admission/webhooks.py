"""Admission webhooks: asked one after the other what to change, all at once whether to refuse.

Configurations are read from the view itself, ordered by name. The plugins make no calls: a verb
that lacks an answer is broken off (`calls.WaitingError`) and run again when the answer is there.
Verbs run without an `Attempt` (a rehearsal, what the API server does itself) call nobody.
Source: k8s.io/apiserver 0.36 `admission/plugin/webhook/{generic,mutating,validating,errors}`.
"""

from __future__ import annotations

from collections.abc import Iterator

from understudy.kapi.admission import bindings, chain, evaluations, matching, reviews
from understudy.kapi.resources import calls, catalogue, policies as expressions, webhooks
from understudy.kube import objects, statuses
from understudy.kube.cel import types

MUTATING = "mutatingwebhookconfigurations.admissionregistration.k8s.io"
VALIDATING = "validatingwebhookconfigurations.admissionregistration.k8s.io"
_WITHOUT_EFFECTS = frozenset({"None", "NoneOnDryRun"})


class _Hook:
    """One webhook of a configuration, ready to be matched."""

    def __init__(self, configuration: str, index: int, spec: objects.Object) -> None:
        self.name = str(spec["name"])
        self.asker = f"{configuration}/{self.name}/{index}"
        self.fails_open = spec.get("failurePolicy") == "Ignore"
        self.may_be_reinvoked = spec.get("reinvocationPolicy") == "IfNeeded"
        self._has_effects = spec.get("sideEffects") not in _WITHOUT_EFFECTS
        self._versions: list[str] = list(spec.get("admissionReviewVersions") or ())
        self._timeout_s = int(spec.get("timeoutSeconds") or 10)
        self._client: objects.Object = spec.get("clientConfig") or {}
        self._criteria = matching.Criteria(spec, rules="rules")
        self._conditions = evaluations.Conditions(
            (one["expression"] for one in spec.get("matchConditions") or ()), _compiled
        )

    def match(
        self, attributes: chain.Attributes, authorize: bindings.Authorize
    ) -> catalogue.Resource | None:
        """Return the resource in the version to send, None where the webhook is not concerned.

        Raises:
            ForbiddenError: Its conditions cannot be evaluated.
        """
        matched = self._criteria.match(attributes)
        if matched is None or not self._conditions:
            return matched
        ask = bindings.asking(authorize, attributes)
        frame = evaluations.variables_for(attributes, matched, ask)
        try:
            return matched if self._conditions.hold(frame) else None
        except (evaluations.FailedError, evaluations.BudgetError) as error:
            if self.fails_open:
                return None
            resource = attributes.resource.group_resource
            raise statuses.forbidden(resource, attributes.name, str(error)) from None

    def call(self, attributes: chain.Attributes, matched: catalogue.Resource) -> calls.Call:
        """Return the call to make.

        Raises:
            BadRequestError: The request is a dry run, and the webhook has effects.
        """
        if attributes.dry_run and self._has_effects:
            text = f'admission webhook "{self.name}" does not support dry run'
            raise statuses.BadRequestError(text)
        version = next((v for v in self._versions if v in reviews.VERSIONS), "v1")
        return calls.question(
            f"{self.asker}/{int(attributes.is_again)}",
            webhooks.target(self._client, attributes.reader),
            reviews.content(attributes, matched),
            kind=reviews.KIND,
            api_version=f"{reviews.GROUP}/{version}",
            timeout_s=self._timeout_s,
        )

    def failed(self, error: reviews.UnusableError) -> statuses.InternalError:
        """Return what to answer where the webhook gave no usable answer and one is needed."""
        return reviews.internal(f'failed calling webhook "{self.name}": {error}')


def _compiled(text: str) -> evaluations.Compiled:
    try:
        return expressions.compile(text, (types.BOOL,))
    except expressions.PolicyError as error:
        return error


def _hooks(reader: chain.Reader, resource: str) -> list[_Hook]:
    """Return every webhook of a view, in the order in which they are asked."""
    found: list[_Hook] = reader.derived(
        resource,
        resource,
        lambda: [
            _Hook(objects.name_of(configuration), index, spec)
            for configuration in reader.each(resource)
            for index, spec in enumerate(configuration.get("webhooks") or ())
        ],
    )
    return found


def _concerned(attributes: chain.Attributes, resource: str) -> bool:
    return (
        attributes.attempt is not None
        and bool(_hooks(attributes.reader, resource))
        and not matching.is_exempt(attributes)
    )


class MutatingWebhooks:
    """Lets webhooks change what is written, each seeing what those before it made of it."""

    name = "MutatingAdmissionWebhook"

    def __init__(self, authorize: bindings.Authorize = bindings.allow_all) -> None:
        self._authorize = authorize

    def handles(self, attributes: chain.Attributes) -> bool:
        """Say whether webhooks are called for this write, and there are any."""
        return _concerned(attributes, MUTATING)

    def mutate(self, attributes: chain.Attributes) -> None:
        """Ask each webhook and apply its patch.

        Raises:
            WaitingError: An answer is lacking.
            ApiError: A webhook refuses, or cannot be reached and is needed.
        """
        rounds = chain.Rounds.of(attributes, self.name)
        for hook in _hooks(attributes.reader, MUTATING):
            matched = hook.match(attributes, self._authorize)
            if matched is None or rounds.passes_over(attributes, hook.asker):
                continue
            if self._ask(hook, attributes, matched):
                rounds.changed()
                attributes.again = True
            if hook.may_be_reinvoked:
                rounds.willing.add(hook.asker)
        rounds.end(attributes)

    def validate(self, attributes: chain.Attributes) -> None:
        """Refuse nothing: whoever changes may refuse at once."""

    @staticmethod
    def _ask(hook: _Hook, attributes: chain.Attributes, matched: catalogue.Resource) -> bool:
        """Ask one webhook; say whether it changed the object."""
        assert attributes.attempt is not None, "handles() has seen to it"
        call = hook.call(attributes, matched)
        (answer,) = attributes.attempt.answers([call])
        try:
            verdict = reviews.verdict(call, answer, mutating=True)
            _take(hook, verdict, attributes)
            patched = reviews.patched(hook.name, verdict, attributes, matched)
        except reviews.UnusableError as error:
            if hook.fails_open:
                return False
            raise hook.failed(error) from None
        return patched is not None and evaluations.put_back(patched, attributes, matched)


class ValidatingWebhooks:
    """Lets webhooks refuse what is written; all of them are asked at once."""

    name = "ValidatingAdmissionWebhook"

    def __init__(self, authorize: bindings.Authorize = bindings.allow_all) -> None:
        self._authorize = authorize

    def handles(self, attributes: chain.Attributes) -> bool:
        """Say whether webhooks are called for this write, and there are any."""
        return _concerned(attributes, VALIDATING)

    def mutate(self, attributes: chain.Attributes) -> None:
        """Change nothing."""

    def validate(self, attributes: chain.Attributes) -> None:
        """Ask every webhook; the first refusal counts.

        Raises:
            WaitingError: An answer is lacking.
            ApiError: A webhook refuses, or cannot be reached and is needed.
        """
        assert attributes.attempt is not None, "handles() has seen to it"
        asked = list(self._asked(attributes))
        answers = attributes.attempt.answers([call for _, call in asked])
        refused: list[statuses.ApiError] = []
        for (hook, call), answer in zip(asked, answers, strict=True):
            try:
                _take(hook, reviews.verdict(call, answer, mutating=False), attributes)
            except reviews.UnusableError as error:
                if not hook.fails_open:
                    refused.append(hook.failed(error))
            except statuses.ApiError as error:
                refused.append(error)
        if refused:
            refused[0].warnings = tuple(attributes.warnings)
            raise refused[0]

    def _asked(self, attributes: chain.Attributes) -> Iterator[tuple[_Hook, calls.Call]]:
        for hook in _hooks(attributes.reader, VALIDATING):
            matched = hook.match(attributes, self._authorize)
            if matched is not None:
                yield hook, hook.call(attributes, matched)


def _take(hook: _Hook, verdict: reviews.Verdict, attributes: chain.Attributes) -> None:
    """Pass a verdict's warnings on, and its refusal.

    Raises:
        ApiError: The webhook does not allow the request.
    """
    attributes.warnings += verdict.warnings
    if not verdict.allowed:
        error = reviews.refusal(hook.name, verdict)
        error.warnings = tuple(attributes.warnings)
        raise error
