"""Deliveries that die, in each setting: what they find, how they die, what is there afterwards.

A course is what somebody does to what is there before. `Grave.dies(n)` gives a cluster in which the
course died around its n-th write; whoever comes next finds what a killed process leaves.

| setting     | the cluster is                      | and the course dies because                   |
| ----------- | ----------------------------------- | --------------------------------------------- |
| view        | a view of this process              | its client raises before the write n + 1      |
| following   | a sandbox that follows a parent     | its client raises after the write n           |
| stage       | a stage made after the n-th write   | it goes on elsewhere: the fork is what it left |
| http-lost   | a server on loopback                | the n-th answer is lost, and all that follows |
| http-unsent | a server on loopback                | the write n + 1 is lost, and all that follows |
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from tests.unit.delivery import conftest as c

from understudy import assembly
from understudy.aio import clocks
from understudy.client import connections, errors as client_errors, wrapping
from understudy.delivery import (
    adoption,
    deliveries,
    errors,
    leases,
    marks,
    revisions,
    targets,
    waiting,
)
from understudy.kapi import server as servers, settings as server_settings, views
from understudy.kapi.bootstrap import populating
from understudy.kapi.http import exchanges, responses
from understudy.kube import objects, statuses

OTHERS = ("stage", "http-unsent")
ENDS = (c.DiedError, errors.DeliveryError, statuses.ApiError, client_errors.TransportError)
PATIENCE = waiting.WaitSettings(timeout_s=900, no_activity_s=300, poll_first_s=0.5)
"""Of a clock on which a second takes ten milliseconds."""

# ---------------------------------------------------------------------- what is delivered


def hook(name: str, when: str, image: str, *, deletion: str = "") -> objects.Object:
    said = {f"{marks.GROUP}/hook": when}
    if deletion:
        said[f"{marks.GROUP}/hook-delete-policy"] = deletion
    container = {"name": "run", "image": "exit-0", "env": [{"name": "V", "value": image}]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "annotations": said},
        "spec": {"restartPolicy": "Never", "containers": [container]},
    }


def typed(value: str, space: str, password: str) -> objects.Object:
    """A Secret that must be created anew to be of another type."""
    return c.secret("s", space, password=password) | {"type": f"example.com/{value}"}


ADOPTED = c.config("adopted", "default", a="theirs")
FOREIGN = (
    c.config("not-ours", "default", a="b"),
    c.secret("not-ours", "default", a="b"),
    c.namespace("strangers"),
    c.config("not-ours", "strangers", a="b"),
)


def small(version: str) -> tuple[objects.Object, ...]:
    """An application with something to adopt, to remove, to make anew and to run."""
    return (
        hook("migrate", "pre-deliver", version, deletion="hook-succeeded"),
        c.config("adopted", "default", a="ours"),
        c.config(f"only-in-{version}", "default", a="1"),
        typed(version, "default", password=version),
    )


def large(version: str) -> tuple[objects.Object, ...]:
    """The same with a namespace and a kind of its own, and another hook."""
    return (
        hook("migrate", "pre-deliver", version, deletion="hook-succeeded"),
        c.namespace("shop"),
        c.definition(),
        c.widget("w1", "shop", size=int(version)),
        c.config("adopted", "default", a="ours"),
        c.config(f"only-in-{version}", "shop", a="1"),
        typed(version, "shop", password=version),
        hook("smoke", "post-deliver", version),
    )


STAYING = ("Namespace", "CustomResourceDefinition", "Widget", "ConfigMap", "Secret")
"""Kinds whose objects are the same ones to the end, but for the Secret of another type."""

Act = Callable[[deliveries.Deliveries, deliveries.Options], Awaitable[deliveries.Delivery]]


@dataclass(frozen=True)
class Course:
    """What is delivered before, and what is done then."""

    before: tuple[tuple[objects.Object, ...], ...]
    act: Act


def delivering(given: tuple[objects.Object, ...], owner: targets.Owner = c.OWNER) -> Act:
    return lambda face, options: face.deliver(owner, c.written(*given), options)


def courses(one: tuple[objects.Object, ...], two: tuple[objects.Object, ...]) -> dict[str, Course]:
    """Return what is done with two versions of an application."""
    here = tuple(
        {**obj, "metadata": {**obj["metadata"], "namespace": "default"}}
        for obj in one
        if obj["kind"] != "Namespace"  # It would take its seconds to go.
    )
    return {
        "first delivery": Course((), delivering(one)),
        "upgrade": Course((one,), delivering(two)),
        "rollback": Course((one, two), lambda face, options: face.rollback(c.OWNER, "1", options)),
        "deletion": Course((here,), lambda face, options: face.remove(c.OWNER, options)),
        "into its own namespace": Course((), delivering(OWN, targets.Owner("shop", "shop"))),
    }


OWN = (c.namespace("shop"), c.config("a", "shop"), c.secret("s", "shop", password="one"))
"""The namespace comes before lock and records, because they live in it."""
NAMES = ("first delivery", "upgrade", "rollback", "deletion", "into its own namespace")


def course_of(name: str, setting: str) -> Course:
    """Return a course; a small application's where each death takes long."""
    return (LARGE if setting in ("view", "stage") else SMALL)[name]


