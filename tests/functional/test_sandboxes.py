"""Sandboxes and time travel from the command line, as scripts use them."""

import json
import subprocess
import sys

import pytest

from understudy.kube import statuses
from understudy.testing import servers


@pytest.fixture(scope="module")
def server():
    with servers.TestServer() as running:
        yield running


def run(server, *words):
    return subprocess.run(
        [sys.executable, "-m", "understudy", *words],
        text=True, capture_output=True, check=False,
        env={"KUBECONFIG": server.base.kubeconfig, "PATH": "/usr/bin:/bin", "NO_COLOR": "1"},
    )  # fmt: skip


def sandbox(server, *words):
    return run(server, "sandbox", *words)


def test_a_sandbox_is_made_changed_compared_and_promoted(server, tmp_path):
    config = tmp_path / "scheduler.yaml"
    done = sandbox(
        server, "create", "trial", "--pinned", "--scheduler-config", str(config), "-o", "json"
    )
    made = json.loads(done.stdout)
    assert made["url"].endswith("/trial")
    assert "kubeconfig:" in config.read_text()
    assert sandbox(server, "diff", "trial").returncode == 0
    server.call(
        server._server.views.get("trial").create,
        "configmaps",
        {"metadata": {"name": "tried"}},
        "default",
    )
    shown = sandbox(server, "diff", "trial")
    assert (shown.returncode, shown.stdout.splitlines()[0]) == (
        2, "+ create configmap/tried (v1) namespace: default",
    )  # fmt: skip
    assert server.base.find("configmaps", "default", "tried") is None
    assert "1 changes promoted to base" in sandbox(server, "promote", "trial").stdout
    assert server.base.find("configmaps", "default", "tried") is not None
    assert sandbox(server, "delete", "trial").stdout == "view trial deleted\n"


def test_a_conflict_changes_nothing_and_has_its_own_exit_code(server):
    server.base.create("configmaps", {"metadata": {"name": "both"}}, "default")
    sandbox(server, "create", "other", "--pinned")
    for view in (server._server.views.get("other"), server._server.base):
        server.call(view.patch, "configmaps", "both", {"data": {"by": view.name}}, "default")
    done = sandbox(server, "promote", "other")
    assert done.returncode == 3
    assert "configmaps default/both: changed in other, changed in base" in done.stderr
    sandbox(server, "delete", "other")


def test_what_was_promoted_can_be_changed_and_promoted_again(server):
    for follow in (True, False):
        view = server.sandbox(follow=follow)
        view.create("configmaps", {"metadata": {"name": "again"}}, "default")
        for value in "12":
            view.patch("configmaps", "again", {"data": {"x": value}}, "default")
            assert len(view.promote().changes) == 1
            assert not view.diff()
            assert server.base.get("configmaps", "again", "default")["data"] == {"x": value}
        server.base.delete("configmaps", "again", "default")
        assert (view.find("configmaps", "default", "again") is None) is follow
        view.delete_sandbox()


def test_nothing_is_promoted_into_a_namespace_that_went(server):
    base = server.base
    base.create("namespaces", {"metadata": {"name": "going"}})
    view = server.sandbox(follow=False)
    view.create("configmaps", {"metadata": {"name": "a"}}, "going")
    obj = base.delete("namespaces", "going").object()
    base.update("namespaces", obj | {"spec": {}}, name="going", subresource="finalize")
    with pytest.raises(statuses.ConflictError, match="its namespace going deleted in base"):
        view.promote()
    view.delete_sandbox()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("create", "Bad_Name"), 'Invalid value: "Bad_Name"'),
        (("create", "base"), 'views "base" already exists'),
        (("create", "x", "--of", "none"), 'views "none" not found'),
        (("delete", "base"), 'view "base" is the base'),
    ],
)
def test_what_cannot_be_is_one_sentence(server, words, message):
    done = sandbox(server, *words)
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_two_revisions_of_a_view_are_compared(server):
    start = server.base.create("configmaps", {"metadata": {"name": "t"}}, "default").entry.revision
    server.base.patch("configmaps", "t", {"data": {"a": "1"}}, "default")
    done = run(server, "diff", "--from", str(start))
    assert done.returncode == 2
    assert done.stdout.splitlines()[0] == "~ change configmap/t (v1) namespace: default"
    assert run(server, "diff", "--from", str(start), "--to", str(start)).returncode == 0
    assert "Too large resource version" in run(server, "diff", "--from", "999999999").stderr
