"""The delivery commands against a server in another process: output, exit codes, bad input."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest
from click import testing

from understudy.cli import main

SHOP = Path(__file__).resolve().parents[2] / "examples" / "shop"
CONFIG = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: NAME}\ndata: {v: "VALUE"}\n'


@dataclass
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self):
        return orjson.loads(self.out)

    @property
    def lines(self) -> list:
        return [orjson.loads(line) for line in self.out.splitlines()]


Run = Callable[..., Result]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    kubeconfig = tmp_path_factory.mktemp("server") / "kubeconfig"
    process = subprocess.Popen(
        [sys.executable, "-m", "understudy", "serve", "--port", "0", "--kubeconfig", kubeconfig],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.readline()
    yield kubeconfig
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    process.stdout.close()


@pytest.fixture
def run(server: Path) -> Run:
    def invoke(*words: str, stdin: str = "", namespace: str = "") -> Result:
        runner = testing.CliRunner(env={"KUBECONFIG": str(server), "NO_COLOR": "1"})
        done = runner.invoke(
            main.cli, [*words, *(["-n", namespace] if namespace else [])], input=stdin
        )
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Result(done.exit_code, done.stdout, done.stderr)

    return invoke


def config(name: str, value: str = "1") -> str:
    return CONFIG.replace("NAME", name).replace("VALUE", value)


@pytest.mark.timeout(180)  # a dozen commands, which share the machine with other tests
def test_the_shop_from_plan_to_deletion(run: Run) -> None:
    planned = run("plan", "shop", "-f", str(SHOP / "v1"))
    assert planned.code == 2
    assert (
        "Plan for shop: revision shop-v1: 11 create, and 3 definitions for records" in planned.out
    )
    assert run("list").out.count("\n") == 1, "a plan writes nothing"

    done = run("deliver", "shop", "-f", str(SHOP / "v1"), "--yes")
    assert done.code == 0
    assert "create CustomResourceDefinition applications.core.understudy.dev" in done.out
    assert done.out.endswith("shop is delivered: revision shop-v1 (11 create)\n")
    again = run("plan", "shop", "-f", str(SHOP / "v1"))
    assert (again.code, "11 unchanged" in again.out) == (0, True)
    idle = run("deliver", "shop", "-f", str(SHOP / "v1"))
    assert idle.out == "Nothing to do: revision shop-v1 is in place and healthy.\n"

    refused = run("plan", "shop", "-f", str(SHOP / "v2-refused"))
    assert refused.code == 3
    assert "BLOCKED  Promotion shop/spring" in refused.out
    assert "spec.percent" in refused.out
    place = "v2-refused/10-promotions.yaml, document 2 (line 43)"
    assert f"{place}\n" in refused.out
    refused = run("deliver", "shop", "-f", str(SHOP / "v2-refused"), "--yes")
    assert refused.code == 3
    assert refused.err.splitlines()[1] == f"Promotion shop/spring stands in {SHOP}/{place}"

    upgraded = run("deliver", "shop", "-f", str(SHOP / "v2"), "--yes")
    assert upgraded.code == 0
    assert "Deployment shop/web restarts 2 pods" in upgraded.out
    assert "delete ConfigMap shop/banner" in upgraded.out
    assert "shop-v2" in run("history", "shop").out

    status = run("status", "shop")
    assert status.code == 0
    assert "+ Deployment web: Current" in status.out
    assert "banner" not in status.out

    assert run("rollback", "shop", "--yes").code == 0
    assert "rollback to shop-v1" in run("history", "shop").out
    assert "ConfigMap banner" in run("status", "shop").out

    assert run("delete", "shop", "--yes").code == 0
    gone = run("status", "shop")
    assert (gone.code, gone.err) == (1, "error: there is no application default/shop\n")


def test_drift_is_found_and_put_right(run: Run, server: Path) -> None:
    assert run("deliver", "drifting", "-f", "-", "--yes", stdin=config("d1")).code == 0
    assert run("drift", "drifting").code == 0
    patch = ["patch", "configmap", "d1", "--type=merge", "-p", '{"data":{"v":"changed"}}']
    subprocess.run(
        ["kubectl", *patch], env={**os.environ, "KUBECONFIG": str(server)}, check=True,
        capture_output=True,
    )  # fmt: skip
    drifted = run("drift", "drifting")
    assert drifted.code == 2
    assert "data.v: changed -> 1  # drift: changed by kubectl-patch" in drifted.out
    refused = run("deliver", "drifting", "-f", "-", "--yes", stdin=config("d1"))
    assert refused.code == 3
    assert 'conflict with "kubectl-patch"' in refused.err
    assert "--force-conflicts takes the fields over" in refused.err
    forced = ["deliver", "drifting", "-f", "-", "--yes", "--force-conflicts"]
    assert run(*forced, stdin=config("d1")).code == 0
    assert run("drift", "drifting").code == 0


def test_a_saved_plan_is_delivered_or_refused(run: Run, tmp_path: Path) -> None:
    plan, manifest = tmp_path / "plan.json", tmp_path / "m.yaml"
    manifest.write_text(config("p1"))
    assert run("plan", "saved", "-f", str(manifest), "--out", str(plan)).code == 2
    assert plan.stat().st_mode & 0o777 == 0o600
    assert run("deliver", "saved", "-f", str(manifest), "--plan", str(plan)).code == 0
    stale = run("deliver", "saved", "-f", str(manifest), "--plan", str(plan))
    assert stale.code == 4
    assert stale.err.startswith("error: the plan is stale: ")
    manifest.write_text(config("p1", "2"))
    other = run("deliver", "saved", "-f", str(manifest), "--plan", str(plan))
    assert (other.code, "the manifests are not those it was made of" in other.err) == (4, True)
    broken = tmp_path / "broken.json"
    broken.write_text("{}")
    wrong = run("deliver", "saved", "-f", str(manifest), "--plan", str(broken))
    assert (wrong.code, "is no plan that `plan --out` wrote" in wrong.err) == (1, True)


def test_json_is_one_document_and_jsonl_one_event_a_line(run: Run) -> None:
    planned = run("plan", "forms", "-f", "-", "-o", "json", stdin=config("j1"))
    assert planned.json["summary"]["create"] >= 1
    assert planned.json["digest"].startswith("sha256:")
    done = run("deliver", "forms", "-f", "-", "-o", "jsonl", "--yes", stdin=config("j1"))
    kinds = [event["type"] for event in done.lines]
    assert (kinds[0], kinds[-1]) == ("plan", "result")
    assert {"type": "done", "op": "create"}.items() <= next(
        event for event in done.lines if event.get("ref", {}).get("name") == "j1"
    ).items()
    assert run("history", "forms", "-o", "json").json[0]["phase"] == "Delivered"
    assert run("status", "forms", "-o", "json").json[0]["health"] == "Current"
    assert [a["name"] for a in run("list", "-o", "jsonl").lines if a["name"] == "forms"]
    failed = run("deliver", "forms", "-f", "/nowhere", "-o", "json", "--yes")
    assert failed.json == {
        "type": "error",
        "exitCode": 1,
        "messages": ["/nowhere: no such file or directory"],
    }


def test_on_a_terminal_output_is_coloured_fitted_and_asks(server: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "m.yaml"
    manifest.write_text(config("terminal"))
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, 60))
    words = [sys.executable, "-m", "understudy", "deliver", "terminal", "-f", str(manifest)]
    kept = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "COLUMNS")}
    process = subprocess.Popen(
        words, stdin=slave, stdout=slave, stderr=slave, close_fds=True,
        env={**kept, "KUBECONFIG": str(server), "TERM": "xterm"},
    )  # fmt: skip
    os.close(slave)
    with os.fdopen(master, "r+b", buffering=0) as terminal:
        told = b""
        while b"Continue? [y/N]" not in told:
            told += terminal.read(4096)
        terminal.write(b"y\n")
        with contextlib.suppress(OSError):  # the other end is closed
            while more := terminal.read(4096):
                told += more
    assert process.wait(20) == 0
    text = told.decode()
    assert "rehearsing terminal" in text, "what goes on is told while it does"
    assert re.search(r"\x1b\[32mdefault +terminal +ConfigMap", text), "creations are green"
    assert "\r\n    simulated by rule" in text, "sentences are fitted to the terminal"
    assert "create ConfigMap default/terminal" in text
    assert "terminal is delivered: revision terminal-v1" in text


def test_without_a_terminal_and_yes_nothing_is_changed(run: Run) -> None:
    refused = run("deliver", "timid", "-f", "-", stdin=config("t1"))
    assert refused.code == 1
    assert "give --yes" in refused.err
    assert "timid" not in run("list").out


def test_an_application_may_live_in_a_namespace_of_its_own(run: Run) -> None:
    manifest = "apiVersion: v1\nkind: Namespace\nmetadata: {name: own}\n---\n" + config("o1")
    missing = run("deliver", "own", "-f", "-", "--yes", stdin=config("o1"), namespace="own")
    assert (missing.code, "the namespace own does not exist" in missing.err) == (3, True)
    made = run("deliver", "own", "-f", "-", "--yes", stdin=manifest, namespace="own")
    assert made.code == 0
    lines = [line.split() for line in made.out.splitlines()]
    assert ["-", "own", "Namespace", "-", "-", "+", "create", "active", "new"] in lines
    assert "own" in run("list", "-A").out
    assert run("delete", "own", "--yes", namespace="own").code == 0
    assert "own" not in run("list", "-A").out


@pytest.mark.parametrize(
    ("stdin", "complaint"),
    [
        ("a: [", "standard input, document 1: is not YAML: line"),
        ("apiVersion: v1\nmetadata: {name: a}", "standard input, document 1: kind is missing"),
        (
            config("a") + "---\napiVersion: v1\nkind: Gadget\nmetadata: {name: g}",
            "standard input, document 2 (line 6): no kind 'Gadget' in apiVersion 'v1'",
        ),
        (
            config("a") + "---\n" + config("a"),
            "ConfigMap default/a is already defined in standard input, document 1",
        ),
        (
            "apiVersion: extensions/v1beta1\nkind: Deployment\nmetadata: {name: a}",
            "Deployment is served in apps/v1",
        ),
        ("", "standard input: holds no object"),
    ],
)
@pytest.mark.parametrize("command", ["plan", "deliver"])
def test_bad_input_is_one_clear_sentence_and_nothing_is_written(
    run: Run, command: str, stdin: str, complaint: str
) -> None:
    before = run("list", "-A", "-o", "json").json
    done = run(command, "bad", "-f", "-", *(["--yes"] if command == "deliver" else []), stdin=stdin)
    assert done.code == 1
    assert complaint in done.err
    assert done.err.count("\n") == 1
    assert done.out == ""
    assert run("list", "-A", "-o", "json").json == before


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["plan", "Bad_Name", "-f", "-"], "the application's name 'Bad_Name': a lowercase"),
        (["plan", "x", "-f", "/nowhere"], "/nowhere: no such file or directory"),
        (["rollback", "nobody", "--yes"], "there is no application default/nobody"),
        (["history", "nobody"], "there is no application default/nobody"),
        (["delete", "nobody", "--yes"], "there is no application default/nobody"),
        (["drift", "nobody"], "there is no application default/nobody"),
        (["plan", "x", "-f", "-", "--kubeconfig", "/nowhere"], "no such kubeconfig file: /nowhere"),
        (["plan", "x", "-f", "-", "--context", "moon"], "has no context 'moon': it has "),
    ],
)
def test_what_cannot_be_done_is_told_in_one_sentence(
    run: Run, words: list[str], complaint: str
) -> None:
    done = run(*words, stdin=config("a"))
    assert done.code == 1
    assert complaint in done.err
    assert done.err.count("\n") == 1


def test_no_server_is_told_in_one_sentence(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(
        "{current-context: c, contexts: [{name: c, context: {cluster: c}}],"
        " clusters: [{name: c, cluster: {server: 'http://127.0.0.1:9'}}]}"
    )
    done = run("plan", "x", "-f", "-", "--kubeconfig", str(path), stdin=config("a"))
    assert done.code == 1
    assert done.err.startswith("error: no Kubernetes API answers at http://127.0.0.1:9 ")
    assert done.err.count("\n") == 1


def test_a_revision_that_is_not_there_lists_those_that_are(run: Run) -> None:
    assert run("deliver", "short", "-f", "-", "--yes", stdin=config("s1")).code == 0
    done = run("rollback", "short", "7", "--yes")
    assert done.err == "error: the application default/short has no revision '7': it has short-v1\n"


def test_a_deliverer_killed_in_the_middle_leaves_nothing_that_the_next_cannot_mend(
    run: Run, server: Path, tmp_path: Path
) -> None:
    manifest = tmp_path / "many.yaml"
    for round_number, delay in enumerate((0.1, 0.25, 0.4)):
        names = [f"k{round_number}-{n}" for n in range(60)]
        manifest.write_text("---\n".join(config(name) for name in names))
        process = subprocess.Popen(
            [sys.executable, "-m", "understudy", "deliver", "killed", "-f", str(manifest), "--yes",
             "--allow-many-deletions", "-o", "jsonl"],
            stdout=subprocess.PIPE, env={**os.environ, "KUBECONFIG": str(server)},
        )  # fmt: skip
        assert process.stdout is not None
        process.stdout.readline()  # The plan is made; what follows writes.
        time.sleep(delay / 4)
        process.kill()
        process.stdout.close()
        process.wait()
    final = [f"k2-{n}" for n in range(0, 60, 2)]
    manifest.write_text("---\n".join(config(name) for name in final))
    done = run("deliver", "killed", "-f", str(manifest), "--yes", "--allow-many-deletions")
    assert done.code == 0, done.err
    listed = subprocess.run(
        ["kubectl", "get", "configmaps", "-o", "name"],
        env={**os.environ, "KUBECONFIG": str(server)}, check=True, capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    ours = {name.removeprefix("configmap/") for name in listed if "/k" in name}
    assert ours - {"kube-root-ca.crt"} == set(final)


def test_dying_is_rehearsed_on_request(run: Run) -> None:
    shown = run("plan", "dying", "-f", "-", "--chaos", stdin=config("mortal"))
    assert shown.code == 2, shown.err
    assert "Deaths: all converge" in shown.out
    told = run("plan", "dying", "-f", "-", "--chaos", "-o", "json", stdin=config("mortal")).json
    assert told["chaos"]["converges"] is True
    assert told["chaos"]["deaths"][-1]["wrong"] == []


def test_watch_corrects_drift_but_not_what_is_ignored(run: Run, server: Path) -> None:
    def change(value: str) -> None:
        patch = f'{{"data":{{"v":"{value}"}}}}'
        subprocess.run(
            ["kubectl", "patch", "configmap", "w1", "--type=merge", "-p", patch],
            env={**os.environ, "KUBECONFIG": str(server)}, check=True, capture_output=True,
        )  # fmt: skip

    assert run("deliver", "watched", "-f", "-", "--yes", stdin=config("w1")).code == 0
    calm = run("watch", "watched", "--once")
    assert (calm.code, calm.out) == (0, "watched: no drift\n")
    change("2")
    for rule in ("/data/v", "ConfigMap:/data/v", "ConfigMap/w1:/data/v"):
        assert run("watch", "watched", "--once", "--correct", "--ignore", rule).code == 0
        assert run("drift", "watched", "--ignore", rule).code == 0
    assert run("watch", "watched", "--once", "--ignore", "ConfigMap/other:/data/v").code == 2
    found = run("watch", "watched", "--once")
    assert found.code == 2
    assert "data.v: 2 -> 1  # drift: changed by kubectl-patch" in found.out
    assert run("drift", "watched").code == 2, "looking corrects nothing"
    corrected = run("watch", "watched", "--once", "--correct")
    assert (corrected.code, "watched is corrected" in corrected.out) == (0, True)
    assert run("drift", "watched").code == 0
    assert len(run("history", "watched", "-o", "jsonl").lines) == 1, "no new revision"
    wrong = run("watch", "watched", "--once", "--ignore", "spec.replicas")
    assert (wrong.code, "--ignore spec.replicas: is no rule" in wrong.err) == (1, True)


def test_a_plan_may_be_between_two_revisions(run: Run) -> None:
    for value in "12":
        deliver = ["deliver", "between", "-f", "-", "--yes"]
        assert run(*deliver, stdin=config("bt", value)).code == 0
    made = run("plan", "between", "--from", "between-v2", "--to", "1", "-o", "json")
    assert (made.code, made.json["revision"], made.json["previous"]) == (
        2, "between-v1", "between-v2",
    )  # fmt: skip
    back = run("plan", "between", "--rollback", "--to", "between-v1")
    assert back.code == 2
    assert "data.v: 2 -> 1" in back.out
    for words in (["--from", "1"], ["--to", "1"], ["-f", "x", "--to", "1"], []):
        wrong = run("plan", "between", *words)
        assert (wrong.code, "Error: " in wrong.err) == (2, True)
    unsaved = run("plan", "between", "--from", "1", "--to", "2", "--out", "p.json")
    assert "begins where the cluster is not" in unsaved.err


def test_drift_names_who_scaled_and_bad_rules_are_one_sentence(run: Run, server: Path) -> None:
    web = (
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: scaled}\n"
        "spec: {replicas: 1, selector: {matchLabels: {a: b}}, template: {metadata: {labels: "
        "{a: b}}, spec: {containers: [{name: c, image: i}]}}}\n"
    )
    assert run("deliver", "scaling", "-f", "-", "--yes", stdin=web).code == 0
    scale = ["scale", "deployment", "scaled", "--replicas", "3"]
    environment = {**os.environ, "KUBECONFIG": str(server)}
    subprocess.run(["kubectl", *scale], env=environment, check=True, capture_output=True)
    drifted = run("drift", "scaling")
    assert drifted.code == 2
    assert "spec.replicas: 3 -> 1  # drift: changed by kubectl" in drifted.out
    assert "Drift of scaling: revision scaling-v1" in drifted.out
    wrong = run("drift", "scaling", "--ignore", "replicas")
    assert (wrong.code, "error: --ignore replicas: is no rule" in wrong.err) == (1, True)


def test_a_failed_hook_goes_back_and_is_told_once(run: Run) -> None:
    hook = (
        "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: hk\n  annotations: "
        "{core.understudy.dev/hook: pre-deliver, core.understudy.dev/hook-delete-policy: "
        "hook-succeeded}\nspec: {backoffLimit: 0, template: {spec: {restartPolicy: Never, "
        "containers: [{name: m, image: IMAGE}]}}}\n---\n"
    )
    first = hook.replace("IMAGE", "ok") + config("hk", "1")
    assert run("deliver", "hooked", "-f", "-", "--yes", stdin=first).code == 0
    assert "+ Job hk: Current: has run\n" in run("status", "hooked").out
    second = hook.replace("IMAGE", "exit-3") + config("hk", "2")
    words = ["deliver", "hooked", "-f", "-", "--yes", "--rollback-on-failure"]
    failed = run(*words, stdin=second)
    assert failed.code == 7
    assert "---- rolling back to hooked-v1 ----" in failed.out
    assert failed.err.splitlines()[0] == (
        "error: Job default/hk: Failed: Job has reached the specified backoff limit"
    )


def test_the_way_back_is_shown_before_going(run: Run, tmp_path: Path) -> None:
    first, second = tmp_path / "1.yaml", tmp_path / "2.yaml"
    first.write_text(config("wayback", "1"))
    second.write_text(config("wayback", "2"))
    plan = run("plan", "wayback", "-f", str(first), "--rollback", namespace="default")
    assert plan.code == 2
    assert "Plan to delete wayback: 1 delete" in plan.out
    assert run("deliver", "wayback", "-f", str(first), "--yes", namespace="default").code == 0
    plan = run("plan", "wayback", "-f", str(second), "--rollback", namespace="default")
    assert "  ~ data.v: 1 -> 2" in plan.out
    there, back = plan.out.split("And back again, once that is delivered:")
    assert "  ~ data.v: 2 -> 1" not in there
    assert "  ~ data.v: 2 -> 1" in back
    assert "The way back of wayback: revision wayback-v3 (after wayback-v2): 1 change" in plan.out
    told = run("plan", "wayback", "-f", str(second), "--rollback", "-o", "json").json
    assert (told["summary"], told["rollback"]["summary"]) == ({"change": 1}, {"change": 1})
    events = run("plan", "wayback", "-f", str(second), "--rollback", "-o", "jsonl").lines
    assert [event["type"] for event in events] == ["plan", "rollback"]


def test_two_applications_in_one_plan(run: Run, tmp_path: Path) -> None:
    one, two = tmp_path / "1.yaml", tmp_path / "2.yaml"
    one.write_text(config("both"))
    two.write_text(config("both") + "---\n" + config("mine"))
    plan = run("plan", "two", "-f", str(two), "--after", f"one={one}", namespace="default")
    assert plan.code == 3
    assert "it belongs to the application default/one" in plan.out
    wrong = run("plan", "two", "-f", str(two), "--after", "one")
    assert (wrong.code, wrong.err) == (1, "error: --after one: write NAME=PATH\n")
