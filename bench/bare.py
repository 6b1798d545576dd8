"""The baseline: handlers that do nothing but the least, on the same HTTP stack.

Prints its port. GET /object: the same bytes each time; POST /objects: parse, keep the encoded
object; GET /list: one large body; GET /watch and POST /emit: the same frame to every watcher.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys

import orjson
import uvloop

from understudy.aio import clocks
from understudy.kapi import settings
from understudy.kapi.http import exchanges, listeners, responses


class Watching(exchanges.Stream):
    """A stream that only takes what is emitted."""

    def __init__(self, sinks: set[exchanges.Sink]) -> None:
        self.sinks = sinks
        self.sink: exchanges.Sink | None = None

    def opened(self, sink: exchanges.Sink) -> None:
        self.sink = sink
        self.sinks.add(sink)

    def closed(self) -> None:
        if self.sink is not None:
            self.sinks.discard(self.sink)


async def main() -> None:
    """Serve until standard input ends."""
    given = json.load(sys.stdin)
    body, listed = given["object"].encode(), given["item"].encode()
    large = b'{"items":[' + b",".join([listed] * given["items"]) + b"]}"
    kept: dict[str, bytes] = {}
    sinks: set[exchanges.Sink] = set()

    def handle(request: exchanges.Request) -> exchanges.Answer:
        if request.method == "POST":
            if request.target == b"/emit":
                frame = exchanges.frame(request.body)
                for sink in sinks:
                    sink.send_framed(frame)
                return responses.Response(200, b"{}")
            parsed = orjson.loads(request.body)
            encoded = orjson.dumps(parsed)
            kept[parsed["metadata"]["name"]] = encoded
            return responses.Response(201, encoded)
        if request.target == b"/list":
            return responses.Response(200, large)
        if request.target == b"/watch":
            return Watching(sinks)
        return responses.Response(200, body)

    listener = listeners.Listener(handle, settings.HttpLimits(), clocks.SystemClock())
    server = await asyncio.get_running_loop().create_server(
        listener.connect, "127.0.0.1", 0, backlog=2048
    )
    listener.start()
    gc.collect()
    gc.freeze()
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
