"""kubectl's ways to change one object: patch, edit, replace, label, annotate, taint, set, scale."""

import json

import pytest

pytestmark = pytest.mark.kubectl


@pytest.fixture
def kubectl(kubectl):
    """kubectl in a namespace with a deployment `web` of two containers and a configmap `c`."""
    containers = [
        {"name": "app", "image": "app:1", "ports": [{"containerPort": 80}]},
        {"name": "side", "image": "side:1"},
    ]
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": containers}}
    kubectl(
        "create -f -",
        [
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": "web", "labels": {"app": "web"}},
                "spec": {
                    "replicas": 1,
                    "selector": {"matchLabels": {"app": "web"}},
                    "template": template,
                },
            },
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "c"},
                "data": {"a": "1", "b": "2"},
            },
        ],
    )
    return kubectl


@pytest.fixture
def editor(tmp_path):
    """Make an editor that replaces one text by another, and says so in a file `used`."""

    def make(old, new) -> str:
        script = tmp_path / "editor"
        script.write_text(f'#!/bin/sh\ncp "$1" {tmp_path}/used\nsed -i \'s|{old}|{new}|\' "$1"\n')
        script.chmod(0o700)
        return str(script)

    return make


def _containers(kubectl):
    found = kubectl.json("get deployment web")["spec"]["template"]["spec"]["containers"]
    return {container["name"]: container for container in found}


# ---------------------------------------------------------------------- patch


def test_patches_of_three_types(kubectl):
    strategic = {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "x"}]}}}}
    out = kubectl(["patch", "deployment", "web", "-p", json.dumps(strategic)])
    assert out == "deployment.apps/web patched\n"
    assert {name: c["image"] for name, c in _containers(kubectl).items()} == {
        "app": "x",
        "side": "side:1",
    }
    kubectl(["patch", "configmap", "c", "--type=merge", "-p", '{"data":{"a":null,"z":"9"}}'])
    assert kubectl.json("get configmap c")["data"] == {"b": "2", "z": "9"}
    steps = [
        {"op": "test", "path": "/data/b", "value": "2"},
        {"op": "move", "from": "/data/b", "path": "/data/moved"},
    ]
    kubectl(["patch", "configmap", "c", "--type=json", "-p", json.dumps(steps)])
    assert kubectl.json("get configmap c")["data"] == {"moved": "2", "z": "9"}


def test_patches_that_change_nothing_or_cannot_be(kubectl, tmp_path):
    (tmp_path / "patch.yaml").write_text("data: {a: '1'}")
    assert (
        kubectl(f"patch configmap c --patch-file={tmp_path}/patch.yaml")
        == "configmap/c patched (no change)\n"
    )
    steps = '[{"op":"test","path":"/data/b","value":"x"}]'
    said = kubectl.fails(["patch", "configmap", "c", "--type=json", "-p", steps])
    assert "The request is invalid" in said or "testing value /data/b failed" in said
    said = kubectl.fails(["patch", "deployment", "web", "-p", '{"spec":{"replicas":"many"}}'])
    assert 'Invalid value: "map[spec:map[replicas:many]]"' in said


def test_patches_of_subresources(kubectl):
    patch = '{"spec":{"replicas":2}}'
    kubectl(["patch", "deployment", "web", "--subresource=scale", "--type=merge", "-p", patch])
    assert kubectl.json("get deployment web")["spec"]["replicas"] == 2
    kubectl("create quota q --hard=pods=99")
    patch = '{"status":{"used":{"example.com/x":"1"}},"spec":{"hard":{"pods":"1"}}}'
    kubectl(["patch", "quota", "q", "--subresource=status", "--type=merge", "-p", patch])
    assert kubectl.json("get quota q")["spec"]["hard"] == {"pods": "99"}


# ---------------------------------------------------------------------- edit


def test_an_editor_changes_an_object(kubectl, editor):
    out = kubectl("edit configmap c", KUBE_EDITOR=editor('a: "1"', 'a: "new"'))
    assert out == "configmap/c edited\n"
    assert kubectl.json("get configmap c")["data"] == {"a": "new", "b": "2"}
    out = kubectl("edit deployment/web", KUBE_EDITOR=editor("image: app:1", "image: app:2"))
    assert _containers(kubectl)["app"]["image"] == "app:2"
    out = kubectl("edit configmap c -o json", KUBE_EDITOR=editor('"b": "2"', '"b": "3"'))
    assert kubectl.json("get configmap c")["data"]["b"] == "3"