LARGE, SMALL = courses(large("1"), large("2")), courses(small("1"), small("2"))


def options(**settings: object) -> deliveries.Options:
    return c.options(
        wait=False,
        recreate=True,
        adoption=adoption.Adoption.IF_NO_INVENTORY,
        lease=leases.LeaseSettings(renew_s=1e6),
        **settings,
    )


# ---------------------------------------------------------------------- what is there

_DERIVED = {
    "pods", "replicasets", "events", "endpoints", "endpointslices", "nodes", "leases",
    "controllerrevisions",
}  # fmt: skip


def everything(view: views.View) -> list[objects.Object]:
    """Return every object of a view, each once."""
    stored = {resource.storage: resource for resource in view.catalogue.resources}
    return [obj for resource in stored.values() for obj in view.each(resource)]


def world(view: views.View) -> dict[str, objects.Json]:
    """Return all that a person would compare, of every kind: what is there, of which content.

    What controllers make is left out, and so is what differs each time: uids, times, salted data.
    """
    found: dict[str, objects.Json] = {}
    for obj in everything(view):
        meta, kind = obj["metadata"], str(obj["kind"])
        content: objects.Json = {
            key: value for key, value in obj.items() if key not in ("metadata", "status")
        }
        if kind == "ResourceTracker":
            content = _tracked(obj)
        elif kind == "ApplicationRevision":
            phase = (obj.get("status") or {}).get("phase")
            content = [obj["spec"]["number"], obj["spec"].get("objects"), phase]
        elif kind == "Application":
            status = obj.get("status") or {}
            content = [obj["spec"], status.get("phase"), status.get("revision")]
        elif obj.get("type") == revisions.VALUES_TYPE:
            content = {}
        elif f"{kind.lower()}s" in _DERIVED or kind == "Endpoints" or meta.get("ownerReferences"):
            continue
        noted = {
            key: value
            for key, value in (meta.get("annotations") or {}).items()
            if not key.startswith("deployment.kubernetes.io/")
        }
        where = f"{kind} {meta.get('namespace', '')}/{meta['name']}"
        found[where] = [content, meta.get("labels"), noted, meta.get("finalizers")]
    for lease in view.each("leases.coordination.k8s.io"):
        if lease["metadata"]["name"].startswith("deliver-"):
            found["lock"] = lease["spec"].get("holderIdentity") in (None, "killed")
    return found


def _tracked(obj: objects.Object) -> objects.Json:
    entries = [
        {key: value for key, value in entry.items() if key != "uid"}
        for entry in obj["spec"]["resources"]
    ]
    return [obj["spec"]["phase"], obj["spec"]["revision"], entries]


def identities(view: views.View) -> dict[str, str]:
    """Return the uids of what is there and stays there."""
    return {
        f"{obj['kind']} {obj['metadata'].get('namespace', '')}/{obj['metadata']['name']}": str(
            obj["metadata"]["uid"]
        )
        for obj in everything(view)
        if obj["kind"] in STAYING and obj["metadata"]["name"] != "s"
    }


# ---------------------------------------------------------------------- how a course dies


class Cable:
    """What is between a server and its clients; cut, it carries nothing.

    Attributes:
        at: The write (from 1) at which it is cut; 0 for none.
        applied: Whether that write still arrives.
        lasting: Whether everything after it is lost too, until it is mended.
        silent: Nobody is told of the cut: whoever waits for an answer waits on.
    """

    def __init__(self, server: servers.Server, at: int = 0, *, applied: bool = True) -> None:
        self._api = server.api
        self.at = at
        self.applied = applied
        self.lasting = True
        self.silent = False
        self.writes = 0
        self.was_cut = False
        self.cut = asyncio.Event()
        self._mended = asyncio.Event()

    def __call__(
        self, request: exchanges.Request
    ) -> exchanges.Answer | Awaitable[exchanges.Answer]:
        if self.was_cut and self.lasting and self.at:
            return self._lost()
        if not is_write(request):
            return self._api(request)
        self.writes += 1
        if self.writes != self.at or self.was_cut:
            return self._api(request)
        self.was_cut = True
        self.cut.set()
        if self.applied:
            answer = self._api(request)
            assert isinstance(answer, responses.Response), "no webhook is asked here"
        return self._lost()

    def _lost(self) -> exchanges.Answer | Awaitable[exchanges.Answer]:
        return self._lost_later() if self.silent else exchanges.HangUp()

    async def _lost_later(self) -> exchanges.Answer:
        await self._mended.wait()
        return exchanges.HangUp()

    def mend(self) -> None:
        """Carry everything again."""
        self.at = 0
        self._mended.set()


def is_write(request: exchanges.Request) -> bool:
    """Whether a request changes something: reviews and dry runs do not."""
    target = request.target
    return (
        request.method != "GET"
        and b"authorization.k8s.io" not in target
        and b"dryRun" not in target
    )


