"""kubectl looks into pods that are processes: logs, exec, attach, cp, port-forward, proxy."""

import concurrent.futures
import contextlib
import datetime as dt
import functools
import hashlib
import json
import os
import pty
import re
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

LISTENING = """
import http.server, os
class Echo(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        said = f"{self.command} {self.path} ".encode() + body
        self.send_response(418 if "teapot" in self.path else 200)
        self.send_header("X-Echo", self.headers.get("X-Asked", ""))
        self.send_header("X-Authorized", str("Authorization" in self.headers))
        if "stream" in self.path:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for _ in range(100):
                self.wfile.write(b"3e8\\r\\n" + b"x" * 1000 + b"\\r\\n")
            self.wfile.write(b"0\\r\\n\\r\\n")
            return
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)
    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = answer
    def log_message(self, *_): pass
port = int(os.environ.get("PORT", "8080"))
http.server.ThreadingHTTPServer(("127.0.0.1", port), Echo).serve_forever()
"""


@pytest.fixture(scope="module")
def live_cluster(serving, until):
    """A server whose pods are processes; tokens are asked for, hence TLS for kubectl."""
    with serving(controllers="all", runtime="process", auth="rbac", tls=True) as found:
        yield found
        until(lambda: found.server.api.pods.open == 0)


def container(name, script, **more):
    return {"name": name, "image": "none", "command": ["sh", "-c", script], **more}


def listener(name="web"):
    command = [sys.executable, "-c", LISTENING]
    ports = [{"containerPort": 8080, "name": "http"}]
    probe = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
    return {"name": name, "image": "none", "command": command, "ports": ports,
            "readinessProbe": probe}  # fmt: skip


@pytest.fixture
def pod(live_cluster, namespace, until):
    """Create a pod and wait until it is ready."""
    base = live_cluster.server.base

    def make(*containers, name="p", ready=True, **spec):
        body = {
            "metadata": {"name": name, "labels": {"app": name, "set": "all"}},
            "spec": {"containers": [*containers], "terminationGracePeriodSeconds": 1, **spec},
        }
        live_cluster.on_loop(base.create, "pods", body, namespace)
        find = functools.partial(live_cluster.on_loop, base.find, "pods", namespace, name)

        def is_ready():
            status = find().get("status") or {}
            conditions = status.get("conditions") or ()
            return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

        if ready:
            until(is_ready)
        return find

    return make


# -- logs


def test_logs_are_read_in_part_and_as_a_whole(kubectl, pod, until):
    pod(container("app", "echo one; echo two >&2; echo three; exec sleep 1000"))
    until(lambda: kubectl("logs p") == "one\ntwo\nthree\n")
    assert kubectl("logs p --tail=2") == "two\nthree\n"
    assert kubectl("logs p --tail=0") == ""
    assert kubectl("logs p --limit-bytes=5") == "one\nt"
    assert kubectl("logs p -c app --since=1h") == "one\ntwo\nthree\n"
    later = (dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)).isoformat()
    assert kubectl(["logs", "p", f"--since-time={later}"]) == ""
    stamped = kubectl("logs p --timestamps").splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z \w+$", line) for line in stamped)


def test_logs_are_followed_until_the_container_ends(any_kubectl, pod, tmp_path):
    go = tmp_path / "go"
    script = f"echo begin; while [ ! -e {go} ]; do sleep 0.05; done; echo end"
    pod(container("app", script), restartPolicy="Never")
    with any_kubectl.following("logs -f p") as line:
        assert line() == "begin"
        go.touch()
        assert line() == "end"


def test_the_log_of_the_run_before_is_kept(kubectl, pod, tmp_path, until):
    script = f"if mkdir {tmp_path}/once 2>/dev/null; then echo first; exit 1; fi; echo second; exec sleep 1000"
    pod(container("app", script))
    until(lambda: kubectl("logs p") == "second\n")
    assert kubectl("logs p --previous") == "first\n"


def test_logs_of_several_containers_and_pods(kubectl, pod, until):
    for name in ("p", "q"):
        pod(container("a", f"echo {name}-a; exec sleep 1000"),
            container("b", f"echo {name}-b; exec sleep 1000"), name=name)  # fmt: skip
    until(lambda: set(kubectl("logs p --all-containers").split()) == {"p-a", "p-b"})
    found = kubectl("logs -l set=all --all-containers --prefix").splitlines()
    assert {"[pod/p/a] p-a", "[pod/p/b] p-b", "[pod/q/a] q-a", "[pod/q/b] q-b"} == set(found)
    assert "container nope is not valid for pod p" in kubectl.fails("logs p -c nope")
    no_run = 'previous terminated container "a" in pod "p" not found'
    assert no_run in kubectl.fails("logs p -c a --previous")


