"""Requests of the Kubernetes API, carried as they are: what they need, and how they are sent.

Whoever holds no credentials of a cluster speaks to it with these through the agent that does. A
watch does not fit into one answer; it is answered with what has come at the first lull and ends,
as a server may end any watch, and the client watches again from there.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import parse_qs, unquote

from understudy.client import http
from understudy.platform import errors, records

WATCH_S, CROWDED_WATCH_S = 20.0, 0.5
"""Longest time that a watch without news stays open, and that where there are many."""
CROWD = 8
"""From so many watches on, others are short: a cluster's requests have a limited number of places,
and those who watch must not keep those who work waiting."""
ASKED = ("accept", "content-type")
ANSWERED = ("content-type", "retry-after", "warning")
"""Headers that are carried; credentials and impersonation are the agent's own business."""
_ROOTS = frozenset(["api", "apis", "openapi", "version", "healthz", "livez", "readyz"])
_STREAMS = frozenset(["exec", "attach", "portforward", "proxy"])
_OF_NAMESPACES = frozenset(["status", "finalize"])


class Access(enum.IntEnum):
    """What somebody may do with a cluster; each includes what is below it."""

    READ = 1
    SECRETS = 2
    WRITE = 3

    @classmethod
    def parse(cls, text: str) -> Access:
        """Read `read`, `secrets` or `write`.

        Raises:
            InvalidRequestError: Another word.
        """
        try:
            return cls[text.upper()]
        except KeyError as error:
            raise errors.InvalidRequestError(
                f"access {text!r}: must be read, secrets (reads them too) or write"
            ) from error

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a path names; `resource` is empty for discovery."""

    group: str = ""
    resource: str = ""
    subresource: str = ""
    is_watch: bool = False
    is_followed: bool = False


class Relay(Protocol):
    """Sends a request to the API server with the agent's credentials: `HttpClient.relay`."""

    async def __call__(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        stream_s: float = 0.0,
    ) -> http.RawAnswer:
        """Return the answer, whatever its status; TransportError where there is none."""
        ...


def target_of(path: str) -> Target:
    """Return what a path of the Kubernetes API names.

    Raises:
        InvalidRequestError: It is none, or one that servers may read in several ways.
    """
    plain, _, query = path.partition("?")
    parts = [unquote(part) for part in plain.split("/")][1:]
    odd = any(not part.isprintable() or part in {"", ".", ".."} or "/" in part for part in parts)
    if not plain.startswith("/") or odd or parts[0] not in _ROOTS:
        raise errors.InvalidRequestError(f"path {plain!r}: is none of the Kubernetes API")
    asked = parse_qs(query, keep_blank_values=True)
    if parts[0] not in {"api", "apis"}:
        return Target()
    group = parts[1] if parts[0] == "apis" and len(parts) > 1 else ""
    rest = parts[2:] if parts[0] == "api" else parts[3:]
    old_watch = rest[:1] == ["watch"]
    rest = rest[1:] if old_watch else rest
    if len(rest) > 2 and rest[0] == "namespaces" and rest[2] not in _OF_NAMESPACES:
        rest = rest[2:]
    return Target(
        group=group,
        resource=rest[0] if rest else "",
        subresource=rest[2] if len(rest) > 2 else "",
        is_watch=old_watch or asked.get("watch", ["false"])[0] not in {"false", "0"},
        is_followed=asked.get("follow", ["false"])[0] not in {"false", "0"},
    )


def needs(request: records.ApiRequest) -> Access:
    """Return what somebody must be allowed to do to ask this.

    Raises:
        InvalidRequestError: It is not carried at all.
    """
    target = target_of(request.path)
    if target.subresource in _STREAMS:
        raise errors.InvalidRequestError(
            f"{target.resource}/{target.subresource} needs a stream to the cluster, and only "
            "requests are carried"
        )
    if target.is_followed:
        raise errors.InvalidRequestError(
            "logs cannot be followed through a hub: ask without follow"
        )
    if request.method not in {"GET", "HEAD"}:
        return Access.WRITE
    if (target.group, target.resource) == ("", "secrets"):
        return Access.SECRETS
    return Access.READ


class Carrier:
    """Sends requests with the agent's credentials."""

    __slots__ = ("_relay", "_watches")

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._watches = 0

    async def carry(self, request: records.ApiRequest) -> records.ApiAnswer:
        """Send a request and return its answer.

        Raises:
            InvalidRequestError: It is not carried at all. TransportError: There was no answer.
        """
        needs(request)
        if not target_of(request.path).is_watch:
            return await self._send(request, 0.0)
        self._watches += 1
        try:
            longest_s = WATCH_S if self._watches <= CROWD else CROWDED_WATCH_S
            return await self._send(request, longest_s)
        finally:
            self._watches -= 1

    async def _send(self, request: records.ApiRequest, stream_s: float) -> records.ApiAnswer:
        content = records.unpack(request)
        raw = await self._relay(
            request.method,
            request.path,
            headers=_only(request.headers, ASKED),
            body=content or None,
            stream_s=stream_s,
        )
        body, is_base64 = records.pack(raw.content)
        return records.ApiAnswer(
            status=raw.status, headers=_only(raw.headers, ANSWERED), body=body, base64=is_base64
        )


def _only(headers: Mapping[str, str], names: tuple[str, ...]) -> dict[str, str]:
    """Return the headers of these names, which are in lower case."""
    return {key.lower(): value for key, value in headers.items() if key.lower() in names}
