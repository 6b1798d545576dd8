"""The official Python client, typed and dynamic, does what its users do with it."""

import base64
import json
import threading

import pytest

kubernetes = pytest.importorskip("kubernetes", reason="install the extra `clients`")

from kubernetes import client, dynamic, informer, utils, watch  # noqa: E402
from kubernetes.leaderelection import electionconfig, leaderelection  # noqa: E402
from kubernetes.leaderelection.resourcelock import leaselock  # noqa: E402

MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"


@pytest.fixture
def api(live_cluster):
    made = kubernetes.config.new_client_from_config(live_cluster.kubeconfig)
    yield made
    _close(made)


def _close(used):
    used.close()
    used.rest_client.pool_manager.clear()  # which close() leaves open


@pytest.fixture
def core(api):
    return client.CoreV1Api(api)


@pytest.fixture
def apps(api):
    return client.AppsV1Api(api)


def _map(name, labels=None, **data):
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels=labels), data=data)


def _deployment(name, replicas=2, image="nginx:1"):
    labels = {"app": name}
    pod = client.V1PodSpec(
        containers=[
            client.V1Container(
                name="c",
                image=image,
                ports=[client.V1ContainerPort(container_port=80)],
                resources=client.V1ResourceRequirements(requests={"cpu": "100m"}),
            ),
            client.V1Container(name="side", image="side:1"),
        ]
    )
    return client.V1Deployment(
        metadata=client.V1ObjectMeta(name=name),
        spec=client.V1DeploymentSpec(
            replicas=replicas,
            selector=client.V1LabelSelector(match_labels=labels),
            template=client.V1PodTemplateSpec(
                metadata=client.V1ObjectMeta(labels=labels), spec=pod
            ),
        ),
    )


# ---------------------------------------------------------------------- objects


def test_objects_are_created_read_replaced_and_deleted(api, core, namespace):
    made = core.create_namespaced_config_map(namespace, _map("c", a="1"))
    assert made.metadata.uid
    assert made.metadata.creation_timestamp.tzinfo
    made.data = {"b": "2"}
    replaced = core.replace_namespaced_config_map("c", namespace, made)
    assert replaced.data == {"b": "2"}
    assert replaced.metadata.resource_version != made.metadata.resource_version
    with pytest.raises(client.ApiException) as caught:
        core.replace_namespaced_config_map("c", namespace, made)
    assert (caught.value.status, json.loads(caught.value.body)["reason"]) == (409, "Conflict")
    done = api.sanitize_for_serialization(core.delete_namespaced_config_map("c", namespace))
    assert (done["kind"], done["status"], done["details"]["name"]) == ("Status", "Success", "c")
    with pytest.raises(client.ApiException) as caught:
        core.read_namespaced_config_map("c", namespace)
    assert (caught.value.status, caught.value.reason) == (404, "Not Found")


def test_refusals_are_exceptions_with_a_status(core, namespace):
    core.create_namespaced_config_map(namespace, _map("c"))
    for body, code, reason in (
        (_map("c"), 409, "AlreadyExists"),
        (_map("Not_A_Name"), 422, "Invalid"),
        ({"metadata": {"name": "x", "namespace": "other"}}, 400, "BadRequest"),
    ):
        with pytest.raises(client.ApiException) as caught:
            core.create_namespaced_config_map(namespace, body)
        assert (caught.value.status, json.loads(caught.value.body)["reason"]) == (code, reason)
    with pytest.raises(client.ApiException) as caught:
        core.create_namespaced_config_map("nowhere", _map("c"))
    assert json.loads(caught.value.body)["message"] == 'namespaces "nowhere" not found'