@pytest.mark.parametrize(
    ("query", "code", "said"),
    [
        ("tailLines=-1", 422, 'PodLogOptions "p" is invalid: tailLines: Invalid value: -1: must be '
         "greater than or equal to 0"),
        ("limitBytes=0", 422, 'PodLogOptions "p" is invalid: limitBytes: Invalid value: 0: must be '
         "greater than 0"),
        ("sinceSeconds=0", 422, 'PodLogOptions "p" is invalid: sinceSeconds: Invalid value: 0: '
         "must be greater than 0"),
        ("sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z", 422, "at most one of"),
        ("stream=Stdout", 422, "stream: Forbidden: may not be specified"),
        ("tailLines=many", 400, 'strconv.ParseInt: parsing "many": invalid syntax'),
        ("sinceTime=now", 400, 'cannot parse "now" as "2006"'),
    ],
)  # fmt: skip
def test_options_of_logs_are_checked(kubectl, pod, namespace, query, code, said):
    pod(container("app", "exec sleep 1000"), ready=False)
    done = kubectl.run(["get", "--raw", f"/api/v1/namespaces/{namespace}/pods/p/log?{query}"])
    assert done.returncode == 1
    assert said in done.stderr.replace('\\"', '"')
    expected = {422: "Invalid", 400: "BadRequest"}[code]
    assert expected in done.stderr or said in done.stderr


# -- commands


def test_commands_run_with_streams_and_exit_codes(any_kubectl, pod):
    pod(container("app", "exec sleep 1000", env=[{"name": "COLOUR", "value": "red"}]))
    command = ["exec", "p", "--", "sh", "-c", "echo $COLOUR; echo oops >&2; exit 7"]
    done = any_kubectl.run(command)
    assert (done.returncode, done.stdout) == (7, "red\n")
    assert done.stderr == "oops\ncommand terminated with exit code 7\n"
    done = any_kubectl.run("exec p -- true")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert any_kubectl("exec -i p -- cat", "to and fro\n") == "to and fro\n"
    assert "no such file" in any_kubectl.fails("exec p -- /no/such/command")
    assert "not valid for pod p" in any_kubectl.fails("exec p -c nope -- true")


def test_much_goes_in_and_out_unharmed(any_kubectl, pod, tmp_path):
    pod(container("app", "exec sleep 1000"))
    content = os.urandom(1024 * 1024) * 8
    (tmp_path / "in").write_bytes(content)
    with (tmp_path / "in").open("rb") as given:
        done = subprocess.run(
            [any_kubectl.binary, "exec", "-i", "p", "--", "cat"],
            stdin=given,
            capture_output=True,
            env={"HOME": str(tmp_path), "KUBECONFIG": str(any_kubectl.kubeconfig), "PATH": "/bin"},
            timeout=60,
            check=True,
        )
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(content).digest()


def test_a_terminal_has_a_size_and_one_output(any_kubectl, pod, tmp_path):
    pod(container("app", "exec sleep 1000"))
    ours, theirs = pty.openpty()
    import fcntl
    import struct
    import termios

    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
    script = "tty; n=0; until stty size | grep 77; do sleep 0.1; done; echo err >&2; exit 4"
    process = subprocess.Popen(
        [any_kubectl.binary, "exec", "-it", "p", "--", "sh", "-c", script],
        stdin=theirs, stdout=theirs, stderr=subprocess.PIPE,
        env={"HOME": str(tmp_path), "KUBECONFIG": str(any_kubectl.kubeconfig), "PATH": "/bin"},
    )  # fmt: skip
    os.close(theirs)
    said = b""
    with contextlib.suppress(OSError):  # Linux says so at the end of a terminal
        while data := os.read(ours, 4096):
            said += data
    os.close(ours)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 4
    for expected in (b"/dev/pts", b"33 77", b"err\r\n"):
        assert expected in said
    assert errors == b"command terminated with exit code 4\n"


def test_a_command_ends_with_its_client(kubectl, pod, tmp_path, until, live_cluster):
    pod(container("app", "exec sleep 1000"))
    script = f"echo $$ > {tmp_path}/pid; echo begun; exec sleep 1000"
    with kubectl.following(["exec", "p", "--", "sh", "-c", script]) as line:
        assert line() == "begun"
        assert live_cluster.server.api.pods.open == 1
    number = (tmp_path / "pid").read_text().strip()
    until(lambda: not Path(f"/proc/{number}").exists())
    until(lambda: live_cluster.server.api.pods.open == 0)


def test_attaching_joins_what_runs(any_kubectl, pod, until):
    script = "while read line; do echo got $line; done; sleep 1000"
    find = pod(container("app", script, stdin=True))
    with any_kubectl.following("attach -i p") as line:
        # What was said before is not shown, so it is said until it is.
        import threading

        talking = threading.Event()

        def talk(process):
            while not talking.wait(0.2):
                process.stdin.write("hello\n")
                process.stdin.flush()

        process = line.process
        talker = threading.Thread(target=talk, args=(process,))
        talker.start()
        try:
            while line() != "got hello":
                pass
        finally:
            talking.set()
            talker.join()
    assert find()["status"]["phase"] == "Running"


