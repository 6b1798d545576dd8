"""Carries one HTTP request to a pod and its answer back, both as they come.

A request that no pod has seen (its connection was refused) goes to another pod, or waits for one.
One that a pod may have seen is repeated once, if it has no body and a method that does no more
when done twice; so the restart of a replica is seldom noticed. After the first byte of the answer
a failure ends the client's connection, so that nobody takes half an answer for a whole one.
"""

from __future__ import annotations

import asyncio
from typing import Final

import aiohttp
import yarl
from aiohttp import web
from multidict import CIMultiDict

from understudy.controllers.runtime.gateway import answers, backends, headers, settings

STARTED: Final = web.RequestKey("started", bool)
"""Set on a request once its answer has begun."""
Refused = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
_OWN_HEADERS: Final = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


_REPEATABLE: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})


class LostError(Exception):
    """A pod ended the connection without an answer; it may have seen the request."""

    def __init__(self, facts: backends.Facts, error: Exception) -> None:
        super().__init__(f"{facts.service} ended the connection without an answer: {error}")


class Proxy:
    """Carries requests to pods over connections that are kept for the next request."""

    def __init__(self, config: settings.GatewaySettings) -> None:
        self._config = config
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=config.pod_idle_s),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=_OWN_HEADERS,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=config.connect_timeout_s),
            max_line_size=config.header_bytes_max,
            max_field_size=config.header_bytes_max,
        )

        # aiohttp would repeat requests by itself, over the same pod; it has no public switch.
        self.session._retry_connection = False  # noqa: SLF001

    async def close(self) -> None:
        """Close every connection to pods."""
        await self.session.close()

    async def carry(
        self, request: web.BaseRequest, endpoint: backends.Endpoint, facts: backends.Facts,
        sent: CIMultiDict[str],
    ) -> web.StreamResponse:  # fmt: skip
        """Answer a request from a pod, which gets the headers `sent`.

        Raises:
            RefusedError: The pod gave no answer; nothing was sent to the client.
            LostError: The same, and another may be asked if `may_repeat` says so.
            ClientConnectorError: It accepted no connection and knows nothing of the request.
        """
        answer = await self._ask(request, endpoint, facts, sent)
        try:
            length = answer.content_length
            if length is not None and length <= self._config.whole_bytes_max:
                return await _whole(answer)
            return await _streamed(request, answer, facts.idle_timeout_s)
        except (aiohttp.ClientError, TimeoutError) as error:
            if STARTED in request:
                return abort(request)
            raise answers.RefusedError(
                502, f"{facts.service} broke its answer off: {error}"
            ) from error
        finally:
            answer.close()

    async def _ask(
        self, request: web.BaseRequest, endpoint: backends.Endpoint, facts: backends.Facts,
        sent: CIMultiDict[str],
    ) -> aiohttp.ClientResponse:  # fmt: skip
        """Send the request on; return the beginning of the pod's answer."""
        body: bytes | aiohttp.StreamReader | None = None
        if request.body_exists:
            body = await request.read() if request.content.is_eof() else request.content
        try:
            async with asyncio.timeout(facts.start_timeout_s or None):
                return await self.session.request(
                    request.method,
                    url_at(request, endpoint),
                    headers=sent,
                    data=body,
                    allow_redirects=False,
                )
        except Refused:
            raise
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            raise LostError(facts, error) from error
        except aiohttp.ClientError as error:
            message = f"{facts.service} gave an answer that is not HTTP: {error}"
            raise answers.RefusedError(502, message) from error
        except TimeoutError as error:
            message = f"{facts.service} did not begin to answer in {facts.start_timeout_s:g} s"
            raise answers.RefusedError(504, message) from error


def may_repeat(request: web.BaseRequest) -> bool:
    """Say whether a request does no more when it is done twice."""
    return request.method in _REPEATABLE and not request.body_exists


def url_at(request: web.BaseRequest, endpoint: backends.Endpoint) -> yarl.URL:
    """Return the address of what is asked for at a pod; path and query are as they were sent."""
    path = request.raw_path
    if not path.startswith("/"):
        path = request.rel_url.raw_path_qs  # a client that takes the gateway for its proxy
    host, port = endpoint.address
    return yarl.URL(f"http://{host}:{port}{path}", encoded=True)


def abort(request: web.BaseRequest) -> web.StreamResponse:
    """End the client's connection in the middle of an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _whole(answer: aiohttp.ClientResponse) -> web.Response:
    body = await answer.read()
    kept = headers.without_hops(answer.headers)
    return web.Response(status=answer.status, reason=answer.reason, headers=kept, body=body)


async def _streamed(
    request: web.BaseRequest, answer: aiohttp.ClientResponse, idle_s: float
) -> web.StreamResponse:
    kept = headers.without_hops(answer.headers)
    response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=kept)
    request[STARTED] = True
    await response.prepare(request)
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(idle_s or None) as idle:
        async for chunk in answer.content.iter_any():
            await response.write(chunk)
            if idle_s:
                idle.reschedule(loop.time() + idle_s)
    await response.write_eof()
    return response
