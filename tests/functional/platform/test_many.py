"""Two hundred agents on one hub: each answers for itself, and all come back."""

import asyncio

from understudy.testing import mocks

AGENTS = 200


async def test_two_hundred_agents_on_one_hub(world):
    hub = await world.hub(heartbeat_s=5.0)
    cable, url = await world.cable(hub.url)
    mocked = {f"c-{n}": mocks.MockPlatform() for n in range(AGENTS)}
    for name, mock in mocked.items():
        mock.on_version.answer = mock.on_export.answer = name
    agents = [
        await world.agent(mock, url, name, wait=False, retry_max_s=1.0)
        for name, mock in mocked.items()
    ]
    async with asyncio.timeout(30):
        for one in agents:
            await one.connected.wait()
    client = await world.client(hub.url)

    async def versions():
        async with asyncio.TaskGroup() as group:
            asked = {n: group.create_task(client.platform(n).version()) for n in mocked}
        return {name: task.result() for name, task in asked.items()}

    assert await versions() == {name: name for name in mocked}
    assert {one["state"] for one in await client.instances()} == {"connected"}

    async with asyncio.TaskGroup() as group:
        for mock in mocked.values():
            mock.on_export.delay_s = 0.3
        asked = [group.create_task(client.platform(name).export()) for name in mocked]
        await world.until(lambda: all(mock.on_export.calls for mock in mocked.values()))
        await cable.sever()
        await world.until(lambda: not any(one.connected.is_set() for one in agents))
        await cable.mend()
    assert [task.result() for task in asked] == list(mocked), "every one, by its own agent"
    assert {mock.on_export.calls for mock in mocked.values()} == {1}
    assert {one["state"] for one in await client.instances()} == {"connected"}
