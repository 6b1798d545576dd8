"""`understudy app` against a server in another process: its words, its exit codes, bad input."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest
from click import testing

from understudy.cli import main

HELLO = Path(__file__).resolve().parents[2] / "examples" / "hello"
APP = """\
metadata:
  id: {{name: {name}}}
spec:
  container:
    image: {image}
{more}"""


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
    def invoke(*arguments: str | Path, text: str = "", cli: str = "app") -> Result:
        runner = testing.CliRunner(env={"KUBECONFIG": str(server), "NO_COLOR": "1"})
        result = runner.invoke(main.cli, [cli, *map(str, arguments)], input=text)
        assert not isinstance(result.exception, Exception), result.exception
        return Result(result.exit_code, result.stdout, result.stderr)

    return invoke


@pytest.fixture
def file(tmp_path: Path):
    def write(name: str, image: str = "dev.local/app:v1", more: str = "") -> Path:
        path = tmp_path / f"{name}.yaml"
        path.write_text(APP.format(name=name, image=image, more=more))
        return path

    return write


def test_an_app_is_created_updated_and_left_alone_in_kns_words(run: Run) -> None:
    first = run("deploy", HELLO)
    assert (first.code, first.err) == (0, "")
    lines = first.out.splitlines()
    assert lines[0] == "Creating service 'hello-default-development' in namespace 'default':"
    assert lines[1] == ""
    assert all(re.fullmatch(r" *\d+\.\d{3}s .+", line) for line in lines[2:-3])
    assert lines[-4].endswith("s Ready to serve.")
    assert lines[-2] == (
        "Service 'hello-default-development' created to latest revision"
        " 'hello-default-development-00001' is available at URL:"
    )
    assert lines[-1] == "http://hello-default-development.default.localhost"

    again = run("deploy", HELLO)
    assert "with latest revision 'hello-default-development-00001' (unchanged) is available" in (
        again.out
    )
    assert again.code == 0


def test_a_change_makes_a_new_revision(run: Run, file) -> None:
    assert run("deploy", file("changing")).code == 0

    second = run("deploy", file("changing", "dev.local/app:v2"))

    assert second.out.startswith("Updating service 'changing-default-development'")
    assert "updated to latest revision 'changing-default-development-00002'" in second.out


def test_apps_are_listed_with_kns_columns(run: Run, file) -> None:
    run("deploy", file("listed"))

    shown = run("list")
    header, *rows = shown.out.splitlines()
    assert header.split() == ["NAME", "URL", "LATEST", "AGE", "CONDITIONS", "READY", "REASON"]
    row = next(row for row in rows if row.startswith("listed "))
    assert "3 OK / 3" in row
    assert "True" in row
    everything = run("list", "--all")
    assert "default/development/listed" in everything.out
    assert run("--project", "none", "list").out == "No apps found.\n"
    names = [one["metadata"]["id"]["name"] for one in run("-o", "json", "list").json]
    assert "listed" in names
    assert {one["metadata"]["id"]["name"] for one in run("-o", "jsonl", "list").lines} == set(names)


def test_an_app_is_shown_with_revisions_and_conditions(run: Run, file) -> None:
    run("deploy", file("shown"))

    text = run("get", "shown").out
    assert "100%  @latest (shown-default-development-00001)" in text
    assert re.search(r"\+\+ ACTIVE +\d+s Service is ready", text)
    assert run("get", "default/development/shown").out.splitlines()[0] == "Name:       shown"
    assert run("-o", "json", "get", "shown").json["status"]["currentReplicas"] == 1


def test_stop_and_start(run: Run, file) -> None:
    run("deploy", file("resting"))

    stopped = run("stop", "resting")
    assert stopped.out.startswith("App 'resting' stopped")
    row = next(row for row in run("list").out.splitlines() if row.startswith("resting "))
    assert row.split()[-1] in ("Stopped", "Stopping")
    assert " http://resting-default-development.default.localhost " in row
    started = run("start", "resting")
    assert started.out.splitlines()[-1] == "http://resting-default-development.default.localhost"
    assert run("stop", "nobody").out == "App 'nobody' does not exist; there is nothing to stop.\n"
    missing = run("start", "nobody")
    assert missing.code == 1
    assert "there is no such app" in missing.err


def test_replicas_are_listed_and_ended(run: Run, file) -> None:
    run("deploy", file("copies"))

    (replica,) = run("-o", "json", "replicas", "copies").json
    name = replica["metadata"]["id"]["name"]
    assert "ACTIVE" in run("replicas", "copies").out
    assert run("replicas", "copies", "--delete", name).out == (
        f"Replica '{name}' of app 'copies' deleted.\n"
    )
    foreign = run("replicas", "nobody", "--delete", name)
    assert run("replicas", "nobody").out == "No replicas.\n"
    assert foreign.code == 1 or "deleted" in foreign.out


def test_delete_may_be_repeated(run: Run, file) -> None:
    run("deploy", file("leaving"))
    assert run("delete", "leaving", "--yes").out == "App 'leaving' deleted.\n"
    assert run("delete", "leaving").code == 0
    gone = run("get", "leaving")
    assert gone.code == 1
    assert "no such app" in gone.err


def test_a_watch_shows_what_is_there(run: Run, file) -> None:
    run("deploy", file("watched"))

    shown = run("watch", "watched", "--until-synced").out
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d  \+ default/development/watched  ACTIVE \(RUNNING\)  .+\n", shown
    )
    lines = run("-o", "jsonl", "watch", "watched", "--until-synced").lines
    assert lines[0]["createEvent"]["app"]["metadata"]["id"]["name"] == "watched"
    assert lines[-1]["marker"] == "SYNCED"


def test_deploying_for_programs_tells_progress_and_the_result(run: Run, file) -> None:
    lines = run("-o", "jsonl", "deploy", file("machine")).lines
    assert {one["type"] for one in lines[:-1]} <= {"progress"}
    assert lines[-1]["type"] == "deployed"
    assert lines[-1]["app"]["status"]["ingress"]["publicUrl"].startswith("http://machine-")
    document = run("-o", "json", "deploy", file("machine")).json
    assert document["metadata"]["id"]["name"] == "machine"


def test_an_app_that_does_not_come_up_exits_with_six_and_says_why(run: Run, file) -> None:
    slow = run("deploy", file("never", "unready:v1"), "--timeout", "0.5")
    assert slow.code == 6
    assert "does not serve after 0.5 s" in slow.err
    failed = run("deploy", file("broken", "pullfail:v1"))
    assert failed.code == 6
    assert "failed" in failed.err
    assert "!!" in run("get", "broken").out
    waited = run("deploy", file("later", "unready:v1"), "--no-wait")
    assert (waited.code, waited.out.splitlines()[-1]) == (
        0, "Service 'later-default-development' created; not waited for.",
    )  # fmt: skip


def test_a_dry_run_keeps_nothing(run: Run, file) -> None:
    tried = run("deploy", file("tried"), "--dry-run")
    assert tried.code == 0
    assert "nothing was kept" in tried.out
    assert run("get", "tried").code == 1


BAD = [
    ("metadata: [", "is not YAML"),
    ("- a\n", "must be an object"),
    ("metadata: {id: {name: x}}\nspec: {container: {colour: red}}\n", "colour"),
    ("metadata: {id: {name: 9x}}\nspec: {container: {image: x}}\n", "9x"),
    ("metadata: {id: {name: x}}\nspec: {}\n", "payload"),
    ("metadata: {id: {name: x}}\nspec: {container: {image: x, ports: [{containerPort: 8012}]}}\n",
     "8012"),
    ("metadata: {}\nspec: {container: {image: x}}\n", "metadata.id"),
    ("a: 1\na: 2\n", "already set"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "word"), BAD)
def test_a_bad_file_gives_one_sentence_and_changes_nothing(
    run: Run, tmp_path: Path, text: str, word: str
) -> None:
    path = tmp_path / "app.yaml"
    path.write_text(text)

    refused = run("deploy", tmp_path)

    assert refused.code == 1
    assert refused.err.startswith("error: ")
    assert word in refused.err
    assert len(refused.err.strip().splitlines()) == 1
    assert run("get", "x").code == 1


def test_what_cannot_be_read_or_reached_is_named(run: Run, tmp_path: Path) -> None:
    assert "no such file" in run("deploy", tmp_path / "none").err
    nowhere = run("--kubeconfig", tmp_path / "none", "list")
    assert nowhere.code == 1
    assert str(tmp_path / "none") in nowhere.err
    assert "neither an app's name" in run("get", "a/b").err


def test_a_knative_service_is_rehearsed_down_to_its_pods(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "service.yaml"
    path.write_text(
        "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: planned}\n"
        "spec: {template: {spec: {containers: [{image: dev.local/app:v1}]}}}\n"
    )

    plan = run("knative", "-f", path, "-o", "json", cli="plan")

    assert plan.code == 2, plan.err
    assert "planned-00001" in plan.out, "the rehearsal makes the Revision and what follows from it"
    assert "unhealthy" not in plan.out
    refused = tmp_path / "refused.yaml"
    refused.write_text(
        path.read_text().replace("dev.local/app:v1}", "x, ports: [{containerPort: 8012}]}")
    )
    blocked = run("knative", "-f", refused, cli="plan")
    assert "8012" in blocked.out + blocked.err
    assert blocked.code not in (0, 2)


APPLICATION = """\
apiVersion: core.understudy.dev/v1alpha1
kind: Application
metadata: {{name: site}}
spec:
  components:
    - name: front
      type: app
      properties:
        spec:
          container: {{image: "dev.local/front:{tag}"}}
          ingress: {{cname: www.example.test}}
