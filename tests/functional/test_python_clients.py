"""The Python clients people really use work against the server as they are."""

import asyncio
import threading
import uuid

import pytest

pytestmark = [  # clients that do not close their sockets, or know no newer server
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:Kubernetes version"),
]
REASON = "install the extra `clients` to run this"


def _name() -> str:
    return f"a-{uuid.uuid4().hex[:8]}"


def _deployment(name: str, replicas: int = 2) -> dict:
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "c", "image": "nginx"}]},
            },
        },
    }


# ---------------------------------------------------------------------- kubernetes


@pytest.fixture
def official(live_cluster):
    kubernetes = pytest.importorskip("kubernetes", reason=REASON)
    client = kubernetes.config.new_client_from_config(live_cluster.kubeconfig)
    yield client
    client.close()


def test_official_client_rolls_out_and_scales(official):
    from kubernetes import client, watch

    apps, core, name = client.AppsV1Api(official), client.CoreV1Api(official), _name()
    made = apps.create_namespaced_deployment("default", _deployment(name))
    assert made.spec.strategy.type == "RollingUpdate"
    watcher = watch.Watch()
    for event in watcher.stream(
        apps.list_namespaced_deployment,
        "default",
        field_selector=f"metadata.name={name}",
        timeout_seconds=20,
    ):
        if (event["object"].status.ready_replicas or 0) == 2:
            watcher.stop()
    pods = core.list_namespaced_pod("default", label_selector=f"app={name}").items
    assert [pod.status.phase for pod in pods] == ["Running", "Running"]
    scaled = apps.patch_namespaced_deployment_scale(name, "default", {"spec": {"replicas": 0}})
    assert not scaled.spec.replicas
    apps.delete_namespaced_deployment(name, "default", propagation_policy="Foreground")


def test_official_client_reads_errors(official):
    from kubernetes import client

    core, name = client.CoreV1Api(official), _name()
    body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name), data={"k": "v"})
    core.create_namespaced_config_map("default", body)
    with pytest.raises(client.ApiException, match="AlreadyExists") as caught:
        core.create_namespaced_config_map("default", body)
    assert caught.value.status == 409
    replaced = core.read_namespaced_config_map(name, "default")
    replaced.metadata.resource_version = "1"
    with pytest.raises(client.ApiException) as caught:
        core.replace_namespaced_config_map(name, "default", replaced)
    assert caught.value.status == 409
    core.delete_namespaced_config_map(name, "default")
    with pytest.raises(client.ApiException) as caught:
        core.read_namespaced_config_map(name, "default")
    assert caught.value.status == 404


def test_official_dynamic_client_discovers_and_applies(official):
    from kubernetes import dynamic

    discovered = dynamic.DynamicClient(official)
    resource, name = discovered.resources.get(api_version="v1", kind="ConfigMap"), _name()
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default"},
        "data": {"a": "1"},
    }
    applied = resource.server_side_apply(
        body=body, name=name, namespace="default", field_manager="me"
    )
    assert applied.metadata.managedFields[0].manager == "me"
    patched = resource.patch(
        body={"data": {"b": "2"}},
        name=name,
        namespace="default",
        content_type="application/merge-patch+json",
    )
    assert patched.data.to_dict() == {"a": "1", "b": "2"}
    resource.delete(name=name, namespace="default")


def test_official_utils_create_from_dict(official):
    from kubernetes import client, utils

    name = _name()
    utils.create_from_dict(official, _deployment(name, replicas=0))
    found = client.AppsV1Api(official).read_namespaced_deployment(name, "default")
    assert found.metadata.uid
    assert client.VersionApi(official).get_code().major == "1"


# ---------------------------------------------------------------------- kubernetes_asyncio


async def test_kubernetes_asyncio_lists_and_watches(live_cluster):
    kubernetes_asyncio = pytest.importorskip("kubernetes_asyncio", reason=REASON)
    from kubernetes_asyncio import client, watch

    name = _name()
    configuration = client.Configuration()
    await kubernetes_asyncio.config.load_kube_config(
        live_cluster.kubeconfig, client_configuration=configuration
    )
    async with client.ApiClient(configuration) as api:
        core = client.CoreV1Api(api)
        seen = []

        async def follow():
            async with watch.Watch() as stream:
                async for event in stream.stream(
                    core.list_namespaced_config_map,
                    "default",
                    field_selector=f"metadata.name={name}",
                    timeout_seconds=10,
                ):
                    seen.append(event["type"])
                    if event["type"] == "DELETED":
                        return

        async with asyncio.TaskGroup() as group:
            group.create_task(follow())
            await asyncio.sleep(0.1)
            body = {"metadata": {"name": name}, "data": {"a": "1"}}
            await core.create_namespaced_config_map("default", body)
            await core.patch_namespaced_config_map(name, "default", {"data": {"a": "2"}})
            await core.delete_namespaced_config_map(name, "default")
    assert seen == ["ADDED", "MODIFIED", "DELETED"]


