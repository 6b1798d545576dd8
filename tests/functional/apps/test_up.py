"""`understudy up` in a process of its own, and the commands that need apps that run."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from click import testing

from understudy.cli import main

HELLO = Path(__file__).resolve().parents[3] / "examples" / "hello"
WORDS = [sys.executable, "-m", "understudy", "up", "--port", "0"]


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("up") / "kubeconfig"
    process = subprocess.Popen(
        [*WORDS, "--gateway-port", "0", "--kubeconfig", path], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    lines = [process.stdout.readline().strip() for _ in range(3)]
    assert lines[0].startswith("listening on https://127.0.0.1:")
    assert lines[1] == str(path)
    assert lines[2].startswith("apps at http://<app>.<namespace>.localhost:")
    yield path
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    process.stdout.close()


@pytest.fixture(scope="module")
def run(kubeconfig: Path):
    def invoke(*arguments: str | Path):
        runner = testing.CliRunner(env={"KUBECONFIG": str(kubeconfig), "NO_COLOR": "1"})
        result = runner.invoke(main.cli, ["app", *map(str, arguments)])
        assert not isinstance(result.exception, Exception), result.exception
        return result

    return invoke


@pytest.fixture(scope="module")
def url(run) -> str:
    deployed = run("deploy", HELLO)
    assert deployed.exit_code == 0, deployed.stderr
    return deployed.stdout.splitlines()[-1]


def ask(url: str, path: str) -> bytes:
    """Ask as curl does, to which every name under localhost is this machine."""
    host = url.removeprefix("http://")
    with socket.create_connection(("127.0.0.1", int(host.rpartition(":")[2])), 10) as connection:
        head = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode())
        answer = b""
        while data := connection.recv(65536):
            answer += data
    return answer


def test_the_printed_url_is_the_apps(run, url: str) -> None:
    assert ask(url, "/sam").endswith(b"}")
    assert b'"message": "Hello, sam!"' in ask(url, "/sam")
    assert run("open", "hello", "--print").stdout == f"{url}\n"
    assert run("-o", "json", "get", "hello").stdout.count(url) >= 1


def test_logs_of_one_replica_are_shown_as_they_are(run, url: str) -> None:
    ask(url, "/logged")
    logged = '"GET /logged HTTP/1.1" 200 -'
    for _ in range(50):  # the log is written beside the answer
        lines = run("logs", "hello").stdout.splitlines()
        if logged in lines:
            break
    assert lines[0].startswith("Hello listens on port ")
    assert logged in lines
    assert len(run("logs", "hello", "--tail", "1").stdout.splitlines()) == 1
    assert run("logs", "hello", "--since", "2100-01-01T00:00:00Z").stdout == ""
    assert "Hello listens" in run("logs", "hello", "--since", "10m").stdout
    timed = run("logs", "hello", "--timestamps").stdout
    assert timed.partition(" Hello listens")[0].endswith("Z")


def test_logs_for_programs_name_their_replica(run, url: str) -> None:
    (replica,) = orjson.loads(run("-o", "json", "replicas", "hello").stdout)
    name = replica["metadata"]["id"]["name"]
    first = orjson.loads(run("-o", "jsonl", "logs", "hello").stdout.splitlines()[0])
    assert (first["type"], first["replica"]) == ("line", name)
    assert orjson.loads(run("-o", "json", "logs", "hello", "--replica", name).stdout)[0] == first


def test_an_app_without_replicas_has_no_log(run, url: str, tmp_path: Path) -> None:
    path = tmp_path / "app.yaml"
    path.write_text(
        "metadata: {id: {name: asleep}}\n"
        "spec: {desiredState: STOPPED, container: {image: none, command: [sleep, '1']}}\n"
    )
    assert run("deploy", path).exit_code == 0
    shown = run("logs", "asleep")
    assert (shown.exit_code, shown.stdout) == (0, "")
    assert "has no replica at present, and so no log" in shown.stderr


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("logs", "nobody"), 1, "there is no such app"),
        (("logs", "hello", "--replica", "other"), 1, "it has no replica other"),
        (("logs", "hello", "-f", "-p"), 2, "leave --follow out"),
        (("logs", "hello", "--since", "soon"), 2, "neither a duration like 10m nor a time"),
        (("-o", "json", "logs", "hello", "-f"), 2, "use -o jsonl"),
        (("open", "nobody"), 1, "there is no such app"),
    ],
)
def test_what_cannot_be_shown_is_said(run, url: str, words, code, told) -> None:
    refused = run(*words)
    assert refused.exit_code == code
    assert told in refused.stderr


def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [*WORDS, "--gateway-port", str(port)], capture_output=True, text=True, check=False
        )
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1] == (
        f"Error: --gateway-port {port}: cannot listen there (address already in use);"
        " choose another, or 0 for any"
    )


def test_a_gateway_needs_pods_that_answer() -> None:
    words = [sys.executable, "-m", "understudy", "serve", "--port", "0", "--gateway-port", "0"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1] == (
        "Error: --gateway-port: pods of the runtime 'simulated' answer nothing;"
        " use runtime 'process'"
    )
