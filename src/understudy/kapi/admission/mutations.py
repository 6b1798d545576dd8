"""MutatingAdmissionPolicy: changes what is written as the view's own policies say.

A mutation is an expression that makes a configuration, merged as server-side apply does but owned
by nobody, or a JSON patch. Each sees what those before it made of the object.
Source: k8s.io/apiserver 0.36 `admission/plugin/policy/mutating`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from understudy.kapi.admission import bindings, chain, evaluations, matching, pods, reviews
from understudy.kapi.resources import catalogue, policies as expressions
from understudy.kube import objects, patches, statuses
from understudy.kube.apply import checks, merging, shapes
from understudy.kube.cel import errors, values
from understudy.kube.patches import jsonpatches

POLICIES = "mutatingadmissionpolicies.admissionregistration.k8s.io"
BINDINGS = "mutatingadmissionpolicybindings.admissionregistration.k8s.io"


class _FailedError(Exception):
    """A mutation cannot be carried out; the text says why."""


class _Mutation(NamedTuple):
    kind: str
    expression: str
    compiled: evaluations.Compiled


class _Policy(bindings.Policy):
    """One policy with its mutations."""

    def __init__(self, policy: objects.Object) -> None:
        super().__init__(policy)
        spec = policy["spec"]
        self.may_be_reinvoked = spec.get("reinvocationPolicy") == "IfNeeded"
        self.mutations = [self._mutation(one) for one in spec.get("mutations") or ()]

    def _mutation(self, one: objects.Object) -> _Mutation:
        kind = str(one["patchType"])
        text = str((one.get(expressions.MUTATIONS[kind]) or {}).get("expression") or "")
        return _Mutation(kind, text, self.compile(text, (expressions.WANTED[kind],), patches=True))


class MutatingAdmissionPolicy:
    """Applies every mutating policy that a binding turns on."""

    name = "MutatingAdmissionPolicy"

    def __init__(self, authorize: bindings.Authorize = bindings.allow_all) -> None:
        self._authorize = authorize

    def handles(self, attributes: chain.Attributes) -> bool:
        """Say whether the view has bindings at all, and there is something to change."""
        bound = bindings.bindings(attributes.reader, BINDINGS)
        return bool(bound) and attributes.obj is not None and not matching.is_exempt(attributes)

    def mutate(self, attributes: chain.Attributes) -> None:
        """Let every policy that is about a request change its object.

        Raises:
            ForbiddenError: A policy failed that must not.
        """
        reader = attributes.reader
        known = bindings.policies(reader, POLICIES, _Policy)
        bound = bindings.bindings(reader, BINDINGS)
        rounds = chain.Rounds.of(attributes, self.name)
        refused: list[tuple[str, str]] = []
        # Who is concerned is settled before anybody has changed anything.
        for one in list(bindings.invocations(attributes, known, bound)):
            failures = [(one.failure, "")] if one.failure else []
            for params in one.parameters:
                failures += [
                    (text, "Invalid") for text in self._run(attributes, one, params, rounds)
                ]
            if not one.policy.ignores_failures:
                refused += [(_told(one, text), reason) for text, reason in failures]
        rounds.end(attributes)
        if refused:
            raise _refusal(attributes, refused)

    def validate(self, attributes: chain.Attributes) -> None:
        """Refuse nothing: a mutation that fails has refused already."""

    def _run(
        self,
        attributes: chain.Attributes,
        one: bindings.Invocation[_Policy],
        params: objects.Object | None,
        rounds: chain.Rounds,
    ) -> list[str]:
        """Carry out one policy's mutations; returns what went wrong."""
        frame = self._frame(attributes, one, params)
        try:
            if not one.policy.conditions.hold(frame):
                return []
        except (evaluations.FailedError, evaluations.BudgetError) as error:
            return [str(error)]
        assert one.binding is not None, "a policy that can be asked has a binding"
        named = objects.metadata(params or {})
        who = one.policy.name, one.binding.name, named.get("namespace"), named.get("name")
        if rounds.passes_over(attributes, who):
            return []
        failures: list[str] = []
        for mutation in one.policy.mutations:
            frame = self._frame(attributes, one, params)
            evaluator = evaluations.Evaluator(frame, one.policy.named, evaluations.BUDGET)
            try:
                value = evaluator.value(mutation.compiled, mutation.expression)
                after = _changed(mutation.kind, value, attributes, one.matched)
            except (
                evaluations.FailedError, evaluations.BudgetError, errors.EvaluationError,
                _FailedError,
            ) as error:  # fmt: skip
                failures.append(str(error))
                continue
            if evaluations.put_back(after, attributes, one.matched):
                rounds.changed()
                attributes.again = True
        if one.policy.may_be_reinvoked:
            rounds.willing.add(who)
        return failures

    def _frame(
        self,
        attributes: chain.Attributes,
        one: bindings.Invocation[_Policy],
        params: objects.Object | None,
    ) -> dict[str, objects.Json]:
        ask = bindings.asking(self._authorize, attributes)
        return evaluations.variables_for(attributes, one.matched, ask) | {"params": params}


