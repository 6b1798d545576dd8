"""The same change made by our commands, by kapp and by kubectl, against our own server.

Each tool is run as a user runs it, as a whole process for each step (our modules compiled, as those
of an installed package are), and each has a server of its own, with all controllers; files, server
and machine are the same. A tool that is not on PATH is left out, with a line that says so. kubectl
applies on the server's side and does not validate on its own: its default costs it twenty seconds
more.
"""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from understudy.client import connections
from understudy.kube import objects

Words = list[str]
APPLY = ["kubectl", "apply", "--server-side", "--validate=ignore"]
PODS_PER_NODE = "1000"
"""The two simulated nodes have room for every Deployment's pod."""
PRUNED_SHARE = 10


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What a process cost: by the clock, in processor time of its own, and at most in memory."""

    wall_s: float
    cpu_s: float
    memory_mib: float


@dataclass(frozen=True, kw_only=True)
class Tool:
    """How a tool is told what to do; None where it has no such command.

    Attributes:
        deliver: Returns the command that brings a folder's objects to the cluster.
        delete: Returns the command that takes them away again.
    """

    name: str
    preview: Callable[[Path], Words]
    deliver: Callable[[Path], Words]
    waiting: Callable[[Path], Words]
    delete: Callable[[Path], Words]
    prunes: bool = True


def _ours(*words: str) -> Words:
    return [sys.executable, "-m", "understudy", *words]


def _wait(folder: Path) -> Words:
    wait = "kubectl wait deployments --all --for=condition=Available --timeout=10m"
    return ["sh", "-c", f"{' '.join(APPLY)} -f {folder} && {wait}"]


TOOLS = (
    Tool(
        name="understudy",
        preview=lambda folder: _ours("plan", "load", "-f", str(folder), "--exit-zero"),
        deliver=lambda folder: _ours("deliver", "load", "-f", str(folder), "--yes", "--no-wait"),
        waiting=lambda folder: _ours("deliver", "load", "-f", str(folder), "--yes"),
        delete=lambda _: _ours("delete", "load", "--yes"),
    ),
    Tool(
        name="kapp",
        preview=lambda folder: ["kapp", "deploy", "-a", "load", "-f", str(folder), "--diff-run"],
        deliver=lambda folder: [
            "kapp", "deploy", "-a", "load", "-f", str(folder), "--yes", "--wait=false",
        ],
        waiting=lambda folder: ["kapp", "deploy", "-a", "load", "-f", str(folder), "--yes"],
        delete=lambda _: ["kapp", "delete", "-a", "load", "--yes"],
    ),
    Tool(
        name="kubectl",
        preview=lambda folder: [*APPLY, "--dry-run=server", "-f", str(folder)],
        deliver=lambda folder: [*APPLY, "-f", str(folder)],
        waiting=_wait,
        delete=lambda folder: ["kubectl", "delete", "-f", str(folder)],
        prunes=False,
    ),
)  # fmt: skip


def compare(made: Sequence[objects.Object], rounds: int) -> None:
    """Print what each step costs each tool: seconds by the clock and, in brackets, of its CPU."""
    found: dict[str, dict[str, list[Spent]]] = {}
    names = []
    with tempfile.TemporaryDirectory() as place:
        folders = _folders(Path(place), made)
        for tool in TOOLS:
            if tool.name != "understudy" and shutil.which(tool.name) is None:
                print(f"{tool.name} is not on PATH: left out")
                continue
            names.append(tool.name)
            for _ in range(rounds):
                for step, spent in _measured(tool, folders):
                    found.setdefault(step, {}).setdefault(tool.name, []).append(spent)
    print(f"{'step':<28}" + "".join(f"{name:>24}" for name in names))
    for step, by_tool in found.items():
        cells = (_cell(by_tool.get(name, [])) for name in names)
        print(f"{step:<28}" + "".join(f"{cell:>24}" for cell in cells))


def _cell(spent: list[Spent]) -> str:
    if not spent:
        return "-"
    wall_s = statistics.median(one.wall_s for one in spent)
    cpu_s = statistics.median(one.cpu_s for one in spent)
    memory_mib = max(one.memory_mib for one in spent)
    return f"{wall_s:.2f} s ({cpu_s:.2f}) {memory_mib:.0f} MiB"


def _measured(tool: Tool, folders: dict[str, Path]) -> Iterator[tuple[str, Spent]]:
    made, changed, fewer = folders["made"], folders["changed"], folders["fewer"]
    with _server() as env:
        yield "preview, all new", _run(tool.preview(made), env)
        yield "create", _run(tool.deliver(made), env)
        yield "preview, no change", _run(tool.preview(made), env)
        yield "again, unchanged", _run(tool.deliver(made), env)
        yield "update all", _run(tool.deliver(changed), env)
        if tool.prunes:
            yield "prune a tenth", _run(tool.deliver(fewer), env)
            _run(tool.deliver(changed), env)
        yield "delete all, and wait", _run(tool.delete(made), env)
    with _server() as env:
        yield "create, and wait for health", _run(tool.waiting(made), env)


def _run(words: Words, env: dict[str, str]) -> Spent:
    """Run a command to its end."""
    begun_s = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(words, env=env, stdout=said, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - begun_s
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise SystemExit(f"{' '.join(words)} failed:\n{said.read().decode()[-2000:]}")
    cpu_s = usage.ru_utime + usage.ru_stime
    return Spent(wall_s=wall_s, cpu_s=cpu_s, memory_mib=usage.ru_maxrss / 1024)


@contextmanager
def _server() -> Iterator[dict[str, str]]:
    """Run a server; give the environment in which tools find it."""
    with tempfile.TemporaryDirectory() as folder:
        kubeconfig = str(Path(folder) / "kubeconfig")
        words = _ours("serve", "--port", "0", "--kubeconfig", kubeconfig)
        process = subprocess.Popen(words, stdout=subprocess.PIPE)
        try:
            assert process.stdout is not None
            process.stdout.readline()
            process.stdout.readline()
            env = os.environ | {"KUBECONFIG": kubeconfig, "HOME": folder, "NO_COLOR": "1"}
            _compile(env)
            while not asyncio.run(_make_room(kubeconfig)):
                time.sleep(0.05)
            yield env
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)


def _compile(env: dict[str, str]) -> None:
    """Have Python keep compiled modules, apart from the sources, and compile most of them."""
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    env["PYTHONPYCACHEPREFIX"] = str(Path(env["HOME"]) / "compiled")
    subprocess.run(_ours("list"), env=env, check=True, capture_output=True)
    code = "import understudy.assembly"
    subprocess.run([sys.executable, "-c", code], env=env, check=True)


async def _make_room(kubeconfig: str) -> bool:
    """Let a pod of every Deployment fit on the simulated nodes; say whether there are any yet."""
    client = connections.connect(kubeconfig=kubeconfig)
    room = {"status": {"allocatable": {"pods": PODS_PER_NODE}}}
    try:
        nodes = (await client.list("nodes")).items
        for node in nodes:
            await client.patch("nodes", objects.name_of(node), room, subresource="status")
    finally:
        await client.close()
    return bool(nodes)


def _folders(place: Path, made: Sequence[objects.Object]) -> dict[str, Path]:
    """Write the objects as files: as they are, with another label each, and a tenth fewer."""
    first = [_as_in_files(obj, "1") for obj in made]
    second = [_as_in_files(obj, "2") for obj in made]
    content = {"made": first, "changed": second, "fewer": second[: -len(second) // PRUNED_SHARE]}
    for name, items in content.items():
        (place / name).mkdir()
        (place / name / "load.yaml").write_text(yaml.dump_all(items, Dumper=yaml.CSafeDumper))
    return {name: place / name for name in content}


def _as_in_files(obj: objects.Object, release: str) -> objects.Object:
    """Return an object as all the tools know how to compare it: a Secret's data in base64."""
    out = objects.copy(obj)
    out["metadata"]["labels"]["release"] = release
    if "stringData" in out:
        plain = out.pop("stringData")
        out["data"] = {
            key: base64.b64encode(value.encode()).decode() for key, value in plain.items()
        }
    return out