# ---------------------------------------------------------------------- lightkube


def test_lightkube_applies_waits_and_watches(live_cluster):
    lightkube = pytest.importorskip("lightkube", reason=REASON)
    from lightkube.resources.apps_v1 import Deployment
    from lightkube.resources.core_v1 import ConfigMap, Pod

    config = lightkube.KubeConfig.from_file(live_cluster.kubeconfig)
    client, name = lightkube.Client(config=config, field_manager="lk"), _name()
    client.apply(Deployment.from_dict(_deployment(name)))
    ready = client.wait(Deployment, name, for_conditions=["Available"])
    assert ready.status.readyReplicas == 2
    assert len(list(client.list(Pod, labels={"app": name}, chunk_size=1))) == 2
    scale = client.get(Deployment.Scale, name)
    scale.spec.replicas = 1
    assert client.replace(scale).spec.replicas == 1
    config_map = ConfigMap.from_dict({"metadata": {"name": name}, "data": {"a": "1"}})
    client.create(config_map)
    patched = client.patch(ConfigMap, name, {"data": {"a": None, "b": "2"}})
    assert patched.data == {"b": "2"}
    client.delete(ConfigMap, name)
    with pytest.raises(lightkube.ApiError, match="not found"):
        client.get(ConfigMap, name)


# ---------------------------------------------------------------------- kr8s


async def test_kr8s_manages_a_deployment(live_cluster):
    kr8s = pytest.importorskip("kr8s", reason=REASON)
    from kr8s.asyncio.objects import ConfigMap, Deployment

    api = await kr8s.asyncio.api(kubeconfig=live_cluster.kubeconfig)
    name = _name()
    deployment = await Deployment(_deployment(name), api=api)
    await deployment.create()
    await deployment.wait("condition=Available", timeout=20)
    await deployment.scale(3)
    assert deployment.replicas == 3
    body = {"metadata": {"name": name, "namespace": "default"}, "data": {"a": "1"}}
    config_map = await ConfigMap(body, api=api)
    await config_map.create()
    await config_map.patch({"data": {"b": "2"}})
    await config_map.label({"x": "y"})
    found = [item async for item in api.get("configmaps", name, namespace="default")]
    assert found[0].data.to_dict() == {"a": "1", "b": "2"}
    assert found[0].labels == {"x": "y"}
    await config_map.delete()
    assert not await config_map.exists()
    await deployment.delete()


# ---------------------------------------------------------------------- kopf

CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "parrots.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "parrots", "singular": "parrot", "kind": "Parrot"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "x-kubernetes-preserve-unknown-fields": True,
                    }
                },
            }
        ],
    },
}


def test_kopf_operator_handles_custom_resources(live_cluster, monkeypatch, tmp_path):
    kopf = pytest.importorskip("kopf", reason=REASON)
    monkeypatch.setenv("KUBECONFIG", live_cluster.kubeconfig)
    view = live_cluster.server.base
    live_cluster.on_loop(view.create, "customresourcedefinitions.apiextensions.k8s.io", CRD)
    registry = kopf.OperatorRegistry()
    done = threading.Event()

    @kopf.on.login(registry=registry)
    def login(**arguments):
        return kopf.login_with_kubeconfig(**arguments)

    @kopf.on.create("example.com", "v1", "parrots", registry=registry)
    def created(spec, patch, **_):
        patch.status["said"] = spec["words"].upper()
        return {"handled": True}

    @kopf.on.delete("example.com", "v1", "parrots", registry=registry)
    def deleted(**_):
        done.set()

    stop, ready = threading.Event(), threading.Event()
    thread = threading.Thread(
        target=lambda: asyncio.run(
            kopf.operator(
                registry=registry,
                namespaces=["default"],
                standalone=True,
                stop_flag=stop,
                ready_flag=ready,
            )
        )
    )
    thread.start()
    try:
        assert ready.wait(10)
        body = {
            "apiVersion": "example.com/v1",
            "kind": "Parrot",
            "metadata": {"name": "p"},
            "spec": {"words": "hello"},
        }
        live_cluster.on_loop(view.create, "parrots.example.com", body, "default")
        said = _until(
            live_cluster,
            lambda: (view.get("parrots.example.com", "p", "default").get("status") or {}).get(
                "said"
            ),
        )
        assert said == "HELLO"
        live_cluster.on_loop(view.delete, "parrots.example.com", "p", "default")
        assert done.wait(10)
        _until(live_cluster, lambda: view.find("parrots.example.com", "default", "p") is None)
    finally:
        stop.set()
        thread.join(20)


def _until(cluster, condition):
    pause = threading.Event()
    for _ in range(200):
        if found := cluster.on_loop(condition):
            return found
        pause.wait(0.05)
    raise AssertionError("it did not happen")
