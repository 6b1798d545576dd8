"""Requests passed on to a port of a pod (`pods/NAME/proxy/...`, `services/NAME/proxy/...`).

The request is sent as it came, without what belongs to the connection or proves to this server who
asks; the answer is streamed back as it comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Final
from urllib import parse

import httptools

from understudy.kapi.http import exchanges, logs, responses
from understudy.kapi.views import view as views
from understudy.kube import objects, selectors, statuses

_HOP_BY_HOP: Final = frozenset({
    b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"te", b"trailer",
    b"transfer-encoding", b"upgrade", b"content-length", b"host", b"expect", b"date",
})  # fmt: skip
_PRIVATE: Final = re.compile(rb"authorization|impersonate-.*|cookie2?")
_BODILESS: Final = (204, 304)
_READ_BYTES: Final = 64 * 1024
_HEAD_BYTES_MAX: Final = 256 * 1024
_HEAD_TIMEOUT_S: Final = 60.0
"""How long a port may take until it begins to answer, as for any request to kube-apiserver."""

Dial = Callable[[objects.Object, int], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


def split(name: str) -> tuple[str, str]:
    """Return name and port of `name`, `name:port` or `http:name:port`; the port may be a name.

    Raises:
        BadRequestError: Neither of these, or https, which no connection here speaks.
    """
    parts = name.split(":")
    if len(parts) == 3 and parts[0] in ("", "http"):
        parts = parts[1:]
    if len(parts) > 2:
        why = (
            "https is not spoken to pods here" if parts[0] == "https" else "not [http:]NAME[:PORT]"
        )
        raise statuses.BadRequestError(f'invalid proxy request "{name}": {why}')
    return parts[0], parts[1] if len(parts) == 2 else ""


def pod_port(pod: objects.Object, port: str) -> int:
    """Return a pod's port by number or name; without one the first that a container declares.

    Raises:
        BadRequestError: There is none.
    """
    declared = [
        one
        for container in (pod.get("spec") or {}).get("containers") or ()
        for one in container.get("ports") or ()
    ]
    if port.isdecimal():
        return int(port)
    for one in declared:
        if not port or one.get("name") == port:
            return int(one["containerPort"])
    what = f'port "{port}"' if port else "port"
    raise statuses.BadRequestError(f"pod {objects.name_of(pod)} declares no {what}: name a number")


def backend(view: views.View, service: objects.Object, port: str) -> tuple[objects.Object, int]:
    """Return a ready pod behind a service, and its port for one of the service's.

    Raises:
        ServiceUnavailableError: The service has no such port, or nothing is ready behind it.
    """
    name, namespace = objects.name_of(service), objects.namespace_of(service)
    ports = (service.get("spec") or {}).get("ports") or []
    found = [
        one for one in ports
        if port in (one.get("name"), str(one.get("port"))) or (not port and len(ports) == 1)
    ]  # fmt: skip
    if not found:
        raise statuses.ServiceUnavailableError(
            f'no service port "{port}" found for service "{name}"'
        )
    # Differs: EndpointSlices would say it, but may not hold the loopback addresses of processes.
    selector = (service.get("spec") or {}).get("selector") or {}
    chosen = selectors.from_labels(selector)
    for pod in view.each("pods", namespace) if selector else ():
        if chosen.matches(objects.labels_of(pod)) and _is_ready(pod):
            wanted = found[0].get("targetPort") or found[0]["port"]
            return pod, pod_port(pod, str(wanted))
    raise statuses.ServiceUnavailableError(f'no endpoints available for service "{name}"')


def _is_ready(pod: objects.Object) -> bool:
    return any(
        one.get("type") == "Ready" and one.get("status") == "True"
        for one in (pod.get("status") or {}).get("conditions") or ()
    )


async def forward(
    request: exchanges.Request,
    pod: objects.Object,
    port: int,
    dial: Dial,
    on_closed: Callable[[], None],
) -> exchanges.Answer:
    """Send a request to a pod's port and return what it answers.

    Raises:
        ServiceUnavailableError: Nothing answers there.
    """
    try:
        reader, writer = await dial(pod, port)
    except OSError as error:
        on_closed()
        raise _unreachable(error) from error
    answer = _Answer()
    try:
        writer.write(_sent(request, f"{objects.name_of(pod)}:{port}"))
        async with asyncio.timeout(_HEAD_TIMEOUT_S):
            while not answer.has_head:
                data = await reader.read(_READ_BYTES)
                answer.feed(data)
    except (OSError, TimeoutError, httptools.HttpParserError) as error:
        writer.close()
        on_closed()
        raise _unreachable(error) from error
    if answer.is_complete or answer.status in _BODILESS:
        writer.close()
        on_closed()
        return responses.Response(
            answer.status, answer.taken(), answer.content_type, answer.headers, compressible=False
        )
    return _ProxiedStream(answer, reader, writer, on_closed)


def _unreachable(error: Exception) -> statuses.ServiceUnavailableError:
    why = (error.strerror if isinstance(error, OSError) else None) or str(error) or "no answer"
    return statuses.ServiceUnavailableError(f"error trying to reach service: {why}")


def target(request: exchanges.Request) -> bytes:
    """Return the path and query that the port is asked for: what stands behind `/proxy`."""
    path, mark, query = request.target.partition(b"?")
    found = re.search(rb"/(?:pods|services)/[^/]+/proxy(/.*)?$", path)
    behind = (found.group(1) if found is not None else None) or b"/"
    return behind + mark + query


def _sent(request: exchanges.Request, host: str) -> bytes:
    lines = [b"%b %b HTTP/1.1" % (request.method.encode(), target(request)),
             b"host: " + host.encode(), b"connection: close"]  # fmt: skip
    for name, value in request.headers.items():
        if name not in _HOP_BY_HOP and not _PRIVATE.fullmatch(name):
            lines += [b"%b: %b" % (name, one) for one in value.split(b"\n")]
    path = parse.quote(request.target.partition(b"?")[0], safe="/:%-._~")
    lines += [b"x-forwarded-for: " + request.peer.encode(), b"x-forwarded-uri: " + path.encode()]
    if request.body or request.method in ("POST", "PUT", "PATCH"):
        lines.append(b"content-length: %d" % len(request.body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + request.body


class _Answer:
    """What a port answers, as far as it has come; filled by httptools."""

    def __init__(self) -> None:
        self.status = 0
        self.content_type = ""
        self.headers: list[responses.Header] = []
        self.pieces: list[bytes] = []
        self.has_head = False
        self.is_complete = False
        self._head_bytes = 0
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Take bytes; none mean that nothing more comes.

        Raises:
            HttpParserError: They are no HTTP. ConnectionResetError: the end came too early.
        """
        if not data and not self.has_head:
            raise ConnectionResetError("the connection was closed without an answer")
        self.is_complete = self.is_complete or not data
        if data:
            self._parser.feed_data(data)

    def taken(self) -> bytes:
        """Return and forget what has come of the body."""
        data = b"".join(self.pieces)
        self.pieces.clear()
        return data

    # -- httptools callbacks

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > _HEAD_BYTES_MAX:
            raise ConnectionResetError(f"headers of more than {_HEAD_BYTES_MAX} bytes")
        name = name.lower()
        if name == b"content-type":
            self.content_type = value.decode("latin-1")
        elif name not in _HOP_BY_HOP:
            self.headers.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        """Note the status; what went before the real answer (1xx) is forgotten."""
        self.status = self._parser.get_status_code()
        self.has_head = self.status >= 200
        if not self.has_head:
            self.headers.clear()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self.pieces.append(body)

    def on_message_complete(self) -> None:
        """Note that this was all."""
        self.is_complete = self.has_head


class _ProxiedStream(logs.PieceStream):
    """The answer on its way back."""

    __slots__ = ("_writer", "headers", "status")

    def __init__(
        self,
        answer: _Answer,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        on_closed: Callable[[], None],
    ) -> None:
        super().__init__(_pieces(answer, reader), on_closed, answer.content_type)
        self.status = answer.status
        self.headers = tuple(answer.headers)
        self._writer = writer

    def closed(self) -> None:
        """Let the port go, too."""
        super().closed()
        self._writer.close()


async def _pieces(answer: _Answer, reader: asyncio.StreamReader) -> AsyncGenerator[bytes, None]:
    with contextlib.suppress(OSError, httptools.HttpParserError):
        while True:
            if data := answer.taken():
                yield data
            if answer.is_complete:
                return
            answer.feed(await reader.read(_READ_BYTES))