def test_lists_are_selected_and_paged(core, namespace):
    for number in range(7):
        labels = {"half": "first" if number < 4 else "second"}
        core.create_namespaced_config_map(namespace, _map(f"m{number}", labels))
    found, token = [], None
    while True:
        page = core.list_namespaced_config_map(
            namespace, limit=3, _continue=token, field_selector="metadata.name!=kube-root-ca.crt"
        )
        found += [item.metadata.name for item in page.items]
        token = page.metadata._continue
        if not token:
            break
    page = core.list_namespaced_config_map(namespace, limit=3)
    assert page.metadata.remaining_item_count == 5  # one is in every namespace
    assert found == [f"m{number}" for number in range(7)]
    second = core.list_namespaced_config_map(namespace, label_selector="half in (second)")
    assert [item.metadata.name for item in second.items] == ["m4", "m5", "m6"]
    one = core.list_config_map_for_all_namespaces(
        field_selector=f"metadata.name=m3,metadata.namespace={namespace}"
    )
    assert [item.metadata.name for item in one.items] == ["m3"]
    with pytest.raises(client.ApiException) as caught:
        core.list_namespaced_config_map(namespace, field_selector="data.x=1")
    assert caught.value.status == 400
    core.delete_collection_namespaced_config_map(namespace, label_selector="half=first")
    left = core.list_namespaced_config_map(namespace, label_selector="half").items
    assert len(left) == 3


def test_secrets_and_generated_names(core, namespace):
    body = client.V1Secret(
        metadata=client.V1ObjectMeta(generate_name="s-"), string_data={"k": "v"}, type="Opaque"
    )
    made = core.create_namespaced_secret(namespace, body)
    assert made.metadata.name.startswith("s-")
    assert base64.b64decode(made.data["k"]) == b"v"
    assert made.string_data is None


def test_options_of_writes(core, namespace):
    core.create_namespaced_config_map(namespace, _map("dry"), dry_run="All")
    assert "dry" not in [
        item.metadata.name for item in core.list_namespaced_config_map(namespace).items
    ]
    made = core.create_namespaced_config_map(namespace, _map("c", a="1"), field_manager="me")
    assert made.metadata.managed_fields[0].manager == "me"
    wrong = client.V1DeleteOptions(preconditions=client.V1Preconditions(uid="other"))
    with pytest.raises(client.ApiException) as caught:
        core.delete_namespaced_config_map("c", namespace, body=wrong)
    assert caught.value.status == 409


# ---------------------------------------------------------------------- patches


def test_patches_of_every_form(core, apps, namespace):
    apps.create_namespaced_deployment(namespace, _deployment("d", replicas=0))
    template = {"spec": {"containers": [{"name": "c", "image": "nginx:2"}]}}
    patched = apps.patch_namespaced_deployment("d", namespace, {"spec": {"template": template}})
    images = {one.name: one.image for one in patched.spec.template.spec.containers}
    assert images == {"c": "nginx:2", "side": "side:1"}
    patched = apps.patch_namespaced_deployment(
        "d", namespace, {"spec": {"template": template}}, _content_type=MERGE
    )
    assert [one.name for one in patched.spec.template.spec.containers] == ["c"]
    core.create_namespaced_config_map(namespace, _map("c", a="1"))
    steps = [
        {"op": "test", "path": "/data/a", "value": "1"},
        {"op": "add", "path": "/data/b", "value": "2"},
    ]
    assert core.patch_namespaced_config_map("c", namespace, steps).data == {"a": "1", "b": "2"}
    steps[0]["value"] = "9"
    with pytest.raises(client.ApiException) as caught:
        core.patch_namespaced_config_map("c", namespace, steps, _content_type=JSON_PATCH)
    assert caught.value.status == 422
    patched = core.patch_namespaced_config_map("c", namespace, {"data": {"a": None}})
    assert patched.data == {"b": "2"}


def test_server_side_apply_and_its_conflicts(core, namespace):
    def apply(manager, force=None, **data):
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "c"},
            "data": data,
        }
        return core.patch_namespaced_config_map(
            "c", namespace, body, field_manager=manager, force=force, _content_type=APPLY
        )

    assert apply("one", a="1", b="1").data == {"a": "1", "b": "1"}
    with pytest.raises(client.ApiException) as caught:
        apply("two", a="2")
    assert caught.value.status == 409
    causes = json.loads(caught.value.body)["details"]["causes"]
    assert [(cause["reason"], cause["field"]) for cause in causes] == [
        ("FieldManagerConflict", ".data.a")
    ]
    assert apply("two", force=True, a="2").data == {"a": "2", "b": "1"}
    assert apply("one", b="1").data == {"a": "2", "b": "1"}
    assert apply("one").data == {"a": "2"}


