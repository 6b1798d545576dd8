"""A NATS server, and buses that reach it by cables of their own."""

import asyncio
import contextlib
import inspect

import pytest

from understudy.platform.bus import nats, settings
from understudy.testing import brokers

QUICK = {
    "heartbeat_s": 0.2,
    "connect_timeout_s": 2,
    "roll_call_s": 2,
    "resend_s": 0.2,
    "patience_s": 3,
}
"""Times in which a test can see what takes half a minute otherwise."""


class Net:
    """A server and everything that is connected to it, ended in reverse order."""

    def __init__(self, stack):
        self._stack = stack
        self.server = None

    async def start(self, **options):
        self.server = await self._stack.enter_async_context(brokers.NatsServer(**options))

    async def cable(self):
        return await self._stack.enter_async_context(brokers.Cable(self.server.port))

    async def bus(self, *, cable=None, ids=None, metrics=None, **changes):
        at = self.server if cable is None else cable
        given = settings.NatsSettings(servers=(at.url,), **{**QUICK, **changes})
        made = nats.NatsMessageBus(given, ids=ids, metrics=metrics)
        return await self._stack.enter_async_context(made)

    @staticmethod
    async def until(condition):
        """Wait until something holds, some seconds at most; return what it is then."""
        async with asyncio.timeout(10):
            while True:
                found = condition()
                if inspect.isawaitable(found):
                    found = await found
                if found:
                    return found
                await asyncio.sleep(0.005)

    async def heard(self, bus, subscription):
        """Wait until a bus knows of a subscription of instance `a`."""

        async def known():
            return (await bus.presence("a")).epoch == subscription.epoch

        await self.until(known)

    async def presence(self, bus, state):
        """Wait until a bus has instance `a` in a state; return its presence."""

        async def there():
            found = await bus.presence("a")
            return found if found.state == state else None

        return await self.until(there)


@pytest.fixture
async def net():
    async with contextlib.AsyncExitStack() as stack:
        made = Net(stack)
        await made.start()
        yield made
