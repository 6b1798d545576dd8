"""The order of delivery: waves, references, circles, speed."""

import pytest

from understudy.delivery import errors, marks, ordering, references, refs
from understudy.kube import objects

Items = dict[refs.Ref, objects.Object]


def obj(kind: str, name: str, space: str = "n", group: str = "", **more: objects.Json) -> Items:
    annotations = more.pop("annotations", None)
    meta: objects.Object = {"name": name}
    if space:
        meta["namespace"] = space
    if annotations:
        meta["annotations"] = annotations
    ref = refs.Ref(group, kind, space, name)
    return {ref: {"kind": kind, "metadata": meta, **more}}


def names(order: ordering.Order) -> list[list[str]]:
    return [[f"{ref.kind}/{ref.name}" for ref in batch.items] for batch in order.batches]


def pods(**spec: objects.Json) -> objects.Object:
    return {"template": {"spec": {"containers": [{"name": "a", "image": "b"}], **spec}}}


def test_kinds_go_in_waves() -> None:
    items = (
        obj("Deployment", "d", group="apps", spec=pods())
        | obj("Service", "s")
        | obj("ConfigMap", "c")
        | obj("ServiceAccount", "sa")
        | obj("StorageClass", "sc", "", "storage.k8s.io")
        | obj("Namespace", "n", "")
        | obj("Ingress", "i", group="networking.k8s.io", spec={})
        | obj("ValidatingWebhookConfiguration", "w", "", "admissionregistration.k8s.io")
    )
    assert names(ordering.arrange(items)) == [
        ["Namespace/n"],
        ["StorageClass/sc"],
        ["ServiceAccount/sa"],
        ["ConfigMap/c"],
        ["Service/s"],
        ["Deployment/d"],
        ["Ingress/i"],
        ["ValidatingWebhookConfiguration/w"],
    ]


