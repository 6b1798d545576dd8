"""The commands of the guide to running pods, one after the other, against `understudy up`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on PATH")
@pytest.mark.timeout(120)
def test_the_commands_of_the_guide_run(tmp_path: Path):
    text = (ROOT / "docs" / "guides" / "running.md").read_text()
    block = re.search(r"```sh\n(.*?)```", text, re.DOTALL)
    assert block is not None
    lines = block[1].splitlines()
    assert lines[0].startswith("understudy up ")
    assert lines[1].startswith("export KUBECONFIG=")
    kubeconfig = tmp_path / "kubeconfig"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "PATH": path}
    up = subprocess.Popen(
        [sys.executable, "-m", "understudy", "up", "--port", "0", "--gateway-port", "0",
         "--kubeconfig", str(kubeconfig)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert up.stdout is not None
    try:
        for _ in range(3):
            up.stdout.readline()
        said = [run(line, environment) for line in lines[2:]]
    finally:
        up.terminate()
        assert up.wait(30) == 0
        up.stdout.close()
    assert "created" in said[0]
    assert ":" in said[1], "a date has the time of day"
    assert said[2].startswith("I am clock-")
    assert "Ready to serve." in said[3]


def run(line: str, environment: dict[str, str]) -> str:
    """Run a line of the guide as a user would, who tries again while pods are starting."""
    line = line.replace("logs -f", "logs")
    for _ in range(50):
        done = subprocess.run(
            ["sh", "-c", line], capture_output=True, text=True, check=False, env=environment,
            cwd=ROOT, timeout=60,
        )  # fmt: skip
        if done.returncode == 0 and done.stdout:
            return done.stdout
        time.sleep(0.2)
    raise AssertionError(f"{line}: {done.stdout}{done.stderr}")
