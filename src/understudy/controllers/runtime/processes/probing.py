"""Carrying out probes and hooks: HTTP requests, TCP connections, commands.

Source: pkg/probe/{http,tcp,exec} and pkg/kubelet/lifecycle/handlers.go, for the words too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import aiohttp

from understudy.aio import clocks
from understudy.controllers.runtime import ports
from understudy.controllers.runtime.processes import commands, probes, supervisors
from understudy.kube import objects

USER_AGENT: Final = "kube-probe/1.36"
BODY_BYTES_MAX: Final = 10 * 1024
ACTIONS: Final = ("exec", "httpGet", "tcpSocket", "sleep")
EAGER_FACTOR: Final = 1.25
"""By which eager looks become rarer: what takes a second to listen is found within 0.2 s."""
HOOK_TIMEOUT_S: Final = 3600.0
"""Hooks end with the container's grace; this only keeps a forgotten one from running for ever."""


class Prober:
    """Carries out the actions of one runtime; `close` it at the end."""

    def __init__(self, clock: clocks.Clock, nursery: supervisors.Nursery) -> None:
        self._clock = clock
        self._nursery = nursery
        self._session: aiohttp.ClientSession | None = None

    async def ask(
        self,
        mapping: Mapping[int, int],
        container: objects.Object,
        handler: objects.Object,
        launch: supervisors.Launch,
        timeout_s: float,
    ) -> str:
        """Carry out an action; return why it failed, nothing if it did not.

        `mapping` has the local ports of the pod's declared ones.
        """
        try:
            if command := handler.get("exec"):
                return await self._exec(launch, command.get("command") or [], timeout_s)
            if request := handler.get("httpGet"):
                return await self._http(mapping, container, request, timeout_s)
            if connection := handler.get("tcpSocket"):
                return await self._tcp(mapping, container, connection, timeout_s)
            if pause := handler.get("sleep"):
                await self._clock.sleep(float(pause.get("seconds") or 0))
                return ""
        except ValueError as error:
            return str(error)
        asked = next((key for key in ("grpc", *handler) if key in handler), "nothing")
        return f"{asked} is not among the actions of the process runtime: {', '.join(ACTIONS)}"

    async def close(self) -> None:
        """Let go of connections."""
        if self._session is not None:
            await self._session.close()

    async def _exec(self, launch: supervisors.Launch, argv: list[str], timeout_s: float) -> str:
        try:
            code, output = await commands.run(self._nursery, launch, argv, timeout_s)
        except TimeoutError:
            return f'command timed out: "{" ".join(argv)}" timed out after {timeout_s:g}s'
        except OSError as error:
            return str(error)
        return "" if code == 0 else output or f"command ended with exit code {code}"

    async def _http(
        self,
        mapping: Mapping[int, int],
        container: objects.Object,
        request: objects.Object,
        timeout_s: float,
    ) -> str:
        scheme = str(request.get("scheme") or "HTTP").lower()
        host = str(request.get("host") or ports.LOOPBACK)
        port = port_of(mapping, container, request.get("port"))
        path = str(request.get("path") or "/")
        url = f"{scheme}://{host}:{port}/{path.removeprefix('/')}"
        headers = [("User-Agent", USER_AGENT), ("Accept", "*/*")]
        for one in request.get("httpHeaders") or ():
            name = str(one["name"])
            headers = [(key, value) for key, value in headers if key.lower() != name.lower()]
            headers.append((name, str(one.get("value") or "")))
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._sessions().get(
                    url, headers=headers, allow_redirects=False, ssl=False
                ) as answer,
            ):
                await answer.content.read(BODY_BYTES_MAX)
        except TimeoutError:
            return (
                f'Get "{url}": context deadline exceeded '
                "(Client.Timeout exceeded while awaiting headers)"
            )
        except aiohttp.ClientConnectorError as error:
            why = _refusal(error.os_error)
            return f'Get "{url}": dial tcp {host}:{port}: connect: {why}'
        except (aiohttp.ClientError, OSError) as error:
            return f'Get "{url}": {str(error) or type(error).__name__}'
        # Differs: a redirect is a success; kubelets follow it if it stays on the host.
        if 200 <= answer.status < 400:
            return ""
        return f"HTTP probe failed with statuscode: {answer.status}"

    async def _tcp(
        self,
        mapping: Mapping[int, int],
        container: objects.Object,
        connection: objects.Object,
        timeout_s: float,
    ) -> str:
        host = str(connection.get("host") or ports.LOOPBACK)
        port = port_of(mapping, container, connection.get("port"))
        try:
            async with asyncio.timeout(timeout_s):
                _, writer = await asyncio.open_connection(host, port)
                writer.close()
                await writer.wait_closed()
        except TimeoutError:
            return f"dial tcp {host}:{port}: i/o timeout"
        except OSError as error:
            return f"dial tcp {host}:{port}: connect: {_refusal(error)}"
        return ""

    def _sessions(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(force_close=True, limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        return self._session


async def watch(
    probe: probes.Probe,
    ask: Callable[[probes.Probe], Awaitable[str]],
    clock: clocks.Clock,
    *,
    eager_s: float,
    unhealthy: Callable[[probes.Probe, str], None],
    decided: Callable[[probes.Probe, bool], None],
) -> None:
    """Ask a probe in its rhythm; tell each failure, and each change of the verdict.

    Until a first success it is also asked in between, ever more seldom; failures then are neither
    counted nor told. Ends with the startup probe's verdict and the liveness probe's failure.
    """
    # Differs: kubelets ask in the probe's rhythm alone, and first when hardly anything listens yet.
    is_eager = probe.kind != "liveness" and "exec" not in probe.handler
    tally = probes.Tally(probe)
    await clock.sleep(probe.delay_s)
    due_s = clock.monotonic() + (probe.period_s if is_eager else 0.0)
    while True:
        asked_s = clock.monotonic()
        why = await ask(probe)
        if not why or asked_s >= due_s:
            if why:
                unhealthy(probe, why)
            before = tally.verdict
            verdict = tally.add(not why)
            if verdict is not None and verdict != before:
                decided(probe, verdict)
                if probe.kind == "startup" or (probe.kind == "liveness" and not verdict):
                    return
            is_eager = is_eager and bool(why)
            due_s = asked_s + probe.period_s
        pause_s = due_s - clock.monotonic()
        if is_eager:
            pause_s = min(pause_s, eager_s)
            eager_s *= EAGER_FACTOR
        await clock.sleep(max(0.0, pause_s))


def port_of(mapping: Mapping[int, int], container: objects.Object, port: int | str | None) -> int:
    """Return the local port that a probe means by a number or by a name of the container's ports.

    Raises:
        ValueError: The container has no port of that name.
    """
    if isinstance(port, str) and not port.isdigit():
        named = (one for one in container.get("ports") or () if one.get("name") == port)
        found = next(named, None)
        if found is None:
            raise ValueError(f"couldn't find port: {port}")
        port = int(found["containerPort"])
    number = int(port or 0)
    return mapping.get(number, number)


def _refusal(error: OSError) -> str:
    refused = isinstance(error, ConnectionRefusedError)
    return "connection refused" if refused else (error.strerror or str(error)).lower()
