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

Options: `--understudy-controllers=all` and `--understudy-runtime=simulated` make the *base* live.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from understudy.client import protocol
    from understudy.testing import servers


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add our options."""
    group = parser.getgroup("understudy", "an embedded Kubernetes API")
    group.addoption("--understudy-controllers", default="none", help="all, none or a list")
    group.addoption("--understudy-runtime", default="none", help="none or simulated")


@pytest.fixture(scope="session")
def understudy_server(request: pytest.FixtureRequest) -> Iterator[servers.TestServer]:
    """Serve a Kubernetes API on loopback for the session."""
    from understudy.testing import servers  # noqa: PLC0415 (only where it is used)

    server = servers.TestServer(
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
    return understudy_view.kubeconfig


@pytest.fixture
def client(understudy_view: servers.TestView) -> protocol.Client:
    """Return an async client of the fork."""
    return understudy_view.client
