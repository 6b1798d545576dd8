"""What controllers write passes the webhooks of a live view, and of no rehearsal."""

import asyncio
import base64

import orjson
import pytest

from understudy.controllers import running
from understudy.controllers.runtime import settings
from understudy.kapi import views
from understudy.kapi.resources import calls

GROUP = "admissionregistration.k8s.io"
RUNTIME = settings.Runtime(kind="none")
DEPLOYMENT = {
    "metadata": {"name": "web"},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "c", "image": "i"}]},
        },
    },
}


class World:
    def __init__(self):
        self.view = views.new_view()
        self.view.caller = self.call
        self.asked = []
        self.answer = lambda request: {}

    async def call(self, wanted):
        return [self.respond(call) for call in wanted]

    def respond(self, call):
        request = call.review["request"]
        self.asked.append(request)
        response = {"uid": request["uid"], "allowed": True} | self.answer(request)
        return calls.Answer(value={**call.review, "request": None, "response": response})

    def webhook(self, kind, *resources, operations=("CREATE",)):
        rule = {
            "apiGroups": ["*"], "apiVersions": ["*"], "operations": list(operations),
            "resources": list(resources),
        }  # fmt: skip
        hook = {
            "name": "w.example.com",
            "clientConfig": {"url": "https://hooks.example.com/"},
            "rules": [rule],
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        }
        obj = {"metadata": {"name": "w"}, "webhooks": [hook]}
        self.view.create(f"{kind}webhookconfigurations.{GROUP}", obj)

    def pods(self):
        return list(self.view.each("pods", "default"))

    async def deploy(self, until):
        """Run controllers on a new Deployment until something is so."""
        at_work = running.start(self.view, "all", RUNTIME)
        try:
            self.view.create("deployments.apps", DEPLOYMENT, "default")
            async with asyncio.timeout(10):
                while not until():
                    await self.view.clock.sleep(0.005)
        finally:
            await at_work.stop()

    def has_pods(self):
        return len(self.pods()) == 2

    def is_counted(self):
        found = self.view.find("deployments.apps", "default", "web")
        return (found.get("status") or {}).get("updatedReplicas") == 2

    def events(self, reason):
        return [event for event in self.view.each("events") if event["reason"] == reason]


@pytest.fixture
def world():
    return World()


async def test_a_webhook_changes_the_pods_that_a_controller_makes(world):
    world.webhook("mutating", "pods")
    patch = [{"op": "add", "path": "/metadata/labels/mesh", "value": "on"}]
    world.answer = lambda request: {
        "patchType": "JSONPatch", "patch": base64.b64encode(orjson.dumps(patch)).decode(),
    }  # fmt: skip
    await world.deploy(world.has_pods)
    assert [pod["metadata"]["labels"]["mesh"] for pod in world.pods()] == ["on", "on"]
    assert len(world.asked) == 2
    user = "system:serviceaccount:kube-system:replicaset-controller"
    assert {request["userInfo"]["username"] for request in world.asked} == {user}


async def test_a_refusal_reaches_the_controller(world):
    world.webhook("validating", "pods")
    world.answer = lambda request: {"allowed": False, "status": {"message": "no pods today"}}
    await world.deploy(lambda: world.events("FailedCreate"))
    assert world.pods() == []
    assert world.events("FailedCreate")[0]["message"].endswith(
        'admission webhook "w.example.com" denied the request: no pods today'
    )


async def test_events_wait_for_nobody(world):
    world.webhook("validating", "events", operations=("CREATE", "UPDATE"))
    await world.deploy(lambda: world.has_pods() and world.events("SuccessfulCreate"))
    assert {request["kind"]["kind"] for request in world.asked} == {"Event"}


async def test_every_kind_of_write_may_wait(world):
    world.webhook(
        "validating", "replicasets", "deployments", "pods", "replicasets/status",
        "deployments/status", operations=("*",),
    )  # fmt: skip
    await world.deploy(world.is_counted)
    assert world.has_pods()
    assert {request["operation"] for request in world.asked} == {"CREATE", "UPDATE"}


def test_a_rehearsal_calls_nobody(world):
    world.webhook("validating", "pods")
    fork = world.view.fork("trial")
    fork.create("deployments.apps", DEPLOYMENT, "default")
    running.settle(fork, "all", RUNTIME)
    assert len(list(fork.each("pods", "default"))) == 2
    assert world.asked == []
