"""`HttpClient`: the Client protocol over HTTP(S), for any Kubernetes API server.

One connection pool per client; connections are reused and never shared between clients. Answers
are read whole except for watches and logs, which are read line by line as they come. A request
that the server refused to take (429, or 503 with Retry-After) is sent again after the time it
asked for, at most `HttpSettings.retries_max` times; every other refusal is the caller's to see.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import quote, urlsplit

import aiohttp
import multidict
import orjson

from understudy.aio import clocks
from understudy.client import credentials, discovery, errors, kubeconfig, protocol
from understudy.kube import objects, statuses

_JSON = "application/json"
LULL_S = 0.05
"""A stream that is relayed in pieces ends a piece when nothing came for so long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """How a client behaves towards a server.

    Attributes:
        connections_max: Connections at once to the server; 32 keeps a delivery's parallel
            writes apart from its watches without troubling a small server.
        connect_timeout_s: For TCP and TLS together; 10 s tells a dead address from a far one.
        request_timeout_s: For one answer that is not a watch; a server's own limit is 60 s.
        retries_max: How often a request is sent again when the server says "later".
        retry_after_max_s: The longest wait that a server may ask for; longer is the caller's.
        user_agent: How the client calls itself; the part before `/` owns fields that are
            written without a field manager.
    """

    connections_max: int = 32
    connect_timeout_s: float = 10.0
    request_timeout_s: float = 65.0
    retries_max: int = 4
    retry_after_max_s: float = 30.0
    user_agent: str = "understudy/0.1"


