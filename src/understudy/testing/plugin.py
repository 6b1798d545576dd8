"""The pytest plugin: a real Kubernetes API for every test, forked in microseconds.

    def test_my_operator(understudy_view, kubeconfig):
        understudy_view.create("configmaps", {"metadata": {"name": "a"}}, "default")
        subprocess.run(["kubectl", "--kubeconfig", kubeconfig, "get", "configmap", "a"], check=True)

| fixture             | scope    | is                                                            |
| ------------------- | -------- | ------------------------------------------------------------- |
| `understudy_server` | session  | a server on loopback; one for each worker of pytest-xdist     |
| `understudy_view`   | function | a fresh fork of its base: what one test writes no other sees  |
| `kubeconfig`        | function | path of the fork's kubeconfig, also in KUBECONFIG             |
| `client`            | function | an async `client.protocol.Client` of the fork, in process     |

Options: `--understudy-controllers=all` and `--understudy-runtime=simulated` make the base and each
test's fork live; `--understudy-auth=rbac` asks every client who it is and what it may.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from understudy.client import protocol
    from understudy.testing import servers

_REMEMBER_KUBECONFIG = tuple(
    (module, "KUBE_CONFIG_DEFAULT_LOCATION")
    for package in ("kubernetes", "kubernetes.aio", "kubernetes_asyncio")
    for module in (f"{package}.config", f"{package}.config.kube_config")
)
"""Client libraries read KUBECONFIG once, when they are imported. A test in whose process that was
earlier would work on another test's fork, or on a real cluster of whoever runs it."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add our options."""
    group = parser.getgroup("understudy", "an embedded Kubernetes API")
    group.addoption("--understudy-controllers", default="none", help="all, none or a list")
    group.addoption("--understudy-runtime", default="none", help="none or simulated")
    group.addoption(
        "--understudy-auth", default="none", choices=["none", "token", "rbac"], help="who may ask"
    )


@pytest.fixture(scope="session")
def understudy_server(request: pytest.FixtureRequest) -> Iterator[servers.TestServer]:
    """Serve a Kubernetes API on loopback for the session."""
    from understudy.testing import servers  # noqa: PLC0415 (only where it is used)

    server = servers.TestServer(
        auth=request.config.getoption("--understudy-auth"),
        controllers=request.config.getoption("--understudy-controllers"),
        runtime=request.config.getoption("--understudy-runtime"),
    )
    with server:
        yield server


@pytest.fixture
def understudy_view(understudy_server: servers.TestServer) -> Iterator[servers.TestView]:
    """Fork the server's base for one test; faults and recorded requests begin anew."""
    understudy_server.faults.clear()
    understudy_server.requests.clear()
    view = understudy_server.sandbox()
    yield view
    view.delete_sandbox()


@pytest.fixture
def kubeconfig(understudy_view: servers.TestView, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the path of the fork's kubeconfig; KUBECONFIG names it during the test."""
    monkeypatch.setenv("KUBECONFIG", understudy_view.kubeconfig)
    for name, remembered in _REMEMBER_KUBECONFIG:
        module = sys.modules.get(name)
        if hasattr(module, remembered):
            monkeypatch.setattr(module, remembered, understudy_view.kubeconfig)
    return understudy_view.kubeconfig


@pytest.fixture
def client(understudy_view: servers.TestView) -> protocol.Client:
    """Return an async client of the fork."""
    return understudy_view.client
