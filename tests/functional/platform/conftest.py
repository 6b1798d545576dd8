"""Hubs and agents on loopback, and what can go wrong between them."""

import asyncio
import contextlib

import pytest

from understudy.platform import agent
from understudy.platform.bus import standalone
from understudy.platform.hub import clients, servers
from understudy.testing import brokers

QUICK = {"retry_first_s": 0.02, "retry_max_s": 0.2, "kicked_first_s": 0.2, "kicked_max_s": 0.4}
HEARTBEAT_S = 0.4
RETURN_S = 3.0
"""How long calls wait for an agent whose connection broke."""


class World:
    """Hubs, agents, clients and proxies of one test; all end with it."""

    def __init__(self, stack, group):
        self._stack, self._group = stack, group
        self.audit = []

    heartbeat_s = HEARTBEAT_S

    @property
    def requests(self):
        """The records of callers' requests."""
        return [one for one in self.audit if "request" in one]

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
            _closing(standalone.StandaloneMessageBus(return_s=RETURN_S))
        )
        settings = {"heartbeat_s": HEARTBEAT_S} | settings
        made = servers.Hub(bus, servers.Settings(port=port, **settings), audit=self.audit.append)
        await made.start()
        self._stack.push_async_callback(made.stop)
        return made

    async def agent(
        self, platform, url, instance="prod-eu", *, wait=True, describe=None, **settings
    ):
        chosen = agent.Settings(hub=url, instance=instance, **(QUICK | settings))
        made = agent.Agent(platform, chosen, describe=describe)
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

    async def cable(self, url):
        """Lay a cable to a hub; return it and the URL of its near end."""
        port = int(url.rpartition(":")[2])
        made = await self._stack.enter_async_context(brokers.Cable(port))
        return made, f"http://127.0.0.1:{made.port}"


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
