"""The commands of the guide to deliveries are run; each shows the lines that the guide shows."""

import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "guides" / "delivering.md"


def steps():
    """Return commands and the lines that each is to show."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", GUIDE.read_text(), re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


@pytest.fixture
def kubeconfig(tmp_path):
    path = tmp_path / "cluster.yaml"
    process = subprocess.Popen(
        [sys.executable, "-m", "understudy", "serve", "--port", "0", "--kubeconfig", str(path)],
        stdout=subprocess.PIPE,
    )
    process.stdout.readline()
    process.stdout.readline()
    yield path
    process.send_signal(signal.SIGTERM)
    process.wait(10)
    process.stdout.close()


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on PATH")
def test_every_command_of_the_guide(kubeconfig, tmp_path):
    shutil.copytree(ROOT / "examples" / "shop", tmp_path / "shop")
    environment = {"KUBECONFIG": str(kubeconfig), "PATH": "/usr/local/bin:/usr/bin:/bin"}
    told = steps()
    assert len(told) >= 10
    for command, shown in told:
        words = shlex.split(command)
        if words[0] == "understudy":
            words[:1] = [sys.executable, "-m", "understudy"]
        else:
            words[0] = shutil.which(words[0])
        done = subprocess.run(
            words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        for line in shown:
            assert line in done.stdout, (command, line, done.stdout)