@pytest.mark.parametrize(
    ("wave", "kinds"),
    [
        (0, "Namespace apiextensions.k8s.io/CustomResourceDefinition"),
        (1, "scheduling.k8s.io/PriorityClass node.k8s.io/RuntimeClass storage.k8s.io/StorageClass "
            "networking.k8s.io/IngressClass gateway.networking.k8s.io/GatewayClass "
            "snapshot.storage.k8s.io/VolumeSnapshotClass x.io/WidgetClass "
            "rbac.authorization.k8s.io/ClusterRole rbac.authorization.k8s.io/Role"),
        (2, "ResourceQuota LimitRange networking.k8s.io/NetworkPolicy ServiceAccount "
            "rbac.authorization.k8s.io/ClusterRoleBinding rbac.authorization.k8s.io/RoleBinding"),
        (3, "ConfigMap Secret PersistentVolume PersistentVolumeClaim"),
        (4, "Service"),
        (5, "apps/DaemonSet apps/Deployment apps/StatefulSet apps/ReplicaSet Pod batch/Job "
            "batch/CronJob serving.knative.dev/Service x.io/Widget"),
        (6, "autoscaling/HorizontalPodAutoscaler policy/PodDisruptionBudget "
            "networking.k8s.io/Ingress gateway.networking.k8s.io/HTTPRoute "
            "serving.knative.dev/DomainMapping apiregistration.k8s.io/APIService"),
        (7, "admissionregistration.k8s.io/ValidatingAdmissionPolicy "
            "admissionregistration.k8s.io/ValidatingAdmissionPolicyBinding "
            "admissionregistration.k8s.io/MutatingWebhookConfiguration "
            "admissionregistration.k8s.io/ValidatingWebhookConfiguration"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("space", ["", "n"])
def test_the_wave_of_each_kind(wave: int, kinds: str, space: str) -> None:
    """By group and kind, whatever version, scope or neighbours."""
    for text in kinds.split():
        group, _, kind = text.rpartition("/")
        ((ref, value),) = obj(kind, "x", space, group).items()
        assert ordering.wave_of(ref, value) == wave, text
        ((ref, value),) = obj(kind, "x", space, group, annotations={marks.WAVE: "9"}).items()
        assert ordering.wave_of(ref, value) == 9, text


def edges_of(items: Items) -> set[tuple[str, str, bool]]:
    """Return who goes before whom, and whether that is required."""
    return {
        (edge.before.kind, edge.after.kind, edge.required)
        for edge in references.Known(items).edges()
    }


RBAC = "rbac.authorization.k8s.io"


@pytest.mark.parametrize(
    ("earlier", "later", "required"),
    [
        (obj("Namespace", "n", ""), obj("ConfigMap", "c"), True),
        (obj("CustomResourceDefinition", "widgets.x.io", "", "apiextensions.k8s.io",
             spec={"group": "x.io", "names": {"kind": "Widget"}}),
         obj("Widget", "w", group="x.io"), True),
        (obj("Secret", "s"), obj("Pod", "p", spec={
            "containers": [{"name": "a", "env": [{"name": "V", "valueFrom": {
                "secretKeyRef": {"name": "s", "key": "k"}}}]}]}), False),
        (obj("ConfigMap", "c"), obj("Deployment", "d", group="apps", spec=pods(
            volumes=[{"name": "v", "projected": {"sources": [{"configMap": {"name": "c"}}]}}])),
         False),
        (obj("PersistentVolumeClaim", "c"), obj("StatefulSet", "d", group="apps", spec=pods(
            volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}])), False),
        (obj("ServiceAccount", "a"), obj("Service", "k", group="serving.knative.dev",
                                         spec=pods(serviceAccountName="a")), False),
        (obj("PriorityClass", "high", "", "scheduling.k8s.io"),
         obj("Deployment", "d", group="apps", spec=pods(priorityClassName="high")), False),
        (obj("RuntimeClass", "r", "", "node.k8s.io"),
         obj("Deployment", "d", group="apps", spec=pods(runtimeClassName="r")), False),
        (obj("StorageClass", "fast", "", "storage.k8s.io"), obj("StatefulSet", "d", group="apps",
            spec={**pods(), "volumeClaimTemplates": [{"spec": {"storageClassName": "fast"}}]}),
         False),
        (obj("PersistentVolume", "v", ""), obj("PersistentVolumeClaim", "c",
                                               spec={"volumeName": "v"}), False),
        (obj("IngressClass", "c", "", "networking.k8s.io"), obj("Ingress", "i",
            group="networking.k8s.io", spec={"ingressClassName": "c"}), False),
        (obj("Service", "s"), obj("Ingress", "i", group="networking.k8s.io", spec={
            "defaultBackend": {"service": {"name": "s"}}}), False),
        (obj("Role", "r", group=RBAC), obj("RoleBinding", "b", group=RBAC,
            roleRef={"kind": "Role", "name": "r"}), False),
        (obj("ServiceAccount", "a"), obj("ClusterRoleBinding", "b", "", RBAC,
            subjects=[{"kind": "ServiceAccount", "name": "a", "namespace": "n"}]), False),
        (obj("Deployment", "d", group="apps"), obj("HorizontalPodAutoscaler", "h",
            group="autoscaling", spec={"scaleTargetRef": {
                "apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}}), False),
    ],
    ids=lambda value: next(iter(value)).kind if isinstance(value, dict) else None,
)  # fmt: skip
def test_what_refers_to_what(earlier: Items, later: Items, required: bool) -> None:
    items = later | earlier
    ((before, _),) = earlier.items()
    ((after, _),) = later.items()
    assert (before.kind, after.kind, required) in edges_of(items)
    order = [ref for batch in ordering.arrange(items).batches for ref in batch.items]
    assert order.index(before) < order.index(after)


def test_an_owner_goes_before_what_it_owns() -> None:
    items = obj("ConfigMap", "a") | obj("ConfigMap", "b")
    items[refs.Ref("", "ConfigMap", "n", "a")]["metadata"]["ownerReferences"] = [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "b"}
    ]
    assert names(ordering.arrange(items)) == [["ConfigMap/b"], ["ConfigMap/a"]]


def test_independent_objects_of_a_wave_go_together() -> None:
    items = obj("ConfigMap", "a") | obj("Secret", "b")
    assert names(ordering.arrange(items)) == [["ConfigMap/a", "Secret/b"]]


def test_a_definition_comes_before_its_objects_whatever_their_wave() -> None:
    definition = {"group": "x.io", "names": {"kind": "WidgetClass"}}
    items = obj("WidgetClass", "w", "", "x.io") | obj(
        "CustomResourceDefinition", "widgetclasses.x.io", "", "apiextensions.k8s.io",
        spec=definition,
    )  # fmt: skip
    assert names(ordering.arrange(items)) == [
        ["CustomResourceDefinition/widgetclasses.x.io"],
        ["WidgetClass/w"],
    ]


def test_references_order_objects_of_one_wave() -> None:
    items = obj("Pod", "p", spec={"containers": [{"name": "a"}], "priorityClassName": "high"})
    items |= obj("ServiceAccount", "sa", imagePullSecrets=[{"name": "pull"}])
    items |= obj("Secret", "pull")
    assert names(ordering.arrange(items)) == [["Secret/pull"], ["ServiceAccount/sa"], ["Pod/p"]]


def test_an_explicit_dependency_is_obeyed() -> None:
    items = obj(
        "Deployment", "web", group="apps", spec=pods(),
        annotations={marks.DEPENDS_ON: "apps/Deployment/db, ConfigMap/late"},
    )  # fmt: skip
    items |= obj("Deployment", "db", group="apps", spec=pods())
    items |= obj("ConfigMap", "late", annotations={marks.WAVE: "9"})
    assert names(ordering.arrange(items)) == [
        ["Deployment/db"],
        ["ConfigMap/late"],
        ["Deployment/web"],
    ]


def test_cli_utils_dependencies_are_obeyed_too() -> None:
    items = obj(
        "ConfigMap", "b",
        annotations={marks.CLI_UTILS_DEPENDS_ON: "/namespaces/n/ConfigMap/c,x.io/Thing/t"},
    ) | obj("ConfigMap", "c") | obj("Thing", "t", "", "x.io")  # fmt: skip
    assert names(ordering.arrange(items)) == [["ConfigMap/c"], ["Thing/t"], ["ConfigMap/b"]]


def test_a_circle_of_references_is_opened() -> None:
    """Two service accounts may name each other's secrets; nobody waits for ever."""
    items = obj("ServiceAccount", "a", secrets=[{"name": "s"}])
    items |= obj("Secret", "s", metadata_owner=None)
    items[refs.Ref("", "Secret", "n", "s")]["metadata"]["annotations"] = {
        marks.DEPENDS_ON: "ServiceAccount/a"
    }
    assert names(ordering.arrange(items)) == [["ServiceAccount/a"], ["Secret/s"]]


def test_a_circle_of_explicit_dependencies_is_named() -> None:
    items = obj("ConfigMap", "a", annotations={marks.DEPENDS_ON: "ConfigMap/b"})
    items |= obj("ConfigMap", "b", annotations={marks.DEPENDS_ON: "ConfigMap/a"})
    with pytest.raises(errors.OrderError) as caught:
        ordering.arrange(items)
    assert "ConfigMap n/a depends on ConfigMap n/b" in str(caught.value)
    assert "ConfigMap n/b depends on ConfigMap n/a" in str(caught.value)


def test_a_malformed_wave_is_refused() -> None:
    with pytest.raises(errors.OrderError, match="must be a whole number from 0 to 99"):
        ordering.arrange(obj("ConfigMap", "a", annotations={marks.WAVE: "soon"}))


def test_deletion_runs_custom_resources_first_and_definitions_last() -> None:
    definition = {"group": "x.io", "names": {"kind": "Thing"}}
    items = (
        obj("Namespace", "n", "")
        | obj("CustomResourceDefinition", "things.x.io", "", "apiextensions.k8s.io",
              spec=definition)
        | obj("Thing", "t", group="x.io")
        | obj("Deployment", "operator", group="apps", spec=pods())
        | obj("ConfigMap", "c")
    )  # fmt: skip
    order = ordering.arrange(items, rule=ordering.removal_wave_of)
    assert [ref.kind for batch in order.reversed() for ref in batch.items] == [
        "Thing", "Deployment", "ConfigMap", "Namespace", "CustomResourceDefinition",
    ]  # fmt: skip


def test_deletion_mirrors_delivery() -> None:
    items = (
        obj("ConfigMap", "c") | obj("Service", "s") | obj("Deployment", "d", group="apps")
        | obj("Ingress", "i", group="networking.k8s.io") | obj("ServiceAccount", "sa")
        | obj("StorageClass", "sc", "", "storage.k8s.io")
        | obj("ValidatingWebhookConfiguration", "w", "", "admissionregistration.k8s.io")
    )  # fmt: skip
    order = ordering.arrange(items, rule=ordering.removal_wave_of)
    backwards = [ref for batch in order.reversed() for ref in batch.items]
    forwards = [ref for batch in ordering.arrange(items).batches for ref in batch.items]
    assert backwards == list(reversed(forwards))


@pytest.mark.parametrize(
    "early",
    [
        obj("GatewayClass", "early", "", "gateway.networking.k8s.io"),
        obj("Thing", "early", group="x.io", annotations={marks.WAVE: "2"}),
    ],
    ids=["class", "wave"],
)
def test_custom_resources_go_before_workloads_though_delivered_before_them(early: Items) -> None:
    items = early | obj("Deployment", "operator", group="apps") | obj("Thing", "t", group="x.io")
    order = ordering.arrange(items, rule=ordering.removal_wave_of)
    assert [ref.name for batch in order.reversed() for ref in batch.items] == [
        "t", "early", "operator",
    ]  # fmt: skip


def test_who_depends_on_a_custom_resource_goes_before_it() -> None:
    items = obj("Deployment", "d", group="apps", annotations={marks.DEPENDS_ON: "x.io/Thing/t"})
    items |= obj("Thing", "t", group="x.io")
    order = ordering.arrange(items, rule=ordering.removal_wave_of)
    assert [ref.name for batch in order.reversed() for ref in batch.items] == ["d", "t"]


def test_dependents_are_found_through_any_number_of_steps() -> None:
    items = obj("Namespace", "n", "") | obj("ConfigMap", "c")
    items |= obj("Pod", "p", spec={
        "containers": [{"name": "a", "envFrom": [{"configMapRef": {"name": "c"}}]}],
    })  # fmt: skip
    items |= obj("ConfigMap", "elsewhere", "other")
    graph = ordering.arrange(items).graph
    start = refs.Ref("", "ConfigMap", "n", "c")
    assert graph.dependents([start]) == {refs.Ref("", "Pod", "n", "p"): start}
    assert len(graph.dependents([refs.Ref("", "Namespace", "", "n")])) == 2


def test_the_order_does_not_depend_on_the_order_of_the_input() -> None:
    items = obj("ConfigMap", "b") | obj("ConfigMap", "a") | obj("Namespace", "n", "")
    backwards = dict(reversed(items.items()))
    assert ordering.arrange(items).batches == ordering.arrange(backwards).batches


def test_five_thousand_objects_are_all_ordered() -> None:
    items = obj("Namespace", "n", "")
    for number in range(1250):
        name = f"x{number}"
        source = [{"configMapRef": {"name": name}}, {"secretRef": {"name": name}}]
        items |= obj("ConfigMap", name) | obj("Secret", name) | obj("Service", name)
        container = {"name": "a", "image": "b", "envFrom": source}
        items |= obj(
            "Deployment",
            name,
            group="apps",
            spec={"template": {"spec": {"containers": [container]}}},
        )
    order = ordering.arrange(items)
    assert sum(len(batch.items) for batch in order.batches) == 5001
