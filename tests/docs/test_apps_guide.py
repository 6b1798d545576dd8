"""The commands of the guide to apps are run; each shows the lines that the guide shows."""

import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "guides" / "apps.md"
NEEDED = ("kubectl", "curl")


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
def up(tmp_path):
    """Start a cluster; return its kubeconfig and the port of its gateway."""
    path = tmp_path / "cluster.yaml"
    words = ["up", "--port", "0", "--gateway-port", "0", "--kubeconfig", str(path)]
    process = subprocess.Popen(
        [sys.executable, "-m", "understudy", *words], stdout=subprocess.PIPE, text=True
    )
    lines = [process.stdout.readline() for _ in range(3)]
    assert lines[0].startswith("listening on https://127.0.0.1:")
    assert lines[2].startswith("apps at http://<app>.<namespace>.localhost:")
    yield path, lines[2].strip().rpartition(":")[2]
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    process.stdout.close()


@pytest.mark.skipif(
    any(shutil.which(name) is None for name in NEEDED), reason="kubectl or curl is not on PATH"
)
def test_every_command_of_the_guide(up, tmp_path):
    kubeconfig, port = up
    for example in ("hello", "notes"):
        shutil.copytree(ROOT / "examples" / example, tmp_path / example)
    environment = {"KUBECONFIG": str(kubeconfig), "PATH": "/usr/local/bin:/usr/bin:/bin"}
    told = steps()
    assert len(told) >= 10
    for command, shown in told:
        words = shlex.split(command.replace("PORT", port))
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
