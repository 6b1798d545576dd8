"""`understudy serve --runtime process` in a process of its own: who may, and what is left of it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest
from click import testing

from understudy.cli import main

HELLO = Path(__file__).resolve().parents[3] / "examples" / "hello"
WAIT_S = 30.0


@contextlib.contextmanager
def serving(kubeconfig: Path, *more: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [
            sys.executable, "-m", "understudy", "serve", "--runtime", "process", "--port", "0",
            "--kubeconfig", str(kubeconfig), *more,
        ],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.readline()
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()


def until(condition: Callable[[], object], what: str) -> None:
    ends = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < ends, what
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/status")
    return not status.exists() or "State:\tZ" not in status.read_text()


def understudy(kubeconfig: Path, *words: str) -> str:
    runner = testing.CliRunner(env={"KUBECONFIG": str(kubeconfig), "NO_COLOR": "1"})
    result = runner.invoke(main.cli, list(words))
    assert result.exit_code == 0, result.output
    return result.stdout


def manifest(path: Path, script: str) -> Path:
    container = {"name": "app", "image": "none", "command": ["sh", "-c", script]}
    path.write_bytes(orjson.dumps({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "tree", "namespace": "default"},
        "spec": {"containers": [container]},
    }))  # fmt: skip
    return path


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_outlives_the_server_whatever_ends_it(tmp_path: Path, number: signal.Signals):
    pids = tmp_path / "pids"
    script = f"echo $$$$ >> {pids}; sleep 1000 & echo $! >> {pids}; "
    if sys.platform == "linux":
        script += f"setsid sh -c 'echo $$$$ >> {pids}; exec sleep 1000' & "
    wanted = 3 if sys.platform == "linux" else 2
    with serving(tmp_path / "kubeconfig") as server:
        understudy(
            tmp_path / "kubeconfig",
            "import",
            "-f",
            str(manifest(tmp_path / "pod.json", script + "wait")),
        )
        until(lambda: pids.exists() and len(pids.read_text().split()) == wanted, "the processes")
        found = [int(pid) for pid in pids.read_text().split()]
        assert all(map(is_alive, found))
        server.send_signal(number)
        server.wait(20)
        until(lambda: not any(map(is_alive, found)), "processes are left")


def test_hello_runs_as_a_process_of_its_directory(tmp_path: Path):
    kubeconfig = tmp_path / "kubeconfig"
    with serving(kubeconfig, "--gateway-port", "0"):
        said = understudy(kubeconfig, "app", "deploy", str(HELLO), "--timeout", "30s")
        assert "Ready to serve." in said
        url = said.split()[-1]
        host, port = url.removeprefix("http://").rsplit(":", 1)
        answer = subprocess.run(
            ["curl", "-s", "--max-time", "10", "-H", f"Host: {host}", f"http://127.0.0.1:{port}/Bob"],
            capture_output=True, check=True, text=True,
        )  # fmt: skip
        found = orjson.loads(answer.stdout)
        assert found["message"] == "Hello, Bob!"
        command = Path(f"/proc/{found['process']}/cmdline")
        assert not command.exists() or b"app.py" in command.read_bytes()


def test_it_does_not_run_where_everybody_may_ask(tmp_path: Path):
    result = subprocess.run(
        [sys.executable, "-m", "understudy", "serve", "--runtime", "process", "--auth", "none",
         "--port", "0"],
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert result.returncode == 1
    assert result.stderr.strip() == (
        "Error: --runtime process: pods run as processes of this machine, so clients must show an "
        "access token, but auth is 'none': set auth to 'token' or 'rbac'"
    )