def test_an_edit_without_change_is_cancelled(kubectl, editor):
    done = kubectl.run("edit configmap c", KUBE_EDITOR=editor("nothing like this", ""))
    assert (done.returncode, "Edit cancelled, no changes made." in done.stderr) == (0, True)


def test_an_edit_that_is_refused_is_shown_again(kubectl, editor, tmp_path):
    edit = editor("replicas: 1", "replicas: -1")
    done = kubectl.run("edit deployment web", KUBE_EDITOR=edit)
    assert done.returncode == 1
    assert "must be greater than or equal to 0" in (tmp_path / "used").read_text()
    assert kubectl.json("get deployment web")["spec"]["replicas"] == 1


def test_an_edit_can_write_a_subresource(kubectl, editor):
    kubectl("create poddisruptionbudget b --selector=app=nobody --min-available=1")
    kubectl("wait --for=jsonpath={.status.observedGeneration}=1 pdb/b --timeout=50s")
    edit = editor("disruptionsAllowed: 0", "disruptionsAllowed: 7")
    done = kubectl("edit pdb b --subresource=status", KUBE_EDITOR=edit)
    assert done == "poddisruptionbudget.policy/b edited\n"


# ---------------------------------------------------------------------- replace


def test_replace_is_not_a_merge(kubectl):
    found = kubectl.json("get configmap c")
    found["data"] = {"only": "this"}
    assert kubectl("replace -f -", found) == "configmap/c replaced\n"
    assert kubectl.json("get configmap c")["data"] == {"only": "this"}
    # The version that was read is stale now.
    said = kubectl.fails("replace -f -", found)
    assert "the object has been modified; please apply your changes to the latest version" in said
    said = kubectl.fails("replace -f -", found | {"metadata": {"name": "nope"}})
    assert 'configmaps "nope" not found' in said


def test_a_forced_replacement_is_a_new_object(kubectl):
    before = kubectl.json("get configmap c")
    del before["metadata"]["resourceVersion"]
    out = kubectl("replace --force -f -", before | {"data": {"x": "y"}})
    assert out == 'configmap "c" deleted\nconfigmap/c replaced\n' or out.endswith(
        "configmap/c replaced\n"
    )
    after = kubectl.json("get configmap c")
    assert after["data"] == {"x": "y"}
    assert after["metadata"]["uid"] != before["metadata"]["uid"]


# ---------------------------------------------------------------------- label, annotate, taint


def test_labels_are_set_guarded_and_removed(kubectl):
    assert kubectl("label configmap c tier=front env=test") == "configmap/c labeled\n"
    said = kubectl.fails("label configmap c tier=back")
    assert "'tier' already has a value (front), and --overwrite is false" in said
    kubectl("label --overwrite configmap c tier=back")
    assert kubectl("label configmap c env-") == "configmap/c unlabeled\n"
    assert kubectl("label configmap c --list") == "tier=back\n"
    kubectl("label deployments --all all=them")
    kubectl("label deployments,configmaps -l all=them all-")
    assert kubectl.json("get configmap c")["metadata"]["labels"] == {"tier": "back"}
    said = kubectl.fails("label configmap c 'bad value=x y'")
    assert "invalid label" in said
    meta = kubectl.json("get configmap c")["metadata"]
    said = kubectl.fails("label configmap c a=b --resource-version=1")
    assert "the object has been modified" in said
    kubectl(f"label configmap c a=b --resource-version={meta['resourceVersion']}")


def test_annotations_are_set_guarded_and_removed(kubectl):
    assert "configmap/c annotate" in kubectl("annotate configmap c 'example.com/note=any text'")
    assert "already has a value" in kubectl.fails("annotate configmap c example.com/note=x")
    kubectl("annotate --overwrite configmap c example.com/note=other x=y")
    kubectl("annotate configmap c x-")
    assert kubectl.json("get configmap c")["metadata"]["annotations"] == {
        "example.com/note": "other"
    }


