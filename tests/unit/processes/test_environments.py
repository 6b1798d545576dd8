"""Environments and command lines of containers."""

import pytest

from understudy.controllers.runtime.processes import environments


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(A)", "1"),
        ("x$(A)y$(B)z", "x1y2z"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$$$$", "$$"),
        ("$(NONE)", "$(NONE)"),
        ("$A ${A} $", "$A ${A} $"),
        ("$(A", "$(A"),
        ("$()", "$()"),
        ("$(A)$(", "1$("),
        ("$(REF)", "$(A)"),
    ],
)
def test_references_are_replaced_as_kubernetes_replaces_them(text, expanded):
    variables = {"A": "1", "B": "2", "REF": "$(A)"}
    assert environments.expand(text, variables) == expanded


OBJECTS = {
    ("configmaps", "c"): {"data": {"KEY": "from c", "bad name": "x"}},
    ("secrets", "s"): {"data": {"KEY": "ZnJvbSBz"}},
}


def made(container, pod=None, ports=None):
    around = environments.Surroundings(
        base={"PATH": "/bin"},
        own={"UNDERSTUDY_ROOT": "/root"},
        ports=ports or {},
        allocatable={"cpu": "4", "memory": "8Gi"},
        find=lambda ref, name: OBJECTS.get((ref, name)),
    )
    whole = {"metadata": {"name": "p", "namespace": "n"}, **(pod or {})}
    whole.setdefault("spec", {}).setdefault("containers", [{"name": "app", **container}])
    return environments.environment(whole, {"name": "app", **container}, around)


def test_later_sources_win_and_env_wins_over_them():
    found = made({
        "envFrom": [{"configMapRef": {"name": "c"}}, {"secretRef": {"name": "s"}}],
        "env": [{"name": "COPY", "value": "$(KEY)"}, {"name": "KEY", "value": "own"}],
    })  # fmt: skip
    assert (found["COPY"], found["KEY"]) == ("from s", "own")


def test_a_variable_sees_only_those_before_it():
    found = made({"env": [{"name": "A", "value": "$(B)"}, {"name": "B", "value": "b"}]})
    assert found["A"] == "$(B)"


@pytest.mark.parametrize(
    ("port", "expected"), [("8080", "21000"), ("9090", "21001"), ("80", "21000"), ("x", "x")]
)
def test_port_names_the_local_port(port, expected):
    container = {"ports": [{"containerPort": 8080}], "env": [{"name": "PORT", "value": port}]}
    assert made(container, ports={8080: 21000, 9090: 21001})["PORT"] == expected


def test_port_is_as_given_where_none_is_declared():
    assert made({"env": [{"name": "PORT", "value": "80"}]})["PORT"] == "80"


def test_names_of_ours_cannot_be_set():
    found = made({"env": [{"name": "UNDERSTUDY_ROOT", "value": "/"}]})
    assert found["UNDERSTUDY_ROOT"] == "/root"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"configMapKeyRef": {"name": "x", "key": "k"}}, 'configmap "x" not found'),
        ({"secretKeyRef": {"name": "s", "key": "k"}}, "couldn't find key k in Secret n/s"),
        ({"fieldRef": {"fieldPath": "spec.containers"}}, "unsupported fieldPath: spec.containers"),
        ({"fileKeyRef": {"key": "k"}}, "variable A: fileKeyRef cannot be had by a process"),
    ],
)
def test_what_is_missing_is_said_in_the_kubelets_words(source, message):
    with pytest.raises(environments.ContainerConfigError) as caught:
        made({"env": [{"name": "A", "valueFrom": source}]})
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("resource", "divisor", "expected"),
    [
        ("limits.cpu", "", "1"),
        ("limits.cpu", "1m", "250"),
        ("requests.cpu", "1m", "250"),
        ("limits.memory", "1Mi", "8192"),
        ("requests.memory", "", "0"),
    ],
)
def test_resources_are_rounded_up_to_the_unit(resource, divisor, expected):
    chosen = {"resource": resource, **({"divisor": divisor} if divisor else {})}
    container = {
        "resources": {"limits": {"cpu": "250m"}},
        "env": [{"name": "A", "valueFrom": {"resourceFieldRef": chosen}}],
    }
    assert made(container)["A"] == expected


def test_labels_are_written_as_the_downward_api_writes_them():
    pod = {"metadata": {"labels": {"b": 'say "x"', "a": "ü"}}}
    assert environments.field_value(pod, "metadata.labels") == 'a="ü"\nb="say \\"x\\""'
    assert environments.field_value(pod, "metadata.labels['a']") == "ü"


def test_a_secret_that_is_no_text_keeps_its_bytes():
    OBJECTS["secrets", "raw"] = {"data": {"K": "/wA="}}
    found = made({"envFrom": [{"secretRef": {"name": "raw"}}]})
    assert found["K"].encode("utf-8", "surrogateescape") == b"\xff\x00"