# ---------------------------------------------------------------------- workloads


def test_status_and_scale_have_ways_of_their_own(apps, namespace, until):
    apps.create_namespaced_deployment(namespace, _deployment("d"))
    until(lambda: apps.read_namespaced_deployment_status("d", namespace).status.ready_replicas == 2)
    scale = apps.read_namespaced_deployment_scale("d", namespace)
    assert (scale.spec.replicas, scale.status.replicas) == (2, 2)
    scale.spec.replicas = 3
    assert apps.replace_namespaced_deployment_scale("d", namespace, scale).spec.replicas == 3
    scaled = apps.patch_namespaced_deployment_scale("d", namespace, {"spec": {"replicas": 1}})
    assert scaled.spec.replicas == 1
    both = {"spec": {"replicas": 9}, "status": {"collisionCount": 7}}
    patched = apps.patch_namespaced_deployment_status("d", namespace, both)
    assert (patched.spec.replicas, patched.status.collision_count) == (1, 7)
    until(lambda: apps.read_namespaced_deployment("d", namespace).status.replicas == 1)


def test_a_rollout_is_watched_to_its_end(apps, core, namespace):
    apps.create_namespaced_deployment(namespace, _deployment("d"))
    stream = watch.Watch()
    for event in stream.stream(
        apps.list_namespaced_deployment, namespace, field_selector="metadata.name=d"
    ):
        assert isinstance(event["object"], client.V1Deployment)
        if (event["object"].status.ready_replicas or 0) == 2:
            stream.stop()
    pods = core.list_namespaced_pod(namespace, label_selector="app=d").items
    assert [(pod.status.phase, pod.spec.containers[0].image) for pod in pods] == [
        ("Running", "nginx:1")
    ] * 2
    apps.delete_namespaced_deployment("d", namespace, propagation_policy="Foreground")
    for event in stream.stream(core.list_namespaced_pod, namespace):
        if event["type"] == "DELETED" and not core.list_namespaced_pod(namespace).items:
            stream.stop()


def test_pods_are_evicted_bound_and_deleted(core, namespace, until):
    def pod(name, **spec):
        return {
            "metadata": {"name": name, "labels": {"app": "p"}},
            "spec": {"containers": [{"name": "c", "image": "nginx"}], **spec},
        }

    core.create_namespaced_pod(namespace, pod("p"))
    until(lambda: core.read_namespaced_pod_status("p", namespace).status.phase == "Running")
    with pytest.raises(client.ApiException) as caught:
        core.read_namespaced_pod_log("p", namespace)
    assert caught.value.status == 503
    eviction = client.V1Eviction(metadata=client.V1ObjectMeta(name="p"))
    core.create_namespaced_pod_eviction("p", namespace, eviction)
    until(lambda: not core.list_namespaced_pod(namespace).items)
    core.create_namespaced_pod(namespace, pod("b", schedulerName="nobody"))
    node = core.list_node().items[0].metadata.name
    binding = client.V1Binding(
        metadata=client.V1ObjectMeta(name="b"),
        target=client.V1ObjectReference(api_version="v1", kind="Node", name=node),
    )
    # The client cannot read the Status that Kubernetes answers as a Binding.
    core.create_namespaced_pod_binding("b", namespace, binding, _preload_content=False)
    until(lambda: core.read_namespaced_pod("b", namespace).status.phase == "Running")
    core.delete_namespaced_pod("b", namespace, grace_period_seconds=0)
    assert core.list_namespaced_pod(namespace).items == []