def _changed(
    kind: str, value: objects.Json, attributes: chain.Attributes, matched: catalogue.Resource
) -> objects.Object:
    """Return the object, in the matched version, with a mutation carried out.

    Raises:
        _FailedError: It cannot be. InternalError: the result is no object of its kind.
    """
    before = evaluations.sent(attributes.obj, attributes, matched)
    assert before is not None, "handles() has seen to it"
    if kind == "JSONPatch":
        return _patched(value, before, attributes, matched)
    return _merged(value, before, attributes, matched)


def _merged(
    value: objects.Json,
    before: objects.Object,
    attributes: chain.Attributes,
    matched: catalogue.Resource,
) -> objects.Object:
    assert isinstance(value, values.Made), "the expression's type was checked"
    _check_names(value)
    config: objects.Object = values.plain(value)
    config |= {"apiVersion": before["apiVersion"], "kind": before["kind"]}
    shape = shapes.of(evaluations.schema_of(attributes, matched))
    if complaint := checks.complaint(shape, config):
        raise _FailedError(
            "error applying patch: failed to convert patch object to typed object: " + complaint
        )
    if found := list(_atomics(shape, config, "")):
        raise _FailedError(
            "error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps "
            f"or structs: {', '.join(found)}"
        )
    return merging.merged(shape, before, config)


def _atomics(shape: shapes.Shape, value: objects.Json, path: str) -> Iterator[str]:
    """Yield the places in a configuration that could only be replaced as a whole."""
    if isinstance(value, dict) and shape.has_map:
        if shape.map_atomic:
            yield path
        for name, inner in value.items():
            if (child := shape.fields.get(name)) is not None:
                yield from _atomics(child, inner, f"{path}.{name}")
    elif isinstance(value, list) and shape.has_list:
        if shape.list_atomic:
            yield path
        for index, inner in enumerate(value):
            yield from _atomics(shape.items, inner, f"{path}[{index}]")


def _patched(
    value: objects.Json,
    before: objects.Object,
    attributes: chain.Attributes,
    matched: catalogue.Resource,
) -> objects.Object:
    operations = [_operation(one) for one in value]
    try:
        schema = evaluations.schema_of(attributes, matched)
        after = patches.apply(patches.JSON_PATCH, before, operations, schema)
    except statuses.ApiError as error:
        if isinstance(error.__cause__, jsonpatches.TestFailedError):
            # What a patch tests and does not find is a reason to do nothing.
            return before
        raise _FailedError(f"JSON Patch: {error.__cause__ or error.message}") from None
    try:
        mode = "Ignore" if matched.custom else "Strict"
        evaluations.decode(after, attributes, matched, mode)
    except statuses.ApiError as error:
        raise reviews.internal(error.message) from None
    return after


def _operation(made: objects.Json) -> objects.Object:
    fields = made.fields
    out: objects.Object = {"op": fields.get("op") or "", "path": fields.get("path") or ""}
    if fields.get("from"):
        out["from"] = fields["from"]
    if "value" in fields:
        if isinstance(fields["value"], values.Made):
            _check_names(fields["value"])
        out["value"] = values.plain(fields["value"])
    return out


def _check_names(made: values.Made) -> None:
    if wrong := made.misnamed():
        raise _FailedError("type mismatch: " + "\n".join(wrong))


def _told(one: bindings.Invocation[_Policy], text: str) -> str:
    if one.binding is None:
        return f'policy "{one.policy.name}" denied request: {text}'
    return f"policy '{one.policy.name}' with binding '{one.binding.name}' denied request: {text}"


def _refusal(
    attributes: chain.Attributes, refused: list[tuple[str, str]]
) -> statuses.ForbiddenError:
    """Return 403 with the first failure's words and reason, and all of them as causes."""
    error = pods.refuse(attributes, "")
    message, reason = refused[0]
    causes = [{"message": text} for text, _ in refused]
    return statuses.ForbiddenError(
        message,
        reason=reason or None,
        details=(error.details or {}) | {"causes": causes},
    )
