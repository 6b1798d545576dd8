"""Headers on their way through: what belongs to one connection stays, who asked is added."""

from __future__ import annotations

from typing import Final

from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

_HOP: Final = (
    "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection",
    "TE", "Trailer", "Transfer-Encoding", "Upgrade",
)  # fmt: skip
_HANDSHAKE: Final = (
    "Sec-WebSocket-Accept", "Sec-WebSocket-Extensions", "Sec-WebSocket-Key",
    "Sec-WebSocket-Protocol", "Sec-WebSocket-Version",
)  # fmt: skip


def without_hops(given: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    """Return a copy less the headers that concern one connection only (RFC 9110, 7.6.1)."""
    kept = CIMultiDict(given)
    for named in given.getall("Connection", ()):
        for name in named.split(","):
            kept.popall(name.strip(), None)
    for name in _HOP:
        if name in kept:
            kept.popall(name)
    return kept


def towards_app(request: web.BaseRequest, added: dict[str, str], rewrite: str) -> CIMultiDict[str]:
    """Return the headers with which a request reaches the app.

    `Host` is as the client wrote it, unless the rule rewrites it; `X-Forwarded-For`, `-Proto` and
    `-Host` tell of the client, after what proxies before this one have told.
    """
    headers = without_hops(request.headers)
    host = request.headers.get("Host", "")
    peer = request.remote or ""
    before = ", ".join(headers.popall("X-Forwarded-For", ()))
    headers["X-Forwarded-For"] = f"{before}, {peer}" if before else peer
    headers.setdefault("X-Forwarded-Proto", request.scheme)
    headers.setdefault("X-Forwarded-Host", host)
    headers.update(added)
    if rewrite:
        headers["Host"] = rewrite
    headers.popall("Expect", None)
    return headers


def for_handshake(headers: CIMultiDict[str]) -> CIMultiDict[str]:
    """Return headers less those that each end of a WebSocket writes itself."""
    for name in _HANDSHAKE:
        headers.popall(name, None)
    return headers
