"""kubectl as people run it: a binary, a kubeconfig, a namespace of the test's own."""

import json
import os
import queue
import re
import shlex
import shutil
import subprocess
import threading
import uuid
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

TIMEOUT_S = 60
"""A command that takes longer hangs; on an idle machine each takes a tenth of a second."""
TEST_TIMEOUT_S = 240
"""For a whole test: a loaded machine is slow, not wrong."""


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(TEST_TIMEOUT_S))


def _installed() -> list[Path]:
    """Return the kubectl on PATH, then the oldest and the newest of the versions beside it."""
    found = shutil.which("kubectl")
    if found is None:
        return []
    folders = {Path(found).parent, Path("/usr/lib/google-cloud-sdk/bin")}
    numbered = {
        tuple(int(part) for part in match.groups()): path
        for folder in folders
        if folder.is_dir()
        for path in folder.iterdir()
        if (match := re.fullmatch(r"kubectl\.(\d+)\.(\d+)", path.name))
    }
    versions = sorted(numbered)
    return list(dict.fromkeys([Path(found), *(numbered[v] for v in versions[:1] + versions[-1:])]))


KUBECTLS = _installed()
ABSENT = "kubectl is not on PATH; install it to run what people type against the server"


def _documents(objects) -> str:
    """Return objects as kubectl reads them; in YAML, some strings would be booleans."""
    return "".join(f"{json.dumps(obj)}\n" for obj in objects)


