"""Carries one WebSocket: messages go both ways until either end closes it."""

from __future__ import annotations

import asyncio

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from understudy.controllers.runtime.gateway import (
    answers,
    backends,
    headers,
    proxying,
    settings,
)

_LOST = 1006
"""No close frame came; never sent."""
_GOING_AWAY = 1001

Socket = web.WebSocketResponse | aiohttp.ClientWebSocketResponse


def is_wanted(request: web.BaseRequest) -> bool:
    """Say whether a request asks for a WebSocket."""
    return request.headers.get("Upgrade", "").lower() == "websocket"


async def carry(
    proxy: proxying.Proxy, config: settings.GatewaySettings, request: web.BaseRequest,
    endpoint: backends.Endpoint, facts: backends.Facts, sent: CIMultiDict[str],
) -> web.StreamResponse:  # fmt: skip
    """Connect a client with a pod until either is through.

    Raises:
        RefusedError: The pod wants no WebSocket there.
        LostError: It gave no answer.
        ClientConnectorError: It accepted no connection.
    """
    offered = [
        name.strip()
        for line in request.headers.getall("Sec-WebSocket-Protocol", ())
        for name in line.split(",")
        if name.strip()
    ]
    try:
        app = await proxy.session.ws_connect(
            proxying.url_at(request, endpoint),
            headers=headers.for_handshake(sent),
            protocols=offered,
            autoclose=False,
            autoping=False,
            max_msg_size=config.message_bytes_max,
        )
    except proxying.Refused:
        raise
    except aiohttp.WSServerHandshakeError as error:
        code = error.status if error.status >= 400 else 502
        text = f"{facts.service} does not accept a WebSocket at {request.path}: {error.message}"
        raise answers.RefusedError(code, text) from error
    except aiohttp.ClientError as error:
        raise proxying.LostError(facts, error) from error
    client = web.WebSocketResponse(
        protocols=[app.protocol] if app.protocol else (),
        autoclose=False,
        autoping=False,
        compress=False,
        max_msg_size=config.message_bytes_max,
    )
    request[proxying.STARTED] = True
    async with app:
        with endpoint.holding_socket():
            await client.prepare(request)
            await _carry_both_ways(client, app)
    return client


async def _carry_both_ways(client: web.WebSocketResponse, app: Socket) -> None:
    """Carry messages until one end closes, then close the other in the same way."""
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_carry(client, app))
            group.create_task(_carry(app, client))
    except* (ConnectionError, aiohttp.ClientError):
        pass  # one end is gone without a word; the other is closed below
    finally:
        for end in (client, app):
            if not end.closed:
                await end.close(code=_GOING_AWAY)


async def _carry(source: Socket, target: Socket) -> None:
    while True:
        message = await source.receive()
        match message.type:
            case aiohttp.WSMsgType.TEXT:
                await target.send_str(message.data)
            case aiohttp.WSMsgType.BINARY:
                await target.send_bytes(message.data)
            case aiohttp.WSMsgType.PING:
                await target.ping(message.data)
            case aiohttp.WSMsgType.PONG:
                await target.pong(message.data)
            case aiohttp.WSMsgType.CLOSE:
                await target.close(
                    code=message.data or 1000, message=str(message.extra or "").encode()
                )
                await source.close(code=message.data or 1000)
                return
            case _:
                if not target.closed:
                    lost = source.close_code in (None, _LOST)
                    await target.close(code=_GOING_AWAY if lost else source.close_code or 1000)
                return
