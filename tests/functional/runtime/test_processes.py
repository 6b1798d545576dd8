"""Pods run as real processes: start, probes, restarts, stops."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from understudy.controllers.runtime import ports

HTTP = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "$(PORT)"]


def deployment(name: str, replicas: int = 1, **container):
    labels = {"app": name}
    return {
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "containers": [{
                        "name": "app", "image": "none", "command": HTTP,
                        "ports": [{"containerPort": 8000}],
                        "readinessProbe": {"httpGet": {"port": 8000}, "periodSeconds": 1},
                        **container,
                    }]
                },
            },
        },
    }  # fmt: skip


async def get(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    try:
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


async def test_replicas_of_a_web_server_become_ready_restart_when_killed_and_end(machine):
    machine.create("deployments.apps", deployment("web", replicas=2))

    def ready():
        found = machine.get("web", "deployments.apps")
        return found.get("status", {}).get("readyReplicas") == 2

    await machine.until(ready, "both ready")
    pods = [pod["metadata"]["name"] for pod in machine.view.each("pods")]
    local = [ports.local_port(machine.get(name), 8000) for name in pods]
    assert len(set(local)) == 2
    for port in local:
        assert (await get(port)).startswith(b"HTTP/1.0 200")

    pid = machine.pid(pods[0])
    os.kill(pid, signal.SIGKILL)
    await machine.until(lambda: machine.state(pods[0])["restartCount"] == 1, "restarted")
    await machine.ready(pods[0])
    assert machine.state(pods[0])["lastState"]["terminated"]["exitCode"] == 137
    assert (await get(local[0])).startswith(b"HTTP/1.0 200")

    pids = [machine.pid(name) for name in pods]
    machine.view.delete("deployments.apps", "web", "default")
    for name in pods:
        await machine.gone(name)
    assert not any(map(machine.is_alive, pids))
    assert {"Pulled", "Created", "Started", "Killing"} <= set(machine.reasons(pods[0]))
