"""Whether whoever delivers may write what a plan would write: asked before, not found out half-way.

One SelfSubjectAccessReview for each verb, resource and namespace, which everybody may ask for;
where the answer is no, one for each object, since a right may name objects. Where reviews cannot
be asked for, nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from understudy.aio import clocks
from understudy.client import errors as client_errors, protocol
from understudy.delivery import calling, leases, marks, outcomes, plans, targets
from understudy.kube import objects, statuses

REVIEWS = "selfsubjectaccessreviews.v1.authorization.k8s.io"
PARALLEL = 8
NAMED_MAX = 10
"""Objects asked about one by one; more would cost more than the answer is worth."""

_VERBS = {
    outcomes.Op.CREATE: ("create", "patch"),
    outcomes.Op.CHANGE: ("patch",),
    outcomes.Op.ADOPT: ("patch",),
    outcomes.Op.RECREATE: ("delete", "create", "patch"),
    outcomes.Op.RUN: ("delete", "create", "patch"),
    outcomes.Op.DELETE: ("delete",),
}
"""Server-side apply is a patch, and a creation too where there was nothing."""


class _Right(NamedTuple):
    verb: str
    group: str
    plural: str
    namespace: str

    def __str__(self) -> str:
        place = f" in {self.namespace}" if self.namespace else ""
        return f"{self.verb} {self.plural}{place}"


async def missing(
    client: protocol.Client,
    owner: targets.Owner,
    operations: Sequence[plans.Operation],
    clock: clocks.Clock,
) -> list[str]:
    """Return what whoever asks may not do of a plan, one sentence for each right."""
    served = await client.discover()
    needed: dict[_Right, set[str]] = {}
    for operation in operations:
        resource = served.by_kind(operation.api_version, operation.ref.kind)
        if resource is None:
            continue
        for verb in _VERBS.get(operation.op, ()):
            right = _Right(verb, resource.group, resource.plural, operation.ref.namespace)
            needed.setdefault(right, set()).add(operation.ref.name)
    if needed:
        needed |= {right: {name} for right, name in _records(owner)}

    async def ask(question: tuple[_Right, str]) -> bool:
        right, name = question
        body = _review(right, name)
        answer = await calling.patiently(lambda: client.create(REVIEWS, body), clock)
        return bool(objects.lookup(answer, ("status", "allowed")))

    async def denied(questions: Iterable[tuple[_Right, str]]) -> list[tuple[_Right, str]]:
        answers = await calling.each(questions, PARALLEL, ask)
        return [
            question
            for question, answer in answers
            if isinstance(answer, calling.Done) and not answer.value
        ]

    try:
        if needed and not await _can_ask(client):
            return []
        general = await denied((right, "") for right in sorted(needed))
        named = [
            (right, name) for right, _ in general for name in sorted(needed[right])[:NAMED_MAX]
        ]
        return list(_told(await denied(named)))
    except client_errors.TransportError:
        return []


async def _can_ask(client: protocol.Client) -> bool:
    try:
        answer = await client.create(REVIEWS, _review(_Right("get", "", "pods", ""), ""))
    except statuses.ApiError:
        return False
    return "status" in answer


def _records(owner: targets.Owner) -> Iterator[tuple[_Right, str]]:
    """Yield the rights that the records of a delivery take."""
    space, group = owner.namespace, marks.GROUP
    lease = leases.lease_name(owner.application)
    yield _Right("create", group, "applicationrevisions", space), ""
    yield _Right("patch", group, "applications", space), owner.application
    yield _Right("update", group, "resourcetrackers", ""), ""
    yield _Right("update", "coordination.k8s.io", "leases", space), lease


def _review(right: _Right, name: str) -> objects.Object:
    attributes = {"verb": right.verb, "group": right.group, "resource": right.plural}
    if right.namespace:
        attributes["namespace"] = right.namespace
    if name and right.verb != "create":
        attributes["name"] = name
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }


def _told(denied: Iterable[tuple[_Right, str]]) -> Iterator[str]:
    names: dict[_Right, list[str]] = {}
    for right, name in denied:
        names.setdefault(right, []).append(name)
    for right, listed in names.items():
        which = f" ({', '.join(name for name in listed if name)})" if any(listed) else ""
        yield f"you have no right to {right}{which}"
