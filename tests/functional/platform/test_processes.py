"""Hub, agents and commands as processes of their own: what an operator does, and what kills them."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import orjson
import pytest
from click import testing

from understudy.cli import main

CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: banner}\ndata: {v: '%s'}\n"
COMMAND = (sys.executable, "-m", "understudy")


@dataclass
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self):
        return orjson.loads(self.out)


class Processes:
    """Commands in one directory, all ended with the test."""

    def __init__(self, folder, stack):
        self.folder, self._stack = folder, stack
        # Nothing of this machine's own configuration, and no colours.
        self.environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "NO_COLOR": "1"}
        for name in ("PYTHONPATH", "VIRTUAL_ENV"):
            if name in os.environ:
                self.environ[name] = os.environ[name]

    def start(self, *words, **environ):
        with (self.folder / f"{words[0]}.err").open("ab") as errors:
            process = subprocess.Popen(
                [*COMMAND, *words],
                cwd=self.folder,
                env=self.environ | environ,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self._stack.callback(self.end, process)
        return process

    def listening(self, *words):
        """Start a server; return it and its URL."""
        process = self.start(*words)
        line = process.stdout.readline()
        assert line.startswith("listening on "), (self.folder / f"{words[0]}.err").read_text()
        return process, line.split()[-1]

    @staticmethod
    def end(process):
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            assert process.wait(15) == 0
        process.stdout.close()

    def run(self, *words, **environ):
        done = subprocess.run(
            [*COMMAND, *words],
            cwd=self.folder,
            env=self.environ | environ,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def token(self, *words):
        """Make a token, and return the path of a file with it."""
        done = self.run("hub", *words, "--tokens", "tokens.json")
        assert done.code == 0, done.err
        path = self.folder / f"{words[0]}-{words[1]}.token"
        path.touch(mode=0o600)
        path.write_text(done.out)
        return str(path)


@pytest.fixture
def processes(tmp_path):
    with contextlib.ExitStack() as stack:
        yield Processes(tmp_path, stack)


def until(condition, within_s=20.0):
    end = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < end, "in vain"
        time.sleep(0.05)
    return found


@pytest.mark.timeout(180)  # two dozen processes, one after another
def test_a_cluster_is_delivered_to_through_the_only_credentials_there_are(processes):
    agent_token = processes.token("token", "prod-eu")
    reader = processes.token("caller", "reader")
    writer = processes.token("caller", "writer", "--access", "write")
    _, _ = processes.listening("serve", "--port", "0", "--kubeconfig", "kubeconfig")
    hub = ("hub", "--tokens", "tokens.json", "--tls-dir", "tls", "--heartbeat", "1s")
    served, url = processes.listening(*hub, "--port", "0", "--audit-log", "audit.jsonl")
    assert url.startswith("https://")
    agent = processes.start(
        "agent", "--hub", url, "--hub-ca", "tls/ca.crt", "--instance", "prod-eu",
        "--token-file", agent_token, "--kubeconfig", "kubeconfig",
    )  # fmt: skip
    caller = {"UNDERSTUDY_HUB": url, "UNDERSTUDY_HUB_CA": "tls/ca.crt"}
    reading = caller | {"UNDERSTUDY_HUB_TOKEN_FILE": reader}
    writing = caller | {"UNDERSTUDY_HUB_TOKEN_FILE": writer}

    def states():
        done = processes.run("clusters", "-o", "json", **reading)
        assert done.code == 0, done.err
        return {one["instance"]: one["state"] for one in done.json}

    until(lambda: states() == {"prod-eu": "connected"})
    assert "prod-eu   connected  0.1.0" in processes.run("clusters", **reading).out

    (processes.folder / "app.yaml").write_text(CONFIG % 1)
    there = ("shop", "-f", "app.yaml", "--instance", "prod-eu")
    assert processes.run("plan", *there, **reading).code == 2
    refused = processes.run("deliver", *there, "--yes", **reading)
    assert (refused.code, "reader has read access to prod-eu" in refused.err) == (1, True)
    delivered = processes.run("deliver", *there, "--yes", **writing)
    assert delivered.code == 0, delivered.err
    shown = processes.run("status", "shop", "--instance", "prod-eu", "-o", "json", **reading)
    assert [one["health"] for one in shown.json] == ["Current"]
    nobody = processes.run("plan", *there, **caller)
    assert (nobody.code, "a caller's token is needed" in nobody.err) == (1, True)

    # A hub that is killed: agents come back to the next one at that address.
    served.kill()
    served.wait()
    gone = processes.run("plan", *there, **reading)
    assert (gone.code, gone.err.count("\n")) == (1, 1)
    port = url.rpartition(":")[2]
    _, again = processes.listening(*hub, "--port", port, "--audit-log", "audit.jsonl")
    assert again == url
    until(lambda: states() == {"prod-eu": "connected"})
    assert processes.run("plan", *there, **reading).code == 0

    # An agent that is killed is known to be gone, and what asks for it is told so at once.
    agent.kill()
    agent.wait()
    until(lambda: states() == {"prod-eu": "lost"})
    lost = until(lambda: _without_retries(processes.run("plan", *there, **reading)))
    assert lost.code == 1
    assert "prod-eu" in lost.err

    lines = (processes.folder / "audit.jsonl").read_text().splitlines()
    audit = [found for line in lines if "request" in (found := orjson.loads(line))]
    refusals = [one for one in audit if one["result"] == "forbidden"]
    assert {one["caller"] for one in refusals} == {"reader"}
    assert all({"time", "caller", "instance", "request", "result"} <= set(one) for one in audit)


def _without_retries(result):
    return result if result.code else None


def test_two_agents_of_one_name_take_turns_slowly_and_the_table_says_so(processes):
    _, _ = processes.listening("serve", "--port", "0", "--kubeconfig", "kubeconfig")
    _, url = processes.listening("hub", "--port", "0")
    for _ in range(2):
        processes.start("agent", "--hub", url, "--instance", "prod-eu", KUBECONFIG="kubeconfig")
    told = processes.folder / "agent.err"
    until(lambda: "was replaced by connection 2; trying again in" in told.read_text())
    (one,) = processes.run("clusters", "-o", "jsonl", UNDERSTUDY_HUB=url).out.splitlines()
    assert orjson.loads(one)["state"] == "connected"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("hub", "--host", "0.0.0.0"), "host 0.0.0.0: without tokens"),
        (("hub", "--tls-cert", "x"), "does not exist"),
        (("hub", "token", "No_pe", "--tokens", "t"), "must be a DNS label"),
        (("hub", "token", "prod-eu"), "which file of tokens? give --tokens FILE"),
        (("hub", "revoke", "prod-eu", "--tokens", "t"), "prod-eu has no token"),
        (("hub", "--nats", "nats://127.0.0.1:1", "--port", "0"), "NATS cannot be reached"),
        (("clusters",), "which hub? give --hub URL or set UNDERSTUDY_HUB"),
        (("clusters", "--hub", "hub.example"), "hub 'hub.example': must be a URL"),
        (("clusters", "--hub", "http://127.0.0.1:1"), "cannot be reached"),
        (("agent", "--hub", "http://127.0.0.1:1", "--instance", "X"), "must be a DNS label"),
        (("agent", "--hub", "x", "--instance", "a"), "hub 'x': must be a URL"),
        (("agent", "--hub", "http://x", "--instance", "a"), "no kubeconfig found"),
        (("plan", "a", "-f", "x", "--instance", "a"), "which hub?"),
        (("plan", "a", "-f", "x", "--instance", "A", "--hub", "http://x"), "must be a DNS label"),
        (("plan", "a", "-f", "x", "--instance", "a", "--context", "b"), "give either --instance"),
    ],
)  # fmt: skip
def test_bad_input_gets_one_sentence(tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    nothing = dict.fromkeys(["KUBECONFIG", "KUBERNETES_SERVICE_HOST", "UNDERSTUDY_HUB"])
    runner = testing.CliRunner(env={"HOME": str(tmp_path), **nothing})
    done = runner.invoke(main.cli, list(words))
    assert done.exit_code in {1, 2}
    assert isinstance(done.exception, SystemExit)
    assert said in done.stderr, done.stderr