class Snapshots(wrapping.WrappedClient):
    """A client that keeps what a view was after each write."""

    def __init__(self, view: views.View) -> None:
        super().__init__(assembly.ViewClient(view))
        self.view = view
        self.kept = [view.fork("0")]

    async def write(self, write: wrapping.Write, send: wrapping.Send) -> objects.Object:
        answer = await send()
        if not write.dry_run:
            self.kept.append(self.view.fork(str(len(self.kept))))
        return answer


class Hurried(clocks.SystemClock):
    """A clock by which a hundredth of a second is enough for a second's wait."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds / 100)


class Grave:
    """Lets one course die, again and again, in one setting."""

    def __init__(self, course: Course, setting: str, before: views.View) -> None:
        self.course = course
        self.setting = setting
        self.before = before
        self._snapshots: list[views.View] = []

    @contextlib.asynccontextmanager
    async def dies(self, n: int) -> AsyncIterator[c.Cluster | None]:
        """Give a cluster in which the course died around its n-th write; None where it did not."""
        match self.setting:
            case "view":
                manner = self._in(c.Cluster(copied(self.before), None), n, before=True)
            case "following":
                view = self.before.fork("following", follow=True)
                manner = self._in(c.Cluster(view, None), n + 1, before=False)
            case "stage":
                manner = self._at_snapshot(n)
            case _:
                manner = self._over_http(n + 1, applied=self.setting == "http-lost")
        async with manner as found:
            yield found

    @contextlib.asynccontextmanager
    async def _in(
        self, cluster: c.Cluster, after: int, *, before: bool
    ) -> AsyncIterator[c.Cluster | None]:
        cluster.start()
        try:
            client = c.Mortal(cluster.client, after, before=before)
            await ended(self.course.act(cluster.deliveries(client, "killed"), options()))
            yield cluster if client.dead else None
        finally:
            await cluster.stop()
            cluster.view.close()

    @contextlib.asynccontextmanager
    async def _at_snapshot(self, n: int) -> AsyncIterator[c.Cluster | None]:
        if not self._snapshots:
            await self._take_snapshots()
        if n == len(self._snapshots):
            yield None
            return
        view = self._snapshots[n].fork("stage")
        cluster = c.Cluster(view, None)
        cluster.start()
        try:
            yield cluster
        finally:
            await cluster.stop()
            view.close()

    async def _take_snapshots(self) -> None:
        cluster = c.Cluster(self.before.fork("done"), None)
        cluster.start()
        client = Snapshots(cluster.view)
        await self.course.act(cluster.deliveries(client, "killed"), options())
        await cluster.stop()
        self._snapshots = client.kept

    @contextlib.asynccontextmanager
    async def _over_http(self, at: int, *, applied: bool) -> AsyncIterator[c.Cluster | None]:
        async with served(self.before) as (cluster, cable):
            cable.at, cable.applied = at, applied
            face = cluster.deliveries(holder="killed", clock=Hurried())
            await ended(self.course.act(face, options(wait_settings=PATIENCE)))
            was_cut = cable.was_cut
            cable.mend()
            yield cluster if was_cut else None


def copied(view: views.View) -> views.View:
    """Return a base view with the objects of another."""
    made = views.new_view()
    made.load(everything(view))
    return made


@contextlib.asynccontextmanager
async def served(before: views.View) -> AsyncIterator[tuple[c.Cluster, Cable]]:
    """Serve a copy of a view, with controllers, behind a cable."""
    base = copied(before)
    server = servers.Server(server_settings.ServerSettings(port=0), base=base)
    server.handler = cable = Cable(server)
    await server.start()
    client = connections.connect(kubeconfig=str(server.kubeconfig))
    cluster = c.Cluster(base, None, over_http=client, kubeconfig=str(server.kubeconfig))
    cluster.start()
    try:
        yield cluster, cable
    finally:
        await client.close()
        await cluster.stop()
        await server.stop()


async def ended(call: Awaitable[deliveries.Delivery]) -> None:
    """Wait for the end of a course, whatever it is."""
    with contextlib.suppress(*ENDS):
        await call


# ---------------------------------------------------------------------- what there should be


@dataclass
class Expected:
    """What an undisturbed course finds and leaves."""

    before: views.View
    after: dict[str, objects.Json]


async def _undisturbed(course: Course) -> Expected:
    view = views.new_view()
    populating.populate(view)
    cluster = c.Cluster(view, None)
    cluster.start()
    resources = {"ConfigMap": "configmaps", "Secret": "secrets", "Namespace": "namespaces"}
    for obj in FOREIGN:
        view.create(resources[obj["kind"]], obj, objects.namespace_of(obj))
    await cluster.client.create("configmaps", ADOPTED, field_manager="kubectl-client-side-apply")
    for given in course.before:
        await delivering(given)(cluster.deliveries(), options())
    before = copied(view)
    await course.act(cluster.deliveries(), options())
    await cluster.stop()
    after = world(view)
    view.close()
    return Expected(before, after)


_KNOWN: dict[int, Expected] = {}


async def expected(course: Course) -> Expected:
    """Return what an undisturbed course finds and leaves; found out once."""
    if id(course) not in _KNOWN:
        _KNOWN[id(course)] = await _undisturbed(course)
    return _KNOWN[id(course)]
