"""What was asked of a test's server: every request, to look at and to assert on.

server.requests.clear()
... the code under test ...
assert server.requests.count("patch", "deployments.apps") == 1
server.requests.assert_none("delete")
"""

from __future__ import annotations

import fnmatch
from collections import deque
from dataclasses import dataclass

from understudy.kapi.http import exchanges, requests

RECORDED_MAX = 100_000
"""Requests kept; the oldest go first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One request.

    Attributes:
        verb: Kubernetes' word: get, list, watch, create, update, patch, delete, deletecollection;
            the HTTP method in lower case for other paths.
        resource: In kubectl's notation, e.g. `deployments.apps`; empty for other paths.
        user: Whom the request was taken for, impersonation counted; empty for nobody known.
        status: The answer's code; 0 where the connection was cut instead.
        body: What was sent.
    """

    view: str
    verb: str
    resource: str
    namespace: str
    name: str
    subresource: str
    user: str
    user_agent: str
    path: str
    query: str
    body: bytes
    status: int

    def __str__(self) -> str:
        place = "/".join(part for part in (self.namespace, self.name) if part)
        resource = f"{self.resource}/{self.subresource}" if self.subresource else self.resource
        return f"{self.verb} {resource or self.path} {place} -> {self.status}".replace("  ", " ")


def described(request: exchanges.Request, base_view: str, user: str, status: int) -> Recorded:
    """Return what a request was about."""
    raw, _, query = request.target.partition(b"?")
    parsed = requests.parse_query(query)
    path = requests.parse_path(raw, base_view)
    resource = path.resource
    return Recorded(
        view=path.view,
        verb=requests.verb_of(request.method, path, parsed) if resource else request.method.lower(),
        resource=f"{resource}.{path.group}" if resource and path.group else resource,
        namespace=path.namespace,
        name=path.name,
        subresource=path.subresource,
        user=user,
        user_agent=request.header(b"user-agent"),
        path=path.text,
        query=query.decode("latin-1"),
        body=request.body,
        status=status,
    )


class Requests:
    """The journal of a server. Reading it is safe from any thread."""

    def __init__(self) -> None:
        self._recorded: deque[Recorded] = deque(maxlen=RECORDED_MAX)

    def append(self, recorded: Recorded) -> None:
        """Add a request."""
        self._recorded.append(recorded)

    def clear(self) -> None:
        """Forget what was asked so far."""
        self._recorded.clear()

    def all(self) -> list[Recorded]:
        """Return every request, in order."""
        return list(self._recorded)

    def of(self, verb: str = "*", resource: str = "*", name: str = "*") -> list[Recorded]:
        """Return the requests that match; each argument may hold `*` and `?`.

        Example: `requests.of("patch", "deployments.apps", "web-*")`.
        """
        return [
            one
            for one in self._recorded
            if fnmatch.fnmatchcase(one.verb, verb)
            and fnmatch.fnmatchcase(one.resource, resource)
            and fnmatch.fnmatchcase(one.name, name)
        ]

    def count(self, verb: str = "*", resource: str = "*", name: str = "*") -> int:
        """Return how many requests match."""
        return len(self.of(verb, resource, name))

    def assert_none(self, verb: str = "*", resource: str = "*", name: str = "*") -> None:
        """Fail, listing them, if any request matches."""
        found = self.of(verb, resource, name)
        if found:
            listed = "\n  ".join(map(str, found))
            raise AssertionError(f"{len(found)} requests that should not be:\n  {listed}")

    def assert_sequence(self, *expected: tuple[str, str]) -> None:
        """Fail unless these (verb, resource) were asked in this order, others in between or not."""
        rest = iter(self._recorded)
        for verb, resource in expected:
            if not any(one.verb == verb and one.resource == resource for one in rest):
                listed = "\n  ".join(map(str, self._recorded))
                raise AssertionError(f"no {verb} {resource} in its place among:\n  {listed}")
