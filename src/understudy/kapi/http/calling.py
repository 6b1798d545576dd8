"""Calls to webhooks over HTTPS: of admission and of conversion alike.

What goes wrong is told as Go's client tells it, because kube-apiserver passes those words on and
people (and programs) know them.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import re
import ssl
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import orjson

from understudy.kapi.resources import calls
from understudy.kube import goformats, objects

if TYPE_CHECKING:
    import aiohttp

ANSWER_BYTES_MAX = 32 * 1024 * 1024
"""Largest answer that is read. Conversions of whole lists are the largest there are."""
_CONTEXTS_MAX = 128
_AGENT = "kube-apiserver-admission"
_CALLED = re.compile(r"Connect call failed \('([^']+)', (\d+)")
_ERRORS = {
    errno.ECONNREFUSED: "connect: connection refused",
    errno.ECONNRESET: "read: connection reset by peer",
    errno.EHOSTUNREACH: "connect: no route to host",
    errno.ENETUNREACH: "connect: network is unreachable",
    errno.ETIMEDOUT: "connect: connection timed out",
}
_UNKNOWN_CA = "certificate signed by unknown authority"
_CERTIFICATE_FAULTS = {
    9: "certificate has expired or is not yet valid",
    10: "certificate has expired or is not yet valid",
    18: _UNKNOWN_CA,
    19: _UNKNOWN_CA,
    20: _UNKNOWN_CA,
    21: _UNKNOWN_CA,
}

_GENERIC = {
    400: "the server rejected our request for an unknown reason",
    401: "the server has asked for the client to provide credentials",
    404: "the server could not find the requested resource",
    405: "the server does not allow this method on the requested resource",
    406: "the server was unable to respond with a content type that the client supports",
    409: "the server reported a conflict",
    410: "the server says the resource is gone",
    415: "the server was unable to respond with a content type that the client supports",
    429: "the server has received too many requests and has asked us to try again later",
    503: "the server is currently unable to handle the request",
    504: "the server was unable to return a response in the time allotted, but may still be "
    "processing the request",
}


class Caller:
    """Makes calls over connections that it keeps; close it when done.

    `addresses` says where services are (`namespace/name` -> `host:port`), whatever their endpoints.
    """

    __slots__ = ("_addresses", "_context", "_session")

    def __init__(self, addresses: Mapping[str, str] | None = None) -> None:
        self._addresses: dict[str, str] = {}
        for service, address in (addresses or {}).items():
            namespace, _, name = service.partition("/")
            self._addresses[f"{name}.{namespace}.svc"] = address
        self._session: aiohttp.ClientSession | None = None
        self._context = functools.lru_cache(_CONTEXTS_MAX)(_context)

    async def __call__(self, wanted: Sequence[calls.Call]) -> list[calls.Answer]:
        """Make calls, all at once; answers in their order."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._answer(call)) for call in wanted]
        return [task.result() for task in tasks]

    async def close(self) -> None:
        """Let the connections go."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _answer(self, call: calls.Call) -> calls.Answer:
        url = f"{call.target.url}?timeout={call.timeout_s}s"
        try:
            context = self._context(call.target.ca)
        except ValueError as error:
            return calls.Answer(failure=str(error), unsent=True)
        try:
            return calls.Answer(value=await self._post(call, url, context))
        except _UnansweredError as error:
            return calls.Answer(failure=str(error))

    async def _post(self, call: calls.Call, url: str, context: ssl.SSLContext) -> objects.Json:
        import aiohttp  # noqa: PLC0415 (most servers call no webhook, and it takes long to load)

        host = url.split("/")[2]
        name = host.rpartition(":")[0] or host
        address = self._addresses.get(name, call.target.address)
        if call.target.failure and name not in self._addresses:
            raise _failed(url, call.target.failure)
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30.0),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        dialled = url.replace(host, address, 1) if address else url
        try:
            async with self._session.post(
                dialled,
                data=orjson.dumps(call.review),
                headers={
                    "Host": host,
                    "Content-Type": "application/json",
                    "Accept": "application/json, */*",
                    "User-Agent": _AGENT,
                },
                ssl=context,
                server_hostname=name if address else None,
                timeout=aiohttp.ClientTimeout(total=call.timeout_s),
                allow_redirects=False,
            ) as answer:
                return _read(answer.status, await _body(answer))
        except TimeoutError:
            raise _failed(url, "context deadline exceeded") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _failed(url, _fault(error, host)) from None


class _UnansweredError(Exception):
    """A call that brought no answer; the text is what Go's client would say."""


