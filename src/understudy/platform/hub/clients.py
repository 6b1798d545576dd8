"""The callers' end of a hub: which instances there are, and a `Platform` for each."""

from __future__ import annotations

import functools
import io
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import aiohttp

from understudy.aio import ids as id_sources
from understudy.client import http, kubeconfig
from understudy.kube import objects
from understudy.platform import errors, protocol, records
from understudy.platform.bus import wire

REQUEST_ID = "X-Request-Id"
"""A caller's own id: asked again with it, the same agent does not carry the request out again."""
TIMEOUT = "X-Request-Timeout"
"""Seconds that the caller waits; the method's own deadline where it is less."""
CONNECT_S = 10.0
GRACE_S = 5.0
"""So much longer than its deadline is an answer waited for: the hub itself says that it is late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a hub is, and as whom it is asked.

    Attributes:
        ca: PEM file of the authorities to trust; None for the system's.
    """

    url: str
    token: str = field(default="", repr=False)
    ca: Path | None = None

    def checked(self) -> Place:
        """Return this place, if a hub may be there.

        Raises:
            InvalidRequestError: The URL is none, or the CA's file cannot be used.
        """
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query:
            raise errors.InvalidRequestError(
                f"hub {self.url!r}: must be a URL, e.g. https://hub.example:8090"
            )
        self.tls()
        return self

    def tls(self) -> ssl.SSLContext | None:
        """Return what TLS connections are made with; None for plain HTTP.

        Raises:
            InvalidRequestError: The CA's file cannot be used.
        """
        if urlsplit(self.url).scheme != "https":
            return None
        try:
            return ssl.create_default_context(cafile=self.ca)
        except (OSError, ssl.SSLError) as error:
            raise errors.InvalidRequestError(
                f"CA file {self.ca}: {error.strerror or error}"
            ) from error

    def access(self, instance: str) -> kubeconfig.Access:
        """Return how a client reaches an instance's Kubernetes API through the hub.

        Raises:
            InvalidRequestError: No instance can have that name.
        """
        records.check_instance(instance)
        return kubeconfig.Access(
            server=f"{self.url.rstrip('/')}/v1/instances/{instance}/kubernetes",
            origin=f"the hub's address {self.url}",
            context=instance,
            ca_data=self.ca.read_bytes() if self.ca is not None else b"",
            token=self.token,
        )


class HubClient:
    """A hub, as a caller sees it. Close it, or use `async with`."""

    def __init__(
        self,
        place: Place,
        *,
        ids: id_sources.IdSource | None = None,
        deadlines_s: Mapping[str, float] = protocol.DEADLINES_S,
    ) -> None:
        self._place = place.checked()
        self._ids = ids or id_sources.SystemIds()
        self._deadlines_s = deadlines_s
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Give up the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def instances(self) -> list[objects.Object]:
        """Return what the hub knows of each instance, by name.

        Raises:
            PlatformError: The hub refuses, or cannot be reached.
        """
        found: list[objects.Object] = await self._json("GET", "/v1/instances")
        return found

    def platform(self, instance: str) -> wire.CarriedPlatform:
        """Return an instance's platform; each call finds out whether it is connected.

        Raises:
            InvalidRequestError: No instance can have that name.
        """
        records.check_instance(instance)
        return wire.CarriedPlatform(
            functools.partial(self._carry, instance),
            name=f"instance {instance}",
            ids=self._ids,
            deadlines_s=self._deadlines_s,
        )

    async def _carry(self, instance: str, request: wire.Request) -> wire.Response:
        path = f"/v1/instances/{instance}/calls/{request.method}"
        headers = {
            REQUEST_ID: request.id,
            TIMEOUT: f"{request.deadline_s:.3f}",
            "Content-Type": "application/json",
        }
        try:
            answer = await self._json(
                "POST",
                path,
                body=json.dumps(request.arguments).encode(),
                headers=headers,
                timeout_s=request.deadline_s + GRACE_S,
            )
        except errors.PlatformError as error:
            return wire.Response(id=request.id, error=error)
        return wire.Response(id=request.id, result=answer.get("result"))

    async def _json(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        timeout_s: float = 60.0,
    ) -> objects.Json:
        """Ask, and return the JSON that answers; an error in it is raised."""
        try:
            async with self._open().request(
                method,
                self._place.url.rstrip("/") + path,
                data=None if body is None else io.BytesIO(body),
                headers=headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_S),
            ) as answer:
                content = await answer.read()
        except TimeoutError as error:
            raise errors.DeadlineError(f"the hub did not answer within {timeout_s:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise errors.UnavailableError(
                f"the hub {self._place.url} cannot be reached: {error}"
            ) from error
        return _parsed(content, answer.status, self._place.url)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            tls = self._place.tls()
            headers = {"Authorization": f"Bearer {self._place.token}"} if self._place.token else {}
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ssl=tls if tls is not None else True),
                headers=headers,
                trust_env=not http.is_loopback(self._place.url),
            )
        return self._session


def _parsed(content: bytes, status: int, url: str) -> objects.Json:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        shown = " ".join(content[:100].decode(errors="replace").split())
        raise errors.UnavailableError(
            f"{url} does not answer as a hub: {status} {shown}", retryable=False
        ) from error
    if isinstance(found, dict) and isinstance(found.get("error"), dict):
        raise errors.from_json(found["error"])
    return found
