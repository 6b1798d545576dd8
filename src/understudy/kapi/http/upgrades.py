"""Requests to change the protocol: WebSocket and SPDY, and what is then spoken within.

| asked for                                                  | by                                 |
| ---------------------------------------------------------- | ---------------------------------- |
| `Upgrade: websocket`, one of `Sec-WebSocket-Protocol`      | Python clients, kubectl from 1.31  |
| `Upgrade: SPDY/3.1`, one of `X-Stream-Protocol-Version`    | kubectl before, and as a fallback  |
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from understudy.kapi.http import exchanges, responses
from understudy.kube import statuses

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""Appended to a client's key before it is hashed (RFC 6455, section 1.3)."""
_KEY_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Upgrade:
    """What was agreed on.

    Attributes:
        protocol: What is spoken within; may be empty for WebSocket, where nothing was asked for.
        headers: The answer's, except `Connection`.
    """

    carrier: Literal["websocket", "spdy"]
    protocol: str
    headers: tuple[responses.Header, ...]


def agree(request: exchanges.Request, *, websocket: Sequence[str], spdy: Sequence[str]) -> Upgrade:
    """Choose how to go on: of the protocols that are offered here, the first the client names.

    Raises:
        BadRequestError: The client does not ask for an upgrade, or for nothing that is offered.
    """
    wanted = request.header(b"upgrade").strip().lower()
    if not request.upgradable:
        raise statuses.BadRequestError("Upgrade request required")
    if wanted == "websocket":
        return _websocket(request, websocket)
    if wanted == "spdy/3.1":
        name = b"x-stream-protocol-version"
        chosen = _chosen(_listed(request, name), spdy)
        said = (("Upgrade", "SPDY/3.1"), ("X-Stream-Protocol-Version", chosen))
        return Upgrade("spdy", chosen, said)
    raise statuses.BadRequestError(
        f"Upgrade: {wanted}: this server changes to websocket and SPDY/3.1 only"
    )


def _websocket(request: exchanges.Request, offered: Sequence[str]) -> Upgrade:
    if request.method != "GET":
        raise statuses.BadRequestError(f"a WebSocket is opened by GET, not {request.method}")
    if request.header(b"sec-websocket-version") != "13":
        raise statuses.BadRequestError("Sec-WebSocket-Version: this server speaks version 13")
    key = request.header(b"sec-websocket-key").strip()
    try:
        is_key = len(base64.b64decode(key, validate=True)) == _KEY_BYTES
    except (binascii.Error, ValueError):
        is_key = False
    if not is_key:
        raise statuses.BadRequestError("Sec-WebSocket-Key: must be 16 bytes in base64")
    asked = _listed(request, b"sec-websocket-protocol")
    chosen = _chosen(asked, offered) if asked else ""
    proof = hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()
    headers = [("Upgrade", "websocket"), ("Sec-WebSocket-Accept", base64.b64encode(proof).decode())]
    if chosen:
        headers.append(("Sec-WebSocket-Protocol", chosen))
    return Upgrade("websocket", chosen, tuple(headers))


def _listed(request: exchanges.Request, name: bytes) -> list[str]:
    """Return the members of a header that may be given several times."""
    given = request.header(name).replace("\n", ",").split(",")
    return [one.strip() for one in given if one.strip()]


def _chosen(asked: Sequence[str], offered: Sequence[str]) -> str:
    for name in asked:
        if name in offered:
            return name
    raise statuses.BadRequestError(
        f"unable to upgrade: unable to negotiate protocol: client supports [{' '.join(asked)}], "
        f"server accepts [{' '.join(offered)}]"
    )
