"""A server for tests: in a thread of its own, so that any client, sync or async, can use it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Literal, ParamSpec, Self, TypeVar, cast

import orjson
import yaml

from understudy.aio import clocks, ids as idents
from understudy.client import protocol as clients, views as view_clients
from understudy.kapi import server as servers, settings, views
from understudy.kapi.http import exchanges, kubeconfigs, responses
from understudy.kapi.views import view as view_room
from understudy.kube import objects, statuses
from understudy.testing import faults, recording

if TYPE_CHECKING:
    from understudy.controllers import running

P = ParamSpec("P")
T = TypeVar("T")
START_S_MAX = 30.0


class TestServer:
    """An embedded API server on a free loopback port.

        with TestServer() as server:
            trial = server.sandbox()
            subprocess.run(["kubectl", "--kubeconfig", trial.kubeconfig, "get", "pods"])

    With a `ManualClock`, `SeededIds` and a `first_revision` two runs give the same transcript.
    With few `events_max` per resource, clients meet 410 Expired soon.

    Attributes:
        faults: What goes wrong, on request.
        requests: What was asked, in order.
    """

    __test__ = False

    def __init__(
        self,
        *,
        clock: clocks.Clock | None = None,
        ids: idents.IdSource | None = None,
        first_revision: int = 1,
        events_max: int = 10_000,
        auth: Literal["none", "token", "rbac"] = "none",
        controllers: str = "none",
        runtime: str = "none",
    ) -> None:
        self.faults = faults.Faults()
        self.requests = recording.Requests()
        self._controllers, self._runtime = controllers, runtime
        base = views.new_view(
            clock=clock, ids=ids, first_revision=first_revision, events_max=events_max
        )
        self._server = servers.Server(
            settings.ServerSettings(port=0, auth=auth), clock=clock, base=base
        )
        self._server.handler = self._handle
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="understudy-test-server")
        self._ready = threading.Event()
        self._stopped: asyncio.Event | None = None
        self._failure: BaseException | None = None
        self._serial = 0
        self._live: dict[str, running.Running] = {}

    # ------------------------------------------------------------------ life

    def start(self) -> Self:
        """Start to serve; returns once requests are answered."""
        self._thread.start()
        if not self._ready.wait(START_S_MAX):
            raise RuntimeError("the test server did not start")
        if self._failure is not None:
            raise self._failure
        return self

    def stop(self) -> None:
        """Stop, and wait until the thread has ended; harmless when repeated."""
        if self._thread.is_alive() and self._stopped is not None:
            self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:  # noqa: BLE001 (the top of the thread: handed to start())
            self._failure = error
            self._ready.set()
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        self._stopped = asyncio.Event()
        await self._server.start()
        await self._enliven(self._server.base)
        self._ready.set()
        await self._stopped.wait()
        for name in tuple(self._live):
            await self._rest(name)
        await self._server.stop()

    async def _enliven(self, view: view_room.View) -> None:
        if self._controllers == "none" and self._runtime == "none":
            return
        from understudy import assembly  # noqa: PLC0415 (imports every room)

        self._live[view.name] = await assembly.start_controllers(
            self._server, controllers=self._controllers, runtime=self._runtime, view=view
        )

    async def _rest(self, name: str) -> None:
        live = self._live.pop(name, None)
        if live is not None:
            await live.stop()

    def _handle(self, request: exchanges.Request) -> exchanges.Answer | Awaitable[exchanges.Answer]:
        api = self._server.api
        user = api.user_name(request)
        asked = recording.described(request, self._server.base.name, user, 0)
        action = self.faults.action_for(asked)
        answer = api(request) if action is None else action(request, api)
        if isinstance(answer, (responses.Response, exchanges.Stream)):
            return self._recorded(asked, answer)
        return self._answer_later(asked, answer)

    async def _answer_later(
        self, asked: recording.Recorded, answer: Awaitable[exchanges.Answer]
    ) -> exchanges.Answer:
        return self._recorded(asked, await answer)

    def _recorded(self, asked: recording.Recorded, answer: exchanges.Answer) -> exchanges.Answer:
        status = 0 if isinstance(answer, exchanges.HangUp) else answer.status
        self.requests.append(dataclasses.replace(asked, status=status))
        return answer

    # ------------------------------------------------------------------ use

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function on the server's thread, between its requests; return what it returns."""

        async def body() -> T:
            return function(*args, **kwargs)

        if threading.current_thread() is self._thread:
            return function(*args, **kwargs)
        return self.wait(body())

    def wait(self, coroutine: Coroutine[object, object, T]) -> T:
        """Run a coroutine on the server's thread and return its result; not from that thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop of the server's thread."""
        return self._loop

    @property
    def url(self) -> str:
        """Where the base view is served."""
        return self._server.url

    @property
    def base(self) -> TestView:
        """The base view: what every later sandbox begins with."""
        return TestView(self, self._server.base)

    def sandbox(self, name: str = "", *, of: str = "", follow: bool = False) -> TestView:
        """Fork a view (the base unless said) under a name of its own: its own URL, kubeconfig.

        On a server with controllers a pinned fork gets controllers too; one that follows sees
        what its parent's do.
        """
        if not name:
            self._serial += 1
            name = f"test-{self._serial}"

        async def make() -> view_room.View:
            view = self._server.views.create(name, of=of, follow=follow)
            if not follow:
                await self._enliven(view)
            return view

        return TestView(self, self.wait(make()))

    def forget(self, name: str) -> None:
        """Delete a sandbox."""

        async def end() -> None:
            await self._rest(name)
            self._server.views.delete(name)

        self.wait(end())

    def token_of(self, view: str, account: str, namespace: str) -> str:
        """Return a fresh token of a ServiceAccount; ApiError where there is no such account."""
        headers = {b"content-type": b"application/json"}
        if self._server.token:
            headers[b"authorization"] = b"Bearer " + self._server.token.encode()
        place = f"/{view}/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        request = exchanges.Request("POST", place.encode(), headers, b"{}", "")
        answer = self.call(self._server.api, request)
        assert isinstance(answer, responses.Response), "tokens are answered at once"
        found = orjson.loads(answer.body)
        if answer.status >= 400:
            raise statuses.from_status(found)
        return str(found["status"]["token"])

    def url_of(self, name: str) -> str:
        """Return a view's URL."""
        return self._server.url_of(name)

    def kubeconfig_of(self, name: str) -> Path:
        """Return a view's kubeconfig."""
        return self._server.kubeconfig_of(name)


