"""Commands in containers, and containers attached to: a session of the runtime, lane by lane.

| lane | what          | who writes                                                              |
| ---- | ------------- | ----------------------------------------------------------------------- |
| 0    | stdin         | client                                                                  |
| 1, 2 | stdout/stderr | command                                                                 |
| 3    | error         | server: how it ended, a Status                                          |
| 4    | resize        | client: `{"Width": 80, "Height": 24}`                                   |

With SPDY the client opens one stream for each that it asked for, named by the header `streamtype`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from typing import Final

import orjson

from understudy.kapi import kubelets
from understudy.kapi.http import lanes, requests, upgrades, wires
from understudy.kube import objects, statuses

WEBSOCKET: Final = (
    "v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io", "channel.k8s.io",
    "base64.channel.k8s.io",
)  # fmt: skip
SPDY: Final = ("v4.channel.k8s.io",)
STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)
_NUMBERS: Final = {"stdin": STDIN, "stdout": STDOUT, "stderr": STDERR, "error": ERROR,
                   "resize": RESIZE}  # fmt: skip
_RESIZE_BYTES_MAX: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """Which streams the client asks for."""

    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool

    def names(self) -> set[str]:
        """Return the streams that a SPDY client opens."""
        names = {name for name in ("stdin", "stdout", "stderr") if getattr(self, name)}
        return names | {"error"} | ({"resize"} if self.tty else set())


def asked(query: requests.Query) -> Streams:
    """Read the query of an exec or attach.

    Raises:
        BadRequestError: No stream is asked for.
    """
    tty = query.flag("tty")
    found = Streams(
        stdin=query.flag("stdin"),
        stdout=query.flag("stdout"),
        # A terminal has one output.
        stderr=query.flag("stderr") and not tty,
        tty=tty,
    )
    if not (found.stdin or found.stdout or found.stderr):
        raise statuses.BadRequestError("you must specify at least 1 of stdin, stdout, stderr")
    return found


def wire(tunnel: lanes.Lanes, upgrade: upgrades.Upgrade, streams_max: int) -> lanes.Wire:
    """Return how a command's lanes look on the wire that was agreed on."""
    if wires.is_spdy(upgrade):
        return wires.SpdyWire(tunnel, websocket=False, streams_max=streams_max)
    return wires.ChannelWire(tunnel, upgrade.protocol, (STDIN, RESIZE), len(_NUMBERS))


class Conversation:
    """Carries one session over the lanes of one tunnel."""

    def __init__(
        self,
        session: kubelets.Session | statuses.ApiError,
        streams: Streams,
        upgrade: upgrades.Upgrade,
        *,
        attached: bool,
        setup_s: float,
    ) -> None:
        """Take a session, or the error that there is instead of one, to be told as its end."""
        self._session = session
        self._streams = streams
        self._spdy = wires.is_spdy(upgrade)
        self._is_old = not upgrade.protocol.startswith(("v4.", "v5."))
        self._greets = not self._spdy and not upgrade.protocol.startswith("v5.")
        self._attached = attached
        self._setup_s = setup_s

    async def serve(self, tunnel: lanes.Lanes) -> None:
        """Talk until the command has ended or the peer has gone; the session is closed then."""
        session = self._session
        try:
            await tunnel.drained()
            by_name = await self._lanes(tunnel)
            heard = [by_name[name] for name in ("stdin", "resize") if name in by_name]
            for lane in tunnel.all.values():
                if lane not in heard:
                    # Nobody reads it: what comes is dropped, not kept.
                    lane.forget()
            tunnel.opened_by_peer = lanes.Lane.forget
            if isinstance(session, statuses.ApiError):
                await self._tell(by_name["error"], session.status())
            else:
                if self._greets:
                    first = next(one for one in ("stdout", "stderr", "error") if one in by_name)
                    tunnel.wire.data(by_name[first].number, b"")
                async with asyncio.TaskGroup() as group:
                    listening = group.create_task(self._listen(session, by_name))
                    await self._speak(session, by_name)
                    listening.cancel()
                code = await session.wait()
                await self._tell(by_name["error"], ended(0 if self._attached else code))
            for lane in by_name.values():
                lane.end()
        finally:
            if not isinstance(session, statuses.ApiError):
                await session.close()

    async def _lanes(self, tunnel: lanes.Lanes) -> dict[str, lanes.Lane]:
        names = self._streams.names()
        if not self._spdy:
            return {name: tunnel.all[_NUMBERS[name]] for name in names}
        found: dict[str, lanes.Lane] = {}
        complete = asyncio.Event()

        def accept(lane: lanes.Lane) -> None:
            found[lane.headers.get("streamtype", "")] = lane
            if names <= found.keys():
                complete.set()

        tunnel.opened_by_peer = accept
        for lane in tunnel.all.values():
            accept(lane)
        try:
            async with asyncio.timeout(self._setup_s):
                await complete.wait()
        except TimeoutError:
            raise lanes.GoneError("the client did not open what it asked for") from None
        return {name: found[name] for name in names}

    @staticmethod
    async def _speak(session: kubelets.Session, by_name: dict[str, lanes.Lane]) -> None:
        async with contextlib.aclosing(session.output()) as output:
            async for channel, data in output:
                lane = by_name.get(channel)
                if lane is not None:
                    await lane.write(data)

    async def _listen(self, session: kubelets.Session, by_name: dict[str, lanes.Lane]) -> None:
        async with asyncio.TaskGroup() as group:
            if "stdin" in by_name:
                group.create_task(_type(session, by_name["stdin"]))
            if "resize" in by_name:
                group.create_task(_resize(session, by_name["resize"]))

    async def _tell(self, lane: lanes.Lane, status: objects.Object) -> None:
        if not self._is_old:
            await lane.write(orjson.dumps(status))
        elif status["status"] != "Success":
            await lane.write(str(status["message"]).encode())


async def _type(session: kubelets.Session, lane: lanes.Lane) -> None:
    while data := await lane.read():
        await session.write(data)
    await session.close_stdin()


async def _resize(session: kubelets.Session, lane: lanes.Lane) -> None:
    text = ""
    decoder = json.JSONDecoder()
    while data := await lane.read():
        text += data.decode("utf-8", "replace")
        while text := text.lstrip():
            try:
                size, end = decoder.raw_decode(text)
            except ValueError:
                # Cut off, or nonsense: then a bound is reached soon.
                text = text[:_RESIZE_BYTES_MAX]
                break
            text = text[end:]
            columns, rows = _side(size, "Width"), _side(size, "Height")
            if columns and rows:
                await session.resize(columns, rows)


def _side(size: objects.Json, name: str) -> int:
    value = size.get(name) if isinstance(size, dict) else None
    return value if isinstance(value, int) and 0 < value < 65536 else 0


def ended(code: int) -> objects.Object:
    """Return the Status that tells how a command ended, as the kubelet writes it."""
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }
