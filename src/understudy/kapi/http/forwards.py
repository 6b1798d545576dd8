"""Forwarded ports: connections to a pod's ports, each over two lanes of a tunnel.

Over WebSocket channels the ports are named in the query and lane 2n carries the bytes of the nth,
2n + 1 its errors; both begin with the port as two bytes, low one first. Over SPDY the client opens
a pair of streams for each connection, with the headers `port`, `requestID` and `streamtype` (`data`
or `error`).
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Awaitable, Callable
from typing import Final

from understudy.kapi.http import lanes, requests, upgrades, wires
from understudy.kube import statuses

WEBSOCKET: Final = (wires.TUNNELLED_SPDY, "v4.channel.k8s.io", "v4.base64.channel.k8s.io")
SPDY: Final = ("portforward.k8s.io",)
_READ_BYTES: Final = 64 * 1024

Dial = Callable[[int], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
"""Connect to a port; raises OSError, or ApiError where the runtime refuses."""


def ports(query: requests.Query, ports_max: int) -> list[int]:
    """Read the ports of the query: `ports=80&ports=81`, or `ports=80,81`.

    Raises:
        BadRequestError: Something else stands there.
    """
    given = [one for value in query.all("ports") for one in value.split(",")]
    for one in given:
        if not one.isdecimal() or not 0 < int(one) < 65536:
            raise statuses.BadRequestError(
                f'cannot convert to []int32: strconv.ParseUint: parsing "{one}": invalid syntax'
            )
    if len(given) > ports_max:
        raise statuses.BadRequestError(f"ports: {len(given)} given, at most {ports_max} are taken")
    return [int(one) for one in given]


def wire(
    tunnel: lanes.Lanes, upgrade: upgrades.Upgrade, wanted: list[int], streams_max: int
) -> lanes.Wire:
    """Return how the lanes look on the wire that was agreed on."""
    if wires.is_spdy(upgrade):
        websocket = upgrade.carrier == "websocket"
        return wires.SpdyWire(tunnel, websocket=websocket, streams_max=streams_max)
    data_lanes = range(0, 2 * len(wanted), 2)
    return wires.ChannelWire(tunnel, upgrade.protocol, data_lanes, 2 * len(wanted))


class Forwarding:
    """Connects the lanes of one tunnel to the ports of one pod."""

    def __init__(self, dial: Dial, pod: str) -> None:
        """Take how to connect, and what the pod is called in errors: `web, uid 1234`."""
        self._dial = dial
        self._pod = pod

    async def serve_channels(self, tunnel: lanes.Lanes, wanted: list[int]) -> None:
        """Forward the ports of the query until all their connections have ended."""
        async with asyncio.TaskGroup() as group:
            for at, port in enumerate(wanted):
                data, error = tunnel.all[2 * at], tunnel.all[2 * at + 1]
                for lane in (data, error):
                    await lane.write(struct.pack("<H", port))
                group.create_task(self._forward(port, data, error))

    async def serve_streams(self, tunnel: lanes.Lanes) -> None:
        """Forward what the client asks for, until it goes."""
        halves: dict[str, dict[str, lanes.Lane]] = {}
        async with asyncio.TaskGroup() as group:

            def accept(lane: lanes.Lane) -> None:
                sort, name = lane.headers.get("streamtype", ""), lane.headers.get("requestid", "")
                pair = halves.setdefault(name, {})
                pair[sort] = lane
                if pair.keys() >= {"data", "error"}:
                    del halves[name]
                    group.create_task(self._forward_pair(tunnel, pair["data"], pair["error"]))

            tunnel.opened_by_peer = accept
            for lane in list(tunnel.all.values()):
                accept(lane)
            # Until the peer goes, which cancels this.
            await asyncio.get_running_loop().create_future()

    async def _forward_pair(self, tunnel: lanes.Lanes, data: lanes.Lane, error: lanes.Lane) -> None:
        port = data.headers.get("port", "")
        error.forget()
        try:
            if port.isdecimal() and 0 < int(port) < 65536:
                await self._forward(int(port), data, error)
            else:
                await error.write(f'unable to parse "{port}" as a port'.encode())
        except* lanes.GoneError:
            pass
        finally:
            for lane in (data, error):
                lane.end()
                tunnel.remove(lane)

    async def _forward(self, port: int, data: lanes.Lane, error: lanes.Lane) -> None:
        try:
            reader, writer = await self._dial(port)
        except (OSError, statuses.ApiError) as failure:
            why = failure.strerror if isinstance(failure, OSError) else None
            told = f"error forwarding port {port} to pod {self._pod}: {why or failure}"
            await error.write(told.encode())
            return
        try:
            await _exchange(reader, writer, data)
        except* OSError:
            # Either side has had enough: so has the other.
            pass
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, lane: lanes.Lane
) -> None:
    """Copy both ways until the port has said everything."""
    async with asyncio.TaskGroup() as group:
        sending = group.create_task(_send(writer, lane))
        while data := await reader.read(_READ_BYTES):
            await lane.write(data)
        sending.cancel()


async def _send(writer: asyncio.StreamWriter, lane: lanes.Lane) -> None:
    with contextlib.suppress(OSError):
        while data := await lane.read():
            writer.write(data)
            await writer.drain()
        if lane.is_closed:
            # Reset, not ended: nobody reads the answer either.
            writer.close()
        else:
            writer.write_eof()