class TestView:
    """A view of a test's server, usable from the test's own thread.

    Every verb of `kapi.views.View` is a method here: `view.create("configmaps", {...}, "default")`.
    """

    __test__ = False

    def __init__(self, server: TestServer, view: view_room.View) -> None:
        self._server = server
        self._view = view

    def __getattr__(self, name: str) -> objects.Json:
        verb = getattr(self._view, name)
        if not callable(verb):
            return verb
        return lambda *args, **kwargs: self._server.call(verb, *args, **kwargs)

    @property
    def name(self) -> str:
        """The view's name."""
        return self._view.name

    @property
    def url(self) -> str:
        """The view's URL: any client's server."""
        return self._server.url_of(self.name)

    @property
    def kubeconfig(self) -> str:
        """Path of the view's kubeconfig."""
        return str(self._server.kubeconfig_of(self.name))

    def kubeconfig_for(self, account: str, namespace: str = "default") -> str:
        """Return the path of a kubeconfig for a ServiceAccount of this view, with its token.

        Raises:
            NotFoundError: There is no such account.
        """
        path = Path(self.kubeconfig).with_suffix(f".{namespace}.{account}.kubeconfig")
        token = self._server.token_of(self.name, account, namespace)
        kubeconfigs.write(path, kubeconfigs.kubeconfig(self.url, self.name, token=token))
        return str(path)

    @property
    def client(self) -> clients.Client:
        """An async client in process, usable from any loop; it needs no closing."""
        return cast("clients.Client", _Bridge(self._server, view_clients.ViewClient(self._view)))

    def create_from(self, *paths: str | os.PathLike[str]) -> list[objects.Object]:
        """Create every object of YAML or JSON files, in their order; returns them as they are now.

        Objects of namespaced kinds that name no namespace go to `default`.

        Raises:
            ApiError: An object is refused; those before it are there.
        """
        found = [
            obj
            for path in paths
            for obj in yaml.safe_load_all(Path(path).read_text(encoding="utf-8"))
            if obj
        ]
        return self._server.call(lambda: [_create(self._view, obj) for obj in found])

    def wait_for(self, condition: Callable[[view_room.View], T], timeout_s: float = 10.0) -> T:
        """Return what a function of the view returns, once that is true.

        The function is asked at once and again after each change, on the server's thread; that an
        object is not found means: not yet. Example, until a Deployment's pods are ready:

            view.wait_for(lambda view: view.get("deployments.apps", "web", "default")
                          .get("status", {}).get("readyReplicas") == 3)

        Raises:
            AssertionError: It was not within `timeout_s` seconds.
        """
        return self._server.wait(_until(self._view, condition, timeout_s))

    def delete_sandbox(self) -> None:
        """Forget this sandbox."""
        self._server.forget(self.name)