"""


def test_an_app_in_an_application_is_planned_and_delivered_like_anything_else(
    run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "application.yaml"
    path.write_text(APPLICATION.format(tag="v1"))

    plan = run("site", "-f", path, cli="plan")
    assert plan.code == 2, plan.err
    assert "front-default-development-00001 gets 100 % of the traffic" in plan.out
    assert "URL http://front-default-development.default.localhost" in plan.out
    delivered = run("site", "-f", path, "--yes", cli="deliver")
    assert delivered.code == 0, delivered.err
    found = run("-o", "json", "get", "front").json["status"]["ingress"]
    assert found["publicUrl"] == "http://front-default-development.default.localhost"

    path.write_text(APPLICATION.format(tag="v2"))
    plan = run("site", "-f", path, cli="plan")
    assert "gets the new revision front-default-development-00002" in plan.out
    assert "front-default-development-00001 loses its 100 % of the traffic" in plan.out
    assert run("site", "-f", path, "--yes", cli="deliver").code == 0
    assert run("site", "--yes", cli="rollback").code == 0
    revision = run("-o", "json", "get", "front").json["status"]["latestReadyRevision"]
    assert revision == "front-default-development-00003"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("{name: front, type: app}", "spec.components[0].properties.spec: is required"),
        ("{name: front, type: app, properties: {spec: {colour: red}}}", "colour"),
        ("{name: 9front, type: app, properties: {spec: {container: {image: x}}}}", "9front"),
        ("{name: front, type: wasm}", "type is 'wasm'; use 'app' or 'helm' or"),
    ],
)
def test_a_component_that_cannot_work_is_named(
    run: Run, tmp_path: Path, given: str, expected: str
) -> None:
    path = tmp_path / "application.yaml"
    head = APPLICATION.format(tag="v1").partition("    - name")[0]
    path.write_text(f"{head}    - {given}\n")
    refused = run("site-of-none", "-f", path, cli="plan")
    assert refused.code == 1
    path.write_text(path.read_text().replace("name: site", "name: site-of-none"))
    refused = run("site-of-none", "-f", path, cli="plan")
    assert refused.code == 1
    assert expected in refused.err


def test_a_plan_shows_the_urls_that_the_cluster_gives(run: Run, tmp_path: Path) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text(
        "apiVersion: v1\nkind: ConfigMap\n"
        "metadata: {name: config-domain, namespace: knative-serving}\n"
        "data: {apps.example: ''}\n"
    )
    path = tmp_path / "application.yaml"
    path.write_text(APPLICATION.format(tag="v1").replace("front", "elsewhere"))
    assert run("-f", settings, cli="import").code == 0
    try:
        plan = run("site", "-f", path, cli="plan")
        assert "URL http://elsewhere-default-development.default.apps.example" in plan.out
    finally:
        settings.write_text(settings.read_text().replace("apps.example", "localhost"))
        run("-f", settings, cli="import")
