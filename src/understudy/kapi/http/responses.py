"""Answers as bytes: status line, headers and body written as one buffer."""

from __future__ import annotations

import datetime as dt
import gzip
from collections.abc import Sequence

import orjson

from understudy.kube import objects, statuses

JSON = "application/json"
YAML = "application/yaml"
TEXT = "text/plain; charset=utf-8"

_REASONS = {
    200: "OK", 201: "Created", 202: "Accepted", 204: "No Content",
    304: "Not Modified", 307: "Temporary Redirect", 400: "Bad Request", 401: "Unauthorized",
    403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 406: "Not Acceptable",
    408: "Request Timeout", 409: "Conflict", 410: "Gone", 413: "Request Entity Too Large",
    415: "Unsupported Media Type", 422: "Unprocessable Entity", 429: "Too Many Requests",
    431: "Request Header Fields Too Large", 500: "Internal Server Error",
    501: "Not Implemented", 503: "Service Unavailable", 504: "Gateway Timeout",
}  # fmt: skip

Header = tuple[str, str]


class Response:
    """A complete answer.

    Attributes:
        body: The content; never changed once given, so stored bytes may be shared.
        headers: Further headers, e.g. `(("Warning", '299 - "..."'),)`; values are already legal.
        compressible: The body may be gzipped for a client that accepts it.
    """

    __slots__ = ("body", "compressible", "content_type", "headers", "status")

    def __init__(
        self,
        status: int,
        body: bytes = b"",
        content_type: str = JSON,
        headers: Sequence[Header] = (),
        *,
        compressible: bool = True,
    ) -> None:
        self.status = status
        self.body = body
        self.content_type = content_type
        self.headers = headers
        self.compressible = compressible


class HeadWriter:
    """Renders heads; keeps what is the same from one to the next.

    `date` is the present `Date:` line; whoever owns the writer sets it once a second.
    """

    __slots__ = ("_starts", "date")

    def __init__(self) -> None:
        self._starts: dict[tuple[int, str], bytes] = {}
        self.date = b""

    def tick(self, now: dt.datetime) -> None:
        """Take over the time that answers carry from now on."""
        self.date = now.strftime("Date: %a, %d %b %Y %H:%M:%S GMT\r\n").encode()

    def head(self, response: Response, *, length: int, close: bool) -> bytes:
        """Return everything up to and including the empty line."""
        start = self._starts.get((response.status, response.content_type)) or self._start(
            response.status, response.content_type
        )
        more = _extra(response.headers) if response.headers else b""
        if close:
            more += b"Connection: close\r\n"
        return b"%b%b%bContent-Length: %d\r\n\r\n" % (start, self.date, more, length)

    def stream_head(
        self, status: int, content_type: str, headers: Sequence[Header], *, chunked: bool
    ) -> bytes:
        """Return the head of an answer of unknown length; not chunked means until the end."""
        framing = b"Transfer-Encoding: chunked\r\n" if chunked else b"Connection: close\r\n"
        start = self._start(status, content_type)
        return b"%b%b%b%b\r\n" % (start, self.date, _extra(headers), framing)

    def switching_head(self, headers: Sequence[Header]) -> bytes:
        """Return the head after which the connection speaks the protocol that `headers` name."""
        lines = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
        return b"%b%b%b\r\n" % (lines, self.date, _extra(headers))

    def _start(self, status: int, content_type: str) -> bytes:
        lines = f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}\r\n"
        lines += "Cache-Control: no-cache, private\r\n"
        if content_type:
            lines += f"Content-Type: {content_type}\r\n"
        start = lines.encode("latin-1", "replace")
        if len(self._starts) < 256:
            self._starts[(status, content_type)] = start
        return start


def _extra(headers: Sequence[Header]) -> bytes:
    text = "".join(f"{name}: {_one_line(value)}\r\n" for name, value in headers)
    return text.encode("latin-1", "replace")


def _one_line(value: str) -> str:
    """Keep a header value from ending its line early."""
    if "\r" in value or "\n" in value:
        return value.replace("\r", " ").replace("\n", " ")
    return value


def compress(response: Response) -> Response:
    """Return the answer gzipped at the fastest level, as kube-apiserver does."""
    return Response(
        response.status,
        gzip.compress(response.body, compresslevel=1, mtime=0),
        response.content_type,
        (*response.headers, ("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding")),
        compressible=False,
    )


def dump(value: objects.Json) -> bytes:
    """Encode JSON as the API server does: compact, with a newline at the end."""
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)


def json_response(
    value: objects.Json, status: int = 200, headers: Sequence[Header] = ()
) -> Response:
    """Answer with a JSON value."""
    return Response(status, dump(value), JSON, headers)


def text_response(text: str, status: int = 200, headers: Sequence[Header] = ()) -> Response:
    """Answer with plain text."""
    return Response(status, text.encode(), TEXT, headers)


def page_not_found() -> Response:
    """Answer as Kubernetes does for a path that nothing serves."""
    return Response(404, b"404 page not found\n", TEXT, (("X-Content-Type-Options", "nosniff"),))


def error_headers(error: statuses.ApiError) -> list[Header]:
    """Return the headers that go with an error: Retry-After where it suggests one."""
    return [("Retry-After", str(error.retry_after_s))] if error.retry_after_s else []


def warning(text: str) -> Header:
    r"""Return a Warning header with code 299: `299 - "unknown field \"spec.x\""`."""
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    quoted = "".join(max(char, " ") for char in quoted)
    return ("Warning", f'299 - "{quoted}"')


def too_large(limit_bytes: int) -> Response:
    """Answer a body over the limit, in Kubernetes' words."""
    return json_response(
        {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": f"Request entity too large: limit is {limit_bytes}",
            "reason": "RequestEntityTooLarge",
            "code": 413,
        },
        413,
    )


def failure() -> Response:
    """Answer a request whose handling failed unexpectedly; the log has the reason."""
    return json_response(
        {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": "Internal error occurred: the request could not be handled; "
            "the server's log says why",
            "reason": "InternalError",
            "details": {"causes": [{"message": "unexpected failure"}]},
            "code": 500,
        },
        500,
    )