def _create(view: view_room.View, obj: objects.Object) -> objects.Object:
    api_version, kind = str(obj.get("apiVersion")), str(obj.get("kind"))
    resource = view.catalogue.by_kind(api_version, kind)
    if resource is None:
        raise statuses.BadRequestError(
            f"{kind} {objects.name_of(obj)}: this view serves no kind {kind} of {api_version}: "
            "create its CustomResourceDefinition first"
        )
    namespace = objects.namespace_of(obj) or "default" if resource.namespaced else ""
    return view.create(resource, obj, namespace).object()


async def _until(
    view: view_room.View, condition: Callable[[view_room.View], T], timeout_s: float
) -> T:
    changed = asyncio.Event()
    unsubscribe = view.subscribe(None, lambda _: changed.set())
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                changed.clear()
                with contextlib.suppress(statuses.NotFoundError):
                    if found := condition(view):
                        return found
                await changed.wait()
    except TimeoutError:
        raise AssertionError(
            f"{timeout_s:g} seconds passed and what was waited for in {view.name} did not come"
        ) from None
    finally:
        unsubscribe()


class _Bridge:
    """Carries a client's calls over to the server's loop."""

    def __init__(self, server: TestServer, client: clients.Client) -> None:
        self._server = server
        self._client = client

    def __getattr__(self, name: str) -> objects.Json:
        verb = getattr(self._client, name)
        if name == "watch":
            return lambda *args, **kwargs: self._watch(verb(*args, **kwargs))

        async def carried(*args: objects.Json, **kwargs: objects.Json) -> objects.Json:
            coroutine = verb(*args, **kwargs)
            future = asyncio.run_coroutine_threadsafe(coroutine, self._server.loop)
            return await asyncio.wrap_future(future)

        return carried

    async def _watch(
        self, events: AsyncIterator[clients.WatchEvent]
    ) -> AsyncIterator[clients.WatchEvent]:
        async def following() -> clients.WatchEvent | None:
            return await anext(events, None)

        async def end() -> None:
            close = getattr(events, "aclose", None)
            if close is not None:
                await close()

        try:
            while True:
                future = asyncio.run_coroutine_threadsafe(following(), self._server.loop)
                event = await asyncio.wrap_future(future)
                if event is None:
                    return
                yield event
        finally:
            asyncio.run_coroutine_threadsafe(end(), self._server.loop)
