"""Custom resources in kubectl's hands: at home from the moment the definition is applied."""

import json

import pytest

pytestmark = pytest.mark.kubectl


class Widgets:
    """A kubectl, and the group that its widgets have for themselves."""

    def __init__(self, kubectl, group):
        self.kubectl, self.group = kubectl, group
        self.ref = f"widgets.{group}"

    def body(self, name="w", version="v1", **spec):
        return {
            "apiVersion": f"{self.group}/{version}",
            "kind": "Widget",
            "metadata": {"name": name},
            "spec": {"size": 1, **spec},
        }


@pytest.fixture
def widgets(any_kubectl, definition):
    group = f"{any_kubectl.namespace}.example.com"
    any_kubectl("apply -f -", definition(group))
    any_kubectl(f"wait --for=condition=Established crd/widgets.{group} --timeout=50s")
    yield Widgets(any_kubectl, group)
    any_kubectl(f"delete crd widgets.{group} --timeout=50s")


def test_they_are_discovered_explained_and_shown(widgets):
    kubectl = widgets.kubectl
    row = kubectl.table(f"api-resources --api-group={widgets.group} --no-headers")[0]
    assert row == ["widgets", "wd", f"{widgets.group}/v1", "true", "Widget"]
    shown = kubectl(f"explain {widgets.ref}.spec.size")
    assert "How large it is." in shown
    assert "size\t<integer> -required-" in kubectl(f"explain {widgets.ref}.spec")
    assert "parts\t<[]Object>" in kubectl(f"explain {widgets.ref} --recursive")
    kubectl("create -f -", widgets.body(size=7))
    assert kubectl.table(f"get {widgets.ref}")[0] == ["NAME", "SIZE", "AGE"]
    assert kubectl.table(f"get {widgets.ref} -o wide")[1][:3] == ["w", "7", "red"]
    assert kubectl("get wd -o name") == f"widget.{widgets.group}/w\n"
    assert f"widget.{widgets.group}/w" in kubectl("get all -o name")
    assert "Size:    7" in kubectl(f"describe {widgets.ref} w")
    older = kubectl.run(f"get widgets.v1beta1.{widgets.group} w -o json")
    assert json.loads(older.stdout)["apiVersion"] == f"{widgets.group}/v1beta1"
    assert "v1beta1 Widget is deprecated" in older.stderr
    found = kubectl(f"get {widgets.ref} --field-selector spec.colour=red -o name")
    assert found == f"widget.{widgets.group}/w\n"
    assert kubectl(f"get {widgets.ref} --field-selector spec.colour=blue -o name") == ""


def test_they_are_checked_and_defaulted(widgets):
    kubectl = widgets.kubectl
    kubectl("apply -f -", widgets.body())
    assert kubectl.json(f"get {widgets.ref} w")["spec"] == {"colour": "red", "size": 1}
    said = kubectl.fails("apply -f -", widgets.body("x", size=0))
    assert (
        "spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1"
        in said
    )
    said = kubectl.fails("apply -f -", widgets.body("x", size=100))
    assert "large ones are blue" in said
    said = kubectl.fails("apply -f -", widgets.body("x", colour="green"))
    assert 'Unsupported value: "green": supported values: "red", "blue"' in said
    said = kubectl.fails("apply -f -", widgets.body("x", sice=1))
    assert 'unknown field "spec.sice"' in said


