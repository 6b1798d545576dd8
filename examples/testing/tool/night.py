"""Scale Deployments labelled `night=off` to zero, and back in the morning.

python night.py sleep [--namespace NAME]
python night.py wake [--namespace NAME]
"""

import argparse
import asyncio
import json

from lightkube import ApiError, AsyncClient
from lightkube.resources.apps_v1 import Deployment

REMEMBERED = "example.com/replicas-by-day"
ATTEMPTS_MAX = 5


async def sleep(client: AsyncClient, namespace: str) -> list[str]:
    """Scale down what is awake; returns the names."""
    names = []
    async for deployment in client.list(Deployment, namespace=namespace, labels={"night": "off"}):
        if deployment.spec.replicas:
            await change(client, deployment.metadata.name, namespace, down=True)
            names.append(deployment.metadata.name)
    return names


async def wake(client: AsyncClient, namespace: str) -> list[str]:
    """Scale up what was put to sleep; returns the names."""
    names = []
    async for deployment in client.list(Deployment, namespace=namespace, labels={"night": "off"}):
        if REMEMBERED in (deployment.metadata.annotations or {}):
            await change(client, deployment.metadata.name, namespace, down=False)
            names.append(deployment.metadata.name)
    return names


async def change(client: AsyncClient, name: str, namespace: str, *, down: bool) -> None:
    """Scale one, unless somebody was faster: then look again."""
    for attempt in range(ATTEMPTS_MAX):
        deployment = await client.get(Deployment, name, namespace=namespace)
        notes = deployment.metadata.annotations or {}
        if down:
            notes[REMEMBERED] = json.dumps(deployment.spec.replicas)
            deployment.spec.replicas = 0
        else:
            deployment.spec.replicas = json.loads(notes.pop(REMEMBERED))
        deployment.metadata.annotations = notes
        try:
            await client.replace(deployment)
        except ApiError as error:
            if error.status.code != 409 or attempt == ATTEMPTS_MAX - 1:
                raise
        else:
            return


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["sleep", "wake"])
    parser.add_argument("--namespace", default="default")
    asked = parser.parse_args()
    work = sleep if asked.what == "sleep" else wake
    client = AsyncClient()
    try:
        for name in await work(client, asked.namespace):
            print(name)
    finally:
        await client.close()


if __name__ == "__main__":
    asyncio.run(main())