def _failed(url: str, why: str) -> _UnansweredError:
    return _UnansweredError(f"Post {goformats.quoted(url)}: {why}")


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    pieces: list[bytes] = []
    size = 0
    async for piece in answer.content.iter_any():
        pieces.append(piece)
        size += len(piece)
        if size > ANSWER_BYTES_MAX:
            raise ValueError(f"the answer is larger than {ANSWER_BYTES_MAX} bytes")
    return b"".join(pieces)


def _context(ca: str) -> ssl.SSLContext:
    """Return what trusts a CA, or whom the system trusts.

    Raises:
        ValueError: The CA is none; the text is client-go's.
    """
    try:
        context = ssl.create_default_context(cadata=ca or None)
    except (ssl.SSLError, ValueError):
        why = "no valid certificate authority data seen"
        if "-----BEGIN " not in ca:
            why = "unable to parse bytes as PEM block"
        elif "-----BEGIN CERTIFICATE-----" in ca:
            why = "failed to parse certificate: x509: malformed certificate"
        raise ValueError(f"unable to load root certificates: {why}") from None
    context.set_alpn_protocols(["http/1.1"])
    return context


def _read(status: int, body: bytes) -> objects.Json:
    """Return an answer's JSON.

    Raises:
        _UnansweredError: The status is no success, or the body is no JSON.
    """
    try:
        value: objects.Json = orjson.loads(body)
    except orjson.JSONDecodeError:
        value = None
    if not 200 <= status < 300:
        if isinstance(value, dict) and value.get("kind") == "Status" and value.get("message"):
            raise _UnansweredError(str(value["message"]))
        raise _UnansweredError(_generic(status, body))
    if value is None:
        text = body.decode("utf-8", "replace")
        raise _UnansweredError(
            f"couldn't get version/kind; json parse error: invalid character '{text.strip()[0]}' "
            "looking for beginning of value"
            if text.strip()
            else "unexpected end of JSON input"
        )
    return value


def _generic(status: int, body: bytes) -> str:
    """Return what client-go makes of an answer that is no Status (`NewGenericServerResponse`)."""
    if status in _GENERIC:
        return _GENERIC[status]
    said = body.decode("utf-8", "replace").strip() or "unknown"
    if status == 403:
        return said
    if status >= 500:
        shown = goformats.quoted(said)
        return f"an error on the server ({shown}) has prevented the request from succeeding"
    return f"the server responded with the status code {status} but did not return more information"


def _fault(error: Exception, host: str) -> str:
    """Return why a connection, or what came over it, failed."""
    import aiohttp  # noqa: PLC0415 (as above)

    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"dial tcp: lookup {host.rpartition(':')[0] or host}: no such host"
    if isinstance(cause := error.__cause__, ssl.SSLError):
        return _tls_fault(cause, host)
    if isinstance(error, aiohttp.ClientConnectorError):
        found = _CALLED.search(str(error.os_error))
        where = f"{found[1]}:{found[2]}" if found else f"{error.host}:{error.port}"
        number = error.os_error.errno or errno.ECONNREFUSED
        return f"dial tcp {where}: {_ERRORS.get(number, str(error.os_error))}"
    if isinstance(error, (aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError)):
        return "EOF"
    if isinstance(error, OSError) and error.errno in _ERRORS:
        return _ERRORS[error.errno]
    return str(error)


def _tls_fault(error: ssl.SSLError, host: str) -> str:
    """Return why TLS failed."""
    if not isinstance(error, ssl.SSLCertVerificationError):
        if error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"):
            return "http: server gave HTTP response to HTTPS client"
        return f"remote error: tls: {(error.reason or str(error)).replace('_', ' ').lower()}"
    name = host.rpartition(":")[0] or host
    why = _CERTIFICATE_FAULTS.get(error.verify_code)
    if why is None and error.verify_code == 64:
        why = f"cannot validate certificate for {name} because it doesn't contain any IP SANs"
    if why is None and error.verify_code == 62:
        why = f"certificate is not valid for any names, but wanted to match {name}"
    return f"tls: failed to verify certificate: x509: {why or error.verify_message}"
