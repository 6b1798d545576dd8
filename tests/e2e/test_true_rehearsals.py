"""What a plan shows is what a delivery does: on our own server, and on any cluster that is given.

    UNDERSTUDY_TEST_KUBECONFIG=~/.kube/config pytest tests/e2e

tries the same on that cluster, which must run pods (kwok's will do). Every test works in a
namespace of its own and takes away what it made; the definitions of the records stay.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest
from tests.e2e import applications
from tests.functional import conftest as servers

from understudy import assembly
from understudy.client import connections, protocol
from understudy.delivery import deliveries, manifests, plans, stage as stages, targets, waiting
from understudy.kube import objects, statuses

GIVEN = "UNDERSTUDY_TEST_KUBECONFIG"
WAIT = waiting.WaitSettings(timeout_s=90, no_activity_s=60, poll_first_s=0.05, poll_max_s=0.5)
OPTIONS = deliveries.Options(wait=WAIT)
ALLOTTED = ("clusterIP", "clusterIPs", "volumeName")
"""What every cluster allots for itself."""


@pytest.fixture(scope="module", params=["embedded", "given"])
def kubeconfig(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "embedded":
        with servers.running(controllers="all", runtime="simulated") as found:
            yield found.kubeconfig
        return
    path = os.environ.get(GIVEN)
    if not path:
        pytest.skip(f"{GIVEN} does not name the kubeconfig of a cluster to try this on")
    yield path


@pytest.fixture
async def client(kubeconfig: str) -> AsyncIterator[protocol.Client]:
    async with connections.connect(kubeconfig=kubeconfig) as made:
        yield made


@pytest.fixture
async def owner(client: protocol.Client) -> AsyncIterator[targets.Owner]:
    """An application in a new namespace, which goes with the test."""
    name = f"true-{uuid.uuid4().hex[:6]}"
    await client.create("namespaces", {"metadata": {"name": name}})
    yield targets.Owner("app", name)
    await client.delete("namespaces", name)


class Keeping(assembly.LoadingStages):
    """Keeps what the last rehearsal led to."""

    def __init__(self) -> None:
        super().__init__()
        self.rehearsed: dict[str, objects.Json] = {}
        self.wanted: list[objects.Object] = []

    async def __call__(self, read: stages.ReadLive) -> assembly.ForkStage:
        stage = await super().__call__(read)
        closing = stage.close

        async def close() -> None:
            self.rehearsed = await content(stage.client, self.wanted)
            await closing()

        stage.close = close  # type: ignore[method-assign]
        return stage


async def content(client: protocol.Client, wanted: list[objects.Object]) -> dict[str, objects.Json]:
    """Return what some objects are, without what differs from cluster to cluster.

    The status is the controllers' and tells when; who owns which field is compared for what was
    applied, as controllers of real clusters write with names of their own.
    """
    found: dict[str, objects.Json] = {}
    for obj in wanted:
        meta = obj["metadata"]
        name = f"{obj['kind']} {meta['name']}"
        live = await find(client, obj)
        if live is None:
            found[name] = None
            continue
        body = {k: v for k, v in live.items() if k not in ("metadata", "status", "spec", "secrets")}
        spec = {k: v for k, v in (live.get("spec") or {}).items() if k not in ALLOTTED}
        applied = {
            entry["manager"]: entry["fieldsV1"]
            for entry in live["metadata"]["managedFields"]
            if entry["operation"] == "Apply"
        }
        marks = {k: live["metadata"].get(k) for k in ("labels", "annotations", "finalizers")}
        found[name] = [body, spec, marks, applied, live["metadata"].get("generation")]
    return found


async def find(client: protocol.Client, obj: objects.Object) -> objects.Object | None:
    known = await client.discover()
    resource = known.by_kind(obj["apiVersion"], obj["kind"])
    if resource is None:
        return None
    meta = obj["metadata"]
    try:
        return await client.get(resource.name, meta["name"], namespace=meta.get("namespace", ""))
    except statuses.NotFoundError:
        return None


def written(given: list[objects.Object]) -> list[manifests.Manifest]:
    return [
        manifests.Manifest(obj, manifests.Source("app.yaml", number + 1))
        for number, obj in enumerate(given)
    ]


def done(plan: plans.Plan) -> dict[str, str]:
    return {str(change.ref): change.op for change in plan.operations}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", applications.ALL)
async def test_a_delivery_leads_where_the_rehearsal_led(
    client: protocol.Client, owner: targets.Owner, name: str
) -> None:
    make = applications.ALL[name]
    first, second = make(owner.namespace, 1), make(owner.namespace, 2)
    made = Keeping()
    face = deliveries.Deliveries(client, made)
    for given in (first, second, first):
        made.wanted = [*first, *second]
        plan = await face.plan(owner, written(given), OPTIONS)
        assert not plan.blocked
        expected = made.rehearsed
        delivered = await face.deliver(owner, written(given), OPTIONS)
        assert done(delivered.plan) == done(plan)
        assert await content(client, made.wanted) == expected
        again = await face.plan(owner, written(given), OPTIONS)
        assert not again.has_changes, again
    await face.remove(owner, OPTIONS)
    left = await content(client, made.wanted)
    assert left == dict.fromkeys(left)
