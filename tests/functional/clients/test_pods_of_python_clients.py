"""Python clients look into pods that are processes: streams over WebSocket, logs."""

import asyncio
import os
import sys

import httpx
import kr8s.asyncio
import kr8s.asyncio.objects
import kubernetes
import kubernetes.stream
import kubernetes_asyncio
import kubernetes_asyncio.stream
import lightkube
import pytest
from kubernetes_asyncio.client.api_client import ApiClient

NAMESPACE = "default"
SERVER = "import http.server as h, os; h.test(h.SimpleHTTPRequestHandler, port=int(os.environ['PORT']), bind='127.0.0.1')"


@pytest.fixture(scope="module")
def processes(serving, until):
    """A server whose pods are processes, and one of them: `p`."""
    with serving(controllers="all", runtime="process", auth="rbac", tls=True) as found:
        app = {"name": "app", "image": "none",
               "command": ["sh", "-c", "echo said; exec sleep 1000"]}  # fmt: skip
        web = {"name": "web", "image": "none", "command": [sys.executable, "-c", SERVER],
               "env": [{"name": "PORT", "value": "8080"}], "ports": [{"containerPort": 8080}],
               "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1}}  # fmt: skip
        body = {"metadata": {"name": "p"}, "spec": {"containers": [app, web]}}
        found.on_loop(found.server.base.create, "pods", body, NAMESPACE)
        yield found
        until(lambda: found.server.api.pods.open == 0)


@pytest.fixture
def ready(processes, until):
    """The server, once the pod is ready."""

    def is_ready():
        pod = processes.on_loop(processes.server.base.find, "pods", NAMESPACE, "p")
        statuses = (pod.get("status") or {}).get("containerStatuses") or ()
        return statuses and all(one["ready"] for one in statuses)

    until(is_ready)
    return processes


@pytest.fixture
def core(ready):
    api = kubernetes.config.new_client_from_config(ready.kubeconfig)
    yield kubernetes.client.CoreV1Api(api)
    api.close()
    api.rest_client.pool_manager.clear()


def test_the_official_client_runs_commands(core):
    def run(*command, **more):
        call = core.connect_get_namespaced_pod_exec
        # Preloading, and by its close(), the client leaves its socket to the garbage collector.
        options = {"stdout": True, "stderr": True, "stdin": False, "_preload_content": False}
        options |= more
        return kubernetes.stream.stream(
            call, "p", NAMESPACE, container="app", command=list(command), **options
        )

    greeting = run("echo", "hello")
    greeting.run_forever(timeout=30)
    assert (greeting.read_stdout(), greeting.returncode) == ("hello\n", 0)
    greeting.sock.shutdown()
    open_one = run("sh", "-c", "read a; echo got $a; echo err >&2; exit 3", stdin=True)
    open_one.write_stdin("word\n")
    open_one.run_forever(timeout=30)
    assert open_one.read_stdout() == "got word\n"
    assert open_one.read_stderr() == "err\n"
    assert open_one.returncode == 3
    open_one.sock.shutdown()
    counted = run("sh", "-c", "wc -c", stdin=True, binary=True)
    for _ in range(8):
        counted.write_stdin(os.urandom(100_000))
    counted.close_channel(0)
    counted.run_forever(timeout=30)
    assert int(counted.read_stdout()) == 800_000
    counted.sock.shutdown()


def test_the_official_client_forwards_ports(core):
    forward = kubernetes.stream.portforward(
        core.connect_get_namespaced_pod_portforward, "p", NAMESPACE, ports="8080,9999"
    )
    good, bad = forward.socket(8080), forward.socket(9999)
    good.settimeout(30)
    good.sendall(b"GET / HTTP/1.0\r\n\r\n")
    answer = b""
    while b"</html>" not in answer:
        answer += good.recv(65536)
    assert answer.startswith(b"HTTP/1.0 200")
    bad.close()
    good.close()
    assert "error forwarding port 9999 to pod p" in (forward.error(9999) or "")
    assert forward.error(8080) is None
    forward.close()
    forward.websocket.shutdown()  # which close() leaves open where the server ends first


def test_the_official_client_reads_logs(core):
    assert core.read_namespaced_pod_log("p", NAMESPACE, container="app") == "said\n"
    stream = core.read_namespaced_pod_log(
        "p", NAMESPACE, container="app", follow=True, _preload_content=False
    )
    assert next(iter(stream)) == b"said\n"
    stream.close()
    with pytest.raises(kubernetes.client.ApiException, match="a container name must be specified"):
        core.read_namespaced_pod_log("p", NAMESPACE)


async def test_kubernetes_asyncio_runs_commands(ready):
    configuration = kubernetes_asyncio.client.Configuration()
    await kubernetes_asyncio.config.load_kube_config(
        ready.kubeconfig, client_configuration=configuration
    )
    async with kubernetes_asyncio.stream.WsApiClient(configuration) as api:
        core = kubernetes_asyncio.client.CoreV1Api(api)
        common = {"container": "app", "stdout": True, "stderr": True}
        said = await core.connect_get_namespaced_pod_exec(
            "p", NAMESPACE, command=["sh", "-c", "echo out; echo err >&2"], **common
        )
        assert sorted(said.split()) == ["err", "out"]
        opening = await core.connect_get_namespaced_pod_exec(
            "p", NAMESPACE, command=["sh", "-c", "cat; exit 5"], stdin=True,
            _preload_content=False, **common,
        )  # fmt: skip
        async with opening as socket:
            await socket.send_bytes(b"\x00word\n")
            while (message := await socket.receive()).data != b"\x01word\n":
                assert message.data in (b"\x01", b"\x02")
    async with ApiClient(configuration) as plain:
        core = kubernetes_asyncio.client.CoreV1Api(plain)
        assert await core.read_namespaced_pod_log("p", NAMESPACE, container="app") == "said\n"


@pytest.mark.filterwarnings("ignore:Kubernetes version.*is not supported")
async def test_kr8s_runs_commands_and_forwards_ports(ready):
    api = await kr8s.asyncio.api(kubeconfig=ready.kubeconfig)
    pod = await kr8s.asyncio.objects.Pod.get("p", namespace=NAMESPACE, api=api)
    done = await pod.exec(["sh", "-c", "echo out; echo err >&2"], container="app")
    assert (done.stdout, done.stderr, done.returncode) == (b"out\n", b"err\n", 0)
    done = await pod.exec(["sh", "-c", "exit 9"], container="app", check=False)
    assert done.returncode == 9
    lines = [line async for line in pod.logs(container="app")]
    assert lines == ["said"]
    async with (
        pod.portforward(remote_port=8080, local_port="auto") as port,
        httpx.AsyncClient(trust_env=False) as client,
    ):
        answers = await asyncio.gather(*(client.get(f"http://127.0.0.1:{port}/") for _ in "abc"))
    assert [answer.status_code for answer in answers] == [200, 200, 200]


def test_lightkube_reads_logs(ready):
    config = lightkube.KubeConfig.from_file(ready.kubeconfig)
    client = lightkube.Client(config=config, trust_env=False)
    lines = client.log("p", namespace=NAMESPACE, container="app")
    assert list(lines) == ["said\n"]
    following = client.log("p", namespace=NAMESPACE, container="app", follow=True)
    assert next(iter(following)) == "said\n"
    client._client._client.close()
