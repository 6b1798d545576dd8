"""Every way in which kubectl shows what there is."""

import json
import queue
from contextlib import suppress

import pytest
import yaml

pytestmark = pytest.mark.kubectl


def _config_map(name, **more):
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, **more},
        "data": {"key": f"value of {name}"},
    }


@pytest.fixture
def three(kubectl):
    """A kubectl in a namespace with three configmaps: a and b of the tier front, c of back."""
    tiers = {"a": "front", "b": "front", "c": "back"}
    maps = [_config_map(name, labels={"tier": tier}) for name, tier in tiers.items()]
    kubectl("create -f -", maps)
    return kubectl


def _names(kubectl, command):
    """Return the names that a `get configmaps` prints, without what every namespace has."""
    names = kubectl(f"get configmaps -o name {command}").split()
    return [name.removeprefix("configmap/") for name in names if "root-ca" not in name]


def test_names_tables_and_wide_tables(three):
    assert _names(three, "") == ["a", "b", "c"]
    heading, *rows = three.table("get configmaps a b")
    assert heading == ["NAME", "DATA", "AGE"]
    assert [row[:2] for row in rows] == [["a", "1"], ["b", "1"]]
    assert three("get configmaps a --no-headers").startswith("a ")
    heading, *_ = three.table("get configmaps --show-labels -o wide")
    assert heading == ["NAME", "DATA", "AGE", "LABELS"]
    heading, *rows = three.table("get configmaps -L tier a c")
    assert heading[-1] == "TIER"
    assert [row[-1] for row in rows] == ["front", "back"]
    assert three.table("get configmaps a --show-kind")[1][0] == "configmap/a"


def test_a_table_without_the_servers_columns(three):
    heading, row = three.table("get configmaps a --server-print=false")
    assert (heading, row[0]) == (["NAME", "AGE"], "a")


def test_objects_as_json_and_yaml(three):
    one = three.json("get configmap a")
    assert (one["apiVersion"], one["kind"], one["data"]) == (
        "v1",
        "ConfigMap",
        {"key": "value of a"},
    )
    assert "managedFields" not in one["metadata"]
    assert yaml.safe_load(three("get configmap a -o yaml")) == one
    fields = three.json("get configmap a --show-managed-fields")["metadata"]["managedFields"]
    assert [(entry["manager"], entry["operation"]) for entry in fields] == [
        ("kubectl-create", "Update")
    ]
    several = three.json("get configmaps a b")
    assert (several["kind"], len(several["items"])) == ("List", 2)
    assert {item["kind"] for item in several["items"]} == {"ConfigMap"}


def test_expressions_templates_and_columns_of_ones_own(three, tmp_path):
    get = "get configmaps -l tier"
    assert three.jsonpath(get, "{.items[*].metadata.name}") == "a b c"
    assert three.jsonpath(get, "{.items[?(@.metadata.labels.tier=='back')].metadata.name}") == "c"
    assert three.jsonpath("get configmap a", "{.data['key']}") == "value of a"
    printed = three([*get.split(), "-o", "jsonpath-as-json={.items[0].data}"])
    assert json.loads(printed) == [{"key": "value of a"}]
    (tmp_path / "t").write_text("{{range .items}}{{.metadata.name}},{{end}}")
    assert three(f"{get} -o go-template-file={tmp_path}/t") == "a,b,c,"
    assert three([*get.split(), "-o", "go-template={{len .items}}"]) == "3"
    columns = "custom-columns=N:.metadata.name,T:.metadata.labels.tier,X:.data.none"
    assert three.table(f"{get} -o {columns}") == [
        ["N", "T", "X"],
        ["a", "front", "<none>"],
        ["b", "front", "<none>"],
        ["c", "back", "<none>"],
    ]


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("-l tier=front", "a b"),
        ("-l tier!=front,tier", "c"),
        ("-l 'tier in (front,back)'", "a b c"),
        ("-l 'tier notin (front),tier'", "c"),
        ("-l '!tier'", ""),
        ("--field-selector metadata.name=b", "b"),
        ("--field-selector metadata.name!=b -l tier", "a c"),
        ("-l tier --field-selector metadata.name=c", "c"),
    ],
)
def test_selectors(kubectl, selector, expected):
    for name, tier in {"a": "front", "b": "front", "c": "back"}.items():
        kubectl("create -f -", _config_map(name, labels={"tier": tier}))
    assert " ".join(_names(kubectl, selector)) == expected


def test_an_unknown_field_selector_is_refused(kubectl):
    said = kubectl.fails("get pods --field-selector spec.nope=1")
    assert "field label not supported: spec.nope" in said
    said = kubectl.fails("get configmaps --field-selector data.key=1")
    assert '"data.key" is not a known field selector' in said