def test_jobs_autoscalers_ingresses_and_roles(api, namespace, until):
    batch = client.BatchV1Api(api)
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
    batch.create_namespaced_job(
        namespace, {"metadata": {"name": "j"}, "spec": {"template": template}}
    )
    until(lambda: batch.read_namespaced_job("j", namespace).status.succeeded == 1)
    target = client.V2CrossVersionObjectReference(
        api_version="apps/v1", kind="Deployment", name="d"
    )
    scaler = client.V2HorizontalPodAutoscaler(
        metadata=client.V1ObjectMeta(name="h"),
        spec=client.V2HorizontalPodAutoscalerSpec(scale_target_ref=target, max_replicas=3),
    )
    client.AutoscalingV2Api(api).create_namespaced_horizontal_pod_autoscaler(namespace, scaler)
    older = client.AutoscalingV1Api(api).read_namespaced_horizontal_pod_autoscaler("h", namespace)
    assert older.spec.target_cpu_utilization_percentage == 80
    rules = [client.V1PolicyRule(verbs=["get"], api_groups=[""], resources=["pods"])]
    role = client.V1Role(metadata=client.V1ObjectMeta(name="r"), rules=rules)
    rbac = client.RbacAuthorizationV1Api(api)
    assert rbac.create_namespaced_role(namespace, role).rules[0].verbs == ["get"]
    backend = {"service": {"name": "s", "port": {"number": 80}}}
    paths = [{"path": "/", "pathType": "Prefix", "backend": backend}]
    ingress = {"metadata": {"name": "i"}, "spec": {"rules": [{"http": {"paths": paths}}]}}
    made = client.NetworkingV1Api(api).create_namespaced_ingress(namespace, ingress)
    assert made.spec.rules[0].http.paths[0].backend.service.port.number == 80


# ---------------------------------------------------------------------- watching


def test_a_watch_replays_and_goes_on_where_it_was(core, namespace):
    start = core.list_namespaced_config_map(namespace).metadata.resource_version
    core.create_namespaced_config_map(namespace, _map("a", x="1"))
    core.patch_namespaced_config_map("a", namespace, {"data": {"x": "2"}})
    core.delete_namespaced_config_map("a", namespace)
    core.create_namespaced_config_map(namespace, _map("b"))
    stream = watch.Watch()
    seen = []
    for event in stream.stream(
        core.list_namespaced_config_map,
        namespace,
        field_selector="metadata.name!=kube-root-ca.crt",
        resource_version=start,
        allow_watch_bookmarks=True,
    ):
        seen.append((event["type"], event["object"].metadata.name))
        if len(seen) == 4:
            stream.stop()
    assert seen == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a"), ("ADDED", "b")]
    core.delete_namespaced_config_map("b", namespace)
    for event in stream.stream(
        core.list_namespaced_config_map, namespace, resource_version=stream.resource_version
    ):
        assert (event["type"], event["object"].metadata.name) == ("DELETED", "b")
        stream.stop()


def test_a_watch_ends_when_it_was_told_to(core, namespace):
    stream = watch.Watch()
    events = stream.stream(
        core.list_namespaced_config_map, namespace, label_selector="x=y", timeout_seconds=1
    )
    assert list(events) == []


def test_an_informer_keeps_up(core, namespace, until):
    core.create_namespaced_config_map(namespace, _map("a", {"x": "y"}))
    shared = informer.SharedInformer(
        core.list_namespaced_config_map, namespace, label_selector="x=y"
    )
    seen = []
    for kind in ("ADDED", "MODIFIED", "DELETED"):
        shared.add_event_handler(
            kind, lambda obj, kind=kind: seen.append((kind, obj.metadata.name))
        )
    shared.start()
    try:
        until(lambda: seen == [("ADDED", "a")])
        core.create_namespaced_config_map(namespace, _map("b", {"x": "y"}))
        core.patch_namespaced_config_map("b", namespace, {"data": {"k": "v"}})
        core.patch_namespaced_config_map("a", namespace, {"metadata": {"labels": {"x": "z"}}})
        until(lambda: len(seen) == 4)
        assert seen[1:] == [("ADDED", "b"), ("MODIFIED", "b"), ("DELETED", "a")]
        assert [obj.metadata.name for obj in shared.cache.list()] == ["b"]
        # Its thread ends with the next event.
        stopping = threading.Thread(target=shared.stop)
        shared._stop_event.set()
        core.delete_namespaced_config_map("b", namespace)
        stopping.start()
        stopping.join(60)
    finally:
        shared.stop()