def test_they_are_applied_patched_and_edited(widgets, tmp_path):
    kubectl, ref = widgets.kubectl, f"{widgets.ref}/w"
    one, two = {"name": "one", "count": 1}, {"name": "two", "count": 2}
    kubectl("apply -f -", widgets.body(parts=[one]))
    assert "unchanged" in kubectl("apply -f -", widgets.body(parts=[one]))
    assert "configured" in kubectl("apply -f -", widgets.body(size=2, parts=[one]))
    kubectl("apply --server-side -f -", widgets.body("v", parts=[one]))
    kubectl("apply --server-side --field-manager=b -f -", widgets.body("v", parts=[two]))
    assert kubectl.json(f"get {widgets.ref}/v")["spec"]["parts"] == [one, two]
    said = kubectl.fails(f"""patch {ref} -p '{{"spec":{{"size":3}}}}'""")
    assert "accepted media types include: application/json-patch+json" in said
    kubectl(f"""patch {ref} --type=merge -p '{{"spec":{{"size":3}}}}'""")
    kubectl(f"""patch {ref} --type=json -p '[{{"op":"remove","path":"/spec/parts/0/count"}}]'""")
    found = kubectl.json(f"get {ref}")
    assert (found["spec"]["size"], found["spec"]["parts"]) == (3, [{"name": "one"}])
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i "s/colour: red/colour: blue/" "$1"\n')
    editor.chmod(0o700)
    kubectl(f"edit {ref}", KUBE_EDITOR=str(editor))
    kubectl(f"label {ref} a=b")
    kubectl(f"annotate {ref} a=b")
    found["metadata"] = {
        "name": "w",
        "resourceVersion": kubectl.json(f"get {ref}")["metadata"]["resourceVersion"],
    }
    kubectl("replace -f -", found)
    after = kubectl.json(f"get {ref}")
    assert after["spec"] == found["spec"]
    assert "labels" not in after["metadata"]
    assert after["metadata"]["generation"] > 1


def test_they_are_scaled_and_waited_for(widgets):
    kubectl, ref = widgets.kubectl, f"{widgets.ref}/w"
    kubectl("create -f -", widgets.body(replicas=1))
    assert "scaled" in kubectl(f"scale {ref} --replicas=4")
    assert kubectl.json(f"get {ref}")["spec"]["replicas"] == 4
    status = {"status": {"replicas": 4, "conditions": [{"type": "Ready", "status": "True"}]}}
    patch = f"patch {ref} --subresource=status --type=merge -p '{json.dumps(status)}'"
    kubectl(patch)
    kubectl(f"wait --for=condition=Ready {ref} --timeout=50s")
    scale = kubectl.json(f"get {ref} --subresource=scale")
    assert (scale["kind"], scale["spec"], scale["status"]) == (
        "Scale",
        {"replicas": 4},
        {"replicas": 4},
    )
    kubectl(f"""patch {ref} --type=merge -p '{{"status":{{"replicas":9}}}}'""")
    assert kubectl.json(f"get {ref}")["status"]["replicas"] == 4
    kubectl(f"autoscale {ref} --max=9 --cpu-percent=50")
    assert (
        kubectl.json("get hpa w")["spec"]["scaleTargetRef"]["apiVersion"] == f"{widgets.group}/v1"
    )


def test_they_are_watched_and_deleted(widgets):
    kubectl = widgets.kubectl
    kubectl("create -f -", [widgets.body("a"), widgets.body("b")])
    with kubectl.following(f"get {widgets.ref} -w --output-watch-events") as line:
        assert [line().split()[:2] for _ in "123"] == [
            ["EVENT", "NAME"],
            ["ADDED", "a"],
            ["ADDED", "b"],
        ]
        kubectl(f"delete {widgets.ref} a")
        assert line().split()[:3] == ["DELETED", "a", "1"]
    kubectl(f"delete {widgets.ref} --all")
    assert kubectl(f"get {widgets.ref} -o name") == ""


def test_a_definition_goes_with_its_objects(any_kubectl, definition):
    kubectl, group = any_kubectl, f"{any_kubectl.namespace}.gone.example.com"
    kubectl("apply -f -", definition(group))
    kubectl("create -f -", Widgets(kubectl, group).body())
    kubectl(f"delete crd widgets.{group} --timeout=50s")
    assert "doesn't have a resource type" in kubectl.fails(f"get widgets.{group}")
    said = kubectl.fails("create -f -", Widgets(kubectl, group).body())
    assert "no matches for kind" in said
