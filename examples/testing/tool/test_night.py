"""The tool against Deployments that have pods: the test's own fork is live."""

import lightkube
import night
import pytest


@pytest.fixture
async def cluster(kubeconfig):
    client = lightkube.AsyncClient(lightkube.KubeConfig.from_file(kubeconfig))
    yield client
    await client.close()


def make_deployment(view, name, replicas=3, **labels):
    chosen = {"app": name}
    view.create(
        "deployments.apps",
        {
            "metadata": {"name": name, "labels": labels},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": chosen},
                "template": {
                    "metadata": {"labels": chosen},
                    "spec": {"containers": [{"name": "web", "image": "web:1"}]},
                },
            },
        },
        "default",
    )
    view.wait_for(lambda view: ready(view, name) == replicas)


def ready(view, name):
    deployment = view.get("deployments.apps", name, "default")
    return deployment.get("status", {}).get("readyReplicas", 0)


def pods(view, name):
    return view.list("pods", "default", label_selector=f"app={name}").entries


async def test_a_night(cluster, understudy_view):
    make_deployment(understudy_view, "web", 3, night="off")
    make_deployment(understudy_view, "shop", 2)
    assert await night.sleep(cluster, "default") == ["web"]
    understudy_view.wait_for(lambda view: not pods(view, "web"))
    assert len(pods(understudy_view, "shop")) == 2
    assert await night.sleep(cluster, "default") == []
    assert await night.wake(cluster, "default") == ["web"]
    understudy_view.wait_for(lambda view: ready(view, "web") == 3)


async def test_a_storm_of_conflicts_is_weathered(cluster, understudy_server, understudy_view):
    make_deployment(understudy_view, "web", night="off")
    storm = understudy_server.faults.on("update", "deployments.apps", user_agent="*httpx*", times=4)
    storm.conflict()
    assert await night.sleep(cluster, "default") == ["web"]
    assert understudy_server.requests.count("update", "deployments.apps") == 5


async def test_a_storm_that_does_not_end_is_told(cluster, understudy_server, understudy_view):
    make_deployment(understudy_view, "web", night="off")
    understudy_server.faults.on("update", "deployments.apps").conflict()
    with pytest.raises(lightkube.ApiError, match="injected fault"):
        await night.sleep(cluster, "default")
    assert understudy_server.requests.count("update", "deployments.apps") == night.ATTEMPTS_MAX
    assert ready(understudy_view, "web") == 3