def test_leaders_are_elected_by_a_lease(api, namespace):
    def candidate(name):
        lock = leaselock.LeaseLock("lock", namespace, name)
        config = electionconfig.Config(
            lock, lease_duration=60, renew_deadline=15, retry_period=5,
            onstarted_leading=lambda: None, onstopped_leading=lambda: None,
        )  # fmt: skip
        return leaderelection.LeaderElection(config)

    client.Configuration.set_default(api.configuration)
    try:
        first, second = candidate("first"), candidate("second")
        assert first.try_acquire_or_renew()
        assert not second.try_acquire_or_renew()
        assert first.try_acquire_or_renew()
    finally:
        client.Configuration.set_default(None)
    lease = client.CoordinationV1Api(api).read_namespaced_lease("lock", namespace)
    assert lease.spec.holder_identity == "first"


# ---------------------------------------------------------------------- custom and dynamic


def _widget(group, name="w", **spec):
    return {
        "apiVersion": f"{group}/v1",
        "kind": "Widget",
        "metadata": {"name": name},
        "spec": {"size": 1, **spec},
    }


def test_custom_objects(api, namespace, widgets):
    custom = client.CustomObjectsApi(api)
    at = (widgets, "v1", namespace, "widgets")
    made = custom.create_namespaced_custom_object(*at, _widget(widgets))
    assert made["spec"] == {"size": 1, "colour": "red"}
    custom.patch_namespaced_custom_object(*at, "w", {"spec": {"size": 2}})
    custom.patch_namespaced_custom_object(
        *at,
        "w",
        [{"op": "replace", "path": "/spec/colour", "value": "blue"}],
        _content_type=JSON_PATCH,
    )
    found = custom.get_namespaced_custom_object(*at, "w")
    assert found["spec"] == {"size": 2, "colour": "blue"}
    found["spec"] = {"size": 3, "colour": "red", "replicas": 1}
    custom.replace_namespaced_custom_object(*at, "w", found)
    custom.patch_namespaced_custom_object_status(*at, "w", {"status": {"replicas": 1}})
    scaled = custom.patch_namespaced_custom_object_scale(*at, "w", {"spec": {"replicas": 5}})
    assert (scaled["kind"], scaled["spec"]["replicas"]) == ("Scale", 5)
    status = custom.get_namespaced_custom_object_status(*at, "w")
    assert (status["spec"]["replicas"], status["status"]) == (5, {"replicas": 1})
    custom.create_namespaced_custom_object(*at, _widget(widgets, "x", colour="blue"))
    listed = custom.list_namespaced_custom_object(*at, field_selector="spec.colour=blue")
    assert [item["metadata"]["name"] for item in listed["items"]] == ["x"]
    paged = custom.list_namespaced_custom_object(*at, limit=1)
    assert paged["metadata"]["remainingItemCount"] == 1
    with pytest.raises(client.ApiException) as caught:
        custom.create_namespaced_custom_object(*at, _widget(widgets, "bad", size=0))
    assert caught.value.status == 422
    with pytest.raises(client.ApiException, match="unknown field"):
        custom.create_namespaced_custom_object(
            *at, _widget(widgets, "bad", sice=1), field_validation="Strict"
        )
    stream = watch.Watch()
    for event in stream.stream(custom.list_namespaced_custom_object, *at):
        assert event["object"]["metadata"]["name"] == "w"
        stream.stop()
    custom.delete_collection_namespaced_custom_object(*at)
    assert custom.list_namespaced_custom_object(*at)["items"] == []


def test_definitions_are_made_with_the_typed_client(api, definition):
    extensions = client.ApiextensionsV1Api(api)
    body = definition("typed.example.com")
    extensions.create_custom_resource_definition(body)
    found = extensions.read_custom_resource_definition_status("widgets.typed.example.com")
    conditions = {one.type: one.status for one in found.status.conditions}
    assert conditions == {"NamesAccepted": "True", "Established": "True"}
    assert found.spec.versions[0].schema.open_apiv3_schema.properties["spec"].required == ["size"]
    extensions.delete_custom_resource_definition("widgets.typed.example.com")