class RawAnswer(NamedTuple):
    """An answer as it came."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class HttpClient:
    """A Kubernetes API behind a URL; implements `protocol.Client`. Close it, or use `async with`.

    Attributes:
        access: Where and as whom; `access.namespace` is the context's namespace.
    """

    __slots__ = (
        "_clock", "_credentials", "_discovering", "_index", "_session", "_settings", "_tls",
        "access",
    )  # fmt: skip

    def __init__(
        self,
        access: kubeconfig.Access,
        *,
        settings: HttpSettings | None = None,
        clock: clocks.Clock | None = None,
    ) -> None:
        self.access = access
        self._settings = settings or HttpSettings()
        self._clock = clock or clocks.SystemClock()
        self._credentials = credentials.Credentials(access, self._clock)
        self._session: aiohttp.ClientSession | None = None
        self._tls: ssl.SSLContext | None = None
        self._index: discovery.Index | None = None
        self._discovering = asyncio.Lock()

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
        if self._session is not None:
            await self._session.close()
            self._session = None

    # ------------------------------------------------------------------ discovery

    async def discover(self, *, refresh: bool = False) -> protocol.Discovery:
        return await self._discover(refresh=refresh)

    async def _discover(self, *, refresh: bool = False) -> discovery.Index:
        if self._index is not None and not refresh:
            return self._index
        seen = self._index
        async with self._discovering:
            # Whoever waited for a running refresh takes its result: it began after they asked.
            if self._index is None or self._index is seen:
                self._index = await self._read_discovery()
            return self._index

    async def _read_discovery(self) -> discovery.Index:
        headers = {"Accept": discovery.AGGREGATED}
        core = await self._json("GET", "/api", headers=headers)
        groups = await self._json("GET", "/apis", headers=headers)
        if core.get("kind") == groups.get("kind") == "APIGroupDiscoveryList":
            return discovery.Index(discovery.from_aggregated((core, groups)))
        paths = [f"/api/{version}" for version in core.get("versions") or ()]
        paths += [f"/apis/{text}" for text in discovery.versions_of(groups)]
        answers: dict[str, objects.Object] = {}

        async def read(path: str) -> None:
            # A group whose extension server is away must not hide the others.
            with contextlib.suppress(statuses.ApiError):
                answers[path] = await self._json("GET", path)

        async with asyncio.TaskGroup() as group:
            for path in paths:
                group.create_task(read(path))
        return discovery.Index(
            discovery.from_lists([answers[path] for path in paths if path in answers])
        )

    async def _find(self, resource: str) -> protocol.ApiResource:
        found = (await self._discover()).named(resource)
        if found is None:
            found = (await self._discover(refresh=True)).named(resource)
        if found is None:
            raise discovery.unknown_resource(resource)
        return found

    async def version(self) -> objects.Object:
        return await self._json("GET", "/version")

    # ------------------------------------------------------------------ reads

    async def get(
        self, resource: str, name: str, *, namespace: str = "", subresource: str = ""
    ) -> objects.Object:
        item = await self._find(resource)
        discovery.require_namespace(item, namespace)
        return await self._json("GET", _path(item, namespace, name, subresource))

    async def list(
        self,
        resource: str,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_token: str = "",
        resource_version: str = "",
        resource_version_match: str = "",
    ) -> protocol.Listing:
        item = await self._find(resource)
        query = _query(
            labelSelector=label_selector,
            fieldSelector=field_selector,
            limit=str(limit) if limit else "",
            resourceVersion=resource_version,
            resourceVersionMatch=resource_version_match,
        )
        query |= _query(**{"continue": continue_token})
        answer = await self._json("GET", _path(item, namespace), query=query)
        meta = objects.metadata(answer)
        kind = {"apiVersion": item.api_version, "kind": item.kind}
        return protocol.Listing(
            items=[kind | entry for entry in answer.get("items") or ()],
            resource_version=str(meta.get("resourceVersion") or ""),
            continue_token=str(meta.get("continue") or ""),
            remaining=meta.get("remainingItemCount"),
        )

    async def watch(
        self,
        resource: str,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        resource_version: str = "",
        allow_bookmarks: bool = False,
        send_initial_events: bool = False,
        timeout_s: int | None = None,
    ) -> AsyncGenerator[protocol.WatchEvent, None]:
        item = await self._find(resource)
        query = _query(
            watch="true",
            labelSelector=label_selector,
            fieldSelector=field_selector,
            resourceVersion=resource_version,
            resourceVersionMatch="NotOlderThan" if send_initial_events else "",
            allowWatchBookmarks="true" if allow_bookmarks or send_initial_events else "",
            sendInitialEvents="true" if send_initial_events else "",
            timeoutSeconds="" if timeout_s is None else str(timeout_s),
        )
        path = _path(item, namespace)
        answer = await self._send("GET", path, query=query, streaming=True)
        try:
            if answer.status >= 300:
                raise _refusal(answer.status, await answer.read(), self.access.server)
            async for line in self._lines(answer):
                if not line.strip():
                    continue
                event = self._parse(line)
                yield protocol.WatchEvent(event["type"], event["object"])
        finally:
            answer.close()

    async def _lines(
        self, answer: aiohttp.ClientResponse, *, unended: bool = False
    ) -> AsyncIterator[bytes]:
        """Yield the lines of a stream (an object of any size is one), the `unended` last too."""
        parts: list[bytes] = []
        try:
            async for chunk in answer.content.iter_any():
                *ended, rest = chunk.split(b"\n")
                for line in ended:
                    yield b"".join((*parts, line))
                    parts.clear()
                if rest:
                    parts.append(rest)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._transport_error(error) from error
        if parts and unended:
            yield b"".join(parts)

    # ------------------------------------------------------------------ writes

    async def create(
        self,
        resource: str,
        obj: objects.Object,
        *,
        namespace: str = "",
        name: str = "",
        subresource: str = "",
        field_manager: str = "",
        field_validation: str = "",
        dry_run: bool = False,
    ) -> objects.Object:
        item = await self._find(resource)
        namespace = namespace or objects.namespace_of(obj)
        discovery.require_namespace(item, namespace, creating=True)
        path = _path(item, namespace, name if subresource else "", subresource)
        query = _writing(field_manager, field_validation, dry_run)
        return await self._json("POST", path, query=query, body=orjson.dumps(obj))

    async def update(
        self,
        resource: str,
        obj: objects.Object,
        *,
        namespace: str = "",
        subresource: str = "",
        field_manager: str = "",
        field_validation: str = "",
        dry_run: bool = False,
    ) -> objects.Object:
        item = await self._find(resource)
        namespace = namespace or objects.namespace_of(obj)
        discovery.require_namespace(item, namespace)
        path = _path(item, namespace, objects.name_of(obj), subresource)
        query = _writing(field_manager, field_validation, dry_run)
        return await self._json("PUT", path, query=query, body=orjson.dumps(obj))

    async def patch(
        self,
        resource: str,
        name: str,
        patch: objects.Json,
        *,
        namespace: str = "",
        patch_type: str = protocol.MERGE_PATCH,
        subresource: str = "",
        field_manager: str = "",
        field_validation: str = "",
        dry_run: bool = False,
    ) -> objects.Object:
        item = await self._find(resource)
        discovery.require_namespace(item, namespace)
        return await self._json(
            "PATCH",
            _path(item, namespace, name, subresource),
            query=_writing(field_manager, field_validation, dry_run),
            body=orjson.dumps(patch),
            headers={"Content-Type": patch_type},
        )

    async def apply(
        self,
        resource: str,
        obj: objects.Object,
        *,
        field_manager: str,
        namespace: str = "",
        subresource: str = "",
        force: bool = False,
        field_validation: str = "",
        dry_run: bool = False,
    ) -> objects.Object:
        item = await self._find(resource)
        namespace = namespace or objects.namespace_of(obj)
        discovery.require_namespace(item, namespace)
        query = _writing(field_manager, field_validation, dry_run)
        return await self._json(
            "PATCH",
            _path(item, namespace, objects.name_of(obj), subresource),
            query=query | _query(force="true" if force else ""),
            body=orjson.dumps(obj),
            headers={"Content-Type": protocol.APPLY_PATCH},
        )

    async def delete(
        self,
        resource: str,
        name: str,
        *,
        namespace: str = "",
        propagation_policy: str = "",
        grace_period_s: int | None = None,
        uid: str = "",
        resource_version: str = "",
        dry_run: bool = False,
    ) -> objects.Object:
        item = await self._find(resource)
        discovery.require_namespace(item, namespace)
        body = _delete_options(propagation_policy, grace_period_s, dry_run)
        preconditions = {"uid": uid, "resourceVersion": resource_version}
        preconditions = {key: value for key, value in preconditions.items() if value}
        if preconditions:
            body["preconditions"] = preconditions
        path = _path(item, namespace, name)
        return await self._json("DELETE", path, body=orjson.dumps(body))

    async def delete_collection(
        self,
        resource: str,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        propagation_policy: str = "",
        grace_period_s: int | None = None,
        dry_run: bool = False,
    ) -> None:
        item = await self._find(resource)
        await self._json(
            "DELETE",
            _path(item, namespace),
            query=_query(labelSelector=label_selector, fieldSelector=field_selector),
            body=orjson.dumps(_delete_options(propagation_policy, grace_period_s, dry_run)),
        )

    # ------------------------------------------------------------------ logs

    async def logs(
        self,
        pod: str,
        *,
        namespace: str,
        container: str = "",
        follow: bool = False,
        previous: bool = False,
        timestamps: bool = False,
        since: dt.datetime | None = None,
        tail_lines: int | None = None,
    ) -> AsyncGenerator[bytes, None]:
        query = _query(
            container=container,
            follow="true" if follow else "",
            previous="true" if previous else "",
            timestamps="true" if timestamps else "",
            sinceTime=clocks.rfc3339(since) if since is not None else "",
            tailLines="" if tail_lines is None else str(tail_lines),
        )
        path = _path(await self._find("pods"), namespace, pod, "log")
        answer = await self._send("GET", path, query=query, streaming=True)
        try:
            if answer.status >= 300:
                raise _refusal(answer.status, await answer.read(), self.access.server)
            async for line in self._lines(answer, unended=True):
                yield line.rstrip(b"\r")
        finally:
            answer.close()

    # ------------------------------------------------------------------ requests

    async def call(
        self, method: str, path: str, body: objects.Object | None = None
    ) -> objects.Object:
        """Ask an endpoint that is no Kubernetes verb, below the server's URL; returns its JSON.

        Example: `await client.call("POST", "/views", {"name": "trial"})`. Raises as any verb does.
        """
        return await self._json(method, path, body=None if body is None else orjson.dumps(body))

    async def relay(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        stream_s: float = 0.0,
    ) -> RawAnswer:
        """Send somebody else's request as it is; return the answer as it is, whatever its status.

        With `stream_s` the answer is one that does not end by itself (a watch): what comes until
        the first lull after something came is returned, at the latest after so many seconds.
        """
        is_stream = stream_s > 0
        answer = await self._send(method, path, body=body, headers=headers, streaming=is_stream)
        if answer.status == 401 and self._credentials.forget():
            answer.release()
            answer = await self._send(method, path, body=body, headers=headers, streaming=is_stream)
        try:
            if is_stream and answer.status < 300:
                content = await _until_lull(answer, stream_s)
            else:
                content = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._transport_error(error) from error
        finally:
            if is_stream:
                answer.close()
            else:
                answer.release()
        return RawAnswer(answer.status, answer.headers, content)

    async def _json(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> objects.Object:
        """Send a request and return the JSON object that answers it."""
        for attempt in range(self._settings.retries_max + 1):
            answer = await self._send(method, path, query=query, body=body, headers=headers)
            try:
                content = await answer.read()
            except (aiohttp.ClientError, TimeoutError) as error:
                raise self._transport_error(error) from error
            finally:
                answer.release()
            if answer.status < 300:
                return self._parse(content)
            refusal = _refusal(answer.status, content, self.access.server)
            delay = self._delay(answer, attempt)
            if delay is None:
                raise refusal
            await self._clock.sleep(delay)
        raise AssertionError("the last attempt returns or raises")

    def _delay(self, answer: aiohttp.ClientResponse, attempt: int) -> float | None:
        """Return seconds to wait before sending the request again, None not to.

        Retry-After on 429 and 503 says that the request was not taken, so any verb may be
        repeated; a 429 of an eviction (a disruption budget) is an answer, not a plea.
        """
        if attempt >= self._settings.retries_max:
            return None
        if answer.status == 401 and attempt == 0 and self._credentials.forget():
            return 0.0
        asked = answer.headers.get("Retry-After", "")
        if answer.status not in (429, 503) or not asked.isdigit():
            return None
        if answer.url.path.endswith("/eviction") or int(asked) > self._settings.retry_after_max_s:
            return None
        return float(max(1, int(asked)))

    async def _send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        streaming: bool = False,
    ) -> aiohttp.ClientResponse:
        session = await self._open()
        sent = multidict.CIMultiDict({"Accept": _JSON})
        if body is not None:
            sent["Content-Type"] = _JSON
        sent.update(headers or {})
        sent.extend(await self._credentials.headers())
        limits = aiohttp.ClientTimeout(
            total=None if streaming else self._settings.request_timeout_s,
            sock_connect=self._settings.connect_timeout_s,
        )
        try:
            return await session.request(
                method,
                self.access.server + path,
                params=dict(query or {}),
                data=body,
                headers=sent,
                timeout=limits,
                proxy=self.access.proxy_url or None,
                server_hostname=self.access.tls_server_name or None,
                ssl=self._tls if self._tls is not None else True,
                allow_redirects=False,
            )
        except (aiohttp.ClientError, TimeoutError, ssl.SSLError, OSError) as error:
            raise self._transport_error(error) from error

    async def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._tls = await self._credentials.tls()
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._settings.connections_max),
                headers={"User-Agent": self._settings.user_agent},
                skip_auto_headers=("Content-Type",),
                trust_env=not is_loopback(self.access.server),
                read_bufsize=1 << 20,
            )
        return self._session

    def _parse(self, content: bytes) -> objects.Object:
        try:
            parsed = orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise self._not_kubernetes(content) from error
        if not isinstance(parsed, dict):
            raise self._not_kubernetes(content)
        return parsed

    def _not_kubernetes(self, content: bytes) -> errors.NotKubernetesError:
        shown = content[:60].decode(errors="replace")
        return errors.NotKubernetesError(
            f"{self.access.server} does not answer as a Kubernetes API server: {shown!r}",
            server=self.access.server,
        )

    def _transport_error(self, error: Exception) -> errors.TransportError:
        """Map every failure of the HTTP library to one of ours, the most specific first."""
        server = self.access.server
        if isinstance(error, (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError)):
            return errors.CertificateError(
                f"the certificate of {server} is not accepted: {_reason(error)}", server=server
            )
        if isinstance(error, aiohttp.ClientConnectorError):
            return errors.ConnectionFailedError(
                f"no Kubernetes API answers at {server} ({_reason(error)}): is the server "
                f"running, and is {self.access.origin or 'the address'} the right one?",
                server=server,
            )
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return errors.ConnectionFailedError(
                f"{server} cannot be connected to within {self._settings.connect_timeout_s:g} s",
                server=server,
            )
        if isinstance(error, TimeoutError):
            return errors.RequestTimeoutError(
                f"{server} did not answer within {self._settings.request_timeout_s:g} s",
                server=server,
            )
        if isinstance(error, (aiohttp.ClientPayloadError, aiohttp.ServerConnectionError, OSError)):
            return errors.StreamBrokenError(
                f"the connection to {server} ended before the answer did: {_reason(error)}",
                server=server,
            )
        return errors.NotKubernetesError(
            f"{server} did not answer as a Kubernetes API server: {_reason(error)}", server=server
        )


async def _until_lull(answer: aiohttp.ClientResponse, longest_s: float) -> bytes:
    """Return the whole lines of a stream up to its first lull."""
    content, wait_s = b"", longest_s
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(longest_s):
            while chunk := await asyncio.wait_for(answer.content.readany(), wait_s):
                content += chunk
                if content.endswith(b"\n"):
                    wait_s = LULL_S
    return content[: content.rfind(b"\n") + 1]


def is_loopback(url: str) -> bool:
    """Whether a URL's host is this machine: Go's clients never ask a proxy for such a one."""
    host = urlsplit(url).hostname or ""
    return host == "localhost" or host.startswith("127.") or host == "::1"


def _reason(error: BaseException) -> str:
    """Return the operating system's or TLS library's words for a failure."""
    if isinstance(error, aiohttp.ClientConnectorError):
        inner: BaseException = error.os_error
        if isinstance(inner, OSError) and inner.strerror and inner.errno:
            words = inner.strerror.lower()
            return "connection refused" if "refused" in str(inner).lower() else words
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        inner = error.certificate_error
        return str(getattr(inner, "verify_message", "") or inner)
    return str(error) or type(error).__name__


def _refusal(status: int, content: bytes, server: str) -> Exception:
    """Return the error that an answer of 300 or more stands for."""
    with contextlib.suppress(orjson.JSONDecodeError):
        parsed = orjson.loads(content)
        if isinstance(parsed, dict) and parsed.get("kind") == "Status":
            return statuses.from_status(parsed, status)
    text = " ".join(content[:200].decode(errors="replace").split())
    if status < 400 or (status == 404 and not text):
        return errors.NotKubernetesError(
            f"{server} answers {status} and no Kubernetes status: is its path right?",
            server=server,
        )
    return statuses.from_status({"message": text or f"{server} answered {status}"}, status)


def _path(
    item: protocol.ApiResource, namespace: str = "", name: str = "", subresource: str = ""
) -> str:
    root = f"/apis/{item.group}/{item.version}" if item.group else f"/api/{item.version}"
    parts = [root]
    if item.namespaced and namespace:
        parts += ("namespaces", quote(namespace, safe=""))
    parts.append(item.plural)
    if name:
        parts.append(quote(name, safe=":"))
    if subresource:
        parts.append(quote(subresource, safe="/"))
    return "/".join(parts)


def _query(**parameters: str) -> dict[str, str]:
    return {key: value for key, value in parameters.items() if value}


def _writing(field_manager: str, field_validation: str, dry_run: bool) -> dict[str, str]:
    return _query(
        fieldManager=field_manager,
        fieldValidation=field_validation,
        dryRun="All" if dry_run else "",
    )


def _delete_options(
    propagation_policy: str, grace_period_s: int | None, dry_run: bool
) -> objects.Object:
    body: objects.Object = {"kind": "DeleteOptions", "apiVersion": "v1"}
    if propagation_policy:
        body["propagationPolicy"] = propagation_policy
    if grace_period_s is not None:
        body["gracePeriodSeconds"] = grace_period_s
    if dry_run:
        body["dryRun"] = ["All"]
    return body