def test_taints_are_set_and_removed(kubectl):
    kubectl(
        "create -f -",
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": kubectl.namespace}},
    )
    node = f"node {kubectl.namespace}"
    assert "tainted" in kubectl(f"taint {node} dedicated=x:NoSchedule")
    taints = kubectl.json(f"get {node}")["spec"]["taints"]
    assert {"effect": "NoSchedule", "key": "dedicated", "value": "x"} in taints
    assert "already has dedicated taint" in kubectl.fails(f"taint {node} dedicated=y:NoSchedule")
    kubectl(f"taint --overwrite {node} dedicated=y:NoSchedule")
    kubectl(f"taint {node} dedicated-")
    left = kubectl.json(f"get {node}")["spec"].get("taints") or []
    assert "dedicated" not in {taint["key"] for taint in left}
    kubectl(f"delete {node}")


# ---------------------------------------------------------------------- set


def test_set_image(kubectl):
    out = kubectl("set image deployment/web app=app:2 side=side:2")
    assert out == "deployment.apps/web image updated\n"
    assert {c["image"] for c in _containers(kubectl).values()} == {"app:2", "side:2"}
    kubectl("set image deployments --all '*=same:1'")
    assert {c["image"] for c in _containers(kubectl).values()} == {"same:1"}
    assert 'unable to find container named "nope"' in kubectl.fails(
        "set image deployment/web nope=x"
    )


def test_set_env(kubectl):
    kubectl("set env deployment/web --containers=app A=1 B=2")
    kubectl("set env deployment/web --from=configmap/c --prefix=C_ --containers=side")
    found = _containers(kubectl)
    assert found["app"]["env"] == [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    assert {"key": "a", "name": "c"} in [
        entry["valueFrom"]["configMapKeyRef"] for entry in found["side"]["env"]
    ]
    kubectl("set env deployment/web A-")
    assert _containers(kubectl)["app"]["env"] == [{"name": "B", "value": "2"}]
    assert "B=2" in kubectl("set env deployment/web --list")


def test_set_resources_service_account_and_selector(kubectl):
    kubectl("set resources deployment web -c=app --limits=cpu=200m,memory=64Mi --requests=cpu=0.1")
    assert _containers(kubectl)["app"]["resources"] == {
        "limits": {"cpu": "200m", "memory": "64Mi"},
        "requests": {"cpu": "100m"},
    }
    kubectl("create serviceaccount robot")
    kubectl("set serviceaccount deployment web robot")
    spec = kubectl.json("get deployment web")["spec"]["template"]["spec"]
    assert (spec["serviceAccountName"], spec["serviceAccount"]) == ("robot", "robot")
    kubectl("create service clusterip s --tcp=80")
    kubectl("set selector service s app=web,tier=front")
    assert kubectl.json("get service s")["spec"]["selector"] == {"app": "web", "tier": "front"}


def test_set_subject(kubectl):
    kubectl("create role r --verb=get --resource=pods")
    kubectl("create rolebinding b --role=r --user=one")
    kubectl("set subject rolebinding b --user=two --group=g")
    subjects = kubectl.json("get rolebinding b")["subjects"]
    assert {subject["name"] for subject in subjects} == {"one", "two", "g"}


# ---------------------------------------------------------------------- scale


def test_scale(kubectl):
    assert kubectl("scale deployment web --replicas=3") == "deployment.apps/web scaled\n"
    assert kubectl.json("get deployment web")["spec"]["replicas"] == 3
    said = kubectl.fails("scale deployment web --current-replicas=9 --replicas=1")
    assert "Expected replicas to be 9, was 3" in said
    kubectl("scale deployment web --current-replicas=3 --replicas=0")
    scale = kubectl.json("get deployment web --subresource=scale")
    assert (scale["kind"], scale["spec"]) == ("Scale", {})
    kubectl("scale --replicas=2 deployment -l app=web")
    kubectl("rollout status deployment web --timeout=50s")
    revision = kubectl.json("get deployment web")["metadata"]["resourceVersion"]
    kubectl(f"scale deployment web --resource-version={revision} --replicas=1 --timeout=50s")
    said = kubectl.fails("scale configmap c --replicas=1")
    assert "could not find the requested resource" in said
