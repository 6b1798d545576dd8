"""kubectl apply in both ways, with its conflicts, its migration, prune, diff and kustomize."""

import json

import pytest

pytestmark = pytest.mark.kubectl


def _config_map(data, name="c", **meta):
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, **meta},
        "data": data,
    }


def _deployment(*containers, replicas=1, **meta):
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d", **meta},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "d"}},
            "template": {
                "metadata": {"labels": {"app": "d"}},
                "spec": {"containers": list(containers)},
            },
        },
    }


def _managers(kubectl, ref):
    fields = kubectl.json(f"get {ref} --show-managed-fields")["metadata"]["managedFields"]
    return {(entry["manager"], entry["operation"]) for entry in fields}


# ---------------------------------------------------------------------- client-side


def test_apply_creates_changes_and_leaves_alone(any_kubectl):
    kubectl = any_kubectl
    assert kubectl("apply -f -", _config_map({"a": "1", "b": "2"})) == "configmap/c created\n"
    assert kubectl("apply -f -", _config_map({"a": "1", "b": "2"})) == "configmap/c unchanged\n"
    kubectl("""patch configmap c --type=merge -p '{"data":{"theirs":"x"}}'""")
    assert kubectl("apply -f -", _config_map({"a": "3"})) == "configmap/c configured\n"
    found = kubectl.json("get configmap c")
    assert found["data"] == {"a": "3", "theirs": "x"}
    last = found["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"]
    assert json.loads(last)["data"] == {"a": "3"}
    assert ("kubectl-client-side-apply", "Update") in _managers(kubectl, "configmap/c")


