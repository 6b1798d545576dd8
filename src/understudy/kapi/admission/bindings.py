"""Policies and their bindings: which of them are about a request, and with which parameters.

What validating and mutating policies have in common. Both are read from the view itself, so a
sandbox can try one out; what is compiled is kept as long as neither changes.
Source: k8s.io/apiserver 0.36 `admission/plugin/policy/generic`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from understudy.kapi.admission import chain, evaluations, matching
from understudy.kapi.resources import catalogue, policies as expressions, strategies
from understudy.kube import identities, objects, selectors
from understudy.kube.cel import authorizing, types

Authorize = Callable[
    [strategies.Reader, strategies.UserInfo, authorizing.Question], authorizing.Decision
]
"""Answers what policies ask: may this user, in this view, do that?"""

_NO_PARAMS = "no params found for policy binding with `Deny` parameterNotFoundAction"


def allow_all(*_: object) -> authorizing.Decision:
    """Allow everything: what a view without users answers."""
    return authorizing.Decision(allowed=True)


def asking(authorize: Authorize, attributes: chain.Attributes) -> authorizing.Ask:
    """Return how the expressions about a request ask what its user may do."""
    return lambda question: authorize(attributes.reader, attributes.user, question)


class _ConfigurationError(Exception):
    """A policy or a binding refers to what is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What turns a policy on.

    Attributes:
        actions: `Deny`, `Warn`, `Audit`; none of a mutating policy's.
    """

    name: str
    criteria: matching.Criteria
    actions: tuple[str, ...]
    param_ref: objects.Object | None


class Policy:
    """One policy, compiled; what it does is its subclasses' affair."""

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
            lambda text: self.compile(text, (types.BOOL,)),
            self.named,
        )

    def compile(
        self,
        text: str,
        wanted: tuple[types.Type, ...],
        *,
        authorizer: bool = True,
        patches: bool = False,
    ) -> evaluations.Compiled:
        """Return a compiled expression of the policy, or why there is none."""
        try:
            return expressions.compile(
                text,
                wanted,
                params=self._params,
                authorizer=authorizer,
                variables=self._known,
                patches=patches,
            )
        except expressions.PolicyError as error:
            return error

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
        binding: Binding,
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


P = TypeVar("P", bound=Policy)


class Invocation(NamedTuple, Generic[P]):
    """A policy that is about a request, under one binding; `failure` says why it cannot be asked.

    Attributes:
        matched: The resource in the version to show.
        binding: None where the policy itself cannot be used.
        parameters: One set after the other; None where none are used.
    """

    policy: P
    matched: catalogue.Resource
    binding: Binding | None = None
    parameters: tuple[objects.Object | None, ...] = ()
    failure: str = ""


def invocations(
    attributes: chain.Attributes, known: Iterable[P], bound: dict[str, list[Binding]]
) -> Iterator[Invocation[P]]:
    """Yield the policies that are about a request, once for each binding that turns them on."""
    for policy in known:
        if policy.name not in bound:
            continue
        matched = policy.criteria.match(attributes)
        if matched is None:
            continue
        try:
            resource = policy.param_resource(attributes.reader)
        except _ConfigurationError as error:
            yield Invocation(policy, matched, failure=str(error))
            continue
        for binding in bound[policy.name]:
            if binding.criteria.match(attributes) is None:
                continue
            try:
                chosen = tuple(policy.parameters(resource, binding, attributes))
            except _ConfigurationError as error:
                yield Invocation(policy, matched, binding, failure=str(error))
                continue
            yield Invocation(policy, matched, binding, chosen)


def bindings(reader: chain.Reader, resource: str) -> dict[str, list[Binding]]:
    """Return the bindings of each policy, by its name."""

    def compute() -> dict[str, list[Binding]]:
        out: dict[str, list[Binding]] = {}
        for obj in reader.each(resource):
            spec: objects.Object = obj["spec"]
            out.setdefault(spec["policyName"], []).append(
                Binding(
                    name=objects.name_of(obj),
                    criteria=matching.Criteria(spec.get("matchResources") or {}),
                    actions=tuple(spec.get("validationActions") or ()),
                    param_ref=spec.get("paramRef"),
                )
            )
        return out

    found: dict[str, list[Binding]] = reader.derived(resource, resource, compute)
    return found


def policies(reader: chain.Reader, resource: str, make: Callable[[objects.Object], P]) -> list[P]:
    """Return every policy of a view, compiled."""
    found: list[P] = reader.derived(
        resource, resource, lambda: [make(obj) for obj in reader.each(resource)]
    )
    return found