def test_chunks_and_orders(three):
    assert _names(three, "--chunk-size=1") == ["a", "b", "c"]
    assert _names(three, "--chunk-size=0") == ["a", "b", "c"]
    assert [row[0] for row in three.table("get configmaps -l tier --sort-by=.data.key")[1:]] == [
        "a",
        "b",
        "c",
    ]
    last_first = three.table("get configmaps -l tier --sort-by={.metadata.labels.tier}")[1:]
    assert last_first[0][0] == "c"


def test_all_namespaces_and_several_kinds(three):
    rows = three.table("get configmaps -A -l tier")
    assert rows[0] == ["NAMESPACE", "NAME", "DATA", "AGE"]
    assert [three.namespace, "a", "1"] in [row[:3] for row in rows]
    three("create service clusterip web --tcp=80")
    shown = three("get services,configmaps -o name")
    assert shown.split()[:2] == ["service/web", "configmap/a"]
    shown = three("get service/web configmap/a")
    assert "service/web" in shown
    assert "configmap/a" in shown
    assert "service/web" in three("get all")


def test_what_is_not_there(three):
    assert (
        three.fails("get configmap nope")
        == 'Error from server (NotFound): configmaps "nope" not found\n'
    )
    assert three("get configmap nope --ignore-not-found") == ""
    assert three.table("get configmap a nope --ignore-not-found")[1][0] == "a"
    assert three.fails("get nonsense") == (
        'error: the server doesn\'t have a resource type "nonsense"\n'
    )
    done = three.run("get deployments")
    assert (done.returncode, done.stderr) == (
        0,
        f"No resources found in {three.namespace} namespace.\n",
    )


def test_objects_named_by_files_and_folders(three, manifests):
    one = manifests(_config_map("a"))
    folder = manifests(
        name="folder", files={"b.yaml": _config_map("b"), "c.json": json.dumps(_config_map("c"))}
    )
    assert three(f"get -f {one} -o name") == "configmap/a\n"
    assert three(f"get -f {folder} -o name").split() == ["configmap/b", "configmap/c"]


def test_a_watch_shows_every_change(three):
    with three.following("get configmaps -w --output-watch-events -l tier") as line:
        assert line().split() == ["EVENT", "NAME", "DATA", "AGE"]
        assert [line().split()[:2] for _ in "abc"] == [["ADDED", name] for name in "abc"]
        three("create -f -", _config_map("d", labels={"tier": "new"}))
        assert line().split()[:2] == ["ADDED", "d"]
        three('patch configmap d --type=merge -p \'{"data":{"x":"y"}}\'')
        assert line().split()[:3] == ["MODIFIED", "d", "2"]
        three("label configmap d tier-")
        assert line().split()[:2] == ["DELETED", "d"]
        three("delete configmap c")
        assert line().split()[:2] == ["DELETED", "c"]


def test_a_watch_of_one_object(three):
    watch = ["get", "configmap", "a", "-w", "-o", "jsonpath={.data.key}{'\\n'}"]
    with three.following(watch) as line:
        assert line() == "value of a"
        three("""patch configmap a -p '{"data":{"key":"new"}}'""")
        assert line() == "new"


def test_a_watch_of_changes_only(three):
    with three.following("get configmaps --watch-only -o name") as line:
        # It may start after the first change, and does not say when it has started.
        for number in range(100):
            three(f"annotate --overwrite configmap b n={number}")
            with suppress(queue.Empty):
                assert line(timeout_s=0.5) == "configmap/b"
                break
        else:
            pytest.fail("no change was shown")


def test_pods_have_their_columns(any_kubectl):
    kubectl = any_kubectl
    kubectl("run p --image=nginx --labels=app=p")
    kubectl("wait --for=condition=Ready pod/p --timeout=50s")
    heading, row = kubectl.table("get pods")
    assert heading == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert row[:4] == ["p", "1/1", "Running", "0"]
    heading, row = kubectl.table("get pods -o wide")
    assert heading[5:] == ["IP", "NODE", "NOMINATED NODE", "READINESS GATES"]
    assert row[6].startswith("node-")
    found = kubectl(f"get pods -A --field-selector spec.nodeName={row[6]} -l app=p -o name")
    assert "pod/p" in found
    assert kubectl("get pods --field-selector status.phase=Failed -o name") == ""


def test_every_listable_kind_can_be_shown(kubectl):
    kinds = kubectl("api-resources --verbs=list -o name").split()
    assert len(kinds) > 55
    shown = kubectl(f"get {','.join(kinds)} -A -o name", stdin="")
    assert "namespace/default" in shown
    kubectl(f"get {','.join(kinds)} -A -o wide")