def test_apply_merges_lists_by_their_keys(any_kubectl):
    kubectl = any_kubectl
    one, two = {"name": "one", "image": "a"}, {"name": "two", "image": "b"}
    kubectl("apply -f -", _deployment(one, two))
    sidecar = {"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "s"}]}}}}
    kubectl(["patch", "deployment", "d", "-p", json.dumps(sidecar)])
    kubectl("apply -f -", _deployment(one | {"image": "c"}))
    found = kubectl.json("get deployment d")["spec"]["template"]["spec"]["containers"]
    assert {c["name"]: c["image"] for c in found} == {"one": "c", "side": "s"}


def test_apply_checks_fields_before_it_sends(any_kubectl):
    kubectl = any_kubectl
    wrong = _deployment({"name": "x", "image": "y", "imagee": "z"})
    said = kubectl.fails("apply -f -", wrong)
    assert 'unknown field "spec.template.spec.containers[0].imagee"' in said
    kubectl("apply --validate=false -f -", wrong)
    done = kubectl.run("apply --validate=warn -f -", wrong | {"metadata": {"name": "e"}})
    assert done.returncode == 0
    assert 'Warning: unknown field "spec.template.spec.containers[0].imagee"' in done.stderr
    said = kubectl.fails("apply -f -", _config_map({"a": 1}))
    assert "data.a" in said or "ConfigMap.data" in said or "cannot unmarshal number" in said


def test_last_applied_is_shown_set_and_used(any_kubectl, manifests):
    kubectl = any_kubectl
    path = manifests(_config_map({"a": "1"}))
    kubectl(f"create -f {path}")
    done = kubectl.run(f"apply -f {path}")
    assert "missing the kubectl.kubernetes.io/last-applied-configuration" in done.stderr
    assert 'a: "1"' in kubectl("apply view-last-applied configmap/c")
    path = manifests(_config_map({"a": "2"}))
    kubectl(f"apply set-last-applied -f {path}")
    assert 'a: "2"' in kubectl("apply view-last-applied configmap/c")


def test_prune_deletes_what_is_no_longer_there(any_kubectl):
    kubectl = any_kubectl
    label = {"labels": {"set": kubectl.namespace}}
    both = [_config_map({"a": "1"}, "one", **label), _config_map({"a": "1"}, "two", **label)]
    kubectl("apply -f -", both)
    prune = f"apply --prune -l set={kubectl.namespace} -f -"
    out = kubectl(prune, both[:1])
    assert out.splitlines() == ["configmap/one unchanged", "configmap/two pruned"]
    out = kubectl(f"{prune} --prune-allowlist=core/v1/Secret", _config_map({}, "three", **label))
    assert "pruned" not in out
    assert "not found" in kubectl.fails("get configmap two")


def test_apply_sets_prune_with_a_parent(kubectl, manifests):
    folder = manifests(
        name="set",
        files={"one.yaml": _config_map({}, "one"), "two.yaml": _config_map({}, "two")},
    )
    command = f"apply --prune --applyset=secrets/parent -n {kubectl.namespace} -f {folder}"
    kubectl(command, KUBECTL_APPLYSET="true")
    parent = kubectl.json("get secret parent")["metadata"]
    assert "applyset.kubernetes.io/id" in parent["labels"]
    (folder / "two.yaml").unlink()
    assert "configmap/two pruned" in kubectl(command, KUBECTL_APPLYSET="true")


def test_kustomizations_are_applied_and_deleted(any_kubectl, manifests):
    folder = manifests(
        name="kustomization",
        files={
            "kustomization.yaml": {
                "namePrefix": "p-",
                "labels": [{"pairs": {"team": "x"}, "includeSelectors": True}],
                "images": [{"name": "nginx", "newTag": "9"}],
                "configMapGenerator": [{"name": "generated", "literals": ["k=v"]}],
                "resources": ["d.yaml"],
            },
            "d.yaml": _deployment({"name": "c", "image": "nginx"}),
        },
    )
    kubectl = any_kubectl
    out = kubectl(f"apply -k {folder}").splitlines()
    assert out[0].startswith("configmap/p-generated-")
    assert out[1] == "deployment.apps/p-d created"
    found = kubectl.json("get deployment p-d")
    assert found["spec"]["template"]["spec"]["containers"][0]["image"] == "nginx:9"
    assert found["spec"]["selector"]["matchLabels"] == {"app": "d", "team": "x"}
    assert kubectl("diff -k " + str(folder)) == ""
    kubectl(f"delete -k {folder}")
    assert "not found" in kubectl.fails("get deployment p-d")


def test_diff_shows_what_apply_would_do(any_kubectl):
    kubectl = any_kubectl
    done = kubectl.run("diff -f -", _config_map({"a": "1"}))
    assert done.returncode == 1
    assert '+  a: "1"' in done.stdout
    assert "not found" in kubectl.fails("get configmap c")
    kubectl("apply -f -", _config_map({"a": "1"}))
    assert kubectl("diff -f -", _config_map({"a": "1"})) == ""
    done = kubectl.run("diff -f -", _config_map({"a": "2"}))
    assert done.returncode == 1
    changes = [
        line
        for line in done.stdout.splitlines()
        if line[:1] in "+-" and line[:3] not in ("+++", "---")
    ]
    assert changes == ['-  a: "1"', '+  a: "2"']
    done = kubectl.run("diff --server-side --force-conflicts -f -", _config_map({"a": "2"}))
    assert (done.returncode, '+  a: "2"' in done.stdout) == (1, True)
    assert kubectl.json("get configmap c")["data"] == {"a": "1"}


def test_a_server_side_dry_run_says_what_would_be(any_kubectl):
    kubectl = any_kubectl
    out = kubectl("apply --dry-run=server -f -", _config_map({"a": "1"}))
    assert out == "configmap/c created (server dry run)\n"
    out = kubectl.json("apply --dry-run=server -f -", _deployment({"name": "c", "image": "i"}))
    assert out["spec"]["revisionHistoryLimit"] == 10
    assert "not found" in kubectl.fails("get configmap c")


# ---------------------------------------------------------------------- server-side


def test_server_side_apply_owns_its_fields(any_kubectl):
    kubectl = any_kubectl
    out = kubectl("apply --server-side -f -", _config_map({"a": "1", "b": "1"}))
    assert out == "configmap/c serverside-applied\n"
    assert _managers(kubectl, "configmap/c") == {("kubectl", "Apply")}
    kubectl("apply --server-side --field-manager=other -f -", _config_map({"x": "1"}))
    kubectl("apply --server-side -f -", _config_map({"a": "1"}))
    found = kubectl.json("get configmap c")
    assert found["data"] == {"a": "1", "x": "1"}
    assert "annotations" not in found["metadata"]


def test_conflicts_are_told_and_can_be_forced(any_kubectl):
    kubectl = any_kubectl
    kubectl("apply --server-side --field-manager=one -f -", _config_map({"a": "1"}))
    said = kubectl.fails("apply --server-side --field-manager=two -f -", _config_map({"a": "2"}))
    assert 'Apply failed with 1 conflict: conflict with "one": .data.a' in said
    assert "--force-conflicts" in said
    kubectl(
        "apply --server-side --field-manager=two --force-conflicts -f -", _config_map({"a": "2"})
    )
    assert kubectl.json("get configmap c")["data"] == {"a": "2"}
    kubectl("apply --server-side --field-manager=one -f -", _config_map({"a": "2"}))
    assert _managers(kubectl, "configmap/c") == {("one", "Apply"), ("two", "Apply")}


def test_server_side_apply_takes_over_from_client_side(any_kubectl):
    kubectl = any_kubectl
    kubectl("apply -f -", _config_map({"a": "1", "b": "1"}))
    kubectl("apply --server-side -f -", _config_map({"a": "2"}))
    found = kubectl.json("get configmap c")
    assert found["data"] == {"a": "2"}
    assert ("kubectl", "Apply") in _managers(kubectl, "configmap/c")
    assert ("kubectl-client-side-apply", "Update") not in _managers(kubectl, "configmap/c")
    # And back: the last applied configuration is kept up while its annotation is there.
    kubectl("apply -f -", _config_map({"a": "3"}))
    assert kubectl.json("get configmap c")["data"] == {"a": "3"}


def test_server_side_apply_of_an_object_somebody_created(any_kubectl):
    kubectl = any_kubectl
    kubectl("create -f -", _deployment({"name": "c", "image": "i:1"}))
    said = kubectl.fails("apply --server-side -f -", _deployment({"name": "c", "image": "i:2"}))
    assert 'conflict with "kubectl-create" using apps/v1: .spec.template.spec' in said
    kubectl(
        "apply --server-side --force-conflicts -f -", _deployment({"name": "c", "image": "i:2"})
    )
    kubectl("scale deployment d --replicas=3")
    said = kubectl.fails("apply --server-side -f -", _deployment({"name": "c", "image": "i:2"}))
    assert 'with subresource "scale" using apps/v1: .spec.replicas' in said


def test_apply_edits_the_last_applied_configuration(any_kubectl, tmp_path):
    kubectl = any_kubectl
    kubectl("apply -f -", _config_map({"a": "1"}))
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i \'s/a: "1"/a: "9"/\' "$1"\n')
    editor.chmod(0o700)
    kubectl("apply edit-last-applied configmap/c", KUBE_EDITOR=str(editor))
    assert 'a: "9"' in kubectl("apply view-last-applied configmap/c")


def test_many_objects_in_one_go(any_kubectl):
    namespace = f"{any_kubectl.namespace}-x"
    listing = {
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
            _config_map({"a": "1"}, namespace=namespace),
            _deployment({"name": "c", "image": "i"}, namespace=namespace),
        ],
    }
    out = any_kubectl("apply -f -", listing)
    assert [line.split(" ")[1] for line in out.splitlines()] == ["created"] * 3
    out = any_kubectl("apply --server-side --force-conflicts -f -", listing)
    assert [line.split(" ")[1] for line in out.splitlines()] == ["serverside-applied"] * 3
