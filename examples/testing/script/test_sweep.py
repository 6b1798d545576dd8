"""The script, run as its users run it, by somebody with just enough rights."""

import subprocess
import sys
from pathlib import Path

import pytest

SWEEP = Path(__file__).with_name("sweep.py")
LONG_AGO, NEVER_AGO = "2020-01-01T00:00:00Z", "2100-01-01T00:00:00Z"


@pytest.fixture
def sweep(kubeconfig):
    """Return the script: with KUBECONFIG set, it finds this test's fork by itself."""

    def run(*arguments):
        return subprocess.run(
            [sys.executable, str(SWEEP), *arguments], capture_output=True, text=True, check=False
        )

    return run


def make_pod(view, name, phase="Failed", started=LONG_AGO):
    spec = {"containers": [{"name": "main", "image": "work:1"}]}
    view.create("pods", {"metadata": {"name": name}, "spec": spec}, "default")
    status = {"status": {"phase": phase, "startTime": started}}
    view.patch("pods", name, status, "default", subresource="status")


def pods(view):
    return sorted(pod["metadata"]["name"] for pod in view.each("pods", "default"))


def test_only_what_failed_long_ago_goes(sweep, understudy_server, understudy_view):
    make_pod(understudy_view, "old-failed")
    make_pod(understudy_view, "new-failed", started=NEVER_AGO)
    make_pod(understudy_view, "old-running", phase="Running")
    done = sweep()
    assert (done.returncode, done.stdout) == (0, "deleted old-failed\n"), done.stderr
    assert pods(understudy_view) == ["new-failed", "old-running"]
    requests = understudy_server.requests
    requests.assert_none("deletecollection")
    requests.assert_none("delete", "pods", "old-running")
    assert requests.count("delete", "pods") == 1


def test_many_pods_are_read_page_by_page(sweep, understudy_server, understudy_view):
    for n in range(120):
        make_pod(understudy_view, f"failed-{n:03d}")
    assert sweep().returncode == 0
    assert pods(understudy_view) == []
    assert understudy_server.requests.count("list", "pods") == 2


def test_a_busy_server_is_asked_again(sweep, understudy_server, understudy_view):
    make_pod(understudy_view, "old-failed")
    understudy_server.faults.on("delete", "pods", times=1).too_many(retry_after_s=1)
    assert sweep().returncode == 0
    assert pods(understudy_view) == []
    assert understudy_server.requests.count("delete", "pods") == 2


def test_a_refusal_is_told(sweep, understudy_server, understudy_view):
    make_pod(understudy_view, "old-failed")
    understudy_server.faults.on("delete", "pods").answer(403)
    done = sweep()
    assert done.returncode == 1
    assert "the API refused: 403" in done.stderr


def test_the_rights_it_says_it_needs_are_enough(sweep, understudy_view, monkeypatch):
    understudy_view.create_from(SWEEP.with_name("rights.yaml"))
    make_pod(understudy_view, "old-failed")
    monkeypatch.setenv("KUBECONFIG", understudy_view.kubeconfig_for("sweeper"))
    done = sweep()
    assert (done.returncode, done.stderr) == (0, "")
    assert pods(understudy_view) == []


def test_without_rights_nothing_happens(sweep, understudy_view, monkeypatch):
    understudy_view.create("serviceaccounts", {"metadata": {"name": "nobody"}}, "default")
    make_pod(understudy_view, "old-failed")
    monkeypatch.setenv("KUBECONFIG", understudy_view.kubeconfig_for("nobody"))
    assert sweep().returncode == 1
    assert pods(understudy_view) == ["old-failed"]
