"""An application is an ApplySet: kubectl can list it, and refuses to change it."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pytest
from tests.unit.delivery import conftest as world

from understudy.client import connections, protocol
from understudy.delivery import errors, marks, trackers
from understudy.kapi import server, settings
from understudy.kube import objects

OWNER = world.OWNER
PARENT = "resourcetrackers.core.understudy.dev/shop.default"
KIND = "applyset.kubernetes.io/contains-group-kinds"
SPACES = "applyset.kubernetes.io/additional-namespaces"


@pytest.fixture
async def shop(tmp_path: Path):
    """A server with an application, reached over HTTP."""
    running = server.Server(settings.ServerSettings(port=0, kubeconfig=tmp_path / "kubeconfig"))
    await running.start()
    client = connections.connect(kubeconfig=str(running.kubeconfig))
    cluster = world.Cluster(running.base, None, over_http=client)
    await cluster.deliver(world.config("a"), world.namespace("team"), world.secret("s", "team"))
    yield cluster
    await client.close()
    await running.stop()


async def kubectl(home: Path, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        "kubectl",
        *arguments,
        env={
            **os.environ,
            "KUBECONFIG": str(home / "kubeconfig"),
            "HOME": str(home),
            "KUBECTL_APPLYSET": "true",
        },
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(stdin.encode())
    return process.returncode or 0, out.decode(), err.decode()


needs_kubectl = pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="kubectl is not installed"
)
MANIFEST = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}"
APPLY = ("apply", "-n", "default", f"--applyset={PARENT}", "--prune", "-f", "-")


@needs_kubectl
@pytest.mark.kubectl
async def test_kubectl_refuses_to_change_an_application(
    shop: world.Cluster, tmp_path: Path
) -> None:
    before = shop.view.revision
    code, _out, err = await kubectl(tmp_path, *APPLY, stdin=MANIFEST)
    assert code == 1
    assert 'is managed by tooling "understudy" instead of "kubectl"' in err
    assert shop.view.revision == before


@needs_kubectl
@pytest.mark.kubectl
async def test_only_the_tools_name_keeps_kubectl_away(shop: world.Cluster, tmp_path: Path) -> None:
    """With its own name there kubectl takes the set as its own: id, kinds and spaces are right."""
    theirs = {"metadata": {"annotations": {marks.APPLYSET_TOOLING: "kubectl/v1.32.4"}}}
    await shop.client.patch(trackers.RESOURCE, "shop.default", theirs)
    code, out, err = await kubectl(tmp_path, *APPLY, stdin=MANIFEST)
    assert code == 0, err
    assert "configmap/a pruned" in out
    assert "secret/s pruned" in out
    with pytest.raises(errors.FencedError, match="says that kubectl manages it"):
        await shop.deliver(world.config("a"))


@needs_kubectl
@pytest.mark.kubectl
async def test_kubectl_lists_an_application(shop: world.Cluster, tmp_path: Path) -> None:
    selector = f"applyset.kubernetes.io/part-of={OWNER.part_of}"
    code, out, err = await kubectl(
        tmp_path, "get", "configmaps,secrets,namespaces", "-A", "-l", selector, "-o", "name"
    )
    assert code == 0, err
    assert out.split() == ["configmap/a", "secret/s", "namespace/team"]
    code, out, err = await kubectl(tmp_path, "get", PARENT, "-o", "name")
    assert (code, out.strip()) == (0, "resourcetracker.core.understudy.dev/shop.default"), err


async def test_the_parent_names_the_greater_set_before_anything_is_applied(
    shop: world.Cluster,
) -> None:
    seen: list[tuple[str, str, str]] = []

    class Watching(world.wrapping.WrappedClient):
        async def write(
            self, write: world.wrapping.Write, send: world.wrapping.Send
        ) -> objects.Object:
            tracker = await shop.client.get(trackers.RESOURCE, "shop.default")
            said = objects.annotations_of(tracker)
            if write.verb in ("apply", "delete") and "understudy" not in write.resource:
                seen.append((f"{write.verb} {write.name}", said[KIND], said[SPACES]))
            return await send()

    watching: protocol.Client = Watching(shop.client)
    kept = (world.config("a"), world.namespace("team"))
    await shop.deliver(world.service("web"), *kept, client=watching)
    steps = ("apply a", "apply web", "delete s")
    greater = ("ConfigMap,Namespace,Secret,Service", "default,team")
    assert seen == [(step, *greater) for step in steps]
    tracker = await shop.client.get(trackers.RESOURCE, "shop.default")
    said = objects.annotations_of(tracker)
    assert (said[KIND], said[SPACES]) == ("ConfigMap,Namespace,Service", "default")
    definition = await shop.client.get(
        "customresourcedefinitions.apiextensions.k8s.io", "resourcetrackers.core.understudy.dev"
    )
    assert objects.labels_of(definition) == {"applyset.kubernetes.io/is-parent-type": "true"}


@pytest.mark.parametrize(
    ("patch", "told"),
    [
        ({"annotations": {marks.APPLYSET_TOOLING: "flux/v2"}}, "says that flux manages it"),
        ({"labels": {marks.APPLYSET_ID: "applyset-x-v1"}}, "is applyset-x-v1 instead of"),
    ],
    ids=["tool", "id"],
)
async def test_anothers_parent_is_refused(shop: world.Cluster, patch: dict, told: str) -> None:
    await shop.client.patch(trackers.RESOURCE, "shop.default", {"metadata": patch})
    with pytest.raises(errors.FencedError, match=told):
        await shop.plan(world.config("b"))
