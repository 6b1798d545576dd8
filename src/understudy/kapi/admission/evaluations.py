"""Evaluating the expressions of one policy on one request.

Source: k8s.io/apiserver 0.36 `admission/plugin/cel/{activation,composition,condition}.go`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from understudy.kapi.admission import chain, matching
from understudy.kapi.resources import catalogue, policies
from understudy.kube import decoding, identities, objects, schemas
from understudy.kube.cel import authorizing, errors, programs

BUDGET = 10_000_000
"""What the expressions of one policy may cost for one request and one set of parameters."""
CONDITIONS_BUDGET = BUDGET // 4
_OUT_OF_BUDGET = (
    "validation failed due to running out of cost budget, no further validation rules will be run"
)
_NAMESPACE_META = (
    "name", "generateName", "namespace", "uid", "resourceVersion", "generation",
    "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "labels",
    "annotations", "finalizers",
)  # fmt: skip
_OPTIONS = {"CREATE": "CreateOptions", "UPDATE": "UpdateOptions", "DELETE": "DeleteOptions"}

Compiled: TypeAlias = programs.Program | policies.PolicyError


class BudgetError(Exception):
    """All expressions together cost too much; nothing more is evaluated."""


class FailedError(Exception):
    """An expression could not be evaluated; the text names it."""


def shown(
    obj: objects.Object | None, attributes: chain.Attributes, matched: catalogue.Resource
) -> objects.Object | None:
    """Return an object, as verbs change it, in the version that a rule matched."""
    if obj is None or attributes.kind is not None:
        return obj
    if obj.get("apiVersion") == matched.api_version:
        return obj
    resource = attributes.resource
    converted = resource.kept(objects.copy(obj))
    if matched.from_storage is not None:
        converted = matched.from_storage(converted)
    converted["apiVersion"], converted["kind"] = matched.api_version, matched.kind
    return converted


def sent(
    obj: objects.Object | None, attributes: chain.Attributes, matched: catalogue.Resource
) -> objects.Object | None:
    """Return a copy of an object as the version that a rule matched writes it."""
    found = shown(obj, attributes, matched)
    if found is None:
        return None
    copied: objects.Object = objects.copy(found)
    kind = kind_of(attributes, matched)
    return {"kind": kind.kind, "apiVersion": kind.api_version} | copied


def kind_of(
    attributes: chain.Attributes, resource: catalogue.Resource
) -> identities.GroupVersionKind:
    """Return the kind of a request's objects in a resource's version."""
    if attributes.kind is not None:
        return attributes.kind
    return identities.GroupVersionKind(resource.group, resource.version, resource.kind)


def schema_of(attributes: chain.Attributes, matched: catalogue.Resource) -> schemas.Schema:
    """Return the schema of what `sent` returns."""
    if attributes.kind is not None:
        return attributes.reader.catalogue.schema_of(attributes.kind)
    return matched.schema


def decode(
    obj: objects.Object, attributes: chain.Attributes, matched: catalogue.Resource, mode: str
) -> None:
    """Bring an object that was changed in the version of `sent` into its form, in place.

    Raises:
        BadRequestError: It has none; in mode Strict also unknown fields.
    """
    kind, schema = kind_of(attributes, matched), schema_of(attributes, matched)
    decoder = decoding.decode if attributes.kind is not None else matched.strategy.decode
    decoder(obj, schema, mode=mode, api_version=kind.api_version, kind=kind.kind)


def put_back(
    obj: objects.Object, attributes: chain.Attributes, matched: catalogue.Resource
) -> bool:
    """Let an object that was changed in the version of `sent` take the request's place.

    What is new in it gets its defaults. Says whether anything changed.
    """
    resource, mine = attributes.resource, attributes.obj
    assert mine is not None, "only an object can be changed"
    if attributes.kind is None:
        obj = _working(obj, mine, resource, matched)
    if "kind" not in mine:
        obj = {key: value for key, value in obj.items() if key not in ("kind", "apiVersion")}
    changed: bool = obj != mine
    mine.clear()
    mine.update(obj)
    return changed


def _working(
    obj: objects.Object,
    mine: objects.Object,
    resource: catalogue.Resource,
    matched: catalogue.Resource,
) -> objects.Object:
    """Return an object in the version in which verbs change it."""
    if obj.get("apiVersion") != mine.get("apiVersion"):
        if matched.to_storage is not None:
            obj = matched.to_storage(obj)
        if resource.custom and resource.from_storage is not None:
            obj = resource.from_storage(obj)
    resource.strategy.default(obj)
    return obj


def variables_for(
    attributes: chain.Attributes, matched: catalogue.Resource, ask: authorizing.Ask
) -> dict[str, objects.Json]:
    """Return what every expression about a request may speak of, `params` and `variables` aside."""
    resource, namespace = attributes.resource, matching.namespace_of(attributes)
    check = authorizing.Check(ask, authorizing.Question())
    request_resource = check.narrowed(
        group=resource.group,
        resource=resource.plural,
        subresource=attributes.subresource,
        namespace=namespace,
        name=attributes.name,
    )
    return {
        "object": shown(attributes.obj, attributes, matched),
        "oldObject": shown(attributes.old, attributes, matched),
        "request": request_of(attributes, matched),
        "namespaceObject": _namespace(attributes),
        "authorizer": check,
        "authorizer.requestResource": request_resource,
    }


def request_of(attributes: chain.Attributes, matched: catalogue.Resource) -> objects.Object:
    """Return a request as an AdmissionRequest, without its uid and its objects."""
    user, resource = attributes.user, attributes.resource
    return {
        "kind": kind_of(attributes, matched)._asdict(),
        "resource": {
            "group": matched.group, "version": matched.version, "resource": matched.plural,
        },
        "subResource": attributes.subresource,
        "requestKind": kind_of(attributes, resource)._asdict(),
        "requestResource": {
            "group": resource.group, "version": resource.version, "resource": resource.plural,
        },
        "requestSubResource": attributes.subresource,
        "name": attributes.name,
        "namespace": matching.namespace_of(attributes),
        "operation": attributes.operation,
        "userInfo": {
            "username": user.username,
            "uid": user.uid,
            "groups": list(user.groups),
            "extra": {key: list(texts) for key, texts in user.extra},
        },
        "dryRun": attributes.dry_run,
        "options": {
            "kind": _OPTIONS.get(attributes.operation, ""), "apiVersion": "meta.k8s.io/v1",
        } | (attributes.options.described() if attributes.options is not None else {}),
    }  # fmt: skip


def _namespace(attributes: chain.Attributes) -> objects.Object | None:
    if attributes.resource.storage == matching.NAMESPACES or not attributes.namespace:
        return None
    found = attributes.reader.find("namespaces", "", attributes.namespace)
    if found is None:
        return None
    meta = {key: value for key, value in found["metadata"].items() if key in _NAMESPACE_META}
    return {"metadata": meta, "spec": found.get("spec"), "status": found.get("status")}


class Evaluator:
    """Evaluates expressions one after another on a shared budget."""

    def __init__(
        self, frame: Mapping[str, objects.Json], named: Mapping[str, Compiled], budget: int
    ) -> None:
        self._budget = budget
        self._frame = {**frame, "variables": _Named(named, self)}

    def value(self, compiled: Compiled, expression: str) -> objects.Json:
        """Return an expression's value.

        Raises:
            FailedError: It has none. BudgetError: nothing is left of the budget.
        """
        if isinstance(compiled, policies.PolicyError):
            raise FailedError(f"compilation error: {compiled}")
        try:
            return self.spend(compiled)
        except errors.EvaluationError as error:
            raise FailedError(f"expression '{expression}' resulted in error: {error}") from None

    def spend(self, program: programs.Program) -> objects.Json:
        """Run a program and charge what it cost."""
        value, cost = program.evaluate(self._frame)
        self._budget -= cost
        if self._budget < 0:
            raise BudgetError(_OUT_OF_BUDGET)
        return value


class Conditions:
    """Further conditions on which a policy or a webhook is about a request (matchConditions)."""

    __slots__ = ("_compiled", "_named")

    def __init__(
        self,
        expressions: Iterable[str],
        compile: Callable[[str], Compiled],
        named: Mapping[str, Compiled] | None = None,
    ) -> None:
        self._compiled = [(expression, compile(expression)) for expression in expressions]
        self._named = named or {}

    def __bool__(self) -> bool:
        return bool(self._compiled)

    def hold(self, frame: Mapping[str, objects.Json]) -> bool:
        """Say whether all of them hold; a false one counts more than a failing one.

        Raises:
            FailedError: Some have no value, and none is false. BudgetError: they cost too much.
        """
        if not self._compiled:
            return True
        evaluator = Evaluator(frame, self._named, CONDITIONS_BUDGET)
        failures: list[str] = []
        for expression, compiled in self._compiled:
            try:
                if evaluator.value(compiled, expression) is False:
                    return False
            except FailedError as error:
                failures.append(str(error))
        if failures:
            raise FailedError(failures[0] if len(failures) == 1 else f"[{', '.join(failures)}]")
        return True


class _Named(dict[str, objects.Json]):
    """The policy's named expressions: each is evaluated when first asked for."""

    def __init__(self, named: Mapping[str, Compiled], evaluator: Evaluator) -> None:
        super().__init__()
        self._named = named
        self._evaluator = evaluator

    def __missing__(self, name: str) -> objects.Json:
        compiled = self._named[name]
        if isinstance(compiled, policies.PolicyError):
            text = f'composited variable "{name}" fails to compile: {compiled}'
            raise errors.EvaluationError(text)
        try:
            value = self._evaluator.spend(compiled)
        except errors.EvaluationError as error:
            text = f'composited variable "{name}" fails to evaluate: {error}'
            raise errors.EvaluationError(text) from None
        self[name] = value
        return value

    def get(self, name: str, default: objects.Json = None) -> objects.Json:
        """Return a value, evaluated if need be; `default` where no expression has that name."""
        return self[name] if name in self._named else default