def test_the_dynamic_client_finds_every_kind(api, namespace, widgets, tmp_path):
    found = dynamic.DynamicClient(api, cache_file=str(tmp_path / "cache"))
    for api_version, kind in (
        ("v1", "Pod"),
        ("apps/v1", "Deployment"),
        (f"{widgets}/v1", "Widget"),
    ):
        assert found.resources.get(api_version=api_version, kind=kind).kind == kind
    resource = found.resources.get(api_version=f"{widgets}/v1", kind="Widget")
    resource.create(body=_widget(widgets, parts=[{"name": "a"}]), namespace=namespace)
    patched = resource.patch(
        body={"spec": {"size": 4}}, name="w", namespace=namespace, content_type=MERGE
    )
    assert patched.spec.size == 4
    applied = resource.server_side_apply(
        body=_widget(widgets, size=4, parts=[{"name": "b"}]),
        name="w",
        namespace=namespace,
        field_manager="me",
    )
    assert [part.name for part in applied.spec.parts] == ["a", "b"]
    resource.status.patch(
        body={"status": {"replicas": 2}}, name="w", namespace=namespace, content_type=MERGE
    )
    assert resource.get(name="w", namespace=namespace).status.replicas == 2
    for event in resource.watch(namespace=namespace, timeout=20):
        assert (event["type"], event["object"].metadata.name) == ("ADDED", "w")
        break
    assert resource.get(namespace=namespace, limit=1).items[0].spec.size == 4
    resource.delete(name="w", namespace=namespace)
    with pytest.raises(dynamic.exceptions.NotFoundError):
        resource.get(name="w", namespace=namespace)


# ---------------------------------------------------------------------- the rest


def test_manifests_are_created_from_files(api, apps, namespace, manifests):
    body = api.sanitize_for_serialization(_deployment("d", replicas=0))
    body |= {"apiVersion": "apps/v1", "kind": "Deployment"}
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
    listing = {"apiVersion": "v1", "kind": "List", "items": [body, config_map]}
    path = manifests(listing)
    utils.create_from_yaml(api, str(path), namespace=namespace)
    assert apps.read_namespaced_deployment("d", namespace).spec.replicas == 0
    with pytest.raises(utils.FailToCreateError, match="AlreadyExists"):
        utils.create_from_yaml(api, str(path), namespace=namespace)


def test_groups_versions_and_reviews(api, core):
    assert client.VersionApi(api).get_code().minor == "36"
    groups = {group.name for group in client.ApisApi(api).get_api_versions().groups}
    assert {"apps", "batch", "apiextensions.k8s.io"} <= groups
    resources = {one.name for one in core.get_api_resources().resources}
    assert {"pods", "pods/eviction", "pods/status"} <= resources
    attributes = client.V1ResourceAttributes(verb="get", resource="pods")
    spec = client.V1SelfSubjectAccessReviewSpec(resource_attributes=attributes)
    review = client.V1SelfSubjectAccessReview(spec=spec)
    answer = client.AuthorizationV1Api(api).create_self_subject_access_review(review)
    assert answer.status.allowed


def test_credentials_and_certificates_of_the_kubeconfig_are_used(make_cluster):
    cluster = make_cluster(auth="rbac", tls=True)
    admin = kubernetes.config.new_client_from_config(cluster.kubeconfig)
    core = client.CoreV1Api(admin)
    core.create_namespaced_service_account("default", {"metadata": {"name": "robot"}})
    spec = client.V1TokenRequestSpec(audiences=[], expiration_seconds=600)
    request = client.AuthenticationV1TokenRequest(spec=spec)
    token = core.create_namespaced_service_account_token("robot", "default", request).status.token
    configuration = client.Configuration(host=cluster.url)
    configuration.ssl_ca_cert = admin.configuration.ssl_ca_cert
    configuration.api_key = {"authorization": f"Bearer {token}"}
    robot = client.ApiClient(configuration)
    with pytest.raises(client.ApiException) as caught:
        client.CoreV1Api(robot).list_namespaced_pod("default")
    assert caught.value.status == 403
    assert "system:serviceaccount:default:robot" in caught.value.body
    configuration.api_key = {"authorization": "Bearer wrong"}
    nobody = client.ApiClient(configuration)
    with pytest.raises(client.ApiException) as caught:
        client.CoreV1Api(nobody).list_namespaced_pod("default")
    assert caught.value.status == 401
    for used in (admin, robot, nobody):
        _close(used)
