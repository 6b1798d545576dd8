"""Hubs and agents on loopback, and what can go wrong between them."""

import asyncio
import contextlib

import pytest

from understudy.platform import agent
from understudy.platform.bus import standalone
from understudy.platform.hub import clients, servers

QUICK = {"retry_first_s": 0.02, "retry_max_s": 0.2, "kicked_first_s": 0.2, "kicked_max_s": 0.4}
HEARTBEAT_S = 0.4


class World:
    """Hubs, agents, clients and proxies of one test; all end with it."""

    def __init__(self, stack, group):
        self._stack, self._group = stack, group
        self.audit = []

    heartbeat_s = HEARTBEAT_S

    @staticmethod
    async def until(condition, within_s=10.0):
        """Wait until a condition holds; a function, or one that is awaited."""
        async with asyncio.timeout(within_s):
            while True:
                found = condition()
                if asyncio.iscoroutine(found):
                    found = await found
                if found:
                    return found
                await asyncio.sleep(0.01)

    async def hub(self, *, port=0, bus=None, **settings):
        bus = bus or await self._stack.enter_async_context(
            _closing(standalone.StandaloneMessageBus())
        )
        settings = {"heartbeat_s": HEARTBEAT_S} | settings
        made = servers.Hub(bus, servers.Settings(port=port, **settings), audit=self.audit.append)
        await made.start()
        self._stack.push_async_callback(made.stop)
        return made

    async def agent(self, platform, url, instance="prod-eu", *, wait=True, **settings):
        made = agent.Agent(
            platform, agent.Settings(hub=url, instance=instance, **(QUICK | settings))
        )
        running = self._group.create_task(made.run())

        async def stop():
            made.stop()
            await asyncio.wait([running])

        made.running = running
        self._stack.push_async_callback(stop)
        if wait:
            async with asyncio.timeout(10):
                await made.connected.wait()
        return made

    async def client(self, url, token="", **place):
        made = clients.HubClient(clients.Place(url=url, token=token, **place))
        return await self._stack.enter_async_context(made)

    async def proxy(self, url):
        made = Proxy(url.rpartition(":")[2])
        await made.start()
        self._stack.push_async_callback(made.stop)
        return made


@contextlib.asynccontextmanager
async def _closing(bus):
    try:
        yield bus
    finally:
        await bus.close()


@pytest.fixture
async def world():
    async with asyncio.TaskGroup() as group, contextlib.AsyncExitStack() as stack:
        yield World(stack, group)


class Proxy:
    """A network that can be cut: connections break, or stay open and carry nothing."""

    def __init__(self, port):
        self._port = int(port)
        self._pairs = set()
        self._open = asyncio.Event()
        self._open.set()
        self._refusing = False

    async def start(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader, writer):
        if self._refusing:
            writer.transport.abort()
            return
        try:
            there = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.transport.abort()
            return
        pair = (writer, there[1])
        self._pairs.add(pair)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, there[1]))
                group.create_task(self._pump(there[0], writer))
        finally:
            self._pairs.discard(pair)
            for one in pair:
                one.transport.abort()

    async def _pump(self, reader, writer):
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                await self._open.wait()
                writer.write(data)
                await writer.drain()
        writer.transport.abort()

    def break_connections(self):
        """Reset every connection; new ones are carried."""
        for pair in list(self._pairs):
            for one in pair:
                one.transport.abort()

    def cut(self):
        """Let nothing through, and close nothing: a cable is pulled."""
        self._open.clear()

    def refuse(self):
        """Break every connection, and new ones at once."""
        self._refusing = True
        self.break_connections()

    def heal(self):
        self._refusing = False
        self._open.set()

    async def stop(self):
        self.heal()
        self._server.close()
        self.break_connections()
        await self._server.wait_closed()
