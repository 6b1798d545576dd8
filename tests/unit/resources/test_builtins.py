"""The built-in catalogue holds what a Kubernetes API server 1.36 serves by default."""

import pytest

from understudy.kapi.resources import builtins, definitions
from understudy.kube import identities

CATALOGUE = builtins.catalogue()


def node(ref, *path):
    """Return the schema node at a path; `[]` steps into a list's items."""
    found = CATALOGUE.named(ref).schema
    for step in path:
        found = found.items if step == "[]" else found.fields[step]
    return found


def test_every_default_group_is_served_in_the_order_of_apis():
    groups = list(dict.fromkeys(resource.group for resource in CATALOGUE.resources))
    assert groups[:4] == ["", "apiregistration.k8s.io", "apps", "events.k8s.io"]
    assert groups[-1] == "flowcontrol.apiserver.k8s.io"
    assert len(groups) == 21


def test_preview_versions_are_served_only_when_enabled():
    assert CATALOGUE.named("devicetaintrules.resource.k8s.io") is None
    more = builtins.catalogue(enabled=frozenset({"resource.k8s.io/v1alpha3"}))
    assert more.named("devicetaintrules.resource.k8s.io").version == "v1alpha3"
    assert len(more.resources) > len(CATALOGUE.resources)


def test_the_preferred_version_comes_first_and_is_found_without_a_version():
    assert CATALOGUE.named("horizontalpodautoscalers.autoscaling").version == "v2"
    assert CATALOGUE.named("horizontalpodautoscalers.v1.autoscaling").version == "v1"


@pytest.mark.parametrize(
    ("ref", "storage", "version"),
    [
        ("pods", ("", "pods"), "v1"),
        ("deployments.apps", ("apps", "deployments"), "apps/v1"),
        (
            "horizontalpodautoscalers.v1.autoscaling",
            ("autoscaling", "horizontalpodautoscalers"),
            "autoscaling/v2",
        ),
        ("events", ("", "events"), "v1"),
        ("events.events.k8s.io", ("", "events"), "v1"),
    ],
)
def test_versions_and_aliases_share_one_store(ref, storage, version):
    resource = CATALOGUE.named(ref)
    assert (resource.storage, resource.storage_version) == (storage, version)


def test_a_resource_carries_verbs_names_and_subresources():
    pods = CATALOGUE.named("pods")
    assert (pods.kind, pods.singular, pods.short_names, pods.categories) == (
        "Pod",
        "pod",
        ("po",),
        ("all",),
    )
    assert pods.namespaced
    assert "deletecollection" in pods.verbs
    assert list(pods.subresources) == [
        "attach", "binding", "ephemeralcontainers", "eviction", "exec", "log", "portforward",
        "proxy", "resize", "status",
    ]  # fmt: skip
    assert pods.subresources["eviction"].kind == ("policy", "v1", "Eviction")
    assert CATALOGUE.named("componentstatuses").verbs == ("get", "list")
    assert CATALOGUE.by_kind("apps/v1", "Deployment").subresources["scale"].kind == (
        identities.GroupVersionKind("autoscaling", "v1", "Scale")
    )


def test_list_keys_merge_keys_and_their_defaults_are_known():
    ports = node("pods", "spec", "containers", "[]", "ports")
    assert (ports.list_type, ports.list_keys) == ("map", ("containerPort", "protocol"))
    assert ports.key_defaults == {"containerPort": 0, "protocol": "TCP"}
    assert (ports.patch_strategy, ports.patch_merge_key) == (("merge",), "containerPort")
    volumes = node("pods", "spec", "volumes")
    assert volumes.patch_strategy == ("merge", "retainKeys")
    assert node("deployments.apps", "spec", "strategy").patch_strategy == ("retainKeys",)
    assert node("pods", "spec", "nodeSelector").map_type == "atomic"
    assert node("pods", "metadata", "finalizers").list_type == "set"
    assert node("pods", "spec", "imagePullSecrets").key_defaults == {"name": ""}


def test_go_types_are_spelt_as_errors_print_them():
    assert node("pods", "spec", "containers").go_type == "[]v1.Container"
    assert node("pods", "spec", "restartPolicy").go_type == "v1.RestartPolicy"
    assert node("pods", "metadata", "labels").go_type == "map[string]string"
    assert node("secrets", "data").go_type == "map[string][]uint8"
    assert node("pods", "spec").name == "PodSpec"


def test_formats_say_which_values_have_a_form_of_their_own():
    assert node("pods", "metadata", "creationTimestamp").format == "date-time"
    assert node("leases.coordination.k8s.io", "spec", "renewTime").format == "micro-time"
    assert node("services", "spec", "ports", "[]", "targetPort").format == "int-or-string"
    limits = node("pods", "spec", "containers", "[]", "resources", "limits")
    assert limits.values.format == "quantity"
    assert node("configmaps", "binaryData").values.format == "byte"


def test_recursive_types_are_cycles():
    props = node(
        "customresourcedefinitions.apiextensions.k8s.io",
        "spec", "versions", "[]", "schema", "openAPIV3Schema",
    )  # fmt: skip
    assert props.fields["not"] is props
    assert props.fields["properties"].values is props


def test_every_field_of_every_definition_has_its_go_facts():
    facts = definitions.Definitions("1.36")
    missing = []
    for name, raw in facts.openapi.items():
        known = facts.go.fields(name)
        if known:
            missing += [
                f"{name}.{field}" for field in raw.get("properties", ()) if field not in known
            ]
    # Two beta types are aliases into another package and decode without these facts.
    assert {entry.rpartition(".")[0] for entry in missing} <= {
        "io.k8s.api.admissionregistration.v1alpha1.NamedRuleWithOperations",
        "io.k8s.api.admissionregistration.v1beta1.NamedRuleWithOperations",
    }


@pytest.mark.parametrize(
    ("better", "worse"),
    [("v2", "v1"), ("v1", "v1beta1"), ("v1beta2", "v1beta1"), ("v1alpha1", "x")],
)
def test_versions_are_ordered_as_kubernetes_prefers_them(better, worse):
    assert builtins.version_priority(better) > builtins.version_priority(worse)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("deployments", "deployments.apps"),
        ("deploy", "deployments.apps"),
        ("Deployment", "deployments.apps"),
        ("po", "pods"),
        ("events", "events"),
        ("hpa", "horizontalpodautoscalers.autoscaling"),
        ("nonsense", None),
        ("deploy.apps.example.com", None),
    ],
)
def test_a_word_is_looked_up_as_kubectl_does(word, expected):
    found = CATALOGUE.named(word)
    assert (str(found.group_resource) if found else None) == expected
