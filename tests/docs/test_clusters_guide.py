"""The commands of the guide to many clusters are run; each shows the lines that the guide shows."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "guides" / "clusters.md"


def steps():
    """Return commands and the lines that each is to show, for a port that is free."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    found = []
    for block in re.findall(r"```console\n(.*?)```", GUIDE.read_text(), re.DOTALL):
        for line in block.replace("8090", port).splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


class Shell:
    """Runs commands as a terminal does: variables stay, `&` goes on until the end."""

    def __init__(self, folder):
        self.folder = folder
        self.environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "NO_COLOR": "1"}
        if "PYTHONPATH" in os.environ:
            self.environ["PYTHONPATH"] = os.environ["PYTHONPATH"]
        self.running = []

    def run(self, command):
        if command.startswith("export "):
            name, _, value = command.removeprefix("export ").partition("=")
            self.environ[name] = value
            return ""
        words = re.sub(
            r"\bunderstudy (?=[a-z])", f"{sys.executable} -m understudy ", command, count=1
        )
        if command.endswith(" &"):
            script = words.removesuffix("&").replace(sys.executable, f"exec {sys.executable}")
            self.running.append(
                subprocess.Popen(
                    ["bash", "-c", script], cwd=self.folder, env=self.environ,
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                )
            )  # fmt: skip
            return ""
        done = subprocess.run(
            ["bash", "-c", words],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    def until(self, command, shown, within_s=20.0):
        """Run a command until it shows something: what runs beside it needs a moment."""
        end = time.monotonic() + within_s
        while True:
            try:
                found = self.run(command)
            except AssertionError:
                found = ""
            if all(line in found for line in shown) or time.monotonic() > end:
                return found
            time.sleep(0.1)

    def stop(self):
        codes = []
        for process in reversed(self.running):
            process.send_signal(signal.SIGTERM)
            codes.append(process.wait(15))
        assert set(codes) <= {0}


@pytest.mark.timeout(180)  # two dozen processes, one after another
@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on PATH")
def test_every_command_of_the_guide(tmp_path):
    shutil.copytree(ROOT / "examples" / "shop", tmp_path / "shop")
    shell, told = Shell(tmp_path), steps()
    assert len(told) >= 12
    try:
        for command, shown in told:
            if command.startswith("KUBECONFIG="):
                # The cluster beside it must be there first, as it is for whoever reads on.
                shell.until("test -s cluster.yaml && echo there", ["there"])
            waits = command == "understudy clusters"
            output = shell.until(command, shown) if waits else shell.run(command)
            for line in shown:
                assert line in output, (command, line, output)
    finally:
        shell.stop()


def test_the_python_of_the_guide_is_python():
    for block in re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL):
        exec(compile(block, str(GUIDE), "exec"), {})


def test_the_agents_manifest_is_one_that_a_cluster_takes(tmp_path):
    shell = Shell(tmp_path)
    try:
        shell.run("understudy serve --port 0 --kubeconfig cluster.yaml &")
        shell.until("test -s cluster.yaml && echo there", ["there"])
        shell.run("export KUBECONFIG=cluster.yaml")
        words = f"understudy plan agent -f {ROOT}/examples/agent/agent.yaml --exit-zero"
        found = shell.until(words, ["create"])
    finally:
        shell.stop()
    for line in ("Deployment", "ClusterRoleBinding", "ServiceAccount", "+ create"):
        assert line in found
