"""kmock's emulator with pods declared, for comparison: prints its port, serves until killed."""

from __future__ import annotations

import asyncio

import kmock

VERBS = {"get", "list", "watch", "create", "delete", "patch"}


async def main() -> None:
    """Serve."""
    app = kmock.KubernetesEmulator()
    app.resources["v1/pods"] = {"namespaced": True, "kind": "Pod", "verbs": VERBS}
    async with kmock.Server(app, host="127.0.0.1") as server:
        print(server.port, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