class Kubectl:
    """Runs one kubectl against one server, in one namespace.

    kubectl("get pods -o name")           its output; fails the test unless it succeeds
    kubectl.json("get pod p")             the object it prints
    kubectl.fails("get pod nope")         what it says, where it has to fail
    """

    def __init__(self, binary: Path, home: Path, kubeconfig: Path, namespace: str) -> None:
        self.binary, self.home = binary, home
        self.kubeconfig, self.namespace = kubeconfig, namespace
        version = json.loads(self._process("version --client -o json").communicate()[0])
        self.minor = int(version["clientVersion"]["minor"].rstrip("+"))

    def _process(self, command, environment=None) -> subprocess.Popen:
        arguments = shlex.split(command) if isinstance(command, str) else [*map(str, command)]
        return subprocess.Popen(
            [self.binary, *arguments],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.home),
                "KUBECONFIG": str(self.kubeconfig),
                **(environment or {}),
            },
            cwd=self.home,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, command, stdin="", **environment) -> subprocess.CompletedProcess:
        """Run a command to its end; objects given as stdin are written as YAML documents."""
        if not isinstance(stdin, str):
            stdin = _documents(stdin if isinstance(stdin, list) else [stdin])
        process = self._process(command, environment)
        try:
            out, err = process.communicate(stdin, timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            pytest.fail(f"kubectl {command} did not end\n{out}{err}")
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def __call__(self, command, stdin="", **environment) -> str:
        done = self.run(command, stdin, **environment)
        assert done.returncode == 0, f"kubectl {command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def fails(self, command, stdin="", code=1, **environment) -> str:
        done = self.run(command, stdin, **environment)
        assert done.returncode == code, f"kubectl {command}\n{done.stdout}{done.stderr}"
        return done.stderr

    def json(self, command, stdin="") -> dict:
        return json.loads(self(f"{command} -o json", stdin))

    def jsonpath(self, command, path) -> str:
        return self([*shlex.split(command), "-o", f"jsonpath={path}"])

    def table(self, command) -> list[list[str]]:
        """Return what a printed table says: its cells, the heading first."""
        lines = [line.strip() for line in self(command).splitlines()]
        return [re.split(r"\s{2,}", line) for line in lines if line]

    @contextmanager
    def following(self, command):
        """Start a command that goes on; yields a function that returns its next line.

        The function's attribute `process` is the command, for what is written to it.
        """
        process = self._process(command)
        lines: queue.Queue[str] = queue.Queue()

        def read():
            for line in process.stdout:
                lines.put(line.rstrip("\n"))

        reader = threading.Thread(target=read)
        reader.start()

        def line(timeout_s=TIMEOUT_S):
            return lines.get(timeout=timeout_s)

        line.process = process
        try:
            yield line
        finally:
            process.terminate()
            process.wait(TIMEOUT_S)
            reader.join(TIMEOUT_S)
            for stream in (process.stdin, process.stdout, process.stderr):
                stream.close()


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home of a module's own: kubectl keeps what it discovered there."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def namespace(live_cluster) -> str:
    """A new namespace of the live server."""
    name = f"n-{uuid.uuid4().hex[:8]}"
    body = {"metadata": {"name": name}}
    live_cluster.on_loop(live_cluster.server.base.create, "namespaces", body)
    return name


@pytest.fixture
def kubeconfig(live_cluster, namespace, tmp_path) -> Path:
    """A kubeconfig whose namespace is the test's."""
    content = yaml.safe_load(Path(live_cluster.kubeconfig).read_text())
    content["contexts"][0]["context"]["namespace"] = namespace
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture
def kubectl(home, kubeconfig, namespace) -> Kubectl:
    """The kubectl on PATH, in a new namespace of a server with controllers."""
    if not KUBECTLS:
        pytest.skip(ABSENT)
    return Kubectl(KUBECTLS[0], home, kubeconfig, namespace)


@pytest.fixture
def kubectl_for(tmp_path):
    """Make a kubectl for a server of the test's own, in the namespace default."""

    def make(cluster) -> Kubectl:
        if not KUBECTLS:
            pytest.skip(ABSENT)
        return Kubectl(KUBECTLS[0], tmp_path, cluster.kubeconfig, "default")

    return make


@pytest.fixture(params=KUBECTLS or [None], ids=lambda path: path.name if path else "none")
def any_kubectl(request, home, kubeconfig, namespace) -> Kubectl:
    """Each kubectl of the matrix in turn: the one on PATH, the oldest and the newest found."""
    if request.param is None:
        pytest.skip(ABSENT)
    return Kubectl(request.param, home, kubeconfig, namespace)


@pytest.fixture
def manifests(tmp_path):
    """Write objects to a file, or files to a folder, and return its path."""

    def write(*objects, name="objects.yaml", files=None) -> Path:
        if files is None:
            path = tmp_path / name
            path.write_text(_documents(objects))
            return path
        folder = tmp_path / name
        folder.mkdir()
        for file, content in files.items():
            text = content if isinstance(content, str) else _documents([content])
            (folder / file).write_text(text)
        return folder

    return write


@pytest.fixture(scope="session")
def definition():
    """Make the definition of widgets in a group: two versions, columns, status, scale, rules."""
    return _definition


@pytest.fixture(scope="module")
def widgets(live_cluster, definition) -> str:
    """Define widgets on the live server; returns their group. Their plural is `widgets`."""
    base, group = live_cluster.server.base, "stable.example.com"
    ref = "customresourcedefinitions.apiextensions.k8s.io"
    live_cluster.on_loop(base.create, ref, definition(group))
    return group


@pytest.fixture(scope="session")
def until():
    """Wait until a function returns something true, and return that: until(lambda: found())."""

    def wait(condition, timeout_s=TIMEOUT_S):
        pause = threading.Event()
        for _ in range(timeout_s * 20):
            if found := condition():
                return found
            pause.wait(0.05)
        pytest.fail("it did not happen")

    return wait


def _definition(group):
    """Return a definition with two versions, printer columns, status, scale and validation."""
    spec = {
        "type": "object",
        "required": ["size"],
        "properties": {
            "size": {"type": "integer", "minimum": 1, "description": "How large it is."},
            "colour": {"type": "string", "enum": ["red", "blue"], "default": "red"},
            "replicas": {"type": "integer"},
            "parts": {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
                "items": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {"name": {"type": "string"}, "count": {"type": "integer"}},
                },
            },
        },
        "x-kubernetes-validations": [
            {"rule": "self.size < 100 || self.colour == 'blue'", "message": "large ones are blue"}
        ],
    }
    status = {
        "type": "object",
        "properties": {
            "replicas": {"type": "integer"},
            "selector": {"type": "string"},
            "conditions": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"type": {"type": "string"}, "status": {"type": "string"}},
                },
            },
        },
    }
    schema = {
        "type": "object",
        "description": "A widget.",
        "properties": {"spec": spec, "status": status},
    }
    version = {
        "served": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            },
        },
        "selectableFields": [{"jsonPath": ".spec.colour"}],
        "additionalPrinterColumns": [
            {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
            {"name": "Colour", "type": "string", "jsonPath": ".spec.colour", "priority": 1},
            {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        ],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"widgets.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {
                "plural": "widgets",
                "singular": "widget",
                "kind": "Widget",
                "shortNames": ["wd"],
                "categories": ["all"],
            },
            "versions": [
                version | {"name": "v1", "storage": True},
                version | {"name": "v1beta1", "storage": False, "deprecated": True},
            ],
        },
    }