def test_files_are_copied_both_ways(any_kubectl, pod, tmp_path):
    pod(container("app", "exec sleep 1000"))
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "a.txt").write_text("content")
    (tmp_path / "there").mkdir()
    any_kubectl(["cp", f"{tmp_path}/here", f"p:{tmp_path}/there"])
    assert (tmp_path / "there" / "here" / "a.txt").read_text() == "content"
    any_kubectl(["cp", f"p:{tmp_path}/there/here/a.txt", f"{tmp_path}/back.txt"])
    assert (tmp_path / "back.txt").read_text() == "content"


# -- ports


def fetch(url, **more):
    request = urllib.request.Request(url, **more)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.read(), answer.headers


def test_ports_are_forwarded(any_kubectl, pod):
    pod(listener())
    with any_kubectl.following("port-forward pod/p :8080 :9999") as line:
        ports = [line().split()[2].rpartition(":")[2] for _ in range(3)]
        good, bad = ports[0], ports[-1]
        assert fetch(f"http://127.0.0.1:{good}/one")[0] == b"GET /one "
        body = os.urandom(300_000)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            send = functools.partial(fetch, data=body)
            for answer, _ in pool.map(send, [f"http://127.0.0.1:{good}/many"] * 16):
                assert answer == b"POST /many " + body
        assert len(fetch(f"http://127.0.0.1:{good}/stream")[0]) == 100_000
        with pytest.raises((urllib.error.URLError, ConnectionError, OSError)):
            fetch(f"http://127.0.0.1:{bad}/")


def test_a_service_is_forwarded_to_a_pod_behind_it(kubectl, pod):
    pod(listener())
    kubectl("expose pod p --port=80 --target-port=http --name=s")
    with kubectl.following("port-forward svc/s :80") as line:
        port = line().split()[2].rpartition(":")[2]
        assert fetch(f"http://127.0.0.1:{port}/x")[0] == b"GET /x "


def test_requests_are_passed_on(kubectl, pod, namespace, until):
    pod(listener())
    pods = f"/api/v1/namespaces/{namespace}/pods"
    services = f"/api/v1/namespaces/{namespace}/services"
    assert kubectl(["get", "--raw", f"{pods}/p/proxy/a%20b/?c=d"]) == "GET /a%20b/?c=d "
    assert kubectl(["get", "--raw", f"{pods}/http:p:8080/proxy/"]) == "GET / "
    assert len(kubectl(["get", "--raw", f"{pods}/p:http/proxy/stream"])) == 100_000
    assert "status code 418" in kubectl.fails(["get", "--raw", f"{pods}/p/proxy/teapot"])
    assert "trying to reach service" in kubectl.fails(["get", "--raw", f"{pods}/p:9/proxy/"])
    assert "not found" in kubectl.fails(["get", "--raw", f"{pods}/q/proxy/"])
    kubectl("expose pod p --port=80 --target-port=http --name=s")
    until(lambda: kubectl.run(["get", "--raw", f"{services}/s/proxy/"]).stdout == "GET / ")
    said = kubectl.fails(["get", "--raw", f"{services}/s:81/proxy/"])
    assert 'no service port "81" found for service "s"' in said.replace('\\"', '"')
    with kubectl.following("proxy --port=0") as line:
        port = line().rpartition(":")[2]
        there = f"http://127.0.0.1:{port}{services}/s:80/proxy/put"
        answer, headers = fetch(there, data=b"body", method="PUT", headers={"X-Asked": "so"})
        assert answer == b"PUT /put body"
        assert (headers["X-Echo"], headers["X-Authorized"]) == ("so", "False")


# -- who may


def test_reading_and_commanding_are_different_rights(kubectl, pod, namespace, live_cluster):
    pod(container("app", "echo said; exec sleep 1000"))
    kubectl("create role reader --verb=get --resource=pods,pods/log,pods/exec,pods/portforward")
    kubectl("create rolebinding reader --role=reader --user=jane")
    assert kubectl("--as=jane logs p") == "said\n"
    for command, what in (("exec p -- true", "exec"), ("port-forward p :80", "portforward")):
        said = kubectl.fails(f"--as=jane {command}")
        assert f'cannot create resource "pods/{what}"' in said
    kubectl("create role actor --verb=create --resource=pods/exec")
    kubectl("create rolebinding actor --role=actor --user=jane")
    assert kubectl("--as=jane exec p -- echo done") == "done\n"
    assert json.loads(kubectl("get pod p -o json"))["status"]["phase"] == "Running"
